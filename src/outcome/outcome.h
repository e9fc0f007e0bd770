/* SPDX-License-Identifier: Apache-2.0 */
/* outcome: from the result of a try to done, again later, or a report. A recipient is tried again until
 * undelivered_after; then its last result becomes a failed one, 5.4.7. Reports are multipart/report (RFC 3464; RFC 6533
 * where an address is not ASCII), have the null sender and are never written about a message that has it: that goes to
 * bad_mail. Reply texts come from strangers: they are escaped here and can't make a field, a part or a line of their
 * own. Pure: time, random seed and the message's octets are arguments. */
#ifndef OUTCOME_OUTCOME_H
#define OUTCOME_OUTCOME_H

#include "mail/mail.h"
#include "settings/settings.h"

enum outcome_next {
    OUTCOME_AGAIN,  /* deferred: the schedule says when */
    OUTCOME_DONE,   /* delivered or relayed */
    OUTCOME_FAILED, /* for good */
};

/* result is what is journalled: the result of the try, or its expired or permanent form. Its texts are borrowed from
 * the one given. */
enum outcome_next outcome_judge(const struct settings *settings, const struct result *result, int64_t arrived_ms,
                                int64_t now_ms, struct result *ret_result);

enum outcome_report_kind {
    OUTCOME_REPORT_NONE,
    OUTCOME_REPORT_FAILED,
    OUTCOME_REPORT_DELAYED,
    OUTCOME_REPORT_DELIVERED,
    OUTCOME_REPORT_RELAYED,  /* to a host that gives no reports: RFC 3461 section 5.2.2 */
    OUTCOME_REPORT_EXPANDED, /* alias or group with several members: section 5.2.7.2 */
    OUTCOME_REPORT_KINDS,
};

/* What the sender asked to be told (RFC 3461 section 4.1) of a recipient whose try ended so. */
enum outcome_report_kind outcome_report_due(const struct settings *settings, const struct envelope_recipient *recipient,
                                            enum outcome_next next, const struct result *result);
/* Is it time for the one notice "still trying"? */
bool outcome_warning_due(const struct settings *settings, const struct envelope_recipient *recipient,
                         int64_t arrived_ms, int64_t now_ms, bool was_warned);
/* When that time comes; INT64_MAX: never. */
int64_t outcome_warning_ms(const struct settings *settings, const struct envelope_recipient *recipient,
                           int64_t arrived_ms);

enum outcome_addressee {
    OUTCOME_TO_NOBODY,
    OUTCOME_TO_SENDER,
    OUTCOME_TO_BAD_MAIL, /* the message itself, whole, with outcome_bad_mail_fields in front; without a bad_mail: hold
                            it, and an alarm */
};
/* sender_is_local: the sender's domain is one of ours (for report_to = local). */
enum outcome_addressee outcome_addressee(const struct settings *settings, const struct envelope *envelope,
                                         enum outcome_report_kind kind, bool sender_is_local);

/* Why it did not arrive, as a person would put it; chooses the words of the report, the log and the console. */
enum outcome_cause {
    OUTCOME_CAUSE_OTHER,
    OUTCOME_CAUSE_WRONG_ADDRESS,
    OUTCOME_CAUSE_NO_SUCH_DOMAIN,
    OUTCOME_CAUSE_NO_MAIL_DOMAIN, /* null MX */
    OUTCOME_CAUSE_MAILBOX_FULL,
    OUTCOME_CAUSE_MAILBOX_DISABLED,
    OUTCOME_CAUSE_TOO_BIG,
    OUTCOME_CAUSE_REFUSED,
    OUTCOME_CAUSE_CONTENT,
    OUTCOME_CAUSE_UNREACHABLE,
    OUTCOME_CAUSE_TLS,
    OUTCOME_CAUSE_LOOP,
    OUTCOME_CAUSE_NEEDS_UTF8,
    OUTCOME_CAUSE_BUSY, /* it asked to come again: greylisting, 421, 45z */
    OUTCOME_CAUSES,
};
enum outcome_cause outcome_cause(const struct result *result);
struct text outcome_cause_words(enum outcome_cause cause, enum settings_language language);

struct outcome_report_recipient {
    const struct envelope_recipient *recipient;
    const struct result *result; /* as outcome_judge gave it */
    int64_t tried_ms;            /* wall clock of the last try, 0: unknown */
};

/* Copies octets of the message; false when they can't be read: then the report goes without them. */
typedef bool outcome_body_function(void *context, uint64_t at, char *bytes, size_t count);

struct outcome_report {
    enum outcome_report_kind kind;
    const struct settings *settings;
    const struct envelope *envelope; /* of the message that is reported */
    struct text id;                  /* its queue id, as logs show it */
    struct text report_id;           /* the report's own: left part of its Message-ID */
    const struct outcome_report_recipient *recipients;
    size_t recipient_count;
    int64_t now_ms;
    uint64_t seed; /* random: no message can hold the boundary made of it */
    uint64_t message_length;
    outcome_body_function *body;
    void *body_context;
};

enum { OUTCOME_REPORT_OVERHEAD = 64 * 1024, OUTCOME_REPORT_PER_RECIPIENT = 8 * 1024 };
/* How large the report may grow: the limit for its buffer. */
size_t outcome_report_limit(const struct outcome_report *report);
/* The report, complete, lines ended by CRLF. False when the buffer is full. */
must_check bool outcome_report_write(struct buffer *b, const struct outcome_report *report);
/* The envelope it travels in; recipient is where its one recipient is put. Texts are borrowed from the report's
 * envelope and settings. */
void outcome_report_envelope(const struct outcome_report *report, struct envelope_recipient *recipient,
                             struct envelope *ret_envelope);

/* Fields to put in front of the message itself when it goes to bad_mail: from whom, to whom, why. False when the buffer
 * is full. */
must_check bool outcome_bad_mail_fields(struct buffer *b, const struct outcome_report *report);

#endif
