/* SPDX-License-Identifier: Apache-2.0 */
/* cause: out of codes and stages, what a person would say. */
#include "outcome/private.h"

static const struct {
    struct text
        status; /* subject and detail, RFC 3463 and the registry; a subject alone counts for all its other details */
    enum outcome_cause cause;
} by_status[] = {
    {.status = TEXT_INIT("1.1"), .cause = OUTCOME_CAUSE_WRONG_ADDRESS},
    {.status = TEXT_INIT("1.2"), .cause = OUTCOME_CAUSE_NO_SUCH_DOMAIN},
    {.status = TEXT_INIT("1.3"), .cause = OUTCOME_CAUSE_WRONG_ADDRESS},
    {.status = TEXT_INIT("1.6"), .cause = OUTCOME_CAUSE_WRONG_ADDRESS},
    {.status = TEXT_INIT("1.10"), .cause = OUTCOME_CAUSE_NO_MAIL_DOMAIN},
    {.status = TEXT_INIT("2.1"), .cause = OUTCOME_CAUSE_MAILBOX_DISABLED},
    {.status = TEXT_INIT("2.2"), .cause = OUTCOME_CAUSE_MAILBOX_FULL},
    {.status = TEXT_INIT("2.3"), .cause = OUTCOME_CAUSE_TOO_BIG},
    {.status = TEXT_INIT("3.4"), .cause = OUTCOME_CAUSE_TOO_BIG},
    {.status = TEXT_INIT("4.1"), .cause = OUTCOME_CAUSE_UNREACHABLE},
    {.status = TEXT_INIT("4.2"), .cause = OUTCOME_CAUSE_UNREACHABLE},
    {.status = TEXT_INIT("4.3"), .cause = OUTCOME_CAUSE_UNREACHABLE},
    {.status = TEXT_INIT("4.4"), .cause = OUTCOME_CAUSE_NO_SUCH_DOMAIN},
    {.status = TEXT_INIT("4.5"), .cause = OUTCOME_CAUSE_BUSY},
    {.status = TEXT_INIT("4.6"), .cause = OUTCOME_CAUSE_LOOP},
    {.status = TEXT_INIT("6.7"), .cause = OUTCOME_CAUSE_NEEDS_UTF8},
    {.status = TEXT_INIT("6.8"), .cause = OUTCOME_CAUSE_NEEDS_UTF8},
    {.status = TEXT_INIT("6.9"), .cause = OUTCOME_CAUSE_NEEDS_UTF8},
    {.status = TEXT_INIT("6.10"), .cause = OUTCOME_CAUSE_NEEDS_UTF8},
    {.status = TEXT_INIT("6"), .cause = OUTCOME_CAUSE_CONTENT},
    {.status = TEXT_INIT("7.4"), .cause = OUTCOME_CAUSE_TLS},
    {.status = TEXT_INIT("7.5"), .cause = OUTCOME_CAUSE_TLS},
    {.status = TEXT_INIT("7.10"), .cause = OUTCOME_CAUSE_TLS},
    {.status = TEXT_INIT("7"), .cause = OUTCOME_CAUSE_REFUSED},
};

/* An expired result has 5.4.7; what the host said last stands at the front of its text, when it said it. */
static struct text status_of(const struct result *result)
{
    if (!text_ends_with(result->enhanced, TEXT(".4.7")))
        return result->enhanced;
    struct text rest = result->text;
    struct text word = text_take_word(&rest);
    bool is_code = word.length >= 5 && (word.bytes[0] == '4' || word.bytes[0] == '5') && word.bytes[1] == '.';
    return is_code ? word : TEXT_NONE;
}

static enum outcome_cause cause_by_status(struct text status)
{
    struct text detail = text_after(status, 2);
    struct text subject = text_first(detail, text_find_octet(detail, '.'));
    for (size_t i = 0; i < length_of(by_status); i++)
        if (text_equals(by_status[i].status, detail) || text_equals(by_status[i].status, subject))
            return by_status[i].cause;
    return OUTCOME_CAUSE_OTHER;
}

static enum outcome_cause cause_by_code(const struct result *result)
{
    bool is_at_recipient = text_equals(result->stage, TEXT("rcpt"));
    switch (result->code) {
    case 0:
        if (text_equals(result->stage, TEXT("starttls")))
            return OUTCOME_CAUSE_TLS;
        return text_equals(result->stage, TEXT("mailbox")) ? OUTCOME_CAUSE_OTHER : OUTCOME_CAUSE_UNREACHABLE;
    case 550:
    case 551:
    case 553:
        return is_at_recipient ? OUTCOME_CAUSE_WRONG_ADDRESS : OUTCOME_CAUSE_REFUSED;
    case 552:
        return is_at_recipient ? OUTCOME_CAUSE_MAILBOX_FULL : OUTCOME_CAUSE_TOO_BIG;
    default:
        return result->code < 500 ? OUTCOME_CAUSE_BUSY : OUTCOME_CAUSE_REFUSED;
    }
}

enum outcome_cause outcome_cause(const struct result *result)
{
    struct text status = status_of(result);
    enum outcome_cause cause = cause_by_status(status);
    /* a policy that may change its mind, 4.7.1: greylisting and its like */
    if (cause == OUTCOME_CAUSE_REFUSED && result->code / 100 == 4)
        return OUTCOME_CAUSE_BUSY;
    return cause == OUTCOME_CAUSE_OTHER ? cause_by_code(result) : cause;
}
