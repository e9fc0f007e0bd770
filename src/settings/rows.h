/* SPDX-License-Identifier: Apache-2.0 */
/* rows: the typed forms of the rows of tables. Each begins with the row as it was written, so that a table can be
 * walked without knowing its kind. Texts live in the snapshot's arena. */
#ifndef SETTINGS_ROWS_H
#define SETTINGS_ROWS_H

#include "settings/network.h"

struct settings_row {
    struct text text;    /* without the comment, blanks trimmed */
    struct text comment; /* without the "#" */
    size_t line;         /* 0: a default, or unpacked */
    struct text secret;  /* what stands in the file that its password names; only in the snapshot of who needs it */
};

enum settings_listen_role {
    SETTINGS_LISTEN_SMTP,
    SETTINGS_LISTEN_SUBMISSION,
    SETTINGS_LISTEN_SUBMISSIONS,
    SETTINGS_LISTEN_POP3,
    SETTINGS_LISTEN_POP3S,
    SETTINGS_LISTEN_ROLES,
};

/* role address:port [auth=yes/no] [proxy=yes/no] [tls_min=1.2/1.3] [lenient=yes/no] [startup=yes/no] */
struct settings_listen {
    struct settings_row row;
    enum settings_listen_role role;
    bool is_any;                    /* "*": all addresses of both families */
    struct network_address address; /* when !is_any */
    uint16_t port;
    bool offers_auth; /* smtp: no unless auth=yes; the submission roles always */
    bool is_proxied;  /* the PROXY header is mandatory from proxy_hosts */
    bool is_lenient;  /* bare newlines are normalised here */
    bool starts;      /* startup */
    uint64_t tls_min; /* enum settings_tls_version; SETTINGS_TLS_VERSION_WORDS: as tls.min_version says */
};
struct settings_listens {
    const struct settings_listen *rows;
    size_t count;
};

enum settings_client_kind {
    SETTINGS_CLIENT_NETWORK, /* network */
    SETTINGS_CLIENT_HOST,    /* host: a name, forward-confirmed by the one who asks */
    SETTINGS_CLIENT_SELF,    /* the machine's own addresses */
};
/* A row of trusted, access, never_connect, proxy_hosts, allow. */
struct settings_client {
    struct settings_row row;
    enum settings_client_kind kind;
    struct network network;
    struct text host;
};
struct settings_clients {
    const struct settings_client *rows;
    size_t count;
};

/* address[@port] */
struct settings_resolver {
    struct settings_row row;
    struct network_address address;
    uint16_t port;
};
struct settings_resolvers {
    const struct settings_resolver *rows;
    size_t count;
};

/* [user:password@]host[:port] [tls=off|opportunistic|require|verify]; host is a name or an address ([v6] in brackets)
 */
struct settings_host {
    struct text user, password; /* empty: no log-in; password may be "file:NAME" where it is not told */
    struct text host;           /* without brackets */
    bool is_address;
    struct network_address address;
    uint16_t port; /* 25 when not written */
    uint64_t tls;  /* enum settings_tls_level; SETTINGS_TLS_LEVEL_WORDS: as tls_outgoing and tls_policy say */
};
struct settings_relay_host {
    struct settings_row row;
    struct settings_host host;
};
struct settings_relay_hosts {
    const struct settings_relay_host *rows;
    size_t count;
};

/* In the rows of this and the next tables a domain is kept as A-labels in lower case, "*." before it as it was written.
 */
/* domain [user:password@]host[:port] [tls=...] [source=ADDRESS] [max_sessions=N] [max_recipients=N]; domain
 * "*.example.org" takes all below it */
struct settings_route {
    struct settings_row row;
    struct text domain;
    struct settings_host host;
    bool has_source;
    struct network_address source;
    uint64_t max_sessions, max_recipients; /* 0: as the general settings say */
};
struct settings_routes {
    const struct settings_route *rows;
    size_t count;
};

/* source destination [host=[user:password@]host[:port]]
 * [flags=local_recipient,always,authenticated,match_sender,local_sender] */
enum settings_redirect_flag {
    SETTINGS_REDIRECT_LOCAL_RECIPIENT = 1,
    SETTINGS_REDIRECT_ALWAYS = 2, /* regardless of filters */
    SETTINGS_REDIRECT_AUTHENTICATED = 4,
    SETTINGS_REDIRECT_MATCH_SENDER = 8,
    SETTINGS_REDIRECT_LOCAL_SENDER = 16,
};
struct settings_redirect {
    struct settings_row row;
    struct text source; /* an address, a domain, or a regex without its "^" */
    bool is_regex;
    struct text destination; /* with its %%variables%% */
    bool has_host;
    struct settings_host host;
    unsigned flags; /* of enum settings_redirect_flag */
};
struct settings_redirects {
    const struct settings_redirect *rows;
    size_t count;
};

/* domain number: recipient_exceptions, outgoing_rate_exceptions, incoming_rate_exceptions */
struct settings_domain_number {
    struct settings_row row;
    struct text domain; /* "*.example.org" takes all below it */
    uint64_t number;    /* 0: no limit */
};
struct settings_domain_numbers {
    const struct settings_domain_number *rows;
    size_t count;
};

/* domain level */
struct settings_tls_rule {
    struct settings_row row;
    struct text domain;
    uint64_t level; /* enum settings_tls_level */
};
struct settings_tls_rules {
    const struct settings_tls_rule *rows;
    size_t count;
};

/* name certificate-file key-file; name "*" is the default certificate */
struct settings_certificate {
    struct settings_row row;
    struct text name; /* empty for "*" */
    struct text certificate, key;
};
struct settings_certificates {
    const struct settings_certificate *rows;
    size_t count;
};

/* zone [answers=127.0.0.2,127.0.0.4-11] [list=block|allow] [kind=address|domain] # comment shown to the client */
struct settings_zone {
    struct settings_row row;
    struct text zone;
    const struct network *answers; /* none: every answer of 127.0.0.0/8 but 127.255.255.0/24 counts */
    size_t answer_count;
    bool is_allow;
    bool is_domain;
};
struct settings_zones {
    const struct settings_zone *rows;
    size_t count;
};

enum settings_bypass_kind {
    SETTINGS_BYPASS_ANY, /* address, domain or IP anywhere */
    SETTINGS_BYPASS_SENDER,
    SETTINGS_BYPASS_RECIPIENT,
    SETTINGS_BYPASS_ADDRESS, /* i: */
    SETTINGS_BYPASS_HOST,    /* a: */
    SETTINGS_BYPASS_ZONE,    /* w: */
    SETTINGS_BYPASS_FILE,    /* f: */
    SETTINGS_BYPASS_TRUSTED, /* t: */
    SETTINGS_BYPASS_KINDS,
};
/* [type:]value [until=YYYY-MM-DD]; also local_sender_exceptions */
struct settings_bypass {
    struct settings_row row;
    enum settings_bypass_kind kind;
    struct text value; /* an address, a domain, a host name, a zone, a file's name */
    bool has_network;  /* ANY, ADDRESS: network is set */
    struct network network;
    bool has_until;
    int64_t until_ms; /* wall time of the end of that day, UTC */
};
struct settings_bypasses {
    const struct settings_bypass *rows;
    size_t count;
};

/* accept|reject mask; mask may begin or end with "*" */
struct settings_helo_filter {
    struct settings_row row;
    bool is_accept;
    struct text mask;
};
struct settings_helo_filters {
    const struct settings_helo_filter *rows;
    size_t count;
};

/* account [messages=N] [recipients=N] [new_recipients=N]; account is a local address or a trusted client's address */
struct settings_account_limit {
    struct settings_row row;
    struct text account;
    bool has_messages, has_recipients, has_new_recipients;
    uint64_t messages, recipients, new_recipients; /* 0: no limit */
};
struct settings_account_limits {
    const struct settings_account_limit *rows;
    size_t count;
};

#endif
