/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/house_for_tests.h"

#include "system/file.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

int house_set_up(void **state)
{
    struct house *p = calloc(1, sizeof *p);
    *p = (struct house){.path = "/tmp/portiere-accounts-XXXXXX", .arena = arena_new(8 << 20), .folder = -1};
    struct settings_machine machine = {.fqdn = TEXT("mail.casa.test"), .first_domain = TEXT("casa.test")};
    if (!mkdtemp(p->path) || folder_open(-1, text_of_terminated(p->path), &p->folder) != 0)
        return -1;
    if (!settings_new_default(&p->arena, &machine, &p->settings))
        return -1;
    p->accounts = accounts_new(p->folder, 100);
    *state = p;
    return 0;
}

int house_tear_down(void **state)
{
    static const struct text names[] = {TEXT_INIT("accounts.db"), TEXT_INIT("accounts.db-journal"),
                                        TEXT_INIT("accounts.made"), TEXT_INIT("kept")};
    struct house *p = *state;
    accounts_free(&p->accounts);
    for (size_t i = 0; i < length_of(names); i++)
        ignored(file_remove(p->folder, names[i])); /* most are not there */
    file_close(&p->folder);
    rmdir(p->path);
    arena_done(&p->arena);
    free(p);
    return 0;
}

void house_refresh(struct house *p, bool is_available)
{
    p->now_ms += 5000;
    assert_int_equal(accounts_refresh(p->accounts, p->now_ms), is_available);
    assert_int_equal(accounts_is_available(p->accounts), is_available);
    assert_int_equal(accounts_problem(p->accounts).length == 0, is_available);
}

struct address house_address_of(struct text t)
{
    struct address address = {.local = TEXT_NONE, .domain = t};
    if (text_take_octet(&address.domain, '@'))
        return address;
    assert_int_equal(address_parse(t, true, &address), ADDRESS_OK);
    return address;
}

void house_check_why(enum accounts_result result, enum accounts_result expected, struct buffer *why)
{
    if (result != expected || why->length)
        print_message("# %.*s\n", TEXT_ARGUMENTS(buffer_text(why)));
    assert_int_equal(result, expected);
    assert_int_equal(why->length == 0, expected == ACCOUNTS_OK);
    buffer_clear(why);
}

void house_add_user(struct house *p, struct text name, enum accounts_result expected)
{
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct address address = house_address_of(name);
    house_check_why(accounts_user_add(p->accounts, &address, TEXT("x"), 1000, 1, &why), expected, &why);
}

void house_add_alias(struct house *p, struct text alias, struct text target, enum accounts_result expected)
{
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct address from = house_address_of(alias), to = house_address_of(target);
    house_check_why(accounts_alias_add(p->accounts, p->settings, &from, &to, &why), expected, &why);
}

void house_add_send_as(struct house *p, struct text account, struct text address, enum accounts_result expected)
{
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct address user = house_address_of(account), other = house_address_of(address);
    house_check_why(accounts_send_as_add(p->accounts, p->settings, &user, &other, &why), expected, &why);
}

void house_catch_all(struct house *p, struct text domain, struct text target, enum accounts_result expected)
{
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct address to = {.local = TEXT_NONE};
    if (target.length)
        to = house_address_of(target);
    house_check_why(accounts_domain_catch_all(p->accounts, domain, target.length ? &to : NULL, &why), expected, &why);
}

void house_add_domain(struct house *p, struct text domain, struct text alias_of, enum accounts_result expected)
{
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    house_check_why(accounts_domain_add(p->accounts, domain, alias_of, 1, &why), expected, &why);
}

void house_furnish(struct house *p)
{
    house_refresh(p, true);
    house_add_domain(p, TEXT("casa.test"), TEXT_NONE, ACCOUNTS_OK);
    house_add_domain(p, TEXT("villa.test"), TEXT_NONE, ACCOUNTS_OK);
    house_add_domain(p, TEXT("haus.test"), TEXT("casa.test"), ACCOUNTS_OK);
    house_add_user(p, TEXT("Anna@Casa.Test"), ACCOUNTS_OK);
    house_add_user(p, TEXT("bruno@casa.test"), ACCOUNTS_OK);
    house_add_user(p, TEXT("off@casa.test"), ACCOUNTS_OK);
    house_add_user(p, TEXT("clara@villa.test"), ACCOUNTS_OK);
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct address off = house_address_of(TEXT("off@casa.test"));
    house_check_why(accounts_user_disable(p->accounts, &off, true, &why), ACCOUNTS_OK, &why);
    house_add_alias(p, TEXT("info@casa.test"), TEXT("anna@casa.test"), ACCOUNTS_OK);
    house_add_alias(p, TEXT("tutti@casa.test"), TEXT("anna@casa.test"), ACCOUNTS_OK);
    house_add_alias(p, TEXT("tutti@casa.test"), TEXT("bruno@casa.test"), ACCOUNTS_OK);
    house_add_alias(p, TEXT("tutti@casa.test"), TEXT("esterna@fuori.test"), ACCOUNTS_OK);
    house_add_alias(p, TEXT("via@casa.test"), TEXT("esterna@fuori.test"), ACCOUNTS_OK);
    house_add_alias(p, TEXT("vendite@casa.test"), TEXT("info@casa.test"), ACCOUNTS_OK);
    house_add_alias(p, TEXT("a+b@casa.test"), TEXT("bruno@casa.test"), ACCOUNTS_OK);
    house_add_alias(p, TEXT("doppio@casa.test"), TEXT("anna@haus.test"), ACCOUNTS_OK);
    house_add_alias(p, TEXT("doppio@casa.test"), TEXT("anna@casa.test"), ACCOUNTS_OK);
    house_catch_all(p, TEXT("villa.test"), TEXT("clara@villa.test"), ACCOUNTS_OK);
    house_add_send_as(p, TEXT("bruno@casa.test"), TEXT("tutti@casa.test"), ACCOUNTS_OK);
    house_add_send_as(p, TEXT("clara@villa.test"), TEXT("@villa.test"), ACCOUNTS_OK);
}

struct accounts_route house_resolve(struct house *p, struct text name, struct text login)
{
    struct address address = {.local = TEXT_NONE, .domain = TEXT_NONE};
    if (name.length)
        assert_int_equal(address_parse(name, true, &address), ADDRESS_OK);
    return accounts_resolve(p->accounts, p->settings, &address, login, &p->arena);
}
