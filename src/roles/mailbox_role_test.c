/* SPDX-License-Identifier: Apache-2.0 */
/* The program portiere-mailbox, driven by a scripted supervisor and queue. */
#include "mailbox/scratch_for_tests.h"
#include "roles/delivery.h"
#include "roles/program_for_tests.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct scene {
    int root;
    struct program *program;
    int queue;
    int window_file;
    char *window;
};

static const size_t window_size = (size_t)DELIVERY_SLOT * DELIVERY_SLOTS_MAILBOX;

static void start(struct scene *scene, struct text settings)
{
    scene->program = program_start(MAILBOX_PROGRAM, PEERS_MAILBOX, settings, "mail", scene->root);
    scene->queue = program_link(scene->program, PEERS_QUEUE);
    program_send_file(scene->queue, PEERS_window, &(struct peers_window){.size = window_size}, scene->window_file);
}

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    scene->root = scratch_new();
    scene->window_file = -1;
    void *window = NULL;
    assert_int_equal(memory_new("slots", window_size, &scene->window_file), 0);
    assert_int_equal(memory_map(scene->window_file, window_size, true, &window), 0);
    scene->window = window;
    start(scene, TEXT(""));
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(program_stop(&scene->program), 0);
    file_close(&scene->queue);
    file_close(&scene->window_file);
    memory_unmap(scene->window, window_size);
    scratch_free(&scene->root);
    free(scene);
    return 0;
}

static void send_deliver(struct scene *scene, uint64_t number, uint64_t slot, const char *account, struct text body,
                         size_t recipients, int64_t arrived_ms)
{
    struct buffer packed released_by(buffer_done) = buffer_new(32768);
    struct envelope_recipient list[4];
    for (size_t i = 0; i < recipients; i++)
        list[i] = (struct envelope_recipient){.address = {.local = TEXT("r"), .domain = TEXT("casa.test")}};
    struct envelope envelope = {.sender = {.local = TEXT("s"), .domain = TEXT("fuori.test")},
                                .recipients = list,
                                .recipient_count = recipients,
                                .arrived_ms = arrived_ms};
    assert_true(envelope_pack(&packed, &envelope));
    size_t length = smaller(body.length, DELIVERY_SLOT);
    memcpy(scene->window + slot * DELIVERY_SLOT, body.bytes, length);
    program_send(scene->queue, PEERS_deliver,
                 &(struct peers_deliver){.delivery = number,
                                         .id = 0x100 + number,
                                         .slot = slot,
                                         .length = length,
                                         .total = body.length,
                                         .destination = text_of_terminated(account),
                                         .envelope = buffer_text(&packed)});
}

static struct result expect_delivered(struct scene *scene, uint64_t *ret_number, size_t recipients)
{
    struct peers_message message = program_expect(scene->program, scene->queue, PEERS_QUEUE, PEERS_delivered);
    struct result result = {.class = RESULT_DEFERRED};
    assert_int_equal(message.delivered.results.count, recipients);
    for (size_t i = 0; i < recipients; i++)
        assert_true(result_unpack(message.delivered.results.items[i], &result));
    if (ret_number)
        *ret_number = message.delivered.delivery;
    return result;
}

static const struct text body = TEXT_INIT("A: b\r\n\r\nhello\r\n");

static void a_delivery_is_answered_for_each_recipient(void **state)
{
    struct scene *scene = *state;
    uint64_t number = 0;
    send_deliver(scene, 7, 3, "mario@casa.test", body, 2, clock_wall_ms() + 60000);
    struct result result = expect_delivered(scene, &number, 2);
    assert_int_equal(number, 7);
    assert_int_equal(result.class, RESULT_DELIVERED);
    assert_true(text_equals(result.stage, TEXT("mailbox")));
    assert_int_equal(scratch_count_equal(scene->root, "casa.test/mario/new", body), 1);
}

static void all_slots_at_once_are_served(void **state)
{
    struct scene *scene = *state;
    enum { ROUNDS = 3 };
    bool seen[DELIVERY_SLOTS_MAILBOX] = {false};
    for (int round = 0; round < ROUNDS; round++) {
        memset(seen, 0, sizeof seen);
        for (uint64_t i = 0; i < DELIVERY_SLOTS_MAILBOX; i++)
            send_deliver(scene, (uint64_t)round * 1000 + i, i, i % 2 ? "a@casa.test" : "b@casa.test", body, 1,
                         clock_wall_ms() + 60000);
        for (size_t i = 0; i < DELIVERY_SLOTS_MAILBOX; i++) {
            uint64_t number = 0;
            assert_int_equal(expect_delivered(scene, &number, 1).class, RESULT_DELIVERED);
            assert_false(seen[number % 1000]);
            seen[number % 1000] = true;
        }
    }
    assert_int_equal(scratch_count_equal(scene->root, "casa.test/a/new", body), ROUNDS * DELIVERY_SLOTS_MAILBOX / 2);
    assert_int_equal(scratch_count_equal(scene->root, "casa.test/b/new", body), ROUNDS * DELIVERY_SLOTS_MAILBOX / 2);
}

static void fill(struct buffer *b, size_t size)
{
    assert_true(buffer_append(b, TEXT("A: b\r\n\r\n")));
    for (size_t i = 0; b->length < size; i++)
        assert_true(buffer_append_octet(b, (char)(i * 31 + i / 97)));
}

static void a_large_body_comes_piece_by_piece_while_others_pass(void **state)
{
    struct scene *scene = *state;
    struct buffer large released_by(buffer_done) = buffer_new(1 << 20);
    fill(&large, 300001);
    send_deliver(scene, 1, 0, "mario@casa.test", buffer_text(&large), 1, clock_wall_ms() + 60000);
    for (;;) {
        struct peers_message ask = program_expect(scene->program, scene->queue, PEERS_QUEUE, PEERS_body_ask);
        assert_int_equal(ask.body_ask.delivery, 1);
        send_deliver(scene, 2 + ask.body_ask.at, 1, "mario@casa.test", body, 1, clock_wall_ms() + 60000);
        assert_int_equal(expect_delivered(scene, NULL, 1).class, RESULT_DELIVERED);
        struct text part = text_first(text_after(buffer_text(&large), (size_t)ask.body_ask.at), DELIVERY_SLOT);
        memcpy(scene->window, part.bytes, part.length);
        program_send(scene->queue, PEERS_body_part,
                     &(struct peers_body_part){.delivery = 1, .at = ask.body_ask.at, .length = part.length});
        if (ask.body_ask.at + part.length == large.length)
            break;
    }
    assert_int_equal(expect_delivered(scene, NULL, 1).class, RESULT_DELIVERED);
    assert_int_equal(scratch_count_equal(scene->root, "casa.test/mario/new", buffer_text(&large)), 1);
    assert_int_equal(scratch_count_equal(scene->root, "casa.test/mario/new", body), 4);
    assert_int_equal(scratch_count(scene->root, "casa.test/mario/tmp"), 0);
}

static void what_can_not_be_is_not_obeyed(void **state)
{
    struct scene *scene = *state;
    struct peers_deliver wrong[] = {
        {.delivery = 1, .slot = DELIVERY_SLOTS_MAILBOX, .length = 1, .total = 1},
        {.delivery = 1, .slot = UINT64_MAX, .length = 1, .total = 1},
        {.delivery = 1, .slot = 0, .length = DELIVERY_SLOT + 1, .total = DELIVERY_SLOT + 1},
        {.delivery = 1, .slot = 0, .length = 2, .total = 1},
        {.delivery = 1, .slot = 0, .length = 0, .total = 5},
    };
    for (size_t i = 0; i < length_of(wrong); i++)
        program_send(scene->queue, PEERS_deliver, &wrong[i]);
    program_send(scene->queue, PEERS_body_part, &(struct peers_body_part){.delivery = 9, .at = 0, .length = 1});
    program_send(
        scene->queue, PEERS_deliver,
        &(struct peers_deliver){.delivery = 5, .slot = 0, .length = 1, .total = 1, .envelope = TEXT("damaged")});
    uint64_t number = 0;
    ignored(expect_delivered(scene, &number, 0)); /* the damaged one: no result is a deferral */
    assert_int_equal(number, 5);
    send_deliver(scene, 6, 0, "mario@casa.test", body, 1, clock_wall_ms() + 60000);
    assert_int_equal(expect_delivered(scene, &number, 1).class, RESULT_DELIVERED);
    assert_int_equal(number, 6);
}

static void killed_in_the_middle_it_loses_and_doubles_nothing(void **state)
{
    struct scene *scene = *state;
    enum { ROUNDS = 12 };
    for (unsigned round = 0; round < ROUNDS; round++) {
        int64_t arrived = clock_wall_ms();
        for (uint64_t i = 0; i < DELIVERY_SLOTS_MAILBOX; i++)
            send_deliver(scene, round * 1000 + i, i, "mario@casa.test", body, 1, arrived);
        for (unsigned i = 0; i < round; i++) /* the later rounds are killed later */
            ignored(expect_delivered(scene, NULL, 1));
        program_kill(&scene->program);
        file_close(&scene->queue);
        assert_int_equal(scratch_count(scene->root, "casa.test/mario/new"),
                         scratch_count_equal(scene->root, "casa.test/mario/new", body));
        start(scene, TEXT(""));
        for (uint64_t i = 0; i < DELIVERY_SLOTS_MAILBOX; i++)
            send_deliver(scene, round * 1000 + i, i, "mario@casa.test", body, 1, arrived);
        for (uint64_t i = 0; i < DELIVERY_SLOTS_MAILBOX; i++)
            assert_int_equal(expect_delivered(scene, NULL, 1).class, RESULT_DELIVERED);
        assert_int_equal(scratch_count_equal(scene->root, "casa.test/mario/new", body),
                         (round + 1) * DELIVERY_SLOTS_MAILBOX);
    }
}

static void a_new_queue_gets_its_answers(void **state)
{
    struct scene *scene = *state;
    struct buffer large released_by(buffer_done) = buffer_new(1 << 20);
    fill(&large, 100000);
    send_deliver(scene, 1, 0, "mario@casa.test", buffer_text(&large), 1, clock_wall_ms() + 60000);
    ignored(program_expect(scene->program, scene->queue, PEERS_QUEUE, PEERS_body_ask).type); /* then the queue dies */
    file_close(&scene->queue);
    scene->queue = program_link(scene->program, PEERS_QUEUE);
    program_send_file(scene->queue, PEERS_window, &(struct peers_window){.size = window_size}, scene->window_file);
    send_deliver(scene, 1, 0, "mario@casa.test", body, 1, clock_wall_ms() + 60000);
    assert_int_equal(expect_delivered(scene, NULL, 1).class, RESULT_DELIVERED);
    assert_int_equal(scratch_count(scene->root, "casa.test/mario/tmp"), 0);
}

static struct text field(const struct texts *fields, struct text name)
{
    for (size_t i = 0; i + 1 < fields->count; i += 2)
        if (text_equals(fields->items[i], name))
            return fields->items[i + 1];
    return TEXT_NONE;
}

static void new_settings_hold_and_status_tells_them(void **state)
{
    struct scene *scene = *state;
    program_settings(scene->program, TEXT("[advanced]\nadd_return_path = yes\n"), 2);
    program_send(scene->program->supervisor, PEERS_command_ask,
                 &(struct peers_command_ask){.tag = 5, .name = TEXT("status")});
    struct peers_message row =
        program_expect(scene->program, scene->program->supervisor, PEERS_SUPERVISOR, PEERS_command_row);
    assert_int_equal(row.command_row.tag, 5);
    assert_true(text_equals(field(&row.command_row.fields, TEXT("role")), TEXT("mailbox")));
    assert_true(text_equals(field(&row.command_row.fields, TEXT("settings")), TEXT("2")));
    assert_true(text_equals(field(&row.command_row.fields, TEXT("delivered")), TEXT("0")));
    assert_int_equal(program_expect(scene->program, scene->program->supervisor, PEERS_SUPERVISOR, PEERS_command_end)
                         .command_end.status,
                     0);
    send_deliver(scene, 6, 0, "mario@casa.test", body, 1, clock_wall_ms() + 60000);
    assert_int_equal(expect_delivered(scene, NULL, 1).class, RESULT_DELIVERED);
    assert_int_equal(scratch_count_equal(scene->root, "casa.test/mario/new",
                                         TEXT("Return-Path: <s@fuori.test>\r\nA: b\r\n\r\nhello\r\n")),
                     1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_A_SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        IN_A_SCENE(a_delivery_is_answered_for_each_recipient),
        IN_A_SCENE(all_slots_at_once_are_served),
        IN_A_SCENE(a_large_body_comes_piece_by_piece_while_others_pass),
        IN_A_SCENE(what_can_not_be_is_not_obeyed),
        IN_A_SCENE(killed_in_the_middle_it_loses_and_doubles_nothing),
        IN_A_SCENE(a_new_queue_gets_its_answers),
        IN_A_SCENE(new_settings_hold_and_status_tells_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
