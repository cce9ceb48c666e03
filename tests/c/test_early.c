/* Tests of bodies that are read as they come: fw_conn_body_pull() and fw_loop_wait_body(), with app.c for an
 * application and a client who sends while that waits. */
#define _GNU_SOURCE
#include "live.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct peer *client;
static const struct text *sending;
static size_t sent, piece;

static void begin_by(enum peer_family family)
{
    live_configure();
    config.body_early = true;
    config.grace_ms = BODY_MS - 1000;
    config.body_memory = 1000;
    config.limits.body = 50000;
    CHECK(live_start());
    client = live_connect(family);
    sending = NULL;
    sent = 0;
}

static void begin(void)
{
    begin_by(PEER_UNIX);
}

/* The client's next piece. */
static void send_piece(void)
{
    size_t left = sending->len - sent;
    sent += peer_write(client, sending->data + sent, piece < left ? piece : left);
    peer_read(client);
}

static void say(const char *text)
{
    live_say(client, text);
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
        uint64_t end_ms = peer_now_ms() + LIVE_GIVE_UP_MS;
        while (!client->ended && CHECK(peer_now_ms() < end_ms)) {
            send_piece();
            live_turn();
        }
        struct verdict verdict = script_check(&script, client);
        CHECK(!verdict.wrong && !verdict.torn && verdict.refusal == 0);
        CHECK(verdict.whole == script.count && verdict.last_close);
        CHECK_EQUAL(loop.env.refusals.count, 0);
        live_end();
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
    begin_by(PEER_V4);
    loop.env.limits.body = 0;
    bytes_most = 0;
    size_t before = fault_bytes();
    sending = &script.requests;
    piece = 20000;
    app_while_waiting = send_and_look;
    uint64_t end_ms = peer_now_ms() + LIVE_GIVE_UP_MS;
    while (!client->ended && CHECK(peer_now_ms() < end_ms)) {
        send_piece();
        live_turn();
    }
    CHECK_EQUAL(script_check(&script, client).whole, 1);
    CHECK(bytes_most > before && bytes_most < before + 400000);
    live_end();
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
    TURN_UNTIL(client->got.len > 0);
    CHECK_EQUAL(live_only_status(client), 408);
    CHECK(waits > 1);
    live_end();
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
    TURN_UNTIL(client->got.len > 0);
    CHECK_EQUAL(live_only_status(client), 200);
    CHECK(waits >= 9);
    live_end();
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
        uint64_t end_ms = peer_now_ms() + LIVE_GIVE_UP_MS;
        while (!fw_loop_done(&loop) && CHECK(peer_now_ms() < end_ms))
            live_turn();
        fw_loop_end(&loop);
        peer_read(client);
        CHECK_EQUAL(client->got.len, 0);
        live_end();
    }
}

static void send_if_told_to(void)
{
    peer_read(client);
    if (client->got.len > 0)
        say("123456789");
    else
        fault_clock_wait(BODY_MS);
}

/* Nobody but this client could wake the loop again, and he waits for it. */
static void an_interrupted_continue_is_said_at_once(void)
{
    begin();
    app_while_waiting = send_if_told_to;
    fault_fail(FAULT_send, 1, 1, EINTR);
    say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
    TURN_UNTIL(loop.requests == 1);
    CHECK(strncmp(client->got.data, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", 40) == 0);
    live_end();
}

/* --- clients that go, or send what is wrong --- */

static void go(void)
{
    shutdown(client->fd, SHUT_WR);
}

static void reset(void)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (client->fd >= 0) {
        setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(client->fd);
        client->fd = -1;
    }
}

static void who_goes_is_let_go(void)
{
    for (int how = 0; how < 2; how++) {
        begin();
        app_while_waiting = how ? reset : go;
        say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
        TURN_UNTIL(loop.requests == 1 && loop.connections == 0);
        CHECK_EQUAL(client->got.len, 0);
        live_end();
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
        TURN_UNTIL(client->ended);
        CHECK_EQUAL(live_only_status(client), kinds[i].status);
        live_end();
    }
    begin(); /* one that is seen at once never comes to the application */
    say("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
    TURN_UNTIL(client->ended);
    CHECK_EQUAL(live_only_status(client), 400);
    CHECK_EQUAL(loop.requests, 0);
    live_end();
}

/* The poller has no room for it: the request is refused, and its client's end is seen as soon as it comes. */
static void who_cannot_be_polled_is_refused(void)
{
    begin();
    say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    fault_fail(FAULT_epoll_ctl, LIVE_FAMILIES + 1, 1, ENOSPC); /* the listeners are */
    TURN_UNTIL(client->got.len > 0);
    CHECK(fault_was_hit());
    CHECK_EQUAL(live_only_status(client), 503);
    go();
    TURN_UNTIL(loop.connections == 0); /* the clock stands still */
    live_end();
}

/* --- what is not read --- */

static void what_is_not_read(void)
{
    begin(); /* what is here is thrown away */
    say("POST /empty HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    fault_fail(FAULT_recv, 2, 1, EAGAIN);
    TURN_UNTIL(loop.queues[FW_QUEUE_READY].count == 0 && client->got.len > 0);
    TURN_UNTIL(client->ended); /* the rest is not here */
    live_end();
    begin();
    struct text text = {0};
    text_print(&text, "POST /empty HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n");
    for (int i = 0; i < 300; i++)
        text_print(&text, "%0100d", i);
    text_print(&text, "GET /close HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQUAL(peer_write(client, text.data, text.len), text.len);
    TURN_UNTIL(client->ended);
    CHECK_EQUAL(loop.requests, 2);
    text_drop(&text);
    live_end();
    begin(); /* who was not told to go on */
    say("POST /empty HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
    TURN_UNTIL(client->ended);
    CHECK(strstr(client->got.data, "100 Continue") == NULL);
    CHECK(strstr(client->got.data, "Connection: close") != NULL);
    live_end();
}

/* --- 100 Continue to a socket that has little room --- */

static void send_when_told(void)
{
    peer_read(client);
    if (client->got.len == 25 && sent == 0) {
        CHECK(text_is(&client->got, "HTTP/1.1 100 Continue\r\n\r\n"));
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
    TURN_UNTIL(client->got.len > 25);
    CHECK(fault_calls(FAULT_send) > 3);
    text_take(&client->got, 25);
    TURN_UNTIL(live_only_status(client) == 200);
    CHECK_EQUAL(loop.requests, 1);
    live_end();
}

static const struct fw_test tests[] = {
    {"pieces_of_all_sizes", pieces_of_all_sizes},
    {"memory_stays_flat", memory_stays_flat},
    {"who_sends_nothing_is_told", who_sends_nothing_is_told},
    {"who_sends_slowly_has_his_time", who_sends_slowly_has_his_time},
    {"an_interrupted_continue_is_said_at_once", an_interrupted_continue_is_said_at_once},
    {"a_stop_ends_the_wait", a_stop_ends_the_wait},
    {"who_goes_is_let_go", who_goes_is_let_go},
    {"refusals_in_mid_body", refusals_in_mid_body},
    {"who_cannot_be_polled_is_refused", who_cannot_be_polled_is_refused},
    {"what_is_not_read", what_is_not_read},
    {"continue_may_leave_in_pieces", continue_may_leave_in_pieces},
};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* as Python does */
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
