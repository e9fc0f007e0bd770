/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/reply_reader.h"

enum { MALFORMED_SHOWN = 80 };
enum place { PLACE_CODE, PLACE_SEPARATOR, PLACE_BARE_CR, PLACE_TEXT };

void smtp_reply_reader_init(struct smtp_reply_reader *r)
{
    *r = (struct smtp_reply_reader){.text = buffer_new(SMTP_REPLY_TEXT)};
}

void smtp_reply_reader_done(struct smtp_reply_reader *r)
{
    buffer_done(&r->text);
}

void smtp_reply_reader_next(struct smtp_reply_reader *r)
{
    buffer_clear(&r->text);
    *r = (struct smtp_reply_reader){.text = r->text};
}

/* Text over the limit is read and forgotten: buffer_append would drop a whole span. */
static void keep(struct smtp_reply_reader *r, struct text span)
{
    ignored(buffer_append(&r->text, text_first(span, buffer_space(&r->text)))); /* it was cut to fit */
}

static enum smtp_reply_state end_line(struct smtp_reply_reader *r)
{
    while (r->text.length && r->text.bytes[r->text.length - 1] == '\r')
        r->text.length--;
    r->has_line = true;
    r->place = PLACE_CODE;
    r->digits = 0;
    return r->goes_on ? SMTP_REPLY_MORE : SMTP_REPLY_WHOLE;
}

static enum smtp_reply_state take_code(struct smtp_reply_reader *r, char c)
{
    char least = r->digits == 0 ? '2' : '0';
    char most = r->digits == 0 ? '5' : '9';
    if (c < least || c > most) {
        keep(r, text_of(&c, 1));
        return SMTP_REPLY_MALFORMED;
    }
    r->code = (r->digits == 0 ? 0 : r->code * 10) + (unsigned)(c - '0');
    if (++r->digits == 3)
        r->place = PLACE_SEPARATOR;
    return SMTP_REPLY_MORE;
}

/* RFC 5321 section 4.2: a client must take a code without text, and without a blank behind it. */
static enum smtp_reply_state take_separator(struct smtp_reply_reader *r, char c)
{
    if (r->has_line)
        keep(r, TEXT("\n"));
    r->goes_on = c == '-';
    r->place = c == '\r' ? PLACE_BARE_CR : PLACE_TEXT;
    if (c == ' ' || c == '-' || c == '\r')
        return SMTP_REPLY_MORE;
    if (c == '\n')
        return end_line(r);
    keep(r, text_of(&c, 1));
    return SMTP_REPLY_MALFORMED;
}

static enum smtp_reply_state take_octet(struct smtp_reply_reader *r, char c)
{
    if (r->place == PLACE_CODE)
        return take_code(r, c);
    if (r->place == PLACE_SEPARATOR)
        return take_separator(r, c);
    if (c == '\n')
        return end_line(r);
    return c == '\r' ? SMTP_REPLY_MORE : SMTP_REPLY_MALFORMED;
}

enum smtp_reply_state smtp_reply_reader_feed(struct smtp_reply_reader *r, struct text *input)
{
    enum smtp_reply_state state = SMTP_REPLY_MORE;
    while (input->length && state == SMTP_REPLY_MORE) {
        if (r->octets >= SMTP_REPLY_OCTETS)
            return SMTP_REPLY_ENDLESS;
        size_t count = 1;
        if (r->place == PLACE_TEXT) {
            count = smaller(text_find_octet(*input, '\n'), SMTP_REPLY_OCTETS - r->octets);
            keep(r, text_first(*input, count));
        }
        if (count == 0) {
            count = 1;
            state = end_line(r);
        } else if (r->place != PLACE_TEXT) {
            state = take_octet(r, input->bytes[0]);
        }
        *input = text_after(*input, count);
        r->octets += count;
        if (state == SMTP_REPLY_MALFORMED)
            keep(r, text_first(*input, MALFORMED_SHOWN));
    }
    return state;
}

/* Where a number of one to three digits at the front ends; 0: there is none. */
static size_t number_length(struct text t, size_t from)
{
    size_t end = from;
    while (end < t.length && octet_is_digit(t.bytes[end]))
        end++;
    return end - from >= 1 && end - from <= 3 ? end : 0;
}

struct text smtp_enhanced_code(struct text text, unsigned code)
{
    if (text.length < 5 || text.bytes[1] != '.' || text.bytes[0] != (char)('0' + code / 100 % 10))
        return TEXT_NONE;
    size_t subject = number_length(text, 2);
    if (subject == 0 || subject >= text.length || text.bytes[subject] != '.')
        return TEXT_NONE;
    size_t detail = number_length(text, subject + 1);
    bool is_ended =
        detail && (detail == text.length || octet_is_blank(text.bytes[detail]) || text.bytes[detail] == '\n');
    return is_ended ? text_first(text, detail) : TEXT_NONE;
}

struct smtp_reply smtp_reply_reader_get(const struct smtp_reply_reader *r)
{
    struct text text = buffer_text(&r->text);
    return (struct smtp_reply){.code = r->code, .text = text, .enhanced = smtp_enhanced_code(text, r->code)};
}

struct text smtp_reply_reader_seen(const struct smtp_reply_reader *r)
{
    return buffer_text(&r->text);
}
