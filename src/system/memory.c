/* SPDX-License-Identifier: Apache-2.0 */
#include "system/memory.h"
#include "system/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int memory_new(const char *name, size_t size, int *ret_file)
{
    int file = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0)
        return errno;
    if (ftruncate(file, (off_t)size) < 0 || fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        int error = errno;
        close(file);
        return error;
    }
    *ret_file = file;
    return 0;
}

int memory_new_sealed(const char *name, struct text octets, int *ret_file)
{
    int file = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0)
        return errno;
    int error = file_write_all(file, octets);
    if (!error && fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        error = errno;
    if (error) {
        close(file);
        return error;
    }
    *ret_file = file;
    return 0;
}

size_t memory_size(int file)
{
    int seals = fcntl(file, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return 0;
    /* glibc makes newfstatat out of fstat, which a role without files may not call */
    off_t end = lseek(file, 0, SEEK_END);
    return end > 0 ? (size_t)end : 0;
}

int memory_map(int file, size_t size, bool is_writable, void **ret_address)
{
    if (size == 0 || memory_size(file) < size)
        return ENODATA;
    void *address = mmap(NULL, size, PROT_READ | (is_writable ? PROT_WRITE : 0), MAP_SHARED, file, 0);
    if (address == MAP_FAILED)
        return errno;
    *ret_address = address;
    return 0;
}

int memory_map_over(int file, size_t size, void *address)
{
    if (size == 0 || memory_size(file) < size)
        return ENODATA;
    return mmap(address, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED ? errno : 0;
}

void memory_unmap(void *address, size_t size)
{
    if (address)
        munmap(address, size);
}
