#define _GNU_SOURCE
#include "fw_sink.h"
#include "fw_clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* Room for the lines of a turn and a long line on top. */
#define FIRST_SIZE (FW_SINK_FULL + (size_t)16384)

static enum fw_sink_kind kind_of(int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return FW_SINK_STREAM;
    if (S_ISREG(status.st_mode))
        return FW_SINK_FILE;
    return S_ISSOCK(status.st_mode) ? FW_SINK_SOCKET : FW_SINK_STREAM;
}

void fw_sink_init(struct fw_sink *sink, int fd)
{
    *sink = (struct fw_sink){.fd = fd, .kind = (uint8_t)kind_of(fd)};
}

void fw_sink_drop(struct fw_sink *sink)
{
    FW_FREE(sink->data);
    *sink = (struct fw_sink){.fd = -1};
}

bool fw_sink_grow(struct fw_sink *sink, size_t more)
{
    if (sink->off > 0) {
        memmove(sink->data, sink->data + sink->off, fw_sink_live(sink));
        sink->len -= sink->off;
        sink->off = 0;
    }
    if (sink->cap - sink->len >= more)
        return true;
    size_t cap = sink->cap > 0 ? sink->cap : FIRST_SIZE;
    while (cap - sink->len < more) {
        if (cap > FW_SPAN_MAX / 2)
            return false;
        cap *= 2;
    }
    char *data = FW_REALLOC(sink->data, cap);
    if (data == NULL)
        return false;
    sink->data = data;
    sink->cap = cap;
    return true;
}

/* What stands in data[off..len) will not be written. */
static void lose(struct fw_sink *sink)
{
    for (size_t at = sink->off; at < sink->len; at++)
        sink->lost += sink->data[at] == '\n';
    sink->mend = sink->mid_line;
    sink->off = sink->len = 0;
}

/* How much to write at once: to a file everything; elsewhere as many whole lines as go undivided. */
static size_t piece(const struct fw_sink *sink)
{
    const char *start = sink->data + sink->off;
    size_t live = fw_sink_live(sink), most = PIPE_BUF - (sink->mend ? 1 : 0);
    if (sink->kind == FW_SINK_FILE || live <= most)
        return live;
    const char *end = memrchr(start, '\n', most);
    if (end == NULL)
        end = memchr(start, '\n', live); /* a line so long that the kernel may divide it */
    return end != NULL ? (size_t)(end - start) + 1 : live;
}

static ssize_t write_piece(const struct fw_sink *sink, size_t len)
{
    struct iovec iov[2] = {{(void *)(uintptr_t) "\n", 1}, {sink->data + sink->off, len}};
    struct iovec *from = sink->mend ? iov : iov + 1;
    int count = sink->mend ? 2 : 1;
    ssize_t n;
    do {
        if (sink->kind == FW_SINK_SOCKET) {
            struct msghdr msg = {.msg_iov = from, .msg_iovlen = (size_t)count};
            n = sendmsg(sink->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        } else {
            n = writev(sink->fd, from, count);
        }
    } while (n < 0 && errno == EINTR);
    return n;
}

/* May it be written to now, or before the clock shows `end_ns`? */
static bool ready(struct fw_sink *sink, uint64_t end_ns)
{
    struct pollfd of = {.fd = sink->fd, .events = POLLOUT};
    int wait_ms, n;
    do {
        uint64_t now_ns = end_ns > 0 && !sink->stuck ? fw_clock_ns() : end_ns;
        wait_ms = now_ns < end_ns ? (int)((end_ns - now_ns + 999999) / 1000000) : 0;
        n = poll(&of, 1, wait_ms);
    } while (n < 0 && errno == EINTR);
    sink->stuck |= n == 0 && wait_ms > 0;
    return n > 0;
}

void fw_sink_flush(struct fw_sink *sink, int wait_ms)
{
    uint64_t end_ns = 0;
    if (sink->off == sink->len)
        return;
    if (wait_ms > 0 && sink->kind != FW_SINK_FILE)
        end_ns = fw_clock_ns() + (uint64_t)wait_ms * 1000000u;
    while (sink->off < sink->len) {
        if (sink->kind != FW_SINK_FILE && !ready(sink, end_ns))
            return;
        ssize_t n = write_piece(sink, piece(sink));
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return; /* somebody else was quicker */
        if (n <= 0) {
            sink->problem = n < 0 ? errno : EIO;
            lose(sink);
            return;
        }
        sink->stuck = false;
        n -= sink->mend ? 1 : 0;
        sink->mend = false;
        if (n == 0)
            continue;
        sink->off += (size_t)n;
        sink->mid_line = sink->data[sink->off - 1] != '\n';
    }
    sink->off = sink->len = 0;
}

bool fw_sink_begin(struct fw_sink *sink)
{
    if (FW_LIKELY(fw_sink_live(sink) < FW_SINK_FULL))
        return true;
    fw_sink_flush(sink, 0);
    if (fw_sink_live(sink) < FW_SINK_FULL)
        return true;
    sink->problem = 0;
    sink->lost++;
    return false;
}

void fw_sink_end(struct fw_sink *sink)
{
    if (FW_UNLIKELY(fw_sink_live(sink) >= FW_SINK_FULL))
        fw_sink_flush(sink, FW_SINK_WAIT_MS);
}

void fw_sink_undo(struct fw_sink *sink, size_t live)
{
    sink->len = sink->off + live;
    sink->problem = ENOMEM;
    sink->lost++;
}
