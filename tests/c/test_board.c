/* Tests of fw_board: slots start free, are shared with children, and lie apart. */
#define _GNU_SOURCE
#include "fw_board.h"
#include "fw_test.h"

#include <sys/wait.h>
#include <unistd.h>

static void a_new_board_is_free(void)
{
    static const uint32_t counts[] = {0, 1, 2, 33, 1000};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        struct fw_board *board = fw_board_create(counts[i]);
        if (!CHECK(board != NULL))
            return;
        CHECK_EQUAL(board->count, counts[i]);
        for (uint32_t at = 0; at < counts[i]; at++) {
            struct fw_slot *slot = &board->slots[at];
            CHECK(slot->state == FW_SLOT_FREE && slot->pid == 0 && slot->turn == 0);
            CHECK(slot->requests == 0 && slot->refused == 0 && slot->connections == 0);
            CHECK((uintptr_t)slot % 128 == 0); /* no cache line has two writers */
        }
        fw_board_destroy(board);
    }
    fw_board_destroy(NULL);
}

static void a_board_too_large_is_refused(void)
{
    struct fw_board *board = fw_board_create(UINT32_MAX); /* half a terabyte */
    if (board != NULL) /* as much address space was to be had: then all of it is there */
        CHECK_EQUAL(board->slots[UINT32_MAX - 1].state, FW_SLOT_FREE);
    fw_board_destroy(board);
}

static void a_turn_is_odd_inside(void)
{
    struct fw_board *board = fw_board_create(1);
    struct fw_slot *slot = &board->slots[0];
    for (uint64_t i = 0; i < 10; i++) {
        CHECK_EQUAL(slot->turn, 2 * i);
        fw_slot_enter(slot);
        CHECK_EQUAL(slot->turn, 2 * i + 1);
        fw_slot_leave(slot);
        fw_slot_count(&slot->requests);
        CHECK_EQUAL(slot->requests, i + 1);
    }
    CHECK_EQUAL(slot->refused, 0);
    slot->state = FW_SLOT_LEAVING;
    slot->pid = 7;
    slot->connections = 3;
    slot->refused = 4;
    fw_slot_clear(slot);
    CHECK(slot->state == FW_SLOT_FREE && slot->pid == 0 && slot->turn == 0);
    CHECK(slot->requests == 0 && slot->refused == 0 && slot->connections == 0);
    fw_board_destroy(board);
}

static void a_child_writes_what_its_parent_reads(void)
{
    struct fw_board *board = fw_board_create(4);
    for (uint32_t at = 0; at < 4; at++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct fw_slot *slot = &board->slots[at];
            slot->pid = (uint32_t)getpid();
            for (uint32_t i = 0; i <= at * 1000; i++)
                fw_slot_count(&slot->requests);
            slot->state = FW_SLOT_SERVING;
            _exit(0);
        }
        int status = 0;
        CHECK_EQUAL(waitpid(pid, &status, 0), pid);
        CHECK_EQUAL(status, 0);
        CHECK_EQUAL(board->slots[at].pid, pid);
        CHECK_EQUAL(board->slots[at].requests, at * 1000 + 1);
        CHECK_EQUAL(board->slots[at].state, FW_SLOT_SERVING);
    }
    fw_board_destroy(board);
}

static const struct fw_test tests[] = {
    {"a_new_board_is_free", a_new_board_is_free},
    {"a_board_too_large_is_refused", a_board_too_large_is_refused},
    {"a_turn_is_odd_inside", a_turn_is_odd_inside},
    {"a_child_writes_what_its_parent_reads", a_child_writes_what_its_parent_reads},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
