#define _GNU_SOURCE
#include "fw_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* The least room that a read is made with, and the most that one read of a body asks for. */
#define READ_LEAST ((size_t)2048)
#define READ_MOST  ((size_t)65536)
/* Blocks up to this are copied behind the head and leave with it; a copy costs less than an iovec. */
#define COPY_MOST ((size_t)8192)
/* So much may wait for a pipelined request's answer. */
#define COALESCE_MOST ((size_t)32768)
/* How long an answer may wait for that of a pipelined request: about a tick. */
#define WAIT_MOST_NS 1000000u
/* What one sendfile is asked for. */
#define FILE_MOST ((size_t)0x40000000)
/* Reads of one connection before others have their turn. */
#define READS_MOST 8
/* A client that keeps sending is lingered for at most so many times linger_ms. */
#define LINGER_ROUNDS 5
/* So much of a request line that was refused is logged. */
#define LOGGED_LINE ((size_t)2048)
/* After a call of the application this long it is worth a system call to ask whether the client still waits.
 */
#define LONG_CALL_NS 10000000u

void fw_conn_open(struct fw_conn *conn, struct fw_conn_env *env, int fd)
{
    *conn = (struct fw_conn){
        .env = env,
        .fd = fd,
        .readable = true, /* most clients have spoken by the time they are accepted */
        .body_fd = -1,
        .file_fd = -1,
    };
}

/* --- the access log --- */

/* The first line of what has come, without empty lines before it; it may not be whole. */
static struct fw_span first_line(const struct fw_conn *conn, size_t most)
{
    size_t live = fw_buf_live(&conn->in), off = 0;
    const char *base = live > 0 ? fw_conn_request(conn) : "";
    while (off < live && (base[off] == '\r' || base[off] == '\n'))
        off++;
    size_t end = off;
    while (end < live && end - off < most && base[end] != '\r' && base[end] != '\n')
        end++;
    return fw_span_of(off, end - off);
}

static void note_line(struct fw_conn *conn, unsigned status, uint64_t sent, uint64_t now_ns)
{
    struct fw_access_entry entry = {
        .addr = conn->addr,
        .addr_len = conn->addr_len,
        .status = status,
        .sent = sent,
        .took_ns = now_ns > conn->began_ns ? now_ns - conn->began_ns : 0,
    };
    const char *base = fw_buf_live(&conn->in) > 0 ? fw_conn_request(conn) : "";
    if (conn->head_len > 0)
        fw_access_of_head(&entry, base, &conn->parser.head);
    else
        fw_access_of_line(&entry, base, first_line(conn, LOGGED_LINE));
    fw_access_note(conn->env->access, &entry);
    conn->owes_line = false;
}

/* Bytes of the body that have left. */
static uint64_t body_sent(const struct fw_conn *conn)
{
    uint64_t waits = conn->file_left + fw_buf_live(&conn->out);
    return conn->resp.sent > waits ? conn->resp.sent - waits : 0;
}

/* The answer is not the application's whole one: it failed in the middle, the client has gone, or `error` has
 * a status of its own, with which the client was told.                                               */
static void note_end(struct fw_conn *conn, enum fw_error error, uint64_t now_ns)
{
    unsigned status = conn->resp.status != 0 ? conn->resp.status : 500;
    uint64_t sent = body_sent(conn);
    if (error == FW_E_PEER_RESET || error == FW_E_PEER_CLOSED || error == FW_E_WRITE_TIMEOUT) {
        status = FW_ACCESS_GONE;
    } else if (error != FW_OK && fw_error_status(error) != 0) {
        status = (unsigned)fw_error_status(error);
        if (conn->resp.stage < FW_RESP_BODY)
            sent = fw_resp_refusal_len(error);
    }
    note_line(conn, status, sent, now_ns);
}

void fw_conn_note_unsent(struct fw_conn *conn)
{
    if (conn->owes_line)
        note_end(conn, (enum fw_error)conn->error, fw_clock_ns());
}

/* Has the client closed or reset the connection? It may only have said that it sends no more, but hardly any
 * does while it waits for an answer.                                                             */
static bool has_left(const struct fw_conn *conn)
{
    char byte;
    ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static bool is_sent_slowly(const struct fw_conn *conn)
{
    return conn->blocked || conn->file_fd >= 0 || fw_buf_live(&conn->out) > COALESCE_MOST;
}

/* The application's part is done. Afterwards the line is there, or waits for the client to take the rest. */
static void note_answer(struct fw_conn *conn)
{
    uint64_t now_ns = fw_clock_ns();
    conn->env->answered_ns = now_ns;
    if (conn->error != FW_OK)
        note_end(conn, (enum fw_error)conn->error, now_ns);
    else if (now_ns - conn->began_ns > LONG_CALL_NS && fw_buf_live(&conn->out) > 0 && has_left(conn))
        note_end(conn, FW_E_PEER_CLOSED, now_ns);
    else if (!is_sent_slowly(conn))
        note_line(conn, conn->resp.status, conn->resp.sent, now_ns);
}

static void drop_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* What belongs to the request goes; raw bytes behind it stay. */
static void drop_request(struct fw_conn *conn)
{
    struct fw_conn_env *env = conn->env;
    fw_buf_take(&conn->in, conn->used_len);
    if (fw_buf_live(&conn->in) == 0 && conn->in.cap != 0)
        fw_buf_release(&conn->in, &env->blocks);
    if (conn->parser.head.fields != NULL) {
        fw_pool_give(&env->fields, conn->parser.head.fields);
        conn->parser.head.fields = NULL;
    }
    drop_fd(&conn->body_fd);
    conn->used_len = conn->head_len = 0;
    conn->body_len = 0;
    conn->parser.state = FW_PARSER_HEAD; /* a refusal before the next reset is not the old request's */
}

/* Is part of a body missing that is framed by the connection's end? An orderly end would make it look whole.
 */
static bool is_torn(const struct fw_conn *conn)
{
    if (conn->resp.framing != FW_RESP_TO_CLOSE || conn->error == FW_E_APP_TIMEOUT)
        return false; /* after the latter, what the client has is whole: fw_abort.h */
    return conn->state == FW_CONN_APP ||
           (conn->state == FW_CONN_SENDING &&
            (conn->error != FW_OK || fw_buf_live(&conn->out) > 0 || conn->file_fd >= 0));
}

void fw_conn_close(struct fw_conn *conn)
{
    fw_conn_note_unsent(conn);
    conn->reset |= is_torn(conn);
    conn->used_len = (uint32_t)fw_buf_live(&conn->in);
    drop_request(conn);
    fw_buf_release(&conn->in, &conn->env->blocks);
    fw_buf_release(&conn->out, &conn->env->blocks);
    drop_fd(&conn->file_fd);
    if (conn->reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    drop_fd(&conn->fd);
    conn->state = FW_CONN_CLOSED;
}

/* --- output --- */

/* What may be sent: not a head that is still being written. */
static size_t sendable(const struct fw_conn *conn)
{
    return fw_buf_live(&conn->out) - conn->resp.head_len;
}

static enum fw_error lost(struct fw_conn *conn, int problem)
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
            return lost(conn, errno);
        sent = n > 0 ? (size_t)n : 0;
        conn->progress |= sent > 0;
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
            return lost(conn, ENOMEM);
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
        n = send(conn->fd, conn->out.data + conn->out.off, len, MSG_NOSIGNAL | flags);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return lost(conn, errno);
        n = 0;
    }
    conn->progress |= n > 0;
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

static enum fw_error push_file(struct fw_conn *conn, int fd)
{
    while (conn->file_left > 0 && !conn->blocked) {
        size_t most = conn->file_left < FILE_MOST ? (size_t)conn->file_left : FILE_MOST;
        ssize_t n = sendfile(conn->fd, fd, &conn->file_off, most);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            conn->blocked = true;
            break;
        }
        if (n <= 0) { /* 0: the file has become shorter than was promised */
            conn->reset = true;
            return lost(conn, EPIPE);
        }
        conn->progress = true;
        conn->file_left -= (uint64_t)n;
    }
    return FW_OK;
}

/* Everything out? Then true; else `blocked` or `error` says why not. */
static bool flush(struct fw_conn *conn)
{
    /* A file follows; or the end of the connection, and its FIN leaves with the answer's last segment: one
     * packet and one wake-up of the client instead of two. A reset would throw away what was not sent. */
    bool ends = conn->state == FW_CONN_SENDING && !conn->resp.keep_alive && !conn->reset;
    bool more = conn->file_fd >= 0 || ends;
    if (push(conn, more ? MSG_MORE : 0) != FW_OK || conn->blocked)
        return false;
    fw_buf_release(&conn->out, &conn->env->blocks);
    if (conn->file_fd >= 0) {
        if (push_file(conn, conn->file_fd) != FW_OK || conn->blocked)
            return false;
        drop_fd(&conn->file_fd);
    }
    return true;
}

/* --- input --- */

static void note_refusal(struct fw_conn *conn)
{
    struct fw_refusals *refusals = &conn->env->refusals;
    if (refusals->count == FW_REFUSALS) {
        refusals->missed++;
        return;
    }
    struct fw_refusal *refusal = &refusals->each[refusals->count++];
    struct fw_span line = first_line(conn, FW_REFUSAL_LINE);
    refusal->error = conn->error;
    refusal->addr_len = conn->addr_len;
    refusal->port = conn->port;
    refusal->line_len = (uint16_t)line.len;
    memcpy(refusal->addr, conn->addr, conn->addr_len);
    if (line.len > 0)
        memcpy(refusal->line, fw_conn_request(conn) + line.off, line.len);
}

/* The client went away in the middle of its request. */
static void note_gone(struct fw_conn *conn)
{
    if (conn->env->access != NULL && conn->state != FW_CONN_IDLE)
        note_line(conn, FW_ACCESS_GONE, 0, conn->env->clock.now_ms * 1000000u);
}

void fw_conn_refuse(struct fw_conn *conn, enum fw_error error)
{
    struct fw_conn_env *env = conn->env;
    conn->error = (uint8_t)error;
    if (conn->state != FW_CONN_APP)
        note_refusal(conn);
    fw_resp_discard(&conn->resp, &conn->out);
    bool to_head = conn->parser.state > FW_PARSER_HEAD && conn->parser.head.method_id == FW_M_HEAD;
    enum fw_error unsaid = FW_OK;
    if (fw_error_status(error) != 0)
        unsaid = fw_resp_refuse(&conn->out, &env->blocks, &env->clock, env->server, env->server_len, error,
                                !to_head);
    if (env->access != NULL && fw_error_status(error) != 0) {
        uint64_t sent = to_head || unsaid != FW_OK ? 0 : fw_resp_refusal_len(error);
        uint64_t now_ns = conn->state == FW_CONN_APP ? fw_clock_ns() : env->clock.now_ms * 1000000u;
        note_line(conn, (unsigned)fw_error_status(error), sent, now_ns);
    }
    conn->resp.keep_alive = false;
    conn->error = FW_OK;   /* what waits is still to be sent */
    conn->readable = true; /* more of the refused request may come: SENDING ends in LINGER */
    conn->state = FW_CONN_SENDING;
}

static bool write_file(int fd, const char *data, size_t len, uint64_t off)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
        off += (uint64_t)n;
    }
    return true;
}

/* An unlinked file: nothing to clean up, whatever happens to this process. */
static int open_temporary(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0)
        return fd;
    /* file systems without O_TMPFILE */
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/fastwsgi-body-XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

/* Body bytes that lie in `in` at `at` (from in.off) get to where the body is kept. */
static enum fw_error keep_body(struct fw_conn *conn, size_t at, size_t len)
{
    struct fw_conn_env *env = conn->env;
    char *base = conn->in.data + conn->in.off;
    if (conn->body_fd < 0 && conn->body_len + len <= env->body_memory) {
        size_t place = conn->head_len + (size_t)conn->body_len;
        if (place != at)
            memmove(base + place, base + at, len);
        conn->body_len += len;
        return FW_OK;
    }
    if (conn->body_fd < 0) {
        conn->body_fd = open_temporary(env->tmpdir);
        if (conn->body_fd < 0 || !write_file(conn->body_fd, base + conn->head_len, (size_t)conn->body_len, 0))
            return FW_E_NO_SPACE;
    }
    if (!write_file(conn->body_fd, base + at, len, conn->body_len))
        return FW_E_NO_SPACE;
    conn->body_len += len;
    return FW_OK;
}

/* Raw bytes that the parser has not used move down to the end of what is kept, so that the buffer grows with
 * what is kept and not with what came.                                                       */
static void close_gap(struct fw_conn *conn)
{
    size_t kept = conn->head_len + (conn->body_fd < 0 ? (size_t)conn->body_len : 0);
    if (conn->used_len == kept)
        return;
    char *base = conn->in.data + conn->in.off;
    size_t rest = fw_buf_live(&conn->in) - conn->used_len;
    if (rest > 0)
        memmove(base + kept, base + conn->used_len, rest);
    conn->in.len -= conn->used_len - kept;
    conn->used_len = (uint32_t)kept;
}

/* Show the parser what it has not seen. Afterwards the state is IDLE, HEAD, BODY (more is needed), READY, or
 * SENDING (refused).                                                                       */
static void consume(struct fw_conn *conn)
{
    struct fw_conn_env *env = conn->env;
    struct fw_parser *parser = &conn->parser;
    size_t live = fw_buf_live(&conn->in);
    if (live == conn->used_len && conn->state != FW_CONN_BODY)
        return;
    if (parser->head.fields == NULL) {
        struct fw_field *fields = fw_pool_take(&env->fields);
        if (fields == NULL) {
            fw_conn_refuse(conn, FW_E_NO_MEMORY);
            return;
        }
        fw_parser_reset(parser, fields, env->limits.fields);
        conn->state = FW_CONN_HEAD;
        conn->began_ns = env->clock.now_ms * 1000000u;
    }
    for (;;) {
        size_t used;
        struct fw_span data;
        struct fw_field field;
        enum fw_error error = FW_OK;
        enum fw_parser_event event =
            fw_parser_step(parser, fw_conn_request(conn) + conn->used_len, live - conn->used_len,
                           &env->limits, &used, &data, &field);
        size_t began = conn->used_len;
        conn->used_len += (uint32_t)used;
        switch (event) {
        case FW_PARSER_GOT_HEAD:
            conn->head_len = conn->used_len;
            conn->state = FW_CONN_BODY;
            if (parser->framing.expect_continue && live == conn->used_len &&
                (parser->framing.kind == FW_BODY_CHUNKED || parser->framing.length > 0)) {
                static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
                if (!fw_buf_append(&conn->out, &env->blocks, go_on, sizeof go_on - 1))
                    error = FW_E_NO_MEMORY;
            }
            break;
        case FW_PARSER_GOT_DATA:
            error = keep_body(conn, began + data.off, data.len);
            break;
        case FW_PARSER_GOT_FIELD:
            break; /* WSGI has no place for trailers */
        case FW_PARSER_GOT_END:
            conn->state = FW_CONN_READY;
            return;
        case FW_PARSER_MORE:
            if (conn->state == FW_CONN_BODY)
                close_gap(conn);
            return;
        case FW_PARSER_FAIL:
            error = (enum fw_error)parser->error;
            break;
        }
        if (error != FW_OK) {
            fw_conn_refuse(conn, error);
            return;
        }
    }
}

enum fill { FILL_GOT, FILL_EMPTY, FILL_END, FILL_LOST };

static enum fill fill(struct fw_conn *conn)
{
    struct fw_buf *in = &conn->in;
    size_t want = READ_LEAST;
    if (conn->state == FW_CONN_BODY && conn->parser.body.left > want)
        want = conn->parser.body.left < READ_MOST ? (size_t)conn->parser.body.left : READ_MOST;
    if (!fw_buf_reserve(in, &conn->env->blocks, want)) {
        conn->error = FW_E_NO_MEMORY;
        return FILL_LOST;
    }
    size_t room = in->cap - in->len;
    ssize_t n;
    do
        n = recv(conn->fd, in->data + in->len, room, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        in->len += (size_t)n;
        conn->progress = true;
        /* Edge-triggered: a short read has emptied the socket, but for an end that was announced. */
        if ((size_t)n < room)
            conn->readable = conn->at_end;
        return FILL_GOT;
    }
    if (fw_buf_live(in) == 0)
        fw_buf_release(in, &conn->env->blocks);
    if (n == 0) {
        conn->at_end = true;
        return FILL_END;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        conn->readable = false;
        return FILL_EMPTY;
    }
    lost(conn, errno);
    return FILL_LOST;
}

/* Throw away what a client still sends to a connection that has its last answer, until it closes: closing
 * with unread bytes would reset the connection and could take the answer from it (RFC 9112 section 9.6). */
static enum fw_conn_need linger(struct fw_conn *conn)
{
    for (int reads = 0; conn->readable; reads++) {
        if (reads == READS_MOST)
            return FW_NEED_AGAIN;
        conn->in.off = conn->in.len = 0;
        switch (fill(conn)) {
        case FILL_GOT:
            if (conn->env->clock.now_ms >= conn->linger_end_ms)
                return FW_NEED_CLOSE;
            break;
        case FILL_EMPTY:
            break;
        case FILL_END:
        case FILL_LOST:
            return FW_NEED_CLOSE;
        }
    }
    conn->in.off = conn->in.len = 0;
    fw_buf_release(&conn->in, &conn->env->blocks);
    return FW_NEED_READ;
}

static void begin_linger(struct fw_conn *conn)
{
    conn->used_len = (uint32_t)fw_buf_live(&conn->in);
    drop_request(conn);
    shutdown(conn->fd, SHUT_WR);
    conn->linger_end_ms = conn->env->clock.now_ms + (uint64_t)conn->env->timeouts.linger_ms * LINGER_ROUNDS;
    conn->state = FW_CONN_LINGER;
}

enum fw_conn_need fw_conn_step(struct fw_conn *conn)
{
    int reads = 0;
    for (;;) {
        switch ((enum fw_conn_state)conn->state) {
        case FW_CONN_IDLE:
        case FW_CONN_HEAD:
        case FW_CONN_BODY:
            consume(conn);
            if (conn->state >= FW_CONN_READY)
                continue;
            /* No further answer will join what waits. */
            if (fw_buf_live(&conn->out) > 0) {
                if (!flush(conn) && conn->error != FW_OK)
                    return FW_NEED_CLOSE;
                if (conn->blocked)
                    return FW_NEED_WRITE;
            }
            if (!conn->readable)
                return FW_NEED_READ;
            if (reads++ == READS_MOST)
                return FW_NEED_AGAIN;
            switch (fill(conn)) {
            case FILL_GOT:
                break;
            case FILL_EMPTY:
                return FW_NEED_READ;
            case FILL_END:
                if (conn->state != FW_CONN_IDLE) {
                    conn->error = FW_E_PEER_CLOSED;
                    note_refusal(conn);
                    note_gone(conn);
                }
                return FW_NEED_CLOSE;
            case FILL_LOST:
                if (conn->error != FW_E_NO_MEMORY || conn->state == FW_CONN_IDLE) {
                    note_gone(conn);
                    return FW_NEED_CLOSE;
                }
                fw_conn_refuse(conn, FW_E_NO_MEMORY);
                break;
            }
            break;
        case FW_CONN_READY:
            return FW_NEED_SERVE;
        case FW_CONN_SENDING:
            if (!flush(conn))
                return conn->error != FW_OK ? FW_NEED_CLOSE : FW_NEED_WRITE;
            if (conn->owes_line) {
                note_line(conn, conn->resp.status, conn->resp.sent, fw_clock_ns());
                drop_request(conn);
            }
            if (conn->resp.keep_alive) {
                conn->state = FW_CONN_IDLE;
                break;
            }
            if (conn->reset || (!conn->readable && fw_buf_live(&conn->in) == conn->used_len))
                return FW_NEED_CLOSE;
            begin_linger(conn);
            break;
        case FW_CONN_LINGER:
            return linger(conn);
        case FW_CONN_APP:
            assert(false); /* it is in the application's hands */
            return FW_NEED_CLOSE;
        case FW_CONN_CLOSED:
            return FW_NEED_CLOSE;
        }
    }
}

static void expire_write(struct fw_conn *conn)
{
    conn->error = FW_E_WRITE_TIMEOUT;
    note_refusal(conn);
    conn->reset = true; /* what the client has is not the whole */
    if (conn->state != FW_CONN_APP)
        conn->state = FW_CONN_CLOSED;
}

void fw_conn_expire(struct fw_conn *conn)
{
    if (conn->blocked) {
        expire_write(conn);
        return;
    }
    switch ((enum fw_conn_state)conn->state) {
    case FW_CONN_IDLE:
    case FW_CONN_LINGER:
        conn->state = FW_CONN_CLOSED;
        return;
    case FW_CONN_HEAD:
        fw_conn_refuse(conn, FW_E_HEAD_TIMEOUT);
        return;
    case FW_CONN_BODY:
        fw_conn_refuse(conn, FW_E_BODY_TIMEOUT);
        return;
    case FW_CONN_SENDING:
        expire_write(conn);
        return;
    case FW_CONN_READY:
    case FW_CONN_APP:
    case FW_CONN_CLOSED:
        return;
    }
}

/* --- the response --- */

void fw_conn_serve(struct fw_conn *conn)
{
    assert(conn->state == FW_CONN_READY);
    const struct fw_parser *parser = &conn->parser;
    const struct fw_conn_env *env = conn->env;
    conn->state = FW_CONN_APP;
    conn->used = true;
    conn->owes_line = env->access != NULL;
    bool keep = parser->framing.keep_alive && env->timeouts.keepalive_ms > 0 && !env->closing;
    fw_resp_reset(&conn->resp, parser->head.minor, parser->head.method_id == FW_M_HEAD, keep);
}

static uint64_t body_left(const struct fw_conn *conn, uint64_t off)
{
    return off < conn->body_len ? conn->body_len - off : 0;
}

size_t fw_conn_body_read(const struct fw_conn *conn, uint64_t off, char *out, size_t len)
{
    uint64_t left = body_left(conn, off);
    if (len > left)
        len = (size_t)left;
    if (len > 0 && conn->body_fd < 0) {
        memcpy(out, fw_conn_request(conn) + conn->head_len + off, len);
        return len;
    }
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(conn->body_fd, out + got, len - got, (off_t)(off + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
}

size_t fw_conn_body_line(const struct fw_conn *conn, uint64_t off, size_t most)
{
    uint64_t left = body_left(conn, off);
    if (most > left)
        most = (size_t)left;
    if (most == 0)
        return 0;
    if (conn->body_fd < 0) {
        const char *start = fw_conn_request(conn) + conn->head_len + off;
        const char *end = memchr(start, '\n', most);
        return end != NULL ? (size_t)(end - start) + 1 : most;
    }
    char window[4096];
    for (size_t len = 0; len < most;) {
        size_t want = most - len < sizeof window ? most - len : sizeof window;
        size_t n = fw_conn_body_read(conn, off + len, window, want);
        const char *end = memchr(window, '\n', n);
        if (end != NULL)
            return len + (size_t)(end - window) + 1;
        len += n;
        if (n < want)
            return SIZE_MAX;
    }
    return most;
}

enum fw_error fw_conn_begin(struct fw_conn *conn, int64_t known)
{
    const struct fw_conn_env *env = conn->env;
    if (env->closing)
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
        return lost(conn, ENOMEM);
    if (take == 0)
        return FW_OK;
    if (take > COPY_MOST) {
        bool chunked = conn->resp.framing == FW_RESP_CHUNKED;
        struct iovec parts[2] = {{(void *)(uintptr_t)block, take}, {(void *)(uintptr_t) "\r\n", 2}};
        return send_with(conn, parts, chunked ? 2 : 1);
    }
    if (!fw_buf_append(out, pool, block, take) || fw_resp_block_end(&conn->resp, out, pool) != FW_OK)
        return lost(conn, ENOMEM);
    return FW_OK;
}

enum fw_error fw_conn_sendfile(struct fw_conn *conn, int fd, off_t off, uint64_t len)
{
    size_t take;
    assert(conn->file_fd < 0 && conn->resp.framing != FW_RESP_CHUNKED && len <= INT64_MAX);
    (void)fw_resp_block(&conn->resp, &conn->out, &conn->env->blocks, (size_t)len, &take);
    conn->file_off = off;
    conn->file_left = take;
    if (take == 0 || push(conn, MSG_MORE) != FW_OK || push_file(conn, fd) != FW_OK || conn->file_left == 0)
        return (enum fw_error)conn->error;
    conn->file_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return conn->file_fd >= 0 ? FW_OK : lost(conn, ENOMEM);
}

void fw_conn_answered(struct fw_conn *conn)
{
    assert(conn->state == FW_CONN_APP);
    if (conn->owes_line)
        note_answer(conn);
    conn->state = FW_CONN_SENDING;
    if (conn->owes_line) {
        drop_fd(&conn->body_fd);
        return;
    }
    drop_request(conn);
    bool next_is_here = fw_buf_live(&conn->in) > 0;
    if (conn->resp.keep_alive && next_is_here && !conn->blocked && conn->file_fd < 0 &&
        conn->error == FW_OK && fw_buf_live(&conn->out) < COALESCE_MOST) {
        conn->state = FW_CONN_IDLE; /* a pipelined request: its answer may leave with this one */
        if (conn->out_since_ns == 0 && fw_buf_live(&conn->out) > 0)
            conn->out_since_ns = fw_clock_ns();
    }
}

void fw_conn_cut(struct fw_conn *conn, enum fw_error error)
{
    if (conn->owes_line)
        note_end(conn, error == FW_E_APP_FAILED ? (enum fw_error)conn->error : error, fw_clock_ns());
    if (conn->resp.framing == FW_RESP_TO_CLOSE)
        conn->reset = true; /* an orderly close would look like the end of the body */
    fw_resp_discard(&conn->resp, &conn->out);
    conn->resp.keep_alive = false;
    if (error != FW_E_APP_FAILED && conn->error == FW_OK)
        conn->error = (uint8_t)error;
    conn->resp.stage = FW_RESP_DONE;
    conn->state = FW_CONN_SENDING;
}
