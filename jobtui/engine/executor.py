"""The executor of statements: it carries out each one, and returns its result or refusal."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from jobtui.clock import Clock
from jobtui.engine import queries
from jobtui.engine.advisor import Advisor, advice_result
from jobtui.engine.client import ExecuteResult, Session
from jobtui.engine.control import (
    JobControl,
    JobRunner,
    RecoverRequest,
    SubmitRequest,
    SubmittedJobs,
    require_options,
)
from jobtui.engine.events import EventBus
from jobtui.engine.inventory import InventoryCache, fetch_space_overviews
from jobtui.engine.jobs import JobStore
from jobtui.engine.lifecycle import takes_turns
from jobtui.engine.schedule_runner import ScheduleRunner
from jobtui.engine.schedules import Schedule
from jobtui.errors import StatementRefused, StorageError
from jobtui.history import Sort, StoreError
from jobtui.language.ast import (
    Backup,
    CreateSchedule,
    CreateSpace,
    DropSchedule,
    DropSpace,
    Explain,
    Parsed,
    Pause,
    PauseSchedule,
    Recover,
    Restore,
    Resume,
    ResumeSchedule,
    RunSchedule,
    SetRate,
    ShowAdvice,
    ShowHosts,
    ShowJob,
    ShowJobs,
    ShowSchedules,
    ShowSpaces,
    Statement,
    Stop,
    Submit,
    Use,
)
from jobtui.language.results import Result
from jobtui.model import HostOrder, Job, JobOptions, JobsArchived
from jobtui.os_errors import explain_shortage
from jobtui.storage.base import Placement, Space, Storage
from jobtui.suggest import did_you_mean

ARCHIVED_HERE = "Archived only in jobtui's history: the cluster keeps its own list of its jobs"

# such a text is parsed in the loop: handing it to another thread and back takes longer than parsing it
_SHORT_TEXT = 400


class StatementExecutor:
    """The executor of texts, in the engine's loop. `find_job` returns a job with its progress."""

    def __init__(
        self,
        control: JobControl,
        store: JobStore,
        storage: Storage,
        inventory: InventoryCache,
        events: EventBus,
        clock: Clock,
        find_job: Callable[[int], Job | None],
        schedules: ScheduleRunner,
        advisor: Advisor,
    ) -> None:
        self._control = control
        self._store = store
        self._history = store.history
        self._storage = storage
        self._inventory = inventory
        self._events = events
        self._clock = clock
        self._find_job = find_job
        self._schedules = schedules
        self._advisor = advisor
        self._session_locks: WeakKeyDictionary[Session, asyncio.Lock] = WeakKeyDictionary()

    async def execute(self, text: str, session: Session) -> ExecuteResult:
        """Parse the whole text, then run its statements in order up to the first that fails.

        Texts of one session run one after the other.
        """
        lock = self._session_locks.get(session)
        if lock is None:
            lock = self._session_locks[session] = asyncio.Lock()
        async with lock:
            statements = await _parse(text)
            if isinstance(statements, ExecuteResult):
                return statements
            results: list[Result] = []
            for parsed in statements:
                try:
                    typed = queries.typed_text(text, parsed)
                    results.append(await self._run(parsed.statement, typed, session))
                except (StatementRefused, StoreError, StorageError, OSError) as error:
                    return ExecuteResult(tuple(results), queries.statement_failure(text, parsed, str(error)))
                except Exception as error:  # reported to the user: no statement may end the dashboard
                    defect = f"This is a defect of jobtui: {type(error).__name__}: {error}"
                    why = explain_shortage(error) or defect
                    return ExecuteResult(tuple(results), queries.statement_failure(text, parsed, why))
            return ExecuteResult(tuple(results))

    async def _run(self, statement: Statement, typed: str, session: Session) -> Result:
        match statement:
            case Submit():
                return await self._submit(statement, typed, session)
            case Stop():
                count = await self._control.stop(
                    statement.jobs, statement.because, requested_by=session.requested_by
                )
                return queries.count_result(typed, "STOP", "stop", count.jobs, count.tasks)
            case Pause():
                count = await self._control.pause(
                    statement.jobs, statement.because, now=statement.now, requested_by=session.requested_by
                )
                return queries.count_result(typed, "PAUSE", "pause", count.jobs, count.tasks, count.notice)
            case Resume():
                count = await self._control.resume(
                    statement.jobs, statement.because, requested_by=session.requested_by
                )
                return queries.count_result(typed, "RESUME", "resume", count.jobs, count.tasks, count.notice)
            case SetRate():
                if self._runner() is JobRunner.HTTP:
                    raise StatementRefused(
                        "SET RATE is not possible: storageds limit their writes themselves, by their rate_limit"
                    )
                notice = await self._control.set_rate(
                    statement.rate, statement.job, requested_by=session.requested_by
                )
                return Result(typed, notice=notice)
            case Recover():
                return await self._recover(statement, typed, session)
            case Backup():
                return await self._backup(statement, typed)
            case Restore():
                return await self._restore(statement, typed)
            case Use():
                session.space = (await self._space(statement.space)).name
                return Result(typed)
            case ShowSpaces():
                spaces = await fetch_space_overviews(self._storage, self._clock)
                return queries.spaces_result(typed, spaces)
            case Explain():
                return await self._explain(statement.statement, typed, session)
            case ShowAdvice():
                return await self._advise(statement, typed)
            case ShowHosts():
                return queries.hosts_result(typed, await self._storage.hosts())
            case CreateSpace():
                return await self._create(statement, typed, session)
            case DropSpace():
                return await self._drop(statement, typed, session)
            case CreateSchedule():
                return await self._create_schedule(statement, typed, session)
            case ShowSchedules():
                if self._schedules.refusal:
                    raise StatementRefused(self._schedules.refusal)
                found = self._schedules.all()
                return queries.schedules_result(typed, found, self._find_job, self._clock.now())
            case PauseSchedule():
                await self._schedules.pause(statement.name, session.requested_by)
                return Result(typed)
            case ResumeSchedule():
                await self._schedules.resume(statement.name, session.requested_by)
                return Result(typed)
            case RunSchedule():
                job, resumed = await self._schedules.run_now(statement.name, session.requested_by)
                notice = f"Job {job.id} continues: the end of its window had paused it" if resumed else ""
                return queries.new_jobs_result(typed, (job,), notice)
            case DropSchedule():
                notice = await self._schedules.drop(
                    statement.name, if_exists=statement.if_exists, requested_by=session.requested_by
                )
                return Result(typed, notice=notice)
            case _:
                return await self._show(statement, typed)

    async def _show(self, statement: Statement, typed: str) -> Result:
        known: Collection[str] = self._inventory.space_names()
        if (
            isinstance(statement, ShowJobs)
            and statement.space is not None
            and statement.space not in {*known, *self._history.spaces()}
        ):
            known = await self._inventory.fetch_spaces()  # it may have been created a moment ago
        if isinstance(statement, ShowJob):
            await self._control.complete(statement.job)
        # a cluster's jobs have ids in the order in which they were first seen here, not in that of their times
        order = Sort.SUBMITTED if self._control.outlives_engine else Sort.ID
        return queries.answer_show(statement, typed, self._history, self._find_job, known, order)

    # ---- jobs

    async def _advise(self, statement: ShowAdvice, typed: str) -> Result:
        if statement.space is not None:
            spaces: tuple[Space, ...] = (await self._space(statement.space),)
        else:
            spaces = tuple((await self._inventory.fetch_spaces()).values())
        return advice_result(typed, await self._advisor.advise(spaces))

    async def _explain(self, statement: Submit, typed: str, session: Session) -> Result:
        space = await self._checked_space(statement, session)
        hosts = await self._ordered_hosts(space, statement.options)
        windows = self._schedules.windows(Submit(statement.command, space.name, statement.options))
        return await self._advisor.explain(statement, typed, space, hosts, windows)

    async def _submit(self, statement: Submit, typed: str, session: Session) -> Result:
        request = await self._request(statement, session, session.requested_by)
        return _submitted_result(typed, await self._control.submit(request))

    async def submit_scheduled(self, schedule: Schedule) -> SubmittedJobs:
        """Submit the job of a schedule. Raises StatementRefused, StorageError and StoreError."""
        creator = schedule.requested_by.partition(",")[0]
        session = Session(schedule.space)
        request = await self._request(schedule.statement, session, f"{creator}, schedule", schedule.name)
        return await self._control.submit(request)

    async def _request(
        self, statement: Submit, session: Session, requested_by: str, schedule: str = ""
    ) -> SubmitRequest:
        """Return the request for a job, its hosts in the order of their turns.

        Raises StatementRefused.
        """
        space = await self._checked_space(statement, session)
        space = replace(space, hosts=await self._ordered_hosts(space, statement.options))
        return SubmitRequest(statement.command, space, statement.options, requested_by, schedule=schedule)

    async def _create_schedule(self, statement: CreateSchedule, typed: str, session: Session) -> Result:
        space = await self._checked_space(statement.statement, session)
        return Result(typed, notice=await self._schedules.create(statement, space.name, session.requested_by))

    async def _checked_space(self, statement: Submit, session: Session) -> Space:
        """Return the space of a job, after checking that its options are possible.

        Raises StatementRefused.
        """
        name = statement.space or session.space
        if name is None:
            command = statement.command.upper()
            raise StatementRefused(f"Space was not chosen: USE a space first, or name one: ADMIN {command} nba")
        require_options(statement, self._runner())
        space = await self._space(name)
        for host in statement.options.hosts:
            if host not in space.hosts:
                raise StatementRefused(_no_such_host(host, space))
        return space

    async def _ordered_hosts(self, space: Space, options: JobOptions) -> tuple[str, ...]:
        """Return the hosts of a job in the order of their turns: those of ON, or all of the space.

        Of a cluster's hosts, those that lead the most parts come last: they serve the most requests.
        """
        if options.hosts:
            hosts = tuple(dict.fromkeys(options.hosts))
        elif self._runner() is JobRunner.HTTP and takes_turns(options):
            # a request to each host, of which one may be silent: not for jobs whose hosts begin together
            leaders = {host.name: host.leaders or 0 for host in await self._storage.hosts()}
            hosts = tuple(sorted(space.hosts, key=lambda host: leaders.get(host, 0)))
        else:
            hosts = space.hosts
        if options.order is HostOrder.LISTED:
            return hosts
        sizes = await asyncio.gather(*(self._size(space.name, host) for host in hosts))
        known = {host: size for host, size in zip(hosts, sizes, strict=True) if size is not None}
        largest = options.order is HostOrder.LARGEST
        # hosts of unknown size come last
        ordered = sorted(known, key=lambda host: known[host], reverse=largest)
        return (*ordered, *(host for host in hosts if host not in known))

    async def _size(self, space: str, host: str) -> int | None:
        try:
            return (await self._storage.stats(space, host)).bytes
        except StorageError:
            return None

    def _runner(self) -> JobRunner:
        if self._control.outlives_engine:
            return JobRunner.CLUSTER
        return JobRunner.EMBEDDED if self._storage.is_space_admin else JobRunner.HTTP

    async def _recover(self, statement: Recover, typed: str, session: Session) -> Result:
        request = RecoverRequest(
            statement.because, statement.failed_only, statement.whole, session.requested_by
        )
        if statement.jobs:
            return _submitted_result(typed, await self._control.recover(statement.jobs, request))
        submitted = await self._control.recover_all(session.space, request)
        return _submitted_result(typed, submitted, _nothing_to_recover(session.space))

    async def _backup(self, statement: Backup, typed: str) -> Result:
        if statement.first > statement.last:
            raise StatementRefused(f"The range {statement.first} to {statement.last} is empty")
        archived = await asyncio.wrap_future(self._history.archive(statement.first, statement.last))
        if archived.ids:
            self._events.publish([JobsArchived(tuple(archived.ids))])
        notice = ARCHIVED_HERE if self._control.outlives_engine else ""
        return queries.count_result(typed, "BACKUP", "backup", len(archived.ids), archived.tasks, notice)

    async def _restore(self, statement: Restore, typed: str) -> Result:
        first, last = statement.first, statement.last
        if last is None:
            last = first
            queries.require_archived(first, self._history)
        if first > last:
            raise StatementRefused(f"The range {first} to {last} is empty")
        restored = await asyncio.wrap_future(self._history.restore(first, last))
        if restored.ids:
            self._events.publish([JobsArchived(tuple(restored.ids), restored=True)])
        return queries.count_result(typed, "RESTORE", "restore", len(restored.ids), restored.tasks)

    # ---- spaces

    async def _space(self, name: str) -> Space:
        spaces = await self._inventory.fetch_spaces()
        if name not in spaces:
            raise StatementRefused(queries.no_such_space(name, spaces))
        return spaces[name]

    async def _create(self, statement: CreateSpace, typed: str, session: Session) -> Result:
        self._require_local_storage()
        spaces = await self._inventory.fetch_spaces()
        if statement.space in spaces:
            if statement.if_not_exists:
                if statement.directories is not None:
                    wanted = [_absolute(session.cwd, one) for one in statement.directories]
                    difference = await asyncio.to_thread(_difference, spaces[statement.space], wanted)
                    if difference:
                        raise StatementRefused(f"Space '{statement.space}' exists already, and {difference}")
                return Result(typed, notice=f"Space '{statement.space}' exists already")
            raise StatementRefused(f"Space '{statement.space}' exists already")
        directories = statement.directories
        if directories is not None:
            directories = tuple(str(_absolute(session.cwd, one)) for one in directories)
        placement = Placement(statement.count, statement.hosts, directories)
        await self._storage.create_space(statement.space, placement)
        await self._inventory.fetch_spaces()
        return Result(typed)

    async def _drop(self, statement: DropSpace, typed: str, session: Session) -> Result:
        self._require_local_storage()
        spaces = await self._inventory.fetch_spaces()
        if statement.space not in spaces:
            if statement.if_exists:
                return Result(typed, notice=f"Space '{statement.space}' does not exist")
            raise StatementRefused(queries.no_such_space(statement.space, spaces))
        async with self._store.reserve_space(statement.space):
            await self._storage.drop_space(statement.space)
        await self._inventory.fetch_spaces()
        if session.space == statement.space:
            session.space = None
        return Result(typed)

    def _require_local_storage(self) -> None:
        if not self._storage.is_space_admin:
            raise StatementRefused("Spaces are created and dropped on embedded storage only")


def _no_such_host(host: str, space: Space) -> str:
    near = did_you_mean(host, space.hosts)
    hint = f"did you mean '{near}'?" if near else f"it is on {', '.join(space.hosts)}"
    return f"Space '{space.name}' is not on host '{host}'; {hint}"


def _submitted_result(typed: str, submitted: SubmittedJobs, if_none: str = "") -> Result:
    return queries.new_jobs_result(
        typed, submitted.jobs, submitted.notice or ("" if submitted.jobs else if_none)
    )


async def _parse(text: str) -> list[Parsed] | ExecuteResult:
    if len(text) <= _SHORT_TEXT:
        return queries.parse_or_answer(text)
    return await asyncio.to_thread(queries.parse_or_answer, text)


def _nothing_to_recover(space: str | None) -> str:
    of = f" of space '{space}'" if space is not None else ""
    return f"Nothing to recover: no failed or stopped job{of} that has not been recovered yet"


def _difference(space: Space, wanted: Sequence[Path]) -> str:
    """Return how a space differs from one adopted in `wanted`, "" if it does not."""
    if not space.adopted:
        return f"it is not adopted: it is on {', '.join(space.hosts)}"
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
