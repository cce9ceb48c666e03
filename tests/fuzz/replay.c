/* Gives a fuzz target the files of the folders named, without a fuzzer: seeds and what once broke a promise.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <dirent.h>

static bool replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    size_t size = 0, cap = 1 << 20;
    uint8_t *data = malloc(cap);
    for (size_t n; data != NULL && (n = fread(data + size, 1, cap - size, file)) > 0; size += n)
        if (size + n == cap)
            data = realloc(data, cap *= 2);
    bool read = data != NULL && !ferror(file);
    if (read)
        LLVMFuzzerTestOneInput(data, size);
    free(data);
    fclose(file);
    return read;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    for (int at = 1; at < argc; at++) {
        DIR *folder = opendir(argv[at]);
        for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[at], entry->d_name);
            if (entry->d_name[0] == '.')
                continue;
            bool read = replay(path); /* a broken promise aborts */
            passed += read;
            failed += !read;
        }
        if (folder != NULL)
            closedir(folder);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
