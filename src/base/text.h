/* SPDX-License-Identifier: Apache-2.0 */
/* text: octets with a length, borrowed. It may hold any octet, NUL too; it is never terminated.
 * Parsers take from the front of a text and leave the rest; nothing here allocates. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/check.h"

struct text {
    const char *bytes;
    size_t length;
};

#define TEXT(literal) ((struct text){.bytes = "" literal, .length = sizeof(literal) - 1})
#define TEXT_INIT(literal) {.bytes = "" literal, .length = sizeof(literal) - 1} /* for constant tables */
#define TEXT_NONE ((struct text){.bytes = "", .length = 0})
/* For formats: "%.*s", TEXT_ARGUMENTS(t) */
#define TEXT_ARGUMENTS(t) (int)(t).length, (t).bytes

struct text text_of(const char *bytes, size_t length);
/* The text of a terminated string; only for constants and what the kernel hands us. */
struct text text_of_terminated(const char *string);

bool text_is_empty(struct text t);
bool text_equals(struct text a, struct text b);
bool text_equals_ignoring_case(struct text a, struct text b); /* ASCII case only */
bool text_starts_with(struct text t, struct text prefix);
bool text_starts_with_ignoring_case(struct text t, struct text prefix);
bool text_ends_with(struct text t, struct text suffix);
bool text_ends_with_ignoring_case(struct text t, struct text suffix);
bool text_has_octet(struct text t, char octet);
int text_compare(struct text a, struct text b); /* as memcmp, shorter first */

/* The place of the first octet / text, or t.length. */
size_t text_find_octet(struct text t, char octet);
size_t text_find(struct text t, struct text what);

struct text text_first(struct text t, size_t count);             /* at most count octets */
struct text text_after(struct text t, size_t count);             /* without the first count octets */
struct text text_trimmed(struct text t);                         /* without SP, HT, CR, LF at both ends */
struct text text_take(struct text *rest, size_t count);          /* takes count octets from the front */
struct text text_take_until(struct text *rest, char octet);      /* up to octet; the octet is dropped; all when absent */
struct text text_take_word(struct text *rest);                   /* skips blanks (SP, HT), takes up to the next blank */
bool text_take_octet(struct text *rest, char octet);             /* takes it when it comes first */
bool text_take_prefix_ignoring_case(struct text *rest, struct text prefix);

/* Decimal digits only, the whole text, 1 to 20 of them; false when it is no number or above the maximum. */
must_check bool text_number(struct text t, uint64_t maximum, uint64_t *ret_number);

static inline bool octet_is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool octet_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static inline bool octet_is_blank(char c)
{
    return c == ' ' || c == '\t';
}
static inline char octet_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}
static inline char octet_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

#endif
