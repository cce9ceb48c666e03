"""Settings: TLS and HTTP/2. Neither is built yet: what would be unsafe without them is refused."""

from __future__ import annotations

from fastwsgi.settings.declaration import Section, Setting
from fastwsgi.settings.values import (
    anything,
    between,
    boolean,
    count,
    http2_cleartext,
    http_protocols,
    optional_text,
)

NO_TLS_YET = "TLS is not built yet"
NO_HTTP2 = "HTTP/2 is not built yet; HTTP/1.1 is served"


def refuse_tls(path: str | None) -> str:
    return f"{NO_TLS_YET}: terminate it in a proxy in front, and leave this unset" if path else ""


class SSL(Section):
    section = "SSL"

    keyfile = Setting(
        "--keyfile",
        parse=optional_text,
        refuse=refuse_tls,
        default=None,
        metavar="FILE",
        help="The private key of --certfile.",
    )
    certfile = Setting(
        "--certfile",
        parse=optional_text,
        refuse=refuse_tls,
        default=None,
        metavar="FILE",
        help="The server's certificate.",
    )
    ssl_version = Setting(
        "--ssl-version",
        parse=anything,
        default=None,
        metavar="VERSION",
        no_effect="gunicorn ignores it as well",
        help="Deprecated in gunicorn.",
    )
    cert_reqs = Setting(
        "--cert-reqs",
        parse=between(0, 2),
        default=0,
        metavar="NUMBER",
        no_effect=NO_TLS_YET,
        help="Whether clients need a certificate: 0 no, 1 optional, 2 yes.",
    )
    ca_certs = Setting(
        "--ca-certs",
        parse=optional_text,
        default=None,
        metavar="FILE",
        no_effect=NO_TLS_YET,
        help="The authorities whose certificates clients may have.",
    )
    suppress_ragged_eofs = Setting(
        "--suppress-ragged-eofs",
        parse=boolean,
        default=True,
        action="store_true",
        no_effect=NO_TLS_YET,
        help="Take a connection that ends without notice for one that ends properly.",
    )
    do_handshake_on_connect = Setting(
        "--do-handshake-on-connect",
        parse=boolean,
        default=False,
        action="store_true",
        no_effect=NO_TLS_YET,
        help="Do the handshake as soon as a connection is accepted.",
    )
    ciphers = Setting(
        "--ciphers",
        parse=optional_text,
        default=None,
        metavar="LIST",
        no_effect=NO_TLS_YET,
        help="The ciphers that may be used, as OpenSSL lists them.",
    )


class HTTP2(Section):
    section = "HTTP/2"

    http_protocols = Setting(
        "--http-protocols",
        parse=http_protocols,
        default="h1",
        metavar="LIST",
        no_effect=NO_HTTP2,
        help="The protocols to offer, the preferred one first: h1, h2.",
    )
    http2_cleartext = Setting(
        "--http2-cleartext",
        parse=http2_cleartext,
        default="off",
        metavar="MODE",
        no_effect=NO_HTTP2,
        help="HTTP/2 without TLS: off, prior-knowledge, upgrade or both.",
    )
    http2_max_concurrent_streams = Setting(
        "--http2-max-concurrent-streams",
        parse=between(1, 2**31 - 1),
        default=100,
        metavar="COUNT",
        no_effect=NO_HTTP2,
        help="The most streams of one connection.",
    )
    http2_initial_window_size = Setting(
        "--http2-initial-window-size",
        parse=count,
        default=65535,
        metavar="BYTES",
        no_effect=NO_HTTP2,
        help="How much of a body may be sent before it is asked for.",
    )
    http2_max_frame_size = Setting(
        "--http2-max-frame-size",
        parse=between(16384, 16777215),
        default=16384,
        metavar="BYTES",
        no_effect=NO_HTTP2,
        help="The longest frame.",
    )
    http2_max_header_list_size = Setting(
        "--http2-max-header-list-size",
        parse=count,
        default=65536,
        metavar="BYTES",
        no_effect=NO_HTTP2,
        help="The most header data of one request; 0: no limit.",
    )
