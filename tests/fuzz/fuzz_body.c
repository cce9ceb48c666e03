/* A chunked body: the same data, trailers and answer for any pieces, and nothing used that is not there. */
#define _GNU_SOURCE
#include "fuzz.h"

struct outcome {
    uint64_t total, data_sum, field_sum;
    uint32_t trailers;
    size_t used;
    enum fw_body_event event;
    enum fw_error error;
};

static uint64_t mix(uint64_t sum, const char *buf, struct fw_span span)
{
    for (size_t at = 0; at < span.len; at++)
        sum = (sum ^ (uint8_t)buf[span.off + at]) * 1099511628211u;
    return sum;
}

static struct outcome decode(const uint8_t *data, size_t size, const struct fw_limits *limits,
                             struct fuzz_choice *choice)
{
    struct fw_framing framing = {.kind = FW_BODY_CHUNKED};
    struct fw_body body;
    struct outcome out = {.data_sum = 1, .field_sum = 1};
    fw_body_begin(&body, &framing);
    size_t shown = choice != NULL ? 0 : size;
    for (;;) {
        size_t used;
        struct fw_span span;
        struct fw_field field;
        char *buf = fuzz_copy(data + out.used, shown - out.used);
        out.event = fw_body_feed(&body, buf, shown - out.used, limits, &used, &span, &field, &out.error);
        PROMISE(used <= shown - out.used);
        if (out.event == FW_BODY_DATA) {
            PROMISE(span.len > 0 && fw_span_end(span) == used);
            out.data_sum = mix(out.data_sum, buf, span);
        }
        if (out.event == FW_BODY_FIELD) {
            PROMISE(fuzz_inside(field.value, used) && field.name.len > 0);
            out.field_sum = mix(mix(out.field_sum, buf, field.name), buf, field.value);
        }
        free(buf);
        out.used += used;
        out.total = body.total;
        out.trailers = body.trailers;
        if (out.event == FW_BODY_DONE || out.event == FW_BODY_FAIL ||
            (out.event == FW_BODY_MORE && shown == size))
            return out;
        if (out.event == FW_BODY_MORE) {
            shown += 1 + fuzz_choose(choice, fuzz_choose(choice, 2) ? 4 : 64);
            shown = shown < size ? shown : size;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_choice choice = fuzz_choices(data, size);
    struct fw_limits limits = fuzz_limits(&choice);
    /* a seed is a request: its body is what is behind the head */
    const uint8_t *head_end = size > 0 ? memmem(data, size, "\r\n\r\n", 4) : NULL;
    if (head_end != NULL && data[0] >= 'G' && data[0] <= 'P') {
        size -= (size_t)(head_end + 4 - data);
        data = head_end + 4;
    }
    struct outcome whole = decode(data, size, &limits, NULL), pieces = decode(data, size, &limits, &choice);
    PROMISE(whole.event == pieces.event && whole.total == pieces.total && whole.data_sum == pieces.data_sum);
    PROMISE(whole.trailers == pieces.trailers && whole.field_sum == pieces.field_sum);
    PROMISE(whole.event != FW_BODY_FAIL || whole.error == pieces.error);
    PROMISE(whole.event != FW_BODY_DONE || whole.used == pieces.used);
    PROMISE(limits.body == 0 || whole.total <= limits.body);
    PROMISE(whole.trailers <= limits.fields);
    return 0;
}
