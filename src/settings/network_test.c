/* SPDX-License-Identifier: Apache-2.0 */
#include "settings/network.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void each_notation_holds_its_first_and_last_address_and_not_their_neighbours(void **state not_used)
{
    static const struct {
        const char *notation, *first, *last, *before, *after;
    } rows[] = {
        {"127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.0", "127.0.0.2"},
        {"192.168.*.*", "192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
        {"10.*.*", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
        {"10.*.*.*", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
        {"10.*", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
        {"172.16-31.*.*", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
        {"194.213.224.5-20", "194.213.224.5", "194.213.224.20", "194.213.224.4", "194.213.224.21"},
        {"172.16.10.0/24", "172.16.10.0", "172.16.10.255", "172.16.9.255", "172.16.11.0"},
        {"10.0.16.0/20", "10.0.16.0", "10.0.31.255", "10.0.15.255", "10.0.32.0"},
        {"192.0.2.7/32", "192.0.2.7", "192.0.2.7", "192.0.2.6", "192.0.2.8"},
        {"2001:db8::/32", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff::", "2001:db9::"},
        {"2001:db8::/61", "2001:db8::", "2001:db8:0:7:ffff:ffff:ffff:ffff", "2001:db7::", "2001:db8:0:8::"},
        {"::1", "::1", "::1", "::", "::2"},
        {"[2001:db8::1]", "2001:db8::1", "2001:db8::1", "2001:db8::", "2001:db8::2"},
        {"::ffff:192.0.2.0/120", "192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct network n;
        const char *message = "";
        struct network_address a;
        if (!network_parse(text_of_terminated(rows[i].notation), &n, &message))
            fail_msg("%s: %s", rows[i].notation, message);
        const struct {
            const char *address;
            bool is_inside;
        } tries[] = {{rows[i].first, true}, {rows[i].last, true}, {rows[i].before, false}, {rows[i].after, false}};
        for (size_t j = 0; j < length_of(tries); j++) {
            assert_true(network_address_parse(text_of_terminated(tries[j].address), &a));
            if (network_contains(&n, &a) != tries[j].is_inside)
                fail_msg("%s and %s", rows[i].notation, tries[j].address);
        }
    }
}

static void what_is_no_network_is_refused_and_never_widened(void **state not_used)
{
    static const char *const rows[] = {
        "",
        "*",
        "10",
        "10.1",
        "10.*.*x",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.01",
        "10..0.1",
        "10.0.0.1.",
        "10.0.0.1.1",
        "10.0.0.1 ",
        "10.0.0.9-5",
        "10.0.0.-5",
        "10.0.0.5-",
        "10.0.0.0/33",
        "10.0.0.1/24",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.*.*.*/8",
        "10.0/16",
        "/8",
        "::/129",
        "2001:db8::1/32",
        ":",
        ":::",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7::8",
        "12345::",
        "g::",
        "1:2:3:4:5:6:7:",
        ":1:2:3:4:5:6:7",
        "::1.2.3",
        "1.2.3.4::",
        "::1.2.3.4:5",
        "[::1",
        "::1]",
        "[1.2.3.4]",
        "fe80::1%eth0",
        "::ffff:0:0/95",
        "mail.example.org",
        "192.168.0.0-192.168.0.9",
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct network n;
        const char *message = NULL;
        if (network_parse(text_of_terminated(rows[i]), &n, &message))
            fail_msg("taken: %s", rows[i]);
        assert_non_null(message);
    }
}

static void a_mapped_address_is_its_ipv4_address(void **state not_used)
{
    struct network_address mapped, plain;
    struct network n;
    const char *message;
    assert_true(network_address_parse(TEXT("::ffff:192.0.2.1"), &mapped));
    assert_true(network_address_parse(TEXT("192.0.2.1"), &plain));
    assert_true(network_address_equals(&mapped, &plain));
    assert_true(network_address_is_v4(&mapped));
    assert_true(network_parse(TEXT("192.0.2.0/24"), &n, &message));
    assert_true(network_contains(&n, &mapped));
}

static void all_of_one_family_holds_none_of_the_other(void **state not_used)
{
    struct network six, four;
    const char *message;
    struct network_address a4, a6;
    assert_true(network_parse(TEXT("::/0"), &six, &message));
    assert_true(network_parse(TEXT("0.0.0.0/0"), &four, &message));
    assert_true(network_address_parse(TEXT("192.0.2.1"), &a4));
    assert_true(network_address_parse(TEXT("2001:db8::1"), &a6));
    assert_true(network_contains(&six, &a6) && !network_contains(&six, &a4));
    assert_true(network_contains(&four, &a4) && !network_contains(&four, &a6));
}

static void addresses_are_written_as_rfc_5952_says(void **state not_used)
{
    static const struct {
        const char *input, *output;
    } rows[] = {
        {"2001:0DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"::ffff:10.0.0.1", "10.0.0.1"},
        {"192.0.2.10", "192.0.2.10"},
        {"::1.2.3.4", "::102:304"},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct network_address a, again;
        struct buffer b = buffer_new(100);
        assert_true(network_address_parse(text_of_terminated(rows[i].input), &a));
        network_address_append(&b, &a);
        if (!text_equals(buffer_text(&b), text_of_terminated(rows[i].output)))
            fail_msg("%s: %.*s", rows[i].input, TEXT_ARGUMENTS(buffer_text(&b)));
        assert_true(network_address_parse(buffer_text(&b), &again) && network_address_equals(&a, &again));
        buffer_done(&b);
    }
}

static void single_and_loopback_networks_are_told_from_wide_ones(void **state not_used)
{
    static const struct {
        const char *input;
        bool is_single, is_loopback;
    } rows[] = {
        {"127.0.0.1", true, true},    {"127.0.0.0/8", false, true}, {"::1", true, true},
        {"10.0.0.0/8", false, false}, {"192.0.2.1", true, false},   {"::/127", false, false},
        {"0.0.0.0/0", false, false},  {"126-127.*", false, false},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct network n;
        const char *message;
        assert_true(network_parse(text_of_terminated(rows[i].input), &n, &message));
        assert_int_equal(network_is_single(&n), rows[i].is_single);
        assert_int_equal(network_is_loopback(&n), rows[i].is_loopback);
    }
    struct network n;
    const char *message;
    struct buffer b = buffer_new(100);
    assert_true(network_parse(TEXT("172.16-31.*.*"), &n, &message));
    network_append(&b, &n);
    assert_true(text_equals(buffer_text(&b), TEXT("172.16.0.0 - 172.31.255.255")));
    buffer_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_notation_holds_its_first_and_last_address_and_not_their_neighbours),
        cmocka_unit_test(what_is_no_network_is_refused_and_never_widened),
        cmocka_unit_test(a_mapped_address_is_its_ipv4_address),
        cmocka_unit_test(all_of_one_family_holds_none_of_the_other),
        cmocka_unit_test(addresses_are_written_as_rfc_5952_says),
        cmocka_unit_test(single_and_loopback_networks_are_told_from_wide_ones),
    };
    return cmocka_run_group_tests_name("settings/network", tests, NULL, NULL);
}
