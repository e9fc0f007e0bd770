/* SPDX-License-Identifier: Apache-2.0 */
#include "settings/value.h"

struct unit {
    struct text word;
    uint64_t factor;
};

/* Largest first, so that the canonical form takes the largest that divides. */
static const struct unit duration_units[] = {
    {.word = TEXT_INIT("d"), .factor = 86400000}, {.word = TEXT_INIT("h"), .factor = 3600000},
    {.word = TEXT_INIT("m"), .factor = 60000},    {.word = TEXT_INIT("s"), .factor = 1000},
    {.word = TEXT_INIT("ms"), .factor = 1},
};
static const struct unit size_units[] = {
    {.word = TEXT_INIT("T"), .factor = UINT64_C(1) << 40},
    {.word = TEXT_INIT("G"), .factor = 1 << 30},
    {.word = TEXT_INIT("M"), .factor = 1 << 20},
    {.word = TEXT_INIT("K"), .factor = 1 << 10},
    {.word = TEXT_INIT(""), .factor = 1},
};

static bool parse_with_unit(struct text t, const struct unit *units, size_t count, bool ignores_case,
                            uint64_t *ret_number)
{
    size_t digits = 0;
    while (digits < t.length && octet_is_digit(t.bytes[digits]))
        digits++;
    uint64_t number;
    if (!text_number(text_first(t, digits), UINT64_MAX, &number))
        return false;
    struct text word = text_after(t, digits);
    for (size_t i = 0; i < count; i++) {
        bool is_it = ignores_case ? text_equals_ignoring_case(word, units[i].word) : text_equals(word, units[i].word);
        if (!is_it)
            continue;
        if (number > UINT64_MAX / units[i].factor)
            return false;
        *ret_number = number * units[i].factor;
        return true;
    }
    return false;
}

static void append_with_unit(struct buffer *b, uint64_t number, const struct unit *units, size_t count)
{
    if (number == 0) {
        buffer_append_octet(b, '0');
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (number % units[i].factor != 0)
            continue;
        buffer_append_number(b, number / units[i].factor);
        buffer_append(b, units[i].word);
        return;
    }
}

bool settings_duration_parse(struct text t, uint64_t *ret_ms)
{
    if (text_equals(t, TEXT("0"))) {
        *ret_ms = 0;
        return true;
    }
    return parse_with_unit(t, duration_units, length_of(duration_units), false, ret_ms);
}

void settings_duration_append(struct buffer *b, uint64_t ms)
{
    append_with_unit(b, ms, duration_units, length_of(duration_units));
}

void settings_size_append(struct buffer *b, uint64_t octets)
{
    append_with_unit(b, octets, size_units, length_of(size_units));
}

bool settings_flag_parse(struct text t, bool *ret_flag)
{
    bool is_yes = text_equals_ignoring_case(t, TEXT("yes")) || text_equals_ignoring_case(t, TEXT("on"));
    if (!is_yes && !text_equals_ignoring_case(t, TEXT("no")) && !text_equals_ignoring_case(t, TEXT("off")))
        return false;
    *ret_flag = is_yes;
    return true;
}

bool settings_word_find(const struct settings_spec *spec, struct text word, uint64_t *ret_index)
{
    for (size_t i = 0; i < spec->word_count; i++) {
        if (!text_equals_ignoring_case(spec->words[i], word))
            continue;
        *ret_index = i;
        return true;
    }
    return false;
}

void settings_number_append(struct buffer *b, const struct settings_spec *spec, uint64_t number)
{
    if (spec->type == SETTINGS_DURATION || spec->type == SETTINGS_DURATIONS)
        settings_duration_append(b, number);
    else if (spec->type == SETTINGS_SIZE)
        settings_size_append(b, number);
    else
        buffer_append_number(b, number);
    if (spec->type == SETTINGS_SHARE)
        buffer_append_octet(b, '%');
}

static bool is_in_range(const struct settings_spec *spec, uint64_t number, struct buffer *complaint)
{
    bool is_none = number == 0 && spec->may_be_none;
    if (is_none || (number >= spec->minimum && (spec->maximum == 0 || number <= spec->maximum)))
        return true;
    settings_number_append(complaint, spec, number);
    buffer_append(complaint, TEXT(" is out of range: "));
    buffer_append(complaint, spec->maximum == 0 ? TEXT("at least ") : TEXT("from "));
    settings_number_append(complaint, spec, spec->minimum);
    if (spec->maximum != 0) {
        buffer_append(complaint, TEXT(" to "));
        settings_number_append(complaint, spec, spec->maximum);
    }
    if (spec->may_be_none)
        buffer_append(complaint, TEXT(", or 0 for none"));
    return false;
}

static void complain_of_form(struct buffer *complaint, struct text value, struct text right)
{
    buffer_append_octet(complaint, '"');
    buffer_append(complaint, text_first(value, 100));
    buffer_append(complaint, TEXT("\" is no such value: "));
    buffer_append(complaint, right);
}

static bool parse_number(const struct settings_spec *spec, struct text value, uint64_t *ret_number,
                         struct buffer *complaint)
{
    static const struct text right[] = {
        [SETTINGS_COUNT] = TEXT_INIT("write a number without a unit"),
        [SETTINGS_DURATION] = TEXT_INIT("write a number with its unit, as in 500ms, 45s, 30m, 4h or 2d"),
        [SETTINGS_DURATIONS] = TEXT_INIT("write numbers with their units, as in 2m 10m 38m"),
        [SETTINGS_SIZE] = TEXT_INIT("write bytes, or a number with K, M, G or T, as in 50M"),
        [SETTINGS_SHARE] = TEXT_INIT("write a percentage, as in 10%"),
        [SETTINGS_FLAG] = TEXT_INIT(""),
        [SETTINGS_CHOICE] = TEXT_INIT(""),
        [SETTINGS_TEXT] = TEXT_INIT(""),
    };
    bool is_none = spec->may_be_none &&
                   (text_equals_ignoring_case(value, TEXT("none")) || text_equals_ignoring_case(value, TEXT("off")));
    uint64_t number = 0;
    bool is_number = is_none;
    if (!is_none && (spec->type == SETTINGS_DURATION || spec->type == SETTINGS_DURATIONS)) {
        is_number = settings_duration_parse(value, &number);
    } else if (!is_none && spec->type == SETTINGS_SIZE) {
        is_number = parse_with_unit(value, size_units, length_of(size_units), true, &number);
    } else if (!is_none) {
        if (spec->type == SETTINGS_SHARE && text_ends_with(value, TEXT("%")))
            value = text_trimmed(text_first(value, value.length - 1));
        is_number = text_number(value, UINT64_MAX, &number);
    }
    if (!is_number) {
        complain_of_form(complaint, value, right[spec->type]);
        if (spec->may_be_none)
            buffer_append(complaint, TEXT("; 0 or none for none"));
        return false;
    }
    if (!is_in_range(spec, number, complaint))
        return false;
    *ret_number = number;
    return true;
}

static bool parse_choice(const struct settings_spec *spec, struct text value, uint64_t *ret_index,
                         struct buffer *complaint)
{
    if (settings_word_find(spec, value, ret_index))
        return true;
    complain_of_form(complaint, value, TEXT("write "));
    for (size_t i = 0; i < spec->word_count; i++) {
        if (i > 0)
            buffer_append(complaint, i + 1 == spec->word_count ? TEXT(" or ") : TEXT(", "));
        buffer_append(complaint, spec->words[i]);
    }
    return false;
}

static bool parse_durations(struct arena *arena, const struct settings_spec *spec, struct text value,
                            struct settings_durations *ret_durations, struct buffer *complaint)
{
    size_t count = 0;
    for (struct text rest = value; !text_is_empty(text_take_word(&rest));)
        count++;
    uint64_t *items = count == 0 ? NULL : arena_take_array(arena, count, sizeof *items);
    if (items == NULL) {
        buffer_append(complaint, count == 0 ? TEXT("write at least one duration, as in 2m 10m 38m")
                                            : TEXT("the settings are too large"));
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (!parse_number(spec, text_take_word(&value), &items[i], complaint))
            return false;
    *ret_durations = (struct settings_durations){.items = items, .count = count};
    return true;
}

static bool local_part_is_valid(struct text value, struct arena *arena)
{
    struct text whole;
    char bytes[80];
    if (value.length > 64)
        return false;
    size_t length = 0;
    for (; length < value.length; length++)
        bytes[length] = value.bytes[length];
    for (const char *at = "@x.org"; *at != '\0'; at++)
        bytes[length++] = *at;
    if (!arena_copy(arena, text_of(bytes, length), &whole))
        return false;
    struct address address;
    return address_parse(whole, false, &address) == ADDRESS_OK && text_equals(address.local, value);
}

static bool has_form(enum settings_form form, struct text value, struct arena *arena, struct text *ret_right)
{
    struct address address;
    bool is_any;
    struct network_address endpoint;
    uint16_t port;
    switch (form) {
    case SETTINGS_FORM_ANY:
        return true;
    case SETTINGS_FORM_HOST_NAME:
        *ret_right = TEXT("write a fully qualified host name, as in mail.example.org");
        return settings_host_name_is_qualified(value);
    case SETTINGS_FORM_DOMAIN:
        *ret_right = TEXT("write a domain, as in example.org");
        return domain_is_valid(value, true);
    case SETTINGS_FORM_ADDRESS:
        *ret_right = TEXT("write a mail address, as in postmaster@example.org");
        return address_parse(value, true, &address) == ADDRESS_OK && !address_is_null(&address) &&
               !text_is_empty(address.domain);
    case SETTINGS_FORM_LOCAL_PART:
        *ret_right = TEXT("write the part before the @ of an address, as in MAILER-DAEMON");
        return local_part_is_valid(value, arena);
    case SETTINGS_FORM_ENDPOINT:
        *ret_right = TEXT("write address:port, as in 127.0.0.1:8025 or [::1]:8025");
        return settings_endpoint_parse(value, &is_any, &endpoint, &port);
    }
    return false;
}

bool settings_host_name_is_qualified(struct text name)
{
    size_t last = 0;
    for (size_t i = 0; i < name.length; i++)
        if (name.bytes[i] == '.')
            last = i + 1;
    /* a name whose last label begins with a digit would be an address */
    return last > 0 && last < name.length && !octet_is_digit(name.bytes[last]) && domain_is_valid(name, false);
}

static bool parse_text(struct arena *arena, const struct settings_spec *spec, struct text value, struct text *ret_text,
                       struct buffer *complaint)
{
    struct text right = TEXT_NONE;
    if (text_is_empty(value) && !spec->may_be_empty) {
        buffer_append(complaint, TEXT("it must not be empty"));
        return false;
    }
    if (!text_is_empty(value) && !has_form(spec->form, value, arena, &right)) {
        complain_of_form(complaint, value, right);
        return false;
    }
    if (!arena_copy(arena, value, ret_text)) {
        buffer_append(complaint, TEXT("the settings are too large"));
        return false;
    }
    return true;
}

bool settings_value_parse(struct arena *arena, const struct settings_spec *spec, struct text value, struct settings *s,
                          struct buffer *complaint)
{
    must(!settings_is_table(spec));
    void *member = settings_member(s, spec);
    if (spec->type == SETTINGS_TEXT)
        return parse_text(arena, spec, value, member, complaint);
    if (spec->type == SETTINGS_DURATIONS)
        return parse_durations(arena, spec, value, member, complaint);
    if (spec->type == SETTINGS_CHOICE)
        return parse_choice(spec, value, member, complaint);
    if (spec->type != SETTINGS_FLAG)
        return parse_number(spec, value, member, complaint);
    if (settings_flag_parse(value, member))
        return true;
    complain_of_form(complaint, value, TEXT("write yes or no"));
    return false;
}

void settings_value_append(const struct settings *s, const struct settings_spec *spec, struct buffer *b)
{
    const void *member = settings_member_read(s, spec);
    if (spec->type == SETTINGS_TEXT) {
        buffer_append(b, *(const struct text *)member);
        return;
    }
    if (spec->type == SETTINGS_FLAG) {
        buffer_append(b, *(const bool *)member ? TEXT("yes") : TEXT("no"));
        return;
    }
    if (spec->type == SETTINGS_CHOICE) {
        buffer_append(b, spec->words[*(const uint64_t *)member]);
        return;
    }
    if (spec->type != SETTINGS_DURATIONS) {
        settings_number_append(b, spec, *(const uint64_t *)member);
        return;
    }
    const struct settings_durations *durations = member;
    for (size_t i = 0; i < durations->count; i++) {
        if (i > 0)
            buffer_append_octet(b, ' ');
        settings_duration_append(b, durations->items[i]);
    }
}

static bool rows_equal(struct settings_any_table a, struct settings_any_table b, size_t size)
{
    if (a.count != b.count)
        return false;
    for (size_t i = 0; i < a.count; i++) {
        const struct settings_row *row_a = (const void *)((const char *)a.rows + i * size);
        const struct settings_row *row_b = (const void *)((const char *)b.rows + i * size);
        if (!text_equals(row_a->text, row_b->text) || !text_equals(row_a->comment, row_b->comment))
            return false;
    }
    return true;
}

static bool durations_equal(const struct settings_durations *a, const struct settings_durations *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->items[i] != b->items[i])
            return false;
    return true;
}

bool settings_value_equals(const struct settings *a, const struct settings *b, const struct settings_spec *spec)
{
    const void *in_a = settings_member_read(a, spec), *in_b = settings_member_read(b, spec);
    if (settings_is_table(spec))
        return rows_equal(settings_table_read(a, spec), settings_table_read(b, spec), settings_row_size(spec->type));
    if (spec->type == SETTINGS_TEXT)
        return text_equals(*(const struct text *)in_a, *(const struct text *)in_b);
    if (spec->type == SETTINGS_FLAG)
        return *(const bool *)in_a == *(const bool *)in_b;
    if (spec->type == SETTINGS_DURATIONS)
        return durations_equal(in_a, in_b);
    return *(const uint64_t *)in_a == *(const uint64_t *)in_b;
}
