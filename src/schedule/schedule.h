/* SPDX-License-Identifier: Apache-2.0 */
/* schedule: which errand to try next, and when. An errand is one message for one destination (all its recipients there); it is known by a
 * handle while it is in the schedule. Times are the monotonic clock's, handed in as now_ms and never going back. Every errand costs some 60
 * octets. A destination that fails as a whole (no connection) waits as a whole, and is probed by one errand; those that are suspect never get more than
 * half of all sessions, and the last quarter is kept for destinations that have none: so a dead host never delays a live one.
 * Nothing expires untried. The schedule tries nothing itself and remembers nothing over a restart: that is the spool's. */
#ifndef SCHEDULE_SCHEDULE_H
#define SCHEDULE_SCHEDULE_H

#include "base/base.h"

enum { SCHEDULE_INTERVALS = 32 };

/* From the settings; a change counts for what waits already. */
struct schedule_plan {
    uint64_t intervals_ms[SCHEDULE_INTERVALS]; /* wait after the first, second ... try; the last repeats */
    size_t interval_count;                     /* at least 1 */
    uint64_t undelivered_after_ms;             /* then it is given up; 0: never */
    uint64_t warn_after_ms;                    /* one notice; 0: none */
    uint32_t max_all;             /* tries running at a time, over all destinations that count */
    uint32_t max_per_destination; /* 0: no limit of its own */
};

enum schedule_class { /* of a destination that has something due */
    SCHEDULE_UNCOUNTED, /* has no part in max_all */
    SCHEDULE_FRESH,     /* no session runs to it */
    SCHEDULE_BUSY,      /* some do */
    SCHEDULE_SUSPECT,   /* it failed, and is to be probed */
    SCHEDULE_CLASSES,
};

struct schedule {
    struct schedule_plan plan;
    struct buffer errands;      /* of struct errand; freed places form a list */
    struct buffer destinations; /* of struct destination; the same */
    struct buffer index;        /* handles by message */
    struct buffer aging;        /* heap of handles: who is to be warned of or given up first */
    struct buffer waiting;      /* heap of destinations: whose time comes first */
    struct buffer ready[SCHEDULE_CLASSES]; /* heaps of destinations: who was served longest ago */
    struct map names;           /* destinations by name */
    size_t errand_limit;
    uint32_t errand_count, destination_count, free_errand, free_destination;
    uint32_t running, running_suspect; /* of destinations that count in max_all */
    uint64_t served;                   /* grows with every errand taken */
    uint64_t seed;
};

/* Holds at most limit errands. seed: hashes what strangers choose. */
struct schedule schedule_new(const struct schedule_plan *plan, size_t limit, uint64_t seed);
void schedule_done(struct schedule *s);
void schedule_change(struct schedule *s, const struct schedule_plan *plan, uint64_t now_ms);

struct schedule_errand {
    uint32_t handle;
    uint32_t destination; /* its number; valid while it has an errand */
    uint64_t message;
    uint32_t attempts; /* finished ones */
    uint64_t age_ms;
    bool is_warned;
    bool is_probe; /* its destination has failed before: one try to see whether it lives */
};

struct schedule_new_errand {
    uint64_t message;
    struct text destination; /* a name, compared octet by octet: "fuori.test", "mailbox" */
    uint64_t age_ms;         /* since the message came; schedule_sensible_age() after a restart */
    uint32_t attempts;
    uint64_t due_in_ms;      /* 0: at once */
    bool is_warned;
    bool is_held;
};
/* False when the schedule is full: the message stays in the spool, and is added when there is room. */
must_check bool schedule_add(struct schedule *s, const struct schedule_new_errand *errand, uint64_t now_ms, uint32_t *ret_handle);

/* A destination exists while it has an errand; it is forgotten with its last one. */
must_check bool schedule_destination(const struct schedule *s, struct text name, uint32_t *ret_destination);
struct text schedule_destination_name(const struct schedule *s, uint32_t destination);
/* limit 0: the plan's. One that does not count (the local mailboxes) has no part in max_all. Holds while the destination exists. */
void schedule_destination_limit(struct schedule *s, uint32_t destination, uint32_t limit, bool counts, uint64_t now_ms);
/* The destination as a whole could not be reached; its errands wait for it. Each failure waits longer, by the plan; further ones while it
 * waits (of sessions that ran at the same time) change nothing. */
void schedule_destination_failed(struct schedule *s, uint32_t destination, uint64_t now_ms);
/* It was reached: all that is due may go. */
void schedule_destination_alive(struct schedule *s, uint32_t destination, uint64_t now_ms);

/* The next errand to try; it runs until deferred, finished or held. False: nothing may run now; schedule_wake_ms says when to look again. */
must_check bool schedule_take(struct schedule *s, uint64_t now_ms, struct schedule_errand *ret_errand);
/* The same out of one destination, for a session that is open (it takes the place of an errand that has just ended). */
must_check bool schedule_take_from(struct schedule *s, uint32_t destination, uint64_t now_ms, struct schedule_errand *ret_errand);
enum schedule_age { SCHEDULE_AGE_WARN, SCHEDULE_AGE_EXPIRED };
/* An errand that waited too long. WARN: marked as warned, waits on. EXPIRED: it runs (as taken) until it is finished. */
must_check bool schedule_take_aged(struct schedule *s, uint64_t now_ms, enum schedule_age *ret_age, struct schedule_errand *ret_errand);
/* When something will be due or old; UINT64_MAX: never. What is due but has no free session does not count: the end of a try wakes it. */
uint64_t schedule_wake_ms(const struct schedule *s, uint64_t now_ms);

/* How a try ended. */
uint64_t schedule_deferred(struct schedule *s, uint32_t handle, uint64_t now_ms); /* again, by the plan; returns in how many ms */
void schedule_postponed(struct schedule *s, uint32_t handle, uint64_t delay_ms, uint64_t now_ms); /* not really tried: counts for nothing */
void schedule_finished(struct schedule *s, uint32_t handle, uint64_t now_ms);     /* leaves the schedule, running or not */

/* What an administrator does; running errands are left alone by retry and hold (false then). */
bool schedule_retry(struct schedule *s, uint32_t handle, uint64_t now_ms); /* now, whatever its destination did */
bool schedule_hold(struct schedule *s, uint32_t handle, uint64_t now_ms);  /* neither tried nor given up until released */
bool schedule_release(struct schedule *s, uint32_t handle, uint64_t now_ms);

/* The errands of a message: start with *place = 0; false at the end. Nothing may change meanwhile. */
bool schedule_of_message(const struct schedule *s, uint64_t message, uint32_t *place, uint32_t *ret_handle);
struct schedule_errand schedule_look(const struct schedule *s, uint32_t handle, uint64_t now_ms);
enum schedule_state { SCHEDULE_STATE_NONE, SCHEDULE_WAITS, SCHEDULE_RUNS, SCHEDULE_HELD };
enum schedule_state schedule_state(const struct schedule *s, uint32_t handle);
uint64_t schedule_due_ms(const struct schedule *s, uint32_t handle); /* its own time or its destination's, the later one */

struct schedule_facts {
    uint32_t errands, running, destinations, failed_destinations;
};
struct schedule_facts schedule_facts(const struct schedule *s);

/* The age of a message after a restart. The wall clock may have jumped, so it is believed only as far as the tries made bear it out: at most
 * what the plan waits for that many tries and the next one. */
uint64_t schedule_sensible_age(const struct schedule_plan *plan, int64_t taken_wall_ms, int64_t now_wall_ms, uint32_t attempts);

#endif
