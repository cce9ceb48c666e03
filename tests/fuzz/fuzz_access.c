/* A log line is one line of UTF-8 with nothing in it that a terminal obeys, whatever a client sends; in JSON
 * it is one object whose strings end where they should. What is escaped says the same bytes again.
 *
 * The first line of the input is a format, if it has an atom in it; what follows it, or all, is a request. */
#define _GNU_SOURCE
#include "fuzz.h"
#include "fw_access.h"
#include "fw_escape.h"
#include "fw_framing.h"
#include "fw_scan.h"

#include <fcntl.h>
#include <unistd.h>

enum { SIZE_MOST = 4096 }; /* so that all of a line waits in the sink */

static const char COMBINED[] =
    "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\" %({x}i)s %(U)s %(q)s";

/* The length of the character at the start, as the Unicode standard's table 3-7 has it; 0: there is none. */
static size_t character(const uint8_t *at, size_t len)
{
    static const struct {
        uint8_t first_low, first_high, second_low, second_high;
        size_t len;
    } rows[] = {
        {0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        if (at[0] < rows[row].first_low || at[0] > rows[row].first_high || rows[row].len > len)
            continue;
        if (rows[row].len > 1 && (at[1] < rows[row].second_low || at[1] > rows[row].second_high))
            return 0;
        for (size_t next = 2; next < rows[row].len; next++)
            if (at[next] < 0x80 || at[next] > 0xBF)
                return 0;
        return rows[row].len;
    }
    return 0;
}

/* Printable, as far as bytes tell: no control character of either set, no separator of lines. */
static void check_text(const char *text, size_t len, bool json)
{
    const uint8_t *at = (const uint8_t *)text, *end = at + len;
    while (at < end) {
        size_t n = character(at, (size_t)(end - at));
        PROMISE(n > 0 && at[0] >= 0x20 && (json || at[0] != 0x7F));
        PROMISE(n != 2 || at[0] != 0xC2 || at[1] >= 0xA0);
        PROMISE(n != 3 || at[0] != 0xE2 || at[1] != 0x80 || (at[2] != 0xA8 && at[2] != 0xA9));
        at += n;
    }
}

static unsigned hex(const char *digits, size_t count)
{
    unsigned number = 0;
    for (size_t at = 0; at < count; at++) {
        char digit = digits[at];
        PROMISE((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f'));
        number = number << 4 | (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    return number;
}

/* Code points of an escaped text, one after another; -1 at its end. */
static long next_escaped(const char *text, size_t len, size_t *pos, bool json)
{
    if (*pos == len)
        return -1;
    const char *at = text + *pos;
    if (*at == '\\') {
        PROMISE(len - *pos >= 2);
        char mark = at[1];
        size_t digits = mark == 'x' && !json ? 2 : mark == 'u' ? 4 : 0;
        PROMISE(len - *pos >= 2 + digits);
        *pos += 2 + digits;
        if (digits > 0)
            return hex(at + 2, digits);
        if (mark == '"' || mark == '\\')
            return mark;
        PROMISE(json && memchr("btnfr", mark, 5) != NULL);
        return mark == 'b' ? '\b' : mark == 't' ? '\t' : mark == 'n' ? '\n' : mark == 'f' ? '\f' : '\r';
    }
    PROMISE(*at != '"');
    const uint8_t *byte = (const uint8_t *)at;
    size_t n = character(byte, len - *pos);
    PROMISE(n > 0);
    *pos += n;
    return n == 1   ? byte[0]
           : n == 2 ? (byte[0] & 0x1F) << 6 | (byte[1] & 0x3F)
           : n == 3
               ? (byte[0] & 0x0F) << 12 | (byte[1] & 0x3F) << 6 | (byte[2] & 0x3F)
               : (byte[0] & 0x07) << 18 | (byte[1] & 0x3F) << 12 | (byte[2] & 0x3F) << 6 | (byte[3] & 0x3F);
}

static void check_escape(const char *data, size_t size, bool json)
{
    char *buf = fuzz_copy(data, size), *out = malloc(FW_ESCAPED_MOST * size + 1);
    PROMISE(out != NULL);
    size_t len = fw_escape(buf, size, json, out);
    PROMISE(len >= (size > 0) && len <= FW_ESCAPED_MOST * size);
    check_text(out, len, json);
    bool utf8 = true;
    for (size_t at = 0, n; utf8 && at < size; at += n)
        utf8 = (n = character((const uint8_t *)buf + at, size - at)) > 0;
    size_t from = 0, pos = 0;
    while (from < size) {
        /* what is not UTF-8 is latin-1: each byte is a character */
        long want = (uint8_t)buf[from];
        if (utf8 && want >= 0x80) {
            const uint8_t *byte = (const uint8_t *)buf + from;
            size_t n = character(byte, size - from);
            want = byte[0] & (0x7F >> n);
            for (size_t next = 1; next < n; next++)
                want = want << 6 | (byte[next] & 0x3F);
            from += n;
        } else {
            from++;
        }
        PROMISE(next_escaped(out, len, &pos, json) == want);
    }
    PROMISE(pos == len);
    free(out);
    free(buf);
}

/* One JSON object, flat: strings, numbers and null. */
static void check_json(const char *line, size_t len)
{
    size_t at = 0;
    PROMISE(len >= 2 && line[at++] == '{');
    for (;;) {
        for (int part = 0; part < 2; part++) {
            PROMISE(at < len);
            if (line[at] == '"') {
                size_t end = ++at;
                while (end < len && line[end] != '"')
                    end += line[end] == '\\' ? 2 : 1;
                PROMISE(end < len);
                for (size_t pos = 0; next_escaped(line + at, end - at, &pos, true) >= 0;)
                    ;
                at = end + 1;
            } else {
                PROMISE(part == 1);
                size_t end = at;
                while (end < len && ((line[end] >= '0' && line[end] <= '9') || line[end] == '.'))
                    end++;
                if (end == at) {
                    PROMISE(len - at >= 4 && memcmp(line + at, "null", 4) == 0);
                    end += 4;
                }
                at = end;
            }
            PROMISE(at < len && (part == 1 || line[at++] == ':'));
        }
        if (line[at++] == '}')
            break;
        PROMISE(line[at - 1] == ',');
    }
    PROMISE(at == len);
}

static void check_line(const char *format, size_t format_len, const char *data, size_t size)
{
    static struct fw_field fields[FUZZ_FIELDS];
    static int null = -1;
    struct fw_access *access = malloc(sizeof *access);
    struct fw_access_entry entry = {
        .addr = "192.0.2.7", .addr_len = 9, .status = 200, .sent = size, .took_ns = size};
    struct fw_limits limits = fw_limits_default();
    struct fw_head head = {.fields = fields, .room = FUZZ_FIELDS};
    if (null < 0)
        null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    limits.fields = FUZZ_FIELDS;
    limits.rules = FW_RULE_ANY_METHOD;
    char *exact = fuzz_copy(format, format_len), *base = fuzz_copy(data, size);
    PROMISE(access != NULL);
    if (fw_access_init(access, exact, format_len, null, "/app", 4) == FW_ACCESS_OK) {
        if (fw_head_parse(base, size, 0, &limits, &head) > 0)
            fw_access_of_head(&entry, base, &head);
        else
            fw_access_of_line(&entry, base, fw_span_of(0, size < 2000 ? size : 2000));
        fw_access_note(access, &entry);
        const struct fw_sink *sink = &access->sink;
        size_t len = fw_sink_live(sink);
        const char *line = sink->data + sink->off;
        PROMISE(sink->lost == 0 && len > 0 && line[len - 1] == '\n');
        if (access->json || format == COMBINED) {
            check_text(line, len - 1, access->json);
            PROMISE(memchr(line, '\n', len) == line + len - 1);
        } else { /* its own line ends are the format's */
            size_t ends = 1;
            for (size_t at = 0; at < format_len; at++)
                ends += format[at] == '\n';
            for (size_t at = 0; at < len; at++)
                ends -= line[at] == '\n';
            PROMISE(ends <= SIZE_MAX / 2);
        }
        if (access->json)
            check_json(line, len - 1);
        fw_access_drop(access);
    }
    free(base);
    free(exact);
    free(access);
    PROMISE(fuzz_blocks == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size = size < SIZE_MOST ? size : SIZE_MOST;
    const char *end = size > 0 ? memchr(text, '\n', size) : NULL;
    size_t first = end != NULL ? (size_t)(end - text) : 0;
    if (first > 0 && memmem(text, first, "%(", 2) != NULL) {
        check_line(text, first, end + 1, size - first - 1);
        text = end + 1;
        size -= first + 1;
    }
    check_escape(text, size, false);
    check_escape(text, size, true);
    check_line(COMBINED, sizeof COMBINED - 1, text, size);
    check_line(FW_ACCESS_JSON, sizeof FW_ACCESS_JSON - 1, text, size);
    return 0;
}
