/* SPDX-License-Identifier: Apache-2.0 */
/* The program portiere-ledger, driven by a scripted supervisor, front and queue. */
#include "mailbox/scratch_for_tests.h"
#include "record/record.h"
#include "roles/program_for_tests.h"
#include "roles/role.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <cmocka.h>

struct scene {
    int root;
    struct program *program;
    int front, queue;
};

static void start(struct scene *scene, struct text settings)
{
    scene->program = program_start(LEDGER_PROGRAM, PEERS_LEDGER, settings, "log", scene->root);
    scene->front = program_link(scene->program, PEERS_FRONT);
    scene->queue = program_link(scene->program, PEERS_QUEUE);
}

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    scene->root = scratch_new();
    start(scene, TEXT("[log]\ntarget = file\nrotation = 64K\n"));
    *state = scene;
    return 0;
}

static void stop(struct scene *scene)
{
    assert_int_equal(program_stop(&scene->program), 0);
    file_close(&scene->front);
    file_close(&scene->queue);
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    stop(scene);
    scratch_free(&scene->root);
    free(scene);
    return 0;
}

static void tell(int channel, uint64_t time, enum record_level level, struct text name, struct text *fields,
                 size_t count)
{
    program_send(
        channel, PEERS_event,
        &(struct peers_event){.time = time, .level = level, .name = name, .fields = {.items = fields, .count = count}});
}

#define TELL(channel, time, level, name, ...)                                                                          \
    tell(channel, time, level, TEXT(name), (struct text[]){__VA_ARGS__},                                               \
         sizeof((struct text[]){__VA_ARGS__}) / sizeof(struct text))

static void ask(struct scene *scene, struct text name, struct text *arguments, size_t count)
{
    program_send(
        scene->program->supervisor, PEERS_command_ask,
        &(struct peers_command_ask){.tag = 9, .name = name, .arguments = {.items = arguments, .count = count}});
}

static struct text value(const struct texts *fields, struct text name)
{
    for (size_t i = 0; i + 1 < fields->count; i += 2)
        if (text_equals(fields->items[i], name))
            return fields->items[i + 1];
    return TEXT_NONE;
}

/* The rows' values of one field, a line each; and the end's status. */
static uint64_t collect(struct scene *scene, struct text name, struct buffer *lines, struct buffer *message)
{
    for (;;) {
        struct text packet;
        struct channel_descriptors files;
        struct peers_message got;
        assert_int_equal(channel_receive(scene->program->supervisor, scene->program->bytes, 10000, &packet, &files),
                         CHANNEL_OK);
        arena_done(&scene->program->arena);
        assert_int_equal(
            peers_unpack(packet, PEERS_LEDGER, PEERS_SUPERVISOR, files.count, &scene->program->arena, &got), PEERS_OK);
        if (got.type == PEERS_command_end) {
            assert_true(buffer_append(message, got.command_end.message));
            return got.command_end.status;
        }
        assert_int_equal(got.type, PEERS_command_row);
        assert_true(buffer_append(lines, value(&got.command_row.fields, name)) && buffer_append_octet(lines, '\n'));
    }
}

static void expect_rows(struct scene *scene, struct text field, struct text expected)
{
    struct buffer lines released_by(buffer_done) = buffer_new(1 << 20),
                        message released_by(buffer_done) = buffer_new(8192);
    assert_int_equal(collect(scene, field, &lines, &message), 0);
    if (!text_equals(buffer_text(&lines), expected))
        fail_msg("got %.*s", TEXT_ARGUMENTS(buffer_text(&lines)));
}

/* A command comes behind the events of the same channel only; the others' are waited for by asking until they are
 * there. */
static void settle(struct scene *scene, struct text last_event)
{
    for (int i = 0; i < 1000; i++) {
        struct buffer lines released_by(buffer_done) = buffer_new(1 << 20),
                            message released_by(buffer_done) = buffer_new(8192);
        ask(scene, TEXT("events"), (struct text[]){TEXT("count"), TEXT("1"), TEXT("name"), last_event}, 4);
        assert_int_equal(collect(scene, TEXT("event"), &lines, &message), 0);
        if (lines.length)
            return;
    }
    fail();
}

static void tell_a_story(struct scene *scene)
{
    TELL(scene->front, 1000, RECORD_INFO, "connection-opened", TEXT("session"), TEXT("1.1"), TEXT("client"),
         TEXT("192.0.2.1"), TEXT("listener"), TEXT("smtp"));
    TELL(scene->front, 1001, RECORD_INFO, "connection-opened", TEXT("session"), TEXT("2.1"), TEXT("client"),
         TEXT("192.0.2.2"));
    TELL(scene->front, 1002, RECORD_INFO, "message-taken", TEXT("session"), TEXT("1.1"), TEXT("id"),
         TEXT("0000010000000001"), TEXT("sender"), TEXT("a@fuori.test"), TEXT("size"), TEXT("77"), TEXT("recipients"),
         TEXT("1"), TEXT("helo"), TEXT("evil\r\nqueue alarm message-done"));
    TELL(scene->front, 1003, RECORD_INFO, "connection-closed", TEXT("session"), TEXT("1.1"), TEXT("reason"),
         TEXT("QUIT"));
    settle(scene, TEXT("connection-closed"));
    TELL(scene->queue, 1004, RECORD_INFO, "recipient-delivered", TEXT("id"), TEXT("0000010000000001"),
         TEXT("recipient"), TEXT("mario@casa.test"));
    TELL(scene->queue, 1005, RECORD_INFO, "message-done", TEXT("id"), TEXT("0000010000000001"));
    settle(scene, TEXT("message-done"));
}

static void a_message_is_traced_in_words(void **state)
{
    struct scene *scene = *state;
    tell_a_story(scene);
    const struct text events =
        TEXT("connection-opened\nmessage-taken\nconnection-closed\nrecipient-delivered\nmessage-done\n");
    ask(scene, TEXT("trace"), (struct text[]){TEXT("what"), TEXT("0000010000000001")}, 2);
    expect_rows(scene, TEXT("event"), events);
    ask(scene, TEXT("trace"), (struct text[]){TEXT("what"), TEXT("Mario@casa.test")}, 2);
    expect_rows(scene, TEXT("event"), events);
    ask(scene, TEXT("trace"), (struct text[]){TEXT("what"), TEXT("1.1")}, 2);
    expect_rows(scene, TEXT("words"),
                TEXT("192.0.2.1 connected to smtp.\nA message of 77 octets from <a@fuori.test> for 1 recipients stands "
                     "on our disk and we answered 250: from now on it is ours.\nThe connection ended: QUIT.\n"
                     "Delivered into the mailbox of mario@casa.test.\nNothing is left to do for this message.\n"));
    ask(scene, TEXT("trace"), (struct text[]){TEXT("what"), TEXT("2.1"), TEXT("language"), TEXT("it")}, 4);
    expect_rows(scene, TEXT("words"), TEXT("192.0.2.2 si è collegato.\n"));
    struct buffer lines released_by(buffer_done) = buffer_new(1024),
                        message released_by(buffer_done) = buffer_new(8192);
    ask(scene, TEXT("trace"), (struct text[]){TEXT("what"), TEXT("nobody@casa.test")}, 2);
    assert_int_equal(collect(scene, TEXT("event"), &lines, &message), 1);
    assert_true(message.length > 0 && lines.length == 0);
}

static void a_strangers_line_break_makes_no_line(void **state)
{
    struct scene *scene = *state;
    tell_a_story(scene);
    struct buffer file released_by(buffer_done) = buffer_new(65536);
    assert_int_equal(file_read_whole(scene->root, TEXT("portiere.log"), &file), 0);
    struct text rest = buffer_text(&file);
    size_t lines = 0;
    while (rest.length) {
        struct arena arena released_by(arena_done) = arena_new(65536);
        struct record_event event;
        assert_true(record_line_parse(text_take_until(&rest, '\n'), &arena, &event));
        lines++;
    }
    assert_int_equal(lines, 6);
    assert_true(text_find(buffer_text(&file), TEXT("helo=\"evil\\r\\nqueue alarm message-done\"")) < file.length);
}

static void gather(struct buffer *events, enum peers_type type, const void *fields)
{
    struct buffer packed released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
    assert_true(peers_pack(&packed, type, fields) && role_events_add(events, buffer_text(&packed)));
}

static void what_front_has_gathered_is_taken_one_by_one(void **state)
{
    struct scene *scene = *state;
    struct buffer events released_by(buffer_done) = buffer_new(ROLE_EVENTS);
    for (uint64_t i = 0; i < 300; i++)
        gather(&events, PEERS_event,
               &(struct peers_event){
                   .time = 1000 + i, .level = RECORD_INFO, .name = i < 299 ? TEXT("often") : TEXT("rare")});
    program_send(scene->front, PEERS_events, &(struct peers_events){.packed = buffer_text(&events)});
    settle(scene, TEXT("rare"));
    struct buffer lines released_by(buffer_done) = buffer_new(1 << 16),
                        message released_by(buffer_done) = buffer_new(8192);
    ask(scene, TEXT("events"), (struct text[]){TEXT("count"), TEXT("1000")}, 2);
    assert_int_equal(collect(scene, TEXT("event"), &lines, &message), 0);
    struct text rest = buffer_text(&lines);
    for (int i = 0; i < 299; i++)
        assert_true(text_equals(text_take_until(&rest, '\n'), TEXT("often")));
    assert_true(text_equals(rest, TEXT("rare\n")));
}

static void the_room_for_gathered_events_has_an_end(void **state not_used)
{
    static char octets[ROLE_EVENTS];
    struct buffer events released_by(buffer_done) = buffer_new(ROLE_EVENTS);
    assert_false(role_events_add(&events, text_of(octets, ROLE_EVENTS - 3)));
    assert_true(role_events_add(&events, text_of(octets, ROLE_EVENTS - 9)));
    assert_false(role_events_add(&events, text_of(octets, 2)));
    assert_true(role_events_add(&events, text_of(octets, 1)));
    struct text rest = buffer_text(&events), packed;
    assert_true(role_events_next(&rest, &packed) && packed.length == ROLE_EVENTS - 9);
    assert_true(role_events_next(&rest, &packed) && packed.length == 1);
    assert_false(role_events_next(&rest, &packed));
}

static void gathered_events_that_cant_be_read_end_their_channel(void **state)
{
    static const struct text bad[] = {
        TEXT_INIT("\5"),          /* no length */
        TEXT_INIT("\5\0\0\0abc"), /* shorter than it says */
        TEXT_INIT("\xff\xff\xff\xff"
                  "a"),                /* longer than there is anything */
        TEXT_INIT("\0\0\0\0"),         /* no message */
        TEXT_INIT("\2\0\0\0\xff\xff"), /* one of no type */
        TEXT_NONE,                     /* one that is no event */
        TEXT_NONE,                     /* gathered ones in gathered ones */
    };
    struct scene *scene = *state;
    for (size_t i = 0; i < length_of(bad); i++) {
        struct buffer events released_by(buffer_done) = buffer_new(ROLE_EVENTS);
        gather(&events, PEERS_event, &(struct peers_event){.time = 1, .level = RECORD_INFO, .name = TEXT("before")});
        assert_true(buffer_append(&events, bad[i]));
        if (i == length_of(bad) - 2)
            gather(&events, PEERS_command_end, &(struct peers_command_end){.tag = 1});
        else if (i == length_of(bad) - 1)
            gather(&events, PEERS_events, &(struct peers_events){.packed = TEXT_NONE});
        int front = program_link(scene->program, PEERS_FRONT);
        program_send(front, PEERS_events, &(struct peers_events){.packed = buffer_text(&events)});
        assert_true(program_is_silent(scene->program, front));
        file_close(&front);
    }
    ask(scene, TEXT("events"), (struct text[]){TEXT("count"), TEXT("1000")}, 2);
    expect_rows(scene, TEXT("event"), TEXT("before\nbefore\nbefore\nbefore\nbefore\nbefore\nbefore\n"));
}

static void the_latest_events_are_shown_over_many_files(void **state)
{
    struct scene *scene = *state;
    for (unsigned i = 0; i < 20000; i++) {
        struct buffer number released_by(buffer_done) = buffer_new(20);
        assert_true(buffer_append_number(&number, i));
        tell(scene->front, 1000 + i, i % 100 ? RECORD_INFO : RECORD_WARNING, i % 100 ? TEXT("often") : TEXT("rare"),
             (struct text[]){TEXT("n"), buffer_text(&number)}, 2);
    }
    tell(scene->front, 1, RECORD_INFO, TEXT("last"), NULL, 0);
    settle(scene, TEXT("last"));
    assert_true(scratch_count(scene->root, ".") > 10);
    ask(scene, TEXT("events"), (struct text[]){TEXT("count"), TEXT("3"), TEXT("name"), TEXT("often")}, 4);
    expect_rows(scene, TEXT("details"), TEXT("n=19997\nn=19998\nn=19999\n"));
    ask(scene, TEXT("events"), (struct text[]){TEXT("count"), TEXT("5"), TEXT("level"), TEXT("warning")}, 4);
    expect_rows(scene, TEXT("details"), TEXT("n=19500\nn=19600\nn=19700\nn=19800\nn=19900\n"));
    struct buffer lines released_by(buffer_done) = buffer_new(1 << 20),
                        message released_by(buffer_done) = buffer_new(8192);
    ask(scene, TEXT("events"), (struct text[]){TEXT("count"), TEXT("10000"), TEXT("name"), TEXT("rare")}, 4);
    assert_int_equal(collect(scene, TEXT("details"), &lines, &message), 0);
    assert_true(text_starts_with(buffer_text(&lines), TEXT("n=0\nn=100\n")) &&
                text_ends_with(buffer_text(&lines), TEXT("n=19900\n")));
    ask(scene, TEXT("events"), (struct text[]){TEXT("count"), TEXT("0")}, 2);
    assert_int_equal(collect(scene, TEXT("details"), &lines, &message), 1);
    ask(scene, TEXT("events"), (struct text[]){TEXT("level"), TEXT("loud")}, 2);
    assert_int_equal(collect(scene, TEXT("details"), &lines, &message), 1);
}

static void json_and_text_are_read_alike_after_a_change_of_the_setting(void **state)
{
    struct scene *scene = *state;
    TELL(scene->front, 1000, RECORD_INFO, "connection-opened", TEXT("session"), TEXT("1.1"), TEXT("client"),
         TEXT("caf\xe9 \x1b"));
    settle(scene, TEXT("connection-opened"));
    program_settings(scene->program, TEXT("[log]\ntarget = file\nformat = json\n"), 2);
    ask(scene, TEXT("status"), NULL, 0);
    expect_rows(scene, TEXT("settings"), TEXT("2\n"));
    TELL(scene->front, 1000, RECORD_INFO, "connection-closed", TEXT("session"), TEXT("1.1"), TEXT("reason"),
         TEXT("caf\xe9 \x1b"));
    settle(scene, TEXT("connection-closed"));
    ask(scene, TEXT("trace"), (struct text[]){TEXT("what"), TEXT("1.1")}, 2);
    expect_rows(scene, TEXT("details"),
                TEXT("session=1.1 client=\"caf\\xe9 \\x1b\"\nsession=1.1 reason=\"caf\\xe9 \\x1b\"\n"));
}

static void without_a_log_to_write_the_events_are_still_taken(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(mkdirat(scene->root, "portiere.log", 0700), 0); /* no file can be made there */
    for (unsigned i = 0; i < 30000; i++)
        TELL(scene->front, 1000, RECORD_INFO, "often", TEXT("session"), TEXT("1.1"), TEXT("client"),
             TEXT("a client whose log goes nowhere at all"));
    for (unsigned i = 0; i < 20; i++) {
        ask(scene, TEXT("status"), NULL, 0);
        struct peers_message row =
            program_expect(scene->program, scene->program->supervisor, PEERS_SUPERVISOR, PEERS_command_row);
        assert_false(text_equals(value(&row.command_row.fields, TEXT("file")), TEXT("")));
        ignored(program_expect(scene->program, scene->program->supervisor, PEERS_SUPERVISOR, PEERS_command_end)
                    .type); /* its end */
    }
    assert_int_equal(folder_remove(scene->root, TEXT("portiere.log")), 0);
    settle(scene, TEXT("log-lines-lost"));
}

static void steps_of_a_dialogue_are_kept_only_when_they_are_wanted(void **state)
{
    struct scene *scene = *state;
    TELL(scene->front, 1000, RECORD_DEBUG, "command", TEXT("listener"), TEXT("smtp"));
    TELL(scene->front, 1000, RECORD_INFO, "kept", TEXT("a"), TEXT("b"));
    settle(scene, TEXT("kept"));
    ask(scene, TEXT("events"), (struct text[]){TEXT("name"), TEXT("command")}, 2);
    expect_rows(scene, TEXT("event"), TEXT(""));
}

static void a_level_that_is_none_is_dropped(void **state)
{
    struct scene *scene = *state;
    TELL(scene->front, 1000, (enum record_level)77, "odd", TEXT("a"), TEXT("b"));
    TELL(scene->front, UINT64_MAX, RECORD_INFO, "late", TEXT("a"), TEXT("b"));
    TELL(scene->front, 1000, RECORD_INFO, "kept", TEXT("a"), TEXT("b"), TEXT("odd one"));
    settle(scene, TEXT("kept"));
    ask(scene, TEXT("events"), (struct text[]){TEXT("count"), TEXT("9")}, 2);
    expect_rows(scene, TEXT("details"), TEXT("a=b\n"));
}

static void the_last_words_before_the_end_are_written(void **state)
{
    struct scene *scene = *state;
    for (unsigned i = 0; i < 500; i++)
        TELL(scene->front, 1000, RECORD_INFO, "often", TEXT("a"), TEXT("b"));
    TELL(scene->queue, 1000, RECORD_INFO, "last", TEXT("a"), TEXT("b"));
    stop(scene);
    struct buffer file released_by(buffer_done) = buffer_new(1 << 20);
    assert_int_equal(file_read_whole(scene->root, TEXT("portiere.log"), &file), 0);
    assert_true(text_find(buffer_text(&file), TEXT(" queue info last a=b\n")) < file.length);
    start(scene, TEXT("[log]\ntarget = file\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_A_SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        IN_A_SCENE(a_message_is_traced_in_words),
        IN_A_SCENE(a_strangers_line_break_makes_no_line),
        IN_A_SCENE(what_front_has_gathered_is_taken_one_by_one),
        IN_A_SCENE(gathered_events_that_cant_be_read_end_their_channel),
        cmocka_unit_test(the_room_for_gathered_events_has_an_end),
        IN_A_SCENE(the_latest_events_are_shown_over_many_files),
        IN_A_SCENE(json_and_text_are_read_alike_after_a_change_of_the_setting),
        IN_A_SCENE(without_a_log_to_write_the_events_are_still_taken),
        IN_A_SCENE(steps_of_a_dialogue_are_kept_only_when_they_are_wanted),
        IN_A_SCENE(a_level_that_is_none_is_dropped),
        IN_A_SCENE(the_last_words_before_the_end_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
