from fastwsgi._file_wrapper cimport FileWrapper
from fastwsgi._input cimport Input
from fastwsgi._response_head cimport HeadWriter
from fastwsgi._shapes cimport Reused
from fastwsgi.c_server cimport FW_PULL_FAILED, fw_conn, fw_loop, fw_monitor, fw_player, fw_pull

cdef class Exchange:
    # the worker's, set when it is made
    cdef fw_loop *loop
    cdef fw_monitor *monitor
    cdef HeadWriter heads
    cdef object log
    cdef bint sendfile
    cdef bint keep_head
    # what applications call
    cdef object bound_start
    cdef object bound_write
    cdef Reused hints
    # the request's
    cdef fw_conn *conn
    cdef fw_player *player
    cdef object status
    cdef object headers
    cdef object request
    cdef Input body
    cdef object upgrade
    cdef bint half

    cdef int take_head(self, status, headers, exc_info) except -1
    cdef int begin(self, long long known) except -1
    cdef int put(self, bytes block) except -1
    cdef int respond(self, result) except -1
    cdef int respond_blocks(self, blocks) except -1
    cdef int respond_iterable(self, result) except -1
    cdef bint respond_file(self, FileWrapper wrapper) except -1
    cdef int dismiss(self, result) except -1
    cdef int finish(self) except -1
    cdef int end(self) except -1
    cdef void offer(self) noexcept
    cdef void reclaim(self) noexcept
    cdef void send_unless_quick(self) noexcept
    cdef bint is_away(self) noexcept
    cdef int wait_room(self) except -1
    cdef void wait_for_room(self) noexcept
    cdef fw_pull wait_body(self) except? FW_PULL_FAILED
    cdef object body_failed(self)
