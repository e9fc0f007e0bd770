/* SPDX-License-Identifier: Apache-2.0 */
/* peers: the messages between roles. peers.def is the only place where they are written down; the structs, the packing, the
 * checks on receipt and the permission matrix come from it. Packed: type (2 octets), then the fields in order; numbers are
 * little-endian, texts carry their length. Texts of an unpacked message point into the octets it came from; lists stand in
 * the arena given. Nothing here does input or output. */
#ifndef PEERS_PEERS_H
#define PEERS_PEERS_H

#include "base/base.h"

/* One bit a role, so that peers.def can name sets. */
enum peers_role {
    PEERS_NOBODY = 0,
    PEERS_SUPERVISOR = 1 << 0,
    PEERS_FRONT = 1 << 1,
    PEERS_RELAY = 1 << 2,
    PEERS_RESOLVER = 1 << 3,
    PEERS_CONTROL = 1 << 4,
    PEERS_CONSOLE = 1 << 5,
    PEERS_QUEUE = 1 << 6,
    PEERS_MAILBOX = 1 << 7,
    PEERS_VAULT = 1 << 8,
    PEERS_VERIFIER = 1 << 9,
    PEERS_LEDGER = 1 << 10,
    PEERS_ANYBODY = (1 << 11) - 1, /* every role of ours */
    PEERS_COMMAND = 1 << 11,       /* somebody at the control socket: no role of ours, and trusted as little as the socket's mode says */
};

struct texts {
    struct text *items;
    size_t count;
};

enum { PEERS_MESSAGE_LIMIT = 160 * 1024 }; /* octets of one packed message */

/* struct peers_message_take and so on: one struct a row */
#define MESSAGE(name, senders, receivers, descriptors) struct peers_##name {
#define NUMBER(message, field) uint64_t field;
#define OCTETS(message, field, limit) struct text field;
#define TEXTS(message, field, limit) struct texts field;
#define END(name) };
#include "peers/peers.def"
#undef MESSAGE
#undef NUMBER
#undef OCTETS
#undef TEXTS
#undef END

enum peers_type {
    PEERS_NONE,
#define MESSAGE(name, senders, receivers, descriptors) PEERS_##name,
#define NUMBER(message, field)
#define OCTETS(message, field, limit)
#define TEXTS(message, field, limit)
#define END(name)
#include "peers/peers.def"
#undef MESSAGE
#undef NUMBER
#undef OCTETS
#undef TEXTS
#undef END
    PEERS_TYPES,
};

struct peers_message {
    enum peers_type type;
    union {
#define MESSAGE(name, senders, receivers, descriptors) struct peers_##name name;
#define NUMBER(message, field)
#define TEXTS(message, field, limit)
#define END(name)
#define OCTETS(message, field, limit)
#include "peers/peers.def"
#undef MESSAGE
#undef NUMBER
#undef OCTETS
#undef TEXTS
#undef END
    };
};

enum peers_result {
    PEERS_OK,
    PEERS_UNKNOWN_TYPE,
    PEERS_CUT_SHORT,
    PEERS_TOO_LONG, /* a field over its limit, or octets behind the last field */
    PEERS_NOT_ALLOWED, /* this sender may not say it to this receiver */
    PEERS_WRONG_DESCRIPTORS,
};

/* fields points to the row's struct. False when a field is over its limit or the buffer is full: our own mistake, or a
 * text that was not limited at the edge; the caller answers as for a full disk. The buffer is unchanged then. */
must_check bool peers_pack(struct buffer *b, enum peers_type type, const void *fields);

/* sender and receiver are one role each: who the channel leads to, and who we are. */
must_check enum peers_result peers_unpack(struct text octets, enum peers_role sender, enum peers_role receiver,
                                          size_t descriptors, struct arena *arena, struct peers_message *ret_message);

struct text peers_type_word(enum peers_type type);     /* "message_take" */
struct text peers_result_word(enum peers_result result);
struct text peers_role_word(enum peers_role role);     /* "front" */
enum peers_role peers_role_of_word(struct text word);  /* PEERS_NOBODY when it is none */
size_t peers_descriptors(enum peers_type type);
bool peers_may(enum peers_type type, enum peers_role sender, enum peers_role receiver);

#endif
