/* SPDX-License-Identifier: Apache-2.0 */
#include "system/random.h"

#include <errno.h>
#include <sys/random.h>

void random_fill(void *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t got = getrandom((char *)bytes + done, count - done, 0);
        must(got >= 0 || errno == EINTR);
        done += got > 0 ? (size_t)got : 0;
    }
}

uint64_t random_number(void)
{
    uint64_t number;
    random_fill(&number, sizeof number);
    return number;
}
