/* Tests of fw_sink: whole lines, in order, none twice, whoever reads them and whatever the kernel says. */
#define _GNU_SOURCE
#include "fault.h"
#include "fw_sink.h"
#include "fw_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct fw_sink sink;

/* Add "NNNN xxx...\n", `len` bytes in all. */
static bool add_line(unsigned number, size_t len)
{
    if (!fw_sink_begin(&sink))
        return false;
    size_t live = fw_sink_live(&sink);
    char *out = fw_sink_room(&sink, len + 1);
    if (out == NULL) {
        fw_sink_undo(&sink, live);
        return false;
    }
    memset(out, 'x', len);
    snprintf(out, len + 1, "%04u", number);
    out[4] = ' ';
    out[len - 1] = '\n';
    sink.len += len;
    fw_sink_end(&sink);
    return true;
}

static char got[1 << 20];

static size_t read_all(int fd)
{
    size_t len = 0;
    for (ssize_t n; (n = read(fd, got + len, sizeof got - len)) > 0;)
        len += (size_t)n;
    return len;
}

/* Are these whole lines whose numbers rise? How many? */
static unsigned lines_in(size_t len)
{
    unsigned count = 0;
    int last = -1;
    for (size_t at = 0; at < len;) {
        char *end = memchr(got + at, '\n', len - at);
        if (!CHECK(end != NULL))
            return count;
        int number = atoi(got + at);
        CHECK(number > last);
        last = number;
        count++;
        at = (size_t)(end - got) + 1;
    }
    return count;
}

static int new_file(void)
{
    return memfd_create("log", MFD_CLOEXEC);
}

static size_t read_file(int fd)
{
    lseek(fd, 0, SEEK_SET);
    return read_all(fd);
}

static void a_file_gets_all_lines_in_one_write(void)
{
    int fd = new_file();
    fault_reset();
    fw_sink_init(&sink, fd);
    for (unsigned i = 0; i < 100; i++)
        CHECK(add_line(i, 50 + i));
    CHECK_EQUAL(fault_calls(FAULT_writev), 0);
    fw_sink_flush(&sink, 0);
    fw_sink_flush(&sink, 0);
    CHECK_EQUAL(fault_calls(FAULT_writev), 1);
    CHECK_EQUAL(lines_in(read_file(fd)), 100);
    fw_sink_drop(&sink);
    close(fd);
}

static void a_full_sink_writes_by_itself(void)
{
    int fd = new_file();
    fault_reset();
    fw_sink_init(&sink, fd);
    for (unsigned i = 0; i < 700; i++)
        CHECK(add_line(i, 100));
    CHECK_EQUAL(fault_calls(FAULT_writev), 1);
    CHECK(fw_sink_live(&sink) < FW_SINK_FULL);
    fw_sink_flush(&sink, 0);
    CHECK_EQUAL(lines_in(read_file(fd)), 700);
    fw_sink_drop(&sink);
    close(fd);
}

static void a_short_write_goes_on(void)
{
    int fd = new_file();
    fault_reset();
    fault_most(FAULT_writev, 7);
    fw_sink_init(&sink, fd);
    for (unsigned i = 0; i < 20; i++)
        CHECK(add_line(i, 40));
    fw_sink_flush(&sink, 0);
    CHECK_EQUAL(lines_in(read_file(fd)), 20);
    fw_sink_drop(&sink);
    close(fd);
}

/* The n-th write fails, for each n, after short ones: each line is there whole, or counted as lost and its
 * rest on a line of its own. */
static void the_nth_write_fails(void)
{
    static const int errors[] = {ENOSPC, EIO, EPIPE, EBADF, EINTR};
    for (size_t e = 0; e < COUNT_OF(errors); e++)
        for (unsigned long n = 1; n < 40; n++) {
            int fd = new_file();
            fault_reset();
            fault_most(FAULT_writev, 30);
            fault_fail(FAULT_writev, n, 1, errors[e]);
            fw_sink_init(&sink, fd);
            for (unsigned i = 0; i < 10; i++)
                CHECK(add_line(i, 40));
            fw_sink_flush(&sink, 0);
            for (unsigned i = 10; i < 20; i++)
                CHECK(add_line(i, 40));
            fw_sink_flush(&sink, 0);
            unsigned whole = 0;
            size_t len = read_file(fd);
            for (size_t at = 0; at < len;) {
                char *end = memchr(got + at, '\n', len - at);
                if (end == NULL) /* torn, and nothing came after it */
                    break;
                size_t line = (size_t)(end + 1 - (got + at));
                CHECK(line <= 40); /* two lines were never joined */
                whole += line == 40;
                at += line;
            }
            fw_test_note("error %d, write %lu", errors[e], n);
            CHECK_EQUAL(whole + sink.lost, 20);
            CHECK(sink.lost > 0 || !fault_was_hit() || errors[e] == EINTR);
            CHECK_EQUAL(sink.problem, sink.lost > 0 ? errors[e] : 0);
            fw_sink_drop(&sink);
            close(fd);
        }
}

static void the_nth_allocation_fails(void)
{
    for (unsigned long n = 1; n <= 3; n++) {
        int fd = new_file();
        long blocks = fault_blocks();
        fault_reset();
        fault_fail(FAULT_alloc, n, 1, ENOMEM);
        fw_sink_init(&sink, fd);
        unsigned added = 0;
        for (unsigned i = 0; i < 4; i++)
            added += add_line(i, i == 2 ? 300000 : 100);
        fw_sink_flush(&sink, 0);
        CHECK_EQUAL(added + sink.lost, 4);
        CHECK_EQUAL(sink.lost, fault_was_hit());
        CHECK_EQUAL(lines_in(read_file(fd)), added);
        fw_sink_drop(&sink);
        CHECK_EQUAL(fault_blocks(), blocks);
        close(fd);
    }
}

/* Nobody reads: what fits is kept, what does not is lost and counted, and nothing waits twice. */
static void a_pipe_that_nobody_reads(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    fault_reset();
    fault_clock_stop();
    fw_sink_init(&sink, ends[1]);
    unsigned added = 0;
    for (unsigned i = 0; i < 3000; i++)
        added += add_line(i, 100);
    CHECK(sink.stuck && sink.lost > 0 && added < 3000);
    CHECK_EQUAL(sink.problem, 0);
    CHECK_EQUAL(added + sink.lost, 3000);
    CHECK_EQUAL(fault_polls_that_waited(), 1);
    size_t len = read_all(ends[0]);
    fw_sink_flush(&sink, 0);
    CHECK(!sink.stuck);
    size_t before = lines_in(len);
    for (;;) {
        len = read_all(ends[0]);
        if (len == 0)
            break;
        before += lines_in(len);
        fw_sink_flush(&sink, 0);
    }
    CHECK_EQUAL(before, added);
    CHECK_EQUAL(fw_sink_live(&sink), 0);
    fw_sink_drop(&sink);
    close(ends[0]);
    close(ends[1]);
}

/* Pieces that go undivided: each write to a pipe ends with a line and is no longer than PIPE_BUF. */
static void a_pipe_gets_pieces_of_whole_lines(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC | O_DIRECT) == 0); /* a read gives what one write gave */
    fault_reset();
    fw_sink_init(&sink, ends[1]);
    for (unsigned i = 0; i < 100; i++)
        CHECK(add_line(i, i == 50 ? 6000 : 130));
    fw_sink_flush(&sink, 0);
    static char piece[8192];
    size_t total = 0;
    for (ssize_t n; (n = read(ends[0], piece, sizeof piece)) > 0;) {
        CHECK(piece[n - 1] == '\n' || total + (size_t)n <= 50 * 130 + 6000);
        CHECK(n <= 4096);
        total += (size_t)n;
    }
    CHECK_EQUAL(total, 99 * 130 + 6000);
    fw_sink_drop(&sink);
    close(ends[0]);
    close(ends[1]);
}

static void a_pipe_whose_reader_has_gone(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    close(ends[0]);
    fault_reset();
    fw_sink_init(&sink, ends[1]);
    for (unsigned i = 0; i < 5; i++)
        CHECK(add_line(i, 100));
    fw_sink_flush(&sink, FW_SINK_WAIT_MS);
    CHECK_EQUAL(sink.lost, 5);
    CHECK_EQUAL(sink.problem, EPIPE);
    CHECK_EQUAL(fw_sink_live(&sink), 0);
    fw_sink_drop(&sink);
    close(ends[1]);
}

static void a_socket_is_not_waited_for(void)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0); /* which blocks */
    fault_reset();
    fw_sink_init(&sink, ends[1]);
    CHECK_EQUAL(sink.kind, FW_SINK_SOCKET);
    for (unsigned i = 0; i < 9000; i++)
        if (add_line(i, 100) && i % 100 == 0)
            fw_sink_flush(&sink, 0);
    CHECK(sink.lost > 0);
    fw_sink_drop(&sink);
    close(ends[0]);
    close(ends[1]);
}

int main(int argc, char **argv)
{
    static const struct fw_test tests[] = {
        {"a_file_gets_all_lines_in_one_write", a_file_gets_all_lines_in_one_write},
        {"a_full_sink_writes_by_itself", a_full_sink_writes_by_itself},
        {"a_short_write_goes_on", a_short_write_goes_on},
        {"the_nth_write_fails", the_nth_write_fails},
        {"the_nth_allocation_fails", the_nth_allocation_fails},
        {"a_pipe_that_nobody_reads", a_pipe_that_nobody_reads},
        {"a_pipe_gets_pieces_of_whole_lines", a_pipe_gets_pieces_of_whole_lines},
        {"a_pipe_whose_reader_has_gone", a_pipe_whose_reader_has_gone},
        {"a_socket_is_not_waited_for", a_socket_is_not_waited_for},
    };
    signal(SIGPIPE, SIG_IGN); /* as Python has it */
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
