"""Statement → Result: what the engine does for each statement, and what it says when it can't."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from jobtui.engine import lifecycle, queries
from jobtui.engine.client import ExecuteResult, Session
from jobtui.engine.inventory import look_at_spaces
from jobtui.engine.jobs import Edit, Transaction
from jobtui.errors import StatementRefused, StorageError
from jobtui.history import StoreError
from jobtui.language.ast import (
    Backup,
    CreateSpace,
    DropSpace,
    Parsed,
    Recover,
    ShowHosts,
    ShowJobs,
    ShowSpaces,
    Statement,
    Stop,
    Submit,
    Use,
)
from jobtui.language.tables import Result
from jobtui.model import Job, JobsArchived
from jobtui.os_errors import explain_shortage
from jobtui.storage.base import Placement, Space

if TYPE_CHECKING:
    from jobtui.engine.cluster.requests import RequestResult
    from jobtui.engine.engine import Engine


ARCHIVED_HERE = "Archived in jobtui's history alone: the cluster keeps its own list of its jobs"


# read in the loop: the way to another thread and back takes longer than a text this short
_SHORT_TEXT = 400


class StatementExecutor:
    """Carries out statements for the engine, in its loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._dropping: set[str] = set()
        self._turns: WeakKeyDictionary[Session, asyncio.Lock] = WeakKeyDictionary()

    async def answer(self, text: str, session: Session) -> ExecuteResult:
        """Parse the whole text, then run its statements in order up to the first that fails."""
        async with self._turns.setdefault(session, asyncio.Lock()):
            parsed = await _parsed(text)
            if isinstance(parsed, ExecuteResult):
                return parsed
            done: list[Result] = []
            for one in parsed:
                words = queries.words(text, one)
                try:
                    done.append(await self._run(one.statement, words, session))
                except (StatementRefused, StoreError, StorageError, OSError) as error:
                    return ExecuteResult(tuple(done), queries.failure(text, one, str(error)))
                except Exception as error:  # told to whoever typed it: no statement may take the screen along
                    defect = f"This is a defect of jobtui: {type(error).__name__}: {error}"
                    why = explain_shortage(error) or defect
                    return ExecuteResult(tuple(done), queries.failure(text, one, why))
            return ExecuteResult(tuple(done))

    async def _run(self, statement: Statement, words: str, session: Session) -> Result:
        engine = self._engine
        match statement:
            case Submit():
                return await self._submit(statement, words, session)
            case Stop():
                stop = engine.dispatch.stop if engine.mirroring is None else engine.mirroring.orders.stop
                jobs, tasks = await stop(statement.jobs)
                return queries.counted(words, "STOP", "stop", jobs, tasks)
            case Recover():
                return await self._recover(statement, words, session)
            case Backup():
                return await self._backup(statement, words)
            case Use():
                session.space = (await self._space(statement.space)).name
                return Result(words)
            case ShowSpaces():
                return queries.all_spaces(words, await look_at_spaces(engine.storage, engine.clock))
            case ShowHosts():
                return queries.all_hosts(words, await engine.storage.hosts())
            case CreateSpace():
                return await self._create(statement, words, session)
            case DropSpace():
                return await self._drop(statement, words, session)
            case ShowJobs(space=str(space)) if space not in {*engine.spaces(), *engine.history.spaces()}:
                return queries.show(statement, words, engine, await engine.known_spaces())
            case _:
                return queries.show(statement, words, engine, engine.spaces())

    # ---- jobs

    async def _submit(self, statement: Submit, words: str, session: Session) -> Result:
        name = statement.space or session.space
        if name is None:
            command = statement.command.upper()
            raise StatementRefused(f"Space was not chosen: USE a space first, or name one: ADMIN {command} nba")
        space = await self._space(name)
        if self._engine.mirroring is not None:
            return _ordered(words, await self._engine.mirroring.orders.submit(statement.command, space.name))
        jobs = await self._queue(lambda book: [self._new_job(book, statement.command, space)])
        return queries.new_jobs(words, jobs)

    async def _recover(self, statement: Recover, words: str, session: Session) -> Result:
        if self._engine.mirroring is not None:
            orders = self._engine.mirroring.orders
            again = orders.recover(statement.jobs) if statement.jobs else orders.recover_all(session.space)
            return _ordered(words, await again, _nothing_to_recover(session.space))
        spaces = await self._engine.known_spaces()
        gone: set[str] = set()

        def edit(book: Transaction) -> list[Job]:
            if statement.jobs:
                old = [self._recoverable(book, job_id, spaces) for job_id in statement.jobs]
            else:
                found = self._not_recovered(book, session.space)
                old = [job for job in found if job.space in spaces]
                gone.update(job.space for job in found if job.space not in spaces)
            return [self._new_job(book, job.command, spaces[job.space], job.id) for job in old]

        jobs = await self._queue(edit)
        if gone:
            names = ", ".join(f"'{name}'" for name in sorted(gone))
            return queries.new_jobs(words, jobs, f"Passed over jobs of spaces that no longer exist: {names}")
        return queries.new_jobs(words, jobs, "" if jobs else _nothing_to_recover(session.space))

    def _recoverable(self, book: Transaction, job_id: int, spaces: dict[str, Space]) -> Job:
        job = queries.recoverable(book.get(job_id), job_id, self._engine.history)
        if job.space not in spaces:
            raise StatementRefused(queries.no_such_space(job.space, spaces))
        return job

    def _not_recovered(self, book: Transaction, space: str | None) -> list[Job]:
        claimed = {job.recovered_from for job in book.drafts.values()}
        ids = self._engine.history.unrecovered(space)
        found = (book.get(job_id) for job_id in ids if job_id not in claimed)
        return [job for job in found if job is not None]

    def _new_job(self, book: Transaction, command: str, space: Space, recovered_from: int | None = None) -> Job:
        if space.name in self._dropping:
            raise StatementRefused(f"Space '{space.name}' is being dropped")
        if not space.hosts:
            raise StatementRefused(f"Space '{space.name}' has no storage host")
        now = self._engine.clock.now()
        return lifecycle.submitted(book.new_id(), command, space.name, space.hosts, now, recovered_from)

    async def _queue(self, edit: Edit) -> Sequence[Job]:
        jobs = await self._engine.ledger.change(edit)
        self._engine.dispatch.enqueue(jobs)
        return jobs

    async def _backup(self, statement: Backup, words: str) -> Result:
        if statement.first > statement.last:
            raise StatementRefused(f"The range {statement.first} to {statement.last} is empty")
        archived = await asyncio.wrap_future(self._engine.history.archive(statement.first, statement.last))
        if archived.ids:
            self._engine.publish([JobsArchived(tuple(archived.ids))])
        here = "" if self._engine.mirroring is None else ARCHIVED_HERE
        return queries.counted(words, "BACKUP", "backup", len(archived.ids), archived.tasks, here)

    # ---- spaces

    async def _space(self, name: str) -> Space:
        spaces = await self._engine.known_spaces()
        if name not in spaces:
            raise StatementRefused(queries.no_such_space(name, spaces))
        return spaces[name]

    async def _create(self, statement: CreateSpace, words: str, session: Session) -> Result:
        self._must_create()
        spaces = await self._engine.known_spaces()
        if statement.space in spaces:
            if statement.if_not_exists:
                if statement.directories is not None:
                    wanted = [_absolute(session.cwd, one) for one in statement.directories]
                    difference = await asyncio.to_thread(_difference, spaces[statement.space], wanted)
                    if difference:
                        raise StatementRefused(f"Space '{statement.space}' exists already, and {difference}")
                return Result(words, notice=f"Space '{statement.space}' exists already")
            raise StatementRefused(f"Space '{statement.space}' exists already")
        directories = statement.directories
        if directories is not None:
            directories = tuple(str(_absolute(session.cwd, one)) for one in directories)
        placement = Placement(statement.count, statement.hosts, directories)
        await self._engine.storage.create_space(statement.space, placement)
        await self._engine.known_spaces()
        return Result(words)

    async def _drop(self, statement: DropSpace, words: str, session: Session) -> Result:
        self._must_create()
        spaces = await self._engine.known_spaces()
        if statement.space not in spaces:
            if statement.if_exists:
                return Result(words, notice=f"Space '{statement.space}' does not exist")
            raise StatementRefused(queries.no_such_space(statement.space, spaces))
        self._dropping.add(statement.space)
        try:
            await self._engine.ledger.change(lambda book: self._must_be_idle(book, statement.space))
            await self._engine.storage.drop_space(statement.space)
        finally:
            self._dropping.discard(statement.space)
        await self._engine.known_spaces()
        if session.space == statement.space:
            session.space = None
        return Result(words)

    def _must_be_idle(self, book: Transaction, space: str) -> Sequence[Job]:
        jobs = {job.id: job for job in self._engine.ledger.active()} | book.drafts
        held = sorted(job.id for job in jobs.values() if job.space == space and not job.status.ended)
        if held:
            ids = ", ".join(str(job_id) for job_id in held[:10]) + (" …" if len(held) > 10 else "")
            raise StatementRefused(f"Space '{space}' has jobs queued or running: STOP JOB {ids} first")
        return ()

    def _must_create(self) -> None:
        if not self._engine.storage.capabilities.create:
            raise StatementRefused("Spaces are created and dropped on embedded storage only")


async def _parsed(text: str) -> list[Parsed] | ExecuteResult:
    if len(text) <= _SHORT_TEXT:
        return queries.parsed(text)
    return await asyncio.to_thread(queries.parsed, text)


def _ordered(words: str, ordered: RequestResult, otherwise: str = "") -> Result:
    return queries.new_jobs(words, ordered.jobs, ordered.notice or ("" if ordered.jobs else otherwise))


def _nothing_to_recover(space: str | None) -> str:
    of = f" of space '{space}'" if space is not None else ""
    return f"Nothing to recover: no failed or stopped job{of} that has not been recovered yet"


def _difference(space: Space, wanted: Sequence[Path]) -> str:
    """Return how a space differs from one that is adopted in the `wanted` directories, "" if it does not."""
    if not space.adopted:
        return f"it is not adopted: it lies on {', '.join(space.hosts)}"
    held = {os.path.realpath(one): one for one in space.hosts}
    asked = {os.path.realpath(one): str(one) for one in wanted}
    missing = [one for real, one in asked.items() if real not in held]
    more = [one for real, one in held.items() if real not in asked]
    parts = [f"{what} {', '.join(found)}" for what, found in (("lacks", missing), ("also has", more)) if found]
    return f"it {' and '.join(parts)}" if parts else ""


def _absolute(cwd: Path, typed: str) -> Path:
    try:
        return Path(cwd, Path(typed).expanduser())
    except RuntimeError:
        raise StatementRefused(f"{typed}: there is no such user's home directory") from None
