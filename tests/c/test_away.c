/* Tests of a player that is away: it waits for its client within the limits of the loop, and what it has to
 * tell comes back with its connection. One thread plays both parts. */
#include "fw_monitor.h"
#include "fw_test.h"
#include "peer.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Long enough to be told from no wait at all, and short enough for a test. */
enum { SHORT_MS = 50, LONG_MS = 20000, TAKES_MOST = 1000 };

static struct fw_loop loop;
static struct fw_monitor monitor;
static struct fw_player *me, *other;
static struct fw_conn *conn;
static struct peer client;
static int listener;

/* A player is away with this request. */
static void begin(struct fw_timeouts timeouts, bool early, const char *request)
{
    struct fw_loop_config config = {
        .limits = fw_limits_default(),
        .timeouts = timeouts,
        .body_early = early,
        .body_memory = 1, /* which is for bodies that are read before */
        .queue_mark = 1 << 16,
        .connections = 8,
        .grace_ms = LONG_MS,
        .tmpdir = "/tmp",
        .server = "Server: x\r\n",
    };
    CHECK(fw_loop_init(&loop, &config));
    listener = peer_listen(PEER_V4);
    CHECK(fw_loop_add_listener(&loop, listener, false));
    CHECK(fw_monitor_init(&monitor, &loop, 2));
    me = &monitor.baton.players[0];
    other = &monitor.baton.players[1];
    client = (struct peer){.fd = peer_connect(listener)};
    conn = NULL;
    size_t sent = 0;
    for (int i = 0; conn == NULL && i < TAKES_MOST; i++) {
        sent += peer_write(&client, request + sent, strlen(request) - sent);
        fw_loop_wake(&loop);
        fw_baton_step(&monitor.baton);
        conn = fw_loop_take(&loop);
    }
    if (!CHECK(conn != NULL))
        return;
    monitor.baton.spares = other;
    CHECK(fw_baton_pass(&monitor.baton, me, conn));
    CHECK(me->away);
    CHECK(!fw_monitor_reclaim(&monitor, me));
}

/* It comes back, and becomes a spare one that is called at once; the other one takes the connection. */
static void come_back(void)
{
    atomic_store(&me->called, 1);
    CHECK(fw_baton_return(&monitor.baton, me));
    fw_baton_collect(&monitor.baton);
}

static void end(void)
{
    if (atomic_load(&me->away)) {
        fw_player_cut(me, conn, FW_E_APP_FAILED);
        come_back();
    }
    fw_monitor_drop(&monitor);
    fw_loop_drop(&loop);
    peer_close(&client);
    close(listener);
}

static enum fw_pull pull(void)
{
    enum fw_pull got = fw_conn_body_pull(conn);
    for (int i = 0; got == FW_PULL_WAIT && i < TAKES_MOST; i++)
        got = fw_player_wait_body(&monitor.baton, me);
    return got;
}

static void wait_room(void)
{
    for (int i = 0; fw_player_wait_room(&monitor.baton, me) && i < TAKES_MOST; i++)
        ;
}

/* More than any socket takes. */
static void fill(void)
{
    static const char block[1 << 16] = {'x'};
    CHECK_EQUAL(fw_resp_status(&conn->resp, &conn->out, &conn->env->blocks, "200 OK", 6), FW_OK);
    CHECK_EQUAL(fw_conn_begin(conn, -1), FW_OK);
    for (int i = 0; i < 1000 && !fw_conn_full(conn); i++)
        CHECK_EQUAL(fw_conn_write(conn, block, sizeof block), FW_OK);
    CHECK(fw_conn_full(conn));
}

#define POST "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
#define GET  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

static void a_body_that_comes(void)
{
    begin((struct fw_timeouts){LONG_MS, LONG_MS, LONG_MS, LONG_MS, 0, 1, 1}, true, POST "\r\n");
    char got[4];
    peer_write(&client, "ab", 2);
    CHECK_EQUAL(pull(), FW_PULL_GOT);
    CHECK_EQUAL(conn->body_len, 2);
    peer_write(&client, "cd", 2);
    CHECK_EQUAL(pull(), FW_PULL_GOT);
    CHECK_EQUAL(fw_conn_body_read(conn, 2, got, 2), 2);
    CHECK(memcmp(got, "cd", 2) == 0);
    CHECK_EQUAL(conn->body_fd, -1);
    CHECK_EQUAL(pull(), FW_PULL_END);
    fw_player_refuse(me, conn, FW_E_APP_FAILED);
    come_back();
    peer_read(&client);
    CHECK(client.got.len > 12 && memcmp(client.got.data, "HTTP/1.1 500", 12) == 0);
    CHECK_EQUAL(loop.requests, 1);
    end();
}

static void continue_is_said(void)
{
    begin((struct fw_timeouts){LONG_MS, SHORT_MS, LONG_MS, LONG_MS, 0, 0, 0}, true,
          POST "Expect: 100-continue\r\n\r\n");
    CHECK_EQUAL(pull(), FW_PULL_FAILED);
    CHECK_EQUAL(conn->body_error, FW_E_BODY_TIMEOUT);
    peer_read(&client);
    CHECK(text_is(&client.got, "HTTP/1.1 100 Continue\r\n\r\n"));
    end();
}

static void a_body_that_ends_early(void)
{
    begin((struct fw_timeouts){LONG_MS, LONG_MS, LONG_MS, LONG_MS, 0, 0, 0}, true, POST "\r\nab");
    CHECK_EQUAL(conn->body_len, 2);
    shutdown(client.fd, SHUT_WR);
    CHECK_EQUAL(pull(), FW_PULL_FAILED);
    CHECK_EQUAL(conn->body_error, FW_E_PEER_CLOSED);
    end();
}

static void a_body_that_comes_too_slowly(void)
{
    begin((struct fw_timeouts){LONG_MS, LONG_MS, LONG_MS, LONG_MS, 0, 1000, 0}, true, POST "\r\n");
    conn->credit_ns = 1; /* the grace is used up */
    peer_write(&client, "a", 1);
    CHECK_EQUAL(fw_player_wait_body(&monitor.baton, me), FW_PULL_GOT);
    conn->credit_ns = -LONG_MS * (int64_t)1000000;
    CHECK_EQUAL(pull(), FW_PULL_FAILED);
    CHECK_EQUAL(conn->body_error, FW_E_BODY_RATE);
    end();
}

static void a_worker_that_stops(void)
{
    begin((struct fw_timeouts){LONG_MS, LONG_MS, LONG_MS, LONG_MS, 0, 0, 0}, true, POST "\r\n");
    fw_loop_stop(&loop, FW_STOP_NOW);
    CHECK_EQUAL(pull(), FW_PULL_FAILED);
    CHECK_EQUAL(conn->body_error, FW_E_STOPPING);
    end();
    begin((struct fw_timeouts){LONG_MS, LONG_MS, LONG_MS, LONG_MS, 0, 0, 0}, false, GET);
    fill();
    fw_loop_stop(&loop, FW_STOP_NOW);
    wait_room();
    CHECK_EQUAL(conn->error, FW_E_STOPPING);
    end();
}

/* The error log is told of by who has the loop. */
static void is_told(enum fw_error error)
{
    CHECK_EQUAL(conn->error, error);
    CHECK(conn->reset);
    CHECK_EQUAL(loop.env.refusals.count, 0);
    fw_player_answered(me, conn);
    come_back();
    CHECK_EQUAL(loop.env.refusals.count, 1);
    CHECK_EQUAL(loop.env.refusals.each[0].error, error);
    CHECK_EQUAL(me->env.refusals.count, 0);
    CHECK_EQUAL(loop.connections, 0);
    end();
}

static void an_answer_that_nobody_takes(void)
{
    begin((struct fw_timeouts){LONG_MS, LONG_MS, LONG_MS, SHORT_MS, 0, 0, 0}, false, GET);
    fill();
    wait_room();
    is_told(FW_E_WRITE_TIMEOUT);
}

static void an_answer_that_is_taken_too_slowly(void)
{
    begin((struct fw_timeouts){LONG_MS, LONG_MS, LONG_MS, LONG_MS, 0, 0, 1000}, false, GET);
    fill();
    conn->progress = 0;
    conn->credit_ns = 0;
    wait_room();
    is_told(FW_E_WRITE_RATE);
}

static void waiting_counts_against_the_rate(void)
{
    begin((struct fw_timeouts){LONG_MS, LONG_MS, LONG_MS, LONG_MS, 0, 0, 1000}, false, GET);
    fill();
    int64_t before;
    int waits = 0;
    do
        before = conn->credit_ns;
    while (fw_player_wait_room(&monitor.baton, me) && conn->credit_ns >= before && waits++ < TAKES_MOST);
    CHECK(conn->credit_ns < before);
    CHECK_EQUAL(conn->error, FW_OK);
    end();
}

static void an_answer_that_is_taken(void)
{
    begin((struct fw_timeouts){LONG_MS, LONG_MS, LONG_MS, LONG_MS, 0, 0, 1000}, false, GET);
    fill();
    for (int i = 0; fw_player_wait_room(&monitor.baton, me) && i < TAKES_MOST; i++)
        peer_read(&client);
    CHECK_EQUAL(conn->error, FW_OK);
    CHECK(!fw_conn_waits(conn));
    CHECK_EQUAL(me->waits_for, FW_QUEUE_NONE);
    end();
}

/* Where it was taken with the loop, which has gone meanwhile; and the board has nobody who might be stuck. */
static void a_socket_comes_back(bool closed)
{
    struct fw_board *board = fw_board_create(1);
    begin((struct fw_timeouts){LONG_MS, LONG_MS, LONG_MS, LONG_MS, 0, 0, 0}, false, GET);
    loop.config.slot = &board->slots[0];
    atomic_store(&loop.shown, conn);
    board->slots[0].turn = 1;
    int fd = fw_loop_hand_over(&loop, conn);
    fw_loop_wake(&loop);
    fw_baton_step(&monitor.baton);
    CHECK(loop.shown == NULL);
    CHECK_EQUAL(board->slots[0].turn % 2, 0);
    if (closed)
        close(fd);
    fw_player_take_back(me, conn, closed ? -1 : fd);
    CHECK_EQUAL(conn->state, FW_CONN_APP);
    CHECK_EQUAL(loop.connections, 1);
    come_back();
    for (int i = 0; loop.connections > 0 && i < TAKES_MOST; i++)
        fw_baton_step(&monitor.baton); /* it is lingered for */
    CHECK_EQUAL(loop.connections, 0);
    peer_read(&client);
    CHECK(client.ended && client.got.len == 0);
    end();
    fw_board_destroy(board);
}

static void a_socket_that_was_taken(void)
{
    a_socket_comes_back(false);
    a_socket_comes_back(true);
}

static const struct fw_test tests[] = {
    {"a_body_that_comes", a_body_that_comes},
    {"continue_is_said", continue_is_said},
    {"a_body_that_ends_early", a_body_that_ends_early},
    {"a_body_that_comes_too_slowly", a_body_that_comes_too_slowly},
    {"a_worker_that_stops", a_worker_that_stops},
    {"an_answer_that_nobody_takes", an_answer_that_nobody_takes},
    {"an_answer_that_is_taken_too_slowly", an_answer_that_is_taken_too_slowly},
    {"waiting_counts_against_the_rate", waiting_counts_against_the_rate},
    {"an_answer_that_is_taken", an_answer_that_is_taken},
    {"a_socket_that_was_taken", a_socket_that_was_taken},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
