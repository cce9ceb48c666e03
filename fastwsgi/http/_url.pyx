"""parse_url: a request target, or a URL, in its parts. `_url.pyi` documents it."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from fastwsgi.http.c_http cimport fw_head_host_valid, fw_scan_target

import re

from fastwsgi.http.errors import HttpParserInvalidURLError

# RFC 3986 sections 3.1 and 3.2.1
cdef object SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*").fullmatch
cdef object USERINFO = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*").fullmatch


@cython.final
cdef class URL:
    cdef readonly bytes schema
    cdef readonly bytes host
    cdef readonly object port
    cdef readonly bytes path
    cdef readonly bytes query
    cdef readonly bytes fragment
    cdef readonly bytes userinfo

    def __init__(self):
        raise TypeError("URLs are made by parse_url")

    def __repr__(self):
        return (f"<URL schema: {self.schema!r}, host: {self.host!r}, port: {self.port!r}, path: {self.path!r}, "
                f"query: {self.query!r}, fragment: {self.fragment!r}, userinfo: {self.userinfo!r}>")


def parse_url(url):
    cdef bytes text = url if type(url) is bytes else bytes(memoryview(url))
    cdef URL parts = URL.__new__(URL)
    cdef size_t size = PyBytes_GET_SIZE(text)
    if size == 0 or fw_scan_target(PyBytes_AS_STRING(text), size) < size:
        raise HttpParserInvalidURLError("a URL is bytes from 0x21 to 0x7E, one at least")
    if b"#" in text:
        text, _, parts.fragment = text.partition(b"#")
    if b"?" in text:
        text, _, parts.query = text.partition(b"?")
    if not text.startswith(b"/") and text != b"*":
        text = take_authority(parts, text)
    parts.path = text or None
    return parts


cdef bytes take_authority(URL parts, bytes text):
    """Take `scheme://authority` from the front. Returns the path behind it."""
    scheme, found, rest = text.partition(b"://")
    if not found or not SCHEME(scheme):
        raise HttpParserInvalidURLError("a URL begins with '/' or a scheme and '://', or is '*'")
    authority, slash, path = rest.partition(b"/")
    userinfo, at, host = authority.rpartition(b"@")
    if not USERINFO(userinfo):
        raise HttpParserInvalidURLError("user information has a byte that must be escaped")
    if not fw_head_host_valid(PyBytes_AS_STRING(host), PyBytes_GET_SIZE(host), False):
        raise HttpParserInvalidURLError("the URL's host or port is not valid")
    name, colon, port = host.rpartition(b":")
    if not colon or port.endswith(b"]"):
        name, port = host, b""
    parts.schema = scheme
    parts.host = name[1:-1] if name.startswith(b"[") else name
    parts.port = int(port) if port else None
    parts.userinfo = userinfo if at else None
    return slash + path
