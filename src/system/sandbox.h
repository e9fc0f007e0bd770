/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox: what a role may still do once it has begun. Landlock decides about files (and TCP, where the kernel can), seccomp about
 * system calls. What is not granted fails with EPERM. Enter before the first thread is made; there is no way back. Our own Landlock
 * constants: headers may be older than the running kernel. */
#ifndef SYSTEM_SANDBOX_H
#define SYSTEM_SANDBOX_H

#include "base/base.h"

enum sandbox_grant { /* bits; memory, descriptors it has, epoll, clocks, signals to itself are always granted */
    SANDBOX_THREADS = 1 << 0,
    SANDBOX_FILES = 1 << 1,    /* open, make, rename, remove beneath the folders given */
    SANDBOX_ACCEPT = 1 << 2,   /* accept on sockets it was given */
    SANDBOX_CONNECT = 1 << 3,  /* new INET sockets, connect */
    SANDBOX_PAIRS = 1 << 4,    /* new pairs of UNIX sockets */
    SANDBOX_MEMFD = 1 << 5,    /* new shared memory */
    SANDBOX_DATAGRAMS = 1 << 6, /* bind and UDP, for the resolver */
};

struct sandbox_folder {
    int folder;       /* an open descriptor */
    bool may_write;
};

struct sandbox {
    unsigned grants;
    const struct sandbox_folder *folders;
    size_t folder_count;
};

struct sandbox_state {
    unsigned landlock; /* ABI in force, 0 = none */
    bool has_seccomp;
};

/* False when seccomp could not be entered at all; Landlock's absence is told by the state. */
must_check bool sandbox_enter(const struct sandbox *sandbox, struct sandbox_state *ret_state);

/* Tests: tries the forbidden things, one by one; returns a line each, "open /etc/shadow: denied". True when every one was denied. */
bool sandbox_prove(struct buffer *b, unsigned grants);

#endif
