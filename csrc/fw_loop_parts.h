/* fw_loop_parts: what the parts of fw_loop share among themselves; nobody else includes it.
 *
 *   fw_loop.c         the turn: waiting, deadlines, who is served, leaving
 *   fw_loop_away.c    connections in the hands of threads without the loop, and when calls should overlap
 *   fw_loop_wait.c    an application that waits, in the middle of a call, for what its client takes or sends
 *   fw_loop_accept.c  listeners: who is accepted, and when nobody is                                     */
#ifndef FW_LOOP_PARTS_H
#define FW_LOOP_PARTS_H

#include "fw_loop.h"

static inline void fw_queue_append(struct fw_loop *loop, struct fw_conn *conn, enum fw_queue_kind kind)
{
    struct fw_queue *queue = &loop->queues[kind];
    assert(conn->queue == FW_QUEUE_NONE);
    conn->queue = (uint8_t)kind;
    conn->since_ms = loop->env.clock.now_ms;
    conn->fresh = true;
    conn->next = NULL;
    conn->prev = queue->last;
    if (queue->last != NULL)
        queue->last->next = conn;
    else
        queue->first = conn;
    queue->last = conn;
    queue->count++;
}

static inline void fw_queue_prepend(struct fw_loop *loop, struct fw_conn *conn, enum fw_queue_kind kind)
{
    struct fw_queue *queue = &loop->queues[kind];
    assert(conn->queue == FW_QUEUE_NONE);
    conn->queue = (uint8_t)kind;
    conn->prev = NULL;
    conn->next = queue->first;
    if (queue->first != NULL)
        queue->first->prev = conn;
    else
        queue->last = conn;
    queue->first = conn;
    queue->count++;
}

static inline void fw_queue_remove(struct fw_loop *loop, struct fw_conn *conn)
{
    struct fw_queue *queue = &loop->queues[conn->queue];
    if (conn->queue == FW_QUEUE_NONE)
        return;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        queue->first = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    else
        queue->last = conn->prev;
    conn->queue = FW_QUEUE_NONE;
    queue->count--;
}

/* --- fw_loop.c --- */

/* More connections in loop->free. False: no memory. */
bool fw_loop_add_slab(struct fw_loop *loop);

void fw_loop_count_connections(struct fw_loop *loop, int change);

/* Let the connection go as far as it can. */
void fw_loop_settle(struct fw_loop *loop, struct fw_conn *conn);

/* Its time is over, if it is: what it waits for may have come while this process did something else, and its
 * event may not have been seen yet. */
void fw_loop_expire(struct fw_loop *loop, struct fw_conn *conn);

/* It does not wait on in its list. Time that was waited for a body or for room counts against its rate. */
void fw_loop_end_wait(struct fw_loop *loop, struct fw_conn *conn);

/* --- fw_loop_away.c --- */

/* A call of the application has taken so long. One that takes very long counts as one that takes this: the
 * mean is to follow what is usual now. */
#define FW_LOOP_LONG_NS (16u * FW_LOOP_BLOCK_NS)

static inline void fw_loop_note_call(struct fw_loop *loop, uint64_t took_ns)
{
    uint64_t mean_ns = atomic_load_explicit(&loop->mean_ns, memory_order_relaxed);
    mean_ns = (mean_ns * 7 + (took_ns < FW_LOOP_LONG_NS ? took_ns : FW_LOOP_LONG_NS)) / 8;
    atomic_store_explicit(&loop->mean_ns, mean_ns, memory_order_relaxed);
}

/* Have it told of bytes, and if `write` of room. False: the poller has failed. */
bool fw_loop_arm(struct fw_loop *loop, struct fw_conn *conn, bool write);

/* Does it, with the bytes that have moved since it was last looked at? */
bool fw_loop_keeps_its_rate(const struct fw_loop *loop, struct fw_conn *conn, enum fw_queue_kind kind);

void fw_loop_leave_if_told(struct fw_loop *loop);

/* A turn in the middle of a call: everybody else's sockets are seen to, but nobody is served or accepted. */
void fw_loop_turn_beside(struct fw_loop *loop);

/* --- fw_loop_accept.c --- */

/* Accept nothing until fw_loop_listen_if_wanted() finds that there is a reason to. */
void fw_loop_rest(struct fw_loop *loop);
void fw_loop_listen_if_wanted(struct fw_loop *loop);

/* False: there is nothing more to accept now. */
bool fw_loop_accept_one(struct fw_loop *loop, struct fw_listener *listener);

#endif
