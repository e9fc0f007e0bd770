/* SPDX-License-Identifier: Apache-2.0 */
/* session: one run of the command line: what was asked, where the server's folders are, where the answer goes. It knows how to reach who
 * answers (the running server, the file, or a keeper started for the moment); each command that the command line answers itself is a function
 * of its own (settings_commands.h, audit.h; explain and serve stand with the program). */
#ifndef COMMAND_SESSION_H
#define COMMAND_SESSION_H

#include "command/client.h"
#include "command/offline.h"
#include "command/output.h"
#include "command/parse.h"
#include "command/places.h"
#include "settings/settings.h"

enum { COMMAND_FILE_LIMIT = 8 << 20, COMMAND_ARENA_LIMIT = 160 << 20 };

struct command_session {
    struct command_call call;
    struct command_places places;
    struct command_output *output;
    struct arena arena;  /* lives as long as the session */
    struct buffer why;   /* goes to standard error when the command failed */
    struct buffer file;  /* portiere.conf, once read */
    bool has_file;
    struct settings_machine machine; /* command_machine */
    /* what the running server has; asked for once */
    bool was_asked;
    const struct settings *running; /* NULL: no server, or none that tells us */
    enum command_link_result link_result;
    int link_error;
    struct command_link link; /* channel -1: none */
    struct command_offline_role offline;
    bool is_started; /* offline */
};

void command_session_init(struct command_session *s);
void command_session_done(struct command_session *s);

/* Adds a message of the table to why. */
void command_complain(struct command_session *s, enum command_word word, struct text first, struct text second);
/* One row of the answer; false: nobody reads any more. */
must_check bool command_answer(struct command_session *s, const struct text *fields, size_t count);

/* The running server's snapshot as far as the control role may read it; NULL when there is none. */
const struct settings *command_running(struct command_session *s);
const struct settings_machine *command_machine(struct command_session *s);
/* What portiere.conf says; a file that is not there is an empty one. A file with mistakes is a failure; one that we may not read is replaced by
 * the running snapshot. NULL: why says it, *ret_exit too. */
const struct settings *command_settings(struct command_session *s, enum command_exit *ret_exit);
/* The text of portiere.conf; errno. */
must_check int command_read_file(struct command_session *s, struct text *ret_file);

/* Asks role's part of a command: of the running server, or of the role started for it. False: why and *ret_exit say it. */
must_check bool command_reach(struct command_session *s, enum peers_role role, enum command_exit *ret_exit);
/* One ask on what was reached; rows go to function. */
enum command_exit command_put(struct command_session *s, const struct command_row *row, const struct text *pairs, size_t count,
                              command_row_function *function, void *context);
/* A command that the command line does not answer itself. */
enum command_exit command_forward(struct command_session *s);

#endif
