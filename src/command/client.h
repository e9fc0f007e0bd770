/* SPDX-License-Identifier: Apache-2.0 */
/* client: one conversation with who answers commands: the control role of a running server, or a keeper that was started for this one
 * command (offline.h). Asks go one after the other. */
#ifndef COMMAND_CLIENT_H
#define COMMAND_CLIENT_H

#include "command/command.h"
#include "system/system.h"

struct command_link {
    int channel;
    enum peers_role self, remote; /* as what we speak, and to whom */
    uint64_t tag;                 /* of the last ask */
};

enum command_link_result {
    COMMAND_LINK_OK,
    COMMAND_LINK_NOBODY,        /* no server behind the socket */
    COMMAND_LINK_NOT_PERMITTED, /* we may not open it */
    COMMAND_LINK_FAILED,        /* *ret_error says why */
};

enum command_link_result command_connect(struct text control_path, struct command_link *ret_link, int *ret_error);
void command_disconnect(struct command_link *link);
must_check enum channel_result command_receive(int channel, enum peers_role remote, char *bytes, int deadline_ms, struct text *ret_packet,
                                               struct channel_descriptors *ret_files);
/* Until the other side has gone; false when it is still there after deadline_ms. */
must_check bool command_wait_for_end(struct command_link *link, int deadline_ms);

/* False: no more rows are wanted; the ask ends with COMMAND_ASK_STOPPED. */
typedef bool command_row_function(void *context, const struct text *fields, size_t count);

enum command_ask_result {
    COMMAND_ASK_ENDED,   /* status and message are the answer's */
    COMMAND_ASK_GONE,    /* the other side has ended, or said what it may not */
    COMMAND_ASK_SILENT,  /* nothing came within the deadline */
    COMMAND_ASK_STOPPED,
    COMMAND_ASK_TOO_BIG, /* the arguments do not fit in a message */
};

/* name as it travels; pairs: name, value. deadline_ms: between two packets. message gets the end's text. */
enum command_ask_result command_ask(struct command_link *link, struct text name, const struct text *pairs, size_t count, int deadline_ms,
                                    command_row_function *function, void *context, uint64_t *ret_status, struct buffer *message);
/* The same for a command of the table; one with pages is asked for until its end. */
enum command_ask_result command_run(struct command_link *link, const struct command_row *row, const struct text *pairs, size_t count, int deadline_ms,
                                    command_row_function *function, void *context, uint64_t *ret_status, struct buffer *message);

#endif
