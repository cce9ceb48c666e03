/* The corpus: every case of tests/cases is read, parsed whole, byte by byte, cut at every place and with the
 * next request behind it, and gives the events that it says. tests/cases/README.md has the format.
 *
 * What a call may not see yet is poisoned, so a look too far ends the program.               */
#define _GNU_SOURCE
#include "cases.h"
#include "fw_parser.h"
#include "fw_scan.h"
#include "fw_test.h"

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

enum { FIELDS_MOST = 256, LONG = 4096, CUTS_OF_LONG = 97 };

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
            text_print(text, "\\{%zu*%s}", same, one);
        else
            same = 1, text_print(text, "%s", one);
        at += same;
    }
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
    text_print(&run->events, "data ");
    say_bytes(&run->events, run->data.data, run->data.len);
    text_print(&run->events, "\n");
    run->data.len = 0;
}

/* The label, and a space and the bytes if there are any. */
static void say_span(struct run *run, const char *label, const char *buf, struct fw_span span)
{
    text_print(&run->events, span.len > 0 ? "%s " : "%s", label);
    say_bytes(&run->events, buf + span.off, span.len);
}

static void say_field(struct run *run, const char *label, const char *buf, const struct fw_field *field)
{
    say_span(run, label, buf, field->name);
    say_span(run, ":", buf, field->value);
    text_print(&run->events, "\n");

    const char *name = buf + field->name.off, *value = buf + field->value.off;
    bool ascii = fw_scan_ascii(value, field->value.len) == field->value.len;
    CHECK_EQUAL(!!(field->flags & FW_FIELD_ASCII), ascii);
    CHECK_EQUAL(!!(field->flags & FW_FIELD_UNDERSCORE), memchr(name, '_', field->name.len) != NULL);
    CHECK_EQUAL(field->id, fw_name_find(name, field->name.len));
    CHECK(fw_scan_token(name, field->name.len) == field->name.len && field->name.len > 0);
}

/* `buf` is the head's own copy, which may be written to. */
static void say_head(struct run *run, char *buf)
{
    static const char *const forms[] = {"origin", "absolute", "authority", "asterisk"};
    struct fw_head *head = &run->parser.head;
    if (run->limits->rules & FW_RULES_REWRITE)
        fw_head_rewrite(buf, head, run->limits->rules);
    const struct fw_framing *framing = &run->parser.framing;
    say_span(run, "request", buf, head->method);
    say_span(run, "", buf, head->target);
    text_print(&run->events, " 1.%d\n", head->minor);
    CHECK_EQUAL(head->method_id, fw_method_find(buf + head->method.off, head->method.len));
    if (head->form != FW_FORM_ORIGIN)
        text_print(&run->events, "form %s\n", forms[head->form]);
    if (head->path.len != head->target.len) {
        say_span(run, "path", buf, head->path);
        say_span(run, "\nquery", buf, head->query);
        text_print(&run->events, "\n");
    }
    if (head->path_escaped)
        text_print(&run->events, "escaped\n");
    for (uint32_t at = 0; at < head->count; at++)
        say_field(run, "field", buf, &head->fields[at]);
    if (head->authority.len > 0) {
        say_span(run, "host", buf, framing->host);
        text_print(&run->events, "\n");
    }
    if (framing->kind == FW_BODY_LENGTH)
        text_print(&run->events, "body %llu\n", (unsigned long long)framing->length);
    if (framing->kind == FW_BODY_CHUNKED)
        text_print(&run->events, "body chunked\n");
    if (framing->expect_continue)
        text_print(&run->events, "expect\n");
    if (framing->upgrade)
        text_print(&run->events, "upgrade\n");
    if (!framing->keep_alive)
        text_print(&run->events, "close\n");
}

/* Show the parser buf[*used..len), until it wants more. */
static void show(struct run *run, const char *buf, size_t len, size_t *used)
{
    while (!run->failed) {
        size_t step;
        struct fw_span data = {0};
        struct fw_field field;
        char *head;
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
            head = malloc(step);
            memcpy(head, from, step);
            say_head(run, head);
            free(head);
            break;
        case FW_PARSER_GOT_DATA:
            if (CHECK(data.len > 0 && fw_span_end(data) <= step))
                text_add(&run->data, from + data.off, data.len);
            break;
        case FW_PARSER_GOT_FIELD:
            say_data(run);
            say_field(run, "trailer", from, &field);
            break;
        case FW_PARSER_GOT_END:
            say_data(run);
            text_print(&run->events, "end\n");
            CHECK_EQUAL(fw_parser_step(&run->parser, from, 0, run->limits, &step, &data, &field),
                        FW_PARSER_GOT_END);
            fw_parser_reset(&run->parser, run->fields, FIELDS_MOST);
            break;
        case FW_PARSER_FAIL:
            say_data(run);
            text_print(&run->events, "%d %s\n", fw_error_status(run->parser.error),
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
        text_print(&run->events, "more\n");
    text_add(&run->events, "", 0);
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
        text_add(&both, want, strlen(want));
        if (!failed)
            text_add(&both, next_events, sizeof next_events - 1);
        expect("with the next behind it", buf, len + sizeof next_request - 1, &test->limits, NULL, 0,
               both.data);
        expect("and then the next", buf, len + sizeof next_request - 1, &test->limits, &len, 1, both.data);
        free(both.data);
    }
    free(buf);
    free(cuts);
}

/* ---- reading the files ---- */

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

static void finish_case(const struct test_case *test)
{
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

static void every_case_gives_its_events(void)
{
    cases_read_all(finish_case);
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
            cases_read(argv[at], finish_case);
        return 0;
    }
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
