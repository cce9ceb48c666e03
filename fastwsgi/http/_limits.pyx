"""Limits: what a peer may send. `_limits.pyi` documents it."""

cimport cython
from libc.stdint cimport uint32_t

from fastwsgi.http.c_http cimport (
    FW_RULE_ANY_METHOD,
    FW_RULE_REFUSE_UNDERSCORE,
    fw_limits,
    fw_limits_default,
)

# Offsets of the core are 32 bits wide, and a parser looks at a limit and a window of fresh bytes at once.
cdef uint32_t LIMIT_MOST = 1 << 28
cdef uint32_t FIELDS_MOST = 1 << 16


cdef uint32_t checked(str name, value, uint32_t least, uint32_t most) except? 0:
    if not isinstance(value, int):
        raise TypeError(f"{name} is a number, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}, and has to be from {least} to {most}")
    return value


@cython.final
cdef class Limits:
    def __init__(self, *, line=None, fields=None, field_size=None, head=None, chunk_line=None, trailer=None,
                 body=None, bint any_method=False, bint refuse_underscore=False):
        cdef fw_limits *limits = &self.limits
        limits[0] = fw_limits_default()
        if line is not None:
            limits.line = checked("line", line, 0, LIMIT_MOST)
        if fields is not None:
            limits.fields = checked("fields", fields, 0, FIELDS_MOST)
        if field_size is not None:
            limits.field_size = checked("field_size", field_size, 0, LIMIT_MOST)
        if head is not None:
            limits.head = checked("head", head, 1, LIMIT_MOST)
        if chunk_line is not None:
            limits.chunk_line = checked("chunk_line", chunk_line, 3, LIMIT_MOST)
        if trailer is not None:
            limits.trailer = checked("trailer", trailer, 0, LIMIT_MOST)
        if body is not None:
            if body < 0:
                raise ValueError(f"body is {body}, and has to be 0 (no limit) or more")
            limits.body = body
        limits.rules = ((FW_RULE_ANY_METHOD if any_method else 0)
                        | (FW_RULE_REFUSE_UNDERSCORE if refuse_underscore else 0))

    @property
    def line(self):
        return self.limits.line

    @property
    def fields(self):
        return self.limits.fields

    @property
    def field_size(self):
        return self.limits.field_size

    @property
    def head(self):
        return self.limits.head

    @property
    def chunk_line(self):
        return self.limits.chunk_line

    @property
    def trailer(self):
        return self.limits.trailer

    @property
    def body(self):
        return self.limits.body

    @property
    def any_method(self):
        return bool(self.limits.rules & FW_RULE_ANY_METHOD)

    @property
    def refuse_underscore(self):
        return bool(self.limits.rules & FW_RULE_REFUSE_UNDERSCORE)

    def __repr__(self):
        return (f"Limits(line={self.line}, fields={self.fields}, field_size={self.field_size}, "
                f"head={self.head}, chunk_line={self.chunk_line}, trailer={self.trailer}, body={self.body}, "
                f"any_method={self.any_method}, refuse_underscore={self.refuse_underscore})")


cdef Limits DEFAULT = Limits()


cdef const fw_limits *limits_of(object limits) except NULL:
    """What a parser was given: a Limits, or None for the defaults. To be copied."""
    return &(DEFAULT if limits is None else <Limits?>limits).limits
