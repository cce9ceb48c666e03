/* fw_clock: the time as the loop needs it: monotonic milliseconds, and the Date field once a second.
 *
 * Read once a turn of the loop; everything that happens in one turn happens at one time.        */
#ifndef FW_CLOCK_H
#define FW_CLOCK_H

#include "fw_base.h"

/* "Date: Sun, 22 Nov 2026 18:57:29 GMT\r\n" (RFC 9110 section 5.6.7) */
#define FW_CLOCK_DATE_LEN 37

struct fw_clock {
    uint64_t now_ms; /* CLOCK_MONOTONIC */
    int64_t second;  /* the wall-clock second that `date` tells */
    char date[FW_CLOCK_DATE_LEN + 1];
};

void fw_clock_update(struct fw_clock *clock);

/* CLOCK_MONOTONIC in nanoseconds, now. */
uint64_t fw_clock_ns(void);

/* Write the Date field line of a Unix time (years 0 to 9999) and a NUL into `out`. */
void fw_clock_date(int64_t second, char out[FW_CLOCK_DATE_LEN + 1]);

#endif
