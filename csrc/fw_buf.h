/* fw_buf: a growable byte buffer, and the pool that blocks of the usual size come from and go back to.
 *
 * Live bytes are data[off..len): they are appended at the end and taken from the front. A buffer that
 * owns no memory is all zero; an idle connection has two of those.                            */
#ifndef FW_BUF_H
#define FW_BUF_H

#include "fw_base.h"

/* One block holds nearly every request and most answers; larger ones grow by doubling. 17 KiB less the
 * allocator's header: blocks a power of two apart would all fall into the same few cache sets.      */
#define FW_BUF_BLOCK ((size_t)17392)

struct fw_buf {
    char *data;
    size_t off;
    size_t len;
    size_t cap;
};

/* Free blocks of one size, last in first out so that the warm one is reused. One of a kind per loop. */
struct fw_pool {
    void *first;
    size_t size; /* of each block, at least sizeof(void *) */
    uint32_t count;
    uint32_t keep; /* at most so many are kept */
};

void fw_pool_init(struct fw_pool *pool, size_t size, uint32_t keep);
void fw_pool_drop(struct fw_pool *pool);
void *fw_pool_take(struct fw_pool *pool); /* NULL: no memory */
void fw_pool_give(struct fw_pool *pool, void *block);

static inline size_t fw_buf_live(const struct fw_buf *buf)
{
    return buf->len - buf->off;
}

/* The `pool` of these functions holds blocks of FW_BUF_BLOCK bytes.
 *
 * Grow so that `more` bytes can be written at data[len]. Live bytes may move (to the front, or to other
 * memory): only offsets from data + off stay true. False: no memory, or past FW_SPAN_MAX; unchanged.  */
bool fw_buf_grow(struct fw_buf *buf, struct fw_pool *pool, size_t more);

static inline bool fw_buf_reserve(struct fw_buf *buf, struct fw_pool *pool, size_t more)
{
    return FW_LIKELY(buf->cap - buf->len >= more) || fw_buf_grow(buf, pool, more);
}

bool fw_buf_append(struct fw_buf *buf, struct fw_pool *pool, const char *data, size_t len);

/* The first n live bytes are done with. */
void fw_buf_take(struct fw_buf *buf, size_t n);

/* Back to one block, if the live bytes leave half of one free. Without memory for it all stays. */
void fw_buf_shrink(struct fw_buf *buf, struct fw_pool *pool);

/* Give the memory back; the buffer is empty and owns nothing. */
void fw_buf_release(struct fw_buf *buf, struct fw_pool *pool);

#endif
