/* SPDX-License-Identifier: Apache-2.0 */
/* reply_reader: one reply of a server (RFC 5321 section 4.2), fed in any pieces. The class is the first digit; the code
 * is that of the last line. It is bounded: SMTP_REPLY_OCTETS in all, of which SMTP_REPLY_TEXT are kept. The text holds
 * any octet but line feeds, which part its lines; whoever shows it escapes it. It takes no octet behind the reply: what
 * comes unasked is the caller's to judge. */
#ifndef SMTP_REPLY_READER_H
#define SMTP_REPLY_READER_H

#include "base/base.h"

enum { SMTP_REPLY_OCTETS = 64 * 1024, SMTP_REPLY_TEXT = 4096 };

enum smtp_reply_state {
    SMTP_REPLY_MORE, /* all was taken, the reply is not whole */
    SMTP_REPLY_WHOLE,
    SMTP_REPLY_MALFORMED, /* no reply: out of step for good */
    SMTP_REPLY_ENDLESS,   /* over SMTP_REPLY_OCTETS */
};

struct smtp_reply {
    unsigned code;        /* 200 to 599 */
    struct text enhanced; /* "5.1.1" when the first line has one of the code's class, else empty (RFC 2034) */
    struct text text;     /* as it came, with the enhanced code, without the codes; lines are parted by a line feed */
};

struct smtp_reply_reader {
    struct buffer text;
    size_t octets; /* of this reply, read so far */
    unsigned code;
    uint8_t place; /* enum place: where in a line it stands */
    uint8_t digits;
    bool goes_on; /* the line has a "-" behind its code */
    bool has_line;
};

void smtp_reply_reader_init(struct smtp_reply_reader *r);
void smtp_reply_reader_done(struct smtp_reply_reader *r);
void smtp_reply_reader_next(struct smtp_reply_reader *r); /* forgets the reply */

/* Takes from the front of input, at most to the end of the reply. After another state than MORE it wants
 * smtp_reply_reader_next. */
must_check enum smtp_reply_state smtp_reply_reader_feed(struct smtp_reply_reader *r, struct text *input);
/* Valid until the next feed; only after SMTP_REPLY_WHOLE. */
struct smtp_reply smtp_reply_reader_get(const struct smtp_reply_reader *r);
/* What came of a reply that is none: for the log. */
struct text smtp_reply_reader_seen(const struct smtp_reply_reader *r);

/* The enhanced code at the front of text when it is one of that class (the first digit of code), else empty. */
struct text smtp_enhanced_code(struct text text, unsigned code);

#endif
