/* Tests of fw_resp: what an application may say, and what becomes of it on the wire. */
#define _GNU_SOURCE
#include "fault.h"
#include "fw_resp.h"
#include "fw_test.h"
#include "peer.h"

#include <stdio.h>

static const char server[] = "Server: test\r\n";
static struct fw_pool pool;
static struct fw_buf out;
static struct fw_resp resp;
static struct fw_clock clock_now;

static void begin(void)
{
    fault_reset();
    fault_clock_wall(784111777);
    clock_now = (struct fw_clock){0};
    fw_clock_update(&clock_now);
    fw_pool_init(&pool, FW_BUF_BLOCK, 4);
    out = (struct fw_buf){0};
    fw_resp_reset(&resp, 1, false, true);
}

static void end(void)
{
    fw_buf_release(&out, &pool);
    fw_pool_drop(&pool);
    CHECK_EQUAL(fault_blocks(), 0);
}

static enum fw_error status(const char *text)
{
    return fw_resp_status(&resp, &out, &pool, text, strlen(text));
}

static enum fw_error field(const char *name, const char *value)
{
    return fw_resp_field(&resp, &out, &pool, name, strlen(name), value, strlen(value));
}

static enum fw_error end_head(int64_t known)
{
    return fw_resp_end_head(&resp, &out, &pool, &clock_now, server, strlen(server), known);
}

static enum fw_error block(const char *data, size_t len)
{
    size_t take;
    enum fw_error error = fw_resp_block(&resp, &out, &pool, len, &take);
    if (error != FW_OK || take == 0)
        return error;
    if (!fw_buf_append(&out, &pool, data, take))
        return FW_E_NO_MEMORY;
    return fw_resp_block_end(&resp, &out, &pool);
}

static bool out_is(const char *text)
{
    size_t len = strlen(text);
    fw_test_note("%.*s", (int)fw_buf_live(&out), out.data != NULL ? out.data + out.off : "");
    return fw_buf_live(&out) == len && (len == 0 || memcmp(out.data + out.off, text, len) == 0);
}

static bool out_has(const char *text)
{
    return fw_buf_live(&out) > 0 && memmem(out.data + out.off, fw_buf_live(&out), text, strlen(text)) != NULL;
}

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static void a_whole_answer(void)
{
    begin();
    CHECK_EQUAL(status("200 OK"), FW_OK);
    CHECK_EQUAL(field("Content-Type", "text/plain"), FW_OK);
    CHECK_EQUAL(end_head(5), FW_OK);
    CHECK_EQUAL(block("hello", 5), FW_OK);
    CHECK_EQUAL(fw_resp_finish(&resp, &out, &pool), FW_OK);
    CHECK(out_is("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nServer: test\r\n" DATE
                 "\r\nhello"));
    CHECK(resp.keep_alive && !fw_resp_is_short(&resp) && resp.stage == FW_RESP_DONE);
    end();
}

static void status_lines(void)
{
    static const char *const good[] = {"200 OK",         "200",           "200 ",    "999 Odd",
                                       "404 Not  Found", "200 \xe9t\xe9", "103\x20x"};
    static const char *const bad[] = {"",        "2",         "20",       "20 OK",    "2000",  "OK",
                                      "099 Low", " 200 OK",   "200\tOK",  "200OK",    "2O0 x", "200 a\rb",
                                      "200 a\n", "200 a\r\n", "200 \x7f", "200 \x01", "-20 x", "+20 x"};
    begin();
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        fw_test_note("%s", good[i]);
        CHECK_EQUAL(status(good[i]), FW_OK);
        CHECK_EQUAL(resp.stage, FW_RESP_HEAD);
    }
    CHECK_EQUAL(fw_resp_status(&resp, &out, &pool, "200 a\0b", 7), FW_E_APP_STATUS);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        fw_test_note("%s", bad[i]);
        CHECK_EQUAL(status(bad[i]), FW_E_APP_STATUS);
        CHECK(resp.stage == FW_RESP_NONE && fw_buf_live(&out) == 0);
    }
    CHECK_EQUAL(status("200"), FW_OK);
    CHECK(out_is("HTTP/1.1 200 \r\n")); /* RFC 9112 section 4: the space stays */
    end();
}

static bool may_be_in_name(int byte)
{
    return byte > ' ' && byte < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", byte) == NULL;
}

static void every_byte_of_names_and_values(void)
{
    begin();
    status("200 OK");
    size_t before = fw_buf_live(&out);
    for (int byte = 0; byte < 256; byte++) {
        char text[3] = {'x', (char)byte, 'y'};
        fw_test_note("byte %d", byte);
        CHECK_EQUAL(fw_resp_field(&resp, &out, &pool, text, 3, "v", 1),
                    may_be_in_name(byte) ? FW_OK : FW_E_APP_NAME);
        bool value = byte == '\t' || (byte >= ' ' && byte != 0x7f);
        CHECK_EQUAL(fw_resp_field(&resp, &out, &pool, "Name", 4, text, 3), value ? FW_OK : FW_E_APP_VALUE);
    }
    CHECK_EQUAL(field("", "v"), FW_E_APP_NAME);
    CHECK_EQUAL(field("Name ", "v"), FW_E_APP_NAME);
    CHECK_EQUAL(field("X", "a\r\nSet-Cookie: b"), FW_E_APP_VALUE);
    CHECK_EQUAL(fw_buf_live(&out) - before, resp.head_len - before); /* and head_len kept count */
    fw_resp_discard(&resp, &out);
    CHECK_EQUAL(fw_buf_live(&out), 0);
    end();
}

static void white_space_around_values_goes(void)
{
    begin();
    status("200 OK");
    CHECK_EQUAL(field("A", " \t b c \t"), FW_OK);
    CHECK_EQUAL(field("E", ""), FW_OK);
    CHECK_EQUAL(field("F", "  "), FW_OK);
    CHECK(out_is("HTTP/1.1 200 OK\r\nA: b c\r\nE: \r\nF: \r\n"));
    end();
}

static void hop_by_hop_fields_are_the_servers(void)
{
    static const char *const names[] = {"Keep-Alive",
                                        "Proxy-Authenticate",
                                        "Proxy-Authorization",
                                        "TE",
                                        "Trailers",
                                        "Transfer-Encoding",
                                        "Upgrade",
                                        "tRANSFER-eNCODING",
                                        "Connection",
                                        "Proxy-Connection"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        begin();
        status("200 OK");
        fw_test_note("%s", names[i]);
        CHECK_EQUAL(field(names[i], "chunked"), FW_OK);
        CHECK(resp.dropped && resp.keep_alive);
        CHECK(out_is("HTTP/1.1 200 OK\r\n"));
        CHECK_EQUAL(field(names[i], "a\r\nb"), FW_E_APP_VALUE); /* left out, but not unchecked */
        end();
    }
}

static void connection_close_is_obeyed(void)
{
    static const char *const closing[] = {"close", "Close", "x, CLOSE", " close ,", "keep-alive, close"};
    for (size_t i = 0; i < COUNT_OF(closing); i++) {
        begin();
        status("200 OK");
        fw_test_note("%s", closing[i]);
        CHECK_EQUAL(field("cOnNection", closing[i]), FW_OK);
        CHECK(!resp.keep_alive && !resp.dropped);
        CHECK_EQUAL(end_head(0), FW_OK);
        CHECK(out_has("\r\nConnection: close\r\n"));
        end();
    }
    begin();
    status("200 OK");
    field("Connection", "closed, clos");
    CHECK(resp.keep_alive);
    end();
}

static void lengths_that_are_none(void)
{
    static const char *const bad[] = {
        "", "-1", "+1", "1 2", "0x10", "1,1", "1.0", "99999999999999999999", "9223372036854775808", "a"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        begin();
        status("200 OK");
        fw_test_note("%s", bad[i]);
        CHECK_EQUAL(field("Content-Length", bad[i]), FW_E_APP_LENGTH);
        CHECK(out_is("HTTP/1.1 200 OK\r\n") && !resp.has_length);
        end();
    }
    begin();
    status("200 OK");
    CHECK_EQUAL(field("Content-Length", " 007 "), FW_OK);
    CHECK_EQUAL(field("content-length", "7"), FW_OK);
    CHECK(out_is("HTTP/1.1 200 OK\r\nContent-Length: 007\r\n"));
    CHECK_EQUAL(field("Content-Length", "8"), FW_E_APP_LENGTH);
    end();
}

/* What the first answer has written, the second writes again: they are the same. */
static void lines_again(void)
{
    char first[512], status_line[64], line[64];
    begin();
    status("404 Not Found");
    size_t status_len = resp.head_len;
    memcpy(status_line, out.data + out.off, status_len);
    field("Content-Length", "3");
    size_t before = resp.head_len;
    field("Content-Type", "text/plain");
    size_t line_len = resp.head_len - before;
    memcpy(line, out.data + out.off + before, line_len);
    CHECK_EQUAL(end_head(-1), FW_OK);
    size_t len = fw_buf_live(&out);
    CHECK(len <= sizeof first);
    memcpy(first, out.data + out.off, len);
    fw_buf_take(&out, len);

    fw_resp_reset(&resp, 1, false, true);
    status("200 OK"); /* is taken back */
    field("X", "y");
    CHECK_EQUAL(fw_resp_status_again(&resp, &out, &pool, status_line, status_len, 404), FW_OK);
    CHECK_EQUAL(resp.status, 404);
    field("Content-Length", "3");
    CHECK_EQUAL(fw_resp_field_again(&resp, &out, &pool, line, line_len), FW_OK);
    CHECK_EQUAL(resp.head_len, before + line_len);
    CHECK_EQUAL(end_head(-1), FW_OK);
    CHECK(fw_buf_live(&out) == len && memcmp(out.data + out.off, first, len) == 0);
    end();
}

/* Nothing that says how the message is framed, or that is left out, may be repeated unseen. */
static void fields_that_do_not_repeat(void)
{
    for (int id = 0; id < FW_NAME_COUNT; id++) {
        size_t len;
        const char *name = fw_name_text((enum fw_name)id, &len);
        fw_test_note("%s", name);
        begin();
        status("200 OK");
        struct fw_resp before = resp;
        enum fw_error error =
            fw_resp_named_field(&resp, &out, &pool, (enum fw_name)id, name, len, "close", 5);
        bool written = error == FW_OK && resp.head_len > before.head_len;
        before.head_len = resp.head_len;
        CHECK_EQUAL(fw_resp_repeats((enum fw_name)id), written && memcmp(&before, &resp, sizeof resp) == 0);
        end();
    }
}

static void date_of_the_application_is_respected(void)
{
    begin();
    status("200 OK");
    field("date", "yesterday");
    field("SERVER", "mine");
    end_head(0);
    CHECK(out_is("HTTP/1.1 200 OK\r\ndate: yesterday\r\nSERVER: mine\r\nContent-Length: 0\r\n\r\n"));
    end();
}

/* RFC 9112 section 6.3 for every kind of request, status and knowledge of the length: the answer is read
 * back. */
static void framing_of_everything(void)
{
    static const int statuses[] = {100, 101, 199, 200, 201, 204, 205, 206, 304, 404, 500, 999};
    struct answer answer = {0};
    for (unsigned bits = 0; bits < 2 * 2 * 2 * 2 * 2; bits++)
        for (size_t i = 0; i < COUNT_OF(statuses); i++) {
            unsigned minor = bits & 1;
            bool to_head = bits & 2, keep = bits & 4, own = bits & 8, known = bits & 16;
            int code = statuses[i];
            char line[16];
            snprintf(line, sizeof line, "%d x", code);
            fw_test_note("HTTP/1.%u head %d keep %d own %d known %d status %d", minor, to_head, keep, own,
                         known, code);
            begin();
            fw_resp_reset(&resp, minor, to_head, keep);
            CHECK_EQUAL(status(line), FW_OK);
            if (own)
                CHECK_EQUAL(field("Content-Length", "5"), FW_OK);
            CHECK_EQUAL(end_head(known ? 5 : -1), FW_OK);
            bool bodyless = to_head || code < 200 || code == 204 || code == 304;
            size_t head = fw_buf_live(&out);
            CHECK_EQUAL(block("hello", 5), FW_OK);
            CHECK_EQUAL(fw_resp_finish(&resp, &out, &pool), FW_OK);
            CHECK(!bodyless || fw_buf_live(&out) == head);
            CHECK(!fw_resp_is_short(&resp));
            CHECK_EQUAL(resp.offered, 5);
            bool length = (own && code >= 200 && code != 204) || (known && !own && !bodyless);
            bool chunked = !bodyless && !own && !known && minor == 1,
                 to_close = !bodyless && !own && !known && minor == 0;
            bool stays = keep && !to_close && code >= 200;
            CHECK_EQUAL(resp.keep_alive, stays);
            CHECK_EQUAL(out_has("\r\nConnection: close\r\n"), !stays);
            CHECK_EQUAL(out_has("\r\nConnection: keep-alive\r\n"), stays && minor == 0);
            CHECK_EQUAL(out_has("\r\nContent-Length: 5\r\n"), length);
            CHECK_EQUAL(out_has("\r\nTransfer-Encoding: chunked\r\n"), chunked);
            if (code != 100) {
                CHECK_EQUAL(answer_read(&answer, out.data, fw_buf_live(&out), to_head, true),
                            fw_buf_live(&out));
                CHECK(text_is(&answer.body, bodyless ? "" : "hello"));
            }
            end();
        }
    answer_drop(&answer);
}

static void a_status_again_takes_the_head_back(void)
{
    begin();
    fw_buf_append(&out, &pool, "queued", 6);
    status("200 OK");
    field("Content-Length", "5");
    field("Connection", "close");
    field("Upgrade", "x");
    CHECK_EQUAL(status("500 Oh"), FW_OK);
    CHECK(out_is("queuedHTTP/1.1 500 Oh\r\n"));
    CHECK(!resp.has_length && !resp.dropped && !resp.keep_alive); /* what was said of closing stays said */
    fw_resp_discard(&resp, &out);
    CHECK(out_is("queued") && resp.stage == FW_RESP_NONE && resp.head_len == 0);
    fw_resp_discard(&resp, &out);
    CHECK(out_is("queued"));
    end();
}

static void blocks_are_framed(void)
{
    begin();
    status("200 OK");
    end_head(-1);
    size_t head = fw_buf_live(&out);
    static char large[0x1abc];
    block("hello", 5);
    block("", 0);
    block(large, sizeof large);
    fw_resp_finish(&resp, &out, &pool);
    CHECK_EQUAL(fw_buf_live(&out) - head, 3 + 5 + 2 + 6 + sizeof large + 2 + 5);
    CHECK(memcmp(out.data + head, "5\r\nhello\r\n1abc\r\n", 16) == 0);
    CHECK(memcmp(out.data + out.len - 7, "\r\n0\r\n\r\n", 7) == 0);
    CHECK_EQUAL(resp.sent, 5 + sizeof large);
    end();
}

static void chunk_sizes_of_every_length(void)
{
    begin();
    status("200 OK");
    end_head(-1);
    for (int shift = 0; shift < 64; shift++)
        for (uint64_t off = 0; off < 2; off++) {
            uint64_t len = ((uint64_t)1 << shift) - off;
            char want[20];
            size_t take, before = fw_buf_live(&out),
                         n = (size_t)snprintf(want, sizeof want, "%llx\r\n", (unsigned long long)len);
            CHECK_EQUAL(fw_resp_block(&resp, &out, &pool, (size_t)len, &take), FW_OK);
            CHECK_EQUAL(take, len);
            if (len > 0)
                CHECK(fw_buf_live(&out) == before + n && memcmp(out.data + before, want, n) == 0);
        }
    end();
}

static void a_promised_length_is_kept(void)
{
    begin();
    status("200 OK");
    field("Content-Length", "7");
    end_head(100); /* the application's own wins */
    size_t head = fw_buf_live(&out), take = 9;
    block("hello", 5);
    CHECK(fw_resp_is_short(&resp));
    block(" world", 6);
    CHECK_EQUAL(fw_resp_block(&resp, &out, &pool, 1, &take), FW_OK);
    CHECK_EQUAL(take, 0);
    CHECK_EQUAL(fw_resp_finish(&resp, &out, &pool), FW_OK);
    CHECK(fw_buf_live(&out) == head + 7 && memcmp(out.data + head, "hello w", 7) == 0);
    CHECK(!fw_resp_is_short(&resp) && resp.keep_alive && resp.offered == 12 && resp.sent == 7);
    end();
    begin();
    status("200 OK");
    field("Content-Length", "7");
    end_head(-1);
    block("hello", 5);
    CHECK_EQUAL(fw_resp_finish(&resp, &out, &pool), FW_OK);
    CHECK(fw_resp_is_short(&resp) && !resp.keep_alive);
    end();
}

static void every_refusal_reads_back(void)
{
    struct answer answer = {0};
    for (int error = 1; error < FW_ERROR_COUNT; error++) {
        int code = fw_error_status((enum fw_error)error);
        if (code == 0)
            continue;
        for (int body = 0; body < 2; body++) {
            struct text want = {0};
            fw_test_note("%s", fw_error_name((enum fw_error)error));
            begin();
            fw_buf_append(&out, &pool, "xqueued", 7);
            fw_buf_take(&out, 1);
            CHECK_EQUAL(
                fw_resp_refuse(&out, &pool, &clock_now, server, strlen(server), (enum fw_error)error, body),
                FW_OK);
            CHECK(memcmp(out.data + out.off, "queued", 6) == 0);
            CHECK_EQUAL(answer_read(&answer, out.data + out.off + 6, fw_buf_live(&out) - 6, !body, true),
                        fw_buf_live(&out) - 6);
            CHECK_EQUAL(answer.status, code);
            CHECK(answer.close && answer.has_length && !answer.chunked);
            text_print(&want, "%d %s: %s\n", code, fw_error_reason(code),
                       fw_error_text((enum fw_error)error));
            CHECK(text_is(&answer.body, body ? want.data : ""));
            text_drop(&want);
            end();
        }
    }
    answer_drop(&answer);
}

static void large_heads_go_through(void)
{
    static char value[100000];
    begin();
    memset(value, 'v', sizeof value);
    status("200 OK");
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(fw_resp_field(&resp, &out, &pool, "X", 1, value, sizeof value), FW_OK);
    CHECK_EQUAL(resp.head_len, 17 + 10 * (sizeof value + 5));
    CHECK_EQUAL(fw_resp_field(&resp, &out, &pool, "X", 1, value, 0), FW_OK);
    end();
}

/* The n-th allocation fails, for every n: what is in the buffer is then whole, and what was there before
 * stays. */
static void memory_runs_out_anywhere(void)
{
    static char value[9000];
    memset(value, 'v', sizeof value);
    for (unsigned long n = 1;; n++) {
        begin();
        fw_buf_append(&out, &pool, "queued", 6);
        fault_fail(FAULT_alloc, n, 1, 0);
        fw_test_note("allocation %lu", n);
        size_t len = fw_buf_live(&out);
        enum fw_error error = status("200 OK");
        for (int i = 0; error == FW_OK && i < 5; i++) {
            CHECK_EQUAL(fw_buf_live(&out), len + resp.head_len);
            error = fw_resp_field(&resp, &out, &pool, "X", 1, value, sizeof value);
        }
        if (error == FW_OK)
            error = end_head(-1);
        for (int i = 0; error == FW_OK && i < 20; i++)
            error = block(value, sizeof value);
        if (error == FW_OK)
            error = fw_resp_finish(&resp, &out, &pool);
        if (resp.stage == FW_RESP_HEAD) {
            fw_resp_discard(&resp, &out);
            CHECK(out_is("queued"));
            fault_fail(FAULT_alloc, 1, 1, 0);
            size_t before = fw_buf_live(&out);
            if (fw_resp_refuse(&out, &pool, &clock_now, server, strlen(server), FW_E_NO_MEMORY, true) !=
                FW_OK)
                CHECK_EQUAL(fw_buf_live(&out), before);
        }
        CHECK_EQUAL(error, fault_was_hit() ? FW_E_NO_MEMORY : FW_OK);
        CHECK(error != FW_OK ? resp.stage != FW_RESP_DONE : resp.stage == FW_RESP_DONE);
        bool over = !fault_was_hit();
        end();
        if (over)
            break;
    }
}

static void a_refusal_without_memory_leaves_nothing(void)
{
    begin();
    static char fill[FW_BUF_BLOCK - 40];
    fault_fail(FAULT_alloc, 1, 1, 0);
    CHECK_EQUAL(fw_resp_refuse(&out, &pool, &clock_now, server, strlen(server), FW_E_NO_SPACE, true),
                FW_E_NO_MEMORY);
    CHECK_EQUAL(fw_buf_live(&out), 0);
    fw_buf_append(&out, &pool, fill, sizeof fill);
    fw_buf_take(&out, 5);
    fault_fail(FAULT_alloc, 1, 1, 0);
    CHECK_EQUAL(fw_resp_refuse(&out, &pool, &clock_now, server, strlen(server), FW_E_NO_SPACE, true),
                FW_E_NO_MEMORY);
    CHECK_EQUAL(fw_buf_live(&out), sizeof fill - 5);
    end();
}

/* The last chunk is part of the response: without memory for it the response is not done. */
static void a_last_chunk_without_memory_is_no_end(void)
{
    static char fill[FW_BUF_BLOCK];
    begin();
    status("200 OK");
    end_head(-1);
    fw_buf_append(&out, &pool, fill, sizeof fill - out.len);
    fault_fail(FAULT_alloc, 1, 1, 0);
    CHECK_EQUAL(fw_resp_finish(&resp, &out, &pool), FW_E_NO_MEMORY);
    CHECK_EQUAL(resp.stage, FW_RESP_BODY);
    end();
}

/* Queue so much that `room` bytes are left of the block, and let the next allocation fail. */
static void leave_room(size_t room)
{
    static char fill[FW_BUF_BLOCK];
    fault_fail(FAULT_alloc, 1, 0, 0);
    CHECK(fw_buf_append(&out, &pool, fill, FW_BUF_BLOCK - out.len - room));
    fault_fail(FAULT_alloc, 1, 1, 0);
}

/* Wherever memory is missing, what was in the buffer stays as it was. */
static void each_step_without_memory_changes_nothing(void)
{
    size_t take;
    begin();
    leave_room(10);
    CHECK_EQUAL(fw_resp_status_again(&resp, &out, &pool, "HTTP/1.1 200 OK\r\n", 17, 200), FW_E_NO_MEMORY);
    CHECK(out.len == FW_BUF_BLOCK - 10 && resp.stage == FW_RESP_NONE && resp.head_len == 0);
    end();

    begin();
    status("200 OK");
    leave_room(5);
    out.len -= 17; /* the head is the end of the buffer */
    memcpy(out.data + out.len, "HTTP/1.1 200 OK\r\n", 17);
    out.len += 17;
    CHECK_EQUAL(fw_resp_field_again(&resp, &out, &pool, "A: b\r\n", 6), FW_E_NO_MEMORY);
    CHECK(out.len == FW_BUF_BLOCK - 5 && resp.head_len == 17);
    fault_fail(FAULT_alloc, 1, 1, 0);
    CHECK_EQUAL(end_head(-1), FW_E_NO_MEMORY);
    CHECK(out.len == FW_BUF_BLOCK - 5 && resp.stage == FW_RESP_HEAD);
    end();

    begin();
    status("200 OK");
    end_head(-1);
    leave_room(2);
    CHECK_EQUAL(fw_resp_block(&resp, &out, &pool, 5, &take), FW_E_NO_MEMORY);
    CHECK(out.len == FW_BUF_BLOCK - 2 && take == 0 && resp.sent == 0);
    end();

    begin();
    status("200 OK");
    end_head(-1);
    CHECK_EQUAL(fw_resp_block(&resp, &out, &pool, 5, &take), FW_OK);
    leave_room(1);
    CHECK_EQUAL(fw_resp_block_end(&resp, &out, &pool), FW_E_NO_MEMORY);
    CHECK_EQUAL(out.len, FW_BUF_BLOCK - 1);
    end();
}

/* There is room for the head of a refusal, but not for what it says. */
static void half_a_refusal_is_taken_back(void)
{
    size_t head;
    begin();
    CHECK_EQUAL(fw_resp_refuse(&out, &pool, &clock_now, server, strlen(server), FW_E_TARGET, false), FW_OK);
    head = out.len;
    fw_buf_release(&out, &pool);
    /* what fw_resp_end_head() asks for, at the most, is more than it writes */
    for (size_t room = head; room < head + 120; room++) {
        leave_room(room);
        enum fw_error error =
            fw_resp_refuse(&out, &pool, &clock_now, server, strlen(server), FW_E_TARGET, true);
        if (error != FW_OK)
            CHECK_EQUAL(out.len, FW_BUF_BLOCK - room);
        fw_buf_release(&out, &pool);
        fw_pool_drop(&pool);
    }
    end();
}

static const struct fw_test tests[] = {
    {"a_whole_answer", a_whole_answer},
    {"status_lines", status_lines},
    {"every_byte_of_names_and_values", every_byte_of_names_and_values},
    {"white_space_around_values_goes", white_space_around_values_goes},
    {"hop_by_hop_fields_are_the_servers", hop_by_hop_fields_are_the_servers},
    {"connection_close_is_obeyed", connection_close_is_obeyed},
    {"lengths_that_are_none", lengths_that_are_none},
    {"lines_again", lines_again},
    {"fields_that_do_not_repeat", fields_that_do_not_repeat},
    {"date_of_the_application_is_respected", date_of_the_application_is_respected},
    {"framing_of_everything", framing_of_everything},
    {"a_status_again_takes_the_head_back", a_status_again_takes_the_head_back},
    {"blocks_are_framed", blocks_are_framed},
    {"chunk_sizes_of_every_length", chunk_sizes_of_every_length},
    {"a_promised_length_is_kept", a_promised_length_is_kept},
    {"every_refusal_reads_back", every_refusal_reads_back},
    {"large_heads_go_through", large_heads_go_through},
    {"memory_runs_out_anywhere", memory_runs_out_anywhere},
    {"a_refusal_without_memory_leaves_nothing", a_refusal_without_memory_leaves_nothing},
    {"a_last_chunk_without_memory_is_no_end", a_last_chunk_without_memory_is_no_end},
    {"each_step_without_memory_changes_nothing", each_step_without_memory_changes_nothing},
    {"half_a_refusal_is_taken_back", half_a_refusal_is_taken_back},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
