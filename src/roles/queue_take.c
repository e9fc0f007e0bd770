/* SPDX-License-Identifier: Apache-2.0 */
/* Messages come in: lanes of front, their windows, and what is appended to the group being collected. All that front says is checked: it may
 * be in a stranger's hands. */
#include "roles/queue.h"

#include <stdlib.h>
#include <string.h>

enum { PACKETS_A_TURN = 256, BODY_IN_MEMORY = 1 << 20, OPEN_IN_MEMORY = 256 << 20, ENVELOPES_LIMIT = 64 << 20 };

/* --- what was decided ---------------------------------------------------------------------------------------------------------------- */

void queue_note_take(struct queue *q, struct queue_lane *lane, uint64_t sequence, uint64_t id, enum window_result result)
{
    struct take_list *list = &q->collected;
    if (list->count == list->capacity) {
        list->capacity = larger(256, list->capacity * 2);
        list->items = reallocarray(list->items, list->capacity, sizeof *list->items);
        must(list->items != NULL);
    }
    list->items[list->count++] = (struct taken){.lane = lane, .sequence = sequence, .id = id, .result = result};
}

static enum window_result result_of(enum spool_result result)
{
    return result == SPOOL_OK ? WINDOW_DURABLE : result == SPOOL_NO_SPACE ? WINDOW_DISK_FULL : WINDOW_DISK_FAILED;
}

/* --- open messages ------------------------------------------------------------------------------------------------------------------- */

static struct incoming *find(struct queue *q, uint64_t id)
{
    char octets[8];
    return map_find(&q->incoming, queue_key(id, octets));
}

static struct incoming *find_or_make(struct queue *q, struct queue_lane *lane, uint64_t id)
{
    char octets[8];
    struct incoming *in = find(q, id);
    if (in)
        return in;
    in = calloc(1, sizeof *in);
    must(in != NULL);
    *in = (struct incoming){.id = id, .lane = lane, .body = buffer_new(BODY_IN_MEMORY + WINDOW_SIZE), .recipients = buffer_new(ENVELOPES_LIMIT)};
    if (map_put(&q->incoming, queue_key(id, octets), in))
        return in;
    free(in);
    return NULL;
}

static void incoming_free(struct queue *q, struct incoming *in)
{
    char octets[8];
    ignored(map_remove(&q->incoming, queue_key(in->id, octets))); /* it is there */
    if (in->large)
        spool_large_abort(q->spool, &in->large);
    q->open_octets -= in->body.length + in->recipients.length;
    buffer_done(&in->body);
    buffer_done(&in->recipients);
    free(in);
}

/* Octets of a body that is too long for the memory, or came when much is there already, go into a file of its own. */
static bool add_body(struct queue *q, struct incoming *in, struct text octets)
{
    in->length += octets.length;
    if (in->large)
        return spool_large_write(in->large, octets) == SPOOL_OK;
    if (in->body.length + octets.length < BODY_IN_MEMORY && q->open_octets + octets.length <= OPEN_IN_MEMORY) {
        q->open_octets += octets.length;
        return buffer_append(&in->body, octets);
    }
    if (spool_large_begin(q->spool, in->id, false, &in->large) != SPOOL_OK)
        return false;
    bool written = spool_large_write(in->large, buffer_text(&in->body)) == SPOOL_OK && spool_large_write(in->large, octets) == SPOOL_OK;
    q->open_octets -= in->body.length;
    buffer_done(&in->body);
    return written;
}

/* --- lanes --------------------------------------------------------------------------------------------------------------------------- */

static void lane_close(struct queue *q, struct queue_lane *lane)
{
    loop_watch_free(&lane->watch);
    file_close(&lane->channel);
    struct incoming *gone[64];
    size_t count;
    do { /* what came through it and is not taken will not be */
        size_t place = 0;
        struct text key;
        void *value;
        count = 0;
        while (count < length_of(gone) && map_next(&q->incoming, &place, &key, &value))
            if (((struct incoming *)value)->lane == lane)
                gone[count++] = value;
        for (size_t i = 0; i < count; i++)
            incoming_free(q, gone[i]);
    } while (count == length_of(gone));
    for (size_t i = 0; i < q->collected.count; i++)
        if (q->collected.items[i].lane == lane)
            q->collected.items[i].lane = NULL;
    for (size_t i = 0; i < q->written.count; i++)
        if (q->written.items[i].lane == lane)
            q->written.items[i].lane = NULL;
    for (struct late_take *late = q->late_first; late; late = late->next)
        if (late->lane == lane)
            late->lane = NULL;
    file_close(&lane->wake);
    memory_unmap(lane->window, sizeof *lane->window);
    *lane = (struct queue_lane){.queue = q, .channel = -1, .wake = -1};
}

void queue_lanes_close(struct queue *q)
{
    for (size_t i = 0; i < QUEUE_LANES; i++)
        if (q->lanes[i].is_used)
            lane_close(q, &q->lanes[i]);
}

static void misspoke(struct queue *q, struct queue_lane *lane, struct text fault)
{
    role_event(q->role, RECORD_ALARM, TEXT("peer-misspoke"), (struct text[]){TEXT("peer"), TEXT("front lane"), TEXT("fault"), fault}, 4);
    lane_close(q, lane);
}

/* --- parts and takes ----------------------------------------------------------------------------------------------------------------- */

/* Parts must follow each other in the ring as in the message. */
static bool is_next(const struct queue_lane *lane, uint64_t place, uint64_t length)
{
    return place == lane->position && length <= WINDOW_SIZE;
}

static bool take_part(struct queue *q, struct queue_lane *lane, const struct peers_message_part *part)
{
    static char octets[WINDOW_SIZE];
    if (!is_next(lane, part->place, part->length) || !window_copy(lane->window, part->place, (size_t)part->length, octets))
        return false;
    lane->position += part->length;
    window_consumed(lane->window, lane->position);
    struct incoming *in = part->at == 0 ? find_or_make(q, lane, part->id) : find(q, part->id);
    if (!in || in->length != part->at)
        return in == NULL; /* one that was dropped for want of room is told at its take */
    if (!add_body(q, in, text_of(octets, (size_t)part->length)))
        incoming_free(q, in);
    return true;
}

static bool take_recipients(struct queue *q, struct queue_lane *lane, const struct peers_message_recipients *more)
{
    struct incoming *in = find_or_make(q, lane, more->id);
    uint64_t length = more->packed.length;
    if (!in)
        return true; /* too many are open: told at the take, which counts them */
    if (q->open_octets + sizeof length + length > OPEN_IN_MEMORY) {
        incoming_free(q, in);
        return true;
    }
    size_t before = in->recipients.length;
    bool fits = buffer_append(&in->recipients, text_of((const char *)&length, sizeof length)) && buffer_append(&in->recipients, more->packed);
    q->open_octets += in->recipients.length - before;
    return fits;
}

/* All recipients in one envelope again. */
static bool join_recipients(struct text ahead, struct text packed, struct buffer *ret_joined)
{
    struct arena arena released_by(arena_done) = arena_new(ENVELOPES_LIMIT * 2);
    struct envelope all, some;
    if (!envelope_unpack(packed, &arena, &all))
        return false;
    struct buffer list released_by(buffer_done) = buffer_new(ENVELOPES_LIMIT);
    while (ahead.length >= sizeof(uint64_t)) {
        uint64_t length;
        memcpy(&length, ahead.bytes, sizeof length);
        ahead = text_after(ahead, sizeof length);
        if (!envelope_unpack(text_take(&ahead, (size_t)length), &arena, &some) ||
            !buffer_append(&list, text_of((const char *)some.recipients, some.recipient_count * sizeof *some.recipients)))
            return false;
    }
    if (!buffer_append(&list, text_of((const char *)all.recipients, all.recipient_count * sizeof *all.recipients)))
        return false;
    all.recipients = (struct envelope_recipient *)(void *)list.bytes;
    all.recipient_count = list.length / sizeof *all.recipients;
    return envelope_pack(ret_joined, &all);
}

/* Rows of trusted with a host's name or "self" need look-ups, which only front has made. */
static bool may_be_trusted(const struct queue *q, struct text client)
{
    const struct settings_clients *trusted = &q->role->settings->security_trusted;
    struct network_address address;
    if (!network_address_parse(client, &address))
        return false;
    for (size_t i = 0; i < trusted->count; i++)
        if (trusted->rows[i].kind != SETTINGS_CLIENT_NETWORK)
            return true;
    return settings_clients_contain(trusted, &address);
}

/* Who logged in is proved by the vault's ticket, not by front's word; and what front may call authorised is one of few things. There is no POP
 * before SMTP yet that the vault could vouch for. */
static bool is_permitted(struct queue *q, const struct envelope *e, struct text ticket)
{
    struct ticket checked;
    bool is_listener = text_equals(e->listener, TEXT("smtp")) || text_equals(e->listener, TEXT("submission")) || text_equals(e->listener, TEXT("submissions"));
    bool is_auth = text_equals(e->authorised, TEXT("auth")), is_trusted = text_equals(e->authorised, TEXT("trusted"));
    if (!is_listener || (e->authorised.length && !is_auth && !is_trusted) || (is_auth && !e->login.length) || (is_trusted && !may_be_trusted(q, e->client))) {
        role_event(q->role, RECORD_ALARM, TEXT("permission-refused"),
                   (struct text[]){TEXT("authorised"), e->authorised, TEXT("client"), e->client, TEXT("listener"), e->listener}, 6);
        return false;
    }
    if (e->login.length == 0)
        return true;
    enum ticket_result result = ticket_check(&q->ticket_keys, ticket, e->login, clock_monotonic_ms(), &checked);
    if (result != TICKET_OK)
        role_event(q->role, RECORD_ALARM, TEXT("ticket-refused"), (struct text[]){TEXT("login"), e->login, TEXT("why"), ticket_result_word(result)}, 4);
    return result == TICKET_OK;
}

static void pause_lanes(struct queue *q, bool is_paused)
{
    q->is_paused = is_paused;
    for (size_t i = 0; i < QUEUE_LANES; i++)
        if (q->lanes[i].is_used)
            loop_watch_change(q->lanes[i].watch, is_paused ? 0 : LOOP_READABLE);
}

static void taken(struct queue *q, struct queue_lane *lane, uint64_t sequence, uint64_t id, struct text envelope, uint64_t length, enum spool_result result)
{
    queue_note_take(q, lane, sequence, result == SPOOL_OK ? id : 0, result_of(result));
    if (result == SPOOL_OK && !queue_mail_of_take(q, id, envelope, length))
        role_event(q->role, RECORD_ALARM, TEXT("envelope-unreadable"), NULL, 0); /* it was read above: can't be */
}

/* Takes what body or large hold. */
static void put_off(struct queue *q, struct queue_lane *lane, const struct peers_message_take *take, struct text envelope, struct buffer *body,
                    struct spool_large **large)
{
    struct late_take *late = calloc(1, sizeof *late);
    must(late != NULL);
    *late = (struct late_take){.lane = lane, .sequence = take->sequence, .id = take->id, .length = take->at + take->length, .body = *body, .large = *large,
                               .envelope = buffer_new(ENVELOPES_LIMIT)};
    *body = buffer_new(0);
    *large = NULL;
    must(buffer_append(&late->envelope, envelope));
    *(q->late_last ? &q->late_last->next : &q->late_first) = late;
    q->late_last = late;
    pause_lanes(q, true);
}

static void late_free(struct queue *q, struct late_take *late)
{
    spool_large_abort(q->spool, &late->large); /* one that was taken is gone already */
    buffer_done(&late->body);
    buffer_done(&late->envelope);
    free(late);
}

void queue_takes_retry(struct queue *q)
{
    while (q->late_first) {
        struct late_take *late = q->late_first;
        struct spool_new new = {.id = late->id, .taken_ms = clock_wall_ms(), .envelope = buffer_text(&late->envelope)};
        enum spool_result result = late->large ? spool_large_commit(q->spool, &late->large, &new) : spool_append(q->spool, &new, buffer_text(&late->body));
        if (result == SPOOL_LATER && (spool_has_collected(q->spool) || q->is_group_out || q->is_chore_out))
            return; /* a group or a chore will make room */
        taken(q, late->lane, late->sequence, late->id, buffer_text(&late->envelope), late->length, result == SPOOL_LATER ? SPOOL_NO_SPACE : result);
        q->late_first = late->next;
        if (!q->late_first)
            q->late_last = NULL;
        late_free(q, late);
    }
    if (q->is_paused)
        pause_lanes(q, false);
}

/* The usual message: copied once, out of the window into the group. */
static enum spool_result append_from_window(struct queue *q, struct queue_lane *lane, const struct peers_message_take *take, const struct spool_new *new,
                                            struct buffer *late_body)
{
    char *body;
    enum spool_result result = q->late_first ? SPOOL_LATER : spool_reserve(q->spool, (size_t)take->length, false, &body);
    if (result == SPOOL_OK) {
        must(window_copy(lane->window, take->place, (size_t)take->length, body));
        return spool_append_reserved(q->spool, new, (size_t)take->length);
    }
    if (result == SPOOL_LATER) {
        char *room = buffer_room(late_body, (size_t)take->length);
        must(room != NULL && window_copy(lane->window, take->place, (size_t)take->length, room));
        buffer_grew(late_body, (size_t)take->length);
    }
    return result;
}

/* SPOOL_LATER leaves the body in in. */
static enum spool_result append_joined(struct queue *q, struct queue_lane *lane, const struct peers_message_take *take, const struct spool_new *new,
                                       struct incoming *in)
{
    static char octets[WINDOW_SIZE];
    must(window_copy(lane->window, take->place, (size_t)take->length, octets));
    if (!add_body(q, in, text_of(octets, (size_t)take->length)))
        return SPOOL_NO_SPACE;
    if (q->late_first)
        return SPOOL_LATER;
    return in->large ? spool_large_commit(q->spool, &in->large, new) : spool_append(q->spool, new, buffer_text(&in->body));
}

static void take_body(struct queue *q, struct queue_lane *lane, const struct peers_message_take *take, struct incoming *in, struct text packed)
{
    struct spool_new new = {.id = take->id, .taken_ms = clock_wall_ms(), .envelope = packed};
    struct buffer late_body = buffer_new(BODY_IN_MEMORY + WINDOW_SIZE);
    struct spool_large *none = NULL;
    enum spool_result result = in ? append_joined(q, lane, take, &new, in) : append_from_window(q, lane, take, &new, &late_body);
    if (result != SPOOL_LATER) {
        taken(q, lane, take->sequence, take->id, packed, take->at + take->length, result);
    } else if (in) {
        q->open_octets -= in->body.length; /* of which there are few: the lanes are not read then */
        put_off(q, lane, take, packed, &in->body, &in->large);
    } else {
        put_off(q, lane, take, packed, &late_body, &none);
    }
    buffer_done(&late_body);
}

static bool is_lanes_id(uint64_t id)
{
    return id != 0 && (id >> 32 & 0xff) < QUEUE_LANES; /* those of our own are ours to give */
}

/* Its parts, or the recipients ahead, may have been thrown away for want of room. */
static bool is_whole(struct queue *q, const struct peers_message_take *take, const struct incoming *in, uint64_t recipients)
{
    char id[QUEUE_ID_LENGTH];
    uint64_t length = in ? in->length : 0;
    if (take->at == length && take->recipients == recipients)
        return true;
    struct buffer why released_by(buffer_done) = buffer_new(200);
    ignored(buffer_append_format(&why, "%llu octets came of %llu, %llu recipients of %llu", (unsigned long long)length, (unsigned long long)take->at,
                                 (unsigned long long)recipients, (unsigned long long)take->recipients)); /* fits */
    role_event(q->role, RECORD_ALARM, TEXT("message-incomplete"), (struct text[]){TEXT("id"), queue_id_text(take->id, id), TEXT("why"), buffer_text(&why)}, 4);
    return false;
}

static bool take_message(struct queue *q, struct queue_lane *lane, const struct peers_message_take *take)
{
    struct incoming *in = find(q, take->id);
    struct buffer joined released_by(buffer_done) = buffer_new(ENVELOPES_LIMIT);
    struct arena arena released_by(arena_done) = arena_new(ENVELOPES_LIMIT);
    struct text packed = take->envelope;
    struct envelope e;
    if (!is_next(lane, take->place, take->length) || take->sequence != lane->sequence + 1)
        return false;
    lane->sequence = take->sequence;
    if (in && in->recipients.length) {
        if (!join_recipients(buffer_text(&in->recipients), packed, &joined))
            return false;
        packed = buffer_text(&joined);
    }
    if (!envelope_unpack(packed, &arena, &e) || e.recipient_count == 0)
        return false;
    if (!is_permitted(q, &e, take->ticket))
        queue_note_take(q, lane, take->sequence, 0, WINDOW_NOT_PERMITTED);
    else if (!is_whole(q, take, in, e.recipient_count))
        queue_note_take(q, lane, take->sequence, 0, WINDOW_DISK_FULL);
    else
        take_body(q, lane, take, in, packed);
    lane->position += take->length;
    window_consumed(lane->window, lane->position);
    if (in)
        incoming_free(q, in);
    return true;
}

static bool take_packet(struct queue *q, struct queue_lane *lane, const struct peers_message *m)
{
    switch ((int)m->type) { /* what may come over a lane */
    case PEERS_message_part:
        return is_lanes_id(m->message_part.id) && take_part(q, lane, &m->message_part);
    case PEERS_message_take:
        return is_lanes_id(m->message_take.id) && take_message(q, lane, &m->message_take);
    case PEERS_message_recipients:
        return is_lanes_id(m->message_recipients.id) && take_recipients(q, lane, &m->message_recipients);
    case PEERS_message_drop: {
        struct incoming *in = find(q, m->message_drop.id);
        if (in)
            incoming_free(q, in);
        return true;
    }
    default:
        return false;
    }
}

static void lane_ready(void *context, unsigned ready)
{
    static char bytes[CHANNEL_PACKET_LIMIT];
    struct queue_lane *lane = context;
    struct queue *q = lane->queue;
    if (q->is_paused && (ready & LOOP_HUNG_UP)) { /* nobody waits for what it still holds, and this would come again and again */
        lane_close(q, lane);
        return;
    }
    for (int i = 0; i < PACKETS_A_TURN && lane->is_used && !q->is_paused; i++) {
        struct text packet;
        struct channel_descriptors files;
        enum channel_result received = channel_receive(lane->channel, bytes, 0, &packet, &files);
        if (received == CHANNEL_EMPTY)
            return;
        if (received != CHANNEL_OK) {
            lane_close(q, lane);
            return;
        }
        struct arena arena released_by(arena_done) = arena_new(4096);
        struct peers_message m;
        enum peers_result result = peers_unpack(packet, PEERS_FRONT, PEERS_QUEUE, files.count, &arena, &m);
        channel_descriptors_close(&files);
        if (result != PEERS_OK || !take_packet(q, lane, &m)) {
            misspoke(q, lane, result != PEERS_OK ? peers_result_word(result) : peers_type_word(m.type));
            return;
        }
    }
}

/* What front gave as a channel may be anything: it may not make us wait. */
static bool send_window(int channel, int file)
{
    struct buffer packed released_by(buffer_done) = buffer_new(64);
    struct peers_window window = {.size = sizeof(struct window)};
    struct channel_descriptors files = {.files = {file}, .count = 1};
    return peers_pack(&packed, PEERS_window, &window) && channel_send(channel, buffer_text(&packed), &files, false) == CHANNEL_OK;
}

void queue_lane_open(struct queue *q, const struct channel_descriptors *files, uint64_t number)
{
    int file released_by(file_close) = -1;
    void *address = NULL;
    if (number >= QUEUE_LANES)
        return;
    struct queue_lane *lane = &q->lanes[number];
    if (lane->is_used)
        lane_close(q, lane);
    int channel = file_copy_descriptor(files->files[0]), wake = file_copy_descriptor(files->files[1]);
    if (channel < 0 || wake < 0 || memory_new("window", sizeof(struct window), &file) != 0 || memory_map(file, sizeof(struct window), true, &address) != 0 ||
        !send_window(channel, file)) {
        memory_unmap(address, sizeof(struct window));
        file_close(&channel);
        file_close(&wake);
        return; /* front sees the end of its channel */
    }
    *lane = (struct queue_lane){.queue = q, .is_used = true, .channel = channel, .wake = wake, .window = address};
    lane->watch = loop_watch_new(q->role->loop, channel, q->is_paused ? 0 : LOOP_READABLE, lane_ready, lane);
}
