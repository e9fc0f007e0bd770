/* SPDX-License-Identifier: Apache-2.0 */
/* attachment: the third part of a report. RFC 3461 section 6.2: RET is about failures; any other report gives the
 * header. A message/rfc822 is whole or is not there; a part of a message is shown as text, and says so. */
#include "outcome/private.h"

enum { HEADER_LIMIT = 1 << 20, PIECE = 16 * 1024 };

enum part { PART_NONE, PART_HEADER, PART_WHOLE, PART_BEGINNING };

static size_t header_limit(const struct outcome_report *report)
{
    const struct settings *s = report->settings;
    return s->delivery_report_truncate ? smaller((size_t)s->delivery_report_truncate_at, HEADER_LIMIT) : HEADER_LIMIT;
}

static enum part choose(const struct outcome_report *report)
{
    const struct settings *s = report->settings;
    enum envelope_return ret = report->envelope->ret;
    if (report->message_length == 0 || !report->body)
        return PART_NONE;
    /* what is binary can't stand in a message/rfc822 that is not binary itself: RFC 2046 section 5.2.1 */
    if (report->kind != OUTCOME_REPORT_FAILED || ret == ENVELOPE_RETURN_HEADERS ||
        report->envelope->body == ENVELOPE_BINARYMIME)
        return PART_HEADER;
    if (!s->delivery_report_truncate || report->message_length <= s->delivery_report_truncate_at)
        return PART_WHOLE;
    return ret == ENVELOPE_RETURN_FULL ? PART_HEADER : PART_BEGINNING;
}

static uint64_t part_length(const struct outcome_report *report, enum part part)
{
    switch (part) {
    case PART_NONE:
        return 0;
    case PART_WHOLE:
        return report->message_length;
    case PART_HEADER:
    case PART_BEGINNING:
        break;
    }
    return report->message_length < header_limit(report) ? report->message_length : header_limit(report);
}

size_t outcome_original_limit(const struct outcome_report *report)
{
    return (size_t)part_length(report, choose(report)) + 1024;
}

static bool read_octets(struct buffer *b, const struct outcome_report *report, uint64_t length)
{
    for (uint64_t at = 0; at < length;) {
        size_t count = length - at < PIECE ? (size_t)(length - at) : PIECE;
        char *room = buffer_room(b, count);
        if (!room || !report->body(report->body_context, at, room, count))
            return false;
        buffer_grew(b, count);
        at += count;
    }
    return true;
}

/* Ends the octets behind start with the last whole line; all of them when there is none. */
static void cut_at_line(struct buffer *b, size_t start)
{
    size_t end = b->length;
    while (end > start && b->bytes[end - 1] != '\n')
        end--;
    if (end > start)
        b->length = end;
}

/* Without the blank line; what is no field is no header. */
static void cut_at_header(struct buffer *b, size_t start, bool is_cut)
{
    if (is_cut)
        cut_at_line(b, start);
    struct text rest = text_after(buffer_text(b), start);
    struct header_field field;
    while (header_take_field(&rest, &field))
        ;
    b->length -= rest.length;
}

static bool append_octets(struct buffer *b, const struct outcome_report *report, enum part part)
{
    size_t start = b->length;
    uint64_t length = part_length(report, part);
    if (!read_octets(b, report, length)) {
        b->length = start;
        return false;
    }
    if (part == PART_HEADER)
        cut_at_header(b, start, length < report->message_length);
    else if (part == PART_BEGINNING)
        cut_at_line(b, start);
    return true;
}

void outcome_read_header(struct buffer *b, const struct outcome_report *report)
{
    if (report->message_length && report->body)
        ignored(append_octets(b, report, PART_HEADER)); /* without it the report has no In-Reply-To */
}

static void append_type(struct buffer *b, const struct outcome_report *report, enum part part)
{
    bool is_utf8 = report->envelope->is_utf8;
    switch (part) {
    case PART_NONE:
        break;
    case PART_HEADER:
        buffer_append(b, is_utf8 ? TEXT("Content-Type: message/global-headers\r\n")
                                 : TEXT("Content-Type: text/rfc822-headers\r\n"));
        buffer_append(b, TEXT("Content-Description: Header of the message\r\n"));
        break;
    case PART_WHOLE:
        buffer_append(b, is_utf8 ? TEXT("Content-Type: message/global\r\n") : TEXT("Content-Type: message/rfc822\r\n"));
        buffer_append(b, TEXT("Content-Description: The message\r\n"));
        break;
    case PART_BEGINNING:
        buffer_append(b, TEXT("Content-Type: text/plain; charset=utf-8\r\nContent-Description: The first "));
        buffer_append_number(b, part_length(report, part));
        buffer_append(b, TEXT(" octets of the message, which has "));
        buffer_append_number(b, report->message_length);
        buffer_append(b, TEXT("\r\n"));
        break;
    }
}

void outcome_append_original(struct buffer *b, const struct outcome_report *report, struct text boundary)
{
    enum part part = choose(report);
    struct buffer octets released_by(buffer_done) = buffer_new((size_t)part_length(report, part) + 1);
    if (part == PART_NONE || !append_octets(&octets, report, part))
        return;
    buffer_append(b, TEXT("\r\n--"));
    buffer_append(b, boundary);
    buffer_append(b, TEXT("\r\n"));
    append_type(b, report, part);
    if (!utf8_is_ascii(buffer_text(&octets)))
        buffer_append(b, TEXT("Content-Transfer-Encoding: 8bit\r\n"));
    buffer_append(b, TEXT("\r\n"));
    buffer_append(b, buffer_text(&octets));
}
