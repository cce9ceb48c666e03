from fastwsgi._exchange cimport Exchange
from fastwsgi._shapes cimport Reused

cdef class EarlyHints(Reused):
    cdef Exchange exchange

    cdef int send(self, list headers) except -1
