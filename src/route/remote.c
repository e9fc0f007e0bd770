/* SPDX-License-Identifier: Apache-2.0 */
#include "route/remote.h"

/* --- never to ourselves
 * -------------------------------------------------------------------------------------------------------------- */

static bool is_withheld(const struct settings *s, enum settings_key key)
{
    return s->withheld[key] != 0;
}

static bool takes_mail(enum settings_listen_role role)
{
    switch (role) {
    case SETTINGS_LISTEN_SMTP:
    case SETTINGS_LISTEN_SUBMISSION:
    case SETTINGS_LISTEN_SUBMISSIONS:
        return true;
    case SETTINGS_LISTEN_POP3:
    case SETTINGS_LISTEN_POP3S:
    case SETTINGS_LISTEN_ROLES:
        return false;
    }
    return false;
}

static bool is_own(const struct network_address *address, const struct network_address *own, size_t own_count)
{
    if (network_address_is_loopback(address))
        return true;
    for (size_t i = 0; i < own_count; i++)
        if (network_address_equals(&own[i], address))
            return true;
    return false;
}

bool route_is_self(const struct settings *s, const struct network_address *address, uint16_t port,
                   const struct network_address *own, size_t own_count)
{
    if (is_withheld(s, SETTINGS_KEY_service_listen))
        return false;
    for (size_t i = 0; i < s->service_listen.count; i++) {
        const struct settings_listen *row = &s->service_listen.rows[i];
        if (!takes_mail(row->role) || row->port != port)
            continue;
        if (row->is_any ? is_own(address, own, own_count) : network_address_equals(&row->address, address))
            return true;
    }
    return false;
}

static bool listens_on(const struct settings *s, uint16_t port)
{
    if (is_withheld(s, SETTINGS_KEY_service_listen))
        return false;
    for (size_t i = 0; i < s->service_listen.count; i++)
        if (takes_mail(s->service_listen.rows[i].role) && s->service_listen.rows[i].port == port)
            return true;
    return false;
}

/* Something else may listen on another port of the same machine: a filter, say. */
static bool host_is_self(const struct settings_host *host, const struct route_self *self)
{
    if (host->is_address)
        return route_is_self(self->settings, &host->address, host->port, self->own, self->own_count);
    return text_equals_ignoring_case(host->host, self->settings->service_hostname) &&
           listens_on(self->settings, host->port);
}

/* --- how far TLS must go
 * --------------------------------------------------------------------------------------------------------------- */

static uint64_t tls_of(const struct settings *s, struct text name)
{
    for (size_t i = 0; i < s->advanced_tls_policy.count; i++)
        if (settings_domain_matches(s->advanced_tls_policy.rows[i].domain, name))
            return s->advanced_tls_policy.rows[i].level;
    return s->advanced_tls_outgoing;
}

static struct route_host host_of(const struct settings_host *host, const struct settings *s)
{
    return (struct route_host){
        .name = host->host,
        .is_address = host->is_address,
        .address = host->address,
        .port = host->port,
        .tls = host->tls == SETTINGS_TLS_LEVEL_WORDS ? tls_of(s, host->host) : host->tls,
        .user = host->user,
        .password = host->password,
    };
}

/* --- by what the administrator wrote down
 * ---------------------------------------------------------------------------------------------- */

/* The relay hosts that are not ourselves and give at least that much TLS. */
static bool relay_hosts_gather(struct arena *arena, const struct route_self *self, uint64_t tls,
                               const struct route_host **ret_hosts, size_t *ret_count)
{
    const struct settings_relay_hosts *rows = &self->settings->delivery_relay_hosts;
    struct route_host *hosts = arena_take_array(arena, larger(rows->count, 1), sizeof(*hosts));
    if (!hosts)
        return false;
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct route_host host = host_of(&rows->rows[i].host, self->settings);
        /* opportunistic is a wish, not a demand */
        const bool is_enough = tls <= SETTINGS_TLS_LEVEL_OPPORTUNISTIC || host.tls >= tls;
        if (is_enough && !host_is_self(&rows->rows[i].host, self))
            hosts[count++] = host;
    }
    *ret_hosts = hosts;
    *ret_count = count;
    return true;
}

bool route_to_relay_hosts(struct arena *arena, const struct route_self *self, struct route *ret_route)
{
    const struct settings *s = self->settings;
    if (s->delivery_relay_hosts.count == 0) {
        *ret_route = route_because(ROUTE_REASON_NO_RELAY_HOST);
        return true;
    }
    struct route route = {
        .kind = ROUTE_HOSTS,
        .destination = ROUTE_RELAY_HOSTS,
        .max_sessions = s->service_max_outgoing_per_destination,
        .max_recipients = s->advanced_max_recipients_client,
    };
    if (!relay_hosts_gather(arena, self, SETTINGS_TLS_LEVEL_OFF, &route.hosts, &route.host_count))
        return false;
    *ret_route = route.host_count ? route : route_because(ROUTE_REASON_HOST_IS_SELF);
    return true;
}

static uint64_t recipients_of(const struct settings *s, struct text domain)
{
    for (size_t i = 0; i < s->advanced_recipient_exceptions.count; i++)
        if (settings_domain_matches(s->advanced_recipient_exceptions.rows[i].domain, domain))
            return s->advanced_recipient_exceptions.rows[i].number;
    return s->advanced_max_recipients_client;
}

static const struct settings_route *row_of(const struct settings *s, struct text domain)
{
    for (size_t i = 0; i < s->delivery_routes.count; i++)
        if (settings_domain_matches(s->delivery_routes.rows[i].domain, domain))
            return &s->delivery_routes.rows[i];
    return NULL;
}

static bool route_by_row(struct arena *arena, const struct settings_route *row, const struct route_self *self,
                         struct route *route)
{
    if (host_is_self(&row->host, self)) {
        *route = route_because(ROUTE_REASON_HOST_IS_SELF);
        return true;
    }
    struct route_host *host = arena_take(arena, sizeof(*host));
    if (!host)
        return false;
    *host = host_of(&row->host, self->settings);
    /* What tls_policy demands for the domain holds by whichever host it goes. */
    if (row->host.tls == SETTINGS_TLS_LEVEL_WORDS)
        host->tls = larger(host->tls, tls_of(self->settings, route->domain));
    route->kind = ROUTE_HOSTS;
    route->hosts = host;
    route->host_count = 1;
    route->has_source = row->has_source;
    route->source = row->source;
    if (row->max_sessions)
        route->max_sessions = row->max_sessions;
    if (row->max_recipients)
        route->max_recipients = row->max_recipients;
    return true;
}

/* --- by the recipient's domain
 * ------------------------------------------------------------------------------------------------------------ */

/* "[192.0.2.1]", "[IPv6:2001:db8::1]": RFC 5321 section 4.1.3 */
static bool literal_parse(struct text domain, struct network_address *ret_address)
{
    struct text inner = domain;
    if (!text_take_octet(&inner, '[') || !text_ends_with(inner, TEXT("]")))
        return false;
    inner.length--;
    const bool is_v6 = text_take_prefix_ignoring_case(&inner, TEXT("IPv6:"));
    return text_has_octet(inner, ':') == is_v6 && !text_has_octet(inner, '[') &&
           network_address_parse(inner, ret_address);
}

static bool key_make(struct arena *arena, struct text domain, bool *ret_is_valid, struct text *ret_key)
{
    struct buffer key released_by(buffer_done) = buffer_new(1024);
    *ret_is_valid = !text_is_empty(domain) && domain_append_key(&key, domain);
    return !*ret_is_valid || arena_copy(arena, buffer_text(&key), ret_key);
}

static bool route_to_literal(struct arena *arena, const struct network_address *address, const struct route_self *self,
                             struct route *route)
{
    const struct settings *s = self->settings;
    if (!is_withheld(s, SETTINGS_KEY_delivery_never_connect) &&
        settings_clients_contain(&s->delivery_never_connect, address)) {
        *route = route_because(ROUTE_REASON_NEVER_CONNECT);
        return true;
    }
    struct route_host *host = arena_take(arena, sizeof(*host));
    if (!host)
        return false;
    *host = (struct route_host){
        .is_address = true, .address = *address, .port = (uint16_t)s->delivery_port, .tls = s->advanced_tls_outgoing};
    route->kind = ROUTE_HOSTS;
    route->hosts = host;
    route->host_count = 1;
    return true;
}

static bool route_by_dns(struct arena *arena, const struct route_self *self, struct route *route)
{
    const struct settings *s = self->settings;
    route->kind = ROUTE_DNS;
    route->port = (uint16_t)s->delivery_port;
    route->tls = tls_of(s, route->domain);
    if (!s->delivery_relay_on_failure)
        return true;
    return relay_hosts_gather(arena, self, route->tls, &route->hosts, &route->host_count);
}

bool route_to_domain(struct arena *arena, struct text domain, const struct route_self *self, struct route *ret_route)
{
    const struct settings *s = self->settings;
    struct network_address address;
    const bool is_literal = literal_parse(domain, &address);
    bool is_valid = is_literal;
    struct text key;
    if (is_literal ? !arena_copy(arena, domain, &key) : !key_make(arena, domain, &is_valid, &key))
        return false;
    if (!is_valid) {
        *ret_route = route_because(ROUTE_REASON_BAD_DOMAIN);
        return true;
    }
    struct route route = {
        .destination = key,
        .domain = key,
        .max_sessions = s->service_max_outgoing_per_destination,
        .max_recipients = recipients_of(s, key),
    };
    const struct settings_route *row = row_of(s, key);
    const bool is_own_name = is_literal
                                 ? route_is_self(s, &address, (uint16_t)s->delivery_port, self->own, self->own_count)
                                 : text_equals_ignoring_case(key, s->service_hostname);
    if (!row && is_own_name) {
        *ret_route = route_because(ROUTE_REASON_DOMAIN_IS_SELF);
        return true;
    }
    if (!row && s->delivery_mode == SETTINGS_DELIVERY_MODE_RELAY)
        return route_to_relay_hosts(arena, self, ret_route);
    const bool fits = row          ? route_by_row(arena, row, self, &route)
                      : is_literal ? route_to_literal(arena, &address, self, &route)
                                   : route_by_dns(arena, self, &route);
    if (fits)
        *ret_route = route;
    return fits;
}
