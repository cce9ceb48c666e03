/* fault: see fault.h. */
#define _GNU_SOURCE
#include "fault.h"

#include "fw_base.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MOST_MS = 5 };

/* Some tests have threads. */
struct plan {
    _Atomic unsigned long calls;
    unsigned long from, until;
    int error, always;
    size_t most;
};

static struct plan plans[FAULT_COUNT];
void (*fault_meanwhile)(enum fault_call call);
static _Atomic bool was_hit;
static bool clock_stopped, wall_set;
static uint64_t clock_us, clock_left_ms;
static _Atomic uint64_t sent_bytes;
static int64_t wall_second;
static _Atomic int last_wait_ms;
static unsigned long polls_that_waited;
static _Atomic long live_blocks;
static _Atomic size_t live_bytes;

static const struct row {
    const char *name;
    int harms[12], heals[12];
} rows[FAULT_COUNT] = {
#define ERRORS(...)                                                                                          \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define X(name, harms, heals) {#name, ERRORS harms, ERRORS heals},
    X(alloc, (ENOMEM), (0)) FAULT_CALLS(X)
#undef X
};

const char *fault_name(enum fault_call call)
{
    return rows[call].name;
}

const int *fault_errors(enum fault_call call, bool heals)
{
    return heals ? rows[call].heals : rows[call].harms;
}

void fault_reset(void)
{
    memset((void *)plans, 0, sizeof plans);
    was_hit = clock_stopped = wall_set = false;
    fault_meanwhile = NULL;
    sent_bytes = clock_left_ms = 0;
    polls_that_waited = 0;
}

void fault_fail(enum fault_call call, unsigned long n, unsigned long times, int error)
{
    struct plan *plan = &plans[call];
    plan->from = plan->calls + n;
    plan->until = plan->from + times;
    plan->error = error;
}

void fault_always(enum fault_call call, int error)
{
    plans[call].always = error;
}

bool fault_was_hit(void)
{
    return was_hit;
}

unsigned long fault_calls(enum fault_call call)
{
    return plans[call].calls;
}

void fault_most(enum fault_call call, size_t bytes)
{
    plans[call].most = bytes;
}

uint64_t fault_sent(void)
{
    return sent_bytes;
}

/* Count a call; true, with errno, where it is to fail. */
static bool fails(enum fault_call call)
{
    struct plan *plan = &plans[call];
    if (fault_meanwhile != NULL)
        fault_meanwhile(call);
    unsigned long call_no = ++plan->calls;
    if (call_no < plan->from || call_no >= plan->until) {
        errno = plan->always != 0 ? plan->always : errno;
        return plan->always != 0;
    }
    was_hit = true;
    errno = plan->error;
    return true;
}

static size_t shorter(enum fault_call call, size_t len)
{
    size_t most = plans[call].most;
    return most != 0 && most < len ? most : len;
}

static ssize_t count_sent(ssize_t n)
{
    if (n > 0)
        sent_bytes += (uint64_t)n;
    return n;
}

/* --- memory --- */

void *FW_REALLOC(void *old, size_t size)
{
    if (fails(FAULT_alloc))
        return NULL;
    size_t had = old != NULL ? malloc_usable_size(old) : 0;
    void *block = realloc(old, size);
    if (block == NULL)
        return NULL;
    live_blocks += old == NULL;
    live_bytes += malloc_usable_size(block) - had;
    return block;
}

void FW_FREE(void *old)
{
    if (old != NULL) {
        live_blocks--;
        live_bytes -= malloc_usable_size(old);
    }
    free(old);
}

long fault_blocks(void)
{
    return live_blocks;
}

size_t fault_bytes(void)
{
    return live_bytes;
}

int fault_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        closedir(dir);
    return count;
}

/* --- the clock --- */

/* What the core calls instead of `name`. */
#define FAULTY(result, name, ...)                                                                            \
    result faulty_##name(__VA_ARGS__);                                                                       \
    result faulty_##name(__VA_ARGS__)

FAULTY(int, clock_gettime, clockid_t id, struct timespec *t)
{
    if (id == CLOCK_MONOTONIC && clock_stopped) {
        *t = (struct timespec){.tv_sec = (time_t)(clock_us / 1000000),
                               .tv_nsec = (long)(clock_us % 1000000) * 1000};
        return 0;
    }
    if (id == CLOCK_REALTIME_COARSE && wall_set) {
        *t = (struct timespec){.tv_sec = (time_t)wall_second};
        return 0;
    }
    return clock_gettime(id, t);
}

void fault_clock_stop(void)
{
    clock_stopped = true;
    clock_us = 1000000000;
}

void fault_clock_step(uint64_t ms)
{
    fault_clock_step_us(ms * 1000);
}

void fault_clock_step_us(uint64_t us)
{
    clock_us += us;
}

void fault_clock_wait(uint64_t ms)
{
    clock_left_ms = ms;
}

uint64_t fault_clock_left(void)
{
    return clock_left_ms;
}

void fault_clock_wall(int64_t second)
{
    wall_set = true;
    wall_second = second;
}

/* --- system calls --- */

FAULTY(ssize_t, recv, int fd, void *buf, size_t len, int flags)
{
    return fails(FAULT_recv) ? -1 : recv(fd, buf, shorter(FAULT_recv, len), flags);
}

FAULTY(ssize_t, send, int fd, const void *buf, size_t len, int flags)
{
    return fails(FAULT_send) ? -1 : count_sent(send(fd, buf, shorter(FAULT_send, len), flags));
}

/* As many of `parts` as the plan lets through, in `fewer`, which has room for 8. Returns their number. */
static size_t shorter_parts(enum fault_call call, const struct iovec *parts, size_t count,
                            struct iovec *fewer)
{
    size_t left = plans[call].most, kept = 0;
    for (; kept < count && (plans[call].most == 0 || left > 0); kept++) {
        fewer[kept] = parts[kept];
        if (plans[call].most != 0 && fewer[kept].iov_len > left)
            fewer[kept].iov_len = left;
        left -= fewer[kept].iov_len;
    }
    return kept;
}

FAULTY(ssize_t, sendmsg, int fd, const struct msghdr *msg, int flags)
{
    struct iovec parts[8];
    struct msghdr less = *msg;
    if (fails(FAULT_sendmsg))
        return -1;
    less.msg_iov = parts;
    less.msg_iovlen = shorter_parts(FAULT_sendmsg, msg->msg_iov, msg->msg_iovlen, parts);
    return count_sent(sendmsg(fd, &less, flags));
}

FAULTY(ssize_t, writev, int fd, const struct iovec *iov, int count)
{
    struct iovec parts[8];
    if (fails(FAULT_writev))
        return -1;
    return writev(fd, parts, (int)shorter_parts(FAULT_writev, iov, (size_t)count, parts));
}

FAULTY(int, poll, struct pollfd *of, nfds_t count, int timeout_ms)
{
    if (fails(FAULT_poll))
        return -1;
    int n = poll(of, count,
                 clock_stopped || timeout_ms < 0 ? 0
                 : timeout_ms < WAIT_MOST_MS     ? timeout_ms
                                                 : WAIT_MOST_MS);
    if (n == 0 && timeout_ms > 0 && clock_stopped) {
        polls_that_waited++;
        clock_us += (uint64_t)timeout_ms * 1000;
    }
    return n;
}

unsigned long fault_polls_that_waited(void)
{
    return polls_that_waited;
}

FAULTY(ssize_t, sendfile, int out, int in, off_t *off, size_t len)
{
    return fails(FAULT_sendfile) ? -1 : count_sent(sendfile(out, in, off, shorter(FAULT_sendfile, len)));
}

FAULTY(ssize_t, recvmsg, int fd, struct msghdr *msg, int flags)
{
    return fails(FAULT_recvmsg) ? -1 : recvmsg(fd, msg, flags);
}

FAULTY(int, getsockname, int fd, struct sockaddr *address, socklen_t *len)
{
    return fails(FAULT_getsockname) ? -1 : getsockname(fd, address, len);
}

FAULTY(int, getpeername, int fd, struct sockaddr *address, socklen_t *len)
{
    return fails(FAULT_getpeername) ? -1 : getpeername(fd, address, len);
}

FAULTY(int, accept4, int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    return fails(FAULT_accept4) ? -1 : accept4(fd, address, len, flags);
}

FAULTY(int, epoll_create1, int flags)
{
    return fails(FAULT_epoll_create1) ? -1 : epoll_create1(flags);
}

/* Taking something out needs nothing that there could be too little of. */
FAULTY(int, epoll_ctl, int poll, int op, int fd, struct epoll_event *event)
{
    return fails(FAULT_epoll_ctl) && op != EPOLL_CTL_DEL ? -1 : epoll_ctl(poll, op, fd, event);
}

FAULTY(int, epoll_wait, int poll, struct epoll_event *events, int most, int timeout_ms)
{
    last_wait_ms = timeout_ms;
    if (fails(FAULT_epoll_wait))
        return -1;
    int real_ms = timeout_ms < 0 || timeout_ms > WAIT_MOST_MS ? WAIT_MOST_MS : timeout_ms;
    int n = epoll_wait(poll, events, most, clock_left_ms > 0 ? 0 : real_ms);
    if (n == 0 && clock_left_ms > 0) {
        uint64_t step =
            timeout_ms < 0 || clock_left_ms < (uint64_t)timeout_ms ? clock_left_ms : (uint64_t)timeout_ms;
        clock_us += step * 1000;
        clock_left_ms -= step;
    }
    return n;
}

int fault_wait_ms(void)
{
    return last_wait_ms;
}

FAULTY(ssize_t, pwrite, int fd, const void *buf, size_t len, off_t off)
{
    return fails(FAULT_pwrite) ? -1 : pwrite(fd, buf, shorter(FAULT_pwrite, len), off);
}

FAULTY(ssize_t, pread, int fd, void *buf, size_t len, off_t off)
{
    return fails(FAULT_pread) ? -1 : pread(fd, buf, shorter(FAULT_pread, len), off);
}

FAULTY(int, open, const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_list list;
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    return fails(FAULT_open) ? -1 : open(path, flags, mode);
}

FAULTY(int, mkostemp, char *path, int flags)
{
    return fails(FAULT_mkostemp) ? -1 : mkostemp(path, flags);
}

FAULTY(int, fcntl, int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    int value = va_arg(list, int);
    va_end(list);
    return fails(FAULT_fcntl) ? -1 : fcntl(fd, command, value);
}

FAULTY(int, pipe2, int ends[2], int flags)
{
    return fails(FAULT_pipe2) ? -1 : pipe2(ends, flags);
}

FAULTY(int, shutdown, int fd, int how)
{
    return fails(FAULT_shutdown) ? -1 : shutdown(fd, how);
}

FAULTY(int, setsockopt, int fd, int level, int name, const void *value, socklen_t len)
{
    return fails(FAULT_setsockopt) ? -1 : setsockopt(fd, level, name, value, len);
}

FAULTY(int, unlink, const char *path)
{
    return fails(FAULT_unlink) ? -1 : unlink(path);
}

FAULTY(int, ftruncate, int fd, off_t len)
{
    return fails(FAULT_ftruncate) ? -1 : ftruncate(fd, len);
}

FAULTY(int, fstat, int fd, struct stat *status)
{
    return fails(FAULT_fstat) ? -1 : fstat(fd, status);
}

FAULTY(ssize_t, read, int fd, void *buf, size_t len)
{
    return fails(FAULT_read) ? -1 : read(fd, buf, len);
}

/* Only pipes are written to by this, and one that is full has something in it. */
FAULTY(ssize_t, write, int fd, const void *buf, size_t len)
{
    ssize_t n = write(fd, buf, len);
    return fails(FAULT_write) ? -1 : n;
}

/* Whatever it says, the descriptor is gone: close(2). */
FAULTY(int, close, int fd)
{
    int result = close(fd);
    return fails(FAULT_close) ? -1 : result;
}

FAULTY(void *, mmap, void *at, size_t len, int protection, int flags, int fd, off_t off)
{
    return fails(FAULT_mmap) ? MAP_FAILED : mmap(at, len, protection, flags, fd, off);
}

FAULTY(struct tm *, gmtime_r, const time_t *second, struct tm *into)
{
    return fails(FAULT_gmtime_r) ? NULL : gmtime_r(second, into);
}

FAULTY(struct tm *, localtime_r, const time_t *second, struct tm *into)
{
    return fails(FAULT_localtime_r) ? NULL : localtime_r(second, into);
}

FAULTY(int, nanosleep, const struct timespec *time, struct timespec *left)
{
    return fails(FAULT_nanosleep) ? -1 : nanosleep(time, left);
}

FAULTY(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
       void *argument)
{
    return fails(FAULT_pthread_create) ? errno : pthread_create(thread, attributes, run, argument);
}

FAULTY(int, pthread_attr_init, pthread_attr_t *attributes)
{
    return fails(FAULT_pthread_attr_init) ? errno : pthread_attr_init(attributes);
}

FAULTY(int, pthread_attr_setstacksize, pthread_attr_t *attributes, size_t size)
{
    return fails(FAULT_pthread_attr_setstacksize) ? errno : pthread_attr_setstacksize(attributes, size);
}

FAULTY(int, sigaction, int signum, const struct sigaction *action, struct sigaction *before)
{
    return fails(FAULT_sigaction) ? -1 : sigaction(signum, action, before);
}

/* Of these only a wait on a word, and a signal that is queued, can fail. */
FAULTY(long, syscall, long number, ...)
{
    long argument[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        argument[i] = va_arg(list, long);
    va_end(list);
    bool waits = number == SYS_futex && (argument[1] & FUTEX_CMD_MASK) == FUTEX_WAIT;
    if ((waits || number == SYS_rt_tgsigqueueinfo) && fails(FAULT_syscall))
        return -1;
    return syscall(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}
