/* SPDX-License-Identifier: Apache-2.0 */
/* words: what the command line says, in English or Italian. Pure. */
#ifndef COMMAND_WORDS_H
#define COMMAND_WORDS_H

#include "command/command.h"
#include "settings/settings.h"

enum command_word {
#define WORD(name, english, italian) COMMAND_WORD_##name,
#include "command/words.def"
    COMMAND_WORDS,
};

struct text command_word(enum command_word word, enum settings_language language);
/* With {0} and {1} filled in; octets of a stranger stay as they are: the output quotes them. */
void command_word_append(struct buffer *b, enum command_word word, enum settings_language language, struct text first, struct text second);
struct text command_help_of(const struct command_row *row, enum settings_language language);
struct text command_argument_help_of(const struct command_argument *argument, enum settings_language language);

#endif
