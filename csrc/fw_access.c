#define _GNU_SOURCE
#include "fw_access.h"
#include "fw_escape.h"
#include "fw_scan.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- text --- */

static char *put(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

static char *put_number(char *out, uint64_t number)
{
    char *end = out + 1;
    for (uint64_t rest = number; rest >= 10; rest /= 10)
        end++;
    char *digit = end;
    do
        *--digit = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return end;
}

/* `number` in as many digits as are asked for, with zeros in front. */
static char *put_digits(char *out, unsigned number, int digits)
{
    for (int at = digits; at-- > 0; number /= 10)
        out[at] = (char)('0' + number % 10);
    return out + digits;
}

/* --- what is known of a request --- */

void fw_access_of_head(struct fw_access_entry *entry, const char *base, const struct fw_head *head)
{
    /* Three words with one space between them, the last one HTTP/1.x: fw_head has seen to it. */
    size_t end = fw_span_end(head->target);
    entry->base = base;
    entry->head = head;
    entry->line = fw_span_of(head->method.off, end + 9 - head->method.off);
    entry->parsed = true;
    entry->method = head->method;
    entry->path = head->path;
    entry->query = head->query;
    entry->protocol = fw_span_of(end + 1, 8);
}

void fw_access_of_line(struct fw_access_entry *entry, const char *base, struct fw_span line)
{
    entry->base = base;
    entry->head = NULL;
    entry->line = line;
    entry->parsed = false;
    const char *text = base + line.off, *first = memchr(text, ' ', line.len);
    const char *last = memrchr(text, ' ', line.len);
    if (first == NULL || first == text || last <= first + 1 || last + 1 == text + line.len ||
        memchr(first + 1, ' ', (size_t)(last - first - 1)) != NULL)
        return;
    size_t version = (size_t)(text + line.len - (last + 1));
    if (version < 6 || memcmp(last + 1, "HTTP/", 5) != 0)
        return;
    size_t target = (size_t)(first + 1 - base), end = (size_t)(last - base);
    const char *hash = memchr(base + target, '#', end - target);
    if (hash != NULL)
        end = (size_t)(hash - base);
    const char *mark = memchr(base + target, '?', end - target);
    size_t path_end = mark != NULL ? (size_t)(mark - base) : end;
    entry->parsed = true;
    entry->method = fw_span_of(line.off, (size_t)(first - text));
    entry->path = fw_span_of(target, path_end - target);
    entry->query = mark != NULL ? fw_span_of(path_end + 1, end - path_end - 1) : fw_span_of(end, 0);
    entry->protocol = fw_span_of((size_t)(last + 1 - base), version);
}

/* --- values --- */

static char *put_missing(const struct fw_access *access, char *out)
{
    return access->json ? put(out, "null", 4) : put(out, "-", 1);
}

/* A value where the line stands now, escaped and in JSON quoted. False: no memory. */
static bool add_value(struct fw_access *access, const char *buf, size_t len)
{
    char *out = fw_sink_room(&access->sink, FW_ESCAPED_MOST * len + 2);
    if (out == NULL)
        return false;
    if (access->json)
        *out++ = '"';
    out += fw_escape(buf, len, access->json, out);
    if (access->json)
        *out++ = '"';
    access->sink.len = (size_t)(out - access->sink.data);
    return true;
}

static bool add_span(struct fw_access *access, const struct fw_access_entry *entry, struct fw_span span)
{
    return add_value(access, entry->base + span.off, span.len);
}

static bool add_missing(struct fw_access *access)
{
    char *out = fw_sink_room(&access->sink, 4);
    if (out != NULL)
        access->sink.len = (size_t)(put_missing(access, out) - access->sink.data);
    return out != NULL;
}

static bool is_named(const struct fw_access *access, const struct fw_access_op *op,
                     const struct fw_access_entry *entry, const struct fw_field *field)
{
    if (op->name != FW_N_OTHER || field->id != FW_N_OTHER)
        return op->name == field->id;
    return fw_scan_same(entry->base + field->name.off, field->name.len, access->text + op->off, op->len);
}

/* The value of a field; values of a repeated one with a comma between them. */
static bool add_fields(struct fw_access *access, const struct fw_access_op *op,
                       const struct fw_access_entry *entry)
{
    const struct fw_field *found = NULL;
    size_t len = 0;
    for (uint32_t at = 0; entry->head != NULL && at < entry->head->count; at++) {
        const struct fw_field *field = &entry->head->fields[at];
        if (is_named(access, op, entry, field)) {
            found = found == NULL ? field : found;
            len += field->value.len + 1;
        }
    }
    if (found == NULL)
        return add_missing(access);
    if (FW_LIKELY(len == (size_t)found->value.len + 1))
        return add_span(access, entry, found->value);
    /* they are judged together, as Python does: joined behind where their escaped form will end */
    if (fw_sink_room(&access->sink, (FW_ESCAPED_MOST + 1) * len + 2) == NULL)
        return false;
    char *joined = access->sink.data + access->sink.len + FW_ESCAPED_MOST * len + 2, *end = joined;
    for (const struct fw_field *field = found; field < entry->head->fields + entry->head->count; field++)
        if (is_named(access, op, entry, field)) {
            end = put(end, entry->base + field->value.off, field->value.len);
            *end++ = ',';
        }
    return add_value(access, joined, len - 1);
}

/* The path as applications see it: decoded, without what they are mounted below. */
static bool add_path(struct fw_access *access, const struct fw_access_entry *entry)
{
    const char *path = entry->base + entry->path.off;
    size_t len = entry->path.len;
    if (entry->head != NULL && len == 0 && entry->head->form == FW_FORM_ABSOLUTE) {
        path = "/"; /* RFC 9110 section 4.2.3 */
        len = 1;
    }
    char *room = fw_sink_room(&access->sink, (FW_ESCAPED_MOST + 1) * len + 2);
    if (room == NULL)
        return false;
    if (memchr(path, '%', len) != NULL) {
        char *decoded = room + FW_ESCAPED_MOST * len + 2;
        len = fw_scan_unquote(path, len, decoded);
        path = decoded;
    }
    const char *mount = entry->mount != NULL ? entry->mount : access->mount;
    size_t mount_len = entry->mount != NULL ? entry->mount_len : access->mount_len;
    if (mount_len > 0 && len >= mount_len && memcmp(path, mount, mount_len) == 0) {
        path += mount_len;
        len -= mount_len;
    }
    return add_value(access, path, len);
}

static int base64_value(char byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return byte - 'A';
    if (byte >= 'a' && byte <= 'z')
        return byte - 'a' + 26;
    if (byte >= '0' && byte <= '9')
        return byte - '0' + 52;
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

/* Decode buf[0..len) into `out`, which may be as long; -1: it is not whole and valid base64. */
static ssize_t base64(const char *buf, size_t len, char *out)
{
    if (len == 0 || len % 4 != 0)
        return -1;
    size_t padding = buf[len - 1] != '=' ? 0 : buf[len - 2] != '=' ? 1 : 2, made = 0;
    unsigned bits = 0;
    for (size_t at = 0; at < len - padding; at++) {
        int value = base64_value(buf[at]);
        if (value < 0)
            return -1;
        bits = bits << 6 | (unsigned)value;
        if (at % 4 != 0)
            out[made++] = (char)(bits >> (6 - 2 * (at % 4)));
    }
    return (ssize_t)made;
}

/* The user of HTTP Basic authentication (RFC 7617), if the request has just one such field. */
static bool add_user(struct fw_access *access, const struct fw_access_entry *entry)
{
    const struct fw_field *found = NULL;
    size_t count = 0;
    for (uint32_t at = 0; entry->head != NULL && at < entry->head->count; at++)
        if (entry->head->fields[at].id == FW_N_AUTHORIZATION) {
            found = &entry->head->fields[at];
            count++;
        }
    if (count != 1 || found->value.len < 6)
        return add_missing(access);
    const char *value = entry->base + found->value.off;
    size_t len = found->value.len;
    if (!fw_scan_same(value, 6, "basic ", 6))
        return add_missing(access);
    value += 6;
    len -= 6;
    while (len > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        len--;
    }
    if (fw_sink_room(&access->sink, (FW_ESCAPED_MOST + 1) * len + 4) == NULL)
        return false;
    char *decoded = access->sink.data + access->sink.len + FW_ESCAPED_MOST * len + 4;
    ssize_t n = base64(value, len, decoded);
    if (n <= 0)
        return add_missing(access);
    const char *colon = memchr(decoded, ':', (size_t)n);
    size_t user = colon != NULL ? (size_t)(colon - decoded) : (size_t)n;
    return user > 0 ? add_value(access, decoded, user) : add_missing(access);
}

/* The local time as the format wants it; all but the milliseconds is made once a second. */
static char *put_time(struct fw_access *access, char *out)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (FW_UNLIKELY((int64_t)now.tv_sec != access->second)) {
        struct tm tm;
        if (localtime_r(&now.tv_sec, &tm) == NULL)
            tm = (struct tm){.tm_mday = 1, .tm_year = 70};
        unsigned year = (unsigned)(tm.tm_year + 1900);
        char *end = access->time;
        if (access->json) {
            *end++ = '"';
            end = put_digits(end, year, 4);
            *end++ = '-';
            end = put_digits(end, (unsigned)tm.tm_mon + 1, 2);
            *end++ = '-';
            end = put_digits(end, (unsigned)tm.tm_mday, 2);
            *end++ = 'T';
        } else {
            *end++ = '[';
            end = put_digits(end, (unsigned)tm.tm_mday, 2);
            *end++ = '/';
            end = put(end, months + 3 * tm.tm_mon, 3);
            *end++ = '/';
            end = put_digits(end, year, 4);
            *end++ = ':';
        }
        end = put_digits(end, (unsigned)tm.tm_hour, 2);
        *end++ = ':';
        end = put_digits(end, (unsigned)tm.tm_min, 2);
        *end++ = ':';
        end = put_digits(end, (unsigned)tm.tm_sec, 2);
        access->time_len = (uint8_t)(end - access->time);

        long offset = tm.tm_gmtoff;
        end = access->zone;
        *end++ = offset < 0 ? '-' : '+';
        unsigned minutes = (unsigned)(offset < 0 ? -offset : offset) / 60;
        end = put_digits(end, minutes / 60, 2);
        if (access->json)
            *end++ = ':';
        end = put_digits(end, minutes % 60, 2);
        *end = access->json ? '"' : ']';
        access->second = (int64_t)now.tv_sec;
    }
    memcpy(out, access->time,
           sizeof access->time); /* all of it: that is a few instructions, its length many */
    out += access->time_len;
    if (access->json) {
        *out++ = '.';
        out = put_digits(out, (unsigned)(now.tv_nsec / 1000000), 3);
        return put(out, access->zone, 7);
    }
    *out++ = ' ';
    return put(out, access->zone, 6);
}

/* A number with digits behind the point. */
static char *put_decimal(char *out, uint64_t number, uint64_t unit, int digits)
{
    out = put_number(out, number / unit);
    *out++ = '.';
    return put_digits(out, (unsigned)(number % unit), digits);
}

/* An operation whose outcome is short. */
static bool add_short(struct fw_access *access, const struct fw_access_op *op,
                      const struct fw_access_entry *entry)
{
    char *out = fw_sink_room(&access->sink, 64);
    if (out == NULL)
        return false;
    uint64_t took_us = entry->took_ns / 1000;
    switch ((enum fw_access_kind)op->kind) {
    case FW_AT_TIME:
        out = put_time(access, out);
        break;
    case FW_AT_STATUS:
        out = put_number(out, entry->status);
        break;
    case FW_AT_BYTES:
        out = put_number(out, entry->sent);
        break;
    case FW_AT_SECONDS:
        out = put_number(out, took_us / 1000000);
        break;
    case FW_AT_MILLISECONDS:
        out = put_number(out, took_us / 1000);
        break;
    case FW_AT_MICROSECONDS:
        out = put_number(out, took_us);
        break;
    case FW_AT_DECIMAL_SECONDS:
        out = put_decimal(out, took_us, 1000000, 6);
        break;
    case FW_AT_DECIMAL_MILLISECONDS:
        out = put_decimal(out, took_us, 1000, 3);
        break;
    case FW_AT_PID:
        out = put(out, access->pid, access->pid_len);
        break;
    default:
        assert(false);
    }
    access->sink.len = (size_t)(out - access->sink.data);
    return true;
}

static bool add_text(struct fw_access *access, const char *text, size_t len)
{
    char *out = fw_sink_room(&access->sink, len);
    if (out != NULL)
        access->sink.len = (size_t)(put(out, text, len) - access->sink.data);
    return out != NULL;
}

/* A short literal, copied by a length that the compiler knows: there are many of them in a line. */
static bool add_piece(struct fw_access *access, const struct fw_access_op *op)
{
    char *out = fw_sink_room(&access->sink, FW_ACCESS_PIECE);
    if (out == NULL)
        return false;
    memcpy(out, access->text + op->off, FW_ACCESS_PIECE);
    access->sink.len += op->len;
    return true;
}

static bool run(struct fw_access *access, const struct fw_access_op *op, const struct fw_access_entry *entry)
{
    switch ((enum fw_access_kind)op->kind) {
    case FW_AT_LITERAL:
        return op->len <= FW_ACCESS_PIECE ? add_piece(access, op)
                                          : add_text(access, access->text + op->off, op->len);
    case FW_AT_ADDR: /* empty: a unix socket */
        return entry->addr_len > 0 ? add_value(access, entry->addr, entry->addr_len) : add_missing(access);
    case FW_AT_USER:
        return add_user(access, entry);
    case FW_AT_LINE:
        return entry->line.len > 0 ? add_span(access, entry, entry->line) : add_missing(access);
    case FW_AT_METHOD:
        return entry->parsed ? add_span(access, entry, entry->method) : add_missing(access);
    case FW_AT_PATH:
        return entry->parsed ? add_path(access, entry) : add_missing(access);
    case FW_AT_RAW_PATH:
        return entry->parsed ? add_span(access, entry, entry->path) : add_missing(access);
    case FW_AT_QUERY:
        return entry->parsed ? add_span(access, entry, entry->query) : add_missing(access);
    case FW_AT_PROTOCOL:
        return entry->parsed ? add_span(access, entry, entry->protocol) : add_missing(access);
    case FW_AT_FIELD:
        return add_fields(access, op, entry);
    case FW_AT_MALFORMED:
        return entry->parsed || entry->line.len == 0 ||
               (add_text(access, ",\"request_line\":", 16) && add_span(access, entry, entry->line));
    case FW_AT_TIME:
    case FW_AT_STATUS:
    case FW_AT_BYTES:
    case FW_AT_SECONDS:
    case FW_AT_MILLISECONDS:
    case FW_AT_MICROSECONDS:
    case FW_AT_DECIMAL_SECONDS:
    case FW_AT_DECIMAL_MILLISECONDS:
    case FW_AT_PID:
        return add_short(access, op, entry);
    }
    return true;
}

void fw_access_note(struct fw_access *access, const struct fw_access_entry *entry)
{
    struct fw_sink *sink = &access->sink;
    if (!fw_sink_begin(sink))
        return;
    size_t live = fw_sink_live(sink);
    bool whole = true;
    for (uint32_t at = 0; whole && at < access->count; at++)
        whole = run(access, &access->ops[at], entry);
    if (!whole || !add_text(access, "\n", 1)) {
        fw_sink_undo(sink, live);
        return;
    }
    fw_sink_end(sink);
}

/* --- beginning and end --- */

enum fw_access_result fw_access_init(struct fw_access *access, const char *format, size_t len, int fd,
                                     const char *mount, size_t mount_len)
{
    memset(access, 0, sizeof *access);
    fw_sink_init(&access->sink, fd);
    access->mount = mount;
    access->mount_len = mount_len;
    access->second = INT64_MIN;
    /* '-' for an atom that does not exist is never longer than its name; %(f)s and %(a)s are */
    size_t most = 1024 + 3 * len; /* FW_ACCESS_PIECE of them are never used */
    access->text = most < FW_SPAN_MAX ? FW_REALLOC(NULL, most) : NULL;
    if (access->text == NULL)
        return FW_ACCESS_NO_MEMORY;
    if (!fw_access_compile(access, format, len)) {
        fw_access_drop(access);
        return FW_ACCESS_PYTHON;
    }
    char *end = access->pid;
    if (!access->json)
        *end++ = '<';
    end = put_number(end, (uint64_t)getpid());
    if (!access->json)
        *end++ = '>';
    access->pid_len = (uint8_t)(end - access->pid);
    return FW_ACCESS_OK;
}

void fw_access_drop(struct fw_access *access)
{
    access->sink.stuck = false;
    fw_sink_flush(&access->sink, FW_SINK_WAIT_MS);
    fw_sink_drop(&access->sink);
    FW_FREE(access->text);
    access->text = NULL;
    access->count = 0;
}
