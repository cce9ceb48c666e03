/* Tests of fw_access: what a format becomes, what it says of a request, and what no client can make of it. */
#define _GNU_SOURCE
#include "fault.h"
#include "fw_access.h"
#include "fw_escape.h"
#include "fw_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define FIELDS 16

static char line[1 << 19];

static const char REQUEST[] = "GET /a%20b?x=1&y HTTP/1.1\r\n"
                              "Host: example.org\r\n"
                              "User-Agent: curl\r\n"
                              "X-Thing: one\r\n"
                              "Authorization: Basic YWxpY2U6c2VjcmV0\r\n"
                              "x-thing: two\r\n"
                              "\r\n";

/* The line of a request, NUL-terminated and without its LF. The head stands before a page that may not be
 * read. NULL: the format does not compile. */
static const char *line_of(const char *format, const char *request, size_t len, unsigned status,
                           uint64_t took_ns)
{
    struct fw_access access;
    struct fw_field fields[FIELDS];
    struct fw_head head = {.fields = fields, .room = FIELDS};
    struct fw_access_entry entry = {
        .addr = "192.0.2.7", .addr_len = 9, .status = status, .sent = 1234, .took_ns = took_ns};
    int fd = memfd_create("log", MFD_CLOEXEC);
    enum fw_access_result result = fw_access_init(&access, format, strlen(format), fd, "/app", 4);
    line[0] = 0;
    if (result == FW_ACCESS_OK) {
        struct fw_limits limits = fw_limits_default();
        char *base = fw_test_before_wall(len);
        memcpy(base, request, len);
        if (fw_head_parse(base, len, 0, &limits, &head) > 0) {
            fw_access_of_head(&entry, base, &head);
        } else {
            char *end = memchr(base, '\r', len);
            fw_access_of_line(&entry, base, fw_span_of(0, end != NULL ? (size_t)(end - base) : len));
        }
        fw_access_note(&access, &entry);
        fw_access_drop(&access);
        lseek(fd, 0, SEEK_SET);
        ssize_t n = read(fd, line, sizeof line);
        if (CHECK(n > 0 && line[n - 1] == '\n' && memchr(line, '\n', (size_t)n) == line + n - 1))
            line[n - 1] = 0;
    }
    close(fd);
    return result == FW_ACCESS_OK ? line : NULL;
}

static void atoms(void)
{
    char pid[32];
    snprintf(pid, sizeof pid, "<%d>", (int)getpid());
    const struct {
        const char *format, *want;
    } cases[] = {
        {"no atoms", "no atoms"},
        {"100%% %(h)s%%", "100% 192.0.2.7%"},
        {"%(l)s %(absent)s %({absent}i)s", "- - -"},
        {"%(u)s", "alice"},
        {"%(r)s", "GET /a%20b?x=1&y HTTP/1.1"},
        {"%(m)s %(U)s %(q)s %(H)s", "GET /a b x=1&y HTTP/1.1"},
        {"%(s)s %(B)d %(B)s %(b)s", "200 1234 1234 1234"},
        {"[%(f)s] [%(a)s]", "[-] [curl]"},
        {"%({User-AGENT}i)s %({host}i)s", "curl example.org"},
        {"%({X-Thing}i)s", "one,two"},
        {"%(T)d %(M)d %(D)d %(L)s", "2 2345 2345678 2.345678"},
        {"%(p)s", pid},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *got = line_of(cases[i].format, REQUEST, sizeof REQUEST - 1, 200, 2345678901);
        fw_test_note("%s: %s", cases[i].format, got != NULL ? got : "does not compile");
        CHECK(got != NULL && strcmp(got, cases[i].want) == 0);
    }
}

static void formats_for_python(void)
{
    static const char *const formats[] = {
        "%({X}o)s", "%({wsgi.version}e)s", "%({X}O)s", "%(h)-12s", "%(h)", "%(h", "%", "%s", "%(s)d",
        "%(L)f",    "%(a(b)c)s",           "%({x}i)d"};
    long blocks = fault_blocks();
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        fw_test_note("%s", formats[i]);
        CHECK(line_of(formats[i], REQUEST, sizeof REQUEST - 1, 200, 0) == NULL);
    }
    static char many[FW_ACCESS_OPS * 6 + 1];
    for (size_t i = 0; i <= FW_ACCESS_OPS - 1; i++)
        memcpy(many + i * 6, "%(h)s ", 6);
    CHECK(line_of(many, REQUEST, sizeof REQUEST - 1, 200, 0) == NULL);
    CHECK_EQUAL(fault_blocks(), blocks);
}

static void paths(void)
{
    const struct {
        const char *target, *want;
    } cases[] = {
        {"/", "/"},
        {"/app/x%2Fy", "/x/y"},
        {"/%61pp/x", "/x"},
        {"/%", "/%"},
        {"/caf%C3%A9", "/caf\xC3\xA9"},
        {"/caf%E9", "/caf\xC3\xA9"},
        {"/%0A%22%5c%00", "/\\x0a\\\"\\\\\\x00"},
        {"http://h?q", "/"},
        {"http://h/p?q", "/p"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char request[128];
        int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", cases[i].target);
        const char *got = line_of("%(U)s", request, (size_t)len, 200, 0);
        fw_test_note("%s: %s", cases[i].target, got);
        CHECK(strcmp(got, cases[i].want) == 0);
    }
}

static void users(void)
{
    const struct {
        const char *value, *want;
    } cases[] = {
        {"Basic YWxpY2U6c2VjcmV0", "alice"},
        {"bASIC  YWxpY2U6c2VjcmV0", "alice"},
        {"Basic YWxpY2U=", "alice"},
        {"Basic asO2cmc6eA==", "j\xC3\xB6rg"},
        {"Basic Igo6eA==", "\\\"\\x0a"},
        {"Basic", "-"},
        {"Basic ", "-"},
        {"Basic !", "-"},
        {"Basic YWxpY2U", "-"},
        {"Basic OnBhc3M=", "-"},
        {"Basic YW=pY2U=", "-"},
        {"Basic ====", "-"},
        {"Bearer YWxpY2U=", "-"},
        {"Basic YWxp Y2U", "-"},
        {"Basic YWxpY2U=\r\nAuthorization: Basic YWxpY2U=", "-"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char request[128];
        int len =
            snprintf(request, sizeof request, "GET / HTTP/1.0\r\nAuthorization: %s\r\n\r\n", cases[i].value);
        const char *got = line_of("%(u)s", request, (size_t)len, 200, 0);
        fw_test_note("%s: %s", cases[i].value, got);
        CHECK(strcmp(got, cases[i].want) == 0);
    }
}

/* What came of a request line that was refused, or is not whole. */
static void lines_that_are_no_request(void)
{
    const struct {
        const char *sent, *want;
    } cases[] = {
        {"GET /x?y#z HTTP/1.1\r\nBad Field: 1\r\n\r\n", "GET /x?y#z HTTP/1.1|GET|/x|y|HTTP/1.1"},
        {"GET /x HTTP/9.9\r\n", "GET /x HTTP/9.9|GET|/x||HTTP/9.9"},
        {"GET  /x HTTP/1.1\r\n", "GET  /x HTTP/1.1|-|-|-|-"},
        {"GET /x HTT", "GET /x HTT|-|-|-|-"},
        {" / HTTP/1.1\r\n", " / HTTP/1.1|-|-|-|-"},
        {"GET /x\r\n", "GET /x|-|-|-|-"},
        {"\x16\x03\x01\"\\", "\\x16\\x03\\x01\\\"\\\\|-|-|-|-"},
        {"\r\n", "-|-|-|-|-"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *got =
            line_of("%(r)s|%(m)s|%(U)s|%(q)s|%(H)s", cases[i].sent, strlen(cases[i].sent), 400, 0);
        fw_test_note("%s: %s", cases[i].sent, got);
        CHECK(strcmp(got, cases[i].want) == 0);
    }
}

static void json(void)
{
    const char *got = line_of("json", REQUEST, sizeof REQUEST - 1, 200, 12345678);
    char want[512];
    int len =
        snprintf(want, sizeof want,
                 "\"remote_addr\":\"192.0.2.7\",\"user\":\"alice\",\"method\":\"GET\",\"path\":\"/a%%20b\","
                 "\"query\":\"x=1&y\",\"protocol\":\"HTTP/1.1\",\"status\":200,\"bytes\":1234,"
                 "\"duration_ms\":12.345,\"host\":\"example.org\",\"referer\":null,\"user_agent\":\"curl\","
                 "\"request_id\":null,\"pid\":%d}",
                 (int)getpid());
    fw_test_note("%s", got);
    CHECK(strncmp(got, "{\"time\":\"20", 11) == 0);
    CHECK(strlen(got) == (size_t)len + 40);
    CHECK(strcmp(got + 40, want) == 0);

    got = line_of("json", "GET\t/ \x80\"\\\r\n", 11, 400, 0);
    fw_test_note("%s", got);
    CHECK(strstr(got, "\"method\":null,\"path\":null,\"query\":null,\"protocol\":null") != NULL);
    CHECK(strstr(got, ",\"request_line\":\"GET\\t/ \\u0080\\\"\\\\\"}") != NULL);
}

static void the_time_is_made_once_a_second(void)
{
    setenv("TZ", "<+0530>-5:30", 1);
    tzset();
    fault_reset();
    fault_clock_wall(1700000000);
    CHECK(strcmp(line_of("%(t)s", REQUEST, sizeof REQUEST - 1, 200, 0), "[15/Nov/2023:03:43:20 +0530]") == 0);
    fault_clock_wall(1700000001);
    const char *got = line_of("json", REQUEST, sizeof REQUEST - 1, 200, 0);
    CHECK(strncmp(got, "{\"time\":\"2023-11-15T03:43:21.000+05:30\",", 40) == 0);
    setenv("TZ", "<-03>3", 1);
    tzset();
    CHECK(strcmp(line_of("%(t)s", REQUEST, sizeof REQUEST - 1, 200, 0), "[14/Nov/2023:19:13:21 -0300]") == 0);
    unsetenv("TZ");
    tzset();
    fault_reset();
}

/* --- escaping --- */

/* Plainly, byte by byte, what fw_escape() has to give for bytes below 0x80. */
static size_t escape_ascii(const char *buf, size_t len, bool as_json, char *out)
{
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)buf[i];
        const char *letter = byte >= 8 && byte <= 13 && byte != 11 ? &"btn?fr"[byte - 8] : NULL;
        if (byte == '"' || byte == '\\')
            at += (size_t)sprintf(out + at, "\\%c", byte);
        else if (byte >= 0x20 && byte < 0x7F)
            out[at++] = (char)byte;
        else if (!as_json)
            at += (size_t)sprintf(out + at, "\\x%02x", byte);
        else if (letter != NULL)
            at += (size_t)sprintf(out + at, "\\%c", *letter);
        else
            at += (size_t)sprintf(out + at, "\\u%04x", byte);
    }
    return at;
}

static void every_byte_at_every_place(void)
{
    static char out[64 * FW_ESCAPED_MOST], want[64 * FW_ESCAPED_MOST + 8];
    for (int as_json = 0; as_json < 2; as_json++)
        for (size_t len = 1; len <= 20; len++)
            for (size_t at = 0; at < len; at++)
                for (unsigned byte = 0; byte < 0x80; byte++) {
                    char *buf = fw_test_before_wall(len);
                    memset(buf, 'a', len);
                    buf[at] = (char)byte;
                    size_t n = fw_escape(buf, len, as_json, out);
                    size_t m = escape_ascii(buf, len, as_json, want);
                    if (n != m || memcmp(out, want, n) != 0)
                        fw_test_note("byte %u at %zu of %zu", byte, at, len);
                    CHECK(n == m && memcmp(out, want, n) == 0);
                }
}

static void characters_beyond_ascii(void)
{
    const struct {
        const char *bytes, *text, *in_json;
    } cases[] = {
        {"caf\xC3\xA9", "caf\xC3\xA9", "caf\xC3\xA9"},
        {"caf\xE9", "caf\xC3\xA9", "caf\xC3\xA9"},
        {"\xC3\xA9\xE9", "\xC3\x83\xC2\xA9\xC3\xA9", "\xC3\x83\xC2\xA9\xC3\xA9"},
        {"\x85\xA0\xAD\xFF", "\\x85\\xa0\\xad\xC3\xBF", "\\u0085\xC2\xA0\xC2\xAD\xC3\xBF"},
        {"\xC2\x85\xC2\xA0\xC2\xAD", "\\x85\\xa0\\xad", "\\u0085\xC2\xA0\xC2\xAD"},
        {"\xE2\x80\xA8\xE2\x80\xA9", "\\u2028\\u2029", "\\u2028\\u2029"},
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
        {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
        {"\xED\x9F\xBF", "\xED\x9F\xBF", "\xED\x9F\xBF"},
        /* not UTF-8: overlong, surrogate, too high, cut */
        {"\xC0\xAF", "\xC3\x80\xC2\xAF", "\xC3\x80\xC2\xAF"},
        {"\xE0\x9F\xBF", "\xC3\xA0\\x9f\xC2\xBF", "\xC3\xA0\\u009f\xC2\xBF"},
        {"\xED\xA1\xA1", "\xC3\xAD\xC2\xA1\xC2\xA1", "\xC3\xAD\xC2\xA1\xC2\xA1"},
        {"\xF4\xB0\xB0\xB0", "\xC3\xB4\xC2\xB0\xC2\xB0\xC2\xB0", "\xC3\xB4\xC2\xB0\xC2\xB0\xC2\xB0"},
        {"\xE2\x82", "\xC3\xA2\\x82", "\xC3\xA2\\u0082"},
    };
    char out[64];
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (size_t before = 0; before < 10; before++) {
            size_t len = strlen(cases[i].bytes) + before;
            char *buf = fw_test_before_wall(len);
            memset(buf, 'a', before);
            memcpy(buf + before, cases[i].bytes, len - before);
            fw_test_note("case %zu behind %zu bytes", i, before);
            size_t n = fw_escape(buf, len, false, out);
            CHECK(n == before + strlen(cases[i].text) &&
                  memcmp(out + before, cases[i].text, n - before) == 0);
            n = fw_escape(buf, len, true, out);
            CHECK(n == before + strlen(cases[i].in_json) &&
                  memcmp(out + before, cases[i].in_json, n - before) == 0);
        }
}

/* Whatever the bytes are: one line, no bare quote, room kept, UTF-8. */
static void any_bytes(void)
{
    struct fw_random random = {7};
    static char out[256 * FW_ESCAPED_MOST], again[256 * FW_ESCAPED_MOST * FW_ESCAPED_MOST];
    for (int round = 0; round < 20000; round++) {
        size_t len = fw_random(&random, 200) + 1;
        char *buf = fw_test_before_wall(len);
        uint32_t high = fw_random(&random, 2) == 0 ? 256 : 128;
        for (size_t i = 0; i < len; i++)
            buf[i] = (char)fw_random(&random, high);
        size_t n = fw_escape(buf, len, round % 2, out);
        CHECK(n >= len && n <= FW_ESCAPED_MOST * len);
        for (size_t i = 0; i < n; i++) {
            CHECK((uint8_t)out[i] >= 0x20 && out[i] != 0x7F);
            if (out[i] == '\\')
                i++;
            else
                CHECK(out[i] != '"');
        }
        /* UTF-8 without what is escaped: once more it changes only quotes and backslashes */
        size_t extra = 0;
        for (size_t i = 0; i < n; i++)
            extra += out[i] == '"' || out[i] == '\\';
        CHECK_EQUAL(fw_escape(out, n, round % 2, again), n + extra);
    }
}

/* --- bad weather --- */

static void the_nth_allocation_fails(void)
{
    static char request[40000];
    int len = snprintf(request, sizeof request,
                       "GET / HTTP/1.0\r\nUser-Agent: %08000d\r\nReferer: %08000d\r\n\r\n", 1, 2);
    for (unsigned long n = 1; n < 6; n++) {
        long blocks = fault_blocks();
        struct fw_access access;
        struct fw_field fields[FIELDS];
        struct fw_head head = {.fields = fields, .room = FIELDS};
        struct fw_access_entry entry = {.status = 200};
        struct fw_limits limits = fw_limits_default();
        const char format[] = "%(r)s %(a)s %(f)s %(a)s %(a)s";
        int fd = memfd_create("log", MFD_CLOEXEC);
        fault_reset();
        fault_fail(FAULT_alloc, n, 1, ENOMEM);
        enum fw_access_result result = fw_access_init(&access, format, sizeof format - 1, fd, "", 0);
        CHECK_EQUAL(result, n == 1 ? FW_ACCESS_NO_MEMORY : FW_ACCESS_OK);
        if (result == FW_ACCESS_OK) {
            CHECK(fw_head_parse(request, (size_t)len, 0, &limits, &head) > 0);
            fw_access_of_head(&entry, request, &head);
            for (int i = 0; i < 4; i++)
                fw_access_note(&access, &entry);
            uint64_t lost = access.sink.lost;
            CHECK_EQUAL(lost, fault_was_hit());
            fw_access_drop(&access);
            lseek(fd, 0, SEEK_SET);
            ssize_t got = read(fd, line, sizeof line);
            size_t lines = 0;
            for (ssize_t i = 0; i < got; i++)
                lines += line[i] == '\n';
            CHECK_EQUAL(lines, 4 - lost);
            CHECK_EQUAL(got % (ssize_t)(lines > 0 ? lines : 1), 0); /* all are alike */
        }
        CHECK_EQUAL(fault_blocks(), blocks);
        close(fd);
    }
    fault_reset();
}

int main(int argc, char **argv)
{
    static const struct fw_test tests[] = {
        {"atoms", atoms},
        {"formats_for_python", formats_for_python},
        {"paths", paths},
        {"users", users},
        {"lines_that_are_no_request", lines_that_are_no_request},
        {"json", json},
        {"the_time_is_made_once_a_second", the_time_is_made_once_a_second},
        {"every_byte_at_every_place", every_byte_at_every_place},
        {"characters_beyond_ascii", characters_beyond_ascii},
        {"any_bytes", any_bytes},
        {"the_nth_allocation_fails", the_nth_allocation_fails},
    };
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
