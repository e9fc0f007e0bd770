/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/message_text.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

/* T45: what the scanner must never do is to begin anew at each odd octet. */
static void hostile_text_costs_linear_time(void **state not_used)
{
    static const struct text units[] = {TEXT_INIT("\n"),
                                        TEXT_INIT("\r"),
                                        TEXT_INIT("\r\n.x"),
                                        TEXT_INIT("\r\n.\n"),
                                        TEXT_INIT("\r\r\n"),
                                        TEXT_INIT("."),
                                        TEXT_INIT("\n.\rx"),
                                        TEXT_INIT("Received: x\r\n"),
                                        TEXT_INIT("\r\n"),
                                        TEXT_INIT("From: a@b\r\n"),
                                        TEXT_INIT("From: (((\r\n"),
                                        TEXT_INIT(" \r\n")};
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

/* --- the text reader beside itself
 * ------------------------------------------------------------------------------------------------ */

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
    static const struct text pieces[] = {
        TEXT_INIT("\r\n"), TEXT_INIT("\r\n."), TEXT_INIT("\r\n.."), TEXT_INIT("words and words and words"),
        TEXT_INIT("."),    TEXT_INIT("\r"),    TEXT_INIT("\n"),     TEXT_INIT("\r\n.\r\n")};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_text_costs_linear_time),
        cmocka_unit_test(a_header_over_its_limit_is_cut_and_says_so),
        cmocka_unit_test(text_is_read_alike_whole_and_in_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
