#include "fw_loop_parts.h"

#include <errno.h>

/* Who has more connections than the others looks at the board so often, and again only after so many requests
 * of its own: fewer say little of how busy it is. */
#define LOOK_MS     10
#define LOOK_COUNTS 16
/* Passed on at one look. */
#define PASSES_MOST 8
/* Who has passed one on takes none for so long: whoever is idle is to see it first. And again, so many times
 * in a row, while there are some and others have fewer. */
#define REST_MS    3
#define RESTS_MOST 4

/* What each worker that serves here would have of all connections, rounded up. Those that are under way
 * count: somebody will have them. */
static uint32_t part_of_each(const struct fw_loop *loop, const struct fw_share_view *view)
{
    uint64_t all = (uint64_t)loop->connections + view->connections + fw_share_waiting(&loop->config.share);
    return (uint32_t)((all + view->here) / (view->here + 1));
}

/* So many connections, and more than `slack`, had better be with one that is idle and has fewer; 0: none. */
static uint32_t surplus(const struct fw_loop *loop, const struct fw_share_view *view, uint32_t slack)
{
    uint32_t own = loop->connections;
    if (view->idle == 0 || own < view->least + 2)
        return 0;
    uint32_t part = part_of_each(loop, view);
    if (own <= part + slack + part / 32)
        return 0;
    uint32_t over = own - part, half = (own - view->least) / 2;
    return over < half ? over : half;
}

/* Let others be first at what has been passed on, and at the next client: of those that wait for a listener,
 * the kernel wakes the one that has stood there for longest. */
static void step_back(struct fw_loop *loop)
{
    fw_loop_rest(loop); /* until the next turn, which puts the listeners behind those of others */
    loop->receive_at_ms = loop->env.clock.now_ms + REST_MS;
    loop->even_rests = 0;
}

bool fw_loop_leaves_them(struct fw_loop *loop)
{
    if (loop->receive_at_ms == 0 || loop->even_rests == RESTS_MOST)
        return false;
    struct fw_share_view view = fw_loop_siblings(loop);
    if (view.idle == 0 || fw_share_waiting(&loop->config.share) == 0 ||
        loop->connections < part_of_each(loop, &view))
        return false;
    loop->receive_at_ms = loop->env.clock.now_ms + REST_MS;
    loop->even_rests++;
    return true;
}

bool fw_loop_pass_fresh(struct fw_loop *loop, struct fw_conn *conn)
{
    if (loop->even_at_ms == FW_LOOP_NEVER || loop->connections < 2 || loop->leaving)
        return false;
    struct fw_share_view view = fw_loop_siblings(loop);
    if (surplus(loop, &view, 0) == 0 || !fw_loop_pass(loop, conn, &view))
        return false;
    step_back(loop);
    return true;
}

void fw_loop_even(struct fw_loop *loop)
{
    loop->even_at_ms = loop->env.clock.now_ms + LOOK_MS;
    uint64_t own = loop->requests - loop->even_own;
    if (own < LOOK_COUNTS || loop->leaving || !loop->listening)
        return;
    struct fw_share_view view = fw_loop_siblings(loop);
    uint64_t others = view.requests - loop->even_others;
    bool comparable = view.requests >= loop->even_others && view.here == loop->even_here;
    loop->even_own = loop->requests;
    loop->even_others = view.requests;
    loop->even_here = view.here;
    /* Idle connections cost nothing, wherever they are: it must be busier than the others, too, by an eighth.
     */
    if (!comparable || own * view.here * 8 < others * 9)
        return;
    uint32_t count = surplus(loop, &view, 1);
    if (count > PASSES_MOST)
        count = PASSES_MOST;
    uint64_t before = loop->passed;
    struct fw_conn *prev, *conn = loop->queues[FW_QUEUE_KEEPALIVE].last; /* those that are busy */
    for (; conn != NULL && loop->passed - before < count; conn = prev) {
        prev = conn->prev;
        if (!fw_loop_pass(loop, conn, &view) && errno != 0)
            break;
    }
    if (loop->passed != before)
        step_back(loop);
}

void fw_loop_relieve(struct fw_loop *loop)
{
    if (loop->even_at_ms == FW_LOOP_NEVER || loop->leaving)
        return;
    struct fw_share_view view = fw_loop_siblings(loop);
    uint32_t waiting = view.idle > 0 ? fw_share_waiting(&loop->config.share) : 0;
    uint64_t before = loop->passed;
    struct fw_queue *ready = &loop->queues[FW_QUEUE_READY];
    struct fw_conn *prev, *conn = ready->last; /* who would wait longest */
    for (; ready->count > 1 && conn != NULL && waiting + (loop->passed - before) < view.idle; conn = prev) {
        prev = conn->prev;
        if (!fw_loop_pass(loop, conn, &view) && errno != 0)
            break;
    }
    if (loop->passed != before)
        step_back(loop);
}
