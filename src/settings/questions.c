/* SPDX-License-Identifier: Apache-2.0 */
/* What others ask of a snapshot: a value's text, whether two are equal, whether an address is in a table. */
#include "settings/value.h"

void settings_value_text(const struct settings *s, const struct settings_spec *spec, bool with_secrets,
                         struct buffer *b)
{
    if (!settings_is_table(spec)) {
        settings_value_append(s, spec, b);
        return;
    }
    size_t count = settings_row_count(s, spec);
    for (size_t i = 0; i < count; i++) {
        const struct settings_row *row = settings_row_at(s, spec, i);
        if (i > 0)
            buffer_append_octet(b, '\n');
        settings_row_append(b, spec, row, with_secrets ? SETTINGS_LOGIN_WHOLE : SETTINGS_LOGIN_STARS);
        if (text_is_empty(row->comment))
            continue;
        buffer_append(b, TEXT("  # "));
        buffer_append(b, row->comment);
    }
}

bool settings_is_default(const struct settings *s, const struct settings_spec *spec)
{
    if (s->lines[settings_key_of(spec)] == 0)
        return true;
    if (spec->derived != SETTINGS_DERIVED_NOT)
        return false;
    struct arena arena = arena_new(1 << 20);
    const struct settings *defaults = settings_defaults(&arena);
    bool is_default = defaults != NULL && settings_value_equals(s, defaults, spec);
    arena_done(&arena);
    return is_default;
}

bool settings_clients_contain(const struct settings_clients *clients, const struct network_address *address)
{
    for (size_t i = 0; i < clients->count; i++)
        if (clients->rows[i].kind == SETTINGS_CLIENT_NETWORK && network_contains(&clients->rows[i].network, address))
            return true;
    return false;
}

bool settings_trusts(const struct settings *s, const struct network_address *address)
{
    return settings_clients_contain(&s->security_trusted, address);
}

bool settings_domain_matches(struct text mask, struct text domain)
{
    if (!text_starts_with(mask, TEXT("*.")))
        return text_equals_ignoring_case(mask, domain);
    struct text tail = text_after(mask, 1); /* with its dot, so that notexample.org is not below example.org */
    return domain.length > tail.length && text_ends_with_ignoring_case(domain, tail);
}

bool settings_equals(const struct settings *a, const struct settings *b)
{
    size_t place = 0;
    return settings_diff_next(a, b, &place) == NULL;
}

const struct settings_spec *settings_diff_next(const struct settings *a, const struct settings *b, size_t *place)
{
    while (*place < SETTINGS_KEYS) {
        const struct settings_spec *spec = settings_spec((enum settings_key)(*place)++);
        if (!settings_value_equals(a, b, spec))
            return spec;
    }
    return NULL;
}

static const struct settings_host *host_of(const struct settings_spec *spec, const struct settings_row *row)
{
    if (spec->type == SETTINGS_RELAY_HOSTS)
        return &((const struct settings_relay_host *)(const void *)row)->host;
    if (spec->type == SETTINGS_ROUTES)
        return &((const struct settings_route *)(const void *)row)->host;
    return spec->type == SETTINGS_REDIRECTS ? &((const struct settings_redirect *)(const void *)row)->host : NULL;
}

bool settings_secret_next(const struct settings *s, size_t *place, struct settings_secret *ret_secret)
{
    size_t passed = 0; /* rows of tables before this one */
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        size_t count = settings_row_count(s, spec);
        for (; *place < passed + count; (*place)++) {
            const struct settings_row *row = settings_row_at(s, spec, *place - passed);
            const struct settings_host *host = host_of(spec, row);
            struct text file = host ? settings_host_secret_file(host) : TEXT_NONE;
            if (text_is_empty(file))
                continue;
            (*place)++;
            *ret_secret = (struct settings_secret){.spec = spec, .row = row, .file = file};
            return true;
        }
        passed += count;
    }
    return false;
}

static bool table_holds(const struct settings *s, const struct settings_spec *spec, const struct settings_row *wanted)
{
    size_t count = settings_row_count(s, spec);
    for (size_t i = 0; i < count; i++) {
        struct text have = settings_row_at(s, spec, i)->text, want = wanted->text;
        if (text_equals_ignoring_case(text_take_word(&have), text_take_word(&want)))
            return true;
    }
    return false;
}

static bool number_is_as_guide(const struct settings_spec *spec, uint64_t value, uint64_t guide)
{
    bool is_none = value == 0 && spec->may_be_none; /* no limit is more than any */
    if (spec->guide_at_most)
        return !is_none && value <= guide;
    if (spec->guide_at_least)
        return is_none || value >= guide;
    return value == guide;
}

static bool compare_to_guide(const struct settings *s, const struct settings_spec *spec, struct arena *arena,
                             struct buffer *complaint)
{
    struct settings *guide = settings_defaults(arena);
    if (guide == NULL)
        return false;
    if (settings_is_table(spec)) {
        struct settings_row *rows;
        size_t count;
        bool holds_all = settings_rows_split(arena, spec->guide_text, &rows, &count);
        for (size_t i = 0; holds_all && i < count; i++)
            holds_all = table_holds(s, spec, &rows[i]);
        return holds_all;
    }
    if (!settings_value_parse(arena, spec, spec->guide_text, guide, complaint))
        return false;
    bool is_number = spec->type <= SETTINGS_SHARE || spec->type == SETTINGS_CHOICE;
    if (!is_number)
        return settings_value_equals(s, guide, spec);
    return number_is_as_guide(spec, *(const uint64_t *)settings_member_read(s, spec),
                              *(const uint64_t *)settings_member_read(guide, spec));
}

bool settings_is_as_guide(const struct settings *s, const struct settings_spec *spec)
{
    if (text_is_empty(spec->guide_text))
        return true;
    struct arena arena = arena_new(1 << 20);
    struct buffer complaint = buffer_new(1000);
    bool is_as_guide = compare_to_guide(s, spec, &arena, &complaint);
    buffer_done(&complaint);
    arena_done(&arena);
    return is_as_guide;
}

const struct settings_spec *settings_audit_next(const struct settings *s, size_t *place)
{
    while (*place < SETTINGS_KEYS) {
        const struct settings_spec *spec = settings_spec((enum settings_key)(*place)++);
        if (!settings_is_as_guide(s, spec))
            return spec;
    }
    return NULL;
}
