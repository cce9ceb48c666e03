"""The bytes of a request as native strings (PEP 3333: latin-1).

Clients repeat themselves, so most strings are taken from a small cache instead of being made. Secrets (cookies,
credentials, fields nobody knows) are never put there.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stddef cimport size_t
from libc.string cimport memcpy

from fastwsgi.c_server cimport fw_name_cgi

cdef extern from "Python.h":
    PyObject *PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar) except NULL
    object PyUnicode_DecodeLatin1(const char *data, Py_ssize_t size, const char *errors)


cdef object text(const char *data, size_t len, bint ascii):
    """bytes as latin-1. `ascii`: none of them is above 0x7F; if not, at least one is."""
    cdef PyObject *made
    if len < 2:
        return PyUnicode_DecodeLatin1(data, <Py_ssize_t>len, NULL)
    # What PyUnicode_DecodeLatin1 does, without looking for the highest byte again.
    made = PyUnicode_New(<Py_ssize_t>len, 127 if ascii else 255)
    memcpy(PyUnicode_1BYTE_DATA(made), data, len)
    result = <object>made
    Py_XDECREF(made)
    return result


cdef class Strings:
    """The cache of one worker."""

    def __dealloc__(self):
        for i in range(CACHE_SLOTS):
            Py_XDECREF(self.cached[i])

    cdef object get(self, const char *data, size_t len):
        """An ASCII string that has probably been seen before."""
        cdef PyObject **place
        if len > CACHED_MOST or len < 2:
            return text(data, len, True)
        place = &self.cached[text_hash(data, len) & (CACHE_SLOTS - 1)]
        if is_text(place[0], data, len):
            return <object>place[0]
        made = text(data, len, True)
        Py_INCREF(made)
        Py_XDECREF(place[0])
        place[0] = <PyObject *>made
        return made

    cdef object cgi_name(self, const char *name, size_t len):
        """The environ key of a field name that is not among the known ones."""
        cdef char small[256]
        cdef char *out = small
        if len + 5 > sizeof(small):
            out = <char *>PyMem_Malloc(len + 5)
            if out is NULL:
                raise MemoryError
        try:
            return self.get(out, fw_name_cgi(name, len, out))
        finally:
            if out != small:
                PyMem_Free(out)
