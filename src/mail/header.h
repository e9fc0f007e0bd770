/* SPDX-License-Identifier: Apache-2.0 */
/* header: reads the header of a message (RFC 5322 section 2.2) without changing it. One definition of a line (CRLF) and one of the header's
 * end, for every reader. Time is linear in the octets read, the stack is flat. */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "mail/address.h"

struct header_field {
    struct text name;  /* without the colon */
    struct text value; /* folded lines included, without the last CRLF */
    struct text whole; /* the octets of the field, CRLF included */
};

/* Takes the next field from the front; false at the end of the header (blank line, a line that is no field, or no more octets). rest is left
 * at the first octet that is no field. */
must_check bool header_take_field(struct text *rest, struct header_field *ret_field);

/* Where the body begins: behind the blank line, or where the first line stands that is no field. */
size_t header_length(struct text message);

/* The address of a From, Sender or Reply-To value: the first addr-spec; groups, comments, display names and route parts are skipped.
 * count tells how many addresses there are, at most 1,000 are counted. False when there is none. */
must_check bool header_first_address(struct text value, struct address *ret_address, size_t *ret_count);

/* Appends a display name: as an atom or quoted string, or as an encoded word (RFC 2047, UTF-8, B) when it is not ASCII. */
void header_append_phrase(struct buffer *b, struct text name);

#endif
