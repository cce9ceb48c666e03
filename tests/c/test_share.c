/* Tests of fw_share and of what fw_loop makes of it: two workers in one process pass connections to each
 * other, through a machine that fails on demand. */
#define _GNU_SOURCE
#include "app.h"
#include "fault.h"
#include "fw_share.h"
#include "fw_test.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { GIVE_UP_MS = 20000, CLIENTS_MOST = 64, FAMILIES = 3, WORKERS = 2 };
enum { HEAD_MS = 3000, BODY_MS = 4000, KEEPALIVE_MS = 60000, WRITE_MS = 6000, LINGER_MS = 1000 };

static struct fw_loop workers[WORKERS];
static struct fw_loop_config configs[WORKERS];
static struct fw_board *board;
static struct fw_share_page page;
static int listeners[FAMILIES], share[2];
static struct peer clients[CLIENTS_MOST];
static size_t client_count;
static int descriptors;
static uint64_t served[WORKERS];
static char seen[100]; /* who asked, in the last request */

static const struct fw_network loopback = {.family = FW_FAMILY_4, .bits = 32, .bytes = {127, 0, 0, 1}};

static void configure(void)
{
    fault_reset();
    fault_clock_stop();
    descriptors = fault_descriptors();
    board = fw_board_create(WORKERS);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, share) == 0);
    page = (struct fw_share_page){.magic = FW_SHARE_PAGE_MAGIC};
    for (uint32_t i = 0; i < WORKERS; i++) {
        configs[i] = (struct fw_loop_config){
            .limits = fw_limits_default(),
            .timeouts = {HEAD_MS, BODY_MS, KEEPALIVE_MS, WRITE_MS, LINGER_MS},
            .body_memory = 8000,
            .queue_mark = 10000000,
            .connections = 100,
            .grace_ms = 30000,
            .leave_idle_ms = 2000,
            .tmpdir = "/tmp",
            .server = "Server: test\r\n",
            .slot = &board->slots[i],
            .share = {.board = board,
                      .slot = &board->slots[i],
                      .page = &page,
                      .send = share[0],
                      .receive = share[1]},
            .proxy_mode = FW_PROXY_AUTO,
            .proxy_peers = {.each = &loopback, .count = 1},
        };
        served[i] = 0;
    }
    client_count = 0;
    app_only_echoes = false;
}

static void start(void)
{
    for (int family = 0; family < FAMILIES; family++)
        listeners[family] = peer_listen((enum peer_family)family);
    for (uint32_t i = 0; i < WORKERS; i++) {
        CHECK(fw_loop_init(&workers[i], &configs[i]));
        workers[i].even_at_ms = FW_LOOP_NEVER; /* who has which connection is for the test to say */
        fw_board_take(board, i);
        for (int family = 0; family < FAMILIES; family++)
            CHECK(fw_loop_add_listener(&workers[i], listeners[family], family == PEER_UNIX));
        atomic_store(&board->slots[i].state, FW_SLOT_SERVING);
    }
}

static void begin(void)
{
    configure();
    start();
}

static void end(void)
{
    while (client_count > 0)
        peer_close(&clients[--client_count]);
    for (int i = 0; i < WORKERS; i++)
        fw_loop_drop(&workers[i]);
    for (int family = 0; family < FAMILIES; family++)
        close(listeners[family]);
    close(share[0]);
    close(share[1]);
    fw_board_destroy(board);
    CHECK_EQUAL(fault_blocks(), 0);
    CHECK_EQUAL(fault_descriptors(), descriptors);
}

static void check_lists(const struct fw_loop *loop)
{
    uint32_t all = 0;
    for (int kind = FW_QUEUE_NONE + 1; kind < FW_QUEUE_COUNT; kind++) {
        const struct fw_conn *before = NULL;
        for (const struct fw_conn *conn = loop->queues[kind].first; conn != NULL; conn = conn->next) {
            CHECK(conn->prev == before && conn->queue == kind && conn->state != FW_CONN_CLOSED);
            if (kind < FW_QUEUE_TIMED && before != NULL)
                CHECK(before->since_ms <= conn->since_ms);
            before = conn;
            all++;
        }
        CHECK(loop->queues[kind].last == before);
    }
    CHECK_EQUAL(all, loop->connections);
}

static void hear(void)
{
    for (size_t i = 0; i < client_count; i++)
        if (clients[i].fd >= 0)
            peer_read(&clients[i]);
}

static void turn(int worker)
{
    struct fw_loop *loop = &workers[worker];
    struct fw_conn *conn;
    fw_loop_step(loop);
    while (atomic_load(&loop->stop) != FW_STOP_NOW && (conn = fw_loop_take(loop)) != NULL) {
        snprintf(seen, sizeof seen, "%d %.*s %.*s", conn->listener, conn->addr_len, conn->addr,
                 conn->port_len, conn->port_text);
        app_serve(conn, loop);
        fw_loop_give(loop, conn);
        served[worker]++;
    }
    check_lists(loop);
    hear();
}

/* A turn of a worker whose application has the stage: its understudy's. */
static void mind(int worker)
{
    fw_loop_mind(&workers[worker], NULL);
    check_lists(&workers[worker]);
    hear();
}

#define UNTIL(condition, what)                                                                               \
    do {                                                                                                     \
        uint64_t end_ms_ = peer_now_ms() + GIVE_UP_MS;                                                       \
        while (!(condition) && CHECK(peer_now_ms() < end_ms_ && #condition)) {                               \
            what;                                                                                            \
        }                                                                                                    \
    } while (0)

static void say(struct peer *client, const char *text)
{
    CHECK_EQUAL(peer_write(client, text, strlen(text)), strlen(text));
}

/* A connection that this worker has accepted, and no other. */
static struct peer *accepted(int worker, enum peer_family family)
{
    uint32_t before = workers[worker].connections;
    struct peer *client = &clients[client_count++];
    *client = (struct peer){.fd = peer_connect(listeners[family])};
    UNTIL(workers[worker].connections > before, turn(worker));
    return client;
}

static int answers_of(const struct peer *client, int status, bool closing)
{
    struct answer answer = {0};
    size_t at = 0;
    int count = 0;
    while (at < client->got.len && count >= 0) {
        long n = answer_read(&answer, client->got.data + at, client->got.len - at, false, client->ended);
        at += n > 0 ? (size_t)n : 0;
        count = n > 0 && answer.status == status && answer.close == closing ? count + 1 : -1;
    }
    answer_drop(&answer);
    return count;
}

static bool has_answers(const struct peer *client, int count)
{
    return answers_of(client, 200, false) == count;
}

static const char hello[] = "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n";

static struct peer *asked(int worker, enum peer_family family)
{
    struct peer *client = accepted(worker, family);
    say(client, hello);
    UNTIL(has_answers(client, 1), turn(worker));
    return client;
}

static void leave(int worker)
{
    fw_loop_stop(&workers[worker], FW_STOP_RECYCLE);
    turn(worker);
}

/* --- leaving --- */

static void idle_connections_go_to_who_serves(void)
{
    begin();
    for (int family = 0; family < FAMILIES; family++) {
        asked(0, (enum peer_family)family);
        accepted(0, (enum peer_family)family);
    }
    atomic_store(&board->slots[1].state, FW_SLOT_RETIRING); /* which serves as well */
    leave(0);
    CHECK(fw_loop_done(&workers[0]) && workers[0].connections == 0);
    UNTIL(workers[1].connections == 2 * FAMILIES, turn(1));
    for (size_t i = 0; i < client_count; i++) {
        int before = i % 2 == 0;
        say(&clients[i], hello);
        UNTIL(has_answers(&clients[i], before + 1), turn(1));
        CHECK_EQUAL(seen[0] - '0', i / 2);
        CHECK(!clients[i].ended && !clients[i].reset);
    }
    end();
}

/* Listeners stand in another order there, and some are missing. */
static void places_are_found_by_their_address(void)
{
    configure();
    configs[1].connections = 1000;
    for (int family = 0; family < FAMILIES; family++)
        listeners[family] = peer_listen((enum peer_family)family);
    CHECK(fw_loop_init(&workers[0], &configs[0]) && fw_loop_init(&workers[1], &configs[1]));
    workers[0].even_at_ms = workers[1].even_at_ms = FW_LOOP_NEVER;
    for (int family = 0; family < FAMILIES; family++)
        CHECK(fw_loop_add_listener(&workers[0], listeners[family], family == PEER_UNIX));
    CHECK(fw_loop_add_listener(&workers[1], listeners[PEER_UNIX], true));
    CHECK(fw_loop_add_listener(&workers[1], listeners[PEER_V4], false));
    for (uint32_t i = 0; i < WORKERS; i++) {
        fw_board_take(board, i);
        atomic_store(&board->slots[i].state, FW_SLOT_SERVING);
    }
    struct peer *four = asked(0, PEER_V4), *six = asked(0, PEER_V6), *local = asked(0, PEER_UNIX);
    leave(0);
    UNTIL(workers[1].connections == 2, turn(1));
    say(four, hello);
    UNTIL(has_answers(four, 2), turn(1));
    CHECK_EQUAL(seen[0], '1');
    say(local, hello);
    UNTIL(has_answers(local, 2), turn(1));
    CHECK_EQUAL(seen[0], '0');
    /* its worker still has it, and ends it as if there were nobody */
    CHECK_EQUAL(workers[0].connections, 1);
    say(six, hello);
    UNTIL(has_answers(six, 2), turn(0));
    fault_clock_wait(2000);
    UNTIL(six->ended, turn(0));
    end();
}

static void answers_are_finished_first(void)
{
    begin();
    struct peer *large = asked(0, PEER_UNIX), *row = asked(0, PEER_V4), *half = asked(0, PEER_V4),
                *body = asked(0, PEER_V4);
    say(large, "GET /large/3000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    say(row, hello);
    say(row, hello);
    say(row, "GET /ec");
    say(half, "G");
    say(body, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    UNTIL(has_answers(row, 3), turn(0));
    leave(0);
    CHECK_EQUAL(workers[0].connections,
                2); /* the one that takes its answer, and the one that sends its body */
    UNTIL(workers[1].connections == 2, turn(1));
    say(body, "cd");
    UNTIL(has_answers(body, 2) && has_answers(large, 2), turn(0));
    UNTIL(workers[0].connections == 0, turn(0));
    say(row, "ho HTTP/1.1\r\nHost: a\r\n\r\n");
    say(half, hello + 1);
    say(large, hello);
    say(body, hello);
    UNTIL(has_answers(row, 4) && has_answers(half, 2) && has_answers(large, 3) && has_answers(body, 3),
          turn(1));
    CHECK_EQUAL(served[1], 4);
    end();
}

static void deadlines_run_on(void)
{
    begin();
    struct peer *head = asked(0, PEER_V4), *idle = asked(0, PEER_V4), *fresh = accepted(0, PEER_V4);
    say(head, "GET /");
    turn(0);
    turn(0);
    fault_clock_step(20); /* too short a time to be forgiven */
    for (int i = 0; i < 100; i++) {
        fault_clock_step(20);
        turn(0);
    }
    struct peer *young = asked(1, PEER_V4);
    say(young, "GET /");
    turn(1);
    leave(0);
    UNTIL(workers[1].connections == 4, turn(1));
    fault_clock_wait(HEAD_MS - 2020 - 100);
    UNTIL(fault_clock_left() == 0, turn(1));
    turn(1);
    CHECK(!head->ended && !fresh->ended);
    fault_clock_wait(200);
    UNTIL(answers_of(fresh, 200, false) == 0 && fresh->ended, turn(1)); /* it never has begun */
    UNTIL(head->got.len > 0 && head->ended, turn(1));
    CHECK(!young->ended && !idle->ended);
    say(idle, hello);
    UNTIL(has_answers(idle, 2), turn(1));
    end();
}

static void nobody_is_there(void)
{
    static const enum fw_slot_state states[] = {FW_SLOT_BOOTING, FW_SLOT_LEAVING, FW_SLOT_FREE};
    for (size_t i = 0; i < COUNT_OF(states) + 4; i++) {
        begin();
        struct peer *client = asked(0, PEER_V4);
        if (i < COUNT_OF(states))
            atomic_store(&board->slots[1].state, states[i]);
        else if (i == COUNT_OF(states))
            atomic_store(&board->slots[1].dismissed, 1);
        else if (i == COUNT_OF(states) + 1)
            atomic_store(&board->ending, 1);
        else if (i == COUNT_OF(states) + 2)
            atomic_store(&board->slots[1].connections, 100);
        else
            atomic_store(&board->slots[1].places, 0); /* a template */
        leave(0);
        CHECK_EQUAL(workers[0].connections, 1);
        say(client, hello);
        UNTIL(client->ended, turn(0));
        CHECK(strstr(client->got.data, "Connection: close") != NULL);
        turn(1);
        CHECK_EQUAL(workers[1].connections, 0);
        end();
    }
}

static void the_arbiter_is_gone(void)
{
    for (int replaced = 0; replaced < 2; replaced++) {
        int life[2];
        begin();
        CHECK(pipe(life) == 0);
        CHECK(fw_loop_watch(&workers[0], life[0]));
        asked(0, PEER_V4);
        atomic_store(&page.serving[1], replaced ? 1u : 0u);
        close(life[1]);
        UNTIL(workers[0].leaving, turn(0));
        turn(0);
        CHECK_EQUAL(workers[0].connections, !replaced);
        close(life[0]);
        end();
    }
}

/* The server ends, and there is another one, whose workers are on another board. */
static void another_server_takes_over(void)
{
    begin();
    struct peer *client = asked(0, PEER_V4);
    atomic_store(&board->ending, 1);
    atomic_store(&page.serving[1], 1);
    fw_loop_stop(&workers[0], FW_STOP_GRACEFUL);
    turn(0);
    CHECK_EQUAL(workers[0].connections, 0);
    say(client, hello);
    UNTIL(has_answers(client, 2), turn(1));
    end();
}

/* What was passed to somebody who then has left as well is served by the last one, as a backlog is. */
static void the_last_one_serves_what_waits(void)
{
    begin();
    struct peer *client = asked(0, PEER_V4);
    say(client, "GET /ec");
    turn(0);
    leave(0);
    CHECK_EQUAL(workers[0].connections, 0);
    atomic_store(&board->slots[0].state, FW_SLOT_FREE);
    atomic_store(&board->ending, 1);
    fw_loop_stop(&workers[1], FW_STOP_GRACEFUL);
    say(client, "ho HTTP/1.1\r\nHost: a\r\n\r\n");
    UNTIL(client->ended, turn(1));
    CHECK_EQUAL(served[1], 1);
    end();
}

/* Whoever was there has gone when the message is sent: it is taken back. */
static void leave_meanwhile(enum fault_call call)
{
    if (call == FAULT_sendmsg)
        atomic_store(&board->slots[1].state, FW_SLOT_LEAVING);
}

static void nobody_is_there_any_more(void)
{
    begin();
    struct peer *client = asked(0, PEER_V4), *half = asked(0, PEER_UNIX);
    say(half, "GET /ec");
    turn(0);
    fault_meanwhile = leave_meanwhile;
    leave(0);
    CHECK_EQUAL(workers[0].connections, 2);
    CHECK(workers[0].passed > 0);
    CHECK_EQUAL(workers[0].received, workers[0].passed);
    say(client, hello);
    say(half, "ho HTTP/1.1\r\nHost: a\r\n\r\n");
    UNTIL(client->ended && half->ended, turn(0));
    CHECK_EQUAL(served[0], 4);
    end();
}

/* One that was to receive has died: it is for the next. */
static void a_message_waits_for_another(void)
{
    begin();
    struct peer *client = asked(0, PEER_V4);
    say(client, "GET /ec");
    turn(0);
    leave(0);
    CHECK_EQUAL(workers[0].connections, 0);
    fw_loop_drop(&workers[1]);
    fw_slot_clear(&board->slots[1]);
    CHECK(fw_loop_init(&workers[1], &configs[1]));
    CHECK(fw_loop_add_listener(&workers[1], listeners[PEER_V4], false));
    say(client, "ho HTTP/1.1\r\nHost: a\r\n\r\n");
    UNTIL(has_answers(client, 2), turn(1));
    end();
}

/* --- stuck --- */

static void ready_requests_go_to_who_is_idle(void)
{
    begin();
    struct peer *a = asked(0, PEER_V4), *b = asked(0, PEER_UNIX), *c = asked(0, PEER_V4);
    atomic_store(&board->slots[1].turn, 1); /* in a call */
    say(a, hello);
    say(b, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcdGET /echo HTTP/1.1\r\n");
    say(c, "GET /ec");
    for (int i = 0; i < 10; i++)
        mind(0);
    CHECK_EQUAL(workers[0].queues[FW_QUEUE_READY].count, 2);
    CHECK_EQUAL(fault_wait_ms(), 2); /* until somebody is idle */
    atomic_store(&board->slots[1].turn, 2);
    mind(0);
    CHECK_EQUAL(workers[0].connections, 1);
    UNTIL(has_answers(a, 2) && has_answers(b, 2), turn(1));
    say(b, "Host: a\r\n\r\n");
    UNTIL(has_answers(b, 3), turn(1));
    /* back from its call, the worker has what was not passed */
    say(c, "ho HTTP/1.1\r\nHost: a\r\n\r\n");
    UNTIL(has_answers(c, 2), turn(0));
    end();
}

/* Nobody is there yet, and nothing but the board tells when somebody is. */
static void alone_an_understudy_looks_now_and_then(void)
{
    begin();
    atomic_store(&board->slots[1].state, FW_SLOT_BOOTING);
    struct peer *client = asked(0, PEER_V4);
    say(client, hello);
    UNTIL(workers[0].queues[FW_QUEUE_READY].count == 1, mind(0));
    mind(0);
    CHECK_EQUAL(fault_wait_ms(), 100);
    atomic_store(&board->slots[1].state, FW_SLOT_SERVING);
    mind(0);
    UNTIL(has_answers(client, 2), turn(1));
    end();
}

/* Which requests that are ready are as they came? */
static void what_was_changed_stays(void)
{
    static char long_one[20000];
    memset(long_one, 'x', sizeof long_one - 1);
    static const struct {
        const char *head;
        size_t body;
        bool goes;
    } cases[] = {
        {"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", 0, true},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6000\r\n\r\n", 6000, true},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n", 9000, false}, /* in a file */
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 0, false},
        {"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", 17000, false}, /* with too much behind it */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (int rewritten = 0; rewritten < 2; rewritten++) {
            fw_test_note("case %zu", i);
            configure();
            if (rewritten)
                configs[0].limits.rules = FW_RULES_REWRITE;
            start();
            struct peer *client = asked(0, PEER_V4);
            struct text whole = {0};
            text_add(&whole, cases[i].head, strlen(cases[i].head));
            text_add(&whole, long_one, cases[i].body);
            CHECK_EQUAL(peer_write(client, whole.data, whole.len), whole.len);
            text_drop(&whole);
            for (int turns = 0; turns < 50; turns++)
                mind(0);
            CHECK_EQUAL(workers[0].connections, !(cases[i].goes && !rewritten));
            UNTIL(served[0] + served[1] == 2, turn(cases[i].goes && !rewritten));
            end();
        }
    fw_test_note("%s", "");
}

/* --- proxies --- */

static void what_the_proxy_protocol_said_goes_along(void)
{
    static const char line[] = "PROXY TCP4 192.0.2.7 198.51.100.1 7777 443\r\n";
    for (int believed = 0; believed < 2; believed++) {
        configure();
        configs[1].proxy_peers.count = believed ? 1u : 0u;
        start();
        struct peer *client = accepted(0, PEER_V4), *begun = accepted(0, PEER_V4);
        say(client, line);
        say(client, hello);
        UNTIL(has_answers(client, 1), turn(0));
        CHECK(strcmp(seen, "0 192.0.2.7 7777") == 0);
        say(begun, "PROXY TCP4 192.");
        turn(0);
        turn(0);
        leave(0);
        UNTIL(workers[1].connections == 2, turn(1));
        say(client, hello);
        UNTIL(has_answers(client, 2), turn(1));
        CHECK((strcmp(seen, "0 192.0.2.7 7777") == 0) == believed);
        CHECK(strncmp(seen, believed ? "0 192.0.2.7" : "0 127.0.0.1", 11) == 0);
        say(begun, line + 15);
        say(begun, hello);
        UNTIL(begun->got.len > 0, turn(1));
        CHECK_EQUAL(answers_of(begun, believed ? 200 : 403, !believed), 1);
        end();
    }
}

/* --- failures --- */

static void a_full_share_socket(void)
{
    static const int problems[] = {EAGAIN, ENOBUFS, ETOOMANYREFS, EPIPE};
    for (size_t i = 0; i < COUNT_OF(problems); i++) {
        begin();
        struct peer *client = asked(0, PEER_V4);
        fault_fail(FAULT_sendmsg, 1, 3, problems[i]);
        leave(0);
        CHECK_EQUAL(workers[0].connections, 1);
        CHECK(fault_was_hit());
        say(client, hello); /* it is served where it is */
        UNTIL(has_answers(client, 2), turn(0));
        UNTIL(workers[0].connections == 0, turn(0));
        say(client, hello);
        UNTIL(has_answers(client, 3), turn(1));
        end();
    }
}

static void more_than_the_share_socket_holds(void)
{
    begin();
    int small = 1;
    CHECK(setsockopt(share[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
    for (int i = 0; i < CLIENTS_MOST; i++)
        asked(0, PEER_V4);
    leave(0);
    CHECK(workers[0].connections > 0);
    UNTIL(workers[0].connections == 0, (turn(1), turn(0)));
    UNTIL(workers[1].connections == CLIENTS_MOST, turn(1));
    for (size_t i = 0; i < client_count; i++) {
        say(&clients[i], hello);
        UNTIL(has_answers(&clients[i], 2), turn(1));
    }
    end();
}

static void a_receiver_without_descriptors(void)
{
    begin();
    struct peer *client = asked(0, PEER_V4);
    struct rlimit before, none;
    leave(0);
    getrlimit(RLIMIT_NOFILE, &before);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(next);
    none = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    UNTIL(workers[1].accept_errno != 0, turn(1));
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK_EQUAL(workers[1].accept_errno, EMFILE);
    CHECK(!workers[1].listening && !workers[1].receiving);
    UNTIL(client->ended || client->reset, hear());
    fault_clock_wait(300);
    UNTIL(workers[1].receiving, turn(1));
    end();
}

static void a_receiver_without_room(void)
{
    configure();
    configs[0].connections = 101;
    configs[1].connections = 1;
    start();
    struct peer *here = asked(1, PEER_V4), *client = asked(0, PEER_V4);
    leave(0); /* by its own measure there is room */
    CHECK_EQUAL(workers[0].connections, 0);
    for (int i = 0; i < 10; i++)
        turn(1);
    CHECK_EQUAL(workers[1].connections, 1);
    peer_close(here);
    say(client, hello);
    fault_clock_wait(200);
    UNTIL(has_answers(client, 2), turn(1));
    end();
}

/* A message as fw_share_send() makes them, and what is wrong with it. */
static char note[1024];
static size_t note_len;

static void send_note(size_t len, int count, int fd)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    int fds[2] = {fd, fd};
    struct iovec part = {note, len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        control.align = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                                         .cmsg_type = SCM_RIGHTS,
                                         .cmsg_len = CMSG_LEN((size_t)count * sizeof(int))};
        memcpy(CMSG_DATA(&control.align), fds, (size_t)count * sizeof(int));
    }
    CHECK_EQUAL(sendmsg(share[0], &message, 0), len);
}

static void messages_that_are_none(void)
{
    begin();
    struct peer *client = asked(0, PEER_V4);
    /* a good one, taken out of the socket with its descriptor */
    leave(0);
    int fd = -1;
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {note, sizeof note};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    note_len = (size_t)recvmsg(share[1], &message, 0);
    memcpy(&fd, CMSG_DATA(&control.align), sizeof fd);
    CHECK(fd >= 0 && note_len > 100);
    int before = fault_descriptors();

    struct fw_random random = {7};
    for (size_t i = 0; i < 400; i++) {
        char good[sizeof note];
        memcpy(good, note, sizeof note);
        size_t len = note_len, at = fw_random(&random, (uint32_t)note_len);
        int count = 1;
        if (i < note_len) {
            at = i;
            note[at] = (char)(note[at] ^ (1 << fw_random(&random, 8)));
        } else if (i % 4 == 0) {
            len = 1 + at % (note_len - 1);
        } else if (i % 4 == 1) {
            len = note_len + 1 + at % 50;
        } else if (i % 4 == 2) {
            count = 0;
        } else {
            count = 2;
        }
        /* What the note says of waiting, of having been used and of proxies may be anything: it is taken. */
        bool harmless = i >= 12 && i < note_len; /* behind what must be exact */
        send_note(len, count, fd);
        memcpy(note, good, sizeof note);
        uint64_t received = workers[1].received;
        turn(1);
        turn(1);
        CHECK(harmless || workers[1].received == received);
        CHECK(harmless || fault_descriptors() == before);
        if (workers[1].connections > 0) { /* its own descriptor of the same socket */
            fault_clock_wait(2 * KEEPALIVE_MS);
            UNTIL(workers[1].connections == 0, turn(1));
            fault_clock_wait(0);
        }
        CHECK_EQUAL(fault_descriptors(), before);
    }
    /* and the good one is still good */
    send_note(note_len, 1, fd);
    close(fd);
    say(client, hello);
    UNTIL(has_answers(client, 2), turn(1));
    end();
}

static void a_client_that_has_gone(void)
{
    begin();
    struct peer *client = asked(0, PEER_V4);
    struct linger now = {.l_onoff = 1};
    leave(0);
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    peer_close(client);
    UNTIL(workers[1].receiving, turn(1));
    for (int i = 0; i < 5; i++)
        turn(1);
    CHECK_EQUAL(workers[1].connections, 0);
    end();
}

/* What nobody has received is closed with the last end of the share. */
static void messages_that_nobody_reads(void)
{
    begin();
    struct peer *client = asked(0, PEER_V4);
    leave(0);
    hear();
    CHECK(!client->ended);
    close(share[0]);
    close(share[1]);
    UNTIL(client->ended, hear());
    share[0] = dup(0); /* for end() */
    share[1] = dup(0);
    workers[1].config.share.board = NULL;
    end();
}

/* Whatever fails, at whichever call: nothing leaks, and each client is answered in order or sees an end. */
static void every_call_fails_once(void)
{
    static const enum fault_call calls[] = {FAULT_alloc,     FAULT_sendmsg, FAULT_recvmsg,
                                            FAULT_epoll_ctl, FAULT_recv,    FAULT_send};
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        bool hit = true;
        for (unsigned long n = 1; hit && n < 1000; n++) {
            fw_test_note("%s %lu", fault_name(calls[i]), n);
            begin();
            struct peer *idle = asked(0, PEER_V4), *half = asked(0, PEER_UNIX), *ready = asked(0, PEER_V6);
            fault_fail(calls[i], n, 1, calls[i] == FAULT_alloc ? ENOMEM : ENOBUFS);
            say(half, "GET /ec");
            say(ready, hello);
            mind(0);
            mind(0);
            leave(0);
            for (int turns = 0; turns < 6; turns++) {
                turn(0);
                turn(1);
            }
            peer_write(half, "ho HTTP/1.1\r\nHost: a\r\n\r\n", 24);
            peer_write(idle, hello, sizeof hello - 1);
            fault_clock_wait(300);
            for (size_t c = 0; c < client_count; c++)
                UNTIL(clients[c].ended || clients[c].reset || answers_of(&clients[c], 200, false) == 2,
                      (turn(0), turn(1)));
            hit = fault_was_hit();
            end();
        }
        CHECK(!hit);
    }
    fw_test_note("%s", "");
}

/* To and fro, with requests in rows and in pieces: each is answered once, and in order. */
static void to_and_fro(void)
{
    enum { COUNT = 8, ROUNDS = 300 };
    begin();
    struct fw_random random = {3};
    struct text sent[COUNT] = {{0}};
    int asked_for[COUNT] = {0};
    for (int i = 0; i < COUNT; i++)
        accepted(0, (enum peer_family)(i % FAMILIES));
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < COUNT; i++) {
            if (sent[i].len < 200 && round < ROUNDS - 20) {
                asked_for[i]++;
                text_print(&sent[i], "GET /echo/%d HTTP/1.1\r\nHost: a\r\n\r\n", asked_for[i]);
            }
            size_t some = round < ROUNDS - 20 ? fw_random(&random, (uint32_t)sent[i].len + 1) : sent[i].len;
            text_take(&sent[i], peer_write(&clients[i], sent[i].data, some));
        }
        if (fw_random(&random, 3) > 0)
            mind(round % 2);
        turn((round + (int)fw_random(&random, 2)) % 2);
    }
    for (int i = 0; i < COUNT; i++) {
        UNTIL(has_answers(&clients[i], asked_for[i]), (turn(0), turn(1)));
        struct answer answer = {0};
        size_t at = 0;
        for (int number = 1; number <= asked_for[i]; number++) {
            char want[40];
            long n = answer_read(&answer, clients[i].got.data + at, clients[i].got.len - at, false, false);
            snprintf(want, sizeof want, "GET /echo/%d\n", number);
            CHECK(n > 0 && text_is(&answer.body, want));
            at += (size_t)n;
        }
        answer_drop(&answer);
        text_drop(&sent[i]);
    }
    CHECK(workers[0].passed > 10 && workers[1].passed > 10 && served[0] > 10 && served[1] > 10);
    CHECK_EQUAL(workers[0].passed + workers[1].passed, workers[0].received + workers[1].received);
    end();
}

/* Without siblings that leave or are stuck, sharing costs nothing. */
static void a_request_costs_what_it_did(void)
{
    begin();
    struct peer *client = accepted(0, PEER_V4);
    say(client, hello);
    UNTIL(has_answers(client, 1), turn(0));
    unsigned long ctls = fault_calls(FAULT_epoll_ctl);
    for (int i = 2; i <= 101; i++) {
        say(client, hello);
        UNTIL(has_answers(client, i), turn(0));
    }
    CHECK_EQUAL(fault_calls(FAULT_sendmsg), 0);
    CHECK_EQUAL(fault_calls(FAULT_recvmsg), 0);
    CHECK_EQUAL(fault_calls(FAULT_epoll_ctl), ctls);
    end();
}

static const struct fw_test tests[] = {
    {"idle_connections_go_to_who_serves", idle_connections_go_to_who_serves},
    {"places_are_found_by_their_address", places_are_found_by_their_address},
    {"answers_are_finished_first", answers_are_finished_first},
    {"deadlines_run_on", deadlines_run_on},
    {"nobody_is_there", nobody_is_there},
    {"the_arbiter_is_gone", the_arbiter_is_gone},
    {"another_server_takes_over", another_server_takes_over},
    {"the_last_one_serves_what_waits", the_last_one_serves_what_waits},
    {"nobody_is_there_any_more", nobody_is_there_any_more},
    {"a_message_waits_for_another", a_message_waits_for_another},
    {"ready_requests_go_to_who_is_idle", ready_requests_go_to_who_is_idle},
    {"alone_an_understudy_looks_now_and_then", alone_an_understudy_looks_now_and_then},
    {"what_was_changed_stays", what_was_changed_stays},
    {"what_the_proxy_protocol_said_goes_along", what_the_proxy_protocol_said_goes_along},
    {"a_full_share_socket", a_full_share_socket},
    {"more_than_the_share_socket_holds", more_than_the_share_socket_holds},
    {"a_receiver_without_descriptors", a_receiver_without_descriptors},
    {"a_receiver_without_room", a_receiver_without_room},
    {"messages_that_are_none", messages_that_are_none},
    {"a_client_that_has_gone", a_client_that_has_gone},
    {"messages_that_nobody_reads", messages_that_nobody_reads},
    {"every_call_fails_once", every_call_fails_once},
    {"to_and_fro", to_and_fro},
    {"a_request_costs_what_it_did", a_request_costs_what_it_did},
};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* from the clients of these tests */
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
