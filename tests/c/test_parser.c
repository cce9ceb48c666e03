/* Tests of fw_parser: its states and who owns what; requests themselves are the corpus's. */
#include "fw_parser.h"
#include "fw_test.h"

static struct fw_field fields[10];
static struct fw_limits limits;

struct step {
    size_t used;
    struct fw_span data;
    struct fw_field field;
};

static enum fw_parser_event step(struct fw_parser *parser, struct step *step, const char *buf, size_t len)
{
    return fw_parser_step(parser, buf, len, &limits, &step->used, &step->data, &step->field);
}

static void begin(struct fw_parser *parser)
{
    limits = fw_limits_default();
    memset(parser, 0xA5, sizeof *parser);
    fw_parser_reset(parser, fields, COUNT_OF(fields));
}

static void a_request_goes_from_head_to_end(void)
{
    static const char text[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET";
    struct fw_parser parser;
    struct step s;
    begin(&parser);
    CHECK_EQUAL(parser.state, FW_PARSER_HEAD);
    CHECK_EQUAL(step(&parser, &s, text, 0), FW_PARSER_MORE);
    CHECK_EQUAL(step(&parser, &s, text, 20), FW_PARSER_MORE);
    CHECK(s.used == 0 && parser.seen == 20);
    CHECK_EQUAL(step(&parser, &s, text, sizeof text - 1), FW_PARSER_GOT_HEAD);
    CHECK(s.used == 47 && parser.state == FW_PARSER_BODY && parser.head.count == 2 &&
          parser.framing.length == 2);
    CHECK_EQUAL(step(&parser, &s, text + 47, 1), FW_PARSER_GOT_DATA);
    CHECK(s.used == 1 && s.data.off == 0 && s.data.len == 1);
    CHECK_EQUAL(step(&parser, &s, text + 48, 0), FW_PARSER_MORE);
    CHECK_EQUAL(step(&parser, &s, text + 48, 4), FW_PARSER_GOT_DATA);
    CHECK(s.used == 1 && s.data.len == 1);
    CHECK_EQUAL(step(&parser, &s, text + 49, 3), FW_PARSER_GOT_END);
    CHECK(s.used == 0 && parser.state == FW_PARSER_END);
    CHECK_EQUAL(step(&parser, &s, text + 49, 3), FW_PARSER_GOT_END); /* until reset */
    CHECK(parser.head.count == 2 && parser.framing.keep_alive);      /* still there */
    fw_parser_reset(&parser, fields, COUNT_OF(fields));
    CHECK_EQUAL(step(&parser, &s, text + 49, 3), FW_PARSER_MORE);
}

static void a_refusal_stays(void)
{
    struct fw_parser parser;
    struct step s;
    begin(&parser);
    CHECK_EQUAL(step(&parser, &s, "get", 3), FW_PARSER_FAIL);
    CHECK(parser.state == FW_PARSER_FAILED && parser.error == FW_E_METHOD && s.used == 0);
    static const char good[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    CHECK_EQUAL(step(&parser, &s, good, sizeof good - 1), FW_PARSER_FAIL);
    CHECK_EQUAL(parser.error, FW_E_METHOD);
    fw_parser_reset(&parser, fields, COUNT_OF(fields));
    CHECK_EQUAL(step(&parser, &s, good, sizeof good - 1), FW_PARSER_GOT_HEAD);
}

static void framing_and_body_refuse_as_well(void)
{
    struct fw_parser parser;
    struct step s;
    begin(&parser);
    static const char no_host[] = "GET / HTTP/1.1\r\n\r\n";
    CHECK_EQUAL(step(&parser, &s, no_host, sizeof no_host - 1), FW_PARSER_FAIL);
    CHECK_EQUAL(parser.error, FW_E_HOST_MISSING);

    begin(&parser);
    static const char chunked[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx";
    CHECK_EQUAL(step(&parser, &s, chunked, sizeof chunked - 1), FW_PARSER_GOT_HEAD);
    CHECK_EQUAL(step(&parser, &s, "x", 1), FW_PARSER_FAIL);
    CHECK_EQUAL(parser.error, FW_E_CHUNK_SIZE);
}

/* The caller had no room for all of its fields: they stay as they were, and the rest is found behind them. */
static void a_head_may_get_more_room(void)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n";
    struct fw_field few[2], more[4];
    struct step s;
    for (size_t first = 0; first < sizeof text - 1; first++) {
        struct fw_parser parser;
        begin(&parser);
        fw_parser_reset(&parser, few, COUNT_OF(few));
        memset(more, 0xA5, sizeof more);
        enum fw_parser_event event = step(&parser, &s, text, first);
        for (size_t len = first; event != FW_PARSER_GOT_HEAD; len = sizeof text - 1) {
            event = step(&parser, &s, text, len);
            if (event == FW_PARSER_FAIL) {
                CHECK_EQUAL(parser.error, FW_E_FIELDS_TOO_MANY);
                CHECK(parser.head.fields == few);
                fw_parser_widen(&parser, more, COUNT_OF(more));
            }
        }
        CHECK(s.used == sizeof text - 1 && parser.head.count == 4 && parser.head.fields == more);
        for (size_t at = 0; at < 4; at++)
            CHECK(text[more[at].value.off] == "a123"[at] && more[at].value.len == 1);
        CHECK(more[0].id == FW_N_HOST && more[3].id == FW_N_OTHER);
    }
}

/* Limits belong to the call: a reload may change them between two requests of a connection. */
static void limits_are_those_of_the_call(void)
{
    static const char text[] = "GET /abcdef HTTP/1.1\r\nHost: a\r\n\r\n";
    struct fw_parser parser;
    struct step s;
    begin(&parser);
    limits.line = 10;
    CHECK_EQUAL(step(&parser, &s, text, sizeof text - 1), FW_PARSER_FAIL);
    begin(&parser);
    CHECK_EQUAL(step(&parser, &s, text, sizeof text - 1), FW_PARSER_GOT_HEAD);
}

static const struct fw_test tests[] = {
    {"a_request_goes_from_head_to_end", a_request_goes_from_head_to_end},
    {"a_refusal_stays", a_refusal_stays},
    {"framing_and_body_refuse_as_well", framing_and_body_refuse_as_well},
    {"a_head_may_get_more_room", a_head_may_get_more_room},
    {"limits_are_those_of_the_call", limits_are_those_of_the_call},
};

int main(int argc, char **argv)
{
    return fw_test_main(argc, argv, tests, COUNT_OF(tests));
}
