/* SPDX-License-Identifier: Apache-2.0 */
/* queue: the keeper of the spool and the schedule. Private to its own files.
 * One thread, the loop, owns all of this; a second one, the disk thread, writes what was handed to it (a sealed group, a chore). A message is taken
 * from a front lane into the group being collected, and told as durable when its group is. Then its recipients are routed (the vault is asked),
 * and for each destination there is one errand in the schedule. A mail is the message as it stands in memory while somebody works on it;
 * all others are only on the disk and in the schedule. */
#ifndef ROLES_QUEUE_H
#define ROLES_QUEUE_H

#include "accounts/ticket.h"
#include "outcome/outcome.h"
#include "roles/delivery.h"
#include "roles/role.h"
#include "route/route.h"
#include "schedule/schedule.h"
#include "spool/spool.h"

#include <pthread.h>

enum {
    QUEUE_LANES = 64,
    QUEUE_TAKES = 65536,      /* takes of one group that wait for their disk */
    QUEUE_ERRANDS = 4 << 20,
    QUEUE_MAILS = 4096,       /* in memory, at once */
    QUEUE_ROUTES = 65536,     /* remembered answers of the vault */
    QUEUE_OPEN = 20000,       /* messages of which parts have come */
    QUEUE_OWN_LANE = 255,     /* in ids that the queue makes itself */
};

struct queue;

/* A front thread's channel. */
struct queue_lane {
    struct queue *queue;
    bool is_used;
    int channel;
    int wake; /* eventfd of front */
    struct loop_watch *watch;
    struct window *window;
    uint64_t position; /* of the ring: what was copied */
    uint64_t sequence; /* of the latest take */
};

/* A message of which parts have come, or recipients ahead of the take. */
struct incoming {
    uint64_t id;
    struct queue_lane *lane; /* the first one it came through; its end drops the message */
    struct buffer body;
    struct spool_large *large;
    uint64_t length;
    struct buffer recipients; /* packed envelopes, each behind its length (8 octets) */
};

/* A take that could not be appended yet: the group was full. */
struct late_take {
    struct late_take *next;
    struct queue_lane *lane;
    uint64_t sequence, id, length;
    struct buffer body, envelope;
    struct spool_large *large; /* in place of body */
};

/* A take in a group. */
struct taken {
    struct queue_lane *lane;
    uint64_t sequence;
    uint64_t id; /* 0: refused, result says how */
    enum window_result result;
};

struct take_list {
    struct taken *items;
    size_t count, capacity;
};

struct recipient_facts {
    enum spool_state state;
    uint32_t attempts;
    uint32_t flags;
    bool is_routed;
    bool is_asked;
    struct route route; /* in the mail's arena */
    struct text *forwards; /* in the arena too */
    size_t forward_count;
    uint64_t quota;
    struct text last_result; /* packed; in the arena */
    int64_t tried_ms;
};

struct mail {
    uint64_t id;
    struct buffer octets; /* what the envelope points into */
    struct arena arena;
    struct envelope envelope;
    int64_t taken_ms;
    uint64_t body_length;
    struct recipient_facts *recipients;
    size_t asked;    /* recipients whose route is awaited */
    unsigned holders; /* errands at work */
    bool is_durable; /* its group is on the disk: it may be worked on */
    bool is_fresh;   /* its errands are not in the schedule yet */
    struct work *first_work; /* errands that wait for the routes */
};

/* An errand that was taken from the schedule, until it ends. */
struct work {
    struct queue *queue;
    uint32_t handle;
    struct mail *mail;
    struct text destination; /* copied in octets */
    char destination_octets[512];
    bool is_expired;
    int64_t age_ms; /* of the errand as it began: the schedule's, which a jump of the clock does not change */
    struct link *to;
    uint64_t slot;
    uint64_t delivery; /* 0: none is out */
    uint32_t *indexes; /* recipients of this errand */
    size_t count, next; /* next: the first that was not handed over */
    size_t batch;       /* handed over now */
    struct result *results;
    struct arena arena;
    bool has_deferred;
    bool is_unreachable; /* no connection at all */
    bool was_reached;
    struct work *next_work;
};

/* Those who deliver for us. */
struct receiver {
    struct link *link;
    int window_file;
    char *window;
    uint64_t slots;
    uint32_t *free_slots;
    size_t free_count;
};

struct queue {
    struct role *role;
    struct spool *spool;
    struct schedule schedule;
    struct schedule_plan plan;
    struct loop_timer *pump_timer, *tidy_timer, *update_timer;
    bool is_update_due; /* update_timer is set */
    struct queue_lane lanes[QUEUE_LANES];
    struct map incoming; /* id as eight octets -> struct incoming */
    uint64_t open_octets; /* of them, in memory */
    bool is_paused;      /* lanes are not read: takes are late */
    struct late_take *late_first, *late_last;
    struct take_list collected, written;
    /* the disk thread */
    pthread_mutex_t lock;
    pthread_cond_t work_came;
    struct spool_group *group, *group_done; /* handed to it, handed back */
    struct spool_chore *chore, *chore_done;
    bool is_group_out, is_chore_out;
    int disk_wake; /* eventfd: something was handed back */
    struct loop_watch *disk_watch;
    /* delivery */
    struct map mails; /* id as eight octets -> struct mail */
    struct map routes; /* recipient key -> struct known_route */
    struct map asked_routes; /* tag as eight octets -> struct asked_route */
    struct map deliveries; /* delivery as eight octets -> struct work */
    uint64_t next_delivery, next_tag, next_own;
    uint64_t accounts_generation;
    uint64_t routes_since_ms;
    struct receiver mailbox, relay;
    struct ticket_keys ticket_keys;
    size_t works;
    uint64_t taken, delivered, relayed, failed, deferred, reports;
    bool is_stopping;
    uint64_t stop_at_ms;
    struct loop_timer *stop_timer;
    bool is_pumping;
    bool is_held_back; /* an administrator has paused deliveries */
    struct buffer ended; /* ids (uint64_t) of messages found at the start that only wait to be removed */
};

struct text queue_key(uint64_t number, char octets[8]);
struct text queue_id_text(uint64_t id, char octets[QUEUE_ID_LENGTH]);

/* queue_take.c */
void queue_lane_open(struct queue *q, const struct channel_descriptors *files, uint64_t number);
void queue_lanes_close(struct queue *q); /* front is gone */
void queue_takes_retry(struct queue *q);
/* Remembers a take of the group being collected, to be told when the group is decided. lane NULL: one of our own, told to nobody. */
void queue_note_take(struct queue *q, struct queue_lane *lane, uint64_t sequence, uint64_t id, enum window_result result);

/* queue_disk.c */
must_check bool queue_disk_start(struct queue *q);
void queue_after_round(void *context);
void queue_seal(struct queue *q); /* the collected group goes to the disk thread */
void queue_spool_failed(struct queue *q, const struct spool_trouble *trouble); /* ends the role: the next one believes only the disk */
/* Journals, and if the group is full goes on once it is written. */
void queue_update(struct queue *q, struct mail *mail, uint32_t recipient, uint32_t flags, const struct text *result, int64_t next_attempt_ms);
must_check bool queue_append_own(struct queue *q, const struct envelope *envelope, struct text front, uint64_t copied_from, uint64_t copied_length,
                                 uint64_t *ret_id);

/* queue_mail.c */
/* Keeps it in memory while there is room; false: the envelope can't be read. */
must_check bool queue_mail_of_take(struct queue *q, uint64_t id, struct text envelope, uint64_t body_length);
struct mail *queue_mail_open(struct queue *q, uint64_t id); /* NULL: it is gone, or unreadable (logged) */
void queue_mail_release(struct queue *q, struct mail *mail);
void queue_mail_route(struct queue *q, struct mail *mail); /* goes on in queue_mail_routed when all are known */
void queue_route_answer(struct queue *q, const struct peers_route_answer *answer);
void queue_routes_forget(struct queue *q);
void queue_routes_lost(struct queue *q); /* the vault is gone: what is asked is told as unavailable */
bool queue_mail_is_done(const struct mail *mail);

/* queue_deliver.c */
void queue_taken_durable(struct queue *q, uint64_t id);
void queue_mail_routed(struct queue *q, struct mail *mail);
void queue_pump(struct queue *q);
void queue_pump_later(void *context);
/* from: only the one that a delivery went to may speak of it. */
void queue_delivered(struct queue *q, const struct link *from, const struct peers_delivered *delivered);
void queue_body_asked(struct queue *q, const struct link *from, const struct peers_body_ask *ask);
void queue_receiver_open(struct queue *q, struct receiver *r, struct link *link, uint64_t slots);
void queue_receiver_lost(struct queue *q, struct receiver *r);
void queue_add_errands(struct queue *q, struct mail *mail, struct text except);
void queue_finish_mail(struct queue *q, struct mail *mail);

/* queue_report.c */
void queue_report(struct queue *q, struct mail *mail, enum outcome_report_kind kind, const uint32_t *indexes, const struct result *results, size_t count);
/* A message of its own to the addresses that stand behind the recipient. */
struct result queue_forward(struct queue *q, struct mail *mail, uint32_t recipient);

/* queue_command.c */
void queue_command(struct queue *q, struct link *from, const struct peers_command_ask *ask);

#endif
