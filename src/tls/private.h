/* SPDX-License-Identifier: Apache-2.0 */
/* private to tls: what a context and a connection are made of. */
#ifndef TLS_PRIVATE_H
#define TLS_PRIVATE_H

#include "tls/tls.h"

#include <openssl/ssl.h>
#include <stdatomic.h>

struct tls_context {
    SSL_CTX **contexts; /* one a certificate */
    struct text *names; /* in the arena */
    size_t count;
    size_t standard; /* which one without a matching name */
    struct arena arena;
    _Atomic unsigned holders; /* who made it, and each connection */
};

void tls_append_error(struct buffer *why); /* the last error of this thread, in words */

#endif
