"""fastwsgi/pidfile.py."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastwsgi.errors import StartError
from fastwsgi.pidfile import Pidfile, is_alive, recorded

NO_SUCH_PID = 2**22 + 1  # above the kernel's own limit
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.pid"


@pytest.fixture
def other() -> Iterator[int]:
    """The process id of a process that is alive."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


def test_written_and_removed(path: Path) -> None:
    pidfile = Pidfile(str(path))
    before = os.umask(0o077)
    try:
        pidfile.write()
    finally:
        os.umask(before)
    assert path.read_text() == f"{os.getpid()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    pidfile.remove()
    assert list(path.parent.iterdir()) == []
    pidfile.remove()


def test_no_path_no_file() -> None:
    pidfile = Pidfile(None)
    pidfile.write()
    pidfile.move(None)
    pidfile.remove()


def test_it_stays_where_it_was_meant(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    pidfile = Pidfile(path.name)
    monkeypatch.chdir("/")
    pidfile.write()
    assert path.exists()


def test_a_server_that_is_alive_is_not_replaced(path: Path, other: int) -> None:
    path.write_text(f"{other}\n")
    with pytest.raises(StartError, match=f"Already running on PID {other}"):
        Pidfile(str(path)).write()
    assert path.read_text() == f"{other}\n"


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"\0\0\0\0", b"no number", b"-1", b"1" * 100, b"12x", str(NO_SUCH_PID).encode()],
    ids=repr,
)
def test_a_file_that_names_no_server_is_replaced(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    Pidfile(str(path)).write()
    assert path.read_text() == f"{os.getpid()}\n"


def test_our_own_number_is_no_other_server(path: Path) -> None:
    """In a container the numbers are the same after each start."""
    path.write_text(f"{os.getpid()}\n")
    Pidfile(str(path)).write()
    assert path.read_text() == f"{os.getpid()}\n"


def test_the_dead_that_nobody_has_waited_for_are_dead(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        os.kill(process.pid, 0)  # the number is still taken
        assert not is_alive(process.pid)


def test_another_users_file_is_not_believed(path: Path, other: int) -> None:
    path.write_text(f"{other}\n")
    os.chown(path, NOBODY, NOBODY)
    assert recorded(str(path)) is None
    Pidfile(str(path)).write()
    assert path.read_text() == f"{os.getpid()}\n"
    assert path.stat().st_uid == os.getuid()


def test_nothing_is_written_through_a_link(path: Path, other: int) -> None:
    target = path.with_name("precious")
    target.write_text(f"{other}\n")
    path.symlink_to(target)
    Pidfile(str(path)).write()
    assert target.read_text() == f"{other}\n"
    assert not path.is_symlink()
    assert path.read_text() == f"{os.getpid()}\n"


def test_what_is_no_plain_file_is_left_alone(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StartError, match="not a plain file"):
        Pidfile(str(path)).write()
    os.mkfifo(path / "fifo")
    with pytest.raises(StartError, match="not a plain file"):
        Pidfile(str(path / "fifo")).write()
    with pytest.raises(StartError, match="not a plain file"):
        Pidfile(os.devnull).write()
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_no_such_directory(path: Path) -> None:
    with pytest.raises(StartError, match=r"nowhere/x\.pid.*No such file"):
        Pidfile(str(path.parent / "nowhere/x.pid")).write()


def test_nothing_is_left_where_it_cannot_be_put(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(StartError, match="No space left"):
        Pidfile(str(path)).write()
    assert list(path.parent.iterdir()) == []


def test_not_removed_if_another_has_written_it_since(path: Path, other: int) -> None:
    pidfile = Pidfile(str(path))
    pidfile.write()
    path.write_text(f"{other}\n")
    pidfile.remove()
    assert path.read_text() == f"{other}\n"


def test_move(path: Path, other: int) -> None:
    pidfile = Pidfile(f"{path}.2")
    pidfile.write()
    path.write_text(f"{other}\n")
    with pytest.raises(StartError):
        pidfile.move(str(path))
    assert recorded(f"{path}.2") == os.getpid()
    path.write_text(f"{NO_SUCH_PID}\n")
    pidfile.move(str(path))
    assert recorded(str(path)) == os.getpid()
    assert not Path(f"{path}.2").exists()
    pidfile.move(None)
    assert not path.exists()


def test_moved_to_where_it_is_it_is_written_anew(path: Path) -> None:
    pidfile = Pidfile(str(path))
    pidfile.write()
    path.unlink()
    pidfile.move(str(path))
    assert recorded(str(path)) == os.getpid()
