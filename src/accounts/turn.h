/* SPDX-License-Identifier: Apache-2.0 */
/* turn: who is served next where many wait for few: password checks. Each job belongs to a client network and to an
 * account; the next is the one whose network and account together were served least of late, then the one that waited
 * longest. So neither one client with a thousand guesses nor a thousand clients guessing at one account keep the others
 * waiting. A network may fill a quarter of the places. Jobs are borrowed. Pure. */
#ifndef ACCOUNTS_TURN_H
#define ACCOUNTS_TURN_H

#include "base/base.h"

struct turns;

struct turns *turns_new(size_t limit, uint64_t seed);
void turns_free(struct turns **turns);

/* False when there is no place. job is not NULL. */
must_check bool turns_add(struct turns *turns, struct text network, struct text account, void *job);
void *turns_take(struct turns *turns); /* NULL when nobody waits */
bool turns_remove(struct turns *turns, const void *job);
size_t turns_waiting(const struct turns *turns);
/* Walks those that wait, in no order: start with *place = 0; NULL at the end. Nothing may be added or taken meanwhile.
 */
void *turns_next(const struct turns *turns, size_t *place);

/* The network of a client's address: an IPv4 address, the first 64 bits of an IPv6 one; what is no address stands for
 * itself. */
void turn_network_append(struct buffer *b, struct text client);

#endif
