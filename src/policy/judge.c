/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/rules.h"

static struct policy_verdict verdict_of(const struct policy_rule_row *row)
{
    return (struct policy_verdict){.outcome = row->outcome, .rule = row->rule, .reply = row->reply};
}

/* Of the recipient the client is told by its address; of anything else in general words. */
static struct policy_verdict verdict_unavailable(const struct policy_rule_row *row, enum policy_input input)
{
    struct policy_verdict verdict = verdict_of(row);
    verdict.needs = input;
    if (input == POLICY_FACT_RECIPIENT)
        verdict.reply = REPLY_RECIPIENT_UNAVAILABLE;
    return verdict;
}

struct policy_verdict policy_judge_by(const struct policy_rules *rules, struct policy_look *look)
{
    const unsigned stage = 1u << policy_look_at(look, POLICY_FACT_STAGE);
    for (size_t i = 0; i < rules->count; i++) {
        const struct policy_rule_row *row = &rules->rows[i];
        if (!(row->stages & stage))
            continue;
        const bool applies = row->applies(look);
        if (look->missing != POLICY_INPUT_NONE)
            return (struct policy_verdict){.outcome = POLICY_NEEDS, .needs = look->missing};
        if (look->unavailable != POLICY_INPUT_NONE && rules->unavailable)
            return verdict_unavailable(rules->unavailable, look->unavailable);
        if (applies)
            return verdict_of(row);
    }
    /* The last row of each stage always applies; a table with a hole stays shut. */
    return (struct policy_verdict){
        .outcome = POLICY_REFUSE, .rule = POLICY_RULE_NONE, .reply = REPLY_FACTS_UNAVAILABLE};
}

struct policy_verdict policy_judge(const struct policy_facts *facts, const struct policy_settings *settings)
{
    const struct policy_rules rules = policy_rules_all();
    struct policy_look look = {.facts = facts, .settings = settings};
    return policy_judge_by(&rules, &look);
}

bool policy_way_of(const struct policy_facts *facts, const struct policy_settings *settings, enum policy_way *ret_way,
                   enum policy_input *ret_needs)
{
    struct policy_look look = {.facts = facts, .settings = settings};
    const enum policy_way way = policy_look_way(&look);
    if (look.missing != POLICY_INPUT_NONE || look.unavailable != POLICY_INPUT_NONE) {
        *ret_needs = look.missing != POLICY_INPUT_NONE ? look.missing : look.unavailable;
        return false;
    }
    *ret_way = way;
    return true;
}

struct policy_settings policy_settings_of(const struct settings *s)
{
    return (struct policy_settings){
        .require_helo = s->security_require_helo,
        .reject_unauthorised_local_sender = s->security_reject_unauthorised_local_sender,
        .unauthorised_local_header = (enum settings_local_header)s->security_unauthorised_local_header,
        .pop_before_smtp = s->security_pop_before_smtp,
        .pop_scope = (enum settings_pop_scope)s->security_pop_before_smtp_scope,
        .reject_auth_sender_mismatch = s->security_reject_auth_sender_mismatch,
        .reject_auth_header_mismatch = s->security_reject_auth_header_mismatch,
        .auth_sets_sender = s->security_auth_sets_sender,
        .relay_only_local_sender = s->security_relay_only_local_sender,
        .full_mailbox_permanent = s->delivery_full_mailbox_permanent,
    };
}

struct text policy_rule_word(enum policy_rule rule)
{
    return rule == POLICY_RULE_NONE ? TEXT("none") : policy_rule_row(rule)->word;
}

struct text policy_outcome_word(enum policy_outcome outcome)
{
    static const struct text words[POLICY_OUTCOMES] = {
        [POLICY_NEEDS] = TEXT_INIT("needs"),
        [POLICY_ACCEPT] = TEXT_INIT("accept"),
        [POLICY_ACCEPT_LOCAL] = TEXT_INIT("accept-local"),
        [POLICY_ACCEPT_RELAY] = TEXT_INIT("accept-relay"),
        [POLICY_REFUSE] = TEXT_INIT("refuse"),
    };
    must((unsigned)outcome < POLICY_OUTCOMES);
    return words[outcome];
}

struct text policy_way_word(enum policy_way way)
{
    static const struct text words[POLICY_WAYS] = {
        [POLICY_WAY_NONE] = TEXT_INIT(""),
        [POLICY_WAY_AUTH] = TEXT_INIT("auth"),
        [POLICY_WAY_TRUSTED] = TEXT_INIT("trusted"),
        [POLICY_WAY_POP] = TEXT_INIT("pop"),
    };
    must((unsigned)way < POLICY_WAYS);
    return words[way];
}
