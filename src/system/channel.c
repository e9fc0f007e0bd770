/* SPDX-License-Identifier: Apache-2.0 */
#include "system/channel.h"
#include "system/clock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_SIZE = 1 << 20, SEND_MOST_MS = 10000 };

int channel_pair(int ret_ends[2])
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return errno;
    int size = BUFFER_SIZE;
    for (int i = 0; i < 2; i++)
        if (setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
            setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size); /* the system's limit then counts */
    ret_ends[0] = ends[0];
    ret_ends[1] = ends[1];
    return 0;
}

static bool wait_for(int channel, short what, int deadline_ms)
{
    struct pollfd p = {.fd = channel, .events = what};
    int ready;
    do
        ready = poll(&p, 1, deadline_ms);
    while (ready < 0 && errno == EINTR && deadline_ms < 0);
    return ready > 0;
}

enum channel_result channel_send(int channel, struct text packet, const struct channel_descriptors *descriptors, bool is_waiting)
{
    must(packet.length <= CHANNEL_PACKET_LIMIT);
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * CHANNEL_DESCRIPTORS)];
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)packet.bytes, .iov_len = packet.length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptors && descriptors->count) {
        size_t size = sizeof(int) * descriptors->count;
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(header), descriptors->files, size);
    }
    uint64_t until = is_waiting ? clock_monotonic_ms() + SEND_MOST_MS : 0;
    for (;;) {
        ssize_t sent = sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0)
            return CHANNEL_OK;
        if (errno == EINTR)
            continue;
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
            return CHANNEL_CLOSED;
        if (errno != EAGAIN && errno != ENOBUFS)
            return CHANNEL_FAILED;
        if (!is_waiting || clock_monotonic_ms() >= until)
            return CHANNEL_FULL;
        ignored(wait_for(channel, POLLOUT, 1000)); /* tried again in any case; a dead end then answers EPIPE */
    }
}

static void take_descriptors(struct msghdr *message, struct channel_descriptors *ret_descriptors)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int file;
            memcpy(&file, CMSG_DATA(header) + i * sizeof(int), sizeof file);
            if (ret_descriptors->count < CHANNEL_DESCRIPTORS)
                ret_descriptors->files[ret_descriptors->count++] = file;
            else
                close(file);
        }
    }
}

enum channel_result channel_receive(int channel, char *bytes, int deadline_ms, struct text *ret_packet,
                                    struct channel_descriptors *ret_descriptors)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * CHANNEL_DESCRIPTORS)];
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = CHANNEL_PACKET_LIMIT};
    struct channel_descriptors descriptors = {.count = 0};
    for (;;) {
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t got = recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN) {
            if (deadline_ms == 0 || !wait_for(channel, POLLIN, deadline_ms))
                return CHANNEL_EMPTY;
            continue;
        }
        if (got < 0)
            return errno == ECONNRESET ? CHANNEL_CLOSED : CHANNEL_FAILED;
        take_descriptors(&message, &descriptors);
        if (got == 0 && descriptors.count == 0)
            return CHANNEL_CLOSED; /* we send no empty packets */
        if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
            channel_descriptors_close(&descriptors);
            return CHANNEL_FAILED;
        }
        *ret_packet = text_of(bytes, (size_t)got);
        *ret_descriptors = descriptors;
        return CHANNEL_OK;
    }
}

void channel_descriptors_close(struct channel_descriptors *descriptors)
{
    for (size_t i = 0; i < descriptors->count; i++)
        close(descriptors->files[i]);
    descriptors->count = 0;
}
