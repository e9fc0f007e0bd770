/* SPDX-License-Identifier: Apache-2.0 */
/* level: how loud an event is. Values travel in messages: append only. */
#ifndef RECORD_LEVEL_H
#define RECORD_LEVEL_H

enum record_level {
    RECORD_DEBUG,
    RECORD_INFO,    /* what the server is for: a message taken, delivered */
    RECORD_NOTICE,  /* a refusal, a restart, a change by an administrator */
    RECORD_WARNING, /* something an administrator should look at */
    RECORD_ALARM,   /* mail may be late or lost unless somebody acts */
    RECORD_LEVELS,
};

#endif
