/* SPDX-License-Identifier: Apache-2.0 */
/* The relay proof: each promise holds in the whole space. It prints how many combinations that is. */
#include "policy/policy_proof.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static unsigned at(struct policy_look *look, enum policy_input input)
{
    return policy_look_at(look, input);
}

static void facts_print(const struct policy_facts *facts, const struct policy_settings *settings)
{
    for (enum policy_input input = 1; input < POLICY_INPUTS; input++) {
        const struct policy_input_row *row = policy_input_row(input);
        const struct text value = row->values[policy_input_get(facts, settings, input)].en;
        print_message("#   %.*s = %.*s\n", TEXT_ARGUMENTS(row->word), TEXT_ARGUMENTS(value));
    }
}

static void every_promise_holds_in_the_whole_space(void **state not_used)
{
    const struct policy_rules rules = policy_rules_all();
    uint64_t combinations = 0;
    for (size_t i = 0; i < promise_count; i++) {
        struct walk w = walk_of(promises[i].space, &rules);
        if (!promise_holds(&promises[i], &w)) {
            print_message("# broken: %s\n", promises[i].name);
            facts_print(&w.facts, &w.settings);
            fail();
        }
        assert_true(w.combinations == walk_size(&w, 0));
        print_message("# %-62s %15llu combinations in %llu runs\n", promises[i].name,
                      (unsigned long long)w.combinations, (unsigned long long)w.runs);
        combinations = w.combinations > combinations ? w.combinations : combinations;
    }
    print_message("# the whole space: %llu combinations of facts and settings, all walked\n",
                  (unsigned long long)combinations);
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
    print_message("# guide's settings, relayed: %llu by the login's own sender, %llu null senders under AUTH, %llu by "
                  "trusted hosts "
                  "with a local sender (the remaining gap)\n",
                  (unsigned long long)own, (unsigned long long)null, (unsigned long long)gap);
}

/* --- what each setting opens, when it alone is off
 * ------------------------------------------------------------------------------- */

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
                (void)policy_look_at(
                    &look, second.order[k]); /* so that the walk branches on the second judgement's reads too */
            if (accepts(&after) && before.outcome == POLICY_REFUSE)
                more += walk_size(&w, look.read);
            if (after.outcome == POLICY_ACCEPT_RELAY && !at(&look, POLICY_FACT_SENDER_NULL) &&
                at(&look, POLICY_FACT_SENDER) == MAIL_ADDRESS_FOREIGN &&
                !(at(&look, POLICY_FACT_LOGGED_IN) && changed.auth_sets_sender))
                foreign += walk_size(&w, look.read);
        } while (walk_next(&w, &look));
        const struct policy_input_row *row = policy_input_row(o->setting);
        const struct text value = row->values[o->value].en;
        print_message("# %.*s = %.*s alone: %llu more combinations accepted, %llu relay a foreign sender\n",
                      TEXT_ARGUMENTS(row->word), TEXT_ARGUMENTS(value), (unsigned long long)more,
                      (unsigned long long)foreign);
        assert_int_equal(more > 0, o->lets_more_in);
        assert_int_equal(foreign > 0, o->lets_foreign_senders_out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_promise_holds_in_the_whole_space),
        cmocka_unit_test(every_rule_decides_somewhere),
        cmocka_unit_test(trusted_hosts_are_the_only_gap_in_the_guides_settings),
        cmocka_unit_test(each_setting_alone_opens_what_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
