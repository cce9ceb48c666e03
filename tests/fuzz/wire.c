/* wire: see wire.h. */
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct wire wire;

void wire_begin(const uint8_t *data, size_t size, const uint8_t *script, size_t script_len)
{
    wire = (struct wire){
        .on = true,
        .choice = fuzz_choices(data, size),
        .script = script,
        .script_left = script_len,
        .data = data,
        .size = size,
        .now_us = 1000000000,
        .room = 100000,
    };
    wire.open[WIRE_SOCKET - WIRE_SOCKET] = true;
    wire.ends = wire_choose(2);
    wire.by_hand = wire_one_in(3);
    wire.no_tmpfile = wire_one_in(4);
    if (wire_choose(2))
        wire.room = wire_choose(200);
}

uint32_t wire_choose(uint32_t below)
{
    if (wire.script_left == 0)
        return fuzz_choose(&wire.choice, below);
    wire.script_left--;
    return *wire.script++ % below;
}

static int fails(int error)
{
    errno = error;
    wire.failed |= error != EINTR && error != EAGAIN;
    return -1;
}

static bool goes_wrong(uint32_t one_in)
{
    return !wire.quiet && wire_one_in(one_in);
}

bool wire_arrive(void)
{
    size_t left = wire.size - wire.arrived;
    if (wire.gone)
        return false;
    if (goes_wrong(100)) {
        wire.gone = wire.edge = true;
        return true;
    }
    if (left == 0)
        return false;
    const uint8_t *rest = wire.data + wire.arrived, *head_end = memmem(rest, left, "\r\n\r\n", 4);
    uint32_t how = wire.quiet ? 0 : wire_choose(4);
    size_t more = how == 0 ? left
                  : how == 1 && head_end != NULL
                      ? (size_t)(head_end + 4 - rest) /* as who waits for an answer */
                      : 1 + wire_choose(wire_choose(2) ? 4 : 200);
    wire.arrived += more < left ? more : left;
    return wire.edge = true;
}

void wire_make_room(void)
{
    wire.room += wire.quiet ? 1u << 20 : 1 + wire_choose(wire_choose(2) ? 10 : 2000);
}

char wire_file_byte(size_t off)
{
    return (char)('A' + off * 5 % 23);
}

void wire_end(void)
{
    for (int fd = WIRE_SOCKET; fd < WIRE_LAST; fd++)
        PROMISE(!wire_is_open(fd) || fd == WIRE_FILE);
    text_drop(&wire.sent);
    text_drop(&wire.body);
    wire.on = false;
}

static bool is_ours(int fd)
{
    return wire.on && fd >= WIRE_SOCKET && fd < WIRE_LAST;
}

/* --- the socket --- */

#define WRAPPED(result, name, ...)                                                                           \
    result __real_##name(__VA_ARGS__);                                                                       \
    result __wrap_##name(__VA_ARGS__);                                                                       \
    result __wrap_##name(__VA_ARGS__)

WRAPPED(ssize_t, recv, int fd, void *buf, size_t len, int flags)
{
    PROMISE(is_ours(fd) && wire_is_open(fd) && len > 0);
    if (goes_wrong(30))
        return fails(EINTR);
    if (goes_wrong(4))
        wire_arrive();
    if (wire.gone)
        return fails(ECONNRESET);
    size_t there = wire.arrived - wire.read, n = len < there ? len : there;
    if (n == 0)
        return wire.ends && wire.arrived == wire.size ? 0 : fails(EAGAIN);
    memcpy(buf, wire.data + wire.read, n);
    if (!(flags & MSG_PEEK))
        wire.read += n;
    return (ssize_t)n;
}

/* How many of `len` bytes the socket takes; -1. */
static ssize_t take(int fd, size_t len)
{
    PROMISE(is_ours(fd) && wire_is_open(fd) && len > 0 && !wire.shut);
    if (goes_wrong(30))
        return fails(EINTR);
    if (wire.gone || goes_wrong(200)) {
        wire.gone = wire.edge = true;
        return fails(wire_choose(2) ? EPIPE : ECONNRESET);
    }
    if (wire.room == 0)
        return fails(EAGAIN);
    size_t n = len < wire.room ? len : wire.room;
    wire.room -= n;
    return (ssize_t)n;
}

WRAPPED(ssize_t, send, int fd, const void *buf, size_t len, int flags)
{
    PROMISE(flags & MSG_NOSIGNAL); /* or a client that goes away ends the process */
    ssize_t n = take(fd, len);
    if (n > 0)
        text_add(&wire.sent, buf, (size_t)n);
    return n;
}

WRAPPED(ssize_t, sendmsg, int fd, const struct msghdr *msg, int flags)
{
    size_t len = 0;
    PROMISE(flags & MSG_NOSIGNAL);
    for (size_t at = 0; at < msg->msg_iovlen; at++)
        len += msg->msg_iov[at].iov_len;
    ssize_t n = take(fd, len);
    for (size_t at = 0, left = n > 0 ? (size_t)n : 0; left > 0; at++) {
        size_t part = msg->msg_iov[at].iov_len < left ? msg->msg_iov[at].iov_len : left;
        text_add(&wire.sent, msg->msg_iov[at].iov_base, part);
        left -= part;
    }
    return n;
}

static void add_file(char *out, size_t off, size_t len)
{
    for (size_t at = 0; at < len; at++)
        out[at] = wire_file_byte(off + at);
}

WRAPPED(ssize_t, sendfile, int out, int in, off_t *off, size_t len)
{
    PROMISE((in == WIRE_FILE || in == WIRE_DUP) && wire_is_open(in));
    if (wire.by_hand)
        return fails(EINVAL);
    if (goes_wrong(50))
        return fails(EIO);
    size_t there = (size_t)*off < wire.file_size ? wire.file_size - (size_t)*off : 0;
    if (there == 0) {
        wire.failed = true;
        return 0;
    }
    ssize_t n = take(out, len < there ? len : there);
    if (n > 0) {
        char *piece = malloc((size_t)n);
        add_file(piece, (size_t)*off, (size_t)n);
        text_add(&wire.sent, piece, (size_t)n);
        free(piece);
        *off += n;
    }
    return n;
}

WRAPPED(int, poll, struct pollfd *of, nfds_t count, int timeout_ms)
{
    if (!wire.on)
        return __real_poll(of, count, timeout_ms);
    PROMISE(count == 1 && of->fd == WIRE_SOCKET && of->events == POLLOUT);
    if (goes_wrong(8))
        return fails(EINTR);
    if (goes_wrong(8)) {
        wire.failed = true;
        return 0;
    }
    wire_make_room();
    return 1;
}

WRAPPED(int, shutdown, int fd, int how)
{
    PROMISE(is_ours(fd) && wire_is_open(fd));
    wire.shut |= how == SHUT_WR;
    return 0;
}

WRAPPED(int, setsockopt, int fd, int level, int name, const void *value, socklen_t len)
{
    if (!is_ours(fd))
        return __real_setsockopt(fd, level, name, value, len);
    PROMISE(wire_is_open(fd) && level == SOL_SOCKET && name == SO_LINGER);
    wire.dropped = true;
    return 0;
}

/* --- files --- */

WRAPPED(int, close, int fd)
{
    if (!is_ours(fd))
        return __real_close(fd);
    PROMISE(wire_is_open(fd));
    wire.open[fd - WIRE_SOCKET] = false;
    return 0;
}

static int open_as(int fd)
{
    PROMISE(!wire_is_open(fd));
    wire.open[fd - WIRE_SOCKET] = true;
    return fd;
}

WRAPPED(int, fcntl, int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    long value = va_arg(list, long);
    va_end(list);
    if (!is_ours(fd))
        return __real_fcntl(fd, command, value);
    PROMISE(fd == WIRE_FILE && command == F_DUPFD_CLOEXEC);
    return goes_wrong(20) ? fails(EMFILE) : open_as(WIRE_DUP);
}

static int open_body(void)
{
    wire.body.len = 0;
    return goes_wrong(20) ? fails(EMFILE) : open_as(WIRE_BODY);
}

WRAPPED(int, open, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, mode_t) : 0;
    va_end(list);
    if (!wire.on)
        return __real_open(path, flags, mode);
    return wire.no_tmpfile ? fails(EINTR) : open_body(); /* not a failure: there is another way */
}

WRAPPED(int, mkostemp, char *path, int flags)
{
    PROMISE(wire.on && path != NULL && flags & O_CLOEXEC);
    return open_body();
}

WRAPPED(ssize_t, pwrite, int fd, const void *buf, size_t len, off_t off)
{
    PROMISE(fd == WIRE_BODY && wire_is_open(fd) && len > 0 && off >= 0);
    if (goes_wrong(30))
        return fails(EINTR);
    if (goes_wrong(40)) {
        wire.failed = true;
        return wire_choose(2) ? 0 : fails(ENOSPC);
    }
    PROMISE((size_t)off == wire.body.len);
    size_t n = wire_choose(3) ? len : 1 + wire_choose((uint32_t)len);
    text_add(&wire.body, buf, n);
    return (ssize_t)n;
}

WRAPPED(ssize_t, pread, int fd, void *buf, size_t len, off_t off)
{
    PROMISE((fd == WIRE_BODY || fd == WIRE_FILE || fd == WIRE_DUP) && wire_is_open(fd) && len > 0 &&
            off >= 0);
    if (goes_wrong(30))
        return fails(EINTR);
    if (goes_wrong(60))
        return fails(EIO);
    size_t size = fd == WIRE_BODY ? wire.body.len : wire.file_size;
    size_t there = (size_t)off < size ? size - (size_t)off : 0, n = len < there ? len : there;
    if (n > 1 && wire_choose(3) == 0)
        n = 1 + wire_choose((uint32_t)n);
    if (n == 0)
        wire.failed = true;
    else if (fd == WIRE_BODY)
        memcpy(buf, wire.body.data + off, n);
    else
        add_file(buf, (size_t)off, n);
    return (ssize_t)n;
}

/* --- the clock --- */

WRAPPED(int, clock_gettime, clockid_t id, struct timespec *t)
{
    if (!wire.on || id != CLOCK_MONOTONIC)
        return __real_clock_gettime(id, t);
    wire.now_us += wire_choose(2) ? 0 : wire_choose(20000);
    *t = (struct timespec){.tv_sec = (time_t)(wire.now_us / 1000000),
                           .tv_nsec = (long)(wire.now_us % 1000000) * 1000};
    return 0;
}
