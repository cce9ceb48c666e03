/* A header of the PROXY protocol is the same whole and in pieces, and what was accepted, written out again,
 * parses to the same. */
#include "fuzz.h"
#include "fw_proxy.h"

/* 0: more is needed; LONG_MAX: it is not this protocol. */
static long read_header(const uint8_t *data, size_t size, enum fw_proxy_mode mode, struct fw_proxy *proxy)
{
    char *buf = fuzz_copy(data, size);
    enum fw_proxy_sight sight = fw_proxy_look(buf, size, mode);
    long result = 0;
    *proxy = (struct fw_proxy){.kind = FW_PROXY_NONE};
    if (sight == FW_PROXY_SEES_NONE)
        result = INT32_MAX;
    else if (sight != FW_PROXY_SEES_MORE)
        result = fw_proxy_parse(buf, size, sight, proxy);
    free(buf);
    return result;
}

static bool same(const struct fw_proxy *a, const struct fw_proxy *b)
{
    return a->kind == b->kind && a->client_port == b->client_port && a->proxy_port == b->proxy_port &&
           memcmp(&a->client, &b->client, sizeof a->client) == 0 &&
           memcmp(&a->proxy, &b->proxy, sizeof a->proxy) == 0;
}

/* The addresses as those of IPv6, which all of them can be. */
static void put_addr(uint8_t *out, const struct fw_addr *addr)
{
    memset(out, 0, 16);
    if (addr->family == FW_FAMILY_6) {
        memcpy(out, addr->bytes, 16);
    } else {
        out[10] = out[11] = 0xFF;
        memcpy(out + 12, addr->bytes, 4);
    }
}

static void write_again(const struct fw_proxy *proxy)
{
    uint8_t block[52] = "\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24";
    struct fw_proxy again;
    put_addr(block + 16, &proxy->client);
    put_addr(block + 32, &proxy->proxy);
    block[48] = (uint8_t)(proxy->client_port >> 8);
    block[49] = (uint8_t)proxy->client_port;
    block[50] = (uint8_t)(proxy->proxy_port >> 8);
    block[51] = (uint8_t)proxy->proxy_port;
    PROMISE(read_header(block, sizeof block, FW_PROXY_V2, &again) == (long)sizeof block);
    again.kind = proxy->kind;
    PROMISE(same(&again, proxy));

    char line[FW_PROXY_LINE_MOST + 1], client[FW_ADDR_TEXT], other[FW_ADDR_TEXT];
    if (proxy->client.family != proxy->proxy.family)
        return; /* one of them was dressed up, which a line cannot say of the other */
    int n = snprintf(line, sizeof line, "PROXY TCP%d %.*s %.*s %u %u\r\n", proxy->client.family,
                     (int)fw_addr_text(&proxy->client, client), client,
                     (int)fw_addr_text(&proxy->proxy, other), other, proxy->client_port, proxy->proxy_port);
    PROMISE(n > 0 && (size_t)n < sizeof line);
    PROMISE(read_header((const uint8_t *)line, (size_t)n, FW_PROXY_V1, &again) == n);
    again.kind = proxy->kind;
    PROMISE(same(&again, proxy));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_choice choice = fuzz_choices(data, size);
    enum fw_proxy_mode mode = (enum fw_proxy_mode)fuzz_choose(&choice, 4);
    struct fw_proxy whole, piece;
    long want = size > 0 ? read_header(data, size, mode, &whole) : 0;
    for (size_t len = 1; len <= size && len <= 300; len++) {
        long result = read_header(data, len, mode, &piece);
        if (result == 0)
            continue;
        PROMISE(result == want && same(&whole, &piece));
        break;
    }
    PROMISE(want == INT32_MAX || want <= (long)size);
    if (want <= 0 || want == INT32_MAX)
        return 0;
    PROMISE(data[0] == 'P' ? want <= FW_PROXY_LINE_MOST && memcmp(data + want - 2, "\r\n", 2) == 0
                           : want >= 16 && want <= FW_PROXY_MOST);
    PROMISE(whole.kind != FW_PROXY_NONE && fw_proxy_name((enum fw_proxy_kind)whole.kind)[0] != '\0');
    if (whole.kind == FW_PROXY_TCP4 || whole.kind == FW_PROXY_TCP6)
        write_again(&whole);
    else
        PROMISE(whole.client.family == FW_FAMILY_NONE && whole.proxy.family == FW_FAMILY_NONE);
    return 0;
}
