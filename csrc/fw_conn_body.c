#define _GNU_SOURCE
#include "fw_conn_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* So much of a file is freed at once: about 60 us. */
#define LEFTOVER_PIECE ((off_t)524288)

static bool write_file(int fd, const char *data, size_t len, uint64_t off)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
        off += (uint64_t)n;
    }
    return true;
}

/* An unlinked file: nothing to clean up, whatever happens to this process. */
static int open_temporary(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0)
        return fd;
    /* file systems without O_TMPFILE */
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/fastwsgi-body-XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

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
    if (env->body_early || (conn->body_fd < 0 && conn->body_len + len <= env->body_memory)) {
        size_t place = conn->head_len + (size_t)(conn->body_len - conn->body_start);
        if (place != at)
            memmove(base + place, base + at, len);
        conn->body_len += len;
        return FW_OK;
    }
    if (conn->body_fd < 0) {
        conn->body_fd = open_temporary(env->tmpdir);
        if (conn->body_fd < 0 || !write_file(conn->body_fd, base + conn->head_len, (size_t)conn->body_len, 0))
            return no_space(env);
    }
    if (!write_file(conn->body_fd, base + at, len, conn->body_len))
        return no_space(env);
    conn->body_len += len;
    return FW_OK;
}

void fw_conn_body_drop(struct fw_conn *conn)
{
    struct fw_conn_env *env = conn->env;
    if (conn->body_fd >= 0 && conn->body_len > (uint64_t)LEFTOVER_PIECE &&
        env->leftover_count < FW_LEFTOVERS) {
        env->leftovers[env->leftover_count++] =
            (struct fw_leftover){.fd = conn->body_fd, .len = (off_t)conn->body_len};
        conn->body_fd = -1;
    }
    fw_conn_drop_fd(&conn->body_fd);
}

void fw_conn_clear_leftover(struct fw_conn_env *env)
{
    struct fw_leftover *last = &env->leftovers[env->leftover_count - 1];
    assert(env->leftover_count > 0);
    last->len -= LEFTOVER_PIECE;
    if (last->len > 0 && ftruncate(last->fd, last->len) == 0)
        return;
    close(last->fd);
    env->leftover_count--;
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
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(conn->body_fd, out + got, len - got, (off_t)(off + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
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
