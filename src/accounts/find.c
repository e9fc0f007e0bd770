/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/store.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool store_address_key(struct buffer *b, const struct address *address)
{
    address_append_key(b, address);
    return !b->is_full;
}

void store_key_split(struct text key, struct text *ret_local, struct text *ret_domain)
{
    size_t at = key.length;
    while (at > 0 && key.bytes[at - 1] != '@')
        at--;
    *ret_local = text_first(key, at ? at - 1 : key.length);
    *ret_domain = text_after(key, at ? at : key.length);
}

enum accounts_result store_refuse(struct buffer *why, enum accounts_result result, const char *format, ...)
{
    char line[1500];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length > 0)
        ignored(buffer_append(why, text_of(line, smaller((size_t)length, sizeof line - 1)))); /* a cut reason is one */
    return result;
}

enum accounts_result store_unavailable(const struct accounts *a, struct buffer *why)
{
    struct text problem = accounts_problem(a);
    return store_refuse(why, ACCOUNTS_UNAVAILABLE, "%.*s",
                        TEXT_ARGUMENTS(problem.length ? problem : TEXT("the accounts store is not available")));
}

enum accounts_result store_change_end(struct accounts *a, enum accounts_result result, struct buffer *why)
{
    if (result == ACCOUNTS_OK)
        return store_change_commit(a, true) ? ACCOUNTS_OK : store_unavailable(a, why);
    store_change_abort(a);
    return result;
}

enum accounts_result store_domain_find(struct accounts *a, struct text domain, struct arena *arena,
                                       struct store_domain *ret_domain)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_DOMAIN_FIND);
    if (!q)
        return ACCOUNTS_UNAVAILABLE;
    store_bind_text(q, 1, domain);
    enum store_step step = store_step(a, q);
    if (step != STORE_ROW)
        return step == STORE_END ? ACCOUNTS_UNKNOWN : ACCOUNTS_UNAVAILABLE;
    struct store_domain found;
    if (!arena_copy(arena, store_text(q, 0), &found.alias_of) || !arena_copy(arena, store_text(q, 1), &found.catch_all))
        return ACCOUNTS_UNAVAILABLE;
    *ret_domain = found;
    return ACCOUNTS_OK;
}

struct accounts_user store_user_of_row(sqlite3_stmt *statement)
{
    return (struct accounts_user){
        .address = store_text(statement, 0),
        .credential = store_text(statement, 1),
        .is_disabled = store_number(statement, 2) != 0,
        .quota = (uint64_t)store_number(statement, 3),
        .created_ms = store_number(statement, 4),
    };
}

static enum accounts_result read_user(struct accounts *a, sqlite3_stmt *q, struct arena *arena,
                                      struct accounts_user *ret_user)
{
    enum store_step step = store_step(a, q);
    if (step != STORE_ROW)
        return step == STORE_END ? ACCOUNTS_UNKNOWN : ACCOUNTS_UNAVAILABLE;
    struct accounts_user user = store_user_of_row(q);
    if (!arena_copy(arena, user.address, &user.address) || !arena_copy(arena, user.credential, &user.credential))
        return ACCOUNTS_UNAVAILABLE;
    *ret_user = user;
    return ACCOUNTS_OK;
}

enum accounts_result store_user_find(struct accounts *a, struct text key, struct arena *arena,
                                     struct accounts_user *ret_user)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_USER_FIND);
    if (!q)
        return ACCOUNTS_UNAVAILABLE;
    store_bind_text(q, 1, key);
    return read_user(a, q, arena, ret_user);
}

enum accounts_result store_user_first(struct accounts *a, struct arena *arena, struct accounts_user *ret_user)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_USER_FIRST);
    return q ? read_user(a, q, arena, ret_user) : ACCOUNTS_UNAVAILABLE;
}

enum accounts_result accounts_user_find(struct accounts *a, const struct address *address, struct arena *arena,
                                        struct accounts_user *ret_user)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    return store_address_key(&key, address) ? store_user_find(a, buffer_text(&key), arena, ret_user) : ACCOUNTS_UNKNOWN;
}

enum accounts_result accounts_fake_key(struct accounts *a, struct text *ret_key)
{
    if (!accounts_is_available(a))
        return ACCOUNTS_UNAVAILABLE;
    *ret_key = text_of(a->fake_key, STORE_FAKE_KEY);
    return ACCOUNTS_OK;
}

enum accounts_result accounts_first_domain(struct accounts *a, struct arena *arena, struct text *ret_domain)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_DOMAIN_FIRST);
    if (!q)
        return ACCOUNTS_UNAVAILABLE;
    enum store_step step = store_step(a, q);
    if (step == STORE_END) {
        *ret_domain = TEXT_NONE;
        return ACCOUNTS_OK;
    }
    return step == STORE_ROW && arena_copy(arena, store_text(q, 0), ret_domain) ? ACCOUNTS_OK : ACCOUNTS_UNAVAILABLE;
}

enum accounts_result accounts_count(struct accounts *a, struct accounts_counts *ret_counts)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_USER_COUNT);
    if (!q || store_step(a, q) != STORE_ROW)
        return ACCOUNTS_UNAVAILABLE;
    *ret_counts = (struct accounts_counts){.users = (uint64_t)store_number(q, 0),
                                           .domains = (uint64_t)store_number(q, 1),
                                           .aliases = (uint64_t)store_number(q, 2)};
    return ACCOUNTS_OK;
}

/* --- a client's name
 * ---------------------------------------------------------------------------------------------------------------- */

static enum accounts_result primary_domain(struct accounts *a, const struct settings *settings, struct arena *arena,
                                           struct text *ret_domain)
{
    struct text set = settings->service_primary_domain;
    if (set.length == 0)
        return accounts_first_domain(a, arena, ret_domain);
    *ret_domain = set;
    return ACCOUNTS_OK;
}

static enum accounts_result find_in_domain(struct accounts *a, const struct address *address, struct arena *arena,
                                           struct accounts_user *ret_user)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT),
                      real released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    struct text local, domain;
    struct store_domain ours;
    if (!store_address_key(&key, address))
        return ACCOUNTS_UNKNOWN;
    store_key_split(buffer_text(&key), &local, &domain);
    enum accounts_result result = store_domain_find(a, domain, arena, &ours);
    if (result != ACCOUNTS_OK || ours.alias_of.length == 0)
        return result == ACCOUNTS_OK ? store_user_find(a, buffer_text(&key), arena, ret_user) : result;
    if (!buffer_append(&real, local) || !buffer_append_octet(&real, '@') || !buffer_append(&real, ours.alias_of))
        return ACCOUNTS_UNKNOWN;
    return store_user_find(a, buffer_text(&real), arena, ret_user);
}

enum accounts_result accounts_login_find(struct accounts *a, const struct settings *settings, struct text name,
                                         struct arena *arena, struct accounts_user *ret_user)
{
    struct buffer whole released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    struct address address;
    if (!accounts_is_available(a))
        return ACCOUNTS_UNAVAILABLE;
    if (name.length == 0 || name.length > STORE_KEY_LIMIT || !buffer_append(&whole, name))
        return ACCOUNTS_UNKNOWN;
    if (!text_has_octet(name, '@')) {
        struct text primary;
        enum accounts_result result = primary_domain(a, settings, arena, &primary);
        if (result != ACCOUNTS_OK)
            return result;
        if (!buffer_append_octet(&whole, '@') || !buffer_append(&whole, primary))
            return ACCOUNTS_UNKNOWN;
    }
    if (address_parse(buffer_text(&whole), true, &address) != ADDRESS_OK || address.domain.length == 0)
        return ACCOUNTS_UNKNOWN;
    return find_in_domain(a, &address, arena, ret_user);
}
