/* The corpus: every case of tests/cases is read, parsed whole, byte by byte, cut at every place and with the
 * next request behind it, and gives the events that it says. tests/cases/README.md has the format.
 *
 * What a call may not see yet is poisoned, so a look too far ends the program.               */
#define _GNU_SOURCE
#include "fw_parser.h"
#include "fw_scan.h"
#include "fw_test.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, len)   ((void)(start), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(start, len) ((void)(start), (void)(len))
#endif

#ifndef CASES
#define CASES "../cases"
#endif

enum { FIELDS_MOST = 256, LONG = 4096, CUTS_OF_LONG = 97 };

struct text {
    char *data;
    size_t len, cap;
};

static void add(struct text *text, const char *data, size_t len)
{
    if (text->len + len + 1 > text->cap) {
        text->cap = (text->len + len + 1) * 2;
        text->data = realloc(text->data, text->cap);
        if (text->data == NULL)
            abort();
    }
    if (len > 0)
        memcpy(text->data + text->len, data, len);
    text->len += len;
    text->data[text->len] = '\0';
}

__attribute__((format(printf, 2, 3))) static void say(struct text *text, const char *format, ...)
{
    char line[256];
    va_list list;
    va_start(list, format);
    int len = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    add(text, line, (size_t)len);
}

/* As in the case files: what is not printable escaped, long runs of one byte written as \{N*x}. */
static void say_bytes(struct text *text, const char *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t same = 1;
        while (at + same < len && data[at + same] == data[at])
            same++;
        uint8_t byte = (uint8_t)data[at];
        char one[8];
        if (byte == '\r' || byte == '\n' || byte == '\t' || byte == '\\')
            snprintf(one, sizeof one, "\\%c",
                     byte == '\r'   ? 'r'
                     : byte == '\n' ? 'n'
                     : byte == '\t' ? 't'
                                    : '\\');
        else
            snprintf(one, sizeof one, byte >= ' ' && byte <= '~' ? "%c" : "\\x%02X", byte);
        if (same >= 32)
            say(text, "\\{%zu*%s}", same, one);
        else
            same = 1, say(text, "%s", one);
        at += same;
    }
}

/* ---- the case files ---- */

struct test_case {
    char name[160];
    struct text input, events;
    struct fw_limits limits;
};

static const char *skip_escape(const char *from, const char *end, struct text *out)
{
    char byte;
    switch (*from) {
    case 'r':
        byte = '\r';
        break;
    case 'n':
        byte = '\n';
        break;
    case 't':
        byte = '\t';
        break;
    case '\\':
        byte = '\\';
        break;
    case 'x':
        byte = (char)(fw_scan_hex(from[1]) << 4 | fw_scan_hex(from[2]));
        from += 2;
        break;
    default:
        printf("unknown escape \\%c\n", *from);
        exit(2);
    }
    add(out, &byte, 1);
    return from + 1 <= end ? from + 1 : end;
}

/* One piece of a line: a byte, an escape, or \{N*pieces}. */
static const char *unescape(const char *from, const char *end, struct text *out)
{
    if (*from != '\\') {
        add(out, from, 1);
        return from + 1;
    }
    if (from[1] != '{')
        return skip_escape(from + 1, end, out);
    char *star;
    unsigned long times = strtoul(from + 2, &star, 10);
    struct text piece = {0};
    const char *at = star + 1;
    while (at < end && *at != '}')
        at = unescape(at, end, &piece);
    while (times-- > 0)
        add(out, piece.data, piece.len);
    free(piece.data);
    return at + 1;
}

/* A line of an http block: its end is CR LF, but for one that ends in a backslash. */
static void add_http_line(struct text *out, const char *line, size_t len)
{
    const char *end = line + len;
    while (line < end) {
        if (*line == '\\' && line + 1 == end)
            return;
        line = unescape(line, end, out);
    }
    add(out, "\r\n", 2);
}

static void set_limit(struct fw_limits *limits, const char *line)
{
    char name[32];
    unsigned long long value;
    if (sscanf(line, "%31s %llu", name, &value) != 2)
        value = 1;
    if (strcmp(name, "line") == 0)
        limits->line = (uint32_t)value;
    else if (strcmp(name, "fields") == 0)
        limits->fields = (uint32_t)value;
    else if (strcmp(name, "field_size") == 0)
        limits->field_size = (uint32_t)value;
    else if (strcmp(name, "head") == 0)
        limits->head = (uint32_t)value;
    else if (strcmp(name, "chunk_line") == 0)
        limits->chunk_line = (uint32_t)value;
    else if (strcmp(name, "trailer") == 0)
        limits->trailer = (uint32_t)value;
    else if (strcmp(name, "body") == 0)
        limits->body = value;
    else if (strcmp(name, "any_method") == 0)
        limits->rules |= FW_RULE_ANY_METHOD;
    else if (strcmp(name, "refuse_underscore") == 0)
        limits->rules |= FW_RULE_REFUSE_UNDERSCORE;
    else
        fw_test_check(false, "a limit that there is", name, 0);
}

/* ---- parsing in pieces ---- */

struct run {
    struct fw_parser parser;
    struct fw_field fields[FIELDS_MOST];
    const struct fw_limits *limits;
    struct text events, data; /* data: collected until something else comes */
    bool failed, complete;    /* complete: what is not used is no request that has begun */
};

static void say_data(struct run *run)
{
    if (run->data.len == 0)
        return;
    say(&run->events, "data ");
    say_bytes(&run->events, run->data.data, run->data.len);
    say(&run->events, "\n");
    run->data.len = 0;
}

/* The label, and a space and the bytes if there are any. */
static void say_span(struct run *run, const char *label, const char *buf, struct fw_span span)
{
    say(&run->events, span.len > 0 ? "%s " : "%s", label);
    say_bytes(&run->events, buf + span.off, span.len);
}

static void say_field(struct run *run, const char *label, const char *buf, const struct fw_field *field)
{
    say_span(run, label, buf, field->name);
    say_span(run, ":", buf, field->value);
    say(&run->events, "\n");

    const char *name = buf + field->name.off, *value = buf + field->value.off;
    bool ascii = fw_scan_ascii(value, field->value.len) == field->value.len;
    CHECK_EQUAL(!!(field->flags & FW_FIELD_ASCII), ascii);
    CHECK_EQUAL(!!(field->flags & FW_FIELD_UNDERSCORE), memchr(name, '_', field->name.len) != NULL);
    CHECK_EQUAL(field->id, fw_name_find(name, field->name.len));
    CHECK(fw_scan_token(name, field->name.len) == field->name.len && field->name.len > 0);
}

static void say_head(struct run *run, const char *buf)
{
    static const char *const forms[] = {"origin", "absolute", "authority", "asterisk"};
    const struct fw_head *head = &run->parser.head;
    const struct fw_framing *framing = &run->parser.framing;
    say_span(run, "request", buf, head->method);
    say_span(run, "", buf, head->target);
    say(&run->events, " 1.%d\n", head->minor);
    CHECK_EQUAL(head->method_id, fw_method_find(buf + head->method.off, head->method.len));
    if (head->form != FW_FORM_ORIGIN)
        say(&run->events, "form %s\n", forms[head->form]);
    if (head->path.len != head->target.len) {
        say_span(run, "path", buf, head->path);
        say_span(run, "\nquery", buf, head->query);
        say(&run->events, "\n");
    }
    if (head->path_escaped)
        say(&run->events, "escaped\n");
    for (uint32_t at = 0; at < head->count; at++)
        say_field(run, "field", buf, &head->fields[at]);
    if (head->authority.len > 0) {
        say_span(run, "host", buf, framing->host);
        say(&run->events, "\n");
    }
    if (framing->kind == FW_BODY_LENGTH)
        say(&run->events, "body %llu\n", (unsigned long long)framing->length);
    if (framing->kind == FW_BODY_CHUNKED)
        say(&run->events, "body chunked\n");
    if (framing->expect_continue)
        say(&run->events, "expect\n");
    if (framing->upgrade)
        say(&run->events, "upgrade\n");
    if (!framing->keep_alive)
        say(&run->events, "close\n");
}

/* Show the parser buf[*used..len), until it wants more. */
static void show(struct run *run, const char *buf, size_t len, size_t *used)
{
    while (!run->failed) {
        size_t step;
        struct fw_span data = {0};
        struct fw_field field;
        const char *from = buf + *used;
        enum fw_parser_event event =
            fw_parser_step(&run->parser, from, len - *used, run->limits, &step, &data, &field);
        if (!CHECK(step <= len - *used))
            return;
        *used += step;
        switch (event) {
        case FW_PARSER_MORE:
            run->complete = run->parser.state == FW_PARSER_HEAD && *used == len;
            return;
        case FW_PARSER_GOT_HEAD:
            say_head(run, from);
            break;
        case FW_PARSER_GOT_DATA:
            if (CHECK(data.len > 0 && fw_span_end(data) <= step))
                add(&run->data, from + data.off, data.len);
            break;
        case FW_PARSER_GOT_FIELD:
            say_data(run);
            say_field(run, "trailer", from, &field);
            break;
        case FW_PARSER_GOT_END:
            say_data(run);
            say(&run->events, "end\n");
            CHECK_EQUAL(fw_parser_step(&run->parser, from, 0, run->limits, &step, &data, &field),
                        FW_PARSER_GOT_END);
            fw_parser_reset(&run->parser, run->fields, FIELDS_MOST);
            break;
        case FW_PARSER_FAIL:
            say_data(run);
            say(&run->events, "%d %s\n", fw_error_status(run->parser.error),
                fw_error_name(run->parser.error));
            run->failed = true;
            CHECK_EQUAL(fw_parser_step(&run->parser, from, 0, run->limits, &step, &data, &field),
                        FW_PARSER_FAIL);
            break;
        }
    }
}

/* Parse buf[0..len), shown in pieces that end at cuts[0..count) and at len. Returns the events. */
static struct text parse(struct run *run, const char *buf, size_t len, const struct fw_limits *limits,
                         const size_t *cuts, size_t count)
{
    size_t used = 0, shown = 0;
    memset(run->fields, 0xA5, sizeof run->fields);
    run->limits = limits;
    run->events = run->data = (struct text){0};
    run->failed = run->complete = false;
    fw_parser_reset(&run->parser, run->fields, FIELDS_MOST);
    ASAN_POISON_MEMORY_REGION(buf, len);
    for (size_t at = 0; at <= count; at++) {
        size_t until = at < count ? cuts[at] : len;
        ASAN_UNPOISON_MEMORY_REGION(buf, until);
        shown = until;
        show(run, buf, shown, &used);
    }
    ASAN_UNPOISON_MEMORY_REGION(buf, len);
    say_data(run);
    if (!run->failed && !run->complete)
        say(&run->events, "more\n");
    add(&run->events, "", 0);
    free(run->data.data);
    return run->events;
}

static struct run shared_run; /* too large for the stack */

static void expect(const char *how, const char *buf, size_t len, const struct fw_limits *limits,
                   const size_t *cuts, size_t count, const char *want)
{
    struct text got = parse(&shared_run, buf, len, limits, cuts, count);
    if (!CHECK(strcmp(got.data, want) == 0))
        printf("--- %s: wanted\n%s--- got\n%s---\n", how, want, got.data);
    free(got.data);
}

static const char next_request[] = "GET /n HTTP/1.1\r\nHost: n\r\n\r\n";
static const char next_events[] = "request GET /n 1.1\nfield Host: n\nend\n";

static void run_case(const struct test_case *test)
{
    size_t len = test->input.len;
    const char *want = test->events.data != NULL ? test->events.data : "";
    char *buf = malloc(len + sizeof next_request);
    size_t *cuts = calloc(len + 1, sizeof *cuts);
    memcpy(buf, test->input.data, len);
    fw_test_note("%s", test->name);

    expect("whole", buf, len, &test->limits, NULL, 0, want);
    for (size_t at = 0; at < len; at++)
        cuts[at] = at;
    expect("byte by byte", buf, len, &test->limits, cuts, len, want);
    for (size_t cut = 0; cut <= len; cut++) {
        if (len > LONG && cut > 300 && cut < len - 300 && cut % CUTS_OF_LONG != 0)
            continue;
        expect("cut in two", buf, len, &test->limits, &cut, 1, want);
    }
    bool open = strcmp(want, "more\n") == 0 || strstr(want, "\nmore\n") != NULL;
    size_t want_len = strlen(want);
    bool failed = want_len > 0 && (want_len < 4 || strcmp(want + want_len - 4, "end\n") != 0);
    if (!open) {
        memcpy(buf + len, next_request, sizeof next_request - 1);
        struct text both = {0};
        add(&both, want, strlen(want));
        if (!failed)
            add(&both, next_events, sizeof next_events - 1);
        expect("with the next behind it", buf, len + sizeof next_request - 1, &test->limits, NULL, 0,
               both.data);
        expect("and then the next", buf, len + sizeof next_request - 1, &test->limits, &len, 1, both.data);
        free(both.data);
    }
    free(buf);
    free(cuts);
}

/* ---- reading the files ---- */

enum block { PROSE, LIMITS, HTTP, EVENTS };

static bool print_events;     /* print the events that there are instead of comparing: to write new cases */
static const char *inputs_to; /* write the bytes of each case to a file in this folder: seeds for fuzzers */
static int case_count;

static void write_input(const struct text *input)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%03d", inputs_to, case_count);
    FILE *file = fopen(path, "wb");
    if (CHECK(file != NULL)) {
        CHECK(fwrite(input->data, 1, input->len, file) == input->len);
        fclose(file);
    }
}

static void finish_case(struct test_case *test)
{
    if (test->input.data != NULL) {
        case_count++;
        if (inputs_to != NULL) {
            write_input(&test->input);
        } else if (print_events) {
            struct text got = parse(&shared_run, test->input.data, test->input.len, &test->limits, NULL, 0);
            printf("## %s\n%s\n", test->name, got.data);
            free(got.data);
        } else {
            run_case(test);
        }
    }
    free(test->input.data);
    free(test->events.data);
    *test = (struct test_case){.limits = fw_limits_default()};
}

static void read_cases(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!CHECK(file != NULL))
        return;
    struct test_case test = {.limits = fw_limits_default()};
    enum block block = PROSE;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    while ((len = getline(&line, &cap, file)) > 0) {
        if (line[len - 1] == '\n')
            line[--len] = '\0';
        if (block == PROSE && strncmp(line, "## ", 3) == 0) {
            finish_case(&test);
            snprintf(test.name, sizeof test.name, "%s: %s", strrchr(path, '/') + 1, line + 3);
        } else if (strncmp(line, "```", 3) == 0) {
            block = block != PROSE                   ? PROSE
                    : strcmp(line, "```http") == 0   ? HTTP
                    : strcmp(line, "```events") == 0 ? EVENTS
                    : strcmp(line, "```limits") == 0 ? LIMITS
                                                     : PROSE;
            if (block == HTTP)
                add(&test.input, "", 0);
        } else if (block == HTTP) {
            add_http_line(&test.input, line, (size_t)len);
        } else if (block == EVENTS) {
            add(&test.events, line, (size_t)len);
            add(&test.events, "\n", 1);
        } else if (block == LIMITS) {
            set_limit(&test.limits, line);
        }
    }
    finish_case(&test);
    free(line);
    fclose(file);
}

static int is_case_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 3 && strcmp(entry->d_name + len - 3, ".md") == 0 && strcmp(entry->d_name, "README.md") != 0;
}

static void every_case_gives_its_events(void)
{
    struct dirent **entries;
    int count = scandir(CASES, &entries, is_case_file, alphasort);
    CHECK(count > 0);
    for (int at = 0; at < count; at++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", CASES, entries[at]->d_name);
        read_cases(path);
        free(entries[at]);
    }
    free(entries);
    CHECK(case_count >= 150);
}

static const struct fw_test tests[] = {
    {"every_case_gives_its_events", every_case_gives_its_events},
};

int main(int argc, char **argv)
{
    if (argc > 2 && (strcmp(argv[1], "--events") == 0 || strcmp(argv[1], "--inputs") == 0)) {
        print_events = strcmp(argv[1], "--events") == 0;
        inputs_to = print_events ? NULL : argv[2];
        for (int at = print_events ? 2 : 3; at < argc; at++)
            read_cases(argv[at]);
        return 0;
    }
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
