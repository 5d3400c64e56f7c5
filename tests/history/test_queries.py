"""Queries over recent, sealed and archived jobs, compared with a naive scan."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.history import Bound, History, Query, Sort
from jobtui.history.format.index import NUMBER_COLUMNS, TEXT_COLUMNS
from jobtui.history.read import ordered_ids as sorting
from jobtui.history.read import sort_keys as ranking
from jobtui.history.write.store import Limits
from jobtui.model import Job, JobOptions, Level, SpaceStats, Status
from tests.support import made_jobs, plain_history

SMALL = Limits(journal=20_000, leftover=10_000, blanks=4096)

QUERIES = (
    Query(),
    Query(statuses=frozenset({Status.FAILED})),
    Query(statuses=frozenset({Status.QUEUE, Status.RUNNING})),
    Query(spaces=frozenset({"nba"})),
    Query(spaces=frozenset({"nba", "图谱"}), statuses=frozenset({Status.FINISHED})),
    Query(spaces=frozenset({"no such space"})),
    Query(hosts=frozenset({"local0"})),
    Query(commands=frozenset({"compact"})),
    Query(words=("NOPE",)),
    Query(words=("ÉTÉ",)),
    Query(words=("flush", "local")),
    Query(words=("17",)),
    Query(words=("9" * 40,)),
    Query(since=made_jobs.at(700)),
    Query(until=made_jobs.at(700)),
    Query(since=made_jobs.at(300), until=made_jobs.at(900.5)),
    Query(not_statuses=frozenset({Status.FINISHED})),
    Query(not_spaces=frozenset({"nba"})),
    Query(not_hosts=frozenset({"local0"})),
    Query(not_commands=frozenset({"flush"})),
    Query(not_words=("interrupted",)),
    Query(words=("flush",), not_words=("nba", "local1"), not_statuses=frozenset({Status.STOPPED})),
    Query(reasons=("NOPE",), not_reasons=("interrupted",)),
    Query(bounds=(Bound("took", 3.5, math.inf),)),
    Query(bounds=(Bound("reclaimed", -1e299, 0.0), Bound("id", 20, 70, negated=True))),
    Query(ids=frozenset(range(10, 90, 3))),
    Query(not_ids=frozenset(range(0, 200, 2)), not_statuses=frozenset({Status.QUEUE})),
)


class _Known:
    """A history and the jobs that it should hold."""

    def __init__(self, path: Path) -> None:
        self.rng = random.Random(7)
        self.history = History.open(path, limits=SMALL)
        self.jobs: dict[int, Job] = {}
        self.archived: dict[int, Job] = {}

    def live_through(self, changes: int) -> None:
        rng, futures = self.rng, []
        for _ in range(changes):
            live = [job for job in self.jobs.values() if not job.status.ended]
            if len(live) < 5 or rng.random() < 0.2:
                job = made_jobs.submitted(self.history.new_id(), rng)
            elif rng.random() < 0.02:
                job = made_jobs.moved_on(rng.choice(list(self.jobs.values())), rng)
            else:
                job = made_jobs.moved_on(rng.choice(live), rng)
            self.jobs[job.id] = job
            futures.append(self.history.commit(job))
        for future in futures:
            future.result(30)

    def archive(self, first: int, last: int) -> None:
        for job_id in self.history.archive(first, last).result(30).ids:
            self.archived[job_id] = self.jobs.pop(job_id)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Known]:
    known = _Known(tmp_path_factory.mktemp("history"))
    known.live_through(1500)
    known.archive(20, 90)
    known.live_through(700)
    known.archive(5, 5)
    known.live_through(300)
    yield known
    known.history.close()


@pytest.fixture(params=("the writer", "a reader"))
def reading(request: pytest.FixtureRequest, known: _Known) -> Iterator[History]:
    if request.param == "the writer":
        yield known.history
        return
    reader = History.open(known.history.path, write=False)
    yield reader
    reader.close()


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_every_query_matches_a_full_scan(reading: History, known: _Known, query: Query) -> None:
    # every query in three of the orders, so that each order has its turn with several queries
    orders = list(itertools.product(Sort, (False, True)))
    start = QUERIES.index(query) * 7
    for sort, descending in [orders[(start + step * 3) % len(orders)] for step in range(3)]:
        variant = replace(query, sort=sort, descending=descending)
        expected = plain_history.answer(variant, known.jobs.values())
        view = reading.query(variant)
        assert len(view) == len(expected), variant
        assert view.ids(0, len(view)) == expected, variant


@pytest.mark.parametrize("sort", Sort)
def test_sort_in_small_buckets_gives_the_same_order(
    reading: History, known: _Known, sort: Sort, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, size, value in (
        (ranking, "BUCKET", 8),
        (ranking, "SAMPLE", 2),
        (ranking, "MAX_GROUP", 16),
        (sorting, "SAMPLE", 2),
        (sorting, "_MIN_HEAD", 4),
    ):
        monkeypatch.setattr(module, size, value)
    for query, descending in itertools.product((Query(), Query(words=("flush",))), (False, True)):
        variant = replace(query, sort=sort, descending=descending)
        expected = plain_history.answer(variant, known.jobs.values())
        for count in (3, 20, len(expected)):
            assert reading.query(variant).ids(0, count) == expected[:count]
        view = reading.query(variant)
        first = view.ids(0, 5)
        assert [view.index_of(job_id) for job_id in first] == list(range(len(first)))
        view.prepare()
        assert view.ids(0, len(view)) == expected


@pytest.mark.parametrize("is_earlier", [False, True], ids=["now", "index of an earlier version"])
def test_flush_reclaims_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_earlier: bool) -> None:
    full, lean = SpaceStats(levels=(Level(2, 3000),)), SpaceStats(levels=(Level(1, 1000),))
    if is_earlier:  # it had numbers for flushes
        monkeypatch.setitem(NUMBER_COLUMNS, "reclaimed", lambda job: float(job.reclaimed or 0))
    history = History.open(tmp_path, limits=replace(SMALL, leftover=1))
    for command in ("flush", "compact"):
        job = made_jobs.ended(history.new_id(), random.Random(1))
        task = replace(job.tasks[0], before=full, after=lean)
        history.commit(replace(job, command=command, tasks=(task,))).result(30)
    history.close()
    monkeypatch.undo()
    with contextlib.closing(History.open(tmp_path, write=False)) as reader:
        found = reader.query(Query(bounds=(Bound("reclaimed", 0.0, math.inf),)))
        assert found.ids(0, len(found)) == [2]
        assert reader.query(Query(sort=Sort.RECLAIMED, descending=True)).ids(0, 2) == [2, 1]


@pytest.mark.parametrize("descending", [False, True])
def test_longer_page_of_equal_keys_follows_a_shorter_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, descending: bool
) -> None:
    monkeypatch.setattr(sorting, "SAMPLE", 2)
    monkeypatch.setattr(sorting, "_MIN_HEAD", 4)
    rng = random.Random(1)
    jobs = [replace(made_jobs.ended(job_id, rng), took=1.5) for job_id in range(1, 401)]
    # one part begins and ends beyond the other, and has hardly any there
    for part in ([jobs[0], *jobs[100:300], jobs[399]], [*jobs[1:100], *jobs[300:399]]):
        history = History.open(tmp_path, limits=Limits(leftover=0))
        history.commit(*part).result()
        history.close()
    reader = History.open(tmp_path, write=False)
    view = reader.query(Query(sort=Sort.TOOK, descending=descending))
    expected = sorted((job.id for job in jobs), reverse=descending)
    for stop in (10, 15, 20, 40):
        assert view.ids(stop - 5, stop) == expected[stop - 5 : stop]
    reader.close()


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_archive_is_queried_as_the_rest_is(reading: History, known: _Known, query: Query) -> None:
    variant = replace(query, archived=True, sort=Sort.TOOK, descending=True)
    expected = plain_history.answer(variant, known.archived.values())
    view = reading.query(variant)
    assert view.ids(0, 10_000) == expected
    assert view.page(3, 5) == [known.archived[job_id] for job_id in expected[3:8]]


@pytest.mark.parametrize("sort", Sort)
@pytest.mark.parametrize("descending", [False, True])
def test_page_at_any_offset_matches_the_whole_list(
    reading: History, known: _Known, sort: Sort, descending: bool
) -> None:
    rng = random.Random(3)
    for query in (Query(), Query(words=("flush",)), Query(not_statuses=frozenset({Status.FAILED}))):
        variant = replace(query, sort=sort, descending=descending)
        expected = plain_history.answer(variant, known.jobs.values())
        for start in (0, len(expected) - 7, len(expected), *(rng.randrange(len(expected)) for _ in range(5))):
            view = reading.query(variant)
            assert [job.id for job in view.page(start, 7)] == expected[max(0, start) : start + 7]


@pytest.mark.parametrize("sort", Sort)
def test_index_of_finds_only_jobs_in_the_result(reading: History, known: _Known, sort: Sort) -> None:
    query = Query(not_spaces=frozenset({"nba"}), sort=sort, descending=True)
    expected = plain_history.answer(query, known.jobs.values())
    view = reading.query(query)
    for job_id in known.jobs:
        index = expected.index(job_id) if job_id in expected else None
        assert view.index_of(job_id) == index
    assert view.index_of(10**9) is None
    assert view.index_of(next(iter(known.archived))) is None


def test_page_holds_the_newest_versions_of_its_jobs(reading: History, known: _Known) -> None:
    expected = [known.jobs[job_id] for job_id in sorted(known.jobs)]
    assert reading.query(Query()).page(0, 10_000) == expected


def test_counts_by_status_and_space_are_exact(reading: History, known: _Known) -> None:
    jobs = known.jobs.values()
    assert reading.counts() == plain_history.counts(jobs)
    for space in (*made_jobs.SPACES, "no such space"):
        assert reading.counts(space) == plain_history.counts(jobs, space)
    assert set(reading.spaces()) == {job.space for job in jobs}


def test_lineage_is_known_in_both_directions(reading: History, known: _Known) -> None:
    jobs, archived = known.jobs.values(), known.archived.values()
    for space in (None, "nba", "no such space"):
        assert reading.unrecovered(space) == plain_history.unrecovered(jobs, archived, space)
    for job_id in known.jobs:
        recoveries = sorted(job.id for job in (*jobs, *archived) if job.recovered_from == job_id)
        assert reading.recovered_as(job_id) == recoveries
    reading.load_indexes()
    newest = {job.recovered_from: job.id for job in sorted(jobs, key=lambda job: job.id)}
    known_now = reading.known_recoveries(set(known.jobs))
    assert {old: known_now.get(old, 0) >= new for old, new in newest.items() if old in known.jobs} == {
        old: True for old in newest if old in known.jobs
    }
    assert set(known_now) >= {old for old in newest if old in known.jobs}


def test_view_does_not_change_while_jobs_do(known: _Known) -> None:
    view = known.history.query(Query(descending=True))
    before = view.ids(0, 20)
    known.live_through(40)
    assert view.ids(0, 20) == before


def test_preparing_a_view_makes_every_page_ready(known: _Known) -> None:
    for sort in Sort:
        view = known.history.query(Query(sort=sort, words=("a",)))
        view.prepare()
        assert view.is_ready(0, len(view))
        assert view.is_ready(len(view) // 2, len(view) // 2 + 1)


def test_jobs_are_found_by_requester(tmp_path: Path) -> None:
    rng = random.Random(1)
    history = History.open(tmp_path, limits=Limits(leftover=0))
    for job_id in range(1, 61):
        job = made_jobs.ended(job_id, rng)
        by = {"requested_by": "anna@db1, dashboard"} if job_id % 3 else {"schedule": "nightly"}
        history.commit(replace(job, **by)).result()
    history.commit(replace(made_jobs.ended(61, rng), requested_by="cluster prod")).result()
    history.close()
    reader = History.open(tmp_path, write=False)
    assert reader.query(Query(requesters=("Anna",))).ids(0, 99) == [n for n in range(1, 61) if n % 3]
    assert reader.query(Query(requesters=("nightly",))).ids(0, 99) == list(range(3, 61, 3))
    assert reader.query(Query(requesters=("cluster",))).ids(0, 99) == [61]
    assert reader.query(Query(not_requesters=("anna",))).ids(0, 99) == [*range(3, 61, 3), 61]
    by_requester = reader.query(Query(sort=Sort.REQUESTER)).ids(0, 99)
    assert by_requester == [*(n for n in range(1, 61) if n % 3), 61, *range(3, 61, 3)]
    reader.close()


def test_jobs_are_found_by_because(tmp_path: Path) -> None:
    rng = random.Random(1)
    history = History.open(tmp_path, limits=Limits(leftover=0))
    texts = ("", "After the deploy", "nightly backup")
    for job_id in range(1, 61):
        options = JobOptions(because=texts[job_id % 3])
        history.commit(replace(made_jobs.ended(job_id, rng), options=options)).result()
    # 58 to 60 are not sealed
    history.archive(1, 57).result()
    history.restore(1, 57).result()
    assert history.query(Query(becauses=("DEPLOY",))).ids(0, 99) == list(range(1, 61, 3))
    assert history.query(Query(not_becauses=("deploy", "backup"))).ids(0, 99) == list(range(3, 61, 3))
    by_because = history.query(Query(sort=Sort.BECAUSE, descending=True)).ids(0, 99)
    assert by_because == [*range(59, 0, -3), *range(58, 0, -3), *range(60, 0, -3)]
    history.close()


def test_index_without_the_because_column_is_rebuilt(tmp_path: Path) -> None:
    rng = random.Random(1)
    history = History.open(tmp_path, limits=Limits(leftover=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(TEXT_COLUMNS, "because")
        job = replace(made_jobs.ended(1, rng), options=JobOptions(because="deploy"))
        history.commit(job).result()
        history.close()
    reader = History.open(tmp_path, write=False)
    assert reader.query(Query(becauses=("deploy",))).ids(0, 9) == [1]
    reader.close()
