/* sink: receive and throw away. What many clients that trickle cost the kernel, and nothing else.
 *
 *     sink PORT        (0: the kernel's choice)                                              */

#define _GNU_SOURCE
#include "loop.h"

#include <stdio.h>

static ssize_t sink_serve(void *context, const char *buf, size_t len, struct floor_out *out)
{
    (void)context;
    (void)buf;
    (void)out;
    return (ssize_t)len;
}

int main(int argc, char **argv)
{
    int listener = floor_listen((unsigned short)(argc > 1 ? atoi(argv[1]) : 0));
    if (listener < 0 || floor_run(listener, sink_serve, NULL) < 0)
        perror("sink");
    return 1;
}
