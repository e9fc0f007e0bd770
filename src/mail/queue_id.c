/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/queue_id.h"

uint64_t queue_id_make(uint64_t boot, unsigned lane, uint64_t counter)
{
    return (boot & 0xffffff) << 40 | (uint64_t)(lane & 0xff) << 32 | (counter & 0xffffffff);
}

bool queue_id_append(struct buffer *b, uint64_t id)
{
    static const char digits[] = "0123456789abcdef";
    char *room = buffer_room(b, QUEUE_ID_LENGTH);
    if (!room)
        return false;
    for (unsigned i = 0; i < QUEUE_ID_LENGTH; i++)
        room[i] = digits[id >> (60 - 4 * i) & 15];
    buffer_grew(b, QUEUE_ID_LENGTH);
    return true;
}

uint64_t session_number_make(uint64_t boot, uint32_t slot, uint64_t generation)
{
    return (boot & 0xffffff) << 40 | (uint64_t)(slot & 0xffff) << 24 | (generation & 0xffffff);
}

bool session_name_append(struct buffer *b, uint64_t number)
{
    return buffer_space(b) > QUEUE_ID_LENGTH && buffer_append_octet(b, 's') && queue_id_append(b, number);
}

bool queue_id_parse(struct text t, uint64_t *ret_id)
{
    uint64_t id = 0;
    if (t.length != QUEUE_ID_LENGTH)
        return false;
    for (size_t i = 0; i < t.length; i++) {
        char c = octet_lower(t.bytes[i]);
        if (octet_is_digit(c))
            id = id << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            id = id << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *ret_id = id;
    return true;
}
