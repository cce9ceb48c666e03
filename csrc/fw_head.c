/* fw_head: from bytes to spans.
 *
 * Each line is looked at once in the usual case: the scan that finds its end has found its colon and its
 * bad bytes too. A line that is not whole is not judged but for its length; the next call looks on where
 * this one stopped, and parses the line from its start when its end is there.                   */
#include "fw_head.h"

#include "fw_name_inline.h"
#include "fw_scan.h"

#include <arpa/inet.h>
#include <string.h>

/* How long a method may be, by the default rule: PUT and GET at least, and what WebDAV has at most. */
enum { METHOD_MIN = 3, METHOD_MAX = 20 };

/* "HTTP/1.1" CR LF */
enum { VERSION_LEN = 8, LINE_END_LEN = 2 };

struct fw_limits fw_limits_default(void)
{
    return (struct fw_limits){
        .line = 4094,
        .fields = 100,
        .field_size = 8190,
        .head = 128 * 1024,
        .chunk_line = 1024,
        .trailer = 8192,
    };
}

static inline bool is(char byte, enum fw_class class)
{
    return fw_scan_class[(uint8_t)byte] & class;
}

static inline bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static inline size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Do buf[0..len) hold the end of a line of value bytes of which buf[0..seen) had none? A CR may be its
 * end only when the byte behind it is here. *stop is where the run of value bytes ends.            */
static bool line_ends(const char *buf, size_t len, size_t seen, size_t *stop)
{
    size_t from = seen > 0 ? seen - 1 : 0; /* the last one may have been a CR */
    *stop = from + fw_scan_value(buf + from, len - from);
    return *stop < len && (buf[*stop] != '\r' || *stop + 1 < len);
}

/* ---- host: RFC 3986 section 3.2.2 ---- */

/* Is buf[0..len) what may stand in brackets: an IPv6 address or `"v" 1*HEXDIG "." 1*...`? */
static bool literal_valid(const char *buf, size_t len)
{
    if (len > 0 && (buf[0] | 0x20) == 'v') {
        size_t at = 1;
        while (at < len && is(buf[at], FW_C_HEX))
            at++;
        if (at == 1 || len - at < 2 || buf[at] != '.')
            return false;
        for (at++; at < len; at++)
            if (!is(buf[at], FW_C_HOST) && buf[at] != ':')
                return false;
        return true;
    }
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (len >= sizeof text)
        return false;
    memcpy(text, buf, len);
    text[len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

static bool port_valid(const char *buf, size_t len)
{
    uint32_t port = 0;
    for (size_t at = 0; at < len; at++) {
        if (!is(buf[at], FW_C_DIGIT))
            return false;
        port = port * 10 + (uint32_t)(buf[at] - '0');
        if (port > UINT16_MAX)
            return false;
    }
    return true;
}

bool fw_head_host_valid(const char *buf, size_t len, bool port_needed)
{
    size_t at = 0;
    if (len > 0 && buf[0] == '[') {
        const char *close = memchr(buf, ']', len);
        if (close == NULL || !literal_valid(buf + 1, (size_t)(close - buf) - 1))
            return false;
        at = (size_t)(close - buf) + 1;
    } else {
        for (;;) {
            while (at < len && is(buf[at], FW_C_HOST))
                at++;
            if (at == len || buf[at] != '%')
                break;
            if (len - at < 3 || !is(buf[at + 1], FW_C_HEX) || !is(buf[at + 2], FW_C_HEX))
                return false;
            at += 3;
        }
    }
    if (at == 0)
        return false;
    if (at == len)
        return !port_needed;
    return buf[at] == ':' && len - at > (port_needed ? 1 : 0) && port_valid(buf + at + 1, len - at - 1);
}

/* ---- target: RFC 9112 section 3.2 ---- */

/* Cut the fragment off, and the rest at the first '?'. */
static void split_target(const char *buf, size_t start, size_t end, struct fw_head *head)
{
    const char *hash = memchr(buf + start, '#', end - start);
    if (hash != NULL)
        end = (size_t)(hash - buf);
    const char *mark = memchr(buf + start, '?', end - start);
    size_t path_end = mark != NULL ? (size_t)(mark - buf) : end;
    head->path = fw_span_of(start, path_end - start);
    head->query = mark != NULL ? fw_span_of(path_end + 1, end - path_end - 1) : fw_span_of(end, 0);
    head->path_escaped = memchr(buf + start, '%', path_end - start) != NULL;
}

/* Length of `scheme "://"` at the start (RFC 3986 section 3.1), 0 if there is none. */
static size_t scheme_len(const char *buf, size_t len)
{
    if (len == 0 || !((buf[0] | 0x20) >= 'a' && (buf[0] | 0x20) <= 'z'))
        return 0;
    size_t at = 1;
    while (at < len && (is(buf[at], FW_C_DIGIT) || ((buf[at] | 0x20) >= 'a' && (buf[at] | 0x20) <= 'z') ||
                        buf[at] == '+' || buf[at] == '-' || buf[at] == '.'))
        at++;
    return len - at >= 3 && memcmp(buf + at, "://", 3) == 0 ? at + 3 : 0;
}

/* The target that is not a plain path. Its bytes are known to be 0x21-0x7E. Inline: a target with a query is
 * the usual case (measured: a call costs 3 % of a small head).                                     */
static inline __attribute__((always_inline)) enum fw_error odd_target(const char *buf, struct fw_head *head)
{
    size_t start = head->target.off, end = fw_span_end(head->target);
    head->authority = fw_span_of(start, 0);
    head->path_escaped = false;
    if (head->method_id == FW_M_CONNECT) {
        if (buf[start] == '/' || buf[start] == '*')
            return FW_E_TARGET_FORM;
        head->form = FW_FORM_AUTHORITY;
        head->authority = head->target;
        head->path = head->query = fw_span_of(end, 0);
        return fw_head_host_valid(buf + start, end - start, true) ? FW_OK : FW_E_TARGET;
    }
    if (buf[start] == '/') {
        head->form = FW_FORM_ORIGIN;
        split_target(buf, start, end, head);
        return FW_OK;
    }
    if (buf[start] == '*' && end - start == 1) {
        head->form = FW_FORM_ASTERISK;
        head->path = head->target;
        head->query = fw_span_of(end, 0);
        return head->method_id == FW_M_OPTIONS ? FW_OK : FW_E_TARGET_FORM;
    }
    size_t scheme = scheme_len(buf + start, end - start);
    if (scheme == 0)
        return fw_head_host_valid(buf + start, end - start, true) ? FW_E_TARGET_FORM : FW_E_TARGET;
    head->form = FW_FORM_ABSOLUTE;
    size_t host = start + scheme, host_end = host;
    while (host_end < end && buf[host_end] != '/' && buf[host_end] != '?' && buf[host_end] != '#')
        host_end++;
    head->authority = fw_span_of(host, host_end - host);
    split_target(buf, host_end, end, head);
    return host_end > host && fw_head_host_valid(buf + host, host_end - host, false) ? FW_OK : FW_E_TARGET;
}

/* ---- request line: RFC 9112 section 3 ---- */

/* Why a line whose first `at` bytes are method bytes, and buf[at] is not, has no method. */
static enum fw_error bad_method(const char *buf, size_t at)
{
    uint8_t byte = (uint8_t)buf[at];
    if (byte == '\r' || byte == '\n' || is_blank(buf[at]))
        return byte == ' ' && at > 0 ? FW_E_METHOD : FW_E_REQUEST_LINE;
    return byte < 0x20 || byte >= 0x7F ? FW_E_NOT_HTTP : FW_E_METHOD;
}

/* Look for the method in the first bytes of the line at buf[0..len): what is wrong there is refused at
 * once, be the line whole or not. *method_len is 0 if its end is not among them.                  */
static inline enum fw_error find_method(const char *buf, size_t len, uint32_t rules, size_t *method_len)
{
    bool any = rules & FW_RULE_ANY_METHOD;
    enum fw_class class = any ? FW_C_TOKEN : FW_C_METHOD;
    size_t view = smaller(len, METHOD_MAX + 1), at = 0;
    while (at < view && is(buf[at], class))
        at++;
    *method_len = 0;
    if (FW_UNLIKELY(at == view))
        return !any && at > METHOD_MAX ? FW_E_METHOD : FW_OK;
    if (FW_UNLIKELY(buf[at] != ' ' || at < (any ? 1 : METHOD_MIN)))
        return bad_method(buf, at);
    *method_len = at;
    return FW_OK;
}

/* Why a line with `rest` behind its target's space is not one that we serve. */
static enum fw_error bad_version(const char *rest, size_t len)
{
    if (len == 0 || memchr(rest, ' ', len) != NULL)
        return FW_E_REQUEST_LINE;
    if (len == VERSION_LEN && memcmp(rest, "HTTP/", 5) == 0 && is(rest[5], FW_C_DIGIT) && rest[6] == '.' &&
        is(rest[7], FW_C_DIGIT))
        return FW_E_VERSION;
    return FW_E_NOT_HTTP;
}

/* Why the line buf[0..stop), with what ends it behind it, is refused. */
static enum fw_error bad_line(const char *buf, size_t stop)
{
    size_t method = fw_scan_token(buf, stop);
    if (method == stop || buf[method] != ' ')
        return bad_method(buf, method);
    size_t target = method + 1, end = target + fw_scan_target(buf + target, stop - target);
    if (end < stop && buf[end] != ' ')
        return FW_E_TARGET;
    if (buf[stop] == '\n' || (buf[stop] == '\r' && buf[stop + 1] != '\n'))
        return FW_E_LINE_END;
    if (buf[stop] != '\r')
        return end < stop ? FW_E_NOT_HTTP : FW_E_TARGET;
    return end == target || end == stop ? FW_E_REQUEST_LINE : bad_version(buf + end + 1, stop - end - 1);
}

/* The id of a method that is perhaps known in capitals only. */
static FW_COLD enum fw_method method_of(const char *buf, size_t len, uint32_t rules)
{
    char capitals[METHOD_MAX];
    if (!(rules & FW_RULE_FOLD_CASE) || len > sizeof capitals)
        return fw_method_find(buf, len);
    for (size_t at = 0; at < len; at++)
        capitals[at] = buf[at] >= 'a' && buf[at] <= 'z' ? (char)(buf[at] & ~0x20) : buf[at];
    return fw_method_find(capitals, len);
}

/* The slow way through the line buf[start..start + stop), which has no fault but perhaps its version.
 * Returns its length with CR LF, or -(enum fw_error).                                              */
static FW_COLD ssize_t odd_line(const char *buf, size_t start, size_t stop, uint32_t rules,
                                struct fw_head *head)
{
    const char *line = buf + start;
    char major = line[stop - 3], minor = line[stop - 1];
    bool served = major == '1' && minor <= '1';
    if (!served && !(rules & FW_RULE_ANY_VERSION))
        return -(ssize_t)FW_E_VERSION;
    size_t method = fw_scan_token(line, stop), target = method + 1;
    head->minor = served ? minor & 1 : major > '0';
    head->method = fw_span_of(start, method);
    head->method_id = (uint8_t)method_of(line, method, rules);
    head->target = fw_span_of(start + target, fw_scan_target(line + target, stop - target));
    enum fw_error error = odd_target(buf, head);
    return error != FW_OK ? -(ssize_t)error : (ssize_t)(stop + LINE_END_LEN);
}

/* Parse a request line that is whole and good, in one go. `method` is the length of its method, 0 if not
 * known. Returns its length with CR LF, 0 if it is not whole or not good, or -(enum fw_error) for a target
 * that is well spelt and wrong all the same.                                                   */
static inline ssize_t good_line(const char *buf, size_t start, size_t len, size_t method,
                                const struct fw_limits *limits, struct fw_head *head)
{
    const char *line = buf + start;
    size_t have = len - start, view = limits->line != 0 ? smaller(have, limits->line) : have;
    if (FW_UNLIKELY(method == 0))
        method = fw_scan_token(line, view);
    size_t target = smaller(method + 1, view);
    size_t end = target + fw_scan_path(line + target, view - target);
    bool plain = end < view && line[end] == ' ';
    if (!plain)
        end += fw_scan_target(line + end, view - end);

    /* the version and its space are in the view, its CR LF behind it */
    const char *rest = line + end;
    if (FW_UNLIKELY(view - end < VERSION_LEN + 1 || have - end < VERSION_LEN + 1 + LINE_END_LEN ||
                    memcmp(rest, " HTTP/1.", VERSION_LEN) != 0 || (rest[VERSION_LEN] | 1) != '1' ||
                    memcmp(rest + VERSION_LEN + 1, "\r\n", LINE_END_LEN) != 0 || end == target ||
                    line[method] != ' '))
        return 0;
    head->minor = rest[VERSION_LEN] & 1;
    head->method = fw_span_of(start, method);
    head->method_id = (uint8_t)fw_method_find(line, method);
    head->target = fw_span_of(start + target, end - target);
    if (FW_LIKELY(plain && line[target] == '/' && head->method_id != FW_M_CONNECT)) {
        head->form = FW_FORM_ORIGIN;
        head->path = head->target;
        head->query = fw_span_of(start + end, 0);
        head->authority = fw_span_of(start + target, 0);
        head->path_escaped = false;
    } else {
        enum fw_error error = odd_target(buf, head);
        if (error != FW_OK)
            return -(ssize_t)error;
    }
    return (ssize_t)(end + 1 + VERSION_LEN + LINE_END_LEN);
}

/* Parse the request line at buf[start..len), of which an earlier call was shown `seen` bytes.
 * Returns its length with CR LF, 0 for "not all here yet", or -(enum fw_error).                  */
static ssize_t request_line(const char *buf, size_t start, size_t len, size_t seen,
                            const struct fw_limits *limits, struct fw_head *head)
{
    const char *line = buf + start;
    size_t have = len - start, method, stop;
    enum fw_error error =
        find_method(line, limits->line != 0 ? smaller(have, limits->line) : have, limits->rules, &method);
    if (FW_UNLIKELY(error != FW_OK))
        return -(ssize_t)error;

    bool quick = !(limits->rules & FW_RULE_FOLD_CASE);
    if (FW_LIKELY(quick && (seen == 0 || line_ends(line, have, seen, &stop)))) {
        ssize_t good = good_line(buf, start, len, method, limits, head);
        if (FW_LIKELY(good != 0))
            return good;
    }
    bool ends = line_ends(line, have, seen, &stop);
    if (limits->line != 0 && stop > limits->line)
        return -(ssize_t)FW_E_LINE_TOO_LONG;
    if (!ends)
        return 0;
    error = bad_line(line, stop);
    return error == FW_E_VERSION ? odd_line(buf, start, stop, limits->rules, head) : -(ssize_t)error;
}

/* ---- field lines: RFC 9112 section 5 ---- */

/* Flags of a name that is not known. False if it is not a token, or has a '_' and may not: the flag tells. */
static bool other_name(const char *buf, size_t len, uint32_t rules, struct fw_field *field)
{
    unsigned all = FW_C_TOKEN | FW_C_PLAIN;
    for (size_t at = 0; at < len; at++)
        all &= fw_scan_class[(uint8_t)buf[at]];
    if (len == 0 || !(all & FW_C_TOKEN))
        return false;
    if (all & FW_C_PLAIN)
        return true;
    field->flags |= FW_FIELD_UNDERSCORE;
    return !(rules & FW_RULE_REFUSE_UNDERSCORE);
}

/* Offset of the lowest bit that is set. */
static inline size_t first_of(uint64_t bits)
{
    return (unsigned)__builtin_ctzll(bits);
}

/* Take field lines from buf[at..len) on, as long as each is plain: whole, printable ASCII, a token, a colon,
 * CR LF, within the limits. What stops it (the empty line, most times) is a matter for the exact way. Returns
 * where it stopped.                                                                   */
static inline size_t plain_lines(const char *buf, size_t at, size_t len, const struct fw_limits *limits,
                                 struct fw_head *head, uint32_t most)
{
    size_t longest = limits->field_size != 0 ? limits->field_size : SIZE_MAX;
    size_t roomy = len >= FW_NAME_ROW ? len - FW_NAME_ROW : 0; /* up to here a whole row may be read */
    struct fw_field *field = head->fields + head->count, *last = head->fields + most;
    struct fw_window window = {0, 0}; /* of buf[at..window_end), as far as there is so much */
    size_t window_end = at;
    while (field < last && at < len && buf[at] != '\r') {
        if (window.colon == 0) {
            window = fw_scan_window(buf + at, len - at, at);
            window_end = at + FW_WINDOW;
            if (FW_UNLIKELY(window.colon == 0))
                break;
        }
        size_t name_len = first_of(window.colon), pos = at;
        while (window.odd == 0 && window_end < len) { /* the line goes on behind the window */
            pos = window_end;
            window = fw_scan_window(buf + pos, len - pos, pos);
            window_end = pos + FW_WINDOW;
        }
        if (FW_UNLIKELY(window.odd == 0))
            break;
        size_t stop = pos + first_of(window.odd), next = stop + LINE_END_LEN;
        /* a name of no bytes, or a colon of the next line, makes the first difference the larger */
        if (FW_UNLIKELY(name_len - 1 >= stop - at || next > len || next - at > longest))
            break;
        if (FW_UNLIKELY(memcmp(buf + stop, "\r\n", LINE_END_LEN) != 0))
            break;

        const char *name = buf + at;
        field->flags = FW_FIELD_ASCII;
        field->id = (uint8_t)(FW_LIKELY(at <= roomy) ? fw_name_before_colon(name, name_len)
                                                     : fw_name_find(name, name_len));
        if (field->id == FW_N_OTHER && !other_name(name, name_len, limits->rules, field))
            break;
        field->name = fw_span_of(at, name_len);

        size_t start = at + name_len + 1, end = stop;
        while (buf[start] == ' ') /* the CR stops it */
            start++;
        while (end > start && buf[end - 1] == ' ')
            end--;
        field->value = fw_span_of(start, end - start);
        field++;

        at = next;
        if (FW_LIKELY(next < window_end)) {
            window.odd >>= next - pos;
            window.colon >>= next - pos;
        } else {
            window.colon = 0;
        }
    }
    head->count = (uint32_t)(field - head->fields);
    return at;
}

/* Why the line buf[0..stop), with what ended it behind it, is no field line. */
static enum fw_error bad_field(const char *buf, size_t stop)
{
    if (buf[stop] == '\r' || buf[stop] == '\n')
        return FW_E_LINE_END;
    return memchr(buf, ':', stop) != NULL ? FW_E_FIELD_VALUE : FW_E_FIELD_NAME;
}

/* Must this field stand by the letter, whatever the rules let others do? It frames or routes the request, or
 * says for a proxy who the client is (names with '_' are for proxies as well: SCRIPT_NAME): a proxy that does
 * not see such a field where it is spelt oddly would let a client's own through.                       */
static bool by_the_letter(const char *name, size_t len, enum fw_name id)
{
    if (id - 1u < FW_NAME_FRAMING)
        return id != FW_N_CONTENT_TYPE;
    return id == FW_N_FORWARDED || id == FW_N_X_REAL_IP || memchr(name, '_', len) != NULL ||
           fw_scan_same(name, smaller(len, 12), "x-forwarded-", 12);
}

/* The exact way: as fw_field_parse. */
static ssize_t field_line(const char *base, const char *buf, size_t len, size_t seen,
                          const struct fw_limits *limits, struct fw_field *field)
{
    size_t stop;
    bool ends = line_ends(buf, len, seen, &stop);
    if (limits->field_size != 0 && stop + LINE_END_LEN > limits->field_size)
        return -(ssize_t)FW_E_FIELD_TOO_LONG;
    if (!ends)
        return 0;
    if (buf[stop] != '\r' || buf[stop + 1] != '\n')
        return -(ssize_t)bad_field(buf, stop);

    const char *colon = memchr(buf, ':', stop);
    size_t start = colon != NULL ? (size_t)(colon - buf) + 1 : 1, name_len = start - 1;
    if (limits->rules & FW_RULE_STRIP_NAME)
        while (name_len > 0 && is_blank(buf[name_len - 1]))
            name_len--;
    field->flags = fw_scan_ascii(buf, stop) == stop ? FW_FIELD_ASCII : 0;
    field->id = (uint8_t)fw_name_find(buf, name_len);
    if (field->id == FW_N_OTHER && !other_name(buf, name_len, limits->rules, field))
        return field->flags & FW_FIELD_UNDERSCORE ? -(ssize_t)FW_E_FIELD_UNDERSCORE
                                                  : -(ssize_t)FW_E_FIELD_NAME;
    if (name_len + 1 < start && by_the_letter(buf, name_len, (enum fw_name)field->id))
        return -(ssize_t)FW_E_FIELD_NAME;

    size_t end = stop;
    while (start < end && is_blank(buf[start]))
        start++;
    while (end > start && is_blank(buf[end - 1]))
        end--;
    size_t at = (size_t)(buf - base);
    field->name = fw_span_of(at, name_len);
    field->value = fw_span_of(at + start, end - start);
    return (ssize_t)(stop + LINE_END_LEN);
}

/* Take buf[at..len), a line that begins with white space, for the rest of `field`, which stands right before
 * it. Returns its length with CR LF, 0, or -(enum fw_error).                                       */
static FW_COLD ssize_t folded_line(const char *buf, size_t at, size_t len, size_t seen,
                                   const struct fw_limits *limits, struct fw_field *field)
{
    size_t stop, before = at - field->name.off;
    if (by_the_letter(buf + field->name.off, field->name.len, (enum fw_name)field->id))
        return -(ssize_t)FW_E_FIELD_FOLDED;
    bool ends = line_ends(buf + at, len - at, seen, &stop);
    if (limits->field_size != 0 && before + stop + LINE_END_LEN > limits->field_size)
        return -(ssize_t)FW_E_FIELD_TOO_LONG;
    if (!ends)
        return 0;
    const char *line = buf + at;
    if (line[stop] != '\r' || line[stop + 1] != '\n')
        return -(ssize_t)(line[stop] == '\r' || line[stop] == '\n' ? FW_E_LINE_END : FW_E_FIELD_VALUE);
    size_t start = 0, end = stop;
    while (start < end && is_blank(line[start]))
        start++;
    while (end > start && is_blank(line[end - 1]))
        end--;
    if (start == end) /* nothing but white space: some take that for the end of the head */
        return -(ssize_t)FW_E_FIELD_FOLDED;
    if (fw_scan_ascii(line, stop) != stop)
        field->flags &= (uint8_t)~FW_FIELD_ASCII;
    if (field->value.len == 0) {
        field->value = fw_span_of(at + start, end - start);
    } else {
        field->value.len = (uint32_t)(at + end - field->value.off);
        field->flags |= FW_FIELD_FOLDED;
    }
    return (ssize_t)(stop + LINE_END_LEN);
}

ssize_t fw_field_parse(const char *base, const char *buf, size_t len, size_t seen,
                       const struct fw_limits *limits, struct fw_field *field)
{
    if (len == 0)
        return 0;
    if (is_blank(buf[0]))
        return -(ssize_t)FW_E_FIELD_FOLDED;
    return field_line(base, buf, len, seen, limits, field);
}

/* ---- the whole ---- */

/* Parse what is there of a head. Returns its length, 0, or -(enum fw_error). */
static ssize_t head_lines(const char *buf, size_t len, size_t seen, const struct fw_limits *limits,
                          struct fw_head *head)
{
    size_t at = head->done;
    if (at == 0) {
        if (len > 0 && buf[0] == '\r') {
            if (len == 1)
                return 0;
            if (buf[1] != '\n')
                return -(ssize_t)FW_E_REQUEST_LINE;
            at = 2;
        }
        ssize_t line = request_line(buf, at, len, seen > at ? seen - at : 0, limits, head);
        if (FW_UNLIKELY(line <= 0))
            return line;
        at += (size_t)line;
        head->done = (uint32_t)at;
    }

    uint32_t most = limits->fields < head->room ? limits->fields : head->room;
    for (;;) {
        if (FW_LIKELY(seen <= at))
            at = plain_lines(buf, at, len, limits, head, most);
        head->done = (uint32_t)at;
        if (at == len)
            return 0;
        if (FW_LIKELY(buf[at] == '\r')) {
            if (len - at < LINE_END_LEN)
                return 0;
            return buf[at + 1] == '\n' ? (ssize_t)(at + LINE_END_LEN) : -(ssize_t)FW_E_LINE_END;
        }
        if (is_blank(buf[at])) {
            if (!(limits->rules & FW_RULE_UNFOLD) || head->count == 0)
                return -(ssize_t)FW_E_FIELD_FOLDED;
            ssize_t fold =
                folded_line(buf, at, len, seen > at ? seen - at : 0, limits, &head->fields[head->count - 1]);
            if (fold <= 0)
                return fold;
            at += (size_t)fold;
            continue;
        }
        if (head->count == most)
            return -(ssize_t)FW_E_FIELDS_TOO_MANY;
        ssize_t line = field_line(buf, buf + at, len - at, seen > at ? seen - at : 0, limits,
                                  &head->fields[head->count]);
        if (line <= 0)
            return line;
        at += (size_t)line;
        head->count++;
    }
}

ssize_t fw_head_parse(const char *buf, size_t len, size_t seen, const struct fw_limits *limits,
                      struct fw_head *head)
{
    assert(seen <= len);
    if (seen == 0) {
        head->done = 0;
        head->count = 0;
    }
    /* bytes past the limit are not looked at, so that it does not matter how many have come */
    ssize_t result = head_lines(buf, smaller(len, limits->head), smaller(seen, limits->head), limits, head);
    return result == 0 && len > limits->head ? -(ssize_t)FW_E_HEAD_TOO_LONG : result;
}
