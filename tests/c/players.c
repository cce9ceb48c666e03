/* players: see players.h. */
#include "players.h"

struct stage stage;

void players_lend(struct fw_player *me, struct fw_conn *conn)
{
    struct fw_baton *baton = &stage.monitor.baton;
    bool away = atomic_load(&me->away);
    if (!away && !(fw_baton_should_pass(baton) && fw_baton_pass(baton, me, conn)))
        fw_monitor_offer(&stage.monitor, me, conn);
    else if (fw_conn_waits(conn))
        while (fw_player_wait_room(baton, me))
            ;
    fw_abort_lend(me, conn);
}

void players_take_back(struct fw_player *me)
{
    fw_abort_back(me);
    if (atomic_load(&me->away) || !fw_monitor_reclaim(&stage.monitor, me))
        fw_player_refresh(&stage.monitor.baton, me);
}

void *players_play(void *argument)
{
    struct fw_player *me = argument;
    struct fw_baton *baton = &stage.monitor.baton;
    struct fw_loop *loop = stage.loop;
    bool ours = fw_baton_join(baton, me);
    while (ours) {
        while (!atomic_load(&me->away) && !fw_loop_done(loop)) {
            struct fw_conn *conn;
            fw_baton_step(baton);
            while (!atomic_load(&me->away) && (conn = fw_loop_take(loop)) != NULL) {
                stage.serve(me, conn);
                if (!atomic_load(&me->away))
                    fw_loop_give(loop, conn);
            }
        }
        if (!atomic_load(&me->away)) {
            fw_baton_end(baton);
            break;
        }
        ours = fw_baton_return(baton, me);
    }
    return NULL;
}
