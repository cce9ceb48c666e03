from libc.stdint cimport uint64_t

from fastwsgi.c_server cimport fw_conn

cdef class Input:
    cdef fw_conn *conn
    cdef uint64_t pos
    cdef uint64_t length
    cdef object pull

    cdef bytes take(self, uint64_t len)

cdef class EarlyInput(Input):
    cdef bint more(self) except -1
    cdef bytes take_some(self, uint64_t most)
