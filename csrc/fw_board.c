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

void fw_board_take(struct fw_board *board, uint32_t slot)
{
    if (atomic_load_explicit(&board->used, memory_order_relaxed) <= slot)
        atomic_store_explicit(&board->used, slot + 1, memory_order_relaxed);
    atomic_store_explicit(&board->slots[slot].state, FW_SLOT_BOOTING, memory_order_release);
}

void fw_slot_clear(struct fw_slot *slot)
{
    atomic_store_explicit(&slot->generation, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->booted_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->dismissed, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->places, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->pid, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->turn, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->requests, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->refused, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->connections, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->state, FW_SLOT_FREE, memory_order_release);
}

/* A writer is between two requests for some nanoseconds: whoever meets it this often meets something else. */
#define READS_MOST 100

void fw_slot_read(const struct fw_slot *slot, struct fw_slot_request *request)
{
    for (int reads = 0; reads < READS_MOST; reads++) {
        uint64_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);
        *request = (struct fw_slot_request){.turn = turn};
        if (turn % 2 == 0)
            return;
        uint64_t since_ns = atomic_load_explicit(&slot->since_ns, memory_order_acquire);
        uint32_t lengths = atomic_load_explicit(&slot->lengths, memory_order_acquire);
        size_t line_len = lengths & 0xFFFF, client_len = lengths >> 16;
        /* another process has written them: no number of it is trusted with our memory */
        if (line_len < 8 || line_len > FW_SLOT_LINE || client_len > FW_SLOT_CLIENT)
            continue;
        for (size_t word = 0; word < (line_len + 7) / 8; word++) {
            uint64_t value = atomic_load_explicit(&slot->line[word], memory_order_acquire);
            size_t at = word * 8 + 8 <= line_len ? word * 8 : line_len - 8;
            memcpy(request->line + at, &value, sizeof value);
        }
        for (size_t word = 0; word < (client_len + 7) / 8; word++) {
            uint64_t value = atomic_load_explicit(&slot->client[word], memory_order_acquire);
            memcpy(request->client + word * 8, &value, sizeof value);
        }
        if (atomic_load_explicit(&slot->turn, memory_order_relaxed) == turn) {
            request->since_ns = since_ns;
            request->line_len = line_len;
            request->client_len = client_len;
            return;
        }
    }
}
