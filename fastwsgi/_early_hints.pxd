from fastwsgi._environ cimport Reused
from fastwsgi._exchange cimport Exchange

cdef class EarlyHints(Reused):
    cdef Exchange exchange

    cdef int send(self, list headers) except -1
