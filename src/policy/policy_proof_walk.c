/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_proof.h"

const struct policy_settings guide = {
    .require_helo = true,
    .reject_unauthorised_local_sender = true,
    .unauthorised_local_header = SETTINGS_LOCAL_HEADER_MARK,
    .pop_before_smtp = false,
    .reject_auth_sender_mismatch = true,
    .reject_auth_header_mismatch = true,
    .relay_only_local_sender = true,
};

bool walk_allows(const struct walk *w, enum policy_input input, unsigned value)
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

uint64_t walk_size(const struct walk *w, uint64_t read)
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

bool walk_next(struct walk *w, const struct policy_look *look)
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

struct walk walk_of(enum space space, const struct policy_rules *rules)
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
