/* SPDX-License-Identifier: Apache-2.0 */
/* The manual page of the settings file, and a file with every default in it, from the table. */
#include "settings/value.h"

/* roff reads backslashes everywhere, a dot or a quote at the start of a line, and makes another hyphen of a plain one.
 */
static void append_roff(struct buffer *b, struct text t)
{
    bool is_line_start = true;
    for (size_t i = 0; i < t.length; i++) {
        char c = t.bytes[i];
        if (is_line_start && (c == '.' || c == '\''))
            buffer_append(b, TEXT("\\&"));
        if (c == '\\')
            buffer_append(b, TEXT("\\e"));
        else if (c == '-')
            buffer_append(b, TEXT("\\-"));
        else
            buffer_append_octet(b, c);
        is_line_start = c == '\n';
    }
}

static void append_field(struct buffer *b, const char *name, struct text value)
{
    if (text_is_empty(value))
        return;
    buffer_append_format(b, ".br\n%s: ", name);
    append_roff(b, value);
    buffer_append_octet(b, '\n');
}

static void append_range(struct buffer *b, const struct settings_spec *spec)
{
    if (spec->type == SETTINGS_CHOICE) {
        buffer_append(b, TEXT(".br\nOne of: "));
        for (size_t i = 0; i < spec->word_count; i++) {
            buffer_append(b, i == 0 ? TEXT("") : TEXT(", "));
            append_roff(b, spec->words[i]);
        }
        buffer_append_octet(b, '\n');
        return;
    }
    bool has_range = spec->type <= SETTINGS_SHARE || spec->type == SETTINGS_DURATIONS;
    buffer_append(b, TEXT(".br\nType: "));
    append_roff(b, settings_type_word(spec->type));
    if (has_range && spec->minimum != 0) {
        buffer_append(b, TEXT(", at least "));
        settings_number_append(b, spec, spec->minimum);
    }
    if (has_range && spec->maximum != 0) {
        buffer_append(b, TEXT(", at most "));
        settings_number_append(b, spec, spec->maximum);
    }
    if (has_range && spec->may_be_none)
        buffer_append(b, TEXT("; 0 or none for none"));
    buffer_append_octet(b, '\n');
}

static void append_setting(struct buffer *b, const struct settings_spec *spec)
{
    buffer_append(b, TEXT(".TP\n.B "));
    if (settings_is_table(spec))
        buffer_append(b, TEXT("[table "));
    append_roff(b, settings_is_table(spec) ? spec->key : spec->name);
    buffer_append(b, settings_is_table(spec) ? TEXT("]\n") : TEXT("\n"));
    append_roff(b, spec->help_en);
    buffer_append_octet(b, '\n');
    append_range(b, spec);
    struct buffer value = buffer_new(10000);
    settings_default_append(spec, SETTINGS_ENGLISH, &value);
    append_field(b, "Default", text_trimmed(buffer_text(&value)));
    buffer_done(&value);
    append_field(b, "The guide recommends", spec->guide_text);
    append_field(b, "The guide says", spec->guide_note);
    append_field(b, "Also named", spec->alias);
    if (!spec->built)
        buffer_append(b, TEXT(".br\nNot built yet: only its default is taken.\n"));
}

static const struct text introduction = TEXT_INIT(
    ".SH NAME\n"
    "portiere.conf \\- the settings of the portiere mail server\n"
    ".SH DESCRIPTION\n"
    "A setting is written\n.B key = value\nbelow its\n.BR [section] .\n"
    "A table begins with\n.B [table section.name]\nand has one row a line; it replaces the rows of the default.\n"
    "A # opens a comment at the start of a line or after a blank; the comment of a row is kept with it.\n"
    ".PP\n"
    "Durations are written 500ms, 45s, 30m, 4h, 2d; sizes as bytes, or 16K, 50M, 2G, 1T; flags yes or no. 0 or none "
    "means no limit where a setting says so.\n"
    "A default that is derived from an unlimited value is unlimited.\n"
    ".PP\n"
    "A file with a mistake is refused as a whole, each mistake named with its line, and the server goes on with the "
    "settings it has.\n"
    "Log-ins in relay_hosts, routes and redirects are never shown, and only the process that needs them gets them.\n"
    "A password may be written\n.BR file: NAME\nand is then the first line of that file, NAME being a whole path or "
    "one from the folder of "
    "portiere.conf. The file must not be open to others (chmod o=); it is read at each start and reload.\n");

void settings_as_manual(struct buffer *b)
{
    buffer_append(b,
                  TEXT(".\\\" Made from the table of settings.\n.TH PORTIERE.CONF 5 \"\" \"portiere " PORTIERE_VERSION
                       "\" \"File formats\"\n"));
    buffer_append(b, introduction);
    struct text section = TEXT_NONE, tab = TEXT_NONE;
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        if (!text_equals(section, spec->section)) {
            buffer_append_format(b, ".SH [%.*s]\n", TEXT_ARGUMENTS(spec->section));
            section = spec->section;
        }
        if (!text_equals(tab, spec->tab_en)) {
            buffer_append(b, TEXT(".SS "));
            append_roff(b, spec->tab_en);
            buffer_append_octet(b, '\n');
            tab = spec->tab_en;
        }
        append_setting(b, spec);
    }
}

static void append_commented(struct buffer *b, struct text lines)
{
    while (!text_is_empty(lines)) {
        buffer_append(b, TEXT("#"));
        buffer_append(b, text_take_until(&lines, '\n'));
        buffer_append_octet(b, '\n');
    }
}

static void append_example_key(struct buffer *b, const struct settings_spec *spec)
{
    buffer_append(b, TEXT("\n# "));
    buffer_append(b, spec->help_en);
    buffer_append_octet(b, '\n');
    if (settings_is_table(spec)) {
        buffer_append_format(b, "#[table %.*s]\n", TEXT_ARGUMENTS(spec->key));
        append_commented(b, spec->default_text);
        return;
    }
    buffer_append_format(b, "#%.*s = ", TEXT_ARGUMENTS(spec->name));
    if (spec->derived == SETTINGS_DERIVED_NOT)
        buffer_append(b, spec->default_text);
    buffer_append_octet(b, '\n');
}

/* The sections first, then the tables: a table's rows go on to the next header. */
void settings_as_example(struct buffer *b)
{
    buffer_append(b, TEXT("# Settings of portiere; see portiere.conf(5). What is commented out shows the default.\n"));
    struct text section = TEXT_NONE;
    for (size_t pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < SETTINGS_KEYS; i++) {
            const struct settings_spec *spec = settings_spec((enum settings_key)i);
            if (!spec->built || settings_is_table(spec) != (pass == 1))
                continue;
            if (pass == 0 && !text_equals(section, spec->section)) {
                buffer_append_format(b, "\n[%.*s]\n", TEXT_ARGUMENTS(spec->section));
                section = spec->section;
            }
            append_example_key(b, spec);
        }
}
