"""Behind proxies: whom the server believes, and what the application and the log are told of the client."""

import ipaddress
import itertools
import json
import re
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .client import Client, Response, request
from .process import Server, Start

APP = "show_environ"
# Loopback addresses that are, and are not, among the defaults of the lists of trusted peers.
TRUSTED, STRANGER = "127.0.0.1", "127.0.0.2"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TO_CLOSE = ("Connection", "close")


def connect(server: Server, source: str = TRUSTED) -> Client:
    """A connection from that address, or to a unix socket."""
    if server.url.startswith("unix:"):
        return server.connect()
    sock = socket.create_connection(("127.0.0.1", server.port), 20, (source, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Client(sock)


def environ_of(response: Response) -> dict[str, Any]:
    assert response.status == 200, response
    return {key: value for key, (_, value) in json.loads(response.body).items()}


def ask(
    server: Server, *fields: tuple[str, str], source: str = TRUSTED, before: bytes = b"", target: str = "/"
) -> Response:
    """The answer to one request on a connection of its own, with `before` in front of it."""
    with connect(server, source) as client:
        client.send(before + request("GET", target, *fields))
        return client.response()


def get(server: Server, *fields: tuple[str, str], **how: Any) -> dict[str, Any]:
    return environ_of(ask(server, *fields, **how))


def configured(serve: Start, tmp_path: Path, text: str, *flags: str) -> Server:
    (tmp_path / "proxies.conf.py").write_text(text)
    return serve(APP, "-c", str(tmp_path / "proxies.conf.py"), *flags)


def who(environ: dict[str, Any]) -> tuple[str, str | None]:
    return environ["REMOTE_ADDR"], environ.get("REMOTE_PORT")


# --- the scheme ---


@pytest.mark.parametrize(
    ("fields", "scheme"),
    [
        ([], "http"),
        ([("X-Forwarded-Proto", "https")], "https"),
        ([("x-forwarded-PROTO", "https")], "https"),
        ([("X-Forwarded-Proto", "http")], "http"),
        ([("X-Forwarded-Proto", "HTTPS")], "http"),
        ([("X-Forwarded-Protocol", "ssl")], "https"),
        ([("X-Forwarded-Ssl", "on"), ("X-Forwarded-Proto", "https")], "https"),
        ([("X-Forwarded-Scheme", "https")], "http"),
    ],
)
def test_the_scheme_is_a_trusted_proxys_word(
    servers: Start, fields: list[tuple[str, str]], scheme: str
) -> None:
    assert get(servers(APP), *fields)["wsgi.url_scheme"] == scheme
    assert get(servers(APP), *fields, source=STRANGER)["wsgi.url_scheme"] == "http"


def test_what_one_connection_is_told_another_is_not(servers: Start) -> None:
    """Requests of the same shape share a template: not across the border of trust."""
    fields = [("X-Forwarded-Proto", "https"), ("SCRIPT_NAME", "/app"), ("X-Thing", "1")]
    with connect(servers(APP)) as friend, connect(servers(APP), STRANGER) as stranger:
        for _ in range(5):
            told = environ_of(friend.get("/app/x", *fields))
            assert (told["wsgi.url_scheme"], told["SCRIPT_NAME"], told["PATH_INFO"]) == (
                "https",
                "/app",
                "/x",
            )
            told = environ_of(stranger.get("/app/x", *fields))
            assert (told["wsgi.url_scheme"], told["SCRIPT_NAME"], told["PATH_INFO"]) == ("http", "", "/app/x")
            assert "HTTP_SCRIPT_NAME" not in told
            assert environ_of(friend.get("/", fields[0]))["wsgi.url_scheme"] == "https"
            assert environ_of(stranger.get("/", fields[0]))["wsgi.url_scheme"] == "http"
            assert environ_of(friend.get("/", ("X-Forwarded-Proto", "http")))["wsgi.url_scheme"] == "http"


def test_a_contradiction_is_refused(servers: Start) -> None:
    fields = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off")]
    response = ask(servers(APP), *fields)
    assert (response.status, response.closes) == (400, True)
    servers(APP).wait_for_log(r"Invalid request from ip=127\.0\.0\.1: fields of the proxy contradict")
    assert get(servers(APP), *fields, source=STRANGER)["wsgi.url_scheme"] == "http"


def test_the_fields_of_the_scheme_are_a_setting(serve: Start, tmp_path: Path) -> None:
    server = configured(
        serve,
        tmp_path,
        'secure_scheme_headers = {"X-Edge-TLS": "yes, it is"}\nforwarded_allow_ips = "127.0.0.2/32"\n',
    )
    fields = [("x-edge-tls", "yes, it is")]
    assert get(server, *fields, source=STRANGER)["wsgi.url_scheme"] == "https"
    assert get(server, *fields)["wsgi.url_scheme"] == "http"
    assert get(server, ("X-Forwarded-Proto", "https"), source=STRANGER)["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize(
    ("allowed", "source", "trusted"),
    [
        ("*", STRANGER, True),
        ("127.0.0.0/30", "127.0.0.3", True),
        ("127.0.0.0/30", "127.0.0.4", False),
        ("10.0.0.0/8,127.0.0.2", STRANGER, True),
        ("10.0.0.0/8", TRUSTED, False),
        ("", TRUSTED, False),
        ("::/0", TRUSTED, False),
    ],
)
def test_who_is_trusted(servers: Start, allowed: str, source: str, trusted: bool) -> None:
    server = servers(APP, "--forwarded-allow-ips", allowed)
    told = get(server, ("X-Forwarded-Proto", "https"), source=source)
    assert told["wsgi.url_scheme"] == ("https" if trusted else "http")


# --- names with an underscore ---


@pytest.mark.parametrize(
    ("target", "mount", "script", "path"),
    [
        ("/app/x?q=1", "/app", "/app", "/x"),
        ("/app", "/app", "/app", ""),
        ("/a%20b/%63", "/a b", "/a b", "/c"),
        ("/x", "", "", "/x"),
    ],
)
def test_script_name(servers: Start, target: str, mount: str, script: str, path: str) -> None:
    told = get(servers(APP), ("SCRIPT_NAME", mount), target=target)
    assert (told["SCRIPT_NAME"], told["PATH_INFO"], told["RAW_URI"]) == (script, path, target)
    assert told["HTTP_SCRIPT_NAME"] == mount


def test_a_path_elsewhere_is_an_error(serve: Start) -> None:
    """Of who has configured the two: the application is not called, and has no traceback."""
    server = serve(APP, env={"SCRIPT_NAME": "/env"})
    response = ask(server, ("SCRIPT_NAME", "/app"), target="/other")
    assert (response.status, response.closes) == (500, True)
    assert b"the path is not below SCRIPT_NAME" in response.body
    line = (
        r"\[WARNING\] Invalid request from ip=127\.0\.0\.1: "
        "the path '/{}' is not below SCRIPT_NAME '/{}' of the {}$"
    )
    server.wait_for_log(line.format("other", "app", "proxy"))
    assert ask(server, target="/elsewhere").status == 500
    server.wait_for_log(line.format("elsewhere", "env", "environment"))
    assert get(server, target="/env/x")["PATH_INFO"] == "/x"
    assert "Traceback" not in server.log


def test_the_proxys_script_name_counts_for_more_than_the_environments(serve: Start) -> None:
    server = serve(APP, env={"SCRIPT_NAME": "/env"})
    assert get(server, target="/env/x")["SCRIPT_NAME"] == "/env"
    assert get(server, ("SCRIPT_NAME", "/proxy"), target="/proxy/x")["PATH_INFO"] == "/x"


def test_names_that_the_proxy_may_send(servers: Start) -> None:
    server = servers(APP, "--forwarder-headers", "REMOTE_USER,SSL_CLIENT_CN")
    fields = [("REMOTE_USER", "joe"), ("X_Other", "1"), ("X-Plain", "2")]
    for _ in range(3):  # the third time from a template
        told = get(server, *fields)
        assert (told["HTTP_REMOTE_USER"], told["HTTP_X_PLAIN"]) == ("joe", "2")
        assert "HTTP_X_OTHER" not in told
        told = get(server, *fields, source=STRANGER)
        assert "HTTP_REMOTE_USER" not in told and told["HTTP_X_PLAIN"] == "2"
    # SCRIPT_NAME is not among them any more
    assert get(server, ("SCRIPT_NAME", "/app"), target="/app")["SCRIPT_NAME"] == ""


@pytest.mark.parametrize("reverse", [False, True])
def test_a_client_cannot_add_to_what_the_proxy_sends(servers: Start, reverse: bool) -> None:
    server = servers(APP, "--forwarder-headers", "REMOTE_USER,SSL_CLIENT_CN")
    fields = [("Remote-User", "admin"), ("REMOTE_USER", "joe"), ("Remote-User", "root")]
    for _ in range(3):
        assert get(server, *fields[:: -1 if reverse else 1])["HTTP_REMOTE_USER"] == "joe"
        assert get(server, ("Remote-User", "admin"))["HTTP_REMOTE_USER"] == "admin"


def test_all_names_may_be_the_proxys(servers: Start) -> None:
    server = servers(APP, "--forwarder-headers", "*")
    assert get(server, ("X_Any", "1"))["HTTP_X_ANY"] == "1"
    assert "HTTP_X_ANY" not in get(server, ("X_Any", "1"), source=STRANGER)


def test_names_may_be_refused(servers: Start) -> None:
    server = servers(APP, "--header-map", "refuse")
    assert ask(server, ("X_Any", "1")).status == 400
    assert ask(server, ("X_Any", "1"), source=STRANGER).status == 400
    assert ask(server, ("SCRIPT_NAME", "/a"), source=STRANGER).status == 400
    assert ask(server, ("SCRIPT_NAME", "/a"), ("Script-Name", "/b"), target="/a").status == 400
    assert get(server, ("SCRIPT_NAME", "/a"), target="/a")["SCRIPT_NAME"] == "/a"
    assert get(server, ("X-Any", "1"), source=STRANGER)["HTTP_X_ANY"] == "1"
    server.wait_for_log("field name has an underscore")


def test_names_may_be_dangerous(servers: Start) -> None:
    server = servers(APP, "--header-map", "dangerous")
    for _ in range(3):
        told = get(
            server, ("X_Any", "1"), ("X-Any", "2"), ("SCRIPT_NAME", "/a"), source=STRANGER, target="/a"
        )
        assert told["HTTP_X_ANY"] == "1,2"
        assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("", "/a")


# --- the PROXY protocol ---


def line(client: str = "192.0.2.1", port: int = 4711, proxy: str = "198.51.100.7") -> bytes:
    family = "TCP6" if ":" in client else "TCP4"
    return f"PROXY {family} {client} {proxy} {port} 443\r\n".encode()


def block(command: int, family: int, data: bytes = b"") -> bytes:
    return SIGNATURE + bytes((0x20 | command, family)) + struct.pack(">H", len(data)) + data


def addresses(client: str, port: int, proxy: str, proxy_port: int) -> bytes:
    packed = [ipaddress.ip_address(address).packed for address in (client, proxy)]
    return b"".join(packed) + struct.pack(">HH", port, proxy_port)


V2 = block(1, 0x11, addresses("192.0.2.1", 4711, "198.51.100.7", 443))
PROXY = ("--proxy-protocol", "auto")


@pytest.mark.parametrize("header", [line(), V2, V2[:15] + b"\x0f" + V2[16:] + b"\x04\0\0"])
def test_the_proxy_tells_for_every_request(servers: Start, header: bytes) -> None:
    with connect(servers(APP, *PROXY)) as client:
        client.send(header + request("GET", "/1") + request("GET", "/2"))
        told = [environ_of(client.response()), environ_of(client.response()), environ_of(client.get("/3"))]
    assert [who(each) for each in told] == [("192.0.2.1", "4711")] * 3
    for each in told:
        assert (each["PROXY_PROTOCOL"], each["PROXY_ADDR"], each["PROXY_PORT"]) == (
            "TCP4",
            "198.51.100.7",
            "443",
        )
        assert (each["SERVER_NAME"], each["wsgi.url_scheme"]) == ("127.0.0.1", "http")


@pytest.mark.parametrize("header", [line("2001:db8::1", 9, "::1"), V2])
def test_the_header_may_come_byte_by_byte(servers: Start, header: bytes) -> None:
    with connect(servers(APP, *PROXY)) as client:
        for at in range(len(header)):
            client.send(header[at : at + 1])
        told = environ_of(client.get("/"))
    assert who(told) in (("2001:db8::1", "9"), ("192.0.2.1", "4711"))


def test_each_connection_has_its_own(servers: Start) -> None:
    server = servers(APP, *PROXY)
    clients = [connect(server) for _ in range(3)]
    clients[1].send(line("192.0.2.7", 7, "198.51.100.1"))
    clients[2].send(line("2001:db8::8", 8, "::1"))
    for _ in range(4):
        plain, first, second = (environ_of(client.get("/same")) for client in clients)
        assert who(plain) == (TRUSTED, str(clients[0].sock.getsockname()[1]))
        assert not [key for key in plain if key.startswith("PROXY_")]
        assert (*who(first), first["PROXY_ADDR"]) == ("192.0.2.7", "7", "198.51.100.1")
        assert (*who(second), second["PROXY_ADDR"]) == ("2001:db8::8", "8", "::1")
    for client in clients:
        client.sock.close()


@pytest.mark.parametrize(
    ("header", "protocol"),
    [(block(0, 0), "LOCAL"), (b"PROXY UNKNOWN\r\n", "UNKNOWN"), (block(1, 0), "UNSPEC")],
)
def test_a_header_without_an_address(servers: Start, header: bytes, protocol: str) -> None:
    with connect(servers(APP, *PROXY)) as client:
        client.send(header)
        told = environ_of(client.get("/"))
        assert who(told) == (TRUSTED, str(client.sock.getsockname()[1]))
    assert told["PROXY_PROTOCOL"] == protocol and "PROXY_ADDR" not in told


def test_a_client_that_came_to_the_proxy_by_a_unix_socket(servers: Start) -> None:
    server = servers(APP, *PROXY)
    for _ in range(3):
        assert who(get(server, before=line())) == ("192.0.2.1", "4711")
        told = get(server, before=block(1, 0x31, bytes(216)))
        assert (*who(told), told["PROXY_PROTOCOL"]) == ("", None, "UNIX")


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 192.0.2.1 198.51.100.7 4711\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 65536\r\n",
        b"PROXY " + b"x" * 200,
        block(1, 0x12, bytes(12)),
        block(1, 0x11, bytes(11)),
        block(2, 0x11, bytes(12)),
        block(0, 0, bytes(65000)),
    ],
)
def test_a_malformed_header_is_refused(servers: Start, header: bytes) -> None:
    server = servers(APP, *PROXY)
    with connect(server) as client:
        client.send(header)
        response = client.response()
        assert (response.status, response.closes) == (400, True)
    server.wait_for_log("header of the PROXY protocol is malformed")


@pytest.mark.parametrize("header", [line(), V2])
def test_a_stranger_may_not_use_it(servers: Start, header: bytes) -> None:
    server = servers(APP, *PROXY)
    assert ask(server, source=STRANGER, before=header).status == 403
    server.wait_for_log(r"from ip=127\.0\.0\.2: this peer may not use the PROXY protocol")
    assert who(get(server, source=STRANGER))[0] == STRANGER
    assert who(get(servers(APP, *PROXY, "--proxy-allow-from", "*"), source=STRANGER, before=header)) == (
        "192.0.2.1",
        "4711",
    )


@pytest.mark.parametrize(("mode", "first", "second"), [("v1", 200, 400), ("v2", 400, 200), ("off", 400, 400)])
def test_versions(servers: Start, mode: str, first: int, second: int) -> None:
    server = servers(APP, "--proxy-protocol", mode)
    assert ask(server, before=line()).status == first
    assert ask(server, before=V2).status == second
    assert ask(server).status == 200


@given(
    version=st.sampled_from([1, 2]),
    client=st.ip_addresses(),
    proxy=st.ip_addresses(),
    ports=st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
    tlvs=st.binary(max_size=300),
)
@settings(deadline=None, max_examples=60)
def test_what_was_built_is_what_is_told(
    servers: Start, version: int, client: Any, proxy: Any, ports: tuple[int, int], tlvs: bytes
) -> None:
    if proxy.version != client.version:
        proxy = ipaddress.ip_address(proxy.packed[:4] if client.version == 4 else proxy.packed * 4)
    if version == 1:
        family = f"TCP{client.version}"
        header = f"PROXY {family} {client} {proxy} {ports[0]} {ports[1]}\r\n".encode()
    else:
        family = 0x11 if client.version == 4 else 0x21
        header = block(1, family, addresses(str(client), ports[0], str(proxy), ports[1]) + tlvs)
    told = get(servers(APP, *PROXY), before=header)
    assert (plain(told["REMOTE_ADDR"]), told["REMOTE_PORT"]) == (plain(client), str(ports[0]))
    assert (plain(told["PROXY_ADDR"]), told["PROXY_PORT"]) == (plain(proxy), str(ports[1]))


def plain(address: Any) -> Any:
    """An IPv4 address that is dressed up as one of IPv6 is the IPv4 address."""
    address = ipaddress.ip_address(address)
    return getattr(address, "ipv4_mapped", None) or address


# --- the client's address in fields ---

INSIDE = ["127.0.0.1", "10.0.0.0/9", "192.168.4.0/23", "2001:db8::/34", "172.16.0.255/32"]
FOR = ("--forwarded-allow-ips", ",".join(INSIDE), "--forwarded-for")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["192.0.2.1"], ("192.0.2.1", None)),
        (["6.6.6.6, 192.0.2.1, 10.1.2.3"], ("192.0.2.1", None)),
        (["6.6.6.6", "192.0.2.1", "10.1.2.3,2001:db8::5"], ("192.0.2.1", None)),
        (["[2001:db9::1]:4711"], ("2001:db9::1", "4711")),
        (["6.6.6.6, unknown, 10.1.2.3"], ("10.1.2.3", None)),
        (["6.6.6.6, <script>"], (TRUSTED, "own")),
        ([], (TRUSTED, "own")),
    ],
)
def test_x_forwarded_for(servers: Start, values: list[str], told: tuple[str, str | None]) -> None:
    fields = [("X-Forwarded-For", value) for value in values]
    with connect(servers(APP, *FOR, "x-forwarded-for")) as client:
        own = str(client.sock.getsockname()[1])
        for _ in range(3):
            assert who(environ_of(client.get("/", *fields))) == (
                told[0],
                own if told[1] == "own" else told[1],
            )
            assert who(environ_of(client.get("/"))) == (TRUSTED, own)  # each request has its own
    stranger = get(servers(APP, *FOR, "x-forwarded-for"), *fields, source=STRANGER)
    assert stranger["REMOTE_ADDR"] == STRANGER and stranger["REMOTE_PORT"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["for=192.0.2.1;proto=https"], ("192.0.2.1", None)),
        (['for=6.6.6.6, for="192.0.2.1:4711";by=_x, for=10.1.2.3'], ("192.0.2.1", "4711")),
        (['for=6.6.6.6;x="', 'for="[2001:db9::1]:99"'], ("2001:db9::1", "99")),
        (["for=6.6.6.6, for=_hidden, for=10.1.2.3"], ("10.1.2.3", None)),
        (["for=10.1.2.3, for=unknown"], (TRUSTED, "own")),
        (['for=6.6.6.6;x=", for=10.1.2.3'], (TRUSTED, "own")),
    ],
)
def test_forwarded(servers: Start, values: list[str], told: tuple[str, str | None]) -> None:
    fields = [("Forwarded", value) for value in values] + [("X-Forwarded-For", "5.5.5.5")]
    with connect(servers(APP, *FOR, "forwarded")) as client:
        own = str(client.sock.getsockname()[1])
        for _ in range(3):
            assert who(environ_of(client.get("/", *fields))) == (
                told[0],
                own if told[1] == "own" else told[1],
            )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("x-forwarded-for", "10.9.9.9"),
        ("x-forwarded-for:1", "10.9.9.9"),
        ("2", "192.0.2.1"),
        ("3", "6.6.6.6"),
    ],
)
def test_where_everybody_is_trusted_proxies_are_counted(servers: Start, value: str, told: str) -> None:
    server = servers(APP, "--forwarded-allow-ips", "*", "--forwarded-for", value)
    field = ("X-Forwarded-For", "6.6.6.6, 192.0.2.1, 10.9.9.9")
    assert get(server, field, source=STRANGER)["REMOTE_ADDR"] == told


def test_it_is_off_by_default(servers: Start) -> None:
    fields = [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1")]
    assert get(servers(APP), *fields)["REMOTE_ADDR"] == TRUSTED


def expected_client(elements: list[str], peer: str) -> str:
    """What --forwarded-for is to do, in the fewest words."""
    networks = [ipaddress.ip_network(item) for item in INSIDE]
    client = peer
    while elements and any(ipaddress.ip_address(client) in network for network in networks):
        try:
            client = str(plain(elements[-1]))
        except ValueError:
            break
        elements = elements[:-1]
    return client


# Addresses at the borders of the networks, and what is none.
BORDERS = [
    str(address + step)
    for network in map(ipaddress.ip_network, INSIDE)
    for address in (network[0], network[-1])
    for step in (-1, 0, 1)
    if address != ipaddress.ip_address("127.0.0.1") or step == 0
]
ELEMENTS = st.one_of(
    st.sampled_from(BORDERS),
    st.sampled_from(["unknown", "_x", "", "1.2.3", "::ffff:10.0.0.1"]),
    st.ip_addresses(),
).map(str)


@given(elements=st.lists(ELEMENTS, max_size=8), cuts=st.sets(st.integers(1, 7)))
@settings(deadline=None, max_examples=150)
def test_the_walk_is_the_one_of_the_model(servers: Start, elements: list[str], cuts: set[int]) -> None:
    bounds = [0, *sorted(cut for cut in cuts if cut < len(elements)), len(elements)]
    lines = [elements[begin:end] for begin, end in itertools.pairwise(bounds)] if elements else []
    told = get(
        servers(APP, *FOR, "x-forwarded-for"), *[("X-Forwarded-For", ", ".join(each)) for each in lines]
    )
    assert told["REMOTE_ADDR"] == expected_client(elements, TRUSTED)


@pytest.mark.parametrize("format", ["%(h)s %(U)s %(s)s", "%(h)s %(U)s %({x-nothing}o)s"])
def test_the_access_log_names_the_client(serve: Start, format: str) -> None:
    """Written by the core, and by Python, which alone knows headers of responses."""
    server = serve(
        APP, "--access-logfile", "-", "--access-logformat", format, *PROXY, *FOR, "x-forwarded-for"
    )
    last = "200" if format.endswith("%(s)s") else "-"
    field = ("X-Forwarded-For", "192.0.2.1, 10.1.2.3")
    get(server, field, ("SCRIPT_NAME", "/app"), target="/app/x")
    get(server, source=STRANGER)
    get(server, before=line("203.0.113.9"))
    ask(server, field, ("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off"))
    assert server.stop() == 0
    lines = server.output.splitlines()
    assert lines[:3] == [f"192.0.2.1 /x {last}", f"{STRANGER} / {last}", f"203.0.113.9 / {last}"]
    assert re.match(r"192\.0\.2\.1 / (400|-)$", lines[3])


# --- unix sockets ---


def test_a_unix_socket(serve: Start, tmp_path: Path) -> None:
    """Who connects to it is trusted, and has no address; the server is called what the client calls it."""
    server = serve(APP, "--bind", f"unix:{tmp_path / 's'}", *PROXY, "--forwarded-allow-ips", "10.0.0.0/8")
    for _ in range(3):
        told = get(server, ("Host", "example.org"), ("X-Forwarded-For", "192.0.2.1"))
        assert who(told) == ("", None)
        assert (told["SERVER_NAME"], told["SERVER_PORT"]) == ("example.org", "80")
        told = get(server, ("Host", "example.org"), ("X-Forwarded-Proto", "https"), ("SCRIPT_NAME", ""))
        assert (told["SERVER_NAME"], told["SERVER_PORT"]) == ("example.org", "443")
        told = get(server, ("Host", "[::1]:81"), ("X-Forwarded-For", "192.0.2.1"), before=line())
        assert who(told) == ("192.0.2.1", "4711")
        assert (told["SERVER_NAME"], told["SERVER_PORT"]) == ("[::1]", "81")


def test_a_unix_socket_where_nobody_is_trusted(serve: Start, tmp_path: Path) -> None:
    """In front is something that passes TCP on: what is said in fields is said by clients."""
    server = serve(APP, "--bind", f"unix:{tmp_path / 's'}", *PROXY, "--forwarded-allow-ips", "")
    told = get(server, ("X-Forwarded-Proto", "https"), ("SCRIPT_NAME", "/x"), before=line())
    assert who(told) == ("192.0.2.1", "4711")
    assert (told["wsgi.url_scheme"], told["SCRIPT_NAME"]) == ("http", "")


def test_a_unix_socket_with_forwarded_for(serve: Start, tmp_path: Path) -> None:
    server = serve(APP, "--bind", f"unix:{tmp_path / 's'}", "--forwarded-for", "x-forwarded-for")
    for _ in range(3):
        told = get(server, ("Host", "example.org"), ("X-Forwarded-For", "6.6.6.6, 192.0.2.1"))
        assert (*who(told), told["SERVER_NAME"]) == ("192.0.2.1", None, "example.org")
        assert who(get(server, ("Host", "example.org"), ("X-Forwarded-For", "garbage"))) == ("", None)
