#include "fw_buf.h"

#include <string.h>

void fw_pool_init(struct fw_pool *pool, size_t size, uint32_t keep)
{
    assert(size >= sizeof pool->first);
    *pool = (struct fw_pool){.size = size, .keep = keep};
}

void fw_pool_drop(struct fw_pool *pool)
{
    while (pool->first != NULL) {
        void *block = pool->first;
        memcpy(&pool->first, block, sizeof pool->first);
        FW_FREE(block);
    }
    pool->count = 0;
}

void *fw_pool_take(struct fw_pool *pool)
{
    void *block = pool->first;
    if (block == NULL)
        return FW_REALLOC(NULL, pool->size);
    memcpy(&pool->first, block, sizeof pool->first);
    pool->count--;
    return block;
}

void fw_pool_give(struct fw_pool *pool, void *block)
{
    if (pool->count >= pool->keep) {
        FW_FREE(block);
        return;
    }
    memcpy(block, &pool->first, sizeof pool->first);
    pool->first = block;
    pool->count++;
}

bool fw_buf_grow(struct fw_buf *buf, struct fw_pool *pool, size_t more)
{
    size_t live = fw_buf_live(buf);
    if (more > FW_SPAN_MAX || live > FW_SPAN_MAX - more)
        return false;
    size_t need = live + more;

    if (buf->cap == 0 && need <= FW_BUF_BLOCK) {
        char *block = fw_pool_take(pool);
        if (block == NULL)
            return false;
        *buf = (struct fw_buf){.data = block, .cap = FW_BUF_BLOCK};
        return true;
    }
    /* Room in front is used when it is at least half, so that moving costs O(1) a byte. */
    if (need <= buf->cap && buf->off >= buf->cap / 2) {
        memmove(buf->data, buf->data + buf->off, live);
        buf->off = 0;
        buf->len = live;
        return true;
    }
    size_t cap = buf->cap < FW_BUF_BLOCK ? FW_BUF_BLOCK : buf->cap;
    while (cap < need)
        cap *= 2;
    if (cap == buf->cap)
        cap *= 2; /* room in front, but too little of it to be worth the moves */
    if (cap > FW_SPAN_MAX)
        cap = FW_SPAN_MAX;
    char *data = FW_REALLOC(NULL, cap);
    if (data == NULL)
        return false;
    if (live > 0)
        memcpy(data, buf->data + buf->off, live);
    fw_buf_release(buf, pool);
    *buf = (struct fw_buf){.data = data, .len = live, .cap = cap};
    return true;
}

bool fw_buf_append(struct fw_buf *buf, struct fw_pool *pool, const char *data, size_t len)
{
    if (!fw_buf_reserve(buf, pool, len))
        return false;
    if (len > 0)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return true;
}

void fw_buf_take(struct fw_buf *buf, size_t n)
{
    assert(n <= fw_buf_live(buf));
    buf->off += n;
    if (buf->off == buf->len)
        buf->off = buf->len = 0;
}

void fw_buf_shrink(struct fw_buf *buf, struct fw_pool *pool)
{
    size_t live = fw_buf_live(buf);
    char *block = buf->cap > FW_BUF_BLOCK && live <= FW_BUF_BLOCK / 2 ? fw_pool_take(pool) : NULL;
    if (block == NULL)
        return;
    memcpy(block, buf->data + buf->off, live);
    fw_buf_release(buf, pool);
    *buf = (struct fw_buf){.data = block, .len = live, .cap = FW_BUF_BLOCK};
}

void fw_buf_release(struct fw_buf *buf, struct fw_pool *pool)
{
    if (buf->cap == FW_BUF_BLOCK)
        fw_pool_give(pool, buf->data);
    else if (buf->cap != 0)
        FW_FREE(buf->data);
    *buf = (struct fw_buf){0};
}
