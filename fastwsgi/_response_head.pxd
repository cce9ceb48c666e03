from cpython.object cimport PyObject
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t

from fastwsgi.c_server cimport fw_buf, fw_conn, fw_error, fw_pool, fw_resp

cdef enum:
    # Slots for names of response headers: a power of two.
    NAME_SLOTS = 64
    # Sets of two lines of response heads that are remembered, a power of two, and the longest of them.
    LINE_SETS = 16
    LINE_MOST = 108

cdef struct Line:
    # What an application gave and what became of it. Both strings are held; `value` is NULL for a status.
    PyObject *name
    PyObject *value
    uint16_t status
    uint8_t len
    char text[LINE_MOST]

cdef struct LineSet:
    Line lines[2]
    size_t sighted # the addresses of what was not remembered last
    uint8_t oldest # which of them goes next

cdef str error_text(fw_error error)

cdef class HeadWriter:
    cdef PyObject *names[NAME_SLOTS]
    cdef uint8_t name_ids[NAME_SLOTS]
    cdef LineSet sets[LINE_SETS]

    cdef int put_status(self, fw_conn *conn, status) except -1
    cdef int put_fields(self, fw_conn *conn, list headers) except -1
    cdef int put_line(self, fw_conn *conn, tuple field) except -1
    cdef int put_field(self, fw_resp *resp, fw_buf *out, fw_pool *pool, name, value) except -1
    cdef int name_id(self, name, const char **data, Py_ssize_t *len) except -1
