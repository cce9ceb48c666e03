"""Workers that are somebody else than the master. These tests have to run as root."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Client
from .process import DEADLINE, Start, clean_environment

NOBODY = 65534  # and nogroup
APP = """
import os
at_import = os.getresuid(), os.getresgid(), os.getgroups(), os.environ["SHOP"]

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(at_import).encode()]
"""

# The interpreter may stand where nobody else may read: what a worker imports later the master does before.
CONF = """
import encodings.idna, fastwsgi._loop, fastwsgi.app.loader
"""


@pytest.fixture
def project() -> Iterator[Path]:
    """A directory that everybody may read."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    (directory / "project.py").write_text(APP)
    (directory / "fastwsgi.conf.py").write_text(CONF)
    yield directory
    shutil.rmtree(directory)


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: " ".join(value.split()) for name, _, value in (line.partition(":") for line in lines)}


def owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


def test_a_worker_gives_up_what_the_master_keeps(start: Start, project: Path) -> None:
    groups = os.getgroups()
    os.setgroups([0, 5, 6])
    try:
        server = start(
            "project", "-c", "fastwsgi.conf.py", "--user", "nobody", "--group", "nogroup",
            "--env", "SHOP=open", "--umask", "0117", "--pid", "x.pid", "--bind", f"unix:{project}/s",
            cwd=project,
        )  # fmt: skip
        with Client.open(server.url) as client:
            response = client.get("/")
    finally:
        os.setgroups(groups)
    assert response.body.decode() == repr(((NOBODY,) * 3, (NOBODY,) * 3, [], "open"))

    (worker,) = server.wait_for_workers(1)
    four = " ".join([str(NOBODY)] * 4)
    assert [status(worker)[name] for name in ("Uid", "Gid", "Groups")] == [four, four, ""]
    assert [status(server.pid)[name] for name in ("Uid", "Gid", "Groups")] == ["0 0 0 0", "0 0 0 0", "0 5 6"]

    socket = project / "s"
    assert owner(socket) == (NOBODY, NOBODY)
    assert stat.S_IMODE(socket.stat().st_mode) == 0o660
    # what root will signal is not for the workers to say
    assert owner(project / "x.pid") == (0, 0)
    assert stat.S_IMODE((project / "x.pid").stat().st_mode) == 0o644


# All that needs files of the interpreter, which nobody may be unable to read, is done before.
AS_NOBODY = """
import os, sys
from fastwsgi.app.base import GivenApplication
from fastwsgi.arbiter import Arbiter
arbiter = Arbiter(GivenApplication("project", {"user": "root", "bind": "127.0.0.1:0"}, "test"))
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.exit(arbiter.run())
"""


def test_who_is_not_root_cannot_change(project: Path) -> None:
    """It is said once and at once, not by one worker after the other."""
    result = subprocess.run(
        [sys.executable, "-c", AS_NOBODY],
        cwd=project,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.count("Can't run workers as user 0 and group 0") == 1
    assert "Traceback" not in result.stderr
    assert "Booting worker" not in result.stderr


def test_a_directory_for_bodies_that_workers_cannot_write_to(start: Start, project: Path) -> None:
    bodies = project / "bodies"
    bodies.mkdir(mode=0o755)
    (project / "fastwsgi.conf.py").write_text(f"{CONF}\ntmp_upload_dir = {str(bodies)!r}\n")
    arguments = ["project", "--user", "nobody", "--bind", f"unix:{project}/s", "--env", "SHOP=open"]
    server = start(*arguments, cwd=project)
    assert server.wait() == 3
    said = (
        f"tmp_upload_dir = {str(bodies)!r} ({project}/fastwsgi.conf.py) is not valid: expected a directory "
    )
    assert f"{said}that workers can write to" in server.log
    assert "Traceback" not in server.log
    bodies.chmod(0o777)
    with Client.open(start(*arguments, cwd=project).url) as client:
        assert client.get("/").status == 200
