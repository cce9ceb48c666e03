/* fw_base: what every file of the core shares: spans, the allocation hook, branch hints.
 *
 * Nothing here knows of HTTP or of sockets.                                              */
#ifndef FW_BASE_H
#define FW_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

/* A stretch of some buffer: an offset and a length, never a pointer, so the buffer may move.
 * What the offset counts from is said where the span is filled in.                        */
struct fw_span {
    uint32_t off;
    uint32_t len;
};

/* Offsets are 32 bits wide: no buffer of the core grows past this. */
#define FW_SPAN_MAX ((size_t)UINT32_MAX)

/* Every allocation of the core goes through these two names, so that a test build can fail the
 * n-th one (-DFW_REALLOC=... -DFW_FREE=...). Only fw_buf, fw_sink, fw_access, fw_loop and
 * fw_board allocate.                                                                       */
#ifndef FW_REALLOC
#define FW_REALLOC realloc
#define FW_FREE    free
#else
void *FW_REALLOC(void *old, size_t size);
void FW_FREE(void *old);
#endif

#define FW_LIKELY(x)   __builtin_expect(!!(x), 1)
#define FW_UNLIKELY(x) __builtin_expect(!!(x), 0)
/* Of a function that is rarely called: it is kept out of the way of those that are called always. */
#define FW_COLD __attribute__((cold, noinline))

static inline struct fw_span fw_span_of(size_t off, size_t len)
{
    assert(off <= FW_SPAN_MAX && len <= FW_SPAN_MAX - off);
    return (struct fw_span){.off = (uint32_t)off, .len = (uint32_t)len};
}

static inline size_t fw_span_end(struct fw_span span)
{
    return (size_t)span.off + span.len;
}

#endif
