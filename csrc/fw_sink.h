/* fw_sink: lines on their way to a log's descriptor, many in one write.
 *
 * Whole lines are collected and written together: to a file all at once, to a pipe in pieces that the kernel
 * takes undivided, so that lines of several processes do not mix. Whoever reads the other end may be slow or
 * stuck: nothing here waits longer than it was told to. What is not taken is kept up to a mark, past it new
 * lines are lost and counted, and so is what an error keeps from being written.
 *
 * One thread at a time. The descriptor stays the caller's, who may put another file in its place (dup2). */
#ifndef FW_SINK_H
#define FW_SINK_H

#include "fw_base.h"

/* So much may be kept: then it is written, wherever the turn stands. */
#define FW_SINK_FULL ((size_t)65536)
/* How long a full sink waits for who reads it, and how long the end of the process does. */
#define FW_SINK_WAIT_MS 1000

enum fw_sink_kind { FW_SINK_FILE, FW_SINK_STREAM, FW_SINK_SOCKET };

struct fw_sink {
    int fd;
    uint8_t kind;  /* enum fw_sink_kind */
    bool mid_line; /* the last byte that was written is not the end of a line */
    bool mend;     /* ... and the rest of that line is lost: the next one needs a line of its own */
    bool stuck;    /* it was waited for in vain, and took nothing since */
    int problem;   /* errno of the last failed write; 0: nobody reads */
    uint64_t lost; /* lines */
    char *data;    /* live: data[off..len) */
    size_t off, len, cap;
};

void fw_sink_init(struct fw_sink *sink, int fd);
void fw_sink_drop(struct fw_sink *sink);

static inline size_t fw_sink_live(const struct fw_sink *sink)
{
    return sink->len - sink->off;
}

bool fw_sink_grow(struct fw_sink *sink, size_t more);

/* Where `more` bytes of a line may be written; then add what was written to sink->len. NULL: no memory. */
static inline char *fw_sink_room(struct fw_sink *sink, size_t more)
{
    if (FW_UNLIKELY(sink->cap - sink->len < more) && !fw_sink_grow(sink, more))
        return NULL;
    return sink->data + sink->len;
}

/* Is there room for one more line? If not it is counted as lost. */
bool fw_sink_begin(struct fw_sink *sink);

/* A line is whole; or, where memory ran out in its middle, it is lost: back to `live` bytes. */
void fw_sink_end(struct fw_sink *sink);
void fw_sink_undo(struct fw_sink *sink, size_t live);

/* Write what is kept, waiting at most so long for who reads it (a file apart). */
void fw_sink_flush(struct fw_sink *sink, int wait_ms);

#endif
