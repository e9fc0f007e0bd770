/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void a_name_is_a_name_only_when_a_host_could_have_it(void **state not_used)
{
    static const struct {
        struct text wire;
        enum dns_reading reading;
        struct text name;
    } rows[] = {
        {.wire = TEXT_INIT("\2mX\5fuori\4test\0"), .reading = DNS_READ, .name = TEXT_INIT("mx.fuori.test")},
        {.wire = TEXT_INIT("\1_\1-\0"), .reading = DNS_READ, .name = TEXT_INIT("_.-")},
        {.wire = TEXT_INIT("\0"), .reading = DNS_READ_ROOT},
        {.wire = TEXT_INIT(""), .reading = DNS_MALFORMED},
        {.wire = TEXT_INIT("\2mx"), .reading = DNS_MALFORMED},
        {.wire = TEXT_INIT("\3mx\0"), .reading = DNS_MALFORMED},
        {.wire = TEXT_INIT("\2mx\0x"), .reading = DNS_MALFORMED},
        {.wire = TEXT_INIT("\xc0\x0c"), .reading = DNS_MALFORMED},
        {.wire = TEXT_INIT("\2m\300\0"), .reading = DNS_NOT_A_HOST},
        {.wire = TEXT_INIT("\3a\0b\1c\0"), .reading = DNS_NOT_A_HOST},
        {.wire = TEXT_INIT("\3a.b\1c\0"), .reading = DNS_NOT_A_HOST},
        {.wire = TEXT_INIT("\4a\r\nb\1c\0"), .reading = DNS_NOT_A_HOST},
        {.wire = TEXT_INIT("\4\\065\1c\0"), .reading = DNS_NOT_A_HOST},
        {.wire = TEXT_INIT("\2%n\1c\0"), .reading = DNS_NOT_A_HOST},
        {.wire = TEXT_INIT("\1 \0"), .reading = DNS_NOT_A_HOST},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer b released_by(buffer_done) = buffer_new(300);
        assert_int_equal(dns_read_name(rows[i].wire, &b), rows[i].reading);
        assert_true(text_equals(buffer_text(&b), rows[i].name));
    }
}

static void a_name_that_is_too_long_is_none(void **state not_used)
{
    struct buffer wire released_by(buffer_done) = buffer_new(400), b released_by(buffer_done) = buffer_new(400);
    for (int label = 0; label < 5; label++) {
        buffer_append_octet(&wire, 63);
        for (int i = 0; i < 63; i++)
            buffer_append_octet(&wire, 'a');
    }
    buffer_append_octet(&wire, 0);
    assert_int_equal(dns_read_name(buffer_text(&wire), &b), DNS_MALFORMED);
    wire.bytes[0] = 64;
    assert_int_equal(dns_read_name(buffer_text(&wire), &b), DNS_MALFORMED);
    assert_int_equal(b.length, 0);
}

static void an_mx_has_a_preference_and_a_name(void **state not_used)
{
    static const struct {
        struct text wire;
        enum dns_reading reading;
        unsigned preference;
        struct text name;
    } rows[] = {
        {.wire = TEXT_INIT("\1\2\2mx\4test\0"), .reading = DNS_READ, .preference = 258, .name = TEXT_INIT("mx.test")},
        {.wire = TEXT_INIT("\0\0\0"), .reading = DNS_READ_ROOT},
        {.wire = TEXT_INIT(""), .reading = DNS_MALFORMED},
        {.wire = TEXT_INIT("\0\12"), .reading = DNS_MALFORMED},
        {.wire = TEXT_INIT("\0\12\2mx"), .reading = DNS_MALFORMED},
        {.wire = TEXT_INIT("\0\12\2mx\0\0"), .reading = DNS_MALFORMED},
        {.wire = TEXT_INIT("\0\12\5a\0b.c\0"), .reading = DNS_NOT_A_HOST, .preference = 10},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer b released_by(buffer_done) = buffer_new(300);
        unsigned preference = 0;
        assert_int_equal(dns_read_mx(rows[i].wire, &b, &preference), rows[i].reading);
        assert_int_equal(preference, rows[i].preference);
        assert_true(text_equals(buffer_text(&b), rows[i].name));
    }
}

static void an_address_has_its_length(void **state not_used)
{
    uint8_t octets[16];
    assert_true(dns_read_a(TEXT("\300\0\2\1"), octets));
    assert_int_equal(octets[0], 192);
    assert_false(dns_read_a(TEXT("\300\0\2"), octets));
    assert_false(dns_read_a(TEXT("\300\0\2\1\1"), octets));
    assert_true(dns_read_aaaa(TEXT("0123456789abcdef"), octets));
    assert_false(dns_read_aaaa(TEXT("0123456789abcde"), octets));
}

static void strings_are_joined_without_a_gap(void **state not_used)
{
    static const struct {
        struct text wire;
        bool is_good;
        struct text text;
    } rows[] = {
        {.wire = TEXT_INIT("\3abc\2de"), .is_good = true, .text = TEXT_INIT("abcde")},
        {.wire = TEXT_INIT("\0"), .is_good = true},
        {.wire = TEXT_INIT("\3a\0b"), .is_good = true, .text = TEXT_INIT("a\0b")},
        {.wire = TEXT_INIT("")},
        {.wire = TEXT_INIT("\4abc")},
        {.wire = TEXT_INIT("\3abc\377x")},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer b released_by(buffer_done) = buffer_new(300);
        assert_int_equal(dns_read_txt(rows[i].wire, &b), rows[i].is_good);
        assert_true(text_equals(buffer_text(&b), rows[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_a_name_only_when_a_host_could_have_it),
        cmocka_unit_test(a_name_that_is_too_long_is_none),
        cmocka_unit_test(an_mx_has_a_preference_and_a_name),
        cmocka_unit_test(an_address_has_its_length),
        cmocka_unit_test(strings_are_joined_without_a_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
