"""The oracle: what docs/http.md says, once more, in the plainest way.

It is shown all bytes at once, and works from the grammar of RFC 9112, RFC 9110 and RFC 3986, written as
regular expressions that carry the names of its rules. It shares nothing with the core. It is slow, and that
is its merit: there is nothing in it but the rules.

`events` gives lines as the `events` blocks of tests/cases have them.
"""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from corpus import escaped

# RFC 9110 section 5.6.2, RFC 9112 section 3.2, RFC 9110 section 5.5
TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
TARGET = rb"[\x21-\x7E]+"
VALUE = re.compile(rb"[\t\x20-\x7E\x80-\xFF]*")
METHOD_BYTE = re.compile(rb"[!$%&'*+.^_`|~0-9A-Z-]*")
TOKEN_BYTE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]*")
BWS = rb"[ \t]*"

REQUEST_LINE = re.compile(rb"(%b) (%b) HTTP/1\.([01])" % (TOKEN, TARGET))
VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")

# RFC 3986 sections 3.1 and 3.2.2
SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://")
REG_NAME = rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
IP_FUTURE = rb"[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+"
HOST = re.compile(rb"(?:%b|\[(?:(?P<v6>[0-9A-Fa-f:.]+)|%b)\])(?::(?P<port>[0-9]*))?" % (REG_NAME, IP_FUTURE))

# RFC 9112 section 7.1, RFC 9110 section 5.6.4
QUOTED = rb'"(?:[^"\\]|\\.)*"'
EXTENSIONS = re.compile(
    rb"(?:%b;%b%b(?:%b=%b(?:%b|%b))?)*" % (BWS, BWS, TOKEN, BWS, BWS, TOKEN, QUOTED), re.DOTALL
)

STATUS = {
    "VERSION": 505,
    "LINE_TOO_LONG": 414,
    "FIELD_TOO_LONG": 431,
    "FIELDS_TOO_MANY": 431,
    "HEAD_TOO_LONG": 431,
    "TRAILER_TOO_LONG": 431,
    "CODING_UNKNOWN": 501,
    "EXPECT_UNKNOWN": 417,
    "BODY_TOO_LONG": 413,
}

# RFC 9110 section 6.5.1: see the table in docs/http.md
FORBIDDEN_TRAILERS = frozenset(
    b"""
    content-length transfer-encoding trailer te connection keep-alive proxy-connection upgrade
    host forwarded via x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-forwarded-ssl
    x-real-ip authorization proxy-authorization proxy-authenticate www-authenticate cookie set-cookie
    expect max-forwards cache-control pragma range if-range if-match if-none-match if-modified-since
    if-unmodified-since content-type content-encoding content-range content-disposition
    """.split()
)

Field = tuple[bytes, bytes]


class RefusedError(Exception):
    """The name of a row of csrc/fw_error.h."""


class IncompleteError(Exception):
    """Nothing is wrong so far, and what comes next decides."""


@dataclass(frozen=True)
class Rules:
    """The limits, with the names and meanings of fastwsgi.http.Limits."""

    line: int = 4094
    fields: int = 100
    field_size: int = 8190
    head: int = 128 * 1024
    chunk_line: int = 1024
    trailer: int = 8192
    body: int = 0
    any_method: int = 0
    refuse_underscore: int = 0


@dataclass
class Head:
    method: bytes
    target: bytes
    minor: int
    form: str
    path: bytes
    query: bytes
    authority: bytes
    fields: list[Field]


def events(data: bytes, rules: Rules) -> list[str]:
    """The events of everything that has arrived: any number of requests behind one another."""
    out: list[str] = []
    at = 0
    try:
        while at < len(data):
            for event in request(data, at, rules):
                if isinstance(event, int):
                    at = event
                else:
                    out.append(event)
    except IncompleteError:
        out.append("more")
    except RefusedError as refused:
        name = str(refused)
        out.append(f"{STATUS.get(name, 400)} {name}")
    return out


def request(data: bytes, start: int, rules: Rules) -> Iterator[str | int]:
    """The events of the request that begins at `start`, and at last where it ends."""
    view = data[: start + rules.head]
    try:
        head, at = parse_head(view, start, rules)
    except IncompleteError:
        if len(data) - start > rules.head:
            raise RefusedError("HEAD_TOO_LONG") from None
        raise
    framing = frame(head, rules)
    yield from describe(head, framing)
    if framing.chunked:
        yield from chunked_body(data, at, rules)
        return
    body = data[at : at + framing.length]
    if body:
        yield from say("data", body)
    if len(body) < framing.length:
        raise IncompleteError
    yield "end"
    yield at + framing.length


# ---- lines: RFC 9112 section 2.2 ----


def line_at(data: bytes, at: int, limit: int, too_long: str) -> tuple[bytes, bytes]:
    """The text of the line at `at`, which has at most `limit` bytes, and the two bytes that end it: they are
    CR LF if all is well. The second may be missing where the first decides."""
    found = VALUE.match(data, at)
    assert found
    text, end = found[0], data[found.end() : found.end() + 2]
    if len(text) > limit:
        raise RefusedError(too_long)
    if end in (b"", b"\r"):
        raise IncompleteError
    return text, end


def bad_end(end: bytes) -> bool:
    """Is it a CR or LF that stands alone?"""
    return end[:1] in (b"\r", b"\n") and end != b"\r\n"


# ---- request line: RFC 9112 section 3 ----


def parse_head(data: bytes, start: int, rules: Rules) -> tuple[Head, int]:
    at = start
    if data[at : at + 1] == b"\r":  # RFC 9112 section 2.2: one empty line in front
        if len(data) < at + 2:
            raise IncompleteError
        if data[at + 1 : at + 2] != b"\n":
            raise RefusedError("REQUEST_LINE")
        at += 2
    check_method(data[at:], rules)
    text, end = line_at(data, at, rules.line or len(data), "LINE_TOO_LONG")
    good = REQUEST_LINE.fullmatch(text)
    if not good or end != b"\r\n":
        raise RefusedError(bad_request_line(text, end))
    head = target_of(good[1], good[2])
    head.minor = int(good[3])
    at += len(text) + 2
    while not ends_section(data, at):
        if data[at : at + 1] in (b" ", b"\t"):
            raise RefusedError("FIELD_FOLDED")
        if len(head.fields) == rules.fields:
            raise RefusedError("FIELDS_TOO_MANY")
        field, at = field_at(data, at, rules)
        head.fields.append(field)
    return head, at + 2


def check_method(data: bytes, rules: Rules) -> None:
    """What is wrong in the first bytes is refused before the line is whole."""
    view = data[: min(21, rules.line or 21)]
    found = (TOKEN_BYTE if rules.any_method else METHOD_BYTE).match(view)
    assert found
    length = found.end()
    if length == len(view):
        if length > 20 and not rules.any_method:
            raise RefusedError("METHOD")
    elif view[length : length + 1] != b" " or length < (1 if rules.any_method else 3):
        raise RefusedError(bad_method(view, length))


def bad_method(data: bytes, length: int) -> str:
    """The refusal where `length` bytes of a method are followed by something else."""
    byte = data[length]
    if byte in b" \t\r\n":
        return "METHOD" if byte == 0x20 and length > 0 else "REQUEST_LINE"
    return "NOT_HTTP" if byte < 0x20 or byte >= 0x7F else "METHOD"


def bad_request_line(text: bytes, end: bytes) -> str:
    method = TOKEN_BYTE.match(text)
    assert method
    if text[method.end() : method.end() + 1] != b" ":
        return bad_method(text + end, method.end())
    target, space, version = text[method.end() + 1 :].partition(b" ")
    if re.search(rb"[^\x21-\x7E]", target):
        return "TARGET"
    if bad_end(end):
        return "LINE_END"
    if end != b"\r\n":
        return "NOT_HTTP" if space else "TARGET"
    if not target or not version or b" " in version:
        return "REQUEST_LINE"
    return "VERSION" if VERSION.fullmatch(version) else "NOT_HTTP"


# ---- target: RFC 9112 section 3.2 ----


def target_of(method: bytes, target: bytes) -> Head:
    if method == b"CONNECT":
        if target[:1] in (b"/", b"*"):
            raise RefusedError("TARGET_FORM")
        if not valid_host(target, port_needed=True):
            raise RefusedError("TARGET")
        return Head(method, target, 0, "authority", b"", b"", target, [])
    scheme = SCHEME.match(target)
    if target.startswith(b"/"):
        form, rest, authority = "origin", target, b""
    elif target == b"*":
        if method != b"OPTIONS":
            raise RefusedError("TARGET_FORM")
        form, rest, authority = "asterisk", target, b""
    elif scheme:
        form = "absolute"
        found = re.match(rb"[^/?#]*", target[scheme.end() :])
        assert found
        authority, rest = found[0], target[scheme.end() + found.end() :]
        if not valid_host(authority):
            raise RefusedError("TARGET")
    else:
        raise RefusedError("TARGET_FORM" if valid_host(target, port_needed=True) else "TARGET")
    path, _, query = rest.partition(b"#")[0].partition(b"?")
    return Head(method, target, 0, form, path, query, authority, [])


def valid_host(text: bytes, port_needed: bool = False) -> bool:
    """RFC 3986 section 3.2.2, RFC 9110 section 7.2"""
    found = HOST.fullmatch(text)
    if not found or (port_needed and not found["port"]):
        return False
    if found["port"] and int(found["port"]) > 65535:
        return False
    try:
        return not found["v6"] or bool(ipaddress.IPv6Address(found["v6"].decode()))
    except ValueError:
        return False


# ---- fields: RFC 9112 section 5 ----


def ends_section(data: bytes, at: int) -> bool:
    """Is the line at `at` the empty one?"""
    if at == len(data):
        raise IncompleteError
    if data[at : at + 1] != b"\r":
        return False
    if at + 1 == len(data):
        raise IncompleteError
    if data[at + 1 : at + 2] != b"\n":
        raise RefusedError("LINE_END")
    return True


def field_at(data: bytes, at: int, rules: Rules) -> tuple[Field, int]:
    """The field line at `at`, and where the next one begins."""
    limit = rules.field_size - 2 if rules.field_size else len(data)
    text, end = line_at(data, at, limit, "FIELD_TOO_LONG")
    name, colon, value = text.partition(b":")
    if bad_end(end):
        raise RefusedError("LINE_END")
    if end != b"\r\n":
        raise RefusedError("FIELD_VALUE" if colon else "FIELD_NAME")
    if not colon or not re.fullmatch(TOKEN, name):
        raise RefusedError("FIELD_NAME")
    if b"_" in name and rules.refuse_underscore:
        raise RefusedError("FIELD_UNDERSCORE")
    return (name, value.strip(b" \t")), at + len(text) + 2


# ---- framing: RFC 9112 sections 3.2, 6 and 9 ----


@dataclass
class Framing:
    host: bytes | None = None
    length: int = 0
    has_length: bool = False
    chunked: bool = False
    expect: bool = False
    upgrade: bool = False
    keep_alive: bool = False


def elements(value: bytes) -> list[bytes]:
    """Of a list, RFC 9110 section 5.6.1, in small letters."""
    return [element.strip(b" \t").lower() for element in value.split(b",")]


def frame(head: Head, rules: Rules) -> Framing:
    framing = Framing()
    seen: set[bytes] = set()
    codings: list[bytes] = []
    options: list[bytes] = []
    for name, value in head.fields:
        name = name.lower()
        check_field(name, value, seen, framing)
        if name == b"transfer-encoding":
            codings += elements(value)
        if name == b"connection":
            options += elements(value)
        seen.add(name)
    if head.minor and framing.host is None:
        raise RefusedError("HOST_MISSING")
    if b"transfer-encoding" in seen:
        if not head.minor:
            raise RefusedError("CODING_ON_1_0")
        if framing.has_length:
            raise RefusedError("LENGTH_AND_CODING")
        check_codings(codings)
        framing.chunked = True
    if rules.body and framing.length > rules.body:
        raise RefusedError("BODY_TOO_LONG")
    framing.keep_alive = b"close" not in options and (bool(head.minor) or b"keep-alive" in options)
    framing.expect = framing.expect and bool(head.minor)
    framing.upgrade = bool(head.minor) and b"upgrade" in seen and b"upgrade" in options
    return framing


def check_field(name: bytes, value: bytes, seen: set[bytes], framing: Framing) -> None:
    """What one field says by itself, and whether it may stand there again."""
    once = {b"host": "HOST_REPEATED", b"content-length": "LENGTH_REPEATED", b"content-type": "FIELD_REPEATED"}
    if name in once and name in seen:
        raise RefusedError(once[name])
    if name == b"host":
        if value and not valid_host(value):
            raise RefusedError("HOST_INVALID")
        framing.host = value
    if name == b"content-length":
        if not re.fullmatch(rb"[0-9]{1,19}", value) or int(value) >= 2**63:
            raise RefusedError("LENGTH_INVALID")
        framing.has_length, framing.length = True, int(value)
    if name == b"expect":
        if value.lower() != b"100-continue":
            raise RefusedError("EXPECT_UNKNOWN")
        framing.expect = True


def check_codings(codings: list[bytes]) -> None:
    """Refuse whatever is not one chunked."""
    for at, coding in enumerate(codings):
        if at > 0 or not coding:
            raise RefusedError("CODING_NOT_LAST")
        found = TOKEN_BYTE.match(coding)
        assert found
        if found[0] != b"chunked":
            raise RefusedError("CODING_UNKNOWN")
        if coding != b"chunked":
            raise RefusedError("CODING_NOT_LAST")


# ---- chunks: RFC 9112 section 7.1 ----


def chunked_body(data: bytes, at: int, rules: Rules) -> Iterator[str | int]:
    body = b""
    problem: Exception | None = None
    try:
        while True:
            size, at = chunk_size(data, at, rules, len(body))
            if size == 0:
                break
            body += data[at : at + size]
            at += size
            if at > len(data):
                raise IncompleteError
            if data[at : at + 2] != b"\r\n":
                raise IncompleteError if data[at:] in (b"", b"\r") else RefusedError("CHUNK_END")
            at += 2
    except (IncompleteError, RefusedError) as error:
        problem = error
    if body:
        yield from say("data", body)
    if problem:
        raise problem
    yield from trailers(data, at, rules)


def chunk_size(data: bytes, at: int, rules: Rules, before: int) -> tuple[int, int]:
    """The size in the line at `at`, and where the data begins; `before` bytes of body came before."""
    if at == len(data):
        raise IncompleteError
    if not re.match(rb"[0-9A-Fa-f]", data[at : at + 1]):
        raise RefusedError("CHUNK_SIZE")
    text, end = line_at(data, at, rules.chunk_line - 2, "CHUNK_LINE_TOO_LONG")
    digits = re.match(rb"[0-9A-Fa-f]+", text)
    assert digits
    size, rest = int(digits[0], 16), text[digits.end() :]
    if size >= 2**63:
        raise RefusedError("CHUNK_TOO_LONG")
    if rest and not rest.lstrip(b" \t").startswith(b";"):
        raise RefusedError("CHUNK_SIZE")
    if not EXTENSIONS.fullmatch(rest):
        raise RefusedError("CHUNK_EXTENSION")
    if end != b"\r\n":
        raise RefusedError("LINE_END")
    if rules.body and before + size > rules.body:
        raise RefusedError("BODY_TOO_LONG")
    return size, at + len(text) + 2


def trailers(data: bytes, at: int, rules: Rules) -> Iterator[str | int]:
    """RFC 9112 section 7.1.2"""
    start, count = at, 0
    while not ends_section(data, at):
        if count == rules.fields:
            raise RefusedError("FIELDS_TOO_MANY")
        view = data[: start + rules.trailer]
        try:
            if at >= len(view):
                raise IncompleteError
            if view[at : at + 1] in (b" ", b"\t"):
                raise RefusedError("FIELD_FOLDED")
            (name, value), at = field_at(view, at, rules)
        except IncompleteError:
            if len(data) > len(view):
                raise RefusedError("TRAILER_TOO_LONG") from None
            raise
        if name.lower() in FORBIDDEN_TRAILERS:
            raise RefusedError("TRAILER_FORBIDDEN")
        yield say_field("trailer", name, value)
        count += 1
    yield "end"
    yield at + 2


# ---- words ----


def say(label: str, data: bytes) -> Iterator[str]:
    yield f"{label} {escaped(data)}" if data else label


def say_field(label: str, name: bytes, value: bytes) -> str:
    return f"{label} {escaped(name)}:" + (f" {escaped(value)}" if value else "")


def describe(head: Head, framing: Framing) -> Iterator[str]:
    """The head's events."""
    yield f"request {escaped(head.method)} {escaped(head.target)} 1.{head.minor}"
    if head.form != "origin":
        yield f"form {head.form}"
    if head.path != head.target:
        yield from say("path", head.path)
        yield from say("query", head.query)
    if b"%" in head.path:
        yield "escaped"
    for name, value in head.fields:
        yield say_field("field", name, value)
    if head.authority:
        yield f"host {escaped(head.authority)}"
    if framing.has_length:
        yield f"body {framing.length}"
    if framing.chunked:
        yield "body chunked"
    for said, word in (
        (framing.expect, "expect"),
        (framing.upgrade, "upgrade"),
        (not framing.keep_alive, "close"),
    ):
        if said:
            yield word
