/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the real portiere-control as a supervisor would, plays the vault, and calls at its socket as the command line and as strangers do. */
#include "command/client.h"
#include "settings/settings.h"
#include "system/system.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { DEADLINE_MS = 20000, SNAPSHOT_LIMIT = 1 << 20 };

static char *program_path;

struct stage {
    int process;
    int supervisor, vault; /* our ends */
    struct arena arena;
    const struct settings *settings;
    char folder[64];
    char socket[96];
};

static bool say(int channel, enum peers_type type, const void *fields, const int *file)
{
    struct buffer packed released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
    struct channel_descriptors files = {.count = file ? 1 : 0};
    if (file)
        files.files[0] = *file;
    return peers_pack(&packed, type, fields) && channel_send(channel, buffer_text(&packed), &files, true) == CHANNEL_OK;
}

/* The next message of that type; others are passed over. */
static bool hear(int channel, enum peers_role from, enum peers_role self, enum peers_type type, struct arena *arena, struct peers_message *ret_message)
{
    static char bytes[CHANNEL_PACKET_LIMIT];
    struct text packet;
    struct channel_descriptors files;
    while (channel_receive(channel, bytes, DEADLINE_MS, &packet, &files) == CHANNEL_OK) {
        channel_descriptors_close(&files);
        if (peers_unpack(packet, from, self, files.count, arena, ret_message) == PEERS_OK && ret_message->type == type)
            return true;
    }
    return false;
}

static int begin(void **state)
{
    struct stage *s = calloc(1, sizeof *s);
    struct buffer packed released_by(buffer_done) = buffer_new(SNAPSHOT_LIMIT);
    struct settings_machine machine = {.fqdn = TEXT("mail.casa.test"), .first_domain = TEXT("casa.test")};
    int ends[2], pair[2], program = -1, file = -1, listener = -1;
    s->arena = arena_new(8 << 20);
    strcpy(s->folder, "/tmp/portiere-control-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->socket, sizeof s->socket, "%s/control", s->folder);
    assert_int_equal(socket_listen_unix(text_of_terminated(s->socket), 0660, 64, &listener), 0);
    assert_true(settings_new_default(&s->arena, &machine, &s->settings));
    assert_true(settings_pack(&packed, s->settings, SETTINGS_READER_CONTROL));
    assert_int_equal(memory_new_sealed("settings", buffer_text(&packed), &file), 0);
    assert_int_equal(file_open(-1, text_of_terminated(program_path), 0, 0, &program), 0);
    assert_int_equal(channel_pair(ends), 0);
    assert_int_equal(channel_pair(pair), 0);
    struct process_start start = {.program = program, .name = "portiere-control", .channel = ends[1]};
    assert_int_equal(process_start(&start, &s->process), 0);
    s->supervisor = ends[0];
    s->vault = pair[0];
    struct peers_settings settings = {.generation = 7};
    struct peers_listener door = {.number = 1, .row = TEXT("control")};
    struct peers_peer peer = {.role = PEERS_VAULT};
    struct peers_go go = {.boot = 1};
    assert_true(say(s->supervisor, PEERS_settings, &settings, &file) && say(s->supervisor, PEERS_listener, &door, &listener) &&
                say(s->supervisor, PEERS_peer, &peer, &pair[1]) && say(s->supervisor, PEERS_go, &go, NULL));
    file_close(&file);
    file_close(&program);
    file_close(&listener);
    file_close(&ends[1]);
    file_close(&pair[1]);
    struct arena arena released_by(arena_done) = arena_new(1 << 16);
    struct peers_message ready;
    assert_true(hear(s->supervisor, PEERS_CONTROL, PEERS_SUPERVISOR, PEERS_ready, &arena, &ready));
    *state = s;
    return 0;
}

static int end(void **state)
{
    struct stage *s = *state;
    struct peers_stop stop = {.grace = 0};
    if (!say(s->supervisor, PEERS_stop, &stop, NULL))
        process_signal(s->process, SIGKILL);
    process_wait(s->process);
    file_close(&s->supervisor);
    file_close(&s->vault);
    unlink(s->socket);
    rmdir(s->folder);
    arena_done(&s->arena);
    free(s);
    return 0;
}

static struct command_link call(const struct stage *s)
{
    struct command_link link = {.channel = -1};
    int error = 0;
    assert_int_equal(command_connect(text_of_terminated((char *)(uintptr_t)s->socket), &link, &error), COMMAND_LINK_OK);
    return link;
}

static bool collect(void *context, const struct text *fields, size_t count)
{
    bool fits = true;
    for (size_t i = 0; fits && i + 1 < count; i += 2)
        fits = buffer_append(context, fields[i]) && buffer_append_octet(context, '=') && buffer_append(context, fields[i + 1]) && buffer_append_octet(context, ' ');
    return fits;
}

static bool collect_octets(void *context, const struct text *fields, size_t count)
{
    bool fits = true;
    for (size_t i = 0; fits && i + 1 < count; i += 2)
        fits = text_equals(fields[i], TEXT("octets")) && buffer_append(context, fields[i + 1]);
    return fits;
}

static void still_answers(const struct stage *s)
{
    struct command_link link = call(s);
    struct buffer packed released_by(buffer_done) = buffer_new(SNAPSHOT_LIMIT), message released_by(buffer_done) = buffer_new(4096);
    uint64_t status = 99;
    assert_int_equal(command_run(&link, command_row(COMMAND_settings_snapshot), NULL, 0, DEADLINE_MS, collect_octets, &packed, &status, &message), COMMAND_ASK_ENDED);
    assert_int_equal(status, 0);
    command_disconnect(&link);
}

/* ------------------------------------------------------------------------------------------------------------------------------------------ */

static void the_running_settings_come_back_whole(void **state)
{
    struct stage *s = *state;
    struct command_link link = call(s);
    struct buffer packed released_by(buffer_done) = buffer_new(SNAPSHOT_LIMIT), message released_by(buffer_done) = buffer_new(4096);
    struct arena arena released_by(arena_done) = arena_new(8 << 20);
    const struct settings *got = NULL;
    uint64_t status = 99;
    assert_int_equal(command_run(&link, command_row(COMMAND_settings_snapshot), NULL, 0, DEADLINE_MS, collect_octets, &packed, &status, &message), COMMAND_ASK_ENDED);
    assert_int_equal(status, COMMAND_EXIT_DONE);
    assert_true(settings_unpack(&arena, buffer_text(&packed), &got));
    assert_true(got->service_thread_cache == s->settings->service_thread_cache);
    assert_true(text_equals(got->service_hostname, TEXT("mail.casa.test")));
    command_disconnect(&link);
}

/* Sends the ask without waiting, so that one thread can play both sides. */
static void ask_only(struct command_link *link, struct text name, const struct text *pairs, size_t count)
{
    struct peers_command_ask ask = {.tag = ++link->tag, .right = COMMAND_RIGHT_NONE, .caller = TEXT("a liar"), .name = name,
                                    .arguments = {.items = (struct text *)(uintptr_t)pairs, .count = count}};
    assert_true(say(link->channel, PEERS_command_ask, &ask, NULL));
}

static void a_command_reaches_its_role_with_the_right_found_out_here(void **state)
{
    struct stage *s = *state;
    struct command_link link = call(s);
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct peers_message got;
    struct text pairs[] = {TEXT("domain"), TEXT("casa.test")};
    ask_only(&link, TEXT("domain-add"), pairs, 2);
    assert_true(hear(s->vault, PEERS_CONTROL, PEERS_VAULT, PEERS_command_ask, &arena, &got));
    assert_true(text_equals(got.command_ask.name, TEXT("domain-add")));
    assert_int_equal(got.command_ask.right, COMMAND_RIGHT_ADMINISTER);
    assert_true(text_starts_with(got.command_ask.caller, TEXT("user ")));
    assert_int_equal(got.command_ask.arguments.count, 2);
    uint64_t tag = got.command_ask.tag;
    struct text fields[] = {TEXT("domain"), TEXT("casa.test")};
    struct peers_command_row row = {.tag = tag, .fields = {.items = fields, .count = 2}};
    struct peers_command_row of_nobody = {.tag = tag + 1, .fields = {.items = fields, .count = 2}};
    struct peers_command_end last = {.tag = tag, .status = COMMAND_EXIT_FAILED, .message = TEXT("it is there already")};
    assert_true(say(s->vault, PEERS_command_row, &of_nobody, NULL) && say(s->vault, PEERS_command_row, &row, NULL) && say(s->vault, PEERS_command_end, &last, NULL));
    assert_true(hear(link.channel, PEERS_CONTROL, PEERS_COMMAND, PEERS_command_row, &arena, &got));
    assert_true(got.command_row.tag == link.tag && text_equals(got.command_row.fields.items[1], TEXT("casa.test")));
    assert_true(hear(link.channel, PEERS_CONTROL, PEERS_COMMAND, PEERS_command_end, &arena, &got));
    assert_int_equal(got.command_end.status, COMMAND_EXIT_FAILED);
    assert_true(text_equals(got.command_end.message, TEXT("it is there already")));
    command_disconnect(&link);
}

static void what_is_no_command_of_the_server_is_refused(void **state)
{
    static const struct {
        struct text name;
        uint64_t status;
    } rows[] = {{TEXT_INIT("no-such-thing"), COMMAND_EXIT_USAGE}, {TEXT_INIT(""), COMMAND_EXIT_USAGE}, {TEXT_INIT("serve"), COMMAND_EXIT_USAGE},
                {TEXT_INIT("queue-list"), COMMAND_EXIT_FAILED /* no such role here */}};
    struct command_link link = call(*state);
    struct buffer message released_by(buffer_done) = buffer_new(4096);
    for (size_t i = 0; i < length_of(rows); i++) {
        uint64_t status = 99;
        assert_int_equal(command_ask(&link, rows[i].name, NULL, 0, DEADLINE_MS, NULL, NULL, &status, &message), COMMAND_ASK_ENDED);
        assert_int_equal(status, rows[i].status);
        assert_true(message.length > 0);
    }
    command_disconnect(&link);
}

static void status_joins_all_roles_and_names_the_silent(void **state)
{
    struct stage *s = *state;
    struct command_link link = call(s);
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct buffer rows released_by(buffer_done) = buffer_new(65536);
    struct peers_message got;
    ask_only(&link, TEXT("status"), NULL, 0);
    assert_true(hear(s->vault, PEERS_CONTROL, PEERS_VAULT, PEERS_command_ask, &arena, &got));
    struct text fields[] = {TEXT("role"), TEXT("vault"), TEXT("accounts"), TEXT("3")};
    struct peers_command_row row = {.tag = got.command_ask.tag, .fields = {.items = fields, .count = 4}};
    struct peers_command_end last = {.tag = got.command_ask.tag};
    assert_true(say(s->vault, PEERS_command_row, &row, NULL) && say(s->vault, PEERS_command_end, &last, NULL));
    for (;;) { /* the supervisor says nothing */
        static char bytes[CHANNEL_PACKET_LIMIT];
        struct text packet;
        struct channel_descriptors files;
        assert_int_equal(channel_receive(link.channel, bytes, DEADLINE_MS, &packet, &files), CHANNEL_OK);
        assert_int_equal(peers_unpack(packet, PEERS_CONTROL, PEERS_COMMAND, 0, &arena, &got), PEERS_OK);
        if (got.type == PEERS_command_end)
            break;
        assert_true(collect(&rows, got.command_row.fields.items, got.command_row.fields.count));
    }
    assert_int_equal(got.command_end.status, COMMAND_EXIT_DONE);
    assert_true(text_find(buffer_text(&rows), TEXT("role=control ")) < rows.length);
    assert_true(text_find(buffer_text(&rows), TEXT("role=vault accounts=3 ")) < rows.length);
    assert_true(text_find(buffer_text(&rows), TEXT("role=supervisor state=no answer ")) < rows.length);
    command_disconnect(&link);
}

static void who_waits_for_a_role_that_dies_is_told(void **state)
{
    struct stage *s = *state;
    struct command_link link = call(s);
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct peers_message got;
    ask_only(&link, TEXT("domain-list"), NULL, 0);
    assert_true(hear(s->vault, PEERS_CONTROL, PEERS_VAULT, PEERS_command_ask, &arena, &got));
    file_close(&s->vault);
    assert_true(hear(link.channel, PEERS_CONTROL, PEERS_COMMAND, PEERS_command_end, &arena, &got));
    assert_int_equal(got.command_end.status, COMMAND_EXIT_FAILED);
    assert_true(got.command_end.message.length > 0);
    command_disconnect(&link);
}

static void garbage_ends_the_caller_and_not_the_server(void **state)
{
    struct stage *s = *state;
    struct buffer good released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct peers_message got;
    struct peers_command_ask ask = {.tag = 1, .name = TEXT("domain-list")};
    assert_true(peers_pack(&good, PEERS_command_ask, &ask));
    for (size_t length = 1; length < good.length; length++) { /* cut anywhere */
        struct command_link link = call(s);
        assert_int_equal(channel_send(link.channel, text_first(buffer_text(&good), length), NULL, true), CHANNEL_OK);
        assert_false(hear(link.channel, PEERS_CONTROL, PEERS_COMMAND, PEERS_command_end, &arena, &got)); /* it hung up at once */
        command_disconnect(&link);
    }
    for (int type = 0; type < PEERS_TYPES + 3; type++) { /* every other message, and none at all, with noise behind */
        struct command_link link = call(s);
        char noise[200] = {(char)type, (char)(type >> 8)};
        random_fill(noise + 2, sizeof noise - 2);
        if (type != PEERS_command_ask)
            assert_int_equal(channel_send(link.channel, text_of(noise, sizeof noise), NULL, true), CHANNEL_OK);
        command_disconnect(&link);
    }
    struct command_link link = call(s); /* a descriptor that nobody asked for */
    struct channel_descriptors files = {.files = {s->supervisor}, .count = 1};
    assert_int_equal(channel_send(link.channel, buffer_text(&good), &files, true), CHANNEL_OK);
    command_disconnect(&link);
    still_answers(s);
}

static void a_thousand_callers_keep_nobody_out(void **state)
{
    struct stage *s = *state;
    int channels[1000];
    for (size_t i = 0; i < length_of(channels); i++) {
        struct command_link link = call(s);
        channels[i] = link.channel;
    }
    still_answers(s);
    for (size_t i = 0; i < length_of(channels); i++)
        file_close(&channels[i]);
    still_answers(s);
}

static void a_caller_who_does_not_read_is_dropped(void **state)
{
    struct stage *s = *state;
    struct command_link link = call(s);
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct peers_message got;
    static char octets[4000];
    struct text fields[64];
    ask_only(&link, TEXT("domain-list"), NULL, 0);
    assert_true(hear(s->vault, PEERS_CONTROL, PEERS_VAULT, PEERS_command_ask, &arena, &got));
    for (size_t i = 0; i < length_of(fields); i++)
        fields[i] = i % 2 ? text_of(octets, sizeof octets) : TEXT("octets");
    struct peers_command_row row = {.tag = got.command_ask.tag, .fields = {.items = fields, .count = length_of(fields)}};
    for (int i = 0; i < 100; i++) /* 12 MiB: the role is never kept waiting */
        assert_true(say(s->vault, PEERS_command_row, &row, NULL));
    still_answers(s);
    assert_false(hear(link.channel, PEERS_CONTROL, PEERS_COMMAND, PEERS_command_end, &arena, &got));
    command_disconnect(&link);
}

static void one_caller_has_few_commands_open_at_once(void **state)
{
    struct stage *s = *state;
    struct command_link link = call(s);
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct peers_message got;
    for (int i = 0; i < 5; i++)
        ask_only(&link, TEXT("domain-list"), NULL, 0);
    assert_true(hear(link.channel, PEERS_CONTROL, PEERS_COMMAND, PEERS_command_end, &arena, &got));
    assert_true(got.command_end.tag == link.tag);
    assert_int_equal(got.command_end.status, COMMAND_EXIT_FAILED);
    command_disconnect(&link);
}

int main(int argument_count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_running_settings_come_back_whole, begin, end),
        cmocka_unit_test_setup_teardown(a_command_reaches_its_role_with_the_right_found_out_here, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_command_of_the_server_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(status_joins_all_roles_and_names_the_silent, begin, end),
        cmocka_unit_test_setup_teardown(who_waits_for_a_role_that_dies_is_told, begin, end),
        cmocka_unit_test_setup_teardown(garbage_ends_the_caller_and_not_the_server, begin, end),
        cmocka_unit_test_setup_teardown(a_thousand_callers_keep_nobody_out, begin, end),
        cmocka_unit_test_setup_teardown(a_caller_who_does_not_read_is_dropped, begin, end),
        cmocka_unit_test_setup_teardown(one_caller_has_few_commands_open_at_once, begin, end),
    };
    if (argument_count != 2)
        return 2;
    program_path = arguments[1];
    signal(SIGPIPE, SIG_IGN);
    ignored(process_raise_file_limit()); /* a thousand callers need it; connect tells when it is too low */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
