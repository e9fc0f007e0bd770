/* SPDX-License-Identifier: Apache-2.0 */
/* duplicates: has the same message come to this mailbox within 24 hours? The same is: Message-ID, the fields that a
 * reader sees, and every octet of the body; trace fields differ on each way and do not count. What came stands in the
 * mailbox's file `portiere-seen` (time and SHA-256, one line each), read at most once a batch. A message without
 * Message-ID, or with a header over its first piece, is never a duplicate. */
#ifndef MAILBOX_DUPLICATES_H
#define MAILBOX_DUPLICATES_H

#include "base/base.h"

enum { MAILBOX_DIGEST = 32 };

/* One message's digest while it comes. */
struct mailbox_digest {
    void *state; /* NULL: it can't be a duplicate */
};
void mailbox_digest_begin(struct mailbox_digest *digest, struct text first_piece, bool is_whole);
void mailbox_digest_add(struct mailbox_digest *digest, struct text piece); /* all but the first */
must_check bool mailbox_digest_end(struct mailbox_digest *digest, char ret_octets[MAILBOX_DIGEST]);
void mailbox_digest_done(struct mailbox_digest *digest);

/* What has come to one mailbox. */
struct mailbox_duplicates {
    bool is_read;
    size_t count;         /* lines that the file has */
    struct buffer recent; /* the lines that are young enough */
};
bool mailbox_duplicates_has(struct mailbox_duplicates *seen, int home, const char octets[MAILBOX_DIGEST],
                            int64_t now_ms);
void mailbox_duplicates_add(struct mailbox_duplicates *seen, int home, const char octets[MAILBOX_DIGEST],
                            int64_t now_ms);
void mailbox_duplicates_done(struct mailbox_duplicates *seen);

#endif
