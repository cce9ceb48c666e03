"""What --reload serves where the application cannot be loaded: the reason, for the person who wrote it."""

from __future__ import annotations

import html
import traceback
from typing import TYPE_CHECKING

from fastwsgi.errors import AppNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<h1>{title}</h1>
<pre>{text}</pre>
<p>The next change of a file that is watched loads the application again.</p>
</body>
</html>
"""


def application(error: BaseException, where: TracebackType | None) -> WSGIApplication:
    """An application that answers everything with 500 and why `error` was raised, from `where` on."""
    if isinstance(error, AppNotFoundError):
        text = str(error)
    else:
        text = "".join(traceback.format_exception(type(error), error, where))
    page = PAGE.format(title="The application cannot be loaded", text=html.escape(text))
    body = page.encode(errors="backslashreplace")

    def show(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(
            "500 Internal Server Error",
            [
                ("Content-Type", "text/html; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
            ],
        )
        return [body]

    return show
