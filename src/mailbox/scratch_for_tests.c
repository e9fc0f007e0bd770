/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/scratch_for_tests.h"

#include "system/system.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

int scratch_new(void)
{
    /* in memory where that is possible: thousands of syncs cost nothing there */
    char in_memory[] = "/dev/shm/mailbox_test.XXXXXX", on_disk[] = "/tmp/mailbox_test.XXXXXX";
    const char *name = mkdtemp(in_memory);
    if (!name)
        name = mkdtemp(on_disk);
    assert_non_null(name);
    int folder = -1;
    assert_int_equal(folder_open(-1, text_of_terminated(name), &folder), 0);
    return folder;
}

static int remove_one(const char *path, const struct stat *facts not_used, int type not_used,
                      struct FTW *place not_used)
{
    return remove(path);
}

void scratch_free(int *folder)
{
    char link[64], path[256];
    if (*folder < 0)
        return;
    assert_true(snprintf(link, sizeof link, "/proc/self/fd/%d", *folder) > 0);
    ssize_t length = readlink(link, path, sizeof path - 1);
    assert_true(length > 0);
    path[length] = '\0';
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    close(*folder);
    *folder = -1;
}

int scratch_step(int folder, const char *path)
{
    return openat(folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static size_t count(int folder, const char *path, const struct text *octets)
{
    int opened released_by(file_close) = scratch_step(folder, path);
    struct folder_walk *walk released_by(folder_walk_free) = NULL;
    size_t found = 0;
    if (opened < 0)
        return 0;
    assert_int_equal(folder_walk_new(opened, &walk), 0);
    struct text name;
    while (folder_walk_next(walk, &name)) {
        struct buffer content released_by(buffer_done) = buffer_new(16 << 20);
        if (octets && (file_read_whole(opened, name, &content) != 0 || !text_equals(buffer_text(&content), *octets)))
            continue;
        found++;
    }
    return found;
}

size_t scratch_count(int folder, const char *path)
{
    return count(folder, path, NULL);
}

size_t scratch_count_equal(int folder, const char *path, struct text octets)
{
    return count(folder, path, &octets);
}

struct mailbox_delivery *scratch_begin(struct mailbox_store *store, struct mailbox_order order, struct text octets)
{
    order.total = octets.length;
    struct mailbox_delivery *delivery = mailbox_delivery_begin(store, &order);
    mailbox_delivery_write(delivery, octets);
    return delivery;
}

enum mailbox_outcome scratch_deliver(struct mailbox_store *store, struct mailbox_order order, struct text octets)
{
    struct mailbox_delivery *delivery = scratch_begin(store, order, octets);
    mailbox_deliveries_commit(store, &delivery, 1);
    enum mailbox_outcome outcome = mailbox_delivery_outcome(delivery);
    mailbox_delivery_free(&delivery);
    return outcome;
}
