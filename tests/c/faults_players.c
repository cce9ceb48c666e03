/* faults_players: calls of the application that do not end as others do, and threads; see faults.h. */
#define _GNU_SOURCE
#include "faults.h"
#include "players.h"

#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool target_is(const struct fw_conn *conn, const char *text)
{
    struct fw_span target = conn->parser.head.target;
    return target.len == strlen(text) && memcmp(fw_conn_request(conn) + target.off, text, target.len) == 0;
}

/* --- what the client has got is what it gets where nothing fails, the beginning of that, or such a beginning
 * with a refusal behind it --- */

static struct text wanted;

/* Without what may be another one each time: the Date, and whether the client was told to go on. */
static void leave_out(struct text *got)
{
    static const char *const parts[][2] = {{"Date: ", "\r\n"}, {"HTTP/1.1 100 Continue\r\n", "\r\n"}};
    text_add(got, "", 0);
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        for (char *at = got->data; (at = strstr(at, parts[i][0])) != NULL;) {
            char *end = strstr(at + strlen(parts[i][0]), parts[i][1]);
            if (end == NULL)
                break;
            end += strlen(parts[i][1]);
            memmove(at, end, got->len + 1 - (size_t)(end - got->data));
            got->len -= (size_t)(end - at);
        }
}

static bool ends_in_refusal(const struct text *got, size_t same)
{
    struct answer answer = {0};
    bool found = false;
    for (size_t at = 0; at <= same && at < got->len && !found; at++)
        found = strncmp(got->data + at, "HTTP/1.1 5", 10) == 0 &&
                answer_read(&answer, got->data + at, got->len - at, false, true) == (long)(got->len - at) &&
                answer.close;
    answer_drop(&answer);
    return found;
}

static void judge(struct text *got)
{
    size_t same = 0;
    leave_out(got);
    if (planned.n == 0) {
        text_drop(&wanted);
        text_add(&wanted, got->data, got->len);
    }
    while (same < got->len && same < wanted.len && got->data[same] == wanted.data[same])
        same++;
    CHECK(same == got->len || ends_in_refusal(got, same));
    CHECK(!planned.heals || (same == got->len && same == wanted.len));
}

/* --- interim answers, and a socket that the application takes --- */

static bool closes_itself;

static void hint(struct fw_conn *conn)
{
    struct fw_interim interim;
    struct fw_pool *pool = &conn->env->blocks;
    enum fw_error error = fw_conn_interim_begin(conn, &interim, "103 Early Hints", 15);
    if (error == FW_OK)
        error = fw_resp_field(&interim.resp, &interim.buf, pool, "Link", 4, "a", 1);
    if (error == FW_OK)
        error = fw_conn_interim_send(conn, &interim);
    fw_conn_interim_drop(conn, &interim);
    if (error == FW_OK)
        app_serve(conn, &loop);
    else
        fw_conn_refuse(conn, FW_E_APP_FAILED); /* as when the application has raised */
}

static void take(struct fw_conn *conn)
{
    if (fw_conn_drain(conn) != FW_OK) {
        fw_conn_cut(conn, (enum fw_error)conn->error);
        return;
    }
    int fd = fw_loop_hand_over(&loop, conn);
    CHECK_EQUAL(write(fd, "taken", 5), 5);
    if (closes_itself)
        close(fd);
    fw_conn_take_back(conn, closes_itself ? -1 : fd);
}

static void play_upgrade(void)
{
    static const char requests[] =
        "GET /hint HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
        "GET /take HTTP/1.1\r\nHost: a\r\n\r\nframes";
    live_configure();
    faults_plan();
    if (!live_start()) {
        CHECK(fault_was_hit() && !planned.heals);
        live_nothing_is_left();
        return;
    }
    struct peer *client = live_connect(PEER_UNIX);
    live_say(client, requests);
    uint64_t end_ms = peer_now_ms() + LIVE_GIVE_UP_MS;
    while (!client->ended && !client->reset && CHECK(peer_now_ms() < end_ms)) {
        struct fw_conn *conn;
        fault_clock_wait(500);
        fw_loop_step(&loop);
        while ((conn = fw_loop_take(&loop)) != NULL) {
            if (target_is(conn, "/take"))
                take(conn);
            else if (target_is(conn, "/hint"))
                hint(conn);
            else
                app_serve(conn, &loop);
            fw_loop_give(&loop, conn);
        }
        peer_read(client);
    }
    judge(&client->got);
    faults_over();
    struct peer *next = live_connect(PEER_V4);
    live_say(next, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    TURN_UNTIL(live_answers(next, 200) == 1);
    live_end();
}

void faults_upgrade(void)
{
    for (int closes = 0; closes < 2; closes++) {
        closes_itself = closes;
        faults_each(play_upgrade);
    }
    text_drop(&wanted);
}

/* --- a player without the loop --- */

static struct peer *sender;
static const char *to_send;

static void send_some(void)
{
    size_t len = strlen(to_send);
    to_send += peer_write(sender, to_send, len < 40 ? len : 40);
    peer_read(sender);
}

/* Collect a body as it comes, and send it back in an answer that its client takes slowly. */
static void echo_away(struct fw_player *me, struct fw_conn *conn)
{
    char body[200];
    static char block[20000];
    memset(block, 'b', sizeof block);
    size_t len = 0;
    struct fw_baton *baton = &stage.monitor.baton;
    enum fw_pull pull;
    do {
        len += fw_conn_body_read(conn, len, body + len, sizeof body - len);
        pull = fw_conn_body_pull(conn);
        while (pull == FW_PULL_WAIT) {
            send_some();
            pull = fw_player_wait_body(baton, me);
        }
    } while (pull == FW_PULL_GOT);
    fw_player_refresh(baton, me);
    enum fw_error error = pull == FW_PULL_END ? FW_OK : (enum fw_error)conn->body_error;
    struct fw_pool *pool = &conn->env->blocks;
    if (error == FW_OK)
        error = fw_resp_status(&conn->resp, &conn->out, pool, "200 OK", 6);
    if (error == FW_OK)
        error = fw_conn_begin(conn, (int64_t)(len + sizeof block));
    if (error != FW_OK) {
        if (fw_error_status(error) != 0)
            fw_player_refuse(me, conn, error);
        else
            fw_player_cut(me, conn, error);
        return;
    }
    (void)fw_conn_write(conn, body, len);
    (void)fw_conn_write(conn, block, sizeof block);
    while (fw_player_wait_room(baton, me))
        peer_read(sender);
    if (fw_resp_finish(&conn->resp, &conn->out, pool) == FW_OK)
        fw_player_answered(me, conn);
    else
        fw_player_cut(me, conn, FW_E_APP_FAILED);
}

/* One thread plays both parts: who is away comes back as a spare one, and the other has the loop from then.
 */
static void serve_away(struct fw_player *me, struct fw_player *other, struct fw_conn *conn)
{
    struct fw_baton *baton = &stage.monitor.baton;
    other->next = NULL;
    baton->spares = other;
    CHECK(fw_baton_pass(baton, me, conn));
    CHECK(!fw_monitor_reclaim(&stage.monitor, me));
    echo_away(me, conn);
    atomic_store(&other->called, 0);
    atomic_store(&me->called, 1);
    CHECK(fw_baton_return(baton, me));
    fw_baton_collect(baton);
}

static void play_away(void)
{
    int room = 5000;
    static const char requests[] =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n"
        "012345678901234567890123456789012345678901234567890123456789"
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        "30\r\n012345678901234567890123456789012345678901234567\r\n0\r\n\r\n"
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    live_configure();
    config.body_early = true;
    faults_plan();
    bool started = live_start();
    if (started && !fw_monitor_init(&stage.monitor, &loop, 2)) {
        live_stop();
        started = false;
    }
    if (!started) {
        CHECK(fault_was_hit() && !planned.heals);
        live_nothing_is_left();
        return;
    }
    CHECK_EQUAL(setsockopt(listeners[PEER_UNIX], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    struct fw_player *players = stage.monitor.baton.players;
    sender = live_connect(PEER_UNIX);
    to_send = requests;
    uint64_t end_ms = peer_now_ms() + LIVE_GIVE_UP_MS;
    for (int turn = 0; !sender->ended && !sender->reset && CHECK(peer_now_ms() < end_ms);) {
        struct fw_conn *conn;
        send_some();
        fault_clock_wait(500);
        fw_baton_step(&stage.monitor.baton);
        while ((conn = fw_loop_take(&loop)) != NULL) {
            serve_away(&players[turn % 2], &players[1 - turn % 2], conn);
            turn++;
        }
    }
    judge(&sender->got);
    faults_over();
    fw_monitor_drop(&stage.monitor);
    live_end();
}

void faults_away(void)
{
    faults_each(play_away);
    text_drop(&wanted);
}

/* --- threads --- */

enum { THREADS = 3, CLIENTS = 4 };

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* A call that takes so long that the monitor gives the loop to somebody else. */
static void serve_slowly(struct fw_player *me, struct fw_conn *conn)
{
    players_lend(me, conn);
    pause_ms(3);
    players_take_back(me);
    enum fw_error error = fw_resp_status(&conn->resp, &conn->out, &conn->env->blocks, "200 OK", 6);
    if (error == FW_OK)
        error = fw_conn_begin(conn, 5);
    if (error != FW_OK) {
        fw_player_refuse(me, conn, error);
        return;
    }
    (void)fw_conn_write(conn, "right", 5);
    if (fw_resp_finish(&conn->resp, &conn->out, &conn->env->blocks) == FW_OK)
        fw_player_answered(me, conn);
    else
        fw_player_cut(me, conn, FW_E_APP_FAILED);
}

static void play_threads(void)
{
    pthread_t threads[THREADS];
    live_configure();
    fault_reset(); /* time goes by itself */
    faults_plan();
    if (!CHECK(live_start()) || !CHECK(fw_monitor_init(&stage.monitor, &loop, THREADS)))
        return;
    stage.loop = &loop;
    stage.serve = serve_slowly;
    for (size_t i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, players_play, &stage.monitor.baton.players[i]), 0);
    for (size_t i = 0; i < CLIENTS; i++)
        live_say(live_connect(PEER_UNIX), "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                                          "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    uint64_t end_ms = peer_now_ms() + LIVE_GIVE_UP_MS;
    for (size_t over = 0; over < CLIENTS && CHECK(peer_now_ms() < end_ms); pause_ms(1)) {
        over = 0;
        for (size_t i = 0; i < CLIENTS; i++) {
            peer_read(&clients[i]);
            over += clients[i].ended || clients[i].reset;
        }
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        CHECK_EQUAL(live_answers(&clients[i], 200), 2);
        peer_close(&clients[i]);
    }
    fw_loop_stop(&loop, FW_STOP_GRACEFUL);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    fw_baton_last(&stage.monitor.baton);
    fw_monitor_drop(&stage.monitor);
    live_end();
}

/* With threads only what threads are made of: the rest has been failed without them, where it is known who
 * calls what when. */
void faults_threads(void)
{
    static const enum fault_call calls[] = {FAULT_syscall, FAULT_nanosleep, FAULT_pthread_create,
                                            FAULT_pthread_attr_init, FAULT_pthread_attr_setstacksize};
    faults_each_of(play_threads, calls, COUNT_OF(calls));
}

/* --- SIGABRT --- */

static struct fw_abort on_abort;
static _Atomic bool inside, may_go;

static void nothing(int signum)
{
    (void)signum;
}

/* Is in the application until it may go. */
static void *be_stuck(void *argument)
{
    struct fw_conn *conn = argument;
    struct fw_player *me = &stage.monitor.baton.players[0];
    CHECK(fw_baton_join(&stage.monitor.baton, me));
    fw_abort_lend(me, conn);
    atomic_store(&inside, true);
    while (!atomic_load(&may_go))
        sched_yield();
    fw_abort_back(me);
    app_serve(conn, &loop);
    fw_loop_give(&loop, conn);
    fw_abort_over(me, &loop);
    return NULL;
}

/* Another process sends SIGABRT; the main thread, which is no player, passes it on. */
static void abort_from_elsewhere(const struct fw_player *player)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        kill(getppid(), SIGABRT);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    uint64_t end_ms = peer_now_ms() + LIVE_GIVE_UP_MS;
    while (!atomic_load(&player->told) && !(planned.call == FAULT_syscall && fault_was_hit()) &&
           CHECK(peer_now_ms() < end_ms))
        sched_yield();
}

static void play_abort(void)
{
    struct sigaction action = {.sa_handler = nothing}, usual;
    pthread_t thread;
    struct fw_conn *conn = NULL;
    sigaction(SIGABRT, &action, &usual);
    live_configure();
    faults_plan();
    bool started = live_start();
    if (started && !fw_monitor_init(&stage.monitor, &loop, 1)) {
        live_stop();
        started = false;
    }
    if (started && !fw_abort_arm(&on_abort, &stage.monitor, "Server: x\r\n", 11)) {
        fw_monitor_drop(&stage.monitor);
        live_stop();
        started = false;
    }
    if (started) {
        struct peer *client = live_connect(PEER_UNIX);
        live_say(client, "GET /large/3000 HTTP/1.1\r\nHost: a\r\n\r\n");
        for (int i = 0; conn == NULL && !client->ended && i < 100; i++) {
            fault_clock_wait(500);
            fw_loop_step(&loop);
            conn = fw_loop_take(&loop);
            peer_read(client);
        }
        if (conn != NULL) {
            inside = may_go = false;
            CHECK_EQUAL(pthread_create(&thread, NULL, be_stuck, conn), 0);
            while (!atomic_load(&inside))
                sched_yield();
            abort_from_elsewhere(&stage.monitor.baton.players[0]);
            atomic_store(&may_go, true);
            pthread_join(thread, NULL);
        }
        uint64_t end_ms = peer_now_ms() + LIVE_GIVE_UP_MS;
        while (!client->ended && !client->reset && CHECK(peer_now_ms() < end_ms)) {
            fault_clock_wait(500);
            live_turn();
        }
        int status = live_only_status(client);
        /* a send without room, and a signal that cannot be passed on, are not tried again: there is no time
         */
        bool no_room = planned.call == FAULT_send && planned.error == EAGAIN;
        bool may_fail = !planned.heals || no_room || planned.call == FAULT_syscall;
        CHECK(status == 504 || (fault_was_hit() && may_fail));
        faults_over();
        fw_abort_disarm(&on_abort);
        fw_monitor_drop(&stage.monitor);
        live_stop();
    } else {
        CHECK(fault_was_hit() && !planned.heals);
    }
    live_nothing_is_left();
    sigaction(SIGABRT, &usual, NULL);
}

void faults_abort(void)
{
    faults_each(play_abort);
}
