/* SPDX-License-Identifier: Apache-2.0 */
/* The program portiere-relay: its channels and its frame. */
#include "roles/relay.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    ENVELOPE_LIMIT = 32768,
    JOB_ARENA = 16 << 20,
    WINDOW_OCTETS = DELIVERY_SLOT * DELIVERY_SLOTS_RELAY,
    STOP_LOOK_MS = 50
};

/* --- settings --------------------------------------------------------------------------------------------------- */

static struct relay_snapshot *snapshot_new(const struct role *role)
{
    struct relay_snapshot *snapshot = calloc(1, sizeof *snapshot);
    must(snapshot != NULL);
    snapshot->settings = role->settings;
    snapshot->generation = role->settings_generation;
    return snapshot;
}

static void settings_changed(struct role *role, const struct settings *before)
{
    struct relay *r = role->context;
    if (!r->snapshot) {
        role_settings_release(role, before);
        return;
    }
    pthread_mutex_lock(&r->lock);
    struct relay_snapshot *old = r->snapshot;
    bool is_unused = old->users == 0;
    old->is_old = true;
    r->snapshot = snapshot_new(role);
    pthread_mutex_unlock(&r->lock);
    if (!is_unused)
        return; /* the last job that uses it lets it go */
    free(old);
    role_settings_release(role, before);
}

/* --- jobs ------------------------------------------------------------------------------------------------------- */

static struct job *job_new(const struct peers_deliver *d)
{
    struct job *job = calloc(1, sizeof *job);
    must(job != NULL);
    *job = (struct job){.delivery = d->delivery,
                        .id = d->id,
                        .slot = d->slot,
                        .total = d->total,
                        .part_length = d->length,
                        .packed = buffer_new(ENVELOPE_LIMIT),
                        .destination = buffer_new(512),
                        .arena = arena_new(JOB_ARENA)};
    bool is_good = buffer_append(&job->packed, d->envelope) && buffer_append(&job->destination, d->destination) &&
                   envelope_unpack(buffer_text(&job->packed), &job->arena, &job->envelope);
    if (is_good)
        job->results = arena_take_array(&job->arena, larger(job->envelope.recipient_count, 1), sizeof *job->results);
    return job;
}

/* The queue is told at once: nothing was tried. */
static void refuse(struct relay *r, const struct peers_deliver *d, size_t count, struct text why)
{
    struct buffer packed released_by(buffer_done) = buffer_new(1024);
    struct result result = {.class = RESULT_DEFERRED, .enhanced = TEXT("4.3.2"), .stage = TEXT("relay"), .text = why};
    struct text *items = calloc(larger(count, 1), sizeof *items);
    must(items != NULL && result_pack(&packed, &result));
    for (size_t i = 0; i < count; i++)
        items[i] = buffer_text(&packed);
    struct peers_delivered delivered = {.delivery = d->delivery, .results = {.items = items, .count = count}};
    ignored(link_send(role_link(r->role, PEERS_QUEUE), PEERS_delivered, &delivered,
                      NULL)); /* it restarts then, and tries again */
    free(items);
}

static uint64_t sessions_to(struct relay *r, struct text destination)
{
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct route route;
    return route_of_destination(&arena, destination, NULL, 0, r->role->settings, &route) ? route.max_sessions : 0;
}

static void take_delivery(struct relay *r, const struct peers_deliver *d)
{
    struct job *job = job_new(d);
    job->window = r->window;
    bool is_good = job->results && r->window && d->slot < DELIVERY_SLOTS_RELAY && d->length <= DELIVERY_SLOT &&
                   d->length <= d->total;
    if (!is_good)
        role_event(r->role, RECORD_ALARM, TEXT("delivery-unreadable"), NULL, 0);
    if (is_good)
        job->max_sessions = sessions_to(r, d->destination);
    if (!is_good || !relay_give(r, job)) {
        refuse(r, d, job->envelope.recipient_count,
               is_good ? TEXT("all outgoing sessions are taken") : TEXT("the delivery could not be read"));
        relay_job_free(r, &job);
    }
}

static void take_window(struct relay *r, const struct peers_window *window, struct channel_descriptors *files)
{
    void *address = NULL;
    if (window->size != WINDOW_OCTETS || memory_map(files->files[0], WINDOW_OCTETS, false, &address) != 0) {
        role_event(r->role, RECORD_ALARM, TEXT("window-refused"), NULL, 0);
        return;
    }
    /* an old one may still be read by a session of the queue before: it stays mapped */
    r->window = address;
}

/* --- the frame -------------------------------------------------------------------------------------------------- */

static void tell_status(struct relay *r, struct link *from, uint64_t tag)
{
    const struct {
        struct text name;
        uint64_t value;
    } rows[] = {
        {TEXT("busy"), relay_count(r, WORKER_BUSY)},
        {TEXT("idle"), relay_count(r, WORKER_PARKED)},
        {TEXT("kept"), relay_count_kept(r)},
        {TEXT("connections"), r->sessions},
        {TEXT("reused"), r->reused},
        {TEXT("tries"), r->messages},
        {TEXT("failures"), r->failed},
        {TEXT("limit"), r->role->settings->service_max_outgoing},
    };
    struct buffer numbers[length_of(rows)];
    struct text pairs[2 * length_of(rows)];
    for (size_t i = 0; i < length_of(rows); i++) {
        numbers[i] = buffer_new(24);
        buffer_append_number(&numbers[i], rows[i].value);
        pairs[2 * i] = rows[i].name;
        pairs[2 * i + 1] = buffer_text(&numbers[i]);
    }
    role_status(r->role, from, tag, pairs, length_of(pairs));
    for (size_t i = 0; i < length_of(rows); i++)
        buffer_done(&numbers[i]);
}

static void take_command(struct relay *r, struct link *from, const struct peers_command_ask *asked)
{
    if (!text_equals(asked->name, TEXT("status"))) {
        role_end(from, asked->tag, 1, TEXT("the relay does not know this command"));
        return;
    }
    tell_status(r, from, asked->tag);
    role_end(from, asked->tag, 0, TEXT_NONE);
}

static void message(struct role *role, struct link *from, const struct peers_message *message,
                    struct channel_descriptors *files)
{
    struct relay *r = role->context;
    if (message->type == PEERS_deliver)
        take_delivery(r, &message->deliver);
    else if (message->type == PEERS_body_part)
        relay_body_came(r, &message->body_part);
    else if (message->type == PEERS_dns_answer)
        relay_dns_answered(r, &message->dns_answer);
    else if (message->type == PEERS_window)
        take_window(r, &message->window, files);
    else if (message->type == PEERS_command_ask)
        take_command(r, from, &message->command_ask);
}

static void unlinked(struct role *role, struct link *link)
{
    if (link->remote == PEERS_QUEUE || link->remote == PEERS_RESOLVER)
        relay_lost(role->context, link->remote);
}

static bool prepare(struct role *role)
{
    struct relay *r = role->context;
    struct buffer why released_by(buffer_done) = buffer_new(300);
    r->role = role;
    r->snapshot = snapshot_new(role);
    for (int version = TLS_VERSION_1_0; version <= TLS_VERSION_1_3; version++)
        if (!tls_client_context_new((enum tls_version)version, &why, &r->tls[version])) {
            role_event(role, RECORD_ALARM, TEXT("tls-not-usable"), (struct text[]){TEXT("why"), buffer_text(&why)}, 2);
            return false;
        }
    return true;
}

/* Sessions under way may end; what is not done then was never told, and is tried again. */
static void look_for_end(void *context)
{
    struct relay *r = context;
    if (relay_count(r, WORKER_BUSY) == 0 || clock_monotonic_ms() >= r->end_ms)
        loop_stop(r->role->loop);
    else
        loop_timer_set(r->end, STOP_LOOK_MS);
}

static void stop(struct role *role, uint64_t grace_ms)
{
    struct relay *r = role->context;
    r->end_ms = clock_monotonic_ms() + grace_ms;
    if (!r->end)
        r->end = loop_timer_new(role->loop, look_for_end, r);
    look_for_end(r);
}

int main(void)
{
    static const struct role_program program = {
        .self = PEERS_RELAY,
        .grants = SANDBOX_THREADS | SANDBOX_CONNECT,
        .prepare = prepare,
        .message = message,
        .unlinked = unlinked,
        .settings_changed = settings_changed,
        .stop = stop,
    };
    struct relay *r = calloc(1, sizeof *r);
    must(r != NULL && pthread_mutex_init(&r->lock, NULL) == 0);
    /* threads may still run: nothing of theirs is torn down under them */
    _exit(role_main(&program, r));
}
