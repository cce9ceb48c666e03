/* cases: see cases.h. */
#define _GNU_SOURCE
#include "cases.h"

#include "fw_scan.h"
#include "fw_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef CASES
#define CASES "../cases"
#endif

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
    text_add(out, &byte, 1);
    return from + 1 <= end ? from + 1 : end;
}

/* One piece of a line: a byte, an escape, or \{N*pieces}. */
static const char *unescape(const char *from, const char *end, struct text *out)
{
    if (*from != '\\') {
        text_add(out, from, 1);
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
        text_add(out, piece.data, piece.len);
    free(piece.data);
    return at + 1;
}

void cases_unescape(struct text *out, const char *line, size_t len)
{
    for (const char *at = line; at < line + len;)
        at = unescape(at, line + len, out);
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
    text_add(out, "\r\n", 2);
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
    else if (strcmp(name, "unfold") == 0)
        limits->rules |= FW_RULE_UNFOLD;
    else if (strcmp(name, "strip_name") == 0)
        limits->rules |= FW_RULE_STRIP_NAME;
    else if (strcmp(name, "any_version") == 0)
        limits->rules |= FW_RULE_ANY_VERSION;
    else if (strcmp(name, "fold_case") == 0)
        limits->rules |= FW_RULE_FOLD_CASE;
    else
        fw_test_check(false, "a limit that there is", name, 0);
}

enum block { PROSE, LIMITS, HTTP, EVENTS };

static void finish_case(struct test_case *test, void (*each)(const struct test_case *test))
{
    if (test->input.data != NULL)
        each(test);
    text_drop(&test->input);
    text_drop(&test->events);
    test->limits = fw_limits_default();
}

void cases_read(const char *path, void (*each)(const struct test_case *test))
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
            finish_case(&test, each);
            snprintf(test.name, sizeof test.name, "%s: %s", strrchr(path, '/') + 1, line + 3);
        } else if (strncmp(line, "```", 3) == 0) {
            block = block != PROSE                   ? PROSE
                    : strcmp(line, "```http") == 0   ? HTTP
                    : strcmp(line, "```events") == 0 ? EVENTS
                    : strcmp(line, "```limits") == 0 ? LIMITS
                                                     : PROSE;
            if (block == HTTP)
                text_add(&test.input, "", 0);
        } else if (block == HTTP) {
            add_http_line(&test.input, line, (size_t)len);
        } else if (block == EVENTS) {
            text_add(&test.events, line, (size_t)len);
            text_add(&test.events, "\n", 1);
        } else if (block == LIMITS) {
            set_limit(&test.limits, line);
        }
    }
    finish_case(&test, each);
    free(line);
    fclose(file);
}

static int is_case_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 3 && strcmp(entry->d_name + len - 3, ".md") == 0 && strcmp(entry->d_name, "README.md") != 0;
}

void cases_read_all(void (*each)(const struct test_case *test))
{
    struct dirent **entries;
    int count = scandir(CASES, &entries, is_case_file, alphasort);
    CHECK(count > 0);
    for (int at = 0; at < count; at++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", CASES, entries[at]->d_name);
        cases_read(path, each);
        free(entries[at]);
    }
    free(entries);
}
