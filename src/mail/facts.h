/* SPDX-License-Identifier: Apache-2.0 */
/* facts: the words that several stages share about addresses and log-ins. */
#ifndef MAIL_FACTS_H
#define MAIL_FACTS_H

#include "base/check.h"

/* What the vault says of one address. Values travel as octets: append only. */
enum mail_address_kind {
    MAIL_ADDRESS_UNKNOWN_YET,       /* nobody asked */
    MAIL_ADDRESS_FOREIGN,           /* its domain is not ours */
    MAIL_ADDRESS_LOCAL,             /* an account, alias, group or catch-all of ours takes it */
    MAIL_ADDRESS_LOCAL_OWN,         /* the same, and the login asked about may send as it */
    MAIL_ADDRESS_LOCAL_NOBODY,      /* our domain, but nobody there */
    MAIL_ADDRESS_LOCAL_FULL,        /* its mailbox is over its quota */
    MAIL_ADDRESS_LOCAL_DISABLED,    /* the account is disabled */
    MAIL_ADDRESS_UNAVAILABLE,       /* the store could not say: always 4yz */
    MAIL_ADDRESS_KINDS,
};

enum mail_login_state {
    MAIL_LOGIN_CONTINUE,    /* challenge holds what to send */
    MAIL_LOGIN_DONE,
    MAIL_LOGIN_WRONG,       /* 535 5.7.8 */
    MAIL_LOGIN_MALFORMED,   /* 501 5.5.2 */
    MAIL_LOGIN_UNSUPPORTED, /* 504 5.5.4 */
    MAIL_LOGIN_UNAVAILABLE, /* 454 4.7.0 */
};

#endif
