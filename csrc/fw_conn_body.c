#include "fw_conn_parts.h"

#include <errno.h>
#include <string.h>

/* What one read of a body that goes to a file asks for; with less to come it takes the usual way. */
#define POUR_MOST  ((size_t)262144)
#define POUR_LEAST ((size_t)65536)

static enum fw_error no_space(struct fw_conn_env *env)
{
    env->tmp_errno = errno;
    return FW_E_NO_SPACE;
}

/* Body bytes that lie in `in` at `at` (from in.off) get to where the body is kept. */
enum fw_error fw_conn_body_keep(struct fw_conn *conn, size_t at, size_t len)
{
    struct fw_conn_env *env = conn->env;
    char *base = conn->in.data + conn->in.off;
    if (conn->early || (conn->body_fd < 0 && conn->body_len + len <= env->body_memory)) {
        size_t place = conn->head_len + (size_t)(conn->body_len - conn->body_start);
        if (place != at)
            memmove(base + place, base + at, len);
        conn->body_len += len;
        return FW_OK;
    }
    if (conn->body_fd < 0) {
        conn->body_fd = fw_spill_take(&env->spill, env->tmpdir);
        if (conn->body_fd < 0 ||
            !fw_spill_write(&env->spill, conn->body_fd, base + conn->head_len, (size_t)conn->body_len, 0))
            return no_space(env);
    }
    if (!fw_spill_write(&env->spill, conn->body_fd, base + at, len, conn->body_len))
        return no_space(env);
    conn->body_len += len;
    return FW_OK;
}

/* The first `len` bytes of the path are the whole of it, or what it stands below. */
static bool is_below(const char *path, size_t path_len, const char *row, size_t len)
{
    return path_len >= len && memcmp(path, row, len) == 0 &&
           (path_len == len || row[len - 1] == '/' || path[len] == '/');
}

bool fw_conn_path_is_early(const struct fw_conn *conn)
{
    const struct fw_paths *paths = &conn->env->early_paths;
    const struct fw_head *head = &conn->parser.head;
    const char *path = fw_conn_request(conn) + head->path.off;
    for (size_t at = 0; at < paths->len;) {
        const char *row = paths->rows + at, *end = memchr(row, '\0', paths->len - at);
        size_t len = (size_t)(end - row);
        if (is_below(path, head->path.len, row, len))
            return true;
        at += len + 1;
    }
    return false;
}

size_t fw_conn_body_room(struct fw_conn *conn, char **at)
{
    struct fw_conn_env *env = conn->env;
    struct fw_buf *block = &env->spill.block;
    const struct fw_body *body = &conn->parser.body;
    bool pours = conn->body_fd >= 0 && conn->parser.state == FW_PARSER_BODY &&
                 body->state == FW_BODY_S_DATA && body->left >= POUR_LEAST &&
                 fw_buf_live(&conn->in) == conn->used_len;
    if (!pours || !fw_buf_reserve(block, &env->blocks, POUR_MOST))
        return 0;
    *at = block->data;
    size_t room = POUR_MOST - (size_t)(conn->body_len % POUR_MOST);
    return room < body->left ? room : (size_t)body->left;
}

enum fw_error fw_conn_body_pour(struct fw_conn *conn, size_t len)
{
    struct fw_conn_env *env = conn->env;
    const char *block = env->spill.block.data;
    size_t used = 0;
    struct fw_span data;
    struct fw_field field;
    enum fw_parser_event event =
        fw_parser_step(&conn->parser, block, len, &env->limits, &used, &data, &field);
    assert(event == FW_PARSER_GOT_DATA && used == len);
    (void)event;
    if (!fw_spill_write(&env->spill, conn->body_fd, block, len, conn->body_len))
        return no_space(env);
    conn->body_len += len;
    return FW_OK;
}

void fw_conn_body_drop(struct fw_conn *conn)
{
    if (conn->body_fd >= 0)
        fw_spill_give(&conn->env->spill, conn->body_fd, conn->env->clock.now_ms);
    conn->body_fd = -1;
}

static uint64_t body_left(const struct fw_conn *conn, uint64_t off)
{
    return off < conn->body_len ? conn->body_len - off : 0;
}

size_t fw_conn_body_read(const struct fw_conn *conn, uint64_t off, char *out, size_t len)
{
    uint64_t left = body_left(conn, off);
    if (len > left)
        len = (size_t)left;
    if (len > 0 && conn->body_fd < 0) {
        memcpy(out, fw_conn_request(conn) + conn->head_len + (off - conn->body_start), len);
        return len;
    }
    return fw_spill_read(conn->body_fd, out, len, off);
}

size_t fw_conn_body_line(const struct fw_conn *conn, uint64_t off, size_t most)
{
    uint64_t left = body_left(conn, off);
    if (most > left)
        most = (size_t)left;
    if (most == 0)
        return 0;
    if (conn->body_fd < 0) {
        const char *start = fw_conn_request(conn) + conn->head_len + (off - conn->body_start);
        const char *end = memchr(start, '\n', most);
        return end != NULL ? (size_t)(end - start) + 1 : most;
    }
    char window[4096];
    for (size_t len = 0; len < most;) {
        size_t want = most - len < sizeof window ? most - len : sizeof window;
        size_t n = fw_conn_body_read(conn, off + len, window, want);
        const char *end = memchr(window, '\n', n);
        if (end != NULL)
            return len + (size_t)(end - window) + 1;
        len += n;
        if (n < want)
            return SIZE_MAX;
    }
    return most;
}
