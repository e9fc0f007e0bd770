/* SPDX-License-Identifier: Apache-2.0 */
/* settings_commands: the settings commands that only read: list, get, check, diff, explain, example. They show portiere.conf (what holds after
 * the next reload); secrets are never shown. */
#ifndef COMMAND_SETTINGS_COMMANDS_H
#define COMMAND_SETTINGS_COMMANDS_H

#include "command/session.h"

enum command_exit command_settings_list(struct command_session *s);
enum command_exit command_settings_get(struct command_session *s);
enum command_exit command_settings_check(struct command_session *s);
enum command_exit command_settings_diff(struct command_session *s);
enum command_exit command_settings_explain(struct command_session *s);
enum command_exit command_settings_example(struct command_session *s);

#endif
