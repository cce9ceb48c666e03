/* fw_conn_parts: what the parts of fw_conn share among themselves; nobody else includes it.
 *
 *   fw_conn.c         the state machine: reading, refusing, ending
 *   fw_conn_client.c  who the client is: the peer, or whom a proxy names
 *   fw_conn_body.c    where a request's body is kept until it is read
 *   fw_conn_output.c  what is sent and what waits
 *   fw_conn_upgrade.c interim answers; the socket in the application's own hands
 *   fw_conn_lines.c   what the logs are told                                                            */
#ifndef FW_CONN_PARTS_H
#define FW_CONN_PARTS_H

#include "fw_conn.h"
#include <unistd.h>

/* So much may wait for a pipelined request's answer. */
#define FW_CONN_COALESCE_MOST ((size_t)32768)

static inline void fw_conn_drop_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- fw_conn_client.c --- */

/* Before the first request: take a header of the PROXY protocol off what has come. False: more of it is to
 * come (state HEAD), or it is refused. True: what follows is HTTP.                                  */
bool fw_conn_take_proxy(struct fw_conn *conn);

/* A head is here: heed what a proxy says in its fields. */
enum fw_error fw_conn_heed(struct fw_conn *conn);

/* --- fw_conn_body.c --- */

/* Body bytes that lie in `in` at `at` (from in.off) get to where the body is kept. */
enum fw_error fw_conn_body_keep(struct fw_conn *conn, size_t at, size_t len);

/* Is the path of the head that is here one of env->early_paths, or below one? Its bytes are compared as they
 * are: who writes it in another way has his body collected. */
bool fw_conn_path_is_early(const struct fw_conn *conn);

/* Where the next bytes of a body that is kept in a file are read to, and how many. 0: to `in`, as any others.
 *
 * Such bytes need no place in `in`, so that many long bodies take the memory of one block, which is still in
 * the processor's second cache when it is written. Each piece ends at a multiple of its size, if it comes
 * whole: file systems with large folios then have one for it, at half the cost. */
size_t fw_conn_body_room(struct fw_conn *conn, char **at);

/* `len` bytes have been read there. */
enum fw_error fw_conn_body_pour(struct fw_conn *conn, size_t len);

/* The body is not needed any more: its file, if it has one, is another body's, or freed when there is time.
 */
void fw_conn_body_drop(struct fw_conn *conn);

/* --- fw_conn_output.c --- */

/* The socket, or memory, has failed: nothing more will be sent. The first failure stays in conn->error. */
enum fw_error fw_conn_lost(struct fw_conn *conn, int problem);

/* Everything out? Then true; else `blocked` or `error` says why not. */
bool fw_conn_flush(struct fw_conn *conn);

/* Say 100 Continue, in front of a head that is still being written. Later, if there is no room. */
void fw_conn_continue(struct fw_conn *conn);

/* --- fw_conn_lines.c --- */

/* The access line of a request that ends with this status. */
void fw_conn_note_line(struct fw_conn *conn, unsigned status, uint64_t sent, uint64_t now_ns);

/* The answer is not the application's whole one: it failed in the middle, the client has gone, or `error` has
 * a status of its own, with which the client was told.                                               */
void fw_conn_note_end(struct fw_conn *conn, enum fw_error error, uint64_t now_ns);

/* The application's part is done. Afterwards the line is there, or waits for the client to take the rest. */
void fw_conn_note_answer(struct fw_conn *conn);

/* The error log's note of conn->error. */
void fw_conn_note_refusal(struct fw_conn *conn);

/* The client went away in the middle of its request. */
void fw_conn_note_gone(struct fw_conn *conn);

#endif
