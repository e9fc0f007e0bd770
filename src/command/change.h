/* SPDX-License-Identifier: Apache-2.0 */
/* change: what settings-set, -unset, -row-add and -row-remove do to the text of portiere.conf. The result is parsed before anybody writes it.
 * Pure: the supervisor and the command line (while no server runs) both use it. */
#ifndef COMMAND_CHANGE_H
#define COMMAND_CHANGE_H

#include "command/command.h"
#include "settings/settings.h"

enum command_change_result {
    COMMAND_CHANGED,
    COMMAND_UNCHANGED, /* it stood so already */
    COMMAND_CHANGE_WRONG, /* why says what, where, and what would be right */
};

struct command_change {
    enum command_id command; /* one of the four */
    struct text key, value, row, comment;
};

/* file: as it stands; current: what holds now. On success out is the new file, and *ret_settings (in the arena) what it says. */
enum command_change_result command_change(const struct command_change *change, struct text file, const struct settings *current,
                                          const struct settings_machine *machine, struct arena *arena, struct buffer *out,
                                          const struct settings **ret_settings, struct buffer *why);
bool command_is_change(enum command_id command);
/* By key, name or alias; NULL: why says so, and names the nearest. */
const struct settings_spec *command_setting_of(struct text name, struct buffer *why);
/* "portiere.conf:3: ..." a line each. */
void command_problems_append(struct buffer *b, struct text file_name, const struct settings_problems *problems);

#endif
