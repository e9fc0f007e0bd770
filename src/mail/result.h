/* SPDX-License-Identifier: Apache-2.0 */
/* result: how a try for one recipient ended. Packed as one text in the message `delivered` and in the spool's journal:
 * class octet, then reply code, enhanced code, who said it, and the reply text. Recipients default to deferred: only proof moves them. */
#ifndef MAIL_RESULT_H
#define MAIL_RESULT_H

#include "base/base.h"

enum result_class {
    RESULT_DEFERRED,  /* try again later */
    RESULT_DELIVERED, /* in a mailbox */
    RESULT_RELAYED,   /* taken by the next host */
    RESULT_RELAYED_WITHOUT_DSN, /* the next host does not offer DSN: RFC 3461 section 5.2.2 */
    RESULT_FAILED,    /* for good */
};

struct result {
    enum result_class class;
    unsigned code;         /* the SMTP reply code, 0 when none was heard */
    struct text enhanced;  /* "5.1.1"; never empty once packed */
    struct text host;      /* "mx.fuori.test [127.0.0.1]:25"; empty for a local one */
    struct text stage;     /* "connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "end-of-data", "mailbox", "dns" */
    struct text text;      /* the reply's text, or ours in its place; any octets */
};

bool result_pack(struct buffer *b, const struct result *r);
must_check bool result_unpack(struct text packed, struct result *ret_result);
struct text result_class_word(enum result_class class); /* "delivered" ... */

#endif
