/* One connection, whatever its client, its machine and its application do: it makes only the moves that
 * fw_conn.h draws, does not sleep on bytes that have come, hands out the requests that fw_parser finds in the
 * same bytes shown whole, with their bodies; and its client gets their answers, in order, well-formed, each
 * once, or sees that one is not whole. In the end nothing is left open or allocated, and each request has its
 * line in the access log.
 *
 * The input is what the client sends; behind two bytes 0xFF stands what the machine and the application do
 * (wire.h), and where it ends or is missing the last byte of the input and its length decide. */
#define _GNU_SOURCE
#include "fuzz_conn.h"

#include <fcntl.h>
#include <unistd.h>

enum { SIZE_MOST = 8192, MOVES_MOST = 20000, MOVES_CALM = 2000 };

struct play play;
static struct fw_conn conn;
static struct fw_conn_env env;
static struct fw_access access_log;

/* --- what the bytes mean, all shown at once --- */

static void want_all(const uint8_t *data, size_t size)
{
    static struct fw_field fields[FUZZ_FIELDS * 2];
    size_t at = 0;
    if (env.proxy_mode != FW_PROXY_OFF) {
        struct fw_proxy proxy;
        enum fw_proxy_sight sight =
            fw_proxy_look((const char *)data, size, (enum fw_proxy_mode)env.proxy_mode);
        ssize_t n = sight == FW_PROXY_SEES_NONE   ? 0
                    : sight == FW_PROXY_SEES_MORE ? -1
                                                  : fw_proxy_parse((const char *)data, size, sight, &proxy);
        if (sight == FW_PROXY_SEES_MORE || (n == 0 && sight != FW_PROXY_SEES_NONE))
            return;
        if (n < 0) {
            play.want_error = (enum fw_error) - n;
            return;
        }
        at = play.begin = (size_t)n;
    }
    while (at < size && play.want_count < REQUESTS_MOST) {
        struct fw_parser parser;
        struct wanted *wanted = NULL;
        size_t start = at;
        fw_parser_reset(&parser, fields, env.limits.fields);
        for (enum fw_parser_event event = FW_PARSER_MORE; event != FW_PARSER_GOT_END;) {
            size_t used;
            struct fw_span span;
            struct fw_field field;
            const char *buf = (const char *)data + at;
            event = fw_parser_step(&parser, buf, size - at, &env.limits, &used, &span, &field);
            at += used;
            if (event == FW_PARSER_GOT_HEAD) {
                wanted = &play.wanted[play.want_count++];
                *wanted = (struct wanted){.line = (const char *)data + start + parser.head.method.off,
                                          .method_len = parser.head.method.len,
                                          .target = parser.head.target,
                                          .to_head = parser.head.method_id == FW_M_HEAD,
                                          .keep = parser.framing.keep_alive};
                wanted->target.off -= parser.head.method.off;
            } else if (event == FW_PARSER_GOT_DATA) {
                text_add(&wanted->body, buf + span.off, span.len);
            } else if (event == FW_PARSER_MORE || event == FW_PARSER_FAIL) {
                if (event == FW_PARSER_FAIL)
                    play.want_error = (enum fw_error)parser.error;
                play.want_more = event == FW_PARSER_MORE && at < size + (wanted != NULL);
                return;
            }
        }
        wanted->whole = true;
        wanted->end = at;
    }
}

/* --- moves --- */

/* From each state, where one call may lead. */
#define TO(state) (1u << FW_CONN_##state)
static const unsigned by_step[] = {
    [FW_CONN_IDLE] = TO(IDLE) | TO(HEAD) | TO(BODY) | TO(READY) | TO(SENDING) | TO(LINGER),
    [FW_CONN_HEAD] = TO(IDLE) | TO(HEAD) | TO(BODY) | TO(READY) | TO(SENDING) | TO(LINGER),
    [FW_CONN_BODY] = TO(BODY) | TO(READY) | TO(SENDING) | TO(LINGER),
    [FW_CONN_READY] = TO(READY),
    [FW_CONN_APP] = 0,
    [FW_CONN_SENDING] = TO(SENDING) | TO(IDLE) | TO(HEAD) | TO(BODY) | TO(READY) | TO(LINGER),
    [FW_CONN_LINGER] = TO(LINGER),
    [FW_CONN_CLOSED] = TO(CLOSED),
};
static const unsigned by_time[] = {
    [FW_CONN_IDLE] = TO(CLOSED),
    [FW_CONN_HEAD] = TO(SENDING) | TO(CLOSED),
    [FW_CONN_BODY] = TO(SENDING) | TO(CLOSED),
    [FW_CONN_READY] = TO(READY) | TO(CLOSED),
    [FW_CONN_APP] = TO(APP),
    [FW_CONN_SENDING] = TO(CLOSED),
    [FW_CONN_LINGER] = TO(CLOSED),
    [FW_CONN_CLOSED] = TO(CLOSED),
};

static void check_move(const unsigned *legal, uint8_t before)
{
    PROMISE(legal[before] & 1u << conn.state);
    PROMISE(conn.used_len <= fw_buf_live(&conn.in) && conn.head_len <= conn.used_len);
    PROMISE(conn.in.len <= conn.in.cap && conn.out.len <= conn.out.cap);
}

/* Bytes that have come are read, or the poller will tell of them. */
void play_check_awake(void)
{
    PROMISE(conn.readable || wire.edge || wire.arrived == wire.read);
}

static void check_need(enum fw_conn_need need)
{
    switch ((enum fw_conn_state)conn.state) {
    case FW_CONN_IDLE:
        PROMISE(need == FW_NEED_READ || need == FW_NEED_WRITE || need == FW_NEED_CLOSE ||
                need == FW_NEED_AGAIN);
        if (need == FW_NEED_READ) /* an idle connection is its structure, and no more */
            PROMISE(conn.in.data == NULL && conn.out.data == NULL && conn.parser.head.fields == NULL &&
                    conn.body_fd < 0 && conn.file_fd < 0);
        break;
    case FW_CONN_READY:
        PROMISE(need == FW_NEED_SERVE);
        break;
    case FW_CONN_SENDING:
        PROMISE(need == FW_NEED_WRITE || need == FW_NEED_CLOSE);
        break;
    case FW_CONN_LINGER:
        PROMISE(conn.out.data == NULL && conn.parser.head.fields == NULL && conn.body_fd < 0);
        break;
    case FW_CONN_CLOSED:
        PROMISE(need == FW_NEED_CLOSE);
        break;
    case FW_CONN_HEAD:
    case FW_CONN_BODY:
    case FW_CONN_APP:
        break;
    }
    if (need == FW_NEED_READ)
        play_check_awake();
    if (need == FW_NEED_WRITE)
        PROMISE(conn.blocked && wire.room == 0);
}

static enum fw_conn_need step(void)
{
    uint8_t before = conn.state;
    enum fw_conn_need need = fw_conn_step(&conn);
    check_move(by_step, before);
    check_need(need);
    return need;
}

/* Its time is over: as fw_loop does it, which looks once more. */
static enum fw_conn_need expire(void)
{
    uint8_t before = conn.state;
    conn.progress = 0;
    conn.blocked = false;
    conn.readable = true;
    enum fw_conn_need need = step();
    bool moved = before == FW_CONN_HEAD ? conn.state != FW_CONN_HEAD : conn.progress > 0;
    if (moved || (need != FW_NEED_READ && need != FW_NEED_WRITE))
        return need;
    before = conn.state;
    play.timed_out |= (before != FW_CONN_IDLE && before != FW_CONN_LINGER) || wire.arrived < wire.size;
    if (wire_one_in(3) && (before == FW_CONN_BODY || before == FW_CONN_SENDING))
        fw_conn_too_slow(&conn);
    else
        fw_conn_expire(&conn);
    check_move(by_time, before);
    return step();
}

/* The poller tells what it has not told of. */
bool play_poll(void)
{
    bool told = wire.edge;
    conn.readable |= told;
    if (told && wire.ends && wire.arrived == wire.size && wire_choose(2))
        conn.at_end = true; /* it may tell of that as well */
    if (wire.gone && told)
        conn.blocked = false;
    wire.edge = false;
    return told;
}

static enum fw_conn_need wait_to_read(void)
{
    if (!play_poll() && (!wire_arrive() || wire_one_in(40)))
        return expire();
    play_poll();
    return step();
}

static enum fw_conn_need wait_to_write(void)
{
    if (wire_one_in(3))
        wire_arrive();
    play_poll();
    if (!wire.quiet && wire_one_in(20))
        return expire();
    wire_make_room();
    conn.blocked = false;
    return step();
}

static void drive(void)
{
    enum fw_conn_need need = step();
    for (int moves = 0;; moves++) {
        PROMISE(moves < MOVES_MOST);
        wire.quiet |= moves > MOVES_CALM;
        atomic_store(&env.closing, env.closing || wire_one_in(200));
        env.clock.now_ms += wire_choose(3);
        switch (need) {
        case FW_NEED_READ:
            need = wait_to_read();
            break;
        case FW_NEED_WRITE:
            need = wait_to_write();
            break;
        case FW_NEED_AGAIN:
            need = step();
            break;
        case FW_NEED_SERVE:
            PROMISE(play.served < play.want_count);
            fw_conn_serve(&conn);
            PROMISE(conn.state == FW_CONN_APP);
            play_serve(&conn, &play.wanted[play.served++]);
            PROMISE(conn.state == FW_CONN_SENDING || conn.state == FW_CONN_IDLE ||
                    (conn.state == FW_CONN_CLOSED && play.handed));
            need = step();
            break;
        case FW_NEED_CLOSE:
            fw_conn_close(&conn);
            PROMISE(conn.state == FW_CONN_CLOSED);
            return;
        }
    }
}

/* --- the environment --- */

static void prepare(void)
{
    static const struct fw_client peer = {.addr = {.family = FW_FAMILY_4, .bytes = {10, 0, 0, 1}}, .port = 7};
    env = (struct fw_conn_env){
        .limits = fuzz_limits(&wire.choice),
        .timeouts = {10, 10, wire_one_in(8) ? 0 : 10, 10, 10, 0, 0},
        .body_early = wire_choose(3) == 0,
        .body_memory = wire_choose(3) ? 8000 : wire_choose(64),
        .queue_mark = wire_choose(2) ? 100000 : wire_choose(200),
        .tmpdir = "/nonexistent",
        .server = "Server: fuzz\r\n",
        .server_len = 14,
        .proxy_peers = {.all = true},
        .proxy_mode = wire_one_in(8) ? FW_PROXY_AUTO : FW_PROXY_OFF,
        .forwarded = {.proxies = {.all = true},
                      .client = wire_one_in(4) ? FW_N_X_FORWARDED_FOR : FW_N_OTHER,
                      .all_names = wire_choose(2)},
    };
    env.limits.fields = env.limits.fields < FUZZ_FIELDS ? env.limits.fields : FUZZ_FIELDS;
    fw_forwarded_init(&env.forwarded);
    fw_pool_init(&env.blocks, FW_BUF_BLOCK, 2);
    fw_pool_init(&env.fields, (env.limits.fields + 1) * sizeof(struct fw_field), 1);
    fw_clock_update(&env.clock);
    static int null = -1;
    if (null < 0)
        null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (wire_choose(2) && fw_access_init(&access_log, "%(s)s", 5, null, "", 0) == FW_ACCESS_OK)
        env.access = &access_log;
    fw_conn_open(&conn, &env, WIRE_SOCKET);
    fw_conn_meet(&conn, &peer, wire_one_in(4));
    if (wire_one_in(10))
        fuzz_allocs_left = wire_choose(12);
}

/* One line for each request that was served, refused or broken off. */
static void check_lines(void)
{
    const struct fw_sink *sink = &access_log.sink;
    size_t lines = (size_t)sink->lost;
    for (size_t at = sink->off; at < sink->len; at++)
        lines += sink->data[at] == '\n';
    PROMISE(lines == play.served || lines == play.served + 1);
    PROMISE(lines == play.served || play.served == play.given_count + play.handed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *mark = size > 0 ? memmem(data, size, "\xFF\xFF", 2) : NULL;
    size_t sent = mark != NULL ? (size_t)(mark - data) : size;
    const uint8_t *script = mark != NULL ? mark + 2 : data;
    size_t script_len = mark != NULL ? size - sent - 2 : 0;
    sent = sent < SIZE_MOST ? sent : SIZE_MOST;

    wire_begin(data, sent, script, script_len);
    wire.on = false;
    /* seeds mostly end in the same byte */
    wire.choice.state = fuzz_choices(data, size).state + (uint32_t)size * 2654435761u;
    prepare();
    wire.on = true;
    play = (struct play){0};
    play.starved = fuzz_allocs_left != ULONG_MAX;
    want_all(data, sent);
    drive();
    play_check(&env);
    if (env.access != NULL)
        check_lines();
    wire_end();
    fuzz_allocs_left = ULONG_MAX;
    if (env.access != NULL)
        fw_access_drop(&access_log);
    fw_pool_drop(&env.blocks);
    fw_pool_drop(&env.fields);
    PROMISE(fuzz_blocks == 0);
    play_end();
    return 0;
}
