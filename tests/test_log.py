"""fastwsgi/log.py: the error log's lines, the access log's format."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastwsgi import log
from fastwsgi.errors import ConfigError
from fastwsgi.log import Logger, Record, compile_format
from fastwsgi.settings import Layer, Settings, declared

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
RECORD = Record(ENVIRON, "200 OK", 1234, [("Content-Type", "text/html"), ("X-Id", "7")], 2_345_678_901)


def line(text: str, record: Record = RECORD) -> str:
    return compile_format(text)(record)


NewLogger = Callable[..., Logger]


@pytest.fixture
def logger() -> Iterator[NewLogger]:
    """logger(**settings): a Logger that is closed after the test."""
    made: list[Logger] = []

    def new(**settings: object) -> Logger:
        made.append(Logger(Settings([Layer("test", settings)])))
        return made[-1]

    yield new
    for each in made:
        each.close()


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
        ("%(L)s", "2.345679"),
        ("%(p)s", f"<{os.getpid()}>"),
        ("%({X-Forwarded-For}i)s", "198.51.100.1"),
        ("%({content-type}i)s", "text/plain"),
        ("%({absent}i)s", "-"),
        ("%({content-type}o)s", "text/html"),
        ("%({X-ID}o)s", "7"),
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
    nothing = Record({"REMOTE_ADDR": ""}, "400", 0, [], 0)
    assert line('%(h)s %(u)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"', nothing) == '- - "-" 400 0 "-" "-"'


@pytest.mark.parametrize("value", ["Bearer x", "Basic", "Basic !", "Basic /////w==", "Basic OnBhc3M=", ""])
def test_no_user(value: str) -> None:
    assert line("%(u)s", Record({"HTTP_AUTHORIZATION": value}, "200", 0, [], 0)) == "-"


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ('a"b', 'a\\"b'),
        ("a\nb\r", "a\\x0ab\\x0d"),
        ("\x7f\x85\x00", "\\x7f\\x85\\x00"),
        ("caf\xe9", "caf\xe9"),
    ],
)
@pytest.mark.parametrize("atom", ["%(a)s", "%(U)s", "%({user-agent}i)s", "%({x}o)s", "%(r)s", "%(q)s"])
def test_a_client_cannot_write_lines(atom: str, value: str, escaped: str) -> None:
    environ = {
        "HTTP_USER_AGENT": value,
        "PATH_INFO": value,
        "QUERY_STRING": value,
        "REQUEST_METHOD": "GET",
        "RAW_URI": value,
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    made = line(atom, Record(environ, "200", 0, [("X", value)], 0))
    assert made == (f"GET {escaped} HTTP/1.1" if atom == "%(r)s" else escaped)


def test_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = compile_format("%(t)s")
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", made(RECORD))
    now = 1_700_000_000.25
    calls = []
    strftime = time.strftime
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(time, "strftime", lambda *args: calls.append(args) or strftime(*args))
    first = made(RECORD)
    now += 0.5
    assert made(RECORD) == first
    assert len(calls) == 1  # made once a second
    now += 0.5
    assert made(RECORD) != first


def test_only_what_the_format_names_is_computed() -> None:
    assert line("%(s)s", Record(None, "204 No Content", 0, None, 0)) == "204"  # type: ignore[arg-type]


def test_access_lines_are_written_together(
    logger: NewLogger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access"
    target = logger(accesslog=str(path), access_log_format="%(s)s %(b)s")
    assert target.access_enabled
    writes = []
    write = os.write
    monkeypatch.setattr(log.os, "write", lambda fd, data: writes.append(data) or write(fd, data))
    for sent in range(3):
        target.access(ENVIRON, "200 OK", sent, [], 0)
    assert path.read_text() == ""
    target.flush()
    target.flush()
    assert writes == [b"200 0\n200 1\n200 2\n"]
    assert path.read_bytes() == writes[0]


def test_lines_are_not_held_without_end(logger: NewLogger, tmp_path: Path) -> None:
    path = tmp_path / "access"
    target = logger(accesslog=str(path), access_log_format="x")
    for _ in range(log.LINES_HELD):
        target.access(ENVIRON, "200 OK", 0, [], 0)
    assert path.read_text() == "x\n" * log.LINES_HELD


def test_an_access_log_is_appended_to(logger: NewLogger, tmp_path: Path) -> None:
    path = tmp_path / "access"
    path.write_text("before\n")
    target = logger(accesslog=str(path), access_log_format="%(a)s")
    target.access({"HTTP_USER_AGENT": "caf\xe9"}, "200 OK", 0, [], 0)
    target.flush()
    assert path.read_bytes() == b"before\ncaf\xc3\xa9\n"


def test_a_pipe_that_is_full_or_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = b"x" * 200_000
    got = bytearray()

    def drain(*_: object) -> None:
        got.extend(os.read(reading, 1 << 20))

    monkeypatch.setattr(log.select, "select", drain)
    log._write(data, writing)
    while len(got) < len(data):
        drain()
    assert bytes(got) == data
    os.close(reading)
    log._write(b"nobody reads this", writing)
    os.close(writing)


def test_error_log(logger: NewLogger, tmp_path: Path) -> None:
    path = tmp_path / "error"
    target = logger(errorlog=str(path), loglevel="warning")
    target.info("not severe enough")
    target.warning("%s is %d", "x", 5)
    target.errors.write("from the application\n")
    first, second, *rest = path.read_text().splitlines()
    expected = rf"\[\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{{4}}\] \[{os.getpid()}\] \[WARNING\] x is 5"
    assert re.fullmatch(expected, first)
    assert second == "from the application"
    assert not rest


def test_a_closed_logger_writes_what_it_has(logger: NewLogger, tmp_path: Path) -> None:
    access, errors = tmp_path / "access", tmp_path / "error"
    target = logger(accesslog=str(access), errorlog=str(errors), access_log_format="x")
    target.access(ENVIRON, "200 OK", 0, [], 0)
    target.close()
    assert access.read_text() == "x\n"
    logger(errorlog=str(tmp_path / "second")).error("only here")
    assert errors.read_text() == ""
    assert "only here" in (tmp_path / "second").read_text()


def test_refused_requests(logger: NewLogger, tmp_path: Path) -> None:
    errors, access = tmp_path / "error", tmp_path / "access"
    target = logger(errorlog=str(errors), accesslog=str(access))
    target.refused("192.0.2.7", 431, "too many header fields", "GET /x HTTP/1.1")
    target.refused("192.0.2.7", 400, "malformed request line", "GET  /x\x01 HTTP/1.1")
    target.flush()
    assert "[WARNING] Invalid request from ip=192.0.2.7: too many header fields\n" in errors.read_text()
    first, second = access.read_text().splitlines()
    assert re.fullmatch(r'192\.0\.2\.7 - - \[.*\] "GET /x HTTP/1\.1" 431 0 "-" "-"', first)
    assert re.fullmatch(r'192\.0\.2\.7 - - \[.*\] "-" 400 0 "-" "-"', second)


@pytest.mark.parametrize(("level", "count"), [("info", 0), ("debug", 1)])
def test_a_client_that_went_away_is_no_news(
    logger: NewLogger, tmp_path: Path, level: str, count: int
) -> None:
    errors, access = tmp_path / "error", tmp_path / "access"
    target = logger(errorlog=str(errors), accesslog=str(access), loglevel=level)
    target.refused("192.0.2.7", 0, "client left", "GET / HTTP/1.1")
    target.flush()
    assert access.read_text() == ""
    assert errors.read_text().count("[DEBUG] Closed the connection from ip=192.0.2.7: client left") == count


def test_refused_requests_without_an_access_log(logger: NewLogger, tmp_path: Path) -> None:
    target = logger(errorlog=str(tmp_path / "error"))
    assert not target.access_enabled
    target.refused("", 400, "no", "")
    target.flush()
    assert "Invalid request from ip=: no" in (tmp_path / "error").read_text()


def test_an_unknown_level_is_info(logger: NewLogger, tmp_path: Path) -> None:
    path = tmp_path / "error"
    logger(errorlog=str(path), loglevel="notice").info("shown")
    assert "no log level 'notice'" in path.read_text()
    assert "shown" in path.read_text()


@pytest.mark.parametrize("name", ["errorlog", "accesslog"])
def test_a_file_that_cannot_be_opened(logger: NewLogger, name: str, tmp_path: Path) -> None:
    path = str(tmp_path / "no" / "such" / "directory")
    with pytest.raises(ConfigError, match="cannot be opened for writing: No such file") as caught:
        logger(**{name: path})
    assert (caught.value.setting, caught.value.value, caught.value.source) == (name, path, "test")


@pytest.mark.parametrize("text", ["%(h)", "%(h)d", "%(a)q", "100% %(s)s", "%s"])
def test_a_format_that_cannot_be_used(logger: NewLogger, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        logger(access_log_format=text, accesslog=str(tmp_path / "access"))
    assert caught.value.setting == "access_log_format"


def test_the_default_format() -> None:
    text = str(declared()["access_log_format"].default)
    made = re.sub(r"\[.*\]", "[T]", line(text))
    assert made == '192.0.2.7 - alice [T] "GET /a%20b?x=1 HTTP/1.1" 200 1234 "http://r/" "curl"'
