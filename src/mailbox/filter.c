/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/filter.h"

#include <string.h>

static const struct text forged = TEXT_INIT("return-path");

static bool is_name_octet(char c)
{
    return c > ' ' && c < 127 && c != ':'; /* RFC 5322 section 3.6.8 */
}

/* The state behind an octet of a field's name, or of the blanks that may follow it. */
static enum mailbox_filter_state after_name_octet(struct mailbox_filter *filter, char c)
{
    bool is_candidate = filter->state == MAILBOX_FILTER_MATCHING || filter->state == MAILBOX_FILTER_MATCHED;
    bool is_whole = filter->state == MAILBOX_FILTER_MATCHED || (is_candidate && filter->matched == forged.length);
    if (c == ':')
        return is_whole ? MAILBOX_FILTER_DROPPING : MAILBOX_FILTER_VALUE;
    if (octet_is_blank(c))
        return is_whole ? MAILBOX_FILTER_MATCHED : MAILBOX_FILTER_NAME_OVER;
    if (!is_name_octet(c) || filter->state == MAILBOX_FILTER_MATCHED || filter->state == MAILBOX_FILTER_NAME_OVER)
        return MAILBOX_FILTER_BODY; /* no field: the header is over */
    if (filter->state == MAILBOX_FILTER_MATCHING && filter->matched < forged.length &&
        octet_lower(c) == forged.bytes[filter->matched]) {
        filter->matched++;
        return MAILBOX_FILTER_MATCHING;
    }
    return MAILBOX_FILTER_NAME;
}

static enum mailbox_filter_state after_line_start(struct mailbox_filter *filter, char c)
{
    if (octet_is_blank(c)) {
        if (filter->state == MAILBOX_FILTER_FIRST_LINE)
            return MAILBOX_FILTER_BODY;
        return filter->state == MAILBOX_FILTER_DROPPED_LINE ? MAILBOX_FILTER_DROPPING : MAILBOX_FILTER_VALUE;
    }
    if (!is_name_octet(c))
        return MAILBOX_FILTER_BODY;
    filter->state = MAILBOX_FILTER_MATCHING;
    filter->matched = 0;
    return after_name_octet(filter, c);
}

/* Takes octets of a value up to its CRLF, or all of them; the place behind them. */
static size_t pass_value(struct mailbox_filter *filter, struct text octets, size_t at)
{
    while (at < octets.length) {
        struct text rest = text_after(octets, at);
        size_t line_feed = text_find_octet(rest, '\n');
        bool follows_cr = line_feed > 0 ? rest.bytes[line_feed - 1] == '\r' : filter->saw_cr;
        if (line_feed == rest.length) {
            filter->saw_cr = follows_cr;
            return octets.length;
        }
        filter->saw_cr = false;
        at += line_feed + 1;
        if (!follows_cr)
            continue; /* a bare line feed ends no line */
        filter->state = filter->state == MAILBOX_FILTER_DROPPING ? MAILBOX_FILTER_DROPPED_LINE : MAILBOX_FILTER_LINE;
        return at;
    }
    return at;
}

static void hold(struct mailbox_filter *filter, struct text octets, mailbox_filter_emit *emit, void *context)
{
    if (filter->held_length + octets.length <= sizeof filter->held) {
        memcpy(filter->held + filter->held_length, octets.bytes, octets.length);
        filter->held_length += octets.length;
        return;
    }
    /* more blanks before the colon than any writer of mail puts there: not worth more memory */
    mailbox_filter_end(filter, emit, context);
    emit(context, octets);
    filter->state = MAILBOX_FILTER_NAME_OVER;
}

static bool is_line_start(enum mailbox_filter_state state)
{
    return state == MAILBOX_FILTER_FIRST_LINE || state == MAILBOX_FILTER_LINE || state == MAILBOX_FILTER_DROPPED_LINE;
}

static bool is_candidate(enum mailbox_filter_state state)
{
    return state == MAILBOX_FILTER_MATCHING || state == MAILBOX_FILTER_MATCHED;
}

void mailbox_filter_take(struct mailbox_filter *filter, struct text octets, mailbox_filter_emit *emit, void *context)
{
    size_t at = 0, passed = 0; /* before passed all is emitted or dropped */
    size_t line = 0;           /* where a candidate's name begins here */
    while (at < octets.length && filter->state != MAILBOX_FILTER_BODY) {
        enum mailbox_filter_state before = filter->state;
        if (before == MAILBOX_FILTER_VALUE || before == MAILBOX_FILTER_DROPPING) {
            at = pass_value(filter, octets, at);
            if (before == MAILBOX_FILTER_DROPPING)
                passed = at;
            continue;
        }
        if (is_line_start(before))
            line = at;
        filter->state = is_line_start(before) ? after_line_start(filter, octets.bytes[at])
                                              : after_name_octet(filter, octets.bytes[at]);
        at++;
        if (filter->state == MAILBOX_FILTER_DROPPING && before != MAILBOX_FILTER_DROPPED_LINE) {
            emit(context, text_after(text_first(octets, line), passed));
            filter->held_length = 0;
            passed = at;
        } else if (filter->held_length && !is_candidate(filter->state)) {
            mailbox_filter_end(filter, emit, context);
        }
        if (filter->state == MAILBOX_FILTER_VALUE || filter->state == MAILBOX_FILTER_DROPPING)
            filter->saw_cr = false;
    }
    if (is_candidate(filter->state)) {
        emit(context, text_after(text_first(octets, line), passed));
        hold(filter, text_after(octets, larger(line, passed)), emit, context);
        return;
    }
    if (filter->state != MAILBOX_FILTER_DROPPING)
        emit(context, text_after(octets, passed));
}

void mailbox_filter_end(struct mailbox_filter *filter, mailbox_filter_emit *emit, void *context)
{
    if (filter->held_length)
        emit(context, text_of(filter->held, filter->held_length));
    filter->held_length = 0;
}
