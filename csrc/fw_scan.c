/* fw_scan: byte classes, and how far a run of one class reaches.
 *
 * The scalar functions define the meaning. The vector ones ask of a block of bytes which of them end the
 * run; the last block of a run lies over the one before it, so nothing outside buf[0..len) is read.
 * Only the window has a body for AVX2: runs are mostly shorter than two of the small blocks.     */
#include "fw_scan.h"

#include <string.h>

/* How much of the machine to use: 0 plain C, 1 blocks of 16 bytes, 2 wider ones where the processor has them.
 * For the tests, which have only one processor to run on.                                         */
#ifndef FW_SCAN_LEVEL
#define FW_SCAN_LEVEL 2
#endif

#if FW_SCAN_LEVEL > 0 && defined(__SSE2__)
#define FW_SCAN_SSE2
#include <immintrin.h>
#elif FW_SCAN_LEVEL > 0 && defined(__ARM_NEON) && defined(__aarch64__)
#define FW_SCAN_NEON
#include <arm_neon.h>
#endif

/* clang-format off */
#define ALPHA(x) (((x) >= 'a' && (x) <= 'z') || ((x) >= 'A' && (x) <= 'Z'))
#define DIGIT(x) ((x) >= '0' && (x) <= '9')
#define HEX(x) (DIGIT(x) || ((x) >= 'a' && (x) <= 'f') || ((x) >= 'A' && (x) <= 'F'))
#define TARGET(x) ((x) >= 0x21 && (x) <= 0x7E)
#define VALUE(x) ((x) == '\t' || ((x) >= 0x20 && (x) != 0x7F))
#define TOKEN(x) (ALPHA(x) || DIGIT(x) || (x) == '!' || (x) == '#' || (x) == '$' || (x) == '%' || (x) == '&' ||   \
    (x) == '\'' || (x) == '*' || (x) == '+' || (x) == '-' || (x) == '.' || (x) == '^' || (x) == '_' ||       \
    (x) == '`' || (x) == '|' || (x) == '~')
#define METHOD(x) (TOKEN(x) && !((x) >= 'a' && (x) <= 'z') && (x) != '#')
#define HOST(x) (ALPHA(x) || DIGIT(x) || (x) == '-' || (x) == '.' || (x) == '_' || (x) == '~' || (x) == '!' ||    \
    (x) == '$' || (x) == '&' || (x) == '\'' || (x) == '(' || (x) == ')' || (x) == '*' || (x) == '+' ||       \
    (x) == ',' || (x) == ';' || (x) == '=')

#define CLASS(x) ((TOKEN(x) ? FW_C_TOKEN : 0) | (TARGET(x) ? FW_C_TARGET : 0) | (VALUE(x) ? FW_C_VALUE : 0) |     \
    (DIGIT(x) ? FW_C_DIGIT : 0) | (HEX(x) ? FW_C_HEX : 0) | (METHOD(x) ? FW_C_METHOD : 0) |                    \
    (HOST(x) ? FW_C_HOST : 0) | ((x) == '_' ? 0 : FW_C_PLAIN))
#define ROW4(x) CLASS(x), CLASS((x) + 1), CLASS((x) + 2), CLASS((x) + 3)
#define ROW16(x) ROW4(x), ROW4((x) + 4), ROW4((x) + 8), ROW4((x) + 12)
#define ROW64(x) ROW16(x), ROW16((x) + 16), ROW16((x) + 32), ROW16((x) + 48)
/* clang-format on */

const uint8_t fw_scan_class[256] = {ROW64(0), ROW64(64), ROW64(128), ROW64(192)};

/* ---- the scalar twins ---- */

static inline bool is(char byte, enum fw_class class)
{
    return fw_scan_class[(uint8_t)byte] & class;
}

static inline size_t run(const char *buf, size_t len, enum fw_class class)
{
    size_t at = 0;
    while (at < len && is(buf[at], class))
        at++;
    return at;
}

size_t fw_scan_token(const char *buf, size_t len)
{
    return run(buf, len, FW_C_TOKEN);
}

size_t fw_scan_target_scalar(const char *buf, size_t len)
{
    return run(buf, len, FW_C_TARGET);
}

size_t fw_scan_path_scalar(const char *buf, size_t len)
{
    size_t at = 0;
    while (at < len && is(buf[at], FW_C_TARGET) && buf[at] != '#' && buf[at] != '%' && buf[at] != '?')
        at++;
    return at;
}

size_t fw_scan_value_scalar(const char *buf, size_t len)
{
    return run(buf, len, FW_C_VALUE);
}

size_t fw_scan_ascii_scalar(const char *buf, size_t len)
{
    size_t at = 0;
    while (at < len && (uint8_t)buf[at] < 0x80)
        at++;
    return at;
}

struct fw_window fw_scan_window_scalar(const char *buf, size_t len)
{
    struct fw_window window = {0, 0};
    for (size_t at = 0; at < len && at < FW_WINDOW; at++) {
        window.odd |= (uint64_t)((uint8_t)buf[at] < 0x20 || (uint8_t)buf[at] > 0x7E) << at;
        window.colon |= (uint64_t)(buf[at] == ':') << at;
    }
    return window;
}

/* ---- blocks of 16 bytes ---- */

#if defined(FW_SCAN_SSE2)

#define BLOCK       16
#define BITS_A_BYTE 1

typedef __m128i block;

static inline block load(const char *buf)
{
    return _mm_loadu_si128((const __m128i *)(const void *)buf);
}

static inline uint64_t bits(block hits)
{
    return (uint64_t)_mm_movemask_epi8(hits);
}

static inline block equal(block bytes, char byte)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte));
}

static inline block either(block a, block b)
{
    return _mm_or_si128(a, b);
}

static inline block below_space(block bytes)
{
    return _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
}

static inline block without(block hits, block not_these)
{
    return _mm_andnot_si128(not_these, hits);
}

/* The sign makes bytes above 0x7F small. */
static inline block outside_target(block bytes)
{
    return either(_mm_cmplt_epi8(bytes, _mm_set1_epi8(0x21)), equal(bytes, 0x7F));
}

static inline block above_ascii(block bytes)
{
    return bytes; /* the bit that is asked for is the one that is taken */
}

/* Taking -1 from it makes 0x7F the smallest of all with a sign, so that one comparison finds the plain bytes;
 * and a vector of -1 costs one instruction, any other constant three.                             */
static inline struct fw_window half_sse2(const char *buf)
{
    block ones = _mm_set1_epi8(-1), space = _mm_set1_epi8(' '), low = load(buf), high = load(buf + BLOCK);
    uint64_t plain = bits(_mm_cmpgt_epi8(_mm_sub_epi8(low, ones), space)) |
                     bits(_mm_cmpgt_epi8(_mm_sub_epi8(high, ones), space)) << BLOCK;
    return (struct fw_window){(uint32_t)~plain, bits(equal(low, ':')) | bits(equal(high, ':')) << BLOCK};
}

__attribute__((target("avx2"))) static inline struct fw_window half_avx2(const char *buf)
{
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)buf);
    __m256i more = _mm256_sub_epi8(bytes, _mm256_set1_epi8(-1));
    __m256i plain = _mm256_cmpgt_epi8(more, _mm256_set1_epi8(' '));
    __m256i colon = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(':'));
    return (struct fw_window){~(uint32_t)_mm256_movemask_epi8(plain), (uint32_t)_mm256_movemask_epi8(colon)};
}

#elif defined(FW_SCAN_NEON)

#define BLOCK       16
#define BITS_A_BYTE 4

typedef uint8x16_t block;

static inline block load(const char *buf)
{
    return vld1q_u8((const uint8_t *)buf);
}

/* Sixteen bytes of ones and zeros as sixteen half bytes. */
static inline uint64_t bits(block hits)
{
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(hits), 4)), 0);
}

static inline block equal(block bytes, char byte)
{
    return vceqq_u8(bytes, vdupq_n_u8((uint8_t)byte));
}

static inline block either(block a, block b)
{
    return vorrq_u8(a, b);
}

static inline block below_space(block bytes)
{
    return vcltq_u8(bytes, vdupq_n_u8(0x20));
}

static inline block without(block hits, block not_these)
{
    return vbicq_u8(hits, not_these);
}

static inline block outside_target(block bytes)
{
    return vcgtq_u8(vsubq_u8(bytes, vdupq_n_u8(0x21)), vdupq_n_u8(0x7E - 0x21));
}

static inline block above_ascii(block bytes)
{
    return vcgtq_u8(bytes, vdupq_n_u8(0x7F));
}

/* Two blocks of ones and zeros as 32 bits: each byte keeps the bit of its place, and neighbours are added. */
static inline uint64_t bits_of_two(block low, block high)
{
    static const uint8_t places[BLOCK] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    block place = vld1q_u8(places);
    block sum = vpaddq_u8(vandq_u8(low, place), vandq_u8(high, place));
    sum = vpaddq_u8(sum, sum);
    sum = vpaddq_u8(sum, sum);
    return vgetq_lane_u32(vreinterpretq_u32_u8(sum), 0);
}

static inline struct fw_window half_neon(const char *buf)
{
    block first = vdupq_n_u8(0x20), width = vdupq_n_u8(0x7E - 0x20), low = load(buf),
          high = load(buf + BLOCK);
    return (struct fw_window){
        .odd = bits_of_two(vcgtq_u8(vsubq_u8(low, first), width), vcgtq_u8(vsubq_u8(high, first), width)),
        .colon = bits_of_two(equal(low, ':'), equal(high, ':')),
    };
}

#endif

#if defined(BLOCK)

/* ---- what ends a run ---- */

static inline uint64_t ends_target(block bytes)
{
    return bits(outside_target(bytes));
}

static inline uint64_t ends_path(block bytes)
{
    block mark = either(equal(bytes, '?'), either(equal(bytes, '#'), equal(bytes, '%')));
    return bits(either(outside_target(bytes), mark));
}

static inline uint64_t ends_value(block bytes)
{
    return bits(either(without(below_space(bytes), equal(bytes, '\t')), equal(bytes, 0x7F)));
}

static inline uint64_t ends_ascii(block bytes)
{
    return bits(above_ascii(bytes));
}

/* Inlined into each caller, with its `ends`. */
static inline __attribute__((always_inline)) size_t scan(const char *buf, size_t len, uint64_t (*ends)(block),
                                                         size_t (*scalar)(const char *, size_t))
{
    if (len < BLOCK)
        return scalar(buf, len);
    size_t at = 0;
    for (;;) {
        uint64_t hits = ends(load(buf + at));
        if (hits != 0)
            return at + (size_t)__builtin_ctzll(hits) / BITS_A_BYTE;
        if (at + BLOCK == len)
            return len;
        /* the last block begins early, over bytes that are known to be in the run */
        at = at + 2 * BLOCK <= len ? at + BLOCK : len - BLOCK;
    }
}

size_t fw_scan_target(const char *buf, size_t len)
{
    return scan(buf, len, ends_target, fw_scan_target_scalar);
}

size_t fw_scan_path(const char *buf, size_t len)
{
    return scan(buf, len, ends_path, fw_scan_path_scalar);
}

size_t fw_scan_value(const char *buf, size_t len)
{
    return scan(buf, len, ends_value, fw_scan_value_scalar);
}

size_t fw_scan_ascii(const char *buf, size_t len)
{
    return scan(buf, len, ends_ascii, fw_scan_ascii_scalar);
}

/* ---- the window, from halves of 32 bytes ---- */

enum { HALF = FW_WINDOW / 2 };

static inline __attribute__((always_inline)) struct fw_window
window_of(const char *buf, size_t len, size_t before, struct fw_window (*half)(const char *))
{
    if (FW_LIKELY(len > HALF)) {
        size_t second = len < FW_WINDOW ? len - HALF : HALF; /* the second half may lie over the first */
        struct fw_window low = half(buf), high = half(buf + second);
        return (struct fw_window){low.odd | high.odd << second, low.colon | high.colon << second};
    }
    size_t missing = HALF - len;
    if (FW_LIKELY(before >= missing)) {
        struct fw_window window = half(buf - missing);
        return (struct fw_window){window.odd >> missing, window.colon >> missing};
    }
    char copy[HALF];
    memset(copy, ' ', sizeof copy);
    memcpy(copy, buf, len);
    return half(copy);
}

#if defined(FW_SCAN_SSE2)
static struct fw_window window_sse2(const char *buf, size_t len, size_t before)
{
    return window_of(buf, len, before, half_sse2);
}

__attribute__((target("avx2"))) static struct fw_window window_avx2(const char *buf, size_t len,
                                                                    size_t before)
{
    return window_of(buf, len, before, half_avx2);
}

struct fw_window fw_scan_window(const char *buf, size_t len, size_t before)
{
    /* one bit of a word that the compiler's run time fills in before any of our code runs */
    if (FW_LIKELY(FW_SCAN_LEVEL > 1 && __builtin_cpu_supports("avx2")))
        return window_avx2(buf, len, before);
    return window_sse2(buf, len, before);
}
#else
struct fw_window fw_scan_window(const char *buf, size_t len, size_t before)
{
    return window_of(buf, len, before, half_neon);
}
#endif

#else /* no vectors */

size_t fw_scan_target(const char *buf, size_t len)
{
    return fw_scan_target_scalar(buf, len);
}

size_t fw_scan_path(const char *buf, size_t len)
{
    return fw_scan_path_scalar(buf, len);
}

size_t fw_scan_value(const char *buf, size_t len)
{
    return fw_scan_value_scalar(buf, len);
}

size_t fw_scan_ascii(const char *buf, size_t len)
{
    return fw_scan_ascii_scalar(buf, len);
}

struct fw_window fw_scan_window(const char *buf, size_t len, size_t before)
{
    (void)before;
    return fw_scan_window_scalar(buf, len);
}

#endif

/* ---- small things ---- */

int fw_scan_hex(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    char lower = (char)(byte | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool fw_scan_same(const char *buf, size_t len, const char *lower, size_t lower_len)
{
    if (len != lower_len)
        return false;
    for (size_t at = 0; at < len; at++) {
        char byte = buf[at] >= 'A' && buf[at] <= 'Z' ? (char)(buf[at] | 0x20) : buf[at];
        if (byte != lower[at])
            return false;
    }
    return true;
}

size_t fw_scan_unquote(const char *buf, size_t len, char *out)
{
    const char *from = buf, *end = buf + len;
    char *to = out;
    while (from < end) {
        const char *percent = memchr(from, '%', (size_t)(end - from));
        size_t plain = (size_t)((percent != NULL ? percent : end) - from);
        memmove(to, from, plain);
        to += plain;
        from += plain;
        /* escapes mostly come in rows */
        while (from < end && *from == '%') {
            int high = end - from > 2 ? fw_scan_hex(from[1]) : -1;
            int low = high >= 0 ? fw_scan_hex(from[2]) : -1;
            if (low >= 0) {
                *to++ = (char)(high << 4 | low);
                from += 3;
            } else {
                *to++ = *from++;
            }
        }
    }
    return (size_t)(to - out);
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

bool fw_scan_list(const char *buf, size_t len, size_t *pos, struct fw_span *element)
{
    size_t start = *pos;
    while (start < len && (buf[start] == ',' || is_blank(buf[start])))
        start++;
    size_t end = start;
    while (end < len && buf[end] != ',')
        end++;
    *pos = end;
    while (end > start && is_blank(buf[end - 1]))
        end--;
    *element = fw_span_of(start, end - start);
    return end > start;
}
