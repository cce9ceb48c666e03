/* app: what stands in for the gateway and an application: it does with a connection what they do.
 *
 * The target says what is wanted:
 *
 *     /echo...         200, "method target\n" and then the request's body
 *     /lines...        200, how many lines the body has and how long they are together
 *     /stream/N/SIZE   200, N blocks of SIZE bytes, no length given
 *     /large/SIZE      200, one block
 *     /file/SIZE       200, by sendfile, from an offset of 3 bytes
 *     /shrunk/SIZE     the same, but the file is only half as long as was promised
 *     /missing/SIZE    200, half of the Content-Length
 *     /empty           204
 *     /close           200, "Connection: close" from the application
 *     /fail            500: it raises before its head
 *     /cut/SIZE        200 without a length; it raises behind SIZE bytes                     */
#ifndef APP_H
#define APP_H

#include "fw_loop.h"

/* What a connection that no loop has needs around it. */
enum { APP_BODY_MEMORY = 8000 };
void app_env_init(struct fw_conn_env *env);
void app_env_drop(struct fw_conn_env *env);

/* APP -> answered, cut or refused. `loop` may be NULL: then nobody waits for room. */
void app_serve(struct fw_conn *conn, struct fw_loop *loop);

/* Byte `off` of every body that is made up. */
char app_byte(uint64_t off);

/* Called while app_serve() waits for room; NULL at first. */
extern void (*app_while_waiting)(void);

/* Whatever the target: /echo. */
extern bool app_only_echoes;

#endif
