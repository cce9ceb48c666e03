/* pace: a loader of keep-alive connections that says what became of each request.
 *
 *     pace PORT CONNECTIONS SECONDS RATE SLOW [PIDS]
 *
 * RATE requests a second, each when it is due, whether or not earlier ones are answered, on an idle
 * connection chosen at random; its latency counts from when it was due. RATE 0: each connection asks again as
 * soon as it is answered. SLOW more connections ask for /slow all the time, and are in no percentile. All
 * connections are opened at once, and asked for once each before the time begins if there is a rate. It ends
 * after SECONDS, at a SIGTERM, or when PIDS different processes have answered: the answers' bodies are the
 * pids of who made them.
 *
 * How late its own requests left is measured as well: a tail that the loader has itself says nothing of the
 * server. With a rate, which keeps it idle most of the time, it asks to run before all others, as clients are
 * elsewhere in life. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS    256
#define DRAIN_NS  3000000000u
#define WORKERS   16384u /* a power of two */
#define RETRY_NS  10000000u
#define SECOND_NS 1000000000u

static const char FAST[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
static const char SLOW[] = "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";

enum state { CLOSED, IDLE, BUSY };

struct conn {
    int fd;
    enum state state;
    bool slow, used; /* used: it has had an answer */
    size_t place;    /* in `idle`, if it is there */
    uint64_t due_ns;
    size_t len;
    char buf[8192];
};

struct times {
    uint32_t *us;
    size_t count, room;
};

struct worker {
    uint32_t pid;
    uint64_t answers;
};

static struct {
    struct sockaddr_in server;
    int poll;
    struct conn *conns, **idle;
    size_t count, idle_count;
    double rate;
    uint64_t begun_ns, end_ns, due, left; /* requests that became due, that were sent */
    bool measured;
    uint64_t answered, failed, closed, refused;
    struct times latency, late, slow;
    struct worker workers[WORKERS];
    uint64_t worker_count;
    uint64_t random;
} all;

static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
    (void)number;
    told_to_end = 1;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void note(struct times *times, uint64_t from_ns, uint64_t to_ns)
{
    if (times->count == times->room) {
        times->room = times->room ? times->room * 2 : 65536;
        times->us = realloc(times->us, times->room * sizeof *times->us);
        if (times->us == NULL)
            die("pace");
    }
    uint64_t us = to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
    times->us[times->count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void note_worker(uint32_t pid)
{
    for (uint32_t at = pid * 2654435761u % WORKERS;; at = (at + 1) % WORKERS) {
        struct worker *worker = &all.workers[at];
        if (worker->pid == 0) {
            if (all.worker_count == WORKERS - 1)
                return;
            worker->pid = pid;
            all.worker_count++;
        }
        if (worker->pid == pid) {
            worker->answers++;
            return;
        }
    }
}

/* xorshift: the same connections in every run */
static size_t any_below(size_t count)
{
    all.random ^= all.random << 13;
    all.random ^= all.random >> 7;
    all.random ^= all.random << 17;
    return (size_t)(all.random % count);
}

static void rest(struct conn *conn, enum state state)
{
    conn->state = state;
    if (conn->slow)
        return;
    conn->place = all.idle_count;
    all.idle[all.idle_count++] = conn;
}

static void take(struct conn *conn)
{
    if (conn->slow)
        return;
    struct conn *last = all.idle[--all.idle_count];
    all.idle[conn->place] = last;
    last->place = conn->place;
}

static void end(struct conn *conn)
{
    close(conn->fd); /* and out of the poller */
    conn->fd = -1;
    conn->used = false;
}

/* Without waiting: the request follows when the connection stands. */
static bool dial(struct conn *conn)
{
    int one = 1;
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        die("socket");
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(conn->fd, (struct sockaddr *)&all.server, sizeof all.server) != 0 && errno != EINPROGRESS) {
        end(conn);
        all.refused++;
        return false;
    }
    return true;
}

static void watch(struct conn *conn, uint32_t what, int operation)
{
    struct epoll_event event = {.events = what | EPOLLRDHUP, .data.ptr = conn};
    if (epoll_ctl(all.poll, operation, conn->fd, &event) != 0)
        die("epoll_ctl");
}

static void ask(struct conn *conn, uint64_t due_ns)
{
    const char *request = conn->slow ? SLOW : FAST;
    size_t len = conn->slow ? sizeof SLOW - 1 : sizeof FAST - 1;
    conn->due_ns = due_ns;
    conn->len = 0;
    conn->state = BUSY;
    if (conn->fd < 0) {
        if (!dial(conn)) {
            all.failed++;
            rest(conn, CLOSED);
            return;
        }
        watch(conn, EPOLLOUT, EPOLL_CTL_ADD);
        return;
    }
    if (send(conn->fd, request, len, MSG_NOSIGNAL) == (ssize_t)len)
        return;
    if (errno == EAGAIN) /* it is not connected yet */
        return;
    all.failed++;
    all.closed++;
    end(conn);
    rest(conn, CLOSED);
}

static void on_connected(struct conn *conn)
{
    int problem = 0;
    socklen_t len = sizeof problem;
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &problem, &len);
    if (problem != 0) {
        all.refused++;
        all.failed++;
        end(conn);
        rest(conn, CLOSED);
        return;
    }
    watch(conn, EPOLLIN, EPOLL_CTL_MOD);
    ask(conn, conn->due_ns);
}

static const char *field(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    return at != NULL ? at + strlen(name) : NULL;
}

static void answered(struct conn *conn, uint32_t pid, bool closes)
{
    uint64_t now = now_ns();
    conn->used = true;
    note_worker(pid);
    if (conn->slow) {
        note(&all.slow, conn->due_ns, now);
    } else {
        all.answered++;
        if (all.measured)
            note(&all.latency, conn->due_ns, now);
    }
    if (closes) {
        all.closed++;
        end(conn);
    }
    rest(conn, closes ? CLOSED : IDLE);
}

/* The answer may be whole. */
static void look(struct conn *conn)
{
    conn->buf[conn->len] = '\0';
    char *end_of_head = strstr(conn->buf, "\r\n\r\n");
    if (end_of_head == NULL)
        return;
    *end_of_head = '\0';
    const char *body = end_of_head + 4, *length = field(conn->buf, "\r\ncontent-length:");
    const char *connection = field(conn->buf, "\r\nconnection:");
    size_t have = conn->len - (size_t)(body - conn->buf);
    bool whole = length != NULL && have >= strtoul(length, NULL, 10);
    bool good = strncmp(conn->buf, "HTTP/1.1 200 ", 13) == 0;
    bool closes = connection != NULL && strncasecmp(connection + strspn(connection, " "), "close", 5) == 0;
    if (good && !whole) {
        *end_of_head = '\r';
        return;
    }
    if (good) {
        answered(conn, (uint32_t)strtoul(body, NULL, 10), closes);
        return;
    }
    all.failed++;
    all.closed++;
    end(conn);
    rest(conn, CLOSED);
}

static void on_readable(struct conn *conn)
{
    ssize_t n = recv(conn->fd, conn->buf + conn->len, sizeof conn->buf - 1 - conn->len, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0 && conn->state == BUSY) {
        conn->len += (size_t)n;
        look(conn);
        return;
    }
    /* the end, or bytes that nobody has asked for */
    all.closed++;
    if (conn->state == BUSY) {
        all.failed++;
        end(conn);
        rest(conn, CLOSED);
        return;
    }
    if (n > 0)
        all.failed++;
    end(conn);
    conn->state = CLOSED; /* and idle as before */
}

/* What is due now; returns when the next will be. */
static uint64_t send_due(bool ending)
{
    uint64_t now = now_ns();
    for (size_t i = 0; i < all.count && !ending; i++) {
        struct conn *conn = &all.conns[i];
        if ((conn->slow || all.rate == 0) && conn->state != BUSY) {
            take(conn);
            ask(conn, now);
            if (conn->state != BUSY) /* not now */
                return now + RETRY_NS;
        }
    }
    if (all.rate == 0)
        return now + SECOND_NS;
    for (;;) {
        uint64_t due_ns = all.begun_ns + (uint64_t)((double)all.left * (double)SECOND_NS / all.rate);
        if (due_ns > now)
            return due_ns;
        if (due_ns >= all.end_ns)
            return now + SECOND_NS;
        if (all.idle_count == 0)
            return now + SECOND_NS; /* the next answer comes first */
        struct conn *conn = all.idle[any_below(all.idle_count)];
        take(conn);
        all.left++;
        now = now_ns();
        note(&all.late, due_ns, now);
        ask(conn, due_ns);
    }
}

static void turn(uint64_t until_ns)
{
    struct epoll_event events[EVENTS];
    uint64_t now = now_ns(), wait_ns = until_ns > now ? until_ns - now : 0;
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / SECOND_NS), .tv_nsec = (long)(wait_ns % SECOND_NS)};
    int n = epoll_pwait2(all.poll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < n; i++) {
        struct conn *conn = events[i].data.ptr;
        if (conn->fd < 0)
            continue;
        if (events[i].events & EPOLLOUT)
            on_connected(conn);
        else
            on_readable(conn);
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
    return (one > other) - (one < other);
}

static void print_times(const char *name, struct times *times)
{
    static const double ranks[] = {0.5, 0.95, 0.99};
    static const char *const names[] = {"p50", "p95", "p99"};
    printf(", \"%s\": {\"count\": %zu", name, times->count);
    if (times->count > 0) {
        qsort(times->us, times->count, sizeof *times->us, by_size);
        for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++)
            printf(", \"%s\": %u", names[i], times->us[(size_t)((double)(times->count - 1) * ranks[i])]);
        printf(", \"max\": %u", times->us[times->count - 1]);
    }
    printf("}");
}

static void print_all(uint64_t seconds_ns)
{
    uint64_t due = all.rate > 0 ? (uint64_t)(all.rate * (double)seconds_ns / 1e9) : 0, open = 0;
    for (size_t i = 0; i < all.count; i++)
        open += all.conns[i].state == BUSY;
    printf("{\"seconds\": %.3f, \"answered\": %llu, \"failed\": %llu, \"closed\": %llu, \"refused\": %llu, "
           "\"unanswered\": %llu",
           (double)seconds_ns / 1e9, (unsigned long long)all.answered, (unsigned long long)all.failed,
           (unsigned long long)all.closed, (unsigned long long)all.refused,
           (unsigned long long)(open + (due > all.left ? due - all.left : 0)));
    print_times("latency_us", &all.latency);
    print_times("late_us", &all.late);
    print_times("slow_us", &all.slow);
    printf(", \"workers\": {");
    const char *comma = "";
    for (size_t i = 0; i < WORKERS; i++)
        if (all.workers[i].pid != 0) {
            printf("%s\"%u\": %llu", comma, all.workers[i].pid, (unsigned long long)all.workers[i].answers);
            comma = ", ";
        }
    printf("}}\n");
}

static bool anybody_busy(void)
{
    for (size_t i = 0; i < all.count; i++)
        if (all.conns[i].state == BUSY)
            return true;
    return false;
}

static void run(uint64_t pids)
{
    uint64_t told_ns = now_ns();
    while (!told_to_end && now_ns() < all.end_ns && (pids == 0 || all.worker_count < pids)) {
        uint64_t next_ns = send_due(false);
        turn(next_ns < all.end_ns ? next_ns : all.end_ns);
        if (now_ns() - told_ns > 5 * (uint64_t)SECOND_NS) {
            told_ns = now_ns();
            fprintf(stderr, "%llu answers of %llu processes, %llu failed, %llu connections closed\n",
                    (unsigned long long)all.answered, (unsigned long long)all.worker_count,
                    (unsigned long long)all.failed, (unsigned long long)all.closed);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fputs("pace PORT CONNECTIONS SECONDS RATE SLOW [PIDS]\n", stderr);
        return 2;
    }
    size_t fast = strtoul(argv[2], NULL, 10);
    all.server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    all.server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    all.count = fast + strtoul(argv[5], NULL, 10);
    all.conns = calloc(all.count, sizeof *all.conns);
    all.idle = calloc(all.count, sizeof(struct conn *));
    all.poll = epoll_create1(EPOLL_CLOEXEC);
    all.random = 88172645463325252u;
    if (all.conns == NULL || all.idle == NULL || all.poll < 0)
        die("pace");
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    prctl(PR_SET_TIMERSLACK, 1);
    for (size_t i = 0; i < all.count; i++) {
        all.conns[i].fd = -1;
        all.conns[i].slow = i >= fast;
        rest(&all.conns[i], CLOSED);
    }
    uint64_t begun_ns = now_ns();
    all.rate = strtod(argv[4], NULL);
    if (all.rate > 0) {
        (void)setpriority(PRIO_PROCESS, 0, -20); /* not a real-time one: those are throttled, for longer */
        while (all.idle_count > 0) {
            struct conn *conn = all.idle[all.idle_count - 1];
            take(conn);
            ask(conn, begun_ns);
            if (all.refused > 0)
                die("connect");
        }
        while (all.answered < fast && now_ns() - begun_ns < 10 * (uint64_t)SECOND_NS)
            turn(now_ns() + SECOND_NS);
    }
    all.measured = true;
    all.begun_ns = now_ns();
    all.end_ns = all.begun_ns + (uint64_t)(strtod(argv[3], NULL) * (double)SECOND_NS);
    run(argc > 6 ? strtoul(argv[6], NULL, 10) : 0);
    uint64_t ended_ns = now_ns();
    if (ended_ns < all.end_ns)
        all.end_ns = ended_ns;
    do {
        (void)send_due(true);
        turn(now_ns() + SECOND_NS / 10);
    } while (anybody_busy() && now_ns() - ended_ns < DRAIN_NS);
    print_all(all.end_ns - all.begun_ns);
    return 0;
}
