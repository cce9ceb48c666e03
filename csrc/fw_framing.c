/* fw_framing: one pass over the fields, then what they mean together. */
#include "fw_framing.h"

#include "fw_scan.h"

#include <string.h>

/* What the fields have said so far. */
struct said {
    bool host, type, length, coding, chunked, close, keep, names_upgrade, upgrade;
    enum fw_error coding_error; /* reported after the plainer errors: see fw_framing_of */
};

bool fw_framing_length(const char *buf, size_t len, uint64_t *number)
{
    if (len == 0 || len > 19)
        return false;
    uint64_t value = 0; /* 19 digits always fit 64 bits */
    for (size_t at = 0; at < len; at++) {
        if (!(fw_scan_class[(uint8_t)buf[at]] & FW_C_DIGIT))
            return false;
        value = value * 10 + (uint64_t)(buf[at] - '0');
    }
    if (value > INT64_MAX)
        return false;
    *number = value;
    return true;
}

bool fw_framing_has_token(const char *buf, size_t len, const char *lower, size_t lower_len)
{
    size_t pos = 0;
    struct fw_span element;
    while (fw_scan_list(buf, len, &pos, &element))
        if (fw_scan_same(buf + element.off, element.len, lower, lower_len))
            return true;
    return false;
}

/* The elements of one Transfer-Encoding line. All lines are one list (RFC 9110 section 5.3), and only
 * "chunked" alone is a body that we can delimit and hand on. Empty elements and parameters, which no sender
 * may write for chunked, are refused, since the next hop may read them otherwise than we do.       */
static enum fw_error coding_of(const char *buf, size_t len, bool *chunked)
{
    for (size_t start = 0;;) {
        const char *comma = memchr(buf + start, ',', len - start);
        size_t end = comma != NULL ? (size_t)(comma - buf) : len, pos = 0;
        struct fw_span element;
        if (*chunked || !fw_scan_list(buf + start, end - start, &pos, &element))
            return FW_E_CODING_NOT_LAST;
        const char *name = buf + start + element.off;
        size_t token = fw_scan_token(name, element.len);
        if (!fw_scan_same(name, token, "chunked", 7))
            return FW_E_CODING_UNKNOWN;
        if (token < element.len)
            return FW_E_CODING_NOT_LAST;
        *chunked = true;
        if (end == len)
            return FW_OK;
        start = end + 1;
    }
}

/* The options of one Connection line (RFC 9110 section 7.6.1); those that nobody here knows mean nothing. */
static void take_options(const char *buf, size_t len, struct said *said)
{
    size_t pos = 0;
    struct fw_span option;
    while (fw_scan_list(buf, len, &pos, &option)) {
        const char *name = buf + option.off;
        said->close |= fw_scan_same(name, option.len, "close", 5);
        said->keep |= fw_scan_same(name, option.len, "keep-alive", 10);
        said->names_upgrade |= fw_scan_same(name, option.len, "upgrade", 7);
    }
}

static enum fw_error take_field(const char *buf, const struct fw_field *field, struct said *said,
                                struct fw_framing *framing)
{
    const char *value = buf + field->value.off;
    size_t len = field->value.len;
    switch (field->id) {
    case FW_N_HOST:
        if (said->host)
            return FW_E_HOST_REPEATED;
        if (len > 0 && !fw_head_host_valid(value, len, false))
            return FW_E_HOST_INVALID;
        said->host = true;
        framing->host = field->value;
        return FW_OK;
    case FW_N_CONTENT_LENGTH:
        if (said->length)
            return FW_E_LENGTH_REPEATED;
        said->length = true;
        return fw_framing_length(value, len, &framing->length) ? FW_OK : FW_E_LENGTH_INVALID;
    case FW_N_TRANSFER_ENCODING:
        said->coding = true;
        if (said->coding_error == FW_OK)
            said->coding_error = coding_of(value, len, &said->chunked);
        return FW_OK;
    case FW_N_CONTENT_TYPE:
        if (said->type)
            return FW_E_FIELD_REPEATED;
        said->type = true;
        return FW_OK;
    case FW_N_CONNECTION:
        take_options(value, len, said);
        return FW_OK;
    case FW_N_UPGRADE:
        said->upgrade = true;
        return FW_OK;
    }
    assert(field->id == FW_N_EXPECT); /* no others matter here, and for no others is this called */
    framing->expect_continue = fw_scan_same(value, len, "100-continue", 12);
    return framing->expect_continue ? FW_OK : FW_E_EXPECT_UNKNOWN;
}

enum fw_error fw_framing_of(const char *buf, const struct fw_head *head, const struct fw_limits *limits,
                            struct fw_framing *framing)
{
    struct said said = {0};
    *framing = (struct fw_framing){0};
    for (uint32_t at = 0; at < head->count; at++) {
        if (FW_LIKELY(head->fields[at].id - 1u >= FW_NAME_FRAMING)) /* FW_N_OTHER as well */
            continue;
        enum fw_error error = take_field(buf, &head->fields[at], &said, framing);
        if (FW_UNLIKELY(error != FW_OK))
            return error;
    }

    bool modern = head->minor > 0;
    if (modern && !said.host)
        return FW_E_HOST_MISSING;
    if (said.coding && !modern)
        return FW_E_CODING_ON_1_0;
    if (said.coding && said.length)
        return FW_E_LENGTH_AND_CODING;
    if (said.coding_error != FW_OK)
        return said.coding_error;
    if (limits->body != 0 && framing->length > limits->body)
        return FW_E_BODY_TOO_LONG;

    framing->kind = said.coding ? FW_BODY_CHUNKED : said.length ? FW_BODY_LENGTH : FW_BODY_NONE;
    framing->keep_alive = !said.close && (modern || said.keep);
    framing->expect_continue &= modern;
    framing->upgrade = modern && said.upgrade && said.names_upgrade;
    if (head->form == FW_FORM_ABSOLUTE || head->form == FW_FORM_AUTHORITY)
        framing->host = head->authority;
    return FW_OK;
}
