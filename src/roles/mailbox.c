/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox: the keeper of the Maildirs. The queue fills slots of one window and names them in `deliver`; whatever is
 * whole when a round of the loop ends is committed as one batch and answered. A longer body is asked for piece by piece
 * into the same slot. Only the queue is answered; when it goes, what is under way is dropped and comes again. */
#include "mailbox/mailbox.h"
#include "roles/delivery.h"
#include "roles/role.h"

#include <stdlib.h>

enum {
    FIRST_SWEEP_MS = 60 * 1000,
    SWEEP_STEP_MS = 20,
    SWEEP_MS = 24 * 60 * 60 * 1000,
    TROUBLE_MS = 10 * 1000, /* one event of a kind in this time */
    ENVELOPE_ARENA = 1 << 20,
    RESULT_LIMIT = 1024, /* of peers.def: delivered.results */
};

struct task {                          /* one for each slot */
    struct mailbox_delivery *delivery; /* NULL: the slot is free */
    uint64_t number;                   /* the queue's, of deliver */
    uint64_t id;
    uint64_t taken, total;
    size_t recipients;
    bool is_ready; /* all has come */
};

struct trouble { /* one for each outcome */
    uint64_t told_ms, untold;
};

struct keeper {
    struct role *role;
    struct mailbox_store *store;
    const char *window; /* DELIVERY_SLOT octets a slot; NULL until the queue has sent it */
    struct task tasks[DELIVERY_SLOTS_MAILBOX];
    size_t ready[DELIVERY_SLOTS_MAILBOX]; /* slots, in the order in which they became whole */
    size_t ready_count;
    int64_t era_ms; /* wall clock: what arrived before may have been tried already by a process that is gone */
    struct loop_timer *sweep;
    struct trouble troubles[MAILBOX_OUTCOMES];
    uint64_t outcomes[MAILBOX_OUTCOMES], batches, largest_batch, octets;
};

enum { WINDOW_OCTETS = DELIVERY_SLOT * DELIVERY_SLOTS_MAILBOX };

static void take_options(struct keeper *k)
{
    const struct settings *s = k->role->settings;
    mailbox_store_options(k->store, &(struct mailbox_options){.host = s->service_hostname,
                                                              .adds_return_path = s->advanced_add_return_path,
                                                              .full_is_permanent = s->delivery_full_mailbox_permanent,
                                                              .deletes_duplicates = s->advanced_delete_duplicates});
}

static void free_task(struct task *task)
{
    mailbox_delivery_free(&task->delivery);
    *task = (struct task){.delivery = NULL};
}

/* --- what went wrong, told once in a while ------------------------------------------------------- */

static enum record_level level_of(enum mailbox_outcome outcome)
{
    switch (outcome) {
    case MAILBOX_DISK_FULL:
    case MAILBOX_DISK_QUOTA:
    case MAILBOX_DISK_FAILED:
    case MAILBOX_NOT_SAFE:
    case MAILBOX_CUT_SHORT:
    case MAILBOX_BAD_NAME:
        return RECORD_ALARM;
    case MAILBOX_UNDECIDED:
    case MAILBOX_DELIVERED:
    case MAILBOX_ALREADY_THERE:
    case MAILBOX_DUPLICATE:
    case MAILBOX_FULL: /* the sender's queue tells it: recipient-deferred or recipient-failed */
    case MAILBOX_OUTCOMES:
        break;
    }
    return RECORD_DEBUG;
}

static void tell_trouble(struct keeper *k, const struct task *task)
{
    enum mailbox_outcome outcome = mailbox_delivery_outcome(task->delivery);
    if (level_of(outcome) == RECORD_DEBUG)
        return;
    struct trouble *trouble = &k->troubles[outcome];
    uint64_t now = clock_monotonic_ms();
    k->era_ms = clock_wall_ms(); /* a name may stand there without its sync: the next try looks for it */
    if (trouble->told_ms && now - trouble->told_ms < TROUBLE_MS) {
        trouble->untold++;
        return;
    }
    struct buffer id released_by(buffer_done) = buffer_new(QUEUE_ID_LENGTH),
                     untold released_by(buffer_done) = buffer_new(20);
    int error = mailbox_delivery_error(task->delivery);
    ignored(queue_id_append(&id, task->id));                 /* it fits */
    ignored(buffer_append_number(&untold, trouble->untold)); /* as above */
    role_event(k->role, level_of(outcome), TEXT("mailbox-trouble"),
               (struct text[]){TEXT("id"), buffer_text(&id), TEXT("account"), mailbox_delivery_account(task->delivery),
                               TEXT("trouble"), mailbox_outcome_word(outcome), TEXT("why"),
                               error ? file_error_word(error) : TEXT_NONE, TEXT("untold"), buffer_text(&untold)},
               10);
    *trouble = (struct trouble){.told_ms = now};
}

/* --- answers ------------------------------------------------------------------------------------- */

static void answer(struct keeper *k, const struct task *task)
{
    struct result result;
    struct buffer text released_by(buffer_done) = buffer_new(400), packed released_by(buffer_done) = buffer_new(1024);
    mailbox_delivery_result(task->delivery, &result);
    int error = mailbox_delivery_error(task->delivery);
    if (error && buffer_append(&text, result.text) && buffer_append(&text, TEXT(": ")) &&
        buffer_append(&text, file_error_word(error)))
        result.text = buffer_text(&text);
    must(result_pack(&packed, &result)); /* constants of a few octets */
    size_t count = smaller(task->recipients, RESULT_LIMIT);
    struct text *items = malloc(larger(count, 1) * sizeof *items);
    must(items != NULL);
    for (size_t i = 0; i < count; i++)
        items[i] = buffer_text(&packed);
    struct peers_delivered delivered = {.delivery = task->number, .results = {.items = items, .count = count}};
    ignored(link_send(role_link(k->role, PEERS_QUEUE), PEERS_delivered, &delivered,
                      NULL)); /* without a queue it comes again */
    free(items);
}

static void commit_ready(void *context)
{
    struct keeper *k = context;
    struct mailbox_delivery *batch[DELIVERY_SLOTS_MAILBOX];
    if (k->ready_count == 0)
        return;
    for (size_t i = 0; i < k->ready_count; i++)
        batch[i] = k->tasks[k->ready[i]].delivery;
    mailbox_deliveries_commit(k->store, batch, k->ready_count);
    k->batches++;
    k->largest_batch = larger(k->largest_batch, k->ready_count);
    for (size_t i = 0; i < k->ready_count; i++) {
        struct task *task = &k->tasks[k->ready[i]];
        k->outcomes[mailbox_delivery_outcome(task->delivery)]++;
        k->octets += task->total;
        tell_trouble(k, task);
        answer(k, task);
        free_task(task);
    }
    k->ready_count = 0;
}

/* --- what the queue says ------------------------------------------------------------------------- */

static void misspoke(struct keeper *k, struct text what)
{
    role_event(k->role, RECORD_ALARM, TEXT("peer-misspoke"),
               (struct text[]){TEXT("peer"), TEXT("queue"), TEXT("fault"), what}, 4);
}

static void take_window(struct keeper *k, const struct peers_window *window, const struct channel_descriptors *files)
{
    void *address = NULL;
    if (window->size != WINDOW_OCTETS || memory_map(files->files[0], WINDOW_OCTETS, false, &address) != 0) {
        misspoke(k, TEXT("window of another size"));
        return;
    }
    memory_unmap((void *)(uintptr_t)k->window, WINDOW_OCTETS);
    k->window = address;
}

/* Octets of the body stand in the slot. What goes wrong with them is in the delivery's outcome, so the rest need not
 * come. */
static void take_octets(struct keeper *k, size_t slot, uint64_t length)
{
    struct task *task = &k->tasks[slot];
    mailbox_delivery_write(task->delivery, text_of(k->window + slot * DELIVERY_SLOT, (size_t)length));
    task->taken += length;
    if (task->taken == task->total || mailbox_delivery_outcome(task->delivery) != MAILBOX_UNDECIDED) {
        task->is_ready = true;
        k->ready[k->ready_count++] = slot;
        return;
    }
    struct peers_body_ask ask = {.delivery = task->number, .at = task->taken};
    ignored(
        link_send(role_link(k->role, PEERS_QUEUE), PEERS_body_ask, &ask, NULL)); /* a queue that is gone drops it all */
}

static void take_deliver(struct keeper *k, const struct peers_deliver *deliver)
{
    struct arena arena released_by(arena_done) = arena_new(ENVELOPE_ARENA);
    struct envelope envelope;
    if (!k->window || deliver->slot >= DELIVERY_SLOTS_MAILBOX || deliver->length > DELIVERY_SLOT ||
        deliver->length > deliver->total || k->tasks[deliver->slot].delivery ||
        (deliver->length == 0 && deliver->total > 0)) {
        misspoke(k, TEXT("deliver with a slot or a length that can't be"));
        return;
    }
    if (!envelope_unpack(deliver->envelope, &arena, &envelope)) {
        misspoke(k, TEXT("deliver with a damaged envelope"));
        ignored(link_send(role_link(k->role, PEERS_QUEUE), PEERS_delivered,
                          &(struct peers_delivered){.delivery = deliver->delivery},
                          NULL)); /* what has no result is deferred */
        return;
    }
    struct mailbox_order order = {.account = deliver->destination,
                                  .id = deliver->id,
                                  .arrived_ms = envelope.arrived_ms,
                                  .sender = envelope.sender,
                                  .total = deliver->total,
                                  .quota = deliver->quota,
                                  .may_be_repeat = envelope.arrived_ms <= k->era_ms,
                                  .now_ms = clock_wall_ms()};
    struct task *task = &k->tasks[deliver->slot];
    *task = (struct task){.delivery = mailbox_delivery_begin(k->store, &order),
                          .number = deliver->delivery,
                          .id = deliver->id,
                          .total = deliver->total,
                          .recipients = envelope.recipient_count};
    take_octets(k, (size_t)deliver->slot, deliver->length);
}

static void take_part(struct keeper *k, const struct peers_body_part *part)
{
    for (size_t slot = 0; slot < DELIVERY_SLOTS_MAILBOX; slot++) {
        struct task *task = &k->tasks[slot];
        if (!task->delivery || task->is_ready || task->number != part->delivery)
            continue;
        if (part->at != task->taken || part->length == 0 || part->length > DELIVERY_SLOT ||
            part->length > task->total - task->taken)
            break;
        take_octets(k, slot, part->length);
        return;
    }
    misspoke(k, TEXT("a part that was not asked for"));
}

static void drop_all(struct keeper *k)
{
    for (size_t slot = 0; slot < DELIVERY_SLOTS_MAILBOX; slot++)
        free_task(&k->tasks[slot]);
    k->ready_count = 0;
}

/* --- status, sweeping and the frame -------------------------------------------------------------- */

static void show_status(struct keeper *k, struct link *from, uint64_t tag)
{
    uint64_t free_octets = 0, free_inodes = 0, open = 0;
    for (size_t slot = 0; slot < DELIVERY_SLOTS_MAILBOX; slot++)
        open += k->tasks[slot].delivery != NULL;
    ignored(folder_free(role_folder(k->role, TEXT("mail")), &free_octets, &free_inodes)); /* then it shows 0 */
    const uint64_t *outcomes = k->outcomes;
    const struct {
        struct text name;
        uint64_t value;
    } rows[] = {
        {TEXT("delivered"), outcomes[MAILBOX_DELIVERED]},
        {TEXT("already-there"), outcomes[MAILBOX_ALREADY_THERE]},
        {TEXT("duplicates"), outcomes[MAILBOX_DUPLICATE]},
        {TEXT("full"), outcomes[MAILBOX_FULL]},
        {TEXT("disk-trouble"),
         outcomes[MAILBOX_DISK_FULL] + outcomes[MAILBOX_DISK_QUOTA] + outcomes[MAILBOX_DISK_FAILED]},
        {TEXT("not-safe"), outcomes[MAILBOX_NOT_SAFE]},
        {TEXT("octets"), k->octets},
        {TEXT("batches"), k->batches},
        {TEXT("largest-batch"), k->largest_batch},
        {TEXT("under-way"), open},
        {TEXT("disk-free"), free_octets},
        {TEXT("inodes-free"), free_inodes},
    };
    struct text pairs[length_of(rows) * 2];
    struct buffer numbers[length_of(rows)];
    for (size_t i = 0; i < length_of(rows); i++) {
        numbers[i] = buffer_new(20);
        ignored(buffer_append_number(&numbers[i], rows[i].value)); /* twenty digits fit */
        pairs[i * 2] = rows[i].name;
        pairs[i * 2 + 1] = buffer_text(&numbers[i]);
    }
    role_status(k->role, from, tag, pairs, length_of(pairs));
    role_end(from, tag, 0, TEXT_NONE);
    for (size_t i = 0; i < length_of(rows); i++)
        buffer_done(&numbers[i]);
}

static void take_command(struct keeper *k, struct link *from, const struct peers_command_ask *ask)
{
    if (text_equals(ask->name, TEXT("status")))
        show_status(k, from, ask->tag);
    else
        role_end(from, ask->tag, 1, TEXT("the role mailbox does not know this command"));
}

static void sweep(void *context)
{
    struct keeper *k = context;
    loop_timer_set(k->sweep, mailbox_store_sweep(k->store, clock_wall_ms()) ? SWEEP_STEP_MS : SWEEP_MS);
}

static bool prepare(struct role *role)
{
    struct keeper *k = role->context;
    int folder = role_folder(role, TEXT("mail"));
    if (folder < 0)
        return false;
    k->role = role;
    k->era_ms = clock_wall_ms();
    k->store = mailbox_store_new(folder);
    take_options(k);
    ignored(process_raise_file_limit()); /* 256 deliveries hold some 1,300 descriptors; fewer only defer */
    return true;
}

static void begin(struct role *role)
{
    struct keeper *k = role->context;
    k->sweep = loop_timer_new(role->loop, sweep, k);
    loop_timer_set(k->sweep, FIRST_SWEEP_MS);
    loop_after_round(role->loop, commit_ready, k);
}

static void message(struct role *role, struct link *from, const struct peers_message *message,
                    struct channel_descriptors *files)
{
    struct keeper *k = role->context;
    switch ((int)message->type) { /* the few that may reach us */
    case PEERS_window:
        take_window(k, &message->window, files);
        break;
    case PEERS_deliver:
        take_deliver(k, &message->deliver);
        break;
    case PEERS_body_part:
        take_part(k, &message->body_part);
        break;
    case PEERS_command_ask:
        take_command(k, from, &message->command_ask);
        break;
    default: /* not for us, or not yet */
        break;
    }
}

/* What the old queue had not heard will come again: its names may stand there. */
static void unlinked(struct role *role, struct link *link)
{
    struct keeper *k = role->context;
    if (link->remote != PEERS_QUEUE)
        return;
    drop_all(k);
    memory_unmap((void *)(uintptr_t)k->window, WINDOW_OCTETS);
    k->window = NULL;
    k->era_ms = clock_wall_ms();
}

static void settings_changed(struct role *role, const struct settings *before)
{
    take_options(role->context);
    role_settings_release(role, before);
}

int main(void)
{
    static const struct role_program program = {
        .self = PEERS_MAILBOX,
        .grants = SANDBOX_FILES,
        .prepare = prepare,
        .begin = begin,
        .message = message,
        .unlinked = unlinked,
        .settings_changed = settings_changed,
    };
    struct keeper *k = calloc(1, sizeof *k);
    must(k != NULL);
    int status = role_main(&program, k);
    if (k->store) {
        drop_all(k);
        mailbox_store_free(&k->store);
    }
    free(k);
    return status;
}
