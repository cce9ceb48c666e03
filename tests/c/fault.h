/* fault: a machine that fails on demand, and a clock that goes when it is told to.
 *
 * Stands between the core and the C library: its allocations (FW_REALLOC, FW_FREE) and, by the linker's
 * --wrap, its system calls. The tests themselves use read(), write() and the like, which are not wrapped.  */
#ifndef FAULT_H
#define FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULT_CALLS(X)                                                                                       \
    X(recv)                                                                                                  \
    X(send)                                                                                                  \
    X(sendmsg)                                                                                               \
    X(recvmsg)                                                                                               \
    X(sendfile)                                                                                              \
    X(accept4)                                                                                               \
    X(epoll_create1)                                                                                         \
    X(epoll_ctl)                                                                                             \
    X(epoll_wait)                                                                                            \
    X(pwrite)                                                                                                \
    X(pread)                                                                                                 \
    X(open)                                                                                                  \
    X(mkostemp)                                                                                              \
    X(fcntl)                                                                                                 \
    X(pipe2)                                                                                                 \
    X(shutdown)                                                                                              \
    X(setsockopt)                                                                                            \
    X(writev)                                                                                                \
    X(poll)

enum fault_call {
    FAULT_alloc,
#define X(name) FAULT_##name,
    FAULT_CALLS(X)
#undef X
        FAULT_COUNT
};

const char *fault_name(enum fault_call call);

/* Nothing fails, nothing is short, the clock is the real one, all counts are 0. */
void fault_reset(void);

/* The n-th call from now (1: the next) fails with `error`; `times` in a row from there. */
void fault_fail(enum fault_call call, unsigned long n, unsigned long times, int error);

/* Called in front of each call, for what others do just then; NULL at first. */
extern void (*fault_meanwhile)(enum fault_call call);

/* Has a call failed since fault_reset()? */
bool fault_was_hit(void);

unsigned long fault_calls(enum fault_call call);

/* Calls that move bytes (recv, send, sendmsg, sendfile, pwrite, pread, writev) move at most so many; 0: no
 * limit. */
void fault_most(enum fault_call call, size_t bytes);

/* Calls of poll that were to wait. None really does: the clock goes on at once, if it was stopped. */
unsigned long fault_polls_that_waited(void);

/* Bytes that send, sendmsg and sendfile have moved. */
uint64_t fault_sent(void);

/* Stop the monotonic clock at a round time. Then it goes on when it is told to: at once (something took that
 * long), or in the next epoll_wait that waits and has nothing to tell, until its timeout at most.          */
void fault_clock_stop(void);
void fault_clock_step(uint64_t ms);
void fault_clock_step_us(uint64_t us);
void fault_clock_wait(uint64_t ms);
uint64_t fault_clock_left(void); /* of what was said with fault_clock_wait() */

/* Set the wall clock, which the Date field tells. */
void fault_clock_wall(int64_t second);

/* What epoll_wait was last asked to wait, ms; it never really waits longer than a few ms. */
int fault_wait_ms(void);

/* Blocks that the core has allocated and not freed, and their bytes; descriptors that this process has open.
 */
long fault_blocks(void);
size_t fault_bytes(void);
int fault_descriptors(void);

#endif
