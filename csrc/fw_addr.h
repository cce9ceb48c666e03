/* fw_addr: IP addresses as numbers and as text, and lists of networks that they may be in.
 *
 * An IPv4 address that comes dressed up as one of IPv6 (::ffff:192.0.2.1) is the IPv4 address: people write
 * their rules for that. Pure: no allocation, no system call.                                   */
#ifndef FW_ADDR_H
#define FW_ADDR_H

#include "fw_base.h"

enum fw_family {
    FW_FAMILY_NONE = 0, /* no IP address: a unix socket's peer, or nobody said */
    FW_FAMILY_4 = 4,
    FW_FAMILY_6 = 6,
};

struct fw_addr {
    uint8_t family;    /* enum fw_family */
    uint8_t bytes[16]; /* of IPv4 the first four, zeros behind them */
};

/* Room for the text of any address, and of any port. */
enum { FW_ADDR_TEXT = 46, FW_PORT_TEXT = 5 };

struct fw_addr fw_addr_of_4(const void *bytes);
struct fw_addr fw_addr_of_6(const void *bytes);

/* Is buf[0..len) an address, without brackets, port or zone? Numbers of IPv4 have no zeros in front. */
bool fw_addr_parse(const char *buf, size_t len, struct fw_addr *addr);

/* The port in buf[0..len): decimal digits, no zero in front of others, at most 65535. -1: it is none. */
int32_t fw_addr_port(const char *buf, size_t len);

/* Write the usual text (RFC 5952) without a NUL; returns its length, 0 for FW_FAMILY_NONE. */
size_t fw_addr_text(const struct fw_addr *addr, char out[FW_ADDR_TEXT]);
size_t fw_addr_port_text(uint16_t port, char out[FW_PORT_TEXT]);

/* One network, in a layout that its writer (fastwsgi/proxies.py) knows: bytes only. */
struct fw_network {
    uint8_t family;
    uint8_t bits; /* so many leading ones has its mask */
    uint8_t bytes[16];
};

struct fw_networks {
    const struct fw_network *each; /* the caller's */
    uint32_t count;
    bool all; /* every address is in it, whatever `each` says */
};

bool fw_addr_in(const struct fw_addr *addr, const struct fw_networks *networks);

#endif
