/* SPDX-License-Identifier: Apache-2.0 */
#include "courier/private.h"

#include <string.h>

/* One try: what is left to be decided, and what the hosts said so far. */
struct attempt {
    const struct courier_world *world;
    const struct courier_job *job;
    struct courier_connection **connection;
    bool *is_decided;      /* one for each recipient of the envelope */
    struct result failure; /* of the hosts so far, for those of whom nothing was heard */
    bool has_failure;
    size_t addresses, sessions; /* used up */
    bool is_header_ascii;
};

/* --- what hosts said, when it was about the host ---------------------------------------------------------------- */

static struct result kept_result(const struct attempt *a, const struct result *result)
{
    struct result kept = *result;
    kept.enhanced = courier_kept(a->job->arena, result->enhanced);
    kept.host = courier_kept(a->job->arena, result->host);
    kept.text = courier_kept(a->job->arena, result->text);
    return kept;
}

/* "The class of the code decides" only when all refused for good: one that may take it tomorrow outweighs them. */
static void note_failure(struct attempt *a, const struct result *failure)
{
    bool is_milder = a->has_failure && a->failure.class == RESULT_DEFERRED && failure->class == RESULT_FAILED;
    if (!is_milder)
        a->failure = kept_result(a, failure); /* its texts go with the connection */
    a->has_failure = true;
    if (failure->host.length)
        a->world->note(a->world->context, COURIER_NOTE_FAILED, failure->host, failure, TEXT_NONE);
}

static void decide_one(struct attempt *a, size_t index, const struct result *result)
{
    a->job->results[index] = kept_result(a, result);
    a->is_decided[index] = true;
}

static size_t next_open(const struct attempt *a, size_t index)
{
    while (index < a->job->envelope->recipient_count && a->is_decided[index])
        index++;
    return index;
}

static bool is_done(const struct attempt *a)
{
    return next_open(a, 0) == a->job->envelope->recipient_count;
}

static void decide_rest(struct attempt *a, const struct result *result)
{
    for (size_t i = next_open(a, 0); i < a->job->envelope->recipient_count; i = next_open(a, i + 1))
        decide_one(a, i, result);
}

/* --- transactions over one connection --------------------------------------------------------------------------- */

struct transaction {
    const struct envelope_recipient **recipients;
    size_t *indices; /* in the envelope */
    size_t count;
    struct smtp_client_message message;
};

static size_t transaction_limit(const struct attempt *a, const struct courier_connection *c)
{
    size_t limit = a->job->plan->max_recipients ? a->job->plan->max_recipients : SIZE_MAX;
    return c->client.recipient_limit && c->client.recipient_limit < limit ? (size_t)c->client.recipient_limit : limit;
}

/* Those that are open from index on. */
static void transaction_fill(struct attempt *a, struct transaction *t, size_t from, size_t limit)
{
    const struct envelope *e = a->job->envelope;
    t->count = 0;
    for (size_t i = next_open(a, from); i < e->recipient_count && t->count < limit; i = next_open(a, i + 1)) {
        t->recipients[t->count] = &e->recipients[i];
        t->indices[t->count++] = i;
    }
    t->message = (struct smtp_client_message){.envelope = e,
                                              .recipients = t->recipients,
                                              .recipient_count = t->count,
                                              .size = a->job->size,
                                              .is_header_ascii = a->is_header_ascii};
}

/* Takes the machine's results over. True when somebody was taken: then those who were too many get a transaction of
 * their own. */
static bool transaction_harvest(struct attempt *a, const struct courier_connection *c, const struct transaction *t)
{
    bool is_taken = false;
    for (size_t i = 0; i < t->count; i++)
        is_taken |= smtp_client_recipient(&c->client, i)->is_accepted;
    for (size_t i = 0; i < t->count; i++) {
        const struct smtp_client_recipient *r = smtp_client_recipient(&c->client, i);
        if (r->wants_again && is_taken && smtp_client_may_go_on(&c->client))
            continue;
        if (!r->may_try_next)
            decide_one(a, t->indices[i], &r->result);
        else if (!smtp_client_is_stale(&c->client))
            note_failure(a, &r->result);
    }
    return is_taken;
}

/* All open recipients, in transactions; what is left over is for another host. True: the connection can be kept. */
static bool send_all(struct attempt *a, struct courier_connection *c)
{
    struct arena arena released_by(arena_done) = arena_new(8 << 20);
    size_t count = a->job->envelope->recipient_count;
    struct transaction t = {.recipients = arena_take_array(&arena, count, sizeof *t.recipients),
                            .indices = arena_take_array(&arena, count, sizeof *t.indices)};
    must(t.recipients && t.indices);
    size_t limit = transaction_limit(a, c);
    size_t from = 0;
    for (;;) {
        transaction_fill(a, &t, from, limit);
        if (t.count == 0)
            break;
        bool is_alive = connection_send(a->world, c, &t.message);
        bool is_taken = transaction_harvest(a, c, &t);
        /* who is still open was too many, and goes again; or wants another host, and is passed over */
        from = is_taken ? next_open(a, 0) : t.indices[t.count - 1] + 1;
        if (!is_alive || !smtp_client_may_go_on(&c->client))
            return false;
    }
    return true;
}

/* --- hosts ------------------------------------------------------------------------------------------------------ */

static struct courier_connection *reach(struct attempt *a, const struct courier_host *host)
{
    struct result failure;
    bool wants_clear = false;
    struct courier_connection *c =
        connection_open(a->world, a->job->plan, host, false, a->job->arena, &failure, &wants_clear);
    if (!c)
        note_failure(a, &failure);
    if (c || !wants_clear)
        return c;
    /* TLS was only a wish: in clear, on a connection that knows nothing of the failed one */
    c = connection_open(a->world, a->job->plan, host, true, a->job->arena, &failure, &wants_clear);
    if (!c)
        note_failure(a, &failure);
    return c;
}

static void try_host(struct attempt *a, const struct courier_host *host)
{
    a->addresses++;
    struct courier_connection *c = reach(a, host);
    if (!c)
        return;
    a->sessions++;
    if (send_all(a, c))
        *a->connection = c;
    else
        courier_connection_free(&c);
}

static bool may_try_more(const struct attempt *a)
{
    return !is_done(a) && !*a->connection && a->addresses < COURIER_ADDRESSES && a->sessions < COURIER_SESSIONS;
}

static void try_hosts(struct attempt *a, const struct courier_host *hosts, size_t count)
{
    for (size_t i = 0; i < count && may_try_more(a); i++) {
        try_host(a, &hosts[i]);
        /* a host that was left with somebody undecided, though the connection stands, is not asked again */
        if (!is_done(a))
            courier_connection_free(a->connection);
    }
}

static void try_written_hosts(struct attempt *a)
{
    const struct courier_plan *plan = a->job->plan;
    for (size_t i = 0; i < plan->host_count && may_try_more(a); i++) {
        struct courier_host *hosts;
        size_t count;
        struct result failure;
        if (hosts_of_name(a->world, &plan->hosts[i], a->job->arena, &hosts, &count, &failure))
            try_hosts(a, hosts, count);
        else
            note_failure(a, &failure);
    }
}

/* --- relay_on_failure ------------------------------------------------------------------------------------------- */

/* Refused for good by a host before it heard of the recipient, or not heard of at all. Never once the text may be
 * there. */
static bool may_go_by_relay(const struct result *r)
{
    if (text_equals(r->stage, TEXT("dns")))
        return false;
    if (r->class == RESULT_DEFERRED)
        return r->code != 0 || !text_equals(r->stage, TEXT("end-of-data"));
    return r->class == RESULT_FAILED && r->code != 0 && !text_equals(r->stage, TEXT("rcpt")) &&
           !text_equals(r->stage, TEXT("data")) && !text_equals(r->stage, TEXT("text")) &&
           !text_equals(r->stage, TEXT("end-of-data"));
}

static void try_relay(struct attempt *a)
{
    bool is_any = false;
    for (size_t i = 0; i < a->job->envelope->recipient_count; i++) {
        const struct result *r = &a->job->results[i];
        bool is_delivered = r->class == RESULT_RELAYED || r->class == RESULT_RELAYED_WITHOUT_DSN;
        if (is_delivered || !may_go_by_relay(r))
            continue;
        a->is_decided[i] = false;
        is_any = true;
    }
    if (!is_any)
        return;
    courier_connection_free(a->connection);
    a->addresses = 0;
    a->sessions = 0;
    struct courier_plan by_relay = *a->job->plan;
    by_relay.domain = TEXT_NONE;
    struct courier_job job = *a->job;
    job.plan = &by_relay;
    const struct courier_job *before = a->job;
    a->job = &job;
    try_written_hosts(a);
    a->job = before;
    courier_connection_free(a->connection); /* it leads to the relay and not to the destination */
    /* who is open still keeps what the MX hosts said */
    for (size_t i = 0; i < a->job->envelope->recipient_count; i++)
        a->is_decided[i] = true;
}

/* --- a try ------------------------------------------------------------------------------------------------------ */

/* RFC 6531 section 3.5 asks for it only when the next host may lack SMTPUTF8. */
static bool header_is_ascii(const struct courier_world *world, const struct courier_job *job)
{
    bool is_behind_line = true; /* the octet before was a line end */
    uint64_t at = 0;
    while (at < job->size) {
        struct text piece = world->body(world->context, at);
        if (piece.length == 0)
            return true; /* sending it will fail alike */
        for (size_t i = 0; i < piece.length; i++) {
            char c = piece.bytes[i];
            if ((unsigned char)c > 127)
                return false;
            if (c == '\n' && is_behind_line)
                return true;
            if (c != '\r')
                is_behind_line = c == '\n';
        }
        at += piece.length;
    }
    return true;
}

static void try_kept(struct attempt *a)
{
    struct courier_connection *c = *a->connection;
    if (!c)
        return;
    *a->connection = NULL;
    if (text_equals(c->destination, a->job->plan->destination) && send_all(a, c) && is_done(a))
        *a->connection = c;
    else
        courier_connection_free(&c);
}

static void try_dns(struct attempt *a)
{
    struct courier_host *hosts;
    size_t count;
    struct result failure;
    if (hosts_find(a->world, a->job->plan, a->job->arena, &hosts, &count, &failure)) {
        try_hosts(a, hosts, count);
        return;
    }
    note_failure(a, &failure);
}

static struct result nobody_answered(void)
{
    return (struct result){.class = RESULT_DEFERRED,
                           .enhanced = TEXT("4.4.1"),
                           .stage = TEXT("connect"),
                           .text = TEXT("no host could be reached"),
                           .host = TEXT_NONE};
}

void courier_try(const struct courier_world *world, const struct courier_job *job,
                 struct courier_connection **connection)
{
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    size_t count = job->envelope->recipient_count;
    struct attempt a = {.world = world, .job = job, .connection = connection, .failure = nobody_answered()};
    a.is_decided = arena_take_array(&arena, larger(count, 1), sizeof *a.is_decided);
    must(a.is_decided != NULL);
    a.is_header_ascii = !job->envelope->is_utf8 || header_is_ascii(world, job);
    try_kept(&a);
    if (!is_done(&a) && job->plan->domain.length)
        try_dns(&a);
    else if (!is_done(&a))
        try_written_hosts(&a);
    decide_rest(&a, &a.failure);
    if (job->plan->domain.length && job->plan->host_count)
        try_relay(&a);
}
