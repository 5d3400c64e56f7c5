"""What the keys do to jobs and spaces: ask where it must be asked, say it as a statement, tell what came of it.

A deed never acts on "the row under the cursor": it is given ids, and keeps them while the table moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobtui.config.settings import Confirm
from jobtui.engine.client import ExecuteResult
from jobtui.formatting import format_count, format_ids
from jobtui.language import quote_name
from jobtui.model import Job, Status
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.text.spans import Line, TextRole
from jobtui.tui.text.status import status_span

_NAMED = 8


class JobActions:
    """The deeds; each returns when all is said and done.

    `stop`, `recover` and `archive` ask as the setting `confirm` says, and in any case if some of the jobs are
    `unseen`: marks that the filter hides are easily forgotten.
    """

    def __init__(self, context: Context, host: DashboardHost) -> None:
        self._shared = context
        self._host = host

    async def stop(self, ids: Iterable[int], unseen: int = 0) -> None:
        """Stop the jobs that can be stopped."""
        plan = select_stoppable(ids, self._active())
        if await self._agreed("Stop", plan, unseen):
            meant = plan.touched
            plan = plan.only(select_stoppable(meant, self._active()))
            if not plan.touched:
                ended = "already stopping" not in plan.passed
                jobs = f"job {meant[0]} has" if len(meant) == 1 else f"jobs {format_ids(meant)} have"
                what = f"{jobs} ended" if ended else plan.passed_over
                self._host.show_toast(f"Nothing was left to stop: {what}")
                return
            # what one has stopped oneself ends without a word, unless it is watched
            self._shared.submitted.difference_update(plan.touched)
            answers = await self._say(plan, stop_statements)
            self._report(plan, answers, "asked to stop", "stop")

    async def recover(self, ids: Iterable[int], unseen: int = 0) -> None:
        """Run the jobs again that have ended."""
        plan = select_recoverable(ids, self._active(), self._shared.desk.history.is_archived)
        if await self._agreed("Run again", plan, unseen):
            answers = await self._say(plan, recover_statements)
            self._report(plan, answers, "", "run again")

    async def archive(self, ids: Iterable[int], unseen: int = 0) -> None:
        """Archive the jobs that have ended."""
        plan = select_archivable(ids, self._active(), self._shared.desk.history.is_archived)
        if await self._agreed("Archive", plan, unseen):
            answers = await self._say(plan, archive_statements)
            self._report(plan, answers, "archived", "archive")

    async def flush(self, space: str) -> None:
        """Queue a flush."""
        await self._submit("FLUSH", space)

    async def compact(self, space: str) -> None:
        """Queue a compact, once that is agreed to."""
        lines: list[Line] = [
            (
                ("All SST files of ", TextRole.PLAIN),
                (space, TextRole.STRONG),
                (" are merged and written anew,", TextRole.PLAIN),
            ),
            (("on every host that holds it. It can be stopped.", TextRole.PLAIN),),
        ]
        if self._shared.settings.confirm is Confirm.BULK or await self._host.confirm(
            f"Compact {short_name(space)}?", lambda: lines, "Compact"
        ):
            await self._submit("COMPACT", space)

    async def drop(self, space: str, adopted: bool | None) -> bool:
        """Drop a space once that is agreed to; whether it was."""
        lines: list[Line] = [((space, TextRole.STRONG),)]
        if adopted:
            lines.append((("It is another program's: it is forgotten, nothing is deleted.", TextRole.PLAIN),))
        else:
            lines.append((("Its data is deleted on every host. This can't be undone.", TextRole.FAILED),))
        if not await self._host.confirm("Drop this space?", lambda: lines, "Drop"):
            return False
        return await self._typed(f"DROP SPACE {self._quoted(space)}", space)

    async def use(self, space: str) -> None:
        """Choose the space."""
        await self._typed(f"USE {self._quoted(space)}", space)

    async def _submit(self, command: str, space: str) -> None:
        await self._typed(f"ADMIN {command} {self._quoted(space)}", space)

    async def _typed(self, text: str, space: str) -> bool:
        if self._quoted(space) == "":
            self._host.show_toast(f"No statement can hold this name: {space}", "error")
            return False
        answer = await self._run(text)
        jobs = [job for result in answer.results for job in result.jobs]
        if jobs:
            self._host.show_toast(
                f"job {format_ids(jobs)}: {text.removeprefix('ADMIN ').lower().split()[0]} {space}"
            )
            self._host.watch_jobs(jobs)
        return answer.failure is None

    @staticmethod
    def _quoted(space: str) -> str:
        try:
            return quote_name(space)
        except ValueError:
            return ""

    # -- asking -------------------------------------------------------------------------------------

    def _active(self) -> dict[int, Job]:
        return {job.id: job for job in self._shared.desk.active_jobs()}

    async def _agreed(self, verb: str, plan: Selection, unseen: int) -> bool:
        if not plan.touched:
            why = f"Nothing to {verb.lower()}"
            self._host.show_toast(f"{why}: {plan.passed_over}" if plan.passed else why, "warning")
            return False
        if len(plan.touched) == 1 and not unseen and self._shared.settings.confirm is Confirm.BULK:
            return True
        title = f"{verb} {format_count(len(plan.touched), 'job')}?"
        return await self._host.confirm(title, lambda: self._named(plan, unseen), verb)

    def _named(self, plan: Selection, unseen: int) -> list[Line]:
        lines = [self._job_line(job_id) for job_id in plan.touched[:_NAMED]]
        if len(plan.touched) > _NAMED:
            rest = plan.touched[_NAMED:]
            lines.append(
                ((f"and {format_count(len(rest), 'more job')}: {format_ids(rest, 6)}", TextRole.MUTED),)
            )
        if plan.passed:
            lines.append(((plan.passed_over, TextRole.MUTED),))
        if unseen:
            lines.append(
                ((f"{unseen:,} of the marked jobs not in view: the filter hides them", TextRole.WARNING),)
            )
        return lines

    def _job_line(self, job_id: int) -> Line:
        job = self._shared.desk.job(job_id)
        if job is None:
            return ((f"job {job_id}", TextRole.STRONG),)
        return (
            (f"job {job_id}  ", TextRole.STRONG),
            (f"{job.label[:60]}  ", TextRole.PLAIN),
            status_span(job),
        )

    # -- saying it ----------------------------------------------------------------------------------

    async def _run(self, text: str) -> ExecuteResult:
        answer = await asyncio.wrap_future(self._shared.desk.execute(text, self._shared.session))
        self._host.log_statement(text, answer)
        return answer

    async def _say(
        self, plan: Selection, sayings: Callable[[Sequence[int]], Iterator[StatementBatch]]
    ) -> list[ExecuteResult]:
        answers: list[ExecuteResult] = []
        for saying in sayings(plan.touched):
            answer = await self._run(saying.text)
            if answer.failure is not None and len(saying.ids) > 1:
                # a list is refused whole for one job that changed meanwhile: the others are still meant
                answers += [await self._run(single.text) for job in saying.ids for single in sayings((job,))]
            else:
                answers.append(answer)
        return answers

    def _report(self, plan: Selection, answers: Sequence[ExecuteResult], done: str, verb: str) -> None:
        failures = [answer.failure.message for answer in answers if answer.failure is not None]
        started = [job for answer in answers for result in answer.results for job in result.jobs]
        said: list[str] = []
        if started:
            said.append(_again(started, plan.touched))
        elif done and len(failures) < len(answers):
            said.append(f"{done}: {format_count(len(plan.touched), 'job')} ({format_ids(plan.touched)})")
        if failures:
            said.append(f"could not {verb}: {failures[0]}")
        if plan.passed:
            said.append(plan.passed_over)
        if said:
            self._host.show_toast("\n".join(said), "error" if failures else "information")
        self._host.watch_jobs(started)


def _again(started: Sequence[int], of: Sequence[int]) -> str:
    if len(started) == 1:
        return f"job {started[0]} runs job {format_ids(of)} again"
    return f"jobs {format_ids(started)} run {format_ids(of)} again"


def short_name(space: str) -> str:
    """A space's name for a title: cut where it is long."""
    return space if len(space) <= 40 else space[:39] + "…"


# ---- merged from jobtui.tui.plans: ----
# What a deed on many jobs comes to: which of them it can touch, which it passes over and why.
#
# Pure. A plan is made once, of ids, and stays as it is while the table moves on.
#
_IDS_A_STATEMENT = 500
_STATEMENTS_A_TEXT = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs that will be touched, by id in rising order, and those passed over under the reason for it."""

    touched: tuple[int, ...]
    passed: Mapping[str, tuple[int, ...]]

    @property
    def passed_over(self) -> str:
        """The jobs passed over in words: `passed over: 3, 5 (already ended)`; "" where there are none."""
        if not self.passed:
            return ""
        parts = [f"{format_ids(ids)} ({why})" for why, ids in self.passed.items()]
        return "passed over: " + ", ".join(parts)

    def only(self, later: Selection) -> Selection:
        """This plan, but of the jobs that it touches those alone that a `later` look at them still would."""
        passed = dict(self.passed)
        for why, ids in later.passed.items():
            passed[why] = tuple(sorted((*passed.get(why, ()), *ids)))
        return Selection(later.touched, passed)


Active = Mapping[int, Job]


def select_stoppable(ids: Iterable[int], active: Active) -> Selection:
    """Stop touches what is queued or running and not being stopped already."""

    def why(job_id: int) -> str:
        job = active.get(job_id)
        if job is None:
            return "already ended"
        return "already stopping" if job.stopping else ""

    return _plan(ids, why)


def select_recoverable(ids: Iterable[int], active: Active, archived: Callable[[int], bool]) -> Selection:
    """Recovery touches what has ended and is not archived."""
    return _plan(ids, lambda job_id: _not_ended(job_id, active) or ("archived" if archived(job_id) else ""))


def select_archivable(ids: Iterable[int], active: Active, archived: Callable[[int], bool]) -> Selection:
    """Archiving touches what has ended and is not archived yet."""
    return _plan(
        ids, lambda job_id: _not_ended(job_id, active) or ("already archived" if archived(job_id) else "")
    )


@dataclass(frozen=True, slots=True)
class StatementBatch:
    """A text for the desk, and the jobs that it names one by one (none: ranges)."""

    text: str
    ids: tuple[int, ...] = ()


def stop_statements(ids: Sequence[int]) -> Iterator[StatementBatch]:
    """The statements that stop these jobs."""
    return _listed("STOP JOB", ids)


def recover_statements(ids: Sequence[int]) -> Iterator[StatementBatch]:
    """The statements that run these jobs again."""
    return _listed("RECOVER JOB", ids)


def archive_statements(ids: Sequence[int]) -> Iterator[StatementBatch]:
    """The statements that archive exactly these jobs: a range for each run of neighbouring ids."""
    ranges = [f"BACKUP JOB {first} {last}" for first, last in _runs(ids)]
    for start in range(0, len(ranges), _STATEMENTS_A_TEXT):
        yield StatementBatch("; ".join(ranges[start : start + _STATEMENTS_A_TEXT]))


def _plan(ids: Iterable[int], why: Callable[[int], str]) -> Selection:
    touched: list[int] = []
    passed: dict[str, list[int]] = {}
    for job_id in sorted(ids):
        reason = why(job_id)
        if reason:
            passed.setdefault(reason, []).append(job_id)
        else:
            touched.append(job_id)
    return Selection(tuple(touched), {reason: tuple(jobs) for reason, jobs in passed.items()})


def _not_ended(job_id: int, active: Active) -> str:
    job = active.get(job_id)
    if job is None:
        return ""
    return "still queued" if job.status is Status.QUEUE else "still running"


def _listed(words: str, ids: Sequence[int]) -> Iterator[StatementBatch]:
    for start in range(0, len(ids), _IDS_A_STATEMENT):
        chunk = tuple(ids[start : start + _IDS_A_STATEMENT])
        yield StatementBatch(f"{words} {', '.join(map(str, chunk))}", chunk)


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
