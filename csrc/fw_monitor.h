/* fw_monitor: one thread a worker that has the loop while the application has the stage for long.
 *
 * Answers of one turn should leave together, and so should the small blocks of a fast iterable and the
 * answers to pipelined requests; but nothing may wait for long because the application is slow to come back
 * (PEP 3333: a block is on its way, or goes out while the application makes the next). So a player offers the
 * loop before it calls the application, and takes it back afterwards (fw_baton.h has the table). If it has
 * not come back within a tick or two (five, where calls were quick until then), the monitor takes the loop,
 * sends what waits, and gives the loop to another player, if one is spare; otherwise it minds the loop itself
 * until one is. The thread is started by the first offer, sleeps when there was none for a while, and knows
 * nothing of Python. */
#ifndef FW_MONITOR_H
#define FW_MONITOR_H

#include "fw_baton.h"

struct fw_monitor {
    struct fw_baton baton;
    _Atomic uint32_t asleep; /* 1: the thread waits for this word to become 0 */
    _Atomic bool ending;
    bool started;
    pid_t pid; /* of the process that has the thread: a fork does not take it along */
    pthread_t thread;
};

/* For the players of `loop`, which stays the caller's. False: no memory. */
bool fw_monitor_init(struct fw_monitor *monitor, struct fw_loop *loop, uint32_t players);

/* End the thread, if there is one. */
void fw_monitor_drop(struct fw_monitor *monitor);

/* The holder is about to call the application for `conn`, in state APP, or for NULL. Its output may wait a
 * little, but not for long, and so may all else that the loop has to do. If there can be no thread, what
 * waits is sent at once. */
void fw_monitor_offer(struct fw_monitor *monitor, struct fw_player *me, struct fw_conn *conn);

/* Has this player offered the loop, so that it has to be reclaimed before anything is touched? Or is it away?
 */
static inline bool fw_monitor_holds(const struct fw_monitor *monitor, const struct fw_player *me)
{
    return atomic_load_explicit(&monitor->baton.hand, memory_order_relaxed) != fw_hand_of(me, FW_HAND_OURS);
}

/* Back from the application. True: the loop is ours again, or still. False: we are away. */
static inline bool fw_monitor_reclaim(struct fw_monitor *monitor, struct fw_player *me)
{
    struct fw_baton *baton = &monitor->baton;
    uint32_t hand = atomic_load_explicit(&baton->hand, memory_order_acquire);
    if (hand == fw_hand_of(me, FW_HAND_OURS))
        return true;
    if (FW_LIKELY(hand == fw_hand_of(me, FW_HAND_OFFERED)) &&
        atomic_compare_exchange_strong(&baton->hand, &hand, fw_hand_of(me, FW_HAND_OURS)))
        return true;
    return fw_baton_settle(baton, me);
}

#endif
