/* SPDX-License-Identifier: Apache-2.0 */
/* queue_id: the name of a message in our queue, made by front: number of the server's start (24 bits), lane (8), counter (32). Never used again.
 * As text: sixteen hexadecimal digits. */
#ifndef MAIL_QUEUE_ID_H
#define MAIL_QUEUE_ID_H

#include "base/base.h"

enum { QUEUE_ID_LENGTH = 16 };

uint64_t queue_id_make(uint64_t boot, unsigned lane, uint64_t counter);
bool queue_id_append(struct buffer *b, uint64_t id);
/* The name of a session in the log: "s" and sixteen hexadecimal digits. The number is what login_ask carries. */
uint64_t session_number_make(uint64_t boot, uint32_t slot, uint64_t generation);
bool session_name_append(struct buffer *b, uint64_t number);
must_check bool queue_id_parse(struct text t, uint64_t *ret_id);

#endif
