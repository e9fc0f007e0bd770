/* SPDX-License-Identifier: Apache-2.0 */
/* Destinations: which may be served now, in which order, and how many sessions each may have. */
#include "schedule/inside.h"

enum { NAME_LIMIT = 1024 };

struct destination *destination_of(const struct schedule *s, uint32_t destination)
{
    must(destination < s->destinations.length / sizeof(struct destination));
    return (struct destination *)(void *)s->destinations.bytes + destination;
}

/* When something there is due: the first errand's time, or the destination's when that is later. */
static uint64_t time_of(const struct schedule *s, const struct destination *d)
{
    uint64_t due_ms = errand_of(s, heap_first(&d->due))->due_ms;
    return due_ms > d->not_before_ms ? due_ms : d->not_before_ms;
}

static bool waits_less(const struct schedule *s, uint32_t a, uint32_t b)
{
    return time_of(s, destination_of(s, a)) < time_of(s, destination_of(s, b));
}

static bool was_served_before(const struct schedule *s, uint32_t a, uint32_t b)
{
    const struct destination *first = destination_of(s, a), *second = destination_of(s, b);
    if (first->served != second->served)
        return first->served < second->served;
    return waits_less(s, a, b);
}

static void moved(struct schedule *s, uint32_t item, uint32_t place)
{
    destination_of(s, item)->place = place;
}

const struct heap_kind destination_waiting_kind = {.is_before = waits_less, .moved = moved};
static const struct heap_kind ready_kind = {.is_before = was_served_before, .moved = moved};

bool destination_find_or_make(struct schedule *s, struct text name, uint32_t *ret_destination)
{
    if (schedule_destination(s, name, ret_destination))
        return true;
    if (name.length > NAME_LIMIT)
        return false;
    uint32_t made = s->free_destination;
    struct destination fresh = {.name = buffer_new(NAME_LIMIT), .due = buffer_new(s->errand_limit * sizeof(uint32_t)), .counts = true};
    if (made == HEAP_NOWHERE) {
        made = (uint32_t)(s->destinations.length / sizeof fresh);
        if (!buffer_append(&s->destinations, text_of((const char *)&fresh, sizeof fresh)))
            return false;
    } else {
        s->free_destination = destination_of(s, made)->place;
        *destination_of(s, made) = fresh;
    }
    must(buffer_append(&destination_of(s, made)->name, name));
    must(map_put(&s->names, name, (void *)((uintptr_t)made + 1)));
    s->destination_count++;
    *ret_destination = made;
    return true;
}

static void leave_list(struct schedule *s, struct destination *d)
{
    switch (d->list) {
    case DESTINATION_NOWHERE:
        return;
    case DESTINATION_WAITING:
        heap_remove(s, &s->waiting, &destination_waiting_kind, d->place);
        break;
    case DESTINATION_READY:
        heap_remove(s, &s->ready[d->class], &ready_kind, d->place);
        break;
    }
    d->list = DESTINATION_NOWHERE;
}

void destination_drop_errand(struct schedule *s, uint32_t destination, uint64_t now_ms)
{
    struct destination *d = destination_of(s, destination);
    must(d->errand_count > 0);
    if (--d->errand_count > 0) {
        destination_refresh(s, destination, now_ms);
        return;
    }
    must(d->running == 0);
    leave_list(s, d);
    must(map_remove(&s->names, buffer_text(&d->name)) != NULL);
    buffer_done(&d->name);
    buffer_done(&d->due);
    d->place = s->free_destination;
    s->free_destination = destination;
    s->destination_count--;
}

/* One at a time is enough to see whether it lives. */
static bool is_at_limit(const struct schedule *s, const struct destination *d)
{
    uint32_t limit = d->limit ? d->limit : d->counts ? s->plan.max_per_destination : 0;
    if (d->failures)
        limit = 1;
    return limit && d->running >= limit;
}

static enum schedule_class class_of(const struct destination *d)
{
    if (!d->counts)
        return SCHEDULE_UNCOUNTED;
    if (d->failures)
        return SCHEDULE_SUSPECT;
    return d->running ? SCHEDULE_BUSY : SCHEDULE_FRESH;
}

void destination_refresh(struct schedule *s, uint32_t destination, uint64_t now_ms)
{
    struct destination *d = destination_of(s, destination);
    leave_list(s, d);
    if (heap_count(&d->due) == 0 || is_at_limit(s, d))
        return;
    if (time_of(s, d) > now_ms) {
        d->list = DESTINATION_WAITING;
        heap_put(s, &s->waiting, &destination_waiting_kind, destination);
        return;
    }
    d->list = DESTINATION_READY;
    d->class = class_of(d);
    heap_put(s, &s->ready[d->class], &ready_kind, destination);
}

/* May another destination of this class have a session? */
static bool class_may_go(const struct schedule *s, enum schedule_class class)
{
    uint32_t all = s->plan.max_all, kept = all / 4;
    switch (class) {
    case SCHEDULE_UNCOUNTED:
        return true;
    case SCHEDULE_FRESH:
        return s->running < all;
    case SCHEDULE_BUSY:
        return s->running < all - kept;
    case SCHEDULE_SUSPECT:
        return s->running < all - kept && s->running_suspect < larger(1, all / 2);
    case SCHEDULE_CLASSES:
        break;
    }
    return false;
}

bool destination_any_may_go(const struct schedule *s)
{
    for (enum schedule_class class = 0; class < SCHEDULE_CLASSES; class++)
        if (heap_count(&s->ready[class]) > 0 && class_may_go(s, class))
            return true;
    return false;
}

bool destination_choose(struct schedule *s, uint64_t now_ms, uint32_t *ret_destination)
{
    while (heap_count(&s->waiting) > 0 && time_of(s, destination_of(s, heap_first(&s->waiting))) <= now_ms)
        destination_refresh(s, heap_first(&s->waiting), now_ms);
    uint32_t chosen = HEAP_NOWHERE;
    for (enum schedule_class class = 0; class < SCHEDULE_CLASSES; class++) {
        if (heap_count(&s->ready[class]) == 0 || !class_may_go(s, class))
            continue;
        uint32_t first = heap_first(&s->ready[class]);
        if (chosen == HEAP_NOWHERE || was_served_before(s, first, chosen))
            chosen = first;
    }
    if (chosen == HEAP_NOWHERE)
        return false;
    *ret_destination = chosen;
    return true;
}

/* An open session may take another errand unless somebody who has no session would have to wait for it. */
bool destination_may_go_on(const struct schedule *s, uint32_t destination, uint64_t now_ms)
{
    const struct destination *d = destination_of(s, destination);
    if (heap_count(&d->due) == 0 || errand_of(s, heap_first(&d->due))->due_ms > now_ms || is_at_limit(s, d))
        return false;
    if (!d->counts)
        return true;
    bool is_awaited = heap_count(&s->ready[SCHEDULE_FRESH]) > 0;
    return s->running < s->plan.max_all && (!is_awaited || class_may_go(s, SCHEDULE_BUSY));
}

void destination_start(struct schedule *s, uint32_t destination)
{
    struct destination *d = destination_of(s, destination);
    leave_list(s, d);
    d->running++;
    d->served = ++s->served;
    s->running += d->counts;
    s->running_suspect += d->counts && d->failures;
}

void destination_stop(struct schedule *s, uint32_t destination)
{
    struct destination *d = destination_of(s, destination);
    must(d->running > 0);
    d->running--;
    s->running -= d->counts;
    s->running_suspect -= d->counts && d->failures;
}

/* What is running moves between the counts with its destination. */
static void set_failures(struct schedule *s, struct destination *d, uint32_t failures)
{
    if (d->counts && d->failures)
        s->running_suspect -= d->running;
    d->failures = failures;
    if (d->counts && d->failures)
        s->running_suspect += d->running;
}

void schedule_destination_failed(struct schedule *s, uint32_t destination, uint64_t now_ms)
{
    struct destination *d = destination_of(s, destination);
    if (d->failures && d->not_before_ms > now_ms)
        return;
    leave_list(s, d);
    set_failures(s, d, d->failures < UINT32_MAX ? d->failures + 1 : d->failures);
    d->not_before_ms = now_ms + plan_wait(&s->plan, d->failures);
    destination_refresh(s, destination, now_ms);
}

void schedule_destination_alive(struct schedule *s, uint32_t destination, uint64_t now_ms)
{
    struct destination *d = destination_of(s, destination);
    if (!d->failures)
        return;
    leave_list(s, d);
    set_failures(s, d, 0);
    d->not_before_ms = 0;
    destination_refresh(s, destination, now_ms);
}

void schedule_destination_limit(struct schedule *s, uint32_t destination, uint32_t limit, bool counts, uint64_t now_ms)
{
    struct destination *d = destination_of(s, destination);
    leave_list(s, d);
    if (d->counts != counts) {
        s->running = counts ? s->running + d->running : s->running - d->running;
        if (d->failures)
            s->running_suspect = counts ? s->running_suspect + d->running : s->running_suspect - d->running;
    }
    d->counts = counts;
    d->limit = limit;
    destination_refresh(s, destination, now_ms);
}

void destination_change_plan(struct schedule *s, uint32_t destination, const struct schedule_plan *old)
{
    struct destination *d = destination_of(s, destination);
    if (d->failures && d->not_before_ms)
        d->not_before_ms = d->not_before_ms - plan_wait(old, d->failures) + plan_wait(&s->plan, d->failures);
    leave_list(s, d);
    heap_rebuild(s, &d->due, &errand_due_kind);
}

bool schedule_destination(const struct schedule *s, struct text name, uint32_t *ret_destination)
{
    void *found = map_find(&s->names, name);
    if (!found)
        return false;
    *ret_destination = (uint32_t)((uintptr_t)found - 1);
    return true;
}

struct text schedule_destination_name(const struct schedule *s, uint32_t destination)
{
    return buffer_text(&destination_of(s, destination)->name);
}
