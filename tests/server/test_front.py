"""nginx, HAProxy and Apache in front, over TCP and over a unix socket, configured as docs/deploy.md says."""

import hashlib
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from . import site
from .client import Client, Response, request
from .curl import Curl
from .front import HOST, KINDS, Front, Fronted, Pair, certificate, public_directory
from .load import Load
from .mixed import ask_with_http_client, ask_with_wrk
from .process import Server, Start, eventually

HTTP_1_0 = {"        proxy_http_version 1.1;\n": "", '        proxy_set_header Connection "";\n': ""}
BUFFERED = {"proxy_request_buffering off;": "proxy_request_buffering on;"}


class TestDjango:
    @pytest.fixture
    def pair(self, fronted: Fronted, prepared_site: Path) -> Pair:
        variables = "DJANGO_HTTPS=1", f"DJANGO_ALLOWED_HOSTS={HOST}"
        flags = (word for name in variables for word in ("--env", name))
        return fronted(*site.arguments(prepared_site), *flags, "--workers", "2")

    @pytest.fixture
    def curl(self, pair: Pair, tmp_path: Path) -> Curl:
        port = pair.front.place.https
        url = f"https://{HOST}:{port}"
        trust = "--cacert", str(certificate() / "fullchain.pem"), "--resolve", f"{HOST}:{port}:127.0.0.1"
        # Django looks where a form sent over TLS comes from
        return Curl(url, tmp_path, *trust, "--referer", url)

    def test_a_visit(self, pair: Pair, curl: Curl, tmp_path: Path, front_kind: str, transport: str) -> None:
        assert "Site administration" in site.log_in(curl)
        path = tmp_path / "large.bin"
        path.write_bytes(content := bytes(range(256)) * 8192)
        title = f"Through {front_kind} over {transport}"  # the site is shared with other tests
        page = site.upload(curl, title, path)
        document = re.search(rf'<a href="(/documents/\d+/)">{title}</a> by admin', page)
        assert document, page
        assert curl.bytes(document[1]) == content
        assert f'"{title}"' in curl("/api/documents/")
        rows = curl("/report.csv").splitlines()
        assert rows[0] == "id,title,owner,uploaded"
        assert any(f"{title},admin," in row for row in rows)
        style = re.search(r'<link rel="stylesheet" href="(/static/documents/style\.\w+\.css)">', curl("/"))
        assert style
        assert curl(style[1]) == (site.SITE / "documents/static/documents/style.css").read_text()
        assert curl("/static/admin/css/base.css", "--compressed") == curl("/static/admin/css/base.css")
        assert curl("/static/documents/style.css", "--range", "0-3") == "body"
        assert curl.status("/none/") == 404
        assert "Traceback" not in pair.server.log

    def test_plain_http_is_sent_to_https(self, pair: Pair) -> None:
        with pair.front.connect(f"http://127.0.0.1:{pair.front.place.http}") as client:
            response = client.get("/login/?next=/", ("Host", HOST))
        assert response.status == 301
        assert response.header("location") == f"https://{HOST}/login/?next=/"

    def test_django_knows_of_tls(self, pair: Pair) -> None:
        response = pair.ask("GET", "/admin/login/", ("Host", HOST))
        assert response.status == 200
        assert response.header("strict-transport-security") == "max-age=2592000"
        assert "Secure" in (response.header("set-cookie") or "")


class TestRequests:
    @pytest.fixture
    def pair(self, fronted: Fronted) -> Iterator[Pair]:
        pair = fronted("tokens", "--workers", "2")
        workers = pair.server.wait_for_workers(2)
        yield pair
        assert pair.server.workers() == workers, "a worker has died"
        assert "[ERROR]" not in pair.server.news

    def test_http_client(self, pair: Pair) -> None:
        assert ask_with_http_client(pair.front.url, requests=1200, threads=6) == []

    def test_wrk(self, pair: Pair) -> None:
        ask_with_wrk(pair.front.url, requests=1000, threads=4)

    @pytest.mark.parametrize("front_kind", ["nginx"], indirect=True, scope="module")
    def test_http_1_0(self, fronted: Fronted) -> None:
        """What nginx speaks to servers where nobody says otherwise, and many configurations do not."""
        pair = fronted("tokens", "--workers", "2", more=HTTP_1_0)
        assert ask_with_http_client(pair.front.url, requests=600, threads=6) == []


@pytest.fixture
def pair(fronted: Fronted) -> Iterator[Pair]:
    pair = fronted("fronted")
    yield pair
    assert "Traceback" not in pair.server.news


def sockets(server: Server) -> set[str]:
    """The sockets that its one worker has open."""
    (worker,) = server.wait_for_workers(1)
    links = set()
    for path in Path(f"/proc/{worker}/fd").iterdir():
        try:
            links.add(os.readlink(path))
        except FileNotFoundError:  # closed meanwhile
            continue
    return {link for link in links if link.startswith("socket:")}


def test_connections_to_the_server_are_used_again(fronted: Fronted) -> None:
    pair = fronted("fronted", "--keep-alive", "75")
    before = sockets(pair.server)
    with pair.front.connect() as client:
        assert client.get("/environ").status == 200
        (connection,) = sockets(pair.server) - before
        for _ in range(20):
            assert client.get("/environ").status == 200
            assert sockets(pair.server) - before == {connection}


NO_REUSE = {
    "nginx": {"    keepalive 32;\n": ""},
    "haproxy": {"backend example\n": "backend example\n    option http-server-close\n"},
    "apache": {"ttl=60": "disablereuse=on"},
}
"""What the page says of doing without keep-alive."""


def test_connections_to_the_server_need_not_be_used_again(fronted: Fronted, front_kind: str) -> None:
    pair = fronted("fronted", more=NO_REUSE[front_kind])
    before = sockets(pair.server)
    with pair.front.connect() as client:
        for _ in range(3):
            assert client.get("/environ").status == 200
            eventually(lambda: sockets(pair.server) <= before, pair.front.explain)


BODY = bytes(range(251)) * (12 * 4096)  # 12 MiB
BODY_DIGEST = f"{len(BODY)} {hashlib.sha256(BODY).hexdigest()}".encode()


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_large_uploads(fronted: Fronted, front_kind: str, chunked: bool) -> None:
    """nginx has the choice to collect a body before it says anything of it, which is its default."""
    step = 1_000_003
    pieces = [BODY[start : start + step] for start in range(0, len(BODY), step)]
    body = {"chunks": pieces} if chunked else {"body": BODY}
    for more in (None, BUFFERED) if front_kind == "nginx" else (None,):
        with fronted("fronted", more=more).front.connect() as client:
            for _ in range(2):
                response = client.ask("POST", "/digest", **body)
                assert (response.status, response.body) == (200, BODY_DIGEST)


def test_an_upload_that_is_expected(pair: Pair) -> None:
    with pair.front.connect() as client:
        client.send(
            request("POST", "/digest", ("Expect", "100-continue"), ("Content-Length", str(len(BODY))))
        )
        assert client.response().status == 100
        client.send(BODY)
        assert client.response("POST").body == BODY_DIGEST


def test_a_large_answer(pair: Pair) -> None:
    with pair.front.connect() as client:
        for _ in range(2):
            response = client.get("/large?count=320")
            assert response.complete
            assert response.body == b"".join(n.to_bytes(4, "big") * (1 << 14) for n in range(320))


def test_events_come_one_by_one(pair: Pair, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with pair.front.connect() as client:
        client.send(request("GET", f"/events?gate={gate}"))
        eventually(gate.exists, pair.front.explain)
        while b"data: before the gate\n\n" not in client.buffer:
            assert client.receive()
        gate.unlink()
        assert client.response().body == b"data: before the gate\n\ndata: after the gate\n\n"


def test_a_slow_upload_holds_nobody(pair: Pair) -> None:
    """There is one worker."""
    with pair.front.connect() as slow:
        slow.send(request("POST", "/digest", ("Content-Length", "100000")) + b"x" * 50_000)
        for _ in range(5):
            assert pair.ask("GET", "/environ").status == 200
        slow.send(b"x" * 50_000)
        assert slow.response("POST").body.startswith(b"100000 ")


class TestAborts:
    """Clients that go away in the middle; what they leave behind is gone soon."""

    @pytest.fixture
    def clients(self, pair: Pair) -> Iterator[list[Client]]:
        before = sockets(pair.server)
        with ExitStack() as stack:
            yield [stack.enter_context(pair.front.connect()) for _ in range(10)]
        assert pair.ask("GET", "/environ").status == 200

        def gone() -> bool:
            # fronts keep some connections for later, but not those of clients that they gave up
            return len(sockets(pair.server) - before) <= 2

        eventually(gone, lambda: f"{sockets(pair.server) - before}\n{pair.front.explain()}")

    def test_in_an_upload(self, pair: Pair, clients: list[Client]) -> None:
        for client in clients:
            client.send(request("POST", "/digest", ("Content-Length", "10000000")) + b"x" * 1_000_000)
            client.reset()

    def test_in_a_download(self, pair: Pair, clients: list[Client]) -> None:
        for client in clients:
            client.send(request("GET", "/large?count=3200"))
            assert client.receive()
            client.reset()


class Posts(Load):
    """Requests that a front does not repeat when the server closes their connection, and long ones."""

    def one(self, client: Client) -> Response:
        response = client.ask("POST", "/digest", body=b"x" * 1_000_000)
        assert response.body.startswith(b"1000000 "), response
        return response


@pytest.mark.parametrize("load", [Load, Posts], ids=["get", "post"])
class TestWorkersComeAndGo:
    """Nobody notices: with requests under way all the time, no answer is an error."""

    @pytest.fixture
    def started(self, serve: Start, front_kind: str, transport: str) -> Iterator[Callable[..., Pair]]:
        """started(*flags): a server of this test's own, and its front."""
        with ExitStack() as stack:

            def new(*flags: str) -> Pair:
                bind: list[str] = []
                if transport == "unix":
                    directory = public_directory()
                    stack.callback(shutil.rmtree, directory, ignore_errors=True)
                    bind = ["--bind", f"unix:{directory}/http.sock"]
                server = serve("fronted", *bind, "--workers", "2", *flags)
                front = Front(KINDS[front_kind], server.url)
                stack.callback(front.stop)
                return Pair(server, front.ready())

            yield new

    def test_reload(self, started: Callable[..., Pair], load: type[Load]) -> None:
        pair = started()
        old = set(pair.server.wait_for_workers(2))
        # afterwards the front has connections that were closed meanwhile, and has to know
        idle = [Client.open(pair.front.url) for _ in range(4)]
        for client in idle:
            assert client.ask("POST", "/digest", body=b"before").status == 200

        def replaced() -> bool:
            workers = set(pair.server.workers())
            return len(workers) == 2 and not workers & old

        with load(pair.front.url, "/large?count=16", clients=8) as running:
            pair.server.signal(signal.SIGHUP)
            eventually(replaced, pair.server.explain)
        for client in idle:
            with client:
                assert client.ask("POST", "/digest", body=b"after").status == 200
        assert running.failures == []
        assert running.answered

    def test_recycling(self, started: Callable[..., Pair], load: type[Load]) -> None:
        pair = started("--max-requests", "100")
        first = set(pair.server.wait_for_workers(2))
        with load(pair.front.url, "/large?count=16", clients=8) as running:
            eventually(lambda: not first & set(pair.server.workers()), pair.server.explain)
        assert running.failures == []
        assert running.answered
