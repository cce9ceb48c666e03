"""What a loop is told of limits, times and proxies, as the core takes it (`struct fw_loop_config`)."""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from fastwsgi.c_server cimport *

import os
import tempfile

from fastwsgi.proxies import Proxies, fields, networks

# What each field over the default number adds to the longest head, and the longest there ever is.
cdef enum:
    FIELD_SHARE = 1024
    MOST_HEAD = 1 << 30


cdef uint32_t milliseconds(str name, seconds) except? 0xFFFFFFFF:
    if not 0 <= seconds <= 1_000_000:
        raise ValueError(f"{name} is {seconds!r}; it takes seconds, 0 to 1000000")
    return <uint32_t>(seconds * 1000)


cdef uint32_t head_limit(const fw_limits *limits) noexcept:
    """A whole head: the default, and more where settings allow longer lines or more fields than theirs.

    The default is far from what the lines could have together, and every client may fill it. But a limit that
    somebody has raised must not be reached below what it says.
    """
    cdef fw_limits usual = fw_limits_default()
    cdef uint64_t most = usual.head
    most += max(limits.line, usual.line) - usual.line
    most += max(limits.field_size, usual.field_size) - usual.field_size
    most += <uint64_t>(max(limits.fields, usual.fields) - usual.fields) * FIELD_SHARE
    return <uint32_t>min(most, <uint64_t>MOST_HEAD)


cdef class LoopConfig:
    """The arguments of a `Loop` that are for the core alone; `_loop.pyi` says what they mean.

    The board and the access log are the loop's to add.
    """

    def __init__(
        self, *, keepalive=75, head_timeout=30, body_timeout=60, write_timeout=60, linger=2, uint32_t min_body_rate=240,
        uint32_t min_write_rate=240, graceful_timeout=30, leave_idle=2, uint64_t max_requests=0,
        worker_connections=1000, limit_request_line=4094, limit_request_fields=100, limit_request_field_size=8190,
        uint64_t limit_request_body=0, bint stream_request_body=False, tuple stream_request_paths=(),
        size_t body_memory=262_144, size_t output_buffer=1_048_576, tmpdir=None, bytes server=b"", bint own_listeners=False, proxies=None,
        bint permit_obsolete_folding=False, bint strip_header_spaces=False,
        bint permit_unconventional_http_method=False, bint permit_unconventional_http_version=False,
        bint casefold_http_method=False,
    ):
        cdef fw_loop_config *config = &self.core
        cdef bytes directory = os.fsencode(tempfile.gettempdir() if tmpdir is None else tmpdir)
        cdef bytes early_paths = b"".join([path.encode("ascii") + b"\0" for path in stream_request_paths])
        config.limits = fw_limits_default()
        config.limits.line = limit_request_line
        config.limits.fields = limit_request_fields
        config.limits.field_size = limit_request_field_size
        config.limits.rules = (
            (FW_RULE_UNFOLD if permit_obsolete_folding else 0)
            | (FW_RULE_STRIP_NAME if strip_header_spaces else 0)
            | (FW_RULE_ANY_METHOD if permit_unconventional_http_method else 0)
            | (FW_RULE_ANY_VERSION if permit_unconventional_http_version else 0)
            | (FW_RULE_FOLD_CASE if casefold_http_method else 0)
        )
        config.limits.head = head_limit(&config.limits)
        config.limits.body = limit_request_body
        config.timeouts.head_ms = milliseconds("head_timeout", head_timeout)
        config.timeouts.body_ms = milliseconds("body_timeout", body_timeout)
        config.timeouts.keepalive_ms = milliseconds("keepalive", keepalive)
        config.timeouts.write_ms = milliseconds("write_timeout", write_timeout)
        config.timeouts.linger_ms = milliseconds("linger", linger)
        config.timeouts.body_rate = min_body_rate
        config.timeouts.write_rate = min_write_rate
        config.body_early = stream_request_body
        config.early_paths.rows, config.early_paths.len = early_paths, len(early_paths)
        config.body_memory = body_memory
        config.queue_mark = output_buffer
        config.connections = worker_connections
        config.grace_ms = milliseconds("graceful_timeout", graceful_timeout)
        config.leave_idle_ms = milliseconds("leave_idle", leave_idle)
        config.max_requests = max_requests
        config.own_listeners = own_listeners
        config.tmpdir = directory
        config.server = server
        self.kept = (directory, server, early_paths, *set_proxies(config, Proxies() if proxies is None else proxies))


cdef dict PROXY_MODES = {
    "off": <int>FW_PROXY_OFF, "v1": <int>FW_PROXY_V1, "v2": <int>FW_PROXY_V2, "auto": <int>FW_PROXY_AUTO,
}
cdef dict HEADER_MAPS = {
    "drop": <int>FW_UNDERSCORE_DROP,
    "refuse": <int>FW_UNDERSCORE_REFUSE,
    "dangerous": <int>FW_UNDERSCORE_DANGEROUS,
}
cdef dict CLIENT_FIELDS = {"x-forwarded-for": <int>FW_N_X_FORWARDED_FOR, "forwarded": <int>FW_N_FORWARDED}


cdef void set_networks(fw_networks *into, tuple written, bytes table):
    into.each = <const fw_network *><const char *>table
    into.count = <uint32_t>(len(table) // sizeof(fw_network))
    into.all = "*" in written


cdef tuple set_proxies(fw_loop_config *config, proxies):
    """Tell the core whom to believe. Returns what it borrows."""
    cdef fw_forwarded_rules *rules = &config.forwarded
    cdef bytes trusted = networks(proxies.trusted)
    cdef bytes peers = networks(proxies.proxy_protocol_peers)
    cdef bytes schemes = fields(proxies.scheme_headers)
    cdef bytes names = fields(dict.fromkeys([name for name in proxies.names if name != "*"], ""))
    memset(rules, 0, sizeof(fw_forwarded_rules))
    set_networks(&rules.proxies, proxies.trusted, trusted)
    rules.schemes.rows, rules.schemes.len = schemes, len(schemes)
    rules.names.rows, rules.names.len = names, len(names)
    rules.all_names = "*" in proxies.names
    rules.underscore = HEADER_MAPS[proxies.header_map]
    if proxies.forwarded_for is not None:
        rules.client = CLIENT_FIELDS[proxies.forwarded_for.field]
        rules.hops = proxies.forwarded_for.hops
    set_networks(&config.proxy_peers, proxies.proxy_protocol_peers, peers)
    config.proxy_mode = PROXY_MODES[proxies.proxy_protocol]
    return trusted, peers, schemes, names
