/* fw_scan: how far does a run of bytes of one class reach?
 *
 * A function with a `_scalar` twin has one meaning and two bodies: the scalar one (the reference, always
 * compiled, always tested against) and vector ones. Which vector body runs depends on what the
 * processor has, so that a binary built for plain x86-64 runs anywhere and is fast where it can be.
 *
 * None reads outside buf[0..len).                                                          */
#ifndef FW_SCAN_H
#define FW_SCAN_H

#include "fw_base.h"

/* Classes of bytes, as bits of fw_scan_class[byte]. */
enum fw_class {
    FW_C_TOKEN = 1,   /* tchar, RFC 9110 section 5.6.2 */
    FW_C_TARGET = 2,  /* 0x21-0x7E */
    FW_C_VALUE = 4,   /* HTAB, SP, VCHAR, obs-text: RFC 9110 section 5.5 */
    FW_C_DIGIT = 8,   /* 0-9 */
    FW_C_HEX = 16,    /* 0-9 a-f A-F */
    FW_C_METHOD = 32, /* token, but no a-z and no '#': the default rule for methods */
    FW_C_HOST = 64,   /* reg-name bytes but '%': RFC 3986 section 3.2.2 */
    FW_C_PLAIN = 128, /* anything but '_' */
};

extern const uint8_t fw_scan_class[256];

/* Length of the longest prefix of buf[0..len) made of ... */
size_t fw_scan_token(const char *buf, size_t len);  /* token bytes */
size_t fw_scan_target(const char *buf, size_t len); /* 0x21-0x7E */
size_t fw_scan_path(const char *buf, size_t len);   /* 0x21-0x7E but '#', '%', '?' */
size_t fw_scan_value(const char *buf, size_t len);  /* HTAB, 0x20-0x7E, 0x80-0xFF */
size_t fw_scan_ascii(const char *buf, size_t len);  /* 0x00-0x7F */

/* What field lines ask of the first 64 bytes of buf[0..len), a bit a byte, the first byte's lowest. Bits of
 * bytes that are not there are 0.                                                             */
enum { FW_WINDOW = 64 };

struct fw_window {
    uint64_t odd;   /* not 0x20-0x7E: the CR of a plain line, and whatever makes a line less than plain */
    uint64_t colon; /* ':' */
};

/* `before` bytes in front of buf may be read as well: that makes the last few of a buffer quick. */
struct fw_window fw_scan_window(const char *buf, size_t len, size_t before);

/* The scalar twins: same meaning, plain C. */
size_t fw_scan_target_scalar(const char *buf, size_t len);
size_t fw_scan_path_scalar(const char *buf, size_t len);
size_t fw_scan_value_scalar(const char *buf, size_t len);
size_t fw_scan_ascii_scalar(const char *buf, size_t len);
struct fw_window fw_scan_window_scalar(const char *buf, size_t len);

/* Value of a hexadecimal digit, -1 for any other byte. */
int fw_scan_hex(char byte);

/* Are the two equal, ASCII letters folded?  `lower` holds no upper-case letter. */
bool fw_scan_same(const char *buf, size_t len, const char *lower, size_t lower_len);

/* Percent-decode buf[0..len) into out (room for len bytes), one pass, '%' not followed by two
 * hexadecimal digits kept as it is (as urllib.parse.unquote does). Returns the decoded length.
 * `out` may be `buf`.                                                                      */
size_t fw_scan_unquote(const char *buf, size_t len, char *out);

/* One element of a comma-separated list (RFC 9110 section 5.6.1): starting at *pos, skip empty elements
 * and OWS, give the element without surrounding OWS as a span of `buf`, move *pos past it.
 * Returns false at the end of the list. Quoted strings are not special.                     */
bool fw_scan_list(const char *buf, size_t len, size_t *pos, struct fw_span *element);

#endif
