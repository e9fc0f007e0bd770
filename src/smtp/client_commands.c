/* SPDX-License-Identifier: Apache-2.0 */
/* client_commands: the lines of a transaction, with the parameters that the peer understands. */
#include "smtp/client_parts.h"

static void append_hex(struct buffer *b, unsigned octet)
{
    static const char digits[] = "0123456789ABCDEF";
    buffer_append_octet(b, digits[octet >> 4 & 15]);
    buffer_append_octet(b, digits[octet & 15]);
}

/* xtext: RFC 3461 section 4. */
static void append_xtext(struct buffer *b, struct text t)
{
    for (size_t i = 0; i < t.length; i++) {
        char c = t.bytes[i];
        if (c > ' ' && c <= '~' && c != '+' && c != '=') {
            buffer_append_octet(b, c);
            continue;
        }
        buffer_append_octet(b, '+');
        append_hex(b, (unsigned char)c);
    }
}

/* utf-8-addr-xtext: RFC 6533 section 3. What is no UTF-8 is left out: it can't be said. */
static void append_utf8_address(struct buffer *b, struct text t)
{
    while (t.length) {
        uint32_t character;
        if (!utf8_take(&t, &character)) {
            t = text_after(t, 1);
            continue;
        }
        if (character > ' ' && character <= '~' && character != '+' && character != '=' && character != '\\')
            buffer_append_octet(b, (char)character);
        else
            ignored(buffer_append_format(b, "\\x{%X}",
                                         (unsigned)character)); /* the line's limit is looked at by the caller */
    }
}

static void append_original(struct buffer *b, struct text original)
{
    struct text type = text_first(original, text_find_octet(original, ';'));
    struct text address = text_after(original, type.length + 1);
    buffer_append(b, TEXT(" ORCPT="));
    append_xtext(b, type);
    buffer_append_octet(b, ';');
    if (text_equals_ignoring_case(type, TEXT("utf-8")))
        append_utf8_address(b, address);
    else
        append_xtext(b, address);
}

bool client_may_name(const struct smtp_client *c, const struct address *a)
{
    if (address_is_ascii(a) || (c->extensions & SMTP_CLIENT_SMTPUTF8))
        return true;
    struct buffer key released_by(buffer_done) = buffer_new(300);
    return utf8_is_ascii(a->local) && domain_append_key(&key, a->domain);
}

static void append_path(const struct smtp_client *c, const struct address *a, struct buffer *output)
{
    buffer_append_octet(output, '<');
    buffer_append(output, a->local);
    if (a->domain.length) {
        buffer_append_octet(output, '@');
        bool wants_ascii = !utf8_is_ascii(a->domain) && !(c->extensions & SMTP_CLIENT_SMTPUTF8);
        if (!wants_ascii || !domain_append_key(output, a->domain))
            buffer_append(output, a->domain);
    }
    buffer_append_octet(output, '>');
}

static struct text body_parameter(const struct smtp_client *c)
{
    const struct envelope *e = c->message->envelope;
    bool is_utf8 = e->is_utf8 && (c->extensions & SMTP_CLIENT_SMTPUTF8);
    if (e->body == ENVELOPE_BINARYMIME)
        return TEXT(" BODY=BINARYMIME"); /* who can't take it was refused before */
    if ((c->extensions & SMTP_CLIENT_8BITMIME) && (e->body == ENVELOPE_8BITMIME || is_utf8))
        return TEXT(" BODY=8BITMIME");
    return TEXT_NONE;
}

void client_append_mail(const struct smtp_client *c, struct buffer *output)
{
    const struct envelope *e = c->message->envelope;
    buffer_append(output, TEXT("MAIL FROM:"));
    append_path(c, &e->sender, output);
    if (c->extensions & SMTP_CLIENT_SIZE) {
        buffer_append(output, TEXT(" SIZE="));
        buffer_append_number(output, c->message->size);
    }
    buffer_append(output, body_parameter(c));
    if (e->is_utf8 && (c->extensions & SMTP_CLIENT_SMTPUTF8))
        buffer_append(output, TEXT(" SMTPUTF8"));
    if (c->extensions & SMTP_CLIENT_DSN) {
        if (e->ret != ENVELOPE_RETURN_UNSET)
            buffer_append(output, e->ret == ENVELOPE_RETURN_FULL ? TEXT(" RET=FULL") : TEXT(" RET=HDRS"));
        if (e->envid.length) {
            buffer_append(output, TEXT(" ENVID="));
            append_xtext(output, e->envid);
        }
    }
    buffer_append(output, TEXT("\r\n"));
}

static void append_notify(struct buffer *output, unsigned notify)
{
    static const struct {
        unsigned bit;
        struct text word;
    } words[] = {
        {.bit = ENVELOPE_NOTIFY_NEVER, .word = TEXT_INIT("NEVER")},
        {.bit = ENVELOPE_NOTIFY_SUCCESS, .word = TEXT_INIT("SUCCESS")},
        {.bit = ENVELOPE_NOTIFY_FAILURE, .word = TEXT_INIT("FAILURE")},
        {.bit = ENVELOPE_NOTIFY_DELAY, .word = TEXT_INIT("DELAY")},
    };
    bool is_first = true;
    for (size_t i = 0; i < length_of(words); i++) {
        if (!(notify & words[i].bit))
            continue;
        buffer_append(output, is_first ? TEXT(" NOTIFY=") : TEXT(","));
        buffer_append(output, words[i].word);
        is_first = false;
    }
}

void client_append_recipient(const struct smtp_client *c, const struct envelope_recipient *r, struct buffer *output)
{
    buffer_append(output, TEXT("RCPT TO:"));
    append_path(c, &r->address, output);
    if (c->extensions & SMTP_CLIENT_DSN) {
        append_notify(output, r->notify);
        if (r->original.length)
            append_original(output, r->original);
    }
    buffer_append(output, TEXT("\r\n"));
}
