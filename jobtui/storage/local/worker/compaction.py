"""The compaction of a database in steps, each of which is verified.

RocksDB's compact_range never reports an error. So there must be enough disk space before a step, the files must
have moved after it, and the count of background errors must not have risen. The reason of a failure comes from
a flush, which does report errors, or from RocksDB's own log.

A finished step stays finished, whatever ends the compaction: each is a complete call of `compact_range` on a
range of keys. `StepPosition` says after which key another compaction can continue.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace
from typing_extensions import override

from jobtui.errors import ErrorCode
from jobtui.formatting import format_bytes, printable_line
from jobtui.model import SpaceStats, StepPosition
from jobtui.storage.base import STEP_BYTES, CompactionRequest, OperationProgress, ProgressCallback
from jobtui.storage.local.errors import WorkerError, disk_full_error
from jobtui.storage.local.layout import disk_space, free_bytes
from jobtui.storage.local.protocol import CompactDatabase, OperationReply
from jobtui.storage.local.worker.database import ColumnFamily, CompactionStyle, Database, DatabaseHandle
from jobtui.storage.local.worker.manifest_guard import read_identity
from jobtui.storage.local.worker.operations import Ending, Operation, OperationRequests, flush_families
from jobtui.storage.local.worker.options import (
    MAX_MERGED_STEPS,
    WriteLimits,
    full_compaction_options,
    read_tickers,
)
from jobtui.storage.local.worker.progress import (
    FIRST_TICK_SECONDS,
    MAX_FRACTION,
    TICK_SECONDS,
    ProgressEstimator,
    count_compacted,
    expected_reads,
)
from jobtui.storage.local.worker.stats import LiveFile, sum_levels, sum_property, table_levels, tables_by_family
from jobtui.storage.local.worker.steps import CompactionPlan, Step, Tables, files_of
from jobtui.suggest import did_you_mean

RECHECK_SECONDS = 0.5  # between two checks of a disk without enough space
_MIN_STEP_BYTES = 256 << 10
_MAX_NAMED = 5
_LOG_ERRORS = re.compile(
    r"(?:Compaction error|Background IO error|Background flush error|Flush error"
    r"|Waiting after background \w+ error|Manual flush finished, status): ?(.*)"
)


def compact(
    database: Database, command: CompactDatabase, requests: OperationRequests, report: ProgressCallback
) -> OperationReply:
    """Merge SST files to the last level, in steps, after a flush. Raises WorkerError."""
    return Compaction(database, command, requests, report).run()


class Compaction(Operation):
    """One compaction."""

    def __init__(
        self,
        database: Database,
        command: CompactDatabase,
        requests: OperationRequests,
        report: ProgressCallback,
    ) -> None:
        super().__init__(database, requests.cancellation, report)
        self._request = command.request
        self._reserve = command.reserve
        self._requests = requests
        self._room = _room(command.request, database.path)
        self._step_bytes = _step_bytes(database, self._room)
        self._opened_for: WriteLimits | None = None
        self._plan: CompactionPlan | None = None
        self._has_rate = True
        self._rate: float | None = None
        self._fraction = 0.0
        self._needed: int | None = None

    @override
    def run(self) -> OperationReply:
        try:
            return super().run()
        finally:
            usual = self._database.limits
            if self._limits() != usual or self._opened_for not in (None, usual):
                # its options are for this compaction only
                self._database.close_quietly()

    @override
    def _limits(self) -> WriteLimits:
        usual, rate = self._database.limits, self._requests.rate
        step_bytes = self._step_bytes if usual.step_bytes is not None or self._room is not None else None
        return WriteLimits(usual.rate if rate is None else rate or None, step_bytes)

    @override
    def _needed_bytes(self) -> int | None:
        return self._needed

    @override
    def _work(self, handle: DatabaseHandle) -> Ending:
        if self._plan is None:
            families = select_families(handle.families, self._request, str(self._database.path))
            if not self._flush(handle, lambda _: self._report(OperationProgress(0.0))):
                return Ending.STOPPED
            before = self._record_before(handle)
            # with blob files, the rate of the other files does not show when the compaction will be complete
            self._has_rate = sum(level.bytes for level in table_levels(handle)) == before.bytes
            self._plan = self._first_plan(handle, families)
        plan = self._plan
        while True:
            step = plan.next_step(handle)
            self._steps = plan.position if plan.position.total else None
            self._needed = None if step is None else step.room_needed(MAX_MERGED_STEPS * self._step_bytes)
            progress = OperationProgress(plan.fraction, self._rate, steps=self._steps, room_needed=self._needed)
            self._report_progress(progress, at_once=step is None)
            if step is None:
                skipped = _describe_skipped(handle.families, self._request)
                self._note = "; ".join(filter(None, (*plan.notes, skipped)))
                return Ending.COMPLETE
            if self._cancellation.is_requested:
                return Ending.STOPPED
            if self._requests.pause.is_set():
                return Ending.PAUSED
            if self._must_reopen(handle):
                return Ending.REOPEN
            waited = self._wait_for_room(plan.position.total == 1)
            if waited is not None:
                return waited
            if not self._run_step(handle, plan, step):
                return Ending.STOPPED

    def _first_plan(self, handle: DatabaseHandle, families: tuple[ColumnFamily, ...]) -> CompactionPlan:
        plan = CompactionPlan(handle, families, self._request, self._step_bytes)
        identity = read_identity(self._database.path)
        plan.position = StepPosition(database=identity)
        resume = self._request.resume
        if resume is not None and resume.done:
            problem = ""
            if not identity or resume.database != identity:
                problem = "this is not the database that was compacted before"
            elif all(family.name != resume.family for family in plan.families):
                problem = f"the column family '{printable_line(resume.family)}' is not compacted this time"
            if problem:
                plan.notes.append(f"started over at the first step, because {problem}")
            else:
                plan.position, plan.bytes_done = resume, resume.read
        if not any(plan.first_files.values()) and self._request != CompactionRequest():
            plan.notes.append("nothing to compact: no file has keys of the selected part")
        return plan

    def _must_reopen(self, handle: DatabaseHandle) -> bool:
        """Return whether other limits were requested; False if the last opening could not apply them."""
        wanted = self._limits()
        reopens = handle.limits != wanted and self._opened_for != wanted
        self._opened_for = wanted
        return reopens

    def _wait_for_room(self, is_only_step: bool) -> Ending | None:
        """Wait until the disk has room for the step; return the ending if a request arrived first.

        Raises:
            WorkerError: Waiting is useless: the disk is too small, or the step is the only one.
        """
        needed = self._needed or 0
        waiting = ""
        while True:
            space = disk_space(self._database.path)
            if space is None:
                return None
            size, free = space
            reserve = self._reserve.of(size)
            if free - needed >= reserve:
                if waiting:
                    self._report_progress(OperationProgress())
                return None
            if needed + reserve > size or (is_only_step and free < needed):
                raise disk_full_error(str(self._database.path), needed, free)
            now = f"{format_bytes(free)} free, reserve {format_bytes(reserve)}"
            if free >= reserve:
                now += f" and {format_bytes(needed)} for the next step"
            if now != waiting or self._gauges.is_due:
                waiting = now
                self._report_progress(OperationProgress(room_needed=needed, waiting=waiting))
            if self._cancellation.wait(RECHECK_SECONDS):
                return Ending.STOPPED
            if self._requests.pause.is_set():
                return Ending.PAUSED

    def _run_step(self, handle: DatabaseHandle, plan: CompactionPlan, step: Step) -> bool:
        """Run a step and verify it; return False if a stop arrived first."""
        before = tables_by_family(handle)
        files, errors = files_of(step, before), sum_property(handle, "background-errors")
        log_end, tickers = _log_size(self._database.log), read_tickers(handle.options)
        stats = _stats_of(file for group in files.values() for file in group)
        counter = count_compacted(handle.options, tickers, stats, self._database.path)
        begin, share = plan.fraction, plan.share(step)

        def report(progress: OperationProgress) -> None:
            self._report_progress(replace(progress, fraction=begin + share * (progress.fraction or 0.0)))

        progress = ProgressEstimator(counter, expected_reads(stats), report, self._rate)
        thread = threading.Thread(target=_compact_step, args=(handle, step), daemon=True)
        with self._cancellation.on_cancel(handle.cancel):
            thread.start()
            pause = FIRST_TICK_SECONDS
            while thread.is_alive():
                thread.join(pause)
                pause = min(TICK_SECONDS, pause * 2)
                if thread.is_alive():
                    progress.update()
        self._rate = progress.final_rate()
        tables = tables_by_family(handle)
        movable = [family for family in plan.families if family.style is not CompactionStyle.NONE]
        if self._cancellation.interrupted:
            # if the step was complete already, every file has been rewritten
            for family in movable:
                old = {file.number for file in files.get(family.name, ())}
                if not old.isdisjoint(file.number for file in tables[family.name]):
                    return False
        else:
            unmoved = [number for family in movable for number in _unmoved(family, step, files, tables)]
            if unmoved or sum_property(handle, "background-errors") > errors:
                self._raise_failure(handle, log_end, unmoved)
            self._database.check_identity()
        counted = read_tickers(handle.options)
        counted.subtract(tickers)
        # the counter of written bytes may lag behind
        written = max(counted["compact.write.bytes"], _bytes_of_new(before, tables))
        plan.finish(step, tables, counted["compact.read.bytes"], written)
        self._steps = plan.position
        return True

    def _report_progress(self, progress: OperationProgress, *, at_once: bool = False) -> None:
        """Report the progress; its fraction never falls, and does not reach 1 before the work has ended."""
        self._fraction = max(self._fraction, min(MAX_FRACTION, progress.fraction or 0.0))
        rate = progress.rate if self._has_rate else None
        self._report(replace(progress, fraction=self._fraction, rate=rate), at_once=at_once)

    def _raise_failure(self, handle: DatabaseHandle, log_end: int, unmoved: list[int]) -> None:
        """Raise the reason why a compaction that returned normally has failed."""
        self._database.check_identity()
        flush_families(handle, wait=True)
        reason = _last_log_error(self._database.log, log_end)
        free = free_bytes(self._database.path)
        if not reason and self._needed is not None and free is not None and free < self._needed:
            # on a full disk the log ends before the error
            raise disk_full_error(str(self._database.path), self._needed, free)
        raise RuntimeError(reason or f"the compaction ended with {len(unmoved)} files not merged")


def select_families(
    families: tuple[ColumnFamily, ...], request: CompactionRequest, where: str
) -> tuple[ColumnFamily, ...]:
    """Return the column families to compact.

    Raises:
        WorkerError: One of the request does not exist, or cannot be compacted in part.
    """
    names = [family.name for family in families]
    for name in request.families:
        if name not in names:
            near = did_you_mean(name, names)
            guess = f"; did you mean '{printable_line(near)}'?" if near else "."
            raise WorkerError(
                ErrorCode.REJECTED,
                f"{where}: the column family '{printable_line(name)}' does not exist{guess} There are: "
                + ", ".join(printable_line(one) for one in names),
            )
    selected = tuple(
        family
        for family in families
        if family.style is not CompactionStyle.FIFO
        and (not request.families or family.name in request.families)
    )
    if request.from_key is not None or request.to_key is not None:
        for family in selected:
            reason = _indivisible(family)
            if reason:
                raise WorkerError(
                    ErrorCode.UNSUPPORTED,
                    f"{where}: the column family '{printable_line(family.name)}' {reason}, so a part of its "
                    "keys cannot be compacted alone; leave out from and to, or name other column families",
                )
    return selected


def _indivisible(family: ColumnFamily) -> str:
    """Return why RocksDB ignores or misinterprets a range of keys of the family, "" if it does not."""
    if family.style is not CompactionStyle.LEVEL:
        return f"is compacted in the style {family.style.removeprefix('kCompactionStyle')}, which ignores keys"
    return "keeps its keys in falling order" if family.backwards else ""


def _bytes_of_new(before: Tables, after: Tables) -> int:
    """Return the bytes of the existing files that a step wrote, without those of writers."""
    known = {file.number for files in before.values() for file in files}
    return sum(
        file.size for files in after.values() for file in files if file.number not in known and file.level
    )


def _unmoved(family: ColumnFamily, step: Step, files: Tables, tables: Tables) -> list[int]:
    if family.name not in files:
        return []
    after = files_of(step, tables)[family.name]
    return unmoved_files(
        {file.number: file.level for file in files[family.name]},
        {file.number: file.level for file in after},
        family.style is CompactionStyle.LEVEL,
    )


def unmoved_files(before: dict[int, int], after: dict[int, int], is_leveled: bool) -> list[int]:
    """Return the files that a compaction should have moved or merged, and did not, by number.

    Files that a writer added meanwhile do not count, nor those that were at the last level already.

    Args:
        before: The level of each file of a family that overlapped the range.
        after: The same after the compaction.
        is_leveled: Whether it moves everything out of level 0.
    """
    last = max(after.values(), default=0)
    return sorted(
        number
        for number, level in before.items()
        if after.get(number) == level and (level < last or (is_leveled and level == 0))
    )


def _compact_step(handle: DatabaseHandle, step: Step) -> None:
    families = {family.name: family.rdict for family in handle.families}
    for part in step.parts:
        families[part.family].compact_range(part.begin, part.end, full_compaction_options())


def _stats_of(files: Iterable[LiveFile]) -> SpaceStats:
    """Return the stats of a group of files."""
    listed = tuple(files)
    levels = sum_levels((file.level, file.size) for file in listed)
    return SpaceStats(levels, entries=sum(file.entries for file in listed))


def plan_all(
    handle: DatabaseHandle, database: Database, request: CompactionRequest
) -> tuple[tuple[Step, ...], int]:
    """Return the steps of a compaction of the current files, and the largest room of one.

    Raises:
        WorkerError: The request is not possible.
    """
    families = select_families(handle.families, request, str(database.path))
    room = _room(request, database.path)
    step_bytes = _step_bytes(database, room)
    steps = CompactionPlan(handle, families, request, step_bytes).all_steps(handle)
    return steps, max((step.room_needed(MAX_MERGED_STEPS * step_bytes) for step in steps), default=0)


def _step_bytes(database: Database, room: int | None) -> int:
    usual = database.limits.step_bytes or STEP_BYTES
    return usual if room is None else max(_MIN_STEP_BYTES, min(usual, room // MAX_MERGED_STEPS))


def _room(request: CompactionRequest, path: Path) -> int | None:
    """Return the room that a step may take as requested, None for the default."""
    if request.room is not None or request.room_share is None:
        return request.room
    space = disk_space(path)
    return None if space is None else int(request.room_share * space[0])


def _describe_skipped(families: tuple[ColumnFamily, ...], request: CompactionRequest) -> str:
    """Return a text about the requested families that were not compacted, "" if all were."""
    skipped = sorted(
        family.name
        for family in families
        if family.style is CompactionStyle.FIFO and (not request.families or family.name in request.families)
    )
    if not skipped:
        return ""
    names = ", ".join(printable_line(name) for name in skipped[:_MAX_NAMED])
    more = f" and {len(skipped) - _MAX_NAMED} more" if len(skipped) > _MAX_NAMED else ""
    return (
        f"not compacted: {names}{more}, because a compaction of a FIFO column family deletes its oldest files "
        "instead of merging them"
    )


def _log_size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0


def _last_log_error(path: Path, start: int) -> str:
    """Return the last error in RocksDB's log from `start` on, "" if there is none."""
    try:
        with open(path, "rb") as log:
            log.seek(start)
            text = log.read(4 << 20).decode("utf-8", "replace")
    except OSError:
        return ""
    found = [reason for reason in _LOG_ERRORS.findall(text) if reason and not reason.startswith("OK")]
    return found[-1] if found else ""
