/* SPDX-License-Identifier: Apache-2.0 */
/* Aliases are followed from address to address with a list of those seen: a loop ends, and the work has a limit. */
#include "accounts/store.h"

enum { WALK_LIMIT = 256 };

struct walk {
    struct accounts *a;
    const struct settings *settings;
    struct arena *arena;
    struct text seen[WALK_LIMIT]; /* keys; those from next on are still to be looked at */
    size_t count, next;
    struct accounts_user users[ACCOUNTS_FORWARDS];
    size_t user_count;
    struct text outside[ACCOUNTS_FORWARDS];
    size_t outside_count;
    bool has_disabled;  /* an account was left out for that */
    bool is_caught_all; /* it goes where it goes by a catch-all alone */
    bool is_over;       /* more than the limits take */
};

static bool add_key(struct walk *w, struct text key)
{
    for (size_t i = 0; i < w->count; i++)
        if (text_equals(w->seen[i], key))
            return true;
    if (w->count == WALK_LIMIT) {
        w->is_over = true;
        return true;
    }
    return arena_copy(w->arena, key, &w->seen[w->count]) && ++w->count;
}

static bool join_key(struct arena *arena, struct text local, struct text domain, struct text *ret_key)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    return buffer_append(&key, local) && buffer_append_octet(&key, '@') && buffer_append(&key, domain) &&
           arena_copy(arena, buffer_text(&key), ret_key);
}

static enum accounts_result take_user(struct walk *w, struct text key)
{
    struct accounts_user user;
    enum accounts_result result = store_user_find(w->a, key, w->arena, &user);
    if (result != ACCOUNTS_OK)
        return result;
    for (size_t i = 0; i < w->user_count; i++)
        if (text_equals(w->users[i].address, user.address))
            return ACCOUNTS_OK;
    if (user.is_disabled)
        w->has_disabled = true;
    else if (w->user_count == ACCOUNTS_FORWARDS)
        w->is_over = true;
    else
        w->users[w->user_count++] = user;
    return ACCOUNTS_OK;
}

static enum accounts_result take_alias(struct walk *w, struct text key)
{
    sqlite3_stmt *q released_by(store_query_done) = store_query(w->a, QUERY_ALIAS_FIND);
    if (!q)
        return ACCOUNTS_UNAVAILABLE;
    store_bind_text(q, 1, key);
    enum store_step step;
    size_t rows = 0;
    for (; (step = store_step(w->a, q)) == STORE_ROW; rows++)
        if (!add_key(w, store_text(q, 0)))
            return ACCOUNTS_UNAVAILABLE;
    if (step != STORE_END)
        return ACCOUNTS_UNAVAILABLE;
    return rows ? ACCOUNTS_OK : ACCOUNTS_UNKNOWN;
}

static enum accounts_result take_name(struct walk *w, struct text key)
{
    enum accounts_result result = take_user(w, key);
    return result == ACCOUNTS_UNKNOWN ? take_alias(w, key) : result;
}

/* user+tag is user, unless it is a name of its own. */
static enum accounts_result take_name_or_tagged(struct walk *w, struct text local, struct text domain)
{
    struct text key;
    if (!join_key(w->arena, local, domain, &key))
        return ACCOUNTS_UNAVAILABLE;
    enum accounts_result result = take_name(w, key);
    size_t plus = text_find_octet(local, '+');
    if (result != ACCOUNTS_UNKNOWN || plus == 0 || plus == local.length || local.bytes[0] == '"')
        return result;
    if (!join_key(w->arena, text_first(local, plus), domain, &key))
        return ACCOUNTS_UNAVAILABLE;
    return take_name(w, key);
}

static bool is_service_name(const struct settings *settings, struct text local)
{
    return text_equals(local, TEXT("postmaster")) || text_equals(local, TEXT("abuse")) ||
           text_equals_ignoring_case(local, settings->delivery_report_alias);
}

/* The administrator is the address set; while nobody takes that one, the first account. Only names count on the way:
 * postmaster@ is the default, and must not lead back here. */
static enum accounts_result take_administrator(struct walk *w)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    struct text set = w->settings->service_administrator, first, local, domain;
    struct address address;
    struct store_domain ours;
    if (set.length == 0) {
        if (accounts_first_domain(w->a, w->arena, &first) != ACCOUNTS_OK ||
            !join_key(w->arena, TEXT("postmaster"), first, &set))
            return ACCOUNTS_UNAVAILABLE;
    }
    if (address_parse(set, true, &address) == ADDRESS_OK && address.domain.length &&
        store_address_key(&key, &address)) {
        store_key_split(buffer_text(&key), &local, &domain);
        enum accounts_result result = store_domain_find(w->a, domain, w->arena, &ours);
        if (result == ACCOUNTS_UNKNOWN)
            return add_key(w, buffer_text(&key)) ? ACCOUNTS_OK : ACCOUNTS_UNAVAILABLE;
        size_t users = w->user_count, keys = w->count;
        if (result == ACCOUNTS_OK)
            result = take_name_or_tagged(w, local, ours.alias_of.length ? ours.alias_of : domain);
        bool leads_nowhere =
            result == ACCOUNTS_OK && users == w->user_count && keys == w->count; /* the account is disabled */
        if (result != ACCOUNTS_UNKNOWN && !leads_nowhere)
            return result;
    }
    struct accounts_user user;
    enum accounts_result result = store_user_first(w->a, w->arena, &user);
    /* a domain without any account: its postmaster is not unknown, there is just nobody yet */
    return result == ACCOUNTS_OK ? take_user(w, user.address) : ACCOUNTS_UNAVAILABLE;
}

static enum accounts_result take_outside(struct walk *w, struct text key)
{
    if (w->outside_count == ACCOUNTS_FORWARDS)
        w->is_over = true;
    else
        w->outside[w->outside_count++] = key;
    return ACCOUNTS_OK;
}

static enum accounts_result take_catch_all(struct walk *w, const struct store_domain *ours)
{
    if (ours->catch_all.length == 0)
        return ACCOUNTS_UNKNOWN;
    w->is_caught_all = true;
    return add_key(w, ours->catch_all) ? ACCOUNTS_OK : ACCOUNTS_UNAVAILABLE;
}

/* One address, the first or one that an alias led to. */
static enum accounts_result take_address(struct walk *w, struct text key)
{
    struct text local, domain;
    struct store_domain ours;
    store_key_split(key, &local, &domain);
    enum accounts_result result = store_domain_find(w->a, domain, w->arena, &ours);
    if (result == ACCOUNTS_UNKNOWN)
        return take_outside(w, key);
    if (result != ACCOUNTS_OK)
        return result;
    if (ours.alias_of.length) {
        domain = ours.alias_of;
        result = store_domain_find(w->a, domain, w->arena, &ours);
        if (result != ACCOUNTS_OK)
            return result;
    }
    result = take_name_or_tagged(w, local, domain);
    if (result == ACCOUNTS_UNKNOWN && is_service_name(w->settings, local))
        result = take_administrator(w);
    if (result == ACCOUNTS_UNKNOWN)
        result = take_catch_all(w, &ours);
    return result;
}

static bool may_send_as(struct walk *w, struct text key, struct text login)
{
    struct text local, domain, whole_domain;
    if (!w->is_caught_all && w->user_count == 1 && w->outside_count == 0 && text_equals(w->users[0].address, login))
        return true;
    store_key_split(key, &local, &domain);
    sqlite3_stmt *q released_by(store_query_done) = store_query(w->a, QUERY_SEND_AS_FIND);
    if (!q || !join_key(w->arena, TEXT_NONE, domain, &whole_domain))
        return false;
    store_bind_text(q, 1, login);
    store_bind_text(q, 2, key);
    store_bind_text(q, 3, whole_domain);
    return store_step(w->a, q) == STORE_ROW;
}

static struct accounts_route route_of(struct walk *w, struct text key, struct text login)
{
    struct accounts_route route = {.kind = MAIL_ADDRESS_LOCAL};
    if (w->user_count + w->outside_count == 0)
        route.kind = w->has_disabled ? MAIL_ADDRESS_LOCAL_DISABLED : MAIL_ADDRESS_LOCAL_NOBODY;
    else if (login.length && may_send_as(w, key, login))
        route.kind = MAIL_ADDRESS_LOCAL_OWN;
    if (w->user_count) {
        route.account = w->users[0].address;
        route.quota = w->users[0].quota;
    }
    for (size_t i = 1; i < w->user_count && route.forward_count < ACCOUNTS_FORWARDS; i++)
        route.forwards[route.forward_count++] = w->users[i].address;
    for (size_t i = 0; i < w->outside_count && route.forward_count < ACCOUNTS_FORWARDS; i++)
        route.forwards[route.forward_count++] = w->outside[i];
    return route;
}

static bool is_foreign(struct walk *w, struct text key, bool *ret_is_foreign)
{
    struct text local, domain;
    struct store_domain ours;
    store_key_split(key, &local, &domain);
    enum accounts_result result = store_domain_find(w->a, domain, w->arena, &ours);
    *ret_is_foreign = result == ACCOUNTS_UNKNOWN;
    return result == ACCOUNTS_OK || result == ACCOUNTS_UNKNOWN;
}

/* Either all of it, or UNAVAILABLE: a delivery to half of a group would be final. */
static struct accounts_route walk_from(struct walk *w, struct text key, struct text login)
{
    const struct accounts_route unavailable = {.kind = MAIL_ADDRESS_UNAVAILABLE};
    bool foreign;
    if (!is_foreign(w, key, &foreign) || !add_key(w, key))
        return unavailable;
    if (foreign)
        return (struct accounts_route){.kind = MAIL_ADDRESS_FOREIGN};
    for (; w->next < w->count; w->next++) {
        enum accounts_result result = take_address(w, w->seen[w->next]);
        if (result != ACCOUNTS_OK && result != ACCOUNTS_UNKNOWN)
            return unavailable;
    }
    if (w->is_over || w->user_count + w->outside_count > ACCOUNTS_FORWARDS)
        return unavailable;
    struct accounts_route route = route_of(w, key, login);
    return accounts_is_available(w->a) ? route : unavailable;
}

struct accounts_route accounts_resolve(struct accounts *a, const struct settings *settings,
                                       const struct address *address, struct text login, struct arena *arena)
{
    struct buffer key released_by(buffer_done) = buffer_new(STORE_KEY_LIMIT);
    struct walk w = {.a = a, .settings = settings, .arena = arena};
    if (address_is_null(address))
        return (struct accounts_route){.kind = MAIL_ADDRESS_FOREIGN};
    if (!accounts_is_available(a))
        return (struct accounts_route){.kind = MAIL_ADDRESS_UNAVAILABLE};
    if (address->domain.length == 0) { /* <Postmaster>, RFC 5321 section 4.5.1 */
        struct text first;
        if (accounts_first_domain(a, arena, &first) != ACCOUNTS_OK || first.length == 0)
            return (struct accounts_route){.kind = MAIL_ADDRESS_UNAVAILABLE};
        struct address postmaster = {.local = TEXT("postmaster"), .domain = first};
        return store_address_key(&key, &postmaster) ? walk_from(&w, buffer_text(&key), login)
                                                    : (struct accounts_route){.kind = MAIL_ADDRESS_UNAVAILABLE};
    }
    if (!store_address_key(&key, address))
        return (struct accounts_route){.kind = MAIL_ADDRESS_FOREIGN}; /* longer than any name of ours can be */
    return walk_from(&w, buffer_text(&key), login);
}
