/* fw_name_inline: the perfect hash, where fw_head can have it without a call for each field.
 *
 * The first four letters, the last four and the length tell all known names apart; one comparison by words
 * then says whether it is the name of that slot.                                                  */
#ifndef FW_NAME_INLINE_H
#define FW_NAME_INLINE_H

#include "fw_name.h"

#include <string.h>

enum { FW_NAME_SLOTS = 256, FW_NAME_ROW = 32 };

extern const uint8_t fw_name_slots[FW_NAME_SLOTS];
extern const uint32_t fw_name_multiplier;

/* A name, its colon, zeros. With the colon the comparison covers the length as well. */
extern const char fw_name_rows[FW_NAME_COUNT][FW_NAME_ROW];

/* FW_NAME_ROW ones and as many zeros: from [FW_NAME_ROW - n] on it begins with n ones. */
extern const uint8_t fw_name_ones[2 * FW_NAME_ROW];

/* Four letters as a number, lower case, the same number on every machine. */
static inline uint32_t fw_name_letters(const char *buf)
{
    uint32_t letters;
    memcpy(&letters, buf, sizeof letters);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    letters = __builtin_bswap32(letters);
#endif
    return letters | 0x20202020;
}

/* Slot of the name buf[0..len), len > 0, in either case of letters. */
static inline uint8_t fw_name_hash(const char *buf, size_t len, uint32_t multiplier)
{
    uint32_t first, last;
    if (FW_LIKELY(len >= sizeof last)) {
        first = fw_name_letters(buf);
        last = fw_name_letters(buf + len - sizeof last);
    } else {
        const char few[] = {buf[0], buf[len / 2], buf[len - 1], ' '};
        first = last = fw_name_letters(few);
    }
    return (uint8_t)((last + (first + (uint32_t)len) * 0x9E3779B1u) * multiplier >> 24);
}

/* The bits in which eight bytes at buf, where `ones` has ones, are not those of `row`, letters folded. */
static inline uint64_t fw_name_differ(const char *buf, const char *row, const uint8_t *ones)
{
    uint64_t theirs, ours, kept;
    memcpy(&theirs, buf, sizeof theirs);
    memcpy(&ours, row, sizeof ours);
    memcpy(&kept, ones, sizeof kept);
    return ((theirs | 0x2020202020202020u) ^ ours) & kept;
}

/* Id of the name buf[0..len), len > 0, behind which stands a colon. FW_NAME_ROW bytes may be read.
 * Its bytes are 0x20 and up: of these only the two cases of a letter fold to a letter, and only '-' to '-'.
 */
static inline enum fw_name fw_name_before_colon(const char *buf, size_t len)
{
    enum fw_name name = fw_name_slots[fw_name_hash(buf, len, fw_name_multiplier)];
    if (len >= FW_NAME_ROW)
        return FW_N_OTHER;
    const char *row = fw_name_rows[name];
    const uint8_t *ones = fw_name_ones + FW_NAME_ROW - 1 - len;
    uint64_t differ = fw_name_differ(buf, row, ones) | fw_name_differ(buf + 8, row + 8, ones + 8);
    if (len >= FW_NAME_ROW / 2)
        differ |=
            fw_name_differ(buf + 16, row + 16, ones + 16) | fw_name_differ(buf + 24, row + 24, ones + 24);
    return differ == 0 ? name : FW_N_OTHER;
}

#endif
