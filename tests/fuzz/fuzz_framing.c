/* What framing promises follows from the fields, counted here by hand: no two readers may see two bodies. */
#include "fuzz.h"
#include "fw_scan.h"

static struct fw_field fields[FUZZ_FIELDS];

static uint32_t count_of(const struct fw_head *head, enum fw_name name)
{
    uint32_t count = 0;
    for (uint32_t at = 0; at < head->count; at++)
        count += head->fields[at].id == name;
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_choice choice = fuzz_choices(data, size);
    struct fw_limits limits = fw_limits_default();
    limits.body = fuzz_choose(&choice, 2) ? fuzz_choose(&choice, 1000) : 0;
    char *buf = fuzz_copy(data, size);
    struct fw_head head = {.fields = fields, .room = FUZZ_FIELDS};
    struct fw_framing framing;
    if (fw_head_parse(buf, size, 0, &limits, &head) > 0 &&
        fw_framing_of(buf, &head, &limits, &framing) == FW_OK) {
        uint32_t lengths = count_of(&head, FW_N_CONTENT_LENGTH),
                 codings = count_of(&head, FW_N_TRANSFER_ENCODING);
        uint32_t hosts = count_of(&head, FW_N_HOST);
        PROMISE(lengths + codings <= 1);
        PROMISE(framing.kind == (lengths ? FW_BODY_LENGTH : codings ? FW_BODY_CHUNKED : FW_BODY_NONE));
        PROMISE(!codings || head.minor == 1);
        PROMISE(hosts <= 1 && (hosts == 1 || head.minor == 0));
        PROMISE(count_of(&head, FW_N_CONTENT_TYPE) <= 1);
        PROMISE(framing.length <= INT64_MAX && (limits.body == 0 || framing.length <= limits.body));
        PROMISE(framing.kind == FW_BODY_LENGTH || framing.length == 0);
        PROMISE(fuzz_inside(framing.host, size));
        PROMISE(framing.host.len == 0 || fw_head_host_valid(buf + framing.host.off, framing.host.len, false));
        for (uint32_t at = 0; at < head.count; at++) {
            const char *value = buf + head.fields[at].value.off;
            size_t len = head.fields[at].value.len;
            switch (head.fields[at].id) {
            case FW_N_TRANSFER_ENCODING:
                PROMISE(fw_scan_same(value, len, "chunked", 7));
                break;
            case FW_N_CONTENT_LENGTH:
                for (size_t digit = 0; digit < len; digit++)
                    PROMISE(value[digit] >= '0' && value[digit] <= '9');
                break;
            case FW_N_CONNECTION:
                PROMISE(!framing.keep_alive || !fw_framing_has_token(value, len, "close", 5));
                break;
            default:
                break;
            }
        }
    }
    free(buf);
    return 0;
}
