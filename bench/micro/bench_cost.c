/* What a request costs that comes in pieces: parse one of `kind` in pieces of `size` bytes, `times` times. To
 * be counted by callgrind; says how many bytes there were and how many calls.
 *
 * What a call did not use is shown again with the next piece behind it, as the server and the library do. */
#include "fw_parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 100, ROOM = 1 << 18, BODY = 100000 };

static char input[ROOM];
static size_t input_len;
static struct fw_field fields[FIELDS];

static void add(const char *text)
{
    size_t len = strlen(text);
    if (input_len + len > sizeof input)
        exit(2);
    memcpy(input + input_len, text, len);
    input_len += len;
}

static void add_many(const char *text, size_t times)
{
    while (times-- > 0)
        add(text);
}

/* Each kind is as bad as the limits let it be. */
static void make(const char *kind)
{
    add("POST / HTTP/1.1\r\nHost: a\r\n");
    if (strcmp(kind, "fields") == 0) {
        add_many("X-Some-Field: some value, as long as usual\r\n", FIELDS - 1);
        add("\r\n");
    } else if (strcmp(kind, "long-fields") == 0) {
        for (int at = 0; at < 15; at++) {
            add("X-Long: ");
            add_many("v", 8000);
            add("\r\n");
        }
        add("\r\n");
    } else if (strcmp(kind, "chunks") == 0) {
        add("Transfer-Encoding: chunked\r\n\r\n");
        add_many("1\r\nx\r\n", BODY / 6);
        add("0\r\n\r\n");
    } else if (strcmp(kind, "extensions") == 0) {
        add("Transfer-Encoding: chunked\r\n\r\n");
        for (int at = 0; at < BODY / 1000; at++) {
            add("1;a=\"");
            add_many("q", 1000);
            add("\"\r\nx\r\n");
        }
        add("0\r\n\r\n");
    } else if (strcmp(kind, "trailers") == 0) {
        add("Transfer-Encoding: chunked\r\n\r\n0\r\n");
        add_many("X-Some-Trailer: some value, as long as usual, and longer still than that\r\n", FIELDS);
        add("\r\n");
    } else {
        fprintf(stderr, "no such kind: %s\n", kind);
        exit(2);
    }
}

/* Parse the input in pieces of `size` bytes. Returns the number of calls. */
static size_t parse(size_t size, const struct fw_limits *limits)
{
    struct fw_parser parser;
    size_t used = 0, shown = 0, calls = 0, step;
    struct fw_span data;
    struct fw_field field;
    fw_parser_reset(&parser, fields, FIELDS);
    for (;;) {
        calls++;
        switch (fw_parser_step(&parser, input + used, shown - used, limits, &step, &data, &field)) {
        case FW_PARSER_MORE:
            if (shown == input_len)
                exit(3);
            shown = input_len - shown < size ? input_len : shown + size;
            break;
        case FW_PARSER_GOT_HEAD:
        case FW_PARSER_GOT_DATA:
        case FW_PARSER_GOT_FIELD:
            break;
        case FW_PARSER_GOT_END:
            return calls;
        case FW_PARSER_FAIL:
            fprintf(stderr, "refused: %s\n", fw_error_name(parser.error));
            exit(3);
        }
        used += step;
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s KIND SIZE TIMES\n", argv[0]);
        return 2;
    }
    make(argv[1]);
    size_t size = strtoul(argv[2], NULL, 10), times = strtoul(argv[3], NULL, 10), calls = 0;
    struct fw_limits limits = fw_limits_default();
    for (size_t at = 0; at < times; at++)
        calls += parse(size > 0 ? size : input_len, &limits);
    printf("%zu %zu\n", input_len, times > 0 ? calls / times : 0);
    return 0;
}
