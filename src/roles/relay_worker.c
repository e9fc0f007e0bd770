/* SPDX-License-Identifier: Apache-2.0 */
/* The threads of outgoing sessions: who takes which job, waiting for answers, and the connections they keep. */
#include "roles/relay.h"

#include "mail/packed.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { ANSWER_LIMIT = 1100 * 1024, DESTINATION_LIMIT = 600 };

/* --- waiting ---------------------------------------------------------------------------------------------------- */

static struct timespec from_now(uint64_t ms)
{
    struct timespec until;
    must(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return until;
}

uint64_t relay_tag(struct worker *w, bool is_for_body)
{
    struct relay_answer *a = &w->answer;
    a->tag = (uint64_t)(w->number + 1) << 32 | (++w->next_tag & UINT32_MAX);
    a->is_there = false;
    a->is_lost = false;
    a->is_for_body = is_for_body;
    buffer_clear(&a->octets);
    return a->tag;
}

bool relay_wait(struct worker *w, uint64_t deadline_ms)
{
    struct relay_answer *a = &w->answer;
    struct timespec until = from_now(deadline_ms);
    int result = 0;
    while (!a->is_there && !a->is_lost && result != ETIMEDOUT)
        result = pthread_cond_timedwait(&w->wake, &w->relay->lock, &until);
    a->tag = 0;
    return a->is_there;
}

static struct worker *worker_of_tag(struct relay *r, uint64_t tag)
{
    uint64_t number = tag >> 32;
    if (number == 0 || number > RELAY_WORKERS || !r->workers[number - 1])
        return NULL;
    struct worker *w = r->workers[number - 1];
    return w->answer.tag == tag && !w->answer.is_for_body ? w : NULL;
}

void relay_dns_answered(struct relay *r, const struct peers_dns_answer *answer)
{
    pthread_mutex_lock(&r->lock);
    struct worker *w = worker_of_tag(r, answer->tag);
    if (w) {
        w->answer.outcome = answer->outcome < DNS_OUTCOMES ? answer->outcome : (uint64_t)DNS_FAILED;
        for (size_t i = 0; i < answer->records.count; i++)
            packed_append_text(&w->answer.octets, answer->records.items[i]);
        w->answer.is_there = true;
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&r->lock);
}

/* Jobs of a queue that is gone may have the same number. */
static struct worker *worker_of_delivery(struct relay *r, uint64_t delivery)
{
    for (size_t i = 0; i < RELAY_WORKERS; i++) {
        const struct job *job = r->workers[i] ? r->workers[i]->job : NULL;
        if (job && job->delivery == delivery && job->queue_births == r->queue_births)
            return r->workers[i];
    }
    return NULL;
}

void relay_body_came(struct relay *r, const struct peers_body_part *part)
{
    pthread_mutex_lock(&r->lock);
    struct worker *w = worker_of_delivery(r, part->delivery);
    if (w && w->answer.tag && w->answer.is_for_body && part->length <= DELIVERY_SLOT) {
        w->job->part_at = part->at;
        w->job->part_length = part->length;
        w->answer.is_there = true;
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&r->lock);
}

void relay_lost(struct relay *r, enum peers_role remote)
{
    bool is_queue = remote == PEERS_QUEUE;
    pthread_mutex_lock(&r->lock);
    r->queue_births += is_queue;
    for (size_t i = 0; i < RELAY_WORKERS; i++)
        if (r->workers[i] && r->workers[i]->answer.tag && r->workers[i]->answer.is_for_body == is_queue) {
            r->workers[i]->answer.is_lost = true;
            pthread_cond_signal(&r->workers[i]->wake);
        }
    pthread_mutex_unlock(&r->lock);
}

/* --- jobs ------------------------------------------------------------------------------------------------------- */

void relay_job_free(struct relay *r, struct job **job)
{
    const struct settings *old = NULL;
    struct job *j = *job;
    if (!j)
        return;
    pthread_mutex_lock(&r->lock);
    struct relay_snapshot *snapshot = j->snapshot;
    if (snapshot && --snapshot->users == 0 && snapshot->is_old) {
        old = snapshot->settings;
        free(snapshot);
    }
    pthread_mutex_unlock(&r->lock);
    role_settings_release(r->role, old);
    buffer_done(&j->packed);
    buffer_done(&j->destination);
    arena_done(&j->arena);
    free(j);
    *job = NULL;
}

/* --- a thread --------------------------------------------------------------------------------------------------- */

/* Waits for a job; false: the time is over. Holding the lock. */
static bool wait_for_job(struct worker *w, uint64_t deadline_ms)
{
    struct timespec until = from_now(deadline_ms);
    int result = 0;
    while (!w->job && result != ETIMEDOUT)
        result = pthread_cond_timedwait(&w->wake, &w->relay->lock, &until);
    return w->job != NULL;
}

static void keep_or_close(struct worker *w)
{
    struct relay *r = w->relay;
    pthread_mutex_lock(&r->lock);
    struct job *job = w->job;
    buffer_clear(&w->kept);
    if (w->connection)
        buffer_append(&w->kept, buffer_text(&job->destination));
    w->job = NULL;
    w->state = WORKER_PARKED;
    pthread_mutex_unlock(&r->lock);
    relay_answer(r, job); /* only now: the queue may answer with the next job */
    relay_job_free(r, &job);
}

static void close_kept(struct worker *w)
{
    courier_connection_free(&w->connection);
    pthread_mutex_lock(&w->relay->lock);
    buffer_clear(&w->kept);
    pthread_mutex_unlock(&w->relay->lock);
}

/* True: there is a job. */
static bool park(struct worker *w)
{
    struct relay *r = w->relay;
    for (;;) {
        bool keeps = w->connection != NULL;
        pthread_mutex_lock(&r->lock);
        bool has_job = wait_for_job(w, keeps ? RELAY_KEEP_MS : RELAY_IDLE_MS);
        if (!has_job && !keeps)
            w->state = WORKER_FREE; /* nobody gives it a job any more */
        else if (!has_job)
            w->state = WORKER_BUSY; /* not while it takes its leave: the place counts as a session until then */
        pthread_mutex_unlock(&r->lock);
        if (has_job || !keeps)
            return has_job;
        close_kept(w);
        pthread_mutex_lock(&r->lock);
        w->state = WORKER_PARKED;
        pthread_mutex_unlock(&r->lock);
    }
}

static void work(void *context)
{
    struct worker *w = context;
    struct relay *r = w->relay;
    while (park(w)) {
        relay_run(w, w->job);
        keep_or_close(w);
    }
    pthread_mutex_lock(&r->lock);
    r->workers[w->number] = NULL;
    pthread_mutex_unlock(&r->lock);
    pthread_cond_destroy(&w->wake);
    buffer_done(&w->kept);
    buffer_done(&w->answer.octets);
    free(w);
}

/* --- who takes it; all holding the lock ------------------------------------------------------------------------- */

static void give_to(struct worker *w, struct job *job)
{
    w->state = WORKER_BUSY;
    w->job = job;
    pthread_cond_signal(&w->wake);
}

static struct worker *parked_with(struct relay *r, struct text destination)
{
    for (size_t i = 0; i < RELAY_WORKERS; i++)
        if (r->workers[i] && r->workers[i]->state == WORKER_PARKED &&
            text_equals(buffer_text(&r->workers[i]->kept), destination))
            return r->workers[i];
    return NULL;
}

static struct worker *parked_with_any(struct relay *r)
{
    for (size_t i = 0; i < RELAY_WORKERS; i++)
        if (r->workers[i] && r->workers[i]->state == WORKER_PARKED && r->workers[i]->kept.length)
            return r->workers[i];
    return NULL;
}

static struct worker *start_worker(struct relay *r)
{
    size_t number = 0;
    while (number < RELAY_WORKERS && r->workers[number])
        number++;
    if (number == RELAY_WORKERS)
        return NULL;
    struct worker *w = calloc(1, sizeof *w);
    must(w != NULL);
    *w = (struct worker){.relay = r,
                         .number = number,
                         .state = WORKER_PARKED,
                         .kept = buffer_new(DESTINATION_LIMIT),
                         .answer = {.octets = buffer_new(ANSWER_LIMIT)}};
    pthread_condattr_t attributes;
    must(pthread_condattr_init(&attributes) == 0 && pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&w->wake, &attributes) == 0);
    ignored(pthread_condattr_destroy(&attributes)); /* it holds nothing */
    if (thread_start(work, w) != 0) {
        pthread_cond_destroy(&w->wake);
        free(w);
        return NULL;
    }
    r->workers[number] = w;
    return w;
}

static size_t count_sessions(struct relay *r)
{
    size_t count = 0;
    for (size_t i = 0; i < RELAY_WORKERS; i++)
        count += r->workers[i] && (r->workers[i]->state == WORKER_BUSY || r->workers[i]->kept.length);
    return count;
}

static struct worker *choose(struct relay *r, struct text destination)
{
    struct worker *w = parked_with(r, destination);
    if (w)
        return w;
    if (count_sessions(r) < r->role->settings->service_max_outgoing) {
        w = parked_with(r, TEXT_NONE);
        if (!w)
            w = start_worker(r);
    }
    return w ? w : parked_with_any(r); /* a kept connection gives way */
}

static size_t count_to(struct relay *r, struct text destination)
{
    size_t count = 0;
    for (size_t i = 0; i < RELAY_WORKERS; i++)
        count += r->workers[i] && r->workers[i]->job &&
                 text_equals(buffer_text(&r->workers[i]->job->destination), destination);
    return count;
}

bool relay_give(struct relay *r, struct job *job)
{
    struct worker *w = NULL;
    pthread_mutex_lock(&r->lock);
    if (job->max_sessions == 0 || count_to(r, buffer_text(&job->destination)) < job->max_sessions)
        w = choose(r, buffer_text(&job->destination));
    if (w) {
        job->queue_births = r->queue_births;
        job->snapshot = r->snapshot;
        job->snapshot->users++;
        give_to(w, job);
    }
    pthread_mutex_unlock(&r->lock);
    return w != NULL;
}

size_t relay_count(struct relay *r, enum worker_state state)
{
    size_t count = 0;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < RELAY_WORKERS; i++)
        count += r->workers[i] && r->workers[i]->state == state;
    pthread_mutex_unlock(&r->lock);
    return count;
}

size_t relay_count_kept(struct relay *r)
{
    size_t count = 0;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < RELAY_WORKERS; i++)
        count += r->workers[i] && r->workers[i]->state == WORKER_PARKED && r->workers[i]->kept.length;
    pthread_mutex_unlock(&r->lock);
    return count;
}
