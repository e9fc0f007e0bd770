/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of the spool when the disk fails at any call, and when the power is cut at any moment. */
#include "disk_log.h"
#include "spool/spool_model.h"
#include "system/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { IDS = 400, FAULT_STEPS = 60, POWER_STEPS = 400, POWER_STEPS_LONG = 900 };

/* A spool at work: every id is used once, so that "removed" can be told from "never there". */
struct work {
    struct spool *spool;
    struct model *model;
    uint64_t next_id;
    uint32_t random;
};

/* As model_commit, and keeps account of what may now be relied upon: what a client was told, and what is not to come back. */
static bool commit(struct work *w)
{
    struct spool_group *group;
    while ((group = spool_group_seal(w->spool)) != NULL) {
        struct spool_trouble trouble;
        uint64_t syncs = spool_facts(w->spool).syncs;
        spool_group_write(group);
        if (spool_group_finish(w->spool, group, &trouble) != SPOOL_OK)
            return false;
        if (spool_facts(w->spool).syncs == syncs)
            continue;
        for (uint64_t id = 1; id < w->next_id; id++) {
            struct model_message *m = &w->model->messages[id - 1];
            if (m->life == MODEL_LEAVING)
                m->life = MODEL_ABSENT;
            if (m->life == MODEL_MAYBE)
                m->life = MODEL_PRESENT;
            memcpy(m->durable, m->newest, sizeof m->durable);
        }
    }
    return true;
}

static uint64_t any_waiting(struct work *w)
{
    for (size_t tries = 0; tries < 20; tries++) {
        uint64_t id = model_random(&w->random) % w->next_id;
        if (id && spool_has(w->spool, id))
            return id;
    }
    return 0;
}

/* One step; false when the spool broke. */
static bool step(struct work *w)
{
    uint32_t what = model_random(&w->random) % 100;
    uint64_t id = any_waiting(w);
    if (what < 30 && w->next_id < IDS) {
        uint32_t length = model_random(&w->random) % (what < 3 ? 20000 : 6000);
        struct model_message *m = &w->model->messages[w->next_id - 1];
        if (!model_append(w->spool, w->model, w->next_id, length) && m->life == MODEL_ABSENT)
            *m = (struct model_message){.life = MODEL_ABSENT};
        w->next_id++;
    } else if (what < 40 && id) {
        ignored(model_update(w->spool, w->model, id, what % MODEL_RECIPIENTS)); /* no room is an answer too */
    } else if (what < 62 && id > 9) {
        ignored(model_remove(w->spool, w->model, id)); /* the same; some stay for ever */
    } else if (what < 88) {
        return commit(w);
    } else if (what < 94) {
        ignored(spool_tidy(w->spool)); /* called again and again */
    } else
        model_chores(w->spool);
    return !spool_is_broken(w->spool);
}

static void one_fault(enum disk_fault fault, size_t calls, bool stays, bool *ret_came)
{
    char path[64];
    int folder released_by(file_close) = model_folder_new(path);
    struct model *model = calloc(1, sizeof *model);
    struct work w = {.model = model, .next_id = 1, .random = 12345};
    model->is_small = true;
    struct spool_trouble trouble;
    disk_log_begin(path, folder);
    disk_log_fail_after(calls, fault, stays);
    w.spool = model_open(folder, model, &trouble);
    if (!w.spool)
        assert_true(trouble.result == SPOOL_FAILED && trouble.error != 0);
    for (size_t i = 0; w.spool && i < FAULT_STEPS && step(&w); i++)
        ;
    *ret_came = disk_log_has_failed();
    spool_close(&w.spool);
    disk_log_fail_after(0, DISK_NO_FAULT, false);
    disk_log_end();
    w.spool = model_open(folder, model, &trouble);
    assert_non_null(w.spool);
    model_compare(w.spool, model);
    if (model->is_wrong)
        fail_msg("the disk %s at call %zu%s", disk_fault_word(fault), calls, stays ? " and from then on" : "");
    model_settle(w.spool, model);
    model_chores(w.spool);
    assert_true(model_append(w.spool, model, IDS, 3000));
    assert_true(model_commit(w.spool));
    spool_close(&w.spool);
    model->messages[IDS - 1].life = MODEL_PRESENT;
    w.spool = model_open(folder, model, &trouble);
    assert_non_null(w.spool);
    model_compare(w.spool, model);
    assert_false(model->is_wrong);
    spool_close(&w.spool);
    model_folder_remove(path);
    free(model);
}

static void a_fault_at_any_call_loses_nothing_acknowledged(void **state not_used)
{
    size_t tried = 0;
    for (enum disk_fault fault = DISK_FAILS; fault < DISK_FAULTS; fault++) {
        for (int stays = 0; stays < 2; stays++) {
            bool came = true;
            for (size_t calls = 0; came; calls++, tried++)
                one_fault(fault, calls, stays, &came);
        }
    }
    assert_true(tried > 300);
    print_message("# %zu faults\n", tried);
}

static void a_full_disk_refuses_and_comes_back_by_itself(void **state not_used)
{
    char path[64];
    int folder released_by(file_close) = model_folder_new(path);
    struct model *model = calloc(1, sizeof *model);
    struct spool_trouble trouble;
    struct spool *s = model_open(folder, model, &trouble);
    assert_non_null(s);
    disk_log_begin(path, folder);
    int again released_by(file_close) = -1; /* so that the log knows the folder by this descriptor too */
    assert_int_equal(folder_open(folder, TEXT("."), &again), 0);
    enum spool_result result = SPOOL_OK;
    static const char body[4000];
    for (uint64_t id = 1; result == SPOOL_OK; id++) {
        struct spool_new message = {.id = id, .envelope = TEXT("e")};
        result = spool_append(s, &message, text_of(body, sizeof body));
        assert_true(model_commit(s)); /* what was made before has room, whatever the disk says */
        disk_log_fail_after(0, DISK_IS_FULL, true);
        struct spool_chore *chore = spool_chore_next(s);
        if (chore) {
            spool_chore_do(chore);
            spool_chore_finish(s, chore);
        }
        disk_log_fail_after(0, DISK_NO_FAULT, false);
    }
    assert_int_equal(result, SPOOL_NO_SPACE);
    assert_int_equal(model->problems[SPOOL_PROBLEM_BACKGROUND], 1);
    assert_false(spool_is_broken(s));
    usleep(1100 * 1000); /* a chore that failed is tried again after a second */
    model_chores(s);
    struct spool_new message = {.id = 100000, .envelope = TEXT("e")};
    assert_int_equal(spool_append(s, &message, TEXT("b")), SPOOL_OK);
    assert_true(model_commit(s));
    disk_log_end();
    spool_close(&s);
    model_folder_remove(path);
    free(model);
}

/* What was relied upon at a moment of the log. */
struct moment {
    size_t at;
    struct model_message messages[IDS];
};

/* A power cut damages nothing that was settled: what it leaves is told as unfinished at most. */
static void check_problems(const struct model *model, size_t at, enum disk_variant variant)
{
    for (enum spool_problem_kind kind = 0; kind < SPOOL_PROBLEMS; kind++)
        if (kind != SPOOL_PROBLEM_UNFINISHED && model->problems[kind])
            fail_msg("a cut at %zu, variant %d, is told as: %.*s", at, (int)variant, TEXT_ARGUMENTS(spool_problem_word(kind)));
}

static void check_moment(const struct moment *moment, size_t at, enum disk_variant variant, uint32_t seed)
{
    char path[64];
    int folder released_by(file_close) = model_folder_new(path);
    struct model *model = calloc(1, sizeof *model);
    memcpy(model->messages, moment->messages, sizeof moment->messages);
    model->is_small = true;
    struct spool_trouble trouble;
    disk_log_replay(at, variant, seed, folder);
    struct spool *s = model_open(folder, model, &trouble);
    if (!s)
        fail_msg("no start after a cut at %zu, variant %d, seed %u: %.*s %.*s, error %d", at, (int)variant, seed, TEXT_ARGUMENTS(trouble.doing),
                 TEXT_ARGUMENTS(trouble.name), trouble.error);
    model_compare(s, model);
    if (model->is_wrong)
        fail_msg("wrong after a cut at %zu, variant %d, seed %u", at, (int)variant, seed);
    check_problems(model, at, variant);
    model_settle(s, model);
    model_chores(s); /* there may be no room in what was left */
    assert_true(model_append(s, model, IDS, 2000));
    assert_true(model_commit(s));
    model->messages[IDS - 1].life = MODEL_PRESENT;
    spool_close(&s);
    s = model_open(folder, model, &trouble); /* and nothing torn has come alive by what was written since */
    assert_non_null(s);
    model_compare(s, model);
    if (model->is_wrong)
        fail_msg("wrong at the second start after a cut at %zu, variant %d, seed %u", at, (int)variant, seed);
    check_problems(model, at, variant);
    spool_close(&s);
    model_folder_remove(path);
    free(model);
}

static void power_cuts(uint32_t random, bool restarts)
{
    char path[64];
    int folder released_by(file_close) = model_folder_new(path);
    struct model *model = calloc(1, sizeof *model);
    const char *is_long = getenv("PORTIERE_LONG");
    size_t steps = is_long && is_long[0] ? POWER_STEPS_LONG : POWER_STEPS;
    struct moment *moments = calloc(steps + 1, sizeof *moments);
    struct work w = {.model = model, .next_id = 1, .random = random};
    uint64_t moved = 0;
    model->is_small = true;
    struct spool_trouble trouble;
    disk_log_begin(path, folder);
    disk_log_fail_after(0, DISK_NO_FAULT, false);
    w.spool = model_open(folder, model, &trouble);
    assert_non_null(w.spool);
    for (size_t i = 0; i < steps; i++) {
        moments[i].at = disk_log_count();
        memcpy(moments[i].messages, model->messages, sizeof moments[i].messages);
        assert_true(step(&w));
        if (restarts && i % 60 == 59) {
            moved += spool_facts(w.spool).moved;
            spool_close(&w.spool); /* what was collected is forgotten: as SIGKILL would */
            w.spool = model_open(folder, model, &trouble);
            assert_non_null(w.spool);
            model_compare(w.spool, model);
            model_settle(w.spool, model);
        }
    }
    moments[steps].at = disk_log_count();
    disk_log_end();
    assert_false(model->is_wrong);
    size_t cuts = 0;
    for (size_t i = 0; i < steps; i++) {
        for (size_t at = moments[i].at; at < moments[i + 1].at; at++) {
            for (enum disk_variant variant = 0; variant < DISK_VARIANTS; variant++, cuts++)
                check_moment(&moments[i], at, variant, (uint32_t)(at * 7 + variant));
        }
    }
    moved += spool_facts(w.spool).moved;
    print_message("# %zu power cuts, %zu syncs, %llu messages, %llu copied forward\n", cuts, disk_log_syncs(),
                  (unsigned long long)w.next_id - 1, (unsigned long long)moved);
    assert_true(cuts > 500 && moved > 5);
    spool_close(&w.spool);
    model_folder_remove(path);
    free(moments);
    free(model);
}

static void a_power_cut_at_any_moment_loses_nothing_acknowledged(void **state not_used)
{
    power_cuts(2463534242, false);
}

static void power_cuts_between_restarts_lose_nothing_acknowledged(void **state not_used)
{
    power_cuts(88172645, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_at_any_call_loses_nothing_acknowledged),
        cmocka_unit_test(a_full_disk_refuses_and_comes_back_by_itself),
        cmocka_unit_test(a_power_cut_at_any_moment_loses_nothing_acknowledged),
        cmocka_unit_test(power_cuts_between_restarts_lose_nothing_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
