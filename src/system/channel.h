/* SPDX-License-Identifier: Apache-2.0 */
/* channel: packets between two processes of ours (a pair of SOCK_SEQPACKET sockets), with descriptors along where needed.
 * A packet arrives whole or not at all; order is kept. The end of the other process is CHANNEL_CLOSED. */
#ifndef SYSTEM_CHANNEL_H
#define SYSTEM_CHANNEL_H

#include "base/base.h"

enum { CHANNEL_DESCRIPTORS = 4, CHANNEL_PACKET_LIMIT = 164 * 1024 };

enum channel_result {
    CHANNEL_OK,
    CHANNEL_EMPTY,  /* nothing to receive now (non-blocking) */
    CHANNEL_FULL,   /* no room to send now (non-blocking) */
    CHANNEL_CLOSED, /* the other end is gone */
    CHANNEL_FAILED, /* too long, or the kernel refused */
};

struct channel_descriptors {
    int files[CHANNEL_DESCRIPTORS];
    size_t count;
};

/* Both ends, close-on-exec, with room for several packets. 0 or errno. */
must_check int channel_pair(int ret_ends[2]);
/* Waits when is_waiting and the channel is full, ten seconds at most: then it is CHANNEL_FULL. Descriptors are borrowed. */
must_check enum channel_result channel_send(int channel, struct text packet, const struct channel_descriptors *descriptors,
                                            bool is_waiting);
/* bytes has CHANNEL_PACKET_LIMIT octets. deadline_ms: how long to wait, 0 = not at all, -1 = for ever.
 * Descriptors that came are the caller's to close. */
must_check enum channel_result channel_receive(int channel, char *bytes, int deadline_ms, struct text *ret_packet,
                                               struct channel_descriptors *ret_descriptors);
void channel_descriptors_close(struct channel_descriptors *descriptors);

#endif
