/* SPDX-License-Identifier: Apache-2.0 */
/* Everything in this folder that reads a stranger's octets: addresses, domains, headers, packed records. */
#include "mail/mail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_address(struct text t, bool utf8_allowed)
{
    struct address a;
    if (address_parse(t, utf8_allowed, &a) != ADDRESS_OK)
        return;
    must(address_is_valid(&a));
    struct buffer written released_by(buffer_done) = buffer_new(4096);
    address_append(&written, &a);
    must(text_equals(buffer_text(&written), t));
    struct buffer key released_by(buffer_done) = buffer_new(4096);
    address_append_key(&key, &a);
    /* the key of a key is the key, where it is an address within the limits */
    struct address b;
    if (address_parse(buffer_text(&key), utf8_allowed, &b) == ADDRESS_OK)
        must(address_equals(&a, &b));
}

static void try_header(struct text t)
{
    struct text rest = t;
    struct header_field field;
    while (header_take_field(&rest, &field)) {
        struct address a;
        size_t count;
        if (header_first_address(field.value, &a, &count))
            must(address_is_valid(&a) && count != 0);
    }
    must(header_length(t) <= t.length);
    struct buffer b released_by(buffer_done) = buffer_new(16 * t.length + 64);
    header_append_phrase(&b, t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text t = text_of((const char *)data, size);
    try_address(t, false);
    try_address(t, true);
    struct text path = t;
    struct address a;
    if (address_take_path(&path, true, &a) == ADDRESS_OK)
        must(address_is_valid(&a) && path.length < t.length);
    try_header(t);
    struct arena arena released_by(arena_done) = arena_new(1 << 20);
    struct envelope envelope;
    if (envelope_unpack(t, &arena, &envelope))
        must(address_is_valid(&envelope.sender));
    struct result result;
    if (result_unpack(t, &result))
        must(result.enhanced.length != 0);
    struct buffer decoded released_by(buffer_done) = buffer_new(size + 1);
    ignored(base64_append_decoded(&decoded, t)); /* only that it comes back */
    return 0;
}
