"""fastwsgi/app/loader.py: from a specification to the callable it names."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastwsgi.app.loader import enter_project, load
from fastwsgi.errors import EXIT_APP, EXIT_BOOT, AppNotFoundError

PROJECT = {
    "shop/__init__.py": "",
    "shop/wsgi.py": """
def application(environ, start_response): pass
app = [application]
class site:
    wsgi = application
nothing = None
number = 5
def create_app(*args, **kwargs):
    def made(environ, start_response): pass
    made.args, made.kwargs = args, kwargs
    return made
def create_nothing(): pass
def create_failing(): raise KeyError("from the factory")
""",
    "shop/other.py": "def app(environ, start_response): pass\n",
    "shop/broken.py": "import not_installed_anywhere\n",
    "shop/failing.py": "1 / 0\n",
    "shop/leaving.py": "raise SystemExit(7)\n",
    "brokenpackage/__init__.py": "raise OSError('from the package')\n",
    "brokenpackage/wsgi.py": "",
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_callable_is_an_application_already() -> None:
    assert load(lambda environ, start_response: []).__name__ == "<lambda>"


def test_default_attribute() -> None:
    assert load("shop.wsgi").__name__ == "application"


@pytest.mark.parametrize("spec", ["shop.wsgi:application", "shop.wsgi:site.wsgi", "shop.wsgi: application "])
def test_attribute(spec: str) -> None:
    assert load(spec).__name__ == "application"


@pytest.mark.parametrize(
    ("call", "args", "kwargs"),
    [
        ("create_app()", (), {}),
        ("create_app('x', 2)", ("x", 2), {}),
        ('create_app("a:b", debug=True, names=["x", None])', ("a:b",), {"debug": True, "names": ["x", None]}),
        ("create_app(-1.5, {'k': (1, 2)})", (-1.5, {"k": (1, 2)}), {}),
    ],
)
def test_factory(call: str, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    made = load(f"shop.wsgi:{call}")
    assert (made.args, made.kwargs) == (args, kwargs)


@pytest.mark.parametrize(
    ("spec", "exit_code", "message"),
    [
        ("shop.wsgj", EXIT_BOOT, "there is no module 'shop.wsgj'"),
        ("shop.wsgj", EXIT_BOOT, "did you mean 'shop.wsgi'?"),
        ("shpo.wsgi", EXIT_BOOT, "there is no module 'shpo'"),
        ("shpo.wsgi", EXIT_BOOT, "did you mean 'shop'?"),
        ("shop.wsgi.app", EXIT_BOOT, "'shop.wsgi' is not a package"),
        ("shop/wsgi.py", EXIT_BOOT, "did you mean the module 'shop.wsgi'?"),
        ("./shop/wsgi.py:app", EXIT_BOOT, "did you mean the module 'shop.wsgi'?"),
        ("shop-wsgi:app", EXIT_BOOT, "'shop-wsgi' is not the name of a module"),
        (":app", EXIT_BOOT, "'' is not the name of a module"),
        (
            "shop.wsgi:aplication",
            EXIT_APP,
            "there is no 'aplication' in shop.wsgi; did you mean 'application'?",
        ),
        ("shop.other", EXIT_APP, "there is no 'application' in shop.other; did you mean 'app'?"),
        ("shop.wsgi:site.wsgj", EXIT_APP, "there is no 'wsgj' in shop.wsgi:site; did you mean 'wsgi'?"),
        ("shop.wsgi:nothing", EXIT_APP, "shop.wsgi:nothing is no WSGI application: it is None"),
        ("shop.wsgi:number", EXIT_APP, "it is of type int, not a callable"),
        (
            "shop.wsgi:create_nothing()",
            EXIT_APP,
            "shop.wsgi:create_nothing(...) is no WSGI application: it is None",
        ),
        ("shop.wsgi:number()", EXIT_APP, "shop.wsgi:number cannot be called: it is of type int"),
        ("shop.wsgi:create_app(x)", EXIT_APP, "literal arguments"),
        ("shop.wsgi:create_app(**{'a': 1})", EXIT_APP, "literal arguments"),
        ("shop.wsgi:create_app(*[1])", EXIT_APP, "literal arguments"),
        ("shop.wsgi:create_app()()", EXIT_APP, "cannot read"),
        ("shop.wsgi:app[0]", EXIT_APP, "cannot read"),
        ("shop.wsgi:a b", EXIT_APP, "cannot read"),
        ("shop.wsgi:5", EXIT_APP, "cannot read"),
        ("shop.wsgi:x\0", EXIT_APP, "cannot read"),
    ],
)
def test_a_specification_that_leads_nowhere(spec: str, exit_code: int, message: str) -> None:
    with pytest.raises(AppNotFoundError) as caught:
        load(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == exit_code


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("shop.broken", ModuleNotFoundError),
        ("shop.failing", ZeroDivisionError),
        ("shop.leaving", SystemExit),
        ("brokenpackage.wsgi", OSError),
        ("shop.wsgi:create_failing()", KeyError),
        ("shop.wsgi:create_nothing(1)", TypeError),
    ],
)
def test_what_the_application_raises_goes_through(spec: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        load(spec)


def test_enter_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/lib"])
    enter_project(str(tmp_path / "shop"), "../a, /b,, /lib")
    assert Path.cwd() == tmp_path / "shop"
    assert sys.path == ["/b", str(tmp_path / "a"), str(tmp_path / "shop"), "/lib"]
    enter_project(str(tmp_path / "shop"), None)
    assert sys.path.count(str(tmp_path / "shop")) == 1
