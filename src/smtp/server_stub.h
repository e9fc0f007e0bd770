/* SPDX-License-Identifier: Apache-2.0 */
/* server_stub: a driver of the server machine for tests and fuzzers. It answers by what it is asked: the recipients
 * "u...", "v..." and postmaster of local.example exist, far.example is not relayed to, senders "refused", "later",
 * "closed", "nodata" and "nostore" get what their name says, the accounts are tim with the password tanstaaf and
 * another one with UTF-8 in name and password. It keeps replies, effects and messages apart, so that they can be
 * compared however the input was cut. Before each step the input is moved to memory of its own, so that a pointer that
 * was kept is found out. */
#ifndef SMTP_SERVER_STUB_H
#define SMTP_SERVER_STUB_H

#include "smtp/server.h"

struct stub {
    struct smtp_server machine;
    struct buffer input; /* what the machine left */
    struct buffer output;
    struct buffer replies;   /* all that was written */
    struct buffer effects;   /* one line each, without body octets and without SMTP_DONE */
    struct buffer commands;  /* one line for each SMTP_DONE: "NOOP OK" */
    struct buffer body;      /* of the message at work */
    struct buffer messages;  /* the bodies of those that were taken, each with a line in front */
    struct buffer responses; /* what log-ins sent, decoded, each behind a "|" */
    size_t message_count;
    size_t largest_ask; /* recipients in one question */
    unsigned login_step;
    bool is_closed;
};

struct smtp_server_options stub_options(void); /* an smtp listener that offers everything in clear */
void stub_init(struct stub *stub, const struct smtp_server_options *options);
void stub_done(struct stub *stub);
void stub_feed(struct stub *stub, struct text octets);
void stub_forget_replies(struct stub *stub);
unsigned stub_last_code(const struct stub *stub); /* of the last line written; 0: none */

#endif
