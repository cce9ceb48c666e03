/* faults_start: a worker begins, or does not; see faults.h. */
#define _GNU_SOURCE
#include "faults.h"

#include "fw_abort.h"

#include <fcntl.h>
#include <unistd.h>

static const char format[] = "%(h)s %(t)s";

/* What a worker makes, in this order; how far it came. */
enum progress { NOTHING, BOARD, ACCESS, LOOP, LISTENER, MONITOR, ARMED };

static void play(void)
{
    static struct fw_access access_log;
    static struct fw_monitor monitor;
    static struct fw_abort on_abort;
    int watched[2];
    enum progress came = NOTHING;
    CHECK_EQUAL(pipe2(watched, O_CLOEXEC), 0);
    live_configure();
    int listener = peer_listen(PEER_V4);
    faults_plan();
    struct fw_board *board = fw_board_create(2);
    if (board != NULL)
        came = BOARD;
    if (came == BOARD &&
        fw_access_init(&access_log, format, sizeof format - 1, watched[1], "", 0) == FW_ACCESS_OK)
        came = ACCESS;
    if (came == ACCESS) {
        config.slot = &board->slots[1];
        config.access = &access_log;
        if (fw_loop_init(&loop, &config))
            came = LOOP;
    }
    if (came == LOOP && fw_loop_add_listener(&loop, listener, false) && fw_loop_watch(&loop, watched[0]))
        came = LISTENER;
    if (came == LISTENER && fw_monitor_init(&monitor, &loop, 2))
        came = MONITOR;
    if (came == MONITOR && fw_abort_arm(&on_abort, &monitor, "Server: x\r\n", 11))
        came = ARMED;
    CHECK(came == ARMED || (fault_was_hit() && !planned.heals));
    if (came == ARMED) { /* with a thread for what is on offer, or without one */
        fw_monitor_offer(&monitor, &monitor.baton.players[0], NULL);
        CHECK(fw_monitor_reclaim(&monitor, &monitor.baton.players[0]));
        fw_abort_disarm(&on_abort);
    }
    if (came >= MONITOR)
        fw_monitor_drop(&monitor);
    if (came >= LOOP)
        fw_loop_drop(&loop);
    if (came >= ACCESS)
        fw_access_drop(&access_log);
    if (came >= BOARD)
        fw_board_destroy(board);
    close(listener);
    live_nothing_is_left();
    close(watched[0]);
    close(watched[1]);
}

void faults_beginning(void)
{
    faults_each(play);
}
