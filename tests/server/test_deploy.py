"""What docs/deploy.md says beside the configurations of fronts: units, health check, container, patience."""

import grp
import json
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastwsgi.settings import Settings

from . import site
from .front import KINDS, PAGE, Front, block, program, public_directory
from .process import Start, clean_environment, eventually

UNIT = "/etc/systemd/system/example"
COMMAND = "/srv/example/venv/bin/fastwsgi"
HAPROXY_SERVER = "    server example unix@/run/example/http.sock\n"


@pytest.fixture
def project(tmp_path: Path, prepared_site: Path) -> Callable[[], list[str]]:
    """What to tell the server so that it serves the Django site with the page's config/wsgi.py."""
    copy = tmp_path / "example"
    shutil.copytree(site.SITE, copy)
    (copy / "config" / "wsgi.py").write_text(block("config/wsgi.py"))
    return lambda: ["--chdir", str(copy), "--env", f"DJANGO_DATA_DIR={prepared_site}"]


def exec_start() -> list[str]:
    """What the service tells the server."""
    unit = block(f"{UNIT}.service").replace("\\\n", " ")
    match = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert match
    command, *arguments = shlex.split(match[1])
    assert command == COMMAND
    return arguments


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    ours = str(Path(sys.executable).with_name("fastwsgi"))
    service, socket = tmp_path / "example.service", tmp_path / "example.socket"
    service.write_text(block(f"{UNIT}.service", {COMMAND: ours}))
    socket.write_text(block(f"{UNIT}.socket"))
    result = subprocess.run(
        [program("systemd-analyze"), "verify", service, socket], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "")


def test_the_service_and_its_health(start: Start, project: Callable[[], list[str]]) -> None:
    server = start(*exec_start(), *project(), "--bind", "127.0.0.1:0")
    with server.connect() as client:
        # as balancers ask: the machine's address, no TLS
        response = client.get("/healthz", ("Host", "10.0.0.1:8000"))
        assert (response.status, response.body) == (200, b"ok\n")
        assert client.get("/", ("Host", "10.0.0.1:8000")).status == 400
        assert client.get("/", ("Host", "localhost")).status == 200
    assert server.stop() == 0


def test_haproxy_checks_it(start: Start, project: Callable[[], list[str]]) -> None:
    server = start("config.wsgi:application", *project(), "--bind", "127.0.0.1:0", "--access-logfile", "-")
    more = {HAPROXY_SERVER: block("/etc/haproxy/haproxy.cfg, health check")}
    front = Front(KINDS["haproxy"], server.url, more)
    try:
        eventually(lambda: '"GET /healthz HTTP/1.1" 200' in server.output, server.explain)
        with front.ready().connect() as client:
            assert client.get("/", ("Host", "localhost")).status == 200
    finally:
        front.stop()


def test_nginx_sends_static_files(start: Start, prepared_site: Path) -> None:
    server = start(*site.arguments(prepared_site), "--bind", "127.0.0.1:0")
    directory = public_directory()
    (directory / "only-nginx.txt").write_text("from nginx")
    here = "    location / {\n"
    more = {
        here: block("/etc/nginx/conf.d/example.conf, static files") + here,
        "/srv/example/static/": f"{directory}/",
    }
    front = Front(KINDS["nginx"], server.url, more)
    try:
        with front.ready().connect() as client:
            response = client.get("/static/only-nginx.txt")
            assert (response.status, response.body) == (200, b"from nginx")
            assert response.header("cache-control") == "max-age=3600"
            assert client.get("/", ("Host", "localhost")).status == 200
    finally:
        front.stop()
        shutil.rmtree(directory)


def test_the_command_of_the_container(project: Callable[[], list[str]], command: list[str]) -> None:
    match = re.search(r"^CMD (\[.*\])$", block("Dockerfile"), re.MULTILINE)
    assert match
    name, *arguments = json.loads(match[1])
    assert name == "fastwsgi"
    result = subprocess.run(
        [*command, *arguments, *project(), "--check-config"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_logs_are_rotated(serve: Start, tmp_path: Path) -> None:
    """As Debian's logrotate does it; what systemctl does here is to send the signal to the master."""
    log = tmp_path / "log" / "access.log"
    log.parent.mkdir(0o750)
    server = serve("responses", "--access-logfile", str(log))
    who = f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"
    table = {
        "/var/log/example/": f"{log.parent}/",
        "example adm": who,
        "systemctl kill --kill-whom=main --signal=USR1 example.service": f"kill -USR1 {server.pid}",
    }
    configuration = tmp_path / "example"
    configuration.write_text(block("/etc/logrotate.d/example", table))
    configuration.chmod(0o644)
    with server.connect() as client:
        assert client.get("/hello?before").status == 200
        eventually(lambda: "before" in log.read_text(), server.explain)
        command = [program("logrotate"), "--force", "--state", str(tmp_path / "state"), str(configuration)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, "")

        def written_anew() -> bool:
            assert client.get("/hello?after").status == 200
            return "after" in log.read_text()

        eventually(written_anew, server.explain)
    assert log.stat().st_mode & 0o777 == 0o640
    assert "before" in Path(f"{log}.1").read_text() and "before" not in log.read_text()


def idle_timeouts() -> Iterator[int]:
    """How many seconds the fronts keep idle connections to the server."""
    yield from map(int, re.findall(r"^ +keepalive_timeout (\d+)s;", PAGE.read_text(), re.MULTILINE))
    yield from map(int, re.findall(r"^ +ProxyPass .* ttl=(\d+) ", PAGE.read_text(), re.MULTILINE))


def test_fronts_are_less_patient() -> None:
    timeouts = list(idle_timeouts())
    assert len(timeouts) == 2
    assert max(timeouts) < Settings.keepalive.default


def test_every_block_of_a_front_is_run() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("*front*.py"))
    tests += Path(__file__).read_text()
    named = re.findall(r"^```(?:nginx|haproxy|apache)\n# (.*)$", PAGE.read_text(), re.MULTILINE)
    assert len(named) == len(re.findall(r"^```(?:nginx|haproxy|apache)$", PAGE.read_text(), re.MULTILINE))
    for name in named:
        assert f'block("{name}"' in re.sub(r"\(\s+", "(", tests), name
