#define _GNU_SOURCE
#include "fw_spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_unnamed(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0)
        return fd;
    /* file systems without O_TMPFILE */
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/fastwsgi-body-XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

int fw_spill_take(struct fw_spill *spill, const char *dir)
{
    if (spill->count == 0)
        return open_unnamed(dir);
    const struct fw_spill_file *last = &spill->spare[--spill->count];
    spill->bytes -= last->len;
    return last->fd;
}

static void close_spare(struct fw_spill *spill)
{
    while (spill->count > 0)
        close(spill->spare[--spill->count].fd);
    spill->bytes = 0;
}

bool fw_spill_write(struct fw_spill *spill, int fd, const char *data, size_t len, uint64_t off)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0) {
            if (errno != ENOSPC || spill->count == 0)
                return false;
            close_spare(spill);
            continue;
        }
        data += n;
        len -= (size_t)n;
        off += (uint64_t)n;
    }
    return true;
}

size_t fw_spill_read(int fd, char *out, size_t len, uint64_t off)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(fd, out + got, len - got, (off_t)(off + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
}

void fw_spill_give(struct fw_spill *spill, int fd, uint64_t now_ms)
{
    struct stat stat;
    if (spill->count == FW_SPILL_FILES || fstat(fd, &stat) != 0) {
        close(fd);
        return;
    }
    uint64_t len = (uint64_t)stat.st_size;
    spill->spare[spill->count++] = (struct fw_spill_file){.fd = fd, .len = len, .since_ms = now_ms};
    spill->bytes += len;
}

uint64_t fw_spill_due_ms(const struct fw_spill *spill)
{
    if (spill->count == 0)
        return UINT64_MAX;
    return spill->bytes > FW_SPILL_KEPT ? 0 : spill->spare[0].since_ms + FW_SPILL_KEPT_MS;
}

void fw_spill_tidy(struct fw_spill *spill, struct fw_pool *pool, uint64_t now_ms)
{
    if (fw_spill_due_ms(spill) > now_ms)
        return;
    struct fw_spill_file *oldest = &spill->spare[0];
    uint64_t less = oldest->len < FW_SPILL_PIECE ? oldest->len : FW_SPILL_PIECE;
    oldest->len -= less;
    spill->bytes -= less;
    if (oldest->len > 0 && ftruncate(oldest->fd, (off_t)oldest->len) == 0)
        return;
    spill->bytes -= oldest->len;
    close(oldest->fd);
    memmove(oldest, oldest + 1, --spill->count * sizeof *oldest);
    if (spill->count == 0)
        fw_buf_release(&spill->block, pool);
}

void fw_spill_drop(struct fw_spill *spill, struct fw_pool *pool)
{
    close_spare(spill);
    fw_buf_release(&spill->block, pool);
}
