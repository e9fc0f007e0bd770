/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/store.h"

/* The domain's key, or a refusal. */
static bool key_of_domain(struct text domain, struct buffer *key, struct buffer *why)
{
    if (domain_is_valid(domain, true) && text_has_octet(domain, '.') && domain_append_key(key, domain) &&
        buffer_text(key).length <= 255)
        return true;
    ignored(store_refuse(why, ACCOUNTS_REFUSED, "\"%.*s\" is no domain name: give one like casa.test",
                         TEXT_ARGUMENTS(text_first(domain, 300)))); /* told */
    return false;
}

static enum accounts_result check_alias_of(struct accounts *a, struct text domain, struct text alias_of,
                                           struct buffer *why)
{
    struct arena arena released_by(arena_done) = arena_new(8192);
    struct store_domain other;
    if (text_equals(domain, alias_of))
        return store_refuse(why, ACCOUNTS_REFUSED, "a domain cannot be an alias of itself");
    enum accounts_result result = store_domain_find(a, alias_of, &arena, &other);
    if (result == ACCOUNTS_UNAVAILABLE)
        return store_unavailable(a, why);
    if (result == ACCOUNTS_UNKNOWN)
        return store_refuse(why, ACCOUNTS_UNKNOWN, "%.*s is none of our domains: add it first",
                            TEXT_ARGUMENTS(alias_of));
    if (other.alias_of.length)
        return store_refuse(why, ACCOUNTS_REFUSED, "%.*s is itself an alias of %.*s: name that one",
                            TEXT_ARGUMENTS(alias_of), TEXT_ARGUMENTS(other.alias_of));
    return ACCOUNTS_OK;
}

static enum accounts_result insert_domain(struct accounts *a, struct text domain, struct text alias_of, int64_t now_ms,
                                          struct buffer *why)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_DOMAIN_ADD);
    if (!q)
        return store_unavailable(a, why);
    store_bind_text(q, 1, domain);
    store_bind_text(q, 2, alias_of);
    store_bind_number(q, 3, now_ms);
    enum store_step step = store_step(a, q);
    if (step == STORE_TAKEN)
        return store_refuse(why, ACCOUNTS_EXISTS, "%.*s is one of our domains already", TEXT_ARGUMENTS(domain));
    return step == STORE_END ? ACCOUNTS_OK : store_unavailable(a, why);
}

enum accounts_result accounts_domain_add(struct accounts *a, struct text domain, struct text alias_of, int64_t now_ms,
                                         struct buffer *why)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT),
                      other released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    if (!key_of_domain(domain, &key, why) || (alias_of.length && !key_of_domain(alias_of, &other, why)))
        return ACCOUNTS_REFUSED;
    if (!store_change_begin(a))
        return store_unavailable(a, why);
    enum accounts_result result =
        alias_of.length ? check_alias_of(a, buffer_text(&key), buffer_text(&other), why) : ACCOUNTS_OK;
    if (result == ACCOUNTS_OK)
        result = insert_domain(a, buffer_text(&key), buffer_text(&other), now_ms, why);
    return store_change_end(a, result, why);
}

/* A domain goes only when it is empty: a slip of the hand must not take a hundred accounts along. */
static enum accounts_result check_unused(struct accounts *a, struct text domain, struct buffer *why)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_DOMAIN_USES);
    if (!q)
        return store_unavailable(a, why);
    store_bind_text(q, 1, domain);
    if (store_step(a, q) != STORE_ROW)
        return store_unavailable(a, why);
    long long users = store_number(q, 0), aliases = store_number(q, 1), domains = store_number(q, 2);
    if (users + aliases + domains == 0)
        return ACCOUNTS_OK;
    return store_refuse(why, ACCOUNTS_REFUSED,
                        "%.*s still has %lld accounts, %lld aliases and %lld alias domains: remove them first",
                        TEXT_ARGUMENTS(domain), users, aliases, domains);
}

static enum accounts_result delete_domain(struct accounts *a, struct text domain, struct buffer *why)
{
    size_t changed;
    if (store_run(a, QUERY_DOMAIN_REMOVE, domain, TEXT_NONE, TEXT_NONE, &changed) != STORE_END)
        return store_unavailable(a, why);
    return changed ? ACCOUNTS_OK
                   : store_refuse(why, ACCOUNTS_UNKNOWN, "%.*s is none of our domains", TEXT_ARGUMENTS(domain));
}

enum accounts_result accounts_domain_remove(struct accounts *a, struct text domain, struct buffer *why)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    if (!key_of_domain(domain, &key, why))
        return ACCOUNTS_REFUSED;
    if (!store_change_begin(a))
        return store_unavailable(a, why);
    enum accounts_result result = check_unused(a, buffer_text(&key), why);
    if (result == ACCOUNTS_OK)
        result = delete_domain(a, buffer_text(&key), why);
    return store_change_end(a, result, why);
}

static enum accounts_result delete_alias_domain(struct accounts *a, struct text domain, struct text alias_of,
                                                struct buffer *why)
{
    size_t changed;
    if (store_run(a, QUERY_DOMAIN_ALIAS_REMOVE, domain, alias_of, TEXT_NONE, &changed) != STORE_END)
        return store_unavailable(a, why);
    return changed ? ACCOUNTS_OK
                   : store_refuse(why, ACCOUNTS_UNKNOWN, "%.*s is no such alias domain", TEXT_ARGUMENTS(domain));
}

enum accounts_result accounts_alias_domain_remove(struct accounts *a, struct text domain, struct text alias_of,
                                                  struct buffer *why)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT),
                      other released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    if (!key_of_domain(domain, &key, why) || (alias_of.length && !key_of_domain(alias_of, &other, why)))
        return ACCOUNTS_REFUSED;
    if (!store_change_begin(a))
        return store_unavailable(a, why);
    return store_change_end(a, delete_alias_domain(a, buffer_text(&key), buffer_text(&other), why), why);
}

static enum accounts_result set_catch_all(struct accounts *a, struct text domain, struct text target,
                                          struct buffer *why)
{
    struct arena arena released_by(arena_done) = arena_new(8192);
    struct store_domain ours;
    size_t changed;
    enum accounts_result result = store_domain_find(a, domain, &arena, &ours);
    if (result == ACCOUNTS_UNKNOWN)
        return store_refuse(why, ACCOUNTS_UNKNOWN, "%.*s is none of our domains", TEXT_ARGUMENTS(domain));
    if (result == ACCOUNTS_OK && ours.alias_of.length)
        return store_refuse(why, ACCOUNTS_REFUSED, "%.*s is an alias of %.*s: set that one's", TEXT_ARGUMENTS(domain),
                            TEXT_ARGUMENTS(ours.alias_of));
    if (result != ACCOUNTS_OK || store_run(a, QUERY_DOMAIN_CATCH_ALL, domain, target, TEXT_NONE, &changed) != STORE_END)
        return store_unavailable(a, why);
    return ACCOUNTS_OK;
}

/* A catch-all that leads nowhere would swallow mail for a while and bounce it later: its target must be there. */
static enum accounts_result check_target(struct accounts *a, struct text target, struct buffer *why)
{
    struct arena arena released_by(arena_done) = arena_new(65536);
    struct text local, domain;
    struct store_domain ours;
    struct accounts_user user;
    store_key_split(target, &local, &domain);
    enum accounts_result result = store_domain_find(a, domain, &arena, &ours);
    if (result == ACCOUNTS_UNKNOWN)
        return ACCOUNTS_OK; /* outside */
    if (result == ACCOUNTS_OK)
        result = store_user_find(a, target, &arena, &user);
    if (result == ACCOUNTS_UNKNOWN)
        return store_refuse(why, ACCOUNTS_UNKNOWN, "there is no account %.*s: add it first", TEXT_ARGUMENTS(target));
    return result == ACCOUNTS_OK ? ACCOUNTS_OK : store_unavailable(a, why);
}

enum accounts_result accounts_domain_catch_all(struct accounts *a, struct text domain, const struct address *target,
                                               struct buffer *why)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT),
                      to released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    if (!key_of_domain(domain, &key, why))
        return ACCOUNTS_REFUSED;
    if (target && !store_address_key(&to, target))
        return store_refuse(why, ACCOUNTS_REFUSED, "the address is too long");
    if (!store_change_begin(a))
        return store_unavailable(a, why);
    enum accounts_result result = target ? check_target(a, buffer_text(&to), why) : ACCOUNTS_OK;
    if (result == ACCOUNTS_OK)
        result = set_catch_all(a, buffer_text(&key), buffer_text(&to), why);
    return store_change_end(a, result, why);
}

enum accounts_result accounts_domain_list(struct accounts *a, uint64_t after, uint64_t limit,
                                          accounts_domain_function *function, void *context)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_DOMAIN_LIST);
    enum store_step step = STORE_FAILED;
    if (!q)
        return ACCOUNTS_UNAVAILABLE;
    store_bind_number(q, 1, (int64_t)smaller(after, INT64_MAX));
    store_bind_number(q, 2, (int64_t)smaller(limit, INT64_MAX));
    while ((step = store_step(a, q)) == STORE_ROW) {
        struct accounts_domain row = {
            .place = (uint64_t)store_number(q, 0),
            .name = store_text(q, 1),
            .alias_of = store_text(q, 2),
            .catch_all = store_text(q, 3),
            .users = (uint64_t)store_number(q, 4),
            .created_ms = store_number(q, 5),
        };
        function(context, &row);
    }
    return step == STORE_END ? ACCOUNTS_OK : ACCOUNTS_UNAVAILABLE;
}
