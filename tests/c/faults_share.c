/* faults_share: connections that one worker passes to another; see faults.h. */
#define _GNU_SOURCE
#include "faults.h"

#include <sys/socket.h>
#include <unistd.h>

static struct fw_loop other;
static const char hello[] = "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n";

static void turn_other(void)
{
    struct fw_conn *conn;
    fw_loop_step(&other);
    while ((conn = fw_loop_take(&other)) != NULL) {
        app_serve(conn, &other);
        fw_loop_give(&other, conn);
    }
}

static struct fw_share_page page = {.magic = FW_SHARE_PAGE_MAGIC};

/* Worker `number` of two, in `which`. */
static bool start(struct fw_loop *which, struct fw_board *board, uint32_t number, const int pair[2])
{
    config.slot = &board->slots[number];
    config.share = (struct fw_share){
        .board = board, .slot = config.slot, .page = &page, .send = pair[0], .receive = pair[1]};
    if (number == 0 ? !live_start() : !fw_loop_init(which, &config))
        return false;
    for (int family = 0; number != 0 && family < LIVE_FAMILIES; family++)
        if (!fw_loop_add_listener(which, listeners[family], family == PEER_UNIX)) {
            fw_loop_drop(which);
            return false;
        }
    which->even_at_ms = FW_LOOP_NEVER; /* who has which connection is for the scenario to say */
    fw_board_take(board, number);
    atomic_store(&board->slots[number].state, FW_SLOT_SERVING);
    return true;
}

/* Their second answers are the other worker's, or they have seen an end. */
static void judge(size_t count)
{
    size_t suffered = 0;
    for (size_t i = 0; i < count; i++) {
        int answers = live_answers(&clients[i], 200);
        bool ended = clients[i].ended || clients[i].reset;
        CHECK(answers == 2 || ended); /* perhaps by a refusal */
        suffered += answers < 2;
    }
    CHECK(suffered <= (planned.heals ? 0 : 1));
}

static void pass_on(void)
{
    live_say(live_connect(PEER_UNIX), hello);
    live_say(live_connect(PEER_UNIX), hello);
    uint64_t end_ms = peer_now_ms() + LIVE_GIVE_UP_MS;
    for (bool all = false; !all && CHECK(peer_now_ms() < end_ms);) {
        fault_clock_wait(200);
        live_turn();
        all = true;
        for (size_t i = 0; i < 2; i++)
            all &= clients[i].got.len > 0 || clients[i].ended || clients[i].reset;
    }
    peer_write(&clients[1], "GET /ec", 7); /* half a request goes along */
    live_turn();
    fw_loop_stop(&loop, FW_STOP_RECYCLE);
    for (int turns = 0; turns < 6; turns++) {
        live_turn();
        turn_other();
    }
    peer_write(&clients[0], hello, sizeof hello - 1);
    peer_write(&clients[1], "ho HTTP/1.1\r\nHost: a\r\n\r\n", 24);
    for (bool all = false; !all && CHECK(peer_now_ms() < end_ms);) {
        fault_clock_wait(200);
        if (!fw_loop_done(&loop))
            live_turn();
        turn_other();
        all = true;
        for (size_t i = 0; i < 2; i++) {
            peer_read(&clients[i]);
            all &= clients[i].ended || clients[i].reset || live_answers(&clients[i], 200) == 2;
        }
    }
    judge(2);
}

static void play(void)
{
    int pair[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    struct fw_board *board = fw_board_create(2);
    live_configure();
    faults_plan();
    bool one = start(&loop, board, 0, pair), both = one && start(&other, board, 1, pair);
    CHECK(both || (fault_was_hit() && !planned.heals));
    if (both) {
        pass_on();
        fw_loop_drop(&other);
    }
    if (one)
        live_stop();
    live_nothing_is_left();
    faults_over();
    fw_board_destroy(board);
    close(pair[0]);
    close(pair[1]);
}

void faults_share(void)
{
    faults_each(play);
}
