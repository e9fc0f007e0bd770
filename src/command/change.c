/* SPDX-License-Identifier: Apache-2.0 */
#include "command/change.h"

/* Reasons are read by a person: a cut one still tells, and is_full says so. */

const struct settings_spec *command_setting_of(struct text name, struct buffer *why)
{
    const struct settings_spec *spec = settings_find(name), *near = spec ? NULL : settings_nearest(name);
    if (spec)
        return spec;
    ignored(buffer_append_format(why, "no setting \"%.*s\"", TEXT_ARGUMENTS(name))); /* see above */
    if (near)
        ignored(buffer_append_format(why, "; did you mean %.*s?", TEXT_ARGUMENTS(near->key))); /* as above */
    else
        ignored(buffer_append(why, TEXT("; portiere settings list shows them all"))); /* as above */
    return NULL;
}

void command_problems_append(struct buffer *b, struct text file_name, const struct settings_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        settings_problem_append(b, file_name, &problems->items[i]);
        if (!text_ends_with(buffer_text(b), TEXT("\n")))
            ignored(buffer_append_octet(b, '\n')); /* see above */
    }
    if (problems->total > problems->count)
        ignored(buffer_append_format(b, "and %zu more\n", problems->total - problems->count)); /* as above */
}

bool command_is_change(enum command_id command)
{
    return command == COMMAND_settings_set || command == COMMAND_settings_unset || command == COMMAND_settings_row_add ||
           command == COMMAND_settings_row_remove;
}

static enum settings_edit_result edit(const struct command_change *change, const struct settings_spec *spec, struct text value, struct text file,
                                      const struct settings *current, struct buffer *out)
{
    if (change->command == COMMAND_settings_set)
        return settings_is_table(spec) ? settings_edit_rows(file, spec, value, out) : settings_edit_set(file, spec, value, out);
    if (change->command == COMMAND_settings_unset)
        return settings_edit_unset(file, spec, out);
    if (change->command == COMMAND_settings_row_add)
        return settings_edit_row_add(file, spec, current, change->row, change->comment, out);
    must(change->command == COMMAND_settings_row_remove);
    return settings_edit_row_remove(file, spec, current, change->row, out);
}

enum command_change_result command_change(const struct command_change *change, struct text file, const struct settings *current,
                                          const struct settings_machine *machine, struct arena *arena, struct buffer *out,
                                          const struct settings **ret_settings, struct buffer *why)
{
    const struct settings_spec *spec = command_setting_of(change->key, why);
    struct buffer converted released_by(buffer_done) = buffer_new(1 << 16);
    struct text value = change->value;
    const char *message = "";
    if (!spec)
        return COMMAND_CHANGE_WRONG;
    if (change->command == COMMAND_settings_set && settings_name_is_alias(spec, change->key)) {
        if (!settings_alias_value(spec, value, &converted, &message)) {
            ignored(buffer_append_format(why, "%.*s: %s", TEXT_ARGUMENTS(change->key), message)); /* see above */
            return COMMAND_CHANGE_WRONG;
        }
        value = buffer_text(&converted);
    }
    enum settings_edit_result edited = edit(change, spec, value, file, current, out);
    if (edited == SETTINGS_EDIT_NOTHING)
        return COMMAND_UNCHANGED;
    if (edited != SETTINGS_EDIT_DONE) {
        ignored(buffer_append_format(why, "%.*s: %.*s", TEXT_ARGUMENTS(spec->key), TEXT_ARGUMENTS(settings_edit_result_text(edited)))); /* as above */
        return COMMAND_CHANGE_WRONG;
    }
    struct settings_problems problems = {.arena = arena};
    if (settings_parse(arena, buffer_text(out), machine, &problems, ret_settings))
        return COMMAND_CHANGED;
    command_problems_append(why, TEXT("portiere.conf"), &problems);
    return COMMAND_CHANGE_WRONG;
}
