/* fw_framing: from a parsed head to what it promises (RFC 9112 sections 3.2, 6 and 9.3).
 *
 * How long is the body and how is it encoded, may the connection be used again, does the client wait
 * for "100 Continue", which host is meant? Every rule against request smuggling stands here, and
 * nowhere else is Content-Length or Transfer-Encoding looked at.
 *
 * Pure, like fw_head.                                                                        */
#ifndef FW_FRAMING_H
#define FW_FRAMING_H

#include "fw_head.h"

enum fw_body_kind {
    FW_BODY_NONE,    /* no body: neither field is there */
    FW_BODY_LENGTH,  /* Content-Length bytes, perhaps 0 */
    FW_BODY_CHUNKED, /* chunked, ended by the trailer section */
};

struct fw_framing {
    uint64_t length;      /* of the body, where kind is FW_BODY_LENGTH */
    struct fw_span host;  /* host and port that are meant: the target's authority, else Host; may be empty */
    uint8_t kind;         /* enum fw_body_kind */
    bool keep_alive;      /* the client lets the connection stay */
    bool expect_continue; /* HTTP/1.1 and Expect: 100-continue */
    bool upgrade;         /* Connection names upgrade and there is an Upgrade field */
};

/* Returns FW_OK or the refusal. `buf` is what `head` was parsed from. */
enum fw_error fw_framing_of(const char *buf, const struct fw_head *head, const struct fw_limits *limits,
                            struct fw_framing *framing);

/* Read a plain decimal number of at most 19 digits (no sign, no space): Content-Length of either
 * direction. Returns false, with *number untouched, for anything else or an overflow of int64_t.   */
bool fw_framing_length(const char *buf, size_t len, uint64_t *number);

/* Is the token (lower case) an element of the comma-separated list? Letters are folded. */
bool fw_framing_has_token(const char *buf, size_t len, const char *lower, size_t lower_len);

#endif
