/* SPDX-License-Identifier: Apache-2.0 */
/* From the schedule to those who deliver, and back with the results. */
#include "roles/queue.h"

#include <stdlib.h>
#include <string.h>

enum { WORKS_MOST = 1024, WORK_ARENA = 8 << 20, AGAIN_SOON_MS = 1000, BATCH_MOST = 1000 };

/* --- errands into the schedule ------------------------------------------------------------------------------------------------------- */

static struct text destination_of(const struct mail *mail, uint32_t recipient, struct buffer *key)
{
    const struct recipient_facts *facts = &mail->recipients[recipient];
    if (facts->is_routed)
        return facts->route.destination;
    buffer_clear(key);
    const struct address *address = &mail->envelope.recipients[recipient].address;
    if (!domain_append_key(key, address->domain)) {
        buffer_clear(key);
        ignored(buffer_append(key, text_first(address->domain, 255))); /* a literal, or empty; fits */
    }
    return key->length ? buffer_text(key) : TEXT("here");
}

static bool has_errand(struct queue *q, uint64_t id, struct text destination)
{
    uint32_t place = 0, handle;
    while (schedule_of_message(&q->schedule, id, &place, &handle)) {
        struct schedule_errand errand = schedule_look(&q->schedule, handle, clock_monotonic_ms());
        if (text_equals(schedule_destination_name(&q->schedule, errand.destination), destination))
            return true;
    }
    return false;
}

static void add_errand(struct queue *q, const struct mail *mail, uint32_t recipient, struct text destination)
{
    const struct recipient_facts *facts = &mail->recipients[recipient];
    uint64_t now = clock_monotonic_ms();
    uint32_t handle, number;
    struct schedule_new_errand errand = {
        .message = mail->id,
        .destination = text_first(destination, 500),
        .age_ms = schedule_sensible_age(&q->plan, mail->taken_ms, clock_wall_ms(), facts->attempts),
        .attempts = facts->attempts,
        .is_warned = facts->flags & 1,
        .is_held = facts->state == SPOOL_HELD,
    };
    if (has_errand(q, mail->id, errand.destination))
        return;
    if (!schedule_add(&q->schedule, &errand, now, &handle)) {
        role_event(q->role, RECORD_ALARM, TEXT("schedule-full"), NULL, 0);
        return; /* it stays in the spool: the next start finds it */
    }
    if (schedule_destination(&q->schedule, errand.destination, &number) &&
        (text_equals(destination, TEXT("mailbox")) || text_equals(destination, TEXT("here"))))
        schedule_destination_limit(&q->schedule, number, DELIVERY_SLOTS_MAILBOX, false, now);
}

static void add_errands_of(struct queue *q, struct mail *mail, enum spool_state state, struct text except)
{
    struct buffer key released_by(buffer_done) = buffer_new(512);
    for (uint32_t i = 0; i < mail->envelope.recipient_count; i++) {
        if (mail->recipients[i].state != state)
            continue;
        struct text destination = destination_of(mail, i, &key);
        if (!text_equals(destination, except) || except.length == 0)
            add_errand(q, mail, i, destination);
    }
}

/* An errand for each destination but the one named. Who waits comes first: a recipient that is held may not hold the others there. */
void queue_add_errands(struct queue *q, struct mail *mail, struct text except)
{
    add_errands_of(q, mail, SPOOL_WAITING, except);
    add_errands_of(q, mail, SPOOL_HELD, except);
    mail->is_fresh = false;
}

void queue_taken_durable(struct queue *q, uint64_t id)
{
    struct mail *mail = queue_mail_open(q, id);
    if (!mail)
        return;
    mail->is_durable = true;
    mail->is_fresh = true;
    q->taken++;
    queue_mail_route(q, mail);
}

/* --- works --------------------------------------------------------------------------------------------------------------------------- */

static void slot_give_back(struct work *w)
{
    struct receiver *r = w->to && w->to->remote == PEERS_MAILBOX ? &w->queue->mailbox : &w->queue->relay;
    if (w->to && r->window)
        r->free_slots[r->free_count++] = (uint32_t)w->slot;
    w->to = NULL;
}

static void work_free(struct work *w)
{
    char octets[8];
    struct queue *q = w->queue;
    struct mail *mail = w->mail;
    if (w->delivery)
        ignored(map_remove(&q->deliveries, queue_key(w->delivery, octets))); /* it is there */
    slot_give_back(w);
    arena_done(&w->arena);
    free(w->indexes);
    free(w->results);
    free(w);
    q->works--;
    if (mail) {
        mail->holders--;
        queue_mail_release(q, mail);
    }
}

void queue_finish_mail(struct queue *q, struct mail *mail)
{
    char name[QUEUE_ID_LENGTH];
    if (!queue_mail_is_done(mail))
        return;
    enum spool_result result = spool_remove(q->spool, mail->id);
    if (result == SPOOL_OK)
        role_event(q->role, RECORD_INFO, TEXT("message-done"), (struct text[]){TEXT("id"), queue_id_text(mail->id, name)}, 2);
}

static const struct {
    enum outcome_next next;
    enum result_class class;
    struct text event;
} outcome_events[] = {
    {OUTCOME_DONE, RESULT_DELIVERED, TEXT_INIT("recipient-delivered")},
    {OUTCOME_DONE, RESULT_RELAYED, TEXT_INIT("recipient-relayed")},
    {OUTCOME_DONE, RESULT_RELAYED_WITHOUT_DSN, TEXT_INIT("recipient-relayed")},
    {OUTCOME_AGAIN, RESULT_DEFERRED, TEXT_INIT("recipient-deferred")},
    {OUTCOME_FAILED, RESULT_FAILED, TEXT_INIT("recipient-failed")},
};

static void tell_outcome(struct queue *q, const struct mail *mail, uint32_t recipient, enum outcome_next next, const struct result *result)
{
    char name[QUEUE_ID_LENGTH];
    struct buffer address released_by(buffer_done) = buffer_new(1024), reply released_by(buffer_done) = buffer_new(2048);
    struct text event = TEXT("recipient-deferred");
    for (size_t i = 0; i < length_of(outcome_events); i++)
        if (outcome_events[i].next == next && outcome_events[i].class == result->class)
            event = outcome_events[i].event;
    address_append(&address, &mail->envelope.recipients[recipient].address);
    if (result->code)
        ignored(buffer_append_format(&reply, "%u ", result->code)); /* a cut reply is still one */
    ignored(buffer_append_format(&reply, "%.*s %.*s", TEXT_ARGUMENTS(result->enhanced), TEXT_ARGUMENTS(text_first(result->text, 1000)))); /* as above */
    role_event(q->role, next == OUTCOME_FAILED ? RECORD_NOTICE : RECORD_INFO, event,
               (struct text[]){TEXT("id"), queue_id_text(mail->id, name), TEXT("recipient"), buffer_text(&address), TEXT("host"), result->host, TEXT("stage"),
                               result->stage, TEXT("reply"), buffer_text(&reply)}, 10);
}

/* One recipient's try has ended: journal it, tell it; reports are gathered by the caller. */
static enum outcome_next settle(struct work *w, uint32_t place, const struct result *said)
{
    struct queue *q = w->queue;
    struct mail *mail = w->mail;
    uint32_t recipient = w->indexes[place];
    struct recipient_facts *facts = &mail->recipients[recipient];
    struct buffer packed released_by(buffer_done) = buffer_new(SPOOL_RESULT_LIMIT);
    struct result result = *said;
    enum outcome_next next = outcome_judge(q->role->settings, said, clock_wall_ms() - w->age_ms, clock_wall_ms(), &result);
    facts->attempts++;
    facts->tried_ms = clock_wall_ms();
    if (!result_pack(&packed, &result))
        buffer_clear(&packed); /* told in the log all the same */
    switch (next) {
    case OUTCOME_AGAIN:
        q->deferred++;
        w->has_deferred = true;
        break;
    case OUTCOME_DONE:
        facts->state = SPOOL_DONE;
        result.class == RESULT_DELIVERED ? q->delivered++ : q->relayed++;
        break;
    case OUTCOME_FAILED:
        facts->state = SPOOL_FAILED_FOR_GOOD; /* done once its report is written */
        q->failed++;
        break;
    }
    struct text own;
    facts->last_result = arena_copy(&mail->arena, buffer_text(&packed), &own) ? own : TEXT_NONE;
    w->results[place] = result;
    struct result kept;
    if (result_unpack(facts->last_result, &kept))
        w->results[place] = kept; /* its texts live as long as the mail */
    tell_outcome(q, mail, recipient, next, &result);
    return next;
}

static void report_all(struct work *w, size_t first, size_t count, const enum outcome_next *next)
{
    struct queue *q = w->queue;
    uint32_t *chosen = calloc(count, sizeof *chosen);
    struct result *results = calloc(count, sizeof *results);
    must(chosen != NULL && results != NULL);
    for (int kind = OUTCOME_REPORT_FAILED; kind < OUTCOME_REPORT_KINDS; kind++) {
        size_t found = 0;
        for (size_t i = 0; i < count; i++) {
            const struct envelope_recipient *recipient = &w->mail->envelope.recipients[w->indexes[first + i]];
            if ((int)outcome_report_due(q->role->settings, recipient, next[i], &w->results[first + i]) != kind)
                continue;
            chosen[found] = w->indexes[first + i];
            results[found++] = w->results[first + i];
        }
        if (found)
            queue_report(q, w->mail, (enum outcome_report_kind)kind, chosen, results, found);
    }
    free(chosen);
    free(results);
}

/* The kept copy is delivered; a loop ends here. */
static void forward_copy(struct queue *q, struct mail *mail, uint32_t recipient)
{
    char name[QUEUE_ID_LENGTH];
    struct result result = queue_forward(q, mail, recipient);
    if (result.class == RESULT_DEFERRED)
        role_event(q->role, RECORD_ALARM, TEXT("forward-failed"), (struct text[]){TEXT("id"), queue_id_text(mail->id, name), TEXT("why"), result.text}, 4);
}

static void settle_batch(struct work *w, const struct result *said)
{
    size_t first = w->next, count = w->batch;
    enum outcome_next *next = calloc(larger(count, 1), sizeof *next);
    must(next != NULL);
    for (size_t i = 0; i < count; i++)
        next[i] = settle(w, (uint32_t)(first + i), &said[i]);
    report_all(w, first, count, next); /* ahead of the journal in the same group: a report is never lost */
    for (size_t i = 0; i < count; i++) {
        struct recipient_facts *facts = &w->mail->recipients[w->indexes[first + i]];
        if (facts->state == SPOOL_FAILED_FOR_GOOD)
            facts->state = SPOOL_DONE;
        if (next[i] == OUTCOME_DONE && facts->route.kind == ROUTE_MAILBOX && facts->forward_count)
            forward_copy(w->queue, w->mail, w->indexes[first + i]);
        queue_update(w->queue, w->mail, w->indexes[first + i], facts->flags, &facts->last_result, 0);
    }
    free(next);
    w->next += count;
    w->batch = 0;
}

static void work_end(struct work *w)
{
    struct queue *q = w->queue;
    uint64_t now = clock_monotonic_ms();
    uint32_t number;
    if (w->was_reached && schedule_destination(&q->schedule, w->destination, &number))
        schedule_destination_alive(&q->schedule, number, now);
    if (w->is_unreachable && !w->was_reached && schedule_destination(&q->schedule, w->destination, &number))
        schedule_destination_failed(&q->schedule, number, now);
    if (w->has_deferred && !w->is_expired) {
        int64_t next_ms = clock_wall_ms() + (int64_t)schedule_deferred(&q->schedule, w->handle, now);
        for (size_t i = 0; i < w->count; i++)
            if (w->mail->recipients[w->indexes[i]].state == SPOOL_WAITING)
                queue_update(q, w->mail, w->indexes[i], w->mail->recipients[w->indexes[i]].flags, &w->mail->recipients[w->indexes[i]].last_result, next_ms);
    } else {
        schedule_finished(&q->schedule, w->handle, now);
    }
    queue_finish_mail(q, w->mail);
    work_free(w);
    queue_pump_later(q);
}

/* --- handing over -------------------------------------------------------------------------------------------------------------------- */

static struct receiver *receiver_of(struct queue *q, const struct work *w)
{
    return text_equals(w->destination, TEXT("mailbox")) ? &q->mailbox : &q->relay;
}

static void postpone(struct work *w, uint64_t delay_ms)
{
    struct queue *q = w->queue;
    if (w->is_expired)
        schedule_finished(&q->schedule, w->handle, clock_monotonic_ms());
    else
        schedule_postponed(&q->schedule, w->handle, delay_ms, clock_monotonic_ms());
    work_free(w);
}

static bool fill_slot(struct queue *q, const struct work *w, struct receiver *r, uint64_t at, size_t *ret_length)
{
    char name[QUEUE_ID_LENGTH];
    char *slot = r->window + w->slot * DELIVERY_SLOT;
    /* a body that fits is read whole, which compares it with its checksum; a longer one is compared once, before */
    if (at == 0 && w->mail->body_length > DELIVERY_SLOT && w->next == 0 && spool_check_body(q->spool, w->mail->id) != SPOOL_OK) {
        role_event(q->role, RECORD_ALARM, TEXT("body-damaged"), (struct text[]){TEXT("id"), queue_id_text(w->mail->id, name)}, 2);
        return false;
    }
    enum spool_result result = spool_read_body(q->spool, w->mail->id, at, slot, DELIVERY_SLOT, ret_length);
    if (result != SPOOL_OK)
        role_event(q->role, RECORD_ALARM, TEXT("body-unreadable"), (struct text[]){TEXT("id"), queue_id_text(w->mail->id, name), TEXT("why"), spool_result_word(result)}, 4);
    return result == SPOOL_OK;
}

static size_t batch_size(struct queue *q, const struct work *w)
{
    const struct recipient_facts *facts = &w->mail->recipients[w->indexes[w->next]];
    if (w->to->remote == PEERS_MAILBOX)
        return 1;
    uint64_t most = facts->route.max_recipients ? facts->route.max_recipients : q->role->settings->advanced_max_recipients_client;
    return (size_t)smaller(w->count - w->next, smaller(most ? most : BATCH_MOST, BATCH_MOST));
}

static bool send_deliver(struct work *w)
{
    struct queue *q = w->queue;
    struct receiver *r = receiver_of(q, w);
    struct buffer packed released_by(buffer_done) = buffer_new(32768);
    char octets[8];
    size_t length = 0;
    if (!fill_slot(q, w, r, 0, &length))
        return false;
    w->batch = batch_size(q, w);
    for (;;) { /* as many recipients as one packet bears */
        struct envelope e = w->mail->envelope;
        struct arena arena released_by(arena_done) = arena_new(8 << 20);
        e.recipient_count = w->batch;
        e.recipients = arena_take_array(&arena, w->batch, sizeof *e.recipients);
        must(e.recipients != NULL);
        for (size_t i = 0; i < w->batch; i++)
            e.recipients[i] = w->mail->envelope.recipients[w->indexes[w->next + i]];
        buffer_clear(&packed);
        if (envelope_pack(&packed, &e))
            break;
        if (w->batch == 1)
            return false;
        w->batch /= 2;
    }
    const struct recipient_facts *facts = &w->mail->recipients[w->indexes[w->next]];
    struct peers_deliver deliver = {
        .delivery = ++q->next_delivery,
        .id = w->mail->id,
        .slot = w->slot,
        .length = length,
        .total = w->mail->body_length,
        .quota = facts->quota,
        .destination = w->to->remote == PEERS_MAILBOX ? facts->route.account : w->destination,
        .envelope = buffer_text(&packed),
    };
    if (w->delivery)
        ignored(map_remove(&q->deliveries, queue_key(w->delivery, octets))); /* the batch before */
    w->delivery = deliver.delivery;
    return map_put(&q->deliveries, queue_key(w->delivery, octets), w) && link_send(w->to, PEERS_deliver, &deliver, NULL);
}

static void hand_over(struct work *w)
{
    struct receiver *r = receiver_of(w->queue, w);
    if (!r->window || r->free_count == 0 || !atomic_load(&r->link->is_open)) {
        postpone(w, AGAIN_SOON_MS);
        return;
    }
    w->to = r->link;
    w->slot = r->free_slots[--r->free_count];
    if (!send_deliver(w)) /* the body can't be read, or who was to get it has just ended */
        postpone(w, w->delivery ? AGAIN_SOON_MS : 60 * AGAIN_SOON_MS);
}

/* Refused, or to be expanded: nobody else is needed. */
static void do_here(struct work *w)
{
    struct queue *q = w->queue;
    while (w->next < w->count) {
        uint32_t recipient = w->indexes[w->next];
        struct recipient_facts *facts = &w->mail->recipients[recipient];
        struct result result = route_result(&facts->route);
        w->batch = 1;
        if (facts->route.kind == ROUTE_FORWARD) {
            result = queue_forward(q, w->mail, recipient);
        }
        settle_batch(w, &result);
    }
    work_end(w);
}

/* --- an errand begins ---------------------------------------------------------------------------------------------------------------- */

/* Relaying needs the permission that front noted; what it does not bear goes nowhere. */
static bool may_relay(const struct mail *mail)
{
    return mail->envelope.authorised.length || text_equals(mail->envelope.listener, TEXT("local"));
}

static void choose_recipients(struct work *w)
{
    struct mail *mail = w->mail;
    w->indexes = calloc(larger(mail->envelope.recipient_count, 1), sizeof *w->indexes);
    w->results = calloc(larger(mail->envelope.recipient_count, 1), sizeof *w->results);
    must(w->indexes != NULL && w->results != NULL);
    for (uint32_t i = 0; i < mail->envelope.recipient_count; i++) {
        const struct recipient_facts *facts = &mail->recipients[i];
        if (facts->state == SPOOL_WAITING && facts->is_routed && text_equals(facts->route.destination, w->destination))
            w->indexes[w->count++] = i;
    }
}

static void expire(struct work *w)
{
    struct result *last = calloc(larger(w->count, 1), sizeof *last);
    must(last != NULL);
    for (size_t i = 0; i < w->count; i++) {
        const struct recipient_facts *facts = &w->mail->recipients[w->indexes[i]];
        if (!result_unpack(facts->last_result, &last[i]))
            last[i] = (struct result){.class = RESULT_DEFERRED, .enhanced = TEXT("4.4.7"), .stage = TEXT("connect"), .text = TEXT("No host could be reached in time")};
    }
    w->batch = w->count;
    settle_batch(w, last);
    free(last);
    work_end(w);
}

static void work_go(struct work *w)
{
    struct queue *q = w->queue;
    struct mail *mail = w->mail;
    choose_recipients(w);
    queue_add_errands(q, mail, w->destination);
    if (w->count == 0) { /* a restart's guess, or a change of the accounts: the right errands are there now */
        schedule_finished(&q->schedule, w->handle, clock_monotonic_ms());
        queue_finish_mail(q, mail);
        work_free(w);
        return;
    }
    bool is_mailbox = text_equals(w->destination, TEXT("mailbox"));
    if (w->is_expired) {
        expire(w);
    } else if (text_equals(w->destination, TEXT("here"))) {
        do_here(w);
    } else if (!is_mailbox && !may_relay(mail)) {
        struct result refused = {.class = RESULT_FAILED, .code = 550, .enhanced = TEXT("5.7.1"), .stage = TEXT("rcpt"), .text = TEXT("Relaying denied")};
        char name[QUEUE_ID_LENGTH];
        role_event(q->role, RECORD_ALARM, TEXT("relay-without-permission"), (struct text[]){TEXT("id"), queue_id_text(mail->id, name)}, 2);
        while (w->next < w->count) {
            w->batch = 1;
            settle_batch(w, &refused);
        }
        work_end(w);
    } else {
        hand_over(w);
    }
}

void queue_mail_routed(struct queue *q, struct mail *mail)
{
    mail->holders++;
    if (mail->is_fresh)
        queue_add_errands(q, mail, TEXT_NONE);
    while (mail->first_work) {
        struct work *w = mail->first_work;
        mail->first_work = w->next_work;
        work_go(w);
    }
    mail->holders--;
    queue_mail_release(q, mail);
    queue_pump_later(q);
}

static void warn(struct queue *q, struct mail *mail, int64_t age_ms)
{
    int64_t now = clock_wall_ms();
    uint32_t *late = calloc(larger(mail->envelope.recipient_count, 1), sizeof *late);
    struct result *results = calloc(larger(mail->envelope.recipient_count, 1), sizeof *results);
    size_t count = 0;
    must(late != NULL && results != NULL);
    for (uint32_t i = 0; i < mail->envelope.recipient_count; i++) {
        struct recipient_facts *facts = &mail->recipients[i];
        if (facts->state != SPOOL_WAITING || (facts->flags & 1))
            continue;
        facts->flags |= 1;
        if (outcome_warning_due(q->role->settings, &mail->envelope.recipients[i], now - age_ms, now, false)) {
            late[count] = i;
            if (!result_unpack(facts->last_result, &results[count]))
                results[count] = (struct result){.class = RESULT_DEFERRED, .enhanced = TEXT("4.4.7"), .stage = TEXT("connect"), .text = TEXT("Not delivered yet")};
            count++;
        }
    }
    if (count)
        queue_report(q, mail, OUTCOME_REPORT_DELAYED, late, results, count);
    for (uint32_t i = 0; i < mail->envelope.recipient_count; i++)
        if (mail->recipients[i].state == SPOOL_WAITING)
            queue_update(q, mail, i, mail->recipients[i].flags, &mail->recipients[i].last_result, 0);
    free(late);
    free(results);
}

static void begin(struct queue *q, const struct schedule_errand *errand, bool is_expired)
{
    struct mail *mail = queue_mail_open(q, errand->message);
    if (!mail) {
        if (spool_has(q->spool, errand->message))
            schedule_postponed(&q->schedule, errand->handle, 3600000, clock_monotonic_ms()); /* unreadable: an alarm each hour, never dropped */
        else
            schedule_finished(&q->schedule, errand->handle, clock_monotonic_ms());
        return;
    }
    struct work *w = calloc(1, sizeof *w);
    must(w != NULL);
    struct text name = text_first(schedule_destination_name(&q->schedule, errand->destination), sizeof w->destination_octets);
    *w = (struct work){.queue = q, .handle = errand->handle, .mail = mail, .is_expired = is_expired, .age_ms = (int64_t)errand->age_ms,
                       .arena = arena_new(WORK_ARENA)};
    memcpy(w->destination_octets, name.bytes, name.length);
    w->destination = text_of(w->destination_octets, name.length);
    mail->holders++;
    q->works++;
    w->next_work = mail->first_work;
    mail->first_work = w;
    if (mail->asked == 0)
        queue_mail_route(q, mail);
}

void queue_pump(struct queue *q)
{
    struct schedule_errand errand;
    enum schedule_age age;
    uint64_t now = clock_monotonic_ms();
    if (q->is_pumping || q->is_stopping || q->is_held_back || spool_is_broken(q->spool))
        return;
    q->is_pumping = true;
    while (q->works < WORKS_MOST && q->mails.count < QUEUE_MAILS && schedule_take_aged(&q->schedule, now, &age, &errand)) {
        if (age == SCHEDULE_AGE_EXPIRED) {
            begin(q, &errand, true);
            continue;
        }
        struct mail *mail = queue_mail_open(q, errand.message);
        if (mail) {
            mail->holders++;
            warn(q, mail, (int64_t)errand.age_ms);
            mail->holders--;
            queue_mail_release(q, mail);
        }
    }
    while (q->works < WORKS_MOST && q->mails.count < QUEUE_MAILS && schedule_take(&q->schedule, now, &errand))
        begin(q, &errand, false);
    q->is_pumping = false;
    uint64_t wake = schedule_wake_ms(&q->schedule, now);
    if (wake != UINT64_MAX)
        loop_timer_set(q->pump_timer, wake > now ? smaller(wake - now, 60000) : 10);
}

void queue_pump_later(void *context)
{
    struct queue *q = context;
    loop_timer_set(q->pump_timer, 0);
}

/* --- results ------------------------------------------------------------------------------------------------------------------------- */

static bool says_unreachable(const struct result *r)
{
    return r->class == RESULT_DEFERRED && (text_equals(r->stage, TEXT("connect")) || text_equals(r->stage, TEXT("dns")));
}

void queue_delivered(struct queue *q, const struct link *from, const struct peers_delivered *delivered)
{
    char octets[8];
    struct work *w = map_find(&q->deliveries, queue_key(delivered->delivery, octets));
    if (!w || w->to != from)
        return;
    struct result *said = calloc(larger(w->batch, 1), sizeof *said);
    must(said != NULL);
    bool is_unreachable = true;
    for (size_t i = 0; i < w->batch; i++) {
        /* only proof moves a recipient: what is missing or can't be read is deferred */
        if (i >= delivered->results.count || !result_unpack(delivered->results.items[i], &said[i]))
            said[i] = (struct result){.class = RESULT_DEFERRED, .enhanced = TEXT("4.3.0"), .stage = TEXT("mailbox"), .text = TEXT("No result was told")};
        is_unreachable &= says_unreachable(&said[i]);
    }
    w->is_unreachable |= is_unreachable;
    w->was_reached |= !is_unreachable;
    settle_batch(w, said);
    free(said);
    if (w->next < w->count && !w->is_unreachable) {
        if (!send_deliver(w)) {
            w->has_deferred = true;
            work_end(w);
        }
        return;
    }
    if (w->next < w->count)
        w->has_deferred = true; /* the rest waits with them */
    work_end(w);
}

void queue_body_asked(struct queue *q, const struct link *from, const struct peers_body_ask *ask)
{
    char octets[8];
    struct work *w = map_find(&q->deliveries, queue_key(ask->delivery, octets));
    size_t length = 0;
    if (!w || w->to != from)
        return;
    if (!fill_slot(q, w, receiver_of(q, w), ask->at, &length))
        length = 0; /* the receiver gives up for now: a short body is a failure of ours */
    struct peers_body_part part = {.delivery = ask->delivery, .at = ask->at, .length = length};
    ignored(link_send(w->to, PEERS_body_part, &part, NULL)); /* its end is told by unlinked */
}

void queue_receiver_open(struct queue *q, struct receiver *r, struct link *link, uint64_t slots)
{
    size_t size = (size_t)slots * DELIVERY_SLOT;
    void *address = NULL;
    queue_receiver_lost(q, r);
    r->link = link;
    r->slots = slots;
    if (memory_new("slots", size, &r->window_file) != 0 || memory_map(r->window_file, size, true, &address) != 0) {
        role_event(q->role, RECORD_ALARM, TEXT("no-window"), (struct text[]){TEXT("peer"), peers_role_word(link->remote)}, 2);
        file_close(&r->window_file);
        return;
    }
    r->window = address;
    r->free_slots = calloc(slots, sizeof *r->free_slots);
    must(r->free_slots != NULL);
    for (uint32_t i = 0; i < slots; i++)
        r->free_slots[r->free_count++] = (uint32_t)slots - 1 - i;
    struct peers_window window = {.size = size};
    ignored(link_send(link, PEERS_window, &window, &(struct channel_descriptors){.files = {r->window_file}, .count = 1})); /* its end is told */
    queue_pump_later(q);
}

/* What was with it is tried again: it may have been delivered, which only the receiver's own names of files can tell. */
void queue_receiver_lost(struct queue *q, struct receiver *r)
{
    if (!r->window)
        return;
    char *window = r->window;
    r->window = NULL;
    for (;;) {
        size_t place = 0;
        struct text key;
        void *value;
        struct work *lost = NULL;
        while (!lost && map_next(&q->deliveries, &place, &key, &value))
            if (((struct work *)value)->to == r->link)
                lost = value;
        if (!lost)
            break;
        lost->to = NULL;
        postpone(lost, AGAIN_SOON_MS);
    }
    memory_unmap(window, (size_t)r->slots * DELIVERY_SLOT);
    file_close(&r->window_file);
    free(r->free_slots);
    r->free_slots = NULL;
    r->free_count = 0;
}
