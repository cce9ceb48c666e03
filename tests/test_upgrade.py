"""fastwsgi/upgrade.py: what can be seen without another master. The rest is in server/test_upgrade.py."""

import os
import signal
import subprocess
import sys

import pytest

from fastwsgi.origin import UPGRADE_VARIABLES, Origin
from fastwsgi.upgrade import SUFFIX, Upgrade, inherited_fds


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*UPGRADE_VARIABLES, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_an_ordinary_start(environ: pytest.MonkeyPatch) -> None:
    upgrade = Upgrade(Origin())
    assert inherited_fds(upgrade) == ([], False)
    assert not upgrade.is_under_way
    assert not upgrade.is_promoted()
    assert upgrade.suffix == ""


@pytest.mark.parametrize("prefix", ["FASTWSGI", "GUNICORN"])
def test_beside_an_old_master(environ: pytest.MonkeyPatch, prefix: str) -> None:
    environ.setenv(f"{prefix}_PID", str(os.getppid()))
    environ.setenv(f"{prefix}_FD", "5,7")
    upgrade = Upgrade(Origin())
    assert inherited_fds(upgrade) == ([5, 7], False)
    assert upgrade.is_under_way
    assert upgrade.suffix == SUFFIX
    assert not upgrade.is_promoted()


def test_the_old_master_is_gone(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("FASTWSGI_PID", "4711")
    environ.setenv("FASTWSGI_FD", "5")
    upgrade = Upgrade(Origin())
    assert upgrade.is_promoted()
    assert not upgrade.is_promoted()
    assert not upgrade.is_under_way


@pytest.mark.parametrize(("pid", "fds"), [("x", ""), ("", "x,,-1"), ("-1", "²")])
def test_nonsense_is_nothing(environ: pytest.MonkeyPatch, pid: str, fds: str) -> None:
    environ.setenv("FASTWSGI_PID", pid)
    environ.setenv("FASTWSGI_FD", fds)
    upgrade = Upgrade(Origin())
    assert inherited_fds(upgrade) == ([], False)
    assert not upgrade.is_under_way


def test_systemds_sockets_stay_systemds(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("LISTEN_PID", str(os.getpid()))
    environ.setenv("LISTEN_FDS", "2")
    environ.setenv("LISTEN_FDNAMES", "a:b")
    environ.setenv("WATCHDOG_PID", str(os.getpid()))
    upgrade = Upgrade(Origin())
    assert inherited_fds(upgrade) == ([3, 4], True)
    new = upgrade.environment([3, 4], activated=True)
    assert (new["LISTEN_PID"], new["LISTEN_FDS"], new["LISTEN_FDNAMES"]) == (str(os.getpid()), "2", "a:b")
    assert "FASTWSGI_FD" not in new
    assert "WATCHDOG_PID" not in new


def test_the_new_masters_environment_is_the_old_ones(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("SHOP", "open")
    origin = Origin()
    origin.set_environment({"SHOP": "closed", "MORE": "1"})
    new = Upgrade(origin).environment([5, 7], activated=False)
    origin.set_environment({})
    assert new["SHOP"] == "open"
    assert "MORE" not in new
    assert new["FASTWSGI_PID"] == str(os.getpid())
    assert new["FASTWSGI_FD"] == "5,7"


def test_a_new_master_that_has_ended_can_be_followed_by_another(environ: pytest.MonkeyPatch) -> None:
    upgrade = Upgrade(Origin())
    upgrade.new = 4711
    assert upgrade.is_under_way
    assert not upgrade.reap(4712)
    assert upgrade.reap(4711)
    assert not upgrade.is_under_way


def test_only_listeners_and_the_standard_streams_are_passed_on() -> None:
    code = (
        "import os\n"
        "from fastwsgi.upgrade import pass_only\n"
        "first, second = os.pipe()\n"
        "os.set_inheritable(first, True)\n"
        "pass_only([second])\n"
        "print(os.get_inheritable(first), os.get_inheritable(second), os.get_inheritable(2))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.split() == ["False", "True", "True"]


def test_signals_end_the_child_before_it_is_a_program_of_its_own() -> None:
    code = (
        "import os, signal, socket\n"
        "from fastwsgi.upgrade import let_signals_go\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "let_signals_go()\n"
        "print('still here')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "")
