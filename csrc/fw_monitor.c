#define _GNU_SOURCE
#include "fw_monitor.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
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
    while (atomic_load(&monitor->hand) == FW_HAND_OURS && !atomic_load(&monitor->ending) &&
           atomic_load(&monitor->asleep) == 1)
        futex(&monitor->asleep, FUTEX_WAIT, 1);
    atomic_store(&monitor->asleep, 0);
}

static void wake(struct fw_monitor *monitor)
{
    atomic_store(&monitor->asleep, 0);
    futex(&monitor->asleep, FUTEX_WAKE, 1);
}

/* Failures are kept in conn->error, for the serving thread. */
static void send_for_them(struct fw_monitor *monitor)
{
    for (struct fw_conn *conn = monitor->chain; conn != NULL; conn = conn->next)
        (void)fw_conn_push(conn);
    monitor->chain = NULL; /* what their sockets did not take is the loop's matter */
    if (monitor->sink != NULL)
        fw_sink_flush(monitor->sink, 0);
    struct fw_conn *conn = monitor->conn;
    bool more = false;
    if (conn != NULL) {
        conn->blocked = false;
        (void)fw_conn_push(conn);
        more = conn->blocked && conn->error == FW_OK;
    }
    atomic_store_explicit(&monitor->hand, more ? FW_HAND_OFFERED : FW_HAND_OURS, memory_order_release);
}

static void *run(void *argument)
{
    struct fw_monitor *monitor = argument;
    const struct timespec tick = {.tv_nsec = TICK_NS}, nap = {.tv_nsec = NAP_NS};
    int idle = 0;
    bool busy = false; /* in the last tick, which was no nap */
    while (!atomic_load(&monitor->ending)) {
        uint32_t offer = atomic_load(&monitor->offers);
        nanosleep(busy ? &nap : &tick, NULL);
        uint32_t hand = atomic_load(&monitor->hand), offers = atomic_load(&monitor->offers) - offer;
        busy = !busy && offers >= BUSY_OFFERS;
        if (offers != 0) {
            idle = 0;
        } else if (hand == FW_HAND_OFFERED) {
            idle = 0;
            if (atomic_compare_exchange_strong(&monitor->hand, &hand, FW_HAND_TAKEN))
                send_for_them(monitor);
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

void fw_monitor_init(struct fw_monitor *monitor)
{
    memset(monitor, 0, sizeof *monitor);
}

void fw_monitor_drop(struct fw_monitor *monitor)
{
    if (monitor->started && monitor->pid == getpid()) {
        atomic_store(&monitor->ending, true);
        wake(monitor);
        pthread_join(monitor->thread, NULL);
    }
    monitor->started = false;
}

void fw_monitor_offer(struct fw_monitor *monitor, struct fw_conn *conn, struct fw_conn *chain)
{
    assert(atomic_load(&monitor->hand) == FW_HAND_OURS);
    monitor->conn = conn;
    monitor->chain = chain;
    if (FW_UNLIKELY(!monitor->started) && !start(monitor)) {
        send_for_them(monitor);
        atomic_store(&monitor->hand, FW_HAND_OURS);
        return;
    }
    uint32_t offers =
        atomic_load_explicit(&monitor->offers, memory_order_relaxed); /* nobody else writes it */
    atomic_store_explicit(&monitor->offers, offers + 1, memory_order_relaxed);
    atomic_store(&monitor->hand, FW_HAND_OFFERED);
    if (FW_UNLIKELY(atomic_load(&monitor->asleep)))
        wake(monitor);
}

void fw_monitor_wait(struct fw_monitor *monitor)
{
    for (;;) {
        uint32_t hand = atomic_load_explicit(&monitor->hand, memory_order_acquire);
        if (hand == FW_HAND_OURS ||
            (hand == FW_HAND_OFFERED && atomic_compare_exchange_strong(&monitor->hand, &hand, FW_HAND_OURS)))
            return;
        sched_yield(); /* it is in sends that do not block, or writes access lines to a file */
    }
}
