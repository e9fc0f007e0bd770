/* SPDX-License-Identifier: Apache-2.0 */
#include "record/files.h"

const struct text record_file_name = TEXT_INIT("portiere.log");

static const struct text prefix = TEXT_INIT("portiere-"), suffix = TEXT_INIT(".log");

enum { TIME_LENGTH = 24 };

static void exchange(char *octets, size_t length, char from, char to)
{
    for (size_t i = 11; i < length; i++) /* behind the date */
        if (octets[i] == from)
            octets[i] = to;
}

bool record_rotated_append(struct buffer *b, int64_t time_ms)
{
    struct buffer time released_by(buffer_done) = buffer_new(64);
    moment_append_log_time(&time, time_ms < 0 ? 0 : time_ms);
    exchange(time.bytes, time.length, ':', '-'); /* a colon troubles other systems that copy it */
    return buffer_append(b, prefix) && buffer_append(b, buffer_text(&time)) && buffer_append(b, suffix);
}

bool record_rotated_parse(struct text name, int64_t *ret_time_ms)
{
    char octets[TIME_LENGTH];
    if (name.length != prefix.length + TIME_LENGTH + suffix.length || !text_starts_with(name, prefix) ||
        !text_ends_with(name, suffix))
        return false;
    for (size_t i = 0; i < TIME_LENGTH; i++)
        octets[i] = name.bytes[prefix.length + i];
    exchange(octets, TIME_LENGTH, '-', ':');
    return moment_parse_log_time(text_of(octets, TIME_LENGTH), ret_time_ms);
}
