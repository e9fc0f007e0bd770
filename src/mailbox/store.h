/* SPDX-License-Identifier: Apache-2.0 */
/* store: what the files of this folder share of the store and of a delivery. */
#ifndef MAILBOX_STORE_H
#define MAILBOX_STORE_H

#include "mailbox/filter.h"
#include "mailbox/place.h"
#include "system/system.h"

enum { MAILBOX_NAME = 256 }; /* NAME_MAX and one */

struct mailbox_store {
    int root;
    char host[MAILBOX_NAME];
    size_t host_length;
    struct mailbox_options options;      /* without the host */
    struct mailbox_place *places;        /* those that a delivery holds */
    uint64_t counter;                    /* of names in tmp */
    unsigned single_syncs;               /* commits that still do without the sync of the whole file system */
    struct folder_walk *domains, *users; /* of the sweep */
    int swept_domain;
};

struct mailbox_delivery {
    struct mailbox_store *store;
    struct mailbox_place *place; /* NULL once it is let go */
    struct text account;         /* owned */
    uint64_t total, taken;       /* octets announced, octets that came */
    uint64_t size;               /* octets in the file */
    uint64_t quota;
    uint64_t reserved; /* of the place's reserved */
    int64_t now_ms;
    bool may_be_repeat, is_over_quota, full_is_permanent;
    bool is_named; /* it stands in new */
    int file;      /* in tmp, while it is written */
    char tmp[MAILBOX_NAME];
    size_t tmp_length, base_length; /* the base is what the final name begins with, and tmp's name too */
    size_t prefix_length;           /* arrival and id: the part of the base that no setting changes */
    struct mailbox_filter filter;
    struct mailbox_digest digest;
    bool has_fingerprint;
    char fingerprint[MAILBOX_DIGEST];    /* the finished digest */
    const struct mailbox_delivery *twin; /* of the same batch, the same message: its outcome decides */
    enum mailbox_outcome outcome;
    int error;
};

/* The first outcome stays. */
void mailbox_delivery_fail(struct mailbox_delivery *delivery, enum mailbox_outcome outcome, int error);
/* Takes the file out of tmp. */
void mailbox_delivery_unwrite(struct mailbox_delivery *delivery);

static inline struct text mailbox_delivery_tmp(const struct mailbox_delivery *delivery)
{
    return text_of(delivery->tmp, delivery->tmp_length);
}

#endif
