/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/records.h"

enum { LABEL_LIMIT = 63, WIRE_NAME_LIMIT = 255 };

struct text dns_outcome_word(enum dns_outcome outcome)
{
    switch (outcome) {
    case DNS_FOUND:
        return TEXT("found");
    case DNS_NO_NAME:
        return TEXT("no such name");
    case DNS_NO_DATA:
        return TEXT("no such record");
    case DNS_FAILED:
        return TEXT("failed");
    case DNS_BOGUS:
        return TEXT("forged");
    case DNS_TIMED_OUT:
        return TEXT("timed out");
    case DNS_OUTCOMES:
        break;
    }
    return TEXT("?");
}

static bool is_host_label(struct text label)
{
    for (size_t i = 0; i < label.length; i++) {
        char c = label.bytes[i];
        if (!octet_is_letter(c) && !octet_is_digit(c) && c != '-' && c != '_')
            return false;
    }
    return true;
}

static void append_label(struct buffer *name, struct text label)
{
    if (name->length)
        buffer_append_octet(name, '.');
    for (size_t i = 0; i < label.length; i++)
        buffer_append_octet(name, octet_lower(label.bytes[i]));
}

enum dns_reading dns_take_name(struct text *rest, struct buffer *b)
{
    struct text t = *rest;
    struct buffer name released_by(buffer_done) = buffer_new(WIRE_NAME_LIMIT + 1);
    bool is_host = true;
    size_t octets = 0;
    for (;;) {
        if (t.length == 0)
            return DNS_MALFORMED;
        size_t length = (unsigned char)text_take(&t, 1).bytes[0];
        octets += 1 + length;
        /* over 63 stand the compression pointers, which have no place here, and what is reserved */
        if (length > LABEL_LIMIT || length > t.length || octets > WIRE_NAME_LIMIT)
            return DNS_MALFORMED;
        if (length == 0)
            break;
        struct text label = text_take(&t, length);
        is_host = is_host && is_host_label(label);
        append_label(&name, label);
    }
    *rest = t;
    if (octets == 1)
        return DNS_READ_ROOT;
    if (!is_host || name.length > DNS_NAME_LIMIT)
        return DNS_NOT_A_HOST;
    return buffer_append(b, buffer_text(&name)) ? DNS_READ : DNS_MALFORMED;
}

enum dns_reading dns_read_name(struct text rdata, struct buffer *b)
{
    size_t before = b->length;
    enum dns_reading reading = dns_take_name(&rdata, b);
    if (rdata.length == 0)
        return reading;
    b->length = before;
    return DNS_MALFORMED;
}

enum dns_reading dns_read_mx(struct text rdata, struct buffer *b, unsigned *ret_preference)
{
    if (rdata.length < 3)
        return DNS_MALFORMED;
    struct text octets = text_take(&rdata, 2);
    enum dns_reading reading = dns_read_name(rdata, b);
    if (reading != DNS_MALFORMED)
        *ret_preference = (unsigned)(unsigned char)octets.bytes[0] << 8 | (unsigned char)octets.bytes[1];
    return reading;
}

static bool read_octets(struct text rdata, size_t count, uint8_t *ret_octets)
{
    if (rdata.length != count)
        return false;
    for (size_t i = 0; i < count; i++)
        ret_octets[i] = (uint8_t)rdata.bytes[i];
    return true;
}

bool dns_read_a(struct text rdata, uint8_t ret_octets[4])
{
    return read_octets(rdata, 4, ret_octets);
}

bool dns_read_aaaa(struct text rdata, uint8_t ret_octets[16])
{
    return read_octets(rdata, 16, ret_octets);
}

bool dns_read_txt(struct text rdata, struct buffer *b)
{
    size_t before = b->length;
    bool is_good = rdata.length != 0;
    while (is_good && rdata.length) {
        size_t length = (unsigned char)text_take(&rdata, 1).bytes[0];
        is_good = length <= rdata.length && buffer_append(b, text_take(&rdata, length));
    }
    if (!is_good)
        b->length = before;
    return is_good;
}
