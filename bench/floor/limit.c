/* limit: look for the blank line, send a fixed answer. What the kernel costs, and nothing else.
 *
 *     limit PORT        (0: the kernel's choice)                                             */

#define _GNU_SOURCE
#include "loop.h"

#include <stdio.h>

static const char ANSWER[] = "HTTP/1.1 200 OK\r\n"
                             "Content-Type: text/plain\r\n"
                             "Content-Length: 13\r\n"
                             "\r\n"
                             "Hello, world!";

static ssize_t limit_serve(void *context, const char *buf, size_t len, struct floor_out *out)
{
    size_t took = floor_head_end(buf, len);
    (void)context;
    if (took > 0) {
        char *at = floor_out_room(out, sizeof ANSWER - 1);
        if (at == NULL)
            return -1;
        memcpy(at, ANSWER, sizeof ANSWER - 1);
        out->len += sizeof ANSWER - 1;
    }
    return (ssize_t)took;
}

int main(int argc, char **argv)
{
    int listener = floor_listen((unsigned short)(argc > 1 ? atoi(argv[1]) : 0));
    if (listener < 0 || floor_run(listener, limit_serve, NULL) < 0)
        perror("limit");
    return 1;
}
