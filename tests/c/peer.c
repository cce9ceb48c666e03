/* peer: see peer.h. */
#define _GNU_SOURCE
#include "peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A test without its sockets or memory cannot go on. */
static void need(bool held, const char *what)
{
    if (!held) {
        perror(what);
        exit(2);
    }
}

void text_add(struct text *text, const char *data, size_t len)
{
    if (text->len + len + 1 > text->cap) {
        text->cap = (text->len + len + 1) * 2;
        text->data = realloc(text->data, text->cap);
        need(text->data != NULL, "realloc");
    }
    if (len > 0)
        memcpy(text->data + text->len, data, len);
    text->len += len;
    text->data[text->len] = '\0';
}

void text_print(struct text *text, const char *format, ...)
{
    char line[1024];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    need(n >= 0 && (size_t)n < sizeof line, "text_print");
    text_add(text, line, (size_t)n);
}

void text_take(struct text *text, size_t n)
{
    memmove(text->data, text->data + n, text->len - n);
    text->len -= n;
    text->data[text->len] = '\0';
}

void text_drop(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

bool text_is(const struct text *text, const char *string)
{
    return text->len == strlen(string) && (text->len == 0 || memcmp(text->data, string, text->len) == 0);
}

static void set_room(int fd, int room)
{
    if (room > 0)
        need(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0, "SO_SNDBUF");
}

void pair_unix(int fds[2], int room)
{
    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0, "socketpair");
    set_room(fds[0], room);
}

void pair_tcp(int fds[2], int room)
{
    int listener = peer_listen(PEER_V4), on = 1;
    fds[1] = peer_connect(listener);
    do
        fds[0] = accept(listener, NULL, NULL);
    while (fds[0] < 0 && (errno == EAGAIN || errno == EINTR));
    need(fds[0] >= 0, "accept");
    need(ioctl(fds[0], FIONBIO, &on) == 0, "FIONBIO");
    need(setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
    set_room(fds[0], room);
    close(listener);
}

int peer_listen(enum peer_family family)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un local = {.sun_family = AF_UNIX}; /* no path: the kernel gives an abstract one */
    struct {
        const void *address;
        socklen_t len;
        int domain;
    } const kinds[] = {
        {&v4, sizeof v4, AF_INET}, {&v6, sizeof v6, AF_INET6}, {&local, sizeof local.sun_family, AF_UNIX}};
    int on = 1, fd = socket(kinds[family].domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    need(fd >= 0, "socket");
    need(bind(fd, kinds[family].address, kinds[family].len) == 0, "bind");
    if (family != PEER_UNIX)
        need(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
    need(listen(fd, 256) == 0, "listen");
    return fd;
}

int peer_connect(int listener)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    need(getsockname(listener, (struct sockaddr *)&address, &len) == 0, "getsockname");
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    need(fd >= 0, "socket");
    need(connect(fd, (struct sockaddr *)&address, len) == 0 || errno == EINPROGRESS, "connect");
    return fd;
}

void peer_read(struct peer *peer)
{
    static char block[65536];
    while (!peer->ended && !peer->reset) {
        ssize_t n = read(peer->fd, block, sizeof block);
        if (n > 0)
            text_add(&peer->got, block, (size_t)n);
        else if (n == 0)
            peer->ended = true;
        else if (errno == EAGAIN)
            return;
        else if (errno != EINTR)
            peer->reset = true;
    }
}

size_t peer_write(struct peer *peer, const char *data, size_t len)
{
    size_t sent = 0;
    while (sent < len) {
        ssize_t n = write(peer->fd, data + sent, len - sent);
        if (n > 0)
            sent += (size_t)n;
        else if (errno != EINTR)
            break;
    }
    return sent;
}

void peer_close(struct peer *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    text_drop(&peer->got);
    *peer = (struct peer){.fd = -1};
}

/* --- answers --- */

static const char *line_end(const char *at, const char *end)
{
    while (at + 1 < end) {
        if (at[0] == '\r' && at[1] == '\n')
            return at;
        if (at[0] == '\r' || at[0] == '\n' || at[0] == '\0')
            return NULL;
        at++;
    }
    return NULL;
}

static bool line_is(const char *at, const char *end, const char *what)
{
    return (size_t)(end - at) == strlen(what) && memcmp(at, what, strlen(what)) == 0;
}

/* Take the field line at..end; false if it is not one, or a second of a kind that may stand once. */
static bool take_field(struct answer *answer, const char *at, const char *end, uint64_t *length)
{
    static const char length_name[] = "Content-Length: ", date_name[] = "Date: ", server_name[] = "Server: ";
    const char *colon = memchr(at, ':', (size_t)(end - at));
    if (colon == NULL || colon == at || colon + 1 == end || colon[1] != ' ')
        return false;
    if (strncmp(at, length_name, sizeof length_name - 1) == 0) {
        char *stop;
        bool again = answer->has_length;
        answer->has_length = true;
        *length = strtoull(at + sizeof length_name - 1, &stop, 10);
        return stop == end && !again;
    }
    bool *once = line_is(at, end, "Transfer-Encoding: chunked")          ? &answer->chunked
                 : line_is(at, end, "Connection: close")                 ? &answer->close
                 : line_is(at, end, "Connection: keep-alive")            ? &answer->keep_alive
                 : strncmp(at, date_name, sizeof date_name - 1) == 0     ? &answer->dated
                 : strncmp(at, server_name, sizeof server_name - 1) == 0 ? &answer->served
                                                                         : NULL;
    if (once == NULL)
        return strncmp(at, "Connection:", 11) != 0 && strncmp(at, "Transfer-Encoding:", 18) != 0;
    bool again = *once;
    *once = true;
    return !again;
}

/* Read a chunked body; its length, 0, -1. */
static long chunks_read(struct text *body, const char *buf, size_t len)
{
    const char *at = buf, *end = buf + len;
    for (;;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL)
            return end - at > 18 ? -1 : 0;
        char *digits_end;
        size_t size = (size_t)strtoull(at, &digits_end, 16);
        if (digits_end == at || digits_end + 1 != stop || *digits_end != '\r' || *at == '+' || *at == '-')
            return -1;
        at = stop + 1;
        if ((size_t)(end - at) < size + 2)
            return 0;
        if (memcmp(at + size, "\r\n", 2) != 0)
            return -1;
        text_add(body, at, size);
        at += size + 2;
        if (size == 0)
            return at - buf;
    }
}

long answer_read(struct answer *answer, const char *buf, size_t len, bool to_head, bool ended)
{
    const char *at = buf, *end = buf + len;
    uint64_t length = 0;
    struct text body = answer->body;
    body.len = 0;
    *answer = (struct answer){.body = body};
    text_add(&answer->body, "", 0);
    if (len == 0)
        return 0;
    if (memmem(buf, len, "\r\n\r\n", 4) == NULL)
        return ended || strncmp(buf, "HTTP/1.1 ", len < 9 ? len : 9) != 0 ? -1 : 0;
    const char *stop = line_end(at, end);
    if (stop == NULL || stop - at < 13 || memcmp(at, "HTTP/1.1 ", 9) != 0 || at[12] != ' ')
        return -1;
    answer->status = atoi(at + 9);
    for (at = stop + 2; (stop = line_end(at, end)) != at; at = stop + 2)
        if (stop == NULL || !take_field(answer, at, stop, &length))
            return -1;
    at += 2;
    if (answer->status / 100 == 1 && answer->status != 101)
        return at - buf;
    if ((!answer->dated && answer->status < 500) || !answer->served ||
        (answer->chunked && answer->has_length))
        return -1;
    if (to_head || answer->status < 200 || answer->status == 204 || answer->status == 304)
        return at - buf;
    if (answer->chunked) {
        long n = chunks_read(&answer->body, at, (size_t)(end - at));
        return n > 0 ? at - buf + n : n == 0 && ended ? -1 : n;
    }
    if (!answer->has_length) {
        text_add(&answer->body, at, (size_t)(end - at));
        return !answer->close ? -1 : ended ? (long)len : 0;
    }
    size_t here = (size_t)(end - at) < length ? (size_t)(end - at) : (size_t)length;
    text_add(&answer->body, at, here);
    if (here < length)
        return ended ? -1 : 0;
    return at - buf + (long)length;
}

void answer_drop(struct answer *answer)
{
    text_drop(&answer->body);
}

uint64_t peer_now_ms(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC); /* not the clock that the tests stop */
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
