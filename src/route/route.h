/* SPDX-License-Identifier: Apache-2.0 */
/* route: from a recipient, the settings and what the vault says of the address to where its mail goes. Asked at RCPT
 * and again at delivery, so that a change counts for waiting mail too. Pure; what it makes lives in the arena given,
 * texts of the settings are borrowed. Order: the vault's word on our own addresses; a row of routes (first match in the
 * file's order); mode relay; DNS. Mail never goes to ourselves. What a sender chose so is refused; what the
 * administrator wrote down so waits until he mends it. A role that may not read service.listen or never_connect skips
 * what needs them: the relay, which may, asks again by the destination. */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "mail/mail.h"
#include "settings/settings.h"

enum route_kind {
    ROUTE_LATER,   /* can't be told now: try again */
    ROUTE_MAILBOX, /* account, and forwards beside it */
    ROUTE_FORWARD, /* forwards alone; each is routed by itself */
    ROUTE_DNS,     /* the MX hosts of domain; hosts are where to turn when all of them fail (relay_on_failure) */
    ROUTE_HOSTS,   /* hosts, tried in order */
    ROUTE_REFUSED, /* never */
    ROUTE_KINDS,
};

enum route_reason {
    ROUTE_REASON_NONE,
    ROUTE_REASON_UNAVAILABLE,   /* the vault could not say, or said nothing usable */
    ROUTE_REASON_NO_RELAY_HOST, /* mode relay, and relay_hosts is empty */
    ROUTE_REASON_HOST_IS_SELF,  /* each host written down is one of our own listeners */
    ROUTE_REASON_UNKNOWN,       /* nobody has this address (any more) */
    ROUTE_REASON_DISABLED,
    ROUTE_REASON_BAD_DOMAIN,     /* no domain name and no address literal */
    ROUTE_REASON_DOMAIN_IS_SELF, /* our own name or address, and no domain of ours */
    ROUTE_REASON_NEVER_CONNECT,  /* a literal in one of the networks of never_connect */
    ROUTE_REASON_FORWARD_LOOP,
    ROUTE_REASONS,
};

enum { ROUTE_FORWARDS_DEEP = 10 }; /* an alias of an alias of ...: more is a loop */

struct route_host {
    struct text name; /* as written, without brackets; empty for an address literal of the recipient */
    bool is_address;
    struct network_address address;
    uint16_t port;
    uint64_t tls;               /* enum settings_tls_level, decided */
    struct text user, password; /* empty: no log-in */
};

struct route {
    enum route_kind kind;
    enum route_reason reason; /* of LATER and REFUSED */
    struct text destination; /* equal for all recipients that may go together: the account; the domain's key; a word for
                                relay_hosts */
    struct text account;     /* MAILBOX */
    struct text domain;      /* its key: A-labels, lower case; or the literal in brackets; empty for relay_hosts */
    const struct route_host *hosts;
    size_t host_count;
    uint16_t port; /* DNS: of the MX hosts */
    uint64_t tls;  /* DNS: enum settings_tls_level */
    bool has_source;
    struct network_address source;
    uint64_t max_sessions, max_recipients; /* for this destination; recipients 0: no limit */
};

/* What the vault answered (peers.def route_answer), and who we are. */
struct route_question {
    const struct address *recipient;
    enum mail_address_kind kind;
    struct text account;
    size_t forward_count;
    size_t depth;                      /* how many forwards led here */
    const struct network_address *own; /* the machine's addresses; may be NULL */
    size_t own_count;
};

/* False: over the arena's limit. */
must_check bool route_decide(struct arena *arena, const struct route_question *question, const struct settings *s,
                             struct route *ret_route);

/* The same again from a destination of kind DNS or HOSTS, for the relay. False: over the arena's limit. */
must_check bool route_of_destination(struct arena *arena, struct text destination, const struct network_address *own,
                                     size_t own_count, const struct settings *s, struct route *ret_route);

/* A forward that names the recipient again goes nowhere: the caller leaves it out. */
bool route_forward_is_loop(const struct address *recipient, const struct address *forward);

/* Whether an address and port is one of our own listeners; for what DNS found too. */
bool route_is_self(const struct settings *s, const struct network_address *address, uint16_t port,
                   const struct network_address *own, size_t own_count);

struct text route_kind_word(enum route_kind kind);       /* "mailbox" */
struct text route_reason_word(enum route_reason reason); /* "domain-is-self" */
/* LATER and REFUSED as the result of a try. */
struct result route_result(const struct route *route);

#endif
