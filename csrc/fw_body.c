/* fw_body: Content-Length counts down; chunked goes SIZE -> DATA -> DATA_END -> SIZE ... -> TRAILER -> END.
 */
#include "fw_body.h"

#include "fw_scan.h"

#include <string.h>

enum { LINE_END_LEN = 2 };

static inline bool is(char byte, enum fw_class class)
{
    return fw_scan_class[(uint8_t)byte] & class;
}

static inline size_t skip_blank(const char *buf, size_t at, size_t end)
{
    while (at < end && (buf[at] == ' ' || buf[at] == '\t'))
        at++;
    return at;
}

void fw_body_begin(struct fw_body *body, const struct fw_framing *framing)
{
    *body = (struct fw_body){.kind = framing->kind, .left = framing->length};
    if (framing->kind == FW_BODY_CHUNKED)
        body->state = FW_BODY_S_SIZE;
    else
        body->state = body->left > 0 ? FW_BODY_S_DATA : FW_BODY_S_END;
}

/* Length of the quoted-string at the start (RFC 9110 section 5.6.4), 0 if there is none. */
static size_t quoted_len(const char *buf, size_t len)
{
    if (len == 0 || buf[0] != '"')
        return 0;
    for (size_t at = 1; at < len; at++) {
        if (buf[at] == '"')
            return at + 1;
        if (buf[at] == '\\')
            at++; /* what follows is a value byte like all of the line */
    }
    return 0;
}

/* Is buf[0..len), value bytes all, `*( BWS ";" BWS name [ BWS "=" BWS value ] )`? RFC 9112 section 7.1.1 */
static bool extensions_valid(const char *buf, size_t len)
{
    for (size_t at = 0; at < len;) {
        at = skip_blank(buf, at, len);
        if (at == len || buf[at] != ';')
            return false;
        at = skip_blank(buf, at + 1, len);
        size_t name = fw_scan_token(buf + at, len - at);
        if (name == 0)
            return false;
        at += name;
        size_t equals = skip_blank(buf, at, len);
        if (equals < len && buf[equals] == '=') {
            at = skip_blank(buf, equals + 1, len);
            size_t value = fw_scan_token(buf + at, len - at);
            if (value == 0)
                value = quoted_len(buf + at, len - at);
            if (value == 0)
                return false;
            at += value;
        }
    }
    return true;
}

/* Read buf[0..len), a chunk-size line up to the byte that ended its run of value bytes. It begins with a
 * digit.
 */
static enum fw_error chunk_size(const char *buf, size_t len, uint64_t *size)
{
    size_t at = 0;
    uint64_t value = 0;
    for (; at < len && is(buf[at], FW_C_HEX); at++) {
        if (value > INT64_MAX >> 4)
            return FW_E_CHUNK_TOO_LONG;
        value = value << 4 | (uint64_t)fw_scan_hex(buf[at]);
    }
    assert(at > 0);
    size_t blank = skip_blank(buf, at, len);
    if (blank < len ? buf[blank] != ';' : blank > at)
        return FW_E_CHUNK_SIZE;
    *size = value;
    return extensions_valid(buf + at, len - at) ? FW_OK : FW_E_CHUNK_EXTENSION;
}

/* Take the chunk-size line at buf[0..len). Returns its length, 0 for "not all here yet", or -(enum fw_error).
 */
static ssize_t size_line(struct fw_body *body, const char *buf, size_t len, const struct fw_limits *limits)
{
    if (len == 0)
        return 0;
    if (!is(buf[0], FW_C_HEX))
        return -(ssize_t)FW_E_CHUNK_SIZE;
    size_t from = body->seen > 0 ? body->seen - 1 : 0; /* the last one may have been a CR */
    size_t stop = from + fw_scan_value(buf + from, len - from);
    if (stop + LINE_END_LEN > limits->chunk_line)
        return -(ssize_t)FW_E_CHUNK_LINE_TOO_LONG;
    if (stop == len || (buf[stop] == '\r' && stop + 1 == len))
        return 0;

    uint64_t size = 0;
    enum fw_error error = chunk_size(buf, stop, &size);
    if (error == FW_OK && (buf[stop] != '\r' || buf[stop + 1] != '\n'))
        error = FW_E_LINE_END;
    if (error == FW_OK && limits->body != 0 && size > limits->body - body->total)
        error = FW_E_BODY_TOO_LONG;
    if (error != FW_OK)
        return -(ssize_t)error;
    body->left = size;
    body->state = size > 0 ? FW_BODY_S_DATA : FW_BODY_S_TRAILER;
    return (ssize_t)(stop + LINE_END_LEN);
}

/* Take the CR LF at buf[0..len). Returns as above. */
static ssize_t data_end(struct fw_body *body, const char *buf, size_t len)
{
    if (len > 0 && (buf[0] != '\r' || (len > 1 && buf[1] != '\n')))
        return -(ssize_t)FW_E_CHUNK_END;
    if (len < LINE_END_LEN)
        return 0;
    body->state = FW_BODY_S_SIZE;
    return LINE_END_LEN;
}

/* Fields that are needed to frame, route, authenticate or choose a request before its body comes, or that
 * say how to read the body (RFC 9110 section 6.5.1): nothing that comes after may change them.      */
static bool forbidden(enum fw_name name)
{
    switch (name) {
    /* framing and the connection */
    case FW_N_CONTENT_LENGTH:
    case FW_N_TRANSFER_ENCODING:
    case FW_N_TRAILER:
    case FW_N_TE:
    case FW_N_CONNECTION:
    case FW_N_KEEP_ALIVE:
    case FW_N_PROXY_CONNECTION:
    case FW_N_UPGRADE:
    /* routing, and who the client is said to be */
    case FW_N_HOST:
    case FW_N_FORWARDED:
    case FW_N_VIA:
    case FW_N_X_FORWARDED_FOR:
    case FW_N_X_FORWARDED_PROTO:
    case FW_N_X_FORWARDED_HOST:
    case FW_N_X_FORWARDED_PORT:
    case FW_N_X_FORWARDED_SSL:
    case FW_N_X_REAL_IP:
    /* authentication */
    case FW_N_AUTHORIZATION:
    case FW_N_PROXY_AUTHORIZATION:
    case FW_N_PROXY_AUTHENTICATE:
    case FW_N_WWW_AUTHENTICATE:
    case FW_N_COOKIE:
    case FW_N_SET_COOKIE:
    /* controls and conditions of the request */
    case FW_N_EXPECT:
    case FW_N_MAX_FORWARDS:
    case FW_N_CACHE_CONTROL:
    case FW_N_PRAGMA:
    case FW_N_RANGE:
    case FW_N_IF_RANGE:
    case FW_N_IF_MATCH:
    case FW_N_IF_NONE_MATCH:
    case FW_N_IF_MODIFIED_SINCE:
    case FW_N_IF_UNMODIFIED_SINCE:
    /* how to read the content */
    case FW_N_CONTENT_TYPE:
    case FW_N_CONTENT_ENCODING:
    case FW_N_CONTENT_RANGE:
    case FW_N_CONTENT_DISPOSITION:
        return true;
    default:
        return false;
    }
}

/* Take the trailer line at buf[0..len), spans relative to base. Returns as above; the state tells the empty
 * line that ends the body from a field.                                                        */
static ssize_t trailer_line(struct fw_body *body, const char *base, const char *buf, size_t len,
                            const struct fw_limits *limits, struct fw_field *field)
{
    if (len > 0 && buf[0] == '\r') {
        if (len > 1 && buf[1] != '\n')
            return -(ssize_t)FW_E_LINE_END;
        body->state = len > 1 ? FW_BODY_S_END : FW_BODY_S_TRAILER;
        return len > 1 ? LINE_END_LEN : 0;
    }
    if (len > 0 && body->trailers == limits->fields)
        return -(ssize_t)FW_E_FIELDS_TOO_MANY;
    size_t room = limits->trailer - body->trailer_len;
    size_t view = len < room ? len : room, seen = body->seen < room ? body->seen : room;
    ssize_t line = fw_field_parse(base, buf, view, seen, limits, field);
    if (line == 0 && len > room)
        return -(ssize_t)FW_E_TRAILER_TOO_LONG;
    if (line > 0 && forbidden(field->id))
        return -(ssize_t)FW_E_TRAILER_FORBIDDEN;
    if (line > 0) {
        body->trailer_len += (uint32_t)line;
        body->trailers++;
    }
    return line;
}

/* Count the data among len bytes that are here. */
static size_t take_data(struct fw_body *body, size_t len)
{
    size_t take = len;
    if (take >= body->left) {
        take = (size_t)body->left;
        body->state = body->kind == FW_BODY_CHUNKED ? FW_BODY_S_DATA_END : FW_BODY_S_END;
    }
    body->left -= take;
    body->total += take;
    return take;
}

enum fw_body_event fw_body_feed(struct fw_body *body, const char *buf, size_t len,
                                const struct fw_limits *limits, size_t *used, struct fw_span *data,
                                struct fw_field *field, enum fw_error *error)
{
    for (size_t at = 0;;) {
        const char *rest = buf + at;
        ssize_t line = 0;
        *used = at;
        switch ((enum fw_body_state)body->state) {
        case FW_BODY_S_DATA:
            if (at == len)
                return FW_BODY_MORE;
            *data = fw_span_of(at, take_data(body, len - at));
            *used = fw_span_end(*data);
            return FW_BODY_DATA;
        case FW_BODY_S_SIZE:
            line = size_line(body, rest, len - at, limits);
            break;
        case FW_BODY_S_DATA_END:
            line = data_end(body, rest, len - at);
            break;
        case FW_BODY_S_TRAILER:
            line = trailer_line(body, buf, rest, len - at, limits, field);
            if (line > 0 && body->state == FW_BODY_S_TRAILER) {
                body->seen = 0;
                *used = at + (size_t)line;
                return FW_BODY_FIELD;
            }
            break;
        case FW_BODY_S_END:
            return FW_BODY_DONE;
        }
        if (line < 0) {
            *error = (enum fw_error) - line;
            return FW_BODY_FAIL;
        }
        body->seen = line == 0 ? (uint32_t)(len - at) : 0;
        if (line == 0)
            return FW_BODY_MORE;
        at += (size_t)line;
    }
}
