/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/sasl.h"

#include "accounts/credential.h"

#include <gsasl.h>
#include <openssl/crypto.h>
#include <stdlib.h>

struct sasl {
    Gsasl *library;
};

struct exchange {
    struct text credential;
    struct text salts;
    struct buffer *renewed;
};

static int check(Gsasl *library not_used, Gsasl_session *session, Gsasl_property what)
{
    const struct exchange *exchange = gsasl_session_hook_get(session);
    const char *given = gsasl_property_fast(session, GSASL_PASSWORD);
    if (what != GSASL_VALIDATE_SIMPLE || !given)
        return GSASL_NO_CALLBACK;
    struct text password = text_of_terminated(given);
    bool is_right = credential_verify(exchange->credential, password);
    if (is_right && credential_needs_renewal(exchange->credential))
        ignored(credential_make(password, exchange->salts, exchange->renewed)); /* the old one goes on then */
    OPENSSL_cleanse((void *)(uintptr_t)given, password.length);
    return is_right ? GSASL_OK : GSASL_AUTHENTICATION_ERROR;
}

struct sasl *sasl_new(void)
{
    struct sasl *sasl = calloc(1, sizeof *sasl);
    must(sasl != NULL);
    if (gsasl_init(&sasl->library) != GSASL_OK) {
        free(sasl);
        return NULL;
    }
    gsasl_callback_set(sasl->library, check);
    return sasl;
}

void sasl_free(struct sasl **sasl)
{
    if (*sasl) {
        gsasl_done((*sasl)->library);
        free(*sasl);
    }
    *sasl = NULL;
}

static int step(Gsasl_session *session, struct text input)
{
    char *output = NULL;
    size_t length = 0;
    int result = gsasl_step(session, input.bytes, input.length, &output, &length);
    gsasl_free(output); /* the challenges are the vault's: clients look at their very words */
    return result;
}

static bool run_plain(Gsasl_session *session, struct text response)
{
    return step(session, response) == GSASL_OK;
}

static bool run_login(Gsasl_session *session, struct text response)
{
    size_t user = text_find_octet(response, 0);
    if (user == response.length)
        return false;
    return step(session, TEXT_NONE) == GSASL_NEEDS_MORE &&
           step(session, text_first(response, user)) == GSASL_NEEDS_MORE &&
           step(session, text_after(response, user + 1)) == GSASL_OK;
}

static const struct {
    struct text word;
    const char *name;
    bool (*run)(Gsasl_session *session, struct text response);
} mechanisms[] = {
    {.word = TEXT_INIT("PLAIN"), .name = "PLAIN", .run = run_plain},
    {.word = TEXT_INIT("LOGIN"), .name = "LOGIN", .run = run_login},
};

bool sasl_verify(struct sasl *sasl, struct text mechanism, struct text credential, struct text response,
                 struct text salts, struct buffer *renewed)
{
    for (size_t i = 0; i < length_of(mechanisms); i++) {
        if (!text_equals(mechanisms[i].word, mechanism))
            continue;
        Gsasl_session *session = NULL;
        struct exchange exchange = {.credential = credential, .salts = salts, .renewed = renewed};
        if (gsasl_server_start(sasl->library, mechanisms[i].name, &session) != GSASL_OK)
            return false;
        gsasl_session_hook_set(session, &exchange);
        bool is_right = mechanisms[i].run(session, response);
        gsasl_finish(session);
        return is_right;
    }
    return false;
}
