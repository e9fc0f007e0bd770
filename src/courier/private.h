/* SPDX-License-Identifier: Apache-2.0 */
/* private: what the files of courier share. */
#ifndef COURIER_PRIVATE_H
#define COURIER_PRIVATE_H

#include "courier/courier.h"
#include "smtp/client.h"

enum {
    COURIER_HOSTS = 10,     /* MX hosts looked at */
    COURIER_ADDRESSES = 10, /* addresses connected to in one try, at most */
    COURIER_SESSIONS = 5,   /* of those that greeted */
};

/* stream.c: a socket, in clear or by TLS, with deadlines (monotonic). */
struct courier_stream {
    int socket;
    struct tls_connection *tls;
};
enum courier_flow { COURIER_FLOWS, COURIER_ENDED, COURIER_LATE };
enum courier_flow stream_write(struct courier_stream *s, struct text octets, uint64_t until_ms);
enum courier_flow stream_read(struct courier_stream *s, struct buffer *b, uint64_t until_ms);
enum courier_flow stream_handshake(struct courier_stream *s, struct tls_context *tls, struct text host,
                                   bool must_verify, uint64_t until_ms, struct buffer *why);
void stream_close(struct courier_stream *s);

/* connection.c */
struct courier_connection {
    struct text destination; /* in texts */
    struct text server_name; /* of the certificate; in texts */
    struct arena texts;
    struct courier_stream stream;
    struct smtp_client_options options;
    struct smtp_client client;
    struct buffer input, output;
    const struct courier_world *world; /* during a call */
    uint64_t body_at, body_size;
    uint64_t until_ms;   /* of the answer waited for */
    uint64_t give_up_ms; /* of the whole message */
};

/* Connects, greets, starts TLS, logs in. NULL: failure says why (texts in arena); wants_clear: the same host may be
 * tried without TLS. */
struct courier_connection *connection_open(const struct courier_world *world, const struct courier_plan *plan,
                                           const struct courier_host *host, bool without_tls, struct arena *arena,
                                           struct result *failure, bool *wants_clear);
/* One transaction; false when the connection is over. Results are those of the machine. */
bool connection_send(const struct courier_world *world, struct courier_connection *c,
                     const struct smtp_client_message *message);

/* hosts.c: whom to try, in order. False: nobody; failure says why. */
must_check bool hosts_find(const struct courier_world *world, const struct courier_plan *plan, struct arena *arena,
                           struct courier_host **ret_hosts, size_t *ret_count, struct result *failure);
/* The addresses of a host that was written down. */
must_check bool hosts_of_name(const struct courier_world *world, const struct courier_host *named, struct arena *arena,
                              struct courier_host **ret_hosts, size_t *ret_count, struct result *failure);
void host_append(struct buffer *b, const struct courier_host *host); /* "mx.fuori.test [192.0.2.1]:25" */

struct text courier_kept(struct arena *arena, struct text t);

#endif
