/* SPDX-License-Identifier: Apache-2.0 */
/* client_parts: what the files of the client machine share. Only client*.c include it. */
#ifndef SMTP_CLIENT_PARTS_H
#define SMTP_CLIENT_PARTS_H

#include "smtp/client.h"

/* client_commands.c: the lines of a transaction. */
void client_append_mail(const struct smtp_client *c, struct buffer *output);
void client_append_recipient(const struct smtp_client *c, const struct envelope_recipient *r, struct buffer *output);
/* Can the peer be told this address? Without SMTPUTF8 only the domain can be turned into ASCII. */
bool client_may_name(const struct smtp_client *c, const struct address *a);

/* client_hello.c */
void client_read_extensions(struct smtp_client *c, struct text reply);
enum smtp_client_effect client_login_begin(struct smtp_client *c, struct buffer *output);
enum smtp_client_effect client_login_reply(struct smtp_client *c, const struct smtp_reply *reply,
                                           struct buffer *output);

/* client_message.c */
enum smtp_client_effect client_message_reply(struct smtp_client *c, const struct smtp_reply *reply,
                                             struct buffer *output);
/* Gives every undecided recipient the failure. */
void client_message_fail(struct smtp_client *c);

/* client.c: ends the session with the failure; the effect is CLOSE. */
enum smtp_client_effect client_fail(struct smtp_client *c, enum smtp_client_trouble trouble,
                                    const struct result *failure);
enum smtp_client_effect client_fail_by_reply(struct smtp_client *c, enum smtp_client_trouble trouble,
                                             const struct smtp_reply *reply, enum smtp_client_stage stage);
struct result client_result(struct smtp_client *c, enum result_class class, const struct smtp_reply *reply,
                            enum smtp_client_stage stage);
void client_hello(struct smtp_client *c, struct buffer *output);

#endif
