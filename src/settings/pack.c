/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot between processes: for each key a mark, its line, and its rows (a single value is one row without a
 * comment and a secret). Numbers are 8 octets, big end first. Values are the texts of the file and parsed again, so
 * that the reader checks all that the file's reader does. Both ends are of one build; the mark at the front refuses
 * another. */
#include "settings/value.h"

static const struct text magic = TEXT_INIT("portiere settings 2\n");

enum mark { MARK_WITHHELD, MARK_VALUE };

static bool append_number(struct buffer *b, uint64_t number)
{
    char octets[8];
    for (size_t i = 0; i < 8; i++)
        octets[i] = (char)(number >> (56 - 8 * i));
    return buffer_append(b, text_of(octets, 8));
}

static bool append_text(struct buffer *b, struct text t)
{
    return append_number(b, t.length) && buffer_append(b, t);
}

static bool append_row(struct buffer *b, struct text text, const struct settings_row *row, struct text secret)
{
    return append_number(b, row->line) && append_text(b, text) && append_text(b, row->comment) &&
           append_text(b, secret);
}

static struct text secret_of(const struct settings_secrets *secrets, const struct settings_row *row)
{
    for (size_t i = 0; i < secrets->count; i++)
        if (secrets->items[i].row == row)
            return secrets->items[i].content;
    return TEXT_NONE;
}

static bool append_key(struct buffer *b, struct buffer *scratch, const struct settings *s,
                       const struct settings_secrets *secrets, const struct settings_spec *spec,
                       enum settings_reader reader)
{
    if (!append_number(b, MARK_VALUE) || !append_number(b, s->lines[settings_key_of(spec)]))
        return false;
    if (!settings_is_table(spec)) {
        buffer_clear(scratch);
        settings_value_append(s, spec, scratch);
        return append_number(b, 1) &&
               append_row(b, buffer_text(scratch), &(struct settings_row){.line = 0}, TEXT_NONE) && !scratch->is_full;
    }
    bool is_trusted = reader == SETTINGS_READER_SUPERVISOR || (spec->secret_readers & (unsigned)reader) != 0;
    size_t count = settings_row_count(s, spec);
    bool is_good = append_number(b, count);
    for (size_t i = 0; i < count && is_good; i++) {
        const struct settings_row *row = settings_row_at(s, spec, i);
        buffer_clear(scratch);
        settings_row_append(scratch, spec, row, is_trusted ? SETTINGS_LOGIN_WHOLE : SETTINGS_LOGIN_LEFT_OUT);
        is_good = append_row(b, buffer_text(scratch), row, is_trusted ? secret_of(secrets, row) : TEXT_NONE) &&
                  !scratch->is_full;
    }
    return is_good;
}

bool settings_pack(struct buffer *b, const struct settings *s, enum settings_reader reader)
{
    return settings_pack_with_secrets(b, s, &(struct settings_secrets){.count = 0}, reader);
}

bool settings_pack_with_secrets(struct buffer *b, const struct settings *s, const struct settings_secrets *secrets,
                                enum settings_reader reader)
{
    struct buffer scratch = buffer_new(b->limit);
    bool is_good = buffer_append(b, magic) && append_number(b, SETTINGS_KEYS);
    for (size_t i = 0; i < SETTINGS_KEYS && is_good; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        is_good = settings_may_read(spec, reader) && s->withheld[i] == 0
                      ? append_key(b, &scratch, s, secrets, spec, reader)
                      : append_number(b, MARK_WITHHELD);
    }
    buffer_wipe_done(&scratch);
    return is_good;
}

static bool take_number(struct text *rest, uint64_t maximum, uint64_t *ret_number)
{
    if (rest->length < 8)
        return false;
    uint64_t number = 0;
    struct text octets = text_take(rest, 8);
    for (size_t i = 0; i < 8; i++)
        number = number << 8 | (uint8_t)octets.bytes[i];
    *ret_number = number;
    return number <= maximum;
}

static bool take_text(struct text *rest, struct text *ret_text)
{
    uint64_t length;
    if (!take_number(rest, rest->length, &length) || length > rest->length)
        return false;
    *ret_text = text_take(rest, (size_t)length);
    return true;
}

static bool take_row(struct text *rest, struct settings_row *ret_row)
{
    uint64_t line;
    if (!take_number(rest, SIZE_MAX, &line) || !take_text(rest, &ret_row->text) ||
        !take_text(rest, &ret_row->comment) || !take_text(rest, &ret_row->secret))
        return false;
    ret_row->line = (size_t)line;
    return true;
}

static bool take_single(struct text *rest, struct arena *arena, const struct settings_spec *spec, struct settings *s,
                        struct buffer *complaint)
{
    struct settings_row row;
    if (!take_row(rest, &row) || !text_is_empty(row.comment))
        return false;
    /* a derived text is what the machine says, and was judged where it was derived */
    if (spec->type == SETTINGS_TEXT)
        return arena_copy(arena, row.text, settings_member(s, spec));
    return settings_value_parse(arena, spec, row.text, s, complaint);
}

static bool take_table(struct text *rest, size_t count, struct arena *arena, const struct settings_spec *spec,
                       struct settings *s, struct buffer *complaint)
{
    struct settings_row *rows = count == 0 ? NULL : arena_take_array(arena, count, sizeof *rows);
    if (count > 0 && rows == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!take_row(rest, &rows[i]))
            return false;
    size_t bad;
    return settings_table_parse(arena, spec, rows, count, s, &bad, complaint);
}

static bool take_key(struct text *rest, struct arena *arena, enum settings_key key, struct settings *s,
                     struct buffer *complaint)
{
    const struct settings_spec *spec = settings_spec(key);
    uint64_t mark, line, count;
    if (!take_number(rest, MARK_VALUE, &mark))
        return false;
    s->withheld[key] = mark == MARK_WITHHELD;
    if (mark == MARK_WITHHELD)
        return true;
    if (!take_number(rest, SIZE_MAX, &line) || !take_number(rest, rest->length, &count))
        return false;
    s->lines[key] = (size_t)line;
    if (settings_is_table(spec))
        return take_table(rest, (size_t)count, arena, spec, s, complaint);
    return count == 1 && take_single(rest, arena, spec, s, complaint);
}

bool settings_unpack(struct arena *arena, struct text octets, const struct settings **ret_settings)
{
    uint64_t keys;
    if (!text_starts_with(octets, magic))
        return false;
    (void)text_take(&octets, magic.length);
    if (!take_number(&octets, SETTINGS_KEYS, &keys) || keys != SETTINGS_KEYS)
        return false;
    struct settings *s = settings_defaults(arena);
    if (s == NULL)
        return false;
    struct buffer complaint = buffer_new(1000);
    bool is_good = true;
    for (size_t i = 0; i < SETTINGS_KEYS && is_good; i++)
        is_good = take_key(&octets, arena, (enum settings_key)i, s, &complaint);
    buffer_done(&complaint);
    if (!is_good || !text_is_empty(octets))
        return false;
    *ret_settings = s;
    return true;
}
