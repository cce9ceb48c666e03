/* Gives a fuzz target what afl-fuzz comes up with, many inputs a process. */
#include "fuzz.h"

#include <unistd.h>

#pragma clang diagnostic ignored "-Wconversion" /* of AFL's macros */

__AFL_FUZZ_INIT();

int main(void)
{
    __AFL_INIT();
    const uint8_t *data = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(10000))
        LLVMFuzzerTestOneInput(data, (size_t)__AFL_FUZZ_TESTCASE_LEN);
    return 0;
}
