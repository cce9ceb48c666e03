from libc.stdint cimport uint64_t

from fastwsgi._observers cimport Observers
from fastwsgi.c_board cimport fw_slot
from fastwsgi.c_server cimport fw_error, fw_loop, fw_sink

cdef class LoopNotices:
    # the loop's
    cdef fw_loop *loop
    cdef fw_sink *sink
    cdef fw_slot *slot
    cdef Observers observers
    cdef object log
    # told already
    cdef uint64_t lost_lines
    cdef object lost_at
    cdef object resting_at
    cdef object crowded_at

    cdef int lines_lost(self, bint last) except -1
    cdef int rests(self) except -1
    cdef int crowded(self) except -1
    cdef int refusals(self) except -1
    cdef str setting_of(self, fw_error error)
