/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address.h"

#include "mail/utf8.h"

enum {
    LOCAL_LIMIT = 64,
    DOMAIN_LIMIT = 255,
    WHOLE_LIMIT = 254, /* a Path has 256 octets with its brackets: RFC 5321 section 4.5.3.1.3 */
};

static bool octet_is_over_ascii(char c)
{
    return (unsigned char)c > 127;
}

/* RFC 5322 section 3.2.3, and RFC 6532 section 3.2. */
static bool octet_is_atext(char c)
{
    return octet_is_letter(c) || octet_is_digit(c) || octet_is_over_ascii(c) ||
           text_has_octet(TEXT("!#$%&'*+-/=?^_`{|}~"), c);
}

static bool is_dot_string(struct text t)
{
    bool needs_atom = true;
    for (size_t i = 0; i < t.length; i++) {
        bool is_dot = t.bytes[i] == '.';
        if (is_dot ? needs_atom : !octet_is_atext(t.bytes[i]))
            return false;
        needs_atom = is_dot;
    }
    return !needs_atom;
}

/* Where the quoted string at the front ends, its last quote included; 0 when it is none. */
static size_t quoted_string_length(struct text t)
{
    if (t.length == 0 || t.bytes[0] != '"')
        return 0;
    for (size_t i = 1; i < t.length; i++) {
        char c = t.bytes[i];
        if (c == '"')
            return i + 1;
        if (c == '\\')
            i++;
        if (i == t.length || (unsigned char)t.bytes[i] < ' ' || t.bytes[i] == 127)
            return 0;
        if (c == '\\' && octet_is_over_ascii(t.bytes[i]))
            return 0;
    }
    return 0;
}

static bool local_is_valid(struct text local)
{
    if (local.length && local.bytes[0] == '"')
        return quoted_string_length(local) == local.length;
    return is_dot_string(local);
}

static bool is_ipv4(struct text t)
{
    size_t parts = 0;
    while (parts < 4) {
        struct text part = text_take_until(&t, '.');
        uint64_t number;
        if (part.length > 3 || !text_number(part, 255, &number))
            return false;
        parts++;
        if (t.length == 0)
            break;
    }
    return parts == 4 && t.length == 0;
}

static bool is_hex_group(struct text t)
{
    if (t.length == 0 || t.length > 4)
        return false;
    for (size_t i = 0; i < t.length; i++)
        if (!octet_is_digit(t.bytes[i]) && (octet_lower(t.bytes[i]) < 'a' || octet_lower(t.bytes[i]) > 'f'))
            return false;
    return true;
}

/* Groups between colons; the last one may be an IPv4 address, which counts for two. */
static bool count_ipv6_groups(struct text t, bool may_end_in_ipv4, size_t *ret_count)
{
    size_t count = 0;
    bool is_last = t.length == 0;
    while (!is_last) {
        size_t colon = text_find_octet(t, ':');
        is_last = colon == t.length;
        struct text group = text_first(t, colon);
        t = text_after(t, colon + 1);
        if (is_last && may_end_in_ipv4 && is_ipv4(group))
            count += 2;
        else if (is_hex_group(group))
            count++;
        else
            return false;
    }
    *ret_count = count;
    return true;
}

static bool is_ipv6(struct text t)
{
    size_t gap = text_find(t, TEXT("::"));
    size_t before;
    size_t after = 0;
    if (t.length > 45 || !count_ipv6_groups(text_first(t, gap), gap == t.length, &before))
        return false;
    if (gap == t.length)
        return before == 8;
    return count_ipv6_groups(text_after(t, gap + 2), true, &after) &&
           before + after <= 6; /* "::" stands for two or more */
}

/* RFC 5321 section 4.1.3; the general form has no tag registered but IPv6. */
static bool literal_is_valid(struct text t)
{
    if (t.length < 2 || t.bytes[0] != '[' || t.bytes[t.length - 1] != ']')
        return false;
    struct text inside = text_after(text_first(t, t.length - 1), 1);
    if (text_take_prefix_ignoring_case(&inside, TEXT("IPv6:")))
        return is_ipv6(inside);
    return is_ipv4(inside);
}

static bool domain_part_is_valid(struct text domain, bool utf8_allowed)
{
    if (domain.length && domain.bytes[0] == '[')
        return literal_is_valid(domain);
    return domain_is_valid(domain, utf8_allowed);
}

bool address_is_valid(const struct address *a)
{
    if (address_is_null(a))
        return true;
    if (a->local.length > DOMAIN_LIMIT || a->domain.length > DOMAIN_LIMIT)
        return false;
    if (!local_is_valid(a->local) || !utf8_is_valid(a->local))
        return false;
    if (a->domain.length == 0)
        return address_is_postmaster(a);
    return domain_part_is_valid(a->domain, true);
}

/* U+0080 to U+009F are controls: in a log or a terminal they act. */
static bool has_upper_controls(struct text t)
{
    uint32_t character;
    while (utf8_take(&t, &character))
        if (character >= 0x80 && character <= 0x9f)
            return true;
    return false;
}

enum address_result address_parse(struct text t, bool utf8_allowed, struct address *ret_address)
{
    struct address address = {.local = TEXT_NONE, .domain = TEXT_NONE};
    if (!utf8_is_ascii(t)) {
        if (!utf8_allowed)
            return ADDRESS_NOT_ASCII;
        if (!utf8_is_valid(t))
            return ADDRESS_BAD_UTF8;
        if (has_upper_controls(t))
            return ADDRESS_SYNTAX;
    }
    if (t.length == 0) {
        *ret_address = address;
        return ADDRESS_OK;
    }
    size_t local_length = quoted_string_length(t);
    if (local_length == 0)
        local_length = text_find_octet(t, '@');
    struct text rest = t;
    address.local = text_take(&rest, local_length);
    if (rest.length == 0 && text_equals_ignoring_case(address.local, TEXT("postmaster"))) {
        *ret_address = address;
        return ADDRESS_OK;
    }
    if (!text_take_octet(&rest, '@') || !local_is_valid(address.local))
        return ADDRESS_SYNTAX;
    address.domain = rest;
    if (address.local.length > LOCAL_LIMIT || address.domain.length > DOMAIN_LIMIT || t.length > WHOLE_LIMIT)
        return ADDRESS_TOO_LONG;
    if (!domain_part_is_valid(address.domain, utf8_allowed))
        return ADDRESS_SYNTAX;
    *ret_address = address;
    return ADDRESS_OK;
}

/* "@one,@two:" in front of the address: RFC 5321 appendix C says to take and to ignore it. */
static bool take_source_route(struct text *inside)
{
    if (inside->length == 0 || inside->bytes[0] != '@')
        return true;
    size_t colon = text_find_octet(*inside, ':');
    if (colon == inside->length)
        return false;
    struct text route = text_first(*inside, colon);
    do {
        struct text hop = text_take_until(&route, ',');
        if (!text_take_octet(&hop, '@') || !domain_is_valid(hop, false))
            return false;
    } while (route.length);
    *inside = text_after(*inside, colon + 1);
    return inside->length != 0;
}

/* The place of the ">" that ends the path: one inside a quoted string is text. */
static size_t find_path_end(struct text t)
{
    bool is_quoted = false;
    for (size_t i = 0; i < t.length; i++) {
        char c = t.bytes[i];
        if (c == '"')
            is_quoted = !is_quoted;
        else if (is_quoted && c == '\\')
            i++;
        else if (!is_quoted && c == '>')
            return i;
    }
    return t.length;
}

enum address_result address_take_path(struct text *rest, bool utf8_allowed, struct address *ret_address)
{
    struct text t = *rest;
    if (!text_take_octet(&t, '<'))
        return ADDRESS_SYNTAX;
    size_t end = find_path_end(t);
    if (end == t.length)
        return ADDRESS_SYNTAX;
    struct text inside = text_first(t, end);
    if (!take_source_route(&inside))
        return ADDRESS_SYNTAX;
    enum address_result result = address_parse(inside, utf8_allowed, ret_address);
    if (result == ADDRESS_OK)
        *rest = text_after(t, end + 1);
    return result;
}

bool address_is_null(const struct address *a)
{
    return a->local.length == 0 && a->domain.length == 0;
}

bool address_is_postmaster(const struct address *a)
{
    return text_equals_ignoring_case(a->local, TEXT("postmaster")) ||
           text_equals_ignoring_case(a->local, TEXT("\"postmaster\""));
}

bool address_is_literal(const struct address *a)
{
    return a->domain.length != 0 && a->domain.bytes[0] == '[';
}

bool address_is_ascii(const struct address *a)
{
    return utf8_is_ascii(a->local) && utf8_is_ascii(a->domain);
}

bool address_has_empty_local(const struct address *a)
{
    return text_equals(a->local, TEXT("\"\""));
}

void address_append(struct buffer *b, const struct address *a)
{
    buffer_append(b, a->local);
    if (a->domain.length) {
        buffer_append_octet(b, '@');
        buffer_append(b, a->domain);
    }
}

static void append_lower(struct buffer *b, struct text t)
{
    for (size_t i = 0; i < t.length; i++)
        buffer_append_octet(b, octet_lower(t.bytes[i]));
}

static void append_unquoted(struct buffer *b, struct text quoted)
{
    struct text inside = text_after(text_first(quoted, quoted.length - 1), 1);
    for (size_t i = 0; i < inside.length; i++) {
        if (inside.bytes[i] == '\\' && i + 1 < inside.length)
            i++;
        buffer_append_octet(b, octet_lower(inside.bytes[i]));
    }
}

static void append_local_key(struct buffer *b, struct text local)
{
    if (local.length < 2 || local.bytes[0] != '"') {
        append_lower(b, local);
        return;
    }
    struct buffer plain released_by(buffer_done) = buffer_new(local.length);
    append_unquoted(&plain, local);
    struct text inside = buffer_text(&plain);
    if (is_dot_string(inside)) {
        buffer_append(b, inside);
        return;
    }
    buffer_append_octet(b, '"');
    for (size_t i = 0; i < inside.length; i++) {
        if (inside.bytes[i] == '"' || inside.bytes[i] == '\\')
            buffer_append_octet(b, '\\');
        buffer_append_octet(b, inside.bytes[i]);
    }
    buffer_append_octet(b, '"');
}

void address_append_key(struct buffer *b, const struct address *a)
{
    append_local_key(b, a->local);
    if (a->domain.length == 0)
        return;
    buffer_append_octet(b, '@');
    if (!domain_append_key(b, a->domain))
        append_lower(b, a->domain); /* a literal */
}

bool address_equals(const struct address *a, const struct address *b)
{
    struct buffer first released_by(buffer_done) = buffer_new(4 * WHOLE_LIMIT);
    struct buffer second released_by(buffer_done) = buffer_new(4 * WHOLE_LIMIT);
    address_append_key(&first, a);
    address_append_key(&second, b);
    return !first.is_full && !second.is_full && text_equals(buffer_text(&first), buffer_text(&second));
}
