#define _GNU_SOURCE
#include "fw_baton.h"

#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Blocks of memory that a player keeps for its next answer without the loop. */
#define KEEP_BLOCKS 4
/* How often a player that waits for its client looks whether the worker stops. */
#define LOOK_MS 250

static struct fw_player *player_of(const struct fw_baton *baton, uint32_t hand)
{
    return &baton->players[hand >> FW_HAND_BITS];
}

static void call(struct fw_player *player)
{
    atomic_store(&player->called, 1);
    (void)syscall(SYS_futex, &player->called, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wait_for_call(struct fw_player *me)
{
    while (atomic_load(&me->called) == 0)
        (void)syscall(SYS_futex, &me->called, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    atomic_store(&me->called, 0);
}

static struct fw_player *take_spare(struct fw_baton *baton)
{
    pthread_mutex_lock(&baton->lock);
    struct fw_player *spare = baton->spares;
    if (spare != NULL)
        baton->spares = spare->next;
    pthread_mutex_unlock(&baton->lock);
    return spare;
}

/* What it takes for its answer comes back to the loop with the connection: without this the loop's pool would
 * fill up, while each answer takes new memory. */
static void lend_blocks(struct fw_loop *loop, struct fw_player *player)
{
    while (player->env.blocks.count < KEEP_BLOCKS && loop->env.blocks.count > 0)
        fw_pool_give(&player->env.blocks, fw_pool_take(&loop->env.blocks));
}

/* The loop, which we have, is no longer this player's; its connection is. */
static void part(struct fw_baton *baton, struct fw_player *player)
{
    struct fw_conn *conn = player->conn;
    fw_loop_part(baton->loop, conn);
    lend_blocks(baton->loop, player);
    conn->env = &player->env;
    conn->blocked = false; /* nobody will tell it that there is room */
    if (!conn->handed)
        (void)fw_conn_push(conn); /* what has waited for more; a failure is in conn->error */
    player->outcome = FW_OUTCOME_NONE;
    player->waits_for = FW_QUEUE_NONE;
    atomic_store_explicit(&player->away, true, memory_order_release);
}

bool fw_baton_init(struct fw_baton *baton, struct fw_loop *loop, uint32_t players)
{
    memset(baton, 0, sizeof *baton);
    baton->loop = loop;
    baton->players = FW_REALLOC(NULL, players * sizeof *baton->players);
    if (baton->players == NULL)
        return false;
    memset(baton->players, 0, players * sizeof *baton->players);
    baton->count = players;
    for (uint32_t i = 0; i < players; i++) {
        struct fw_player *player = &baton->players[i];
        player->ours = i << FW_HAND_BITS;
        player->env.limits = loop->env.limits;
        player->env.timeouts = loop->env.timeouts;
        player->env.body_rate = loop->env.body_rate;
        player->env.write_rate = loop->env.write_rate;
        player->env.body_memory = loop->env.body_memory;
        player->env.queue_mark = loop->env.queue_mark;
        player->env.tmpdir = loop->env.tmpdir;
        player->env.server = loop->env.server;
        player->env.server_len = loop->env.server_len;
        fw_pool_init(&player->env.blocks, FW_BUF_BLOCK, KEEP_BLOCKS);
        fw_pool_init(&player->env.fields, loop->env.fields.size, 0);
    }
    pthread_mutex_init(&baton->lock, NULL);
    return true;
}

void fw_baton_drop(struct fw_baton *baton)
{
    for (uint32_t i = 0; i < baton->count; i++)
        fw_pool_drop(&baton->players[i].env.blocks);
    FW_FREE(baton->players);
    pthread_mutex_destroy(&baton->lock);
    memset(baton, 0, sizeof *baton);
}

/* A spare player until it is called. */
static bool wait_as_spare(struct fw_baton *baton, struct fw_player *me)
{
    wait_for_call(me);
    return !atomic_load(&baton->ended);
}

static bool become_spare(struct fw_baton *baton, struct fw_player *me)
{
    if (atomic_load(&baton->ended))
        return false;
    me->next = baton->spares;
    baton->spares = me;
    return true;
}

bool fw_baton_join(struct fw_baton *baton, struct fw_player *me)
{
    atomic_store(&me->thread, (pid_t)syscall(SYS_gettid));
    if (me == baton->players)
        return true;
    pthread_mutex_lock(&baton->lock);
    bool spare = become_spare(baton, me);
    pthread_mutex_unlock(&baton->lock);
    if (!spare)
        return false;
    fw_loop_wake(baton->loop); /* an understudy looks whether there is somebody */
    return wait_as_spare(baton, me);
}

/* What it has noted for the error log while it was away. */
static void take_refusals(struct fw_loop *loop, struct fw_player *player)
{
    struct fw_refusals *from = &player->env.refusals, *into = &loop->env.refusals;
    if (FW_LIKELY(from->count == 0))
        return;
    fw_loop_wake(loop); /* the next wait is to be short: they are logged after it */
    for (uint32_t i = 0; i < from->count; i++) {
        if (into->count < FW_REFUSALS)
            into->each[into->count++] = from->each[i];
        else
            into->missed++;
    }
    into->missed += from->missed;
    from->count = from->missed = 0;
}

void fw_baton_collect(struct fw_baton *baton)
{
    if (FW_LIKELY(atomic_load_explicit(&baton->returned, memory_order_relaxed) == NULL))
        return;
    uint64_t given_ns = baton->loop->given_ns; /* of the call that is under way, if one is */
    struct fw_player *player = atomic_exchange(&baton->returned, NULL);
    while (player != NULL) {
        struct fw_player *next = player->next_returned;
        struct fw_conn *conn = player->conn;
        take_refusals(baton->loop, player);
        fw_loop_meet(baton->loop, conn);
        switch ((enum fw_outcome)player->outcome) {
        case FW_OUTCOME_NONE:
            break;
        case FW_OUTCOME_ANSWERED:
            fw_conn_answered(conn);
            break;
        case FW_OUTCOME_CUT:
            fw_conn_cut(conn, (enum fw_error)player->outcome_error);
            break;
        case FW_OUTCOME_REFUSED:
            fw_conn_refuse(conn, (enum fw_error)player->outcome_error);
            break;
        case FW_OUTCOME_TAKEN_BACK:
            fw_conn_take_back(conn, player->outcome_fd);
            break;
        }
        fw_loop_give(baton->loop, conn);
        player = next;
    }
    baton->loop->given_ns = given_ns;
    fw_loop_send(baton->loop); /* a wait is next, perhaps a long one */
}

void fw_baton_step(struct fw_baton *baton)
{
    fw_baton_collect(baton);
    fw_loop_step(baton->loop);
}

bool fw_baton_pass(struct fw_baton *baton, struct fw_player *me, struct fw_conn *conn)
{
    struct fw_player *spare = take_spare(baton);
    if (spare == NULL)
        return false;
    me->conn = conn;
    part(baton, me);
    atomic_store_explicit(&baton->hand, fw_hand_of(spare, FW_HAND_OURS), memory_order_release);
    call(spare);
    return true;
}

bool fw_baton_settle(struct fw_baton *baton, struct fw_player *me)
{
    bool asked = false;
    for (;;) {
        uint32_t hand = atomic_load_explicit(&baton->hand, memory_order_acquire);
        if (hand == fw_hand_of(me, FW_HAND_OURS))
            return true;
        if (hand == fw_hand_of(me, FW_HAND_OFFERED)) {
            if (atomic_compare_exchange_strong(&baton->hand, &hand, fw_hand_of(me, FW_HAND_OURS)))
                return true;
            continue;
        }
        if (hand != fw_hand_of(me, FW_HAND_TAKEN)) {
            while (!atomic_load_explicit(&me->away, memory_order_acquire))
                sched_yield(); /* who has taken it is in one send that does not block */
            return false;
        }
        if (!asked) {
            asked = true;
            atomic_store(&baton->wanted, atomic_load(&baton->offers));
            fw_loop_wake(baton->loop);
        }
        sched_yield(); /* the monitor is in calls that do not block, or writes access lines to a file */
    }
}

bool fw_baton_return(struct fw_baton *baton, struct fw_player *me)
{
    pthread_mutex_lock(&baton->lock);
    atomic_store_explicit(&me->away, false, memory_order_relaxed);
    me->next_returned = atomic_load(&baton->returned);
    while (!atomic_compare_exchange_weak(&baton->returned, &me->next_returned, me))
        ;
    uint32_t hand = atomic_load(&baton->hand);
    /* Where calls are short their thread is soon back: it stays the one, and its processor's cache is warm.
     */
    if (fw_loop_calls_block(baton->loop) && (hand & FW_HAND_MASK) == FW_HAND_OFFERED &&
        !atomic_load(&baton->ended) &&
        atomic_compare_exchange_strong(&baton->hand, &hand, fw_hand_of(me, FW_HAND_OURS))) {
        pthread_mutex_unlock(&baton->lock);
        part(baton, player_of(baton, hand));
        return true;
    }
    bool spare = become_spare(baton, me);
    pthread_mutex_unlock(&baton->lock);
    if (!spare)
        return false;
    fw_loop_wake(baton->loop);
    return wait_as_spare(baton, me);
}

void fw_baton_understudy(struct fw_baton *baton)
{
    const struct timespec tick = {.tv_nsec = 1000000};
    struct fw_player *player = player_of(baton, atomic_load(&baton->hand));
    struct fw_conn *conn = player->conn;
    if (conn != NULL && conn->handed)
        conn = NULL; /* the application has its socket, and nothing waits to be sent */
    uint32_t offer = atomic_load(&baton->offers);
    fw_loop_send(baton->loop);
    for (;;) {
        if (conn != NULL) {
            conn->blocked = false; /* there may be room by now */
            (void)fw_conn_push(conn);
        }
        fw_baton_collect(baton);
        struct fw_player *spare = take_spare(baton);
        if (spare != NULL) {
            part(baton, player);
            atomic_store_explicit(&baton->hand, fw_hand_of(spare, FW_HAND_OURS), memory_order_release);
            call(spare);
            return;
        }
        if (atomic_load(&baton->wanted) == offer) {
            atomic_store_explicit(&baton->hand, fw_hand_of(player, FW_HAND_OURS), memory_order_release);
            return;
        }
        if (fw_loop_done(baton->loop))
            nanosleep(&tick, NULL); /* for the player to come back, if it does */
        else
            fw_loop_mind(baton->loop, conn);
    }
}

void fw_baton_end(struct fw_baton *baton)
{
    pthread_mutex_lock(&baton->lock);
    atomic_store(&baton->ended, true);
    for (struct fw_player *spare = baton->spares, *next; spare != NULL; spare = next) {
        next = spare->next; /* who is called does not wait for us */
        call(spare);
    }
    baton->spares = NULL;
    pthread_mutex_unlock(&baton->lock);
}

void fw_baton_last(struct fw_baton *baton)
{
    struct fw_loop *loop = baton->loop;
    fw_baton_collect(baton);
    /* A call that has not come back is not in the core: its request's line can be made of what is there. */
    for (struct fw_conn *conn = loop->queues[FW_QUEUE_AWAY].first; conn != NULL; conn = conn->next) {
        conn->env->access = loop->env.access; /* which a player does not look at */
        fw_conn_note_unsent(conn);
    }
    fw_loop_end(loop);
}

/* --- away --- */

enum wait { WAIT_ON, WAIT_LATE, WAIT_SLOW, WAIT_STOPPED };

/* Wait a moment for what the client must do. What it has moved since the last wait counts for its rate, and
 * the time of this one against it, as in the lists of the loop. */
static enum wait wait_for_client(struct fw_baton *baton, struct fw_player *me, enum fw_queue_kind kind,
                                 short events)
{
    struct fw_conn *conn = me->conn;
    const struct fw_rate *rate = kind == FW_QUEUE_BODY ? &me->env.body_rate : &me->env.write_rate;
    uint64_t most_ms = baton->loop->queues[kind].length_ms; /* of these two it never changes */
    fw_clock_update(&me->env.clock);
    uint64_t now_ms = me->env.clock.now_ms;
    if (me->waits_for != kind || conn->progress > 0) {
        me->waits_for = (uint8_t)kind;
        me->since_ms = now_ms;
        if (!fw_rate_earn(rate, &conn->credit_ns, conn->progress))
            return WAIT_SLOW;
        conn->progress = 0;
    }
    if (now_ms - me->since_ms >= most_ms)
        return WAIT_LATE;
    if (atomic_load(&baton->loop->stop) == FW_STOP_NOW)
        return WAIT_STOPPED;
    uint64_t left_ms = most_ms - (now_ms - me->since_ms);
    struct pollfd client = {.fd = conn->fd, .events = events};
    (void)poll(&client, 1, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS);
    fw_clock_update(&me->env.clock);
    fw_rate_charge(&conn->credit_ns, me->env.clock.now_ms - now_ms);
    fw_loop_call_goes_on(baton->loop, conn);
    return WAIT_ON;
}

bool fw_player_wait_room(struct fw_baton *baton, struct fw_player *me)
{
    struct fw_conn *conn = me->conn;
    conn->blocked = false;
    (void)fw_conn_push(conn);
    if (conn->error == FW_OK && fw_conn_waits(conn)) {
        switch (wait_for_client(baton, me, FW_QUEUE_WRITE, POLLOUT)) {
        case WAIT_ON:
            return true;
        case WAIT_LATE:
            fw_conn_expire(conn);
            break;
        case WAIT_SLOW:
            fw_conn_too_slow(conn);
            break;
        case WAIT_STOPPED:
            conn->error = FW_E_STOPPING;
            break;
        }
    }
    me->waits_for = FW_QUEUE_NONE;
    return false;
}

enum fw_pull fw_player_wait_body(struct fw_baton *baton, struct fw_player *me)
{
    struct fw_conn *conn = me->conn;
    (void)fw_conn_push(conn); /* a failure is in conn->error, which is looked at before anything is read */
    if (conn->error == FW_OK) {
        switch (wait_for_client(baton, me, FW_QUEUE_BODY, conn->blocked ? POLLIN | POLLOUT : POLLIN)) {
        case WAIT_ON:
            break;
        case WAIT_LATE:
            conn->body_error = FW_E_BODY_TIMEOUT;
            break;
        case WAIT_SLOW:
            conn->body_error = FW_E_BODY_RATE;
            break;
        case WAIT_STOPPED:
            conn->body_error = FW_E_STOPPING;
            break;
        }
    }
    conn->readable = true; /* nobody will tell it that more has come, or that there is room */
    conn->blocked = false;
    enum fw_pull pull = fw_conn_body_pull(conn);
    if (pull != FW_PULL_WAIT)
        me->waits_for = FW_QUEUE_NONE;
    return pull;
}

void fw_player_refresh(struct fw_baton *baton, struct fw_player *me)
{
    fw_clock_update(&me->env.clock);
    atomic_store(&me->env.closing, atomic_load(&baton->loop->env.closing));
}

static bool is_away(const struct fw_player *me)
{
    return atomic_load_explicit(&me->away, memory_order_relaxed);
}

static void end_away(struct fw_player *me, enum fw_outcome outcome, enum fw_error error)
{
    me->outcome = (uint8_t)outcome;
    me->outcome_error = (uint8_t)error;
}

void fw_player_answered_away(struct fw_player *me, struct fw_conn *conn)
{
    (void)fw_conn_push(conn); /* its client need not wait for who has the loop */
    end_away(me, FW_OUTCOME_ANSWERED, FW_OK);
}

void fw_player_cut(struct fw_player *me, struct fw_conn *conn, enum fw_error error)
{
    if (is_away(me))
        end_away(me, FW_OUTCOME_CUT, error);
    else
        fw_conn_cut(conn, error);
}

void fw_player_refuse(struct fw_player *me, struct fw_conn *conn, enum fw_error error)
{
    if (is_away(me))
        end_away(me, FW_OUTCOME_REFUSED, error);
    else
        fw_conn_refuse(conn, error);
}

void fw_player_take_back(struct fw_player *me, struct fw_conn *conn, int fd)
{
    if (!is_away(me)) {
        fw_conn_take_back(conn, fd);
        return;
    }
    conn->resp.keep_alive = false;
    me->outcome_fd = fd;
    end_away(me, FW_OUTCOME_TAKEN_BACK, FW_OK);
}
