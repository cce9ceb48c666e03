"""An HTTP client that sends exactly the bytes it is given and reads answers strictly.

It is slow, has no opinions about requests, and an answer that RFC 9112 does not allow fails the test.
"""

import re
import socket
import ssl
import struct
from dataclasses import dataclass, field
from typing import Any, Self

TIMEOUT = 20.0  # seconds; a server that has not answered by then never will

STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) (\d{3}) ([\t \x21-\x7e\x80-\xff]*)")
FIELD_LINE = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[ \t]*"
)
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")


@dataclass
class Response:
    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]  # names in lower case, in order
    body: bytes = b""
    chunks: list[bytes] | None = None  # of a chunked body
    complete: bool = True  # False if the body was cut short
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str | None:
        """The value of the one field called `name`, or None."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times: {self.headers}"
        return values[0] if values else None

    @property
    def closes(self) -> bool:
        """Whether the server says that this is the connection's last answer."""
        options = [option.strip().lower() for value in self.all("connection") for option in value.split(",")]
        return "close" in options or (self.version == "1.0" and "keep-alive" not in options)


def request(
    method: str,
    target: str,
    *fields: tuple[str, str],
    body: bytes | None = None,
    chunks: list[bytes] | None = None,
    version: str = "HTTP/1.1",
) -> bytes:
    """A request; Host is added, and the framing of `body` or `chunks`, unless they are among the fields."""
    lines = [f"{method} {target} {version}"]
    names = {name.lower() for name, _ in fields}
    if "host" not in names:
        lines.append("Host: test")
    if body is not None and "content-length" not in names:
        lines.append(f"Content-Length: {len(body)}")
    if chunks is not None:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Client:
    """One connection.  `with` closes it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    @classmethod
    def open(cls, address: str, receive_buffer: int | None = None, source: str | None = None) -> "Client":
        """Connect to http://HOST:PORT, https://HOST:PORT (whoever that is) or unix:PATH.

        `receive_buffer` is the socket's, in bytes; `source` the address to come from.
        """
        if address.startswith("unix:"):
            sock = socket.socket(socket.AF_UNIX)
            target: str | tuple[str, int] = address.removeprefix("unix:")
        else:
            host, _, port = address.partition("://")[2].rpartition(":")
            sock = socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            target = (host.strip("[]"), int(port))
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            sock.settimeout(TIMEOUT)
            if source:
                sock.bind((source, 0))
            sock.connect(target)
            if address.startswith("https:"):
                sock = tls().wrap_socket(sock)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def half_close(self) -> None:
        """Say that nothing more will be sent (a FIN), and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Drop the connection as a crashed client's kernel does (a RST)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def ask(self, method: str, target: str, *fields: tuple[str, str], **how: Any) -> Response:
        """Send request(...) and read its answer."""
        self.send(request(method, target, *fields, **how))
        return self.response(method)

    def get(self, target: str, *fields: tuple[str, str]) -> Response:
        return self.ask("GET", target, *fields)

    def response(self, method: str = "GET") -> Response:
        """The next answer; `complete` says whether all of its body came.

        `method` is that of the request, which decides whether there is a body (RFC 9112 section 6.3).
        """
        head = self._until(b"\r\n\r\n")
        assert head is not None, f"connection ended without an answer, after {self.buffer!r}"
        status_line, *field_lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        match = STATUS_LINE.fullmatch(status_line)
        assert match, f"bad status line {status_line!r}"
        response = Response(
            match[1].decode(),
            int(match[2]),
            match[3].decode("latin-1"),
            [parse_field(line) for line in field_lines],
        )
        self._read_body(response, method)
        return response

    def _read_body(self, response: Response, method: str) -> None:
        length = response.header("content-length")
        coding = response.header("transfer-encoding")
        assert length is None or coding is None, f"both lengths: {response.headers}"
        if response.status // 100 == 1 or response.status == 204:
            assert length is None and coding is None, f"{response.status} with a length: {response.headers}"
        elif method == "HEAD" or response.status == 304:
            pass
        elif coding is not None:
            assert coding == "chunked" and response.version == "1.1", f"bad framing: {response.headers}"
            self._read_chunks(response)
        elif length is not None:
            assert length.isdecimal(), f"bad length {length!r}"
            response.body = self._take(int(length))
            response.complete = len(response.body) == int(length)
        else:
            assert response.closes, f"no length, yet the connection stays: {response.headers}"
            try:
                while self.receive():
                    pass
            except ConnectionResetError:  # the only way to say that such a body is not whole
                response.complete = False
            response.body = self._cut(len(self.buffer))

    def _read_chunks(self, response: Response) -> None:
        response.chunks = []
        data = b""
        while line := self._until(b"\r\n"):
            size_text = line.removesuffix(b"\r\n")
            assert CHUNK_SIZE.fullmatch(size_text), f"bad chunk size {line!r}"
            size = int(size_text, 16)
            if size == 0:
                while (trailer := self._until(b"\r\n")) != b"\r\n":
                    assert trailer, "connection ended among the trailers"
                    response.trailers.append(parse_field(trailer.removesuffix(b"\r\n")))
                response.body = b"".join(response.chunks)
                return
            data = self._take(size + 2)
            if len(data) < size + 2:
                break
            assert data.endswith(b"\r\n"), f"chunk of {size} bytes without its end"
            response.chunks.append(data[:-2])
            data = b""
        response.complete = False
        response.body = b"".join(response.chunks) + data

    def at_eof(self) -> bool:
        """Wait for the server to end the connection; False if it sends something. A reset is an error."""
        return not self.buffer and not self.receive()

    def rest(self) -> bytes:
        """Everything up to the orderly end of the connection."""
        while self.receive():
            pass
        return self._cut(len(self.buffer))

    def _cut(self, end: int) -> bytes:
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    def receive(self) -> bool:
        """Wait for more and put it into `buffer`; False at the orderly end of the connection."""
        data = self.sock.recv(256 * 1024)
        self.buffer += data
        return bool(data)

    def _until(self, mark: bytes) -> bytes | None:
        """The bytes up to and with `mark`; None if the connection ends before it."""
        while (end := self.buffer.find(mark)) < 0:
            if not self.receive():
                return None
        return self._cut(end + len(mark))

    def _take(self, count: int) -> bytes:
        """`count` bytes, or fewer if the connection ends before."""
        data = bytearray(self._cut(count))
        while len(data) < count and (more := self.sock.recv(min(count - len(data), 1 << 20))):
            data += more
        return bytes(data)


def tls() -> ssl.SSLContext:
    """A client that trusts everybody."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def parse_field(line: bytes) -> tuple[str, str]:
    match = FIELD_LINE.fullmatch(line)
    assert match, f"bad field line {line!r}"
    return match[1].decode().lower(), match[2].decode("latin-1")
