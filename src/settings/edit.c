/* SPDX-License-Identifier: Apache-2.0 */
/* The file with one setting changed, and all else as it stood. First the place is found (struct place, offsets in the
 * file), then the file is written again around it. What came out is parsed by the caller before it counts. */
#include "settings/value.h"

/* One line and what it is. */
struct line {
    size_t from, to;     /* in the file; to is behind its newline */
    struct text content; /* without comment, trimmed */
    struct text comment;
    bool is_header, is_table;
    struct text header; /* the section's or table's name */
};

struct place {
    bool has_section;                 /* or the table's header */
    size_t section_from, section_end; /* the header's line; behind the last line that says something */
    bool has_key;
    struct line key; /* where it stands */
};

static bool take_line(struct text file, size_t *at, struct line *ret_line)
{
    if (*at >= file.length)
        return false;
    struct text rest = text_after(file, *at);
    size_t length = text_find_octet(rest, '\n');
    struct line line = {.from = *at, .to = *at + smaller(length + 1, rest.length)};
    settings_line_split(text_first(rest, length), &line.content, &line.comment);
    line.is_header = settings_line_is_header(line.content) && text_ends_with(line.content, TEXT("]"));
    if (line.is_header) {
        struct text inside = text_trimmed(text_first(text_after(line.content, 1), line.content.length - 2)),
                    word_rest = inside;
        struct text word = text_take_word(&word_rest);
        line.is_table = text_equals_ignoring_case(word, TEXT("table")) && !text_is_empty(text_trimmed(word_rest));
        line.header = line.is_table ? text_trimmed(word_rest) : inside;
    }
    *at = line.to;
    *ret_line = line;
    return true;
}

static bool begins_section(const struct line *line, const struct settings_spec *spec)
{
    if (!settings_is_table(spec))
        return !line->is_table && text_equals_ignoring_case(line->header, spec->section);
    return line->is_table && settings_find(line->header) == spec;
}

static bool is_key_of(const struct line *line, struct text name)
{
    struct text rest = line->content;
    return text_has_octet(rest, '=') && text_equals_ignoring_case(text_trimmed(text_take_until(&rest, '=')), name);
}

/* The row as it was written, or as it is shown: with *** for its password. */
static bool is_row(const struct settings_spec *spec, struct text have, struct text wanted)
{
    if (text_equals(have, wanted))
        return true;
    if (spec->secret_readers == 0)
        return false;
    struct buffer shown = buffer_new(have.length + 8);
    const struct settings_row row = {.text = have};
    settings_row_append(&shown, spec, &row, SETTINGS_LOGIN_STARS);
    bool is_it = text_equals(buffer_text(&shown), wanted);
    buffer_wipe_done(&shown);
    return is_it;
}

/* Where the section (or table) stands, and in it the key, or the row whose text is row. */
static struct place find_place(struct text file, const struct settings_spec *spec, struct text row)
{
    struct place place = {0};
    bool is_inside = false;
    struct line line;
    for (size_t at = 0; take_line(file, &at, &line);) {
        if (line.is_header) {
            is_inside = begins_section(&line, spec);
            if (is_inside && !place.has_section)
                place.section_from = line.from;
            place.has_section |= is_inside;
            if (is_inside)
                place.section_end = line.to;
            continue;
        }
        if (!is_inside || text_is_empty(line.content))
            continue;
        place.section_end = line.to;
        bool is_it = settings_is_table(spec) ? is_row(spec, line.content, row) : is_key_of(&line, spec->name);
        if (is_it && !place.has_key) {
            place.has_key = true;
            place.key = line;
        }
    }
    return place;
}

static struct text piece(struct text file, size_t from, size_t to)
{
    return text_first(text_after(file, from), to - from);
}

/* The file up to a place, ended with a newline so that a line can follow. */
static void append_front(struct buffer *out, struct text file, size_t to)
{
    struct text front = text_first(file, to);
    buffer_append(out, front);
    if (!text_is_empty(front) && !text_ends_with(front, TEXT("\n")))
        buffer_append_octet(out, '\n');
}

static void append_new_header(struct buffer *out, struct text file, const struct settings_spec *spec)
{
    append_front(out, file, file.length);
    if (!text_is_empty(file))
        buffer_append_octet(out, '\n');
    buffer_append(out, settings_is_table(spec) ? TEXT("[table ") : TEXT("["));
    buffer_append(out, settings_is_table(spec) ? spec->key : spec->section);
    buffer_append(out, TEXT("]\n"));
}

static void append_key_line(struct buffer *out, const struct settings_spec *spec, struct text value)
{
    buffer_append(out, spec->name);
    buffer_append(out, TEXT(" ="));
    if (!text_is_empty(value))
        buffer_append_octet(out, ' ');
    buffer_append(out, value);
    buffer_append_octet(out, '\n');
}

static void append_row_line(struct buffer *out, struct text row, struct text comment)
{
    buffer_append(out, row);
    if (!text_is_empty(comment)) {
        buffer_append(out, TEXT("  # "));
        buffer_append(out, comment);
    }
    buffer_append_octet(out, '\n');
}

static enum settings_edit_result finish(struct buffer *out, enum settings_edit_result result)
{
    return out->is_full ? SETTINGS_EDIT_FULL : result;
}

static enum settings_edit_result unchanged(struct text file, struct buffer *out)
{
    buffer_append(out, file);
    return finish(out, SETTINGS_EDIT_NOTHING);
}

/* One line, that is read back as it is. */
static bool is_one_value(struct text value)
{
    struct text content, comment;
    settings_line_split(value, &content, &comment);
    return !text_has_octet(value, '\n') && !text_has_octet(value, '\r') && text_equals(content, value) &&
           !text_starts_with(value, TEXT("#"));
}

/* The line with its value changed: what stands before the value, and the comment behind it with its blanks, stay. */
static void append_changed_line(struct buffer *out, struct text file, const struct line *line, struct text value)
{
    struct text whole = piece(file, line->from, line->to);
    size_t equals = text_find_octet(whole, '=');
    size_t start = equals + 1;
    while (start < whole.length && octet_is_blank(whole.bytes[start]))
        start++;
    /* content ends where the value ends: it points into the file */
    size_t content_end = (size_t)(line->content.bytes + line->content.length - whole.bytes);
    if (start > content_end)
        start = content_end; /* the value was empty */
    buffer_append(out, text_first(whole, start));
    if (start == equals + 1 && !text_is_empty(value))
        buffer_append_octet(out, ' ');
    buffer_append(out, value);
    buffer_append(out, text_after(whole, content_end));
}

enum settings_edit_result settings_edit_set(struct text file, const struct settings_spec *spec, struct text value,
                                            struct buffer *out)
{
    if (settings_is_table(spec))
        return SETTINGS_EDIT_NOT_SINGLE;
    if (!is_one_value(value))
        return SETTINGS_EDIT_BAD_VALUE;
    struct place place = find_place(file, spec, TEXT_NONE);
    if (place.has_key) {
        struct text old = place.key.content;
        (void)text_take_until(&old, '=');
        if (text_equals(text_trimmed(old), value))
            return unchanged(file, out);
        buffer_append(out, text_first(file, place.key.from));
        append_changed_line(out, file, &place.key, value);
        buffer_append(out, text_after(file, place.key.to));
        return finish(out, SETTINGS_EDIT_DONE);
    }
    if (!place.has_section) {
        append_new_header(out, file, spec);
        append_key_line(out, spec, value);
        return finish(out, SETTINGS_EDIT_DONE);
    }
    append_front(out, file, place.section_end);
    append_key_line(out, spec, value);
    buffer_append(out, text_after(file, place.section_end));
    return finish(out, SETTINGS_EDIT_DONE);
}

enum settings_edit_result settings_edit_unset(struct text file, const struct settings_spec *spec, struct buffer *out)
{
    struct place place = find_place(file, spec, TEXT_NONE);
    bool is_there = settings_is_table(spec) ? place.has_section : place.has_key;
    if (!is_there)
        return unchanged(file, out);
    size_t from = settings_is_table(spec) ? place.section_from : place.key.from;
    size_t to = settings_is_table(spec) ? place.section_end : place.key.to;
    buffer_append(out, text_first(file, from));
    buffer_append(out, text_after(file, to));
    return finish(out, SETTINGS_EDIT_DONE);
}

/* A table that the file does not have yet begins with the rows that hold now, but for one that goes. */
static void append_current_rows(struct buffer *out, const struct settings_spec *spec, const struct settings *current,
                                struct text without)
{
    size_t count = current == NULL ? 0 : settings_row_count(current, spec);
    for (size_t i = 0; i < count; i++) {
        const struct settings_row *row = settings_row_at(current, spec, i);
        if (!is_row(spec, row->text, without))
            append_row_line(out, row->text, row->comment);
    }
}

static bool current_has_row(const struct settings_spec *spec, const struct settings *current, struct text row)
{
    size_t count = current == NULL ? 0 : settings_row_count(current, spec);
    for (size_t i = 0; i < count; i++)
        if (is_row(spec, settings_row_at(current, spec, i)->text, row))
            return true;
    return false;
}

enum settings_edit_result settings_edit_row_add(struct text file, const struct settings_spec *spec,
                                                const struct settings *current, struct text row, struct text comment,
                                                struct buffer *out)
{
    if (!settings_is_table(spec))
        return SETTINGS_EDIT_NOT_TABLE;
    bool is_comment = !text_has_octet(comment, '\n') && !text_has_octet(comment, '\r');
    if (text_is_empty(row) || settings_line_is_header(row) || !is_one_value(row) || !is_comment)
        return SETTINGS_EDIT_BAD_VALUE;
    struct place place = find_place(file, spec, row);
    if (place.has_key || (!place.has_section && current_has_row(spec, current, row)))
        return unchanged(file, out);
    if (!place.has_section) {
        append_new_header(out, file, spec);
        append_current_rows(out, spec, current, TEXT_NONE);
        append_row_line(out, row, text_trimmed(comment));
        return finish(out, SETTINGS_EDIT_DONE);
    }
    append_front(out, file, place.section_end);
    append_row_line(out, row, text_trimmed(comment));
    buffer_append(out, text_after(file, place.section_end));
    return finish(out, SETTINGS_EDIT_DONE);
}

enum settings_edit_result settings_edit_row_remove(struct text file, const struct settings_spec *spec,
                                                   const struct settings *current, struct text row, struct buffer *out)
{
    if (!settings_is_table(spec))
        return SETTINGS_EDIT_NOT_TABLE;
    struct place place = find_place(file, spec, row);
    if (place.has_key) {
        buffer_append(out, text_first(file, place.key.from));
        buffer_append(out, text_after(file, place.key.to));
        return finish(out, SETTINGS_EDIT_DONE);
    }
    if (place.has_section || !current_has_row(spec, current, row))
        return unchanged(file, out);
    append_new_header(out, file, spec);
    append_current_rows(out, spec, current, row);
    return finish(out, SETTINGS_EDIT_DONE);
}

enum settings_edit_result settings_edit_rows(struct text file, const struct settings_spec *spec, struct text rows,
                                             struct buffer *out)
{
    if (!settings_is_table(spec))
        return SETTINGS_EDIT_NOT_TABLE;
    struct place place = find_place(file, spec, TEXT_NONE);
    if (place.has_section) {
        struct line header = {.to = place.section_from}; /* there is one: the place was found */
        size_t at = place.section_from;
        (void)take_line(file, &at, &header);
        append_front(out, file, header.to);
    } else {
        append_new_header(out, file, spec);
    }
    while (!text_is_empty(rows)) {
        struct text content, comment;
        settings_line_split(text_take_until(&rows, '\n'), &content, &comment);
        if (text_is_empty(content))
            continue;
        if (settings_line_is_header(content))
            return SETTINGS_EDIT_BAD_VALUE;
        append_row_line(out, content, comment);
    }
    if (place.has_section)
        buffer_append(out, text_after(file, place.section_end));
    return finish(out, SETTINGS_EDIT_DONE);
}

struct text settings_edit_result_text(enum settings_edit_result result)
{
    switch (result) {
    case SETTINGS_EDIT_DONE:
        return TEXT("done");
    case SETTINGS_EDIT_NOTHING:
        return TEXT("it stands so already");
    case SETTINGS_EDIT_NOT_SINGLE:
        return TEXT("this is a table: add or remove single rows");
    case SETTINGS_EDIT_NOT_TABLE:
        return TEXT("this is no table: set its value");
    case SETTINGS_EDIT_BAD_VALUE:
        return TEXT("a value is one line, without \" #\" in it");
    case SETTINGS_EDIT_FULL:
        return TEXT("the file would be too large");
    }
    return TEXT_NONE;
}
