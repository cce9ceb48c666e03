/* Tests of fw_loop_even: several loops over one listener and one share socket, as in as many processes. */
#define _GNU_SOURCE
#include "app.h"
#include "fault.h"
#include "fw_test.h"
#include "peer.h"

#include "fw_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORKERS_MOST = 3, CLIENTS_MOST = 64, GIVE_UP_MS = 20000, LOOK_MS = 10, REST_MS = 3, RESTS_MOST = 4 };

static const char REQUEST[] = "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n";

static struct fw_loop loops[WORKERS_MOST];
static struct fw_board *board;
static int listener, share[2];
static size_t workers;
static struct peer clients[CLIENTS_MOST];
static size_t client_count;
static int descriptors;

static void begin(size_t count)
{
    fault_reset();
    fault_clock_stop();
    descriptors = fault_descriptors();
    board = fw_board_create(WORKERS_MOST);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, share) == 0);
    listener = peer_listen(PEER_V4);
    workers = count;
    for (size_t i = 0; i < workers; i++) {
        struct fw_slot *slot = &board->slots[i];
        struct fw_loop_config config = {
            .limits = fw_limits_default(),
            .timeouts = {3000, 4000, 60000, 6000, 1000},
            .body_memory = 8000,
            .queue_mark = 100000,
            .connections = 1000,
            .grace_ms = 30000,
            .leave_idle_ms = 2000,
            .tmpdir = "/tmp",
            .server = "Server: test\r\n",
            .slot = slot,
            .share = {.board = board, .slot = slot, .send = share[0], .receive = share[1]},
        };
        fw_board_take(board, (uint32_t)i);
        CHECK(fw_loop_init(&loops[i], &config));
        CHECK(fw_loop_add_listener(&loops[i], listener, false));
        atomic_store(&slot->state, FW_SLOT_SERVING);
    }
    client_count = 0;
}

static void end(void)
{
    while (client_count > 0)
        peer_close(&clients[--client_count]);
    for (size_t i = 0; i < workers; i++)
        fw_loop_drop(&loops[i]);
    close(listener);
    close(share[0]);
    close(share[1]);
    fw_board_destroy(board);
    CHECK_EQUAL(fault_blocks(), 0);
    CHECK_EQUAL(fault_descriptors(), descriptors);
}

static void turn(size_t worker)
{
    struct fw_loop *loop = &loops[worker];
    struct fw_conn *conn;
    fw_loop_step(loop);
    while ((conn = fw_loop_take(loop)) != NULL) {
        app_serve(conn, loop);
        fw_loop_give(loop, conn);
    }
    for (size_t i = 0; i < client_count; i++)
        peer_read(&clients[i]);
}

static void turn_all(void)
{
    for (size_t i = 0; i < workers; i++)
        turn(i);
}

static void serve_only(size_t worker, bool serving)
{
    for (size_t i = 0; i < workers; i++)
        if (i != worker)
            atomic_store(&board->slots[i].state, serving ? FW_SLOT_SERVING : FW_SLOT_BOOTING);
}

static void connect_client(void)
{
    struct peer *client = &clients[client_count++];
    *client = (struct peer){.fd = peer_connect(listener)};
    CHECK_EQUAL(peer_write(client, REQUEST, sizeof REQUEST - 1), sizeof REQUEST - 1);
}

/* Take the answer that a client has got whole. False: not there yet. */
static bool answered(struct peer *client)
{
    struct answer answer = {0};
    long len = answer_read(&answer, client->got.data, client->got.len, false, client->ended);
    if (len > 0) {
        CHECK_EQUAL(answer.status, 200);
        CHECK(!answer.close);
        text_take(&client->got, (size_t)len);
    }
    CHECK(len >= 0 && !client->ended && !client->reset);
    answer_drop(&answer);
    return len > 0;
}

/* Turns of all workers until each client has its answer. */
static void all_answered(void)
{
    bool done[CLIENTS_MOST] = {false};
    size_t count = 0;
    uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
    while (count < client_count && CHECK(peer_now_ms() < end_ms)) {
        turn_all();
        for (size_t i = 0; i < client_count; i++)
            if (!done[i] && answered(&clients[i])) {
                done[i] = true;
                count++;
            }
    }
}

static void ask(size_t from, size_t count)
{
    for (size_t i = from; i < from + count; i++)
        CHECK_EQUAL(peer_write(&clients[i], REQUEST, sizeof REQUEST - 1), sizeof REQUEST - 1);
}

/* Everybody asks, some times, and the clock goes on by as many looks. */
static void closed_loop(int rounds)
{
    for (int round = 0; round < rounds; round++) {
        ask(0, client_count);
        all_answered();
        fault_clock_step(LOOK_MS);
    }
}

static uint64_t passed(void)
{
    uint64_t all = 0;
    for (size_t i = 0; i < workers; i++)
        all += loops[i].passed;
    return all;
}

static uint32_t connections(void)
{
    uint32_t all = 0;
    for (size_t i = 0; i < workers; i++)
        all += loops[i].connections;
    return all;
}

/* No worker is further from its part than `most`. */
static void check_even(uint32_t most)
{
    uint32_t part = (uint32_t)(client_count / workers);
    CHECK_EQUAL(connections(), client_count);
    for (size_t i = 0; i < workers; i++) {
        fw_test_note("worker %zu has %u of %zu", i, loops[i].connections, client_count);
        CHECK(loops[i].connections + most >= part && loops[i].connections <= part + most);
    }
    fw_test_note("%s", "");
}

/* --- a burst --- */

static void test_burst_that_one_worker_accepts(void)
{
    for (size_t count = 2; count <= WORKERS_MOST; count++) {
        begin(count);
        turn_all();
        for (int i = 0; i < 60; i++)
            connect_client();
        turn(0);
        fault_clock_step(REST_MS);
        all_answered();
        check_even((uint32_t)(2 + 4 * (count - 2)));
        end();
    }
}

static void test_one_after_the_other(void)
{
    begin(2);
    turn_all();
    for (int i = 0; i < 20; i++) {
        connect_client();
        turn(0); /* which the kernel wakes first */
        fault_clock_step(REST_MS);
        turn(1);
        turn(0);
    }
    all_answered();
    check_even(2);
    end();
}

static void test_sibling_in_a_call_gets_none(void)
{
    begin(2);
    turn_all();
    fw_slot_turn(&board->slots[1], 1);
    for (int i = 0; i < 20; i++)
        connect_client();
    turn(0);
    CHECK_EQUAL(loops[0].connections, 20);
    CHECK_EQUAL(passed(), 0);
    fw_slot_turn(&board->slots[1], 1);
    end();
}

static void test_nobody_takes_them(void)
{
    begin(2);
    turn_all();
    for (int i = 0; i < 20; i++)
        connect_client();
    turn(0);
    CHECK_EQUAL(loops[0].connections, 10);
    turn(0);
    CHECK_EQUAL(loops[0].connections, 10);
    /* it waits for no longer than that others have had their chance */
    CHECK(fault_wait_ms() >= 0 && fault_wait_ms() <= REST_MS);
    for (int i = 0; i < RESTS_MOST; i++) {
        fault_clock_step(REST_MS);
        turn(0);
        turn(0);
        CHECK_EQUAL(loops[0].connections, 10);
    }
    fault_clock_step(REST_MS);
    for (int i = 0; i < 6; i++)
        turn(0);
    CHECK_EQUAL(loops[0].connections, 20);
    all_answered();
    end();
}

static void test_share_socket_that_is_full(void)
{
    begin(2);
    turn_all();
    fault_fail(FAULT_sendmsg, 1, 1000, EAGAIN);
    for (int i = 0; i < 10; i++)
        connect_client();
    turn(0);
    CHECK(fault_was_hit());
    fault_fail(FAULT_sendmsg, 1, 0, 0);
    CHECK_EQUAL(loops[0].connections, 10);
    all_answered();
    CHECK_EQUAL(connections(), 10);
    end();
}

static void test_without_siblings(void)
{
    begin(1);
    for (int i = 0; i < 40; i++)
        connect_client();
    all_answered();
    closed_loop(3);
    CHECK_EQUAL(loops[0].connections, 40);
    CHECK_EQUAL(passed(), 0);
    end();
}

/* --- connections that live --- */

/* All of them are the first worker's, though others are there. */
static void begin_uneven(size_t count, int connections_of_first)
{
    begin(count);
    serve_only(0, false);
    turn_all();
    for (int i = 0; i < connections_of_first; i++)
        connect_client();
    turn(0);
    all_answered();
    CHECK_EQUAL(loops[0].connections, client_count);
    serve_only(0, true);
}

static void test_busy_ones_are_evened(void)
{
    for (size_t count = 2; count <= WORKERS_MOST; count++) {
        begin_uneven(count, 60);
        closed_loop(40);
        check_even(6);
        end();
    }
}

static void test_they_do_not_bounce(void)
{
    for (size_t count = 2; count <= WORKERS_MOST; count++) {
        begin_uneven(count, 60);
        closed_loop(40);
        uint64_t before = passed();
        CHECK(before > 0);
        closed_loop(40);
        CHECK_EQUAL(passed(), before);
        end();
    }
}

/* A third one is in a call all the time: that it has none is no reason for the others to push theirs around.
 */
static void test_they_do_not_bounce_beside_one_that_is_stuck(void)
{
    begin_uneven(3, 40);
    fw_slot_turn(&board->slots[2], 1);
    workers = 2;
    closed_loop(40);
    uint64_t before = passed();
    CHECK(before > 0);
    check_even(3);
    closed_loop(40);
    CHECK_EQUAL(passed(), before);
    workers = 3;
    fw_slot_turn(&board->slots[2], 1);
    end();
}

static void test_idle_ones_stay(void)
{
    begin_uneven(2, 60);
    for (int i = 0; i < 10; i++) {
        fault_clock_step(LOOK_MS);
        turn_all();
    }
    CHECK_EQUAL(passed(), 0);
    end();
}

/* More connections, but fewer requests than the sibling: that one has work enough. */
static void test_who_is_not_busier_keeps_his(void)
{
    begin_uneven(2, 60);
    atomic_store(&board->slots[1].requests, 0);
    for (int i = 0; i < 10; i++) {
        ask(0, 20);
        for (int turns = 0; turns < 5; turns++)
            turn(0);
        for (size_t client = 0; client < 20; client++)
            CHECK(answered(&clients[client]));
        atomic_fetch_add(&board->slots[1].requests, 20);
        fault_clock_step(LOOK_MS);
    }
    CHECK_EQUAL(passed(), 0);
    end();
}

/* --- requests that wait --- */

/* A turn of the first worker, each of whose calls takes so long. */
static void slow_turn(uint64_t call_us)
{
    struct fw_conn *conn;
    fw_loop_step(&loops[0]);
    while ((conn = fw_loop_take(&loops[0])) != NULL) {
        fault_clock_step_us(call_us);
        app_serve(conn, &loops[0]);
        fw_loop_give(&loops[0], conn);
    }
}

static void test_idle_siblings_get_one_each(void)
{
    for (size_t count = 2; count <= WORKERS_MOST; count++) {
        begin_uneven(count, 10);
        ask(0, 10);
        slow_turn(500);
        CHECK_EQUAL(passed(), count - 1); /* which nobody has received yet */
        all_answered();
        CHECK_EQUAL(connections(), client_count);
        end();
    }
}

static void test_quick_calls_stay(void)
{
    begin_uneven(2, 10);
    ask(0, 10);
    slow_turn(50);
    CHECK_EQUAL(passed(), 0);
    end();
}

static void test_the_last_one_stays(void)
{
    begin_uneven(2, 10);
    ask(0, 2); /* one is served, and one is next */
    slow_turn(500);
    CHECK_EQUAL(passed(), 0);
    end();
}

/* Others cannot accept from its listeners, as with SO_REUSEPORT; this one minds them for long. */
static void test_listeners_of_its_own(void)
{
    begin(2);
    turn_all();
    loops[0].config.own_listeners = true;
    fw_slot_turn(&board->slots[0], 1);
    connect_client();
    uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
    while (loops[0].passed == 0 && CHECK(peer_now_ms() < end_ms))
        fw_loop_mind(&loops[0], NULL);
    CHECK(!loops[0].receiving && loops[0].listening);
    while (!answered(&clients[0]) && CHECK(peer_now_ms() < end_ms))
        turn(1);
    CHECK_EQUAL(loops[1].connections, 1);
    fw_slot_turn(&board->slots[0], 1);
    fault_clock_step(1);
    turn(0);
    turn(0);
    CHECK(loops[0].receiving);
    end();
}

static const struct fw_test tests[] = {
    {"burst that one worker accepts", test_burst_that_one_worker_accepts},
    {"one after the other", test_one_after_the_other},
    {"sibling in a call gets none", test_sibling_in_a_call_gets_none},
    {"nobody takes them", test_nobody_takes_them},
    {"share socket that is full", test_share_socket_that_is_full},
    {"without siblings", test_without_siblings},
    {"busy ones are evened", test_busy_ones_are_evened},
    {"they do not bounce", test_they_do_not_bounce},
    {"they do not bounce beside one that is stuck", test_they_do_not_bounce_beside_one_that_is_stuck},
    {"idle ones stay", test_idle_ones_stay},
    {"who is not busier keeps his", test_who_is_not_busier_keeps_his},
    {"idle siblings get one each", test_idle_siblings_get_one_each},
    {"quick calls stay", test_quick_calls_stay},
    {"the last one stays", test_the_last_one_stays},
    {"listeners of its own", test_listeners_of_its_own},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
