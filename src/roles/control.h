/* SPDX-License-Identifier: Apache-2.0 */
/* control: the talker at the control sockets. It finds out who a caller is (the kernel tells), checks his right by the command's row, puts the
 * command to the role that handles it and hands the rows back. A caller's octets are a stranger's; one who does not read is dropped, since no
 * role may ever wait for him. Private to control's files. */
#ifndef ROLES_CONTROL_H
#define ROLES_CONTROL_H

#include "command/command.h"
#include "roles/role.h"

enum { CLIENTS_LIMIT = 256, CLIENTS_PER_USER = 64, ASKS_LIMIT = 512, ASKS_PER_CLIENT = 4, PENDING_LIMIT = 4 << 20, NAME_LIMIT = 64 };

struct client {
    struct control *control;
    int channel; /* -1: free */
    struct loop_watch *watch;
    unsigned user;
    int process;
    enum command_right right;
    size_t asks;           /* open ones */
    uint64_t active_ms;    /* when it last said or took something */
    struct buffer pending; /* packets that did not fit: length (4 octets), octets */
    bool is_watching_room;
};

/* A command that was put to somebody. */
struct ask {
    bool is_open;
    uint64_t tag;        /* ours, towards the roles; holds the place in the table */
    struct client *client;
    uint64_t client_tag;
    uint64_t active_ms;
    bool is_status;      /* put to many */
    uint64_t waiting;    /* bits of the links that owe an end; the supervisor is the highest */
    char name[NAME_LIMIT];
    size_t name_length;
};

struct control {
    struct role *role;
    struct client *clients; /* CLIENTS_LIMIT of them */
    struct ask *asks;       /* ASKS_LIMIT of them */
    uint64_t counter;       /* for tags */
    struct loop_timer *timer;
    bool is_ticking;
    struct control_door {
        struct control *control;
        int socket;
        struct loop_watch *watch;
        enum command_right right; /* of who is neither root nor us: the socket's mode let him in */
    } doors[ROLE_LISTENERS];
    size_t door_count;
    uint64_t taken, peak, garbage; /* callers so far, at most at once, those who said what is no command */
    size_t client_count;
    uint64_t told_ms; /* when garbage was last logged */
};

/* control_client.c */
void control_doors_open(struct control *c);
void control_client_drop(struct client *client);
bool control_client_say(struct client *client, enum peers_type type, const void *fields); /* false: the client is gone */
void control_client_row(struct client *client, uint64_t tag, const struct text *fields, size_t count);
void control_client_end(struct client *client, uint64_t tag, uint64_t status, struct text message);

/* control.c */
void control_take(struct client *client, const struct peers_command_ask *ask);
void control_forget(struct client *client); /* nobody waits for its asks any more */
void control_tick_soon(struct control *c);

#endif
