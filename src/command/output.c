/* SPDX-License-Identifier: Apache-2.0 */
#include "command/output.h"

#include "mail/utf8.h"
#include "system/system.h"

#include <jansson.h>
#include <stdlib.h>

/* More columns than this are no table for a reader. */
enum { HELD_ROWS = 200, HELD_LIMIT = 1 << 20, COLUMNS = 10, WIDEST = 60, WRITE_AT = 32768, OUT_LIMIT = 128 << 20 };

struct held {
    struct text *fields;
    size_t count;
};

struct command_output {
    int file;
    enum command_output_form form;
    bool lists;
    bool is_begun;  /* something was written */
    bool has_names; /* the table's head was written */
    bool is_broken;
    size_t write_at; /* what is held back goes out above this */
    size_t count;
    struct buffer out;
    /* the rows from which a table's widths are taken */
    struct arena arena;
    struct held held[HELD_ROWS];
    size_t held_count;
    struct text names[COLUMNS];
    size_t widths[COLUMNS];
    size_t columns;
};

struct command_output *command_output_new(int file, enum command_output_form form, bool lists, bool holds)
{
    struct command_output *o = calloc(1, sizeof *o);
    must(o != NULL);
    *o = (struct command_output){.file = file, .form = form, .lists = lists, .write_at = holds ? OUT_LIMIT / 2 : WRITE_AT,
                                  .out = buffer_new(OUT_LIMIT), .arena = arena_new(HELD_LIMIT)};
    return o;
}

void command_output_free(struct command_output **o)
{
    if (*o) {
        buffer_done(&(*o)->out);
        arena_done(&(*o)->arena);
        free(*o);
    }
    *o = NULL;
}

size_t command_output_count(const struct command_output *o)
{
    return o->count;
}

/* The room is far above one row, and it is emptied between rows. */
static void put(struct command_output *o, struct text t)
{
    ignored(buffer_append(&o->out, t)); /* see above */
}

static bool flush(struct command_output *o, size_t above)
{
    if (!o->is_broken && o->out.length > above) {
        o->is_broken = file_write_all(o->file, buffer_text(&o->out)) != 0;
        buffer_clear(&o->out);
    }
    return !o->is_broken;
}

/* Octets of the character in front; 0: none stands there. */
static size_t utf8_length(struct text t)
{
    struct text rest = t;
    uint32_t character;
    return utf8_take(&rest, &character) ? t.length - rest.length : 0;
}

static void put_hex(struct buffer *b, unsigned char octet)
{
    ignored(buffer_append_format(b, "\\x%02x", octet)); /* is_full tells */
}

void command_quote_append(struct buffer *b, struct text t, bool may_break)
{
    while (t.length) {
        unsigned char first = (unsigned char)t.bytes[0];
        size_t length = utf8_length(t);
        /* U+0080 to U+009F are control characters too */
        bool is_control = first < 32 || first == 127 || (length == 2 && first == 0xc2 && (unsigned char)t.bytes[1] < 0xa0);
        if (first == '\n' && may_break) {
            ignored(buffer_append_octet(b, '\n')); /* is_full tells */
            t = text_after(t, 1);
        } else if (length == 0 || is_control) {
            for (size_t i = 0; i < larger(length, 1); i++)
                put_hex(b, (unsigned char)t.bytes[i]);
            t = text_after(t, larger(length, 1));
        } else {
            ignored(buffer_append(b, text_take(&t, length))); /* as above */
        }
    }
}

/* --- JSON -------------------------------------------------------------------------------------------------------------------------------- */

/* What is no UTF-8 can't stand in JSON: U+FFFD in its place. */
static json_t *json_of(struct text t)
{
    json_t *value = json_stringn(t.bytes, t.length);
    if (value)
        return value;
    struct buffer mended released_by(buffer_done) = buffer_new(t.length * 3 + 1);
    while (t.length) {
        size_t length = utf8_length(t);
        must(buffer_append(&mended, length ? text_first(t, length) : TEXT("\xef\xbf\xbd")));
        t = text_after(t, larger(length, 1));
    }
    value = json_stringn(mended.bytes, mended.length);
    must(value != NULL);
    return value;
}

/* A name that comes again makes a list of its values. */
static void json_put(json_t *object, struct text name, struct text value)
{
    json_t *before = json_object_getn(object, name.bytes, name.length);
    int result = 0;
    if (!before) {
        result = json_object_setn_new(object, name.bytes, name.length, json_of(value));
    } else if (json_is_array(before)) {
        result = json_array_append_new(before, json_of(value));
    } else {
        json_t *list = json_array();
        result = json_array_append(list, before) | json_array_append_new(list, json_of(value)) |
                 json_object_setn_new(object, name.bytes, name.length, list);
    }
    must(result == 0);
}

static int take_json(const char *bytes, size_t count, void *context)
{
    put(context, text_of(bytes, count));
    return 0;
}

static void json_row(struct command_output *o, const struct text *fields, size_t count)
{
    json_t *object = json_object();
    must(object != NULL);
    for (size_t i = 0; i + 1 < count; i += 2)
        if (utf8_is_valid(fields[i]))
            json_put(object, fields[i], fields[i + 1]);
    if (o->lists)
        put(o, o->is_begun ? TEXT(",\n ") : TEXT("[\n "));
    must(json_dump_callback(object, take_json, o, JSON_COMPACT) == 0);
    if (!o->lists)
        put(o, TEXT("\n"));
    o->is_begun = true;
    json_decref(object);
}

/* --- for a reader ------------------------------------------------------------------------------------------------------------------------ */

/* Fields that hold a moment (wall milliseconds): for a reader as date and time in UTC. */
static const struct text moments[] = {TEXT_INIT("arrived"), TEXT_INIT("created"), TEXT_INIT("next"), TEXT_INIT("time"), TEXT_INIT("until")};
enum { MOMENT_DIGITS = 13 }; /* from 2001 to 2286 */

static struct text readable(struct text name, struct text value, struct buffer *room)
{
    uint64_t ms;
    bool is_moment = false;
    for (size_t i = 0; i < length_of(moments); i++)
        is_moment |= text_equals(name, moments[i]);
    if (!is_moment || value.length != MOMENT_DIGITS || !text_number(value, INT64_MAX, &ms))
        return value;
    struct moment_fields at = moment_split((int64_t)ms);
    ignored(buffer_append_format(room, "%04lld-%02u-%02u %02u:%02u:%02u", (long long)at.year, at.month, at.day, at.hour, at.minute, at.second)); /* fits */
    return buffer_text(room);
}

static size_t width_of(struct text t)
{
    size_t width = 0;
    for (size_t i = 0; i < t.length; i++)
        width += ((unsigned char)t.bytes[i] & 0xc0) != 0x80;
    return width;
}

static void pairs_row(struct command_output *o, const struct text *fields, size_t count)
{
    if (o->is_begun && o->lists)
        put(o, TEXT("\n"));
    size_t widest = 0;
    for (size_t i = 0; i + 1 < count; i += 2)
        widest = larger(widest, width_of(fields[i]));
    for (size_t i = 0; i + 1 < count; i += 2) {
        command_quote_append(&o->out, fields[i], false);
        put(o, TEXT(":"));
        for (size_t spaces = width_of(fields[i]); spaces < widest + 1; spaces++)
            put(o, TEXT(" "));
        struct buffer room released_by(buffer_done) = buffer_new(64);
        command_quote_append(&o->out, readable(fields[i], fields[i + 1], &room), true);
        put(o, TEXT("\n"));
    }
    o->is_begun = true;
}

/* A lone value needs no name beside it. */
static void single_row(struct command_output *o, const struct text *fields, size_t count)
{
    if (count != 2) {
        pairs_row(o, fields, count);
        return;
    }
    command_quote_append(&o->out, fields[1], true);
    if (!text_ends_with(fields[1], TEXT("\n")))
        put(o, TEXT("\n"));
    o->is_begun = true;
}

static bool is_of_this_table(const struct command_output *o, const struct text *fields, size_t count)
{
    if (count / 2 != o->columns)
        return false;
    for (size_t i = 0; i < o->columns; i++)
        if (!text_equals(fields[2 * i], o->names[i]))
            return false;
    return true;
}

static size_t quoted_width(struct text name, struct text value)
{
    struct buffer quoted released_by(buffer_done) = buffer_new(value.length * 4 + 64), room released_by(buffer_done) = buffer_new(64);
    command_quote_append(&quoted, readable(name, value, &room), false);
    return width_of(buffer_text(&quoted));
}

static void table_cell(struct command_output *o, struct text name, struct text value, size_t column)
{
    struct buffer quoted released_by(buffer_done) = buffer_new(value.length * 4 + 64), room released_by(buffer_done) = buffer_new(64);
    command_quote_append(&quoted, readable(name, value, &room), false);
    put(o, buffer_text(&quoted));
    if (column + 1 == o->columns)
        return;
    put(o, TEXT("  ")); /* also behind a cell that is wider than its column */
    for (size_t width = width_of(buffer_text(&quoted)); width < o->widths[column]; width++)
        put(o, TEXT(" "));
}

static void table_row(struct command_output *o, const struct text *fields)
{
    for (size_t i = 0; i < o->columns; i++)
        table_cell(o, fields[2 * i], fields[2 * i + 1], i);
    put(o, TEXT("\n"));
}

static void table_begin(struct command_output *o, const struct text *fields, size_t count)
{
    o->columns = smaller(count / 2, COLUMNS);
    for (size_t i = 0; i < o->columns; i++) {
        struct text copy = TEXT_NONE;
        ignored(arena_copy(&o->arena, fields[2 * i], &copy)); /* a name that does not fit makes no table */
        o->names[i] = copy;
        o->widths[i] = width_of(copy);
    }
}

/* Rows of other fields than those before begin a table of their own. */
static void table_flush(struct command_output *o)
{
    if (o->held_count == 0)
        return;
    if (!o->has_names) {
        if (o->is_begun)
            put(o, TEXT("\n"));
        for (size_t i = 0; i < o->columns; i++)
            table_cell(o, TEXT_NONE, o->names[i], i);
        put(o, TEXT("\n"));
        o->has_names = true;
    }
    for (size_t i = 0; i < o->held_count; i++)
        table_row(o, o->held[i].fields);
    o->held_count = 0;
    o->is_begun = true;
}

static bool hold(struct command_output *o, const struct text *fields, size_t count)
{
    struct held *held = &o->held[o->held_count];
    if (o->held_count == HELD_ROWS || o->has_names)
        return false;
    held->fields = arena_take_array(&o->arena, count, sizeof *held->fields);
    held->count = count;
    for (size_t i = 0; held->fields && i < count; i++)
        if (!arena_copy(&o->arena, fields[i], &held->fields[i]))
            return false;
    if (!held->fields)
        return false;
    for (size_t i = 0; i < o->columns; i++)
        o->widths[i] = larger(o->widths[i], smaller(quoted_width(fields[2 * i], fields[2 * i + 1]), WIDEST));
    o->held_count++;
    return true;
}

static void listed_row(struct command_output *o, const struct text *fields, size_t count)
{
    if (count == 2 || count / 2 > COLUMNS) { /* one column needs no head */
        table_flush(o);
        if (count == 2)
            single_row(o, fields, count);
        else
            pairs_row(o, fields, count);
        return;
    }
    if (!is_of_this_table(o, fields, count)) {
        table_flush(o);
        arena_done(&o->arena);
        o->has_names = false;
        table_begin(o, fields, count);
    }
    if (hold(o, fields, count))
        return;
    table_flush(o);
    if (!o->has_names) { /* the first row alone was over the limit */
        pairs_row(o, fields, count);
        return;
    }
    table_row(o, fields);
}

/* ------------------------------------------------------------------------------------------------------------------------------------------ */

bool command_output_row(struct command_output *o, const struct text *fields, size_t count)
{
    o->count++;
    switch (o->form) {
    case COMMAND_OUTPUT_RAW:
        for (size_t i = 0; i + 1 < count; i += 2)
            if (text_equals(fields[i], TEXT("octets")))
                put(o, fields[i + 1]);
        break;
    case COMMAND_OUTPUT_JSON:
        json_row(o, fields, count);
        break;
    case COMMAND_OUTPUT_PAIRS:
        single_row(o, fields, count);
        break;
    case COMMAND_OUTPUT_TEXT:
        if (o->lists)
            listed_row(o, fields, count);
        else
            single_row(o, fields, count);
        break;
    }
    return flush(o, o->write_at);
}

bool command_output_end(struct command_output *o)
{
    if (o->form == COMMAND_OUTPUT_TEXT)
        table_flush(o);
    if (o->form == COMMAND_OUTPUT_JSON && o->lists)
        put(o, o->is_begun ? TEXT("\n]\n") : TEXT("[]\n"));
    return flush(o, 0);
}
