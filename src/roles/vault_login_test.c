/* SPDX-License-Identifier: Apache-2.0 */
/* Log-ins, through the real vault and verifier. */
#include "roles/vault_for_tests.h"

#include <crypt.h>
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

static void the_right_password_gets_a_ticket_that_the_queue_takes(void **state)
{
    struct stage *s = *state;
    struct ticket ticket;
    stage_ask_login(s, ++s->exchange, TEXT("PLAIN"), TEXT("\0Anna@Casa.test\0" PASSWORD));
    struct peers_message m = stage_answer(s, s->front, PEERS_FRONT, PEERS_login_answer);
    assert_int_equal(m.login_answer.state, MAIL_LOGIN_DONE);
    assert_true(text_equals(m.login_answer.account, TEXT("anna@casa.test")));
    assert_int_equal(
        ticket_check(&s->keys, m.login_answer.ticket, TEXT("anna@casa.test"), clock_monotonic_ms(), &ticket),
        TICKET_OK);
    assert_true(ticket.session == 4711);
    assert_int_equal(
        ticket_check(&s->keys, m.login_answer.ticket, TEXT("bruno@casa.test"), clock_monotonic_ms(), &ticket),
        TICKET_FORGED);
}

static void log_ins_end_as_they_should(void **state)
{
    struct stage *s = *state;
    COMMAND_DOES(s, "account-add", TEXT("address"), TEXT("off@casa.test"), TEXT("password"), TEXT(PASSWORD));
    COMMAND_DOES(s, "account-disable", TEXT("address"), TEXT("off@casa.test"));
    COMMAND_DOES(s, "account-add", TEXT("address"), TEXT("muta@casa.test"));
    assert_int_equal(stage_plain(s, TEXT("anna@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_DONE);
    assert_int_equal(stage_plain(s, TEXT("anna"), TEXT(PASSWORD)), MAIL_LOGIN_DONE);
    assert_int_equal(stage_plain(s, TEXT("anna@casa.test"), TEXT("segreto")), MAIL_LOGIN_WRONG);
    assert_int_equal(stage_plain(s, TEXT("anna@casa.test"), TEXT("")), MAIL_LOGIN_WRONG);
    assert_int_equal(stage_plain(s, TEXT("nessuno@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_WRONG);
    assert_int_equal(stage_plain(s, TEXT("off@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_WRONG);
    assert_int_equal(stage_plain(s, TEXT("muta@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_WRONG);
    assert_int_equal(stage_plain(s, TEXT("a\r\nQUIT"), TEXT("x")), MAIL_LOGIN_WRONG);
    assert_int_equal(stage_plain(s, TEXT("\xff\xfe"), TEXT("x")), MAIL_LOGIN_WRONG);
    COMMAND_DOES(s, "account-enable", TEXT("address"), TEXT("off@casa.test"));
    assert_int_equal(stage_plain(s, TEXT("off@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_DONE);
    COMMAND_DOES(s, "account-password", TEXT("address"), TEXT("off@casa.test"), TEXT("password"),
                 TEXT("un'altra-Parola-9"));
    assert_int_equal(stage_plain(s, TEXT("off@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_WRONG);
    assert_int_equal(stage_plain(s, TEXT("off@casa.test"), TEXT("un'altra-Parola-9")), MAIL_LOGIN_DONE);
    COMMAND_DOES(s, "account-remove", TEXT("address"), TEXT("off@casa.test"));
    assert_int_equal(stage_plain(s, TEXT("off@casa.test"), TEXT("un'altra-Parola-9")), MAIL_LOGIN_WRONG);
}

static void login_asks_in_the_words_that_old_clients_know(void **state)
{
    static const struct {
        struct text responses[3];
        size_t count;
        struct text challenges[2];
        enum mail_login_state state;
    } rows[] = {
        {{TEXT_INIT(""), TEXT_INIT("anna@casa.test"), TEXT_INIT(PASSWORD)},
         3,
         {TEXT_INIT("Username:"), TEXT_INIT("Password:")},
         MAIL_LOGIN_DONE},
        {{TEXT_INIT("anna@casa.test"), TEXT_INIT(PASSWORD)}, 2, {TEXT_INIT("Password:")}, MAIL_LOGIN_DONE},
        {{TEXT_INIT("anna@casa.test"), TEXT_INIT("segreto")}, 2, {TEXT_INIT("Password:")}, MAIL_LOGIN_WRONG},
        {{TEXT_INIT(""), TEXT_INIT(""), TEXT_INIT("x")},
         3,
         {TEXT_INIT("Username:"), TEXT_INIT("Password:")},
         MAIL_LOGIN_WRONG},
    };
    struct stage *s = *state;
    for (size_t i = 0; i < length_of(rows); i++) {
        s->exchange++;
        for (size_t step = 0; step + 1 < rows[i].count; step++) {
            stage_ask_login(s, s->exchange, step ? TEXT_NONE : TEXT("LOGIN"), rows[i].responses[step]);
            struct peers_message m = stage_answer(s, s->front, PEERS_FRONT, PEERS_login_answer);
            assert_int_equal(m.login_answer.state, MAIL_LOGIN_CONTINUE);
            assert_true(text_equals(m.login_answer.challenge, rows[i].challenges[step]));
        }
        stage_ask_login(s, s->exchange, TEXT_NONE, rows[i].responses[rows[i].count - 1]);
        assert_int_equal(stage_login_state(s), rows[i].state);
    }
}

static void what_is_no_dialogue_is_told_apart(void **state)
{
    struct stage *s = *state;
    struct peers_login_ask clear = {.tag = ++s->tag,
                                    .exchange = ++s->exchange,
                                    .service = TEXT("smtp"),
                                    .client = TEXT("192.0.2.7"),
                                    .mechanism = TEXT("PLAIN"),
                                    .response = TEXT("\0anna@casa.test\0" PASSWORD)};
    program_send(s->front, PEERS_login_ask, &clear);
    assert_int_equal(stage_login_state(s), MAIL_LOGIN_UNSUPPORTED);
    stage_ask_login(s, ++s->exchange, TEXT("EXTERNAL"), TEXT_NONE);
    assert_int_equal(stage_login_state(s), MAIL_LOGIN_UNSUPPORTED);
    stage_ask_login(s, ++s->exchange, TEXT("PLAIN"), TEXT("anna@casa.test\0" PASSWORD));
    assert_int_equal(stage_login_state(s), MAIL_LOGIN_MALFORMED);
    stage_ask_login(s, ++s->exchange, TEXT("PLAIN"), TEXT("bruno\0anna@casa.test\0" PASSWORD));
    assert_int_equal(stage_login_state(s), MAIL_LOGIN_WRONG);
    stage_ask_login(s, ++s->exchange, TEXT_NONE, TEXT("goes on with nothing"));
    assert_int_equal(stage_login_state(s), MAIL_LOGIN_UNAVAILABLE);
    /* dropped, the dialogue is gone */
    stage_ask_login(s, ++s->exchange, TEXT("LOGIN"), TEXT_NONE);
    assert_int_equal(stage_login_state(s), MAIL_LOGIN_CONTINUE);
    program_send(s->front, PEERS_login_drop, &(struct peers_login_drop){.exchange = s->exchange});
    stage_ask_login(s, s->exchange, TEXT_NONE, TEXT("anna@casa.test"));
    assert_int_equal(stage_login_state(s), MAIL_LOGIN_UNAVAILABLE);
}

/* T40, counted and not timed: each wrong log-in costs one check of a credential of the same form. */
static void unknown_and_known_users_cost_the_same(void **state)
{
    static const struct text names[] = {TEXT_INIT("anna@casa.test"), TEXT_INIT("nessuno@casa.test"),
                                        TEXT_INIT("x@fuori.test"),   TEXT_INIT("muta@casa.test"),
                                        TEXT_INIT("off@casa.test"),  TEXT_INIT("\xff\xfe"),
                                        TEXT_INIT("a\r\nQUIT"),      TEXT_INIT("nessuno@casa.test")};
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
        assert_true(buffer_append_octet(&response, 0) && buffer_append(&response, names[i]) &&
                    buffer_append(&response, TEXT("\0segreto")));
        stage_ask_login(s, ++s->exchange, TEXT("PLAIN"), buffer_text(&response));
        struct peers_message m = stage_answer(s, s->fake_verifier, PEERS_VERIFIER, PEERS_verify_ask);
        assert_int_equal(m.verify_ask.is_new, 0);
        assert_true(text_equals(m.verify_ask.response, buffer_text(&response)));
        assert_true(buffer_append(&forms[i], m.verify_ask.record));
        /* a "right" by a taken-over verifier helps nobody into an account that can't be entered */
        program_send(s->fake_verifier, PEERS_verify_answer,
                     &(struct peers_verify_answer){.tag = m.verify_ask.tag, .is_right = i > 0});
        assert_int_equal(stage_login_state(s), MAIL_LOGIN_WRONG);
        assert_int_equal(forms[i].length, forms[0].length);
        for (size_t at = 0; at < forms[0].length; at++)
            if (forms[0].bytes[at] == '$' || forms[0].bytes[at] == ':' || forms[0].bytes[at] == ' ')
                assert_int_equal(forms[i].bytes[at], forms[0].bytes[at]);
    }
    assert_true(text_equals(buffer_text(&forms[1]), buffer_text(&forms[7])));
    for (size_t i = 0; i < length_of(names); i++)
        buffer_done(&forms[i]);
    COMMAND_SHOWS(s, "passwords_checked=10 ", "status", TEXT("x"),
                  TEXT("")); /* eight, and the two passwords that were set */
}

/* T42 */
static void without_a_verifier_nobody_is_wrong(void **state)
{
    struct stage *s = *state;
    struct text name = TEXT("\0anna@casa.test\0" PASSWORD);
    program_kill(&s->verifier);
    stage_ask_login(s, ++s->exchange, TEXT("PLAIN"), name);
    assert_int_equal(stage_login_state(s), MAIL_LOGIN_UNAVAILABLE);
    COMMAND_FAILS(s, "verifier", "account-add", TEXT("address"), TEXT("bruno@casa.test"), TEXT("password"),
                  TEXT(PASSWORD));
    /* dies with the question in its hands, another waits */
    s->fake_verifier = program_link(s->vault, PEERS_VERIFIER);
    stage_ask_login(s, ++s->exchange, TEXT("PLAIN"), name);
    stage_answer(s, s->fake_verifier, PEERS_VERIFIER, PEERS_verify_ask);
    uint64_t first = s->tag;
    stage_ask_login(s, ++s->exchange, TEXT("PLAIN"), name);
    file_close(&s->fake_verifier);
    for (uint64_t tag = first; tag <= first + 1; tag++) {
        struct peers_message m = stage_answer(s, s->front, PEERS_FRONT, PEERS_login_answer);
        assert_true(m.login_answer.tag == tag);
        assert_int_equal(m.login_answer.state, MAIL_LOGIN_UNAVAILABLE);
    }
    stage_start_verifier(s);
    assert_int_equal(stage_plain(s, TEXT("anna@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_DONE);
}

/* T41: three hundred guesses of one client at one account, then somebody else. */
static void a_flood_of_guesses_does_not_keep_others_waiting(void **state)
{
    enum { FLOOD = 300, SERVED_BEFORE = 3 };
    struct stage *s = *state;
    size_t unavailable = 0, before = 0;
    assert_int_equal(program_stop(&s->verifier), 0);
    s->fake_verifier = program_link(s->vault, PEERS_VERIFIER);
    for (size_t i = 0; i < FLOOD; i++)
        stage_ask_login(s, ++s->exchange, TEXT("PLAIN"), TEXT("\0nessuno@casa.test\0x"));
    struct peers_login_ask good = {.tag = ++s->tag,
                                   .exchange = ++s->exchange,
                                   .is_encrypted = 1,
                                   .service = TEXT("smtp"),
                                   .client = TEXT("192.0.2.9"),
                                   .mechanism = TEXT("PLAIN"),
                                   .response = TEXT("\0anna@casa.test\0" PASSWORD)};
    program_send(s->front, PEERS_login_ask, &good);
    /* A verifier of the test's speed would outrun the reading of the flood: so the vault has all before the first
     * answer: one is being checked, a quarter of the places is full, and the good one waits. */
    for (bool has_all = false; !has_all;) {
        struct outcome status = stage_command(s, TEXT("status"), NULL, 0);
        has_all = text_find(buffer_text(&status.text), TEXT("passwords_waiting=257 ")) < status.text.length;
        buffer_done(&status.text);
    }
    for (bool is_good = false; !is_good; before += !is_good) {
        struct peers_message m = stage_answer(s, s->fake_verifier, PEERS_VERIFIER, PEERS_verify_ask);
        is_good = text_equals(m.verify_ask.response, good.response);
        program_send(s->fake_verifier, PEERS_verify_answer,
                     &(struct peers_verify_answer){.tag = m.verify_ask.tag, .is_right = is_good});
    }
    print_message("# %zu before the good one\n", before);
    assert_true(before <= SERVED_BEFORE);
    for (struct peers_message m;;) {
        m = stage_answer(s, s->front, PEERS_FRONT, PEERS_login_answer);
        unavailable += m.login_answer.state == MAIL_LOGIN_UNAVAILABLE;
        if (m.login_answer.tag == good.tag) {
            assert_int_equal(m.login_answer.state, MAIL_LOGIN_DONE);
            break;
        }
    }
    assert_true(unavailable > 0); /* what was over the client's share of places: nobody is told "wrong" for that */
}

static void a_front_that_went_away_leaves_nothing_behind(void **state)
{
    struct stage *s = *state;
    assert_int_equal(program_stop(&s->verifier), 0);
    s->fake_verifier = program_link(s->vault, PEERS_VERIFIER);
    stage_ask_login(s, ++s->exchange, TEXT("PLAIN"), TEXT("\0anna@casa.test\0" PASSWORD));
    struct peers_message m = stage_answer(s, s->fake_verifier, PEERS_VERIFIER, PEERS_verify_ask);
    uint64_t tag = m.verify_ask.tag;
    file_close(&s->front);
    s->front = program_link(s->vault, PEERS_FRONT);
    stage_answer(s, s->front, PEERS_FRONT, PEERS_accounts_changed);
    program_send(s->fake_verifier, PEERS_verify_answer, &(struct peers_verify_answer){.tag = tag, .is_right = 1});
    stage_ask_login(s, s->exchange, TEXT("PLAIN"), TEXT("\0anna@casa.test\0" PASSWORD));
    m = stage_answer(s, s->fake_verifier, PEERS_VERIFIER, PEERS_verify_ask);
    program_send(s->fake_verifier, PEERS_verify_answer,
                 &(struct peers_verify_answer){.tag = m.verify_ask.tag, .is_right = 0});
    assert_int_equal(stage_login_state(s), MAIL_LOGIN_WRONG);
}

static void no_event_shows_a_password(void **state)
{
    struct stage *s = *state;
    struct buffer encoded released_by(buffer_done) = buffer_new(256);
    assert_int_equal(stage_plain(s, TEXT("anna@casa.test"), TEXT(PASSWORD)), MAIL_LOGIN_DONE);
    assert_int_equal(stage_plain(s, TEXT("anna@casa.test"), TEXT("sbagliata-parola")), MAIL_LOGIN_WRONG);
    assert_int_equal(stage_plain(s, TEXT("nessuno@casa.test"), TEXT("sbagliata-parola")), MAIL_LOGIN_WRONG);
    COMMAND_DOES(s, "account-password", TEXT("address"), TEXT("anna@casa.test"), TEXT("password"),
                 TEXT("un'altra-Parola-9"));
    COMMAND_FAILS(s, "password_common", "account-password", TEXT("address"), TEXT("anna@casa.test"), TEXT("password"),
                  TEXT("password1234"));
    stage_gather_events(s);
    assert_true(stage_was_told(s, TEXT("login-failed")) && stage_was_told(s, TEXT("wrong password")) &&
                stage_was_told(s, TEXT("no such account")));
    assert_true(stage_was_told(s, TEXT("accounts-changed")) && stage_was_told(s, TEXT("account-password")));
    static const struct text secrets[] = {TEXT_INIT(PASSWORD),
                                          TEXT_INIT("sbagliata-parola"),
                                          TEXT_INIT("un'altra-Parola-9"),
                                          TEXT_INIT("password1234"),
                                          TEXT_INIT("$y$"),
                                          TEXT_INIT("SCRAM-SHA-256$"),
                                          TEXT_INIT("\0anna@casa.test\0" PASSWORD),
                                          TEXT_INIT("\0anna@casa.test\0sbagliata-parola")};
    for (size_t i = 0; i < length_of(secrets); i++) {
        assert_false(stage_was_told(s, secrets[i]));
        buffer_clear(&encoded);
        assert_true(base64_append(&encoded, secrets[i]));
        assert_false(stage_was_told(
            s, text_first(buffer_text(&encoded), secrets[i].length))); /* the last digits hang on what follows */
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
    struct peers_command_ask ask = {.tag = ++s->tag,
                                    .caller = TEXT("test"),
                                    .name = TEXT("account-password"),
                                    .arguments = {.items = pairs, .count = 4}};
    program_send(s->vault->supervisor, PEERS_command_ask, &ask);
    struct peers_message m = stage_answer(s, s->fake_verifier, PEERS_VERIFIER, PEERS_verify_ask);
    assert_int_equal(m.verify_ask.is_new, 1);
    assert_non_null(crypt_gensalt_rn("$2b$", 5, "0123456789abcdef", 16, setting, (int)sizeof setting));
    struct text hash = text_of_terminated(crypt_rn("vecchia-Parola-7", setting, &data, (int)sizeof data));
    program_send(s->fake_verifier, PEERS_verify_answer,
                 &(struct peers_verify_answer){.tag = m.verify_ask.tag, .is_right = 1, .record = hash});
    for (m.type = PEERS_NONE; m.type != PEERS_command_end;) {
        struct text packet;
        struct channel_descriptors files;
        assert_int_equal(channel_receive(s->vault->supervisor, s->vault->bytes, 5000, &packet, &files), CHANNEL_OK);
        assert_int_equal(peers_unpack(packet, PEERS_VAULT, PEERS_SUPERVISOR, 0, &s->vault->arena, &m), PEERS_OK);
    }
    file_close(&s->fake_verifier);
    stage_start_verifier(s);
    assert_int_equal(stage_plain(s, TEXT("anna@casa.test"), TEXT("vecchia-Parola-7")), MAIL_LOGIN_DONE);
    assert_int_equal(stage_plain(s, TEXT("anna@casa.test"), TEXT("vecchia-Parola-7")), MAIL_LOGIN_DONE);
    stage_gather_events(s);
    assert_true(stage_was_told(s, TEXT("credential-renewed")));
    size_t first = text_find(buffer_text(&s->events), TEXT("credential-renewed"));
    struct text behind = text_after(buffer_text(&s->events), first + 1);
    assert_int_equal(text_find(behind, TEXT("credential-renewed")), behind.length);
}

int main(void)
{
#define HOUSE(test) cmocka_unit_test_setup_teardown(test, stage_set_up_house, stage_tear_down)
    const struct CMUnitTest tests[] = {
        HOUSE(the_right_password_gets_a_ticket_that_the_queue_takes),
        HOUSE(log_ins_end_as_they_should),
        HOUSE(login_asks_in_the_words_that_old_clients_know),
        HOUSE(what_is_no_dialogue_is_told_apart),
        HOUSE(unknown_and_known_users_cost_the_same),
        HOUSE(without_a_verifier_nobody_is_wrong),
        HOUSE(a_flood_of_guesses_does_not_keep_others_waiting),
        HOUSE(a_front_that_went_away_leaves_nothing_behind),
        HOUSE(no_event_shows_a_password),
        HOUSE(an_imported_hash_is_renewed_at_the_first_log_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
