/* SPDX-License-Identifier: Apache-2.0 */
/* login: the dialogue of a log-in with PLAIN (RFC 4616) and LOGIN, without input or output: responses go in, a
 * challenge or the finished exchange comes out. It knows no accounts and checks no password: it finds the name, and the
 * octets that a verifier gets (accounts/sasl.h). Both mechanisms show the password, so both are refused without
 * encryption. What it holds is wiped by login_done. */
#ifndef ACCOUNTS_LOGIN_H
#define ACCOUNTS_LOGIN_H

#include "base/base.h"

enum { LOGIN_NAME_LIMIT = 512, LOGIN_RESPONSE_LIMIT = 12288 };

enum login_mechanism { LOGIN_MECHANISM_NONE, LOGIN_MECHANISM_PLAIN, LOGIN_MECHANISM_LOGIN };

struct login {
    enum login_mechanism mechanism;
    unsigned steps;         /* responses taken */
    struct buffer name;     /* LOGIN_CHECK: as the client typed it */
    struct buffer response; /* LOGIN_CHECK: the whole exchange, a secret */
};

enum login_outcome {
    LOGIN_CHALLENGE,
    LOGIN_CHECK, /* name and response are complete */
    LOGIN_MALFORMED,
    LOGIN_UNSUPPORTED, /* no such mechanism, or not without encryption */
    LOGIN_WRONG,       /* it can't be right, whatever the account's password is */
};

/* The first step. An empty response is none: the challenge is the answer (RFC 4954 section 4). */
must_check enum login_outcome login_begin(struct login *login, struct text mechanism, bool is_encrypted,
                                          struct text response, struct text *ret_challenge);
must_check enum login_outcome login_continue(struct login *login, struct text response, struct text *ret_challenge);
void login_done(struct login *login);
struct text login_mechanism_word(enum login_mechanism mechanism);

#endif
