/* SPDX-License-Identifier: Apache-2.0 */
/* moment: calendar time without a clock. Wall times are milliseconds since 1970 UTC (int64_t, good past 2038 and 2100);
 * ages and deadlines are milliseconds of the monotonic clock (uint64_t). The clock itself is system/clock.h. */
#ifndef BASE_MOMENT_H
#define BASE_MOMENT_H

#include "base/buffer.h"

struct moment_fields {
    int64_t year;
    unsigned month, day, hour, minute, second, millisecond;
    unsigned weekday; /* 0 = Sunday */
};

struct moment_fields moment_split(int64_t wall_ms);
int64_t moment_join(const struct moment_fields *fields); /* weekday is not read */

/* "Wed, 25 Nov 2026 12:58:53 +0000" (RFC 5322 section 3.3), always in UTC. */
void moment_append_mail_date(struct buffer *b, int64_t wall_ms);
/* "2026-11-25T12:58:53.123Z" (RFC 3339) */
void moment_append_log_time(struct buffer *b, int64_t wall_ms);
must_check bool moment_parse_log_time(struct text t, int64_t *ret_wall_ms);

#endif
