/* SPDX-License-Identifier: Apache-2.0 */
#include "outcome/private.h"

/* The local mailbox says 452 4.2.2; whether that is for good is the administrator's choice. */
static bool is_full_mailbox_for_good(const struct settings *settings, const struct result *result)
{
    return settings->delivery_full_mailbox_permanent && text_equals(result->stage, TEXT("mailbox")) &&
           text_equals(result->enhanced, TEXT("4.2.2"));
}

enum outcome_next outcome_judge(const struct settings *settings, const struct result *result, int64_t arrived_ms,
                                int64_t now_ms, struct result *ret_result)
{
    struct result judged = *result;
    enum outcome_next next = OUTCOME_DONE;
    switch (result->class) {
    case RESULT_DELIVERED:
    case RESULT_RELAYED:
    case RESULT_RELAYED_WITHOUT_DSN:
        break;
    case RESULT_FAILED:
        next = OUTCOME_FAILED;
        break;
    case RESULT_DEFERRED:
        next = OUTCOME_AGAIN;
        if (is_full_mailbox_for_good(settings, result)) {
            next = OUTCOME_FAILED;
            judged.class = RESULT_FAILED;
            judged.code = 552;
            judged.enhanced = TEXT("5.2.2");
        } else if (now_ms - arrived_ms >= (int64_t)settings->delivery_undelivered_after) {
            next = OUTCOME_FAILED;
            judged.class = RESULT_FAILED;
            judged.enhanced = TEXT("5.4.7");
        }
        break;
    }
    *ret_result = judged;
    return next;
}

/* RFC 3461 section 4.1: without NOTIFY failures are told, and delays may be. */
static bool wants(const struct envelope_recipient *recipient, enum envelope_notify what)
{
    unsigned notify =
        recipient->notify ? recipient->notify : (unsigned)(ENVELOPE_NOTIFY_FAILURE | ENVELOPE_NOTIFY_DELAY);
    return !(notify & ENVELOPE_NOTIFY_NEVER) && (notify & what);
}

enum outcome_report_kind outcome_report_due(const struct settings *settings, const struct envelope_recipient *recipient,
                                            enum outcome_next next, const struct result *result)
{
    if (next == OUTCOME_FAILED)
        return wants(recipient, ENVELOPE_NOTIFY_FAILURE) ? OUTCOME_REPORT_FAILED : OUTCOME_REPORT_NONE;
    if (next == OUTCOME_AGAIN || !settings->delivery_delivery_reports || !wants(recipient, ENVELOPE_NOTIFY_SUCCESS))
        return OUTCOME_REPORT_NONE;
    if (result->class == RESULT_DELIVERED)
        return OUTCOME_REPORT_DELIVERED;
    /* a host that took the request itself will answer it */
    return result->class == RESULT_RELAYED_WITHOUT_DSN ? OUTCOME_REPORT_RELAYED : OUTCOME_REPORT_NONE;
}

int64_t outcome_warning_ms(const struct settings *settings, const struct envelope_recipient *recipient,
                           int64_t arrived_ms)
{
    if (settings->delivery_warn_after == 0 || !wants(recipient, ENVELOPE_NOTIFY_DELAY))
        return INT64_MAX;
    return arrived_ms + (int64_t)settings->delivery_warn_after;
}

bool outcome_warning_due(const struct settings *settings, const struct envelope_recipient *recipient,
                         int64_t arrived_ms, int64_t now_ms, bool was_warned)
{
    return !was_warned && now_ms >= outcome_warning_ms(settings, recipient, arrived_ms);
}

enum outcome_addressee outcome_addressee(const struct settings *settings, const struct envelope *envelope,
                                         enum outcome_report_kind kind, bool sender_is_local)
{
    if (kind == OUTCOME_REPORT_NONE)
        return OUTCOME_TO_NOBODY;
    /* RFC 5321 section 6.1: a report is never reported. What can't be told is kept, if it was a failure. */
    enum outcome_addressee otherwise = kind == OUTCOME_REPORT_FAILED ? OUTCOME_TO_BAD_MAIL : OUTCOME_TO_NOBODY;
    if (address_is_null(&envelope->sender))
        return otherwise;
    switch ((enum settings_report_to)settings->delivery_report_to) {
    case SETTINGS_REPORT_TO_ALL:
        return OUTCOME_TO_SENDER;
    case SETTINGS_REPORT_TO_AUTHENTICATED:
        return envelope->login.length ? OUTCOME_TO_SENDER : otherwise;
    case SETTINGS_REPORT_TO_LOCAL:
        return sender_is_local ? OUTCOME_TO_SENDER : otherwise;
    case SETTINGS_REPORT_TO_NONE:
    case SETTINGS_REPORT_TO_WORDS:
        break;
    }
    return otherwise;
}
