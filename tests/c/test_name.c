/* Tests of fw_name: every name is found, and nothing else is. */
#include "fw_name.h"
#include "fw_name_inline.h"
#include "fw_test.h"

#include <ctype.h>
#include <strings.h>

static enum fw_name find_walled(const char *text, size_t len)
{
    char *walled = fw_test_before_wall(len);
    memcpy(walled, text, len);
    enum fw_name found = fw_name_find(walled, len);

    /* fw_head's way must agree wherever it may be asked */
    bool askable = len > 0;
    for (size_t at = 0; at < len; at++)
        askable &= (uint8_t)text[at] >= 0x20;
    size_t room = len + 1 > FW_NAME_ROW ? len + 1 : FW_NAME_ROW;
    walled = fw_test_before_wall(room);
    memset(walled, 'x', room);
    memcpy(walled, text, len);
    walled[len] = ':';
    if (askable && memchr(text, ':', len) == NULL)
        CHECK_EQUAL(fw_name_before_colon(walled, len), found);
    return found;
}

static void every_name_is_found_in_any_case(void)
{
    for (unsigned id = 1; id < FW_NAME_COUNT; id++) {
        size_t len;
        const char *text = fw_name_text((enum fw_name)id, &len);
        CHECK(len > 0 && len < FW_NAME_ROW && strlen(text) == len);
        char upper[FW_NAME_ROW], mixed[FW_NAME_ROW];
        for (size_t at = 0; at < len; at++) {
            upper[at] = (char)toupper(text[at]);
            mixed[at] = at % 2 ? text[at] : upper[at];
        }
        fw_test_note("%s", text);
        CHECK_EQUAL(find_walled(text, len), id);
        CHECK_EQUAL(find_walled(upper, len), id);
        CHECK_EQUAL(find_walled(mixed, len), id);
    }
}

/* Every byte value in every place of every name: only the two cases of a letter are that letter. */
static void no_other_byte_stands_for_a_letter(void)
{
    for (unsigned id = 1; id < FW_NAME_COUNT; id++) {
        size_t len;
        const char *text = fw_name_text((enum fw_name)id, &len);
        for (size_t place = 0; place < len; place++) {
            for (int byte = 0; byte < 256; byte++) {
                char copy[FW_NAME_ROW];
                memcpy(copy, text, len);
                copy[place] = (char)byte;
                if (byte == text[place] || (islower(text[place]) && byte == toupper(text[place])))
                    continue;
                fw_test_note("%s, byte 0x%02X at %zu", text, (unsigned)byte, place);
                enum fw_name found = find_walled(copy, len);
                size_t found_len;
                const char *other = fw_name_text(found, &found_len);
                CHECK(found == FW_N_OTHER ||
                      (found != id && found_len == len && strncasecmp(copy, other, len) == 0));
            }
        }
    }
}

static void longer_and_shorter_names_are_others(void)
{
    for (unsigned id = 1; id < FW_NAME_COUNT; id++) {
        size_t len;
        const char *text = fw_name_text((enum fw_name)id, &len);
        char copy[FW_NAME_ROW + 8];
        memcpy(copy, text, len);
        memcpy(copy + len, "s:-", 3);
        fw_test_note("%s", text);
        for (size_t cut = 0; cut <= len + 3; cut++) {
            enum fw_name found = find_walled(copy, cut);
            size_t found_len;
            fw_name_text(found, &found_len);
            CHECK(found == FW_N_OTHER || found_len == cut);
        }
    }
    CHECK_EQUAL(fw_name_find("", 0), FW_N_OTHER);
    char longest[300];
    memset(longest, 'a', sizeof longest);
    for (size_t len = 0; len <= sizeof longest; len++)
        CHECK_EQUAL(find_walled(longest, len), FW_N_OTHER);
}

static void methods_are_found_as_they_are(void)
{
#define X(name)                                                                                              \
    CHECK_EQUAL(fw_method_find(#name, sizeof #name - 1), FW_M_##name);                                       \
    CHECK(strcmp(fw_method_text(FW_M_##name), #name) == 0);                                                  \
    CHECK_EQUAL(fw_method_find(#name "X", sizeof #name), FW_M_OTHER);                                        \
    CHECK_EQUAL(fw_method_find(#name, sizeof #name - 2), FW_M_OTHER);
    FW_METHODS(X)
#undef X
    CHECK_EQUAL(fw_method_find("get", 3), FW_M_OTHER);
    CHECK_EQUAL(fw_method_find("PROPFIND", 8), FW_M_OTHER);
    CHECK_EQUAL(fw_method_find("", 0), FW_M_OTHER);
    CHECK(strcmp(fw_method_text(FW_M_OTHER), "") == 0);
}

static void lower_folds_letters_and_nothing_else(void)
{
    char out[256], in[256];
    for (int byte = 0; byte < 256; byte++)
        in[byte] = (char)byte;
    fw_name_lower(in, sizeof in, out);
    for (int byte = 0; byte < 256; byte++)
        CHECK_EQUAL((uint8_t)out[byte], byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
    fw_name_lower("AB", 1, out + 1);
    CHECK(out[1] == 'a' && out[2] == 2);
}

static void cgi_names_are_upper_case_with_underscores(void)
{
    char *out = fw_test_before_wall(5 + 12);
    CHECK_EQUAL(fw_name_cgi("X-Ab9-{z}_`~", 12, out), 17);
    CHECK(memcmp(out, "HTTP_X_AB9_{Z}_`~", 17) == 0);
    CHECK_EQUAL(fw_name_cgi("", 0, out), 5);
}

static const struct fw_test tests[] = {
    {"every_name_is_found_in_any_case", every_name_is_found_in_any_case},
    {"no_other_byte_stands_for_a_letter", no_other_byte_stands_for_a_letter},
    {"longer_and_shorter_names_are_others", longer_and_shorter_names_are_others},
    {"methods_are_found_as_they_are", methods_are_found_as_they_are},
    {"lower_folds_letters_and_nothing_else", lower_folds_letters_and_nothing_else},
    {"cgi_names_are_upper_case_with_underscores", cgi_names_are_upper_case_with_underscores},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
