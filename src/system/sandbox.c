/* SPDX-License-Identifier: Apache-2.0 */
#include "system/sandbox.h"
#include "system/file.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Landlock's interface (linux/landlock.h of newer kernels). */
enum { LANDLOCK_CREATE = 444, LANDLOCK_ADD = 445, LANDLOCK_RESTRICT = 446, LANDLOCK_ASK_VERSION = 1, LANDLOCK_BENEATH = 1 };
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_DIR = 1 << 4,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_CHAR = 1 << 6,
    FS_MAKE_DIR = 1 << 7,
    FS_MAKE_REG = 1 << 8,
    FS_MAKE_SOCK = 1 << 9,
    FS_MAKE_FIFO = 1 << 10,
    FS_MAKE_BLOCK = 1 << 11,
    FS_MAKE_SYM = 1 << 12,
    FS_REFER = 1 << 13,    /* ABI 2: renames between folders */
    FS_TRUNCATE = 1 << 14, /* ABI 3 */
    FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
    NET_BIND = 1 << 0,
    NET_CONNECT = 1 << 1, /* ABI 4 */
    SCOPE_ABSTRACT = 1 << 0,
    SCOPE_SIGNAL = 1 << 1, /* ABI 6 */
};
struct landlock_ruleset {
    uint64_t files, network, scopes;
};
struct landlock_beneath {
    uint64_t allowed;
    int32_t folder;
} __attribute__((packed));

static const uint64_t files_of_abi[] = {0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff};
static const uint64_t reading = FS_READ_FILE | FS_READ_DIR;
static const uint64_t writing = FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_REFER | FS_TRUNCATE;

static unsigned enter_landlock(const struct sandbox *sandbox)
{
    long abi = syscall(LANDLOCK_CREATE, NULL, 0, LANDLOCK_ASK_VERSION);
    if (abi <= 0)
        return 0;
    struct landlock_ruleset ruleset = {.files = files_of_abi[smaller((size_t)abi, length_of(files_of_abi) - 1)]};
    size_t size = sizeof ruleset.files;
    if (abi >= 4) {
        ruleset.network = (sandbox->grants & (SANDBOX_CONNECT | SANDBOX_DATAGRAMS)) ? 0U : (uint64_t)(NET_BIND | NET_CONNECT);
        size = offsetof(struct landlock_ruleset, scopes);
    }
    if (abi >= 6) {
        ruleset.scopes = SCOPE_ABSTRACT | SCOPE_SIGNAL;
        size = sizeof ruleset;
    }
    int rules released_by(file_close) = (int)syscall(LANDLOCK_CREATE, &ruleset, size, 0);
    if (rules < 0)
        return 0;
    for (size_t i = 0; i < sandbox->folder_count; i++) {
        struct landlock_beneath rule = {
            .allowed = (reading | (sandbox->folders[i].may_write ? writing : 0)) & ruleset.files,
            .folder = sandbox->folders[i].folder,
        };
        if (syscall(LANDLOCK_ADD, rules, LANDLOCK_BENEATH, &rule, 0) < 0)
            return 0;
    }
    return syscall(LANDLOCK_RESTRICT, rules, 0) == 0 ? (unsigned)abi : 0;
}

static const struct {
    unsigned grant; /* 0: always */
    int call;
} calls[] = {
    {0, SCMP_SYS(read)}, {0, SCMP_SYS(write)}, {0, SCMP_SYS(readv)}, {0, SCMP_SYS(writev)}, {0, SCMP_SYS(close)}, {0, SCMP_SYS(recvmsg)},
    {0, SCMP_SYS(sendmsg)}, {0, SCMP_SYS(recvmmsg)}, {0, SCMP_SYS(sendmmsg)}, {0, SCMP_SYS(recvfrom)}, {0, SCMP_SYS(sendto)},
    {0, SCMP_SYS(epoll_wait)}, {0, SCMP_SYS(epoll_pwait)}, {0, SCMP_SYS(epoll_ctl)}, {0, SCMP_SYS(epoll_create1)}, {0, SCMP_SYS(poll)},
    {0, SCMP_SYS(ppoll)}, {0, SCMP_SYS(eventfd2)}, {0, SCMP_SYS(futex)}, {0, SCMP_SYS(mmap)}, {0, SCMP_SYS(munmap)},
    {0, SCMP_SYS(mprotect)}, {0, SCMP_SYS(mremap)}, {0, SCMP_SYS(madvise)}, {0, SCMP_SYS(brk)}, {0, SCMP_SYS(clock_gettime)},
    {0, SCMP_SYS(clock_nanosleep)}, {0, SCMP_SYS(nanosleep)}, {0, SCMP_SYS(gettimeofday)}, {0, SCMP_SYS(time)}, {0, SCMP_SYS(getrandom)},
    {0, SCMP_SYS(getpid)}, {0, SCMP_SYS(gettid)}, {0, SCMP_SYS(getuid)}, {0, SCMP_SYS(geteuid)}, {0, SCMP_SYS(getgid)}, {0, SCMP_SYS(getegid)},
    {0, SCMP_SYS(rt_sigaction)}, {0, SCMP_SYS(rt_sigprocmask)}, {0, SCMP_SYS(rt_sigreturn)}, {0, SCMP_SYS(sigaltstack)},
    {0, SCMP_SYS(exit)}, {0, SCMP_SYS(exit_group)}, {0, SCMP_SYS(restart_syscall)}, {0, SCMP_SYS(sched_yield)}, {0, SCMP_SYS(sched_getaffinity)},
    {0, SCMP_SYS(fstat)}, {0, SCMP_SYS(lseek)}, {0, SCMP_SYS(getrusage)}, {0, SCMP_SYS(sysinfo)}, {0, SCMP_SYS(uname)},
    {0, SCMP_SYS(shutdown)}, {0, SCMP_SYS(getsockopt)}, {0, SCMP_SYS(setsockopt)}, {0, SCMP_SYS(getsockname)}, {0, SCMP_SYS(getpeername)},
    {0, SCMP_SYS(dup)}, {0, SCMP_SYS(dup2)}, {0, SCMP_SYS(dup3)}, {0, SCMP_SYS(rseq)}, {0, SCMP_SYS(set_robust_list)}, {0, SCMP_SYS(membarrier)},
    {SANDBOX_THREADS, SCMP_SYS(set_tid_address)}, {SANDBOX_THREADS, SCMP_SYS(sched_getparam)}, {SANDBOX_THREADS, SCMP_SYS(sched_getscheduler)},
    {SANDBOX_ACCEPT, SCMP_SYS(accept4)}, {SANDBOX_ACCEPT, SCMP_SYS(accept)},
    {SANDBOX_CONNECT, SCMP_SYS(connect)}, {SANDBOX_DATAGRAMS, SCMP_SYS(connect)}, {SANDBOX_DATAGRAMS, SCMP_SYS(bind)}, {SANDBOX_CONNECT, SCMP_SYS(bind)},
    {SANDBOX_MEMFD, SCMP_SYS(memfd_create)}, {SANDBOX_MEMFD, SCMP_SYS(ftruncate)},
    {SANDBOX_FILES, SCMP_SYS(openat)}, {SANDBOX_FILES, SCMP_SYS(open)}, {SANDBOX_FILES, SCMP_SYS(newfstatat)}, {SANDBOX_FILES, SCMP_SYS(statx)},
    {SANDBOX_FILES, SCMP_SYS(stat)}, {SANDBOX_FILES, SCMP_SYS(lstat)}, {SANDBOX_FILES, SCMP_SYS(access)}, {SANDBOX_FILES, SCMP_SYS(faccessat2)},
    {SANDBOX_FILES, SCMP_SYS(pread64)}, {SANDBOX_FILES, SCMP_SYS(pwrite64)}, {SANDBOX_FILES, SCMP_SYS(preadv)}, {SANDBOX_FILES, SCMP_SYS(pwritev)},
    {SANDBOX_FILES, SCMP_SYS(fsync)}, {SANDBOX_FILES, SCMP_SYS(fdatasync)}, {SANDBOX_FILES, SCMP_SYS(syncfs)}, {SANDBOX_FILES, SCMP_SYS(sync_file_range)},
    {SANDBOX_FILES, SCMP_SYS(renameat)}, {SANDBOX_FILES, SCMP_SYS(renameat2)}, {SANDBOX_FILES, SCMP_SYS(rename)}, {SANDBOX_FILES, SCMP_SYS(linkat)},
    {SANDBOX_FILES, SCMP_SYS(unlinkat)}, {SANDBOX_FILES, SCMP_SYS(unlink)}, {SANDBOX_FILES, SCMP_SYS(mkdirat)}, {SANDBOX_FILES, SCMP_SYS(ftruncate)},
    {SANDBOX_FILES, SCMP_SYS(fallocate)}, {SANDBOX_FILES, SCMP_SYS(getdents64)}, {SANDBOX_FILES, SCMP_SYS(flock)}, {SANDBOX_FILES, SCMP_SYS(fstatfs)},
    {SANDBOX_FILES, SCMP_SYS(statfs)}, {SANDBOX_FILES, SCMP_SYS(readlink)}, {SANDBOX_FILES, SCMP_SYS(readlinkat)}, {SANDBOX_FILES, SCMP_SYS(getcwd)},
    {SANDBOX_FILES, SCMP_SYS(fchmod)}, {SANDBOX_FILES, SCMP_SYS(fadvise64)}, {SANDBOX_FILES, SCMP_SYS(umask)}, {SANDBOX_FILES, SCMP_SYS(utimensat)},
    {SANDBOX_FILES, SCMP_SYS(fchmodat)}, {SANDBOX_FILES, SCMP_SYS(fchown)}, {SANDBOX_FILES, SCMP_SYS(rmdir)}, {SANDBOX_FILES, SCMP_SYS(mkdir)},
};

/* Calls of which only some uses are allowed: the argument of that place has one of these values. No F_SETOWN and F_SETSIG, FIOSETOWN and the
 * like, which make the kernel send another process a signal; no TIOCSTI, which types into the terminal that standard error may be. */
static const struct {
    int call;
    unsigned place;
    unsigned long value;
} uses[] = {
    {SCMP_SYS(fcntl), 1, F_DUPFD}, {SCMP_SYS(fcntl), 1, F_DUPFD_CLOEXEC}, {SCMP_SYS(fcntl), 1, F_GETFD}, {SCMP_SYS(fcntl), 1, F_SETFD},
    {SCMP_SYS(fcntl), 1, F_GETFL}, {SCMP_SYS(fcntl), 1, F_SETFL}, {SCMP_SYS(fcntl), 1, F_GETLK}, {SCMP_SYS(fcntl), 1, F_SETLK},
    {SCMP_SYS(fcntl), 1, F_SETLKW}, {SCMP_SYS(fcntl), 1, F_OFD_GETLK}, {SCMP_SYS(fcntl), 1, F_OFD_SETLK}, {SCMP_SYS(fcntl), 1, F_OFD_SETLKW},
    {SCMP_SYS(fcntl), 1, F_ADD_SEALS}, {SCMP_SYS(fcntl), 1, F_GET_SEALS},
    {SCMP_SYS(ioctl), 1, FIONBIO}, {SCMP_SYS(ioctl), 1, FIONREAD}, {SCMP_SYS(ioctl), 1, TCGETS},
};

static bool add_uses(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < length_of(uses); i++) {
        struct scmp_arg_cmp is = {.arg = uses[i].place, .op = SCMP_CMP_EQ, .datum_a = uses[i].value};
        int result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, uses[i].call, 1, &is);
        if (result < 0 && result != -EEXIST)
            return false;
    }
    /* abort and pthread_kill signal our own threads; in development all roles have one user, so that the kernel alone would let it pass */
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())) == 0;
}

static bool allow(scmp_filter_ctx filter, int call)
{
    int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
    return result == 0 || result == -EEXIST || result == -EDOM;
}

static bool add_rules(scmp_filter_ctx filter, unsigned grants)
{
    for (size_t i = 0; i < length_of(calls); i++)
        if (calls[i].grant == 0 || (grants & calls[i].grant))
            if (!allow(filter, calls[i].call))
                return false;
    if (!add_uses(filter))
        return false;
    /* glibc asks for clone3 first and falls back to clone when the kernel does not know it; clone's flags can be checked. */
    if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) < 0)
        return false;
    if ((grants & SANDBOX_THREADS) && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                                       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM)) < 0)
        return false;
    if (grants & (SANDBOX_CONNECT | SANDBOX_DATAGRAMS)) {
        static const int families[] = {AF_INET, AF_INET6};
        for (size_t i = 0; i < length_of(families); i++)
            if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i])) < 0)
                return false;
    }
    if (grants & (SANDBOX_PAIRS | SANDBOX_DATAGRAMS))
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX)) < 0)
            return false;
    if (grants & SANDBOX_DATAGRAMS) /* libunbound's worker tells by a pipe */
        if (!allow(filter, SCMP_SYS(pipe2)) || !allow(filter, SCMP_SYS(pipe)))
            return false;
    /* limits may be read, not changed: the last argument but one must be null */
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0)) == 0;
}

static bool enter_seccomp(unsigned grants)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return false;
    bool entered = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0 && add_rules(filter, grants) && seccomp_load(filter) == 0;
    seccomp_release(filter);
    return entered;
}

bool sandbox_enter(const struct sandbox *sandbox, struct sandbox_state *ret_state)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return false;
    struct sandbox_state state = {.landlock = enter_landlock(sandbox)};
    state.has_seccomp = enter_seccomp(sandbox->grants);
    *ret_state = state;
    return state.has_seccomp;
}

static bool tell(struct buffer *b, const char *what, bool is_denied)
{
    ignored(buffer_append_format(b, "%s: %s\n", what, is_denied ? "denied" : "ALLOWED")); /* a cut list still tells the verdict */
    return is_denied;
}

static bool open_is_denied(const char *path, int flags)
{
    int file = open(path, flags | O_CLOEXEC, 0600);
    if (file < 0)
        return errno == EPERM || errno == EACCES;
    close(file);
    return false;
}

bool sandbox_prove(struct buffer *b, unsigned grants)
{
    bool all = tell(b, "open /etc/shadow", open_is_denied("/etc/shadow", O_RDONLY));
    all &= tell(b, "open /etc/passwd", open_is_denied("/etc/passwd", O_RDONLY));
    all &= tell(b, "make /tmp/portiere-proof", open_is_denied("/tmp/portiere-proof", O_WRONLY | O_CREAT));
    char *const nothing[] = {NULL};
    ignored(execve("/bin/true", nothing, nothing)); /* it returns only when it failed */
    all &= tell(b, "execve /bin/true", errno == EPERM || errno == EACCES);
    all &= tell(b, "ptrace the parent", ptrace(PTRACE_ATTACH, getppid(), 0, 0) < 0 && errno == EPERM);
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    all &= tell(b, "raw socket", raw < 0 && errno == EPERM);
    if (!(grants & (SANDBOX_CONNECT | SANDBOX_DATAGRAMS))) {
        int stream = socket(AF_INET, SOCK_STREAM, 0);
        all &= tell(b, "network socket", stream < 0 && errno == EPERM);
    }
    all &= tell(b, "signal the parent", syscall(SYS_kill, getppid(), 0) < 0 && errno == EPERM);
    all &= tell(b, "signal a thread of the parent", syscall(SYS_tgkill, getppid(), getppid(), 0) < 0 && errno == EPERM);
    all &= tell(b, "have the parent signalled", fcntl(2, F_SETOWN, getppid()) < 0 && errno == EPERM);
    long child = syscall(SYS_clone, 17, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    all &= tell(b, "fork", child < 0 && errno == EPERM);
    return all;
}
