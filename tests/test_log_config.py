"""fastwsgi/log_config.py: logconfig in its three forms, and syslog."""

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from log_ini import log_ini

from fastwsgi import log_config
from fastwsgi.errors import ConfigError
from fastwsgi.log import Logger
from fastwsgi.settings import Layer, Settings

NewLogger = Callable[..., Logger]


@pytest.fixture
def logger(restored_logging: None) -> Iterator[NewLogger]:
    made: list[Logger] = []

    def new(**settings: object) -> Logger:
        made.append(Logger(Settings([Layer("test", settings)])))
        return made[-1]

    yield new
    for each in made:
        each.close()


def to_file(path: Path, name: str = "gunicorn.error") -> dict[str, Any]:
    """A configuration of one of the loggers, as projects have it."""
    return {
        "version": 1,
        "formatters": {"short": {"format": "%(levelname)s:%(message)s"}},
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(path), "formatter": "short"}},
        "root": {"level": "INFO", "handlers": ["file"]},
        "loggers": {name: {"level": "INFO", "handlers": ["file"], "propagate": False}},
    }


INI = log_ini("%(here)s/error", "%(here)s/access", "%(levelname)s:%(message)s")


@pytest.mark.parametrize("name", ["gunicorn.error", "fastwsgi.error"])
def test_dict(logger: NewLogger, tmp_path: Path, name: str) -> None:
    target = logger(logconfig_dict=to_file(tmp_path / "log", name), errorlog=str(tmp_path / "unused"))
    target.info("a")
    logging.getLogger("gunicorn.error").warning("b")
    logging.getLogger("fastwsgi.error").warning("c")
    assert (tmp_path / "log").read_text() == "INFO:a\nWARNING:b\nWARNING:c\n"
    assert (tmp_path / "unused").read_text() == ""
    assert target.access_fd == -1


def test_existing_loggers_may_be_disabled_but_not_ours(logger: NewLogger, tmp_path: Path) -> None:
    config = to_file(tmp_path / "log") | {"disable_existing_loggers": True}
    other = logging.getLogger("somebody.elses")
    target = logger(logconfig_dict=config)
    target.info("heard")
    assert other.disabled
    assert (tmp_path / "log").read_text() == "INFO:heard\n"


def test_json(logger: NewLogger, tmp_path: Path) -> None:
    path = tmp_path / "logging.json"
    path.write_text(json.dumps(to_file(tmp_path / "log")))
    logger(logconfig_json=str(path)).info("a")
    assert (tmp_path / "log").read_text() == "INFO:a\n"


def test_ini(logger: NewLogger, tmp_path: Path) -> None:
    directory = tmp_path / "100%"
    directory.mkdir()
    path = directory / "logging.ini"
    path.write_text(INI)
    target = logger(logconfig=str(path))
    target.info("a")
    target.access_log.info("b")
    assert (directory / "error").read_text() == "INFO:a\n"
    assert (directory / "access").read_text() == "INFO:b\n"


def test_precedence(logger: NewLogger, tmp_path: Path) -> None:
    ini, text = tmp_path / "logging.ini", tmp_path / "logging.json"
    ini.write_text(INI)
    text.write_text(json.dumps(to_file(tmp_path / "json")))
    every = {
        "logconfig_dict": to_file(tmp_path / "dict"),
        "logconfig_json": str(text),
        "logconfig": str(ini),
    }
    for name, file in (("logconfig_dict", "dict"), ("logconfig_json", "json"), ("logconfig", "error")):
        target = logger(**every)
        target.info(name)
        assert (tmp_path / file).read_text() == f"INFO:{name}\n"
        target.close()
        del every[name]


def test_what_is_not_given_is_as_by_default(
    logger: NewLogger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Top-level keys are merged over the defaults; and no line comes out of two handlers."""
    formatters = {"generic": {"format": "mine:%(message)s"}}
    target = logger(logconfig_dict={"version": 1, "formatters": formatters})
    target.info("a")
    target.access_log.info("b")
    assert capsys.readouterr() == ("mine:b\n", "mine:a\n")


def test_a_logger_that_propagates_to_ones_own_root(logger: NewLogger, tmp_path: Path) -> None:
    config = to_file(tmp_path / "log")
    del config["loggers"]
    config["handlers"]["console"] = config["handlers"]["error_console"] = {"class": "logging.NullHandler"}
    logger(logconfig_dict=config).info("a")
    assert (tmp_path / "log").read_text() == "INFO:a\n"


def test_a_parent_by_gunicorns_name(logger: NewLogger, tmp_path: Path) -> None:
    config = to_file(tmp_path / "log", "gunicorn")
    target = logger(logconfig_dict=config)
    target.info("a")
    assert (tmp_path / "log").read_text() == "INFO:a\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("logconfig", None, "no such file"),
        ("logconfig", "[loggers]\nkeys=root\n", "'formatters' is missing"),
        ("logconfig", "not an ini file", "no section headers"),
        ("logconfig", INI.replace("FileHandler", "NoHandler"), "NoHandler"),
        ("logconfig_json", None, "cannot be read: No such file"),
        ("logconfig_json", "{", "not JSON"),
        ("logconfig_json", "[]", "not a JSON object"),
        ("logconfig_json", '{"version": 3}', "Unsupported version"),
        ("logconfig_json", '{"handlers": {"x": {"class": "no.such.Handler"}}}', "no"),
    ],
)
def test_errors_name_the_file(
    logger: NewLogger, tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    path = tmp_path / "logging.conf"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        logger(**{name: str(path)})
    assert (caught.value.setting, caught.value.value) == (name, str(path))
    assert message in caught.value.expected


def test_an_error_in_a_dict(logger: NewLogger) -> None:
    with pytest.raises(ConfigError, match="Unable to configure root logger") as caught:
        logger(logconfig_dict={"version": 1, "root": {"handlers": ["nonsense"]}})
    assert caught.value.setting == "logconfig_dict"


# syslog


@pytest.mark.parametrize(
    ("text", "socktype", "address"),
    [
        ("udp://localhost:514", socket.SOCK_DGRAM, ("localhost", 514)),
        ("udp://logs", socket.SOCK_DGRAM, ("logs", 514)),
        ("tcp://[::1]:601", socket.SOCK_STREAM, ("::1", 601)),
        ("tcp://[::1]", socket.SOCK_STREAM, ("::1", 514)),
        ("unix:///dev/log", None, "/dev/log"),
        ("unix:///dev/log#dgram", socket.SOCK_DGRAM, "/dev/log"),
        ("unix:///dev/log#stream", socket.SOCK_STREAM, "/dev/log"),
    ],
)
def test_addresses(text: str, socktype: object, address: object) -> None:
    assert log_config.syslog_address(text) == (socktype, address)


@pytest.mark.parametrize("text", ["unix:///dev/log#raw", "http://x", "udp://x:y", "x"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|neither|invalid literal"):
        log_config.syslog_address(text)


@pytest.fixture
def syslog(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "syslog"))
        sock.settimeout(20)
        yield sock


def test_messages(logger: NewLogger, syslog: socket.socket) -> None:
    target = logger(
        syslog=True,
        syslog_addr=f"unix://{syslog.getsockname()}#dgram",
        syslog_facility="LOCAL3",
        syslog_prefix="50%",
        errorlog="/dev/null",
    )
    target.warning("a")
    target.access_log.info("b")
    number = 19 << 3
    pid = f"[{os.getpid()}]"
    assert syslog.recv(999).decode() == f"<{number + 4}>fastwsgi.50%.error: {pid} a\0"
    assert syslog.recv(999).decode() == f"<{number + 6}>fastwsgi.50%.access: {pid} b\0"


def test_the_tag_is_the_name_of_the_process(logger: NewLogger, syslog: socket.socket) -> None:
    address = f"unix://{syslog.getsockname()}#dgram"
    target = logger(syslog=True, syslog_addr=address, proc_name="shop:app", errorlog="/dev/null")
    target.info("a")
    assert b">fastwsgi.shop.app.error: [" in syslog.recv(999)


def test_without_access(logger: NewLogger, syslog: socket.socket) -> None:
    address = f"unix://{syslog.getsockname()}#dgram"
    target = logger(syslog=True, syslog_addr=address, disable_redirect_access_to_syslog=True)
    assert not target.access_log_enabled
    assert target.access_log.handlers == []


def test_nobody_at_the_address(logger: NewLogger) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConfigError, match="cannot be reached") as caught:
        logger(syslog=True, syslog_addr=f"tcp://127.0.0.1:{port}")
    assert caught.value.setting == "syslog_addr"


def test_a_facility_that_is_none(logger: NewLogger) -> None:
    with pytest.raises(ConfigError, match=r"expected one of .*local7") as caught:
        logger(syslog=True, syslog_facility="local8", syslog_addr="udp://127.0.0.1:9")
    assert caught.value.setting == "syslog_facility"
