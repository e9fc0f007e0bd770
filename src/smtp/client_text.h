/* SPDX-License-Identifier: Apache-2.0 */
/* client_text: a message on its way out by DATA: dots are stuffed, and whatever the message holds, the only line end on
 * the wire is CR LF and the only CR LF . CR LF is the last one: a bare CR or LF becomes CR LF (RFC 5321 sections 2.3.8
 * and 4.5.2). In any pieces. */
#ifndef SMTP_CLIENT_TEXT_H
#define SMTP_CLIENT_TEXT_H

#include "base/base.h"

struct smtp_client_text {
    bool is_in_line;   /* octets stand since the last line end */
    bool is_behind_cr; /* the last octet was a CR, not written yet */
};

/* The most octets that count octets of a message can become, its end included. */
size_t smtp_client_text_limit(size_t count);
/* Room for smtp_client_text_limit is the caller's to see to. */
void smtp_client_text_append(struct smtp_client_text *t, struct text octets, struct buffer *output);
void smtp_client_text_end(struct smtp_client_text *t, struct buffer *output);

#endif
