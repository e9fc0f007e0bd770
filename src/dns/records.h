/* SPDX-License-Identifier: Apache-2.0 */
/* records: RDATA as answers carry it (RFC 1035 section 3.3), names uncompressed. Every octet is a stranger's: nothing
 * is read past the RDATA, and a name is only a name when it could be a host's. Pure; who only reads answers links this
 * part alone. */
#ifndef DNS_RECORDS_H
#define DNS_RECORDS_H

#include "base/base.h"

enum dns_type {
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
};

/* How a question ended. Values travel in messages: append only. */
enum dns_outcome {
    DNS_FOUND,
    DNS_NO_NAME, /* NXDOMAIN */
    DNS_NO_DATA, /* the name is there, no record of this type */
    DNS_FAILED,  /* SERVFAIL, REFUSED, nonsense: try later */
    DNS_BOGUS,   /* DNSSEC says that it is forged: try later */
    DNS_TIMED_OUT,
    DNS_OUTCOMES,
};
struct text dns_outcome_word(enum dns_outcome outcome);

enum dns_reading {
    DNS_READ,
    DNS_READ_ROOT,  /* the name is "." */
    DNS_NOT_A_HOST, /* well formed, and no host's name: letters, digits, hyphens and underscores only */
    DNS_MALFORMED,  /* what no server that works sends: a temporary failure */
};

enum { DNS_NAME_LIMIT = 253 };

/* Takes a name from the front and appends it without a dot at its end, lower case. On another result than DNS_READ
 * nothing is appended. */
must_check enum dns_reading dns_take_name(struct text *rest, struct buffer *b);
must_check enum dns_reading dns_read_name(struct text rdata, struct buffer *b); /* PTR, CNAME: nothing behind it */
must_check enum dns_reading dns_read_mx(struct text rdata, struct buffer *b, unsigned *ret_preference);
must_check bool dns_read_a(struct text rdata, uint8_t ret_octets[4]);
must_check bool dns_read_aaaa(struct text rdata, uint8_t ret_octets[16]);
/* The strings joined without a gap (RFC 7208 section 3.3). False: malformed, or the buffer is full; the buffer is
 * unchanged then. */
must_check bool dns_read_txt(struct text rdata, struct buffer *b);

#endif
