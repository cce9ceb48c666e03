#define _GNU_SOURCE
#include "fw_poll.h"

#include <errno.h>
#include <sys/epoll.h>

int fw_poll_open(void)
{
    return epoll_create1(EPOLL_CLOEXEC);
}

static struct epoll_event interest(unsigned what, void *who)
{
    struct epoll_event event = {.data.ptr = who};
    if (what & FW_POLL_READ)
        event.events |= EPOLLIN;
    if (what & FW_POLL_WRITE)
        event.events |= EPOLLOUT;
    /* An end that arrives together with the last bytes makes only one edge: its flag says that there is
     * an end to be read behind a short read. */
    if (what & FW_POLL_EDGE)
        event.events |= EPOLLET | EPOLLRDHUP;
    if (what & FW_POLL_ONE)
        event.events |= EPOLLEXCLUSIVE;
    return event;
}

int fw_poll_add(int poll, int fd, unsigned what, void *who)
{
    struct epoll_event event = interest(what, who);
    return epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

int fw_poll_change(int poll, int fd, unsigned what, void *who)
{
    struct epoll_event event = interest(what, who);
    return epoll_ctl(poll, EPOLL_CTL_MOD, fd, &event);
}

int fw_poll_remove(int poll, int fd)
{
    struct epoll_event event = {0};
    return epoll_ctl(poll, EPOLL_CTL_DEL, fd, &event);
}

int fw_poll_wait(int poll, struct fw_poll_event events[FW_POLL_BATCH], int timeout_ms)
{
    struct epoll_event ready[FW_POLL_BATCH];
    int n = epoll_wait(poll, ready, FW_POLL_BATCH, timeout_ms);
    if (n < 0)
        return errno == EINTR ? 0 : -1;
    for (int i = 0; i < n; i++) {
        unsigned what = 0;
        if (ready[i].events & EPOLLIN)
            what |= FW_POLL_READ;
        if (ready[i].events & EPOLLOUT)
            what |= FW_POLL_WRITE;
        if (ready[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            what |= FW_POLL_END;
        events[i] = (struct fw_poll_event){.who = ready[i].data.ptr, .what = what};
    }
    return n;
}
