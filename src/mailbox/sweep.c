/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/store.h"

enum { LEFT_OVER_MS = 36 * 60 * 60 * 1000 }; /* Maildir's own rule */

static void sweep_tmp(int domain, struct text user, int64_t now_ms)
{
    int home released_by(file_close) = -1, tmp released_by(file_close) = -1;
    struct folder_walk *walk released_by(folder_walk_free) = NULL;
    int error;
    if (mailbox_step_open(domain, user, &home, &error) != MAILBOX_UNDECIDED ||
        mailbox_step_open(home, TEXT("tmp"), &tmp, &error) != MAILBOX_UNDECIDED)
        return;
    if (folder_walk_new(tmp, &walk) != 0)
        return;
    struct text name;
    struct file_facts facts;
    while (folder_walk_next(walk, &name))
        if (file_facts_of(tmp, name, &facts) == 0 && !facts.is_folder && facts.changed_ms + LEFT_OVER_MS < now_ms)
            ignored(file_remove(tmp, name)); /* tomorrow's round tries again */
}

/* Steps into the next domain; false when there is none. */
static bool next_domain(struct mailbox_store *store)
{
    struct text name;
    while (folder_walk_next(store->domains, &name)) {
        int error;
        file_close(&store->swept_domain);
        if (mailbox_step_open(store->root, name, &store->swept_domain, &error) != MAILBOX_UNDECIDED)
            continue;
        if (folder_walk_new(store->swept_domain, &store->users) == 0)
            return true;
    }
    return false;
}

bool mailbox_store_sweep(struct mailbox_store *store, int64_t now_ms)
{
    if (!store->domains && folder_walk_new(store->root, &store->domains) != 0)
        return false;
    for (;;) {
        struct text name;
        if (store->users && folder_walk_next(store->users, &name)) {
            sweep_tmp(store->swept_domain, name, now_ms);
            return true;
        }
        folder_walk_free(&store->users);
        if (!next_domain(store)) {
            file_close(&store->swept_domain);
            folder_walk_free(&store->domains);
            return false;
        }
    }
}
