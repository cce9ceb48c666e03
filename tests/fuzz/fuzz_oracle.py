"""RequestParser against the oracle, guided by what the oracle's code does: a target for atheris.

    pip install atheris
    make -C tests/fuzz build/seeds
    python tests/fuzz/fuzz_oracle.py -max_total_time=60 CORPUS tests/fuzz/build/seeds

CORPUS is a folder, perhaps an empty one. An input is a stream of requests, its length says in which pieces it
is fed. It promises that both give the same events, whatever the pieces.
"""

import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

with atheris.instrument_imports(include=["oracle"]):
    from oracle import Rules, events

from readers import request_parser, with_whole_trailers

from fastwsgi.http import Limits

# small, so that short inputs reach them
LIMITS = {
    "line": 60,
    "fields": 6,
    "field_size": 80,
    "head": 300,
    "chunk_line": 40,
    "trailer": 100,
    "body": 200,
}


def test_one_input(data: bytes) -> None:
    size = len(data) % 37 + 1
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    wanted = with_whole_trailers(events(data, Rules(**LIMITS)))
    for way in ([data], pieces):
        assert request_parser(way, Limits(**LIMITS)) == wanted


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
