"""PEP 3333, from both sides of the socket."""

import io
import json
import random
import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .apps.inputs import perform
from .client import Client, Response, request
from .process import Server, Start, eventually

MEBI = 1024 * 1024

Call = list[Any]  # of wsgi.input: the method's name and its arguments


@pytest.fixture(scope="session")
def environ_server(servers: Start) -> Server:
    return servers("show_environ")


@pytest.fixture(scope="session")
def input_server(servers: Start) -> Server:
    return servers("inputs")


@pytest.fixture(scope="session")
def broken_server(servers: Start) -> Server:
    return servers("broken")


@pytest.fixture(
    scope="session",
    params=["responses", 'validated:wrap("responses:application")'],
    ids=["bare", "validated"],
)
def server(servers: Start, request: pytest.FixtureRequest) -> Server:
    """The applications that are right, bare and within wsgiref.validate."""
    return servers(request.param)


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.connect() as connection:
        yield connection
    # What wsgiref.validate has to say, it says in the log.
    assert "AssertionError" not in server.news
    assert "without being closed" not in server.news


@pytest.fixture
def broken(broken_server: Server) -> Iterator[Client]:
    with broken_server.connect() as connection:
        yield connection


def environ_of(response: Response) -> dict[str, object]:
    assert response.status == 200
    return {key: value for key, (_, value) in json.loads(response.body).items()}


# environ


class TestEnviron:
    def test_every_key_of_a_request(self, environ_server: Server, worker_flags: list[str]) -> None:
        with environ_server.connect() as client:
            port = client.sock.getsockname()[1]
            body = b"a=1"
            response = client.ask(
                "POST",
                "/a/path;p?q=1&r=%20",
                ("Host", "example.org:81"),
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("X-Token", "secret"),
                ("ACCEPT", "*/*"),
                body=body,
            )
        environ = environ_of(response)
        cgi = {key: value for key, value in environ.items() if key.isupper()}
        software = cgi.pop("SERVER_SOFTWARE")
        assert isinstance(software, str) and re.fullmatch(r"\w+/[\w.+]+", software)
        assert cgi == {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/a/path;p",
            "QUERY_STRING": "q=1&r=%20",
            "RAW_URI": "/a/path;p?q=1&r=%20",
            "REQUEST_URI": "/a/path;p?q=1&r=%20",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(environ_server.port),
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_PORT": str(port),
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": "3",
            "HTTP_HOST": "example.org:81",
            "HTTP_X_TOKEN": "secret",
            "HTTP_ACCEPT": "*/*",
        }
        assert environ["wsgi.version"] == [1, 0]
        assert environ["wsgi.url_scheme"] == "http"
        assert environ["wsgi.multithread"] is ("--threads" in worker_flags)
        assert environ["wsgi.multiprocess"] is False
        assert environ["wsgi.run_once"] is False
        assert environ["wsgi.input_terminated"] is True
        assert {"wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "wsgi.early_hints"} <= environ.keys()
        assert not {"gunicorn.socket", "fastwsgi.socket"} & environ.keys()

    def test_types(self, environ_server: Server) -> None:
        with environ_server.connect() as client:
            seen = json.loads(client.ask("POST", "/caf%C3%A9", ("X-A", "1"), ("X-A", "2"), body=b"x").body)
        types = {key: name for key, (name, _) in seen.items()}
        assert {name for key, name in types.items() if key.isupper()} == {"str"}
        assert types["wsgi.version"] == "tuple"
        assert types["wsgi.url_scheme"] == "str"
        flags = ["wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated"]
        assert {types[key] for key in flags} == {"bool"}

    def test_several_workers_are_multiprocess(self, servers: Start) -> None:
        with servers("show_environ", "--workers", "2").connect() as client:
            assert environ_of(client.get("/"))["wsgi.multiprocess"] is True

    @pytest.mark.parametrize(
        ("target", "path", "query"),
        [
            ("/", "/", ""),
            ("/?", "/", ""),
            ("/?a?b", "/", "a?b"),
            ("//double//slash", "//double//slash", ""),
            ("/a/../b/./c", "/a/../b/./c", ""),
            (
                "/caf%C3%A9",
                "/caf\xc3\xa9",
                "",
            ),  # the bytes of UTF-8, each as one character: PEP 3333 "Unicode Issues"
            ("/%ff%00%2F%3f%25", "/\xff\x00/?%", ""),
            ("/%e2%82%ac?%e2%82%ac", "/\xe2\x82\xac", "%e2%82%ac"),
            ("/a+b", "/a+b", ""),
            ("/100%", "/100%", ""),
            ("/%zz%4", "/%zz%4", ""),
            ("/" + "x" * 2000 + "?" + "y" * 2000, "/" + "x" * 2000, "y" * 2000),
        ],
    )
    def test_target(self, environ_server: Server, target: str, path: str, query: str) -> None:
        with environ_server.connect() as client:
            environ = environ_of(client.get(target))
        assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
        assert (environ["RAW_URI"], environ["REQUEST_URI"]) == (target, target)

    @pytest.mark.parametrize(
        ("target", "host", "path", "query"),
        [
            ("http://other.example/a?b", "other.example", "/a", "b"),
            ("http://other.example:8081", "other.example:8081", "/", ""),
            ("http://other.example?b", "other.example", "/", "b"),
            ("HTTP://[::1]:80/", "[::1]:80", "/", ""),
        ],
    )
    def test_absolute_target_overrides_host(
        self, environ_server: Server, target: str, host: str, path: str, query: str
    ) -> None:
        """RFC 9112 section 3.2.2."""
        with environ_server.connect() as client:
            environ = environ_of(client.get(target, ("Host", "test")))
        assert environ["HTTP_HOST"] == host
        assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
        assert environ["RAW_URI"] == target

    def test_asterisk_target(self, environ_server: Server) -> None:
        with environ_server.connect() as client:
            environ = environ_of(client.ask("OPTIONS", "*"))
        assert (environ["REQUEST_METHOD"], environ["RAW_URI"]) == ("OPTIONS", "*")

    def test_repeated_fields_are_joined(self, environ_server: Server) -> None:
        with environ_server.connect() as client:
            environ = environ_of(
                client.get(
                    "/",
                    ("X-List", "a"),
                    ("Cookie", "k=1"),
                    ("x-list", "b, c"),
                    ("Accept", "text/html"),
                    ("cookie", "l=2"),
                    ("X-LIST", ""),
                    ("Accept", "*/*"),
                )
            )
        assert environ["HTTP_X_LIST"] == "a,b, c,"
        assert environ["HTTP_ACCEPT"] == "text/html,*/*"
        assert environ["HTTP_COOKIE"] == "k=1; l=2"

    def test_underscore_names_are_dropped(self, environ_server: Server) -> None:
        """X_Token would be taken for X-Token, which a proxy in front may have set or removed."""
        with environ_server.connect() as client:
            environ = environ_of(
                client.get(
                    "/",
                    ("X_Token", "forged"),
                    ("X-Token", "real"),
                    ("X_Other", "forged"),
                    ("Content_Length", "5"),
                )
            )
            assert environ["HTTP_X_TOKEN"] == "real"
            assert not {"HTTP_X_OTHER", "CONTENT_LENGTH", "HTTP_CONTENT_LENGTH"} & environ.keys()
            assert client.get("/").status == 200

    def test_content_fields_have_names_of_their_own(self, environ_server: Server) -> None:
        with environ_server.connect() as client:
            sent = environ_of(client.ask("POST", "/", ("content-type", "text/plain"), body=b"12345"))
            absent = environ_of(client.get("/"))
        assert (sent["CONTENT_TYPE"], sent["CONTENT_LENGTH"]) == ("text/plain", "5")
        assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & sent.keys()
        assert not absent.get("CONTENT_TYPE") and not absent.get("CONTENT_LENGTH")

    def test_chunked_body_gets_its_length(self, environ_server: Server) -> None:
        with environ_server.connect() as client:
            environ = environ_of(client.ask("POST", "/", chunks=[b"12345", b"678"]))
        assert environ["CONTENT_LENGTH"] == "8"
        assert environ["wsgi.input_terminated"] is True

    def test_values_are_trimmed_and_latin_1(self, environ_server: Server) -> None:
        with environ_server.connect() as client:
            environ = environ_of(
                client.get(
                    "/", ("X-Text", " \t caf\xe9 \t au lait\t "), ("X-Empty", " "), ("X-Colon", "a:b: c")
                )
            )
        assert environ["HTTP_X_TEXT"] == "caf\xe9 \t au lait"
        assert environ["HTTP_X_EMPTY"] == ""
        assert environ["HTTP_X_COLON"] == "a:b: c"

    def test_http_1_0(self, environ_server: Server) -> None:
        with environ_server.connect() as client:
            client.send(b"GET /old HTTP/1.0\r\n\r\n")
            environ = environ_of(client.response())
        assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
        assert "HTTP_HOST" not in environ

    def test_each_request_has_its_own(self, environ_server: Server) -> None:
        """The application changes its environ; the same connection's next request must not see it."""
        with environ_server.connect() as client:
            client.ask("POST", "/first", ("X-First", "1"), ("Content-Type", "text/plain"), body=b"x")
            environ = environ_of(client.get("/second"))
        assert environ["REQUEST_METHOD"] == "GET"
        assert environ["wsgi.url_scheme"] == "http"
        assert not {"left.behind", "HTTP_X_FIRST", "CONTENT_TYPE"} & environ.keys()

    def test_many_fields(self, environ_server: Server) -> None:
        fields = [(f"X-Field-{number}", str(number) * 50) for number in range(90)]
        with environ_server.connect() as client:
            environ = environ_of(client.get("/", *fields))
        assert {key: environ[key] for key in environ if key.startswith("HTTP_X_FIELD_")} == {
            f"HTTP_X_FIELD_{number}": str(number) * 50 for number in range(90)
        }


# Any sequence of requests, against a model of the environ

names = st.sampled_from(
    [
        "Accept",
        "Cookie",
        "cookie",
        "Authorization",
        "User-Agent",
        "X-A",
        "x-a",
        "X_A",
        "X-B",
        "X-A-B",
        "Referer",
    ]
)
values = st.one_of(
    st.sampled_from(["", "1", "2", "caf\xe9", "a, b", "x" * 40, "x" * 300]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30),
)
targets = st.sampled_from(
    ["/", "/a", "/a?b", "/a?c", "/%41", "/%41?b", "//", "/" + "p" * 200, "http://h.example/a?b"]
)


@st.composite
def request_sequences(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Requests of a few shapes (the names of their fields), over and over with other values.

    Servers keep what they have made for one request for the next one that looks like it.
    """
    shapes = draw(st.lists(st.lists(names, max_size=6), min_size=1, max_size=2))
    sequence = []
    for _ in range(draw(st.integers(1, 10))):
        shape = draw(st.sampled_from(shapes))
        sequence.append(
            {
                "method": draw(st.sampled_from(["GET", "POST", "PURGE"])),
                "target": draw(targets),
                "fields": [("Host", draw(st.sampled_from(["test", "h:1"])))]
                + [(name, draw(values)) for name in shape],
                "body": draw(st.sampled_from([None, None, b"", b"12345"])),
                "chunks": draw(st.sampled_from([None, None, None, [b"123", b"4"]])),
                "version": draw(st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"])),
            }
        )
    return sequence


def bytes_of(asked: dict[str, Any]) -> bytes:
    if asked["chunks"] and (asked["body"] is not None or asked["version"] == "HTTP/1.0"):
        asked["chunks"] = None
    fields = asked["fields"] + ([("Connection", "keep-alive")] if asked["version"] == "HTTP/1.0" else [])
    how = {key: asked[key] for key in ("body", "chunks", "version")}
    return request(asked["method"], asked["target"], *fields, **how)


def model_of(asked: dict[str, Any]) -> dict[str, str]:
    """PEP 3333 and RFC 3875, as slowly and plainly as it can be said."""
    origin = "/" + asked["target"].split("/", 3)[3] if "://" in asked["target"] else asked["target"]
    path, _, query = origin.partition("?")
    environ = {
        "REQUEST_METHOD": asked["method"],
        "RAW_URI": asked["target"],
        "REQUEST_URI": asked["target"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": asked["version"],
    }
    for name, value in asked["fields"]:
        if "_" not in name:
            key = "HTTP_" + name.upper().replace("-", "_")
            separator = "; " if key == "HTTP_COOKIE" else ","
            environ[key] = environ[key] + separator + value if key in environ else value
    if "://" in asked["target"]:
        environ["HTTP_HOST"] = asked["target"].split("/")[2]
    if asked["version"] == "HTTP/1.0":
        environ["HTTP_CONNECTION"] = "keep-alive"
    if asked["body"] is not None:
        environ["CONTENT_LENGTH"] = str(len(asked["body"]))
    if asked["chunks"]:
        environ["CONTENT_LENGTH"] = str(sum(map(len, asked["chunks"])))
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    return environ


OF_THE_CONNECTION = {"SERVER_NAME", "SERVER_PORT", "SERVER_SOFTWARE", "REMOTE_ADDR", "REMOTE_PORT"}


@settings(max_examples=200, deadline=None)
@given(asked=request_sequences(), pipelined=st.booleans())
def test_environ_is_that_of_the_model(
    environ_server: Server, asked: list[dict[str, Any]], pipelined: bool
) -> None:
    with environ_server.connect() as client:
        port = str(client.sock.getsockname()[1])
        if pipelined:
            client.send(b"".join(map(bytes_of, asked)))
        for one in asked:
            if not pipelined:
                client.send(bytes_of(one))
            environ = environ_of(client.response())
            assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("127.0.0.1", port)
            cgi = {key: value for key, value in environ.items() if key.isupper()}
            assert {key: cgi[key] for key in cgi.keys() - OF_THE_CONNECTION} == model_of(one)


# wsgi.input

sizes = st.one_of(st.integers(0, 40), st.just(-1), st.none(), st.integers(1000, 10**6))
calls = st.lists(
    st.one_of(
        st.just(["read"]),
        st.just(["readline"]),
        st.just(["readlines"]),
        st.just(["next"]),
        st.just(["list"]),
        st.tuples(st.sampled_from(["read", "readline", "readlines"]), sizes).map(list),
        st.tuples(st.just("readinto"), st.integers(0, 5000)).map(list),
    ),
    max_size=12,
)
bodies = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"\n", b"\r\n", b"\n\n", b"a line\n", b"no end"]),
        st.builds(lambda size: b"x" * size, st.integers(0, 70_000)),
    ),
    max_size=8,
)


def ask_input(client: Client, calls: list[Call], **how: Any) -> list[Any]:
    response = client.ask("POST", "/", ("X-Calls", json.dumps(calls)), **how)
    assert response.status == 200
    results: list[Any] = json.loads(response.body)
    return results


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=bodies, calls=calls, chunked=st.booleans())
def test_it_behaves_as_bytes_io(
    input_server: Server, pieces: list[bytes], calls: list[Call], chunked: bool
) -> None:
    stream = io.BytesIO(b"".join(pieces))
    expected = [perform(stream, *call) for call in calls]
    how = {"chunks": [piece for piece in pieces if piece]} if chunked else {"body": b"".join(pieces)}
    with input_server.connect() as client:
        assert ask_input(client, calls, **how) == expected
        # Whatever was left unread is not taken for the next request.
        assert ask_input(client, [["read"]], body=b"next") == ["next"]


class TestInput:
    @pytest.mark.parametrize("framing", ["length", "chunked"])
    @pytest.mark.parametrize(
        "calls",
        [
            [["read"], ["read"], ["read", 5]],
            [["read", 100_000]] * 210,
            [["readinto", 1_000_000]] * 22,
            [["readline"], ["readlines", 1_000_000], ["read", 7], ["list"]],
            [["list"]],
        ],
        ids=["at-once", "by-100k", "readinto", "mixed", "iterated"],
    )
    def test_a_body_too_big_for_memory(self, input_server: Server, framing: str, calls: list[Call]) -> None:
        """Past some size the server keeps a body in a file; the application must not be able to tell."""
        generator = random.Random(1)
        body = b"".join(generator.randbytes(generator.randrange(2000)) + b"\n" for _ in range(20_000))
        assert len(body) > 16 * MEBI
        stream = io.BytesIO(body)
        expected = [perform(stream, *call) for call in calls]
        pieces = [body[start : start + 300_007] for start in range(0, len(body), 300_007)]
        how = {"chunks": pieces} if framing == "chunked" else {"body": body}
        with input_server.connect() as client:
            assert ask_input(client, calls, **how) == expected
            assert ask_input(client, [["read"]], body=b"next") == ["next"]

    def test_no_body_is_an_end_at_once(self, input_server: Server) -> None:
        with input_server.connect() as client:
            calls = [["read"], ["read", 10], ["readline"], ["readlines"], ["next"], ["readinto", 4]]
            response = client.get("/", ("X-Calls", json.dumps(calls)))
        assert json.loads(response.body) == ["", "", "", [], "<end>", [0, "...."]]

    def test_many_small_chunks(self, input_server: Server) -> None:
        body = bytes(range(256)) * 40
        with input_server.connect() as client:
            answer = ask_input(client, [["read"]], chunks=[body[i : i + 1] for i in range(len(body))])
        assert answer == [perform(io.BytesIO(body), "read")]

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    def test_a_cut_upload_is_never_taken_for_a_whole_one(self, servers: Start, framing: str) -> None:
        """The client goes away within the body: no application may see a short body that looks complete."""
        server = servers("inputs", "--access-logfile", "-")
        field = ("X-Calls", '[["read"]]')
        whole = request(
            "POST",
            f"/cut-{framing}",
            field,
            **({"body": b"x" * 100} if framing == "length" else {"chunks": [b"x" * 100]}),
        )
        with server.connect() as client:
            client.send(whole[:-20])
            client.half_close()
            answer = client.rest()
        assert not answer.startswith(b"HTTP/1.1 200"), answer
        with server.connect() as client:
            assert client.ask("POST", "/after", body=b"").status == 200
        assert not re.search(rf'"POST /cut-{framing} HTTP/1.1" 200', server.output)


# start_response, write and the iterable


class TestResponse:
    def test_the_same_objects_again(self, client: Client) -> None:
        """What the server remembers of a head is not seen in the next one."""
        fields = ["content-type", "x-frame-options", "vary"]
        values = ["text/html", "DENY", "Cookie"]
        for order in ["012", "012", "20", "0", "102", "01", "012", "2200", "210"]:
            response = client.ask("GET", f"/same_objects?order={order}")
            assert (response.status, response.body) == (200, b"same")
            found = [
                (name.lower(), value)
                for name, value in response.headers
                if name.lower() in (*fields, "set-cookie")
            ]
            assert found == [
                ("set-cookie", f"{order * 9}"),
                *((fields[int(index)], values[int(index)]) for index in order),
            ]
            # a cookie is nobody's but the application's, as much as a string that was never sent
            held = (response.header("x-held") or "").split()
            assert len(set(held)) <= 1

    def test_hello(self, client: Client) -> None:
        response = client.get("/hello")
        assert (response.version, response.status, response.reason) == ("1.1", 200, "OK")
        assert response.body == b"Hello, world!\n"
        assert response.header("content-length") == "14"
        assert response.header("content-type") == "text/plain"
        assert not response.closes

    def test_the_server_adds_its_name_and_the_date(self, client: Client) -> None:
        response = client.get("/hello")
        assert response.header("server")
        date = response.header("date")
        assert date and re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)
        assert parsedate_to_datetime(date)

    def test_the_applications_own_server_and_date_stand(self, client: Client) -> None:
        response = client.get("/own_fields")
        assert response.header("server") == "mine/1.0"
        assert response.header("date") == "Thu, 01 Jan 1970 00:00:00 GMT"

    def test_fields_keep_order_and_number(self, client: Client) -> None:
        response = client.get("/repeated_fields")
        own = [
            (name, value) for name, value in response.headers if name in ("x-order", "set-cookie", "x-text")
        ]
        assert own == [
            ("x-order", "1"),
            ("set-cookie", "a=1"),
            ("x-order", "2"),
            ("set-cookie", "b=2; Path=/"),
            ("x-text", "caf\xe9"),
        ]

    def test_one_block_gets_its_length(self, servers: Start) -> None:
        """Not within the validator: what it returns has no len()."""
        with servers("responses").connect() as client:
            response = client.get("/one_block")
        assert (response.body, response.header("content-length")) == (b"one block", "9")

    def test_no_block_has_length_zero(self, client: Client) -> None:
        response = client.get("/no_block")
        assert (response.status, response.body) == (200, b"")
        assert client.get("/hello").status == 200

    def test_several_blocks(self, client: Client) -> None:
        assert client.get("/three_blocks").body == b"one two three"
        assert client.get("/hello").status == 200

    def test_unknown_length_is_chunked_on_1_1(self, client: Client) -> None:
        response = client.get("/blocks?count=5&size=1000")
        assert response.header("transfer-encoding") == "chunked"
        assert response.body == b"".join((b"%08d " % n * 112)[:1000] for n in range(5))
        assert not response.closes
        assert client.get("/hello").status == 200

    def test_unknown_length_ends_with_the_connection_on_1_0(self, server: Server) -> None:
        for keep in ([], [("Connection", "keep-alive")]):
            with server.connect() as client:
                response = client.ask("GET", "/blocks?count=5&size=1000", *keep, version="HTTP/1.0")
                assert response.header("transfer-encoding") is None
                assert len(response.body) == 5000
                assert client.at_eof()

    def test_an_empty_block_ends_nothing(self, client: Client) -> None:
        response = client.get("/empty_blocks")
        assert (response.complete, response.body) == (True, b"beforeafter")
        assert client.get("/hello").status == 200

    def test_start_response_as_late_as_the_first_block(self, client: Client) -> None:
        response = client.get("/lazy")
        assert (response.body, response.header("x-lazy")) == (b"late", "yes")

    def test_write(self, client: Client) -> None:
        assert client.get("/written").body == b"written, written again, returned"
        assert client.get("/hello").status == 200

    def test_write_with_length(self, client: Client) -> None:
        response = client.get("/written_with_length")
        assert (response.header("content-length"), response.body) == ("10", b"0123456789")
        assert client.get("/hello").status == 200

    @pytest.mark.parametrize("view", ["gated_blocks", "gated_write"])
    def test_a_block_is_sent_before_the_next_is_made(self, client: Client, tmp_path: Path, view: str) -> None:
        gate = tmp_path / "gate"
        client.send(request("GET", f"/{view}?gate={gate}"))
        while b"before the gate" not in client.buffer:
            assert client.receive(), client.buffer
        assert b"after the gate" not in client.buffer
        eventually(gate.exists, lambda: "the application never came to the gate")
        gate.unlink()
        assert client.response().body == b"before the gate, after the gate"

    def test_exc_info_replaces_a_head_that_was_not_sent(self, client: Client) -> None:
        response = client.get("/replaced")
        assert (response.status, response.reason) == (503, "Service Unavailable")
        assert response.header("x-second") == "yes"
        assert response.header("x-first") is None
        assert response.header("content-length") in (None, "8")
        assert response.body == b"replaced"
        assert client.get("/hello").status == 200

    @pytest.mark.parametrize(
        "target", ["/hello", "/one_block", "/blocks?count=3&size=10", "/written", "/no_block"]
    )
    def test_head_is_get_without_the_body(self, client: Client, target: str) -> None:
        get = client.get(target)
        head = client.ask("HEAD", target)
        ignored = {
            "date",
            "transfer-encoding",
            "content-length",
        }  # RFC 9110 section 9.3.2 lets these be left out
        assert [item for item in head.headers if item[0] not in ignored] == [
            item for item in get.headers if item[0] not in ignored
        ]
        assert head.header("content-length") in (None, get.header("content-length"))
        # If there were a body after all, it would be read as the next answer.
        assert client.get("/hello").body == b"Hello, world!\n"

    def test_head_keeps_the_applications_length(self, client: Client) -> None:
        assert client.ask("HEAD", "/hello").header("content-length") == "14"

    def test_no_content(self, client: Client) -> None:
        response = client.get("/no_content")
        assert (response.status, response.header("x-view")) == (204, "no_content")
        assert client.get("/hello").status == 200

    def test_not_modified(self, client: Client) -> None:
        response = client.get("/not_modified")
        assert (response.status, response.header("etag")) == (304, '"1"')
        assert response.header("transfer-encoding") is None
        assert client.get("/hello").status == 200

    def test_wsgi_errors_is_the_log(self, server: Server, client: Client) -> None:
        assert client.get("/errors").status == 200
        log = server.news
        assert "written to wsgi.errors, café €\n" in log
        assert "one line, and another\n" in log

    @pytest.mark.parametrize("size", [0, 1, 8191, 8192, 65_535, 65_536, MEBI, 20 * MEBI])
    def test_sizes(self, client: Client, size: int) -> None:
        expected = b"".join(b"%08d " % number for number in range(size // 9 + 1))[:size]
        assert client.get(f"/big?size={size}").body == expected
        assert client.get("/hello").status == 200

    @pytest.mark.parametrize(("count", "size"), [(1000, 1), (300, 4096), (20, MEBI)])
    def test_streams(self, client: Client, count: int, size: int) -> None:
        response = client.get(f"/blocks?count={count}&size={size}")
        assert response.body == b"".join((b"%08d " % n * (size // 9 + 1))[:size] for n in range(count))
        assert client.get("/hello").status == 200

    def test_echo_is_what_was_sent(self, client: Client) -> None:
        generator = random.Random(2)
        for size in (0, 1, 100, 70_000, 3 * MEBI):
            body = generator.randbytes(size)
            assert client.ask("POST", "/echo", body=body).body == body
            assert client.ask("POST", "/echo", chunks=[body] if body else []).body == body


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "file"
    path.write_bytes(random.Random(3).randbytes(5 * MEBI + 17))
    return path


class TestFileWrapper:
    @pytest.mark.parametrize("how", ["", "block=1000", "raw=1"])
    @pytest.mark.parametrize("offset", [0, 1, 4096, 5 * MEBI + 16, 5 * MEBI + 17])
    def test_a_file_from_its_offset(self, client: Client, path: Path, offset: int, how: str) -> None:
        data = path.read_bytes()[offset:]
        target = f"/file?path={path}&offset={offset}&{how}"
        assert client.get(target).body == data
        response = client.get(f"{target}&length={len(data)}")
        assert response.header("content-length") == str(len(data))
        assert response.body == data
        assert client.get("/hello").status == 200

    def test_no_more_than_content_length(self, client: Client, path: Path) -> None:
        response = client.get(f"/file?path={path}&offset=10&length=1000")
        assert response.body == path.read_bytes()[10:1010]
        assert client.get("/hello").status == 200

    def test_less_than_content_length_cuts_the_connection(self, server: Server, path: Path) -> None:
        with server.connect() as client:
            response = client.get(f"/file?path={path}&offset={5 * MEBI}&length=1000")
            assert (response.complete, response.body) == (False, path.read_bytes()[5 * MEBI :])

    @pytest.mark.parametrize("flags", [(), ("--no-sendfile",)])
    def test_who_reads_the_file(self, start: Start, tmp_path: Path, flags: tuple[str, ...]) -> None:
        """sendfile is told from where; reading moves the file's position."""
        (tmp_path / "files.py").write_text(
            "import os\n"
            "kept = []\n"
            "def application(environ, start_response):\n"
            "    start_response('200 OK', [])\n"
            "    if environ['PATH_INFO'] == '/where':\n"
            "        return [str(os.lseek(kept[-1], 0, os.SEEK_CUR)).encode()]\n"
            "    file = open('data', 'rb')\n"
            "    kept.append(os.dup(file.fileno()))\n"
            "    return environ['wsgi.file_wrapper'](file)\n"
        )
        (tmp_path / "data").write_bytes(b"x" * 5000)
        server = start("files", "--bind", "127.0.0.1:0", *flags, cwd=tmp_path)
        with server.connect() as client:
            assert client.get("/").body == b"x" * 5000
            assert client.get("/where").body == (b"5000" if flags else b"0")

    def test_head(self, client: Client, path: Path) -> None:
        response = client.ask("HEAD", f"/file?path={path}&length={5 * MEBI + 17}")
        assert response.header("content-length") == str(5 * MEBI + 17)
        assert client.get("/hello").status == 200

    def test_http_1_0(self, server: Server, path: Path) -> None:
        with server.connect() as client:
            assert client.ask("GET", f"/file?path={path}", version="HTTP/1.0").body == path.read_bytes()

    def test_pipelined(self, client: Client, path: Path) -> None:
        target = f"/file?path={path}&length={5 * MEBI + 17}"
        client.send(request("GET", target) + request("GET", "/hello") + request("GET", target))
        bodies = [client.response().body for _ in range(3)]
        assert bodies == [path.read_bytes(), b"Hello, world!\n", path.read_bytes()]

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("length", ["", "10", str(5 * MEBI + 17)])
    def test_the_file_is_closed(self, client: Client, path: Path, method: str, length: str) -> None:
        token = f"file-{method}-{length}"
        client.ask(method, f"/file?path={path}&token={token}&length={length}")
        assert client.get(f"/file_is_closed?token={token}").body == b"True"

    def test_without_a_descriptor(self, client: Client) -> None:
        assert client.get("/file_in_memory").body == b"0123456789" * 3000
        assert client.get("/file_with_only_read").body == b"0123456789" * 3000

    def test_with_a_descriptor_of_something_else(self, client: Client, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"what it has\n" * 1000)
        assert client.get(f"/file_that_translates?path={path}").body == b"WHAT IT HAS\n" * 1000

    def test_iterated_by_middleware(self, client: Client) -> None:
        assert client.get("/file_by_hand").body == b"<0123><4567><89>"


class TestClose:
    """PEP 3333: close() is called at the end of every request, however that comes."""

    def closings(self, server: Server, token: str) -> int:
        with server.connect() as client:
            return int(client.get(f"/closings?token={token}").body)

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize(
        "outcome",
        [
            "count=3",
            "count=0",
            "count=3&raise=0",
            "count=3&raise=2",
            "count=3&length=3000",
            "count=3&length=1500",
            "count=3&length=5000",
            "count=3&length=3000&raise=1",
        ],
    )
    def test_called_once(self, server: Server, method: str, outcome: str) -> None:
        token = f"{method}-{outcome}".replace("&", ".").replace("=", ".")
        with server.connect() as client:
            client.send(request(method, f"/tracked?token={token}&{outcome}", ("Connection", "close")))
            client.rest()
        assert self.closings(server, token) == 1

    @pytest.mark.parametrize("size", [10, 100_000])
    def test_called_once_when_the_client_has_gone(self, server: Server, size: int) -> None:
        token = f"gone-{size}"
        with server.connect(receive_buffer=4096) as client:
            client.send(request("GET", f"/tracked?token={token}&count={size}"))
            while b"xxx" not in client.buffer:
                assert client.receive()
            client.reset()
        eventually(lambda: self.closings(server, token), lambda: "close() was not called")
        assert self.closings(server, token) == 1


# applications that are wrong


BAD_STATUSES = [
    "",
    " ",
    "OK",
    "20 OK",
    "2000 OK",
    "abc OK",
    "099 Too Low",
    "-20 OK",
    "200 OK\r\nX-Injected: 1",
    "200 OK\n",
    "200 O\x00K",
    "200 \x7f",
    "200 \u20ac",
    "200\tOK",
    200,
    b"200 OK",
    None,
]
BAD_FIELDS = [
    ("", "empty name"),
    ("X Space", "v"),
    ("X-Colon:", "v"),
    (" X", "v"),
    ("X\r\nX-Injected", "v"),
    ("X\x00", "v"),
    ("X\xe9", "v"),
    ("X\u20ac", "v"),
    ("X", "v\r\nX-Injected: 1"),
    ("X", "v\nX-Injected: 1"),
    ("X", "v\r"),
    ("X", "v\x00"),
    ("X", "v\x01"),
    ("X", "v\x7f"),
    ("X", "\u20ac"),
    (b"X", "v"),
    ("X", b"v"),
    ("X", 1),
    ("X", None),
    (None, "v"),
    ("X",),
    ("X", "v", "w"),
    "X: v",
    None,
    ("Content-Length", "abc"),
    ("Content-Length", "-1"),
    ("Content-Length", "+8"),
    ("Content-Length", "8, 8"),
    ("Content-Length", ""),
    ("Content-Length", "1" * 30),
]


class TestBrokenApplication:
    def fails_with_500(self, server: Server, client: Client, target: str, *fields: tuple[str, str]) -> None:
        """The answer is a 500 of the server's own, the log says why, and all is well afterwards."""
        response = client.get(target, *fields)
        assert (response.status, response.reason) == (500, "Internal Server Error")
        assert b"RuntimeError" not in response.body and b"Traceback" not in response.body
        assert response.header("x-injected") is None
        server.wait_for_log(r"\[ERROR\]")
        with server.connect() as other:
            assert other.get("/hello").status == 200
        if not response.closes:
            assert client.get("/hello").status == 200

    @pytest.mark.parametrize(
        ("view", "message"),
        [
            ("raises", "raised before start_response"),
            ("raises_after_start", "raised after start_response"),
            ("raises_at_first_block", "raised instead of the first block"),
            ("raises_in_iter", "raised in __iter__"),
        ],
    )
    def test_exception_before_the_first_byte(
        self, broken_server: Server, broken: Client, view: str, message: str
    ) -> None:
        self.fails_with_500(broken_server, broken, f"/{view}")
        broken_server.wait_for_log(f"^RuntimeError: {message}$")
        assert "Traceback (most recent call last)" in broken_server.news
        assert "broken.py" in broken_server.news

    @pytest.mark.parametrize(
        "view",
        [
            "never_starts",
            "never_starts_nor_yields",
            "starts_after_a_block",
            "returns_none",
            "returns_text",
            "returns_number",
            "yields_text",
            "writes_text",
        ],
    )
    def test_breach_before_the_first_byte(self, broken_server: Server, broken: Client, view: str) -> None:
        self.fails_with_500(broken_server, broken, f"/{view}")

    @pytest.mark.parametrize("status", BAD_STATUSES, ids=ascii)
    def test_bad_status(self, broken_server: Server, broken: Client, status: object) -> None:
        arguments = ascii((status, [("Content-Type", "text/plain")]))
        self.fails_with_500(broken_server, broken, "/start", ("X-Arguments", arguments))

    @pytest.mark.parametrize("field", BAD_FIELDS, ids=ascii)
    def test_bad_field(self, broken_server: Server, broken: Client, field: object) -> None:
        arguments = ascii(("200 OK", [("Content-Type", "text/plain"), field]))
        self.fails_with_500(broken_server, broken, "/start", ("X-Arguments", arguments))

    def test_two_content_lengths(self, broken_server: Server, broken: Client) -> None:
        arguments = ascii(("200 OK", [("Content-Length", "8"), ("content-length", "9")]))
        self.fails_with_500(broken_server, broken, "/start", ("X-Arguments", arguments))

    @pytest.mark.parametrize("headers", [None, 5, "X: v"])
    def test_bad_list_of_fields(self, broken_server: Server, broken: Client, headers: object) -> None:
        self.fails_with_500(broken_server, broken, "/start", ("X-Arguments", ascii(("200 OK", headers))))

    @pytest.mark.parametrize(
        ("status", "field"),
        [
            ("200 OK", ("X", "tab\tinside")),
            ("200 OK", ("X", "")),
            ("200 OK", ("X", "caf\xe9")),
            ("200 OK", ("!#$%&'*+-.^_`|~09azAZ", "every kind of token character")),
            ("299 A Reason\tof one's own, caf\xe9", ("X", "v")),
            ("599 ", ("X", "v")),
        ],
    )
    def test_unusual_but_right(self, broken: Client, status: str, field: tuple[str, str]) -> None:
        response = broken.get("/start", ("X-Arguments", ascii((status, [field]))))
        assert f"{response.status} {response.reason}" == status
        assert response.header(field[0].lower()) == field[1]
        assert response.body == b"the body"

    def test_second_start_response_is_refused(self, broken: Client) -> None:
        response = broken.get("/starts_twice")
        assert response.body.startswith(b"refused by ")
        assert response.header("content-type") == "text/plain"

    @pytest.mark.parametrize(
        ("target", "sent"),
        [
            ("/raises_in_mid_stream", b"some text"),
            ("/raises_in_mid_stream?length=100", b"some text"),
            ("/raises_after_write", b"some text"),
            ("/starts_again_in_mid_stream", b"some text"),
            ("/yields_text_late", b"bytes"),
        ],
    )
    def test_failure_in_mid_stream_cuts_the_connection(
        self, broken_server: Server, target: str, sent: bytes
    ) -> None:
        """Nothing may make the answer look complete: not the last chunk, not a 500 in its midst."""
        with broken_server.connect() as client:
            client.send(request("GET", target) + request("GET", "/hello"))
            response = client.response()
            assert (response.status, response.complete, response.body) == (200, False, sent)
            assert client.at_eof()
        broken_server.wait_for_log("Traceback")

    def test_failure_in_mid_stream_on_1_0(self, broken_server: Server) -> None:
        """Such a body ends with the connection, so an orderly end would make it look complete."""
        with broken_server.connect() as client:
            assert not client.ask("GET", "/raises_in_mid_stream", version="HTTP/1.0").complete

    def test_exc_info_after_the_head_raises_again(self, broken_server: Server) -> None:
        with broken_server.connect() as client:
            assert not client.get("/starts_again_in_mid_stream").complete
        broken_server.wait_for_log("raised again: the original error")

    def test_close_that_raises(self, broken_server: Server) -> None:
        with broken_server.connect() as client:
            response = client.get("/raises_in_close")
            assert (response.status, response.body) == (200, b"complete")
        with broken_server.connect() as client:
            assert client.get("/hello").status == 200
        broken_server.wait_for_log("RuntimeError: raised in close")

    @pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt", "GeneratorExit"])
    def test_leaving_is_failing(self, serve: Start, error: str) -> None:
        """A view that calls sys.exit() ends its request, not the worker that others rely on."""
        server = serve("broken")
        with server.connect() as client:
            worker = client.get("/pid").body
        with server.connect() as client:
            assert client.get(f"/leaves?error={error}").status == 500
        server.wait_for_log(f"{error}: the application leaves")
        with server.connect() as client:
            response = client.get(f"/leaves?error={error}&late=1")
            assert (response.complete, response.body) == (False, b"some text")
        with server.connect() as client:
            assert client.get("/pid").body == worker

    @pytest.mark.parametrize("by", ["block", "write", "pieces"])
    @pytest.mark.parametrize("length", [0, 1, 5, 9])
    def test_bytes_beyond_content_length_are_dropped(self, broken: Client, by: str, length: int) -> None:
        response = broken.get(f"/wrong_length?by={by}&length={length}")
        assert (response.header("content-length"), response.body) == (str(length), b"0123456789"[:length])
        if not response.closes:
            assert broken.get("/hello").body == b"Hello, world!\n"

    @pytest.mark.parametrize("by", ["block", "write", "pieces"])
    def test_bytes_missing_from_content_length_cut_the_connection(
        self, broken_server: Server, by: str
    ) -> None:
        """Else the client would take the next answer for the rest of this one."""
        with broken_server.connect() as client:
            client.send(request("GET", f"/wrong_length?by={by}&length=11") + request("GET", "/hello"))
            response = client.response()
            assert (response.complete, response.body) == (False, b"0123456789")

    @pytest.mark.parametrize("length", ["", "39"])
    @pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
    def test_body_where_none_may_be(self, broken: Client, status: str, length: str) -> None:
        """The body is made to look like an answer: sent, it would be read as that of the next request."""
        response = broken.get(f"/body_where_none_may_be?status={status.replace(' ', '+')}&length={length}")
        assert response.status == int(status[:3])
        if not response.closes:
            assert broken.get("/hello").body == b"Hello, world!\n"

    def test_hop_by_hop_fields_are_dropped_with_one_warning(self, serve: Start) -> None:
        server = serve("broken")
        for _ in range(3):
            with server.connect() as client:
                response = client.get("/hop_by_hop")
                assert (response.body, response.header("x-own")) == (b"the body", "stays")
                names = {name for name, _ in response.headers}
                assert not names & {
                    "keep-alive",
                    "proxy-authenticate",
                    "te",
                    "trailer",
                    "transfer-encoding",
                    "upgrade",
                }
                assert "X-Private" not in (response.header("connection") or "")
                assert client.get("/hello").status == 200
        warnings = [line for line in server.log.splitlines() if "[WARNING]" in line]
        assert len(warnings) == 1 and re.search("hop-by-hop", warnings[0], re.IGNORECASE), warnings

    def test_connection_close_is_obeyed(self, broken_server: Server) -> None:
        with broken_server.connect() as client:
            client.send(request("GET", "/connection_close") + request("GET", "/hello"))
            response = client.response()
            assert response.body == b"the last"
            assert response.header("connection") == "close"
            assert client.at_eof()

    def test_the_worker_survives_all_this(self, broken_server: Server) -> None:
        """Runs after the others: no application error may have cost the worker its life."""
        with broken_server.connect() as client:
            assert int(client.get("/pid").body) == broken_server.workers()[0]
        assert len(re.findall(r"Booting worker with pid", broken_server.log)) == 1
