/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/packed.h"

bool packed_append_number(struct buffer *b, uint64_t number)
{
    char octets[10];
    size_t count = 0;
    do {
        octets[count++] = (char)((number & 0x7f) | (number > 0x7f ? 0x80 : 0));
        number >>= 7;
    } while (number);
    return buffer_append(b, text_of(octets, count));
}

bool packed_append_text(struct buffer *b, struct text t)
{
    return packed_append_number(b, t.length) && buffer_append(b, t);
}

bool packed_take_number(struct text *rest, uint64_t maximum, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < rest->length && i < 10; i++) {
        uint64_t octet = (unsigned char)rest->bytes[i];
        if (i == 9 && octet > 1)
            return false;
        number |= (octet & 0x7f) << (7 * i);
        if (octet & 0x80)
            continue;
        if (number > maximum)
            return false;
        *rest = text_after(*rest, i + 1);
        *ret_number = number;
        return true;
    }
    return false;
}

bool packed_take_text(struct text *rest, struct text *ret_text)
{
    struct text after = *rest;
    uint64_t length;
    if (!packed_take_number(&after, SIZE_MAX, &length) || length > after.length)
        return false;
    *ret_text = text_take(&after, (size_t)length);
    *rest = after;
    return true;
}
