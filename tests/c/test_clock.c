/* Tests of fw_clock: every second has its right name, and the text changes with the second only. */
#define _GNU_SOURCE
#include "fault.h"
#include "fw_clock.h"
#include "fw_test.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

static void check_date(int64_t second, const char *want)
{
    char got[FW_CLOCK_DATE_LEN + 1], line[96];
    memset(got, '#', sizeof got);
    fw_clock_date(second, got);
    snprintf(line, sizeof line, "Date: %s GMT\r\n", want);
    fw_test_note("%lld: %.35s", (long long)second, got);
    CHECK(memcmp(got, line, FW_CLOCK_DATE_LEN + 1) == 0);
}

static void dates_that_are_known(void)
{
    check_date(0, "Thu, 01 Jan 1970 00:00:00");
    check_date(784111777, "Sun, 06 Nov 1994 08:49:37"); /* RFC 9110 section 5.6.7 */
    check_date(951782399, "Mon, 28 Feb 2000 23:59:59");
    check_date(951782400, "Tue, 29 Feb 2000 00:00:00");
    check_date(951868800, "Wed, 01 Mar 2000 00:00:00");
    check_date(1709164800, "Thu, 29 Feb 2024 00:00:00");
    check_date(2147483647, "Tue, 19 Jan 2038 03:14:07");
    check_date(2147483648, "Tue, 19 Jan 2038 03:14:08");
    check_date(4107542399, "Sun, 28 Feb 2100 23:59:59"); /* no leap year */
    check_date(4107542400, "Mon, 01 Mar 2100 00:00:00");
    check_date(253402300799, "Fri, 31 Dec 9999 23:59:59");
    check_date(-1, "Wed, 31 Dec 1969 23:59:59");
    check_date(-62135596800, "Mon, 01 Jan 0001 00:00:00");
}

/* Days counted by hand, over four hundred years from 1 January 1970: the calendar repeats after that. */
static void every_day(void)
{
    static const char *const week[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char *const names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t days = 0;
    char want[64];
    for (int year = 1970; year < 2370; year++) {
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (int month = 0; month < 12; month++)
            for (int day = 1; day <= lengths[month] + (leap && month == 1); day++, days++) {
                int64_t rest = days * 7919 % 86400;
                snprintf(want, sizeof want, "%s, %02d %s %04d %02d:%02d:%02d", week[days % 7], day,
                         names[month], year, (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
                check_date(days * 86400 + rest, want);
            }
    }
    CHECK_EQUAL(days, 146097);
}

static void a_year_outside_stays_in_its_place(void)
{
    char got[FW_CLOCK_DATE_LEN + 2];
    static const int64_t far[] = {INT64_MAX, INT64_MIN, 253402300800, -62167219201};
    for (size_t i = 0; i < COUNT_OF(far); i++) {
        memset(got, '#', sizeof got);
        fw_clock_date(far[i], got);
        CHECK(got[FW_CLOCK_DATE_LEN] == '\0' && got[FW_CLOCK_DATE_LEN + 1] == '#');
        CHECK(memcmp(got + FW_CLOCK_DATE_LEN - 6, " GMT\r\n", 6) == 0);
    }
}

static void names_do_not_follow_the_locale(void)
{
    setenv("TZ", "Asia/Kathmandu", 1);
    setlocale(LC_ALL, "");
    check_date(784111777, "Sun, 06 Nov 1994 08:49:37");
    unsetenv("TZ");
    setlocale(LC_ALL, "C");
}

static void the_text_is_made_once_a_second(void)
{
    struct fw_clock clock = {0};
    fault_reset();
    fault_clock_stop();
    fault_clock_wall(784111777);
    fw_clock_update(&clock);
    CHECK(strcmp(clock.date, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n") == 0);
    CHECK_EQUAL(clock.now_ms, 1000000);
    clock.date[0] = 'd';
    fault_clock_step(999);
    fw_clock_update(&clock);
    CHECK(clock.date[0] == 'd'); /* untouched */
    CHECK_EQUAL(clock.now_ms, 1000999);
    CHECK_EQUAL(fw_clock_ns(), 1000999000000);
    fault_clock_wall(784111778);
    fw_clock_update(&clock);
    CHECK(strcmp(clock.date, "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n") == 0);
    fault_clock_wall(784111776); /* a wall clock may be set back */
    fw_clock_update(&clock);
    CHECK(strcmp(clock.date, "Date: Sun, 06 Nov 1994 08:49:36 GMT\r\n") == 0);
    fault_reset();
}

static void a_clock_is_right_from_its_first_second(void)
{
    struct fw_clock clock = {0};
    fault_reset();
    fault_clock_wall(0); /* equal to the second of a clock that was never read */
    fw_clock_update(&clock);
    CHECK(strcmp(clock.date, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n") == 0);
    fault_reset();
    uint64_t before = fw_clock_ns();
    CHECK(fw_clock_ns() >= before && before > 0);
}

static const struct fw_test tests[] = {
    {"dates_that_are_known", dates_that_are_known},
    {"every_day", every_day},
    {"a_year_outside_stays_in_its_place", a_year_outside_stays_in_its_place},
    {"names_do_not_follow_the_locale", names_do_not_follow_the_locale},
    {"the_text_is_made_once_a_second", the_text_is_made_once_a_second},
    {"a_clock_is_right_from_its_first_second", a_clock_is_right_from_its_first_second},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
