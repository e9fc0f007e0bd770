/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, commands and trouble, through the real vault and verifier. */
#include "roles/vault_for_tests.h"

#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <unistd.h>
#include <cmocka.h>

/* T82 */
static void a_store_in_trouble_is_never_told_as_nobody(void **state)
{
    struct stage *s = *state;
    assert_int_equal(stage_kind_of(s, TEXT("anna@casa.test"), TEXT_NONE), MAIL_ADDRESS_LOCAL);
    assert_int_equal(file_rename(s->folder, TEXT("accounts.db"), s->folder, TEXT("kept")), 0);
    int file released_by(file_close) = -1;
    assert_int_equal(file_open(s->folder, TEXT("accounts.db"), O_RDWR | O_CREAT, 0600, &file), 0);
    assert_int_equal(file_write_all(file, TEXT("half a store")), 0);
    struct peers_message changed =
        stage_answer(s, s->queue, PEERS_QUEUE, PEERS_accounts_changed); /* it notices by itself */
    assert_int_equal(changed.type, PEERS_accounts_changed);
    usleep(1200000);
    static const struct text names[] = {TEXT_INIT("anna@casa.test"), TEXT_INIT("nessuno@casa.test"),
                                        TEXT_INIT("x@fuori.test"), TEXT_INIT("postmaster")};
    for (size_t i = 0; i < length_of(names); i++)
        assert_int_equal(stage_kind_of(s, names[i], TEXT_NONE), MAIL_ADDRESS_UNAVAILABLE);
    assert_int_equal(stage_plain(s, TEXT("anna@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_UNAVAILABLE);
    program_send(s->queue, PEERS_route_ask, &(struct peers_route_ask){.tag = 5, .recipient = TEXT("anna@casa.test")});
    struct peers_message m = stage_answer(s, s->queue, PEERS_QUEUE, PEERS_route_answer);
    assert_int_equal(m.route_answer.kind, MAIL_ADDRESS_UNAVAILABLE);
    COMMAND_FAILS(s, "accounts.db", "domain-add", TEXT("domain"), TEXT("x.test"));
    COMMAND_FAILS(s, "accounts.db", "account-list", TEXT("limit"), TEXT("10"));
    COMMAND_SHOWS(s, "accounts_store=vault/accounts.db", "status", TEXT("x"), TEXT(""));
    assert_int_equal(file_rename(s->folder, TEXT("kept"), s->folder, TEXT("accounts.db")), 0);
    usleep(2200000);
    assert_int_equal(stage_kind_of(s, TEXT("anna@casa.test"), TEXT_NONE), MAIL_ADDRESS_LOCAL);
    assert_int_equal(stage_kind_of(s, TEXT("nessuno@casa.test"), TEXT_NONE), MAIL_ADDRESS_LOCAL_NOBODY);
    assert_int_equal(stage_plain(s, TEXT("anna@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_DONE);
    stage_gather_events(s);
    assert_true(stage_was_told(s, TEXT("accounts-unavailable")) && stage_was_told(s, TEXT("accounts-available")));
}

static void addresses_and_routes_are_answered(void **state)
{
    struct stage *s = *state;
    struct text addresses[] = {
        TEXT("anna@casa.test"), TEXT("nessuno@casa.test"), TEXT("x@fuori.test"), TEXT("Postmaster"), TEXT(""),
        TEXT("not an address")};
    static const enum mail_address_kind kinds[] = {MAIL_ADDRESS_LOCAL_OWN, MAIL_ADDRESS_LOCAL_NOBODY,
                                                   MAIL_ADDRESS_FOREIGN,   MAIL_ADDRESS_LOCAL_OWN,
                                                   MAIL_ADDRESS_FOREIGN,   MAIL_ADDRESS_FOREIGN};
    struct peers_addresses_ask ask = {
        .tag = 9, .login = TEXT("anna@casa.test"), .addresses = {.items = addresses, .count = length_of(addresses)}};
    program_send(s->front, PEERS_addresses_ask, &ask);
    struct peers_message m = stage_answer(s, s->front, PEERS_FRONT, PEERS_addresses_answer);
    assert_int_equal(m.addresses_answer.kinds.length, length_of(addresses));
    for (size_t i = 0; i < length_of(addresses); i++)
        assert_int_equal(m.addresses_answer.kinds.bytes[i], kinds[i]);
    uint64_t generation = m.addresses_answer.generation;
    COMMAND_DOES(s, "alias-add", TEXT("alias"), TEXT("gruppo@casa.test"), TEXT("target"), TEXT("anna@casa.test"));
    COMMAND_DOES(s, "alias-add", TEXT("alias"), TEXT("gruppo@casa.test"), TEXT("target"), TEXT("x@fuori.test"));
    m = stage_answer(s, s->front, PEERS_FRONT, PEERS_accounts_changed);
    assert_true(m.accounts_changed.generation > generation);
    program_send(s->queue, PEERS_route_ask, &(struct peers_route_ask){.tag = 5, .recipient = TEXT("gruppo@casa.test")});
    m = stage_answer(s, s->queue, PEERS_QUEUE, PEERS_route_answer);
    assert_int_equal(m.route_answer.tag, 5);
    assert_int_equal(m.route_answer.kind, MAIL_ADDRESS_LOCAL);
    assert_true(text_equals(m.route_answer.account, TEXT("anna@casa.test")));
    assert_int_equal(m.route_answer.quota, 5000000);
    assert_int_equal(m.route_answer.forwards.count, 1);
    assert_true(text_equals(m.route_answer.forwards.items[0], TEXT("x@fuori.test")));
}

static void commands_say_what_is_wrong(void **state)
{
    struct stage *s = *state;
    COMMAND_FAILS(s, "already", "domain-add", TEXT("domain"), TEXT("casa.test"));
    COMMAND_FAILS(s, "no domain name", "domain-add", TEXT("x"), TEXT(""));
    COMMAND_FAILS(s, "still has 1 accounts", "domain-remove", TEXT("domain"), TEXT("casa.test"));
    COMMAND_FAILS(s, "no mail address", "account-add", TEXT("address"), TEXT("anna"));
    COMMAND_FAILS(s, "portiere domain add fuori.test", "account-add", TEXT("address"), TEXT("anna@fuori.test"));
    COMMAND_FAILS(s, "already", "account-add", TEXT("address"), TEXT("anna@casa.test"), TEXT("password"),
                  TEXT(PASSWORD));
    COMMAND_FAILS(s, "password_min_length", "account-add", TEXT("address"), TEXT("bruno@casa.test"), TEXT("password"),
                  TEXT("kx8#vQ2m!zL"));
    COMMAND_FAILS(s, "password_user_name", "account-password", TEXT("address"), TEXT("anna@casa.test"),
                  TEXT("password"), TEXT("anna2026"));
    COMMAND_FAILS(s, "password_common", "account-password", TEXT("address"), TEXT("anna@casa.test"), TEXT("password"),
                  TEXT("password1234"));
    COMMAND_FAILS(s, "too short", "account-password", TEXT("address"), TEXT("anna@casa.test"));
    COMMAND_FAILS(s, "no such account", "account-password", TEXT("address"), TEXT("bruno@casa.test"), TEXT("password"),
                  TEXT(PASSWORD));
    COMMAND_FAILS(s, "no size", "account-quota", TEXT("address"), TEXT("anna@casa.test"), TEXT("quota"), TEXT("viel"));
    COMMAND_FAILS(s, "no account", "account-disable", TEXT("address"), TEXT("bruno@casa.test"));
    COMMAND_FAILS(s, "whole domain", "alias-add", TEXT("alias"), TEXT("@haus.test"), TEXT("target"),
                  TEXT("anna@casa.test"));
    COMMAND_FAILS(s, "no alias", "alias-remove", TEXT("alias"), TEXT("x@casa.test"));
    COMMAND_FAILS(s, "no such command", "queue-list", TEXT("x"), TEXT(""));
    COMMAND_FAILS(s, "no such command", "nonsense", TEXT("x"), TEXT(""));
    struct outcome list = stage_command(s, TEXT("account-list"), NULL, 0);
    assert_int_equal(list.rows, 1);
    buffer_done(&list.text);
}

static void commands_change_and_list(void **state)
{
    struct stage *s = *state;
    COMMAND_SHOWS(s, "domain=casa.test ", "domain-first", TEXT("x"), TEXT(""));
    COMMAND_DOES(s, "alias-add", TEXT("alias"), TEXT("@haus.test"), TEXT("target"), TEXT("@casa.test"));
    COMMAND_SHOWS(s, "domain=casa.test accounts=1 alias_of= catch_all= created=", "domain-list", TEXT("x"), TEXT(""));
    COMMAND_SHOWS(s, "account=anna@casa.test disabled=no password=yes quota=5000000 created=", "account-list",
                  TEXT("domain"), TEXT("casa.test"));
    COMMAND_SHOWS(s, "alias=@haus.test target=@casa.test ", "alias-list", TEXT("x"), TEXT(""));
    COMMAND_SHOWS(s, "kind=3 account=anna@casa.test", "address-kinds", TEXT("address"), TEXT("anna@haus.test"),
                  TEXT("login"), TEXT("anna@casa.test"));
    COMMAND_DOES(s, "domain-catch-all", TEXT("domain"), TEXT("casa.test"), TEXT("address"), TEXT("anna@casa.test"));
    assert_int_equal(stage_kind_of(s, TEXT("chiunque@casa.test"), TEXT_NONE), MAIL_ADDRESS_LOCAL);
    COMMAND_DOES(s, "domain-catch-all", TEXT("domain"), TEXT("casa.test"));
    assert_int_equal(stage_kind_of(s, TEXT("chiunque@casa.test"), TEXT_NONE), MAIL_ADDRESS_LOCAL_NOBODY);
    COMMAND_DOES(s, "account-add", TEXT("address"), TEXT("bruno@casa.test"));
    COMMAND_DOES(s, "account-send-as", TEXT("address"), TEXT("bruno@casa.test"), TEXT("sender"),
                 TEXT("anna@casa.test"));
    assert_int_equal(stage_kind_of(s, TEXT("anna@casa.test"), TEXT("bruno@casa.test")), MAIL_ADDRESS_LOCAL_OWN);
    COMMAND_DOES(s, "account-send-as", TEXT("address"), TEXT("bruno@casa.test"), TEXT("sender"), TEXT("anna@casa.test"),
                 TEXT("remove"), TEXT("yes"));
    assert_int_equal(stage_kind_of(s, TEXT("anna@casa.test"), TEXT("bruno@casa.test")), MAIL_ADDRESS_LOCAL);
    stage_expect_command(s, TEXT("account-list"), (struct text[]){TEXT("limit"), TEXT("1")}, 2, COMMAND_PAGE_MORE,
                         TEXT("anna@casa.test"));
    stage_expect_command(s, TEXT("account-list"),
                         (struct text[]){TEXT("limit"), TEXT("5"), TEXT("after"), TEXT("anna@casa.test")}, 4,
                         COMMAND_EXIT_DONE, TEXT("account=bruno@casa.test"));
    COMMAND_DOES(s, "alias-remove", TEXT("alias"), TEXT("@haus.test"));
    assert_int_equal(stage_kind_of(s, TEXT("anna@haus.test"), TEXT_NONE), MAIL_ADDRESS_FOREIGN);
}

/* Whoever asks for somebody may only what that one may. */
static void rights_are_looked_at(void **state)
{
    struct stage *s = *state;
    int control released_by(file_close) = program_link(s->vault, PEERS_CONTROL);
    struct text pairs[] = {TEXT("domain"), TEXT("x.test")};
    struct peers_command_ask ask = {.tag = 3,
                                    .right = COMMAND_RIGHT_OPERATE,
                                    .caller = TEXT("nobody"),
                                    .name = TEXT("domain-add"),
                                    .arguments = {.items = pairs, .count = 2}};
    program_send(control, PEERS_command_ask, &ask);
    assert_int_equal(stage_answer(s, control, PEERS_CONTROL, PEERS_command_end).command_end.status,
                     COMMAND_EXIT_NOT_PERMITTED);
    ask.right = COMMAND_RIGHT_ADMINISTER;
    program_send(control, PEERS_command_ask, &ask);
    assert_int_equal(stage_answer(s, control, PEERS_CONTROL, PEERS_command_end).command_end.status, COMMAND_EXIT_DONE);
}

static void accounts_outlive_the_vault_killed_at_any_moment(void **state)
{
    struct stage *s = *state;
    for (int i = 0; i < 10; i++) {
        char name[] = "u0@casa.test";
        name[1] = (char)('0' + i);
        COMMAND_DOES(s, "account-add", TEXT("address"), text_of_terminated(name));
        /* one more, whose end is not waited for */
        struct text pairs[] = {TEXT("domain"), TEXT("y.test")};
        struct peers_command_ask ask = {.tag = ++s->tag,
                                        .caller = TEXT("test"),
                                        .name = TEXT("domain-add"),
                                        .arguments = {.items = pairs, .count = 2}};
        program_send(s->vault->supervisor, PEERS_command_ask, &ask);
        usleep((unsigned)i * 300);
        program_kill(&s->vault);
        stage_end_vault(s);
        stage_start_vault(s, TEXT_NONE);
        for (int known = 0; known <= i; known++) {
            name[1] = (char)('0' + known);
            assert_int_equal(stage_kind_of(s, text_of_terminated(name), TEXT_NONE), MAIL_ADDRESS_LOCAL);
        }
    }
}

/* T97 */
static void the_sandbox_holds(void **state)
{
    struct stage *s = *state;
    program_send(s->vault->supervisor, PEERS_hook, &(struct peers_hook){.what = TEXT("sandbox")});
    for (;;) {
        struct peers_message m = stage_answer(s, s->ledger, PEERS_LEDGER, PEERS_event);
        if (!text_equals(m.event.name, TEXT("sandbox-proved")))
            continue;
        assert_true(text_equals(m.event.fields.items[3], TEXT("yes")));
        break;
    }
}

int main(void)
{
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, stage_set_up_house, stage_tear_down)
    const struct CMUnitTest tests[] = {
        HOUSE(a_store_in_trouble_is_never_told_as_nobody),
        HOUSE(addresses_and_routes_are_answered),
        HOUSE(commands_say_what_is_wrong),
        HOUSE(commands_change_and_list),
        HOUSE(rights_are_looked_at),
        HOUSE(accounts_outlive_the_vault_killed_at_any_moment),
        HOUSE(the_sandbox_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
