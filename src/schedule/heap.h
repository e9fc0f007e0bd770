/* SPDX-License-Identifier: Apache-2.0 */
/* heap: a binary heap of numbers in a buffer. What the numbers stand for, their order and where their place is kept is the caller's. */
#ifndef SCHEDULE_HEAP_H
#define SCHEDULE_HEAP_H

#include "schedule/schedule.h"

#define HEAP_NOWHERE UINT32_MAX

struct heap_kind {
    bool (*is_before)(const struct schedule *s, uint32_t a, uint32_t b);
    void (*moved)(struct schedule *s, uint32_t item, uint32_t place);
};

size_t heap_count(const struct buffer *heap);
uint32_t heap_first(const struct buffer *heap); /* there is one */
void heap_put(struct schedule *s, struct buffer *heap, const struct heap_kind *kind, uint32_t item);
void heap_remove(struct schedule *s, struct buffer *heap, const struct heap_kind *kind, uint32_t place); /* its place becomes HEAP_NOWHERE */
void heap_changed(struct schedule *s, struct buffer *heap, const struct heap_kind *kind, uint32_t place);
void heap_rebuild(struct schedule *s, struct buffer *heap, const struct heap_kind *kind); /* after all may have changed */

#endif
