/* Tests of fw_head: what the corpus does not show. The two ways through a field line give the same fields,
 * nothing outside the bytes is read, and the answer does not depend on the pieces.                      */
#include "fw_head.h"
#include "fw_test.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIELDS = 100 };

static struct fw_field fields[2][FIELDS];

static const char browser[] =
    "GET /articles/a%20b/?page=2#top HTTP/1.1\r\n"
    "Host: www.example.org\r\n"
    "Connection: keep-alive\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0\r\n"
    "X-Long: "
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r"
    "\n"
    "Empty:\r\n"
    "X_Under:  two  words \t\r\n"
    "Utf-8: \xC3\xA4\r\n"
    "Tab: a\tb\r\n"
    "te: x\r\n"
    "Via: y\r\n"
    "\r\n";

static struct fw_head head_of(int which)
{
    return (struct fw_head){.fields = fields[which], .room = FIELDS};
}

static bool span_is(const char *buf, struct fw_span span, const char *want)
{
    return span.len == strlen(want) && memcmp(buf + span.off, want, span.len) == 0;
}

static void a_head_is_cut_up_at_either_wall(void)
{
    size_t len = sizeof browser - 1;
    for (int wall = 0; wall < 2; wall++) {
        char *buf = wall ? fw_test_behind_wall(len) : fw_test_before_wall(len);
        memcpy(buf, browser, len);
        struct fw_limits limits = fw_limits_default();
        struct fw_head head = head_of(0);
        CHECK_EQUAL(fw_head_parse(buf, len, 0, &limits, &head), len);
        CHECK(span_is(buf, head.method, "GET") && head.method_id == FW_M_GET);
        CHECK(span_is(buf, head.target, "/articles/a%20b/?page=2#top"));
        CHECK(span_is(buf, head.path, "/articles/a%20b/") && head.path_escaped);
        CHECK(span_is(buf, head.query, "page=2"));
        CHECK(head.form == FW_FORM_ORIGIN && head.minor == 1 && head.authority.len == 0);
        CHECK_EQUAL(head.count, 11);
        CHECK(head.fields[0].id == FW_N_HOST && span_is(buf, head.fields[0].value, "www.example.org"));
        CHECK(span_is(buf, head.fields[5].name, "Empty") && head.fields[5].value.len == 0);
        CHECK_EQUAL(head.fields[5].flags, FW_FIELD_ASCII);
        CHECK(span_is(buf, head.fields[6].value, "two  words"));
        CHECK_EQUAL(head.fields[6].flags, FW_FIELD_ASCII | FW_FIELD_UNDERSCORE);
        CHECK_EQUAL(head.fields[7].flags, 0);
        CHECK(span_is(buf, head.fields[8].value, "a\tb") && head.fields[8].flags == FW_FIELD_ASCII);
        CHECK_EQUAL(head.fields[9].id, FW_N_TE);
        CHECK_EQUAL(head.fields[10].id, FW_N_VIA);
    }
}

/* Every prefix at the wall: nothing but "more", and no byte behind it is touched. */
static void a_prefix_wants_more(void)
{
    struct fw_limits limits = fw_limits_default();
    for (size_t len = 0; len < sizeof browser - 1; len++) {
        char *buf = fw_test_before_wall(len);
        memcpy(buf, browser, len);
        struct fw_head head = head_of(0);
        fw_test_note("prefix of %zu", len);
        CHECK_EQUAL(fw_head_parse(buf, len, 0, &limits, &head), 0);
    }
}

static void the_caller_may_move_the_buffer(void)
{
    struct fw_limits limits = fw_limits_default();
    struct fw_head whole = head_of(0), pieces = head_of(1);
    size_t len = sizeof browser - 1;
    CHECK_EQUAL(fw_head_parse(browser, len, 0, &limits, &whole), len);
    ssize_t result = 0;
    for (size_t shown = 0, seen = 0; shown <= len; seen = shown, shown++) {
        char *buf = malloc(shown + 1);
        memcpy(buf, browser, shown);
        CHECK_EQUAL(result, 0);
        result = fw_head_parse(buf, shown, seen, &limits, &pieces);
        free(buf);
    }
    CHECK_EQUAL(result, len);
    CHECK_EQUAL(pieces.count, whole.count);
    for (uint32_t at = 0; at < whole.count; at++) {
        struct fw_field *a = &whole.fields[at], *b = &pieces.fields[at];
        CHECK(a->name.off == b->name.off && a->name.len == b->name.len && a->value.off == b->value.off &&
              a->value.len == b->value.len && a->id == b->id && a->flags == b->flags);
    }
}

static void nothing_is_left_of_the_last_head(void)
{
    struct fw_limits limits = fw_limits_default();
    static const char odd[] = "GET http://b/%41?q HTTP/1.0\r\nHost: a\r\n\r\n",
                      plain[] = "GET / HTTP/1.1\r\n\r\n";
    struct fw_head head = head_of(0);
    CHECK_EQUAL(fw_head_parse(odd, sizeof odd - 1, 0, &limits, &head), sizeof odd - 1);
    CHECK(head.path_escaped && head.authority.len == 1 && head.form == FW_FORM_ABSOLUTE);
    CHECK_EQUAL(fw_head_parse(plain, sizeof plain - 1, 0, &limits, &head), sizeof plain - 1);
    CHECK(!head.path_escaped && head.authority.len == 0 && head.form == FW_FORM_ORIGIN && head.count == 0 &&
          head.query.len == 0);
    CHECK_EQUAL(fw_head_parse(odd, sizeof odd - 1, 0, &limits, &head), sizeof odd - 1);
    CHECK_EQUAL(fw_head_parse("GET /?q HTTP/1.1\r\n\r\n", 20, 0, &limits, &head), 20);
    CHECK(!head.path_escaped && head.authority.len == 0 && head.form == FW_FORM_ORIGIN &&
          head.query.len == 1);
}

static void the_fields_that_fit_are_the_limit(void)
{
    struct fw_limits limits = fw_limits_default();
    static const char text[] = "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n";
    struct fw_head head = head_of(0);
    head.room = 2;
    CHECK_EQUAL(fw_head_parse(text, sizeof text - 1, 0, &limits, &head), sizeof text - 1);
    head.room = 1;
    memset(&fields[0][1], 0x5A, sizeof fields[0][1]);
    CHECK_EQUAL(fw_head_parse(text, sizeof text - 1, 0, &limits, &head), -(int)FW_E_FIELDS_TOO_MANY);
    CHECK_EQUAL(fields[0][1].id, 0x5A); /* the second was not written */
    head.room = 0;
    CHECK_EQUAL(fw_head_parse(text, sizeof text - 1, 0, &limits, &head), -(int)FW_E_FIELDS_TOO_MANY);
}

/* A field line by itself, against one inside a head: the exact way and the quick one. */
static void both_ways_give_the_same_field(void)
{
    struct fw_random random = {2};
    struct fw_limits limits = fw_limits_default();
    static const char start[] = "GET / HTTP/1.1\r\n";
    size_t refused = 0, taken = 0;
    for (int round = 0; round < 200000; round++) {
        char line[160];
        size_t len = 0, name = fw_random(&random, 20), value = fw_random(&random, 90);
        for (size_t at = 0; at < name; at++)
            line[len++] = fw_random(&random, 200) == 0 ? (char)fw_random(&random, 256)
                                                       : "abX-9_"[fw_random(&random, 6)];
        if (fw_random(&random, 40) != 0)
            line[len++] = ':';
        for (size_t at = 0; at < value; at++)
            line[len++] =
                fw_random(&random, 300) == 0 ? (char)fw_random(&random, 256) : "ab c:"[fw_random(&random, 5)];
        if (fw_random(&random, 40) == 0)
            line[len++] = "\r\n\t\0"[fw_random(&random, 4)];
        memcpy(line + len, "\r\n", 2);
        len += 2;
        limits.field_size = fw_random(&random, 4) == 0 ? 60 : 0;
        limits.rules = fw_random(&random, 4) == 0 ? FW_RULE_REFUSE_UNDERSCORE | FW_RULE_STRIP_NAME : 0;
        if (line[0] == '\r' && line[1] == '\n')
            continue;

        char *alone = fw_test_before_wall(len);
        memcpy(alone, line, len);
        struct fw_field field;
        ssize_t one = fw_field_parse(alone - 7, alone, len, 0, &limits, &field);

        size_t all = sizeof start - 1 + len + 2;
        char *buf = fw_test_before_wall(all);
        memcpy(buf, start, sizeof start - 1);
        memcpy(buf + sizeof start - 1, line, len);
        memcpy(buf + all - 2, "\r\n", 2);
        struct fw_head head = head_of(0);
        ssize_t two = fw_head_parse(buf, all, 0, &limits, &head);
        fw_test_note("round %d", round);
        if (one > 0 && (size_t)one == len) {
            taken++;
            if (!CHECK_EQUAL(two, all))
                continue;
            struct fw_field *other = &head.fields[0];
            CHECK(head.count == 1 && other->id == field.id && other->flags == field.flags);
            CHECK(other->name.off == sizeof start - 1 && field.name.off == 7 &&
                  other->name.len == field.name.len);
            CHECK(other->value.len == field.value.len &&
                  other->value.off - other->name.off == field.value.off - field.name.off);
        } else if (one <= 0 && (line[0] != '\r')) {
            refused++;
            CHECK_EQUAL(two, one);
        }
    }
    CHECK(taken > 50000 && refused > 10000);
}

/* Change, drop, double bytes of a head: the answer is the same whole and in random pieces, and spans are
 * inside. */
static void pieces_do_not_matter(void)
{
    struct fw_random random = {3};
    struct fw_limits limits = fw_limits_default();
    size_t accepted = 0, refused = 0;
    for (int round = 0; round < 60000; round++) {
        char text[2 * sizeof browser];
        size_t len = sizeof browser - 1;
        memcpy(text, browser, len);
        for (uint32_t change = fw_random(&random, 3); change > 0; change--) {
            size_t at = fw_random(&random, (uint32_t)len);
            if (fw_random(&random, 2) == 0) {
                text[at] = (char)(fw_random(&random, 2) ? "\r\n\t :\0_\x80"[fw_random(&random, 8)]
                                                        : (char)fw_random(&random, 256));
            } else {
                memmove(text + at, text + at + 1, len - at - 1);
                len--;
            }
        }
        limits.line = fw_random(&random, 3) == 0 ? fw_random(&random, 60) : 4094;
        limits.field_size = fw_random(&random, 3) == 0 ? fw_random(&random, 130) : 8190;
        limits.head = fw_random(&random, 3) == 0 ? fw_random(&random, 600) : 65536;
        limits.fields = fw_random(&random, 3) == 0 ? fw_random(&random, 14) : 100;
        limits.rules = fw_random(&random, 64);

        char *buf = fw_test_before_wall(len);
        memcpy(buf, text, len);
        struct fw_head whole = head_of(0), pieces = head_of(1);
        ssize_t want = fw_head_parse(buf, len, 0, &limits, &whole), got = 0;
        for (size_t seen = 0, shown = 0; got == 0 && seen < len; seen = shown) {
            shown = seen + 1 + fw_random(&random, 1 + fw_random(&random, 200));
            shown = shown < len ? shown : len;
            buf = fw_test_before_wall(shown);
            memcpy(buf, text, shown);
            got = fw_head_parse(buf, shown, seen, &limits, &pieces);
        }
        fw_test_note("round %d", round);
        if (!CHECK_EQUAL(got, want))
            continue;
        refused += want < 0;
        accepted += want > 0;
        if (want <= 0)
            continue;
        CHECK((size_t)want <= len && whole.count == pieces.count);
        CHECK(fw_span_end(whole.target) <= (size_t)want &&
              fw_span_end(whole.path) <= fw_span_end(whole.target));
        CHECK(whole.query.off == pieces.query.off && whole.query.len == pieces.query.len);
        for (uint32_t at = 0; at < whole.count; at++) {
            struct fw_field *a = &whole.fields[at], *b = &pieces.fields[at];
            CHECK(fw_span_end(a->value) + 2 <= (size_t)want && fw_span_end(a->name) < a->value.off + 1u);
            CHECK(a->name.off == b->name.off && a->value.off == b->value.off &&
                  a->value.len == b->value.len && a->id == b->id && a->flags == b->flags);
        }
    }
    CHECK(accepted > 5000 && refused > 20000);
}

static void hosts_end_at_walls(void)
{
    static const struct {
        const char *text;
        bool host, port_needed;
    } hosts[] = {
        {"a", true, false},        {"a:1", true, true},
        {"a:", true, false},       {"", false, false},
        {"a%", false, false},      {"a%4", false, false},
        {"a%41", true, false},     {"[", false, false},
        {"[]", false, false},      {"[::1]", true, false},
        {"[::1]:", true, false},   {"[::1]:9", true, true},
        {"[::1]9", false, false},  {"[v1.a]", true, false},
        {"[v1", false, false},     {"[v1.", false, false},
        {":", false, false},       {"a:65535", true, true},
        {"a:65536", false, false}, {"a:99999999999", false, false},
        {"a:00080", true, true},   {"[::1", false, false},
        {"[v1]", false, false},    {"[v1:a]", false, false},
        {"[v1.a:b]", true, false}, {"[v1.a/b]", false, false},
    };
    for (size_t at = 0; at < COUNT_OF(hosts); at++) {
        size_t len = strlen(hosts[at].text);
        char *buf = fw_test_before_wall(len);
        memcpy(buf, hosts[at].text, len);
        fw_test_note("host %s", hosts[at].text);
        CHECK_EQUAL(fw_head_host_valid(buf, len, false), hosts[at].host);
        CHECK_EQUAL(fw_head_host_valid(buf, len, true), hosts[at].port_needed);
    }
}

/* Parse a head that ends at the wall. */
static ssize_t parse(const char *text, uint32_t rules, uint32_t field_size, struct fw_head *head)
{
    size_t len = strlen(text);
    char *buf = fw_test_before_wall(len);
    struct fw_limits limits = fw_limits_default();
    memcpy(buf, text, len);
    limits.rules = rules;
    limits.field_size = field_size;
    return fw_head_parse(buf, len, 0, &limits, head);
}

/* A version that is only let through, and methods in any case, take the slow way through the line. */
static void both_ways_give_the_same_target(void)
{
    static const char *const lines[] = {"GET /",          "GET /?q#f",        "GET /%41",
                                        "GET *",          "OPTIONS *",        "GET **",
                                        "GET http://a",   "GET http://",      "GET http://?q",
                                        "GET http://a?q", "GET http://a#f",   "GET http://a/b",
                                        "GET http://a:b", "GET a.b+c-1://x/", "GET 1a://x",
                                        "GET {://x",      "GET a~://x",       "GET a",
                                        "GET a:80",       "CONNECT a:80",     "CONNECT a:",
                                        "CONNECT /",      "CONNECT *",        "CONNECT **"};
    size_t taken = 0;
    for (size_t at = 0; at < COUNT_OF(lines); at++) {
        char quick[80], slow[80];
        snprintf(quick, sizeof quick, "%s HTTP/1.1\r\n\r\n", lines[at]);
        snprintf(slow, sizeof slow, "%s HTTP/1.7\r\n\r\n", lines[at]);
        struct fw_head a = head_of(0), b = head_of(1), c = head_of(1);
        ssize_t want = parse(quick, 0, 0, &a);
        fw_test_note("%s", lines[at]);
        CHECK_EQUAL(parse(slow, FW_RULE_ANY_VERSION, 0, &b), want);
        CHECK_EQUAL(parse(quick, FW_RULE_FOLD_CASE, 0, &c), want);
        if (want < 0)
            continue;
        taken++;
        CHECK(a.form == b.form && a.path_escaped == b.path_escaped && a.method_id == b.method_id);
        CHECK(a.path.off == b.path.off && a.path.len == b.path.len && a.query.off == b.query.off &&
              a.query.len == b.query.len && a.authority.len == b.authority.len);
        CHECK(a.form == c.form && a.minor == c.minor && a.path.len == c.path.len);
    }
    CHECK_EQUAL(taken, 10);
}

static void any_token_is_a_method_if_asked_for(void)
{
    struct fw_head head = head_of(0);
    CHECK(parse("m~thod / HTTP/1.1\r\n\r\n", FW_RULE_ANY_METHOD | FW_RULE_FOLD_CASE, 0, &head) > 0);
    CHECK(parse("aaaaaaaaaabbbbbbbbbbccccc / HTTP/1.1\r\n\r\n", FW_RULE_ANY_METHOD | FW_RULE_FOLD_CASE, 0,
                &head) > 0);
    CHECK(head.method.len == 25 && head.method_id == FW_M_OTHER);
    CHECK(parse("post / HTTP/1.1\r\n\r\n", FW_RULE_ANY_METHOD | FW_RULE_FOLD_CASE, 0, &head) > 0);
    CHECK_EQUAL(head.method_id, FW_M_POST);
    CHECK_EQUAL(parse("aaaaaaaaaabbbbbbbbbbccccc(/ HTTP/1.1\r\n\r\n", FW_RULE_ANY_METHOD, 0, &head),
                -(int)FW_E_METHOD);
}

/* Fields that proxies write, or that frame, are not to be spelt oddly, whatever the rules allow others. */
static void some_names_stand_by_the_letter(void)
{
    static const char *const strict[] = {"Host",       "Content-Length",  "Transfer-Encoding", "Forwarded",
                                         "X-Real-IP",  "X-Forwarded-For", "x-forwarded-odd",   "SCRIPT_NAME",
                                         "Connection", "Upgrade"};
    char text[120];
    struct fw_head head = head_of(0);
    for (size_t at = 0; at < COUNT_OF(strict); at++) {
        fw_test_note("%s", strict[at]);
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s : a\r\n\r\n", strict[at]);
        CHECK_EQUAL(parse(text, FW_RULE_STRIP_NAME, 0, &head), -(int)FW_E_FIELD_NAME);
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s: a\r\n b\r\n\r\n", strict[at]);
        CHECK_EQUAL(parse(text, FW_RULE_UNFOLD, 0, &head), -(int)FW_E_FIELD_FOLDED);
    }
    CHECK(parse("GET / HTTP/1.1\r\nContent-Type : a\r\n\r\n", FW_RULE_STRIP_NAME, 0, &head) > 0);
    CHECK(parse("GET / HTTP/1.1\r\nX-Forwarded : a\r\n\r\n", FW_RULE_STRIP_NAME, 0, &head) > 0);
    CHECK(parse("GET / HTTP/1.1\r\nA: a\r\n b\r\n\r\n", FW_RULE_UNFOLD, 0, &head) > 0);
    CHECK_EQUAL(parse("GET / HTTP/1.1\r\nA: a\r\n b\r\n\r\n", FW_RULE_UNFOLD, 9, &head),
                -(int)FW_E_FIELD_TOO_LONG);
}

static const struct fw_test tests[] = {
    {"a_head_is_cut_up_at_either_wall", a_head_is_cut_up_at_either_wall},
    {"a_prefix_wants_more", a_prefix_wants_more},
    {"the_caller_may_move_the_buffer", the_caller_may_move_the_buffer},
    {"nothing_is_left_of_the_last_head", nothing_is_left_of_the_last_head},
    {"the_fields_that_fit_are_the_limit", the_fields_that_fit_are_the_limit},
    {"both_ways_give_the_same_field", both_ways_give_the_same_field},
    {"pieces_do_not_matter", pieces_do_not_matter},
    {"hosts_end_at_walls", hosts_end_at_walls},
    {"both_ways_give_the_same_target", both_ways_give_the_same_target},
    {"any_token_is_a_method_if_asked_for", any_token_is_a_method_if_asked_for},
    {"some_names_stand_by_the_letter", some_names_stand_by_the_letter},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
