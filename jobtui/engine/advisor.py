"""The answers to SHOW ADVICE, EXPLAIN and IF, from the storage's current figures and the history.

The advisor changes nothing: it reads figures and applies the rules of `advice.py` to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nlargest
from math import ceil

from msgspec.structs import replace

from jobtui.clock import Clock
from jobtui.engine.advice import (
    AdviceThresholds,
    CompactionEstimate,
    CompactionSpeed,
    HostAdvice,
    Verdict,
    describe_estimate,
    estimate_compaction,
    family_size,
    fit_speed,
    job_seconds,
    recommend,
    statement_for,
)
from jobtui.engine.lifecycle import takes_turns
from jobtui.errors import ErrorCode, StorageError
from jobtui.formatting import format_bytes, format_count, format_duration, format_local_time, to_local
from jobtui.history import History, Query
from jobtui.language.ast import Submit
from jobtui.language.results import Result, Row
from jobtui.model import NOT_NEEDED, DiskReserve, Job, JobCommand, JobOptions, Status, Task
from jobtui.storage.base import CompactionFigures, CompactionRequest, FamilyFigures, Space, TaskRunner

ADVICE = (
    "Space",
    "Host",
    "Verdict",
    "Gives Back",
    "Deletions",
    "L0 Files",
    "Pending",
    "In Memory",
    "Last Compact",
    "Statement",
)
EXPLAIN = (
    "Host",
    "Action",
    "Steps",
    "Rewrites",
    "Room Needed",
    "Free",
    "Gives Back",
    "Takes About",
    "Note",
)
_RUNS = 20
"""The newest jobs that are searched for the last compaction on a host, and for its speed."""
_ORDER = list(Verdict)
_MAX_FAMILIES = 100
"""The column families of a host in JSON, the largest ones: a space may have thousands on many hosts."""


class Advisor:
    """The measurement of spaces, and the rules applied to it. For the engine's loop alone.

    `rate_limit` is the profile's limit of writes in bytes a second; `set_rate` returns that of SET RATE, None
    if there is none and 0 if it is lifted.
    """

    def __init__(
        self,
        storage: TaskRunner,
        history: History,
        clock: Clock,
        thresholds: AdviceThresholds,
        reserve: DiskReserve,
        rate_limit: int | None,
        set_rate: Callable[[], int | None],
    ) -> None:
        self._storage = storage
        self._history = history
        self._clock = clock
        self._thresholds = thresholds
        self._reserve = reserve
        self._rate_limit = rate_limit
        self._set_rate = set_rate

    async def advise(self, spaces: Iterable[Space]) -> list[HostAdvice]:
        """Return the advice for each space on each of its hosts, worst first."""
        found = await asyncio.gather(*(self._advise(space, host) for space in spaces for host in space.hosts))
        return sorted(
            found,
            key=lambda one: (_ORDER.index(one.verdict), -(one.estimate.gain or 0), one.space, one.host),
        )

    async def explain(
        self,
        statement: Submit,
        typed: str,
        space: Space,
        hosts: Sequence[str],
        windows: Mapping[str, float],
    ) -> Result:
        """Return the estimated effect of the statement on each host, in the order of their turns.

        `windows`: the seconds of a run of each schedule that has this statement and UNTIL, by name.
        """
        rows = await asyncio.gather(*(self._explain(statement, space, host) for host in hosts))
        return Result(typed, EXPLAIN, tuple(rows), notice=_describe_total(rows, statement.options, windows))

    async def check(self, job: Job, host: str) -> str:
        """Return why the job's condition excludes the host now, "" if it does not.

        Raises StorageError if a figure that the condition needs is unknown.
        """
        return await self._check(job.space, host, job.options)

    async def _check(self, space: str, host: str, options: JobOptions) -> str:
        # pyparsing is expensive to import, and few jobs have a condition
        from jobtui.language.conditions import (
            UnknownFigureError,
            describe_figures,
            evaluate,
            parse_condition,
        )

        condition = parse_condition(options.condition)
        estimate = estimate_compaction(await self._storage.figures(space, host), options.families)
        verdict, _ = recommend(estimate, self._thresholds)
        figures = self._condition_figures(estimate, verdict, space, host)
        try:
            if evaluate(condition, figures):
                return ""
        except UnknownFigureError as error:
            raise StorageError(
                ErrorCode.UNSUPPORTED,
                host,
                space,
                f"IF {options.condition}: {host} does not report {error.figure.removesuffix('_share')}; "
                "leave the condition out, or use another one",
            ) from None
        return f"{NOT_NEEDED}: {describe_figures(condition, figures) or describe_estimate(estimate)}"

    def _condition_figures(
        self, estimate: CompactionEstimate, verdict: Verdict, space: str, host: str
    ) -> dict[str, int | float | None]:
        last = self._last_compact(space, host)
        age = float("inf")
        if last is not None and last.stop is not None:
            age = max(0.0, (self._clock.now() - last.stop).total_seconds())
        known = estimate.free is not None and estimate.disk
        return {
            "needed": None if verdict is Verdict.UNKNOWN else verdict is Verdict.COMPACT,
            "deletions": estimate.deletions,
            "l0_files": estimate.l0_files,
            "pending": estimate.pending,
            "gain": estimate.gain,
            "gain_share": estimate.gain_share,
            "size": estimate.size,
            "memtable": estimate.memtable,
            "free": estimate.free,
            "free_share": (estimate.free or 0) / (estimate.disk or 1) if known else None,
            "age": age,
        }

    async def _advise(self, space: Space, host: str) -> HostAdvice:
        last = self._last_compact(space.name, host)
        stop = None if last is None else last.stop
        try:
            figures = await self._storage.figures(space.name, host)
        except StorageError as error:
            return HostAdvice(space.name, host, Verdict.UNKNOWN, error.detail, CompactionEstimate(), stop)
        estimate = estimate_compaction(figures)
        verdict, reason = recommend(estimate, self._thresholds)
        if figures.refusal and verdict in (Verdict.COMPACT, Verdict.FLUSH):
            reason = f"{reason}; a job would be refused now: {figures.refusal}"
        statement = statement_for(verdict, space.name, (host,) if len(space.hosts) > 1 else ())
        return HostAdvice(space.name, host, verdict, reason, estimate, stop, statement, figures.families)

    async def _explain(self, statement: Submit, space: Space, host: str) -> Row:
        options = statement.options
        compacts = statement.command == JobCommand.COMPACT
        request = CompactionRequest(  # empty for a flush, which no storage refuses for a part
            options.families, options.from_key, options.to_key, options.room, options.room_share
        )
        try:
            figures = await self._storage.figures(space.name, host, request)
            skipped = await self._check(space.name, host, options) if options.condition else ""
        except StorageError as error:
            return _explain_row(host, "refused", error.detail)
        if figures.refusal:
            return _explain_row(host, "refused", figures.refusal)
        if skipped:
            return _explain_row(host, "skip", skipped)
        estimate = estimate_compaction(figures, options.families)
        if estimate.flushed and figures.steps is not None:
            # its flush comes first, and writes files that the plan does not know yet
            room = (figures.room_needed or 0) + estimate.flushed
            figures = replace(figures, steps=max(1, figures.steps), room_needed=room)
        if not compacts:
            size = estimate.memtable
            seconds = self._seconds(host, size, size, options)
            assumed = self._speed(host).describe_assumption(size or 0)
            return _explain_row(
                host, "flush", assumed, 1, size, size, estimate.free, None, seconds, is_time_guess=bool(assumed)
            )
        rewritten, gain = estimate.rewritten, estimate.gain
        notes = []
        if figures.rewrites is not None and rewritten and (options.from_key or options.to_key):
            gain = None if gain is None else int(gain * min(1.0, figures.rewrites / rewritten))
            rewritten = figures.rewrites
            notes.append("the bytes reclaimed from a part of the keys are a guess")
        elif estimate.is_guess:
            notes.append("the reclaimed bytes are a guess")
        if assumed := self._speed(host).describe_assumption(rewritten or 0, has_blobs=estimate.has_blobs):
            notes.append(assumed)
        if note := self._describe_room(figures):
            notes.append(note)
        fifo = [one.name for one in figures.families if one.is_fifo]
        if left_out := [name for name in fifo if not options.families or name in options.families]:
            notes.append(
                f"{format_count(len(left_out), 'FIFO column family', 'FIFO column families')} left out"
            )
        written = rewritten if rewritten is None or gain is None else max(0, rewritten - gain)
        seconds = self._seconds(host, rewritten, written, options)
        last = self._last_compact(space.name, host)
        return _explain_row(
            host,
            "compact",
            "; ".join(notes),
            figures.steps,
            rewritten,
            figures.room_needed,
            estimate.free,
            gain,
            seconds,
            is_guess=estimate.is_guess or rewritten != estimate.rewritten,
            is_time_guess=bool(assumed),
            last_took=None if last is None else last.took,
        )

    def _describe_room(self, figures: CompactionFigures) -> str:
        """Return the effect of a lack of disk space on the compaction, "" if there is enough."""
        needed, free, disk = figures.room_needed, figures.free, figures.disk
        if not needed or free is None or disk is None:
            return ""
        reserve = self._reserve.of(disk)
        if free - needed >= reserve:
            return ""
        # as the worker decides before each step
        if needed + reserve > disk or (figures.steps == 1 and free < needed):
            return "it would fail: the disk is too full"
        return f"it would wait for disk space: {format_bytes(needed)} needed, reserve {format_bytes(reserve)}"

    def _seconds(self, host: str, read: int | None, written: int | None, options: JobOptions) -> float | None:
        """Return how long it takes to merge `read` bytes; only writing is limited."""
        if read is None:
            return None
        limit = self._set_rate()
        if limit is None:
            limit = self._rate_limit if options.rate is None else options.rate
        limited = (written or 0) / limit if limit else 0.0
        speed = self._speed(host)
        return max(speed.seconds(read), speed.opening + limited)

    def _speed(self, host: str) -> CompactionSpeed:
        """Return how long the last compactions on the host took, by their size."""
        runs = []
        for task in self._compactions(host=host):
            if task.took and task.before is not None:
                read = task.steps.read if task.steps is not None and task.steps.read else task.before.bytes
                runs.append((read, task.took))
        return fit_speed(runs)

    def _last_compact(self, space: str, host: str) -> Task | None:
        return next(iter(self._compactions(space=space, host=host)), None)

    def _compactions(self, *, host: str, space: str | None = None) -> list[Task]:
        """Return the host's tasks of the newest compactions, the newest first."""
        query = Query(
            statuses=frozenset({Status.FINISHED, Status.FAILED, Status.STOPPED}),
            spaces=frozenset({space}) if space is not None else frozenset(),
            hosts=frozenset({host}),
            commands=frozenset({JobCommand.COMPACT.value}),
            descending=True,
        )
        return [
            task
            for job in self._history.query(query).page(0, _RUNS)
            for task in job.tasks
            if task.host == host and task.status is Status.FINISHED and not task.reason.startswith(NOT_NEEDED)
        ]


def _describe_total(rows: Sequence[Row], options: JobOptions, windows: Mapping[str, float]) -> str:
    """Return how long a job takes on several hosts in all, and how many runs of schedules; "" if unknown."""
    seconds = [row.values["Takes About"] for row in rows if row.values["Action"] in ("compact", "flush")]
    known = [each for each in seconds if isinstance(each, float)]
    if not known or len(known) < len(seconds):
        return ""
    total = job_seconds(known, options)
    runs = [
        f"schedule '{name}' needs ≈ {format_count(ceil(total / window), 'run')} of {format_duration(window)}"
        for name, window in windows.items()
    ]
    if len(known) < 2:
        return "; ".join(runs)
    turns = f"{format_count(options.rolling or 1, 'host')} at a time" if takes_turns(options) else "all at once"
    wait = f", {format_duration(options.wait)} between hosts" if options.wait else ""
    return "; ".join([f"≈ {format_duration(total)} in all: {turns}{wait}", *runs])


def advice_result(typed: str, advice: Iterable[HostAdvice]) -> Result:
    """Return the table of SHOW ADVICE."""
    return Result(typed, ADVICE, tuple(map(_advice_row, advice)))


def _advice_row(advice: HostAdvice) -> Row:
    estimate = advice.estimate
    families = nlargest(_MAX_FAMILIES, advice.families, key=family_size)
    cells = (
        advice.space,
        advice.host,
        advice.verdict.value,
        format_estimate(estimate.gain),
        "" if estimate.deletions is None else f"{estimate.deletions * 100:.3g}%",
        "" if estimate.l0_files is None else str(estimate.l0_files),
        format_bytes(estimate.pending),
        format_bytes(estimate.memtable),
        format_local_time(advice.last_compact),
        advice.statement,
    )
    values: dict[str, object] = {
        "Space": advice.space,
        "Host": advice.host,
        "Verdict": advice.verdict.value,
        "Gives Back": estimate.gain,
        "Deletions": estimate.deletions,
        "L0 Files": estimate.l0_files,
        "Pending": estimate.pending,
        "In Memory": estimate.memtable,
        "Last Compact": None if advice.last_compact is None else to_local(advice.last_compact).isoformat(),
        "Statement": advice.statement,
        "reason": advice.reason,
        "size": estimate.size,
        "flushed": estimate.flushed,
        "gain_share": estimate.gain_share,
        "guess": estimate.is_guess,
        "free": estimate.free,
        "disk": estimate.disk,
        "families": [_family_value(family) for family in families],
    }
    return Row(cells, values)


def _family_value(family: FamilyFigures) -> dict[str, object]:
    """Return the figures of a column family, as SHOW ADVICE has them in JSON."""
    estimate = estimate_compaction(CompactionFigures(families=(family,)))
    return {
        "name": family.name,
        "size": estimate.size,
        "gain": estimate.gain,
        "guess": estimate.is_guess,
        "deletions": estimate.deletions,
        "blob_size": family.blob_bytes,
        "blob_garbage": family.blob_garbage,
        "levels": [
            {"files": level.files, "size": level.bytes, "entries": level.entries, "deletions": level.deletions}
            for level in family.levels
        ],
    }


def _explain_row(
    host: str,
    action: str,
    note: str,
    steps: int | None = None,
    rewritten: int | None = None,
    room: int | None = None,
    free: int | None = None,
    gain: int | None = None,
    seconds: float | None = None,
    *,
    is_guess: bool = False,
    is_time_guess: bool = False,
    last_took: float | None = None,
) -> Row:
    cells = (
        host,
        action,
        "" if steps is None else str(steps),
        format_estimate(rewritten),
        format_estimate(room),
        format_bytes(free),
        format_estimate(gain),
        "" if seconds is None else f"≈ {format_duration(seconds)}",
        note,
    )
    values = (host, action, steps, rewritten, room, free, gain, seconds, note)
    more = {"guess": is_guess, "time_guess": is_time_guess, "last_took": last_took}
    return Row(cells, {**dict(zip(EXPLAIN, values, strict=True)), **more})


def format_estimate(size: int | None) -> str:
    """Return an estimated size as `≈ 36 MiB`, "" for None."""
    return "" if size is None else f"≈ {format_bytes(size)}"
