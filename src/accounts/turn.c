/* SPDX-License-Identifier: Apache-2.0 */
#include "accounts/turn.h"

#include "settings/network.h"

#include <stdlib.h>
#include <string.h>

enum { FORGET_AFTER = 64 }; /* jobs served; then all that was served counts half */

struct share {
    uint64_t served;
    size_t waiting;
};

struct place {
    void *job;
    struct share *network, *account;
    uint64_t order;
};

struct turns {
    struct place *places;
    size_t count, limit;
    struct map shares; /* "n" network or "a" account, to its struct share */
    uint64_t next_order;
    unsigned since_forgotten;
};

struct turns *turns_new(size_t limit, uint64_t seed)
{
    struct turns *turns = calloc(1, sizeof *turns);
    must(turns != NULL);
    /* two shares a job that waits, and those of the jobs that were served of late */
    *turns = (struct turns){
        .limit = limit, .shares = map_new(4 * limit, seed), .places = calloc(limit, sizeof *turns->places)};
    must(turns->places != NULL);
    return turns;
}

/* Shares that nobody waits in, and (unless all) that were not served of late, go. Keys are copied out: a map is not
 * changed while walked. */
static void forget(struct turns *turns, bool all)
{
    struct map kept = map_new(turns->shares.limit, turns->shares.seed);
    size_t at = 0;
    struct text key;
    void *value;
    while (map_next(&turns->shares, &at, &key, &value)) {
        struct share *share = value;
        share->served = all ? 0 : share->served / 2;
        if (share->waiting || share->served)
            must(map_put(&kept, key, share));
        else
            free(share);
    }
    map_done(&turns->shares);
    turns->shares = kept;
    turns->since_forgotten = 0;
}

void turns_free(struct turns **turns)
{
    if (*turns) {
        size_t at = 0;
        struct text key;
        void *value;
        while (map_next(&(*turns)->shares, &at, &key, &value))
            free(value);
        map_done(&(*turns)->shares);
        free((*turns)->places);
        free(*turns);
    }
    *turns = NULL;
}

static struct share *share_of(struct turns *turns, char kind, struct text name)
{
    struct buffer key released_by(buffer_done) = buffer_new(1 + 2048);
    if (!buffer_append_octet(&key, kind) || !buffer_append(&key, text_first(name, 2000)))
        return NULL;
    struct share *share = map_find(&turns->shares, buffer_text(&key));
    if (share)
        return share;
    share = calloc(1, sizeof *share);
    must(share != NULL);
    if (map_put(&turns->shares, buffer_text(&key), share))
        return share;
    free(share);
    return NULL;
}

bool turns_add(struct turns *turns, struct text network, struct text account, void *job)
{
    if (turns->count == turns->limit)
        return false;
    struct share *n = share_of(turns, 'n', network), *a = share_of(turns, 'a', account);
    if (!n || !a || n->waiting >= larger(turns->limit / 4, 1))
        return false;
    n->waiting++;
    a->waiting++;
    turns->places[turns->count++] =
        (struct place){.job = job, .network = n, .account = a, .order = turns->next_order++};
    return true;
}

static void *leave(struct turns *turns, size_t at)
{
    struct place place = turns->places[at];
    turns->places[at] = turns->places[--turns->count];
    place.network->waiting--;
    place.account->waiting--;
    return place.job;
}

static bool comes_before(const struct place *a, const struct place *b)
{
    uint64_t first = a->network->served + a->account->served, second = b->network->served + b->account->served;
    return first != second ? first < second : a->order < b->order;
}

void *turns_take(struct turns *turns)
{
    size_t best = 0;
    if (turns->count == 0)
        return NULL;
    for (size_t i = 1; i < turns->count; i++)
        if (comes_before(&turns->places[i], &turns->places[best]))
            best = i;
    turns->places[best].network->served++;
    turns->places[best].account->served++;
    void *job = leave(turns, best);
    if (turns->count == 0 || ++turns->since_forgotten >= FORGET_AFTER)
        forget(turns, turns->count == 0);
    return job;
}

bool turns_remove(struct turns *turns, const void *job)
{
    for (size_t i = 0; i < turns->count; i++)
        if (turns->places[i].job == job) {
            leave(turns, i);
            return true;
        }
    return false;
}

size_t turns_waiting(const struct turns *turns)
{
    return turns->count;
}

void *turns_next(const struct turns *turns, size_t *place)
{
    return *place < turns->count ? turns->places[(*place)++].job : NULL;
}

void turn_network_append(struct buffer *b, struct text client)
{
    struct network_address address;
    if (!network_address_parse(client, &address)) {
        buffer_append(b, client);
        return;
    }
    size_t count = network_address_is_v4(&address) ? sizeof address.octets : sizeof address.octets / 2;
    buffer_append_hex(b, text_of((const char *)address.octets, count));
}
