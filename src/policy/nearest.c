/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/explain.h"
#include "policy/rules.h"

static bool is_same(const struct policy_verdict *a, const struct policy_verdict *b)
{
    return a->rule == b->rule && a->outcome == b->outcome && a->needs == b->needs;
}

/* Nobody's own address without a login; and a recipient is asked about without one. */
static bool can_not_be(const struct policy_facts *facts, enum policy_input input, unsigned value)
{
    if (policy_input_is_unknown(input, value) || policy_input_is_unavailable(input, value))
        return true;
    if (input == POLICY_FACT_RECIPIENT)
        return value == MAIL_ADDRESS_LOCAL_OWN;
    return (input == POLICY_FACT_SENDER || input == POLICY_FACT_HEADER_FROM) && value == MAIL_ADDRESS_LOCAL_OWN &&
           !facts->is_logged_in;
}

size_t policy_changes(const struct policy_facts *facts, const struct policy_settings *settings,
                      struct policy_change *changes, size_t limit)
{
    const struct policy_rules rules = policy_rules_all();
    struct policy_look look = {.facts = facts, .settings = settings};
    const struct policy_verdict now = policy_judge_by(&rules, &look);
    size_t count = 0;
    for (enum policy_input input = POLICY_INPUT_NONE + 1; input < POLICY_INPUTS; input++) {
        /* What was not read changes nothing; the stage is where the client stands, not what it could be. */
        if (input == POLICY_FACT_STAGE || !(look.read & (UINT64_C(1) << input)))
            continue;
        for (unsigned value = 0; value < policy_input_row(input)->value_count; value++) {
            if (value == policy_input_get(facts, settings, input) || can_not_be(facts, input, value))
                continue;
            struct policy_facts changed_facts = *facts;
            struct policy_settings changed_settings = *settings;
            policy_input_set(&changed_facts, &changed_settings, input, value);
            const struct policy_verdict then = policy_judge(&changed_facts, &changed_settings);
            if (!is_same(&now, &then) && count < limit)
                changes[count++] = (struct policy_change){.input = input, .value = value, .verdict = then};
        }
    }
    return count;
}

size_t policy_behind(const struct policy_facts *facts, const struct policy_settings *settings, enum policy_rule *rules,
                     size_t limit)
{
    const struct policy_rules all = policy_rules_all();
    struct policy_rule_row rows[POLICY_RULES];
    struct policy_rules fewer = {.rows = rows, .count = all.count, .unavailable = all.unavailable};
    for (size_t i = 0; i < all.count; i++)
        rows[i] = all.rows[i];
    size_t count = 0;
    for (bool is_first = true; count < limit; is_first = false) {
        struct policy_look look = {.facts = facts, .settings = settings};
        const struct policy_verdict verdict = policy_judge_by(&fewer, &look);
        if (verdict.rule == POLICY_RULE_NONE)
            return count;
        if (!is_first)
            rules[count++] = verdict.rule;
        if (verdict.outcome != POLICY_REFUSE || verdict.rule == POLICY_RULE_FACT_UNAVAILABLE)
            return count;
        rows[verdict.rule - 1].stages = 0;
    }
    return count;
}

static void needs_gather(const struct policy_facts *facts, const struct policy_settings *settings, uint64_t *needs)
{
    const struct policy_verdict verdict = policy_judge(facts, settings);
    if (verdict.outcome != POLICY_NEEDS)
        return;
    *needs |= UINT64_C(1) << verdict.needs;
    for (unsigned value = 0; value < policy_input_row(verdict.needs)->value_count; value++) {
        struct policy_facts known = *facts;
        struct policy_settings same = *settings;
        if (can_not_be(facts, verdict.needs, value))
            continue;
        policy_input_set(&known, &same, verdict.needs, value);
        needs_gather(&known, settings, needs); /* each step knows one fact more: at most five deep */
    }
}

uint64_t policy_may_need(const struct policy_facts *facts, const struct policy_settings *settings)
{
    uint64_t needs = 0;
    needs_gather(facts, settings, &needs);
    return needs;
}
