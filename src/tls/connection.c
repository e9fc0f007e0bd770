/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/private.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct tls_connection {
    SSL *ssl;
    struct tls_context *context;
    bool has_failed; /* after a fatal error OpenSSL must not be asked to shut */
};

static struct tls_connection *connection_new(struct tls_context *context, int socket)
{
    struct tls_connection *connection = calloc(1, sizeof *connection);
    must(connection != NULL);
    connection->ssl = SSL_new(context->contexts[context->standard]);
    must(connection->ssl != NULL && SSL_set_fd(connection->ssl, socket) == 1);
    atomic_fetch_add(&context->holders, 1);
    connection->context = context;
    return connection;
}

struct tls_connection *tls_server_connection_new(struct tls_context *context, int socket)
{
    struct tls_connection *connection = connection_new(context, socket);
    SSL_set_accept_state(connection->ssl);
    return connection;
}

struct tls_connection *tls_client_connection_new(struct tls_context *context, int socket, struct text host, bool must_verify)
{
    struct tls_connection *connection = connection_new(context, socket);
    char name[256];
    SSL_set_connect_state(connection->ssl);
    if (host.length && host.length < sizeof name && !text_has_octet(host, '\0')) {
        memcpy(name, host.bytes, host.length);
        name[host.length] = '\0';
        ignored(SSL_set_tlsext_host_name(connection->ssl, name)); /* without SNI the default certificate comes */
        SSL_set_hostflags(connection->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        ignored(SSL_set1_host(connection->ssl, name)); /* a name that can't be checked fails the check below */
    }
    SSL_set_verify(connection->ssl, must_verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    return connection;
}

void tls_connection_free(struct tls_connection **connection)
{
    if (*connection) {
        SSL_free((*connection)->ssl);
        tls_context_release(&(*connection)->context);
        free(*connection);
    }
    *connection = NULL;
}

static enum tls_result result_of(struct tls_connection *connection, int returned)
{
    switch (SSL_get_error(connection->ssl, returned)) {
    case SSL_ERROR_NONE:
        return TLS_DONE;
    case SSL_ERROR_WANT_READ:
        return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANTS_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_ENDED;
    case SSL_ERROR_SYSCALL:
        connection->has_failed = true;
        return TLS_ENDED;
    default:
        connection->has_failed = true;
        /* a peer that hangs up without close_notify (SSL_R_UNEXPECTED_EOF_WHILE_READING) has ended too */
        return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? TLS_ENDED : TLS_FAILED;
    }
}

enum tls_result tls_handshake(struct tls_connection *connection)
{
    ERR_clear_error();
    return result_of(connection, SSL_do_handshake(connection->ssl));
}

enum tls_result tls_read(struct tls_connection *connection, char *bytes, size_t count, size_t *ret_got)
{
    ERR_clear_error();
    int got = SSL_read(connection->ssl, bytes, (int)smaller(count, 1 << 20));
    if (got <= 0)
        return result_of(connection, got);
    *ret_got = (size_t)got;
    return TLS_DONE;
}

enum tls_result tls_write(struct tls_connection *connection, struct text octets, size_t *ret_written)
{
    ERR_clear_error();
    int written = SSL_write(connection->ssl, octets.bytes, (int)smaller(octets.length, 1 << 20));
    if (written <= 0)
        return result_of(connection, written);
    *ret_written = (size_t)written;
    return TLS_DONE;
}

bool tls_has_pending(const struct tls_connection *connection)
{
    return SSL_has_pending(connection->ssl) == 1;
}

void tls_shut(struct tls_connection *connection)
{
    ERR_clear_error();
    if (!connection->has_failed && SSL_is_init_finished(connection->ssl))
        ignored(SSL_shutdown(connection->ssl)); /* the peer may be gone */
    ERR_clear_error();
}

void tls_describe(const struct tls_connection *connection, struct buffer *b)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(connection->ssl);
    ignored(buffer_append_format(b, "%s %s (%d bits)", SSL_get_version(connection->ssl), cipher ? SSL_CIPHER_get_name(cipher) : "none",
                                 cipher ? SSL_CIPHER_get_bits(cipher, NULL) : 0)); /* is_full tells */
}

void tls_problem(const struct tls_connection *connection, struct buffer *b)
{
    long verified = SSL_get_verify_result(connection->ssl);
    if (verified != X509_V_OK && SSL_get_verify_mode(connection->ssl) != SSL_VERIFY_NONE) {
        ignored(buffer_append_format(b, "certificate: %s", X509_verify_cert_error_string(verified))); /* is_full tells */
        ERR_clear_error();
        return;
    }
    tls_append_error(b);
}

bool tls_is_verified(const struct tls_connection *connection)
{
    X509 *peer = SSL_get0_peer_certificate(connection->ssl);
    return peer && SSL_get_verify_result(connection->ssl) == X509_V_OK;
}

bool tls_binding(struct tls_connection *connection, struct buffer *b)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    unsigned char octets[32];
    if (SSL_export_keying_material(connection->ssl, octets, sizeof octets, label, sizeof label - 1, NULL, 0, 1) != 1) {
        ERR_clear_error();
        return false;
    }
    return buffer_append(b, text_of((const char *)octets, sizeof octets));
}
