/* fw_error: every reason for which a request is refused or a response given up, as one table.
 *
 * A row is: name, HTTP status (0: the connection is closed without an answer), text. The text goes
 * to the client and to the log; it never repeats a byte that the client sent.
 *
 * Functions of the core return -(enum fw_error) where they return a length.                 */
#ifndef FW_ERROR_H
#define FW_ERROR_H

/* clang-format off */
#define FW_ERRORS(X)                                                                             \
    /* request line: RFC 9112 section 3 */                                                       \
    X(REQUEST_LINE,        400, "request line is not 'method SP target SP version'")             \
    X(NOT_HTTP,            400, "this is not HTTP")                                              \
    X(METHOD,              400, "method is not an acceptable token")                             \
    X(TARGET,              400, "request target has a byte outside 0x21-0x7E or no valid form")  \
    X(TARGET_FORM,         400, "this form of request target does not go with this method")      \
    X(VERSION,             505, "only HTTP/1.0 and HTTP/1.1 are served")                         \
    X(LINE_TOO_LONG,       414, "request line is longer than the limit")                         \
    /* header fields: RFC 9112 section 5 */                                                      \
    X(FIELD_NAME,          400, "field name is not a token directly followed by a colon")        \
    X(FIELD_VALUE,         400, "field value has a control character")                           \
    X(FIELD_FOLDED,        400, "folded field lines are obsolete and refused")                   \
    X(LINE_END,            400, "line does not end in CR LF")                                    \
    X(FIELD_TOO_LONG,      431, "a field line is longer than the limit")                         \
    X(FIELDS_TOO_MANY,     431, "more field lines than the limit")                               \
    X(HEAD_TOO_LONG,       431, "request head is longer than the limit")                         \
    X(HOST_MISSING,        400, "an HTTP/1.1 request needs a Host field")                        \
    X(HOST_REPEATED,       400, "more than one Host field")                                      \
    X(HOST_INVALID,        400, "Host is not a valid host and port")                             \
    X(FIELD_REPEATED,      400, "a field that may stand once stands twice")                      \
    X(FIELD_UNDERSCORE,    400, "field name has an underscore")                                  \
    /* proxies */                                                                                \
    X(SCHEME_MIXED,        400, "fields of the proxy contradict each other on the scheme")       \
    X(NOT_MOUNTED,         500, "the path is not below SCRIPT_NAME")                             \
    X(PROXY_HEADER,        400, "header of the PROXY protocol is malformed")                     \
    X(PROXY_FORBIDDEN,     403, "this peer may not use the PROXY protocol")                      \
    /* framing: RFC 9112 section 6 */                                                            \
    X(LENGTH_INVALID,      400, "Content-Length is not a plain decimal number")                  \
    X(LENGTH_REPEATED,     400, "more than one Content-Length")                                  \
    X(LENGTH_AND_CODING,   400, "Content-Length together with Transfer-Encoding")                \
    X(CODING_UNKNOWN,      501, "transfer coding is not implemented")                            \
    X(CODING_NOT_LAST,     400, "chunked is not the only and last transfer coding")              \
    X(CODING_ON_1_0,       400, "Transfer-Encoding on HTTP/1.0")                                 \
    X(EXPECT_UNKNOWN,      417, "only 'Expect: 100-continue' can be met")                        \
    X(BODY_TOO_LONG,       413, "request body is longer than the limit")                         \
    /* chunked bodies: RFC 9112 section 7.1 */                                                   \
    X(CHUNK_SIZE,          400, "chunk size is not a hexadecimal number")                        \
    X(CHUNK_TOO_LONG,      400, "chunk size overflows")                                          \
    X(CHUNK_EXTENSION,     400, "chunk extension is malformed")                                  \
    X(CHUNK_LINE_TOO_LONG, 400, "chunk size line is longer than the limit")                      \
    X(CHUNK_END,           400, "chunk data is not followed by CR LF")                           \
    X(TRAILER_FORBIDDEN,   400, "a field that must not stand in a trailer")                      \
    X(TRAILER_TOO_LONG,    431, "trailer section is longer than the limit")                      \
    /* time: the client was too slow */                                                          \
    X(HEAD_TIMEOUT,        408, "request head did not arrive in time")                           \
    X(BODY_TIMEOUT,        408, "request body did not arrive in time")                           \
    X(BODY_RATE,           408, "request body came more slowly than the minimum rate")           \
    X(WRITE_TIMEOUT,         0, "client did not take the response in time")                      \
    X(WRITE_RATE,            0, "client took the response more slowly than the minimum rate")    \
    X(IDLE_TIMEOUT,          0, "keep-alive time is over")                                       \
    /* the peer went away, or the machine gave out */                                            \
    X(PEER_CLOSED,           0, "client closed the connection in mid-request")                   \
    X(PEER_RESET,            0, "client reset the connection")                                   \
    X(STOPPING,              0, "server is stopping")                                            \
    X(NO_MEMORY,           503, "out of memory")                                                 \
    X(NO_SPACE,            507, "no space for the request body")                                 \
    X(FILE_SHORT,            0, "file has become shorter than was promised, or cannot be read")  \
    /* responses: what the application handed over */                                            \
    X(APP_STATUS,          500, "status is not 'ddd reason' in printable latin-1")               \
    X(APP_NAME,            500, "header name is not a token")                                    \
    X(APP_VALUE,           500, "header value has a control character")                          \
    X(APP_LENGTH,          500, "Content-Length is not one plain decimal number")                \
    X(APP_FAILED,          500, "application failed")                                            \
    X(APP_TIMEOUT,         504, "application did not answer in time")
/* clang-format on */

enum fw_error {
    FW_OK = 0,
#define X(name, status, text) FW_E_##name,
    FW_ERRORS(X)
#undef X
        FW_ERROR_COUNT
};

/* HTTP status of `error`; 0 where no answer is owed. */
int fw_error_status(enum fw_error error);

/* One English sentence without a full stop. */
const char *fw_error_text(enum fw_error error);

/* The row's name, such as "CHUNK_SIZE". */
const char *fw_error_name(enum fw_error error);

/* Standard reason phrase of a status code (RFC 9110 section 15), "" for one without a name. */
const char *fw_error_reason(int status);

#endif
