/* fw_abort: a worker is told by SIGABRT that a call of the application takes too long: the client gets its
 * 504 from the signal handler, even if the call is one of C code that holds the GIL.
 *
 * A player says when it lends itself to the application and when it has come back. The handler runs on the
 * thread of the one that has been lent for longest, so it has interrupted the application, never the core:
 *
 *   - buffers, lists and the response are as the core left them: nothing of ours is half done. But the
 *     application may have been interrupted anywhere, inside malloc for example: so the handler allocates
 *     nothing, takes no lock, and calls only what POSIX calls async-signal-safe or is one bare system call.
 *   - the output may be on offer to the monitor, or in its hands. The handler takes it back, as the return
 *     of the application would (fw_monitor_reclaim), and offers it again. The monitor is another thread,
 *     in calls that do not block, and needs nothing of the interrupted one, so that ends. What was on offer
 *     the handler sends.
 *   - nothing of the response is sent as long as its stage is before BODY. Earlier answers on this connection
 *     leave first; where the socket does not take them, there is no 504.
 *   - the 504 is one send of bytes made beforehand. Afterwards conn->error is APP_TIMEOUT, which all that
 *     sends looks at, and the socket is shut for writing: what the application still gives goes nowhere.
 *   - in all other places (parsing, sending, the gateway's own code) the handler only takes note: those do
 *     not take long, and Python's handler, which it calls in the end, makes the gateway answer.
 *
 * Part of a response is out: then there is no 504. If its end would be that of the connection, it is going to
 * be a reset, so that nobody takes the part for the whole.
 *
 * A process that crashes by abort() sends SIGABRT to itself, and a child that the application forked has the
 * handler as well: neither is meant here, and both go straight to the handler that was there before.     */
#ifndef FW_ABORT_H
#define FW_ABORT_H

#include "fw_monitor.h"
#include <signal.h>

struct fw_abort {
    struct fw_monitor *monitor;
    pid_t pid;
    struct sigaction before;
    size_t answer_len, head_len;
    char answer[512];
};

/* Take SIGABRT for the players. `server`: a whole "Server: x\r\n". One in a process:
 * false with errno EBUSY where there is another, or what sigaction says. */
bool fw_abort_arm(struct fw_abort *on_abort, struct fw_monitor *monitor, const char *server,
                  size_t server_len);

/* Undo that; nothing where it is not armed. The structure may go then. */
void fw_abort_disarm(struct fw_abort *on_abort);

/* The application, or a hook behind it, is about to have the thread for `conn`. After fw_monitor_offer(). */
static inline void fw_abort_lend(struct fw_player *me, struct fw_conn *conn)
{
    atomic_store_explicit(&me->lent, conn, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
}

/* It has come back. Before fw_monitor_reclaim(). */
static inline void fw_abort_back(struct fw_player *me)
{
    atomic_store_explicit(&me->lent, NULL, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

/* The call that took too long has ended after all, and so has all that asks `told`. */
static inline void fw_abort_over(struct fw_player *me, struct fw_loop *loop)
{
    if (FW_LIKELY(!atomic_load_explicit(&me->told, memory_order_relaxed)))
        return;
    atomic_fetch_sub(&loop->abandoned, 1);
    atomic_store(&me->told, false);
}

#endif
