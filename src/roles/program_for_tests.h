/* SPDX-License-Identifier: Apache-2.0 */
/* program_for_tests: starts the program of a role as the supervisor does, sandbox and all, and plays its supervisor and its peers. */
#ifndef ROLES_PROGRAM_FOR_TESTS_H
#define ROLES_PROGRAM_FOR_TESTS_H

#include "peers/peers.h"
#include "settings/settings.h"
#include "system/system.h"

struct program {
    enum peers_role self;
    int process;
    int supervisor; /* our end of the start channel */
    struct arena arena; /* of the message last received */
    char bytes[CHANNEL_PACKET_LIMIT];
};

/* settings: text of a portiere.conf, may be empty. folder_name NULL: none. Waits for `ready`. */
struct program *program_start(const char *path, enum peers_role self, struct text settings, const char *folder_name, int folder);
/* A channel to it, as from that role. */
int program_link(struct program *program, enum peers_role from);
void program_settings(struct program *program, struct text settings, uint64_t generation);
void program_send(int channel, enum peers_type type, const void *fields);
void program_send_file(int channel, enum peers_type type, const void *fields, int file);
/* The next message of it, within some seconds; another type fails the test. Valid until the next call. */
struct peers_message program_expect(struct program *program, int channel, enum peers_role as, enum peers_type type);
/* True when it says nothing more and closes the channel. */
bool program_is_silent(struct program *program, int channel);
void program_kill(struct program **program); /* SIGKILL, and waits */
int program_stop(struct program **program);  /* `stop`, and waits: its exit status */

#endif
