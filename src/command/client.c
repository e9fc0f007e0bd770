/* SPDX-License-Identifier: Apache-2.0 */
#include "command/client.h"

#include "system/system.h"

#include <errno.h>
#include <stdlib.h>

enum { ARENA_LIMIT = 1 << 20, PAIRS_LIMIT = 260, PAGE_ROWS = 500, PAGE_RAW_ROWS = 16, PLACE_LIMIT = 4096, SOCKET_PATH_LIMIT = 107, SLICE_MS = 3000, STANDARD_ERROR = 2 };

enum command_link_result command_connect(struct text control_path, struct command_link *ret_link, int *ret_error)
{
    struct buffer path released_by(buffer_done) = buffer_new(64);
    int channel, folder released_by(file_close) = -1;
    /* an address of a UNIX socket holds 107 octets: through the folder's descriptor any path does */
    struct text name = control_path;
    int result = 0;
    for (size_t at = control_path.length; at > 0 && name.length == control_path.length; at--)
        if (control_path.bytes[at - 1] == '/')
            name = text_after(control_path, at);
    if (control_path.length > SOCKET_PATH_LIMIT) {
        result = folder_open(-1, text_first(control_path, control_path.length - name.length), &folder);
        ignored(buffer_append_format(&path, "/proc/self/fd/%d/%.*s", folder, TEXT_ARGUMENTS(name))); /* too long: nobody there */
        control_path = buffer_text(&path);
    }
    if (!result)
        result = socket_connect_unix(control_path, &channel);
    if (result == 0) {
        *ret_link = (struct command_link){.channel = channel, .self = PEERS_COMMAND, .remote = PEERS_CONTROL};
        return COMMAND_LINK_OK;
    }
    *ret_error = result;
    if (result == ENOENT || result == ECONNREFUSED)
        return COMMAND_LINK_NOBODY;
    return result == EACCES || result == EPERM ? COMMAND_LINK_NOT_PERMITTED : COMMAND_LINK_FAILED;
}

void command_disconnect(struct command_link *link)
{
    file_close(&link->channel);
}

/* As channel_receive, and tells whoever sits at a terminal that there is still somebody to wait for. */
enum channel_result command_receive(int channel, enum peers_role remote, char *bytes, int deadline_ms, struct text *ret_packet,
                                    struct channel_descriptors *ret_files)
{
    for (int waited = 0; waited < deadline_ms;) {
        int slice = (int)smaller((size_t)(deadline_ms - waited), SLICE_MS);
        enum channel_result received = channel_receive(channel, bytes, slice, ret_packet, ret_files);
        if (received != CHANNEL_EMPTY)
            return received;
        waited += slice;
        if (terminal_is(STANDARD_ERROR)) {
            struct buffer line released_by(buffer_done) = buffer_new(128);
            ignored(buffer_append_format(&line, "portiere: waiting for %.*s (%d s)\n", TEXT_ARGUMENTS(peers_role_word(remote)), waited / 1000)); /* fits */
            ignored(file_write_all(STANDARD_ERROR, buffer_text(&line))); /* only tells */
        }
    }
    return CHANNEL_EMPTY;
}

bool command_wait_for_end(struct command_link *link, int deadline_ms)
{
    char *bytes = malloc(CHANNEL_PACKET_LIMIT);
    must(bytes != NULL);
    struct text packet;
    struct channel_descriptors files;
    enum channel_result received;
    while ((received = command_receive(link->channel, link->remote, bytes, deadline_ms, &packet, &files)) == CHANNEL_OK)
        channel_descriptors_close(&files);
    free(bytes);
    return received != CHANNEL_EMPTY;
}

static bool send_ask(struct command_link *link, const struct peers_command_ask *ask, bool *ret_is_too_big)
{
    struct buffer packed released_by(buffer_wipe_done) = buffer_new(PEERS_MESSAGE_LIMIT); /* a password may be in it */
    *ret_is_too_big = !peers_pack(&packed, PEERS_command_ask, ask);
    return !*ret_is_too_big && channel_send(link->channel, buffer_text(&packed), NULL, true) == CHANNEL_OK;
}

/* One packet. False: the conversation goes on; true: *ret_result is how it ended. */
static bool take(struct command_link *link, char *bytes, int deadline_ms, command_row_function *function, void *context, uint64_t *ret_status,
                 struct buffer *message, enum command_ask_result *ret_result)
{
    struct text packet;
    struct channel_descriptors files;
    struct arena arena released_by(arena_done) = arena_new(ARENA_LIMIT);
    struct peers_message got;
    enum channel_result received = command_receive(link->channel, link->remote, bytes, deadline_ms, &packet, &files);
    *ret_result = received == CHANNEL_EMPTY ? COMMAND_ASK_SILENT : COMMAND_ASK_GONE;
    if (received != CHANNEL_OK)
        return true;
    channel_descriptors_close(&files);
    if (peers_unpack(packet, link->remote, link->self, files.count, &arena, &got) != PEERS_OK)
        return true;
    if (got.type == PEERS_command_row && got.command_row.tag == link->tag && function) {
        *ret_result = COMMAND_ASK_STOPPED;
        return !function(context, got.command_row.fields.items, got.command_row.fields.count);
    }
    if (got.type != PEERS_command_end || got.command_end.tag != link->tag)
        return false; /* of an earlier ask, or not for us: a started keeper says more than answers */
    *ret_status = got.command_end.status;
    buffer_clear(message);
    ignored(buffer_append(message, got.command_end.message)); /* a cut message still tells */
    *ret_result = COMMAND_ASK_ENDED;
    return true;
}

enum command_ask_result command_ask(struct command_link *link, struct text name, const struct text *pairs, size_t count, int deadline_ms,
                                    command_row_function *function, void *context, uint64_t *ret_status, struct buffer *message)
{
    struct buffer caller released_by(buffer_done) = buffer_new(64);
    ignored(buffer_append_format(&caller, "command line, user %u", process_own_user())); /* fits; control finds out for itself */
    struct peers_command_ask ask = {.tag = ++link->tag, .right = COMMAND_RIGHT_ADMINISTER, .caller = buffer_text(&caller), .name = name,
                                    .arguments = {.items = (struct text *)(uintptr_t)pairs, .count = count}};
    bool is_too_big;
    if (!send_ask(link, &ask, &is_too_big))
        return is_too_big ? COMMAND_ASK_TOO_BIG : COMMAND_ASK_GONE;
    char *bytes = malloc(CHANNEL_PACKET_LIMIT);
    must(bytes != NULL);
    enum command_ask_result result;
    while (!take(link, bytes, deadline_ms, function, context, ret_status, message, &result))
        continue;
    free(bytes);
    return result;
}

enum command_ask_result command_run(struct command_link *link, const struct command_row *row, const struct text *pairs, size_t count, int deadline_ms,
                                    command_row_function *function, void *context, uint64_t *ret_status, struct buffer *message)
{
    struct buffer name released_by(buffer_done) = buffer_new(64), limit released_by(buffer_done) = buffer_new(24);
    struct buffer place released_by(buffer_done) = buffer_new(PLACE_LIMIT);
    struct text all[PAIRS_LIMIT];
    size_t own = 0;
    must(count + 4 <= PAIRS_LIMIT && command_name_append(&name, row) && buffer_append_number(&limit, row->is_raw ? PAGE_RAW_ROWS : PAGE_ROWS));
    for (; own < count; own++)
        all[own] = pairs[own];
    if (row->pages) {
        all[own++] = TEXT("limit");
        all[own++] = buffer_text(&limit);
    }
    for (;;) {
        size_t with_place = own;
        if (place.length) {
            all[with_place++] = TEXT("after");
            all[with_place++] = buffer_text(&place);
        }
        enum command_ask_result result = command_ask(link, buffer_text(&name), all, with_place, deadline_ms, function, context, ret_status, message);
        if (result != COMMAND_ASK_ENDED || *ret_status != COMMAND_PAGE_MORE || !row->pages)
            return result;
        bool stands_still = text_equals(buffer_text(&place), buffer_text(message));
        buffer_clear(&place);
        if (stands_still || !buffer_append(&place, buffer_text(message)))
            return COMMAND_ASK_GONE; /* it would go on for ever */
    }
}
