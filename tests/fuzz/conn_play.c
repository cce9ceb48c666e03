/* conn_play: see fuzz_conn.h. */
#include "fuzz_conn.h"

#include <strings.h>
#include <unistd.h>

enum { PIECE = 3000, PIECES = 12 };

/* Something outside of the connection has failed. */
static bool is_calm(void)
{
    return !wire.gone && !wire.failed && !play.timed_out && !play.starved;
}

/* --- the body --- */

static bool read_body(struct fw_conn *conn, const struct wanted *wanted)
{
    char piece[PIECE];
    uint64_t off = 0;
    PROMISE(wanted->whole && conn->body_len == wanted->body.len);
    while (off < conn->body_len) {
        size_t left = (size_t)(conn->body_len - off), most = 1 + wire_choose(wire_choose(2) ? 9 : PIECE);
        const char *want = wanted->body.data + off;
        if (wire_choose(3) == 0) {
            size_t len = fw_conn_body_line(conn, off, most);
            if (len == SIZE_MAX) {
                PROMISE(wire.failed);
                return false;
            }
            most = most < left ? most : left;
            const char *end = memchr(want, '\n', most);
            PROMISE(len == (end != NULL ? (size_t)(end - want) + 1 : most));
        }
        size_t n = fw_conn_body_read(conn, off, piece, most < PIECE ? most : PIECE);
        most = most < left ? most : left;
        PROMISE(n <= most && memcmp(piece, want, n) == 0);
        if (n < most) {
            PROMISE(wire.failed);
            return false;
        }
        off += n;
    }
    PROMISE(fw_conn_body_line(conn, off, 10) == 0 && fw_conn_body_read(conn, off, piece, 10) == 0);
    return true;
}

/* As fw_loop_wait_body(). */
static enum fw_pull wait_body(struct fw_conn *conn)
{
    play_check_awake();
    (void)fw_conn_push(conn);
    bool late = !play_poll() && (!wire_arrive() || wire_one_in(40));
    play_poll();
    if (wire_choose(2)) {
        wire_make_room();
        conn->blocked = false;
    }
    conn->readable |= late;
    enum fw_pull pull = fw_conn_body_pull(conn);
    if (pull == FW_PULL_WAIT && late) {
        play.timed_out = true;
        conn->body_error = FW_E_BODY_TIMEOUT;
        pull = FW_PULL_FAILED;
    }
    return pull;
}

/* False: it is not whole, and conn->body_error says why. */
static bool pull_body(struct fw_conn *conn, const struct wanted *wanted)
{
    char piece[PIECE];
    for (uint64_t off = 0;;) {
        while (off < conn->body_len) {
            size_t n = fw_conn_body_read(conn, off, piece, 1 + wire_choose(PIECE));
            PROMISE(n > 0 && off + n <= wanted->body.len && memcmp(piece, wanted->body.data + off, n) == 0);
            off += n;
        }
        if (wire_one_in(30)) {
            play.left_body = true;
            return true;
        }
        enum fw_pull pull = fw_conn_body_pull(conn);
        while (pull == FW_PULL_WAIT)
            pull = wait_body(conn);
        switch (pull) {
        case FW_PULL_GOT:
            PROMISE(conn->body_len > off && conn->body_start == off);
            break;
        case FW_PULL_END:
            PROMISE(wanted->whole && off == wanted->body.len);
            return true;
        case FW_PULL_WAIT:
        case FW_PULL_FAILED:
            PROMISE(conn->body_error != FW_OK && (!wanted->whole || !is_calm()));
            return false;
        }
    }
}

/* --- the answer --- */

static void refuse(struct fw_conn *conn, struct given *given, enum fw_error error)
{
    given->refusal = error;
    given->status = fw_error_status(error);
    fw_conn_refuse(conn, error);
}

static void cut(struct fw_conn *conn, struct given *given, enum fw_error error)
{
    const struct fw_resp *resp = &conn->resp;
    play.broken_off = true;
    /* what has no body, or has it all, is whole however the application ends */
    given->whole =
        conn->error == FW_OK && resp->stage == FW_RESP_BODY &&
        (resp->framing == FW_RESP_EMPTY || (resp->framing == FW_RESP_LENGTH && !fw_resp_is_short(resp)));
    fw_conn_cut(conn, error);
}

static void hint(struct fw_conn *conn)
{
    struct fw_interim interim;
    if (fw_conn_interim_begin(conn, &interim, "103 Early Hints", 15) == FW_OK &&
        fw_resp_field(&interim.resp, &interim.buf, &conn->env->blocks, "Link", 4, "</a>", 4) == FW_OK)
        (void)fw_conn_interim_send(conn, &interim);
    fw_conn_interim_drop(conn, &interim);
}

/* A head. False: it was refused instead. */
static bool begin(struct fw_conn *conn, struct given *given, const char *status, const char *length,
                  int64_t known)
{
    struct fw_pool *pool = &conn->env->blocks;
    enum fw_error error = FW_OK;
    if (wire_one_in(5)) {
        error = fw_resp_status(&conn->resp, &conn->out, pool, "302 Not This One", 16);
        if (error == FW_OK)
            error = fw_resp_field(&conn->resp, &conn->out, pool, "Location", 8, "/", 1);
    }
    if (error == FW_OK)
        error = fw_resp_status(&conn->resp, &conn->out, pool, status, strlen(status));
    if (error == FW_OK && wire_one_in(6))
        hint(conn);
    if (error == FW_OK && length != NULL)
        error = fw_resp_field(&conn->resp, &conn->out, pool, "Content-Length", 14, length, strlen(length));
    if (error == FW_OK && wire_one_in(10))
        error = fw_resp_field(&conn->resp, &conn->out, pool, "Connection", 10, "close", 5);
    if (error == FW_OK)
        error = fw_conn_begin(conn, known);
    if (error != FW_OK) {
        PROMISE(error == FW_E_NO_MEMORY && play.starved);
        refuse(conn, given, error);
        return false;
    }
    given->status = (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0');
    given->to_close = conn->resp.framing == FW_RESP_TO_CLOSE;
    return true;
}

static void put(struct fw_conn *conn, struct given *given, const char *block, size_t len)
{
    size_t counts = len;
    if (conn->resp.framing == FW_RESP_EMPTY)
        counts = 0;
    if (conn->resp.framing == FW_RESP_LENGTH && conn->resp.length - given->body.len < len)
        counts = (size_t)(conn->resp.length - given->body.len);
    bool failed = conn->error != FW_OK;
    enum fw_error error = fw_conn_write(conn, block, len);
    PROMISE(error == (enum fw_error)conn->error && (!failed || error != FW_OK));
    if (!failed)
        text_add(&given->body, block, counts);
    while (conn->error == FW_OK && fw_conn_full(conn)) { /* as fw_loop_wait_room() */
        (void)fw_conn_push(conn);
        if (conn->error != FW_OK || !fw_conn_full(conn))
            break;
        PROMISE(conn->blocked);
        if (!wire.quiet && wire_one_in(30)) {
            play.timed_out = true;
            fw_conn_expire(conn);
            PROMISE(conn->state == FW_CONN_APP && conn->error == FW_E_WRITE_TIMEOUT);
            break;
        }
        wire_make_room();
        conn->blocked = false;
    }
}

static void finish(struct fw_conn *conn, struct given *given)
{
    if (fw_resp_finish(&conn->resp, &conn->out, &conn->env->blocks) != FW_OK) {
        cut(conn, given, conn->error != FW_OK ? (enum fw_error)conn->error : FW_E_APP_FAILED);
        return;
    }
    given->whole = conn->error == FW_OK && !fw_resp_is_short(&conn->resp);
    play.broken_off |= !given->whole;
    fw_conn_answered(conn);
}

/* Bytes that no two places have in common. */
static const char *made_up(size_t *len)
{
    static char block[20000];
    if (block[0] == 0)
        for (size_t at = 0; at < sizeof block; at++)
            block[at] = (char)('a' + (at * 7 + at / 26) % 26);
    *len = wire_choose(4) == 0   ? 8000 + wire_choose(200) * 60
           : wire_choose(2) == 0 ? wire_choose(200)
                                 : wire_choose(3);
    return block + wire_choose(26);
}

static void give_blocks(struct fw_conn *conn, struct given *given, bool whole)
{
    size_t len;
    for (uint32_t blocks = wire_choose(PIECES); blocks > 0; blocks--) {
        const char *block = made_up(&len);
        put(conn, given, block, len);
        if (wire_choose(3) == 0)
            (void)fw_conn_push(conn);
    }
    if (whole)
        finish(conn, given);
    else
        cut(conn, given, FW_E_APP_FAILED);
}

static void give_file(struct fw_conn *conn, struct given *given)
{
    size_t off = wire_choose(10), len = wire_choose(2) ? wire_choose(200) : 100 * wire_choose(200);
    wire.file_size = off + len - (wire_one_in(10) && len > 0);
    wire.open[WIRE_FILE - WIRE_SOCKET] = true;
    char promised[24];
    snprintf(promised, sizeof promised, "%zu", len / 2 + wire_choose(3));
    bool less = wire_one_in(3);
    if (!begin(conn, given, "200 OK", less ? promised : NULL, less ? -1 : (int64_t)len))
        return;
    uint64_t counts = conn->resp.framing == FW_RESP_LENGTH ? conn->resp.length : 0;
    for (size_t at = 0; at < len && at < counts; at++) {
        char byte = wire_file_byte(off + at);
        text_add(&given->body, &byte, 1);
    }
    (void)fw_conn_sendfile(conn, WIRE_FILE, (off_t)off, len);
    wire.open[WIRE_FILE - WIRE_SOCKET] = false; /* its owner closes it */
    finish(conn, given);
}

/* The socket leaves HTTP. */
static void take_socket(struct fw_conn *conn, const struct wanted *wanted)
{
    struct fw_span behind = fw_conn_behind(conn);
    play.handed = true;
    if (fw_conn_drain(conn) != FW_OK) {
        play.timed_out |= conn->error == FW_E_WRITE_TIMEOUT;
        fw_conn_cut(conn, (enum fw_error)conn->error);
        return;
    }
    PROMISE(wire.sent.len == 0 || !fw_conn_waits(conn));
    PROMISE(behind.len == wire.read - wanted->end);
    if (behind.len > 0)
        PROMISE(memcmp(fw_conn_request(conn) + behind.off, wire.data + wanted->end, behind.len) == 0);
    int fd = fw_conn_hand_over(conn);
    PROMISE(fd == WIRE_SOCKET && wire_is_open(fd));
    bool closes = wire_choose(2);
    if (closes)
        close(fd);
    fw_conn_take_back(conn, closes ? -1 : fd);
}

static void answer(struct fw_conn *conn, struct given *given)
{
    char length[24];
    uint32_t some = wire_choose(300);
    snprintf(length, sizeof length, "%u", some);
    switch (wire_choose(10)) {
    case 0:
        if (begin(conn, given, "204 No Content", NULL, -1))
            finish(conn, given);
        return;
    case 1:
        if (begin(conn, given, "304 Not Modified", wire_choose(2) ? length : NULL, -1))
            finish(conn, given);
        return;
    case 2:
        if (begin(conn, given, "200 OK", length, -1))
            give_blocks(conn, given, true);
        return;
    case 3:
        give_file(conn, given);
        return;
    case 4:
        refuse(conn, given, FW_E_APP_FAILED);
        return;
    case 5:
        if (begin(conn, given, "200 OK", NULL, -1))
            give_blocks(conn, given, false);
        return;
    case 6: {
        size_t len;
        const char *block = made_up(&len);
        if (begin(conn, given, "200 OK", NULL, (int64_t)len)) {
            put(conn, given, block, len);
            finish(conn, given);
        }
        return;
    }
    default:
        if (begin(conn, given, "404 Not Found", NULL, -1))
            give_blocks(conn, given, true);
        return;
    }
}

void play_serve(struct fw_conn *conn, const struct wanted *wanted)
{
    const char *request = fw_conn_request(conn);
    const struct fw_head *head = &conn->parser.head;
    PROMISE(head->target.len == wanted->target.len &&
            memcmp(request + head->target.off, wanted->line + wanted->target.off, wanted->target.len) == 0);
    PROMISE(head->method.len == wanted->method_len);
    if (conn->env->limits.rules & FW_RULE_FOLD_CASE)
        PROMISE(strncasecmp(request + head->method.off, wanted->line, wanted->method_len) == 0);
    else
        PROMISE(memcmp(request + head->method.off, wanted->line, wanted->method_len) == 0);

    bool early = fw_conn_body_is_early(conn);
    if (!early && wire_one_in(12)) {
        take_socket(conn, wanted);
        return;
    }
    struct given *given = &play.given[play.given_count++];
    *given = (struct given){.to_head = wanted->to_head};
    if (wire_one_in(12))
        hint(conn);
    if (wire_choose(4) == 0) {
        play.left_body |= early;
    } else if (early ? !pull_body(conn, wanted) : !read_body(conn, wanted)) {
        enum fw_error error = early ? (enum fw_error)conn->body_error : FW_E_APP_FAILED;
        if (fw_error_status(error) != 0)
            refuse(conn, given, error);
        else
            cut(conn, given, error);
        return;
    }
    answer(conn, given);
}

/* --- what the client has --- */

static bool is_given(const struct answer *answer, const struct given *given)
{
    if (answer->status != given->status)
        return false;
    if (given->refusal != FW_OK)
        return answer->close && (given->to_head || answer->body.len == fw_resp_refusal_len(given->refusal));
    return given->whole && answer->body.len == given->body.len &&
           memcmp(answer->body.data, given->body.len > 0 ? given->body.data : "", given->body.len) == 0;
}

/* Of an answer that is not whole: what there is of its body is the beginning of what was given. */
static void check_torn(const struct answer *answer, const struct given *given)
{
    PROMISE(given != NULL && (!is_calm() || !given->whole || play.broken_off));
    if (answer->status == given->status && given->refusal == FW_OK)
        PROMISE(answer->body.len <= given->body.len &&
                memcmp(answer->body.data, given->body.len > 0 ? given->body.data : "", answer->body.len) ==
                    0);
    if (given->to_close) /* else its end would look like the body's */
        PROMISE(wire.dropped || wire.gone);
}

/* Did the server itself refuse, and so, if `status` is not 0? What it has refused is the first that it noted:
 * what it notes behind that is how its answer ended. */
static bool was_refused(const struct fw_refusals *refusals, int status)
{
    return refusals->count > 0 &&
           (status == 0 || fw_error_status((enum fw_error)refusals->each[0].error) == status);
}

/* Is it a HEAD request, or meant as one, that comes behind those that were served? */
static bool is_head_next(void)
{
    size_t at = play.served > 0 ? play.wanted[play.served - 1].end : play.begin;
    while (at < wire.size && (wire.data[at] == '\r' || wire.data[at] == '\n'))
        at++;
    return wire.size - at >= 4 && strncasecmp((const char *)wire.data + at, "HEAD", 4) == 0;
}

void play_check(const struct fw_conn_env *env)
{
    struct answer got = {0};
    const struct fw_refusals *refusals = &env->refusals;
    size_t at = 0, next = 0;
    bool last = false, refused = false, in_order = !wire.dropped && !wire.gone;
    while (at < wire.sent.len) {
        const struct given *given = next < play.given_count ? &play.given[next] : NULL;
        const char *from = wire.sent.data + at;
        size_t len = wire.sent.len - at;
        bool to_head = given != NULL && given->to_head;
        PROMISE(!last && !refused);
        long n = answer_read(&got, from, len, to_head, false);
        if (n == 0 && given != NULL && given->to_close && in_order)
            n = answer_read(&got, from, len, to_head, true);
        if (n == 0 && given == NULL && is_head_next() &&
            answer_read(&got, from, len, true, false) == (long)len)
            n = (long)len; /* if it was known to be one before it was refused */
        PROMISE(n >= 0);
        if (n == 0) {
            if (given != NULL || is_calm())
                check_torn(&got, given);
            break;
        }
        at += (size_t)n;
        if (got.status / 100 == 1)
            continue;
        if (given != NULL && is_given(&got, given)) {
            PROMISE(got.close || play.wanted[next + play.handed].keep || given->refusal != FW_OK ||
                    play.handed);
            last = got.close;
            next++;
            continue;
        }
        PROMISE(got.close && (given == NULL || !given->whole) && was_refused(refusals, got.status));
        refused = true;
    }
    answer_drop(&got);
    if (!is_calm() || play.handed || play.broken_off || play.left_body || atomic_load(&env->closing))
        return;
    /* nothing has gone wrong: all that was asked is answered, up to where the connection had to end */
    PROMISE(next == play.given_count && at == wire.sent.len);
    if (last)
        return;
    size_t whole = 0;
    while (whole < play.want_count && play.wanted[whole].whole)
        whole++;
    PROMISE(next >= whole);
    if (play.want_error != FW_OK && fw_error_status(play.want_error) != 0)
        PROMISE(refused && refusals->each[0].error == play.want_error);
}

void play_end(void)
{
    for (size_t at = 0; at < play.want_count; at++)
        text_drop(&play.wanted[at].body);
    for (size_t at = 0; at < play.given_count; at++)
        text_drop(&play.given[at].body);
}
