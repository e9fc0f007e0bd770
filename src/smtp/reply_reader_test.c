/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_text.h"
#include "smtp/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

enum { ROWS_LIMIT = 64 };

static const struct {
    struct text wire;
    enum smtp_reply_state state;
    unsigned code;
    struct text enhanced, text, rest;
} rows[] = {
    {.wire = TEXT_INIT("250 ok\r\n"), .state = SMTP_REPLY_WHOLE, .code = 250, .text = TEXT_INIT("ok")},
    {.wire = TEXT_INIT("250\r\n"), .state = SMTP_REPLY_WHOLE, .code = 250},
    {.wire = TEXT_INIT("334 \r\n"), .state = SMTP_REPLY_WHOLE, .code = 334},
    {.wire = TEXT_INIT("250-a\r\n250-b\r\n250 c\r\n"),
     .state = SMTP_REPLY_WHOLE,
     .code = 250,
     .text = TEXT_INIT("a\nb\nc")},
    {.wire = TEXT_INIT("250-First\r\n250-234 Text\r\n250 done\r\n"),
     .state = SMTP_REPLY_WHOLE,
     .code = 250,
     .text = TEXT_INIT("First\n234 Text\ndone")},
    {.wire = TEXT_INIT("250-a\r\n550 b\r\n"), .state = SMTP_REPLY_WHOLE, .code = 550, .text = TEXT_INIT("a\nb")},
    {.wire = TEXT_INIT("550 5.1.1 no\r\n250 next"),
     .state = SMTP_REPLY_WHOLE,
     .code = 550,
     .enhanced = TEXT_INIT("5.1.1"),
     .text = TEXT_INIT("5.1.1 no"),
     .rest = TEXT_INIT("250 next")},
    {.wire = TEXT_INIT("550 5.1.1\r\n"),
     .state = SMTP_REPLY_WHOLE,
     .code = 550,
     .enhanced = TEXT_INIT("5.1.1"),
     .text = TEXT_INIT("5.1.1")},
    {.wire = TEXT_INIT("550 4.2.2 greylisted\r\n"),
     .state = SMTP_REPLY_WHOLE,
     .code = 550,
     .text = TEXT_INIT("4.2.2 greylisted")},
    {.wire = TEXT_INIT("550 5.999.9999 x\r\n"),
     .state = SMTP_REPLY_WHOLE,
     .code = 550,
     .text = TEXT_INIT("5.999.9999 x")},
    {.wire = TEXT_INIT("550 5..1 x\r\n"), .state = SMTP_REPLY_WHOLE, .code = 550, .text = TEXT_INIT("5..1 x")},
    {.wire = TEXT_INIT("250 a\0b\r\n"), .state = SMTP_REPLY_WHOLE, .code = 250, .text = TEXT_INIT("a\0b")},
    {.wire = TEXT_INIT("250 ok\n"), .state = SMTP_REPLY_WHOLE, .code = 250, .text = TEXT_INIT("ok")},
    {.wire = TEXT_INIT("250 ok\r\r\n"), .state = SMTP_REPLY_WHOLE, .code = 250, .text = TEXT_INIT("ok")},
    {.wire = TEXT_INIT(" 250 ok\r\n"), .state = SMTP_REPLY_MALFORMED},
    {.wire = TEXT_INIT("25 ok\r\n"), .state = SMTP_REPLY_MALFORMED},
    {.wire = TEXT_INIT("2500 ok\r\n"), .state = SMTP_REPLY_MALFORMED},
    {.wire = TEXT_INIT("OK\r\n"), .state = SMTP_REPLY_MALFORMED},
    {.wire = TEXT_INIT("600 x\r\n"), .state = SMTP_REPLY_MALFORMED},
    {.wire = TEXT_INIT("199 x\r\n"), .state = SMTP_REPLY_MALFORMED},
    {.wire = TEXT_INIT("250\rx\r\n"), .state = SMTP_REPLY_MALFORMED},
    {.wire = TEXT_INIT("250-a\r\nX\r\n"), .state = SMTP_REPLY_MALFORMED},
    {.wire = TEXT_INIT("250 o"), .state = SMTP_REPLY_MORE},
    {.wire = TEXT_INIT("250-a\r\n"), .state = SMTP_REPLY_MORE},
    {.wire = TEXT_INIT(""), .state = SMTP_REPLY_MORE},
};

/* Feeds in pieces of that size until there is a reply or none; rest is what was not taken. */
static enum smtp_reply_state feed(struct smtp_reply_reader *r, struct text wire, size_t pieces, struct text *ret_rest)
{
    enum smtp_reply_state state = SMTP_REPLY_MORE;
    while (wire.length && state == SMTP_REPLY_MORE) {
        struct text piece = text_first(wire, pieces);
        size_t before = piece.length;
        state = smtp_reply_reader_feed(r, &piece);
        wire = text_after(wire, before - piece.length);
    }
    *ret_rest = wire;
    return state;
}

static void a_reply_is_read_the_same_however_it_is_cut(void **state not_used)
{
    for (size_t i = 0; i < length_of(rows); i++) {
        for (size_t pieces = 1; pieces < 40; pieces++) {
            struct smtp_reply_reader r;
            struct text rest;
            smtp_reply_reader_init(&r);
            assert_int_equal(feed(&r, rows[i].wire, pieces, &rest), rows[i].state);
            if (rows[i].state == SMTP_REPLY_WHOLE) {
                struct smtp_reply reply = smtp_reply_reader_get(&r);
                assert_int_equal(reply.code, rows[i].code);
                assert_true(text_equals(reply.enhanced, rows[i].enhanced));
                assert_true(text_equals(reply.text, rows[i].text));
                assert_true(text_equals(rest, rows[i].rest));
            }
            smtp_reply_reader_done(&r);
        }
    }
}

static void a_reply_that_does_not_end_is_bounded(void **state not_used)
{
    static const struct text endless[] = {TEXT_INIT("a"), TEXT_INIT("250-x\r\n"), TEXT_INIT("\r"), TEXT_INIT("250-\n")};
    for (size_t i = 0; i < length_of(endless); i++) {
        struct smtp_reply_reader r;
        smtp_reply_reader_init(&r);
        struct text start = TEXT("250-");
        enum smtp_reply_state got = smtp_reply_reader_feed(&r, &start);
        for (size_t n = 0; n < 2 * SMTP_REPLY_OCTETS && got == SMTP_REPLY_MORE; n++) {
            struct text piece = endless[i];
            got = smtp_reply_reader_feed(&r, &piece);
        }
        assert_true(got == SMTP_REPLY_ENDLESS || got == SMTP_REPLY_MALFORMED);
        assert_true(r.text.capacity <= SMTP_REPLY_TEXT);
        smtp_reply_reader_done(&r);
    }
}

/* --- the corpora ------------------------------------------------------------------------------------------------ */

static json_t *corpus(const char *name)
{
    const char *folder = getenv("PORTIERE_CORPORA");
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "../shared/corpora", name);
    return json_load_file(path, 0, NULL);
}

static void append_hex(struct buffer *b, json_t *value)
{
    const char *hex = json_string_value(value);
    for (size_t i = 0; hex && hex[i] && hex[i + 1]; i += 2) {
        unsigned octet = 0;
        assert_int_equal(sscanf(hex + i, "%2x", &octet), 1);
        assert_true(buffer_append_octet(b, (char)octet));
    }
}

static struct buffer wire_of(json_t *vector)
{
    struct buffer wire = buffer_new(4 << 20), part released_by(buffer_done) = buffer_new(64);
    append_hex(&wire, json_object_get(vector, "wire_hex"));
    append_hex(&wire, json_object_get(vector, "wire_hex_prefix"));
    append_hex(&part, json_object_get(vector, "repeat_hex"));
    for (json_int_t i = 0; i < json_integer_value(json_object_get(vector, "repeat")); i++)
        assert_true(buffer_append(&wire, buffer_text(&part)));
    append_hex(&wire, json_object_get(vector, "wire_hex_suffix"));
    return wire;
}

/* What the vector's code and class allow. */
static void check_vector(json_t *vector, enum smtp_reply_state got, const struct smtp_reply_reader *r)
{
    struct text class = text_of_terminated(json_string_value(json_object_get(vector, "class")));
    json_t *code = json_object_get(vector, "code");
    if (json_is_null(code)) {
        assert_int_not_equal(got, SMTP_REPLY_WHOLE);
        return;
    }
    if (text_find(class, TEXT("bounded")) < class.length && got == SMTP_REPLY_ENDLESS)
        return;
    assert_int_equal(got, SMTP_REPLY_WHOLE);
    assert_int_equal(smtp_reply_reader_get(r).code, json_integer_value(code));
}

static void the_vectors_of_replies_are_read_as_they_say(void **state not_used)
{
    json_t *root = corpus("smtp/reply-vectors.json");
    if (!root) {
        print_message("smtp/reply-vectors.json is absent\n");
        skip();
    }
    size_t i;
    json_t *vector;
    json_array_foreach(json_object_get(root, "vectors"), i, vector)
    {
        struct buffer wire released_by(buffer_done) = wire_of(vector);
        static const size_t pieces[] = {1, 2, 3, 1000, SIZE_MAX};
        for (size_t p = 0; p < length_of(pieces); p++) {
            struct smtp_reply_reader r;
            struct text rest;
            smtp_reply_reader_init(&r);
            enum smtp_reply_state got = feed(&r, buffer_text(&wire), pieces[p], &rest);
            check_vector(vector, got, &r);
            assert_true(r.text.length <= SMTP_REPLY_TEXT);
            smtp_reply_reader_done(&r);
        }
    }
    assert_true(i > 30);
    json_decref(root);
}

/* --- each vector at each stage (T47) ---------------------------------------------------------------------------- */

static const struct text good[] = {
    TEXT_INIT("220 mx\r\n"), TEXT_INIT("250 mx\r\n"), TEXT_INIT("250 ok\r\n"),
    TEXT_INIT("250 ok\r\n"), TEXT_INIT("354 go\r\n"), TEXT_INIT("250 taken\r\n"),
};

/* The result of the one recipient when the host's answer number stage is the wire; then it is silent and ends. */
static struct result result_at(struct smtp_client *c, const struct smtp_client_message *message, size_t stage,
                               struct text wire)
{
    struct buffer output released_by(buffer_done) = buffer_new(1 << 20);
    bool was_begun = false;
    size_t said = 0;
    struct text input = TEXT_NONE;
    for (;;) {
        enum smtp_client_effect effect = smtp_client_step(c, &input, &output);
        if (effect == SMTP_CLIENT_CLOSE || (effect == SMTP_CLIENT_READY && was_begun))
            return was_begun ? smtp_client_recipient(c, 0)->result : c->failure;
        if (effect == SMTP_CLIENT_NEED_INPUT && (said == length_of(good) || said > stage)) {
            smtp_client_lost(c, false, TEXT_NONE);
        } else if (effect == SMTP_CLIENT_NEED_INPUT) {
            input = said == stage ? wire : good[said];
            said++;
        } else if (effect == SMTP_CLIENT_READY) {
            was_begun = true;
            smtp_client_begin(c, message, &output);
        } else {
            assert_int_equal(effect, SMTP_CLIENT_NEED_BODY);
            assert_true(smtp_client_body(c, TEXT("hi\r\n"), true, &output));
        }
    }
}

static void a_strange_reply_at_any_stage_loses_no_message(void **state not_used)
{
    json_t *root = corpus("smtp/reply-vectors.json");
    if (!root) {
        print_message("smtp/reply-vectors.json is absent\n");
        skip();
    }
    struct smtp_client_options options = {
        .hostname = TEXT("us.test"), .host = TEXT("mx"), .tls = SETTINGS_TLS_LEVEL_OFF};
    struct envelope_recipient recipient = {.address = {.local = TEXT("b"), .domain = TEXT("fuori.test")}};
    const struct envelope_recipient *chosen[] = {&recipient};
    struct envelope envelope = {.sender = {.local = TEXT("a"), .domain = TEXT("us.test")}};
    struct smtp_client_message message = {.envelope = &envelope, .recipients = chosen, .recipient_count = 1, .size = 4};
    size_t i;
    json_t *vector;
    json_array_foreach(json_object_get(root, "vectors"), i, vector)
    {
        struct buffer wire released_by(buffer_done) = wire_of(vector);
        json_int_t code = json_integer_value(json_object_get(vector, "code"));
        for (size_t stage = 0; stage < length_of(good); stage++) {
            struct smtp_client c;
            smtp_client_init(&c, &options);
            struct result r = result_at(&c, &message, stage, buffer_text(&wire));
            bool is_taken = stage == 5 && code / 100 == 2;
            bool is_endless = c.trouble == SMTP_CLIENT_NONSENSE;
            if (r.class == RESULT_RELAYED || r.class == RESULT_RELAYED_WITHOUT_DSN)
                assert_true(is_taken);
            else if (is_taken)
                assert_true(is_endless);
            /* for good only by a 5yz; the one to EHLO is answered by HELO, then the connection ends */
            if (r.class == RESULT_FAILED)
                assert_int_equal(code / 100, 5);
            if (code / 100 == 5 && stage != 1 && !is_endless)
                assert_int_equal(r.class, RESULT_FAILED);
            smtp_client_done(&c);
        }
    }
    json_decref(root);
}

static void dots_are_stuffed_as_the_vectors_say(void **state not_used)
{
    json_t *root = corpus("smtp/dot-transparency-vectors.json");
    if (!root) {
        print_message("smtp/dot-transparency-vectors.json is absent\n");
        skip();
    }
    static const size_t pieces[] = {1, 2, 3, 1023, 1024, 4095, 4096, 4097, SIZE_MAX};
    size_t i;
    json_t *vector;
    json_array_foreach(json_object_get(root, "vectors"), i, vector)
    {
        struct buffer message released_by(buffer_done) = buffer_new(1 << 20),
                              wanted released_by(buffer_done) = buffer_new(1 << 20);
        append_hex(&message, json_object_get(vector, "message_hex"));
        append_hex(&wanted, json_object_get(vector, "wire_hex"));
        for (size_t p = 0; p < length_of(pieces); p++) {
            struct smtp_client_text t = {.is_in_line = false};
            struct buffer wire released_by(buffer_done) = buffer_new(1 << 20);
            for (struct text rest = buffer_text(&message); rest.length;)
                smtp_client_text_append(&t, text_take(&rest, pieces[p]), &wire);
            smtp_client_text_end(&t, &wire);
            assert_true(text_equals(buffer_text(&wire), buffer_text(&wanted)));
        }
    }
    assert_true(i > 5);
    json_decref(root);
}

/* --- T51: all messages of five octets out of the dangerous ones ------------------------------------------------- */

static bool is_clean(struct text wire)
{
    struct text end = TEXT("\r\n.\r\n");
    for (size_t i = 0; i < wire.length; i++) {
        if (wire.bytes[i] == '\n' && (i == 0 || wire.bytes[i - 1] != '\r'))
            return false;
        if (wire.bytes[i] == '\r' && (i + 1 == wire.length || wire.bytes[i + 1] != '\n'))
            return false;
    }
    if (text_equals(wire, TEXT(".\r\n")))
        return true;
    return text_ends_with(wire, end) && text_find(wire, end) == wire.length - end.length &&
           !text_starts_with(wire, TEXT(".\r\n"));
}

static void no_message_makes_a_false_end(void **state not_used)
{
    static const char octets[] = {'\r', '\n', '.', 'a', '\0'};
    enum { LENGTH = 7, COUNT = 5 * 5 * 5 * 5 * 5 * 5 * 5 };
    for (unsigned n = 0; n < COUNT; n++) {
        char message[LENGTH];
        unsigned rest = n;
        for (size_t i = 0; i < LENGTH; i++, rest /= 5)
            message[i] = octets[rest % 5];
        struct text whole = text_of(message, LENGTH);
        struct buffer wire released_by(buffer_done) = buffer_new(smtp_client_text_limit(LENGTH)),
                           cut released_by(buffer_done) = buffer_new(64);
        struct smtp_client_text t = {.is_in_line = false}, u = {.is_in_line = false};
        smtp_client_text_append(&t, whole, &wire);
        smtp_client_text_end(&t, &wire);
        for (size_t i = 0; i < LENGTH; i++)
            smtp_client_text_append(&u, text_of(message + i, 1), &cut);
        smtp_client_text_end(&u, &cut);
        assert_false(wire.is_full);
        assert_true(is_clean(buffer_text(&wire)));
        assert_true(text_equals(buffer_text(&wire), buffer_text(&cut)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_is_read_the_same_however_it_is_cut),
        cmocka_unit_test(a_reply_that_does_not_end_is_bounded),
        cmocka_unit_test(the_vectors_of_replies_are_read_as_they_say),
        cmocka_unit_test(a_strange_reply_at_any_stage_loses_no_message),
        cmocka_unit_test(dots_are_stuffed_as_the_vectors_say),
        cmocka_unit_test(no_message_makes_a_false_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
