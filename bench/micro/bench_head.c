/* bench_head: what one request head costs, in nanoseconds, instructions' worth of clock and bytes a cycle.
 *
 * Each sample is parsed in batches; a batch's time is divided by its size, and the median of the batches is
 * given with the fastest and the slowest tenth. The last row parses heads that differ in order and
 * length, so that the branch predictor cannot learn one of them by heart.                       */
#include "fw_framing.h"
#include "heads.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { BATCHES = 201, FIELDS = 100, VARIANTS = 64 };

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

static void measure(const char *name, const struct head_text *heads, size_t count, bool framing)
{
    struct fw_limits limits = fw_limits_default();
    size_t bytes = 0, found = 0;
    for (size_t at = 0; at < count; at++) {
        bytes += heads[at].len;
        found += parse(&heads[at], &limits, framing);
    }
    size_t rounds = 400000 / bytes + 1;
    double ns[BATCHES], cycles[BATCHES], heads_parsed = (double)(rounds * count);
    for (int batch = 0; batch < BATCHES; batch++) {
        uint64_t tick = ticks(), start = now_ns();
        for (size_t round = 0; round < rounds; round++)
            for (size_t at = 0; at < count; at++)
                parse(&heads[at], &limits, framing);
        ns[batch] = (double)(now_ns() - start) / heads_parsed;
        cycles[batch] = (double)(ticks() - tick) / heads_parsed;
    }
    qsort(ns, BATCHES, sizeof ns[0], by_value);
    qsort(cycles, BATCHES, sizeof cycles[0], by_value);
    double mean = (double)bytes / (double)count;
    printf("| %-32s | %5.0f | %6.1f | %8.1f | %6.1f - %6.1f | %5.2f | %5.2f |\n", name, mean,
           (double)found / (double)count, ns[BATCHES / 2], ns[BATCHES / 10], ns[BATCHES * 9 / 10],
           mean / ns[BATCHES / 2], cycles[0] > 0 ? mean / cycles[BATCHES / 2] : 0.0);
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

int main(int argc, char **argv)
{
    if (argc == 3) { /* SAMPLE COUNT: for callgrind */
        const char *text = samples[atoi(argv[1])].text;
        struct head_text head = {(char *)(uintptr_t)text, strlen(text)};
        struct fw_limits limits = fw_limits_default();
        for (int round = atoi(argv[2]); round > 0; round--)
            parse(&head, &limits, false);
        return 0;
    }
    printf("| %-32s | bytes | fields | ns       | tenth - ninetieth | GB/s | bytes/tick |\n", "head");
    printf("| --- | ---: | ---: | ---: | :---: | ---: | ---: |\n");
    for (size_t at = 0; at < SAMPLE_COUNT; at++) {
        struct head_text head = {(char *)(uintptr_t)samples[at].text, strlen(samples[at].text)};
        measure(samples[at].name, &head, 1, false);
    }
    struct head_text mixed[VARIANTS];
    variants(mixed);
    measure("browser, 64 different", mixed, VARIANTS, false);
    struct head_text browser = {(char *)(uintptr_t)samples[2].text, strlen(samples[2].text)};
    measure("browser, with fw_framing_of", &browser, 1, true);
    measure("64 different, with fw_framing_of", mixed, VARIANTS, true);
    for (int at = 0; at < VARIANTS; at++)
        free(mixed[at].text);
    return 0;
}
