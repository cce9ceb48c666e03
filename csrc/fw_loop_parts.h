/* fw_loop_parts: what the parts of fw_loop share among themselves; nobody else includes it.
 *
 *   fw_loop.c         the turn: waiting, deadlines, who is served, leaving
 *   fw_loop_away.c    connections in the hands of threads without the loop, and when calls should overlap
 *   fw_loop_wait.c    an application that waits, in the middle of a call, for what its client takes or sends
 *   fw_loop_accept.c  listeners: who is accepted, and when nobody is
 *   fw_loop_share.c   connections that go to siblings, and that come from them
 *   fw_loop_even.c    how many connections this worker should have, beside its siblings                  */
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

/* Behind `before`, or in front of all where that is NULL. */
static inline void fw_queue_insert(struct fw_loop *loop, struct fw_conn *conn, enum fw_queue_kind kind,
                                   struct fw_conn *before)
{
    struct fw_queue *queue = &loop->queues[kind];
    assert(conn->queue == FW_QUEUE_NONE);
    conn->queue = (uint8_t)kind;
    conn->prev = before;
    conn->next = before != NULL ? before->next : queue->first;
    if (before != NULL)
        before->next = conn;
    else
        queue->first = conn;
    if (conn->next != NULL)
        conn->next->prev = conn;
    else
        queue->last = conn;
    queue->count++;
}

static inline void fw_queue_prepend(struct fw_loop *loop, struct fw_conn *conn, enum fw_queue_kind kind)
{
    fw_queue_insert(loop, conn, kind, NULL);
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

/* Close it; its structure is free. */
void fw_loop_drop_conn(struct fw_loop *loop, struct fw_conn *conn);

static inline bool fw_loop_is_full(const struct fw_loop *loop)
{
    return loop->connections >= loop->config.connections;
}

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

/* A turn in the middle of a call: everybody else's sockets are seen to, but nobody is served. */
void fw_loop_turn_beside(struct fw_loop *loop);

/* --- fw_loop_accept.c --- */

/* Accept nothing until fw_loop_listen_if_wanted() finds that there is a reason to. */
void fw_loop_rest(struct fw_loop *loop);
void fw_loop_rest_beside(struct fw_loop *loop);             /* in the middle of a call */
void fw_loop_rest_after(struct fw_loop *loop, int problem); /* the machine has run out of something */
void fw_loop_listen_if_wanted(struct fw_loop *loop);

/* False: there is nothing more to accept now. */
bool fw_loop_accept_one(struct fw_loop *loop, struct fw_listener *listener);

/* --- fw_loop_share.c --- */

/* Who could take connections. Safe in a signal handler. */
struct fw_share_view fw_loop_siblings(const struct fw_loop *loop);

/* Leaving: pass on all that are between requests. Says (env.closing) whether those that are not, may stay
 * open. */
void fw_loop_pass_on(struct fw_loop *loop);

/* Nobody here serves what is ready, perhaps for long: siblings that are idle may. */
void fw_loop_pass_ready(struct fw_loop *loop);

/* Calls are not quick, and more than one request waits for its own: siblings that are idle get one each. */
void fw_loop_relieve(struct fw_loop *loop);

/* Having passed some on, is it still better that siblings take what there is? */
bool fw_loop_leaves_them(struct fw_loop *loop);

/* Take connections from siblings, or do not. False, with errno: the poller has failed. */
bool fw_loop_receive_if_shared(struct fw_loop *loop);
void fw_loop_receive_none(struct fw_loop *loop);

/* Are there fewer connections elsewhere? `conn` has just been accepted. True: it is somebody else's. */
bool fw_loop_pass_fresh(struct fw_loop *loop, struct fw_conn *conn);

/* It is time to look whether some that are at work here had better be elsewhere. */
void fw_loop_even(struct fw_loop *loop);

/* The share socket has something. */
void fw_loop_receive(struct fw_loop *loop);

/* All that is there, since nobody else is. */
void fw_loop_receive_rest(struct fw_loop *loop);

#endif
