/* bench_cost: instructions for hostile input. Each kind is as bad as the limits let it be; it is fed at its
 * full length and at half of it, and the former in 2, 4, 8, ... pieces, down to bytes. To be run under
 * callgrind, which is told to dump its counts after each: "KIND BYTES PIECES" is what a dump is called.
 *
 *     bench_cost [DIVISOR [KIND]]    DIVISOR: so much shorter than the limits, for a quick look
 *
 * What a call did not use is shown again with the next piece behind it, as the server and the library do. */
#define _GNU_SOURCE
#include "fw_conn.h"
#include "fw_escape.h"
#include "fw_forwarded.h"
#include "fw_parser.h"
#include "fw_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

enum { ROOM = 1 << 20 };

static char input[ROOM];
static size_t input_len;
static struct fw_limits limits;
static struct fw_field fields[100];
static bool is_refused; /* as this kind of input is to be */

static void need(bool held, const char *what)
{
    if (!held) {
        fprintf(stderr, "bench_cost: %s\n", what);
        exit(3);
    }
}

/* --- input --- */

static void add(const char *text)
{
    size_t len = strlen(text);
    need(input_len + len <= sizeof input, "no room");
    memcpy(input + input_len, text, len);
    input_len += len;
}

/* As often as fits into `len` bytes. */
static void fill(const char *text, size_t len)
{
    for (size_t at = 0; at + strlen(text) <= len; at += strlen(text))
        add(text);
}

static void begin(void)
{
    add("POST / HTTP/1.1\r\nHost: a\r\n");
}

/* `len` bytes of field lines, each as long as may be, or `line_len`, filled with `value`. */
static void fill_fields(const char *name, const char *value, size_t len, size_t line_len)
{
    begin();
    for (size_t left = len; left > 0;) {
        size_t line = left < line_len ? left : line_len;
        add(name);
        add(": ");
        fill(value, line > strlen(name) + 4 ? line - strlen(name) - 4 : 0);
        add("\r\n");
        left -= line;
    }
    add("\r\n");
}

static void request_line(size_t len)
{
    add("GET /");
    fill("a", len - 14);
    add(" HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void percents(size_t len)
{
    add("GET /");
    fill("%41", len - 14);
    add(" HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void host(size_t len)
{
    add("GET http://");
    fill("a.", len - 20);
    add("a/ HTTP/1.1\r\nHost: ");
    fill("a.", len - 20);
    add("a\r\n\r\n");
}

static void short_fields(size_t len)
{
    fill_fields("X-Some-Field", "some value, as long as usual", len, 44);
}

static void long_fields(size_t len)
{
    fill_fields("X-Long", "v", len, limits.field_size);
}

/* In the place of a known name in the table of names, and as long, but another one. */
static void similar_names(size_t len)
{
    fill_fields("Contabcdefngth", "v", len, 20);
}

static void cookies(size_t len)
{
    fill_fields("Cookie", "a=b; ", len, limits.field_size);
}

static void connection_commas(size_t len)
{
    fill_fields("Connection", ",", len, limits.field_size);
}

static void connection_options(size_t len)
{
    fill_fields("Connection", "a,", len, limits.field_size);
}

static void coding_commas(size_t len)
{
    begin();
    add("Transfer-Encoding: ");
    fill(",", len - 60);
    add("chunked\r\n\r\n0\r\n\r\n");
}

static void folded(size_t len)
{
    fill_fields("X-Folded", "a\r\n a", len, limits.field_size);
}

static void forwarded_for(size_t len)
{
    fill_fields("X-Forwarded-For", ",10.0.0.1", len, limits.field_size);
}

static void forwarded(size_t len)
{
    fill_fields("Forwarded", ",for=\"[2001:db8::1]:80\";by=a", len, limits.field_size);
}

static void underscores(size_t len)
{
    begin();
    for (size_t at = 0; at + 40 <= len; at += 40)
        add("Script_Name: /aaaaaa\r\nScript-Name: /bb\r\n");
    add("\r\n");
}

static void whole_body(size_t len)
{
    char line[64];
    snprintf(line, sizeof line, "Content-Length: %zu\r\n\r\n", len);
    begin();
    add(line);
    fill("b", len);
}

static void chunked(size_t len, const char *chunk)
{
    begin();
    add("Transfer-Encoding: chunked\r\n\r\n");
    fill(chunk, len);
    add("0\r\n\r\n");
}

static void small_chunks(size_t len)
{
    chunked(len, "1\r\nx\r\n");
}

static void large_chunks(size_t len)
{
    char chunk[4200];
    snprintf(chunk, sizeof chunk, "1000\r\n%04096d\r\n", 0);
    chunked(len, chunk);
}

static void extensions(size_t len)
{
    char chunk[2048];
    snprintf(chunk, sizeof chunk, "1;a=\"%0*d\"\r\nx\r\n", (int)limits.chunk_line - 8, 0);
    chunked(len, chunk);
}

static void trailers(size_t len)
{
    begin();
    add("Transfer-Encoding: chunked\r\n\r\n0\r\n");
    fill("X-Some-Trailer: some value, as long as usual, and longer still than all that comes here\r\n",
         len - 2);
    add("\r\n");
}

static void bytes_to_escape(size_t len)
{
    fill("\x1b\xe2\x80\xa8", len);
}

static void proxy_header(size_t len)
{
    static const char signature[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11";
    memcpy(input, signature, sizeof signature - 1);
    input[14] = (char)((len - 16) >> 8);
    input[15] = (char)(len - 16);
    memset(input + 16, 1, len - 16);
    input_len = len;
    add("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

/* --- what is done with it --- */

/* fw_parser, in pieces. */
static void parse(size_t piece)
{
    struct fw_parser parser;
    size_t used = 0, shown = 0, step;
    struct fw_span data;
    struct fw_field field;
    fw_parser_reset(&parser, fields, limits.fields);
    for (;;) {
        switch (fw_parser_step(&parser, input + used, shown - used, &limits, &step, &data, &field)) {
        case FW_PARSER_MORE:
            need(shown < input_len, "not whole");
            shown = input_len - shown < piece ? input_len : shown + piece;
            break;
        case FW_PARSER_GOT_HEAD:
            if (limits.rules & FW_RULES_REWRITE)
                return;
            break;
        case FW_PARSER_GOT_DATA:
        case FW_PARSER_GOT_FIELD:
            break;
        case FW_PARSER_GOT_END:
            return;
        case FW_PARSER_FAIL:
            need(is_refused, fw_error_text((enum fw_error)parser.error));
            return;
        }
        used += step;
    }
}

/* A connection, whose client sends in pieces: buffers, limits and the body in memory as well. */
static void connect_through(size_t piece)
{
    static struct fw_conn_env env;
    static struct fw_conn conn;
    int fds[2];
    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0, "socketpair");
    env = (struct fw_conn_env){.limits = limits, .body_memory = ROOM, .tmpdir = "/", .server = ""};
    env.proxy_mode = FW_PROXY_AUTO;
    fw_pool_init(&env.blocks, FW_BUF_BLOCK, 1);
    fw_pool_init(&env.fields, limits.fields * sizeof(struct fw_field), 1);
    fw_conn_open(&conn, &env, fds[0]);
    fw_conn_meet(&conn, &(struct fw_client){.port = -1}, true);
    for (size_t sent = 0; conn.state != FW_CONN_READY;) {
        size_t left = input_len - sent;
        ssize_t n = write(fds[1], input + sent, left < piece ? left : piece);
        need(n > 0 || left == 0, "write");
        sent += n > 0 ? (size_t)n : 0;
        enum fw_conn_need next;
        do {
            conn.readable = true;
            next = fw_conn_step(&conn);
        } while (next == FW_NEED_AGAIN);
        need(next == FW_NEED_SERVE || (next == FW_NEED_READ && sent < input_len), "refused");
    }
    fw_conn_close(&conn);
    fw_pool_drop(&env.blocks);
    fw_pool_drop(&env.fields);
    close(fds[1]);
}

static struct fw_head parsed;

static void parse_head(void)
{
    parsed = (struct fw_head){.fields = fields, .room = limits.fields};
    need(fw_head_parse(input, input_len, 0, &limits, &parsed) == (ssize_t)input_len, "no head");
}

static void follow(size_t piece)
{
    static const char names[] = "\x0b\x00script_name", schemes[] = "\x11\x05x-forwarded-protohttps";
    static const struct fw_network inside = {4, 8, {10}}, ours = {6, 16, {0x20, 0x01}};
    struct fw_network trusted[] = {inside, ours};
    struct fw_forwarded_rules rules = {.proxies = {.each = trusted, .count = 2},
                                       .schemes = {schemes, sizeof schemes - 1},
                                       .names = {names, sizeof names - 1},
                                       .client = FW_N_X_FORWARDED_FOR};
    struct fw_forwarded said;
    struct fw_client client = {.port = -1};
    (void)piece;
    parse_head();
    for (int way = 0; way < 2; way++) {
        rules.client = way ? FW_N_FORWARDED : FW_N_X_FORWARDED_FOR;
        fw_forwarded_init(&rules);
        (void)fw_forwarded_read(&rules, true, input, &parsed, 0, &said);
        (void)fw_forwarded_follow(&rules, 0, input, &parsed, &client);
    }
}

static void rewrite(size_t piece)
{
    (void)piece;
    limits.rules = FW_RULES_REWRITE;
    parse_head();
    fw_head_rewrite(input, &parsed, limits.rules);
}

static void unquote(size_t piece)
{
    static char out[ROOM];
    (void)piece;
    parse_head();
    need(fw_scan_unquote(input + parsed.path.off, parsed.path.len, out) < parsed.path.len, "not unquoted");
}

static void escape(size_t piece)
{
    static char out[ROOM];
    (void)piece;
    for (int json = 0; json < 2; json++)
        need(fw_escape(input, input_len, json, out) > input_len, "not escaped");
}

/* --- the table --- */

struct kind {
    const char *name;
    void (*make)(size_t len);
    void (*run)(size_t piece); /* bytes of a piece */
    size_t most;               /* bytes, by the limits; 0: those of a head */
    bool pieces;
    bool refused;
};

static const struct kind kinds[] = {
    {"request line", request_line, parse, 4000, true, false},
    {"percent signs", percents, unquote, 4000, false, false},
    {"host", host, parse, 4000, true, false},
    {"99 short fields", short_fields, parse, 99 * 44, true, false},
    {"longest fields", long_fields, parse, 0, true, false},
    {"names like known ones", similar_names, parse, 99 * 20, true, false},
    {"cookies", cookies, parse, 0, true, false},
    {"Connection: ,,,", connection_commas, parse, 0, true, false},
    {"Connection: a,a,", connection_options, parse, 0, true, false},
    {"Transfer-Encoding: ,,,", coding_commas, parse, 8000, true, true},
    {"folds", folded, rewrite, 0, false, false},
    {"X-Forwarded-For", forwarded_for, follow, 0, false, false},
    {"Forwarded", forwarded, follow, 0, false, false},
    {"names with _", underscores, follow, 98 * 20, false, false},
    {"body", whole_body, parse, 100000, true, false},
    {"chunks of a byte", small_chunks, parse, 100000, true, false},
    {"chunks of 4 KiB", large_chunks, parse, 100000, true, false},
    {"chunk extensions", extensions, parse, 100000, true, false},
    {"trailers", trailers, parse, 8192, true, false},
    {"bytes to escape", bytes_to_escape, escape, 100000, false, false},
    {"connection, longest fields", long_fields, connect_through, 0, true, false},
    {"connection, body", whole_body, connect_through, 100000, true, false},
    {"connection, chunks of a byte", small_chunks, connect_through, 60000, true, false},
    {"connection, PROXY header", proxy_header, connect_through, 8000, true, false},
};

/* `pieces`: more than there are bytes, for one byte each. */
static void measure(const struct kind *kind, size_t len, size_t pieces)
{
    char label[128];
    limits = fw_limits_default();
    input_len = 0;
    if (kind->make == folded)
        limits.rules = FW_RULES_REWRITE;
    kind->make(len);
    is_refused = kind->refused;
    size_t piece = pieces < input_len ? (input_len + pieces - 1) / pieces : 1;
    snprintf(label, sizeof label, "%s|%zu|%zu", kind->name, input_len, (input_len + piece - 1) / piece);
    CALLGRIND_ZERO_STATS;
    kind->run(piece);
    CALLGRIND_DUMP_STATS_AT(label);
}

int main(int argc, char **argv)
{
    size_t divisor = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    need(divisor > 0, "usage: bench_cost [DIVISOR [KIND]]");
    for (size_t at = 0; at < sizeof kinds / sizeof kinds[0]; at++) {
        const struct kind *kind = &kinds[at];
        if (argc > 2 && strcmp(argv[2], kind->name) != 0)
            continue;
        limits = fw_limits_default();
        size_t most = (kind->most > 0 ? kind->most : limits.head - 4096) / divisor;
        measure(kind, most / 2, 1);
        if (kind->pieces)
            measure(kind, most / 2, SIZE_MAX);
        measure(kind, most, 1);
        for (size_t pieces = 2; kind->pieces && pieces < most / 2; pieces *= 2)
            measure(kind, most, pieces);
        if (kind->pieces)
            measure(kind, most, SIZE_MAX);
    }
    return 0;
}
