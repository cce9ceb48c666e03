"""Our table of settings beside that of the installed gunicorn: names, flags, defaults, values, hooks."""

import inspect
import os

import pytest
from gunicorn import config as theirs

from fastwsgi.errors import ConfigError
from fastwsgi.settings import Layer, Settings, declared
from fastwsgi.settings.arguments import make_parser
from fastwsgi.settings.hooks import nothing

THEIRS = theirs.make_settings()

# What gunicorn does not have.
OURS = {
    "head_timeout",
    "body_timeout",
    "min_body_rate",
    "write_timeout",
    "min_write_rate",
    "linger",
    "limit_request_body",
    "body_memory",
    "output_buffer",
    "stream_request_body",
    "stream_request_paths",
    "forwarded_for",
}
# Where our default is another, and why.
DEFAULTS = {
    "config": "./fastwsgi.conf.py is looked for before gunicorn's",
    "keepalive": "an idle connection holds no worker, and proxies in front expect more than 2 s",
    "logger_class": "our own",
    "default_proc_name": "our own",
    "sendfile": "None means on: there it is a value of its own, and True switches it off",
    "ssl_version": "it has no effect, and its default would bring in the module ssl",
    "control_socket": "there is none",
}
# Values that gunicorn takes and we refuse, and why: to serve on as if they were not there would not be safe.
REFUSED = {
    "certfile": ("cert.pem", "TLS is not built yet"),
    "keyfile": ("key.pem", "TLS is not built yet"),
    "protocol": ("uwsgi", "the uwsgi protocol is not spoken here"),
    "worker_class": ("gevent", "no such worker"),
}


def test_every_setting_is_there_and_no_other() -> None:
    assert declared().keys() - OURS == THEIRS.keys()


@pytest.mark.parametrize("name", THEIRS)
def test_section_and_flags(name: str) -> None:
    assert declared()[name].section == THEIRS[name].section
    assert declared()[name].flags == tuple(THEIRS[name].cli or ())


@pytest.mark.parametrize("name", [name for name in THEIRS if THEIRS[name].cli])
def test_what_flags_take(name: str) -> None:
    [ours] = [action for action in make_parser()._actions if action.dest == name]
    [other] = [action for action in theirs.Config().parser()._actions if action.dest == name]
    assert type(ours) is type(other)
    assert (ours.nargs, ours.const, ours.option_strings) == (other.nargs, other.const, other.option_strings)


def plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", [name for name in THEIRS if not callable(THEIRS[name].default)])
def test_defaults(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", os.getcwd())
    same = plain(Settings().entries[name].value) == THEIRS[name].get()
    if name == "chdir":
        # gunicorn's is the directory in which its module was imported
        assert Settings().chdir == os.getcwd()
    else:
        assert same == (name not in DEFAULTS), (Settings().entries[name].value, THEIRS[name].get())


@pytest.mark.parametrize("name", [name for name in THEIRS if callable(THEIRS[name].default)])
def test_hooks_take_what_gunicorns_take(name: str) -> None:
    parameters = list(inspect.signature(THEIRS[name].default).parameters)
    assert declared()[name].metavar == ", ".join(parameters)
    if name != "ssl_context":
        assert getattr(Settings(), name) is nothing

    def called(*arguments: object) -> tuple[object, ...]:
        return arguments

    exact = eval(f"lambda {', '.join(parameters)}: ({', '.join(parameters)},)")
    for function in (called, exact):
        hook = getattr(Settings([Layer("test", {name: function})]), name)
        arguments = tuple(range(len(parameters)))
        assert hook(*arguments) == arguments
    with pytest.raises(ConfigError, match="expected a function of"):
        Settings([Layer("test", {name: lambda: None})])


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_be_safe_to_ignore_is_refused(name: str) -> None:
    value, reason = REFUSED[name]
    THEIRS[name].set(value)  # gunicorn takes it
    with pytest.raises(ConfigError, match=reason):
        Settings([Layer("test", {name: value})])


# What both have to make the same of.
VALUES = [
    ("workers", "0x10"),
    ("timeout", 7),
    ("timeout", " 8 "),
    ("backlog", "0o17"),
    ("reload", "true"),
    ("reload", " False "),
    ("reload", True),
    ("umask", 0o22),
    ("user", "0"),
    ("user", "root"),
    ("user", None),
    ("group", "root"),
    ("bind", "a:1"),
    ("bind", ["a:1", "unix:/b"]),
    ("raw_env", ["A=b"]),
    ("forwarded_allow_ips", "10.0.0.0/8, ::1"),
    ("forwarded_allow_ips", "*"),
    ("forwarder_headers", "A_B, C_D"),
    ("forwarder_headers", ""),
    ("header_map", "REFUSE"),
    ("statsd_host", "localhost"),
    ("statsd_host", "localhost:1"),
    ("statsd_host", "unix:///run/statsd"),
    ("statsd_host", "unix:8125"),
    ("statsd_host", "[::1]"),
    ("http_protocols", "h2, h1"),
    ("http2_cleartext", True),
    ("proxy_protocol", False),
    ("proxy_protocol", "none"),
    ("secure_scheme_headers", {"X-A": "on"}),
    ("asgi_loop", None),
    ("errorlog", " - "),
    ("control_socket_mode", 0o600),
]


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_values_mean_the_same(name: str, value: object) -> None:
    other = theirs.make_settings()[name]
    other.set(value)
    assert plain(getattr(Settings([Layer("test", {name: value})]), name)) == plain(other.get())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", "many"),
        ("workers", -1),
        ("workers", 1.5),
        ("reload", "yes"),
        ("reload", 1),
        ("user", "no such user"),
        ("group", "no such group"),
        ("forwarded_allow_ips", "10.0.0.1/8"),
        ("forwarded_allow_ips", "localhost"),
        ("header_map", "keep"),
        ("http_protocols", "h3"),
        ("http_protocols", ["h1"]),
        ("http_protocols", "h1,h1"),
        ("http2_max_frame_size", 1),
        ("http2_max_concurrent_streams", 0),
        ("proxy_protocol", "v3"),
        ("secure_scheme_headers", "X-A"),
        ("reload_engine", "guess"),
        ("reload_extra_files", ["/no/such/file"]),
        ("chdir", "/no/such/directory"),
        ("tmp_upload_dir", 5),
        ("bind", [8000]),
        ("statsd_host", 8125),
        ("pre_fork", "no.such.module.hook"),
        ("pre_fork", None),
        ("pre_fork", 5),
        ("asgi_lifespan", "perhaps"),
        ("cert_reqs", -1),
    ],
)
def test_what_gunicorn_refuses_is_refused(name: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError, ImportError, theirs.ConfigError)):
        theirs.make_settings()[name].set(value)
    with pytest.raises(ConfigError):
        Settings([Layer("test", {name: value})])


@pytest.mark.parametrize("written", ["0022", "18", "0x12", "0o22"])
def test_modes_on_the_command_line(written: str) -> None:
    other = theirs.Config()
    other.set("umask", other.parser().parse_args(["--umask", written]).umask)
    assert Settings([Layer("test", {"umask": written})]).umask == other.umask == 0o22
