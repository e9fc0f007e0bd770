/* SPDX-License-Identifier: Apache-2.0 */
/* network: a set of client addresses as the administrator writes it: an address, 192.168.*.*, 172.16-31.*.*,
 * 194.213.224.5-20, CIDR, in both families. An IPv4-mapped IPv6 address (::ffff:a.b.c.d) IS the IPv4 address; a set of
 * one family never holds an address of the other. What can't be read is an error; nothing is ever widened by guessing.
 */
#ifndef SETTINGS_NETWORK_H
#define SETTINGS_NETWORK_H

#include "base/base.h"

/* Network byte order; IPv4 stands in its mapped form. */
struct network_address {
    uint8_t octets[16];
};

struct network {
    uint8_t low[16], high[16]; /* low[i] <= high[i]; an address is in the set when each octet lies between */
};

/* "192.0.2.1", "2001:db8::1", "[2001:db8::1]", "::ffff:192.0.2.1"; no zone, no port. */
must_check bool network_address_parse(struct text t, struct network_address *ret_address);
struct network_address network_address_of_v4(const uint8_t octets[4]);
struct network_address network_address_of_v6(const uint8_t octets[16]);
bool network_address_is_v4(const struct network_address *a);
bool network_address_is_loopback(const struct network_address *a);
bool network_address_equals(const struct network_address *a, const struct network_address *b);
/* Dotted or RFC 5952 form, without brackets. */
void network_address_append(struct buffer *b, const struct network_address *a);

/* On failure ret_message says what would be right (a constant). */
must_check bool network_parse(struct text t, struct network *ret_network, const char **ret_message);
bool network_contains(const struct network *n, const struct network_address *a);
bool network_is_v4(const struct network *n);
bool network_is_single(const struct network *n);
bool network_is_loopback(const struct network *n); /* wholly within 127.0.0.0/8 or ::1 */
struct network network_of_address(const struct network_address *a, unsigned prefix_v4, unsigned prefix_v6);
void network_append(struct buffer *b, const struct network *n); /* the expanded range, for the console and explain */

#endif
