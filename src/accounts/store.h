/* SPDX-License-Identifier: Apache-2.0 */
/* store: the SQLite file behind accounts, private to this folder: opening and checking it, statements, changes.
 * SQLite's own path is /proc/self/fd/FOLDER/accounts.db, so that no part of the real path is needed inside the sandbox.
 * Failures that put the file in doubt mark the store broken: it is closed at the next refresh and opened, and checked,
 * anew. */
#ifndef ACCOUNTS_STORE_H
#define ACCOUNTS_STORE_H

#include "accounts/accounts.h"
#include "system/file.h"

#include <sqlite3.h>

enum store_query {
#define QUERY(name, sql) QUERY_##name,
#include "accounts/queries.def"
#undef QUERY
    QUERIES,
};

enum { STORE_KEY_LIMIT = 1200, STORE_FAKE_KEY = 32 };

struct accounts {
    int folder;
    uint64_t generation;
    sqlite3_vfs vfs; /* registered while it lives */
    char vfs_name[40];
    sqlite3 *database; /* NULL: not open */
    sqlite3_stmt *statements[QUERIES];
    struct file_facts known; /* of the file, after our own last change */
    bool is_broken;
    uint64_t next_look_ms;
    struct buffer problem;
    char fake_key[STORE_FAKE_KEY];
};

void store_close(struct accounts *a);

/* A statement, bound from parameter 1 on by the store_bind functions; NULL (and the store's problem is set) when it
 * can't be had. */
sqlite3_stmt *store_query(struct accounts *a, enum store_query query);
void store_query_done(sqlite3_stmt **statement);                         /* released_by(store_query_done) */
void store_bind_text(sqlite3_stmt *statement, int place, struct text t); /* borrowed until the statement is done */
void store_bind_number(sqlite3_stmt *statement, int place, int64_t number);

enum store_step { STORE_ROW, STORE_END, STORE_TAKEN /* a constraint */, STORE_FAILED };
enum store_step store_step(struct accounts *a, sqlite3_stmt *statement);
struct text store_text(sqlite3_stmt *statement, int column); /* valid until the next step */
int64_t store_number(sqlite3_stmt *statement, int column);

/* A change: begin, statements, then commit or abort. Commit makes the generation grow, unless it is nobody's news. */
must_check bool store_change_begin(struct accounts *a);
must_check bool store_change_commit(struct accounts *a, bool is_news);
void store_change_abort(struct accounts *a);
/* Commits when result is OK, else aborts; the result then is what became of it. */
enum accounts_result store_change_end(struct accounts *a, enum accounts_result result, struct buffer *why);
/* Runs one statement of up to three texts; ret_changed tells how many rows it touched. */
must_check enum store_step store_run(struct accounts *a, enum store_query query, struct text first, struct text second,
                                     struct text third, size_t *ret_changed);

/* Keys. False when it is too long. */
must_check bool store_address_key(struct buffer *b, const struct address *address);
/* local and domain of an address's key; the last "@" parts them. */
void store_key_split(struct text key, struct text *ret_local, struct text *ret_domain);

/* Why: the result, with a sentence appended. */
enum accounts_result store_refuse(struct buffer *why, enum accounts_result result, const char *format, ...)
    printf_like(3, 4);
enum accounts_result store_unavailable(const struct accounts *a, struct buffer *why);

/* A domain of ours. alias_of and catch_all are copied to the arena. */
struct store_domain {
    struct text alias_of, catch_all;
};
must_check enum accounts_result store_domain_find(struct accounts *a, struct text domain, struct arena *arena,
                                                  struct store_domain *ret_domain);
must_check enum accounts_result store_user_find(struct accounts *a, struct text key, struct arena *arena,
                                                struct accounts_user *ret_user);
must_check enum accounts_result store_user_first(struct accounts *a, struct arena *arena,
                                                 struct accounts_user *ret_user); /* that is not disabled */
/* Reads a row of the USER_ queries. Texts as store_text. */
struct accounts_user store_user_of_row(sqlite3_stmt *statement);

#endif
