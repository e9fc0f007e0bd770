/* SPDX-License-Identifier: Apache-2.0 */
/* tls: the only place that includes OpenSSL's TLS. Connections are non-blocking over a socket that stays the caller's; a call that can't
 * go on says what it waits for. Contexts are shared by threads and counted: a connection keeps its own alive, so that a certificate can be
 * replaced at run time. Each listener has a context of its own, so that a session ticket of one is nothing to another. No file is
 * opened here but by tls_client_context_new, which runs before the sandbox. */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include "system/system.h"

struct tls_context;
struct tls_connection;

enum tls_version { TLS_VERSION_1_0, TLS_VERSION_1_1, TLS_VERSION_1_2, TLS_VERSION_1_3 };
enum tls_policy { TLS_POLICY_MODERN, TLS_POLICY_INTERMEDIATE, TLS_POLICY_LEGACY };

enum tls_result {
    TLS_DONE,
    TLS_WANTS_READ,
    TLS_WANTS_WRITE,
    TLS_ENDED,  /* the peer said it is over, or the socket ended */
    TLS_FAILED, /* tls_problem tells */
};

struct tls_certificate {
    struct text name; /* host name it serves; empty: for everybody else */
    struct text pem;  /* chain, then key */
};

struct tls_server_options {
    struct text listener; /* told apart from others */
    enum tls_version min_version;
    enum tls_policy policy;
    const struct tls_certificate *certificates; /* the first one without a name, or the first, is the default */
    size_t certificate_count;
};

/* False with a text that says which certificate and why; nothing is made then. */
must_check bool tls_server_context_new(const struct tls_server_options *options, struct buffer *why, struct tls_context **ret_context);
/* The system's trusted roots; before the sandbox. */
must_check bool tls_client_context_new(enum tls_version min_version, struct buffer *why, struct tls_context **ret_context);
void tls_context_release(struct tls_context **context);

struct tls_connection *tls_server_connection_new(struct tls_context *context, int socket);
/* host is sent as SNI and, when must_verify, checked against the certificate (chain and name); without it the outcome is only told. */
struct tls_connection *tls_client_connection_new(struct tls_context *context, int socket, struct text host, bool must_verify);
void tls_connection_free(struct tls_connection **connection);

must_check enum tls_result tls_handshake(struct tls_connection *connection);
must_check enum tls_result tls_read(struct tls_connection *connection, char *bytes, size_t count, size_t *ret_got);
must_check enum tls_result tls_write(struct tls_connection *connection, struct text octets, size_t *ret_written);
bool tls_has_pending(const struct tls_connection *connection); /* decrypted octets wait: the socket need not be readable */
void tls_shut(struct tls_connection *connection);              /* close_notify, without waiting */

/* "TLSv1.3 TLS_AES_256_GCM_SHA384 (256 bits)"; for trace fields and the log. */
void tls_describe(const struct tls_connection *connection, struct buffer *b);
void tls_problem(const struct tls_connection *connection, struct buffer *b); /* why it failed, in words */
bool tls_is_verified(const struct tls_connection *connection);
/* Channel binding, RFC 9266 (tls-exporter): 32 octets. */
must_check bool tls_binding(struct tls_connection *connection, struct buffer *b);

/* When the first certificate in the PEM ends, wall clock; false when there is none. */
must_check bool tls_certificate_ends(struct text pem, int64_t *ret_wall_ms);
/* Names in the certificate (subject alternative names, else the common name), one a line. */
void tls_certificate_names(struct text pem, struct buffer *b);

#endif
