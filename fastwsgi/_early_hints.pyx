"""wsgi.early_hints: a 103 in front of the response (RFC 8297)."""

from libc.stddef cimport size_t

from fastwsgi._exchange cimport Exchange
from fastwsgi._shapes cimport Reused
from fastwsgi.c_server cimport *

from fastwsgi._exchange import ClientGone

# Fields of one 103 answer, bytes.
cdef size_t HINTS_MOST = 65536


cdef object native(value):
    """A str as it is; bytes, which early hints may be as well, as latin-1."""
    return value.decode("latin-1") if isinstance(value, bytes) else value


cdef class EarlyHints(Reused):
    """wsgi.early_hints: sends a 103 with these headers (pairs of str or bytes) at once. May be called again.

    Does nothing for a client of HTTP/1.0, and once the response is on its way; a client that does not take what is
    sent to it gets none. Raises ValueError or TypeError for what must not be sent, ClientGone where nobody reads it.

    One object for all requests of its exchange.
    """

    def __cinit__(self, Exchange exchange not None):
        self.exchange = exchange

    def __call__(self, headers):
        cdef fw_conn *conn = self.exchange.conn
        if conn is NULL:
            raise RuntimeError("early_hints was called after its request had ended")
        if conn.parser.head.minor == 0 or conn.handed:
            return
        self.exchange.reclaim()
        try:
            # what the socket does not take must not make the answer wait
            if conn.resp.stage < FW_RESP_BODY and not conn.blocked:
                self.send([(native(name), native(value)) for name, value in headers])
        finally:
            self.exchange.offer()

    cdef int send(self, list headers) except -1:
        cdef fw_conn *conn = self.exchange.conn
        cdef fw_interim interim
        if fw_conn_interim_begin(conn, &interim, b"103 Early Hints", 15) != FW_OK:
            raise MemoryError
        try:
            for name, value in headers:
                self.exchange.heads.put_field(&interim.resp, &interim.buf, &conn.env.blocks, name, value)
            if fw_buf_live(&interim.buf) > HINTS_MOST:
                raise ValueError(f"early hints of more than {HINTS_MOST} bytes")
            if fw_conn_interim_send(conn, &interim) != FW_OK:
                raise ClientGone("the client has closed the connection")
        finally:
            fw_conn_interim_drop(conn, &interim)
        return 0
