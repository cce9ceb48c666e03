/* A connection's bytes, request behind request: the same events for any pieces. */
#include "fuzz.h"

struct log {
    uint64_t sum; /* of all that was said, data joined */
    uint32_t requests;
    size_t used;
    uint8_t error;
};

static void mix(struct log *log, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    for (size_t at = 0; at < len; at++)
        log->sum = (log->sum ^ bytes[at]) * 1099511628211u;
}

static void mix_span(struct log *log, const char *buf, struct fw_span span)
{
    mix(log, &span.len, sizeof span.len);
    mix(log, buf + span.off, span.len);
}

static void mix_head(struct log *log, const char *buf, const struct fw_parser *parser)
{
    const struct fw_head *head = &parser->head;
    const uint8_t facts[] = {head->method_id,
                             head->minor,
                             head->form,
                             head->path_escaped,
                             parser->framing.kind,
                             parser->framing.keep_alive,
                             parser->framing.expect_continue,
                             parser->framing.upgrade};
    mix(log, facts, sizeof facts);
    mix_span(log, buf, head->method);
    mix_span(log, buf, head->path);
    mix_span(log, buf, head->query);
    mix_span(log, buf, parser->framing.host);
    for (uint32_t at = 0; at < head->count; at++) {
        mix_span(log, buf, head->fields[at].name);
        mix_span(log, buf, head->fields[at].value);
    }
}

static struct log parse(const uint8_t *data, size_t size, const struct fw_limits *limits,
                        struct fuzz_choice *choice)
{
    static struct fw_field fields[FUZZ_FIELDS];
    struct fw_parser parser;
    struct log log = {.sum = 1};
    fw_parser_reset(&parser, fields, FUZZ_FIELDS);
    size_t shown = choice != NULL ? 0 : size;
    for (;;) {
        size_t used;
        struct fw_span span;
        struct fw_field field;
        char *buf = fuzz_copy(data + log.used, shown - log.used);
        enum fw_parser_event event =
            fw_parser_step(&parser, buf, shown - log.used, limits, &used, &span, &field);
        PROMISE(used <= shown - log.used);
        switch (event) {
        case FW_PARSER_GOT_HEAD:
            PROMISE(used > 0);
            mix_head(&log, buf, &parser);
            break;
        case FW_PARSER_GOT_DATA:
            PROMISE(fw_span_end(span) <= used && span.len > 0);
            mix(&log, buf + span.off, span.len);
            break;
        case FW_PARSER_GOT_FIELD:
            mix_span(&log, buf, field.name);
            mix_span(&log, buf, field.value);
            break;
        case FW_PARSER_GOT_END:
            log.requests++;
            fw_parser_reset(&parser, fields, FUZZ_FIELDS);
            break;
        case FW_PARSER_FAIL:
            log.error = parser.error;
            PROMISE(parser.error > 0 && parser.error < FW_ERROR_COUNT);
            PROMISE(fw_error_status((enum fw_error)parser.error) >= 400);
            break;
        case FW_PARSER_MORE:
            break;
        }
        free(buf);
        log.used += used;
        if (event == FW_PARSER_FAIL || (event == FW_PARSER_MORE && shown == size))
            return log;
        if (event == FW_PARSER_MORE) {
            shown += 1 + fuzz_choose(choice, fuzz_choose(choice, 2) ? 4 : 64);
            shown = shown < size ? shown : size;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_choice choice = fuzz_choices(data, size);
    struct fw_limits limits = fuzz_limits(&choice);
    struct log whole = parse(data, size, &limits, NULL), pieces = parse(data, size, &limits, &choice);
    PROMISE(whole.requests == pieces.requests && whole.error == pieces.error && whole.sum == pieces.sum);
    return 0;
}
