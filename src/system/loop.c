/* SPDX-License-Identifier: Apache-2.0 */
#include "system/loop.h"
#include "system/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Timers are a binary heap by deadline; each knows its place. Freed watches wait in a list until the round is over, since
 * the round's events may still point to them. */

struct loop_watch {
    struct loop *loop;
    int file;
    bool is_gone;
    loop_ready_function *function;
    void *context;
    struct loop_watch *next_gone;
};

struct loop_timer {
    struct loop *loop;
    uint64_t deadline_ms;
    size_t place; /* in the heap plus one; 0 = not set */
    loop_timer_function *function;
    void *context;
};

struct loop {
    int epoll;
    bool is_stopped;
    struct loop_timer **heap;
    size_t count, capacity;
    struct loop_watch *gone;
    loop_timer_function *after_round;
    void *after_context;
};

struct loop *loop_new(void)
{
    struct loop *loop = calloc(1, sizeof *loop);
    must(loop != NULL);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    must(loop->epoll >= 0);
    return loop;
}

static void sweep(struct loop *loop)
{
    while (loop->gone) {
        struct loop_watch *next = loop->gone->next_gone;
        free(loop->gone);
        loop->gone = next;
    }
}

void loop_free(struct loop **loop)
{
    if (*loop) {
        sweep(*loop);
        close((*loop)->epoll);
        free((*loop)->heap);
        free(*loop);
    }
    *loop = NULL;
}

static struct epoll_event event_for(struct loop_watch *watch, unsigned events)
{
    unsigned wanted = (events & LOOP_READABLE ? (unsigned)EPOLLIN : 0U) | (events & LOOP_WRITABLE ? (unsigned)EPOLLOUT : 0U);
    return (struct epoll_event){.events = wanted, .data.ptr = watch};
}

struct loop_watch *loop_watch_new(struct loop *loop, int file, unsigned events, loop_ready_function *function, void *context)
{
    struct loop_watch *watch = malloc(sizeof *watch);
    must(watch != NULL);
    *watch = (struct loop_watch){.loop = loop, .file = file, .function = function, .context = context};
    struct epoll_event event = event_for(watch, events);
    must(epoll_ctl(loop->epoll, EPOLL_CTL_ADD, file, &event) == 0);
    return watch;
}

void loop_watch_change(struct loop_watch *watch, unsigned events)
{
    struct epoll_event event = event_for(watch, events);
    must(epoll_ctl(watch->loop->epoll, EPOLL_CTL_MOD, watch->file, &event) == 0);
}

void loop_watch_free(struct loop_watch **watch)
{
    if (*watch) {
        ignored(epoll_ctl((*watch)->loop->epoll, EPOLL_CTL_DEL, (*watch)->file, NULL)); /* gone already when the file was closed */
        (*watch)->is_gone = true;
        (*watch)->next_gone = (*watch)->loop->gone;
        (*watch)->loop->gone = *watch;
    }
    *watch = NULL;
}

static void put(struct loop *loop, size_t place, struct loop_timer *timer)
{
    loop->heap[place] = timer;
    timer->place = place + 1;
}

static void rise(struct loop *loop, size_t place)
{
    struct loop_timer *timer = loop->heap[place];
    while (place > 0 && loop->heap[(place - 1) / 2]->deadline_ms > timer->deadline_ms) {
        put(loop, place, loop->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(loop, place, timer);
}

static void sink(struct loop *loop, size_t place)
{
    struct loop_timer *timer = loop->heap[place];
    for (;;) {
        size_t child = place * 2 + 1;
        if (child >= loop->count)
            break;
        if (child + 1 < loop->count && loop->heap[child + 1]->deadline_ms < loop->heap[child]->deadline_ms)
            child++;
        if (loop->heap[child]->deadline_ms >= timer->deadline_ms)
            break;
        put(loop, place, loop->heap[child]);
        place = child;
    }
    put(loop, place, timer);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_function *function, void *context)
{
    struct loop_timer *timer = malloc(sizeof *timer);
    must(timer != NULL);
    *timer = (struct loop_timer){.loop = loop, .function = function, .context = context};
    return timer;
}

void loop_timer_stop(struct loop_timer *timer)
{
    struct loop *loop = timer->loop;
    if (timer->place == 0)
        return;
    size_t place = timer->place - 1;
    timer->place = 0;
    struct loop_timer *last = loop->heap[--loop->count];
    if (last == timer)
        return;
    put(loop, place, last);
    rise(loop, place);
    sink(loop, last->place - 1);
}

void loop_timer_set(struct loop_timer *timer, uint64_t delay_ms)
{
    struct loop *loop = timer->loop;
    loop_timer_stop(timer);
    timer->deadline_ms = clock_monotonic_ms() + delay_ms;
    if (loop->count == loop->capacity) {
        loop->capacity = larger(16, loop->capacity * 2);
        loop->heap = reallocarray(loop->heap, loop->capacity, sizeof *loop->heap);
        must(loop->heap != NULL);
    }
    put(loop, loop->count++, timer);
    rise(loop, loop->count - 1);
}

void loop_timer_free(struct loop_timer **timer)
{
    if (*timer) {
        loop_timer_stop(*timer);
        free(*timer);
    }
    *timer = NULL;
}

void loop_after_round(struct loop *loop, loop_timer_function *function, void *context)
{
    loop->after_round = function;
    loop->after_context = context;
}

static int wait_ms(const struct loop *loop)
{
    if (loop->count == 0)
        return -1;
    uint64_t now = clock_monotonic_ms();
    uint64_t deadline = loop->heap[0]->deadline_ms;
    return deadline <= now ? 0 : (int)smaller(deadline - now, 3600000);
}

static void run_timers(struct loop *loop)
{
    uint64_t now = clock_monotonic_ms();
    while (!loop->is_stopped && loop->count && loop->heap[0]->deadline_ms <= now) {
        struct loop_timer *timer = loop->heap[0];
        loop_timer_stop(timer);
        timer->function(timer->context);
    }
}

static unsigned ready_of(unsigned events)
{
    return (events & EPOLLIN ? (unsigned)LOOP_READABLE : 0U) | (events & EPOLLOUT ? (unsigned)LOOP_WRITABLE : 0U) |
           (events & (EPOLLHUP | EPOLLERR) ? (unsigned)(LOOP_HUNG_UP | LOOP_READABLE) : 0U);
}

void loop_run(struct loop *loop)
{
    struct epoll_event events[64];
    while (!loop->is_stopped) {
        int count = epoll_wait(loop->epoll, events, (int)length_of(events), wait_ms(loop));
        must(count >= 0 || errno == EINTR);
        for (int i = 0; i < count; i++) {
            struct loop_watch *watch = events[i].data.ptr;
            if (!watch->is_gone)
                watch->function(watch->context, ready_of(events[i].events));
        }
        run_timers(loop);
        if (loop->after_round)
            loop->after_round(loop->after_context);
        sweep(loop);
    }
    loop->is_stopped = false;
}

void loop_stop(struct loop *loop)
{
    loop->is_stopped = true;
}
