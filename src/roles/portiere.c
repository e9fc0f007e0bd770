/* SPDX-License-Identifier: Apache-2.0 */
/* The program `portiere`: the command line. It parses by the command table, answers what it can itself, and puts the rest to who handles it. */
#include "roles/portiere.h"

#include "command/audit.h"
#include "command/help.h"
#include "command/settings_commands.h"
#include "system/system.h"

#include <signal.h>
#include <stdlib.h>

enum { WORDS_LIMIT = 1024, SECRET_LIMIT = 1024, PAGE_LIMIT = 4 << 20, STOP_MS = 60000, STANDARD_INPUT = 0, STANDARD_OUTPUT = 1, STANDARD_ERROR = 2 };

/* --- commands that need nobody ----------------------------------------------------------------------------------------------------------- */

static enum command_exit print(struct text page)
{
    return file_write_all(STANDARD_OUTPUT, page) == 0 ? COMMAND_EXIT_DONE : COMMAND_EXIT_FAILED;
}

static enum command_exit version(struct command_session *s)
{
    struct text row[] = {TEXT("version"), TEXT(PORTIERE_VERSION), TEXT("program"), TEXT("portiere")};
    if (s->call.is_json)
        return command_answer(s, row, length_of(row)) ? COMMAND_EXIT_DONE : COMMAND_EXIT_FAILED;
    return print(TEXT("portiere " PORTIERE_VERSION "\n"));
}

/* The words of `help WORD WORD`, joined as the table writes them. */
static void asked_words(const struct command_call *call, struct buffer *b)
{
    for (size_t i = 0; i + 1 < call->count; i += 2)
        if (text_equals(call->pairs[i], TEXT("command")))
            ignored(buffer_append_format(b, "%s%.*s", b->length ? "-" : "", TEXT_ARGUMENTS(call->pairs[i + 1]))); /* too long: no such command */
}

static enum command_exit help(struct command_session *s)
{
    struct buffer asked released_by(buffer_done) = buffer_new(256), page released_by(buffer_done) = buffer_new(PAGE_LIMIT);
    asked_words(&s->call, &asked);
    const struct command_row *row = command_find(buffer_text(&asked));
    if (command_has_argument(&s->call, TEXT("as-manual"))) {
        if (text_equals(buffer_text(&asked), TEXT("settings")))
            settings_as_manual(&page);
        else
            command_as_manual(&page);
    } else if (asked.length == 0) {
        command_help_all(&page, s->call.language);
    } else if (row) {
        command_help_one(&page, row, s->call.language);
    } else if (!command_help_group(&page, buffer_text(&asked), s->call.language)) {
        command_complain(s, COMMAND_WORD_UNKNOWN_COMMAND, buffer_text(&asked), TEXT_NONE);
        return COMMAND_EXIT_USAGE;
    }
    return print(buffer_text(&page));
}

/* The roles tell all but one thing: how many connections the kernel lets wait, which none of them can read. */
static enum command_exit status(struct command_session *s)
{
    struct buffer most released_by(buffer_done) = buffer_new(64), wanted released_by(buffer_done) = buffer_new(24), both released_by(buffer_done) = buffer_new(24);
    const struct settings *running = command_running(s);
    enum command_exit exit = command_forward(s);
    uint64_t allowed;
    if (exit != COMMAND_EXIT_DONE || !running || file_read_whole(-1, TEXT("/proc/sys/net/core/somaxconn"), &most) != 0 ||
        !text_number(text_trimmed(buffer_text(&most)), UINT32_MAX, &allowed))
        return exit;
    ignored(buffer_append_number(&wanted, running->service_backlog));                       /* fits */
    ignored(buffer_append_number(&both, smaller((size_t)running->service_backlog, (size_t)allowed))); /* fits */
    struct text row[] = {TEXT("role"), TEXT("kernel"), TEXT("backlog_set"), buffer_text(&wanted), TEXT("somaxconn"), text_trimmed(buffer_text(&most)),
                         TEXT("backlog"), buffer_text(&both)};
    return command_answer(s, row, length_of(row)) ? exit : COMMAND_EXIT_FAILED;
}

/* Done is when nobody is there any more: the control role is among the last to go. */
static enum command_exit stop(struct command_session *s)
{
    enum command_exit exit = command_forward(s);
    if (exit != COMMAND_EXIT_DONE || command_wait_for_end(&s->link, STOP_MS))
        return exit;
    command_complain(s, COMMAND_WORD_NOT_STOPPED, TEXT("60"), TEXT_NONE);
    return COMMAND_EXIT_FAILED;
}

/* The supervisor is a program of its own; it takes our place, so that who started us watches the right process. */
static enum command_exit serve(struct command_session *s)
{
    struct buffer path released_by(buffer_done) = buffer_new(4096);
    int folder released_by(file_close) = -1, program released_by(file_close) = -1;
    struct text arguments[] = {TEXT("portiere-supervisor"), s->places.home, s->places.state, s->places.run};
    int result = process_own_folder(&path) ? folder_open(-1, buffer_text(&path), &folder) : 0;
    if (!result)
        result = file_open(folder, arguments[0], 0, 0, &program);
    if (!result)
        result = process_become(program, arguments, length_of(arguments));
    command_complain(s, COMMAND_WORD_NO_PROGRAM, arguments[0], file_error_word(result));
    return COMMAND_EXIT_FAILED;
}

static const struct {
    enum command_id command;
    enum command_exit (*function)(struct command_session *s);
} here[] = {
    {.command = COMMAND_serve, .function = serve},
    {.command = COMMAND_stop, .function = stop},
    {.command = COMMAND_status, .function = status},
    {.command = COMMAND_version, .function = version},
    {.command = COMMAND_help, .function = help},
    {.command = COMMAND_explain, .function = portiere_explain},
    {.command = COMMAND_audit, .function = command_audit},
    {.command = COMMAND_settings_list, .function = command_settings_list},
    {.command = COMMAND_settings_get, .function = command_settings_get},
    {.command = COMMAND_settings_check, .function = command_settings_check},
    {.command = COMMAND_settings_diff, .function = command_settings_diff},
    {.command = COMMAND_settings_explain, .function = command_settings_explain},
    {.command = COMMAND_settings_example, .function = command_settings_example},
};

/* --- passwords --------------------------------------------------------------------------------------------------------------------------- */

static bool ask_twice(struct command_session *s, struct buffer *secret)
{
    struct buffer again released_by(buffer_wipe_done) = buffer_new(SECRET_LIMIT);
    enum settings_language language = s->call.language;
    if (terminal_read_secret(command_word(COMMAND_WORD_PASSWORD_PROMPT, language), secret) != 0 ||
        terminal_read_secret(command_word(COMMAND_WORD_PASSWORD_AGAIN, language), &again) != 0) {
        command_complain(s, COMMAND_WORD_PASSWORD_MISSING, TEXT_NONE, TEXT_NONE);
        return false;
    }
    if (text_equals(buffer_text(secret), buffer_text(&again)))
        return true;
    command_complain(s, COMMAND_WORD_PASSWORDS_DIFFER, TEXT_NONE, TEXT_NONE);
    return false;
}

/* The secret of the command becomes one of its arguments; it never stood on the command line, where everybody can read it. */
static bool take_secret(struct command_session *s, struct buffer *secret)
{
    const struct command_argument *argument = command_secret_of(s->call.row);
    if (!argument || (!s->call.has_secret && !argument->is_needed && !terminal_is(STANDARD_INPUT)))
        return true;
    if (s->call.has_secret) {
        if (terminal_read_line(STANDARD_INPUT, secret) != 0 || secret->length == 0) {
            command_complain(s, COMMAND_WORD_PASSWORD_MISSING, TEXT_NONE, TEXT_NONE);
            return false;
        }
    } else if (!ask_twice(s, secret)) {
        return false;
    }
    return secret->length == 0 || command_argument_add(&s->call, argument->name, buffer_text(secret));
}

/* ------------------------------------------------------------------------------------------------------------------------------------------ */

static struct text locale(void)
{
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < length_of(names); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return text_of_terminated(value);
    }
    return TEXT_NONE;
}

static enum command_exit run(struct command_session *s)
{
    struct buffer secret released_by(buffer_wipe_done) = buffer_new(SECRET_LIMIT);
    enum command_id id = command_id_of(s->call.row);
    if (!take_secret(s, &secret))
        return COMMAND_EXIT_USAGE;
    for (size_t i = 0; i < length_of(here); i++)
        if (here[i].command == id)
            return here[i].function(s);
    must(s->call.row->handler != PEERS_NOBODY);
    return command_forward(s);
}

static enum command_exit parse_and_run(struct command_session *s, const struct text *words, size_t count)
{
    enum command_exit exit = command_parse(&s->arena, words, count, locale(), &s->call, &s->why);
    if (exit != COMMAND_EXIT_DONE)
        return exit;
    if (!command_places_of(&s->arena, s->call.directory, &s->places)) {
        command_complain(s, COMMAND_WORD_TOO_LONG, TEXT("--directory"), TEXT("4000"));
        return COMMAND_EXIT_USAGE;
    }
    if (s->call.wants_help) {
        struct buffer page released_by(buffer_done) = buffer_new(PAGE_LIMIT);
        if (s->call.row && command_id_of(s->call.row) != COMMAND_help)
            command_help_one(&page, s->call.row, s->call.language);
        else
            return help(s);
        return print(buffer_text(&page));
    }
    enum command_output_form for_reader = s->call.row->shows_pairs ? COMMAND_OUTPUT_PAIRS : COMMAND_OUTPUT_TEXT;
    enum command_output_form form = s->call.row->is_raw ? COMMAND_OUTPUT_RAW : s->call.is_json ? COMMAND_OUTPUT_JSON : for_reader;
    s->output = command_output_new(STANDARD_OUTPUT, form, s->call.row->lists, !s->call.row->pages);
    exit = run(s);
    bool is_said = exit == COMMAND_EXIT_DONE || exit == COMMAND_EXIT_FINDINGS || command_output_count(s->output);
    if (is_said && !command_output_end(s->output) && exit == COMMAND_EXIT_DONE)
        exit = COMMAND_EXIT_FAILED;
    return exit;
}

static void complain(const struct command_session *s)
{
    struct buffer line released_by(buffer_done) = buffer_new(1 << 18);
    ignored(buffer_append(&line, TEXT("portiere: "))); /* a cut reason still tells */
    command_quote_append(&line, text_trimmed(buffer_text(&s->why)), true);
    ignored(buffer_append_octet(&line, '\n'));                       /* as above */
    ignored(file_write_all(STANDARD_ERROR, buffer_text(&line)));     /* nowhere else to tell */
}

int main(int argument_count, char **arguments)
{
    static struct command_session session;
    static struct text words[WORDS_LIMIT];
    size_t count = 0;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argument_count && count < WORDS_LIMIT; i++)
        words[count++] = text_of_terminated(arguments[i]);
    command_session_init(&session);
    enum command_exit exit = parse_and_run(&session, words, count);
    if (session.why.length)
        complain(&session);
    command_session_done(&session);
    return (int)exit;
}
