/* SPDX-License-Identifier: Apache-2.0 */
/* The disk thread, and what goes through it: groups, chores; and who is told when a group is durable. */
#include "roles/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { UPDATE_MS = 30 };

static void disk(void *context)
{
    struct queue *q = context;
    pthread_mutex_lock(&q->lock);
    for (;;) {
        while (!q->group && !q->chore)
            pthread_cond_wait(&q->work_came, &q->lock);
        struct spool_group *group = q->group;
        struct spool_chore *chore = group ? NULL : q->chore;
        if (group)
            q->group = NULL;
        else
            q->chore = NULL;
        pthread_mutex_unlock(&q->lock);
        if (group)
            spool_group_write(group);
        else
            spool_chore_do(chore);
        pthread_mutex_lock(&q->lock);
        if (group)
            q->group_done = group;
        else
            q->chore_done = chore;
        uint64_t one = 1;
        ignored(write(q->disk_wake, &one, sizeof one)); /* the counter can't be full */
    }
}

static void hand_over(struct queue *q, struct spool_group *group, struct spool_chore *chore)
{
    pthread_mutex_lock(&q->lock);
    if (group)
        q->group = group;
    if (chore)
        q->chore = chore;
    pthread_cond_signal(&q->work_came);
    pthread_mutex_unlock(&q->lock);
}

/* One store of durable for each lane, one wake for front. */
static void tell(struct queue *q, bool is_good)
{
    int wake = -1;
    for (size_t i = 0; i < q->written.count; i++) {
        const struct taken *t = &q->written.items[i];
        if (!t->lane)
            continue;
        enum window_result result = is_good || t->id == 0 ? t->result : WINDOW_DISK_FAILED;
        atomic_store_explicit(&t->lane->window->results[t->sequence % WINDOW_RESULTS], (uint8_t)result, memory_order_relaxed);
        atomic_store_explicit(&t->lane->window->durable, t->sequence, memory_order_release);
        wake = t->lane->wake;
    }
    uint64_t one = 1;
    if (wake >= 0)
        ignored(write(wake, &one, sizeof one)); /* an edge that front has not missed, even when the counter is full */
}

void queue_spool_failed(struct queue *q, const struct spool_trouble *trouble)
{
    role_event(q->role, RECORD_ALARM, TEXT("spool-failed"),
               (struct text[]){TEXT("doing"), trouble->doing, TEXT("file"), trouble->name, TEXT("why"),
                               trouble->error ? file_error_word(trouble->error) : spool_result_word(trouble->result)}, 6);
    loop_stop(q->role->loop);
}

static void group_ended(struct queue *q, struct spool_group *group)
{
    struct spool_trouble trouble = {.result = SPOOL_OK};
    q->is_group_out = false;
    bool is_good = spool_group_finish(q->spool, group, &trouble) == SPOOL_OK;
    tell(q, is_good);
    if (!is_good) {
        queue_spool_failed(q, &trouble);
        return;
    }
    for (size_t i = 0; i < q->written.count; i++)
        if (q->written.items[i].id)
            queue_taken_durable(q, q->written.items[i].id);
    q->written.count = 0;
}

static void handed_back(void *context, unsigned ready not_used)
{
    struct queue *q = context;
    uint64_t count;
    ignored(read(q->disk_wake, &count, sizeof count)); /* what was handed back tells */
    pthread_mutex_lock(&q->lock);
    struct spool_group *group = q->group_done;
    struct spool_chore *chore = q->chore_done;
    q->group_done = NULL;
    q->chore_done = NULL;
    pthread_mutex_unlock(&q->lock);
    if (group)
        group_ended(q, group);
    if (chore) {
        q->is_chore_out = false;
        spool_chore_finish(q->spool, chore);
    }
}

void queue_seal(struct queue *q)
{
    struct spool_group *group = spool_group_seal(q->spool);
    if (!group)
        return;
    struct take_list old = q->written;
    q->written = q->collected;
    q->collected = old;
    q->collected.count = 0;
    q->is_group_out = true;
    hand_over(q, group, NULL);
}

/* Refusals need no disk: they are told with the next group, or at once when there is none. */
static void tell_refusals(struct queue *q)
{
    if (q->is_group_out || spool_has_collected(q->spool) || q->collected.count == 0)
        return;
    struct take_list old = q->written;
    q->written = q->collected;
    tell(q, true);
    q->written.count = 0;
    q->collected = old;
    q->collected.count = 0;
}

static void begin_chore(struct queue *q)
{
    struct spool_chore *chore = spool_chore_next(q->spool);
    q->is_chore_out = chore != NULL;
    if (chore)
        hand_over(q, NULL, chore);
}

void queue_after_round(void *context)
{
    struct queue *q = context;
    if (spool_is_broken(q->spool))
        return;
    if (q->late_first)
        queue_takes_retry(q);
    if (!q->is_group_out && (spool_must_sync(q->spool) || (spool_has_collected(q->spool) && q->late_first)))
        queue_seal(q);
    if (!q->is_update_due && spool_has_collected(q->spool)) {
        q->is_update_due = true;
        loop_timer_set(q->update_timer, UPDATE_MS);
    }
    tell_refusals(q);
    if (!q->is_chore_out)
        begin_chore(q);
}

/* Updates alone wait for others a moment, not longer: what is in memory when the role is killed is delivered twice. */
static void write_updates(void *context)
{
    struct queue *q = context;
    q->is_update_due = false;
    if (!q->is_group_out && spool_has_collected(q->spool))
        queue_seal(q);
}

static void tidy(void *context)
{
    struct queue *q = context;
    loop_timer_set(q->tidy_timer, spool_tidy(q->spool) ? 5 : 200);
}

bool queue_disk_start(struct queue *q)
{
    must(pthread_mutex_init(&q->lock, NULL) == 0 && pthread_cond_init(&q->work_came, NULL) == 0);
    q->disk_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->disk_wake < 0 || thread_start(disk, q) != 0)
        return false;
    q->disk_watch = loop_watch_new(q->role->loop, q->disk_wake, LOOP_READABLE, handed_back, q);
    q->update_timer = loop_timer_new(q->role->loop, write_updates, q);
    q->tidy_timer = loop_timer_new(q->role->loop, tidy, q);
    loop_timer_set(q->tidy_timer, 200);
    loop_after_round(q->role->loop, queue_after_round, q);
    return true;
}

/* --- what the queue itself writes ------------------------------------------------------------------------------------------------------ */

static bool is_awaited(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool is_out = (q->is_group_out || q->is_chore_out) && !q->group_done && !q->chore_done;
    pthread_mutex_unlock(&q->lock);
    return is_out;
}

/* The group is full, or no segment is ready: write it here and now. Rare: the loop waits for the disk. */
static void make_room(struct queue *q)
{
    while (is_awaited(q))
        ignored(usleep(200)); /* woken early is no harm */
    handed_back(q, 0);
    if (!q->is_group_out)
        queue_seal(q);
    if (!q->is_chore_out)
        begin_chore(q);
}

enum { ROOM_TRIES = 2000 };

void queue_update(struct queue *q, struct mail *mail, uint32_t recipient, uint32_t flags, const struct text *result, int64_t next_attempt_ms)
{
    const struct recipient_facts *facts = &mail->recipients[recipient];
    struct spool_update update = {
        .recipient = recipient,
        .state = facts->state,
        .attempts = facts->attempts,
        .flags = flags,
        .next_attempt_ms = next_attempt_ms,
        .result = text_first(result ? *result : TEXT_NONE, SPOOL_RESULT_LIMIT),
    };
    enum spool_result written = SPOOL_LATER;
    for (int i = 0; i < ROOM_TRIES && written == SPOOL_LATER; i++) {
        written = spool_update(q->spool, mail->id, &update);
        if (written == SPOOL_LATER)
            make_room(q);
    }
    if (written != SPOOL_OK && written != SPOOL_UNKNOWN)
        role_event(q->role, RECORD_ALARM, TEXT("journal-failed"), (struct text[]){TEXT("why"), spool_result_word(written)}, 2);
}

/* A message of our own: front, then copied_length octets of another message's body. */
bool queue_append_own(struct queue *q, const struct envelope *envelope, struct text front, uint64_t copied_from, uint64_t copied_length, uint64_t *ret_id)
{
    struct buffer packed released_by(buffer_done) = buffer_new(32 << 20);
    uint64_t id = queue_id_make(q->role->boot, QUEUE_OWN_LANE, ++q->next_own);
    struct spool_new new = {.id = id, .taken_ms = clock_wall_ms(), .is_own = true};
    uint64_t length = front.length + copied_length;
    enum spool_result result = SPOOL_LATER;
    if (!envelope_pack(&packed, envelope))
        return false;
    new.envelope = buffer_text(&packed);
    if (length < (1 << 20)) {
        char *body = NULL;
        for (int i = 0; i < ROOM_TRIES && result == SPOOL_LATER; i++) {
            result = spool_reserve(q->spool, (size_t)length, true, &body);
            if (result == SPOOL_LATER)
                make_room(q);
        }
        size_t got = 0;
        if (result != SPOOL_OK)
            return false;
        /* read first: nothing of the spool may be called between reserve and append */
        struct buffer copy released_by(buffer_done) = buffer_new((size_t)copied_length + 1);
        char *room = buffer_room(&copy, (size_t)copied_length);
        if (copied_length && (!room || spool_read_body(q->spool, copied_from, 0, room, (size_t)copied_length, &got) != SPOOL_OK || got != copied_length))
            return false;
        if (spool_reserve(q->spool, (size_t)length, true, &body) != SPOOL_OK)
            return false;
        if (front.length)
            memcpy(body, front.bytes, front.length);
        if (copied_length)
            memcpy(body + front.length, room, (size_t)copied_length);
        result = spool_append_reserved(q->spool, &new, (size_t)length);
    } else {
        static char octets[DELIVERY_SLOT];
        struct spool_large *large = NULL;
        result = spool_large_begin(q->spool, id, true, &large);
        if (result == SPOOL_OK)
            result = spool_large_write(large, front);
        for (uint64_t at = 0; result == SPOOL_OK && at < copied_length;) {
            size_t got = 0;
            result = spool_read_body(q->spool, copied_from, at, octets, (size_t)smaller(sizeof octets, copied_length - at), &got);
            if (result == SPOOL_OK)
                result = got ? spool_large_write(large, text_of(octets, got)) : SPOOL_DAMAGED;
            at += got;
        }
        enum spool_result written = result;
        for (int i = 0; i < ROOM_TRIES && written == SPOOL_OK; i++) {
            result = spool_large_commit(q->spool, &large, &new);
            if (result != SPOOL_LATER)
                break;
            make_room(q);
        }
        if (result != SPOOL_OK && large)
            spool_large_abort(q->spool, &large);
    }
    if (result != SPOOL_OK || !queue_mail_of_take(q, id, buffer_text(&packed), length))
        return false;
    /* it is told to nobody, but goes on when its group is durable */
    queue_note_take(q, NULL, 0, id, WINDOW_DURABLE);
    *ret_id = id;
    return true;
}
