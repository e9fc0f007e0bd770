/* SPDX-License-Identifier: Apache-2.0 */
/* offline: a command while the server does not run. The role that handles it is started from the folder of our own program as the supervisor
 * would start it: its own user, its own folder, its part of the settings, its sandbox (the vault with one verifier), and the ledger beside it,
 * so that what an administrator did stands in the log. They end with us. */
#ifndef COMMAND_OFFLINE_H
#define COMMAND_OFFLINE_H

#include "command/client.h"
#include "command/places.h"
#include "settings/settings.h"

enum { COMMAND_OFFLINE_PROCESSES = 3 };

struct command_offline_role {
    struct command_link link;
    int others[COMMAND_OFFLINE_PROCESSES]; /* channels to all that were started */
    int processes[COMMAND_OFFLINE_PROCESSES];
    size_t count;
};

enum command_offline_result {
    COMMAND_STARTED,
    COMMAND_NOT_STARTED_FOLDER,  /* what: the folder */
    COMMAND_NOT_STARTED_PROGRAM, /* what: the program */
    COMMAND_NOT_STARTED_ENDED,   /* what: the program, which ended before it was ready and said why */
    COMMAND_NOT_STARTED_MEMORY,
};

enum command_offline_result command_start(const struct command_places *places, enum peers_role role, const struct settings *settings,
                                          struct command_offline_role *ret_role, struct buffer *what, int *ret_error);
void command_finish(struct command_offline_role *role);

#endif
