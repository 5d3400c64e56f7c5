"""Actions on jobs and spaces: confirm if necessary, run statements, report the result.

An action works on the ids that it was started with: while its question is open, the cursor may move.
What an action affects is a `Selection`, created once by a pure function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from jobtui.config.settings import Confirm
from jobtui.engine.client import ExecuteResult, Session
from jobtui.formatting import format_count, format_ids, format_rate
from jobtui.language import quote_name
from jobtui.model import Job
from jobtui.tui.actions.selection import (
    Selection,
    select_archivable,
    select_archived,
    select_pausable,
    select_paused,
    select_recoverable,
    select_stoppable,
)
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.text.notices import explained_lines, job_lines
from jobtui.tui.text.spans import Line, TextRole

_NAMED = 8
_RUN_AGAIN, _RESTORE_AND_RUN_AGAIN = "Run again", "Restore and run again"
# in bytes a second; the first one if there is no limit yet
_FIRST_RATE = 64 << 20
_MIN_RATE = 64 << 10


class JobActions:
    """The actions; each returns when its result has been reported.

    `stop`, `recover` and `archive` ask as the setting `confirm` says, and always if some of the jobs are
    `unseen`: marks that the filter hides are easily forgotten.
    """

    def __init__(self, context: Context, host: DashboardHost) -> None:
        self.context = context
        self._host = host
        # two keys in quick succession take two steps
        self._rate_lock = asyncio.Lock()
        # texts of one session run one after the other: a key must not wait for what was typed
        self._session = Session(kind="dashboard")

    async def stop(self, ids: Iterable[int], unseen: int = 0) -> None:
        """Stop the jobs that can be stopped."""
        selection = select_stoppable(ids, self._active())
        if await self._is_confirmed("Stop", selection, unseen):
            confirmed = selection.touched
            selection = selection.only(select_stoppable(confirmed, self._active()))
            if not selection.touched:
                ended = "already stopping" not in selection.skipped
                jobs, have = ("job", "has") if len(confirmed) == 1 else ("jobs", "have")
                what = f"{jobs} {format_ids(confirmed)} {have} ended" if ended else selection.skipped_text
                self._host.show_toast(f"Nothing was left to stop: {what}")
                return
            # the end of a job that the user has stopped is not reported, unless it is watched
            self.context.submitted.difference_update(selection.touched)
            answers = await self._run_all(selection, stop_statements)
            self._report(selection, answers, "asked to stop", "stop")

    async def pause_or_resume(self, ids: Iterable[int]) -> None:
        """Pause the jobs that are not paused; if all of them are, let them continue."""
        ids = tuple(ids)
        active = self._active()
        selection = select_pausable(ids, active)
        verb, done, command = "pause", "asked to pause", "PAUSE JOB"
        if not selection.touched and any(active[job_id].paused for job_id in ids if job_id in active):
            selection = select_paused(ids, active)
            verb, done, command = "resume", "resumed", "RESUME JOB"
        if not selection.touched:
            self._host.show_toast(
                f"Nothing to {verb}: {selection.skipped_jobs}" if selection.skipped else "No job", "warning"
            )
            return
        answers = await self._run_all(selection, lambda jobs: _listed(command, jobs))
        self._report(selection, answers, done, verb)
        notices = [result.notice for _, answer in answers for result in answer.results if result.notice]
        if notices:
            self._host.show_toast(notices[0], "warning")

    async def change_rate(self, ids: Iterable[int], *, faster: bool) -> None:
        """Double or halve the write limit of running jobs."""
        async with self._rate_lock:
            await self._change_rate(ids, faster=faster)

    async def _change_rate(self, ids: Iterable[int], *, faster: bool) -> None:
        for job_id in ids:
            if job_id not in self._active():
                self._host.show_toast(f"Job {job_id} is not running: its write limit has no effect", "warning")
                continue
            # the last snapshot of the job may be older than its limit, which another client may have set
            shown = await self._execute(f"SHOW JOB {job_id}")
            if shown.failure is not None:
                self._host.show_toast(shown.failure.message, "error")
                return
            limit = _write_limit(shown)
            if faster and limit is None:
                # any limit would slow down a job that has none
                self._host.show_toast(f"Job {job_id} has no write limit to raise", "warning")
                continue
            if not faster and limit is not None and limit <= _MIN_RATE:
                kept = f"Job {job_id} keeps its write limit of {format_rate(limit)}"
                self._host.show_toast(f"{kept}: SET RATE sets a lower one", "warning")
                continue
            lower = max(_MIN_RATE, limit // 2) if limit else _FIRST_RATE
            rate = 2 * limit if limit and faster else lower
            answer = await self._run(f"SET RATE {max(1, rate >> 10)} KiB FOR JOB {job_id}")
            if answer.failure is not None:
                self._host.show_toast(answer.failure.message, "error")
                return
            self._host.show_toast("\n".join(result.notice for result in answer.results))

    async def recover(self, ids: Iterable[int], unseen: int = 0) -> None:
        """Run those of the jobs again that have ended."""
        selection = select_recoverable(ids, self._active(), self.context.client.history.is_archived)
        if await self._is_confirmed(_RUN_AGAIN, selection, unseen):
            answers = await self._run_all(selection, recover_statements)
            self._report(selection, answers, "", "run again")

    async def recover_hosts(self, job_id: int, *, failed_only: bool) -> None:
        """Run a job again, on all hosts or only on those that did not finish."""
        selection = select_recoverable([job_id], self._active(), self.context.client.history.is_archived)
        if selection.touched:
            option = " WITH failed_only = true" if failed_only else ""
            batch = StatementBatch(f"RECOVER JOB {job_id}{option}", (job_id,))
            self._report(selection, [(batch, await self._run(batch.text))], "", "run again")

    async def archive(self, ids: Iterable[int], unseen: int = 0) -> None:
        """Archive those of the jobs that have ended."""
        selection = select_archivable(ids, self._active(), self.context.client.history.is_archived)
        if await self._is_confirmed("Archive", selection, unseen):
            answers = await self._run_all(selection, archive_statements)
            self._report(selection, answers, "archived", "archive")

    async def restore(self, ids: Iterable[int], unseen: int = 0) -> None:
        """Bring those of the jobs back that are archived."""
        selection = select_archived(ids, self.context.client.history.is_archived)
        if await self._is_confirmed("Restore", selection, unseen):
            answers = await self._run_all(selection, restore_statements)
            self._report(selection, answers, "back among the jobs", "restore")

    async def recover_archived(self, ids: Iterable[int], unseen: int = 0) -> None:
        """Bring archived jobs back, and run them again."""
        selection = select_archived(ids, self.context.client.history.is_archived)
        if await self._is_confirmed(_RESTORE_AND_RUN_AGAIN, selection, unseen):
            answers = await self._run_all(selection, restore_statements)
            if all(answer.failure is None for _, answer in answers):
                answers = await self._run_all(selection, recover_statements)
            self._report(selection, answers, "", "run again")

    async def flush(self, space: str) -> None:
        """Submit a flush."""
        await self._run_on_space(f"ADMIN FLUSH {self._quoted(space)}", space)

    async def compact(self, space: str, advised: str = "") -> None:
        """Submit a compaction of the space, or the advised statement for it, after a confirmation."""
        quoted = self._quoted(space)
        statement = advised or f"ADMIN COMPACT {quoted}"
        verb = "Flush" if statement.startswith("ADMIN FLUSH ") else "Compact"
        of_all_hosts = statement == f"ADMIN {verb.upper()} {quoted}"
        explained = None
        if self.context.settings.confirm is not Confirm.BULK and quoted:
            # in a session of its own: the statement must not wait for it
            explained = self.context.client.execute(f"EXPLAIN {statement}", Session(kind="dashboard"))
        lines = _effect_lines(verb, space, "" if of_all_hosts else statement)
        if explained is None or await self._host.confirm(
            f"{verb} {short_name(space)}?", lambda: [*lines, *explained_lines(explained)], verb
        ):
            await self._run_on_space(statement, space)

    async def drop(self, space: str, adopted: bool | None) -> bool:
        """Drop a space after a confirmation; return whether it was dropped."""
        lines: list[Line] = [((space, TextRole.STRONG),)]
        if adopted:
            lines.append(
                (("It belongs to another program: jobtui forgets it, nothing is deleted.", TextRole.PLAIN),)
            )
        else:
            lines.append((("Its data is deleted on every host. This cannot be undone.", TextRole.FAILED),))
        if not await self._host.confirm("Drop this space?", lambda: lines, "Drop"):
            return False
        return await self._run_on_space(f"DROP SPACE {self._quoted(space)}", space, self.context.session)

    async def use(self, space: str) -> None:
        """Choose the space for the command bar."""
        await self._run_on_space(f"USE {self._quoted(space)}", space, self.context.session)

    async def _run_on_space(self, text: str, space: str, session: Session | None = None) -> bool:
        """Run a text about a space, in the actions' session by default; return its success."""
        if self._quoted(space) == "":
            self._host.show_toast(f"This name cannot be written in a statement: {space}", "error")
            return False
        answer = await self._run(text, session)
        jobs = [job for result in answer.results for job in result.jobs]
        if jobs:
            command = text.removeprefix("ADMIN ").lower().split()[0]
            self._host.show_toast(f"new job {format_ids(jobs)}: {command} {space}")
            self._host.watch_jobs(jobs)
            self._host.select_job(jobs[-1])  # as after a statement in the command bar
        return answer.failure is None

    @staticmethod
    def _quoted(space: str) -> str:
        try:
            return quote_name(space)
        except ValueError:
            return ""

    # -- confirmation -------------------------------------------------------------------------------------

    def _active(self) -> dict[int, Job]:
        return {job.id: job for job in self.context.client.active_jobs()}

    async def _is_confirmed(self, verb: str, selection: Selection, unseen: int) -> bool:
        if not selection.touched:
            why = f"Nothing to {verb.lower()}"
            self._host.show_toast(f"{why}: {selection.skipped_jobs}" if selection.skipped else why, "warning")
            return False
        if len(selection.touched) == 1 and not unseen and self.context.settings.confirm is Confirm.BULK:
            return True
        jobs = format_count(len(selection.touched), "job")
        action, again, _ = verb.partition(" again")
        return await self._host.confirm(
            f"{action} {jobs}{again}?", lambda: self._question_lines(selection, unseen, verb), verb
        )

    def _question_lines(self, selection: Selection, unseen: int, verb: str) -> list[Line]:
        client, named = self.context.client, selection.touched[:_NAMED]
        shown = {job_id: client.job(job_id) or client.history.get_archived(job_id) for job_id in named}
        lines = job_lines(shown, with_continuation=verb in (_RUN_AGAIN, _RESTORE_AND_RUN_AGAIN))
        if len(selection.touched) > _NAMED:
            rest = selection.touched[_NAMED:]
            lines.append(
                ((f"and {format_count(len(rest), 'more job')}: {format_ids(rest, 6)}", TextRole.MUTED),)
            )
        if selection.skipped:
            lines.append(((selection.skipped_text, TextRole.MUTED),))
        if unseen:
            lines.append(((f"The filter hides {format_count(unseen, 'marked job')}", TextRole.WARNING),))
        return lines

    # -- statements ----------------------------------------------------------------------------------

    async def _run(self, text: str, session: Session | None = None) -> ExecuteResult:
        answer = await self._execute(text, session)
        self._host.log_statement(text, answer)
        return answer

    async def _execute(self, text: str, session: Session | None = None) -> ExecuteResult:
        return await self.context.execute(text, session or self._session)

    async def _run_all(
        self, selection: Selection, statements: Callable[[Sequence[int]], Iterator[StatementBatch]]
    ) -> list[tuple[StatementBatch, ExecuteResult]]:
        answers: list[tuple[StatementBatch, ExecuteResult]] = []
        for batch in statements(selection.touched):
            answer = await self._run(batch.text)
            if answer.failure is not None and batch.is_list and len(batch.ids) > 1:
                # one job that changed meanwhile has the whole list rejected: run the others one by one
                singles = [single for job in batch.ids for single in statements((job,))]
                answers += [(single, await self._run(single.text)) for single in singles]
            else:
                answers.append((batch, answer))
        return answers

    def _report(
        self,
        selection: Selection,
        answers: Sequence[tuple[StatementBatch, ExecuteResult]],
        done: str,
        verb: str,
    ) -> None:
        failures = [answer.failure.message for _, answer in answers if answer.failure is not None]
        started = [job for _, answer in answers for result in answer.results for job in result.jobs]
        touched = [job for batch, answer in answers if answer.failure is None for job in batch.ids]
        parts: list[str] = []
        if started:
            parts.append(_rerun_text(started, touched))
        elif done and touched:
            parts.append(f"{done}: {format_count(len(touched), 'job')} ({format_ids(touched)})")
        if failures:
            parts.append(f"could not {verb}: {failures[0]}")
        if selection.skipped:
            parts.append(selection.skipped_text)
        if parts:
            self._host.show_toast("\n".join(parts), "error" if failures else "information")
        self._host.watch_jobs(started)


def _write_limit(shown: ExecuteResult) -> int | None:
    """Return the write limit in the answer to SHOW JOB, None if there is none."""
    limit = shown.results[0].rows[0].values.get("write_limit")
    return limit if isinstance(limit, int) and limit > 0 else None


def _rerun_text(started: Sequence[int], of: Sequence[int]) -> str:
    if len(started) == 1:
        return f"job {started[0]} runs job {format_ids(of)} again"
    return f"jobs {format_ids(started)} run {format_ids(of)} again"


def short_name(space: str) -> str:
    """Return the name of a space for a title, truncated if it is long."""
    return space if len(space) <= 40 else space[:39] + "…"


_IDS_A_STATEMENT = 500
_STATEMENTS_A_TEXT = 100


class StatementBatch(msgspec.Struct, frozen=True):
    """A text to execute, and the jobs that it acts on.

    `is_list`: it is one statement with a list of jobs, all of which it acts on, or on none.
    """

    text: str
    ids: tuple[int, ...]
    is_list: bool = True


def stop_statements(ids: Sequence[int]) -> Iterator[StatementBatch]:
    """Yield the statements that stop these jobs."""
    return _listed("STOP JOB", ids)


def recover_statements(ids: Sequence[int]) -> Iterator[StatementBatch]:
    """Yield the statements that run these jobs again."""
    return _listed("RECOVER JOB", ids)


def archive_statements(ids: Sequence[int]) -> Iterator[StatementBatch]:
    """Yield the statements that archive exactly these jobs, a range for consecutive ids."""
    return _ranged("BACKUP JOB", ids)


def restore_statements(ids: Sequence[int]) -> Iterator[StatementBatch]:
    """Yield the statements that restore exactly these jobs, a range for consecutive ids."""
    return _ranged("RESTORE JOB", ids)


def _ranged(command: str, ids: Sequence[int]) -> Iterator[StatementBatch]:
    ranges = list(_runs(ids))
    for start in range(0, len(ranges), _STATEMENTS_A_TEXT):
        part = ranges[start : start + _STATEMENTS_A_TEXT]
        text = "; ".join(f"{command} {first} {last}" for first, last in part)
        touched = tuple(job for first, last in part for job in range(first, last + 1))
        yield StatementBatch(text, touched, is_list=False)


def _listed(command: str, ids: Sequence[int]) -> Iterator[StatementBatch]:
    for start in range(0, len(ids), _IDS_A_STATEMENT):
        chunk = tuple(ids[start : start + _IDS_A_STATEMENT])
        yield StatementBatch(f"{command} {', '.join(map(str, chunk))}", chunk)


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


def _effect_lines(verb: str, space: str, advised: str) -> list[Line]:
    """Return what the job does to the space, and the statement if it is an advised one."""
    before, after, end = "All SST files of ", " are merged and rewritten", ". It can be stopped."
    if verb == "Flush":
        before, after, end = "What ", " holds in memory is written to SST files", "."
    where = "the hosts that need it" if advised else "every host that holds it"
    text: Line = (
        (before, TextRole.PLAIN),
        (space, TextRole.STRONG),
        (f"{after}, on {where}{end}", TextRole.PLAIN),
    )
    return [text, ((advised, TextRole.ACCENT),)] if advised else [text]
