/* Tests of fw_baton: threads share a loop whose application takes all kinds of time; each client gets the
 * answers to its own requests, in order, and everybody comes home. Run under ThreadSanitizer as well. */
#define _GNU_SOURCE
#include "fw_test.h"
#include "peer.h"
#include "players.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PLAYERS = 4, CLIENTS = 6, REQUESTS = 150, GIVE_UP_MS = 20000 };

static struct fw_loop loop;
static int listener;
static _Atomic uint32_t inside, most_inside;

static void pause_us(uint32_t us)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
}

static void application(uint32_t us)
{
    uint32_t now = atomic_fetch_add(&inside, 1) + 1, most = atomic_load(&most_inside);
    while (now > most && !atomic_compare_exchange_weak(&most_inside, &most, now))
        ;
    if (us > 0)
        pause_us(us);
    atomic_fetch_sub(&inside, 1);
}

/* GET /TOKEN/MICROSECONDS is answered with TOKEN in two blocks, a call of the application before each. */
static void serve(struct fw_player *me, struct fw_conn *conn)
{
    char target[64] = "";
    unsigned token = 0, us = 0;
    struct fw_span span = conn->parser.head.target;
    memcpy(target, fw_conn_request(conn) + span.off, span.len < 63 ? span.len : 63);
    CHECK_EQUAL(sscanf(target, "/%u/%u", &token, &us), 2);
    players_lend(me, conn);
    application(us);
    players_take_back(me);
    CHECK_EQUAL(fw_resp_status(&conn->resp, &conn->out, &conn->env->blocks, "200 OK", 6), FW_OK);
    CHECK_EQUAL(fw_conn_begin(conn, -1), FW_OK);
    char block[16];
    int len = snprintf(block, sizeof block, "%u.", token);
    (void)fw_conn_write(conn, block, (size_t)len);
    players_lend(me, conn);
    application(us / 2);
    players_take_back(me);
    (void)fw_conn_write(conn, block, (size_t)len);
    CHECK_EQUAL(fw_resp_finish(&conn->resp, &conn->out, &conn->env->blocks), FW_OK);
    fw_player_answered(me, conn);
}

/* Sends requests, two at a time now and then, and reads their answers. */
static void *ask(void *argument)
{
    uint32_t number = *(uint32_t *)argument;
    struct fw_random random = {number + 1};
    struct text got = {0};
    struct answer answer = {0};
    int fd = peer_connect(listener);
    for (uint32_t i = 0; i < REQUESTS;) {
        uint32_t depth = i + 1 < REQUESTS && fw_random(&random, 3) == 0 ? 2 : 1;
        struct text out = {0};
        for (uint32_t j = 0; j < depth; j++) {
            uint32_t us = fw_random(&random, 4) == 0 ? fw_random(&random, 5000) : 0;
            text_print(&out, "GET /%u/%u HTTP/1.1\r\nHost: a\r\n\r\n", number * 100000 + i + j, us);
        }
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        CHECK_EQUAL(poll(&room, 1, GIVE_UP_MS), 1);
        CHECK_EQUAL(write(fd, out.data, out.len), out.len);
        text_drop(&out);
        for (uint32_t j = 0; j < depth;) {
            long used = answer_read(&answer, got.data, got.len, false, false);
            if (!CHECK(used >= 0))
                return NULL;
            if (used > 0) {
                char want[32];
                int len =
                    snprintf(want, sizeof want, "%u.%u.", number * 100000 + i + j, number * 100000 + i + j);
                CHECK(answer.status == 200 && answer.body.len == (size_t)len && text_is(&answer.body, want));
                text_take(&got, (size_t)used);
                j++;
                continue;
            }
            char buf[4096];
            struct pollfd ready = {.fd = fd, .events = POLLIN};
            ssize_t n = poll(&ready, 1, GIVE_UP_MS) == 1 ? read(fd, buf, sizeof buf) : -1;
            if (!CHECK(n > 0))
                return NULL;
            text_add(&got, buf, (size_t)n);
        }
        i += depth;
    }
    CHECK_EQUAL(got.len, 0);
    close(fd);
    text_drop(&got);
    answer_drop(&answer);
    return NULL;
}

static void answers_are_those_of_their_requests(uint32_t players)
{
    struct fw_loop_config config = {
        .limits = fw_limits_default(),
        .timeouts = {GIVE_UP_MS, GIVE_UP_MS, GIVE_UP_MS, GIVE_UP_MS, 100},
        .body_memory = 1 << 16,
        .queue_mark = 1 << 20,
        .connections = CLIENTS,
        .grace_ms = GIVE_UP_MS,
        .tmpdir = "/tmp",
        .server = "Server: x\r\n",
    };
    struct fw_board *board = fw_board_create(1);
    pthread_t threads[PLAYERS], clients[CLIENTS];
    uint32_t numbers[CLIENTS];
    config.slot = &board->slots[0];
    atomic_store(&most_inside, 0);
    CHECK(fw_loop_init(&loop, &config));
    listener = peer_listen(PEER_V4);
    CHECK(fw_loop_add_listener(&loop, listener, false));
    stage.loop = &loop;
    stage.serve = serve;
    CHECK(fw_monitor_init(&stage.monitor, &loop, players));
    for (uint32_t i = 0; i < players; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, players_play, &stage.monitor.baton.players[i]), 0);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        numbers[i] = i;
        CHECK_EQUAL(pthread_create(&clients[i], NULL, ask, &numbers[i]), 0);
    }
    for (uint32_t i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    fw_loop_stop(&loop, FW_STOP_GRACEFUL);
    for (uint32_t i = 0; i < players; i++)
        pthread_join(threads[i], NULL);
    fw_baton_last(&stage.monitor.baton);
    CHECK_EQUAL(loop.requests, CLIENTS * REQUESTS);
    CHECK_EQUAL(board->slots[0].requests, CLIENTS * REQUESTS);
    CHECK_EQUAL(board->slots[0].turn % 2, 0);
    CHECK_EQUAL(loop.connections, 0);
    CHECK(atomic_load(&most_inside) <= players);
    CHECK(players == 1 || atomic_load(&most_inside) > 1);
    fw_monitor_drop(&stage.monitor);
    fw_loop_drop(&loop);
    close(listener);
    fw_board_destroy(board);
}

static void one_player(void)
{
    answers_are_those_of_their_requests(1);
}

static void two_players(void)
{
    answers_are_those_of_their_requests(2);
}

static void four_players(void)
{
    answers_are_those_of_their_requests(PLAYERS);
}

static const struct fw_test tests[] = {
    {"one_player", one_player},
    {"two_players", two_players},
    {"four_players", four_players},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
