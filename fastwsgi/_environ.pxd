from cpython.object cimport PyObject
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from fastwsgi._input cimport Input
from fastwsgi.c_server cimport fw_conn

cdef enum:
    # Slots of the cache of strings: a power of two. With it a worker remembers at most 512 KB of text.
    CACHE_SLOTS = 1024
    # Longer values are rarely seen twice.
    CACHED_MOST = 512
    # Slots for shapes, a power of two, and the fields of the largest head that gets one.
    SHAPE_SLOTS = 64
    SHAPE_FIELDS = 48

cdef object text(const char *data, size_t len, bint ascii)

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

cdef class Environ:
    cdef list templates
    cdef tuple methods
    cdef tuple keys
    cdef str script_name
    cdef PyObject *cached[CACHE_SLOTS]
    cdef uint64_t sighted[SHAPE_SLOTS]
    cdef list shapes

    cdef object cached_text(self, const char *data, size_t len)
    cdef object cgi_name(self, const char *name, size_t len)
    cdef object method(self, const fw_conn *conn)
    cdef dict make(self, const fw_conn *conn, Reused hints)
    cdef Input add_body(self, dict environ, fw_conn *conn)
    cdef uint64_t shape_key(self, const fw_conn *conn)
    cdef dict from_shape(self, const fw_conn *conn, uint64_t key, Reused hints)
    cdef int learn(self, const fw_conn *conn, uint64_t key, dict environ, Reused hints) except -1
    cdef dict from_scratch(self, const fw_conn *conn)
    cdef int set_target(self, dict environ, const fw_conn *conn, target) except -1
    cdef int add_proxy(self, dict environ, const fw_conn *conn) except -1
    cdef int add_fields(self, dict environ, const fw_conn *conn) except -1
