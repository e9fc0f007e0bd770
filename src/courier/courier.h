/* SPDX-License-Identifier: Apache-2.0 */
/* courier: one try to hand a message to the next host, driving smtp's client machine over a socket, with a deadline for
 * everything. It asks DNS, the body and what may be connected to of its caller, blocks in the caller's thread, and
 * gives each recipient exactly one result; whoever nothing was heard of is deferred. A connection that can go on is
 * kept for the caller's next message to the same destination. It does not log: what happened on the way is told through
 * note. */
#ifndef COURIER_COURIER_H
#define COURIER_COURIER_H

#include "dns/records.h"
#include "mail/mail.h"
#include "settings/settings.h"
#include "tls/tls.h"

struct courier_answer {
    enum dns_outcome outcome;
    struct text *records; /* in the arena given */
    size_t record_count;
};

enum courier_place {
    COURIER_MAY_CONNECT,
    COURIER_IS_SELF,  /* ourselves: a loop */
    COURIER_MUST_NOT, /* one of never_connect */
};

enum courier_note { COURIER_NOTE_CONNECTED, COURIER_NOTE_FAILED };

/* What the caller does for a courier; all in the courier's thread. */
struct courier_world {
    void *context;
    struct text hostname;    /* ours */
    struct tls_context *tls; /* NULL: no TLS can be made */
    /* Texts in arena. Waits at most some seconds. */
    struct courier_answer (*ask)(void *context, struct text name, enum dns_type type, struct arena *arena);
    enum courier_place (*place)(void *context, const struct network_address *address, uint16_t port,
                                bool is_found_by_dns);
    /* Octets of the body from that place on, valid until the next call; empty: they can't be read. */
    struct text (*body)(void *context, uint64_t at);
    /* details: the host's TLS, or why it failed */
    void (*note)(void *context, enum courier_note note, struct text host, const struct result *failure,
                 struct text details);
};

struct courier_host {
    struct text name; /* for SNI and verification; empty: the address alone */
    bool has_address;
    struct network_address address;
    uint16_t port;
    enum settings_tls_level tls;
    struct text user, password;
    bool is_found_by_dns;
    bool may_login_in_clear;
    unsigned preference; /* of MX */
};

struct courier_plan {
    struct text destination; /* connections are kept by it */
    struct text domain;      /* found by DNS; empty: by hosts alone */
    uint16_t port;
    enum settings_tls_level tls;
    const struct courier_host
        *hosts; /* without domain: tried in order. With it: when all MX failed (relay_on_failure) */
    size_t host_count;
    bool has_source;
    struct network_address source;
    size_t max_recipients; /* of a transaction, 0: no limit */
};

struct courier_job {
    const struct courier_plan *plan;
    const struct envelope *envelope;
    uint64_t size;          /* octets of the body */
    struct result *results; /* one for each recipient of the envelope; texts in arena */
    struct arena *arena;
};

struct courier_connection; /* open, idle, and bound to a destination */

/* *connection may be a kept one of the same destination, or NULL; it is used, and replaced or ended. */
void courier_try(const struct courier_world *world, const struct courier_job *job,
                 struct courier_connection **connection);
/* Readable while it is idle means that the host ended it. */
int courier_connection_socket(const struct courier_connection *connection);
/* QUIT, without waiting for more than a moment. */
void courier_connection_free(struct courier_connection **connection);

#endif
