/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/heap.h"

static uint32_t *items_of(const struct buffer *heap)
{
    return (void *)heap->bytes;
}

size_t heap_count(const struct buffer *heap)
{
    return heap->length / sizeof(uint32_t);
}

uint32_t heap_first(const struct buffer *heap)
{
    must(heap_count(heap) > 0);
    return items_of(heap)[0];
}

static void set(struct schedule *s, struct buffer *heap, const struct heap_kind *kind, size_t place, uint32_t item)
{
    items_of(heap)[place] = item;
    kind->moved(s, item, (uint32_t)place);
}

static size_t up(struct schedule *s, struct buffer *heap, const struct heap_kind *kind, size_t place)
{
    uint32_t item = items_of(heap)[place];
    while (place > 0) {
        size_t parent = (place - 1) / 2;
        if (!kind->is_before(s, item, items_of(heap)[parent]))
            break;
        set(s, heap, kind, place, items_of(heap)[parent]);
        place = parent;
    }
    set(s, heap, kind, place, item);
    return place;
}

static void down(struct schedule *s, struct buffer *heap, const struct heap_kind *kind, size_t place)
{
    uint32_t item = items_of(heap)[place];
    size_t count = heap_count(heap);
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= count)
            break;
        if (child + 1 < count && kind->is_before(s, items_of(heap)[child + 1], items_of(heap)[child]))
            child++;
        if (!kind->is_before(s, items_of(heap)[child], item))
            break;
        set(s, heap, kind, place, items_of(heap)[child]);
        place = child;
    }
    set(s, heap, kind, place, item);
}

void heap_put(struct schedule *s, struct buffer *heap, const struct heap_kind *kind, uint32_t item)
{
    must(buffer_append(heap, text_of((const char *)&item, sizeof item)));
    up(s, heap, kind, heap_count(heap) - 1);
}

void heap_changed(struct schedule *s, struct buffer *heap, const struct heap_kind *kind, uint32_t place)
{
    must(place < heap_count(heap));
    down(s, heap, kind, up(s, heap, kind, place));
}

void heap_remove(struct schedule *s, struct buffer *heap, const struct heap_kind *kind, uint32_t place)
{
    must(place < heap_count(heap));
    uint32_t removed = items_of(heap)[place], last = items_of(heap)[heap_count(heap) - 1];
    heap->length -= sizeof(uint32_t);
    kind->moved(s, removed, HEAP_NOWHERE);
    if (place == heap_count(heap))
        return;
    set(s, heap, kind, place, last);
    heap_changed(s, heap, kind, place);
}

void heap_rebuild(struct schedule *s, struct buffer *heap, const struct heap_kind *kind)
{
    for (size_t place = heap_count(heap) / 2; place-- > 0;)
        down(s, heap, kind, place);
}
