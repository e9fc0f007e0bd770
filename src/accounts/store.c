/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/store.h"

#include "system/random.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { APPLICATION = 0x506f7274, VERSION = 1, LOOK_AGAIN_MS = 1000, BUSY_MS = 2000, PROBLEM_LIMIT = 1000 };

static const struct text file_name = TEXT_INIT("accounts.db"), made_name = TEXT_INIT("accounts.made");

static const char *const sql[] = {
#define QUERY(name, words) [QUERY_##name] = words,
#include "accounts/queries.def"
#undef QUERY
};

static const char schema[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE domains(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, alias_of TEXT NOT NULL DEFAULT '',"
    " catch_all TEXT NOT NULL DEFAULT '', created_ms INTEGER NOT NULL);"
    "CREATE TABLE users(id INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE, domain TEXT NOT NULL, credential TEXT "
    "NOT NULL,"
    " is_disabled INTEGER NOT NULL DEFAULT 0, quota INTEGER NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL);"
    "CREATE INDEX users_of_domain ON users(domain);"
    "CREATE TABLE aliases(address TEXT NOT NULL, domain TEXT NOT NULL, target TEXT NOT NULL, UNIQUE(address, target));"
    "CREATE INDEX aliases_of_domain ON aliases(domain);"
    "CREATE INDEX aliases_of_target ON aliases(target);"
    "CREATE TABLE send_as(account TEXT NOT NULL, address TEXT NOT NULL, PRIMARY KEY(account, address)) WITHOUT ROWID;"
    "PRAGMA application_id = 1349481076; PRAGMA user_version = 1;";

static const char pragmas[] =
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL;"
    "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA trusted_schema = OFF;"
    "PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON;";

/* SQLite asks for the real path of a file; ours goes through /proc/self/fd and must stay as it is. */
static int same_path(sqlite3_vfs *vfs not_used, const char *name, int size, char *ret_path)
{
    int length = snprintf(ret_path, (size_t)size, "%s", name);
    return length >= 0 && length < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static void set_problem(struct accounts *a, const char *format, ...) printf_like(2, 3);
static void set_problem(struct accounts *a, const char *format, ...)
{
    char line[PROBLEM_LIMIT];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    buffer_clear(&a->problem);
    ignored(buffer_append(&a->problem, text_of(line, smaller((size_t)larger((size_t)length, 0),
                                                             sizeof line - 1)))); /* it fits: same limit */
}

struct accounts *accounts_new(int folder, uint64_t generation)
{
    struct accounts *a = calloc(1, sizeof *a);
    must(a != NULL && sqlite3_initialize() == SQLITE_OK);
    *a = (struct accounts){.folder = folder, .generation = generation + 1, .problem = buffer_new(PROBLEM_LIMIT)};
    a->vfs = *sqlite3_vfs_find(NULL);
    snprintf(a->vfs_name, sizeof a->vfs_name, "portiere-%p", (void *)a);
    a->vfs.zName = a->vfs_name;
    a->vfs.pNext = NULL;
    a->vfs.xFullPathname = same_path;
    must(sqlite3_vfs_register(&a->vfs, 0) == SQLITE_OK);
    set_problem(a, "the accounts store has not been opened yet");
    return a;
}

void accounts_free(struct accounts **accounts)
{
    if (*accounts) {
        store_close(*accounts);
        sqlite3_vfs_unregister(&(*accounts)->vfs);
        buffer_done(&(*accounts)->problem);
        OPENSSL_cleanse((*accounts)->fake_key, STORE_FAKE_KEY);
        free(*accounts);
    }
    *accounts = NULL;
}

void store_close(struct accounts *a)
{
    for (size_t i = 0; i < QUERIES; i++) {
        sqlite3_finalize(a->statements[i]);
        a->statements[i] = NULL;
    }
    sqlite3_close_v2(a->database);
    a->database = NULL;
    a->is_broken = false;
}

bool accounts_is_available(const struct accounts *a)
{
    return a->database && !a->is_broken;
}

struct text accounts_problem(const struct accounts *a)
{
    return buffer_text(&a->problem);
}

uint64_t accounts_generation(const struct accounts *a)
{
    return a->generation;
}

void accounts_generation_grow(struct accounts *a)
{
    a->generation++;
}

/* --- opening
 * ----------------------------------------------------------------------------------------------------------------------
 */

/* What stands in the folder: false, and the problem, when we must not touch it. */
static bool look_at_folder(struct accounts *a, bool *ret_is_new)
{
    struct file_facts file, made;
    int no_made = file_facts_of(a->folder, made_name, &made), no_file = file_facts_of(a->folder, file_name, &file);
    if (no_file == ENOENT && no_made == ENOENT) {
        *ret_is_new = true;
        return true;
    }
    if (no_file == ENOENT) {
        set_problem(a, "vault/accounts.db is missing: bring it back from a backup; to begin anew without accounts, "
                       "remove vault/accounts.made too");
        return false;
    }
    if (no_file) {
        set_problem(a, "vault/accounts.db cannot be looked at: %.*s", TEXT_ARGUMENTS(file_error_word(no_file)));
        return false;
    }
    if (!file.is_file || file.links != 1) {
        set_problem(a, "vault/accounts.db is not a plain file with one name: put the real file there");
        return false;
    }
    if (file.size == 0 && no_made == 0) {
        set_problem(a, "vault/accounts.db is empty: bring it back from a backup; to begin anew without accounts, "
                       "remove vault/accounts.made too");
        return false;
    }
    *ret_is_new = file.size == 0;
    return true;
}

static bool execute(struct accounts *a, const char *words, const char *what)
{
    if (sqlite3_exec(a->database, words, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    if (sqlite3_errcode(a->database) == SQLITE_BUSY)
        set_problem(a, "vault/accounts.db is in use by another process: is a second server running on this folder?");
    else
        set_problem(
            a, "vault/accounts.db cannot be used (%s: %s): bring it back from a backup if it does not go by itself",
            what, sqlite3_errmsg(a->database));
    return false;
}

static int first_number(void *context, int columns, char **values, char **names not_used)
{
    uint64_t *number = context;
    ignored(columns > 0 && values[0] && text_number(text_of_terminated(values[0]), INT32_MAX, number)); /* it stays 0 */
    return 0;
}

static int first_word(void *context, int columns, char **values, char **names not_used)
{
    struct buffer *word = context;
    if (columns > 0 && values[0] && word->length == 0)
        ignored(buffer_append(word, text_first(text_of_terminated(values[0]), 300))); /* it fits */
    return 0;
}

static bool check_contents(struct accounts *a)
{
    uint64_t application = 0, version = 0;
    struct buffer verdict released_by(buffer_done) = buffer_new(300);
    if (sqlite3_exec(a->database, "PRAGMA application_id", first_number, &application, NULL) != SQLITE_OK ||
        sqlite3_exec(a->database, "PRAGMA user_version", first_number, &version, NULL) != SQLITE_OK ||
        sqlite3_exec(a->database, "PRAGMA quick_check(1)", first_word, &verdict, NULL) != SQLITE_OK) {
        set_problem(a, "vault/accounts.db cannot be read: %s: bring it back from a backup",
                    sqlite3_errmsg(a->database));
        return false;
    }
    if (application != APPLICATION) {
        set_problem(a, "vault/accounts.db is not an accounts store: bring the right file back from a backup");
        return false;
    }
    if (version > VERSION) {
        set_problem(a, "vault/accounts.db was made by a newer version (%llu, we know %d): use that version",
                    (unsigned long long)version, VERSION);
        return false;
    }
    if (!text_equals(buffer_text(&verdict), TEXT("ok"))) {
        set_problem(a, "vault/accounts.db is damaged (%.*s): bring it back from a backup",
                    TEXT_ARGUMENTS(buffer_text(&verdict)));
        return false;
    }
    return true;
}

static bool make_contents(struct accounts *a)
{
    char key[STORE_FAKE_KEY];
    random_fill(key, sizeof key);
    if (!execute(a, "BEGIN IMMEDIATE", "begin") || !execute(a, schema, "making the tables"))
        return false;
    size_t changed;
    bool is_made =
        store_run(a, QUERY_META_SET, TEXT("fake_key"), text_of(key, sizeof key), TEXT_NONE, &changed) == STORE_END;
    return is_made && execute(a, "COMMIT", "making the tables");
}

static bool read_meta(struct accounts *a)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_META_GET);
    if (!q)
        return false;
    store_bind_text(q, 1, TEXT("fake_key"));
    if (store_step(a, q) != STORE_ROW || store_text(q, 0).length != STORE_FAKE_KEY) {
        set_problem(a, "vault/accounts.db lacks its key: bring it back from a backup");
        return false;
    }
    memcpy(a->fake_key, store_text(q, 0).bytes, STORE_FAKE_KEY);
    store_query_done(&q);
    q = store_query(a, QUERY_META_GET);
    if (!q)
        return false;
    store_bind_text(q, 1, TEXT("generation"));
    enum store_step step = store_step(a, q);
    if (step == STORE_ROW)
        a->generation = larger(a->generation, (uint64_t)store_number(q, 0) + 1);
    return step != STORE_FAILED;
}

static bool open_database(struct accounts *a, bool is_new)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d/accounts.db", a->folder);
    if (sqlite3_open_v2(path, &a->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, a->vfs_name) != SQLITE_OK) {
        set_problem(a, "vault/accounts.db cannot be opened: %s",
                    a->database ? sqlite3_errmsg(a->database) : "no memory");
        return false;
    }
    sqlite3_extended_result_codes(a->database, 1);
    sqlite3_busy_timeout(a->database, BUSY_MS);
    sqlite3_db_config(a->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    /* The lock is taken, and kept, here: two servers on one folder must not both believe their caches. */
    if (!execute(a, pragmas, "settings") || !execute(a, "BEGIN EXCLUSIVE; COMMIT", "lock"))
        return false;
    return (!is_new || make_contents(a)) && check_contents(a) && read_meta(a);
}

static bool open_store(struct accounts *a)
{
    bool is_new = false;
    int file released_by(file_close) = -1;
    if (!look_at_folder(a, &is_new))
        return false;
    int error = is_new ? file_open(a->folder, file_name, O_RDWR | O_CREAT, 0600, &file) : 0;
    if (error) {
        set_problem(a, "vault/accounts.db cannot be made: %.*s", TEXT_ARGUMENTS(file_error_word(error)));
        return false;
    }
    file_close(&file); /* before SQLite locks it: closing would drop that lock */
    if (!open_database(a, is_new)) {
        store_close(a);
        return false;
    }
    struct file_facts made;
    error = file_facts_of(a->folder, made_name, &made);
    if (error == ENOENT)
        error = file_replace(
            a->folder, made_name,
            TEXT("The accounts store was made. While this file is here, a missing accounts.db is an error.\n"), 0600);
    if (!error)
        error = file_facts_of(a->folder, file_name, &a->known);
    if (error) {
        set_problem(a, "vault: %.*s", TEXT_ARGUMENTS(file_error_word(error)));
        store_close(a);
        return false;
    }
    buffer_clear(&a->problem);
    return true;
}

static bool is_as_known(const struct accounts *a)
{
    struct file_facts now;
    return file_facts_of(a->folder, file_name, &now) == 0 && now.inode == a->known.inode && now.size == a->known.size &&
           now.changed_ms == a->known.changed_ms;
}

bool accounts_refresh(struct accounts *a, uint64_t now_ms)
{
    if (now_ms < a->next_look_ms && !a->is_broken)
        return a->database != NULL;
    if (a->database && !a->is_broken && is_as_known(a)) {
        a->next_look_ms = now_ms + LOOK_AGAIN_MS;
        return true;
    }
    if (a->is_broken && now_ms < a->next_look_ms)
        return false;
    a->next_look_ms = now_ms + LOOK_AGAIN_MS;
    store_close(a);
    a->generation++;
    return open_store(a);
}

/* --- statements
 * -------------------------------------------------------------------------------------------------------------------
 */

/* Which failures say that the file, or our picture of it, can't be trusted any more. */
static bool casts_doubt(int code)
{
    switch (code & 255) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
    case SQLITE_ERROR: /* a table or column that is not there */
    case SQLITE_SCHEMA:
        return true;
    default: /* SQLite's codes are no enum of ours */
        return code == SQLITE_READONLY_DBMOVED;
    }
}

static void note_failure(struct accounts *a)
{
    int code = sqlite3_extended_errcode(a->database);
    set_problem(a, "vault/accounts.db: %s", sqlite3_errmsg(a->database));
    a->is_broken |= casts_doubt(code);
}

sqlite3_stmt *store_query(struct accounts *a, enum store_query query)
{
    if (!a->database || a->is_broken)
        return NULL;
    if (!a->statements[query] && sqlite3_prepare_v3(a->database, sql[query], -1, SQLITE_PREPARE_PERSISTENT,
                                                    &a->statements[query], NULL) != SQLITE_OK) {
        note_failure(a);
        return NULL;
    }
    return a->statements[query];
}

void store_query_done(sqlite3_stmt **statement)
{
    if (*statement) {
        sqlite3_reset(*statement);
        sqlite3_clear_bindings(*statement);
    }
    *statement = NULL;
}

void store_bind_text(sqlite3_stmt *statement, int place, struct text t)
{
    must(t.length <= INT32_MAX &&
         sqlite3_bind_text(statement, place, t.bytes, (int)t.length, SQLITE_STATIC) == SQLITE_OK);
}

void store_bind_number(sqlite3_stmt *statement, int place, int64_t number)
{
    must(sqlite3_bind_int64(statement, place, number) == SQLITE_OK);
}

enum store_step store_step(struct accounts *a, sqlite3_stmt *statement)
{
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        return STORE_ROW;
    if (result == SQLITE_DONE)
        return STORE_END;
    if ((result & 255) == SQLITE_CONSTRAINT)
        return STORE_TAKEN;
    note_failure(a);
    return STORE_FAILED;
}

struct text store_text(sqlite3_stmt *statement, int column)
{
    const void *bytes = sqlite3_column_text(statement, column);
    return text_of(bytes, bytes ? (size_t)sqlite3_column_bytes(statement, column) : 0);
}

int64_t store_number(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_int64(statement, column);
}

enum store_step store_run(struct accounts *a, enum store_query query, struct text first, struct text second,
                          struct text third, size_t *ret_changed)
{
    const struct text values[] = {first, second, third};
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, query);
    if (!q)
        return STORE_FAILED;
    int count = sqlite3_bind_parameter_count(q);
    for (int i = 0; i < count && i < (int)length_of(values); i++)
        store_bind_text(q, i + 1, values[i]);
    enum store_step step = store_step(a, q);
    if (step == STORE_END)
        *ret_changed = (size_t)sqlite3_changes(a->database);
    return step;
}

bool store_change_begin(struct accounts *a)
{
    size_t changed;
    return store_run(a, QUERY_BEGIN, TEXT_NONE, TEXT_NONE, TEXT_NONE, &changed) == STORE_END;
}

void store_change_abort(struct accounts *a)
{
    if (a->database && !sqlite3_get_autocommit(a->database))
        ignored(
            sqlite3_exec(a->database, "ROLLBACK", NULL, NULL, NULL)); /* SQLite rolls back by itself when this fails */
}

static bool remember_generation(struct accounts *a, uint64_t generation)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_META_SET);
    if (!q)
        return false;
    store_bind_text(q, 1, TEXT("generation"));
    store_bind_number(q, 2, (int64_t)generation);
    return store_step(a, q) == STORE_END;
}

bool store_change_commit(struct accounts *a, bool is_news)
{
    size_t changed;
    uint64_t generation = a->generation + is_news;
    if (!remember_generation(a, generation) ||
        store_run(a, QUERY_COMMIT, TEXT_NONE, TEXT_NONE, TEXT_NONE, &changed) != STORE_END) {
        store_change_abort(a);
        return false;
    }
    a->generation = generation;
    if (file_facts_of(a->folder, file_name, &a->known) != 0)
        a->next_look_ms = 0; /* the next refresh tells */
    return true;
}
