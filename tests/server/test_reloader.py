"""--reload: what is saved is what answers next, and what is broken says so until it is mended."""

import os
import re
import signal
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from .client import Client, Response, request
from .process import Server, Start, eventually


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> list[str]:
    """The quick engine, but for tests that are marked with `both_engines`."""
    return ["--reload", "--reload-engine", getattr(request, "param", "inotify")]


both_engines = pytest.mark.parametrize("engine", ["poll", "inotify"], indirect=True)


class Project:
    """A directory with a package `shop`, whose answers come from shop/views.py."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write("shop/__init__.py", "")
        self.write(
            "shop/wsgi.py",
            """
            from shop import views

            def application(environ, start_response):
                body = views.answer(environ["PATH_INFO"])
                start_response("200 OK", [("Content-Length", str(len(body)))])
                return [body.encode()]
            """,
        )
        self.answer("first")

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def answer(self, text: str) -> Path:
        return self.write("shop/views.py", f"def answer(path):\n    return {text!r}\n")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def shop(serve: Start, engine: list[str], project: Project) -> Callable[..., Server]:
    """shop(*flags): the project's server, which reloads. What is there already is what it begins with."""

    def start(*flags: str, env: dict[str, str] | None = None) -> Server:
        return serve("shop.wsgi", *engine, *flags, cwd=project.directory, env=env)

    return start


def ask(server: Server, target: str = "/") -> Response:
    with server.connect() as client:
        return client.get(target)


def answers(server: Server, text: str, status: int = 200) -> str:
    """Wait until the server answers so; the whole answer."""

    def found() -> str | None:
        response = ask(server)
        body = response.body.decode()
        return body if text in body and response.status == status else None

    return eventually(found, lambda: f"never answered {text!r}\n{ask(server)}\n{server.explain()}")


def boots(server: Server) -> int:
    return server.log.count("Booting worker")


@both_engines
def test_a_saved_module_is_what_answers_next(shop: Callable[..., Server], project: Project) -> None:
    server = shop()
    assert answers(server, "first")
    (worker,) = server.wait_for_workers(1)
    file = project.answer("second")
    assert answers(server, "second")
    assert f"Worker reloading: {file} modified" in server.log
    assert server.wait_for_workers(1) != [worker]
    file = project.write("shop/wsgi.py", "def application(environ, start_response): 1 / 0")
    server.wait_for_log(f"Worker reloading: {file} modified")


def test_preload_is_left_out(shop: Callable[..., Server], project: Project) -> None:
    """What was loaded before the fork could not be loaded anew by a fork."""
    server = shop("--preload")
    server.wait_for_log("--preload has no effect with --reload")
    assert answers(server, "first")
    project.answer("second")
    assert answers(server, "second")


def test_what_a_hook_imports_after_the_fork(shop: Callable[..., Server], project: Project) -> None:
    project.write("fastwsgi.conf.py", "def post_fork(server, worker):\n    import shop.views\n")
    server = shop()
    assert answers(server, "first")
    project.answer("second")
    assert answers(server, "second")


def test_as_editors_save(shop: Callable[..., Server], project: Project) -> None:
    server = shop()
    file = project.answer("first")
    assert answers(server, "first")

    new = project.write("shop/.views.py.new", "answer = lambda path: 'renamed'")
    new.replace(file)
    assert answers(server, "renamed")

    new = project.write("new.py", "answer = lambda path: 'moved away and written anew'")
    file.rename(file.with_suffix(".py~"))
    new.rename(file)
    assert answers(server, "written anew")

    before = boots(server)
    os.utime(file)
    eventually(lambda: boots(server) > before, server.explain)


def test_a_file_saved_in_two_steps(shop: Callable[..., Server], project: Project) -> None:
    server = shop()
    assert answers(server, "first")
    file = project.write("shop/views.py", "def answer(path):\n    return (\n")
    assert "SyntaxError" in answers(server, "", 500)
    with file.open("a") as opened:
        opened.write("    'whole')\n")
    assert answers(server, "whole")


def test_two_changes_within_a_second_to_the_same_size(shop: Callable[..., Server], project: Project) -> None:
    server = shop(env={"PYTHONDONTWRITEBYTECODE": ""})
    assert answers(server, "first")
    for _ in range(3):
        for text in ("one", "two"):
            project.answer(text)
            assert answers(server, text)


@both_engines
def test_a_module_that_is_imported_later(shop: Callable[..., Server], project: Project) -> None:
    project.write("shop/views.py", "def answer(path):\n    from shop import late\n    return late.text\n")
    project.write("shop/late.py", "text = 'late'")
    server = shop()
    assert answers(server, "late")
    project.write("shop/late.py", "text = 'later'")
    assert answers(server, "later")
    # it is imported in a request, which fails, and is in no list of modules afterwards
    project.write("shop/late.py", "text = (")
    server.wait_for_log(r"late\.py modified")
    eventually(lambda: ask(server).status == 500, server.explain)
    project.write("shop/late.py", "text = 'in time'")
    eventually(lambda: ask(server).body == b"in time", server.explain)


def test_a_request_under_way_is_finished(shop: Callable[..., Server], project: Project) -> None:
    """By the old code, while new ones meet the new code already."""
    gate = project.directory / "gate"
    project.write(
        "shop/views.py",
        f"""
        import os, time

        def answer(path):
            if path == "/gated":
                open({str(gate)!r}, "w").close()
                while os.path.exists({str(gate)!r}):
                    time.sleep(0.005)
            return "old"
        """,
    )
    server = shop()
    with server.connect() as client, server.connect() as idle:
        assert idle.get("/").body == b"old"
        client.send(request("GET", "/gated"))
        eventually(gate.exists, server.explain)
        project.answer("new")
        assert answers(server, "new")
        gate.unlink()
        response = client.response()
        assert (response.body, response.closes) == (b"old", True)
        assert idle.at_eof()
    assert "[ERROR]" not in server.log


def test_every_worker_has_the_new_code(shop: Callable[..., Server], project: Project) -> None:
    def loaders(text: str) -> set[int]:
        """The workers, once two have loaded this."""

        def found() -> set[int] | None:
            pids = {int(pid) for pid in re.findall(rf"^(\d+) loads {text}$", server.log, re.MULTILINE)}
            return pids if len(pids) == 2 else None

        return eventually(found, server.explain)

    code = "import os, sys\nprint(os.getpid(), 'loads {}', file=sys.stderr)\nanswer = lambda path: '{}'\n"
    project.write("shop/views.py", code.replace("{}", "first"))
    server = shop("--workers", "2")
    old = loaders("first")
    project.write("shop/views.py", code.replace("{}", "second"))
    new = loaders("second")
    assert not old & new
    eventually(lambda: set(server.workers()) == new, server.explain)
    assert answers(server, "second")


class TestBroken:
    @both_engines
    def test_a_syntax_error_is_shown_and_mended(self, shop: Callable[..., Server], project: Project) -> None:
        server = shop()
        assert answers(server, "first")
        file = project.write("shop/views.py", "text = '<b>&' if else")
        page = answers(server, "SyntaxError", 500)
        assert f"File &quot;{file}&quot;, line 1" in page
        assert "&lt;b&gt;&amp;" in page and "<b>" not in page
        assert "SyntaxError" in server.log and "<b>&" in server.log
        response = ask(server)
        assert response.header("content-type") == "text/html; charset=utf-8"
        assert response.header("cache-control") == "no-store"
        assert "fastwsgi" not in page

        (worker,) = server.wait_for_workers(1)
        count = boots(server)
        for _ in range(3):
            assert ask(server, "/anything").status == 500
        assert (server.workers(), boots(server)) == ([worker], count)
        project.answer("mended")
        assert answers(server, "mended")
        assert boots(server) == count + 1

    def test_a_broken_application_at_first_start(self, shop: Callable[..., Server], project: Project) -> None:
        project.write("shop/views.py", "1 / 0")
        server = shop()
        assert "ZeroDivisionError" in answers(server, "", 500)
        assert "ZeroDivisionError" in server.log
        project.write("shop/views.py", "raise SystemExit(7)")
        assert answers(server, "SystemExit: 7", 500)
        project.answer("mended")
        assert answers(server, "mended")

    @both_engines
    def test_a_missing_module_that_is_added(self, shop: Callable[..., Server], project: Project) -> None:
        project.write("shop/views.py", "from shop.extra import answer\nimport absent\n")
        server = shop()
        assert answers(server, "No module named &#x27;shop.extra&#x27;", 500)
        project.write("shop/extra.py", "def answer(path):\n    return 'extra'")
        assert answers(server, "No module named &#x27;absent&#x27;", 500)
        project.write("absent/__init__.py", "")
        assert answers(server, "extra")

    def test_a_module_that_is_deleted(self, shop: Callable[..., Server], project: Project) -> None:
        server = shop()
        assert answers(server, "first")
        (project.directory / "shop/views.py").unlink()
        assert answers(server, "ImportError", 500)
        project.answer("back")
        assert answers(server, "back")

    def test_an_application_that_is_not_there(
        self, serve: Start, engine: list[str], project: Project
    ) -> None:
        server = serve("site:app", *engine, "--pythonpath", str(project.directory / "lib"))
        assert answers(server, "there is no &#x27;app&#x27; in site", 500)
        server = serve("shop.asgi", *engine, cwd=project.directory)
        assert answers(server, "there is no module &#x27;shop.asgi&#x27;", 500)
        project.write("shop/asgi.py", "from shop.wsgi import application as app")
        assert answers(server, "there is no &#x27;application&#x27; in shop.asgi", 500)
        project.write("shop/asgi.py", "from shop.wsgi import application")
        assert answers(server, "first")

    def test_code_that_is_executed_but_not_imported(
        self, shop: Callable[..., Server], project: Project
    ) -> None:
        part = project.write("part.conf", "answer = lambda path: 'part' +")
        project.write("shop/views.py", f"exec(compile(open({str(part)!r}).read(), {str(part)!r}, 'exec'))")
        server = shop()
        assert answers(server, "part.conf", 500)
        project.write("part.conf", "answer = lambda path: 'part'")
        assert answers(server, "part")


@both_engines
def test_extra_files(shop: Callable[..., Server], project: Project) -> None:
    page = project.write("templates/page.html", "one")
    project.write("shop/views.py", f"text = open({str(page)!r}).read()\nanswer = lambda path: text\n")
    (project.directory / "more").mkdir()
    server = shop("--reload-extra-file", "templates/*.html", "--reload-extra-file", "more")
    assert answers(server, "one")
    project.write("templates/page.html", "two")
    assert answers(server, "two")
    for name in ("templates/added.html", "more/anything.txt"):
        (worker,) = server.wait_for_workers(1)
        added = project.write(name, "")
        server.wait_for_log(f"Worker reloading: {re.escape(str(added))} modified")
        eventually(lambda old=worker: old not in server.workers(), server.explain)
        assert answers(server, "two")  # by a worker that has seen all that is there


def test_signals_are_for_the_main_thread(shop: Callable[..., Server]) -> None:
    """One that another thread took would not interrupt what the main thread waits in."""
    server = shop()
    assert answers(server, "first")
    (worker,) = server.wait_for_workers(1)
    others = [task for task in Path(f"/proc/{worker}/task").iterdir() if task.name != str(worker)]
    assert others
    for task in others:
        blocked = re.search(r"^SigBlk:\s*(\w+)$", (task / "status").read_text(), re.MULTILINE)
        assert blocked is not None
        for signum in (signal.SIGTERM, signal.SIGABRT, signal.SIGINT):
            assert int(blocked[1], 16) >> (signum - 1) & 1, task


def test_the_hook_worker_int_is_called(shop: Callable[..., Server], project: Project) -> None:
    project.write(
        "fastwsgi.conf.py",
        """
        def worker_int(worker):
            worker.log.info("interrupted: %s", worker.pid)
            raise ValueError("in the hook")
        """,
    )
    server = shop()
    assert answers(server, "first")
    (worker,) = server.wait_for_workers(1)
    project.answer("second")
    assert answers(server, "second")
    assert f"interrupted: {worker}" in server.log
    assert "in the hook" in server.log


def test_what_the_configuration_has_imported(shop: Callable[..., Server], project: Project) -> None:
    """It is the arbiter's, and no new worker would load it anew."""
    project.write("shop/numbers_of_ours.py", "threads = 1")
    project.write(
        "fastwsgi.conf.py",
        f"""
        import sys
        sys.path.insert(0, {str(project.directory)!r})
        from shop.numbers_of_ours import threads
        """,
    )
    server = shop()
    assert answers(server, "first")
    (worker,) = server.wait_for_workers(1)
    file = project.write("shop/numbers_of_ours.py", "threads = 2")
    server.wait_for_log(f"{re.escape(str(file))} is modified, but .* restart the server")
    assert server.workers() == [worker]
    project.answer("second")
    assert answers(server, "second")


def test_the_server_ends_as_ever(shop: Callable[..., Server], project: Project) -> None:
    server = shop()
    with Client.open(server.url) as client:
        assert client.get("/").body == b"first"
        assert server.stop() == 0
    project.write("shop/views.py", "(")
    server = shop()
    assert answers(server, "SyntaxError", 500)
    assert server.stop() == 0
