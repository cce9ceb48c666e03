"""Where h11 and llhttp differ from us: exactly where docs/http.md says so, and says why."""

import re
from pathlib import Path

import pytest
from corpus import Case, all_cases
from peers import PEERS, ours

DOCUMENT = Path(__file__).parent.parent / "docs" / "http.md"
# with limits of its own a case says nothing of others
CASES = [case for case in all_cases() if not case.limits]
Differences = dict[str, set[str]]


def tables() -> dict[str, Differences]:
    """The tables of "Where others differ" by their titles: which peers have something said of them, by the
    first cell of the row."""
    section = DOCUMENT.read_text().split("## Where others differ")[1]
    found: dict[str, Differences] = {}
    for title, lines in re.findall(r"^(What .*):\n\n((?:\|.*\n)+)", section, re.MULTILINE):
        heads, _, *rows = [
            [cell.strip() for cell in line.strip("|\n").split("|")] for line in lines.splitlines()
        ]
        for row in rows:
            assert len(row) == len(heads), row
            assert "RFC" in row[-1] or row[-1] == "as above", f"no reason: {row}"
        found[title] = {
            row[0].strip("`"): {name for name, cell in zip(heads, row, strict=True) if cell and name in PEERS}
            for row in rows
        }
    return found


TABLES = tables()


@pytest.fixture(scope="module")
def differences() -> dict[str, Differences]:
    """What the tables ought to say."""
    refused: Differences = {}
    accepted: Differences = {}
    different: Differences = {}
    for case in CASES:
        for name in PEERS:
            compare(case, name, refused, accepted, different)
    return {
        "What we refuse and another takes for a whole message": refused,
        "What we accept and one of them refuses": accepted,
        "What is accepted by both and read differently": different,
    }


def compare(
    case: Case, name: str, refused: Differences, accepted: Differences, different: Differences
) -> None:
    we, they = ours(case.data), PEERS[name](case.data)
    if we.refusal:
        # one that waits for more has not accepted anything
        if not they.refusal and len(they.messages) > len(we.messages):
            refused.setdefault(we.refusal, set()).add(name)
    elif they.refusal:
        accepted.setdefault(case.name, set()).add(name)
    elif we.messages != they.messages:
        different.setdefault(case.name, set()).add(name)


def test_there_are_three_tables(differences: dict[str, Differences]) -> None:
    assert TABLES.keys() == differences.keys()


@pytest.mark.parametrize("title", TABLES)
def test_the_table_is_what_is_found(title: str, differences: dict[str, Differences]) -> None:
    assert TABLES[title] == differences[title]
