/* fw_loop: one worker's connections: accept, wait, deadlines, and who is ready to be served.
 *
 * One thread at a time holds the loop: the baton. A turn is
 *
 *     fw_loop_step()                wait; deadlines; what was left over from earlier turns
 *     fw_loop_take()  -> conn       read and parse what has come, refuse, flush; then a whole request, now in
 *                                   state APP: the holder serves it
 *     fw_loop_give(conn)            the response is written (or given up): back to the loop
 *     fw_loop_take()  ...           NULL: the answers are sent, the turn is over
 *
 * While calls of the application are quick, a turn reads all requests, serves all, and then sends all
 * answers: the kernel's receiving code, the interpreter and the kernel's sending code each stay in the
 * processor's first cache for the whole batch, and a client with many connections is woken once for several
 * answers (measured: a tenth of a small request's cost, a fifth of that of a small Django or Flask view). An
 * answer waits for the others of its turn then, a millisecond at the most; fw_loop_waiting() tells the
 * monitor which, so that none waits for a slow call. As soon as a call has taken long, answers are sent one
 * by one.
 *
 * A connection is in one place at a time: in the list of the one deadline it waits under, in the ready
 * list, in the again list, or (state APP) in the hands of the thread that took it, which is the holder or one
 * that is away. Each deadline has one length, so its list is in order of expiry by itself: O(1) to move,
 * O(expired) to expire. The minimum rates need no list: who moves bytes is looked at when he does, who moves
 * none is found by the deadline.
 *
 * All functions but fw_loop_stop(), fw_loop_wake() and others that say so are for the holder of the baton
 * only (fw_baton.h). */
#ifndef FW_LOOP_H
#define FW_LOOP_H

#include "fw_board.h"
#include "fw_conn.h"
#include "fw_poll.h"
#include "fw_share.h"

enum fw_queue_kind {
    FW_QUEUE_NONE,
    FW_QUEUE_HEAD,
    FW_QUEUE_BODY,
    FW_QUEUE_KEEPALIVE,
    FW_QUEUE_WRITE,
    FW_QUEUE_LINGER,
    FW_QUEUE_TIMED, /* the kinds above it have a deadline */
    FW_QUEUE_AGAIN = FW_QUEUE_TIMED,
    FW_QUEUE_READY,
    FW_QUEUE_GIVEN, /* answered, and to be sent at the end of the turn */
    FW_QUEUE_AWAY,  /* in the hands of a thread that does not hold the loop (fw_baton), the oldest first */
    FW_QUEUE_COUNT,
};

struct fw_queue {
    struct fw_conn *first, *last;
    uint32_t count;
    uint64_t length_ms;
};

struct fw_listener {
    int fd;
    bool polled;
    bool local; /* a unix socket */
    struct fw_share_place place;
};

enum fw_stop {
    FW_STOP_NO,
    FW_STOP_RECYCLE,  /* no new connections; siblings take the backlog; finish what is open */
    FW_STOP_GRACEFUL, /* the same, but the backlog is served first */
    FW_STOP_NOW,
};

#define FW_LOOP_NEVER UINT64_MAX

struct fw_loop_config {
    struct fw_limits limits;
    struct fw_timeouts timeouts;
    bool body_early; /* see struct fw_conn_env */
    struct fw_paths early_paths;
    size_t body_memory;
    size_t queue_mark;
    uint32_t connections;     /* at most so many at once; over it the listeners rest: fw_loop_accept.c */
    uint32_t grace_ms;        /* how long leaving may take */
    uint64_t max_requests;    /* recycle after so many; 0: never */
    bool own_listeners;       /* nobody else accepts from those that are not local */
    const char *tmpdir;       /* both strings must outlive the loop */
    const char *server;       /* "Server: name\r\n" */
    struct fw_slot *slot;     /* of the board; may be NULL */
    struct fw_access *access; /* the caller's; NULL: no lines are made here. Written when answers are sent */

    /* Leaving: how long who is idle may still send a request, which may be on its way. */
    uint32_t leave_idle_ms;

    struct fw_share share; /* with whom connections are exchanged */

    /* Proxies: whom to believe. */
    struct fw_forwarded_rules forwarded; /* made ready here; its tables must outlive the loop */
    struct fw_networks proxy_peers;      /* as must these */
    uint8_t proxy_mode;                  /* enum fw_proxy_mode */
};

struct fw_loop {
    struct fw_conn_env env;
    struct fw_loop_config config;
    /* poller */
    int poll;
    struct fw_poll_event
        events[FW_POLL_BATCH]; /* of this turn; those from `event` on are still to be seen to */
    int event, event_count;
    uint32_t budget;   /* requests that this turn may still take */
    uint64_t given_ns; /* when the last answer was given; 0: the next request's time begins anew */
    uint64_t hold_ns;  /* when the first of those that wait to be sent was given */
    bool quick;        /* calls of the application are: an answer may wait for the others of its turn */
    _Atomic uint64_t mean_ns;        /* of the last few calls */
    _Atomic(struct fw_conn *) shown; /* whose request the board shows */
    int wake_read, wake_write;       /* a byte written to the second ends the wait */
    int watch;                       /* -1, or: when it becomes readable the loop stops gracefully */
    /* listeners */
    struct fw_listener *listeners;
    uint32_t listener_count;
    bool listening;           /* they are in the poller */
    bool crowded;             /* all places were taken when somebody came */
    uint64_t listen_again_ms; /* they rest until then, or a connection closes; 0: no such rest */
    int accept_errno;         /* why; the caller logs it and sets it to 0 */
    /* sharing */
    bool receiving;         /* the share socket is in the poller */
    _Atomic bool alone;     /* the arbiter is gone: all siblings leave as well */
    uint64_t pass_again_ms; /* somebody may take connections then who could not before; 0: nobody wants to */
    uint64_t receive_at_ms; /* nothing is received before; 0: no such rest */
    uint64_t passed, received;
    /* ... evenly: fw_loop_even.c */
    uint64_t even_at_ms;            /* the next look, or FW_LOOP_NEVER */
    uint64_t even_own, even_others; /* requests answered up to the last one, here and elsewhere */
    uint32_t even_here, even_rests; /* the latter: in a row */
    /* connections */
    struct fw_queue queues[FW_QUEUE_COUNT];
    struct fw_conn *free;
    void *slabs;
    uint32_t connections;
    /* leaving */
    _Atomic int stop; /* enum fw_stop, only ever raised */
    bool leaving;
    uint64_t leave_end_ms;
    _Atomic uint32_t abandoned; /* connections whose call was given up and has not come back: fw_abort */
    uint64_t requests;          /* given back */
};

/* False with errno: no memory or no descriptor; nothing is left behind. */
bool fw_loop_init(struct fw_loop *loop, const struct fw_loop_config *config);
/* The last turn is over: send and write what can be, and note requests whose answer is not all sent. */
void fw_loop_end(struct fw_loop *loop);
/* Closes every connection; listeners stay open (they are the caller's). */
void fw_loop_drop(struct fw_loop *loop);

/* A bound, listening, non-blocking socket; stays the caller's. Its index is the number of calls before. */
bool fw_loop_add_listener(struct fw_loop *loop, int fd, bool local);
bool fw_loop_watch(struct fw_loop *loop, int fd);

/* Begin a turn: waits at most until something is ready, a deadline passes, or fw_loop_wake(). */
void fw_loop_step(struct fw_loop *loop);

/* The turn's next whole request, now in state APP; NULL when there is no more. */
struct fw_conn *fw_loop_take(struct fw_loop *loop);

/* After fw_conn_answered(), fw_conn_cut() or fw_conn_refuse(). The answer is sent now, or with others of the
 * turn. */
void fw_loop_give(struct fw_loop *loop, struct fw_conn *conn);

/* The first of those whose answers wait for the end of the turn, linked by `next`; NULL: none does. */
static inline struct fw_conn *fw_loop_waiting(const struct fw_loop *loop)
{
    return loop->queues[FW_QUEUE_GIVEN].first;
}

/* Are there access lines that are not written yet? */
static inline bool fw_loop_lines_wait(const struct fw_loop *loop)
{
    return loop->env.access != NULL && fw_sink_live(&loop->env.access->sink) > 0;
}

/* Send those answers, and write the access lines. fw_loop_take() does, before it returns NULL. */
void fw_loop_send(struct fw_loop *loop);

/* The client of `conn` (state APP) takes its answer slower than it is made. Waits one turn for room, within
 * the write deadline, serving the sockets of all others meanwhile (but calling nobody's application, and
 * accepting only what a graceful stop takes along and who can go to nobody else). False: there is room again,
 * or conn->error says why there never will be: the client is too slow or gone, or the loop is done
 * (STOPPING). */
bool fw_loop_wait_room(struct fw_loop *loop, struct fw_conn *conn);

/* The body of `conn` (state APP) is read as it comes, and fw_conn_body_pull() said WAIT. Waits one turn for
 * more, as above, within the deadline for bodies, and pulls again. */
enum fw_pull fw_loop_wait_body(struct fw_loop *loop, struct fw_conn *conn);

/* A turn in which no application is called, and nobody accepted who could go to somebody else: the
 * application has the stage for `conn`, whose output is minded, or for nobody. */
void fw_loop_mind(struct fw_loop *loop, struct fw_conn *conn);

/* Calls that take this long in the mean block: what a call that overlaps others costs (two wake-ups, 20 us)
 * is little then. */
#define FW_LOOP_BLOCK_NS 500000u

/* Do calls of the application usually take so long that they should overlap? From any thread. */
static inline bool fw_loop_calls_block(const struct fw_loop *loop)
{
    return atomic_load_explicit(&loop->mean_ns, memory_order_relaxed) > FW_LOOP_BLOCK_NS;
}

/* `conn`, which the application is called for, goes to a thread that does not hold the loop; and comes back:
 * after fw_conn_answered() or the like it is given as any other. */
void fw_loop_part(struct fw_loop *loop, struct fw_conn *conn);
void fw_loop_meet(struct fw_loop *loop, struct fw_conn *conn);

/* From any thread: the call for `conn` has waited for its client, which is not being stuck. */
void fw_loop_call_goes_on(struct fw_loop *loop, const struct fw_conn *conn);

/* From a signal handler or another thread: be done (enum fw_stop). Wakes the loop. */
void fw_loop_stop(struct fw_loop *loop, int how);
void fw_loop_wake(struct fw_loop *loop);

/* fw_conn_hand_over(), and the poller forgets the socket. Needs no baton: whoever has the connection, in
 * state APP, may call it. The connection counts as one until fw_conn_take_back() and fw_loop_give(). */
int fw_loop_hand_over(struct fw_loop *loop, struct fw_conn *conn);

/* Hand on a connection that fw_share_may_pass(): it is somebody else's, and its structure free. False: it is
 * kept, and nothing has happened; `errno` is 0 if only this one cannot go, and another might. */
bool fw_loop_pass(struct fw_loop *loop, struct fw_conn *conn, const struct fw_share_view *view);

/* Nothing is left to do, or no time. */
bool fw_loop_done(const struct fw_loop *loop);

#endif
