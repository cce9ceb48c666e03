"""Options of the whole suite."""

import sys

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server-command",
        default=f"{sys.executable} -m fastwsgi",
        help="what the server tests start, with gunicorn's flags (default: %(default)s)",
    )
