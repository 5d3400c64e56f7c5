"""What a deed on many jobs comes to: which of them it can touch, which it passes over and why.

Pure. A plan is made once, of ids, and stays as it is while the table moves on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobtui.model import Job, Status
from jobtui.tui import units

_IDS_A_STATEMENT = 500
_STATEMENTS_A_TEXT = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """The jobs that will be touched, by id in rising order, and those passed over under the reason for it."""

    touched: tuple[int, ...]
    passed: Mapping[str, tuple[int, ...]]

    @property
    def passed_over(self) -> str:
        """The jobs passed over in words: `passed over: 3, 5 (already ended)`; "" where there are none."""
        if not self.passed:
            return ""
        parts = [f"{units.ids(ids)} ({why})" for why, ids in self.passed.items()]
        return "passed over: " + ", ".join(parts)

    def only(self, later: Plan) -> Plan:
        """This plan, but of the jobs that it touches those alone that a `later` look at them still would."""
        passed = dict(self.passed)
        for why, ids in later.passed.items():
            passed[why] = tuple(sorted((*passed.get(why, ()), *ids)))
        return Plan(later.touched, passed)


Active = Mapping[int, Job]


def plan_stop(ids: Iterable[int], active: Active) -> Plan:
    """Stop touches what is queued or running and not being stopped already."""

    def why(job_id: int) -> str:
        job = active.get(job_id)
        if job is None:
            return "already ended"
        return "already stopping" if job.stopping else ""

    return _plan(ids, why)


def plan_recover(ids: Iterable[int], active: Active, archived: Callable[[int], bool]) -> Plan:
    """Recovery touches what has ended and is not archived."""
    return _plan(ids, lambda job_id: _not_ended(job_id, active) or ("archived" if archived(job_id) else ""))


def plan_archive(ids: Iterable[int], active: Active, archived: Callable[[int], bool]) -> Plan:
    """Archiving touches what has ended and is not archived yet."""
    return _plan(
        ids, lambda job_id: _not_ended(job_id, active) or ("already archived" if archived(job_id) else "")
    )


@dataclass(frozen=True, slots=True)
class Saying:
    """A text for the desk, and the jobs that it names one by one (none: ranges)."""

    text: str
    ids: tuple[int, ...] = ()


def stop_sayings(ids: Sequence[int]) -> Iterator[Saying]:
    """The statements that stop these jobs."""
    return _listed("STOP JOB", ids)


def recover_sayings(ids: Sequence[int]) -> Iterator[Saying]:
    """The statements that run these jobs again."""
    return _listed("RECOVER JOB", ids)


def archive_sayings(ids: Sequence[int]) -> Iterator[Saying]:
    """The statements that archive exactly these jobs: a range for each run of neighbouring ids."""
    ranges = [f"BACKUP JOB {first} {last}" for first, last in _runs(ids)]
    for start in range(0, len(ranges), _STATEMENTS_A_TEXT):
        yield Saying("; ".join(ranges[start : start + _STATEMENTS_A_TEXT]))


def _plan(ids: Iterable[int], why: Callable[[int], str]) -> Plan:
    touched: list[int] = []
    passed: dict[str, list[int]] = {}
    for job_id in sorted(ids):
        reason = why(job_id)
        if reason:
            passed.setdefault(reason, []).append(job_id)
        else:
            touched.append(job_id)
    return Plan(tuple(touched), {reason: tuple(jobs) for reason, jobs in passed.items()})


def _not_ended(job_id: int, active: Active) -> str:
    job = active.get(job_id)
    if job is None:
        return ""
    return "still queued" if job.status is Status.QUEUE else "still running"


def _listed(words: str, ids: Sequence[int]) -> Iterator[Saying]:
    for start in range(0, len(ids), _IDS_A_STATEMENT):
        chunk = tuple(ids[start : start + _IDS_A_STATEMENT])
        yield Saying(f"{words} {', '.join(map(str, chunk))}", chunk)


def _runs(ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    first = last = -1
    for job_id in ids:
        if job_id != last + 1 or first < 0:
            if first >= 0:
                yield first, last
            first = job_id
        last = job_id
    if first >= 0:
        yield first, last
