#include "fw_loop_parts.h"

/* Calls that take this long in the mean block: what a call that overlaps others costs (two wake-ups, 20 us)
 * is little then. One that takes very long counts as one that takes LONG_NS: the mean is to follow what is
 * usual now. */
#define BLOCK_NS 500000u
#define LONG_NS  (16u * BLOCK_NS)

void fw_loop_note_call(struct fw_loop *loop, uint64_t took_ns)
{
    loop->mean_ns = (loop->mean_ns * 7 + (took_ns < LONG_NS ? took_ns : LONG_NS)) / 8;
}

bool fw_loop_calls_block(const struct fw_loop *loop)
{
    return loop->mean_ns > BLOCK_NS;
}

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
