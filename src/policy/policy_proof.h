/* SPDX-License-Identifier: Apache-2.0 */
/* policy_proof: what the two tests of the proof share. The walk goes through every combination of facts and deciding
 * settings. It branches only on what the rules and promises read, so one run stands for all combinations that differ in
 * nothing that was read; the sum of what the runs stand for must be the size of the whole space, or the walk itself is
 * wrong. A promise is a sentence of the settings page, told without the rules, and held against each verdict. */
#ifndef POLICY_POLICY_PROOF_H
#define POLICY_POLICY_PROOF_H

#include "policy/rules.h"

enum space {
    SPACE_PARTIAL, /* every value: not looked up yet, and not to be told */
    SPACE_KNOWN,   /* everything is known, or known not to be told */
    SPACE_TOLD,    /* everything can be told */
    SPACE_GUIDE,   /* SPACE_PARTIAL under the guide's settings */
    SPACE_GUIDE_TOLD,
};

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

struct walk walk_of(enum space space, const struct policy_rules *rules);
/* On to the next combination that differs in something read; false at the end. */
bool walk_next(struct walk *w, const struct policy_look *look);
/* How many combinations a run stands for that read these inputs; of none: the whole space. */
uint64_t walk_size(const struct walk *w, uint64_t read);
bool walk_allows(const struct walk *w, enum policy_input input, unsigned value);

struct promise {
    const char *name;
    enum space space;
    bool (*holds)(struct policy_look *look, const struct policy_verdict *v, const struct policy_rules *rules);
};

extern const struct promise promises[];
extern const size_t promise_count;

/* Walks the promise's space; false at the first combination in which it is broken: the walk stands there. */
bool promise_holds(const struct promise *promise, struct walk *w);

/* The settings as the guide recommends them: our defaults. */
extern const struct policy_settings guide;
bool accepts(const struct policy_verdict *v);

#endif
