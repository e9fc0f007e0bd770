/* SPDX-License-Identifier: Apache-2.0 */
/* ticket: proof that an account logged in. The vault makes it, front carries it, the queue checks it: so a front that
 * was taken over can't speak for somebody who did not log in. A ticket is 49 octets: version, session, end of its life,
 * and a MAC (HMAC-SHA256) over these and the account. The account's name does not stand in it: the checker brings the
 * one that the message claims. Times are of the monotonic clock, which all processes of one machine share. Keys are
 * random, die with the vault, and are wiped by ticket_keys_done. */
#ifndef ACCOUNTS_TICKET_H
#define ACCOUNTS_TICKET_H

#include "base/base.h"

enum { TICKET_KEY_LENGTH = 32, TICKET_LENGTH = 49, TICKET_KEYS = 4 };

/* What the queue holds: the newest key first. Older ones stay for sessions that logged in before the vault was
 * restarted. */
struct ticket_keys {
    uint8_t keys[TICKET_KEYS][TICKET_KEY_LENGTH];
    size_t count;
};

struct ticket {
    struct text account; /* its primary address, as login_answer has it */
    uint64_t session;    /* login_ask's */
    uint64_t expires_ms; /* monotonic clock */
};

enum ticket_result {
    TICKET_OK,
    TICKET_FORGED, /* not made with one of our keys for this account, or no ticket at all */
    TICKET_EXPIRED,
};

/* False when key has not TICKET_KEY_LENGTH octets; nothing changed then. A key that is there already is not added
 * again. */
must_check bool ticket_keys_add(struct ticket_keys *keys, struct text key);
void ticket_keys_done(struct ticket_keys *keys);

/* Made with the newest key, of which there must be one. False when the buffer is full. */
must_check bool ticket_make(const struct ticket_keys *keys, const struct ticket *ticket, struct buffer *b);
/* ret_ticket's account is the one given. In constant time as to the MAC. */
must_check enum ticket_result ticket_check(const struct ticket_keys *keys, struct text octets, struct text account,
                                           uint64_t now_ms, struct ticket *ret_ticket);
struct text ticket_result_word(enum ticket_result result);

#endif
