/* Tests of fw_error: each row can be read back, and says what a client may be told. */
#include "fw_error.h"
#include "fw_test.h"

static void every_row_reads_back(void)
{
#define X(name, status, text)                                                                                \
    CHECK_EQUAL(fw_error_status(FW_E_##name), status);                                                       \
    CHECK(strcmp(fw_error_text(FW_E_##name), text) == 0);                                                    \
    CHECK(strcmp(fw_error_name(FW_E_##name), #name) == 0);
    FW_ERRORS(X)
#undef X
    CHECK_EQUAL(fw_error_status(FW_OK), 0);
}

static void every_text_is_one_plain_sentence(void)
{
    for (int error = 1; error < FW_ERROR_COUNT; error++) {
        const char *text = fw_error_text((enum fw_error)error);
        size_t len = strlen(text);
        fw_test_note("%s", text);
        CHECK(len > 10 && len < 80 && text[len - 1] != '.');
        for (size_t at = 0; at < len; at++) /* it is put into HTML and into log lines as it is */
            CHECK(text[at] >= ' ' && text[at] <= '~' && strchr("<>&\"", text[at]) == NULL);
    }
}

static void every_status_has_a_reason(void)
{
    for (int error = 1; error < FW_ERROR_COUNT; error++) {
        int status = fw_error_status((enum fw_error)error);
        fw_test_note("status %d", status);
        CHECK(status == 0 || (status >= 400 && status < 600 && fw_error_reason(status)[0] != '\0'));
    }
    CHECK(strcmp(fw_error_reason(200), "OK") == 0);
    CHECK(strcmp(fw_error_reason(404), "Not Found") == 0);
    CHECK(strcmp(fw_error_reason(431), "Request Header Fields Too Large") == 0);
    CHECK(strcmp(fw_error_reason(299), "") == 0);
    CHECK(strcmp(fw_error_reason(0), "") == 0);
}

static void a_number_outside_is_no_error(void)
{
    CHECK_EQUAL(fw_error_status((enum fw_error)FW_ERROR_COUNT), 0);
    CHECK(strcmp(fw_error_name((enum fw_error)255), "OK") == 0);
}

static const struct fw_test tests[] = {
    {"every_row_reads_back", every_row_reads_back},
    {"every_text_is_one_plain_sentence", every_text_is_one_plain_sentence},
    {"every_status_has_a_reason", every_status_has_a_reason},
    {"a_number_outside_is_no_error", a_number_outside_is_no_error},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
