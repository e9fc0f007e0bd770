/* SPDX-License-Identifier: Apache-2.0 */
/* places: where the server's folders are. With --directory DIR everything is in DIR; without it the installed places count. */
#ifndef COMMAND_PLACES_H
#define COMMAND_PLACES_H

#include "base/base.h"
#include "peers/peers.h"

struct command_places {
    struct text home;     /* portiere.conf, tls/ */
    struct text state;    /* spool/, mail/, vault/, log/ */
    struct text run;      /* control */
    struct text settings; /* path of portiere.conf */
    struct text control;  /* path of the socket */
};

/* directory empty: the installed ones. The texts stand in the arena; false: a path is too long. */
must_check bool command_places_of(struct arena *arena, struct text directory, struct command_places *ret_places);

/* The folder that a keeper works in, "vault" for the vault; empty for a role that keeps nothing. */
struct text command_folder_of(enum peers_role role);
/* "portiere-vault": its program beside ours, and the user that it runs as when the supervisor is root. */
must_check bool command_program_append(struct buffer *b, enum peers_role role);
/* Who that is: the user of that name, or, when root runs us on a machine without our users, an id of the role's own that nobody has.
 * 0, 0: we are not root and all roles are us. */
void command_role_user(enum peers_role role, unsigned *ret_user, unsigned *ret_group);

#endif
