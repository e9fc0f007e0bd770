/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/accounts.h"
#include "accounts/password.h"
#include "system/file.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
    char path[32];
    int folder;
    struct arena arena;
    const struct settings *settings;
    struct accounts *accounts;
    uint64_t now_ms;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    *p = (struct place){.path = "/tmp/portiere-accounts-XXXXXX", .arena = arena_new(8 << 20), .folder = -1};
    struct settings_machine machine = {.fqdn = TEXT("mail.casa.test"), .first_domain = TEXT("casa.test")};
    if (!mkdtemp(p->path) || folder_open(-1, text_of_terminated(p->path), &p->folder) != 0)
        return -1;
    if (!settings_new_default(&p->arena, &machine, &p->settings))
        return -1;
    p->accounts = accounts_new(p->folder, 100);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    static const struct text names[] = {TEXT_INIT("accounts.db"), TEXT_INIT("accounts.db-journal"), TEXT_INIT("accounts.made"), TEXT_INIT("kept")};
    struct place *p = *state;
    accounts_free(&p->accounts);
    for (size_t i = 0; i < length_of(names); i++)
        ignored(file_remove(p->folder, names[i])); /* most are not there */
    file_close(&p->folder);
    rmdir(p->path);
    arena_done(&p->arena);
    free(p);
    return 0;
}

static void refresh(struct place *p, bool is_available)
{
    p->now_ms += 5000;
    assert_int_equal(accounts_refresh(p->accounts, p->now_ms), is_available);
    assert_int_equal(accounts_is_available(p->accounts), is_available);
    assert_int_equal(accounts_problem(p->accounts).length == 0, is_available);
}

static struct address address_of(struct text t)
{
    struct address address = {.local = TEXT_NONE, .domain = t};
    if (text_take_octet(&address.domain, '@'))
        return address;
    assert_int_equal(address_parse(t, true, &address), ADDRESS_OK);
    return address;
}

static void check_why(enum accounts_result result, enum accounts_result expected, struct buffer *why)
{
    if (result != expected || why->length)
        print_message("# %.*s\n", TEXT_ARGUMENTS(buffer_text(why)));
    assert_int_equal(result, expected);
    assert_int_equal(why->length == 0, expected == ACCOUNTS_OK);
    buffer_clear(why);
}

static void add_user(struct place *p, struct text name, enum accounts_result expected)
{
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct address address = address_of(name);
    check_why(accounts_user_add(p->accounts, &address, TEXT("x"), 1000, 1, &why), expected, &why);
}

static void add_alias(struct place *p, struct text alias, struct text target, enum accounts_result expected)
{
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct address from = address_of(alias), to = address_of(target);
    check_why(accounts_alias_add(p->accounts, p->settings, &from, &to, &why), expected, &why);
}

static void add_send_as(struct place *p, struct text account, struct text address, enum accounts_result expected)
{
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct address user = address_of(account), other = address_of(address);
    check_why(accounts_send_as_add(p->accounts, p->settings, &user, &other, &why), expected, &why);
}

static void catch_all(struct place *p, struct text domain, struct text target, enum accounts_result expected)
{
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct address to = {.local = TEXT_NONE};
    if (target.length)
        to = address_of(target);
    check_why(accounts_domain_catch_all(p->accounts, domain, target.length ? &to : NULL, &why), expected, &why);
}

static void add_domain(struct place *p, struct text domain, struct text alias_of, enum accounts_result expected)
{
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    check_why(accounts_domain_add(p->accounts, domain, alias_of, 1, &why), expected, &why);
}

static void furnish(struct place *p)
{
    refresh(p, true);
    add_domain(p, TEXT("casa.test"), TEXT_NONE, ACCOUNTS_OK);
    add_domain(p, TEXT("villa.test"), TEXT_NONE, ACCOUNTS_OK);
    add_domain(p, TEXT("haus.test"), TEXT("casa.test"), ACCOUNTS_OK);
    add_user(p, TEXT("Anna@Casa.Test"), ACCOUNTS_OK);
    add_user(p, TEXT("bruno@casa.test"), ACCOUNTS_OK);
    add_user(p, TEXT("off@casa.test"), ACCOUNTS_OK);
    add_user(p, TEXT("clara@villa.test"), ACCOUNTS_OK);
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct address off = address_of(TEXT("off@casa.test"));
    check_why(accounts_user_disable(p->accounts, &off, true, &why), ACCOUNTS_OK, &why);
    add_alias(p, TEXT("info@casa.test"), TEXT("anna@casa.test"), ACCOUNTS_OK);
    add_alias(p, TEXT("tutti@casa.test"), TEXT("anna@casa.test"), ACCOUNTS_OK);
    add_alias(p, TEXT("tutti@casa.test"), TEXT("bruno@casa.test"), ACCOUNTS_OK);
    add_alias(p, TEXT("tutti@casa.test"), TEXT("esterna@fuori.test"), ACCOUNTS_OK);
    add_alias(p, TEXT("via@casa.test"), TEXT("esterna@fuori.test"), ACCOUNTS_OK);
    add_alias(p, TEXT("vendite@casa.test"), TEXT("info@casa.test"), ACCOUNTS_OK);
    add_alias(p, TEXT("a+b@casa.test"), TEXT("bruno@casa.test"), ACCOUNTS_OK);
    add_alias(p, TEXT("doppio@casa.test"), TEXT("anna@haus.test"), ACCOUNTS_OK);
    add_alias(p, TEXT("doppio@casa.test"), TEXT("anna@casa.test"), ACCOUNTS_OK);
    catch_all(p, TEXT("villa.test"), TEXT("clara@villa.test"), ACCOUNTS_OK);
    add_send_as(p, TEXT("bruno@casa.test"), TEXT("tutti@casa.test"), ACCOUNTS_OK);
    add_send_as(p, TEXT("clara@villa.test"), TEXT("@villa.test"), ACCOUNTS_OK);
}

static struct accounts_route resolve(struct place *p, struct text name, struct text login)
{
    struct address address = {.local = TEXT_NONE, .domain = TEXT_NONE};
    if (name.length)
        assert_int_equal(address_parse(name, true, &address), ADDRESS_OK);
    return accounts_resolve(p->accounts, p->settings, &address, login, &p->arena);
}

static void an_address_leads_where_the_administrator_said(void **state)
{
    static const struct {
        struct text address, login;
        enum mail_address_kind kind;
        struct text account, forwards[2];
    } rows[] = {
        {TEXT_INIT("anna@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("ANNA@CASA.TEST"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("\"anna\"@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("anna@casa.test"), TEXT_INIT("anna@casa.test"), MAIL_ADDRESS_LOCAL_OWN, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("anna@casa.test"), TEXT_INIT("bruno@casa.test"), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("anna+liste@casa.test"), TEXT_INIT("anna@casa.test"), MAIL_ADDRESS_LOCAL_OWN, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("anna+@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("+anna@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL_NOBODY, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("\"anna+x y\"@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL_NOBODY, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("a+b@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("bruno@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("anna@haus.test"), TEXT_INIT("anna@casa.test"), MAIL_ADDRESS_LOCAL_OWN, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("anna+x@haus.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("info@haus.test"), TEXT_INIT("anna@casa.test"), MAIL_ADDRESS_LOCAL_OWN, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("vendite@casa.test"), TEXT_INIT("anna@casa.test"), MAIL_ADDRESS_LOCAL_OWN, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("vendite+x@casa.test"), TEXT_INIT("bruno@casa.test"), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("doppio@casa.test"), TEXT_INIT("anna@casa.test"), MAIL_ADDRESS_LOCAL_OWN, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("tutti@casa.test"), TEXT_INIT("anna@casa.test"), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("bruno@casa.test"), TEXT_INIT("esterna@fuori.test")}},
        {TEXT_INIT("tutti@casa.test"), TEXT_INIT("bruno@casa.test"), MAIL_ADDRESS_LOCAL_OWN, TEXT_INIT("anna@casa.test"),
         {TEXT_INIT("bruno@casa.test"), TEXT_INIT("esterna@fuori.test")}},
        {TEXT_INIT("via@casa.test"), TEXT_INIT("anna@casa.test"), MAIL_ADDRESS_LOCAL, TEXT_INIT(""), {TEXT_INIT("esterna@fuori.test")}},
        {TEXT_INIT("off@casa.test"), TEXT_INIT("off@casa.test"), MAIL_ADDRESS_LOCAL_DISABLED, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("nessuno@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL_NOBODY, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("nessuno@haus.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL_NOBODY, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("nessuno@villa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("clara@villa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("nessuno@villa.test"), TEXT_INIT("clara@villa.test"), MAIL_ADDRESS_LOCAL_OWN, TEXT_INIT("clara@villa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("x@fuori.test"), TEXT_INIT("anna@casa.test"), MAIL_ADDRESS_FOREIGN, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("anna@sub.casa.test"), TEXT_INIT(""), MAIL_ADDRESS_FOREIGN, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT("anna@[127.0.0.1]"), TEXT_INIT(""), MAIL_ADDRESS_FOREIGN, TEXT_INIT(""), {TEXT_INIT("")}},
        {TEXT_INIT(""), TEXT_INIT("anna@casa.test"), MAIL_ADDRESS_FOREIGN, TEXT_INIT(""), {TEXT_INIT("")}},
        /* the administrator is postmaster@ the primary domain by default, which is nobody: the first account */
        {TEXT_INIT("Postmaster"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("postmaster@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("postmaster@haus.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("abuse@villa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
        {TEXT_INIT("Mailer-Daemon@casa.test"), TEXT_INIT(""), MAIL_ADDRESS_LOCAL, TEXT_INIT("anna@casa.test"), {TEXT_INIT("")}},
    };
    struct place *p = *state;
    furnish(p);
    for (size_t i = 0; i < length_of(rows); i++) {
        struct accounts_route route = resolve(p, rows[i].address, rows[i].login);
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
    struct place *p = *state;
    furnish(p);
    struct settings own = *p->settings;
    p->settings = &own;
    for (size_t i = 0; i < length_of(rows); i++) {
        own.service_administrator = rows[i].administrator;
        struct accounts_route route = resolve(p, TEXT("abuse@casa.test"), TEXT_NONE);
        assert_int_equal(route.kind, rows[i].kind);
        assert_true(text_equals(route.account, rows[i].account));
        assert_true(text_equals(route.forward_count ? route.forwards[0] : TEXT_NONE, rows[i].forward));
    }
    add_user(p, TEXT("postmaster@villa.test"), ACCOUNTS_OK);
    assert_true(text_equals(resolve(p, TEXT("postmaster@villa.test"), TEXT_NONE).account, TEXT("postmaster@villa.test")));
}

static void what_makes_no_sense_is_refused_with_a_reason(void **state)
{
    struct place *p = *state;
    furnish(p);
    uint64_t before = accounts_generation(p->accounts);
    add_domain(p, TEXT("CASA.test"), TEXT_NONE, ACCOUNTS_EXISTS);
    add_domain(p, TEXT("a b"), TEXT_NONE, ACCOUNTS_REFUSED);
    add_domain(p, TEXT(""), TEXT_NONE, ACCOUNTS_REFUSED);
    add_domain(p, TEXT("localhost"), TEXT_NONE, ACCOUNTS_REFUSED);
    add_domain(p, TEXT("x.test"), TEXT("x.test"), ACCOUNTS_REFUSED);
    add_domain(p, TEXT("x.test"), TEXT("haus.test"), ACCOUNTS_REFUSED);
    add_domain(p, TEXT("x.test"), TEXT("fuori.test"), ACCOUNTS_UNKNOWN);
    add_user(p, TEXT("anna@casa.test"), ACCOUNTS_EXISTS);
    add_user(p, TEXT("info@casa.test"), ACCOUNTS_EXISTS);
    add_user(p, TEXT("anna@fuori.test"), ACCOUNTS_UNKNOWN);
    add_user(p, TEXT("dora@haus.test"), ACCOUNTS_REFUSED);
    add_alias(p, TEXT("anna@casa.test"), TEXT("bruno@casa.test"), ACCOUNTS_EXISTS);
    add_alias(p, TEXT("info@casa.test"), TEXT("anna@casa.test"), ACCOUNTS_EXISTS);
    add_alias(p, TEXT("x@casa.test"), TEXT("nessuno@casa.test"), ACCOUNTS_REFUSED);
    add_alias(p, TEXT("x@casa.test"), TEXT("x@casa.test"), ACCOUNTS_REFUSED);
    add_alias(p, TEXT("x@fuori.test"), TEXT("anna@casa.test"), ACCOUNTS_UNKNOWN);
    add_alias(p, TEXT("x@haus.test"), TEXT("anna@casa.test"), ACCOUNTS_REFUSED);
    add_send_as(p, TEXT("anna@casa.test"), TEXT("x@fuori.test"), ACCOUNTS_REFUSED);
    add_send_as(p, TEXT("anna@casa.test"), TEXT("nessuno@casa.test"), ACCOUNTS_REFUSED);
    add_send_as(p, TEXT("nessuno@casa.test"), TEXT("anna@casa.test"), ACCOUNTS_UNKNOWN);
    add_send_as(p, TEXT("bruno@casa.test"), TEXT("tutti@casa.test"), ACCOUNTS_EXISTS);
    catch_all(p, TEXT("fuori.test"), TEXT("anna@casa.test"), ACCOUNTS_UNKNOWN);
    catch_all(p, TEXT("haus.test"), TEXT("anna@casa.test"), ACCOUNTS_REFUSED);
    catch_all(p, TEXT("casa.test"), TEXT("nessuno@casa.test"), ACCOUNTS_UNKNOWN);
    assert_true(accounts_generation(p->accounts) == before);
}

static void changes_are_seen_and_make_the_generation_grow(void **state)
{
    struct place *p = *state;
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct address anna = address_of(TEXT("anna@casa.test")), info = address_of(TEXT("info@casa.test")), tutti = address_of(TEXT("tutti@casa.test"));
    furnish(p);
    uint64_t before = accounts_generation(p->accounts);
    check_why(accounts_domain_remove(p->accounts, TEXT("casa.test"), &why), ACCOUNTS_REFUSED, &why);
    check_why(accounts_alias_remove(p->accounts, &tutti, &anna, &why), ACCOUNTS_OK, &why);
    check_why(accounts_alias_remove(p->accounts, &tutti, &anna, &why), ACCOUNTS_UNKNOWN, &why);
    assert_true(text_equals(resolve(p, TEXT("tutti@casa.test"), TEXT_NONE).account, TEXT("bruno@casa.test")));
    check_why(accounts_alias_remove(p->accounts, &tutti, NULL, &why), ACCOUNTS_OK, &why);
    assert_int_equal(resolve(p, TEXT("tutti@casa.test"), TEXT_NONE).kind, MAIL_ADDRESS_LOCAL_NOBODY);
    check_why(accounts_user_quota(p->accounts, &anna, 77, &why), ACCOUNTS_OK, &why);
    assert_int_equal(resolve(p, TEXT("anna@casa.test"), TEXT_NONE).quota, 77);
    check_why(accounts_user_disable(p->accounts, &anna, true, &why), ACCOUNTS_OK, &why);
    assert_int_equal(resolve(p, TEXT("info@casa.test"), TEXT_NONE).kind, MAIL_ADDRESS_LOCAL_DISABLED);
    check_why(accounts_user_disable(p->accounts, &anna, false, &why), ACCOUNTS_OK, &why);
    check_why(accounts_user_remove(p->accounts, &anna, &why), ACCOUNTS_OK, &why);
    check_why(accounts_user_remove(p->accounts, &anna, &why), ACCOUNTS_UNKNOWN, &why);
    check_why(accounts_user_quota(p->accounts, &anna, 1, &why), ACCOUNTS_UNKNOWN, &why);
    check_why(accounts_alias_remove(p->accounts, &info, NULL, &why), ACCOUNTS_UNKNOWN, &why); /* it went with the account */
    assert_int_equal(resolve(p, TEXT("vendite@casa.test"), TEXT_NONE).kind, MAIL_ADDRESS_LOCAL_NOBODY);
    assert_true(accounts_generation(p->accounts) == before + 6);
    catch_all(p, TEXT("villa.test"), TEXT_NONE, ACCOUNTS_OK);
    assert_int_equal(resolve(p, TEXT("nessuno@villa.test"), TEXT_NONE).kind, MAIL_ADDRESS_LOCAL_NOBODY);
    check_why(accounts_alias_domain_remove(p->accounts, TEXT("casa.test"), TEXT_NONE, &why), ACCOUNTS_UNKNOWN, &why);
    check_why(accounts_alias_domain_remove(p->accounts, TEXT("haus.test"), TEXT("villa.test"), &why), ACCOUNTS_UNKNOWN, &why);
    check_why(accounts_alias_domain_remove(p->accounts, TEXT("Haus.test"), TEXT("casa.test"), &why), ACCOUNTS_OK, &why);
    assert_int_equal(resolve(p, TEXT("bruno@haus.test"), TEXT_NONE).kind, MAIL_ADDRESS_FOREIGN);
    check_why(accounts_domain_remove(p->accounts, TEXT("haus.test"), &why), ACCOUNTS_UNKNOWN, &why);
}

static void too_large_a_group_is_refused_and_never_half_delivered(void **state)
{
    struct place *p = *state;
    furnish(p);
    for (int i = 0; i <= ACCOUNTS_FORWARDS; i++) {
        char name[] = "u00@fuori.test";
        name[1] = (char)('0' + i / 10);
        name[2] = (char)('0' + i % 10);
        add_alias(p, TEXT("lista@casa.test"), text_of_terminated(name), i < ACCOUNTS_FORWARDS ? ACCOUNTS_OK : ACCOUNTS_REFUSED);
    }
    struct accounts_route route = resolve(p, TEXT("lista@casa.test"), TEXT_NONE);
    assert_int_equal(route.kind, MAIL_ADDRESS_LOCAL);
    assert_int_equal(route.forward_count, ACCOUNTS_FORWARDS);
}

static void a_log_in_name_is_an_address_or_a_name_of_the_primary_domain(void **state)
{
    static const struct {
        struct text name, account;
    } rows[] = {
        {TEXT_INIT("anna@casa.test"), TEXT_INIT("anna@casa.test")}, {TEXT_INIT("ANNA@casa.TEST"), TEXT_INIT("anna@casa.test")},
        {TEXT_INIT("anna"), TEXT_INIT("anna@casa.test")},           {TEXT_INIT("anna@haus.test"), TEXT_INIT("anna@casa.test")},
        {TEXT_INIT("off@casa.test"), TEXT_INIT("off@casa.test")},   {TEXT_INIT("clara"), TEXT_INIT("")},
        {TEXT_INIT("info@casa.test"), TEXT_INIT("")},               {TEXT_INIT("anna+x@casa.test"), TEXT_INIT("")},
        {TEXT_INIT("postmaster"), TEXT_INIT("")},                   {TEXT_INIT(""), TEXT_INIT("")},
        {TEXT_INIT("anna\r\nQUIT"), TEXT_INIT("")},                 {TEXT_INIT("\xff\xfe"), TEXT_INIT("")},
        {TEXT_INIT("anna@casa.test\0x"), TEXT_INIT("")},            {TEXT_INIT("' OR 1=1 --@casa.test"), TEXT_INIT("")},
        {TEXT_INIT("@casa.test"), TEXT_INIT("")},
    };
    struct place *p = *state;
    furnish(p);
    for (size_t i = 0; i < length_of(rows); i++) {
        struct accounts_user user = {.address = TEXT_NONE};
        enum accounts_result result = accounts_login_find(p->accounts, p->settings, rows[i].name, &p->arena, &user);
        assert_int_equal(result, rows[i].account.length ? ACCOUNTS_OK : ACCOUNTS_UNKNOWN);
        assert_true(text_equals(user.address, rows[i].account));
    }
}

static void a_credential_is_renewed_only_over_the_one_that_was_checked(void **state)
{
    struct place *p = *state;
    struct accounts_user user;
    struct address anna = address_of(TEXT("anna@casa.test"));
    furnish(p);
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
    buffer_append_format(b, "%llu:%.*s=%.*s/%.*s/%llu ", (unsigned long long)domain->place, TEXT_ARGUMENTS(domain->name), TEXT_ARGUMENTS(domain->alias_of),
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
    struct place *p = *state;
    struct buffer b released_by(buffer_done) = buffer_new(4000);
    struct accounts_pair from = {TEXT_NONE, TEXT_NONE}, behind = {TEXT("tutti@casa.test"), TEXT("bruno@casa.test")};
    furnish(p);
    assert_int_equal(accounts_domain_list(p->accounts, 0, 2, remember_domain, &b), ACCOUNTS_OK);
    expect(&b, TEXT("1:casa.test=//3 2:villa.test=/clara@villa.test/1 "));
    assert_int_equal(accounts_domain_list(p->accounts, 2, 2, remember_domain, &b), ACCOUNTS_OK);
    expect(&b, TEXT("3:haus.test=casa.test//0 "));
    assert_int_equal(accounts_user_list(p->accounts, TEXT_NONE, TEXT("anna@casa.test"), 2, remember_user, &b), ACCOUNTS_OK);
    expect(&b, TEXT("bruno@casa.test clara@villa.test "));
    assert_int_equal(accounts_user_list(p->accounts, TEXT("CASA.test"), TEXT_NONE, 9, remember_user, &b), ACCOUNTS_OK);
    expect(&b, TEXT("anna@casa.test bruno@casa.test off@casa.test(off) "));
    assert_int_equal(accounts_alias_list(p->accounts, TEXT_NONE, &from, 3, remember_pair, &b), ACCOUNTS_OK);
    expect(&b, TEXT("@haus.test>@casa.test a+b@casa.test>bruno@casa.test doppio@casa.test>anna@casa.test "));
    assert_int_equal(accounts_alias_list(p->accounts, TEXT("casa.test"), &behind, 9, remember_pair, &b), ACCOUNTS_OK);
    expect(&b, TEXT("tutti@casa.test>esterna@fuori.test vendite@casa.test>info@casa.test via@casa.test>esterna@fuori.test "));
    assert_int_equal(accounts_send_as_list(p->accounts, TEXT("clara@villa.test"), remember_pair, &b), ACCOUNTS_OK);
    expect(&b, TEXT("clara@villa.test>@villa.test "));
}

/* --- a store in trouble -------------------------------------------------------------------------------------------------------------- */

static void expect_unavailable(struct place *p)
{
    struct buffer why released_by(buffer_done) = buffer_new(2000);
    struct accounts_user user;
    struct accounts_counts counts;
    struct text key;
    static const struct text names[] = {TEXT_INIT("anna@casa.test"), TEXT_INIT("nessuno@casa.test"), TEXT_INIT("x@fuori.test"), TEXT_INIT("postmaster")};
    for (size_t i = 0; i < length_of(names); i++)
        assert_int_equal(resolve(p, names[i], TEXT("anna@casa.test")).kind, MAIL_ADDRESS_UNAVAILABLE);
    assert_int_equal(accounts_login_find(p->accounts, p->settings, TEXT("anna"), &p->arena, &user), ACCOUNTS_UNAVAILABLE);
    assert_int_equal(accounts_count(p->accounts, &counts), ACCOUNTS_UNAVAILABLE);
    assert_int_equal(accounts_fake_key(p->accounts, &key), ACCOUNTS_UNAVAILABLE);
    check_why(accounts_domain_add(p->accounts, TEXT("x.test"), TEXT_NONE, 1, &why), ACCOUNTS_UNAVAILABLE, &why);
}

static void expect_back(struct place *p)
{
    refresh(p, true);
    assert_int_equal(resolve(p, TEXT("anna@casa.test"), TEXT_NONE).kind, MAIL_ADDRESS_LOCAL);
    assert_int_equal(resolve(p, TEXT("nessuno@casa.test"), TEXT_NONE).kind, MAIL_ADDRESS_LOCAL_NOBODY);
}

static void a_store_not_opened_yet_is_unavailable(void **state)
{
    expect_unavailable(*state);
}

static void a_missing_store_is_unavailable_until_it_is_back(void **state)
{
    struct place *p = *state;
    furnish(p);
    assert_int_equal(file_rename(p->folder, TEXT("accounts.db"), p->folder, TEXT("kept")), 0);
    refresh(p, false);
    expect_unavailable(p);
    refresh(p, false);
    assert_int_equal(file_rename(p->folder, TEXT("kept"), p->folder, TEXT("accounts.db")), 0);
    expect_back(p);
}

/* Replaced by every kind of rubbish, in place, while it is open. */
static void a_damaged_store_is_unavailable_until_it_is_whole(void **state)
{
    enum { PAGE = 4096 };
    struct place *p = *state;
    static char rubbish[20 * PAGE];
    struct buffer good released_by(buffer_done) = buffer_new(4 << 20);
    furnish(p);
    accounts_free(&p->accounts);
    assert_int_equal(file_read_whole(p->folder, TEXT("accounts.db"), &good), 0);
    for (size_t i = 0; i < sizeof rubbish; i++)
        rubbish[i] = (char)(i * 7919 >> 3);
    const struct text bad[] = {
        TEXT(""),
        TEXT("x"),
        text_of(rubbish, sizeof rubbish),
        text_first(buffer_text(&good), 100),
        text_first(buffer_text(&good), PAGE),
        text_first(buffer_text(&good), good.length - PAGE),
    };
    p->accounts = accounts_new(p->folder, 100);
    for (size_t i = 0; i < length_of(bad); i++) {
        expect_back(p);
        int file released_by(file_close) = -1;
        assert_int_equal(file_open(p->folder, TEXT("kept"), O_RDWR | O_CREAT | O_TRUNC, 0600, &file), 0);
        assert_int_equal(file_write_all(file, bad[i]), 0);
        assert_int_equal(file_rename(p->folder, TEXT("kept"), p->folder, TEXT("accounts.db")), 0);
        refresh(p, false);
        print_message("# %.*s\n", TEXT_ARGUMENTS(accounts_problem(p->accounts)));
        expect_unavailable(p);
        assert_int_equal(file_replace(p->folder, TEXT("accounts.db"), buffer_text(&good), 0600), 0);
    }
    expect_back(p);
}

/* Every page in turn is spoilt: whatever SQLite makes of it, nobody of ours becomes nobody, and nothing crashes. */
static void a_flipped_page_never_makes_nobody_of_somebody(void **state)
{
    enum { PAGE = 4096 };
    struct place *p = *state;
    struct buffer good released_by(buffer_done) = buffer_new(4 << 20);
    size_t unavailable = 0;
    furnish(p);
    accounts_free(&p->accounts);
    assert_int_equal(file_read_whole(p->folder, TEXT("accounts.db"), &good), 0);
    for (size_t at = 0; at < good.length; at += PAGE / 4) {
        for (size_t i = 0; i < 64; i++)
            good.bytes[at + i] = (char)~good.bytes[at + i];
        assert_int_equal(file_replace(p->folder, TEXT("accounts.db"), buffer_text(&good), 0600), 0);
        p->accounts = accounts_new(p->folder, 100);
        p->now_ms += 5000;
        ignored(accounts_refresh(p->accounts, p->now_ms)); /* the answer below counts */
        enum mail_address_kind kind = resolve(p, TEXT("bruno@casa.test"), TEXT_NONE).kind;
        assert_true(kind == MAIL_ADDRESS_LOCAL || kind == MAIL_ADDRESS_UNAVAILABLE);
        unavailable += kind == MAIL_ADDRESS_UNAVAILABLE;
        accounts_free(&p->accounts);
        for (size_t i = 0; i < 64; i++)
            good.bytes[at + i] = (char)~good.bytes[at + i];
    }
    print_message("# %zu places spoilt, %zu times unavailable\n", good.length / (PAGE / 4), unavailable);
    assert_true(unavailable > 0);
    assert_int_equal(file_replace(p->folder, TEXT("accounts.db"), buffer_text(&good), 0600), 0);
    p->accounts = accounts_new(p->folder, 100);
    expect_back(p);
}

static void another_file_is_not_taken_for_a_store(void **state)
{
    struct place *p = *state;
    furnish(p);
    assert_int_equal(file_remove(p->folder, TEXT("accounts.db")), 0);
    assert_int_equal(symlinkat("/etc/passwd", p->folder, "accounts.db"), 0);
    refresh(p, false);
    expect_unavailable(p);
}

static void two_processes_do_not_share_a_store(void **state)
{
    struct place *p = *state;
    furnish(p);
    pid_t child = fork();
    if (child == 0) {
        struct accounts *second = accounts_new(p->folder, 100);
        _exit(accounts_refresh(second, 1) ? 1 : 0);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    expect_back(p);
}

static void the_generation_outlives_a_clock_set_back(void **state)
{
    struct place *p = *state;
    furnish(p);
    uint64_t before = accounts_generation(p->accounts);
    accounts_free(&p->accounts);
    p->accounts = accounts_new(p->folder, 1);
    refresh(p, true);
    assert_true(accounts_generation(p->accounts) > before);
}

/* --- passwords ------------------------------------------------------------------------------------------------------------------------ */

static void weak_passwords_are_refused_by_rule_and_setting(void **state)
{
    static const struct {
        struct text password;
        unsigned faults;
    } rows[] = {
        {TEXT_INIT("anna2026"), PASSWORD_SHORT | PASSWORD_HAS_NAME | PASSWORD_COMMON},
        {TEXT_INIT("kx8#vQ2m!zL"), PASSWORD_SHORT},
        {TEXT_INIT("kx8#vQ2m!zLp"), 0},
        {TEXT_INIT("kx8#\xc3\xa4" "Q2m!zL"), PASSWORD_SHORT},
        {TEXT_INIT("kx8#\xc3\xa4" "Q2m!zLp"), 0},
        {TEXT_INIT("password1234"), PASSWORD_COMMON},
        {TEXT_INIT("passwordpassword"), PASSWORD_COMMON},
        {TEXT_INIT("unbelievable"), PASSWORD_COMMON},
        {TEXT_INIT("qwertyuiop12"), PASSWORD_COMMON},
        {TEXT_INIT("123456789012"), PASSWORD_COMMON},
        {TEXT_INIT("aaaaaaaaaaaaaaaa"), PASSWORD_COMMON},
        {TEXT_INIT("segreto-di-prova"), 0},
        {TEXT_INIT("segreto-ANNA-prova"), PASSWORD_HAS_NAME},
        {TEXT_INIT("segreto\ndi-prova"), PASSWORD_NO_TEXT},
        {TEXT_INIT("segreto\0di-prova"), PASSWORD_NO_TEXT},
        {TEXT_INIT("segreto\xff-di-prova"), PASSWORD_NO_TEXT},
        {TEXT_INIT(""), PASSWORD_SHORT | PASSWORD_COMMON},
    };
    struct place *p = *state;
    struct address anna = address_of(TEXT("Anna+x@casa.test")), al = address_of(TEXT("di@casa.test"));
    for (size_t i = 0; i < length_of(rows); i++) {
        struct buffer why released_by(buffer_done) = buffer_new(1000);
        assert_int_equal(password_faults(p->settings, &anna, rows[i].password), rows[i].faults);
        password_faults_append(&why, rows[i].faults, p->settings);
        print_message("# %.*s\n", TEXT_ARGUMENTS(buffer_text(&why)));
        assert_int_equal(why.length > 0, rows[i].faults != 0);
        assert_true(rows[i].password.length == 0 || text_find(buffer_text(&why), rows[i].password) == why.length);
    }
    assert_int_equal(password_faults(p->settings, &al, TEXT("segreto-di-prova")), 0);
    struct settings lax = *p->settings;
    lax.security_password_min_length = 4;
    lax.security_password_common = SETTINGS_PASSWORD_RULE_ALLOW;
    lax.security_password_user_name = SETTINGS_PASSWORD_RULE_ALLOW;
    assert_int_equal(password_faults(&lax, &anna, TEXT("anna2026")), 0);
}

int main(void)
{
#define PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PLACE(an_address_leads_where_the_administrator_said),
        PLACE(the_administrator_set_gets_the_service_addresses),
        PLACE(what_makes_no_sense_is_refused_with_a_reason),
        PLACE(changes_are_seen_and_make_the_generation_grow),
        PLACE(too_large_a_group_is_refused_and_never_half_delivered),
        PLACE(a_log_in_name_is_an_address_or_a_name_of_the_primary_domain),
        PLACE(a_credential_is_renewed_only_over_the_one_that_was_checked),
        PLACE(lists_come_in_pieces),
        PLACE(a_store_not_opened_yet_is_unavailable),
        PLACE(a_missing_store_is_unavailable_until_it_is_back),
        PLACE(a_damaged_store_is_unavailable_until_it_is_whole),
        PLACE(a_flipped_page_never_makes_nobody_of_somebody),
        PLACE(another_file_is_not_taken_for_a_store),
        PLACE(two_processes_do_not_share_a_store),
        PLACE(the_generation_outlives_a_clock_set_back),
        PLACE(weak_passwords_are_refused_by_rule_and_setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
