from cpython.object cimport PyObject
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from fastwsgi._environ cimport Environ
from fastwsgi._strings cimport Strings
from fastwsgi.c_server cimport fw_conn

cdef enum:
    # Slots for shapes, a power of two, and the fields of the largest head that gets one.
    SHAPE_SLOTS = 64
    SHAPE_FIELDS = 48

cdef class Reused:
    # so many templates hold it
    cdef Py_ssize_t templates

cdef class Shape:
    cdef dict template
    cdef uint64_t key
    cdef size_t listener
    cdef uint8_t minor
    cdef uint8_t traits
    cdef uint8_t count
    cdef uint8_t ids[SHAPE_FIELDS]
    # borrowed from the template
    cdef PyObject *names[SHAPE_FIELDS]
    cdef PyObject *values[SHAPE_FIELDS]
    cdef PyObject *method
    cdef PyObject *target
    cdef PyObject *addr
    cdef PyObject *port
    cdef PyObject *hints

cdef class Shapes:
    cdef Environ environ
    cdef Strings strings
    cdef uint64_t sighted[SHAPE_SLOTS]
    cdef list shapes

    cdef dict make(self, const fw_conn *conn, Reused hints)
    cdef uint64_t key(self, const fw_conn *conn)
    cdef dict copy(self, const fw_conn *conn, uint64_t key, Reused hints)
    cdef int learn(self, const fw_conn *conn, uint64_t key, dict environ, Reused hints) except -1
