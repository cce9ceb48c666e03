/* fw_sys: the two system calls of every request, without what the C library wraps around them.
 *
 * In a process with threads its recv() and send() are cancellation points: each announces itself with two
 * atomic exchanges, which a request would pay for four times. Nobody here cancels a thread.               */
#ifndef FW_SYS_H
#define FW_SYS_H

#include "fw_base.h"

/* As recv() and send(), errno included. */
ssize_t fw_sys_recv(int fd, void *buf, size_t len, int flags);
ssize_t fw_sys_send(int fd, const void *buf, size_t len, int flags);

#endif
