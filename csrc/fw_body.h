/* fw_body: the body of one request, as it arrives (RFC 9112 sections 6 and 7.1).
 *
 * A decoder with a few words of state: it is shown raw bytes and says which of them are body. It copies
 * nothing and keeps no pointer.                                                              */
#ifndef FW_BODY_H
#define FW_BODY_H

#include "fw_framing.h"

enum fw_body_state {
    FW_BODY_S_DATA,     /* `left` bytes of Content-Length or of this chunk to come */
    FW_BODY_S_SIZE,     /* at a chunk-size line */
    FW_BODY_S_DATA_END, /* at the CR LF behind a chunk's data */
    FW_BODY_S_TRAILER,  /* at a trailer field line or the empty line that ends the body */
    FW_BODY_S_END,
};

struct fw_body {
    uint64_t left;        /* bytes of data to come before the next framing byte */
    uint64_t total;       /* decoded bytes so far */
    uint32_t seen;        /* bytes of an incomplete line that an earlier call was shown */
    uint32_t trailer_len; /* bytes of the trailer section so far */
    uint32_t trailers;    /* trailer field lines so far */
    uint8_t kind;         /* enum fw_body_kind */
    uint8_t state;        /* enum fw_body_state */
};

void fw_body_begin(struct fw_body *body, const struct fw_framing *framing);

enum fw_body_event {
    FW_BODY_MORE,  /* show the rest (from buf + *used) again with more behind it */
    FW_BODY_DATA,  /* `data` is body; call again with what follows *used */
    FW_BODY_FIELD, /* `field` is a trailer field, spans relative to buf; call again */
    FW_BODY_DONE,  /* the body is whole; what follows *used is the next request's */
    FW_BODY_FAIL,  /* *error says why */
};

/* Look at buf[0..len), the bytes behind those already used. Sets *used to how many are done with, and
 * gives one event. An incomplete line is not used; it is bounded by limits->chunk_line or
 * limits->trailer. Cost is linear in the bytes, whatever the pieces.                        */
enum fw_body_event fw_body_feed(struct fw_body *body, const char *buf, size_t len,
                                const struct fw_limits *limits, size_t *used, struct fw_span *data,
                                struct fw_field *field, enum fw_error *error);

#endif
