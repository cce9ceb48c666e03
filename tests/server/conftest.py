"""Servers for the tests: `servers` shares one for each application, `serve` starts one for a single test.

`fronted` shares one with nginx, HAProxy or Apache before it.
"""

import shlex
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from .front import KINDS, Front, Fronted, Pair, public_directory
from .process import Server, Start
from .site import prepare

# Configuration files as real projects have them, and the applications they are for.
RECIPES = Path(__file__).parent / "projects" / "recipes"

# The flags of each kind of worker, and where it matters enough that everything is run once for each of them.
WORKER_KINDS: dict[str, list[str]] = {"sync": [], "gthread": ["--threads", "4"]}
FOR_ALL_KINDS = (
    "test_http",
    "test_wsgi",
    "test_clients",
    "test_bodies",
    "test_early_bodies",
    "test_early_hints",
    "test_handover",
    "test_interpreters",
    "test_limits",
    "test_proxies",
    "test_websockets",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "worker_flags" in metafunc.fixturenames:
        everywhere = metafunc.module.__name__.rpartition(".")[2] in FOR_ALL_KINDS
        metafunc.parametrize("worker_flags", WORKER_KINDS if everywhere else ["sync"], indirect=True)


@pytest.fixture(scope="session")
def worker_flags(request: pytest.FixtureRequest) -> list[str]:
    return WORKER_KINDS[request.param]


@pytest.fixture(scope="session")
def command(request: pytest.FixtureRequest) -> list[str]:
    return shlex.split(request.config.getoption("--server-command"))


@pytest.fixture(scope="session")
def servers(
    command: list[str], worker_flags: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """servers(app, *flags): the running server for these, started when it is first asked for."""
    pool: dict[tuple[str, ...], Server] = {}

    def get(*arguments: str) -> Server:
        server = pool.get(arguments)
        if server is None:
            directory = tmp_path_factory.mktemp("server")
            bind = [] if "--bind" in arguments else ["--bind", "127.0.0.1:0"]
            server = pool[arguments] = Server([*command, *arguments, *bind, *worker_flags], directory)
        assert server.addresses
        assert server.process.poll() is None, server.explain()
        return server

    yield get
    codes = {arguments: server.stop() for arguments, server in pool.items()}
    assert not any(codes.values()), codes


@pytest.fixture
def start(command: list[str], tmp_path: Path) -> Iterator[Start]:
    """start(*arguments, cwd=, env=): a server with just these arguments, which may fail to start."""
    started: list[Server] = []

    def new(*arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> Server:
        directory = tmp_path / f"server-{len(started)}"
        directory.mkdir()
        server = Server([*command, *arguments], directory, cwd, env)
        started.append(server)
        return server

    yield new
    for server in started:
        server.kill()


@pytest.fixture
def serve(start: Start, worker_flags: list[str]) -> Start:
    """serve(app, *flags, cwd=, env=): a server of this test's own that listens at 127.0.0.1."""

    def new(*arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> Server:
        bind = [] if "--bind" in arguments else ["--bind", "127.0.0.1:0"]
        server = start(*arguments, *bind, *worker_flags, cwd=cwd, env=env)
        assert server.addresses
        return server

    return new


@pytest.fixture
def cook(start: Start, tmp_path: Path) -> Start:
    """cook(recipe, app, *arguments, env=): a server in a directory whose gunicorn.conf.py is the recipe."""

    def new(recipe: str, *arguments: str, env: dict[str, str] | None = None) -> Server:
        shutil.copyfile(RECIPES / f"{recipe}.conf.py", tmp_path / "gunicorn.conf.py")
        return start(*arguments, cwd=tmp_path, env={"PYTHONPATH": str(RECIPES)} | (env or {}))

    return new


@pytest.fixture(scope="module", params=["tcp", "unix"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=KINDS)
def front_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fronted(servers: Start, front_kind: str, transport: str) -> Iterator[Fronted]:
    """fronted(app, *flags, more=): a server and the front before it, started when first asked for."""
    pairs: dict[tuple[str, ...], Pair] = {}
    directories: list[Path] = []

    def get(*arguments: str, more: dict[str, str] | None = None) -> Pair:
        key = (*arguments, *(more or {}))
        if key not in pairs:
            bind = []
            if transport == "unix":
                directories.append(public_directory())
                bind = ["--bind", f"unix:{directories[-1]}/http.sock"]
            server = servers(*arguments, *bind)
            pairs[key] = Pair(server, Front(KINDS[front_kind], server.url, more))
        pairs[key].front.ready()
        return pairs[key]

    yield get
    for pair in pairs.values():
        pair.front.stop()
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def prepared_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a Django example that is ready to be served."""
    data = tmp_path_factory.mktemp("django")
    prepare(data)
    return data


@pytest.fixture(autouse=True)
def _mark_logs() -> None:
    for server in Server.running:
        server.seen = len(server.log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what each server logged while it ran."""
    report = yield
    if report.failed:
        for server in Server.running:
            if text := server.news.strip():
                report.sections.append((f"log of {' '.join(server.command[-6:])}", text))
    return report
