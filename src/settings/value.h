/* SPDX-License-Identifier: Apache-2.0 */
/* value: what the files of this folder share: one value or row, from text to its type and back. A parser that fails
 * appends what is wrong and what would be right to complaint, never a row's log-in, and leaves the snapshot as it was.
 * Not shown outside settings. */
#ifndef SETTINGS_VALUE_H
#define SETTINGS_VALUE_H

#include "settings/settings.h"

/* The member of a snapshot that a row of settings.def stands for. */
static inline void *settings_member(struct settings *s, const struct settings_spec *spec)
{
    return (char *)s + spec->offset;
}
static inline const void *settings_member_read(const struct settings *s, const struct settings_spec *spec)
{
    return (const char *)s + spec->offset;
}

/* A snapshot of defaults that may still be written to; derived rows are empty. NULL: over the arena's limit. */
must_check struct settings *settings_defaults(struct arena *arena);

/* Single values. */
must_check bool settings_value_parse(struct arena *arena, const struct settings_spec *spec, struct text value,
                                     struct settings *s, struct buffer *complaint);
void settings_value_append(const struct settings *s, const struct settings_spec *spec, struct buffer *b);
bool settings_value_equals(const struct settings *a, const struct settings *b, const struct settings_spec *spec);
must_check bool settings_duration_parse(struct text t, uint64_t *ret_ms);
void settings_duration_append(struct buffer *b, uint64_t ms);
void settings_size_append(struct buffer *b, uint64_t octets);
void settings_number_append(struct buffer *b, const struct settings_spec *spec,
                            uint64_t number); /* in the unit of its type */
/* " 40", or how it is derived. */
void settings_default_append(const struct settings_spec *spec, enum settings_language language, struct buffer *b);
must_check bool settings_word_find(const struct settings_spec *spec, struct text word, uint64_t *ret_index);

/* Tables. Every table member is laid out as this one. */
struct settings_any_table {
    const void *rows;
    size_t count;
};
struct settings_any_table settings_table_read(const struct settings *s, const struct settings_spec *spec);
size_t settings_row_size(enum settings_type type);
/* Sets the whole table; parses rows[i] into its type. false: ret_bad tells which row. */
must_check bool settings_table_parse(struct arena *arena, const struct settings_spec *spec,
                                     const struct settings_row *rows, size_t count, struct settings *s, size_t *ret_bad,
                                     struct buffer *complaint);
/* The rows of a default or of an alias: parted by "\n". They stand in the arena. */
must_check bool settings_rows_split(struct arena *arena, struct text text, struct settings_row **ret_rows,
                                    size_t *ret_count);
/* The row's text; log-ins are left out, or written "***". */
enum settings_login_shown { SETTINGS_LOGIN_WHOLE, SETTINGS_LOGIN_STARS, SETTINGS_LOGIN_LEFT_OUT };
void settings_row_append(struct buffer *b, const struct settings_spec *spec, const struct settings_row *row,
                         enum settings_login_shown login);

/* Pieces of rows. */
must_check bool settings_flag_parse(struct text t, bool *ret_flag);
must_check bool settings_tls_level_parse(struct text t, uint64_t *ret_level);
must_check bool settings_endpoint_parse(struct text t, bool *ret_is_any, struct network_address *ret_address,
                                        uint16_t *ret_port);
must_check bool settings_host_parse(struct arena *arena, struct text t, struct settings_host *ret_host,
                                    const char **ret_message);
/* The file that the password stands in; empty: it stands in the row, or there is none. */
struct text settings_host_secret_file(const struct settings_host *host);
must_check bool settings_domain_mask_is_valid(struct text t);
/* The mask with its domain as A-labels in lower case. */
must_check bool settings_domain_key(struct arena *arena, struct text mask, struct text *ret_key);
must_check bool settings_port_parse(struct text t, uint16_t *ret_port);
/* Where the colon before the port stands; t.length when there is none. In "[v6]:25" it is the one after the bracket. */
size_t settings_port_find(struct text t);
/* Of digits, dots, stars, hyphens, slashes and colons: it wants to be a network, and a typing error must not make it a
 * name. */
bool settings_looks_like_network(struct text t);
/* At least two labels, the last one no number. */
bool settings_host_name_is_qualified(struct text name);
/* "name=value" from a word; false when there is no "=". */
must_check bool settings_option_split(struct text word, struct text *ret_name, struct text *ret_value);

/* Lines of the file: without what comes after, comment without "#". */
void settings_line_split(struct text line, struct text *ret_content, struct text *ret_comment);
/* "[section]"; a row may begin with "[2001:db8::1]", and no section has a colon. */
bool settings_line_is_header(struct text content);

#endif
