/* SPDX-License-Identifier: Apache-2.0 */
#include "command/help.h"

/* A page is written for one reader; a buffer that is full cuts it, and is_full tells. */

static void put(struct buffer *b, struct text t)
{
    ignored(buffer_append(b, t)); /* see above */
}

static void put_word(struct buffer *b, enum command_word word, enum settings_language language)
{
    put(b, command_word(word, language));
}

/* Columns of letters, not of octets: "è" is one. */
static size_t width_of(struct text t)
{
    size_t width = 0;
    for (size_t i = 0; i < t.length; i++)
        width += ((unsigned char)t.bytes[i] & 0xc0) != 0x80;
    return width;
}

enum { LEFT = 34, LINE = 100 };

/* Left column, then words wrapped in the right one. */
static void put_pair(struct buffer *b, struct text left, struct text right)
{
    put(b, TEXT("  "));
    put(b, left);
    size_t column = 2 + width_of(left);
    if (column >= LEFT) {
        put(b, TEXT("\n"));
        column = 0;
    }
    while (right.length) {
        struct text word = text_take_until(&right, ' ');
        if (column > LEFT && column + 1 + width_of(word) > LINE) {
            put(b, TEXT("\n"));
            column = 0;
        }
        bool is_first = column < LEFT;
        for (; column < LEFT; column++)
            put(b, TEXT(" "));
        if (!is_first) {
            put(b, TEXT(" "));
            column++;
        }
        put(b, word);
        column += width_of(word);
    }
    put(b, TEXT("\n"));
}

static void put_upper(struct buffer *b, struct text t)
{
    for (size_t i = 0; i < t.length; i++)
        ignored(buffer_append_octet(b, octet_upper(t.bytes[i]))); /* see above */
}

/* "ADDRESS", "[DOMAIN]", "VALUE...", "[--from FROM]" */
static void put_argument(struct buffer *b, const struct command_argument *argument)
{
    switch (argument->kind) {
    case COMMAND_REQUIRED:
        put_upper(b, argument->name);
        break;
    case COMMAND_OPTIONAL:
        put(b, TEXT("["));
        put_upper(b, argument->name);
        put(b, TEXT("]"));
        break;
    case COMMAND_REST:
        put(b, argument->is_needed ? TEXT("") : TEXT("["));
        put_upper(b, argument->name);
        put(b, argument->is_needed ? TEXT("...") : TEXT("...]"));
        break;
    case COMMAND_OPTION:
        put(b, TEXT("--"));
        put(b, argument->name);
        put(b, TEXT(" "));
        put_upper(b, argument->name);
        break;
    case COMMAND_FLAG:
        put(b, TEXT("--"));
        put(b, argument->name);
        break;
    case COMMAND_SECRET:
        put(b, TEXT("--"));
        put(b, argument->name);
        put(b, TEXT("-stdin"));
        break;
    }
}

static bool is_by_place(const struct command_argument *argument)
{
    return argument->kind == COMMAND_REQUIRED || argument->kind == COMMAND_OPTIONAL || argument->kind == COMMAND_REST;
}

static void put_synopsis(struct buffer *b, const struct command_row *row)
{
    put(b, TEXT("portiere "));
    put(b, row->words);
    for (size_t i = 0; i < row->argument_count; i++) {
        bool in_brackets = !is_by_place(&row->arguments[i]);
        put(b, in_brackets ? TEXT(" [") : TEXT(" "));
        put_argument(b, &row->arguments[i]);
        if (in_brackets)
            put(b, TEXT("]"));
    }
}

static const struct {
    struct text option;
    enum command_word word;
} everywhere[] = {
    {.option = TEXT_INIT("--directory DIR"), .word = COMMAND_WORD_OPTION_DIRECTORY},
    {.option = TEXT_INIT("--json"), .word = COMMAND_WORD_OPTION_JSON},
    {.option = TEXT_INIT("--language en|it"), .word = COMMAND_WORD_OPTION_LANGUAGE},
    {.option = TEXT_INIT("--help, -h"), .word = COMMAND_WORD_OPTION_HELP},
};

static const struct {
    struct text status;
    enum command_word word;
} statuses[] = {
    {.status = TEXT_INIT("0"), .word = COMMAND_WORD_EXIT_0}, {.status = TEXT_INIT("1"), .word = COMMAND_WORD_EXIT_1},
    {.status = TEXT_INIT("2"), .word = COMMAND_WORD_EXIT_2}, {.status = TEXT_INIT("3"), .word = COMMAND_WORD_EXIT_3},
    {.status = TEXT_INIT("4"), .word = COMMAND_WORD_EXIT_4}, {.status = TEXT_INIT("5"), .word = COMMAND_WORD_EXIT_5},
};

static void put_title(struct buffer *b, enum command_word word, enum settings_language language)
{
    put(b, TEXT("\n"));
    put_word(b, word, language);
    put(b, TEXT(":\n"));
}

static void put_everywhere(struct buffer *b, enum settings_language language)
{
    put_title(b, COMMAND_WORD_OPTIONS_EVERYWHERE, language);
    for (size_t i = 0; i < length_of(everywhere); i++)
        put_pair(b, everywhere[i].option, command_word(everywhere[i].word, language));
    put_title(b, COMMAND_WORD_EXIT_STATUS, language);
    for (size_t i = 0; i < length_of(statuses); i++)
        put_pair(b, statuses[i].status, command_word(statuses[i].word, language));
}

static void put_listed(struct buffer *b, const struct command_row *row, enum settings_language language)
{
    struct buffer left released_by(buffer_done) = buffer_new(512);
    put(&left, row->words);
    for (size_t i = 0; i < row->argument_count; i++)
        if (is_by_place(&row->arguments[i])) {
            put(&left, TEXT(" "));
            put_argument(&left, &row->arguments[i]);
        }
    put_pair(b, buffer_text(&left), command_help_of(row, language));
}

void command_help_all(struct buffer *b, enum settings_language language)
{
    put_word(b, COMMAND_WORD_USAGE, language);
    put(b, TEXT(": portiere COMMAND [ARGUMENTS] [--directory DIR] [--json] [--language en|it]\n"));
    put_title(b, COMMAND_WORD_COMMANDS, language);
    for (size_t i = COMMAND_NONE + 1; i < COMMANDS; i++)
        if (!command_row((enum command_id)i)->is_hidden)
            put_listed(b, command_row((enum command_id)i), language);
    put_everywhere(b, language);
    put(b, TEXT("\n"));
    put_word(b, COMMAND_WORD_MANUAL_PAGES, language);
    put(b, TEXT("\n"));
}

bool command_help_group(struct buffer *b, struct text group, enum settings_language language)
{
    size_t found = 0;
    for (size_t i = COMMAND_NONE + 1; i < COMMANDS; i++) {
        const struct command_row *row = command_row((enum command_id)i);
        struct text rest = row->words, head = text_take_until(&rest, ' ');
        if (row->is_hidden || rest.length == 0 || !text_equals(head, group))
            continue;
        put_listed(b, row, language);
        found++;
    }
    return found > 0;
}

void command_help_one(struct buffer *b, const struct command_row *row, enum settings_language language)
{
    put_word(b, COMMAND_WORD_USAGE, language);
    put(b, TEXT(": "));
    put_synopsis(b, row);
    put(b, TEXT("\n\n"));
    put(b, command_help_of(row, language));
    put(b, TEXT("\n"));
    if (row->argument_count)
        put_title(b, COMMAND_WORD_ARGUMENTS, language);
    for (size_t i = 0; i < row->argument_count; i++) {
        struct buffer left released_by(buffer_done) = buffer_new(512);
        put_argument(&left, &row->arguments[i]);
        put_pair(b, buffer_text(&left), command_argument_help_of(&row->arguments[i], language));
    }
    put_everywhere(b, language);
}

/* --- roff -------------------------------------------------------------------------------------------------------------------------------- */

/* A line must not begin with a dot or a quote, and a backslash is roff's own; "-" is a hyphen there, "\-" what is typed. */
static void put_roff(struct buffer *b, struct text t)
{
    if (t.length && (t.bytes[0] == '.' || t.bytes[0] == '\''))
        put(b, TEXT("\\&"));
    for (size_t i = 0; i < t.length; i++) {
        if (t.bytes[i] == '\\')
            put(b, TEXT("\\e"));
        else if (t.bytes[i] == '-')
            put(b, TEXT("\\-"));
        else
            put(b, text_of(t.bytes + i, 1));
    }
}

static void put_roff_pair(struct buffer *b, struct text left, struct text right)
{
    put(b, TEXT(".TP\n.B "));
    put_roff(b, left);
    put(b, TEXT("\n"));
    put_roff(b, right);
    put(b, TEXT("\n"));
}

static void put_manual_command(struct buffer *b, const struct command_row *row)
{
    struct buffer synopsis released_by(buffer_done) = buffer_new(4096);
    put_synopsis(&synopsis, row);
    put(b, TEXT(".SS "));
    put_roff(b, buffer_text(&synopsis));
    put(b, TEXT("\n"));
    put_roff(b, row->help_en);
    put(b, TEXT("\n"));
    if (row->short_words.length) {
        put(b, TEXT("Short form:\n.BR \"portiere "));
        put_roff(b, row->short_words);
        put(b, TEXT("\" .\n"));
    }
    for (size_t i = 0; i < row->argument_count; i++) {
        struct buffer left released_by(buffer_done) = buffer_new(512);
        put_argument(&left, &row->arguments[i]);
        put_roff_pair(b, buffer_text(&left), row->arguments[i].help_en);
    }
}

void command_as_manual(struct buffer *b)
{
    put(b, TEXT(".\\\" Made by: portiere help --as-manual. Do not edit: src/command/commands.def is the source.\n"
                ".TH PORTIERE 1 \"\" \"portiere " PORTIERE_VERSION "\" \"Portiere\"\n"
                ".SH NAME\nportiere \\- a mail server that is locked when you unpack it\n"
                ".SH SYNOPSIS\n.B portiere\n.I COMMAND\n[\\fIARGUMENTS\\fR] [\\fB\\-\\-directory\\fR \\fIDIR\\fR] [\\fB\\-\\-json\\fR]"
                " [\\fB\\-\\-language\\fR \\fBen\\fR|\\fBit\\fR]\n"
                ".SH DESCRIPTION\nRuns and steers the server. A command goes to the running server through its control socket; where it makes\n"
                "sense it also works without one. A value is written with its unit (30m, 4h, 2d, 50M), a row of a table in quotes.\n"
                ".SH COMMANDS\n"));
    for (size_t i = COMMAND_NONE + 1; i < COMMANDS; i++)
        if (!command_row((enum command_id)i)->is_hidden)
            put_manual_command(b, command_row((enum command_id)i));
    put(b, TEXT(".SH OPTIONS\n"));
    for (size_t i = 0; i < length_of(everywhere); i++)
        put_roff_pair(b, everywhere[i].option, command_word(everywhere[i].word, SETTINGS_ENGLISH));
    put(b, TEXT(".SH EXIT STATUS\n"));
    for (size_t i = 0; i < length_of(statuses); i++)
        put_roff_pair(b, statuses[i].status, command_word(statuses[i].word, SETTINGS_ENGLISH));
    put(b, TEXT(".SH FILES\n.TP\n.I /etc/portiere/portiere.conf\nthe settings; see portiere.conf(5)\n"
                ".TP\n.I /run/portiere/control\nthe control socket: root, the server's own user, and the group portiere\\-admin may open it\n"
                ".SH SEE ALSO\n.BR portiere.conf (5)\n"));
}
