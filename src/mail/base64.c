/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_append(struct buffer *b, struct text octets)
{
    char *room = buffer_room(b, (octets.length + 2) / 3 * 4);
    if (!room)
        return false;
    size_t written = 0;
    while (octets.length) {
        struct text three = text_take(&octets, 3);
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; i++)
            bits = bits << 8 | (i < three.length ? (unsigned char)three.bytes[i] : 0u);
        for (size_t i = 0; i < 4; i++)
            room[written++] = i <= three.length ? digits[bits >> (18 - 6 * i) & 63] : '=';
    }
    buffer_grew(b, written);
    return true;
}

static bool digit_value(char c, uint32_t *ret_value)
{
    size_t place = text_find_octet(text_of(digits, 64), c);
    if (place == 64)
        return false;
    *ret_value = (uint32_t)place;
    return true;
}

/* Four digits of which the last padding ones are "=". */
static bool decode_four(struct text four, size_t padding, char octets[3])
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t value = 0;
        if (i < 4 - padding && !digit_value(four.bytes[i], &value))
            return false;
        bits = bits << 6 | value;
    }
    uint32_t spare = padding == 2 ? 0xffff : padding == 1 ? 0xff : 0;
    if (bits & spare)
        return false;
    for (size_t i = 0; i < 3; i++)
        octets[i] = (char)(bits >> (16 - 8 * i) & 255);
    return true;
}

bool base64_append_decoded(struct buffer *b, struct text encoded)
{
    if (encoded.length % 4 != 0)
        return false;
    size_t before = b->length;
    while (encoded.length) {
        struct text four = text_take(&encoded, 4);
        size_t padding = 0;
        if (encoded.length == 0)
            while (padding < 2 && four.bytes[3 - padding] == '=')
                padding++;
        char octets[3];
        if (!decode_four(four, padding, octets) || !buffer_append(b, text_of(octets, 3 - padding))) {
            b->length = before;
            return false;
        }
    }
    return true;
}
