/* SPDX-License-Identifier: Apache-2.0 */
/* escape: a stranger's octets, such that no reader, terminal or line break is moved by them, and that they can be had
 * back exactly. */
#ifndef RECORD_ESCAPE_H
#define RECORD_ESCAPE_H

#include "base/base.h"

enum record_escape {
    RECORD_ESCAPE_QUOTED, /* for between double quotes in a line of text */
    RECORD_ESCAPE_JSON,   /* becomes UTF-8 without what JSON's own writer does not escape */
};

void record_escape_append(struct buffer *b, struct text value, enum record_escape how);
/* The octets again. False: a backslash stands where none may. */
must_check bool record_unescape(struct text escaped, struct arena *arena, struct text *ret_value);
bool record_is_bare(struct text value); /* it may stand without quotes */
/* At most limit octets, whole characters, and "[cut]" behind them (room: limit + 5) when there were more. */
struct text record_cut(struct text value, size_t limit, char *room);

#endif
