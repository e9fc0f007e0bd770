/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <string.h>

struct text text_of(const char *bytes, size_t length)
{
    return (struct text){.bytes = length ? bytes : "", .length = length};
}

struct text text_of_terminated(const char *string)
{
    return string ? text_of(string, strlen(string)) : TEXT_NONE;
}

bool text_is_empty(struct text t)
{
    return t.length == 0;
}

bool text_equals(struct text a, struct text b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}

bool text_equals_ignoring_case(struct text a, struct text b)
{
    if (a.length != b.length)
        return false;
    for (size_t i = 0; i < a.length; i++)
        if (octet_lower(a.bytes[i]) != octet_lower(b.bytes[i]))
            return false;
    return true;
}

bool text_starts_with(struct text t, struct text prefix)
{
    return t.length >= prefix.length && text_equals(text_first(t, prefix.length), prefix);
}

bool text_starts_with_ignoring_case(struct text t, struct text prefix)
{
    return t.length >= prefix.length && text_equals_ignoring_case(text_first(t, prefix.length), prefix);
}

bool text_ends_with(struct text t, struct text suffix)
{
    return t.length >= suffix.length && text_equals(text_after(t, t.length - suffix.length), suffix);
}

bool text_ends_with_ignoring_case(struct text t, struct text suffix)
{
    return t.length >= suffix.length && text_equals_ignoring_case(text_after(t, t.length - suffix.length), suffix);
}

bool text_has_octet(struct text t, char octet)
{
    return text_find_octet(t, octet) < t.length;
}

int text_compare(struct text a, struct text b)
{
    size_t shared = smaller(a.length, b.length);
    int order = shared ? memcmp(a.bytes, b.bytes, shared) : 0;
    if (order != 0)
        return order;
    return a.length < b.length ? -1 : a.length > b.length;
}

size_t text_find_octet(struct text t, char octet)
{
    const char *at = t.length ? memchr(t.bytes, octet, t.length) : NULL;
    return at ? (size_t)(at - t.bytes) : t.length;
}

size_t text_find(struct text t, struct text what)
{
    if (what.length == 0)
        return 0;
    const char *at = t.length ? memmem(t.bytes, t.length, what.bytes, what.length) : NULL;
    return at ? (size_t)(at - t.bytes) : t.length;
}

struct text text_first(struct text t, size_t count)
{
    return text_of(t.bytes, smaller(count, t.length));
}

struct text text_after(struct text t, size_t count)
{
    size_t skipped = smaller(count, t.length);
    return text_of(t.bytes + skipped, t.length - skipped);
}

static bool octet_is_space(char c)
{
    return octet_is_blank(c) || c == '\r' || c == '\n';
}

struct text text_trimmed(struct text t)
{
    while (t.length && octet_is_space(t.bytes[0]))
        t = text_after(t, 1);
    while (t.length && octet_is_space(t.bytes[t.length - 1]))
        t.length--;
    return t;
}

struct text text_take(struct text *rest, size_t count)
{
    struct text taken = text_first(*rest, count);
    *rest = text_after(*rest, count);
    return taken;
}

struct text text_take_until(struct text *rest, char octet)
{
    size_t place = text_find_octet(*rest, octet);
    struct text taken = text_first(*rest, place);
    *rest = text_after(*rest, place + 1);
    return taken;
}

struct text text_take_word(struct text *rest)
{
    size_t start = 0;
    while (start < rest->length && octet_is_blank(rest->bytes[start]))
        start++;
    size_t end = start;
    while (end < rest->length && !octet_is_blank(rest->bytes[end]))
        end++;
    struct text word = text_after(text_first(*rest, end), start);
    *rest = text_after(*rest, end);
    return word;
}

bool text_take_octet(struct text *rest, char octet)
{
    if (rest->length == 0 || rest->bytes[0] != octet)
        return false;
    *rest = text_after(*rest, 1);
    return true;
}

bool text_take_prefix_ignoring_case(struct text *rest, struct text prefix)
{
    if (!text_starts_with_ignoring_case(*rest, prefix))
        return false;
    *rest = text_after(*rest, prefix.length);
    return true;
}

bool text_number(struct text t, uint64_t maximum, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (t.length == 0 || t.length > 20)
        return false;
    for (size_t i = 0; i < t.length; i++) {
        if (!octet_is_digit(t.bytes[i]))
            return false;
        uint64_t digit = (uint64_t)(t.bytes[i] - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    if (number > maximum)
        return false;
    *ret_number = number;
    return true;
}
