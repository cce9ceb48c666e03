/* Tests of fw_framing: its helpers, and what the corpus cannot show. */
#include "fw_framing.h"
#include "fw_test.h"

static bool length_of(const char *text, uint64_t *number)
{
    size_t len = strlen(text);
    char *buf = fw_test_before_wall(len);
    memcpy(buf, text, len);
    return fw_framing_length(buf, len, number);
}

static void a_length_is_digits_and_fits(void)
{
    static const struct {
        const char *text;
        uint64_t number;
    } good[] = {
        {"0", 0}, {"7", 7}, {"0012", 12}, {"9223372036854775807", INT64_MAX}, {"0000000000000000001", 1}};
    static const char *const bad[] = {"",
                                      "+1",
                                      "-1",
                                      " 1",
                                      "1 ",
                                      "1,1",
                                      "0x1",
                                      "1.0",
                                      "1e3",
                                      "1_0",
                                      "/",
                                      ":",
                                      "\xB2",
                                      "a",
                                      "9223372036854775808",
                                      "9999999999999999999",
                                      "10000000000000000000",
                                      "00000000000000000001"};
    for (size_t at = 0; at < COUNT_OF(good); at++) {
        uint64_t number = 99;
        fw_test_note("%s", good[at].text);
        CHECK(length_of(good[at].text, &number));
        CHECK(number == good[at].number);
    }
    for (size_t at = 0; at < COUNT_OF(bad); at++) {
        uint64_t number = 99;
        fw_test_note("%s", bad[at]);
        CHECK(!length_of(bad[at], &number));
        CHECK(number == 99);
    }
}

static bool has(const char *text, const char *token)
{
    size_t len = strlen(text);
    char *buf = fw_test_before_wall(len);
    memcpy(buf, text, len);
    return fw_framing_has_token(buf, len, token, strlen(token));
}

static void a_token_is_a_whole_element(void)
{
    CHECK(has("close", "close"));
    CHECK(has("CLOSE", "close"));
    CHECK(has("a,close", "close"));
    CHECK(has("a ,\tclose\t, b", "close"));
    CHECK(has(",,close", "close"));
    CHECK(!has("", "close"));
    CHECK(!has("closed", "close"));
    CHECK(!has("clos", "close"));
    CHECK(!has("a close", "close"));
    CHECK(!has("close;q=1", "close"));
    CHECK(!has("\"close\"", "close"));
}

static enum fw_error frame(const char *text, struct fw_framing *framing, struct fw_head *head)
{
    static struct fw_field fields[10];
    struct fw_limits limits = fw_limits_default();
    *head = (struct fw_head){.fields = fields, .room = COUNT_OF(fields)};
    ssize_t len = fw_head_parse(text, strlen(text), 0, &limits, head);
    CHECK_EQUAL(len, strlen(text));
    return fw_framing_of(text, head, &limits, framing);
}

static void the_host_that_is_meant_is_found(void)
{
    struct fw_framing framing;
    struct fw_head head;
    CHECK_EQUAL(frame("GET / HTTP/1.1\r\nHost: abc:1\r\n\r\n", &framing, &head), FW_OK);
    CHECK(framing.host.off == 22 && framing.host.len == 5);
    CHECK_EQUAL(frame("GET http://de/ HTTP/1.1\r\nHost: abc\r\n\r\n", &framing, &head), FW_OK);
    CHECK(framing.host.off == 11 && framing.host.len == 2);
    CHECK_EQUAL(frame("CONNECT de:1 HTTP/1.1\r\nHost: abc\r\n\r\n", &framing, &head), FW_OK);
    CHECK(framing.host.off == 8 && framing.host.len == 4);
    CHECK_EQUAL(frame("GET / HTTP/1.0\r\n\r\n", &framing, &head), FW_OK);
    CHECK(framing.host.len == 0);
}

/* What one request promised says nothing of the next: everything is set anew. */
static void nothing_is_left_of_the_last_request(void)
{
    struct fw_framing framing;
    struct fw_head head;
    memset(&framing, 0xFF, sizeof framing);
    CHECK_EQUAL(frame("GET / HTTP/1.0\r\n\r\n", &framing, &head), FW_OK);
    CHECK(framing.length == 0 && framing.kind == FW_BODY_NONE && !framing.keep_alive &&
          !framing.expect_continue && !framing.upgrade && framing.host.len == 0);
}

/* The pass over fields that mean nothing here relies on the order of FW_NAMES. */
static void the_names_that_matter_come_first(void)
{
    static const enum fw_name matter[] = {FW_N_HOST,         FW_N_CONNECTION,        FW_N_CONTENT_LENGTH,
                                          FW_N_CONTENT_TYPE, FW_N_TRANSFER_ENCODING, FW_N_EXPECT,
                                          FW_N_UPGRADE};
    for (size_t at = 0; at < COUNT_OF(matter); at++)
        CHECK(matter[at] >= 1 && matter[at] <= FW_NAME_FRAMING);
}

static const struct fw_test tests[] = {
    {"a_length_is_digits_and_fits", a_length_is_digits_and_fits},
    {"a_token_is_a_whole_element", a_token_is_a_whole_element},
    {"the_host_that_is_meant_is_found", the_host_that_is_meant_is_found},
    {"nothing_is_left_of_the_last_request", nothing_is_left_of_the_last_request},
    {"the_names_that_matter_come_first", the_names_that_matter_come_first},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
