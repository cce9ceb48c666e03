/* Tests of the access lines that a loop's requests leave: one each, however it ends, and never one too early.
 */
#define _GNU_SOURCE
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LARGE = 8000000 };

static struct peer *client;

static void begin_with(const char *format, int fd)
{
    live_configure();
    config.queue_mark = 100 * (size_t)LARGE;
    live_log(format, fd);
    CHECK(live_start());
    client = live_connect(PEER_V4);
}

static void begin(void)
{
    begin_with("%(h)s %(r)s|%(s)s|%(b)s", -1);
}

static void say(const char *text)
{
    live_say(client, text);
}

static void expect(const char *want)
{
    TURN_UNTIL(strlen(live_lines()) >= strlen(want));
    fw_test_note("%s", live_lines());
    CHECK(strcmp(live_lines(), want) == 0);
}

static void requests_that_are_answered(void)
{
    begin();
    say("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("127.0.0.1 GET /echo HTTP/1.1|200|10\n");
    say("GET /empty HTTP/1.1\r\nHost: a\r\n\r\nHEAD /large/500 HTTP/1.1\r\nHost: a\r\n\r\n");
    say("GET /stream/3/7 HTTP/1.1\r\nHost: a\r\n\r\nGET /fail HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("127.0.0.1 GET /echo HTTP/1.1|200|10\n"
           "127.0.0.1 GET /empty HTTP/1.1|204|0\n"
           "127.0.0.1 HEAD /large/500 HTTP/1.1|200|0\n"
           "127.0.0.1 GET /stream/3/7 HTTP/1.1|200|21\n"
           "127.0.0.1 GET /fail HTTP/1.1|500|46\n");
    live_end();
}

static void answers_that_are_cut(void)
{
    begin();
    say("GET /cut/300 HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("127.0.0.1 GET /cut/300 HTTP/1.1|200|300\n");
    live_end();
}

static void requests_that_are_refused(void)
{
    const struct {
        const char *sent, *want;
    } cases[] = {
        {"GET  / HTTP/1.1\r\n\r\n", "127.0.0.1 GET  / HTTP/1.1|400|67\n"},
        {"\r\nGET / HTTP/3.0\r\n\r\n", "127.0.0.1 GET / HTTP/3.0|505|70\n"},
        {"GET / HTTP/1.1\r\n\r\n", "127.0.0.1 GET / HTTP/1.1|400|56\n"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
         "127.0.0.1 POST / HTTP/1.1|400|56\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        begin();
        say(cases[i].sent);
        expect(cases[i].want);
        TURN_UNTIL(client->ended);
        const char *body = strstr(client->got.data, "\r\n\r\n") + 4;
        const char *number = strrchr(cases[i].want, '|') + 1; /* what the client got of it */
        CHECK_EQUAL(client->got.data + client->got.len - body, atoi(number));
        live_end();
    }
}

static void requests_that_are_not_whole_in_time(void)
{
    begin();
    say("GET /slow HTT");
    TURN_UNTIL(loop.queues[FW_QUEUE_HEAD].count == 1);
    live_turn();
    CHECK(strcmp(live_lines(), "") == 0);
    fault_clock_wait(HEAD_MS);
    expect("127.0.0.1 GET /slow HTT|408|57\n");
    live_end();

    begin();
    say("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    TURN_UNTIL(loop.queues[FW_QUEUE_BODY].count == 1);
    fault_clock_wait(BODY_MS);
    expect("127.0.0.1 POST /slow HTTP/1.1|408|57\n");
    live_end();

    begin();
    fw_rate_set(&loop.env.body_rate, 100, BODY_MS);
    say("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n");
    TURN_UNTIL(loop.queues[FW_QUEUE_BODY].count == 1);
    for (int i = 0; i < 4; i++) { /* a third of what it should be, ends after half as long again */
        fault_clock_wait(BODY_MS / 2);
        TURN_UNTIL(fault_clock_left() == 0);
        CHECK_EQUAL(strlen(live_lines()) > 0, i == 3);
        char portion[67] = "";
        memset(portion, 'b', sizeof portion - 1);
        say(portion);
        live_turn();
    }
    expect("127.0.0.1 POST /slow HTTP/1.1|408|73\n");
    live_end();
}

static void an_idle_connection_leaves_no_line(void)
{
    begin();
    TURN_UNTIL(loop.queues[FW_QUEUE_HEAD].count == 1);
    fault_clock_wait(HEAD_MS);
    TURN_UNTIL(client->ended);
    CHECK(strcmp(live_lines(), "") == 0);
    live_end();
}

static void reset(struct peer *peer)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    peer_close(peer);
}

static void clients_that_leave_within_their_request(void)
{
    void (*const ways[])(struct peer *) = {peer_close, reset};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        begin();
        say("GET /half HTTP");
        TURN_UNTIL(loop.queues[FW_QUEUE_HEAD].count == 1);
        ways[i](client);
        expect("127.0.0.1 GET /half HTTP|499|0\n");
        live_end();

        begin();
        say("POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
        TURN_UNTIL(loop.queues[FW_QUEUE_BODY].count == 1);
        ways[i](client);
        expect("127.0.0.1 POST /half HTTP/1.1|499|0\n");
        live_end();
    }
}

/* Status and bytes of the only line. */
static void expect_end(const char *target, int status, bool all)
{
    char want[64];
    TURN_UNTIL(strchr(live_lines(), '\n') != NULL);
    int n = snprintf(want, sizeof want, "127.0.0.1 GET %s HTTP/1.1|%d|", target, status);
    fw_test_note("%s %d: %s", target, status, live_lines());
    CHECK(strncmp(live_lines(), want, (size_t)n) == 0);
    long bytes = atol(live_lines() + n);
    CHECK(all ? bytes == LARGE : bytes > 0 && bytes < LARGE);
}

static void answers_that_are_taken_slowly(void)
{
    static const char *const targets[] = {"/large/8000000", "/file/8000000", "/stream/1000/8000"};
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        for (int how = 0; how < 4; how++) {
            char request[128];
            snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", targets[i]);
            fw_test_note("%s, %d", targets[i], how);
            begin();
            clients_read = false;
            if (how == 3)
                loop.env.timeouts.write_ms = 0; /* then it is the rate that is not kept */
            say(request);
            TURN_UNTIL(loop.queues[FW_QUEUE_WRITE].count == 1);
            live_turn();
            CHECK(strcmp(live_lines(), "") == 0); /* how it ends is not known yet */
            if (how == 0) {
                clients_read = true;
                expect_end(targets[i], 200, true);
                CHECK(client->got.len > LARGE);
                say("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"); /* the request behind it is served */
                TURN_UNTIL(loop.requests == 2);
            } else if (how == 1 || how == 3) {
                do { /* as often as the kernel finds room after all */
                    fault_clock_wait(WRITE_MS);
                    live_turn();
                } while (loop.connections > 0);
                expect_end(targets[i], 499, false);
            } else {
                reset(client);
                expect_end(targets[i], 499, false);
            }
            clients_read = true;
            live_end();
        }
}

static void the_end_of_the_loop_leaves_a_line(void)
{
    begin();
    clients_read = false;
    say("GET /large/8000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    TURN_UNTIL(loop.queues[FW_QUEUE_WRITE].count == 1);
    fw_loop_drop(&loop);
    expect_end("/large/8000000", 200, false);
    CHECK(fw_loop_init(&loop, &config));
    clients_read = true;
    live_end();
}

static void take_50_ms(struct fw_conn *conn)
{
    (void)conn;
    fault_clock_step(50);
}

static void leave_within_50_ms(struct fw_conn *conn)
{
    (void)conn;
    fault_clock_step(50);
    peer_close(client);
    usleep(1000); /* the loopback interface delivers the end before close() returns; it costs nothing to be
                     sure */
}

static void how_long_it_took(void)
{
    begin_with("%(M)s %(s)s", -1);
    say("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("0 200\n");
    before_serving = take_50_ms;
    say("GET /echo HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("0 200\n50 200\n50 200\n");
    before_serving = leave_within_50_ms;
    say("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("0 200\n50 200\n50 200\n50 499\n");
    live_end();
}

static void say_no_more_within_50_ms(struct fw_conn *conn)
{
    (void)conn;
    fault_clock_step(50);
    shutdown(client->fd, SHUT_WR);
}

/* Who leaves when all of the answer is sent, while close() goes on for long, say, has had it. */
static void a_client_that_leaves_with_the_whole_answer(void)
{
    begin_with("%(M)s %(s)s", -1);
    before_serving = say_no_more_within_50_ms;
    say("GET /large/9000 HTTP/1.1\r\nHost: a\r\n\r\n"); /* so large a block is sent at once */
    expect("50 200\n");
    live_end();
}

/* Half a connection is closed by hardly anybody, and who does so before a quick answer is not gone. */
static void a_client_that_says_no_more_and_reads(void)
{
    begin();
    say("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(client->fd, SHUT_WR);
    expect("127.0.0.1 GET /echo HTTP/1.1|200|10\n");
    TURN_UNTIL(client->ended);
    live_end();
}

static void lines_of_a_turn_are_written_together(void)
{
    begin();
    char many[64 * 40] = "";
    for (int i = 0; i < 20; i++)
        strcat(many, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    say(many);
    TURN_UNTIL(loop.requests == 20);
    CHECK(strlen(live_lines()) == 20 * strlen("127.0.0.1 GET /echo HTTP/1.1|200|10\n"));
    CHECK_EQUAL(fault_calls(FAULT_writev), 1);
    live_end();
}

/* A pipe that is full: nothing waits for it, the loop looks again by itself, and then all lines are there. */
static void a_pipe_that_is_full_for_a_while(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    static char filler[4096];
    while (write(ends[1], filler, sizeof filler) > 0)
        ;
    begin_with("%(s)s", ends[1]);
    say("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    TURN_UNTIL(loop.requests == 1 && client->got.len > 0);
    CHECK(fw_loop_lines_wait(&loop));
    live_turn();
    CHECK_EQUAL(fault_wait_ms(), 250);
    CHECK_EQUAL(fault_polls_that_waited(), 0);
    while (read(ends[0], filler, sizeof filler) > 0)
        ;
    live_turn();
    CHECK(read(ends[0], filler, sizeof filler) == 4 && memcmp(filler, "200\n", 4) == 0);
    CHECK(!fw_loop_lines_wait(&loop));
    live_end();
    close(ends[0]);
    close(ends[1]);
}

/* The application hangs, and the lines before it are not held by it. */
static void the_monitor_writes_lines(void)
{
    begin();
    struct fw_monitor monitor;
    CHECK(fw_monitor_init(&monitor, &loop, 1));
    struct fw_player *me = &monitor.baton.players[0];
    struct fw_access_entry entry = {.status = 200, .base = ""};
    fw_access_note(config.access, &entry);
    fw_monitor_offer(&monitor, me, NULL);
    uint64_t give_up = peer_now_ms() + LIVE_GIVE_UP_MS;
    while (strcmp(live_lines(), "- -|200|0\n") != 0 && CHECK(peer_now_ms() < give_up))
        usleep(200);
    CHECK(fw_monitor_reclaim(&monitor, me));
    fw_monitor_drop(&monitor);
    live_end();
}

/* Whatever fails: a request has one line or is counted, and nothing leaks. */
static void the_nth_call_fails(void)
{
    static const enum fault_call calls[] = {FAULT_alloc, FAULT_writev, FAULT_send, FAULT_recv};
    for (size_t c = 0; c < COUNT_OF(calls); c++)
        for (unsigned long n = 1; n < 12; n++) {
            begin();
            fault_fail(calls[c], n, 1,
                       calls[c] == FAULT_alloc    ? ENOMEM
                       : calls[c] == FAULT_writev ? EIO
                                                  : ECONNRESET);
            for (int i = 0; i < 3 && client->fd >= 0 && !client->ended && !client->reset; i++) {
                uint64_t before = loop.requests;
                say("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
                TURN_UNTIL(loop.requests > before || client->ended || client->reset || fault_was_hit());
                live_turn();
                live_turn();
            }
            uint64_t count = 0;
            for (const char *at = live_lines(); (at = strchr(at, '\n')) != NULL; at++)
                count++;
            fw_test_note("%s %lu: %s", fault_name(calls[c]), n, live_lines());
            CHECK(count + config.access->sink.lost >= loop.requests && count <= 4);
            live_end();
        }
}

int main(int argc, char **argv)
{
    static const struct fw_test tests[] = {
        {"requests_that_are_answered", requests_that_are_answered},
        {"answers_that_are_cut", answers_that_are_cut},
        {"requests_that_are_refused", requests_that_are_refused},
        {"requests_that_are_not_whole_in_time", requests_that_are_not_whole_in_time},
        {"an_idle_connection_leaves_no_line", an_idle_connection_leaves_no_line},
        {"clients_that_leave_within_their_request", clients_that_leave_within_their_request},
        {"answers_that_are_taken_slowly", answers_that_are_taken_slowly},
        {"the_end_of_the_loop_leaves_a_line", the_end_of_the_loop_leaves_a_line},
        {"how_long_it_took", how_long_it_took},
        {"a_client_that_leaves_with_the_whole_answer", a_client_that_leaves_with_the_whole_answer},
        {"a_client_that_says_no_more_and_reads", a_client_that_says_no_more_and_reads},
        {"lines_of_a_turn_are_written_together", lines_of_a_turn_are_written_together},
        {"a_pipe_that_is_full_for_a_while", a_pipe_that_is_full_for_a_while},
        {"the_monitor_writes_lines", the_monitor_writes_lines},
        {"the_nth_call_fails", the_nth_call_fails},
    };
    signal(SIGPIPE, SIG_IGN);
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
