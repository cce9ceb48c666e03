/* fw_share: passing a connection to another process of the server, or of the one that replaces it.
 *
 * The workers share one pair of SOCK_SEQPACKET sockets: each sends into one end, and whoever is idle receives
 * from the other. A message is a note, the connection's socket (SCM_RIGHTS) and the bytes that were read from
 * it and not answered. What nobody has received yet belongs to nobody and waits, as in a backlog; it is
 * closed by the kernel when the last process with the pair is gone.
 *
 * Only between requests: nothing of an answer is unsent, no access line owed, and what was read is as it
 * came, so that the receiver begins with the same bytes as if it had read them itself. Who is trusted it
 * works out anew, by its own settings and the socket's peer.
 *
 * Who may be there to receive is on the board, and, for the two servers of a binary upgrade, each of which
 * has a board of its own, on a page that both know. Allocates nothing but a connection's buffer; needs no
 * baton but for the connection. */
#ifndef FW_SHARE_H
#define FW_SHARE_H

#include "fw_board.h"
#include "fw_conn.h"

/* The most bytes of a request that go along; a buffer's block holds them. */
#define FW_SHARE_BYTES ((size_t)16384)

/* Shared by the old and the new server of an upgrade, whatever their versions: never changes but by its
 * magic. fastwsgi/share.py makes it. */
#define FW_SHARE_PAGE_MAGIC 0x67705766u
struct fw_share_page {
    uint32_t magic;
    _Atomic uint32_t serving[2]; /* of each server: how many workers serve and are to stay */
};

/* What one worker has of it. All zero: it passes nothing and receives nothing. */
struct fw_share {
    const struct fw_board *board; /* NULL: there is no sharing */
    const struct fw_slot *slot;   /* this worker's */
    const struct fw_share_page *page;
    uint32_t side; /* which of the page's two servers is ours */
    int send, receive;
};

/* --- where a connection was accepted: a listener by its bound address, which other workers have as well ---
 */

struct fw_share_place {
    uint8_t len;
    char bytes[111]; /* struct sockaddr_un is the longest */
};

/* False: it has no address that could be told. */
bool fw_share_place_of(int listener, struct fw_share_place *place);

static inline bool fw_share_same_place(const struct fw_share_place *a, const struct fw_share_place *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* For fw_slot.places: one bit for each address, and few addresses have the same one. */
uint64_t fw_share_bit(const struct fw_share_place *place);

/* --- who is there --- */

struct fw_share_view {
    uint32_t serving;     /* other workers that serve, were not dismissed, and have room */
    uint32_t idle;        /* those of them that are in no call */
    uint32_t least;       /* the fewest connections that one of the idle has */
    uint64_t places;      /* where all that serve listen */
    uint32_t here;        /* of `serving`, those on this board */
    uint32_t connections; /* that they have */
    uint64_t requests;    /* that they have answered */
};

/* Look at the board. A worker with `connections_most` connections has no room. Safe in a signal handler. */
struct fw_share_view fw_share_look(const struct fw_share *share, uint32_t connections_most);

/* --- messages --- */

/* Is it between requests, and what was read of it short and as it came? */
bool fw_share_may_pass(const struct fw_conn *conn);

/* Send it; `waited_ms`: so much of its present deadline is over. True: it is on its way, and the caller,
 * whose it still is, has to let go of it (fw_conn_close). False, with errno: nothing has happened. */
bool fw_share_send(const struct fw_share *share, const struct fw_conn *conn,
                   const struct fw_share_place *place, uint64_t waited_ms);

/* About so many are on their way to somebody. */
uint32_t fw_share_waiting(const struct fw_share *share);

enum fw_share_got {
    FW_SHARE_GOT,
    FW_SHARE_EMPTY,
    FW_SHARE_LOST, /* that one is closed: its client has gone, or the message is none of ours */
    FW_SHARE_REST, /* no memory, or no descriptor for it (then it is lost): errno */
};

struct fw_share_note {
    struct fw_share_place place;
    uint64_t waited_ms;
    bool had_bytes; /* of a request that has begun */
};

/* Receive one into `conn`, which then is open as after fw_conn_meet(), with its bytes in conn->in: step it.
 * Otherwise it is closed. */
enum fw_share_got fw_share_receive(const struct fw_share *share, struct fw_conn_env *env,
                                   struct fw_conn *conn, struct fw_share_note *note);

#endif
