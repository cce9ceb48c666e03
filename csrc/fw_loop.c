#define _GNU_SOURCE
#include "fw_loop_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLAB_CONNS 64
/* Connections accepted before others have their turn. */
#define ACCEPTS_MOST 64
/* Requests served before the others' sockets and the deadlines are looked at again. */
#define TAKES_MOST 256
/* Answers of one turn wait for each other while a call of the application, with all around it, takes no
 * longer than this; for so long altogether; and so many at the most. */
#define QUICK_NS   300000u
#define HOLD_NS    1000000u
#define GIVEN_MOST 32
/* A longer time between two turns is not counted against the connections that the first one left waiting. */
#define AWAY_MS 50
/* Access lines that whoever reads them does not take at once are tried again after so long. */
#define LINES_AGAIN_MS 250
/* Free blocks and field arrays that are kept for the next requests. */
#define KEEP_BLOCKS 256
/* The grace of a rate whose wait has no limit of its own; and no limit at all. */
#define RATE_GRACE_MS 60000
#define NEVER_MS      ((uint64_t)1 << 60)

struct slab {
    struct slab *next;
    struct fw_conn conns[SLAB_CONNS];
};

/* --- connections --- */

bool fw_loop_add_slab(struct fw_loop *loop)
{
    struct slab *slab = FW_REALLOC(NULL, sizeof *slab);
    if (slab == NULL)
        return false;
    slab->next = loop->slabs;
    loop->slabs = slab;
    for (size_t i = SLAB_CONNS; i-- > 0;) {
        slab->conns[i].next = loop->free;
        slab->conns[i].state = FW_CONN_CLOSED;
        loop->free = &slab->conns[i];
    }
    return true;
}

void fw_loop_count_connections(struct fw_loop *loop, int change)
{
    loop->connections += (uint32_t)change;
    if (loop->config.slot != NULL)
        atomic_store_explicit(&loop->config.slot->connections, loop->connections, memory_order_relaxed);
}

void fw_loop_drop_conn(struct fw_loop *loop, struct fw_conn *conn)
{
    fw_queue_remove(loop, conn);
    /* An event of this turn that is still to be seen to must not find who comes after it in this place. */
    for (int i = loop->event; i < loop->event_count; i++)
        if (loop->events[i].who == conn)
            loop->events[i].who = NULL;
    fw_conn_close(conn); /* which takes it out of the poller as well: we never duplicate it */
    conn->next = loop->free;
    loop->free = conn;
    fw_loop_count_connections(loop, -1);
    loop->listen_again_ms = 0;
}

/* Who waits for room is registered anew each time, which makes the kernel look once more: a change that it
 * has told of before, or has missed, must not leave a connection waiting for the next one.              */
bool fw_loop_arm(struct fw_loop *loop, struct fw_conn *conn, bool write)
{
    unsigned what = FW_POLL_READ | FW_POLL_EDGE | (write ? FW_POLL_WRITE : 0u);
    if (conn->polled && !conn->polled_write && !write)
        return true;
    int failed = conn->polled ? fw_poll_change(loop->poll, conn->fd, what, conn)
                              : fw_poll_add(loop->poll, conn->fd, what, conn);
    if (failed != 0)
        return false;
    conn->polled = true;
    conn->polled_write = write;
    return true;
}

static enum fw_queue_kind queue_of(const struct fw_loop *loop, const struct fw_conn *conn,
                                   enum fw_conn_need need)
{
    if (need == FW_NEED_WRITE)
        return FW_QUEUE_WRITE;
    switch ((enum fw_conn_state)conn->state) {
    case FW_CONN_IDLE:
        return conn->used || loop->leaving ? FW_QUEUE_KEEPALIVE : FW_QUEUE_HEAD;
    case FW_CONN_HEAD:
        return FW_QUEUE_HEAD;
    case FW_CONN_BODY:
        return FW_QUEUE_BODY;
    default:
        return FW_QUEUE_LINGER;
    }
}

void fw_loop_end_wait(struct fw_loop *loop, struct fw_conn *conn)
{
    if (conn->queue == FW_QUEUE_BODY || conn->queue == FW_QUEUE_WRITE)
        fw_rate_charge(&conn->credit_ns, loop->env.clock.now_ms - conn->since_ms);
    fw_queue_remove(loop, conn);
}

/* With the bytes that have moved since it was last looked at. */
bool fw_loop_keeps_its_rate(const struct fw_loop *loop, struct fw_conn *conn, enum fw_queue_kind kind)
{
    if (kind == FW_QUEUE_BODY)
        return fw_rate_earn(&loop->env.body_rate, &conn->credit_ns, conn->progress);
    if (kind == FW_QUEUE_WRITE)
        return fw_rate_earn(&loop->env.write_rate, &conn->credit_ns, conn->progress);
    return true;
}

/* Put the connection where it waits for what it needs. */
static void place(struct fw_loop *loop, struct fw_conn *conn, enum fw_conn_need need)
{
    switch (need) {
    case FW_NEED_CLOSE:
        fw_loop_drop_conn(loop, conn);
        return;
    case FW_NEED_SERVE:
        fw_queue_remove(loop, conn);
        /* A pipelined request goes first, so that its answer leaves with the one that waits for it: but only
         * as long as that may wait, or one connection could keep the application from all others. */
        fw_conn_push_old(conn);
        if (conn->out_since_ns != 0)
            fw_queue_prepend(loop, conn, FW_QUEUE_READY);
        else
            fw_queue_append(loop, conn, FW_QUEUE_READY);
        return;
    case FW_NEED_AGAIN:
        fw_loop_end_wait(loop, conn);
        fw_queue_append(loop, conn, FW_QUEUE_AGAIN);
        return;
    case FW_NEED_READ:
    case FW_NEED_WRITE:
        break;
    }
    if (!fw_loop_arm(loop, conn, need == FW_NEED_WRITE)) {
        fw_loop_drop_conn(loop, conn);
        return;
    }
    enum fw_queue_kind kind = queue_of(loop, conn, need);
    /* The head's deadline counts from its beginning, the others from the last byte that moved. */
    if (conn->queue == kind && (kind == FW_QUEUE_HEAD || conn->progress == 0))
        return;
    fw_loop_end_wait(loop, conn);
    if (!fw_loop_keeps_its_rate(loop, conn, kind)) {
        fw_conn_too_slow(conn);
        fw_loop_settle(loop, conn);
        return;
    }
    conn->progress = 0;
    fw_queue_append(loop, conn, kind);
}

void fw_loop_settle(struct fw_loop *loop, struct fw_conn *conn)
{
    place(loop, conn, fw_conn_step(conn));
}

/* --- leaving --- */

/* Look at the clock. If the application had the stage for long, that is no time in which a client kept us
 * waiting: those who began to wait in the last turn begin now. Once: whoever has begun anew is fresh no more.
 */
static void tell_time(struct fw_loop *loop)
{
    uint64_t before = loop->env.clock.now_ms;
    fw_clock_update(&loop->env.clock);
    uint64_t now = loop->env.clock.now_ms;
    if (FW_LIKELY(now - before < AWAY_MS))
        return;
    for (int kind = FW_QUEUE_NONE + 1; kind < FW_QUEUE_TIMED; kind++)
        for (struct fw_conn *conn = loop->queues[kind].last;
             conn != NULL && conn->fresh && conn->since_ms == before; conn = conn->prev) {
            conn->since_ms = now;
            conn->fresh = false;
        }
}

static void leave(struct fw_loop *loop, int how)
{
    tell_time(loop);
    if (how == FW_STOP_GRACEFUL)
        for (uint32_t i = 0; i < loop->listener_count; i++) {
            while (fw_loop_accept_one(loop, &loop->listeners[i]))
                ;
            /* with SO_REUSEPORT the kernel would go on to give it new ones; others serve those */
            if (loop->config.own_listeners && !loop->listeners[i].local)
                shutdown(loop->listeners[i].fd, SHUT_RD);
        }
    fw_loop_rest(loop);
    if (how == FW_STOP_GRACEFUL && fw_loop_siblings(loop).serving == 0)
        fw_loop_receive_rest(loop);
    loop->leaving = true;
    loop->leave_end_ms = loop->env.clock.now_ms + loop->config.grace_ms;
    loop->listen_again_ms = 0;
    if (loop->config.slot != NULL)
        atomic_store(&loop->config.slot->state, FW_SLOT_LEAVING);
    fw_loop_pass_on(loop);
    /* Who was idle for less than a moment gets the rest of it: its next request may be on its way. New ones
     * are among them, whatever the keep-alive time is. */
    struct fw_queue *queue = &loop->queues[FW_QUEUE_KEEPALIVE];
    if (queue->length_ms > loop->config.leave_idle_ms || queue->length_ms == 0)
        queue->length_ms = loop->config.leave_idle_ms;
    struct fw_conn *next;
    for (struct fw_conn *conn = loop->queues[FW_QUEUE_HEAD].first; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->state == FW_CONN_IDLE) {
            fw_queue_remove(loop, conn);
            fw_queue_append(loop, conn, FW_QUEUE_KEEPALIVE);
        }
    }
}

void fw_loop_wake(struct fw_loop *loop)
{
    /* A full pipe means that a wake-up is under way. */
    ssize_t n = write(loop->wake_write, "", 1);
    (void)n;
}

void fw_loop_stop(struct fw_loop *loop, int how)
{
    int now = atomic_load(&loop->stop);
    while (now < how && !atomic_compare_exchange_weak(&loop->stop, &now, how))
        ;
    /* at once: the answer that is being made may be the last one of its connection */
    atomic_store(&loop->env.closing, how == FW_STOP_NOW || fw_loop_siblings(loop).serving == 0);
    fw_loop_wake(loop);
}

bool fw_loop_done(const struct fw_loop *loop)
{
    if (atomic_load(&loop->stop) == FW_STOP_NOW)
        return true;
    return loop->leaving &&
           (loop->connections <= atomic_load_explicit(&loop->abandoned, memory_order_relaxed) ||
            loop->env.clock.now_ms >= loop->leave_end_ms);
}

/* --- the turn --- */

static void write_lines(struct fw_loop *loop)
{
    if (fw_loop_lines_wait(loop))
        fw_sink_flush(&loop->env.access->sink, 0);
}

/* `serving`: what is ready will be served after this wait, and the listeners are minded. */
static int wait_ms(const struct fw_loop *loop, bool serving)
{
    uint64_t now = loop->env.clock.now_ms, soonest = UINT64_MAX;
    if (loop->queues[FW_QUEUE_AGAIN].first != NULL || (serving && loop->queues[FW_QUEUE_READY].first != NULL))
        return 0;
    if (FW_UNLIKELY(loop->env.spill.count > 0))
        soonest = fw_spill_due_ms(&loop->env.spill);
    for (int kind = FW_QUEUE_NONE + 1; kind < FW_QUEUE_TIMED; kind++) {
        const struct fw_queue *queue = &loop->queues[kind];
        if (queue->first != NULL && queue->first->since_ms + queue->length_ms < soonest)
            soonest = queue->first->since_ms + queue->length_ms;
    }
    if (loop->leaving && loop->leave_end_ms < soonest)
        soonest = loop->leave_end_ms;
    if (FW_UNLIKELY(loop->pass_again_ms != 0) && loop->pass_again_ms < soonest)
        soonest = loop->pass_again_ms;
    if (serving && FW_UNLIKELY(loop->receive_at_ms != 0) && loop->receive_at_ms < soonest)
        soonest = loop->receive_at_ms;
    if (serving && loop->listen_again_ms != 0 && loop->listen_again_ms < soonest)
        soonest = loop->listen_again_ms;
    if (fw_loop_lines_wait(loop) && now + LINES_AGAIN_MS < soonest)
        soonest = now + LINES_AGAIN_MS;
    if (soonest == UINT64_MAX)
        return -1;
    if (soonest <= now)
        return 0;
    return soonest - now < INT32_MAX ? (int)(soonest - now) : INT32_MAX;
}

static void on_wake(struct fw_loop *loop)
{
    char bytes[64];
    while (read(loop->wake_read, bytes, sizeof bytes) == (ssize_t)sizeof bytes)
        ;
}

static void on_conn(struct fw_loop *loop, struct fw_conn *conn, unsigned what)
{
    /* Closed, but a child that the application forked has the socket, too, and so the poller still tells of
     * it. Where the structure is used again such an event only makes it look in vain. */
    if (conn->state == FW_CONN_CLOSED || conn->queue == FW_QUEUE_AWAY)
        return; /* for the latter: fw_loop_meet() */
    if (what & (FW_POLL_READ | FW_POLL_END))
        conn->readable = true;
    if (what & FW_POLL_END)
        conn->at_end = true;
    if (what & (FW_POLL_WRITE | FW_POLL_END))
        conn->blocked = false; /* a broken socket says so when it is written to */
    if (conn->state != FW_CONN_READY && conn->state != FW_CONN_APP)
        fw_loop_settle(loop, conn);
}

static void on_event(struct fw_loop *loop, const struct fw_poll_event *event)
{
    struct fw_listener *listener = event->who;
    if (event->who == &loop->wake_read) {
        on_wake(loop);
    } else if (event->who == &loop->watch) {
        fw_poll_remove(loop->poll, loop->watch);
        loop->alone = true;
        fw_loop_stop(loop, FW_STOP_GRACEFUL);
    } else if (event->who == &loop->receiving) {
        fw_loop_receive(loop);
    } else if (listener >= loop->listeners && listener < loop->listeners + loop->listener_count) {
        for (int i = 0; i < ACCEPTS_MOST && fw_loop_accept_one(loop, listener); i++)
            ;
    } else if (event->who != NULL) {
        on_conn(loop, event->who, event->what);
    }
}

void fw_loop_expire(struct fw_loop *loop, struct fw_conn *conn)
{
    uint8_t state = conn->state;
    fw_loop_end_wait(loop, conn);
    conn->progress = 0;
    conn->blocked = false;
    if (state == FW_CONN_APP) { /* whose thread looks at the rest itself: fw_loop_wait_room() */
        (void)fw_conn_push(conn);
        if (conn->progress > 0 || conn->error != FW_OK)
            return;
    } else {
        conn->readable = true;
        enum fw_conn_need need = fw_conn_step(conn);
        bool moved = state == FW_CONN_HEAD ? conn->state != FW_CONN_HEAD : conn->progress > 0;
        if (moved || (need != FW_NEED_READ && need != FW_NEED_WRITE)) {
            place(loop, conn, need);
            return;
        }
    }
    fw_conn_expire(conn);
    if (state != FW_CONN_APP)
        fw_loop_settle(loop, conn);
}

static void expire(struct fw_loop *loop)
{
    uint64_t now = loop->env.clock.now_ms;
    for (int kind = FW_QUEUE_NONE + 1; kind < FW_QUEUE_TIMED; kind++) {
        struct fw_queue *queue = &loop->queues[kind];
        while (queue->first != NULL && queue->first->since_ms + queue->length_ms <= now)
            fw_loop_expire(loop, queue->first);
    }
}

/* Connections that had more to read than their share of an earlier turn. */
static void go_on(struct fw_loop *loop)
{
    for (uint32_t n = loop->queues[FW_QUEUE_AGAIN].count; n > 0; n--) {
        struct fw_conn *conn = loop->queues[FW_QUEUE_AGAIN].first;
        fw_queue_remove(loop, conn);
        fw_loop_settle(loop, conn);
    }
}

static void wait_for_events(struct fw_loop *loop, bool serving)
{
    assert(loop->event == loop->event_count);
    tell_time(loop);
    if (FW_UNLIKELY(loop->env.spill.count > 0))
        fw_spill_tidy(&loop->env.spill, &loop->env.blocks, loop->env.clock.now_ms);
    int timeout = wait_ms(loop, serving), n = fw_poll_wait(loop->poll, loop->events, timeout);
    if (timeout != 0)
        fw_clock_update(&loop->env.clock);
    loop->event = 0;
    loop->event_count = n > 0 ? n : 0;
}

static void see_to_event(struct fw_loop *loop)
{
    struct fw_poll_event event = loop->events[loop->event++];
    on_event(loop, &event);
}

void fw_loop_leave_if_told(struct fw_loop *loop)
{
    int stop = atomic_load_explicit(&loop->stop, memory_order_acquire);
    if (stop != FW_STOP_NO && !loop->leaving)
        leave(loop, stop);
}

/* Tell on the board which request is taken to the application. */
static void show(struct fw_loop *loop, struct fw_conn *conn)
{
    static const char version[] = " HTTP/1.1";
    const struct fw_head *head = &conn->parser.head;
    const char *line = fw_conn_request(conn) + head->method.off;
    size_t len = head->target.off + head->target.len - head->method.off + sizeof version - 1;
    fw_slot_enter(loop->config.slot, conn->began_ns, line, len, conn->addr, conn->addr_len);
    atomic_store_explicit(&loop->shown, conn, memory_order_relaxed);
}

/* The oldest call of a thread without the loop, if it is one that might be stuck. */
static void show_away(struct fw_loop *loop)
{
    struct fw_conn *conn = loop->queues[FW_QUEUE_AWAY].first;
    while (conn != NULL && conn->handed)
        conn = conn->next;
    if (conn != NULL)
        show(loop, conn);
}

/* An application that has the socket may take all the time it wants, as long as others are served. */
static void hide_handed(struct fw_loop *loop)
{
    const struct fw_conn *conn = atomic_load_explicit(&loop->shown, memory_order_relaxed);
    if (FW_LIKELY(conn == NULL) || !conn->handed)
        return;
    atomic_store_explicit(&loop->shown, NULL, memory_order_relaxed);
    fw_slot_leave(loop->config.slot);
    show_away(loop);
}

static void show_end(struct fw_loop *loop, const struct fw_conn *conn)
{
    fw_slot_count(&loop->config.slot->requests);
    if (atomic_load_explicit(&loop->shown, memory_order_relaxed) != conn)
        return;
    atomic_store_explicit(&loop->shown, NULL, memory_order_relaxed);
    fw_slot_leave(loop->config.slot);
    if (FW_UNLIKELY(loop->queues[FW_QUEUE_AWAY].first != NULL))
        show_away(loop);
}

void fw_loop_step(struct fw_loop *loop)
{
    while (loop->event < loop->event_count) /* the last turn ended before its time */
        see_to_event(loop);
    fw_loop_leave_if_told(loop);
    if (fw_loop_done(loop))
        return;
    hide_handed(loop);
    fw_loop_listen_if_wanted(loop);
    if (FW_UNLIKELY(loop->receive_at_ms != 0) && loop->listening && !fw_loop_receive_if_shared(loop))
        fw_loop_rest_after(loop, errno);
    loop->pass_again_ms = 0; /* what is ready is served here now */
    if (FW_UNLIKELY(loop->leaving)) {
        fw_loop_pass_on(loop);
        if (fw_loop_done(loop))
            return;
    }
    wait_for_events(loop, true);
    if (FW_UNLIKELY(loop->env.clock.now_ms >= loop->even_at_ms))
        fw_loop_even(loop);
    go_on(loop);
    expire(loop);
    loop->given_ns = 0;
    loop->budget = TAKES_MOST;
}

static void send_given(struct fw_loop *loop)
{
    struct fw_conn *conn;
    while ((conn = loop->queues[FW_QUEUE_GIVEN].first) != NULL) {
        fw_queue_remove(loop, conn);
        fw_loop_settle(loop, conn);
    }
}

void fw_loop_send(struct fw_loop *loop)
{
    send_given(loop);
    write_lines(loop);
}

struct fw_conn *fw_loop_take(struct fw_loop *loop)
{
    struct fw_queue *ready = &loop->queues[FW_QUEUE_READY];
    if (loop->budget == 0) {
        fw_loop_send(loop);
        return NULL;
    }
    if (loop->event < loop->event_count) {
        do
            see_to_event(loop);
        while (loop->event < loop->event_count);
        loop->given_ns = 0;
    }
    if (ready->first == NULL) {
        fw_loop_send(loop);
        loop->given_ns = 0; /* sending is no part of the time of a pipelined request behind it */
    }
    struct fw_conn *conn = ready->first;
    if (conn == NULL)
        return NULL;
    if (loop->given_ns == 0)
        loop->given_ns = fw_clock_ns();
    loop->budget--;
    fw_queue_remove(loop, conn);
    fw_conn_serve(conn);
    conn->began_ns = loop->given_ns;
    /* With several in the application, the board shows the one that has been there longest. */
    if (loop->config.slot != NULL && atomic_load_explicit(&loop->shown, memory_order_relaxed) == NULL)
        show(loop, conn);
    return conn;
}

void fw_loop_give(struct fw_loop *loop, struct fw_conn *conn)
{
    assert(conn->state != FW_CONN_APP);
    loop->requests++;
    if (loop->config.slot != NULL)
        show_end(loop, conn);
    if (FW_UNLIKELY(loop->requests == loop->config.max_requests))
        fw_loop_stop(loop, FW_STOP_RECYCLE);
    uint64_t before = loop->given_ns;
    loop->given_ns = loop->env.answered_ns != 0 ? loop->env.answered_ns : fw_clock_ns();
    loop->env.answered_ns = 0;
    fw_loop_note_call(loop, loop->given_ns - conn->began_ns);
    if (loop->queues[FW_QUEUE_GIVEN].count == 0)
        loop->hold_ns = loop->given_ns;
    loop->quick = loop->given_ns - before < QUICK_NS && loop->given_ns - loop->hold_ns < HOLD_NS &&
                  atomic_load(&loop->stop) == FW_STOP_NO;
    if (loop->quick && conn->state == FW_CONN_SENDING && loop->queues[FW_QUEUE_GIVEN].count < GIVEN_MOST) {
        fw_queue_remove(loop, conn); /* fw_loop_wait_room may have left it among those that wait */
        fw_queue_append(loop, conn, FW_QUEUE_GIVEN);
        return;
    }
    if (!loop->quick)
        send_given(loop);
    fw_loop_settle(loop, conn);
    if (!loop->quick) {
        write_lines(loop);
        if (FW_UNLIKELY(loop->queues[FW_QUEUE_READY].count > 1))
            fw_loop_relieve(loop);
    }
}

/* A turn in the middle of a call: everybody else's sockets are seen to, but nobody is served; and accepted
 * only who could not go to anybody else. */
void fw_loop_turn_beside(struct fw_loop *loop)
{
    fw_loop_rest_beside(loop);
    fw_loop_send(loop);
    while (loop->event < loop->event_count)
        see_to_event(loop);
    fw_loop_pass_ready(loop);
    wait_for_events(loop, false);
    while (loop->event < loop->event_count)
        see_to_event(loop);
    go_on(loop);
    expire(loop);
}

/* --- beginning and end --- */

/* How long a wait in which a rate is to be kept may be without a byte. Its grace is as long. */
static uint64_t set_rate(struct fw_rate *rate, uint32_t bytes, uint32_t timeout_ms)
{
    fw_rate_set(rate, bytes, timeout_ms > 0 ? timeout_ms : RATE_GRACE_MS);
    return timeout_ms > 0 ? timeout_ms : bytes > 0 ? RATE_GRACE_MS : NEVER_MS;
}

static void set_limits(struct fw_loop *loop, const struct fw_timeouts *most)
{
    struct fw_conn_env *env = &loop->env;
    loop->queues[FW_QUEUE_HEAD].length_ms = most->head_ms > 0 ? most->head_ms : NEVER_MS;
    loop->queues[FW_QUEUE_BODY].length_ms = set_rate(&env->body_rate, most->body_rate, most->body_ms);
    loop->queues[FW_QUEUE_KEEPALIVE].length_ms = most->keepalive_ms;
    loop->queues[FW_QUEUE_WRITE].length_ms = set_rate(&env->write_rate, most->write_rate, most->write_ms);
    loop->queues[FW_QUEUE_LINGER].length_ms = most->linger_ms;
}

bool fw_loop_init(struct fw_loop *loop, const struct fw_loop_config *config)
{
    memset(loop, 0, sizeof *loop);
    loop->config = *config;
    loop->watch = -1;
    loop->even_at_ms = config->share.board != NULL ? 0 : FW_LOOP_NEVER;
    loop->env.limits = config->limits;
    loop->env.timeouts = config->timeouts;
    loop->env.body_memory = config->body_memory;
    loop->env.body_early = config->body_early;
    loop->env.early_paths = config->early_paths;
    loop->env.queue_mark = config->queue_mark;
    loop->env.tmpdir = config->tmpdir;
    loop->env.server = config->server;
    loop->env.access = config->access;
    loop->env.forwarded = config->forwarded;
    fw_forwarded_init(&loop->env.forwarded);
    loop->env.proxy_peers = config->proxy_peers;
    loop->env.proxy_mode = config->proxy_mode;
    loop->env.server_len = strlen(config->server);
    set_limits(loop, &config->timeouts);
    fw_pool_init(&loop->env.blocks, FW_BUF_BLOCK, KEEP_BLOCKS);
    fw_pool_init(&loop->env.fields, config->limits.fields * sizeof(struct fw_field), KEEP_BLOCKS);
    fw_clock_update(&loop->env.clock);

    int wake[2];
    if (pipe2(wake, O_NONBLOCK | O_CLOEXEC) != 0)
        return false;
    loop->wake_read = wake[0];
    loop->wake_write = wake[1];
    loop->poll = fw_poll_open();
    if (loop->poll < 0 || fw_poll_add(loop->poll, loop->wake_read, FW_POLL_READ, &loop->wake_read) != 0) {
        int problem = errno;
        fw_loop_drop(loop);
        errno = problem;
        return false;
    }
    return true;
}

bool fw_loop_watch(struct fw_loop *loop, int fd)
{
    loop->watch = fd;
    return fw_poll_add(loop->poll, fd, FW_POLL_READ, &loop->watch) == 0;
}

void fw_loop_end(struct fw_loop *loop)
{
    send_given(loop); /* what is whole goes out, however sudden the end */
    for (struct fw_conn *conn = loop->queues[FW_QUEUE_WRITE].first; conn != NULL; conn = conn->next)
        fw_conn_note_unsent(conn);
    write_lines(loop);
}

void fw_loop_drop(struct fw_loop *loop)
{
    fw_loop_end(loop);
    struct slab *slab = loop->slabs;
    while (slab != NULL) {
        struct slab *next = slab->next;
        for (size_t i = 0; i < SLAB_CONNS; i++)
            if (slab->conns[i].state != FW_CONN_CLOSED)
                fw_conn_close(&slab->conns[i]);
        FW_FREE(slab);
        slab = next;
    }
    write_lines(loop);
    fw_spill_drop(&loop->env.spill, &loop->env.blocks);
    fw_pool_drop(&loop->env.blocks);
    fw_pool_drop(&loop->env.fields);
    FW_FREE(loop->listeners);
    if (loop->poll >= 0)
        close(loop->poll);
    close(loop->wake_read);
    close(loop->wake_write);
    memset(loop, 0, sizeof *loop);
    loop->poll = loop->wake_read = loop->wake_write = loop->watch = -1;
}
