/* bench_head: what one request head costs, in nanoseconds and in bytes a tick of the clock.
 *
 * Each head is parsed in batches of some 400 kB. The first figure is that of the fastest tenth of the
 * batches, since a machine that others use, too, can only add to it; the median shows by how much it did.
 * Some rows parse 64 heads that differ in order and length, so that the branch predictor cannot learn one of
 * them by heart.     */
#include "fw_framing.h"
#include "heads.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { BATCHES = 4001, FIELDS = 100, VARIANTS = 64, ROWS_MOST = 16, BATCH_BYTES = 200000 };

struct head_text {
    char *text;
    size_t len;
};

static uint64_t now_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static uint64_t ticks(void)
{
#if defined(__x86_64__)
    return __rdtsc();
#else
    return 0;
#endif
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static struct fw_field fields[FIELDS];

static size_t parse(const struct head_text *head, const struct fw_limits *limits, bool framing)
{
    struct fw_head parsed = {.fields = fields, .room = FIELDS};
    ssize_t len = fw_head_parse(head->text, head->len, 0, limits, &parsed);
    struct fw_framing frame;
    if (len != (ssize_t)head->len ||
        (framing && fw_framing_of(head->text, &parsed, limits, &frame) != FW_OK)) {
        fprintf(stderr, "a sample was refused: %s\n",
                len < 0 ? fw_error_text((enum fw_error) - len) : "not whole");
        exit(1);
    }
    return parsed.count;
}

struct row {
    const char *name;
    const struct head_text *heads;
    size_t count, bytes, fields;
    bool framing;
    double ns[BATCHES], ticks[BATCHES];
};

static struct row rows[ROWS_MOST];
static size_t row_count;

static void add_row(const char *name, const struct head_text *heads, size_t count, bool framing)
{
    struct fw_limits limits = fw_limits_default();
    struct row *row = &rows[row_count++];
    *row = (struct row){.name = name, .heads = heads, .count = count, .framing = framing};
    for (size_t at = 0; at < count; at++) {
        row->bytes += heads[at].len;
        row->fields += parse(&heads[at], &limits, framing);
    }
}

static void measure(struct row *row, int batch)
{
    struct fw_limits limits = fw_limits_default();
    size_t rounds = BATCH_BYTES / row->bytes + 1;
    uint64_t tick = ticks(), start = now_ns();
    for (size_t round = 0; round < rounds; round++)
        for (size_t at = 0; at < row->count; at++)
            parse(&row->heads[at], &limits, row->framing);
    row->ns[batch] = (double)(now_ns() - start) / (double)(rounds * row->count);
    row->ticks[batch] = (double)(ticks() - tick) / (double)(rounds * row->count);
}

static void report(struct row *row)
{
    qsort(row->ns, BATCHES, sizeof row->ns[0], by_value);
    qsort(row->ticks, BATCHES, sizeof row->ticks[0], by_value);
    double count = (double)row->count, bytes = (double)row->bytes / count;
    double tick = row->ticks[BATCHES / 10], ns = row->ns[BATCHES / 10];
    printf("| %-32s | %5.0f | %5.1f | %6.1f | %6.1f | %5.2f | %5.2f |\n", row->name, bytes,
           (double)row->fields / count, ns, row->ns[BATCHES / 2], bytes / ns, tick > 0 ? bytes / tick : 0);
}

/* Heads with the browser's fields in another order, some left out, some longer. Seeded: the same each run. */
static void variants(struct head_text *heads)
{
    const char *text = samples[2].text;
    uint32_t seed = 1;
    for (int at = 0; at < VARIANTS; at++) {
        const char *lines[16];
        size_t count = 0;
        for (const char *line = text; *line != '\r'; line = strstr(line, "\r\n") + 2)
            lines[count++] = line;
        char out[4096];
        size_t len = 0;
        for (size_t line = 0; line < count; line++) {
            seed = seed * 1664525u + 1013904223u;
            size_t other = line < 2 ? line : line + (seed >> 16) % (count - line);
            const char *pick = lines[other];
            lines[other] = lines[line];
            if (line >= 2 && seed >> 29 == 0)
                continue;
            size_t size = (size_t)(strstr(pick, "\r\n") - pick), extra = line >= 2 ? (seed >> 8) % 40 : 0;
            memcpy(out + len, pick, size);
            memset(out + len + size, 'x', extra);
            memcpy(out + len + size + extra, "\r\n", 2);
            len += size + extra + 2;
        }
        memcpy(out + len, "\r\n", 2);
        len += 2;
        heads[at] = (struct head_text){malloc(len), len};
        memcpy(heads[at].text, out, len);
    }
}

#define LARGE_NAME "large, 60 fields"

/* As many and as long fields as no honest client sends. */
static void make_large(struct head_text *head)
{
    static const char name[] = "X-Some-Token: ";
    enum { LINES = 60, VALUE = 1000, MOST = 70000 };
    char *text = malloc(MOST);
    size_t len = (size_t)snprintf(text, MOST, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int line = 1; line < LINES; line++) {
        memcpy(text + len, name, sizeof name - 1);
        len += sizeof name - 1;
        for (int at = 0; at < VALUE; at++)
            text[len++] = (char)('a' + (at * 7 + line) % 26);
        text[len++] = '\r';
        text[len++] = '\n';
    }
    memcpy(text + len, "\r\n", 2);
    *head = (struct head_text){text, len + 2};
}

int main(int argc, char **argv)
{
    static struct head_text single[SAMPLE_COUNT], mixed[VARIANTS], large[1];
    for (size_t at = 0; at < SAMPLE_COUNT; at++)
        single[at] = (struct head_text){(char *)(uintptr_t)samples[at].text, strlen(samples[at].text)};
    make_large(large);
    if (argc > 1) { /* SAMPLE [COUNT]: for callgrind */
        size_t sample = strtoul(argv[1], NULL, 10);
        struct fw_limits limits = fw_limits_default();
        if (sample > SAMPLE_COUNT)
            return 2;
        for (int round = argc > 2 ? atoi(argv[2]) : 0; round > 0; round--)
            parse(sample < SAMPLE_COUNT ? &single[sample] : large, &limits, false);
        puts(sample < SAMPLE_COUNT ? samples[sample].name : LARGE_NAME);
        free(large->text);
        return 0;
    }
    printf("| head | bytes | fields | ns, fastest tenth | ns, median | GB/s | bytes a tick |\n");
    printf("| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for (size_t at = 0; at < SAMPLE_COUNT; at++)
        add_row(samples[at].name, &single[at], 1, false);
    add_row(LARGE_NAME, large, 1, false);
    variants(mixed);
    add_row("browser, 64 different", mixed, VARIANTS, false);
    add_row("browser, with fw_framing_of", &single[2], 1, true);
    add_row("64 different, with fw_framing_of", mixed, VARIANTS, true);
    for (int batch = 0; batch < BATCHES; batch++)
        for (size_t row = 0; row < row_count; row++)
            measure(&rows[row], batch);
    for (size_t row = 0; row < row_count; row++)
        report(&rows[row]);
    for (int at = 0; at < VARIANTS; at++)
        free(mixed[at].text);
    free(large->text);
    return 0;
}
