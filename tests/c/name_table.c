/* Prints csrc/fw_name_table.h: the smallest odd multiplier that gives each known name a slot of its own. */
#include "fw_name_inline.h"

#include <stdio.h>

static const char *const names[FW_NAME_COUNT] = {[FW_N_OTHER] = "",
#define X(name, text) [FW_N_##name] = text,
                                                 FW_NAMES(X)
#undef X
};

static bool fill(uint32_t multiplier, uint8_t slots[FW_NAME_SLOTS])
{
    memset(slots, FW_N_OTHER, FW_NAME_SLOTS);
    for (unsigned id = 1; id < FW_NAME_COUNT; id++) {
        uint8_t *slot = &slots[fw_name_hash(names[id], strlen(names[id]), multiplier)];
        if (*slot != FW_N_OTHER)
            return false;
        *slot = (uint8_t)id;
    }
    return true;
}

int main(void)
{
    static uint8_t slots[FW_NAME_SLOTS];
    uint32_t multiplier = 1;
    while (!fill(multiplier, slots)) {
        multiplier += 2;
        if (multiplier > 1 << 26) {
            fprintf(stderr, "no multiplier separates the names: let fw_name_hash look at other letters\n");
            return 1;
        }
    }
    printf("/* fw_name_table: made from FW_NAMES by `make -C tests/c name-table`; do not edit. */\n"
           "/* clang-format off */\n"
           "#define FW_NAME_TABLE_COUNT %d\n#define FW_NAME_TABLE_MULTIPLIER 0x%X\n\n#define "
           "FW_NAME_TABLE_SLOTS \\\n",
           FW_NAME_COUNT, (unsigned)multiplier);
    for (int at = 0; at < FW_NAME_SLOTS; at++)
        printf("%s%2d,%s", at % 16 == 0 ? "    " : " ", slots[at], at % 16 == 15 ? " \\\n" : "");
    printf("\n/* clang-format on */\n");
    return 0;
}
