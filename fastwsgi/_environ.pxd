from fastwsgi._input cimport Input
from fastwsgi._strings cimport Strings
from fastwsgi.c_server cimport fw_conn

cdef int set_server(dict environ) except -1

cdef class Environ:
    cdef Strings strings
    cdef list templates
    cdef tuple methods
    cdef tuple keys
    cdef str script_name

    cdef dict make(self, const fw_conn *conn)
    cdef Input add_body(self, dict environ, fw_conn *conn)
    cdef int add_proxy(self, dict environ, const fw_conn *conn) except -1
    cdef object method(self, const fw_conn *conn)
    cdef int set_target(self, dict environ, const fw_conn *conn, target) except -1
    cdef int add_fields(self, dict environ, const fw_conn *conn) except -1
