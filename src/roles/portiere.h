/* SPDX-License-Identifier: Apache-2.0 */
/* portiere: the commands that the program answers itself and that need more than the command line: explain joins the policy, serve becomes the
 * supervisor. Private to the program's files. */
#ifndef ROLES_PORTIERE_H
#define ROLES_PORTIERE_H

#include "command/session.h"

enum command_exit portiere_explain(struct command_session *s);

#endif
