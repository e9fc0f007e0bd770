/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor: binds ports, reads settings and keys, starts every role and starts it again when it dies, hands over what each may have, and
 * is the only one who writes the settings file. It reads no byte from the network, no log text, and of a command only what the control
 * role has checked. Private to the supervisor's own files. */
#ifndef ROLES_SUPERVISOR_H
#define ROLES_SUPERVISOR_H

#include "peers/peers.h"
#include "record/level.h"
#include "settings/settings.h"
#include "system/system.h"

enum { CHILDREN_LIMIT = 48, LISTENERS_LIMIT = 64, SETTINGS_FILE_LIMIT = 8 << 20, SETTINGS_ARENA_LIMIT = 64 << 20, PEM_LIMIT = 1 << 20, SECRET_LIMIT = 1000 };

enum supervisor_folder { FOLDER_HOME, FOLDER_STATE, FOLDER_RUN, FOLDER_SPOOL, FOLDER_MAIL, FOLDER_VAULT, FOLDER_LOG, FOLDER_TLS, FOLDERS };

struct child {
    enum peers_role role;
    unsigned instance;
    const char *program; /* "portiere-front" */
    int process;         /* 0: not running */
    int channel;
    struct loop_watch *watch;
    struct loop_timer *again; /* back-off */
    bool is_ready;
    unsigned restarts;    /* since it last stood for a minute */
    uint64_t started_ms;
    struct sandbox_state sandbox;
    struct supervisor *supervisor;
};

struct listener {
    uint64_t number;
    struct text row; /* in settings' arena: copied */
    char row_octets[512];
    int socket; /* -1: free */
    int backlog;
    bool is_wanted; /* while a new snapshot is compared */
};

struct supervisor {
    struct loop *loop;
    int signals;
    struct loop_watch *signal_watch;
    struct text home;  /* path of the folder with portiere.conf */
    int folders[FOLDERS];
    int programs;      /* folder of our programs */
    struct child children[CHILDREN_LIMIT];
    size_t child_count;
    struct listener listeners[LISTENERS_LIMIT];
    uint64_t next_listener;
    int control_socket;
    /* settings: the file as it was read, and the snapshot that all roles have */
    struct arena arena; /* of the snapshot */
    const struct settings *settings;
    struct settings_secrets secrets; /* items in arena, their contents in secret_octets */
    struct buffer secret_octets;
    uint64_t generation;
    char first_domain[256];
    size_t first_domain_length;
    char machine_name[256];
    size_t machine_name_length;
    uint64_t boot;
    bool may_hook;  /* tests may try the sandboxes */
    bool is_announced;
    unsigned stopping; /* 0: no; else which phase */
    struct loop_timer *stop_timer;
    uint64_t certificate_count;
    uint64_t certificate_stamp;  /* of the files last sent, to see a change */
    struct loop_timer *certificate_timer;
};

/* supervisor_settings.c. Problems are printed and logged; false leaves all as it was. */
bool supervisor_settings_load(struct supervisor *s);
/* Parses a new file text; on success it is written (is_new_file) and becomes the snapshot. why gets the problems. */
bool supervisor_settings_take(struct supervisor *s, struct text file, bool is_new_file, struct buffer *why);
void supervisor_settings_publish(struct supervisor *s, struct child *child);
/* settings-set, settings-unset, settings-row-add, settings-row-remove, reload; true when the command was one of them. */
bool supervisor_settings_command(struct supervisor *s, struct child *from, const struct peers_command_ask *ask);

/* supervisor_listen.c */
bool supervisor_listeners_match(struct supervisor *s, struct buffer *why); /* binds and closes as the snapshot says */
void supervisor_listeners_send(struct supervisor *s, struct child *child);
bool supervisor_control_listen(struct supervisor *s);
void supervisor_certificates_send(struct supervisor *s, struct child *child);
bool supervisor_certificates_changed(struct supervisor *s); /* files on disk are others than those last sent */

/* supervisor.c */
void supervisor_event(struct supervisor *s, enum record_level level, struct text name, const struct text *pairs, size_t count);
struct child *supervisor_child(struct supervisor *s, enum peers_role role);
bool supervisor_send(struct child *child, enum peers_type type, const void *fields, const struct channel_descriptors *files);
void supervisor_row(struct child *to, uint64_t tag, const struct text *pairs, size_t count);
void supervisor_end(struct child *to, uint64_t tag, uint64_t status, struct text message);

#endif
