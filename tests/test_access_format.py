"""fastwsgi/access_format.py, and the core's lines (csrc/fw_access), which must be the same byte for byte."""

import json
import os
import re
import time
from base64 import b64encode
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastwsgi import access_format
from fastwsgi._access import Format
from fastwsgi.access_format import REQUEST_LINE, SafeAtoms
from fastwsgi.message import Request, Response


def answered(status: str, sent: int, headers: list[tuple[str, str]]) -> Response:
    return Response(status, headers, sent=sent, length=None, headers_sent=True, closes=False)


ENVIRON = {
    "REMOTE_ADDR": "192.0.2.7",
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/a%20b?x=1",
    "PATH_INFO": "/a b",
    "QUERY_STRING": "x=1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_REFERER": "http://r/",
    "HTTP_USER_AGENT": "curl",
    "HTTP_X_FORWARDED_FOR": "198.51.100.1",
    "HTTP_AUTHORIZATION": "Basic YWxpY2U6c2VjcmV0",
    "CONTENT_TYPE": "text/plain",
    "wsgi.url_scheme": "http",
    "wsgi.multithread": False,
}
ANSWER = answered("200 OK", 1234, [("Content-Type", "text/html"), ("X-Id", "7"), ("x-id", "8")])
TOOK = timedelta(microseconds=2_345_678)


def atoms(environ: dict[str, object], answer: Response = ANSWER, took: timedelta = TOOK) -> SafeAtoms:
    return SafeAtoms(access_format.atoms(answer, Request(environ), environ, took, access_format.clock()))


def line(text: str, environ: dict[str, object] = ENVIRON) -> str:
    return text % atoms(environ)


@pytest.mark.parametrize(
    ("atom", "value"),
    [
        ("%(h)s", "192.0.2.7"),
        ("%(l)s", "-"),
        ("%(u)s", "alice"),
        ("%(r)s", "GET /a%20b?x=1 HTTP/1.1"),
        ("%(m)s", "GET"),
        ("%(U)s", "/a b"),
        ("%(q)s", "x=1"),
        ("%(H)s", "HTTP/1.1"),
        ("%(s)s", "200"),
        ("%(B)d", "1234"),
        ("%(b)s", "1234"),
        ("%(f)s", "http://r/"),
        ("%(a)s", "curl"),
        ("%(T)s", "2"),
        ("%(D)s", "2345678"),
        ("%(M)d", "2345"),
        ("%(L)s", "2.345678"),
        ("%(p)s", f"<{os.getpid()}>"),
        ("%({X-Forwarded-For}i)s", "198.51.100.1"),
        ("%({content-type}i)s", "text/plain"),
        ("%({absent}i)s", "-"),
        ("%({content-type}o)s", "text/html"),
        ("%({X-ID}o)s", "7,8"),
        ("%({absent}o)s", "-"),
        ("%({wsgi.url_scheme}e)s", "http"),
        ("%({wsgi.multithread}e)s", "False"),
        ("%({remote_addr}e)s", "192.0.2.7"),
        ("%({absent}e)s", "-"),
        ("%(absent)s", "-"),
        ("%%(h)s %(h)s 100%%", "%(h)s 192.0.2.7 100%"),
        ("%(h)-12s|", "192.0.2.7   |"),
        ("no atoms", "no atoms"),
    ],
)
def test_atoms(atom: str, value: str) -> None:
    assert line(atom) == value


def test_nothing_known() -> None:
    nothing: dict[str, object] = {"REMOTE_ADDR": ""}
    text = '%(h)s %(u)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
    made = text % atoms(nothing, answered("400", 0, []))
    assert made == '- - "-" 400 0 "-" "-"'


@pytest.mark.parametrize("value", ["Bearer x", "Basic", "Basic !", "Basic YWxpY2U", "Basic OnBhc3M=", ""])
def test_no_user(value: str) -> None:
    assert line("%(u)s", {"HTTP_AUTHORIZATION": value}) == "-"


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ('a"b', 'a\\"b'),
        ('a\\"b\\', 'a\\\\\\"b\\\\'),
        ("a\nb\r", "a\\x0ab\\x0d"),
        ("\x7f\x85\x00", "\\x7f\\x85\\x00"),
        ("caf\xe9", "caf\xe9"),
        ("caf\xc3\xa9", "caf\xe9"),
        ("\xe2\x80\xa8", "\\u2028"),
    ],
)
@pytest.mark.parametrize("atom", ["%(a)s", "%(U)s", "%({user-agent}i)s", "%({x}o)s", "%(r)s", "%(q)s"])
def test_a_client_cannot_write_lines(atom: str, value: str, escaped: str) -> None:
    environ: dict[str, object] = {
        "HTTP_USER_AGENT": value,
        "PATH_INFO": value,
        "QUERY_STRING": value,
        "REQUEST_METHOD": "GET",
        "RAW_URI": value,
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    made = atom % atoms(environ, answered("200", 0, [("X", value)]))
    assert made == (f"GET {escaped} HTTP/1.1" if atom == "%(r)s" else escaped)


def test_the_time() -> None:
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", access_format.clock())


def test_the_time_does_not_follow_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(1_700_000_000))
    assert access_format.clock().startswith("[14/Nov/2023:22:13:20 ")


def test_json() -> None:
    record = json.loads(access_format.json_line(ANSWER, ENVIRON, TOOK))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", record.pop("time"))
    assert record == {
        "remote_addr": "192.0.2.7",
        "user": "alice",
        "method": "GET",
        "path": "/a%20b",
        "query": "x=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 1234,
        "duration_ms": 2345.678,
        "host": None,
        "referer": "http://r/",
        "user_agent": "curl",
        "request_id": None,
        "pid": os.getpid(),
    }
    refused = json.loads(access_format.json_line(answered("400", 0, []), {REQUEST_LINE: "x\x00"}, TOOK))
    assert (refused["method"], refused["status"], refused["request_line"]) == (None, 400, "x\x00")


# --- the core's lines ---

VALUES = st.one_of(
    st.text(st.characters(codec="ascii", min_codepoint=0x21, max_codepoint=0x7E), min_size=1),
    st.text(st.characters(codec="utf-8", min_codepoint=0x21)).map(str.encode),
    st.binary(),
    st.lists(st.sampled_from([b'"', b"\\", b"a", b"\xe9", "é€😀\u2028\x9b\xa0\xad".encode(), b"x" * 9])).map(
        b"".join
    ),
).map(lambda value: value.encode() if isinstance(value, str) else value)
# what the parser lets through: no controls but HTAB, nothing but the value's own between its ends
FIELD_VALUES = VALUES.map(lambda value: re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"\t", value).strip(b" \t"))
TARGETS = st.builds(
    lambda path, query: b"/" + path + query,
    VALUES.map(lambda value: re.sub(rb"[^\x21-\x7e]|[?#]", b"%80", value)),
    VALUES.map(lambda value: b"?" + re.sub(rb"[^\x21-\x7e]|#", b"&", value)) | st.just(b""),
)
NAMES = st.sampled_from(
    [b"User-Agent", b"Referer", b"X-Request-Id", b"x-request-id", b"X-Thing", b"x-thing", b"Accept"]
)
FIELDS = st.lists(st.tuples(NAMES, FIELD_VALUES), max_size=6)
AUTHORIZATION = st.one_of(
    st.none(),
    st.binary(max_size=12).map(lambda user: b"Basic " + b64encode(user)),
    FIELD_VALUES.map(lambda value: b"Basic " + value),
)
ATOMS = st.sampled_from(
    [
        *(f"%({letter})s" for letter in "hlurmUqHsBbfaTDMLp"),
        *("%(B)d", "%(T)d", "%({X-Thing}i)s", "%({x-request-id}i)s", "%({ACCEPT}i)s", "%({host}i)s"),
        *("%(no)s", "%%", "é ", '"'),
    ]
)


def written(text: str, *request: object) -> bytes:
    """The line that the core makes, as it is found in a file."""
    fd = os.memfd_create("log")
    try:
        Format(text, fd).write(*request)  # type: ignore[arg-type]
        return os.pread(fd, 1 << 20, 0)
    finally:
        os.close(fd)


def environ_of(target: bytes, fields: list[tuple[bytes, bytes]], address: str) -> dict[str, object]:
    path, _, query = target.partition(b"?")
    environ: dict[str, object] = {
        "REMOTE_ADDR": address,
        "REQUEST_METHOD": "GET",
        "RAW_URI": target.decode("latin-1"),
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    headers = access_format.joined([(name.decode(), value.decode("latin-1")) for name, value in fields])
    for name, value in headers.items():
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    return environ


@given(
    st.lists(ATOMS, min_size=1, max_size=20).map("".join) | st.just(access_format.JSON),
    TARGETS,
    FIELDS,
    AUTHORIZATION,
    st.sampled_from(["192.0.2.7", "::1", ""]),
    st.integers(100, 999),
    st.integers(0, 2**63),
    st.integers(0, 2**50),
)
@settings(deadline=None)
def test_the_core_makes_the_same_lines(
    text: str,
    target: bytes,
    fields: list[tuple[bytes, bytes]],
    authorization: bytes | None,
    address: str,
    status: int,
    sent: int,
    took_ns: int,
) -> None:
    if authorization is not None:
        fields = [*fields, (b"Authorization", authorization)]
    fields = [(b"Host", b"example.org"), *fields]
    head = b"GET %s HTTP/1.1\r\n" % target
    head += b"".join(b"%s: %s\r\n" % field for field in fields) + b"\r\n"
    got = written(text, head, address, status, sent, took_ns).decode()  # always UTF-8

    environ = environ_of(target, fields, address)
    answer = answered(f"{status} Text", sent, [])
    took = timedelta(microseconds=took_ns // 1000)
    if text == access_format.JSON:
        want = access_format.json_line(answer, environ, took)
        json.loads(got)
        got, want = (re.sub('"time":"[^"]*"', "", each, count=1) for each in (got, want))
    else:
        want = text % atoms(environ, answer, took)
    assert got == want + "\n"
    assert got.count("\n") == 1
    assert all(char.isprintable() for char in got[:-1] if text != access_format.JSON and ord(char) < 0x100)


@given(VALUES.map(lambda value: value.replace(b"\r", b"\n")))
@settings(deadline=None)
def test_lines_of_what_is_no_request(sent: bytes) -> None:
    environ: dict[str, object] = {"REMOTE_ADDR": "::1", REQUEST_LINE: sent.decode("latin-1")}
    head = sent + b"\r\n"
    text = '"%(r)s" %(m)s'
    got = written(text, head, "::1", 400, 0, 0).decode()
    assert got == text % atoms(environ, answered("400", 0, [])) + "\n"
    record = json.loads(written("json", head, "::1", 400, 0, 0))
    assert record["status"] == 400
    if sent:
        assert record["request_line"] == access_format.decoded(sent.decode("latin-1"))


@pytest.mark.parametrize("text", ["%({x}o)s", "%({x}e)s", "%(h)9s", "%(h).3s"])
def test_what_only_python_can_format(text: str) -> None:
    with pytest.raises(ValueError, match="cannot make lines"):
        Format(text)


def test_the_time_is_the_same() -> None:
    for _ in range(100):
        before = access_format.clock()
        got = written("%(t)s", b"GET / HTTP/1.0\r\n\r\n", "", 200, 0, 0).decode()
        if before == access_format.clock():
            assert got == before + "\n"
            return
    raise AssertionError("the seconds go too quickly")


def test_a_path_below_script_name() -> None:
    fd = os.memfd_create("log")
    Format("%(U)s", fd, "/app").write(b"GET /%61pp/x HTTP/1.0\r\n\r\n", "", 200, 0, 0)
    assert os.pread(fd, 99, 0) == b"/x\n"
    os.close(fd)


def test_a_line_that_cannot_be_written() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        Format("x", writing).write(b"GET / HTTP/1.0\r\n\r\n", "", 200, 0, 0)
    os.close(writing)


def test_headers_of_any_kind() -> None:
    """What gunicorn's Logger takes for a request: one that has headers, or the headers themselves."""
    pairs = [("X-A", "1"), ("x-a", "2")]
    assert access_format.joined(pairs) == access_format.joined({"x-a": "1,2"}) == {"x-a": "1,2"}
    resp = SimpleNamespace(status=204, headers=[])
    made = access_format.atoms(resp, pairs, {}, timedelta(), "")
    assert (made["s"], made["b"], made["B"], made["{x-a}i"]) == (204, "-", None, "1,2")


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("GET /a?b#c HTTP/1.1", {"PATH_INFO": "/a", "QUERY_STRING": "b", "RAW_URI": "/a?b#c"}),
        ("GET /a HTTP/1.0", {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.0"}),
        ("GET /a", {}),
        ("GET  /a HTTP/1.1", {}),
        ("", {}),
    ],
)
def test_a_request_of_which_there_is_only_a_line(line: str, known: dict[str, str]) -> None:
    environ = access_format.environ_of_line(line, "192.0.2.7")
    assert environ.items() >= known.items()
    assert ("REQUEST_METHOD" in environ) == bool(known)
    assert access_format.request_line(environ) == (line or "-")
