/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the real portiere-vault and portiere-verifier in their sandboxes, and plays the supervisor, front, queue, control and, where it counts
 * what is asked of it, the verifier. */
#include "accounts/credential.h"
#include "accounts/ticket.h"
#include "command/command.h"
#include "mail/mail.h"
#include "record/level.h"
#include "roles/program_for_tests.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define PASSWORD "segreto-di-prova"

struct stage {
    char path[40];
    int folder;
    struct program *vault;
    struct program *verifier;
    int front, queue, ledger, fake_verifier;
    uint64_t tag, exchange;
    struct ticket_keys keys;
    struct buffer events; /* all that the ledger heard */
};

static struct peers_message expect(struct stage *s, int channel, enum peers_role as, enum peers_type type)
{
    return program_expect(s->vault, channel, as, type);
}

static void link_all(struct stage *s)
{
    s->front = program_link(s->vault, PEERS_FRONT);
    s->queue = program_link(s->vault, PEERS_QUEUE);
    s->ledger = program_link(s->vault, PEERS_LEDGER);
    expect(s, s->front, PEERS_FRONT, PEERS_accounts_changed);
    struct peers_message key = expect(s, s->queue, PEERS_QUEUE, PEERS_ticket_key);
    assert_true(ticket_keys_add(&s->keys, key.ticket_key.key));
    expect(s, s->queue, PEERS_QUEUE, PEERS_accounts_changed);
}

static void start_vault(struct stage *s, struct text settings)
{
    s->vault = program_start(VAULT_PROGRAM, PEERS_VAULT, settings, "vault", s->folder);
    link_all(s);
}

static void start_verifier(struct stage *s)
{
    int ends[2];
    s->verifier = program_start(VERIFIER_PROGRAM, PEERS_VERIFIER, TEXT_NONE, NULL, -1);
    assert_int_equal(channel_pair(ends), 0);
    program_send_file(s->vault->supervisor, PEERS_peer, &(struct peers_peer){.role = PEERS_VERIFIER}, ends[0]);
    program_send_file(s->verifier->supervisor, PEERS_peer, &(struct peers_peer){.role = PEERS_VAULT}, ends[1]);
    file_close(&ends[0]);
    file_close(&ends[1]);
}

/* --- commands ---------------------------------------------------------------------------------------------------------------------- */

struct outcome {
    uint64_t status, rows;
    struct buffer text; /* the rows, name=value; and the message */
};

static struct outcome command(struct stage *s, struct text name, const struct text *pairs, size_t count)
{
    struct outcome outcome = {.text = buffer_new(1 << 20)};
    struct peers_command_ask ask = {.tag = ++s->tag, .caller = TEXT("test"), .name = name,
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
                assert_true(buffer_append(&outcome.text, m.command_row.fields.items[i]) && buffer_append_octet(&outcome.text, '=') &&
                            buffer_append(&outcome.text, m.command_row.fields.items[i + 1]) && buffer_append_octet(&outcome.text, ' '));
        }
        if (m.type == PEERS_command_end) {
            assert_true(m.command_end.tag == s->tag);
            outcome.status = m.command_end.status;
            assert_true(buffer_append(&outcome.text, m.command_end.message));
            return outcome;
        }
    }
}

static void expect_command(struct stage *s, struct text name, const struct text *pairs, size_t count, uint64_t status, struct text part)
{
    struct outcome got = command(s, name, pairs, count);
    if (got.status != status || (part.length && text_find(buffer_text(&got.text), part) == got.text.length))
        print_message("# %.*s: %llu %.*s\n", TEXT_ARGUMENTS(name), (unsigned long long)got.status, TEXT_ARGUMENTS(buffer_text(&got.text)));
    assert_int_equal(got.status, status);
    assert_true(part.length == 0 || text_find(buffer_text(&got.text), part) < got.text.length);
    buffer_done(&got.text);
}

#define COMMAND_FAILS(s, part, name, ...)                                                                                                            \
    expect_command(s, TEXT(name), (struct text[]){__VA_ARGS__}, length_of(((struct text[]){__VA_ARGS__})), COMMAND_EXIT_FAILED, TEXT(part))
#define COMMAND_DOES(s, name, ...)                                                                                                                   \
    expect_command(s, TEXT(name), (struct text[]){__VA_ARGS__}, length_of(((struct text[]){__VA_ARGS__})), COMMAND_EXIT_DONE, TEXT_NONE)
#define COMMAND_SHOWS(s, part, name, ...)                                                                                                            \
    expect_command(s, TEXT(name), (struct text[]){__VA_ARGS__}, length_of(((struct text[]){__VA_ARGS__})), COMMAND_EXIT_DONE, TEXT(part))

/* Channels are read by who asks; news of changes are passed over. */
static struct peers_message answer(struct stage *s, int channel, enum peers_role as, enum peers_type type)
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

static enum mail_address_kind kind_of(struct stage *s, struct text address, struct text login)
{
    struct peers_addresses_ask ask = {.tag = ++s->tag, .login = login, .addresses = {.items = &address, .count = 1}};
    program_send(s->front, PEERS_addresses_ask, &ask);
    struct peers_message m = answer(s, s->front, PEERS_FRONT, PEERS_addresses_answer);
    assert_true(m.addresses_answer.tag == s->tag && m.addresses_answer.kinds.length == 1);
    return (enum mail_address_kind)m.addresses_answer.kinds.bytes[0];
}

/* --- log-ins ------------------------------------------------------------------------------------------------------------------------- */

static void ask_login(struct stage *s, uint64_t exchange, struct text mechanism, struct text response)
{
    struct peers_login_ask ask = {.tag = ++s->tag, .exchange = exchange, .session = 4711, .is_encrypted = 1, .service = TEXT("smtp"),
                                  .client = TEXT("192.0.2.7"), .mechanism = mechanism, .response = response};
    program_send(s->front, PEERS_login_ask, &ask);
}

static enum mail_login_state login_state(struct stage *s)
{
    struct peers_message m = answer(s, s->front, PEERS_FRONT, PEERS_login_answer);
    enum mail_login_state state = (enum mail_login_state)m.login_answer.state;
    assert_true(m.login_answer.tag == s->tag);
    assert_int_equal(m.login_answer.account.length > 0, state == MAIL_LOGIN_DONE);
    assert_int_equal(m.login_answer.ticket.length > 0, state == MAIL_LOGIN_DONE);
    return state;
}

static enum mail_login_state plain(struct stage *s, struct text name, struct text password)
{
    struct buffer response released_by(buffer_done) = buffer_new(2000);
    assert_true(buffer_append_octet(&response, 0) && buffer_append(&response, name) && buffer_append_octet(&response, 0) && buffer_append(&response, password));
    ask_login(s, ++s->exchange, TEXT("PLAIN"), buffer_text(&response));
    return login_state(s);
}

/* --- stages --------------------------------------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    struct stage *s = calloc(1, sizeof *s);
    *s = (struct stage){.path = "/tmp/portiere-vault-XXXXXX", .folder = -1, .front = -1, .queue = -1, .ledger = -1, .fake_verifier = -1,
                        .events = buffer_new(1 << 20)};
    if (!mkdtemp(s->path) || folder_open(-1, text_of_terminated(s->path), &s->folder) != 0)
        return -1;
    start_vault(s, TEXT_NONE);
    *state = s;
    return 0;
}

static int set_up_house(void **state)
{
    if (set_up(state) != 0)
        return -1;
    struct stage *s = *state;
    start_verifier(s);
    COMMAND_DOES(s, "domain-add", TEXT("domain"), TEXT("casa.test"));
    COMMAND_DOES(s, "account-add", TEXT("address"), TEXT("anna@casa.test"), TEXT("password"), TEXT(PASSWORD), TEXT("quota"), TEXT("5000000"));
    return 0;
}

static void end_vault(struct stage *s)
{
    if (s->vault)
        assert_int_equal(program_stop(&s->vault), 0);
    file_close(&s->front);
    file_close(&s->queue);
    file_close(&s->ledger);
    file_close(&s->fake_verifier);
}

static int tear_down(void **state)
{
    static const struct text names[] = {TEXT_INIT("accounts.db"), TEXT_INIT("accounts.db-journal"), TEXT_INIT("accounts.made"), TEXT_INIT("kept")};
    struct stage *s = *state;
    end_vault(s);
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

static void gather_events(struct stage *s)
{
    static char bytes[CHANNEL_PACKET_LIMIT];
    struct text packet;
    struct channel_descriptors files;
    while (channel_receive(s->ledger, bytes, 200, &packet, &files) == CHANNEL_OK)
        assert_true(buffer_append(&s->events, packet));
}

static bool was_told(struct stage *s, struct text what)
{
    return text_find(buffer_text(&s->events), what) < s->events.length;
}

/* --- the promises ----------------------------------------------------------------------------------------------------------------------- */

static void the_right_password_gets_a_ticket_that_the_queue_takes(void **state)
{
    struct stage *s = *state;
    struct ticket ticket;
    ask_login(s, ++s->exchange, TEXT("PLAIN"), TEXT("\0Anna@Casa.test\0" PASSWORD));
    struct peers_message m = answer(s, s->front, PEERS_FRONT, PEERS_login_answer);
    assert_int_equal(m.login_answer.state, MAIL_LOGIN_DONE);
    assert_true(text_equals(m.login_answer.account, TEXT("anna@casa.test")));
    assert_int_equal(ticket_check(&s->keys, m.login_answer.ticket, TEXT("anna@casa.test"), clock_monotonic_ms(), &ticket), TICKET_OK);
    assert_true(ticket.session == 4711);
    assert_int_equal(ticket_check(&s->keys, m.login_answer.ticket, TEXT("bruno@casa.test"), clock_monotonic_ms(), &ticket), TICKET_FORGED);
}

static void log_ins_end_as_they_should(void **state)
{
    struct stage *s = *state;
    COMMAND_DOES(s, "account-add", TEXT("address"), TEXT("off@casa.test"), TEXT("password"), TEXT(PASSWORD));
    COMMAND_DOES(s, "account-disable", TEXT("address"), TEXT("off@casa.test"));
    COMMAND_DOES(s, "account-add", TEXT("address"), TEXT("muta@casa.test"));
    assert_int_equal(plain(s, TEXT("anna@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_DONE);
    assert_int_equal(plain(s, TEXT("anna"), TEXT(PASSWORD)), MAIL_LOGIN_DONE);
    assert_int_equal(plain(s, TEXT("anna@casa.test"), TEXT("segreto")), MAIL_LOGIN_WRONG);
    assert_int_equal(plain(s, TEXT("anna@casa.test"), TEXT("")), MAIL_LOGIN_WRONG);
    assert_int_equal(plain(s, TEXT("nessuno@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_WRONG);
    assert_int_equal(plain(s, TEXT("off@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_WRONG);
    assert_int_equal(plain(s, TEXT("muta@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_WRONG);
    assert_int_equal(plain(s, TEXT("a\r\nQUIT"), TEXT("x")), MAIL_LOGIN_WRONG);
    assert_int_equal(plain(s, TEXT("\xff\xfe"), TEXT("x")), MAIL_LOGIN_WRONG);
    COMMAND_DOES(s, "account-enable", TEXT("address"), TEXT("off@casa.test"));
    assert_int_equal(plain(s, TEXT("off@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_DONE);
    COMMAND_DOES(s, "account-password", TEXT("address"), TEXT("off@casa.test"), TEXT("password"), TEXT("un'altra-Parola-9"));
    assert_int_equal(plain(s, TEXT("off@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_WRONG);
    assert_int_equal(plain(s, TEXT("off@casa.test"), TEXT("un'altra-Parola-9")), MAIL_LOGIN_DONE);
    COMMAND_DOES(s, "account-remove", TEXT("address"), TEXT("off@casa.test"));
    assert_int_equal(plain(s, TEXT("off@casa.test"), TEXT("un'altra-Parola-9")), MAIL_LOGIN_WRONG);
}

static void login_asks_in_the_words_that_old_clients_know(void **state)
{
    static const struct {
        struct text responses[3];
        size_t count;
        struct text challenges[2];
        enum mail_login_state state;
    } rows[] = {
        {{TEXT_INIT(""), TEXT_INIT("anna@casa.test"), TEXT_INIT(PASSWORD)}, 3, {TEXT_INIT("Username:"), TEXT_INIT("Password:")}, MAIL_LOGIN_DONE},
        {{TEXT_INIT("anna@casa.test"), TEXT_INIT(PASSWORD)}, 2, {TEXT_INIT("Password:")}, MAIL_LOGIN_DONE},
        {{TEXT_INIT("anna@casa.test"), TEXT_INIT("segreto")}, 2, {TEXT_INIT("Password:")}, MAIL_LOGIN_WRONG},
        {{TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("x")}, 3, {TEXT_INIT("Username:"), TEXT_INIT("Password:")}, MAIL_LOGIN_WRONG},
    };
    struct stage *s = *state;
    for (size_t i = 0; i < length_of(rows); i++) {
        s->exchange++;
        for (size_t step = 0; step + 1 < rows[i].count; step++) {
            ask_login(s, s->exchange, step ? TEXT_NONE : TEXT("LOGIN"), rows[i].responses[step]);
            struct peers_message m = answer(s, s->front, PEERS_FRONT, PEERS_login_answer);
            assert_int_equal(m.login_answer.state, MAIL_LOGIN_CONTINUE);
            assert_true(text_equals(m.login_answer.challenge, rows[i].challenges[step]));
        }
        ask_login(s, s->exchange, TEXT_NONE, rows[i].responses[rows[i].count - 1]);
        assert_int_equal(login_state(s), rows[i].state);
    }
}

static void what_is_no_dialogue_is_told_apart(void **state)
{
    struct stage *s = *state;
    struct peers_login_ask clear = {.tag = ++s->tag, .exchange = ++s->exchange, .service = TEXT("smtp"), .client = TEXT("192.0.2.7"),
                                    .mechanism = TEXT("PLAIN"), .response = TEXT("\0anna@casa.test\0" PASSWORD)};
    program_send(s->front, PEERS_login_ask, &clear);
    assert_int_equal(login_state(s), MAIL_LOGIN_UNSUPPORTED);
    ask_login(s, ++s->exchange, TEXT("EXTERNAL"), TEXT_NONE);
    assert_int_equal(login_state(s), MAIL_LOGIN_UNSUPPORTED);
    ask_login(s, ++s->exchange, TEXT("PLAIN"), TEXT("anna@casa.test\0" PASSWORD));
    assert_int_equal(login_state(s), MAIL_LOGIN_MALFORMED);
    ask_login(s, ++s->exchange, TEXT("PLAIN"), TEXT("bruno\0anna@casa.test\0" PASSWORD));
    assert_int_equal(login_state(s), MAIL_LOGIN_WRONG);
    ask_login(s, ++s->exchange, TEXT_NONE, TEXT("goes on with nothing"));
    assert_int_equal(login_state(s), MAIL_LOGIN_UNAVAILABLE);
    /* dropped, the dialogue is gone */
    ask_login(s, ++s->exchange, TEXT("LOGIN"), TEXT_NONE);
    assert_int_equal(login_state(s), MAIL_LOGIN_CONTINUE);
    program_send(s->front, PEERS_login_drop, &(struct peers_login_drop){.exchange = s->exchange});
    ask_login(s, s->exchange, TEXT_NONE, TEXT("anna@casa.test"));
    assert_int_equal(login_state(s), MAIL_LOGIN_UNAVAILABLE);
}

/* T40, counted and not timed: each wrong log-in costs one check of a credential of the same form. */
static void unknown_and_known_users_cost_the_same(void **state)
{
    static const struct text names[] = {TEXT_INIT("anna@casa.test"), TEXT_INIT("nessuno@casa.test"), TEXT_INIT("x@fuori.test"), TEXT_INIT("muta@casa.test"),
                                        TEXT_INIT("off@casa.test"), TEXT_INIT("\xff\xfe"), TEXT_INIT("a\r\nQUIT"), TEXT_INIT("nessuno@casa.test")};
    struct stage *s = *state;
    COMMAND_DOES(s, "account-add", TEXT("address"), TEXT("muta@casa.test"));
    COMMAND_DOES(s, "account-add", TEXT("address"), TEXT("off@casa.test"), TEXT("password"), TEXT(PASSWORD));
    COMMAND_DOES(s, "account-disable", TEXT("address"), TEXT("off@casa.test"));
    assert_int_equal(program_stop(&s->verifier), 0);
    s->fake_verifier = program_link(s->vault, PEERS_VERIFIER);
    struct buffer forms[length_of(names)];
    for (size_t i = 0; i < length_of(names); i++) {
        struct buffer response released_by(buffer_done) = buffer_new(2000);
        forms[i] = buffer_new(1024);
        assert_true(buffer_append_octet(&response, 0) && buffer_append(&response, names[i]) && buffer_append(&response, TEXT("\0segreto")));
        ask_login(s, ++s->exchange, TEXT("PLAIN"), buffer_text(&response));
        struct peers_message m = answer(s, s->fake_verifier, PEERS_VERIFIER, PEERS_verify_ask);
        assert_int_equal(m.verify_ask.is_new, 0);
        assert_true(text_equals(m.verify_ask.response, buffer_text(&response)));
        assert_true(buffer_append(&forms[i], m.verify_ask.record));
        /* a "right" by a taken-over verifier helps nobody into an account that can't be entered */
        program_send(s->fake_verifier, PEERS_verify_answer, &(struct peers_verify_answer){.tag = m.verify_ask.tag, .is_right = i > 0});
        assert_int_equal(login_state(s), MAIL_LOGIN_WRONG);
        assert_int_equal(forms[i].length, forms[0].length);
        for (size_t at = 0; at < forms[0].length; at++)
            if (forms[0].bytes[at] == '$' || forms[0].bytes[at] == ':' || forms[0].bytes[at] == ' ')
                assert_int_equal(forms[i].bytes[at], forms[0].bytes[at]);
    }
    assert_true(text_equals(buffer_text(&forms[1]), buffer_text(&forms[7])));
    for (size_t i = 0; i < length_of(names); i++)
        buffer_done(&forms[i]);
    COMMAND_SHOWS(s, "passwords_checked=10 ", "status", TEXT("x"), TEXT("")); /* eight, and the two passwords that were set */
}

/* T42 */
static void without_a_verifier_nobody_is_wrong(void **state)
{
    struct stage *s = *state;
    struct text name = TEXT("\0anna@casa.test\0" PASSWORD);
    program_kill(&s->verifier);
    ask_login(s, ++s->exchange, TEXT("PLAIN"), name);
    assert_int_equal(login_state(s), MAIL_LOGIN_UNAVAILABLE);
    COMMAND_FAILS(s, "verifier", "account-add", TEXT("address"), TEXT("bruno@casa.test"), TEXT("password"), TEXT(PASSWORD));
    /* dies with the question in its hands, another waits */
    s->fake_verifier = program_link(s->vault, PEERS_VERIFIER);
    ask_login(s, ++s->exchange, TEXT("PLAIN"), name);
    answer(s, s->fake_verifier, PEERS_VERIFIER, PEERS_verify_ask);
    uint64_t first = s->tag;
    ask_login(s, ++s->exchange, TEXT("PLAIN"), name);
    file_close(&s->fake_verifier);
    for (uint64_t tag = first; tag <= first + 1; tag++) {
        struct peers_message m = answer(s, s->front, PEERS_FRONT, PEERS_login_answer);
        assert_true(m.login_answer.tag == tag);
        assert_int_equal(m.login_answer.state, MAIL_LOGIN_UNAVAILABLE);
    }
    start_verifier(s);
    assert_int_equal(plain(s, TEXT("anna@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_DONE);
}

static void a_front_that_went_away_leaves_nothing_behind(void **state)
{
    struct stage *s = *state;
    assert_int_equal(program_stop(&s->verifier), 0);
    s->fake_verifier = program_link(s->vault, PEERS_VERIFIER);
    ask_login(s, ++s->exchange, TEXT("PLAIN"), TEXT("\0anna@casa.test\0" PASSWORD));
    struct peers_message m = answer(s, s->fake_verifier, PEERS_VERIFIER, PEERS_verify_ask);
    uint64_t tag = m.verify_ask.tag;
    file_close(&s->front);
    s->front = program_link(s->vault, PEERS_FRONT);
    answer(s, s->front, PEERS_FRONT, PEERS_accounts_changed);
    program_send(s->fake_verifier, PEERS_verify_answer, &(struct peers_verify_answer){.tag = tag, .is_right = 1});
    ask_login(s, s->exchange, TEXT("PLAIN"), TEXT("\0anna@casa.test\0" PASSWORD));
    m = answer(s, s->fake_verifier, PEERS_VERIFIER, PEERS_verify_ask);
    program_send(s->fake_verifier, PEERS_verify_answer, &(struct peers_verify_answer){.tag = m.verify_ask.tag, .is_right = 0});
    assert_int_equal(login_state(s), MAIL_LOGIN_WRONG);
}

/* T82 */
static void a_store_in_trouble_is_never_told_as_nobody(void **state)
{
    struct stage *s = *state;
    assert_int_equal(kind_of(s, TEXT("anna@casa.test"), TEXT_NONE), MAIL_ADDRESS_LOCAL);
    assert_int_equal(file_rename(s->folder, TEXT("accounts.db"), s->folder, TEXT("kept")), 0);
    int file released_by(file_close) = -1;
    assert_int_equal(file_open(s->folder, TEXT("accounts.db"), O_RDWR | O_CREAT, 0600, &file), 0);
    assert_int_equal(file_write_all(file, TEXT("half a store")), 0);
    struct peers_message changed = answer(s, s->queue, PEERS_QUEUE, PEERS_accounts_changed); /* it notices by itself */
    assert_int_equal(changed.type, PEERS_accounts_changed);
    usleep(1200000);
    static const struct text names[] = {TEXT_INIT("anna@casa.test"), TEXT_INIT("nessuno@casa.test"), TEXT_INIT("x@fuori.test"), TEXT_INIT("postmaster")};
    for (size_t i = 0; i < length_of(names); i++)
        assert_int_equal(kind_of(s, names[i], TEXT_NONE), MAIL_ADDRESS_UNAVAILABLE);
    assert_int_equal(plain(s, TEXT("anna@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_UNAVAILABLE);
    program_send(s->queue, PEERS_route_ask, &(struct peers_route_ask){.tag = 5, .recipient = TEXT("anna@casa.test")});
    struct peers_message m = answer(s, s->queue, PEERS_QUEUE, PEERS_route_answer);
    assert_int_equal(m.route_answer.kind, MAIL_ADDRESS_UNAVAILABLE);
    COMMAND_FAILS(s, "accounts.db", "domain-add", TEXT("domain"), TEXT("x.test"));
    COMMAND_FAILS(s, "accounts.db", "account-list", TEXT("limit"), TEXT("10"));
    COMMAND_SHOWS(s, "accounts_store=vault/accounts.db", "status", TEXT("x"), TEXT(""));
    assert_int_equal(file_rename(s->folder, TEXT("kept"), s->folder, TEXT("accounts.db")), 0);
    usleep(2200000);
    assert_int_equal(kind_of(s, TEXT("anna@casa.test"), TEXT_NONE), MAIL_ADDRESS_LOCAL);
    assert_int_equal(kind_of(s, TEXT("nessuno@casa.test"), TEXT_NONE), MAIL_ADDRESS_LOCAL_NOBODY);
    assert_int_equal(plain(s, TEXT("anna@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_DONE);
    gather_events(s);
    assert_true(was_told(s, TEXT("accounts-unavailable")) && was_told(s, TEXT("accounts-available")));
}

static void addresses_and_routes_are_answered(void **state)
{
    struct stage *s = *state;
    struct text addresses[] = {TEXT("anna@casa.test"), TEXT("nessuno@casa.test"), TEXT("x@fuori.test"), TEXT("Postmaster"), TEXT(""), TEXT("not an address")};
    static const enum mail_address_kind kinds[] = {MAIL_ADDRESS_LOCAL_OWN,     MAIL_ADDRESS_LOCAL_NOBODY, MAIL_ADDRESS_FOREIGN,
                                                   MAIL_ADDRESS_LOCAL_OWN, MAIL_ADDRESS_FOREIGN, MAIL_ADDRESS_FOREIGN};
    struct peers_addresses_ask ask = {.tag = 9, .login = TEXT("anna@casa.test"), .addresses = {.items = addresses, .count = length_of(addresses)}};
    program_send(s->front, PEERS_addresses_ask, &ask);
    struct peers_message m = answer(s, s->front, PEERS_FRONT, PEERS_addresses_answer);
    assert_int_equal(m.addresses_answer.kinds.length, length_of(addresses));
    for (size_t i = 0; i < length_of(addresses); i++)
        assert_int_equal(m.addresses_answer.kinds.bytes[i], kinds[i]);
    uint64_t generation = m.addresses_answer.generation;
    COMMAND_DOES(s, "alias-add", TEXT("alias"), TEXT("gruppo@casa.test"), TEXT("target"), TEXT("anna@casa.test"));
    COMMAND_DOES(s, "alias-add", TEXT("alias"), TEXT("gruppo@casa.test"), TEXT("target"), TEXT("x@fuori.test"));
    m = answer(s, s->front, PEERS_FRONT, PEERS_accounts_changed);
    assert_true(m.accounts_changed.generation > generation);
    program_send(s->queue, PEERS_route_ask, &(struct peers_route_ask){.tag = 5, .recipient = TEXT("gruppo@casa.test")});
    m = answer(s, s->queue, PEERS_QUEUE, PEERS_route_answer);
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
    COMMAND_FAILS(s, "already", "account-add", TEXT("address"), TEXT("anna@casa.test"), TEXT("password"), TEXT(PASSWORD));
    COMMAND_FAILS(s, "password_min_length", "account-add", TEXT("address"), TEXT("bruno@casa.test"), TEXT("password"), TEXT("kx8#vQ2m!zL"));
    COMMAND_FAILS(s, "password_user_name", "account-password", TEXT("address"), TEXT("anna@casa.test"), TEXT("password"), TEXT("anna2026"));
    COMMAND_FAILS(s, "password_common", "account-password", TEXT("address"), TEXT("anna@casa.test"), TEXT("password"), TEXT("password1234"));
    COMMAND_FAILS(s, "too short", "account-password", TEXT("address"), TEXT("anna@casa.test"));
    COMMAND_FAILS(s, "no such account", "account-password", TEXT("address"), TEXT("bruno@casa.test"), TEXT("password"), TEXT(PASSWORD));
    COMMAND_FAILS(s, "no size", "account-quota", TEXT("address"), TEXT("anna@casa.test"), TEXT("quota"), TEXT("viel"));
    COMMAND_FAILS(s, "no account", "account-disable", TEXT("address"), TEXT("bruno@casa.test"));
    COMMAND_FAILS(s, "whole domain", "alias-add", TEXT("alias"), TEXT("@haus.test"), TEXT("target"), TEXT("anna@casa.test"));
    COMMAND_FAILS(s, "no alias", "alias-remove", TEXT("alias"), TEXT("x@casa.test"));
    COMMAND_FAILS(s, "no such command", "queue-list", TEXT("x"), TEXT(""));
    COMMAND_FAILS(s, "no such command", "nonsense", TEXT("x"), TEXT(""));
    struct outcome list = command(s, TEXT("account-list"), NULL, 0);
    assert_int_equal(list.rows, 1);
    buffer_done(&list.text);
}

static void commands_change_and_list(void **state)
{
    struct stage *s = *state;
    COMMAND_SHOWS(s, "domain=casa.test ", "domain-first", TEXT("x"), TEXT(""));
    COMMAND_DOES(s, "alias-add", TEXT("alias"), TEXT("@haus.test"), TEXT("target"), TEXT("@casa.test"));
    COMMAND_SHOWS(s, "domain=casa.test accounts=1 alias_of= catch_all= created=", "domain-list", TEXT("x"), TEXT(""));
    COMMAND_SHOWS(s, "account=anna@casa.test disabled=no password=yes quota=5000000 created=", "account-list", TEXT("domain"), TEXT("casa.test"));
    COMMAND_SHOWS(s, "alias=@haus.test target=@casa.test ", "alias-list", TEXT("x"), TEXT(""));
    COMMAND_SHOWS(s, "kind=3 account=anna@casa.test", "address-kinds", TEXT("address"), TEXT("anna@haus.test"), TEXT("login"), TEXT("anna@casa.test"));
    COMMAND_DOES(s, "domain-catch-all", TEXT("domain"), TEXT("casa.test"), TEXT("address"), TEXT("anna@casa.test"));
    assert_int_equal(kind_of(s, TEXT("chiunque@casa.test"), TEXT_NONE), MAIL_ADDRESS_LOCAL);
    COMMAND_DOES(s, "domain-catch-all", TEXT("domain"), TEXT("casa.test"));
    assert_int_equal(kind_of(s, TEXT("chiunque@casa.test"), TEXT_NONE), MAIL_ADDRESS_LOCAL_NOBODY);
    COMMAND_DOES(s, "account-add", TEXT("address"), TEXT("bruno@casa.test"));
    COMMAND_DOES(s, "account-send-as", TEXT("address"), TEXT("bruno@casa.test"), TEXT("sender"), TEXT("anna@casa.test"));
    assert_int_equal(kind_of(s, TEXT("anna@casa.test"), TEXT("bruno@casa.test")), MAIL_ADDRESS_LOCAL_OWN);
    COMMAND_DOES(s, "account-send-as", TEXT("address"), TEXT("bruno@casa.test"), TEXT("sender"), TEXT("anna@casa.test"), TEXT("remove"), TEXT("yes"));
    assert_int_equal(kind_of(s, TEXT("anna@casa.test"), TEXT("bruno@casa.test")), MAIL_ADDRESS_LOCAL);
    expect_command(s, TEXT("account-list"), (struct text[]){TEXT("limit"), TEXT("1")}, 2, COMMAND_PAGE_MORE, TEXT("anna@casa.test"));
    expect_command(s, TEXT("account-list"), (struct text[]){TEXT("limit"), TEXT("5"), TEXT("after"), TEXT("anna@casa.test")}, 4, COMMAND_EXIT_DONE,
                   TEXT("account=bruno@casa.test"));
    COMMAND_DOES(s, "alias-remove", TEXT("alias"), TEXT("@haus.test"));
    assert_int_equal(kind_of(s, TEXT("anna@haus.test"), TEXT_NONE), MAIL_ADDRESS_FOREIGN);
}

/* Whoever asks for somebody may only what that one may. */
static void rights_are_looked_at(void **state)
{
    struct stage *s = *state;
    int control released_by(file_close) = program_link(s->vault, PEERS_CONTROL);
    struct text pairs[] = {TEXT("domain"), TEXT("x.test")};
    struct peers_command_ask ask = {.tag = 3, .right = COMMAND_RIGHT_OPERATE, .caller = TEXT("nobody"), .name = TEXT("domain-add"),
                                    .arguments = {.items = pairs, .count = 2}};
    program_send(control, PEERS_command_ask, &ask);
    assert_int_equal(answer(s, control, PEERS_CONTROL, PEERS_command_end).command_end.status, COMMAND_EXIT_NOT_PERMITTED);
    ask.right = COMMAND_RIGHT_ADMINISTER;
    program_send(control, PEERS_command_ask, &ask);
    assert_int_equal(answer(s, control, PEERS_CONTROL, PEERS_command_end).command_end.status, COMMAND_EXIT_DONE);
}

static void no_event_shows_a_password(void **state)
{
    struct stage *s = *state;
    struct buffer encoded released_by(buffer_done) = buffer_new(256);
    assert_int_equal(plain(s, TEXT("anna@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_DONE);
    assert_int_equal(plain(s, TEXT("anna@casa.test"), TEXT("sbagliata-parola")), MAIL_LOGIN_WRONG);
    assert_int_equal(plain(s, TEXT("nessuno@casa.test"), TEXT("sbagliata-parola")), MAIL_LOGIN_WRONG);
    COMMAND_DOES(s, "account-password", TEXT("address"), TEXT("anna@casa.test"), TEXT("password"), TEXT("un'altra-Parola-9"));
    COMMAND_FAILS(s, "password_common", "account-password", TEXT("address"), TEXT("anna@casa.test"), TEXT("password"), TEXT("password1234"));
    gather_events(s);
    assert_true(was_told(s, TEXT("login-failed")) && was_told(s, TEXT("wrong password")) && was_told(s, TEXT("no such account")));
    assert_true(was_told(s, TEXT("accounts-changed")) && was_told(s, TEXT("account-password")));
    static const struct text secrets[] = {TEXT_INIT(PASSWORD), TEXT_INIT("sbagliata-parola"), TEXT_INIT("un'altra-Parola-9"), TEXT_INIT("password1234"),
                                          TEXT_INIT("$y$"), TEXT_INIT("SCRAM-SHA-256$"), TEXT_INIT("\0anna@casa.test\0" PASSWORD),
                                          TEXT_INIT("\0anna@casa.test\0sbagliata-parola")};
    for (size_t i = 0; i < length_of(secrets); i++) {
        assert_false(was_told(s, secrets[i]));
        buffer_clear(&encoded);
        assert_true(base64_append(&encoded, secrets[i]));
        assert_false(was_told(s, text_first(buffer_text(&encoded), secrets[i].length))); /* the last digits hang on what follows */
    }
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
        struct peers_command_ask ask = {.tag = ++s->tag, .caller = TEXT("test"), .name = TEXT("domain-add"), .arguments = {.items = pairs, .count = 2}};
        program_send(s->vault->supervisor, PEERS_command_ask, &ask);
        usleep((unsigned)i * 300);
        program_kill(&s->vault);
        end_vault(s);
        start_vault(s, TEXT_NONE);
        for (int known = 0; known <= i; known++) {
            name[1] = (char)('0' + known);
            assert_int_equal(kind_of(s, text_of_terminated(name), TEXT_NONE), MAIL_ADDRESS_LOCAL);
        }
    }
}

static void an_imported_hash_is_renewed_at_the_first_log_in(void **state)
{
    struct stage *s = *state;
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data data;
    memset(&data, 0, sizeof data);
    assert_int_equal(program_stop(&s->verifier), 0);
    s->fake_verifier = program_link(s->vault, PEERS_VERIFIER);
    /* the import is an account-password whose verifier hands out an old hash */
    struct text pairs[] = {TEXT("address"), TEXT("anna@casa.test"), TEXT("password"), TEXT("vecchia-Parola-7")};
    struct peers_command_ask ask = {.tag = ++s->tag, .caller = TEXT("test"), .name = TEXT("account-password"), .arguments = {.items = pairs, .count = 4}};
    program_send(s->vault->supervisor, PEERS_command_ask, &ask);
    struct peers_message m = answer(s, s->fake_verifier, PEERS_VERIFIER, PEERS_verify_ask);
    assert_int_equal(m.verify_ask.is_new, 1);
    assert_non_null(crypt_gensalt_rn("$2b$", 5, "0123456789abcdef", 16, setting, (int)sizeof setting));
    struct text hash = text_of_terminated(crypt_rn("vecchia-Parola-7", setting, &data, (int)sizeof data));
    program_send(s->fake_verifier, PEERS_verify_answer, &(struct peers_verify_answer){.tag = m.verify_ask.tag, .is_right = 1, .record = hash});
    for (m.type = PEERS_NONE; m.type != PEERS_command_end;) {
        struct text packet;
        struct channel_descriptors files;
        assert_int_equal(channel_receive(s->vault->supervisor, s->vault->bytes, 5000, &packet, &files), CHANNEL_OK);
        assert_int_equal(peers_unpack(packet, PEERS_VAULT, PEERS_SUPERVISOR, 0, &s->vault->arena, &m), PEERS_OK);
    }
    file_close(&s->fake_verifier);
    start_verifier(s);
    assert_int_equal(plain(s, TEXT("anna@casa.test"), TEXT("vecchia-Parola-7")), MAIL_LOGIN_DONE);
    assert_int_equal(plain(s, TEXT("anna@casa.test"), TEXT("vecchia-Parola-7")), MAIL_LOGIN_DONE);
    gather_events(s);
    assert_true(was_told(s, TEXT("credential-renewed")));
    size_t first = text_find(buffer_text(&s->events), TEXT("credential-renewed"));
    struct text behind = text_after(buffer_text(&s->events), first + 1);
    assert_int_equal(text_find(behind, TEXT("credential-renewed")), behind.length);
}

/* T97 */
static void the_sandbox_holds(void **state)
{
    struct stage *s = *state;
    program_send(s->vault->supervisor, PEERS_hook, &(struct peers_hook){.what = TEXT("sandbox")});
    for (;;) {
        struct peers_message m = answer(s, s->ledger, PEERS_LEDGER, PEERS_event);
        if (!text_equals(m.event.name, TEXT("sandbox-proved")))
            continue;
        assert_true(text_equals(m.event.fields.items[3], TEXT("yes")));
        break;
    }
}

int main(void)
{
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, set_up_house, tear_down)
    const struct CMUnitTest tests[] = {
        HOUSE(the_right_password_gets_a_ticket_that_the_queue_takes),
        HOUSE(log_ins_end_as_they_should),
        HOUSE(login_asks_in_the_words_that_old_clients_know),
        HOUSE(what_is_no_dialogue_is_told_apart),
        HOUSE(unknown_and_known_users_cost_the_same),
        HOUSE(without_a_verifier_nobody_is_wrong),
        HOUSE(a_front_that_went_away_leaves_nothing_behind),
        HOUSE(a_store_in_trouble_is_never_told_as_nobody),
        HOUSE(addresses_and_routes_are_answered),
        HOUSE(commands_say_what_is_wrong),
        HOUSE(commands_change_and_list),
        HOUSE(rights_are_looked_at),
        HOUSE(no_event_shows_a_password),
        HOUSE(accounts_outlive_the_vault_killed_at_any_moment),
        HOUSE(an_imported_hash_is_renewed_at_the_first_log_in),
        HOUSE(the_sandbox_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
