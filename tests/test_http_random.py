"""Requests that are valid, and requests that are nearly so: the parser and the oracle have to agree on each.

A stream is built from parts, so that what fails shrinks to few and short ones. There are two kinds: one whose
parts may be anything, and then a few bytes of it are changed; and one that is valid for certain, which is
looked at as it is and with a single fault.
"""

from dataclasses import asdict
from typing import TypeVar

from corpus import escaped
from hypothesis import example, given, note, settings
from hypothesis import strategies as st
from oracle import Rules, events
from readers import CALLBACKS_SAY, callback_parser, request_parser, with_whole_trailers

from fastwsgi.http import Limits

T = TypeVar("T")


def mostly(good: st.SearchStrategy[T], bad: st.SearchStrategy[T], one_in: int = 20) -> st.SearchStrategy[T]:
    """`good`, and once in a while `bad`; what fails shrinks to good ones."""
    return st.integers(1, one_in).flatmap(lambda number: bad if number == one_in else good)


def one_of(words: str) -> st.SearchStrategy[bytes]:
    """One of the words between bars."""
    return st.sampled_from(words.encode("latin-1").split(b"|"))


def text_of(letters: str, least: int, most: int) -> st.SearchStrategy[bytes]:
    return st.text(letters, min_size=least, max_size=most).map(lambda text: text.encode("latin-1"))


CRLF = st.just(b"\r\n")
LINE_ENDS = mostly(CRLF, one_of("\n|\r|\r\r\n|\x00\r\n"), 60)
TOKENS = text_of("abAB19!#$%&'*+-.^_`|~", 1, 12)
OWS = one_of(" ||\t|  \t ")
VALUES = text_of('ab1 ,;="\\\t:/\x80\xff', 0, 12)
LISTS = st.lists(one_of("close|keep-alive|upgrade|Upgrade|Close|a|| "), max_size=3).map(b",".join)

METHODS = mostly(one_of("GET|POST|PUT|M-SEARCH"), one_of("GE|get|OPTIONS|CONNECT") | TOKENS)
VERSIONS = mostly(one_of("HTTP/1.1|HTTP/1.1|HTTP/1.0"), one_of("HTTP/1.2|HTTP/2.0|HTTP/11|http/1.1|"))
GOOD_HOSTS = one_of("a|a:80|[::1]|[::1]:8|1.2.3.4|a:|[v1.a]|a%2fb|[1:2:3:4:5:6:7:8]|[::1.2.3.4]|A_~b")
BAD_HOSTS = one_of(":1|a:65536|[::1%1]|a%2|a@b|a/b|[::g]|[|a b|[:]|[]|[::1]a|a:b")
HOSTS = mostly(GOOD_HOSTS, BAD_HOSTS)
PATHS = text_of("a/?#%20.:@*[]", 0, 10).map(lambda text: b"/" + text)
URLS = st.builds(
    lambda scheme, host, path: scheme + b"://" + host + path,
    mostly(one_of("http|HTTPS|a+1.-"), one_of("1a|")),
    HOSTS,
    PATHS | one_of("|?q|#f"),
)
TARGETS = mostly(PATHS | URLS, HOSTS | one_of("*|a|a:80|**|/\xc3|http:/a|?a|"))
REQUEST_LINES = mostly(
    st.tuples(METHODS, TARGETS, VERSIONS),
    st.sampled_from([(b"CONNECT", b"a:80", b"HTTP/1.1"), (b"OPTIONS", b"*", b"HTTP/1.1")]),
    10,
)

HARMLESS = st.one_of(
    st.tuples(TOKENS, VALUES),
    st.tuples(one_of("Accept|COOKIE|user-agent|X-Own|x_own|Host2"), VALUES),
    st.tuples(one_of("Connection|CONNECTION"), LISTS),
    st.tuples(st.just(b"Upgrade"), st.just(b"websocket")),
)
FRAMING = st.one_of(
    st.tuples(one_of("Host|hOST"), GOOD_HOSTS | BAD_HOSTS | st.just(b"")),
    st.tuples(st.just(b"Content-Length"), one_of("3|0|03|+3|3,3||9223372036854775808|99999999999999999999")),
    st.tuples(
        one_of("Transfer-Encoding|TRANSFER-ENCODING"),
        one_of("chunked|CHUNKED|gzip, chunked|chunked;a|identity|, chunked|chunked, chunked|"),
    ),
    st.tuples(st.just(b"Expect"), one_of("100-continue|100-Continue|a")),
    st.tuples(one_of("Content-Type|Authorization|TE"), VALUES),
)
FIELDS = st.builds(
    lambda pair, colon, before, after, end: pair[0] + colon + before + pair[1] + after + end,
    mostly(HARMLESS, FRAMING, 8),
    mostly(st.just(b":"), one_of(" :||\t:|_:"), 60),
    OWS,
    OWS,
    LINE_ENDS,
)

DATA = st.binary(max_size=20)
SIZES = mostly(
    st.sampled_from(["{:x}", "{:X}", "00{:x}"]),
    st.sampled_from(["{:d}", "0x{:x}", "-{:x}", "", "8{:015x}", "7{:015x}"]),
)
EXTENSIONS = mostly(
    one_of('|||;a| ;a=b|;a="b\\"c"|;a = b ;c|;a=""'),
    one_of(';| |;a=|;a="|;a b|;a |a|;a=\xff|;"a"|;a="b"c|;;a'),
)
CHUNKS = st.builds(
    lambda data, size, extension, end, data_end: (
        size.format(len(data)).encode() + extension + end + data + data_end
    ),
    DATA.filter(bool),
    SIZES,
    EXTENSIONS,
    LINE_ENDS,
    LINE_ENDS,
)
CHUNKED = st.builds(
    lambda chunks, last, trailers, end: b"".join(chunks) + last + b"".join(trailers) + end,
    st.lists(CHUNKS, max_size=3),
    mostly(one_of("0\r\n|00;a\r\n"), one_of("0\n|0 \r\n|")),
    st.lists(FIELDS, max_size=3),
    LINE_ENDS,
)
# a field that frames, and what follows the head
BODIES = mostly(
    st.one_of(
        st.tuples(st.just(b""), st.just(b"")),
        st.tuples(st.just(b"Content-Length: 3\r\n"), st.just(b"abc")),
        st.tuples(st.just(b"Transfer-Encoding: chunked\r\n"), CHUNKED),
        st.tuples(st.just(b"Expect: 100-continue\r\nContent-Length: 0\r\n"), st.just(b"")),
    ),
    st.tuples(one_of("|Transfer-Encoding: chunked\r\n|Content-Length: 3\r\n"), DATA),
)


REQUESTS = st.builds(
    lambda front, line, space, end, host, fields, body, blank: b"".join(
        [front, space.join(line), end, host, *fields, body[0], blank, body[1]]
    ),
    mostly(one_of("|\r\n"), one_of("\r\n\r\n|\n|\r")),
    REQUEST_LINES,
    mostly(st.just(b" "), one_of("  |\t|"), 60),
    LINE_ENDS,
    mostly(st.builds(b"Host: %b\r\n".__mod__, HOSTS), st.just(b"")),
    st.lists(FIELDS, max_size=4),
    BODIES,
    LINE_ENDS,
)
CHANGES = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 2), st.sampled_from(b'\r\n\t :,;\x00\x7f\x80aA0"_')),
    max_size=3,
)


def change(data: bytes, changes: list[tuple[int, int, int]]) -> bytes:
    """Put a byte in, or in place of one or two; places behind the end count from the start again."""
    for place, replaced, byte in changes:
        at = place % (len(data) + 1)
        data = data[:at] + bytes([byte]) + data[at + replaced :]
    return data


STREAMS = st.builds(
    change, st.lists(REQUESTS, min_size=1, max_size=3).map(b"".join), mostly(st.just([]), CHANGES, 4)
)
# ---- valid for certain ----

GOOD_FIELDS = st.one_of(
    st.tuples(TOKENS, VALUES),
    st.tuples(one_of("Accept|Cookie|user-agent|X-Own|x_own|Content-Type2"), VALUES),
    st.tuples(st.just(b"Connection"), one_of("keep-alive|upgrade|a, b")),
).map(lambda pair: pair[0] + b":" + pair[1] + b"\r\n")
GOOD_CHUNKS = st.builds(
    lambda data, size, extension: size.format(len(data)).encode() + extension + b"\r\n" + data + b"\r\n",
    DATA.filter(bool),
    st.sampled_from(["{:x}", "{:X}", "00{:x}"]),
    one_of('|||;a| ;a=b|;a="b\\"c"|;a = b ;c|;a=""|;a="\xe4;\\\xff"'),
)
GOOD_TRAILERS = st.tuples(one_of("X-Sum|etag|A"), VALUES).map(
    lambda pair: pair[0] + b": " + pair[1] + b"\r\n"
)
GOOD_CHUNKED = st.builds(
    lambda chunks, last, trailers: b"".join(chunks) + last + b"".join(trailers) + b"\r\n",
    st.lists(GOOD_CHUNKS, max_size=3),
    one_of("0\r\n|000 ;a\r\n"),
    st.lists(GOOD_TRAILERS, max_size=3),
)
GOOD_BODIES = st.one_of(
    st.just((b"", b"")),
    DATA.map(lambda data: (b"Content-Length: %d\r\n" % len(data), data)),
    GOOD_CHUNKED.map(lambda data: (b"Transfer-Encoding: chunked\r\n", data)),
    GOOD_CHUNKED.map(lambda data: (b"Expect: 100-continue\r\nTransfer-Encoding:\tCHUNKED \r\n", data)),
)
GOOD_REQUESTS = st.builds(
    lambda front, line, before, behind, body: (
        front + line + b"".join(before) + b"Host: a\r\n" + b"".join(behind) + body[0] + b"\r\n" + body[1]
    ),
    one_of("||\r\n"),
    st.sampled_from(
        [
            b"GET / HTTP/1.1\r\n",
            b"POST /a?b%20#c HTTP/1.1\r\n",
            b"PUT http://a:80/b HTTP/1.1\r\n",
            b"OPTIONS * HTTP/1.1\r\n",
        ]
    ),
    st.lists(GOOD_FIELDS, max_size=3),
    st.lists(GOOD_FIELDS, max_size=2),
    GOOD_BODIES,
)

FAULTS = ("drop", "double", "exchange", "put", "replace", "cut", "other case", "drop line", "double line")


def with_fault(data: bytes, fault: str, place: int, byte: int) -> bytes:
    """One thing at one place is not as it should be."""
    at = place % len(data)
    front, here, behind = data[:at], data[at : at + 1], data[at + 1 :]
    line_start, line_end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at) + 1 or len(data)
    line = data[line_start:line_end]
    return {
        "drop": front + behind,
        "double": front + here + here + behind,
        "exchange": front + behind[:1] + here + behind[1:],
        "put": front + bytes([byte]) + here + behind,
        "replace": front + bytes([byte]) + behind,
        "cut": front,
        "other case": front + here.swapcase() + behind,
        "drop line": data[:line_start] + data[line_end:],
        "double line": data[:line_start] + line + line + data[line_end:],
    }[fault]


NEAR_MISSES = st.builds(
    with_fault,
    st.lists(GOOD_REQUESTS, min_size=1, max_size=3).map(b"".join),
    st.sampled_from(FAULTS),
    st.integers(0, 600),
    st.sampled_from(b'\r\n\t :,;=\x00\x0b\x7f\x80\xffaA0g"\\_/#%'),
)

# ---- rules and pieces ----

SMALL_RULES = st.builds(
    Rules,
    line=st.integers(0, 30),
    fields=st.integers(0, 4),
    field_size=st.integers(0, 30),
    head=st.integers(1, 120),
    chunk_line=st.integers(3, 12),
    trailer=st.integers(0, 40),
    body=st.integers(0, 12),
    any_method=st.integers(0, 1),
    refuse_underscore=st.integers(0, 1),
)
RULES = mostly(st.just(Rules()), SMALL_RULES, 4)
CUTS = st.lists(st.integers(1, 40), max_size=12)


def pieces_of(data: bytes, sizes: list[int]) -> list[bytes]:
    """`data` in pieces of these sizes, again and again; whole without any."""
    pieces = []
    while data and sizes:
        for size in sizes:
            pieces.append(data[:size])
            data = data[size:]
    return [*pieces, data]


def limits_of(rules: Rules) -> Limits:
    given_rules = asdict(rules)
    switches = {name: bool(given_rules.pop(name)) for name in ("any_method", "refuse_underscore")}
    return Limits(**given_rules, **switches)


@settings(max_examples=800, deadline=None)
@given(STREAMS, RULES, CUTS)
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Rules(), [1])
def test_request_parser_and_oracle_agree(data: bytes, rules: Rules, sizes: list[int]) -> None:
    note(escaped(data))
    wanted = with_whole_trailers(events(data, rules))
    assert request_parser(pieces_of(data, sizes), limits_of(rules)) == wanted


@settings(max_examples=250, deadline=None)
@given(STREAMS, RULES, CUTS)
@example(b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n", Rules(), [])
@example(b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n", Rules(), [9])
def test_the_callback_parser_and_the_oracle_agree(data: bytes, rules: Rules, sizes: list[int]) -> None:
    note(escaped(data))
    wanted = [line for line in events(data, rules) if line.startswith((*CALLBACKS_SAY, "4", "5"))]
    if "close" in wanted and "end" in wanted[wanted.index("close") :]:
        # the interface has no more to say once the connection's last request is whole
        wanted = wanted[: wanted.index("end", wanted.index("close")) + 1]
    assert callback_parser(pieces_of(data, sizes), limits_of(rules)) == wanted


@settings(max_examples=200, deadline=None)
@given(st.lists(GOOD_REQUESTS, min_size=1, max_size=4), CUTS)
def test_what_is_meant_to_be_valid_is(requests: list[bytes], sizes: list[int]) -> None:
    data = b"".join(requests)
    note(escaped(data))
    said = request_parser(pieces_of(data, sizes), Limits())
    assert said.count("end") == len(requests) and said[-1] == "end"
    assert said == with_whole_trailers(events(data, Rules()))


@settings(max_examples=800, deadline=None)
@given(NEAR_MISSES, CUTS)
@example(b"GET / HTTP/1.0\r\n" + b"N" * 36 + b"n:\r\n\r\n", [])
def test_a_single_fault_is_judged_alike(data: bytes, sizes: list[int]) -> None:
    note(escaped(data))
    assert request_parser(pieces_of(data, sizes), Limits()) == with_whole_trailers(events(data, Rules()))


@settings(max_examples=250, deadline=None)
@given(st.binary(max_size=60), CUTS)
def test_any_bytes_at_all(data: bytes, sizes: list[int]) -> None:
    assert request_parser(pieces_of(data, sizes), Limits()) == with_whole_trailers(events(data, Rules()))
