# csrc/: what the gateway and the loop of a worker use of the core. Each declaration mirrors its header.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from posix.types cimport off_t

from fastwsgi.c_board cimport fw_board, fw_slot

cdef extern from "fw_base.h" nogil:
    struct fw_span:
        uint32_t off
        uint32_t len

cdef extern from "fw_error.h" nogil:
    enum fw_error:
        FW_OK
        FW_E_APP_STATUS
        FW_E_APP_NAME
        FW_E_APP_VALUE
        FW_E_APP_LENGTH
        FW_E_NOT_MOUNTED
        FW_E_APP_FAILED
        FW_E_APP_TIMEOUT
        FW_E_NO_MEMORY
        FW_E_PEER_CLOSED
        FW_E_STOPPING
        FW_E_BODY_TIMEOUT
        FW_E_BODY_RATE
        FW_E_PEER_RESET
        FW_E_WRITE_TIMEOUT
        FW_E_WRITE_RATE
        FW_E_LINE_TOO_LONG
        FW_E_FIELD_TOO_LONG
        FW_E_FIELDS_TOO_MANY
        FW_E_BODY_TOO_LONG
        FW_E_NO_SPACE
        FW_E_FILE_SHORT

    int fw_error_status(fw_error error)
    const char *fw_error_text(fw_error error)
    const char *fw_error_reason(int status)
    const char *fw_error_name(fw_error error)

cdef extern from "fw_scan.h" nogil:
    size_t fw_scan_unquote(const char *buf, size_t len, char *out)

cdef extern from "fw_addr.h" nogil:
    enum:
        FW_ADDR_TEXT
        FW_PORT_TEXT

    struct fw_addr:
        uint8_t family

    struct fw_network:
        uint8_t family

    struct fw_networks:
        const fw_network *each
        uint32_t count
        bint all

    size_t fw_addr_text(const fw_addr *addr, char *out)
    size_t fw_addr_port_text(uint16_t port, char *out)

cdef extern from "fw_name.h" nogil:
    enum fw_name:
        FW_N_OTHER
        FW_N_HOST
        FW_N_CONTENT_LENGTH
        FW_N_CONTENT_TYPE
        FW_N_COOKIE
        FW_N_AUTHORIZATION
        FW_N_PROXY_AUTHORIZATION
        FW_N_X_FORWARDED_FOR
        FW_N_FORWARDED
        FW_N_SET_COOKIE
        FW_N_LOCATION
        FW_N_WWW_AUTHENTICATE
        FW_NAME_COUNT

    enum fw_method:
        FW_M_OTHER
        FW_M_GET
        FW_METHOD_COUNT

    const char *fw_name_text(fw_name name, size_t *len)
    const char *fw_method_text(fw_method method)
    size_t fw_name_cgi(const char *buf, size_t len, char *out)

cdef extern from "fw_head.h" nogil:
    struct fw_limits:
        uint32_t line
        uint32_t fields
        uint32_t field_size
        uint32_t head
        uint64_t body
        uint32_t rules

    enum fw_rule:
        FW_RULE_ANY_METHOD
        FW_RULE_UNFOLD
        FW_RULE_STRIP_NAME
        FW_RULE_ANY_VERSION
        FW_RULE_FOLD_CASE

    fw_limits fw_limits_default()

    enum fw_field_flag:
        FW_FIELD_ASCII
        FW_FIELD_UNDERSCORE
        FW_FIELD_HIDDEN

    struct fw_field:
        fw_span name
        fw_span value
        uint8_t id
        uint8_t flags

    enum fw_form:
        FW_FORM_ORIGIN
        FW_FORM_ABSOLUTE

    struct fw_head:
        fw_span method
        fw_span target
        fw_span path
        fw_span query
        uint8_t method_id
        uint8_t minor
        uint8_t form
        bint path_escaped
        uint32_t count
        uint32_t room
        fw_field *fields

cdef extern from "fw_framing.h" nogil:
    enum fw_body_kind:
        FW_BODY_NONE
        FW_BODY_LENGTH
        FW_BODY_CHUNKED

    struct fw_framing:
        fw_span host
        uint8_t kind
        bint upgrade

cdef extern from "fw_parser.h" nogil:
    struct fw_parser:
        fw_head head
        fw_framing framing

cdef extern from "fw_proxy.h" nogil:
    enum fw_proxy_mode:
        FW_PROXY_OFF
        FW_PROXY_V1
        FW_PROXY_V2
        FW_PROXY_AUTO

    enum fw_proxy_kind:
        FW_PROXY_NONE

    struct fw_proxy:
        uint8_t kind
        uint16_t proxy_port
        fw_addr proxy

    const char *fw_proxy_name(fw_proxy_kind kind)

cdef extern from "fw_forwarded.h" nogil:
    enum fw_underscore:
        FW_UNDERSCORE_DROP
        FW_UNDERSCORE_REFUSE
        FW_UNDERSCORE_DANGEROUS

    struct fw_forwarded_table:
        const char *rows
        size_t len

    struct fw_forwarded_rules:
        fw_networks proxies
        fw_forwarded_table schemes
        fw_forwarded_table names
        bint all_names
        uint8_t underscore
        uint8_t client
        uint8_t hops

cdef extern from "fw_clock.h" nogil:
    uint64_t fw_clock_ns()

cdef extern from "fw_buf.h" nogil:
    struct fw_buf:
        char *data
        size_t len

    struct fw_pool:
        pass

    size_t fw_buf_live(const fw_buf *buf)

cdef extern from "fw_resp.h" nogil:
    enum fw_resp_stage:
        FW_RESP_NONE
        FW_RESP_HEAD
        FW_RESP_BODY
        FW_RESP_DONE

    enum fw_resp_framing:
        FW_RESP_EMPTY
        FW_RESP_LENGTH

    struct fw_resp:
        uint8_t stage
        uint8_t framing
        bint has_length
        bint keep_alive
        bint dropped
        uint16_t status
        size_t head_len
        uint64_t length
        uint64_t sent
        uint64_t offered

    fw_error fw_resp_status(fw_resp *resp, fw_buf *out, fw_pool *pool, const char *status, size_t len)
    int fw_resp_name(const char *name, size_t len)
    fw_error fw_resp_named_field(fw_resp *resp, fw_buf *out, fw_pool *pool, fw_name id, const char *name,
                                 size_t name_len, const char *value, size_t value_len)
    bint fw_resp_repeats(fw_name id)
    fw_error fw_resp_status_again(fw_resp *resp, fw_buf *out, fw_pool *pool, const char *line, size_t len,
                                  uint16_t status)
    fw_error fw_resp_field_again(fw_resp *resp, fw_buf *out, fw_pool *pool, const char *line, size_t len)
    void fw_resp_discard(fw_resp *resp, fw_buf *out)
    fw_error fw_resp_finish(fw_resp *resp, fw_buf *out, fw_pool *pool)
    bint fw_resp_is_short(const fw_resp *resp)

cdef extern from "fw_sink.h" nogil:
    enum:
        FW_SINK_WAIT_MS

    struct fw_sink:
        int problem
        uint64_t lost
        bint stuck

    void fw_sink_flush(fw_sink *sink, int wait_ms)

cdef extern from "fw_access.h" nogil:
    enum fw_access_result:
        FW_ACCESS_OK
        FW_ACCESS_PYTHON
        FW_ACCESS_NO_MEMORY

    struct fw_access:
        fw_sink sink

    fw_access_result fw_access_init(fw_access *access, const char *format, size_t len, int fd, const char *mount,
                                    size_t mount_len)
    void fw_access_drop(fw_access *access)

cdef extern from "fw_conn.h" nogil:
    struct fw_timeouts:
        uint32_t head_ms
        uint32_t body_ms
        uint32_t keepalive_ms
        uint32_t write_ms
        uint32_t linger_ms
        uint32_t body_rate
        uint32_t write_rate

    struct fw_refusal:
        uint8_t error
        uint8_t addr_len
        uint16_t port
        uint16_t line_len
        char *addr
        char *line

    struct fw_refusals:
        uint32_t count
        uint32_t missed
        fw_refusal *each

    struct fw_conn_env:
        fw_limits limits
        const char *tmpdir
        int tmp_errno
        const char *server
        size_t server_len
        fw_pool blocks
        fw_refusals refusals

    enum fw_client_trait:
        FW_CLIENT_ADDR
        FW_CLIENT_PORT
        FW_CLIENT_PROXY
        FW_CLIENT_HTTPS
        FW_CLIENT_SCRIPT
        FW_CLIENT_HIDDEN

    struct fw_conn:
        fw_conn_env *env
        int fd
        uint16_t listener
        uint16_t port
        uint8_t addr_len
        uint8_t port_len
        char *addr
        char *port_text
        bint local
        uint8_t traits
        uint32_t script
        fw_proxy proxy
        uint8_t error
        bint blocked
        bint handed
        fw_buf out
        fw_parser parser
        uint64_t body_len
        uint8_t body_error
        fw_resp resp

    const char *fw_conn_request(const fw_conn *conn)
    size_t fw_conn_body_read(const fw_conn *conn, uint64_t off, char *out, size_t len)
    size_t fw_conn_body_line(const fw_conn *conn, uint64_t off, size_t most)
    bint fw_conn_body_is_early(const fw_conn *conn)

    enum fw_pull:
        FW_PULL_GOT
        FW_PULL_END
        FW_PULL_WAIT
        FW_PULL_FAILED

    fw_pull fw_conn_body_pull(fw_conn *conn)
    fw_error fw_conn_begin(fw_conn *conn, int64_t known)
    fw_error fw_conn_write(fw_conn *conn, const char *block, size_t len)
    fw_error fw_conn_push(fw_conn *conn)
    fw_error fw_conn_sendfile(fw_conn *conn, int fd, off_t off, uint64_t len)
    struct fw_interim:
        fw_resp resp
        fw_buf buf

    enum:
        FW_CONN_HANDED_STATUS

    fw_error fw_conn_interim_begin(fw_conn *conn, fw_interim *interim, const char *status, size_t len)
    fw_error fw_conn_interim_send(fw_conn *conn, fw_interim *interim)
    void fw_conn_interim_drop(fw_conn *conn, fw_interim *interim)
    fw_error fw_conn_drain(fw_conn *conn)
    fw_span fw_conn_behind(const fw_conn *conn)
    bint fw_conn_full(const fw_conn *conn)
    bint fw_conn_waits(const fw_conn *conn)
    void fw_conn_answered(fw_conn *conn)
    void fw_conn_cut(fw_conn *conn, fw_error error)
    void fw_conn_refuse(fw_conn *conn, fw_error error)

cdef extern from "fw_share.h" nogil:
    struct fw_share_page:
        uint32_t magic

    struct fw_share:
        const fw_board *board
        const fw_slot *slot
        const fw_share_page *page
        uint32_t side
        int send
        int receive

cdef extern from "fw_loop.h" nogil:
    enum fw_stop:
        FW_STOP_NO
        FW_STOP_RECYCLE
        FW_STOP_GRACEFUL
        FW_STOP_NOW

    struct fw_paths:
        const char *rows
        size_t len

    struct fw_loop_config:
        fw_limits limits
        fw_timeouts timeouts
        bint body_early
        fw_paths early_paths
        size_t body_memory
        size_t queue_mark
        uint32_t connections
        uint32_t grace_ms
        uint32_t leave_idle_ms
        uint64_t max_requests
        bint own_listeners
        const char *tmpdir
        const char *server
        fw_slot *slot
        fw_access *access
        fw_share share
        fw_forwarded_rules forwarded
        fw_networks proxy_peers
        uint8_t proxy_mode

    struct fw_loop:
        fw_conn_env env
        int wake_write
        int stop
        int accept_errno
        bint leaving
        bint crowded
        fw_loop_config config
        bint quick
        uint64_t requests

    bint fw_loop_init(fw_loop *loop, const fw_loop_config *config)
    void fw_loop_drop(fw_loop *loop)
    bint fw_loop_add_listener(fw_loop *loop, int fd, bint local)
    bint fw_loop_watch(fw_loop *loop, int fd)
    void fw_loop_step(fw_loop *loop)
    fw_conn *fw_loop_take(fw_loop *loop)
    void fw_loop_give(fw_loop *loop, fw_conn *conn)
    fw_conn *fw_loop_waiting(const fw_loop *loop)
    bint fw_loop_lines_wait(const fw_loop *loop)
    void fw_loop_send(fw_loop *loop)
    fw_pull fw_loop_wait_body(fw_loop *loop, fw_conn *conn)
    bint fw_loop_wait_room(fw_loop *loop, fw_conn *conn)
    int fw_loop_hand_over(fw_loop *loop, fw_conn *conn)
    void fw_loop_stop(fw_loop *loop, int how)
    void fw_loop_wake(fw_loop *loop)
    bint fw_loop_done(const fw_loop *loop)

cdef extern from "fw_baton.h" nogil:
    struct fw_player:
        fw_conn *conn
        bint away
        bint told

    struct fw_baton:
        fw_player *players
        uint32_t count

    bint fw_baton_join(fw_baton *baton, fw_player *me)
    void fw_baton_step(fw_baton *baton)
    void fw_baton_last(fw_baton *baton)
    bint fw_baton_should_pass(const fw_baton *baton)
    bint fw_baton_pass(fw_baton *baton, fw_player *me, fw_conn *conn)
    bint fw_baton_return(fw_baton *baton, fw_player *me)
    void fw_baton_end(fw_baton *baton)
    bint fw_player_wait_room(fw_baton *baton, fw_player *me)
    fw_pull fw_player_wait_body(fw_baton *baton, fw_player *me)
    void fw_player_refresh(fw_baton *baton, fw_player *me)
    void fw_player_answered(fw_player *me, fw_conn *conn)
    void fw_player_cut(fw_player *me, fw_conn *conn, fw_error error)
    void fw_player_refuse(fw_player *me, fw_conn *conn, fw_error error)
    void fw_player_take_back(fw_player *me, fw_conn *conn, int fd)

cdef extern from "fw_monitor.h" nogil:
    struct fw_monitor:
        fw_baton baton

    bint fw_monitor_init(fw_monitor *monitor, fw_loop *loop, uint32_t players)
    void fw_monitor_drop(fw_monitor *monitor)
    void fw_monitor_offer(fw_monitor *monitor, fw_player *me, fw_conn *conn)
    bint fw_monitor_holds(const fw_monitor *monitor, const fw_player *me)
    bint fw_monitor_reclaim(fw_monitor *monitor, fw_player *me)

cdef extern from "fw_abort.h" nogil:
    struct fw_abort:
        pass

    bint fw_abort_arm(fw_abort *on_abort, fw_monitor *monitor, const char *server, size_t server_len)
    void fw_abort_disarm(fw_abort *on_abort)
    void fw_abort_lend(fw_player *me, fw_conn *conn)
    void fw_abort_back(fw_player *me)
    void fw_abort_over(fw_player *me, fw_loop *loop)
