/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/explain.h"
#include "policy/rules.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const struct policy_settings guide = {
    .require_helo = true,
    .reject_unauthorised_local_sender = true,
    .unauthorised_local_header = SETTINGS_LOCAL_HEADER_MARK,
    .reject_auth_sender_mismatch = true,
    .reject_auth_header_mismatch = true,
    .relay_only_local_sender = true,
};

/* A case changes the guide's settings and the stranger's facts by words: "is_logged_in=yes". */

static void input_set(struct policy_facts *f, struct policy_settings *s, struct text word, struct text value)
{
    for (enum policy_input input = 1; input < POLICY_INPUTS; input++) {
        const struct policy_input_row *row = policy_input_row(input);
        for (unsigned i = 0; text_equals(row->word, word) && i < row->value_count; i++)
            if (text_equals(row->values[i].en, value)) {
                policy_input_set(f, s, input, i);
                return;
            }
    }
    fail_msg("no such input or value: %.*s=%.*s", TEXT_ARGUMENTS(word), TEXT_ARGUMENTS(value));
}

static void inputs_set(struct policy_facts *f, struct policy_settings *s, const char *list)
{
    struct text rest = text_of_terminated(list);
    while (rest.length) {
        struct text one = text_trimmed(text_take_until(&rest, ';'));
        const struct text word = text_take_until(&one, '=');
        input_set(f, s, word, one);
    }
}

/* A stranger greets port 25 in clear; nobody is trusted, nobody came by POP3. */
static struct policy_facts stranger(void)
{
    return (struct policy_facts){.has_greeted = true, .trusted = POLICY_ANSWER_NO, .pop = POLICY_POP_NONE};
}

#define LOGIN "listener=submission;is_encrypted=yes;is_logged_in=yes;"
#define TRUSTED "trusted=yes;"
#define MAIL "stage=MAIL;"
#define RCPT "stage=RCPT;"
#define TEXT_ "stage=the message;sender=foreign;"
#define LOCAL "sender=local;"
#define OWN "sender=the login's own;"
#define FOREIGN "sender=foreign;"
#define TO_US "recipient=local;"
#define OUT "recipient=foreign;"

static const struct {
    const char *name, *inputs;
    enum policy_rule rule;
    enum reply reply;
} cases[] = {
    /* goal: strangers get in with mail for us, and nothing else */
    {"a stranger writes to us", RCPT FOREIGN TO_US, POLICY_RULE_LOCAL_DELIVERY, REPLY_RECIPIENT_OK},
    {"a stranger relays", RCPT FOREIGN OUT, POLICY_RULE_RELAY_NOT_PERMITTED, REPLY_RELAY_NOT_PERMITTED},
    {"a stranger relays, all settings off",
     RCPT FOREIGN OUT "require_helo=no;reject_unauthorised_local_sender=no;relay_only_local_sender=no",
     POLICY_RULE_RELAY_NOT_PERMITTED, REPLY_RELAY_NOT_PERMITTED},
    {"a stranger with a local sender", MAIL LOCAL, POLICY_RULE_LOCAL_SENDER_NOT_AUTHORISED,
     REPLY_SENDER_NOT_AUTHORISED},
    {"a stranger with a local sender nobody has", MAIL "sender=local domain, nobody there",
     POLICY_RULE_LOCAL_SENDER_NOT_AUTHORISED, REPLY_SENDER_NOT_AUTHORISED},
    {"a local sender, logged in", MAIL LOGIN OWN, POLICY_RULE_SENDER, REPLY_SENDER_OK},
    {"a local sender, trusted", MAIL TRUSTED LOCAL, POLICY_RULE_SENDER, REPLY_SENDER_OK},
    {"a local sender, after POP3", MAIL LOCAL "pop_before_smtp=yes;pop=by the sender's account", POLICY_RULE_SENDER,
     REPLY_SENDER_OK},
    {"a local sender, refusal off", MAIL LOCAL "reject_unauthorised_local_sender=no", POLICY_RULE_SENDER,
     REPLY_SENDER_OK},
    {"a local sender, refusal off, writes to us", RCPT LOCAL TO_US "reject_unauthorised_local_sender=no",
     POLICY_RULE_LOCAL_DELIVERY, REPLY_RECIPIENT_OK},
    {"a local sender, refusal off, relays", RCPT LOCAL OUT "reject_unauthorised_local_sender=no",
     POLICY_RULE_RELAY_NOT_PERMITTED, REPLY_RELAY_NOT_PERMITTED},
    {"a list that carries our address", MAIL LOCAL "is_sender_excepted=yes", POLICY_RULE_SENDER, REPLY_SENDER_OK},
    {"a list that carries our address relays", RCPT LOCAL OUT "is_sender_excepted=yes", POLICY_RULE_RELAY_NOT_PERMITTED,
     REPLY_RELAY_NOT_PERMITTED},
    /* POP before SMTP */
    {"POP3 while it is off", MAIL LOCAL "pop=by the sender's account", POLICY_RULE_LOCAL_SENDER_NOT_AUTHORISED,
     REPLY_SENDER_NOT_AUTHORISED},
    {"POP3 by another account, scope address", MAIL LOCAL "pop_before_smtp=yes;pop=by another account",
     POLICY_RULE_LOCAL_SENDER_NOT_AUTHORISED, REPLY_SENDER_NOT_AUTHORISED},
    {"POP3 by another account, scope host", MAIL LOCAL "pop_before_smtp=yes;pop_scope=host;pop=by another account",
     POLICY_RULE_SENDER, REPLY_SENDER_OK},
    {"POP3 does not count on submission",
     MAIL LOCAL "listener=submission;is_encrypted=yes;pop_before_smtp=yes;pop=by the sender's account",
     POLICY_RULE_SUBMISSION_NEEDS_LOGIN, REPLY_LOGIN_REQUIRED},
    {"POP3 relays with its own sender", RCPT LOCAL OUT "pop_before_smtp=yes;pop=by the sender's account",
     POLICY_RULE_RELAY, REPLY_RECIPIENT_OK_FORWARD},
    /* submission */
    {"587 without AUTH, in clear", MAIL FOREIGN "listener=submission", POLICY_RULE_SUBMISSION_NEEDS_TLS,
     REPLY_TLS_REQUIRED},
    {"587 without AUTH, under TLS", MAIL FOREIGN "listener=submission;is_encrypted=yes",
     POLICY_RULE_SUBMISSION_NEEDS_LOGIN, REPLY_LOGIN_REQUIRED},
    {"587 trusted without AUTH", MAIL TRUSTED FOREIGN "listener=submission;is_encrypted=yes",
     POLICY_RULE_SUBMISSION_NEEDS_LOGIN, REPLY_LOGIN_REQUIRED},
    {"587 AUTH in clear", "stage=AUTH;listener=submission", POLICY_RULE_LOGIN_NEEDS_TLS, REPLY_LOGIN_NEEDS_TLS},
    {"587 AUTH under TLS", "stage=AUTH;listener=submission;is_encrypted=yes", POLICY_RULE_COMMAND, REPLY_NONE},
    {"25 AUTH, not offered", "stage=AUTH;is_encrypted=yes", POLICY_RULE_LOGIN_NOT_OFFERED, REPLY_LOGIN_NOT_OFFERED},
    {"25 AUTH, offered, in clear", "stage=AUTH;offers_auth=yes", POLICY_RULE_LOGIN_NEEDS_TLS, REPLY_LOGIN_NEEDS_TLS},
    {"25 AUTH, offered, under TLS", "stage=AUTH;offers_auth=yes;is_encrypted=yes", POLICY_RULE_COMMAND, REPLY_NONE},
    {"AUTH twice", "stage=AUTH;" LOGIN, POLICY_RULE_LOGIN_ALREADY, REPLY_LOGIN_ALREADY},
    /* AUTH binds to the login */
    {"login with another's address", MAIL LOGIN LOCAL, POLICY_RULE_AUTH_SENDER_MISMATCH, REPLY_AUTH_SENDER_MISMATCH},
    {"login with a foreign address", MAIL LOGIN FOREIGN, POLICY_RULE_AUTH_SENDER_MISMATCH, REPLY_AUTH_SENDER_MISMATCH},
    {"login with <>", MAIL LOGIN "is_sender_null=yes", POLICY_RULE_SENDER, REPLY_SENDER_OK},
    {"login with another's address, refusal off", MAIL LOGIN LOCAL "reject_auth_sender_mismatch=no", POLICY_RULE_SENDER,
     REPLY_SENDER_OK},
    {"login's address is put in its place", MAIL LOGIN LOCAL "auth_sets_sender=yes", POLICY_RULE_SENDER_FROM_LOGIN,
     REPLY_SENDER_OK},
    {"a trusted host that logs in is bound", MAIL TRUSTED "offers_auth=yes;is_encrypted=yes;is_logged_in=yes;" LOCAL,
     POLICY_RULE_AUTH_SENDER_MISMATCH, REPLY_AUTH_SENDER_MISMATCH},
    {"login relays", RCPT LOGIN OWN OUT, POLICY_RULE_RELAY, REPLY_RECIPIENT_OK_FORWARD},
    {"login relays a report", RCPT LOGIN "is_sender_null=yes;" OUT, POLICY_RULE_RELAY_NULL, REPLY_RECIPIENT_OK_FORWARD},
    {"login relays a foreign sender, mismatch off", RCPT LOGIN FOREIGN OUT "reject_auth_sender_mismatch=no",
     POLICY_RULE_RELAY_SENDER_NOT_LOCAL, REPLY_RELAY_SENDER_NOT_LOCAL},
    /* relay only with a local sender */
    {"trusted relays a foreign sender", RCPT TRUSTED FOREIGN OUT, POLICY_RULE_RELAY_SENDER_NOT_LOCAL,
     REPLY_RELAY_SENDER_NOT_LOCAL},
    {"trusted, foreign sender, to us", RCPT TRUSTED FOREIGN TO_US, POLICY_RULE_LOCAL_DELIVERY, REPLY_RECIPIENT_OK},
    {"trusted relays a foreign sender, off", RCPT TRUSTED FOREIGN OUT "relay_only_local_sender=no", POLICY_RULE_RELAY,
     REPLY_RECIPIENT_OK_FORWARD},
    {"trusted relays a local sender", RCPT TRUSTED LOCAL OUT, POLICY_RULE_RELAY, REPLY_RECIPIENT_OK_FORWARD},
    {"trusted relays a report", RCPT TRUSTED "is_sender_null=yes;" OUT, POLICY_RULE_RELAY_NULL_SENDER,
     REPLY_RELAY_NULL_SENDER},
    {"trusted relays a report, off", RCPT TRUSTED "is_sender_null=yes;relay_only_local_sender=no;" OUT,
     POLICY_RULE_RELAY_NULL_SENDER, REPLY_RELAY_NULL_SENDER},
    /* HELO */
    {"MAIL first", MAIL "has_greeted=no", POLICY_RULE_HELLO_REQUIRED, REPLY_HELLO_REQUIRED},
    {"MAIL first, off", MAIL FOREIGN "has_greeted=no;require_helo=no", POLICY_RULE_SENDER, REPLY_SENDER_OK},
    {"VRFY first", "has_greeted=no", POLICY_RULE_HELLO_REQUIRED, REPLY_HELLO_REQUIRED},
    /* recipients */
    {"<> to us", RCPT "is_sender_null=yes;" TO_US, POLICY_RULE_LOCAL_DELIVERY, REPLY_RECIPIENT_OK},
    {"nobody", RCPT FOREIGN "recipient=local domain, nobody there", POLICY_RULE_RECIPIENT_UNKNOWN,
     REPLY_RECIPIENT_UNKNOWN},
    {"full", RCPT FOREIGN "recipient=local, mailbox full", POLICY_RULE_MAILBOX_FULL, REPLY_MAILBOX_FULL},
    {"full for good", RCPT FOREIGN "recipient=local, mailbox full;full_mailbox_permanent=yes",
     POLICY_RULE_MAILBOX_FULL_PERMANENT, REPLY_MAILBOX_FULL_PERMANENT},
    {"disabled", RCPT FOREIGN "recipient=local, account disabled", POLICY_RULE_RECIPIENT_DISABLED,
     REPLY_RECIPIENT_DISABLED},
    {"the store is away", RCPT FOREIGN "recipient=can't be told now", POLICY_RULE_FACT_UNAVAILABLE,
     REPLY_RECIPIENT_UNAVAILABLE},
    {"the store is away at MAIL", MAIL "sender=can't be told now", POLICY_RULE_FACT_UNAVAILABLE,
     REPLY_FACTS_UNAVAILABLE},
    {"postmaster, full", RCPT FOREIGN "is_postmaster=yes;recipient=local, mailbox full", POLICY_RULE_POSTMASTER,
     REPLY_RECIPIENT_OK},
    {"a foreign postmaster", RCPT FOREIGN OUT "is_postmaster=yes", POLICY_RULE_RELAY_NOT_PERMITTED,
     REPLY_RELAY_NOT_PERMITTED},
    {"one recipient too many", RCPT FOREIGN TO_US "is_over_recipients=yes", POLICY_RULE_TOO_MANY_RECIPIENTS,
     REPLY_TOO_MANY_RECIPIENTS},
    /* the message */
    {"SIZE over the limit", MAIL FOREIGN "is_over_size=yes", POLICY_RULE_MESSAGE_TOO_LARGE, REPLY_MESSAGE_TOO_LARGE},
    {"too large", TEXT_ "is_over_size=yes", POLICY_RULE_MESSAGE_TOO_LARGE, REPLY_MESSAGE_TOO_LARGE},
    {"21 Received", TEXT_ "is_over_hops=yes", POLICY_RULE_MAIL_LOOP, REPLY_MAIL_LOOP},
    {"no From", TEXT_, POLICY_RULE_MESSAGE, REPLY_MESSAGE_ACCEPTED},
    {"a stranger's own From", TEXT_ "has_header_from=yes;header_from=foreign", POLICY_RULE_MESSAGE,
     REPLY_MESSAGE_ACCEPTED},
    {"our From, mark", TEXT_ "has_header_from=yes;header_from=local", POLICY_RULE_LOCAL_HEADER_MARKED,
     REPLY_MESSAGE_ACCEPTED},
    {"our From, refuse", TEXT_ "has_header_from=yes;header_from=local;unauthorised_local_header=refuse",
     POLICY_RULE_LOCAL_HEADER_NOT_AUTHORISED, REPLY_LOCAL_HEADER_NOT_AUTHORISED},
    {"our From, off", TEXT_ "has_header_from=yes;header_from=local;unauthorised_local_header=off", POLICY_RULE_MESSAGE,
     REPLY_MESSAGE_ACCEPTED},
    {"our From through a list",
     TEXT_ "has_header_from=yes;header_from=local;is_sender_excepted=yes;unauthorised_local_header=refuse",
     POLICY_RULE_MESSAGE, REPLY_MESSAGE_ACCEPTED},
    {"login's From is another's", TEXT_ OWN LOGIN "has_header_from=yes;header_from=local",
     POLICY_RULE_AUTH_HEADER_MISMATCH, REPLY_AUTH_HEADER_MISMATCH},
    {"login's From is its own", TEXT_ OWN LOGIN "has_header_from=yes;header_from=the login's own", POLICY_RULE_MESSAGE,
     REPLY_MESSAGE_ACCEPTED},
    {"login's From is another's, off",
     TEXT_ OWN LOGIN "has_header_from=yes;header_from=local;reject_auth_header_mismatch=no", POLICY_RULE_MESSAGE,
     REPLY_MESSAGE_ACCEPTED},
};

static void each_case_is_decided_by_its_rule(void **state not_used)
{
    for (size_t i = 0; i < length_of(cases); i++) {
        struct policy_facts facts = stranger();
        struct policy_settings settings = guide;
        inputs_set(&facts, &settings, cases[i].inputs);
        const struct policy_verdict verdict = policy_judge(&facts, &settings);
        if (verdict.rule != cases[i].rule || verdict.reply != cases[i].reply) {
            const struct text word =
                verdict.outcome == POLICY_NEEDS ? policy_input_word(verdict.needs) : policy_rule_word(verdict.rule);
            fail_msg("%s: %.*s", cases[i].name, TEXT_ARGUMENTS(word));
        }
    }
}

static void one_fact_is_asked_for_at_a_time(void **state not_used)
{
    struct policy_facts facts = {.stage = POLICY_STAGE_RECIPIENT, .has_greeted = true};
    struct policy_settings settings = guide;
    settings.pop_before_smtp = true;
    static const enum policy_input asked[] = {POLICY_FACT_SENDER, POLICY_FACT_TRUSTED, POLICY_FACT_POP,
                                              POLICY_FACT_RECIPIENT};
    static const unsigned answers[] = {MAIL_ADDRESS_LOCAL, POLICY_ANSWER_NO, POLICY_POP_SENDER, MAIL_ADDRESS_FOREIGN};
    for (size_t i = 0; i < length_of(asked); i++) {
        const struct policy_verdict verdict = policy_judge(&facts, &settings);
        assert_int_equal(verdict.outcome, POLICY_NEEDS);
        assert_int_equal(verdict.needs, asked[i]);
        policy_input_set(&facts, &settings, verdict.needs, answers[i]);
    }
    assert_int_equal(policy_judge(&facts, &settings).rule, POLICY_RULE_RELAY);
    enum policy_way way = POLICY_WAY_NONE;
    enum policy_input needs;
    assert_true(policy_way_of(&facts, &settings, &way, &needs));
    assert_int_equal(way, POLICY_WAY_POP);
}

static void a_foreign_sender_to_us_asks_neither_trust_nor_pop(void **state not_used)
{
    struct policy_facts facts = {.stage = POLICY_STAGE_RECIPIENT,
                                 .has_greeted = true,
                                 .sender = MAIL_ADDRESS_FOREIGN,
                                 .recipient = MAIL_ADDRESS_LOCAL};
    assert_int_equal(policy_judge(&facts, &guide).rule, POLICY_RULE_LOCAL_DELIVERY);
}

static void rows_stand_in_the_order_of_their_enum_and_are_complete(void **state not_used)
{
    for (enum policy_rule rule = POLICY_RULE_NONE + 1; rule < POLICY_RULES; rule++) {
        const struct policy_rule_row *row = policy_rule_row(rule);
        assert_int_equal(row->rule, rule);
        assert_true(row->stages != 0 && row->applies);
        assert_false(text_is_empty(row->why.en) || text_is_empty(row->why.it));
        assert_int_equal(text_is_empty(row->remedy_user.en), text_is_empty(row->remedy_user.it));
        assert_int_equal(text_is_empty(row->remedy_remote.en), text_is_empty(row->remedy_remote.it));
        assert_int_equal(text_is_empty(row->remedy_administrator.en), text_is_empty(row->remedy_administrator.it));
        if (row->outcome == POLICY_REFUSE) {
            assert_true(text_equals(reply_row(row->reply)->explain, row->word));
            assert_false(text_is_empty(row->remedy_user.en)); /* nobody is refused without a way on */
        }
        for (enum policy_rule other = POLICY_RULE_NONE + 1; other < rule; other++)
            assert_false(text_equals(policy_rule_word(other), row->word));
    }
}

static bool settings_know(struct text key)
{
    static const struct text keys[] = {
#define SETTING(section, name, type, ...) TEXT_INIT(#section "." #name),
#include "settings/settings.def"
    };
    for (size_t i = 0; i < length_of(keys); i++)
        if (text_equals(keys[i], key))
            return true;
    return false;
}

static void every_setting_named_exists(void **state not_used)
{
    for (enum policy_rule rule = POLICY_RULE_NONE + 1; rule < POLICY_RULES; rule++)
        for (size_t i = 0; i < POLICY_RULE_KEYS; i++)
            assert_true(text_is_empty(policy_rule_row(rule)->keys[i]) || settings_know(policy_rule_row(rule)->keys[i]));
    for (enum policy_input input = 1; input < POLICY_INPUTS; input++)
        assert_true(text_is_empty(policy_input_row(input)->key) || settings_know(policy_input_row(input)->key));
}

static struct policy_settings settings_of(struct arena *arena, const char *file)
{
    const struct settings_machine machine = {.fqdn = TEXT("mail.casa.test"), .first_domain = TEXT("casa.test")};
    struct settings_problems problems = {.arena = arena};
    const struct settings *s = NULL;
    assert_true(settings_parse(arena, text_of_terminated(file), &machine, &problems, &s));
    return policy_settings_of(s);
}

static void an_empty_file_gives_the_settings_that_the_proof_calls_the_guides(void **state not_used)
{
    struct arena arena released_by(arena_done) = arena_new(1 << 22);
    const struct policy_settings found = settings_of(&arena, "");
    const struct policy_facts none = {0};
    for (enum policy_input input = 1; input < POLICY_INPUTS; input++)
        if (policy_input_row(input)->is_setting)
            assert_int_equal(policy_input_get(&none, &found, input), policy_input_get(&none, &guide, input));
}

static void each_setting_reaches_the_verdict(void **state not_used)
{
    static const struct {
        const char *file;
        enum policy_input input;
        unsigned value;
    } rows[] = {
        {"[security]\nrequire_helo = no\n", POLICY_SETTING_REQUIRE_HELO, false},
        {"[security]\nreject_unauthorised_local_sender = no\n", POLICY_SETTING_LOCAL_SENDER, false},
        {"[security]\nreject_auth_sender_mismatch = no\n", POLICY_SETTING_AUTH_SENDER, false},
        {"[security]\nreject_auth_header_mismatch = no\n", POLICY_SETTING_AUTH_HEADER, false},
        {"[security]\nrelay_only_local_sender = no\n", POLICY_SETTING_RELAY_LOCAL, false},
        {"[security]\nunauthorised_local_header = refuse\n", POLICY_SETTING_LOCAL_HEADER, SETTINGS_LOCAL_HEADER_REFUSE},
        {"[delivery]\nfull_mailbox_permanent = yes\n", POLICY_SETTING_FULL_PERMANENT, true},
    };
    const struct policy_facts none = {0};
    for (size_t i = 0; i < length_of(rows); i++) {
        struct arena arena released_by(arena_done) = arena_new(1 << 22);
        const struct policy_settings found = settings_of(&arena, rows[i].file);
        for (enum policy_input input = 1; input < POLICY_INPUTS; input++)
            if (policy_input_row(input)->is_setting)
                assert_int_equal(policy_input_get(&none, &found, input),
                                 input == rows[i].input ? rows[i].value : policy_input_get(&none, &guide, input));
    }
}

/* --- explain
 * ---------------------------------------------------------------------------------------------------------------------
 */

static struct policy_question question_of(const char *inputs)
{
    struct policy_question q = {
        .facts = stranger(),
        .settings = guide,
        .subject = {.sender = TEXT("anna@fuori.test"),
                    .recipient = TEXT("bo@altrove.test"),
                    .size_limit = TEXT("52428800"),
                    .hop_limit = TEXT("20"),
                    .recipient_limit = TEXT("32768"),
                    .octets = TEXT("10"),
                    .id = TEXT("7")},
    };
    inputs_set(&q.facts, &q.settings, inputs);
    return q;
}

static bool says(const struct buffer *b, const char *what)
{
    return text_find(buffer_text(b), text_of_terminated(what)) < b->length;
}

static void a_refusal_is_explained_with_reply_rule_and_remedies(void **state not_used)
{
    const struct policy_question q = question_of(RCPT FOREIGN OUT);
    struct buffer b released_by(buffer_done) = buffer_new(65536);
    assert_true(policy_explain(&b, &q, SETTINGS_ENGLISH));
    static const char *const expected[] = {
        "Verdict: refused\n",
        "At: RCPT\n",
        "550 5.7.1 Relaying denied, authenticate first [relay-not-permitted]\n",
        "Rule: relay-not-permitted\n",
        "Authorised by: nothing\n",
        "security.trusted",
        "relay-sender-not-local",
        "client logged in (SMTP AUTH) = yes",
        "recipient = local: accepted",
        "The user can: ",
        "The sending server can: ",
        "The administrator can: ",
    };
    for (size_t i = 0; i < length_of(expected); i++)
        if (!says(&b, expected[i]))
            fail_msg("missing: %s in\n%.*s", expected[i], TEXT_ARGUMENTS(buffer_text(&b)));
    buffer_clear(&b);
    assert_true(policy_explain(&b, &q, SETTINGS_ITALIAN));
    assert_true(says(&b, "Esito: respinto\n") && says(&b, "L'utente può: ") && says(&b, "Autorizzato da: nulla\n"));
    assert_false(says(&b, "The "));
}

static void what_is_needed_is_explained_with_where_each_answer_leads(void **state not_used)
{
    struct policy_question q = question_of(MAIL LOCAL);
    q.facts.trusted = POLICY_ANSWER_UNKNOWN_YET;
    struct buffer b released_by(buffer_done) = buffer_new(65536);
    assert_true(policy_explain(&b, &q, SETTINGS_ENGLISH));
    assert_true(says(&b, "Verdict: not to be told yet\n"));
    assert_true(says(&b, "Must be known first: client is a trusted host\n"));
    assert_true(says(&b, "client is a trusted host = no: refused (sender-not-authorised)"));
    assert_true(says(&b, "client is a trusted host = yes: accepted (sender)"));
    assert_false(says(&b, "Still unknown"));
    buffer_clear(&b);
    q.facts = (struct policy_facts){.stage = POLICY_STAGE_RECIPIENT, .has_greeted = true};
    assert_true(policy_explain(&b, &q, SETTINGS_ENGLISH));
    assert_true(says(&b, "Must be known first: sender\nStill unknown:\n  client is a trusted host\n  recipient\n"));
}

static void pairs_are_named_once_for_each_topic_and_once_for_each_entry_of_a_list(void **state not_used)
{
    const struct policy_question q = question_of(RCPT TRUSTED FOREIGN OUT);
    struct arena arena released_by(arena_done) = arena_new(65536);
    struct policy_pair pairs[POLICY_PAIRS];
    size_t count = 0;
    assert_true(policy_explain_pairs(&arena, &q, SETTINGS_ENGLISH, pairs, &count));
    static const struct {
        const char *name;
        size_t least, most;
    } expected[] = {{"verdict", 1, 1},
                    {"stage", 1, 1},
                    {"reply", 1, 1},
                    {"code", 1, 1},
                    {"rule", 1, 1},
                    {"why", 1, 1},
                    {"authorised", 1, 1},
                    {"setting", 1, 3},
                    {"also", 1, 1},
                    {"change", 3, POLICY_CHANGES},
                    {"nearly", 1, POLICY_CHANGES},
                    {"remedy_user", 1, 1},
                    {"remedy_administrator", 1, 1}};
    for (size_t i = 0; i < length_of(expected); i++) {
        size_t found = 0;
        for (size_t k = 0; k < count; k++) {
            found += text_equals(pairs[k].name, text_of_terminated(expected[i].name));
            assert_false(text_is_empty(pairs[k].value));
        }
        if (found < expected[i].least || found > expected[i].most)
            fail_msg("%s: %zu", expected[i].name, found);
    }
}

static void an_arena_too_small_is_a_result(void **state not_used)
{
    const struct policy_question q = question_of(RCPT FOREIGN OUT);
    struct arena arena released_by(arena_done) = arena_new(16);
    struct policy_pair pairs[POLICY_PAIRS];
    size_t count = 77;
    assert_false(policy_explain_pairs(&arena, &q, SETTINGS_ENGLISH, pairs, &count));
    assert_int_equal(count, 77);
    struct buffer b released_by(buffer_done) = buffer_new(100);
    assert_false(policy_explain(&b, &q, SETTINGS_ENGLISH));
}

static void every_case_can_be_explained_in_both_languages(void **state not_used)
{
    for (size_t i = 0; i < length_of(cases); i++) {
        const struct policy_question q = question_of(cases[i].inputs);
        struct buffer english released_by(buffer_done) = buffer_new(65536),
                              italian released_by(buffer_done) = buffer_new(65536);
        assert_true(policy_explain(&english, &q, SETTINGS_ENGLISH));
        assert_true(policy_explain(&italian, &q, SETTINGS_ITALIAN));
        assert_true(says(&english, "Verdict: ") && says(&italian, "Esito: "));
        assert_false(says(&english, "{0}") || says(&english, "<?>") || says(&english, " ? "));
    }
}

static void every_code_that_a_refusal_carries_is_explained(void **state not_used)
{
    for (enum reply reply = REPLY_NONE + 1; reply < REPLY_COUNT; reply++) {
        const struct text code = reply_row(reply)->explain;
        struct buffer english released_by(buffer_done) = buffer_new(65536),
                              italian released_by(buffer_done) = buffer_new(65536);
        if (text_is_empty(code))
            continue;
        assert_true(policy_explain_code(&english, code, SETTINGS_ENGLISH));
        assert_true(policy_explain_code(&italian, code, SETTINGS_ITALIAN));
        assert_true(says(&english, "Why: ") && says(&italian, "Perché: "));
    }
    struct buffer b released_by(buffer_done) = buffer_new(65536);
    assert_false(policy_explain_code(&b, TEXT("no-such-code"), SETTINGS_ENGLISH));
    assert_false(policy_explain_code(&b, TEXT_NONE, SETTINGS_ENGLISH));
    assert_true(policy_explain_code(&b, TEXT("relay-not-permitted"), SETTINGS_ENGLISH));
    assert_true(says(&b, "No setting opens this to strangers.") && says(&b, "The administrator can: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case_is_decided_by_its_rule),
        cmocka_unit_test(one_fact_is_asked_for_at_a_time),
        cmocka_unit_test(a_foreign_sender_to_us_asks_neither_trust_nor_pop),
        cmocka_unit_test(rows_stand_in_the_order_of_their_enum_and_are_complete),
        cmocka_unit_test(every_setting_named_exists),
        cmocka_unit_test(an_empty_file_gives_the_settings_that_the_proof_calls_the_guides),
        cmocka_unit_test(each_setting_reaches_the_verdict),
        cmocka_unit_test(a_refusal_is_explained_with_reply_rule_and_remedies),
        cmocka_unit_test(what_is_needed_is_explained_with_where_each_answer_leads),
        cmocka_unit_test(pairs_are_named_once_for_each_topic_and_once_for_each_entry_of_a_list),
        cmocka_unit_test(an_arena_too_small_is_a_result),
        cmocka_unit_test(every_case_can_be_explained_in_both_languages),
        cmocka_unit_test(every_code_that_a_refusal_carries_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
