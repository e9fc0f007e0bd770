/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/envelope.h"

#include "mail/packed.h"

enum {
    VERSION = 1,
    NOTIFY_ALL = ENVELOPE_NOTIFY_NEVER | ENVELOPE_NOTIFY_SUCCESS | ENVELOPE_NOTIFY_FAILURE | ENVELOPE_NOTIFY_DELAY,
    RECIPIENT_MINIMUM = 4, /* octets of the shortest packed recipient: it bounds what a count can make us take */
};

static void pack_address(struct buffer *b, const struct address *a)
{
    packed_append_text(b, a->local);
    packed_append_text(b, a->domain);
}

static bool take_address(struct text *rest, struct address *ret_address)
{
    struct address a;
    if (!packed_take_text(rest, &a.local) || !packed_take_text(rest, &a.domain) || !address_is_valid(&a))
        return false;
    *ret_address = a;
    return true;
}

bool envelope_pack_recipient(struct buffer *b, const struct envelope_recipient *r)
{
    pack_address(b, &r->address);
    packed_append_text(b, r->original);
    packed_append_number(b, r->notify);
    return !b->is_full;
}

bool envelope_take_recipient(struct text *rest, struct envelope_recipient *ret_recipient)
{
    struct text after = *rest;
    struct envelope_recipient r;
    uint64_t notify;
    if (!take_address(&after, &r.address) || !packed_take_text(&after, &r.original) ||
        !packed_take_number(&after, NOTIFY_ALL, &notify))
        return false;
    if (address_is_null(&r.address))
        return false;
    r.notify = (unsigned)notify;
    *rest = after;
    *ret_recipient = r;
    return true;
}

bool envelope_pack(struct buffer *b, const struct envelope *e)
{
    buffer_append_octet(b, VERSION);
    pack_address(b, &e->sender);
    packed_append_number(b, e->body);
    packed_append_number(b, e->is_utf8);
    packed_append_number(b, e->ret);
    packed_append_text(b, e->envid);
    packed_append_number(b, (uint64_t)e->arrived_ms);
    packed_append_text(b, e->session);
    packed_append_text(b, e->client);
    packed_append_text(b, e->helo);
    packed_append_text(b, e->login);
    packed_append_text(b, e->authorised);
    packed_append_text(b, e->listener);
    packed_append_number(b, e->recipient_count);
    for (size_t i = 0; i < e->recipient_count; i++)
        ignored(envelope_pack_recipient(b, &e->recipients[i])); /* is_full is looked at once, below */
    return !b->is_full;
}

static bool take_origin(struct text *rest, struct envelope *e)
{
    uint64_t arrived;
    if (!packed_take_text(rest, &e->envid) || !packed_take_number(rest, UINT64_MAX, &arrived))
        return false;
    e->arrived_ms = (int64_t)arrived;
    return packed_take_text(rest, &e->session) && packed_take_text(rest, &e->client) &&
           packed_take_text(rest, &e->helo) && packed_take_text(rest, &e->login) &&
           packed_take_text(rest, &e->authorised) && packed_take_text(rest, &e->listener);
}

static bool take_recipients(struct text *rest, struct arena *arena, struct envelope *e)
{
    uint64_t count;
    if (!packed_take_number(rest, rest->length / RECIPIENT_MINIMUM, &count))
        return false;
    e->recipient_count = (size_t)count;
    e->recipients = NULL;
    if (count == 0)
        return true;
    e->recipients = arena_take_array(arena, e->recipient_count, sizeof e->recipients[0]);
    if (!e->recipients)
        return false;
    for (size_t i = 0; i < e->recipient_count; i++)
        if (!envelope_take_recipient(rest, &e->recipients[i]))
            return false;
    return true;
}

bool envelope_unpack(struct text packed, struct arena *arena, struct envelope *ret_envelope)
{
    struct envelope e = {.recipients = NULL};
    uint64_t body;
    uint64_t is_utf8;
    uint64_t ret;
    if (!text_take_octet(&packed, VERSION) || !take_address(&packed, &e.sender) ||
        !packed_take_number(&packed, ENVELOPE_BINARYMIME, &body) || !packed_take_number(&packed, 1, &is_utf8) ||
        !packed_take_number(&packed, ENVELOPE_RETURN_HEADERS, &ret))
        return false;
    e.body = (enum envelope_body)body;
    e.is_utf8 = is_utf8 == 1;
    e.ret = (enum envelope_return)ret;
    if (!take_origin(&packed, &e) || !take_recipients(&packed, arena, &e) || packed.length != 0)
        return false;
    *ret_envelope = e;
    return true;
}
