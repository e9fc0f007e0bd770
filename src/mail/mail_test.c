/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/mail.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

static bool explain_is_well_formed(struct text explain)
{
    for (size_t i = 0; i < explain.length; i++)
        if (!(explain.bytes[i] >= 'a' && explain.bytes[i] <= 'z') && !octet_is_digit(explain.bytes[i]) &&
            explain.bytes[i] != '-')
            return false;
    return true;
}

static void every_refusal_has_an_explain_code_of_its_own(void **state not_used)
{
    for (enum reply reply = REPLY_NONE + 1; reply < REPLY_COUNT; reply++) {
        const struct reply_row *row = reply_row(reply);
        assert_true(row->code >= 200 && row->code < 560);
        assert_true(row->name.length != 0 && row->words.length != 0);
        assert_true(explain_is_well_formed(row->explain));
        if (row->code < 400) {
            assert_true(text_is_empty(row->explain));
            continue;
        }
        assert_int_equal(reply_of_explain_code(row->explain), reply);
        /* RFC 2034 section 4: the class is the first digit of the code */
        assert_true(row->enhanced.length >= 5 && row->enhanced.bytes[0] == (char)('0' + row->code / 100));
    }
    assert_int_equal(reply_of_explain_code(TEXT("no-such-code")), REPLY_NONE);
    assert_int_equal(reply_of_explain_code(TEXT_NONE), REPLY_NONE);
}

static void a_reply_is_one_line_whatever_a_stranger_puts_in(void **state not_used)
{
    struct buffer b released_by(buffer_done) = buffer_new(4096);
    struct reply_arguments arguments = {.values = {TEXT("a\r\n250 ok\0\xc3\xb6")}};
    assert_true(reply_append(&b, REPLY_RECIPIENT_UNKNOWN, &arguments));
    assert_true(
        text_equals(buffer_text(&b), TEXT("550 5.1.1 <a?\?250 ok?\?\?>... User unknown [recipient-unknown]\r\n")));
    buffer_clear(&b);
    assert_true(reply_append(&b, REPLY_LOGIN_CONTINUE, NULL));
    assert_true(text_equals(buffer_text(&b), TEXT("334 \r\n")));
}

static void a_reply_keeps_to_512_octets(void **state not_used)
{
    char many[3000];
    memset(many, 'x', sizeof many);
    struct text value = text_of(many, sizeof many);
    struct reply_arguments arguments = {.values = {value, value, value, value}};
    for (enum reply reply = REPLY_NONE + 1; reply < REPLY_COUNT; reply++) {
        struct buffer b released_by(buffer_done) = buffer_new(4096);
        assert_true(reply_append(&b, reply, &arguments));
        assert_true(b.length <= 512);
        assert_true(text_ends_with(buffer_text(&b), TEXT("\r\n")));
    }
}

static struct envelope example(struct envelope_recipient *recipients, size_t count)
{
    return (struct envelope){
        .sender = {.local = TEXT("a"), .domain = TEXT("b.example")},
        .recipients = recipients,
        .recipient_count = count,
        .body = ENVELOPE_8BITMIME,
        .is_utf8 = true,
        .ret = ENVELOPE_RETURN_HEADERS,
        .envid = TEXT("QQ314159"),
        .arrived_ms = -1,
        .session = TEXT("s1"),
        .client = TEXT("2001:db8::1"),
        .helo = TEXT("host.example"),
        .login = TEXT("u@b.example"),
        .authorised = TEXT("auth"),
        .listener = TEXT("submission"),
    };
}

static struct envelope_recipient example_recipients[] = {
    {.address = {.local = TEXT_INIT("Postmaster"), .domain = TEXT_INIT("")}, .original = TEXT_INIT(""), .notify = 0},
    {.address = {.local = TEXT_INIT("\"odd user\""), .domain = TEXT_INIT("[IPv6:::1]")},
     .original = TEXT_INIT("rfc822;a@b"),
     .notify = ENVELOPE_NOTIFY_SUCCESS | ENVELOPE_NOTIFY_DELAY},
};

static void an_envelope_comes_back_as_it_was_packed(void **state not_used)
{
    struct buffer b released_by(buffer_done) = buffer_new(4096);
    struct arena arena released_by(arena_done) = arena_new(4096);
    struct envelope e = example(example_recipients, 2);
    assert_true(envelope_pack(&b, &e));
    struct envelope r;
    assert_true(envelope_unpack(buffer_text(&b), &arena, &r));
    assert_true(address_equals(&r.sender, &e.sender));
    assert_int_equal(r.recipient_count, 2);
    assert_true(text_equals(r.recipients[1].address.local, e.recipients[1].address.local));
    assert_true(text_equals(r.recipients[1].address.domain, e.recipients[1].address.domain));
    assert_true(text_equals(r.recipients[1].original, TEXT("rfc822;a@b")));
    assert_int_equal(r.recipients[1].notify, e.recipients[1].notify);
    assert_int_equal(r.body, ENVELOPE_8BITMIME);
    assert_true(r.is_utf8);
    assert_int_equal(r.ret, ENVELOPE_RETURN_HEADERS);
    assert_true(r.arrived_ms == -1);
    assert_true(text_equals(r.envid, e.envid) && text_equals(r.session, e.session) && text_equals(r.client, e.client));
    assert_true(text_equals(r.helo, e.helo) && text_equals(r.login, e.login) && text_equals(r.listener, e.listener));
    assert_true(text_equals(r.authorised, e.authorised));
}

static void a_damaged_envelope_is_refused_and_never_crashes(void **state not_used)
{
    struct buffer b released_by(buffer_done) = buffer_new(4096);
    struct envelope e = example(example_recipients, 2);
    assert_true(envelope_pack(&b, &e));
    for (size_t cut = 0; cut < b.length; cut++) {
        struct arena arena released_by(arena_done) = arena_new(4096);
        struct envelope r;
        assert_false(envelope_unpack(text_first(buffer_text(&b), cut), &arena, &r));
    }
    for (size_t place = 0; place < b.length; place++) {
        for (unsigned octet = 0; octet < 256; octet++) {
            struct arena arena released_by(arena_done) = arena_new(4096);
            struct envelope r;
            char before = b.bytes[place];
            b.bytes[place] = (char)octet;
            if (envelope_unpack(buffer_text(&b), &arena, &r))
                for (size_t i = 0; i < r.recipient_count; i++)
                    assert_true(address_is_valid(&r.recipients[i].address));
            b.bytes[place] = before;
        }
    }
}

static void an_envelope_with_an_address_that_is_none_is_refused(void **state not_used)
{
    static struct envelope_recipient bad[] = {
        {.address = {.local = TEXT_INIT("a> NOTIFY=NEVER\r\nRCPT TO:<x"), .domain = TEXT_INIT("b")},
         .original = TEXT_INIT("")}};
    struct buffer b released_by(buffer_done) = buffer_new(4096);
    struct arena arena released_by(arena_done) = arena_new(4096);
    struct envelope e = example(bad, 1);
    assert_true(envelope_pack(&b, &e));
    struct envelope r;
    assert_false(envelope_unpack(buffer_text(&b), &arena, &r));
}

static void a_result_comes_back_and_always_has_an_enhanced_code(void **state not_used)
{
    struct buffer b released_by(buffer_done) = buffer_new(4096);
    struct result in = {.class = RESULT_FAILED,
                        .code = 550,
                        .host = TEXT("mx [::1]:25"),
                        .stage = TEXT("rcpt"),
                        .text = TEXT("no\0\r\n")};
    assert_true(result_pack(&b, &in));
    struct result out;
    assert_true(result_unpack(buffer_text(&b), &out));
    assert_int_equal(out.class, RESULT_FAILED);
    assert_int_equal(out.code, 550);
    assert_true(text_equals(out.enhanced, TEXT("5.0.0")));
    assert_true(text_equals(out.host, in.host) && text_equals(out.stage, in.stage) && text_equals(out.text, in.text));
    for (size_t cut = 0; cut < b.length; cut++)
        assert_false(result_unpack(text_first(buffer_text(&b), cut), &out));
    b.bytes[1] = 9; /* no such class */
    assert_false(result_unpack(buffer_text(&b), &out));
    assert_true(text_equals(result_class_word(RESULT_RELAYED_WITHOUT_DSN), TEXT("relayed-without-dsn")));
}

static void fields_are_read_with_their_folds(void **state not_used)
{
    struct text rest = TEXT("Subject: a\r\n b\r\n\tc\r\nX : y\r\n\r\nbody: no\r\n");
    struct text whole = rest;
    struct header_field f;
    assert_true(header_take_field(&rest, &f));
    assert_true(text_equals(f.name, TEXT("Subject")));
    assert_true(text_equals(f.value, TEXT(" a\r\n b\r\n\tc")));
    assert_true(text_equals(f.whole, TEXT("Subject: a\r\n b\r\n\tc\r\n")));
    assert_true(header_take_field(&rest, &f));
    assert_true(text_equals(f.name, TEXT("X")));
    assert_false(header_take_field(&rest, &f));
    assert_true(text_starts_with(rest, TEXT("\r\nbody")));
    assert_int_equal(header_length(whole), whole.length - TEXT("body: no\r\n").length);
}

static void the_header_ends_where_no_field_stands(void **state not_used)
{
    static const struct {
        struct text message;
        size_t length;
    } rows[] = {
        {TEXT_INIT(""), 0},
        {TEXT_INIT("\r\n"), 2},
        {TEXT_INIT("A: b"), 4},
        {TEXT_INIT("A: b\r\n"), 6},
        {TEXT_INIT("A: b\r\nno field\r\n"), 6},
        {TEXT_INIT(" folded\r\nA: b\r\n"), 0},
        {TEXT_INIT("A: b\nB: c\r\n\r\nx"), 13},
        {TEXT_INIT("A: b\r\n\r\n\r\nx"), 8},
        {TEXT_INIT(": x\r\n"), 0},
        {TEXT_INIT("A\x01: x\r\n"), 0},
    };
    for (size_t i = 0; i < length_of(rows); i++)
        assert_int_equal(header_length(rows[i].message), rows[i].length);
}

static void the_first_address_is_found_behind_names_comments_and_groups(void **state not_used)
{
    static const struct {
        struct text value, address;
        size_t count;
    } rows[] = {
        {TEXT_INIT(" a@b.example"), TEXT_INIT("a@b.example"), 1},
        {TEXT_INIT(" \"Doe, J. <x@y>\" <a@b>, c@d"), TEXT_INIT("a@b"), 2},
        {TEXT_INIT(" (a comment <x@y>, (nested)) a@b (more)"), TEXT_INIT("a@b"), 1},
        {TEXT_INIT(" Group: a@b, c@d;, e@f"), TEXT_INIT("a@b"), 3},
        {TEXT_INIT(" undisclosed:;"), TEXT_INIT(""), 0},
        {TEXT_INIT(" <@r.example:a@b>"), TEXT_INIT("a@b"), 1},
        {TEXT_INIT(" Name\r\n <a@b>"), TEXT_INIT("a@b"), 1},
        {TEXT_INIT(" \"a b\"@c"), TEXT_INIT("\"a b\"@c"), 1},
        {TEXT_INIT(" a@[IPv6:::1]"), TEXT_INIT("a@[IPv6:::1]"), 1},
        {TEXT_INIT(" a @ b"), TEXT_INIT(""), 0},
        {TEXT_INIT(" nobody"), TEXT_INIT(""), 0},
        {TEXT_INIT(" <>"), TEXT_INIT(""), 0},
        {TEXT_INIT(" \"unclosed a@b"), TEXT_INIT(""), 0},
        {TEXT_INIT(" x@y <a@b>"), TEXT_INIT("a@b"), 1},
        {TEXT_INIT("\\"), TEXT_INIT(""), 0},
        {TEXT_INIT("("), TEXT_INIT(""), 0},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct address a;
        size_t count = 0;
        bool is_found = header_first_address(rows[i].value, &a, &count);
        if (count != rows[i].count || is_found != (count != 0))
            fail_msg("%.*s: %zu", TEXT_ARGUMENTS(rows[i].value), count);
        struct buffer b released_by(buffer_done) = buffer_new(500);
        if (is_found)
            address_append(&b, &a);
        assert_true(text_equals(buffer_text(&b), rows[i].address));
    }
}

static void an_address_list_is_read_in_linear_time(void **state not_used)
{
    static const struct {
        struct text unit;
    } rows[] = {{TEXT_INIT("(")},  {TEXT_INIT("a@b,")}, {TEXT_INIT("<")},
                {TEXT_INIT("\"")}, {TEXT_INIT("(())")}, {TEXT_INIT("a:")}};
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer b released_by(buffer_done) = buffer_new(4 << 20);
        while (b.length < 1 << 20)
            buffer_append(&b, rows[i].unit);
        struct address a;
        size_t count = 0;
        bool is_found = header_first_address(buffer_text(&b), &a, &count); /* a quadratic one would never come back */
        assert_int_equal(is_found, i == 1);
        assert_true(count <= 1000);
    }
}

static void phrases_are_atoms_quoted_or_encoded(void **state not_used)
{
    static const struct {
        struct text name, written;
    } rows[] = {
        {TEXT_INIT("Mail Delivery Subsystem"), TEXT_INIT("Mail Delivery Subsystem")},
        {TEXT_INIT("Doe, J."), TEXT_INIT("\"Doe, J.\"")},
        {TEXT_INIT("a\"b\\c\r\n"), TEXT_INIT("\"a\\\"b\\\\c  \"")},
        {TEXT_INIT("=?utf-8?q?x?="), TEXT_INIT("\"=?utf-8?q?x?=\"")},
        {TEXT_INIT("J\xc3\xbcrg"), TEXT_INIT("=?UTF-8?B?SsO8cmc=?=")},
        {TEXT_INIT("\xc3\xbc\r\nX: y\xff"), TEXT_INIT("=?UTF-8?B?w7w/P1g6IHk/?=")},
        {TEXT_INIT(""), TEXT_INIT("\"\"")},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer b released_by(buffer_done) = buffer_new(500);
        header_append_phrase(&b, rows[i].name);
        assert_int_equal(text_compare(buffer_text(&b), rows[i].written), 0);
    }
}

static void long_encoded_words_are_cut_between_characters(void **state not_used)
{
    struct buffer name released_by(buffer_done) = buffer_new(500);
    struct buffer b released_by(buffer_done) = buffer_new(2000);
    for (size_t i = 0; i < 50; i++)
        buffer_append(&name, TEXT("\xe2\x82\xac"));
    header_append_phrase(&b, buffer_text(&name));
    struct text rest = buffer_text(&b);
    struct buffer decoded released_by(buffer_done) = buffer_new(500);
    while (rest.length) {
        struct text word = text_take_until(&rest, '\n');
        assert_true(word.length <= 77);
        word = text_trimmed(word);
        assert_true(text_take_prefix_ignoring_case(&word, TEXT("=?UTF-8?B?")));
        word.length -= 2;
        size_t before = decoded.length;
        assert_true(base64_append_decoded(&decoded, word));
        assert_true(utf8_is_valid(text_after(buffer_text(&decoded), before)));
    }
    assert_true(text_equals(buffer_text(&decoded), buffer_text(&name)));
}

static void base64_is_strict(void **state not_used)
{
    static const struct {
        struct text input;
        bool is_base64;
        struct text octets;
    } rows[] = {
        {TEXT_INIT("dGlt"), true, TEXT_INIT("tim")},   {TEXT_INIT("AHRpbQA="), true, TEXT_INIT("\0tim\0")},
        {TEXT_INIT(""), true, TEXT_INIT("")},          {TEXT_INIT("dGlt\t"), false, TEXT_INIT("")},
        {TEXT_INIT("dGl=t"), false, TEXT_INIT("")},    {TEXT_INIT("dGl"), false, TEXT_INIT("")},
        {TEXT_INIT("dGlt===="), false, TEXT_INIT("")}, {TEXT_INIT("A"), false, TEXT_INIT("")},
        {TEXT_INIT("*"), false, TEXT_INIT("")},        {TEXT_INIT("AB=="), false, TEXT_INIT("")},
        {TEXT_INIT("===="), false, TEXT_INIT("")},     {TEXT_INIT("AA==AAAA"), false, TEXT_INIT("")},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer b released_by(buffer_done) = buffer_new(500);
        struct buffer back released_by(buffer_done) = buffer_new(500);
        assert_int_equal(base64_append_decoded(&b, rows[i].input), rows[i].is_base64);
        assert_true(text_equals(buffer_text(&b), rows[i].octets));
        base64_append(&back, rows[i].octets);
        if (rows[i].is_base64)
            assert_true(text_equals(buffer_text(&back), rows[i].input));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_refusal_has_an_explain_code_of_its_own),
        cmocka_unit_test(a_reply_is_one_line_whatever_a_stranger_puts_in),
        cmocka_unit_test(a_reply_keeps_to_512_octets),
        cmocka_unit_test(an_envelope_comes_back_as_it_was_packed),
        cmocka_unit_test(a_damaged_envelope_is_refused_and_never_crashes),
        cmocka_unit_test(an_envelope_with_an_address_that_is_none_is_refused),
        cmocka_unit_test(a_result_comes_back_and_always_has_an_enhanced_code),
        cmocka_unit_test(fields_are_read_with_their_folds),
        cmocka_unit_test(the_header_ends_where_no_field_stands),
        cmocka_unit_test(the_first_address_is_found_behind_names_comments_and_groups),
        cmocka_unit_test(an_address_list_is_read_in_linear_time),
        cmocka_unit_test(phrases_are_atoms_quoted_or_encoded),
        cmocka_unit_test(long_encoded_words_are_cut_between_characters),
        cmocka_unit_test(base64_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
