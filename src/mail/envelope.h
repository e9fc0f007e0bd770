/* SPDX-License-Identifier: Apache-2.0 */
/* envelope: what travels beside a message: sender, recipients with their DSN parameters (RFC 3461), body kind, and where the message came from.
 * Front packs it, the queue stores it, relay and mailbox read it. Packed form: a version octet, then fields with their lengths; every
 * reader treats it as a stranger's bytes. Unpacked texts point into the packed octets; the recipients stand in the arena. */
#ifndef MAIL_ENVELOPE_H
#define MAIL_ENVELOPE_H

#include "mail/address.h"

enum envelope_body { ENVELOPE_7BIT, ENVELOPE_8BITMIME, ENVELOPE_BINARYMIME };
enum envelope_return { ENVELOPE_RETURN_UNSET, ENVELOPE_RETURN_FULL, ENVELOPE_RETURN_HEADERS };

enum envelope_notify { /* bits; none set: the default of RFC 3461 section 4.1 */
    ENVELOPE_NOTIFY_NEVER = 1,
    ENVELOPE_NOTIFY_SUCCESS = 2,
    ENVELOPE_NOTIFY_FAILURE = 4,
    ENVELOPE_NOTIFY_DELAY = 8,
};

struct envelope_recipient {
    struct address address;
    struct text original; /* ORCPT, decoded: "rfc822;a@b"; empty when absent */
    unsigned notify;      /* enum envelope_notify bits */
};

struct envelope {
    struct address sender;
    struct envelope_recipient *recipients;
    size_t recipient_count;
    enum envelope_body body;
    bool is_utf8;            /* SMTPUTF8 was given */
    enum envelope_return ret;
    struct text envid;       /* decoded */
    int64_t arrived_ms;      /* wall clock */
    struct text session;     /* session id of front, for the log */
    struct text client;      /* its address, "127.0.0.2" or "2001:db8::1" */
    struct text helo;
    struct text login;       /* account that logged in, empty: none */
    struct text authorised;  /* "auth", "trusted", "pop", or empty */
    struct text listener;    /* "smtp", "submission", "submissions", or "local" for our own reports */
};

bool envelope_pack(struct buffer *b, const struct envelope *e); /* false: the buffer is full */
must_check bool envelope_unpack(struct text packed, struct arena *arena, struct envelope *ret_envelope);

/* One recipient, packed as in an envelope: for the messages that carry more recipients than one envelope holds. */
bool envelope_pack_recipient(struct buffer *b, const struct envelope_recipient *r); /* false: the buffer is full */
must_check bool envelope_take_recipient(struct text *rest, struct envelope_recipient *ret_recipient);

#endif
