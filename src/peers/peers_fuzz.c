/* SPDX-License-Identifier: Apache-2.0 */
/* Any octets from any role to any other: unpacked or refused, and what was unpacked packs to the same octets again. */
#include "peers/peers.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 3, ROLES = 12, UNPACK_LIMIT = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD)
        return 0;
    enum peers_role sender = (enum peers_role)(1U << data[0] % ROLES), receiver = (enum peers_role)(1U << data[1] % ROLES);
    struct arena arena released_by(arena_done) = arena_new(UNPACK_LIMIT);
    /* a copy of its own size, so that a read behind it is seen */
    char *exact = malloc(larger(size - HEAD, 1));
    must(exact != NULL);
    memcpy(exact, data + HEAD, size - HEAD);
    struct text packet = text_of(exact, size - HEAD);
    struct peers_message message;
    if (peers_unpack(packet, sender, receiver, data[2] % 4, &arena, &message) == PEERS_OK) {
        struct buffer again released_by(buffer_done) = buffer_new(PEERS_MESSAGE_LIMIT);
        must(peers_may(message.type, sender, receiver) && peers_descriptors(message.type) == data[2] % 4);
        if (packet.length <= PEERS_MESSAGE_LIMIT) /* reads every octet that the message points to */
            must(peers_pack(&again, message.type, (const char *)&message + offsetof(struct peers_message, settings)) && text_equals(buffer_text(&again), packet));
    }
    free(exact);
    return 0;
}
