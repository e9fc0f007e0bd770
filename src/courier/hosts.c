/* SPDX-License-Identifier: Apache-2.0 */
/* hosts: from a domain to the addresses to try (RFC 5321 section 5.1), and why there is none. What answers hold is a
 * stranger's: only names that could be a host's are looked up, only the first few, and never ourselves. */
#include "courier/private.h"

struct search {
    const struct courier_world *world;
    const struct courier_plan *plan;
    struct arena *arena;
    struct courier_host *hosts; /* room for COURIER_ADDRESSES */
    size_t count;
    bool has_late; /* something could not be looked up now */
    bool has_self; /* an address or name of ours */
    bool has_banned;
    unsigned self_preference;
};

struct exchange {
    struct text name;
    unsigned preference;
    uint64_t lot; /* equal preferences in a random order */
};

static bool no_host(struct result *failure, enum result_class class, unsigned code, struct text enhanced,
                    struct text why)
{
    *failure = (struct result){
        .class = class, .code = code, .enhanced = enhanced, .stage = TEXT("dns"), .text = why, .host = TEXT_NONE};
    return false;
}

static bool dns_failed(struct result *failure, struct text why)
{
    return no_host(failure, RESULT_DEFERRED, 0, TEXT("4.4.3"), why);
}

/* --- addresses of one name -------------------------------------------------------------------------------------- */

static bool read_address(enum dns_type type, struct text rdata, struct network_address *ret_address)
{
    uint8_t octets[16];
    if (type == DNS_A ? !dns_read_a(rdata, octets) : !dns_read_aaaa(rdata, octets))
        return false;
    *ret_address = type == DNS_A ? network_address_of_v4(octets) : network_address_of_v6(octets);
    return true;
}

static void note_self(struct search *s, unsigned preference)
{
    if (!s->has_self || preference < s->self_preference)
        s->self_preference = preference;
    s->has_self = true;
}

static void add_address(struct search *s, const struct courier_host *like, const struct network_address *address)
{
    switch (s->world->place(s->world->context, address, like->port, like->is_found_by_dns)) {
    case COURIER_IS_SELF:
        note_self(s, like->preference);
        return;
    case COURIER_MUST_NOT:
        s->has_banned = true;
        return;
    case COURIER_MAY_CONNECT:
        break;
    }
    if (s->count == COURIER_ADDRESSES)
        return;
    struct courier_host host = *like;
    host.has_address = true;
    host.address = *address;
    s->hosts[s->count++] = host;
}

/* Returns how many addresses there were, good or bad. */
static size_t add_addresses(struct search *s, const struct courier_host *like)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA};
    size_t seen = 0;
    for (size_t t = 0; t < length_of(types); t++) {
        struct courier_answer answer = s->world->ask(s->world->context, like->name, types[t], s->arena);
        s->has_late |= answer.outcome == DNS_FAILED || answer.outcome == DNS_BOGUS || answer.outcome == DNS_TIMED_OUT;
        for (size_t i = 0; answer.outcome == DNS_FOUND && i < answer.record_count; i++) {
            struct network_address address;
            if (read_address(types[t], answer.records[i], &address))
                add_address(s, like, &address);
            else
                s->has_late = true;
            seen++;
        }
    }
    return seen;
}

/* --- MX --------------------------------------------------------------------------------------------------------- */

static bool is_own_name(const struct search *s, struct text name)
{
    return text_equals_ignoring_case(name, s->world->hostname) || text_equals_ignoring_case(name, TEXT("localhost")) ||
           text_ends_with_ignoring_case(name, TEXT(".localhost"));
}

static bool comes_before(const struct exchange *a, const struct exchange *b)
{
    return a->preference != b->preference ? a->preference < b->preference : a->lot < b->lot;
}

/* Insertion: there are a few of them. The last ones fall out when there is no room. */
static void insert(struct exchange *list, size_t *count, const struct exchange *new)
{
    size_t at = *count;
    if (at == COURIER_HOSTS) {
        if (!comes_before(new, &list[at - 1]))
            return;
        at--;
    } else {
        (*count)++;
    }
    for (; at > 0 && comes_before(new, &list[at - 1]); at--)
        list[at] = list[at - 1];
    list[at] = *new;
}

/* False: a record that no server which works sends. */
static bool read_exchanges(struct search *s, const struct courier_answer *answer, struct exchange *list,
                           size_t *ret_count, size_t *ret_roots)
{
    size_t count = 0, roots = 0;
    for (size_t i = 0; i < answer->record_count; i++) {
        struct buffer name released_by(buffer_done) = buffer_new(DNS_NAME_LIMIT);
        struct exchange exchange = {.lot = random_number()};
        switch (dns_read_mx(answer->records[i], &name, &exchange.preference)) {
        case DNS_READ:
            break;
        case DNS_READ_ROOT:
            roots++;
            continue;
        case DNS_NOT_A_HOST:
            continue;
        case DNS_MALFORMED:
            return false;
        }
        if (is_own_name(s, buffer_text(&name))) {
            note_self(s, exchange.preference);
            continue;
        }
        exchange.name = courier_kept(s->arena, buffer_text(&name));
        insert(list, &count, &exchange);
    }
    *ret_count = count;
    *ret_roots = roots;
    return true;
}

/* RFC 5321 section 5.1: we are one of them, so only those that are preferred to us may be asked. */
static void drop_behind_self(struct search *s)
{
    size_t kept = 0;
    for (size_t i = 0; s->has_self && i < s->count; i++)
        if (s->hosts[i].preference < s->self_preference)
            s->hosts[kept++] = s->hosts[i];
    if (s->has_self)
        s->count = kept;
}

static bool decide(struct search *s, bool is_implicit, struct courier_host **ret_hosts, size_t *ret_count,
                   struct result *failure)
{
    drop_behind_self(s);
    if (s->count) {
        *ret_hosts = s->hosts;
        *ret_count = s->count;
        return true;
    }
    if (s->has_self)
        return no_host(
            failure, RESULT_FAILED, 0, TEXT("5.4.6"),
            TEXT("the domain's mail host is this server itself, but the domain is not one of its own: mail loop"));
    if (s->has_late)
        return dns_failed(failure, TEXT("the address of the domain's mail host could not be looked up"));
    if (s->has_banned)
        return no_host(failure, RESULT_FAILED, 0, TEXT("5.4.4"),
                       TEXT("the domain's mail host has only addresses that are never connected to"));
    if (is_implicit)
        return no_host(failure, RESULT_FAILED, 0, TEXT("5.1.2"), TEXT("the domain has no MX, A or AAAA record"));
    return no_host(failure, RESULT_FAILED, 0, TEXT("5.4.4"), TEXT("the domain's mail hosts have no address"));
}

static struct courier_host host_like(const struct search *s, struct text name, unsigned preference)
{
    return (struct courier_host){
        .name = name, .port = s->plan->port, .tls = s->plan->tls, .preference = preference, .is_found_by_dns = true};
}

static bool by_exchanges(struct search *s, const struct courier_answer *answer, struct courier_host **ret_hosts,
                         size_t *ret_count, struct result *failure)
{
    struct exchange list[COURIER_HOSTS];
    size_t count, roots;
    if (!read_exchanges(s, answer, list, &count, &roots))
        return dns_failed(failure, TEXT("the domain's MX record is malformed"));
    if (roots && answer->record_count == 1) /* RFC 7505 */
        return no_host(failure, RESULT_FAILED, 556, TEXT("5.1.10"), TEXT("the domain accepts no mail (null MX)"));
    for (size_t i = 0; i < count && s->count < COURIER_ADDRESSES; i++) {
        struct courier_host like = host_like(s, list[i].name, list[i].preference);
        ignored(add_addresses(s, &like)); /* without one the next host is looked at */
    }
    return decide(s, false, ret_hosts, ret_count, failure);
}

static bool search_begin(struct search *s, const struct courier_world *world, const struct courier_plan *plan,
                         struct arena *arena)
{
    *s = (struct search){.world = world, .plan = plan, .arena = arena};
    s->hosts = arena_take_array(arena, COURIER_ADDRESSES, sizeof *s->hosts);
    return s->hosts != NULL;
}

bool hosts_find(const struct courier_world *world, const struct courier_plan *plan, struct arena *arena,
                struct courier_host **ret_hosts, size_t *ret_count, struct result *failure)
{
    struct search s;
    if (!search_begin(&s, world, plan, arena))
        return dns_failed(failure, TEXT("not enough memory for the look-up"));
    struct courier_answer answer = world->ask(world->context, plan->domain, DNS_MX, arena);
    switch (answer.outcome) {
    case DNS_FOUND:
        return by_exchanges(&s, &answer, ret_hosts, ret_count, failure);
    case DNS_NO_NAME:
        return no_host(failure, RESULT_FAILED, 0, TEXT("5.1.2"), TEXT("the domain does not exist"));
    case DNS_NO_DATA: {
        struct courier_host like = host_like(&s, plan->domain, 0);
        ignored(add_addresses(&s, &like)); /* decide looks at what was found */
        return decide(&s, true, ret_hosts, ret_count, failure);
    }
    case DNS_BOGUS:
        return dns_failed(failure, TEXT("the domain's DNS answer is forged or wrongly signed (DNSSEC)"));
    case DNS_FAILED:
    case DNS_TIMED_OUT:
    case DNS_OUTCOMES:
        break;
    }
    return dns_failed(failure, answer.outcome == DNS_TIMED_OUT
                                   ? TEXT("the domain's name servers did not answer in time")
                                   : TEXT("the domain's name servers failed"));
}

bool hosts_of_name(const struct courier_world *world, const struct courier_host *named, struct arena *arena,
                   struct courier_host **ret_hosts, size_t *ret_count, struct result *failure)
{
    struct search s;
    if (!search_begin(&s, world, NULL, arena))
        return dns_failed(failure, TEXT("not enough memory for the look-up"));
    if (named->has_address)
        add_address(&s, named, &named->address);
    else
        ignored(add_addresses(&s, named)); /* what was found is looked at below */
    if (named->is_found_by_dns)            /* an address literal of the recipient's */
        return decide(&s, false, ret_hosts, ret_count, failure);
    if (s.count) {
        *ret_hosts = s.hosts;
        *ret_count = s.count;
        return true;
    }
    /* the administrator wrote it down: the mail waits until he mends it */
    bool is_self = s.has_self;
    bool is_missing = !is_self && !s.has_late;
    no_host(failure, RESULT_DEFERRED, 0,
            is_self      ? TEXT("4.4.6")
            : is_missing ? TEXT("4.4.4")
                         : TEXT("4.4.3"),
            is_self      ? TEXT("the host written down for this mail is this server itself")
            : is_missing ? TEXT("the host written down for this mail has no address")
                         : TEXT("the host written down for this mail could not be looked up"));
    failure->host = courier_kept(arena, named->name);
    return false;
}
