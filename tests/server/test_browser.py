"""The Django example in Chromium: directly, and over TLS and HTTP/2 through each front.

Chromium is large, so these tests are run only when asked for: pytest -m browser.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import site
from .browser import Browser
from .front import HOST, KINDS, Front
from .process import Start

pytestmark = pytest.mark.browser


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    browser = Browser(tmp_path)
    yield browser
    browser.close()


@pytest.fixture(params=["bare", *KINDS])
def url(request: pytest.FixtureRequest, serve: Start, prepared_site: Path) -> Iterator[str]:
    arguments = [*site.arguments(prepared_site), "--workers", "2"]
    if request.param == "bare":
        yield serve(*arguments).url
        return
    variables = "DJANGO_HTTPS=1", f"DJANGO_ALLOWED_HOSTS={HOST}"
    flags = (word for name in variables for word in ("--env", name))
    front = Front(KINDS[request.param], serve(*arguments, *flags).url)
    try:
        yield f"https://{HOST}:{front.ready().place.https}"
    finally:
        front.stop()


def test_a_visit(browser: Browser, url: str, tmp_path: Path) -> None:
    browser.visit(f"{url}/")
    assert browser.title == "Documents"
    assert browser.run("return document.styleSheets[0].cssRules.length") > 0

    browser.visit(f"{url}/admin/")
    assert browser.title.startswith("Log in")
    browser.fill("#id_username", "admin")
    browser.fill("#id_password", site.PASSWORD)
    browser.click("[type=submit]")
    browser.wait_for_text("Recent actions")

    path = tmp_path / "three megabytes.bin"
    path.write_bytes(b"0123456789abcdef" * 196_608)
    browser.visit(f"{url}/upload/")
    browser.fill("#id_title", "From a browser")
    browser.fill("#id_file", str(path))
    browser.click("main button")
    browser.wait_for_text("From a browser by admin")
    length = "return fetch(arguments[0]).then(answer => answer.arrayBuffer()).then(body => body.byteLength)"
    link = browser.run("return [...document.querySelectorAll('main li a')].pop().href")
    assert browser.run(length, link) == path.stat().st_size
    report = browser.run("return fetch('/report.csv').then(answer => answer.text())")
    assert "From a browser,admin," in report
    if url.startswith("https:"):
        protocol = browser.run("return performance.getEntriesByType('navigation')[0].nextHopProtocol")
        assert protocol == "h2"

    answers = browser.network()
    # every site is asked for this, and this one has none
    icon = f"{url}/favicon.ico"
    answers = [answer for answer in answers if answer != (icon, 404)]
    assert [answer for answer in answers if answer[1] not in (200, 302)] == []
    served = {re.sub(r"\.[0-9a-f]{12}\.", ".", address.removeprefix(url)) for address, _ in answers}
    assert {
        "/static/documents/style.css",
        "/static/admin/css/base.css",
        "/static/admin/js/theme.js",
    } <= served
    assert [line for line in browser.console() if not line.startswith(icon)] == []
