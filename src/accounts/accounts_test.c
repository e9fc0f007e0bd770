/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/house_for_tests.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void an_address_leads_where_the_administrator_said(void **state)
{
    static const struct {
        struct text address, login;
        enum mail_address_kind kind;
        struct text account, forwards[2];
    } rows[] = {
        {TEXT_INIT("anna@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("ANNA@CASA.TEST"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("\"anna\"@casa.test"),
         TEXT_INIT(""),
         MAIL_ADDRESS_LOCAL,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("anna@casa.test"),
         TEXT_INIT("anna@casa.test"),
         MAIL_ADDRESS_LOCAL_OWN,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("anna@casa.test"),
         TEXT_INIT("bruno@casa.test"),
         MAIL_ADDRESS_LOCAL,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("anna+liste@casa.test"),
         TEXT_INIT("anna@casa.test"),
         MAIL_ADDRESS_LOCAL_OWN,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("anna+@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("+anna@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL_NOBODY, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("\"anna+x y\"@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL_NOBODY, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("a+b@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("bruno@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("anna@haus.test"),
         TEXT_INIT("anna@casa.test"),
         MAIL_ADDRESS_LOCAL_OWN,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("anna+x@haus.test"),
         TEXT_INIT(""),
         MAIL_ADDRESS_LOCAL,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("info@haus.test"),
         TEXT_INIT("anna@casa.test"),
         MAIL_ADDRESS_LOCAL_OWN,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("vendite@casa.test"),
         TEXT_INIT("anna@casa.test"),
         MAIL_ADDRESS_LOCAL_OWN,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("vendite+x@casa.test"),
         TEXT_INIT("bruno@casa.test"),
         MAIL_ADDRESS_LOCAL,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("doppio@casa.test"),
         TEXT_INIT("anna@casa.test"),
         MAIL_ADDRESS_LOCAL_OWN,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("tutti@casa.test"),
         TEXT_INIT("anna@casa.test"),
         MAIL_ADDRESS_LOCAL,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("bruno@casa.test"), TEXT_INIT("esterna@fuori.test")}},
        {TEXT_INIT("tutti@casa.test"),
         TEXT_INIT("bruno@casa.test"),
         MAIL_ADDRESS_LOCAL_OWN,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("bruno@casa.test"), TEXT_INIT("esterna@fuori.test")}},
        {TEXT_INIT("via@casa.test"),
         TEXT_INIT("anna@casa.test"),
         MAIL_ADDRESS_LOCAL,
         TEXT_INIT(""),
         {TEXT_INIT("esterna@fuori.test")}},
        {TEXT_INIT("off@casa.test"),
         TEXT_INIT("off@casa.test"),
         MAIL_ADDRESS_LOCAL_DISABLED,
         TEXT_INIT(""),
         {TEXT_INIT("")}},
        {TEXT_INIT("nessuno@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL_NOBODY, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("nessuno@haus.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL_NOBODY, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("nessuno@villa.test"),
         TEXT_INIT(""),
         MAIL_ADDRESS_LOCAL,
         TEXT_INIT("clara@villa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("nessuno@villa.test"),
         TEXT_INIT("clara@villa.test"),
         MAIL_ADDRESS_LOCAL_OWN,
         TEXT_INIT("clara@villa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("x@fuori.test"), TEXT_INIT("anna@casa.test"), MAIL_ADDRESS_FOREIGN, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("anna@sub.casa.test"), TEXT_INIT(""), MAIL_ADDRESS_FOREIGN, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("anna@[127.0.0.1]"), TEXT_INIT(""), MAIL_ADDRESS_FOREIGN, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT(""), TEXT_INIT("anna@casa.test"), MAIL_ADDRESS_FOREIGN, TEXT_INIT(""), {TEXT_INIT("")}},
        /* the administrator is postmaster@ the primary domain by default, which is nobody: the first account */
        {TEXT_INIT("Postmaster"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("postmaster@casa.test"),
         TEXT_INIT(""),
         MAIL_ADDRESS_LOCAL,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("postmaster@haus.test"),
         TEXT_INIT(""),
         MAIL_ADDRESS_LOCAL,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("abuse@villa.test"),
         TEXT_INIT(""),
         MAIL_ADDRESS_LOCAL,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
        {TEXT_INIT("Mailer-Daemon@casa.test"),
         TEXT_INIT(""),
         MAIL_ADDRESS_LOCAL,
         TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("")}},
    };
    struct house *p = *state;
    house_furnish(p);
    for (size_t i = 0; i < length_of(rows); i++) {
        struct accounts_route route = house_resolve(p, rows[i].address, rows[i].login);
        print_message("# %.*s for %.*s\n", TEXT_ARGUMENTS(rows[i].address), TEXT_ARGUMENTS(rows[i].login));
        assert_int_equal(route.kind, rows[i].kind);
        assert_true(text_equals(route.account, rows[i].account));
        for (size_t f = 0; f < length_of(rows[i].forwards); f++)
            assert_true(text_equals(f < route.forward_count ? route.forwards[f] : TEXT_NONE, rows[i].forwards[f]));
        assert_int_equal(route.quota, rows[i].account.length ? 1000 : 0);
    }
}

static void the_administrator_set_gets_the_service_addresses(void **state)
{
    static const struct {
        struct text administrator;
        enum mail_address_kind kind;
        struct text account, forward;
    } rows[] = {
        {TEXT_INIT("bruno@casa.test"), MAIL_ADDRESS_LOCAL, TEXT_INIT("bruno@casa.test"), TEXT_INIT("")},
        {TEXT_INIT("vendite@casa.test"), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), TEXT_INIT("")},
        {TEXT_INIT("clara@villa.test"), MAIL_ADDRESS_LOCAL, TEXT_INIT("clara@villa.test"), TEXT_INIT("")},
        {TEXT_INIT("capo@fuori.test"), MAIL_ADDRESS_LOCAL, TEXT_INIT(""), TEXT_INIT("capo@fuori.test")},
        {TEXT_INIT("off@casa.test"), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), TEXT_INIT("")},
        {TEXT_INIT("nessuno@casa.test"), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), TEXT_INIT("")},
        {TEXT_INIT("postmaster@casa.test"), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), TEXT_INIT("")},
        {TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), TEXT_INIT("")},
    };
    struct house *p = *state;
    house_furnish(p);
    struct settings own = *p->settings;
    p->settings = &own;
    for (size_t i = 0; i < length_of(rows); i++) {
        own.service_administrator = rows[i].administrator;
        struct accounts_route route = house_resolve(p, TEXT("abuse@casa.test"), TEXT_NONE);
        assert_int_equal(route.kind, rows[i].kind);
        assert_true(text_equals(route.account, rows[i].account));
        assert_true(text_equals(route.forward_count ? route.forwards[0] : TEXT_NONE, rows[i].forward));
    }
    house_add_user(p, TEXT("postmaster@villa.test"), ACCOUNTS_OK);
    assert_true(
        text_equals(house_resolve(p, TEXT("postmaster@villa.test"), TEXT_NONE).account, TEXT("postmaster@villa.test")));
}

static void what_makes_no_sense_is_refused_with_a_reason(void **state)
{
    struct house *p = *state;
    house_furnish(p);
    uint64_t before = accounts_generation(p->accounts);
    house_add_domain(p, TEXT("CASA.test"), TEXT_NONE, ACCOUNTS_EXISTS);
    house_add_domain(p, TEXT("a b"), TEXT_NONE, ACCOUNTS_REFUSED);
    house_add_domain(p, TEXT(""), TEXT_NONE, ACCOUNTS_REFUSED);
    house_add_domain(p, TEXT("localhost"), TEXT_NONE, ACCOUNTS_REFUSED);
    house_add_domain(p, TEXT("x.test"), TEXT("x.test"), ACCOUNTS_REFUSED);
    house_add_domain(p, TEXT("x.test"), TEXT("haus.test"), ACCOUNTS_REFUSED);
    house_add_domain(p, TEXT("x.test"), TEXT("fuori.test"), ACCOUNTS_UNKNOWN);
    house_add_user(p, TEXT("anna@casa.test"), ACCOUNTS_EXISTS);
    house_add_user(p, TEXT("info@casa.test"), ACCOUNTS_EXISTS);
    house_add_user(p, TEXT("anna@fuori.test"), ACCOUNTS_UNKNOWN);
    house_add_user(p, TEXT("dora@haus.test"), ACCOUNTS_REFUSED);
    house_add_alias(p, TEXT("anna@casa.test"), TEXT("bruno@casa.test"), ACCOUNTS_EXISTS);
    house_add_alias(p, TEXT("info@casa.test"), TEXT("anna@casa.test"), ACCOUNTS_EXISTS);
    house_add_alias(p, TEXT("x@casa.test"), TEXT("nessuno@casa.test"), ACCOUNTS_REFUSED);
    house_add_alias(p, TEXT("x@casa.test"), TEXT("x@casa.test"), ACCOUNTS_REFUSED);
    house_add_alias(p, TEXT("x@fuori.test"), TEXT("anna@casa.test"), ACCOUNTS_UNKNOWN);
    house_add_alias(p, TEXT("x@haus.test"), TEXT("anna@casa.test"), ACCOUNTS_REFUSED);
    house_add_send_as(p, TEXT("anna@casa.test"), TEXT("x@fuori.test"), ACCOUNTS_REFUSED);
    house_add_send_as(p, TEXT("anna@casa.test"), TEXT("nessuno@casa.test"), ACCOUNTS_REFUSED);
    house_add_send_as(p, TEXT("nessuno@casa.test"), TEXT("anna@casa.test"), ACCOUNTS_UNKNOWN);
    house_add_send_as(p, TEXT("bruno@casa.test"), TEXT("tutti@casa.test"), ACCOUNTS_EXISTS);
    house_catch_all(p, TEXT("fuori.test"), TEXT("anna@casa.test"), ACCOUNTS_UNKNOWN);
    house_catch_all(p, TEXT("haus.test"), TEXT("anna@casa.test"), ACCOUNTS_REFUSED);
    house_catch_all(p, TEXT("casa.test"), TEXT("nessuno@casa.test"), ACCOUNTS_UNKNOWN);
    assert_true(accounts_generation(p->accounts) == before);
}

static void changes_are_seen_and_make_the_generation_grow(void **state)
{
    struct house *p = *state;
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct address anna = house_address_of(TEXT("anna@casa.test")), info = house_address_of(TEXT("info@casa.test")),
                   tutti = house_address_of(TEXT("tutti@casa.test"));
    house_furnish(p);
    uint64_t before = accounts_generation(p->accounts);
    house_check_why(accounts_domain_remove(p->accounts, TEXT("casa.test"), &why), ACCOUNTS_REFUSED, &why);
    house_check_why(accounts_alias_remove(p->accounts, &tutti, &anna, &why), ACCOUNTS_OK, &why);
    house_check_why(accounts_alias_remove(p->accounts, &tutti, &anna, &why), ACCOUNTS_UNKNOWN, &why);
    assert_true(text_equals(house_resolve(p, TEXT("tutti@casa.test"), TEXT_NONE).account, TEXT("bruno@casa.test")));
    house_check_why(accounts_alias_remove(p->accounts, &tutti, NULL, &why), ACCOUNTS_OK, &why);
    assert_int_equal(house_resolve(p, TEXT("tutti@casa.test"), TEXT_NONE).kind, MAIL_ADDRESS_LOCAL_NOBODY);
    house_check_why(accounts_user_quota(p->accounts, &anna, 77, &why), ACCOUNTS_OK, &why);
    assert_int_equal(house_resolve(p, TEXT("anna@casa.test"), TEXT_NONE).quota, 77);
    house_check_why(accounts_user_disable(p->accounts, &anna, true, &why), ACCOUNTS_OK, &why);
    assert_int_equal(house_resolve(p, TEXT("info@casa.test"), TEXT_NONE).kind, MAIL_ADDRESS_LOCAL_DISABLED);
    house_check_why(accounts_user_disable(p->accounts, &anna, false, &why), ACCOUNTS_OK, &why);
    house_check_why(accounts_user_remove(p->accounts, &anna, &why), ACCOUNTS_OK, &why);
    house_check_why(accounts_user_remove(p->accounts, &anna, &why), ACCOUNTS_UNKNOWN, &why);
    house_check_why(accounts_user_quota(p->accounts, &anna, 1, &why), ACCOUNTS_UNKNOWN, &why);
    house_check_why(accounts_alias_remove(p->accounts, &info, NULL, &why), ACCOUNTS_UNKNOWN,
                    &why); /* it went with the account */
    assert_int_equal(house_resolve(p, TEXT("vendite@casa.test"), TEXT_NONE).kind, MAIL_ADDRESS_LOCAL_NOBODY);
    assert_true(accounts_generation(p->accounts) == before + 6);
    house_catch_all(p, TEXT("villa.test"), TEXT_NONE, ACCOUNTS_OK);
    assert_int_equal(house_resolve(p, TEXT("nessuno@villa.test"), TEXT_NONE).kind, MAIL_ADDRESS_LOCAL_NOBODY);
    house_check_why(accounts_alias_domain_remove(p->accounts, TEXT("casa.test"), TEXT_NONE, &why), ACCOUNTS_UNKNOWN,
                    &why);
    house_check_why(accounts_alias_domain_remove(p->accounts, TEXT("haus.test"), TEXT("villa.test"), &why),
                    ACCOUNTS_UNKNOWN, &why);
    house_check_why(accounts_alias_domain_remove(p->accounts, TEXT("Haus.test"), TEXT("casa.test"), &why), ACCOUNTS_OK,
                    &why);
    assert_int_equal(house_resolve(p, TEXT("bruno@haus.test"), TEXT_NONE).kind, MAIL_ADDRESS_FOREIGN);
    house_check_why(accounts_domain_remove(p->accounts, TEXT("haus.test"), &why), ACCOUNTS_UNKNOWN, &why);
}

static void too_large_a_group_is_refused_and_never_half_delivered(void **state)
{
    struct house *p = *state;
    house_furnish(p);
    for (int i = 0; i <= ACCOUNTS_FORWARDS; i++) {
        char name[] = "u00@fuori.test";
        name[1] = (char)('0' + i / 10);
        name[2] = (char)('0' + i % 10);
        house_add_alias(p, TEXT("lista@casa.test"), text_of_terminated(name),
                        i < ACCOUNTS_FORWARDS ? ACCOUNTS_OK : ACCOUNTS_REFUSED);
    }
    struct accounts_route route = house_resolve(p, TEXT("lista@casa.test"), TEXT_NONE);
    assert_int_equal(route.kind, MAIL_ADDRESS_LOCAL);
    assert_int_equal(route.forward_count, ACCOUNTS_FORWARDS);
}

static void a_log_in_name_is_an_address_or_a_name_of_the_primary_domain(void **state)
{
    static const struct {
        struct text name, account;
    } rows[] = {
        {TEXT_INIT("anna@casa.test"), TEXT_INIT("anna@casa.test")},
        {TEXT_INIT("ANNA@casa.TEST"), TEXT_INIT("anna@casa.test")},
        {TEXT_INIT("anna"), TEXT_INIT("anna@casa.test")},
        {TEXT_INIT("anna@haus.test"), TEXT_INIT("anna@casa.test")},
        {TEXT_INIT("off@casa.test"), TEXT_INIT("off@casa.test")},
        {TEXT_INIT("clara"), TEXT_INIT("")},
        {TEXT_INIT("info@casa.test"), TEXT_INIT("")},
        {TEXT_INIT("anna+x@casa.test"), TEXT_INIT("")},
        {TEXT_INIT("postmaster"), TEXT_INIT("")},
        {TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("anna\r\nQUIT"), TEXT_INIT("")},
        {TEXT_INIT("\xff\xfe"), TEXT_INIT("")},
        {TEXT_INIT("anna@casa.test\0x"), TEXT_INIT("")},
        {TEXT_INIT("' OR 1=1 --@casa.test"), TEXT_INIT("")},
        {TEXT_INIT("@casa.test"), TEXT_INIT("")},
    };
    struct house *p = *state;
    house_furnish(p);
    for (size_t i = 0; i < length_of(rows); i++) {
        struct accounts_user user = {.address = TEXT_NONE};
        enum accounts_result result = accounts_login_find(p->accounts, p->settings, rows[i].name, &p->arena, &user);
        assert_int_equal(result, rows[i].account.length ? ACCOUNTS_OK : ACCOUNTS_UNKNOWN);
        assert_true(text_equals(user.address, rows[i].account));
    }
}

static void a_credential_is_renewed_only_over_the_one_that_was_checked(void **state)
{
    struct house *p = *state;
    struct accounts_user user;
    struct address anna = house_address_of(TEXT("anna@casa.test"));
    house_furnish(p);
    uint64_t before = accounts_generation(p->accounts);
    assert_int_equal(accounts_user_renew(p->accounts, TEXT("anna@casa.test"), TEXT("other"), TEXT("new")), ACCOUNTS_OK);
    assert_int_equal(accounts_user_find(p->accounts, &anna, &p->arena, &user), ACCOUNTS_OK);
    assert_true(text_equals(user.credential, TEXT("x")));
    assert_int_equal(accounts_user_renew(p->accounts, TEXT("anna@casa.test"), TEXT("x"), TEXT("new")), ACCOUNTS_OK);
    assert_int_equal(accounts_user_find(p->accounts, &anna, &p->arena, &user), ACCOUNTS_OK);
    assert_true(text_equals(user.credential, TEXT("new")));
    assert_true(accounts_generation(p->accounts) == before);
}

static void remember_pair(void *context, const struct accounts_pair *pair)
{
    struct buffer *b = context;
    buffer_append_format(b, "%.*s>%.*s ", TEXT_ARGUMENTS(pair->name), TEXT_ARGUMENTS(pair->value));
}

static void remember_user(void *context, const struct accounts_user *user)
{
    struct buffer *b = context;
    buffer_append_format(b, "%.*s%s ", TEXT_ARGUMENTS(user->address), user->is_disabled ? "(off)" : "");
}

static void remember_domain(void *context, const struct accounts_domain *domain)
{
    struct buffer *b = context;
    buffer_append_format(b, "%llu:%.*s=%.*s/%.*s/%llu ", (unsigned long long)domain->place,
                         TEXT_ARGUMENTS(domain->name), TEXT_ARGUMENTS(domain->alias_of),
                         TEXT_ARGUMENTS(domain->catch_all), (unsigned long long)domain->users);
}

static void expect(struct buffer *b, struct text expected)
{
    print_message("# %.*s\n", TEXT_ARGUMENTS(buffer_text(b)));
    assert_true(text_equals(buffer_text(b), expected));
    buffer_clear(b);
}

static void lists_come_in_pieces(void **state)
{
    struct house *p = *state;
    struct buffer b released_by(buffer_done) = buffer_new(4000);
    struct accounts_pair from = {TEXT_NONE, TEXT_NONE}, behind = {TEXT("tutti@casa.test"), TEXT("bruno@casa.test")};
    house_furnish(p);
    assert_int_equal(accounts_domain_list(p->accounts, 0, 2, remember_domain, &b), ACCOUNTS_OK);
    expect(&b, TEXT("1:casa.test=//3 2:villa.test=/clara@villa.test/1 "));
    assert_int_equal(accounts_domain_list(p->accounts, 2, 2, remember_domain, &b), ACCOUNTS_OK);
    expect(&b, TEXT("3:haus.test=casa.test//0 "));
    assert_int_equal(accounts_user_list(p->accounts, TEXT_NONE, TEXT("anna@casa.test"), 2, remember_user, &b),
                     ACCOUNTS_OK);
    expect(&b, TEXT("bruno@casa.test clara@villa.test "));
    assert_int_equal(accounts_user_list(p->accounts, TEXT("CASA.test"), TEXT_NONE, 9, remember_user, &b), ACCOUNTS_OK);
    expect(&b, TEXT("anna@casa.test bruno@casa.test off@casa.test(off) "));
    assert_int_equal(accounts_alias_list(p->accounts, TEXT_NONE, &from, 3, remember_pair, &b), ACCOUNTS_OK);
    expect(&b, TEXT("@haus.test>@casa.test a+b@casa.test>bruno@casa.test doppio@casa.test>anna@casa.test "));
    assert_int_equal(accounts_alias_list(p->accounts, TEXT("casa.test"), &behind, 9, remember_pair, &b), ACCOUNTS_OK);
    expect(
        &b,
        TEXT("tutti@casa.test>esterna@fuori.test vendite@casa.test>info@casa.test via@casa.test>esterna@fuori.test "));
    assert_int_equal(accounts_send_as_list(p->accounts, TEXT("clara@villa.test"), remember_pair, &b), ACCOUNTS_OK);
    expect(&b, TEXT("clara@villa.test>@villa.test "));
}

int main(void)
{
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, house_set_up, house_tear_down)
    const struct CMUnitTest tests[] = {
        HOUSE(an_address_leads_where_the_administrator_said),
        HOUSE(the_administrator_set_gets_the_service_addresses),
        HOUSE(what_makes_no_sense_is_refused_with_a_reason),
        HOUSE(changes_are_seen_and_make_the_generation_grow),
        HOUSE(too_large_a_group_is_refused_and_never_half_delivered),
        HOUSE(a_log_in_name_is_an_address_or_a_name_of_the_primary_domain),
        HOUSE(a_credential_is_renewed_only_over_the_one_that_was_checked),
        HOUSE(lists_come_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
