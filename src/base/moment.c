/* SPDX-License-Identifier: Apache-2.0 */
#include "base/moment.h"

/* Days from civil and back (the usual era arithmetic: 400 years have 146,097 days; years begin in March). */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day_of_year = (153 * (month + (month > 2 ? (unsigned)-3 : 9)) + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + (int64_t)day_of_era - 719468;
}

struct moment_fields moment_split(int64_t wall_ms)
{
    int64_t day_ms = 86400000;
    int64_t days = wall_ms / day_ms;
    int64_t rest = wall_ms % day_ms;
    if (rest < 0) {
        rest += day_ms;
        days--;
    }
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    unsigned day_of_era = (unsigned)(shifted - era * 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month_index = (5 * day_of_year + 2) / 153;
    unsigned month = month_index < 10 ? month_index + 3 : month_index - 9;
    return (struct moment_fields){
        .year = (int64_t)year_of_era + era * 400 + (month <= 2),
        .month = month,
        .day = day_of_year - (153 * month_index + 2) / 5 + 1,
        .hour = (unsigned)(rest / 3600000),
        .minute = (unsigned)(rest / 60000 % 60),
        .second = (unsigned)(rest / 1000 % 60),
        .millisecond = (unsigned)(rest % 1000),
        .weekday = (unsigned)((days % 7 + 11) % 7),
    };
}

int64_t moment_join(const struct moment_fields *fields)
{
    int64_t days = days_from_date(fields->year, fields->month, fields->day);
    int64_t seconds = days * 86400 + (int64_t)fields->hour * 3600 + (int64_t)fields->minute * 60 + (int64_t)fields->second;
    return seconds * 1000 + (int64_t)fields->millisecond;
}

void moment_append_mail_date(struct buffer *b, int64_t wall_ms)
{
    static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct moment_fields f = moment_split(wall_ms);
    ignored(buffer_append_format(b, "%s, %u %s %04lld %02u:%02u:%02u +0000", weekdays[f.weekday], f.day,
                                 months[f.month - 1], (long long)f.year, f.hour, f.minute, f.second)); /* is_full tells */
}

void moment_append_log_time(struct buffer *b, int64_t wall_ms)
{
    struct moment_fields f = moment_split(wall_ms);
    ignored(buffer_append_format(b, "%04lld-%02u-%02uT%02u:%02u:%02u.%03uZ", (long long)f.year, f.month, f.day, f.hour,
                                 f.minute, f.second, f.millisecond)); /* is_full tells */
}

bool moment_parse_log_time(struct text t, int64_t *ret_wall_ms)
{
    struct {
        size_t digits;
        char after;
        uint64_t maximum, value;
    } part[] = {{4, '-', 9999, 0}, {2, '-', 12, 0}, {2, 'T', 31, 0}, {2, ':', 23, 0}, {2, ':', 59, 0}, {2, '.', 60, 0}, {3, 'Z', 999, 0}};
    for (size_t i = 0; i < length_of(part); i++) {
        if (!text_number(text_take(&t, part[i].digits), part[i].maximum, &part[i].value) || !text_take_octet(&t, part[i].after))
            return false;
    }
    if (t.length || part[1].value == 0 || part[2].value == 0)
        return false;
    *ret_wall_ms = moment_join(&(struct moment_fields){.year = (int64_t)part[0].value, .month = (unsigned)part[1].value,
                                                       .day = (unsigned)part[2].value, .hour = (unsigned)part[3].value,
                                                       .minute = (unsigned)part[4].value, .second = (unsigned)part[5].value,
                                                       .millisecond = (unsigned)part[6].value});
    return true;
}
