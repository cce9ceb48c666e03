/* Tests of fw_spill: which file is used again, when a spare one goes, and what a full disk does. */
#define _GNU_SOURCE
#include "fault.h"
#include "fw_spill.h"
#include "fw_test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fw_spill spill;
static struct fw_pool pool;
static int descriptors;

static void begin(void)
{
    fault_reset();
    descriptors = fault_descriptors();
    spill = (struct fw_spill){0};
    fw_pool_init(&pool, FW_BUF_BLOCK, 4);
}

static void end(void)
{
    fw_spill_drop(&spill, &pool);
    fw_pool_drop(&pool);
    CHECK_EQUAL(fault_blocks(), 0);
    CHECK_EQUAL(fault_descriptors(), descriptors);
}

static int take(void)
{
    int fd = fw_spill_take(&spill, "/tmp");
    CHECK(fd >= 0);
    return fd;
}

static int take_of(uint64_t len)
{
    int fd = take();
    CHECK(ftruncate(fd, (off_t)len) == 0);
    return fd;
}

static uint64_t length_of(int fd)
{
    struct stat stat;
    CHECK(fstat(fd, &stat) == 0);
    return (uint64_t)stat.st_size;
}

static void the_last_one_is_used_again(void)
{
    begin();
    int first = take_of(10), second = take_of(20);
    CHECK_EQUAL(fw_spill_due_ms(&spill), UINT64_MAX);
    fw_spill_give(&spill, first, 100);
    fw_spill_give(&spill, second, 200);
    CHECK_EQUAL(spill.bytes, 30);
    CHECK_EQUAL(fw_spill_due_ms(&spill), 100 + FW_SPILL_KEPT_MS);
    CHECK_EQUAL(take(), second);
    CHECK_EQUAL(length_of(second), 20); /* its pages are what it is kept for */
    CHECK_EQUAL(take(), first);
    CHECK_EQUAL(spill.bytes, 0);
    CHECK_EQUAL(fw_spill_due_ms(&spill), UINT64_MAX);
    fw_spill_give(&spill, first, 300);
    fw_spill_give(&spill, second, 300);
    end();
}

static void what_nobody_needs_is_freed_in_pieces(void)
{
    begin();
    int old = take_of(3 * FW_SPILL_PIECE + 1), young = take_of(7);
    CHECK(fw_buf_reserve(&spill.block, &pool, 100000));
    fw_spill_give(&spill, old, 1000);
    fw_spill_give(&spill, young, 1500);
    fw_spill_tidy(&spill, &pool, 1000 + FW_SPILL_KEPT_MS - 1);
    CHECK_EQUAL(length_of(old), 3 * FW_SPILL_PIECE + 1);
    for (uint64_t left = 3; left > 0; left--) {
        fw_spill_tidy(&spill, &pool, 1000 + FW_SPILL_KEPT_MS);
        CHECK_EQUAL(spill.count, 2);
        CHECK_EQUAL(length_of(old), (left - 1) * FW_SPILL_PIECE + 1);
        CHECK_EQUAL(spill.bytes, (left - 1) * FW_SPILL_PIECE + 8);
    }
    fw_spill_tidy(&spill, &pool, 1000 + FW_SPILL_KEPT_MS);
    CHECK(spill.count == 1 && spill.spare[0].fd == young && spill.bytes == 7);
    fw_spill_tidy(&spill, &pool, 1000 + FW_SPILL_KEPT_MS);
    CHECK(spill.count == 1 && spill.block.data != NULL);
    fw_spill_tidy(&spill, &pool, 1500 + FW_SPILL_KEPT_MS);
    CHECK(spill.count == 0 && spill.bytes == 0 && spill.block.data == NULL);
    fw_spill_tidy(&spill, &pool, 1500 + FW_SPILL_KEPT_MS);
    end();
}

static void too_much_is_freed_at_once_and_too_many_are_closed(void)
{
    begin();
    int whole = take_of(FW_SPILL_KEPT), more = take_of(FW_SPILL_PIECE);
    fw_spill_give(&spill, whole, 50);
    CHECK_EQUAL(fw_spill_due_ms(&spill), 50 + FW_SPILL_KEPT_MS);
    fw_spill_give(&spill, more, 60);
    CHECK_EQUAL(fw_spill_due_ms(&spill), 0);
    fw_spill_tidy(&spill, &pool, 60);
    CHECK_EQUAL(length_of(whole), FW_SPILL_KEPT - FW_SPILL_PIECE);
    CHECK_EQUAL(fw_spill_due_ms(&spill), 50 + FW_SPILL_KEPT_MS);

    int all[FW_SPILL_FILES + 1];
    for (int i = 0; i <= FW_SPILL_FILES; i++)
        all[i] = take_of(1);
    int open = fault_descriptors();
    for (int i = 0; i <= FW_SPILL_FILES; i++)
        fw_spill_give(&spill, all[i], 70);
    CHECK_EQUAL(spill.count, FW_SPILL_FILES);
    CHECK_EQUAL(fault_descriptors(), open - 1);
    end();
}

/* Space that is only kept is no reason to refuse a body. */
static void before_a_full_disk_spare_files_go(void)
{
    begin();
    char back[3];
    int fd = take(), spare = take_of(FW_SPILL_PIECE);
    fw_spill_give(&spill, spare, 0);
    fault_fail(FAULT_pwrite, 1, 1, ENOSPC);
    CHECK(fw_spill_write(&spill, fd, "abc", 3, 0));
    CHECK(spill.count == 0 && spill.bytes == 0);
    CHECK_EQUAL(fw_spill_read(fd, back, sizeof back, 0), 3);
    CHECK(memcmp(back, "abc", 3) == 0);
    fault_fail(FAULT_pwrite, 1, 1, ENOSPC);
    CHECK(!fw_spill_write(&spill, fd, "abc", 3, 0) && errno == ENOSPC);

    spare = take_of(FW_SPILL_PIECE);
    fw_spill_give(&spill, spare, 0);
    fault_fail(FAULT_pwrite, 1, 1, EIO); /* which they have nothing to do with */
    CHECK(!fw_spill_write(&spill, fd, "abc", 3, 0) && errno == EIO);
    CHECK_EQUAL(spill.count, 1);
    close(fd);
    end();
}

static const struct fw_test tests[] = {
    {"the_last_one_is_used_again", the_last_one_is_used_again},
    {"what_nobody_needs_is_freed_in_pieces", what_nobody_needs_is_freed_in_pieces},
    {"too_much_is_freed_at_once_and_too_many_are_closed", too_much_is_freed_at_once_and_too_many_are_closed},
    {"before_a_full_disk_spare_files_go", before_a_full_disk_spare_files_go},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
