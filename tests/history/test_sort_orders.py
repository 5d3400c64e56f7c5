"""Every sort with every filter, over jobs that are sealed, changed since, only in the journal, or archived."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from jobtui.history import History, Query, Sort
from jobtui.history.verify import verify
from jobtui.history.write.store import Limits
from jobtui.model import ClusterRef, Job, Level, SpaceStats, Status, Task
from tests.support import made_jobs, plain_history
from tests.support.lossy_disk import MemoryDisk

SEALED_AT_CLOSE = Limits(journal=1 << 20, leftover=0, blanks=512)
PLACE = Path("/history")

COMMANDS = ("flush", "compact", "Rebuild", "a")
SPACES = ("nba", "a", "b", "zoo", "été")
HOSTS = ("local0", "local1", "a")
REASONS = ("", "a", "b\na", "interrupted")

Rounds = Sequence[tuple[Mapping[int, Job], bool, tuple[int, int] | None]]
"""What is committed in a round, whether it is sealed then, and from which job to which is archived after it."""

_seconds = st.sampled_from([None, 0.0, 1.5, 2.5])
_moments = st.sampled_from([None, *map(made_jobs.at, (0, 1, 1.000001, 2))])
_stats = st.builds(SpaceStats, levels=st.tuples(st.builds(Level, st.just(1), st.sampled_from([5, 7]))))
_tasks = st.lists(
    st.builds(
        Task,
        st.just(0),
        st.sampled_from(HOSTS),
        st.sampled_from(Status),
        progress=st.sampled_from([None, 0.25, 0.5]),
        before=st.none() | _stats,
        after=st.none() | _stats,
        reason=st.sampled_from(REASONS),
    ),
    max_size=3,
).map(tuple)
_jobs = st.builds(
    Job,
    st.just(0),
    st.sampled_from(COMMANDS),
    st.sampled_from(SPACES),
    st.sampled_from([made_jobs.at(0), made_jobs.at(1)]),
    st.sampled_from([Status.FINISHED, Status.FAILED, *Status]),
    _moments,
    _moments,
    _seconds,
    st.sampled_from(REASONS),
    recovered_from=st.sampled_from([None, 1, 2, 300]),
    origin=st.none()
    | st.builds(ClusterRef, st.sampled_from(["east", "west", "a"]), st.just("s"), st.integers(0, 2)),
    tasks=_tasks,
)
_ids = st.integers(1, 12)
_rounds = st.lists(
    st.tuples(
        st.dictionaries(_ids, _jobs, max_size=10),
        st.booleans(),
        st.none() | st.tuples(_ids, _ids).map(lambda pair: (min(pair), max(pair))),
    ),
    min_size=1,
    max_size=3,
)


def _some(values: Sequence[Any]) -> st.SearchStrategy[frozenset[Any]]:
    return st.just(frozenset[Any]()) | st.frozensets(st.sampled_from(values), max_size=2)


_words = st.just(()) | st.lists(st.sampled_from(["A", "l0", "queue", "3", "été", "inter"]), max_size=2).map(
    tuple
)
_filters = st.just(Query()) | st.builds(
    Query,
    statuses=_some(list(Status)),
    spaces=_some(SPACES),
    hosts=_some(HOSTS),
    commands=_some(COMMANDS),
    words=_words,
    since=st.none() | st.just(made_jobs.at(0.5)),
    until=st.none() | st.just(made_jobs.at(0.5)),
    not_statuses=_some(list(Status)),
    not_spaces=_some(SPACES),
    not_hosts=_some(HOSTS),
    not_commands=_some(COMMANDS),
    not_words=_words,
)


def _lived_through(history_disk: MemoryDisk, rounds: Rounds) -> tuple[History, dict[int, Job], dict[int, Job]]:
    """A history after these rounds, what it should hold, and what is archived in it."""
    jobs: dict[int, Job] = {}
    archived: dict[int, Job] = {}
    history = History.open(PLACE, disk=history_disk, limits=SEALED_AT_CLOSE)
    for committed, sealed, range_ in rounds:
        versions = {
            job_id: replace(job, id=job_id) for job_id, job in committed.items() if job_id not in archived
        }
        jobs |= versions
        history.commit(*versions.values()).result()
        if sealed:
            history.close()
            history = History.open(PLACE, disk=history_disk, limits=SEALED_AT_CLOSE)
        if range_ is not None:
            for job_id in history.archive(*range_).result().ids:
                archived[job_id] = jobs.pop(job_id)
    return history, jobs, archived


def _job(job_id: int, command: str, space: str, **fields: Any) -> Job:
    return Job(job_id, command, space, made_jobs.at(0), Status.FINISHED, **fields)


_ONLY_IN_THE_JOURNAL: Rounds = (
    ({1: _job(1, "flush", "m"), 2: _job(2, "flush", "z")}, True, None),
    (
        {
            3: _job(3, "compact", "o", reason="b", origin=ClusterRef("west", "s", 1)),
            4: _job(4, "compact", "n", reason="a", origin=ClusterRef("east", "s", 2)),
            5: _job(5, "compact", "o", reason="a", origin=ClusterRef("west", "s", 0)),
        },
        False,
        None,
    ),
)


_CHANGED_BESIDE_THE_ARCHIVED: Rounds = (
    ({1: _job(1, "flush", "m"), 2: _job(2, "flush", "z")}, True, None),
    ({1: _job(1, "flush", "m", reason="a remark")}, False, (2, 2)),
)
_BEGUN_AGAIN_BESIDE_THE_ARCHIVED: Rounds = (
    ({1: _job(1, "flush", "m"), 2: _job(2, "flush", "z")}, True, None),
    ({1: replace(_job(1, "flush", "m"), status=Status.RUNNING)}, True, (1, 2)),
)


def test_every_sort_and_filter_matches_the_plain_history(long: bool) -> None:
    @given(_rounds, _filters)
    @example(_ONLY_IN_THE_JOURNAL, Query())
    @example(_CHANGED_BESIDE_THE_ARCHIVED, Query())
    @example(_BEGUN_AGAIN_BESIDE_THE_ARCHIVED, Query())
    @settings(
        max_examples=1000 if long else 20,
        deadline=None,
        derandomize=not long,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),  # making an example smaller takes minutes
    )
    def look(rounds: Rounds, filtered: Query) -> None:
        _look_at_every_order(rounds, filtered)

    look()


def _look_at_every_order(rounds: Rounds, filtered: Query) -> None:
    disk = MemoryDisk(seed=0)
    history, jobs, archived = _lived_through(disk, rounds)
    with contextlib.closing(history), contextlib.closing(History.open(PLACE, write=False, disk=disk)) as reader:
        for reading, sort, descending, old in itertools.product(
            (history, reader), Sort, (False, True), (False, True)
        ):
            query = replace(filtered, sort=sort, descending=descending, archived=old)
            expected = plain_history.answer(query, (archived if old else jobs).values())
            first = reading.query(query).ids(0, 2)
            assert first == expected[:2], query
            assert reading.counts() == plain_history.counts(jobs.values())
            view = reading.query(query)
            assert len(view) == len(expected), query
            assert view.ids(0, len(view)) == expected, query
            assert [view.index_of(job_id) for job_id in expected] == list(range(len(expected))), query
    assert verify(PLACE, disk) == []
