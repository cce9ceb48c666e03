/* fw_monitor: one thread a worker that sends what waits while the application has the stage.
 *
 * Answers of one turn should leave together, and so should the small blocks of a fast iterable and the
 * answers to pipelined requests; but nothing may wait for long because the application is slow to come back
 * (PEP 3333: a block is on its way, or goes out while the application makes the next). So the serving thread
 * offers what waits before it calls the application, and takes it back afterwards. If it has not come back
 * within a tick or two (five, where calls were quick until then), the monitor sends. Who may touch the output
 * of the offered connections (their `out`, `blocked`, `progress`, `error` and socket) is one word, `hand`:
 *
 *     from      by         to        means
 *     OURS      serving    OFFERED   fw_monitor_offer(): the application is about to be called
 *     OFFERED   serving    OURS      fw_monitor_reclaim(): it came back in time; one compare-and-swap
 *     OFFERED   monitor    TAKEN     the same offer stood for a whole tick; compare-and-swap
 *     TAKEN     monitor    OURS      sent, or given up
 *     TAKEN     monitor    OFFERED   the socket did not take all: once more in a tick
 *
 * In OURS and OFFERED the monitor touches nothing; in OFFERED and TAKEN the serving thread touches nothing,
 * but for the request's body, which is no output. The thread is started by the first offer, sleeps when there
 * was none for a while, and knows nothing of Python. */
#ifndef FW_MONITOR_H
#define FW_MONITOR_H

#include "fw_conn.h"
#include <pthread.h>
#include <stdatomic.h>

enum fw_monitor_hand { FW_HAND_OURS, FW_HAND_OFFERED, FW_HAND_TAKEN };

struct fw_monitor {
    _Atomic uint32_t hand;   /* enum fw_monitor_hand */
    _Atomic uint32_t offers; /* made so far: tells one from the next */
    _Atomic uint32_t asleep; /* 1: the thread waits for this word to become 0 */
    _Atomic bool ending;
    struct fw_conn *conn;  /* that is being served and has output; may be NULL */
    struct fw_conn *chain; /* that are answered and wait to be sent, linked by `next`; may be NULL */
    struct fw_sink *sink;  /* access lines of answers, offered with every offer; the caller's, may be NULL */
    bool started;
    pid_t pid; /* of the process that has the thread: a fork does not take it along */
    pthread_t thread;
};

void fw_monitor_init(struct fw_monitor *monitor);

/* End the thread, if there is one. */
void fw_monitor_drop(struct fw_monitor *monitor);

/* The serving thread is about to call the application. `conn`, in state APP, has output that may wait a
 * little, but not for long, and so have those of `chain`; either may be NULL. If there can be no thread they
 * are sent at once. */
void fw_monitor_offer(struct fw_monitor *monitor, struct fw_conn *conn, struct fw_conn *chain);

/* Is the output of `conn` on offer, so that it has to be reclaimed before it is touched? */
static inline bool fw_monitor_holds(const struct fw_monitor *monitor, const struct fw_conn *conn)
{
    return monitor->conn == conn &&
           atomic_load_explicit(&monitor->hand, memory_order_relaxed) != FW_HAND_OURS;
}

void fw_monitor_wait(struct fw_monitor *monitor);

/* Back from the application: the output is ours again. Costs nothing where nothing was offered. */
static inline void fw_monitor_reclaim(struct fw_monitor *monitor)
{
    uint32_t hand = atomic_load_explicit(&monitor->hand, memory_order_acquire);
    if (FW_LIKELY(hand == FW_HAND_OURS))
        return;
    if (hand == FW_HAND_OFFERED && atomic_compare_exchange_strong(&monitor->hand, &hand, FW_HAND_OURS))
        return;
    fw_monitor_wait(monitor);
}

#endif
