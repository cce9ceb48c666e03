/* Tests of fw_forwarded: the scheme, names with an underscore, and the way to the client. */
#include "fw_forwarded.h"
#include "fw_test.h"

#include <stdio.h>

enum { FIELDS = 64 };

static struct fw_field fields[FIELDS];
static struct fw_head head;
static char *base;

/* A request with these field lines, in a block of just its size. */
static void take(const char *lines)
{
    char text[8192];
    int len = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s\r\n", lines);
    struct fw_limits limits = fw_limits_default();
    base = fw_test_before_wall((size_t)len);
    memcpy(base, text, (size_t)len);
    head = (struct fw_head){.fields = fields, .room = FIELDS};
    fw_test_note("%s", lines);
    CHECK_EQUAL(fw_head_parse(base, (size_t)len, 0, &limits, &head), len);
}

static struct fw_forwarded_rules rules_with(enum fw_underscore underscore)
{
    static const char schemes[] = "\x14\x03x-forwarded-protocolssl"
                                  "\x11\x05x-forwarded-protohttps"
                                  "\x0f\x02x-forwarded-sslon";
    static const char names[] = "\x0b\x00script_name\x09\x00path_info\x0b\x00remote_user";
    struct fw_forwarded_rules rules = {
        .schemes = {schemes, sizeof schemes - 1},
        .names = {names, sizeof names - 1},
        .underscore = (uint8_t)underscore,
    };
    fw_forwarded_init(&rules);
    return rules;
}

static enum fw_error judge(const struct fw_forwarded_rules *rules, bool trusted, const char *lines,
                           struct fw_forwarded *said)
{
    take(lines);
    return fw_forwarded_read(rules, trusted, base, &head, fw_forwarded_first(rules, &head), said);
}

static void the_scheme(void)
{
    static const struct {
        const char *lines;
        bool https;
        enum fw_error error;
    } cases[] = {
        {"", false, FW_OK},
        {"X-Forwarded-Proto: https\r\n", true, FW_OK},
        {"x-forwarded-proto:https\r\n", true, FW_OK},
        {"X-Forwarded-Protocol: ssl\r\n", true, FW_OK},
        {"X-FORWARDED-SSL: on\r\n", true, FW_OK},
        {"X-Forwarded-Proto: HTTPS\r\n", false, FW_OK},
        {"X-Forwarded-Proto: http\r\n", false, FW_OK},
        {"X-Forwarded-Proto: https, https\r\n", false, FW_OK},
        {"X-Forwarded-Proto: \r\n", false, FW_OK},
        {"X-Forwarded-Protocol: https\r\n", false, FW_OK},
        {"X-Forwarded-Protocox: ssl\r\n", false, FW_OK},
        {"X-Forwarded-Proto: https\r\nX-Forwarded-SSL: on\r\nX-Forwarded-Protocol: ssl\r\n", true, FW_OK},
        {"X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\n", true, FW_OK},
        {"X-Forwarded-Proto: http\r\nX-Forwarded-SSL: off\r\n", false, FW_OK},
        {"X-Forwarded-Proto: https\r\nX-Forwarded-SSL: off\r\n", false, FW_E_SCHEME_MIXED},
        {"X-Forwarded-SSL: off\r\nX-Forwarded-Proto: https\r\n", false, FW_E_SCHEME_MIXED},
        {"X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", false, FW_E_SCHEME_MIXED},
        {"X_Forwarded_Proto: https\r\n", false, FW_OK},
    };
    struct fw_forwarded_rules rules = rules_with(FW_UNDERSCORE_DROP);
    CHECK(rules.active);
    for (size_t at = 0; at < COUNT_OF(cases); at++) {
        struct fw_forwarded said;
        CHECK_EQUAL(judge(&rules, true, cases[at].lines, &said), cases[at].error);
        if (cases[at].error == FW_OK)
            CHECK_EQUAL(said.https, cases[at].https);
        CHECK_EQUAL(judge(&rules, false, cases[at].lines, &said), FW_OK);
        CHECK(!said.https);
    }
}

/* Which fields the application gets, a letter each: 'y' yes, '-' no. */
static void check_names(const struct fw_forwarded_rules *rules, bool trusted, const char *lines,
                        const char *want, int script)
{
    struct fw_forwarded said;
    CHECK_EQUAL(judge(rules, trusted, lines, &said), FW_OK);
    CHECK_EQUAL(head.count, strlen(want));
    bool hidden = false;
    for (uint32_t at = 0; at < head.count; at++) {
        CHECK_EQUAL(fields[at].flags & (FW_FIELD_UNDERSCORE | FW_FIELD_HIDDEN) ? '-' : 'y', want[at]);
        hidden |= fields[at].flags & FW_FIELD_HIDDEN;
    }
    CHECK_EQUAL(said.hidden, hidden);
    CHECK_EQUAL(said.script, script);
}

static void names_of_the_proxy(void)
{
    struct fw_forwarded_rules rules = rules_with(FW_UNDERSCORE_DROP);
    check_names(&rules, true, "SCRIPT_NAME: /a\r\nX_Other: 1\r\nX-Y: 2\r\n", "y-y", 1);
    check_names(&rules, false, "SCRIPT_NAME: /a\r\nX_Other: 1\r\nX-Y: 2\r\n", "--y", 0);
    check_names(&rules, true, "script_name: /a\r\n", "y", 1);
    check_names(&rules, true, "SCRIPT-NAME: /a\r\n", "y", 0);
    check_names(&rules, true, "SCRIPT_NAME_: /a\r\nSCRIPT_NAM: /a\r\n", "--", 0);
    check_names(&rules, true, "SCRIPT_NAME: /a\r\nA: 1\r\nSCRIPT_NAME: /b\r\n", "yyy", 3);
    /* a client's field that would join the proxy's */
    check_names(&rules, true, "Remote-User: admin\r\nREMOTE_USER: joe\r\n", "-y", 0);
    check_names(&rules, true, "REMOTE_USER: joe\r\nremote-user: admin\r\nREMOTE-USER: root\r\n", "y--", 0);
    check_names(&rules, true, "Remote-User: admin\r\n", "y", 0);
    check_names(&rules, false, "Remote-User: admin\r\nREMOTE_USER: joe\r\n", "y-", 0);
    check_names(&rules, true, "Remote-Use: a\r\nRemote-Users: b\r\nREMOTE_USER: joe\r\n", "yyy", 0);
}

static void all_names_are_the_proxys(void)
{
    struct fw_forwarded_rules rules = rules_with(FW_UNDERSCORE_DROP);
    rules.all_names = true;
    check_names(&rules, true, "X_Any: 1\r\nSCRIPT_NAME: /a\r\n", "yy", 2);
    check_names(&rules, false, "X_Any: 1\r\nSCRIPT_NAME: /a\r\n", "--", 0);
    rules.underscore = FW_UNDERSCORE_REFUSE;
    check_names(&rules, true, "X_Any: 1\r\nSCRIPT_NAME: /a\r\n", "yy", 2);
}

static void names_may_be_refused(void)
{
    struct fw_forwarded_rules rules = rules_with(FW_UNDERSCORE_REFUSE);
    struct fw_forwarded said;
    check_names(&rules, true, "REMOTE_USER: joe\r\nX-Y: 1\r\n", "yy", 0);
    check_names(&rules, false, "X-Y: 1\r\n", "y", 0);
    CHECK_EQUAL(judge(&rules, false, "REMOTE_USER: joe\r\n", &said), FW_E_FIELD_UNDERSCORE);
    CHECK_EQUAL(judge(&rules, true, "A: b\r\nX_Y: 1\r\n", &said), FW_E_FIELD_UNDERSCORE);
    CHECK_EQUAL(judge(&rules, true, "REMOTE_USER: joe\r\nRemote-User: a\r\n", &said), FW_E_FIELD_UNDERSCORE);
}

static void names_may_be_dangerous(void)
{
    struct fw_forwarded_rules rules = rules_with(FW_UNDERSCORE_DANGEROUS);
    check_names(&rules, true, "REMOTE_USER: joe\r\nRemote-User: a\r\nX_Y: 1\r\n", "yyy", 0);
    check_names(&rules, false, "REMOTE_USER: joe\r\nRemote-User: a\r\nX_Y: 1\r\n", "yyy", 0);
    /* but where the application is mounted only a proxy may say */
    check_names(&rules, false, "SCRIPT_NAME: /a\r\n", "y", 0);
    check_names(&rules, true, "SCRIPT_NAME: /a\r\n", "y", 1);
}

static struct fw_network network(const char *text, uint8_t bits)
{
    struct fw_addr addr;
    CHECK(fw_addr_parse(text, strlen(text), &addr));
    struct fw_network made = {.family = addr.family, .bits = bits};
    memcpy(made.bytes, addr.bytes, sizeof made.bytes);
    return made;
}

/* Where the way from 10.0.0.1 leads; `want`: "address port", "-" for no port. */
static void check_way(struct fw_forwarded_rules *rules, unsigned told, const char *lines, const char *want)
{
    char text[FW_ADDR_TEXT], got[FW_ADDR_TEXT + 16];
    struct fw_client client = {.port = 1};
    CHECK(fw_addr_parse("10.0.0.1", 8, &client.addr));
    take(lines);
    bool moved = fw_forwarded_follow(rules, told, base, &head, &client);
    size_t len = fw_addr_text(&client.addr, text);
    int at = snprintf(got, sizeof got, "%.*s ", (int)len, text);
    snprintf(got + at, sizeof got - (size_t)at, client.port < 0 ? "-" : "%d", client.port);
    fw_test_note("%s: %s", lines, got);
    CHECK(strcmp(got, want) == 0);
    CHECK_EQUAL(moved, strcmp(want, "10.0.0.1 1") != 0);
}

static struct fw_network trusted[2];

static struct fw_forwarded_rules rules_for(enum fw_name name)
{
    trusted[0] = network("10.0.0.0", 8);
    trusted[1] = network("2001:db8::", 32);
    struct fw_forwarded_rules rules = {.proxies = {.each = trusted, .count = 2}, .client = (uint8_t)name};
    fw_forwarded_init(&rules);
    CHECK(rules.active);
    return rules;
}

static void x_forwarded_for(void)
{
    static const struct {
        const char *lines, *want;
    } cases[] = {
        {"", "10.0.0.1 1"},
        {"Forwarded: for=9.9.9.9\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1 -"},
        {"x-forwarded-for:192.0.2.1\r\n", "192.0.2.1 -"},
        {"X-Forwarded-For: 192.0.2.1:4711\r\n", "192.0.2.1 4711"},
        {"X-Forwarded-For: ::1\r\n", "::1 -"},
        {"X-Forwarded-For: [::1]\r\n", "::1 -"},
        {"X-Forwarded-For: [::1]:80\r\n", "::1 80"},
        {"X-Forwarded-For: ::ffff:192.0.2.1\r\n", "192.0.2.1 -"},
        /* right to left, as far as those named are trusted */
        {"X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n", "192.0.2.1 -"},
        {"X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.2\r\n", "192.0.2.1 -"},
        {"X-Forwarded-For: 6.6.6.6,192.0.2.1\t,\t2001:db8::7 , 10.0.0.2\r\n", "192.0.2.1 -"},
        {"X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3 -"},
        {"X-Forwarded-For: 10.6.6.6, 192.0.2.1\r\n", "192.0.2.1 -"},
        /* several lines are one */
        {"X-Forwarded-For: 6.6.6.6\r\nA: b\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1 -"},
        {"X-Forwarded-For: 192.0.2.1\r\nA: b\r\nX-Forwarded-For: 10.0.0.2\r\n", "192.0.2.1 -"},
        {"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For:\r\n", "10.0.0.1 1"},
        /* no address: the last good one stays */
        {"X-Forwarded-For:\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: unknown\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: _hidden\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.2\r\n", "10.0.0.2 -"},
        {"X-Forwarded-For: 6.6.6.6, , 10.0.0.2\r\n", "10.0.0.2 -"},
        {"X-Forwarded-For: 6.6.6.6,\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 6.6.6.6, 10.0.0.2:\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 6.6.6.6, 10.0.0.2:99999\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 6.6.6.6, 10.0.0.2:_p\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 6.6.6.6, 10.0.0.2 10.0.0.3\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 6.6.6.6, [10.0.0.2]\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 6.6.6.6, [::1\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 6.6.6.6, [::1]80\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 6.6.6.6, fe80::1%eth0\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 6.6.6.6, \"10.0.0.2\"\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 6.6.6.6, 010.0.0.2\r\n", "10.0.0.1 1"},
        {"X-Forwarded-For: 6.6.6.6, 10.0.0.2\xFF\r\n", "10.0.0.1 1"},
    };
    struct fw_forwarded_rules rules = rules_for(FW_N_X_FORWARDED_FOR);
    for (size_t at = 0; at < COUNT_OF(cases); at++)
        check_way(&rules, 0, cases[at].lines, cases[at].want);
}

static void forwarded(void)
{
    static const struct {
        const char *lines, *want;
    } cases[] = {
        {"", "10.0.0.1 1"},
        {"X-Forwarded-For: 9.9.9.9\r\n", "10.0.0.1 1"},
        {"Forwarded: for=192.0.2.1\r\n", "192.0.2.1 -"},
        {"Forwarded: For=192.0.2.1;proto=https;by=203.0.113.43\r\n", "192.0.2.1 -"},
        {"Forwarded: proto=https; by=203.0.113.43 ;\tfor=192.0.2.1\r\n", "192.0.2.1 -"},
        {"Forwarded: for=\"192.0.2.1\"\r\n", "192.0.2.1 -"},
        {"Forwarded: for=\"192.0.2.1:4711\"\r\n", "192.0.2.1 4711"},
        {"Forwarded: for=\"[::1]:4711\"\r\n", "::1 4711"},
        {"Forwarded: for=\"[::1]\"\r\n", "::1 -"},
        {"Forwarded: for=\"[::1]:_port\"\r\n", "::1 -"},
        {"Forwarded: for=6.6.6.6, for=192.0.2.1, for=10.0.0.2\r\n", "192.0.2.1 -"},
        {"Forwarded: for=6.6.6.6,for=192.0.2.1;a=\"x,for=5.5.5.5\",for=10.0.0.2\r\n", "192.0.2.1 -"},
        {"Forwarded: for=6.6.6.6;x=\"\\\",for=5.5.5.5\", for=192.0.2.1\r\n", "192.0.2.1 -"},
        {"Forwarded: for=192.0.2.1\r\nForwarded: for=10.0.0.2\r\n", "192.0.2.1 -"},
        {"Forwarded: for=10.0.0.3, for=10.0.0.2\r\n", "10.0.0.3 -"},
        {"Forwarded: ;;for=192.0.2.1;;\r\n", "192.0.2.1 -"},
        /* nobody is named */
        {"Forwarded:\r\n", "10.0.0.1 1"},
        {"Forwarded: for=unknown\r\n", "10.0.0.1 1"},
        {"Forwarded: for=_hidden\r\n", "10.0.0.1 1"},
        {"Forwarded: for=\"_SEVKISEK\"\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6, for=unknown, for=10.0.0.2\r\n", "10.0.0.2 -"},
        {"Forwarded: for=6.6.6.6, proto=https, for=10.0.0.2\r\n", "10.0.0.2 -"},
        {"Forwarded: for=6.6.6.6, , for=10.0.0.2\r\n", "10.0.0.2 -"},
        {"Forwarded: for=6.6.6.6,\r\n", "10.0.0.1 1"},
        {"Forwarded: for=\"\"\r\n", "10.0.0.1 1"},
        {"Forwarded: for=\"10.0.0.\\2\"\r\n", "10.0.0.1 1"},
        {"Forwarded: for=\"2001:db8::2\"\r\n", "10.0.0.1 1"},
        {"Forwarded: for=\"10.0.0.2:_\"\r\n", "10.0.0.1 1"},
        {"Forwarded: for=\"10.0.0.2:_a b\"\r\n", "10.0.0.1 1"},
        {"Forwarded: for=\"10.0.0.2:0x50\"\r\n", "10.0.0.1 1"},
        {"Forwarded: for=\"[10.0.0.2]\"\r\n", "10.0.0.1 1"},
        /* no line of this grammar: nobody knows where its elements are */
        {"Forwarded: for=6.6.6.6, for=10.0.0.2:80\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6, for=[::1]\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6, for\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6, for=\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6, for =10.0.0.2\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6, =10.0.0.2\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6, for=10.0.0.2;for=10.0.0.3\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6 for=10.0.0.2\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6;x=\"a\"b, for=10.0.0.2\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6;x=\", for=10.0.0.2\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6;x=\"\\\", for=10.0.0.2\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6;x=\"\\\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6;x=\", for=\"10.0.0.2\"\r\n", "10.0.0.1 1"},
        {"Forwarded: for=6.6.6.6;x=\"\r\nForwarded: for=10.0.0.2\r\n", "10.0.0.2 -"},
    };
    struct fw_forwarded_rules rules = rules_for(FW_N_FORWARDED);
    for (size_t at = 0; at < COUNT_OF(cases); at++)
        check_way(&rules, 0, cases[at].lines, cases[at].want);
}

static void proxies_are_counted(void)
{
    static const char lines[] = "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.3, 10.0.0.2\r\n";
    static const char again[] = "Forwarded: for=6.6.6.6, for=192.0.2.1, for=10.0.0.3, for=10.0.0.2\r\n";
    static const char *const by_hops[] = {"192.0.2.1 -", "10.0.0.2 -", "10.0.0.3 -", "192.0.2.1 -",
                                          "192.0.2.1 -"};
    static const char *const of_all[] = {"10.0.0.2 -", "10.0.0.2 -", "10.0.0.3 -", "192.0.2.1 -",
                                         "6.6.6.6 -"};
    for (uint8_t hops = 0; hops < 5; hops++) {
        struct fw_forwarded_rules x = rules_for(FW_N_X_FORWARDED_FOR), f = rules_for(FW_N_FORWARDED);
        x.hops = f.hops = hops;
        check_way(&x, 0, lines, by_hops[hops]);
        check_way(&f, 0, again, by_hops[hops]);
        /* everybody is trusted: then the number alone counts, and without one only the peer is a proxy */
        x.proxies.all = f.proxies.all = true;
        check_way(&x, 0, lines, of_all[hops]);
        check_way(&f, 0, again, of_all[hops]);
        /* the header of the PROXY protocol was the first one's word */
        check_way(&x, 1, lines, hops < 2 ? "10.0.0.1 1" : of_all[hops - 1]);
        check_way(&x, 9, lines, "10.0.0.1 1");
    }
}

static void the_way_has_an_end(void)
{
    char lines[4096];
    for (int name = 0; name < 2; name++) {
        struct fw_forwarded_rules rules = rules_for(name ? FW_N_FORWARDED : FW_N_X_FORWARDED_FOR);
        int at = snprintf(lines, sizeof lines, name ? "Forwarded: " : "X-Forwarded-For: ");
        for (int hop = 100; hop > 0; hop--)
            at += snprintf(lines + at, sizeof lines - (size_t)at, "%s10.0.0.%d%s", name ? "for=" : "", hop,
                           hop > 1 ? "," : "\r\n");
        check_way(&rules, 0, lines, "10.0.0.32 -");
        check_way(&rules, 2, lines, "10.0.0.30 -");
    }
}

int main(int argc, char **argv)
{
    static const struct fw_test tests[] = {
        {"the scheme", the_scheme},
        {"names of the proxy", names_of_the_proxy},
        {"all names are the proxy's", all_names_are_the_proxys},
        {"names may be refused", names_may_be_refused},
        {"names may be dangerous", names_may_be_dangerous},
        {"X-Forwarded-For", x_forwarded_for},
        {"Forwarded", forwarded},
        {"proxies are counted", proxies_are_counted},
        {"the way has an end", the_way_has_an_end},
    };
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
