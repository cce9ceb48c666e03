/* Tests of fw_body: counting down, and chunks of any size in pieces of any size. */
#include "fw_body.h"
#include "fw_test.h"

#include <stdio.h>
#include <stdlib.h>

static struct fw_limits limits;

struct feed {
    struct fw_body body;
    size_t used;
    struct fw_span data;
    struct fw_field field;
    enum fw_error error;
};

static enum fw_body_event feed(struct feed *feed, const char *buf, size_t len)
{
    return fw_body_feed(&feed->body, buf, len, &limits, &feed->used, &feed->data, &feed->field, &feed->error);
}

static void begin(struct feed *feed, enum fw_body_kind kind, uint64_t length)
{
    struct fw_framing framing = {.kind = (uint8_t)kind, .length = length};
    limits = fw_limits_default();
    fw_body_begin(&feed->body, &framing);
}

static void no_body_is_done_at_once(void)
{
    struct feed f;
    begin(&f, FW_BODY_NONE, 0);
    CHECK_EQUAL(feed(&f, "GET", 3), FW_BODY_DONE);
    CHECK_EQUAL(f.used, 0);
    begin(&f, FW_BODY_LENGTH, 0);
    CHECK_EQUAL(feed(&f, "GET", 3), FW_BODY_DONE);
    CHECK_EQUAL(f.used, 0);
    CHECK_EQUAL(feed(&f, "GET", 3), FW_BODY_DONE);
}

static void a_length_is_counted_down(void)
{
    struct feed f;
    begin(&f, FW_BODY_LENGTH, 5);
    CHECK_EQUAL(feed(&f, "", 0), FW_BODY_MORE);
    CHECK_EQUAL(feed(&f, "he", 2), FW_BODY_DATA);
    CHECK(f.used == 2 && f.data.off == 0 && f.data.len == 2 && f.body.left == 3 && f.body.total == 2);
    CHECK_EQUAL(feed(&f, "", 0), FW_BODY_MORE);
    CHECK_EQUAL(feed(&f, "lloGET", 6), FW_BODY_DATA);
    CHECK(f.used == 3 && f.data.len == 3 && f.body.left == 0 && f.body.total == 5);
    CHECK_EQUAL(feed(&f, "GET", 3), FW_BODY_DONE);
    CHECK_EQUAL(f.used, 0);
}

static void a_chunk_may_be_as_long_as_63_bits_say(void)
{
    struct feed f;
    begin(&f, FW_BODY_CHUNKED, 0);
    static const char text[] = "7fffffffffffffff\r\nab";
    CHECK_EQUAL(feed(&f, text, sizeof text - 1), FW_BODY_DATA);
    CHECK(f.data.off == 18 && f.data.len == 2 && f.used == 20 && f.body.left == INT64_MAX - 2);
}

static void a_trailer_is_relative_to_what_was_shown(void)
{
    struct feed f;
    begin(&f, FW_BODY_CHUNKED, 0);
    static const char text[] = "0\r\nAb: cd\r\n\r\nGET";
    CHECK_EQUAL(feed(&f, text, sizeof text - 1), FW_BODY_FIELD);
    CHECK(f.used == 11 && f.field.name.off == 3 && f.field.name.len == 2 && f.field.value.off == 7 &&
          f.field.value.len == 2);
    CHECK_EQUAL(feed(&f, text + 11, sizeof text - 1 - 11), FW_BODY_DONE);
    CHECK_EQUAL(f.used, 2);
}

/* Write chunks of random sizes with random extensions, read them in random pieces, get the data back. */
static void chunks_survive_any_pieces(void)
{
    struct fw_random random = {4};
    static char text[65536], data[65536], got[65536];
    for (int round = 0; round < 3000; round++) {
        size_t len = 0, data_len = 0, got_len = 0;
        for (uint32_t chunk = fw_random(&random, 8); chunk > 0; chunk--) {
            size_t size = 1 + fw_random(&random, fw_random(&random, 2) ? 12 : 3000);
            static const char *const extensions[] = {"", ";a", " ;\tb = c", ";d=\"e;\\\"f\""};
            len += (size_t)sprintf(text + len, fw_random(&random, 2) ? "%zx%s\r\n" : "0%zX%s\r\n", size,
                                   extensions[fw_random(&random, COUNT_OF(extensions))]);
            for (size_t at = 0; at < size; at++)
                data[data_len++] = text[len++] = "\r\n0ab"[fw_random(&random, 5)];
            len += (size_t)sprintf(text + len, "\r\n");
        }
        uint32_t trailers = fw_random(&random, 3);
        len += (size_t)sprintf(text + len, "0\r\n%s\r\n",
                               trailers == 0   ? ""
                               : trailers == 1 ? "A: 1\r\n"
                                               : "A: 1\r\nB: 2\r\n");

        struct feed f;
        begin(&f, FW_BODY_CHUNKED, 0);
        size_t used = 0, shown = 0;
        uint32_t fields = 0;
        enum fw_body_event event = FW_BODY_MORE;
        while (event != FW_BODY_DONE && event != FW_BODY_FAIL) {
            if (event == FW_BODY_MORE) {
                if (!CHECK(shown < len))
                    break;
                shown += 1 + fw_random(&random, fw_random(&random, 2) ? 4 : 4000);
                shown = shown < len ? shown : len;
            }
            char *walled = fw_test_before_wall(shown - used);
            memcpy(walled, text + used, shown - used);
            event = feed(&f, walled, shown - used);
            CHECK(f.used <= shown - used);
            if (event == FW_BODY_DATA) {
                CHECK(f.data.len > 0 && fw_span_end(f.data) <= f.used);
                memcpy(got + got_len, walled + f.data.off, f.data.len);
                got_len += f.data.len;
            }
            fields += event == FW_BODY_FIELD;
            used += f.used;
        }
        fw_test_note("round %d", round);
        CHECK_EQUAL(event, FW_BODY_DONE);
        CHECK(used == len && fields == trailers && f.body.total == data_len);
        CHECK(got_len == data_len && memcmp(got, data, data_len) == 0);
    }
}

/* A change anywhere: the same answer whole and in pieces. */
static void a_fault_is_the_same_in_any_pieces(void)
{
    struct fw_random random = {5};
    static const char good[] = "5;a=\"b\"\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX: 1\r\nY: 2\r\n\r\n";
    size_t faults = 0;
    for (int round = 0; round < 100000; round++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        size_t len = sizeof good - 1, at = fw_random(&random, (uint32_t)len);
        text[at] =
            fw_random(&random, 2) ? (char)fw_random(&random, 256) : "\r\n; \t\"=:0"[fw_random(&random, 9)];
        enum fw_error errors[2] = {FW_OK, FW_OK};
        uint64_t totals[2];
        for (int pieces = 0; pieces < 2; pieces++) {
            struct feed f;
            begin(&f, FW_BODY_CHUNKED, 0);
            limits.chunk_line = 9 + (uint32_t)round % 3;
            limits.trailer = 11 + (uint32_t)round % 4;
            limits.field_size = 5 + (uint32_t)round % 3;
            limits.body = round % 5 == 0 ? 20 : 0;
            size_t used = 0, shown = pieces ? 0 : len;
            enum fw_body_event event;
            do {
                char *walled = fw_test_before_wall(shown - used);
                memcpy(walled, text + used, shown - used);
                event = feed(&f, walled, shown - used);
                used += f.used;
                if (event == FW_BODY_MORE && shown == len)
                    break;
                if (event == FW_BODY_MORE)
                    shown = shown + 1 + fw_random(&random, 5) < len ? shown + 1 : len;
            } while (event != FW_BODY_FAIL && event != FW_BODY_DONE);
            errors[pieces] = event == FW_BODY_FAIL ? f.error : FW_OK;
            totals[pieces] = f.body.total;
        }
        fw_test_note("round %d: %s", round, fw_error_name(errors[0]));
        CHECK_EQUAL(errors[1], errors[0]);
        CHECK_EQUAL(totals[1], totals[0]);
        faults += errors[0] != FW_OK;
    }
    CHECK(faults > 20000);
}

static const struct fw_test tests[] = {
    {"no_body_is_done_at_once", no_body_is_done_at_once},
    {"a_length_is_counted_down", a_length_is_counted_down},
    {"a_chunk_may_be_as_long_as_63_bits_say", a_chunk_may_be_as_long_as_63_bits_say},
    {"a_trailer_is_relative_to_what_was_shown", a_trailer_is_relative_to_what_was_shown},
    {"chunks_survive_any_pieces", chunks_survive_any_pieces},
    {"a_fault_is_the_same_in_any_pieces", a_fault_is_the_same_in_any_pieces},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
