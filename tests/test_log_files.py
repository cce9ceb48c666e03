"""fastwsgi/log_files.py: files that are appended to, owned and replaced; standard output."""

import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastwsgi.log_files import LogFile
from fastwsgi.settings import Settings


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LogFile]:
    made = LogFile(str(tmp_path / "log"), Settings())
    yield made
    made.end()


def test_it_is_appended_to_by_lines(file: LogFile) -> None:
    Path(file.path).write_text("before\n")
    file.stream.write("a line\nand more")
    assert Path(file.path).read_text() == "before\na line\nand more"[: len("before\na line\n")] + "and more"
    assert not os.get_inheritable(file.fileno())


def test_what_cannot_be_encoded(file: LogFile) -> None:
    file.stream.write("\udc80\n")
    assert Path(file.path).read_text() == "\\udc80\n"


def test_a_new_file_behind_the_same_descriptor(file: LogFile) -> None:
    fd = file.fileno()
    os.rename(file.path, file.path + ".1")
    file.reopen()
    os.write(fd, b"new\n")
    assert file.fileno() == fd
    assert Path(file.path).read_text() == "new\n"
    assert Path(file.path + ".1").read_text() == ""
    assert not os.get_inheritable(fd)


def test_reopening_leaves_no_descriptor(file: LogFile) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        file.reopen()
    assert len(os.listdir("/proc/self/fd")) == before


def test_logging_may_close_it(file: LogFile) -> None:
    """logging.config does, with every handler there is."""
    file.close()
    file.emit(logging.LogRecord("x", logging.INFO, "", 0, "still", None, None))
    assert Path(file.path).read_text() == "still\n"


def test_the_file_belongs_to_whom_the_workers_run_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owned = []
    settings = Settings()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda fd, uid, gid: owned.append((uid, gid)))
    handler = LogFile(str(tmp_path / "log"), settings)
    handler.owner = (12345, 54321)
    handler.reopen()
    handler.end()
    assert owned[-1] == (12345, 54321)


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    handler = LogFile(str(path), Settings())
    assert not os.get_blocking(handler.fileno())
    handler.end()
    os.close(reading)


def test_a_pipe_as_standard_output_stays_as_it_is() -> None:
    code = (
        "import os\n"
        "from fastwsgi import log_files\n"
        "fd = log_files.standard_output()\n"
        "os.write(fd, b'%d %d %d' % (fd > 2, os.get_blocking(1), os.get_blocking(fd)))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert result.stdout == b"1 1 0"


def test_a_file_as_standard_output(tmp_path: Path) -> None:
    code = "from fastwsgi import log_files\nprint(log_files.standard_output())\n"
    path = tmp_path / "out"
    with path.open("wb") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, timeout=60, check=True)
    assert path.read_text() == "1\n"
    assert stat.S_ISREG(path.stat().st_mode)
