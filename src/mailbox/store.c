/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MODE = 0600, HOST_LIMIT = 100, RETURN_PATH_LIMIT = 1024 };

struct mailbox_store *mailbox_store_new(int folder)
{
    struct mailbox_store *store = calloc(1, sizeof *store);
    must(store != NULL);
    store->root = folder;
    store->swept_domain = -1;
    mailbox_store_options(store, &(struct mailbox_options){.host = TEXT("localhost")});
    return store;
}

void mailbox_store_free(struct mailbox_store **store)
{
    if (*store) {
        must((*store)->places == NULL);
        folder_walk_free(&(*store)->users);
        folder_walk_free(&(*store)->domains);
        file_close(&(*store)->swept_domain);
        free(*store);
    }
    *store = NULL;
}

void mailbox_store_options(struct mailbox_store *store, const struct mailbox_options *options)
{
    struct buffer host released_by(buffer_done) = buffer_new(HOST_LIMIT);
    mailbox_append_name(&host, options->host); /* a long one is cut */
    store->options = *options;
    store->options.host = TEXT_NONE;
    store->host_length = host.length;
    if (host.length)
        memcpy(store->host, host.bytes, host.length);
}

void mailbox_delivery_fail(struct mailbox_delivery *delivery, enum mailbox_outcome outcome, int error)
{
    if (delivery->outcome != MAILBOX_UNDECIDED)
        return;
    delivery->outcome = outcome;
    delivery->error = error;
}

static struct mailbox_place *find_place(struct mailbox_store *store, struct text account)
{
    for (struct mailbox_place *place = store->places; place; place = place->next)
        if (text_equals(place->account, account))
            return place;
    return NULL;
}

static void take_place(struct mailbox_store *store, struct mailbox_delivery *delivery)
{
    struct mailbox_place *place = find_place(store, delivery->account);
    int error = 0;
    if (!place) {
        enum mailbox_outcome outcome = mailbox_place_open(store->root, delivery->account, &place, &error);
        if (outcome != MAILBOX_UNDECIDED) {
            mailbox_delivery_fail(delivery, outcome, error);
            return;
        }
        place->next = store->places;
        store->places = place;
    }
    place->users++;
    delivery->place = place;
}

static void leave_place(struct mailbox_store *store, struct mailbox_delivery *delivery)
{
    struct mailbox_place *place = delivery->place;
    delivery->place = NULL;
    if (!place)
        return;
    place->reserved -= delivery->reserved;
    if (--place->users > 0)
        return;
    struct mailbox_place **at = &store->places;
    while (*at != place)
        at = &(*at)->next;
    *at = place->next;
    mailbox_place_free(&place);
}

/* A message that may stand there already is judged by its quota only when that is known to be untrue. */
static void reserve(struct mailbox_delivery *delivery)
{
    struct mailbox_place *place = delivery->place;
    if (delivery->quota == 0)
        return;
    int error = mailbox_quota_find(place->home, delivery->quota, delivery->total, delivery->now_ms, &place->quota);
    if (error) {
        mailbox_delivery_fail(delivery, mailbox_outcome_of_error(error), error);
        return;
    }
    uint64_t used = place->quota.used + place->reserved;
    delivery->is_over_quota = used >= delivery->quota || delivery->total > delivery->quota - used;
    if (delivery->is_over_quota && !delivery->may_be_repeat)
        mailbox_delivery_fail(delivery, MAILBOX_FULL, 0);
    if (delivery->is_over_quota)
        return;
    delivery->reserved = delivery->total;
    place->reserved += delivery->total;
}

/* SECONDS.M<microseconds>Q<id>.HOST, as Maildir wants it; in tmp with a number of ours behind it. */
static void make_name(struct mailbox_store *store, struct mailbox_delivery *delivery, const struct mailbox_order *order)
{
    struct buffer b released_by(buffer_done) = buffer_new(MAILBOX_NAME - 1);
    uint64_t arrived = order->arrived_ms > 0 ? (uint64_t)order->arrived_ms : 0;
    bool fits = buffer_append_format(&b, "%llu.M%uQ%016llx.", (unsigned long long)(arrived / 1000),
                                     (unsigned)(arrived % 1000 * 1000), (unsigned long long)order->id);
    delivery->prefix_length = b.length;
    fits &= buffer_append(&b, text_of(store->host, store->host_length));
    delivery->base_length = b.length;
    fits &= buffer_append_format(&b, "-%llu", (unsigned long long)++store->counter);
    must(fits); /* the host is cut so that it does */
    memcpy(delivery->tmp, b.bytes, b.length);
    delivery->tmp_length = b.length;
}

static void open_file(struct mailbox_delivery *delivery)
{
    struct text name = mailbox_delivery_tmp(delivery);
    int flags = O_WRONLY | O_CREAT | O_EXCL;
    int error = file_open(delivery->place->tmp, name, flags, FILE_MODE, &delivery->file);
    if (error == EEXIST) { /* a dead process of ours has left it: no living one uses the number */
        error = file_remove(delivery->place->tmp, name);
        if (!error)
            error = file_open(delivery->place->tmp, name, flags, FILE_MODE, &delivery->file);
    }
    if (error)
        mailbox_delivery_fail(delivery, mailbox_outcome_of_error(error), error);
}

static void write_octets(void *context, struct text octets)
{
    struct mailbox_delivery *delivery = context;
    if (octets.length == 0 || delivery->outcome != MAILBOX_UNDECIDED)
        return;
    int error = file_write_all(delivery->file, octets);
    if (error)
        mailbox_delivery_fail(delivery, mailbox_outcome_of_error(error), error);
    else
        delivery->size += octets.length;
}

static void write_return_path(struct mailbox_delivery *delivery, const struct address *sender)
{
    struct buffer line released_by(buffer_done) = buffer_new(RETURN_PATH_LIMIT);
    bool fits = buffer_append(&line, TEXT("Return-Path: <"));
    address_append(&line, sender);
    fits &= buffer_append(&line, TEXT(">\r\n")) && !line.is_full;
    if (fits)
        write_octets(delivery, buffer_text(&line));
}

struct mailbox_delivery *mailbox_delivery_begin(struct mailbox_store *store, const struct mailbox_order *order)
{
    struct mailbox_delivery *delivery = calloc(1, sizeof *delivery);
    char *account = malloc(larger(order->account.length, 1));
    must(delivery != NULL && account != NULL);
    memcpy(account, order->account.bytes, order->account.length);
    delivery->store = store;
    delivery->account = (struct text){.bytes = account, .length = order->account.length};
    delivery->total = order->total;
    delivery->quota = order->quota;
    delivery->now_ms = order->now_ms;
    delivery->may_be_repeat = order->may_be_repeat;
    delivery->full_is_permanent = store->options.full_is_permanent;
    delivery->file = -1;
    take_place(store, delivery);
    if (delivery->outcome == MAILBOX_UNDECIDED)
        reserve(delivery);
    make_name(store, delivery, order);
    if (delivery->outcome == MAILBOX_UNDECIDED)
        open_file(delivery);
    if (delivery->outcome == MAILBOX_UNDECIDED && store->options.adds_return_path)
        write_return_path(delivery, &order->sender);
    return delivery;
}

void mailbox_delivery_write(struct mailbox_delivery *delivery, struct text octets)
{
    if (delivery->outcome != MAILBOX_UNDECIDED)
        return;
    if (octets.length > delivery->total - delivery->taken) { /* more than announced is no message of ours */
        mailbox_delivery_fail(delivery, MAILBOX_CUT_SHORT, 0);
        return;
    }
    if (delivery->store->options.deletes_duplicates && delivery->taken == 0)
        mailbox_digest_begin(&delivery->digest, octets, octets.length == delivery->total);
    else
        mailbox_digest_add(&delivery->digest, octets);
    delivery->taken += octets.length;
    mailbox_filter_take(&delivery->filter, octets, write_octets, delivery);
    if (delivery->taken == delivery->total)
        mailbox_filter_end(&delivery->filter, write_octets, delivery);
}

void mailbox_delivery_unwrite(struct mailbox_delivery *delivery)
{
    if (delivery->file < 0)
        return;
    file_close(&delivery->file);
    ignored(file_remove(delivery->place->tmp, mailbox_delivery_tmp(delivery))); /* else the sweep finds it */
}

void mailbox_delivery_free(struct mailbox_delivery **delivery)
{
    struct mailbox_delivery *gone = *delivery;
    *delivery = NULL;
    if (!gone)
        return;
    mailbox_delivery_unwrite(gone);
    mailbox_digest_done(&gone->digest);
    leave_place(gone->store, gone);
    free((void *)(uintptr_t)gone->account.bytes);
    free(gone);
}
