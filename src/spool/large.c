/* SPDX-License-Identifier: Apache-2.0 */
/* Large bodies in files of their own, named by the message's id; the record that names them is appended when they are whole. */
#include "spool/inside.h"

#include "system/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <xxhash.h>

struct spool_large {
    uint64_t id, length;
    XXH3_state_t *sum;
    int file;
    int error;
};

static void large_free(struct spool_large **large)
{
    file_close(&(*large)->file);
    XXH3_freeState((*large)->sum);
    free(*large);
    *large = NULL;
}

static bool is_out_of_space(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

enum spool_result spool_large_begin(struct spool *s, uint64_t id, bool is_own, struct spool_large **ret_large)
{
    must(s->is_recovered && id != 0);
    if (s->is_broken)
        return SPOOL_BROKEN;
    if (s->is_full && !is_own)
        return SPOOL_NO_SPACE;
    if (table_find(&s->table, id))
        return SPOOL_DUPLICATE;
    char name[32];
    int file = -1;
    int error = file_open(s->large_folder, spool_large_name(name, id), O_RDWR | O_CREAT | O_EXCL, 0600, &file);
    if (error)
        return error == EEXIST ? SPOOL_DUPLICATE : is_out_of_space(error) ? SPOOL_NO_SPACE : SPOOL_FAILED;
    struct spool_large *large = calloc(1, sizeof *large);
    must(large != NULL);
    *large = (struct spool_large){.id = id, .file = file, .sum = XXH3_createState()};
    must(large->sum != NULL && XXH3_64bits_reset(large->sum) == XXH_OK);
    *ret_large = large;
    return SPOOL_OK;
}

enum spool_result spool_large_write(struct spool_large *large, struct text octets)
{
    if (!large->error)
        large->error = file_write_all_at(large->file, octets, large->length);
    if (large->error)
        return is_out_of_space(large->error) ? SPOOL_NO_SPACE : SPOOL_FAILED;
    must(XXH3_64bits_update(large->sum, octets.bytes, octets.length) == XXH_OK);
    large->length += octets.length;
    return SPOOL_OK;
}

uint64_t spool_large_length(const struct spool_large *large)
{
    return large->length;
}

enum spool_result spool_large_commit(struct spool *s, struct spool_large **large, const struct spool_new *message)
{
    struct spool_large *l = *large;
    must(l->id == message->id);
    if (l->error)
        return is_out_of_space(l->error) ? SPOOL_NO_SPACE : SPOOL_FAILED;
    if (table_find(&s->table, message->id))
        return SPOOL_DUPLICATE;
    enum spool_result result = group_begin(s);
    if (result != SPOOL_OK)
        return result;
    if (buffer_space(&s->collecting->larges) < sizeof(int))
        return SPOOL_LATER;
    struct format_record record = {
        .type = FORMAT_MESSAGE,
        .is_large = true,
        .id = message->id,
        .envelope = message->envelope,
        .states = TEXT_NONE,
        .taken_ms = message->taken_ms,
        .body_length = l->length,
        .body_checksum = XXH3_64bits_digest(l->sum),
    };
    uint32_t at;
    result = group_append(s, &record, message->is_own, true, &at);
    if (result != SPOOL_OK)
        return result;
    group_set_entry(table_put(&s->table, record.id), &record, at);
    must(buffer_append(&s->collecting->larges, text_of((const char *)&l->file, sizeof l->file)));
    s->collecting->has_large = true;
    l->file = -1; /* the group's now */
    large_free(large);
    return SPOOL_OK;
}

void spool_large_abort(struct spool *s, struct spool_large **large)
{
    if (!*large)
        return;
    char name[32];
    ignored(file_remove(s->large_folder, spool_large_name(name, (*large)->id))); /* else it goes at the next start, as an orphan */
    large_free(large);
}
