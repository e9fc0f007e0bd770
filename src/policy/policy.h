/* SPDX-License-Identifier: Apache-2.0 */
/* policy: from facts and settings to a verdict with its reason, or to the ONE fact still needed: the caller looks it
 * up, sets it and judges again; each fact is asked for at most once. Every verdict is judged from all facts of the
 * session so far, never from an earlier verdict. Pure: the same facts and settings give the same verdict, live, in
 * `portiere explain`, in the audit and in the relay proof. Authorisation is exactly one of AUTH, trusted host, POP
 * before SMTP; AUTH decides first, the other two count on smtp listeners only. The caller asks the vault for the sender
 * and the From field WITH the login (LOCAL_OWN wins over full or disabled there), and for recipients without one.
 * <Postmaster> without a domain is MAIL_ADDRESS_LOCAL, unasked. What we forward or redirect ourselves is not judged
 * again: permission was given for the recipient as the client wrote it. */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "mail/mail.h"
#include "settings/settings.h"

enum policy_stage {
    POLICY_STAGE_COMMAND,   /* a command outside of a transaction that wants a greeting first: VRFY, EXPN, STARTTLS */
    POLICY_STAGE_AUTH,      /* AUTH */
    POLICY_STAGE_SENDER,    /* MAIL */
    POLICY_STAGE_RECIPIENT, /* RCPT */
    POLICY_STAGE_MESSAGE,   /* the whole message is there */
    POLICY_STAGES,
};

enum policy_listener {
    POLICY_LISTENER_SMTP,
    POLICY_LISTENER_SUBMISSION,  /* STARTTLS */
    POLICY_LISTENER_SUBMISSIONS, /* TLS from the start */
    POLICY_LISTENERS,
};

enum policy_answer {
    POLICY_ANSWER_UNKNOWN_YET, /* nobody asked */
    POLICY_ANSWER_NO,
    POLICY_ANSWER_YES,
    POLICY_ANSWER_UNAVAILABLE, /* the one who knows could not say */
    POLICY_ANSWERS,
};

/* POP3 logins from this client's address within pop_before_smtp_time. */
enum policy_pop {
    POLICY_POP_UNKNOWN_YET,
    POLICY_POP_NONE,
    POLICY_POP_OTHER,  /* there was one, of an account that the sender's address does not belong to */
    POLICY_POP_SENDER, /* one by the account that the sender's address belongs to */
    POLICY_POP_UNAVAILABLE,
    POLICY_POPS,
};

/* Zeroed, it is a stranger on port 25 who said nothing yet, and nothing was looked up. */
struct policy_facts {
    enum policy_stage stage;
    enum policy_listener listener;
    bool offers_auth; /* of the listener's row; submission listeners always do */
    bool is_encrypted;
    bool has_greeted; /* since the connection began, or since STARTTLS */
    bool is_logged_in;
    enum policy_answer trusted; /* needs names of hosts, forward-confirmed; the rest of the list is known at once */
    enum policy_pop pop;
    bool is_sender_null;
    enum mail_address_kind sender;
    bool is_sender_excepted; /* client or sender stands in local_sender_exceptions */
    enum mail_address_kind recipient;
    bool is_postmaster; /* address_is_postmaster(); a foreign one is still a foreign recipient */
    bool has_header_from;
    enum mail_address_kind header_from; /* several addresses: the worst (foreign before local before own) */
    bool is_over_size;                  /* at MAIL what SIZE declares, later what came */
    bool is_over_hops;
    bool is_over_recipients; /* max_recipients_server were accepted already */
};

/* The few settings that decide. */
struct policy_settings {
    bool require_helo;
    bool reject_unauthorised_local_sender;
    enum settings_local_header unauthorised_local_header;
    bool pop_before_smtp;
    enum settings_pop_scope pop_scope;
    bool reject_auth_sender_mismatch;
    bool reject_auth_header_mismatch;
    bool auth_sets_sender;
    bool relay_only_local_sender;
    bool full_mailbox_permanent;
};

/* Facts and settings in one list, each with its words. */
enum policy_input {
    POLICY_INPUT_NONE,
#define FACT(NAME, member, type, values, key, english, italian) POLICY_FACT_##NAME,
#define SETTING(NAME, member, type, values, key, english, italian) POLICY_SETTING_##NAME,
#include "policy/inputs.def"
    POLICY_INPUTS,
};

/* The rules in the order in which they are tried; the first that applies decides. */
enum policy_rule {
    POLICY_RULE_NONE,
    POLICY_RULE_HELLO_REQUIRED,
    POLICY_RULE_LOGIN_ALREADY,
    POLICY_RULE_LOGIN_NOT_OFFERED,
    POLICY_RULE_LOGIN_NEEDS_TLS,
    POLICY_RULE_SUBMISSION_NEEDS_TLS,
    POLICY_RULE_SUBMISSION_NEEDS_LOGIN,
    POLICY_RULE_MESSAGE_TOO_LARGE,
    POLICY_RULE_MAIL_LOOP,
    POLICY_RULE_AUTH_SENDER_MISMATCH,
    POLICY_RULE_LOCAL_SENDER_NOT_AUTHORISED,
    POLICY_RULE_TOO_MANY_RECIPIENTS,
    POLICY_RULE_RELAY_NOT_PERMITTED,
    POLICY_RULE_RELAY_NULL_SENDER,
    POLICY_RULE_RELAY_SENDER_NOT_LOCAL,
    POLICY_RULE_POSTMASTER,
    POLICY_RULE_RECIPIENT_UNKNOWN,
    POLICY_RULE_RECIPIENT_DISABLED,
    POLICY_RULE_MAILBOX_FULL_PERMANENT,
    POLICY_RULE_MAILBOX_FULL,
    POLICY_RULE_AUTH_HEADER_MISMATCH,
    POLICY_RULE_LOCAL_HEADER_NOT_AUTHORISED,
    POLICY_RULE_LOCAL_HEADER_MARKED,
    POLICY_RULE_SENDER_FROM_LOGIN,
    POLICY_RULE_RELAY_NULL,
    POLICY_RULE_RELAY,
    POLICY_RULE_LOCAL_DELIVERY,
    POLICY_RULE_SENDER,
    POLICY_RULE_MESSAGE,
    POLICY_RULE_COMMAND,
    POLICY_RULE_FACT_UNAVAILABLE, /* stands beside the order: the rule being tried needs a fact that nobody can tell now
                                   */
    POLICY_RULES,
};

enum policy_outcome {
    POLICY_NEEDS, /* needs names the fact */
    POLICY_ACCEPT,
    POLICY_ACCEPT_LOCAL, /* this recipient is ours */
    POLICY_ACCEPT_RELAY, /* this recipient is foreign, and the sender may */
    POLICY_REFUSE,
    POLICY_OUTCOMES,
};

enum policy_way {
    POLICY_WAY_NONE,
    POLICY_WAY_AUTH,
    POLICY_WAY_TRUSTED,
    POLICY_WAY_POP,
    POLICY_WAYS,
};

struct policy_verdict {
    enum policy_outcome outcome;
    enum policy_input needs; /* POLICY_NEEDS: the fact still needed; FACT_UNAVAILABLE: the one that nobody can tell */
    enum policy_rule rule;   /* POLICY_RULE_NONE while a fact is needed */
    enum reply reply;        /* REPLY_NONE: the command goes on to its own answer */
    /* RULE_SENDER_FROM_LOGIN: the caller puts the login's address in the sender's place and sets sender to LOCAL_OWN.
     * RULE_LOCAL_HEADER_MARKED: the message gets its header field, a log line and a count.
     * RULE_RELAY_NULL: a report relayed for a login, logged and counted. */
};

struct policy_verdict policy_judge(const struct policy_facts *facts, const struct policy_settings *settings);

/* By which of the three ways the client is authorised. False: *ret_needs names the fact without which it can't be told.
 */
must_check bool policy_way_of(const struct policy_facts *facts, const struct policy_settings *settings,
                              enum policy_way *ret_way, enum policy_input *ret_needs);

struct policy_settings policy_settings_of(const struct settings *s);

struct text policy_rule_word(enum policy_rule rule);          /* "relay-not-permitted" */
struct text policy_outcome_word(enum policy_outcome outcome); /* "accept-relay" */
struct text policy_way_word(enum policy_way way);             /* "auth", "trusted", "pop", "": as in the envelope */
struct text policy_input_word(enum policy_input input);       /* "sender" */

#endif
