/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox: the Maildir store, DOMAIN/USER/{cur,new,tmp} beneath one folder, one owner for all, no link followed. A
 * message is written into tmp, its data and then its name in new are made durable, and only then it is delivered; a
 * batch shares the syncs. The octets stand on the disk as they came (CRLF): Dovecot and mutt read both kinds of line
 * ends, and only so nothing of a message is changed. The name is made of arrival and queue id, so that a repeat after a
 * crash meets the file in new or cur and makes no double. Quotas are counted in `maildirsize` (Maildir++), which
 * Dovecot reads and writes too. The disk's troubles are deferrals, never failures for good. The store owns folders and
 * files; a delivery is the caller's until mailbox_delivery_free. */
#ifndef MAILBOX_MAILBOX_H
#define MAILBOX_MAILBOX_H

#include "mail/mail.h"

enum { MAILBOX_BATCH = 256 };

enum mailbox_outcome {
    MAILBOX_UNDECIDED, /* not committed yet */
    MAILBOX_DELIVERED,
    MAILBOX_ALREADY_THERE, /* an earlier try had done it: a success */
    MAILBOX_DUPLICATE,     /* delete_duplicates: the same message came within 24 hours; a success too */
    MAILBOX_FULL,          /* over its quota */
    MAILBOX_DISK_FULL,     /* ENOSPC */
    MAILBOX_DISK_QUOTA,    /* EDQUOT: the file system's quota */
    MAILBOX_DISK_FAILED,   /* EIO, EROFS, EACCES and the like */
    MAILBOX_NOT_SAFE,      /* a link, a foreign owner or no folder on the way to it */
    MAILBOX_BAD_NAME,      /* the account's name is no address: our own mistake, deferred */
    MAILBOX_CUT_SHORT,     /* fewer octets came than announced */
    MAILBOX_OUTCOMES,
};

struct mailbox_options {
    struct text host;       /* for file names; borrowed */
    bool adds_return_path;  /* forged ones go in any case */
    bool full_is_permanent; /* 552 5.2.2 instead of 452 4.2.2 */
    bool deletes_duplicates;
};

struct mailbox_order {
    struct text account;   /* primary address */
    uint64_t id;           /* of the queue */
    int64_t arrived_ms;    /* wall clock, from the envelope */
    struct address sender; /* for Return-Path */
    uint64_t total;        /* octets that will come */
    uint64_t quota;        /* octets, 0: none */
    bool may_be_repeat;    /* an earlier try may have been lost with a process: new and cur are searched */
    int64_t now_ms;        /* wall clock */
};

struct mailbox_store;
struct mailbox_delivery;

/* folder is the caller's and outlives the store. */
struct mailbox_store *mailbox_store_new(int folder);
void mailbox_store_free(struct mailbox_store **store); /* no delivery may be left */
void mailbox_store_options(struct mailbox_store *store, const struct mailbox_options *options);

/* Never NULL: what went wrong stands in its outcome, and later calls do nothing then. */
struct mailbox_delivery *mailbox_delivery_begin(struct mailbox_store *store, const struct mailbox_order *order);
void mailbox_delivery_write(struct mailbox_delivery *delivery, struct text octets);
/* All octets have come. Decides the outcome of each, with as few journal commits as the batch allows. */
void mailbox_deliveries_commit(struct mailbox_store *store, struct mailbox_delivery *const *deliveries, size_t count);
void mailbox_delivery_free(struct mailbox_delivery **delivery); /* what is not committed leaves no file */

enum mailbox_outcome mailbox_delivery_outcome(const struct mailbox_delivery *delivery);
int mailbox_delivery_error(const struct mailbox_delivery *delivery); /* errno, 0 when it was none of the kernel's */
struct text mailbox_delivery_account(const struct mailbox_delivery *delivery);
/* As the queue wants to hear it: class, code, enhanced code, stage, text. The texts are constants. */
void mailbox_delivery_result(const struct mailbox_delivery *delivery, struct result *ret_result);
struct text mailbox_outcome_word(enum mailbox_outcome outcome);

/* Removes what stayed in a mailbox's tmp for more than 36 hours; one mailbox a call. False: the round is over. */
bool mailbox_store_sweep(struct mailbox_store *store, int64_t now_ms);

/* The name of a folder for the two parts of an address's key, and of a host in a file name: never "/", ":", a leading
 * dot, a control octet or NUL; such octets become \057 and the like (Maildir's way). */
void mailbox_append_name(struct buffer *b, struct text part);

#endif
