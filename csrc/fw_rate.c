#include "fw_rate.h"

void fw_rate_set(struct fw_rate *rate, uint32_t bytes, uint32_t grace_ms)
{
    *rate = (struct fw_rate){.grace_ns = (int64_t)grace_ms * 1000000};
    if (bytes > 0)
        rate->byte_ns = 1 + 999999999u / bytes; /* rounded up, in the client's favour */
}

bool fw_rate_earn(const struct fw_rate *rate, int64_t *credit_ns, uint64_t bytes)
{
    if (rate->byte_ns == 0)
        return true;
    int64_t missing = rate->grace_ns - *credit_ns;
    if (missing <= 0 || bytes > (uint64_t)missing / rate->byte_ns) /* past the grace; and no overflow */
        *credit_ns = rate->grace_ns;
    else
        *credit_ns += (int64_t)(bytes * rate->byte_ns);
    return *credit_ns > 0;
}
