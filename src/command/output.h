/* SPDX-License-Identifier: Apache-2.0 */
/* output: rows for a reader or for a program. For a reader: a table (several rows of the same fields) or lines of "name: value"; the octets of
 * strangers are quoted, so that no terminal obeys them. For a program: JSON, every value a text; an array where the command lists. Rows are
 * written as they come (a table's widths are those of its first rows), so a million of them needs no memory. */
#ifndef COMMAND_OUTPUT_H
#define COMMAND_OUTPUT_H

#include "base/base.h"

enum command_output_form {
    COMMAND_OUTPUT_TEXT,
    COMMAND_OUTPUT_PAIRS, /* as text, but never as a table */
    COMMAND_OUTPUT_JSON,
    COMMAND_OUTPUT_RAW, /* the fields named "octets", as they are */
};

struct command_output;

/* holds: nothing is written before the end (up to a limit), since whoever sends the rows may not be kept waiting by a slow reader. */
struct command_output *command_output_new(int file, enum command_output_form form, bool lists, bool holds);
/* fields: name, value, name, value. False: nobody reads any more. */
must_check bool command_output_row(struct command_output *o, const struct text *fields, size_t count);
/* Writes what is still held back. JSON is whole only after it. */
must_check bool command_output_end(struct command_output *o);
void command_output_free(struct command_output **o);
size_t command_output_count(const struct command_output *o);

/* Control characters, NUL, and what is no UTF-8 become "\x1b"; a line break only when lines may break. */
void command_quote_append(struct buffer *b, struct text t, bool may_break);

#endif
