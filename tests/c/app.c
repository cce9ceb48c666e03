/* app: see app.h. */
#define _GNU_SOURCE
#include "app.h"

#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLICE = 1000, LINE_MOST = 1000000, WAIT_MOST_MS = 30000 };

void (*app_while_waiting)(void);
bool app_only_echoes;

void app_env_init(struct fw_conn_env *env)
{
    *env = (struct fw_conn_env){
        .limits = fw_limits_default(),
        .timeouts = {.head_ms = 10, .body_ms = 10, .keepalive_ms = 10, .write_ms = 10, .linger_ms = 100},
        .body_memory = APP_BODY_MEMORY,
        .queue_mark = 100000,
        .tmpdir = "/tmp",
        .server = "Server: test\r\n",
        .server_len = 14,
    };
    fw_pool_init(&env->blocks, FW_BUF_BLOCK, 4);
    fw_pool_init(&env->fields, env->limits.fields * sizeof(struct fw_field), 4);
    fw_clock_update(&env->clock);
}

void app_env_drop(struct fw_conn_env *env)
{
    fw_spill_drop(&env->spill, &env->blocks);
    fw_pool_drop(&env->blocks);
    fw_pool_drop(&env->fields);
}

char app_byte(uint64_t off)
{
    return (char)('a' + (off * 7 + off / 26) % 26);
}

static char *made_up(size_t size)
{
    char *block = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        block[i] = app_byte(i);
    return block;
}

static bool begin(struct fw_conn *conn, const char *status, const char *name, const char *value,
                  int64_t known)
{
    struct fw_pool *pool = &conn->env->blocks;
    enum fw_error error = fw_resp_status(&conn->resp, &conn->out, pool, status, strlen(status));
    if (error == FW_OK && name != NULL)
        error = fw_resp_field(&conn->resp, &conn->out, pool, name, strlen(name), value, strlen(value));
    if (error == FW_OK)
        error = fw_conn_begin(conn, known);
    if (error != FW_OK)
        fw_conn_refuse(conn, error);
    return error == FW_OK;
}

static void put(struct fw_conn *conn, struct fw_loop *loop, const char *block, size_t len)
{
    if (fw_conn_write(conn, block, len) != FW_OK || loop == NULL || !fw_conn_full(conn))
        return;
    uint64_t end_ms = peer_now_ms() + WAIT_MOST_MS;
    while (fw_loop_wait_room(loop, conn)) {
        if (app_while_waiting != NULL)
            app_while_waiting();
        if (peer_now_ms() > end_ms) {
            printf("app: waited for room without end\n");
            exit(1);
        }
    }
}

static void finish(struct fw_conn *conn)
{
    if (fw_resp_finish(&conn->resp, &conn->out, &conn->env->blocks) != FW_OK)
        fw_conn_cut(conn, conn->error != FW_OK ? (enum fw_error)conn->error : FW_E_APP_FAILED);
    else
        fw_conn_answered(conn);
}

/* The body, however it comes. False: it is not whole, and the connection has its end. */
static bool collect(struct fw_conn *conn, struct fw_loop *loop, struct text *body)
{
    char slice[SLICE];
    uint64_t end_ms = peer_now_ms() + WAIT_MOST_MS;
    for (;;) {
        while (body->len < conn->body_len) {
            size_t n = fw_conn_body_read(conn, body->len, slice, sizeof slice);
            text_add(body, slice, n);
        }
        enum fw_pull pull = fw_conn_body_pull(conn);
        while (pull == FW_PULL_WAIT) {
            if (app_while_waiting != NULL)
                app_while_waiting();
            pull = fw_loop_wait_body(loop, conn);
            if (peer_now_ms() > end_ms) {
                printf("app: waited for a body without end\n");
                exit(1);
            }
        }
        if (pull == FW_PULL_END)
            return true;
        if (pull == FW_PULL_FAILED) {
            enum fw_error error = (enum fw_error)conn->body_error;
            if (fw_error_status(error) != 0)
                fw_conn_refuse(conn, error);
            else
                fw_conn_cut(conn, error);
            return false;
        }
    }
}

static void echo_collected(struct fw_conn *conn, struct fw_loop *loop)
{
    struct text body = {0};
    const struct fw_head *head = &conn->parser.head;
    size_t len = fw_span_end(head->target) - head->method.off;
    if (collect(conn, loop, &body) && begin(conn, "200 OK", NULL, NULL, (int64_t)(len + 1 + body.len))) {
        put(conn, loop, fw_conn_request(conn) + head->method.off, len);
        put(conn, loop, "\n", 1);
        put(conn, loop, body.data != NULL ? body.data : "", body.len);
        finish(conn);
    }
    text_drop(&body);
}

static void echo(struct fw_conn *conn, struct fw_loop *loop)
{
    if (fw_conn_body_is_early(conn)) {
        echo_collected(conn, loop);
        return;
    }
    const struct fw_head *head = &conn->parser.head;
    const char *request = fw_conn_request(conn);
    char slice[SLICE];
    /* of the request line: method SP target, and LF for the second space */
    size_t len = fw_span_end(head->target) - head->method.off;
    if (!begin(conn, "200 OK", NULL, NULL, (int64_t)(len + 1 + conn->body_len)))
        return;
    put(conn, loop, request + head->method.off, len);
    put(conn, loop, "\n", 1);
    for (uint64_t off = 0; off < conn->body_len;) {
        size_t n = fw_conn_body_read(conn, off, slice, sizeof slice);
        if (n == 0) { /* the gateway raises OSError */
            fw_conn_cut(conn, FW_E_APP_FAILED);
            return;
        }
        put(conn, loop, slice, n);
        off += n;
    }
    finish(conn);
}

static void lines(struct fw_conn *conn, struct fw_loop *loop)
{
    uint64_t off = 0, count = 0;
    size_t len;
    char text[64];
    char *line = malloc(conn->body_len < LINE_MOST ? (size_t)conn->body_len + 1 : LINE_MOST);
    bool whole = true;
    for (; whole && (len = fw_conn_body_line(conn, off, LINE_MOST)) > 0; count++, off += len)
        whole = len <= LINE_MOST && fw_conn_body_read(conn, off, line, len) == len;
    free(line);
    if (!whole) { /* the gateway raises OSError */
        fw_conn_refuse(conn, FW_E_APP_FAILED);
        return;
    }
    int n = snprintf(text, sizeof text, "%llu %llu", (unsigned long long)count, (unsigned long long)off);
    if (!begin(conn, "200 OK", NULL, NULL, n))
        return;
    put(conn, loop, text, (size_t)n);
    finish(conn);
}

static void stream(struct fw_conn *conn, struct fw_loop *loop, const char *target)
{
    unsigned long count, size;
    sscanf(target, "/stream/%lu/%lu", &count, &size);
    if (!begin(conn, "200 OK", NULL, NULL, -1))
        return;
    char *all = made_up(count * size);
    for (unsigned long i = 0; i < count && conn->error == FW_OK; i++) {
        put(conn, loop, all + i * size, size);
        fw_conn_push(conn);
    }
    free(all);
    finish(conn);
}

static void large(struct fw_conn *conn, struct fw_loop *loop, size_t size)
{
    if (!begin(conn, "200 OK", NULL, NULL, (int64_t)size))
        return;
    char *block = made_up(size);
    put(conn, loop, block, size);
    free(block);
    finish(conn);
}

static void file(struct fw_conn *conn, size_t size, size_t there)
{
    FILE *kept = tmpfile();
    char *block = made_up(there);
    fwrite("---", 1, 3, kept);
    fwrite(block, 1, there, kept);
    fflush(kept);
    free(block);
    if (begin(conn, "200 OK", NULL, NULL, (int64_t)size)) {
        fw_conn_sendfile(conn, fileno(kept), 3, size);
        finish(conn);
    }
    fclose(kept);
}

static void missing(struct fw_conn *conn, struct fw_loop *loop, size_t size)
{
    char length[24];
    snprintf(length, sizeof length, "%zu", size);
    if (!begin(conn, "200 OK", "Content-Length", length, -1))
        return;
    char *block = made_up(size / 2);
    put(conn, loop, block, size / 2);
    free(block);
    finish(conn);
}

static void cut(struct fw_conn *conn, struct fw_loop *loop, size_t size)
{
    if (!begin(conn, "200 OK", NULL, NULL, -1))
        return;
    char *block = made_up(size);
    put(conn, loop, block, size);
    free(block);
    fw_conn_push(conn);
    fw_conn_cut(conn, FW_E_APP_FAILED);
}

void app_serve(struct fw_conn *conn, struct fw_loop *loop)
{
    char target[64] = "";
    struct fw_span span = conn->parser.head.target;
    memcpy(target, fw_conn_request(conn) + span.off, span.len < 63 ? span.len : 63);
    const char *digits = strpbrk(target, "0123456789");
    size_t size = digits != NULL ? (size_t)strtoull(digits, NULL, 10) : 0;
    if (app_only_echoes)
        echo(conn, loop);
    else if (strncmp(target, "/lines", 6) == 0)
        lines(conn, loop);
    else if (strncmp(target, "/stream/", 8) == 0)
        stream(conn, loop, target);
    else if (strncmp(target, "/large/", 7) == 0)
        large(conn, loop, size);
    else if (strncmp(target, "/file/", 6) == 0)
        file(conn, size, size);
    else if (strncmp(target, "/shrunk/", 8) == 0)
        file(conn, size, size / 2);
    else if (strncmp(target, "/missing/", 9) == 0)
        missing(conn, loop, size);
    else if (strncmp(target, "/cut/", 5) == 0)
        cut(conn, loop, size);
    else if (strcmp(target, "/fail") == 0)
        fw_conn_refuse(conn, FW_E_APP_FAILED);
    else if (strcmp(target, "/empty") == 0 && begin(conn, "204 No Content", NULL, NULL, -1))
        finish(conn);
    else if (strcmp(target, "/close") == 0 && begin(conn, "200 OK", "Connection", "close", 0))
        finish(conn);
    else if (conn->state == FW_CONN_APP)
        echo(conn, loop);
}
