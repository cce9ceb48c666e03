/* Tests of bodies that are read as they come: fw_conn_body_pull() and fw_loop_wait_body(), with app.c for an
 * application and a client who sends while that waits. */
#define _GNU_SOURCE
#include "app.h"
#include "fault.h"
#include "fw_test.h"
#include "peer.h"
#include "script.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MS = 10000, BODY_MS = 6000, WRITE_MS = 8000, GIVE_UP_MS = 20000 };

static struct fw_loop loop;
static int listener;
static int descriptors;
static struct peer client;
static const struct text *sending;
static size_t sent, piece;

static void begin(void)
{
    fault_reset();
    fault_clock_stop();
    descriptors = fault_descriptors();
    struct fw_loop_config config = {
        .limits = fw_limits_default(),
        .timeouts = {HEAD_MS, BODY_MS, 20000, WRITE_MS, 1000},
        .body_early = true,
        .body_memory = 1000,
        .queue_mark = 100000,
        .connections = 100,
        .grace_ms = 5000,
        .leave_idle_ms = 1000,
        .tmpdir = "/tmp",
        .server = "Server: test\r\n",
    };
    config.limits.body = 50000;
    CHECK(fw_loop_init(&loop, &config));
    listener = peer_listen(PEER_V4);
    CHECK(fw_loop_add_listener(&loop, listener, false));
    client = (struct peer){.fd = peer_connect(listener)};
    sending = NULL;
    sent = 0;
    app_while_waiting = NULL;
}

static void end(void)
{
    peer_close(&client);
    fw_loop_drop(&loop);
    close(listener);
    CHECK_EQUAL(fault_blocks(), 0);
    CHECK_EQUAL(fault_descriptors(), descriptors);
}

static void turn(void)
{
    struct fw_conn *conn;
    fw_loop_step(&loop);
    while (atomic_load(&loop.stop) != FW_STOP_NOW && (conn = fw_loop_take(&loop)) != NULL) {
        app_serve(conn, &loop);
        fw_loop_give(&loop, conn);
    }
    peer_read(&client);
}

#define TURN_UNTIL(condition)                                                                                \
    do {                                                                                                     \
        uint64_t end_ms_ = peer_now_ms() + GIVE_UP_MS;                                                       \
        while (!(condition) && CHECK(peer_now_ms() < end_ms_ && #condition))                                 \
            turn();                                                                                          \
    } while (0)

/* The client's next piece. */
static void send_piece(void)
{
    size_t left = sending->len - sent;
    sent += peer_write(&client, sending->data + sent, piece < left ? piece : left);
    peer_read(&client);
}

static void say(const char *text)
{
    CHECK_EQUAL(peer_write(&client, text, strlen(text)), strlen(text));
}

static int only_status(void)
{
    struct answer answer = {0};
    long n = answer_read(&answer, client.got.data != NULL ? client.got.data : "", client.got.len, false,
                         client.ended);
    int status = n > 0 && (size_t)n == client.got.len ? answer.status : -(int)client.got.len;
    answer_drop(&answer);
    return status;
}

static struct script bodies(void)
{
    struct script script = {0};
    script_add(&script, "POST", "/echo/1", 1, SCRIPT_PLAIN);
    script_add(&script, "POST", "/echo/2", 3000, SCRIPT_CHUNKED);
    script_add(&script, "GET", "/echo/3", 0, SCRIPT_PLAIN);
    script_add(&script, "POST", "/echo/4", 40000, SCRIPT_PLAIN);
    script_add(&script, "POST", "/echo/5", 500, SCRIPT_EXPECT);
    script_add(&script, "POST", "/echo/6", 40000, SCRIPT_CHUNKED | SCRIPT_EXPECT);
    script_add(&script, "POST", "/echo/7", 0, SCRIPT_CHUNKED);
    script_add(&script, "POST", "/echo/8", 300, SCRIPT_OLD);
    return script;
}

/* The bytes are the same, whatever the pieces; and so is what is behind a body. */
static void pieces_of_all_sizes(void)
{
    static const size_t sizes[] = {1, 2, 99, 5000, 200000};
    struct script script = bodies();
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        begin();
        fw_test_note("pieces of %zu", sizes[i]);
        sending = &script.requests;
        piece = sizes[i];
        app_while_waiting = send_piece;
        uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
        while (!client.ended && CHECK(peer_now_ms() < end_ms)) {
            send_piece();
            turn();
        }
        struct verdict verdict = script_check(&script, &client);
        CHECK(!verdict.wrong && !verdict.torn && verdict.refusal == 0);
        CHECK(verdict.whole == script.count && verdict.last_close);
        CHECK_EQUAL(loop.env.refusals.count, 0);
        end();
    }
    script_drop(&script);
}

/* What has been read is not kept. */
static size_t bytes_most;

static void send_and_look(void)
{
    send_piece();
    if (fault_bytes() > bytes_most)
        bytes_most = fault_bytes();
}

static void memory_stays_flat(void)
{
    struct script script = {0};
    script_add(&script, "POST", "/echo", 3000000, SCRIPT_OLD);
    begin();
    loop.env.limits.body = 0;
    bytes_most = 0;
    size_t before = fault_bytes();
    sending = &script.requests;
    piece = 20000;
    app_while_waiting = send_and_look;
    uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
    while (!client.ended && CHECK(peer_now_ms() < end_ms)) {
        send_piece();
        turn();
    }
    CHECK_EQUAL(script_check(&script, &client).whole, 1);
    CHECK(bytes_most > before && bytes_most < before + 400000);
    end();
    script_drop(&script);
}

/* --- deadlines --- */

static unsigned long waits;

static void time_passes(void)
{
    waits++;
    fault_clock_wait(BODY_MS - 1000);
}

static void who_sends_nothing_is_told(void)
{
    begin();
    app_while_waiting = time_passes;
    waits = 0;
    say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    TURN_UNTIL(client.got.len > 0);
    CHECK_EQUAL(only_status(), 408);
    CHECK(waits > 1);
    end();
}

static void send_a_byte(void)
{
    time_passes();
    say("x");
}

static void who_sends_slowly_has_his_time(void)
{
    begin();
    app_while_waiting = send_a_byte;
    waits = 0;
    say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    TURN_UNTIL(client.got.len > 0);
    CHECK_EQUAL(only_status(), 200);
    CHECK(waits >= 9);
    end();
}

static void stop_now(void)
{
    fw_loop_stop(&loop, FW_STOP_NOW);
}

static void stop_gracefully(void)
{
    if (atomic_load(&loop.stop) == FW_STOP_NO)
        fw_loop_stop(&loop, FW_STOP_GRACEFUL);
    else
        fault_clock_wait(1000);
}

static void a_stop_ends_the_wait(void)
{
    for (int now = 0; now < 2; now++) {
        begin();
        app_while_waiting = now ? stop_now : stop_gracefully;
        say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
        uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
        while (!fw_loop_done(&loop) && CHECK(peer_now_ms() < end_ms))
            turn();
        fw_loop_end(&loop);
        peer_read(&client);
        CHECK_EQUAL(client.got.len, 0);
        end();
    }
}

/* --- clients that go, or send what is wrong --- */

static void go(void)
{
    shutdown(client.fd, SHUT_WR);
}

static void reset(void)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (client.fd >= 0) {
        setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(client.fd);
        client.fd = -1;
    }
}

static void who_goes_is_let_go(void)
{
    for (int how = 0; how < 2; how++) {
        begin();
        app_while_waiting = how ? reset : go;
        say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
        TURN_UNTIL(loop.requests == 1 && loop.connections == 0);
        CHECK_EQUAL(client.got.len, 0);
        end();
    }
}

static void say_too_much(void)
{
    say("c351\r\n"); /* one byte more than the limit */
}

static void say_nonsense(void)
{
    say("x\r\n");
}

static void refusals_in_mid_body(void)
{
    static const struct {
        void (*say)(void);
        int status;
    } kinds[] = {{say_too_much, 413}, {say_nonsense, 400}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        begin();
        app_while_waiting = kinds[i].say;
        say("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        TURN_UNTIL(client.ended);
        CHECK_EQUAL(only_status(), kinds[i].status);
        end();
    }
    begin(); /* one that is seen at once never comes to the application */
    say("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
    TURN_UNTIL(client.ended);
    CHECK_EQUAL(only_status(), 400);
    CHECK_EQUAL(loop.requests, 0);
    end();
}

/* --- what is not read --- */

static void what_is_not_read(void)
{
    begin(); /* what is here is thrown away */
    say("POST /empty HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    fault_fail(FAULT_recv, 2, 1, EAGAIN);
    TURN_UNTIL(loop.queues[FW_QUEUE_READY].count == 0 && client.got.len > 0);
    TURN_UNTIL(client.ended); /* the rest is not here */
    end();
    begin();
    struct text text = {0};
    text_print(&text, "POST /empty HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n");
    for (int i = 0; i < 300; i++)
        text_print(&text, "%0100d", i);
    text_print(&text, "GET /close HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQUAL(peer_write(&client, text.data, text.len), text.len);
    TURN_UNTIL(client.ended);
    CHECK_EQUAL(loop.requests, 2);
    text_drop(&text);
    end();
    begin(); /* who was not told to go on */
    say("POST /empty HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
    TURN_UNTIL(client.ended);
    CHECK(strstr(client.got.data, "100 Continue") == NULL);
    CHECK(strstr(client.got.data, "Connection: close") != NULL);
    end();
}

/* --- 100 Continue to a socket that has little room --- */

static void send_when_told(void)
{
    peer_read(&client);
    if (client.got.len == 25 && sent == 0) {
        CHECK(text_is(&client.got, "HTTP/1.1 100 Continue\r\n\r\n"));
        fault_most(FAULT_send, 0);
        say("hello");
        sent = 5;
    }
}

static void continue_may_leave_in_pieces(void)
{
    begin();
    say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    fault_most(FAULT_send, 10);
    app_while_waiting = send_when_told;
    TURN_UNTIL(client.got.len > 25);
    CHECK(fault_calls(FAULT_send) > 3);
    text_take(&client.got, 25);
    TURN_UNTIL(only_status() == 200);
    CHECK_EQUAL(loop.requests, 1);
    end();
}

/* --- faults --- */

static const struct {
    enum fault_call call;
    int error;
} faults[] = {
    {FAULT_alloc, 0},       {FAULT_recv, ECONNRESET},  {FAULT_recv, EINTR},
    {FAULT_send, EPIPE},    {FAULT_send, EINTR},       {FAULT_send, EAGAIN},
    {FAULT_sendmsg, EPIPE}, {FAULT_epoll_ctl, ENOMEM}, {FAULT_epoll_wait, EINTR},
};

/* The n-th call fails, for every n: never a wrong byte, no body that is cut and taken for whole. */
static void every_call_fails_once(void)
{
    struct script script = bodies();
    for (size_t i = 0; i < COUNT_OF(faults); i++)
        for (unsigned long n = 1;; n++) {
            fw_test_note("%s no. %lu: %s", fault_name(faults[i].call), n, strerror(faults[i].error));
            begin();
            fault_fail(faults[i].call, n, 1, faults[i].error);
            sending = &script.requests;
            piece = 9000;
            app_while_waiting = send_piece;
            uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
            while (!client.ended && !client.reset && CHECK(peer_now_ms() < end_ms)) {
                send_piece();
                if (client.got.len > 0 && script_check(&script, &client).refusal != 0)
                    shutdown(client.fd, SHUT_WR);
                turn();
                if (loop.listen_again_ms > 0)
                    fault_clock_wait(200);
            }
            struct verdict verdict = script_check(&script, &client);
            CHECK(!verdict.wrong);
            bool heals = faults[i].error == EINTR || faults[i].error == EAGAIN;
            CHECK(verdict.whole == script.count || (fault_was_hit() && !heals));
            bool done = !fault_was_hit();
            end();
            if (done)
                break;
        }
    script_drop(&script);
}

static const struct fw_test tests[] = {
    {"pieces_of_all_sizes", pieces_of_all_sizes},
    {"memory_stays_flat", memory_stays_flat},
    {"who_sends_nothing_is_told", who_sends_nothing_is_told},
    {"who_sends_slowly_has_his_time", who_sends_slowly_has_his_time},
    {"a_stop_ends_the_wait", a_stop_ends_the_wait},
    {"who_goes_is_let_go", who_goes_is_let_go},
    {"refusals_in_mid_body", refusals_in_mid_body},
    {"what_is_not_read", what_is_not_read},
    {"continue_may_leave_in_pieces", continue_may_leave_in_pieces},
    {"every_call_fails_once", every_call_fails_once},
};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* as Python does */
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
