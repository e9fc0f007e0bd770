/* SPDX-License-Identifier: Apache-2.0 */
/* explain: the same verdict in words, English or Italian: what the client would see, the rule, what else stands in the
 * way, which single change would lead elsewhere, what is still unknown, and what each party can do. It judges by
 * policy_judge, so it can't differ from the live session. As pairs for --json: names are fixed words, repeated for
 * lists; values are in the language, but for the words of rules and settings. */
#ifndef POLICY_EXPLAIN_H
#define POLICY_EXPLAIN_H

#include "policy/inputs.h"

/* What the replies' placeholders are filled with; empty texts show as "?". */
struct policy_subject {
    struct text sender, recipient;
    struct text size_limit, hop_limit, recipient_limit; /* decimal */
    struct text octets, id;                             /* of an accepted message */
};

struct policy_question {
    struct policy_facts facts;
    struct policy_settings settings;
    struct policy_subject subject;
};

struct policy_pair {
    struct text name, value;
};

/* One fact or setting with another value, and what would decide then. */
struct policy_change {
    enum policy_input input;
    unsigned value;
    struct policy_verdict verdict;
};

enum {
    POLICY_PAIRS = 192,
    POLICY_CHANGES = 96,
};

struct reply_arguments policy_reply_arguments(enum reply reply, const struct policy_subject *subject);

/* The single changes that make another rule decide, facts first. Returns how many. */
size_t policy_changes(const struct policy_facts *facts, const struct policy_settings *settings,
                      struct policy_change *changes, size_t limit);
/* The rules that would decide one after the other, if each before it were switched off; ends with the one that accepts,
 * or with the first that can't be told. */
size_t policy_behind(const struct policy_facts *facts, const struct policy_settings *settings, enum policy_rule *rules,
                     size_t limit);
/* The facts that may still be asked for before there is a verdict: a bit for each enum policy_input; none when there is
 * one. */
uint64_t policy_may_need(const struct policy_facts *facts, const struct policy_settings *settings);

/* False: over the arena's limit. pairs has room for POLICY_PAIRS; values live in the arena or are constants. */
must_check bool policy_explain_pairs(struct arena *arena, const struct policy_question *question,
                                     enum settings_language language, struct policy_pair *pairs, size_t *ret_count);
/* False: the buffer is full. */
must_check bool policy_explain(struct buffer *b, const struct policy_question *question,
                               enum settings_language language);
/* What the code at the end of a refusal means; false when there is no such code, or the buffer is full. */
must_check bool policy_explain_code(struct buffer *b, struct text code, enum settings_language language);

#endif
