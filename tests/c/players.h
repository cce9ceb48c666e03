/* players: what the gateway's threads do with a loop, without Python. */
#ifndef PLAYERS_H
#define PLAYERS_H

#include "fw_abort.h"

struct stage {
    struct fw_loop *loop;
    struct fw_monitor monitor;
    void (*serve)(struct fw_player *me, struct fw_conn *conn); /* from state APP to fw_player_answered() */
};
extern struct stage stage;

/* Before and after the application is called for `conn`: offer the loop or pass it, and reclaim it. */
void players_lend(struct fw_player *me, struct fw_conn *conn);
void players_take_back(struct fw_player *me);

/* A thread, whose argument is a struct fw_player: plays until the loop is done. */
void *players_play(void *argument);

#endif
