/* SPDX-License-Identifier: Apache-2.0 */
/* inputs: facts and settings as one numbered list of small values, for those who walk or explain them: the proof and
 * explain. Values count from 0 to policy_input_values() - 1. */
#ifndef POLICY_INPUTS_H
#define POLICY_INPUTS_H

#include "policy/policy.h"

struct policy_words {
    struct text en, it;
};

struct policy_input_row {
    struct text word; /* "is_logged_in" */
    struct text key;  /* the setting behind it; empty: none */
    bool is_setting;
    struct policy_words name;
    const struct policy_words *values;
    unsigned value_count;
};

const struct policy_input_row *policy_input_row(enum policy_input input);
unsigned policy_input_get(const struct policy_facts *f, const struct policy_settings *s, enum policy_input input);
void policy_input_set(struct policy_facts *f, struct policy_settings *s, enum policy_input input, unsigned value);

/* Facts that must be looked up have two values that are no answer. */
bool policy_input_is_unknown(enum policy_input input, unsigned value);
bool policy_input_is_unavailable(enum policy_input input, unsigned value);

struct text policy_words_in(const struct policy_words *words, enum settings_language language);

#endif
