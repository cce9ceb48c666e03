"""The environ of a request (PEP 3333, RFC 3875), made from the spans of a parsed head.

An environ is a copy of a template, and what the request brings is put into it. A copy of a dict has the table size of
its original, so the template is made roomy. For requests that are like earlier ones `_shapes.pyx` has a shorter way.
"""

from cpython.dict cimport PyDict_Copy, PyDict_GetItem, PyDict_SetItem, PyDict_Size
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t

from fastwsgi._input cimport EarlyInput, Input
from fastwsgi._strings cimport Strings, is_cached, text
from fastwsgi.c_server cimport (
    FW_ADDR_TEXT,
    FW_BODY_CHUNKED,
    FW_CLIENT_ADDR,
    FW_CLIENT_HTTPS,
    FW_CLIENT_PORT,
    FW_CLIENT_SCRIPT,
    FW_FIELD_ASCII,
    FW_FIELD_HIDDEN,
    FW_FIELD_UNDERSCORE,
    FW_FORM_ABSOLUTE,
    FW_M_OTHER,
    FW_METHOD_COUNT,
    FW_N_CONTENT_LENGTH,
    FW_N_CONTENT_TYPE,
    FW_N_COOKIE,
    FW_N_OTHER,
    FW_NAME_COUNT,
    FW_PORT_TEXT,
    fw_addr_port_text,
    fw_addr_text,
    fw_conn,
    fw_conn_body_is_early,
    fw_conn_request,
    fw_field,
    fw_head,
    fw_method,
    fw_method_text,
    fw_name,
    fw_name_text,
    fw_proxy_kind,
    fw_proxy_name,
    fw_scan_unquote,
)

import socket
import sys

from fastwsgi._file_wrapper import FileWrapper


class NotMountedError(Exception):
    """The path of a request is not below where its application is said to be mounted."""


cdef extern from "Python.h":
    object PyUnicode_DecodeLatin1(const char *data, Py_ssize_t size, const char *errors)
    PyObject *PyDict_SetDefault(PyObject *d, PyObject *key, PyObject *value) except NULL

# Interned, with their hash computed: an environ is filled by pointer comparison.
cdef str PATH_INFO = sys.intern("PATH_INFO")
cdef str QUERY_STRING = sys.intern("QUERY_STRING")
cdef str RAW_URI = sys.intern("RAW_URI")
cdef str REQUEST_URI = sys.intern("REQUEST_URI")
cdef str REQUEST_METHOD = sys.intern("REQUEST_METHOD")
cdef str SERVER_PROTOCOL = sys.intern("SERVER_PROTOCOL")
cdef str SERVER_NAME = sys.intern("SERVER_NAME")
cdef str SERVER_PORT = sys.intern("SERVER_PORT")
cdef str REMOTE_ADDR = sys.intern("REMOTE_ADDR")
cdef str REMOTE_PORT = sys.intern("REMOTE_PORT")
cdef str CONTENT_LENGTH = sys.intern("CONTENT_LENGTH")
cdef str STREAMED = sys.intern("fastwsgi.input_streamed")
cdef str HTTP_HOST = sys.intern("HTTP_HOST")
cdef str WSGI_INPUT = sys.intern("wsgi.input")
cdef str SCRIPT_NAME = sys.intern("SCRIPT_NAME")
cdef str URL_SCHEME = sys.intern("wsgi.url_scheme")
cdef str HTTP_1_0 = "HTTP/1.0"
cdef str HTTPS = "https"

# The body of all requests that have none.
cdef Input NO_BODY = Input()


cdef class Environ:
    """Makes the environs of one worker. `templates`: one a listener."""

    def __init__(self, list templates, str script_name):
        cdef size_t len
        cdef const char *name
        cdef int i
        self.templates = [roomy(template) for template in templates]
        self.script_name = script_name
        self.strings = Strings()
        self.methods = tuple([
            sys.intern(fw_method_text(<fw_method>i).decode("ascii")) for i in range(<int>FW_METHOD_COUNT)
        ])
        keys = []
        for i in range(<int>FW_NAME_COUNT):
            name = fw_name_text(<fw_name>i, &len)
            key = "HTTP_" + name[:len].decode("ascii").upper().replace("-", "_")
            if i == <int>FW_N_CONTENT_TYPE or i == <int>FW_N_CONTENT_LENGTH:
                key = key[5:]
            keys.append(sys.intern(key))
        self.keys = tuple(keys)

    cdef object method(self, const fw_conn *conn):
        cdef const fw_head *head = &conn.parser.head
        if head.method_id != FW_M_OTHER:
            return <object>self.methods[head.method_id]
        return self.strings.get(fw_conn_request(conn) + head.method.off, head.method.len)

    cdef Input add_body(self, dict environ, fw_conn *conn):
        """The request has a body (perhaps an empty one): put it into the environ. It borrows `conn`."""
        cdef Input body
        if fw_conn_body_is_early(conn):
            body = EarlyInput.__new__(EarlyInput)
            PyDict_SetItem(environ, STREAMED, True)
        else:
            body = Input.__new__(Input)
        body.conn = conn
        body.length = conn.body_len
        PyDict_SetItem(environ, WSGI_INPUT, body)
        if conn.parser.framing.kind == FW_BODY_CHUNKED and not fw_conn_body_is_early(conn):
            # it is here whole, and many an application reads nothing where it sees no length
            PyDict_SetItem(environ, CONTENT_LENGTH, str(conn.body_len))
        return body

    cdef dict make(self, const fw_conn *conn):
        """The environ of the request that `conn` holds, but for its body."""
        cdef const fw_head *head = &conn.parser.head
        cdef const char *base = fw_conn_request(conn)
        cdef dict environ = PyDict_Copy(<dict>self.templates[conn.listener])
        PyDict_SetItem(environ, REQUEST_METHOD, self.method(conn))
        if head.minor == 0:
            PyDict_SetItem(environ, SERVER_PROTOCOL, HTTP_1_0)
        self.set_target(environ, conn, self.strings.get(base + head.target.off, head.target.len))
        self.add_fields(environ, conn)
        if conn.traits & FW_CLIENT_HTTPS:
            PyDict_SetItem(environ, URL_SCHEME, HTTPS)
        if conn.traits & FW_CLIENT_ADDR:
            PyDict_SetItem(environ, REMOTE_ADDR, self.strings.get(conn.addr, conn.addr_len))
        if conn.traits & FW_CLIENT_PORT:
            PyDict_SetItem(environ, REMOTE_PORT, self.strings.get(conn.port_text, conn.port_len))
        if conn.local:
            set_server(environ)
        return environ

    cdef int add_proxy(self, dict environ, const fw_conn *conn) except -1:
        """What the header of the PROXY protocol says of the proxy itself, by gunicorn's keys."""
        cdef char address[FW_ADDR_TEXT]
        cdef char port[FW_PORT_TEXT]
        cdef size_t len = fw_addr_text(&conn.proxy.proxy, address)
        environ["PROXY_PROTOCOL"] = fw_proxy_name(<fw_proxy_kind>conn.proxy.kind).decode("ascii")
        if len > 0:
            environ["PROXY_ADDR"] = self.strings.get(address, len)
            environ["PROXY_PORT"] = self.strings.get(port, fw_addr_port_text(conn.proxy.proxy_port, port))
        return 0

    cdef int set_target(self, dict environ, const fw_conn *conn, target) except -1:
        cdef const fw_head *head = &conn.parser.head
        cdef const char *base = fw_conn_request(conn)
        cdef const fw_field *field
        cdef object path, mount
        PyDict_SetItem(environ, RAW_URI, target)
        PyDict_SetItem(environ, REQUEST_URI, target)
        if head.path_escaped:
            path = unquoted(base + head.path.off, head.path.len)
        elif head.path.len == head.target.len:
            path = target
        elif head.path.len == 0 and head.form == FW_FORM_ABSOLUTE:
            path = "/" # RFC 9110 section 4.2.3
        else:
            path = self.strings.get(base + head.path.off, head.path.len)
        mount = self.script_name
        if conn.traits & FW_CLIENT_SCRIPT:
            field = &head.fields[conn.script]
            mount = text(base + field.value.off, field.value.len, field.flags & FW_FIELD_ASCII)
            PyDict_SetItem(environ, SCRIPT_NAME, mount)
        if mount:
            if not path.startswith(mount):
                by = "of the proxy" if conn.traits & FW_CLIENT_SCRIPT else "of the environment"
                raise NotMountedError(f"the path {path!r} is not below SCRIPT_NAME {mount!r} {by}")
            path = path[len(mount):]
        PyDict_SetItem(environ, PATH_INFO, path)
        PyDict_SetItem(environ, QUERY_STRING, text(base + head.query.off, head.query.len, True))
        return 0

    cdef int add_fields(self, dict environ, const fw_conn *conn) except -1:
        cdef const fw_head *head = &conn.parser.head
        cdef const char *base = fw_conn_request(conn)
        cdef const fw_field *field
        cdef uint32_t i
        cdef Py_ssize_t before
        cdef const char *data
        cdef object key, value
        for i in range(head.count):
            field = &head.fields[i]
            data = base + field.value.off
            if field.flags & (FW_FIELD_UNDERSCORE | FW_FIELD_HIDDEN):
                continue # X_Foo must not pass for X-Foo, nor the other way round where the proxy sends X_Foo
            if field.id != FW_N_OTHER:
                key = <object>self.keys[field.id]
            else:
                key = self.strings.cgi_name(base + field.name.off, field.name.len)
            if is_cached(field):
                value = self.strings.get(data, field.value.len)
            else:
                value = text(data, field.value.len, field.flags & FW_FIELD_ASCII)
            before = PyDict_Size(environ)
            PyDict_SetDefault(<PyObject *>environ, <PyObject *>key, <PyObject *>value)
            if PyDict_Size(environ) == before:
                # a repeated field: RFC 9110 section 5.3, for Cookie RFC 9113 section 8.2.3
                separator = "; " if field.id == FW_N_COOKIE else ","
                PyDict_SetItem(environ, key, f"{<object>PyDict_GetItem(environ, key)}{separator}{value}")
        if head.form == FW_FORM_ABSOLUTE: # RFC 9112 section 3.2.2
            PyDict_SetItem(
                environ, HTTP_HOST,
                text(base + conn.parser.framing.host.off, conn.parser.framing.host.len, True),
            )
        return 0


def template(listener, str software, errors, bint multithread, bint multiprocess, str script_name):
    """The environ of a request on this listener, but for what the request brings."""
    name, port = "", ""
    if listener.family != socket.AF_UNIX:
        name, port = listener.getsockname()[:2]
    return {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.input_terminated": True,
        "wsgi.errors": errors,
        "wsgi.multithread": bool(multithread),
        "wsgi.multiprocess": bool(multiprocess),
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.early_hints": None,
        "SERVER_SOFTWARE": software,
        "SERVER_NAME": name,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SCRIPT_NAME": script_name,
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "",
        "RAW_URI": "",
        "REQUEST_URI": "",
        "PATH_INFO": "",
        "REMOTE_ADDR": "",
    }


def roomy(dict template):
    """A copy of the template whose table has room for the fields of a request.

    More than 21 keys make the table of a dict one of 64 slots, and it stays that when keys are deleted.
    """
    padding = [f"padding.{n}" for n in range(max(0, 22 - len(template)))]
    copy = dict.fromkeys([*template, *padding])
    copy.update(template)
    copy[WSGI_INPUT] = NO_BODY
    for key in padding:
        del copy[key]
    return copy


cdef object unquoted(const char *path, size_t len):
    """A path with its percent-escapes decoded, as a native string."""
    cdef char small[1024]
    cdef char *out = small
    if len > sizeof(small):
        out = <char *>PyMem_Malloc(len)
        if out is NULL:
            raise MemoryError
    try:
        return PyUnicode_DecodeLatin1(out, <Py_ssize_t>fw_scan_unquote(path, len, out), NULL)
    finally:
        if out != small:
            PyMem_Free(out)


cdef int set_server(dict environ) except -1:
    """A unix socket has no name and port of its own: they are what the client has asked for."""
    host = environ.get(HTTP_HOST, "")
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = host, ""
    environ[SERVER_NAME] = name or "localhost"
    environ[SERVER_PORT] = port or ("443" if environ[URL_SCHEME] == HTTPS else "80")
    return 0
