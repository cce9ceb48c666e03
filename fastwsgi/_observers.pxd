from libc.stdint cimport uint64_t

from fastwsgi._exchange cimport Exchange
from fastwsgi.c_server cimport fw_conn

cdef class Observers:
    cdef readonly bint access_log
    cdef readonly bint keep_head
    cdef object log
    cdef object worker
    cdef object pre_request
    cdef object post_request

    cdef int before(self, Exchange exchange, dict environ) except -1
    cdef int after(self, Exchange exchange, dict environ, uint64_t began) except -1
    cdef int answered(self, Exchange exchange, dict environ, uint64_t duration_ns) except -1
    cdef int call_post_request(self, Exchange exchange, dict environ) except -1
    cdef object response(self, const fw_conn *conn, status, headers)
    cdef int access(self, response, dict environ, uint64_t duration_ns) except -1
