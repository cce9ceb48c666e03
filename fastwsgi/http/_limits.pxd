from fastwsgi.http.c_http cimport fw_limits


cdef class Limits:
    cdef fw_limits limits


cdef const fw_limits *limits_of(object limits) except NULL
