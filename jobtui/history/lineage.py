"""Which job recovered which."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from jobtui.history.archive import Archives
from jobtui.history.columns import CODE_OF
from jobtui.history.state import State
from jobtui.model import Job, Status

_RECOVERABLE = (Status.FAILED, Status.STOPPED)


def recovered_as(state: State, archives: Archives, job_id: int) -> list[int]:
    """The ids of the jobs that recovered this one, in order. Raises OSError."""
    found = {job.id for job in _recent(state) if job.recovered_from == job_id}
    for segment in (*state.segments, *archives.all_segments(state.manifest)):
        if segment.entry.last > job_id:
            columns = segment.columns
            first, last = bisect_left(columns.recovered, job_id), bisect_right(columns.recovered, job_id)
            found.update(columns.recoverers[first:last])
    return sorted(found)


def unrecovered(state: State, archives: Archives, space: str | None) -> list[int]:
    """The ids of failed and stopped jobs that no job, archived or not, recovered; in order. Raises OSError."""
    recent = _recent(state)
    recovered = {job.recovered_from for job in recent}
    found = {job.id for job in recent if job.status in _RECOVERABLE and (space is None or job.space == space)}
    codes = {CODE_OF[status] for status in _RECOVERABLE}
    for segment in state.segments:
        columns = segment.columns
        recovered.update(columns.recovered)
        wanted = None if space is None else _code(columns.spaces.values, space)
        found.update(
            job_id
            for job_id, status, code in zip(columns.ids, columns.statuses, columns.spaces.codes, strict=True)
            if status in codes and (wanted is None or code == wanted)
        )
    for segment in archives.all_segments(state.manifest):
        recovered.update(segment.columns.recovered)
    return sorted(found - recovered)


def _code(values: tuple[str, ...], value: str) -> int:
    return values.index(value) if value in values else -1


def _recent(state: State) -> tuple[Job, ...]:
    with state.mutex:
        return tuple(state.recent.values())
