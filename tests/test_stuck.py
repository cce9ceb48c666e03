"""fastwsgi/stuck.py: the stacks of workers that do not come back."""

import faulthandler
import os
import signal
import time
from pathlib import Path

import pytest

import fastwsgi
from fastwsgi._board import BOOTING, SERVING, Slot
from fastwsgi.stuck import LINE_SHOWN, Stacks, application_part, doing

PACKAGE = os.path.dirname(fastwsgi.__file__)


def in_a_child(stacks: Stacks, slot: int, signum: int) -> int:
    """Watch, and get the signal, in a child process; its status."""
    pid = os.fork()
    if pid == 0:
        stacks.watch(slot)
        stacks.watch(slot)  # as after the application was loaded
        os.kill(os.getpid(), signum)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


@pytest.mark.parametrize("signum", [signal.SIGABRT, signal.SIGSEGV])
def test_a_signal_leaves_a_stack(signum: int) -> None:
    stacks = Stacks()
    for slot in (3, 0):
        status = in_a_child(stacks, slot, signum)
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signum
    for slot in (0, 3):
        lines = stacks.take(slot).splitlines()
        assert lines[-2].endswith("in in_a_child")
        assert lines[-1] == "    os.kill(os.getpid(), signum)"
        assert stacks.take(slot) == ""
    assert stacks.take(1) == ""
    stacks.close()


def test_the_next_one_in_the_same_place() -> None:
    stacks = Stacks()
    for _ in range(2):
        in_a_child(stacks, 1, signal.SIGABRT)
        assert stacks.take(1).count("in in_a_child") == 1
    stacks.close()


@pytest.mark.parametrize("enabled", [False, True])
def test_the_handler_set_before_is_called(enabled: bool) -> None:
    stacks = Stacks()
    pid = os.fork()
    if pid == 0:
        faulthandler.disable()
        if enabled:
            faulthandler.enable()
        signal.signal(signal.SIGABRT, lambda *_: os._exit(7))
        stacks.watch(0)
        os.kill(os.getpid(), signal.SIGABRT)
        while True:
            time.sleep(0.01)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert "in test_the_handler_set_before_is_called" in stacks.take(0)
    stacks.close()


DUMP = """Fatal Python error: Aborted

Current thread 0x00007f60177e9b80 (most recent call first):
  File "{source}", line 2 in inner
  File "{source}", line 4 in outer
  File "{package}/workers/base.py", line 1 in serve
  File "/usr/bin/fastwsgi", line 8 in <module>

Extension modules: _cffi_backend (total: 1)
  File "/of/another/thread.py", line 1 in run
"""


def test_the_applications_part(tmp_path: Path) -> None:
    source = tmp_path / "views.py"
    source.write_text("def inner():\n    wait()\ndef outer():\n    inner()\n")
    assert application_part(DUMP.format(source=source, package=PACKAGE)) == (
        f'  File "{source}", line 4, in outer\n    inner()\n  File "{source}", line 2, in inner\n    wait()'
    )
    source.write_text("def inner():\n    wait_longer()\n")
    assert "    wait_longer()" in application_part(DUMP.format(source=source, package=PACKAGE))


def test_only_sources_are_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("1\n2\n")
    os.mkfifo(tmp_path / "pipe.py")
    for source in (secret, tmp_path / "pipe.py", tmp_path / "missing.py", tmp_path):
        stack = application_part(DUMP.format(source=source, package=PACKAGE))
        assert stack == f'  File "{source}", line 4, in outer\n  File "{source}", line 2, in inner'


def test_frames_that_are_not_the_applications() -> None:
    ours = f'  File "{PACKAGE}/a.py", line 1 in run\n'
    imports = '  File "<frozen importlib._bootstrap>", line 1 in _find\n'
    theirs = '  File "x.txt", line 1 in <module>\n'
    assert application_part(theirs + imports + ours) == '  File "x.txt", line 1, in <module>'
    assert application_part(ours) == f'  File "{PACKAGE}/a.py", line 1, in run'
    assert application_part("") == application_part("Fatal Python error\n\n") == ""


def test_names_that_are_not_ascii() -> None:
    dump = r'  File "/caf\xe9/\u4e2d\U0001f600.x", line 1 in caf\xe9'
    assert application_part(dump) == '  File "/café/中\U0001f600.x", line 1, in café'


def slot(**values: object) -> Slot:
    return Slot(1, SERVING, 7, 0, 0, 0)._replace(booted_ns=1, **values)


def test_what_it_is_doing() -> None:
    now = time.monotonic()
    ago = int((now - 3.2) * 1e9)
    text = doing(slot(request="GET /x HTTP/1.1", client="::1", since_ns=ago), now)
    assert text == "has been in GET /x HTTP/1.1 from ::1 for 3.2 s"
    text = doing(slot(request="GET /x HTTP/1.1", since_ns=ago), now)
    assert text == "has been in GET /x HTTP/1.1 for 3.2 s"
    text = doing(slot(request="GET /" + "x" * (LINE_SHOWN - 5), since_ns=ago), now)
    assert text.startswith("has been in GET /xxxx")
    assert text.endswith("x... for 3.2 s")
    assert doing(slot(), now) == "is in no request"
    assert doing(Slot(1, BOOTING, 0, 0, 0, 0), now - 3.2) == "has been booting for 3.2 s"
