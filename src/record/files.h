/* SPDX-License-Identifier: Apache-2.0 */
/* files: the names of the log's files. The present one is `portiere.log`; one that was rotated away carries the moment
 * in its name, so that names in order are lines in order. */
#ifndef RECORD_FILES_H
#define RECORD_FILES_H

#include "base/base.h"

enum { RECORD_FILE_NAME = 64 };

extern const struct text record_file_name; /* a constant */

/* "portiere-2026-11-25T12-58-53.123Z.log" */
bool record_rotated_append(struct buffer *b, int64_t time_ms);
must_check bool record_rotated_parse(struct text name, int64_t *ret_time_ms);

#endif
