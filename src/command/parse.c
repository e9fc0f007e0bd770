/* SPDX-License-Identifier: Apache-2.0 */
#include "command/parse.h"

/* What goes on while the words are read. */
struct parser {
    struct arena *arena;
    const struct text *words;
    size_t count, at;
    struct command_call *call;
    struct buffer *why;
    bool only_values; /* "--" came */
    size_t placed;    /* arguments by place that were taken */
};

static enum command_exit wrong(struct parser *p, enum command_word word, struct text first, struct text second)
{
    command_word_append(p->why, word, p->call->language, first, second);
    return COMMAND_EXIT_USAGE;
}

struct text command_argument(const struct command_call *call, struct text name)
{
    for (size_t i = 0; i + 1 < call->count; i += 2)
        if (text_equals(call->pairs[i], name))
            return call->pairs[i + 1];
    return TEXT_NONE;
}

bool command_has_argument(const struct command_call *call, struct text name)
{
    for (size_t i = 0; i + 1 < call->count; i += 2)
        if (text_equals(call->pairs[i], name))
            return true;
    return false;
}

bool command_argument_add(struct command_call *call, struct text name, struct text value)
{
    if (call->count + 2 > COMMAND_PAIRS || value.length > COMMAND_VALUE_LIMIT)
        return false;
    call->pairs[call->count++] = name;
    call->pairs[call->count++] = value;
    return true;
}

const struct command_argument *command_secret_of(const struct command_row *row)
{
    for (size_t i = 0; i < row->argument_count; i++)
        if (row->arguments[i].kind == COMMAND_SECRET)
            return &row->arguments[i];
    return NULL;
}

/* --- values ------------------------------------------------------------------------------------------------------------------------------ */

struct unit {
    struct text word;
    uint64_t factor;
};
static const struct unit duration_units[] = {
    {.word = TEXT_INIT("ms"), .factor = 1},        {.word = TEXT_INIT("s"), .factor = 1000},       {.word = TEXT_INIT("m"), .factor = 60000},
    {.word = TEXT_INIT("h"), .factor = 3600000},   {.word = TEXT_INIT("d"), .factor = 86400000},   {.word = TEXT_INIT("w"), .factor = 604800000},
};
static const struct unit size_units[] = {
    {.word = TEXT_INIT("K"), .factor = 1024},
    {.word = TEXT_INIT("M"), .factor = 1024 * 1024},
    {.word = TEXT_INIT("G"), .factor = 1024 * 1024 * 1024},
    {.word = TEXT_INIT(""), .factor = 1},
};

static bool with_unit(struct text value, const struct unit *units, size_t count, uint64_t *ret_number)
{
    size_t digits = 0;
    while (digits < value.length && octet_is_digit(value.bytes[digits]))
        digits++;
    uint64_t number;
    if (!text_number(text_first(value, digits), UINT64_MAX, &number))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!text_equals_ignoring_case(units[i].word, text_after(value, digits)))
            continue;
        if (number > INT64_MAX / units[i].factor)
            return false;
        *ret_number = number * units[i].factor;
        return true;
    }
    return false;
}

static bool number_of(enum command_value kind, struct text value, uint64_t *ret_number)
{
    switch (kind) {
    case COMMAND_VALUE_WORDS:
        return false;
    case COMMAND_VALUE_DURATION:
        return with_unit(value, duration_units, length_of(duration_units), ret_number);
    case COMMAND_VALUE_SIZE:
        if (text_equals(value, TEXT("none")))
            value = TEXT("0");
        return with_unit(value, size_units, length_of(size_units), ret_number);
    case COMMAND_VALUE_NUMBER:
        return text_number(value, UINT64_MAX, ret_number);
    }
    return false;
}

static enum command_word complaint_of(enum command_value kind)
{
    switch (kind) {
    case COMMAND_VALUE_DURATION:
        return COMMAND_WORD_BAD_DURATION;
    case COMMAND_VALUE_SIZE:
        return COMMAND_WORD_BAD_SIZE;
    case COMMAND_VALUE_WORDS:
    case COMMAND_VALUE_NUMBER:
        return COMMAND_WORD_BAD_NUMBER;
    }
    return COMMAND_WORD_BAD_NUMBER;
}

static enum command_exit add(struct parser *p, const struct command_argument *argument, struct text value)
{
    if (argument->value != COMMAND_VALUE_WORDS) {
        uint64_t number;
        struct buffer digits released_by(buffer_done) = buffer_new(24);
        if (!number_of(argument->value, value, &number))
            return wrong(p, complaint_of(argument->value), argument->name, value);
        must(buffer_append_number(&digits, number));
        if (!arena_copy(p->arena, buffer_text(&digits), &value))
            return wrong(p, COMMAND_WORD_TOO_LONG, argument->name, TEXT("4000"));
    }
    if (!command_argument_add(p->call, argument->name, value))
        return wrong(p, COMMAND_WORD_TOO_LONG, argument->name, TEXT("4000"));
    return COMMAND_EXIT_DONE;
}

/* --- options ----------------------------------------------------------------------------------------------------------------------------- */

static bool next_value(struct parser *p, bool has_value, struct text inline_value, struct text *ret_value)
{
    if (has_value) {
        *ret_value = inline_value;
        return true;
    }
    if (p->at == p->count)
        return false;
    *ret_value = p->words[p->at++];
    return true;
}

static bool take_language(struct text word, enum settings_language *ret_language)
{
    bool is_italian = text_equals_ignoring_case(text_first(word, 2), TEXT("it"));
    if (!is_italian && !text_equals_ignoring_case(text_first(word, 2), TEXT("en")))
        return false;
    *ret_language = is_italian ? SETTINGS_ITALIAN : SETTINGS_ENGLISH;
    return true;
}

/* The options that every command has. False: it is none of them. */
static bool common_option(struct parser *p, struct text name, bool has_value, struct text value, enum command_exit *ret_result)
{
    struct command_call *call = p->call;
    *ret_result = COMMAND_EXIT_DONE;
    if (text_equals(name, TEXT("json"))) {
        call->is_json = true;
    } else if (text_equals(name, TEXT("help"))) {
        call->wants_help = true;
    } else if (text_equals(name, TEXT("version")) && !call->row) {
        call->row = command_row(COMMAND_version);
    } else if (text_equals(name, TEXT("directory")) || text_equals(name, TEXT("language"))) {
        if (!next_value(p, has_value, value, &value))
            *ret_result = wrong(p, COMMAND_WORD_VALUE_MISSING, name, text_equals(name, TEXT("language")) ? TEXT("en|it") : TEXT("DIR"));
        else if (text_equals(name, TEXT("directory")))
            call->directory = value;
        else if (value.length != 2 || !take_language(value, &call->language))
            *ret_result = wrong(p, COMMAND_WORD_BAD_LANGUAGE, value, TEXT_NONE);
    } else {
        return false;
    }
    return true;
}

static const struct command_argument *argument_named(const struct command_row *row, struct text name)
{
    for (size_t i = 0; row && i < row->argument_count; i++) {
        const struct command_argument *argument = &row->arguments[i];
        bool is_secret = argument->kind == COMMAND_SECRET;
        if (!is_secret && argument->kind != COMMAND_OPTION && argument->kind != COMMAND_FLAG)
            continue;
        if (is_secret ? text_starts_with(name, argument->name) && text_equals(text_after(name, argument->name.length), TEXT("-stdin"))
                      : text_equals(name, argument->name))
            return argument;
    }
    return NULL;
}

static enum command_exit take_option(struct parser *p, struct text word)
{
    struct command_call *call = p->call;
    if (text_equals(word, TEXT("-h"))) {
        call->wants_help = true;
        return COMMAND_EXIT_DONE;
    }
    struct text value = text_after(word, 2), name = text_take_until(&value, '=');
    bool has_value = text_has_octet(word, '=');
    enum command_exit result;
    if (text_starts_with(word, TEXT("--")) && common_option(p, name, has_value, value, &result))
        return result;
    const struct command_argument *argument = text_starts_with(word, TEXT("--")) ? argument_named(call->row, name) : NULL;
    if (!argument)
        return wrong(p, COMMAND_WORD_UNKNOWN_OPTION, word, call->row ? call->row->words : TEXT("COMMAND"));
    if (command_has_argument(call, argument->name))
        return wrong(p, COMMAND_WORD_GIVEN_TWICE, argument->name, TEXT_NONE);
    if (argument->kind == COMMAND_OPTION) {
        if (!next_value(p, has_value, value, &value))
            return wrong(p, COMMAND_WORD_VALUE_MISSING, name, TEXT("VALUE"));
        return add(p, argument, value);
    }
    if (has_value)
        return wrong(p, COMMAND_WORD_VALUE_TOO_MUCH, name, TEXT_NONE);
    if (argument->kind == COMMAND_SECRET) {
        call->has_secret = true;
        return COMMAND_EXIT_DONE;
    }
    return add(p, argument, TEXT("yes"));
}

/* --- by place ---------------------------------------------------------------------------------------------------------------------------- */

static const struct command_argument *argument_at(const struct command_row *row, size_t place)
{
    for (size_t i = 0; i < row->argument_count; i++) {
        const struct command_argument *argument = &row->arguments[i];
        bool is_rest = argument->kind == COMMAND_REST;
        if (!is_rest && argument->kind != COMMAND_REQUIRED && argument->kind != COMMAND_OPTIONAL)
            continue;
        if (is_rest || place == 0)
            return argument;
        place--;
    }
    return NULL;
}

static bool is_option(const struct parser *p, struct text word)
{
    return !p->only_values && word.length > 1 && word.bytes[0] == '-' && !octet_is_digit(word.bytes[1]);
}

/* True when the command is "first" or "first second"; *ret_words tells how many words it takes. */
static const struct command_row *row_of(struct text first, struct text second, size_t *ret_words)
{
    for (size_t i = COMMAND_NONE + 1; i < COMMANDS; i++) {
        const struct command_row *row = command_row((enum command_id)i);
        struct text rest = row->words, head = text_take_until(&rest, ' ');
        if (text_equals(head, first) && rest.length && text_equals(rest, second)) {
            *ret_words = 2;
            return row;
        }
    }
    for (size_t i = COMMAND_NONE + 1; i < COMMANDS; i++) {
        const struct command_row *row = command_row((enum command_id)i);
        if (text_equals(row->words, first) || (row->short_words.length && text_equals(row->short_words, first))) {
            *ret_words = 1;
            return row;
        }
    }
    return NULL;
}

/* How many octets of the two differ in order; small means a slip of the finger. */
static size_t distance(struct text a, struct text b)
{
    size_t head = 0, tail = 0;
    while (head < a.length && head < b.length && a.bytes[head] == b.bytes[head])
        head++;
    while (tail < a.length - head && tail < b.length - head && a.bytes[a.length - 1 - tail] == b.bytes[b.length - 1 - tail])
        tail++;
    return larger(a.length, b.length) - head - tail;
}

static enum command_exit unknown_command(struct parser *p, struct text first, struct text second)
{
    struct buffer typed released_by(buffer_done) = buffer_new(COMMAND_VALUE_LIMIT * 2 + 1);
    ignored(buffer_append_format(&typed, "%.*s%s%.*s", TEXT_ARGUMENTS(first), second.length ? " " : "", TEXT_ARGUMENTS(second))); /* for a message */
    struct text nearest = TEXT_NONE;
    size_t best = 4;
    for (size_t i = COMMAND_NONE + 1; i < COMMANDS; i++) {
        const struct command_row *row = command_row((enum command_id)i);
        struct text rest = row->words, head = text_take_until(&rest, ' ');
        size_t whole = distance(row->words, buffer_text(&typed)), part = second.length ? SIZE_MAX : distance(head, first);
        if (row->is_hidden || smaller(whole, part) >= smaller(best, head.length))
            continue;
        best = smaller(whole, part);
        nearest = whole <= part ? row->words : head;
    }
    return wrong(p, nearest.length ? COMMAND_WORD_UNKNOWN_COMMAND_NEAR : COMMAND_WORD_UNKNOWN_COMMAND, buffer_text(&typed), nearest);
}

static bool is_group(struct text word)
{
    for (size_t i = COMMAND_NONE + 1; i < COMMANDS; i++) {
        struct text rest = command_row((enum command_id)i)->words, head = text_take_until(&rest, ' ');
        if (rest.length && text_equals(head, word))
            return true;
    }
    return false;
}

/* The command's own words come first but for the common options. "portiere queue --help" is a question about all of its kind. */
static enum command_exit take_command(struct parser *p)
{
    struct command_call *call = p->call;
    while (p->at < p->count && is_option(p, p->words[p->at])) {
        enum command_exit result = take_option(p, p->words[p->at++]);
        if (result != COMMAND_EXIT_DONE)
            return result;
    }
    if (p->at == p->count)
        return call->row || call->wants_help ? COMMAND_EXIT_DONE : wrong(p, COMMAND_WORD_NO_COMMAND, TEXT_NONE, TEXT_NONE);
    struct text first = p->words[p->at], second = p->at + 1 < p->count ? p->words[p->at + 1] : TEXT_NONE;
    size_t words;
    call->row = row_of(first, second, &words);
    if (call->row) {
        p->at += words;
        return COMMAND_EXIT_DONE;
    }
    if (is_group(first) && (is_option(p, second) || second.length == 0)) {
        call->row = command_row(COMMAND_help);
        p->at++;
        return command_argument_add(call, TEXT("command"), first) ? COMMAND_EXIT_DONE : COMMAND_EXIT_USAGE;
    }
    return unknown_command(p, first, is_group(first) ? second : TEXT_NONE);
}

static enum command_exit take_arguments(struct parser *p)
{
    while (p->at < p->count) {
        struct text word = p->words[p->at++];
        if (!p->only_values && text_equals(word, TEXT("--"))) {
            p->only_values = true;
            continue;
        }
        enum command_exit result;
        if (is_option(p, word)) {
            result = take_option(p, word);
        } else {
            const struct command_argument *argument = argument_at(p->call->row, p->placed);
            if (!argument)
                return wrong(p, COMMAND_WORD_ARGUMENT_TOO_MUCH, word, p->call->row->words);
            p->placed += argument->kind != COMMAND_REST;
            result = add(p, argument, word);
        }
        if (result != COMMAND_EXIT_DONE)
            return result;
    }
    return COMMAND_EXIT_DONE;
}

static enum command_exit check_needs(struct parser *p)
{
    const struct command_row *row = p->call->row;
    for (size_t i = 0; i < row->argument_count; i++) {
        const struct command_argument *argument = &row->arguments[i];
        bool is_needed = argument->kind == COMMAND_REQUIRED || (argument->kind == COMMAND_REST && argument->is_needed);
        if (is_needed && !command_has_argument(p->call, argument->name))
            return wrong(p, COMMAND_WORD_ARGUMENT_MISSING, argument->name, row->words);
    }
    if (row->needs_choice && p->call->count == 0)
        return wrong(p, COMMAND_WORD_CHOICE_MISSING, TEXT_NONE, TEXT_NONE);
    return COMMAND_EXIT_DONE;
}

enum command_exit command_parse(struct arena *arena, const struct text *words, size_t count, struct text locale,
                                struct command_call *ret_call, struct buffer *why)
{
    *ret_call = (struct command_call){.language = SETTINGS_ENGLISH};
    ignored(take_language(locale, &ret_call->language)); /* another language: English */
    struct parser p = {.arena = arena, .words = words, .count = count, .call = ret_call, .why = why};
    enum command_exit result = take_command(&p);
    if (result == COMMAND_EXIT_DONE && ret_call->row)
        result = take_arguments(&p);
    if (result == COMMAND_EXIT_DONE && ret_call->row && !ret_call->wants_help)
        result = check_needs(&p);
    return result;
}
