/* loop: the least that an event loop on one thread can do for keep-alive clients.
 *
 * One epoll_wait a batch, one recv and one send a ready connection. No timeouts, no limits, no
 * lingering close: it is what every server measured here has to pay to the kernel, and no more.
 * `limit` and `limit_py` include it with their own `floor_serve_fn`, inlined into the loop.     */

#ifndef FLOOR_LOOP_H
#define FLOOR_LOOP_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FLOOR_EVENTS = 1024, FLOOR_FDS = 65536, FLOOR_IN = 65536 };

/* Answers of one recv, sent together. */
struct floor_out {
    char *buf;
    size_t len, cap;
};

/* Bytes of a head that is not all here yet; only a connection in that state owns a buffer. */
struct floor_rest {
    char *buf;
    size_t len;
};

/* Answer the request at the start of buf[0..len) into `out`.
 * Returns the bytes it took, 0 for "not all here yet", or -1 to drop the connection. */
typedef ssize_t (*floor_serve_fn)(void *context, const char *buf, size_t len, struct floor_out *out);

/* Room for `more` bytes behind what is already there, or NULL without memory. */
static inline char *floor_out_room(struct floor_out *out, size_t more)
{
    if (__builtin_expect(out->cap - out->len < more, 0)) {
        size_t cap = (out->cap + more) * 2;
        char *buf = realloc(out->buf, cap);
        if (buf == NULL)
            return NULL;
        out->buf = buf;
        out->cap = cap;
    }
    return out->buf + out->len;
}

/* Where the head at the start of buf[0..len) ends, or 0. memchr is vectorised, and a line is long
 * enough for it to pay; memmem is a byte loop. */
static inline size_t floor_head_end(const char *buf, size_t len)
{
    const char *at = buf, *end = buf + len;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        if (end - at >= 2 && at[0] == '\r' && at[1] == '\n')
            return (size_t)(at + 2 - buf);
    }
    return 0;
}

/* A listener on 127.0.0.1:`port` (0: the kernel's choice), or -1 with errno set. */
static inline int floor_listen(unsigned short port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* An accepted socket inherits TCP_NODELAY: one system call less a connection. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 2048) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline void floor_accept(int poll_fd, int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (fd >= FLOOR_FDS || epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
            close(fd);
    }
}

/* 0 when all of it is sent. The answers measured here fit the socket's buffer, so waiting in place
 * for a slow reader costs nobody anything. */
static inline int floor_send(int fd, const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, buf, len, MSG_NOSIGNAL);
        if (sent >= 0) {
            buf += sent;
            len -= (size_t)sent;
        } else if (errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            poll(&writable, 1, 1000);
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

/* Read what is there and answer every whole request in it. 0, or -1 to close. */
static inline __attribute__((always_inline)) int floor_turn(int fd, struct floor_rest *rest, char *in,
                                                            struct floor_out *out, floor_serve_fn serve,
                                                            void *context)
{
    size_t len = rest->len, at = 0;

    if (__builtin_expect(len > 0, 0)) {
        memcpy(in, rest->buf, len);
        free(rest->buf);
        *rest = (struct floor_rest){0};
    }
    ssize_t got = recv(fd, in + len, FLOOR_IN - len, 0);
    if (got <= 0)
        return -1;
    len += (size_t)got;

    out->len = 0;
    while (at < len) {
        ssize_t took = serve(context, in + at, len - at, out);
        if (took < 0)
            return -1;
        if (took == 0)
            break;
        at += (size_t)took;
    }
    if (__builtin_expect(at < len, 0)) {
        if (len - at == FLOOR_IN || (rest->buf = malloc(len - at)) == NULL)
            return -1;
        rest->len = len - at;
        memcpy(rest->buf, in + at, rest->len);
    }
    return floor_send(fd, out->buf, out->len);
}

/* Serve `listener` until epoll fails; returns -1 with errno set. */
static inline __attribute__((always_inline)) int floor_run(int listener, floor_serve_fn serve, void *context)
{
    struct epoll_event events[FLOOR_EVENTS], accepting = {.events = EPOLLIN, .data.fd = listener};
    struct floor_rest *rests = calloc(FLOOR_FDS, sizeof *rests);
    struct floor_out out = {.buf = malloc(FLOOR_IN), .cap = FLOOR_IN};
    char *in = malloc(FLOOR_IN);
    int poll_fd = epoll_create1(EPOLL_CLOEXEC);

    if (rests == NULL || out.buf == NULL || in == NULL || poll_fd < 0 ||
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &accepting) < 0)
        return -1;
    for (;;) {
        int count = epoll_wait(poll_fd, events, FLOOR_EVENTS, -1);
        if (count < 0 && errno != EINTR)
            return -1;
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                floor_accept(poll_fd, listener);
            } else if (floor_turn(fd, &rests[fd], in, &out, serve, context) < 0) {
                free(rests[fd].buf);
                rests[fd] = (struct floor_rest){0};
                close(fd);
            }
        }
    }
}

#endif
