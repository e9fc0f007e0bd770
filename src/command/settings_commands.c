/* SPDX-License-Identifier: Apache-2.0 */
#include "command/settings_commands.h"

#include "command/change.h"
#include "system/system.h"

#include <errno.h>

enum { VALUE_LIMIT = 1 << 20, PAGE_LIMIT = 8 << 20 };

static const struct settings *defaults(struct command_session *s)
{
    const struct settings *settings = NULL;
    return settings_new_default(&s->arena, command_machine(s), &settings) ? settings : NULL;
}

/* A table's rows stand one a line; in a listing for a reader they share one. */
static struct text value_of(struct command_session *s, const struct settings *settings, const struct settings_spec *spec, bool in_one_line)
{
    struct buffer value released_by(buffer_done) = buffer_new(VALUE_LIMIT), line released_by(buffer_done) = buffer_new(VALUE_LIMIT);
    struct text copy = TEXT_NONE;
    settings_value_text(settings, spec, false, &value);
    struct text rest = buffer_text(&value);
    if (in_one_line && !s->call.is_json && text_has_octet(rest, '\n')) {
        while (rest.length) {
            if (line.length)
                ignored(buffer_append(&line, TEXT("; "))); /* a cut value still shows its beginning */
            ignored(buffer_append(&line, text_take_until(&rest, '\n'))); /* as above */
        }
        rest = buffer_text(&line);
    }
    ignored(arena_copy(&s->arena, rest, &copy)); /* over the arena's limit it shows as empty */
    return copy;
}

static enum command_exit no_memory(struct command_session *s)
{
    command_complain(s, COMMAND_WORD_NO_FILE, s->places.settings, file_error_word(EFBIG));
    return COMMAND_EXIT_FAILED;
}

static bool has_section(struct text section, struct buffer *sections)
{
    struct text last = TEXT_NONE;
    bool found = section.length == 0;
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        found = found || text_equals_ignoring_case(spec->section, section);
        if (text_equals(spec->section, last))
            continue;
        last = spec->section;
        ignored(buffer_append_format(sections, "%s%.*s", sections->length ? ", " : "", TEXT_ARGUMENTS(last))); /* for a message */
    }
    return found;
}

enum command_exit command_settings_list(struct command_session *s)
{
    struct text section = command_argument(&s->call, TEXT("section"));
    bool only_changed = command_has_argument(&s->call, TEXT("changed"));
    struct buffer sections released_by(buffer_done) = buffer_new(1024);
    enum command_exit exit = COMMAND_EXIT_FAILED;
    if (!has_section(section, &sections)) {
        command_complain(s, COMMAND_WORD_UNKNOWN_SECTION, section, buffer_text(&sections));
        return COMMAND_EXIT_USAGE;
    }
    const struct settings *settings = command_settings(s, &exit), *plain = settings ? defaults(s) : NULL;
    if (!settings)
        return exit;
    if (!plain)
        return no_memory(s);
    for (size_t i = 0; i < SETTINGS_KEYS; i++) {
        const struct settings_spec *spec = settings_spec((enum settings_key)i);
        if ((section.length && !text_equals_ignoring_case(spec->section, section)) || (only_changed && settings_is_default(settings, spec)))
            continue;
        struct text row[] = {TEXT("setting"), spec->key, TEXT("value"), value_of(s, settings, spec, true), TEXT("default"), value_of(s, plain, spec, true)};
        if (!command_answer(s, row, length_of(row)))
            break;
    }
    return COMMAND_EXIT_DONE;
}

static const struct settings_spec *asked_for(struct command_session *s)
{
    return command_setting_of(command_argument(&s->call, TEXT("key")), &s->why);
}

enum command_exit command_settings_get(struct command_session *s)
{
    struct text key = command_argument(&s->call, TEXT("key")), value;
    const struct settings_spec *spec = asked_for(s);
    struct buffer converted released_by(buffer_done) = buffer_new(VALUE_LIMIT);
    enum command_exit exit = COMMAND_EXIT_FAILED;
    if (!spec)
        return COMMAND_EXIT_USAGE;
    const struct settings *settings = command_settings(s, &exit);
    if (!settings)
        return exit;
    if (settings_name_is_alias(spec, key) && settings_alias_text(settings, spec, false, &converted))
        value = buffer_text(&converted);
    else
        value = value_of(s, settings, spec, false);
    struct text whole[] = {TEXT("setting"), spec->key, TEXT("value"), value};
    bool is_read = s->call.is_json ? command_answer(s, whole, 4) : command_answer(s, whole + 2, 2);
    return is_read ? COMMAND_EXIT_DONE : COMMAND_EXIT_FAILED;
}

static bool problem_row(struct command_session *s, const struct settings_problem *problem, struct text file)
{
    struct buffer line released_by(buffer_done) = buffer_new(24), whole released_by(buffer_done) = buffer_new(8192);
    ignored(buffer_append_number(&line, problem->line)); /* fits */
    settings_problem_append(&whole, file, problem);
    struct text row[] = {TEXT("file"), file, TEXT("line"), buffer_text(&line), TEXT("key"), problem->key, TEXT("problem"), problem->message};
    struct text said[] = {TEXT("problem"), text_trimmed(buffer_text(&whole))};
    return s->call.is_json ? command_answer(s, row, length_of(row)) : command_answer(s, said, length_of(said));
}

/* For a reader each mistake is one line "FILE:LINE: ...", as compilers write them; for programs an array. */
enum command_exit command_settings_check(struct command_session *s)
{
    struct text path = command_argument(&s->call, TEXT("file"));
    struct settings_problems problems = {.arena = &s->arena};
    const struct settings *settings = NULL;
    if (path.length == 0)
        path = s->places.settings;
    int result = file_read_whole(-1, path, &s->file);
    if (result) {
        command_complain(s, COMMAND_WORD_NO_FILE, path, file_error_word(result));
        return result == EACCES ? COMMAND_EXIT_NOT_PERMITTED : COMMAND_EXIT_FAILED;
    }
    if (settings_parse(&s->arena, buffer_text(&s->file), command_machine(s), &problems, &settings)) {
        struct buffer fine released_by(buffer_done) = buffer_new(8192);
        command_word_append(&fine, COMMAND_WORD_CHECK_FINE, s->call.language, path, TEXT_NONE);
        struct text said[] = {TEXT("result"), buffer_text(&fine)};
        return s->call.is_json || command_answer(s, said, length_of(said)) ? COMMAND_EXIT_DONE : COMMAND_EXIT_FAILED;
    }
    for (size_t i = 0; i < problems.count; i++)
        if (!problem_row(s, &problems.items[i], path))
            break;
    return COMMAND_EXIT_FAILED;
}

static bool diff_row(struct command_session *s, const struct settings_spec *spec, struct text of, const struct settings *one, struct text against,
                     const struct settings *other)
{
    struct text row[] = {TEXT("setting"), spec->key, TEXT("of"), of, TEXT("value"), value_of(s, one, spec, true),
                         TEXT("against"), against, TEXT("other"), value_of(s, other, spec, true)};
    return command_answer(s, row, length_of(row));
}

enum command_exit command_settings_diff(struct command_session *s)
{
    enum command_exit exit = COMMAND_EXIT_FAILED;
    const struct settings *settings = command_settings(s, &exit), *plain = settings ? defaults(s) : NULL, *running = command_running(s);
    const struct settings_spec *spec;
    if (!settings)
        return exit;
    if (!plain)
        return no_memory(s);
    for (size_t place = 0; (spec = settings_diff_next(settings, plain, &place)) != NULL;)
        if (!diff_row(s, spec, TEXT("file"), settings, TEXT("default"), plain))
            return COMMAND_EXIT_FAILED;
    for (size_t place = 0; running && (spec = settings_diff_next(running, settings, &place)) != NULL;)
        if (!running->withheld[settings_key_of(spec)] && spec->secret_readers == 0)
            if (!diff_row(s, spec, TEXT("running"), running, TEXT("file"), settings))
                return COMMAND_EXIT_FAILED;
    return COMMAND_EXIT_DONE;
}

enum command_exit command_settings_explain(struct command_session *s)
{
    const struct settings_spec *spec = asked_for(s);
    struct buffer words released_by(buffer_done) = buffer_new(PAGE_LIMIT);
    enum command_exit exit = COMMAND_EXIT_FAILED;
    if (!spec)
        return COMMAND_EXIT_USAGE;
    const struct settings *settings = command_settings(s, &exit), *plain = settings ? defaults(s) : NULL;
    if (!settings)
        return exit;
    if (!plain)
        return no_memory(s);
    settings_explain(settings, spec, s->call.language, &words);
    struct text said[] = {TEXT("explanation"), buffer_text(&words), TEXT("setting"), spec->key, TEXT("value"), value_of(s, settings, spec, false),
                          TEXT("default"), value_of(s, plain, spec, false), TEXT("guide"), spec->guide_text, TEXT("alias"), spec->alias};
    return command_answer(s, said, s->call.is_json ? length_of(said) : 2) ? COMMAND_EXIT_DONE : COMMAND_EXIT_FAILED;
}

enum command_exit command_settings_example(struct command_session *s)
{
    struct buffer page released_by(buffer_done) = buffer_new(PAGE_LIMIT);
    settings_as_example(&page);
    struct text said[] = {TEXT("example"), buffer_text(&page)};
    return command_answer(s, said, length_of(said)) ? COMMAND_EXIT_DONE : COMMAND_EXIT_FAILED;
}
