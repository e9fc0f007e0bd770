/* SPDX-License-Identifier: Apache-2.0 */
/* From a file, or from nothing, to a snapshot. */
#include "settings/value.h"

struct reader {
    struct arena *arena;
    struct settings *settings;
    struct settings_problems *problems;
    const struct settings_spec *table; /* the table that we are in */
    struct text section;               /* or the section; empty before the first and after a bad one */
    bool is_skipping;                  /* after a bad header: its lines were not complained of one by one */
    size_t line;
};

static void add_problem(struct settings_problems *problems, size_t line, struct text key, struct text message)
{
    problems->total++;
    if (problems->count == length_of(problems->items))
        return;
    struct settings_problem problem = {.line = line};
    if (!arena_copy(problems->arena, key, &problem.key) || !arena_copy(problems->arena, message, &problem.message))
        return;
    problems->items[problems->count++] = problem;
}

void settings_problem_append(struct buffer *b, struct text file_name, const struct settings_problem *problem)
{
    buffer_append(b, file_name);
    if (problem->line != 0) {
        buffer_append_octet(b, ':');
        buffer_append_number(b, problem->line);
    }
    buffer_append(b, TEXT(": "));
    if (!text_is_empty(problem->key)) {
        buffer_append(b, problem->key);
        buffer_append(b, TEXT(": "));
    }
    buffer_append(b, problem->message);
}

/* --- defaults --- */

static bool set_default(struct arena *arena, const struct settings_spec *spec, struct settings *s,
                        struct buffer *complaint)
{
    if (spec->derived != SETTINGS_DERIVED_NOT)
        return true;
    if (!settings_is_table(spec))
        return settings_value_parse(arena, spec, spec->default_text, s, complaint);
    struct settings_row *rows;
    size_t count, bad;
    return settings_rows_split(arena, spec->default_text, &rows, &count) &&
           settings_table_parse(arena, spec, rows, count, s, &bad, complaint);
}

/* Texts in settings.def are checked by a test, so that what can fail here is the arena alone. */
struct settings *settings_defaults(struct arena *arena)
{
    struct settings *s = arena_take(arena, sizeof *s);
    if (s == NULL)
        return NULL;
    struct buffer complaint = buffer_new(1000);
    bool is_good = true;
    for (size_t i = 0; i < SETTINGS_KEYS && is_good; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        if (spec->type == SETTINGS_TEXT)
            *(struct text *)settings_member(s, spec) = TEXT_NONE;
        is_good = set_default(arena, spec, s, &complaint);
    }
    buffer_done(&complaint);
    return is_good ? s : NULL;
}

static bool derive_address(struct arena *arena, struct text local, struct text domain, struct text *ret_address)
{
    if (text_is_empty(domain)) {
        *ret_address = TEXT_NONE;
        return true;
    }
    char *bytes = arena_take(arena, local.length + 1 + domain.length);
    if (bytes == NULL)
        return false;
    size_t at = 0;
    for (size_t i = 0; i < local.length; i++)
        bytes[at++] = local.bytes[i];
    bytes[at++] = '@';
    for (size_t i = 0; i < domain.length; i++)
        bytes[at++] = domain.bytes[i];
    *ret_address = text_of(bytes, at);
    return true;
}

/* Sets one derived member of s from what source has by now; rows stand in the table after those that they derive from.
 */
static bool derive(struct arena *arena, const struct settings_spec *spec, const struct settings_machine *machine,
                   const struct settings *source, struct settings *s)
{
    void *member = settings_member(s, spec);
    switch (spec->derived) {
    case SETTINGS_DERIVED_NOT:
        return true;
    case SETTINGS_DERIVED_MACHINE_NAME:
        return arena_copy(arena, machine->fqdn, member);
    case SETTINGS_DERIVED_FIRST_DOMAIN:
        return arena_copy(arena, machine->first_domain, member);
    case SETTINGS_DERIVED_AT_PRIMARY:
        return derive_address(arena, spec->default_text, source->service_primary_domain, member);
    case SETTINGS_DERIVED_TWICE_MAXIMUM: {
        uint64_t maximum = source->delivery_max_message_size; /* 0, no limit, stays so */
        *(uint64_t *)member = maximum > UINT64_MAX / 2 ? UINT64_MAX : 2 * maximum;
        return true;
    }
    }
    return false;
}

static bool derive_all(struct arena *arena, const struct settings_machine *machine, struct settings *s)
{
    for (size_t i = 0; i < SETTINGS_KEYS; i++)
        if (s->lines[i] == 0 && !derive(arena, settings_spec((enum settings_key)i), machine, s, s))
            return false;
    return true;
}

bool settings_new_default(struct arena *arena, const struct settings_machine *machine,
                          const struct settings **ret_settings)
{
    struct settings *s = settings_defaults(arena);
    if (s == NULL || !derive_all(arena, machine, s))
        return false;
    *ret_settings = s;
    return true;
}

/* --- lines
 * -------------------------------------------------------------------------------------------------------------------
 */

static void complain(struct reader *r, struct text key, struct buffer *message)
{
    add_problem(r->problems, r->line, key, buffer_text(message));
    buffer_clear(message);
}

static void complain_of(struct reader *r, struct text key, const char *message)
{
    add_problem(r->problems, r->line, key, text_of_terminated(message));
}

static bool section_exists(struct text name)
{
    for (size_t i = 0; i < SETTINGS_KEYS; i++)
        if (text_equals_ignoring_case(settings_spec((enum settings_key)i)->section, name))
            return true;
    return false;
}

static void complain_unknown(struct reader *r, struct text name, struct text what, struct buffer *message)
{
    buffer_append(message, TEXT("no such "));
    buffer_append(message, what);
    const struct settings_spec *near = settings_nearest(name);
    if (near != NULL) {
        buffer_append(message, TEXT("; did you mean "));
        buffer_append(message, near->key);
        buffer_append_octet(message, '?');
    }
    complain(r, text_first(name, 100), message);
}

/* A key as it is written in the file: with its section, or for tables alone when only one section has it; no alias. */
static const struct settings_spec *find_key(struct text section, struct text name)
{
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        if (text_equals_ignoring_case(spec->section, section) && text_equals_ignoring_case(spec->name, name))
            return spec;
    }
    return NULL;
}

static void begin_table(struct reader *r, struct text name, struct buffer *message)
{
    const struct settings_spec *spec = settings_find(name);
    r->is_skipping = true;
    if (spec == NULL || settings_name_is_alias(spec, name)) {
        complain_unknown(r, name, TEXT("table"), message);
        return;
    }
    if (!settings_is_table(spec)) {
        complain_of(r, spec->key, "this is no table: write it as key = value in its [section]");
        return;
    }
    if (r->settings->lines[settings_key_of(spec)] != 0) {
        buffer_append(message, TEXT("the table was begun already in line "));
        buffer_append_number(message, r->settings->lines[settings_key_of(spec)]);
        complain(r, spec->key, message);
        return;
    }
    r->is_skipping = false;
    r->table = spec;
    r->settings->lines[settings_key_of(spec)] = r->line;
}

static void read_header(struct reader *r, struct text content, struct buffer *message)
{
    r->table = NULL;
    r->section = TEXT_NONE;
    r->is_skipping = true;
    if (!text_ends_with(content, TEXT("]"))) {
        complain_of(r, TEXT_NONE, "a header ends with ]");
        return;
    }
    struct text inside = text_trimmed(text_first(text_after(content, 1), content.length - 2));
    struct text rest = inside, word = text_take_word(&rest);
    if (text_equals_ignoring_case(word, TEXT("table")) && !text_is_empty(text_trimmed(rest))) {
        begin_table(r, text_trimmed(rest), message);
        return;
    }
    if (!section_exists(inside)) {
        const struct settings_spec *table = settings_find(inside);
        if (table != NULL && settings_is_table(table))
            complain_of(r, table->key, "this is a table: write [table NAME]");
        else
            complain_of(
                r, text_first(inside, 100),
                "no such section; they are service, pop3, delivery, advanced, security, tls, log, history, console");
        return;
    }
    r->section = inside;
    r->is_skipping = false;
}

static void read_value(struct reader *r, struct text content, struct buffer *message)
{
    struct text value = content;
    struct text name = text_trimmed(text_take_until(&value, '='));
    if (text_is_empty(r->section)) {
        complain_of(r, text_first(name, 100), "this stands in no section; write [section] above it");
        return;
    }
    if (!text_has_octet(content, '=')) {
        complain_of(r, text_first(name, 100), "write key = value");
        return;
    }
    const struct settings_spec *spec = find_key(r->section, name);
    if (spec == NULL) {
        complain_unknown(r, name, TEXT("setting in this section"), message);
        return;
    }
    size_t *line = &r->settings->lines[settings_key_of(spec)];
    if (settings_is_table(spec)) {
        buffer_append_format(message, "this is a table: write [table %.*s] and one row a line",
                             TEXT_ARGUMENTS(spec->key));
        complain(r, spec->key, message);
        return;
    }
    if (*line != 0) {
        buffer_append(message, TEXT("set already in line "));
        buffer_append_number(message, *line);
        complain(r, spec->key, message);
        return;
    }
    *line = r->line;
    if (!settings_value_parse(r->arena, spec, text_trimmed(value), r->settings, message))
        complain(r, spec->key, message);
}

/* Takes the rows up to the next header, and writes them where rows is not NULL; how many there are. */
static size_t take_rows(struct text *file, size_t *line, struct settings_row *rows)
{
    size_t count = 0;
    while (!text_is_empty(*file)) {
        struct text rest = *file, content, comment;
        settings_line_split(text_take_until(&rest, '\n'), &content, &comment);
        if (settings_line_is_header(content))
            break;
        *file = rest;
        *line += 1;
        if (text_is_empty(content))
            continue;
        if (rows != NULL)
            rows[count] = (struct settings_row){.text = content, .comment = comment, .line = *line};
        count++;
    }
    return count;
}

/* file stands behind the table's header. */
static void read_table(struct reader *r, struct text *file, struct buffer *message)
{
    size_t header_line = r->line, bad = 0;
    struct text ahead = *file;
    size_t count = take_rows(&ahead, &r->line, NULL);
    struct settings_row *rows = arena_take_array(r->arena, larger(count, 1), sizeof *rows);
    r->line = header_line;
    if (rows == NULL) {
        complain_of(r, r->table->key, "the settings are too large");
        return;
    }
    (void)take_rows(file, &r->line, rows);
    if (settings_table_parse(r->arena, r->table, rows, count, r->settings, &bad, message))
        return;
    size_t end_line = r->line;
    r->line = rows[bad].line;
    complain(r, r->table->key, message);
    r->line = end_line;
}

static bool line_is_text(struct text line)
{
    if (!utf8_is_valid(line))
        return false;
    for (size_t i = 0; i < line.length; i++)
        if ((uint8_t)line.bytes[i] < 0x20 ? line.bytes[i] != '\t' : line.bytes[i] == 0x7f)
            return false;
    return true;
}

static void read_lines(struct reader *r, struct text file, struct buffer *message)
{
    while (!text_is_empty(file)) {
        struct text content, comment;
        settings_line_split(text_take_until(&file, '\n'), &content, &comment);
        r->line++;
        if (text_is_empty(content))
            continue;
        if (settings_line_is_header(content)) {
            read_header(r, content, message);
            if (r->table != NULL)
                read_table(r, &file, message);
            continue;
        }
        if (!r->is_skipping)
            read_value(r, content, message);
    }
}

static void check_octets(struct reader *r, struct text file)
{
    for (size_t line = 1; !text_is_empty(file); line++) {
        struct text content = text_take_until(&file, '\n');
        if (text_ends_with(content, TEXT("\r")))
            content = text_first(content, content.length - 1);
        r->line = line;
        if (!line_is_text(content))
            complain_of(r, TEXT_NONE, "the line is no UTF-8 text without control characters");
    }
    r->line = 0;
}

/* --- what can be judged only when all is read --- */

static void check_built(struct reader *r, const struct settings_machine *machine)
{
    struct settings *defaults = settings_defaults(r->arena);
    if (defaults == NULL) {
        complain_of(r, TEXT_NONE, "the settings are too large");
        return;
    }
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        if (spec->built || r->settings->lines[i] == 0)
            continue;
        if (!derive(r->arena, spec, machine, r->settings, defaults) ||
            settings_value_equals(r->settings, defaults, spec))
            continue;
        r->line = r->settings->lines[i];
        complain_of(r, spec->key, "not built yet: only its default is taken; remove the line");
    }
}

static bool listens_overlap(const struct settings_listen *a, const struct settings_listen *b)
{
    return a->port == b->port && (a->is_any || b->is_any || network_address_equals(&a->address, &b->address));
}

static void check_listens(struct reader *r)
{
    const struct settings_listens *listens = &r->settings->service_listen;
    for (size_t i = 0; i < listens->count; i++)
        for (size_t j = 0; j < i; j++) {
            if (!listens_overlap(&listens->rows[i], &listens->rows[j]))
                continue;
            r->line = listens->rows[i].row.line;
            complain_of(r, TEXT("service.listen"), "another row listens there already");
        }
}

static void check_bypass_stage(struct reader *r)
{
    const struct settings *s = r->settings;
    for (size_t i = 0; i < s->security_bypass_dnsbl.count; i++) {
        const struct settings_bypass *bypass = &s->security_bypass_dnsbl.rows[i];
        bool is_late = bypass->kind == SETTINGS_BYPASS_SENDER || bypass->kind == SETTINGS_BYPASS_RECIPIENT;
        if (!is_late || s->security_dnsbl_stage != SETTINGS_DNSBL_STAGE_CONNECT)
            continue;
        r->line = bypass->row.line;
        complain_of(r, TEXT("security.bypass_dnsbl"),
                    "with dnsbl_stage = connect no sender or recipient is known yet; set dnsbl_stage = recipient");
    }
}

static void check_all(struct reader *r, const struct settings_machine *machine)
{
    const struct settings *s = r->settings;
    check_built(r, machine);
    check_listens(r);
    check_bypass_stage(r);
    if (s->tls_min_version < SETTINGS_TLS_VERSION_1_2 && s->tls_policy != SETTINGS_TLS_PROFILE_LEGACY) {
        r->line = s->lines[SETTINGS_KEY_tls_min_version];
        complain_of(r, TEXT("tls.min_version"), "1.0 and 1.1 need policy = legacy in [tls]");
    }
    if (s->lines[SETTINGS_KEY_service_hostname] == 0 && !settings_host_name_is_qualified(s->service_hostname)) {
        r->line = 0;
        complain_of(r, TEXT("service.hostname"),
                    "this machine has no fully qualified name; set hostname = mail.example.org in [service]");
    }
    if (s->delivery_mode == SETTINGS_DELIVERY_MODE_RELAY && s->delivery_relay_hosts.count == 0) {
        r->line = s->lines[SETTINGS_KEY_delivery_mode];
        complain_of(r, TEXT("delivery.mode"), "mode = relay needs a row in [table delivery.relay_hosts]");
    }
}

bool settings_parse(struct arena *arena, struct text file, const struct settings_machine *machine,
                    struct settings_problems *problems, const struct settings **ret_settings)
{
    struct reader r = {
        .arena = arena, .settings = settings_defaults(arena), .problems = problems, .section = TEXT_NONE};
    size_t before = problems->total;
    if (r.settings == NULL) {
        complain_of(&r, TEXT_NONE, "the settings are too large");
        return false;
    }
    struct buffer message = buffer_new(1000);
    check_octets(&r, file);
    if (problems->total == before)
        read_lines(&r, file, &message);
    bool is_derived = derive_all(arena, machine, r.settings);
    if (!is_derived)
        complain_of(&r, TEXT_NONE, "the settings are too large");
    else if (problems->total == before)
        check_all(&r, machine);
    buffer_done(&message);
    if (problems->total != before)
        return false;
    *ret_settings = r.settings;
    return true;
}
