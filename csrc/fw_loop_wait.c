#include "fw_loop_parts.h"

/* Wait in this list from now, or from the last byte that moved. False: too few have. */
static bool wait_in(struct fw_loop *loop, struct fw_conn *conn, enum fw_queue_kind kind)
{
    if (conn->queue != kind || conn->progress > 0) {
        fw_loop_end_wait(loop, conn);
        if (!fw_loop_keeps_its_rate(loop, conn, kind))
            return false;
        fw_queue_append(loop, conn, kind);
    }
    conn->progress = 0;
    return true;
}

enum fw_pull fw_loop_wait_body(struct fw_loop *loop, struct fw_conn *conn)
{
    assert(conn->state == FW_CONN_APP);
    fw_loop_leave_if_told(loop);
    (void)fw_conn_push(conn); /* a failure is in conn->error, which is looked at before anything is read */
    if (fw_loop_done(loop)) {
        conn->body_error = FW_E_STOPPING;
    } else if (!fw_loop_arm(loop, conn, conn->blocked)) {
        conn->body_error = FW_E_NO_MEMORY;
    } else if (conn->error == FW_OK) {
        if (wait_in(loop, conn, FW_QUEUE_BODY)) {
            fw_loop_turn_beside(loop);
            fw_loop_call_goes_on(loop, conn);
        } else {
            conn->body_error = FW_E_BODY_RATE;
        }
    }
    bool late = conn->queue == FW_QUEUE_NONE;
    conn->readable |= late; /* it may have come just now */
    enum fw_pull pull = fw_conn_body_pull(conn);
    if (pull == FW_PULL_WAIT && late) {
        conn->body_error = FW_E_BODY_TIMEOUT;
        pull = FW_PULL_FAILED;
    }
    if (pull != FW_PULL_WAIT)
        fw_loop_end_wait(loop, conn);
    return pull;
}

bool fw_loop_wait_room(struct fw_loop *loop, struct fw_conn *conn)
{
    assert(conn->state == FW_CONN_APP);
    fw_loop_leave_if_told(loop);
    if (fw_loop_done(loop) && conn->error == FW_OK)
        conn->error = FW_E_STOPPING;
    (void)fw_conn_push(conn);
    if (conn->error != FW_OK || !fw_conn_full(conn)) {
        fw_loop_end_wait(loop, conn);
        return false;
    }
    if (!fw_loop_arm(loop, conn, true)) {
        conn->error = FW_E_NO_MEMORY;
        return true;
    }
    if (wait_in(loop, conn, FW_QUEUE_WRITE)) {
        fw_loop_turn_beside(loop);
        fw_loop_call_goes_on(loop, conn);
    } else {
        fw_conn_too_slow(conn);
    }
    return true;
}

void fw_loop_mind(struct fw_loop *loop, struct fw_conn *conn)
{
    fw_loop_leave_if_told(loop);
    if (conn != NULL && conn->blocked && !fw_loop_arm(loop, conn, true))
        conn->error = FW_E_NO_MEMORY;
    fw_loop_turn_beside(loop);
}

int fw_loop_hand_over(struct fw_loop *loop, struct fw_conn *conn)
{
    if (conn->polled)
        fw_poll_remove(loop->poll, conn->fd);
    conn->polled = conn->polled_write = false;
    return fw_conn_hand_over(conn);
}
