/* Tests of fw_monitor: what is offered is sent although the serving thread is busy; what is reclaimed is not
 * touched; nothing is lost, doubled or out of order. Run under ThreadSanitizer as well. */
#define _GNU_SOURCE
#include "fw_loop_parts.h"
#include "fw_monitor.h"
#include "fw_test.h"
#include "peer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONNS      4
#define GIVE_UP_MS 20000

static struct fw_loop loop;
static struct fw_player *me;
static struct fw_conn conns[CONNS];
static struct fw_monitor monitor;
static int clients[CONNS];

static void begin(void)
{
    struct fw_loop_config config = {
        .limits = fw_limits_default(),
        .timeouts.keepalive_ms = 1000,
        .timeouts.write_ms = 10 * GIVE_UP_MS,
        .queue_mark = 1 << 20,
        .body_memory = 1 << 16,
        .connections = CONNS,
        .tmpdir = "/tmp",
        .server = "Server: x\r\n",
    };
    CHECK(fw_loop_init(&loop, &config));
    CHECK(fw_monitor_init(&monitor, &loop, 1));
    me = &monitor.baton.players[0];
}

static void end(size_t count)
{
    CHECK(fw_monitor_reclaim(&monitor, me));
    fw_monitor_drop(&monitor);
    for (size_t i = 0; i < count; i++) {
        fw_queue_remove(&loop, &conns[i]);
        fw_conn_close(&conns[i]);
        close(clients[i]);
    }
    fw_loop_drop(&loop);
}

/* A connection in state APP, its head begun. */
static struct fw_conn *serve(size_t i, int room)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    int fds[2];
    pair_unix(fds, room);
    clients[i] = fds[1];
    struct fw_conn *conn = &conns[i];
    fw_conn_open(conn, &loop.env, fds[0]);
    CHECK_EQUAL(write(fds[1], request, sizeof request - 1), sizeof request - 1);
    CHECK_EQUAL(fw_conn_step(conn), FW_NEED_SERVE);
    fw_conn_serve(conn);
    CHECK_EQUAL(fw_resp_status(&conn->resp, &conn->out, &loop.env.blocks, "200 OK", 6), FW_OK);
    return conn;
}

static void begin_stream(struct fw_conn *conn)
{
    CHECK_EQUAL(fw_conn_begin(conn, -1), FW_OK);
}

/* Read from a client until what has come ends in `text`. */
static void client_gets(int fd, const char *text)
{
    static char got[1 << 16];
    size_t len = 0, want = strlen(text);
    uint64_t give_up = peer_now_ms() + GIVE_UP_MS;
    while (len < want || memcmp(got + len - want, text, want) != 0) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (!CHECK(poll(&ready, 1, GIVE_UP_MS) == 1 && peer_now_ms() < give_up))
            return;
        ssize_t n = read(fd, got + len, sizeof got - len);
        if (!CHECK(n > 0))
            return;
        len += (size_t)n;
    }
}

static void what_is_offered_is_sent(void)
{
    begin();
    struct fw_conn *conn = serve(0, 0);
    begin_stream(conn);
    for (int i = 0; i < 5; i++) {
        char block[16];
        int len = snprintf(block, sizeof block, "block %d!", i);
        CHECK_EQUAL(fw_conn_write(conn, block, (size_t)len), FW_OK);
        fw_monitor_offer(&monitor, me, conn);
        CHECK(fw_monitor_holds(&monitor, me));
        client_gets(clients[0], strcat(block, "\r\n")); /* while this thread does nothing for it */
        CHECK(fw_monitor_reclaim(&monitor, me));
        CHECK(!fw_monitor_holds(&monitor, me));
        CHECK_EQUAL(fw_buf_live(&conn->out), 0);
    }
    end(1);
}

static void an_unfinished_head_is_not_sent(void)
{
    static const char earlier[] = "HTTP/1.1 200 OK\r\n\r\n";
    begin();
    struct fw_conn *conn = serve(0, 0);
    fw_resp_discard(&conn->resp, &conn->out);
    CHECK(fw_buf_append(&conn->out, &loop.env.blocks, earlier, sizeof earlier - 1));
    CHECK_EQUAL(fw_resp_status(&conn->resp, &conn->out, &loop.env.blocks, "404 Not Found", 13), FW_OK);
    fw_monitor_offer(&monitor, me, conn);
    client_gets(clients[0], earlier);
    CHECK(fw_monitor_reclaim(&monitor, me));
    CHECK_EQUAL(fw_buf_live(&conn->out), conn->resp.head_len);
    end(1);
}

static void a_chain_is_sent(void)
{
    begin();
    for (size_t i = 0; i < CONNS; i++) {
        struct fw_conn *conn = serve(i, 0);
        CHECK_EQUAL(fw_conn_begin(conn, 5), FW_OK);
        CHECK_EQUAL(fw_conn_write(conn, "right", 5), FW_OK);
        CHECK_EQUAL(fw_resp_finish(&conn->resp, &conn->out, &loop.env.blocks), FW_OK);
        fw_conn_answered(conn);
        fw_queue_append(&loop, conn, FW_QUEUE_GIVEN);
    }
    fw_monitor_offer(&monitor, me, NULL);
    for (size_t i = 0; i < CONNS; i++)
        client_gets(clients[i], "\r\n\r\nright");
    CHECK(fw_monitor_reclaim(&monitor, me));
    for (size_t i = 0; i < CONNS; i++)
        CHECK(conns[i].state == FW_CONN_IDLE && conns[i].queue == FW_QUEUE_KEEPALIVE);
    end(CONNS);
}

/* Wait for a condition that the monitor makes true. */
#define WAIT_UNTIL(condition)                                                                                \
    do {                                                                                                     \
        uint64_t end_ms_ = peer_now_ms() + GIVE_UP_MS;                                                       \
        while (!(condition) && CHECK(peer_now_ms() < end_ms_ && #condition))                                 \
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);                                          \
    } while (0)

static void it_sleeps_and_wakes(void)
{
    begin();
    struct fw_conn *conn = serve(0, 0);
    begin_stream(conn);
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(fw_conn_write(conn, "more", 4), FW_OK);
        fw_monitor_offer(&monitor, me, conn);
        client_gets(clients[0], "more\r\n");
        CHECK(fw_monitor_reclaim(&monitor, me));
        WAIT_UNTIL(atomic_load(&monitor.asleep) == 1);
    }
    end(1);
}

static void a_lost_client_is_told_of(void)
{
    begin();
    struct fw_conn *conn = serve(0, 0);
    begin_stream(conn);
    shutdown(clients[0], SHUT_RDWR);
    CHECK_EQUAL(fw_conn_write(conn, "for nobody", 10), FW_OK);
    fw_monitor_offer(&monitor, me, conn);
    WAIT_UNTIL(atomic_load(&monitor.baton.hand) == FW_HAND_TAKEN);
    CHECK(fw_monitor_reclaim(&monitor, me));
    CHECK_EQUAL(conn->error, FW_E_PEER_RESET);
    end(1);
}

/* A fork takes no thread along: the child must not wait for one. */
static void a_child_has_no_thread_to_end(void)
{
    begin();
    struct fw_conn *conn = serve(0, 0);
    begin_stream(conn);
    CHECK_EQUAL(fw_conn_write(conn, "once", 4), FW_OK);
    fw_monitor_offer(&monitor, me, conn);
    client_gets(clients[0], "once\r\n");
    CHECK(fw_monitor_reclaim(&monitor, me));
    pid_t child = fork();
    if (child == 0) {
        fw_monitor_drop(&monitor);
        _exit(7);
    }
    int status = 0;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    end(1);
}

#define BLOCKS 2000

static char byte_at(size_t off)
{
    return (char)('a' + off * 7 % 26);
}

struct reader {
    int fd;
    size_t bytes; /* of body, until the last chunk */
    bool wrong;
};

/* Decodes the chunks as they come, at a pace of its own. */
static void *read_stream(void *argument)
{
    struct reader *reader = argument;
    struct fw_random random = {99};
    struct fw_body body;
    struct fw_limits limits = fw_limits_default();
    static char buf[1 << 16];
    size_t len = 0;
    bool in_body = false;
    fw_body_begin(&body, &(struct fw_framing){.kind = FW_BODY_CHUNKED});
    for (;;) {
        struct pollfd ready = {.fd = reader->fd, .events = POLLIN};
        ssize_t n =
            poll(&ready, 1, GIVE_UP_MS) == 1 ? read(reader->fd, buf + len, fw_random(&random, 4000) + 1) : -1;
        if (n <= 0)
            break;
        len += (size_t)n;
        if (fw_random(&random, 64) == 0)
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        size_t at = 0;
        if (!in_body) {
            const char *head_end = memmem(buf, len, "\r\n\r\n", 4);
            if (head_end == NULL)
                continue;
            at = (size_t)(head_end - buf) + 4;
            in_body = true;
        }
        for (bool more = true; more;) {
            size_t used;
            struct fw_span data;
            struct fw_field field;
            enum fw_error error;
            switch (fw_body_feed(&body, buf + at, len - at, &limits, &used, &data, &field, &error)) {
            case FW_BODY_DATA:
                for (size_t i = 0; i < data.len; i++)
                    reader->wrong |= buf[at + data.off + i] != byte_at(reader->bytes + i);
                reader->bytes += data.len;
                break;
            case FW_BODY_DONE:
                return NULL;
            case FW_BODY_MORE:
                more = false;
                break;
            case FW_BODY_FIELD:
            case FW_BODY_FAIL:
                reader->wrong = true;
                return NULL;
            }
            at += used;
        }
        memmove(buf, buf + at, len - at);
        len -= at;
    }
    reader->wrong = true;
    return NULL;
}

/* What the gateway does with an iterable whose blocks take all kinds of time. */
static void a_stream_is_whole_and_in_order(void)
{
    struct fw_random random = {1};
    static const int rooms[] = {0, 2048, 20000};
    for (size_t round = 0; round < COUNT_OF(rooms); round++) {
        fw_test_note("room %d", rooms[round]);
        begin();
        struct fw_conn *conn = serve(0, rooms[round]);
        begin_stream(conn);
        struct reader reader = {.fd = clients[0]};
        pthread_t thread;
        CHECK_EQUAL(pthread_create(&thread, NULL, read_stream, &reader), 0);
        size_t sent = 0;
        for (int i = 0; i < BLOCKS && conn->error == FW_OK; i++) {
            fw_monitor_offer(&monitor, me, conn);
            if (fw_random(&random, 32) == 0)
                nanosleep(&(struct timespec){.tv_nsec = (long)fw_random(&random, 4000000)}, NULL);
            CHECK(fw_monitor_reclaim(&monitor, me));
            static char block[12000];
            size_t len = fw_random(&random, fw_random(&random, 8) == 0 ? sizeof block : 500) + 1;
            for (size_t at = 0; at < len; at++)
                block[at] = byte_at(sent + at);
            CHECK_EQUAL(fw_conn_write(conn, block, len), FW_OK);
            sent += len;
        }
        CHECK_EQUAL(fw_resp_finish(&conn->resp, &conn->out, &loop.env.blocks), FW_OK);
        fw_conn_answered(conn);
        uint64_t give_up = peer_now_ms() + GIVE_UP_MS;
        while (fw_conn_step(conn) == FW_NEED_WRITE && CHECK(peer_now_ms() < give_up)) {
            struct pollfd ready = {.fd = conn->fd, .events = POLLOUT};
            poll(&ready, 1, 100);
            conn->blocked = false;
        }
        pthread_join(thread, NULL);
        CHECK_EQUAL(reader.bytes, sent);
        CHECK(!reader.wrong);
        end(1);
    }
}

/* Access lines go the way of the output: written by whoever has them in hand, each once and in order. */
static void lines_are_written_in_order(void)
{
    enum { LINES = 300 };
    static struct fw_access access;
    struct fw_sink *sink = &access.sink;
    const struct timespec pause = {.tv_nsec = 2500000};
    int ends[2];
    CHECK(pipe(ends) == 0);
    begin();
    fw_sink_init(sink, ends[1]);
    loop.env.access = &access;
    for (int i = 0; i < LINES; i++) {
        fw_monitor_offer(&monitor, me, NULL);
        if (i % 10 == 0)
            nanosleep(&pause, NULL); /* long enough for the monitor, mostly; either way nothing is lost */
        CHECK(fw_monitor_reclaim(&monitor, me));
        char *out = fw_sink_room(sink, 8);
        CHECK(out != NULL);
        sink->len += (size_t)snprintf(out, 8, "%05d\n", i);
    }
    end(0);
    fw_sink_flush(sink, 0);
    close(ends[1]);
    FILE *lines = fdopen(ends[0], "r");
    int number, count = 0;
    while (fscanf(lines, "%d\n", &number) == 1)
        CHECK_EQUAL(number, count++);
    CHECK_EQUAL(count, LINES);
    fclose(lines);
    fw_sink_drop(sink);
}

static const struct fw_test tests[] = {
    {"lines_are_written_in_order", lines_are_written_in_order},
    {"what_is_offered_is_sent", what_is_offered_is_sent},
    {"an_unfinished_head_is_not_sent", an_unfinished_head_is_not_sent},
    {"a_chain_is_sent", a_chain_is_sent},
    {"it_sleeps_and_wakes", it_sleeps_and_wakes},
    {"a_lost_client_is_told_of", a_lost_client_is_told_of},
    {"a_child_has_no_thread_to_end", a_child_has_no_thread_to_end},
    {"a_stream_is_whole_and_in_order", a_stream_is_whole_and_in_order},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
