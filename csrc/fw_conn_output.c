#define _GNU_SOURCE
#include "fw_conn_parts.h"
#include "fw_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Blocks up to this are copied behind the head and leave with it; a copy costs less than an iovec. */
#define COPY_MOST ((size_t)8192)
/* How long an answer may wait for that of a pipelined request: about a tick. */
#define WAIT_MOST_NS 1000000u
/* What one sendfile is asked for. */
#define FILE_MOST ((size_t)0x40000000)
/* What is read of a file at once where there is no sendfile. */
#define FILE_BLOCK ((size_t)65536)

/* What may be sent: not a head that is still being written. */
static size_t sendable(const struct fw_conn *conn)
{
    return fw_buf_live(&conn->out) - conn->resp.head_len;
}

enum fw_error fw_conn_lost(struct fw_conn *conn, int problem)
{
    if (conn->error == FW_OK)
        conn->error = problem == ENOMEM ? FW_E_NO_MEMORY : FW_E_PEER_RESET;
    return (enum fw_error)conn->error;
}

/* Send `out` and behind it the parts, in one call; what is not taken of the parts is queued. */
static enum fw_error send_with(struct fw_conn *conn, const struct iovec *parts, size_t count)
{
    struct iovec iov[3];
    size_t queued = sendable(conn), total = queued, n_iov = 0;
    assert(count <= 2 && conn->resp.head_len == 0);
    if (queued > 0)
        iov[n_iov++] = (struct iovec){conn->out.data + conn->out.off, queued};
    for (size_t i = 0; i < count; i++) {
        iov[n_iov++] = parts[i];
        total += parts[i].iov_len;
    }
    size_t sent = 0;
    if (!conn->blocked) {
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n_iov};
        ssize_t n;
        do
            n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return fw_conn_lost(conn, errno);
        sent = n > 0 ? (size_t)n : 0;
        conn->progress += sent;
        conn->blocked = sent < total;
        conn->out_since_ns = 0;
    }
    size_t from_out = sent < queued ? sent : queued;
    fw_buf_take(&conn->out, from_out);
    sent -= from_out;
    for (size_t i = 0; i < count; i++) {
        size_t skip = sent < parts[i].iov_len ? sent : parts[i].iov_len;
        sent -= skip;
        if (skip < parts[i].iov_len &&
            !fw_buf_append(&conn->out, &conn->env->blocks, (const char *)parts[i].iov_base + skip,
                           parts[i].iov_len - skip))
            return fw_conn_lost(conn, ENOMEM);
    }
    return FW_OK;
}

static enum fw_error push(struct fw_conn *conn, int flags)
{
    size_t len = sendable(conn);
    if (conn->error != FW_OK || len == 0 || conn->blocked)
        return (enum fw_error)conn->error;
    ssize_t n;
    do
        n = fw_sys_send(conn->fd, conn->out.data + conn->out.off, len, MSG_NOSIGNAL | flags);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return fw_conn_lost(conn, errno);
        n = 0;
    }
    conn->progress += (size_t)n;
    conn->blocked = (size_t)n < len;
    conn->out_since_ns = 0;
    fw_buf_take(&conn->out, (size_t)n);
    return FW_OK;
}

enum fw_error fw_conn_push(struct fw_conn *conn)
{
    return push(conn, 0);
}

void fw_conn_push_old(struct fw_conn *conn)
{
    if (conn->out_since_ns != 0 && fw_clock_ns() - conn->out_since_ns > WAIT_MOST_NS)
        (void)push(conn, 0); /* a failure is kept in conn->error */
}

/* The client gets less than it was promised, and is to know that. */
static enum fw_error file_is_short(struct fw_conn *conn)
{
    conn->reset = true;
    conn->error = FW_E_FILE_SHORT;
    fw_conn_note_refusal(conn);
    return FW_E_FILE_SHORT;
}

/* The next block of a file without sendfile, by way of `out`, which is empty. */
static enum fw_error push_block(struct fw_conn *conn, int fd)
{
    struct fw_buf *out = &conn->out;
    size_t most = conn->file_left < FILE_BLOCK ? (size_t)conn->file_left : FILE_BLOCK;
    if (!fw_buf_reserve(out, &conn->env->blocks, most))
        return fw_conn_lost(conn, ENOMEM);
    ssize_t n;
    do
        n = pread(fd, out->data + out->len, most, conn->file_off);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return file_is_short(conn);
    out->len += (size_t)n;
    conn->file_off += n;
    conn->file_left -= (uint64_t)n;
    return push(conn, conn->file_left > 0 ? MSG_MORE : 0);
}

static enum fw_error push_file(struct fw_conn *conn, int fd)
{
    while (conn->file_left > 0 && !conn->blocked) {
        if (conn->file_by_hand) {
            if (push_block(conn, fd) != FW_OK)
                return (enum fw_error)conn->error;
            continue;
        }
        size_t most = conn->file_left < FILE_MOST ? (size_t)conn->file_left : FILE_MOST;
        ssize_t n = sendfile(conn->fd, fd, &conn->file_off, most);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            conn->blocked = true;
            break;
        }
        if (n < 0 && (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
            conn->file_by_hand = true;
            continue;
        }
        if (n == 0 || (n < 0 && errno == EIO))
            return file_is_short(conn);
        if (n < 0) {
            conn->reset = true;
            return fw_conn_lost(conn, errno);
        }
        conn->progress += (size_t)n;
        conn->file_left -= (uint64_t)n;
    }
    return FW_OK;
}

void fw_conn_continue(struct fw_conn *conn)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (conn->resp.stage >= FW_RESP_BODY) { /* its answer has begun: too late for an interim one */
        conn->wants_continue = false;
        return;
    }
    if (push(conn, 0) != FW_OK || conn->blocked)
        return;
    ssize_t n;
    do
        n = send(conn->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR); /* its client may wait for nothing else, and nobody would wake us */
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        conn->blocked = true;
    else if (n == sizeof go_on - 1)
        conn->wants_continue = false;
    else
        fw_conn_lost(conn, n >= 0 ? EPIPE : errno); /* half a line cannot be taken back */
}

/* Everything out? Then true; else `blocked` or `error` says why not. */
bool fw_conn_flush(struct fw_conn *conn)
{
    /* A file follows; or the end of the connection, and its FIN leaves with the answer's last segment: one
     * packet and one wake-up of the client instead of two. A reset would throw away what was not sent. */
    bool ends = conn->state == FW_CONN_SENDING && !conn->resp.keep_alive && !conn->reset;
    bool more = (conn->file_fd >= 0 && conn->file_left > 0) || ends;
    if (push(conn, more ? MSG_MORE : 0) != FW_OK || conn->blocked)
        return false;
    fw_buf_release(&conn->out, &conn->env->blocks);
    if (conn->file_fd >= 0) {
        if (push_file(conn, conn->file_fd) != FW_OK || conn->blocked)
            return false;
        fw_conn_drop_fd(&conn->file_fd);
        fw_buf_release(&conn->out, &conn->env->blocks);
    }
    return true;
}

/* --- the response --- */

enum fw_error fw_conn_begin(struct fw_conn *conn, int64_t known)
{
    const struct fw_conn_env *env = conn->env;
    /* A client that was not told to go on may send its body or not: nobody can know. */
    if (env->closing || conn->wants_continue)
        conn->resp.keep_alive = false;
    return fw_resp_end_head(&conn->resp, &conn->out, &conn->env->blocks, &env->clock, env->server,
                            env->server_len, known);
}

enum fw_error fw_conn_write(struct fw_conn *conn, const char *block, size_t len)
{
    struct fw_pool *pool = &conn->env->blocks;
    struct fw_buf *out = &conn->out;
    size_t take;
    if (conn->error != FW_OK)
        return (enum fw_error)conn->error;
    if (fw_resp_block(&conn->resp, out, pool, len, &take) != FW_OK)
        return fw_conn_lost(conn, ENOMEM);
    if (take == 0)
        return FW_OK;
    if (take > COPY_MOST) {
        bool chunked = conn->resp.framing == FW_RESP_CHUNKED;
        struct iovec parts[2] = {{(void *)(uintptr_t)block, take}, {(void *)(uintptr_t) "\r\n", 2}};
        return send_with(conn, parts, chunked ? 2 : 1);
    }
    if (!fw_buf_append(out, pool, block, take) || fw_resp_block_end(&conn->resp, out, pool) != FW_OK)
        return fw_conn_lost(conn, ENOMEM);
    return FW_OK;
}

enum fw_error fw_conn_sendfile(struct fw_conn *conn, int fd, off_t off, uint64_t len)
{
    size_t take;
    assert(conn->file_fd < 0 && conn->resp.framing != FW_RESP_CHUNKED && len <= INT64_MAX);
    (void)fw_resp_block(&conn->resp, &conn->out, &conn->env->blocks, (size_t)len, &take);
    conn->file_off = off;
    conn->file_left = take;
    conn->file_by_hand = false;
    if (take == 0 || push(conn, MSG_MORE) != FW_OK || push_file(conn, fd) != FW_OK || conn->file_left == 0)
        return (enum fw_error)conn->error;
    conn->file_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return conn->file_fd >= 0 ? FW_OK : fw_conn_lost(conn, ENOMEM);
}
