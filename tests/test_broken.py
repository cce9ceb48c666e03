"""The page that --reload shows in place of an application."""

from wsgiref.util import setup_testing_defaults

from fastwsgi import broken
from fastwsgi.errors import EXIT_APP, AppNotFoundError


def show(error: BaseException) -> str:
    environ: dict[str, object] = {}
    setup_testing_defaults(environ)
    started: list[object] = []

    def start_response(*arguments: object) -> None:
        started.extend(arguments)

    blocks = list(broken.application(error, error.__traceback__)(environ, start_response))  # type: ignore[arg-type]
    assert started[0] == "500 Internal Server Error"
    headers = dict(started[1])  # type: ignore[call-overload]
    assert headers["Content-Length"] == str(sum(map(len, blocks)))
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    return b"".join(blocks).decode()


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_the_traceback_is_text() -> None:
    page = show(raised(ValueError("<script>&'\" \udcff")))
    assert "<script>" not in page
    assert "ValueError: &lt;script&gt;&amp;&#x27;&quot; \\udcff" in page
    assert f"File &quot;{__file__}&quot;" in page


def test_a_syntax_error_says_where() -> None:
    try:
        compile("x = (", "shop/views.py", "exec")
    except SyntaxError as error:
        error.__traceback__ = None
        page = show(error)
    assert "File &quot;shop/views.py&quot;, line 1" in page


def test_an_application_that_is_not_there() -> None:
    page = show(raised(AppNotFoundError("there is no 'app' in shop", EXIT_APP)))
    assert "<pre>there is no &#x27;app&#x27; in shop</pre>" in page
