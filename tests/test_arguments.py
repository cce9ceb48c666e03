"""fastwsgi/settings/arguments.py: from arguments to settings."""

import pytest

from fastwsgi.app.wsgiapp import WSGIApplication
from fastwsgi.settings import Settings, declared
from fastwsgi.settings.arguments import make_parser


def parse(argv: list[str]) -> Settings:
    return WSGIApplication(argv=argv).cfg


@pytest.mark.parametrize(
    "line",
    [
        "site.wsgi --bind a:1 -b unix:/x --workers 4 --env A=1 -e B=2 --keep-alive 5",
        "-b a:1 --bind=unix:/x -w4 -e A=1 --env B=2 --keep-alive=5 site.wsgi",
        "--bin a:1 --worke 4 site.wsgi -b unix:/x --env A=1 --env=B=2 --keep 5",
    ],
)
def test_options(line: str) -> None:
    if "--worke " in line:
        # worker-class, worker-connections and workers begin so: an abbreviation must be unambiguous
        with pytest.raises(SystemExit, match="ambiguous"):
            parse(line.split())
        line = line.replace("--worke ", "--workers ")
    settings = parse(line.split())
    assert settings.wsgi_app == "site.wsgi"
    assert settings.bind == ("a:1", "unix:/x")
    assert settings.workers == 4
    assert settings.env == {"A": "1", "B": "2"}
    assert settings.keepalive == 5
    assert settings.source("workers") == "command line"
    assert settings.source("timeout") == "default"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "no application"),
        ("--workers 2", "no application"),
        ("app --bindd x", "no option '--bindd'; did you mean '--bind'?"),
        ("app --bindd=x", "no option '--bindd'; did you mean '--bind'?"),
        ("app -Z", "no option '-Z'"),
        ("app second", "second argument: 'second'"),
        ("app --workers", "-w/--workers: expected one argument"),
    ],
)
def test_usage_errors(line: str, message: str) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(line.split())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_value() -> None:
    with pytest.raises(
        SystemExit, match=r"^fastwsgi: error: bind = 'a:b' \(command line\) is not valid: expected a port"
    ):
        parse(["app", "-b", "a:b"])


def test_help_tells_of_every_setting() -> None:
    text = make_parser().format_help()
    for setting in declared().values():
        assert all(flag in text for flag in setting.flags)
        assert not setting.flags or f"\n{setting.section}:\n" in text
    assert "[127.0.0.1:8000]" in text
    assert '"%(r)s"' in text
