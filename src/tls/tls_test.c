/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <setjmp.h>
#include <sys/socket.h>
#include <cmocka.h>

static void make_certificate(struct buffer *pem, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    assert_non_null(key);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    BIO *out = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(out, x);
    PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
    char *bytes;
    long length = BIO_get_mem_data(out, &bytes);
    assert_true(buffer_append(pem, text_of(bytes, (size_t)length)));
    BIO_free(out);
    X509_free(x);
    EVP_PKEY_free(key);
}

struct pair {
    int sockets[2];
    struct tls_context *server_context, *client_context;
    struct tls_connection *server, *client;
};

static struct pair pair_new(struct text pem, struct text other_pem, struct text asked, bool must_verify)
{
    struct pair p;
    struct buffer why released_by(buffer_done) = buffer_new(500);
    struct tls_certificate certificates[] = {{.name = TEXT_NONE, .pem = pem}, {.name = TEXT("altro.test"), .pem = other_pem}};
    struct tls_server_options options = {.listener = TEXT("smtp"), .min_version = TLS_VERSION_1_2, .policy = TLS_POLICY_INTERMEDIATE,
                                         .certificates = certificates, .certificate_count = other_pem.length ? 2 : 1};
    assert_true(tls_server_context_new(&options, &why, &p.server_context));
    assert_true(tls_client_context_new(TLS_VERSION_1_2, &why, &p.client_context));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p.sockets), 0);
    p.server = tls_server_connection_new(p.server_context, p.sockets[0]);
    p.client = tls_client_connection_new(p.client_context, p.sockets[1], asked, must_verify);
    return p;
}

static void pair_done(struct pair *p)
{
    tls_connection_free(&p->server);
    tls_connection_free(&p->client);
    tls_context_release(&p->server_context);
    tls_context_release(&p->client_context);
    file_close(&p->sockets[0]);
    file_close(&p->sockets[1]);
}

static enum tls_result shake(struct pair *p)
{
    enum tls_result client = TLS_WANTS_WRITE, server = TLS_WANTS_READ;
    for (int i = 0; i < 20 && (client != TLS_DONE || server != TLS_DONE); i++) {
        client = client == TLS_DONE ? client : tls_handshake(p->client);
        server = server == TLS_DONE ? server : tls_handshake(p->server);
        if (client == TLS_FAILED)
            return client;
    }
    return client == TLS_DONE ? server : client;
}

static void what_one_writes_the_other_reads(void **state not_used)
{
    struct buffer pem released_by(buffer_done) = buffer_new(10000);
    make_certificate(&pem, "posta.casa.test");
    struct pair p = pair_new(buffer_text(&pem), TEXT_NONE, TEXT("posta.casa.test"), false);
    /* the context may go while a connection uses it: a certificate is replaced at run time */
    tls_context_release(&p.server_context);
    assert_int_equal(shake(&p), TLS_DONE);
    assert_false(tls_is_verified(p.client));
    size_t count = 0;
    char bytes[64];
    assert_int_equal(tls_write(p.client, TEXT("EHLO x\r\n"), &count), TLS_DONE);
    assert_int_equal(tls_read(p.server, bytes, sizeof bytes, &count), TLS_DONE);
    assert_true(text_equals(text_of(bytes, count), TEXT("EHLO x\r\n")));
    assert_int_equal(tls_read(p.server, bytes, sizeof bytes, &count), TLS_WANTS_READ);
    struct buffer one released_by(buffer_done) = buffer_new(64), other released_by(buffer_done) = buffer_new(64);
    assert_true(tls_binding(p.client, &one) && tls_binding(p.server, &other));
    assert_true(text_equals(buffer_text(&one), buffer_text(&other)));
    tls_shut(p.client);
    assert_int_equal(tls_read(p.server, bytes, sizeof bytes, &count), TLS_ENDED);
    pair_done(&p);
}

static void a_certificate_that_is_not_trusted_fails_only_who_must_verify(void **state not_used)
{
    struct buffer pem released_by(buffer_done) = buffer_new(10000), why released_by(buffer_done) = buffer_new(500);
    make_certificate(&pem, "posta.casa.test");
    struct pair p = pair_new(buffer_text(&pem), TEXT_NONE, TEXT("posta.casa.test"), true);
    assert_int_equal(shake(&p), TLS_FAILED);
    tls_problem(p.client, &why);
    assert_true(text_starts_with(buffer_text(&why), TEXT("certificate: ")));
    pair_done(&p);
}

static void clear_text_in_place_of_a_handshake_fails(void **state not_used)
{
    struct buffer pem released_by(buffer_done) = buffer_new(10000);
    make_certificate(&pem, "posta.casa.test");
    struct pair p = pair_new(buffer_text(&pem), TEXT_NONE, TEXT_NONE, false);
    size_t count;
    assert_int_equal(socket_write(p.sockets[1], TEXT("EHLO casa.test\r\n"), &count), 0);
    assert_int_equal(tls_handshake(p.server), TLS_FAILED);
    pair_done(&p);
}

static void a_broken_key_is_told_by_the_name_of_its_certificate(void **state not_used)
{
    struct buffer why released_by(buffer_done) = buffer_new(500);
    struct tls_certificate certificate = {.name = TEXT("casa.test"), .pem = TEXT("no pem")};
    struct tls_server_options options = {.listener = TEXT("smtp"), .certificates = &certificate, .certificate_count = 1};
    struct tls_context *context = NULL;
    assert_false(tls_server_context_new(&options, &why, &context));
    assert_null(context);
    assert_true(text_starts_with(buffer_text(&why), TEXT("certificate \"casa.test\": ")));
}

static void the_end_and_the_names_of_a_certificate_can_be_read(void **state not_used)
{
    struct buffer pem released_by(buffer_done) = buffer_new(10000), names released_by(buffer_done) = buffer_new(500);
    make_certificate(&pem, "posta.casa.test");
    int64_t ends = 0;
    assert_true(tls_certificate_ends(buffer_text(&pem), &ends));
    int64_t left = ends - clock_wall_ms();
    assert_true(left > 86000000 && left <= 86401000);
    tls_certificate_names(buffer_text(&pem), &names);
    assert_true(text_equals(buffer_text(&names), TEXT("posta.casa.test\n")));
    assert_false(tls_certificate_ends(TEXT("x"), &ends));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_writes_the_other_reads),
        cmocka_unit_test(a_certificate_that_is_not_trusted_fails_only_who_must_verify),
        cmocka_unit_test(clear_text_in_place_of_a_handshake_fails),
        cmocka_unit_test(a_broken_key_is_told_by_the_name_of_its_certificate),
        cmocka_unit_test(the_end_and_the_names_of_a_certificate_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
