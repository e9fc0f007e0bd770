/* SPDX-License-Identifier: Apache-2.0 */
/* parse: from the words of a command line to one command of the table and its arguments as they travel: name, value, in pairs. Pure; the
 * pairs' texts stand in the arena or are those that came. Secrets are not here: whoever has standard input adds them. */
#ifndef COMMAND_PARSE_H
#define COMMAND_PARSE_H

#include "command/words.h"

enum { COMMAND_PAIRS = 256, COMMAND_VALUE_LIMIT = 4000 };

struct command_call {
    const struct command_row *row; /* NULL: only help was asked for */
    struct text pairs[COMMAND_PAIRS]; /* name, value, name, value */
    size_t count;                     /* of texts: twice that of the pairs */
    struct text directory;            /* empty: the installed places */
    enum settings_language language;
    bool is_json;
    bool wants_help;
    bool has_secret; /* --password-stdin */
};

/* words: without the program's name. locale: what LANG and its like say. On failure why says what was wrong. */
enum command_exit command_parse(struct arena *arena, const struct text *words, size_t count, struct text locale,
                                struct command_call *ret_call, struct buffer *why);
/* The value of an argument, or empty; has_ tells an empty value from an absent one. */
struct text command_argument(const struct command_call *call, struct text name);
bool command_has_argument(const struct command_call *call, struct text name);
must_check bool command_argument_add(struct command_call *call, struct text name, struct text value);
/* The SECRET of this command, or NULL. */
const struct command_argument *command_secret_of(const struct command_row *row);

#endif
