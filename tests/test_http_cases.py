"""The corpus and the oracle: tests/cases given to everything that reads requests here, in every cut."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from corpus import Case, all_cases, escaped, unescaped
from oracle import Rules, events
from readers import CALLBACKS_SAY, callback_parser, request_parser, with_whole_trailers

from fastwsgi.http import Limits

# the switches of the server for lenient clients are none of the library's
CASES = [case for case in all_cases() if case.limits.keys() <= {rule.name for rule in fields(Rules)}]
ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "http.md"
ERRORS = ROOT / "csrc" / "fw_error.h"
NEXT = b"GET /n HTTP/1.1\r\nHost: n\r\n\r\n"
NEXT_EVENTS = ["request GET /n 1.1", "field host: n", "end"]
LONG = 2000
"""Of an input that is longer, not every cut is tried."""


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, in two at every place."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for at in range(1, len(data)):
        if len(data) <= LONG or at < 100 or at > len(data) - 100 or at % 97 == 0:
            yield [data[:at], data[at:]]


def by_name(case: Case) -> str:
    return case.name


def test_the_corpus_is_read() -> None:
    assert len(CASES) > 400


def test_every_refusal_of_the_rules_has_a_case() -> None:
    rules = DOCUMENT.read_text().split("## Where others differ")[0]
    names = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", rules))
    table = set(re.findall(r"^ +X\((\w+),", ERRORS.read_text(), re.MULTILINE))
    # a case has no clock, no proxy in front, no disk and no mount point
    refusals = {
        name
        for name in names & table
        if not re.search("_TIMEOUT$|_RATE$|^PROXY_|^SCHEME_|^NO_SPACE$|^NOT_MOUNTED$", name)
    }
    assert len(refusals) > 30
    assert refusals <= {case.events[-1].split()[-1] for case in CASES if case.events}


def test_bytes_are_written_so_that_they_can_be_read() -> None:
    data = bytes(range(256)) + b"a" * 40 + b"\r" * 32 + b"\\{3*x}"
    assert unescaped(escaped(data).encode()) == data


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_the_oracle_agrees(case: Case) -> None:
    assert events(case.data, Rules(**case.limits)) == case.events


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_request_parser_agrees_in_every_cut(case: Case) -> None:
    limits = Limits(**case.limits)
    for pieces in cuts(case.data):
        assert request_parser(pieces, limits) == with_whole_trailers(case.events)


@pytest.mark.parametrize("case", [case for case in CASES if case.events[-1:] != ["more"]], ids=by_name)
def test_the_next_request_is_the_next_request(case: Case) -> None:
    wanted = with_whole_trailers(case.events) + (NEXT_EVENTS if case.events[-1:] in ([], ["end"]) else [])
    limits = Limits(**case.limits)
    assert request_parser([case.data + NEXT], limits) == wanted
    assert request_parser([case.data, NEXT], limits) == wanted
    assert with_whole_trailers(events(case.data + NEXT, Rules(**case.limits))) == wanted


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_the_callback_parser_agrees_in_every_cut(case: Case) -> None:
    wanted = [line for line in case.events if line.startswith((*CALLBACKS_SAY, "4", "5"))]
    if "close" in wanted and "end" in wanted[wanted.index("close") :]:
        # the interface has no more to say once the connection's last request is whole
        wanted = wanted[: wanted.index("end", wanted.index("close")) + 1]
    limits = Limits(**case.limits)
    for pieces in cuts(case.data):
        assert callback_parser(pieces, limits) == wanted
