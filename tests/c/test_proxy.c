/* Tests of fw_proxy: headers of the PROXY protocol, whole, cut at every byte, and wrong in every way. */
#include "fw_proxy.h"
#include "fw_test.h"

#include <stdio.h>
#include <stdlib.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* As a connection does it, the bytes in a heap block of just their size. 0: more is needed; INT32_MAX: it is
 * not this protocol. */
static long read_header(const char *bytes, size_t len, enum fw_proxy_mode mode, struct fw_proxy *proxy)
{
    char *buf = malloc(len > 0 ? len : 1);
    if (len > 0)
        memcpy(buf, bytes, len);
    enum fw_proxy_sight sight = fw_proxy_look(buf, len, mode);
    long result = 0;
    if (sight == FW_PROXY_SEES_NONE)
        result = INT32_MAX;
    else if (sight != FW_PROXY_SEES_MORE)
        result = fw_proxy_parse(buf, len, sight, proxy);
    free(buf);
    return result;
}

/* Whole, at every cut, and with more behind it. */
static void check_header(const char *bytes, size_t len, const struct fw_proxy *want)
{
    struct fw_proxy proxy;
    char *more = malloc(len + 200);
    memcpy(more, bytes, len);
    memset(more + len, 'x', 200);
    for (size_t cut = 0; cut < len; cut++) {
        fw_test_note("cut at %zu of %zu", cut, len);
        CHECK_EQUAL(read_header(bytes, cut, FW_PROXY_AUTO, &proxy), 0);
    }
    for (size_t behind = 0; behind <= 200; behind += 50) {
        memset(&proxy, 0, sizeof proxy);
        fw_test_note("%zu bytes behind it", behind);
        CHECK_EQUAL(read_header(more, len + behind, FW_PROXY_AUTO, &proxy), len);
        CHECK_EQUAL(proxy.kind, want->kind);
        CHECK_EQUAL(proxy.client_port, want->client_port);
        CHECK_EQUAL(proxy.proxy_port, want->proxy_port);
        CHECK(memcmp(&proxy.client, &want->client, sizeof want->client) == 0);
        CHECK(memcmp(&proxy.proxy, &want->proxy, sizeof want->proxy) == 0);
    }
    free(more);
}

static struct fw_addr addr(const char *text)
{
    struct fw_addr made;
    CHECK(fw_addr_parse(text, strlen(text), &made));
    return made;
}

static void lines(void)
{
    const struct fw_proxy v4 = {FW_PROXY_TCP4, 56324, 443, addr("192.168.0.1"), addr("192.168.0.11")};
    const struct fw_proxy v6 = {FW_PROXY_TCP6, 65535, 65535, addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                                addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe")};
    const struct fw_proxy mapped = {FW_PROXY_TCP6, 0, 1, addr("192.0.2.1"), addr("::1")};
    const struct fw_proxy unknown = {.kind = FW_PROXY_UNKNOWN};
    static const char line4[] = "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";
    static const char line6[] = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n";
    static const char dressed[] = "PROXY TCP6 ::ffff:192.0.2.1 ::1 0 1\r\n";
    static const char longest[] = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                                  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    check_header(line4, sizeof line4 - 1, &v4);
    check_header(line6, sizeof line6 - 1, &v6);
    check_header(dressed, sizeof dressed - 1, &mapped);
    CHECK_EQUAL(sizeof longest - 1, FW_PROXY_LINE_MOST);
    check_header(longest, sizeof longest - 1, &unknown);
    check_header("PROXY UNKNOWN\r\n", 15, &unknown);
    check_header("PROXY UNKNOWN whatever it says\r\n", 32, &unknown);
}

static void wrong_lines(void)
{
    static const char *const bad[] = {
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
        "PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1_0 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 a 2\r\n",
        "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.256 1 2\r\n",
        "PROXY TCP4 ::1 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
        "PROXY TCP6 ::1 1.2.3.4 1 2\r\n",
        "PROXY TCP6 ::1%lo ::1 1 2\r\n",
        "PROXY TCP6 [::1] [::1] 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWN x\rx\r\n",
        "PROXY UNKNOWN \x80\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
        "PROXY / HTTP/1.1\r\n",
    };
    struct fw_proxy proxy;
    for (size_t at = 0; at < COUNT_OF(bad); at++) {
        size_t len = strlen(bad[at]);
        fw_test_note("%s", bad[at]);
        CHECK_EQUAL(read_header(bad[at], len, FW_PROXY_AUTO, &proxy), -FW_E_PROXY_HEADER);
        /* what more comes does not help, and with less of it nothing else may be said */
        for (size_t cut = 0; cut < len; cut++) {
            long result = read_header(bad[at], cut, FW_PROXY_AUTO, &proxy);
            CHECK(result == 0 || result == -FW_E_PROXY_HEADER);
        }
    }
    CHECK_EQUAL(read_header("PROXY UNKNOWN \0\r\n", 17, FW_PROXY_AUTO, &proxy), -FW_E_PROXY_HEADER);
}

static void a_line_has_its_bound(void)
{
    struct fw_proxy proxy;
    char line[FW_PROXY_LINE_MOST + 3];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    CHECK_EQUAL(read_header(line, FW_PROXY_LINE_MOST - 1, FW_PROXY_AUTO, &proxy), 0);
    CHECK_EQUAL(read_header(line, FW_PROXY_LINE_MOST, FW_PROXY_AUTO, &proxy), -FW_E_PROXY_HEADER);
    memcpy(line + FW_PROXY_LINE_MOST - 1, "\r\n", 2); /* one byte too long */
    for (size_t len = FW_PROXY_LINE_MOST; len < sizeof line; len++)
        CHECK_EQUAL(read_header(line, len, FW_PROXY_AUTO, &proxy), -FW_E_PROXY_HEADER);
    memcpy(line + FW_PROXY_LINE_MOST - 2, "\r\n", 2);
    CHECK_EQUAL(read_header(line, FW_PROXY_LINE_MOST - 1, FW_PROXY_AUTO, &proxy), 0);
    CHECK_EQUAL(read_header(line, sizeof line, FW_PROXY_AUTO, &proxy), FW_PROXY_LINE_MOST);
}

/* Version 2: `len` bytes of `block` behind the first sixteen. */
static size_t make_2(char *out, unsigned command, unsigned family, const char *block, size_t len)
{
    memcpy(out, SIGNATURE, 12);
    out[12] = (char)command;
    out[13] = (char)family;
    out[14] = (char)(len >> 8);
    out[15] = (char)len;
    if (len > 0)
        memcpy(out + 16, block, len);
    return 16 + len;
}

static void blocks(void)
{
    static const char tlvs[] = "\x01\x00\x02h2\x20\x00\x05\x00\x00\x00\x00\x00";
    static const char block4[] = "\xC0\x00\x02\x01\xC6\x33\x64\x07\xDC\x04\x01\xBB";
    char block[400] = "", out[600];
    const struct fw_proxy v4 = {FW_PROXY_TCP4, 56324, 443, addr("192.0.2.1"), addr("198.51.100.7")};
    memcpy(block, block4, 12);
    memcpy(block + 12, tlvs, sizeof tlvs);
    check_header(out, make_2(out, 0x21, 0x11, block, 12), &v4);
    check_header(out, make_2(out, 0x21, 0x11, block, 12 + sizeof tlvs), &v4);

    struct fw_proxy v6 = {FW_PROXY_TCP6, 1, 65535, addr("2001:db8::1"), addr("192.0.2.7")};
    memcpy(block, v6.client.bytes, 16);
    memcpy(block + 16, "\0\0\0\0\0\0\0\0\0\0\xFF\xFF\xC0\x00\x02\x07", 16);
    memcpy(block + 32, "\x00\x01\xFF\xFF", 4);
    check_header(out, make_2(out, 0x21, 0x21, block, 36), &v6);
    check_header(out, make_2(out, 0x21, 0x21, block, 300), &v6);

    const struct fw_proxy local = {.kind = FW_PROXY_LOCAL}, unspec = {.kind = FW_PROXY_UNSPEC},
                          path = {.kind = FW_PROXY_UNIX};
    check_header(out, make_2(out, 0x20, 0x00, block, 0), &local);
    check_header(out, make_2(out, 0x20, 0x11, block, 12), &local);
    check_header(out, make_2(out, 0x20, 0xFF, block, 3), &local);
    check_header(out, make_2(out, 0x21, 0x00, block, 0), &unspec);
    check_header(out, make_2(out, 0x21, 0x01, block, 20), &unspec);
    check_header(out, make_2(out, 0x21, 0x31, block, 216), &path);
    check_header(out, make_2(out, 0x21, 0x31, block, 250), &path);
}

static void wrong_blocks(void)
{
    static const struct {
        uint8_t command, family;
        size_t len;
    } bad[] = {
        {0x11, 0x11, 12}, {0x01, 0x11, 12}, {0x31, 0x11, 12}, {0x22, 0x11, 12},  {0x2F, 0x11, 12},
        {0x21, 0x11, 11}, {0x21, 0x11, 0},  {0x21, 0x21, 35}, {0x21, 0x31, 215}, {0x21, 0x12, 12},
        {0x21, 0x22, 36}, {0x21, 0x10, 12}, {0x21, 0x13, 12}, {0x21, 0x41, 216}, {0x21, 0x32, 216},
        {0x21, 0x03, 0},  {0x00, 0x00, 0},  {0xFF, 0xFF, 0},
    };
    char block[300] = "", out[600];
    struct fw_proxy proxy;
    for (size_t at = 0; at < COUNT_OF(bad); at++) {
        size_t len = make_2(out, bad[at].command, bad[at].family, block, bad[at].len);
        fw_test_note("%02x %02x %zu", bad[at].command, bad[at].family, bad[at].len);
        CHECK_EQUAL(read_header(out, len, FW_PROXY_AUTO, &proxy), -FW_E_PROXY_HEADER);
    }
}

static void a_block_has_its_bound(void)
{
    char *out = calloc(1, 70000);
    struct fw_proxy proxy;
    char *block = calloc(1, 65535);
    size_t most = FW_PROXY_MOST - 16, len = make_2(out, 0x21, 0x11, block, most);
    CHECK_EQUAL(read_header(out, len, FW_PROXY_AUTO, &proxy), FW_PROXY_MOST);
    CHECK_EQUAL(read_header(out, len - 1, FW_PROXY_AUTO, &proxy), 0);
    /* refused as soon as it says how long it is */
    make_2(out, 0x21, 0x11, block, most + 1);
    CHECK_EQUAL(read_header(out, 15, FW_PROXY_AUTO, &proxy), 0);
    CHECK_EQUAL(read_header(out, 16, FW_PROXY_AUTO, &proxy), -FW_E_PROXY_HEADER);
    make_2(out, 0x20, 0x00, block, 65535);
    CHECK_EQUAL(read_header(out, 16, FW_PROXY_AUTO, &proxy), -FW_E_PROXY_HEADER);
    free(block);
    free(out);
}

static void what_is_looked_for(void)
{
    static const char one[] = "PROXY UNKNOWN\r\n";
    char two[16];
    struct fw_proxy proxy;
    make_2(two, 0x20, 0, NULL, 0);
    CHECK_EQUAL(read_header(one, 15, FW_PROXY_V1, &proxy), 15);
    CHECK_EQUAL(read_header(two, 16, FW_PROXY_V2, &proxy), 16);
    CHECK_EQUAL(read_header(one, 15, FW_PROXY_V2, &proxy), INT32_MAX);
    CHECK_EQUAL(read_header(two, 16, FW_PROXY_V1, &proxy), INT32_MAX);
    CHECK_EQUAL(read_header(one, 15, FW_PROXY_OFF, &proxy), INT32_MAX);
    /* HTTP is told from it by the first byte that differs */
    CHECK_EQUAL(read_header("G", 1, FW_PROXY_AUTO, &proxy), INT32_MAX);
    CHECK_EQUAL(read_header("P", 1, FW_PROXY_AUTO, &proxy), 0);
    CHECK_EQUAL(read_header("PO", 2, FW_PROXY_AUTO, &proxy), INT32_MAX);
    CHECK_EQUAL(read_header("PROXYI", 6, FW_PROXY_AUTO, &proxy), INT32_MAX);
    CHECK_EQUAL(read_header("\r\n", 2, FW_PROXY_AUTO, &proxy), 0);
    CHECK_EQUAL(read_header("\r\n", 2, FW_PROXY_V1, &proxy), INT32_MAX);
    CHECK_EQUAL(read_header("\r\nG", 3, FW_PROXY_AUTO, &proxy), INT32_MAX);
    for (size_t at = 0; at < 12; at++) {
        char broken[16];
        memcpy(broken, two, 16);
        broken[at] ^= 1;
        CHECK_EQUAL(read_header(broken, 16, FW_PROXY_AUTO, &proxy), INT32_MAX);
    }
}

int main(int argc, char **argv)
{
    static const struct fw_test tests[] = {
        {"lines", lines},
        {"wrong lines", wrong_lines},
        {"a line has its bound", a_line_has_its_bound},
        {"blocks", blocks},
        {"wrong blocks", wrong_blocks},
        {"a block has its bound", a_block_has_its_bound},
        {"what is looked for", what_is_looked_for},
    };
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
