/* SPDX-License-Identifier: Apache-2.0 */
/* mail: what things are: address, domain, envelope, reply, result. Pure. */
#ifndef MAIL_MAIL_H
#define MAIL_MAIL_H

#include "mail/address.h"
#include "mail/base64.h"
#include "mail/envelope.h"
#include "mail/facts.h"
#include "mail/header.h"
#include "mail/queue_id.h"
#include "mail/reply.h"
#include "mail/result.h"
#include "mail/utf8.h"

#endif
