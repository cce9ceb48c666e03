/* fw_baton: which of a worker's threads has the loop.
 *
 * A worker has one or more *players*, the threads that call the application, and a monitor (fw_monitor). At
 * any time one of them has the loop and all that belongs to it: it waits, reads, parses, sends; a player also
 * calls the application. Before it does it offers the loop, and takes it back afterwards; a call that takes
 * long loses it meanwhile. All of this is one word, `hand`: a player's index and what that player has done.
 *
 *     from        by       to          means
 *     OURS(i)     i        OFFERED(i)  fw_monitor_offer(): the application is about to be called
 *     OFFERED(i)  i        OURS(i)     fw_monitor_reclaim(): it came back in time; one compare-and-swap
 *     OFFERED(i)  monitor  TAKEN(i)    the same offer stood for a whole tick; compare-and-swap
 *     TAKEN(i)    monitor  OURS(i)     i is back and asks for it
 *     TAKEN(i)    monitor  OURS(j)     to a spare player j; i is away
 *     OFFERED(i)  j        OURS(j)     fw_baton_return(), if calls usually block: j is back; i is away
 *     OURS(i)     i        OURS(j)     fw_baton_pass(): to a spare player j; i is away
 *
 * The moves out of OFFERED are each one compare-and-swap. fw_baton_pass() is for calls that usually block,
 * and for what is known to take its time: a wait for a client, a socket that the application takes.
 *
 * In TAKEN the monitor is the understudy: it reads, parses, refuses, sends and keeps deadlines, passes what
 * is ready to workers that are idle (fw_share), but calls no application. In OURS(i) only i touches the loop;
 * in OFFERED(i) nobody does; in TAKEN(i) only the monitor. In the last two i does not touch its connection
 * either, but for the request's body, which stays as it is.
 *
 * A player that is *away* has its connection and nothing else: it reads what its request's body still lacks,
 * and writes and sends its answer, with an env of its own, which no other thread uses. It waits for its
 * client by poll() on the one socket, within the limits and rates that hold in the loop. When the call has
 * ended it gives back the connection, by fw_baton_return(): through a list to whoever has the loop then, who
 * is woken. The player becomes a spare one, or has the loop at once if that is on offer and calls usually
 * block: short ones stay on one thread. Who took the loop from a player says so (`away`) after it has seen to
 * the connection; until then a player that finds `hand` with another one waits.
 *
 * A connection whose socket the application has taken (`handed`) is touched by nobody: neither by the monitor
 * nor by who takes the loop, until its player gives the socket back.
 *
 * No wake-up is lost: what is put in the list is followed by fw_loop_wake(), whose byte stays in its pipe
 * until somebody waits there; and a spare player is called by a word that stays set until it looks.     */
#ifndef FW_BATON_H
#define FW_BATON_H

#include "fw_loop.h"
#include <pthread.h>

enum fw_hand { FW_HAND_OURS, FW_HAND_OFFERED, FW_HAND_TAKEN, FW_HAND_BITS = 2, FW_HAND_MASK = 3 };

/* How the answer of a player that is away has ended. The holder acts on it. */
enum fw_outcome {
    FW_OUTCOME_NONE,
    FW_OUTCOME_ANSWERED,
    FW_OUTCOME_CUT,
    FW_OUTCOME_REFUSED,
    FW_OUTCOME_TAKEN_BACK,
};

struct fw_player {
    uint32_t ours;           /* fw_baton's `hand` when it has the loop: its index, shifted */
    struct fw_conn *conn;    /* with which it has offered the loop, or is away */
    _Atomic bool away;       /* set by who has the loop instead, cleared by itself */
    _Atomic uint32_t called; /* a spare player waits for it to become 1 */
    struct fw_player *next;  /* spare, or returned */
    struct fw_player *next_returned;
    struct fw_conn_env env; /* of its connection while it is away */
    uint8_t outcome;        /* enum fw_outcome */
    uint8_t outcome_error;  /* enum fw_error */
    int outcome_fd;         /* the socket that its application has had, or -1 */
    uint8_t waits_for;      /* enum fw_queue_kind: what it waits for its client to do, if it does */
    uint64_t since_ms;      /* ... and since when, or since the last byte that moved */
    /* fw_abort */
    _Atomic pid_t thread;           /* 0: not yet there */
    _Atomic(struct fw_conn *) lent; /* whose application has the thread; NULL: none, the core has it */
    _Atomic bool told;              /* that this call takes too long: the loop counts it as abandoned */
};

struct fw_baton {
    _Atomic uint32_t hand;   /* index << FW_HAND_BITS | enum fw_hand */
    _Atomic uint32_t offers; /* made so far: tells one from the next */
    _Atomic uint32_t wanted; /* the offer that its player is back from */
    struct fw_loop *loop;
    struct fw_player *players;
    uint32_t count;
    pthread_mutex_t lock; /* for the rest */
    struct fw_player *spares;
    _Atomic(struct fw_player *) returned; /* whose connections are to be taken back */
    _Atomic bool ended;
};

/* The loop stays the caller's; player 0 has it. False: no memory. */
bool fw_baton_init(struct fw_baton *baton, struct fw_loop *loop, uint32_t players);
void fw_baton_drop(struct fw_baton *baton);

static inline uint32_t fw_hand_of(const struct fw_player *player, enum fw_hand hand)
{
    return player->ours | (uint32_t)hand;
}

/* Become a player, and wait until the loop is ours. False: all is over. */
bool fw_baton_join(struct fw_baton *baton, struct fw_player *me);

/* As the holder: take back what players that were away have answered, then fw_loop_step(). */
void fw_baton_step(struct fw_baton *baton);
void fw_baton_collect(struct fw_baton *baton);

/* As the holder, before the application is called for `conn`: give the loop to a spare player. False: there
 * is none. Otherwise we are away with the connection. */
bool fw_baton_pass(struct fw_baton *baton, struct fw_player *me, struct fw_conn *conn);

/* Is it better to pass the loop before a call than to see whether it takes long? */
static inline bool fw_baton_should_pass(const struct fw_baton *baton)
{
    return baton->count > 1 && fw_loop_calls_block(baton->loop);
}

/* The loop may have been taken from us: wait for it or learn that we are away. True: it is ours. */
bool fw_baton_settle(struct fw_baton *baton, struct fw_player *me);

/* We were away, and the answer has ended as `outcome` says. Wait until the loop is ours. False: all is over.
 */
bool fw_baton_return(struct fw_baton *baton, struct fw_player *me);

/* As the monitor, in TAKEN: run the loop until there is a player for it. */
void fw_baton_understudy(struct fw_baton *baton);

/* As the holder: the loop is done, and everybody may go. */
void fw_baton_end(struct fw_baton *baton);

/* After that: take back and note what can be, then fw_loop_end(). Players that are away stay where they are.
 */
void fw_baton_last(struct fw_baton *baton);

/* As a player that is away: send what waits, and wait a moment for room if the client does not take it all.
 * True: some is left, call it again; conn->error says why there never will be room. */
bool fw_player_wait_room(struct fw_baton *baton, struct fw_player *me);

/* As a player that is away, whose request's body is read as it comes: wait a moment for more and pull. WAIT:
 * call it again. */
enum fw_pull fw_player_wait_body(struct fw_baton *baton, struct fw_player *me);

/* As a player that is away and back from the application: look at the clock. */
void fw_player_refresh(struct fw_baton *baton, struct fw_player *me);

/* The call has ended: by the holder at once, by a player that is away later. */
void fw_player_answered_away(struct fw_player *me, struct fw_conn *conn);
static inline void fw_player_answered(struct fw_player *me, struct fw_conn *conn)
{
    if (FW_LIKELY(!atomic_load_explicit(&me->away, memory_order_relaxed)))
        fw_conn_answered(conn);
    else
        fw_player_answered_away(me, conn);
}

void fw_player_cut(struct fw_player *me, struct fw_conn *conn, enum fw_error error);
void fw_player_refuse(struct fw_player *me, struct fw_conn *conn, enum fw_error error);
void fw_player_take_back(struct fw_player *me, struct fw_conn *conn, int fd);

#endif
