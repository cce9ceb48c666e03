/* fw_access: from a format to a program. */
#define _GNU_SOURCE
#include "fw_access.h"

#include <string.h>

static bool add(struct fw_access *access, enum fw_access_kind kind, uint8_t name, size_t off, size_t len)
{
    if (access->count == FW_ACCESS_OPS)
        return false;
    access->ops[access->count++] = (struct fw_access_op){
        .kind = (uint8_t)kind, .name = name, .off = (uint32_t)off, .len = (uint32_t)len};
    return true;
}

/* Literals that follow each other become one. */
static bool add_literal(struct fw_access *access, const char *text, size_t len)
{
    struct fw_access_op *last = access->count > 0 ? &access->ops[access->count - 1] : NULL;
    size_t off = access->text_len;
    memcpy(access->text + off, text, len);
    access->text_len += len;
    if (last != NULL && last->kind == FW_AT_LITERAL && last->off + last->len == off) {
        last->len += (uint32_t)len;
        return true;
    }
    return add(access, FW_AT_LITERAL, 0, off, len);
}

static bool add_field(struct fw_access *access, const char *name, size_t len)
{
    size_t off = access->text_len;
    for (size_t at = 0; at < len; at++) {
        char byte = name[at];
        access->text[off + at] = byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte;
    }
    access->text_len += len;
    return add(access, FW_AT_FIELD, (uint8_t)fw_name_find(name, len), off, len);
}

static const struct {
    char letter;
    uint8_t kind;
    bool number; /* may be written with %d as well */
} letters[] = {
    {'h', FW_AT_ADDR, false},        {'u', FW_AT_USER, false},        {'t', FW_AT_TIME, false},
    {'r', FW_AT_LINE, false},        {'m', FW_AT_METHOD, false},      {'U', FW_AT_PATH, false},
    {'q', FW_AT_QUERY, false},       {'H', FW_AT_PROTOCOL, false},    {'s', FW_AT_STATUS, false},
    {'B', FW_AT_BYTES, true},        {'b', FW_AT_BYTES, false},       {'T', FW_AT_SECONDS, true},
    {'M', FW_AT_MILLISECONDS, true}, {'D', FW_AT_MICROSECONDS, true}, {'L', FW_AT_DECIMAL_SECONDS, false},
    {'p', FW_AT_PID, false},
};

/* One atom, named name[0..len) and formatted as `conversion`. */
static bool add_atom(struct fw_access *access, const char *name, size_t len, char conversion)
{
    if (len == 1)
        for (size_t at = 0; at < sizeof letters / sizeof letters[0]; at++)
            if (letters[at].letter == name[0])
                return (conversion == 's' || (conversion == 'd' && letters[at].number)) &&
                       add(access, (enum fw_access_kind)letters[at].kind, 0, 0, 0);
    if (conversion != 's')
        return false;
    if (len == 1 && name[0] == 'f')
        return add_field(access, "referer", 7);
    if (len == 1 && name[0] == 'a')
        return add_field(access, "user-agent", 10);
    if (len < 3 || name[0] != '{' || name[len - 2] != '}')
        return add_literal(access, "-", 1); /* no such atom */
    char source = (char)(name[len - 1] | 0x20);
    if (source == 'i')
        return add_field(access, name + 1, len - 3);
    return source != 'o' && source != 'e' && add_literal(access, "-", 1);
}

static bool compile_atoms(struct fw_access *access, const char *format, size_t len)
{
    size_t at = 0;
    while (at < len) {
        const char *percent = memchr(format + at, '%', len - at);
        size_t plain = percent != NULL ? (size_t)(percent - format) - at : len - at;
        if (plain > 0 && !add_literal(access, format + at, plain))
            return false;
        at += plain;
        if (at == len)
            break;
        if (len - at >= 2 && format[at + 1] == '%') {
            if (!add_literal(access, "%", 1))
                return false;
            at += 2;
            continue;
        }
        const char *close = memchr(format + at, ')', len - at);
        if (len - at < 4 || format[at + 1] != '(' || close == NULL || close + 1 == format + len)
            return false;
        size_t end = (size_t)(close - format);
        if (memchr(format + at + 2, '(', end - at - 2) != NULL || /* Python pairs parentheses */
            !add_atom(access, format + at + 2, end - at - 2, format[end + 1]))
            return false;
        at = end + 2;
    }
    return true;
}

struct key {
    const char *text; /* what stands before the value */
    uint8_t kind;
    const char *field;
};

static const struct key keys[] = {
    {"{\"time\":", FW_AT_TIME, NULL},
    {",\"remote_addr\":", FW_AT_ADDR, NULL},
    {",\"user\":", FW_AT_USER, NULL},
    {",\"method\":", FW_AT_METHOD, NULL},
    {",\"path\":", FW_AT_RAW_PATH, NULL},
    {",\"query\":", FW_AT_QUERY, NULL},
    {",\"protocol\":", FW_AT_PROTOCOL, NULL},
    {",\"status\":", FW_AT_STATUS, NULL},
    {",\"bytes\":", FW_AT_BYTES, NULL},
    {",\"duration_ms\":", FW_AT_DECIMAL_MILLISECONDS, NULL},
    {",\"host\":", FW_AT_FIELD, "host"},
    {",\"referer\":", FW_AT_FIELD, "referer"},
    {",\"user_agent\":", FW_AT_FIELD, "user-agent"},
    {",\"request_id\":", FW_AT_FIELD, "x-request-id"},
    {",\"pid\":", FW_AT_PID, NULL},
};

static bool compile_json(struct fw_access *access)
{
    access->json = true;
    bool fits = true;
    for (size_t at = 0; at < sizeof keys / sizeof keys[0]; at++) {
        const struct key *key = &keys[at];
        fits &= add_literal(access, key->text, strlen(key->text));
        fits &= key->field != NULL ? add_field(access, key->field, strlen(key->field))
                                   : add(access, (enum fw_access_kind)key->kind, 0, 0, 0);
    }
    return fits && add(access, FW_AT_MALFORMED, 0, 0, 0) && add_literal(access, "}", 1);
}

bool fw_access_compile(struct fw_access *access, const char *format, size_t len)
{
    if (len == sizeof FW_ACCESS_JSON - 1 && memcmp(format, FW_ACCESS_JSON, len) == 0)
        return compile_json(access);
    return compile_atoms(access, format, len);
}
