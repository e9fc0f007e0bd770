/* SPDX-License-Identifier: Apache-2.0 */
/* The table, the parser of the command line and the pages made from the table. */
#include "command/help.h"
#include "command/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { WORDS_LIMIT = 16 };

static enum command_exit parse(struct arena *arena, const char *line, struct command_call *ret_call, struct buffer *why)
{
    static struct text words[WORDS_LIMIT];
    struct text rest = text_of_terminated(line);
    size_t count = 0;
    while (rest.length && count < WORDS_LIMIT)
        words[count++] = text_take_until(&rest, ' ');
    return command_parse(arena, words, count, TEXT("C.UTF-8"), ret_call, why);
}

static void the_table_has_no_holes(void **state not_used)
{
    for (size_t i = COMMAND_NONE + 1; i < COMMANDS; i++) {
        const struct command_row *row = command_row((enum command_id)i);
        struct buffer name released_by(buffer_done) = buffer_new(64);
        bool was_optional = false;
        assert_true(row->words.length && row->help_en.length && row->help_it.length);
        assert_true(row->right > COMMAND_RIGHT_NONE);
        assert_true(command_name_append(&name, row));
        assert_ptr_equal(command_find(buffer_text(&name)), row);
        assert_int_equal(command_id_of(row), i);
        if (row->handler == PEERS_NOBODY)
            assert_int_equal(row->offline, COMMAND_OFFLINE_WORKS_HERE);
        for (size_t j = 0; j < row->argument_count; j++) {
            const struct command_argument *argument = &row->arguments[j];
            assert_true(argument->name.length && argument->help_en.length && argument->help_it.length);
            assert_false(argument->kind == COMMAND_REQUIRED && was_optional);
            was_optional |= argument->kind == COMMAND_OPTIONAL || argument->kind == COMMAND_REST;
        }
    }
}

static void every_message_stands_in_both_languages(void **state not_used)
{
    for (size_t i = 0; i < COMMAND_WORDS; i++)
        for (unsigned language = SETTINGS_ENGLISH; language <= SETTINGS_ITALIAN; language++) {
            struct text en = command_word((enum command_word)i, SETTINGS_ENGLISH), here = command_word((enum command_word)i, (enum settings_language)language);
            assert_true(here.length > 0);
            /* what is filled in is filled in in both */
            assert_int_equal(text_find(en, TEXT("{0}")) < en.length, text_find(here, TEXT("{0}")) < here.length);
            assert_int_equal(text_find(en, TEXT("{1}")) < en.length, text_find(here, TEXT("{1}")) < here.length);
        }
}

static void a_command_line_becomes_pairs(void **state not_used)
{
    static const struct {
        const char *line;
        enum command_id command;
        const char *pairs;
    } rows[] = {
        {"status", COMMAND_status, ""},
        {"status --json", COMMAND_status, ""},
        {"--directory /x status", COMMAND_status, ""},
        {"domain add casa.test", COMMAND_domain_add, "domain=casa.test;"},
        {"account add anna@casa.test --quota 2G", COMMAND_account_add, "address=anna@casa.test;quota=2147483648;"},
        {"account add --quota=none anna@casa.test", COMMAND_account_add, "quota=0;address=anna@casa.test;"},
        {"settings set thread_cache 5", COMMAND_settings_set, "key=thread_cache;value=5;"},
        {"set service.resolver 127.0.0.1 127.0.0.2", COMMAND_settings_set, "key=service.resolver;value=127.0.0.1;value=127.0.0.2;"},
        {"unset thread_cache", COMMAND_settings_unset, "key=thread_cache;"},
        {"set x -- --y", COMMAND_settings_set, "key=x;value=--y;"},
        {"queue list --older 2d --held", COMMAND_queue_list, "older=172800000;held=yes;"},
        {"queue retry --all", COMMAND_queue_retry, "all=yes;"},
        {"explain --client 127.0.0.2 --tls --from <> --to a@b.test", COMMAND_explain, "client=127.0.0.2;tls=yes;from=<>;to=a@b.test;"},
        {"explain relay-not-permitted", COMMAND_explain, "code=relay-not-permitted;"},
        {"queue list --younger 500ms", COMMAND_queue_list, "younger=500;"},
        {"queue --help", COMMAND_help, "command=queue;"},
        {"queue", COMMAND_help, "command=queue;"},
        {"help queue list", COMMAND_help, "command=queue;command=list;"},
        {"--version", COMMAND_version, ""},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct arena arena released_by(arena_done) = arena_new(1 << 16);
        struct buffer why released_by(buffer_done) = buffer_new(4096), pairs released_by(buffer_done) = buffer_new(4096);
        struct command_call call;
        assert_int_equal(parse(&arena, rows[i].line, &call, &why), COMMAND_EXIT_DONE);
        assert_ptr_equal(call.row, command_row(rows[i].command));
        for (size_t j = 0; j + 1 < call.count; j += 2)
            assert_true(buffer_append_format(&pairs, "%.*s=%.*s;", TEXT_ARGUMENTS(call.pairs[j]), TEXT_ARGUMENTS(call.pairs[j + 1])));
        assert_true(text_equals(buffer_text(&pairs), text_of_terminated(rows[i].pairs)));
    }
}

static void a_wrong_command_line_is_told_what_is_wrong(void **state not_used)
{
    static const struct {
        const char *line, *reason;
    } rows[] = {
        {"", "which command"},
        {"--json", "which command"},
        {"statsu", "did you mean \"status\""},
        {"quue list", "did you mean \"queue"},
        {"queue lst", "did you mean \"queue list\""},
        {"florble", "unknown command \"florble\""},
        {"domain add", "domain is missing"},
        {"domain add a b", "\"b\" is one argument too many"},
        {"domain add a --force", "unknown option \"--force\""},
        {"queue retry", "which messages"},
        {"queue list --older", "--older needs a value"},
        {"queue list --older soon", "\"soon\" is no duration"},
        {"queue list --older 2d --older 3d", "given twice"},
        {"queue list --held=yes", "takes no value"},
        {"account add a@b --quota big", "\"big\" is no size"},
        {"account add a@b --quota 99999999999G", "is no size"},
        {"events --count many", "is no number"},
        {"status --language de", "en or it"},
        {"settings set key", "value is missing"},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct arena arena released_by(arena_done) = arena_new(1 << 16);
        struct buffer why released_by(buffer_done) = buffer_new(4096);
        struct command_call call;
        assert_int_equal(parse(&arena, rows[i].line, &call, &why), COMMAND_EXIT_USAGE);
        if (text_find(buffer_text(&why), text_of_terminated(rows[i].reason)) == why.length)
            fail_msg("%s: %.*s", rows[i].line, TEXT_ARGUMENTS(buffer_text(&why)));
    }
}

static void help_is_given_for_every_command_in_both_languages(void **state not_used)
{
    struct buffer all released_by(buffer_done) = buffer_new(1 << 20);
    command_help_all(&all, SETTINGS_ITALIAN);
    assert_false(all.is_full);
    for (size_t i = COMMAND_NONE + 1; i < COMMANDS; i++) {
        const struct command_row *row = command_row((enum command_id)i);
        struct buffer page released_by(buffer_done) = buffer_new(1 << 16);
        assert_int_equal(text_find(buffer_text(&all), row->words) < all.length, !row->is_hidden);
        for (unsigned language = SETTINGS_ENGLISH; language <= SETTINGS_ITALIAN; language++) {
            buffer_clear(&page);
            command_help_one(&page, row, (enum settings_language)language);
            assert_false(page.is_full);
            assert_true(text_find(buffer_text(&page), command_help_of(row, (enum settings_language)language)) < page.length);
            for (size_t j = 0; j < row->argument_count; j++)
                assert_true(page.length > text_find(buffer_text(&page), row->arguments[j].kind == COMMAND_OPTION ? row->arguments[j].name : TEXT(":")));
        }
    }
    assert_true(command_help_group(&all, TEXT("queue"), SETTINGS_ENGLISH));
    assert_false(command_help_group(&all, TEXT("nothing"), SETTINGS_ENGLISH));
}

static void no_secret_can_be_given_on_the_command_line(void **state not_used)
{
    struct arena arena released_by(arena_done) = arena_new(1 << 16);
    struct buffer why released_by(buffer_done) = buffer_new(4096);
    struct command_call call;
    assert_int_equal(parse(&arena, "account password a@b.test --password x", &call, &why), COMMAND_EXIT_USAGE);
    assert_int_equal(parse(&arena, "account password a@b.test --password-stdin", &call, &why), COMMAND_EXIT_DONE);
    assert_true(call.has_secret);
    assert_false(command_has_argument(&call, TEXT("password")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_has_no_holes),
        cmocka_unit_test(every_message_stands_in_both_languages),
        cmocka_unit_test(a_command_line_becomes_pairs),
        cmocka_unit_test(a_wrong_command_line_is_told_what_is_wrong),
        cmocka_unit_test(help_is_given_for_every_command_in_both_languages),
        cmocka_unit_test(no_secret_can_be_given_on_the_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
