/* SPDX-License-Identifier: Apache-2.0 */
/* What an administrator asks of the queue. Lists come in pieces, in the order of ids, so that a million messages need no memory. */
#include "roles/queue.h"

#include "command/command.h"

#include <string.h>

enum { PAGE_ROWS = 200, PAGE_LOOKED_AT = 20000, RAW_PIECE = 4000, RAW_ROWS = 32 };

/* --- which messages ------------------------------------------------------------------------------------------------------------------ */

struct choice {
    bool has_id, is_held;
    uint64_t id;
    struct text sender, recipient, domain;
    uint64_t older_ms, younger_ms; /* 0: any age */
};

static bool read_choice(const struct peers_command_ask *ask, struct choice *ret_choice, struct text *ret_problem)
{
    struct text id = role_argument(ask, TEXT("id")), older = role_argument(ask, TEXT("older")), younger = role_argument(ask, TEXT("younger"));
    struct choice choice = {
        .sender = role_argument(ask, TEXT("sender")),
        .recipient = role_argument(ask, TEXT("recipient")),
        .domain = role_argument(ask, TEXT("domain")),
        .is_held = role_argument(ask, TEXT("held")).length > 0,
    };
    if (id.length && !queue_id_parse(id, &choice.id)) {
        *ret_problem = TEXT("That is no queue id: it has sixteen hexadecimal digits, as in queue list.");
        return false;
    }
    choice.has_id = id.length > 0;
    if ((older.length && !text_number(older, UINT64_MAX, &choice.older_ms)) || (younger.length && !text_number(younger, UINT64_MAX, &choice.younger_ms))) {
        *ret_problem = TEXT("The age is not a duration.");
        return false;
    }
    *ret_choice = choice;
    return true;
}

static bool address_is(const struct address *address, struct text wanted)
{
    struct buffer b released_by(buffer_done) = buffer_new(1024);
    address_append(&b, address);
    return text_equals_ignoring_case(buffer_text(&b), wanted);
}

static struct text state_of(const struct mail *mail)
{
    bool is_held = false, is_deferred = false;
    for (size_t i = 0; i < mail->envelope.recipient_count; i++) {
        is_held |= mail->recipients[i].state == SPOOL_HELD;
        is_deferred |= mail->recipients[i].state == SPOOL_WAITING && mail->recipients[i].attempts > 0;
    }
    return is_held ? TEXT("held") : mail->holders > 1 ? TEXT("active") : is_deferred ? TEXT("deferred") : TEXT("waiting");
}

static bool is_chosen(const struct mail *mail, const struct choice *c)
{
    const struct envelope *e = &mail->envelope;
    int64_t age = clock_wall_ms() - mail->taken_ms;
    if ((c->older_ms && age < (int64_t)c->older_ms) || (c->younger_ms && age >= (int64_t)c->younger_ms))
        return false;
    if (c->sender.length && !address_is(&e->sender, c->sender))
        return false;
    if (c->is_held && !text_equals(state_of(mail), TEXT("held")))
        return false;
    bool has_recipient = !c->recipient.length && !c->domain.length;
    for (size_t i = 0; i < e->recipient_count && !has_recipient; i++)
        has_recipient = (c->recipient.length && address_is(&e->recipients[i].address, c->recipient)) ||
                        (c->domain.length && text_equals_ignoring_case(e->recipients[i].address.domain, c->domain));
    return has_recipient;
}

/* --- rows ---------------------------------------------------------------------------------------------------------------------------- */

static void append_due(struct queue *q, const struct mail *mail, struct buffer *b)
{
    uint32_t place = 0, handle;
    uint64_t soonest = UINT64_MAX, now = clock_monotonic_ms();
    while (schedule_of_message(&q->schedule, mail->id, &place, &handle))
        if (schedule_state(&q->schedule, handle) == SCHEDULE_WAITS)
            soonest = smaller(soonest, schedule_due_ms(&q->schedule, handle));
    if (soonest != UINT64_MAX)
        ignored(buffer_append_number(b, (uint64_t)clock_wall_ms() + (soonest > now ? soonest - now : 0))); /* fits */
}

static void list_row(struct queue *q, struct link *to, uint64_t tag, const struct mail *mail)
{
    char id[QUEUE_ID_LENGTH];
    struct buffer sender released_by(buffer_done) = buffer_new(1024), first released_by(buffer_done) = buffer_new(1024);
    struct buffer size released_by(buffer_done) = buffer_new(24), count released_by(buffer_done) = buffer_new(24);
    struct buffer arrived released_by(buffer_done) = buffer_new(40), due released_by(buffer_done) = buffer_new(40);
    address_append(&sender, &mail->envelope.sender);
    if (mail->envelope.recipient_count)
        address_append(&first, &mail->envelope.recipients[0].address);
    ignored(buffer_append_number(&size, mail->body_length));                  /* fits, as below */
    ignored(buffer_append_number(&count, mail->envelope.recipient_count));
    ignored(buffer_append_number(&arrived, (uint64_t)mail->taken_ms));
    append_due(q, mail, &due);
    role_row(to, tag, (struct text[]){TEXT("id"), queue_id_text(mail->id, id), TEXT("state"), state_of(mail), TEXT("arrived"), buffer_text(&arrived),
                                      TEXT("size"), buffer_text(&size), TEXT("sender"), buffer_text(&sender), TEXT("recipients"), buffer_text(&count),
                                      TEXT("recipient"), buffer_text(&first), TEXT("next"), buffer_text(&due), TEXT("login"), mail->envelope.login}, 18);
}

static struct text word_of_state(enum spool_state state)
{
    switch (state) {
    case SPOOL_WAITING:
        return TEXT("waiting");
    case SPOOL_HELD:
        return TEXT("held");
    case SPOOL_DONE:
        return TEXT("done");
    case SPOOL_FAILED_FOR_GOOD:
        return TEXT("failed");
    case SPOOL_STATES:
        break;
    }
    return TEXT("?");
}

static void show(struct queue *q, struct link *to, const struct peers_command_ask *ask, struct mail *mail)
{
    list_row(q, to, ask->tag, mail);
    for (size_t i = 0; i < mail->envelope.recipient_count; i++) {
        const struct recipient_facts *facts = &mail->recipients[i];
        struct buffer address released_by(buffer_done) = buffer_new(1024), attempts released_by(buffer_done) = buffer_new(24);
        struct buffer reply released_by(buffer_done) = buffer_new(4000);
        struct result result = {.class = RESULT_DEFERRED};
        bool was_tried = result_unpack(facts->last_result, &result);
        address_append(&address, &mail->envelope.recipients[i].address);
        ignored(buffer_append_number(&attempts, facts->attempts)); /* fits */
        if (was_tried)
            ignored(buffer_append_format(&reply, "%u %.*s %.*s", result.code, TEXT_ARGUMENTS(result.enhanced), TEXT_ARGUMENTS(result.text))); /* cut */
        role_row(to, ask->tag, (struct text[]){TEXT("recipient"), buffer_text(&address), TEXT("state"), word_of_state(facts->state), TEXT("attempts"),
                                               buffer_text(&attempts), TEXT("host"), result.host, TEXT("reply"), buffer_text(&reply)}, 10);
    }
    role_end(to, ask->tag, 0, TEXT_NONE);
}

/* A piece of the message: as text, since a row's values are texts; the command line writes them one behind the other. */
static void export(struct queue *q, struct link *to, const struct peers_command_ask *ask, struct mail *mail)
{
    static char octets[RAW_PIECE];
    uint64_t at = 0;
    struct buffer place released_by(buffer_done) = buffer_new(24);
    struct text after = role_argument(ask, TEXT("after"));
    if (after.length && !text_number(after, UINT64_MAX, &at)) {
        role_end(to, ask->tag, 2, TEXT("The place is no number."));
        return;
    }
    for (int i = 0; i < RAW_ROWS && at < mail->body_length; i++) {
        size_t got = 0;
        if (spool_read_body(q->spool, mail->id, at, octets, sizeof octets, &got) != SPOOL_OK || got == 0) {
            role_end(to, ask->tag, 1, TEXT("The message can't be read from the disk; see the log."));
            return;
        }
        role_row(to, ask->tag, (struct text[]){TEXT("octets"), text_of(octets, got)}, 2);
        at += got;
    }
    ignored(buffer_append_number(&place, at)); /* fits */
    role_end(to, ask->tag, at < mail->body_length ? COMMAND_PAGE_MORE : 0, at < mail->body_length ? buffer_text(&place) : TEXT_NONE);
}

/* --- acting -------------------------------------------------------------------------------------------------------------------------- */

static void set_held(struct queue *q, struct mail *mail, bool is_held)
{
    uint32_t place = 0, handle;
    for (uint32_t i = 0; i < mail->envelope.recipient_count; i++) {
        struct recipient_facts *facts = &mail->recipients[i];
        if (facts->state != (is_held ? SPOOL_WAITING : SPOOL_HELD))
            continue;
        facts->state = is_held ? SPOOL_HELD : SPOOL_WAITING;
        queue_update(q, mail, i, facts->flags, &facts->last_result, 0);
    }
    uint64_t now = clock_monotonic_ms();
    while (schedule_of_message(&q->schedule, mail->id, &place, &handle))
        ignored(is_held ? schedule_hold(&q->schedule, handle, now) : schedule_release(&q->schedule, handle, now)); /* a running try ends first */
    if (!is_held)
        queue_add_errands(q, mail, TEXT_NONE);
}

static void remove_mail(struct queue *q, struct mail *mail)
{
    uint32_t place, handle;
    for (size_t i = 0; i < mail->envelope.recipient_count; i++)
        mail->recipients[i].state = SPOOL_DONE;
    while (place = 0, schedule_of_message(&q->schedule, mail->id, &place, &handle))
        schedule_finished(&q->schedule, handle, clock_monotonic_ms());
    queue_finish_mail(q, mail);
}

static void retry(struct queue *q, struct mail *mail)
{
    uint32_t place = 0, handle;
    while (schedule_of_message(&q->schedule, mail->id, &place, &handle))
        ignored(schedule_retry(&q->schedule, handle, clock_monotonic_ms())); /* one that runs is being tried */
}

enum action { ACTION_LIST, ACTION_RETRY, ACTION_HOLD, ACTION_RELEASE, ACTION_REMOVE };

static bool act(struct queue *q, struct link *to, const struct peers_command_ask *ask, struct mail *mail, enum action action)
{
    char id[QUEUE_ID_LENGTH];
    if (action == ACTION_REMOVE && mail->holders > 1)
        return false; /* it is being delivered: its end decides */
    switch (action) {
    case ACTION_LIST:
        list_row(q, to, ask->tag, mail);
        return true;
    case ACTION_RETRY:
        retry(q, mail);
        break;
    case ACTION_HOLD:
        set_held(q, mail, true);
        break;
    case ACTION_RELEASE:
        set_held(q, mail, false);
        break;
    case ACTION_REMOVE:
        remove_mail(q, mail);
        break;
    }
    role_event(q->role, RECORD_NOTICE, TEXT("queue-changed"),
               (struct text[]){TEXT("id"), queue_id_text(mail->id, id), TEXT("command"), ask->name, TEXT("by"), ask->caller}, 6);
    return true;
}

static size_t act_on(struct queue *q, struct link *to, const struct peers_command_ask *ask, const struct choice *choice, uint64_t id, enum action action)
{
    struct mail *mail = queue_mail_open(q, id);
    if (!mail)
        return 0;
    mail->holders++;
    size_t count = is_chosen(mail, choice) && act(q, to, ask, mail, action);
    mail->holders--;
    queue_mail_release(q, mail);
    return count;
}

static void walk(struct queue *q, struct link *to, const struct peers_command_ask *ask, const struct choice *choice, enum action action)
{
    struct buffer message released_by(buffer_done) = buffer_new(100);
    uint64_t cursor = 0, id, limit = PAGE_ROWS;
    struct text after = role_argument(ask, TEXT("after")), asked = role_argument(ask, TEXT("limit"));
    size_t count = 0, looked = 0;
    if ((after.length && !text_number(after, UINT64_MAX, &cursor)) || (asked.length && !text_number(asked, 100000, &limit))) {
        role_end(to, ask->tag, 2, TEXT("The place is no number."));
        return;
    }
    bool pages = action == ACTION_LIST, is_more = false;
    while (spool_next(q->spool, &cursor, &id)) {
        count += act_on(q, to, ask, choice, id, action);
        if (pages && (count >= limit || ++looked >= PAGE_LOOKED_AT)) {
            is_more = true;
            break;
        }
    }
    if (is_more)
        ignored(buffer_append_number(&message, cursor)); /* fits */
    else if (!pages)
        ignored(buffer_append_format(&message, "%zu message%s", count, count == 1 ? "" : "s")); /* fits */
    role_end(to, ask->tag, is_more ? COMMAND_PAGE_MORE : 0, buffer_text(&message));
    queue_pump_later(q);
}

static void status(struct queue *q, struct link *to, const struct peers_command_ask *ask)
{
    struct spool_facts f = spool_facts(q->spool);
    struct schedule_facts s = schedule_facts(&q->schedule);
    const struct {
        struct text name;
        uint64_t value;
    } rows[] = {
        {TEXT("waiting"), f.waiting},           {TEXT("waiting_octets"), f.waiting_octets}, {TEXT("errands"), s.errands},
        {TEXT("running"), s.running},           {TEXT("destinations"), s.destinations},     {TEXT("destinations_failed"), s.failed_destinations},
        {TEXT("taken"), q->taken},              {TEXT("delivered"), q->delivered},          {TEXT("relayed"), q->relayed},
        {TEXT("deferred"), q->deferred},        {TEXT("failed"), q->failed},                {TEXT("reports"), q->reports},
        {TEXT("segments"), f.segments},         {TEXT("segments_spare"), f.spares},         {TEXT("groups"), f.groups},
        {TEXT("syncs"), f.syncs},               {TEXT("disk_free"), f.free_octets},         {TEXT("inodes_free"), f.free_inodes},
        {TEXT("full"), f.is_full},              {TEXT("in_memory"), q->mails.count},        {TEXT("paused"), q->is_held_back},
    };
    struct buffer numbers released_by(buffer_done) = buffer_new(1024);
    struct text pairs[2 * length_of(rows)];
    size_t starts[length_of(rows) + 1];
    starts[0] = 0;
    for (size_t i = 0; i < length_of(rows); i++) {
        ignored(buffer_append_number(&numbers, rows[i].value)); /* fits */
        starts[i + 1] = numbers.length;
    }
    for (size_t i = 0; i < length_of(rows); i++) {
        pairs[2 * i] = rows[i].name;
        pairs[2 * i + 1] = text_of(numbers.bytes + starts[i], starts[i + 1] - starts[i]);
    }
    role_status(q->role, to, ask->tag, pairs, length_of(pairs));
    role_end(to, ask->tag, 0, TEXT_NONE);
}

static const struct {
    struct text name;
    enum action action;
} actions[] = {
    {TEXT_INIT("queue-list"), ACTION_LIST},       {TEXT_INIT("queue-retry"), ACTION_RETRY},   {TEXT_INIT("queue-hold"), ACTION_HOLD},
    {TEXT_INIT("queue-release"), ACTION_RELEASE}, {TEXT_INIT("queue-remove"), ACTION_REMOVE},
};

static void on_one(struct queue *q, struct link *to, const struct peers_command_ask *ask, const struct choice *choice)
{
    struct mail *mail = choice->has_id && spool_has(q->spool, choice->id) ? queue_mail_open(q, choice->id) : NULL;
    if (!mail) {
        role_end(to, ask->tag, 1, choice->has_id ? TEXT("No such message waits: it was delivered, returned or removed (portiere trace ID tells).")
                                                 : TEXT("Which message? Give its id."));
        return;
    }
    mail->holders++;
    if (text_equals(ask->name, TEXT("queue-show")))
        show(q, to, ask, mail);
    else
        export(q, to, ask, mail);
    mail->holders--;
    queue_mail_release(q, mail);
}

void queue_command(struct queue *q, struct link *from, const struct peers_command_ask *ask)
{
    struct choice choice;
    struct text problem;
    if (text_equals(ask->name, TEXT("status"))) {
        status(q, from, ask);
        return;
    }
    bool is_pause = text_equals(ask->name, TEXT("queue-pause"));
    if (is_pause || text_equals(ask->name, TEXT("queue-resume"))) {
        q->is_held_back = is_pause;
        role_event(q->role, RECORD_NOTICE, is_pause ? TEXT("queue-paused") : TEXT("queue-resumed"), (struct text[]){TEXT("by"), ask->caller}, 2);
        role_end(from, ask->tag, 0, TEXT_NONE);
        queue_pump_later(q);
        return;
    }
    if (!read_choice(ask, &choice, &problem)) {
        role_end(from, ask->tag, 2, problem);
        return;
    }
    if (text_equals(ask->name, TEXT("queue-show")) || text_equals(ask->name, TEXT("queue-export"))) {
        on_one(q, from, ask, &choice);
        return;
    }
    for (size_t i = 0; i < length_of(actions); i++) {
        if (!text_equals(ask->name, actions[i].name))
            continue;
        if (choice.has_id && !spool_has(q->spool, choice.id)) {
            role_end(from, ask->tag, 1, TEXT("No such message waits."));
        } else if (choice.has_id) {
            size_t count = act_on(q, from, ask, &choice, choice.id, actions[i].action);
            role_end(from, ask->tag, count ? 0 : 1, count ? TEXT_NONE : TEXT("Nothing was done: it is being delivered just now, or does not match."));
            queue_pump_later(q);
        } else {
            walk(q, from, ask, &choice, actions[i].action);
        }
        return;
    }
    role_end(from, ask->tag, 2, TEXT("The queue does not know this command."));
}
