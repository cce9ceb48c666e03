/* Tests of who the client of a connection is said to be: the PROXY protocol, fields of trusted proxies. */
#define _GNU_SOURCE
#include "live.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n"
#define LINE    "PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n"

static const char block[] =
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0F\xC0\x00\x02\x01\xC6\x33\x64\x07\x12\x67\x01\xBB"
    "\x04\x00\x00";
static const char local_block[] = "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
static const struct fw_network loopback = {4, 8, {127}}, inside = {4, 8, {10}};
static const char schemes[] = "\x11\x05x-forwarded-protohttps";
static const char names[] = "\x0b\x00script_name";

static struct fw_loop_config wish; /* what a test is about */
static struct peer *client;
static int asked;
static char seen[65536];

/* What is known of a request's client, a line each: address, port, traits. */
static void note(struct fw_conn *conn)
{
    size_t at = strlen(seen);
    snprintf(seen + at, sizeof seen - at, "%.*s %.*s%s%s%s\n", conn->addr_len, conn->addr, conn->port_len,
             conn->port_text, conn->traits & FW_CLIENT_PROXY ? " proxy" : "",
             conn->traits & FW_CLIENT_HTTPS ? " https" : "",
             conn->traits & FW_CLIENT_SCRIPT ? " script" : "");
    CHECK_EQUAL(!!(conn->traits & FW_CLIENT_ADDR), conn->addr_len > 0);
    CHECK_EQUAL(!!(conn->traits & FW_CLIENT_PORT), conn->port_len > 0);
    asked++;
}

static void begin_by(enum peer_family family)
{
    live_configure();
    config.proxy_mode = wish.proxy_mode;
    config.proxy_peers = wish.proxy_peers;
    config.forwarded = wish.forwarded;
    live_log("%(h)s %(U)s %(s)s %(D)s", -1);
    CHECK(live_start());
    before_serving = note;
    client = live_connect(family);
    seen[0] = '\0';
    asked = 0;
}

static void begin(void)
{
    begin_by(PEER_V4);
}

static void send_bytes(const char *bytes, size_t len)
{
    CHECK_EQUAL(peer_write(client, bytes, len), len);
}

static void say(const char *text)
{
    send_bytes(text, strlen(text));
}

/* The server has read all of it, and waits. */
static void settle(void)
{
    live_turns(3);
}

static void expect_seen(const char *want)
{
    fw_test_note("%s", seen);
    CHECK(strcmp(seen, want) == 0);
}

static void expect_lines(const char *want)
{
    TURN_UNTIL(strlen(live_lines()) >= strlen(want));
    fw_test_note("%s", live_lines());
    CHECK(strcmp(live_lines(), want) == 0);
}

/* The config of a test; everything is off in the beginning. */
static void proxies(enum fw_proxy_mode mode, bool allowed)
{
    wish = (struct fw_loop_config){.proxy_mode = (uint8_t)mode};
    wish.proxy_peers = (struct fw_networks){.each = &loopback, .count = allowed};
}

static void fields_of(const struct fw_network *trusted, enum fw_name name)
{
    wish.forwarded = (struct fw_forwarded_rules){
        .proxies = {.each = trusted, .count = 1},
        .schemes = {schemes, sizeof schemes - 1},
        .names = {names, sizeof names - 1},
        .client = (uint8_t)name,
    };
}

static void told_for_every_request(const char *header, size_t len)
{
    /* in one packet, in two, and byte by byte */
    for (size_t cut = 0; cut <= len + 1; cut++) {
        proxies(FW_PROXY_AUTO, true);
        begin();
        if (cut <= len) {
            send_bytes(header, cut);
            if (cut > 0)
                settle();
            send_bytes(header + cut, len - cut);
            say(REQUEST);
        } else {
            for (size_t at = 0; at < len; at++) {
                send_bytes(header + at, 1);
                settle();
            }
            say(REQUEST);
        }
        fw_test_note("cut at %zu", cut);
        TURN_UNTIL(asked == 1);
        say(REQUEST REQUEST);
        TURN_UNTIL(asked == 3);
        expect_seen("192.0.2.1 4711 proxy\n192.0.2.1 4711 proxy\n192.0.2.1 4711 proxy\n");
        expect_lines("192.0.2.1 /empty 204 0\n192.0.2.1 /empty 204 0\n192.0.2.1 /empty 204 0\n");
        CHECK_EQUAL(loop.env.refusals.count, 0);
        live_end();
    }
}

static void version_1(void)
{
    told_for_every_request(LINE, sizeof LINE - 1);
}

static void version_2(void)
{
    told_for_every_request(block, sizeof block - 1);
}

static void the_header_may_be_missing(void)
{
    for (int allowed = 0; allowed < 2; allowed++) {
        proxies(FW_PROXY_AUTO, allowed);
        begin();
        say("\r\n" REQUEST);
        TURN_UNTIL(asked == 1);
        CHECK(strncmp(seen, "127.0.0.1 ", 10) == 0 && strstr(seen, "proxy") == NULL);
        /* only in front of the first one */
        say(LINE);
        TURN_UNTIL(client->got.len > 0 && strstr(client->got.data, "HTTP/1.1 400") != NULL);
        live_end();
    }
    proxies(FW_PROXY_OFF, true);
    begin();
    say(LINE);
    TURN_UNTIL(client->got.len > 0 && strstr(client->got.data, "HTTP/1.1 400") != NULL);
    CHECK_EQUAL(loop.env.refusals.each[0].error, FW_E_REQUEST_LINE);
    live_end();
}

static void a_proxy_may_speak_for_itself(void)
{
    proxies(FW_PROXY_AUTO, true);
    begin();
    send_bytes(local_block, sizeof local_block - 1);
    say(REQUEST);
    TURN_UNTIL(asked == 1);
    CHECK(strncmp(seen, "127.0.0.1 ", 10) == 0 && strstr(seen, " proxy\n") != NULL);
    live_end();
}

static void a_wrong_header_is_refused(void)
{
    static const char wrong[] = "PROXY TCP4 192.0.2.1 198.51.100.7 4711\r\n" REQUEST;
    proxies(FW_PROXY_AUTO, true);
    begin();
    say(wrong);
    TURN_UNTIL(client->ended);
    CHECK(strncmp(client->got.data, "HTTP/1.1 400 ", 13) == 0);
    CHECK_EQUAL(loop.env.refusals.count, 1);
    CHECK_EQUAL(loop.env.refusals.each[0].error, FW_E_PROXY_HEADER);
    CHECK_EQUAL(asked, 0);
    expect_lines("127.0.0.1 - 400 0\n");
    live_end();
}

static void a_stranger_is_refused(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } headers[] = {{LINE REQUEST, sizeof LINE REQUEST - 1}, {block, sizeof block - 1}, {"PROXY ", 6}};
    for (size_t at = 0; at < COUNT_OF(headers); at++) {
        proxies(FW_PROXY_AUTO, false);
        begin();
        send_bytes(headers[at].bytes, headers[at].len);
        TURN_UNTIL(client->ended);
        CHECK(strncmp(client->got.data, "HTTP/1.1 403 ", 13) == 0);
        CHECK_EQUAL(loop.env.refusals.each[0].error, FW_E_PROXY_FORBIDDEN);
        CHECK_EQUAL(asked, 0);
        live_end();
    }
}

static void half_a_header_has_the_heads_time(void)
{
    proxies(FW_PROXY_AUTO, true);
    begin();
    say("PROXY TCP4 192.0");
    settle();
    fault_clock_wait(HEAD_MS - 1000);
    settle();
    say("."); /* however it trickles */
    settle();
    CHECK_EQUAL(client->got.len, 0);
    fault_clock_wait(1000);
    TURN_UNTIL(client->ended);
    CHECK(client->got.len > 13 && strncmp(client->got.data, "HTTP/1.1 408 ", 13) == 0);
    CHECK_EQUAL(loop.env.refusals.each[0].error, FW_E_HEAD_TIMEOUT);
    expect_lines("127.0.0.1 - 408 3000000\n");
    live_end();
}

static void a_header_alone_is_an_idle_connection(void)
{
    proxies(FW_PROXY_AUTO, true);
    begin();
    say(LINE);
    settle();
    struct fw_conn *conn = loop.queues[FW_QUEUE_HEAD].first;
    if (CHECK(conn != NULL)) {
        CHECK_EQUAL(conn->state, FW_CONN_IDLE);
        CHECK(conn->in.data == NULL && conn->parser.head.fields == NULL);
    }
    fault_clock_wait(HEAD_MS);
    TURN_UNTIL(client->ended);
    CHECK_EQUAL(client->got.len, 0);
    CHECK_EQUAL(loop.env.refusals.count, 0);
    CHECK(live_lines()[0] == '\0');
    live_end();
}

static void a_client_may_leave(void)
{
    proxies(FW_PROXY_AUTO, true);
    begin(); /* a health check */
    send_bytes(local_block, sizeof local_block - 1);
    settle();
    shutdown(client->fd, SHUT_WR);
    TURN_UNTIL(loop.connections == 0);
    CHECK_EQUAL(loop.env.refusals.count, 0);
    CHECK(live_lines()[0] == '\0');
    live_end();

    begin();
    say("PROXY TCP4 1.2");
    settle();
    shutdown(client->fd, SHUT_WR);
    TURN_UNTIL(loop.connections == 0);
    CHECK_EQUAL(loop.env.refusals.each[0].error, FW_E_PEER_CLOSED);
    expect_lines("127.0.0.1 - 499 0\n");
    live_end();
}

static void fields_count_from_trusted_peers(void)
{
    static const char request[] = "GET /app/empty HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n"
                                  "X-Forwarded-For: 192.0.2.9, 10.0.0.1:8\r\nSCRIPT_NAME: /app\r\n\r\n";
    proxies(FW_PROXY_OFF, false);
    fields_of(&loopback, FW_N_X_FORWARDED_FOR);
    begin();
    app_only_echoes = true;
    say(request);
    TURN_UNTIL(asked == 1);
    expect_seen("10.0.0.1 8 https script\n");
    expect_lines("10.0.0.1 /empty 200 0\n");
    /* and each request has its own */
    say(REQUEST);
    TURN_UNTIL(asked == 2);
    CHECK(strncmp(strchr(seen, '\n'), "\n127.0.0.1 ", 11) == 0 &&
          strstr(strchr(seen, '\n'), "https") == NULL);
    say(request);
    TURN_UNTIL(asked == 3);
    live_end();

    fields_of(&inside, FW_N_X_FORWARDED_FOR);
    begin();
    app_only_echoes = true;
    say(request);
    TURN_UNTIL(asked == 1);
    CHECK(strncmp(seen, "127.0.0.1 ", 10) == 0 && strstr(seen, "https") == NULL);
    expect_lines("127.0.0.1 /app/empty 200 0\n");
    live_end();

    fields_of(&inside, FW_N_X_FORWARDED_FOR);
    begin_by(PEER_UNIX);
    app_only_echoes = true;
    say(request);
    say(REQUEST);
    TURN_UNTIL(asked == 2);
    expect_seen("192.0.2.9  https script\n \n");
    expect_lines("192.0.2.9 /empty 200 0\n- /empty 200 0\n");
    live_end();
}

static void a_contradiction_is_refused(void)
{
    proxies(FW_PROXY_OFF, false);
    fields_of(&loopback, FW_N_OTHER);
    begin();
    say("POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n"
        "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    TURN_UNTIL(client->ended);
    CHECK(strncmp(client->got.data, "HTTP/1.1 400 ", 13) == 0);
    CHECK_EQUAL(loop.env.refusals.each[0].error, FW_E_SCHEME_MIXED);
    live_end();
}

/* Whom the PROXY protocol names has to be trusted himself before his fields name somebody else. */
static void the_protocol_comes_before_the_fields(void)
{
    static const char behind[] = "GET /empty HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n"
                                 "X-Forwarded-For: 203.0.113.5\r\n\r\n";
    static const struct {
        const char *header, *want;
        uint8_t hops;
    } cases[] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n", "192.0.2.1 4711 proxy https\n", 0},
        {"PROXY TCP4 127.0.0.9 198.51.100.7 4711 443\r\n", "203.0.113.5  proxy https\n", 0},
        {"PROXY TCP4 127.0.0.9 198.51.100.7 4711 443\r\n", "127.0.0.9 4711 proxy https\n", 1},
        {"PROXY UNKNOWN\r\n", "203.0.113.5  proxy https\n", 1},
    };
    for (size_t at = 0; at < COUNT_OF(cases); at++) {
        proxies(FW_PROXY_AUTO, true);
        fields_of(&loopback, FW_N_X_FORWARDED_FOR);
        wish.forwarded.hops = cases[at].hops;
        begin();
        say(cases[at].header);
        say(behind);
        TURN_UNTIL(asked == 1);
        expect_seen(cases[at].want);
        live_end();
    }
}

int main(int argc, char **argv)
{
    static const struct fw_test tests[] = {
        {"version 1", version_1},
        {"version 2", version_2},
        {"the header may be missing", the_header_may_be_missing},
        {"a proxy may speak for itself", a_proxy_may_speak_for_itself},
        {"a wrong header is refused", a_wrong_header_is_refused},
        {"a stranger is refused", a_stranger_is_refused},
        {"half a header has the head's time", half_a_header_has_the_heads_time},
        {"a header alone is an idle connection", a_header_alone_is_an_idle_connection},
        {"a client may leave", a_client_may_leave},
        {"fields count from trusted peers", fields_count_from_trusted_peers},
        {"a contradiction is refused", a_contradiction_is_refused},
        {"the protocol comes before the fields", the_protocol_comes_before_the_fields},
    };
    signal(SIGPIPE, SIG_IGN);
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
