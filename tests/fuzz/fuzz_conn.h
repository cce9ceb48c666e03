/* fuzz_conn: what the parts of that target share.
 *
 *   fuzz_conn.c     the connection, its moves, and what its bytes mean
 *   conn_play.c     the application, and what its client has to get
 *   wire.c          the machine                                                                      */
#ifndef FUZZ_CONN_H
#define FUZZ_CONN_H

#include "fw_conn.h"
#include "wire.h"

enum { REQUESTS_MOST = 512 };

/* A request that is in the bytes. */
struct wanted {
    const char *line; /* from its method on */
    size_t method_len;
    struct fw_span target; /* from there */
    struct text body;
    size_t end; /* where it ends in the input, if it is whole */
    bool to_head, keep, whole;
};

/* The answer that the application has given. */
struct given {
    int status;
    enum fw_error refusal; /* it is one */
    bool to_head, to_close, whole;
    struct text body; /* as far as it counts */
};

struct play {
    struct wanted wanted[REQUESTS_MOST];
    size_t want_count, begin; /* and where the first begins, behind a PROXY header */
    enum fw_error want_error; /* what follows the last of them */
    bool want_more;
    struct given given[REQUESTS_MOST];
    size_t given_count, served;
    /* why not all has to have gone as it should */
    bool timed_out, starved, broken_off, left_body, handed;
};

extern struct play play;

/* APP -> whatever comes of it. */
void play_serve(struct fw_conn *conn, const struct wanted *wanted);

/* What has reached the client is what was given. */
void play_check(const struct fw_conn_env *env);
void play_end(void);

/* fuzz_conn.c */
void play_check_awake(void);
bool play_poll(void);

#endif
