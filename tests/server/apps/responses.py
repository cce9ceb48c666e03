"""Applications that PEP 3333 allows, in all their variety; also run within wsgiref.validate."""

import hashlib
import io
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO
from wsgiref.types import StartResponse, WSGIEnvironment

from routing import TEXT, Router, answer, argument, process_id, wait_at_gate

application = Router()
view = application.view
application.views["/pid"] = process_id

closed: Counter[str] = Counter()  # how often the iterable of each token has been closed
secrets: dict[str, str] = {}
open_files: dict[
    str, IO[bytes]
] = {}  # the last file of each token, kept so that only the server can close it


@view
def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, b"Hello, world!\n")


@view
def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


SAME = "200 OK", ("Content-Type", "text/html"), ("X-Frame-Options", "DENY"), ("Vary", "Cookie")


@view
def same_objects(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The same objects in each answer, in the order that the request chooses; and who holds what else."""
    status, *fields = SAME
    chosen = [fields[int(index)] for index in argument(environ, "order")]
    held = [str(sys.getrefcount(secrets[key])) for key in ("cookie", "unsent") if key in secrets]
    secrets["cookie"], secrets["unsent"] = (argument(environ, "order") * times for times in (9, 8))
    cookie = ("Set-Cookie", secrets["cookie"])
    start_response(status, [("X-Held", " ".join(held)), cookie, *chosen, ("Content-Length", "4")])
    return [b"same"]


@view
def digest(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Length and SHA-256 of the body, which is read in pieces."""
    length, sha = 0, hashlib.sha256()
    while block := environ["wsgi.input"].read(65_536):
        length += len(block)
        sha.update(block)
    return answer(start_response, f"{length} {sha.hexdigest()}".encode())


@view
def one_block(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    return [b"one block"]


@view
def three_blocks(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    return [b"one ", b"two ", b"three"]


@view
def no_block(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    return []


@view
def empty_blocks(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    yield from (b"", b"before", b"", b"", b"after", b"")


@view
def blocks(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """`count` blocks of `size` bytes, none the same."""
    count, size = int(argument(environ, "count")), int(argument(environ, "size"))
    start_response("200 OK", [TEXT])
    for number in range(count):
        yield (b"%08d " % number * (size // 9 + 1))[:size]


@view
def big(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """One block of `size` bytes."""
    size = int(argument(environ, "size"))
    start_response("200 OK", [TEXT])
    return [b"".join(b"%08d " % number for number in range(size // 9 + 1))[:size]]


@view
def lazy(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A generator: start_response is not called before the first block is asked for."""
    start_response("200 OK", [TEXT, ("X-Lazy", "yes")])
    yield b"late"


@view
def written(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [TEXT])
    write(b"written, ")
    write(b"")
    write(b"written again, ")
    return [b"returned"]


@view
def written_with_length(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [TEXT, ("Content-Length", "10")])
    write(b"01234")
    write(b"56789")
    return []


@view
def gated_blocks(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    yield b"before the gate"
    wait_at_gate(environ)
    yield b", after the gate"


@view
def gated_write(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [TEXT])
    write(b"before the gate")
    wait_at_gate(environ)
    return [b", after the gate"]


@view
def gated(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    wait_at_gate(environ)
    return answer(start_response, b"after the gate")


@view
def replaced(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """An error after start_response and before the first byte: the second head replaces the first."""
    start_response("200 OK", [TEXT, ("X-First", "yes"), ("Content-Length", "5")])
    try:
        raise LookupError("nothing was sent yet")
    except LookupError:
        start_response("503 Service Unavailable", [TEXT, ("X-Second", "yes")], sys.exc_info())
    return [b"replaced"]


@view
def own_fields(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, b"mine", ("Server", "mine/1.0"), ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"))


@view
def repeated_fields(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    fields = [
        ("X-Order", "1"),
        ("Set-Cookie", "a=1"),
        ("X-Order", "2"),
        ("set-cookie", "b=2; Path=/"),
        ("X-Text", "caf\xe9"),
    ]
    return answer(start_response, b"", *fields)


@view
def no_content(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("204 No Content", [("X-View", "no_content")])
    return []


@view
def not_modified(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("304 Not Modified", [("ETag", '"1"')])
    return []


@view
def file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The file `path` from `offset`, with the Content-Length `length` if any, by wsgi.file_wrapper.

    Under another `status`, if there is one.
    """
    buffering = 0 if argument(environ, "raw") else -1
    stream = open(argument(environ, "path"), "rb", buffering)  # noqa: SIM115 - the server closes it
    open_files[argument(environ, "token")] = stream
    stream.seek(int(argument(environ, "offset", "0")))
    length = argument(environ, "length")
    status = argument(environ, "status", "200 OK")
    start_response(status, [TEXT, ("Content-Length", length)] if length else [TEXT])
    if block := argument(environ, "block"):
        return environ["wsgi.file_wrapper"](stream, int(block))
    return environ["wsgi.file_wrapper"](stream)


@view
def file_is_closed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, str(open_files[argument(environ, "token")].closed).encode())


@view
def pipe(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A file with a descriptor that has neither a size nor a position."""
    reader, writer = os.pipe()
    os.write(writer, b"0123456789" * 2000)
    os.close(writer)
    stream = open(reader, "rb")  # noqa: SIM115 - the server closes it
    open_files[argument(environ, "token")] = stream
    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](stream)


@view
def text_file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A mistake that is easily made: the file is not opened as binary."""
    stream = open(argument(environ, "path"))  # noqa: SIM115 - the server closes it
    open_files[argument(environ, "token")] = stream  # type: ignore[assignment]
    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](stream)


@view
def file_in_memory(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Something file-like that has no descriptor, not at its start."""
    stream = io.BytesIO(b"skipped " + b"0123456789" * 3000)
    stream.seek(8)
    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](stream)


@view
def file_that_translates(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A file whose descriptor does not tell what its read() returns."""

    class UpperCase(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            return super().read(size).upper()

    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](UpperCase(argument(environ, "path")))


@view
def file_with_only_read(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    class Minimal:
        read = io.BytesIO(b"0123456789" * 3000).read

    start_response("200 OK", [TEXT])
    return environ["wsgi.file_wrapper"](Minimal(), 1000)


@view
def file_by_hand(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What middleware does with a file_wrapper: iterate it, and close it."""
    wrapper = environ["wsgi.file_wrapper"](io.BytesIO(b"0123456789"), 4)
    start_response("200 OK", [TEXT])
    for block in wrapper:
        yield b"<" + block + b">"
    if hasattr(wrapper, "close"):
        wrapper.close()


@view
def errors(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    stream = environ["wsgi.errors"]
    stream.write("written to wsgi.errors, caf\xe9 \u20ac\n")
    stream.writelines(["one line, ", "and another\n"])
    stream.flush()
    return answer(start_response, b"")


class Tracked:
    """An iterable that counts how often it is closed."""

    def __init__(self, token: str, source: Iterator[bytes]) -> None:
        self.token = token
        self.source = source

    def __iter__(self) -> Iterator[bytes]:
        return self.source

    def close(self) -> None:
        closed[self.token] += 1


@view
def tracked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """`count` blocks of 1,000 bytes under `token`; instead of block number `raise` an exception."""
    count, fail = int(argument(environ, "count", "3")), int(argument(environ, "raise", "-1"))

    def source() -> Iterator[bytes]:
        for number in range(count):
            if number == fail:
                raise RuntimeError(f"block {number} failed")
            yield b"x" * 1000

    length = argument(environ, "length")
    start_response("200 OK", [TEXT, ("Content-Length", length)] if length else [TEXT])
    return Tracked(argument(environ, "token"), source())


@view
def closings(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """How often the iterable of `token` has been closed."""
    return answer(start_response, b"%d" % closed[argument(environ, "token")])
