/* SPDX-License-Identifier: Apache-2.0 */
/* place: one account's mailbox, held open while deliveries into it are under way. Each step down to it is opened
 * without following a link and must be a folder of our own user; what is missing is made (0700). Not kept longer than a
 * batch or one long delivery: the mailbox may be moved or removed at any time. */
#ifndef MAILBOX_PLACE_H
#define MAILBOX_PLACE_H

#include "mailbox/duplicates.h"
#include "mailbox/mailbox.h"
#include "mailbox/quota.h"

struct mailbox_place {
    struct mailbox_place *next;
    struct text account;        /* owned */
    size_t users;               /* deliveries that hold it */
    int domain, home, tmp, new; /* domain: -1 unless was_made */
    bool was_made;              /* folders above tmp and new must be made durable too */
    struct mailbox_quota quota;
    uint64_t reserved; /* octets of deliveries under way */
    struct mailbox_duplicates duplicates;
    /* the present commit's */
    bool is_touched, has_repeats;
    uint64_t added_octets, added_messages;
};

/* The place is the caller's, to be freed; ret_error is set when the kernel had a reason. */
must_check enum mailbox_outcome mailbox_place_open(int root, struct text account, struct mailbox_place **ret_place,
                                                   int *ret_error);
void mailbox_place_free(struct mailbox_place **place);
/* Opens a folder one step down; NOT_SAFE for a link, a foreign owner or something else. */
must_check enum mailbox_outcome mailbox_step_open(int parent, struct text name, int *ret_folder, int *ret_error);
/* What an errno means to a delivery. */
enum mailbox_outcome mailbox_outcome_of_error(int error);

#endif
