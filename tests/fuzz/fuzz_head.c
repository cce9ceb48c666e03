/* The same answer for any pieces; spans inside; what was accepted and written out again parses to the same.
 */
#include "fuzz.h"
#include "fw_scan.h"

static struct fw_field fields[3][FUZZ_FIELDS];

static size_t put(char *out, size_t at, const char *buf, struct fw_span span, const char *behind)
{
    memcpy(out + at, buf + span.off, span.len);
    memcpy(out + at + span.len, behind, strlen(behind));
    return at + span.len + strlen(behind);
}

static void write_again(const char *buf, const struct fw_head *head)
{
    size_t room = head->method.len + head->target.len + 32;
    for (uint32_t at = 0; at < head->count; at++)
        room += head->fields[at].name.len + head->fields[at].value.len + 4;
    char *out = malloc(room);
    PROMISE(out != NULL);
    size_t len = put(out, 0, buf, head->method, " ");
    len = put(out, len, buf, head->target, head->minor ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
    for (uint32_t at = 0; at < head->count; at++) {
        len = put(out, len, buf, head->fields[at].name, ": ");
        len = put(out, len, buf, head->fields[at].value, "\r\n");
    }
    memcpy(out + len, "\r\n", 2);
    len += 2;
    char *exact = fuzz_copy(out, len);
    free(out);

    struct fw_limits limits = fw_limits_default();
    limits.rules = FW_RULE_ANY_METHOD;
    limits.line = limits.field_size = 0;
    limits.head = UINT32_MAX; /* a space more after each colon */
    struct fw_head again = {.fields = fields[2], .room = FUZZ_FIELDS};
    PROMISE(fw_head_parse(exact, len, 0, &limits, &again) == (ssize_t)len);
    PROMISE(again.count == head->count && again.form == head->form && again.minor == head->minor &&
            again.method_id == head->method_id && again.path_escaped == head->path_escaped &&
            again.path.len == head->path.len && again.query.len == head->query.len &&
            again.authority.len == head->authority.len);
    for (uint32_t at = 0; at < head->count; at++) {
        const struct fw_field *a = &head->fields[at], *b = &again.fields[at];
        PROMISE(a->id == b->id && a->flags == b->flags && a->value.len == b->value.len &&
                memcmp(buf + a->value.off, exact + b->value.off, a->value.len) == 0);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_choice choice = fuzz_choices(data, size);
    struct fw_limits limits = fuzz_limits(&choice);
    struct fw_head whole = {.fields = fields[0], .room = FUZZ_FIELDS},
                   pieces = {.fields = fields[1], .room = FUZZ_FIELDS};
    char *buf = fuzz_copy(data, size);
    ssize_t want = fw_head_parse(buf, size, 0, &limits, &whole);
    PROMISE(fuzz_head(data, size, &choice, &limits, &pieces) == want);
    PROMISE(want <= (ssize_t)size && want > -(ssize_t)FW_ERROR_COUNT);
    if (want > 0) {
        size_t len = (size_t)want;
        PROMISE(len >= 4 && memcmp(buf + len - 4, "\r\n\r\n", 4) == 0 && len <= limits.head);
        PROMISE(fuzz_inside(whole.method, len) && fuzz_inside(whole.target, len) &&
                fuzz_inside(whole.path, len) && fuzz_inside(whole.query, len) &&
                fuzz_inside(whole.authority, len));
        PROMISE(fuzz_same_span(whole.method, pieces.method) && fuzz_same_span(whole.target, pieces.target) &&
                fuzz_same_span(whole.path, pieces.path) && fuzz_same_span(whole.query, pieces.query) &&
                fuzz_same_span(whole.authority, pieces.authority) && whole.form == pieces.form);
        PROMISE(whole.count == pieces.count && whole.count <= limits.fields);
        PROMISE(fw_scan_target_scalar(buf + whole.target.off, whole.target.len) == whole.target.len);
        for (uint32_t at = 0; at < whole.count; at++) {
            const struct fw_field *field = &whole.fields[at];
            PROMISE(fuzz_same_field(field, &pieces.fields[at]) && fuzz_inside(field->value, len));
            PROMISE((field->flags & FW_FIELD_FOLDED) == 0 || limits.rules & FW_RULE_UNFOLD);
            PROMISE(field->name.len > 0 &&
                    fw_scan_token(buf + field->name.off, field->name.len) == field->name.len);
            PROMISE(fw_name_find(buf + field->name.off, field->name.len) == field->id);
        }
        fw_head_rewrite(buf, &whole, limits.rules);
        for (uint32_t at = 0; at < whole.count; at++) {
            struct fw_span value = whole.fields[at].value;
            PROMISE(fw_scan_value_scalar(buf + value.off, value.len) == value.len);
        }
        write_again(buf, &whole);
    }
    free(buf);
    return 0;
}
