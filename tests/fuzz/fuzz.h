/* fuzz: what the targets share. A promise that is broken aborts, which the fuzzer and the replay both notice.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "fw_parser.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition) fuzz_promise((condition), #condition, __FILE__, __LINE__)

static inline void fuzz_promise(bool held, const char *text, const char *file, int line)
{
    if (!held) {
        fprintf(stderr, "%s:%d: broken: %s\n", file, line, text);
        abort();
    }
}

enum { FUZZ_FIELDS = 64 };

/* Blocks that the core has and has not given back; and how many more it gets (ULONG_MAX: as many as it
 * wants). A target that changes that changes it back. */
extern long fuzz_blocks;
extern unsigned long fuzz_allocs_left;

/* The input is the bytes; what else a target needs comes from a byte of its end, so that a seed is a plain
 * request and a change of it remains one.                                                     */
struct fuzz_choice {
    uint32_t state;
};

static inline struct fuzz_choice fuzz_choices(const uint8_t *data, size_t size)
{
    return (struct fuzz_choice){size > 0 ? data[size - 1] * 2654435761u + 1 : 1};
}

static inline uint32_t fuzz_choose(struct fuzz_choice *choice, uint32_t below)
{
    choice->state = choice->state * 1664525u + 1013904223u;
    return (choice->state >> 8) % below;
}

/* Default limits, now and then tight ones. */
static inline struct fw_limits fuzz_limits(struct fuzz_choice *choice)
{
    struct fw_limits limits = fw_limits_default();
    limits.rules = fuzz_choose(choice, 64);
    if (fuzz_choose(choice, 2) == 0)
        return limits;
    limits.line = fuzz_choose(choice, 64);
    limits.fields = fuzz_choose(choice, 8);
    limits.field_size = fuzz_choose(choice, 64);
    limits.head = fuzz_choose(choice, 300);
    limits.chunk_line = fuzz_choose(choice, 32);
    limits.trailer = fuzz_choose(choice, 64);
    limits.body = fuzz_choose(choice, 64);
    return limits;
}

/* The bytes in a block of just their size: a look past it is seen. The caller frees. */
static inline char *fuzz_copy(const void *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    PROMISE(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

static inline bool fuzz_inside(struct fw_span span, size_t len)
{
    return fw_span_end(span) <= len;
}

static inline bool fuzz_same_span(struct fw_span a, struct fw_span b)
{
    return a.off == b.off && a.len == b.len;
}

static inline bool fuzz_same_field(const struct fw_field *a, const struct fw_field *b)
{
    return fuzz_same_span(a->name, b->name) && fuzz_same_span(a->value, b->value) && a->id == b->id &&
           a->flags == b->flags;
}

/* Show fw_head_parse the bytes in pieces, each in memory of its own. */
static inline ssize_t fuzz_head(const uint8_t *data, size_t size, struct fuzz_choice *choice,
                                const struct fw_limits *limits, struct fw_head *head)
{
    ssize_t result = 0;
    for (size_t seen = 0, shown = 0; result == 0 && seen < size; seen = shown) {
        shown += 1 + fuzz_choose(choice, fuzz_choose(choice, 2) ? 4 : 64);
        shown = shown < size ? shown : size;
        char *copy = fuzz_copy(data, shown);
        result = fw_head_parse(copy, shown, seen, limits, head);
        free(copy);
    }
    return result;
}

#endif
