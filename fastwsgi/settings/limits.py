"""Settings that gunicorn does not have: how slow a client may be. docs/limits.md says what comes of them."""

from __future__ import annotations

from fastwsgi.settings.declaration import Section, Setting
from fastwsgi.settings.values import count

SLOWEST = 240
"""Bytes a second: what a line of 2400 bit/s carried. Every link that is in use today is faster."""


class TimeLimits(Section):
    section = "Time Limits"

    head_timeout = Setting(
        "--head-timeout",
        parse=count,
        default=30,
        metavar="SECONDS",
        help="How long a client may take from connecting, or from the first byte of a request, to the end of "
        "the request's head; 0: no limit.",
    )
    body_timeout = Setting(
        "--body-timeout",
        parse=count,
        default=60,
        metavar="SECONDS",
        help="How long nothing of a request body may come; 0: no limit.",
    )
    min_body_rate = Setting(
        "--min-body-rate",
        parse=count,
        default=SLOWEST,
        metavar="BYTES",
        help="How many bytes of a request body have to come in a second. Who falls behind by more than "
        "body_timeout is refused; 0: no minimum.",
    )
    write_timeout = Setting(
        "--write-timeout",
        parse=count,
        default=60,
        metavar="SECONDS",
        help="How long a client may take nothing of an answer that waits for it; 0: no limit.",
    )
    min_write_rate = Setting(
        "--min-write-rate",
        parse=count,
        default=SLOWEST,
        metavar="BYTES",
        help="How many bytes of an answer a client has to take in a second, while more wait for it. Who "
        "falls behind by more than write_timeout is cut off; 0: no minimum.",
    )
    linger = Setting(
        "--linger",
        parse=count,
        default=2,
        metavar="SECONDS",
        help="How long what a client still sends to a connection that has its last answer is thrown away, so "
        "that it can read the answer; 0: close at once.",
    )
