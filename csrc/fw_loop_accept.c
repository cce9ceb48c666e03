#define _GNU_SOURCE
#include "fw_loop_parts.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* How long the listeners rest when accept finds no descriptor or memory, unless a connection closes before.
 */
#define REST_MS 200
/* All places are taken and somebody comes: for so long a sibling with room may take him. */
#define SIBLINGS_MS 50
/* Then a connection goes that has been idle for at least so long. */
#define IDLE_MS 1000

void fw_loop_rest(struct fw_loop *loop)
{
    for (uint32_t i = 0; i < loop->listener_count; i++)
        if (loop->listeners[i].polled) {
            fw_poll_remove(loop->poll, loop->listeners[i].fd);
            loop->listeners[i].polled = false;
        }
    fw_loop_receive_none(loop);
    loop->listening = false;
}

/* Whoever comes now goes to siblings. Where each has listeners of its own (reuse_port), they cannot take him:
 * he is accepted, and passed on once his request is here. If nobody serves, he is better off in the queue:
 * that outlives this process. */
void fw_loop_rest_beside(struct fw_loop *loop)
{
    if (!loop->config.own_listeners || !loop->listening || fw_loop_siblings(loop).serving == 0) {
        fw_loop_rest(loop);
    } else if (loop->receiving) {
        fw_loop_receive_none(loop);
        loop->receive_at_ms = loop->env.clock.now_ms; /* in the next turn with an application */
    }
}

/* The machine has run out of something. The backlog keeps who waits; asking again at once would only burn the
 * processor. */
void fw_loop_rest_after(struct fw_loop *loop, int problem)
{
    loop->accept_errno = problem;
    loop->listen_again_ms = loop->env.clock.now_ms + REST_MS;
    fw_loop_rest(loop);
}

/* When the connection that waits longest for its next request has been idle long enough to make room. */
static uint64_t room_at_ms(const struct fw_loop *loop)
{
    const struct fw_conn *idle = loop->queues[FW_QUEUE_KEEPALIVE].first;
    return idle != NULL ? idle->since_ms + IDLE_MS : UINT64_MAX;
}

/* Nobody is to be kept out by connections that only might be used again: the one that has waited longest
 * goes, as if its time were over, unless its next request has come. False: there is none to go. */
static bool make_room(struct fw_loop *loop)
{
    while (fw_loop_is_full(loop) && room_at_ms(loop) <= loop->env.clock.now_ms)
        fw_loop_expire(loop, loop->queues[FW_QUEUE_KEEPALIVE].first);
    return !fw_loop_is_full(loop);
}

static bool somebody_waits(const struct fw_listener *listener)
{
    struct pollfd poller = {.fd = listener->fd, .events = POLLIN};
    return poll(&poller, 1, 0) > 0;
}

/* May one more be accepted? All places are taken, and if somebody waits all the same, it is a sibling's turn
 * first. Then somebody else has to go. */
static bool may_accept(struct fw_loop *loop, const struct fw_listener *listener)
{
    if (loop->leaving) {
        fw_loop_rest(loop);
        return false;
    }
    if (FW_LIKELY(!fw_loop_is_full(loop)))
        return true;
    if (!somebody_waits(listener)) {
        loop->crowded = false;
        return false;
    }
    if (loop->crowded && make_room(loop))
        return true;
    if (!loop->crowded)
        loop->listen_again_ms = loop->env.clock.now_ms + SIBLINGS_MS;
    loop->crowded = true;
    fw_loop_rest(loop);
    return false;
}

void fw_loop_listen_if_wanted(struct fw_loop *loop)
{
    uint64_t now = loop->env.clock.now_ms;
    if (loop->listening || loop->leaving || loop->listen_again_ms > now)
        return;
    loop->listen_again_ms = 0;
    if (fw_loop_is_full(loop) && room_at_ms(loop) > now) {
        if (room_at_ms(loop) < UINT64_MAX)
            loop->listen_again_ms = room_at_ms(loop);
        return;
    }
    for (uint32_t i = 0; i < loop->listener_count; i++) {
        struct fw_listener *listener = &loop->listeners[i];
        if (listener->polled)
            continue;
        if (fw_poll_add(loop->poll, listener->fd, FW_POLL_READ | FW_POLL_ONE, listener) != 0) {
            fw_loop_rest_after(loop, errno);
            return;
        }
        listener->polled = true;
    }
    if (!fw_loop_receive_if_shared(loop)) {
        fw_loop_rest_after(loop, errno);
        return;
    }
    loop->listening = true;
}

bool fw_loop_accept_one(struct fw_loop *loop, struct fw_listener *listener)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    if (!may_accept(loop, listener))
        return false;
    if (loop->free == NULL && !fw_loop_add_slab(loop)) {
        errno = ENOMEM;
    } else {
        int fd = accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            struct fw_conn *conn = loop->free;
            loop->free = conn->next;
            fw_conn_open(conn, &loop->env, fd);
            conn->listener = (uint16_t)(listener - loop->listeners);
            struct fw_client peer = fw_client_of(&address);
            fw_conn_meet(conn, &peer, listener->local);
            fw_loop_count_connections(loop, 1);
            if (!fw_loop_pass_fresh(loop, conn))
                fw_loop_settle(loop, conn);
            return true;
        }
    }
    switch (errno) {
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
        loop->crowded = false;
        return false;
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT:
        return true; /* that one is gone; there may be others */
    default:
        /* EMFILE, ENFILE, ENOBUFS, ENOMEM, or a socket that does not listen */
        fw_loop_rest_after(loop, errno);
        return false;
    }
}

bool fw_loop_add_listener(struct fw_loop *loop, int fd, bool local)
{
    size_t size = (loop->listener_count + 1) * sizeof *loop->listeners;
    struct fw_listener *listeners = FW_REALLOC(loop->listeners, size);
    if (listeners == NULL)
        return false;
    loop->listeners = listeners;
    struct fw_listener *listener = &loop->listeners[loop->listener_count++];
    *listener = (struct fw_listener){.fd = fd, .local = local};
    if (fw_share_place_of(fd, &listener->place) && loop->config.slot != NULL)
        atomic_fetch_or(&loop->config.slot->places, fw_share_bit(&listener->place));
    return true;
}
