/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/message_text.h"

void message_text_init(struct message_text *t, uint64_t max_size, bool has_dots, bool is_binary, bool is_lenient)
{
    *t = (struct message_text){
        .state = MESSAGE_TEXT_START,
        .has_dots = has_dots,
        .is_binary = is_binary,
        .is_lenient = is_lenient,
        .max_size = max_size,
        .header = buffer_new(SMTP_HEADER_LIMIT),
    };
}

void message_text_done(struct message_text *t)
{
    buffer_done(&t->header);
}

bool message_text_is_refused(const struct message_text *t)
{
    return (t->has_bare && !t->is_lenient) || t->has_nul || t->is_over;
}

static void note_octets(struct message_text *t, struct text span)
{
    unsigned char all = 0;
    unsigned char has_nul = 0;
    for (size_t i = 0; i < span.length; i++) {
        all |= (unsigned char)span.bytes[i];
        has_nul |= span.bytes[i] == 0;
    }
    if (all & 0x80)
        t->message.is_8bit = true;
    if (has_nul && !t->is_binary)
        t->has_nul = true;
}

/* Keeps the header up to its blank line; a blank line may lie across two spans. */
static void note_header(struct message_text *t, struct text span)
{
    size_t before = t->header.length;
    size_t end = text_find(span, TEXT("\r\n\r\n"));
    struct text part = end < span.length ? text_first(span, end + 4) : span;
    size_t space = buffer_space(&t->header);
    if (part.length > space) {
        part = text_first(part, space);
        t->message.is_header_cut = true;
        t->is_header_whole = true;
    }
    buffer_append(&t->header, part);
    struct text header = buffer_text(&t->header);
    if (text_starts_with(header, TEXT("\r\n"))) {
        t->header.length = 2;
        t->is_header_whole = true;
        return;
    }
    size_t from = before > 3 ? before - 3 : 0;
    size_t blank = from + text_find(text_after(header, from), TEXT("\r\n\r\n"));
    if (blank < header.length) {
        t->header.length = blank + 4;
        t->is_header_whole = true;
        t->message.is_header_cut = false;
    }
}

/* False: the message is refused, or there is nothing to hand out. What refuses is looked for all the same, so that the
 * reply does not depend on how the text came in. */
static bool note_span(struct message_text *t, struct text span)
{
    if (span.length == 0)
        return false;
    note_octets(t, span);
    t->message.size += span.length;
    if (t->max_size && t->message.size > t->max_size)
        t->is_over = true;
    if (message_text_is_refused(t))
        return false;
    if (!t->is_header_whole)
        note_header(t, span);
    return true;
}

/* The octets at the front that are handed out as they are: up to and with a CR LF in front of a dot, up to a bare CR or
 * LF, up to a CR with which the input ends. */
static size_t run_with_care(const struct message_text *t, struct text input)
{
    size_t i = 0;
    while (i < input.length) {
        if (input.bytes[i] == '\n')
            return i;
        if (input.bytes[i] != '\r') {
            i++;
            continue;
        }
        if (i + 1 == input.length || input.bytes[i + 1] != '\n')
            return i;
        i += 2;
        if (t->has_dots && i < input.length && input.bytes[i] == '.')
            return i;
    }
    return i;
}

enum { SLICE = 256 };

/* Is there nothing in count octets at place that needs care: a newline that is not CR LF, a dot behind one? The octet
 * behind them is looked at too. No branches, so that the compiler makes vector code of it: this reads every octet of
 * every message. */
static bool slice_is_plain(struct text input, size_t place, size_t count)
{
    const char *bytes = input.bytes + place;
    size_t pairs = smaller(count, input.length - place - 1);
    unsigned char odd = 0;
    for (size_t i = 0; i < pairs; i++) {
        unsigned char is_newline = bytes[i + 1] == '\n';
        unsigned char is_dot_line = (bytes[i] == '\n') & (bytes[i + 1] == '.');
        odd |= (unsigned char)((bytes[i] == '\r') ^ is_newline) | is_dot_line;
    }
    return odd == 0;
}

static size_t run_length(const struct message_text *t, struct text input)
{
    if (t->is_binary)
        return input.length;
    size_t plain = 0;
    if (!t->has_bare && input.bytes[0] != '\n')
        while (plain < input.length && slice_is_plain(input, plain, SLICE))
            plain += smaller(SLICE, input.length - plain);
    if (plain && input.bytes[plain - 1] == '\r')
        plain--; /* it is judged by what comes behind it */
    return plain + run_with_care(t, text_after(input, plain));
}

/* A bare CR or LF was read. */
static struct text bare_newline(struct message_text *t)
{
    t->has_bare = true;
    t->state = t->is_lenient ? MESSAGE_TEXT_SOFT_START : MESSAGE_TEXT_MIDDLE;
    return t->is_lenient ? TEXT("\r\n") : TEXT_NONE;
}

static struct text take_middle(struct message_text *t, struct text *input)
{
    size_t run = run_length(t, *input);
    if (run) {
        struct text span = text_take(input, run);
        t->state = !t->is_binary && text_ends_with(span, TEXT("\r\n")) ? MESSAGE_TEXT_START : MESSAGE_TEXT_MIDDLE;
        return span;
    }
    if (text_take_octet(input, '\r')) {
        t->state = MESSAGE_TEXT_CR;
        return TEXT_NONE;
    }
    *input = text_after(*input, 1);
    return bare_newline(t);
}

static struct text take_after_cr(struct message_text *t, struct text *input)
{
    if (text_take_octet(input, '\n')) {
        t->state = MESSAGE_TEXT_START;
        return TEXT("\r\n");
    }
    if (text_take_octet(input, '\r')) {
        t->has_bare = true;
        t->state = MESSAGE_TEXT_CRS;
        return TEXT_NONE;
    }
    return bare_newline(t);
}

static struct text take_after_crs(struct message_text *t, struct text *input)
{
    if (text_take_octet(input, '\r'))
        return TEXT_NONE;
    ignored(text_take_octet(input, '\n')); /* CR CR LF is one bad newline */
    return bare_newline(t);
}

static struct text take_after_dot(struct message_text *t, struct text *input)
{
    if (text_take_octet(input, '\r')) {
        t->state = MESSAGE_TEXT_DOT_CR;
        return TEXT_NONE;
    }
    t->state = MESSAGE_TEXT_MIDDLE;
    return input->bytes[0] == '\n' ? TEXT(".") : TEXT_NONE; /* a lone dot that does not end the text is text */
}

static struct text take_step(struct message_text *t, struct text *input)
{
    switch ((enum message_text_state)t->state) {
    case MESSAGE_TEXT_START:
    case MESSAGE_TEXT_SOFT_START:
        if (t->has_dots && text_take_octet(input, '.'))
            t->state = t->state == MESSAGE_TEXT_START ? MESSAGE_TEXT_DOT : MESSAGE_TEXT_SOFT_DOT;
        else
            t->state = MESSAGE_TEXT_MIDDLE;
        return TEXT_NONE;
    case MESSAGE_TEXT_MIDDLE:
        return take_middle(t, input);
    case MESSAGE_TEXT_CR:
        return take_after_cr(t, input);
    case MESSAGE_TEXT_CRS:
        return take_after_crs(t, input);
    case MESSAGE_TEXT_DOT:
        return take_after_dot(t, input);
    case MESSAGE_TEXT_DOT_CR: /* a line feed was looked for before */
        t->state = MESSAGE_TEXT_CR;
        return TEXT(".");
    case MESSAGE_TEXT_SOFT_DOT:
        t->state = MESSAGE_TEXT_MIDDLE;
        return input->bytes[0] == '\r' || input->bytes[0] == '\n' ? TEXT(".") : TEXT_NONE;
    }
    return TEXT_NONE;
}

enum message_text_result message_text_take(struct message_text *t, struct text *input, struct text *ret_span)
{
    while (input->length) {
        if (t->state == MESSAGE_TEXT_DOT_CR && text_take_octet(input, '\n'))
            return MESSAGE_TEXT_END;
        size_t before = input->length;
        struct text span = take_step(t, input);
        t->read += before - input->length;
        if (note_span(t, span)) {
            *ret_span = span;
            return MESSAGE_TEXT_SPAN;
        }
    }
    return MESSAGE_TEXT_MORE;
}

bool message_text_finish(struct message_text *t, struct text *ret_span)
{
    if (t->state != MESSAGE_TEXT_CR && t->state != MESSAGE_TEXT_CRS)
        return false;
    struct text span = bare_newline(t);
    if (!note_span(t, span))
        return false;
    *ret_span = span;
    return true;
}

void message_text_find_facts(struct message_text *t)
{
    struct smtp_message *m = &t->message;
    m->header = buffer_text(&t->header);
    struct text rest = m->header;
    struct header_field field;
    while (header_take_field(&rest, &field)) {
        struct address address;
        size_t count;
        if (text_equals_ignoring_case(field.name, TEXT("Received"))) {
            m->hops++;
        } else if (text_equals_ignoring_case(field.name, TEXT("Date"))) {
            m->has_date = true;
        } else if (text_equals_ignoring_case(field.name, TEXT("Message-ID"))) {
            if (!m->has_message_id)
                m->message_id = text_trimmed(field.value);
            m->has_message_id = true;
        } else if (text_equals_ignoring_case(field.name, TEXT("From")) &&
                   header_first_address(field.value, &address, &count)) {
            if (!m->has_from)
                m->from = address;
            m->has_from = true;
            m->from_count += count;
        }
    }
}
