/* Tests of fw_board: slots start free, are shared with children, and lie apart; what a slot says of a request
 * is of one request. Run under ThreadSanitizer as well. */
#define _GNU_SOURCE
#include "fw_board.h"
#include "fw_test.h"

#include <pthread.h>
#include <stdio.h>
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
            CHECK(slot->generation == 0 && slot->booted_ns == 0);
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

static const char NOBODY[FW_SLOT_CLIENT];

static void a_turn_is_odd_inside(void)
{
    struct fw_board *board = fw_board_create(1);
    struct fw_slot *slot = &board->slots[0];
    for (uint64_t i = 0; i < 10; i++) {
        CHECK_EQUAL(slot->turn, 2 * i);
        fw_slot_enter(slot, 1, "GET / HTTP/1.1", 14, NOBODY, 0);
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
    slot->generation = 5;
    slot->booted_ns = 6;
    fw_slot_clear(slot);
    CHECK(slot->state == FW_SLOT_FREE && slot->pid == 0 && slot->turn == 0);
    CHECK(slot->requests == 0 && slot->refused == 0 && slot->connections == 0);
    CHECK(slot->generation == 0 && slot->booted_ns == 0);
    fw_board_destroy(board);
}

static void a_request_is_shown_while_it_lasts(void)
{
    static const size_t client_lens[] = {0, 1, 7, 8, 9, 45, FW_SLOT_CLIENT};
    char text[3 * FW_SLOT_LINE], client[FW_SLOT_CLIENT];
    struct fw_board *board = fw_board_create(1);
    struct fw_slot *slot = &board->slots[0];
    struct fw_slot_request request;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(' ' + i % 90);
    for (size_t i = 0; i < sizeof client; i++)
        client[i] = (char)('a' + i % 26);
    for (size_t len = 8; len < sizeof text; len++) {
        size_t client_len = client_lens[len % COUNT_OF(client_lens)];
        char *line = fw_test_before_wall(len);
        memcpy(line, text + sizeof text - len, len);
        fw_slot_enter(slot, len, line, len, client, client_len);
        fw_slot_read(slot, &request);
        CHECK_EQUAL(request.turn % 2, 1);
        CHECK_EQUAL(request.since_ns, len);
        CHECK_EQUAL(request.line_len, len < FW_SLOT_LINE ? len : FW_SLOT_LINE);
        CHECK(memcmp(request.line, line, request.line_len) == 0);
        CHECK_EQUAL(request.client_len, client_len);
        CHECK(memcmp(request.client, client, client_len) == 0);
        fw_slot_go_on(slot);
        uint64_t turn = request.turn;
        fw_slot_read(slot, &request);
        CHECK(request.turn == turn + 2 && request.since_ns == len);
        fw_slot_leave(slot);
        fw_slot_read(slot, &request);
        CHECK(request.since_ns == 0 && request.line_len == 0 && request.client_len == 0);
    }
    fw_board_destroy(board);
}

static void lengths_that_cannot_be_are_not_believed(void)
{
    static const uint32_t lengths[] = {0,         7, FW_SLOT_LINE + 1, 0xFFFF, (FW_SLOT_CLIENT + 1) << 16 | 8,
                                       UINT32_MAX};
    struct fw_board *board = fw_board_create(1);
    struct fw_slot *slot = &board->slots[0];
    struct fw_slot_request request;
    fw_slot_enter(slot, 1, "GET / HTTP/1.1", 14, NOBODY, 0);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        slot->lengths = lengths[i];
        fw_slot_read(slot, &request);
        CHECK(request.turn == 1 && request.since_ns == 0 && request.line_len == 0);
    }
    fw_board_destroy(board);
}

#define SHOWN 20000

/* Request n has lines of n * 13 % 300 bytes or so, all of one letter, as has its client. */
static void *show_many(void *argument)
{
    struct fw_slot *slot = argument;
    char line[300], client[FW_SLOT_CLIENT];
    for (uint64_t n = 1; n <= SHOWN; n++) {
        memset(line, (char)('a' + n % 26), sizeof line);
        memset(client, (char)('a' + n % 26), sizeof client);
        fw_slot_enter(slot, n, line, 8 + n * 13 % 290, client, n % (FW_SLOT_CLIENT + 1));
        if (n % 3 == 0)
            fw_slot_go_on(slot);
        fw_slot_leave(slot);
    }
    fw_slot_enter(slot, SHOWN + 1, "the end.", 8, NOBODY, 0);
    return NULL;
}

static void nobody_sees_halves(void)
{
    pthread_t thread;
    struct fw_board *board = fw_board_create(1);
    struct fw_slot *slot = &board->slots[0];
    struct fw_slot_request request = {0};
    CHECK_EQUAL(pthread_create(&thread, NULL, show_many, slot), 0);
    while (request.since_ns != SHOWN + 1) {
        fw_slot_read(slot, &request);
        uint64_t n = request.since_ns;
        if (n == 0 || n == SHOWN + 1)
            continue;
        size_t len = 8 + n * 13 % 290, same = 0;
        CHECK_EQUAL(request.line_len, len < FW_SLOT_LINE ? len : FW_SLOT_LINE);
        CHECK_EQUAL(request.client_len, n % (FW_SLOT_CLIENT + 1));
        for (size_t i = 0; i < request.line_len; i++)
            same += request.line[i] == (char)('a' + n % 26);
        for (size_t i = 0; i < request.client_len; i++)
            same += request.client[i] == (char)('a' + n % 26);
        CHECK_EQUAL(same, request.line_len + request.client_len);
    }
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
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
    {"a_request_is_shown_while_it_lasts", a_request_is_shown_while_it_lasts},
    {"lengths_that_cannot_be_are_not_believed", lengths_that_cannot_be_are_not_believed},
    {"nobody_sees_halves", nobody_sees_halves},
    {"a_child_writes_what_its_parent_reads", a_child_writes_what_its_parent_reads},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
