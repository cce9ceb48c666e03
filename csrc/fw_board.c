#define _GNU_SOURCE
#include "fw_board.h"

#include <sys/mman.h>

static size_t board_size(uint32_t count)
{
    return sizeof(struct fw_board) + (size_t)count * sizeof(struct fw_slot);
}

struct fw_board *fw_board_create(uint32_t count)
{
    /* fresh anonymous pages are zero, and zero is FW_SLOT_FREE */
    void *memory = mmap(NULL, board_size(count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    struct fw_board *board = memory;
    board->count = count;
    return board;
}

void fw_board_destroy(struct fw_board *board)
{
    if (board != NULL)
        munmap(board, board_size(board->count));
}

void fw_slot_clear(struct fw_slot *slot)
{
    atomic_store_explicit(&slot->pid, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->turn, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->requests, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->refused, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->connections, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->state, FW_SLOT_FREE, memory_order_release);
}
