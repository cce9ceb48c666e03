#include "fw_loop_parts.h"

#include <errno.h>

/* Connections taken from siblings before others have their turn: what is left goes to who is idle, too. */
#define RECEIVES_MOST 4
/* All places are taken: the share socket is looked at again after so long. */
#define FULL_MS 50
/* Nobody could take what is to go, or the share socket is full: tried again after so long. */
#define AGAIN_MS 2
/* There is nobody at all: somebody may come to serve while a call goes on. */
#define ALONE_MS 100

struct fw_share_view fw_loop_siblings(const struct fw_loop *loop)
{
    struct fw_share share = loop->config.share;
    if (loop->alone && share.page == NULL)
        return (struct fw_share_view){0};
    struct fw_share_view view = fw_share_look(&share, loop->config.connections);
    if (loop->alone) /* only the server that replaces this one goes on */
        view.serving = atomic_load(&share.page->serving[1 - share.side]);
    return view;
}

/* --- passing --- */

bool fw_loop_pass(struct fw_loop *loop, struct fw_conn *conn, const struct fw_share_view *view)
{
    const struct fw_share_place *place = &loop->listeners[conn->listener].place;
    bool timed = conn->queue > FW_QUEUE_NONE && conn->queue < FW_QUEUE_TIMED;
    uint64_t waited_ms = timed ? loop->env.clock.now_ms - conn->since_ms : 0;
    errno = 0;
    if (!fw_share_may_pass(conn) || place->len == 0 || !(view->places & fw_share_bit(place)))
        return false;
    if (!fw_share_send(&loop->config.share, conn, place, waited_ms))
        return false;
    /* The socket lives on, and with it what the poller knows of it. */
    if (conn->polled)
        fw_poll_remove(loop->poll, conn->fd);
    fw_loop_drop_conn(loop, conn);
    loop->passed++;
    return true;
}

/* All of one list that can go. False: no more can now. */
static bool pass_all(struct fw_loop *loop, enum fw_queue_kind kind, const struct fw_share_view *view)
{
    struct fw_conn *next;
    for (struct fw_conn *conn = loop->queues[kind].first; conn != NULL; conn = next) {
        next = conn->next;
        if (!fw_loop_pass(loop, conn, view) && errno != 0)
            return false;
    }
    return true;
}

static void again_in(struct fw_loop *loop, uint64_t ms)
{
    loop->pass_again_ms = loop->env.clock.now_ms + ms;
}

void fw_loop_pass_on(struct fw_loop *loop)
{
    uint64_t before = loop->passed;
    struct fw_share_view view = fw_loop_siblings(loop);
    bool anybody = view.serving > 0 && atomic_load(&loop->stop) != FW_STOP_NOW;
    atomic_store(&loop->env.closing, !anybody);
    loop->pass_again_ms = 0;
    if (!anybody)
        return;
    if (!pass_all(loop, FW_QUEUE_KEEPALIVE, &view) || !pass_all(loop, FW_QUEUE_HEAD, &view))
        again_in(loop, AGAIN_MS);
    /* Whoever was there may have left meanwhile, and has not seen these. */
    if (loop->passed != before && fw_loop_siblings(loop).serving == 0)
        fw_loop_receive_rest(loop);
}

void fw_loop_pass_ready(struct fw_loop *loop)
{
    struct fw_queue *ready = &loop->queues[FW_QUEUE_READY];
    if (FW_LIKELY(loop->config.share.board == NULL))
        return;
    if (FW_UNLIKELY(loop->leaving))
        fw_loop_pass_on(loop);
    else
        loop->pass_again_ms = 0;
    if (ready->first == NULL)
        return;
    struct fw_share_view view = fw_loop_siblings(loop);
    if (view.serving == 0) {
        again_in(loop, ALONE_MS);
        return;
    }
    if (view.idle > 0) {
        for (struct fw_conn *conn = ready->first; conn != NULL; conn = conn->next)
            if (conn->out_since_ns != 0)
                (void)fw_conn_push(conn); /* earlier answers; a failure is in conn->error */
        (void)pass_all(loop, FW_QUEUE_READY, &view);
    }
    if (ready->first != NULL)
        again_in(loop, AGAIN_MS);
}

/* --- receiving --- */

bool fw_loop_receive_if_shared(struct fw_loop *loop)
{
    const struct fw_share *share = &loop->config.share;
    if (share->board == NULL || loop->receiving || loop->receive_at_ms > loop->env.clock.now_ms ||
        fw_loop_leaves_them(loop))
        return true;
    loop->receive_at_ms = 0;
    loop->receiving =
        fw_poll_add(loop->poll, share->receive, FW_POLL_READ | FW_POLL_ONE, &loop->receiving) == 0;
    return loop->receiving;
}

void fw_loop_receive_none(struct fw_loop *loop)
{
    if (loop->receiving)
        fw_poll_remove(loop->poll, loop->config.share.receive);
    loop->receiving = false;
}

static bool find_listener(struct fw_loop *loop, struct fw_conn *conn, const struct fw_share_place *place)
{
    for (uint32_t i = 0; i < loop->listener_count; i++)
        if (fw_share_same_place(&loop->listeners[i].place, place)) {
            conn->listener = (uint16_t)i;
            return true;
        }
    return false;
}

/* It has waited elsewhere, and stands in its list where it would if it had waited here. */
static void backdate(struct fw_loop *loop, struct fw_conn *conn, uint64_t waited_ms)
{
    uint64_t now_ms = loop->env.clock.now_ms, since_ms = now_ms > waited_ms ? now_ms - waited_ms : 0;
    enum fw_queue_kind kind = (enum fw_queue_kind)conn->queue;
    struct fw_queue *queue = &loop->queues[kind];
    fw_queue_remove(loop, conn);
    struct fw_conn *before = queue->last;
    while (before != NULL && before->since_ms > since_ms)
        before = before->prev;
    fw_queue_insert(loop, conn, kind, before);
    conn->since_ms = since_ms;
    conn->fresh = false;
    if (conn->state == FW_CONN_HEAD)
        conn->began_ns = since_ms * 1000000u;
}

/* False: there is nothing more to receive now. */
static bool receive_one(struct fw_loop *loop)
{
    struct fw_share_note note;
    if (loop->free == NULL && !fw_loop_add_slab(loop)) {
        fw_loop_rest_after(loop, ENOMEM);
        return false;
    }
    struct fw_conn *conn = loop->free, *next = conn->next;
    enum fw_share_got got = fw_share_receive(&loop->config.share, &loop->env, conn, &note);
    if (got != FW_SHARE_GOT || !find_listener(loop, conn, &note.place)) {
        if (got == FW_SHARE_GOT)
            fw_conn_close(conn);
        conn->next = next;
    }
    switch (got) {
    case FW_SHARE_GOT:
        break;
    case FW_SHARE_EMPTY:
        return false;
    case FW_SHARE_LOST:
        return true;
    case FW_SHARE_REST:
        fw_loop_rest_after(loop, errno);
        return false;
    }
    if (conn->state == FW_CONN_CLOSED)
        return true;
    bool counted = note.had_bytes || !conn->used; /* does its head's time run? */
    loop->free = next;
    loop->received++;
    fw_loop_count_connections(loop, 1);
    fw_loop_settle(loop, conn);
    if (conn->queue != FW_QUEUE_KEEPALIVE && conn->queue != FW_QUEUE_HEAD)
        return true; /* or it is gone */
    if (conn->state == FW_CONN_IDLE || (conn->state == FW_CONN_HEAD && counted))
        backdate(loop, conn, note.waited_ms);
    return true;
}

void fw_loop_receive(struct fw_loop *loop)
{
    if (!loop->receiving)
        return; /* an event from before */
    for (int i = 0; i < RECEIVES_MOST; i++) {
        if (fw_loop_is_full(loop)) {
            loop->listen_again_ms = loop->env.clock.now_ms + FULL_MS;
            fw_loop_rest(loop);
            return;
        }
        if (!receive_one(loop))
            return;
    }
}

void fw_loop_receive_rest(struct fw_loop *loop)
{
    if (loop->config.share.board == NULL)
        return;
    while (!fw_loop_is_full(loop) && receive_one(loop))
        ;
    if (loop->leaving)
        loop->listen_again_ms = 0; /* if it has run out of something: nobody will look again */
}
