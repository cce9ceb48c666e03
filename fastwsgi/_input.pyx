"""wsgi.input: a request's body for the application to read (PEP 3333)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.pyport cimport PY_SSIZE_T_MAX
from libc.stddef cimport size_t
from libc.stdint cimport SIZE_MAX, uint64_t

from fastwsgi.c_server cimport fw_conn_body_line, fw_conn_body_read


cdef class Input:
    """wsgi.input: the request's body, which is here whole (in memory or in a temporary file).

    Borrows the connection until the request has ended; reading after that raises ValueError. The one without a
    connection and without a length is the body of all requests that have none.
    """

    cdef bytes take(self, uint64_t len):
        cdef uint64_t left = self.length - self.pos
        cdef bytes block
        cdef size_t got
        if len > left:
            len = left
        if len == 0:
            return b""
        if self.conn is NULL:
            raise ValueError("wsgi.input is read after its request has ended")
        block = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>len)
        got = fw_conn_body_read(self.conn, self.pos, PyBytes_AS_STRING(block), <size_t>len)
        if got != len:
            raise OSError("the temporary file with the request body cannot be read")
        self.pos += len
        return block

    def read(self, size=-1):
        """At most `size` bytes, or all that are left. b"" at the end."""
        cdef Py_ssize_t n = -1 if size is None else size
        return self.take(self.length - self.pos if n < 0 else <uint64_t>n)

    read1 = read

    def readline(self, size=-1):
        """The next line with its LF, or at most `size` bytes of it. b"" at the end."""
        cdef Py_ssize_t n = -1 if size is None else size
        cdef size_t length
        cdef size_t most = <size_t>(self.length - self.pos if n < 0 else <uint64_t>n)
        if self.pos == self.length or most == 0:
            return b""
        if self.conn is NULL:
            raise ValueError("wsgi.input is read after its request has ended")
        length = fw_conn_body_line(self.conn, self.pos, most)
        if length == SIZE_MAX:
            raise OSError("the temporary file with the request body cannot be read")
        return self.take(length)

    def readlines(self, hint=-1):
        """The lines that are left, or the first of them that have `hint` bytes or more together."""
        cdef Py_ssize_t most = -1 if hint is None else hint
        cdef Py_ssize_t total = 0
        cdef list lines = []
        while True:
            line = self.readline()
            if not line:
                return lines
            lines.append(line)
            total += len(line)
            if 0 < most <= total:
                return lines

    def readinto(self, buffer):
        """Fill the writable bytes-like `buffer` as far as the body goes; the number of bytes."""
        with memoryview(buffer).cast("B") as view:
            block = self.take(<uint64_t>len(view))
            view[: len(block)] = block
        return len(block)

    def __iter__(self):
        return self

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def readable(self):
        return True

    def close(self):
        """Does nothing: the server closes it."""


cdef class EarlyInput(Input):
    """wsgi.input of a request that was taken to the application before its body: reading waits for what has not come.

    `pull` waits for more and says whether there is any; it raises OSError where the body will not be whole.
    `length` is what has come so far.
    """

    cdef bint more(self) except -1:
        """Is there anything to read? Waits until it is known."""
        if self.pos == self.length:
            if self.conn is NULL:
                raise ValueError("wsgi.input is read after its request has ended")
            if self.pull is None or not self.pull():
                self.pull = None
                return False
            self.length = self.conn.body_len
        return True

    cdef bytes take_some(self, uint64_t most):
        """What is there, at most so much."""
        return self.take(min(most, self.length - self.pos))

    def read(self, size=-1):
        cdef Py_ssize_t n = -1 if size is None else size
        cdef uint64_t left = <uint64_t>PY_SSIZE_T_MAX if n < 0 else <uint64_t>n
        cdef list blocks = []
        while left > 0 and self.more():
            block = self.take_some(left)
            left -= <uint64_t>len(block)
            blocks.append(block)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def read1(self, size=-1):
        """What is there, at most `size` bytes; waits only if nothing is. b"" at the end."""
        cdef Py_ssize_t n = -1 if size is None else size
        if n == 0 or not self.more():
            return b""
        return self.take_some(<uint64_t>PY_SSIZE_T_MAX if n < 0 else <uint64_t>n)

    def readline(self, size=-1):
        cdef Py_ssize_t n = -1 if size is None else size
        cdef uint64_t left = <uint64_t>PY_SSIZE_T_MAX if n < 0 else <uint64_t>n
        cdef list blocks = []
        while left > 0 and self.more():
            block = self.take(fw_conn_body_line(self.conn, self.pos, <size_t>left))
            left -= <uint64_t>len(block)
            blocks.append(block)
            if block.endswith(b"\n"):
                break
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def readinto(self, buffer):
        with memoryview(buffer).cast("B") as view:
            block = self.read(len(view))
            view[: len(block)] = block
        return len(block)
