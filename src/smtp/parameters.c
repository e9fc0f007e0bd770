/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/parameters.h"

enum { ROWS_LIMIT = 32 };

static bool is_keyword(struct text word)
{
    for (size_t i = 0; i < word.length; i++)
        if (!octet_is_letter(word.bytes[i]) && !octet_is_digit(word.bytes[i]) && (word.bytes[i] != '-' || i == 0))
            return false;
    return word.length != 0;
}

static size_t find_row(const struct parameter_row *rows, size_t count, struct text word)
{
    size_t row = 0;
    while (row < count && !text_equals_ignoring_case(rows[row].word, word))
        row++;
    return row;
}

enum reply parameters_read(struct text rest, const struct parameter_row *rows, size_t count, struct parameters *p,
                           struct text *ret_word)
{
    bool was_seen[ROWS_LIMIT] = {false};
    must(count <= ROWS_LIMIT);
    for (;;) {
        struct text value = text_take_word(&rest);
        if (value.length == 0)
            return REPLY_NONE;
        bool has_value = text_has_octet(value, '=');
        struct text word = text_take_until(&value, '=');
        *ret_word = word;
        if (!is_keyword(word))
            return REPLY_PARAMETER_SYNTAX;
        size_t row = find_row(rows, count, word);
        if (row == count)
            return REPLY_PARAMETER_UNKNOWN;
        if (was_seen[row])
            return REPLY_PARAMETER_TWICE;
        was_seen[row] = true;
        if (has_value != rows[row].takes_value)
            return REPLY_PARAMETER_SYNTAX;
        enum reply reply = rows[row].read(p, value);
        if (reply != REPLY_NONE)
            return reply;
    }
}

static bool hex_value(char c, unsigned *ret_value)
{
    size_t place = text_find_octet(TEXT("0123456789ABCDEF"), c);
    if (place == 16)
        return false;
    *ret_value = (unsigned)place;
    return true;
}

bool xtext_decode(struct text encoded, struct arena *arena, struct text *ret_decoded)
{
    char *decoded = arena_take(arena, encoded.length + 1);
    size_t length = 0;
    if (!decoded)
        return false;
    for (size_t i = 0; i < encoded.length; i++) {
        char c = encoded.bytes[i];
        if (c == '+') {
            unsigned high;
            unsigned low;
            if (encoded.length - i < 3 || !hex_value(encoded.bytes[i + 1], &high) ||
                !hex_value(encoded.bytes[i + 2], &low))
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '=' || c <= ' ') {
            return false;
        }
        if ((unsigned char)c < ' ' || (unsigned char)c > '~')
            return false;
        decoded[length++] = c;
    }
    *ret_decoded = text_of(decoded, length);
    return true;
}
