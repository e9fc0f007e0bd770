/* SPDX-License-Identifier: Apache-2.0 */
/* utf8: is it UTF-8 (RFC 3629): shortest forms only, no surrogates, nothing over U+10FFFF. */
#ifndef MAIL_UTF8_H
#define MAIL_UTF8_H

#include "base/base.h"

/* Takes one character from the front; false, and rest untouched, when what stands there is none. */
must_check bool utf8_take(struct text *rest, uint32_t *ret_character);
bool utf8_is_valid(struct text t);
bool utf8_is_ascii(struct text t);

#endif
