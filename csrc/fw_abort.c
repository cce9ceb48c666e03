#define _GNU_SOURCE
#include "fw_abort.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A signal handler is given no argument, so this is the one thing of the core that has no other owner. */
static _Atomic(struct fw_abort *) armed;

static void send_answer(struct fw_conn *conn, const struct fw_abort *on_abort)
{
    bool to_head = conn->parser.head.method_id == FW_M_HEAD;
    size_t len = to_head ? on_abort->head_len : on_abort->answer_len;
    ssize_t n;
    do
        n = send(conn->fd, on_abort->answer, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return; /* perhaps there is room when the application gives up */
    conn->error = FW_E_APP_TIMEOUT;
    shutdown(conn->fd, SHUT_WR);
}

/* The loop comes back to this thread, which the application does not leave, and then goes on offer again. */
static void answer_for(struct fw_player *me, struct fw_conn *conn, const struct fw_abort *on_abort)
{
    struct fw_monitor *monitor = on_abort->monitor;
    bool away = atomic_load(&me->away), offered = !away && fw_monitor_holds(monitor, me);
    if (offered && fw_monitor_reclaim(monitor, me)) {
        struct fw_conn *other = fw_loop_waiting(monitor->baton.loop);
        for (; other != NULL; other = other->next)
            (void)fw_conn_push(other); /* failures are kept in ->error */
    } else {
        offered = false;
    }
    conn->blocked = false; /* there may be room by now */
    (void)fw_conn_push(conn);
    if (conn->error != FW_OK || conn->state != FW_CONN_APP) { /* in other states it has been answered */
        ;
    } else if (conn->resp.stage < FW_RESP_BODY && !fw_conn_waits(conn)) {
        send_answer(conn, on_abort);
    } else if (conn->resp.stage == FW_RESP_BODY && conn->resp.framing == FW_RESP_TO_CLOSE) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    if (offered && monitor->started) /* a handler starts no threads */
        fw_monitor_offer(monitor, me, conn);
}

/* Whom the signal is for: who has been in the application for longest, without having taken its socket. NULL:
 * nobody is there. */
static struct fw_player *find_player(const struct fw_baton *baton)
{
    struct fw_player *found = NULL;
    uint64_t since_ns = 0;
    for (uint32_t i = 0; i < baton->count; i++) {
        struct fw_player *player = &baton->players[i];
        const struct fw_conn *conn = atomic_load(&player->lent);
        if (conn == NULL || conn->handed || atomic_load(&player->told) || atomic_load(&player->thread) == 0)
            continue;
        if (found == NULL || conn->began_ns < since_ns) {
            found = player;
            since_ns = conn->began_ns;
        }
    }
    return found;
}

/* The player that runs on this thread; NULL: it is none. */
static struct fw_player *this_player(const struct fw_baton *baton)
{
    pid_t thread = (pid_t)syscall(SYS_gettid);
    for (uint32_t i = 0; i < baton->count; i++)
        if (atomic_load(&baton->players[i].thread) == thread)
            return &baton->players[i];
    return NULL;
}

/* Give the signal to the thread that it is for. False: this is the one, or there is none. */
static bool pass_on(const struct fw_abort *on_abort, const struct fw_player *me, int signum, siginfo_t *info)
{
    const struct fw_player *player = find_player(&on_abort->monitor->baton);
    if (player == NULL && on_abort->monitor->baton.count == 1)
        player = &on_abort->monitor->baton.players[0];
    if (player == NULL || player == me || (me != NULL && info->si_code == SI_QUEUE))
        return false;         /* the last: it was passed on to us */
    info->si_code = SI_QUEUE; /* of kill() the kernel says EPERM */
    return syscall(SYS_rt_tgsigqueueinfo, on_abort->pid, atomic_load(&player->thread), signum, info) == 0;
}

static void call_before(const struct sigaction *before, int signum, siginfo_t *info, void *context)
{
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(signum, info, context);
    } else if (before->sa_handler == SIG_DFL) {
        signal(signum, SIG_DFL);
        raise(signum);
    } else if (before->sa_handler != SIG_IGN) {
        before->sa_handler(signum);
    }
}

static void handle(int signum, siginfo_t *info, void *context)
{
    struct fw_abort *on_abort = atomic_load(&armed);
    int problem = errno;
    if (on_abort == NULL)
        return;
    bool sent = info->si_code == SI_USER || info->si_code == SI_QUEUE;
    if (sent && info->si_pid != on_abort->pid && on_abort->pid == getpid()) {
        struct fw_player *me = this_player(&on_abort->monitor->baton);
        if (pass_on(on_abort, me, signum, info)) { /* the kernel may give it to any thread */
            errno = problem;
            return;
        }
        struct fw_conn *conn = me != NULL ? atomic_load(&me->lent) : NULL;
        if (me != NULL && !atomic_exchange(&me->told, true))
            atomic_fetch_add(&on_abort->monitor->baton.loop->abandoned, 1);
        if (conn != NULL)
            answer_for(me, conn, on_abort);
    }
    errno = problem;
    call_before(&on_abort->before, signum, info, context);
}

/* Made while there is time. Without a Date, which nobody would know by then (RFC 9110 section 6.6.1 asks for
 * none in a 5xx answer). False: the Server field is absurdly long. */
static bool make_answer(struct fw_abort *on_abort, const char *server, size_t server_len)
{
    struct fw_buf out = {0};
    struct fw_pool pool;
    fw_pool_init(&pool, FW_BUF_BLOCK, 0);
    bool made = fw_resp_refuse(&out, &pool, NULL, server, server_len, FW_E_APP_TIMEOUT, false) == FW_OK;
    on_abort->head_len = fw_buf_live(&out);
    fw_buf_take(&out, on_abort->head_len);
    made = made && fw_resp_refuse(&out, &pool, NULL, server, server_len, FW_E_APP_TIMEOUT, true) == FW_OK;
    on_abort->answer_len = fw_buf_live(&out);
    made = made && on_abort->answer_len <= sizeof on_abort->answer;
    if (made)
        memcpy(on_abort->answer, out.data + out.off, on_abort->answer_len);
    fw_buf_release(&out, &pool);
    fw_pool_drop(&pool);
    return made;
}

bool fw_abort_arm(struct fw_abort *on_abort, struct fw_monitor *monitor, const char *server,
                  size_t server_len)
{
    /* SA_NODEFER: faulthandler's handler raises the signal once more, for the one that was there before it.
     * SA_ONSTACK: a stack that has overflown is no place for us. No SA_RESTART: Python is to see its signal.
     */
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    struct fw_abort *none = NULL;
    memset(on_abort, 0, sizeof *on_abort);
    on_abort->monitor = monitor;
    on_abort->pid = getpid();
    if (!make_answer(on_abort, server, server_len)) {
        errno = ENOMEM;
        return false;
    }
    /* known before the handler is: what it calls in the end must be there when it is first called */
    if (sigaction(SIGABRT, NULL, &on_abort->before) != 0)
        return false;
    if (!atomic_compare_exchange_strong(&armed, &none, on_abort)) {
        errno = EBUSY;
        return false;
    }
    if (sigaction(SIGABRT, &action, NULL) == 0)
        return true;
    atomic_store(&armed, NULL);
    return false;
}

void fw_abort_disarm(struct fw_abort *on_abort)
{
    struct sigaction now;
    if (atomic_load(&armed) != on_abort)
        return;
    if (sigaction(SIGABRT, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO && now.sa_sigaction == handle)
        sigaction(SIGABRT, &on_abort->before, NULL);
    atomic_store(&armed, NULL);
}
