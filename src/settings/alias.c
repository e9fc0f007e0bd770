/* SPDX-License-Identifier: Apache-2.0 */
/* A setting under the product's variable name, in that variable's unit, sense and words. */
#include "settings/value.h"

static uint64_t factor_of(enum settings_alias_unit unit)
{
    switch (unit) {
    case SETTINGS_ALIAS_SECONDS:
        return 1000;
    case SETTINGS_ALIAS_MINUTES:
        return 60000;
    case SETTINGS_ALIAS_HOURS:
        return 3600000;
    case SETTINGS_ALIAS_DAYS:
        return 86400000;
    case SETTINGS_ALIAS_KILOBYTES:
        return 1024;
    case SETTINGS_ALIAS_PLAIN:
    case SETTINGS_ALIAS_INVERSE:
    case SETTINGS_ALIAS_FIRST_IS_1:
    case SETTINGS_ALIAS_SWITCH:
    case SETTINGS_ALIAS_LIST:
        break;
    }
    return 1;
}

static void append_list(const struct settings *s, const struct settings_spec *spec, bool with_secrets, struct buffer *b)
{
    size_t count = settings_row_count(s, spec);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_append_octet(b, ';');
        settings_row_append(b, spec, settings_row_at(s, spec, i),
                            with_secrets ? SETTINGS_LOGIN_WHOLE : SETTINGS_LOGIN_STARS);
    }
}

bool settings_alias_text(const struct settings *s, const struct settings_spec *spec, bool with_secrets,
                         struct buffer *b)
{
    if (text_is_empty(spec->alias))
        return false;
    const void *member = settings_member_read(s, spec);
    if (settings_is_table(spec)) {
        append_list(s, spec, with_secrets, b);
    } else if (spec->type == SETTINGS_FLAG) {
        bool is_one = *(const bool *)member != (spec->alias_unit == SETTINGS_ALIAS_INVERSE);
        buffer_append_number(b, is_one);
    } else if (spec->type == SETTINGS_CHOICE) {
        bool is_first = *(const uint64_t *)member == 0;
        buffer_append_number(b, is_first == (spec->alias_unit == SETTINGS_ALIAS_FIRST_IS_1));
    } else if (spec->type == SETTINGS_TEXT) {
        buffer_append(b, *(const struct text *)member);
    } else {
        /* rounded up, so that a short time does not become 0, which is none */
        uint64_t factor = factor_of(spec->alias_unit), value = *(const uint64_t *)member;
        buffer_append_number(b, value / factor + (value % factor != 0));
    }
    return true;
}

static bool parse_switch(struct text value, bool *ret_is_one)
{
    static const struct {
        struct text word;
        bool is_one;
    } words[] = {
        {.word = TEXT_INIT("1"), .is_one = true},
        {.word = TEXT_INIT("0"), .is_one = false},
        {.word = TEXT_INIT("true"), .is_one = true},
        {.word = TEXT_INIT("false"), .is_one = false},
    };
    for (size_t i = 0; i < length_of(words); i++) {
        if (!text_equals_ignoring_case(words[i].word, value))
            continue;
        *ret_is_one = words[i].is_one;
        return true;
    }
    return false;
}

static bool append_switch(const struct settings_spec *spec, bool is_one, struct buffer *b)
{
    if (spec->type == SETTINGS_FLAG)
        return buffer_append(b, is_one != (spec->alias_unit == SETTINGS_ALIAS_INVERSE) ? TEXT("yes") : TEXT("no"));
    if (spec->alias_unit == SETTINGS_ALIAS_FIRST_IS_1)
        return buffer_append(b, spec->words[is_one ? 0 : 1]);
    return buffer_append(b, spec->words[is_one ? spec->alias_on : 0]);
}

static bool append_rows(struct text value, struct buffer *b)
{
    bool is_first = true;
    while (!text_is_empty(value)) {
        struct text row = text_trimmed(text_take_until(&value, ';'));
        if (text_is_empty(row))
            continue;
        if (!is_first && !buffer_append_octet(b, '\n'))
            return false;
        if (!buffer_append(b, row))
            return false;
        is_first = false;
    }
    return true;
}

static bool append_quantity(const struct settings_spec *spec, uint64_t number, struct buffer *b)
{
    number *= factor_of(spec->alias_unit);
    if (spec->type == SETTINGS_DURATION)
        settings_duration_append(b, number);
    else if (spec->type == SETTINGS_SIZE)
        settings_size_append(b, number);
    else
        buffer_append_number(b, number);
    return !b->is_full;
}

bool settings_alias_value(const struct settings_spec *spec, struct text value, struct buffer *b,
                          const char **ret_message)
{
    *ret_message = "it has no such variable";
    if (text_is_empty(spec->alias))
        return false;
    *ret_message = "the value is too long";
    value = text_trimmed(value);
    if (settings_is_table(spec))
        return append_rows(value, b);
    if (spec->type == SETTINGS_TEXT)
        return buffer_append(b, value);
    if (spec->type == SETTINGS_FLAG || spec->type == SETTINGS_CHOICE) {
        bool is_one = false;
        if (parse_switch(value, &is_one))
            return append_switch(spec, is_one, b);
        *ret_message = "this variable is 0 or 1";
        return false;
    }
    uint64_t number;
    if (text_number(value, UINT64_MAX / factor_of(spec->alias_unit), &number))
        return append_quantity(spec, number, b);
    static const char *const messages[] = {
        [SETTINGS_ALIAS_PLAIN] = "this variable is a whole number",
        [SETTINGS_ALIAS_SECONDS] = "this variable is a whole number of seconds",
        [SETTINGS_ALIAS_MINUTES] = "this variable is a whole number of minutes",
        [SETTINGS_ALIAS_HOURS] = "this variable is a whole number of hours",
        [SETTINGS_ALIAS_DAYS] = "this variable is a whole number of days",
        [SETTINGS_ALIAS_KILOBYTES] = "this variable is a whole number of kilobytes",
    };
    *ret_message = messages[spec->alias_unit];
    return false;
}
