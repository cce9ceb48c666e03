"""fastwsgi.run(): the server in somebody's own program."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from server.process import Server

import fastwsgi
from fastwsgi.app.base import GivenApplication
from fastwsgi.errors import ConfigError

PROGRAM = """
import os, pathlib, signal, fastwsgi
here = pathlib.Path(__file__).parent

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"from the program"]

handlers = [signal.getsignal(number) for number in range(1, signal.NSIG)]
try:
    fastwsgi.run(application, bind="127.0.0.1:0", workers=2, raw_env=["A=1"], keepalive=5)
finally:
    with open(here / "finally", "a") as file:
        print(os.getpid(), file=file)
assert handlers == [signal.getsignal(number) for number in range(1, signal.NSIG)]
assert signal.set_wakeup_fd(-1) == -1
print("after")
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "program.py").write_text(PROGRAM)
    streams = tmp_path / "streams"
    streams.mkdir()
    server = Server([sys.executable, "program.py"], streams, cwd=tmp_path)
    yield server
    server.kill()


def test_a_callable_is_served(program: Server, tmp_path: Path) -> None:
    with program.connect() as client:
        assert client.get("/").body == b"from the program"
    program.wait_for_workers(2)
    assert program.stop() == 0
    # run() has returned in the program, and in the program only
    assert program.output == "after\n"
    assert (tmp_path / "finally").read_text() == f"{program.pid}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("'nosuchmodule', bind='127.0.0.1:0'", 3, "there is no module 'nosuchmodule'"),
        ("'os.path:nosuch', bind='127.0.0.1:0'", 4, "there is no 'nosuch' in os.path"),
        ("print, bind='unix:/no/such/directory/s'", 1, "Can't listen on"),
    ],
)
def test_what_cannot_start_is_an_exit(arguments: str, code: int, message: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", f"import fastwsgi; fastwsgi.run({arguments})"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == code
    assert message in result.stderr


def test_a_wrong_setting_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"^wrokers = 2 \(run\(\)\) is not valid: .*did you mean 'workers'"):
        fastwsgi.run(print, wrokers=2)


def test_a_configuration_file(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text("workers = 2\ntimeout = 2\n")
    cfg = GivenApplication(print, {"config": str(tmp_path / "conf.py"), "timeout": 3}, "run()").cfg
    assert (cfg.workers, cfg.timeout, cfg.files) == (2, 3, (str(tmp_path / "conf.py"),))
