/* Whatever an application hands over, what leaves is one response: the lines that were let through and no
 * others, framed once, with the body that was taken; and what is refused leaves no trace.
 *
 * The input is read as a message: its first line is the status, the lines up to an empty one are fields, what
 * follows are blocks of the body. The bytes 1, 2 and 3 in the head stand for CR, LF and NUL, which an
 * application may hand over and a line of the input cannot hold. Seeds are requests: their first line is
 * refused as a status, and "200 OK" stands in.                                                     */
#define _GNU_SOURCE
#include "fuzz.h"
#include "fw_framing.h"
#include "fw_resp.h"
#include "fw_scan.h"

enum { LINES = 64, BODY_MOST = 8192 };

static char earlier[FW_BUF_BLOCK]; /* answer, which is in front of this one */
static const char SERVER[] = "Server: fuzz\r\n";

struct line {
    char *data; /* as it stands in the buffer, CR LF included */
    size_t len;
    enum fw_name id;
};

/* What was done to one response, and what has to come of it. */
struct run {
    struct fw_resp resp;
    struct fw_buf out;
    struct fw_pool pool;
    struct fuzz_choice choice;
    size_t before; /* bytes of an earlier answer, in front */
    struct line lines[LINES];
    size_t count;
    bool said_close, said_date, said_server, said_length, dropped;
    uint64_t length;
    char body[BODY_MOST]; /* that was taken */
    size_t body_len;
};

static bool is_token_byte(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static bool is_text(const char *data, size_t len)
{
    for (size_t at = 0; at < len; at++)
        if (((uint8_t)data[at] < 0x20 && data[at] != '\t') || data[at] == 0x7F)
            return false;
    return true;
}

static bool is_token(const char *data, size_t len)
{
    for (size_t at = 0; at < len; at++)
        if (!is_token_byte((uint8_t)data[at]))
            return false;
    return len > 0;
}

static bool is_status(const char *data, size_t len)
{
    return len >= 3 && data[0] >= '1' && data[0] <= '9' && data[1] >= '0' && data[1] <= '9' &&
           data[2] >= '0' && data[2] <= '9' && (len == 3 || data[3] == ' ') && is_text(data, len);
}

static bool is_hop_by_hop(enum fw_name id)
{
    static const uint8_t ids[] = {
        FW_N_KEEP_ALIVE, FW_N_PROXY_CONNECTION, FW_N_PROXY_AUTHENTICATE, FW_N_PROXY_AUTHORIZATION,
        FW_N_TE,         FW_N_TRAILER,          FW_N_TRAILERS,           FW_N_TRANSFER_ENCODING,
        FW_N_UPGRADE};
    return memchr(ids, (int)id, sizeof ids) != NULL;
}

/* Remember the line that has just been written; it is the last `len` bytes. */
static void remember(struct run *run, enum fw_name id, size_t len)
{
    run->lines[run->count++] = (struct line){fuzz_copy(run->out.data + run->out.len - len, len), len, id};
}

static void forget(struct run *run)
{
    for (size_t at = 0; at < run->count; at++)
        free(run->lines[at].data);
    run->count = 0;
}

/* The unfinished head is the end of the buffer, and nothing in front of it has moved. */
static void check_head(const struct run *run)
{
    size_t len = 0;
    for (size_t at = 0; at < run->count; at++)
        len += run->lines[at].len;
    PROMISE(run->resp.head_len == len && fw_buf_live(&run->out) == run->before + len);
    if (run->before + len == 0)
        return;
    const char *at = run->out.data + run->out.off;
    PROMISE(memcmp(at, earlier, run->before) == 0);
    at += run->before;
    for (size_t line = 0; line < run->count; at += run->lines[line++].len)
        PROMISE(memcmp(at, run->lines[line].data, run->lines[line].len) == 0);
}

static bool give_status(struct run *run, const char *status, size_t len)
{
    char *exact = fuzz_copy(status, len);
    enum fw_error error = fw_resp_status(&run->resp, &run->out, &run->pool, exact, len);
    free(exact);
    forget(run);
    run->said_close |= !run->resp.keep_alive; /* a head that is taken back does not take that back */
    run->said_date = run->said_server = run->said_length = run->dropped = false;
    PROMISE(error == (is_status(status, len) ? FW_OK : FW_E_APP_STATUS) ||
            (error == FW_E_NO_MEMORY && fuzz_allocs_left == 0));
    if (error == FW_OK)
        remember(run, FW_N_OTHER, 9 + len + (len == 3) + 2);
    check_head(run);
    PROMISE((run->resp.stage == FW_RESP_HEAD) == (error == FW_OK));
    return error == FW_OK;
}

/* What a field has to come to. */
static enum fw_error judge(struct run *run, enum fw_name id, const char *name, size_t name_len,
                           const char *value, size_t value_len, bool *write)
{
    *write = false;
    if (!is_token(name, name_len))
        return FW_E_APP_NAME;
    if (!is_text(value, value_len))
        return FW_E_APP_VALUE;
    if (id == FW_N_CONTENT_LENGTH) {
        uint64_t length = 0;
        bool number = value_len > 0 && value_len < 20;
        for (size_t at = 0; at < value_len; at++) {
            number &= value[at] >= '0' && value[at] <= '9';
            length = length * 10 + (uint64_t)(value[at] - '0');
        }
        if (!number || length > INT64_MAX || (run->said_length && run->length != length))
            return FW_E_APP_LENGTH;
        *write = !run->said_length && run->resp.status >= 200 && run->resp.status != 204;
        run->said_length = true;
        run->length = length;
        return FW_OK;
    }
    *write = id != FW_N_CONNECTION && !is_hop_by_hop(id);
    run->said_date |= id == FW_N_DATE;
    run->said_server |= id == FW_N_SERVER;
    return FW_OK;
}

static bool give_field(struct run *run, const char *name, size_t name_len, const char *value,
                       size_t value_len)
{
    size_t trimmed = value_len, from = 0;
    while (from < trimmed && (value[from] == ' ' || value[from] == '\t'))
        from++;
    while (trimmed > from && (value[trimmed - 1] == ' ' || value[trimmed - 1] == '\t'))
        trimmed--;
    trimmed -= from;
    bool write, kept = run->resp.keep_alive;
    enum fw_name id = fw_name_find(name, name_len);
    enum fw_error want = judge(run, id, name, name_len, value + from, trimmed, &write);
    if (want == FW_OK && !is_text(value, value_len))
        want = FW_E_APP_VALUE;
    char *exact_name = fuzz_copy(name, name_len), *exact_value = fuzz_copy(value, value_len);
    enum fw_error error =
        fw_resp_field(&run->resp, &run->out, &run->pool, exact_name, name_len, exact_value, value_len);
    free(exact_name);
    free(exact_value);
    PROMISE(error == want || (error == FW_E_NO_MEMORY && fuzz_allocs_left == 0));
    if (error == FW_OK && write)
        remember(run, id, name_len + 2 + trimmed + 2);
    check_head(run);
    if (error == FW_OK && write) {
        const struct line *line = &run->lines[run->count - 1];
        PROMISE(memcmp(line->data, name, name_len) == 0 && memcmp(line->data + name_len, ": ", 2) == 0 &&
                memcmp(line->data + name_len + 2, value + from, trimmed) == 0 &&
                memcmp(line->data + line->len - 2, "\r\n", 2) == 0);
    }
    if (error == FW_OK && id == FW_N_CONNECTION)
        run->said_close |= fw_framing_has_token(value + from, trimmed, "close", 5);
    else
        PROMISE(run->resp.keep_alive == kept);
    PROMISE(run->resp.keep_alive == !run->said_close);
    return error == FW_OK;
}

/* The same head once more, from the lines that were written: as a gateway does that remembers them. */
static void give_again(struct run *run)
{
    size_t count = run->count;
    struct line lines[LINES];
    memcpy(lines, run->lines, sizeof lines);
    uint16_t status = run->resp.status;
    for (size_t at = 1; at < count; at++)
        if (!fw_resp_repeats(lines[at].id))
            return;
    bool date = run->resp.has_date, server = run->resp.has_server, length = run->resp.has_length;
    if (date || server || length)
        return; /* of a field that was not written */
    PROMISE(fw_resp_status_again(&run->resp, &run->out, &run->pool, lines[0].data, lines[0].len, status) ==
            FW_OK);
    for (size_t at = 1; at < count; at++)
        PROMISE(fw_resp_field_again(&run->resp, &run->out, &run->pool, lines[at].data, lines[at].len) ==
                FW_OK);
    PROMISE(run->resp.status == status && run->resp.stage == FW_RESP_HEAD);
    check_head(run);
}

/* --- what has left --- */

/* The field lines from `at` on, up to the empty line: how many are there, and do they read as they were
 * written? Our own reader of requests, which lets nothing pass, is the judge. */
static size_t read_fields(const char *at, size_t len, struct fw_head *head)
{
    static const char front[] = "GET / HTTP/1.1\r\n";
    char *exact = malloc(sizeof front - 1 + len);
    PROMISE(exact != NULL);
    memcpy(exact, front, sizeof front - 1);
    memcpy(exact + sizeof front - 1, at, len);
    struct fw_limits limits = fw_limits_default();
    limits.line = limits.field_size = 0;
    limits.head = UINT32_MAX;
    ssize_t n = fw_head_parse(exact, sizeof front - 1 + len, 0, &limits, head);
    free(exact);
    PROMISE(n > 0);
    for (uint32_t field = 0; field < head->count; field++) {
        head->fields[field].name.off -= (uint32_t)sizeof front - 1;
        head->fields[field].value.off -= (uint32_t)sizeof front - 1;
    }
    return (size_t)n - (sizeof front - 1);
}

static void check_body(const struct run *run, const char *at, size_t len, bool finished)
{
    switch ((enum fw_resp_framing)run->resp.framing) {
    case FW_RESP_EMPTY:
        PROMISE(len == 0);
        return;
    case FW_RESP_LENGTH:
        PROMISE(run->body_len <= run->resp.length);
        PROMISE(fw_resp_is_short(&run->resp) == (run->body_len < run->resp.length));
        break;
    case FW_RESP_CHUNKED: {
        struct fw_body body;
        struct fw_framing framing = {.kind = FW_BODY_CHUNKED};
        struct fw_limits limits = fw_limits_default();
        struct fw_span data;
        struct fw_field field;
        enum fw_error error;
        enum fw_body_event event;
        size_t read = 0;
        fw_body_begin(&body, &framing);
        do {
            size_t used;
            event = fw_body_feed(&body, at, len, &limits, &used, &data, &field, &error);
            if (event == FW_BODY_DATA) {
                PROMISE(data.len <= run->body_len - read &&
                        memcmp(run->body + read, at + data.off, data.len) == 0);
                read += data.len;
            }
            PROMISE(event != FW_BODY_FIELD && event != FW_BODY_FAIL);
            at += used;
            len -= used;
        } while (event == FW_BODY_DATA);
        PROMISE(read == run->body_len && len == 0 && event == (finished ? FW_BODY_DONE : FW_BODY_MORE));
        return;
    }
    case FW_RESP_TO_CLOSE:
        PROMISE(!run->resp.keep_alive && run->resp.minor == 0);
        break;
    }
    PROMISE(len == run->body_len && memcmp(at, run->body, len) == 0);
}

static void check_all(const struct run *run, bool finished)
{
    static struct fw_field fields[LINES + 8];
    struct fw_head head = {.fields = fields, .room = LINES + 8};
    const char *start = run->out.data + run->out.off + run->before;
    size_t len = fw_buf_live(&run->out) - run->before;
    PROMISE(len >= run->lines[0].len && memcmp(start, run->lines[0].data, run->lines[0].len) == 0);
    const char *at = start + run->lines[0].len;
    size_t left = len - run->lines[0].len, n = read_fields(at, left, &head);

    uint32_t lengths = 0, codings = 0, dates = 0, servers = 0, closes = 0, keeps = 0;
    for (uint32_t field = 0; field < head.count; field++) {
        const char *name = at + head.fields[field].name.off, *value = at + head.fields[field].value.off;
        size_t value_len = head.fields[field].value.len;
        if (field + 1 < run->count) { /* the application's stand first, byte for byte */
            const struct line *line = &run->lines[field + 1];
            PROMISE(memcmp(name, line->data, line->len) == 0);
        }
        enum fw_name id = (enum fw_name)head.fields[field].id;
        lengths += id == FW_N_CONTENT_LENGTH;
        codings += id == FW_N_TRANSFER_ENCODING;
        dates += id == FW_N_DATE && field + 1 >= run->count;
        servers += id == FW_N_SERVER && field + 1 >= run->count;
        closes += id == FW_N_CONNECTION && value_len == 5 && memcmp(value, "close", 5) == 0;
        keeps += id == FW_N_CONNECTION && value_len == 10 && memcmp(value, "keep-alive", 10) == 0;
        PROMISE(id != FW_N_CONNECTION || value_len == 5 || value_len == 10);
        PROMISE(id == FW_N_TRANSFER_ENCODING || !is_hop_by_hop(id));
    }
    enum fw_resp_framing framing = (enum fw_resp_framing)run->resp.framing;
    PROMISE(codings == (framing == FW_RESP_CHUNKED) && lengths <= 1 && lengths + codings <= 1);
    PROMISE(framing != FW_RESP_LENGTH || lengths == 1);
    PROMISE(framing != FW_RESP_CHUNKED || run->resp.minor == 1);
    PROMISE(lengths == 0 || (run->resp.status >= 200 && run->resp.status != 204));
    PROMISE(dates == !run->said_date && servers == !run->said_server);
    PROMISE(closes + keeps <= 1 && (closes == 1 || run->resp.keep_alive || fw_resp_is_short(&run->resp)));
    PROMISE(closes == 0 || !run->resp.keep_alive);
    PROMISE(keeps == 0 || run->resp.minor == 0);
    check_body(run, at + n, left - n, finished);
}

/* --- the application --- */

/* Up to the next `stop`, which is taken too. */
static struct fw_span next_piece(const uint8_t *data, size_t size, size_t *at, char stop)
{
    const uint8_t *end = *at < size ? memchr(data + *at, stop, size - *at) : NULL;
    struct fw_span piece = fw_span_of(*at, end != NULL ? (size_t)(end - data) - *at : size - *at);
    *at = fw_span_end(piece) + (end != NULL);
    return piece;
}

/* One line as an application may have it. */
static size_t unescape(const uint8_t *data, struct fw_span piece, char *out)
{
    static const char meant[] = {0, '\r', '\n', '\0'};
    size_t len = piece.len;
    if (len > 0 && data[fw_span_end(piece) - 1] == '\r')
        len--;
    for (size_t at = 0; at < len; at++) {
        uint8_t byte = data[piece.off + at];
        out[at] = byte >= 1 && byte <= 3 ? meant[byte] : (char)byte;
    }
    return len;
}

/* A head from the lines at *at. False: it has none. */
static bool give_head(struct run *run, const uint8_t *data, size_t size, size_t *at, char *line)
{
    size_t len = unescape(data, next_piece(data, size, at, '\n'), line);
    if (!give_status(run, line, len) && !give_status(run, "200 OK", 6))
        return false;
    while (*at < size && run->count < LINES - 1) {
        len = unescape(data, next_piece(data, size, at, '\n'), line);
        if (len == 0)
            break;
        const char *colon = memchr(line, ':', len);
        size_t name_len = colon != NULL ? (size_t)(colon - line) : len;
        size_t value = colon != NULL ? name_len + 1 : len;
        give_field(run, line, name_len, line + value, len - value);
    }
    return true;
}

static bool give_body(struct run *run, const uint8_t *data, size_t size, size_t at)
{
    while (at < size && run->body_len < BODY_MOST) {
        size_t len = 1 + fuzz_choose(&run->choice, fuzz_choose(&run->choice, 2) ? 8 : 500), take;
        len = len < size - at ? len : size - at;
        len = len < BODY_MOST - run->body_len ? len : BODY_MOST - run->body_len;
        if (fuzz_choose(&run->choice, 8) == 0)
            len = 0;
        uint64_t sent = run->resp.sent;
        if (fw_resp_block(&run->resp, &run->out, &run->pool, len, &take) != FW_OK) {
            PROMISE(fuzz_allocs_left == 0);
            return false;
        }
        PROMISE(take <= len && run->resp.sent == sent + take);
        if (run->resp.framing == FW_RESP_CHUNKED || run->resp.framing == FW_RESP_TO_CLOSE)
            PROMISE(take == len);
        memcpy(run->body + run->body_len, data + at, take);
        run->body_len += take;
        at += len;
        if (take > 0 && (!fw_buf_append(&run->out, &run->pool, run->body + run->body_len - take, take) ||
                         fw_resp_block_end(&run->resp, &run->out, &run->pool) != FW_OK)) {
            PROMISE(fuzz_allocs_left == 0);
            return false;
        }
    }
    return true;
}

static void respond(struct run *run, const uint8_t *data, size_t size, char *line)
{
    struct fw_clock clock;
    size_t at = 0;
    fw_clock_date(1795515369, clock.date);
    if (!give_head(run, data, size, &at, line))
        return;
    if (fuzz_choose(&run->choice, 4) == 0 && fuzz_allocs_left != 0)
        give_again(run);
    int64_t known = fuzz_choose(&run->choice, 3) == 0 ? (int64_t)fuzz_choose(&run->choice, 40) : -1;
    size_t live = fw_buf_live(&run->out);
    if (fw_resp_end_head(&run->resp, &run->out, &run->pool, &clock, SERVER, sizeof SERVER - 1, known) !=
        FW_OK) {
        PROMISE(fuzz_allocs_left == 0 && fw_buf_live(&run->out) == live);
        return;
    }
    PROMISE(run->resp.stage == FW_RESP_BODY && run->resp.head_len == 0);
    if (run->said_length && run->resp.framing == FW_RESP_LENGTH)
        PROMISE(run->resp.length == run->length);
    check_all(run, false);
    if (!give_body(run, data, size, at))
        return;
    check_all(run, false);
    bool finished = fw_resp_finish(&run->resp, &run->out, &run->pool) == FW_OK;
    PROMISE(finished ? run->resp.stage == FW_RESP_DONE : fuzz_allocs_left == 0);
    PROMISE(!finished || !fw_resp_is_short(&run->resp) || !run->resp.keep_alive);
    check_all(run, finished);
}

/* An answer of the server's own, for each row of the table that has one. */
static void refuse(struct run *run)
{
    enum fw_error error = (enum fw_error)(1 + fuzz_choose(&run->choice, FW_ERROR_COUNT - 1));
    bool body = fuzz_choose(&run->choice, 2), dated = fuzz_choose(&run->choice, 2);
    struct fw_clock clock;
    fw_clock_date(0, clock.date);
    size_t live = fw_buf_live(&run->out);
    if (fw_error_status(error) == 0)
        return;
    if (fw_resp_refuse(&run->out, &run->pool, dated ? &clock : NULL, SERVER, sizeof SERVER - 1, error,
                       body) != FW_OK) {
        PROMISE(fuzz_allocs_left == 0 && fw_buf_live(&run->out) == live);
        return;
    }
    char want[200];
    const char *at = run->out.data + run->out.off + live;
    size_t left = fw_buf_live(&run->out) - live;
    int n = snprintf(want, sizeof want, "HTTP/1.1 %d %s\r\n", fw_error_status(error),
                     fw_error_reason(fw_error_status(error)));
    PROMISE(left > (size_t)n && memcmp(at, want, (size_t)n) == 0);
    static struct fw_field fields[LINES];
    struct fw_head head = {.fields = fields, .room = LINES};
    size_t head_len = read_fields(at + n, left - (size_t)n, &head);
    PROMISE(head.count == 4u + dated);
    PROMISE(left - (size_t)n - head_len == (body ? fw_resp_refusal_len(error) : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run *run = calloc(1, sizeof *run);
    char *line = malloc(size + 1);
    PROMISE(run != NULL && line != NULL);
    run->choice = fuzz_choices(data, size);
    fw_pool_init(&run->pool, FW_BUF_BLOCK, 2);
    fw_resp_reset(&run->resp, fuzz_choose(&run->choice, 4) != 0, fuzz_choose(&run->choice, 5) == 0,
                  fuzz_choose(&run->choice, 3) != 0);
    run->said_close = !run->resp.keep_alive;
    if (fuzz_choose(&run->choice, 4) == 0) { /* an earlier answer still waits, most of a block */
        memset(earlier, 'e', sizeof earlier);
        run->before = FW_BUF_BLOCK - 1 - fuzz_choose(&run->choice, 300);
        PROMISE(fw_buf_append(&run->out, &run->pool, earlier, run->before));
        if (fuzz_choose(&run->choice, 2))
            fuzz_allocs_left = fuzz_choose(&run->choice, 3);
    }
    respond(run, data, size, line);
    refuse(run);
    fuzz_allocs_left = ULONG_MAX;
    forget(run);
    fw_buf_release(&run->out, &run->pool);
    fw_pool_drop(&run->pool);
    PROMISE(fuzz_blocks == 0);
    free(line);
    free(run);
    return 0;
}
