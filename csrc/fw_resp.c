#include "fw_resp.h"

#include "fw_framing.h"
#include "fw_scan.h"

#include <string.h>

void fw_resp_reset(struct fw_resp *resp, unsigned minor, bool to_head, bool keep_alive)
{
    *resp = (struct fw_resp){.minor = (uint8_t)minor, .to_head = to_head, .keep_alive = keep_alive};
}

/* Only after a reserve. */
static void put(struct fw_buf *out, const char *data, size_t len)
{
    assert(out->cap - out->len >= len);
    memcpy(out->data + out->len, data, len);
    out->len += len;
}

static size_t decimal(uint64_t number, char out[20])
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

void fw_resp_discard(struct fw_resp *resp, struct fw_buf *out)
{
    assert(resp->stage == FW_RESP_HEAD || resp->head_len == 0);
    out->len -= resp->head_len;
    bool keep_alive = resp->keep_alive;
    fw_resp_reset(resp, resp->minor, resp->to_head, keep_alive);
}

/* RFC 9110 section 15: three digits; the reason is for people and may be missing, its space may not. */
enum fw_error fw_resp_status(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool,
                             const char *status, size_t len)
{
    fw_resp_discard(resp, out);
    if (len < 3 || !(fw_scan_class[(uint8_t)status[0]] & fw_scan_class[(uint8_t)status[1]] &
                     fw_scan_class[(uint8_t)status[2]] & FW_C_DIGIT))
        return FW_E_APP_STATUS;
    if (status[0] == '0' || (len > 3 && status[3] != ' ') || fw_scan_value(status, len) != len)
        return FW_E_APP_STATUS;
    if (!fw_buf_reserve(out, pool, len + 12))
        return FW_E_NO_MEMORY;
    size_t start = out->len;
    put(out, "HTTP/1.1 ", 9);
    put(out, status, len);
    if (len == 3)
        put(out, " ", 1);
    put(out, "\r\n", 2);
    resp->head_len = out->len - start;
    resp->status = (uint16_t)((status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0'));
    resp->stage = FW_RESP_HEAD;
    return FW_OK;
}

enum fw_error fw_resp_status_again(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool,
                                   const char *line, size_t len, uint16_t status)
{
    fw_resp_discard(resp, out);
    if (!fw_buf_append(out, pool, line, len))
        return FW_E_NO_MEMORY;
    resp->head_len = len;
    resp->status = status;
    resp->stage = FW_RESP_HEAD;
    return FW_OK;
}

static bool may_have_length(const struct fw_resp *resp)
{
    return resp->status >= 200 && resp->status != 204;
}

/* What a field means to the framing. *write says whether it goes out. */
static enum fw_error take_field(struct fw_resp *resp, enum fw_name id, const char *value, size_t len,
                                bool *write)
{
    uint64_t length;
    *write = true;
    switch (id) {
    case FW_N_CONTENT_LENGTH:
        if (!fw_framing_length(value, len, &length) || (resp->has_length && resp->length != length))
            return FW_E_APP_LENGTH;
        *write = !resp->has_length && may_have_length(resp);
        resp->has_length = true;
        resp->length = length;
        return FW_OK;
    case FW_N_DATE:
        resp->has_date = true;
        return FW_OK;
    case FW_N_SERVER:
        resp->has_server = true;
        return FW_OK;
    case FW_N_CONNECTION:
        *write = false;
        if (fw_framing_has_token(value, len, "close", 5))
            resp->keep_alive = false;
        else
            resp->dropped = true;
        return FW_OK;
    case FW_N_KEEP_ALIVE:
    case FW_N_PROXY_CONNECTION:
    case FW_N_PROXY_AUTHENTICATE:
    case FW_N_PROXY_AUTHORIZATION:
    case FW_N_TE:
    case FW_N_TRAILER:
    case FW_N_TRAILERS: /* which PEP 3333 means by way of RFC 2616 */
    case FW_N_TRANSFER_ENCODING:
    case FW_N_UPGRADE:
        *write = false;
        resp->dropped = true;
        return FW_OK;
    default:
        return FW_OK;
    }
}

/* Those that take_field() has nothing to say about. */
bool fw_resp_repeats(enum fw_name id)
{
    struct fw_resp none = {.stage = FW_RESP_HEAD};
    bool write;
    return take_field(&none, id, "", 0, &write) == FW_OK && write && !none.has_date && !none.has_server;
}

enum fw_error fw_resp_field_again(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool,
                                  const char *line, size_t len)
{
    assert(resp->stage == FW_RESP_HEAD);
    if (!fw_buf_append(out, pool, line, len))
        return FW_E_NO_MEMORY;
    resp->head_len += len;
    return FW_OK;
}

int fw_resp_name(const char *name, size_t len)
{
    if (len == 0 || fw_scan_token(name, len) != len)
        return -(int)FW_E_APP_NAME;
    return (int)fw_name_find(name, len);
}

enum fw_error fw_resp_named_field(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool,
                                  enum fw_name id, const char *name, size_t name_len, const char *value,
                                  size_t value_len)
{
    assert(resp->stage == FW_RESP_HEAD);
    if (fw_scan_value(value, value_len) != value_len)
        return FW_E_APP_VALUE;
    while (value_len > 0 && (value[0] == ' ' || value[0] == '\t')) {
        value++;
        value_len--;
    }
    while (value_len > 0 && (value[value_len - 1] == ' ' || value[value_len - 1] == '\t'))
        value_len--;
    bool write;
    enum fw_error error = take_field(resp, id, value, value_len, &write);
    if (error != FW_OK || !write)
        return error;
    if (value_len > FW_SPAN_MAX - name_len - 4 || !fw_buf_reserve(out, pool, name_len + value_len + 4))
        return FW_E_NO_MEMORY;
    put(out, name, name_len);
    put(out, ": ", 2);
    put(out, value, value_len);
    put(out, "\r\n", 2);
    resp->head_len += name_len + value_len + 4;
    return FW_OK;
}

enum fw_error fw_resp_field(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool, const char *name,
                            size_t name_len, const char *value, size_t value_len)
{
    int id = fw_resp_name(name, name_len);
    if (id < 0)
        return (enum fw_error) - id;
    return fw_resp_named_field(resp, out, pool, (enum fw_name)id, name, name_len, value, value_len);
}

/* RFC 9112 section 6.3, seen from the sender. */
static enum fw_resp_framing framing_of(const struct fw_resp *resp)
{
    if (resp->to_head || resp->status < 200 || resp->status == 204 || resp->status == 304)
        return FW_RESP_EMPTY;
    if (resp->has_length)
        return FW_RESP_LENGTH;
    return resp->minor >= 1 ? FW_RESP_CHUNKED : FW_RESP_TO_CLOSE;
}

enum fw_error fw_resp_end_head(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool,
                               const struct fw_clock *clock, const char *server, size_t server_len,
                               int64_t known)
{
    static const char length_name[] = "Content-Length: ";
    static const char chunked[] = "Transfer-Encoding: chunked\r\n";
    static const char close_line[] = "Connection: close\r\n";
    static const char keep_line[] = "Connection: keep-alive\r\n";
    assert(resp->stage == FW_RESP_HEAD);
    /* the longest of everything below */
    if (!fw_buf_reserve(out, pool, server_len + FW_CLOCK_DATE_LEN + 96))
        return FW_E_NO_MEMORY;

    enum fw_resp_framing framing = framing_of(resp);
    if (known >= 0 && !resp->has_length && framing != FW_RESP_EMPTY) {
        resp->has_length = true;
        resp->length = (uint64_t)known;
        framing = FW_RESP_LENGTH;
        char digits[20];
        size_t n = decimal(resp->length, digits);
        put(out, length_name, sizeof length_name - 1);
        put(out, digits, n);
        put(out, "\r\n", 2);
    }
    if (framing == FW_RESP_CHUNKED)
        put(out, chunked, sizeof chunked - 1);
    /* An interim status given as the final one leaves the client waiting: closing tells it the truth. */
    if (framing == FW_RESP_TO_CLOSE || resp->status < 200)
        resp->keep_alive = false;
    if (!resp->has_server)
        put(out, server, server_len);
    if (!resp->has_date)
        put(out, clock->date, FW_CLOCK_DATE_LEN);
    if (!resp->keep_alive)
        put(out, close_line, sizeof close_line - 1);
    else if (resp->minor == 0)
        put(out, keep_line, sizeof keep_line - 1);
    put(out, "\r\n", 2);
    resp->framing = (uint8_t)framing;
    resp->head_len = 0;
    resp->stage = FW_RESP_BODY;
    return FW_OK;
}

static size_t hexadecimal(size_t number, char out[16])
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 1;
    for (size_t rest = number >> 4; rest != 0; rest >>= 4)
        n++;
    for (size_t i = n; i-- > 0; number >>= 4)
        out[i] = digits[number & 15];
    return n;
}

enum fw_error fw_resp_block(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool, size_t len,
                            size_t *take)
{
    assert(resp->stage == FW_RESP_BODY);
    *take = 0;
    resp->offered += len;
    switch ((enum fw_resp_framing)resp->framing) {
    case FW_RESP_EMPTY:
        return FW_OK;
    case FW_RESP_LENGTH: {
        uint64_t room = resp->length - resp->sent;
        *take = len < room ? len : (size_t)room;
        break;
    }
    case FW_RESP_CHUNKED:
        if (len > 0) {
            char line[18];
            size_t n = hexadecimal(len, line);
            line[n++] = '\r';
            line[n++] = '\n';
            if (!fw_buf_append(out, pool, line, n))
                return FW_E_NO_MEMORY;
        }
        *take = len;
        break;
    case FW_RESP_TO_CLOSE:
        *take = len;
        break;
    }
    resp->sent += *take;
    return FW_OK;
}

enum fw_error fw_resp_block_end(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool)
{
    if (resp->framing == FW_RESP_CHUNKED && !fw_buf_append(out, pool, "\r\n", 2))
        return FW_E_NO_MEMORY;
    return FW_OK;
}

bool fw_resp_is_short(const struct fw_resp *resp)
{
    return resp->framing == FW_RESP_LENGTH && resp->sent < resp->length;
}

enum fw_error fw_resp_finish(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool)
{
    assert(resp->stage == FW_RESP_BODY);
    if (resp->framing == FW_RESP_CHUNKED && !fw_buf_append(out, pool, "0\r\n\r\n", 5))
        return FW_E_NO_MEMORY;
    resp->stage = FW_RESP_DONE;
    if (fw_resp_is_short(resp))
        resp->keep_alive = false;
    return FW_OK;
}

/* "400 Bad Request: why\n" */
size_t fw_resp_refusal_len(enum fw_error error)
{
    return 4 + strlen(fw_error_reason(fw_error_status(error))) + 2 + strlen(fw_error_text(error)) + 1;
}

enum fw_error fw_resp_refuse(struct fw_buf *out, struct fw_pool *pool, const struct fw_clock *clock,
                             const char *server, size_t server_len, enum fw_error error, bool body)
{
    int status = fw_error_status(error);
    const char *reason = fw_error_reason(status), *text = fw_error_text(error);
    char line[64];
    size_t reason_len = strlen(reason), text_len = strlen(text);
    assert(status != 0 && reason_len + 4 <= sizeof line);
    size_t line_len = decimal((uint64_t)status, line);
    line[line_len++] = ' ';
    memcpy(line + line_len, reason, reason_len);
    line_len += reason_len;

    struct fw_resp resp;
    fw_resp_reset(&resp, 1, !body, false);
    size_t start = fw_buf_live(out), body_len = fw_resp_refusal_len(error);
    char digits[20];
    size_t digits_len = decimal(body_len, digits);
    enum fw_error failed = fw_resp_status(&resp, out, pool, line, line_len);
    if (failed == FW_OK)
        failed = fw_resp_field(&resp, out, pool, "Content-Type", 12, "text/plain; charset=utf-8", 25);
    if (failed == FW_OK)
        failed = fw_resp_field(&resp, out, pool, "Content-Length", 14, digits, digits_len);
    resp.has_date |= clock == NULL;
    if (failed == FW_OK)
        failed = fw_resp_end_head(&resp, out, pool, clock, server, server_len, -1);
    if (failed == FW_OK && body) {
        if (fw_buf_reserve(out, pool, body_len)) {
            put(out, line, line_len);
            put(out, ": ", 2);
            put(out, text, text_len);
            put(out, "\n", 1);
        } else {
            failed = FW_E_NO_MEMORY;
        }
    }
    if (failed != FW_OK)
        out->len = out->off + start; /* half an answer is worse than none */
    return failed;
}
