/* SPDX-License-Identifier: Apache-2.0 */
#include "system/window.h"
#include "system/clock.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

bool window_wait_for_room(struct window *w, uint64_t end, int deadline_ms)
{
    uint64_t until = clock_monotonic_ms() + (uint64_t)deadline_ms;
    for (;;) {
        if (end <= atomic_load_explicit(&w->consumed, memory_order_acquire) + WINDOW_SIZE)
            return true;
        uint64_t now = clock_monotonic_ms();
        if (now >= until || atomic_load(&w->is_abandoned))
            return false;
        atomic_store(&w->waiting, 1);
        uint32_t word = atomic_load(&w->wake);
        /* asked again after the flag is up, or a wake between the two is missed */
        if (end <= atomic_load(&w->consumed) + WINDOW_SIZE)
            return true;
        if (atomic_load(&w->is_abandoned))
            return false;
        struct timespec left = {.tv_sec = (time_t)((until - now) / 1000), .tv_nsec = (long)((until - now) % 1000) * 1000000};
        ignored(syscall(SYS_futex, &w->wake, FUTEX_WAIT, word, &left, NULL, 0)); /* the loop looks again whatever woke us */
    }
}

void window_abandon(struct window *w)
{
    atomic_store(&w->is_abandoned, 1);
    atomic_fetch_add(&w->wake, 1);
    ignored(syscall(SYS_futex, &w->wake, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0)); /* nobody may be there */
}

void window_put(struct window *w, uint64_t position, struct text octets)
{
    size_t place = (size_t)(position % WINDOW_SIZE);
    size_t before_end = smaller(octets.length, WINDOW_SIZE - place);
    must(octets.length <= WINDOW_SIZE);
    memcpy(w->ring + place, octets.bytes, before_end);
    if (octets.length > before_end)
        memcpy(w->ring, octets.bytes + before_end, octets.length - before_end);
}

bool window_copy(const struct window *w, uint64_t position, size_t length, char *bytes)
{
    if (length > WINDOW_SIZE)
        return false;
    size_t place = (size_t)(position % WINDOW_SIZE);
    size_t before_end = smaller(length, WINDOW_SIZE - place);
    memcpy(bytes, w->ring + place, before_end);
    if (length > before_end)
        memcpy(bytes + before_end, w->ring, length - before_end);
    return true;
}

void window_consumed(struct window *w, uint64_t position)
{
    atomic_store(&w->consumed, position);
    if (atomic_exchange(&w->waiting, 0)) {
        atomic_fetch_add(&w->wake, 1);
        ignored(syscall(SYS_futex, &w->wake, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0)); /* nobody may be there any more */
    }
}
