#include "fw_conn_parts.h"
#include "fw_sys.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* The least room that a read is made with, and the most that one read of a body asks for. */
#define READ_LEAST ((size_t)2048)
#define READ_MOST  ((size_t)65536)
/* Reads of one connection before others have their turn. */
#define READS_MOST 8
/* A client that keeps sending is lingered for at most so many times linger_ms. */
#define LINGER_ROUNDS 5

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
    fw_conn_drop_fd(&conn->body_fd);
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
    fw_conn_drop_fd(&conn->file_fd);
    if (conn->reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    if (conn->handed && conn->fd >= 0)
        shutdown(conn->fd, SHUT_RDWR); /* a thread of the application may still be in a call on it */
    fw_conn_drop_fd(&conn->fd);
    conn->state = FW_CONN_CLOSED;
}

void fw_conn_refuse(struct fw_conn *conn, enum fw_error error)
{
    struct fw_conn_env *env = conn->env;
    conn->error = (uint8_t)error;
    if (conn->state != FW_CONN_APP)
        fw_conn_note_refusal(conn);
    fw_resp_discard(&conn->resp, &conn->out);
    bool to_head = conn->parser.state > FW_PARSER_HEAD && conn->parser.head.method_id == FW_M_HEAD;
    enum fw_error unsaid = FW_OK;
    if (fw_error_status(error) != 0)
        unsaid = fw_resp_refuse(&conn->out, &env->blocks, &env->clock, env->server, env->server_len, error,
                                !to_head);
    if (env->access != NULL && fw_error_status(error) != 0) {
        uint64_t sent = to_head || unsaid != FW_OK ? 0 : fw_resp_refusal_len(error);
        uint64_t now_ns = conn->state == FW_CONN_APP ? fw_clock_ns() : env->clock.now_ms * 1000000u;
        fw_conn_note_line(conn, (unsigned)fw_error_status(error), sent, now_ns);
    }
    conn->resp.keep_alive = false;
    conn->error = FW_OK;   /* what waits is still to be sent */
    conn->readable = true; /* more of the refused request may come: SENDING ends in LINGER */
    conn->state = FW_CONN_SENDING;
}
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
            if (FW_UNLIKELY(env->limits.rules & FW_RULES_REWRITE))
                fw_head_rewrite(conn->in.data + conn->in.off, &parser->head, env->limits.rules);
            if (parser->framing.expect_continue && live == conn->used_len &&
                (parser->framing.kind == FW_BODY_CHUNKED || parser->framing.length > 0)) {
                static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
                if (!fw_buf_append(&conn->out, &env->blocks, go_on, sizeof go_on - 1))
                    error = FW_E_NO_MEMORY;
            }
            break;
        case FW_PARSER_GOT_DATA:
            error = fw_conn_body_keep(conn, began + data.off, data.len);
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
        n = fw_sys_recv(conn->fd, in->data + in->len, room, 0);
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
    fw_conn_lost(conn, errno);
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
                if (!fw_conn_flush(conn) && conn->error != FW_OK)
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
                    fw_conn_note_refusal(conn);
                    fw_conn_note_gone(conn);
                }
                return FW_NEED_CLOSE;
            case FILL_LOST:
                if (conn->error != FW_E_NO_MEMORY || conn->state == FW_CONN_IDLE) {
                    fw_conn_note_gone(conn);
                    return FW_NEED_CLOSE;
                }
                fw_conn_refuse(conn, FW_E_NO_MEMORY);
                break;
            }
            break;
        case FW_CONN_READY:
            return FW_NEED_SERVE;
        case FW_CONN_SENDING:
            if (!fw_conn_flush(conn))
                return conn->error != FW_OK ? FW_NEED_CLOSE : FW_NEED_WRITE;
            if (conn->owes_line) {
                fw_conn_note_line(conn, conn->resp.status, conn->resp.sent, fw_clock_ns());
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
    fw_conn_note_refusal(conn);
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
void fw_conn_answered(struct fw_conn *conn)
{
    assert(conn->state == FW_CONN_APP);
    if (conn->owes_line)
        fw_conn_note_answer(conn);
    conn->state = FW_CONN_SENDING;
    if (conn->owes_line) {
        fw_conn_drop_fd(&conn->body_fd);
        return;
    }
    drop_request(conn);
    bool next_is_here = fw_buf_live(&conn->in) > 0;
    if (conn->resp.keep_alive && next_is_here && !conn->blocked && conn->file_fd < 0 &&
        conn->error == FW_OK && fw_buf_live(&conn->out) < FW_CONN_COALESCE_MOST) {
        conn->state = FW_CONN_IDLE; /* a pipelined request: its answer may leave with this one */
        if (conn->out_since_ns == 0 && fw_buf_live(&conn->out) > 0)
            conn->out_since_ns = fw_clock_ns();
    }
}

void fw_conn_cut(struct fw_conn *conn, enum fw_error error)
{
    if (conn->owes_line)
        fw_conn_note_end(conn, error == FW_E_APP_FAILED ? (enum fw_error)conn->error : error, fw_clock_ns());
    if (conn->resp.framing == FW_RESP_TO_CLOSE)
        conn->reset = true; /* an orderly close would look like the end of the body */
    fw_resp_discard(&conn->resp, &conn->out);
    conn->resp.keep_alive = false;
    if (error != FW_E_APP_FAILED && conn->error == FW_OK)
        conn->error = (uint8_t)error;
    conn->resp.stage = FW_RESP_DONE;
    conn->state = FW_CONN_SENDING;
}
