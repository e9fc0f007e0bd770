/* SPDX-License-Identifier: Apache-2.0 */
/* sasl: the server's side of one SASL exchange with GNU SASL, over one credential. The whole exchange comes in one
 * text: for PLAIN the message of RFC 4616, for LOGIN the user name, NUL, the password. What it does not know or can't
 * read is SASL_WRONG: it is never right by mistake. Opens no file; the context may be used for any number of exchanges,
 * by one thread. */
#ifndef ACCOUNTS_SASL_H
#define ACCOUNTS_SASL_H

#include "base/base.h"

struct sasl;

struct sasl *sasl_new(void); /* NULL when GNU SASL can't be had */
void sasl_free(struct sasl **sasl);

/* When the credential needs renewal and the password is right, the new one is appended to renewed (else nothing is).
 * salts as for credential_make. */
must_check bool sasl_verify(struct sasl *sasl, struct text mechanism, struct text credential, struct text response,
                            struct text salts, struct buffer *renewed);

#endif
