/* SPDX-License-Identifier: Apache-2.0 */
/* The proof is proved: the table of rules is broken in every way, row by row, and some promise must notice. */
#include "policy/policy_proof.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

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

static bool verdicts_differ(const struct policy_rules *mutant, enum space space)
{
    const struct policy_rules rules = policy_rules_all();
    struct walk w = walk_of(space, &rules);
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
    for (size_t i = promise_count; i > 0; i--) { /* the sharpest and smallest first */
        struct walk w = walk_of(promises[i - 1].space, mutant);
        if (!promise_holds(&promises[i - 1], &w))
            return promises[i - 1].name;
    }
    return NULL;
}

struct tally {
    size_t killed, equivalent, survived;
};

static void mutant_try(const struct policy_rules *mutant, const char *how, enum policy_rule rule,
                       bool may_be_equivalent, struct tally *tally)
{
    const struct text word = policy_rule_word(rule);
    if (may_be_equivalent && !verdicts_differ(mutant, SPACE_KNOWN)) {
        tally->equivalent++;
        return;
    }
    if (killer_of(mutant)) {
        tally->killed++;
        return;
    }
    tally->survived++;
    print_message("# survives: %.*s %s%s\n", TEXT_ARGUMENTS(word), how,
                  verdicts_differ(mutant, SPACE_KNOWN) ? "" : " (equivalent, but not on the list)");
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

static void every_broken_row_is_noticed(void **state not_used)
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
    print_message("# mutants: %zu killed, %zu equivalent (proved, on the list), %zu survived\n", tally.killed,
                  tally.equivalent, tally.survived);
    assert_int_equal(tally.survived, 0);
    assert_int_equal(tally.equivalent, length_of(twins));
}

/* --- a condition that takes one thing for granted
 * -------------------------------------------------------------------------------------- */

static struct {
    bool (*applies)(struct policy_look *look);
    enum policy_input input;
    unsigned value;
} blind; /* as above */

/* The condition sees one input as if it were always the same. */
static bool applies_blindly(struct policy_look *look)
{
    const struct policy_facts *facts = look->facts;
    const struct policy_settings *settings = look->settings;
    struct policy_facts seen_facts = *facts;
    struct policy_settings seen_settings = *settings;
    policy_input_set(&seen_facts, &seen_settings, blind.input, blind.value);
    look->facts = &seen_facts;
    look->settings = &seen_settings;
    const bool applies = blind.applies(look);
    look->facts = facts;
    look->settings = settings;
    return applies;
}

/* What a condition reads anywhere, when it is asked at all its stages. */
static uint64_t reads_of(const struct policy_rule_row *row)
{
    const struct policy_rules none = {.rows = row, .count = 1};
    struct walk w = walk_of(SPACE_TOLD, &none);
    uint64_t read = 0;
    struct policy_look look;
    do {
        look = (struct policy_look){.facts = &w.facts, .settings = &w.settings};
        ignored(row->applies(&look)); /* for its reads */
        read |= look.read;
    } while (walk_next(&w, &look));
    return read;
}

/* Where everything can be told: seeing one value, a condition would not ask for a fact either. */
static bool is_noticed(const struct policy_rules *mutant)
{
    for (size_t i = promise_count; i > 0; i--) {
        if (promises[i - 1].space != SPACE_TOLD && promises[i - 1].space != SPACE_PARTIAL)
            continue;
        struct walk w = walk_of(SPACE_TOLD, mutant);
        if (!promise_holds(&promises[i - 1], &w))
            return true;
    }
    return false;
}

static void every_blind_condition_is_noticed(void **state not_used)
{
    const struct policy_rules rules = policy_rules_all();
    struct policy_rule_row rows[POLICY_RULES];
    const struct policy_rules mutant = {.rows = rows, .count = rules.count, .unavailable = rules.unavailable};
    const struct walk told = walk_of(SPACE_TOLD, &rules);
    struct tally tally = {0};
    memcpy(rows, rules.rows, rules.count * sizeof(rows[0]));
    for (size_t i = 0; i < rules.count; i++) {
        const uint64_t read = reads_of(&rules.rows[i]);
        blind.applies = rules.rows[i].applies;
        rows[i].applies = applies_blindly;
        for (blind.input = 1; blind.input < POLICY_INPUTS; blind.input++) {
            for (blind.value = 0; blind.value < policy_input_row(blind.input)->value_count; blind.value++) {
                if (!(read & (UINT64_C(1) << blind.input)) || !walk_allows(&told, blind.input, blind.value))
                    continue;
                if (is_noticed(&mutant)) {
                    tally.killed++;
                    continue;
                }
                /* Another rule, or another part of the condition, says the same: nothing can come of it, as the walk
                 * shows. */
                const bool differs = verdicts_differ(&mutant, SPACE_TOLD);
                tally.equivalent += !differs;
                tally.survived += differs;
                const struct text word = policy_rule_word(rules.rows[i].rule), input = policy_input_word(blind.input);
                if (differs)
                    print_message("# survives: %.*s with %.*s always %u\n", TEXT_ARGUMENTS(word), TEXT_ARGUMENTS(input),
                                  blind.value);
            }
        }
        rows[i] = rules.rows[i];
    }
    print_message("# blind conditions: %zu killed, %zu change no verdict anywhere (proved by a walk), %zu survived\n",
                  tally.killed, tally.equivalent, tally.survived);
    assert_true(tally.killed > 0);
    assert_int_equal(tally.survived, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_broken_row_is_noticed),
        cmocka_unit_test(every_blind_condition_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
