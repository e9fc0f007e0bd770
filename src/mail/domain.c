/* SPDX-License-Identifier: Apache-2.0 */
/* domain: the domain names of mail/address.h. Only names that are not plain ASCII cost a call of libidn2. */
#include "mail/address.h"

#include <idn2.h>
#include <string.h>

#include "mail/utf8.h"

enum { DOMAIN_LIMIT = 255, LABEL_LIMIT = 63 };

static bool label_is_valid(struct text label)
{
    if (label.length == 0 || label.bytes[0] == '-' || label.bytes[label.length - 1] == '-')
        return false;
    for (size_t i = 0; i < label.length; i++) {
        char c = label.bytes[i];
        if (!octet_is_letter(c) && !octet_is_digit(c) && c != '-' && (unsigned char)c < 128)
            return false;
    }
    return label.length <= LABEL_LIMIT || !utf8_is_ascii(label);
}

static bool label_is_number(struct text label)
{
    for (size_t i = 0; i < label.length; i++)
        if (!octet_is_digit(label.bytes[i]))
            return false;
    return true;
}

/* Letters, digits, hyphens and what is over 127; "1.2.3.4" is an address and no name. */
static bool labels_are_valid(struct text t)
{
    if (t.length == 0 || t.length > DOMAIN_LIMIT || t.bytes[t.length - 1] == '.')
        return false;
    struct text label = TEXT_NONE;
    while (t.length) {
        label = text_take_until(&t, '.');
        if (!label_is_valid(label))
            return false;
    }
    return !label_is_number(label);
}

static bool has_a_label(struct text t)
{
    while (t.length) {
        struct text label = text_take_until(&t, '.');
        if (text_starts_with_ignoring_case(label, TEXT("xn--")))
            return true;
    }
    return false;
}

/* UTS 46 without transitional mapping; A-labels that are there already are checked by a round trip. */
static bool append_by_idn2(struct buffer *b, struct text domain)
{
    uint8_t terminated[DOMAIN_LIMIT + 1];
    if (text_has_octet(domain, '\0'))
        return false;
    memcpy(terminated, domain.bytes, domain.length);
    terminated[domain.length] = 0;
    uint8_t *found = NULL;
    if (idn2_lookup_u8(terminated, &found, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return false;
    struct text ascii = text_of_terminated((const char *)found);
    bool is_name = utf8_is_ascii(ascii) && labels_are_valid(ascii);
    bool is_appended = is_name && buffer_append(b, ascii);
    idn2_free(found);
    return is_appended;
}

bool domain_append_key(struct buffer *b, struct text domain)
{
    if (text_ends_with(domain, TEXT(".")))
        domain.length--;
    if (!labels_are_valid(domain))
        return false;
    if (!utf8_is_ascii(domain) || has_a_label(domain))
        return utf8_is_valid(domain) && append_by_idn2(b, domain);
    char *room = buffer_room(b, domain.length);
    if (!room)
        return false;
    for (size_t i = 0; i < domain.length; i++)
        room[i] = octet_lower(domain.bytes[i]);
    buffer_grew(b, domain.length);
    return true;
}

bool domain_is_valid(struct text t, bool utf8_allowed)
{
    if (!labels_are_valid(t))
        return false;
    bool is_ascii = utf8_is_ascii(t);
    if (is_ascii && !has_a_label(t))
        return true;
    if (!is_ascii && !utf8_allowed)
        return false;
    struct buffer key released_by(buffer_done) = buffer_new(DOMAIN_LIMIT + 1);
    return domain_append_key(&key, t);
}
