from libc.stdint cimport uint64_t

from fastwsgi._environ cimport Environ
from fastwsgi._exchange cimport Exchange
from fastwsgi._observers cimport Observers
from fastwsgi._response_head cimport HeadWriter
from fastwsgi._shapes cimport Shapes
from fastwsgi.c_server cimport fw_conn, fw_loop, fw_monitor, fw_player

cdef class Gateway:
    cdef fw_loop *loop
    cdef fw_monitor *monitor
    cdef object application
    cdef object log
    cdef Environ environ
    cdef Shapes shapes
    cdef Observers observers
    cdef HeadWriter heads
    cdef uint64_t nr
    cdef bint sendfile
    cdef bint warned_dropped
    cdef Exchange spare

    cdef Exchange make_exchange(self)
    cdef int serve(self, fw_conn *conn, fw_player *player) except -1
    cdef int failed(self, Exchange exchange, error) except -1
    cdef int failed_after_handing(self, Exchange exchange, error) except -1
