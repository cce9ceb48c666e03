#define _GNU_SOURCE
#include "fw_escape.h"

#include <string.h>

static char *put(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

static char *put_hex(char *out, const char *prefix, unsigned code, int digits)
{
    out = put(out, prefix, 2);
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
        *out++ = "0123456789abcdef"[code >> shift & 15];
    return out;
}

/* The length of the UTF-8 character at the start of buf[0..len), its code point in *code; 0: there is none.
 */
static size_t utf8_character(const char *buf, size_t len, unsigned *code)
{
    const uint8_t *byte = (const uint8_t *)buf;
    size_t need = byte[0] < 0x80   ? 1
                  : byte[0] < 0xC2 ? 0
                  : byte[0] < 0xE0 ? 2
                  : byte[0] < 0xF0 ? 3
                  : byte[0] < 0xF5 ? 4
                                   : 0;
    if (need == 0 || need > len)
        return 0;
    *code = need == 1 ? byte[0] : byte[0] & (0x7Fu >> need);
    for (size_t at = 1; at < need; at++) {
        if ((byte[at] & 0xC0) != 0x80)
            return 0;
        *code = *code << 6 | (byte[at] & 0x3F);
    }
    if ((need == 3 && (*code < 0x800 || (*code >= 0xD800 && *code < 0xE000))) ||
        (need == 4 && (*code < 0x10000 || *code > 0x10FFFF)))
        return 0;
    return need;
}

static bool is_utf8(const char *buf, size_t len)
{
    unsigned code;
    for (size_t at = 0, n; at < len; at += n)
        if ((n = utf8_character(buf + at, len - at, &code)) == 0)
            return false;
    return true;
}

/* Characters that would end a line or a quote, that a terminal obeys, or that cannot be seen. */
static bool is_odd(unsigned code, bool json)
{
    if (code < 0x20 || code == '"' || code == '\\' || code == 0x2028 || code == 0x2029)
        return true;
    return code >= 0x7F && (json ? code < 0xA0 : code <= 0xA0 || code == 0xAD);
}

static char *put_odd(char *out, unsigned code, bool json)
{
    if (code == '"' || code == '\\') {
        *out++ = '\\';
        *out++ = (char)code;
        return out;
    }
    if (!json)
        return code < 0x100 ? put_hex(out, "\\x", code, 2) : put_hex(out, "\\u", code, 4);
    static const char letters[] = "btn?fr"; /* from 8 on */
    if (code >= 8 && code <= 13 && code != 11) {
        *out++ = '\\';
        *out++ = letters[code - 8];
        return out;
    }
    return put_hex(out, "\\u", code, 4);
}

#define EACH(byte) ((uint64_t)0x0101010101010101 * (byte))

/* Is any of eight bytes not plain: outside 0x20-0x7E, a quote, a backslash? */
static bool any_odd(uint64_t word)
{
    uint64_t quote = word ^ EACH('"'), backslash = word ^ EACH('\\'), rubout = word ^ EACH(0x7F);
    uint64_t odd = word | ((word - EACH(0x20)) & ~word) | ((quote - EACH(1)) & ~quote) |
                   ((backslash - EACH(1)) & ~backslash) | ((rubout - EACH(1)) & ~rubout);
    return (odd & EACH(0x80)) != 0;
}

static bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
}

size_t fw_escape(const char *buf, size_t len, bool json, char *out)
{
    char *start = out;
    size_t at = 0;
    bool judged = false, utf8 = false;
    while (at < len) {
        uint64_t word;
        while (len - at >= sizeof word) {
            memcpy(&word, buf + at, sizeof word);
            if (any_odd(word))
                break;
            memcpy(out, &word, sizeof word);
            out += sizeof word;
            at += sizeof word;
        }
        /* the few bytes of the end, or eight of which at least one is odd */
        for (size_t end = len - at > sizeof word ? at + sizeof word : len; at < end;) {
            unsigned code = (uint8_t)buf[at];
            if (FW_LIKELY(is_plain((uint8_t)code))) {
                *out++ = buf[at++];
                continue;
            }
            size_t n = 1;
            if (code >= 0x80) {
                if (!judged)
                    utf8 = is_utf8(buf + at, len - at); /* before it all is ASCII */
                judged = true;
                if (utf8)
                    n = utf8_character(buf + at, len - at, &code);
            }
            if (is_odd(code, json)) {
                out = put_odd(out, code, json);
            } else if (code < 0x80 || utf8) {
                out = put(out, buf + at, n);
            } else {
                *out++ = (char)(0xC0 | code >> 6);
                *out++ = (char)(0x80 | (code & 0x3F));
            }
            at += n;
        }
    }
    return (size_t)(out - start);
}
