"""pre_request, post_request, worker_int and worker_abort, as configuration files use them."""

import os
import re
import signal
from pathlib import Path

from .client import request
from .process import Server, Start, eventually


def configured(serve: Start, tmp_path: Path, hooks: str, *flags: str) -> Server:
    (tmp_path / "hooks.conf.py").write_text(hooks)
    return serve("stuck", "-c", str(tmp_path / "hooks.conf.py"), *flags)


TIMING = """
import time

def pre_request(worker, req):
    req.began = time.time()
    worker.log.info("before %d: %s %s", worker.nr, req.method, req.path)

def post_request(worker, req, environ, resp):
    assert time.time() >= req.began
    worker.log.info(
        "after %d: %s %s %s %s %d %s %s", worker.nr, req.uri, resp.status, resp.status_code, resp.headers,
        resp.sent, resp.response_length, environ["PATH_INFO"],
    )
"""


def test_the_timing_recipe(serve: Start, tmp_path: Path) -> None:
    server = configured(serve, tmp_path, TIMING)
    with server.connect() as client:
        assert client.get("/one?x=1").body == b"as usual"
        server.wait_for_log(r"before 0: GET /one$")
        server.wait_for_log(r"after 1: /one\?x=1 200 OK 200 \[\('Content-Type', 'text/plain'\)\] 8 8 /one$")
        assert client.get("/two").body == b"as usual"
        server.wait_for_log(r"before 1: GET /two$")
        server.wait_for_log(r"after 2: /two 200 OK")
        assert client.get("/raise").status == 500
        server.wait_for_log(r"after 3: /raise 500 Internal Server Error 500 \[\] 0 None /raise$")


def test_fewer_arguments(serve: Start, tmp_path: Path) -> None:
    for arguments in ("worker, req", "worker, req, environ"):
        hook = f"def post_request({arguments}):\n    worker.log.info('after %s', req.path)\n"
        server = configured(serve, tmp_path, hook)
        with server.connect() as client:
            assert client.get("/one").body == b"as usual"
        server.wait_for_log("after /one$")


def test_what_they_raise(serve: Start, tmp_path: Path) -> None:
    server = configured(
        serve,
        tmp_path,
        "def pre_request(worker, req):\n    if req.path == '/before':\n        raise LookupError('no')\n"
        "def post_request(worker, req, environ, resp):\n"
        "    worker.log.info('after %s', resp.status)\n    1 / 0\n",
    )
    with server.connect() as client:
        assert client.get("/").body == b"as usual"
        server.wait_for_log(r"(?s)Exception in the hook post_request.*ZeroDivisionError")
        assert client.get("/before").status == 500
    server.wait_for_log(r"(?s)Error handling request /before.*LookupError: no")
    server.wait_for_log("after 500 Internal Server Error$")


def test_a_slow_one_keeps_nobody(serve: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = configured(
        serve,
        tmp_path,
        "import pathlib, time\n"
        "def post_request(worker, req):\n"
        f"    while not pathlib.Path({str(gate)!r}).exists():\n        time.sleep(0.01)\n",
    )
    with server.connect() as client:
        assert client.get("/").body == b"as usual"  # while it is still in the hook
        client.send(request("GET", "/raise"))
        gate.touch()
        assert client.response().status == 500


def test_without_hooks_only_debug_tells_of_requests(serve: Start) -> None:
    for level in ("info", "debug"):
        server = serve("stuck", "--log-level", level)
        with server.connect() as client:
            assert client.get("/one?x=1").body == b"as usual"
        assert ("[DEBUG] GET /one\n" in server.log) == (level == "debug")


FRAMES = """
import sys, threading, traceback

def {hook}(worker):
    names = {{thread.ident: thread.name for thread in threading.enumerate()}}
    for ident, frame in sys._current_frames().items():
        lines = traceback.format_stack(frame)
        worker.log.critical("%s pid:%s\\n%s", names[ident], worker.pid, "".join(lines))
"""


def test_worker_abort_sees_the_frames(serve: Start, tmp_path: Path) -> None:
    server = configured(serve, tmp_path, FRAMES.format(hook="worker_abort"), "--timeout", "1")
    with server.connect() as client:
        client.send(request("GET", "/sleep"))
        assert client.response().status == 504
    worker = server.wait_for_log(r"(?s)MainThread pid:(\d+)\n.*in sleep\n")[1]
    server.wait_for_log(rf"Worker \(pid:{worker}\) has been in GET /sleep")


def test_worker_int_sees_the_frames(serve: Start, tmp_path: Path) -> None:
    server = configured(serve, tmp_path, FRAMES.format(hook="worker_int"))
    (worker,) = server.wait_for_workers(1)
    os.kill(worker, signal.SIGINT)
    server.wait_for_log(rf"MainThread pid:{worker}\n")
    eventually(lambda: worker not in server.workers(), server.explain)


def test_what_worker_abort_raises(serve: Start, tmp_path: Path) -> None:
    server = configured(serve, tmp_path, "def worker_abort(worker):\n    1 / 0\n", "--timeout", "1")
    with server.connect() as client:
        client.send(request("GET", "/sleep"))
        assert client.response().status == 504
    server.wait_for_log(r"(?s)Exception in the hook worker_abort.*ZeroDivisionError")
    assert re.search("exited with code 1$", server.wait_for_log(r"Worker \(pid:\d+\) exited.*$")[0])
