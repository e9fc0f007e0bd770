/* SPDX-License-Identifier: Apache-2.0 */
#include "command/words.h"

static const struct {
    struct text en, it;
} words[COMMAND_WORDS] = {
#define WORD(name, english, italian) [COMMAND_WORD_##name] = {.en = TEXT_INIT(english), .it = TEXT_INIT(italian)},
#include "command/words.def"
};

static struct text chosen(struct text en, struct text it, enum settings_language language)
{
    switch (language) {
    case SETTINGS_ENGLISH:
        return en;
    case SETTINGS_ITALIAN:
        return it;
    }
    return en;
}

struct text command_word(enum command_word word, enum settings_language language)
{
    must(word < COMMAND_WORDS);
    return chosen(words[word].en, words[word].it, language);
}

void command_word_append(struct buffer *b, enum command_word word, enum settings_language language, struct text first, struct text second)
{
    struct text rest = command_word(word, language);
    while (rest.length) {
        bool is_first = text_starts_with(rest, TEXT("{0}")), is_second = text_starts_with(rest, TEXT("{1}"));
        if (is_first || is_second) {
            ignored(buffer_append(b, is_first ? first : second)); /* is_full tells */
            rest = text_after(rest, 3);
        } else {
            ignored(buffer_append(b, text_take(&rest, 1))); /* as above */
        }
    }
}

struct text command_help_of(const struct command_row *row, enum settings_language language)
{
    return chosen(row->help_en, row->help_it, language);
}

struct text command_argument_help_of(const struct command_argument *argument, enum settings_language language)
{
    return chosen(argument->help_en, argument->help_it, language);
}
