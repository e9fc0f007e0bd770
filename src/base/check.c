/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *condition, const char *file, int line)
{
    ignored(fprintf(stderr, "portiere: %s:%d: this must hold: %s\n", file, line, condition)); /* we end anyway */
    abort();
}
