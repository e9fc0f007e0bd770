/* SPDX-License-Identifier: Apache-2.0 */
/* commands: the table of the commands. What is no command of ours has rows too: the verbs of other protocols close the session. */
#include "smtp/server_parts.h"

enum { MAIL_FLAGS = COMMAND_NEEDS_HELLO | COMMAND_NEEDS_LOGIN };

static const struct command_row rows[] = {
    {.word = TEXT_INIT("RCPT"), .verb = SMTP_RCPT, .flags = MAIL_FLAGS, .handle = command_recipient},
    {.word = TEXT_INIT("MAIL"), .verb = SMTP_MAIL, .flags = MAIL_FLAGS, .handle = command_mail},
    {.word = TEXT_INIT("DATA"), .verb = SMTP_DATA, .flags = MAIL_FLAGS | COMMAND_HAS_NO_ARGUMENT, .handle = command_data},
    {.word = TEXT_INIT("BDAT"), .verb = SMTP_BDAT, .flags = 0 /* it eats its chunk in any case */, .handle = command_bdat},
    {.word = TEXT_INIT("EHLO"), .verb = SMTP_EHLO, .flags = COMMAND_IS_IDLE, .handle = command_hello},
    {.word = TEXT_INIT("HELO"), .verb = SMTP_HELO, .flags = COMMAND_IS_IDLE, .handle = command_hello},
    {.word = TEXT_INIT("QUIT"), .verb = SMTP_QUIT, .flags = 0, .handle = command_quit},
    {.word = TEXT_INIT("RSET"), .verb = SMTP_RSET, .flags = COMMAND_IS_IDLE | COMMAND_HAS_NO_ARGUMENT, .handle = command_reset},
    {.word = TEXT_INIT("NOOP"), .verb = SMTP_NOOP, .flags = COMMAND_IS_IDLE, .handle = command_noop},
    {.word = TEXT_INIT("AUTH"), .verb = SMTP_AUTH, .flags = COMMAND_NEEDS_HELLO | COMMAND_IS_SECRET, .handle = command_auth},
    {.word = TEXT_INIT("STARTTLS"), .verb = SMTP_STARTTLS, .flags = COMMAND_HAS_NO_ARGUMENT, .handle = command_starttls},
    {.word = TEXT_INIT("VRFY"), .verb = SMTP_VRFY, .flags = MAIL_FLAGS | COMMAND_IS_IDLE, .handle = command_verify},
    {.word = TEXT_INIT("EXPN"), .verb = SMTP_EXPN, .flags = MAIL_FLAGS | COMMAND_IS_IDLE, .handle = command_verify},
    {.word = TEXT_INIT("HELP"), .verb = SMTP_HELP, .flags = COMMAND_IS_IDLE, .handle = command_help},
    {.word = TEXT_INIT("TURN"), .verb = SMTP_VERB_OTHER, .handle = command_not_implemented},
    {.word = TEXT_INIT("ETRN"), .verb = SMTP_VERB_OTHER, .handle = command_not_implemented},
    {.word = TEXT_INIT("ATRN"), .verb = SMTP_VERB_OTHER, .handle = command_not_implemented},
    {.word = TEXT_INIT("SEND"), .verb = SMTP_VERB_OTHER, .handle = command_not_implemented},
    {.word = TEXT_INIT("SOML"), .verb = SMTP_VERB_OTHER, .handle = command_not_implemented},
    {.word = TEXT_INIT("SAML"), .verb = SMTP_VERB_OTHER, .handle = command_not_implemented},
    {.word = TEXT_INIT("GET"), .verb = SMTP_VERB_OTHER, .handle = command_foreign},
    {.word = TEXT_INIT("POST"), .verb = SMTP_VERB_OTHER, .handle = command_foreign},
    {.word = TEXT_INIT("PUT"), .verb = SMTP_VERB_OTHER, .handle = command_foreign},
    {.word = TEXT_INIT("HEAD"), .verb = SMTP_VERB_OTHER, .handle = command_foreign},
    {.word = TEXT_INIT("DELETE"), .verb = SMTP_VERB_OTHER, .handle = command_foreign},
    {.word = TEXT_INIT("PATCH"), .verb = SMTP_VERB_OTHER, .handle = command_foreign},
    {.word = TEXT_INIT("OPTIONS"), .verb = SMTP_VERB_OTHER, .handle = command_foreign},
    {.word = TEXT_INIT("CONNECT"), .verb = SMTP_VERB_OTHER, .handle = command_foreign},
    {.word = TEXT_INIT("TRACE"), .verb = SMTP_VERB_OTHER, .handle = command_foreign},
    {.word = TEXT_INIT("PRI"), .verb = SMTP_VERB_OTHER, .handle = command_foreign},
    {.word = TEXT_INIT(""), .verb = SMTP_VERB_OTHER, .handle = command_unknown},
};

const struct command_row *command_rows(size_t *ret_count)
{
    *ret_count = length_of(rows);
    return rows;
}

const struct command_row *command_find(struct text word)
{
    size_t row = 0;
    while (row + 1 < length_of(rows) && !text_equals_ignoring_case(rows[row].word, word))
        row++;
    return &rows[row];
}

struct text smtp_verb_word(enum smtp_verb verb)
{
    if (verb == SMTP_VERB_NONE)
        return TEXT("-");
    for (size_t i = 0; i < length_of(rows); i++)
        if (rows[i].verb == verb && verb != SMTP_VERB_OTHER)
            return rows[i].word;
    return TEXT("?");
}
