/* SPDX-License-Identifier: Apache-2.0 */
/* corpora: finds test data that is not part of the project: PORTIERE_CORPORA names its folder, else ../shared/corpora
 * beside the project. Unit tests include it; where a file is absent they skip the test by name. PROJECT_ROOT comes from
 * meson. */
#ifndef TESTS_CORPORA_H
#define TESTS_CORPORA_H

#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

static inline bool file_read(const char *path, struct buffer *b)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    char block[4096];
    size_t count;
    while ((count = fread(block, 1, sizeof block, file)) != 0)
        buffer_append(b, text_of(block, count));
    fclose(file);
    return !b->is_full;
}

static inline bool corpora_read(const char *name, struct buffer *b)
{
    const char *folder = getenv("PORTIERE_CORPORA");
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder ? folder : PROJECT_ROOT "/../shared/corpora", name);
    return file_read(path, b);
}

/* False when it is absent, and says so in the test's output. */
static inline bool corpora_has(const char *name)
{
    struct buffer nothing released_by(buffer_done) = buffer_new(64 << 20);
    if (corpora_read(name, &nothing))
        return true;
    printf("# SKIP %s is absent\n", name);
    return false;
}

#endif
