/* SPDX-License-Identifier: Apache-2.0 */
/* server_parts: what the files of the server machine share. Only server*.c, command_*.c and their tests include it. */
#ifndef SMTP_SERVER_PARTS_H
#define SMTP_SERVER_PARTS_H

#include "smtp/message_text.h"
#include "smtp/server.h"

struct smtp_transaction {
    struct envelope envelope;
    size_t recipient_capacity;
    size_t pending; /* recipients behind the accepted ones that the driver was asked about */
    uint64_t declared_size;
    bool has_text;   /* the driver may hold octets of it */
    bool is_chunked; /* BDAT */
    bool refusal_closes;
    struct reply_arguments refusal; /* of a BDAT chunk that is still being eaten */
    struct message_text text;
};

/* One call of smtp_server_step. */
struct smtp_step {
    struct smtp_server *server;
    struct text *input;
    struct buffer *output;
    struct smtp_event *event;
};

enum {
    COMMAND_NEEDS_HELLO = 1,
    COMMAND_NEEDS_LOGIN = 2, /* on a submission listener */
    COMMAND_IS_IDLE = 4,     /* counts for max_idle_commands */
    COMMAND_HAS_NO_ARGUMENT = 8,
    COMMAND_IS_SECRET = 16, /* its line is not shown */
};

struct command_row {
    struct text word;
    enum smtp_verb verb;
    unsigned flags;
    enum smtp_effect (*handle)(struct smtp_step *step, struct text argument);
};

const struct command_row *command_find(struct text word); /* never NULL: the last row takes what is unknown */
const struct command_row *command_rows(size_t *ret_count);

enum smtp_effect command_hello(struct smtp_step *step, struct text argument);
enum smtp_effect command_mail(struct smtp_step *step, struct text argument);
enum smtp_effect command_recipient(struct smtp_step *step, struct text argument);
enum smtp_effect command_data(struct smtp_step *step, struct text argument);
enum smtp_effect command_bdat(struct smtp_step *step, struct text argument);
enum smtp_effect command_reset(struct smtp_step *step, struct text argument);
enum smtp_effect command_noop(struct smtp_step *step, struct text argument);
enum smtp_effect command_quit(struct smtp_step *step, struct text argument);
enum smtp_effect command_verify(struct smtp_step *step, struct text argument);
enum smtp_effect command_help(struct smtp_step *step, struct text argument);
enum smtp_effect command_starttls(struct smtp_step *step, struct text argument);
enum smtp_effect command_auth(struct smtp_step *step, struct text argument);
enum smtp_effect command_not_implemented(struct smtp_step *step, struct text argument);
enum smtp_effect command_foreign(struct smtp_step *step, struct text argument);
enum smtp_effect command_unknown(struct smtp_step *step, struct text argument);

/* The machine answers a command itself; a refusal counts as a bad command, and one too many closes. */
enum smtp_effect server_reply(struct smtp_step *step, enum reply reply, const struct reply_arguments *arguments);
enum smtp_effect server_reply_text(struct smtp_step *step, enum reply reply, struct text first);
enum smtp_effect server_ask(struct smtp_step *step, enum smtp_effect question);
void server_write(struct buffer *output, enum reply reply, const struct reply_arguments *arguments);
/* May a command with these flags come now? REPLY_NONE: yes. */
enum reply server_refusal(const struct smtp_server *s, unsigned flags);
/* Closes once output is written. */
void server_shut(struct smtp_server *s);

/* The only ways in and out of a transaction. False: no memory within the limit. */
must_check bool transaction_begin(struct smtp_server *s);
void transaction_end(struct smtp_server *s,
                     bool is_taken); /* is_taken: the driver keeps the octets, nothing is to be dropped */

/* The line at the front of input, taken: false when there is none yet, or when an effect came out of it (SMTP_DONE for
 * a bad line). */
must_check bool server_take_line(struct smtp_step *step, size_t limit, struct text *ret_line,
                                 enum smtp_effect *ret_effect);
/* Only looks: the next whole, clean command line; false when there is none. */
must_check bool server_peek_line(const struct smtp_step *step, struct text *ret_line, size_t *ret_length);

enum smtp_effect server_step_text(struct smtp_step *step);
enum smtp_effect server_step_chunk(struct smtp_step *step);
enum smtp_effect server_step_login(struct smtp_step *step);
void server_answer_hello(struct smtp_server *s, struct buffer *output);
void server_answer_data(struct smtp_server *s, const struct smtp_answer *answer, struct buffer *output);
void server_names_set(struct smtp_server *s, struct text helo, struct text login);
bool answer_accepts(const struct smtp_answer *answer);

#endif
