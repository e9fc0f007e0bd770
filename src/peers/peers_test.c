/* SPDX-License-Identifier: Apache-2.0 */
#include "peers/peers.h"
#include "settings/settings.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void a_message_comes_back_as_it_was_packed(void **state not_used)
{
    struct buffer b released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
    struct arena arena released_by(arena_done) = arena_new(4096);
    struct text addresses[] = {TEXT("a@casa.test"), TEXT(""), TEXT("b@casa.test")};
    struct peers_addresses_ask ask = {.tag = UINT64_MAX - 1, .login = TEXT("a"), .addresses = {.items = addresses, .count = 3}};
    assert_true(peers_pack(&b, PEERS_addresses_ask, &ask));
    struct peers_message got;
    assert_int_equal(peers_unpack(buffer_text(&b), PEERS_FRONT, PEERS_VAULT, 0, &arena, &got), PEERS_OK);
    assert_int_equal(got.type, PEERS_addresses_ask);
    assert_true(got.addresses_ask.tag == UINT64_MAX - 1);
    assert_int_equal(got.addresses_ask.addresses.count, 3);
    assert_true(text_equals(got.addresses_ask.addresses.items[2], TEXT("b@casa.test")));

    assert_int_equal(peers_unpack(buffer_text(&b), PEERS_RELAY, PEERS_VAULT, 0, &arena, &got), PEERS_NOT_ALLOWED);
    assert_int_equal(peers_unpack(buffer_text(&b), PEERS_FRONT, PEERS_QUEUE, 0, &arena, &got), PEERS_NOT_ALLOWED);
    assert_int_equal(peers_unpack(buffer_text(&b), PEERS_FRONT, PEERS_VAULT, 1, &arena, &got), PEERS_WRONG_DESCRIPTORS);
    for (size_t length = 0; length < b.length; length++)
        assert_int_not_equal(peers_unpack(text_first(buffer_text(&b), length), PEERS_FRONT, PEERS_VAULT, 0, &arena, &got), PEERS_OK);
    assert_true(buffer_append_octet(&b, 'x'));
    assert_int_equal(peers_unpack(buffer_text(&b), PEERS_FRONT, PEERS_VAULT, 0, &arena, &got), PEERS_TOO_LONG);
}

static void a_field_over_its_limit_is_not_packed(void **state not_used)
{
    struct buffer b released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
    static char long_name[65];
    struct peers_folder folder = {.name = text_of(long_name, sizeof long_name)};
    assert_false(peers_pack(&b, PEERS_folder, &folder));
    assert_int_equal(b.length, 0);
}

static void every_row_has_a_word_and_a_pair_of_roles(void **state not_used)
{
    for (int type = PEERS_NONE + 1; type < PEERS_TYPES; type++) {
        bool somebody_may = false;
        for (int from = 1; from < PEERS_ANYBODY; from <<= 1)
            for (int to = 1; to < PEERS_ANYBODY; to <<= 1)
                somebody_may |= peers_may((enum peers_type)type, (enum peers_role)from, (enum peers_role)to);
        assert_true(somebody_may);
        assert_true(peers_type_word((enum peers_type)type).length > 1);
    }
    for (int role = 1; role <= PEERS_COMMAND; role <<= 1)
        assert_int_equal(peers_role_of_word(peers_role_word((enum peers_role)role)), role);
}

static void who_stands_at_the_control_socket_may_only_ask_commands(void **state not_used)
{
    for (int type = PEERS_NONE + 1; type < PEERS_TYPES; type++)
        for (int to = 1; to < PEERS_ANYBODY; to <<= 1)
            assert_int_equal(peers_may((enum peers_type)type, PEERS_COMMAND, (enum peers_role)to), type == PEERS_command_ask);
}

/* settings may not include peers, and names the same bits itself */
static void the_readers_of_settings_are_the_roles(void **state not_used)
{
    static const struct {
        enum settings_reader reader;
        enum peers_role role;
    } rows[] = {
        {SETTINGS_READER_SUPERVISOR, PEERS_SUPERVISOR}, {SETTINGS_READER_FRONT, PEERS_FRONT},
        {SETTINGS_READER_RELAY, PEERS_RELAY},           {SETTINGS_READER_RESOLVER, PEERS_RESOLVER},
        {SETTINGS_READER_CONTROL, PEERS_CONTROL},       {SETTINGS_READER_CONSOLE, PEERS_CONSOLE},
        {SETTINGS_READER_QUEUE, PEERS_QUEUE},           {SETTINGS_READER_MAILBOX, PEERS_MAILBOX},
        {SETTINGS_READER_VAULT, PEERS_VAULT},           {SETTINGS_READER_VERIFIER, PEERS_VERIFIER},
        {SETTINGS_READER_LEDGER, PEERS_LEDGER},         {SETTINGS_READER_ALL, PEERS_ANYBODY},
    };
    for (size_t i = 0; i < length_of(rows); i++)
        assert_int_equal((int)rows[i].reader, (int)rows[i].role);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_back_as_it_was_packed),
        cmocka_unit_test(a_field_over_its_limit_is_not_packed),
        cmocka_unit_test(who_stands_at_the_control_socket_may_only_ask_commands),
        cmocka_unit_test(every_row_has_a_word_and_a_pair_of_roles),
        cmocka_unit_test(the_readers_of_settings_are_the_roles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
