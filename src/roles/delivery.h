/* SPDX-License-Identifier: Apache-2.0 */
/* delivery: the numbers that the queue and those who deliver for it (mailbox, relay) must agree on. The queue makes one
 * window for each of them, a memfd of slots, and hands it over in the message `window`; `deliver` and `body_part` say
 * what stands in a slot. The octets are the queue's: the receiver only reads them, and the slot is its own until it has
 * answered `delivered`. */
#ifndef ROLES_DELIVERY_H
#define ROLES_DELIVERY_H

enum {
    DELIVERY_SLOT = 64 * 1024, /* octets of a body that stand in the window at a time */
    DELIVERY_SLOTS_MAILBOX = 256, /* one turn syncs twice whatever it holds: measured, 256 a turn deliver twice what 64 do */
    DELIVERY_SLOTS_RELAY = 256,
};

#endif
