"""Guards of queries over sealed jobs: each has a test that fails without it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobtui.history import History, Query, Sort
from jobtui.history.format.index import encode_column
from jobtui.history.read import ordered_ids
from jobtui.history.read.query import match_values
from jobtui.history.write.store import Limits
from jobtui.model import ClusterRef, Job, Status
from tests.support import made_jobs
from tests.support.made_jobs import replace

Sealed = Callable[..., History]


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Sealed]:
    """Return a function that seals jobs in one segment, and opens the history for reading."""
    opened: list[History] = []

    def seal(*jobs: Job) -> History:
        limits = Limits(journal=1 << 20, leftover=0, blanks=512)
        history = History.open(tmp_path / "history", limits=limits)
        history.commit(*jobs).result()
        history.close()
        opened.append(History.open(tmp_path / "history", write=False))
        return opened[-1]

    yield seal
    for history in opened:
        history.close()


def ended(count: int) -> list[Job]:
    dice = random.Random(1)
    return [made_jobs.ended(number, dice) for number in range(1, count + 1)]


def test_values_of_wide_codes_are_compared() -> None:
    column = encode_column([float(number) for number in (*range(300), 299)])
    assert column.codes.itemsize > 1
    assert match_values(column, (299.0).__eq__) == bytes(299) + b"\1\1"
    assert match_values(column, lambda value: value > 298) == bytes(299) + b"\1\1"


def test_number_beyond_all_bounds_stays_within_its_cluster(sealed: Sealed) -> None:
    one, two = ended(2)
    origins = ClusterRef("b", "s", 1), ClusterRef("a", "s", 1 << 43)
    history = sealed(*(replace(job, origin=origin) for job, origin in zip((one, two), origins, strict=True)))
    assert history.query(Query(sort=Sort.ORIGIN)).ids(0, 2) == [2, 1]


@pytest.mark.parametrize("descending", [False, True])
def test_position_beyond_the_first_guess(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch, descending: bool
) -> None:
    monkeypatch.setattr(ordered_ids, "_FIRST_GUESS", 2)
    jobs = ended(10)
    sealed(*jobs[:5])
    history, order = sealed(*jobs[5:]), [*range(10)]
    found = [history.query(Query(descending=descending)).index_of(job.id) for job in jobs]
    assert found == (order[::-1] if descending else order)


def test_last_end_is_the_latest_one(sealed: Sealed) -> None:
    (job,) = ended(1)
    job = replace(job, status=Status.FINISHED, space="nba", command="flush", stop=made_jobs.at(1_000))
    totals = sealed(job, replace(job, id=2, stop=made_jobs.at(500))).totals()
    assert totals.last_ends["nba", "flush", Status.FINISHED] == made_jobs.at(1_000)


def test_recoveries_are_known_once_the_indexes_are_loaded(sealed: Sealed) -> None:
    one, two = ended(2)
    history = sealed(one, replace(two, recovered_from=1))
    assert history.known_recoveries({1}) == {}
    history.load_indexes()
    assert history.known_recoveries({1}) == {1: 2}
