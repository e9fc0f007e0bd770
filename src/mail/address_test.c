/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/mail.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <jansson.h>
#include <cmocka.h>

#include "../../tests/corpora.h"

static void addresses_are_taken_by_the_grammar_alone(void **state not_used)
{
    static const struct {
        struct text input;
        bool utf8;
        enum address_result result;
        struct text local, domain;
    } rows[] = {
        {TEXT_INIT("a@b.example"), false, ADDRESS_OK, TEXT_INIT("a"), TEXT_INIT("b.example")},
        {TEXT_INIT(""), false, ADDRESS_OK, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("PostMaster"), false, ADDRESS_OK, TEXT_INIT("PostMaster"), TEXT_INIT("")},
        {TEXT_INIT("somebody"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("\"odd user\"@b"), false, ADDRESS_OK, TEXT_INIT("\"odd user\""), TEXT_INIT("b")},
        {TEXT_INIT("\"a@b\"@c"), false, ADDRESS_OK, TEXT_INIT("\"a@b\""), TEXT_INIT("c")},
        {TEXT_INIT("\"a\\\"b\"@c"), false, ADDRESS_OK, TEXT_INIT("\"a\\\"b\""), TEXT_INIT("c")},
        {TEXT_INIT("\"\"@c"), false, ADDRESS_OK, TEXT_INIT("\"\""), TEXT_INIT("c")},
        {TEXT_INIT("\"abc@c"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("\"abc\\@c"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("\"a\rb\"@c"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a@b@c"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a@"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("@b"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("@"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a..b@c"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT(".a@c"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a.@c"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a b@c"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a\0b@c"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a@b..c"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a@-b"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a@1.2.3.4"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a@[1.2.3.4]"), false, ADDRESS_OK, TEXT_INIT("a"), TEXT_INIT("[1.2.3.4]")},
        {TEXT_INIT("a@[999.1.1.1]"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a@[1.2.3]"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a@[IPv6:::1]"), false, ADDRESS_OK, TEXT_INIT("a"), TEXT_INIT("[IPv6:::1]")},
        {TEXT_INIT("a@[ipv6:2001:db8::25]"), false, ADDRESS_OK, TEXT_INIT("a"), TEXT_INIT("[ipv6:2001:db8::25]")},
        {TEXT_INIT("a@[IPv6:1:2:3:4:5:6:1.2.3.4]"), false, ADDRESS_OK, TEXT_INIT("a"),
         TEXT_INIT("[IPv6:1:2:3:4:5:6:1.2.3.4]")},
        {TEXT_INIT("a@[IPv6:1:2:3:4:5:6:7]"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a@[IPv6:1::2::3]"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a@[IPv6:]"), false, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("\xc3\xb6@b"), false, ADDRESS_NOT_ASCII, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("\xc3\xb6@b"), true, ADDRESS_OK, TEXT_INIT("\xc3\xb6"), TEXT_INIT("b")},
        {TEXT_INIT("\xf6@b"), true, ADDRESS_BAD_UTF8, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("\xc0\xaf@b"), true, ADDRESS_BAD_UTF8, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("\xed\xa0\x80@b"), true, ADDRESS_BAD_UTF8, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a\xe2\x82@b"), true, ADDRESS_BAD_UTF8, TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("a\xc2\x85@b"), true, ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT("")},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct address a = {.local = TEXT("untouched")};
        enum address_result result = address_parse(rows[i].input, rows[i].utf8, &a);
        if (result != rows[i].result)
            fail_msg("%.*s: %d", TEXT_ARGUMENTS(rows[i].input), result);
        if (result != ADDRESS_OK) {
            assert_true(text_equals(a.local, TEXT("untouched")));
            continue;
        }
        assert_true(text_equals(a.local, rows[i].local));
        assert_true(text_equals(a.domain, rows[i].domain));
        assert_true(address_is_valid(&a));
    }
}

static void lengths_are_those_of_the_rfc(void **state not_used)
{
    struct buffer b released_by(buffer_done) = buffer_new(1000);
    struct address a;
    for (size_t i = 0; i < 64; i++)
        buffer_append_octet(&b, 'a');
    buffer_append(&b, TEXT("@b"));
    assert_int_equal(address_parse(buffer_text(&b), false, &a), ADDRESS_OK);
    b.bytes[64] = 'a';
    buffer_append(&b, TEXT("@b"));
    b.bytes[65] = 'b';
    buffer_clear(&b);
    for (size_t i = 0; i < 65; i++)
        buffer_append_octet(&b, 'a');
    buffer_append(&b, TEXT("@b"));
    assert_int_equal(address_parse(buffer_text(&b), false, &a), ADDRESS_TOO_LONG);
    buffer_clear(&b);
    buffer_append(&b, TEXT("a@b"));
    for (size_t i = 0; i < 126; i++)
        buffer_append(&b, TEXT(".b"));
    assert_int_equal(b.length, 255);
    assert_int_equal(address_parse(buffer_text(&b), false, &a), ADDRESS_TOO_LONG);
}

static void a_path_is_taken_from_the_front(void **state not_used)
{
    static const struct {
        struct text input;
        enum address_result result;
        struct text local, domain, rest;
    } rows[] = {
        {TEXT_INIT("<a@b> SIZE=1"), ADDRESS_OK, TEXT_INIT("a"), TEXT_INIT("b"), TEXT_INIT(" SIZE=1")},
        {TEXT_INIT("<>"), ADDRESS_OK, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("<\"x> ORCPT=a@b\"@c>x"), ADDRESS_OK, TEXT_INIT("\"x> ORCPT=a@b\""), TEXT_INIT("c"), TEXT_INIT("x")},
        {TEXT_INIT("<@relay.example,@b.example:user@local.example>"), ADDRESS_OK, TEXT_INIT("user"),
         TEXT_INIT("local.example"), TEXT_INIT("")},
        {TEXT_INIT("<@:@>"), ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("<@:@>")},
        {TEXT_INIT("<@a:>"), ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("<@a:>")},
        {TEXT_INIT("<a@b"), ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("<a@b")},
        {TEXT_INIT("a@b"), ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("a@b")},
        {TEXT_INIT("<\"\\\\>"), ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("<\"\\\\>")},
        {TEXT_INIT(""), ADDRESS_SYNTAX, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("")},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct text rest = rows[i].input;
        struct address a = {.local = TEXT_NONE, .domain = TEXT_NONE};
        assert_int_equal(address_take_path(&rest, false, &a), rows[i].result);
        assert_true(text_equals(rest, rows[i].rest));
        assert_true(text_equals(a.local, rows[i].local));
        assert_true(text_equals(a.domain, rows[i].domain));
    }
}

static void a_key_is_the_same_for_all_ways_to_write_an_address(void **state not_used)
{
    static const struct {
        struct text input, key;
    } rows[] = {
        {TEXT_INIT("Alex.Custos@EXAMPLE.com"), TEXT_INIT("alex.custos@example.com")},
        {TEXT_INIT("\"alex\"@example.com"), TEXT_INIT("alex@example.com")},
        {TEXT_INIT("\"al\\ex\"@example.com"), TEXT_INIT("alex@example.com")},
        {TEXT_INIT("\"odd\\ user\"@example.com"), TEXT_INIT("\"odd user\"@example.com")},
        {TEXT_INIT("\"a\\\"b\"@example.com"), TEXT_INIT("\"a\\\"b\"@example.com")},
        {TEXT_INIT("Postmaster"), TEXT_INIT("postmaster")},
        {TEXT_INIT("a@[IPv6:::1]"), TEXT_INIT("a@[ipv6:::1]")},
        {TEXT_INIT("a@B\xc3\x9c"
                   "CHER.example"),
         TEXT_INIT("a@xn--bcher-kva.example")},
        {TEXT_INIT(""), TEXT_INIT("")},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer key released_by(buffer_done) = buffer_new(1000);
        struct address a;
        assert_int_equal(address_parse(rows[i].input, true, &a), ADDRESS_OK);
        address_append_key(&key, &a);
        assert_int_equal(text_compare(buffer_text(&key), rows[i].key), 0);
        struct buffer written released_by(buffer_done) = buffer_new(1000);
        address_append(&written, &a);
        assert_true(text_equals(buffer_text(&written), rows[i].input));
    }
}

/* Between <tag> and </tag>; the entities that the file uses are decoded: a symbol for a control stands for the control.
 */
static struct text take_element(struct text *rest, struct text open, struct text close)
{
    *rest = text_after(*rest, text_find(*rest, open) + open.length);
    return text_take(rest, text_find(*rest, close));
}

static bool decode_entity(struct text *rest, struct buffer *b)
{
    static const struct {
        struct text entity;
        char octet;
    } names[] = {{TEXT_INIT("&quot;"), '"'},
                 {TEXT_INIT("&lt;"), '<'},
                 {TEXT_INIT("&gt;"), '>'},
                 {TEXT_INIT("&amp;"), '&'},
                 {TEXT_INIT("&apos;"), '\''}};
    for (size_t i = 0; i < length_of(names); i++)
        if (text_take_prefix_ignoring_case(rest, names[i].entity))
            return buffer_append_octet(b, names[i].octet);
    if (!text_take_prefix_ignoring_case(rest, TEXT("&#x")))
        return false;
    struct text hex = text_take_until(rest, ';');
    unsigned long code = strtoul(hex.bytes, NULL, 16);
    if (code >= 0x2400 && code < 0x2421)
        return buffer_append_octet(b, (char)(code - 0x2400));
    if (code < 128)
        return buffer_append_octet(b, (char)code);
    return buffer_append(b, TEXT("\xff"));
}

static void decode_xml(struct text t, struct buffer *b)
{
    while (t.length) {
        if (t.bytes[0] == '&' && decode_entity(&t, b))
            continue;
        buffer_append_octet(b, t.bytes[0]);
        t = text_after(t, 1);
    }
}

static bool isemail_class_is_ours(struct text category, struct text diagnosis)
{
    if (text_equals(diagnosis, TEXT("ISEMAIL_RFC5321_TLDNUMERIC")))
        return false; /* 1.2.3.4 without brackets among them */
    return text_equals(category, TEXT("ISEMAIL_VALID_CATEGORY")) || text_equals(category, TEXT("ISEMAIL_RFC5321")) ||
           text_equals(category, TEXT("ISEMAIL_DNSWARN"));
}

static void the_isemail_corpus_is_judged_as_rfc_5321_says(void **state not_used)
{
    struct buffer file released_by(buffer_done) = buffer_new(1 << 20);
    if (!corpora_has("address/isemail-tests.xml") || !corpora_read("address/isemail-tests.xml", &file))
        return;
    struct text rest = buffer_text(&file);
    size_t count = 0;
    size_t wrong = 0;
    while (text_find(rest, TEXT("<test id=")) < rest.length) {
        struct text test = take_element(&rest, TEXT("<test id="), TEXT("</test>"));
        struct buffer address released_by(buffer_done) = buffer_new(4096);
        struct text body = test;
        decode_xml(take_element(&body, TEXT("<address>"), TEXT("</address>")), &address);
        struct text category = take_element(&body, TEXT("<category>"), TEXT("</category>"));
        struct text diagnosis = take_element(&body, TEXT("<diagnosis>"), TEXT("</diagnosis>"));
        if (text_is_empty(buffer_text(&address)))
            continue; /* to us the null sender */
        struct address a;
        bool is_valid = address_parse(buffer_text(&address), false, &a) == ADDRESS_OK;
        if (is_valid != isemail_class_is_ours(category, diagnosis)) {
            print_message("%.*s: %.*s %d\n", TEXT_ARGUMENTS(buffer_text(&address)), TEXT_ARGUMENTS(diagnosis),
                          is_valid);
            wrong++;
        }
        count++;
    }
    assert_int_equal(count, 163);
    assert_int_equal(wrong, 0);
}

static bool set_is(const json_t *row, const char *set)
{
    return strcmp(json_string_value(json_object_get(row, "set")), set) == 0;
}

/* The file holds halves of surrogate pairs, which no JSON reader takes: they stand in addresses that are refused
 * anyway. */
static json_t *load_with_lone_surrogates(struct buffer *file)
{
    struct text rest = buffer_text(file);
    for (;;) {
        size_t place = text_find(rest, TEXT("\\ud"));
        if (place + 6 > rest.length)
            return json_loadb(file->bytes, file->length, JSON_ALLOW_NUL, NULL);
        if (text_starts_with(text_after(rest, place + 6), TEXT("\\ud"))) {
            rest = text_after(rest, place + 12);
            continue;
        }
        size_t at = file->length - rest.length + place;
        memcpy(file->bytes + at, "\\ufffd", 6);
        rest = text_after(rest, place + 6);
    }
}

static void a_validators_good_addresses_are_good_and_keep_their_domains(void **state not_used)
{
    struct buffer file released_by(buffer_done) = buffer_new(1 << 20);
    if (!corpora_has("address/python-email-validator-cases.json") ||
        !corpora_read("address/python-email-validator-cases.json", &file))
        return;
    json_t *root = load_with_lone_surrogates(&file);
    assert_non_null(root);
    size_t good = 0;
    size_t bad = 0;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(root, "cases"), i, row)
    {
        struct text input = text_of_terminated(json_string_value(json_object_get(row, "address")));
        struct address a;
        if (text_ends_with(input, TEXT(">")))
            continue; /* with a display name: no address of an envelope */
        enum address_result result = address_parse(input, true, &a);
        if (set_is(row, "email_valid") || set_is(row, "email_valid_intl_local_part") ||
            set_is(row, "email_valid_only_if_quoted_local_part")) {
            if (result != ADDRESS_OK)
                fail_msg("%.*s: %d", TEXT_ARGUMENTS(input), result);
            const char *ascii = json_string_value(json_object_get(row, "ascii_domain"));
            struct buffer key released_by(buffer_done) = buffer_new(512);
            if (ascii && !address_is_literal(&a)) {
                assert_true(domain_append_key(&key, a.domain));
                assert_true(text_equals(buffer_text(&key), text_of_terminated(ascii)));
            }
            good++;
        } else if (set_is(row, "email_invalid_character_smtputf8_off")) {
            assert_int_equal(address_parse(input, false, &a), ADDRESS_NOT_ASCII);
            bad++;
        }
    }
    json_decref(root);
    assert_int_equal(good, 31);
    assert_int_equal(bad, 2);
}

static void domain_keys_are_a_labels(void **state not_used)
{
    static const struct {
        struct text input;
        bool is_domain;
        struct text key;
    } rows[] = {
        {TEXT_INIT("EXAMPLE.com."), true, TEXT_INIT("example.com")},
        {TEXT_INIT("."), false, TEXT_INIT("")},
        {TEXT_INIT(""), false, TEXT_INIT("")},
        {TEXT_INIT(".example"), false, TEXT_INIT("")},
        {TEXT_INIT("a..example"), false, TEXT_INIT("")},
        {TEXT_INIT("1.2.3.4"), false, TEXT_INIT("")},
        {TEXT_INIT("xn--a.example"), false, TEXT_INIT("")},
        {TEXT_INIT("xn--.example"), false, TEXT_INIT("")},
        {TEXT_INIT("XN--BCHER-KVA.example"), true, TEXT_INIT("xn--bcher-kva.example")},
        {TEXT_INIT("b\xc3\xbc"
                   "cher\xe3\x80\x82"
                   "example"),
         true, TEXT_INIT("xn--bcher-kva.example")},
        {TEXT_INIT("stra\xc3\x9f"
                   "e.example"),
         true, TEXT_INIT("xn--strae-oqa.example")},
        {TEXT_INIT("\xe2\x84\xaa.example"), true, TEXT_INIT("k.example")},
        {TEXT_INIT("e\xcc\x81.example"), true, TEXT_INIT("xn--9ca.example")},
        {TEXT_INIT("b\xe2\x80\x8d"
                   "c.example"),
         false, TEXT_INIT("")},
        {TEXT_INIT("\xff.example"), false, TEXT_INIT("")},
        {TEXT_INIT("a\0.example"), false, TEXT_INIT("")},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer key released_by(buffer_done) = buffer_new(512);
        if (domain_append_key(&key, rows[i].input) != rows[i].is_domain)
            fail_msg("%.*s", TEXT_ARGUMENTS(rows[i].input));
        assert_true(text_equals(buffer_text(&key), rows[i].key));
    }
}

static void the_mail_domain_corpus_has_the_same_a_labels(void **state not_used)
{
    struct buffer file released_by(buffer_done) = buffer_new(1 << 20);
    if (!corpora_has("idn/mail-domains.json") || !corpora_read("idn/mail-domains.json", &file))
        return;
    json_t *root = json_loadb(file.bytes, file.length, JSON_ALLOW_NUL, NULL);
    assert_non_null(root);
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(root, "pairs"), i, row)
    {
        struct buffer key released_by(buffer_done) = buffer_new(512);
        assert_true(domain_append_key(&key, text_of_terminated(json_string_value(json_object_get(row, "u")))));
        assert_true(text_equals(buffer_text(&key), text_of_terminated(json_string_value(json_object_get(row, "a")))));
    }
    assert_int_equal(i, 7);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_taken_by_the_grammar_alone),
        cmocka_unit_test(lengths_are_those_of_the_rfc),
        cmocka_unit_test(a_path_is_taken_from_the_front),
        cmocka_unit_test(a_key_is_the_same_for_all_ways_to_write_an_address),
        cmocka_unit_test(domain_keys_are_a_labels),
        cmocka_unit_test(the_isemail_corpus_is_judged_as_rfc_5321_says),
        cmocka_unit_test(a_validators_good_addresses_are_good_and_keep_their_domains),
        cmocka_unit_test(the_mail_domain_corpus_has_the_same_a_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
