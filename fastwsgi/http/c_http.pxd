# What the parser library uses of the core: csrc/fw_scan.h, fw_name.h, fw_head.h, fw_framing.h, fw_parser.h,
# fw_error.h. fastwsgi.c_server has the same for the server; neither imports the other.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "fw_base.h" nogil:
    struct fw_span:
        uint32_t off
        uint32_t len

cdef extern from "fw_error.h" nogil:
    enum fw_error:
        FW_E_METHOD
        FW_E_TARGET
        FW_E_TARGET_FORM
        FW_E_PEER_CLOSED
        FW_E_FIELDS_TOO_MANY

    int fw_error_status(fw_error error)
    const char *fw_error_text(fw_error error)
    const char *fw_error_name(fw_error error)

cdef extern from "fw_scan.h" nogil:
    bint fw_scan_same(const char *buf, size_t len, const char *lower, size_t lower_len)
    size_t fw_scan_target(const char *buf, size_t len)

cdef extern from "fw_name.h" nogil:
    enum:
        FW_NAME_COUNT
        FW_METHOD_COUNT
        FW_N_OTHER
        FW_M_OTHER
        FW_M_CONNECT

    ctypedef int fw_name "enum fw_name"
    ctypedef int fw_method "enum fw_method"

    fw_name fw_name_find(const char *buf, size_t len)
    const char *fw_name_text(fw_name name, size_t *len)
    const char *fw_method_text(fw_method method)
    void fw_name_lower(const char *buf, size_t len, char *out)

cdef extern from "fw_head.h" nogil:
    struct fw_limits:
        uint32_t line
        uint32_t fields
        uint32_t field_size
        uint32_t head
        uint32_t chunk_line
        uint32_t trailer
        uint64_t body
        uint32_t rules

    enum:
        FW_RULE_ANY_METHOD
        FW_RULE_REFUSE_UNDERSCORE

    fw_limits fw_limits_default()

    struct fw_field:
        fw_span name
        fw_span value
        uint8_t id
        uint8_t flags

    struct fw_head:
        fw_span method
        fw_span target
        fw_span path
        fw_span query
        fw_span authority
        uint8_t method_id
        uint8_t minor
        uint8_t form
        uint32_t done
        uint32_t count
        uint32_t room
        fw_field *fields

    bint fw_head_host_valid(const char *buf, size_t len, bint port_needed)

cdef extern from "fw_framing.h" nogil:
    enum:
        FW_BODY_NONE
        FW_BODY_LENGTH
        FW_BODY_CHUNKED

    struct fw_framing:
        uint64_t length
        fw_span host
        uint8_t kind
        bint keep_alive
        bint expect_continue
        bint upgrade

cdef extern from "fw_body.h" nogil:
    enum:
        FW_BODY_S_DATA
        FW_BODY_S_DATA_END
        FW_BODY_S_TRAILER
        FW_BODY_S_END

    struct fw_body:
        uint8_t kind
        uint8_t state

cdef extern from "fw_parser.h" nogil:
    enum:
        FW_PARSER_HEAD
        FW_PARSER_BODY

    struct fw_parser:
        fw_head head
        fw_framing framing
        fw_body body
        uint8_t state
        uint8_t error

    enum fw_parser_event:
        FW_PARSER_MORE
        FW_PARSER_GOT_HEAD
        FW_PARSER_GOT_DATA
        FW_PARSER_GOT_FIELD
        FW_PARSER_GOT_END
        FW_PARSER_FAIL

    void fw_parser_reset(fw_parser *parser, fw_field *fields, uint32_t room)
    void fw_parser_widen(fw_parser *parser, fw_field *fields, uint32_t room)
    fw_parser_event fw_parser_step(fw_parser *parser, const char *buf, size_t len, const fw_limits *limits,
                                   size_t *used, fw_span *data, fw_field *field)
