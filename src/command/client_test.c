/* SPDX-License-Identifier: Apache-2.0 */
/* The other side's packets are put into the channel beforehand: the tags of the asks are known, they count from 1. */
#include "command/client.h"
#include "command/places.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { DEADLINE_MS = 2000 };

struct stage {
    struct command_link link;
    int other;
};

static struct stage begin(void)
{
    int ends[2];
    assert_int_equal(channel_pair(ends), 0);
    return (struct stage){.link = {.channel = ends[0], .self = PEERS_COMMAND, .remote = PEERS_CONTROL}, .other = ends[1]};
}

static void end(struct stage *s)
{
    command_disconnect(&s->link);
    file_close(&s->other);
}

static void say(int channel, enum peers_type type, const void *fields)
{
    struct buffer packed released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
    assert_true(peers_pack(&packed, type, fields));
    assert_int_equal(channel_send(channel, buffer_text(&packed), NULL, true), CHANNEL_OK);
}

static void say_row(int channel, uint64_t tag, struct text value)
{
    struct text fields[] = {TEXT("id"), value};
    say(channel, PEERS_command_row, &(struct peers_command_row){.tag = tag, .fields = {.items = fields, .count = 2}});
}

static void say_end(int channel, uint64_t tag, uint64_t status, struct text message)
{
    say(channel, PEERS_command_end, &(struct peers_command_end){.tag = tag, .status = status, .message = message});
}

/* The next ask's value of an argument. */
static struct text heard(int channel, struct arena *arena, struct text name)
{
    static char bytes[CHANNEL_PACKET_LIMIT];
    struct text packet;
    struct channel_descriptors files;
    struct peers_message got;
    assert_int_equal(channel_receive(channel, bytes, 0, &packet, &files), CHANNEL_OK);
    assert_int_equal(peers_unpack(packet, PEERS_COMMAND, PEERS_CONTROL, files.count, arena, &got), PEERS_OK);
    for (size_t i = 0; i + 1 < got.command_ask.arguments.count; i += 2)
        if (text_equals(got.command_ask.arguments.items[i], name)) {
            struct text copy;
            assert_true(arena_copy(arena, got.command_ask.arguments.items[i + 1], &copy));
            return copy;
        }
    return TEXT_NONE;
}

static bool collect(void *context, const struct text *fields, size_t count)
{
    assert_int_equal(count, 2);
    return buffer_append(context, fields[1]) && buffer_append_octet(context, ' ');
}

static bool enough(void *context, const struct text *fields not_used, size_t count not_used)
{
    ++*(int *)context;
    return false;
}

static void a_long_list_comes_in_pages(void **state not_used)
{
    struct stage s = begin();
    struct buffer rows released_by(buffer_done) = buffer_new(1000), message released_by(buffer_done) = buffer_new(1000);
    struct arena arena released_by(arena_done) = arena_new(1 << 16);
    uint64_t status = 99;
    say_row(s.other, 1, TEXT("a"));
    say_end(s.other, 1, COMMAND_PAGE_MORE, TEXT("a"));
    say_row(s.other, 7, TEXT("of nobody"));
    say_row(s.other, 2, TEXT("b"));
    say_end(s.other, 2, COMMAND_EXIT_DONE, TEXT_NONE);
    assert_int_equal(command_run(&s.link, command_row(COMMAND_queue_list), NULL, 0, DEADLINE_MS, collect, &rows, &status, &message), COMMAND_ASK_ENDED);
    assert_int_equal(status, COMMAND_EXIT_DONE);
    assert_true(text_equals(buffer_text(&rows), TEXT("a b ")));
    assert_true(text_equals(heard(s.other, &arena, TEXT("after")), TEXT_NONE));
    assert_true(text_equals(heard(s.other, &arena, TEXT("after")), TEXT("a")));
    end(&s);
}

static void a_list_that_does_not_go_on_ends(void **state not_used)
{
    struct stage s = begin();
    struct buffer rows released_by(buffer_done) = buffer_new(1000), message released_by(buffer_done) = buffer_new(1000);
    uint64_t status = 99;
    for (uint64_t tag = 1; tag <= 2; tag++)
        say_end(s.other, tag, COMMAND_PAGE_MORE, TEXT("same place"));
    assert_int_equal(command_run(&s.link, command_row(COMMAND_queue_list), NULL, 0, DEADLINE_MS, collect, &rows, &status, &message), COMMAND_ASK_GONE);
    end(&s);
}

static void who_has_enough_stops(void **state not_used)
{
    struct stage s = begin();
    struct buffer message released_by(buffer_done) = buffer_new(1000);
    uint64_t status = 99;
    int count = 0;
    say_row(s.other, 1, TEXT("a"));
    say_row(s.other, 1, TEXT("b"));
    assert_int_equal(command_run(&s.link, command_row(COMMAND_trace), NULL, 0, DEADLINE_MS, enough, &count, &status, &message), COMMAND_ASK_STOPPED);
    assert_int_equal(count, 1);
    end(&s);
}

static void silence_garbage_and_the_end_are_told_apart(void **state not_used)
{
    struct buffer message released_by(buffer_done) = buffer_new(1000);
    uint64_t status = 99;
    struct stage silent = begin(), garbage = begin(), gone = begin();
    assert_int_equal(command_ask(&silent.link, TEXT("status"), NULL, 0, 50, NULL, NULL, &status, &message), COMMAND_ASK_SILENT);
    assert_int_equal(channel_send(garbage.other, TEXT("\xff\xff what"), NULL, true), CHANNEL_OK);
    assert_int_equal(command_ask(&garbage.link, TEXT("status"), NULL, 0, DEADLINE_MS, NULL, NULL, &status, &message), COMMAND_ASK_GONE);
    file_close(&gone.other);
    assert_int_equal(command_ask(&gone.link, TEXT("status"), NULL, 0, DEADLINE_MS, NULL, NULL, &status, &message), COMMAND_ASK_GONE);
    end(&silent);
    end(&garbage);
    end(&gone);
}

static void where_nobody_listens_is_told(void **state not_used)
{
    struct command_link link = {.channel = -1};
    int error = 0;
    assert_int_equal(command_connect(TEXT("/nowhere/at/all/control"), &link, &error), COMMAND_LINK_NOBODY);
    assert_int_equal(error, ENOENT);
    assert_int_equal(link.channel, -1);
}

static void the_places_follow_the_directory(void **state not_used)
{
    static const struct {
        struct text directory, settings, control;
    } rows[] = {
        {TEXT_INIT(""), TEXT_INIT("/etc/portiere/portiere.conf"), TEXT_INIT("/run/portiere/control")},
        {TEXT_INIT("demo"), TEXT_INIT("demo/portiere.conf"), TEXT_INIT("demo/run/control")},
        {TEXT_INIT("/srv/mail/"), TEXT_INIT("/srv/mail/portiere.conf"), TEXT_INIT("/srv/mail/run/control")},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct arena arena released_by(arena_done) = arena_new(1 << 16);
        struct command_places places;
        assert_true(command_places_of(&arena, rows[i].directory, &places));
        assert_true(text_equals(places.settings, rows[i].settings));
        assert_true(text_equals(places.control, rows[i].control));
    }
}

static void every_role_is_somebody_of_its_own(void **state not_used)
{
    unsigned users[32] = {0}, group;
    size_t count = 0;
    if (process_own_user() != 0)
        skip();
    for (unsigned bit = 0; 1U << bit <= PEERS_LEDGER; bit++, count++) {
        command_role_user((enum peers_role)(1U << bit), &users[count], &group);
        assert_true(users[count] != 0);
        for (size_t i = 0; i < count; i++)
            assert_true(users[i] != users[count]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_list_comes_in_pages),
        cmocka_unit_test(a_list_that_does_not_go_on_ends),
        cmocka_unit_test(who_has_enough_stops),
        cmocka_unit_test(silence_garbage_and_the_end_are_told_apart),
        cmocka_unit_test(where_nobody_listens_is_told),
        cmocka_unit_test(the_places_follow_the_directory),
        cmocka_unit_test(every_role_is_somebody_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
