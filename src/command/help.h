/* SPDX-License-Identifier: Apache-2.0 */
/* help: the pages that are made from the command table: the list, one command, the manual page portiere(1). Pure. */
#ifndef COMMAND_HELP_H
#define COMMAND_HELP_H

#include "command/words.h"

void command_help_all(struct buffer *b, enum settings_language language);
void command_help_one(struct buffer *b, const struct command_row *row, enum settings_language language);
/* Every command of a kind ("queue"). False: there is none of that name. */
must_check bool command_help_group(struct buffer *b, struct text group, enum settings_language language);
void command_as_manual(struct buffer *b);

#endif
