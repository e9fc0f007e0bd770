/* SPDX-License-Identifier: Apache-2.0 */
/* parameters: what stands behind the address in MAIL and RCPT (RFC 5321 section 4.1.1.11), read by a table: one row a
 * keyword. */
#ifndef SMTP_PARAMETERS_H
#define SMTP_PARAMETERS_H

#include "smtp/server_parts.h"

/* What the parameters of one command come to; the texts are decoded and stand in the transaction's arena. */
struct parameters {
    const struct smtp_server_options *options;
    struct arena *arena;
    uint64_t size;
    enum envelope_body body;
    enum envelope_return ret;
    bool is_utf8;
    struct text envid;
    unsigned notify;
    struct text original;
};

struct parameter_row {
    struct text word;
    bool takes_value;
    enum reply (*read)(struct parameters *p, struct text value); /* REPLY_NONE: well */
};

/* Reads them all. On failure ret_word names the parameter, for the reply. */
must_check enum reply parameters_read(struct text rest, const struct parameter_row *rows, size_t count,
                                      struct parameters *p, struct text *ret_word);
/* xtext (RFC 3461 section 4) into the arena. Controls are refused, encoded or not: nothing here may ever end a line of
 * a report. */
must_check bool xtext_decode(struct text encoded, struct arena *arena, struct text *ret_decoded);

#endif
