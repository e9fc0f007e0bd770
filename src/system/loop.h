/* SPDX-License-Identifier: Apache-2.0 */
/* loop: one thread that waits for descriptors and timers, and calls a function for each. Keepers are one loop each. */
#ifndef SYSTEM_LOOP_H
#define SYSTEM_LOOP_H

#include "base/base.h"

struct loop;
struct loop_watch; /* one descriptor that is watched */
struct loop_timer;

enum loop_ready { LOOP_READABLE = 1, LOOP_WRITABLE = 2, LOOP_HUNG_UP = 4 };

typedef void loop_ready_function(void *context, unsigned ready);
typedef void loop_timer_function(void *context);

struct loop *loop_new(void);
void loop_free(struct loop **loop);

/* Level-triggered. The descriptor stays the caller's; remove the watch before it is closed. */
struct loop_watch *loop_watch_new(struct loop *loop, int file, unsigned events, loop_ready_function *function, void *context);
void loop_watch_change(struct loop_watch *watch, unsigned events);
void loop_watch_free(struct loop_watch **watch); /* also from within a call */

/* Called once after delay_ms. A timer may be set again, also from within its call; free stops it. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_function *function, void *context);
void loop_timer_set(struct loop_timer *timer, uint64_t delay_ms);
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_free(struct loop_timer **timer);

/* Called after each round of ready descriptors and timers, before it waits again; one function. */
void loop_after_round(struct loop *loop, loop_timer_function *function, void *context);

void loop_run(struct loop *loop); /* until loop_stop; not at all when that was called before */
void loop_stop(struct loop *loop);

#endif
