from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from fastwsgi.http.c_http cimport FW_PARSER_FAIL, fw_field, fw_limits, fw_parser, fw_parser_event

cdef enum:
    FEW = 24                    # fields that most heads have at most


cdef class Stream:
    # connection
    cdef fw_limits limits
    cdef fw_parser parser
    cdef fw_field *fields       # of the parser: few, or owned where a head had more
    cdef fw_field few[FEW]
    cdef bint busy              # at work: user code that calls in from there is refused. An error leaves it set

    # what was shown and is not used up
    cdef object source          # bytes, or a memoryview that keeps its exporter; None when used up
    cdef const char *buf        # of source
    cdef size_t len
    cdef size_t at              # bytes of buf that are done with
    cdef uint64_t start         # where in the stream buf begins

    # the line, or head, whose end has not come yet: what earlier calls were shown of it
    cdef char *pending          # owned
    cdef size_t pending_len
    cdef size_t pending_room

    # the last event
    cdef const char *base       # what the spans of the head and of `field` count from; until the next step
    cdef uint64_t base_start    # where in the stream base is
    cdef size_t data_at         # GOT_DATA: of buf
    cdef size_t data_len
    cdef fw_field field         # GOT_FIELD
    cdef uint64_t fault         # FAIL: where in the stream the line begins that is refused

    cdef void next_request(self) noexcept
    cdef int more_fields(self) except -1
    cdef int show(self, object data) except -1
    cdef void used_up(self) noexcept
    cdef int keep(self, const char *buf, size_t len) except -1
    cdef fw_parser_event step(self) except? FW_PARSER_FAIL
    cdef object error(self)
