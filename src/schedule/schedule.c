/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/inside.h"

#define UNTRIED_GRACE_MS ((uint64_t)10 * 60 * 1000) /* what is too old but was never tried is looked at again after this */
#define ERRANDS_LIMIT ((size_t)UINT32_MAX / 4)

struct errand *errand_of(const struct schedule *s, uint32_t handle)
{
    must(handle < s->errands.length / sizeof(struct errand));
    return (struct errand *)(void *)s->errands.bytes + handle;
}

uint64_t plan_wait(const struct schedule_plan *plan, uint32_t attempts)
{
    must(attempts > 0);
    return plan->intervals_ms[smaller(attempts, plan->interval_count) - 1];
}

static bool is_due_before(const struct schedule *s, uint32_t a, uint32_t b)
{
    const struct errand *first = errand_of(s, a), *second = errand_of(s, b);
    if (first->due_ms != second->due_ms)
        return first->due_ms < second->due_ms;
    if (first->born_ms != second->born_ms)
        return first->born_ms < second->born_ms; /* who came first, goes first */
    return first->message < second->message;
}

static void due_moved(struct schedule *s, uint32_t item, uint32_t place)
{
    errand_of(s, item)->due_place = place;
}

const struct heap_kind errand_due_kind = {.is_before = is_due_before, .moved = due_moved};

static bool has_warning_ahead(const struct schedule *s, const struct errand *e)
{
    return !(e->flags & ERRAND_WARNED) && s->plan.warn_after_ms && s->plan.warn_after_ms < s->plan.undelivered_after_ms;
}

/* When it is to be warned of or given up; on the scale of born_ms. */
static int64_t old_at(const struct schedule *s, const struct errand *e)
{
    return e->born_ms + (int64_t)(has_warning_ahead(s, e) ? s->plan.warn_after_ms : s->plan.undelivered_after_ms);
}

static bool is_old_before(const struct schedule *s, uint32_t a, uint32_t b)
{
    return old_at(s, errand_of(s, a)) < old_at(s, errand_of(s, b));
}

static void age_moved(struct schedule *s, uint32_t item, uint32_t place)
{
    errand_of(s, item)->age_place = place;
}

const struct heap_kind errand_age_kind = {.is_before = is_old_before, .moved = age_moved};

static void check_plan(const struct schedule_plan *plan)
{
    must(plan->interval_count > 0 && plan->interval_count <= SCHEDULE_INTERVALS);
    must(plan->undelivered_after_ms < INT64_MAX / 4 && plan->warn_after_ms < INT64_MAX / 4);
}

struct schedule schedule_new(const struct schedule_plan *plan, size_t limit, uint64_t seed)
{
    check_plan(plan);
    must(limit <= ERRANDS_LIMIT);
    struct schedule s = {
        .plan = *plan,
        .errands = buffer_new(limit * sizeof(struct errand)),
        .destinations = buffer_new(limit * sizeof(struct destination)),
        .index = buffer_new(SIZE_MAX / 2), /* follows the number of errands */
        .aging = buffer_new(limit * sizeof(uint32_t)),
        .waiting = buffer_new(limit * sizeof(uint32_t)),
        .names = map_new(limit, seed),
        .errand_limit = limit,
        .free_errand = HEAP_NOWHERE,
        .free_destination = HEAP_NOWHERE,
        .seed = seed,
    };
    for (size_t i = 0; i < SCHEDULE_CLASSES; i++)
        s.ready[i] = buffer_new(limit * sizeof(uint32_t));
    return s;
}

void schedule_done(struct schedule *s)
{
    for (size_t i = 0; i < s->destinations.length / sizeof(struct destination); i++) {
        buffer_done(&destination_of(s, (uint32_t)i)->name);
        buffer_done(&destination_of(s, (uint32_t)i)->due);
    }
    buffer_done(&s->errands);
    buffer_done(&s->destinations);
    buffer_done(&s->index);
    buffer_done(&s->aging);
    buffer_done(&s->waiting);
    for (size_t i = 0; i < SCHEDULE_CLASSES; i++)
        buffer_done(&s->ready[i]);
    map_done(&s->names);
    s->errand_count = s->destination_count = s->running = s->running_suspect = 0;
    s->free_errand = s->free_destination = HEAP_NOWHERE;
}

/* From now on it waits: it stands in its destination's heap and in that of ages. */
static void wait_on(struct schedule *s, uint32_t handle, uint64_t now_ms)
{
    struct errand *e = errand_of(s, handle);
    e->state = SCHEDULE_WAITS;
    e->flags &= (uint8_t)~ERRAND_EXPIRED;
    heap_put(s, &destination_of(s, e->destination)->due, &errand_due_kind, handle);
    if (s->plan.undelivered_after_ms)
        heap_put(s, &s->aging, &errand_age_kind, handle);
    destination_refresh(s, e->destination, now_ms);
}

/* It leaves both heaps; the caller refreshes its destination. */
static void wait_no_more(struct schedule *s, uint32_t handle)
{
    struct errand *e = errand_of(s, handle);
    if (e->due_place != HEAP_NOWHERE)
        heap_remove(s, &destination_of(s, e->destination)->due, &errand_due_kind, e->due_place);
    if (e->age_place != HEAP_NOWHERE)
        heap_remove(s, &s->aging, &errand_age_kind, e->age_place);
}

static bool take_place(struct schedule *s, uint32_t *ret_handle)
{
    uint32_t handle = s->free_errand;
    if (handle != HEAP_NOWHERE) {
        s->free_errand = errand_of(s, handle)->destination;
        *ret_handle = handle;
        return true;
    }
    struct errand none = {.state = SCHEDULE_STATE_NONE};
    if (!buffer_append(&s->errands, text_of((const char *)&none, sizeof none)))
        return false;
    *ret_handle = (uint32_t)(s->errands.length / sizeof none - 1);
    return true;
}

static void give_place(struct schedule *s, uint32_t handle)
{
    *errand_of(s, handle) = (struct errand){.state = SCHEDULE_STATE_NONE, .destination = s->free_errand};
    s->free_errand = handle;
}

bool schedule_add(struct schedule *s, const struct schedule_new_errand *errand, uint64_t now_ms, uint32_t *ret_handle)
{
    uint32_t handle, destination;
    if (!take_place(s, &handle))
        return false;
    if (!destination_find_or_make(s, errand->destination, &destination)) {
        give_place(s, handle);
        return false;
    }
    *errand_of(s, handle) = (struct errand){
        .message = errand->message,
        .due_ms = now_ms + errand->due_in_ms,
        .born_ms = (int64_t)now_ms - (int64_t)(errand->age_ms < INT64_MAX / 4 ? errand->age_ms : INT64_MAX / 4),
        .destination = destination,
        .due_place = HEAP_NOWHERE,
        .age_place = HEAP_NOWHERE,
        .attempts = (uint16_t)smaller(errand->attempts, UINT16_MAX),
        .state = SCHEDULE_HELD,
        .flags = errand->is_warned ? ERRAND_WARNED : 0,
    };
    s->errand_count++;
    destination_of(s, destination)->errand_count++;
    index_put(s, errand->message, handle);
    if (!errand->is_held)
        wait_on(s, handle, now_ms);
    *ret_handle = handle;
    return true;
}

struct schedule_errand schedule_look(const struct schedule *s, uint32_t handle, uint64_t now_ms)
{
    const struct errand *e = errand_of(s, handle);
    return (struct schedule_errand){
        .handle = handle,
        .destination = e->destination,
        .message = e->message,
        .attempts = e->attempts,
        .age_ms = e->born_ms < (int64_t)now_ms ? (uint64_t)((int64_t)now_ms - e->born_ms) : 0,
        .is_warned = e->flags & ERRAND_WARNED,
        .is_probe = destination_of(s, e->destination)->failures > 0,
    };
}

static struct schedule_errand start_first(struct schedule *s, uint32_t destination, uint64_t now_ms)
{
    uint32_t handle = heap_first(&destination_of(s, destination)->due);
    destination_start(s, destination);
    wait_no_more(s, handle);
    errand_of(s, handle)->state = SCHEDULE_RUNS;
    destination_refresh(s, destination, now_ms);
    return schedule_look(s, handle, now_ms);
}

bool schedule_take(struct schedule *s, uint64_t now_ms, struct schedule_errand *ret_errand)
{
    uint32_t destination;
    if (!destination_choose(s, now_ms, &destination))
        return false;
    *ret_errand = start_first(s, destination, now_ms);
    return true;
}

bool schedule_take_from(struct schedule *s, uint32_t destination, uint64_t now_ms, struct schedule_errand *ret_errand)
{
    if (!destination_may_go_on(s, destination, now_ms))
        return false;
    *ret_errand = start_first(s, destination, now_ms);
    return true;
}

/* Nothing expires untried: it is taken for younger than it is. */
static bool is_untried(const struct schedule *s, const struct errand *e)
{
    return e->attempts == 0 && destination_of(s, e->destination)->failures == 0;
}

bool schedule_take_aged(struct schedule *s, uint64_t now_ms, enum schedule_age *ret_age, struct schedule_errand *ret_errand)
{
    while (heap_count(&s->aging) > 0) {
        uint32_t handle = heap_first(&s->aging);
        struct errand *e = errand_of(s, handle);
        if (old_at(s, e) > (int64_t)now_ms)
            return false;
        if (is_untried(s, e)) {
            e->born_ms += (int64_t)(now_ms + UNTRIED_GRACE_MS) - old_at(s, e);
            heap_changed(s, &s->aging, &errand_age_kind, e->age_place);
            continue;
        }
        if (has_warning_ahead(s, e)) {
            e->flags |= ERRAND_WARNED;
            heap_changed(s, &s->aging, &errand_age_kind, e->age_place);
            *ret_age = SCHEDULE_AGE_WARN;
        } else {
            wait_no_more(s, handle);
            e->state = SCHEDULE_RUNS;
            e->flags |= ERRAND_EXPIRED;
            destination_refresh(s, e->destination, now_ms);
            *ret_age = SCHEDULE_AGE_EXPIRED;
        }
        *ret_errand = schedule_look(s, handle, now_ms);
        return true;
    }
    return false;
}

uint64_t schedule_wake_ms(const struct schedule *s, uint64_t now_ms)
{
    if (destination_any_may_go(s))
        return now_ms;
    uint64_t wake = UINT64_MAX;
    if (heap_count(&s->waiting) > 0) {
        const struct destination *d = destination_of(s, heap_first(&s->waiting));
        uint64_t due_ms = errand_of(s, heap_first(&d->due))->due_ms;
        wake = due_ms > d->not_before_ms ? due_ms : d->not_before_ms;
    }
    if (heap_count(&s->aging) > 0) {
        int64_t old_ms = old_at(s, errand_of(s, heap_first(&s->aging)));
        uint64_t at = old_ms > (int64_t)now_ms ? (uint64_t)old_ms : now_ms;
        wake = at < wake ? at : wake;
    }
    return wake > now_ms ? wake : now_ms;
}

static void stop_running(struct schedule *s, const struct errand *e)
{
    if (e->state == SCHEDULE_RUNS && !(e->flags & ERRAND_EXPIRED))
        destination_stop(s, e->destination);
}

uint64_t schedule_deferred(struct schedule *s, uint32_t handle, uint64_t now_ms)
{
    struct errand *e = errand_of(s, handle);
    must(e->state == SCHEDULE_RUNS);
    stop_running(s, e);
    e->attempts = e->attempts < UINT16_MAX ? (uint16_t)(e->attempts + 1) : e->attempts;
    uint64_t wait_ms = plan_wait(&s->plan, e->attempts);
    e->due_ms = now_ms + wait_ms;
    e->flags |= ERRAND_BY_PLAN;
    wait_on(s, handle, now_ms);
    return wait_ms;
}

void schedule_postponed(struct schedule *s, uint32_t handle, uint64_t delay_ms, uint64_t now_ms)
{
    struct errand *e = errand_of(s, handle);
    must(e->state == SCHEDULE_RUNS);
    stop_running(s, e);
    e->due_ms = now_ms + delay_ms;
    e->flags &= (uint8_t)~ERRAND_BY_PLAN;
    wait_on(s, handle, now_ms);
}

void schedule_finished(struct schedule *s, uint32_t handle, uint64_t now_ms)
{
    struct errand *e = errand_of(s, handle);
    must(e->state != SCHEDULE_STATE_NONE);
    uint32_t destination = e->destination;
    stop_running(s, e);
    wait_no_more(s, handle);
    index_remove(s, e->message, handle);
    s->errand_count--;
    give_place(s, handle);
    destination_drop_errand(s, destination, now_ms);
}

bool schedule_retry(struct schedule *s, uint32_t handle, uint64_t now_ms)
{
    struct errand *e = errand_of(s, handle);
    if (e->state != SCHEDULE_WAITS)
        return false;
    struct destination *d = destination_of(s, e->destination);
    e->due_ms = 0; /* before all others there */
    e->flags &= (uint8_t)~ERRAND_BY_PLAN;
    heap_changed(s, &d->due, &errand_due_kind, e->due_place);
    d->not_before_ms = 0;
    destination_refresh(s, e->destination, now_ms);
    return true;
}

bool schedule_hold(struct schedule *s, uint32_t handle, uint64_t now_ms)
{
    struct errand *e = errand_of(s, handle);
    if (e->state != SCHEDULE_WAITS)
        return false;
    wait_no_more(s, handle);
    e->state = SCHEDULE_HELD;
    destination_refresh(s, e->destination, now_ms);
    return true;
}

bool schedule_release(struct schedule *s, uint32_t handle, uint64_t now_ms)
{
    if (errand_of(s, handle)->state != SCHEDULE_HELD)
        return false;
    wait_on(s, handle, now_ms);
    return true;
}

enum schedule_state schedule_state(const struct schedule *s, uint32_t handle)
{
    return (enum schedule_state)errand_of(s, handle)->state;
}

uint64_t schedule_due_ms(const struct schedule *s, uint32_t handle)
{
    const struct errand *e = errand_of(s, handle);
    const struct destination *d = destination_of(s, e->destination);
    return e->due_ms > d->not_before_ms ? e->due_ms : d->not_before_ms;
}

void schedule_change(struct schedule *s, const struct schedule_plan *plan, uint64_t now_ms)
{
    check_plan(plan);
    struct schedule_plan old = s->plan;
    s->plan = *plan;
    for (uint32_t i = 0; i < s->errands.length / sizeof(struct errand); i++) {
        struct errand *e = errand_of(s, i);
        if (e->state == SCHEDULE_WAITS && (e->flags & ERRAND_BY_PLAN))
            e->due_ms = e->due_ms - plan_wait(&old, e->attempts) + plan_wait(plan, e->attempts);
        if (e->state == SCHEDULE_WAITS && !old.undelivered_after_ms && plan->undelivered_after_ms)
            heap_put(s, &s->aging, &errand_age_kind, i);
        if (e->age_place != HEAP_NOWHERE && !plan->undelivered_after_ms)
            heap_remove(s, &s->aging, &errand_age_kind, e->age_place);
    }
    heap_rebuild(s, &s->aging, &errand_age_kind);
    uint32_t count = (uint32_t)(s->destinations.length / sizeof(struct destination));
    for (uint32_t i = 0; i < count; i++)
        if (destination_of(s, i)->errand_count > 0)
            destination_change_plan(s, i, &old);
    for (uint32_t i = 0; i < count; i++)
        if (destination_of(s, i)->errand_count > 0)
            destination_refresh(s, i, now_ms);
}

struct schedule_facts schedule_facts(const struct schedule *s)
{
    struct schedule_facts facts = {.errands = s->errand_count, .running = s->running, .destinations = s->destination_count};
    for (uint32_t i = 0; i < s->destinations.length / sizeof(struct destination); i++) {
        const struct destination *d = destination_of(s, i);
        facts.failed_destinations += d->errand_count > 0 && d->failures > 0;
        facts.running += d->counts ? 0 : d->running;
    }
    return facts;
}

uint64_t schedule_sensible_age(const struct schedule_plan *plan, int64_t taken_wall_ms, int64_t now_wall_ms, uint32_t attempts)
{
    check_plan(plan);
    if (now_wall_ms <= taken_wall_ms)
        return 0;
    uint64_t borne_out = 0;
    for (uint32_t i = 1; i <= smaller(attempts, SCHEDULE_INTERVALS) + 1; i++)
        borne_out += plan_wait(plan, i);
    if (attempts > SCHEDULE_INTERVALS)
        borne_out += (attempts - SCHEDULE_INTERVALS) * plan_wait(plan, SCHEDULE_INTERVALS);
    uint64_t age = (uint64_t)now_wall_ms - (uint64_t)taken_wall_ms;
    return age < borne_out ? age : borne_out;
}
