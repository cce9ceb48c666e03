"""The command as people type it, on a Django project as people lay it out."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from .client import Response
from .process import Server, Start, eventually

SITE = Path(__file__).parent / "projects" / "djangosite"

TYPED = (
    "fastwsgi app.wsgi:application --bind 0.0.0.0:8000 --reload "
    "--env DJANGO_SETTINGS_MODULE=config.settings.prod --access-logfile -"
)
# a test takes what port it gets
ARGUMENTS = shlex.split(TYPED.replace("0.0.0.0:8000", "127.0.0.1:0"))[1:]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The project, to be edited."""
    return shutil.copytree(SITE, tmp_path / "site", ignore=shutil.ignore_patterns("__pycache__"))


def ask(server: Server, target: str = "/") -> Response:
    with server.connect() as client:
        return client.get(target)


def answers(server: Server, status: int, text: str) -> None:
    def found() -> bool:
        response = ask(server)
        return response.status == status and text in response.body.decode()

    eventually(found, lambda: f"never {status} {text!r}\n{server.explain()}")


def test_the_command_as_it_stands(start: Start, site: Path) -> None:
    server = start(*ARGUMENTS, cwd=site)
    assert ask(server).body == b"Welcome to the shop (DEBUG=False)"
    assert ask(server, "/items/7/?q=a%20b").body == b'{"number": 7, "q": "a b"}'
    assert ask(server, "/nothing").status == 404
    lines = eventually(
        lambda: server.output.splitlines() if server.output.count("\n") == 3 else None, server.explain
    )
    pattern = r'127\.0\.0\.1 - - \[[^\]]+\] "GET (\S+) HTTP/1\.1" (\d+) (\d+) "-" "-"'
    matches = [re.fullmatch(pattern, line) for line in lines]
    assert [match and match.groups()[:2] for match in matches] == [
        ("/", "200"),
        ("/items/7/?q=a%20b", "200"),
        ("/nothing", "404"),
    ]
    assert server.stop() == 0


def test_editing_while_it_runs(start: Start, site: Path) -> None:
    server = start(*ARGUMENTS, cwd=site)
    answers(server, 200, "Welcome to the shop")
    views = site / "shop" / "views.py"
    text = views.read_text()

    views.write_text(text.replace("Welcome", "Welcome back"))
    answers(server, 200, "Welcome back to the shop")
    assert f"Worker reloading: {views} modified" in server.log

    # Django imports views with the first request, and says nothing more than 500 in production
    views.write_text(text.replace("def index(", "def index((("))
    answers(server, 500, "Server Error")
    views.write_text(text.replace("Welcome", "Mended"))
    answers(server, 200, "Mended")

    # the settings are read when the application is loaded
    prod = site / "config" / "settings" / "prod.py"
    prod.write_text(prod.read_text() + "\nfrom .local import *\n")
    answers(server, 500, "No module named &#x27;config.settings.local&#x27;")
    assert "No module named 'config.settings.local'" in server.log
    (site / "config" / "settings" / "local.py").write_text("DEBUG = True\n")
    answers(server, 200, "Mended to the shop (DEBUG=True)")
    assert server.stop() == 0
