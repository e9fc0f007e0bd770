/* SPDX-License-Identifier: Apache-2.0 */
#include "settings/network.h"

#include <string.h>

enum { MAPPED = 12 }; /* octets before the IPv4 address in its mapped form */
static const uint8_t mapped_prefix[MAPPED] = {[10] = 0xff, [11] = 0xff};

struct network_address network_address_of_v4(const uint8_t octets[4])
{
    struct network_address a;
    memcpy(a.octets, mapped_prefix, MAPPED);
    memcpy(a.octets + MAPPED, octets, 4);
    return a;
}

struct network_address network_address_of_v6(const uint8_t octets[16])
{
    struct network_address a;
    memcpy(a.octets, octets, 16);
    return a;
}

bool network_address_is_v4(const struct network_address *a)
{
    return memcmp(a->octets, mapped_prefix, MAPPED) == 0;
}

bool network_address_is_loopback(const struct network_address *a)
{
    static const uint8_t loopback[16] = {[15] = 1};
    if (network_address_is_v4(a))
        return a->octets[MAPPED] == 127;
    return memcmp(a->octets, loopback, 16) == 0;
}

bool network_address_equals(const struct network_address *a, const struct network_address *b)
{
    return memcmp(a->octets, b->octets, 16) == 0;
}

/* A decimal octet; a zero in front is refused, since some read it as octal. */
static bool parse_octet(struct text t, uint8_t *ret_octet)
{
    uint64_t number;
    if (t.length > 3 || (t.length > 1 && t.bytes[0] == '0') || !text_number(t, 255, &number))
        return false;
    *ret_octet = (uint8_t)number;
    return true;
}

static bool parse_v4(struct text t, uint8_t ret_octets[4])
{
    uint8_t octets[4];
    for (size_t i = 0; i < 4; i++) {
        if (i < 3 && !text_has_octet(t, '.'))
            return false;
        struct text part = i < 3 ? text_take_until(&t, '.') : t;
        if (!parse_octet(part, &octets[i]))
            return false;
    }
    memcpy(ret_octets, octets, 4);
    return true;
}

static bool parse_group(struct text t, uint8_t ret_octets[2])
{
    if (t.length < 1 || t.length > 4)
        return false;
    unsigned value = 0;
    for (size_t i = 0; i < t.length; i++) {
        char c = octet_lower(t.bytes[i]);
        if (!octet_is_digit(c) && !(c >= 'a' && c <= 'f'))
            return false;
        value = value * 16 + (unsigned)(octet_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    ret_octets[0] = (uint8_t)(value >> 8);
    ret_octets[1] = (uint8_t)value;
    return true;
}

/* Groups parted by single colons, the last may be an IPv4 address; as many octets as they fill, at most 16. */
static bool parse_groups(struct text t, uint8_t octets[16], size_t *ret_length)
{
    size_t length = 0;
    while (!text_is_empty(t)) {
        bool is_last = !text_has_octet(t, ':');
        struct text group = text_take_until(&t, ':');
        if (!is_last && text_is_empty(t))
            return false; /* a colon at the end */
        if (is_last && text_has_octet(group, '.')) {
            if (length > 12 || !parse_v4(group, octets + length))
                return false;
            length += 4;
            continue;
        }
        if (length > 14 || !parse_group(group, octets + length))
            return false;
        length += 2;
    }
    *ret_length = length;
    return true;
}

static bool parse_v6(struct text t, uint8_t ret_octets[16])
{
    uint8_t front[16] = {0}, back[16] = {0};
    size_t front_length = 0, back_length = 0;
    size_t gap = text_find(t, TEXT("::"));
    if (gap == t.length) {
        if (!parse_groups(t, front, &front_length) || front_length != 16)
            return false;
        memcpy(ret_octets, front, 16);
        return true;
    }
    struct text before = text_first(t, gap);
    if (text_has_octet(before, '.') || !parse_groups(before, front, &front_length) ||
        !parse_groups(text_after(t, gap + 2), back, &back_length) || front_length + back_length > 14)
        return false;
    memset(ret_octets, 0, 16);
    memcpy(ret_octets, front, front_length);
    memcpy(ret_octets + 16 - back_length, back, back_length);
    return true;
}

bool network_address_parse(struct text t, struct network_address *ret_address)
{
    if (t.length > 2 && t.bytes[0] == '[' && t.bytes[t.length - 1] == ']') {
        t = text_first(text_after(t, 1), t.length - 2);
        if (!text_has_octet(t, ':'))
            return false;
    }
    uint8_t octets[16];
    if (text_has_octet(t, ':')) {
        if (!parse_v6(t, octets))
            return false;
        *ret_address = network_address_of_v6(octets);
        return true;
    }
    if (!parse_v4(t, octets))
        return false;
    *ret_address = network_address_of_v4(octets);
    return true;
}

static unsigned group_of(const struct network_address *a, size_t index)
{
    return (unsigned)(a->octets[2 * index] << 8 | a->octets[2 * index + 1]);
}

void network_address_append(struct buffer *b, const struct network_address *a)
{
    if (network_address_is_v4(a)) {
        buffer_append_format(b, "%u.%u.%u.%u", a->octets[12], a->octets[13], a->octets[14], a->octets[15]);
        return;
    }
    /* RFC 5952 section 4.2: the longest run of two or more zero groups, the first of equals */
    size_t run_at = 8, run_length = 1;
    for (size_t i = 0; i < 8; i++) {
        size_t length = 0;
        while (i + length < 8 && group_of(a, i + length) == 0)
            length++;
        if (length > run_length) {
            run_at = i;
            run_length = length;
        }
    }
    for (size_t i = 0; i < 8; i++) {
        if (i == run_at) {
            buffer_append(b, TEXT("::"));
            i += run_length - 1;
            continue;
        }
        if (i > 0 && i != run_at + run_length)
            buffer_append_octet(b, ':');
        buffer_append_format(b, "%x", group_of(a, i));
    }
}

struct network network_of_address(const struct network_address *a, unsigned prefix_v4, unsigned prefix_v6)
{
    unsigned prefix = network_address_is_v4(a) ? 96 + prefix_v4 : prefix_v6;
    struct network n;
    for (unsigned i = 0; i < 16; i++) {
        unsigned bits = prefix <= i * 8 ? 0 : prefix - i * 8 > 8 ? 8 : prefix - i * 8;
        uint8_t mask = (uint8_t)(0xff00u >> bits);
        n.low[i] = a->octets[i] & mask;
        n.high[i] = (uint8_t)(n.low[i] | (uint8_t)~mask);
    }
    return n;
}

static bool parse_cidr(struct text address_text, struct text prefix_text, struct network *ret_network,
                       const char **ret_message)
{
    struct network_address address;
    if (!network_address_parse(address_text, &address)) {
        *ret_message = "before the / stands no whole address; write 192.0.2.0/24 or 2001:db8::/32";
        return false;
    }
    bool is_dotted = !text_has_octet(address_text, ':');
    uint64_t prefix;
    if (prefix_text.length > 3 || !text_number(prefix_text, is_dotted ? 32 : 128, &prefix)) {
        *ret_message = "the prefix goes from 0 to 32 (IPv4) or 128 (IPv6)";
        return false;
    }
    bool is_mapped = !is_dotted && network_address_is_v4(&address);
    if (is_mapped && prefix < 96) {
        *ret_message = "an IPv4-mapped network needs a prefix of 96 or more; write it as IPv4";
        return false;
    }
    unsigned v4 = (unsigned)(is_mapped ? prefix - 96 : prefix);
    struct network n = network_of_address(&address, v4, (unsigned)prefix);
    if (memcmp(n.low, address.octets, 16) != 0) {
        *ret_message = "the address has bits beyond the prefix; write the network's first address, as in 192.0.2.0/24";
        return false;
    }
    *ret_network = n;
    return true;
}

static const char mask_message[] =
    "write 192.0.2.1, 192.168.*.*, 172.16-31.*.*, 194.213.224.5-20, 192.0.2.0/24, 2001:db8::1 or 2001:db8::/32";

static bool parse_part(struct text part, uint8_t *ret_low, uint8_t *ret_high)
{
    if (text_equals(part, TEXT("*"))) {
        *ret_low = 0;
        *ret_high = 255;
        return true;
    }
    if (!text_has_octet(part, '-')) {
        if (!parse_octet(part, ret_low))
            return false;
        *ret_high = *ret_low;
        return true;
    }
    struct text low = text_take_until(&part, '-');
    return parse_octet(low, ret_low) && parse_octet(part, ret_high) && *ret_low <= *ret_high;
}

/* Parts that are missing at the end are "*", but only after a "*": "10.*" is clear, "10.1" is not. */
static bool parse_mask(struct text t, struct network *ret_network)
{
    struct network n;
    memcpy(n.low, mapped_prefix, MAPPED);
    memcpy(n.high, mapped_prefix, MAPPED);
    size_t count = 0;
    for (bool more = true; more; count++) {
        more = text_has_octet(t, '.');
        struct text part = text_take_until(&t, '.');
        if (count == 4 || !parse_part(part, &n.low[MAPPED + count], &n.high[MAPPED + count]))
            return false;
    }
    bool ends_open = n.low[MAPPED + count - 1] == 0 && n.high[MAPPED + count - 1] == 255;
    if (count < 4 && (count < 2 || !ends_open))
        return false;
    for (; count < 4; count++) {
        n.low[MAPPED + count] = 0;
        n.high[MAPPED + count] = 255;
    }
    *ret_network = n;
    return true;
}

bool network_parse(struct text t, struct network *ret_network, const char **ret_message)
{
    if (text_has_octet(t, '/')) {
        struct text address = text_take_until(&t, '/');
        return parse_cidr(address, t, ret_network, ret_message);
    }
    struct network_address address;
    if (network_address_parse(t, &address)) {
        *ret_network = network_of_address(&address, 32, 128);
        return true;
    }
    if (parse_mask(t, ret_network))
        return true;
    *ret_message = mask_message;
    return false;
}

bool network_is_v4(const struct network *n)
{
    return memcmp(n->low, mapped_prefix, MAPPED) == 0 && memcmp(n->high, mapped_prefix, MAPPED) == 0;
}

bool network_contains(const struct network *n, const struct network_address *a)
{
    /* ::/0 is all of IPv6, and not IPv4 in its mapped form */
    if (network_is_v4(n) != network_address_is_v4(a))
        return false;
    for (size_t i = 0; i < 16; i++)
        if (a->octets[i] < n->low[i] || a->octets[i] > n->high[i])
            return false;
    return true;
}

bool network_is_single(const struct network *n)
{
    return memcmp(n->low, n->high, 16) == 0;
}

bool network_is_loopback(const struct network *n)
{
    if (network_is_v4(n))
        return n->low[MAPPED] == 127 && n->high[MAPPED] == 127;
    struct network_address address = network_address_of_v6(n->low);
    return network_is_single(n) && network_address_is_loopback(&address);
}

void network_append(struct buffer *b, const struct network *n)
{
    struct network_address low = network_address_of_v6(n->low), high = network_address_of_v6(n->high);
    network_address_append(b, &low);
    if (network_is_single(n))
        return;
    buffer_append(b, TEXT(" - "));
    network_address_append(b, &high);
}
