/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/format.h"
#include "spool/spool_model.h"
#include "system/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
    int folder;
    char path[64];
    struct spool *spool;
    struct model *model;
};

static struct fixture *fixture_new(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->folder = model_folder_new(f->path);
    f->model = calloc(1, sizeof *f->model);
    *state = f;
    return f;
}

static void open_again(struct fixture *f)
{
    struct spool_trouble trouble;
    spool_close(&f->spool);
    f->spool = model_open(f->folder, f->model, &trouble);
    assert_non_null(f->spool);
}

static int set_up(void **state)
{
    open_again(fixture_new(state));
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    spool_close(&f->spool);
    file_close(&f->folder);
    model_folder_remove(f->path);
    free(f->model);
    free(f);
    return 0;
}

static void check(struct fixture *f)
{
    model_compare(f->spool, f->model);
    assert_false(f->model->is_wrong);
}

static size_t problems(const struct fixture *f)
{
    size_t count = 0;
    for (size_t i = 0; i < SPOOL_PROBLEMS; i++)
        count += f->model->problems[i];
    return count;
}

static void acknowledge(struct fixture *f)
{
    assert_true(model_commit(f->spool));
    model_settle(f->spool, f->model);
}

static void a_message_comes_back_octet_for_octet(void **state)
{
    struct fixture *f = *state;
    static const uint32_t lengths[] = {0, 1, 7, 8, 9, 4095, 4096, 4097, 8191};
    for (size_t i = 0; i < length_of(lengths); i++)
        assert_true(model_append(f->spool, f->model, i + 1, lengths[i]) || (model_commit(f->spool) && model_append(f->spool, f->model, i + 1, lengths[i])));
    check(f); /* while it is collected */
    assert_true(model_commit(f->spool));
    for (size_t i = 0; i < length_of(lengths); i++)
        f->model->messages[i].life = MODEL_PRESENT;
    check(f);
    open_again(f);
    assert_int_equal(f->model->found, length_of(lengths));
    check(f);
    assert_int_equal(problems(f), 0);
}

static void a_message_can_be_read_while_its_group_is_out(void **state)
{
    struct fixture *f = *state;
    assert_true(model_append(f->spool, f->model, 1, 3000));
    assert_true(model_update(f->spool, f->model, 1, 0));
    struct spool_group *first = spool_group_seal(f->spool);
    assert_true(model_update(f->spool, f->model, 1, 0));
    assert_true(model_update(f->spool, f->model, 1, 1));
    assert_true(model_append(f->spool, f->model, 2, 100));
    struct spool_group *second = spool_group_seal(f->spool);
    assert_true(model_append(f->spool, f->model, 3, 10));
    assert_null(spool_group_seal(f->spool)); /* two are out */
    for (size_t i = 0; i < 3; i++)
        f->model->messages[i].life = MODEL_PRESENT;
    check(f);
    struct spool_trouble trouble;
    spool_group_write(first);
    assert_int_equal(spool_group_finish(f->spool, first, &trouble), SPOOL_OK);
    check(f);
    spool_group_write(second);
    assert_int_equal(spool_group_finish(f->spool, second, &trouble), SPOOL_OK);
    check(f);
}

static void the_newest_update_of_each_recipient_counts(void **state)
{
    struct fixture *f = *state;
    assert_true(model_append(f->spool, f->model, 1, 100));
    acknowledge(f);
    static const uint32_t order[] = {0, 0, 1, 0, 2, 1, 1, 0};
    for (size_t i = 0; i < length_of(order); i++) {
        assert_true(model_update(f->spool, f->model, 1, order[i]));
        if (i % 3 == 2)
            acknowledge(f);
    }
    acknowledge(f);
    assert_int_equal(f->model->messages[0].durable[0], 8);
    assert_int_equal(f->model->messages[0].durable[1], 7);
    assert_int_equal(f->model->messages[0].durable[2], 5);
    open_again(f);
    check(f);
}

static void updates_alone_force_no_sync(void **state)
{
    struct fixture *f = *state;
    assert_true(model_append(f->spool, f->model, 1, 100));
    assert_true(spool_must_sync(f->spool));
    acknowledge(f);
    uint64_t syncs = spool_facts(f->spool).syncs;
    assert_true(model_update(f->spool, f->model, 1, 0));
    assert_false(spool_must_sync(f->spool));
    assert_true(spool_has_collected(f->spool));
    acknowledge(f);
    assert_int_equal(spool_facts(f->spool).syncs, syncs);
}

static void a_removed_message_stays_removed(void **state)
{
    struct fixture *f = *state;
    assert_true(model_append(f->spool, f->model, 1, 100));
    assert_true(model_append(f->spool, f->model, 2, 100));
    assert_true(model_append(f->spool, f->model, 3, 20000));
    acknowledge(f);
    assert_true(model_remove(f->spool, f->model, 1));
    assert_true(model_remove(f->spool, f->model, 3));
    assert_int_equal(spool_remove(f->spool, 1), SPOOL_UNKNOWN);
    acknowledge(f);
    open_again(f);
    check(f);
    assert_int_equal(f->model->found, 1);
    assert_int_equal(f->model->messages[0].life, MODEL_ABSENT);
    struct file_facts facts;
    assert_int_equal(file_facts_of(f->folder, TEXT("large/0000000000000003"), &facts), ENOENT);
}

static void an_id_that_waits_is_refused(void **state)
{
    struct fixture *f = *state;
    struct spool_new message = {.id = 1, .envelope = TEXT("e")};
    struct spool_large *large = NULL;
    assert_true(model_append(f->spool, f->model, 1, 100));
    assert_int_equal(spool_append(f->spool, &message, TEXT("b")), SPOOL_DUPLICATE);
    acknowledge(f);
    assert_int_equal(spool_append(f->spool, &message, TEXT("b")), SPOOL_DUPLICATE);
    assert_int_equal(spool_large_begin(f->spool, 1, false, &large), SPOOL_DUPLICATE);
    check(f);
}

static void a_second_server_is_refused(void **state)
{
    struct fixture *f = *state;
    struct spool_options options = model_options(f->model);
    struct spool_trouble trouble;
    struct spool *second = NULL;
    assert_int_equal(spool_open(f->folder, &options, &trouble, &second), SPOOL_LOCKED);
    assert_null(second);
    assert_true(text_equals(trouble.doing, TEXT("lock")));
}

static void a_large_body_lives_in_its_own_file(void **state)
{
    struct fixture *f = *state;
    struct file_facts facts;
    struct spool_large *large = NULL;
    assert_true(model_append(f->spool, f->model, 17, 1000000));
    acknowledge(f);
    assert_int_equal(file_facts_of(f->folder, TEXT("large/0000000000000011"), &facts), 0);
    assert_int_equal(facts.size, 1000000);
    assert_int_equal(spool_large_begin(f->spool, 18, false, &large), SPOOL_OK);
    assert_int_equal(spool_large_write(large, TEXT("cut off")), SPOOL_OK);
    spool_large_abort(f->spool, &large);
    assert_int_equal(file_facts_of(f->folder, TEXT("large/0000000000000012"), &facts), ENOENT);
    assert_int_equal(spool_large_begin(f->spool, 19, false, &large), SPOOL_OK); /* the process dies here */
    assert_int_equal(spool_large_write(large, TEXT("cut off")), SPOOL_OK);
    open_again(f);
    check(f);
    assert_int_equal(file_facts_of(f->folder, TEXT("large/0000000000000013"), &facts), ENOENT);
    spool_large_abort(f->spool, &large);
}

static void segments_are_used_again(void **state)
{
    struct fixture *f = *state;
    for (uint64_t round = 0; round < 300; round++) {
        uint64_t id = round % MODEL_MESSAGES + 1;
        assert_true(model_append(f->spool, f->model, id, 7000));
        acknowledge(f);
        assert_true(model_remove(f->spool, f->model, id));
        acknowledge(f);
        spool_tidy(f->spool);
        model_chores(f->spool);
    }
    struct spool_facts facts = spool_facts(f->spool);
    assert_true(facts.segments + facts.spares <= 5); /* 300 x 12 KiB are 30 segments */
    struct file_facts file;
    assert_int_equal(file_facts_of(f->folder, TEXT("segment-00000006"), &file), ENOENT);
    open_again(f);
    assert_int_equal(f->model->found, 0);
    assert_int_equal(problems(f), 0);
}

static void a_long_waiter_is_copied_forward(void **state)
{
    struct fixture *f = *state;
    assert_true(model_append(f->spool, f->model, 1, 5000));
    assert_true(model_append(f->spool, f->model, 2, 50000)); /* a large one */
    acknowledge(f);
    assert_true(model_update(f->spool, f->model, 1, 0));
    for (uint64_t round = 0; round < 300; round++) {
        assert_true(model_append(f->spool, f->model, 3, 7000));
        acknowledge(f);
        if (round % 50 == 0)
            assert_true(model_update(f->spool, f->model, 1, (uint32_t)round % 3));
        assert_true(model_remove(f->spool, f->model, 3));
        acknowledge(f);
        spool_tidy(f->spool);
        model_chores(f->spool);
        check(f);
    }
    assert_true(spool_facts(f->spool).segments <= 8);
    open_again(f);
    check(f);
    assert_int_equal(f->model->found, 2);
    assert_int_equal(problems(f), 0);
}

static void a_segment_is_kept_until_what_replaces_its_messages_is_durable(void **state)
{
    struct fixture *f = *state;
    uint64_t id = 1;
    assert_true(model_append(f->spool, f->model, id++, 100));
    acknowledge(f);
    while (spool_facts(f->spool).segments < 3) {
        assert_true(model_append(f->spool, f->model, id++, 7000));
        acknowledge(f);
        model_chores(f->spool);
    }
    for (uint64_t i = 2; i < id; i++)
        assert_true(model_remove(f->spool, f->model, i));
    acknowledge(f);
    assert_true(model_append(f->spool, f->model, id++, 10)); /* a report, say, of what is removed now */
    assert_true(model_remove(f->spool, f->model, 1));
    spool_tidy(f->spool);
    assert_int_equal(spool_facts(f->spool).segments, 3);
    acknowledge(f);
    spool_tidy(f->spool);
    assert_int_equal(spool_facts(f->spool).segments, 1);
}

static void room_comes_back_when_nothing_else_is_written(void **state)
{
    struct fixture *f = *state;
    uint64_t id = 1;
    for (; spool_facts(f->spool).segments < 6; id++) {
        assert_true(model_append(f->spool, f->model, id, 7000));
        acknowledge(f);
        model_chores(f->spool);
    }
    for (uint64_t i = 1; i < id; i++)
        assert_true(model_remove(f->spool, f->model, i));
    acknowledge(f); /* without a sync */
    spool_tidy(f->spool);
    assert_true(spool_must_sync(f->spool));
    acknowledge(f);
    spool_tidy(f->spool);
    assert_int_equal(spool_facts(f->spool).segments, 1);
    assert_false(spool_has_collected(f->spool));
    open_again(f);
    assert_int_equal(problems(f), 0);
}

static void under_the_floor_only_our_own_is_taken(void **state)
{
    struct fixture *f = *state;
    spool_close(&f->spool);
    struct spool_options options = model_options(f->model);
    options.floor_octets = UINT64_MAX;
    struct spool_trouble trouble;
    assert_int_equal(spool_open(f->folder, &options, &trouble, &f->spool), SPOOL_OK);
    assert_int_equal(spool_recover(f->spool, NULL, NULL, &trouble), SPOOL_OK);
    assert_true(spool_facts(f->spool).is_full);
    struct spool_new stranger = {.id = 1, .envelope = TEXT("e")}, own = {.id = 2, .envelope = TEXT("e"), .is_own = true};
    struct spool_large *large;
    assert_int_equal(spool_append(f->spool, &stranger, TEXT("b")), SPOOL_NO_SPACE);
    assert_int_equal(spool_large_begin(f->spool, 3, false, &large), SPOOL_NO_SPACE);
    assert_int_equal(spool_append(f->spool, &own, TEXT("b")), SPOOL_OK);
    assert_true(model_commit(f->spool));
}

static void without_a_segment_updates_still_have_room(void **state)
{
    struct fixture *f = *state;
    uint64_t id = 0;
    enum spool_result result = SPOOL_OK;
    struct spool_new message = {.envelope = TEXT("e")};
    while (result == SPOOL_OK) { /* no chore makes another segment */
        message.id = ++id;
        result = spool_append(f->spool, &message, TEXT("b"));
        assert_true(model_commit(f->spool));
    }
    assert_int_equal(result, SPOOL_LATER);
    assert_int_equal(spool_remove(f->spool, 1), SPOOL_OK);
    assert_true(model_commit(f->spool));
    model_chores(f->spool);
    assert_int_equal(spool_append(f->spool, &message, TEXT("b")), SPOOL_OK);
    assert_true(model_commit(f->spool));
}

static void what_is_too_large_is_refused(void **state)
{
    struct fixture *f = *state;
    static char long_text[64 * 1024];
    struct spool_new message = {.id = 1, .envelope = TEXT("e")};
    char *room;
    assert_int_equal(spool_reserve(f->spool, 8 * 1024, false, &room), SPOOL_TOO_LARGE);
    message.envelope = text_of(long_text, sizeof long_text);
    assert_int_equal(spool_append(f->spool, &message, TEXT("b")), SPOOL_TOO_LARGE);
    assert_false(spool_has(f->spool, 1));
    message.envelope = text_of(long_text, 20 * 1024);
    assert_int_equal(spool_append(f->spool, &message, TEXT("b")), SPOOL_OK);
    message.id = 2;
    assert_int_equal(spool_append(f->spool, &message, TEXT("b")), SPOOL_LATER);
    assert_true(model_commit(f->spool));
    assert_int_equal(spool_append(f->spool, &message, TEXT("b")), SPOOL_OK);
}

static void flip(struct fixture *f, const char *name, off_t at)
{
    int file released_by(file_close) = openat(f->folder, name, O_RDWR);
    char octet;
    assert_int_equal(pread(file, &octet, 1, at), 1);
    octet = (char)~octet;
    assert_int_equal(pwrite(file, &octet, 1, at), 1);
}

static void a_damaged_body_is_told_and_can_be_put_aside(void **state)
{
    struct fixture *f = *state;
    assert_true(model_append(f->spool, f->model, 1, 5000));
    acknowledge(f);
    assert_true(model_append(f->spool, f->model, 2, 5000)); /* so that the first group is known to be durable */
    acknowledge(f);
    flip(f, "segment-00000000", 8192 - 100);
    open_again(f);
    assert_int_equal(problems(f), 0); /* bodies are not read at start-up */
    char body[8192];
    size_t got;
    assert_int_equal(spool_read_body(f->spool, 1, 0, body, sizeof body, &got), SPOOL_DAMAGED);
    assert_int_equal(spool_check_body(f->spool, 1), SPOOL_DAMAGED);
    assert_int_equal(spool_check_body(f->spool, 2), SPOOL_OK);
    assert_int_equal(spool_put_aside(f->spool, 1), SPOOL_OK);
    assert_int_equal(f->model->problems[SPOOL_PROBLEM_DAMAGED_RECORD], 1);
    acknowledge(f);
    open_again(f);
    check(f);
    assert_int_equal(f->model->found, 1);
}

static void a_message_without_its_large_body_is_put_aside(void **state)
{
    struct fixture *f = *state;
    assert_true(model_append(f->spool, f->model, 1, 20000));
    assert_true(model_append(f->spool, f->model, 2, 20));
    acknowledge(f);
    assert_true(model_append(f->spool, f->model, 3, 20));
    acknowledge(f);
    assert_int_equal(file_remove(f->folder, TEXT("large/0000000000000001")), 0);
    f->model->messages[0].life = MODEL_ABSENT;
    open_again(f);
    assert_int_equal(f->model->problems[SPOOL_PROBLEM_NO_BODY], 1);
    check(f);
}

static void random_work_agrees_with_the_model(void **state)
{
    struct fixture *f = *state;
    uint32_t random = 1;
    for (size_t step = 0; step < 20000; step++) {
        uint64_t id = model_random(&random) % 60 + 1;
        uint32_t what = model_random(&random) % 100;
        enum model_life life = f->model->messages[id - 1].life;
        if (what < 40 && !spool_has(f->spool, id) && life != MODEL_LEAVING)
            ignored(model_append(f->spool, f->model, id, model_random(&random) % (what == 0 ? 30000 : 3000))); /* no room is an answer too */
        else if (what < 60 && spool_has(f->spool, id))
            ignored(model_update(f->spool, f->model, id, model_random(&random) % MODEL_RECIPIENTS)); /* the same */
        else if (what < 80 && spool_has(f->spool, id))
            ignored(model_remove(f->spool, f->model, id)); /* the same */
        else if (what < 90)
            acknowledge(f);
        else if (what < 95)
            ignored(spool_tidy(f->spool)); /* the next step looks again */
        else if (what < 99)
            model_chores(f->spool);
        else if (model_random(&random) % 5 == 0) {
            acknowledge(f);
            open_again(f);
        } else
            check(f);
    }
    acknowledge(f);
    open_again(f);
    check(f);
    assert_int_equal(problems(f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_comes_back_octet_for_octet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_can_be_read_while_its_group_is_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_newest_update_of_each_recipient_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(updates_alone_force_no_sync, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_removed_message_stays_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_id_that_waits_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_second_server_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_large_body_lives_in_its_own_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(segments_are_used_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_waiter_is_copied_forward, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_segment_is_kept_until_what_replaces_its_messages_is_durable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(room_comes_back_when_nothing_else_is_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(under_the_floor_only_our_own_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_segment_updates_still_have_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_too_large_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_body_is_told_and_can_be_put_aside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_without_its_large_body_is_put_aside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_work_agrees_with_the_model, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
