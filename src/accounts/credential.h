/* SPDX-License-Identifier: Apache-2.0 */
/* credential: what is kept of a password, one text: "HASH SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY". HASH is
 * crypt(5)'s, ours is yescrypt; the second word (as RFC 5803 writes it) is there because SCRAM can't be checked against
 * a hash. An imported credential is the HASH alone (bcrypt, sha512): it verifies, and is renewed at the first log-in
 * that shows the password. Passwords go through SASLprep (RFC 4013) first; one that can't is taken as it is when
 * verifying and refused when new. Secrets are wiped, comparing is in constant time. Making and verifying cost tens of
 * milliseconds on purpose: only verifiers call them. */
#ifndef ACCOUNTS_CREDENTIAL_H
#define ACCOUNTS_CREDENTIAL_H

#include "base/base.h"

enum { CREDENTIAL_LIMIT = 1024, CREDENTIAL_ITERATIONS = 100000, CREDENTIAL_PASSWORD_LIMIT = 511 };

/* salts: 32 random octets. False when the password is empty, too long, not UTF-8, or holds what SASLprep prohibits. */
must_check bool credential_make(struct text password, struct text salts, struct buffer *b);
bool credential_verify(struct text credential, struct text password);
bool credential_needs_renewal(struct text credential);
/* Looks like ours and costs the same, fits no password; the same user and key (32 octets) give the same one. False when
 * the buffer is full. */
must_check bool credential_make_fake(struct text key, struct text user, struct buffer *b);

#endif
