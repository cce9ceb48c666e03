from cpython.object cimport PyObject
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from fastwsgi.c_server cimport (
    FW_FIELD_ASCII,
    FW_N_AUTHORIZATION,
    FW_N_COOKIE,
    FW_N_OTHER,
    FW_N_PROXY_AUTHORIZATION,
    fw_field,
)

cdef extern from "Python.h":
    void *PyUnicode_1BYTE_DATA(PyObject *o)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *o)

cdef enum:
    # Slots of the cache of strings: a power of two. With it a worker remembers at most 512 KB of text.
    CACHE_SLOTS = 1024
    # Longer values are rarely seen twice.
    CACHED_MOST = 512

cdef object text(const char *data, size_t len, bint ascii)

cdef inline uint64_t mix(uint64_t hash, uint64_t value) noexcept nogil:
    hash = (hash ^ value) * <uint64_t>0x9E3779B97F4A7C15
    return hash ^ (hash >> 32)

cdef inline uint64_t text_hash(const char *data, size_t len) noexcept nogil:
    """From the length and the first and last eight bytes: enough to tell header values apart."""
    cdef uint64_t first = 0, last = 0
    cdef uint32_t half
    if len >= 8:
        memcpy(&first, data, 8)
        memcpy(&last, data + len - 8, 8)
    elif len >= 4:
        memcpy(&half, data, 4)
        first = half
        memcpy(&half, data + len - 4, 4)
        last = half
    elif len > 0:
        first = <unsigned char>data[0]
        last = <unsigned char>data[len - 1] | (<uint64_t><unsigned char>data[len >> 1] << 8)
    return mix(mix(len, first), last)

cdef inline bint is_cached(const fw_field *field) noexcept nogil:
    """May the value be remembered beyond its request?"""
    return (
        field.flags & FW_FIELD_ASCII
        and field.id != FW_N_OTHER
        and field.id != FW_N_COOKIE
        and field.id != FW_N_AUTHORIZATION
        and field.id != FW_N_PROXY_AUTHORIZATION
    )

cdef inline bint is_text(PyObject *known, const char *data, size_t len) noexcept:
    """Is this string, which may be NULL, just these ASCII bytes?"""
    return (
        known is not NULL
        and <size_t>PyUnicode_GET_LENGTH(known) == len
        and memcmp(PyUnicode_1BYTE_DATA(known), data, len) == 0
    )

cdef class Strings:
    cdef PyObject *cached[CACHE_SLOTS]

    cdef object get(self, const char *data, size_t len)
    cdef object cgi_name(self, const char *name, size_t len)
