/* SPDX-License-Identifier: Apache-2.0 */
/* The relay proof: every combination of facts and deciding settings is walked, and each promise of the settings page is held against the
 * verdict. The walk branches only on what the rules and promises read, so one run stands for all combinations that differ in nothing that was
 * read; the sum of what the runs stand for must be the size of the whole space, or the walk itself is wrong.
 * Then the table of rules is broken in every way, row by row: a promise must notice. */
#include "policy/rules.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* --- the walk ------------------------------------------------------------------------------------------------------------------ */

enum { ASKS_AT_MOST = 5 }; /* trusted, POP, sender, recipient, From field */

struct walk {
    const struct policy_rules *rules;
    const struct policy_settings *fixed; /* NULL: all settings are walked too */
    bool with_unknown;
    bool with_unavailable;
    struct policy_facts facts;
    struct policy_settings settings;
    uint64_t allowed[POLICY_INPUTS]; /* how many values each input takes */
    uint64_t runs, combinations;
};

static bool walk_allows(const struct walk *w, enum policy_input input, unsigned value)
{
    if (w->fixed && policy_input_row(input)->is_setting)
        return value == policy_input_get(&w->facts, w->fixed, input);
    if (!w->with_unknown && policy_input_is_unknown(input, value))
        return false;
    return w->with_unavailable || !policy_input_is_unavailable(input, value);
}

/* Sets the first allowed value from `from` on. */
static bool walk_set(struct walk *w, enum policy_input input, unsigned from)
{
    for (unsigned value = from; value < policy_input_row(input)->value_count; value++) {
        if (!walk_allows(w, input, value))
            continue;
        policy_input_set(&w->facts, &w->settings, input, value);
        return true;
    }
    return false;
}

static uint64_t walk_size(const struct walk *w, uint64_t read)
{
    uint64_t size = 1;
    for (enum policy_input input = 1; input < POLICY_INPUTS; input++)
        if (!(read & (UINT64_C(1) << input)))
            size *= w->allowed[input];
    return size;
}

static void walk_begin(struct walk *w)
{
    for (enum policy_input input = 1; input < POLICY_INPUTS; input++) {
        for (unsigned value = 0; value < policy_input_row(input)->value_count; value++)
            w->allowed[input] += walk_allows(w, input, value);
        must(walk_set(w, input, 0));
    }
}

/* On to the next combination that differs in something read; false at the end. */
static bool walk_next(struct walk *w, const struct policy_look *look)
{
    w->runs++;
    w->combinations += walk_size(w, look->read);
    for (size_t depth = look->order_length; depth > 0; depth--) {
        const enum policy_input input = look->order[depth - 1];
        if (walk_set(w, input, policy_input_get(&w->facts, &w->settings, input) + 1))
            return true;
        must(walk_set(w, input, 0));
    }
    return false;
}

static unsigned at(struct policy_look *look, enum policy_input input)
{
    return policy_look_at(look, input);
}

/* --- what settings.md says, told anew ------------------------------------------------------------------------------------------- */

static bool is_ours(unsigned kind)
{
    return kind != MAIL_ADDRESS_FOREIGN && kind != MAIL_ADDRESS_UNKNOWN_YET && kind != MAIL_ADDRESS_UNAVAILABLE;
}

static bool in_transaction(struct policy_look *look)
{
    const unsigned stage = at(look, POLICY_FACT_STAGE);
    return stage == POLICY_STAGE_SENDER || stage == POLICY_STAGE_RECIPIENT || stage == POLICY_STAGE_MESSAGE;
}

static bool on_submission(struct policy_look *look)
{
    const unsigned listener = at(look, POLICY_FACT_LISTENER);
    return listener == POLICY_LISTENER_SUBMISSION || listener == POLICY_LISTENER_SUBMISSIONS;
}

static bool trusted_counts(struct policy_look *look)
{
    return at(look, POLICY_FACT_LISTENER) == POLICY_LISTENER_SMTP && at(look, POLICY_FACT_TRUSTED) == POLICY_ANSWER_YES;
}

static bool pop_counts(struct policy_look *look)
{
    if (at(look, POLICY_FACT_LISTENER) != POLICY_LISTENER_SMTP || !at(look, POLICY_SETTING_POP_BEFORE_SMTP))
        return false;
    if (at(look, POLICY_SETTING_POP_SCOPE) == SETTINGS_POP_SCOPE_HOST)
        return at(look, POLICY_FACT_POP) == POLICY_POP_OTHER || at(look, POLICY_FACT_POP) == POLICY_POP_SENDER;
    return !at(look, POLICY_FACT_SENDER_NULL) && at(look, POLICY_FACT_POP) == POLICY_POP_SENDER;
}

static bool is_authorised(struct policy_look *look)
{
    return at(look, POLICY_FACT_LOGGED_IN) || trusted_counts(look) || pop_counts(look);
}

static bool accepts(const struct policy_verdict *v)
{
    return v->outcome == POLICY_ACCEPT || v->outcome == POLICY_ACCEPT_LOCAL || v->outcome == POLICY_ACCEPT_RELAY;
}

/* The transaction's own refusals that come before the sender is looked at. */
static enum reply expected_of_session(struct policy_look *look)
{
    if (at(look, POLICY_SETTING_REQUIRE_HELO) && !at(look, POLICY_FACT_GREETED))
        return REPLY_HELLO_REQUIRED;
    if (!on_submission(look) || !in_transaction(look))
        return REPLY_NONE;
    if (!at(look, POLICY_FACT_ENCRYPTED))
        return REPLY_TLS_REQUIRED;
    return at(look, POLICY_FACT_LOGGED_IN) ? REPLY_NONE : REPLY_LOGIN_REQUIRED;
}

static enum reply expected_of_login(struct policy_look *look)
{
    if (at(look, POLICY_FACT_LOGGED_IN))
        return REPLY_LOGIN_ALREADY;
    if (at(look, POLICY_FACT_LISTENER) == POLICY_LISTENER_SMTP && !at(look, POLICY_FACT_OFFERS_AUTH))
        return REPLY_LOGIN_NOT_OFFERED;
    return at(look, POLICY_FACT_ENCRYPTED) ? REPLY_NONE : REPLY_LOGIN_NEEDS_TLS;
}

static enum reply expected_of_sender(struct policy_look *look)
{
    if (at(look, POLICY_FACT_SENDER_NULL))
        return REPLY_NONE;
    const unsigned sender = at(look, POLICY_FACT_SENDER);
    if (at(look, POLICY_FACT_LOGGED_IN)) {
        const bool is_bound = at(look, POLICY_SETTING_AUTH_SENDER) && !at(look, POLICY_SETTING_AUTH_SETS_SENDER);
        return is_bound && sender != MAIL_ADDRESS_LOCAL_OWN ? REPLY_AUTH_SENDER_MISMATCH : REPLY_NONE;
    }
    if (is_ours(sender) && at(look, POLICY_SETTING_LOCAL_SENDER) && !at(look, POLICY_FACT_SENDER_EXCEPTED) && !is_authorised(look))
        return REPLY_SENDER_NOT_AUTHORISED;
    return REPLY_NONE;
}

static enum reply expected_of_relay(struct policy_look *look)
{
    if (!is_authorised(look))
        return REPLY_RELAY_NOT_PERMITTED;
    if (at(look, POLICY_FACT_SENDER_NULL))
        return at(look, POLICY_FACT_LOGGED_IN) ? REPLY_NONE : REPLY_RELAY_NULL_SENDER;
    const bool is_replaced = at(look, POLICY_FACT_LOGGED_IN) && at(look, POLICY_SETTING_AUTH_SETS_SENDER);
    if (at(look, POLICY_SETTING_RELAY_LOCAL) && !is_replaced && !is_ours(at(look, POLICY_FACT_SENDER)))
        return REPLY_RELAY_SENDER_NOT_LOCAL;
    return REPLY_NONE;
}

static enum reply expected_of_recipient(struct policy_look *look)
{
    if (at(look, POLICY_FACT_OVER_RECIPIENTS))
        return REPLY_TOO_MANY_RECIPIENTS;
    const unsigned recipient = at(look, POLICY_FACT_RECIPIENT);
    if (recipient == MAIL_ADDRESS_FOREIGN)
        return expected_of_relay(look);
    if (at(look, POLICY_FACT_POSTMASTER))
        return REPLY_NONE;
    if (recipient == MAIL_ADDRESS_LOCAL_NOBODY)
        return REPLY_RECIPIENT_UNKNOWN;
    if (recipient == MAIL_ADDRESS_LOCAL_DISABLED)
        return REPLY_RECIPIENT_DISABLED;
    if (recipient == MAIL_ADDRESS_LOCAL_FULL)
        return at(look, POLICY_SETTING_FULL_PERMANENT) ? REPLY_MAILBOX_FULL_PERMANENT : REPLY_MAILBOX_FULL;
    return REPLY_NONE;
}

static bool header_is_suspect(struct policy_look *look)
{
    return at(look, POLICY_FACT_HEADER) && !at(look, POLICY_FACT_SENDER_EXCEPTED) && is_ours(at(look, POLICY_FACT_HEADER_FROM)) &&
           !is_authorised(look);
}

static enum reply expected_of_message(struct policy_look *look)
{
    if (at(look, POLICY_FACT_LOGGED_IN))
        return at(look, POLICY_SETTING_AUTH_HEADER) && at(look, POLICY_FACT_HEADER) &&
                       at(look, POLICY_FACT_HEADER_FROM) != MAIL_ADDRESS_LOCAL_OWN
                   ? REPLY_AUTH_HEADER_MISMATCH
                   : REPLY_NONE;
    if (at(look, POLICY_SETTING_LOCAL_HEADER) == SETTINGS_LOCAL_HEADER_REFUSE && header_is_suspect(look))
        return REPLY_LOCAL_HEADER_NOT_AUTHORISED;
    return REPLY_NONE;
}

/* REPLY_NONE: accepted. */
static enum reply expected(struct policy_look *look)
{
    const enum policy_stage stage = (enum policy_stage)at(look, POLICY_FACT_STAGE);
    enum reply reply = expected_of_session(look);
    if (reply != REPLY_NONE || stage == POLICY_STAGE_COMMAND)
        return reply;
    if (stage == POLICY_STAGE_AUTH)
        return expected_of_login(look);
    if (stage != POLICY_STAGE_RECIPIENT && at(look, POLICY_FACT_OVER_SIZE))
        return REPLY_MESSAGE_TOO_LARGE;
    if (stage == POLICY_STAGE_MESSAGE && at(look, POLICY_FACT_OVER_HOPS))
        return REPLY_MAIL_LOOP;
    reply = expected_of_sender(look);
    if (reply != REPLY_NONE || stage == POLICY_STAGE_SENDER)
        return reply;
    return stage == POLICY_STAGE_RECIPIENT ? expected_of_recipient(look) : expected_of_message(look);
}

/* --- promises -------------------------------------------------------------------------------------------------------------------- */

static const struct policy_settings guide = {
    .require_helo = true,
    .reject_unauthorised_local_sender = true,
    .unauthorised_local_header = SETTINGS_LOCAL_HEADER_MARK,
    .pop_before_smtp = false,
    .reject_auth_sender_mismatch = true,
    .reject_auth_header_mismatch = true,
    .relay_only_local_sender = true,
};

/* The whole space: whatever the settings, and whatever can't be told. */
static bool no_stranger_relays(struct policy_look *look, const struct policy_verdict *v, const struct policy_rules *rules not_used)
{
    return v->outcome != POLICY_ACCEPT_RELAY || is_authorised(look);
}

static bool the_null_sender_relays_only_under_auth(struct policy_look *look, const struct policy_verdict *v,
                                                   const struct policy_rules *rules not_used)
{
    return v->outcome != POLICY_ACCEPT_RELAY || !at(look, POLICY_FACT_SENDER_NULL) || at(look, POLICY_FACT_LOGGED_IN);
}

static bool submission_takes_mail_from_encrypted_logins_only(struct policy_look *look, const struct policy_verdict *v,
                                                             const struct policy_rules *rules not_used)
{
    return !accepts(v) || !in_transaction(look) || !on_submission(look) ||
           (at(look, POLICY_FACT_LOGGED_IN) && at(look, POLICY_FACT_ENCRYPTED));
}

static bool no_password_travels_in_clear(struct policy_look *look, const struct policy_verdict *v, const struct policy_rules *rules not_used)
{
    return at(look, POLICY_FACT_STAGE) != POLICY_STAGE_AUTH || !accepts(v) || at(look, POLICY_FACT_ENCRYPTED);
}

static bool a_local_recipient_is_never_relayed(struct policy_look *look, const struct policy_verdict *v,
                                               const struct policy_rules *rules not_used)
{
    if (v->outcome == POLICY_ACCEPT_RELAY)
        return at(look, POLICY_FACT_STAGE) == POLICY_STAGE_RECIPIENT && at(look, POLICY_FACT_RECIPIENT) == MAIL_ADDRESS_FOREIGN;
    if (v->outcome == POLICY_ACCEPT_LOCAL)
        return at(look, POLICY_FACT_STAGE) == POLICY_STAGE_RECIPIENT && is_ours(at(look, POLICY_FACT_RECIPIENT));
    return v->outcome != POLICY_ACCEPT || at(look, POLICY_FACT_STAGE) != POLICY_STAGE_RECIPIENT;
}

static bool each_verdict_has_rule_reply_and_text(struct policy_look *look not_used, const struct policy_verdict *v,
                                                 const struct policy_rules *rules not_used)
{
    if (v->outcome == POLICY_NEEDS)
        return v->needs != POLICY_INPUT_NONE && v->rule == POLICY_RULE_NONE;
    if (v->rule == POLICY_RULE_NONE)
        return false;
    const struct policy_rule_row *row = policy_rule_row(v->rule);
    if (text_is_empty(row->why.en) || text_is_empty(row->why.it) || text_is_empty(row->word))
        return false;
    if (v->reply == REPLY_NONE)
        return v->rule == POLICY_RULE_COMMAND;
    const struct reply_row *reply = reply_row(v->reply);
    return (v->outcome == POLICY_REFUSE) == (reply->code >= 400) && (v->outcome != POLICY_REFUSE || !text_is_empty(reply->explain));
}

static bool asks_only_for_what_is_unknown(struct policy_look *look, const struct policy_verdict *v, const struct policy_rules *rules not_used)
{
    return v->outcome != POLICY_NEEDS || policy_input_is_unknown(v->needs, at(look, v->needs));
}

/* What nobody can tell gives 4yz, unless the verdict is the same whatever it would have been. */
static bool what_can_not_be_told_is_never_guessed(struct policy_look *look, const struct policy_verdict *v, const struct policy_rules *rules)
{
    if (v->rule == POLICY_RULE_FACT_UNAVAILABLE)
        return reply_row(v->reply)->code == 451 && v->needs != POLICY_INPUT_NONE &&
               policy_input_is_unavailable(v->needs, at(look, v->needs));
    for (enum policy_input input = 1; input < POLICY_INPUTS; input++) {
        if (!(look->read & (UINT64_C(1) << input)) || !policy_input_is_unavailable(input, at(look, input)))
            continue;
        for (unsigned value = 0; value < policy_input_row(input)->value_count; value++) {
            struct policy_facts facts = *look->facts;
            struct policy_settings settings = *look->settings;
            policy_input_set(&facts, &settings, input, value);
            struct policy_look other = {.facts = &facts, .settings = &settings};
            const struct policy_verdict verdict = policy_judge_by(rules, &other);
            if (verdict.rule != v->rule || verdict.outcome != v->outcome || verdict.needs != v->needs)
                return false;
        }
    }
    return true;
}

/* Nothing hangs on what was not read, so a run stands for all combinations of it. Reads of the judge alone. */
static bool unread_is_unimportant(struct policy_look *look, const struct policy_verdict *v, const struct policy_rules *rules)
{
    struct policy_look again = {.facts = look->facts, .settings = look->settings};
    ignored(policy_judge_by(rules, &again)); /* for its reads */
    struct policy_facts facts = *look->facts;
    struct policy_settings settings = *look->settings;
    for (enum policy_input input = 1; input < POLICY_INPUTS; input++)
        if (!(again.read & (UINT64_C(1) << input)))
            policy_input_set(&facts, &settings, input, policy_input_row(input)->value_count - 1);
    struct policy_look other = {.facts = &facts, .settings = &settings};
    const struct policy_verdict verdict = policy_judge_by(rules, &other);
    return verdict.rule == v->rule && verdict.outcome == v->outcome && verdict.reply == v->reply && verdict.needs == v->needs;
}

/* Worlds in which everything can be told. */
static bool the_reply_is_the_one_written_down(struct policy_look *look, const struct policy_verdict *v, const struct policy_rules *rules not_used)
{
    const enum reply reply = expected(look);
    return reply == REPLY_NONE ? accepts(v) : v->outcome == POLICY_REFUSE && v->reply == reply;
}

static bool a_suspect_header_is_marked_when_it_is_accepted(struct policy_look *look, const struct policy_verdict *v,
                                                           const struct policy_rules *rules not_used)
{
    if (at(look, POLICY_FACT_STAGE) != POLICY_STAGE_MESSAGE || !accepts(v))
        return v->rule != POLICY_RULE_LOCAL_HEADER_MARKED;
    const bool is_marked = v->rule == POLICY_RULE_LOCAL_HEADER_MARKED;
    return is_marked == (at(look, POLICY_SETTING_LOCAL_HEADER) == SETTINGS_LOCAL_HEADER_MARK && header_is_suspect(look));
}

static bool the_login_replaces_a_sender_when_set_so(struct policy_look *look, const struct policy_verdict *v,
                                                    const struct policy_rules *rules not_used)
{
    if (at(look, POLICY_FACT_STAGE) != POLICY_STAGE_SENDER || !accepts(v))
        return v->rule != POLICY_RULE_SENDER_FROM_LOGIN;
    const bool is_replaced = at(look, POLICY_SETTING_AUTH_SETS_SENDER) && at(look, POLICY_FACT_LOGGED_IN) &&
                             !at(look, POLICY_FACT_SENDER_NULL) && at(look, POLICY_FACT_SENDER) != MAIL_ADDRESS_LOCAL_OWN;
    return is_replaced == (v->rule == POLICY_RULE_SENDER_FROM_LOGIN);
}

static bool a_relayed_null_sender_is_named(struct policy_look *look, const struct policy_verdict *v, const struct policy_rules *rules not_used)
{
    return v->outcome != POLICY_ACCEPT_RELAY || (v->rule == POLICY_RULE_RELAY_NULL) == (bool)at(look, POLICY_FACT_SENDER_NULL);
}

static bool postmaster_is_named(struct policy_look *look, const struct policy_verdict *v, const struct policy_rules *rules not_used)
{
    return v->outcome != POLICY_ACCEPT_LOCAL || (v->rule == POLICY_RULE_POSTMASTER) == (bool)at(look, POLICY_FACT_POSTMASTER);
}

/* From nothing looked up, each fact asked for in turn: it ends, asks for nothing twice, and says the same as when all is known at once. */
static bool asking_fact_by_fact_ends_in_the_same_verdict(struct policy_look *look, const struct policy_verdict *v,
                                                         const struct policy_rules *rules)
{
    struct policy_facts facts = *look->facts;
    struct policy_settings settings = *look->settings;
    for (enum policy_input input = 1; input < POLICY_INPUTS; input++)
        if (policy_input_is_unknown(input, 0))
            policy_input_set(&facts, &settings, input, 0);
    uint64_t asked = 0;
    for (size_t asks = 0; asks <= ASKS_AT_MOST; asks++) {
        struct policy_look step = {.facts = &facts, .settings = &settings};
        const struct policy_verdict verdict = policy_judge_by(rules, &step);
        if (verdict.outcome != POLICY_NEEDS)
            return verdict.rule == v->rule && verdict.outcome == v->outcome && verdict.reply == v->reply;
        const uint64_t bit = UINT64_C(1) << verdict.needs;
        if (asked & bit)
            return false;
        asked |= bit;
        policy_input_set(&facts, &settings, verdict.needs, at(look, verdict.needs));
    }
    return false;
}

/* The guide's settings. */
static bool each_relayed_message_comes_from_a_proven_local_sender(struct policy_look *look, const struct policy_verdict *v,
                                                                  const struct policy_rules *rules not_used)
{
    if (v->outcome != POLICY_ACCEPT_RELAY)
        return true;
    if (at(look, POLICY_FACT_LOGGED_IN))
        return at(look, POLICY_FACT_SENDER_NULL) || at(look, POLICY_FACT_SENDER) == MAIL_ADDRESS_LOCAL_OWN;
    /* The remaining gap: a trusted host is believed to be whoever of ours it says it is, but never to be a foreigner. */
    return trusted_counts(look) && !at(look, POLICY_FACT_SENDER_NULL) && is_ours(at(look, POLICY_FACT_SENDER));
}

enum space {
    SPACE_PARTIAL, /* every value: not looked up yet, and not to be told */
    SPACE_KNOWN,   /* everything is known, or known not to be told */
    SPACE_TOLD,    /* everything can be told */
    SPACE_GUIDE,   /* SPACE_PARTIAL under the guide's settings */
    SPACE_GUIDE_TOLD,
};

struct promise {
    const char *name;
    enum space space;
    bool (*holds)(struct policy_look *look, const struct policy_verdict *v, const struct policy_rules *rules);
};

#define PROMISE(where, function) {.name = #function, .space = where, .holds = function}
static const struct promise promises[] = {
    PROMISE(SPACE_PARTIAL, no_stranger_relays),
    PROMISE(SPACE_PARTIAL, the_null_sender_relays_only_under_auth),
    PROMISE(SPACE_PARTIAL, submission_takes_mail_from_encrypted_logins_only),
    PROMISE(SPACE_PARTIAL, no_password_travels_in_clear),
    PROMISE(SPACE_PARTIAL, a_local_recipient_is_never_relayed),
    PROMISE(SPACE_PARTIAL, each_verdict_has_rule_reply_and_text),
    PROMISE(SPACE_PARTIAL, asks_only_for_what_is_unknown),
    PROMISE(SPACE_PARTIAL, unread_is_unimportant),
    PROMISE(SPACE_KNOWN, what_can_not_be_told_is_never_guessed),
    PROMISE(SPACE_KNOWN, asking_fact_by_fact_ends_in_the_same_verdict),
    PROMISE(SPACE_TOLD, the_reply_is_the_one_written_down),
    PROMISE(SPACE_TOLD, a_suspect_header_is_marked_when_it_is_accepted),
    PROMISE(SPACE_TOLD, the_login_replaces_a_sender_when_set_so),
    PROMISE(SPACE_TOLD, a_relayed_null_sender_is_named),
    PROMISE(SPACE_TOLD, postmaster_is_named),
    PROMISE(SPACE_GUIDE, each_relayed_message_comes_from_a_proven_local_sender),
};

static struct walk walk_of(enum space space, const struct policy_rules *rules)
{
    struct walk w = {
        .rules = rules,
        .fixed = space == SPACE_GUIDE || space == SPACE_GUIDE_TOLD ? &guide : NULL,
        .with_unknown = space == SPACE_PARTIAL || space == SPACE_GUIDE,
        .with_unavailable = space != SPACE_TOLD && space != SPACE_GUIDE_TOLD,
    };
    walk_begin(&w);
    return w;
}

static void facts_print(const struct policy_facts *facts, const struct policy_settings *settings)
{
    for (enum policy_input input = 1; input < POLICY_INPUTS; input++) {
        const struct policy_input_row *row = policy_input_row(input);
        const struct text value = row->values[policy_input_get(facts, settings, input)].en;
        print_message("#   %.*s = %.*s\n", TEXT_ARGUMENTS(row->word), TEXT_ARGUMENTS(value));
    }
}

/* Walks the promise's space; false at the first combination in which it is broken. */
static bool promise_holds(const struct promise *promise, struct walk *w)
{
    for (;;) {
        struct policy_look look = {.facts = &w->facts, .settings = &w->settings};
        const struct policy_verdict verdict = policy_judge_by(w->rules, &look);
        if (!promise->holds(&look, &verdict, w->rules))
            return false;
        if (!walk_next(w, &look))
            return true;
    }
}

static void every_promise_holds_in_the_whole_space(void **state not_used)
{
    const struct policy_rules rules = policy_rules_all();
    uint64_t combinations = 0;
    for (size_t i = 0; i < length_of(promises); i++) {
        struct walk w = walk_of(promises[i].space, &rules);
        if (!promise_holds(&promises[i], &w)) {
            print_message("# broken: %s\n", promises[i].name);
            facts_print(&w.facts, &w.settings);
            fail();
        }
        assert_true(w.combinations == walk_size(&w, 0));
        print_message("# %-62s %15llu combinations in %llu runs\n", promises[i].name, (unsigned long long)w.combinations,
                      (unsigned long long)w.runs);
        combinations = w.combinations > combinations ? w.combinations : combinations;
    }
    print_message("# the whole space: %llu combinations of facts and settings, all walked\n", (unsigned long long)combinations);
}

static void every_rule_decides_somewhere(void **state not_used)
{
    const struct policy_rules rules = policy_rules_all();
    bool decides[POLICY_RULES] = {false};
    struct walk w = walk_of(SPACE_KNOWN, &rules);
    struct policy_look look;
    do {
        look = (struct policy_look){.facts = &w.facts, .settings = &w.settings};
        decides[policy_judge_by(&rules, &look).rule] = true;
    } while (walk_next(&w, &look));
    for (enum policy_rule rule = POLICY_RULE_NONE + 1; rule < POLICY_RULES; rule++)
        if (!decides[rule]) {
            const struct text word = policy_rule_word(rule);
            fail_msg("%.*s never decides", TEXT_ARGUMENTS(word));
        }
}

static void trusted_hosts_are_the_only_gap_in_the_guides_settings(void **state not_used)
{
    const struct policy_rules rules = policy_rules_all();
    struct walk w = walk_of(SPACE_GUIDE, &rules);
    uint64_t own = 0, null = 0, gap = 0;
    struct policy_look look;
    do {
        look = (struct policy_look){.facts = &w.facts, .settings = &w.settings};
        const struct policy_verdict verdict = policy_judge_by(&rules, &look);
        if (verdict.outcome != POLICY_ACCEPT_RELAY)
            continue;
        enum policy_way way = POLICY_WAY_NONE;
        enum policy_input needs;
        assert_true(policy_way_of(&w.facts, &w.settings, &way, &needs));
        assert_true(way == POLICY_WAY_AUTH || way == POLICY_WAY_TRUSTED);
        uint64_t *count = way == POLICY_WAY_TRUSTED ? &gap : at(&look, POLICY_FACT_SENDER_NULL) ? &null : &own;
        *count += walk_size(&w, look.read);
    } while (walk_next(&w, &look));
    assert_true(own > 0 && null > 0 && gap > 0);
    print_message("# guide's settings, relayed: %llu by the login's own sender, %llu null senders under AUTH, %llu by trusted hosts "
                  "with a local sender (the remaining gap)\n",
                  (unsigned long long)own, (unsigned long long)null, (unsigned long long)gap);
}

/* --- what each setting opens, when it alone is off ------------------------------------------------------------------------------- */

struct opening {
    enum policy_input setting;
    unsigned value;
    bool lets_more_in; /* otherwise nothing that the guide's settings refuse is accepted */
    bool lets_foreign_senders_out;
};

static const struct opening openings[] = {
    {.setting = POLICY_SETTING_REQUIRE_HELO, .value = false, .lets_more_in = true},
    {.setting = POLICY_SETTING_LOCAL_SENDER, .value = false, .lets_more_in = true},
    {.setting = POLICY_SETTING_LOCAL_HEADER, .value = SETTINGS_LOCAL_HEADER_OFF},
    {.setting = POLICY_SETTING_LOCAL_HEADER, .value = SETTINGS_LOCAL_HEADER_REFUSE},
    {.setting = POLICY_SETTING_POP_BEFORE_SMTP, .value = true, .lets_more_in = true},
    {.setting = POLICY_SETTING_POP_SCOPE, .value = SETTINGS_POP_SCOPE_HOST},
    {.setting = POLICY_SETTING_AUTH_SENDER, .value = false, .lets_more_in = true},
    {.setting = POLICY_SETTING_AUTH_HEADER, .value = false, .lets_more_in = true},
    {.setting = POLICY_SETTING_AUTH_SETS_SENDER, .value = true, .lets_more_in = true},
    {.setting = POLICY_SETTING_RELAY_LOCAL, .value = false, .lets_more_in = true, .lets_foreign_senders_out = true},
    {.setting = POLICY_SETTING_FULL_PERMANENT, .value = true},
};

static void each_setting_alone_opens_what_it_says(void **state not_used)
{
    const struct policy_rules rules = policy_rules_all();
    for (size_t i = 0; i < length_of(openings); i++) {
        const struct opening *o = &openings[i];
        struct policy_settings changed = guide;
        struct policy_facts none = {0};
        policy_input_set(&none, &changed, o->setting, o->value);
        uint64_t more = 0, foreign = 0;
        struct walk w = walk_of(SPACE_GUIDE_TOLD, &rules);
        struct policy_look look;
        do {
            look = (struct policy_look){.facts = &w.facts, .settings = &guide};
            const struct policy_verdict before = policy_judge_by(&rules, &look);
            look.settings = &changed;
            look.missing = look.unavailable = POLICY_INPUT_NONE;
            struct policy_look second = {.facts = &w.facts, .settings = &changed};
            const struct policy_verdict after = policy_judge_by(&rules, &second);
            for (size_t k = 0; k < second.order_length; k++)
                (void)policy_look_at(&look, second.order[k]); /* so that the walk branches on the second judgement's reads too */
            if (accepts(&after) && before.outcome == POLICY_REFUSE)
                more += walk_size(&w, look.read);
            if (after.outcome == POLICY_ACCEPT_RELAY && !at(&look, POLICY_FACT_SENDER_NULL) &&
                at(&look, POLICY_FACT_SENDER) == MAIL_ADDRESS_FOREIGN &&
                !(at(&look, POLICY_FACT_LOGGED_IN) && changed.auth_sets_sender))
                foreign += walk_size(&w, look.read);
        } while (walk_next(&w, &look));
        const struct policy_input_row *row = policy_input_row(o->setting);
        const struct text value = row->values[o->value].en;
        print_message("# %.*s = %.*s alone: %llu more combinations accepted, %llu relay a foreign sender\n", TEXT_ARGUMENTS(row->word),
                      TEXT_ARGUMENTS(value), (unsigned long long)more, (unsigned long long)foreign);
        assert_int_equal(more > 0, o->lets_more_in);
        assert_int_equal(foreign > 0, o->lets_foreign_senders_out);
    }
}

/* --- mutations -------------------------------------------------------------------------------------------------------------------- */

/* Neighbours whose order makes no difference, because no combination meets the conditions of both. */
struct twins {
    enum policy_rule first;
    const char *reason;
};

static const struct twins twins[] = {
    {POLICY_RULE_LOGIN_NEEDS_TLS, "stages: AUTH, and the transaction"},
    {POLICY_RULE_AUTH_SENDER_MISMATCH, "one wants a login, the other none"},
    {POLICY_RULE_RELAY_NULL_SENDER, "one wants the null sender, the other a sender"},
    {POLICY_RULE_RELAY_SENDER_NOT_LOCAL, "one wants a foreign recipient, the other one of ours"},
    {POLICY_RULE_RECIPIENT_UNKNOWN, "a recipient is of one kind"},
    {POLICY_RULE_RECIPIENT_DISABLED, "a recipient is of one kind"},
    {POLICY_RULE_MAILBOX_FULL, "stages: RCPT, and the message"},
    {POLICY_RULE_AUTH_HEADER_MISMATCH, "one wants a login, the other none"},
    {POLICY_RULE_LOCAL_HEADER_NOT_AUTHORISED, "unauthorised_local_header has one value"},
    {POLICY_RULE_LOCAL_HEADER_MARKED, "stages: the message, and MAIL"},
    {POLICY_RULE_SENDER_FROM_LOGIN, "stages: MAIL, and RCPT"},
    {POLICY_RULE_LOCAL_DELIVERY, "stages: RCPT, and MAIL"},
    {POLICY_RULE_SENDER, "stages: MAIL, and the message"},
    {POLICY_RULE_MESSAGE, "stages: the message, and the others"},
};

static bool (*inverted)(struct policy_look *look); /* the mutant's victim: a condition has no argument to carry it */

static bool applies_inverted(struct policy_look *look)
{
    return !inverted(look);
}

static bool verdicts_differ(const struct policy_rules *mutant)
{
    const struct policy_rules rules = policy_rules_all();
    struct walk w = walk_of(SPACE_KNOWN, &rules);
    struct policy_look look;
    do {
        look = (struct policy_look){.facts = &w.facts, .settings = &w.settings};
        const struct policy_verdict a = policy_judge_by(&rules, &look);
        struct policy_look second = {.facts = &w.facts, .settings = &w.settings};
        const struct policy_verdict b = policy_judge_by(mutant, &second);
        for (size_t k = 0; k < second.order_length; k++)
            (void)policy_look_at(&look, second.order[k]);
        if (a.rule != b.rule || a.outcome != b.outcome || a.reply != b.reply || a.needs != b.needs)
            return true;
    } while (walk_next(&w, &look));
    return false;
}

/* The name of the promise that the mutant breaks; NULL: it survives. */
static const char *killer_of(const struct policy_rules *mutant)
{
    for (size_t i = length_of(promises); i > 0; i--) { /* the sharpest and smallest first */
        struct walk w = walk_of(promises[i - 1].space, mutant);
        if (!promise_holds(&promises[i - 1], &w))
            return promises[i - 1].name;
    }
    return NULL;
}

struct tally {
    size_t killed, equivalent, survived;
};

static void mutant_try(const struct policy_rules *mutant, const char *how, enum policy_rule rule, bool may_be_equivalent, struct tally *tally)
{
    const struct text word = policy_rule_word(rule);
    if (may_be_equivalent && !verdicts_differ(mutant)) {
        tally->equivalent++;
        return;
    }
    if (killer_of(mutant)) {
        tally->killed++;
        return;
    }
    tally->survived++;
    print_message("# survives: %.*s %s%s\n", TEXT_ARGUMENTS(word), how, verdicts_differ(mutant) ? "" : " (equivalent, but not on the list)");
}

static void mutants_of_row(const struct policy_rules *rules, size_t i, struct tally *tally)
{
    struct policy_rule_row rows[POLICY_RULES];
    struct policy_rules mutant = {.rows = rows, .count = rules->count, .unavailable = rules->unavailable};
    const struct policy_rule_row original = rules->rows[i];
    memcpy(rows, rules->rows, rules->count * sizeof(rows[0]));

    rows[i].stages = 0;
    mutant_try(&mutant, "disabled", original.rule, false, tally);
    for (enum policy_stage stage = 0; stage < POLICY_STAGES; stage++) {
        if (!(original.stages & (1u << stage)))
            continue;
        rows[i].stages = original.stages & ~(1u << stage);
        mutant_try(&mutant, "not at one of its stages", original.rule, false, tally);
    }
    rows[i] = original;
    inverted = original.applies;
    rows[i].applies = applies_inverted;
    mutant_try(&mutant, "inverted", original.rule, false, tally);
    rows[i] = original;
    rows[i].outcome = original.outcome == POLICY_REFUSE ? POLICY_ACCEPT : POLICY_REFUSE;
    mutant_try(&mutant, "with the opposite outcome", original.rule, false, tally);
    rows[i] = original;
    rows[i].reply = original.reply == REPLY_HELLO_REQUIRED ? REPLY_OK : REPLY_HELLO_REQUIRED;
    mutant_try(&mutant, "with another reply", original.rule, false, tally);
    rows[i] = original;
    if (i + 1 == rules->count)
        return;
    bool is_twin = false;
    for (size_t k = 0; k < length_of(twins); k++)
        is_twin = is_twin || twins[k].first == original.rule;
    rows[i] = rules->rows[i + 1];
    rows[i + 1] = original;
    mutant_try(&mutant, "behind its neighbour", original.rule, is_twin, tally);
}

static void every_broken_table_is_noticed(void **state not_used)
{
    const struct policy_rules rules = policy_rules_all();
    struct tally tally = {0};
    for (size_t i = 0; i < rules.count; i++)
        mutants_of_row(&rules, i, &tally);
    struct policy_rules mutant = rules;
    mutant.unavailable = NULL;
    mutant_try(&mutant, "disabled", POLICY_RULE_FACT_UNAVAILABLE, false, &tally);
    struct policy_rule_row wrong = *rules.unavailable;
    wrong.outcome = POLICY_ACCEPT;
    mutant.unavailable = &wrong;
    mutant_try(&mutant, "with the opposite outcome", POLICY_RULE_FACT_UNAVAILABLE, false, &tally);
    print_message("# mutants: %zu killed, %zu equivalent (proved, on the list), %zu survived\n", tally.killed, tally.equivalent,
                  tally.survived);
    assert_int_equal(tally.survived, 0);
    assert_int_equal(tally.equivalent, length_of(twins));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_promise_holds_in_the_whole_space),
        cmocka_unit_test(every_rule_decides_somewhere),
        cmocka_unit_test(trusted_hosts_are_the_only_gap_in_the_guides_settings),
        cmocka_unit_test(each_setting_alone_opens_what_it_says),
        cmocka_unit_test(every_broken_table_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
