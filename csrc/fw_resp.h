/* fw_resp: the response as bytes: head, framing, hygiene (RFC 9110 section 6, RFC 9112 sections 6 and 7).
 *
 * Everything the application hands over is checked here, once, on its way into the output buffer. The
 * head is not to be sent before fw_resp_end_head(): until then it is the last `head_len` bytes of the
 * buffer and may still be taken back (PEP 3333: start_response called again with exc_info).
 *
 *     NONE --status--> HEAD --end_head--> BODY --finish--> DONE
 *       ^________________|                                                                     */
#ifndef FW_RESP_H
#define FW_RESP_H

#include "fw_buf.h"
#include "fw_clock.h"
#include "fw_error.h"
#include "fw_name.h"

enum fw_resp_stage { FW_RESP_NONE, FW_RESP_HEAD, FW_RESP_BODY, FW_RESP_DONE };

enum fw_resp_framing {
    FW_RESP_EMPTY,    /* no body on the wire: HEAD, 1xx, 204, 304 */
    FW_RESP_LENGTH,   /* Content-Length bytes */
    FW_RESP_CHUNKED,  /* HTTP/1.1, length unknown */
    FW_RESP_TO_CLOSE, /* HTTP/1.0, length unknown: ended by closing */
};

struct fw_resp {
    /* the request */
    uint8_t minor;   /* HTTP/1.minor */
    bool to_head;    /* the method is HEAD */
    bool keep_alive; /* may the connection stay after this? only ever goes from true to false */
    /* head */
    uint8_t stage; /* enum fw_resp_stage */
    bool has_length;
    bool has_date;
    bool has_server;
    bool dropped; /* a hop-by-hop field was left out */
    uint16_t status;
    uint8_t framing; /* enum fw_resp_framing, from BODY on */
    size_t head_len; /* bytes at the end of the buffer that are the unfinished head */
    uint64_t length; /* Content-Length, where has_length */
    /* body */
    uint64_t sent;    /* body bytes let through */
    uint64_t offered; /* body bytes the application gave */
};

void fw_resp_reset(struct fw_resp *resp, unsigned minor, bool to_head, bool keep_alive);

/* Begin a head, taking back one that was begun before. `status` is "ddd" or "ddd reason".
 * APP_STATUS: it is not; NO_MEMORY. Nothing is left in the buffer then.                       */
enum fw_error fw_resp_status(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool,
                             const char *status, size_t len);

/* Add a field. White space around the value goes. Hop-by-hop fields are left out (and `dropped` set), but
 * "Connection: close" is obeyed. APP_NAME, APP_VALUE, APP_LENGTH, NO_MEMORY.                   */
enum fw_error fw_resp_field(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool, const char *name,
                            size_t name_len, const char *value, size_t value_len);

/* The same in two steps, for a caller who remembers names: which is it (enum fw_name, 0 for one that is not
 * known, or -FW_E_APP_NAME), and add a field whose name has been found to be `id`. */
int fw_resp_name(const char *name, size_t len);
enum fw_error fw_resp_named_field(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool,
                                  enum fw_name id, const char *name, size_t name_len, const char *value,
                                  size_t value_len);

/* For a caller who remembers what these have written: may the line of such a field be written again as it
 * is, whatever stands around it? And do that: a status line (`status` is its code), a field's line. */
bool fw_resp_repeats(enum fw_name id);
enum fw_error fw_resp_status_again(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool,
                                   const char *line, size_t len, uint16_t status);
enum fw_error fw_resp_field_again(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool,
                                  const char *line, size_t len);

/* Take the unfinished head back. */
void fw_resp_discard(struct fw_resp *resp, struct fw_buf *out);

/* Decide the framing and finish the head. `known` is the length of the whole body where the gateway
 * knows it, else -1; the application's own Content-Length wins. `server` is a whole "Server: x\r\n" line. */
enum fw_error fw_resp_end_head(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool,
                               const struct fw_clock *clock, const char *server, size_t server_len,
                               int64_t known);

/* The application gives a block of `len` bytes: *take says how many of them (from the front) are to be put on
 * the wire; where that is chunked, the chunk's size line is written to `out` now, and fw_resp_block_end()
 * writes what follows the data. A block of 0 bytes writes nothing.                            */
enum fw_error fw_resp_block(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool, size_t len,
                            size_t *take);
enum fw_error fw_resp_block_end(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool);

/* The application has given all: write the last chunk. Where it gave less than its Content-Length, the
 * connection must not stay: keep_alive becomes false and fw_resp_is_short() true. NO_MEMORY: the response is
 * not whole and the stage is still BODY.                                                     */
enum fw_error fw_resp_finish(struct fw_resp *resp, struct fw_buf *out, struct fw_pool *pool);
bool fw_resp_is_short(const struct fw_resp *resp);

size_t fw_resp_refusal_len(enum fw_error error); /* of the body of fw_resp_refuse() */

/* A whole answer for a row of the error table that has a status; always with "Connection: close". `body`
 * false for an answer to HEAD. `clock` NULL: without a Date.                                */
enum fw_error fw_resp_refuse(struct fw_buf *out, struct fw_pool *pool, const struct fw_clock *clock,
                             const char *server, size_t server_len, enum fw_error error, bool body);

#endif
