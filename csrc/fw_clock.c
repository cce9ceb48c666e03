#define _GNU_SOURCE
#include "fw_clock.h"

#include <string.h>
#include <time.h>

uint64_t fw_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void two_digits(char *out, int value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

void fw_clock_date(int64_t second, char out[FW_CLOCK_DATE_LEN + 1])
{
    /* Not strftime: names of days and months must not follow the application's locale. */
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = (time_t)second;
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL)
        tm = (struct tm){.tm_mday = 1, .tm_year = 70, .tm_wday = 4};
    memcpy(out, "Date: ---, 00 --- 0000 00:00:00 GMT\r\n", FW_CLOCK_DATE_LEN + 1);
    memcpy(out + 6, days[tm.tm_wday], 3);
    two_digits(out + 11, tm.tm_mday);
    memcpy(out + 14, months[tm.tm_mon], 3);
    two_digits(out + 18, (tm.tm_year + 1900) / 100);
    two_digits(out + 20, (tm.tm_year + 1900) % 100);
    two_digits(out + 23, tm.tm_hour);
    two_digits(out + 26, tm.tm_min);
    two_digits(out + 29, tm.tm_sec);
}

void fw_clock_update(struct fw_clock *clock)
{
    clock->now_ms = fw_clock_ns() / 1000000u;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME_COARSE, &wall);
    if (FW_UNLIKELY((int64_t)wall.tv_sec != clock->second || clock->date[0] == 0)) {
        clock->second = (int64_t)wall.tv_sec;
        fw_clock_date(clock->second, clock->date);
    }
}
