/* SPDX-License-Identifier: Apache-2.0 */
/* front: the role that talks to visitors. Private to its own files.
 * Threads: the main thread runs the role's loop (supervisor, answers of vault and resolver); workers wait together on one edge-triggered epoll
 * set and each takes the next ready session. A session belongs to one worker while it has work (its claim word says so) and to nobody while it
 * waits for its client or for the queue's commit, so that a slow client holds no thread in any state. A worker that must block in a question to
 * a keeper first sees to it that another one waits in its place. Slots of sessions are never given back to the allocator: a late event finds
 * memory of the right type and sees by the generation that its session is gone. */
#ifndef ROLES_FRONT_H
#define ROLES_FRONT_H

#include "policy/policy.h"
#include "roles/role.h"
#include "smtp/server.h"
#include "tls/tls.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    FRONT_SLOTS = 1 << 16,       /* sessions at once, at the door or inside */
    FRONT_SLOT_CHUNK = 256,
    FRONT_INPUT = 64 * 1024,
    FRONT_OUTPUT = 64 * 1024,
    FRONT_BODY = 64 * 1024,      /* octets of a message that a session holds before they go to the queue */
    FRONT_LANES = 64,            /* workers that have a channel to the queue */
    FRONT_WORKERS = 512,
    FRONT_SERVICES = ROLE_LISTENERS,
    FRONT_ASK_DEADLINE_MS = 30000,
    FRONT_HOST_KEY = 16,
    FRONT_TODO = 1024,
};

struct front;
struct worker;

/* A snapshot that several generations may share: each new certificate and listener makes one of the same settings. */
struct front_snapshot {
    const struct settings *settings;
    _Atomic unsigned holders;
};

/* The settings as the sessions of one generation see them. Counted: the last session that began under it frees it. */
struct front_settings {
    struct front *front;
    struct front_snapshot *snapshot;
    const struct settings *settings; /* the snapshot's */
    struct policy_settings policy;
    struct tls_context *tls[FRONT_SERVICES];
    struct front_service {
        uint64_t number; /* of the listener */
        const struct settings_listen *row;
        struct smtp_server_options options;
    } services[FRONT_SERVICES];
    size_t service_count;
    struct text *banner;
    _Atomic unsigned holders;
};

/* Stands in place of a thread: who may touch a session, and which one in this slot. */
enum claim { CLAIM_IDLE, CLAIM_TAKEN, CLAIM_AGAIN, CLAIM_FREE };

enum session_phase {
    SESSION_AT_DOOR,
    SESSION_SHAKES_HANDS, /* TLS */
    SESSION_TALKS,
    SESSION_COMMITS, /* its message is with the queue */
    SESSION_CLOSES,  /* the last octets go out */
};

struct session {
    _Atomic uint64_t claim; /* generation << 2 | enum claim */
    /* looked at by others without a claim, so never cleared but by a store */
    _Atomic uint64_t deadline_ms;   /* monotonic; when the client must have done something */
    _Atomic uint64_t idle_since_ms; /* when it last said something */
    _Atomic bool is_hung_up; /* the client's end was seen: it may stand behind the last octets, and makes no edge of its own */
    uint32_t slot; /* the first that a new session clears */
    int socket;
    enum session_phase phase;
    bool is_polite;   /* it said QUIT and nothing behind it */
    bool is_greeted;  /* it counts in greeted */
    bool is_privileged; /* submission, or it logged in: the reserve's client */
    bool has_message; /* a body is under way: id is set */
    bool is_broken;   /* parts of the message went to a queue that is gone: 451 at its end */
    bool is_marked;   /* policy: local header, not authorised */
    bool was_ready;   /* something came while it stood at the door */
    bool is_drained;  /* its last read has emptied the socket: what comes later makes a new edge */
    unsigned refusals; /* that the machine made itself */
    struct lane *lane;        /* that its latest part went through */
    uint64_t lane_generation; /* as it did */
    uint64_t lane_end;        /* where that part ends in the lane's ring */
    struct front_settings *settings;
    const struct front_service *service;
    struct tls_connection *tls;
    struct smtp_server machine;
    struct network_address address;
    uint64_t began_ms;
    struct buffer rest;   /* input that is not yet a whole line */
    struct buffer unsent; /* output that did not go out */
    struct buffer body;   /* octets of the message that are not with the queue */
    struct buffer trace;  /* fields that go in front of it */
    uint64_t id;          /* of the message */
    uint64_t streamed;    /* octets of it that are with the queue */
    uint64_t rate_octets, rate_since_ms; /* min_data_rate */
    uint64_t octets_in, octets_out, messages;
    struct buffer ticket;
    struct buffer kept_event; /* packed */
    uint64_t exchange; /* of the log-in */
    enum policy_way way;
    struct session *next; /* at the door */
};

/* A worker's channel to the queue. */
struct lane {
    unsigned number;
    _Atomic int channel; /* -1: there never was one. Only its worker opens it; the number stays, and so does the window's address */
    _Atomic bool is_lost; /* the queue has closed it: its worker opens it anew, once all that is pending on it was told */
    _Atomic uint64_t epoch;      /* of the queue that it leads to */
    _Atomic uint64_t generation; /* grows with each opening */
    struct window *_Atomic window;
    uint64_t position; /* of the ring, where the next octets go */
    uint64_t sequence; /* of the last take */
    uint64_t counter;  /* of messages, for ids */
    _Atomic uint64_t sent;      /* takes that were sent: completion goes no further */
    _Atomic uint64_t completed; /* written by whoever holds completing */
    _Atomic unsigned completing; /* enum claim */
    struct session *_Atomic pending[WINDOW_RESULTS];
};

/* A question that a worker waits for. */
struct answer {
    pthread_mutex_t lock;
    pthread_cond_t came;
    uint64_t tag; /* 0: none is waited for */
    bool is_there, is_lost;
    enum peers_type type;
    uint64_t number; /* state, generation ... */
    struct buffer text, second, third;
};

struct worker {
    struct front *front;
    unsigned number;
    struct lane *lane; /* NULL: more workers than lanes; it borrows none and never takes a message */
    struct answer answer;
    uint64_t next_tag;
    struct map facts; /* address key -> kind + 1 */
    uint64_t facts_generation, facts_since_ms;
    char input[FRONT_INPUT];
    struct buffer output;
    struct buffer events; /* gathered in this round, as in the message "events" */
    struct buffer event;  /* the one being packed */
    uint64_t todo[FRONT_TODO]; /* events of this round; what is left goes to others when the worker has to wait */
    size_t todo_first, todo_count;
    bool is_admitting;
    struct arena words; /* texts of the answers being written */
};

struct host {
    unsigned sessions;
};

struct front {
    struct role *role;
    int epoll;
    int wake;        /* eventfd: the queue has decided */
    struct session *_Atomic chunks[FRONT_SLOTS / FRONT_SLOT_CHUNK];
    pthread_mutex_t lock; /* slots, door, hosts, settings, workers: short and never held over a call that waits */
    uint32_t slot_count;
    uint32_t *free_slots;
    uint32_t free_count;
    struct front_settings *settings;
    struct session *door_first, *door_last;
    size_t at_door;
    struct map hosts;
    uint64_t accounts_generation_seen;
    _Atomic uint64_t accounts_generation;
    struct worker *workers[FRONT_WORKERS];
    unsigned cores;
    unsigned worker_count;  /* ever made and not ended */
    unsigned waiting;       /* in epoll_wait */
    unsigned blocked;       /* in a question */
    unsigned parked;        /* in the cache */
    unsigned made, reused;
    pthread_cond_t unpark;
    unsigned to_unpark;
    uint64_t *left; /* events of workers that had to wait */
    size_t left_count, left_capacity;
    struct lane lanes[FRONT_LANES];
    _Atomic unsigned greeted, greeted_peak;
    _Atomic uint64_t connections, refused_at_door, messages, octets_in, octets_out;
    _Atomic uint64_t refused[REPLY_COUNT]; /* inside, by cause: enum reply */
    _Atomic unsigned gathering; /* workers that have events to send */
    _Atomic bool is_stopping;
    _Atomic uint64_t queue_epoch; /* from 1; grows when a queue is lost */
    _Atomic bool is_full;   /* listeners are out of the epoll set: too many at the door */
    struct loop_timer *tick;
    int kick;        /* eventfd: the main thread wants a worker to look around */
    _Atomic bool is_tick_due, is_lane_due;
    _Atomic uint64_t exchanges;
    uint64_t stop_at_ms;
};

/* front_session.c: one session, by the worker that has claimed it */
void session_begin(struct worker *w, struct session *s);    /* greet it, or shake hands */
void session_run(struct worker *w, struct session *s);      /* its socket is ready */
/* Tells the client. True: the session has more to do, which session_go_on does; else it is settled. */
bool session_decided(struct worker *w, struct session *s, enum window_result result);
void session_go_on(struct worker *w, struct session *s);
void session_overdue(struct worker *w, struct session *s, enum reply reply);
void session_refuse(struct worker *w, struct session *s, enum reply reply); /* at the door: one line and gone */

/* front_door.c */
bool front_claim(struct session *s, uint64_t generation);
bool front_release(struct session *s); /* false: something came meanwhile, run it again */
void front_accept(struct worker *w, size_t listener);
void front_session_end(struct worker *w, struct session *s);
void front_look_around(struct worker *w); /* deadlines, data rates, the door; four times a second */
struct session *front_session_at(struct front *f, uint32_t slot);

/* front_worker.c */
must_check bool front_worker_watch(struct front *f); /* the epoll set and what wakes it */
void front_kick(struct front *f);
bool front_worker_start(struct front *f); /* with f->lock held */
void front_go_on_later(struct worker *w, const struct session *s); /* its commit was told, and it has more to do */
void front_before_waiting(struct worker *w);
void front_after_waiting(struct worker *w);
void front_wait_set_listeners(struct front *f, bool is_on);

/* front_lane.c */
void lanes_complete(struct worker *w); /* tells what the queue has decided; what is pending on a lost lane gets 451 */
/* envelope: as it is before the text. False: no queue is there. */
must_check bool message_begin(struct worker *w, struct session *s, const struct envelope *envelope);
/* A queue that is lost meanwhile is told at the end of the message. */
must_check bool message_add(struct worker *w, struct session *s, struct text octets);
/* True: sent; whoever hears of the decision owns the session from then on. */
must_check bool message_take(struct worker *w, struct session *s, const struct smtp_event *event);
void message_drop(struct worker *w, struct session *s);

/* front_ask.c: blocking questions with a deadline */
struct smtp_answer front_ask_sender(struct worker *w, struct session *s, const struct smtp_event *event);
void front_ask_recipients(struct worker *w, struct session *s, const struct smtp_event *event, struct smtp_answer *answers);
struct smtp_answer front_ask_message(struct worker *w, struct session *s, const struct smtp_event *event);
struct smtp_answer front_ask_stage(struct worker *w, struct session *s, enum policy_stage stage);
enum mail_login_state front_ask_login(struct worker *w, struct session *s, const struct smtp_event *event, struct buffer *text);
void front_login_drop(struct worker *w, struct session *s);
void front_answered(struct front *f, const struct peers_message *message); /* on the main thread */
void front_unanswered(struct front *f); /* the vault is gone */

/* front_status.c */
void front_status(struct front *f, struct link *to, const struct peers_command_ask *ask);

/* front.c */
struct front_settings *front_settings_hold(struct front *f); /* with f->lock held */
void front_settings_release(struct front_settings *settings);
/* Gathered by the worker until it waits (front_events_send), or there are enough of them. */
void front_event(struct worker *w, struct session *s, enum record_level level, struct text name, const struct text *pairs, size_t count);
/* An event that is told later, if at all: that a message was taken, once it is durable. */
void front_event_keep(struct session *s, enum record_level level, struct text name, const struct text *pairs, size_t count);
void front_event_send_kept(struct worker *w, struct session *s);
void front_events_send(struct worker *w);
uint64_t front_session_number(const struct session *s);
struct text front_session_name(const struct session *s, char octets[24]);

#endif
