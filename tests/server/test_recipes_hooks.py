"""gunicorn.conf.py files with server hooks."""

import os
import re
import signal
from pathlib import Path

from .process import Server, Start, eventually


def hooks(server: Server) -> list[str]:
    """The hooks that were called, in the order of the log."""
    return re.findall(r"HOOK (\w+) ", server.log)


def get(server: Server, target: str = "/", address: str | None = None) -> str:
    with server.connect(address) as client:
        response = client.get(target)
        assert response.status == 200
        return response.body.decode()


def test_every_hook_with_what_it_looks_at(cook: Start) -> None:
    server = cook("hooks", "shop")
    assert get(server, "/a?b=c") == "Hello from the shop"
    (worker,) = server.workers()
    said = dict(re.findall(r"HOOK (\w+) #1 (.*)$", server.log, re.MULTILINE))
    assert said["on_starting"].startswith(f"{server.pid} 1 1 ")
    assert said["when_ready"].endswith(" 1")
    assert said["pre_fork"] == "1 [booting]"
    assert said["post_fork"] == f"1 {worker} {server.pid}"
    assert said["post_worker_init"].startswith(f"{worker} True ") and said["post_worker_init"].endswith(
        " True"
    )
    assert said["pre_request"] == "GET /a"
    server.wait_for_log(r"HOOK post_request #1 /a\?b=c 127\.0\.0\.1 200 19$")

    server.signal(signal.SIGTTIN)
    server.wait_for_log(r"HOOK nworkers_changed #\d+ 1 2$")
    server.wait_for_workers(2)
    server.signal(signal.SIGHUP)
    server.wait_for_log("HOOK on_reload #1")
    assert server.stop() == 0
    assert f"HOOK worker_exit #1 {worker} 1" in server.log
    assert f"HOOK child_exit #1 {worker}" in server.log
    order = hooks(server)
    assert order[0] in ("nworkers_changed", "on_starting")
    assert order[-1] == "on_exit"
    first = {name: order.index(name) for name in set(order)}
    assert (
        first["on_starting"]
        < first["when_ready"]
        < first["pre_fork"]
        < first["post_fork"]
        < first["post_worker_init"]
        < first["pre_request"]
        < first["post_request"]
        < first["on_reload"]
        < first["worker_exit"]
    )


def test_what_a_fork_must_not_share(cook: Start) -> None:
    server = cook("forking", "shop")
    eventually(lambda: server.log.count("Worker spawned (pid: ") == 2, server.explain)
    assert re.fullmatch(r"(\d+) has the connection of \1", get(server, "/connection"))
    assert float(get(server, "/random")) >= 0


def test_where_all_threads_are(cook: Start) -> None:
    server = cook("frames", "shop")
    assert get(server) == "Hello from the shop"
    server.signal(signal.SIGINT)
    assert server.wait() == 0
    assert "worker received INT or QUIT signal" in server.log
    assert "# Thread: MainThread(" in server.log
    assert 'gunicorn.conf.py", line' in server.log


def test_requests_timed_by_hooks(cook: Start) -> None:
    server = cook("timing", "shop")
    with server.connect() as client:
        assert client.get("/slow", ("User-Agent", "tester/1")).body == b"slow"
    match = server.wait_for_log(r"end GET /slow status=200 user_agent=tester/1 duration=([\d.]+)ms$")
    assert float(match[1]) >= 10
    assert get(server) == "Hello from the shop"
    server.wait_for_log("end GET / status=200 user_agent=- ")
    assert server.log.count("begin GET") == 2


class TestPrometheus:
    def metric(self, server: Server, name: str) -> float:
        with server.connect() as client:
            text = client.get("/metrics").body.decode()
        match = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        assert match, text
        return float(match[1])

    def ready_workers(self, server: Server, but: set[int]) -> set[int]:
        """Both workers. One that has just begun must not be asked about: its files are not whole yet."""
        ready = set(map(int, re.findall(r"metrics opened: (\d+)$", server.log, re.MULTILINE))) - but
        return ready if len(ready) == 2 else set()

    def test_metrics_of_workers_that_come_and_go(self, cook: Start, tmp_path: Path) -> None:
        directory = tmp_path / "metrics"
        directory.mkdir()
        server = cook("prometheus", "metrics", env={"PROMETHEUS_MULTIPROC_DIR": str(directory)})
        old = eventually(lambda: self.ready_workers(server, set()), server.explain)
        served = {int(get(server)) for _ in range(5)}
        assert served <= old
        assert self.metric(server, "shop_requests_total") == 5
        assert self.metric(server, "shop_workers") == len(served)

        for worker in served:
            os.kill(worker, signal.SIGKILL)
            server.wait_for_log(f"marked dead: {worker}")
        # what the dead have counted stays, but they are no workers any more
        workers = eventually(lambda: self.ready_workers(server, served), server.explain)
        assert int(get(server)) in workers
        assert self.metric(server, "shop_requests_total") == 6
        assert self.metric(server, "shop_workers") == 1
