/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/utf8.h"

static const struct {
    unsigned char first_low, first_high;
    unsigned extra;
    uint32_t minimum;
} forms[] = {
    {.first_low = 0x00, .first_high = 0x7f, .extra = 0, .minimum = 0},
    {.first_low = 0xc2, .first_high = 0xdf, .extra = 1, .minimum = 0x80},
    {.first_low = 0xe0, .first_high = 0xef, .extra = 2, .minimum = 0x800},
    {.first_low = 0xf0, .first_high = 0xf4, .extra = 3, .minimum = 0x10000},
};

bool utf8_take(struct text *rest, uint32_t *ret_character)
{
    if (rest->length == 0)
        return false;
    unsigned char first = (unsigned char)rest->bytes[0];
    size_t form = 0;
    while (form < length_of(forms) && (first < forms[form].first_low || first > forms[form].first_high))
        form++;
    if (form == length_of(forms) || rest->length <= forms[form].extra)
        return false;
    uint32_t character = forms[form].extra == 0 ? first : first & (0x3fu >> forms[form].extra);
    for (size_t i = 1; i <= forms[form].extra; i++) {
        unsigned char next = (unsigned char)rest->bytes[i];
        if ((next & 0xc0) != 0x80)
            return false;
        character = character << 6 | (next & 0x3fu);
    }
    bool is_surrogate = character >= 0xd800 && character <= 0xdfff;
    if (character < forms[form].minimum || character > 0x10ffff || is_surrogate)
        return false;
    *rest = text_after(*rest, forms[form].extra + 1);
    *ret_character = character;
    return true;
}

bool utf8_is_valid(struct text t)
{
    uint32_t character;
    while (t.length)
        if (!utf8_take(&t, &character))
            return false;
    return true;
}

bool utf8_is_ascii(struct text t)
{
    for (size_t i = 0; i < t.length; i++)
        if ((unsigned char)t.bytes[i] > 127)
            return false;
    return true;
}
