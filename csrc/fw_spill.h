/* fw_spill: the files that long bodies are kept in: without a name, so that nothing is left behind whatever
 * happens to the process, and used again.
 *
 * To give a file its pages, and to take them back, is what writing one costs the kernel most: three quarters
 * of all that the way of a body from its socket to its file takes. So a file that is done with is spare for a
 * second, and the next body is written over what is in it. It keeps its length: who reads a body from a file
 * is never to read past the body's own end, since what stands there was somebody else's.
 *
 * Spare files that nobody has needed are shortened by a piece at a time, as are those that are too much
 * together: to free 100 MiB at once takes the kernel 10 to 25 ms, in which nobody would be served.       */
#ifndef FW_SPILL_H
#define FW_SPILL_H

#include "fw_buf.h"

/* When there are more than fit, files are closed at once. */
#define FW_SPILL_FILES 64
/* So much is kept spare, and for so long. */
#define FW_SPILL_KEPT    ((uint64_t)134217728)
#define FW_SPILL_KEPT_MS 1000
/* So much of a file is freed at once: about 60 us. */
#define FW_SPILL_PIECE ((uint64_t)524288)

struct fw_spill_file {
    int fd;
    uint64_t len;
    uint64_t since_ms;
};

/* One of a kind per loop. All zero has no spare files. */
struct fw_spill {
    struct fw_spill_file spare[FW_SPILL_FILES]; /* the one that was used last stands last */
    uint32_t count;
    uint64_t bytes;      /* of them all */
    struct fw_buf block; /* for the bytes on their way to a file, while there are such */
};

/* A file in the directory `dir`, with bytes in it that are nobody's any more. -1 with errno: there is none.
 */
int fw_spill_take(struct fw_spill *spill, const char *dir);

/* Write at `off`. Before a full disk is an error, spare files go. False with errno. */
bool fw_spill_write(struct fw_spill *spill, int fd, const char *data, size_t len, uint64_t off);

/* Read from `off`. Returns how much; less than `len` if the file cannot be read. */
size_t fw_spill_read(int fd, char *out, size_t len, uint64_t off);

/* `fd`, of fw_spill_take(), is done with. */
void fw_spill_give(struct fw_spill *spill, int fd, uint64_t now_ms);

/* When there is something to be freed. UINT64_MAX: there is nothing; 0: now. */
uint64_t fw_spill_due_ms(const struct fw_spill *spill);

/* Free a piece, if it is time. `pool`: of blocks of FW_BUF_BLOCK. */
void fw_spill_tidy(struct fw_spill *spill, struct fw_pool *pool, uint64_t now_ms);

/* Close what is spare. */
void fw_spill_drop(struct fw_spill *spill, struct fw_pool *pool);

#endif
