/* SPDX-License-Identifier: Apache-2.0 */
/* memory: pages that processes share (memfd). Sealed against resizing, so that no reader is killed by a shrinking file. */
#ifndef SYSTEM_MEMORY_H
#define SYSTEM_MEMORY_H

#include "base/base.h"

/* New pages of size octets, zeroed, sealed against growing and shrinking. 0 or errno. */
must_check int memory_new(const char *name, size_t size, int *ret_file);
/* A read-only copy of octets: sealed against writing too. */
must_check int memory_new_sealed(const char *name, struct text octets, int *ret_file);
/* Maps the first size octets; ENODATA when the file is shorter or not sealed against shrinking. */
must_check int memory_map(int file, size_t size, bool is_writable, void **ret_address);
/* The same, writable, in place of what is mapped at address, of the same size: who looks there meanwhile finds the old or the new. */
must_check int memory_map_over(int file, size_t size, void *address);
void memory_unmap(void *address, size_t size);
/* Size of such pages; 0 for anything else. */
size_t memory_size(int file);

#endif
