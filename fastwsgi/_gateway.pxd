from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from fastwsgi._environ cimport Environ, Reused
from fastwsgi._input cimport Input
from fastwsgi.c_server cimport FW_PULL_FAILED, fw_conn, fw_loop, fw_monitor, fw_player, fw_pull

cdef enum:
    # Slots for names of response headers: a power of two.
    NAME_SLOTS = 64
    # Lines of response heads that are remembered, a power of two, and the longest of them.
    LINE_SLOTS = 32
    LINE_MOST = 108

cdef struct Line:
    # What an application gave and what became of it. Both strings are held; `value` is NULL for a status.
    PyObject *name
    PyObject *value
    uint16_t status
    uint8_t len
    char text[LINE_MOST]

cdef class Gateway:
    cdef fw_loop *loop
    cdef fw_monitor *monitor
    cdef object application
    cdef object worker
    cdef object pre_request
    cdef object post_request
    cdef uint64_t nr
    cdef object log
    cdef Environ environ
    cdef bint access_log
    cdef bint sendfile
    cdef bint hooked
    cdef bint keep_head
    cdef bint warned_dropped
    cdef Exchange spare
    cdef PyObject *names[NAME_SLOTS]
    cdef uint8_t name_ids[NAME_SLOTS]
    cdef Line lines[LINE_SLOTS]

    cdef int name_id(self, name, const char **data, Py_ssize_t *len) except -1
    cdef void remember(self, Line *line, name, PyObject *value, const fw_conn *conn, size_t len) noexcept
    cdef int serve(self, fw_conn *conn, fw_player *player) except -1
    cdef int before(self, Exchange exchange, dict environ) except -1
    cdef int failed(self, Exchange exchange, error) except -1
    cdef int failed_after_handing(self, Exchange exchange, error) except -1
    cdef object response(self, const fw_conn *conn, status, headers)
    cdef int access(self, response, dict environ, uint64_t duration_ns) except -1
    cdef int after(self, Exchange exchange, dict environ) except -1

cdef class EarlyHints(Reused):
    cdef Exchange exchange

cdef class Exchange:
    cdef Gateway gateway
    cdef fw_conn *conn
    cdef fw_player *player
    cdef object bound_start
    cdef object bound_write
    cdef EarlyHints hints
    cdef object socket
    cdef object status
    cdef object headers
    cdef object request
    cdef Input body
    cdef bint half

    cdef int take_head(self, status, headers, exc_info) except -1
    cdef int take_status(self, status) except -1
    cdef int take_fields(self, list headers) except -1
    cdef int take_field(self, tuple field) except -1
    cdef int take_hints(self, headers) except -1
    cdef int send_hints(self, list headers) except -1
    cdef int add_socket(self, dict environ) except -1
    cdef int let_go(self) except -1
    cdef int dismiss(self, result) except -1
    cdef int begin(self, long long known) except -1
    cdef int put(self, bytes block) except -1
    cdef int respond(self, result) except -1
    cdef int respond_blocks(self, blocks) except -1
    cdef int respond_iterable(self, result) except -1
    cdef bint respond_file(self, FileWrapper wrapper) except -1
    cdef int wait_room(self) except -1
    cdef void wait_for_room(self) noexcept
    cdef bint is_away(self) noexcept
    cdef fw_pull wait_body(self) except? FW_PULL_FAILED
    cdef object body_failed(self)
    cdef void offer(self) noexcept
    cdef void reclaim(self) noexcept
    cdef void send_unless_quick(self) noexcept
    cdef int finish(self) except -1
    cdef int end(self) except -1

cdef class FileWrapper:
    cdef readonly object filelike
    cdef readonly Py_ssize_t blksize
    cdef object read
