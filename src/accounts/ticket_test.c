/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/ticket.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static struct ticket_keys keys_of(const char *letter)
{
    struct ticket_keys keys = {.count = 0};
    char key[TICKET_KEY_LENGTH];
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = *letter;
    assert_true(ticket_keys_add(&keys, text_of(key, sizeof key)));
    return keys;
}

static const struct ticket anna = {.account = TEXT_INIT("anna@casa.test"), .session = 77, .expires_ms = 5000};

static void a_ticket_holds_until_its_end(void **state not_used)
{
    struct ticket_keys keys = keys_of("k");
    struct buffer b released_by(buffer_done) = buffer_new(256);
    struct ticket got;
    assert_true(ticket_make(&keys, &anna, &b));
    assert_int_equal(b.length, TICKET_LENGTH);
    assert_int_equal(ticket_check(&keys, buffer_text(&b), anna.account, 4999, &got), TICKET_OK);
    assert_true(got.session == 77 && got.expires_ms == 5000 && text_equals(got.account, anna.account));
    assert_int_equal(ticket_check(&keys, buffer_text(&b), anna.account, 5000, &got), TICKET_EXPIRED);
}

static void a_ticket_speaks_for_one_account(void **state not_used)
{
    static const struct text others[] = {TEXT_INIT(""), TEXT_INIT("anna@casa.tes"), TEXT_INIT("bruno@casa.test"),
                                         TEXT_INIT("anna@casa.test\0")};
    struct ticket_keys keys = keys_of("k");
    struct buffer b released_by(buffer_done) = buffer_new(256);
    struct ticket got;
    assert_true(ticket_make(&keys, &anna, &b));
    for (size_t i = 0; i < length_of(others); i++)
        assert_int_equal(ticket_check(&keys, buffer_text(&b), others[i], 0, &got), TICKET_FORGED);
}

static void any_changed_or_missing_octet_is_a_forgery(void **state not_used)
{
    struct ticket_keys keys = keys_of("k");
    struct buffer b released_by(buffer_done) = buffer_new(256);
    struct ticket got;
    assert_true(ticket_make(&keys, &anna, &b));
    for (size_t i = 0; i < b.length; i++) {
        b.bytes[i] = (char)(b.bytes[i] ^ 1);
        assert_int_equal(ticket_check(&keys, buffer_text(&b), anna.account, 0, &got), TICKET_FORGED);
        b.bytes[i] = (char)(b.bytes[i] ^ 1);
        assert_int_equal(ticket_check(&keys, text_first(buffer_text(&b), i), anna.account, 0, &got), TICKET_FORGED);
    }
    assert_true(buffer_append_octet(&b, 'x'));
    assert_int_equal(ticket_check(&keys, buffer_text(&b), anna.account, 0, &got), TICKET_FORGED);
}

static void tickets_of_the_vault_before_hold_and_of_strangers_do_not(void **state not_used)
{
    struct ticket_keys old = keys_of("a"), stranger = keys_of("s"), empty = {.count = 0};
    struct buffer b released_by(buffer_done) = buffer_new(256);
    struct ticket got;
    assert_true(ticket_make(&old, &anna, &b));
    struct ticket_keys newer = keys_of("b");
    assert_int_equal(ticket_check(&stranger, buffer_text(&b), anna.account, 0, &got), TICKET_FORGED);
    assert_int_equal(ticket_check(&empty, buffer_text(&b), anna.account, 0, &got), TICKET_FORGED);
    assert_true(ticket_keys_add(&old, text_of((const char *)newer.keys[0], TICKET_KEY_LENGTH)));
    assert_true(ticket_keys_add(&old, text_of((const char *)newer.keys[0], TICKET_KEY_LENGTH)));
    assert_int_equal(old.count, 2);
    assert_int_equal(ticket_check(&old, buffer_text(&b), anna.account, 0, &got), TICKET_OK);
    assert_false(ticket_keys_add(&old, TEXT("short")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_holds_until_its_end),
        cmocka_unit_test(a_ticket_speaks_for_one_account),
        cmocka_unit_test(any_changed_or_missing_octet_is_a_forgery),
        cmocka_unit_test(tickets_of_the_vault_before_hold_and_of_strangers_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
