/* Tests of fw_rate: clients as lists of (wait, bytes), and when each is found to be too slow. */
#include "fw_rate.h"
#include "fw_test.h"

enum { GRACE_MS = 5000 };

/* After how many ms is somebody too slow who moves `bytes` every `every_ms`? 0: not within a day. */
static uint64_t found_after(uint32_t rate_bytes, uint64_t every_ms, uint64_t bytes)
{
    struct fw_rate rate;
    fw_rate_set(&rate, rate_bytes, GRACE_MS);
    int64_t credit = rate.grace_ns;
    for (uint64_t now = every_ms; now < 86400000; now += every_ms) {
        fw_rate_charge(&credit, every_ms);
        if (!fw_rate_earn(&rate, &credit, bytes))
            return now;
    }
    return 0;
}

static void who_keeps_the_rate_is_never_found(void)
{
    static const uint32_t rates[] = {1, 3, 7, 240, 1000, 999999, 1000000000};
    for (size_t i = 0; i < COUNT_OF(rates); i++)
        for (uint64_t every_ms = 1000; every_ms < GRACE_MS; every_ms += 1000)
            CHECK_EQUAL(found_after(rates[i], every_ms, rates[i] * every_ms / 1000), 0);
    CHECK_EQUAL(found_after(240, 1, 1), 0);
}

/* At a share s of the rate after grace / (1 - s), in whatever portions. */
static void who_trickles_is_found(void)
{
    for (uint64_t tenths = 1; tenths < 10; tenths++)
        for (uint64_t portion = 1; portion <= 10; portion++) {
            uint64_t every_ms = 100 * portion, due = GRACE_MS * 10 / (10 - tenths);
            uint64_t found = found_after(100, every_ms, tenths * portion);
            fw_test_note("%d tenths of the rate, every %d ms", (int)tenths, (int)every_ms);
            CHECK(found >= due && found <= due + 2 * every_ms); /* it is looked at when bytes come */
        }
}

/* A stall as long as the grace is too long, whatever came before it. */
static void nothing_past_the_grace_is_saved(void)
{
    static const uint64_t before[] = {0, 1, 499, 500, 501, 1u << 30, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(before); i++)
        for (uint64_t stall = GRACE_MS - 1; stall <= GRACE_MS; stall++) {
            struct fw_rate rate;
            fw_rate_set(&rate, 100, GRACE_MS);
            int64_t credit = rate.grace_ns;
            CHECK(fw_rate_earn(&rate, &credit, before[i]));
            fw_rate_charge(&credit, stall);
            CHECK_EQUAL(fw_rate_earn(&rate, &credit, 0), stall < GRACE_MS);
        }
    struct fw_rate rate;
    int64_t credit = INT64_MAX; /* of a longer grace, before */
    fw_rate_set(&rate, 100, GRACE_MS);
    CHECK(fw_rate_earn(&rate, &credit, 0) && credit == rate.grace_ns);
}

static void where_there_is_no_minimum_nobody_is_found(void)
{
    CHECK_EQUAL(found_after(0, 1000000, 0), 0);
}

/* The longest waits and the most bytes that can be. */
static void nothing_overflows(void)
{
    static const uint32_t rates[] = {1, 2, 1000000000, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        struct fw_rate rate;
        fw_rate_set(&rate, rates[i], 1000000000);
        int64_t credit = rate.grace_ns;
        fw_rate_charge(&credit, 1000000000);
        CHECK(!fw_rate_earn(&rate, &credit, 0));
        fw_rate_charge(&credit, UINT32_MAX);
        CHECK(fw_rate_earn(&rate, &credit, UINT64_MAX) && credit == rate.grace_ns);
    }
}

static const struct fw_test tests[] = {
    {"who_keeps_the_rate_is_never_found", who_keeps_the_rate_is_never_found},
    {"who_trickles_is_found", who_trickles_is_found},
    {"nothing_past_the_grace_is_saved", nothing_past_the_grace_is_saved},
    {"where_there_is_no_minimum_nobody_is_found", where_there_is_no_minimum_nobody_is_found},
    {"nothing_overflows", nothing_overflows},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
