/* cases: the reader of the corpus. tests/cases/README.md has the format. */
#ifndef CASES_H
#define CASES_H

#include "fw_head.h"
#include "peer.h"

struct test_case {
    char name[160];
    struct text input, events;
    struct fw_limits limits;
};

/* Call each() for every case of a file, or of all files. What it is given lives until it returns. */
void cases_read(const char *path, void (*each)(const struct test_case *test));
void cases_read_all(void (*each)(const struct test_case *test));

/* The bytes that a piece of a line stands for. */
void cases_unescape(struct text *out, const char *line, size_t len);

#endif
