/* Tests of fw_loop: real listeners and clients, app.c for an application, a clock that is stepped. */
#define _GNU_SOURCE
#include "app.h"
#include "cases.h"
#include "fault.h"
#include "fw_test.h"
#include "peer.h"
#include "script.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GIVE_UP_MS = 20000, CLIENTS_MOST = 200, FAMILIES = 3 };
enum {
    HEAD_MS = 3000,
    BODY_MS = 4000,
    KEEPALIVE_MS = 5000,
    WRITE_MS = 6000,
    LINGER_MS = 1000,
    GRACE_MS = 30000,
    LEAVE_IDLE_MS = 2000
};

static struct fw_loop loop;
static struct fw_loop_config config;
static struct fw_board *board;
static int listeners[FAMILIES];
static struct peer clients[CLIENTS_MOST];
static size_t client_count;
static int descriptors;
static void (*before_serving)(struct fw_conn *conn);

static void configure(void)
{
    fault_reset();
    fault_clock_stop();
    descriptors = fault_descriptors();
    board = fw_board_create(1);
    config = (struct fw_loop_config){
        .limits = fw_limits_default(),
        .timeouts = {HEAD_MS, BODY_MS, KEEPALIVE_MS, WRITE_MS, LINGER_MS},
        .body_memory = 8000,
        .queue_mark = 100000,
        .connections = 1000,
        .grace_ms = GRACE_MS,
        .leave_idle_ms = LEAVE_IDLE_MS,
        .tmpdir = "/tmp",
        .server = "Server: test\r\n",
        .slot = &board->slots[0],
    };
    client_count = 0;
    before_serving = NULL;
    app_while_waiting = NULL;
    app_only_echoes = false;
}

static void start(void)
{
    CHECK(fw_loop_init(&loop, &config));
    for (int family = 0; family < FAMILIES; family++) {
        listeners[family] = peer_listen((enum peer_family)family);
        CHECK(fw_loop_add_listener(&loop, listeners[family], family == PEER_UNIX));
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
    fw_loop_drop(&loop);
    for (int family = 0; family < FAMILIES; family++)
        close(listeners[family]);
    fw_board_destroy(board);
    CHECK_EQUAL(fault_blocks(), 0);
    CHECK_EQUAL(fault_descriptors(), descriptors);
}

/* The lists are lists, in order of time, and every open connection stands in one. */
static void check_lists(void)
{
    uint32_t all = 0;
    for (int kind = FW_QUEUE_NONE + 1; kind < FW_QUEUE_COUNT; kind++) {
        const struct fw_queue *queue = &loop.queues[kind];
        const struct fw_conn *before = NULL;
        uint32_t count = 0;
        for (const struct fw_conn *conn = queue->first; conn != NULL && count <= loop.connections;
             conn = conn->next) {
            CHECK(conn->prev == before && conn->queue == kind && conn->state != FW_CONN_CLOSED &&
                  conn->fd >= 0);
            if (kind < FW_QUEUE_TIMED && before != NULL)
                CHECK(before->since_ms <= conn->since_ms);
            if (conn->state == FW_CONN_IDLE && kind < FW_QUEUE_TIMED)
                CHECK(conn->in.data == NULL && conn->out.data == NULL && conn->parser.head.fields == NULL);
            before = conn;
            count++;
        }
        CHECK(queue->last == before && queue->count == count);
        all += count;
    }
    CHECK_EQUAL(all, loop.connections);
    CHECK_EQUAL(board->slots[0].connections, loop.connections);
    CHECK_EQUAL(board->slots[0].turn % 2, 0);
    CHECK_EQUAL(board->slots[0].requests, loop.requests);
}

static void turn(void)
{
    struct fw_conn *conn;
    fw_loop_step(&loop);
    while (atomic_load(&loop.stop) != FW_STOP_NOW && (conn = fw_loop_take(&loop)) != NULL) {
        CHECK(conn->state == FW_CONN_APP && conn->queue == FW_QUEUE_NONE);
        CHECK_EQUAL(board->slots[0].turn % 2, 1);
        if (before_serving != NULL)
            before_serving(conn);
        app_serve(conn, &loop);
        fw_loop_give(&loop, conn);
    }
    check_lists();
    for (size_t i = 0; i < client_count; i++)
        if (clients[i].fd >= 0)
            peer_read(&clients[i]);
}

/* Turns until the condition holds. */
#define TURN_UNTIL(condition)                                                                                \
    do {                                                                                                     \
        uint64_t end_ms_ = peer_now_ms() + GIVE_UP_MS;                                                       \
        while (!(condition) && CHECK(peer_now_ms() < end_ms_ && #condition))                                 \
            turn();                                                                                          \
    } while (0)

/* Turns in which so much time passes. */
static void pass(uint64_t ms)
{
    fault_clock_wait(ms);
    TURN_UNTIL(fault_clock_left() == 0);
    turn();
}

/* Some turns, for what must not happen in them. */
static void turns(int count)
{
    while (count-- > 0)
        turn();
}

static struct peer *connect_to(enum peer_family family)
{
    struct peer *client = &clients[client_count++];
    *client = (struct peer){.fd = peer_connect(listeners[family])};
    return client;
}

/* A connection that the loop has accepted. */
static struct peer *accepted(enum peer_family family)
{
    uint32_t before = loop.connections;
    struct peer *client = connect_to(family);
    TURN_UNTIL(loop.connections > before);
    return client;
}

static void say(struct peer *client, const char *text)
{
    CHECK_EQUAL(peer_write(client, text, strlen(text)), strlen(text));
}

/* How many whole answers with this status are there, one behind the other; -1: something else is there, too.
 */
static int answers_of(const struct peer *client, int status)
{
    struct answer answer = {0};
    size_t at = 0;
    int count = 0;
    while (at < client->got.len && count >= 0) {
        long n = answer_read(&answer, client->got.data + at, client->got.len - at, false, client->ended);
        at += n > 0 ? (size_t)n : 0;
        count = n > 0 && answer.status == status ? count + 1 : -1;
    }
    answer_drop(&answer);
    return count;
}

static bool has_answers(const struct peer *client, int count)
{
    return answers_of(client, 200) == count;
}

static const char hello[] = "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n";

/* --- serving --- */

static char seen_addr[FW_CONN_ADDR_MAX + 1];
static uint16_t seen_port, seen_listener;

static void see(struct fw_conn *conn)
{
    memcpy(seen_addr, conn->addr, conn->addr_len);
    seen_addr[conn->addr_len] = '\0';
    seen_port = conn->port;
    seen_listener = conn->listener;
}

static void every_family(void)
{
    static const char *const addresses[] = {"127.0.0.1", "::1", ""};
    begin();
    before_serving = see;
    for (int family = 0; family < FAMILIES; family++) {
        struct peer *client = connect_to((enum peer_family)family);
        struct sockaddr_in6 own = {0}; /* the port stands at the same place in both */
        socklen_t len = sizeof own;
        say(client, hello);
        TURN_UNTIL(has_answers(client, 1));
        getsockname(client->fd, (struct sockaddr *)&own, &len);
        CHECK(strcmp(seen_addr, addresses[family]) == 0);
        CHECK_EQUAL(seen_listener, family);
        CHECK_EQUAL(seen_port, family == PEER_UNIX ? 0 : ntohs(own.sin6_port));
    }
    end();
}

/* A listener for both families sees IPv4 clients under their own addresses. */
static void mapped_addresses(void)
{
    begin();
    int off = 0, both = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof any;
    CHECK(setsockopt(both, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0);
    /* "::ffff:127.0.0.1", so that nobody from outside can connect */
    any.sin6_addr.s6_addr[10] = any.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&any.sin6_addr.s6_addr[12], &v4.sin_addr, 4);
    CHECK(bind(both, (struct sockaddr *)&any, sizeof any) == 0 && listen(both, 5) == 0);
    CHECK(getsockname(both, (struct sockaddr *)&any, &len) == 0);
    CHECK(fw_loop_add_listener(&loop, both, false));
    v4.sin_port = any.sin6_port;
    struct peer *client = &clients[client_count++];
    *client = (struct peer){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    connect(client->fd, (struct sockaddr *)&v4, sizeof v4);
    before_serving = see;
    turn();
    say(client, hello);
    TURN_UNTIL(has_answers(client, 1));
    CHECK(strcmp(seen_addr, "127.0.0.1") == 0 && seen_listener == 3);
    close(both);
    end();
}

/* The budget of the hot path: one recv and one send a request, a share of one epoll_wait, no epoll_ctl. */
static void a_request_costs_two_calls(void)
{
    begin();
    struct peer *client = accepted(PEER_V4);
    say(client, hello);
    TURN_UNTIL(has_answers(client, 1));
    unsigned long recvs = fault_calls(FAULT_recv), sends = fault_calls(FAULT_send),
                  ctls = fault_calls(FAULT_epoll_ctl), allocs = fault_calls(FAULT_alloc);
    for (int i = 2; i <= 101; i++) {
        say(client, hello);
        TURN_UNTIL(has_answers(client, i));
    }
    CHECK_EQUAL(fault_calls(FAULT_recv) - recvs, 100);
    CHECK_EQUAL(fault_calls(FAULT_send) - sends, 100);
    CHECK_EQUAL(fault_calls(FAULT_sendmsg), 0);
    CHECK_EQUAL(fault_calls(FAULT_epoll_ctl), ctls);
    CHECK_EQUAL(fault_calls(FAULT_alloc), allocs);
    CHECK_EQUAL(loop.requests, 101);
    end();
}

static void idle_connections_are_cheap(void)
{
    begin();
    for (int i = 0; i < CLIENTS_MOST; i++)
        say(accepted(i % 2 ? PEER_V4 : PEER_UNIX), hello);
    for (int i = 0; i < CLIENTS_MOST; i++)
        TURN_UNTIL(has_answers(&clients[i], 1));
    size_t pooled =
        loop.env.blocks.count * loop.env.blocks.size + loop.env.fields.count * loop.env.fields.size;
    CHECK(pooled <= 3 * (FW_BUF_BLOCK + 4000)); /* one connection after the other has used the same block */
    CHECK((fault_bytes() - pooled) / CLIENTS_MOST < 1024);
    end();
}

/* The loop lets go of a socket that the application takes, and counts it until it is closed. */
static void a_socket_is_handed_over(void)
{
    for (int closed_by_user = 0; closed_by_user < 2; closed_by_user++) {
        begin();
        struct peer *client = accepted(PEER_V4), *other = accepted(PEER_V4);
        struct fw_conn *conn;
        say(client, hello);
        TURN_UNTIL(has_answers(client, 1)); /* it has waited in the poller by now */
        say(client, hello);
        while ((conn = fw_loop_take(&loop)) == NULL)
            fw_loop_step(&loop);
        unsigned long ctls = fault_calls(FAULT_epoll_ctl);
        int fd = fw_loop_hand_over(&loop, conn);
        CHECK_EQUAL(fault_calls(FAULT_epoll_ctl), ctls + 1);
        CHECK(!conn->polled && conn->queue == FW_QUEUE_NONE);
        CHECK_EQUAL(loop.connections, 2);
        say(client, "frames");
        say(other, hello);
        fw_loop_step(&loop); /* as a loop may that others step meanwhile */
        for (int i = 0; i < loop.event_count; i++)
            CHECK(loop.events[i].who != conn);
        CHECK_EQUAL(conn->state, FW_CONN_APP);
        if (closed_by_user)
            close(fd);
        fw_conn_take_back(conn, closed_by_user ? -1 : fd);
        fw_loop_give(&loop, conn);
        TURN_UNTIL(has_answers(other, 1) && (client->ended || client->reset));
        peer_close(client);
        TURN_UNTIL(loop.connections == 1);
        end();
    }
}

static void all_read(void)
{
    for (size_t i = 0; i < client_count; i++)
        peer_read(&clients[i]);
}

/* Many clients at once with random requests, sent in random pieces, read in random portions, through sockets
 * of random size: every answer is right and in its order. */
static void random_streams(void)
{
    static const char *const targets[] = {"/echo/%u", "/stream/3/%u", "/large/%u",
                                          "/file/%u", "/lines",       "/empty"};
    struct fw_random random = {2026};
    for (int round = 0; round < 60; round++) {
        enum { COUNT = 6 };
        struct script scripts[COUNT];
        size_t sent[COUNT] = {0};
        memset(scripts, 0, sizeof scripts);
        fw_test_note("round %d", round);
        begin();
        app_while_waiting = all_read;
        int room = (int)(2000 + fw_random(&random, 60000));
        for (int family = 0; family < FAMILIES; family++)
            setsockopt(listeners[family], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        for (size_t i = 0; i < COUNT; i++) {
            uint32_t requests = 1 + fw_random(&random, 12);
            for (uint32_t r = 0; r < requests; r++) {
                char target[64];
                const char *format = targets[fw_random(&random, COUNT_OF(targets))];
                uint32_t most = fw_random(&random, 4) == 0 ? 60000 : 3000;
                snprintf(target, sizeof target, format, fw_random(&random, most));
                bool body = fw_random(&random, 2), last = r + 1 == requests;
                unsigned how = last && fw_random(&random, 3) == 0 ? SCRIPT_OLD : SCRIPT_PLAIN;
                if (!how && body)
                    how = fw_random(&random, 2) ? SCRIPT_CHUNKED : SCRIPT_PLAIN;
                if (!(how & SCRIPT_OLD) && body)
                    how |= fw_random(&random, 4) == 0 ? SCRIPT_EXPECT : SCRIPT_PLAIN;
                script_add(&scripts[i],
                           body                         ? "POST"
                           : fw_random(&random, 5) == 0 ? "HEAD"
                                                        : "GET",
                           target, body ? fw_random(&random, most) : 0, how);
            }
            connect_to((enum peer_family)fw_random(&random, FAMILIES));
        }
        uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
        size_t over = 0;
        while (over < COUNT && CHECK(peer_now_ms() < end_ms)) {
            struct fw_conn *conn;
            fw_loop_step(&loop);
            while ((conn = fw_loop_take(&loop)) != NULL) {
                app_serve(conn, &loop);
                fw_loop_give(&loop, conn);
            }
            check_lists();
            over = 0;
            for (size_t i = 0; i < COUNT; i++) {
                const struct text *requests = &scripts[i].requests;
                size_t left = requests->len - sent[i],
                       piece = 1 + fw_random(&random, fw_random(&random, 2) ? 50 : 20000);
                sent[i] += peer_write(&clients[i], requests->data + sent[i], piece < left ? piece : left);
                if (fw_random(&random, 2))
                    peer_read(&clients[i]);
                if (sent[i] == requests->len && fw_random(&random, 20) == 0)
                    shutdown(clients[i].fd, SHUT_WR);
                struct verdict verdict = script_check(&scripts[i], &clients[i]);
                CHECK(!verdict.wrong && verdict.refusal == 0 && !clients[i].reset);
                over += verdict.whole == scripts[i].count && sent[i] == requests->len;
            }
        }
        for (size_t i = 0; i < COUNT; i++) {
            CHECK_EQUAL(script_check(&scripts[i], &clients[i]).last_close, scripts[i].closing);
            script_drop(&scripts[i]);
        }
        CHECK_EQUAL(loop.env.refusals.count, 0);
        end();
    }
}

static size_t answered_before[8], answered_count;
static uint64_t call_us;

static void look_who_has_his_answer(struct fw_conn *conn)
{
    (void)conn;
    size_t count = 0;
    all_read();
    for (size_t i = 0; i < client_count; i++)
        count += clients[i].got.len > 0;
    answered_before[answered_count++ % COUNT_OF(answered_before)] = count;
    fault_clock_step_us(call_us);
}

/* Answers to quick calls leave together at the end of the turn, but none waits for the others for longer than
 * a millisecond and the call that is under way; behind a slow call nobody waits. */
static void answers_of_one_turn(void)
{
    enum { COUNT = 7 };
    static const struct {
        uint64_t call_us;
        size_t answered_before[COUNT];
    } cases[] = {
        {0, {0, 0, 0, 0, 0, 0, 0}},
        {250, {0, 0, 0, 0, 0, 5, 5}},
        {1000, {0, 1, 2, 3, 4, 5, 6}},
    };
    for (size_t each = 0; each < COUNT_OF(cases); each++) {
        call_us = cases[each].call_us;
        begin();
        for (int i = 0; i < COUNT; i++)
            accepted(PEER_UNIX);
        for (int i = 0; i < COUNT; i++)
            say(&clients[i], hello);
        answered_count = 0;
        before_serving = look_who_has_his_answer;
        turn();
        CHECK_EQUAL(answered_count, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            CHECK_EQUAL(answered_before[i], cases[each].answered_before[i]);
            CHECK(has_answers(&clients[i], 1));
        }
        end();
    }
}

/* ... and a sudden end does not keep them back. */
static void answers_that_wait_when_the_loop_ends(void)
{
    begin();
    struct peer *client = accepted(PEER_UNIX);
    say(client, hello);
    fw_loop_step(&loop);
    struct fw_conn *conn = fw_loop_take(&loop);
    app_serve(conn, &loop);
    fw_loop_give(&loop, conn);
    fw_loop_stop(&loop, FW_STOP_NOW);
    fw_loop_drop(&loop);
    peer_read(client);
    CHECK(has_answers(client, 1) && client->ended);
    CHECK(fw_loop_init(&loop, &config)); /* for end() */
    end();
}

/* --- the corpus --- */

/* What the events of a case say of the next answer. */
struct expected {
    int status; /* 0: there is none */
    bool to_head, close;
    struct text body;
};

static bool begins(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

/* Read the events from *at on, to the end of one request. */
static void expect_next(const char **at, struct expected *expected)
{
    struct text *body = &expected->body;
    body->len = 0;
    *expected = (struct expected){.body = *body};
    text_add(body, "", 0);
    while (**at != '\0' && expected->status == 0) {
        const char *line = *at;
        size_t len = strcspn(line, "\n");
        *at += len + 1;
        if (begins(line, "request ")) {
            expected->to_head = begins(line, "request HEAD ");
            cases_unescape(body, line + 8, len - 8 - strlen(" 1.1"));
            text_add(body, "\n", 1);
        } else if (begins(line, "data ")) {
            cases_unescape(body, line + 5, len - 5);
        } else if (begins(line, "close")) {
            expected->close = true;
        } else if (begins(line, "end")) {
            expected->status = 200;
        } else if (line[0] >= '4' && line[0] <= '5') {
            expected->status = atoi(line);
            expected->close = true;
            for (int error = 1; error < FW_ERROR_COUNT; error++) {
                const char *name = fw_error_name((enum fw_error)error);
                if (len == 4 + strlen(name) && begins(line + 4, name)) {
                    body->len = 0;
                    text_print(body, "%d %s: %s\n", expected->status, fw_error_reason(expected->status),
                               fw_error_text((enum fw_error)error));
                }
            }
        }
    }
}

/* Is what the client has got what the events say, no more and no less, and is nothing behind what closes? */
static void check_events(const struct test_case *test, const struct peer *client)
{
    const char *at = test->events.data != NULL ? test->events.data : "";
    struct expected expected = {0};
    struct answer answer = {0};
    size_t used = 0;
    CHECK(client->ended && !client->reset);
    for (expect_next(&at, &expected); expected.status != 0; expect_next(&at, &expected)) {
        long n;
        do {
            n = answer_read(&answer, client->got.data + used, client->got.len - used, expected.to_head, true);
            used += n > 0 ? (size_t)n : 0;
        } while (n > 0 && answer.status == 100);
        /* a refusal knows of HEAD only where the head was whole enough to say so */
        if (!CHECK(n > 0) || !CHECK_EQUAL(answer.status, expected.status) ||
            !CHECK_EQUAL(answer.close, expected.close))
            break;
        CHECK(expected.to_head ? answer.body.len == 0
                               : answer.body.len == expected.body.len &&
                                     memcmp(answer.body.data, expected.body.data, answer.body.len) == 0);
        if (expected.close)
            break;
    }
    CHECK_EQUAL(used, client->got.len);
    answer_drop(&answer);
    text_drop(&expected.body);
}

/* Send the case in two pieces (or, `cut` SIZE_MAX, byte by byte), and say that this was all. */
static void play(const struct test_case *test, enum peer_family family, size_t cut)
{
    struct peer *client = accepted(family);
    const struct text *input = &test->input;
    size_t sent = 0;
    fw_test_note("%s, cut at %zu", test->name, cut);
    while (sent < input->len && !client->ended) {
        size_t until = cut == SIZE_MAX ? sent + 1 : sent < cut ? cut : input->len;
        sent += peer_write(client, input->data + sent, until - sent);
        turn();
    }
    shutdown(client->fd, SHUT_WR);
    TURN_UNTIL(client->ended || client->reset);
    check_events(test, client);
    peer_close(client);
    client_count--;
    TURN_UNTIL(loop.connections == 0);
}

static void play_case(const struct test_case *test)
{
    enum { SHORT = 200 };
    configure();
    config.limits = test->limits;
    config.timeouts.head_ms = 1000000;
    start();
    app_only_echoes = true;
    play(test, PEER_V4, 0);
    if (test->input.len < 5000)
        play(test, PEER_UNIX, SIZE_MAX);
    for (size_t cut = 1; cut < test->input.len && test->input.len < SHORT; cut++)
        play(test, PEER_UNIX, cut);
    end();
}

static void every_case_through_a_live_loop(void)
{
    cases_read_all(play_case);
}

/* --- one among many --- */

static unsigned order[64];
static size_t order_count;

static void note_order(struct fw_conn *conn)
{
    order[order_count++ % COUNT_OF(order)] = conn->listener;
    fault_clock_step(3);
}

/* Who pipelines goes first only while it costs the others next to nothing. */
static void pipelining_starves_nobody(void)
{
    begin();
    order_count = 0;
    struct peer *greedy = accepted(PEER_V4), *modest = accepted(PEER_UNIX);
    for (int i = 0; i < 20; i++)
        say(greedy, hello);
    say(modest, hello);
    before_serving = note_order;
    TURN_UNTIL(has_answers(greedy, 20) && has_answers(modest, 1));
    size_t at = 0;
    while (at < 21 && order[at] != PEER_UNIX)
        at++;
    CHECK(at <= 3);
    end();
}

static struct peer *slow, *bad, *late;
static int waits, zero_waits;

/* What happens while a slow client is waited for. */
static void slow_client_reads(void)
{
    char block[20000];
    waits++;
    zero_waits += fault_wait_ms() == 0;
    if (waits == 1)
        say(bad, "no request\r\n\r\n");
    if (waits == 2)
        say(late, hello);
    peer_read(bad);
    peer_read(late);
    if (waits > 6) {
        ssize_t n = read(slow->fd, block, sizeof block);
        if (n > 0)
            text_add(&slow->got, block, (size_t)n);
    }
}

/* An answer that is made faster than it is read waits, without burning time and with the others' sockets seen
 * to. */
static void a_slow_reader_keeps_nobody_from_his_refusal(void)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        struct script script = {0};
        script_add(&script, "GET", "/stream/20/30000", 0, SCRIPT_PLAIN);
        begin();
        bad = accepted(PEER_V4);
        late = accepted(PEER_V4);
        slow = accepted(tcp ? PEER_V4 : PEER_UNIX);
        waits = zero_waits = 0;
        app_while_waiting = slow_client_reads;
        int room = 20000;
        setsockopt(slow->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        for (struct fw_conn *conn = loop.queues[FW_QUEUE_HEAD].first; conn != NULL; conn = conn->next)
            setsockopt(conn->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        say(slow, script.requests.data);
        struct fw_conn *conn;
        uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
        while ((conn = fw_loop_take(&loop)) == NULL && CHECK(peer_now_ms() < end_ms))
            fw_loop_step(&loop);
        app_serve(conn, &loop);
        CHECK(waits > 6);
        CHECK(zero_waits < waits / 2); /* `late` was ready all the time: that is no reason to spin */
        CHECK_EQUAL(answers_of(bad, 400), 1);
        CHECK_EQUAL(late->got.len, 0); /* nobody calls the application while it is busy */
        fw_loop_give(&loop, conn);
        TURN_UNTIL(script_check(&script, slow).whole == 1 && has_answers(late, 1));
        script_drop(&script);
        end();
    }
}

static void time_passes(void)
{
    waits++;
    fault_clock_wait(1000);
}

static void who_never_reads_is_reset(void)
{
    configure();
    config.timeouts.head_ms = 1000000; /* of `other` */
    start();
    slow = accepted(PEER_V4);
    struct peer *other = accepted(PEER_V6);
    waits = 0;
    app_while_waiting = time_passes;
    say(slow, "GET /stream/2000/30000 HTTP/1.1\r\nHost: a\r\n\r\n");
    int fd = slow->fd;
    slow->fd = -1;
    TURN_UNTIL(loop.connections == 1);
    CHECK(waits >= WRITE_MS / 1000 && waits < 3 * WRITE_MS / 1000 + 20);
    CHECK(loop.env.refusals.count == 1 && loop.env.refusals.each[0].error == FW_E_WRITE_TIMEOUT);
    slow->fd = fd;
    TURN_UNTIL(slow->reset);
    say(other, hello);
    TURN_UNTIL(has_answers(other, 1));
    end();
}

static void stop_in_the_middle(void)
{
    fault_clock_wait(1000);
    if (++waits == 3)
        fw_loop_stop(&loop, FW_STOP_GRACEFUL);
}

/* A worker that is told to leave does not wait for a slow client past its time. */
static void leaving_ends_the_wait_for_room(void)
{
    configure();
    config.timeouts.write_ms = 1000000;
    start();
    slow = accepted(PEER_V4);
    struct peer *idle = accepted(PEER_V4);
    say(slow, "GET /stream/2000/30000 HTTP/1.0\r\n\r\n");
    waits = 0;
    app_while_waiting = stop_in_the_middle;
    int fd = slow->fd;
    slow->fd = -1;
    TURN_UNTIL(fw_loop_done(&loop));
    CHECK(waits >= 3 + GRACE_MS / 1000 && waits < 10 + GRACE_MS / 1000);
    CHECK(idle->ended);
    slow->fd = fd;
    while (!slow->reset && !slow->ended)
        peer_read(slow);
    CHECK(slow->reset); /* HTTP/1.0: an orderly end would have made it look whole */
    end();
}

/* --- deadlines --- */

/* The clients in each state, one a second; time is over for each when it is, and for no other. */
static void deadlines_are_kept_in_order(void)
{
    static const struct {
        const char *sent;
        uint64_t ms;
        int status;
    } kinds[] = {
        {"", HEAD_MS, 0},
        {"GET / HT", HEAD_MS, 408},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", BODY_MS, 408},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n", BODY_MS, 408},
        {"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", KEEPALIVE_MS, 200},
        {"x y\r\n\r\n", LINGER_MS, 400},
    };
    enum { EACH = 4 };
    begin();
    bool gone[COUNT_OF(kinds) * EACH] = {false};
    for (size_t i = 0; i < COUNT_OF(gone); i++) {
        struct peer *client = accepted(i % 2 ? PEER_V4 : PEER_UNIX);
        say(client, kinds[i % COUNT_OF(kinds)].sent);
        bool answered =
            kinds[i % COUNT_OF(kinds)].status == 200 || kinds[i % COUNT_OF(kinds)].ms == LINGER_MS;
        TURN_UNTIL(!answered || client->got.len > 0);
        TURN_UNTIL(answered || kinds[i % COUNT_OF(kinds)].sent[0] == '\0' ||
                   loop.queues[FW_QUEUE_HEAD].count + loop.queues[FW_QUEUE_BODY].count > 0);
        turns(2);
        if (i % COUNT_OF(kinds) == COUNT_OF(kinds) - 1)
            pass(100); /* the kinds of one group begin at one time */
    }
    for (uint64_t now = EACH * 100; now < KEEPALIVE_MS + LINGER_MS + EACH * 100; now += 50) {
        for (size_t i = 0; i < COUNT_OF(gone); i++) {
            size_t kind = i % COUNT_OF(kinds);
            uint64_t began = i / COUNT_OF(kinds) * 100, over = began + kinds[kind].ms;
            fw_test_note("client %zu of kind %zu at %llu", i, kind, (unsigned long long)now);
            bool want = now >= over;
            if (want && !gone[i]) { /* refused, or closed: both show at the client */
                struct peer *client = &clients[i];
                gone[i] = true;
                TURN_UNTIL(client->ended);
                if (kinds[kind].status != 0)
                    CHECK_EQUAL(answers_of(client, kinds[kind].status), 1);
                else
                    CHECK_EQUAL(client->got.len, 0);
            }
            if (!want && kinds[kind].ms != LINGER_MS)
                CHECK(!clients[i].ended);
        }
        pass(50);
    }
    TURN_UNTIL(loop.connections == 0);
    end();
}

/* A head's time counts from its first byte, a body's from its last. */
static void trickling(void)
{
    static const char head[] = "GET /echo HTTP/1.1\r\nHost: a";
    begin();
    struct peer *client = accepted(PEER_V4);
    size_t sent = 0;
    while (!client->ended && sent < sizeof head) {
        CHECK_EQUAL(peer_write(client, head + sent++, 1), 1);
        pass(500);
    }
    CHECK(sent <= HEAD_MS / 500 + 1 && answers_of(client, 408) == 1);
    client = accepted(PEER_V4);
    say(client, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n");
    turns(3);
    for (int i = 0; i < 20; i++) {
        CHECK_EQUAL(client->got.len, 0);
        pass(BODY_MS - 100);
        say(client, "b");
        turns(3);
    }
    TURN_UNTIL(has_answers(client, 1));
    end();
}

/* Bytes of a body that come in time, but too slowly, or that come as fast as they must. */
static void bodies_have_a_rate(void)
{
    static const struct {
        size_t every_ms, bytes;
        bool kept;
    } cases[] = {{500, 10, false}, {3500, 200, false}, {3500, 350, true}, {500, 50, true}, {1000, 90, false}};
    enum { BODY = 8000 };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (int chunked = 0; chunked < 2; chunked++) {
            static char portion[400];
            memset(portion, 'b', sizeof portion);
            struct text text = {0};
            fw_test_note("%zu bytes every %zu ms, chunked %d", cases[i].bytes, cases[i].every_ms, chunked);
            configure();
            config.timeouts.body_rate = 100;
            start();
            struct peer *client = accepted(PEER_V4);
            text_print(&text, "POST /lines HTTP/1.1\r\nHost: a\r\n%s: %s\r\n\r\n",
                       chunked ? "Transfer-Encoding" : "Content-Length", chunked ? "chunked" : "8000");
            if (chunked)
                text_print(&text, "%x\r\n", BODY);
            say(client, text.data);
            TURN_UNTIL(loop.queues[FW_QUEUE_BODY].count == 1);
            size_t sent = 0, passed = 0, share = cases[i].bytes * 1000 / cases[i].every_ms;
            while (sent < BODY && client->got.len == 0) {
                pass(cases[i].every_ms);
                passed += cases[i].every_ms;
                size_t most = BODY - sent < cases[i].bytes ? BODY - sent : cases[i].bytes;
                sent += peer_write(client, portion, most);
                turns(2);
                if (passed < BODY_MS)
                    CHECK_EQUAL(client->got.len, 0);
            }
            if (cases[i].kept) {
                if (chunked)
                    say(client, "\r\n0\r\n\r\n");
                CHECK_EQUAL(sent, BODY);
                TURN_UNTIL(has_answers(client, 1));
                CHECK_EQUAL(loop.env.refusals.count, 0);
            } else {
                TURN_UNTIL(client->ended);
                CHECK_EQUAL(answers_of(client, 408), 1);
                CHECK_EQUAL(loop.env.refusals.each[0].error, FW_E_BODY_RATE);
                CHECK(passed <= BODY_MS * 100 / (100 - share) + 2 * cases[i].every_ms);
            }
            text_drop(&text);
            end();
        }
}

/* It is not cut because it is large, nor because it stalls now and then. */
static void a_large_body_is_not_cut(void)
{
    static char portion[1000];
    memset(portion, 'b', sizeof portion);
    configure();
    config.timeouts.body_rate = 240;
    start();
    struct peer *client = accepted(PEER_V4);
    say(client, "POST /lines HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    TURN_UNTIL(loop.queues[FW_QUEUE_BODY].count == 1);
    for (int i = 0; i < 200; i++) {
        pass(i % 5 == 0 ? BODY_MS - 100 : 1000); /* eighty times the timeout altogether */
        CHECK_EQUAL(peer_write(client, portion, sizeof portion), sizeof portion);
    }
    TURN_UNTIL(has_answers(client, 1));
    end();
}

/* Who sends nothing is found without a timeout, too, if there is a rate; and if there is neither, never. */
static void without_a_timeout(void)
{
    static const char post[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
    for (uint32_t rate = 0; rate < 2; rate++) {
        configure();
        config.timeouts = (struct fw_timeouts){.linger_ms = LINGER_MS, .body_rate = rate};
        start();
        struct peer *silent = accepted(PEER_V4), *half = accepted(PEER_UNIX), *body = accepted(PEER_V4);
        say(half, "GET / HT");
        say(body, post);
        TURN_UNTIL(loop.queues[FW_QUEUE_BODY].count == 1);
        turns(2);
        pass(59000);
        CHECK_EQUAL(loop.connections, 3);
        pass(rate > 0 ? 1000 : 3600000);
        if (rate > 0) {
            TURN_UNTIL(answers_of(body, 408) == 1);
            CHECK_EQUAL(loop.env.refusals.each[0].error, FW_E_BODY_RATE);
            TURN_UNTIL(body->ended);
            pass(3600000);
        } else {
            CHECK_EQUAL(loop.connections, 3);
            say(body, "123456789");
            TURN_UNTIL(has_answers(body, 1));
        }
        CHECK(!silent->ended && !half->ended);
        end();
    }
}

/* No lingering: the end comes right behind the answer. */
static void without_lingering(void)
{
    configure();
    config.timeouts.linger_ms = 0;
    start();
    struct peer *client = accepted(PEER_V4);
    uint64_t began = loop.env.clock.now_ms;
    say(client, "x y\r\n\r\n");
    TURN_UNTIL(loop.connections == 0);
    CHECK_EQUAL(loop.env.clock.now_ms, began);
    CHECK_EQUAL(answers_of(client, 400), 1);
    end();
}

static size_t sip, sip_every_ms, sips;

/* The client takes a sip of what is there for it. */
static void take_a_sip(void)
{
    char block[20000];
    ssize_t n = read(slow->fd, block, sip);
    CHECK(n <= (ssize_t)sizeof block);
    if (n > 0)
        text_add(&slow->got, block, (size_t)n);
    slow->reset |= n < 0 && errno == ECONNRESET;
    sips++;
    fault_clock_wait(sip_every_ms);
}

/* An answer that is taken in time, but too slowly, or as fast as it must; while the application still makes
 * it, and afterwards. */
static void answers_have_a_rate(void)
{
    static const char *const targets[] = {"/large/300000", "/file/300000", "/stream/20/15000"};
    static const struct {
        size_t sip, every_ms;
        bool kept;
        uint32_t rate, write_ms; /* a socket of this kind takes no less than what it calls a page */
    } cases[] = {{2000, 4000, false, 1000, 60000},
                 {6000, 4000, true, 1000, 60000},
                 {600, 1000, false, 1000, 60000},
                 {2000, 1500, true, 1000, 60000},
                 /* so little that the kernel does not tell of the room: only the deadline finds it */
                 {5000, 5000, true, 100, 6000}};
    for (size_t i = 0; i < COUNT_OF(cases) * COUNT_OF(targets); i++) {
        struct script script = {0};
        const char *target = targets[i % COUNT_OF(targets)];
        bool kept = cases[i / COUNT_OF(targets)].kept;
        if (target[1] == 'f' && (!kept || cases[i / COUNT_OF(targets)].write_ms < 60000))
            continue; /* here a file leaves in lumps so large that the timeout comes first */
        sip = cases[i / COUNT_OF(targets)].sip;
        sip_every_ms = cases[i / COUNT_OF(targets)].every_ms;
        fw_test_note("%s, %zu bytes every %zu ms", target, sip, sip_every_ms);
        script_add(&script, "GET", target, 0, SCRIPT_PLAIN);
        configure();
        config.timeouts.write_rate = cases[i / COUNT_OF(targets)].rate;
        config.timeouts.write_ms = cases[i / COUNT_OF(targets)].write_ms;
        start();
        slow = accepted(PEER_UNIX);
        int room = 4608;
        setsockopt(loop.queues[FW_QUEUE_HEAD].first->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        say(slow, script.requests.data);
        sips = 0;
        app_while_waiting = take_a_sip;
        struct peer *client = slow, hidden = *slow;
        client->fd = -1; /* turn() reads nothing for it */
        slow = &hidden;
        TURN_UNTIL(loop.queues[FW_QUEUE_WRITE].count == 1 || loop.connections == 0);
        uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
        while (loop.queues[FW_QUEUE_WRITE].count == 1 && CHECK(peer_now_ms() < end_ms)) {
            take_a_sip();
            TURN_UNTIL(fault_clock_left() == 0 || loop.queues[FW_QUEUE_WRITE].count == 0);
            turns(2);
        }
        CHECK_EQUAL(loop.env.refusals.count, !kept);
        if (!kept)
            CHECK_EQUAL(loop.env.refusals.each[0].error, FW_E_WRITE_RATE);
        if (kept) {
            CHECK(sips > 250000 / sip);
            while (!hidden.ended && script_check(&script, &hidden).whole == 0 &&
                   CHECK(peer_now_ms() < end_ms))
                peer_read(&hidden);
        } else { /* at half the rate after twice the grace, and what the socket holds */
            CHECK(sips * sip_every_ms <= 4 * 60000);
            TURN_UNTIL(loop.connections == 0);
        }
        slow = NULL;
        client->fd = hidden.fd;
        text_drop(&client->got);
        client->got = hidden.got;
        script_drop(&script);
        end();
    }
}

/* The loop asks to wait exactly until the next deadline, and for ever when there is none. */
static void the_wait_is_as_long_as_it_may_be(void)
{
    begin();
    turn();
    CHECK_EQUAL(fault_wait_ms(), -1);
    struct peer *client = accepted(PEER_V4);
    turn();
    CHECK_EQUAL(fault_wait_ms(), HEAD_MS);
    pass(1);
    CHECK_EQUAL(fault_wait_ms(), HEAD_MS - 1);
    say(client, hello);
    TURN_UNTIL(has_answers(client, 1));
    turn();
    CHECK_EQUAL(fault_wait_ms(), KEEPALIVE_MS);
    end();
}

/* The file of a long body is kept for a while, and then freed while nobody is there. */
static void spare_files_are_freed(void)
{
    enum { LONG = 2000000 };
    begin();
    struct text request = {0};
    text_print(&request, "POST /lines HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", LONG);
    char *body = calloc(LONG, 1);
    text_add(&request, body, LONG);
    free(body);
    struct peer *client = accepted(PEER_V4);
    for (size_t sent = 0; sent < request.len && CHECK(client->fd >= 0); turn())
        sent += peer_write(client, request.data + sent, request.len - sent);
    TURN_UNTIL(client->got.len > 0 && loop.queues[FW_QUEUE_KEEPALIVE].count == 1);
    peer_close(client);
    TURN_UNTIL(loop.connections == 0);
    CHECK(loop.env.spill.count == 1 && loop.env.spill.bytes == LONG);
    turn();
    CHECK(fault_wait_ms() > 0 && fault_wait_ms() <= FW_SPILL_KEPT_MS);
    pass(FW_SPILL_KEPT_MS - 1);
    CHECK_EQUAL(loop.env.spill.bytes, LONG);
    pass(1);
    TURN_UNTIL(loop.env.spill.count == 0);
    turn();
    CHECK_EQUAL(fault_wait_ms(), -1);
    text_drop(&request);
    end();
}

static void a_long_call(struct fw_conn *conn)
{
    (void)conn;
    fault_clock_step(100 * KEEPALIVE_MS);
}

/* While the application had the stage nobody was looked at: that is not the clients' fault. */
static void a_long_call_costs_no_connection(void)
{
    begin();
    enum { COUNT = 150 }; /* more than a batch of events */
    for (int i = 0; i < COUNT; i++)
        say(accepted(i % 2 ? PEER_V6 : PEER_UNIX), hello);
    for (int i = 0; i < COUNT; i++)
        TURN_UNTIL(has_answers(&clients[i], 1));
    pass(KEEPALIVE_MS / 2);
    struct peer *halfway = accepted(PEER_V4);
    say(halfway, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    TURN_UNTIL(loop.queues[FW_QUEUE_BODY].count == 1);
    pass(BODY_MS / 4);
    say(&clients[0], hello);
    before_serving = a_long_call;
    struct fw_conn *conn;
    uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
    while ((conn = fw_loop_take(&loop)) == NULL && CHECK(peer_now_ms() < end_ms))
        fw_loop_step(&loop);
    for (int i = 1; i < COUNT; i++) /* all of them speak while it lasts */
        say(&clients[i], hello);
    say(halfway, "cde");
    a_long_call(conn);
    app_serve(conn, &loop);
    fw_loop_give(&loop, conn);
    before_serving = NULL;
    for (int i = 0; i < COUNT; i++)
        TURN_UNTIL(has_answers(&clients[i], 2));
    TURN_UNTIL(has_answers(halfway, 1));
    turns(5);
    CHECK_EQUAL(loop.connections, COUNT + 1); /* among them the one whose call it was */
    pass(KEEPALIVE_MS);
    TURN_UNTIL(loop.connections == 0);
    end();
}

/* --- accepting --- */

static bool all_have_answers(size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        if (!has_answers(&clients[i], 1))
            return false;
    return true;
}

static void more_clients_than_connections(void)
{
    configure();
    config.connections = 3;
    start();
    for (int i = 0; i < 5; i++)
        say(connect_to(PEER_V4), i < 3 ? "GET /echo HTTP/1.1\r\nHost" : hello);
    TURN_UNTIL(loop.connections == 3);
    turns(5);
    CHECK_EQUAL(loop.connections, 3);
    pass(100);
    CHECK_EQUAL(fault_wait_ms(), HEAD_MS - 100); /* who waits in the backlog costs nothing */
    CHECK(clients[3].got.len == 0 && clients[4].got.len == 0);
    shutdown(clients[1].fd, SHUT_WR);
    TURN_UNTIL(has_answers(&clients[3], 1));
    for (int i = 0; i < 3; i += 2)
        say(&clients[i], ": a\r\n\r\n"); /* who was there first goes on, and nobody is reset */
    TURN_UNTIL(all_have_answers(0, 1) && all_have_answers(2, 1));
    turns(5);
    CHECK(clients[4].got.len == 0);
    pass(KEEPALIVE_MS);
    TURN_UNTIL(has_answers(&clients[4], 1));
    for (size_t i = 0; i < 5; i++)
        CHECK(!clients[i].reset);
    end();
}

/* Idle connections keep nobody out: the one that was idle for longest goes. */
static void the_idle_make_room(void)
{
    configure();
    config.connections = 4;
    start();
    say(accepted(PEER_V4), "GET /echo HTTP/1.1\r\nHost");
    for (int i = 1; i < 4; i++) {
        say(accepted(i % 2 ? PEER_V4 : PEER_UNIX), hello);
        TURN_UNTIL(has_answers(&clients[i], 1));
        pass(10);
    }
    turns(3);
    CHECK_EQUAL(fault_wait_ms(), HEAD_MS - 30); /* nobody has come: no reason to look */
    say(connect_to(PEER_V4), hello);
    say(connect_to(PEER_UNIX), hello);
    turns(5);
    CHECK_EQUAL(fault_wait_ms(), 50); /* so long a sibling may take them */
    pass(50);
    CHECK(fault_wait_ms() > 900 && fault_wait_ms() < 1000);
    pass(900);
    CHECK(clients[4].got.len == 0 && clients[5].got.len == 0 && loop.connections == 4);
    say(&clients[1], hello); /* the longest idle speaks in time */
    fault_clock_step(100);
    turns(5);
    pass(50);
    TURN_UNTIL(all_have_answers(4, 2));
    TURN_UNTIL(clients[2].ended && clients[3].ended);
    TURN_UNTIL(has_answers(&clients[1], 2));
    CHECK_EQUAL(loop.connections, 4);
    for (size_t i = 0; i < 6; i++)
        CHECK(!clients[i].reset && clients[i].ended == (i == 2 || i == 3));
    say(&clients[0], ": a\r\n\r\n");
    TURN_UNTIL(has_answers(&clients[0], 1));
    CHECK_EQUAL(loop.env.refusals.count, 0);
    CHECK_EQUAL(loop.accept_errno, 0);
    end();
}

/* Somebody comes, and a sibling takes him. */
static void the_idle_stay_where_others_have_room(void)
{
    configure();
    config.connections = 2;
    start();
    for (int i = 0; i < 2; i++) {
        say(accepted(PEER_UNIX), hello);
        TURN_UNTIL(has_answers(&clients[i], 1));
    }
    pass(2000);
    connect_to(PEER_UNIX);
    TURN_UNTIL(loop.crowded);
    int taken = accept(listeners[PEER_UNIX], NULL, NULL);
    CHECK(taken >= 0);
    pass(1000);
    turns(3);
    CHECK(loop.connections == 2 && !clients[0].ended && !clients[1].ended);
    CHECK_EQUAL(fault_wait_ms(), KEEPALIVE_MS - 3000);
    close(taken);
    end();
}

/* Requests without end, and nobody reads an answer: what is kept for that client has an end. */
static void a_flood_of_requests(void)
{
    static const char *const targets[] = {"/echo", "/stream/3/900", "/large/9000", "/file/9000"};
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        for (int tcp = 0; tcp < 2; tcp++) {
            struct text flood = {0};
            fw_test_note("%s, tcp %d", targets[i], tcp);
            begin();
            for (int n = 0; n < 500; n++)
                text_print(&flood, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", targets[i]);
            struct peer *client = accepted(tcp ? PEER_V4 : PEER_UNIX);
            int fd = client->fd, idle = 0;
            uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
            size_t at = 0, most = 0;
            while (idle < 5 && CHECK(peer_now_ms() < end_ms)) {
                uint64_t before = loop.requests;
                client->fd = fd;
                size_t n = peer_write(client, flood.data + at, flood.len - at);
                at = (at + n) % flood.len;
                client->fd = -1;
                turn();
                most = fault_bytes() > most ? fault_bytes() : most;
                idle = n == 0 && loop.requests == before ? idle + 1 : 0;
            }
            CHECK(loop.requests > 20);
            CHECK_EQUAL(loop.queues[FW_QUEUE_WRITE].count, 1);
            CHECK(most < 64 * sizeof(struct fw_conn) + 8 * FW_BUF_BLOCK);
            client->fd = fd;
            TURN_UNTIL(loop.queues[FW_QUEUE_WRITE].count == 0); /* it reads after all, and goes on */
            CHECK_EQUAL(loop.connections, 1);
            text_drop(&flood);
            end();
        }
}

static void accept_runs_out(void)
{
    static const int lasting[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EINVAL};
    static const int passing[] = {EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, EHOSTUNREACH};
    for (size_t i = 0; i < COUNT_OF(lasting); i++) {
        begin();
        turn();
        fw_test_note("%s", strerror(lasting[i]));
        struct peer *client = connect_to(PEER_V4);
        say(client, hello);
        fault_fail(FAULT_accept4, 1, 1, lasting[i]);
        TURN_UNTIL(fault_was_hit());
        CHECK_EQUAL(loop.accept_errno, lasting[i]);
        unsigned long accepts = fault_calls(FAULT_accept4);
        turns(5);
        CHECK_EQUAL(fault_calls(FAULT_accept4), accepts);
        CHECK(fault_wait_ms() > 0 && fault_wait_ms() <= 200);
        CHECK_EQUAL(client->got.len, 0);
        pass(200);
        TURN_UNTIL(has_answers(client, 1));
        turn();
        CHECK_EQUAL(fault_wait_ms(), KEEPALIVE_MS);
        end();
    }
    for (size_t i = 0; i < COUNT_OF(passing); i++) {
        begin();
        turn();
        fw_test_note("%s", strerror(passing[i]));
        struct peer *client = connect_to(PEER_V4);
        say(client, hello);
        fault_fail(FAULT_accept4, 1, 2, passing[i]);
        TURN_UNTIL(has_answers(client, 1));
        CHECK(fault_was_hit() && loop.accept_errno == 0);
        end();
    }
}

/* A connection that closes gives back what accept had run out of: no need to wait. */
static void a_close_ends_the_rest(void)
{
    begin();
    struct peer *first = accepted(PEER_V4), *second = connect_to(PEER_V4);
    say(second, hello);
    fault_fail(FAULT_accept4, 1, 1, EMFILE);
    TURN_UNTIL(fault_was_hit());
    shutdown(first->fd, SHUT_WR);
    TURN_UNTIL(has_answers(second, 1));
    end();
}

static void a_listener_that_cannot_be_polled(void)
{
    begin();
    fault_fail(FAULT_epoll_ctl, 2, 1, ENOMEM);
    struct peer *client = connect_to(PEER_UNIX);
    say(client, hello);
    turns(3);
    CHECK(loop.accept_errno == ENOMEM && client->got.len == 0);
    CHECK(fault_wait_ms() > 0 && fault_wait_ms() <= 200);
    pass(200);
    TURN_UNTIL(has_answers(client, 1));
    end();
}

/* The application has forked: the child holds the socket too, and the poller goes on to tell of it. */
static void events_of_a_socket_that_a_child_holds(void)
{
    begin();
    struct peer *client = accepted(PEER_UNIX);
    int child = dup(loop.queues[FW_QUEUE_HEAD].first->fd);
    say(client, "GET /close HTTP/1.1\r\nHost: a\r\n\r\n");
    TURN_UNTIL(loop.connections == 0);
    say(client, hello); /* an event for nobody */
    turns(3);
    CHECK_EQUAL(loop.connections, 0);
    struct peer *next = accepted(PEER_V4), *third = accepted(PEER_V4);
    say(client, hello); /* an event for somebody else */
    turns(3);
    CHECK_EQUAL(loop.connections, 2);
    shutdown(client->fd, SHUT_RDWR);
    turns(3);
    say(next, hello);
    say(third, hello);
    TURN_UNTIL(has_answers(next, 1) && has_answers(third, 1));
    close(child);
    end();
}

/* --- leaving --- */

/* Nobody else accepts from its TCP sockets, so new connections must go elsewhere. */
static void own_listeners(void)
{
    configure();
    config.own_listeners = true;
    start();
    struct peer *queued = connect_to(PEER_V4);
    say(queued, hello);
    fw_loop_stop(&loop, FW_STOP_GRACEFUL);
    TURN_UNTIL(has_answers(queued, 1));
    for (int family = 0; family < FAMILIES; family++) {
        int listening = 0;
        socklen_t len = sizeof listening;
        CHECK(getsockopt(listeners[family], SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0);
        CHECK_EQUAL(listening, family == PEER_UNIX);
    }
    TURN_UNTIL(fw_loop_done(&loop));
    end();
}

static void graceful(void)
{
    begin();
    struct peer *idle = accepted(PEER_V4), *reading = accepted(PEER_V4), *used = accepted(PEER_UNIX);
    say(used, hello);
    TURN_UNTIL(has_answers(used, 1));
    say(reading, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    TURN_UNTIL(loop.queues[FW_QUEUE_BODY].count == 1);
    struct peer *queued = connect_to(PEER_V4), *silent = connect_to(PEER_V6);
    say(queued, hello); /* in the backlog: still to be served */
    fw_loop_stop(&loop, FW_STOP_GRACEFUL);
    TURN_UNTIL(queued->ended);
    CHECK(has_answers(queued, 1) && strstr(queued->got.data, "Connection: close") != NULL);
    CHECK(!fw_loop_done(&loop) && !idle->ended && !silent->ended);
    CHECK_EQUAL(board->slots[0].state, FW_SLOT_LEAVING);
    struct peer *too_late = connect_to(PEER_V4);
    say(idle, hello); /* was under way */
    say(reading, "cde");
    TURN_UNTIL(idle->ended && reading->ended);
    CHECK(has_answers(idle, 1) && has_answers(reading, 1));
    pass(2000); /* who was idle has had its moment */
    TURN_UNTIL(used->ended && silent->ended);
    TURN_UNTIL(fw_loop_done(&loop));
    CHECK(loop.connections == 0 && !too_late->ended);
    CHECK_EQUAL(loop.requests, 4);
    end();
}

/* Where the next worker has other code, as under --reload, it is better to meet that one soon. */
static void the_idle_are_let_go_sooner(void)
{
    configure();
    config.leave_idle_ms = 100;
    start();
    struct peer *idle = accepted(PEER_V4), *used = accepted(PEER_UNIX);
    say(used, hello);
    TURN_UNTIL(has_answers(used, 1));
    fw_loop_stop(&loop, FW_STOP_RECYCLE);
    turns(3);
    pass(99);
    CHECK(!idle->ended && !used->ended && !fw_loop_done(&loop));
    pass(1);
    TURN_UNTIL(idle->ended && used->ended);
    TURN_UNTIL(fw_loop_done(&loop));
    end();
}

static void recycling_leaves_the_backlog_to_others(void)
{
    configure();
    config.max_requests = 3;
    start();
    struct peer *client = accepted(PEER_V4);
    for (int i = 1; i <= 3; i++) {
        say(client, hello);
        TURN_UNTIL(has_answers(client, i));
    }
    struct peer *queued = connect_to(PEER_V4);
    say(queued, hello);
    turns(3);
    CHECK(loop.leaving && queued->got.len == 0);
    say(client, hello);
    TURN_UNTIL(client->ended);
    CHECK(has_answers(client, 4));
    TURN_UNTIL(fw_loop_done(&loop));
    CHECK_EQUAL(queued->got.len, 0);
    end();
}

static void grace_ends(void)
{
    for (int resting = 0; resting < 2; resting++) {
        begin();
        struct peer *halfway = accepted(PEER_V4);
        turn();
        if (resting) { /* accept runs out while the backlog is taken along */
            connect_to(PEER_V4);
            fault_fail(FAULT_accept4, 1, 1, EMFILE);
        }
        say(halfway, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nab");
        fw_loop_stop(&loop, FW_STOP_GRACEFUL);
        for (int i = 0; i < GRACE_MS / 1000; i++) {
            turns(2);
            CHECK(!fw_loop_done(&loop));
            CHECK(fault_wait_ms() > 0);
            say(halfway, "c");
            pass(1000);
        }
        CHECK(fw_loop_done(&loop) && loop.connections == 1);
        end();
    }
}

static void no_keep_alive_and_leaving(void)
{
    configure();
    config.timeouts.keepalive_ms = 0;
    start();
    turn();
    struct peer *client = connect_to(PEER_V4);
    fw_loop_stop(&loop, FW_STOP_GRACEFUL);
    TURN_UNTIL(loop.connections == 1);
    turns(3);
    CHECK(!client->ended); /* it is new: what it wants to say is on its way */
    say(client, hello);
    TURN_UNTIL(client->ended);
    CHECK(has_answers(client, 1));
    end();
}

static void at_once(void)
{
    begin();
    struct peer *client = accepted(PEER_V4);
    say(client, hello);
    fw_loop_stop(&loop, FW_STOP_NOW);
    fw_loop_stop(&loop, FW_STOP_GRACEFUL); /* only ever raised */
    CHECK(fw_loop_done(&loop));
    turn();
    CHECK_EQUAL(loop.requests, 0);
    end();
}

static void the_watched_end(void)
{
    int ends[2];
    begin();
    CHECK_EQUAL(pipe(ends), 0);
    CHECK(fw_loop_watch(&loop, ends[0]));
    turns(3);
    CHECK(!loop.leaving);
    close(ends[1]); /* the arbiter has died */
    TURN_UNTIL(fw_loop_done(&loop));
    CHECK_EQUAL(loop.stop, FW_STOP_GRACEFUL);
    close(ends[0]);
    end();
}

static void *stop_from_outside(void *argument)
{
    (void)argument;
    for (int i = 0; i < 100000; i++) /* more wake-ups than a pipe holds */
        fw_loop_wake(&loop);
    fw_loop_stop(&loop, FW_STOP_RECYCLE);
    return NULL;
}

static void another_thread_ends_the_wait(void)
{
    pthread_t thread;
    begin();
    CHECK_EQUAL(pthread_create(&thread, NULL, stop_from_outside, NULL), 0);
    TURN_UNTIL(fw_loop_done(&loop));
    pthread_join(thread, NULL);
    end();
}

static void dropping_everything_at_once(void)
{
    begin();
    accepted(PEER_V4);
    say(accepted(PEER_V4), "GET / HT");
    say(accepted(PEER_UNIX), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\nab");
    say(accepted(PEER_V4), "x y\r\n\r\n");
    say(accepted(PEER_V4), hello);
    struct peer *large = accepted(PEER_V4);
    say(large, "GET /file/50000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    int fd = large->fd;
    large->fd = -1;
    TURN_UNTIL(loop.queues[FW_QUEUE_WRITE].count == 1 && loop.queues[FW_QUEUE_BODY].count == 1);
    close(fd);
    end();
}

/* --- a machine that fails --- */

static void beginning_fails(void)
{
    static const enum fault_call calls[] = {FAULT_alloc, FAULT_pipe2, FAULT_epoll_create1, FAULT_epoll_ctl};
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        for (unsigned long n = 1;; n++) {
            configure();
            fw_test_note("%s no. %lu", fault_name(calls[i]), n);
            fault_fail(calls[i], n, 1, EMFILE);
            bool made = fw_loop_init(&loop, &config);
            CHECK_EQUAL(made, !fault_was_hit());
            if (made) {
                int listener = peer_listen(PEER_V4);
                bool added = fw_loop_add_listener(&loop, listener, false);
                CHECK_EQUAL(added, !fault_was_hit());
                fw_loop_drop(&loop);
                close(listener);
            } else {
                CHECK_EQUAL(errno, EMFILE);
            }
            fw_board_destroy(board);
            CHECK_EQUAL(fault_blocks(), 0);
            CHECK_EQUAL(fault_descriptors(), descriptors);
            if (!fault_was_hit())
                break;
        }
}

static const struct {
    enum fault_call call;
    int error;
} faults[] = {
    {FAULT_alloc, 0},          {FAULT_recv, ECONNRESET},   {FAULT_recv, EINTR},
    {FAULT_send, EPIPE},       {FAULT_send, ENOBUFS},      {FAULT_sendmsg, EPIPE},
    {FAULT_sendfile, EIO},     {FAULT_accept4, EMFILE},    {FAULT_accept4, EINTR},
    {FAULT_accept4, EAGAIN},   {FAULT_epoll_ctl, ENOMEM},  {FAULT_epoll_ctl, ENOSPC},
    {FAULT_epoll_wait, EINTR}, {FAULT_pwrite, ENOSPC},     {FAULT_pread, EIO},
    {FAULT_open, EMFILE},      {FAULT_shutdown, ENOTCONN}, {FAULT_setsockopt, EBADF},
};

/* The n-th call fails, for every n, while three clients are served: one of them may have to suffer, no other,
 * nobody gets a wrong byte, and whoever comes later is served. */
static void every_call_fails_once(void)
{
    enum { COUNT = 3 };
    struct script script = {0}, after = {0};
    script_add(&script, "GET", "/echo/1", 0, SCRIPT_PLAIN);
    script_add(&script, "POST", "/echo/2", 9000, SCRIPT_CHUNKED | SCRIPT_EXPECT);
    script_add(&script, "GET", "/file/30000", 0, SCRIPT_PLAIN);
    script_add(&script, "GET", "/stream/3/9000", 0, SCRIPT_PLAIN);
    script_add(&script, "POST", "/lines", 9000, SCRIPT_PLAIN);
    script_add(&script, "GET", "/close", 0, SCRIPT_PLAIN);
    script_add(&after, "GET", "/stream/3/9000", 0, SCRIPT_OLD);
    for (size_t i = 0; i < COUNT_OF(faults); i++)
        for (unsigned long n = 1;; n++) {
            fw_test_note("%s no. %lu: %s", fault_name(faults[i].call), n, strerror(faults[i].error));
            begin();
            fault_fail(faults[i].call, n, 1, faults[i].error);
            if (faults[i].call == FAULT_open)
                fault_fail(FAULT_mkostemp, 1, 1, faults[i].error);
            size_t sent[COUNT] = {0}, over = 0, suffered = 0;
            for (int c = 0; c < COUNT; c++)
                connect_to((enum peer_family)c);
            uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
            while (over < COUNT && CHECK(peer_now_ms() < end_ms)) {
                over = 0;
                for (int c = 0; c < COUNT; c++) {
                    struct peer *client = &clients[c];
                    sent[c] +=
                        peer_write(client, script.requests.data + sent[c], script.requests.len - sent[c]);
                    if (client->got.len > 0 && script_check(&script, client).refusal != 0)
                        shutdown(client->fd, SHUT_WR);
                    over += client->ended || client->reset;
                }
                turn();
                if (loop.listen_again_ms > 0)
                    fault_clock_wait(200);
            }
            for (int c = 0; c < COUNT; c++) {
                struct verdict verdict = script_check(&script, &clients[c]);
                CHECK(!verdict.wrong);
                suffered += verdict.whole < script.count;
            }
            CHECK(suffered <= (fault_was_hit() ? 1 : 0));
            if (faults[i].call == FAULT_accept4 || faults[i].call == FAULT_epoll_wait ||
                faults[i].error == EINTR)
                CHECK_EQUAL(suffered, 0);
            bool done = !fault_was_hit();
            fault_fail(faults[i].call, 1, 0, 0);
            struct peer *client = connect_to(PEER_V4);
            say(client, after.requests.data);
            TURN_UNTIL(client->ended);
            CHECK(script_check(&after, client).whole == 1);
            end();
            if (done)
                break;
        }
    script_drop(&script);
    script_drop(&after);
}

static const struct fw_test tests[] = {
    {"every_family", every_family},
    {"mapped_addresses", mapped_addresses},
    {"a_request_costs_two_calls", a_request_costs_two_calls},
    {"idle_connections_are_cheap", idle_connections_are_cheap},
    {"a_socket_is_handed_over", a_socket_is_handed_over},
    {"random_streams", random_streams},
    {"answers_of_one_turn", answers_of_one_turn},
    {"answers_that_wait_when_the_loop_ends", answers_that_wait_when_the_loop_ends},
    {"every_case_through_a_live_loop", every_case_through_a_live_loop},
    {"pipelining_starves_nobody", pipelining_starves_nobody},
    {"a_slow_reader_keeps_nobody_from_his_refusal", a_slow_reader_keeps_nobody_from_his_refusal},
    {"who_never_reads_is_reset", who_never_reads_is_reset},
    {"own_listeners", own_listeners},
    {"leaving_ends_the_wait_for_room", leaving_ends_the_wait_for_room},
    {"deadlines_are_kept_in_order", deadlines_are_kept_in_order},
    {"trickling", trickling},
    {"bodies_have_a_rate", bodies_have_a_rate},
    {"a_large_body_is_not_cut", a_large_body_is_not_cut},
    {"without_a_timeout", without_a_timeout},
    {"without_lingering", without_lingering},
    {"answers_have_a_rate", answers_have_a_rate},
    {"the_wait_is_as_long_as_it_may_be", the_wait_is_as_long_as_it_may_be},
    {"spare_files_are_freed", spare_files_are_freed},
    {"a_long_call_costs_no_connection", a_long_call_costs_no_connection},
    {"more_clients_than_connections", more_clients_than_connections},
    {"the_idle_make_room", the_idle_make_room},
    {"the_idle_stay_where_others_have_room", the_idle_stay_where_others_have_room},
    {"a_flood_of_requests", a_flood_of_requests},
    {"accept_runs_out", accept_runs_out},
    {"a_close_ends_the_rest", a_close_ends_the_rest},
    {"a_listener_that_cannot_be_polled", a_listener_that_cannot_be_polled},
    {"events_of_a_socket_that_a_child_holds", events_of_a_socket_that_a_child_holds},
    {"graceful", graceful},
    {"the_idle_are_let_go_sooner", the_idle_are_let_go_sooner},
    {"recycling_leaves_the_backlog_to_others", recycling_leaves_the_backlog_to_others},
    {"grace_ends", grace_ends},
    {"no_keep_alive_and_leaving", no_keep_alive_and_leaving},
    {"at_once", at_once},
    {"the_watched_end", the_watched_end},
    {"another_thread_ends_the_wait", another_thread_ends_the_wait},
    {"dropping_everything_at_once", dropping_everything_at_once},
    {"beginning_fails", beginning_fails},
    {"every_call_fails_once", every_call_fails_once},
};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* as Python does: sendfile has no flag against it */
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
