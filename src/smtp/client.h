/* SPDX-License-Identifier: Apache-2.0 */
/* client: the sending side of SMTP as a machine without input or output: octets go in, commands and effects come out.
 * It greets, starts TLS, logs in, and sends one message after the other; each recipient gets a result, and a recipient
 * without a proof of anything is deferred. Nothing of it depends on how the input is cut. The options and the message
 * stay the caller's while they are used; the texts of results live until the next message begins, or smtp_client_done.
 * Secrets are only ever put into output: wipe it. */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "mail/mail.h"
#include "settings/settings.h"
#include "smtp/client_text.h"
#include "smtp/reply_reader.h"

enum smtp_client_effect {
    SMTP_CLIENT_NEED_INPUT, /* write the output, then read; smtp_client_deadline_ms says how long */
    SMTP_CLIENT_START_TLS,  /* write the output, shake hands, then smtp_client_tls_started or _tls_failed */
    SMTP_CLIENT_READY,      /* no message is under way: the results of the last one stand; begin another, or quit */
    SMTP_CLIENT_NEED_BODY,  /* write the output, then smtp_client_body */
    SMTP_CLIENT_CLOSE,      /* write the output if it can be, and close */
};

enum smtp_client_stage {
    SMTP_CLIENT_CONNECT, /* the caller's: the machine begins behind it */
    SMTP_CLIENT_BANNER,
    SMTP_CLIENT_HELLO,
    SMTP_CLIENT_STARTTLS,
    SMTP_CLIENT_LOGIN,
    SMTP_CLIENT_IDLE,
    SMTP_CLIENT_MAIL,
    SMTP_CLIENT_RECIPIENT,
    SMTP_CLIENT_DATA,
    SMTP_CLIENT_TEXT,
    SMTP_CLIENT_END_OF_DATA,
    SMTP_CLIENT_QUIT,
    SMTP_CLIENT_OVER,
    SMTP_CLIENT_STAGES,
};

enum smtp_client_extension { /* bits */
                             SMTP_CLIENT_PIPELINING = 1 << 0,
                             SMTP_CLIENT_SIZE = 1 << 1,
                             SMTP_CLIENT_8BITMIME = 1 << 2,
                             SMTP_CLIENT_BINARYMIME = 1 << 3,
                             SMTP_CLIENT_CHUNKING = 1 << 4,
                             SMTP_CLIENT_STARTTLS_OFFERED = 1 << 5,
                             SMTP_CLIENT_DSN = 1 << 6,
                             SMTP_CLIENT_SMTPUTF8 = 1 << 7,
                             SMTP_CLIENT_AUTH_PLAIN = 1 << 8,
                             SMTP_CLIENT_AUTH_LOGIN = 1 << 9,
};

struct smtp_client_options {
    struct text hostname; /* said in EHLO */
    struct text host;     /* in results: "mx.fuori.test [127.0.0.1]:25" */
    enum settings_tls_level tls;
    struct text user, password; /* empty user: no log-in */
    bool may_login_in_clear;    /* the administrator wrote tls=off beside the password */
};

enum smtp_client_trouble {
    SMTP_CLIENT_NO_TROUBLE,
    SMTP_CLIENT_REFUSED,  /* the host said no before there was a message */
    SMTP_CLIENT_TLS,      /* STARTTLS was refused or failed: opportunistic tries again in clear, on a new connection */
    SMTP_CLIENT_NO_TLS,   /* it is demanded and not offered */
    SMTP_CLIENT_NO_LOGIN, /* it can not be made, or was refused */
    SMTP_CLIENT_LOST,     /* the connection ended or the time was over */
    SMTP_CLIENT_LEAVING,  /* 421, or a refusal in the middle of the text */
    SMTP_CLIENT_NONSENSE, /* what came is no reply, or none that belongs there */
};

struct smtp_client_recipient {
    struct result result;
    bool is_decided;
    bool may_try_next; /* nothing was heard about this recipient or this message: another host of the domain may be
                          asked in this try */
    bool wants_again;  /* 452 behind accepted ones: to be sent in a transaction of its own (RFC 5321 section 4.5.3.1.10)
                        */
    bool is_accepted;  /* the host took the recipient; the text decides */
    bool is_unsaid;    /* refused beforehand: the host was never asked */
};

struct smtp_client_message {
    const struct envelope *envelope;
    const struct envelope_recipient *const *recipients; /* those of this transaction */
    size_t recipient_count;
    uint64_t size;        /* octets of the message */
    bool is_header_ascii; /* only asked when the envelope says SMTPUTF8 */
};

struct smtp_client {
    const struct smtp_client_options *options;
    struct smtp_reply_reader reader;
    enum smtp_client_stage stage;
    uint8_t login_step;
    bool is_encrypted;
    bool is_helo; /* EHLO was not understood */
    bool is_plain_refused;
    bool is_ended; /* SMTP_CLIENT_CLOSE is the only effect left */
    unsigned extensions;
    uint64_t size_limit;      /* of SIZE, 0 = none told */
    uint64_t recipient_limit; /* of LIMITS RCPTMAX (RFC 9422), 0 = none told */
    uint64_t message_limit;   /* of LIMITS MAILMAX */
    uint64_t messages;        /* begun on this connection */
    enum smtp_client_trouble trouble;
    struct result failure; /* with trouble: what every recipient without a result gets */

    const struct smtp_client_message *message;
    struct arena arena; /* texts of the results; recipients */
    struct smtp_client_recipient *recipients;
    size_t sent, answered; /* recipients: sent >= answered */
    size_t accepted;
    bool wants_reset; /* the last transaction may still be open there */
    bool is_reset_sent;
    bool is_mail_answered, is_mail_taken;
    bool is_data_sent;
    bool is_heard; /* something was answered to this message */
    bool is_chunked;
    struct smtp_client_text text;
};

void smtp_client_init(struct smtp_client *c, const struct smtp_client_options *options);
void smtp_client_done(struct smtp_client *c);

/* Uses the front of input; what it leaves is kept by the caller until the next step. */
must_check enum smtp_client_effect smtp_client_step(struct smtp_client *c, struct text *input, struct buffer *output);
void smtp_client_tls_started(struct smtp_client *c, struct buffer *output);
void smtp_client_tls_failed(struct smtp_client *c, struct text why);
/* The connection ended (why: in words), or the deadline passed. Results are final then; the effect is CLOSE. */
void smtp_client_lost(struct smtp_client *c, bool is_time_out, struct text why);

/* Only when READY. The results are those of this message from now on. */
void smtp_client_begin(struct smtp_client *c, const struct smtp_client_message *message, struct buffer *output);
/* Only when NEED_BODY: the next octets, in any pieces. False when output is full: nothing was taken. */
must_check bool smtp_client_body(struct smtp_client *c, struct text octets, bool is_last, struct buffer *output);
/* The body can't be read any more: the connection must end, for a half text must never be ended with a dot. */
void smtp_client_body_failed(struct smtp_client *c);
void smtp_client_quit(struct smtp_client *c, struct buffer *output);

const struct smtp_client_recipient *smtp_client_recipient(const struct smtp_client *c, size_t index);
/* The first answer to a message on a connection used before was its end: nothing is wrong with host or message, connect
 * anew. */
bool smtp_client_is_stale(const struct smtp_client *c);
/* May another message follow on this connection? */
bool smtp_client_may_go_on(const struct smtp_client *c);
/* How long the whole answer to what was sent last may take: RFC 5321 section 4.5.3.2. */
unsigned smtp_client_deadline_ms(const struct smtp_client *c);
struct text smtp_client_stage_word(enum smtp_client_stage stage);

#endif
