/* fw_head_rewrite: what lenient rules let through becomes what it means, so that nobody after fw_head has to
 * know that it was ever spelt otherwise.                                                           */
#include "fw_head.h"

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n';
}

/* Only at its folds has a value a CR. Neither its ends nor what stands between two folds is all white space.
 */
static void unfold(char *value, struct fw_span *span)
{
    size_t to = 0;
    for (size_t at = 0; at < span->len;) {
        if (value[at] != '\r') {
            value[to++] = value[at++];
            continue;
        }
        while (is_space(value[to - 1]))
            to--;
        do
            at++;
        while (is_space(value[at]));
        value[to++] = ' ';
    }
    span->len = (uint32_t)to;
}

void fw_head_rewrite(char *buf, struct fw_head *head, uint32_t rules)
{
    if (rules & FW_RULE_FOLD_CASE) {
        char *method = buf + head->method.off;
        for (size_t at = 0; at < head->method.len; at++)
            if (method[at] >= 'a' && method[at] <= 'z')
                method[at] = (char)(method[at] & ~0x20);
    }
    if (rules & FW_RULE_UNFOLD)
        for (uint32_t at = 0; at < head->count; at++) {
            struct fw_field *field = &head->fields[at];
            if (field->flags & FW_FIELD_FOLDED)
                unfold(buf + field->value.off, &field->value);
            field->flags &= (uint8_t)~FW_FIELD_FOLDED;
        }
}
