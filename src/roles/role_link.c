/* SPDX-License-Identifier: Apache-2.0 */
/* What a role says to the others. The loop's thread never waits for a peer: two roles that answer each other's questions would wait for ever as
 * soon as both channels are full, and one that was taken over could stop the others by not reading. What finds the channel full waits in the
 * link instead, up to a limit, and goes out when there is room. Other threads wait, but not for ever (channel_send). */
#include "roles/role.h"

#include <string.h>

enum {
    WIPED_ROOM = 32 * 1024,
    WAITING_LIMIT = 64 << 20,        /* octets that wait for a peer; over it it is as good as dead */
    EVENTS_WAITING_LIMIT = 8 << 20, /* an event more is told on standard error */
};

static bool may_hold_secret(enum peers_type type)
{
    return type == PEERS_login_ask || type == PEERS_verify_ask || type == PEERS_command_ask;
}

/* A password may stand in it: room is taken at once, so that growing leaves no copy behind, and wiped. */
static bool pack(struct buffer *packed, enum peers_type type, const void *fields)
{
    *packed = buffer_new(PEERS_MESSAGE_LIMIT);
    return (!may_hold_secret(type) || buffer_room(packed, WIPED_ROOM)) && peers_pack(packed, type, fields);
}

static void unpack_done(struct buffer *packed, enum peers_type type)
{
    if (may_hold_secret(type))
        buffer_wipe_done(packed);
    else
        buffer_done(packed);
}

bool peer_send(int channel, enum peers_type type, const void *fields, const struct channel_descriptors *files)
{
    struct buffer packed;
    must((files ? files->count : 0) == peers_descriptors(type));
    bool sent = pack(&packed, type, fields) && channel_send(channel, buffer_text(&packed), files, true) == CHANNEL_OK;
    unpack_done(&packed, type);
    return sent;
}

/* --- what waits ---------------------------------------------------------------------------------------------------------------------- */

static bool put_off(struct link *link, struct text packet, size_t limit)
{
    uint32_t length = (uint32_t)packet.length;
    bool was_empty = link->waiting.length == 0;
    if (was_empty)
        link->waiting = buffer_new(2 * (size_t)WAITING_LIMIT); /* what is sent goes once it is the half of it */
    if (link->waiting.length - link->waiting_from + sizeof length + packet.length > limit)
        return false;
    must(buffer_append(&link->waiting, text_of((const char *)&length, sizeof length)) && buffer_append(&link->waiting, packet));
    if (was_empty)
        loop_watch_change(link->watch, LOOP_READABLE | LOOP_WRITABLE);
    return true;
}

void link_flush(struct link *link)
{
    while (link->waiting_from < link->waiting.length) {
        uint32_t length;
        memcpy(&length, link->waiting.bytes + link->waiting_from, sizeof length);
        struct text packet = text_of(link->waiting.bytes + link->waiting_from + sizeof length, length);
        if (channel_send(link->channel, packet, NULL, false) == CHANNEL_FULL)
            break;
        link->waiting_from += sizeof length + length; /* a dead end has lost it: the loop hears of that */
    }
    if (link->waiting_from == link->waiting.length) {
        link_forget(link);
        loop_watch_change(link->watch, LOOP_READABLE);
    } else if (link->waiting_from > link->waiting.length / 2) {
        buffer_drop_front(&link->waiting, link->waiting_from);
        link->waiting_from = 0;
    }
}

void link_forget(struct link *link)
{
    buffer_wipe_done(&link->waiting);
    link->waiting_from = 0;
}

static bool send_from_loop(struct link *link, struct text packet, bool is_event)
{
    if (link->waiting.length == 0) {
        enum channel_result result = channel_send(link->channel, packet, NULL, false);
        if (result != CHANNEL_FULL)
            return result == CHANNEL_OK;
    }
    if (put_off(link, packet, is_event ? EVENTS_WAITING_LIMIT : WAITING_LIMIT))
        return true;
    if (!is_event)
        socket_end(link->channel); /* it does not read: its end is told by the loop */
    return false;
}

bool link_send_packed(struct link *link, struct text packet, bool is_event)
{
    if (!link || !atomic_load_explicit(&link->is_open, memory_order_acquire))
        return false;
    if (role_is_loop_thread(link->role) && link->watch)
        return send_from_loop(link, packet, is_event);
    return channel_send(link->channel, packet, NULL, true) == CHANNEL_OK;
}

bool link_send(struct link *link, enum peers_type type, const void *fields, const struct channel_descriptors *files)
{
    struct buffer packed;
    if (!link || !atomic_load_explicit(&link->is_open, memory_order_acquire))
        return false;
    must(peers_may(type, link->role->program->self, link->remote));
    if (files) /* seldom, and soon after the channel was made */
        return peer_send(link->channel, type, fields, files);
    must(peers_descriptors(type) == 0);
    bool sent = pack(&packed, type, fields) && link_send_packed(link, buffer_text(&packed), type == PEERS_event);
    unpack_done(&packed, type);
    return sent;
}
