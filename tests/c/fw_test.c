/* fw_test: see fw_test.h. */
#define _GNU_SOURCE
#include "fw_test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PRINTED_MOST = 20 };

static char note[256];
static int failures;

void fw_test_note(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(note, sizeof note, format, list);
    va_end(list);
}

bool fw_test_check(bool held, const char *text, const char *file, int line)
{
    if (!held && ++failures <= PRINTED_MOST)
        printf("    %s:%d: %s [%s]\n", file, line, text, note);
    return held;
}

bool fw_test_equal(long long got, long long want, const char *text, const char *file, int line)
{
    if (got != want && ++failures <= PRINTED_MOST)
        printf("    %s:%d: %s is %lld, not %lld [%s]\n", file, line, text, got, want, note);
    return got == want;
}

int fw_test_main(int argc, char **argv, const struct fw_test *tests, size_t count)
{
    int passed = 0, failed = 0;
    for (size_t at = 0; at < count; at++) {
        if (argc > 1 && strstr(tests[at].name, argv[1]) == NULL)
            continue;
        failures = 0;
        note[0] = '\0';
        tests[at].run();
        passed += failures == 0;
        failed += failures != 0;
        if (failures != 0)
            printf("FAIL %s: %d checks\n", tests[at].name, failures);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}

/* Room between two pages that may not be touched. */
static char *walled(void)
{
    static char *room;
    if (room == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *all = mmap(NULL, FW_TEST_ROOM + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (all == MAP_FAILED || mprotect(all + page, FW_TEST_ROOM, PROT_READ | PROT_WRITE) != 0) {
            perror("mmap");
            exit(2);
        }
        room = all + page;
    }
    return room;
}

char *fw_test_before_wall(size_t len)
{
    return walled() + FW_TEST_ROOM - len;
}

char *fw_test_behind_wall(size_t len)
{
    (void)len;
    return walled();
}

uint32_t fw_random(struct fw_random *random, uint32_t below)
{
    random->state = random->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random->state >> 33) * below >> 31);
}
