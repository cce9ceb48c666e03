"""RequestParser: a stream, and the events in it. `_parser.pyi` documents it."""

cimport cython

from fastwsgi.http._events cimport Request, data_of, end_of, request_of, trailer_of
from fastwsgi.http._limits cimport limits_of
from fastwsgi.http._stream cimport Stream
from fastwsgi.http.c_http cimport (
    FW_E_PEER_CLOSED,
    FW_M_CONNECT,
    FW_PARSER_FAIL,
    FW_PARSER_GOT_DATA,
    FW_PARSER_GOT_END,
    FW_PARSER_GOT_FIELD,
    FW_PARSER_GOT_HEAD,
    FW_PARSER_HEAD,
    fw_error_name,
    fw_error_status,
    fw_error_text,
    fw_parser_event,
)

from fastwsgi.http.errors import ProtocolError


cdef enum Hold:
    RUNNING
    UPGRADE
    CLOSED
    FAILED

cdef tuple STATES = ("running", "upgrade", "closed", "failed")


@cython.final
cdef class RequestParser(Stream):
    cdef Hold hold
    cdef bint tunnel            # the request is CONNECT or asks for an upgrade
    cdef bint last              # the request is the last of its connection
    cdef tuple headers          # of the last request
    cdef list trailers          # of the request that is running, None without any

    def __cinit__(self, limits=None):
        if limits is not None:
            self.limits = limits_of(limits)[0]
        self.headers = ()

    def feed(self, data):
        if self.busy:
            raise RuntimeError("feed() inside of a parser's own work, or after an error there")
        if self.hold == CLOSED or self.hold == FAILED:
            return self
        self.busy = True
        try:
            self.show(data)
        finally:
            self.busy = False
        return self

    def __iter__(self):
        return self

    def __next__(self):
        cdef object event
        if self.hold != RUNNING:
            if self.hold == FAILED:
                raise self.error()
        elif self.at < self.len or self.parser.state != FW_PARSER_HEAD:
            if self.busy:
                raise RuntimeError("next() inside of a parser's own work, or after an error there")
            self.busy = True
            event = self.next_event()
            self.busy = False
            if event is not None:
                return event
        raise StopIteration

    cdef object next_event(self):
        cdef fw_parser_event event
        cdef Request request
        while True:
            event = self.step()
            if event == FW_PARSER_GOT_HEAD:
                self.tunnel = self.parser.framing.upgrade or self.parser.head.method_id == FW_M_CONNECT
                self.last = not self.parser.framing.keep_alive
                request = request_of(&self.parser, self.base, self.headers)
                self.headers = request.headers
                return request
            if event == FW_PARSER_GOT_END:
                return self.end()
            if event == FW_PARSER_GOT_DATA:
                return data_of(self.source, self.buf, self.data_at, self.data_len)
            if event == FW_PARSER_GOT_FIELD:
                if self.trailers is None:
                    self.trailers = []
                self.trailers.append(trailer_of(&self.field, self.base))
                continue
            if event == FW_PARSER_FAIL:
                self.hold = FAILED
                self.busy = False
                raise self.error()
            self.used_up()
            return None

    cdef object end(self):
        cdef object event = end_of(self.trailers)
        self.trailers = None
        if self.tunnel:
            self.hold = UPGRADE
        elif self.last:
            self.hold = CLOSED
        self.next_request()
        if self.at == self.len:
            self.used_up()
        return event

    def resume(self):
        if self.hold != UPGRADE:
            raise RuntimeError(f"resume() of a parser that is {STATES[<int>self.hold]}, not held for an upgrade")
        self.hold = CLOSED if self.last else RUNNING
        return self

    def finish(self):
        if self.hold == FAILED:
            raise self.error()
        if self.hold == RUNNING and (self.pending_len or self.at < self.len
                                     or self.parser.state != FW_PARSER_HEAD):
            self.fault = self.start + self.len
            raise ProtocolError(
                fw_error_name(FW_E_PEER_CLOSED).decode(), fw_error_status(FW_E_PEER_CLOSED),
                fw_error_text(FW_E_PEER_CLOSED).decode(), self.fault,
            )

    @property
    def state(self):
        return STATES[<int>self.hold]

    @property
    def leftover(self):
        return self.pending[: self.pending_len] + self.buf[self.at : self.len]
