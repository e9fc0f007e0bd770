/* SPDX-License-Identifier: Apache-2.0 */
#include "command/session.h"

#include "command/change.h"
#include "system/system.h"

#include <errno.h>

enum { SILENCE_MS = 60000, MESSAGE_LIMIT = 4096, SNAPSHOT_LIMIT = 64 << 20, WHY_LIMIT = 1 << 16 };

void command_session_init(struct command_session *s)
{
    *s = (struct command_session){.arena = arena_new(COMMAND_ARENA_LIMIT), .why = buffer_new(WHY_LIMIT), .file = buffer_new(COMMAND_FILE_LIMIT),
                                  .link = {.channel = -1}};
}

void command_session_done(struct command_session *s)
{
    if (s->is_started)
        command_finish(&s->offline);
    command_disconnect(&s->link);
    command_output_free(&s->output);
    buffer_done(&s->file);
    buffer_done(&s->why);
    arena_done(&s->arena);
}

void command_complain(struct command_session *s, enum command_word word, struct text first, struct text second)
{
    if (s->why.length)
        ignored(buffer_append_octet(&s->why, '\n')); /* a cut reason still tells */
    command_word_append(&s->why, word, s->call.language, first, second);
}

bool command_answer(struct command_session *s, const struct text *fields, size_t count)
{
    return command_output_row(s->output, fields, count);
}

/* --- the running server ------------------------------------------------------------------------------------------------------------------ */

static bool is_connected(struct command_session *s)
{
    if (s->link.channel >= 0)
        return true;
    s->link_result = command_connect(s->places.control, &s->link, &s->link_error);
    return s->link_result == COMMAND_LINK_OK;
}

static bool take_octets(void *context, const struct text *fields, size_t count)
{
    bool fits = true;
    for (size_t i = 0; fits && i + 1 < count; i += 2)
        fits = !text_equals(fields[i], TEXT("octets")) || buffer_append(context, fields[i + 1]);
    return fits;
}

const struct settings *command_running(struct command_session *s)
{
    if (s->was_asked)
        return s->running;
    s->was_asked = true;
    if (!is_connected(s))
        return NULL;
    struct buffer packed released_by(buffer_done) = buffer_new(SNAPSHOT_LIMIT), message released_by(buffer_done) = buffer_new(MESSAGE_LIMIT);
    uint64_t status = COMMAND_EXIT_FAILED;
    enum command_ask_result result = command_run(&s->link, command_row(COMMAND_settings_snapshot), NULL, 0, SILENCE_MS, take_octets, &packed, &status, &message);
    if (result != COMMAND_ASK_ENDED) {
        command_disconnect(&s->link);
        return NULL;
    }
    if (status != COMMAND_EXIT_DONE || !settings_unpack(&s->arena, buffer_text(&packed), &s->running))
        s->running = NULL;
    return s->running;
}

/* Not before it is needed: the name's look-up may take a while. Some defaults hang on the first domain, which only the vault knows; the running
 * server has been told. */
const struct settings_machine *command_machine(struct command_session *s)
{
    const struct settings *running = command_running(s);
    struct buffer name released_by(buffer_done) = buffer_new(256);
    if (s->machine.fqdn.length == 0) {
        process_machine_name(&name);
        ignored(arena_copy(&s->arena, buffer_text(&name), &s->machine.fqdn)); /* no name: the settings say that one is missing */
    }
    if (running && running->lines[SETTINGS_KEY_service_primary_domain] == 0)
        s->machine.first_domain = running->service_primary_domain;
    return &s->machine;
}

/* --- the file ---------------------------------------------------------------------------------------------------------------------------- */

int command_read_file(struct command_session *s, struct text *ret_file)
{
    int result = 0;
    if (!s->has_file)
        result = file_read_whole(-1, s->places.settings, &s->file);
    if (result == ENOENT)
        result = 0; /* without a file all defaults hold */
    s->has_file = result == 0;
    if (result == 0)
        *ret_file = buffer_text(&s->file);
    return result;
}

const struct settings *command_settings(struct command_session *s, enum command_exit *ret_exit)
{
    struct settings_problems problems = {.arena = &s->arena};
    const struct settings *settings = NULL;
    struct text file;
    int result = command_read_file(s, &file);
    const struct settings_machine *machine = command_machine(s);
    if (result && s->running)
        return s->running;
    *ret_exit = result == EACCES ? COMMAND_EXIT_NOT_PERMITTED : COMMAND_EXIT_FAILED;
    if (result) {
        command_complain(s, COMMAND_WORD_NO_FILE, s->places.settings, file_error_word(result));
        return NULL;
    }
    if (settings_parse(&s->arena, file, machine, &problems, &settings))
        return settings;
    struct buffer count released_by(buffer_done) = buffer_new(24);
    ignored(buffer_append_number(&count, problems.total)); /* fits */
    command_complain(s, COMMAND_WORD_SETTINGS_BROKEN, s->places.settings, buffer_text(&count));
    ignored(buffer_append_octet(&s->why, '\n')); /* a cut reason still tells */
    command_problems_append(&s->why, s->places.settings, &problems);
    return NULL;
}

/* --- who answers ------------------------------------------------------------------------------------------------------------------------- */

static enum command_exit complain_link(struct command_session *s)
{
    switch (s->link_result) {
    case COMMAND_LINK_OK:
        break;
    case COMMAND_LINK_NOBODY:
        command_complain(s, COMMAND_WORD_NOT_RUNNING, s->places.control, TEXT_NONE);
        return COMMAND_EXIT_NOT_RUNNING;
    case COMMAND_LINK_NOT_PERMITTED:
        command_complain(s, COMMAND_WORD_NOT_PERMITTED_SOCKET, s->places.control, TEXT_NONE);
        return COMMAND_EXIT_NOT_PERMITTED;
    case COMMAND_LINK_FAILED:
        command_complain(s, COMMAND_WORD_SOCKET_FAILED, s->places.control, file_error_word(s->link_error));
        return COMMAND_EXIT_FAILED;
    }
    return COMMAND_EXIT_FAILED;
}

static bool start_role(struct command_session *s, enum peers_role role, enum command_exit *ret_exit)
{
    struct buffer what released_by(buffer_done) = buffer_new(MESSAGE_LIMIT);
    int error = 0;
    const struct settings *settings = command_settings(s, ret_exit);
    if (!settings)
        return false;
    switch (command_start(&s->places, role, settings, &s->offline, &what, &error)) {
    case COMMAND_STARTED:
        s->is_started = true;
        return true;
    case COMMAND_NOT_STARTED_FOLDER:
        command_complain(s, COMMAND_WORD_NO_FOLDER, buffer_text(&what), file_error_word(error));
        break;
    case COMMAND_NOT_STARTED_PROGRAM:
        command_complain(s, COMMAND_WORD_NO_PROGRAM, buffer_text(&what), file_error_word(error));
        break;
    case COMMAND_NOT_STARTED_ENDED:
        command_complain(s, COMMAND_WORD_PROGRAM_FAILED, buffer_text(&what), TEXT_NONE);
        break;
    case COMMAND_NOT_STARTED_MEMORY:
        command_complain(s, COMMAND_WORD_SOCKET_FAILED, TEXT("fork"), file_error_word(error));
        break;
    }
    *ret_exit = error == EACCES || error == EPERM ? COMMAND_EXIT_NOT_PERMITTED : COMMAND_EXIT_FAILED;
    return false;
}

bool command_reach(struct command_session *s, enum peers_role role, enum command_exit *ret_exit)
{
    if (s->is_started || is_connected(s))
        return true;
    if (s->link_result == COMMAND_LINK_NOBODY && command_folder_of(role).length)
        return start_role(s, role, ret_exit);
    *ret_exit = complain_link(s);
    return false;
}

enum command_exit command_put(struct command_session *s, const struct command_row *row, const struct text *pairs, size_t count,
                              command_row_function *function, void *context)
{
    struct buffer message released_by(buffer_done) = buffer_new(MESSAGE_LIMIT);
    uint64_t status = COMMAND_EXIT_FAILED;
    struct command_link *link = s->is_started ? &s->offline.link : &s->link;
    switch (command_run(link, row, pairs, count, SILENCE_MS, function, context, &status, &message)) {
    case COMMAND_ASK_ENDED:
        if (status != COMMAND_EXIT_DONE && message.length)
            command_complain(s, COMMAND_WORD_PLAIN, buffer_text(&message), TEXT_NONE);
        return status <= COMMAND_EXIT_FINDINGS ? (enum command_exit)status : COMMAND_EXIT_FAILED;
    case COMMAND_ASK_GONE:
        command_complain(s, COMMAND_WORD_SERVER_GONE, TEXT_NONE, TEXT_NONE);
        break;
    case COMMAND_ASK_SILENT:
        command_complain(s, COMMAND_WORD_NO_ANSWER, TEXT("60"), TEXT_NONE);
        break;
    case COMMAND_ASK_STOPPED:
        break; /* whoever read has enough */
    case COMMAND_ASK_TOO_BIG:
        command_complain(s, COMMAND_WORD_TOO_LONG, row->words, TEXT("4000"));
        break;
    }
    return COMMAND_EXIT_FAILED;
}

/* --- a command for somebody else --------------------------------------------------------------------------------------------------------- */

static bool answer_row(void *context, const struct text *fields, size_t count)
{
    return command_answer(context, fields, count);
}

/* Several values of one setting: rows of a table, or words of one value that was not quoted. */
static bool join_values(struct command_session *s)
{
    struct command_call *call = &s->call;
    const struct settings_spec *spec = settings_find(command_argument(call, TEXT("key")));
    struct buffer joined released_by(buffer_done) = buffer_new(COMMAND_VALUE_LIMIT);
    struct text value;
    size_t kept = 0;
    bool is_first = true, fits = true;
    for (size_t i = 0; fits && i + 1 < call->count; i += 2) {
        if (!text_equals(call->pairs[i], TEXT("value"))) {
            call->pairs[kept++] = call->pairs[i];
            call->pairs[kept++] = call->pairs[i + 1];
            continue;
        }
        fits = (is_first || buffer_append_octet(&joined, spec && settings_is_table(spec) ? '\n' : ' ')) && buffer_append(&joined, call->pairs[i + 1]);
        is_first = false;
    }
    if (!fits || !arena_copy(&s->arena, buffer_text(&joined), &value))
        return false;
    call->count = kept;
    return command_argument_add(call, TEXT("value"), value);
}

static enum command_exit change_file(struct command_session *s)
{
    struct command_call *call = &s->call;
    struct command_change change = {.command = command_id_of(call->row), .key = command_argument(call, TEXT("key")),
                                    .value = command_argument(call, TEXT("value")), .row = command_argument(call, TEXT("row")),
                                    .comment = command_argument(call, TEXT("comment"))};
    struct buffer out released_by(buffer_done) = buffer_new(COMMAND_FILE_LIMIT);
    const struct settings *after = NULL;
    enum command_exit exit = COMMAND_EXIT_FAILED;
    const struct settings *current = command_settings(s, &exit);
    struct text file;
    if (!current || command_read_file(s, &file) != 0)
        return exit;
    switch (command_change(&change, file, current, command_machine(s), &s->arena, &out, &after, &s->why)) {
    case COMMAND_CHANGE_WRONG:
        return COMMAND_EXIT_USAGE;
    case COMMAND_UNCHANGED:
        return COMMAND_EXIT_DONE;
    case COMMAND_CHANGED:
        break;
    }
    int home released_by(file_close) = -1;
    int result = folder_make(-1, s->places.home, 0755);
    if (!result)
        result = folder_open(-1, s->places.home, &home);
    if (!result)
        result = file_replace(home, TEXT("portiere.conf"), buffer_text(&out), 0640);
    if (!result)
        return COMMAND_EXIT_DONE;
    command_complain(s, COMMAND_WORD_NO_FILE, s->places.settings, file_error_word(result));
    return result == EACCES || result == EPERM ? COMMAND_EXIT_NOT_PERMITTED : COMMAND_EXIT_FAILED;
}

enum command_exit command_forward(struct command_session *s)
{
    const struct command_row *row = s->call.row;
    enum command_exit exit = COMMAND_EXIT_FAILED;
    if (command_id_of(row) == COMMAND_settings_set && !join_values(s)) {
        command_complain(s, COMMAND_WORD_TOO_LONG, TEXT("value"), TEXT("4000"));
        return COMMAND_EXIT_USAGE;
    }
    /* sentences are made where the facts are */
    if (s->call.language == SETTINGS_ITALIAN && !command_argument_add(&s->call, TEXT("language"), TEXT("it"))) {
        command_complain(s, COMMAND_WORD_TOO_LONG, row->words, TEXT("128"));
        return COMMAND_EXIT_USAGE;
    }
    if (row->offline == COMMAND_OFFLINE_WORKS_ON_FILE && !is_connected(s) && s->link_result == COMMAND_LINK_NOBODY)
        return change_file(s);
    if (!command_reach(s, row->offline == COMMAND_OFFLINE_WORKS_WITH_PROGRAM ? row->handler : PEERS_NOBODY, &exit))
        return exit;
    return command_put(s, row, s->call.pairs, s->call.count, answer_row, s);
}
