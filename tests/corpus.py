"""The cases of tests/cases, and how events are written there: tests/cases/README.md has the format."""

import re
from dataclasses import dataclass, field
from pathlib import Path

CASES = Path(__file__).parent / "cases"
SHORT = {"\r": "\\r", "\n": "\\n", "\t": "\\t", "\\": "\\\\"}
RUN = 32
"""A run of one byte that is as long as this is written as a repetition."""


@dataclass
class Case:
    name: str
    limits: dict[str, int] = field(default_factory=dict)
    data: bytes = b""
    events: list[str] = field(default_factory=list)


def unescaped(text: bytes) -> bytes:
    """The bytes that a line stands for."""
    out, at = b"", 0
    while at < len(text):
        piece, at = _piece(text, at)
        out += piece
    return out


def _piece(text: bytes, at: int) -> tuple[bytes, int]:
    """One byte, escape or repetition, and where the next begins."""
    if text[at : at + 1] != b"\\":
        return text[at : at + 1], at + 1
    mark = text[at + 1 : at + 2]
    if mark == b"x":
        return bytes([int(text[at + 2 : at + 4], 16)]), at + 4
    if mark != b"{":
        return {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}[mark], at + 2
    star = text.index(b"*", at)
    times, at, out = int(text[at + 2 : star]), star + 1, b""
    while text[at : at + 1] != b"}":
        piece, at = _piece(text, at)
        out += piece
    return out * times, at + 1


def escaped(data: bytes) -> str:
    """Bytes as the events have them."""
    out = []
    for run in re.finditer(rb"(?s)(.)\1*", data):
        byte, count = run[1][0], len(run[0])
        one = SHORT.get(chr(byte)) or (chr(byte) if 0x20 <= byte <= 0x7E else f"\\x{byte:02X}")
        out.append(f"\\{{{count}*{one}}}" if count >= RUN else one * count)
    return "".join(out)


def http_line(line: bytes) -> bytes:
    """A line of an http block: CR LF is its end, but for one that ends in a backslash of its own."""
    whole = re.fullmatch(rb"((?:[^\\]|\\.)*)(\\?)", line)
    assert whole, line
    return unescaped(whole[1]) + (b"" if whole[2] else b"\r\n")


def read(path: Path) -> list[Case]:
    cases: list[Case] = []
    block = None
    for line in path.read_bytes().split(b"\n"):
        if block is None and line.startswith(b"## "):
            cases.append(Case(f"{path.stem}: {line[3:].decode()}"))
        elif line.startswith(b"```"):
            block = line[3:].decode() if block is None else None
        elif block == "http":
            cases[-1].data += http_line(line)
        elif block == "events":
            cases[-1].events.append(line.decode())
        elif block == "limits":
            name, _, value = line.decode().partition(" ")
            cases[-1].limits[name] = int(value or 1)
    return cases


def all_cases() -> list[Case]:
    return [case for path in sorted(CASES.glob("*.md")) if path.stem != "README" for case in read(path)]
