/* SPDX-License-Identifier: Apache-2.0 */
#include "command/change.h"
#include "command/output.h"
#include "system/system.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

static void written(int file, struct buffer *b)
{
    size_t got = 0;
    char *room = buffer_room(b, 65536);
    assert_non_null(room);
    assert_int_equal(file_read_at(file, room, 65536, 0, &got), 0);
    buffer_grew(b, got);
}

static void check(enum command_output_form form, bool lists, const struct text *fields, size_t count, size_t rows, struct text expected)
{
    int file released_by(file_close) = memfd_create("output", MFD_CLOEXEC);
    struct command_output *o = command_output_new(file, form, lists, false);
    struct buffer got released_by(buffer_done) = buffer_new(1 << 17);
    for (size_t i = 0; i < rows; i++)
        assert_true(command_output_row(o, fields + i * count, count));
    assert_true(command_output_end(o));
    command_output_free(&o);
    written(file, &got);
    if (!text_equals(buffer_text(&got), expected))
        fail_msg("%.*s", TEXT_ARGUMENTS(buffer_text(&got)));
}

static void rows_of_one_kind_make_a_table(void **state not_used)
{
    struct text rows[] = {TEXT("id"), TEXT("1"), TEXT("sender"), TEXT("anna@casa.test"), TEXT("id"), TEXT("1234"), TEXT("sender"), TEXT("b@x")};
    check(COMMAND_OUTPUT_TEXT, true, rows, 4, 2, TEXT("id    sender\n1     anna@casa.test\n1234  b@x\n"));
    check(COMMAND_OUTPUT_JSON, true, rows, 4, 2, TEXT("[\n {\"id\":\"1\",\"sender\":\"anna@casa.test\"},\n {\"id\":\"1234\",\"sender\":\"b@x\"}\n]\n"));
    check(COMMAND_OUTPUT_JSON, true, rows, 4, 0, TEXT("[]\n"));
    check(COMMAND_OUTPUT_TEXT, true, rows, 4, 0, TEXT(""));
}

static void one_row_is_shown_as_names_and_values(void **state not_used)
{
    struct text row[] = {TEXT("role"), TEXT("front"), TEXT("threads"), TEXT("4")};
    check(COMMAND_OUTPUT_TEXT, false, row, 4, 1, TEXT("role:    front\nthreads: 4\n"));
    check(COMMAND_OUTPUT_JSON, false, row, 4, 1, TEXT("{\"role\":\"front\",\"threads\":\"4\"}\n"));
    check(COMMAND_OUTPUT_TEXT, false, row + 2, 2, 1, TEXT("4\n"));
}

static void moments_are_shown_as_dates(void **state not_used)
{
    struct text row[] = {TEXT("id"), TEXT("1795614890052"), TEXT("created"), TEXT("1795614890052")};
    check(COMMAND_OUTPUT_TEXT, true, row, 4, 1, TEXT("id             created\n1795614890052  2026-11-25 13:54:50\n"));
    check(COMMAND_OUTPUT_TEXT, false, row, 4, 1, TEXT("id:      1795614890052\ncreated: 2026-11-25 13:54:50\n"));
    check(COMMAND_OUTPUT_JSON, false, row, 4, 1, TEXT("{\"id\":\"1795614890052\",\"created\":\"1795614890052\"}\n"));
}

static void a_name_that_comes_twice_is_a_list(void **state not_used)
{
    struct text row[] = {TEXT("rule"), TEXT("a"), TEXT("rule"), TEXT("b"), TEXT("rule"), TEXT("c")};
    check(COMMAND_OUTPUT_JSON, false, row, 6, 1, TEXT("{\"rule\":[\"a\",\"b\",\"c\"]}\n"));
}

static void no_terminal_obeys_a_stranger(void **state not_used)
{
    static const struct {
        struct text octets, shown, json;
    } rows[] = {
        {TEXT_INIT("\x1b[2Jx"), TEXT_INIT("\\x1b[2Jx\n"), TEXT_INIT("{\"v\":\"\\u001B[2Jx\"}\n")},
        {TEXT_INIT("a\0b"), TEXT_INIT("a\\x00b\n"), TEXT_INIT("{\"v\":\"a\\u0000b\"}\n")},
        {TEXT_INIT("\xe9t\xe9"), TEXT_INIT("\\xe9t\\xe9\n"), TEXT_INIT("{\"v\":\"\xef\xbf\xbdt\xef\xbf\xbd\"}\n")},
        {TEXT_INIT("\xc3\xa9"), TEXT_INIT("\xc3\xa9\n"), TEXT_INIT("{\"v\":\"\xc3\xa9\"}\n")},
        {TEXT_INIT("\xc2\x9b" "1m"), TEXT_INIT("\\xc2\\x9b1m\n"), TEXT_INIT("{\"v\":\"\xc2\x9b" "1m\"}\n")},
        {TEXT_INIT("a\rb\x7f"), TEXT_INIT("a\\x0db\\x7f\n"), TEXT_INIT("{\"v\":\"a\\rb\x7f\"}\n")},
        {TEXT_INIT("\"\\"), TEXT_INIT("\"\\\n"), TEXT_INIT("{\"v\":\"\\\"\\\\\"}\n")},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct text row[] = {TEXT("v"), rows[i].octets};
        check(COMMAND_OUTPUT_TEXT, false, row, 2, 1, rows[i].shown);
        check(COMMAND_OUTPUT_JSON, false, row, 2, 1, rows[i].json);
    }
    struct text lines[] = {TEXT("a"), TEXT("x\ny"), TEXT("b"), TEXT("z")};
    check(COMMAND_OUTPUT_TEXT, true, lines, 4, 1, TEXT("a       b\nx\\x0ay  z\n")); /* one row is one line */
}

static void raw_octets_go_out_as_they_are(void **state not_used)
{
    struct text rows[] = {TEXT("octets"), TEXT("a\0\r\n"), TEXT("octets"), TEXT("\xff")};
    check(COMMAND_OUTPUT_RAW, false, rows, 4, 1, TEXT("a\0\r\n\xff"));
}

static void a_reader_who_went_away_ends_the_rows(void **state not_used)
{
    int ends[2];
    static char octets[40000];
    struct text row[] = {TEXT("v"), text_of(octets, sizeof octets)};
    assert_int_equal(pipe(ends), 0);
    file_close(&ends[0]);
    struct command_output *o = command_output_new(ends[1], COMMAND_OUTPUT_JSON, true, false);
    assert_false(command_output_row(o, row, 2));
    assert_false(command_output_row(o, row, 2));
    command_output_free(&o);
    file_close(&ends[1]);
}

/* --- changes of the file ----------------------------------------------------------------------------------------------------------------- */

static void a_change_keeps_the_file_and_is_parsed_before_it_counts(void **state not_used)
{
    static const struct {
        struct command_change change;
        enum command_change_result result;
        struct text holds; /* in the new file, or in the reason */
    } rows[] = {
        {{.command = COMMAND_settings_set, .key = TEXT_INIT("thread_cache"), .value = TEXT_INIT("7")}, COMMAND_CHANGED, TEXT_INIT("thread_cache = 7")},
        {{.command = COMMAND_settings_set, .key = TEXT_INIT("c_SYSTEM_adv_protocols_backlog"), .value = TEXT_INIT("4000")}, COMMAND_CHANGED, TEXT_INIT("backlog = 4000")},
        {{.command = COMMAND_settings_set, .key = TEXT_INIT("thread_cache"), .value = TEXT_INIT("9")}, COMMAND_UNCHANGED, TEXT_INIT("")},
        {{.command = COMMAND_settings_unset, .key = TEXT_INIT("thread_cache")}, COMMAND_CHANGED, TEXT_INIT("# kept")},
        {{.command = COMMAND_settings_row_add, .key = TEXT_INIT("security.trusted"), .row = TEXT_INIT("192.0.2.7"), .comment = TEXT_INIT("scanner")}, COMMAND_CHANGED, TEXT_INIT("192.0.2.7")},
        {{.command = COMMAND_settings_row_remove, .key = TEXT_INIT("security.trusted"), .row = TEXT_INIT("::1")}, COMMAND_CHANGED, TEXT_INIT("127.0.0.1")},
        {{.command = COMMAND_settings_set, .key = TEXT_INIT("thred_cache"), .value = TEXT_INIT("7")}, COMMAND_CHANGE_WRONG, TEXT_INIT("did you mean service.thread_cache?")},
        {{.command = COMMAND_settings_set, .key = TEXT_INIT("thread_cache"), .value = TEXT_INIT("many")}, COMMAND_CHANGE_WRONG, TEXT_INIT("thread_cache")},
        {{.command = COMMAND_settings_set, .key = TEXT_INIT("thread_cache"), .value = TEXT_INIT("5000")}, COMMAND_CHANGE_WRONG, TEXT_INIT("4096")},
        {{.command = COMMAND_settings_row_add, .key = TEXT_INIT("security.trusted"), .row = TEXT_INIT("all of them")}, COMMAND_CHANGE_WRONG, TEXT_INIT("portiere.conf:")},
        {{.command = COMMAND_settings_row_add, .key = TEXT_INIT("thread_cache"), .row = TEXT_INIT("1")}, COMMAND_CHANGE_WRONG, TEXT_INIT("service.thread_cache")},
    };
    struct text file = TEXT("# kept\n[service]\nthread_cache = 9 # my own\n");
    struct settings_machine machine = {.fqdn = TEXT("mail.casa.test"), .first_domain = TEXT("casa.test")};
    for (size_t i = 0; i < length_of(rows); i++) {
        struct arena arena released_by(arena_done) = arena_new(16 << 20);
        struct buffer out released_by(buffer_done) = buffer_new(1 << 20), why released_by(buffer_done) = buffer_new(1 << 16);
        struct settings_problems problems = {.arena = &arena};
        const struct settings *current = NULL, *after = NULL;
        assert_true(settings_parse(&arena, file, &machine, &problems, &current));
        assert_int_equal(command_change(&rows[i].change, file, current, &machine, &arena, &out, &after, &why), rows[i].result);
        struct text where = rows[i].result == COMMAND_CHANGE_WRONG ? buffer_text(&why) : buffer_text(&out);
        if (rows[i].holds.length && text_find(where, rows[i].holds) == where.length)
            fail_msg("%zu: %.*s", i, TEXT_ARGUMENTS(where));
        if (rows[i].result == COMMAND_CHANGED)
            assert_true(after && text_find(where, TEXT("# kept")) < where.length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_one_kind_make_a_table),
        cmocka_unit_test(one_row_is_shown_as_names_and_values),
        cmocka_unit_test(moments_are_shown_as_dates),
        cmocka_unit_test(a_name_that_comes_twice_is_a_list),
        cmocka_unit_test(no_terminal_obeys_a_stranger),
        cmocka_unit_test(raw_octets_go_out_as_they_are),
        cmocka_unit_test(a_reader_who_went_away_ends_the_rows),
        cmocka_unit_test(a_change_keeps_the_file_and_is_parsed_before_it_counts),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
