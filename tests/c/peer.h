/* peer: the client's side of the tests: sockets, a byte string, and a reader of answers that forgives
 * nothing. */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that grow. All zero is empty. */
struct text {
    char *data;
    size_t len, cap;
};

void text_add(struct text *text, const char *data, size_t len);
void text_print(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_take(struct text *text, size_t n); /* the first n bytes are done with */
void text_drop(struct text *text);
bool text_is(const struct text *text, const char *string);

/* Two connected sockets, both non-blocking; fds[0] is the server's. `room`: SO_SNDBUF of the server's, 0: as
 * it is. */
void pair_unix(int fds[2], int room);
void pair_tcp(int fds[2], int room);

/* A non-blocking listener on a port or path of the kernel's choice; and a non-blocking connection to one. */
enum peer_family { PEER_V4, PEER_V6, PEER_UNIX };
int peer_listen(enum peer_family family);
int peer_connect(int listener);

/* A client. */
struct peer {
    int fd;
    struct text got;
    bool ended; /* the server has closed in order */
    bool reset; /* ... or with a reset */
};

/* Read what is there. */
void peer_read(struct peer *peer);
/* Write as much as goes; how much that was. */
size_t peer_write(struct peer *peer, const char *data, size_t len);
void peer_close(struct peer *peer);

struct answer {
    int status;
    bool close, keep_alive, chunked, has_length, dated, served; /* which fields it has */
    struct text body;
};

/* Read the answer at the start of buf[0..len) into *answer (whose body is emptied first). `to_head`: to a
 * HEAD request; `ended`: nothing will follow. Returns its length, 0 for "not all here yet", -1 for one that
 * is wrong. */
long answer_read(struct answer *answer, const char *buf, size_t len, bool to_head, bool ended);
void answer_drop(struct answer *answer);

/* Milliseconds of real time, for giving up. */
uint64_t peer_now_ms(void);

#endif
