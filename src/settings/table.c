/* SPDX-License-Identifier: Apache-2.0 */
#include "settings/table.h"

#include <string.h>

struct kind {
    size_t size;
    bool (*parse)(struct settings_row_job *job, void *row);
};

static const struct kind *kind_of(enum settings_type type)
{
    static const struct kind kinds[SETTINGS_TYPES] = {
        [SETTINGS_LISTENS] = {.size = sizeof(struct settings_listen), .parse = settings_row_listen},
        [SETTINGS_CLIENTS] = {.size = sizeof(struct settings_client), .parse = settings_row_client},
        [SETTINGS_RESOLVERS] = {.size = sizeof(struct settings_resolver), .parse = settings_row_resolver},
        [SETTINGS_RELAY_HOSTS] = {.size = sizeof(struct settings_relay_host), .parse = settings_row_relay_host},
        [SETTINGS_ROUTES] = {.size = sizeof(struct settings_route), .parse = settings_row_route},
        [SETTINGS_REDIRECTS] = {.size = sizeof(struct settings_redirect), .parse = settings_row_redirect},
        [SETTINGS_DOMAIN_NUMBERS] = {.size = sizeof(struct settings_domain_number),
                                     .parse = settings_row_domain_number},
        [SETTINGS_TLS_RULES] = {.size = sizeof(struct settings_tls_rule), .parse = settings_row_tls_rule},
        [SETTINGS_CERTIFICATES] = {.size = sizeof(struct settings_certificate), .parse = settings_row_certificate},
        [SETTINGS_ZONES] = {.size = sizeof(struct settings_zone), .parse = settings_row_zone},
        [SETTINGS_BYPASSES] = {.size = sizeof(struct settings_bypass), .parse = settings_row_bypass},
        [SETTINGS_HELO_FILTERS] = {.size = sizeof(struct settings_helo_filter), .parse = settings_row_helo_filter},
        [SETTINGS_ACCOUNT_LIMITS] = {.size = sizeof(struct settings_account_limit),
                                     .parse = settings_row_account_limit},
    };
    must((size_t)type < SETTINGS_TYPES && kinds[type].parse != NULL);
    return &kinds[type];
}

size_t settings_row_size(enum settings_type type)
{
    return kind_of(type)->size;
}

/* The table types differ in the type of rows alone; memcpy, so that no aliasing rule is bent. */
struct settings_any_table settings_table_read(const struct settings *s, const struct settings_spec *spec)
{
    struct settings_any_table table;
    _Static_assert(sizeof table == sizeof(struct settings_listens), "a table is rows and count");
    memcpy(&table, settings_member_read(s, spec), sizeof table);
    return table;
}

size_t settings_row_count(const struct settings *s, const struct settings_spec *spec)
{
    return settings_is_table(spec) ? settings_table_read(s, spec).count : 0;
}

const struct settings_row *settings_row_at(const struct settings *s, const struct settings_spec *spec, size_t index)
{
    struct settings_any_table table = settings_table_read(s, spec);
    must(index < table.count);
    return (const void *)((const char *)table.rows + index * settings_row_size(spec->type));
}

bool settings_table_parse(struct arena *arena, const struct settings_spec *spec, const struct settings_row *rows,
                          size_t count, struct settings *s, size_t *ret_bad, struct buffer *complaint)
{
    const struct kind *kind = kind_of(spec->type);
    char *memory = count == 0 ? NULL : arena_take_array(arena, count, kind->size);
    if (count > 0 && memory == NULL) {
        *ret_bad = 0;
        buffer_append(complaint, TEXT("the settings are too large"));
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct settings_row row = rows[i];
        if (!arena_copy(arena, rows[i].text, &row.text) || !arena_copy(arena, rows[i].comment, &row.comment) ||
            !arena_copy(arena, rows[i].secret, &row.secret)) {
            *ret_bad = i;
            buffer_append(complaint, TEXT("the settings are too large"));
            return false;
        }
        memcpy(memory + i * kind->size, &row, sizeof row); /* every row begins with its struct settings_row */
        struct settings_row_job job = {
            .arena = arena, .spec = spec, .rest = row.text, .secret = row.secret, .complaint = complaint};
        if (!kind->parse(&job, memory + i * kind->size)) {
            *ret_bad = i;
            return false;
        }
    }
    struct settings_any_table table = {.rows = memory, .count = count};
    memcpy(settings_member(s, spec), &table, sizeof table);
    return true;
}

bool settings_rows_split(struct arena *arena, struct text text, struct settings_row **ret_rows, size_t *ret_count)
{
    size_t lines = 1;
    for (size_t i = 0; i < text.length; i++)
        lines += text.bytes[i] == '\n';
    struct settings_row *rows = arena_take_array(arena, lines, sizeof *rows);
    if (rows == NULL)
        return false;
    size_t count = 0;
    while (!text_is_empty(text)) {
        struct text content, comment;
        settings_line_split(text_take_until(&text, '\n'), &content, &comment);
        if (!text_is_empty(content))
            rows[count++] = (struct settings_row){.text = content, .comment = comment};
    }
    *ret_rows = rows;
    *ret_count = count;
    return true;
}

void settings_line_split(struct text line, struct text *ret_content, struct text *ret_comment)
{
    size_t at = 0;
    while (at < line.length && !(line.bytes[at] == '#' && (at == 0 || octet_is_blank(line.bytes[at - 1]))))
        at++;
    *ret_content = text_trimmed(text_first(line, at));
    *ret_comment = text_trimmed(text_after(line, at + 1));
}

bool settings_line_is_header(struct text content)
{
    return text_starts_with(content, TEXT("[")) &&
           !text_has_octet(text_first(content, text_find_octet(content, ']')), ':');
}

/* [user:password@]host: what stands before the last @ is the log-in. */
static void append_host_word(struct buffer *b, struct text word, enum settings_login_shown login)
{
    size_t at = word.length;
    for (size_t i = 0; i < word.length; i++)
        if (word.bytes[i] == '@')
            at = i;
    if (at == word.length || login == SETTINGS_LOGIN_WHOLE) {
        buffer_append(b, word);
        return;
    }
    if (login == SETTINGS_LOGIN_STARS) {
        buffer_append(b, text_first(word, smaller(text_find_octet(word, ':'), at)));
        buffer_append(b, TEXT(":***@"));
    }
    buffer_append(b, text_after(word, at + 1));
}

void settings_row_append(struct buffer *b, const struct settings_spec *spec, const struct settings_row *row,
                         enum settings_login_shown login)
{
    if (spec->secret_readers == 0 || login == SETTINGS_LOGIN_WHOLE) {
        buffer_append(b, row->text);
        return;
    }
    struct text rest = row->text;
    for (size_t i = 0; !text_is_empty(text_trimmed(rest)); i++) {
        struct text word = text_take_word(&rest);
        if (i > 0)
            buffer_append_octet(b, ' ');
        bool is_host = (spec->type == SETTINGS_RELAY_HOSTS && i == 0) || (spec->type == SETTINGS_ROUTES && i == 1);
        struct text name, value;
        if (spec->type == SETTINGS_REDIRECTS && i >= 2 && settings_option_split(word, &name, &value) &&
            text_equals_ignoring_case(name, TEXT("host"))) {
            buffer_append(b, TEXT("host="));
            append_host_word(b, value, login);
        } else if (is_host) {
            append_host_word(b, word, login);
        } else {
            buffer_append(b, word);
        }
    }
}
