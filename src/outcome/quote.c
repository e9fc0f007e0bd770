/* SPDX-License-Identifier: Apache-2.0 */
#include "outcome/private.h"

struct quoting {
    struct buffer *b;
    struct text indent;
    size_t column;
    bool may_utf8;
};

static bool is_gap(char c)
{
    return octet_is_blank(c) || c == '\n';
}

static bool is_control(uint32_t character)
{
    return character < ' ' || (character >= 127 && character <= 0x9f) || character == 0x2028 || character == 0x2029 ||
           (character >= 0x202a && character <= 0x202e) || (character >= 0x2066 && character <= 0x2069);
}

/* The next character as it is shown; shown has room for four octets of text or one escape. */
static void append_character(const struct quoting *q, struct buffer *shown, struct text *rest)
{
    struct text before = *rest;
    uint32_t character;
    if (q->may_utf8 && (unsigned char)before.bytes[0] > 127 && utf8_take(rest, &character)) {
        if (!is_control(character)) {
            buffer_append(shown, text_first(before, before.length - rest->length));
            return;
        }
        *rest = before;
    }
    char c = text_take(rest, 1).bytes[0];
    if (c > ' ' && c <= '~' && c != '\\') {
        buffer_append_octet(shown, c);
        return;
    }
    ignored(buffer_append_format(shown, "\\x%02X",
                                 (unsigned)(unsigned char)c)); /* the caller looks at the report's buffer */
}

static void put_word(struct quoting *q, struct text word, bool is_first)
{
    bool is_folded = !is_first && q->column + 1 + word.length > OUTCOME_LINE;
    if (is_folded) {
        buffer_append(q->b, TEXT("\r\n"));
        buffer_append(q->b, q->indent);
        q->column = q->indent.length;
    } else if (!is_first) {
        buffer_append_octet(q->b, ' ');
        q->column++;
    }
    buffer_append(q->b, word);
    q->column += word.length;
}

static void quote(struct quoting *q, struct text t)
{
    struct buffer word released_by(buffer_done) = buffer_new(OUTCOME_WORD);
    bool is_first = true;
    while (t.length) {
        while (t.length && is_gap(t.bytes[0]))
            t = text_after(t, 1);
        while (t.length && !is_gap(t.bytes[0]) && word.length + 4 <= OUTCOME_WORD)
            append_character(q, &word, &t);
        if (word.length) {
            put_word(q, buffer_text(&word), is_first);
            is_first = false;
        }
        buffer_clear(&word);
    }
}

void outcome_quote(struct buffer *b, struct text t, size_t column, struct text indent)
{
    quote(&(struct quoting){.b = b, .indent = indent, .column = column}, t);
}

void outcome_quote_utf8(struct buffer *b, struct text t, size_t column, struct text indent)
{
    quote(&(struct quoting){.b = b, .indent = indent, .column = column, .may_utf8 = true}, t);
}
