/* SPDX-License-Identifier: Apache-2.0 */
/* quota: how much stands in a mailbox. Counted once from the names of its files (S=SIZE, else the file's size) and then
 * kept in `maildirsize` as Maildir++ has it: a first line with the quota, then lines of octets and messages to add up.
 * Dovecot and Courier keep it too; whoever finds it over 5120 octets, of another quota or damaged counts anew. A wrong
 * count is put right by the next one: nothing here is synced. */
#ifndef MAILBOX_QUOTA_H
#define MAILBOX_QUOTA_H

#include "base/base.h"

struct mailbox_quota {
    uint64_t limit; /* 0: not known yet */
    uint64_t used;
};

/* What is used under this limit (not 0), when needed octets are to come. 0 or errno: it could not be counted. */
must_check int mailbox_quota_find(int home, uint64_t limit, uint64_t needed, int64_t now_ms,
                                  struct mailbox_quota *quota);
/* Adds a line, when there is a file to add to. */
void mailbox_quota_add(int home, uint64_t octets, uint64_t messages);

#endif
