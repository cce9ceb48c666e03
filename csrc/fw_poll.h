/* fw_poll: readiness behind a handful of functions, so that another kernel's way is another file.
 *
 * What is registered is a pointer; an event gives it back with what is ready.                  */
#ifndef FW_POLL_H
#define FW_POLL_H

#include "fw_base.h"

enum fw_poll_what {
    FW_POLL_READ = 1,
    FW_POLL_WRITE = 2,
    FW_POLL_END = 4,  /* in events only: the peer will send no more, or the socket is broken */
    FW_POLL_EDGE = 8, /* tell once for each change, not for as long as it holds */
    FW_POLL_ONE = 16, /* of several processes waiting for this one, wake one (listeners) */
};

struct fw_poll_event {
    void *who;
    unsigned what;
};

/* All return a descriptor or 0, or -1 with errno. */
int fw_poll_open(void);
int fw_poll_add(int poll, int fd, unsigned what, void *who);
int fw_poll_change(int poll, int fd, unsigned what, void *who);
int fw_poll_remove(int poll, int fd);

/* Wait at most timeout_ms (-1: for ever); the number of events, 0 also when a signal came, -1 with errno. */
#define FW_POLL_BATCH 64
int fw_poll_wait(int poll, struct fw_poll_event events[FW_POLL_BATCH], int timeout_ms);

#endif
