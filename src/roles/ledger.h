/* SPDX-License-Identifier: Apache-2.0 */
/* ledger: what the files of this role share. Questions about the log (trace, events) are answered in steps of the loop,
 * so that no question, however long the log, keeps the events of the others waiting. */
#ifndef ROLES_LEDGER_H
#define ROLES_LEDGER_H

#include "record/record.h"
#include "roles/role.h"

enum { LEDGER_JOBS = 8 };

struct ledger_job;

struct ledger {
    struct role *role;
    struct record_writer *writer;
    struct loop_timer *flush, *step, *end;
    bool is_flush_set;
    struct ledger_job *jobs;
    size_t job_count;
    int journal;
    int journal_error;       /* errno of reaching it, until it is told */
    uint64_t events_dropped; /* malformed, or of a level that is not wanted */
};

/* Takes the commands "trace" and "events"; false: it is another one. */
bool ledger_ask(struct ledger *l, struct link *from, const struct peers_command_ask *ask);
void ledger_ask_step(void *context);                           /* the timer's function */
void ledger_ask_drop(struct ledger *l, const struct link *to); /* nobody waits there any more; NULL: all */

#endif
