/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* The settings' defaults. */
static const struct schedule_plan plan = {
    .intervals_ms = {2 * MINUTE, 10 * MINUTE, 38 * MINUTE, 70 * MINUTE, 120 * MINUTE},
    .interval_count = 5,
    .undelivered_after_ms = 2 * DAY,
    .warn_after_ms = 4 * HOUR,
    .max_all = 256,
    .max_per_destination = 20,
};

static uint32_t add(struct schedule *s, uint64_t message, const char *destination, uint64_t now)
{
    uint32_t handle;
    struct schedule_new_errand errand = {.message = message, .destination = text_of_terminated(destination)};
    assert_true(schedule_add(s, &errand, now, &handle));
    return handle;
}

static void retries_follow_the_plan_to_the_end(void **state not_used)
{
    struct schedule s = schedule_new(&(struct schedule_plan){.intervals_ms = {2 * MINUTE, 10 * MINUTE, 38 * MINUTE, 70 * MINUTE, 120 * MINUTE},
                                                             .interval_count = 5,
                                                             .undelivered_after_ms = 5 * DAY,
                                                             .warn_after_ms = 4 * HOUR,
                                                             .max_all = 10},
                                     10, 1);
    static const uint64_t first_tries[] = {0, 2 * MINUTE, 12 * MINUTE, 50 * MINUTE, 120 * MINUTE, 240 * MINUTE, 360 * MINUTE};
    uint64_t start = 77 * SECOND, now = start;
    size_t tries = 0, warnings = 0, expired = 0;
    add(&s, 5, "fuori.test", now);
    while (now != UINT64_MAX && !expired) {
        struct schedule_errand e;
        enum schedule_age age;
        while (schedule_take_aged(&s, now, &age, &e)) {
            assert_int_equal(e.message, 5);
            assert_int_equal(now - start, age == SCHEDULE_AGE_WARN ? 4 * HOUR : 5 * DAY);
            warnings += age == SCHEDULE_AGE_WARN;
            expired += age == SCHEDULE_AGE_EXPIRED;
        }
        while (!expired && schedule_take(&s, now, &e)) {
            if (tries < length_of(first_tries))
                assert_int_equal(now - start, first_tries[tries]);
            assert_int_equal(e.attempts, tries);
            tries++;
            schedule_deferred(&s, e.handle, now);
        }
        if (!expired)
            now = schedule_wake_ms(&s, now);
    }
    assert_int_equal(warnings, 1);
    assert_int_equal(expired, 1);
    assert_int_equal(tries, 5 + (5 * DAY - 2 * HOUR - 1) / (120 * MINUTE)); /* at 0, 2, 12, 50, 120 minutes, then each two hours */
    uint32_t place = 0, handle;
    assert_true(schedule_of_message(&s, 5, &place, &handle));
    schedule_finished(&s, handle, now);
    assert_int_equal(schedule_wake_ms(&s, now), UINT64_MAX);
    assert_int_equal(schedule_facts(&s).errands, 0);
    assert_int_equal(schedule_facts(&s).destinations, 0);
    schedule_done(&s);
}

static void a_failed_destination_waits_as_a_whole_and_is_probed_by_one(void **state not_used)
{
    struct schedule s = schedule_new(&plan, 1000, 1);
    struct schedule_errand e, probe;
    for (uint64_t i = 1; i <= 100; i++)
        add(&s, i, "morto.test", 0);
    size_t running = 0;
    uint32_t handles[20];
    while (schedule_take(&s, 0, &e))
        handles[running++] = e.handle;
    assert_int_equal(running, 20); /* per destination */
    for (size_t i = 0; i < running; i++) {
        schedule_destination_failed(&s, e.destination, 1000);
        schedule_deferred(&s, handles[i], 1000);
    }
    assert_false(schedule_take(&s, 1000, &e));
    assert_int_equal(schedule_wake_ms(&s, 1000), 1000 + 2 * MINUTE); /* twenty failures at a time are one */
    assert_true(schedule_take(&s, 1000 + 2 * MINUTE, &probe));
    assert_true(probe.is_probe);
    assert_false(schedule_take(&s, 1000 + 2 * MINUTE, &e));
    schedule_destination_failed(&s, probe.destination, 200 * SECOND);
    schedule_deferred(&s, probe.handle, 200 * SECOND);
    assert_int_equal(schedule_wake_ms(&s, 200 * SECOND), 200 * SECOND + 10 * MINUTE);
    assert_int_equal(schedule_facts(&s).failed_destinations, 1);
    assert_true(schedule_take(&s, HOUR, &probe));
    schedule_destination_alive(&s, probe.destination, HOUR);
    for (running = 1; schedule_take(&s, HOUR, &e); running++)
        assert_false(e.is_probe);
    assert_int_equal(running, 20);
    schedule_done(&s);
}

static void a_dead_host_never_delays_a_live_one(void **state not_used)
{
    enum { WAITING = 1000000 };
    struct schedule s = schedule_new(&plan, WAITING + 1, 1);
    for (uint64_t i = 1; i <= WAITING; i++)
        add(&s, i, "morto.test", 0);
    struct schedule_errand e;
    while (schedule_take(&s, 0, &e))
        assert_true(e.message <= WAITING);
    add(&s, WAITING + 1, "vivo.test", 1);
    assert_true(schedule_take(&s, 1, &e));
    assert_int_equal(e.message, WAITING + 1);
    size_t octets = s.errands.length + s.index.length + s.aging.length + destination_of(&s, 0)->due.length;
    assert_true(octets / WAITING <= 64);
    schedule_done(&s);
}

static void many_slow_hosts_leave_room_for_a_live_one(void **state not_used)
{
    struct schedule s = schedule_new(&plan, 100000, 1);
    struct schedule_errand e;
    char name[32];
    for (uint64_t i = 0; i < 60000; i++) {
        snprintf(name, sizeof name, "lento%d.test", (int)(i % 30));
        add(&s, i + 1, name, 0);
    }
    size_t running = 0;
    while (schedule_take(&s, 0, &e)) /* all their sessions hang */
        running++;
    assert_int_equal(running, 192); /* three quarters of all */
    add(&s, 100000, "vivo.test", 5);
    assert_true(schedule_take(&s, 5, &e));
    assert_int_equal(e.message, 100000);
    schedule_done(&s);
}

static void dead_hosts_never_get_more_than_half(void **state not_used)
{
    struct schedule s = schedule_new(&plan, 100000, 1);
    struct schedule_errand e;
    char name[32];
    for (uint64_t i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "morto%d.test", (int)i);
        add(&s, i + 1, name, 0);
    }
    uint64_t now = 0;
    while (schedule_facts(&s).failed_destinations < 2000) {
        assert_true(schedule_take(&s, now, &e));
        schedule_destination_failed(&s, e.destination, now);
        schedule_deferred(&s, e.handle, now);
    }
    now = HOUR;
    size_t running = 0;
    while (schedule_take(&s, now, &e)) {
        assert_true(e.is_probe);
        running++;
    }
    assert_int_equal(running, 128);
    for (uint64_t i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "vivo%d.test", (int)i);
        add(&s, 10000 + i, name, now);
        assert_true(schedule_take(&s, now, &e));
        assert_int_equal(e.message, 10000 + i);
    }
    schedule_done(&s);
}

static void destinations_are_served_in_turn(void **state not_used)
{
    struct schedule s = schedule_new(&(struct schedule_plan){.intervals_ms = {MINUTE}, .interval_count = 1, .max_all = 1}, 100, 1);
    struct schedule_errand e;
    for (uint64_t i = 0; i < 10; i++)
        add(&s, i, "a.test", 0);
    add(&s, 20, "b.test", 1);
    add(&s, 30, "c.test", 2);
    static const uint64_t expected[] = {0, 20, 30, 1, 2};
    for (size_t i = 0; i < length_of(expected); i++) {
        assert_true(schedule_take(&s, 10 + i, &e));
        assert_int_equal(e.message, expected[i]);
        assert_false(schedule_take(&s, 10 + i, &(struct schedule_errand){.handle = 0}));
        schedule_finished(&s, e.handle, 10 + i);
    }
    schedule_done(&s);
}

static void the_local_mailboxes_need_no_session(void **state not_used)
{
    struct schedule s = schedule_new(&(struct schedule_plan){.intervals_ms = {MINUTE}, .interval_count = 1, .max_all = 1}, 1000, 1);
    struct schedule_errand e;
    uint32_t mailbox;
    add(&s, 1, "fuori.test", 0);
    assert_true(schedule_take(&s, 0, &e));
    add(&s, 2, "mailbox", 0);
    add(&s, 3, "mailbox", 0);
    add(&s, 4, "mailbox", 0);
    assert_false(schedule_take(&s, 0, &e));
    assert_true(schedule_destination(&s, TEXT("mailbox"), &mailbox));
    schedule_destination_limit(&s, mailbox, 2, false, 0);
    assert_true(schedule_take(&s, 0, &e));
    assert_true(schedule_take(&s, 0, &e));
    assert_false(schedule_take(&s, 0, &e));
    assert_int_equal(schedule_facts(&s).running, 3);
    schedule_done(&s);
}

static void an_open_session_goes_on_unless_somebody_waits(void **state not_used)
{
    struct schedule s = schedule_new(&(struct schedule_plan){.intervals_ms = {MINUTE}, .interval_count = 1, .max_all = 4}, 100, 1);
    struct schedule_errand e[8], next;
    for (uint64_t i = 0; i < 10; i++)
        add(&s, i, "a.test", 0);
    size_t running = 0;
    while (schedule_take(&s, 0, &e[running]))
        running++;
    assert_int_equal(running, 3);
    schedule_finished(&s, e[0].handle, 1);
    assert_true(schedule_take_from(&s, e[1].destination, 1, &e[0]));
    add(&s, 50, "b.test", 2);
    add(&s, 51, "c.test", 2);
    assert_true(schedule_take(&s, 2, &next));
    assert_int_equal(next.message, 50);
    schedule_finished(&s, e[0].handle, 3);
    assert_false(schedule_take_from(&s, e[1].destination, 3, &next)); /* c.test has none */
    assert_true(schedule_take(&s, 3, &next));
    assert_int_equal(next.message, 51);
    schedule_done(&s);
}

static void a_change_of_the_plan_counts_for_what_waits(void **state not_used)
{
    struct schedule s = schedule_new(&plan, 100, 1);
    struct schedule_errand e;
    enum schedule_age age;
    uint32_t handle = add(&s, 1, "a.test", 0);
    assert_true(schedule_take(&s, 0, &e));
    assert_int_equal(schedule_deferred(&s, handle, 0), 2 * MINUTE);
    struct schedule_plan changed = plan;
    changed.intervals_ms[0] = 30 * SECOND;
    changed.warn_after_ms = HOUR;
    schedule_change(&s, &changed, 10 * SECOND);
    assert_int_equal(schedule_wake_ms(&s, 10 * SECOND), 30 * SECOND);
    changed.intervals_ms[0] = HOUR;
    schedule_change(&s, &changed, 11 * SECOND);
    assert_false(schedule_take(&s, HOUR - 1, &e));
    assert_true(schedule_take(&s, HOUR, &e));
    schedule_destination_failed(&s, e.destination, HOUR);
    schedule_deferred(&s, handle, HOUR);
    assert_true(schedule_take_aged(&s, HOUR, &age, &e));
    assert_int_equal(age, SCHEDULE_AGE_WARN);
    changed.intervals_ms[0] = changed.intervals_ms[1] = 3 * MINUTE;
    schedule_change(&s, &changed, HOUR);
    assert_int_equal(schedule_wake_ms(&s, HOUR), HOUR + 3 * MINUTE);
    changed.undelivered_after_ms = HOUR;
    schedule_change(&s, &changed, HOUR + 1);
    assert_true(schedule_take_aged(&s, HOUR + 1, &age, &e));
    assert_int_equal(age, SCHEDULE_AGE_EXPIRED);
    schedule_deferred(&s, handle, HOUR + 2); /* the report could not be written */
    changed.undelivered_after_ms = 0;
    schedule_change(&s, &changed, HOUR + 3);
    assert_false(schedule_take_aged(&s, 100 * DAY, &age, &e));
    schedule_done(&s);
}

static void nothing_expires_untried(void **state not_used)
{
    struct schedule s = schedule_new(&plan, 100, 1);
    struct schedule_errand e;
    enum schedule_age age;
    uint32_t handle;
    struct schedule_new_errand old = {.message = 1, .destination = TEXT_INIT("a.test"), .age_ms = 3650 * DAY};
    assert_true(schedule_add(&s, &old, 0, &handle));
    assert_false(schedule_take_aged(&s, 0, &age, &e));
    assert_true(schedule_take(&s, 0, &e));
    schedule_deferred(&s, handle, 0);
    assert_true(schedule_take_aged(&s, 10 * MINUTE, &age, &e));
    assert_int_equal(age, SCHEDULE_AGE_WARN);
    schedule_done(&s);
}

static void an_age_is_believed_as_far_as_tries_bear_it_out(void **state not_used)
{
    static const struct {
        int64_t taken, now;
        uint32_t attempts;
        uint64_t age;
    } rows[] = {
        {1000, 500, 0, 0},                                      /* the clock went back */
        {0, 60000, 0, MINUTE},
        {0, (int64_t)(3650 * DAY), 0, 2 * MINUTE},              /* it jumped ten years ahead */
        {0, (int64_t)(3650 * DAY), 2, 50 * MINUTE},
        {0, (int64_t)(2 * DAY), 100, 2 * DAY},
        {INT64_MIN / 2, INT64_MAX / 2, 1, 12 * MINUTE},
    };
    for (size_t i = 0; i < length_of(rows); i++)
        assert_int_equal(schedule_sensible_age(&plan, rows[i].taken, rows[i].now, rows[i].attempts), rows[i].age);
}

static void an_administrator_holds_releases_and_retries(void **state not_used)
{
    struct schedule s = schedule_new(&plan, 100, 1);
    struct schedule_errand e;
    enum schedule_age age;
    uint32_t handle = add(&s, 1, "a.test", 0), other = add(&s, 1, "b.test", 0), place = 0, found;
    size_t count = 0;
    while (schedule_of_message(&s, 1, &place, &found))
        count += found == handle || found == other;
    assert_int_equal(count, 2);
    assert_true(schedule_hold(&s, handle, 0));
    assert_true(schedule_take(&s, 0, &e));
    assert_int_equal(e.handle, other);
    assert_false(schedule_hold(&s, other, 0));
    assert_false(schedule_retry(&s, other, 0));
    assert_false(schedule_take_aged(&s, 100 * DAY, &age, &e));
    assert_int_equal(schedule_state(&s, handle), SCHEDULE_HELD);
    assert_true(schedule_release(&s, handle, 5));
    assert_true(schedule_take(&s, 5, &e));
    schedule_destination_failed(&s, e.destination, 5);
    schedule_deferred(&s, handle, 5);
    assert_false(schedule_take(&s, 6, &e));
    assert_true(schedule_retry(&s, handle, 6));
    assert_true(schedule_take(&s, 6, &e));
    schedule_postponed(&s, handle, 500, 6);
    assert_int_equal(schedule_look(&s, handle, 6).attempts, 1);
    assert_int_equal(schedule_due_ms(&s, handle), 506);
    schedule_finished(&s, handle, 7);
    place = 0;
    assert_true(schedule_of_message(&s, 1, &place, &found) && found == other);
    assert_false(schedule_of_message(&s, 1, &place, &found));
    schedule_done(&s);
}

static void a_full_schedule_says_so(void **state not_used)
{
    struct schedule s = schedule_new(&plan, 2, 1);
    uint32_t handle;
    add(&s, 1, "a.test", 0);
    uint32_t second = add(&s, 2, "b.test", 0);
    struct schedule_new_errand third = {.message = 3, .destination = TEXT_INIT("c.test")};
    assert_false(schedule_add(&s, &third, 0, &handle));
    schedule_finished(&s, second, 0);
    assert_true(schedule_add(&s, &third, 0, &handle));
    schedule_done(&s);
}

struct watched {
    uint32_t handle;
    bool is_there, is_running;
};

/* Random work; after each step no limit is broken and the counts agree. */
static void random_work_keeps_every_limit(void **state not_used)
{
    enum { WATCHED = 500 };
    static struct watched all[WATCHED];
    struct schedule_plan small = plan;
    small.max_all = 8;
    small.max_per_destination = 3;
    struct schedule s = schedule_new(&small, WATCHED, 9);
    uint32_t random = 7;
    uint64_t now = 0;
    for (size_t step = 0; step < 200000; step++) {
        random = random * 1664525 + 1013904223;
        uint32_t i = (random >> 8) % WATCHED, what = (random >> 20) % 16;
        now += what * 100;
        struct schedule_errand e;
        enum schedule_age age;
        if (!all[i].is_there && what < 8) {
            char name[16];
            snprintf(name, sizeof name, "d%u", i % 7);
            all[i] = (struct watched){.handle = add(&s, i, name, now), .is_there = true};
        } else if (what < 8 && schedule_take(&s, now, &e)) {
            all[e.message].is_running = true;
        } else if (what == 8 && schedule_take_aged(&s, now, &age, &e) && age == SCHEDULE_AGE_EXPIRED) {
            all[e.message].is_running = true;
        } else if (all[i].is_running && what < 12) {
            schedule_deferred(&s, all[i].handle, now);
            all[i].is_running = false;
        } else if (all[i].is_there && what == 12) {
            schedule_finished(&s, all[i].handle, now);
            all[i] = (struct watched){.is_there = false};
        } else if (all[i].is_there && what == 13) {
            uint32_t d = schedule_look(&s, all[i].handle, now).destination;
            if (i % 2)
                schedule_destination_failed(&s, d, now);
            else
                schedule_destination_alive(&s, d, now);
        } else if (all[i].is_there && what == 14) {
            if (!schedule_hold(&s, all[i].handle, now) && !schedule_release(&s, all[i].handle, now))
                assert_true(all[i].is_running);
        } else if (what == 15 && i < 5) {
            small.intervals_ms[0] = (i + 1) * MINUTE;
            schedule_change(&s, &small, now);
        }
        assert_true(s.running <= 8 && s.running_suspect <= s.running);
        uint32_t running = 0;
        for (uint32_t d = 0; d < s.destinations.length / sizeof(struct destination); d++) {
            const struct destination *one = destination_of(&s, d);
            assert_true(one->running <= 3);
            running += one->errand_count ? one->running : 0;
        }
        assert_int_equal(running, s.running);
    }
    size_t there = 0;
    for (size_t i = 0; i < WATCHED; i++)
        there += all[i].is_there;
    assert_int_equal(there, schedule_facts(&s).errands);
    schedule_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retries_follow_the_plan_to_the_end),
        cmocka_unit_test(a_failed_destination_waits_as_a_whole_and_is_probed_by_one),
        cmocka_unit_test(a_dead_host_never_delays_a_live_one),
        cmocka_unit_test(many_slow_hosts_leave_room_for_a_live_one),
        cmocka_unit_test(dead_hosts_never_get_more_than_half),
        cmocka_unit_test(destinations_are_served_in_turn),
        cmocka_unit_test(the_local_mailboxes_need_no_session),
        cmocka_unit_test(an_open_session_goes_on_unless_somebody_waits),
        cmocka_unit_test(a_change_of_the_plan_counts_for_what_waits),
        cmocka_unit_test(nothing_expires_untried),
        cmocka_unit_test(an_age_is_believed_as_far_as_tries_bear_it_out),
        cmocka_unit_test(an_administrator_holds_releases_and_retries),
        cmocka_unit_test(a_full_schedule_says_so),
        cmocka_unit_test(random_work_keeps_every_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
