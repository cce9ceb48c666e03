/* fuzz: the memory of the core, counted, and failed where a target says so. */
#include "fuzz.h"

long fuzz_blocks;
unsigned long fuzz_allocs_left = ULONG_MAX;

void *FW_REALLOC(void *old, size_t size)
{
    if (fuzz_allocs_left == 0)
        return NULL;
    if (fuzz_allocs_left != ULONG_MAX)
        fuzz_allocs_left--;
    void *block = realloc(old, size);
    PROMISE(block != NULL);
    fuzz_blocks += old == NULL;
    return block;
}

void FW_FREE(void *old)
{
    fuzz_blocks -= old != NULL;
    free(old);
}
