/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/login.h"
#include "accounts/turn.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void the_dialogue_takes_each_form_of_plain_and_login(void **state not_used)
{
    static const struct {
        struct text mechanism, responses[3];
        size_t count;
        enum login_outcome outcome; /* of the last one */
        struct text challenge, name, exchange;
    } rows[] = {
        {TEXT_INIT("PLAIN"),
         {TEXT_INIT("\0tim\0tanstaaf")},
         1,
         LOGIN_CHECK,
         TEXT_INIT(""),
         TEXT_INIT("tim"),
         TEXT_INIT("\0tim\0tanstaaf")},
        {TEXT_INIT("plain"),
         {TEXT_INIT("tim\0tim\0tanstaaf")},
         1,
         LOGIN_CHECK,
         TEXT_INIT(""),
         TEXT_INIT("tim"),
         TEXT_INIT("tim\0tim\0tanstaaf")},
        {TEXT_INIT("PLAIN"), {TEXT_INIT("")}, 1, LOGIN_CHALLENGE, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("PLAIN"),
         {TEXT_INIT(""), TEXT_INIT("\0tim\0x")},
         2,
         LOGIN_CHECK,
         TEXT_INIT(""),
         TEXT_INIT("tim"),
         TEXT_INIT("\0tim\0x")},
        {TEXT_INIT("PLAIN"),
         {TEXT_INIT(""), TEXT_INIT("")},
         2,
         LOGIN_MALFORMED,
         TEXT_INIT(""),
         TEXT_INIT(""),
         TEXT_INIT("")},
        {TEXT_INIT("PLAIN"),
         {TEXT_INIT("Ursel\0Kurt\0xipj3plmq")},
         1,
         LOGIN_WRONG,
         TEXT_INIT(""),
         TEXT_INIT(""),
         TEXT_INIT("")},
        {TEXT_INIT("PLAIN"), {TEXT_INIT("\0tim\0")}, 1, LOGIN_WRONG, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("PLAIN"), {TEXT_INIT("\0\0x")}, 1, LOGIN_MALFORMED, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("PLAIN"),
         {TEXT_INIT("tim\0tanstaaf")},
         1,
         LOGIN_MALFORMED,
         TEXT_INIT(""),
         TEXT_INIT(""),
         TEXT_INIT("")},
        {TEXT_INIT("PLAIN"), {TEXT_INIT("tim")}, 1, LOGIN_MALFORMED, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("PLAIN"),
         {TEXT_INIT("\0tim\0a\0b")},
         1,
         LOGIN_MALFORMED,
         TEXT_INIT(""),
         TEXT_INIT(""),
         TEXT_INIT("")},
        {TEXT_INIT("LOGIN"), {TEXT_INIT("")}, 1, LOGIN_CHALLENGE, TEXT_INIT("Username:"), TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("LOGIN"),
         {TEXT_INIT("tim")},
         1,
         LOGIN_CHALLENGE,
         TEXT_INIT("Password:"),
         TEXT_INIT("tim"),
         TEXT_INIT("")},
        {TEXT_INIT("LOGIN"),
         {TEXT_INIT(""), TEXT_INIT("tim")},
         2,
         LOGIN_CHALLENGE,
         TEXT_INIT("Password:"),
         TEXT_INIT("tim"),
         TEXT_INIT("")},
        {TEXT_INIT("LOGIN"),
         {TEXT_INIT(""), TEXT_INIT("tim"), TEXT_INIT("tanstaaf")},
         3,
         LOGIN_CHECK,
         TEXT_INIT(""),
         TEXT_INIT("tim"),
         TEXT_INIT("tim\0tanstaaf")},
        {TEXT_INIT("login"),
         {TEXT_INIT("tim"), TEXT_INIT("tanstaaf")},
         2,
         LOGIN_CHECK,
         TEXT_INIT(""),
         TEXT_INIT("tim"),
         TEXT_INIT("tim\0tanstaaf")},
        {TEXT_INIT("LOGIN"),
         {TEXT_INIT(""), TEXT_INIT("")},
         2,
         LOGIN_CHALLENGE,
         TEXT_INIT("Password:"),
         TEXT_INIT(""),
         TEXT_INIT("")},
        {TEXT_INIT("LOGIN"),
         {TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("x")},
         3,
         LOGIN_WRONG,
         TEXT_INIT(""),
         TEXT_INIT(""),
         TEXT_INIT("")},
        {TEXT_INIT("LOGIN"),
         {TEXT_INIT("tim"), TEXT_INIT("")},
         2,
         LOGIN_WRONG,
         TEXT_INIT(""),
         TEXT_INIT("tim"),
         TEXT_INIT("")},
        {TEXT_INIT("LOGIN"),
         {TEXT_INIT("tim"), TEXT_INIT("x"), TEXT_INIT("y")},
         3,
         LOGIN_MALFORMED,
         TEXT_INIT(""),
         TEXT_INIT("tim"),
         TEXT_INIT("tim\0x")},
        {TEXT_INIT("LOGIN"), {TEXT_INIT("t\0m")}, 1, LOGIN_MALFORMED, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("EXTERNAL"), {TEXT_INIT("")}, 1, LOGIN_UNSUPPORTED, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("CRAM-MD5"), {TEXT_INIT("")}, 1, LOGIN_UNSUPPORTED, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT(""), {TEXT_INIT("")}, 1, LOGIN_UNSUPPORTED, TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("")},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct login login released_by(login_done) = {.mechanism = LOGIN_MECHANISM_NONE};
        struct text challenge = TEXT_NONE;
        enum login_outcome outcome = login_begin(&login, rows[i].mechanism, true, rows[i].responses[0], &challenge);
        for (size_t step = 1; step < rows[i].count; step++) {
            challenge = TEXT_NONE;
            outcome = login_continue(&login, rows[i].responses[step], &challenge);
        }
        print_message("# %zu %.*s\n", i, TEXT_ARGUMENTS(rows[i].mechanism));
        assert_int_equal(outcome, rows[i].outcome);
        assert_true(text_equals(challenge, rows[i].challenge));
        assert_true(text_equals(buffer_text(&login.name), rows[i].name));
        assert_true(text_equals(buffer_text(&login.response), rows[i].exchange));
    }
}

static void passwords_are_not_asked_for_in_clear(void **state not_used)
{
    static const struct text mechanisms[] = {TEXT_INIT("PLAIN"), TEXT_INIT("LOGIN")};
    for (size_t i = 0; i < length_of(mechanisms); i++) {
        struct login login released_by(login_done) = {.mechanism = LOGIN_MECHANISM_NONE};
        struct text challenge;
        assert_int_equal(login_begin(&login, mechanisms[i], false, TEXT("\0tim\0tanstaaf"), &challenge),
                         LOGIN_UNSUPPORTED);
    }
}

static void names_and_passwords_over_the_limit_end_the_dialogue(void **state not_used)
{
    static char octets[LOGIN_RESPONSE_LIMIT];
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = 'u';
    struct login login released_by(login_done) = {.mechanism = LOGIN_MECHANISM_NONE};
    struct text challenge;
    assert_int_equal(login_begin(&login, TEXT("LOGIN"), true, text_of(octets, LOGIN_NAME_LIMIT + 1), &challenge),
                     LOGIN_MALFORMED);
    login_done(&login);
    octets[0] = 0;
    octets[LOGIN_NAME_LIMIT + 2] = 0;
    assert_int_equal(login_begin(&login, TEXT("PLAIN"), true, text_of(octets, sizeof octets), &challenge), LOGIN_WRONG);
    login_done(&login);
    octets[LOGIN_NAME_LIMIT + 2] = 'u';
    octets[4] = 0;
    assert_int_equal(login_begin(&login, TEXT("PLAIN"), true, text_of(octets, sizeof octets), &challenge), LOGIN_CHECK);
}

/* --- turns
 * --------------------------------------------------------------------------------------------------------------------------
 */

struct job {
    char name[16];
};

static void add(struct turns *turns, size_t network, size_t account, struct job *job)
{
    char n[8] = {'n', (char)('a' + network % 26), (char)('a' + network / 26)},
         a[8] = {'a', (char)('a' + account % 26), (char)('a' + account / 26)};
    assert_true(turns_add(turns, text_of(n, 3), text_of(a, 3), job));
}

/* How many are served before the good one, who comes last. */
static size_t served_before(struct turns *turns, const struct job *good)
{
    for (size_t count = 0;; count++) {
        void *job = turns_take(turns);
        assert_non_null(job);
        if (job == good)
            return count;
    }
}

static void the_good_one_is_served_soon_whoever_floods(void **state not_used)
{
    static const struct {
        struct text what;
        size_t networks, accounts, good_network, good_account;
        size_t at_most;
    } rows[] = {
        {TEXT_INIT("one client, one account"), 1, 1, 100, 100, 0},
        {TEXT_INIT("many clients, one account"), 90, 1, 100, 100, 10},
        {TEXT_INIT("one client, many accounts"), 1, 90, 100, 100, 10},
        {TEXT_INIT("the same client, one account"), 1, 1, 0, 100, 10},
        {TEXT_INIT("many clients, many accounts"), 9, 9, 100, 100, 10},
    };
    enum { FLOOD = 200, SERVED_BEFORE = 10 };
    static struct job jobs[FLOOD], good;
    for (size_t i = 0; i < length_of(rows); i++) {
        struct turns *turns released_by(turns_free) = turns_new(1024, 7);
        for (size_t job = 0; job < FLOOD; job++)
            add(turns, job % rows[i].networks, job % rows[i].accounts, &jobs[job]);
        for (size_t job = 0; job < SERVED_BEFORE; job++)
            assert_non_null(turns_take(turns));
        add(turns, rows[i].good_network, rows[i].good_account, &good);
        size_t before = served_before(turns, &good);
        print_message("# %.*s: %zu before the good one\n", TEXT_ARGUMENTS(rows[i].what), before);
        assert_true(before <= rows[i].at_most);
    }
}

static void equals_are_served_in_the_order_they_came(void **state not_used)
{
    static struct job jobs[5];
    struct turns *turns released_by(turns_free) = turns_new(16, 7);
    assert_null(turns_take(turns));
    for (size_t i = 0; i < length_of(jobs); i++)
        add(turns, i, i, &jobs[i]);
    assert_true(turns_remove(turns, &jobs[2]));
    assert_false(turns_remove(turns, &jobs[2]));
    static const size_t order[] = {0, 1, 3, 4};
    for (size_t i = 0; i < length_of(order); i++)
        assert_ptr_equal(turns_take(turns), &jobs[order[i]]);
    assert_null(turns_take(turns));
}

static void one_network_never_fills_all_places(void **state not_used)
{
    static struct job jobs[16];
    struct turns *turns released_by(turns_free) = turns_new(16, 7);
    for (size_t i = 0; i < 4; i++)
        assert_true(turns_add(turns, TEXT("one"), TEXT("x"), &jobs[i]));
    assert_false(turns_add(turns, TEXT("one"), TEXT("y"), &jobs[4]));
    for (size_t i = 4; i < 16; i++)
        add(turns, i, i, &jobs[i]);
    assert_false(turns_add(turns, TEXT("other"), TEXT("z"), &jobs[0]));
    size_t place = 0, count = 0;
    while (turns_next(turns, &place))
        count++;
    assert_int_equal(count, 16);
}

/* Shares of the past must not fill the map, however many come by. */
static void turns_go_on_for_ever(void **state not_used)
{
    static struct job job;
    struct turns *turns released_by(turns_free) = turns_new(16, 7);
    for (size_t i = 0; i < 5000; i++) {
        add(turns, i % 600, i % 599, &job);
        add(turns, i % 598, i % 597, &job);
        assert_non_null(turns_take(turns));
        if (i % 10 == 9)
            while (turns_take(turns))
                ;
    }
}

static void an_ipv6_client_stands_for_its_64(void **state not_used)
{
    static const struct {
        struct text a, b;
        bool is_same;
    } rows[] = {
        {TEXT_INIT("192.0.2.1"), TEXT_INIT("192.0.2.1"), true},
        {TEXT_INIT("192.0.2.1"), TEXT_INIT("192.0.2.2"), false},
        {TEXT_INIT("192.0.2.1"), TEXT_INIT("::ffff:192.0.2.1"), true},
        {TEXT_INIT("2001:db8::1"), TEXT_INIT("2001:db8::2:1"), true},
        {TEXT_INIT("2001:db8::1"), TEXT_INIT("2001:db8:0:1::1"), false},
        {TEXT_INIT("local"), TEXT_INIT("local"), true},
    };
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer a released_by(buffer_done) = buffer_new(64), b released_by(buffer_done) = buffer_new(64);
        turn_network_append(&a, rows[i].a);
        turn_network_append(&b, rows[i].b);
        assert_int_equal(text_equals(buffer_text(&a), buffer_text(&b)), rows[i].is_same);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dialogue_takes_each_form_of_plain_and_login),
        cmocka_unit_test(passwords_are_not_asked_for_in_clear),
        cmocka_unit_test(names_and_passwords_over_the_limit_end_the_dialogue),
        cmocka_unit_test(the_good_one_is_served_soon_whoever_floods),
        cmocka_unit_test(equals_are_served_in_the_order_they_came),
        cmocka_unit_test(one_network_never_fills_all_places),
        cmocka_unit_test(turns_go_on_for_ever),
        cmocka_unit_test(an_ipv6_client_stands_for_its_64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
