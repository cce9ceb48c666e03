/* fw_board: the page that all processes of one server share: a slot a worker.
 *
 * The arbiter makes it before it forks; each worker writes its own slot; anybody reads any slot. There
 * are no locks: each word has one writer at a time and is written whole.
 *
 * `turn` is odd while the worker is inside the application. A reader who finds the same odd number
 * twice has seen one call go on for that long: nobody on the hot path needs a clock for it.       */
#ifndef FW_BOARD_H
#define FW_BOARD_H

#include "fw_base.h"
#include <stdatomic.h>

enum fw_slot_state {
    FW_SLOT_FREE,     /* no worker */
    FW_SLOT_BOOTING,  /* forked; loading the application */
    FW_SLOT_SERVING,  /* its loop runs */
    FW_SLOT_RETIRING, /* serves until another serves in its place */
    FW_SLOT_LEAVING,  /* finishes what it has, takes nothing new */
};

/* One worker. Two cache lines, so that neighbours do not share one and the prefetcher does not pair them. */
struct fw_slot {
    _Alignas(128) _Atomic uint32_t state; /* enum fw_slot_state */
    _Atomic uint32_t pid;
    _Atomic uint64_t turn;        /* calls of the application begun and ended: odd inside one */
    _Atomic uint64_t requests;    /* answered */
    _Atomic uint64_t refused;     /* answered or closed without the application */
    _Atomic uint32_t connections; /* open now */
};

struct fw_board {
    uint32_t count;
    struct fw_slot slots[];
};

/* A board of `count` free slots in anonymous shared memory, inherited by children. NULL: no memory. */
struct fw_board *fw_board_create(uint32_t count);
void fw_board_destroy(struct fw_board *board);

/* Back to FREE, all counters 0. */
void fw_slot_clear(struct fw_slot *slot);

static inline void fw_slot_enter(struct fw_slot *slot)
{
    uint64_t turn = atomic_load_explicit(&slot->turn, memory_order_relaxed);
    atomic_store_explicit(&slot->turn, turn + 1, memory_order_release);
}

static inline void fw_slot_leave(struct fw_slot *slot)
{
    fw_slot_enter(slot);
}

static inline void fw_slot_count(_Atomic uint64_t *counter)
{
    /* one writer: a plain add would do, were it not read elsewhere at the same time */
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

#endif
