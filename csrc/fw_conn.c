#include "fw_conn_parts.h"
#include "fw_sys.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* The least room that a read is made with, and the most that one read of a body asks for. */
#define READ_LEAST ((size_t)2048)
#define READ_MOST  ((size_t)65536)
/* What a buffer may keep that has no body in it any more: a read fits in. */
#define LARGE_MOST ((size_t)139264)
/* Reads of one connection, or bytes (about 100 us with their way to the disk), before others have their turn.
 */
#define READS_MOST 8
#define SHARE_MOST ((size_t)131072)
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
    fw_conn_body_drop(conn);
    conn->used_len = conn->head_len = 0;
    conn->body_len = conn->body_start = 0;
    conn->body_error = FW_OK;
    conn->wants_continue = false;
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
    conn->credit_ns = env->write_rate.grace_ns;
    conn->error = FW_OK;   /* what waits is still to be sent */
    conn->readable = true; /* more of the refused request may come: SENDING ends in LINGER */
    conn->state = FW_CONN_SENDING;
}

/* Raw bytes that the parser has not used move down to the end of what is kept, so that the buffer grows with
 * what is kept and not with what came.                                                       */
static void close_gap(struct fw_conn *conn)
{
    size_t kept = conn->head_len + (conn->body_fd < 0 ? (size_t)(conn->body_len - conn->body_start) : 0);
    if (conn->used_len == kept)
        return;
    char *base = conn->in.data + conn->in.off;
    size_t rest = fw_buf_live(&conn->in) - conn->used_len;
    if (rest > 0)
        memmove(base + kept, base + conn->used_len, rest);
    conn->in.len -= conn->used_len - kept;
    conn->used_len = (uint32_t)kept;
    if (conn->body_fd >= 0 && conn->in.cap > LARGE_MOST)
        fw_buf_shrink(&conn->in, &conn->env->blocks); /* what it grew for is in the file now */
}

/* Show the parser what it has not seen of the present request. Afterwards the state is as it was (more is
 * needed), BODY or READY; state APP stays. A refusal is returned. */
static enum fw_error advance(struct fw_conn *conn)
{
    struct fw_conn_env *env = conn->env;
    struct fw_parser *parser = &conn->parser;
    size_t live = fw_buf_live(&conn->in);
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
            conn->credit_ns = env->body_rate.grace_ns;
            conn->early = env->body_early;
            if (FW_UNLIKELY(env->early_paths.len > 0))
                conn->early |= fw_conn_path_is_early(conn);
            if (conn->heeded && (error = fw_conn_heed(conn)) != FW_OK)
                return error;
            if (parser->framing.expect_continue && live == conn->used_len &&
                (parser->framing.kind == FW_BODY_CHUNKED || parser->framing.length > 0)) {
                static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
                if (conn->early)
                    conn->wants_continue = true;
                else if (!fw_buf_append(&conn->out, &env->blocks, go_on, sizeof go_on - 1))
                    return FW_E_NO_MEMORY;
            }
            if (FW_LIKELY(fw_parser_pass_end(parser))) {
                conn->state = FW_CONN_READY;
                return FW_OK;
            }
            break;
        case FW_PARSER_GOT_DATA:
            error = fw_conn_body_keep(conn, began + data.off, data.len);
            if (error != FW_OK)
                return error;
            break;
        case FW_PARSER_GOT_FIELD:
            break; /* WSGI has no place for trailers */
        case FW_PARSER_GOT_END:
            if (conn->state != FW_CONN_APP)
                conn->state = FW_CONN_READY;
            return FW_OK;
        case FW_PARSER_MORE:
            if (conn->state >= FW_CONN_BODY)
                close_gap(conn);
            if (conn->state == FW_CONN_BODY && conn->early)
                conn->state = FW_CONN_READY;
            return FW_OK;
        case FW_PARSER_FAIL:
            return (enum fw_error)parser->error;
        }
    }
}

/* What has come but was not looked at. Afterwards the state is IDLE, HEAD, BODY (more is needed), READY, or
 * SENDING (refused).                                                                       */
static void consume(struct fw_conn *conn)
{
    struct fw_conn_env *env = conn->env;
    struct fw_parser *parser = &conn->parser;
    if (FW_UNLIKELY(conn->awaits_proxy) && !fw_conn_take_proxy(conn))
        return;
    if (fw_buf_live(&conn->in) == conn->used_len && conn->state != FW_CONN_BODY)
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
    enum fw_error error = advance(conn);
    if (error != FW_OK)
        fw_conn_refuse(conn, error);
}

enum fill { FILL_GOT, FILL_EMPTY, FILL_END, FILL_LOST };

static enum fill fill(struct fw_conn *conn)
{
    struct fw_buf *in = &conn->in;
    char *at = NULL;
    size_t room = 0;
    if (FW_UNLIKELY(conn->body_fd >= 0))
        room = fw_conn_body_room(conn, &at);
    bool pours = room > 0;
    if (!pours) {
        size_t want = READ_LEAST;
        if (conn->state >= FW_CONN_BODY && conn->parser.body.left > want)
            want = conn->parser.body.left < READ_MOST ? (size_t)conn->parser.body.left : READ_MOST;
        if (!fw_buf_reserve(in, &conn->env->blocks, want)) {
            conn->error = FW_E_NO_MEMORY;
            return FILL_LOST;
        }
        at = in->data + in->len;
        room = in->cap - in->len;
    }
    ssize_t n;
    do
        n = fw_sys_recv(conn->fd, at, room, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        conn->progress += (size_t)n;
        /* Edge-triggered: a short read has emptied the socket, but for an end that was announced. */
        if ((size_t)n < room)
            conn->readable = conn->at_end;
        if (FW_LIKELY(!pours)) {
            in->len += (size_t)n;
            return FILL_GOT;
        }
        conn->error = (uint8_t)fw_conn_body_pour(conn, (size_t)n);
        return conn->error == FW_OK ? FILL_GOT : FILL_LOST;
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

enum fw_pull fw_conn_body_pull(struct fw_conn *conn)
{
    assert(conn->state == FW_CONN_APP);
    conn->body_start = conn->body_len;
    while (conn->body_error == FW_OK) {
        if (conn->parser.state != FW_PARSER_END)
            conn->body_error = (uint8_t)advance(conn);
        if (conn->body_len > conn->body_start)
            return FW_PULL_GOT; /* the error, if there is one, comes behind it */
        if (conn->parser.state == FW_PARSER_END)
            return FW_PULL_END;
        if (conn->body_error != FW_OK)
            break;
        if (conn->error != FW_OK) {
            conn->body_error = conn->error;
            break;
        }
        if (!conn->readable && !conn->wants_continue)
            return FW_PULL_WAIT;
        switch (fill(conn)) {
        case FILL_GOT:
            conn->wants_continue = false; /* it has not waited for that */
            break;
        case FILL_EMPTY:
            if (conn->wants_continue)
                fw_conn_continue(conn);
            if (conn->error == FW_OK)
                return FW_PULL_WAIT;
            break;
        case FILL_END:
            conn->body_error = FW_E_PEER_CLOSED;
            break;
        case FILL_LOST:
            conn->body_error = conn->error;
            if (conn->error == FW_E_NO_MEMORY)
                conn->error = FW_OK; /* there may be enough for an answer */
            break;
        }
    }
    return FW_PULL_FAILED;
}

/* The answer is there, but not all of the body: what is left of it is thrown away if it is short and here.
 * Else the connection cannot stay. */
static void leave_body(struct fw_conn *conn)
{
    enum fw_pull pull = FW_PULL_GOT;
    conn->readable = true; /* as no turn of the loop has looked since it was called */
    for (int pulls = 0; pull == FW_PULL_GOT && pulls < READS_MOST && !conn->wants_continue; pulls++)
        pull = fw_conn_body_pull(conn);
    if (pull == FW_PULL_END)
        return;
    conn->resp.keep_alive = false;
    conn->readable = true; /* what still comes is lingered for */
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
    uint64_t before = 0, share = 0;
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
            if (reads++ == READS_MOST || share >= SHARE_MOST)
                return FW_NEED_AGAIN;
            before = conn->progress;
            switch (fill(conn)) {
            case FILL_GOT:
                share += conn->progress - before;
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
                if (fw_error_status((enum fw_error)conn->error) == 0 || conn->state == FW_CONN_IDLE) {
                    fw_conn_note_gone(conn);
                    return FW_NEED_CLOSE;
                }
                fw_conn_refuse(conn, (enum fw_error)conn->error);
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

static void give_up_sending(struct fw_conn *conn, enum fw_error error)
{
    conn->error = (uint8_t)error;
    fw_conn_note_refusal(conn);
    conn->reset = true; /* what the client has is not the whole */
    if (conn->state != FW_CONN_APP)
        conn->state = FW_CONN_CLOSED;
}

void fw_conn_too_slow(struct fw_conn *conn)
{
    if (conn->state == FW_CONN_BODY && !conn->blocked)
        fw_conn_refuse(conn, FW_E_BODY_RATE);
    else
        give_up_sending(conn, FW_E_WRITE_RATE);
}

void fw_conn_expire(struct fw_conn *conn)
{
    const struct fw_timeouts *timeouts = &conn->env->timeouts;
    /* Where only the rate is limited, nothing has moved for the whole grace. */
    enum fw_error unread = timeouts->body_ms > 0 ? FW_E_BODY_TIMEOUT : FW_E_BODY_RATE;
    enum fw_error unsent = timeouts->write_ms > 0 ? FW_E_WRITE_TIMEOUT : FW_E_WRITE_RATE;
    if (conn->blocked) {
        give_up_sending(conn, unsent);
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
        fw_conn_refuse(conn, unread);
        return;
    case FW_CONN_SENDING:
        give_up_sending(conn, unsent);
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
    conn->progress = 0;
    conn->credit_ns = env->write_rate.grace_ns;
    conn->owes_line = env->access != NULL;
    bool keep = parser->framing.keep_alive && env->timeouts.keepalive_ms > 0 && !env->closing;
    fw_resp_reset(&conn->resp, parser->head.minor, parser->head.method_id == FW_M_HEAD, keep);
}
void fw_conn_answered(struct fw_conn *conn)
{
    assert(conn->state == FW_CONN_APP);
    if (FW_UNLIKELY(fw_conn_body_is_early(conn)))
        leave_body(conn);
    if (conn->owes_line)
        fw_conn_note_answer(conn);
    conn->state = FW_CONN_SENDING;
    if (conn->owes_line) {
        fw_conn_body_drop(conn);
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
    conn->readable |= fw_conn_body_is_early(conn);
    conn->state = FW_CONN_SENDING;
}
