"""SIGHUP with the real command: new workers serve before old ones go, and what is broken changes nothing."""

import contextlib
import os
import signal
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from .client import request
from .load import Load
from .process import Server, Start, eventually

SHOP = """
import os, pathlib, time
FIRST
here = pathlib.Path(__file__).parent
with (here / "loaded").open("a") as file:
    file.write(f"VERSION {os.getpid()}\\n")
while (here / "closed").exists():
    time.sleep(0.01)
importer = os.getpid()

def application(environ, start_response):
    if environ["PATH_INFO"] == "/meet":
        (here / f"met-{os.getpid()}").touch()
        while len(list(here.glob("met-*"))) < int(environ["QUERY_STRING"]):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"VERSION {os.getpid()} {importer} {os.environ.get('SHOP', '-')}".encode()]
"""

BROKEN = ["1 / 0", "def f(:", "import sys; sys.exit(1)", "import nothing"]
HOOKS = """
import os

def note(text):
    with open("hooks", "a") as file:
        file.write(f"{text} {os.getpid()}\\n")

def on_starting(server):
    assert server.address and not server.LISTENERS and server.cfg.workers == 1
    note("on_starting")

def when_ready(server):
    assert server.LISTENERS and server.pid == os.getpid()
    note("when_ready")

def nworkers_changed(server, new_value, old_value):
    note(f"nworkers_changed:{new_value}:{old_value}")

def pre_fork(server, worker):
    assert worker.age == server.worker_age and worker.ppid == server.pid
    note(f"pre_fork:{worker.age}:{worker.pid}")

def post_fork(server, worker):
    assert worker.pid == os.getpid() and worker.alive and not worker.booted
    note(f"post_fork:{worker.age}")

def post_worker_init(worker):
    assert worker.wsgi and worker.app and worker.sockets and worker.cfg.workers == 1
    note(f"post_worker_init:{worker.age}")

def worker_int(worker):
    note(f"worker_int:{worker.age}")

def worker_exit(server, worker):
    assert worker.booted and not worker.aborted and not worker.alive and worker.nr >= 1
    note(f"worker_exit:{worker.age}")

def child_exit(server, worker):
    assert worker.pid not in server.WORKERS
    note(f"child_exit:{worker.age}")

def on_reload(server):
    assert list(server.WORKERS.values())[0].age == 1
    note("on_reload")

def on_exit(server):
    note("on_exit")
"""

RELOADED = "Reloaded: workers with the new settings serve"
KEPT = r"The old settings and workers go on serving; the next HUP tries again\."


class Shop:
    """A project with one module, `shop`, of this or that version, and a configuration file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = path / "closed"
        self.conf = path / "conf.py"
        self.configure("")
        self.write("v1")

    def write(self, version: str, first: str = "") -> None:
        source = SHOP.replace("FIRST", first).replace("VERSION", version)
        replaced = self.path / "shop.new"
        replaced.write_text(source)
        replaced.rename(self.path / "shop.py")

    def configure(self, text: str) -> None:
        self.conf.write_text("bind = '127.0.0.1:0'\n" + textwrap.dedent(text))

    def met(self) -> list[Path]:
        """One for each worker that is, or was, in a request for /meet."""
        return list(self.path.glob("met-*"))

    def loaded(self, version: str) -> int:
        """How many processes have begun to import this version."""
        log = self.path / "loaded"
        return len([line for line in log.read_text().splitlines() if line.startswith(f"{version} ")])


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def open_shop(start: Start, shop: Shop, worker_flags: list[str]) -> Callable[..., Server]:
    """open_shop(*flags): a server of the shop, all of whose workers serve."""

    def new(*flags: str, workers: int = 2) -> Server:
        arguments = ["shop", "--config", "conf.py", "--workers", str(workers), *worker_flags, *flags]
        server = start(*arguments, cwd=shop.path)
        # a worker that waits for the others takes no second request
        with contextlib.ExitStack() as stack:
            for count in range(1, workers + 1):
                client = stack.enter_context(server.connect())
                client.send(request("GET", f"/meet?{workers}"))
                eventually(lambda count=count: len(shop.met()) == count, server.explain)
        return server

    return new


def answer(server: Server) -> list[str]:
    """Version, pid of the worker, pid of the process that imported the application, $SHOP."""
    with server.connect() as client:
        response = client.get("/")
        assert response.status == 200
        return response.body.decode().split()


def hup(server: Server, expected: str) -> None:
    """Reload, and wait until the log says `expected` for this one."""
    server.seen = len(server.log)
    server.signal(signal.SIGHUP)
    server.wait_for_log(expected)


def versions(server: Server) -> set[str]:
    return {answer(server)[0] for _ in range(20)}


def settled(server: Server, version: str) -> None:
    eventually(lambda: versions(server) == {version}, server.explain)


class TestUnderLoad:
    @pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["", "preload"])
    def test_good_and_broken_code_in_turn(
        self, open_shop: Callable[..., Server], shop: Shop, flags: list[str]
    ) -> None:
        server = open_shop(*flags)
        with Load(server.url) as load:
            for turn in range(4):
                shop.write(f"good{turn}")
                hup(server, RELOADED)
                settled(server, f"good{turn}")
                shop.write("bad", first=BROKEN[turn])
                hup(server, KEPT)
                settled(server, f"good{turn}")
            answered = load.answered
            eventually(lambda: load.answered > answered, server.explain)
        assert load.failures == []
        assert server.stop() == 0
        assert server.log.count("Reload abandoned: ") == 4

    def test_a_worker_killed_in_between(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        server = open_shop()
        shop.write("v2")
        hup(server, RELOADED)
        victim = server.wait_for_workers(2)[0]
        os.kill(victim, signal.SIGKILL)
        server.wait_for_log(rf"\[ERROR\] Worker \(pid:{victim}\) was sent SIGKILL! Perhaps out of memory\?$")
        eventually(lambda: shop.loaded("v2") == 3, server.explain)
        assert len(set(server.workers()) - {victim}) == 2
        settled(server, "v2")


class TestOneByOne:
    def test_an_old_worker_goes_when_a_new_one_serves(
        self, open_shop: Callable[..., Server], shop: Shop
    ) -> None:
        server = open_shop()
        old = server.workers()
        shop.write("v2")
        shop.closed.touch()
        server.signal(signal.SIGHUP)
        eventually(lambda: shop.loaded("v2") == 1, server.explain)
        assert set(server.workers()) > set(old)
        assert versions(server) == {"v1"}
        shop.closed.unlink()
        server.wait_for_log(RELOADED)
        settled(server, "v2")
        assert shop.loaded("v2") == 2
        eventually(lambda: len(server.workers()) == 2, server.explain)

    def test_one_that_hangs_while_it_boots(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        server = open_shop("--timeout", "1")
        old = server.workers()
        shop.write("v2", first="time.sleep(3600)")
        hup(server, KEPT)
        server.wait_for_log(r"Reload abandoned: Worker \(pid:\d+\) did not boot in 1 s")
        server.wait_for_log(r'File ".*/shop\.py", line \d+, in <module>')
        eventually(lambda: server.workers() == old, server.explain)
        shop.write("v3")
        hup(server, RELOADED)
        settled(server, "v3")

    def test_a_template_that_hangs(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        server = open_shop("--timeout", "1", "--preload")
        old = server.workers()
        shop.write("v2", first="time.sleep(3600)")
        hup(server, r"Reload abandoned: Template \(pid:\d+\) did not boot in 1 s")
        eventually(lambda: server.workers() == old, server.explain)

    def test_only_some_of_the_new_ones_boot(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        """The old settings come back, and there are never fewer workers than wanted."""
        server = open_shop()
        shop.configure("raw_env = ['SHOP=new']")
        shop.write("v2", first="if os.path.exists('second'): 1 / 0\nopen('second', 'w').close()")
        with Load(server.url) as load:
            hup(server, KEPT)
            shop.write("v3")
            eventually(lambda: answer(server)[::3] == ["v3", "-"], server.explain)
            assert answer(server)[::3] in (["v1", "-"], ["v3", "-"])
            hup(server, RELOADED)
            eventually(lambda: answer(server)[::3] == ["v3", "new"], server.explain)
        assert load.failures == []

    def test_a_second_hup_supersedes_the_first(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        server = open_shop()
        shop.write("v2")
        shop.closed.touch()
        server.signal(signal.SIGHUP)
        eventually(lambda: shop.loaded("v2") == 1, server.explain)
        shop.write("v3")
        server.signal(signal.SIGHUP)
        eventually(lambda: shop.loaded("v3") == 1, server.explain)
        assert versions(server) == {"v1"}
        shop.closed.unlink()
        server.wait_for_log(RELOADED)
        settled(server, "v3")
        assert shop.loaded("v2") == 1
        assert server.log.count(RELOADED) == 1
        assert "exited with code" not in server.log

    def test_numbers_change_meanwhile(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        server = open_shop()
        shop.write("v2")
        shop.closed.touch()
        server.signal(signal.SIGHUP)
        eventually(lambda: shop.loaded("v2") == 1, server.explain)
        for _ in range(2):
            server.signal(signal.SIGTTIN)
            server.wait_for_log("Handling signal: ttin")
        eventually(lambda: shop.loaded("v2") > 1, server.explain)
        server.seen = len(server.log)
        server.signal(signal.SIGTTOU)
        server.wait_for_log("Handling signal: ttou")
        shop.closed.unlink()
        server.wait_for_log(RELOADED)
        settled(server, "v2")
        eventually(lambda: len(server.workers()) == 3, server.explain)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["", "preload"])
    def test_an_end_meanwhile(
        self, open_shop: Callable[..., Server], shop: Shop, number: signal.Signals, flags: list[str]
    ) -> None:
        server = open_shop(*flags)
        shop.write("v2")
        shop.closed.touch()
        server.signal(signal.SIGHUP)
        eventually(lambda: shop.loaded("v2") == 1, server.explain)
        children = server.workers()
        server.signal(number)
        assert server.wait() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
        assert "Reload abandoned" not in server.log


class TestSettings:
    def test_they_are_read_anew(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        shop.configure("raw_env = ['SHOP=one']")
        server = open_shop()
        assert answer(server)[3] == "one"
        shop.configure("raw_env = []\nworkers = 1\n")
        hup(server, RELOADED)
        eventually(lambda: {answer(server)[3] for _ in range(20)} == {"-"}, server.explain)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("def f(:", "SyntaxError"),
            ("1 / 0", "ZeroDivisionError"),
            ("timeout = 'soon'", "timeout"),
            ("import sys\nsys.exit(7)", ""),
            ("bind = ['192.0.2.1:80']", "Can't listen on 192.0.2.1:80"),
            ("errorlog = '/no/such/directory/log'", "errorlog"),
            ("def on_reload(server):\n    raise LookupError('not today')", "LookupError: not today"),
        ],
    )
    def test_broken_ones_change_nothing(
        self, open_shop: Callable[..., Server], shop: Shop, text: str, said: str
    ) -> None:
        shop.configure("raw_env = ['SHOP=one']")
        server = open_shop()
        old = server.workers()
        shop.write("v2")
        shop.configure(text)
        with Load(server.url) as load:
            hup(server, KEPT)
        assert said in server.news
        assert "on_reload" in text or "fastwsgi/" not in server.news  # the operator's own lines only
        assert load.failures == []
        assert server.workers() == old
        assert answer(server)[::3] == ["v1", "one"]
        shop.configure("raw_env = ['SHOP=two']")
        hup(server, RELOADED)
        eventually(lambda: answer(server)[::3] == ["v2", "two"], server.explain)
        assert server.stop() == 0

    def test_where_it_listens_can_change(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        path = shop.path / "socket"
        server = open_shop()
        with Load(server.url) as load:
            shop.configure(f"bind = ['unix:{path}', '127.0.0.1:0']")
            hup(server, rf"Listening at: unix:{path} \({server.pid}\)$")
            server.wait_for_log(RELOADED)
            with Load(f"unix:{path}") as through_the_file:
                eventually(lambda: through_the_file.answered > 5, server.explain)
            shop.configure("")
            hup(server, RELOADED)
        assert load.failures == through_the_file.failures == []
        assert not path.exists()

    def test_a_new_listener_goes_with_a_broken_reload(
        self, open_shop: Callable[..., Server], shop: Shop
    ) -> None:
        path = shop.path / "socket"
        server = open_shop()
        shop.configure(f"bind = ['unix:{path}', '127.0.0.1:0']")
        shop.write("bad", first="1 / 0")
        hup(server, KEPT)
        assert not path.exists()
        assert answer(server)[0] == "v1"

    def test_hooks(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        """In gunicorn's order, with what they are given there."""
        shop.configure(HOOKS)
        server = open_shop(workers=1)
        hup(server, RELOADED)
        settled(server, "v1")
        eventually(lambda: len(server.workers()) == 1, server.explain)
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        master = str(server.pid)
        lines = [line.split() for line in (shop.path / "hooks").read_text().splitlines()]
        assert [line[0] for line in lines if line[1] == master] == [
            "nworkers_changed:1:None",
            "on_starting",
            "when_ready",
            "pre_fork:1:[booting]",
            "on_reload",
            "pre_fork:2:[booting]",
            "child_exit:1",
            "child_exit:2",
            "on_exit",
        ]
        by_worker: dict[str, list[str]] = {}
        for name, pid in lines:
            if pid != master:
                by_worker.setdefault(pid, []).append(name)
        assert list(by_worker.values()) == [
            ["post_fork:1", "post_worker_init:1", "worker_exit:1"],
            ["post_fork:2", "post_worker_init:2", "worker_int:2", "worker_exit:2"],
        ]

    def test_hooks_that_raise_while_serving(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        shop.configure("def child_exit(server, worker):\n    raise LookupError('whose child?')\n")
        server = open_shop()
        os.kill(int(answer(server)[1]), signal.SIGKILL)
        server.wait_for_log("Exception in the hook child_exit")
        server.wait_for_log("LookupError: whose child?")
        eventually(lambda: shop.loaded("v1") == 3, server.explain)
        assert server.stop() == 0

    @pytest.mark.parametrize("hook", ["on_starting", "when_ready"])
    def test_hooks_that_raise_at_the_start(self, start: Start, shop: Shop, hook: str) -> None:
        shop.configure(f"def {hook}(server):\n    raise LookupError('not today')\n")
        server = start("shop", "--config", "conf.py", cwd=shop.path)
        assert server.wait() == 1
        assert "LookupError: not today" in server.log
        assert "Booting worker" not in server.log

    def test_logs_are_reopened(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        log, rotated = shop.path / "access", shop.path / "access.1"
        server = open_shop("--access-logfile", str(log))
        answer(server)
        eventually(lambda: log.exists() and log.read_text(), server.explain)
        log.rename(rotated)
        server.signal(signal.SIGUSR1)
        eventually(lambda: answer(server) and log.exists() and log.read_text(), server.explain)


class TestRetirement:
    def test_a_worker_serves_until_its_successor_does(
        self, open_shop: Callable[..., Server], shop: Shop
    ) -> None:
        server = open_shop("--max-requests", "5", workers=1)
        (worker,) = server.workers()
        shop.write("bad", first="1 / 0")
        for _ in range(10):
            assert int(answer(server)[1]) == worker
        server.wait_for_log(r"Autorestarting worker after current request\.$")
        server.wait_for_log("(?s)ZeroDivisionError.*ZeroDivisionError")
        assert answer(server)[:2] == ["v1", str(worker)]
        shop.write("v2")
        settled(server, "v2")
        server.wait_for_log(rf"Worker exiting \(pid: {worker}\)")

    def test_nothing_fails_meanwhile(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        server = open_shop("--max-requests", "20", "--max-requests-jitter", "10")
        with Load(server.url) as load:
            eventually(lambda: shop.loaded("v1") > 8, server.explain)
        assert load.failures == []


class TestPreload:
    def test_the_application_is_loaded_once(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        shop.configure(
            """
            import gc
            def post_fork(server, worker):
                assert gc.get_freeze_count() > 1000
            """
        )
        server = open_shop("--preload")
        assert shop.loaded("v1") == 1
        template = answer(server)[2]
        server.wait_for_workers(3)
        assert int(template) in server.workers()
        assert answer(server)[1] != template
        shop.write("v2")
        hup(server, RELOADED)
        settled(server, "v2")
        assert shop.loaded("v2") == 1
        assert answer(server)[2] != template
        eventually(lambda: len(server.workers()) == 3, server.explain)

    def test_the_old_code_can_be_served_while_the_new_is_broken(
        self, open_shop: Callable[..., Server], shop: Shop
    ) -> None:
        server = open_shop("--preload")
        template = answer(server)[2]
        shop.write("bad", first="1 / 0")
        hup(server, KEPT)
        victims = set(server.workers()) - {int(template)}
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
            server.wait_for_log(rf"Worker \(pid:{victim}\) was sent SIGKILL!")
        eventually(lambda: len(server.workers()) == 3, server.explain)
        assert versions(server) == {"v1"}
        assert answer(server)[2] == template

    def test_a_template_that_dies_is_replaced(self, open_shop: Callable[..., Server], shop: Shop) -> None:
        server = open_shop("--preload")
        template, children = answer(server)[2], server.workers()
        os.kill(int(template), signal.SIGKILL)
        server.wait_for_log(rf"Template \(pid:{template}\) was sent SIGKILL! Perhaps out of memory\?$")
        eventually(lambda: shop.loaded("v1") == 2, server.explain)
        (new,) = eventually(lambda: set(server.workers()) - set(children), server.explain)
        for worker in set(children) - {int(template)}:
            os.kill(worker, signal.SIGKILL)
        eventually(lambda: int(answer(server)[2]) == new, server.explain)

    def test_it_goes_with_the_arbiter(self, open_shop: Callable[..., Server]) -> None:
        server = open_shop("--preload")
        children = server.workers()
        assert len(children) == 3
        server.signal(signal.SIGKILL)
        server.wait()
        eventually(lambda: not any(map(is_running, children)), server.explain)

    @pytest.mark.parametrize(("first", "code"), [("1 / 0", 3), ("", 4)])
    def test_a_first_start_that_fails(self, start: Start, shop: Shop, first: str, code: int) -> None:
        shop.write("v1", first=first)
        spec = "shop:application" if first else "shop:aplication"
        server = start(spec, "--preload", "--bind", "127.0.0.1:0", "--workers", "2", cwd=shop.path)
        assert server.wait() == code
        assert ("ZeroDivisionError" if first else "did you mean 'application'?") in server.log
        assert server.log.count("Loading the application") == 1
        assert "Booting worker" not in server.log


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
