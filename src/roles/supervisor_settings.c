/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static struct settings_machine machine_of(const struct supervisor *s)
{
    return (struct settings_machine){.fqdn = text_of(s->machine_name, s->machine_name_length),
                                     .first_domain = text_of(s->first_domain, s->first_domain_length)};
}

static void append_problems(struct buffer *why, const struct settings_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        settings_problem_append(why, TEXT("portiere.conf"), &problems->items[i]);
        if (why->length && why->bytes[why->length - 1] != '\n')
            ignored(buffer_append_octet(why, '\n')); /* a cut list still tells the first ones */
    }
    if (problems->total > problems->count)
        ignored(buffer_append_format(why, "and %zu more\n", problems->total - problems->count)); /* as above */
}

/* --- passwords in files of their own ------------------------------------------------------------------------------------------------- */

/* The first line of the file, at most SECRET_LIMIT octets; what is wrong with it, or NULL. */
static const char *read_secret(struct supervisor *s, struct text name, struct buffer *octets, struct text *ret_content)
{
    int file released_by(file_close) = -1;
    struct file_facts facts;
    size_t got = 0;
    char *room = buffer_room(octets, SECRET_LIMIT + 2); /* of what was reserved: nothing moves */
    int result = file_open(text_starts_with(name, TEXT("/")) ? -1 : s->folders[FOLDER_HOME], name, O_RDONLY | O_NONBLOCK, 0, &file);
    if (result == ELOOP)
        return "a link is not followed";
    if (!result)
        result = file_facts(file, &facts);
    if (result)
        return file_error_word(result).bytes;
    if (!facts.is_file)
        return "it is no regular file";
    if (facts.mode & 07)
        return "it is open to every user of the machine: take that away with chmod o= and the file's name";
    result = file_read_at(file, room, SECRET_LIMIT + 2, 0, &got);
    if (result)
        return file_error_word(result).bytes;
    struct text rest = text_of(room, got), line = text_take_until(&rest, '\n');
    if (text_ends_with(line, TEXT("\r")))
        line = text_first(line, line.length - 1);
    if (text_is_empty(line))
        return "its first line is empty";
    if (line.length > SECRET_LIMIT || text_has_octet(line, '\0'))
        return "its first line is no password";
    buffer_grew(octets, SECRET_LIMIT + 2);
    *ret_content = line;
    return NULL;
}

/* Reads the files that the rows name, all of them or none; why tells of each that can't be had. */
static bool read_secrets(struct supervisor *s, struct arena *arena, const struct settings *settings, struct buffer *octets, struct settings_secrets *ret_secrets,
                         struct buffer *why)
{
    struct settings_secret secret;
    size_t place = 0, count = 0, read = 0;
    while (settings_secret_next(settings, &place, &secret))
        count++;
    *octets = buffer_new(count * (SECRET_LIMIT + 2));
    struct settings_secret *items = arena_take_array(arena, larger(count, 1), sizeof *items);
    if (!items) {
        ignored(buffer_append(why, TEXT("portiere.conf: the settings are too large\n"))); /* a cut reason is still one */
        return false;
    }
    if (count)
        ignored(buffer_room(octets, octets->limit)); /* at once: growing would leave copies behind */
    for (place = 0; settings_secret_next(settings, &place, &secret);) {
        const char *wrong = read_secret(s, secret.file, octets, &secret.content);
        if (!wrong) {
            items[read++] = secret;
            continue;
        }
        ignored(buffer_append_format(why, "portiere.conf:%zu: %.*s: the password's file %.*s: %s\n", secret.row->line, TEXT_ARGUMENTS(secret.spec->key),
                                     TEXT_ARGUMENTS(secret.file), wrong)); /* as above */
    }
    *ret_secrets = (struct settings_secrets){.items = items, .count = read};
    return read == count;
}

/* --- snapshots ----------------------------------------------------------------------------------------------------------------------- */

void supervisor_settings_publish(struct supervisor *s, struct child *child)
{
    struct buffer packed released_by(buffer_wipe_done) = buffer_new(SETTINGS_ARENA_LIMIT);
    int file released_by(file_close) = -1;
    struct peers_settings message = {.generation = s->generation};
    if (!settings_pack_with_secrets(&packed, s->settings, &s->secrets, (enum settings_reader)child->role) || memory_new_sealed("settings", buffer_text(&packed), &file) != 0) {
        supervisor_event(s, RECORD_ALARM, TEXT("settings-not-sent"), (struct text[]){TEXT("role"), peers_role_word(child->role)}, 2);
        return;
    }
    ignored(supervisor_send(child, PEERS_settings, &message, &(struct channel_descriptors){.files = {file}, .count = 1})); /* its death is noticed */
}

bool supervisor_settings_take(struct supervisor *s, struct text file, bool is_new_file, struct buffer *why)
{
    struct arena arena = arena_new(SETTINGS_ARENA_LIMIT);
    struct settings_problems problems = {.arena = &arena};
    struct settings_machine machine = machine_of(s);
    const struct settings *read = NULL;
    const struct settings *before = s->settings;
    if (!settings_parse(&arena, file, &machine, &problems, &read)) {
        append_problems(why, &problems);
        arena_done(&arena);
        return false;
    }
    struct settings_secrets secrets = {.count = 0};
    struct buffer octets released_by(buffer_wipe_done) = buffer_new(0);
    if (!read_secrets(s, &arena, read, &octets, &secrets, why)) {
        arena_done(&arena);
        return false;
    }
    s->settings = read;
    if (s->loop && s->generation && !supervisor_listeners_match(s, why)) {
        s->settings = before;
        struct buffer again released_by(buffer_done) = buffer_new(4096);
        ignored(supervisor_listeners_match(s, &again)); /* back to what stood: those sockets are still open */
        arena_done(&arena);
        return false;
    }
    int result = is_new_file ? file_replace(s->folders[FOLDER_HOME], TEXT("portiere.conf"), file, 0640) : 0;
    if (result) {
        s->settings = before;
        ignored(buffer_append_format(why, "portiere.conf can't be written: %.*s\n", TEXT_ARGUMENTS(file_error_word(result)))); /* a cut reason is still one */
        arena_done(&arena);
        return false;
    }
    arena_done(&s->arena);
    s->arena = arena;
    s->secrets = secrets;
    buffer_wipe_done(&s->secret_octets);
    s->secret_octets = octets;
    octets = buffer_new(0);
    s->generation++;
    for (size_t i = 0; i < s->child_count; i++)
        if (s->children[i].channel >= 0)
            supervisor_settings_publish(s, &s->children[i]);
    struct buffer generation released_by(buffer_done) = buffer_new(32);
    ignored(buffer_append_number(&generation, s->generation)); /* fits */
    if (before)
        supervisor_event(s, RECORD_INFO, TEXT("settings-loaded"), (struct text[]){TEXT("generation"), buffer_text(&generation)}, 2);
    return true;
}

bool supervisor_settings_load(struct supervisor *s)
{
    struct buffer file released_by(buffer_done) = buffer_new(SETTINGS_FILE_LIMIT), why released_by(buffer_done) = buffer_new(1 << 16);
    int result = file_read_whole(s->folders[FOLDER_HOME], TEXT("portiere.conf"), &file);
    if (result && result != ENOENT) { /* without a file all defaults hold */
        ignored(fprintf(stderr, "portiere: %.*s/portiere.conf: %.*s\n", TEXT_ARGUMENTS(s->home), TEXT_ARGUMENTS(file_error_word(result)))); /* we end */
        return false;
    }
    if (supervisor_settings_take(s, buffer_text(&file), false, &why))
        return true;
    ignored(fprintf(stderr, "%.*s", TEXT_ARGUMENTS(buffer_text(&why)))); /* as above */
    return false;
}

/* --- commands that change the file --------------------------------------------------------------------------------------------------- */

static struct text argument_of(const struct peers_command_ask *ask, struct text name)
{
    for (size_t i = 0; i + 1 < ask->arguments.count; i += 2)
        if (text_equals(ask->arguments.items[i], name))
            return ask->arguments.items[i + 1];
    return TEXT_NONE;
}

enum change { CHANGE_NONE, CHANGE_SET, CHANGE_UNSET, CHANGE_ROW_ADD, CHANGE_ROW_REMOVE };

static const struct {
    struct text name;
    enum change change;
} changes[] = {
    {TEXT_INIT("settings-set"), CHANGE_SET},
    {TEXT_INIT("settings-unset"), CHANGE_UNSET},
    {TEXT_INIT("settings-row-add"), CHANGE_ROW_ADD},
    {TEXT_INIT("settings-row-remove"), CHANGE_ROW_REMOVE},
};

static enum settings_edit_result edit(struct supervisor *s, enum change change, const struct settings_spec *spec, struct text file,
                                      const struct peers_command_ask *ask, struct text value, struct buffer *out)
{
    struct text row = argument_of(ask, TEXT("row")), comment = argument_of(ask, TEXT("comment"));
    switch (change) {
    case CHANGE_SET:
        return settings_is_table(spec) ? settings_edit_rows(file, spec, value, out) : settings_edit_set(file, spec, value, out);
    case CHANGE_UNSET:
        return settings_edit_unset(file, spec, out);
    case CHANGE_ROW_ADD:
        return settings_edit_row_add(file, spec, s->settings, row, comment, out);
    case CHANGE_ROW_REMOVE:
        return settings_edit_row_remove(file, spec, s->settings, row, out);
    case CHANGE_NONE:
        break;
    }
    return SETTINGS_EDIT_NOTHING;
}

static void change_file(struct supervisor *s, struct child *from, const struct peers_command_ask *ask, enum change change)
{
    struct text key = argument_of(ask, TEXT("key")), value = argument_of(ask, TEXT("value"));
    const struct settings_spec *spec = settings_find(key);
    struct buffer why released_by(buffer_done) = buffer_new(1 << 16), converted released_by(buffer_done) = buffer_new(1 << 16);
    struct buffer file released_by(buffer_done) = buffer_new(SETTINGS_FILE_LIMIT), out released_by(buffer_done) = buffer_new(SETTINGS_FILE_LIMIT);
    const char *message = "";
    if (!spec) {
        const struct settings_spec *near = settings_nearest(key);
        ignored(buffer_append_format(&why, "There is no setting \"%.*s\".", TEXT_ARGUMENTS(key))); /* a cut reason is still one */
        if (near)
            ignored(buffer_append_format(&why, " Did you mean %.*s?", TEXT_ARGUMENTS(near->key))); /* as above */
        supervisor_end(from, ask->tag, 2, buffer_text(&why));
        return;
    }
    if (change == CHANGE_SET && settings_name_is_alias(spec, key)) {
        if (!settings_alias_value(spec, value, &converted, &message)) {
            supervisor_end(from, ask->tag, 2, text_of_terminated(message));
            return;
        }
        value = buffer_text(&converted);
    }
    int result = file_read_whole(s->folders[FOLDER_HOME], TEXT("portiere.conf"), &file);
    if (result && result != ENOENT) {
        supervisor_end(from, ask->tag, 1, file_error_word(result));
        return;
    }
    enum settings_edit_result edited = edit(s, change, spec, buffer_text(&file), ask, value, &out);
    if (edited != SETTINGS_EDIT_DONE && edited != SETTINGS_EDIT_NOTHING) {
        supervisor_end(from, ask->tag, 2, settings_edit_result_text(edited));
        return;
    }
    if (!supervisor_settings_take(s, buffer_text(&out), true, &why)) {
        supervisor_end(from, ask->tag, 2, buffer_text(&why));
        return;
    }
    supervisor_event(s, RECORD_NOTICE, TEXT("setting-changed"),
                     (struct text[]){TEXT("key"), spec->key, TEXT("value"), spec->secret_readers ? TEXT("***") : value, TEXT("by"), ask->caller}, 6);
    supervisor_end(from, ask->tag, 0, TEXT_NONE);
}

static void reload_for(struct supervisor *s, struct child *from, const struct peers_command_ask *ask)
{
    struct buffer file released_by(buffer_done) = buffer_new(SETTINGS_FILE_LIMIT), why released_by(buffer_done) = buffer_new(1 << 16);
    int result = file_read_whole(s->folders[FOLDER_HOME], TEXT("portiere.conf"), &file);
    if (result && result != ENOENT)
        supervisor_end(from, ask->tag, 1, file_error_word(result));
    else if (!supervisor_settings_take(s, buffer_text(&file), false, &why))
        supervisor_end(from, ask->tag, 2, buffer_text(&why));
    else
        supervisor_end(from, ask->tag, 0, TEXT_NONE);
}

bool supervisor_settings_command(struct supervisor *s, struct child *from, const struct peers_command_ask *ask)
{
    if (text_equals(ask->name, TEXT("reload"))) {
        reload_for(s, from, ask);
        return true;
    }
    for (size_t i = 0; i < length_of(changes); i++)
        if (text_equals(ask->name, changes[i].name)) {
            change_file(s, from, ask, changes[i].change);
            return true;
        }
    return false;
}
