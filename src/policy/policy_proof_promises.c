/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_proof.h"

enum { ASKS_AT_MOST = 5 }; /* trusted, POP, sender, recipient, From field */

static unsigned at(struct policy_look *look, enum policy_input input)
{
    return policy_look_at(look, input);
}

/* --- what settings.md says, told anew
 * ------------------------------------------------------------------------------------------- */

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

bool accepts(const struct policy_verdict *v)
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
    if (is_ours(sender) && at(look, POLICY_SETTING_LOCAL_SENDER) && !at(look, POLICY_FACT_SENDER_EXCEPTED) &&
        !is_authorised(look))
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
    return at(look, POLICY_FACT_HEADER) && !at(look, POLICY_FACT_SENDER_EXCEPTED) &&
           is_ours(at(look, POLICY_FACT_HEADER_FROM)) && !is_authorised(look);
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

/* --- promises
 * --------------------------------------------------------------------------------------------------------------------
 */

/* The whole space: whatever the settings, and whatever can't be told. */
static bool no_stranger_relays(struct policy_look *look, const struct policy_verdict *v,
                               const struct policy_rules *rules not_used)
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

static bool no_password_travels_in_clear(struct policy_look *look, const struct policy_verdict *v,
                                         const struct policy_rules *rules not_used)
{
    return at(look, POLICY_FACT_STAGE) != POLICY_STAGE_AUTH || !accepts(v) || at(look, POLICY_FACT_ENCRYPTED);
}

static bool a_local_recipient_is_never_relayed(struct policy_look *look, const struct policy_verdict *v,
                                               const struct policy_rules *rules not_used)
{
    if (v->outcome == POLICY_ACCEPT_RELAY)
        return at(look, POLICY_FACT_STAGE) == POLICY_STAGE_RECIPIENT &&
               at(look, POLICY_FACT_RECIPIENT) == MAIL_ADDRESS_FOREIGN;
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
    return (v->outcome == POLICY_REFUSE) == (reply->code >= 400) &&
           (v->outcome != POLICY_REFUSE || !text_is_empty(reply->explain));
}

static bool asks_only_for_what_is_unknown(struct policy_look *look, const struct policy_verdict *v,
                                          const struct policy_rules *rules not_used)
{
    return v->outcome != POLICY_NEEDS || policy_input_is_unknown(v->needs, at(look, v->needs));
}

/* What nobody can tell gives 4yz, unless the verdict is the same whatever it would have been. */
static bool what_can_not_be_told_is_never_guessed(struct policy_look *look, const struct policy_verdict *v,
                                                  const struct policy_rules *rules)
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
static bool unread_is_unimportant(struct policy_look *look, const struct policy_verdict *v,
                                  const struct policy_rules *rules)
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
    return verdict.rule == v->rule && verdict.outcome == v->outcome && verdict.reply == v->reply &&
           verdict.needs == v->needs;
}

/* Worlds in which everything can be told. */
static bool the_reply_is_the_one_written_down(struct policy_look *look, const struct policy_verdict *v,
                                              const struct policy_rules *rules not_used)
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
    return is_marked ==
           (at(look, POLICY_SETTING_LOCAL_HEADER) == SETTINGS_LOCAL_HEADER_MARK && header_is_suspect(look));
}

static bool the_login_replaces_a_sender_when_set_so(struct policy_look *look, const struct policy_verdict *v,
                                                    const struct policy_rules *rules not_used)
{
    if (at(look, POLICY_FACT_STAGE) != POLICY_STAGE_SENDER || !accepts(v))
        return v->rule != POLICY_RULE_SENDER_FROM_LOGIN;
    const bool is_replaced = at(look, POLICY_SETTING_AUTH_SETS_SENDER) && at(look, POLICY_FACT_LOGGED_IN) &&
                             !at(look, POLICY_FACT_SENDER_NULL) &&
                             at(look, POLICY_FACT_SENDER) != MAIL_ADDRESS_LOCAL_OWN;
    return is_replaced == (v->rule == POLICY_RULE_SENDER_FROM_LOGIN);
}

static bool a_relayed_null_sender_is_named(struct policy_look *look, const struct policy_verdict *v,
                                           const struct policy_rules *rules not_used)
{
    return v->outcome != POLICY_ACCEPT_RELAY ||
           (v->rule == POLICY_RULE_RELAY_NULL) == (bool)at(look, POLICY_FACT_SENDER_NULL);
}

static bool postmaster_is_named(struct policy_look *look, const struct policy_verdict *v,
                                const struct policy_rules *rules not_used)
{
    return v->outcome != POLICY_ACCEPT_LOCAL ||
           (v->rule == POLICY_RULE_POSTMASTER) == (bool)at(look, POLICY_FACT_POSTMASTER);
}

/* From nothing looked up, each fact asked for in turn: it ends, asks for nothing twice, and says the same as when all
 * is known at once. */
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
static bool each_relayed_message_comes_from_a_proven_local_sender(struct policy_look *look,
                                                                  const struct policy_verdict *v,
                                                                  const struct policy_rules *rules not_used)
{
    if (v->outcome != POLICY_ACCEPT_RELAY)
        return true;
    if (at(look, POLICY_FACT_LOGGED_IN))
        return at(look, POLICY_FACT_SENDER_NULL) || at(look, POLICY_FACT_SENDER) == MAIL_ADDRESS_LOCAL_OWN;
    /* The remaining gap: a trusted host is believed to be whoever of ours it says it is, but never to be a foreigner.
     */
    return trusted_counts(look) && !at(look, POLICY_FACT_SENDER_NULL) && is_ours(at(look, POLICY_FACT_SENDER));
}

#define PROMISE(where, function)                                                                                       \
    {                                                                                                                  \
        .name = #function, .space = where, .holds = function                                                           \
    }
const struct promise promises[] = {
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

const size_t promise_count = length_of(promises);

bool promise_holds(const struct promise *promise, struct walk *w)
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
