/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rdata = text_of((const char *)data, size);
    struct buffer b released_by(buffer_done) = buffer_new(DNS_NAME_LIMIT);
    unsigned preference;
    uint8_t octets[16];
    if (dns_read_mx(rdata, &b, &preference) == DNS_READ)
        must(b.length > 0 && !text_has_octet(buffer_text(&b), '\0') && !text_has_octet(buffer_text(&b), '\n'));
    buffer_clear(&b);
    if (dns_read_name(rdata, &b) != DNS_READ)
        must(b.length == 0);
    buffer_clear(&b);
    struct buffer joined released_by(buffer_done) = buffer_new(size + 1);
    if (dns_read_txt(rdata, &joined))
        must(joined.length < size);
    ignored(dns_read_a(rdata, octets)); /* both only must not read past the end */
    ignored(dns_read_aaaa(rdata, octets));
    return 0;
}
