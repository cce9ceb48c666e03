/* fw_conn: one connection: its buffers, its state machine, its socket. It knows nothing of polling or of
 * other connections: it does what the socket lets it do and says what it needs next.
 *
 *   accepted                        first byte          head whole        body whole
 *      |   +------+  +-----------------------> HEAD ------------> BODY ------------> READY
 *      +-> | IDLE | -+                          |                  |                   | fw_conn_serve
 *          +------+                             | refused          | refused     (or  v
 *             ^                                 v                  v      early)     APP
 *             |   all sent, may stay         SENDING <--------------------------------+ fw_conn_answered
 *             +------------------------------- |                                      |
 *                 (or straight to HEAD:        | all sent, must close                 | fw_conn_cut
 *                  pipelined bytes)            v                                      v
 *                                           LINGER --(client closed, or time over)--> CLOSED
 *
 *   state     waits for          deadline (struct fw_timeouts)
 *   IDLE      a first byte       keepalive; on a new connection: head
 *   HEAD      the head           head, from its first byte, however it trickles
 *   BODY      the body           body, from the last byte that came
 *   READY     a thread           none
 *   APP       the application    none here (the board shows it)
 *   SENDING   room in the socket write, from the last byte that went
 *   LINGER    the client's close linger, from the last byte that came, and an overall bound
 *
 * Who moves some bytes in time, but too few, is found by the minimum rates of body and answer (fw_rate.h).
 *
 * Output that the socket does not take stays in `out`; while any waits, the connection is in SENDING and
 * nothing more is read from it: who does not take answers does not get more of them.           */
#ifndef FW_CONN_H
#define FW_CONN_H

#include "fw_access.h"
#include "fw_forwarded.h"
#include "fw_parser.h"
#include "fw_rate.h"
#include "fw_proxy.h"
#include "fw_resp.h"
#include "fw_spill.h"
#include <stdatomic.h>

enum fw_conn_state {
    FW_CONN_IDLE,
    FW_CONN_HEAD,
    FW_CONN_BODY,
    FW_CONN_READY,
    FW_CONN_APP,
    FW_CONN_SENDING,
    FW_CONN_LINGER,
    FW_CONN_CLOSED,
};

/* 0: no such limit, where nothing else is said. */
struct fw_timeouts {
    uint32_t head_ms;
    uint32_t body_ms;
    uint32_t keepalive_ms; /* 0: no connection is used twice */
    uint32_t write_ms;
    uint32_t linger_ms;  /* 0: closed at once */
    uint32_t body_rate;  /* bytes a second, at least; the grace is body_ms */
    uint32_t write_rate; /* ... and write_ms */
};

/* Text of an address: 45 characters of IPv6, or "" for a unix socket. Whole words: the board takes it so. */
#define FW_CONN_ADDR_MAX 48

/* A request that was answered or dropped without the application, kept for the log. */
#define FW_REFUSAL_LINE 240
struct fw_refusal {
    uint8_t error; /* enum fw_error */
    uint8_t addr_len;
    uint16_t port;
    uint16_t line_len;
    char addr[FW_CONN_ADDR_MAX];
    char line[FW_REFUSAL_LINE]; /* the start of what the client sent, raw */
};

/* Refusals of one turn of the loop. More than fit are only counted: a flood must not fill memory. */
#define FW_REFUSALS 64
struct fw_refusals {
    uint32_t count;
    uint32_t missed;
    struct fw_refusal each[FW_REFUSALS];
};

/* Paths as they stand in requests, each with a NUL behind it; the caller's. */
struct fw_paths {
    const char *rows;
    size_t len;
};

/* What all connections of a loop share. */
struct fw_conn_env {
    struct fw_limits limits;
    struct fw_timeouts timeouts;
    struct fw_rate body_rate, write_rate;
    struct fw_clock clock;
    struct fw_pool blocks;       /* of FW_BUF_BLOCK */
    struct fw_pool fields;       /* of limits.fields struct fw_field */
    bool body_early;             /* a request is READY before its body is whole, which is read as it comes */
    struct fw_paths early_paths; /* ... those for these paths, if not all are */
    size_t body_memory;          /* a request body longer than this goes to a temporary file */
    size_t queue_mark;           /* more unsent output than this, and the application waits */
    const char *tmpdir;          /* for temporary files */
    int tmp_errno;               /* why the last body that could not be kept there could not */
    const char *server;          /* "Server: name\r\n" */
    size_t server_len;
    struct fw_spill spill; /* the files of long bodies */
    struct fw_refusals refusals;
    struct fw_access *access;            /* NULL: no access log, or Python makes its lines */
    struct fw_forwarded_rules forwarded; /* which proxies are trusted, with what; tables are the caller's */
    struct fw_networks proxy_peers;      /* who may use the PROXY protocol */
    uint8_t proxy_mode;                  /* enum fw_proxy_mode */
    uint64_t answered_ns; /* when the last answer was whole, by the access log's clock; 0: not looked at */
    _Atomic bool closing; /* the worker leaves: no connection is to be used again */
};

/* What is known of a request's client beside its bytes. */
enum fw_client_trait { /* bits */
                       FW_CLIENT_ADDR = 1,
                       FW_CLIENT_PORT = 2,
                       FW_CLIENT_PROXY = 4, /* conn->proxy is filled in */
                       FW_CLIENT_HTTPS = 8, /* the proxy says that it came by https */
                       FW_CLIENT_SCRIPT =
                           16, /* the proxy says where the application is mounted: the field conn->script */
                       FW_CLIENT_HIDDEN = 32, /* some fields are FW_FIELD_HIDDEN */
};

struct fw_conn {
    /* who */
    struct fw_conn_env *env;
    int fd;
    uint16_t listener; /* index of the listener that accepted it */
    uint16_t port;     /* the client's: the peer's, or what a proxy says */
    uint8_t addr_len;
    uint8_t port_len;
    char addr[FW_CONN_ADDR_MAX]; /* the client's, as text; neither is NUL-terminated */
    char port_text[FW_PORT_TEXT];
    bool local;        /* by a unix socket */
    bool trusted;      /* the peer is a proxy whose word counts */
    bool may_proxy;    /* the peer may use the PROXY protocol */
    bool awaits_proxy; /* its header may still come */
    bool heeded;       /* fw_conn_heed() looks at each head */
    bool followed;     /* ... and for the client's address as well */
    bool renamed;      /* addr and port are what a field says, not `from` */
    uint8_t traits;    /* enum fw_client_trait bits */
    /* the loop's own notes (fw_loop.c) */
    struct fw_conn *prev, *next; /* deadline list, ready list, or free list */
    uint64_t since_ms;           /* when the present wait began */
    uint8_t queue;               /* which of the loop's lists it stands in */
    bool fresh;                  /* it has come there since the last turn began */
    bool polled;                 /* the poller knows the socket */
    bool polled_write;           /* ... and waits for room in it as well */
    /* connection */
    uint8_t state;         /* enum fw_conn_state */
    uint8_t error;         /* enum fw_error: why it is being closed */
    bool readable;         /* the socket may have bytes (or an end) that were not read */
    bool at_end;           /* the peer has said that it sends no more */
    bool blocked;          /* the socket took less than all */
    bool used;             /* at least one request was answered */
    bool reset;            /* close with a reset: the client must not take what it has for the whole */
    _Atomic bool handed;   /* the application has, or has had, the socket: fw_conn_hand_over() */
    struct fw_buf in;      /* from in.data + in.off: this request's head, its body in memory, raw bytes */
    struct fw_buf out;     /* what the socket has not taken */
    uint64_t progress;     /* bytes that have moved since the loop last looked */
    int64_t credit_ns;     /* of the rate that its body or answer must keep */
    uint64_t out_since_ns; /* since when answers wait for a pipelined request's answer; 0: none does */
    uint64_t linger_end_ms;
    /* request */
    struct fw_parser parser;
    uint32_t used_len; /* raw bytes that the parser is done with, from in.off */
    uint32_t head_len; /* where the head ends, and a body in memory begins, from in.off */
    uint64_t body_len; /* decoded bytes so far */
    int body_fd;       /* the temporary file, -1 while the body is in memory */
    /* ... whose body is read as it comes */
    bool early;
    uint64_t body_start; /* the bytes in front of this one are read, and not kept */
    uint8_t body_error;  /* enum fw_error: why there will be no more of it */
    bool wants_continue; /* its client waits for 100 Continue */
    uint32_t script;     /* index of the field that says where the application is mounted: FW_CLIENT_SCRIPT */
    /* access log: a request that was served has its line when its answer is whole. One whose answer the
     * socket does not take keeps its head until it does: only then is it known how it ends. */
    bool owes_line;
    uint64_t began_ns; /* of the monotonic clock */
    /* response */
    struct fw_resp resp;
    int file_fd; /* a file to be sent behind `out`, our own descriptor; -1: none */
    off_t file_off;
    uint64_t file_left;
    bool file_by_hand; /* its file system has no sendfile: it is read and sent */
    /* proxies: fw_conn_client.c */
    struct fw_client from; /* whose connection it is: the peer's, or whom the PROXY protocol names */
    struct fw_proxy proxy;
};

/* What a connection needs next. */
enum fw_conn_need {
    FW_NEED_READ,  /* wait until the socket has bytes */
    FW_NEED_WRITE, /* wait until the socket has room */
    FW_NEED_AGAIN, /* the socket has more, but others are to have their turn: step it once more later */
    FW_NEED_SERVE, /* a whole request is there: state READY */
    FW_NEED_CLOSE, /* it is over: fw_conn_close() */
};

/* `fd` is a connected non-blocking socket and belongs to the connection from here on. */
void fw_conn_open(struct fw_conn *conn, struct fw_conn_env *env, int fd);

/* What the kernel says of a peer; no address: a unix socket. */
struct sockaddr_storage;
struct fw_client fw_client_of(const struct sockaddr_storage *address);

/* Once, before it is stepped: who is at the other end (no address for a unix socket, which is `local`)? */
void fw_conn_meet(struct fw_conn *conn, const struct fw_client *peer, bool local);

/* After that, of one that another process had before (fw_share): what it was told then. */
void fw_conn_resume(struct fw_conn *conn, bool used, const struct fw_proxy *proxy);

/* Go as far as the socket allows. Never blocks (a body's temporary file apart); calls no application. */
enum fw_conn_need fw_conn_step(struct fw_conn *conn);

/* Time is over for what it waits for: refuse or end it. Then fw_conn_step() says what is next. */
void fw_conn_expire(struct fw_conn *conn);

/* The same, because what it waits for comes, or goes, more slowly than the minimum rate. */
void fw_conn_too_slow(struct fw_conn *conn);

/* It will not be stepped again: a request whose answer is not all sent has its access line now. */
void fw_conn_note_unsent(struct fw_conn *conn);

/* Release socket, memory and files. */
void fw_conn_close(struct fw_conn *conn);

/* The bytes of the present request's head that the spans of conn->parser count from. */
static inline const char *fw_conn_request(const struct fw_conn *conn)
{
    return conn->in.data + conn->in.off;
}

/* --- in state READY: a thread takes it --- */

void fw_conn_serve(struct fw_conn *conn); /* READY -> APP, the response begins */

/* --- in state APP: the request's body, wherever it is kept --- */

/* Is the body still to be read as it comes, with fw_conn_body_pull()? */
static inline bool fw_conn_body_is_early(const struct fw_conn *conn)
{
    return conn->parser.state != FW_PARSER_END;
}

enum fw_pull {
    FW_PULL_GOT,    /* body_len has grown */
    FW_PULL_END,    /* the body is whole */
    FW_PULL_WAIT,   /* nothing is here: fw_loop_wait_body() */
    FW_PULL_FAILED, /* and no more will come: conn->body_error says why */
};

/* More of such a body, from the socket if need be. What was there before, all of which has been read, is gone
 * then. Says 100 Continue first, to a client that waits for it. */
enum fw_pull fw_conn_body_pull(struct fw_conn *conn);

/* Copy at most len bytes from offset `off` of the body. Short only at the end of the body, or if the
 * temporary file cannot be read.                                                           */
size_t fw_conn_body_read(const struct fw_conn *conn, uint64_t off, char *out, size_t len);

/* Length of the line that starts at `off`, its LF included, at most `most`; 0 at the end; SIZE_MAX if the
 * temporary file cannot be read.                                                            */
size_t fw_conn_body_line(const struct fw_conn *conn, uint64_t off, size_t most);

/* --- in state APP: the response ---
 *
 * The head is written with fw_resp_status() and fw_resp_field() into conn->resp, conn->out.      */

/* End the head; `known`: the body's length or -1. */
enum fw_error fw_conn_begin(struct fw_conn *conn, int64_t known);

/* A block of the body. Small ones are copied; a large one goes out at once, and only what the socket does
 * not take is copied. A socket error is kept in conn->error (and returned): nothing more will be sent. */
enum fw_error fw_conn_write(struct fw_conn *conn, const char *block, size_t len);

/* Send answers that have waited for a pipelined request's answer for about a tick. */
void fw_conn_push_old(struct fw_conn *conn);

/* Send what waits, as far as the socket takes it. */
enum fw_error fw_conn_push(struct fw_conn *conn);

/* `len` bytes of the file from `off` on as the whole body. The descriptor stays the caller's: it is
 * duplicated if the socket does not take all at once. A failure is in conn->error.                         */
enum fw_error fw_conn_sendfile(struct fw_conn *conn, int fd, off_t off, uint64_t len);

/* --- in state APP: interim answers (RFC 9110 section 15.2), before the response is begun --- */

struct fw_interim {
    struct fw_resp resp;
    struct fw_buf buf;
};

/* Begin one; then fw_resp_named_field() into its members. */
enum fw_error fw_conn_interim_begin(struct fw_conn *conn, struct fw_interim *interim, const char *status,
                                    size_t len);

/* Send it at once, as far as the socket takes it, behind earlier answers and before the head that may have
 * been begun. A failure is in conn->error.                                                         */
enum fw_error fw_conn_interim_send(struct fw_conn *conn, struct fw_interim *interim);

/* Always, sent or not. */
void fw_conn_interim_drop(struct fw_conn *conn, struct fw_interim *interim);

/* --- in state APP: the socket leaves HTTP (RFC 9110 section 7.8) ---
 *
 * Its user has it from fw_conn_hand_over() on, and nothing here reads, writes or polls it. The structure
 * stays, with the request in it, until fw_conn_take_back().                                               */

/* What such a request is logged with: what came afterwards is nobody's business. */
#define FW_CONN_HANDED_STATUS 101

/* Send what is left of earlier answers, waiting for the client up to the write timeout. Returns conn->error.
 */
enum fw_error fw_conn_drain(struct fw_conn *conn);

/* The raw bytes behind the request, which whoever takes the socket has to be given. */
static inline struct fw_span fw_conn_behind(const struct fw_conn *conn)
{
    return fw_span_of(conn->used_len, fw_buf_live(&conn->in) - conn->used_len);
}

/* Returns the descriptor, now the caller's. A head that was begun is taken back, the bytes behind the
 * request are dropped. Only while nothing of the response is sent.                                 */
int fw_conn_hand_over(struct fw_conn *conn);

/* The user is done: APP -> SENDING, and LINGER, where the socket is still open; else APP -> CLOSED (`fd` is
 * -1). It must not block. Its access line is made.                                                 */
void fw_conn_take_back(struct fw_conn *conn, int fd);

/* Is there output that may be sent (a head that is still being written may not)? */
static inline bool fw_conn_waits(const struct fw_conn *conn)
{
    return fw_buf_live(&conn->out) > conn->resp.head_len && conn->error == FW_OK;
}

/* Is more unsent than the mark? */
static inline bool fw_conn_full(const struct fw_conn *conn)
{
    return fw_buf_live(&conn->out) > conn->env->queue_mark || conn->file_fd >= 0;
}

/* The response is whole: APP -> SENDING. Then fw_conn_step(). */
void fw_conn_answered(struct fw_conn *conn);

/* Give up: what was sent stays sent, the connection closes so that the client sees that it is not whole. */
void fw_conn_cut(struct fw_conn *conn, enum fw_error error);

/* Answer with a row of the error table instead (only while nothing of the response is sent). */
void fw_conn_refuse(struct fw_conn *conn, enum fw_error error);

#endif
