#include "fw_loop_parts.h"

void fw_loop_part(struct fw_loop *loop, struct fw_conn *conn)
{
    fw_loop_end_wait(loop, conn);
    fw_queue_append(loop, conn, FW_QUEUE_AWAY);
}

void fw_loop_meet(struct fw_loop *loop, struct fw_conn *conn)
{
    fw_queue_remove(loop, conn);
    conn->env = &loop->env;
    /* what the poller has told meanwhile, nobody has listened to */
    conn->readable = true;
    conn->blocked = false;
}

void fw_loop_call_goes_on(struct fw_loop *loop, const struct fw_conn *conn)
{
    if (loop->config.slot != NULL && atomic_load_explicit(&loop->shown, memory_order_relaxed) == conn)
        fw_slot_go_on(loop->config.slot);
}
