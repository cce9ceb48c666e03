/* Every call of the core that can fail, failed in turn with every error of the table in fault.h, in whole
 * scenarios: afterwards nothing is left, nobody has got a wrong byte, at most one client has suffered, none
 * where the error is one that heals, and whoever comes next is served.
 *
 * Most clients come by unix sockets, where bytes are there as soon as they are written: so a wait in which
 * nothing comes lets the clock go on, and a wake-up that is lost ends in a deadline that a test sees.    */
#define _GNU_SOURCE
#include "faults.h"

#include "fw_access.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PLAYERS = 2, QUIET_MOST = 20, STEP_MS = 500 };

/* --- the runner --- */

struct fault planned;
static unsigned long hits[FAULT_COUNT];

void faults_plan(void)
{
    if (planned.n > 0)
        fault_fail(planned.call, planned.n, 1, planned.error);
}

void faults_over(void)
{
    fault_fail(planned.call, 1, 0, 0);
}

static void fail_each(void (*play)(void), enum fault_call call)
{
    for (int heals = 0; heals < 2; heals++)
        for (const int *error = fault_errors(call, heals); *error != 0; error++) {
            planned = (struct fault){call, *error, 0, heals};
            do {
                planned.n++;
                fw_test_note("%s no. %lu: %s", fault_name(call), planned.n, strerror(*error));
                play();
                hits[call] += fault_was_hit();
            } while (fault_was_hit());
        }
}

void faults_each_of(void (*play)(void), const enum fault_call *calls, size_t count)
{
    planned = (struct fault){.heals = true};
    fw_test_note("nothing fails");
    play();
    for (size_t i = 0; i < count; i++)
        fail_each(play, calls[i]);
}

void faults_each(void (*play)(void))
{
    enum fault_call calls[FAULT_COUNT];
    size_t count = 0;
    planned = (struct fault){.heals = true};
    fw_test_note("nothing fails");
    play();
    for (int call = 0; call < FAULT_COUNT; call++)
        if (fault_calls((enum fault_call)call) > 0)
            calls[count++] = (enum fault_call)call;
    for (size_t i = 0; i < count; i++)
        fail_each(play, calls[i]);
}

/* --- clients, their scripts, and what has to come of them --- */

struct scene {
    void (*set)(void); /* changes to `config` */
    struct script script;
    const char *before; /* what every client sends before its script */
    size_t piece;       /* ... and how much of it before each turn; 0: all */
    enum peer_family family;
    int room; /* SO_SNDBUF of the server's sockets; 0: as it is */
    bool leaves;
    bool cut;           /* no answer is ever whole */
    const char *format; /* of the access log; NULL: there is none */
    int log[2];         /* where to, and where it is read */
};

static struct scene *scene;
static size_t sent[PLAYERS];
static struct fw_access access_log;

static void send_pieces(void)
{
    const struct text *requests = &scene->script.requests;
    for (size_t i = 0; i < PLAYERS; i++) {
        size_t left = requests->len - sent[i];
        size_t piece = scene->piece > 0 && scene->piece < left ? scene->piece : left;
        if (piece > 0)
            sent[i] += peer_write(&clients[i], requests->data + sent[i], piece);
        peer_read(&clients[i]);
    }
    if (scene->family == PEER_UNIX)
        fault_clock_wait(STEP_MS);
}

/* Whole lines of this log, whatever happened to others. */
static size_t count_lines(void)
{
    static char got[1 << 16];
    ssize_t len = scene->log[0] == scene->log[1] ? pread(scene->log[0], got, sizeof got, 0)
                                                 : read(scene->log[0], got, sizeof got);
    size_t count = 0;
    for (char *at = got; len > 0 && at < got + len; count++) {
        char *end = memchr(at, '\n', (size_t)(got + len - at));
        if (end == NULL) /* the last one may be torn */
            break;
        if (end == at || memcmp(end - 1, "$", 1) != 0)
            count--; /* what a failure has left of one, ended by a line break of its own */
        at = end + 1;
    }
    return count;
}

static bool start(void)
{
    live_configure();
    if (scene->set != NULL)
        scene->set();
    faults_plan();
    if (scene->format != NULL) {
        if (fw_access_init(&access_log, scene->format, strlen(scene->format), scene->log[1], "", 0) !=
            FW_ACCESS_OK)
            return false;
        config.access = &access_log;
    }
    if (live_start())
        return true;
    if (scene->format != NULL)
        fw_access_drop(&access_log);
    return false;
}

static void set_room(struct fw_conn *conn)
{
    CHECK_EQUAL(setsockopt(conn->fd, SOL_SOCKET, SO_SNDBUF, &scene->room, sizeof scene->room), 0);
}

static void judge(void)
{
    size_t suffered = 0;
    for (size_t i = 0; i < PLAYERS; i++) {
        struct verdict verdict = script_check(&scene->script, &clients[i]);
        CHECK(!verdict.wrong);
        /* a worker that leaves owes nobody more than the next answer */
        bool is_served = scene->leaves ? verdict.whole > 0 : verdict.whole == scene->script.count;
        suffered += !is_served && !scene->cut;
    }
    CHECK(suffered <= (planned.heals ? 0 : 1));
}

static void serve_another(void)
{
    struct script after = {0};
    faults_over();
    script_add(&after, "POST", "/echo/after", 3000, SCRIPT_PLAIN);
    struct peer *client = live_connect(PEER_UNIX);
    if (scene->before != NULL)
        live_say(client, scene->before);
    live_say(client, after.requests.data);
    uint64_t end_ms = peer_now_ms() + LIVE_GIVE_UP_MS;
    while (script_check(&after, client).whole == 0 && CHECK(peer_now_ms() < end_ms)) {
        fault_clock_wait(STEP_MS); /* the listeners may be at rest */
        live_turn();
    }
    script_drop(&after);
}

static void play(void)
{
    if (!start()) {
        CHECK(fault_was_hit() && !planned.heals);
        live_nothing_is_left();
        return;
    }
    if (scene->room > 0)
        before_serving = set_room;
    for (size_t i = 0; i < PLAYERS; i++) {
        struct peer *client = live_connect(scene->family);
        sent[i] = 0;
        if (scene->before != NULL)
            live_say(client, scene->before);
    }
    app_while_waiting = send_pieces;
    uint64_t end_ms = peer_now_ms() + LIVE_GIVE_UP_MS;
    size_t over = 0, before = 0;
    for (int quiet = 0; over < PLAYERS && CHECK(peer_now_ms() < end_ms); quiet++) {
        send_pieces();
        if (quiet > QUIET_MOST)
            fault_clock_wait(STEP_MS);
        live_turn();
        if (scene->leaves && loop.requests >= scene->script.count && !loop.leaving)
            fw_loop_stop(&loop, FW_STOP_GRACEFUL);
        size_t now = over = 0;
        for (size_t i = 0; i < PLAYERS; i++) {
            over += clients[i].ended || clients[i].reset;
            now += clients[i].got.len + clients[i].ended;
        }
        quiet = now == before ? quiet : 0;
        before = now;
    }
    judge();
    if (scene->leaves) {
        fw_loop_stop(&loop, FW_STOP_GRACEFUL);
        fault_clock_wait(GRACE_MS);
        TURN_UNTIL(fw_loop_done(&loop));
        CHECK_EQUAL(loop.connections, 0);
    } else {
        serve_another();
    }
    live_stop();
    if (scene->format != NULL) {
        size_t lost = access_log.sink.lost;
        fw_access_drop(&access_log);
        size_t count = count_lines();
        CHECK(!planned.heals || count + lost == PLAYERS * scene->script.count + (scene->leaves ? 0 : 1));
    }
    live_nothing_is_left();
}

static void play_each(struct scene *what)
{
    scene = what;
    faults_each(play);
    script_drop(&what->script);
}

#define ADD(...) script_add(&this.script, __VA_ARGS__)

/* --- the scenarios --- */

static void requests_one_by_one(void)
{
    struct scene this = {.family = PEER_UNIX, .piece = 31};
    ADD("GET", "/echo/1", 0, SCRIPT_PLAIN);
    ADD("POST", "/echo/3", 100, SCRIPT_PLAIN);
    ADD("GET", "/close", 0, SCRIPT_PLAIN);
    play_each(&this);
}

static void pipelined_requests(void)
{
    struct scene this = {.family = PEER_UNIX};
    for (int i = 0; i < 12; i++)
        ADD(i == 5   ? "POST"
            : i == 9 ? "HEAD"
                     : "GET",
            i == 7 ? "/large/9000" : "/echo", i == 5 ? 700 : 0, SCRIPT_PLAIN);
    play_each(&this);
}

static void little_memory(void)
{
    config.body_memory = 1000;
}

static void long_bodies(void)
{
    struct scene this = {.family = PEER_UNIX, .set = little_memory, .piece = 2000};
    ADD("POST", "/echo/1", 5000, SCRIPT_CHUNKED | SCRIPT_EXPECT);
    ADD("POST", "/lines", 1100, SCRIPT_PLAIN);
    play_each(&this);
}

static void a_body_whose_file_is_freed_in_pieces(void)
{
    struct scene this = {.family = PEER_UNIX, .set = little_memory};
    ADD("POST", "/empty", 1200000, SCRIPT_PLAIN);
    play_each(&this);
}

static char directory[] = "/tmp/fault-XXXXXX";

static void file_system_without_unnamed_files(void)
{
    little_memory();
    config.tmpdir = directory;
    fault_always(FAULT_open, EOPNOTSUPP);
}

static void empty(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        closedir(dir);
}

static void named_files(void)
{
    struct scene this = {.family = PEER_UNIX, .set = file_system_without_unnamed_files};
    CHECK(mkdtemp(directory) != NULL);
    ADD("POST", "/echo/1", 5000, SCRIPT_PLAIN);
    play_each(&this);
    empty(directory); /* of those that could not be unlinked */
    CHECK_EQUAL(rmdir(directory), 0);
}

static void little_queue(void)
{
    config.queue_mark = 5000;
}

static void streams(void)
{
    struct scene this = {.family = PEER_UNIX, .set = little_queue, .room = 5000};
    ADD("GET", "/stream/3/9000", 0, SCRIPT_PLAIN);
    ADD("GET", "/stream/4/500", 0, SCRIPT_PLAIN);
    ADD("GET", "/large/30000", 0, SCRIPT_PLAIN);
    play_each(&this);
}

static void streams_to_old_clients(void)
{
    struct scene this = {.family = PEER_V4};
    ADD("GET", "/echo", 0, SCRIPT_OLD_KEEP);
    ADD("GET", "/stream/3/9000", 0, SCRIPT_OLD);
    play_each(&this);
}

static void an_application_that_fails(void)
{
    struct scene this = {.family = PEER_V4, .cut = true};
    ADD("GET", "/cut/3000", 0, SCRIPT_OLD);
    play_each(&this);
}

static void files(void)
{
    struct scene this = {.family = PEER_UNIX, .room = 5000};
    ADD("GET", "/file/30000", 0, SCRIPT_PLAIN);
    ADD("GET", "/file/10", 0, SCRIPT_PLAIN);
    play_each(&this);
}

static void no_sendfile(void)
{
    fault_always(FAULT_sendfile, EINVAL);
}

static void files_by_hand(void)
{
    struct scene this = {.family = PEER_UNIX, .room = 5000, .set = no_sendfile};
    ADD("GET", "/file/90000", 0, SCRIPT_PLAIN);
    play_each(&this);
}

static const char schemes[] = "\x11\x05x-forwarded-protohttps";
static const struct fw_network everybody = {4, 0, {0}};

static void proxies(void)
{
    config.proxy_mode = FW_PROXY_AUTO;
    config.proxy_peers = (struct fw_networks){.each = &everybody, .count = 1};
    config.forwarded = (struct fw_forwarded_rules){
        .proxies = {.each = &everybody, .count = 1},
        .schemes = {schemes, sizeof schemes - 1},
        .client = FW_N_X_FORWARDED_FOR,
    };
}

static void clients_of_a_proxy(void)
{
    struct scene this = {
        .family = PEER_UNIX, .set = proxies, .before = "PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n"};
    ADD("GET", "/echo/1", 0, SCRIPT_PLAIN);
    ADD("GET", "/echo/2", 0, SCRIPT_PLAIN);
    play_each(&this);
}

static void early(void)
{
    config.body_early = true;
}

static void bodies_as_they_come(void)
{
    struct scene this = {.family = PEER_UNIX, .set = early, .piece = 2000};
    ADD("POST", "/echo/1", 5000, SCRIPT_PLAIN);
    ADD("POST", "/echo/2", 3000, SCRIPT_CHUNKED | SCRIPT_EXPECT);
    ADD("POST", "/echo/3", 500, SCRIPT_EXPECT);
    play_each(&this);
}

static void log_to(int fd, int read_fd)
{
    struct scene this = {
        .family = PEER_UNIX, .format = "%(h)s %(t)s %(r)s %(s)s %(b)s$", .log = {read_fd, fd}};
    for (int i = 0; i < 3; i++)
        ADD("GET", i == 1 ? "/file/30000" : "/echo", 0, SCRIPT_PLAIN);
    play_each(&this);
}

static void access_log_to_a_pipe(void)
{
    int ends[2];
    CHECK_EQUAL(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    log_to(ends[1], ends[0]);
    close(ends[0]);
    close(ends[1]);
}

static void access_log_to_a_socket(void)
{
    int ends[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    log_to(ends[1], ends[0]);
    close(ends[0]);
    close(ends[1]);
}

static void one_place(void)
{
    config.connections = 1;
}

static void all_places_are_taken(void)
{
    struct scene this = {.family = PEER_UNIX, .set = one_place};
    ADD("GET", "/echo/1", 0, SCRIPT_PLAIN);
    play_each(&this);
}

static void own_listeners(void)
{
    config.own_listeners = true;
}

static void leaving(void)
{
    struct scene this = {.family = PEER_UNIX, .set = own_listeners, .leaves = true, .piece = 40};
    ADD("GET", "/echo/1", 0, SCRIPT_PLAIN);
    ADD("GET", "/echo/2", 0, SCRIPT_PLAIN);
    play_each(&this);
}

/* --- the table --- */

/* What the core calls and test_faults.c does not fail. */
static const struct {
    const char *names, *why;
} not_failed[] = {
    {"memchr memcmp bcmp memcpy memmove memrchr memset strlen snprintf ntohs", "only look at memory"},
    {"inet_ntop inet_pton", "only look at memory; that text is no address is a case of test_addr.c"},
    {"getpid sched_yield", "always succeed"},
    {"ioctl", "of a socket, FIONREAD always succeeds; else no connection would count as on its way"},
    {"pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock pthread_mutex_destroy",
     "always succeed for a mutex of the default kind that is used as it should be"},
    {"pthread_attr_destroy pthread_join pthread_sigmask sigfillset munmap", "fail for wrong arguments only"},
    {"signal raise", "the process is about to end by this signal"},
};

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += len)
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

static const char *const imports[] = {
#include "imports.inc"
};

/* Whoever makes the core call something new has to say here or in fault.h what comes of its failing. */
static void every_import_is_in_the_table(void)
{
    static const char prefix[] = "faulty_";
    for (size_t i = 0; i < COUNT_OF(imports); i++) {
        bool known = strncmp(imports[i], prefix, sizeof prefix - 1) == 0;
        for (size_t j = 0; j < COUNT_OF(not_failed); j++)
            known |= has_word(not_failed[j].names, imports[i]);
        fw_test_note("%s", imports[i]);
        CHECK(known);
    }
    for (int call = FAULT_alloc + 1; call < FAULT_COUNT; call++) {
        bool found = false;
        for (size_t i = 0; i < COUNT_OF(imports); i++)
            found |= strncmp(imports[i], prefix, sizeof prefix - 1) == 0 &&
                     strcmp(imports[i] + sizeof prefix - 1, fault_name((enum fault_call)call)) == 0;
        fw_test_note("%s", fault_name((enum fault_call)call));
        CHECK(found);
    }
}

/* The last test, when all scenarios have been played. */
static void every_row_has_failed_somewhere(void)
{
    for (int call = 0; call < FAULT_COUNT; call++) {
        fw_test_note("%s", fault_name((enum fault_call)call));
        CHECK(hits[call] > 0);
    }
}

static const struct fw_test tests[] = {
    {"every_import_is_in_the_table", every_import_is_in_the_table},
    {"requests_one_by_one", requests_one_by_one},
    {"pipelined_requests", pipelined_requests},
    {"long_bodies", long_bodies},
    {"a_body_whose_file_is_freed_in_pieces", a_body_whose_file_is_freed_in_pieces},
    {"named_files", named_files},
    {"streams", streams},
    {"streams_to_old_clients", streams_to_old_clients},
    {"an_application_that_fails", an_application_that_fails},
    {"files", files},
    {"files_by_hand", files_by_hand},
    {"clients_of_a_proxy", clients_of_a_proxy},
    {"bodies_as_they_come", bodies_as_they_come},
    {"access_log_to_a_pipe", access_log_to_a_pipe},
    {"access_log_to_a_socket", access_log_to_a_socket},
    {"all_places_are_taken", all_places_are_taken},
    {"leaving", leaving},
    {"beginning", faults_beginning},
    {"connections_that_are_passed", faults_share},
    {"interim_answers_and_a_socket_that_is_taken", faults_upgrade},
    {"a_player_that_is_away", faults_away},
    {"threads", faults_threads},
    {"a_call_that_is_told_to_end", faults_abort},
    {"every_row_has_failed_somewhere", every_row_has_failed_somewhere},
};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);         /* as Python does: sendfile has no flag against it */
    setvbuf(stdout, NULL, _IOLBF, 0); /* some fork */
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
