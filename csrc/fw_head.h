/* fw_head: request line and header fields of one request (RFC 9112 sections 2 to 5).
 *
 * No allocation, no system call, nothing remembered but in the caller's struct fw_head.
 * Spans are offsets from `buf`: the caller may grow or move it.
 *
 * What the fields mean together (how long is the body? may the connection stay?) is fw_framing's. */
#ifndef FW_HEAD_H
#define FW_HEAD_H

#include "fw_base.h"
#include "fw_error.h"
#include "fw_name.h"

/* What a peer may send. 0 means "no limit of its own" where that is said. */
struct fw_limits {
    uint32_t line;       /* request line without its CR LF, bytes; 0: only `head` counts */
    uint32_t fields;     /* field lines of one head */
    uint32_t field_size; /* one field line with its CR LF, bytes; 0: only `head` counts */
    uint32_t head;       /* whole head, bytes */
    uint32_t chunk_line; /* chunk-size line with extensions and CR LF, bytes */
    uint32_t trailer;    /* whole trailer section, bytes */
    uint64_t body;       /* decoded request body, bytes; 0: unlimited */
    uint32_t rules;      /* enum fw_rule bits */
};

/* Departures from the strict default. */
enum fw_rule {
    FW_RULE_ANY_METHOD = 1,        /* any token is a method, of any length up to `line` */
    FW_RULE_REFUSE_UNDERSCORE = 2, /* a field name with '_' is refused instead of marked */
    FW_RULE_UNFOLD = 4,            /* a field of a head may be folded; see fw_head_rewrite() */
    FW_RULE_STRIP_NAME = 8,   /* white space between a field's name and its colon is no part of the name */
    FW_RULE_ANY_VERSION = 16, /* HTTP/0.x is taken for 1.0, all others for 1.1 */
    FW_RULE_FOLD_CASE = 32,   /* a method is meant in capitals; see fw_head_rewrite() */
    /* of these, the ones after which the bytes of a head are not yet what is meant */
    FW_RULES_REWRITE = FW_RULE_UNFOLD | FW_RULE_FOLD_CASE,
};

/* gunicorn's defaults where it has them. */
struct fw_limits fw_limits_default(void);

enum fw_field_flag {
    FW_FIELD_ASCII = 1,      /* the value has no byte above 0x7F */
    FW_FIELD_UNDERSCORE = 2, /* the name has a '_': in CGI form it would be taken for one with a '-' */
    FW_FIELD_FOLDED = 4,     /* the value has line ends in it: see fw_head_rewrite() */
    FW_FIELD_HIDDEN = 8,     /* fw_forwarded: it would be taken for a field of the proxy's */
};

struct fw_field {
    struct fw_span name;
    struct fw_span value; /* without the white space around it */
    uint8_t id;           /* enum fw_name */
    uint8_t flags;        /* enum fw_field_flag bits */
};

/* RFC 9112 section 3.2 */
enum fw_form {
    FW_FORM_ORIGIN,    /* /path?query */
    FW_FORM_ABSOLUTE,  /* http://host/path?query */
    FW_FORM_AUTHORITY, /* host:port, CONNECT only */
    FW_FORM_ASTERISK,  /* *, OPTIONS only */
};

struct fw_head {
    struct fw_span method;
    struct fw_span target;    /* as sent */
    struct fw_span path;      /* of target, without query and fragment; empty for authority form */
    struct fw_span query;     /* of target, without '?' and fragment */
    struct fw_span authority; /* host and port of absolute and authority form, else empty */
    uint8_t method_id;        /* enum fw_method */
    uint8_t minor;            /* HTTP/1.minor: 0 or 1 */
    uint8_t form;             /* enum fw_form */
    bool path_escaped;        /* the path has a '%' */
    uint32_t done;            /* whole lines of a head that is not whole yet, bytes: fw_head_parse's own */
    uint32_t count;           /* fields that are filled in */
    uint32_t room;            /* fields that fit; the caller's */
    struct fw_field *fields;  /* the caller's */
};

/* Parse the head at the start of buf[0..len).  `seen` is how much of it an earlier call with the same
 * `head` was shown, 0 at first; a head that arrives in n pieces costs O(len), not O(len * n).
 * One CR LF before the request line is skipped (RFC 9112 section 2.2) and counted in the result.
 * Returns its length, 0 for "not all here yet", or -(enum fw_error).  The answer depends on the bytes
 * alone, not on the pieces in which they came. A fault is refused at the end of its line; a method that
 * cannot be one, a line over its limit, a folded line and a field too many as soon as they show.    */
ssize_t fw_head_parse(const char *buf, size_t len, size_t seen, const struct fw_limits *limits,
                      struct fw_head *head);

/* The bytes of a head that was parsed under FW_RULES_REWRITE become what they mean, in place: the method gets
 * capitals, and each fold, with the white space around it, one space (RFC 9112 section 5.2). Values that
 * were folded become shorter. `buf` is what the head was parsed from; it is not to be parsed again.     */
void fw_head_rewrite(char *buf, struct fw_head *head, uint32_t rules);

/* Parse one field line at the start of buf[0..len), spans relative to `base` (so that a caller in the
 * middle of a buffer gets offsets from its start: buf is base + something). `seen` as above, for this line.
 * Returns its length with CR LF, 0 for "not all here yet", or -(enum fw_error).  An empty line is
 * not a field line: the caller looks for it first.                                              */
ssize_t fw_field_parse(const char *base, const char *buf, size_t len, size_t seen,
                       const struct fw_limits *limits, struct fw_field *field);

/* Is buf[0..len) a host and perhaps a port, as in Host, the authority of a target or CONNECT's whole target
 * (RFC 9110 section 7.2, RFC 3986 section 3.2.2)? Names are not empty, user information is no part of it,
 * a port is at most 65535 and, where it is not needed, may be empty.                            */
bool fw_head_host_valid(const char *buf, size_t len, bool port_needed);

#endif
