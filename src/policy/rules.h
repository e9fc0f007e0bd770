/* SPDX-License-Identifier: Apache-2.0 */
/* rules: the table of rules, its conditions, and the one walk over it. A condition reads facts and settings through
 * policy_look_at: a read of a fact that nobody looked up yet, or that nobody can tell now, is remembered, and the
 * condition's answer does not count then. So a condition is a plain expression, and what it reads first is asked first.
 * The order of first reads is kept: the proof walks the space by it. The table is a parameter, so that the proof can
 * judge by broken tables and see that it notices. */
#ifndef POLICY_RULES_H
#define POLICY_RULES_H

#include "policy/inputs.h"

struct policy_look {
    const struct policy_facts *facts;
    const struct policy_settings *settings;
    enum policy_input missing;     /* the first fact read that is unknown yet ... */
    enum policy_input unavailable; /* ... or that nobody can tell; at most one of the two is set */
    uint64_t read;                 /* a bit for each input that was read */
    uint8_t order[POLICY_INPUTS];
    size_t order_length;
};

unsigned policy_look_at(struct policy_look *look, enum policy_input input);
enum policy_way policy_look_way(struct policy_look *look);

enum { POLICY_RULE_KEYS = 3 };

struct policy_rule_row {
    enum policy_rule rule;
    struct text word;
    unsigned stages; /* a bit for each enum policy_stage */
    bool (*applies)(struct policy_look *look);
    enum policy_outcome outcome;
    enum reply reply;
    struct text keys[POLICY_RULE_KEYS]; /* the settings behind it; empty from the first empty one on */
    struct policy_words why;
    struct policy_words remedy_user;          /* one of ours, at a mail program; empty: nothing that he could do */
    struct policy_words remedy_remote;        /* a stranger's mail server and its postmaster */
    struct policy_words remedy_administrator; /* ours */
};

struct policy_rules {
    const struct policy_rule_row *rows; /* in the order in which they are tried */
    size_t count;
    const struct policy_rule_row *unavailable; /* decides when the rule being tried can't be told */
};

/* Tables; the last row of policy_rules_table is FACT_UNAVAILABLE, which stands beside the order. */
struct policy_rules policy_rules_all(void);
const struct policy_rule_row *policy_rule_row(enum policy_rule rule);

struct policy_verdict policy_judge_by(const struct policy_rules *rules, struct policy_look *look);

/* Conditions, one for each row. */
#define CONDITION(name) bool policy_applies_##name(struct policy_look *look);
CONDITION(hello_required)
CONDITION(login_already)
CONDITION(login_not_offered)
CONDITION(login_needs_tls)
CONDITION(submission_needs_tls)
CONDITION(submission_needs_login)
CONDITION(message_too_large)
CONDITION(mail_loop)
CONDITION(auth_sender_mismatch)
CONDITION(local_sender_not_authorised)
CONDITION(too_many_recipients)
CONDITION(relay_not_permitted)
CONDITION(relay_null_sender)
CONDITION(relay_sender_not_local)
CONDITION(postmaster)
CONDITION(recipient_unknown)
CONDITION(recipient_disabled)
CONDITION(mailbox_full_permanent)
CONDITION(mailbox_full)
CONDITION(auth_header_mismatch)
CONDITION(local_header_not_authorised)
CONDITION(local_header_marked)
CONDITION(sender_from_login)
CONDITION(relay_null)
CONDITION(relay)
CONDITION(otherwise)
#undef CONDITION

#endif
