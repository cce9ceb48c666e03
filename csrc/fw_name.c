/* fw_name: the tables of names, and finding in them. */
#include "fw_name.h"

#include "fw_name_inline.h"
#include "fw_name_table.h"

_Static_assert(FW_NAME_TABLE_COUNT == FW_NAME_COUNT, "FW_NAMES has changed: make -C tests/c name-table");

const uint32_t fw_name_multiplier = FW_NAME_TABLE_MULTIPLIER;
const uint8_t fw_name_slots[FW_NAME_SLOTS] = {FW_NAME_TABLE_SLOTS};

/* clang-format off */
#define ONES_8 255, 255, 255, 255, 255, 255, 255, 255
const uint8_t fw_name_ones[2 * FW_NAME_ROW] = {ONES_8, ONES_8, ONES_8, ONES_8};

_Alignas(64) const char fw_name_rows[FW_NAME_COUNT][FW_NAME_ROW] = {
    [FW_N_OTHER] = "",
#define X(name, text) [FW_N_##name] = text ":",
    FW_NAMES(X)
#undef X
};

static const struct {
    const char *text;
    size_t len;
} texts[FW_NAME_COUNT] = {
    [FW_N_OTHER] = {"", 0},
#define X(name, text) [FW_N_##name] = {text, sizeof text - 1},
    FW_NAMES(X)
#undef X
};

#define X(name, text) _Static_assert(sizeof text < FW_NAME_ROW, "no room for the colon of " text);
FW_NAMES(X)
#undef X

static const char *const methods[FW_METHOD_COUNT] = {
    [FW_M_OTHER] = "",
#define X(name) [FW_M_##name] = #name,
    FW_METHODS(X)
#undef X
};
/* clang-format on */

enum fw_name fw_name_find(const char *buf, size_t len)
{
    if (len == 0 || len >= FW_NAME_ROW)
        return FW_N_OTHER;
    char copy[FW_NAME_ROW] = {0};
    for (size_t at = 0; at < len; at++) {
        if ((uint8_t)buf[at] < 0x20)
            return FW_N_OTHER;
        copy[at] = buf[at];
    }
    copy[len] = ':';
    return fw_name_before_colon(copy, len);
}

const char *fw_name_text(enum fw_name name, size_t *len)
{
    *len = texts[name].len;
    return texts[name].text;
}

enum fw_method fw_method_find(const char *buf, size_t len)
{
#define X(name)                                                                                              \
    if (len == sizeof #name - 1 && memcmp(buf, #name, sizeof #name - 1) == 0)                                \
        return FW_M_##name;
    FW_METHODS(X)
#undef X
    return FW_M_OTHER;
}

const char *fw_method_text(enum fw_method method)
{
    return methods[method];
}

void fw_name_lower(const char *buf, size_t len, char *out)
{
    for (size_t at = 0; at < len; at++)
        out[at] = buf[at] >= 'A' && buf[at] <= 'Z' ? (char)(buf[at] | 0x20) : buf[at];
}

size_t fw_name_cgi(const char *buf, size_t len, char *out)
{
    memcpy(out, "HTTP_", 5);
    for (size_t at = 0; at < len; at++) {
        char byte = buf[at];
        if (byte == '-')
            byte = '_';
        else if (byte >= 'a' && byte <= 'z')
            byte = (char)(byte & ~0x20);
        out[at + 5] = byte;
    }
    return len + 5;
}
