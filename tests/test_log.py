"""fastwsgi/log.py: the Logger, as the server uses it and as gunicorn's is used."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fastwsgi import access_format, glogging
from fastwsgi.errors import ConfigError
from fastwsgi.log import Logger, wants_access
from fastwsgi.message import Request, Response
from fastwsgi.settings import Layer, Settings

ENVIRON = {
    "REMOTE_ADDR": "192.0.2.7",
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/x?y",
    "PATH_INFO": "/x",
    "QUERY_STRING": "y",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_USER_AGENT": 'a "quoted" caf\xe9',
}

SYSLOG = {"syslog": True, "syslog_addr": "udp://127.0.0.1:9"}

NewLogger = Callable[..., Logger]


def configured(**settings: object) -> Settings:
    return Settings([Layer("test", settings)])


@pytest.fixture
def logger(restored_logging: None) -> Iterator[NewLogger]:
    """logger(**settings): a Logger that is closed after the test; `kind` is its class."""
    made: list[Logger] = []

    def new(kind: type[Logger] = Logger, **settings: object) -> Logger:
        made.append(kind(configured(**settings)))
        return made[-1]

    yield new
    for each in made:
        each.close()


def access(target: Logger, status: str = "200 OK", environ: Mapping[str, Any] = ENVIRON) -> None:
    target.access(
        Response(status, [], sent=12, length=None, headers_sent=True, closes=False),
        Request(environ),
        environ,
        timedelta(milliseconds=5),
    )


# the error log


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


def test_levels(logger: NewLogger, tmp_path: Path) -> None:
    path = tmp_path / "error"
    target = logger(errorlog=str(path), loglevel="debug")
    for level in ("critical", "error", "warning", "info", "debug"):
        getattr(target, level)("a %s", "b")
    target.log("warning", "by name")
    target.log(logging.ERROR, "by number")
    target.log("nonsense", "by no name")
    try:
        raise RuntimeError("raised")
    except RuntimeError:
        target.exception("caught")
    text = path.read_text()
    assert re.findall(r"\[([A-Z]+)\]", text) == [
        *("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"),
        *("WARNING", "ERROR", "INFO", "ERROR"),
    ]
    assert "Traceback" in text
    assert "RuntimeError: raised" in text


def test_the_caller_is_whoever_has_logged(logger: NewLogger, tmp_path: Path) -> None:
    target = logger(errorlog=str(tmp_path / "error"))
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    target.error_log.addHandler(handler)
    target.info("here")
    target.log("info", "here")
    target.error_log.removeHandler(handler)
    assert [record.funcName for record in seen] == ["test_the_caller_is_whoever_has_logged"] * 2


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


def test_both_names_are_one_logger(logger: NewLogger, tmp_path: Path) -> None:
    early = logging.getLogger("gunicorn.early")
    target = logger(errorlog=str(tmp_path / "error"))
    for kind in ("error", "access"):
        assert logging.getLogger(f"gunicorn.{kind}") is logging.getLogger(f"fastwsgi.{kind}")
    logging.getLogger("gunicorn.error").error("by that name")
    assert "by that name" in (tmp_path / "error").read_text()
    assert logging.getLogger("gunicorn") is target.error_log.parent
    del early


def test_a_logger_that_somebody_holds_already(logger: NewLogger, tmp_path: Path) -> None:
    early = logging.Logger("gunicorn.error")
    logging.root.manager.loggerDict["gunicorn.error"] = early
    logger(errorlog=str(tmp_path / "error"))
    early.error("still heard")
    assert "still heard" in (tmp_path / "error").read_text()


# the access log


def test_access(logger: NewLogger, tmp_path: Path) -> None:
    path = tmp_path / "access"
    target = logger(accesslog=str(path), access_log_format='%(h)s "%(r)s" %(s)s %(b)s "%(a)s" %(M)d')
    access(target)
    assert path.read_text() == '192.0.2.7 "GET /x?y HTTP/1.1" 200 12 "a \\"quoted\\" caf\xe9" 5\n'


def test_access_as_json(logger: NewLogger, tmp_path: Path) -> None:
    path = tmp_path / "access"
    access(logger(accesslog=str(path), access_log_format="json"))
    record = json.loads(path.read_text())
    assert (record["path"], record["user_agent"]) == ("/x", 'a "quoted" caf\xe9')


@pytest.mark.parametrize("text", ["%(a)s", "json"])
def test_the_records_args_are_the_atoms(logger: NewLogger, tmp_path: Path, text: str) -> None:
    """What every recipe for JSON lines with gunicorn builds upon."""
    target = logger(accesslog=str(tmp_path / "access"), access_log_format=text)
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    target.access_log.addHandler(handler)
    access(target)
    target.access_log.removeHandler(handler)
    (record,) = seen
    assert isinstance(record.args, dict)
    assert (record.args["m"], record.args["s"], record.args["{user-agent}i"]) == (
        "GET",
        "200",
        'a \\"quoted\\" caf\xe9',
    )
    assert record.args["{absent}i"] == "-"


class Own(Logger):
    def atoms(self, *args: Any) -> dict[str, Any]:
        return super().atoms(*args) | {"own": "mine"}

    def now(self) -> str:
        return "[now]"


def test_a_class_of_ones_own(logger: NewLogger, tmp_path: Path) -> None:
    path = tmp_path / "access"
    target = logger(Own, accesslog=str(path), access_log_format="%(t)s %(own)s %(s)s")
    access(target)
    assert path.read_text() == "[now] mine 200\n"


def test_names_for_subclasses() -> None:
    assert glogging.Logger is Logger
    assert glogging.SafeAtoms is access_format.SafeAtoms
    assert glogging.CONFIG_DEFAULTS["version"] == 1


@pytest.mark.parametrize("text", ["%(h)", "%(h)d", "%(a)q", "100% %(s)s", "%s", "%"])
def test_a_format_that_cannot_be_used(logger: NewLogger, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        logger(access_log_format=text, accesslog=str(tmp_path / "access"))
    assert caught.value.setting == "access_log_format"


@pytest.mark.parametrize("text", ["%% %(h)s%%%(s)s 100%%", "%(B)d %(T)d", "json", "%(nonsense)s"])
def test_formats_that_can(logger: NewLogger, text: str, tmp_path: Path) -> None:
    logger(access_log_format=text, accesslog=str(tmp_path / "access"))


@pytest.mark.parametrize(
    ("settings", "enabled"),
    [
        ({}, False),
        ({"accesslog": "-"}, True),
        (SYSLOG, True),
        (SYSLOG | {"disable_redirect_access_to_syslog": True}, False),
        ({"logconfig_dict": {"version": 1}}, True),
    ],
)
def test_when_access_is_logged(logger: NewLogger, settings: dict[str, Any], enabled: bool) -> None:
    assert logger(**settings).access_log_enabled is enabled


def test_a_class_with_its_own_access_is_always_told(logger: NewLogger) -> None:
    class Counting(Logger):
        def access(self, *args: Any) -> None: ...

    assert not wants_access(logger())
    assert not wants_access(logger(Own))
    assert wants_access(logger(Counting))


# who writes the lines


def test_the_core_writes_to_a_file(logger: NewLogger, tmp_path: Path) -> None:
    path = tmp_path / "access"
    path.write_text("before\n")
    target = logger(accesslog=str(path))
    os.write(target.access_fd, b"by the core\n")
    assert path.read_text() == "before\nby the core\n"


def test_no_access_log_no_descriptor(logger: NewLogger) -> None:
    assert logger().access_fd == -1


def filtered(target: Logger) -> None:
    target.access_log.addFilter(lambda record: True)


def handled(target: Logger) -> None:
    target.access_log.addHandler(logging.NullHandler())


def propagated(target: Logger) -> None:
    target.access_log.propagate = True


def silenced(target: Logger) -> None:
    target.access_log.setLevel(logging.ERROR)


@pytest.mark.parametrize("change", [filtered, handled, propagated, silenced])
def test_python_writes_where_logging_was_changed(
    logger: NewLogger, tmp_path: Path, change: Callable[[Logger], None]
) -> None:
    """By a hook, say: whoever adds a handler wants to see the records."""
    target = logger(accesslog=str(tmp_path / "access"))
    assert target.access_fd >= 0
    change(target)
    assert target.access_fd == -1


def test_python_writes_for_a_class_of_ones_own(logger: NewLogger, tmp_path: Path) -> None:
    assert logger(Own, accesslog=str(tmp_path / "access")).access_fd == -1


def test_a_class_that_only_sets_up_costs_nothing(logger: NewLogger, tmp_path: Path) -> None:
    class Quiet(Logger):
        def setup(self, cfg: Settings) -> None:
            super().setup(cfg)
            self.error_log.addFilter(lambda record: True)

    assert logger(Quiet, accesslog=str(tmp_path / "access")).access_fd >= 0


# setting up anew


def test_setup_replaces_what_was(logger: NewLogger, tmp_path: Path) -> None:
    target = logger(errorlog=str(tmp_path / "first"), accesslog=str(tmp_path / "access"))
    old = target.access_fd
    target.setup(configured(errorlog=str(tmp_path / "second")))
    target.info("here")
    assert (tmp_path / "first").read_text() == ""
    assert "here" in (tmp_path / "second").read_text()
    assert target.access_fd == -1
    assert not target.access_log_enabled
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(old)


@pytest.mark.parametrize(
    "wrong",
    [
        {"accesslog": "/no/such/directory/access"},
        {"access_log_format": "%"},
        {"logconfig_dict": {"version": 9}},
        {"syslog": True, "syslog_facility": "nonsense"},
    ],
)
def test_a_setup_that_fails_changes_nothing(logger: NewLogger, tmp_path: Path, wrong: dict[str, Any]) -> None:
    target = logger(errorlog=str(tmp_path / "first"), accesslog=str(tmp_path / "access"))
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigError):
        target.setup(configured(errorlog=str(tmp_path / "second"), **wrong))
    assert set(os.listdir("/proc/self/fd")) == before
    target.info("here")
    access(target)
    assert "here" in (tmp_path / "first").read_text()
    assert (tmp_path / "access").read_text().count("\n") == 1
    assert target.access_fd >= 0


def test_a_closed_logger_is_silent(logger: NewLogger, tmp_path: Path) -> None:
    first = logger(errorlog=str(tmp_path / "first"))
    first.close()
    logger(errorlog=str(tmp_path / "second")).error("only here")
    assert (tmp_path / "first").read_text() == ""
    assert "only here" in (tmp_path / "second").read_text()


# files


def test_reopened_files(logger: NewLogger, tmp_path: Path) -> None:
    errors, lines = tmp_path / "error", tmp_path / "access"
    target = logger(errorlog=str(errors), accesslog=str(lines))
    fd = target.access_fd
    plain = logging.FileHandler(tmp_path / "plain")
    logging.getLogger("somebody.elses").addHandler(plain)
    for path in (errors, lines, tmp_path / "plain"):
        path.rename(f"{path}.1")
    target.reopen_files()
    target.info("new")
    target.errors.write("as well\n")
    os.write(fd, b"line\n")
    logging.getLogger("somebody.elses").error("too")
    assert target.access_fd == fd
    assert "new" in errors.read_text()
    assert "as well" in errors.read_text()
    assert lines.read_text() == "line\n"
    assert (tmp_path / "plain").read_text() == "too\n"
    assert Path(f"{errors}.1").read_text() == Path(f"{lines}.1").read_text() == ""
    plain.close()


def test_a_file_that_cannot_be_reopened(logger: NewLogger, tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    target = logger(errorlog=str(directory / "error"))
    directory.rename(tmp_path / "moved")
    target.reopen_files()
    target.info("still here")
    text = (tmp_path / "moved" / "error").read_text()
    assert "Cannot reopen a log" in text
    assert "still here" in text


def test_programs_do_not_get_the_files(logger: NewLogger, tmp_path: Path) -> None:
    target = logger(errorlog=str(tmp_path / "error"), accesslog=str(tmp_path / "access"))
    plain = logging.FileHandler(tmp_path / "plain")
    os.set_inheritable(plain.stream.fileno(), True)
    logging.getLogger("somebody.elses").addHandler(plain)
    target.close_on_exec()
    for fd in (target.access_fd, target.errors.fileno(), plain.stream.fileno()):
        assert not os.get_inheritable(fd)
    plain.close()


CAPTURE = """
import os, sys
from fastwsgi.log import Logger, wants_access
from fastwsgi.message import Request, Response
from fastwsgi.settings import Layer, Settings
log = Logger(Settings([Layer("test", {"errorlog": sys.argv[1], "capture_output": True})]))
print("to standard output", flush=True)
os.write(2, b"to standard error\\n")
os.rename(sys.argv[1], sys.argv[1] + ".1")
log.reopen_files()
os.write(1, b"to the new file\\n")
"""


@pytest.mark.parametrize("captured", [True, False])
def test_captured_output(tmp_path: Path, captured: bool) -> None:
    path = str(tmp_path / "error") if captured else "-"
    code = CAPTURE if captured else CAPTURE.partition("os.rename")[0]
    result = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=True
    )
    if captured:
        assert (result.stdout, result.stderr) == ("", "")
        assert Path(f"{path}.1").read_text() == "to standard output\nto standard error\n"
        assert Path(path).read_text() == "to the new file\n"
    else:
        assert (result.stdout, result.stderr) == ("to standard output\n", "to standard error\n")
