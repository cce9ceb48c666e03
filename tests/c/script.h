/* script: what a client sends on one connection, and whether what it gets is right (see app.h for targets).
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "peer.h"

enum script_how {
    SCRIPT_PLAIN = 0,
    SCRIPT_CHUNKED = 1,  /* the body in chunks of odd sizes, with extensions and a trailer */
    SCRIPT_EXPECT = 2,   /* Expect: 100-continue */
    SCRIPT_OLD = 4,      /* HTTP/1.0 */
    SCRIPT_OLD_KEEP = 8, /* ... with keep-alive */
};

struct wanted {
    int status;
    bool to_head;
    struct text body;
};

struct script {
    struct text requests;
    struct wanted *wanted;
    size_t count;
    bool closing; /* the last request closes the connection */
};

/* A request with a body of `size` made-up bytes. */
void script_add(struct script *script, const char *method, const char *target, size_t size, unsigned how);
void script_drop(struct script *script);

struct verdict {
    size_t whole;    /* so many of the answers are here and right */
    size_t interim;  /* 100 Continue before them */
    int refusal;     /* then comes a refusal with this status, the last thing; 0: none */
    bool torn;       /* then comes the beginning of an answer, and the connection shows that it is one */
    bool wrong;      /* there is something that must not be there */
    bool last_close; /* the last whole answer said "Connection: close" */
};

struct verdict script_check(const struct script *script, const struct peer *peer);

#endif
