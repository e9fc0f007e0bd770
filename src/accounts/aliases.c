/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/store.h"

enum { RESOLVE_LIMIT = 1 << 20 };

static enum accounts_result check_alias_name(struct accounts *a, struct text key, struct text domain,
                                             struct buffer *why)
{
    struct arena arena released_by(arena_done) = arena_new(8192);
    struct store_domain ours;
    struct accounts_user user;
    enum accounts_result result = store_domain_find(a, domain, &arena, &ours);
    if (result == ACCOUNTS_UNKNOWN)
        return store_refuse(why, ACCOUNTS_UNKNOWN, "%.*s is none of our domains: an alias must be an address of ours",
                            TEXT_ARGUMENTS(domain));
    if (result == ACCOUNTS_OK && ours.alias_of.length)
        return store_refuse(why, ACCOUNTS_REFUSED, "%.*s is an alias of %.*s: use that domain", TEXT_ARGUMENTS(domain),
                            TEXT_ARGUMENTS(ours.alias_of));
    if (result == ACCOUNTS_OK)
        result = store_user_find(a, key, &arena, &user);
    if (result == ACCOUNTS_OK)
        return store_refuse(why, ACCOUNTS_EXISTS, "%.*s is an account: an alias needs another name",
                            TEXT_ARGUMENTS(key));
    return result == ACCOUNTS_UNKNOWN ? ACCOUNTS_OK : store_unavailable(a, why);
}

/* Asked after the row is in, and within the change: so a loop shows as an alias that leads nowhere. */
static enum accounts_result check_leads(struct accounts *a, const struct settings *settings,
                                        const struct address *address, struct buffer *why)
{
    struct arena arena released_by(arena_done) = arena_new(RESOLVE_LIMIT);
    struct accounts_route route = accounts_resolve(a, settings, address, TEXT_NONE, &arena);
    switch (route.kind) {
    case MAIL_ADDRESS_LOCAL:
    case MAIL_ADDRESS_LOCAL_OWN:
    case MAIL_ADDRESS_LOCAL_FULL:
    case MAIL_ADDRESS_LOCAL_DISABLED:
    case MAIL_ADDRESS_FOREIGN:
        return ACCOUNTS_OK;
    case MAIL_ADDRESS_LOCAL_NOBODY:
        return store_refuse(
            why, ACCOUNTS_REFUSED,
            "nobody takes what is for %.*s@%.*s: make the account first, or look for aliases that lead in a circle",
            TEXT_ARGUMENTS(address->local), TEXT_ARGUMENTS(address->domain));
    case MAIL_ADDRESS_UNAVAILABLE:
    case MAIL_ADDRESS_UNKNOWN_YET:
    case MAIL_ADDRESS_KINDS:
        break;
    }
    if (!accounts_is_available(a))
        return store_unavailable(a, why);
    return store_refuse(why, ACCOUNTS_REFUSED, "%.*s@%.*s would lead to more than %d addresses",
                        TEXT_ARGUMENTS(address->local), TEXT_ARGUMENTS(address->domain), ACCOUNTS_FORWARDS);
}

static enum accounts_result insert_alias(struct accounts *a, struct text key, struct text domain, struct text target,
                                         struct buffer *why)
{
    size_t changed;
    enum store_step step = store_run(a, QUERY_ALIAS_ADD, key, domain, target, &changed);
    if (step == STORE_TAKEN)
        return store_refuse(why, ACCOUNTS_EXISTS, "%.*s leads to %.*s already", TEXT_ARGUMENTS(key),
                            TEXT_ARGUMENTS(target));
    return step == STORE_END ? ACCOUNTS_OK : store_unavailable(a, why);
}

enum accounts_result accounts_alias_add(struct accounts *a, const struct settings *settings,
                                        const struct address *alias, const struct address *target, struct buffer *why)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT),
                      to released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    struct text local, domain;
    if (alias->local.length == 0 || target->local.length == 0 || target->domain.length == 0)
        return store_refuse(why, ACCOUNTS_REFUSED, "an alias and its target are whole addresses, like info@casa.test");
    if (!store_address_key(&key, alias) || !store_address_key(&to, target))
        return store_refuse(why, ACCOUNTS_REFUSED, "the address is too long");
    store_key_split(buffer_text(&key), &local, &domain);
    if (!store_change_begin(a))
        return store_unavailable(a, why);
    enum accounts_result result = check_alias_name(a, buffer_text(&key), domain, why);
    if (result == ACCOUNTS_OK)
        result = insert_alias(a, buffer_text(&key), domain, buffer_text(&to), why);
    if (result == ACCOUNTS_OK)
        result = check_leads(a, settings, target, why);
    if (result == ACCOUNTS_OK)
        result = check_leads(a, settings, alias, why);
    return store_change_end(a, result, why);
}

static enum accounts_result delete_alias(struct accounts *a, struct text key, struct text target, struct buffer *why)
{
    size_t changed;
    if (store_run(a, QUERY_ALIAS_REMOVE, key, target, TEXT_NONE, &changed) != STORE_END)
        return store_unavailable(a, why);
    if (changed)
        return ACCOUNTS_OK;
    return store_refuse(why, ACCOUNTS_UNKNOWN,
                        target.length ? "there is no alias %.*s that leads to %.*s" : "there is no alias %.*s%.*s",
                        TEXT_ARGUMENTS(key), TEXT_ARGUMENTS(target));
}

enum accounts_result accounts_alias_remove(struct accounts *a, const struct address *alias,
                                           const struct address *target, struct buffer *why)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT),
                      to released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    if (!store_address_key(&key, alias) || (target && !store_address_key(&to, target)))
        return store_refuse(why, ACCOUNTS_REFUSED, "the address is too long");
    if (!store_change_begin(a))
        return store_unavailable(a, why);
    return store_change_end(a, delete_alias(a, buffer_text(&key), buffer_text(&to), why), why);
}

/* --- send as
 * ------------------------------------------------------------------------------------------------------------------------
 */

static enum accounts_result check_send_as(struct accounts *a, const struct settings *settings, struct text account,
                                          const struct address *address, struct text key, struct buffer *why)
{
    struct arena arena released_by(arena_done) = arena_new(8192);
    struct accounts_user user;
    struct store_domain ours;
    struct text local, domain;
    enum accounts_result result = store_user_find(a, account, &arena, &user);
    if (result == ACCOUNTS_UNKNOWN)
        return store_refuse(why, ACCOUNTS_UNKNOWN, "there is no account %.*s", TEXT_ARGUMENTS(account));
    store_key_split(key, &local, &domain);
    if (result == ACCOUNTS_OK)
        result = store_domain_find(a, domain, &arena, &ours);
    if (result == ACCOUNTS_UNKNOWN)
        return store_refuse(why, ACCOUNTS_REFUSED,
                            "%.*s is none of our domains: an account can send only as an address of ours",
                            TEXT_ARGUMENTS(domain));
    if (result != ACCOUNTS_OK)
        return store_unavailable(a, why);
    return local.length ? check_leads(a, settings, address, why) : ACCOUNTS_OK;
}

static enum accounts_result insert_send_as(struct accounts *a, struct text account, struct text key, struct buffer *why)
{
    size_t changed;
    enum store_step step = store_run(a, QUERY_SEND_AS_ADD, account, key, TEXT_NONE, &changed);
    if (step == STORE_TAKEN)
        return store_refuse(why, ACCOUNTS_EXISTS, "%.*s may send as %.*s already", TEXT_ARGUMENTS(account),
                            TEXT_ARGUMENTS(key));
    return step == STORE_END ? ACCOUNTS_OK : store_unavailable(a, why);
}

enum accounts_result accounts_send_as_add(struct accounts *a, const struct settings *settings,
                                          const struct address *account, const struct address *address,
                                          struct buffer *why)
{
    struct buffer user released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT),
                       key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    if (!store_address_key(&user, account) || !store_address_key(&key, address))
        return store_refuse(why, ACCOUNTS_REFUSED, "the address is too long");
    if (!store_change_begin(a))
        return store_unavailable(a, why);
    enum accounts_result result = check_send_as(a, settings, buffer_text(&user), address, buffer_text(&key), why);
    if (result == ACCOUNTS_OK)
        result = insert_send_as(a, buffer_text(&user), buffer_text(&key), why);
    return store_change_end(a, result, why);
}

static enum accounts_result delete_send_as(struct accounts *a, struct text account, struct text key, struct buffer *why)
{
    size_t changed;
    if (store_run(a, QUERY_SEND_AS_REMOVE, account, key, TEXT_NONE, &changed) != STORE_END)
        return store_unavailable(a, why);
    return changed ? ACCOUNTS_OK
                   : store_refuse(why, ACCOUNTS_UNKNOWN, "%.*s is not on the send-as list of %.*s", TEXT_ARGUMENTS(key),
                                  TEXT_ARGUMENTS(account));
}

enum accounts_result accounts_send_as_remove(struct accounts *a, const struct address *account,
                                             const struct address *address, struct buffer *why)
{
    struct buffer user released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT),
                       key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    if (!store_address_key(&user, account) || !store_address_key(&key, address))
        return store_refuse(why, ACCOUNTS_REFUSED, "the address is too long");
    if (!store_change_begin(a))
        return store_unavailable(a, why);
    return store_change_end(a, delete_send_as(a, buffer_text(&user), buffer_text(&key), why), why);
}

/* --- lists
 * --------------------------------------------------------------------------------------------------------------------------
 */

static enum accounts_result list_pairs(struct accounts *a, sqlite3_stmt *q, accounts_pair_function *function,
                                       void *context)
{
    enum store_step step;
    while ((step = store_step(a, q)) == STORE_ROW) {
        struct accounts_pair pair = {.name = store_text(q, 0), .value = store_text(q, 1)};
        function(context, &pair);
    }
    return step == STORE_END ? ACCOUNTS_OK : ACCOUNTS_UNAVAILABLE;
}

enum accounts_result accounts_alias_list(struct accounts *a, struct text domain, const struct accounts_pair *after,
                                         uint64_t limit, accounts_pair_function *function, void *context)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    if (domain.length && !domain_append_key(&key, domain))
        return ACCOUNTS_UNKNOWN;
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_ALIAS_LIST);
    if (!q)
        return ACCOUNTS_UNAVAILABLE;
    store_bind_text(q, 1, buffer_text(&key));
    store_bind_text(q, 2, after->name);
    store_bind_text(q, 3, after->value);
    store_bind_number(q, 4, (int64_t)smaller(limit, INT64_MAX));
    return list_pairs(a, q, function, context);
}

enum accounts_result accounts_send_as_list(struct accounts *a, struct text account, accounts_pair_function *function,
                                           void *context)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(a, QUERY_SEND_AS_LIST);
    if (!q)
        return ACCOUNTS_UNAVAILABLE;
    store_bind_text(q, 1, account);
    return list_pairs(a, q, function, context);
}
