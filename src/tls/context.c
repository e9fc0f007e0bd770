/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/private.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static int version_number(enum tls_version version)
{
    static const int numbers[] = {
        [TLS_VERSION_1_0] = TLS1_VERSION, [TLS_VERSION_1_1] = TLS1_1_VERSION, [TLS_VERSION_1_2] = TLS1_2_VERSION, [TLS_VERSION_1_3] = TLS1_3_VERSION};
    return numbers[version];
}

void tls_append_error(struct buffer *why)
{
    unsigned long error = ERR_peek_last_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;
    ignored(buffer_append(why, text_of_terminated(reason ? reason : "unknown reason"))); /* a cut reason is still one */
    ERR_clear_error();
}

static BIO *reader_of(struct text pem)
{
    BIO *reader = BIO_new_mem_buf(pem.bytes, (int)smaller(pem.length, INT32_MAX));
    must(reader != NULL);
    return reader;
}

static bool use_chain(SSL_CTX *ctx, struct text pem)
{
    BIO *reader = reader_of(pem);
    X509 *leaf = PEM_read_bio_X509(reader, NULL, NULL, NULL);
    bool is_good = leaf && SSL_CTX_use_certificate(ctx, leaf) == 1;
    X509_free(leaf);
    while (is_good) {
        X509 *issuer = PEM_read_bio_X509(reader, NULL, NULL, NULL);
        if (!issuer)
            break;
        is_good = SSL_CTX_add0_chain_cert(ctx, issuer) == 1;
        if (!is_good)
            X509_free(issuer);
    }
    if (is_good)
        ERR_clear_error(); /* the end of the file is told as an error */
    BIO_free(reader);
    return is_good;
}

static bool use_key(SSL_CTX *ctx, struct text pem)
{
    BIO *reader = reader_of(pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(reader, NULL, NULL, NULL);
    bool is_good = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    BIO_free(reader);
    return is_good;
}

static void set_common(SSL_CTX *ctx)
{
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
}

static bool set_policy(SSL_CTX *ctx, const struct tls_server_options *options)
{
    enum tls_version lowest = options->min_version;
    const char *ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20";
    switch (options->policy) {
    case TLS_POLICY_MODERN:
        lowest = TLS_VERSION_1_3;
        break;
    case TLS_POLICY_INTERMEDIATE:
        break;
    case TLS_POLICY_LEGACY:
        ciphers = "DEFAULT:@SECLEVEL=0";
        break;
    }
    return SSL_CTX_set_min_proto_version(ctx, version_number(lowest)) == 1 && SSL_CTX_set_cipher_list(ctx, ciphers) == 1 &&
           SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1;
}

static SSL_CTX *one_server(const struct tls_server_options *options, struct text pem)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    must(ctx != NULL);
    set_common(ctx);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets only: no memory for strangers */
    SSL_CTX_set_num_tickets(ctx, 1);
    unsigned id_length = (unsigned)smaller(options->listener.length, SSL_MAX_SID_CTX_LENGTH);
    bool is_good = set_policy(ctx, options) && use_chain(ctx, pem) && use_key(ctx, pem) &&
                   SSL_CTX_set_session_id_context(ctx, (const unsigned char *)options->listener.bytes, id_length) == 1;
    if (!is_good) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* SNI: the name's own context, or the default one; a strange name is no reason to refuse (RFC 6066 section 3 allows both). */
static int choose(SSL *ssl, int *alert not_used, void *argument)
{
    const struct tls_context *context = argument;
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (!asked)
        return SSL_TLSEXT_ERR_NOACK;
    struct text name = text_of_terminated(asked);
    for (size_t i = 0; i < context->count; i++)
        if (text_equals_ignoring_case(context->names[i], name)) {
            SSL_set_SSL_CTX(ssl, context->contexts[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_NOACK;
}

static struct tls_context *context_new(size_t count)
{
    struct tls_context *context = calloc(1, sizeof *context);
    must(context != NULL);
    context->arena = arena_new(1 << 16);
    context->contexts = calloc(larger(count, 1), sizeof(SSL_CTX *));
    context->names = calloc(larger(count, 1), sizeof *context->names);
    must(context->contexts != NULL && context->names != NULL);
    atomic_init(&context->holders, 1);
    return context;
}

bool tls_server_context_new(const struct tls_server_options *options, struct buffer *why, struct tls_context **ret_context)
{
    if (options->certificate_count == 0) {
        ignored(buffer_append(why, TEXT("there is no certificate"))); /* a cut reason is still one */
        return false;
    }
    struct tls_context *context = context_new(options->certificate_count);
    for (size_t i = 0; i < options->certificate_count; i++) {
        const struct tls_certificate *certificate = &options->certificates[i];
        SSL_CTX *ctx = one_server(options, certificate->pem);
        if (!ctx || !arena_copy(&context->arena, certificate->name, &context->names[i])) {
            ignored(buffer_append_format(why, "certificate \"%.*s\": ", TEXT_ARGUMENTS(certificate->name))); /* as above */
            tls_append_error(why);
            SSL_CTX_free(ctx);
            tls_context_release(&context);
            return false;
        }
        context->contexts[context->count++] = ctx;
        if (certificate->name.length == 0)
            context->standard = i;
    }
    SSL_CTX_set_tlsext_servername_callback(context->contexts[context->standard], choose);
    SSL_CTX_set_tlsext_servername_arg(context->contexts[context->standard], context);
    *ret_context = context;
    return true;
}

bool tls_client_context_new(enum tls_version min_version, struct buffer *why, struct tls_context **ret_context)
{
    struct tls_context *context = context_new(1);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    must(ctx != NULL);
    context->contexts[context->count++] = ctx;
    set_common(ctx);
    if (SSL_CTX_set_default_verify_paths(ctx) != 1 || SSL_CTX_set_min_proto_version(ctx, version_number(min_version)) != 1) {
        tls_append_error(why);
        tls_context_release(&context);
        return false;
    }
    /* the files behind the default paths are read at first use, which would be inside the sandbox: read them now */
    X509_STORE_load_file(SSL_CTX_get_cert_store(ctx), "/etc/ssl/certs/ca-certificates.crt");
    ERR_clear_error();
    *ret_context = context;
    return true;
}

void tls_context_release(struct tls_context **context)
{
    struct tls_context *c = *context;
    *context = NULL;
    if (!c || atomic_fetch_sub(&c->holders, 1) != 1)
        return;
    for (size_t i = 0; i < c->count; i++)
        SSL_CTX_free(c->contexts[i]);
    free(c->contexts);
    free(c->names);
    arena_done(&c->arena);
    free(c);
}

bool tls_certificate_ends(struct text pem, int64_t *ret_wall_ms)
{
    BIO *reader = reader_of(pem);
    X509 *leaf = PEM_read_bio_X509(reader, NULL, NULL, NULL);
    struct tm ends;
    bool is_good = leaf && ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &ends) == 1;
    X509_free(leaf);
    BIO_free(reader);
    ERR_clear_error();
    if (!is_good)
        return false;
    *ret_wall_ms = moment_join(&(struct moment_fields){.year = ends.tm_year + 1900, .month = (unsigned)ends.tm_mon + 1,
                                                       .day = (unsigned)ends.tm_mday, .hour = (unsigned)ends.tm_hour,
                                                       .minute = (unsigned)ends.tm_min, .second = (unsigned)ends.tm_sec});
    return true;
}

static void append_name(struct buffer *b, const ASN1_STRING *name)
{
    struct text t = text_of((const char *)ASN1_STRING_get0_data(name), (size_t)ASN1_STRING_length(name));
    ignored(buffer_append(b, t) && buffer_append_octet(b, '\n')); /* is_full tells */
}

void tls_certificate_names(struct text pem, struct buffer *b)
{
    BIO *reader = reader_of(pem);
    X509 *leaf = PEM_read_bio_X509(reader, NULL, NULL, NULL);
    BIO_free(reader);
    GENERAL_NAMES *names = leaf ? X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL) : NULL;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS)
            append_name(b, name->d.dNSName);
    }
    if (leaf && !names) {
        const X509_NAME *subject = X509_get_subject_name(leaf);
        int place = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
        if (place >= 0)
            append_name(b, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, place)));
    }
    GENERAL_NAMES_free(names);
    X509_free(leaf);
    ERR_clear_error();
}
