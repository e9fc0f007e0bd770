/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/store.h"

/* The key, when an account may have that address; domain points into key. */
static enum accounts_result key_for_new(struct accounts *a, const struct address *address, struct buffer *key,
                                        struct text *ret_domain, struct buffer *why)
{
    struct arena arena released_by(arena_done) = arena_new(8192);
    struct store_domain ours;
    struct text local;
    if (address->local.length == 0 || address->domain.length == 0 || address_is_literal(address) ||
        address_has_empty_local(address))
        return store_refuse(why, ACCOUNTS_REFUSED, "an account needs a whole address, like anna@casa.test");
    if (!store_address_key(key, address))
        return store_refuse(why, ACCOUNTS_REFUSED, "the address is too long");
    store_key_split(buffer_text(key), &local, ret_domain);
    enum accounts_result result = store_domain_find(a, *ret_domain, &arena, &ours);
    if (result == ACCOUNTS_UNKNOWN)
        return store_refuse(why, ACCOUNTS_UNKNOWN,
                            "%.*s is none of our domains: add it first (portiere domain add %.*s)",
                            TEXT_ARGUMENTS(*ret_domain), TEXT_ARGUMENTS(*ret_domain));
    if (result == ACCOUNTS_OK && ours.alias_of.length)
        return store_refuse(why, ACCOUNTS_REFUSED, "%.*s is an alias of %.*s: use that domain",
                            TEXT_ARGUMENTS(*ret_domain), TEXT_ARGUMENTS(ours.alias_of));
    return result == ACCOUNTS_OK ? ACCOUNTS_OK : store_unavailable(a, why);
}

static enum accounts_result check_free(struct accounts *a, struct text key, struct buffer *why)
{
    struct arena arena released_by(arena_done) = arena_new(8192);
    struct accounts_user user;
    enum accounts_result result = store_user_find(a, key, &arena, &user);
    if (result == ACCOUNTS_OK)
        return store_refuse(why, ACCOUNTS_EXISTS, "there is an account %.*s already", TEXT_ARGUMENTS(key));
    sqlite3_stmt *q released_by(store_query_done) =
        result == ACCOUNTS_UNKNOWN ? store_query(a, QUERY_ALIAS_FIND) : NULL;
    if (!q)
        return store_unavailable(a, why);
    store_bind_text(q, 1, key);
    enum store_step step = store_step(a, q);
    if (step == STORE_ROW)
        return store_refuse(why, ACCOUNTS_EXISTS, "there is an alias %.*s already: remove it first",
                            TEXT_ARGUMENTS(key));
    return step == STORE_END ? ACCOUNTS_OK : store_unavailable(a, why);
}

enum accounts_result accounts_user_may_add(struct accounts *a, const struct address *address, struct buffer *why)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    struct text domain;
    enum accounts_result result = key_for_new(a, address, &key, &domain, why);
    return result == ACCOUNTS_OK ? check_free(a, buffer_text(&key), why) : result;
}

static enum accounts_result insert_user(struct accounts *a, struct text key, struct text domain, struct text credential,
                                        uint64_t quota, int64_t now_ms, struct buffer *why)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_USER_ADD);
    if (!q)
        return store_unavailable(a, why);
    store_bind_text(q, 1, key);
    store_bind_text(q, 2, domain);
    store_bind_text(q, 3, credential);
    store_bind_number(q, 4, (int64_t)quota);
    store_bind_number(q, 5, now_ms);
    return store_step(a, q) == STORE_END ? ACCOUNTS_OK : store_unavailable(a, why);
}

enum accounts_result accounts_user_add(struct accounts *a, const struct address *address, struct text credential,
                                       uint64_t quota, int64_t now_ms, struct buffer *why)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    struct text domain;
    if (quota > INT64_MAX)
        return store_refuse(why, ACCOUNTS_REFUSED, "the quota is too large");
    if (!store_change_begin(a))
        return store_unavailable(a, why);
    enum accounts_result result = key_for_new(a, address, &key, &domain, why);
    if (result == ACCOUNTS_OK)
        result = check_free(a, buffer_text(&key), why);
    if (result == ACCOUNTS_OK)
        result = insert_user(a, buffer_text(&key), domain, credential, quota, now_ms, why);
    return store_change_end(a, result, why);
}

static enum accounts_result unknown(struct text key, struct buffer *why)
{
    return store_refuse(why, ACCOUNTS_UNKNOWN, "there is no account %.*s", TEXT_ARGUMENTS(key));
}

static enum accounts_result delete_user(struct accounts *a, struct text key, struct buffer *why)
{
    static const enum store_query along[] = {QUERY_ALIAS_FORGET, QUERY_SEND_AS_FORGET, QUERY_CATCH_ALL_FORGET};
    size_t changed = 0;
    if (store_run(a, QUERY_USER_REMOVE, key, TEXT_NONE, TEXT_NONE, &changed) != STORE_END)
        return store_unavailable(a, why);
    if (changed == 0)
        return unknown(key, why);
    for (size_t i = 0; i < length_of(along); i++)
        if (store_run(a, along[i], key, TEXT_NONE, TEXT_NONE, &changed) != STORE_END)
            return store_unavailable(a, why);
    return ACCOUNTS_OK;
}

enum accounts_result accounts_user_remove(struct accounts *a, const struct address *address, struct buffer *why)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    if (!store_address_key(&key, address))
        return store_refuse(why, ACCOUNTS_REFUSED, "the address is too long");
    if (!store_change_begin(a))
        return store_unavailable(a, why);
    return store_change_end(a, delete_user(a, buffer_text(&key), why), why);
}

/* One column of one account: a text, or a number when text is NULL. */
static enum accounts_result update_user(struct accounts *a, enum store_query query, struct text key,
                                        const struct text *text, uint64_t number, struct buffer *why)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, query);
    if (!q)
        return store_unavailable(a, why);
    store_bind_text(q, 1, key);
    if (text)
        store_bind_text(q, 2, *text);
    else
        store_bind_number(q, 2, (int64_t)number);
    if (store_step(a, q) != STORE_END)
        return store_unavailable(a, why);
    return sqlite3_changes(a->database) ? ACCOUNTS_OK : unknown(key, why);
}

static enum accounts_result change_user(struct accounts *a, enum store_query query, const struct address *address,
                                        const struct text *text, uint64_t number, struct buffer *why)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    if (!store_address_key(&key, address))
        return store_refuse(why, ACCOUNTS_REFUSED, "the address is too long");
    if (!store_change_begin(a))
        return store_unavailable(a, why);
    return store_change_end(a, update_user(a, query, buffer_text(&key), text, number, why), why);
}

enum accounts_result accounts_user_credential(struct accounts *a, const struct address *address, struct text credential,
                                              struct buffer *why)
{
    return change_user(a, QUERY_USER_CREDENTIAL, address, &credential, 0, why);
}

enum accounts_result accounts_user_disable(struct accounts *a, const struct address *address, bool is_disabled,
                                           struct buffer *why)
{
    return change_user(a, QUERY_USER_DISABLED, address, NULL, is_disabled, why);
}

enum accounts_result accounts_user_quota(struct accounts *a, const struct address *address, uint64_t quota,
                                         struct buffer *why)
{
    if (quota > INT64_MAX)
        return store_refuse(why, ACCOUNTS_REFUSED, "the quota is too large");
    return change_user(a, QUERY_USER_QUOTA, address, NULL, quota, why);
}

enum accounts_result accounts_user_renew(struct accounts *a, struct text account, struct text old,
                                         struct text credential)
{
    size_t changed;
    if (!store_change_begin(a))
        return ACCOUNTS_UNAVAILABLE;
    if (store_run(a, QUERY_USER_RENEW, account, old, credential, &changed) == STORE_END)
        return store_change_commit(a, false) ? ACCOUNTS_OK : ACCOUNTS_UNAVAILABLE;
    store_change_abort(a);
    return ACCOUNTS_UNAVAILABLE;
}

enum accounts_result accounts_user_list(struct accounts *a, struct text domain, struct text after, uint64_t limit,
                                        accounts_user_function *function, void *context)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    if (domain.length && !domain_append_key(&key, domain))
        return ACCOUNTS_UNKNOWN;
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_USER_LIST);
    if (!q)
        return ACCOUNTS_UNAVAILABLE;
    enum store_step step;
    store_bind_text(q, 1, buffer_text(&key));
    store_bind_text(q, 2, after);
    store_bind_number(q, 3, (int64_t)smaller(limit, INT64_MAX));
    while ((step = store_step(a, q)) == STORE_ROW) {
        struct accounts_user user = store_user_of_row(q);
        function(context, &user);
    }
    return step == STORE_END ? ACCOUNTS_OK : ACCOUNTS_UNAVAILABLE;
}
