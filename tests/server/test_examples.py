"""The applications of examples/, served and used as their README says, each also within wsgiref.validate."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .curl import Curl
from .process import Server, Start, clean_environment
from .site import SITE, SITE_ENVIRONMENT, arguments, log_in, upload

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(params=["bare", "validated"])
def validated(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "validated")


def assert_valid(server: Server) -> None:
    """Nobody broke PEP 3333, in the eyes of wsgiref.validate, and nothing failed."""
    assert "AssertionError" not in server.log, server.explain()
    assert "without being closed" not in server.log, server.explain()
    assert "Traceback" not in server.log, server.explain()


def test_hello(serve: Start, validated: bool, tmp_path: Path) -> None:
    app = 'validated:wrap("hello:application")' if validated else "hello"
    server = serve(app, "--chdir", str(EXAMPLES))
    curl = Curl(server.url, tmp_path)
    assert curl("/") == "Hello, world!\n"
    assert curl("/any/path?query") == "Hello, world!\n"
    assert_valid(server)


class TestFlask:
    @pytest.fixture
    def server(self, serve: Start, validated: bool, tmp_path: Path) -> Iterator[Server]:
        data = str(tmp_path / "board")
        app = (
            f'validated:wrap("board:create_app", data={data!r})'
            if validated
            else f"board:create_app(data={data!r})"
        )
        server = serve(app, "--chdir", str(EXAMPLES / "flask_app"), "--workers", "2")
        yield server
        assert_valid(server)

    @pytest.fixture
    def curl(self, server: Server, tmp_path: Path) -> Curl:
        return Curl(server.url, tmp_path)

    def test_page_and_form(self, curl: Curl) -> None:
        assert "Nothing here yet." in curl("/")
        page = curl("/notes", "--location", "--data", "author=me", "--data-urlencode", "text=caf\xe9 & <b>")
        assert "<b>me</b>: caf\xe9 &amp; &lt;b&gt;" in page
        assert curl.status("/notes", "--data", "author=me") == 400

    def test_json(self, curl: Curl) -> None:
        for number in range(1, 4):
            note = json.dumps({"author": "me", "text": f"note {number}"})
            answer = curl("/api/notes", "--header", "Content-Type: application/json", "--data", note)
            assert json.loads(answer) == {"id": number}
        notes = json.loads(curl("/api/notes"))["notes"]
        assert [(note["author"], note["text"]) for note in notes] == [
            ("me", f"note {n}") for n in range(1, 4)
        ]
        assert curl.status("/api/notes", "--header", "Content-Type: application/json", "--data", "{") == 400

    def test_json_of_unknown_length(self, curl: Curl) -> None:
        """curl sends it chunked."""
        note = json.dumps({"author": "me", "text": "x" * 100_000})
        headers = ["--header", "Content-Type: application/json", "--header", "Transfer-Encoding: chunked"]
        assert json.loads(curl("/api/notes", *headers, "--data", note)) == {"id": 1}
        assert len(json.loads(curl("/api/notes"))["notes"][0]["text"]) == 100_000

    def test_files(self, curl: Curl, tmp_path: Path) -> None:
        content = bytes(range(256)) * 8192
        path = tmp_path / "two megabytes.bin"
        path.write_bytes(content)
        assert "two_megabytes.bin" in curl("/files", "--location", "--form", f"file=@{path}")
        assert curl.bytes("/files/two_megabytes.bin") == content
        assert curl.bytes("/files/two_megabytes.bin", "--range", "1000-1999") == content[1000:2000]
        assert curl.field("/files/two_megabytes.bin", "content-length") == str(len(content))
        assert curl.status("/files/none") == 404

    def test_upload_over_the_limit(self, curl: Curl, tmp_path: Path) -> None:
        path = tmp_path / "large"
        path.write_bytes(b"x" * (33 * 1024 * 1024))
        assert curl.status("/files", "--form", f"file=@{path}") == 413

    def test_stream(self, curl: Curl) -> None:
        for number in range(3):
            curl("/notes", "--data", f"author=me&text=note {number}, streamed")
        rows = curl("/notes.csv").splitlines()
        assert rows[0] == "id,author,text,written"
        assert [row.rpartition(",")[0] for row in rows[1:]] == [
            f'{n + 1},me,"note {n}, streamed"' for n in range(3)
        ]


class TestDjango:
    @pytest.fixture
    def server(self, serve: Start, validated: bool, prepared_site: Path) -> Iterator[Server]:
        app = 'validated:wrap("config.wsgi:application")' if validated else "config.wsgi:application"
        server = serve(*arguments(prepared_site, app), "--access-logfile", "-", "--workers", "2")
        yield server
        assert_valid(server)

    @pytest.fixture
    def curl(self, server: Server, tmp_path: Path) -> Curl:
        return Curl(server.url, tmp_path)

    def test_admin(self, curl: Curl) -> None:
        assert curl.status("/admin/") == 302
        assert "Please enter the correct username and password" in log_in(curl, "wrong horse")
        assert "Site administration" in log_in(curl)
        assert "Select document to change" in curl("/admin/documents/document/")
        assert "admin@example.com" in curl("/admin/auth/user/")

    def test_csrf(self, curl: Curl) -> None:
        assert curl.status("/admin/login/", "--data", "username=admin") == 403

    def test_upload_and_download(self, curl: Curl, tmp_path: Path) -> None:
        assert curl.status("/upload/") == 302
        log_in(curl)
        content = bytes(range(256)) * 20_000
        path = tmp_path / "large.bin"
        path.write_bytes(content)
        page = upload(curl, "A large file", path)
        match = re.search(r'<a href="(/documents/\d+/)">A large file</a> by admin', page)
        assert match, page
        assert curl.bytes(match[1]) == content
        assert curl.field(match[1], "content-length") == str(len(content))
        assert curl.field(match[1], "content-disposition").startswith('attachment; filename="large')
        documents = json.loads(curl("/api/documents/"))["documents"]
        assert documents[-1]["title"] == "A large file"

    def test_stream(self, curl: Curl, tmp_path: Path) -> None:
        log_in(curl)
        path = tmp_path / "small.txt"
        path.write_text("small")
        for number in range(3):
            upload(curl, f"Streamed, {number}", path)
        rows = curl("/report.csv").splitlines()
        assert rows[0] == "id,title,owner,uploaded"
        for number in range(3):
            assert any(f'"Streamed, {number}",admin,' in row for row in rows)
        assert curl.field("/report.csv", "content-type") == "text/csv"

    def test_static_files(self, curl: Curl) -> None:
        match = re.search(r'<link rel="stylesheet" href="(/static/documents/style\.\w+\.css)">', curl("/"))
        assert match
        assert curl(match[1]) == (SITE / "documents/static/documents/style.css").read_text()
        assert curl.field(match[1], "content-type") == 'text/css; charset="utf-8"'
        assert "immutable" in curl.field(match[1], "cache-control")
        plain, compressed = (
            curl("/static/admin/css/base.css"),
            curl("/static/admin/css/base.css", "--compressed"),
        )
        assert plain == compressed and len(plain) > 10_000
        assert curl("/static/documents/style.css", "--range", "0-3") == "body"
        assert curl.status("/static/none.css") == 404

    def test_not_found(self, curl: Curl) -> None:
        assert curl.status("/none/") == 404
        assert curl.status("/admin") == 301

    def test_host_is_checked(self, curl: Curl) -> None:
        assert curl.status("/", "--header", "Host: evil.example") == 400


def test_django_from_a_clean_clone(tmp_path: Path) -> None:
    """serve.sh, the one command of the README."""
    data = tmp_path / "data"
    data.mkdir()
    environment = SITE_ENVIRONMENT | {
        "DJANGO_DATA_DIR": str(data),
        "PATH": f"{Path(sys.executable).parent}:{clean_environment()['PATH']}",
    }
    server = Server([str(SITE / "serve.sh"), "--bind", "127.0.0.1:0"], tmp_path, env=environment)
    try:
        curl = Curl(server.url, tmp_path)
        assert "Documents" in curl("/")
        assert "Site administration" in log_in(curl)
        assert server.stop() == 0
        assert "Superuser created successfully." in server.output
        assert '"GET / HTTP/1.1" 200' in server.output
    finally:
        server.kill()
    assert {path.name for path in data.iterdir()} >= {"db.sqlite3", "secret-key", "staticfiles"}
