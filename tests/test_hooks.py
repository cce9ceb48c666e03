"""fastwsgi/settings/hooks.py: which functions can be hooks, and how they are called."""

import functools
import sys
from pathlib import Path

import pytest

from fastwsgi.errors import ConfigError
from fastwsgi.settings import Layer, Settings
from fastwsgi.settings.hooks import nothing


def given(**values: object) -> Settings:
    return Settings([Layer("test", values)])


@pytest.mark.parametrize(
    ("function", "seen"),
    [
        (lambda worker, req: (worker, req), (1, 2)),
        (lambda worker, req, environ: (worker, req, environ), (1, 2, 3)),
        (lambda worker, req, environ=None: (worker, req, environ), (1, 2, 3)),
        (lambda worker, req, environ, resp: (worker, req, environ, resp), (1, 2, 3, 4)),
        (lambda *arguments: arguments, (1, 2, 3, 4)),
    ],
)
def test_post_request_takes_what_it_wants(function: object, seen: tuple[int, ...]) -> None:
    assert given(post_request=function).post_request(1, 2, 3, 4) == seen


@pytest.mark.parametrize("function", [lambda: 0, lambda a: 0, lambda a, b, c, d, e: 0, "no", 5, None])
def test_not_a_post_request(function: object) -> None:
    with pytest.raises(ConfigError, match=r"^post_request = .* \(test\) is not valid: expected"):
        given(post_request=function)


class Hooks:
    def __call__(self, server: object) -> object:
        return server

    def method(self, server: object) -> object:
        return server


@pytest.mark.parametrize(
    "function",
    [Hooks(), Hooks().method, functools.partial(lambda x, server: server, 1), int, lambda *a: a[0]],
)
def test_whatever_can_be_called_with_them(function: object) -> None:
    assert given(on_exit=function).on_exit(5) == 5


def test_a_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "myhooks.py").write_text("def leave(server): return 'left'\nnumber = 5\n")
    (tmp_path / "brokenhooks.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert given(on_exit="myhooks.leave").on_exit(None) == "left"
    for name, reason in [
        ("myhooks.nosuch", "has no attribute 'nosuch'"),
        ("myhooks.number", "expected a function"),
        ("brokenhooks.leave", "No module named 'no_such_module_anywhere'"),
        ("leave", "expected a dotted name"),
    ]:
        with pytest.raises(ConfigError, match=reason):
            given(on_exit=name)
    del sys.modules["myhooks"]


def test_hooks_that_are_not_set() -> None:
    settings = Settings()
    assert settings.pre_request is nothing
    assert settings.post_request is nothing
    assert settings.on_exit(None) is None
    assert settings.ssl_context(None, lambda: "made") == "made"
