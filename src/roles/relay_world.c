/* SPDX-License-Identifier: Apache-2.0 */
/* What a courier asks of the relay: where to, the DNS, the body, whom never to connect to; and its results on their way
 * back. */
#include "roles/relay.h"

#include "mail/packed.h"

enum { RESULT_TEXT = 1000, RESULTS_ROOM = 140 * 1024, RESULT_OVERHEAD = 200, RECORDS = 256 };

struct errand {
    struct worker *worker;
    struct job *job;
    const struct settings *settings;
};

/* --- DNS -------------------------------------------------------------------------------------------------------- */

static bool take_records(const struct buffer *packed, struct arena *arena, struct courier_answer *answer)
{
    struct text rest = buffer_text(packed), record;
    answer->records = arena_take_array(arena, RECORDS, sizeof *answer->records);
    if (packed->is_full || !answer->records)
        return false;
    while (answer->record_count < RECORDS && packed_take_text(&rest, &record))
        if (!arena_copy(arena, record, &answer->records[answer->record_count++]))
            return false;
    return true;
}

static struct courier_answer ask(void *context, struct text name, enum dns_type type, struct arena *arena)
{
    struct errand *e = context;
    struct worker *w = e->worker;
    struct relay *r = w->relay;
    struct courier_answer answer = {.outcome = DNS_FAILED};
    pthread_mutex_lock(&r->lock);
    struct peers_dns_ask question = {.tag = relay_tag(w, false), .type = type, .deadline = RELAY_DNS_MS, .name = name};
    pthread_mutex_unlock(&r->lock);
    bool is_sent = link_send(role_link(r->role, PEERS_RESOLVER), PEERS_dns_ask, &question, NULL);
    pthread_mutex_lock(&r->lock);
    if (!is_sent)
        w->answer.tag = 0;
    else if (relay_wait(w, RELAY_DNS_MS + 2000))
        answer.outcome =
            take_records(&w->answer.octets, arena, &answer) ? (enum dns_outcome)w->answer.outcome : DNS_FAILED;
    else
        answer.outcome = DNS_TIMED_OUT;
    pthread_mutex_unlock(&r->lock);
    return answer;
}

/* --- the body --------------------------------------------------------------------------------------------------- */

static bool is_in_slot(const struct job *job, uint64_t at)
{
    return at >= job->part_at && at - job->part_at < job->part_length;
}

/* A queue that came later has other deliveries under these numbers. */
static struct link *queue_of(struct relay *r, const struct job *job)
{
    pthread_mutex_lock(&r->lock);
    bool is_the_same = job->queue_births == r->queue_births;
    pthread_mutex_unlock(&r->lock);
    return is_the_same ? role_link(r->role, PEERS_QUEUE) : NULL;
}

static struct text body(void *context, uint64_t at)
{
    struct errand *e = context;
    struct worker *w = e->worker;
    struct relay *r = w->relay;
    struct job *job = e->job;
    if (job->is_body_lost)
        return TEXT_NONE;
    if (!is_in_slot(job, at)) {
        pthread_mutex_lock(&r->lock);
        job->part_length = 0; /* the queue writes into the slot from now on */
        ignored(relay_tag(w, true)); /* the answer is known by the delivery; the tag says that one is waited for */
        pthread_mutex_unlock(&r->lock);
        struct peers_body_ask question = {.delivery = job->delivery, .at = at};
        bool is_sent = link_send(queue_of(r, job), PEERS_body_ask, &question, NULL);
        pthread_mutex_lock(&r->lock);
        bool is_there = is_sent && relay_wait(w, RELAY_BODY_MS);
        w->answer.tag = 0;
        pthread_mutex_unlock(&r->lock);
        job->is_body_lost = !is_there || !is_in_slot(job, at);
        if (job->is_body_lost)
            return TEXT_NONE;
    }
    uint64_t skipped = at - job->part_at;
    return text_of(job->window + job->slot * DELIVERY_SLOT + skipped, (size_t)(job->part_length - skipped));
}

/* --- whom never to connect to ----------------------------------------------------------------------------------- */

static void find_public(struct errand *e)
{
    struct worker *w = e->worker;
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    static const enum dns_type types[] = {DNS_A, DNS_AAAA};
    w->has_public = true;
    w->public_count = 0;
    for (size_t t = 0; t < length_of(types); t++) {
        struct courier_answer answer = ask(e, e->settings->service_hostname, types[t], &arena);
        for (size_t i = 0;
             answer.outcome == DNS_FOUND && i < answer.record_count && w->public_count < length_of(w->public); i++) {
            uint8_t octets[16];
            if (types[t] == DNS_A && dns_read_a(answer.records[i], octets))
                w->public[w->public_count++] = network_address_of_v4(octets);
            else if (types[t] == DNS_AAAA && dns_read_aaaa(answer.records[i], octets))
                w->public[w->public_count++] = network_address_of_v6(octets);
        }
    }
}

static bool is_own(struct errand *e, const struct network_address *address, bool asks_dns)
{
    struct worker *w = e->worker;
    struct buffer text released_by(buffer_done) = buffer_new(64);
    network_address_append(&text, address);
    if (network_address_is_loopback(address) || socket_is_own(buffer_text(&text)))
        return true;
    if (asks_dns && !w->has_public)
        find_public(e);
    for (size_t i = 0; asks_dns && i < w->public_count; i++)
        if (network_address_equals(&w->public[i], address))
            return true;
    return false;
}

static bool has_self_row(const struct settings_clients *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        if (rows->rows[i].kind == SETTINGS_CLIENT_SELF)
            return true;
    return false;
}

static bool is_unspecified(const struct network_address *address)
{
    static const uint8_t zero[4], zeros[16];
    struct network_address four = network_address_of_v4(zero), six = network_address_of_v6(zeros);
    return network_address_equals(address, &four) || network_address_equals(address, &six);
}

/* What DNS names goes through never_connect; what the administrator wrote down only never to our own listeners. */
static enum courier_place place(void *context, const struct network_address *address, uint16_t port,
                                bool is_found_by_dns)
{
    struct errand *e = context;
    const struct settings_clients *never = &e->settings->delivery_never_connect;
    bool minds_self = is_found_by_dns && has_self_row(never);
    bool owns = is_own(e, address, minds_self);
    if (route_is_self(e->settings, address, port, address, owns ? 1 : 0) ||
        (minds_self && owns && !network_address_is_loopback(address)))
        return COURIER_IS_SELF;
    if (!is_found_by_dns || !settings_clients_contain(never, address))
        return COURIER_MAY_CONNECT;
    return network_address_is_loopback(address) || is_unspecified(address) ? COURIER_IS_SELF : COURIER_MUST_NOT;
}

/* --- what happens on the way ------------------------------------------------------------------------------------ */

static void note(void *context, enum courier_note what, struct text host, const struct result *failure,
                 struct text details)
{
    struct errand *e = context;
    struct relay *r = e->worker->relay;
    struct buffer id released_by(buffer_done) = buffer_new(32), code released_by(buffer_done) = buffer_new(16);
    queue_id_append(&id, e->job->id);
    if (what == COURIER_NOTE_CONNECTED) {
        r->sessions++;
        role_event(r->role, RECORD_INFO, TEXT("out-connected"),
                   (struct text[]){TEXT("id"), buffer_text(&id), TEXT("host"), host, TEXT("tls"), details}, 6);
        return;
    }
    r->failed++;
    if (failure->code)
        buffer_append_number(&code, failure->code);
    role_event(r->role, RECORD_NOTICE, TEXT("out-failed"),
               (struct text[]){TEXT("id"), buffer_text(&id), TEXT("host"), host, TEXT("stage"), failure->stage,
                               TEXT("code"), buffer_text(&code), TEXT("status"), failure->enhanced, TEXT("reply"),
                               text_first(failure->text, RESULT_TEXT)},
               12);
}

/* --- from the route to a plan ----------------------------------------------------------------------------------- */

static bool plan_hosts(const struct route *route, struct arena *arena, const struct courier_host **ret_hosts)
{
    struct courier_host *hosts = arena_take_array(arena, larger(route->host_count, 1), sizeof *hosts);
    if (!hosts)
        return false;
    for (size_t i = 0; i < route->host_count; i++) {
        const struct route_host *from = &route->hosts[i];
        hosts[i] = (struct courier_host){
            .name = from->is_address ? TEXT_NONE : from->name,
            .has_address = from->is_address,
            .address = from->address,
            .port = from->port,
            .tls = (enum settings_tls_level)from->tls,
            .user = from->user,
            .password = from->password,
            /* an address literal of the recipient's: nobody wrote it down, but never_connect was asked by the route */
            .is_found_by_dns = from->is_address && from->name.length == 0,
            .may_login_in_clear = from->tls == SETTINGS_TLS_LEVEL_OFF,
        };
    }
    *ret_hosts = hosts;
    return true;
}

static bool make_plan(struct errand *e, struct courier_plan *ret_plan, struct result *failure)
{
    struct job *job = e->job;
    struct route route;
    struct courier_plan plan = {.destination = buffer_text(&job->destination)};
    if (!route_of_destination(&job->arena, plan.destination, NULL, 0, e->settings, &route) ||
        !plan_hosts(&route, &job->arena, &plan.hosts)) {
        *failure = (struct result){.class = RESULT_DEFERRED,
                                   .enhanced = TEXT("4.3.0"),
                                   .stage = TEXT("route"),
                                   .text = TEXT("not enough memory")};
        return false;
    }
    if (route.kind != ROUTE_DNS && route.kind != ROUTE_HOSTS) {
        *failure = route.kind == ROUTE_LATER || route.kind == ROUTE_REFUSED
                       ? route_result(&route)
                       : (struct result){.class = RESULT_DEFERRED,
                                         .enhanced = TEXT("4.3.5"),
                                         .stage = TEXT("route"),
                                         .text = TEXT("this destination is a local one")};
        return false;
    }
    plan.domain = route.kind == ROUTE_DNS ? route.domain : TEXT_NONE;
    plan.port = route.port;
    plan.tls = (enum settings_tls_level)route.tls;
    plan.host_count = route.host_count;
    plan.has_source = route.has_source;
    plan.source = route.source;
    plan.max_recipients = (size_t)route.max_recipients;
    *ret_plan = plan;
    return true;
}

/* --- a job ------------------------------------------------------------------------------------------------------ */

void relay_answer(struct relay *r, struct job *job)
{
    size_t count = job->envelope.recipient_count;
    struct buffer packed released_by(buffer_done) = buffer_new(1 << 20);
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct text *items = arena_take_array(&arena, larger(count, 1), sizeof *items);
    size_t *ends = arena_take_array(&arena, count + 1, sizeof *ends);
    must(items && ends);
    /* all results must fit into one message: with a thousand recipients little is kept of each text */
    size_t share = RESULTS_ROOM / larger(count, 1);
    size_t text_limit = smaller(RESULT_TEXT, share > RESULT_OVERHEAD ? share - RESULT_OVERHEAD : 0);
    for (size_t i = 0; i < count; i++) {
        struct result *result = &job->results[i];
        result->text = text_first(result->text, text_limit);
        result->host = text_first(result->host, smaller(text_limit, 300));
        must(result_pack(&packed, result));
        ends[i + 1] = packed.length;
    }
    for (size_t i = 0; i < count; i++)
        items[i] = text_of(packed.bytes + ends[i], ends[i + 1] - ends[i]);
    struct peers_delivered delivered = {.delivery = job->delivery, .results = {.items = items, .count = count}};
    ignored(link_send(queue_of(r, job), PEERS_delivered, &delivered, NULL)); /* a new queue tries again by itself */
}

void relay_run(struct worker *w, struct job *job)
{
    struct errand e = {.worker = w, .job = job, .settings = job->snapshot->settings};
    struct relay *r = w->relay;
    struct courier_plan plan;
    struct result failure;
    struct courier_world world = {
        .context = &e,
        .hostname = e.settings->service_hostname,
        .ask = ask,
        .place = place,
        .body = body,
        .note = note,
        .tls = r->tls[e.settings->tls_min_version <= TLS_VERSION_1_3 ? e.settings->tls_min_version
                                                                     : (uint64_t)TLS_VERSION_1_2]};
    struct courier_job errand = {
        .plan = &plan, .envelope = &job->envelope, .size = job->total, .results = job->results, .arena = &job->arena};
    if (w->connection_generation != job->snapshot->generation)
        courier_connection_free(&w->connection); /* it was opened under other rules */
    bool had_connection = w->connection != NULL;
    w->connection_generation = job->snapshot->generation;
    w->has_public = false;
    if (make_plan(&e, &plan, &failure)) {
        courier_try(&world, &errand, &w->connection);
    } else {
        courier_connection_free(&w->connection);
        for (size_t i = 0; i < job->envelope.recipient_count; i++)
            job->results[i] = failure;
    }
    if (had_connection && w->connection)
        r->reused++;
    r->messages++;
}
