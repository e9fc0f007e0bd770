/* SPDX-License-Identifier: Apache-2.0 */
/* scratch_for_tests: a folder of its own for a test of files, and what stands in a mailbox. */
#ifndef MAILBOX_SCRATCH_FOR_TESTS_H
#define MAILBOX_SCRATCH_FOR_TESTS_H

#include "mailbox/mailbox.h"

int scratch_new(void); /* an open folder */
void scratch_free(int *folder);
int scratch_step(int folder, const char *path);     /* opens what is beneath; the caller closes */
size_t scratch_count(int folder, const char *path); /* files in it; 0 when it is not there */
/* The octets of every file in it whose octets equal these. */
size_t scratch_count_equal(int folder, const char *path, struct text octets);

/* A delivery of one message in one piece. */
struct mailbox_delivery *scratch_begin(struct mailbox_store *store, struct mailbox_order order, struct text octets);
/* The same, committed alone: its outcome. */
enum mailbox_outcome scratch_deliver(struct mailbox_store *store, struct mailbox_order order, struct text octets);

#endif
