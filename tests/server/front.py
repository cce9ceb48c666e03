"""nginx, HAProxy and Apache in front of a server, each configured as docs/deploy.md says.

The text comes out of that page: block(name) is the fenced block whose first line is the comment `# name`.
What is different on the machine of a test is exchanged in it, word by word, by a table of which every word
must be there:

- the ports 80 and 443 become ports that the kernel chose, at the loopback address; what is for IPv6 goes;
- the certificate becomes one that openssl has just made;
- the server's address becomes that of the test's server: a unix socket, or what the page says for TCP.

Around the block stands what Debian's own configuration files have around it (modules, where the log and the
process id go), with paths in a directory of the test. A front runs in the foreground, as nobody where the
test is root, and is ended like any other server.
"""

import atexit
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .client import Response
from .process import Server, eventually

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
HOST = "example.com"
NGINX_MODULES = Path("/usr/lib/nginx/modules")
APACHE_MODULES = Path("/usr/lib/apache2/modules")
APACHE_ALWAYS = "mpm_event authz_core alias mime reqtimeout proxy socache_shmcb"
"""Of what Debian enables by itself, or with the modules that the page names, what matters here."""


@dataclass(frozen=True)
class Place:
    """What is a test's own: where a front may write, its ports, and the server behind it."""

    directory: Path
    http: int
    https: int
    upstream: str  # as the server says it: unix:PATH or http://HOST:PORT

    def choose(self, tcp: str, unix: str = "") -> dict[str, str]:
        """The way in which the page names the server, and how to name it here.

        In its blocks stands `unix`, if that is given, and in the text around it `tcp`.
        """
        if self.upstream.startswith("unix:"):
            return {unix: unix.replace("/run/example/http.sock", self.upstream.removeprefix("unix:"))}
        return {unix or tcp: tcp.replace(":8000", f":{self.upstream.rpartition(':')[2]}")}


Writer = Callable[[Place, dict[str, str]], list[str]]


def nginx(place: Place, more: dict[str, str]) -> list[str]:
    page = block(
        "/etc/nginx/conf.d/example.conf",
        {
            **more,
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl http2;\n": "",
            "listen 80;": f"listen 127.0.0.1:{place.http};",
            "listen 443 ": f"listen 127.0.0.1:{place.https} ",
            "/etc/letsencrypt/live/example.com": str(place.directory),
            **place.choose("127.0.0.1:8000", "unix:/run/example/http.sock"),
        },
    )
    return nginx_command(place, "", f"http {{\n{nginx_paths(place)}access_log off;\n{page}}}\n")


def nginx_paths(place: Place) -> str:
    kinds = "client_body", "proxy", "fastcgi", "uwsgi", "scgi"
    return "".join(f"{kind}_temp_path {place.directory}/{kind};\n" for kind in kinds)


def nginx_command(place: Place, before: str, text: str) -> list[str]:
    path = place.directory / "nginx.conf"
    path.write_text(
        f"{before}daemon off;\npid {place.directory}/nginx.pid;\nerror_log stderr notice;\n"
        f"events {{}}\n{text}"
    )
    return [program("nginx"), "-e", "stderr", "-p", str(place.directory), "-c", str(path)]


def haproxy(place: Place, more: dict[str, str]) -> list[str]:
    page = block(
        "/etc/haproxy/haproxy.cfg",
        {
            **more,
            "bind :80\n": f"bind 127.0.0.1:{place.http}\n",
            "bind :443 ": f"bind 127.0.0.1:{place.https} ",
            "/etc/haproxy/example.com.pem": f"{place.directory}/both.pem",
            **place.choose("127.0.0.1:8000", "unix@/run/example/http.sock"),
        },
    )
    return haproxy_command(place, page)


def haproxy_command(place: Place, page: str) -> list[str]:
    path = place.directory / "haproxy.cfg"
    path.write_text(f"global\n    log stdout format raw local0\n{page}")
    return [program("haproxy"), "-db", "-f", str(path)]


def apache(place: Place, more: dict[str, str]) -> list[str]:
    page = block(
        "/etc/apache2/sites-available/example.conf",
        {
            **more,
            "*:80>": f"127.0.0.1:{place.http}>",
            "*:443>": f"127.0.0.1:{place.https}>",
            "/etc/letsencrypt/live/example.com": str(place.directory),
            **place.choose("http://127.0.0.1:8000/", "unix:/run/example/http.sock|http://example/"),
        },
    )
    enabled = re.search(r"^\$? *sudo a2enmod (.+?)(?:$| &&)", PAGE.read_text(), re.MULTILINE)
    assert enabled, "the page does not say which modules Apache needs"
    modules = f"{APACHE_ALWAYS} {enabled[1]}".split()
    path = place.directory / "apache2.conf"
    path.write_text(
        "".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so\n" for name in modules)
        + f"ServerName {HOST}\nServerRoot {place.directory}\nDefaultRuntimeDir {place.directory}\n"
        + f"PidFile {place.directory}/apache2.pid\nErrorLog {place.directory}/error.log\nLogLevel warn\n"
        + f"TypesConfig /dev/null\nListen 127.0.0.1:{place.http}\nListen 127.0.0.1:{place.https}\n"
        + page
    )
    return [program("apache2"), "-DFOREGROUND", "-f", str(path)]


def nginx_stream(place: Place, more: dict[str, str]) -> list[str]:
    table = {"listen 80;": f"listen 127.0.0.1:{place.http};", **place.choose("127.0.0.1:8000")}
    page = block("/etc/nginx/nginx.conf, at its end", more | table)
    return nginx_command(place, f"load_module {NGINX_MODULES}/ngx_stream_module.so;\n", page)


def haproxy_tcp(place: Place, more: dict[str, str]) -> list[str]:
    table = {"bind :80\n": f"bind 127.0.0.1:{place.http}\n", **place.choose("127.0.0.1:8000")}
    return haproxy_command(place, block("/etc/haproxy/haproxy.cfg, TCP", more | table))


KINDS: dict[str, Writer] = {"nginx": nginx, "haproxy": haproxy, "apache": apache}
PLAIN: dict[str, Writer] = {"nginx-stream": nginx_stream, "haproxy-tcp": haproxy_tcp}
"""These pass TCP through: http://127.0.0.1:PORT."""


class Front(Server):
    """A front server; whoever makes it must call stop() or kill()."""

    def __init__(self, write: Writer, upstream: str, more: dict[str, str] | None = None) -> None:
        """`write` makes the configuration and the command; `more` is exchanged in the page's text first."""
        self.scheme = "http" if write in PLAIN.values() else "https"
        self.directory = public_directory()
        self.reserved = [reserve() for _ in range(2)]
        http, https = (sock.getsockname()[1] for sock in self.reserved)
        self.place = Place(self.directory, http, https, upstream)
        for name in ("fullchain.pem", "privkey.pem", "both.pem"):
            shutil.copy(certificate() / name, self.directory)
        command = write(self.place, more or {})
        give_to_nobody(self.directory)
        super().__init__([*as_nobody(), *command], self.directory)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return self.place.http if self.scheme == "http" else self.place.https

    @property
    def log(self) -> str:
        own = self.directory / "error.log"
        return super().log + (own.read_text(errors="replace") if own.exists() else "")

    def ready(self) -> "Front":
        """Itself, as soon as it listens."""

        def listens() -> bool:
            assert self.process.poll() is None, self.explain()
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                return False
            return True

        eventually(listens, self.explain)
        return self

    def kill(self) -> None:
        super().kill()
        for sock in self.reserved:
            sock.close()
        shutil.rmtree(self.directory, ignore_errors=True)


@dataclass
class Pair:
    """A server and what stands before it."""

    server: Server
    front: Front

    def ask(self, method: str, target: str, *fields: tuple[str, str], body: bytes | None = None) -> Response:
        with self.front.connect() as client:
            return client.ask(method, target, *fields, body=body)


# The fixture that starts both: Fronted(*arguments, more=).
Fronted = Callable[..., Pair]


def block(name: str, table: dict[str, str] | None = None) -> str:
    """A block of the page, with each key of `table` exchanged for its value, in that order."""
    fenced = re.findall(r"^```\w+\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    named: list[str] = [text for text in fenced if text.startswith(f"# {name}\n")]
    assert len(named) == 1, f"{len(named)} blocks are called {name}"
    (text,) = named
    for old, new in (table or {}).items():
        assert old in text, f"{old!r} is not in\n{text}"
        text = text.replace(old, new)
    return text


def program(name: str) -> str:
    """Where a program is; Debian's servers are in directories that not everybody has in PATH."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert path, f"{name} is not installed"
    return path


def reserve() -> socket.socket:
    """A port that the kernel gives to nobody else, for a server that cannot be told to take any.

    Both set SO_REUSEADDR and this socket does not listen, so the server can take the port beside it.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock


def public_directory() -> Path:
    """A new directory that every user reaches, and with a name that is short enough for a unix socket."""
    path = Path(tempfile.mkdtemp(prefix="fastwsgi-front-"))
    path.chmod(0o755)
    return path


def as_nobody() -> list[str]:
    """What to put before a command."""
    if os.geteuid():
        return []
    nobody = pwd.getpwnam("nobody")
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


def give_to_nobody(directory: Path) -> None:
    if not os.geteuid():
        nobody = pwd.getpwnam("nobody")
        for path in (directory, *directory.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)


@cache
def certificate() -> Path:
    """The directory of a new certificate, its key, and a file with both."""
    directory = Path(tempfile.mkdtemp(prefix="fastwsgi-certificate-"))
    atexit.register(shutil.rmtree, directory)
    key, chain = directory / "privkey.pem", directory / "fullchain.pem"
    options = ["-x509", "-nodes", "-days", "1", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    subprocess.run(
        ["openssl", "req", *options, *names, "-keyout", key, "-out", chain], check=True, capture_output=True
    )
    (directory / "both.pem").write_text(chain.read_text() + key.read_text())
    return directory
