"""fastwsgi.http.parse_url, beside httptools' one."""

import httptools
import pytest

from fastwsgi.http import URL, HttpParserInvalidURLError, parse_url

PARTS = ("schema", "host", "port", "path", "query", "fragment", "userinfo")


def parts(url: object) -> dict[str, object]:
    return {name: getattr(url, name) for name in PARTS}


@pytest.mark.parametrize(
    "url",
    [
        b"/",
        b"*",
        b"/a/b%20c",
        b"/a?b=c&d",
        b"/a#c",
        b"/a?b#c?d#",
        b"//host/path",
        b"/a?b?c",
        b"http://h",
        b"http://h/",
        b"http://h:8080/a?b#c",
        b"http://h?b",
        b"https://user:pass@h/",
        b"http://[::1]/",
        b"http://[::1]:80/a",
        b"http://127.0.0.1:65535/",
        b"/a:b@c",
        b"/http://other/",
    ],
)
def test_the_parts_are_those_of_httptools(url: bytes) -> None:
    assert parts(parse_url(url)) == parts(httptools.parse_url(url))


@pytest.mark.parametrize(
    ("url", "found"),
    [
        # RFC 3986 section 3.2.3: a port may be empty; section 3.1: digits and marks may stand in a scheme
        (b"http://h:/", {"schema": b"http", "host": b"h", "path": b"/"}),
        (b"svn+ssh2://h/", {"schema": b"svn+ssh2", "host": b"h", "path": b"/"}),
        # RFC 3986 section 3.2: '?' and '#' end the authority
        (b"http://h#c", {"schema": b"http", "host": b"h", "fragment": b"c"}),
        # RFC 3986 section 3.4: a query may be empty and there
        (b"/a?", {"path": b"/a", "query": b""}),
    ],
)
def test_what_only_we_accept(url: bytes, found: dict[str, object]) -> None:
    assert parts(parse_url(url)) == dict.fromkeys(PARTS) | found


@pytest.mark.parametrize(
    "url",
    [
        b"",
        b"a",
        b"?a",
        b"#a",
        b"h:443",
        b"http:/h",
        b"://h/",
        b"1http://h/",
        b"http://",
        b"http:///a",
        b"http://h:65536/",
        b"http://h:8x/",
        b"http://a@b@c/",
        b"http://us er@c/",
        b"http://[::1/",
        b"http://[zz]/",
        b"http://h%zz/",
        b"/a b",
        b"/\xc3\xa4",
        b"/\x7f",
        b"/\x00",
        b"**",
    ],
)
def test_what_is_no_url(url: bytes) -> None:
    with pytest.raises(HttpParserInvalidURLError):
        parse_url(url)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer(kind: type) -> None:
    assert parse_url(kind(b"/a?b")).query == b"b"


def test_text_is_no_buffer() -> None:
    with pytest.raises(TypeError):
        parse_url("/a")  # type: ignore[arg-type]


def test_a_url_is_long_as_it_likes() -> None:
    assert parse_url(b"/" + b"a" * 100_000).path == b"/" + b"a" * 100_000


def test_it_can_be_read_in_a_log() -> None:
    assert repr(parse_url(b"http://h/?a")) == (
        "<URL schema: b'http', host: b'h', port: None, path: b'/', query: b'a', "
        "fragment: None, userinfo: None>"
    )


def test_only_parse_url_makes_one() -> None:
    with pytest.raises(TypeError):
        URL()
