/* fw_test: the little that the C tests need.
 *
 * A test is a function; a file has a table of them and hands it to fw_test_main. A check that fails is
 * printed and counted, and the test goes on.                                                 */
#ifndef FW_TEST_H
#define FW_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CHECK(condition)       fw_test_check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQUAL(got, want) fw_test_equal((long long)(got), (long long)(want), #got, __FILE__, __LINE__)
#define COUNT_OF(array)        (sizeof(array) / sizeof((array)[0]))

struct fw_test {
    const char *name;
    void (*run)(void);
};

/* Runs the tests whose names contain argv[1] (all without it), prints "N passed, N failed". Returns main's
 * result. */
int fw_test_main(int argc, char **argv, const struct fw_test *tests, size_t count);

/* Return whether the check held. */
bool fw_test_check(bool held, const char *text, const char *file, int line);
bool fw_test_equal(long long got, long long want, const char *text, const char *file, int line);

/* What goes with the next failures, printf-like: which byte, which length. */
void fw_test_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* len writable bytes with a page behind them (fw_test_before_wall) or in front of them (fw_test_behind_wall)
 * that may not be touched. At most FW_TEST_ROOM bytes; the same memory at each call, not cleared.     */
#define FW_TEST_ROOM 65536
char *fw_test_before_wall(size_t len);
char *fw_test_behind_wall(size_t len);

/* A sequence of numbers that is the same in each run. */
struct fw_random {
    uint64_t state;
};
uint32_t fw_random(struct fw_random *random, uint32_t below);

#endif
