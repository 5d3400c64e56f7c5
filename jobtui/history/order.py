"""Bringing many values in order, a bucket of them at a time.

One call that sorts a million values would keep every other thread from running until it is done.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import eq
from typing import Any, Final, TypeVar

from jobtui.history.steps import Turns

T = TypeVar("T")

SAMPLE: Final = 64
"""Of how many values one is looked at to learn how they are spread."""
BUCKET: Final = 4096
"""Values that are sorted in one call, more or less."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Keys and ids, side by side."""

    keys: array[float]
    ids: array[int]


def in_order(parts: Sequence[Sequence[T]]) -> list[T]:
    """All values that are in any of the parts, each once, in order."""
    if sum(map(len, parts)) <= BUCKET:
        return sorted({value for part in parts for value in part})  # type: ignore[type-var]
    sample: list[Any] = sorted(value for part in parts for value in part[::SAMPLE])
    bounds = sample[BUCKET // SAMPLE :: BUCKET // SAMPLE]
    buckets: list[set[Any]] = [set() for _ in range(len(bounds) + 1)]
    turns = Turns()
    for part in parts:
        for value in part:
            buckets[bisect_right(bounds, value)].add(value)
        turns.give()
    found: list[T] = []
    for bucket in buckets:
        found += sorted(bucket)
        turns.give()
    return found


def all_sorted(loaded: Sequence[Rows]) -> Rows:
    """All rows by key, then by id. The ids of each part rise.

    The rows of each part are sorted, then all parts are cut at the same keys into buckets.
    """
    turns = Turns()
    parts = []
    for rows in loaded:
        parts.append(_by_key(rows))
        turns.give()
    sample = sorted(key for rows in parts for key in rows.keys[::SAMPLE])
    bounds = sample[BUCKET // SAMPLE :: BUCKET // SAMPLE]
    # a key that fills more than one bucket has one to itself, between it and the number that follows it
    tied = {key for key, following in pairwise(bounds) if key == following}
    cuts = sorted({*bounds, *(math.nextafter(key, math.inf) for key in tied)})
    places = [[0, *(bisect_left(rows.keys, cut) for cut in cuts), len(rows.keys)] for rows in parts]
    keys, ids = array("d"), array("Q")
    for bucket, bound in enumerate([-math.inf, *cuts]):
        pieces = [
            Rows(part.keys[place[bucket] : place[bucket + 1]], part.ids[place[bucket] : place[bucket + 1]])
            for part, place in zip(parts, places, strict=True)
        ]
        for done in _merged_ids(pieces) if bound in tied else [_by_key_and_id(_joined(pieces))]:
            keys.extend(done.keys)
            ids.extend(array("Q", done.ids))
            turns.give()
    return Rows(keys, ids)


def _joined(pieces: Sequence[Rows]) -> Rows:
    rows = Rows(array("d"), array("Q"))
    for piece in pieces:
        rows.keys.extend(piece.keys)
        rows.ids.extend(array("Q", piece.ids))
    return rows


def _merged_ids(pieces: Sequence[Rows]) -> Iterator[Rows]:
    """Rows that all have the same key, by their ids, some at a time; each piece is in that order."""
    sample = sorted(job_id for piece in pieces for job_id in piece.ids[::SAMPLE])
    above = -1
    for through in [*sample[BUCKET // SAMPLE :: BUCKET // SAMPLE], math.inf]:
        found: list[int] = []
        for piece in pieces:
            found += piece.ids[bisect_right(piece.ids, above) : bisect_right(piece.ids, through)]
        found.sort()
        if found:
            key = next(piece.keys[0] for piece in pieces if piece.keys)
            yield Rows(array("d", [key]) * len(found), array("Q", found))
            above = found[-1]


def _by_key(rows: Rows) -> Rows:
    """By key; where keys are the same, in the order in which they are."""
    return _reordered(rows, sorted(range(len(rows.ids)), key=rows.keys.__getitem__))


def _by_key_and_id(rows: Rows) -> Rows:
    done = _by_key(rows)
    if not any(map(eq, done.keys, done.keys[1:])):
        return done
    return _by_key(_reordered(rows, sorted(range(len(rows.ids)), key=rows.ids.__getitem__)))


def _reordered(rows: Rows, places: Sequence[int]) -> Rows:
    return Rows(
        array("d", map(rows.keys.__getitem__, places)),
        array(rows.ids.typecode, map(rows.ids.__getitem__, places)),
    )
