/* SPDX-License-Identifier: Apache-2.0 */
/* role: what every process but the supervisor has in common. role_main takes what the supervisor hands over (settings, folders, listeners,
 * channels to peers) on descriptor 3, calls prepare (outside the sandbox: open what is needed), enters the sandbox, says ready, calls
 * begin and runs the loop. A message that may not come from its sender, or can't be read, ends that channel and is logged. When the
 * supervisor is gone the role ends too. Only roles log: role_event writes one event to the ledger (or to standard error without one). */
#ifndef ROLES_ROLE_H
#define ROLES_ROLE_H

#include "peers/peers.h"
#include "record/level.h"
#include "settings/settings.h"
#include "system/system.h"

#include <pthread.h>
#include <stdatomic.h>

struct role;

/* A channel to another role. It lives as long as the role; its channel changes when the other one was restarted. */
struct link {
    struct role *role;
    enum peers_role remote;
    unsigned instance; /* verifiers: which one */
    int channel;       /* -1: there never was one. The number stays for the role's life, so that other threads may send over it */
    _Atomic bool is_open;
    struct loop_watch *watch;
    struct buffer waiting; /* packets that found the channel full, each behind its length (4 octets); the loop's thread alone */
    size_t waiting_from;   /* those before are sent */
    void *context; /* the role's own */
};

enum { ROLE_LINKS = 48, ROLE_FOLDERS = 4, ROLE_LISTENERS = 64, ROLE_CERTIFICATES = 64, ROLE_EVENTS = 65536 };

struct role_folder {
    struct text name;
    int folder;
};
struct role_listener {
    uint64_t number;
    struct text row;
    struct text row_before; /* which holds until the settings come that have the new one */
    int socket;
};
struct role_certificate {
    struct text name;
    struct text pem; /* private to us */
};

/* What a program is. Each function may be NULL but message. */
struct role_program {
    enum peers_role self;
    unsigned grants; /* enum sandbox_grant */
    bool (*prepare)(struct role *role); /* false: the role ends, the supervisor tries again with back-off */
    void (*begin)(struct role *role);
    /* files are the role's to close (or to keep). Texts of the message are valid until it returns. */
    void (*message)(struct role *role, struct link *from, const struct peers_message *message, struct channel_descriptors *files);
    void (*linked)(struct role *role, struct link *link);   /* a new channel stands */
    void (*unlinked)(struct role *role, struct link *link); /* the other one is gone: answers still owed will not come */
    void (*settings_changed)(struct role *role, const struct settings *before);
    bool (*certificate_is_good)(struct text pem, struct buffer *why); /* one that is not leaves the old one in its place */
    void (*stop)(struct role *role, uint64_t grace_ms); /* NULL: the loop ends at once */
};

struct role {
    const struct role_program *program;
    void *context; /* the role's own state, set by main */
    struct loop *loop;
    const struct settings *settings; /* the present snapshot; a new one replaces it, the old one stays until role_settings_release */
    uint64_t settings_generation;
    uint64_t boot;
    uint64_t instance;
    struct sandbox_state sandbox;
    struct link links[ROLE_LINKS];
    _Atomic size_t link_count; /* only the loop's thread adds some */
    struct link supervisor;
    struct role_folder folders[ROLE_FOLDERS];
    size_t folder_count;
    struct role_listener listeners[ROLE_LISTENERS];
    size_t listener_count;
    struct role_certificate certificates[ROLE_CERTIFICATES];
    size_t certificate_count;
    struct arena arena; /* lives as long as the role */
    pthread_t loop_thread;
};

int role_main(const struct role_program *program, void *context);

/* The first link to that role, or NULL. */
struct link *role_link(struct role *role, enum peers_role remote);
struct link *role_link_instance(struct role *role, enum peers_role remote, unsigned instance);
int role_folder(struct role *role, struct text name); /* -1 when it was not handed over */

/* Sends one message; fields is the row's struct. False: nobody there, or the fields do not fit. May be called from any thread (each call is one
 * packet). While the channel is full the loop's thread goes on, and the message is kept for later; another thread waits. */
bool link_send(struct link *link, enum peers_type type, const void *fields, const struct channel_descriptors *files);
/* The same over a bare channel, and receiving from one: for the channels that threads make among themselves. */
bool peer_send(int channel, enum peers_type type, const void *fields, const struct channel_descriptors *files);

bool link_send_packed(struct link *link, struct text packet, bool is_event);
/* role.c alone: what waits goes out, or is thrown away. */
void link_flush(struct link *link);
void link_forget(struct link *link);
bool role_is_loop_thread(const struct role *role);

/* One event. Pairs: name, value. Values may hold any octets. Any thread.
 *     role_event(role, RECORD_INFO, TEXT("message-taken"), (struct text[]){TEXT("id"), id, TEXT("client"), client}, 4); */
void role_event(struct role *role, enum record_level level, struct text name, const struct text *pairs, size_t count);

/* The same in two steps. */
void role_event_pack(struct buffer *b, enum record_level level, struct text name, const struct text *pairs, size_t count);
void role_event_send(struct role *role, struct text packed);
/* Several of them in one packet (the message "events"): a buffer of ROLE_EVENTS octets collects them; false: no room for this one. Front may send them. */
bool role_events_add(struct buffer *events, struct text packed);
void role_events_send(struct role *role, struct text events);
bool role_events_next(struct text *rest, struct text *ret_packed); /* takes the next one; false: none is left, or the rest is none */

/* What came over the link in a good message is no good all the same: tells it, and ends the link as for a bad one. */
void role_misspoke(struct link *link, struct text fault);

/* Answers to an administrator's command. */
void role_row(struct link *to, uint64_t tag, const struct text *pairs, size_t count);
void role_end(struct link *to, uint64_t tag, uint64_t status, struct text message);
/* The value of an argument of a command, empty when it is absent. */
struct text role_argument(const struct peers_command_ask *ask, struct text name);
/* The rows that every role gives for `status`: role, process id, sandbox, generation of the settings, and the pairs given. */
void role_status(struct role *role, struct link *to, uint64_t tag, const struct text *pairs, size_t count);

/* Old snapshots are kept until nobody can use them: a role with one thread calls it never (role_main does), front when no session holds one. */
void role_settings_release(struct role *role, const struct settings *old);

#endif
