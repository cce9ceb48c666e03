#include "fw_proxy.h"

#include <string.h>

static const char line_start[6] = "PROXY ";
static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* Is buf[0..len) the beginning of `mark`, or does it begin with it? */
static bool may_be(const char *buf, size_t len, const char *mark, size_t mark_len)
{
    return memcmp(buf, mark, len < mark_len ? len : mark_len) == 0;
}

enum fw_proxy_sight fw_proxy_look(const char *buf, size_t len, enum fw_proxy_mode mode)
{
    if (mode & FW_PROXY_V1 && may_be(buf, len, line_start, sizeof line_start))
        return len < sizeof line_start ? FW_PROXY_SEES_MORE : FW_PROXY_SEES_V1;
    if (mode & FW_PROXY_V2 && may_be(buf, len, signature, sizeof signature))
        return len < sizeof signature ? FW_PROXY_SEES_MORE : FW_PROXY_SEES_V2;
    return FW_PROXY_SEES_NONE;
}

/* --- version 1: a line of words with one space between them --- */

/* The next word, which must not be empty; *at moves behind the space that follows it. */
static struct fw_span next_word(const char *line, size_t len, size_t *at)
{
    size_t begin = *at, end = begin;
    while (end < len && line[end] != ' ')
        end++;
    *at = end < len ? end + 1 : len + 1;
    return begin <= len ? fw_span_of(begin, end - begin) : fw_span_of(0, 0);
}

static bool parse_addr(const char *line, struct fw_span word, enum fw_proxy_kind kind, struct fw_addr *addr)
{
    bool colon = word.len > 0 && memchr(line + word.off, ':', word.len) != NULL;
    return colon == (kind == FW_PROXY_TCP6) && fw_addr_parse(line + word.off, word.len, addr);
}

/* line[0..len) is the line without its CR LF. */
static bool parse_line(const char *line, size_t len, struct fw_proxy *proxy)
{
    size_t at = sizeof line_start;
    struct fw_span word = next_word(line, len, &at);
    const char *family = line + word.off;
    if (word.len == 7 && memcmp(family, "UNKNOWN", 7) == 0) {
        *proxy = (struct fw_proxy){.kind = FW_PROXY_UNKNOWN};
        return true;
    }
    if (word.len != 4 || memcmp(family, "TCP", 3) != 0 || (family[3] != '4' && family[3] != '6'))
        return false;
    *proxy = (struct fw_proxy){.kind = family[3] == '4' ? FW_PROXY_TCP4 : FW_PROXY_TCP6};
    enum fw_proxy_kind kind = (enum fw_proxy_kind)proxy->kind;
    if (!parse_addr(line, next_word(line, len, &at), kind, &proxy->client) ||
        !parse_addr(line, next_word(line, len, &at), kind, &proxy->proxy))
        return false;
    word = next_word(line, len, &at);
    int32_t client_port = fw_addr_port(line + word.off, word.len);
    word = next_word(line, len, &at);
    int32_t proxy_port = fw_addr_port(line + word.off, word.len);
    if (client_port < 0 || proxy_port < 0 || at != len + 1)
        return false;
    proxy->client_port = (uint16_t)client_port;
    proxy->proxy_port = (uint16_t)proxy_port;
    return true;
}

static ssize_t parse_1(const char *buf, size_t len, struct fw_proxy *proxy)
{
    size_t most = len < FW_PROXY_LINE_MOST ? len : FW_PROXY_LINE_MOST, end = 0;
    while (end < most && buf[end] >= 0x20 && buf[end] < 0x7F)
        end++;
    if (end == most || (end + 1 == most && buf[end] == '\r'))
        return most < FW_PROXY_LINE_MOST ? 0 : -(ssize_t)FW_E_PROXY_HEADER;
    if (buf[end] != '\r' || buf[end + 1] != '\n' || !parse_line(buf, end, proxy))
        return -(ssize_t)FW_E_PROXY_HEADER;
    return (ssize_t)end + 2;
}

/* --- version 2: 16 bytes, then as many as they say: addresses, and what we do not look at --- */

static uint16_t number(const char *buf)
{
    return (uint16_t)((uint8_t)buf[0] << 8 | (uint8_t)buf[1]);
}

static bool parse_block(const char *block, size_t len, unsigned family, struct fw_proxy *proxy)
{
    switch (family) {
    case 0x11:
        if (len < 12)
            return false;
        *proxy = (struct fw_proxy){
            .kind = FW_PROXY_TCP4,
            .client = fw_addr_of_4(block),
            .proxy = fw_addr_of_4(block + 4),
            .client_port = number(block + 8),
            .proxy_port = number(block + 10),
        };
        return true;
    case 0x21:
        if (len < 36)
            return false;
        *proxy = (struct fw_proxy){
            .kind = FW_PROXY_TCP6,
            .client = fw_addr_of_6(block),
            .proxy = fw_addr_of_6(block + 16),
            .client_port = number(block + 32),
            .proxy_port = number(block + 34),
        };
        return true;
    case 0x31:
        *proxy = (struct fw_proxy){.kind = FW_PROXY_UNIX};
        return len >= 216;
    default:
        *proxy = (struct fw_proxy){.kind = FW_PROXY_UNSPEC};
        return family <= 0x02; /* of no family, by any transport; everything else is not what brings HTTP */
    }
}

static ssize_t parse_2(const char *buf, size_t len, struct fw_proxy *proxy)
{
    enum { FIXED = 16, LOCAL = 0x20, PROXY = 0x21 };
    if (len < FIXED)
        return 0;
    unsigned command = (uint8_t)buf[12], family = (uint8_t)buf[13];
    size_t behind = number(buf + 14);
    if ((command != LOCAL && command != PROXY) || behind > FW_PROXY_MOST - FIXED)
        return -(ssize_t)FW_E_PROXY_HEADER;
    if (len - FIXED < behind)
        return 0;
    if (command == LOCAL)
        *proxy = (struct fw_proxy){.kind = FW_PROXY_LOCAL};
    else if (!parse_block(buf + FIXED, behind, family, proxy))
        return -(ssize_t)FW_E_PROXY_HEADER;
    return (ssize_t)(FIXED + behind);
}

ssize_t fw_proxy_parse(const char *buf, size_t len, enum fw_proxy_sight seen, struct fw_proxy *proxy)
{
    return seen == FW_PROXY_SEES_V1 ? parse_1(buf, len, proxy) : parse_2(buf, len, proxy);
}

const char *fw_proxy_name(enum fw_proxy_kind kind)
{
    switch (kind) {
    case FW_PROXY_NONE:
        break;
    case FW_PROXY_TCP4:
        return "TCP4";
    case FW_PROXY_TCP6:
        return "TCP6";
    case FW_PROXY_UNIX:
        return "UNIX";
    case FW_PROXY_LOCAL:
        return "LOCAL";
    case FW_PROXY_UNKNOWN:
        return "UNKNOWN";
    case FW_PROXY_UNSPEC:
        return "UNSPEC";
    }
    return "";
}
