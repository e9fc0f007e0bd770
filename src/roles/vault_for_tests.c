/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/vault_for_tests.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

struct peers_message stage_expect(struct stage *s, int channel, enum peers_role as, enum peers_type type)
{
    return program_expect(s->vault, channel, as, type);
}

void stage_link_all(struct stage *s)
{
    s->front = program_link(s->vault, PEERS_FRONT);
    s->queue = program_link(s->vault, PEERS_QUEUE);
    s->ledger = program_link(s->vault, PEERS_LEDGER);
    stage_expect(s, s->front, PEERS_FRONT, PEERS_accounts_changed);
    struct peers_message key = stage_expect(s, s->queue, PEERS_QUEUE, PEERS_ticket_key);
    assert_true(ticket_keys_add(&s->keys, key.ticket_key.key));
    stage_expect(s, s->queue, PEERS_QUEUE, PEERS_accounts_changed);
}

void stage_start_vault(struct stage *s, struct text settings)
{
    s->vault = program_start(VAULT_PROGRAM, PEERS_VAULT, settings, "vault", s->folder);
    stage_link_all(s);
}

void stage_start_verifier(struct stage *s)
{
    int ends[2];
    s->verifier = program_start(VERIFIER_PROGRAM, PEERS_VERIFIER, TEXT_NONE, NULL, -1);
    assert_int_equal(channel_pair(ends), 0);
    program_send_file(s->vault->supervisor, PEERS_peer, &(struct peers_peer){.role = PEERS_VERIFIER}, ends[0]);
    program_send_file(s->verifier->supervisor, PEERS_peer, &(struct peers_peer){.role = PEERS_VAULT}, ends[1]);
    file_close(&ends[0]);
    file_close(&ends[1]);
}

/* --- commands
 * ----------------------------------------------------------------------------------------------------------------------
 */

struct outcome stage_command(struct stage *s, struct text name, const struct text *pairs, size_t count)
{
    struct outcome outcome = {.text = buffer_new(1 << 20)};
    struct peers_command_ask ask = {.tag = ++s->tag,
                                    .caller = TEXT("test"),
                                    .name = name,
                                    .arguments = {.items = (struct text *)(uintptr_t)pairs, .count = count}};
    program_send(s->vault->supervisor, PEERS_command_ask, &ask);
    for (;;) {
        static char bytes[CHANNEL_PACKET_LIMIT];
        struct text packet;
        struct channel_descriptors files;
        struct arena arena released_by(arena_done) = arena_new(1 << 20);
        struct peers_message m;
        assert_int_equal(channel_receive(s->vault->supervisor, bytes, 10000, &packet, &files), CHANNEL_OK);
        assert_int_equal(peers_unpack(packet, PEERS_VAULT, PEERS_SUPERVISOR, files.count, &arena, &m), PEERS_OK);
        if (m.type == PEERS_command_row) {
            outcome.rows++;
            for (size_t i = 0; i + 1 < m.command_row.fields.count; i += 2)
                assert_true(buffer_append(&outcome.text, m.command_row.fields.items[i]) &&
                            buffer_append_octet(&outcome.text, '=') &&
                            buffer_append(&outcome.text, m.command_row.fields.items[i + 1]) &&
                            buffer_append_octet(&outcome.text, ' '));
        }
        if (m.type == PEERS_command_end) {
            assert_true(m.command_end.tag == s->tag);
            outcome.status = m.command_end.status;
            assert_true(buffer_append(&outcome.text, m.command_end.message));
            return outcome;
        }
    }
}

void stage_expect_command(struct stage *s, struct text name, const struct text *pairs, size_t count, uint64_t status,
                          struct text part)
{
    struct outcome got = stage_command(s, name, pairs, count);
    if (got.status != status || (part.length && text_find(buffer_text(&got.text), part) == got.text.length))
        print_message("# %.*s: %llu %.*s\n", TEXT_ARGUMENTS(name), (unsigned long long)got.status,
                      TEXT_ARGUMENTS(buffer_text(&got.text)));
    assert_int_equal(got.status, status);
    assert_true(part.length == 0 || text_find(buffer_text(&got.text), part) < got.text.length);
    buffer_done(&got.text);
}

/* Channels are read by who asks; news of changes are passed over. */
struct peers_message stage_answer(struct stage *s, int channel, enum peers_role as, enum peers_type type)
{
    for (;;) {
        struct text packet;
        struct channel_descriptors files;
        struct peers_message m;
        assert_int_equal(channel_receive(channel, s->vault->bytes, 25000, &packet, &files), CHANNEL_OK);
        arena_done(&s->vault->arena);
        assert_int_equal(peers_unpack(packet, PEERS_VAULT, as, files.count, &s->vault->arena, &m), PEERS_OK);
        if (m.type == PEERS_accounts_changed && type != PEERS_accounts_changed)
            continue;
        assert_int_equal(m.type, type);
        return m;
    }
}

enum mail_address_kind stage_kind_of(struct stage *s, struct text address, struct text login)
{
    struct peers_addresses_ask ask = {.tag = ++s->tag, .login = login, .addresses = {.items = &address, .count = 1}};
    program_send(s->front, PEERS_addresses_ask, &ask);
    struct peers_message m = stage_answer(s, s->front, PEERS_FRONT, PEERS_addresses_answer);
    assert_true(m.addresses_answer.tag == s->tag && m.addresses_answer.kinds.length == 1);
    return (enum mail_address_kind)m.addresses_answer.kinds.bytes[0];
}

/* --- log-ins
 * -------------------------------------------------------------------------------------------------------------------------
 */

void stage_ask_login(struct stage *s, uint64_t exchange, struct text mechanism, struct text response)
{
    struct peers_login_ask ask = {.tag = ++s->tag,
                                  .exchange = exchange,
                                  .session = 4711,
                                  .is_encrypted = 1,
                                  .service = TEXT("smtp"),
                                  .client = TEXT("192.0.2.7"),
                                  .mechanism = mechanism,
                                  .response = response};
    program_send(s->front, PEERS_login_ask, &ask);
}

enum mail_login_state stage_login_state(struct stage *s)
{
    struct peers_message m = stage_answer(s, s->front, PEERS_FRONT, PEERS_login_answer);
    enum mail_login_state state = (enum mail_login_state)m.login_answer.state;
    assert_true(m.login_answer.tag == s->tag);
    assert_int_equal(m.login_answer.account.length > 0, state == MAIL_LOGIN_DONE);
    assert_int_equal(m.login_answer.ticket.length > 0, state == MAIL_LOGIN_DONE);
    return state;
}

enum mail_login_state stage_plain(struct stage *s, struct text name, struct text password)
{
    struct buffer response released_by(buffer_done) = buffer_new(2000);
    assert_true(buffer_append_octet(&response, 0) && buffer_append(&response, name) &&
                buffer_append_octet(&response, 0) && buffer_append(&response, password));
    stage_ask_login(s, ++s->exchange, TEXT("PLAIN"), buffer_text(&response));
    return stage_login_state(s);
}

/* --- stages
 * ---------------------------------------------------------------------------------------------------------------------------
 */

int stage_set_up(void **state)
{
    struct stage *s = calloc(1, sizeof *s);
    *s = (struct stage){.path = "/tmp/portiere-vault-XXXXXX",
                        .folder = -1,
                        .front = -1,
                        .queue = -1,
                        .ledger = -1,
                        .fake_verifier = -1,
                        .events = buffer_new(1 << 20)};
    if (!mkdtemp(s->path) || folder_open(-1, text_of_terminated(s->path), &s->folder) != 0)
        return -1;
    stage_start_vault(s, TEXT_NONE);
    *state = s;
    return 0;
}

int stage_set_up_house(void **state)
{
    if (stage_set_up(state) != 0)
        return -1;
    struct stage *s = *state;
    stage_start_verifier(s);
    COMMAND_DOES(s, "domain-add", TEXT("domain"), TEXT("casa.test"));
    COMMAND_DOES(s, "account-add", TEXT("address"), TEXT("anna@casa.test"), TEXT("password"), TEXT(PASSWORD),
                 TEXT("quota"), TEXT("5000000"));
    return 0;
}

void stage_end_vault(struct stage *s)
{
    if (s->vault)
        assert_int_equal(program_stop(&s->vault), 0);
    file_close(&s->front);
    file_close(&s->queue);
    file_close(&s->ledger);
    file_close(&s->fake_verifier);
}

int stage_tear_down(void **state)
{
    static const struct text names[] = {TEXT_INIT("accounts.db"), TEXT_INIT("accounts.db-journal"),
                                        TEXT_INIT("accounts.made"), TEXT_INIT("kept")};
    struct stage *s = *state;
    stage_end_vault(s);
    if (s->verifier)
        assert_int_equal(program_stop(&s->verifier), 0);
    for (size_t i = 0; i < length_of(names); i++)
        ignored(file_remove(s->folder, names[i])); /* most are not there */
    file_close(&s->folder);
    rmdir(s->path);
    ticket_keys_done(&s->keys);
    buffer_done(&s->events);
    free(s);
    return 0;
}

void stage_gather_events(struct stage *s)
{
    static char bytes[CHANNEL_PACKET_LIMIT];
    struct text packet;
    struct channel_descriptors files;
    while (channel_receive(s->ledger, bytes, 200, &packet, &files) == CHANNEL_OK)
        assert_true(buffer_append(&s->events, packet));
}

bool stage_was_told(struct stage *s, struct text what)
{
    return text_find(buffer_text(&s->events), what) < s->events.length;
}
