#include "fw_forwarded.h"

#include "fw_scan.h"

#include <string.h>

/* --- the tables --- */

struct row {
    const char *name, *value;
    size_t name_len, value_len;
};

/* The row at *at, which moves behind it; false at the end. */
static bool next_row(const struct fw_forwarded_table *table, size_t *at, struct row *row)
{
    if (*at >= table->len)
        return false;
    const char *begin = table->rows + *at;
    row->name_len = (uint8_t)begin[0];
    row->value_len = (uint8_t)begin[1];
    row->name = begin + 2;
    row->value = row->name + row->name_len;
    *at += 2 + row->name_len + row->value_len;
    return true;
}

/* Its index, -1 without one. */
static int find_row(const struct fw_forwarded_table *table, const char *name, size_t len, struct row *row)
{
    size_t at = 0;
    for (int index = 0; next_row(table, &at, row); index++)
        if (fw_scan_same(name, len, row->name, row->name_len))
            return index;
    return -1;
}

void fw_forwarded_init(struct fw_forwarded_rules *rules)
{
    struct row row;
    assert(rules->hops <= FW_FORWARDED_HOPS);
    rules->wanted[FW_N_OTHER] = true; /* any name may have a '_' */
    for (size_t at = 0; next_row(&rules->schemes, &at, &row);) {
        rules->wanted[fw_name_find(row.name, row.name_len)] = true;
        rules->lengths |= (uint64_t)1 << row.name_len % 64;
    }
    rules->active = rules->schemes.len > 0 || rules->names.len > 0 || rules->all_names || rules->client;
}

/* --- scheme and names --- */

static bool is_script_name(const char *name, size_t len)
{
    return fw_scan_same(name, len, "script_name", 11);
}

/* Are the two the same in the environ, and yet not the same name? */
static bool is_twin(const char *name, size_t len, const struct row *row)
{
    bool differs = false;
    if (len != row->name_len)
        return false;
    for (size_t at = 0; at < len; at++) {
        char byte = name[at];
        if (byte >= 'A' && byte <= 'Z')
            byte = (char)(byte | 0x20);
        if (byte == row->name[at])
            continue;
        if (byte != '-' || row->name[at] != '_')
            return false;
        differs = true;
    }
    return differs;
}

/* The proxy has sent the names in `seen`; what a client has sent to pass for one of them must not join it. */
static bool hide_twins(const struct fw_forwarded_rules *rules, uint64_t seen, const char *base,
                       struct fw_head *head)
{
    struct row row;
    size_t at = 0;
    bool found = false;
    for (int index = 0; next_row(&rules->names, &at, &row); index++)
        for (uint32_t i = 0; seen >> index & 1 && i < head->count; i++) {
            struct fw_field *field = &head->fields[i];
            if (is_twin(base + field->name.off, field->name.len, &row)) {
                field->flags |= FW_FIELD_HIDDEN;
                found = true;
            }
        }
    return found;
}

enum fw_error fw_forwarded_read(const struct fw_forwarded_rules *rules, bool trusted, const char *base,
                                struct fw_head *head, uint32_t first, struct fw_forwarded *said)
{
    uint64_t seen = 0;
    bool scheme_said = false;
    struct row row;
    *said = (struct fw_forwarded){.script = 0};
    for (uint32_t i = first; i < head->count; i++) {
        struct fw_field *field = &head->fields[i];
        const char *name = base + field->name.off;
        if (trusted && rules->wanted[field->id] && rules->lengths >> field->name.len % 64 & 1 &&
            find_row(&rules->schemes, name, field->name.len, &row) >= 0) {
            bool https = field->value.len == row.value_len &&
                         memcmp(base + field->value.off, row.value, row.value_len) == 0;
            if (scheme_said && https != said->https)
                return FW_E_SCHEME_MIXED;
            scheme_said = true;
            said->https = https;
        }
        if (!(field->flags & FW_FIELD_UNDERSCORE))
            continue;
        int index = trusted ? find_row(&rules->names, name, field->name.len, &row) : -1;
        if (index >= 0)
            seen |= (uint64_t)1 << index;
        else if (rules->underscore == FW_UNDERSCORE_REFUSE && !(trusted && rules->all_names))
            return FW_E_FIELD_UNDERSCORE;
        else if (rules->underscore == FW_UNDERSCORE_DROP && !(trusted && rules->all_names))
            continue;
        field->flags &= (uint8_t)~FW_FIELD_UNDERSCORE;
        if (trusted && is_script_name(name, field->name.len))
            said->script = i + 1;
    }
    if (seen != 0 && rules->underscore != FW_UNDERSCORE_DANGEROUS) {
        said->hidden = hide_twins(rules, seen, base, head);
        if (said->hidden && rules->underscore == FW_UNDERSCORE_REFUSE)
            return FW_E_FIELD_UNDERSCORE;
    }
    return FW_OK;
}

/* --- the client --- */

/* What follows an address: nothing, or a colon and a port. `hidden`: "_name" may stand for the latter. */
static bool parse_port(const char *buf, size_t len, bool hidden, int32_t *port)
{
    *port = -1;
    if (len == 0)
        return true;
    if (buf[0] != ':')
        return false;
    if (hidden && len > 2 && buf[1] == '_')
        return fw_scan_token(buf + 2, len - 2) == len - 2;
    *port = fw_addr_port(buf + 1, len - 1);
    return *port >= 0;
}

/* 192.0.2.1, 192.0.2.1:80, [2001:db8::1], [2001:db8::1]:80, and unless `strict`, which is RFC 7239's node,
 * 2001:db8::1. Everything else is nobody: unknown, _hidden, names, garbage.                      */
static bool parse_node(const char *buf, size_t len, bool strict, struct fw_client *node)
{
    if (len > 0 && buf[0] == '[') {
        const char *end = memchr(buf, ']', len);
        if (end == NULL || memchr(buf, ':', (size_t)(end - buf)) == NULL)
            return false;
        size_t used = (size_t)(end + 1 - buf);
        return fw_addr_parse(buf + 1, used - 2, &node->addr) &&
               parse_port(end + 1, len - used, strict, &node->port);
    }
    const char *colon = len > 0 ? memchr(buf, ':', len) : NULL;
    size_t before = colon != NULL ? (size_t)(colon - buf) : len;
    if (colon != NULL && memchr(colon + 1, ':', len - before - 1) != NULL) {
        node->port = -1;
        return !strict && fw_addr_parse(buf, len, &node->addr);
    }
    return fw_addr_parse(buf, before, &node->addr) &&
           parse_port(buf + before, len - before, strict, &node->port);
}

struct way {
    const struct fw_forwarded_rules *rules;
    unsigned left; /* so many proxies may still be believed */
    bool moved;
    struct fw_client *client;
};

/* A proxy that is believed names who came to it: true if that is one to be believed in its turn. */
static bool go(struct way *way, const char *buf, size_t len, bool strict)
{
    struct fw_client node;
    if (way->left == 0 || !parse_node(buf, len, strict, &node))
        return false;
    way->left--;
    way->moved = true;
    *way->client = node;
    return fw_addr_in(&node.addr, &way->rules->proxies);
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* X-Forwarded-For: addresses with commas between them. An empty element is a proxy that said nothing, and not
 * to be passed over: what stands before it is not its word.                                        */
static bool follow_addresses(struct way *way, const char *buf, size_t len)
{
    size_t end = len;
    for (;;) {
        size_t begin = end, last = end;
        while (begin > 0 && buf[begin - 1] != ',')
            begin--;
        size_t first = begin;
        while (first < last && is_blank(buf[first]))
            first++;
        while (last > first && is_blank(buf[last - 1]))
            last--;
        if (!go(way, buf + first, last - first, false))
            return false;
        if (begin == 0)
            return true;
        end = begin - 1;
    }
}

/* Forwarded (RFC 7239 section 4). Quotes can only be read from the left, the proxies only from the right: so
 * a line is read once, and the last nodes of it are kept.                                            */
struct nodes {
    struct fw_span each[FW_FORWARDED_HOPS]; /* the last of them, the i-th at i % FW_FORWARDED_HOPS */
    size_t count;
};

static size_t skip_blank(const char *buf, size_t len, size_t at)
{
    while (at < len && is_blank(buf[at]))
        at++;
    return at;
}

/* The value of a parameter, from buf[*at] on, which moves behind it. False: it is neither token nor string.
 */
static bool next_value(const char *buf, size_t len, size_t *at, struct fw_span *value)
{
    size_t begin = *at;
    if (begin < len && buf[begin] == '"') {
        size_t end = begin + 1;
        while (end < len && buf[end] != '"')
            end += buf[end] == '\\' ? 2 : 1;
        if (end >= len)
            return false;
        *value = fw_span_of(begin + 1, end - begin - 1);
        *at = end + 1;
        return true;
    }
    *value = fw_span_of(begin, fw_scan_token(buf + begin, len - begin));
    *at = fw_span_end(*value);
    return value->len > 0;
}

/* The node of the element at *at, which moves behind it and its comma; empty where it names none. False: the
 * line is not what it should be, and nobody knows where its elements end.                          */
static bool next_node(const char *buf, size_t len, size_t *at, struct fw_span *node)
{
    bool found = false;
    *node = fw_span_of(0, 0);
    for (;;) {
        size_t name = skip_blank(buf, len, *at), name_len = fw_scan_token(buf + name, len - name);
        *at = name + name_len;
        if (name_len > 0) {
            struct fw_span value;
            if (*at >= len || buf[*at] != '=' || (*at += 1, !next_value(buf, len, at, &value)))
                return false;
            if (fw_scan_same(buf + name, name_len, "for", 3)) {
                if (found)
                    return false;
                found = true;
                *node = value;
            }
        }
        *at = skip_blank(buf, len, *at);
        if (*at == len || buf[*at] == ',') {
            *at += 1;
            return true;
        }
        if (buf[*at] != ';')
            return false;
        *at += 1;
    }
}

static bool follow_nodes(struct way *way, const char *buf, size_t len)
{
    struct nodes nodes;
    nodes.count = 0;
    for (size_t at = 0; at <= len; nodes.count++)
        if (!next_node(buf, len, &at, &nodes.each[nodes.count % FW_FORWARDED_HOPS]))
            return false;
    /* As many are kept as may be believed: go() ends the way before one that is not there any more. */
    for (size_t i = nodes.count; i-- > 0;) {
        struct fw_span node = nodes.each[i % FW_FORWARDED_HOPS];
        if (!go(way, buf + node.off, node.len, true))
            return false;
    }
    return true;
}

bool fw_forwarded_follow(const struct fw_forwarded_rules *rules, unsigned told, const char *base,
                         const struct fw_head *head, struct fw_client *client)
{
    /* Where everybody is trusted, only the peer is known to be there: whom it names may be anybody. */
    unsigned most = rules->hops > 0 ? rules->hops : rules->proxies.all ? 1 : FW_FORWARDED_HOPS;
    struct way way = {.rules = rules, .left = most > told ? most - told : 0, .client = client};
    for (uint32_t i = head->count; i-- > 0;) {
        const struct fw_field *field = &head->fields[i];
        if (field->id != rules->client)
            continue;
        const char *value = base + field->value.off;
        if (rules->client == FW_N_FORWARDED ? !follow_nodes(&way, value, field->value.len)
                                            : !follow_addresses(&way, value, field->value.len))
            break;
    }
    return way.moved;
}
