/* Tests of fw_addr: addresses and ports as text, and which network they are in. */
#include "fw_addr.h"
#include "fw_test.h"

#include <stdio.h>

static bool parse(const char *text, size_t len, struct fw_addr *addr)
{
    char *buf = fw_test_before_wall(len);
    memcpy(buf, text, len);
    fw_test_note("%.*s", (int)len, text);
    return fw_addr_parse(buf, len, addr);
}

static bool is_text(const struct fw_addr *addr, const char *want)
{
    char text[FW_ADDR_TEXT];
    size_t len = fw_addr_text(addr, text);
    return len == strlen(want) && memcmp(text, want, len) == 0;
}

static void text_to_address_and_back(void)
{
    static const struct {
        const char *text, *again;
        uint8_t family;
    } good[] = {
        {"0.0.0.0", "0.0.0.0", 4},
        {"192.0.2.1", "192.0.2.1", 4},
        {"255.255.255.255", "255.255.255.255", 4},
        {"::", "::", 6},
        {"::1", "::1", 6},
        {"2001:DB8:0:0::1", "2001:db8::1", 6},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6},
        {"2001:db8:0000:0000:0000:ffff:192.168.100.228", "2001:db8::ffff:c0a8:64e4", 6},
        {"::ffff:192.0.2.1", "192.0.2.1", 4},
        {"::FFFF:c000:0201", "192.0.2.1", 4},
    };
    static const char *const bad[] = {
        "",           "1",         "1.2.3",     "1.2.3.4.5", "1.2.3.256",  "01.2.3.4",   "1.2.3.4 ",
        " 1.2.3.4",   "1.2.3.4/8", "0x1.2.3.4", "1.2.3.-4",  "localhost",  ":",          ":::",
        "1::2::3",    "1:2:3:4:5", "12345::",   "::1%lo",    "fe80::1%25", "[::1]",      "::g",
        "1.2.3.4:80", "_hidden",   "unknown",   "1.2.3.4\n", "*",          "1.2.3.\xB2",
    };
    for (size_t at = 0; at < COUNT_OF(good); at++) {
        struct fw_addr addr;
        CHECK(parse(good[at].text, strlen(good[at].text), &addr));
        CHECK_EQUAL(addr.family, good[at].family);
        CHECK(is_text(&addr, good[at].again));
    }
    for (size_t at = 0; at < COUNT_OF(bad); at++) {
        struct fw_addr addr;
        CHECK(!parse(bad[at], strlen(bad[at]), &addr));
    }
    struct fw_addr addr;
    CHECK(!parse("1.2.3.4\0", 8, &addr));
    CHECK(!parse("1.2\0.3.4", 8, &addr));
    CHECK(!parse("0000:0000:0000:0000:0000:0000:255.255.255.2555", 46, &addr));
    addr = (struct fw_addr){.family = FW_FAMILY_NONE};
    CHECK(is_text(&addr, ""));
}

static void a_port_is_plain_digits(void)
{
    static const struct {
        const char *text;
        int32_t port;
    } cases[] = {{"0", 0},      {"1", 1},   {"80", 80}, {"65535", 65535},  {"65536", -1},
                 {"99999", -1}, {"", -1},   {"00", -1}, {"080", -1},       {"655350", -1},
                 {"+1", -1},    {"-1", -1}, {"1 ", -1}, {" 1", -1},        {"0x1", -1},
                 {"1.0", -1},   {"a", -1},  {"/", -1},  {"4294967376", -1}};
    for (size_t at = 0; at < COUNT_OF(cases); at++) {
        size_t len = strlen(cases[at].text);
        char *buf = fw_test_before_wall(len);
        memcpy(buf, cases[at].text, len);
        fw_test_note("%s", cases[at].text);
        CHECK_EQUAL(fw_addr_port(buf, len), cases[at].port);
    }
    for (uint32_t port = 0; port <= UINT16_MAX; port++) {
        char text[FW_PORT_TEXT];
        size_t len = fw_addr_port_text((uint16_t)port, text);
        CHECK_EQUAL(fw_addr_port(text, len), port);
    }
}

static struct fw_network network(const char *text, uint8_t bits)
{
    struct fw_addr addr;
    CHECK(parse(text, strlen(text), &addr));
    struct fw_network made = {.family = addr.family, .bits = bits};
    memcpy(made.bytes, addr.bytes, sizeof made.bytes);
    return made;
}

static bool in(const char *text, const struct fw_networks *networks)
{
    struct fw_addr addr;
    CHECK(parse(text, strlen(text), &addr));
    return fw_addr_in(&addr, networks);
}

static void networks_have_their_addresses(void)
{
    const struct fw_network each[] = {network("10.0.0.0", 8), network("192.0.2.128", 25),
                                      network("198.51.100.7", 32), network("2001:db8::", 33),
                                      network("::1", 128)};
    const struct fw_networks networks = {.each = each, .count = COUNT_OF(each)};
    CHECK(in("10.0.0.0", &networks) && in("10.255.255.255", &networks));
    CHECK(!in("9.255.255.255", &networks) && !in("11.0.0.0", &networks));
    CHECK(in("192.0.2.128", &networks) && in("192.0.2.255", &networks));
    CHECK(!in("192.0.2.127", &networks) && !in("192.0.3.128", &networks));
    CHECK(in("198.51.100.7", &networks) && !in("198.51.100.6", &networks));
    CHECK(in("2001:db8::1", &networks) && in("2001:db8:7fff:ffff::", &networks));
    CHECK(!in("2001:db8:8000::", &networks) && !in("2001:db7:ffff::", &networks));
    CHECK(in("::1", &networks) && !in("::2", &networks) && !in("::", &networks));
    CHECK(in("::ffff:10.1.2.3", &networks));
    const struct fw_addr nobody = {.family = FW_FAMILY_NONE};
    CHECK(!fw_addr_in(&nobody, &networks));
}

static void all_of_a_family_is_not_all(void)
{
    const struct fw_network v4 = network("0.0.0.0", 0), v6 = network("::", 0);
    const struct fw_networks fours = {.each = &v4, .count = 1}, sixes = {.each = &v6, .count = 1};
    const struct fw_networks all = {.all = true}, none = {.count = 0};
    CHECK(in("1.2.3.4", &fours) && !in("::1", &fours));
    CHECK(!in("1.2.3.4", &sixes) && in("::1", &sixes));
    CHECK(in("1.2.3.4", &all) && in("::1", &all) && !in("1.2.3.4", &none) && !in("::1", &none));
}

int main(int argc, char **argv)
{
    static const struct fw_test tests[] = {
        {"text to address and back", text_to_address_and_back},
        {"a port is plain digits", a_port_is_plain_digits},
        {"networks have their addresses", networks_have_their_addresses},
        {"all of a family is not all", all_of_a_family_is_not_all},
    };
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
