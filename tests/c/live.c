/* live: see live.h. */
#define _GNU_SOURCE
#include "live.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct fw_loop loop;
struct fw_loop_config config;
int listeners[LIVE_FAMILIES];
struct peer clients[LIVE_CLIENTS];
size_t client_count;
void (*before_serving)(struct fw_conn *conn);
void (*after_turn)(void);
bool clients_read;

static struct fw_access log_lines;
static int log_fd, descriptors;

void live_configure(void)
{
    fault_reset();
    fault_clock_stop();
    descriptors = fault_descriptors();
    config = (struct fw_loop_config){
        .limits = fw_limits_default(),
        .timeouts = {HEAD_MS, BODY_MS, KEEPALIVE_MS, WRITE_MS, LINGER_MS},
        .body_memory = 8000,
        .queue_mark = 100000,
        .connections = 1000,
        .grace_ms = GRACE_MS,
        .leave_idle_ms = LEAVE_IDLE_MS,
        .tmpdir = "/tmp",
        .server = "Server: test\r\n",
    };
    log_fd = -1;
    client_count = 0;
    before_serving = NULL;
    after_turn = NULL;
    clients_read = true;
    app_while_waiting = NULL;
    app_only_echoes = false;
}

static void close_listeners(void)
{
    for (int family = 0; family < LIVE_FAMILIES; family++)
        close(listeners[family]);
}

bool live_start(void)
{
    bool started = fw_loop_init(&loop, &config);
    for (int family = 0; family < LIVE_FAMILIES; family++)
        listeners[family] = peer_listen((enum peer_family)family);
    if (!started) {
        close_listeners();
        return false;
    }
    for (int family = 0; started && family < LIVE_FAMILIES; family++)
        started = fw_loop_add_listener(&loop, listeners[family], family == PEER_UNIX);
    if (!started) {
        fw_loop_drop(&loop);
        close_listeners();
    }
    return started;
}

void live_stop(void)
{
    while (client_count > 0)
        peer_close(&clients[--client_count]);
    fw_loop_drop(&loop);
    close_listeners();
    if (config.access == &log_lines)
        fw_access_drop(&log_lines);
    if (log_fd >= 0)
        close(log_fd);
    log_fd = -1;
}

void live_log(const char *format, int fd)
{
    if (fd < 0)
        fd = log_fd = memfd_create("log", MFD_CLOEXEC);
    CHECK_EQUAL(fw_access_init(&log_lines, format, strlen(format), fd, "", 0), FW_ACCESS_OK);
    config.access = &log_lines;
}

const char *live_lines(void)
{
    static char written[65536];
    ssize_t n = pread(log_fd, written, sizeof written - 1, 0);
    written[n > 0 ? n : 0] = '\0';
    return written;
}

void live_nothing_is_left(void)
{
    CHECK_EQUAL(fault_blocks(), 0);
    CHECK_EQUAL(fault_descriptors(), descriptors);
}

void live_end(void)
{
    live_stop();
    live_nothing_is_left();
}

void live_turn(void)
{
    struct fw_conn *conn;
    fw_loop_step(&loop);
    while (atomic_load(&loop.stop) != FW_STOP_NOW && (conn = fw_loop_take(&loop)) != NULL) {
        CHECK(conn->state == FW_CONN_APP && conn->queue == FW_QUEUE_NONE);
        CHECK(loop.config.slot == NULL || loop.config.slot->turn % 2 == 1);
        if (before_serving != NULL)
            before_serving(conn);
        app_serve(conn, &loop);
        fw_loop_give(&loop, conn);
    }
    if (after_turn != NULL)
        after_turn();
    for (size_t i = 0; clients_read && i < client_count; i++)
        if (clients[i].fd >= 0)
            peer_read(&clients[i]);
}

void live_turns(int count)
{
    while (count-- > 0)
        live_turn();
}

void live_pass(uint64_t ms)
{
    fault_clock_wait(ms);
    TURN_UNTIL(fault_clock_left() == 0);
    live_turn();
}

struct peer *live_connect(enum peer_family family)
{
    struct peer *client = &clients[client_count++];
    *client = (struct peer){.fd = peer_connect(listeners[family])};
    return client;
}

struct peer *live_accepted(enum peer_family family)
{
    uint32_t before = loop.connections;
    struct peer *client = live_connect(family);
    TURN_UNTIL(loop.connections > before);
    return client;
}

void live_say(struct peer *client, const char *text)
{
    CHECK_EQUAL(peer_write(client, text, strlen(text)), strlen(text));
}

int live_answers(const struct peer *client, int status)
{
    struct answer answer = {0};
    size_t at = 0;
    int count = 0;
    while (at < client->got.len && count >= 0) {
        long n = answer_read(&answer, client->got.data + at, client->got.len - at, false, client->ended);
        at += n > 0 ? (size_t)n : 0;
        count = n > 0 && answer.status == status ? count + 1 : -1;
    }
    answer_drop(&answer);
    return count;
}

int live_only_status(const struct peer *client)
{
    struct answer answer = {0};
    const char *got = client->got.data != NULL ? client->got.data : "";
    long n = answer_read(&answer, got, client->got.len, false, client->ended);
    int status = n > 0 && (size_t)n == client->got.len ? answer.status : -(int)client->got.len;
    answer_drop(&answer);
    return status;
}
