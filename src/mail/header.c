/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/header.h"

#include "mail/base64.h"
#include "mail/utf8.h"

enum { ADDRESS_COUNT_LIMIT = 1000, ENCODED_OCTETS = 45 /* 75 octets of encoded word: RFC 2047 section 2 */ };

/* Octets up to and with the next CRLF, or all of them. */
static size_t line_length(struct text t)
{
    size_t end = text_find(t, TEXT("\r\n"));
    return end == t.length ? end : end + 2;
}

/* RFC 5322 section 3.6.8; blanks before the colon are the obsolete form of section 4.5. 0: the line is no field. */
static size_t field_name_length(struct text line)
{
    size_t length = 0;
    while (length < line.length && line.bytes[length] > ' ' && line.bytes[length] < 127 && line.bytes[length] != ':')
        length++;
    size_t colon = length;
    while (colon < line.length && octet_is_blank(line.bytes[colon]))
        colon++;
    return colon < line.length && line.bytes[colon] == ':' ? length : 0;
}

bool header_take_field(struct text *rest, struct header_field *ret_field)
{
    size_t end = line_length(*rest);
    size_t name_length = field_name_length(text_first(*rest, end));
    if (name_length == 0)
        return false;
    while (end < rest->length && octet_is_blank(rest->bytes[end]))
        end += line_length(text_after(*rest, end));
    struct text whole = text_take(rest, end);
    struct text value = text_after(whole, text_find_octet(whole, ':') + 1);
    if (text_ends_with(value, TEXT("\r\n")))
        value.length -= 2;
    *ret_field = (struct header_field){.name = text_first(whole, name_length), .value = value, .whole = whole};
    return true;
}

size_t header_length(struct text message)
{
    struct text rest = message;
    struct header_field field;
    while (header_take_field(&rest, &field))
        ;
    if (text_starts_with(rest, TEXT("\r\n")))
        rest = text_after(rest, 2);
    return message.length - rest.length;
}

/* What the scanner of an address list has seen of the element that it stands in. Nothing here grows with the input. */
struct list_element {
    size_t start, end;   /* the octets outside comments and blanks; start == end: none yet */
    bool is_broken;      /* there is a gap between them: no bare addr-spec */
    size_t angle, close; /* places of "<" and ">"; close 0: no angle address */
};

static bool octet_is_space(char c)
{
    return octet_is_blank(c) || c == '\r' || c == '\n';
}

/* The place behind the comment, quoted string or domain literal that begins at i, or the value's end. */
static size_t skip_enclosed(struct text value, size_t i)
{
    char opening = value.bytes[i];
    char closing = opening == '(' ? ')' : opening == '[' ? ']' : '"';
    size_t depth = 1;
    for (i++; i < value.length; i++) {
        char c = value.bytes[i];
        if (c == '\\')
            i++;
        else if (c == closing && --depth == 0)
            return i + 1;
        else if (c == '(' && opening == '(')
            depth++;
    }
    return value.length;
}

static size_t skip_angle(struct text value, size_t i)
{
    for (i++; i < value.length; i++) {
        if (value.bytes[i] == '>')
            return i + 1;
        if (value.bytes[i] == '"')
            i = skip_enclosed(value, i) - 1;
    }
    return value.length;
}

static bool element_address(struct text value, const struct list_element *e, struct address *ret_address)
{
    if (e->close) {
        struct text inside = text_trimmed(text_after(text_first(value, e->close), e->angle + 1));
        struct text path = text_after(text_first(value, e->close + 1), e->angle);
        struct address address;
        if (address_take_path(&path, true, &address) != ADDRESS_OK &&
            address_parse(inside, true, &address) != ADDRESS_OK)
            return false;
        if (address_is_null(&address))
            return false;
        *ret_address = address;
        return true;
    }
    if (e->is_broken || e->start == e->end)
        return false;
    return address_parse(text_after(text_first(value, e->end), e->start), true, ret_address) == ADDRESS_OK;
}

static void element_note(struct list_element *e, size_t from, size_t to)
{
    if (e->start == e->end)
        e->start = from;
    else if (e->end != from)
        e->is_broken = true;
    e->end = to;
}

/* One step of the scanner: notes what stands at i, and returns the place behind it. */
static size_t element_step(struct text value, size_t i, struct list_element *e)
{
    char c = value.bytes[i];
    if (octet_is_space(c))
        return i + 1;
    if (c == '(')
        return skip_enclosed(value, i);
    if (c == '<') {
        size_t end = skip_angle(value, i);
        if (!e->close && value.bytes[end - 1] == '>') {
            e->angle = i;
            e->close = end - 1;
        }
        return end;
    }
    size_t end = c == '"' || c == '[' ? skip_enclosed(value, i) : i + 1;
    element_note(e, i, end);
    return end;
}

bool header_first_address(struct text value, struct address *ret_address, size_t *ret_count)
{
    struct address first;
    size_t count = 0;
    struct list_element element = {0};
    for (size_t i = 0; i <= value.length;) {
        char c = i < value.length ? value.bytes[i] : ',';
        if (c == ':' || c == ',' || c == ';') { /* ":" ends the name of a group */
            struct address address;
            if (c != ':' && count < ADDRESS_COUNT_LIMIT && element_address(value, &element, &address)) {
                if (count++ == 0)
                    first = address;
            }
            element = (struct list_element){0};
            i++;
        } else {
            i = element_step(value, i, &element);
        }
    }
    if (count == 0)
        return false;
    *ret_address = first;
    *ret_count = count;
    return true;
}

static bool phrase_is_atoms(struct text t)
{
    for (size_t i = 0; i < t.length; i++) {
        char c = t.bytes[i];
        bool is_inner_space = c == ' ' && i != 0 && i + 1 != t.length && t.bytes[i - 1] != ' ';
        if (!octet_is_letter(c) && !octet_is_digit(c) && !text_has_octet(TEXT("!#$%&'*+-/=?^_`{|}~"), c) &&
            !is_inner_space)
            return false;
    }
    return t.length != 0 && !text_starts_with(t, TEXT("=?"));
}

static void append_quoted(struct buffer *b, struct text t)
{
    buffer_append_octet(b, '"');
    for (size_t i = 0; i < t.length; i++) {
        char c = t.bytes[i];
        if (c == '"' || c == '\\')
            buffer_append_octet(b, '\\');
        buffer_append_octet(b, c < ' ' || c == 127 ? ' ' : c);
    }
    buffer_append_octet(b, '"');
}

/* Whole characters in each word: RFC 2047 section 5. What is no UTF-8 or a control becomes "?". */
static void append_encoded_words(struct buffer *b, struct text t)
{
    bool is_first = true;
    while (t.length) {
        struct buffer word released_by(buffer_done) = buffer_new(ENCODED_OCTETS);
        while (t.length) {
            struct text before = t;
            uint32_t character;
            struct text shown = TEXT("?");
            if (!utf8_take(&t, &character))
                t = text_after(t, 1);
            else if (character >= ' ' && character != 127)
                shown = text_first(before, before.length - t.length);
            if (!buffer_append(&word, shown)) {
                t = before;
                break;
            }
        }
        buffer_append(b, is_first ? TEXT("=?UTF-8?B?") : TEXT("\r\n =?UTF-8?B?"));
        base64_append(b, buffer_text(&word));
        buffer_append(b, TEXT("?="));
        is_first = false;
    }
}

void header_append_phrase(struct buffer *b, struct text name)
{
    if (phrase_is_atoms(name))
        buffer_append(b, name);
    else if (utf8_is_ascii(name))
        append_quoted(b, name);
    else
        append_encoded_words(b, name);
}
