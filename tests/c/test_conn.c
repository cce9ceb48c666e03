/* Tests of fw_conn: one connection over a real socket, stepped by hand, with app.c for an application. */
#define _GNU_SOURCE
#include "app.h"
#include "fault.h"
#include "fw_test.h"
#include "peer.h"
#include "script.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY_MEMORY = 8000, GIVE_UP_MS = 20000 };

static struct fw_conn_env env;
static struct fw_conn conn;
static struct peer peer;
static bool closed;
static int descriptors;
static size_t out_most; /* the most that was ever queued */
static void (*before_serving)(void);

/* The server's end of `fds` becomes the connection. */
static void begin_on(int fds[2])
{
    fault_clock_stop();
    env = (struct fw_conn_env){
        .limits = fw_limits_default(),
        .timeouts = {.head_ms = 10, .body_ms = 10, .keepalive_ms = 10, .write_ms = 10, .linger_ms = 100},
        .body_memory = BODY_MEMORY,
        .queue_mark = 100000,
        .tmpdir = "/tmp",
        .server = "Server: test\r\n",
        .server_len = 14,
    };
    fw_pool_init(&env.blocks, FW_BUF_BLOCK, 4);
    fw_pool_init(&env.fields, env.limits.fields * sizeof(struct fw_field), 4);
    fw_clock_update(&env.clock);
    fw_conn_open(&conn, &env, fds[0]);
    peer = (struct peer){.fd = fds[1]};
    closed = false;
    out_most = 0;
    before_serving = NULL;
}

static void begin(void (*pair)(int fds[2], int room), int room)
{
    int fds[2];
    fault_reset();
    descriptors = fault_descriptors();
    pair(fds, room);
    begin_on(fds);
}

static void end(void)
{
    if (!closed)
        fw_conn_close(&conn);
    peer_close(&peer);
    fw_spill_drop(&env.spill, &env.blocks);
    fw_pool_drop(&env.blocks);
    fw_pool_drop(&env.fields);
    CHECK_EQUAL(fault_blocks(), 0);
    CHECK_EQUAL(fault_descriptors(), descriptors);
}

/* What holds after every step. */
static void check_state(enum fw_conn_need need)
{
    out_most = fw_buf_live(&conn.out) > out_most ? fw_buf_live(&conn.out) : out_most;
    CHECK(conn.used_len <= fw_buf_live(&conn.in));
    CHECK(conn.head_len <= conn.used_len);
    switch ((enum fw_conn_state)conn.state) {
    case FW_CONN_IDLE:
        CHECK(need == FW_NEED_READ || need == FW_NEED_WRITE || need == FW_NEED_CLOSE);
        if (need == FW_NEED_READ) { /* an idle connection is its structure, and no more */
            CHECK(conn.in.data == NULL && conn.out.data == NULL && conn.parser.head.fields == NULL);
            CHECK(conn.body_fd < 0 && conn.file_fd < 0);
        }
        break;
    case FW_CONN_READY:
        CHECK(need == FW_NEED_SERVE);
        break;
    case FW_CONN_SENDING:
        CHECK(need == FW_NEED_WRITE || need == FW_NEED_CLOSE);
        break;
    case FW_CONN_CLOSED:
        CHECK(need == FW_NEED_CLOSE);
        break;
    case FW_CONN_LINGER:
        CHECK(conn.out.data == NULL && conn.parser.head.fields == NULL && conn.body_fd < 0);
        break;
    case FW_CONN_HEAD:
    case FW_CONN_BODY:
    case FW_CONN_APP:
        break;
    }
}

/* Go on until the connection waits for its client, who reads what there is. */
static void drive(void)
{
    uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
    while (!closed && CHECK(peer_now_ms() < end_ms)) {
        enum fw_conn_need need = fw_conn_step(&conn);
        check_state(need);
        switch (need) {
        case FW_NEED_SERVE:
            if (before_serving != NULL)
                before_serving();
            fw_conn_serve(&conn);
            app_serve(&conn, NULL);
            out_most = fw_buf_live(&conn.out) > out_most ? fw_buf_live(&conn.out) : out_most;
            break;
        case FW_NEED_WRITE:
            peer_read(&peer);
            conn.blocked = false;
            break;
        case FW_NEED_AGAIN:
            break;
        case FW_NEED_CLOSE:
            fw_conn_close(&conn);
            closed = true;
            break;
        case FW_NEED_READ:
            peer_read(&peer);
            return;
        }
    }
    peer_read(&peer);
}

/* The client sends, the connection goes on: until all is sent or the connection is closed. */
static void send_bytes(const char *data, size_t len)
{
    uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
    for (size_t sent = 0; sent < len && !closed && CHECK(peer_now_ms() < end_ms);) {
        sent += peer_write(&peer, data + sent, len - sent);
        conn.readable = true;
        drive();
    }
}

static void send_text(const char *text)
{
    send_bytes(text, strlen(text));
}

/* Loopback TCP brings bytes and ends when it likes: drive until `count` bytes, or the end, are there. */
static void drive_until(size_t count)
{
    uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
    while (peer.got.len < count && !peer.ended && !peer.reset && CHECK(peer_now_ms() < end_ms)) {
        conn.readable = true;
        conn.blocked = false;
        drive();
    }
}

static void drive_to_end(void)
{
    drive_until(SIZE_MAX);
    uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
    while (!closed && CHECK(peer_now_ms() < end_ms)) {
        conn.readable = true;
        drive();
    }
}

static void check_all(const struct script *script)
{
    struct verdict verdict = script_check(script, &peer);
    CHECK(!verdict.wrong && !verdict.torn);
    CHECK_EQUAL(verdict.refusal, 0);
    CHECK_EQUAL(verdict.whole, script->count);
    CHECK_EQUAL(verdict.last_close, script->closing);
    CHECK_EQUAL(closed, script->closing);
    CHECK_EQUAL(env.refusals.count, 0);
    if (!closed)
        CHECK_EQUAL(conn.state, FW_CONN_IDLE);
}

/* The one answer that is there, its status. */
static int only_status(void)
{
    struct answer answer = {0};
    long n =
        answer_read(&answer, peer.got.data != NULL ? peer.got.data : "", peer.got.len, false, peer.ended);
    int status = n > 0 && (size_t)n == peer.got.len ? answer.status : -(int)peer.got.len;
    answer_drop(&answer);
    return status;
}

static enum fw_error last_refusal(void)
{
    return env.refusals.count > 0 ? (enum fw_error)env.refusals.each[env.refusals.count - 1].error : FW_OK;
}

static const char hello[] = "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n";

/* Everything that a request and an answer can be, one behind the other. */
static struct script all_kinds(void)
{
    struct script script = {0};
    script_add(&script, "GET", "/echo/1", 0, SCRIPT_PLAIN);
    script_add(&script, "POST", "/echo/2", 0, SCRIPT_PLAIN);
    script_add(&script, "POST", "/echo/3", 100, SCRIPT_PLAIN);
    script_add(&script, "POST", "/echo/4", 3000, SCRIPT_CHUNKED);
    script_add(&script, "HEAD", "/echo/5", 0, SCRIPT_PLAIN);
    script_add(&script, "GET", "/empty", 0, SCRIPT_PLAIN);
    script_add(&script, "GET", "/stream/5/100", 0, SCRIPT_PLAIN);
    script_add(&script, "HEAD", "/stream/5/100", 0, SCRIPT_PLAIN);
    script_add(&script, "GET", "/large/9000", 0, SCRIPT_OLD_KEEP);
    script_add(&script, "GET", "/stream/3/9000", 0, SCRIPT_PLAIN);
    script_add(&script, "GET", "/file/20000", 0, SCRIPT_PLAIN);
    script_add(&script, "HEAD", "/file/20000", 0, SCRIPT_PLAIN);
    script_add(&script, "GET", "/file/0", 0, SCRIPT_PLAIN);
    script_add(&script, "PUT", "/echo/6", BODY_MEMORY + 5000, SCRIPT_PLAIN);
    script_add(&script, "PUT", "/echo/7", BODY_MEMORY + 5000, SCRIPT_CHUNKED | SCRIPT_EXPECT);
    script_add(&script, "POST", "/lines", BODY_MEMORY + 5000, SCRIPT_PLAIN);
    script_add(&script, "POST", "/lines", 5000, SCRIPT_CHUNKED);
    script_add(&script, "GET", "/echo/8", 0, SCRIPT_PLAIN);
    return script;
}

/* --- requests, however they come --- */

static void a_connection_is_small(void)
{
    CHECK(sizeof(struct fw_conn) < 1024);
    begin(pair_unix, 0);
    drive();
    CHECK_EQUAL(fault_blocks(),
                env.blocks.count); /* the one block that an idle connection tried to read with */
    send_text(hello);
    CHECK_EQUAL(only_status(), 200);
    CHECK_EQUAL(conn.state, FW_CONN_IDLE);
    CHECK_EQUAL(fault_blocks(), env.blocks.count + env.fields.count);
    end();
}

static void all_kinds_at_once(void)
{
    struct script script = all_kinds();
    for (int i = 0; i < 2; i++) {
        begin(i == 0 ? pair_unix : pair_tcp, 0);
        send_bytes(script.requests.data, script.requests.len);
        drive_until(script.count == script_check(&script, &peer).whole ? 0 : SIZE_MAX - 1);
        check_all(&script);
        end();
    }
    script_drop(&script);
}

static void all_kinds_byte_by_byte(void)
{
    struct script script = all_kinds();
    begin(pair_unix, 0);
    for (size_t i = 0; i < script.requests.len; i++)
        send_bytes(script.requests.data + i, 1);
    check_all(&script);
    end();
    script_drop(&script);
}

static void cut_everywhere(void)
{
    struct script script = {0};
    script_add(&script, "POST", "/echo/3", 10, SCRIPT_PLAIN);
    script_add(&script, "POST", "/echo/4", 60, SCRIPT_CHUNKED);
    script_add(&script, "HEAD", "/echo/5", 0, SCRIPT_PLAIN);
    script_add(&script, "GET", "/stream/2/10", 0, SCRIPT_PLAIN);
    script_add(&script, "GET", "/close", 0, SCRIPT_PLAIN);
    for (size_t cut = 0; cut <= script.requests.len; cut++) {
        begin(pair_unix, 0);
        fw_test_note("cut at %zu", cut);
        send_bytes(script.requests.data, cut);
        send_bytes(script.requests.data + cut, script.requests.len - cut);
        check_all(&script);
        CHECK(peer.ended);
        end();
    }
    script_drop(&script);
}

static void old_clients_are_closed_on(void)
{
    struct script script = {0};
    script_add(&script, "GET", "/echo/1", 0, SCRIPT_OLD_KEEP);
    script_add(&script, "GET", "/stream/3/20", 0, SCRIPT_OLD);
    begin(pair_tcp, 0);
    send_bytes(script.requests.data, script.requests.len);
    drive_to_end();
    CHECK(peer.ended);
    check_all(&script);
    end();
    script_drop(&script);
    begin(pair_tcp, 0);
    env.timeouts.keepalive_ms = 0;
    send_text(hello);
    drive_to_end();
    CHECK(peer.ended && only_status() == 200);
    end();
}

static void a_leaving_worker_closes(void)
{
    begin(pair_tcp, 0);
    send_text(hello);
    CHECK(!closed);
    env.closing = true;
    peer.got.len = 0;
    send_text(hello);
    drive_to_end();
    CHECK(peer.ended && only_status() == 200 && strstr(peer.got.data, "\r\nConnection: close\r\n") != NULL);
    end();
}

/* --- pipelining --- */

static void sixty_four_deep(void)
{
    struct script script = {0};
    char target[32];
    for (int i = 0; i < 64; i++) {
        snprintf(target, sizeof target, "/echo/%d", i);
        script_add(&script, "GET", target, 0, SCRIPT_PLAIN);
    }
    begin(pair_tcp, 0);
    CHECK_EQUAL(peer_write(&peer, script.requests.data, script.requests.len), script.requests.len);
    conn.readable = true;
    drive();
    drive_until(script_check(&script, &peer).whole == 64 ? 0 : SIZE_MAX);
    check_all(&script);
    CHECK_EQUAL(fault_calls(FAULT_recv), 1);
    CHECK_EQUAL(fault_calls(FAULT_send) + fault_calls(FAULT_sendmsg), 1);
    end();
    script_drop(&script);
}

static void pass_two_ms(void)
{
    fault_clock_step(2);
    fw_conn_push_old(&conn);
}

/* An answer does not wait longer than a tick for the next one, which may be slow. */
static void old_answers_leave_alone(void)
{
    begin(pair_unix, 0);
    CHECK_EQUAL(peer_write(&peer, hello, sizeof hello - 1), sizeof hello - 1);
    CHECK_EQUAL(peer_write(&peer, hello, sizeof hello - 1), sizeof hello - 1);
    before_serving = pass_two_ms;
    drive();
    CHECK_EQUAL(fault_calls(FAULT_send), 2);
    CHECK_EQUAL(conn.out_since_ns, 0);
    end();
}

static void little_is_queued_for_company(void)
{
    struct script script = {0};
    for (int i = 0; i < 40; i++)
        script_add(&script, "GET", "/large/7000", 0, SCRIPT_PLAIN);
    begin(pair_unix, 0);
    send_bytes(script.requests.data, script.requests.len);
    check_all(&script);
    CHECK(out_most < 32768 + 8192);
    CHECK(fault_calls(FAULT_send) + fault_calls(FAULT_sendmsg) < 20);
    end();
    script_drop(&script);
}

/* No further answer joins what waits when the next request is not whole: it goes out. */
static void an_answer_does_not_wait_for_half_a_request(void)
{
    struct text text = {0};
    begin(pair_unix, 0);
    text_print(&text, "%s%s", hello, "GET /echo HTTP/1.1\r\nHo");
    send_bytes(text.data, text.len);
    CHECK_EQUAL(only_status(), 200);
    CHECK(conn.state == FW_CONN_HEAD && conn.out.data == NULL);
    end();
    begin(pair_unix, 0);
    text.len = 0;
    text_print(&text, "%s%s", hello, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    send_bytes(text.data, text.len);
    CHECK_EQUAL(only_status(), 200);
    CHECK_EQUAL(conn.state, FW_CONN_BODY);
    end();
    text_drop(&text);
}

static void answers_before_a_refusal_arrive(void)
{
    struct script script = {0};
    for (int i = 0; i < 5; i++)
        script_add(&script, "GET", "/echo", 0, SCRIPT_PLAIN);
    text_print(&script.requests, "GET /echo HTTP/1.1\r\nHost : a\r\n\r\n");
    begin(pair_tcp, 0);
    send_bytes(script.requests.data, script.requests.len);
    shutdown(peer.fd, SHUT_WR);
    drive_to_end();
    struct verdict verdict = script_check(&script, &peer);
    CHECK(verdict.whole == 5 && verdict.refusal == 400 && !verdict.wrong && peer.ended);
    CHECK_EQUAL(last_refusal(), FW_E_FIELD_NAME);
    end();
    script_drop(&script);
}

/* --- bodies --- */

static size_t in_most;
static bool spilled;

static void look_at_body(void)
{
    in_most = conn.in.cap > in_most ? conn.in.cap : in_most;
    spilled = conn.body_fd >= 0;
}

static void the_threshold_of_memory(void)
{
    for (size_t size = BODY_MEMORY - 1; size <= BODY_MEMORY + 1; size++)
        for (unsigned how = SCRIPT_PLAIN; how <= SCRIPT_CHUNKED; how++) {
            struct script script = {0};
            script_add(&script, "POST", "/echo", size, how);
            script_add(&script, "POST", "/lines", size, how);
            script_add(&script, "GET", "/echo", 0, SCRIPT_PLAIN);
            begin(pair_unix, 0);
            fw_test_note("%zu bytes", size);
            before_serving = look_at_body;
            send_bytes(script.requests.data, script.requests.len - 35);
            CHECK_EQUAL(spilled, size > BODY_MEMORY);
            send_bytes(script.requests.data + script.requests.len - 35, 35);
            check_all(&script);
            end();
            script_drop(&script);
        }
}

/* The buffer grows with what is kept, not with what comes. */
static void framing_takes_no_memory(void)
{
    struct text text = {0};
    text_print(&text, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 3000; i++) {
        text_print(&text, "1;extension=\"%060d\"\r\n%c\r\n", i, 'a' + i % 26);
    }
    text_print(&text, "0\r\n\r\n");
    CHECK(text.len > 200000);
    begin(pair_unix, 0);
    in_most = 0;
    before_serving = look_at_body;
    send_bytes(text.data, text.len);
    CHECK_EQUAL(only_status(), 200);
    CHECK_EQUAL(in_most, FW_BUF_BLOCK);
    for (size_t i = 0; i < 3000; i++)
        CHECK(peer.got.data[peer.got.len - 3000 + i] == (char)('a' + i % 26));
    end();
    /* and a body in a file takes none either */
    text.len = 0;
    text_print(&text, "POST /lines HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n");
    char *body = calloc(3000000, 1);
    text_add(&text, body, 3000000);
    free(body);
    begin(pair_unix, 0);
    in_most = 0;
    before_serving = look_at_body;
    send_bytes(text.data, text.len);
    CHECK(spilled && in_most < 4 * (BODY_MEMORY + 65536));
    CHECK(strstr(peer.got.data, "\r\n\r\n1 3000000") == NULL); /* app.c asks for lines of a million at most */
    CHECK(strstr(peer.got.data, "\r\n\r\n3 3000000") != NULL);
    end();
    text_drop(&text);
}

static void bodies_of_some_paths_are_read_as_they_come(void)
{
    static const struct {
        const char *target;
        bool early;
    } cases[] = {
        {"/a", true},        {"/a/b", true}, {"/a?x", true},  {"http://a/a", true},
        {"/b/", true},       {"/b/c", true}, {"/ab", false},  {"/", false},
        {"http://a", false}, {"/b", false},  {"/x/a", false}, {"/%61", false},
    };
    static const char paths[] = "/a\0/b/";
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct text text = {0};
        text_print(&text, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", cases[i].target);
        begin(pair_unix, 0);
        fw_test_note("%s", cases[i].target);
        env.early_paths = (struct fw_paths){paths, sizeof paths};
        CHECK_EQUAL(peer_write(&peer, text.data, text.len), text.len);
        conn.readable = true;
        CHECK_EQUAL(fw_conn_step(&conn), cases[i].early ? FW_NEED_SERVE : FW_NEED_READ);
        CHECK_EQUAL(conn.state, cases[i].early ? FW_CONN_READY : FW_CONN_BODY);
        end();
        text_drop(&text);
    }
}

static void lines_of_all_lengths(void)
{
    for (int in_file = 0; in_file < 2; in_file++) {
        begin(pair_unix, 0);
        env.body_memory = in_file ? 0 : 100000;
        struct text text = {0};
        text_print(&text, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n");
        size_t head = text.len;
        for (int i = 0; i < 20000; i++)
            text_add(&text,
                     i == 0 || i == 10 || i == 4106 || i == 8203 || i == 8204 || i == 17000 ? "\n" : "x", 1);
        CHECK_EQUAL(peer_write(&peer, text.data, text.len), text.len);
        conn.readable = true;
        while (fw_conn_step(&conn) != FW_NEED_SERVE)
            conn.readable = true;
        fw_conn_serve(&conn);
        CHECK_EQUAL(conn.body_fd >= 0, in_file);
        for (uint64_t off = 0; off <= 20000; off += 1 + off % 7) {
            const char *from = text.data + head + off, *stop = memchr(from, '\n', (size_t)(20000 - off));
            size_t left = (size_t)(20000 - off), whole = stop != NULL ? (size_t)(stop - from) + 1 : left;
            fw_test_note("file %d, from %llu", in_file, (unsigned long long)off);
            CHECK_EQUAL(fw_conn_body_line(&conn, off, SIZE_MAX), whole);
            for (size_t most = 0; most < 9000; most = most * 3 + 1)
                CHECK_EQUAL(fw_conn_body_line(&conn, off, most), most < whole ? most : whole);
        }
        char slice[64];
        CHECK_EQUAL(fw_conn_body_read(&conn, 19990, slice, sizeof slice), 10);
        CHECK_EQUAL(fw_conn_body_read(&conn, 20000, slice, sizeof slice), 0);
        CHECK_EQUAL(fw_conn_body_read(&conn, UINT64_MAX, slice, sizeof slice), 0);
        CHECK_EQUAL(fw_conn_body_line(&conn, UINT64_MAX, 5), 0);
        if (in_file) { /* a file that cannot be read is no end of the body */
            fault_fail(FAULT_pread, 1, 1000, EIO);
            CHECK_EQUAL(fw_conn_body_read(&conn, 0, slice, sizeof slice), 0);
            CHECK(fw_conn_body_line(&conn, 5, 50) == SIZE_MAX);
            fault_reset();
            fault_most(FAULT_pread, 1);
            CHECK_EQUAL(fw_conn_body_read(&conn, 0, slice, sizeof slice), sizeof slice);
            fault_fail(FAULT_pread, 3, 2, EINTR);
            CHECK_EQUAL(fw_conn_body_read(&conn, 0, slice, sizeof slice), sizeof slice);
            CHECK(memcmp(slice, text.data + head, sizeof slice) == 0);
            CHECK_EQUAL(fw_conn_body_line(&conn, 11, SIZE_MAX), 4096);
        }
        text_drop(&text);
        end();
    }
}

static void no_space_for_a_body(void)
{
    static const struct {
        enum fault_call call, also;
        int error;
        unsigned long nth;
    } faults[] = {{FAULT_pwrite, FAULT_pwrite, ENOSPC, 1},
                  {FAULT_pwrite, FAULT_pwrite, ENOSPC, 3}, /* of a body that is poured */
                  {FAULT_pwrite, FAULT_pwrite, EIO, 1},
                  {FAULT_open, FAULT_mkostemp, EACCES, 1},
                  {FAULT_open, FAULT_mkostemp, EMFILE, 1}};
    struct script script = {0};
    script_add(&script, "POST", "/echo", 300000, SCRIPT_PLAIN);
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        begin(pair_tcp, 0);
        fault_fail(faults[i].call, faults[i].nth, 1, faults[i].error);
        if (faults[i].also != faults[i].call)
            fault_fail(faults[i].also, 1, 1, faults[i].error);
        send_bytes(script.requests.data, script.requests.len);
        shutdown(peer.fd, SHUT_WR);
        drive_to_end();
        CHECK_EQUAL(only_status(), 507);
        CHECK(peer.ended);
        CHECK_EQUAL(last_refusal(), FW_E_NO_SPACE);
        CHECK_EQUAL(env.tmp_errno, faults[i].error);
        end();
    }
    script_drop(&script);
}

/* The next body is written over the last one's file, and whoever reads it comes to its own end, not to
 * what stands there behind that: however both are framed, and whichever is longer. */
static void a_file_is_used_again(void)
{
    static const size_t sizes[] = {3000000, 300000, 262144, 70000, 8001, 500001};
    for (unsigned how = SCRIPT_PLAIN; how <= SCRIPT_CHUNKED; how++) {
        struct script script = {0};
        begin(pair_unix, 0);
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            script_add(&script, "POST", "/echo", sizes[i], how);
            script_add(&script, "POST", "/lines", sizes[i], how);
        }
        before_serving = look_at_body;
        spilled = false;
        send_bytes(script.requests.data, script.requests.len);
        check_all(&script);
        CHECK(spilled && conn.body_fd < 0);
        CHECK_EQUAL(fault_calls(FAULT_open), 1);
        CHECK_EQUAL(env.spill.count, 1);
        CHECK_EQUAL(env.spill.bytes, 3000000);
        end();
        script_drop(&script);
    }
}

/* A long body is read past the connection's own buffer, in pieces that end where multiples of their size do;
 * short reads in between only move them. */
static void a_long_body_is_poured(void)
{
    struct script script = {0};
    script_add(&script, "POST", "/echo", 3000000, SCRIPT_PLAIN);
    for (int small = 0; small < 3; small++) {
        begin(pair_unix, 0);
        fault_most(FAULT_recv, small == 1 ? 777 : 0);
        conn.at_end = true; /* so that a short read does not look like the last */
        fault_most(FAULT_pwrite, small == 2 ? 100001 : 0);
        in_most = 0;
        before_serving = look_at_body;
        send_bytes(script.requests.data, script.requests.len);
        check_all(&script);
        CHECK(spilled && in_most < 4 * (BODY_MEMORY + 65536));
        CHECK(env.spill.block.cap >= 262144);
        end();
    }
    begin(pair_unix, 0); /* once it is in its file, the memory that it was kept in goes */
    env.body_memory = 500000;
    send_bytes(script.requests.data, 400000);
    CHECK(conn.body_fd < 0 && conn.in.cap > 400000);
    send_bytes(script.requests.data + 400000, 300000);
    CHECK(conn.body_fd >= 0 && conn.in.cap <= FW_BUF_BLOCK);
    send_bytes(script.requests.data + 700000, script.requests.len - 700000);
    check_all(&script);
    end();
    script_drop(&script);
}

/* Nothing is missing where there is no memory for that. */
static void a_long_body_without_memory_for_it(void)
{
    struct script script = {0};
    script_add(&script, "POST", "/echo", 1000000, SCRIPT_PLAIN);
    size_t head = script.requests.len - 1000000;
    begin(pair_unix, 0);
    send_bytes(script.requests.data, head + 100000);
    CHECK(conn.body_fd >= 0);
    fw_buf_release(&env.spill.block, &env.blocks);
    fault_fail(FAULT_alloc, 1, 1, 0);
    send_bytes(script.requests.data + head + 100000, 900000);
    CHECK(fault_was_hit());
    check_all(&script);
    end();
    script_drop(&script);
}

static int entries(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        closedir(dir);
    return count - 2;
}

/* Where O_TMPFILE is not known a name stands for a moment, and no longer. */
static void file_systems_without_unnamed_files(void)
{
    char dir[] = "/tmp/fw-test-XXXXXX";
    struct script script = {0};
    script_add(&script, "POST", "/echo", 100000, SCRIPT_CHUNKED);
    CHECK(mkdtemp(dir) != NULL);
    for (int with = 0; with < 2; with++) {
        begin(pair_unix, 0);
        env.tmpdir = dir;
        if (!with)
            fault_fail(FAULT_open, 1, 1, EOPNOTSUPP);
        fault_most(FAULT_pwrite, 777);
        fault_fail(FAULT_pwrite, 5, 1, EINTR);
        send_bytes(script.requests.data, script.requests.len - 1);
        CHECK(conn.body_fd >= 0 && (fcntl(conn.body_fd, F_GETFD) & FD_CLOEXEC));
        CHECK_EQUAL(fault_calls(FAULT_mkostemp), with ? 0 : 1);
        CHECK_EQUAL(entries(dir), 0);
        send_bytes(script.requests.data + script.requests.len - 1, 1);
        check_all(&script);
        end();
    }
    begin(pair_unix, 0);
    static char deep[5000];
    memset(deep, 'd', sizeof deep - 1);
    env.tmpdir = deep;
    send_bytes(script.requests.data, script.requests.len);
    CHECK_EQUAL(only_status(), 507);
    end();
    CHECK_EQUAL(rmdir(dir), 0);
    script_drop(&script);
}

/* --- 100-continue: RFC 9110 section 10.1.1 --- */

static void continue_is_said_where_it_is_waited_for(void)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    static const struct {
        const char *head, *body;
        bool wanted;
    } cases[] = {
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "hello",
         true},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-Continue\r\n\r\n",
         "5\r\nhello\r\n0\r\n\r\n", true},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n", "", false},
        {"GET /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "", false},
        {"POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
         "hello", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (int at_once = 0; at_once < 2; at_once++) {
            struct text text = {0};
            fw_test_note("case %zu, at once %d", i, at_once);
            begin(pair_unix, 0);
            if (at_once) {
                text_print(&text, "%s%s", cases[i].head, cases[i].body);
                send_bytes(text.data, text.len);
            } else {
                send_text(cases[i].head);
                if (cases[i].wanted)
                    CHECK(text_is(&peer.got, go_on));
                send_text(cases[i].body);
            }
            bool said = peer.got.len > 25 && memcmp(peer.got.data, go_on, 25) == 0;
            CHECK_EQUAL(said, cases[i].wanted && !at_once);
            if (said)
                text_take(&peer.got, 25);
            CHECK_EQUAL(only_status(), 200);
            CHECK(memmem(peer.got.data, peer.got.len, "100 Continue", 12) == NULL);
            CHECK_EQUAL(conn.state, FW_CONN_IDLE);
            text_drop(&text);
            end();
        }
}

/* The socket has no room when the client is to be told to go on, or has none for the answer before: it is
 * told when there is. */
static void continue_waits_for_room(void)
{
    for (int behind = 0; behind < 2; behind++) {
        struct script script = {0};
        if (behind)
            script_add(&script, "GET", "/large/9000", 0, SCRIPT_PLAIN);
        script_add(&script, "POST", "/echo", 40, SCRIPT_EXPECT);
        size_t head = script.requests.len - 40;
        begin(pair_unix, 0);
        CHECK_EQUAL(peer_write(&peer, script.requests.data, head), head);
        fault_fail(FAULT_send, 1, 1, EAGAIN);
        fault_fail(FAULT_sendmsg, 1, 1, EAGAIN);
        conn.readable = true;
        enum fw_conn_need need;
        while ((need = fw_conn_step(&conn)) == FW_NEED_SERVE) {
            fw_conn_serve(&conn);
            app_serve(&conn, NULL);
        }
        CHECK_EQUAL(need, FW_NEED_WRITE);
        CHECK(conn.blocked && fault_was_hit());
        peer_read(&peer);
        CHECK_EQUAL(peer.got.len, 0);
        conn.blocked = false;
        drive();
        CHECK(peer.got.len >= 25 &&
              memcmp(peer.got.data + peer.got.len - 25, "HTTP/1.1 100 Continue\r\n\r\n", 25) == 0);
        send_bytes(script.requests.data + head, 40);
        check_all(&script);
        CHECK_EQUAL(script_check(&script, &peer).interim, 1);
        end();
        script_drop(&script);
    }
}

/* However the body comes afterwards; and for each request of a connection. */
static void continue_is_said_once(void)
{
    static const char head[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    static const char body[] = "5\r\nhello\r\n0\r\n\r\n";
    begin(pair_unix, 0);
    for (int round = 0; round < 3; round++) {
        peer.got.len = 0;
        send_text(head);
        CHECK(text_is(&peer.got, "HTTP/1.1 100 Continue\r\n\r\n"));
        for (size_t at = 0; at < sizeof body - 2; at++) {
            send_bytes(body + at, 1);
            CHECK_EQUAL(peer.got.len, 25);
        }
        send_bytes(body + sizeof body - 2, 1);
        text_take(&peer.got, 25);
        CHECK_EQUAL(only_status(), 200);
    }
    /* a request behind one, in one piece: its client is told behind the answer before */
    struct text both = {0};
    peer.got.len = 0;
    text_print(&both, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n%s", head);
    send_bytes(both.data, both.len);
    CHECK(peer.got.len > 25 && memcmp(peer.got.data, "HTTP/1.1 204", 12) == 0 &&
          memcmp(peer.got.data + peer.got.len - 25, "HTTP/1.1 100 Continue\r\n\r\n", 25) == 0);
    peer.got.len = 0;
    send_text(body);
    CHECK_EQUAL(only_status(), 200);
    text_drop(&both);
    end();
}

/* Any refusal of the head comes instead; one of the body comes behind it. */
static void continue_and_refusals(void)
{
    static const char *const fields[] = {"Content-Length: 5x", "Transfer-Encoding: gzip",
                                         "Content-Length: 5\r\nTransfer-Encoding: chunked"};
    static const int statuses[] = {400, 501, 400};
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        struct text text = {0};
        begin(pair_unix, 0);
        text_print(&text, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n%s\r\n\r\n", fields[i]);
        send_bytes(text.data, text.len);
        CHECK_EQUAL(only_status(), statuses[i]);
        text_drop(&text);
        end();
    }
    begin(pair_unix, 0);
    env.limits.body = 4;
    send_text("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    send_text("5\r\nhello\r\n0\r\n\r\n");
    CHECK(peer.got.len > 25);
    text_take(&peer.got, 25);
    CHECK_EQUAL(only_status(), 413);
    end();
}

static void a_body_that_is_refused_is_not_asked_for(void)
{
    begin(pair_tcp, 0);
    env.limits.body = 10;
    send_text("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n");
    shutdown(peer.fd, SHUT_WR);
    drive_to_end();
    CHECK_EQUAL(only_status(), 413);
    end();
}

/* --- refusals --- */

static void refusals_in_every_state(void)
{
    static const struct {
        const char *sent;
        enum fw_error error;
    } cases[] = {
        {"\r\n\r\n", FW_E_REQUEST_LINE},
        {"get / HTTP/1.1\r\n\r\n", FW_E_METHOD},
        {"\x16\x03\x01", FW_E_NOT_HTTP},
        {"GET / HTTP/1.1\r\n\r\n", FW_E_HOST_MISSING},
        {"GET / HTTP/3.0\r\n\r\n", FW_E_VERSION},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", FW_E_LENGTH_INVALID},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx", FW_E_CHUNK_SIZE},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX", FW_E_CHUNK_END},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n",
         FW_E_TRAILER_FORBIDDEN},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            begin(pair_tcp, 0);
            fw_test_note("%s", fw_error_name(cases[i].error));
            conn.addr_len = 9;
            memcpy(conn.addr, "192.0.2.1", 9);
            conn.port = 4711;
            size_t len = strlen(cases[i].sent);
            for (size_t at = 0; at < len && bytewise; at++)
                send_bytes(cases[i].sent + at, 1);
            if (!bytewise)
                send_bytes(cases[i].sent, len);
            drive_until(1);
            CHECK(!closed && conn.state == FW_CONN_LINGER);
            CHECK_EQUAL(fault_blocks(), env.blocks.count + env.fields.count);
            CHECK_EQUAL(env.refusals.count, 1);
            const struct fw_refusal *refusal = &env.refusals.each[0];
            CHECK_EQUAL(refusal->error, cases[i].error);
            CHECK(refusal->addr_len == 9 && memcmp(refusal->addr, "192.0.2.1", 9) == 0 &&
                  refusal->port == 4711);
            size_t line = strcspn(cases[i].sent, "\r\n");
            if (!bytewise)
                CHECK(refusal->line_len == line && memcmp(refusal->line, cases[i].sent, line) == 0);
            shutdown(peer.fd, SHUT_WR);
            drive_to_end();
            CHECK(peer.ended && closed);
            CHECK_EQUAL(only_status(), fw_error_status(cases[i].error));
            end();
        }
}

static void a_refused_head_gets_no_body(void)
{
    begin(pair_unix, 0);
    send_text("HEAD / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
    CHECK(peer.got.len > 20 && memcmp(peer.got.data + peer.got.len - 4, "\r\n\r\n", 4) == 0);
    end();
    /* but who comes after one does: the old request says nothing of the new */
    begin(pair_unix, 0);
    send_text("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.got.len = 0;
    fault_fail(FAULT_alloc, 1, 10, 0);
    fw_pool_drop(&env.fields);
    send_text(hello);
    CHECK_EQUAL(only_status(), 503);
    end();
}

static void no_memory_for_a_longer_head(void)
{
    struct text text = {0};
    text_print(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 17; i++)
        text_print(&text, "X-%d: %0900d\r\n", i, i);
    begin(pair_unix, 0);
    send_bytes(text.data, text.len);
    CHECK(conn.state == FW_CONN_HEAD && peer.got.len == 0);
    fw_pool_give(&env.blocks, fw_pool_take(&env.blocks)); /* one is there for the answer */
    fault_fail(FAULT_alloc, 1, 1, 0);
    send_bytes(text.data + text.len - 910, 910);
    CHECK(fault_was_hit());
    CHECK_EQUAL(only_status(), 503);
    CHECK_EQUAL(last_refusal(), FW_E_NO_MEMORY);
    end();
    text_drop(&text);
}

static void a_long_first_line_is_logged_in_part(void)
{
    struct text text = {0};
    text_print(&text, "GET /");
    for (int i = 0; i < 5000; i++)
        text_add(&text, "x", 1);
    begin(pair_unix, 0);
    send_bytes(text.data, text.len);
    CHECK_EQUAL(last_refusal(), FW_E_LINE_TOO_LONG);
    CHECK(env.refusals.each[0].line_len == FW_REFUSAL_LINE &&
          memcmp(env.refusals.each[0].line, text.data, FW_REFUSAL_LINE) == 0);
    end();
    text_drop(&text);
    begin(pair_unix, 0);
    env.refusals.count = FW_REFUSALS;
    send_text("x\r\n\r\n");
    CHECK(env.refusals.count == FW_REFUSALS && env.refusals.missed == 1);
    end();
}

static void times_that_are_over(void)
{
    begin(pair_tcp, 0); /* idle */
    drive();
    fw_conn_expire(&conn);
    drive();
    CHECK(closed && env.refusals.count == 0);
    drive_to_end();
    CHECK(peer.ended && peer.got.len == 0);
    end();

    begin(pair_tcp, 0); /* in mid-head */
    send_text("GET / HT");
    drive_until(0);
    CHECK_EQUAL(conn.state, FW_CONN_HEAD);
    fw_conn_expire(&conn);
    drive();
    shutdown(peer.fd, SHUT_WR);
    drive_to_end();
    CHECK_EQUAL(only_status(), 408);
    CHECK_EQUAL(last_refusal(), FW_E_HEAD_TIMEOUT);
    end();

    begin(pair_tcp, 0); /* in mid-body */
    send_text("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    CHECK_EQUAL(conn.state, FW_CONN_BODY);
    fw_conn_expire(&conn);
    drive();
    CHECK(!closed && conn.state == FW_CONN_LINGER); /* the rest may still come */
    shutdown(peer.fd, SHUT_WR);
    drive_to_end();
    CHECK_EQUAL(only_status(), 408);
    CHECK_EQUAL(last_refusal(), FW_E_BODY_TIMEOUT);
    end();

    begin(pair_tcp, 5000); /* in mid-answer: what the client has is not the whole, and it sees that */
    struct text big = {0};
    text_print(&big, "GET /large/9000000 HTTP/1.0\r\n\r\n");
    CHECK_EQUAL(peer_write(&peer, big.data, big.len), big.len);
    uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
    enum fw_conn_need need;
    while ((need = fw_conn_step(&conn)) != FW_NEED_WRITE && CHECK(peer_now_ms() < end_ms)) {
        conn.readable = true;
        if (need == FW_NEED_SERVE) {
            fw_conn_serve(&conn);
            app_serve(&conn, NULL);
        }
    }
    CHECK_EQUAL(conn.state, FW_CONN_SENDING);
    fw_conn_expire(&conn);
    CHECK_EQUAL(last_refusal(), FW_E_WRITE_TIMEOUT);
    drive();
    drive_to_end();
    CHECK(closed && peer.reset && !peer.ended);
    text_drop(&big);
    end();

    begin(pair_tcp, 0); /* lingering */
    send_text("x y\r\n\r\n");
    drive_until(1);
    CHECK_EQUAL(conn.state, FW_CONN_LINGER);
    fw_conn_expire(&conn);
    drive();
    CHECK(closed);
    end();
}

/* A body, its answer, and a refusal each begin with the whole grace of their rate, whatever was used up. */
static void rates_begin_anew(void)
{
    begin(pair_unix, 0);
    fw_rate_set(&env.body_rate, 100, 4000);
    fw_rate_set(&env.write_rate, 100, 7000);
    conn.credit_ns = 1;
    send_text("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    CHECK_EQUAL(conn.credit_ns, 4000000000);
    conn.credit_ns = 1;
    send_text("cde");
    CHECK(conn.credit_ns == 7000000000 && only_status() == 200);
    conn.credit_ns = 1;
    send_text("x y\r\n\r\n");
    CHECK_EQUAL(conn.credit_ns, 7000000000);
    end();
}

/* --- lingering: RFC 9112 section 9.6 --- */

/* The client sends a great deal behind what was refused, and reads only then: the answer is still there. */
static void an_answer_survives_what_the_client_goes_on_sending(void)
{
    static char more[2000000];
    begin(pair_tcp, 0);
    env.limits.body = 10;
    send_text("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
    int fd = peer.fd;
    uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
    for (size_t sent = 0; sent < sizeof more && CHECK(peer_now_ms() < end_ms);) {
        ssize_t n = write(fd, more + sent, sizeof more - sent);
        sent += n > 0 ? (size_t)n : 0;
        peer.fd = -1; /* nobody reads the answer yet */
        peer.ended = true;
        conn.readable = true;
        drive();
        CHECK(!closed && conn.state == FW_CONN_LINGER);
    }
    peer = (struct peer){.fd = fd, .got = peer.got};
    shutdown(fd, SHUT_WR);
    drive_to_end();
    CHECK(peer.ended && !peer.reset && closed);
    CHECK_EQUAL(only_status(), 413);
    end();
}

static void lingering_has_an_end(void)
{
    begin(pair_unix, 0);
    send_text("x y\r\n\r\n");
    CHECK_EQUAL(conn.state, FW_CONN_LINGER);
    for (int i = 0; i < 49; i++) {
        fault_clock_step(10);
        fw_clock_update(&env.clock);
        send_text("and on");
        CHECK(!closed);
    }
    fault_clock_step(10); /* linger_ms times five */
    fw_clock_update(&env.clock);
    send_text("and on");
    CHECK(closed);
    end();
}

/* One client that sends without end does not keep the thread. */
static void a_flood_is_taken_in_turns(void)
{
    static char flood[20000];
    static const char *const before[] = {"x y\r\n\r\n",
                                         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n"};
    for (size_t i = 0; i < COUNT_OF(before); i++) {
        begin(pair_unix, 0);
        env.body_memory = 0;
        send_text(before[i]);
        CHECK(peer_write(&peer, flood, sizeof flood) > 10000);
        conn.readable = true;
        unsigned long reads = fault_calls(FAULT_recv);
        fault_most(FAULT_recv, 100);
        conn.at_end = true; /* so that a short read does not look like the last */
        CHECK_EQUAL(fw_conn_step(&conn), FW_NEED_AGAIN);
        CHECK(fault_calls(FAULT_recv) - reads <= 8);
        end();
    }
    begin(pair_unix, 0); /* nor does one whose bytes come in large pieces */
    send_text(before[1]);
    static char large[200000];
    int room = 1000000;
    CHECK(setsockopt(peer.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
    size_t sent = peer_write(&peer, large, sizeof large);
    conn.readable = true;
    fault_most(FAULT_recv, 60000);
    conn.at_end = true;
    CHECK(sent > 150000 && fw_conn_step(&conn) == FW_NEED_AGAIN);
    CHECK(conn.body_len >= 131072 && conn.body_len < 131072 + 60000);
    end();
}

/* --- half-closed, closed and reset clients --- */

static void a_client_that_has_said_all_gets_its_answer(void)
{
    static const char *const targets[] = {"/echo", "/large/600000", "/file/600000", "/stream/6/100000"};
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        for (int tcp = 0; tcp < 2; tcp++) {
            struct script script = {0};
            script_add(&script, "GET", "/echo", 0, SCRIPT_PLAIN);
            script_add(&script, "GET", targets[i], 0, SCRIPT_PLAIN);
            begin(tcp ? pair_tcp : pair_unix, 40000);
            fw_test_note("%s", targets[i]);
            CHECK_EQUAL(peer_write(&peer, script.requests.data, script.requests.len), script.requests.len);
            shutdown(peer.fd, SHUT_WR);
            conn.at_end = true;
            drive_to_end();
            struct verdict verdict = script_check(&script, &peer);
            CHECK(verdict.whole == 2 && !verdict.wrong && peer.ended && !peer.reset && closed);
            CHECK_EQUAL(env.refusals.count, 0);
            end();
            script_drop(&script);
        }
}

static void an_end_in_mid_request(void)
{
    static const char *const halves[] = {
        "GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"};
    for (size_t i = 0; i < COUNT_OF(halves); i++) {
        begin(pair_tcp, 0);
        send_text(halves[i]);
        shutdown(peer.fd, SHUT_WR);
        drive_to_end();
        CHECK(peer.ended && peer.got.len == 0 && closed);
        CHECK_EQUAL(last_refusal(), FW_E_PEER_CLOSED);
        end();
    }
}

static void reset_by_client(void)
{
    static const char *const sent[] = {"",
                                       "GET / HT",
                                       "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
                                       "x y\r\n\r\n",
                                       "GET /large/9000000 HTTP/1.1\r\nHost: a\r\n\r\n",
                                       "GET /file/9000000 HTTP/1.1\r\nHost: a\r\n\r\n"};
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    for (size_t i = 0; i < COUNT_OF(sent); i++) {
        begin(pair_tcp, 5000);
        fw_test_note("%s", sent[i]);
        CHECK_EQUAL(peer_write(&peer, sent[i], strlen(sent[i])), strlen(sent[i]));
        uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
        for (int turns = 0; turns < 5; turns++) {
            conn.readable = true;
            if (fw_conn_step(&conn) == FW_NEED_SERVE) {
                fw_conn_serve(&conn);
                app_serve(&conn, NULL);
            }
        }
        setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(peer.fd);
        peer.fd = -1;
        peer.reset = true;
        while (!closed && CHECK(peer_now_ms() < end_ms)) {
            conn.readable = true;
            conn.blocked = false;
            drive();
        }
        end();
    }
}

/* --- answers --- */

static void answers_larger_than_the_socket(void)
{
    static const char *const targets[] = {"/large/600000", "/stream/12/50000", "/stream/1000/300",
                                          "/file/600000"};
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        for (int tcp = 0; tcp < 2; tcp++) {
            struct script script = {0};
            script_add(&script, "GET", "/echo/1", 0, SCRIPT_PLAIN);
            script_add(&script, "GET", targets[i], 0, SCRIPT_PLAIN);
            script_add(&script, "GET", "/echo/2", 0, SCRIPT_PLAIN);
            script_add(&script, "GET", targets[i], 0, SCRIPT_OLD);
            begin(tcp ? pair_tcp : pair_unix, 40000);
            fw_test_note("%s", targets[i]);
            send_bytes(script.requests.data, script.requests.len);
            drive_to_end();
            CHECK(peer.ended && !peer.reset);
            check_all(&script);
            end();
            script_drop(&script);
        }
}

/* A byte at a time is what a socket may take; a signal may come at any time. */
static void sockets_that_take_little(void)
{
    static const size_t sizes[] = {1, 2, 100, 8191};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct script script = {0};
        script_add(&script, "GET", "/stream/3/1000", 0, SCRIPT_PLAIN);
        script_add(&script, "GET", "/stream/3/9000", 0, SCRIPT_PLAIN);
        script_add(&script, "GET", "/file/3000", 0, SCRIPT_PLAIN);
        script_add(&script, "GET", "/large/10000", 0, SCRIPT_PLAIN);
        script_add(&script, "POST", "/echo", 500, SCRIPT_EXPECT);
        begin(pair_unix, 0);
        fw_test_note("%zu bytes", sizes[i]);
        fault_most(FAULT_send, sizes[i]);
        fault_most(FAULT_sendmsg, sizes[i]);
        fault_most(FAULT_sendfile, sizes[i]);
        fault_fail(FAULT_send, 3, 2, EINTR);
        fault_fail(FAULT_sendmsg, 1, 2, EINTR);
        fault_fail(FAULT_sendfile, 2, 2, EINTR);
        fault_fail(FAULT_recv, 1, 2, EINTR);
        send_bytes(script.requests.data, script.requests.len);
        check_all(&script);
        end();
        script_drop(&script);
    }
}

static void files_go_out_whole(void)
{
    static const char *const targets[] = {"/file/0", "/file/1", "/file/4093", "/file/100000"};
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct script script = {0};
        script_add(&script, "GET", targets[i], 0, SCRIPT_PLAIN);
        script_add(&script, "HEAD", targets[i], 0, SCRIPT_PLAIN);
        script_add(&script, "GET", targets[i], 0, SCRIPT_OLD_KEEP);
        begin(pair_unix, 0);
        fault_fail(FAULT_sendfile, 1, 3, EAGAIN);
        send_bytes(script.requests.data, script.requests.len);
        check_all(&script);
        end();
        script_drop(&script);
    }
}

/* File systems without sendfile say so at the first call, or (stacked ones) later. */
static void files_that_cannot_be_sent_by_the_kernel(void)
{
    static const char *const targets[] = {"/file/1", "/file/4093", "/file/300000"};
    static const int errors[] = {EINVAL, ENOSYS, EOPNOTSUPP};
    for (size_t i = 0; i < COUNT_OF(targets); i++)
        for (unsigned long from = 1; from <= 2; from++) {
            struct script script = {0};
            script_add(&script, "GET", targets[i], 0, SCRIPT_PLAIN);
            script_add(&script, "HEAD", targets[i], 0, SCRIPT_PLAIN);
            script_add(&script, "GET", targets[i], 0, SCRIPT_OLD_KEEP);
            script_add(&script, "GET", "/echo", 0, SCRIPT_OLD);
            begin(pair_tcp, 20000);
            fw_test_note("%s, sendfile no. %lu", targets[i], from);
            fault_most(FAULT_sendfile, 1000);
            fault_fail(FAULT_sendfile, from, 1000, errors[i]);
            fault_fail(FAULT_pread, 1, 2, EINTR);
            fault_most(FAULT_pread, 50000);
            send_bytes(script.requests.data, script.requests.len);
            drive_to_end();
            check_all(&script);
            CHECK_EQUAL(fault_calls(FAULT_sendfile), i > 0 ? from + 1 : 2);
            CHECK(fault_calls(FAULT_pread) > 0);
            CHECK(out_most <= 2 * 65536);
            end();
            script_drop(&script);
        }
}

/* The client must see that it does not have the whole file. */
static void a_file_that_shrinks(void)
{
    static const struct {
        enum fault_call call;
        int error;
    } faults[] = {{FAULT_sendfile, EINVAL}, {FAULT_sendfile, EIO}, {FAULT_pread, EIO}};
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        begin(pair_tcp, 0);
        fw_test_note("%s: %s", fault_name(faults[i].call), strerror(faults[i].error));
        fault_fail(FAULT_sendfile, 1, 1, EINVAL);
        fault_fail(faults[i].call, 1, 1, faults[i].error);
        send_text("GET /shrunk/20000 HTTP/1.1\r\nHost: a\r\n\r\n");
        drive_to_end();
        CHECK(closed && peer.reset && !peer.ended);
        CHECK_EQUAL(last_refusal(), FW_E_FILE_SHORT);
        end();
    }
    for (int late = 0; late < 2; late++) {
        begin(pair_tcp, 0);
        if (late)
            fault_fail(FAULT_sendfile, 1, 1, EAGAIN);
        send_text("GET /shrunk/20000 HTTP/1.1\r\nHost: a\r\n\r\n");
        drive_to_end();
        CHECK(closed && peer.reset && !peer.ended);
        CHECK_EQUAL(fault_was_hit(), late);
        CHECK_EQUAL(last_refusal(), FW_E_FILE_SHORT);
        end();
    }
    begin(pair_tcp, 0); /* and that there is none left to send */
    fault_fail(FAULT_sendfile, 1, 1, EAGAIN);
    fault_fail(FAULT_fcntl, 1, 1, EMFILE);
    send_text("GET /file/20000 HTTP/1.1\r\nHost: a\r\n\r\n");
    drive_to_end();
    CHECK(closed && (peer.ended || peer.reset) && only_status() != 200);
    end();
}

static void what_the_application_leaves_unfinished(void)
{
    struct answer answer = {0};
    begin(pair_tcp, 0); /* chunked: the last chunk is missing */
    send_text("GET /cut/100 HTTP/1.1\r\nHost: a\r\n\r\n");
    drive_to_end();
    CHECK(closed && peer.ended);
    CHECK(peer.got.len > 100 && answer_read(&answer, peer.got.data, peer.got.len, false, false) == 0);
    end();
    begin(pair_tcp, 0); /* ended by closing: only a reset tells */
    send_text("GET /cut/100 HTTP/1.0\r\n\r\n");
    drive_to_end();
    CHECK(closed && peer.reset && !peer.ended);
    end();
    begin(pair_tcp, 0); /* Content-Length: bytes are missing */
    send_text("GET /missing/100 HTTP/1.1\r\nHost: a\r\n\r\n");
    drive_to_end();
    CHECK(closed && peer.ended);
    CHECK_EQUAL(answer_read(&answer, peer.got.data, peer.got.len, false, false), 0);
    CHECK(answer.has_length && answer.body.len == 50);
    end();
    begin(pair_tcp, 0); /* nothing was sent: an answer of our own, and who is behind it is not answered */
    send_text("GET /echo HTTP/1.1\r\nHost: a\r\n\r\nGET /fail HTTP/1.1\r\nHost: a\r\n\r\nGET /echo "
              "HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(peer.fd, SHUT_WR);
    drive_to_end();
    CHECK(closed && peer.ended);
    long first = answer_read(&answer, peer.got.data, peer.got.len, false, true);
    CHECK(first > 0 && answer.status == 200);
    text_take(&peer.got, (size_t)first);
    CHECK_EQUAL(only_status(), 500);
    CHECK_EQUAL(env.refusals.count, 0); /* the gateway logs it */
    end();
    answer_drop(&answer);
}

/* The worker ends in mid-answer: what has no length and no chunks must not look whole. */
static void a_connection_dropped_in_mid_answer(void)
{
    for (int minor = 0; minor < 2; minor++) {
        struct text text = {0};
        begin(pair_tcp, 5000);
        text_print(&text, "GET /stream/1/3000000 HTTP/1.%d\r\nHost: a\r\n\r\n", minor);
        CHECK_EQUAL(peer_write(&peer, text.data, text.len), text.len);
        text_drop(&text);
        uint64_t end_ms = peer_now_ms() + GIVE_UP_MS;
        while (conn.state != FW_CONN_SENDING && CHECK(peer_now_ms() < end_ms)) {
            conn.readable = true;
            if (fw_conn_step(&conn) == FW_NEED_SERVE) {
                fw_conn_serve(&conn);
                app_serve(&conn, NULL);
            }
        }
        CHECK(conn.blocked && fw_buf_live(&conn.out) > 0);
        fw_conn_close(&conn);
        closed = true;
        drive_to_end();
        CHECK_EQUAL(peer.reset, minor == 0);
        end();
    }
}

static void a_closed_answer_leaves_nothing_of_what_is_behind_it(void)
{
    begin(pair_tcp, 0);
    send_text("GET /close HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    drive_until(1);
    CHECK_EQUAL(conn.state, FW_CONN_LINGER); /* unread bytes would have made a reset of the close */
    shutdown(peer.fd, SHUT_WR);
    drive_to_end();
    CHECK(peer.ended && only_status() == 200);
    end();
}

/* --- a machine that fails --- */

/* Errors that a call may really give: the connection may die of them, or the request be refused. */
static const struct {
    enum fault_call call;
    int error;
} faults[] = {
    {FAULT_alloc, 0},        {FAULT_recv, ECONNRESET},   {FAULT_recv, EINTR},
    {FAULT_recv, EAGAIN},    {FAULT_recv, ETIMEDOUT},    {FAULT_recv, ENOMEM},
    {FAULT_send, EPIPE},     {FAULT_send, ECONNRESET},   {FAULT_send, EAGAIN},
    {FAULT_send, EINTR},     {FAULT_send, ENOBUFS},      {FAULT_sendmsg, EPIPE},
    {FAULT_sendmsg, EAGAIN}, {FAULT_sendmsg, EINTR},     {FAULT_sendmsg, ENOMEM},
    {FAULT_sendfile, EPIPE}, {FAULT_sendfile, EIO},      {FAULT_sendfile, EAGAIN},
    {FAULT_sendfile, EINTR}, {FAULT_pwrite, ENOSPC},     {FAULT_sendfile, EINVAL},
    {FAULT_pwrite, EIO},     {FAULT_pwrite, EINTR},      {FAULT_pread, EIO},
    {FAULT_pread, EINTR},    {FAULT_open, EMFILE},       {FAULT_open, EOPNOTSUPP},
    {FAULT_fcntl, EMFILE},   {FAULT_shutdown, ENOTCONN}, {FAULT_setsockopt, EINVAL},
};

/* The n-th call fails, for every n: never a wrong byte, and nothing is left behind. */
static void every_call_fails_once(void)
{
    struct script script = all_kinds();
    script_add(&script, "GET", "/stream/3/9000", 0, SCRIPT_OLD);
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        bool heals = faults[i].error == EINTR || faults[i].error == EAGAIN || faults[i].error == EOPNOTSUPP ||
                     faults[i].call == FAULT_shutdown || faults[i].error == EINVAL;
        for (unsigned long n = 1;; n++) {
            fw_test_note("%s no. %lu: %s", fault_name(faults[i].call), n, strerror(faults[i].error));
            begin(pair_tcp, 0);
            if (faults[i].call == FAULT_fcntl) /* a descriptor is duplicated where the socket is full */
                fault_fail(FAULT_sendfile, 1, 1, EAGAIN);
            fault_fail(faults[i].call, n, 1, faults[i].error);
            if (faults[i].call == FAULT_open && !heals)
                fault_fail(FAULT_mkostemp, n, 1, faults[i].error);
            unsigned long before = fault_calls(faults[i].call);
            send_bytes(script.requests.data, script.requests.len);
            if (closed)
                drive_to_end();
            else
                drive_until(heals ? SIZE_MAX : 0);
            bool over = fault_calls(faults[i].call) < before + n;
            struct verdict verdict = script_check(&script, &peer);
            CHECK(!verdict.wrong);
            if (over || heals) {
                CHECK(verdict.whole == script.count && verdict.refusal == 0 && !verdict.torn);
            } else {
                CHECK(closed || conn.state == FW_CONN_LINGER || verdict.whole == script.count);
            }
            end();
            if (over)
                break;
        }
    }
    script_drop(&script);
}

/* From the n-th on, all allocations fail. */
static void memory_is_gone(void)
{
    struct script script = all_kinds();
    for (unsigned long n = 1;; n++) {
        fw_test_note("allocation %lu", n);
        begin(pair_unix, 100000);
        fault_fail(FAULT_alloc, n, 1000000, 0);
        send_bytes(script.requests.data, script.requests.len);
        bool over = !fault_was_hit();
        struct verdict verdict = script_check(&script, &peer);
        CHECK(!verdict.wrong);
        CHECK(!over || verdict.whole == script.count);
        end();
        if (over)
            break;
    }
    script_drop(&script);
}

static const struct fw_test tests[] = {
    {"a_connection_is_small", a_connection_is_small},
    {"all_kinds_at_once", all_kinds_at_once},
    {"all_kinds_byte_by_byte", all_kinds_byte_by_byte},
    {"cut_everywhere", cut_everywhere},
    {"old_clients_are_closed_on", old_clients_are_closed_on},
    {"a_leaving_worker_closes", a_leaving_worker_closes},
    {"sixty_four_deep", sixty_four_deep},
    {"old_answers_leave_alone", old_answers_leave_alone},
    {"little_is_queued_for_company", little_is_queued_for_company},
    {"an_answer_does_not_wait_for_half_a_request", an_answer_does_not_wait_for_half_a_request},
    {"answers_before_a_refusal_arrive", answers_before_a_refusal_arrive},
    {"the_threshold_of_memory", the_threshold_of_memory},
    {"framing_takes_no_memory", framing_takes_no_memory},
    {"bodies_of_some_paths_are_read_as_they_come", bodies_of_some_paths_are_read_as_they_come},
    {"lines_of_all_lengths", lines_of_all_lengths},
    {"no_space_for_a_body", no_space_for_a_body},
    {"a_file_is_used_again", a_file_is_used_again},
    {"a_long_body_is_poured", a_long_body_is_poured},
    {"a_long_body_without_memory_for_it", a_long_body_without_memory_for_it},
    {"file_systems_without_unnamed_files", file_systems_without_unnamed_files},
    {"continue_is_said_where_it_is_waited_for", continue_is_said_where_it_is_waited_for},
    {"continue_waits_for_room", continue_waits_for_room},
    {"continue_is_said_once", continue_is_said_once},
    {"continue_and_refusals", continue_and_refusals},
    {"a_body_that_is_refused_is_not_asked_for", a_body_that_is_refused_is_not_asked_for},
    {"refusals_in_every_state", refusals_in_every_state},
    {"a_refused_head_gets_no_body", a_refused_head_gets_no_body},
    {"no_memory_for_a_longer_head", no_memory_for_a_longer_head},
    {"a_long_first_line_is_logged_in_part", a_long_first_line_is_logged_in_part},
    {"times_that_are_over", times_that_are_over},
    {"rates_begin_anew", rates_begin_anew},
    {"an_answer_survives_what_the_client_goes_on_sending",
     an_answer_survives_what_the_client_goes_on_sending},
    {"lingering_has_an_end", lingering_has_an_end},
    {"a_flood_is_taken_in_turns", a_flood_is_taken_in_turns},
    {"a_client_that_has_said_all_gets_its_answer", a_client_that_has_said_all_gets_its_answer},
    {"an_end_in_mid_request", an_end_in_mid_request},
    {"reset_by_client", reset_by_client},
    {"answers_larger_than_the_socket", answers_larger_than_the_socket},
    {"sockets_that_take_little", sockets_that_take_little},
    {"files_go_out_whole", files_go_out_whole},
    {"files_that_cannot_be_sent_by_the_kernel", files_that_cannot_be_sent_by_the_kernel},
    {"a_file_that_shrinks", a_file_that_shrinks},
    {"what_the_application_leaves_unfinished", what_the_application_leaves_unfinished},
    {"a_connection_dropped_in_mid_answer", a_connection_dropped_in_mid_answer},
    {"a_closed_answer_leaves_nothing_of_what_is_behind_it",
     a_closed_answer_leaves_nothing_of_what_is_behind_it},
    {"every_call_fails_once", every_call_fails_once},
    {"memory_is_gone", memory_is_gone},
};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* as Python does: sendfile has no flag against it */
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
