/* SPDX-License-Identifier: Apache-2.0 */
/* Limits and costs of the server machine. */
#include "smtp/server_parts.h"
#include "smtp/server_stub.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void feed_line(struct stub *stub, struct text line)
{
    stub_feed(stub, line);
    stub_feed(stub, TEXT("\r\n"));
}

static void feed_repeated(struct stub *stub, char octet, size_t count)
{
    char block[4096];
    memset(block, octet, sizeof block);
    for (; count; count -= smaller(count, sizeof block))
        stub_feed(stub, text_of(block, smaller(count, sizeof block)));
}

static struct text replies(const struct stub *stub)
{
    return buffer_text(&stub->replies);
}

static void an_idle_session_is_small(void **state not_used)
{
    assert_true(sizeof(struct smtp_server) <= 200);
    struct smtp_server_options options = stub_options();
    struct stub stub;
    stub_init(&stub, &options);
    feed_line(&stub, TEXT("EHLO client.example"));
    feed_line(&stub, TEXT("MAIL FROM:<a@b.example>"));
    assert_true(smtp_server_is_in_transaction(&stub.machine));
    feed_line(&stub, TEXT("RSET"));
    assert_false(smtp_server_is_in_transaction(&stub.machine));
    assert_null(stub.machine.arena.chunks);
    assert_true(stub.machine.names.capacity <= 64);
    assert_true(text_equals(smtp_server_helo(&stub.machine), TEXT("client.example")));
    assert_int_equal(stub.machine.resets, 1);
    stub_done(&stub);
}

static void the_greeting_is_one_line_unless_a_banner_is_set(void **state not_used)
{
    struct smtp_server_options options = stub_options();
    struct smtp_server machine;
    struct buffer output released_by(buffer_done) = buffer_new(SMTP_OUTPUT_MINIMUM);
    smtp_server_init(&machine, &options, false);
    smtp_server_greet(&machine, &output);
    assert_true(text_equals(buffer_text(&output), TEXT("220 mail.local.example ESMTP\r\n")));
    const struct text banner[] = {TEXT("One"), TEXT("Two")};
    options.banner = banner;
    options.banner_count = 2;
    options.title = TEXT("Welcome");
    buffer_clear(&output);
    smtp_server_greet(&machine, &output);
    assert_true(
        text_equals(buffer_text(&output), TEXT("220-One\r\n220-Two\r\n220 mail.local.example ESMTP Welcome\r\n")));
    smtp_server_done(&machine);
}

static void every_verb_has_its_row_and_word(void **state not_used)
{
    for (enum smtp_verb verb = SMTP_HELO; verb < SMTP_VERB_OTHER; verb++) {
        struct text word = smtp_verb_word(verb);
        assert_true(word.length >= 4);
        assert_int_equal(command_find(word)->verb, verb);
    }
    size_t count;
    const struct command_row *rows = command_rows(&count);
    for (size_t i = 0; i < count; i++)
        assert_non_null(rows[i].handle);
    assert_true(text_equals(smtp_verb_word(SMTP_VERB_OTHER), TEXT("?")));
    assert_true(text_equals(smtp_verb_word(SMTP_VERB_NONE), TEXT("-")));
}

/* T12 */
static void a_long_line_is_answered_once_and_its_tail_is_no_command(void **state not_used)
{
    static const size_t lengths[] = {SMTP_COMMAND_LIMIT, 4096, 8192, 65536, 200000};
    struct smtp_server_options options = stub_options();
    for (size_t i = 0; i < length_of(lengths); i++) {
        struct stub stub;
        stub_init(&stub, &options);
        stub_feed(&stub, TEXT("EHLO "));
        feed_repeated(&stub, 'a', lengths[i]);
        stub_feed(&stub, TEXT("\rQUIT\r\n"));
        assert_true(text_equals(replies(&stub), TEXT("500 5.5.2 Line too long [line-too-long]\r\n")));
        feed_line(&stub, TEXT("NOOP"));
        assert_int_equal(stub_last_code(&stub), 250);
        assert_true(stub.input.capacity <= 2 * 65536); /* memory is flat */
        stub_done(&stub);
    }
}

static void a_line_without_an_end_closes(void **state not_used)
{
    struct smtp_server_options options = stub_options();
    struct stub stub;
    stub_init(&stub, &options);
    feed_repeated(&stub, 'a', 300000);
    assert_true(stub.is_closed);
    assert_int_equal(stub_last_code(&stub), 421);
    stub_done(&stub);
}

static void a_long_response_of_a_login_is_refused_and_the_exchange_dropped(void **state not_used)
{
    struct smtp_server_options options = stub_options();
    struct stub stub;
    stub_init(&stub, &options);
    stub_feed(&stub, TEXT("EHLO c\r\nAUTH LOGIN\r\n"));
    feed_repeated(&stub, 'A', 13000);
    feed_line(&stub, TEXT(""));
    assert_int_equal(stub_last_code(&stub), 500);
    assert_true(text_ends_with(buffer_text(&stub.effects), TEXT("login-drop\n")));
    feed_line(&stub, TEXT("NOOP"));
    assert_int_equal(stub_last_code(&stub), 250);
    stub_forget_replies(&stub);
    stub_feed(&stub, TEXT("AUTH PLAIN "));
    feed_repeated(&stub, 'A', 12000);
    feed_line(&stub, TEXT(""));
    assert_int_equal(stub_last_code(&stub), 535); /* that long it may be */
    stub_done(&stub);
}

/* T16 */
static void a_hundred_thousand_recipients_are_answered_and_a_thousand_taken(void **state not_used)
{
    struct smtp_server_options options = stub_options();
    options.max_bad_commands = 0;
    struct stub stub;
    stub_init(&stub, &options);
    stub_feed(&stub, TEXT("EHLO c\r\nMAIL FROM:<a@b.example>\r\n"));
    stub_forget_replies(&stub);
    struct buffer lines released_by(buffer_done) = buffer_new(1 << 20);
    for (size_t i = 0; i < 1000; i++)
        buffer_append_format(&lines, "RCPT TO:<u%zu@local.example>\r\n", i);
    stub_feed(&stub, buffer_text(&lines));
    assert_int_equal(stub_last_code(&stub), 250);
    assert_true(stub.largest_ask > 10 && stub.largest_ask <= SMTP_RECIPIENTS_AT_ONCE);
    for (size_t i = 0; i < 99; i++) {
        stub_feed(&stub, buffer_text(&lines));
        assert_true(text_ends_with(replies(&stub), TEXT("[too-many-recipients]\r\n")));
        stub_forget_replies(&stub);
    }
    assert_true(stub.machine.arena.used < 1 << 20);
    stub_feed(&stub, TEXT("DATA\r\nx\r\n.\r\n"));
    assert_true(text_find(buffer_text(&stub.effects), TEXT("recipients=1000 size=3")) < stub.effects.length);
    stub_done(&stub);
}

static void refused_recipients_do_not_fill_the_memory(void **state not_used)
{
    struct smtp_server_options options = stub_options();
    options.max_transaction = 64 * 1024;
    struct stub stub;
    stub_init(&stub, &options);
    stub_feed(&stub, TEXT("EHLO c\r\nMAIL FROM:<a@b.example>\r\n"));
    for (size_t i = 0; i < 5000; i++)
        feed_line(&stub, TEXT("RCPT TO:<somebody.with.a.long.name@far.example>"));
    assert_int_equal(stub_last_code(&stub), 452);
    assert_true(stub.machine.arena.used <= 64 * 1024);
    feed_line(&stub, TEXT("RSET"));
    assert_int_equal(stub_last_code(&stub), 250);
    stub_done(&stub);
}

/* T17 */
static void idle_commands_end_at_their_limit(void **state not_used)
{
    static const struct text commands[] = {TEXT_INIT("NOOP"), TEXT_INIT("RSET"), TEXT_INIT("VRFY x"),
                                           TEXT_INIT("EHLO c"), TEXT_INIT("HELP")};
    struct smtp_server_options options = stub_options();
    for (size_t i = 0; i < length_of(commands); i++) {
        struct stub stub;
        stub_init(&stub, &options);
        feed_line(&stub, TEXT("HELO c"));
        size_t count = 1;
        for (; count < 10000 && !stub.is_closed; count++)
            feed_line(&stub, commands[i]);
        assert_int_equal(count, 101);
        assert_int_equal(stub_last_code(&stub), 421);
        stub_done(&stub);
    }
}

/* T18 */
static void floods_of_parameters_are_refused(void **state not_used)
{
    struct smtp_server_options options = stub_options();
    struct stub stub;
    stub_init(&stub, &options);
    feed_line(&stub, TEXT("EHLO c"));
    stub_feed(&stub, TEXT("MAIL FROM:<a@b.example>"));
    for (size_t i = 0; i < 300; i++)
        stub_feed(&stub, TEXT(" X=1"));
    feed_line(&stub, TEXT(""));
    assert_int_equal(stub_last_code(&stub), 555);
    stub_feed(&stub, TEXT("MAIL FROM:<a@b.example> ENVID="));
    feed_repeated(&stub, 'a', 1000);
    feed_line(&stub, TEXT(""));
    assert_int_equal(stub_last_code(&stub), 501);
    stub_done(&stub);
}

/* T6 */
static void long_text_lines_pass_unchanged(void **state not_used)
{
    static const size_t lengths[] = {998, 1000, 1001, 9000, 2000000};
    struct smtp_server_options options = stub_options();
    for (size_t i = 0; i < length_of(lengths); i++) {
        struct stub stub;
        stub_init(&stub, &options);
        stub_feed(&stub, TEXT("EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@local.example>\r\nDATA\r\n\r\n"));
        feed_repeated(&stub, 'x', lengths[i]);
        stub_feed(&stub, TEXT("\r\n.\r\n"));
        assert_int_equal(stub.message_count, 1);
        assert_true(stub.messages.length >= lengths[i] + 4);
        assert_int_equal(
            text_find_octet(text_after(buffer_text(&stub.messages), text_find(buffer_text(&stub.messages), TEXT("xx"))),
                            '\r'),
            lengths[i]);
        stub_done(&stub);
    }
}

/* T8 */
static void a_hang_up_before_the_end_leaves_no_message(void **state not_used)
{
    static const struct text ends[] = {TEXT_INIT("x"), TEXT_INIT("x\r\n."), TEXT_INIT("x\r\n.\r")};
    struct smtp_server_options options = stub_options();
    for (size_t i = 0; i < length_of(ends); i++) {
        struct stub stub;
        stub_init(&stub, &options);
        stub_feed(&stub, TEXT("EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@local.example>\r\nDATA\r\n"));
        stub_feed(&stub, ends[i]);
        assert_int_equal(stub.message_count, 0);
        smtp_server_close(&stub.machine, REPLY_NONE, NULL, &stub.output);
        stub_feed(&stub, TEXT("\n"));
        assert_true(text_ends_with(buffer_text(&stub.effects), TEXT("drop NONE\nclose\n")));
        assert_int_equal(stub.message_count, 0);
        stub_done(&stub);
    }
}

/* T26 */
static void text_over_the_size_is_read_to_a_limit_and_not_kept(void **state not_used)
{
    struct smtp_server_options options = stub_options();
    options.max_message_size = 100000;
    options.max_read_size = 1000000;
    struct stub stub;
    stub_init(&stub, &options);
    stub_feed(&stub, TEXT("EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@local.example>\r\nDATA\r\n"));
    feed_repeated(&stub, 'x', 990000);
    assert_true(stub.body.length <= 100000);
    assert_false(stub.is_closed);
    feed_repeated(&stub, 'x', 20000);
    assert_true(stub.is_closed);
    assert_int_equal(stub_last_code(&stub), 421);
    stub_done(&stub);
}

/* T27 */
static void a_million_small_chunks_cost_linear_time_and_no_memory(void **state not_used)
{
    struct smtp_server_options options = stub_options();
    struct stub stub;
    stub_init(&stub, &options);
    stub_feed(&stub, TEXT("EHLO c\r\nMAIL FROM:<a@b.example> BODY=BINARYMIME\r\nRCPT TO:<user@local.example>\r\n"));
    struct buffer chunks released_by(buffer_done) = buffer_new(1 << 20);
    for (size_t i = 0; i < 100; i++)
        buffer_append(&chunks, TEXT("BDAT 1\r\nx"));
    for (size_t i = 0; i < 10000; i++) {
        stub_feed(&stub, buffer_text(&chunks));
        stub_forget_replies(&stub);
        buffer_clear(&stub.commands);
    }
    assert_int_equal(stub.body.length, 1000000);
    assert_true(stub.machine.arena.used < 65536);
    feed_line(&stub, TEXT("BDAT 0 LAST"));
    assert_int_equal(stub.message_count, 1);
    stub_done(&stub);
}

/* T24 */
static void chunk_sizes_are_safe_to_their_ends(void **state not_used)
{
    static const struct text sizes[] = {
        TEXT_INIT("2147483648"),           TEXT_INIT("4294967296"),
        TEXT_INIT("9223372036854775808"),  TEXT_INIT("18446744073709551615"),
        TEXT_INIT("18446744073709551616"), TEXT_INIT("99999999999999999999999999999999")};
    struct smtp_server_options options = stub_options();
    for (size_t i = 0; i < length_of(sizes); i++) {
        struct stub stub;
        stub_init(&stub, &options);
        stub_feed(&stub, TEXT("EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@local.example>\r\nBDAT "));
        feed_line(&stub, sizes[i]);
        assert_true(stub.is_closed);
        assert_int_equal(stub_last_code(&stub), 421);
        stub_done(&stub);
    }
    options.max_read_size = 0; /* without a limit they are eaten */
    struct stub stub;
    stub_init(&stub, &options);
    stub_feed(&stub, TEXT("EHLO c\r\nBDAT 18446744073709551615\r\nQUIT\r\n"));
    assert_false(stub.is_closed);
    assert_true(stub.machine.chunk_left == UINT64_MAX - 6);
    stub_done(&stub);
}

static void an_answer_after_the_close_is_not_looked_at(void **state not_used)
{
    struct smtp_server_options options = stub_options();
    struct smtp_server machine;
    struct buffer output released_by(buffer_done) = buffer_new(SMTP_OUTPUT_MINIMUM);
    smtp_server_init(&machine, &options, false);
    struct text input = TEXT("EHLO c\r\nAUTH LOGIN\r\n");
    struct smtp_event event;
    assert_int_equal(smtp_server_step(&machine, &input, &output, &event), SMTP_ASK_HELLO);
    smtp_server_answer(&machine, &(struct smtp_answer){.reply = REPLY_NONE}, &output);
    assert_int_equal(smtp_server_step(&machine, &input, &output, &event), SMTP_ASK_LOGIN);
    smtp_server_time_out(&machine, &output);
    size_t length = output.length;
    smtp_server_answer_login(&machine, MAIL_LOGIN_DONE, TEXT("tim@local.example"), &output);
    assert_int_equal(output.length, length);
    assert_true(text_is_empty(smtp_server_login(&machine)));
    assert_int_equal(smtp_server_step(&machine, &input, &output, &event), SMTP_LOGIN_DROP);
    assert_int_equal(smtp_server_step(&machine, &input, &output, &event), SMTP_CLOSE);
    assert_int_equal(smtp_server_step(&machine, &input, &output, &event), SMTP_CLOSE);
    smtp_server_done(&machine);
}

static void a_challenge_that_finds_no_room_ends_the_login(void **state not_used)
{
    struct smtp_server_options options = stub_options();
    struct smtp_server machine;
    struct buffer output released_by(buffer_done) = buffer_new(8192);
    struct buffer challenge released_by(buffer_done) = buffer_new(12288);
    while (challenge.length < 12288)
        buffer_append_octet(&challenge, 'x');
    smtp_server_init(&machine, &options, false);
    struct text input = TEXT("EHLO c\r\nAUTH LOGIN\r\nNOOP\r\n");
    struct smtp_event event;
    assert_int_equal(smtp_server_step(&machine, &input, &output, &event), SMTP_ASK_HELLO);
    smtp_server_answer(&machine, &(struct smtp_answer){.reply = REPLY_NONE}, &output);
    assert_int_equal(smtp_server_step(&machine, &input, &output, &event), SMTP_ASK_LOGIN);
    buffer_clear(&output);
    smtp_server_answer_login(&machine, MAIL_LOGIN_CONTINUE, buffer_text(&challenge), &output);
    assert_true(text_starts_with(buffer_text(&output), TEXT("454 4.7.0")));
    assert_int_equal(smtp_server_step(&machine, &input, &output, &event), SMTP_LOGIN_DROP);
    assert_int_equal(smtp_server_step(&machine, &input, &output, &event), SMTP_DONE);
    assert_int_equal(event.reply, REPLY_OK);
    smtp_server_done(&machine);
}

/* C156: replies of a group leave together; many in one segment never overflow the output. */
static void pipelined_replies_never_overflow(void **state not_used)
{
    struct smtp_server_options options = stub_options();
    options.max_bad_commands = 0;
    options.max_idle_commands = 0;
    struct stub stub;
    stub_init(&stub, &options);
    struct buffer lines released_by(buffer_done) = buffer_new(1 << 20);
    for (size_t i = 0; i < 20000; i++)
        buffer_append(&lines, i % 2 ? TEXT("\r\n") : TEXT("EHLO c\r\n"));
    stub_feed(&stub, buffer_text(&lines));
    assert_int_equal(stub_last_code(&stub), 500);
    stub_done(&stub);
}

static void a_time_out_drops_what_is_open_and_closes(void **state not_used)
{
    struct smtp_server_options options = stub_options();
    struct stub stub;
    stub_init(&stub, &options);
    stub_feed(&stub, TEXT("EHLO c\r\nAUTH LOGIN\r\n"));
    assert_true(smtp_server_is_logging_in(&stub.machine));
    smtp_server_time_out(&stub.machine, &stub.output);
    stub_feed(&stub, TEXT("NOOP\r\n"));
    assert_true(text_ends_with(buffer_text(&stub.effects), TEXT("login-drop\nclose\n")));
    assert_true(text_ends_with(replies(&stub),
                               TEXT("421 4.4.2 mail.local.example Time-out, closing connection [time-out]\r\n")));
    stub_done(&stub);
    stub_init(&stub, &options);
    smtp_server_stop(&stub.machine, &stub.output);
    stub_feed(&stub, TEXT("NOOP\r\n"));
    assert_int_equal(stub_last_code(&stub), 421);
    stub_done(&stub);
}

/* T14: any octet at any place of any line. */
static void any_octet_anywhere_leaves_the_session_alive_or_closed_by_421(void **state not_used)
{
    static const struct text lines[] = {TEXT_INIT("MAIL FROM:<a@b.example> SIZE=1\r\n"),
                                        TEXT_INIT("RCPT TO:<user@local.example> NOTIFY=NEVER\r\n"),
                                        TEXT_INIT("EHLO c\r\n"), TEXT_INIT("AUTH PLAIN AHRpbQB0YW5zdGFhZg==\r\n")};
    struct smtp_server_options options = stub_options();
    for (size_t i = 0; i < length_of(lines); i++) {
        for (size_t place = 0; place + 2 < lines[i].length; place++) {
            for (unsigned octet = 0; octet < 256; octet++) {
                struct stub stub;
                char line[128];
                memcpy(line, lines[i].bytes, lines[i].length);
                line[place] = (char)octet;
                stub_init(&stub, &options);
                stub_feed(&stub, i == 1 ? TEXT("EHLO c\r\nMAIL FROM:<a@b>\r\n") : TEXT("EHLO c\r\n"));
                stub_feed(&stub, text_of(line, lines[i].length));
                if (!stub.is_closed) {
                    stub_feed(&stub, TEXT("*\r\nNOOP\r\n"));
                    assert_int_equal(stub_last_code(&stub), 250);
                } else {
                    assert_int_equal(stub_last_code(&stub), 421);
                }
                stub_done(&stub);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_session_is_small),
        cmocka_unit_test(the_greeting_is_one_line_unless_a_banner_is_set),
        cmocka_unit_test(every_verb_has_its_row_and_word),
        cmocka_unit_test(a_long_line_is_answered_once_and_its_tail_is_no_command),
        cmocka_unit_test(a_line_without_an_end_closes),
        cmocka_unit_test(a_long_response_of_a_login_is_refused_and_the_exchange_dropped),
        cmocka_unit_test(a_hundred_thousand_recipients_are_answered_and_a_thousand_taken),
        cmocka_unit_test(refused_recipients_do_not_fill_the_memory),
        cmocka_unit_test(idle_commands_end_at_their_limit),
        cmocka_unit_test(floods_of_parameters_are_refused),
        cmocka_unit_test(long_text_lines_pass_unchanged),
        cmocka_unit_test(a_hang_up_before_the_end_leaves_no_message),
        cmocka_unit_test(text_over_the_size_is_read_to_a_limit_and_not_kept),
        cmocka_unit_test(a_million_small_chunks_cost_linear_time_and_no_memory),
        cmocka_unit_test(chunk_sizes_are_safe_to_their_ends),
        cmocka_unit_test(pipelined_replies_never_overflow),
        cmocka_unit_test(a_time_out_drops_what_is_open_and_closes),
        cmocka_unit_test(an_answer_after_the_close_is_not_looked_at),
        cmocka_unit_test(a_challenge_that_finds_no_room_ends_the_login),
        cmocka_unit_test(any_octet_anywhere_leaves_the_session_alive_or_closed_by_421),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
