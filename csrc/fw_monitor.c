#define _GNU_SOURCE
#include "fw_monitor.h"

#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* An offer is acted upon after one to two of these. */
#define TICK_NS 1000000
/* While there are so many offers a tick, calls are quick, and between two looks the thread naps: each look
 * takes the processor from the very calls it watches (measured: two per cent of small requests' cost). An
 * offer is acted upon within five ticks then. */
#define BUSY_OFFERS 8
#define NAP_NS      (4 * TICK_NS)
/* Ticks without an offer before the thread sleeps until there is one: waking it costs a system call. */
#define IDLE_TICKS 64
#define STACK_SIZE ((size_t)131072)

static void futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
    (void)syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Sleep until the next offer. The order matters: `asleep` is set before `hand` is looked at, and an offer
 * sets `hand` before it looks at `asleep`, so that one of the two sees the other.                       */
static void sleep_until_offer(struct fw_monitor *monitor)
{
    atomic_store(&monitor->asleep, 1);
    while ((atomic_load(&monitor->baton.hand) & FW_HAND_MASK) == FW_HAND_OURS &&
           !atomic_load(&monitor->ending) && atomic_load(&monitor->asleep) == 1)
        futex(&monitor->asleep, FUTEX_WAIT, 1);
    atomic_store(&monitor->asleep, 0);
}

static void wake(struct fw_monitor *monitor)
{
    atomic_store(&monitor->asleep, 0);
    futex(&monitor->asleep, FUTEX_WAKE, 1);
}

static void *run(void *argument)
{
    struct fw_monitor *monitor = argument;
    struct fw_baton *baton = &monitor->baton;
    const struct timespec tick = {.tv_nsec = TICK_NS}, nap = {.tv_nsec = NAP_NS};
    int idle = 0;
    bool busy = false; /* in the last tick, which was no nap */
    while (!atomic_load(&monitor->ending)) {
        uint32_t offer = atomic_load(&baton->offers);
        nanosleep(busy ? &nap : &tick, NULL);
        uint32_t hand = atomic_load(&baton->hand), offers = atomic_load(&baton->offers) - offer;
        busy = !busy && offers >= BUSY_OFFERS;
        if (offers != 0) {
            idle = 0;
        } else if ((hand & FW_HAND_MASK) == FW_HAND_OFFERED) {
            idle = 0;
            if (atomic_compare_exchange_strong(&baton->hand, &hand, hand + (FW_HAND_TAKEN - FW_HAND_OFFERED)))
                fw_baton_understudy(baton);
        } else if (++idle == IDLE_TICKS) {
            sleep_until_offer(monitor);
            idle = 0;
        }
    }
    return NULL;
}

static bool start(struct fw_monitor *monitor)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
    /* signals are for the threads that know what to do with them */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    monitor->started = pthread_create(&monitor->thread, &attributes, run, monitor) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    monitor->pid = getpid();
    return monitor->started;
}

bool fw_monitor_init(struct fw_monitor *monitor, struct fw_loop *loop, uint32_t players)
{
    memset(monitor, 0, sizeof *monitor);
    return fw_baton_init(&monitor->baton, loop, players);
}

void fw_monitor_drop(struct fw_monitor *monitor)
{
    if (monitor->started && monitor->pid == getpid()) {
        atomic_store(&monitor->ending, true);
        wake(monitor);
        pthread_join(monitor->thread, NULL);
    }
    monitor->started = false;
    fw_baton_drop(&monitor->baton);
}

void fw_monitor_offer(struct fw_monitor *monitor, struct fw_player *me, struct fw_conn *conn)
{
    struct fw_baton *baton = &monitor->baton;
    assert(atomic_load(&baton->hand) == fw_hand_of(me, FW_HAND_OURS));
    me->conn = conn;
    if (FW_UNLIKELY(!monitor->started) && !start(monitor)) {
        fw_loop_send(baton->loop);
        if (conn != NULL)
            (void)fw_conn_push(conn); /* a failure is in conn->error */
        return;
    }
    uint32_t offers =
        atomic_load_explicit(&baton->offers, memory_order_relaxed); /* only the holder writes it */
    atomic_store_explicit(&baton->offers, offers + 1, memory_order_relaxed);
    atomic_store(&baton->hand, fw_hand_of(me, FW_HAND_OFFERED));
    if (FW_UNLIKELY(atomic_load(&monitor->asleep)))
        wake(monitor);
}
