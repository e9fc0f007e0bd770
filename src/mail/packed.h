/* SPDX-License-Identifier: Apache-2.0 */
/* packed: numbers and texts as the packed forms of this folder write them: numbers in groups of 7 bits, low ones first;
 * a text behind its length. Readers take from the front and believe nothing. */
#ifndef MAIL_PACKED_H
#define MAIL_PACKED_H

#include "base/base.h"

bool packed_append_number(struct buffer *b, uint64_t number);
bool packed_append_text(struct buffer *b, struct text t);
must_check bool packed_take_number(struct text *rest, uint64_t maximum, uint64_t *ret_number);
must_check bool packed_take_text(struct text *rest, struct text *ret_text);

#endif
