/* SPDX-License-Identifier: Apache-2.0 */
/* message_text: the text of a message as it comes in by DATA or BDAT. Only CR LF . CR LF ends DATA (RFC 5321
 * section 4.1.1.4), and a CR LF behind another CR is no line end. It hands out large spans, takes the stuffed dots
 * away, turns bare CR and LF into CR LF when lenient, and notes what refuses the message: then nothing more is handed
 * out, but the end is still looked for. */
#ifndef SMTP_MESSAGE_TEXT_H
#define SMTP_MESSAGE_TEXT_H

#include "smtp/server.h"

enum message_text_state {
    MESSAGE_TEXT_START, /* behind a CR LF, or at the very beginning */
    MESSAGE_TEXT_MIDDLE,
    MESSAGE_TEXT_CR,  /* one CR, not handed out yet */
    MESSAGE_TEXT_CRS, /* several */
    MESSAGE_TEXT_DOT, /* a dot behind a CR LF, not handed out yet */
    MESSAGE_TEXT_DOT_CR,
    MESSAGE_TEXT_SOFT_START, /* behind a newline that was made out of a bare CR or LF */
    MESSAGE_TEXT_SOFT_DOT,
};

struct message_text {
    uint8_t state;  /* enum message_text_state */
    bool has_dots;  /* DATA */
    bool is_binary; /* BODY=BINARYMIME: octets as they are */
    bool is_lenient;
    bool has_bare; /* a bare CR or LF was there; refuses the message unless lenient */
    bool has_nul;
    bool is_over; /* over max_size */
    bool is_header_whole;
    uint64_t max_size; /* 0 = no limit */
    uint64_t read;     /* octets read, those of dots and refused text too */
    struct buffer header;
    struct smtp_message message;
};

enum message_text_result {
    MESSAGE_TEXT_MORE, /* the input is used up */
    MESSAGE_TEXT_SPAN, /* span holds the next octets */
    MESSAGE_TEXT_END,  /* the final dot was read */
};

void message_text_init(struct message_text *t, uint64_t max_size, bool has_dots, bool is_binary, bool is_lenient);
void message_text_done(struct message_text *t);
enum message_text_result message_text_take(struct message_text *t, struct text *input, struct text *ret_span);
/* BDAT only: the last chunk is read. True when there is one more span. */
must_check bool message_text_finish(struct message_text *t, struct text *ret_span);
bool message_text_is_refused(const struct message_text *t);
/* At the end: reads the facts out of the header. */
void message_text_find_facts(struct message_text *t);

#endif
