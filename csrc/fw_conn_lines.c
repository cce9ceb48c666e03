#include "fw_conn_parts.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* So much of a request line that was refused is logged. */
#define LOGGED_LINE ((size_t)2048)
/* After a call of the application this long it is worth a system call to ask whether the client still waits.
 */
#define LONG_CALL_NS 10000000u

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

void fw_conn_note_line(struct fw_conn *conn, unsigned status, uint64_t sent, uint64_t now_ns)
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
    if (conn->head_len > 0 && conn->traits & FW_CLIENT_SCRIPT) {
        struct fw_span mount = conn->parser.head.fields[conn->script].value;
        entry.mount = base + mount.off;
        entry.mount_len = mount.len;
    }
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
void fw_conn_note_end(struct fw_conn *conn, enum fw_error error, uint64_t now_ns)
{
    unsigned status = conn->resp.status != 0 ? conn->resp.status : 500;
    uint64_t sent = body_sent(conn);
    if (error == FW_E_PEER_RESET || error == FW_E_PEER_CLOSED || error == FW_E_WRITE_TIMEOUT ||
        error == FW_E_WRITE_RATE) {
        status = FW_ACCESS_GONE;
    } else if (error != FW_OK && fw_error_status(error) != 0) {
        status = (unsigned)fw_error_status(error);
        if (conn->resp.stage < FW_RESP_BODY)
            sent = fw_resp_refusal_len(error);
    }
    fw_conn_note_line(conn, status, sent, now_ns);
}

void fw_conn_note_unsent(struct fw_conn *conn)
{
    if (conn->owes_line)
        fw_conn_note_end(conn, (enum fw_error)conn->error, fw_clock_ns());
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
    return conn->blocked || conn->file_fd >= 0 || fw_buf_live(&conn->out) > FW_CONN_COALESCE_MOST;
}

/* The application's part is done. Afterwards the line is there, or waits for the client to take the rest. */
void fw_conn_note_answer(struct fw_conn *conn)
{
    uint64_t now_ns = fw_clock_ns();
    conn->env->answered_ns = now_ns;
    if (conn->error != FW_OK)
        fw_conn_note_end(conn, (enum fw_error)conn->error, now_ns);
    else if (now_ns - conn->began_ns > LONG_CALL_NS && fw_buf_live(&conn->out) > 0 && has_left(conn))
        fw_conn_note_end(conn, FW_E_PEER_CLOSED, now_ns);
    else if (!is_sent_slowly(conn))
        fw_conn_note_line(conn, conn->resp.status, conn->resp.sent, now_ns);
}

void fw_conn_note_refusal(struct fw_conn *conn)
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
void fw_conn_note_gone(struct fw_conn *conn)
{
    if (conn->env->access != NULL && conn->state != FW_CONN_IDLE)
        fw_conn_note_line(conn, FW_ACCESS_GONE, 0, conn->env->clock.now_ms * 1000000u);
}
