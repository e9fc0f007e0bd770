/* SPDX-License-Identifier: Apache-2.0 */
/* filter: lets a message pass in pieces of any size and takes every Return-Path field out of its header: whoever put
 * one there before final delivery has forged it (RFC 5321 section 4.4). A field is what mail/header.h says. Pure; what
 * passes is given to the emit function. */
#ifndef MAILBOX_FILTER_H
#define MAILBOX_FILTER_H

#include "base/base.h"

typedef void mailbox_filter_emit(void *context, struct text octets);

enum mailbox_filter_state {
    MAILBOX_FILTER_FIRST_LINE,   /* nothing has come yet */
    MAILBOX_FILTER_LINE,         /* a line of the header begins; it may go on with the field before it */
    MAILBOX_FILTER_DROPPED_LINE, /* the same behind a field that was taken out */
    MAILBOX_FILTER_MATCHING,     /* the name may still become Return-Path */
    MAILBOX_FILTER_MATCHED,      /* it has; blanks before the colon */
    MAILBOX_FILTER_NAME,
    MAILBOX_FILTER_NAME_OVER, /* blanks before the colon of another field */
    MAILBOX_FILTER_VALUE,
    MAILBOX_FILTER_DROPPING,
    MAILBOX_FILTER_BODY,
};

enum { MAILBOX_FILTER_HELD = 256 };

struct mailbox_filter {
    enum mailbox_filter_state state;
    bool saw_cr;                    /* the last octet of a value was CR */
    size_t matched;                 /* octets of the name that match */
    char held[MAILBOX_FILTER_HELD]; /* a name that a piece's end cut, while it may be the one */
    size_t held_length;
};

void mailbox_filter_take(struct mailbox_filter *filter, struct text octets, mailbox_filter_emit *emit, void *context);
void mailbox_filter_end(struct mailbox_filter *filter, mailbox_filter_emit *emit, void *context);

#endif
