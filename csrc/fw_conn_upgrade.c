#include "fw_conn_parts.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* --- interim answers --- */

enum fw_error fw_conn_interim_begin(struct fw_conn *conn, struct fw_interim *interim, const char *status,
                                    size_t len)
{
    *interim = (struct fw_interim){0};
    fw_resp_reset(&interim->resp, conn->resp.minor, false, true);
    return fw_resp_status(&interim->resp, &interim->buf, &conn->env->blocks, status, len);
}

enum fw_error fw_conn_interim_send(struct fw_conn *conn, struct fw_interim *interim)
{
    struct fw_buf *buf = &interim->buf;
    assert(conn->resp.stage < FW_RESP_BODY);
    if (conn->error != FW_OK)
        return (enum fw_error)conn->error;
    if (!fw_buf_append(buf, &conn->env->blocks, "\r\n", 2) ||
        !fw_conn_put_before_head(conn, buf->data + buf->off, fw_buf_live(buf)))
        return fw_conn_lost(conn, ENOMEM);
    return fw_conn_push(conn);
}

void fw_conn_interim_drop(struct fw_conn *conn, struct fw_interim *interim)
{
    fw_buf_release(&interim->buf, &conn->env->blocks);
}

/* --- a connection that leaves HTTP --- */

enum fw_error fw_conn_drain(struct fw_conn *conn)
{
    uint32_t most = conn->env->timeouts.write_ms;
    while (fw_conn_push(conn) == FW_OK && fw_conn_waits(conn)) {
        struct pollfd room = {.fd = conn->fd, .events = POLLOUT};
        int n = poll(&room, 1, most < INT32_MAX ? (int)most : INT32_MAX);
        if (n < 0 && errno != EINTR)
            return fw_conn_lost(conn, errno);
        if (n == 0)
            conn->error = FW_E_WRITE_TIMEOUT;
        conn->blocked = false;
    }
    return (enum fw_error)conn->error;
}

int fw_conn_hand_over(struct fw_conn *conn)
{
    int fd = conn->fd;
    assert(conn->state == FW_CONN_APP && conn->resp.stage < FW_RESP_BODY && fd >= 0);
    fw_resp_discard(&conn->resp, &conn->out);
    conn->in.len = conn->in.off + conn->used_len;
    conn->handed = true;
    conn->fd = -1;
    return fd;
}

void fw_conn_take_back(struct fw_conn *conn, int fd)
{
    assert(conn->handed && conn->state == FW_CONN_APP);
    if (conn->owes_line)
        fw_conn_note_line(conn, FW_CONN_HANDED_STATUS, 0, fw_clock_ns());
    if (conn->resp.stage == FW_RESP_HEAD) /* to whom it may concern: nobody */
        fw_resp_discard(&conn->resp, &conn->out);
    conn->resp.keep_alive = false;
    conn->readable = true; /* so that SENDING ends in LINGER */
    conn->blocked = false;
    conn->fd = fd;
    conn->state = fd >= 0 ? FW_CONN_SENDING : FW_CONN_CLOSED;
}
