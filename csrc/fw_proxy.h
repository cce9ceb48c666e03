/* fw_proxy: the header of the PROXY protocol, versions 1 and 2, by which a proxy tells whose connection it
 * passes on: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
 *
 * It stands before the first request of a connection, or does not: a mode says which versions are looked for,
 * and what is neither is HTTP. Pure: no allocation, no system call, nothing remembered between calls; a
 * header that comes in pieces is looked at again from its beginning, which is short. */
#ifndef FW_PROXY_H
#define FW_PROXY_H

#include "fw_addr.h"
#include "fw_error.h"

enum fw_proxy_mode { /* bits */
                     FW_PROXY_OFF = 0,
                     FW_PROXY_V1 = 1,
                     FW_PROXY_V2 = 2,
                     FW_PROXY_AUTO = FW_PROXY_V1 | FW_PROXY_V2,
};

enum {
    FW_PROXY_LINE_MOST = 107, /* of version 1, with its CR LF: the protocol's own bound */
    FW_PROXY_MOST = 8192,     /* of version 2, whatever it carries behind the addresses */
};

/* What the header says of the client. */
enum fw_proxy_kind {
    FW_PROXY_NONE = 0, /* there is no header */
    FW_PROXY_TCP4,
    FW_PROXY_TCP6,
    FW_PROXY_UNIX,    /* the client came by a unix socket: no address */
    FW_PROXY_LOCAL,   /* the proxy speaks for itself: a health check */
    FW_PROXY_UNKNOWN, /* version 1 */
    FW_PROXY_UNSPEC,  /* version 2 */
};

struct fw_proxy {
    uint8_t kind; /* enum fw_proxy_kind; the rest is filled in for TCP4 and TCP6 */
    uint16_t client_port;
    uint16_t proxy_port;
    struct fw_addr client;
    struct fw_addr proxy; /* where the client connected to */
};

enum fw_proxy_sight {
    FW_PROXY_SEES_MORE, /* too little to tell */
    FW_PROXY_SEES_NONE,
    FW_PROXY_SEES_V1,
    FW_PROXY_SEES_V2,
};

/* Does a connection that begins with buf[0..len) begin with a header? */
enum fw_proxy_sight fw_proxy_look(const char *buf, size_t len, enum fw_proxy_mode mode);

/* Parse the header at the start of buf[0..len), in which fw_proxy_look() has seen one.
 * Returns its length, 0 for "not all here yet", or -FW_E_PROXY_HEADER. */
ssize_t fw_proxy_parse(const char *buf, size_t len, enum fw_proxy_sight seen, struct fw_proxy *proxy);

/* "TCP4" and so on; "" for FW_PROXY_NONE. */
const char *fw_proxy_name(enum fw_proxy_kind kind);

#endif
