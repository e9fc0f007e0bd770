/* SPDX-License-Identifier: Apache-2.0 */
/* remote: the part of route that leads out of this server: routes, relay_hosts, DNS, and what must never be connected
 * to. */
#ifndef ROUTE_REMOTE_H
#define ROUTE_REMOTE_H

#include "route/route.h"

/* All recipients that go by relay_hosts share one destination. No domain and no account is written so. */
#define ROUTE_RELAY_HOSTS TEXT("*relay")

struct route_self {
    const struct settings *settings;
    const struct network_address *own;
    size_t own_count;
};

struct route route_because(enum route_reason reason);
must_check bool route_to_domain(struct arena *arena, struct text domain, const struct route_self *self,
                                struct route *ret_route);
must_check bool route_to_relay_hosts(struct arena *arena, const struct route_self *self, struct route *ret_route);

#endif
