/* SPDX-License-Identifier: Apache-2.0 */
#include "record/escape.h"

#include "mail/mail.h"

#include <string.h>

/* Characters beyond ASCII that move a reader's eye or a terminal: C1 controls, marks of direction and width, line and
 * paragraph separators, tags. */
static bool is_unseen(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0x7f, 0x9f},     {0xad, 0xad},       {0x61c, 0x61c},    {0x180e, 0x180e}, {0x200b, 0x200f},
                  {0x2028, 0x202e}, {0x2060, 0x206f},   {0xfe00, 0xfe0f},  {0xfeff, 0xfeff}, {0xfff0, 0xfffb},
                  {0xfffe, 0xffff}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};
    for (size_t i = 0; i < length_of(ranges); i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

static void append_hex(struct buffer *b, struct text octets)
{
    for (size_t i = 0; i < octets.length; i++)
        ignored(buffer_append(b, TEXT("\\x")) &&
                buffer_append_hex(b, text_of(octets.bytes + i, 1))); /* is_full tells the caller */
}

static void append_control(struct buffer *b, char c, enum record_escape how)
{
    if (how == RECORD_ESCAPE_JSON)
        ignored(buffer_append_octet(b, c)); /* JSON's writer has its own for these; is_full tells the caller */
    else if (c == '\n' || c == '\r' || c == '\t')
        ignored(buffer_append(b, c == '\n' ? TEXT("\\n") : c == '\r' ? TEXT("\\r") : TEXT("\\t"))); /* as above */
    else
        append_hex(b, text_of(&c, 1));
}

static size_t plain_length(struct text t)
{
    size_t length = 0;
    while (length < t.length && t.bytes[length] >= ' ' && t.bytes[length] < 127 && t.bytes[length] != '"' &&
           t.bytes[length] != '\\')
        length++;
    return length;
}

void record_escape_append(struct buffer *b, struct text value, enum record_escape how)
{
    while (value.length) {
        uint32_t character;
        struct text before = value;
        ignored(buffer_append(b, text_take(&value, plain_length(value)))); /* is_full tells the caller */
        if (value.length == 0)
            break;
        before = value;
        if (!utf8_take(&value, &character)) {
            append_hex(b, text_take(&value, 1));
            continue;
        }
        struct text octets = text_first(before, before.length - value.length);
        if (character == '\\')
            ignored(buffer_append(b, TEXT("\\\\"))); /* as above */
        else if (character == '"')
            ignored(buffer_append(b, how == RECORD_ESCAPE_QUOTED ? TEXT("\\\"") : octets)); /* as above */
        else if (character < ' ')
            append_control(b, octets.bytes[0], how);
        else if (is_unseen(character))
            append_hex(b, octets);
        else
            ignored(buffer_append(b, octets)); /* as above */
    }
}

static bool hex_value(char c, unsigned *ret_value)
{
    if (octet_is_digit(c))
        *ret_value = (unsigned)(c - '0');
    else if (c >= 'a' && c <= 'f')
        *ret_value = (unsigned)(c - 'a') + 10;
    else
        return false;
    return true;
}

static bool take_escaped(struct text *rest, char *ret_octet)
{
    static const struct {
        char letter, octet;
    } letters[] = {{'n', '\n'}, {'r', '\r'}, {'t', '\t'}, {'"', '"'}, {'\\', '\\'}};
    unsigned high, low;
    if (rest->length == 0)
        return false;
    for (size_t i = 0; i < length_of(letters); i++)
        if (text_take_octet(rest, letters[i].letter)) {
            *ret_octet = letters[i].octet;
            return true;
        }
    if (rest->length < 3 || rest->bytes[0] != 'x' || !hex_value(rest->bytes[1], &high) ||
        !hex_value(rest->bytes[2], &low))
        return false;
    *rest = text_after(*rest, 3);
    *ret_octet = (char)(high << 4 | low);
    return true;
}

bool record_unescape(struct text escaped, struct arena *arena, struct text *ret_value)
{
    if (!text_has_octet(escaped, '\\')) {
        *ret_value = escaped;
        return true;
    }
    char *octets = arena_take(arena, escaped.length);
    size_t length = 0;
    if (!octets)
        return false;
    while (escaped.length) {
        if (!text_take_octet(&escaped, '\\')) {
            octets[length++] = escaped.bytes[0];
            escaped = text_after(escaped, 1);
        } else if (!take_escaped(&escaped, &octets[length++])) {
            return false;
        }
    }
    *ret_value = text_of(octets, length);
    return true;
}

bool record_is_bare(struct text value)
{
    for (size_t i = 0; i < value.length; i++)
        if (value.bytes[i] <= ' ' || value.bytes[i] >= 127 || value.bytes[i] == '"' || value.bytes[i] == '\\')
            return false;
    return value.length > 0;
}

struct text record_cut(struct text value, size_t limit, char *room)
{
    static const struct text mark = TEXT_INIT("[cut]");
    if (value.length <= limit)
        return value;
    size_t length = limit;
    while (length > limit - 3 && ((unsigned char)value.bytes[length] & 0xc0) == 0x80)
        length--;
    memcpy(room, value.bytes, length);
    memcpy(room + length, mark.bytes, mark.length);
    return text_of(room, length + mark.length);
}
