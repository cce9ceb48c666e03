/* fw_name: known header field names and methods <-> small ids.
 *
 * A known name is found by a perfect hash and one comparison; what it means is then a switch over an
 * id, and a table indexed by it on the Python side. Unknown names are 0.                     */
#ifndef FW_NAME_H
#define FW_NAME_H

#include "fw_base.h"

/* clang-format off */
/* X(identifier, "lower-case name"), most common names of requests and responses. Those that fw_framing looks at
 * come first, so that it passes over all others by one comparison.                              */
#define FW_NAMES(X)                                                                              \
    X(HOST, "host")                                                                              \
    X(CONNECTION, "connection")                                                                  \
    X(CONTENT_LENGTH, "content-length")                                                          \
    X(CONTENT_TYPE, "content-type")                                                              \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                    \
    X(EXPECT, "expect")                                                                          \
    X(UPGRADE, "upgrade")                                                                        \
    X(COOKIE, "cookie")                                                                          \
    X(USER_AGENT, "user-agent")                                                                  \
    X(ACCEPT, "accept")                                                                          \
    X(ACCEPT_ENCODING, "accept-encoding")                                                        \
    X(ACCEPT_LANGUAGE, "accept-language")                                                        \
    X(ACCEPT_CHARSET, "accept-charset")                                                          \
    X(REFERER, "referer")                                                                        \
    X(ORIGIN, "origin")                                                                          \
    X(AUTHORIZATION, "authorization")                                                            \
    X(CACHE_CONTROL, "cache-control")                                                            \
    X(PRAGMA, "pragma")                                                                          \
    X(RANGE, "range")                                                                            \
    X(IF_RANGE, "if-range")                                                                      \
    X(IF_MATCH, "if-match")                                                                      \
    X(IF_NONE_MATCH, "if-none-match")                                                            \
    X(IF_MODIFIED_SINCE, "if-modified-since")                                                    \
    X(IF_UNMODIFIED_SINCE, "if-unmodified-since")                                                \
    X(DNT, "dnt")                                                                                \
    X(SEC_GPC, "sec-gpc")                                                                        \
    X(PRIORITY, "priority")                                                                      \
    X(UPGRADE_INSECURE_REQUESTS, "upgrade-insecure-requests")                                    \
    X(SEC_FETCH_SITE, "sec-fetch-site")                                                          \
    X(SEC_FETCH_MODE, "sec-fetch-mode")                                                          \
    X(SEC_FETCH_USER, "sec-fetch-user")                                                          \
    X(SEC_FETCH_DEST, "sec-fetch-dest")                                                          \
    X(SEC_CH_UA, "sec-ch-ua")                                                                    \
    X(SEC_CH_UA_MOBILE, "sec-ch-ua-mobile")                                                      \
    X(SEC_CH_UA_PLATFORM, "sec-ch-ua-platform")                                                  \
    X(SEC_WEBSOCKET_KEY, "sec-websocket-key")                                                    \
    X(SEC_WEBSOCKET_VERSION, "sec-websocket-version")                                            \
    X(SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol")                                          \
    X(SEC_WEBSOCKET_EXTENSIONS, "sec-websocket-extensions")                                      \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                                        \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                    \
    X(X_FORWARDED_HOST, "x-forwarded-host")                                                      \
    X(X_FORWARDED_PORT, "x-forwarded-port")                                                      \
    X(X_FORWARDED_SSL, "x-forwarded-ssl")                                                        \
    X(X_REAL_IP, "x-real-ip")                                                                    \
    X(X_REQUEST_ID, "x-request-id")                                                              \
    X(X_REQUESTED_WITH, "x-requested-with")                                                      \
    X(X_CSRFTOKEN, "x-csrftoken")                                                                \
    X(X_CSRF_TOKEN, "x-csrf-token")                                                              \
    X(X_API_KEY, "x-api-key")                                                                    \
    X(X_AMZN_TRACE_ID, "x-amzn-trace-id")                                                        \
    X(FORWARDED, "forwarded")                                                                    \
    X(VIA, "via")                                                                                \
    X(TRACEPARENT, "traceparent")                                                                \
    X(TRACESTATE, "tracestate")                                                                  \
    X(KEEP_ALIVE, "keep-alive")                                                                  \
    X(PROXY_CONNECTION, "proxy-connection")                                                      \
    X(PROXY_AUTHENTICATE, "proxy-authenticate")                                                  \
    X(PROXY_AUTHORIZATION, "proxy-authorization")                                                \
    X(TE, "te")                                                                                  \
    X(TRAILER, "trailer")                                                                        \
    X(TRAILERS, "trailers")                                                                      \
    X(DATE, "date")                                                                              \
    X(SERVER, "server")                                                                          \
    X(CONTENT_ENCODING, "content-encoding")                                                      \
    X(CONTENT_RANGE, "content-range")                                                            \
    X(CONTENT_DISPOSITION, "content-disposition")                                                \
    X(SET_COOKIE, "set-cookie")                                                                  \
    X(LOCATION, "location")                                                                      \
    X(VARY, "vary")                                                                              \
    X(ETAG, "etag")                                                                              \
    X(LAST_MODIFIED, "last-modified")                                                            \
    X(MAX_FORWARDS, "max-forwards")                                                              \
    X(WWW_AUTHENTICATE, "www-authenticate")

#define FW_METHODS(X)                                                                            \
    X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(PATCH) X(OPTIONS) X(CONNECT) X(TRACE)
/* clang-format on */

enum fw_name {
    FW_N_OTHER = 0,
#define X(name, text) FW_N_##name,
    FW_NAMES(X)
#undef X
        FW_NAME_COUNT,
    FW_NAME_FRAMING = FW_N_UPGRADE, /* the last of those */
};

enum fw_method {
    FW_M_OTHER = 0,
#define X(name) FW_M_##name,
    FW_METHODS(X)
#undef X
        FW_METHOD_COUNT
};

/* Id of the field name buf[0..len), which in any case of letters. Exact: no byte but a letter is
 * folded, so a name that is found is a token.                                              */
enum fw_name fw_name_find(const char *buf, size_t len);

/* Lower-case text of a known name ("" for FW_N_OTHER) and its length. */
const char *fw_name_text(enum fw_name name, size_t *len);

/* Id of a method; methods are case-sensitive (RFC 9110 section 9.1). */
enum fw_method fw_method_find(const char *buf, size_t len);
const char *fw_method_text(enum fw_method method);

/* Write buf[0..len) with its letters in lower case. `out` has room for len bytes. */
void fw_name_lower(const char *buf, size_t len, char *out);

/* Write the CGI form of a field name (RFC 3875 section 4.1.18): "HTTP_", upper case, '-' as '_'.
 * `out` has room for len + 5 bytes. Returns len + 5.                                        */
size_t fw_name_cgi(const char *buf, size_t len, char *out);

#endif
