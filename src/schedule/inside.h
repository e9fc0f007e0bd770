/* SPDX-License-Identifier: Apache-2.0 */
/* inside: what the files of this folder share. Nobody else includes it. */
#ifndef SCHEDULE_INSIDE_H
#define SCHEDULE_INSIDE_H

#include "schedule/heap.h"

enum errand_flag {
    ERRAND_WARNED = 1,
    ERRAND_BY_PLAN = 2,  /* its time comes from the plan: a change of the plan changes it */
    ERRAND_EXPIRED = 4,  /* taken because it is too old: no session of its destination */
};

/* 40 octets: there may be millions. */
struct errand {
    uint64_t message;
    uint64_t due_ms;      /* its own time; the destination may wait longer */
    int64_t born_ms;      /* on the monotonic clock, before its start perhaps */
    uint32_t destination; /* free: the next free one */
    uint32_t due_place;   /* in the destination's heap, HEAP_NOWHERE unless it waits */
    uint32_t age_place;   /* in the heap of ages, HEAP_NOWHERE unless it waits and can grow too old */
    uint16_t attempts;
    uint8_t state; /* enum schedule_state; NONE: free */
    uint8_t flags;
};

enum destination_list { DESTINATION_NOWHERE, DESTINATION_WAITING, DESTINATION_READY };

struct destination {
    struct buffer name;
    struct buffer due;       /* heap of errands: whose time comes first */
    uint64_t not_before_ms;  /* it failed: nothing goes there before */
    uint64_t served;         /* the schedule's count when it was served last, 0: never */
    uint32_t errand_count;   /* 0: free */
    uint32_t running;
    uint32_t failures;       /* in a row; not 0: suspect */
    uint32_t limit;          /* 0: the plan's */
    uint32_t place;          /* in the heap of its list; free: the next free one */
    enum destination_list list;
    enum schedule_class class; /* while it is ready */
    bool counts;
};

struct errand *errand_of(const struct schedule *s, uint32_t handle); /* a handle of our own: there is such an errand */
struct destination *destination_of(const struct schedule *s, uint32_t destination);
uint64_t plan_wait(const struct schedule_plan *plan, uint32_t attempts); /* after that many tries, at least 1 */

/* destination.c */
must_check bool destination_find_or_make(struct schedule *s, struct text name, uint32_t *ret_destination);
void destination_drop_errand(struct schedule *s, uint32_t destination, uint64_t now_ms); /* it goes with the last one */
void destination_refresh(struct schedule *s, uint32_t destination, uint64_t now_ms);    /* puts it into the list where it belongs now */
void destination_start(struct schedule *s, uint32_t destination);
void destination_stop(struct schedule *s, uint32_t destination);
must_check bool destination_choose(struct schedule *s, uint64_t now_ms, uint32_t *ret_destination);
bool destination_may_go_on(const struct schedule *s, uint32_t destination, uint64_t now_ms);
bool destination_any_may_go(const struct schedule *s);
void destination_change_plan(struct schedule *s, uint32_t destination, const struct schedule_plan *old);
extern const struct heap_kind destination_waiting_kind;
extern const struct heap_kind errand_due_kind;
extern const struct heap_kind errand_age_kind;

/* index.c */
void index_put(struct schedule *s, uint64_t message, uint32_t handle);
void index_remove(struct schedule *s, uint64_t message, uint32_t handle);

#endif
