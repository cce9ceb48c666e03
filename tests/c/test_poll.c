/* Tests of fw_poll: what is registered is told of, once a change where that was asked for. */
#define _GNU_SOURCE
#include "fault.h"
#include "fw_poll.h"
#include "fw_test.h"
#include "peer.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static int poll_fd;
static struct fw_poll_event events[FW_POLL_BATCH];

static int wait_now(void)
{
    return fw_poll_wait(poll_fd, events, 0);
}

static void begin(void)
{
    fault_reset();
    poll_fd = fw_poll_open();
    CHECK(poll_fd >= 0);
}

static void a_level_is_told_of_while_it_holds(void)
{
    int fds[2];
    char byte;
    begin();
    pair_unix(fds, 0);
    CHECK_EQUAL(fw_poll_add(poll_fd, fds[0], FW_POLL_READ, &fds[0]), 0);
    CHECK_EQUAL(wait_now(), 0);
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(wait_now(), 1);
        CHECK(events[0].who == &fds[0] && events[0].what == FW_POLL_READ);
    }
    CHECK_EQUAL(read(fds[0], &byte, 1), 1);
    CHECK_EQUAL(wait_now(), 0);
    CHECK_EQUAL(fw_poll_remove(poll_fd, fds[0]), 0);
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    CHECK_EQUAL(wait_now(), 0);
    CHECK_EQUAL(fw_poll_remove(poll_fd, fds[0]), -1);
    CHECK_EQUAL(errno, ENOENT);
    close(fds[0]);
    close(fds[1]);
    close(poll_fd);
}

static void an_edge_is_told_of_once(void)
{
    int fds[2];
    begin();
    pair_tcp(fds, 0);
    CHECK_EQUAL(fw_poll_add(poll_fd, fds[0], FW_POLL_READ | FW_POLL_EDGE, &fds[0]), 0);
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    CHECK_EQUAL(fw_poll_wait(poll_fd, events, 1000), 1);
    CHECK_EQUAL(events[0].what, FW_POLL_READ);
    CHECK_EQUAL(wait_now(), 0);
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    CHECK_EQUAL(fw_poll_wait(poll_fd, events, 1000), 1);
    CHECK_EQUAL(wait_now(), 0);
    /* asked anew, it tells of what holds already */
    CHECK_EQUAL(fw_poll_change(poll_fd, fds[0], FW_POLL_READ | FW_POLL_WRITE | FW_POLL_EDGE, &fds[1]), 0);
    CHECK_EQUAL(wait_now(), 1);
    CHECK(events[0].who == &fds[1] && events[0].what == (FW_POLL_READ | FW_POLL_WRITE));
    shutdown(fds[1], SHUT_WR);
    CHECK_EQUAL(fw_poll_wait(poll_fd, events, 1000), 1);
    CHECK(events[0].what & FW_POLL_END);
    close(fds[0]);
    close(fds[1]);
    close(poll_fd);
}

static void more_than_a_batch_comes_in_batches(void)
{
    enum { COUNT = FW_POLL_BATCH + 10 };
    int fds[COUNT][2];
    bool seen[COUNT] = {false};
    begin();
    for (int i = 0; i < COUNT; i++) {
        pair_unix(fds[i], 0);
        CHECK_EQUAL(write(fds[i][1], "x", 1), 1);
        CHECK_EQUAL(fw_poll_add(poll_fd, fds[i][0], FW_POLL_READ | FW_POLL_EDGE, &seen[i]), 0);
    }
    int first = wait_now(), second;
    CHECK_EQUAL(first, FW_POLL_BATCH);
    for (int i = 0; i < first; i++)
        *(bool *)events[i].who = true;
    second = wait_now();
    CHECK_EQUAL(second, COUNT - FW_POLL_BATCH);
    for (int i = 0; i < second; i++)
        *(bool *)events[i].who = true;
    CHECK_EQUAL(wait_now(), 0);
    for (int i = 0; i < COUNT; i++) {
        CHECK(seen[i]);
        close(fds[i][0]);
        close(fds[i][1]);
    }
    close(poll_fd);
}

static void a_listener_wakes_one_poller(void)
{
    begin();
    int listener = peer_listen(PEER_V4), other = fw_poll_open();
    CHECK_EQUAL(fw_poll_add(poll_fd, listener, FW_POLL_READ | FW_POLL_ONE, &listener), 0);
    CHECK_EQUAL(fw_poll_add(other, listener, FW_POLL_READ | FW_POLL_ONE, &listener), 0);
    int client = peer_connect(listener);
    CHECK_EQUAL(fw_poll_wait(poll_fd, events, 1000), 1);
    CHECK(events[0].who == &listener && (events[0].what & FW_POLL_READ));
    close(client);
    close(listener);
    close(other);
    close(poll_fd);
}

static void a_signal_is_no_error(void)
{
    begin();
    fault_fail(FAULT_epoll_wait, 1, 1, EINTR);
    CHECK_EQUAL(wait_now(), 0);
    CHECK(fault_was_hit());
    fault_fail(FAULT_epoll_wait, 1, 1, EBADF);
    CHECK_EQUAL(wait_now(), -1);
    fault_reset();
    close(poll_fd);
}

static const struct fw_test tests[] = {
    {"a_level_is_told_of_while_it_holds", a_level_is_told_of_while_it_holds},
    {"an_edge_is_told_of_once", an_edge_is_told_of_once},
    {"more_than_a_batch_comes_in_batches", more_than_a_batch_comes_in_batches},
    {"a_listener_wakes_one_poller", a_listener_wakes_one_poller},
    {"a_signal_is_no_error", a_signal_is_no_error},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
