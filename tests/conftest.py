"""Options and fixtures of the whole suite."""

import logging
import sys
from collections.abc import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server-command",
        default=f"{sys.executable} -m fastwsgi",
        help="what the server tests start, with gunicorn's flags (default: %(default)s)",
    )


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Whatever the test does to the logging module is undone: it belongs to the whole process."""
    loggers = logging.root.manager.loggerDict
    known = dict(loggers)
    root = (logging.root.level, logging.root.handlers[:])
    handlers = [each() for each in logging._handlerList]
    for name in [name for name in loggers if name.partition(".")[0] in ("fastwsgi", "gunicorn")]:
        del loggers[name]
    yield
    for each in logging._handlerList[:]:
        if (handler := each()) is not None and handler not in handlers:
            handler.close()
    loggers.clear()
    loggers.update(known)
    logging.root.setLevel(root[0])
    logging.root.handlers[:] = root[1]
