/* fw_parser: one request as it arrives: HEAD -> BODY -> END.
 *
 *            +------------- reset -------------+
 *            v                                 |
 *     HEAD --(head whole)--> BODY --(whole)--> END
 *       \______________________\_____________> FAIL   (stays there)
 *
 * Asks fw_head, fw_framing and fw_body in this order and adds no rule of its own. It owns no memory:
 * the bytes and the array of fields are the caller's.                                       */
#ifndef FW_PARSER_H
#define FW_PARSER_H

#include "fw_body.h"

enum fw_parser_state { FW_PARSER_HEAD, FW_PARSER_BODY, FW_PARSER_END, FW_PARSER_FAILED };

struct fw_parser {
    struct fw_head head;       /* valid from HEAD on; spans relative to where the request began */
    struct fw_framing framing; /* valid from HEAD on */
    struct fw_body body;
    uint32_t seen; /* bytes of an incomplete head shown so far */
    uint8_t state; /* enum fw_parser_state */
    uint8_t error; /* enum fw_error, in state FAILED */
};

enum fw_parser_event {
    FW_PARSER_MORE, /* nothing further in these bytes; show what was not used again, with more behind it */
    FW_PARSER_GOT_HEAD,  /* head and framing are filled in */
    FW_PARSER_GOT_DATA,  /* `data` is body */
    FW_PARSER_GOT_FIELD, /* `field` is a trailer field */
    FW_PARSER_GOT_END,   /* the request is whole */
    FW_PARSER_FAIL,      /* parser->error says why; every further call says the same */
};

/* Ready for the next request. `fields` has room for `room` fields and stays the caller's. */
void fw_parser_reset(struct fw_parser *parser, struct fw_field *fields, uint32_t room);

/* A head was refused with FW_E_FIELDS_TOO_MANY, but it was the caller's array that was full: here is a larger
 * one. What was parsed is copied, and the same bytes are to be shown again.                       */
void fw_parser_widen(struct fw_parser *parser, struct fw_field *fields, uint32_t room);

/* Look at buf[0..len): the bytes that follow those already used of this request. Sets *used.
 * data, field: spans relative to buf. After GOT_END the bytes behind *used are the next request's. */
enum fw_parser_event fw_parser_step(struct fw_parser *parser, const char *buf, size_t len,
                                    const struct fw_limits *limits, size_t *used, struct fw_span *data,
                                    struct fw_field *field);

/* After GOT_HEAD: has the request no body? Then its end is passed over, as one more step would have told it.
 */
static inline bool fw_parser_pass_end(struct fw_parser *parser)
{
    if (parser->body.state != FW_BODY_S_END)
        return false;
    parser->state = FW_PARSER_END;
    return true;
}

#endif
