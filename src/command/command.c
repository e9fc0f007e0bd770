/* SPDX-License-Identifier: Apache-2.0 */
#include "command/command.h"

/* The short words that the table is written in. */
#define T(literal) TEXT_INIT(literal)
#define HERE PEERS_NOBODY
#define SUPERVISOR PEERS_SUPERVISOR
#define CONTROL PEERS_CONTROL
#define VAULT PEERS_VAULT
#define QUEUE PEERS_QUEUE
#define LEDGER PEERS_LEDGER
#define ANYONE_LOCAL COMMAND_RIGHT_ANYONE_LOCAL
#define READ COMMAND_RIGHT_READ
#define OPERATE COMMAND_RIGHT_OPERATE
#define ADMINISTER COMMAND_RIGHT_ADMINISTER
#define WORKS_HERE COMMAND_OFFLINE_WORKS_HERE
#define WORKS_ON_FILE COMMAND_OFFLINE_WORKS_ON_FILE
#define WORKS_WITH_PROGRAM COMMAND_OFFLINE_WORKS_WITH_PROGRAM
#define REQUIRED COMMAND_REQUIRED
#define OPTIONAL COMMAND_OPTIONAL
#define REST COMMAND_REST
#define OPTION COMMAND_OPTION
#define FLAG COMMAND_FLAG
#define SECRET COMMAND_SECRET
#define WORDS COMMAND_VALUE_WORDS
#define DURATION COMMAND_VALUE_DURATION
#define SIZE COMMAND_VALUE_SIZE
#define NUMBER COMMAND_VALUE_NUMBER

/* A last row that is never used keeps commands without arguments legal. */
#define COMMAND(name, ...) static const struct command_argument arguments_of_##name[] = {
#define ARGUMENT(command, ...) {__VA_ARGS__},
#define END(name)                                                                                                      \
    {                                                                                                                  \
        .kind = COMMAND_OPTIONAL                                                                                       \
    }                                                                                                                  \
    }                                                                                                                  \
    ;
#include "command/commands.def"

/* The name is made from the words, so that the two can't differ. */
static const struct command_row rows[COMMANDS] = {
#define COMMAND(command, ...)                                                                                          \
    [COMMAND_##command] = {.arguments = arguments_of_##command, .argument_count = length_of(arguments_of_##command) - 1, __VA_ARGS__},
#include "command/commands.def"
};

const struct command_row *command_row(enum command_id id)
{
    must(id > COMMAND_NONE && id < COMMANDS);
    return &rows[id];
}

enum command_id command_id_of(const struct command_row *row)
{
    must(row > rows && row < rows + COMMANDS);
    return (enum command_id)(row - rows);
}

static bool is_name_of(struct text words, struct text name)
{
    if (words.length != name.length)
        return false;
    for (size_t i = 0; i < words.length; i++)
        if ((words.bytes[i] == ' ' ? '-' : words.bytes[i]) != name.bytes[i])
            return false;
    return true;
}

const struct command_row *command_find(struct text name)
{
    for (size_t i = COMMAND_NONE + 1; i < COMMANDS; i++)
        if (is_name_of(rows[i].words, name))
            return &rows[i];
    return NULL;
}

bool command_name_append(struct buffer *b, const struct command_row *row)
{
    bool fits = true;
    for (size_t i = 0; fits && i < row->words.length; i++)
        fits = buffer_append_octet(b, row->words.bytes[i] == ' ' ? '-' : row->words.bytes[i]);
    return fits;
}

static const struct text right_words[COMMAND_RIGHTS] = {
    [COMMAND_RIGHT_NONE] = TEXT_INIT("none"),       [COMMAND_RIGHT_ANYONE_LOCAL] = TEXT_INIT("anyone"),
    [COMMAND_RIGHT_READ] = TEXT_INIT("read"),       [COMMAND_RIGHT_OPERATE] = TEXT_INIT("operate"),
    [COMMAND_RIGHT_ADMINISTER] = TEXT_INIT("administer"),
};

struct text command_right_word(enum command_right right)
{
    must(right < COMMAND_RIGHTS);
    return right_words[right];
}

bool command_right_of_word(struct text word, enum command_right *ret_right)
{
    for (size_t i = 0; i < COMMAND_RIGHTS; i++)
        if (text_equals(right_words[i], word)) {
            *ret_right = (enum command_right)i;
            return true;
        }
    return false;
}
