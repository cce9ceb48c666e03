/* live: a loop with listeners, clients and app.c around it, on a machine that fails on demand and by a clock
 * that goes when it is told to. There is one in a program.
 *
 * A test configures (live_configure(), then what it wants changed in `config`), starts, lets clients connect
 * and turns pass, and ends: live_end() checks that neither memory nor descriptors are left.            */
#ifndef LIVE_H
#define LIVE_H

#include "app.h"
#include "fault.h"
#include "fw_abort.h"
#include "fw_test.h"
#include "peer.h"
#include "script.h"

enum { LIVE_GIVE_UP_MS = 20000, LIVE_CLIENTS = 200, LIVE_FAMILIES = 3 };
enum {
    HEAD_MS = 3000,
    BODY_MS = 4000,
    KEEPALIVE_MS = 5000,
    WRITE_MS = 6000,
    LINGER_MS = 1000,
    GRACE_MS = 30000,
    LEAVE_IDLE_MS = 2000
};

extern struct fw_loop loop;
extern struct fw_loop_config config;
extern int listeners[LIVE_FAMILIES]; /* enum peer_family */
extern struct peer clients[LIVE_CLIENTS];
extern size_t client_count;
extern void (*before_serving)(struct fw_conn *conn);
extern void (*after_turn)(void);
extern bool clients_read; /* after each turn; true in the beginning */

/* The machine as it is, a config to be changed, no clients. */
void live_configure(void);
/* False: the loop or its listeners could not be made, and nothing is left of them. */
bool live_start(void);
void live_end(void); /* both of the next two */
void live_stop(void);
void live_nothing_is_left(void);

/* Between the two first: an access log, to the caller's `fd` or, for -1, to a file; and what is in that file.
 */
void live_log(const char *format, int fd);
const char *live_lines(void);

/* One turn of the loop, in which app_serve() answers all who are ready. */
void live_turn(void);
void live_turns(int count);

/* Turns until the condition holds. */
#define TURN_UNTIL(condition)                                                                                \
    do {                                                                                                     \
        uint64_t end_ms_ = peer_now_ms() + LIVE_GIVE_UP_MS;                                                  \
        while (!(condition) && CHECK(peer_now_ms() < end_ms_ && #condition))                                 \
            live_turn();                                                                                     \
    } while (0)

/* Turns in which so much time passes. */
void live_pass(uint64_t ms);

/* A new client; and one that the loop has accepted. */
struct peer *live_connect(enum peer_family family);
struct peer *live_accepted(enum peer_family family);

/* All of the text is sent. */
void live_say(struct peer *client, const char *text);

/* How many whole answers with this status are there, one behind the other; -1: something else is there, too.
 */
int live_answers(const struct peer *client, int status);

/* The status of the one answer that is there, and nothing else; or less than 1. */
int live_only_status(const struct peer *client);

#endif
