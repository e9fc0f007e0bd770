/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/control.h"

#include <unistd.h>

enum { ONE_TURN = 16, ACCEPT_TURN = 64, UNPACK_LIMIT = 1 << 20, TELL_EVERY_MS = 1000 };

static void client_ready(void *context, unsigned ready);

void control_client_drop(struct client *client)
{
    if (client->channel < 0)
        return;
    control_forget(client);
    loop_watch_free(&client->watch);
    file_close(&client->channel);
    buffer_done(&client->pending);
    client->control->client_count--;
}

/* --- towards the client ------------------------------------------------------------------------------------------------------------------ */

static uint32_t length_at(const struct buffer *b)
{
    const unsigned char *octets = (const unsigned char *)b->bytes;
    return (uint32_t)octets[0] | (uint32_t)octets[1] << 8 | (uint32_t)octets[2] << 16 | (uint32_t)octets[3] << 24;
}

static bool keep_for_later(struct client *client, struct text packet)
{
    char length[] = {(char)(packet.length & 255), (char)(packet.length >> 8 & 255), (char)(packet.length >> 16 & 255), (char)(packet.length >> 24 & 255)};
    if (buffer_space(&client->pending) < packet.length + sizeof length)
        return false;
    must(buffer_append(&client->pending, text_of(length, sizeof length)) && buffer_append(&client->pending, packet));
    if (!client->is_watching_room)
        loop_watch_change(client->watch, LOOP_READABLE | LOOP_WRITABLE);
    client->is_watching_room = true;
    return true;
}

static void drop_slow(struct client *client)
{
    struct buffer user released_by(buffer_done) = buffer_new(24);
    ignored(buffer_append_number(&user, client->user)); /* fits */
    role_event(client->control->role, RECORD_NOTICE, TEXT("control-client-dropped"),
               (struct text[]){TEXT("user"), buffer_text(&user), TEXT("why"), TEXT("it does not read its answer")}, 4);
    control_client_drop(client);
}

bool control_client_say(struct client *client, enum peers_type type, const void *fields)
{
    struct buffer packed released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
    if (client->channel < 0)
        return false;
    if (!peers_pack(&packed, type, fields))
        return true; /* over a limit: this row is lost, the client is not */
    enum channel_result result = client->pending.length ? CHANNEL_FULL : channel_send(client->channel, buffer_text(&packed), NULL, false);
    if (result == CHANNEL_OK || (result == CHANNEL_FULL && keep_for_later(client, buffer_text(&packed))))
        return true;
    if (result == CHANNEL_FULL)
        drop_slow(client);
    else
        control_client_drop(client);
    return false;
}

/* Packets that waited. The front of the buffer is moved once a turn, not once a packet. */
static void send_pending(struct client *client)
{
    size_t at = 0;
    while (at < client->pending.length) {
        struct buffer rest = {.bytes = client->pending.bytes + at};
        struct text packet = text_of(client->pending.bytes + at + 4, length_at(&rest));
        enum channel_result result = channel_send(client->channel, packet, NULL, false);
        if (result == CHANNEL_FULL)
            break;
        if (result != CHANNEL_OK) {
            control_client_drop(client);
            return;
        }
        at += 4 + packet.length;
        client->active_ms = clock_monotonic_ms();
    }
    buffer_drop_front(&client->pending, at);
    if (client->pending.length == 0) {
        loop_watch_change(client->watch, LOOP_READABLE);
        client->is_watching_room = false;
    }
}

void control_client_row(struct client *client, uint64_t tag, const struct text *fields, size_t count)
{
    struct peers_command_row row = {.tag = tag, .fields = {.items = (struct text *)(uintptr_t)fields, .count = count}};
    ignored(control_client_say(client, PEERS_command_row, &row)); /* whoever is gone needs no row */
}

void control_client_end(struct client *client, uint64_t tag, uint64_t status, struct text message)
{
    struct peers_command_end end = {.tag = tag, .status = status, .message = text_first(message, 4000)};
    ignored(control_client_say(client, PEERS_command_end, &end)); /* as above */
}

/* --- from the client --------------------------------------------------------------------------------------------------------------------- */

/* Garbage may come by the thousand: it is counted, and logged once a second. */
static void drop_garbage(struct client *client, struct text fault)
{
    struct control *c = client->control;
    uint64_t now = clock_monotonic_ms();
    c->garbage++;
    if (now - c->told_ms >= TELL_EVERY_MS || c->told_ms == 0) {
        struct buffer user released_by(buffer_done) = buffer_new(24), count released_by(buffer_done) = buffer_new(24);
        ignored(buffer_append_number(&user, client->user));   /* fits */
        ignored(buffer_append_number(&count, c->garbage)); /* fits */
        role_event(c->role, RECORD_NOTICE, TEXT("control-garbage"),
                   (struct text[]){TEXT("user"), buffer_text(&user), TEXT("fault"), fault, TEXT("count"), buffer_text(&count)}, 6);
        c->told_ms = now;
    }
    control_client_drop(client);
}

static void client_ready(void *context, unsigned ready)
{
    static char bytes[CHANNEL_PACKET_LIMIT];
    struct client *client = context;
    int channel = client->channel;
    if (ready & LOOP_WRITABLE)
        send_pending(client);
    for (int i = 0; i < ONE_TURN && client->channel == channel && channel >= 0; i++) {
        struct text packet;
        struct channel_descriptors files;
        struct arena arena released_by(arena_done) = arena_new(UNPACK_LIMIT);
        struct peers_message message;
        enum channel_result received = channel_receive(channel, bytes, 0, &packet, &files);
        if (received == CHANNEL_EMPTY)
            return;
        if (received == CHANNEL_CLOSED) {
            control_client_drop(client);
            return;
        }
        if (received != CHANNEL_OK) {
            drop_garbage(client, TEXT("unreadable"));
            return;
        }
        size_t count = files.count;
        channel_descriptors_close(&files);
        enum peers_result result = peers_unpack(packet, PEERS_COMMAND, PEERS_CONTROL, count, &arena, &message);
        if (result != PEERS_OK || message.type != PEERS_command_ask) {
            drop_garbage(client, peers_result_word(result));
            return;
        }
        client->active_ms = clock_monotonic_ms();
        control_take(client, &message.command_ask);
    }
}

/* --- new ones ---------------------------------------------------------------------------------------------------------------------------- */

static size_t count_of_user(const struct control *c, unsigned user)
{
    size_t count = 0;
    for (size_t i = 0; i < CLIENTS_LIMIT; i++)
        count += c->clients[i].channel >= 0 && c->clients[i].user == user;
    return count;
}

/* The one that has been silent for longest and waits for nothing; of this user, or of anybody but root. */
static struct client *idle_client(struct control *c, bool of_anybody, unsigned user)
{
    struct client *found = NULL;
    for (size_t i = 0; i < CLIENTS_LIMIT; i++) {
        struct client *client = &c->clients[i];
        bool may_go = client->channel >= 0 && client->asks == 0 && (of_anybody || client->user == user);
        if (may_go && (!found || client->active_ms < found->active_ms))
            found = client;
    }
    return found;
}

static struct client *free_client(struct control *c, unsigned user)
{
    bool user_is_full = count_of_user(c, user) >= CLIENTS_PER_USER;
    if (user_is_full || c->client_count == CLIENTS_LIMIT) {
        struct client *idle = idle_client(c, !user_is_full, user);
        if (!idle)
            return NULL;
        control_client_drop(idle);
    }
    for (size_t i = 0; i < CLIENTS_LIMIT; i++)
        if (c->clients[i].channel < 0)
            return &c->clients[i];
    return NULL;
}

static void take_client(struct control_door *door, int channel)
{
    struct control *c = door->control;
    unsigned user, group;
    int process;
    struct client *client = socket_peer_user(channel, &user, &group, &process) == 0 ? free_client(c, user) : NULL;
    if (!client) {
        file_close(&channel);
        return;
    }
    bool is_ours = user == 0 || user == process_own_user();
    *client = (struct client){.control = c, .channel = channel, .user = user, .process = process, .active_ms = clock_monotonic_ms(),
                              .right = is_ours ? COMMAND_RIGHT_ADMINISTER : door->right, .pending = buffer_new(PENDING_LIMIT)};
    client->watch = loop_watch_new(c->role->loop, channel, LOOP_READABLE, client_ready, client);
    c->taken++;
    c->client_count++;
    c->peak = larger(c->peak, c->client_count);
    control_tick_soon(c);
}

static void door_ready(void *context, unsigned ready not_used)
{
    struct control_door *door = context;
    for (int i = 0; i < ACCEPT_TURN; i++) {
        struct socket_name name;
        int channel;
        if (socket_accept(door->socket, &name, &channel) != 0)
            return;
        take_client(door, channel);
    }
}

/* A listener's row: "control [right=read|operate|administer]"; without a right who got through the socket's mode may administer. */
void control_doors_open(struct control *c)
{
    for (size_t i = 0; i < c->role->listener_count; i++) {
        struct text row = c->role->listeners[i].row;
        struct control_door *door = &c->doors[c->door_count];
        enum command_right right = COMMAND_RIGHT_ADMINISTER;
        if (!text_equals(text_take_word(&row), TEXT("control")))
            continue;
        struct text option = text_take_word(&row);
        if (option.length && (!text_starts_with(option, TEXT("right=")) || !command_right_of_word(text_after(option, 6), &right)))
            right = COMMAND_RIGHT_NONE;
        *door = (struct control_door){.control = c, .socket = c->role->listeners[i].socket, .right = right};
        door->watch = loop_watch_new(c->role->loop, door->socket, LOOP_READABLE, door_ready, door);
        c->door_count++;
    }
}
