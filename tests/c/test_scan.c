/* Tests of fw_scan: each vector body equals its scalar twin, which equals the words of the header. */
#include "fw_scan.h"
#include "fw_test.h"

#include <ctype.h>

enum { LONGEST = 200, ALIGNMENTS = 33 };

struct scan {
    const char *name;
    size_t (*vector)(const char *, size_t);
    size_t (*scalar)(const char *, size_t);
    bool (*in)(int byte); /* the header's words, once more and otherwise */
};

static bool in_target(int byte)
{
    return byte > ' ' && byte < 127;
}

static bool in_path(int byte)
{
    return in_target(byte) && memchr("?#%", byte, 3) == NULL;
}

static bool in_value(int byte)
{
    return byte >= 128 || (byte >= ' ' && byte != 127) || byte == '\t';
}

static bool in_ascii(int byte)
{
    return byte < 128;
}

static bool in_token(int byte)
{
    return byte < 128 && (isalnum(byte) || (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL));
}

static const struct scan scans[] = {
    {"token", fw_scan_token, fw_scan_token, in_token},
    {"target", fw_scan_target, fw_scan_target_scalar, in_target},
    {"path", fw_scan_path, fw_scan_path_scalar, in_path},
    {"value", fw_scan_value, fw_scan_value_scalar, in_value},
    {"ascii", fw_scan_ascii, fw_scan_ascii_scalar, in_ascii},
};

static void every_byte_is_in_its_classes(void)
{
    for (int byte = 0; byte < 256; byte++) {
        char text = (char)byte;
        unsigned class = fw_scan_class[byte];
        fw_test_note("byte 0x%02X", (unsigned)byte);
        for (size_t at = 0; at < COUNT_OF(scans); at++)
            CHECK_EQUAL(scans[at].scalar(&text, 1), scans[at].in(byte));
        CHECK_EQUAL(!!(class & FW_C_TOKEN), in_token(byte));
        CHECK_EQUAL(!!(class & FW_C_TARGET), in_target(byte));
        CHECK_EQUAL(!!(class & FW_C_VALUE), in_value(byte));
        CHECK_EQUAL(!!(class & FW_C_DIGIT), byte >= '0' && byte <= '9');
        CHECK_EQUAL(!!(class & FW_C_HEX), byte < 128 && isxdigit(byte));
        CHECK_EQUAL(!!(class & FW_C_METHOD), in_token(byte) && !islower(byte) && byte != '#');
        CHECK_EQUAL(!!(class & FW_C_HOST),
                    byte < 128 && (isalnum(byte) || (byte != 0 && strchr("-._~!$&'()*+,;=", byte) != NULL)));
        CHECK_EQUAL(!!(class & FW_C_PLAIN), byte != '_');
        CHECK_EQUAL(fw_scan_hex(text), byte < 128 && isxdigit(byte)
                                           ? isdigit(byte) ? byte - '0' : tolower(byte) - 'a' + 10
                                           : -1);
    }
}

/* A run of `len` bytes of the class with one other byte at `place` (none if place == len), at a wall. */
static void vectors_stop_where_scalars_do(void)
{
    for (size_t which = 0; which < COUNT_OF(scans); which++) {
        const struct scan *scan = &scans[which];
        for (size_t len = 0; len <= LONGEST; len++) {
            for (size_t place = 0; place <= len; place++) {
                for (int wall = 0; wall < 2; wall++) {
                    char *buf = wall ? fw_test_behind_wall(len) : fw_test_before_wall(len);
                    memset(buf, 'a', len);
                    if (place < len)
                        buf[place] = scan->in(0x01) ? (char)0x80 : (char)0x01;
                    fw_test_note("%s, %zu bytes, stop at %zu, wall %d", scan->name, len, place, wall);
                    CHECK_EQUAL(scan->vector(buf, len), place);
                    CHECK_EQUAL(scan->scalar(buf, len), place);
                }
            }
        }
    }
}

static void vectors_know_every_byte_at_every_place(void)
{
    enum { LEN = 80 };
    for (size_t which = 0; which < COUNT_OF(scans); which++) {
        const struct scan *scan = &scans[which];
        for (size_t place = 0; place < LEN; place++) {
            for (int byte = 0; byte < 256; byte++) {
                char *buf = fw_test_before_wall(LEN);
                memset(buf, 'a', LEN);
                buf[place] = (char)byte;
                fw_test_note("%s, byte 0x%02X at %zu", scan->name, (unsigned)byte, place);
                CHECK_EQUAL(scan->vector(buf, LEN), scan->in(byte) ? LEN : place);
            }
        }
    }
}

static void vectors_do_not_mind_alignment(void)
{
    for (size_t which = 0; which < COUNT_OF(scans); which++) {
        for (size_t shift = 0; shift < ALIGNMENTS; shift++) {
            for (size_t len = 0; len <= LONGEST; len++) {
                char *buf = fw_test_behind_wall(0) + shift;
                memset(buf, 'a', len);
                buf[len] = scans[which].in(0x01) ? (char)0x80 : (char)0x01;
                fw_test_note("%s, %zu bytes at +%zu", scans[which].name, len, shift);
                CHECK_EQUAL(scans[which].vector(buf, len), len);
                CHECK_EQUAL(scans[which].vector(buf, len + 1), len);
            }
        }
    }
}

static void vectors_equal_scalars_on_noise(void)
{
    struct fw_random random = {1};
    for (int round = 0; round < 200000; round++) {
        size_t len = fw_random(&random, LONGEST + 1), before = fw_random(&random, FW_WINDOW);
        char *buf = fw_test_before_wall(len), *front = buf - before;
        for (char *at = front; at < buf + len; at++) /* mostly bytes of the class, so that runs are long */
            *at = fw_random(&random, 24) == 0 ? (char)fw_random(&random, 256)
                                              : (char)(0x21 + fw_random(&random, 94));
        fw_test_note("round %d", round);
        for (size_t which = 0; which < COUNT_OF(scans); which++)
            CHECK_EQUAL(scans[which].vector(buf, len), scans[which].scalar(buf, len));
        struct fw_window got = fw_scan_window(buf, len, before), want = fw_scan_window_scalar(buf, len);
        CHECK(got.odd == want.odd && got.colon == want.colon);
    }
}

static void check_window(char *buf, size_t len, size_t before)
{
    struct fw_window got = fw_scan_window(buf, len, before);
    uint64_t odd = 0, colon = 0;
    for (size_t at = 0; at < len && at < 64; at++) {
        odd |= (uint64_t)((uint8_t)buf[at] < ' ' || (uint8_t)buf[at] > '~') << at;
        colon |= (uint64_t)(buf[at] == ':') << at;
    }
    CHECK(got.odd == odd && got.colon == colon);
    got = fw_scan_window_scalar(buf, len);
    CHECK(got.odd == odd && got.colon == colon);
}

static void a_window_has_a_bit_for_every_byte(void)
{
    for (size_t len = 0; len <= 70; len++) {
        for (size_t before = 0; before <= 40; before++) {
            for (size_t place = 0; place < len || place == 0; place++) {
                fw_test_note("window of %zu, %zu before, place %zu", len, before, place);
                char *all = fw_test_before_wall(before + len), *buf = all + before;
                memset(all, ':', before); /* what is in front must not show */
                memset(buf, 'a', len);
                if (len > 0)
                    buf[place] = '\r';
                check_window(buf, len, before);
                if (len > 0)
                    buf[place] = ':';
                check_window(buf, len, before);
                all = fw_test_behind_wall(before + len), buf = all + before;
                memset(all, '\n', before);
                memset(buf, 'a', len);
                if (len > 0)
                    buf[place] = (char)0x80;
                check_window(buf, len, before);
            }
        }
    }
    for (int byte = 0; byte < 256; byte++) {
        for (size_t place = 0; place < 64; place++) {
            char *buf = fw_test_before_wall(64);
            memset(buf, 'a', 64);
            buf[place] = (char)byte;
            fw_test_note("window, byte 0x%02X at %zu", (unsigned)byte, place);
            check_window(buf, 64, 0);
        }
    }
}

static void same_folds_letters_only(void)
{
    static const char lower[] = "az-09{";
    for (size_t place = 0; place < sizeof lower - 1; place++) {
        for (int byte = 0; byte < 256; byte++) {
            char text[sizeof lower];
            memcpy(text, lower, sizeof lower);
            text[place] = (char)byte;
            bool want = byte == lower[place] || (islower(lower[place]) && byte == toupper(lower[place]));
            fw_test_note("byte 0x%02X at %zu", (unsigned)byte, place);
            CHECK_EQUAL(fw_scan_same(text, sizeof lower - 1, lower, sizeof lower - 1), want);
        }
    }
    CHECK(!fw_scan_same("abc", 3, "abcd", 4));
    CHECK(!fw_scan_same("abcd", 4, "abc", 3));
    CHECK(fw_scan_same("", 0, "", 0));
}

static void check_unquote(const char *text, const char *want, size_t want_len)
{
    size_t len = strlen(text);
    char out[64], *walled = fw_test_before_wall(len);
    memcpy(walled, text, len);
    fw_test_note("unquote %s", text);
    CHECK(CHECK_EQUAL(fw_scan_unquote(walled, len, out), want_len) && memcmp(out, want, want_len) == 0);
    /* in place */
    CHECK(CHECK_EQUAL(fw_scan_unquote(walled, len, walled), want_len) && memcmp(walled, want, want_len) == 0);
}

static void unquote_decodes_what_is_escaped(void)
{
    check_unquote("", "", 0);
    check_unquote("/plain", "/plain", 6);
    check_unquote("%41%6a%6A", "Ajj", 3);
    check_unquote("/a%20b%00c", "/a b\0c", 6);
    check_unquote("%C3%A4%ff", "\xC3\xA4\xFF", 3);
    check_unquote("%2541", "%41", 3); /* once */
    check_unquote("%", "%", 1);
    check_unquote("a%4", "a%4", 3);
    check_unquote("%4g%g4%%41", "%4g%g4%A", 8);
    check_unquote("100%", "100%", 4);
    check_unquote("+", "+", 1);
}

static void check_list(const char *text, const char *const *want, size_t count)
{
    size_t len = strlen(text), pos = 0, found = 0;
    char *walled = fw_test_before_wall(len);
    memcpy(walled, text, len);
    struct fw_span element;
    fw_test_note("list \"%s\"", text);
    while (fw_scan_list(walled, len, &pos, &element)) {
        if (CHECK(found < count))
            CHECK(element.len == strlen(want[found]) &&
                  memcmp(walled + element.off, want[found], element.len) == 0);
        found++;
    }
    CHECK_EQUAL(found, count);
    CHECK_EQUAL(pos, len);
}

static void list_gives_elements_without_white_space(void)
{
    check_list("", NULL, 0);
    check_list(" \t, ,,", NULL, 0);
    check_list("a", (const char *[]){"a"}, 1);
    check_list("a,b", (const char *[]){"a", "b"}, 2);
    check_list(" a b ,\t,c\t,", (const char *[]){"a b", "c"}, 2);
    check_list(",a;q=1 , \"x", (const char *[]){"a;q=1", "\"x"}, 2);
}

static const struct fw_test tests[] = {
    {"every_byte_is_in_its_classes", every_byte_is_in_its_classes},
    {"vectors_stop_where_scalars_do", vectors_stop_where_scalars_do},
    {"vectors_know_every_byte_at_every_place", vectors_know_every_byte_at_every_place},
    {"vectors_do_not_mind_alignment", vectors_do_not_mind_alignment},
    {"vectors_equal_scalars_on_noise", vectors_equal_scalars_on_noise},
    {"a_window_has_a_bit_for_every_byte", a_window_has_a_bit_for_every_byte},
    {"same_folds_letters_only", same_folds_letters_only},
    {"unquote_decodes_what_is_escaped", unquote_decodes_what_is_escaped},
    {"list_gives_elements_without_white_space", list_gives_elements_without_white_space},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
