/* Vectors equal scalars, on any bytes at any place of a block. */
#include "fuzz.h"
#include "fw_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_choice choice = fuzz_choices(data, size);
    size_t before = fuzz_choose(&choice, (uint32_t)size + 1), len = size - before;
    char *all = fuzz_copy(data, size), *buf = all + before;
    PROMISE(fw_scan_target(buf, len) == fw_scan_target_scalar(buf, len));
    PROMISE(fw_scan_path(buf, len) == fw_scan_path_scalar(buf, len));
    PROMISE(fw_scan_value(buf, len) == fw_scan_value_scalar(buf, len));
    PROMISE(fw_scan_ascii(buf, len) == fw_scan_ascii_scalar(buf, len));
    struct fw_window got = fw_scan_window(buf, len, before), want = fw_scan_window_scalar(buf, len);
    PROMISE(got.odd == want.odd && got.colon == want.colon);

    /* decoding never lengthens, and what has no percent sign stays as it is */
    char *out = fuzz_copy(data, size);
    size_t decoded = fw_scan_unquote(buf, len, out);
    PROMISE(decoded <= len && (len - decoded) % 2 == 0);
    if (len > 0 && memchr(buf, '%', len) == NULL)
        PROMISE(decoded == len && memcmp(out, buf, len) == 0);
    PROMISE(fw_scan_unquote(buf, len, buf) == decoded && memcmp(out, buf, decoded) == 0);

    struct fw_span element;
    for (size_t pos = 0, last = 0; fw_scan_list(buf, len, &pos, &element); last = pos)
        PROMISE(element.len > 0 && element.off >= last && fw_span_end(element) <= pos && pos <= len);
    free(out);
    free(all);
    return 0;
}
