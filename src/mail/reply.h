/* SPDX-License-Identifier: Apache-2.0 */
/* reply: every reply a client can get stands in replies.def: REPLY(name, code, enhanced, explain code, text). The text may hold {0} to {3},
 * filled with a stranger's octets made safe (printable ASCII, else "?"; at most 200 octets each, and the line keeps to 512).
 * A refusal ends with its explain code in brackets, "[relay-not-permitted]", which `portiere explain CODE` explains. */
#ifndef MAIL_REPLY_H
#define MAIL_REPLY_H

#include "base/base.h"

enum reply {
    REPLY_NONE,
#define REPLY(name, number, enhanced_code, explain_code, words) REPLY_##name,
#include "mail/replies.def"
#undef REPLY
    REPLY_COUNT,
};

enum { REPLY_ARGUMENTS = 4 };

struct reply_arguments {
    struct text values[REPLY_ARGUMENTS];
};

struct reply_row {
    struct text name;     /* "RELAY_NOT_PERMITTED" */
    unsigned code;        /* 550 */
    struct text enhanced; /* "5.7.1", empty where RFC 2034 gives none (220, 354, 334, EHLO) */
    struct text explain;  /* "relay-not-permitted", empty for a reply that needs no explaining */
    struct text words;
};

const struct reply_row *reply_row(enum reply reply);
enum reply reply_of_explain_code(struct text code); /* REPLY_NONE when unknown */

/* One line with its CRLF: "550 5.7.1 words [explain]\r\n". arguments may be NULL. False when the buffer is full. */
bool reply_append(struct buffer *b, enum reply reply, const struct reply_arguments *arguments);

#endif
