/* Tests of fw_buf: what goes in comes out, nothing is lost when memory runs out, and all of it is given back.
 */
#include "fault.h"
#include "fw_buf.h"
#include "fw_test.h"

static struct fw_pool pool;

static void begin(void)
{
    fault_reset();
    fw_pool_init(&pool, FW_BUF_BLOCK, 2);
}

static void end(struct fw_buf *buf)
{
    fw_buf_release(buf, &pool);
    CHECK(buf->data == NULL && buf->cap == 0 && fw_buf_live(buf) == 0);
    fw_pool_drop(&pool);
    CHECK_EQUAL(fault_blocks(), 0);
}

static void an_empty_one_owns_nothing(void)
{
    struct fw_buf buf = {0};
    begin();
    CHECK(fw_buf_append(&buf, &pool, "", 0));
    CHECK(fw_buf_reserve(&buf, &pool, 0));
    fw_buf_take(&buf, 0);
    CHECK_EQUAL(fault_blocks(), 0);
    end(&buf);
}

static void the_pool_gives_back_the_warm_block(void)
{
    begin();
    void *a = fw_pool_take(&pool), *b = fw_pool_take(&pool), *c = fw_pool_take(&pool);
    CHECK(a != NULL && b != NULL && c != NULL && a != b && b != c && a != c);
    memset(a, 1, FW_BUF_BLOCK);
    memset(b, 2, FW_BUF_BLOCK);
    memset(c, 3, FW_BUF_BLOCK);
    fw_pool_give(&pool, a);
    fw_pool_give(&pool, b);
    CHECK_EQUAL(pool.count, 2);
    fw_pool_give(&pool, c); /* one more than are kept */
    CHECK_EQUAL(pool.count, 2);
    CHECK_EQUAL(fault_blocks(), 2);
    CHECK(fw_pool_take(&pool) == b);
    CHECK(fw_pool_take(&pool) == a);
    CHECK_EQUAL(pool.count, 0);
    fw_pool_give(&pool, a);
    fw_pool_give(&pool, b);
    fw_pool_drop(&pool);
    CHECK_EQUAL(fault_blocks(), 0);
    CHECK_EQUAL(pool.count, 0);
}

static void a_first_block_is_the_pools(void)
{
    struct fw_buf buf = {0};
    begin();
    CHECK(fw_buf_append(&buf, &pool, "abc", 3));
    CHECK_EQUAL(buf.cap, FW_BUF_BLOCK);
    char *data = buf.data;
    fw_buf_release(&buf, &pool);
    CHECK_EQUAL(pool.count, 1);
    CHECK(fw_buf_append(&buf, &pool, "abc", 3));
    CHECK(buf.data == data);
    end(&buf);
}

static void a_large_one_shrinks_to_a_block(void)
{
    begin();
    struct fw_buf buf = {0};
    static char bytes[3 * FW_BUF_BLOCK];
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes + sizeof bytes - 4, "last", 4);
    CHECK(fw_buf_append(&buf, &pool, bytes, sizeof bytes));
    fw_buf_shrink(&buf, &pool); /* too much is in it */
    CHECK_EQUAL(fw_buf_live(&buf), sizeof bytes);
    fw_buf_take(&buf, sizeof bytes - 4);
    fault_fail(FAULT_alloc, 1, 1, 0);
    fw_buf_shrink(&buf, &pool);
    CHECK(buf.cap > sizeof bytes);
    fw_buf_shrink(&buf, &pool);
    CHECK(buf.cap == FW_BUF_BLOCK && buf.off == 0);
    CHECK(fw_buf_live(&buf) == 4 && memcmp(buf.data, "last", 4) == 0);
    const char *block = buf.data;
    fw_buf_shrink(&buf, &pool);
    CHECK(buf.data == block);
    end(&buf);
}

static void taking_all_starts_again_at_the_front(void)
{
    struct fw_buf buf = {0};
    begin();
    fw_buf_append(&buf, &pool, "abcdef", 6);
    fw_buf_take(&buf, 2);
    CHECK_EQUAL(buf.off, 2);
    CHECK_EQUAL(fw_buf_live(&buf), 4);
    CHECK(memcmp(buf.data + buf.off, "cdef", 4) == 0);
    fw_buf_take(&buf, 4);
    CHECK_EQUAL(buf.off, 0);
    CHECK_EQUAL(buf.len, 0);
    end(&buf);
}

static void room_in_front_is_used(void)
{
    struct fw_buf buf = {0};
    begin();
    CHECK(fw_buf_reserve(&buf, &pool, FW_BUF_BLOCK));
    memset(buf.data, 'x', FW_BUF_BLOCK);
    buf.len = FW_BUF_BLOCK;
    buf.data[FW_BUF_BLOCK - 1] = 'e';
    fw_buf_take(&buf, FW_BUF_BLOCK - 10);
    CHECK(fw_buf_append(&buf, &pool, "front", 5));
    CHECK_EQUAL(buf.cap, FW_BUF_BLOCK);
    CHECK_EQUAL(buf.off, 0);
    CHECK(buf.len == 15 && memcmp(buf.data, "xxxxxxxxxefront", 15) == 0);
    end(&buf);
}

/* A queue whose front is taken in small steps must not move all of it for each. */
static void moving_costs_little(void)
{
    struct fw_buf buf = {0};
    static char block[4096];
    begin();
    for (int i = 0; i < 40; i++)
        CHECK(fw_buf_append(&buf, &pool, block, sizeof block));
    size_t cap = buf.cap, moves = 0;
    for (int i = 0; i < 4000; i++) {
        const char *data = buf.data;
        size_t off = buf.off;
        fw_buf_take(&buf, sizeof block);
        CHECK(fw_buf_append(&buf, &pool, block, sizeof block));
        moves += buf.data != data || buf.off < off;
        CHECK_EQUAL(fw_buf_live(&buf), 40 * sizeof block);
    }
    CHECK(buf.cap <= 2 * cap);
    CHECK(moves < 4000 / 20);
    end(&buf);
}

static void what_cannot_be_is_refused_and_changes_nothing(void)
{
    struct fw_buf buf = {0};
    begin();
    CHECK(!fw_buf_reserve(&buf, &pool, FW_SPAN_MAX + 1));
    CHECK(!fw_buf_reserve(&buf, &pool, SIZE_MAX));
    CHECK(buf.data == NULL && buf.cap == 0);
    fw_buf_append(&buf, &pool, "abc", 3);
    fw_buf_take(&buf, 1);
    CHECK(!fw_buf_reserve(&buf, &pool, FW_SPAN_MAX - 1));
    CHECK(!fw_buf_append(&buf, &pool, "", SIZE_MAX - 1));
    CHECK(fw_buf_live(&buf) == 2 && memcmp(buf.data + buf.off, "bc", 2) == 0);
    for (size_t more = 1; more < 200000; more = more * 3 + 1) {
        struct fw_buf before = buf;
        fault_fail(FAULT_alloc, 1, 1, 0);
        if (fw_buf_reserve(&buf, &pool, more)) {
            CHECK(buf.cap - buf.len >= more);
            fault_reset();
        } else {
            CHECK(memcmp(&before, &buf, sizeof buf) == 0);
        }
    }
    CHECK(memcmp(buf.data + buf.off, "bc", 2) == 0);
    end(&buf);
}

/* Against a plain array, with memory that runs out now and then. */
static void random_steps_lose_nothing(void)
{
    enum { ROOM = 400000 };
    static char model[ROOM], block[60000];
    struct fw_buf buf = {0};
    struct fw_random random = {11};
    size_t off = 0, len = 0;
    uint64_t next = 0;
    begin();
    for (int step = 0; step < 20000; step++) {
        fw_test_note("step %d", step);
        if (fw_random(&random, 50) == 0)
            fault_fail(FAULT_alloc, 1, 1, 0);
        if (fw_random(&random, 2) == 0) {
            size_t more = fw_random(&random, fw_random(&random, 100) == 0 ? (uint32_t)sizeof block : 3000);
            if (len - off + more > ROOM / 2)
                continue;
            for (size_t i = 0; i < more; i++)
                block[i] = (char)(next++ * 31 >> 3);
            if (!fw_buf_append(&buf, &pool, block, more)) {
                next -= more;
                continue;
            }
            if (len + more > ROOM) {
                memmove(model, model + off, len - off);
                len -= off;
                off = 0;
            }
            memcpy(model + len, block, more);
            len += more;
        } else {
            size_t n = fw_random(&random, 4000);
            n = n < len - off ? n : len - off;
            fw_buf_take(&buf, n);
            off += n;
            if (fw_random(&random, 500) == 0) {
                fw_buf_release(&buf, &pool);
                off = len;
            }
        }
        if (!CHECK_EQUAL(fw_buf_live(&buf), len - off) ||
            !CHECK(len == off || memcmp(buf.data + buf.off, model + off, len - off) == 0) ||
            !CHECK(buf.off <= buf.len && buf.len <= buf.cap))
            break;
    }
    end(&buf);
}

static const struct fw_test tests[] = {
    {"an_empty_one_owns_nothing", an_empty_one_owns_nothing},
    {"the_pool_gives_back_the_warm_block", the_pool_gives_back_the_warm_block},
    {"a_first_block_is_the_pools", a_first_block_is_the_pools},
    {"a_large_one_shrinks_to_a_block", a_large_one_shrinks_to_a_block},
    {"taking_all_starts_again_at_the_front", taking_all_starts_again_at_the_front},
    {"room_in_front_is_used", room_in_front_is_used},
    {"moving_costs_little", moving_costs_little},
    {"what_cannot_be_is_refused_and_changes_nothing", what_cannot_be_is_refused_and_changes_nothing},
    {"random_steps_lose_nothing", random_steps_lose_nothing},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
