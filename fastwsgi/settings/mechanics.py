"""Settings: how the server's processes are run, and how it reads requests that come through proxies."""

from __future__ import annotations

from fastwsgi.settings.declaration import Section, Setting
from fastwsgi.settings.values import (
    assignments,
    between,
    boolean,
    choice,
    directory,
    field_names,
    forwarded_for,
    group,
    listed,
    mode,
    networks,
    optional_text,
    paths,
    proxy_protocol,
    scheme_headers,
    text,
    user,
    writable_directory,
)

# Of one connection in memory: its buffers count in 32 bits.
MOST_KEPT = 2**30


def sendfile(value: object) -> bool:
    return True if value is None else boolean(value)


def is_yes(value: str) -> bool:
    return value.strip().lower() in ("y", "1", "yes", "true")


def refuse_protocol(name: str) -> str:
    return "" if name == "http" else "the uwsgi protocol is not spoken here; let the proxy speak HTTP"


class ServerMechanics(Section):
    section = "Server Mechanics"

    preload_app = Setting(
        "--preload",
        parse=boolean,
        default=False,
        action="store_true",
        help="Load the application before the workers are forked.",
    )
    sendfile = Setting(
        "--no-sendfile",
        parse=sendfile,
        default=None,
        action="store_const",
        const=False,
        variable="SENDFILE",
        from_variable=is_yes,
        help="Do not let the kernel send files of wsgi.file_wrapper by itself.",
    )
    reuse_port = Setting(
        "--reuse-port",
        parse=boolean,
        default=False,
        action="store_true",
        help="Give every worker listeners of its own, with SO_REUSEPORT.",
    )
    chdir = Setting(
        "--chdir",
        parse=directory,
        default=".",
        metavar="DIRECTORY",
        help="Go there before anything else is opened or loaded.",
    )
    daemon = Setting(
        "-D",
        "--daemon",
        parse=boolean,
        default=False,
        action="store_true",
        help="Run in the background.",
    )
    raw_env = Setting(
        "-e",
        "--env",
        parse=assignments,
        default=(),
        metavar="NAME=VALUE",
        action="append",
        help="Set an environment variable for the application. May be given several times.",
    )
    pidfile = Setting(
        "-p",
        "--pid",
        parse=optional_text,
        default=None,
        metavar="FILE",
        help="Write the arbiter's process id to this file.",
    )
    worker_tmp_dir = Setting(
        "--worker-tmp-dir",
        parse=optional_text,
        default=None,
        metavar="DIRECTORY",
        no_effect="workers need no heartbeat file: they tell how they are in shared memory",
        help="Where gunicorn's workers would keep their heartbeat files.",
    )
    user = Setting(
        "-u",
        "--user",
        parse=user,
        default=None,
        metavar="USER",
        help="Run workers as this user, a name or a number.",
    )
    group = Setting(
        "-g",
        "--group",
        parse=group,
        default=None,
        metavar="GROUP",
        help="Run workers with this group, a name or a number.",
    )
    umask = Setting(
        "-m",
        "--umask",
        parse=mode,
        default=0,
        metavar="MODE",
        help="The permissions that new unix sockets do not have.",
    )
    initgroups = Setting(
        "--initgroups",
        parse=boolean,
        default=False,
        action="store_true",
        help="Give workers all groups of their user.",
    )
    tmp_upload_dir = Setting(
        parse=writable_directory,
        default=None,
        help="The directory where long request bodies are kept until they are read, in files without a name; "
        "by default the usual one for temporary files.",
    )
    stream_request_body = Setting(
        "--stream-request-body",
        parse=boolean,
        default=False,
        action="store_true",
        help="Call the application when the head of a request is there, and let it read the body as it "
        "comes. Then a slow client holds the worker while it is read. environ['fastwsgi.input_streamed'] "
        "says so.",
    )
    stream_request_paths = Setting(
        "--stream-request-path",
        parse=paths,
        default=(),
        metavar="PATH",
        action="append",
        help="Do so for requests to this path and those below it, as they are written in the request. May be "
        "given several times.",
    )
    body_memory = Setting(
        "--body-memory",
        parse=between(0, MOST_KEPT),
        default=256 * 1024,
        metavar="BYTES",
        help="The longest request body that is kept in memory. A longer one goes to tmp_upload_dir.",
    )
    output_buffer = Setting(
        "--output-buffer",
        parse=between(0, MOST_KEPT),
        default=1024 * 1024,
        metavar="BYTES",
        help="How much of an answer may wait for its client before the application does.",
    )
    secure_scheme_headers = Setting(
        parse=scheme_headers,
        default={"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"},
        help="The header fields of a trusted proxy, and the value of each that means https; "
        "any other means http. A request whose fields contradict each other is refused.",
    )
    forwarded_allow_ips = Setting(
        "--forwarded-allow-ips",
        parse=networks,
        default="127.0.0.1,::1",
        metavar="ADDRESSES",
        variable="FORWARDED_ALLOW_IPS",
        help="The proxies that are trusted: addresses and networks with commas between them, or '*'. "
        "Who connects to a unix socket is trusted as well, unless this is empty.",
    )
    forwarded_for = Setting(
        "--forwarded-for",
        parse=forwarded_for,
        default="off",
        metavar="FIELD[:HOPS]",
        help="Take REMOTE_ADDR from the field of trusted proxies that names the client: off, x-forwarded-for "
        "or forwarded (RFC 7239), read from right to left as far as forwarded_allow_ips trusts who is named. "
        "HOPS: believe so many proxies at the most; one where '*' trusts everybody. A number alone goes with "
        "x-forwarded-for.",
    )
    pythonpath = Setting(
        "--pythonpath",
        parse=optional_text,
        default=None,
        metavar="DIRECTORIES",
        help="Directories to import from, separated by commas.",
    )
    paste = Setting(
        "--paste",
        "--paster",
        parse=optional_text,
        default=None,
        metavar="FILE",
        help="Serve the application of this PasteDeploy configuration: FILE.ini or FILE.ini#NAME.",
    )
    proxy_protocol = Setting(
        "--proxy-protocol",
        parse=proxy_protocol,
        default="off",
        metavar="MODE",
        nargs="?",
        const="auto",
        help="Understand the PROXY protocol, in these versions: off, v1, v2 or auto. "
        "A connection that begins without it is served as well.",
    )
    proxy_allow_ips = Setting(
        "--proxy-allow-from",
        parse=networks,
        default="127.0.0.1,::1",
        metavar="ADDRESSES",
        help="Who may use the PROXY protocol: addresses and networks with commas between them, or '*'. "
        "Who connects to a unix socket always may.",
    )
    protocol = Setting(
        "--protocol",
        parse=choice("http", "uwsgi"),
        refuse=refuse_protocol,
        default="http",
        metavar="NAME",
        help="The protocol of clients: http.",
    )
    uwsgi_allow_ips = Setting(
        "--uwsgi-allow-from",
        parse=listed,
        default="127.0.0.1,::1",
        metavar="ADDRESSES",
        no_effect="the uwsgi protocol is not spoken here",
        help="Who may speak it in gunicorn.",
    )
    raw_paste_global_conf = Setting(
        "--paste-global",
        parse=assignments,
        default=(),
        metavar="NAME=VALUE",
        action="append",
        help="Set a global of the PasteDeploy configuration. May be given several times.",
    )
    permit_obsolete_folding = Setting(
        "--permit-obsolete-folding",
        parse=boolean,
        default=False,
        action="store_true",
        help="Accept header fields that are folded over several lines, but for those that frame or route.",
    )
    strip_header_spaces = Setting(
        "--strip-header-spaces",
        parse=boolean,
        default=False,
        action="store_true",
        help="Accept white space between a field's name and its colon, but for fields that frame or route.",
    )
    permit_unconventional_http_method = Setting(
        "--permit-unconventional-http-method",
        parse=boolean,
        default=False,
        action="store_true",
        help="Accept methods of any length, and with small letters.",
    )
    permit_unconventional_http_version = Setting(
        "--permit-unconventional-http-version",
        parse=boolean,
        default=False,
        action="store_true",
        help="Accept other versions than 1.0 and 1.1, as one of these.",
    )
    casefold_http_method = Setting(
        "--casefold-http-method",
        parse=boolean,
        default=False,
        action="store_true",
        help="Turn methods into capitals. Small letters need --permit-unconventional-http-method.",
    )
    forwarder_headers = Setting(
        "--forwarder-headers",
        parse=field_names,
        default="SCRIPT_NAME,PATH_INFO",
        metavar="NAMES",
        help="Header fields with an underscore that a trusted proxy may send, with commas between them, "
        "or '*'.",
    )
    header_map = Setting(
        "--header-map",
        parse=choice("drop", "refuse", "dangerous"),
        default="drop",
        metavar="MODE",
        help="What to do with other header fields that have an underscore in their name: drop them, refuse "
        "the request, or (dangerous) give them to the application, where they pass for those with a hyphen.",
    )
    root_path = Setting(
        "--root-path",
        parse=text,
        default="",
        metavar="PATH",
        no_effect="for WSGI applications it is the environment variable SCRIPT_NAME",
        help="Where an ASGI application is mounted.",
    )
