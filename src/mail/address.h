/* SPDX-License-Identifier: Apache-2.0 */
/* address: a mail address as RFC 5321 section 4.1.2 writes it. Parsed once, at the edge; inside, no function takes an unparsed one.
 * local keeps the form that came (quotes, case): it is sent on octet for octet. Texts are borrowed from what was parsed. */
#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include "base/base.h"

struct address {
    struct text local;  /* as written, with its quotes; empty for the null sender */
    struct text domain; /* as written: a domain, an address literal in brackets, or empty (null sender, <Postmaster>) */
};

enum address_result {
    ADDRESS_OK,
    ADDRESS_SYNTAX,
    ADDRESS_NOT_ASCII, /* octets over 127 and utf8_allowed is false (RFC 6531) */
    ADDRESS_BAD_UTF8,
    ADDRESS_TOO_LONG,  /* local 64, domain 255, whole 254 octets: RFC 5321 section 4.5.3.1 */
};

/* Parses LOCAL@DOMAIN without angle brackets; "" is the null sender. A bare "postmaster" (any case) is accepted without a domain. */
must_check enum address_result address_parse(struct text t, bool utf8_allowed, struct address *ret_address);

/* Parses a Path from the front: "<" [source route ":"] address ">" and takes it; the source route is dropped (RFC 5321 C).
 * On failure rest is untouched. */
must_check enum address_result address_take_path(struct text *rest, bool utf8_allowed, struct address *ret_address);

bool address_is_null(const struct address *a);
bool address_is_postmaster(const struct address *a); /* local part "postmaster" in any case; the domain is not looked at */
bool address_is_literal(const struct address *a);    /* domain in brackets */
bool address_is_ascii(const struct address *a);
bool address_has_empty_local(const struct address *a); /* ""@domain */
/* Is it an address by its grammar, UTF-8 allowed? For what comes out of a packed record; only the lengths are laxer than address_parse. */
bool address_is_valid(const struct address *a);
bool address_equals(const struct address *a, const struct address *b); /* by key */

void address_append(struct buffer *b, const struct address *a); /* local@domain, as it was written; nothing for the null sender */
/* The key under which we look an address up: quotes and quoted pairs that are not needed are gone, ASCII lower case in both parts
 * (our own accounts are told apart without case), the domain in A-label form, no dot at its end. */
void address_append_key(struct buffer *b, const struct address *a);

/* Domain names: syntax of RFC 5321 section 4.1.2 (letters, digits, hyphens, dots; U-labels when utf8_allowed). */
bool domain_is_valid(struct text t, bool utf8_allowed);
/* A-labels, lower case, no dot at the end; false when it is no domain name (libidn2). */
must_check bool domain_append_key(struct buffer *b, struct text domain);

#endif
