"""No input costs the core more than a constant times its bytes: instructions, counted by callgrind."""

import pytest

from bench.complexity import Cost, build, count, faults


@pytest.fixture(scope="module")
def costs() -> list[Cost]:
    build()
    return count(divisor=8)  # the limits are for the bench, which takes longer


def test_cost_is_linear_in_bytes_whatever_the_pieces(costs: list[Cost]) -> None:
    assert len({cost.kind for cost in costs}) > 20
    assert faults(costs) == []


def test_what_is_not_linear_is_seen() -> None:
    assert faults([Cost("good", 500, 1, 50_000), Cost("good", 1000, 1, 100_000)]) == []
    assert (
        "4.00 times the cost" in faults([Cost("square", 500, 1, 2_500), Cost("square", 1000, 1, 10_000)])[0]
    )
    assert "a byte" in faults([Cost("dear", 1000, 1, 1_000_000)])[0]
    assert "pieces" in faults([Cost("again", 1000, 1, 5_000), Cost("again", 1000, 1000, 9_000_000)])[0]
