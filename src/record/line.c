/* SPDX-License-Identifier: Apache-2.0 */
#include "record/escape.h"
#include "record/record.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const struct text words[] = {
    [RECORD_DEBUG] = TEXT_INIT("debug"),     [RECORD_INFO] = TEXT_INIT("info"),   [RECORD_NOTICE] = TEXT_INIT("notice"),
    [RECORD_WARNING] = TEXT_INIT("warning"), [RECORD_ALARM] = TEXT_INIT("alarm"),
};

enum { CUT_ROOM = RECORD_VALUE_LIMIT + 8 };

static const int64_t latest_ms =
    253402300799999; /* the last moment of the year 9999: later ones have no form of this length */

struct text record_level_word(enum record_level level)
{
    must(level < RECORD_LEVELS);
    return words[level];
}

bool record_level_of_word(struct text word, enum record_level *ret_level)
{
    for (size_t i = 0; i < length_of(words); i++)
        if (text_equals(words[i], word)) {
            *ret_level = (enum record_level)i;
            return true;
        }
    return false;
}

struct text record_field(const struct record_event *event, struct text name)
{
    for (size_t i = 0; i + 1 < event->count; i += 2)
        if (text_equals(event->fields[i], name))
            return event->fields[i + 1];
    return TEXT_NONE;
}

static bool is_name_octet(char c)
{
    return octet_is_letter(c) || octet_is_digit(c) || c == '-' || c == '_' || c == '.';
}

/* Names are ours, but the one who sends them may have been taken over. */
static struct text safe_name(struct text name, char room[RECORD_NAME_LIMIT])
{
    size_t length = smaller(name.length, RECORD_NAME_LIMIT);
    for (size_t i = 0; i < length; i++)
        room[i] = is_name_octet(name.bytes[i]) ? name.bytes[i] : '_';
    return length ? text_of(room, length) : TEXT("_");
}

static void append_time(struct buffer *b, int64_t time_ms)
{
    moment_append_log_time(b, time_ms < 0 ? 0 : time_ms > latest_ms ? latest_ms : time_ms);
}

static void append_field(struct buffer *b, struct text name, struct text value)
{
    char name_room[RECORD_NAME_LIMIT], room[CUT_ROOM];
    struct text cut = record_cut(value, RECORD_VALUE_LIMIT, room);
    bool fits =
        buffer_append_octet(b, ' ') && buffer_append(b, safe_name(name, name_room)) && buffer_append_octet(b, '=');
    if (record_is_bare(cut)) {
        fits &= buffer_append(b, cut);
        return;
    }
    fits &= buffer_append_octet(b, '"');
    record_escape_append(b, cut, RECORD_ESCAPE_QUOTED);
    ignored(fits && buffer_append_octet(b, '"')); /* is_full tells the caller */
}

/* A field that does not fit into the line is left out, and said to be. */
static void append_fields(struct buffer *line, const struct record_event *event)
{
    bool is_cut = false;
    for (size_t i = 0; i + 1 < smaller(event->count, RECORD_FIELDS); i += 2) {
        size_t before = line->length;
        append_field(line, event->fields[i], event->fields[i + 1]);
        if (line->is_full || line->length > RECORD_LINE_LIMIT - 64) {
            line->length = before;
            line->is_full = false;
            is_cut = true;
        }
    }
    if (is_cut || event->count > RECORD_FIELDS)
        append_field(line, TEXT("cut"), TEXT("yes"));
}

void record_fields_append(struct buffer *b, const struct record_event *event)
{
    struct buffer fields released_by(buffer_done) = buffer_new(RECORD_LINE_LIMIT);
    append_fields(&fields, event);
    ignored(
        buffer_append(b, text_after(buffer_text(&fields), 1))); /* without the first blank; a full buffer shows less */
}

static bool append_text(struct buffer *line, const struct record_event *event)
{
    char role[RECORD_NAME_LIMIT], name[RECORD_NAME_LIMIT];
    append_time(line, event->time_ms);
    const struct text parts[] = {safe_name(event->role, role), record_level_word(event->level),
                                 safe_name(event->name, name)};
    for (size_t i = 0; i < length_of(parts); i++)
        ignored(buffer_append_octet(line, ' ') && buffer_append(line, parts[i])); /* the first 300 octets of 32 KiB */
    append_fields(line, event);
    return buffer_append_octet(line, '\n');
}

static struct text json_text(const json_t *value)
{
    return json_is_string(value) ? text_of(json_string_value(value), json_string_length(value)) : TEXT_NONE;
}

static json_t *json_of(struct text value)
{
    char room[CUT_ROOM];
    struct buffer escaped released_by(buffer_done) = buffer_new(RECORD_VALUE_LIMIT * 4 + 64);
    record_escape_append(&escaped, record_cut(value, RECORD_VALUE_LIMIT, room), RECORD_ESCAPE_JSON);
    return json_stringn(escaped.length ? escaped.bytes : "", escaped.length);
}

/* Octets that the string has once JSON's writer has escaped it. */
static size_t json_length(const json_t *value)
{
    struct text t = json_text(value);
    size_t length = t.length;
    for (size_t i = 0; i < t.length; i++) {
        if ((unsigned char)t.bytes[i] < ' ')
            length += 5;
        else if (t.bytes[i] == '"' || t.bytes[i] == '\\')
            length++;
    }
    return length;
}

static json_t *json_fields(const struct record_event *event)
{
    json_t *fields = json_object();
    size_t octets = 0;
    bool is_cut = event->count > RECORD_FIELDS;
    for (size_t i = 0; i + 1 < smaller(event->count, RECORD_FIELDS); i += 2) {
        char room[RECORD_NAME_LIMIT];
        struct text name = safe_name(event->fields[i], room);
        json_t *value = json_of(event->fields[i + 1]);
        octets += json_length(value) + name.length + 6; /* quotes, colon and comma */
        if (octets > RECORD_LINE_LIMIT - 512) {
            json_decref(value);
            is_cut = true;
            break;
        }
        must(json_object_setn_new(fields, name.bytes, name.length, value) == 0);
    }
    if (is_cut)
        must(json_object_set_new(fields, "cut", json_string("yes")) == 0);
    return fields;
}

static bool append_json(struct buffer *line, const struct record_event *event)
{
    struct buffer time released_by(buffer_done) = buffer_new(64);
    append_time(&time, event->time_ms);
    char room[RECORD_NAME_LIMIT];
    struct text role = safe_name(event->role, room);
    json_t *root = json_object();
    must(json_object_set_new(root, "time", json_stringn(time.bytes, time.length)) == 0);
    must(json_object_set_new(root, "role", json_stringn(role.bytes, role.length)) == 0);
    must(json_object_set_new(root, "level", json_stringn(words[event->level].bytes, words[event->level].length)) == 0);
    struct text name = safe_name(event->name, room);
    must(json_object_set_new(root, "event", json_stringn(name.bytes, name.length)) == 0);
    must(json_object_set_new(root, "fields", json_fields(event)) == 0);
    size_t size = json_dumpb(root, NULL, 0, JSON_COMPACT);
    char *octets = buffer_room(line, size);
    bool fits = size > 0 && octets != NULL;
    if (fits) {
        must(json_dumpb(root, octets, size, JSON_COMPACT) == size);
        buffer_grew(line, size);
    }
    json_decref(root);
    return fits && buffer_append_octet(line, '\n');
}

bool record_line_append(struct buffer *b, const struct record_event *event, uint64_t format)
{
    struct buffer line released_by(buffer_done) = buffer_new(RECORD_LINE_LIMIT);
    must(event->level < RECORD_LEVELS);
    bool fits = format == SETTINGS_LOG_FORMAT_JSON ? append_json(&line, event) : append_text(&line, event);
    return fits && buffer_append(b, buffer_text(&line));
}

/* --- reading one --------------------------------------------------------------------------------- */

/* The octets up to the closing quote, which is dropped; false when there is none. */
static bool take_quoted(struct text *rest, struct text *ret_escaped)
{
    for (size_t i = 0; i < rest->length; i++) {
        if (rest->bytes[i] == '\\')
            i++;
        else if (rest->bytes[i] == '"') {
            *ret_escaped = text_first(*rest, i);
            *rest = text_after(*rest, i + 1);
            return true;
        }
    }
    return false;
}

static bool take_field(struct text *rest, struct arena *arena, struct text pair[2])
{
    size_t equals = text_find_octet(*rest, '=');
    if (equals == 0 || equals == rest->length)
        return false;
    pair[0] = text_take(rest, equals);
    *rest = text_after(*rest, 1);
    if (text_has_octet(pair[0], ' '))
        return false;
    if (text_take_octet(rest, '"')) {
        struct text escaped;
        return take_quoted(rest, &escaped) && record_unescape(escaped, arena, &pair[1]) &&
               (rest->length == 0 || text_take_octet(rest, ' '));
    }
    pair[1] = text_take_until(rest, ' ');
    return pair[1].length > 0;
}

static bool parse_text(struct text rest, struct arena *arena, struct record_event *ret_event)
{
    struct record_event event = {.count = 0};
    struct text *fields = arena_take_array(arena, RECORD_FIELDS + 2, sizeof *fields);
    if (!fields || !moment_parse_log_time(text_take_until(&rest, ' '), &event.time_ms))
        return false;
    event.role = text_take_until(&rest, ' ');
    if (!record_level_of_word(text_take_until(&rest, ' '), &event.level))
        return false;
    event.name = text_take_until(&rest, ' ');
    event.fields = fields;
    for (; rest.length && event.count < RECORD_FIELDS + 2; event.count += 2)
        if (!take_field(&rest, arena, &fields[event.count]))
            return false;
    if (rest.length || !event.role.length || !event.name.length)
        return false;
    *ret_event = event;
    return true;
}

static bool copy_fields(json_t *object, struct arena *arena, struct record_event *event)
{
    size_t count = json_object_size(object);
    struct text *fields = arena_take_array(arena, count * 2, sizeof *fields);
    if (!json_is_object(object) || count > RECORD_FIELDS || (count && !fields))
        return false;
    const char *key;
    json_t *value;
    size_t at = 0;
    json_object_foreach(object, key, value)
    {
        struct text escaped;
        if (!json_is_string(value) || !arena_copy(arena, text_of_terminated(key), &fields[at]) ||
            !arena_copy(arena, json_text(value), &escaped) || !record_unescape(escaped, arena, &fields[at + 1]))
            return false;
        at += 2;
    }
    event->fields = fields;
    event->count = at;
    return true;
}

static bool parse_json(struct text line, struct arena *arena, struct record_event *ret_event)
{
    struct record_event event = {.count = 0};
    json_t *root = json_loadb(line.bytes, line.length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    bool is_good = json_is_object(root) &&
                   moment_parse_log_time(json_text(json_object_get(root, "time")), &event.time_ms) &&
                   record_level_of_word(json_text(json_object_get(root, "level")), &event.level) &&
                   arena_copy(arena, json_text(json_object_get(root, "role")), &event.role) &&
                   arena_copy(arena, json_text(json_object_get(root, "event")), &event.name) && event.role.length &&
                   event.name.length && copy_fields(json_object_get(root, "fields"), arena, &event);
    json_decref(root);
    if (is_good)
        *ret_event = event;
    return is_good;
}

bool record_line_parse(struct text line, struct arena *arena, struct record_event *ret_event)
{
    if (line.length > RECORD_LINE_LIMIT)
        return false;
    return text_starts_with(line, TEXT("{")) ? parse_json(line, arena, ret_event) : parse_text(line, arena, ret_event);
}

/* --- the journal --------------------------------------------------------------------------------- */

/* NAME, line feed, length (64 bits, little-endian), octets, line feed: any octet may stand in it. */
static bool append_entry(struct buffer *b, struct text prefix, struct text name, struct text value)
{
    bool fits = buffer_append(b, prefix);
    for (size_t i = 0; i < name.length; i++)
        fits &= buffer_append_octet(
            b, octet_is_letter(name.bytes[i]) || octet_is_digit(name.bytes[i]) ? octet_upper(name.bytes[i]) : '_');
    char length[8];
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (char)(value.length >> (8 * i) & 255);
    return fits && buffer_append_octet(b, '\n') && buffer_append(b, text_of(length, sizeof length)) &&
           buffer_append(b, value) && buffer_append_octet(b, '\n');
}

bool record_journal_append(struct buffer *b, const struct record_event *event)
{
    static const char priorities[] = {
        [RECORD_DEBUG] = '7', [RECORD_INFO] = '6', [RECORD_NOTICE] = '5', [RECORD_WARNING] = '4', [RECORD_ALARM] = '1'};
    char role[RECORD_NAME_LIMIT], name[RECORD_NAME_LIMIT], room[CUT_ROOM];
    struct buffer message released_by(buffer_done) = buffer_new(RECORD_LINE_LIMIT);
    size_t before = b->length;
    must(event->level < RECORD_LEVELS);
    bool fits = buffer_append(&message, safe_name(event->role, role)) && buffer_append_octet(&message, ' ') &&
                buffer_append(&message, safe_name(event->name, name));
    append_fields(&message, event);
    fits = fits && append_entry(b, TEXT_NONE, TEXT("PRIORITY"), text_of(&priorities[event->level], 1)) &&
           append_entry(b, TEXT_NONE, TEXT("SYSLOG_IDENTIFIER"), TEXT("portiere")) &&
           append_entry(b, TEXT_NONE, TEXT("MESSAGE"), buffer_text(&message)) &&
           append_entry(b, TEXT("PORTIERE_"), TEXT("ROLE"), safe_name(event->role, role)) &&
           append_entry(b, TEXT("PORTIERE_"), TEXT("EVENT"), safe_name(event->name, name));
    for (size_t i = 0; fits && i + 1 < smaller(event->count, RECORD_FIELDS) && b->length - before < RECORD_LINE_LIMIT;
         i += 2)
        fits = append_entry(b, TEXT("PORTIERE_FIELD_"), safe_name(event->fields[i], name),
                            record_cut(event->fields[i + 1], RECORD_VALUE_LIMIT, room));
    if (!fits)
        b->length = before;
    return fits;
}
