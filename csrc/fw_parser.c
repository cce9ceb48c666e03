/* fw_parser: asks fw_head, fw_framing, fw_body, in this order. */
#include "fw_parser.h"

#include <string.h>

void fw_parser_reset(struct fw_parser *parser, struct fw_field *fields, uint32_t room)
{
    *parser = (struct fw_parser){.head = {.fields = fields, .room = room}, .state = FW_PARSER_HEAD};
}

void fw_parser_widen(struct fw_parser *parser, struct fw_field *fields, uint32_t room)
{
    assert(parser->state == FW_PARSER_FAILED && parser->error == FW_E_FIELDS_TOO_MANY);
    assert(room > parser->head.room);
    memcpy(fields, parser->head.fields, parser->head.count * sizeof *fields);
    parser->head.fields = fields;
    parser->head.room = room;
    parser->state = FW_PARSER_HEAD;
    parser->error = FW_OK;
}

static enum fw_parser_event fail(struct fw_parser *parser, enum fw_error error)
{
    parser->state = FW_PARSER_FAILED;
    parser->error = (uint8_t)error;
    return FW_PARSER_FAIL;
}

static enum fw_parser_event step_head(struct fw_parser *parser, const char *buf, size_t len,
                                      const struct fw_limits *limits, size_t *used)
{
    ssize_t head = fw_head_parse(buf, len, parser->seen, limits, &parser->head);
    if (head < 0)
        return fail(parser, (enum fw_error) - head);
    if (head == 0) {
        parser->seen = (uint32_t)len;
        return FW_PARSER_MORE;
    }
    enum fw_error error = fw_framing_of(buf, &parser->head, limits, &parser->framing);
    if (error != FW_OK)
        return fail(parser, error);
    fw_body_begin(&parser->body, &parser->framing);
    parser->state = FW_PARSER_BODY;
    *used = (size_t)head;
    return FW_PARSER_GOT_HEAD;
}

static enum fw_parser_event step_body(struct fw_parser *parser, const char *buf, size_t len,
                                      const struct fw_limits *limits, size_t *used, struct fw_span *data,
                                      struct fw_field *field)
{
    enum fw_error error = FW_OK;
    switch (fw_body_feed(&parser->body, buf, len, limits, used, data, field, &error)) {
    case FW_BODY_MORE:
        return FW_PARSER_MORE;
    case FW_BODY_DATA:
        return FW_PARSER_GOT_DATA;
    case FW_BODY_FIELD:
        return FW_PARSER_GOT_FIELD;
    case FW_BODY_DONE:
        parser->state = FW_PARSER_END;
        return FW_PARSER_GOT_END;
    case FW_BODY_FAIL:
        break;
    }
    return fail(parser, error);
}

enum fw_parser_event fw_parser_step(struct fw_parser *parser, const char *buf, size_t len,
                                    const struct fw_limits *limits, size_t *used, struct fw_span *data,
                                    struct fw_field *field)
{
    *used = 0;
    switch ((enum fw_parser_state)parser->state) {
    case FW_PARSER_HEAD:
        return step_head(parser, buf, len, limits, used);
    case FW_PARSER_BODY:
        return step_body(parser, buf, len, limits, used, data, field);
    case FW_PARSER_END:
        return FW_PARSER_GOT_END;
    case FW_PARSER_FAILED:
        break;
    }
    return FW_PARSER_FAIL;
}
