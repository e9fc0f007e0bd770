/* SPDX-License-Identifier: Apache-2.0 */
/* buffer: octets that grow up to a limit given at birth. Appending past the limit appends nothing and is remembered
 * (is_full), so that a writer may check once at the end. Owned by whoever inits it; done releases and clears. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/text.h"

struct buffer {
    char *bytes;
    size_t length;
    size_t capacity;
    size_t limit; /* length never passes it */
    bool is_full; /* something did not fit */
};

struct buffer buffer_new(size_t limit); /* allocates nothing yet */
void buffer_done(struct buffer *b);     /* released_by(buffer_done) */
void buffer_clear(struct buffer *b);    /* keeps the memory, forgets is_full */

struct text buffer_text(const struct buffer *b); /* borrowed until the next append */
size_t buffer_space(const struct buffer *b);

/* Each returns false, and marks is_full, when the limit forbids it. */
bool buffer_append(struct buffer *b, struct text t);
bool buffer_append_octet(struct buffer *b, char octet);
bool buffer_append_number(struct buffer *b, uint64_t number);
bool buffer_append_format(struct buffer *b, const char *format, ...) printf_like(2, 3);
bool buffer_append_hex(struct buffer *b, struct text t); /* lower case */

/* Makes room for count more octets and returns where they go; NULL over the limit. Then buffer_grew tells how many. */
char *buffer_room(struct buffer *b, size_t count);
void buffer_grew(struct buffer *b, size_t count);
void buffer_drop_front(struct buffer *b, size_t count);
void buffer_wipe_done(struct buffer *b); /* as done, and wiped first: for secrets */

#endif
