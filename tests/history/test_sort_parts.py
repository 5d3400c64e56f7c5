"""The parts of a sort: bounds from bytes, and buckets that are sorted one at a time."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Sequence

import pytest

from jobtui.history.read import sort_keys
from jobtui.history.read.sort_keys import KeyBound, KeyedIds, may_reach, merge_ranks, sort_distinct, sort_rows

NUMBERS = (-1e300, -70_000.0, -3.5, -3.25, -1.0, 0.0, 0.25, 1.0, 2.0**33, 2.0**40 - 1, 2.0**40, 1.7e15)


@pytest.fixture(autouse=True)
def _small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("BUCKET", 8), ("SAMPLE", 2), ("MAX_GROUP", 24)):
        monkeypatch.setattr(sort_keys, name, value)


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("value", NUMBERS)
def test_bound_excludes_nothing_beyond_it(value: float, above: bool) -> None:
    bound = KeyBound(value, above=above)
    numbers = array("d", NUMBERS)
    maybe, met = bound.may_be_beyond(numbers), bound.is_met_by(numbers)
    for number, chosen, same in zip(numbers, maybe, met, strict=True):
        assert same == (number == value)
        assert chosen or not (number > value if above else number < value)


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("value", NUMBERS)
def test_a_bound_finds_close_numbers_beyond_it(value: float, above: bool) -> None:
    close = [math.nextafter(value, -math.inf), value, math.nextafter(value, math.inf)]
    numbers = array("d", sorted({*NUMBERS, *close}))
    found = KeyBound(value, above=above).is_beyond(numbers)
    assert list(map(bool, found)) == [number > value if above else number < value for number in numbers]


@pytest.mark.parametrize("value", [number for number in NUMBERS if number])
def test_bound_excludes_most_of_the_rest(value: float) -> None:
    below, above = (KeyBound(value, above=above).may_be_beyond(array("d", NUMBERS)) for above in (False, True))
    assert all(
        first != second
        for first, second, number in zip(below, above, NUMBERS, strict=True)
        if _far(number, value)
    )


def _far(number: float, other: float) -> bool:
    return abs(number - other) > abs(other) / 10


def test_numbers_reach_a_value_or_are_far_below_it() -> None:
    assert may_reach(array("d", [1.0, 2.0**40]), 2.0**40)
    assert may_reach(array("d", [1e300]), 2.0**40)
    assert not may_reach(array("d", [-1.0, 0.0, 1e6, -1e300]), 2.0**40)
    assert not may_reach(array("d"), 2.0**40)


def _parts(rng: random.Random, overlapping: bool) -> list[list[int]]:
    ids = list(range(1, 400))
    if overlapping:
        rng.shuffle(ids)
    return [sorted(ids[at : at + 9]) for at in range(0, len(ids), 9)]


def _pairs(rows: KeyedIds) -> list[tuple[float, int]]:
    return list(zip(rows.keys, rows.ids, strict=True))


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("values", [[1.0], [0.0, 1.0, 2.0], [-2.5, 7.0, *map(float, range(100))]])
def test_parts_are_sorted_by_key_and_then_by_id(values: Sequence[float], overlapping: bool) -> None:
    rng = random.Random(3)
    parts = _parts(rng, overlapping)
    pairs = [[(rng.choice(values), job_id) for job_id in ids] for ids in parts]
    loaded = [
        KeyedIds(array("d", [key for key, _ in part]), array("I", [job_id for _, job_id in part]))
        for part in pairs
    ]
    rng.shuffle(loaded)
    assert _pairs(sort_rows(loaded)) == sorted(pair for part in pairs for pair in part)


@pytest.mark.parametrize("overlapping", [False, True])
def test_ranks_are_put_in_order_each_with_its_ids(overlapping: bool) -> None:
    rng = random.Random(4)
    parts = _parts(rng, overlapping)
    ranks = {0.0: parts[::3], 2048.0: parts[1::3], 1024.0: parts[2::3]}
    found = merge_ranks({rank: [array("Q", ids) for ids in some] for rank, some in ranks.items()})
    assert _pairs(found) == sorted(
        (rank + job_id, job_id) for rank in ranks for ids in ranks[rank] for job_id in ids
    )


def test_values_of_many_parts_are_in_order_each_once() -> None:
    rng = random.Random(5)
    parts = [[rng.choice("abcdefgh") * rng.randrange(9) for _ in range(30)] for _ in range(9)]
    assert sort_distinct(parts) == sorted({value for part in parts for value in part})
