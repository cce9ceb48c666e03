"""stress.py for a few seconds, with workers of both kinds and both ways to listen."""

import shlex
from pathlib import Path

import pytest

from .stress import FLAGS, start, stress

SECONDS = 3.0
PAUSE_S = 0.4


@pytest.mark.parametrize(
    "flags", [[], ["--threads", "3"], ["--reuse-port"]], ids=["sync", "threads", "reuse-port"]
)
def test_nobody_loses_anything_but_to_a_kill(
    request: pytest.FixtureRequest, tmp_path: Path, flags: list[str]
) -> None:
    command = shlex.split(request.config.getoption("--server-command"))
    calls = tmp_path / "calls"
    server = start(command, [*FLAGS, *flags], tmp_path, calls)
    try:
        report = stress(server, calls, SECONDS, PAUSE_S, seed=1)
        assert server.stop() == 0
    finally:
        server.kill()
    assert report.tally.wrong == [], server.explain()
    assert report.doubled == []
    assert report.tally.closed == 0, report
    assert report.done["kill"] > 0 and report.tally.answers > 100
