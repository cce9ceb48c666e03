"""Statsd: the datagrams, which dashboards are made of, and that nothing ever waits or fails for them."""

import logging
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from fastwsgi.log import Logger
from fastwsgi.settings import Layer, Settings
from fastwsgi.statsd import Statsd

Make = Callable[..., Statsd]


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(20)
        yield sock


@pytest.fixture
def make(server: socket.socket, tmp_path: Path) -> Iterator[Make]:
    """make(**settings): a logger that sends to the server."""
    made: list[Statsd] = []

    def new(**values: object) -> Statsd:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        layer = {"statsd_host": host, "errorlog": str(tmp_path / "log"), **values}
        made.append(Statsd(Settings([Layer("test", layer)])))
        return made[-1]

    yield new
    for one in made:
        one.close()


def received(server: socket.socket, count: int) -> list[str]:
    """The next `count` datagrams; there are no more than these."""
    found = [server.recv(1000).decode() for _ in range(count)]
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.recv(1000)
    server.settimeout(20)
    return found


def test_it_is_chosen_by_the_setting() -> None:
    assert Settings([Layer("test", {"statsd_host": "127.0.0.1"})]).logger_class is Statsd
    assert Settings().logger_class is Logger


def test_a_request(make: Make, server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(Logger, "access", lambda *arguments: calls.append(arguments))
    log = make()
    response, request = SimpleNamespace(status="404 Not Found", status_code=404), SimpleNamespace()
    log.access(response, request, {"A": "b"}, timedelta(seconds=1, microseconds=234567))  # type: ignore[arg-type]
    assert received(server, 3) == [
        "gunicorn.request.duration:1234.567|ms",
        "gunicorn.requests:1|c|@1.0",
        "gunicorn.request.status.404:1|c|@1.0",
    ]
    assert calls == [(log, response, request, {"A": "b"}, timedelta(seconds=1, microseconds=234567))]


def test_messages(make: Make, server: socket.socket, tmp_path: Path) -> None:
    log = make()
    log.critical("one %s", 1)
    log.error("two")
    log.warning("three")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("four")
    log.info("five")
    log.debug("not logged")
    log.log(20, "six")
    assert received(server, 4) == [
        f"gunicorn.log.{name}:1|c|@1.0" for name in ("critical", "error", "warning", "exception")
    ]
    text = (tmp_path / "log").read_text()
    for line in (
        "[CRITICAL] one 1",
        "[ERROR] two",
        "[WARNING] three",
        "[ERROR] four",
        "[INFO] five",
        "[INFO] six",
    ):
        assert line in text
    assert "ValueError: why" in text
    assert "not logged" not in text


def test_who_has_called(make: Make, tmp_path: Path) -> None:
    log = make()
    log._own[0][1].setFormatter(logging.Formatter("%(funcName)s"))
    for name in ("critical", "error", "warning", "exception", "info"):
        getattr(log, name)("said")
    log.log(logging.INFO, "said")
    assert (tmp_path / "log").read_text().count("test_who_has_called\n") == 6


def test_other_settings_after_a_reload(make: Make, server: socket.socket, tmp_path: Path) -> None:
    log = make(statsd_prefix="before")
    log.setup(Settings([Layer("test", {"errorlog": str(tmp_path / "log"), "statsd_prefix": "after"})]))
    log.gauge("lost", 1)
    host = f"127.0.0.1:{server.getsockname()[1]}"
    log.setup(Settings([Layer("test", {"errorlog": str(tmp_path / "log"), "statsd_host": host})]))
    log.gauge("kept", 1)
    assert received(server, 1) == ["kept:1|g"]


def test_an_odd_log_level_is_said_before_there_is_a_socket(make: Make, tmp_path: Path) -> None:
    make(loglevel="loud")
    assert "'loud'" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("kind", "sent"), [("gauge", "7|g"), ("counter", "7|c|@1.0"), ("histogram", "7|h"), ("timer", "7|ms")]
)
def test_any_call_can_measure(
    make: Make, server: socket.socket, tmp_path: Path, kind: str, sent: str
) -> None:
    log = make()
    extra = {"metric": "gunicorn.workers", "value": 7, "mtype": kind}
    log.info("", extra=extra)
    log.debug("too detailed", extra={**extra, "value": 0})
    log.log(20, "said", extra=extra)
    assert received(server, 3) == [
        f"gunicorn.workers:{sent}",
        f"gunicorn.workers:{sent.replace('7', '0')}",
        f"gunicorn.workers:{sent}",
    ]
    text = (tmp_path / "log").read_text()
    assert text.count("\n") == 1 and text.endswith("[INFO] said\n")


@pytest.mark.parametrize(
    "extra",
    [
        None,
        {},
        {"metric": "a", "value": 1},
        {"metric": "a", "mtype": "gauge"},
        {"metric": "a", "value": 1, "mtype": "x"},
    ],
)
def test_what_is_no_metric(make: Make, server: socket.socket, extra: object) -> None:
    make().info("said", extra=extra)
    assert received(server, 0) == []


def test_a_counter_goes_down(make: Make, server: socket.socket) -> None:
    make().decrement("a", 2, 0.5)
    assert received(server, 1) == ["a:-2|c|@0.5"]


@pytest.mark.parametrize("prefix", ["shop", "shop.", "shop.."])
def test_prefix_and_tags(make: Make, server: socket.socket, prefix: str) -> None:
    log = make(statsd_prefix=prefix, dogstatsd_tags="env:prod,region:eu")
    log.gauge("gunicorn.workers", 3)
    assert received(server, 1) == ["shop.gunicorn.workers:3|g|#env:prod,region:eu"]


def test_a_unix_socket_whose_server_comes_and_goes(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "statsd.socket"
    log = make(statsd_host=f"unix://{path}")
    log.gauge("lost", 1)
    for number in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(str(path))
            log.gauge("kept", number)
            assert received(server, 1) == [f"kept:{number}|g"]
        path.unlink()


def test_a_server_that_does_not_read(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "statsd.socket"
    log = make(statsd_host=f"unix://{path}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        for _ in range(10_000):  # more than fit
            log.gauge("a", 1)


def test_nobody_there(make: Make, server: socket.socket) -> None:
    log = make()
    server.close()
    for _ in range(3):
        log.gauge("a", 1)


def test_a_host_without_an_address(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*arguments: object, **keywords: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    log = make(statsd_host="statsd.invalid:8125")
    log.gauge("a", 1)
    assert "statsd.invalid" in (tmp_path / "log").read_text()
