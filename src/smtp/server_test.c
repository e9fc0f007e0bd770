/* SPDX-License-Identifier: Apache-2.0 */
/* Limits and costs of the server machine, and random walks beside a model of RFC 5321 section 4.1.4. */
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
    assert_true(text_equals(buffer_text(&output), TEXT("220-One\r\n220-Two\r\n220 mail.local.example ESMTP Welcome\r\n")));
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
    static const struct text commands[] = {TEXT_INIT("NOOP"), TEXT_INIT("RSET"), TEXT_INIT("VRFY x"), TEXT_INIT("EHLO c"), TEXT_INIT("HELP")};
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
        assert_int_equal(text_find_octet(text_after(buffer_text(&stub.messages), text_find(buffer_text(&stub.messages), TEXT("xx"))), '\r'),
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
    static const struct text sizes[] = {TEXT_INIT("2147483648"), TEXT_INIT("4294967296"), TEXT_INIT("9223372036854775808"),
                                        TEXT_INIT("18446744073709551615"), TEXT_INIT("18446744073709551616"),
                                        TEXT_INIT("99999999999999999999999999999999")};
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

/* T45: what the scanner must never do is to begin anew at each odd octet. */
static void hostile_text_costs_linear_time(void **state not_used)
{
    static const struct text units[] = {TEXT_INIT("\n"),     TEXT_INIT("\r"),           TEXT_INIT("\r\n.x"),       TEXT_INIT("\r\n.\n"),
                                        TEXT_INIT("\r\r\n"), TEXT_INIT("."),            TEXT_INIT("\n.\rx"),       TEXT_INIT("Received: x\r\n"),
                                        TEXT_INIT("\r\n"),   TEXT_INIT("From: a@b\r\n"), TEXT_INIT("From: (((\r\n"), TEXT_INIT(" \r\n")};
    for (size_t i = 0; i < length_of(units); i++) {
        for (int is_lenient = 0; is_lenient < 2; is_lenient++) {
            struct buffer block released_by(buffer_done) = buffer_new(70000);
            while (block.length < 65536)
                buffer_append(&block, units[i]);
            struct message_text t;
            message_text_init(&t, 0, true, false, is_lenient);
            for (size_t n = 0; n < 16; n++) {
                struct text input = buffer_text(&block);
                struct text span;
                while (message_text_take(&t, &input, &span) == MESSAGE_TEXT_SPAN)
                    ;
                assert_true(text_is_empty(input));
            }
            assert_true(t.read == 16 * block.length);
            message_text_find_facts(&t);
            assert_true(t.header.length <= SMTP_HEADER_LIMIT);
            message_text_done(&t);
        }
    }
}

static void a_header_over_its_limit_is_cut_and_says_so(void **state not_used)
{
    struct message_text t;
    message_text_init(&t, 0, true, false, false);
    struct buffer header released_by(buffer_done) = buffer_new(1 << 20);
    for (size_t i = 0; i < 10000; i++)
        buffer_append(&header, TEXT("X-Field: value\r\n"));
    buffer_append(&header, TEXT("From: a@b\r\n\r\nbody\r\n"));
    struct text input = buffer_text(&header);
    struct text span;
    while (message_text_take(&t, &input, &span) == MESSAGE_TEXT_SPAN)
        ;
    message_text_find_facts(&t);
    assert_true(t.message.is_header_cut);
    assert_false(t.message.has_from);
    assert_int_equal(t.message.header.length, SMTP_HEADER_LIMIT);
    message_text_done(&t);
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
    assert_true(text_ends_with(replies(&stub), TEXT("421 4.4.2 mail.local.example Time-out, closing connection [time-out]\r\n")));
    stub_done(&stub);
    stub_init(&stub, &options);
    smtp_server_stop(&stub.machine, &stub.output);
    stub_feed(&stub, TEXT("NOOP\r\n"));
    assert_int_equal(stub_last_code(&stub), 421);
    stub_done(&stub);
}

/* --- the text reader beside itself ------------------------------------------------------------------------------------------------ */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

struct reading {
    struct message_text text;
    struct buffer taken;
    struct text rest;
    bool is_ended;
};

static void read_text(struct reading *r, struct text input, size_t piece, bool has_dots, bool is_lenient)
{
    *r = (struct reading){.taken = buffer_new(1 << 20)};
    message_text_init(&r->text, 0, has_dots, false, is_lenient);
    while (input.length && !r->is_ended) {
        struct text part = text_take(&input, piece);
        size_t before = part.length;
        struct text span;
        enum message_text_result result;
        while ((result = message_text_take(&r->text, &part, &span)) == MESSAGE_TEXT_SPAN)
            buffer_append(&r->taken, span);
        assert_true(result == MESSAGE_TEXT_END || part.length == 0);
        r->is_ended = result == MESSAGE_TEXT_END;
        assert_true(part.length <= before);
        input = text_of(part.length ? part.bytes : input.bytes, part.length + input.length);
    }
    r->rest = input;
}

/* Single octets go through the states, whole texts through the slices: both must come to the same. */
static void text_is_read_alike_whole_and_in_octets(void **state not_used)
{
    static const struct text pieces[] = {TEXT_INIT("\r\n"), TEXT_INIT("\r\n."), TEXT_INIT("\r\n.."), TEXT_INIT("words and words and words"), TEXT_INIT("."),
                                         TEXT_INIT("\r"), TEXT_INIT("\n"), TEXT_INIT("\r\n.\r\n")};
    uint64_t seed = 3030;
    for (size_t i = 0; i < 4000; i++) {
        struct buffer input released_by(buffer_done) = buffer_new(1 << 20);
        size_t wanted = next_random(&seed) % 1500;
        /* most texts have few odd pieces, or none */
        size_t odd = next_random(&seed) % 3 ? 4 + next_random(&seed) % 2 : length_of(pieces);
        while (input.length < wanted)
            buffer_append(&input, pieces[next_random(&seed) % 4 ? 3 : next_random(&seed) % odd]);
        bool has_dots = next_random(&seed) % 2;
        bool is_lenient = next_random(&seed) % 2;
        struct reading whole;
        struct reading octets;
        read_text(&whole, buffer_text(&input), SIZE_MAX, has_dots, is_lenient);
        read_text(&octets, buffer_text(&input), 1, has_dots, is_lenient);
        assert_int_equal(whole.is_ended, octets.is_ended);
        assert_int_equal(whole.rest.length, octets.rest.length);
        assert_int_equal(whole.text.state, octets.text.state);
        assert_int_equal(whole.text.has_bare, octets.text.has_bare);
        assert_int_equal(whole.text.message.size, octets.text.message.size);
        assert_true(text_equals(buffer_text(&whole.taken), buffer_text(&octets.taken)));
        assert_true(text_equals(buffer_text(&whole.text.header), buffer_text(&octets.text.header)));
        message_text_done(&whole.text);
        message_text_done(&octets.text);
        buffer_done(&whole.taken);
        buffer_done(&octets.taken);
    }
}

/* --- T20: random walks beside a model ------------------------------------------------------------------------------------------ */

struct model {
    bool has_hello, has_mail, has_recipient, is_chunked, is_logged_in, is_encrypted, is_ended;
};

enum walk { WALK_EHLO, WALK_MAIL, WALK_RCPT, WALK_DATA, WALK_BDAT, WALK_BDAT_LAST, WALK_RSET, WALK_AUTH, WALK_STARTTLS, WALK_VRFY, WALK_QUIT, WALK_STEPS };

static const struct text walk_lines[] = {
    [WALK_EHLO] = TEXT_INIT("EHLO c\r\n"),
    [WALK_MAIL] = TEXT_INIT("MAIL FROM:<a@b.example>\r\n"),
    [WALK_RCPT] = TEXT_INIT("RCPT TO:<user@local.example>\r\n"),
    [WALK_DATA] = TEXT_INIT("DATA\r\n"),
    [WALK_BDAT] = TEXT_INIT("BDAT 6\r\nQUIT\r\n"),
    [WALK_BDAT_LAST] = TEXT_INIT("BDAT 3 LAST\r\na\r\n"),
    [WALK_RSET] = TEXT_INIT("RSET\r\n"),
    [WALK_AUTH] = TEXT_INIT("AUTH PLAIN AHRpbQB0YW5zdGFhZg==\r\n"),
    [WALK_STARTTLS] = TEXT_INIT("STARTTLS\r\n"),
    [WALK_VRFY] = TEXT_INIT("VRFY user\r\n"),
    [WALK_QUIT] = TEXT_INIT("QUIT\r\n"),
};

static void end_transaction(struct model *m)
{
    m->has_mail = m->has_recipient = m->is_chunked = false;
}

static unsigned model_text(struct model *m, enum walk step)
{
    bool is_data = step == WALK_DATA;
    if (!m->has_hello || !m->has_recipient || (is_data && m->is_chunked))
        return 503;
    m->is_chunked = !is_data;
    if (step == WALK_BDAT_LAST)
        end_transaction(m);
    return is_data ? 354 : 250;
}

static unsigned model_mail(struct model *m, enum walk step)
{
    if (!m->has_hello || (step == WALK_MAIL && m->has_mail) || (step == WALK_RCPT && (!m->has_mail || m->is_chunked)))
        return 503;
    m->has_mail = true;
    m->has_recipient = m->has_recipient || step == WALK_RCPT;
    return 250;
}

static unsigned model_login(struct model *m)
{
    if (!m->has_hello || m->is_logged_in || m->has_mail)
        return 503;
    m->is_logged_in = true;
    return 235;
}

static unsigned model_tls(struct model *m)
{
    if (m->is_encrypted || m->has_mail)
        return 503;
    *m = (struct model){.is_encrypted = true};
    return 220;
}

static unsigned model_step(struct model *m, enum walk step)
{
    switch (step) {
    case WALK_EHLO:
        end_transaction(m);
        m->has_hello = true;
        return 250;
    case WALK_MAIL:
    case WALK_RCPT:
        return model_mail(m, step);
    case WALK_DATA:
    case WALK_BDAT:
    case WALK_BDAT_LAST:
        return model_text(m, step);
    case WALK_RSET:
        end_transaction(m);
        return 250;
    case WALK_AUTH:
        return model_login(m);
    case WALK_STARTTLS:
        return model_tls(m);
    case WALK_VRFY:
        return m->has_hello ? 252 : 503;
    case WALK_QUIT:
        m->is_ended = true;
        return 221;
    case WALK_STEPS:
        break;
    }
    return 0;
}

static void walk(uint64_t *seed, const struct smtp_server_options *options)
{
    struct stub stub;
    struct model model = {0};
    stub_init(&stub, options);
    size_t messages = 0;
    uint64_t start = *seed;
    if (next_random(seed) % 4) { /* most walks get past the greeting */
        stub_feed(&stub, walk_lines[WALK_EHLO]);
        model_step(&model, WALK_EHLO);
    }
    for (size_t i = 0; i < 6 && !model.is_ended; i++) {
        enum walk step = (enum walk)(next_random(seed) % WALK_STEPS);
        stub_forget_replies(&stub);
        unsigned expected = model_step(&model, step);
        stub_feed(&stub, walk_lines[step]);
        if (stub_last_code(&stub) != expected)
            fail_msg("seed %llu: %.*s: %u, not %u", (unsigned long long)start, TEXT_ARGUMENTS(walk_lines[step]), stub_last_code(&stub), expected);
        if (expected == 354) {
            stub_feed(&stub, TEXT("MAIL FROM:<x@y>\r\n.\r\n"));
            assert_int_equal(stub_last_code(&stub), 250);
            end_transaction(&model);
        }
        messages += expected == 354 || (step == WALK_BDAT_LAST && expected == 250);
        assert_int_equal(stub.message_count, messages);
        assert_int_equal(smtp_server_is_in_transaction(&stub.machine), model.has_mail && !model.is_ended);
    }
    assert_int_equal(stub.is_closed, model.is_ended);
    stub_done(&stub);
}

static void random_walks_agree_with_the_model(void **state not_used)
{
    const char *given = getenv("PORTIERE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 5321;
    struct smtp_server_options options = stub_options();
    options.max_bad_commands = 0;
    for (size_t i = 0; i < 100000; i++)
        walk(&seed, &options);
}

/* T14: any octet at any place of any line. */
static void any_octet_anywhere_leaves_the_session_alive_or_closed_by_421(void **state not_used)
{
    static const struct text lines[] = {TEXT_INIT("MAIL FROM:<a@b.example> SIZE=1\r\n"), TEXT_INIT("RCPT TO:<user@local.example> NOTIFY=NEVER\r\n"),
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
        cmocka_unit_test(hostile_text_costs_linear_time),
        cmocka_unit_test(a_header_over_its_limit_is_cut_and_says_so),
        cmocka_unit_test(pipelined_replies_never_overflow),
        cmocka_unit_test(a_time_out_drops_what_is_open_and_closes),
        cmocka_unit_test(any_octet_anywhere_leaves_the_session_alive_or_closed_by_421),
        cmocka_unit_test(text_is_read_alike_whole_and_in_octets),
        cmocka_unit_test(random_walks_agree_with_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
