/* fault: a machine that fails on demand, and a clock that goes when it is told to.
 *
 * Stands between the core and the C library: its allocations (FW_REALLOC, FW_FREE) and its calls, which are
 * renamed in the core's object files. What the tests themselves call is the C library's. */
#ifndef FAULT_H
#define FAULT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each call of the core's that can fail: X(name, why whoever it was for may suffer, what nobody may notice).
 * A row needs its function in fault.c, and nothing else: the Makefile reads the names from here, and
 * test_faults.c fails each call of each scenario with each of these. */
#define FAULT_CALLS(X)                                                                                       \
    X(recv, (ECONNRESET, ETIMEDOUT, ENOMEM), (EINTR))                                                        \
    X(send, (EPIPE, ECONNRESET, ENOBUFS, ENOMEM), (EINTR, EAGAIN))                                           \
    X(sendmsg, (EPIPE, ECONNRESET, ENOBUFS, ENOMEM), (EINTR, EAGAIN))                                        \
    X(recvmsg, (ECONNRESET, ENOMEM), (EINTR, EAGAIN))                                                        \
    X(sendfile, (EIO, EPIPE, ECONNRESET, ENOMEM), (EINTR, EAGAIN, EINVAL, ENOSYS, EOPNOTSUPP))               \
    X(accept4, (0), (EINTR, EAGAIN, ECONNABORTED, EPROTO, EPERM, EMFILE, ENFILE, ENOBUFS, ENOMEM))           \
    X(epoll_create1, (EMFILE, ENFILE, ENOMEM), (0))                                                          \
    X(epoll_ctl, (ENOMEM, ENOSPC), (0))                                                                      \
    X(epoll_wait, (0), (EINTR))                                                                              \
    X(pwrite, (ENOSPC, EDQUOT, EIO, EFBIG), (EINTR))                                                         \
    X(pread, (EIO, ENXIO), (EINTR))                                                                          \
    X(open, (0), (EMFILE, ENFILE, ENOSPC, EOPNOTSUPP, EISDIR)) /* mkostemp is tried then */                  \
    X(mkostemp, (EMFILE, ENFILE, ENOSPC, EACCES, EROFS, ENOMEM), (0))                                        \
    X(unlink, (0), (EIO, EROFS))                                                                             \
    X(ftruncate, (0), (EINTR, EIO))                                                                          \
    X(fstat, (0), (EIO, EOVERFLOW))                                                                          \
    X(fcntl, (EMFILE), (0))                                                                                  \
    X(pipe2, (EMFILE, ENFILE, ENOMEM), (0))                                                                  \
    X(read, (0), (EINTR, EAGAIN, EIO))                                                                       \
    X(write, (0), (EAGAIN))                                                                                  \
    X(close, (0), (EINTR, EIO, ENOSPC, EDQUOT))                                                              \
    X(shutdown, (0), (ENOTCONN, ENOBUFS))                                                                    \
    X(setsockopt, (EINVAL, ENOMEM), (0))                                                                     \
    X(getsockname, (0), (ENOBUFS))                                                                           \
    X(getpeername, (ENOTCONN), (0))                                                                          \
    X(writev, (0), (EINTR, EAGAIN, ENOSPC, EDQUOT, EFBIG, EIO, EPIPE))                                       \
    X(poll, (ENOMEM), (EINTR))                                                                               \
    X(mmap, (ENOMEM, EAGAIN), (0))                                                                           \
    X(gmtime_r, (0), (EOVERFLOW))                                                                            \
    X(localtime_r, (0), (EOVERFLOW))                                                                         \
    X(nanosleep, (0), (EINTR))                                                                               \
    X(pthread_create, (0), (EAGAIN))                                                                         \
    X(pthread_attr_init, (0), (ENOMEM))                                                                      \
    X(pthread_attr_setstacksize, (0), (EINVAL))                                                              \
    X(sigaction, (EINVAL), (0))                                                                              \
    X(syscall, (EAGAIN), (EINTR)) /* futex, rt_tgsigqueueinfo */

enum fault_call {
    FAULT_alloc,
#define X(name, harms, heals) FAULT_##name,
    FAULT_CALLS(X)
#undef X
        FAULT_COUNT
};

const char *fault_name(enum fault_call call);

/* The errors of a call, ended by a 0: those by which somebody may suffer, or those that nobody may notice. */
const int *fault_errors(enum fault_call call, bool heals);

/* Nothing fails, nothing is short, the clock is the real one, all counts are 0. */
void fault_reset(void);

/* The n-th call from now (1: the next) fails with `error`; `times` in a row from there. */
void fault_fail(enum fault_call call, unsigned long n, unsigned long times, int error);

/* Called in front of each call, for what others do just then; NULL at first. */
extern void (*fault_meanwhile)(enum fault_call call);

/* Such calls are not to be had on this machine: each fails, which is no hit. */
void fault_always(enum fault_call call, int error);

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
