/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of DNS lists, of exempt parties and of HELO names. */
#include "settings/table.h"

static bool parse_answers(struct settings_row_job *job, struct text value, struct settings_zone *zone)
{
    static const struct network_address first = {.octets = {[10] = 0xff, [11] = 0xff, [12] = 127}};
    struct network listing = network_of_address(&first, 8, 128);
    size_t count = 1;
    for (size_t i = 0; i < value.length; i++)
        count += value.bytes[i] == ',';
    struct network *answers = arena_take_array(job->arena, count, sizeof *answers);
    if (answers == NULL)
        return settings_row_refuse(job, "the settings are too large");
    for (size_t i = 0; i < count; i++) {
        struct text word = text_take_until(&value, ',');
        const char *message = NULL;
        struct network_address low;
        bool is_network = network_parse(word, &answers[i], &message);
        if (is_network)
            low = network_address_of_v6(answers[i].low);
        if (!is_network || !network_contains(&listing, &low))
            return settings_row_refuse_word(job, word,
                                            "an answer is an address of 127.0.0.0/8, as in 127.0.0.2 or 127.0.0.4-11");
    }
    zone->answers = answers;
    zone->answer_count = count;
    return true;
}

static bool parse_either(struct settings_row_job *job, struct text value, struct text no, struct text yes,
                         bool *ret_is_yes)
{
    *ret_is_yes = text_equals_ignoring_case(value, yes);
    if (*ret_is_yes || text_equals_ignoring_case(value, no))
        return true;
    buffer_append_format(job->complaint, "write %.*s or %.*s", TEXT_ARGUMENTS(no), TEXT_ARGUMENTS(yes));
    return false;
}

bool settings_row_zone(struct settings_row_job *job, void *row)
{
    struct settings_zone *zone = row;
    zone->zone = text_take_word(&job->rest);
    if (!settings_host_name_is_qualified(zone->zone))
        return settings_row_refuse_word(job, zone->zone, "the row begins with a zone, as in zen.spamhaus.org");
    struct text name, value;
    enum settings_option_result result;
    while ((result = settings_row_take_option(job, &name, &value)) == SETTINGS_OPTION_TAKEN) {
        bool is_good = false;
        if (text_equals_ignoring_case(name, TEXT("answers")))
            is_good = parse_answers(job, value, zone);
        else if (text_equals_ignoring_case(name, TEXT("list")))
            is_good = parse_either(job, value, TEXT("block"), TEXT("allow"), &zone->is_allow);
        else if (text_equals_ignoring_case(name, TEXT("kind")))
            is_good = parse_either(job, value, TEXT("address"), TEXT("domain"), &zone->is_domain);
        else
            (void)settings_row_refuse_word(job, name, "no such option; write answers=, list= or kind=");
        if (!is_good)
            return false;
    }
    return result == SETTINGS_OPTION_END;
}

static bool parse_date(struct text t, int64_t *ret_end_ms)
{
    uint64_t year, month, day;
    if (t.length != 10 || t.bytes[4] != '-' || t.bytes[7] != '-' || !text_number(text_first(t, 4), 9999, &year) ||
        !text_number(text_first(text_after(t, 5), 2), 12, &month) || !text_number(text_after(t, 8), 31, &day) ||
        year < 1970 || month == 0 || day == 0)
        return false;
    struct moment_fields fields = {.year = (int64_t)year,
                                   .month = (unsigned)month,
                                   .day = (unsigned)day,
                                   .hour = 23,
                                   .minute = 59,
                                   .second = 59,
                                   .millisecond = 999};
    int64_t end_ms = moment_join(&fields);
    if (moment_split(end_ms).day != day)
        return false; /* no 31st in that month */
    *ret_end_ms = end_ms;
    return true;
}

static const struct {
    struct text prefix;
    struct text name;
} bypass_kinds[SETTINGS_BYPASS_KINDS] = {
    [SETTINGS_BYPASS_ANY] = {.prefix = TEXT_INIT(""), .name = TEXT_INIT("any")},
    [SETTINGS_BYPASS_SENDER] = {.prefix = TEXT_INIT("s:"), .name = TEXT_INIT("sender")},
    [SETTINGS_BYPASS_RECIPIENT] = {.prefix = TEXT_INIT("r:"), .name = TEXT_INIT("recipient")},
    [SETTINGS_BYPASS_ADDRESS] = {.prefix = TEXT_INIT("i:"), .name = TEXT_INIT("address")},
    [SETTINGS_BYPASS_HOST] = {.prefix = TEXT_INIT("a:"), .name = TEXT_INIT("host")},
    [SETTINGS_BYPASS_ZONE] = {.prefix = TEXT_INIT("w:"), .name = TEXT_INIT("zone")},
    [SETTINGS_BYPASS_FILE] = {.prefix = TEXT_INIT("f:"), .name = TEXT_INIT("file")},
    [SETTINGS_BYPASS_TRUSTED] = {.prefix = TEXT_INIT("t:"), .name = TEXT_INIT("trusted")},
};

static enum settings_bypass_kind take_kind(struct text *word)
{
    for (size_t i = 1; i < SETTINGS_BYPASS_KINDS; i++)
        if (text_take_prefix_ignoring_case(word, bypass_kinds[i].prefix))
            return (enum settings_bypass_kind)i;
    return SETTINGS_BYPASS_ANY;
}

static bool is_party(struct text t)
{
    struct address address;
    if (!text_has_octet(t, '@'))
        return settings_domain_mask_is_valid(t) && text_has_octet(t, '.');
    return address_parse(t, true, &address) == ADDRESS_OK;
}

static bool bypass_value(struct settings_row_job *job, struct settings_bypass *bypass)
{
    const char *message = NULL;
    struct text value = bypass->value;
    switch (bypass->kind) {
    case SETTINGS_BYPASS_ANY:
    case SETTINGS_BYPASS_ADDRESS:
        bypass->has_network = network_parse(value, &bypass->network, &message);
        if (bypass->has_network)
            return true;
        if (bypass->kind == SETTINGS_BYPASS_ADDRESS)
            return settings_row_refuse_word(job, value, message);
        /* 10.*.*x must not become a domain */
        if (!text_has_octet(value, '@') &&
            !settings_host_name_is_qualified(text_starts_with(value, TEXT("*.")) ? text_after(value, 2) : value))
            return settings_row_refuse_word(job, value, "write an address, a domain or an IP address");
        return is_party(value) || settings_row_refuse_word(job, value, "write an address, a domain or an IP address");
    case SETTINGS_BYPASS_SENDER:
    case SETTINGS_BYPASS_RECIPIENT:
        return is_party(value) || settings_row_refuse_word(job, value, "write a mail address or a domain");
    case SETTINGS_BYPASS_HOST:
    case SETTINGS_BYPASS_ZONE:
        return settings_host_name_is_qualified(value) ||
               settings_row_refuse_word(job, value, "write a fully qualified name");
    case SETTINGS_BYPASS_FILE:
        return !text_is_empty(value) || settings_row_refuse(job, "write f: and the name of a file");
    case SETTINGS_BYPASS_TRUSTED:
        return text_is_empty(value) || settings_row_refuse_word(job, value, "nothing follows t:");
    case SETTINGS_BYPASS_KINDS:
        break;
    }
    return false;
}

bool settings_row_bypass(struct settings_row_job *job, void *row)
{
    struct settings_bypass *bypass = row;
    bypass->value = text_take_word(&job->rest);
    bypass->kind = take_kind(&bypass->value);
    if (job->spec->refused_kinds & 1u << bypass->kind) {
        buffer_append_format(job->complaint,
                             "the %.*s is not known yet where this is decided; exempt the client (i:, a:, w:)",
                             TEXT_ARGUMENTS(bypass_kinds[bypass->kind].name));
        return false;
    }
    if (!bypass_value(job, bypass))
        return false;
    struct text name, value;
    enum settings_option_result result;
    while ((result = settings_row_take_option(job, &name, &value)) == SETTINGS_OPTION_TAKEN) {
        bypass->has_until = text_equals_ignoring_case(name, TEXT("until")) && parse_date(value, &bypass->until_ms);
        if (!bypass->has_until)
            return settings_row_refuse_word(job, value, "write until=YYYY-MM-DD");
    }
    return result == SETTINGS_OPTION_END;
}

bool settings_row_helo_filter(struct settings_row_job *job, void *row)
{
    struct settings_helo_filter *filter = row;
    if (!parse_either(job, text_take_word(&job->rest), TEXT("reject"), TEXT("accept"), &filter->is_accept))
        return false;
    filter->mask = text_take_word(&job->rest);
    if (text_is_empty(filter->mask) || !text_is_empty(text_trimmed(job->rest)))
        return settings_row_refuse(job, "write accept or reject, and one mask, as in reject *.example.org");
    for (size_t i = 1; i + 1 < filter->mask.length; i++)
        if (filter->mask.bytes[i] == '*')
            return settings_row_refuse_word(job, filter->mask, "a mask has its * at the beginning or at the end");
    return true;
}
