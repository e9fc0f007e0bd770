/* SPDX-License-Identifier: Apache-2.0 */
/* server: the server's side of SMTP as a machine without input or output. The driver owns connection, TLS, timers and buffers:
 * it calls step with the octets that came, until step says SMTP_NEED_INPUT; each call gives one effect, and replies are appended
 * to output, which is written when no input is left (or on SMTP_FLUSH). After an SMTP_ASK_... or SMTP_COMMIT the driver answers,
 * at once or later, before the next step. Replies and effects do not depend on how the input is cut, but that one
 * SMTP_ASK_RECIPIENTS carries as many RCPT lines as stand in the input. The machine owns what its events point to, until the next
 * call. It never resolves, never waits, never stores a message, never asks what time it is. */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "mail/mail.h"

enum {
    SMTP_COMMAND_LIMIT = 2048,           /* octets of a command line; RFC 5321 section 4.5.3.1.4 and the extensions ask for less */
    SMTP_LOGIN_LIMIT = 12288 + 2,        /* octets of a line of AUTH: RFC 4954 section 4 */
    SMTP_INPUT_MINIMUM = 16 * 1024,      /* the driver's input buffer holds at least this (it may be smaller while nothing is in it) */
    SMTP_OUTPUT_MINIMUM = 32 * 1024,     /* limit of the output buffer, at least */
    SMTP_RECIPIENTS_AT_ONCE = 100,       /* in one SMTP_ASK_RECIPIENTS, at most */
    SMTP_HEADER_LIMIT = 64 * 1024,       /* octets of a message's header that are kept for its facts */
};

/* The same for all sessions of a listener; made from the settings, immutable, lives longer than the machines. */
struct smtp_server_options {
    struct text hostname;
    struct text title;           /* server_title: behind ESMTP in the greeting, may be empty */
    const struct text *banner;   /* extra lines "220-" in front of the greeting */
    size_t banner_count;
    uint64_t max_message_size;   /* 0 = no limit */
    uint64_t max_read_size;      /* octets of a message that are read before 421, those thrown away too; 0 = no limit */
    size_t max_recipients;
    unsigned max_hops;           /* 0 = no limit */
    unsigned max_bad_commands;   /* 0 = no limit */
    unsigned max_idle_commands;  /* 0 = no limit */
    size_t max_transaction;      /* octets of memory for one transaction; 0: 16 MiB */
    struct text mechanisms;      /* "SCRAM-SHA-256 PLAIN LOGIN", as EHLO shows them under TLS */
    bool is_submission;          /* AUTH after TLS before MAIL */
    bool offers_tls;
    bool offers_auth;
    bool auth_in_clear;          /* AUTH without TLS too: for tests and loopback listeners */
    bool offers_dsn;
    bool offers_utf8;
    bool require_helo;
    bool is_lenient;             /* a bare CR or LF in a message becomes CRLF; a bare LF ends a command; "FROM: <a@b>"
                                    and HELO without a name are taken */
    bool answers_vrfy;
    bool answers_expn;
};

enum smtp_verb {
    SMTP_VERB_NONE, /* no command: a line that was too long, for example */
    SMTP_HELO, SMTP_EHLO, SMTP_MAIL, SMTP_RCPT, SMTP_DATA, SMTP_BDAT, SMTP_RSET, SMTP_NOOP, SMTP_QUIT,
    SMTP_VRFY, SMTP_EXPN, SMTP_HELP, SMTP_STARTTLS, SMTP_AUTH,
    SMTP_VERB_OTHER, /* unknown, or known and not implemented */
    SMTP_VERBS,
};
struct text smtp_verb_word(enum smtp_verb verb); /* "MAIL"; "-" and "?" for none and other */

enum smtp_effect {
    SMTP_NEED_INPUT,     /* all that could be used was used; what is left in input must come again, with more behind it */
    SMTP_FLUSH,          /* no room for another reply in output: write it, then step again */
    SMTP_DONE,           /* the machine answered a command itself: verb, line, reply. For log, counters and delays */
    SMTP_ASK_HELLO,      /* name; verb tells HELO from EHLO. Answer with smtp_server_answer */
    SMTP_ASK_SENDER,     /* envelope->sender and its parameters, declared_size. smtp_server_answer */
    SMTP_ASK_RECIPIENTS, /* recipients, recipient_count; envelope holds those accepted before. smtp_server_answer_recipients */
    SMTP_ASK_DATA,       /* may the text come? envelope. smtp_server_answer */
    SMTP_ASK_VERIFY,     /* VRFY or EXPN (verb) of name. smtp_server_answer, with a reply */
    SMTP_ASK_LOGIN,      /* mechanism (at the first step only), response (decoded). smtp_server_answer_login */
    SMTP_BODY,           /* body: the next octets of the message */
    SMTP_COMMIT,         /* the message is complete: envelope, message. smtp_server_committed, once it is durable or refused */
    SMTP_DROP,           /* throw away the octets of the message so far; reply tells why (REPLY_NONE: RSET, QUIT, ...) */
    SMTP_LOGIN_DROP,     /* the log-in that was begun is not gone on with */
    SMTP_START_TLS,      /* write output, start TLS, then smtp_server_tls_started; discarded octets of clear input were thrown away */
    SMTP_CLOSE,          /* write output and close */
};

/* What is known of a message at SMTP_COMMIT. The texts stand in header. */
struct smtp_message {
    uint64_t size;         /* octets handed out as SMTP_BODY */
    struct text header;    /* its header, blank line included, at most SMTP_HEADER_LIMIT octets */
    bool is_header_cut;    /* it was longer than that */
    bool is_8bit;
    bool has_date;
    bool has_message_id;
    bool has_from;         /* an address was found in a From field */
    unsigned hops;         /* Received fields */
    size_t from_count;     /* addresses in all From fields */
    struct address from;   /* the first of them */
    struct text message_id; /* value of the first Message-ID field, trimmed */
};

struct smtp_event {
    enum smtp_verb verb;
    enum reply reply;
    struct text line; /* the command's line without its end; empty for AUTH */
    struct text name;
    const struct envelope *envelope;
    uint64_t declared_size; /* SIZE=, 0 when absent */
    const struct envelope_recipient *recipients;
    size_t recipient_count;
    struct text mechanism; /* upper case */
    struct text response;  /* a secret: wiped with the answer */
    struct text body;
    const struct smtp_message *message;
    size_t discarded;
};

/* An answer. reply REPLY_NONE or 2yz accepts (REPLY_NONE: with the usual words), anything else refuses; 421 closes as well. */
struct smtp_answer {
    enum reply reply;
    struct reply_arguments arguments;
    bool closes; /* close after this reply */
};

struct smtp_transaction; /* between MAIL and its end */

struct smtp_server {
    const struct smtp_server_options *options;
    struct smtp_transaction *transaction; /* in arena; NULL: none */
    struct arena arena;
    struct buffer names;   /* HELO name, then the account that logged in */
    struct buffer scratch; /* what a log-in sent, decoded; wiped */
    uint64_t chunk_left;   /* octets of the BDAT chunk still to come; of an overlong line: octets skipped so far */
    uint16_t helo_length;
    uint16_t bad_commands;
    uint16_t idle_commands;
    uint16_t resets;       /* RSETs since the last message that was taken */
    uint16_t owed_reply;   /* enum reply: refuses the line or the chunk, once it has been read to its end */
    uint8_t state;         /* enum smtp_server_state */
    uint8_t question;      /* enum smtp_effect that waits for its answer, or SMTP_NEED_INPUT */
    uint8_t verb;          /* enum smtp_verb of the command at work */
    uint8_t mechanism;     /* of the log-in at work: its place among options->mechanisms */
    bool has_said_hello;
    bool is_extended;      /* EHLO */
    bool is_encrypted;
    bool is_logged_in;
    bool is_chunk_last;
    bool has_login_begun;  /* the driver was asked for a step of this log-in */
    bool has_initial_response; /* AUTH LOGIN name: scratch holds it until the first challenge came */
    bool must_drop;        /* SMTP_DROP comes next */
    bool must_drop_login;  /* SMTP_LOGIN_DROP comes next */
    bool must_close;       /* SMTP_CLOSE comes then */
};

enum smtp_server_state {
    SMTP_STATE_COMMAND,
    SMTP_STATE_SKIP_LINE, /* the rest of a line that was too long or malformed */
    SMTP_STATE_LOGIN,     /* the next line is a response of AUTH */
    SMTP_STATE_TEXT,      /* DATA */
    SMTP_STATE_CHUNK,     /* BDAT */
    SMTP_STATE_TLS,       /* waits for smtp_server_tls_started */
    SMTP_STATE_CLOSED,
};

void smtp_server_init(struct smtp_server *s, const struct smtp_server_options *options, bool is_encrypted);
void smtp_server_done(struct smtp_server *s); /* released_by(smtp_server_done) */
void smtp_server_greet(struct smtp_server *s, struct buffer *output);

/* Takes from the front of input. The octets that input points to may move or go between two calls; what is left in it may not change. */
enum smtp_effect smtp_server_step(struct smtp_server *s, struct text *input, struct buffer *output, struct smtp_event *ret_event);

void smtp_server_answer(struct smtp_server *s, const struct smtp_answer *answer, struct buffer *output);
/* One answer for each recipient that was asked about, in order. */
void smtp_server_answer_recipients(struct smtp_server *s, const struct smtp_answer *answers, size_t count, struct buffer *output);
/* text: the challenge for MAIL_LOGIN_CONTINUE, the account for MAIL_LOGIN_DONE. */
void smtp_server_answer_login(struct smtp_server *s, enum mail_login_state state, struct text text, struct buffer *output);
/* answer->reply REPLY_NONE: taken, under this queue id; else the refusal. */
void smtp_server_committed(struct smtp_server *s, const struct smtp_answer *answer, struct text queue_id, struct buffer *output);
void smtp_server_tls_started(struct smtp_server *s);

/* Each writes its 421; the next steps give SMTP_DROP, SMTP_LOGIN_DROP where they are due, then SMTP_CLOSE. A question that is
 * open is void: an answer that comes all the same is not looked at. At SMTP_COMMIT that is SMTP_DROP too: the client was told nothing. */
void smtp_server_time_out(struct smtp_server *s, struct buffer *output);
void smtp_server_stop(struct smtp_server *s, struct buffer *output);
void smtp_server_close(struct smtp_server *s, enum reply reply, const struct reply_arguments *arguments, struct buffer *output);

struct text smtp_server_helo(const struct smtp_server *s);  /* empty before HELO */
struct text smtp_server_login(const struct smtp_server *s); /* empty: not logged in */
bool smtp_server_is_in_transaction(const struct smtp_server *s);
/* A log-in is under way: the next line is a secret, or the driver owes an answer. */
bool smtp_server_is_logging_in(const struct smtp_server *s);

#endif
