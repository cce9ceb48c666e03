/* Tests of fw_conn_upgrade: interim answers, and a socket that the application takes over. One connection,
 * stepped by hand.                                                                               */
#define _GNU_SOURCE
#include "app.h"
#include "fault.h"
#include "fw_test.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct fw_conn_env env;
static struct fw_conn conn;
static struct peer peer;
static int descriptors;

static const char upgrade[] = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: b\r\n\r\n";

/* A connection whose client has sent an upgrade and `behind`, in state APP. */
static void begin(const char *behind)
{
    int fds[2];
    fault_reset();
    fault_clock_stop();
    descriptors = fault_descriptors();
    pair_tcp(fds, 0);
    app_env_init(&env);
    fw_conn_open(&conn, &env, fds[0]);
    peer = (struct peer){.fd = fds[1]};
    peer_write(&peer, upgrade, strlen(upgrade));
    peer_write(&peer, behind, strlen(behind));
    while (fw_conn_step(&conn) == FW_NEED_READ)
        conn.readable = true;
    CHECK_EQUAL(conn.state, FW_CONN_READY);
    CHECK(conn.parser.framing.upgrade);
    while (fw_conn_behind(&conn).len < strlen(behind)) { /* loopback brings them when it likes */
        ssize_t n = recv(conn.fd, conn.in.data + conn.in.len, conn.in.cap - conn.in.len, 0);
        conn.in.len += n > 0 ? (size_t)n : 0;
    }
    fw_conn_serve(&conn);
}

static void end(void)
{
    if (conn.state != FW_CONN_CLOSED || conn.in.data != NULL)
        fw_conn_close(&conn);
    peer_close(&peer);
    app_env_drop(&env);
    CHECK_EQUAL(fault_blocks(), 0);
    CHECK_EQUAL(fault_descriptors(), descriptors);
}

/* All that the client has got, once there is so much. */
static void check_got(const char *want)
{
    uint64_t end_ms = peer_now_ms() + 20000;
    while (peer.got.len < strlen(want) && CHECK(peer_now_ms() < end_ms))
        peer_read(&peer);
    CHECK(text_is(&peer.got, want));
}

static void head(const char *status)
{
    CHECK_EQUAL(fw_resp_status(&conn.resp, &conn.out, &env.blocks, status, strlen(status)), FW_OK);
}

static enum fw_error hint(const char *value)
{
    struct fw_interim interim;
    enum fw_error error = fw_conn_interim_begin(&conn, &interim, "103 Early Hints", 15);
    if (error == FW_OK)
        error = fw_resp_field(&interim.resp, &interim.buf, &env.blocks, "Link", 4, value, strlen(value));
    if (error == FW_OK)
        error = fw_conn_interim_send(&conn, &interim);
    fw_conn_interim_drop(&conn, &interim);
    return error;
}

static void answer(void)
{
    conn.resp.has_server = conn.resp.has_date = true;
    CHECK_EQUAL(fw_conn_begin(&conn, 0), FW_OK);
    CHECK_EQUAL(fw_resp_finish(&conn.resp, &conn.out, &env.blocks), FW_OK);
    fw_conn_answered(&conn);
    CHECK_EQUAL(fw_conn_step(&conn), FW_NEED_READ);
}

#define HINT(value) "HTTP/1.1 103 Early Hints\r\nLink: " value "\r\n\r\n"
#define ANSWER      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static void interim_answers_go_before_the_head(void)
{
    begin("");
    CHECK_EQUAL(hint("a"), FW_OK);
    check_got(HINT("a"));
    head("200 OK");
    CHECK_EQUAL(hint("b"), FW_OK);
    check_got(HINT("a") HINT("b"));
    answer();
    check_got(HINT("a") HINT("b") ANSWER);
    end();
}

static void interim_answers_wait_for_room(void)
{
    begin("");
    head("200 OK");
    fault_fail(FAULT_send, 1, 1, EAGAIN);
    CHECK_EQUAL(hint("a"), FW_OK);
    CHECK(conn.blocked);
    CHECK_EQUAL(hint("b"), FW_OK);
    conn.blocked = false;
    answer();
    check_got(HINT("a") HINT("b") ANSWER);
    end();
}

static void interim_answers_without_memory(void)
{
    static char value[3 * FW_BUF_BLOCK]; /* so that buffers grow */
    memset(value, 'v', sizeof value - 1);
    enum fw_error error = FW_E_NO_MEMORY;
    for (unsigned n = 1; error != FW_OK && CHECK(n < 50); n++) {
        begin("");
        fw_pool_drop(&env.blocks);
        fault_fail(FAULT_alloc, n, 1, 0);
        error = hint(value);
        CHECK(error == FW_OK || error == FW_E_NO_MEMORY);
        CHECK_EQUAL(error == FW_OK, !fault_was_hit());
        end();
    }
}

static void interim_answers_to_nobody(void)
{
    begin("");
    fault_fail(FAULT_send, 1, 1, ECONNRESET);
    CHECK_EQUAL(hint("a"), FW_E_PEER_RESET);
    CHECK_EQUAL(hint("b"), FW_E_PEER_RESET);
    end();
}

static int take(const char *behind)
{
    struct fw_span rest = fw_conn_behind(&conn);
    CHECK(rest.len == strlen(behind) && memcmp(fw_conn_request(&conn) + rest.off, behind, rest.len) == 0);
    CHECK_EQUAL(fw_conn_drain(&conn), FW_OK);
    int fd = fw_conn_hand_over(&conn);
    CHECK(fd >= 0 && conn.fd < 0 && fw_conn_behind(&conn).len == 0);
    return fd;
}

static void a_socket_is_handed_over_and_lingers(void)
{
    static const char *const behind[] = {"", "x", "frames"};
    for (size_t i = 0; i < COUNT_OF(behind); i++) {
        begin(behind[i]);
        head("200 OK"); /* which nobody will see */
        int fd = take(behind[i]);
        CHECK_EQUAL(send(fd, "raw", 3, 0), 3);
        head("500 Nobody");
        CHECK(memcmp(fw_conn_request(&conn), upgrade, strlen(upgrade)) == 0);
        fw_conn_take_back(&conn, fd);
        CHECK_EQUAL(fw_conn_step(&conn), FW_NEED_READ);
        CHECK_EQUAL(conn.state, FW_CONN_LINGER);
        check_got("raw");
        uint64_t end_ms = peer_now_ms() + 20000;
        while (!peer.ended && CHECK(peer_now_ms() < end_ms))
            peer_read(&peer);
        CHECK(text_is(&peer.got, "raw"));
        peer_write(&peer, "late", 4);
        shutdown(peer.fd, SHUT_WR);
        enum fw_conn_need need;
        while ((need = fw_conn_step(&conn)) == FW_NEED_READ && CHECK(peer_now_ms() < end_ms))
            conn.readable = true;
        CHECK_EQUAL(need, FW_NEED_CLOSE);
        end();
    }
}

static void a_socket_that_its_user_has_closed(void)
{
    begin("");
    close(take(""));
    fw_conn_take_back(&conn, -1);
    CHECK_EQUAL(fw_conn_step(&conn), FW_NEED_CLOSE);
    fw_conn_close(&conn);
    end();
}

/* Whoever is still in a call on the socket is woken when it is closed at last. */
static void the_end_is_one_for_all_descriptors(void)
{
    begin("");
    int fd = take(""), other = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    char byte;
    fw_conn_take_back(&conn, fd);
    CHECK_EQUAL(fw_conn_step(&conn), FW_NEED_READ);
    fw_conn_expire(&conn);
    CHECK_EQUAL(fw_conn_step(&conn), FW_NEED_CLOSE);
    fw_conn_close(&conn);
    CHECK_EQUAL(recv(other, &byte, 1, 0), 0);
    close(other);
    end();
}

static void earlier_answers_are_sent_first(void)
{
    begin("");
    fw_buf_append(&conn.out, &env.blocks, "before", 6);
    head("200 OK");
    fault_fail(FAULT_send, 1, 2, EAGAIN);
    int fd = take("");
    check_got("before");
    fw_conn_take_back(&conn, fd);
    end();
}

static void a_client_that_does_not_take_them(void)
{
    static char much[30000000]; /* more than any two sockets hold */
    begin("");
    fw_buf_append(&conn.out, &env.blocks, much, sizeof much);
    CHECK_EQUAL(fw_conn_drain(&conn), FW_E_WRITE_TIMEOUT);
    end();
    begin("");
    fw_buf_append(&conn.out, &env.blocks, "before", 6);
    fault_fail(FAULT_send, 1, 1, EPIPE);
    CHECK_EQUAL(fw_conn_drain(&conn), FW_E_PEER_RESET);
    end();
}

static const struct fw_test tests[] = {
    {"interim_answers_go_before_the_head", interim_answers_go_before_the_head},
    {"interim_answers_wait_for_room", interim_answers_wait_for_room},
    {"interim_answers_without_memory", interim_answers_without_memory},
    {"interim_answers_to_nobody", interim_answers_to_nobody},
    {"a_socket_is_handed_over_and_lingers", a_socket_is_handed_over_and_lingers},
    {"a_socket_that_its_user_has_closed", a_socket_that_its_user_has_closed},
    {"the_end_is_one_for_all_descriptors", the_end_is_one_for_all_descriptors},
    {"earlier_answers_are_sent_first", earlier_answers_are_sent_first},
    {"a_client_that_does_not_take_them", a_client_that_does_not_take_them},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
