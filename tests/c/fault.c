/* fault: see fault.h. */
#define _GNU_SOURCE
#include "fault.h"

#include "fw_base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MOST_MS = 5 };

struct plan {
    unsigned long calls, from, until;
    int error;
    size_t most;
};

static struct plan plans[FAULT_COUNT];
void (*fault_meanwhile)(enum fault_call call);
static bool was_hit, clock_stopped, wall_set;
static uint64_t clock_us, clock_left_ms, sent_bytes;
static int64_t wall_second;
static int last_wait_ms;
static unsigned long polls_that_waited;
static long live_blocks;
static size_t live_bytes;

const char *fault_name(enum fault_call call)
{
    static const char *const names[FAULT_COUNT] = {"alloc",
#define X(name) #name,
                                                   FAULT_CALLS(X)
#undef X
    };
    return names[call];
}

void fault_reset(void)
{
    memset(plans, 0, sizeof plans);
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
    plan->calls++;
    if (plan->calls < plan->from || plan->calls >= plan->until)
        return false;
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

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
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
    return __real_clock_gettime(id, t);
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

#define WRAPPED(result, name, ...)                                                                           \
    result __real_##name(__VA_ARGS__);                                                                       \
    result __wrap_##name(__VA_ARGS__);                                                                       \
    result __wrap_##name(__VA_ARGS__)

WRAPPED(ssize_t, recv, int fd, void *buf, size_t len, int flags)
{
    return fails(FAULT_recv) ? -1 : __real_recv(fd, buf, shorter(FAULT_recv, len), flags);
}

WRAPPED(ssize_t, send, int fd, const void *buf, size_t len, int flags)
{
    return fails(FAULT_send) ? -1 : count_sent(__real_send(fd, buf, shorter(FAULT_send, len), flags));
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

WRAPPED(ssize_t, sendmsg, int fd, const struct msghdr *msg, int flags)
{
    struct iovec parts[8];
    struct msghdr less = *msg;
    if (fails(FAULT_sendmsg))
        return -1;
    less.msg_iov = parts;
    less.msg_iovlen = shorter_parts(FAULT_sendmsg, msg->msg_iov, msg->msg_iovlen, parts);
    return count_sent(__real_sendmsg(fd, &less, flags));
}

WRAPPED(ssize_t, writev, int fd, const struct iovec *iov, int count)
{
    struct iovec parts[8];
    if (fails(FAULT_writev))
        return -1;
    return __real_writev(fd, parts, (int)shorter_parts(FAULT_writev, iov, (size_t)count, parts));
}

WRAPPED(int, poll, struct pollfd *of, nfds_t count, int timeout_ms)
{
    if (fails(FAULT_poll))
        return -1;
    int n = __real_poll(of, count, 0);
    if (n == 0 && timeout_ms > 0) {
        polls_that_waited++;
        clock_us += (uint64_t)timeout_ms * 1000;
    }
    return n;
}

unsigned long fault_polls_that_waited(void)
{
    return polls_that_waited;
}

WRAPPED(ssize_t, sendfile, int out, int in, off_t *off, size_t len)
{
    return fails(FAULT_sendfile) ? -1
                                 : count_sent(__real_sendfile(out, in, off, shorter(FAULT_sendfile, len)));
}

WRAPPED(ssize_t, recvmsg, int fd, struct msghdr *message, int flags)
{
    return fails(FAULT_recvmsg) ? -1 : __real_recvmsg(fd, message, flags);
}

WRAPPED(int, accept4, int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    return fails(FAULT_accept4) ? -1 : __real_accept4(fd, address, len, flags);
}

WRAPPED(int, epoll_create1, int flags)
{
    return fails(FAULT_epoll_create1) ? -1 : __real_epoll_create1(flags);
}

WRAPPED(int, epoll_ctl, int poll, int op, int fd, struct epoll_event *event)
{
    return fails(FAULT_epoll_ctl) ? -1 : __real_epoll_ctl(poll, op, fd, event);
}

WRAPPED(int, epoll_wait, int poll, struct epoll_event *events, int most, int timeout_ms)
{
    last_wait_ms = timeout_ms;
    if (fails(FAULT_epoll_wait))
        return -1;
    int real_ms = timeout_ms < 0 || timeout_ms > WAIT_MOST_MS ? WAIT_MOST_MS : timeout_ms;
    int n = __real_epoll_wait(poll, events, most, clock_left_ms > 0 ? 0 : real_ms);
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

WRAPPED(ssize_t, pwrite, int fd, const void *buf, size_t len, off_t off)
{
    return fails(FAULT_pwrite) ? -1 : __real_pwrite(fd, buf, shorter(FAULT_pwrite, len), off);
}

WRAPPED(ssize_t, pread, int fd, void *buf, size_t len, off_t off)
{
    return fails(FAULT_pread) ? -1 : __real_pread(fd, buf, shorter(FAULT_pread, len), off);
}

WRAPPED(int, open, const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_list list;
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    return fails(FAULT_open) ? -1 : __real_open(path, flags, mode);
}

WRAPPED(int, mkostemp, char *path, int flags)
{
    return fails(FAULT_mkostemp) ? -1 : __real_mkostemp(path, flags);
}

WRAPPED(int, fcntl, int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    int value = va_arg(list, int);
    va_end(list);
    return fails(FAULT_fcntl) ? -1 : __real_fcntl(fd, command, value);
}

WRAPPED(int, pipe2, int ends[2], int flags)
{
    return fails(FAULT_pipe2) ? -1 : __real_pipe2(ends, flags);
}

WRAPPED(int, shutdown, int fd, int how)
{
    return fails(FAULT_shutdown) ? -1 : __real_shutdown(fd, how);
}

WRAPPED(int, setsockopt, int fd, int level, int name, const void *value, socklen_t len)
{
    return fails(FAULT_setsockopt) ? -1 : __real_setsockopt(fd, level, name, value, len);
}
