from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from fastwsgi.http.c_http cimport fw_field, fw_parser, fw_span


cdef class Request:
    cdef readonly bytes method
    cdef readonly bytes target
    cdef readonly bytes version
    cdef readonly tuple headers
    cdef readonly bint chunked
    cdef readonly bint keep_alive
    cdef readonly bint expect_continue
    cdef readonly bint upgrade
    cdef uint64_t length
    cdef bint has_length
    cdef bint names_host        # the target has an authority
    cdef fw_span path_span      # these three: of target
    cdef fw_span query_span
    cdef fw_span host_span


cdef class Data:
    cdef object source          # bytes, or a memoryview: so the bytes stay where they are
    cdef const char *start      # in source
    cdef size_t at
    cdef size_t len


cdef class EndOfMessage:
    cdef readonly tuple trailers


cdef object trailer_of(const fw_field *field, const char *base)
cdef Request request_of(const fw_parser *parser, const char *base, tuple before)
cdef Data data_of(object source, const char *buf, size_t at, size_t len)
cdef EndOfMessage end_of(list trailers)
