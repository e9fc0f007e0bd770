/* SPDX-License-Identifier: Apache-2.0 */
/* window: the memory through which a front thread hands bodies to the queue: a ring of octets that front writes and the queue copies
 * out of, and what the queue tells back. Positions count octets since birth; the ring's place is position % WINDOW_SIZE. The queue
 * treats all that front can write as a stranger's bytes: it copies once and checks the copy. */
#ifndef SYSTEM_WINDOW_H
#define SYSTEM_WINDOW_H

#include "base/base.h"

#include <stdatomic.h>

enum { WINDOW_SIZE = 256 * 1024, WINDOW_RESULTS = 4096 };

enum window_result {
    WINDOW_UNDECIDED,
    WINDOW_DURABLE,       /* say 250 */
    WINDOW_DISK_FULL,     /* 452 4.3.1 */
    WINDOW_DISK_FAILED,   /* 451 4.3.0 */
    WINDOW_NOT_PERMITTED, /* the ticket does not bear it: 451, and an alarm */
};

struct window {
    _Atomic uint64_t consumed; /* queue: octets copied out */
    _Atomic uint64_t durable;  /* queue: every take up to this sequence is decided */
    _Atomic uint32_t waiting;  /* front: somebody sleeps until consumed grows */
    _Atomic uint32_t wake;     /* queue: futex word, grows with consumed while somebody waits */
    _Atomic uint32_t is_abandoned; /* front: the queue is gone, nobody may wait for it */
    _Atomic uint8_t results[WINDOW_RESULTS]; /* queue: of take s at s % WINDOW_RESULTS */
    _Alignas(4096) char ring[WINDOW_SIZE];
};

/* front: waits until the ring has room up to position end, at most deadline_ms; false: the time is over, or it was abandoned. */
must_check bool window_wait_for_room(struct window *w, uint64_t end, int deadline_ms);
/* front: nobody will make room any more; wakes who waits. */
void window_abandon(struct window *w);
/* front: puts octets at a position that has room. */
void window_put(struct window *w, uint64_t position, struct text octets);
/* queue: copies out; false when the position and length can't be right. */
must_check bool window_copy(const struct window *w, uint64_t position, size_t length, char *bytes);
/* queue: frees the ring up to this position, and wakes who waits. */
void window_consumed(struct window *w, uint64_t position);

#endif
