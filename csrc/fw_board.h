/* fw_board: the page that all processes of one server share: a slot a worker.
 *
 * The arbiter makes it before it forks; each worker writes its own slot; anybody reads any slot. There
 * are no locks: each word has one writer at a time and is written whole.
 *
 * `turn` is odd while the worker is inside the application. A reader who finds the same odd number
 * twice has seen one call go on for that long: nobody on the hot path needs a clock for it.
 *
 * Which request that is (`since_ns`, `lengths`, `client`, `line`) takes many words, so a reader could see
 * half of one request and half of the next. `turn` tells: the request is written while it is even, and
 * what was read counts only if `turn` was odd before and is the same afterwards. The words are stored with
 * release and loaded with acquire, which needs no fence: a reader who has seen any word of a later request
 * also sees the turn that came before it.                                                        */
#ifndef FW_BOARD_H
#define FW_BOARD_H

#include "fw_base.h"
#include <stdatomic.h>
#include <string.h>

/* So much of a request line is shown, and an address as text at the longest, in whole words. */
#define FW_SLOT_LINE   200
#define FW_SLOT_CLIENT 48

enum fw_slot_state {
    FW_SLOT_FREE,     /* no worker */
    FW_SLOT_BOOTING,  /* forked; loading the application */
    FW_SLOT_SERVING,  /* its loop runs */
    FW_SLOT_RETIRING, /* serves until another serves in its place */
    FW_SLOT_LEAVING,  /* finishes what it has, takes nothing new */
};

/* One worker. Pairs of cache lines, so that neighbours do not share one and the prefetcher does not pair
 * them.
 */
struct fw_slot {
    /* worker */
    _Alignas(128) _Atomic uint32_t state; /* enum fw_slot_state */
    _Atomic uint32_t pid;
    _Atomic uint32_t generation; /* how many reloads it is younger than the server */
    _Atomic uint64_t booted_ns;  /* monotonic: when its loop began to run; 0: not yet */
    _Atomic uint32_t dismissed;  /* 1: it will be told to go; the arbiter says so first */
    _Atomic uint64_t places;     /* where it listens, a bit an address: fw_share_bit() */
    /* counters */
    _Atomic uint64_t turn;        /* calls of the application begun and ended: odd inside one */
    _Atomic uint64_t requests;    /* answered */
    _Atomic uint64_t refused;     /* answered or closed without the application */
    _Atomic uint32_t connections; /* open now */
    /* the request of an odd turn */
    _Atomic uint32_t lengths;  /* of the line, and times 65536 of the client */
    _Atomic uint64_t since_ns; /* monotonic: when it was taken to the application */
    _Atomic uint64_t client[FW_SLOT_CLIENT / 8];
    _Atomic uint64_t line[FW_SLOT_LINE / 8]; /* the last word holds the last 8 bytes, whatever they overlap */
};

/* A request as a reader sees it. */
struct fw_slot_request {
    uint64_t turn;     /* at that moment */
    uint64_t since_ns; /* 0: the worker is in none, or changes from one to the next */
    size_t line_len, client_len;
    char line[FW_SLOT_LINE];
    char client[FW_SLOT_CLIENT];
};

struct fw_board {
    uint32_t count;
    _Atomic uint32_t used;   /* the slots from this one on have never been taken */
    _Atomic uint32_t ending; /* 1: the whole server goes, and its workers with it */
    struct fw_slot slots[];
};

/* A board of `count` free slots in anonymous shared memory, inherited by children. NULL: no memory. */
struct fw_board *fw_board_create(uint32_t count);
void fw_board_destroy(struct fw_board *board);

/* The arbiter gives the slot to a worker that it is about to fork. */
void fw_board_take(struct fw_board *board, uint32_t slot);

/* Back to FREE, all counters 0. */
void fw_slot_clear(struct fw_slot *slot);

/* What the slot says of the present request; tries again while it changes, but not for ever. */
void fw_slot_read(const struct fw_slot *slot, struct fw_slot_request *request);

static inline void fw_slot_turn(struct fw_slot *slot, uint64_t by)
{
    /* fw_slot_go_on() may come from another thread of the worker */
    atomic_fetch_add_explicit(&slot->turn, by, memory_order_release);
}

static inline void fw_slot_word(_Atomic uint64_t *word, const char *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    atomic_store_explicit(word, value, memory_order_release);
}

/* The request is taken to the application. `line` has at least 8 bytes; `client` is an array of
 * FW_SLOT_CLIENT bytes with client_len used. */
static inline void fw_slot_enter(struct fw_slot *slot, uint64_t since_ns, const char *line, size_t line_len,
                                 const char *client, size_t client_len)
{
    assert(line_len >= 8 && client_len <= FW_SLOT_CLIENT);
    if (line_len > FW_SLOT_LINE)
        line_len = FW_SLOT_LINE;
    atomic_store_explicit(&slot->since_ns, since_ns, memory_order_release);
    atomic_store_explicit(&slot->lengths, (uint32_t)(client_len << 16 | line_len), memory_order_release);
    size_t last = (line_len - 1) / 8, client_words = (client_len + 7) / 8;
    fw_slot_word(&slot->line[last], line + line_len - 8);
    for (size_t word = 0; word < last; word++)
        fw_slot_word(&slot->line[word], line + word * 8);
    for (size_t word = 0; word < client_words; word++)
        fw_slot_word(&slot->client[word], client + word * 8);
    fw_slot_turn(slot, 1);
}

static inline void fw_slot_leave(struct fw_slot *slot)
{
    fw_slot_turn(slot, 1);
}

/* The call has waited for its client, which is not being stuck: it counts as another from here on. */
static inline void fw_slot_go_on(struct fw_slot *slot)
{
    fw_slot_turn(slot, 2);
}

static inline void fw_slot_count(_Atomic uint64_t *counter)
{
    /* one writer: a plain add would do, were it not read elsewhere at the same time */
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

#endif
