/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/queue.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { FLOOR_OCTETS = 64 << 20, FLOOR_INODES = 200, MAP_LIMIT = 1 << 20, ENDED_LIMIT = 1 << 30 };

/* --- start --------------------------------------------------------------------------------------------------------------------------- */

static void read_plan(struct queue *q)
{
    const struct settings *s = q->role->settings;
    struct schedule_plan plan = {
        .interval_count = smaller(s->delivery_retry_intervals.count, SCHEDULE_INTERVALS),
        .undelivered_after_ms = s->delivery_undelivered_after,
        .warn_after_ms = s->delivery_warn_after,
        .max_all = (uint32_t)smaller(s->service_max_outgoing, DELIVERY_SLOTS_RELAY),
        .max_per_destination = (uint32_t)s->service_max_outgoing_per_destination,
    };
    for (size_t i = 0; i < plan.interval_count; i++)
        plan.intervals_ms[i] = s->delivery_retry_intervals.items[i];
    q->plan = plan;
}

static void problem(void *context, const struct spool_problem *p)
{
    struct queue *q = context;
    char id[QUEUE_ID_LENGTH];
    struct buffer offset released_by(buffer_done) = buffer_new(24);
    ignored(buffer_append_number(&offset, p->offset)); /* fits */
    role_event(q->role, p->kind == SPOOL_PROBLEM_UNFINISHED ? RECORD_NOTICE : RECORD_ALARM, TEXT("spool-problem"),
               (struct text[]){TEXT("problem"), spool_problem_word(p->kind), TEXT("file"), p->name, TEXT("offset"), buffer_text(&offset), TEXT("id"),
                               p->id ? queue_id_text(p->id, id) : TEXT_NONE, TEXT("aside"), p->aside, TEXT("why"), p->error ? file_error_word(p->error) : TEXT_NONE}, 12);
}

/* After a restart: one errand a domain, at once; the vault is asked when its turn comes. */
static void recovered(void *context, const struct spool_message *message)
{
    struct queue *q = context;
    char id[QUEUE_ID_LENGTH];
    struct arena arena released_by(arena_done) = arena_new(256 << 20);
    struct mail mail = {.id = message->id, .taken_ms = message->taken_ms, .body_length = message->body_length, .arena = arena_new(256 << 20)};
    if (!envelope_unpack(message->envelope, &arena, &mail.envelope)) {
        role_event(q->role, RECORD_ALARM, TEXT("envelope-unreadable"), (struct text[]){TEXT("id"), queue_id_text(message->id, id)}, 2);
        return;
    }
    mail.recipients = arena_take_array(&arena, larger(mail.envelope.recipient_count, 1), sizeof *mail.recipients);
    if (!mail.recipients)
        return;
    for (size_t i = 0; i < message->update_count; i++) {
        const struct spool_update *u = &message->updates[i];
        if (u->recipient >= mail.envelope.recipient_count)
            continue;
        mail.recipients[u->recipient].state = u->state == SPOOL_FAILED_FOR_GOOD ? SPOOL_WAITING : u->state;
        mail.recipients[u->recipient].attempts = u->attempts;
        mail.recipients[u->recipient].flags = u->flags;
    }
    queue_add_errands(q, &mail, TEXT_NONE);
    if (queue_mail_is_done(&mail)) /* the kill came between the last result and the end; nothing may be written yet */
        must(buffer_append(&q->ended, text_of((const char *)&message->id, sizeof message->id)));
    arena_done(&mail.arena);
}

static void remove_ended(struct queue *q)
{
    struct text rest = buffer_text(&q->ended);
    while (rest.length) {
        uint64_t id;
        memcpy(&id, text_take(&rest, sizeof id).bytes, sizeof id);
        ignored(spool_remove(q->spool, id)); /* else the next start does it */
    }
    buffer_done(&q->ended);
}

static bool prepare(struct role *role)
{
    struct queue *q = role->context;
    struct spool_trouble trouble = {.result = SPOOL_OK};
    struct spool_options options = {.floor_octets = FLOOR_OCTETS, .floor_inodes = FLOOR_INODES, .problem = problem, .context = q};
    q->role = role;
    signal(SIGPIPE, SIG_IGN);
    read_plan(q);
    q->schedule = schedule_new(&q->plan, QUEUE_ERRANDS, random_number());
    q->incoming = map_new(QUEUE_OPEN, random_number());
    q->mails = map_new(QUEUE_MAILS * 2, random_number());
    q->routes = map_new(QUEUE_ROUTES + 1, random_number());
    q->asked_routes = map_new(MAP_LIMIT, random_number());
    q->deliveries = map_new(MAP_LIMIT, random_number());
    q->ended = buffer_new(ENDED_LIMIT);
    q->mailbox.window_file = q->relay.window_file = -1;
    for (size_t i = 0; i < QUEUE_LANES; i++)
        q->lanes[i] = (struct queue_lane){.queue = q, .channel = -1, .wake = -1};
    int folder = role_folder(role, TEXT("spool"));
    if (folder < 0 || spool_open(folder, &options, &trouble, &q->spool) != SPOOL_OK) {
        role_event(role, RECORD_ALARM, TEXT("spool-not-open"),
                   (struct text[]){TEXT("doing"), trouble.doing, TEXT("file"), trouble.name, TEXT("why"),
                                   trouble.error ? file_error_word(trouble.error) : spool_result_word(trouble.result)}, 6);
        return false;
    }
    return true;
}

static void pump(void *context)
{
    queue_pump(context);
}

static void begin(struct role *role)
{
    struct queue *q = role->context;
    struct spool_trouble trouble = {.result = SPOOL_OK};
    struct buffer waiting released_by(buffer_done) = buffer_new(24), took released_by(buffer_done) = buffer_new(24);
    uint64_t began = clock_monotonic_ms();
    q->pump_timer = loop_timer_new(role->loop, pump, q);
    q->routes_since_ms = began;
    if (!queue_disk_start(q) || spool_recover(q->spool, recovered, q, &trouble) != SPOOL_OK) {
        queue_spool_failed(q, &trouble);
        return;
    }
    remove_ended(q);
    ignored(buffer_append_number(&waiting, spool_facts(q->spool).waiting)); /* fits */
    ignored(buffer_append_number(&took, clock_monotonic_ms() - began));     /* fits */
    role_event(role, RECORD_NOTICE, TEXT("queue-open"), (struct text[]){TEXT("waiting"), buffer_text(&waiting), TEXT("milliseconds"), buffer_text(&took)}, 4);
    queue_pump_later(q);
}

/* --- what the others say ------------------------------------------------------------------------------------------------------------- */

static void message(struct role *role, struct link *from, const struct peers_message *m, struct channel_descriptors *files)
{
    struct queue *q = role->context;
    switch ((int)m->type) { /* what may come to the queue; peers.def keeps the others away */
    case PEERS_lane:
        queue_lane_open(q, files, m->lane.number);
        break;
    case PEERS_ticket_key:
        if (!ticket_keys_add(&q->ticket_keys, m->ticket_key.key))
            role_event(role, RECORD_ALARM, TEXT("ticket-key-refused"), NULL, 0);
        break;
    case PEERS_accounts_changed:
        q->accounts_generation = m->accounts_changed.generation;
        queue_routes_forget(q);
        break;
    case PEERS_route_answer:
        queue_route_answer(q, &m->route_answer);
        break;
    case PEERS_delivered:
        queue_delivered(q, from, &m->delivered);
        break;
    case PEERS_body_ask:
        queue_body_asked(q, from, &m->body_ask);
        break;
    case PEERS_command_ask:
        queue_command(q, from, &m->command_ask);
        break;
    default:
        break;
    }
}

static void linked(struct role *role, struct link *link)
{
    struct queue *q = role->context;
    if (!atomic_load(&link->is_open))
        return;
    if (link->remote == PEERS_MAILBOX)
        queue_receiver_open(q, &q->mailbox, link, DELIVERY_SLOTS_MAILBOX);
    else if (link->remote == PEERS_RELAY)
        queue_receiver_open(q, &q->relay, link, DELIVERY_SLOTS_RELAY);
}

static void unlinked(struct role *role, struct link *link)
{
    struct queue *q = role->context;
    if (link->remote == PEERS_MAILBOX)
        queue_receiver_lost(q, &q->mailbox);
    else if (link->remote == PEERS_RELAY)
        queue_receiver_lost(q, &q->relay);
    else if (link->remote == PEERS_VAULT)
        queue_routes_lost(q);
    else if (link->remote == PEERS_FRONT)
        queue_lanes_close(q); /* before the next front opens its own: one group is never told to two of them */
}

static void settings_changed(struct role *role, const struct settings *before)
{
    struct queue *q = role->context;
    role_settings_release(role, before); /* results of routes point into their mails' arenas, routes' hosts are not used here */
    read_plan(q);
    schedule_change(&q->schedule, &q->plan, clock_monotonic_ms());
    queue_routes_forget(q);
    queue_pump_later(q);
}

static void stop_look(void *context)
{
    struct queue *q = context;
    bool is_idle = !q->is_group_out && !spool_has_collected(q->spool) && q->works == 0;
    if (is_idle || clock_monotonic_ms() >= q->stop_at_ms) {
        loop_after_round(q->role->loop, NULL, NULL); /* this round is the last, and the spool goes */
        if (!q->is_group_out && !q->is_chore_out)
            spool_close(&q->spool);
        loop_stop(q->role->loop);
        return;
    }
    if (!q->is_group_out && spool_has_collected(q->spool))
        queue_seal(q);
    loop_timer_set(q->stop_timer, 20);
}

/* What was delivered is journalled; what waits is found again. */
static void stop(struct role *role, uint64_t grace_ms)
{
    struct queue *q = role->context;
    q->is_stopping = true;
    q->stop_at_ms = clock_monotonic_ms() + grace_ms;
    q->stop_timer = loop_timer_new(role->loop, stop_look, q);
    loop_timer_set(q->stop_timer, 0);
}

int main(void)
{
    static struct queue queue;
    static const struct role_program program = {
        .self = PEERS_QUEUE,
        .grants = SANDBOX_THREADS | SANDBOX_FILES | SANDBOX_MEMFD,
        .prepare = prepare,
        .begin = begin,
        .message = message,
        .linked = linked,
        .unlinked = unlinked,
        .settings_changed = settings_changed,
        .stop = stop,
    };
    _exit(role_main(&program, &queue)); /* the threads are at work: nothing is taken apart under them */
}
