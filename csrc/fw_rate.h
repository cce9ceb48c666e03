/* fw_rate: does a client move its bytes as fast as it must?
 *
 * A connection that is waited for has a credit of time, the grace at first. Waiting uses it up; each byte
 * that moves earns the time that a byte may take at the minimum rate; more than the grace is never saved. So
 *
 *   - who keeps the rate is never too slow, however much there is to move, and may stall for the grace;
 *   - who moves bytes at a share s of the rate is found after grace / (1 - s), however he portions them;
 *   - a message that is over within the grace is not looked at.
 *
 * One number a connection, looked at when bytes have moved or a deadline is over: no timers of its own. */
#ifndef FW_RATE_H
#define FW_RATE_H

#include "fw_base.h"

struct fw_rate {
    uint64_t byte_ns; /* the time that a byte may take; 0: no minimum, nobody is too slow */
    int64_t grace_ns;
};

/* `bytes`: a second, at least; 0: no minimum. */
void fw_rate_set(struct fw_rate *rate, uint32_t bytes, uint32_t grace_ms);

static inline void fw_rate_charge(int64_t *credit_ns, uint64_t waited_ms)
{
    *credit_ns -= (int64_t)(waited_ms * 1000000u);
}

/* False: nothing is left, the client is too slow. */
bool fw_rate_earn(const struct fw_rate *rate, int64_t *credit_ns, uint64_t bytes);

#endif
