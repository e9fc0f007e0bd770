/* SPDX-License-Identifier: Apache-2.0 */
/* relay: outgoing sessions. The loop's thread owns the channels; each session has a thread out of a cache. A job is
 * handed to a thread whole and comes back as `delivered`; between them stand one lock and, for each thread, one
 * condition. A thread that ended a job keeps its connection for a few seconds, for the next message to the same
 * destination; kept ones count as sessions. */
#ifndef ROLES_RELAY_H
#define ROLES_RELAY_H

#include "courier/courier.h"
#include "roles/delivery.h"
#include "roles/role.h"
#include "route/route.h"

#include <pthread.h>

enum {
    RELAY_WORKERS = DELIVERY_SLOTS_RELAY, /* more jobs than slots can not be */
    RELAY_KEEP_MS = 5000,                 /* an idle connection */
    RELAY_IDLE_MS = 60 * 1000,            /* an idle thread */
    RELAY_DNS_MS = 20 * 1000,
    RELAY_BODY_MS = 60 * 1000,
};

/* The settings as a job found them; the last one to use old ones lets them go. */
struct relay_snapshot {
    const struct settings *settings;
    uint64_t generation;
    size_t users; /* under the lock */
    bool is_old;
};

struct job {
    uint64_t delivery, id, slot, total;
    uint64_t part_at, part_length; /* what stands in the slot */
    bool is_body_lost;             /* an answer did not come in time: it may still change the slot, at any moment */
    const char *window;            /* of the queue that gave it */
    uint64_t queue_births;         /* a later queue knows nothing of this delivery */
    uint64_t max_sessions;         /* to this destination */
    struct relay_snapshot *snapshot;
    struct buffer packed; /* the envelope's octets */
    struct buffer destination;
    struct arena arena;
    struct envelope envelope;
    struct result *results;
};

/* What a worker waits for; written by the loop's thread under the lock. */
struct relay_answer {
    uint64_t tag;     /* 0: it waits for nothing */
    bool is_for_body; /* else for DNS */
    bool is_there, is_lost;
    uint64_t outcome;
    struct buffer octets; /* records, packed as texts */
};

enum worker_state { WORKER_FREE, WORKER_PARKED, WORKER_BUSY };

struct worker {
    struct relay *relay;
    size_t number;
    enum worker_state state; /* under the lock, as all up to answer */
    pthread_cond_t wake;
    struct job *job;
    struct buffer kept; /* the destination of the connection that it keeps; empty: none */
    struct relay_answer answer;

    struct courier_connection *connection; /* the thread's own from here on */
    uint64_t next_tag;
    uint64_t connection_generation;    /* of the settings under which it was opened */
    struct network_address public[16]; /* of our own name, by DNS: addresses that lead back here through a gateway */
    size_t public_count;
    bool has_public;
};

struct relay {
    struct role *role;
    pthread_mutex_t lock;
    struct worker *workers[RELAY_WORKERS];
    struct relay_snapshot *snapshot;
    const char *window;
    uint64_t queue_births;                        /* under the lock */
    struct tls_context *tls[TLS_VERSION_1_3 + 1]; /* one for each oldest version: they can not be made in the sandbox */
    struct loop_timer *end;
    uint64_t end_ms;
    _Atomic uint64_t sessions, reused, messages, failed; /* for status */
};

/* relay_worker.c */
bool relay_give(struct relay *r, struct job *job); /* false: no session may be opened now */
void relay_dns_answered(struct relay *r, const struct peers_dns_answer *answer);
void relay_body_came(struct relay *r, const struct peers_body_part *part);
void relay_lost(struct relay *r, enum peers_role remote); /* answers of that role will not come */
size_t relay_count(struct relay *r, enum worker_state state);
size_t relay_count_kept(struct relay *r);
void relay_job_free(struct relay *r, struct job **job);
bool relay_wait(struct worker *w, uint64_t deadline_ms); /* holding the lock; true: the answer is there */
uint64_t relay_tag(struct worker *w, bool is_for_body);  /* holding the lock */

/* relay_world.c: what the courier asks of us. */
void relay_run(struct worker *w, struct job *job);
void relay_answer(struct relay *r, struct job *job); /* tells the queue its results */

#endif
