/* SPDX-License-Identifier: Apache-2.0 */
/* resolver: the one that asks the DNS, for front, relay and control. One thread; libunbound has one of its own. Each
 * question has the deadline that its asker gave; what is late is answered as timed out. It opens nothing after the
 * sandbox: the root key is read before. */
#include "dns/dns.h"
#include "roles/role.h"

#include <stdlib.h>

enum {
    PENDING_LIMIT = 4096,
    DEADLINE_LIMIT_MS = 60 * 1000,
    ROOT_KEY_LIMIT = 64 * 1024,
};

struct pending {
    struct pending *previous, *next;
    struct keeper *keeper;
    struct link *asker;
    uint64_t tag;
    unsigned type;
    struct buffer name;
    struct dns_question *question;
    struct loop_timer *timer;
};

struct keeper {
    struct role *role;
    struct dns_resolver *resolver;
    struct loop_watch *watch;
    struct buffer root_key;
    struct pending *pending; /* newest first */
    uint64_t pending_count;
    uint64_t outcomes[DNS_OUTCOMES];
};

static bool make_resolver(struct keeper *k, struct dns_resolver **ret_resolver)
{
    const struct settings_resolvers *rows = &k->role->settings->service_resolver;
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct buffer why released_by(buffer_done) = buffer_new(512);
    struct dns_server *servers = arena_take_array(&arena, larger(rows->count, 1), sizeof *servers);
    must(servers != NULL);
    for (size_t i = 0; i < rows->count; i++) {
        struct buffer address released_by(buffer_done) = buffer_new(64);
        network_address_append(&address, &rows->rows[i].address);
        servers[i] = (struct dns_server){.port = rows->rows[i].port,
                                         .is_loopback = network_address_is_loopback(&rows->rows[i].address)};
        must(arena_copy(&arena, buffer_text(&address), &servers[i].address));
    }
    struct dns_resolver_options options = {
        .servers = servers, .server_count = rows->count, .root_key = buffer_text(&k->root_key)};
    if (dns_resolver_new(&options, &why, ret_resolver))
        return true;
    role_event(k->role, RECORD_ALARM, TEXT("resolver-failed"), (struct text[]){TEXT("why"), buffer_text(&why)}, 2);
    return false;
}

/* Where Debian's packages put it. Without one there is no validation, and status says so. */
static void read_root_key(struct keeper *k)
{
    static const struct {
        struct text folder, name;
    } places[] = {
        {.folder = TEXT_INIT("/usr/share/dns"), .name = TEXT_INIT("root.key")},
        {.folder = TEXT_INIT("/var/lib/unbound"), .name = TEXT_INIT("root.key")},
    };
    for (size_t i = 0; i < length_of(places) && k->root_key.length == 0; i++) {
        int folder released_by(file_close) = -1;
        if (folder_open(-1, places[i].folder, &folder) == 0)
            ignored(file_read_whole(folder, places[i].name, &k->root_key)); /* absent: the next place, or none */
    }
}

static bool prepare(struct role *role)
{
    struct keeper *k = role->context;
    k->role = role;
    k->root_key = buffer_new(ROOT_KEY_LIMIT);
    read_root_key(k);
    return make_resolver(k, &k->resolver);
}

static void pending_free(struct pending *p)
{
    struct keeper *k = p->keeper;
    if (p->previous)
        p->previous->next = p->next;
    else
        k->pending = p->next;
    if (p->next)
        p->next->previous = p->previous;
    k->pending_count--;
    dns_resolver_cancel(&p->question);
    loop_timer_free(&p->timer);
    buffer_done(&p->name);
    free(p);
}

static void send_answer(struct keeper *k, struct link *asker, uint64_t tag, const struct dns_answer *answer)
{
    struct peers_dns_answer message = {.tag = tag,
                                       .outcome = answer->outcome,
                                       .is_secure = answer->is_secure,
                                       .ttl = answer->ttl,
                                       .canonical = text_first(answer->canonical, 1024)};
    k->outcomes[answer->outcome]++;
    message.records.items = (struct text *)(uintptr_t)answer->records; /* packed, never written */
    message.records.count = answer->record_count;
    if (link_send(asker, PEERS_dns_answer, &message, NULL) || answer->record_count == 0)
        return;
    /* more octets than a message holds: no server that works needs them */
    message.outcome = DNS_FAILED;
    message.records = (struct texts){.count = 0};
    ignored(link_send(asker, PEERS_dns_answer, &message, NULL)); /* the asker is gone */
}

static void answered(void *context, const struct dns_answer *answer)
{
    struct pending *p = context;
    p->question = NULL; /* it ends with this call */
    send_answer(p->keeper, p->asker, p->tag, answer);
    pending_free(p);
}

static void late(void *context)
{
    struct pending *p = context;
    send_answer(p->keeper, p->asker, p->tag, &(struct dns_answer){.outcome = DNS_TIMED_OUT, .canonical = TEXT_NONE});
    pending_free(p);
}

/* False: it was answered with a failure and is gone. */
static bool ask(struct pending *p)
{
    if (dns_resolver_ask(p->keeper->resolver, buffer_text(&p->name), p->type, answered, p, &p->question))
        return true;
    send_answer(p->keeper, p->asker, p->tag, &(struct dns_answer){.outcome = DNS_FAILED, .canonical = TEXT_NONE});
    pending_free(p);
    return false;
}

static void take_question(struct keeper *k, struct link *from, const struct peers_dns_ask *asked)
{
    if (k->pending_count >= PENDING_LIMIT || asked->type > 65535) {
        send_answer(k, from, asked->tag, &(struct dns_answer){.outcome = DNS_FAILED, .canonical = TEXT_NONE});
        return;
    }
    struct pending *p = calloc(1, sizeof *p);
    must(p != NULL);
    *p = (struct pending){.keeper = k,
                          .asker = from,
                          .tag = asked->tag,
                          .type = (unsigned)asked->type,
                          .name = buffer_new(1024),
                          .next = k->pending};
    if (p->next)
        p->next->previous = p;
    k->pending = p;
    k->pending_count++;
    must(buffer_append(&p->name, asked->name));
    p->timer = loop_timer_new(k->role->loop, late, p);
    uint64_t deadline = asked->deadline < DEADLINE_LIMIT_MS ? asked->deadline : DEADLINE_LIMIT_MS;
    loop_timer_set(p->timer, deadline);
    ignored(ask(p)); /* it was answered then */
}

static void resolver_ready(void *context, unsigned ready not_used)
{
    struct keeper *k = context;
    dns_resolver_process(k->resolver);
}

static void begin(struct role *role)
{
    struct keeper *k = role->context;
    k->watch = loop_watch_new(role->loop, dns_resolver_file(k->resolver), LOOP_READABLE, resolver_ready, k);
}

/* Who restarted does not wait for these any more. */
static void unlinked(struct role *role, struct link *link)
{
    struct keeper *k = role->context;
    for (struct pending *p = k->pending, *next; p; p = next) {
        next = p->next;
        if (p->asker == link)
            pending_free(p);
    }
}

static bool same_servers(const struct settings_resolvers *a, const struct settings_resolvers *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!network_address_equals(&a->rows[i].address, &b->rows[i].address) || a->rows[i].port != b->rows[i].port)
            return false;
    return true;
}

/* Other servers: the cache of the old ones is worth nothing, and what they were asked is asked again. */
static void change_servers(struct keeper *k)
{
    struct dns_resolver *resolver = NULL;
    if (!make_resolver(k, &resolver))
        return;
    for (struct pending *p = k->pending; p; p = p->next)
        dns_resolver_cancel(&p->question);
    loop_watch_free(&k->watch);
    dns_resolver_free(&k->resolver);
    k->resolver = resolver;
    begin(k->role);
    for (struct pending *p = k->pending, *next; p; p = next) {
        next = p->next;
        ignored(ask(p)); /* it was answered then */
    }
}

static void settings_changed(struct role *role, const struct settings *before)
{
    struct keeper *k = role->context;
    if (k->resolver && role->loop && !same_servers(&before->service_resolver, &role->settings->service_resolver))
        change_servers(k);
    role_settings_release(role, before);
}

static void tell_status(struct keeper *k, struct link *from, uint64_t tag)
{
    enum { ROWS = DNS_OUTCOMES + 3 };
    struct buffer numbers[ROWS];
    struct text pairs[2 * ROWS];
    size_t count = 0;
    const uint64_t values[] = {k->pending_count, k->role->settings->service_resolver.count};
    static const struct text names[] = {TEXT_INIT("questions"), TEXT_INIT("forwarders")};
    for (size_t i = 0; i < ROWS; i++)
        numbers[i] = buffer_new(24);
    for (size_t i = 0; i < length_of(values) + DNS_OUTCOMES; i++) {
        bool is_outcome = i >= length_of(values);
        size_t outcome = i - length_of(values);
        ignored(buffer_append_number(&numbers[i], is_outcome ? k->outcomes[outcome] : values[i])); /* 20 digits fit */
        pairs[count++] = is_outcome ? dns_outcome_word((enum dns_outcome)outcome) : names[i];
        pairs[count++] = buffer_text(&numbers[i]);
    }
    pairs[count++] = TEXT("validates");
    pairs[count++] = k->root_key.length && k->role->settings->service_resolver.count == 0 ? TEXT("yes") : TEXT("no");
    role_status(k->role, from, tag, pairs, count);
    for (size_t i = 0; i < ROWS; i++)
        buffer_done(&numbers[i]);
}

static void take_command(struct keeper *k, struct link *from, const struct peers_command_ask *asked)
{
    if (!text_equals(asked->name, TEXT("status"))) {
        role_end(from, asked->tag, 1, TEXT("the resolver does not know this command"));
        return;
    }
    tell_status(k, from, asked->tag);
    role_end(from, asked->tag, 0, TEXT_NONE);
}

static void message(struct role *role, struct link *from, const struct peers_message *message,
                    struct channel_descriptors *files not_used)
{
    struct keeper *k = role->context;
    if (message->type == PEERS_dns_ask)
        take_question(k, from, &message->dns_ask);
    else if (message->type == PEERS_command_ask)
        take_command(k, from, &message->command_ask);
}

int main(void)
{
    static const struct role_program program = {
        .self = PEERS_RESOLVER,
        .grants = SANDBOX_DATAGRAMS | SANDBOX_THREADS,
        .prepare = prepare,
        .begin = begin,
        .message = message,
        .unlinked = unlinked,
        .settings_changed = settings_changed,
    };
    struct keeper *k = calloc(1, sizeof *k);
    must(k != NULL);
    return role_main(&program, k);
}
