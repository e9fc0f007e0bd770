/* SPDX-License-Identifier: Apache-2.0 */
/* Any octets as field values: one event is one line in both formats, of harmless octets, and gives the same fields
 * back. Any octets as a line: the reader refuses or takes them, and what it takes can be written and read again. */
#include "record/record.h"

#include "mail/mail.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size);

static void round_trip(const struct record_event *event, uint64_t format)
{
    struct buffer line released_by(buffer_done) = buffer_new(RECORD_LINE_LIMIT);
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct record_event again;
    must(record_line_append(&line, event, format));
    struct text t = buffer_text(&line);
    must(t.length <= RECORD_LINE_LIMIT && text_find_octet(t, '\n') == t.length - 1 && utf8_is_valid(t));
    for (size_t i = 0; i + 1 < t.length; i++)
        must((unsigned char)t.bytes[i] >= ' ' && t.bytes[i] != 127);
    must(record_line_parse(text_first(t, t.length - 1), &arena, &again));
    if (text_equals(record_field(&again, TEXT("cut")), TEXT("yes")))
        return;
    must(again.count == event->count);
    for (size_t i = 1; i < event->count; i += 2)
        must(event->fields[i].length > RECORD_VALUE_LIMIT || text_equals(event->fields[i], again.fields[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size)
{
    struct text input = text_of((const char *)octets, size), rest = input;
    struct text fields[] = {TEXT("a"), text_take_until(&rest, '\n'), TEXT("b"), text_take_until(&rest, '\n'), TEXT("c"),
                            rest};
    struct record_event event = {.time_ms = 1764075533123,
                                 .level = RECORD_NOTICE,
                                 .role = TEXT("front"),
                                 .name = TEXT("refused"),
                                 .fields = fields,
                                 .count = length_of(fields)};
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct buffer journal released_by(buffer_done) = buffer_new(1 << 20);
    for (uint64_t format = 0; format < SETTINGS_LOG_FORMAT_WORDS; format++)
        round_trip(&event, format);
    must(record_journal_append(&journal, &event));
    if (record_line_parse(input, &arena, &event) && event.count <= RECORD_FIELDS)
        round_trip(&event, SETTINGS_LOG_FORMAT_TEXT);
    return 0;
}
