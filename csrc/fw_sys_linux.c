#define _GNU_SOURCE
#include "fw_sys.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* FW_SYS_LIBC: for tests, which put their own recv() and send() there, and for sanitizers, which look at what
 * these read and write. */

ssize_t fw_sys_recv(int fd, void *buf, size_t len, int flags)
{
#ifndef FW_SYS_LIBC
    return (ssize_t)syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
#else
    return recv(fd, buf, len, flags);
#endif
}

ssize_t fw_sys_send(int fd, const void *buf, size_t len, int flags)
{
#ifndef FW_SYS_LIBC
    return (ssize_t)syscall(SYS_sendto, fd, buf, len, flags, NULL, 0);
#else
    return send(fd, buf, len, flags);
#endif
}
