/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/store.h"

#include <errno.h>
#include <string.h>

/* From how many files on one sync of the whole file system costs less than one for each, measured on ext4
 * (docs/architecture.md, Deviations). */
enum { SHARED_SYNC_FROM = 3 };
/* When somebody else's dirty pages make it slow, the next commits do without it. */
enum { SLOW_SYNC_MS = 500, SINGLE_SYNCS = 32 };

struct batch {
    struct mailbox_store *store;
    struct mailbox_delivery *const *items;
    size_t count;
};

static bool is_open(const struct mailbox_delivery *delivery)
{
    return delivery->outcome == MAILBOX_UNDECIDED;
}

static size_t count_open(const struct batch *batch)
{
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++)
        count += is_open(batch->items[i]);
    return count;
}

static void fail_all(const struct batch *batch, int error)
{
    for (size_t i = 0; i < batch->count; i++)
        mailbox_delivery_fail(batch->items[i], mailbox_outcome_of_error(error), error);
}

/* Marks the deliveries whose file stands in this folder, whatever its host, size and flags. */
static int find_repeats_in(const struct batch *batch, const struct mailbox_place *place, struct text folder_name)
{
    int folder released_by(file_close) = -1;
    struct folder_walk *walk released_by(folder_walk_free) = NULL;
    int error = folder_open(place->home, folder_name, &folder);
    if (!error)
        error = folder_walk_new(folder, &walk);
    if (error)
        return error == ENOENT ? 0 : error;
    struct text name;
    while (folder_walk_next(walk, &name))
        for (size_t i = 0; i < batch->count; i++) {
            struct mailbox_delivery *delivery = batch->items[i];
            if (is_open(delivery) && delivery->place == place &&
                text_starts_with(name, text_of(delivery->tmp, delivery->prefix_length)))
                delivery->outcome = MAILBOX_ALREADY_THERE;
        }
    return 0;
}

static void find_repeats(const struct batch *batch)
{
    for (struct mailbox_place *place = batch->store->places; place; place = place->next)
        place->has_repeats = false;
    for (size_t i = 0; i < batch->count; i++)
        if (is_open(batch->items[i]) && batch->items[i]->may_be_repeat)
            batch->items[i]->place->has_repeats = true;
    for (struct mailbox_place *place = batch->store->places; place; place = place->next) {
        int error = place->has_repeats ? find_repeats_in(batch, place, TEXT("new")) : 0;
        if (!error && place->has_repeats)
            error = find_repeats_in(batch, place, TEXT("cur"));
        for (size_t i = 0; error && i < batch->count; i++)
            if (batch->items[i]->place == place)
                mailbox_delivery_fail(batch->items[i], mailbox_outcome_of_error(error), error);
    }
}

static const struct mailbox_delivery *find_twin(const struct batch *batch, size_t before,
                                                const struct mailbox_delivery *delivery)
{
    for (size_t i = 0; i < before; i++) {
        const struct mailbox_delivery *earlier = batch->items[i];
        if (is_open(earlier) && earlier->has_fingerprint && earlier->place == delivery->place &&
            text_equals(text_of(earlier->fingerprint, MAILBOX_DIGEST), text_of(delivery->fingerprint, MAILBOX_DIGEST)))
            return earlier;
    }
    return NULL;
}

/* The outcome of one with a twin is set for now, so that its file goes; what it really is shows when the twin's is
 * known. */
static void find_duplicate(const struct batch *batch, size_t index)
{
    struct mailbox_delivery *delivery = batch->items[index];
    struct mailbox_place *place = delivery->place;
    delivery->has_fingerprint = mailbox_digest_end(&delivery->digest, delivery->fingerprint);
    if (!delivery->has_fingerprint)
        return;
    delivery->twin = find_twin(batch, index, delivery);
    if (delivery->twin ||
        mailbox_duplicates_has(&place->duplicates, place->home, delivery->fingerprint, delivery->now_ms))
        mailbox_delivery_fail(delivery, MAILBOX_DUPLICATE, 0);
}

/* Everything but the disk: what came, repeats, quotas, duplicates. */
static void judge(const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i]->taken != batch->items[i]->total)
            mailbox_delivery_fail(batch->items[i], MAILBOX_CUT_SHORT, 0);
    find_repeats(batch);
    for (size_t i = 0; i < batch->count; i++) {
        if (is_open(batch->items[i]) && batch->items[i]->is_over_quota)
            mailbox_delivery_fail(batch->items[i], MAILBOX_FULL, 0);
        if (is_open(batch->items[i]))
            find_duplicate(batch, i);
    }
}

/* Only what is delivered makes the next one a duplicate. */
static void settle_duplicates(const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct mailbox_delivery *delivery = batch->items[i];
        if (delivery->outcome == MAILBOX_DELIVERED && delivery->has_fingerprint)
            mailbox_duplicates_add(&delivery->place->duplicates, delivery->place->home, delivery->fingerprint,
                                   delivery->now_ms);
        if (delivery->twin && delivery->twin->outcome != MAILBOX_DELIVERED &&
            delivery->twin->outcome != MAILBOX_ALREADY_THERE) {
            delivery->outcome = delivery->twin->outcome;
            delivery->error = delivery->twin->error;
        }
    }
}

static bool shares_sync(const struct batch *batch, size_t count)
{
    return count >= SHARED_SYNC_FROM && batch->store->single_syncs == 0;
}

static int sync_system(struct mailbox_store *store)
{
    uint64_t begin = clock_monotonic_ms();
    int error = folder_sync_system(store->root);
    if (clock_monotonic_ms() - begin > SLOW_SYNC_MS)
        store->single_syncs = SINGLE_SYNCS;
    return error;
}

static void sync_data(const struct batch *batch, bool is_shared)
{
    if (is_shared) {
        int error = sync_system(batch->store);
        if (error)
            fail_all(batch, error);
    }
    for (size_t i = 0; i < batch->count; i++) {
        struct mailbox_delivery *delivery = batch->items[i];
        if (!is_open(delivery))
            continue;
        int error = is_shared ? 0 : file_sync_data(delivery->file);
        if (error)
            mailbox_delivery_fail(delivery, mailbox_outcome_of_error(error), error);
    }
}

static void give_names(const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct mailbox_delivery *delivery = batch->items[i];
        if (!is_open(delivery))
            continue;
        struct buffer name released_by(buffer_done) = buffer_new(MAILBOX_NAME - 1);
        must(buffer_append(&name, text_of(delivery->tmp, delivery->base_length)) && buffer_append(&name, TEXT(",S=")) &&
             buffer_append_number(&name, delivery->size));
        int error = file_close_checked(&delivery->file);
        if (!error)
            error = file_rename_new(delivery->place->tmp, mailbox_delivery_tmp(delivery), delivery->place->new,
                                    buffer_text(&name));
        delivery->is_named = !error;
        delivery->place->is_touched |= !error || error == EEXIST;
        if (!error)
            continue;
        ignored(file_remove(delivery->place->tmp, mailbox_delivery_tmp(delivery))); /* else the sweep finds it */
        mailbox_delivery_fail(delivery, error == EEXIST ? MAILBOX_ALREADY_THERE : mailbox_outcome_of_error(error),
                              error == EEXIST ? 0 : error);
    }
}

static int sync_place(const struct mailbox_store *store, const struct mailbox_place *place)
{
    int error = file_sync(place->new);
    if (error || !place->was_made)
        return error;
    const int above[] = {place->home, place->domain, store->root};
    for (size_t i = 0; !error && i < length_of(above); i++)
        error = file_sync(above[i]);
    return error;
}

/* What was found may have been named by a try whose sync never came: it too must be durable before it counts. */
static bool waits_for_names(const struct mailbox_delivery *delivery, const struct mailbox_place *place)
{
    return delivery->place == place && (delivery->is_named || delivery->outcome == MAILBOX_ALREADY_THERE);
}

static void sync_names(const struct batch *batch, bool is_shared)
{
    int shared_error = is_shared ? sync_system(batch->store) : 0;
    for (struct mailbox_place *place = batch->store->places; place; place = place->next) {
        if (!place->is_touched)
            continue;
        int error = is_shared ? shared_error : sync_place(batch->store, place);
        for (size_t i = 0; i < batch->count; i++) {
            struct mailbox_delivery *delivery = batch->items[i];
            if (!waits_for_names(delivery, place))
                continue;
            if (error) {
                delivery->outcome = mailbox_outcome_of_error(error);
                delivery->error = error;
            } else if (delivery->is_named) {
                delivery->outcome = MAILBOX_DELIVERED;
                place->added_octets += delivery->size;
                place->added_messages++;
            }
        }
    }
}

static void count_quotas(struct mailbox_store *store)
{
    for (struct mailbox_place *place = store->places; place; place = place->next) {
        if (place->added_messages)
            mailbox_quota_add(place->home, place->added_octets, place->added_messages);
        place->quota.used += place->added_octets;
        place->added_octets = place->added_messages = 0;
    }
}

void mailbox_deliveries_commit(struct mailbox_store *store, struct mailbox_delivery *const *deliveries, size_t count)
{
    struct batch batch = {.store = store, .items = deliveries, .count = count};
    for (struct mailbox_place *place = store->places; place; place = place->next)
        place->is_touched = false;
    judge(&batch);
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        if (deliveries[i]->outcome == MAILBOX_ALREADY_THERE) {
            deliveries[i]->place->is_touched = true;
            found++;
        }
    size_t written = count_open(&batch);
    bool is_shared =
        shares_sync(&batch, written) || found > 0; /* a found one may stand in cur: one sync for all places */
    if (written > 0)
        sync_data(&batch, shares_sync(&batch, written));
    give_names(&batch);
    sync_names(&batch, is_shared);
    if (store->single_syncs > 0)
        store->single_syncs--;
    count_quotas(store);
    settle_duplicates(&batch);
    for (size_t i = 0; i < count; i++) {
        must(deliveries[i]->outcome != MAILBOX_UNDECIDED);
        mailbox_delivery_unwrite(deliveries[i]);
        if (deliveries[i]->place) {
            deliveries[i]->place->reserved -= deliveries[i]->reserved;
            deliveries[i]->reserved = 0;
        }
    }
}
