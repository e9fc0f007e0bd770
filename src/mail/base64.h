/* SPDX-License-Identifier: Apache-2.0 */
/* base64: RFC 4648 section 4, strict both ways: padding is demanded, nothing else is allowed, unused bits are zero. */
#ifndef MAIL_BASE64_H
#define MAIL_BASE64_H

#include "base/base.h"

bool base64_append(struct buffer *b, struct text octets); /* false: the buffer is full */
/* False when it is not base64, or the buffer is full; the buffer is unchanged then. */
must_check bool base64_append_decoded(struct buffer *b, struct text encoded);

#endif
