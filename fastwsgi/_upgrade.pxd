from fastwsgi._exchange cimport Exchange

cdef class Upgrade:
    cdef Exchange exchange
    cdef object socket

    cdef int add_socket(self, dict environ) except -1
    cdef int let_go(self) except -1
