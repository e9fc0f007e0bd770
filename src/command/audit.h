/* SPDX-License-Identifier: Apache-2.0 */
/* audit: the server against the guide and against itself. Checks are rows of one table; a finding is a row of the answer: check, severity
 * (high, medium, low), evidence, remedy. The running server's settings and state are looked at when there is one, else the file. */
#ifndef COMMAND_AUDIT_H
#define COMMAND_AUDIT_H

#include "command/session.h"

enum command_exit command_audit(struct command_session *s);

#endif
