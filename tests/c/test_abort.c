/* Tests of fw_abort: what the client of a stuck call gets from the signal handler, and what it does not get.
 */
#define _GNU_SOURCE
#include "fw_abort.h"
#include "fw_loop_parts.h"
#include "fw_test.h"
#include "peer.h"

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fw_loop loop;
static struct fw_player *me;
static struct fw_monitor monitor;
static struct fw_abort on_abort;
static struct fw_conn conn;
static struct peer client;
static volatile sig_atomic_t passed_on;
static struct sigaction usual;

static const char SERVER[] = "Server: x\r\n";

static void before(int signum)
{
    CHECK_EQUAL(signum, SIGABRT);
    passed_on++;
}

static void begin(void)
{
    struct sigaction action = {.sa_handler = before};
    struct fw_loop_config config = {
        .limits = fw_limits_default(),
        .timeouts.keepalive_ms = 1000,
        .queue_mark = 1 << 20,
        .body_memory = 1 << 16,
        .connections = 1,
        .tmpdir = "/tmp",
        .server = SERVER,
    };
    CHECK(fw_loop_init(&loop, &config));
    CHECK(fw_monitor_init(&monitor, &loop, 1));
    me = &monitor.baton.players[0];
    CHECK(fw_baton_join(&monitor.baton, me));
    passed_on = 0;
    sigaction(SIGABRT, &action, &usual);
    CHECK(fw_abort_arm(&on_abort, &monitor, SERVER, sizeof SERVER - 1));
}

static void end(void)
{
    fw_abort_disarm(&on_abort);
    CHECK(fw_monitor_reclaim(&monitor, me));
    fw_monitor_drop(&monitor);
    fw_conn_close(&conn);
    peer_close(&client);
    fw_loop_drop(&loop);
    sigaction(SIGABRT, &usual, NULL);
}

/* The connection in state APP with this request; fds[0] of the pair is the server's. */
static void serve(int fds[2], const char *request)
{
    client = (struct peer){.fd = fds[1]};
    fw_conn_open(&conn, &loop.env, fds[0]);
    CHECK_EQUAL(peer_write(&client, request, strlen(request)), strlen(request));
    CHECK_EQUAL(fw_conn_step(&conn), FW_NEED_SERVE);
    fw_conn_serve(&conn);
}

static void serve_get(void)
{
    int fds[2];
    pair_unix(fds, 0);
    serve(fds, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

/* Another process sends SIGABRT; it has been handled when this returns. */
static void abort_from_elsewhere(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        kill(getppid(), SIGABRT);
        _exit(0);
    }
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    CHECK_EQUAL(status, 0);
}

/* Reads all that has come, which must be the one answer. */
static void client_has_504(bool to_head)
{
    struct answer answer = {0};
    peer_read(&client);
    CHECK(client.ended);
    CHECK_EQUAL(answer_read(&answer, client.got.data, client.got.len, to_head, true), client.got.len);
    CHECK_EQUAL(answer.status, 504);
    CHECK(answer.close && answer.served && !answer.dated);
    CHECK(text_is(&answer.body, to_head ? "" : "504 Gateway Timeout: application did not answer in time\n"));
    answer_drop(&answer);
}

static void client_has(const char *text)
{
    peer_read(&client);
    CHECK(text_is(&client.got, text));
}

static void respond(const char *block)
{
    CHECK_EQUAL(fw_resp_status(&conn.resp, &conn.out, &loop.env.blocks, "200 OK", 6), FW_OK);
    CHECK_EQUAL(fw_conn_begin(&conn, -1), FW_OK);
    (void)fw_conn_write(&conn, block, strlen(block));
    (void)fw_conn_push(&conn);
}

static void a_stuck_call_is_answered(void)
{
    begin();
    serve_get();
    fw_abort_lend(me, &conn);
    abort_from_elsewhere();
    client_has_504(false);
    CHECK_EQUAL(passed_on, 1);
    CHECK(me->told);
    CHECK_EQUAL(conn.error, FW_E_APP_TIMEOUT);
    end();
}

static void an_answer_to_head_has_no_body(void)
{
    int fds[2];
    begin();
    pair_unix(fds, 0);
    serve(fds, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    fw_abort_lend(me, &conn);
    abort_from_elsewhere();
    client_has_504(true);
    end();
}

static void what_the_application_gives_afterwards_goes_nowhere(void)
{
    begin();
    serve_get();
    fw_abort_lend(me, &conn);
    abort_from_elsewhere();
    fw_abort_back(me);
    respond("late");
    CHECK_EQUAL(fw_resp_finish(&conn.resp, &conn.out, &loop.env.blocks), FW_OK);
    fw_conn_answered(&conn);
    CHECK_EQUAL(fw_conn_step(&conn), FW_NEED_CLOSE);
    fw_conn_close(&conn);
    client_has_504(false);
    CHECK(!client.reset);
    end();
}

static void a_late_body_that_ends_by_closing_resets_nothing(void)
{
    int fds[2];
    begin();
    pair_tcp(fds, 0);
    serve(fds, "GET / HTTP/1.0\r\n\r\n");
    fw_abort_lend(me, &conn);
    abort_from_elsewhere();
    fw_abort_back(me);
    respond("late");
    CHECK_EQUAL(conn.resp.framing, FW_RESP_TO_CLOSE);
    fw_conn_close(&conn);
    client_has_504(false);
    CHECK(!client.reset && !conn.reset);
    end();
}

static void a_head_that_was_begun_is_not_sent(void)
{
    begin();
    serve_get();
    CHECK_EQUAL(fw_resp_status(&conn.resp, &conn.out, &loop.env.blocks, "200 OK", 6), FW_OK);
    fw_abort_lend(me, &conn);
    abort_from_elsewhere();
    client_has_504(false);
    end();
}

/* With or without the monitor having them; `blocked`: the client had not read, but has by now. */
static void earlier_answers_go_first(bool offered, bool blocked)
{
    static const char earlier[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    begin();
    serve_get();
    CHECK(fw_buf_append(&conn.out, &loop.env.blocks, earlier, sizeof earlier - 1));
    conn.blocked = blocked;
    if (offered)
        fw_monitor_offer(&monitor, me, &conn);
    fw_abort_lend(me, &conn);
    abort_from_elsewhere();
    peer_read(&client);
    CHECK(client.got.len > sizeof earlier && memcmp(client.got.data, earlier, sizeof earlier - 1) == 0);
    text_take(&client.got, sizeof earlier - 1);
    client_has_504(false);
    end();
}

static void earlier_answers_that_wait_go_first(void)
{
    earlier_answers_go_first(false, false);
    earlier_answers_go_first(false, true);
}

static void earlier_answers_on_offer_go_first(void)
{
    earlier_answers_go_first(true, false);
}

static void answers_of_others_on_offer_are_sent(void)
{
    static struct fw_conn other;
    int fds[2];
    begin();
    serve_get();
    pair_unix(fds, 0);
    fw_conn_open(&other, &loop.env, fds[0]);
    CHECK(fw_buf_append(&other.out, &loop.env.blocks, "answer", 6));
    fw_queue_append(&loop, &other, FW_QUEUE_GIVEN); /* on offer, to a monitor that does not come to it */
    atomic_store(&monitor.baton.hand, FW_HAND_OFFERED);
    fw_abort_lend(me, &conn);
    abort_from_elsewhere();
    struct peer second = {.fd = fds[1]};
    peer_read(&second);
    CHECK(text_is(&second.got, "answer"));
    client_has_504(false);
    fw_queue_remove(&loop, &other);
    fw_conn_close(&other);
    peer_close(&second);
    end();
}

static void a_client_that_does_not_read_gets_none(void)
{
    int fds[2];
    static char block[1 << 20];
    begin();
    pair_unix(fds, 4096);
    serve(fds, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(fw_buf_append(&conn.out, &loop.env.blocks, block,
                        sizeof block)); /* as if answers before it were as long */
    fw_abort_lend(me, &conn);
    abort_from_elsewhere();
    CHECK(conn.blocked && conn.error == FW_OK && fw_conn_waits(&conn));
    CHECK_EQUAL(passed_on, 1);
    end();
}

/* In a hook that is called behind it. */
static void what_is_answered_is_not_answered_again(void)
{
    struct answer answer = {0};
    begin();
    serve_get();
    fw_conn_refuse(&conn, FW_E_APP_FAILED);
    fw_abort_lend(me, &conn);
    abort_from_elsewhere();
    peer_read(&client);
    CHECK_EQUAL(answer_read(&answer, client.got.data, client.got.len, false, false), client.got.len);
    CHECK_EQUAL(answer.status, 500);
    CHECK(me->told && conn.error == FW_OK);
    answer_drop(&answer);
    end();
}

static void part_of_an_answer_stays_what_it_is(void)
{
    begin();
    serve_get();
    respond("part");
    peer_read(&client);
    size_t len = client.got.len;
    CHECK(len > 0);
    fw_abort_lend(me, &conn);
    abort_from_elsewhere();
    peer_read(&client);
    CHECK_EQUAL(client.got.len, len);
    CHECK(me->told && conn.error == FW_OK && passed_on == 1);
    end();
}

static void part_of_a_body_that_ends_by_closing_is_torn(void)
{
    int fds[2];
    begin();
    pair_tcp(fds, 0);
    serve(fds, "GET / HTTP/1.0\r\n\r\n");
    respond("part");
    fw_abort_lend(me, &conn);
    abort_from_elsewhere();
    close(conn.fd); /* as the end of the process does */
    conn.fd = -1;
    peer_read(&client);
    CHECK(client.reset && !client.ended);
    end();
}

static void the_core_is_not_interrupted(void)
{
    begin();
    serve_get();
    abort_from_elsewhere(); /* not yet lent */
    fw_abort_lend(me, &conn);
    fw_abort_back(me);
    abort_from_elsewhere(); /* no more */
    client_has("");
    CHECK(!client.ended);
    CHECK_EQUAL(passed_on, 2);
    CHECK(me->told && conn.error == FW_OK);
    end();
}

static void a_crash_is_no_timeout(void)
{
    begin();
    serve_get();
    fw_abort_lend(me, &conn);
    raise(SIGABRT);
    kill(getpid(), SIGABRT);
    client_has("");
    CHECK_EQUAL(passed_on, 2);
    CHECK(!me->told);
    end();
}

static void a_forked_child_answers_nobody(void)
{
    begin();
    serve_get();
    fw_abort_lend(me, &conn);
    int ready[2];
    CHECK(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ready[1]);
        char byte;
        while (read(ready[0], &byte, 1) < 0 && errno == EINTR) /* until it is sent and handled */
            ;
        _exit(passed_on == 1 ? 0 : 1);
    }
    kill(pid, SIGABRT);
    close(ready[1]);
    int status = -1;
    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
    CHECK_EQUAL(status, 0);
    close(ready[0]);
    client_has("");
    CHECK(!me->told);
    end();
}

/* The thread that serves is asked, whichever the kernel chose. */
static void *stuck_elsewhere(void *pipe_read)
{
    char byte;
    CHECK(fw_baton_join(&monitor.baton, me)); /* this thread serves now */
    serve_get();
    fw_abort_lend(me, &conn);
    while (!atomic_load(&me->told))
        if (read(*(int *)pipe_read, &byte, 1) == 0)
            break;
    return NULL;
}

static void another_thread_passes_it_on(void)
{
    pthread_t thread;
    int stuck[2];
    begin();
    CHECK(pipe(stuck) == 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, stuck_elsewhere, &stuck[0]), 0);
    while (atomic_load(&me->lent) == NULL)
        sched_yield();
    abort_from_elsewhere();
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    client_has_504(false);
    CHECK_EQUAL(passed_on, 1);
    close(stuck[0]);
    close(stuck[1]);
    end();
}

static void there_is_one_in_a_process(void)
{
    static struct fw_abort another;
    struct sigaction now;
    begin();
    serve_get();
    errno = 0;
    CHECK(!fw_abort_arm(&another, &monitor, SERVER, sizeof SERVER - 1));
    CHECK_EQUAL(errno, EBUSY);
    fw_abort_disarm(&another);
    abort_from_elsewhere();
    CHECK(me->told);
    fw_abort_disarm(&on_abort);
    CHECK(sigaction(SIGABRT, NULL, &now) == 0 && now.sa_handler == before);
    CHECK(fw_abort_arm(&another, &monitor, SERVER, sizeof SERVER - 1));
    fw_abort_disarm(&another);
    end();
}

static void a_server_name_that_does_not_fit(void)
{
    static struct fw_abort another;
    static char server[1000];
    memset(server, 'x', sizeof server);
    memcpy(server, "Server: ", 8);
    memcpy(server + sizeof server - 2, "\r\n", 2);
    CHECK(!fw_abort_arm(&another, &monitor, server, sizeof server));
    CHECK(fw_abort_arm(&another, &monitor, SERVER, sizeof SERVER - 1));
    fw_abort_disarm(&another);
}

static const struct fw_test tests[] = {
    {"a_stuck_call_is_answered", a_stuck_call_is_answered},
    {"an_answer_to_head_has_no_body", an_answer_to_head_has_no_body},
    {"what_the_application_gives_afterwards_goes_nowhere",
     what_the_application_gives_afterwards_goes_nowhere},
    {"a_late_body_that_ends_by_closing_resets_nothing", a_late_body_that_ends_by_closing_resets_nothing},
    {"a_head_that_was_begun_is_not_sent", a_head_that_was_begun_is_not_sent},
    {"earlier_answers_that_wait_go_first", earlier_answers_that_wait_go_first},
    {"earlier_answers_on_offer_go_first", earlier_answers_on_offer_go_first},
    {"answers_of_others_on_offer_are_sent", answers_of_others_on_offer_are_sent},
    {"a_client_that_does_not_read_gets_none", a_client_that_does_not_read_gets_none},
    {"what_is_answered_is_not_answered_again", what_is_answered_is_not_answered_again},
    {"part_of_an_answer_stays_what_it_is", part_of_an_answer_stays_what_it_is},
    {"part_of_a_body_that_ends_by_closing_is_torn", part_of_a_body_that_ends_by_closing_is_torn},
    {"the_core_is_not_interrupted", the_core_is_not_interrupted},
    {"a_crash_is_no_timeout", a_crash_is_no_timeout},
    {"a_forked_child_answers_nobody", a_forked_child_answers_nobody},
    {"another_thread_passes_it_on", another_thread_passes_it_on},
    {"there_is_one_in_a_process", there_is_one_in_a_process},
    {"a_server_name_that_does_not_fit", a_server_name_that_does_not_fit},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
