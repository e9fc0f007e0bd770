/* SPDX-License-Identifier: Apache-2.0 */
/* The threads: as many wait as there are cores; one that must block in a question first calls another in its place; what is too many afterwards
 * goes into the cache (thread_cache) or ends. */
#include "roles/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVENTS_AT_ONCE = 32 };
#define EVENT_LISTENER ((uint64_t)1 << 62)
#define EVENT_WAKE ((uint64_t)1 << 63)
#define EVENT_KICK ((uint64_t)1 << 61)
#define EVENT_HUNG_UP ((uint64_t)1 << 60)
#define EVENT_GO_ON ((uint64_t)1 << 59) /* the lowest: generations stay below */

/* One whose row the settings do not have yet waits for them: the kernel's queue holds who connects. */
static bool has_service(const struct front *f, uint64_t number)
{
    for (size_t i = 0; i < f->settings->service_count; i++)
        if (f->settings->services[i].number == number)
            return true;
    return false;
}

/* With the lock held. */
void front_wait_set_listeners(struct front *f, bool is_on)
{
    if (is_on && atomic_load(&f->is_stopping))
        return; /* nobody would take what waits there, and the set would tell of it again and again */
    for (size_t i = 0; i < f->role->listener_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = EVENT_LISTENER | i};
        if (f->role->listeners[i].socket < 0)
            continue;
        if (!is_on)
            ignored(epoll_ctl(f->epoll, EPOLL_CTL_DEL, f->role->listeners[i].socket, NULL)); /* out already is as good */
        else if (has_service(f, f->role->listeners[i].number))
            ignored(epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->role->listeners[i].socket, &event)); /* in already is as good */
    }
    f->is_full = !is_on;
}

static void run_session(struct worker *w, uint64_t data)
{
    struct session *s = front_session_at(w->front, (uint32_t)(data & 0xffff));
    if (data & EVENT_GO_ON) { /* claimed already, by the one who told it of its commit */
        session_go_on(w, s);
        return;
    }
    if (data & EVENT_HUNG_UP)
        atomic_store(&s->is_hung_up, true); /* claimed or not: who has it looks again. A later session in its place reads once more, for nothing */
    if (front_claim(s, (data & (EVENT_GO_ON - 1)) >> 16))
        session_run(w, s);
}

/* What another worker had to leave when it began to wait. */
static void take_left(struct worker *w)
{
    struct front *f = w->front;
    pthread_mutex_lock(&f->lock);
    while (f->left_count && w->todo_count < FRONT_TODO)
        w->todo[w->todo_count++] = f->left[--f->left_count];
    bool is_more = f->left_count > 0;
    pthread_mutex_unlock(&f->lock);
    if (is_more)
        front_kick(f);
}

/* With the lock held. */
static void leave(struct worker *w)
{
    struct front *f = w->front;
    size_t count = w->todo_count - w->todo_first;
    if (f->left_count + count > f->left_capacity) {
        f->left_capacity = (f->left_count + count) * 2;
        f->left = reallocarray(f->left, f->left_capacity, sizeof *f->left);
        must(f->left != NULL);
    }
    while (w->todo_count > w->todo_first)
        f->left[f->left_count++] = w->todo[--w->todo_count];
}

void front_go_on_later(struct worker *w, const struct session *s)
{
    must(w->todo_count < FRONT_TODO);
    w->todo[w->todo_count++] = EVENT_GO_ON | s->slot;
}

static void look_around(struct worker *w)
{
    take_left(w);
    if (atomic_exchange(&w->front->is_lane_due, false))
        lanes_complete(w);
    if (atomic_exchange(&w->front->is_tick_due, false))
        front_look_around(w);
}

bool front_worker_watch(struct front *f)
{
    struct epoll_event wake = {.events = EPOLLIN | EPOLLET, .data.u64 = EVENT_WAKE}, kick = {.events = EPOLLIN | EPOLLET, .data.u64 = EVENT_KICK};
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return f->epoll >= 0 && f->wake >= 0 && f->kick >= 0 && epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->wake, &wake) == 0 &&
           epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->kick, &kick) == 0;
}

void front_kick(struct front *f)
{
    uint64_t one = 1;
    ignored(write(f->kick, &one, sizeof one)); /* a full counter is an edge that nobody has missed */
}

/* thread_cache counts those that wait for an event too: they are idle all the same. */
static uint64_t places_in_cache(const struct front *f)
{
    uint64_t kept = f->settings->settings->service_thread_cache, waiting = f->cores;
    return kept > waiting ? kept - waiting : 0;
}

static void work(void *context)
{
    struct worker *w = context;
    struct front *f = w->front;
    for (;;) {
        struct epoll_event events[EVENTS_AT_ONCE];
        front_events_send(w);
        pthread_mutex_lock(&f->lock);
        unsigned wanted = f->cores;
        while (f->worker_count - f->blocked - f->parked > wanted && f->to_unpark == 0) {
            if (f->parked >= places_in_cache(f)) {
                f->worker_count--;
                f->workers[w->number] = NULL;
                pthread_mutex_unlock(&f->lock);
                map_done(&w->facts);
                buffer_done(&w->output);
                buffer_done(&w->events);
                buffer_done(&w->event);
                arena_done(&w->words);
                buffer_done(&w->answer.text);
                buffer_done(&w->answer.second);
                buffer_done(&w->answer.third);
                free(w);
                return;
            }
            f->parked++;
            pthread_cond_wait(&f->unpark, &f->lock);
            f->parked--;
            if (f->to_unpark) {
                f->to_unpark--;
                f->reused++;
                break;
            }
        }
        f->waiting++;
        pthread_mutex_unlock(&f->lock);
        int count = epoll_wait(f->epoll, events, EVENTS_AT_ONCE, -1);
        pthread_mutex_lock(&f->lock);
        f->waiting--;
        pthread_mutex_unlock(&f->lock);
        must(count >= 0 || errno == EINTR);
        w->todo_first = w->todo_count = 0;
        for (int i = 0; i < count; i++)
            w->todo[w->todo_count++] = events[i].data.u64 | (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? EVENT_HUNG_UP : 0);
        while (w->todo_first < w->todo_count) {
            uint64_t data = w->todo[w->todo_first++];
            if (data & EVENT_WAKE)
                lanes_complete(w);
            else if (data & EVENT_KICK)
                look_around(w);
            else if (data & EVENT_LISTENER)
                front_accept(w, (size_t)(data & 0xffff));
            else
                run_session(w, data);
        }
    }
}

bool front_worker_start(struct front *f)
{
    size_t number = 0;
    while (number < FRONT_WORKERS && f->workers[number])
        number++;
    if (number == FRONT_WORKERS)
        return false;
    struct worker *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->front = f;
    w->number = (unsigned)number;
    w->output = buffer_new(FRONT_OUTPUT);
    w->events = buffer_new(ROLE_EVENTS);
    w->event = buffer_new(PEERS_MESSAGE_LIMIT);
    w->facts = map_new(8192, random_number());
    w->words = arena_new(256 * 1024);
    w->answer.text = buffer_new(16384);
    w->answer.second = buffer_new(1024);
    w->answer.third = buffer_new(1024);
    must(pthread_mutex_init(&w->answer.lock, NULL) == 0);
    pthread_condattr_t by_monotonic;
    must(pthread_condattr_init(&by_monotonic) == 0 && pthread_condattr_setclock(&by_monotonic, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&w->answer.came, &by_monotonic) == 0);
    if (number < FRONT_LANES)
        w->lane = &f->lanes[number];
    f->workers[number] = w;
    f->worker_count++;
    f->made++;
    if (thread_start(work, w) == 0)
        return true;
    f->workers[number] = NULL;
    f->worker_count--;
    f->made--;
    free(w);
    return false;
}

void front_before_waiting(struct worker *w)
{
    struct front *f = w->front;
    front_events_send(w);
    pthread_mutex_lock(&f->lock);
    leave(w); /* nobody waits behind the one who waits */
    bool has_left = f->left_count > 0;
    f->blocked++;
    if (f->worker_count - f->blocked - f->parked < f->cores) {
        if (f->parked > f->to_unpark) {
            f->to_unpark++;
            pthread_cond_signal(&f->unpark);
        } else {
            ignored(front_worker_start(f)); /* at the limit the others carry on */
        }
    }
    pthread_mutex_unlock(&f->lock);
    if (has_left)
        front_kick(f);
}

void front_after_waiting(struct worker *w)
{
    struct front *f = w->front;
    pthread_mutex_lock(&f->lock);
    f->blocked--;
    pthread_mutex_unlock(&f->lock);
}
