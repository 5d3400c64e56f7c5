"""The cluster's own job manager, queried and commanded through graphd (3.0 to 3.8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from typing_extensions import override

from jobtui.clock import Clock, SystemClock
from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionStatus, SpaceStats
from jobtui.storage.base import ClusterJob, ClusterJobManager, CompactionFigures, Host, Space
from jobtui.storage.nebula import ngql
from jobtui.storage.nebula.ngql import ErrorReply, NgqlTable, Reply, SameReply
from jobtui.storage.nebula.properties import StoragedStats
from jobtui.storage.nebula.reconnector import Reconnector
from jobtui.storage.nebula.session import GraphdSession
from jobtui.storage.nebula.settings import ClusterSettings

T = TypeVar("T")
LEADER_CHANGE_SECONDS = 1.0
"""Wait before a query is repeated: graphd finds a new leader of metad within a second or two."""
SLOW_ANSWER_SECONDS = 5.0
"""The time after which the status reports a missing answer, since the shown data is no longer current."""


class GraphdJobManager(ClusterJobManager):
    """A `ClusterJobManager` over graphd.

    Lists of jobs, other queries and commands have a session each, so that none waits for the others: metad may
    take half a minute for the list of one space.
    """

    def __init__(self, settings: ClusterSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._lists = GraphdSession(settings, "nebula-lists")
        self._queries = GraphdSession(settings, "nebula-queries")
        self._commands = GraphdSession(settings, "nebula-commands")
        self._reconnector = Reconnector(self._queries.connect, self._clock)
        self._stats = StoragedStats(settings, clock=self._clock)
        self._slow_queries: set[_SlowQueryTimer] = set()

    @property
    @override
    def cluster(self) -> str:
        return self._settings.name

    @property
    @override
    def link(self) -> ConnectionStatus:
        return self._reconnector.status

    @override
    def watch(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        return self._reconnector.watch(listener)

    @override
    async def start(self) -> None:
        self._reconnector.start()

    @override
    async def ready(self) -> None:
        await self._reconnector.wait_first_attempt()
        self._reconnector.require_connection()

    @override
    def retry_now(self) -> None:
        self._reconnector.retry_now()

    @override
    async def close(self) -> None:
        await self._reconnector.close()
        await asyncio.gather(self._commands.close(), self._queries.close(), self._lists.close())

    @override
    async def spaces(self) -> tuple[Space, ...]:
        return (await self.layout())[0]

    @override
    async def hosts(self) -> tuple[Host, ...]:
        return ngql.parse_hosts(await self._query(ngql.SHOW_HOSTS))

    @override
    async def layout(self) -> tuple[tuple[Space, ...], tuple[Host, ...]]:
        names, hosts = await self._query(ngql.SHOW_SPACES), await self._query(ngql.SHOW_HOSTS)
        return ngql.parse_spaces(names, hosts), ngql.parse_hosts(hosts)

    @override
    async def stats(self, space: str, host: str) -> SpaceStats:
        return (await self._stats.fetch(space, host)).now

    @override
    async def figures(self, space: str, host: str) -> CompactionFigures:
        return (await self._stats.fetch(space, host)).for_compaction()

    @override
    async def jobs(self, space: str, since: int = 0) -> tuple[ClusterJob, ...]:
        reply = await self._list(space)
        assert not isinstance(reply, SameReply), "no digest is known"
        return ngql.parse_jobs(reply, since)

    @override
    async def list_jobs(self, space: str, known: str) -> tuple[tuple[ClusterJob, ...] | None, str]:
        reply = await self._list(space, known)
        return (None, known) if isinstance(reply, SameReply) else (ngql.parse_jobs(reply), reply.digest)

    @override
    async def show(self, space: str, job: int) -> ClusterJob:
        return ngql.parse_job(await self._query(ngql.show_job_text(space, job), space), job)

    @override
    async def submit(self, command: str, space: str) -> int:
        if command not in ngql.COMMANDS:
            raise StorageError(
                ErrorCode.UNSUPPORTED, "", space, f"'{command}' cannot be submitted to the cluster"
            )
        return await self._execute(ngql.submit_text(command, space), space, ngql.parse_new_job_id)

    @override
    async def stop(self, space: str, job: int) -> None:
        await self._execute(ngql.stop_text(space, job), space, lambda _: None)

    @override
    async def recover(self, space: str, jobs: Sequence[int] = ()) -> int:
        return await self._execute(ngql.recover_text(space, jobs), space, ngql.parse_recovered_count)

    async def _query(self, text: str, space: str = "") -> NgqlTable:
        reply = await self._query_in(self._queries, text, space)
        assert not isinstance(reply, SameReply), "no digest is known"
        return reply

    async def _list(self, space: str, known: str | None = None) -> NgqlTable | SameReply:
        return await self._query_in(self._lists, ngql.show_jobs_text(space), space, known)

    async def _query_in(
        self, session: GraphdSession, text: str, space: str, known: str | None = None
    ) -> NgqlTable | SameReply:
        await self.ready()
        reply = await self._query_once(session, text, space, known)
        if isinstance(reply, ErrorReply) and ngql.is_leader_change(reply):
            await self._clock.sleep(LEADER_CHANGE_SECONDS)
            reply = await self._query_once(session, text, space, known)
        if isinstance(reply, ErrorReply):
            error = ngql.graphd_error(reply, space)
            if error.code is ErrorCode.UNREACHABLE:
                self._reconnector.on_failing_answer(f"metad is away: {error.detail.partition(':')[0]}")
            else:
                self._report_answer()
            raise error
        self._report_answer()
        return reply if isinstance(reply, SameReply) else _require_space(reply, space)

    def _report_answer(self) -> None:
        if not self._slow_queries:  # otherwise a part of what is shown is still old
            # always of the same session: two may be connected to different graphds
            self._reconnector.on_answer(self._queries.address)

    async def _query_once(
        self, session: GraphdSession, text: str, space: str, known: str | None
    ) -> Reply | SameReply:
        def report_slow(seconds: float) -> None:
            self._slow_queries.add(timer)
            self._reconnector.on_slow_answer(seconds)

        timer = _SlowQueryTimer(report_slow)
        try:
            reply = await session.query(text, timer.start, known)
        except StorageError as error:
            self._reconnector.on_error(error)
            raise StorageError(error.code, error.host, space, error.detail) from None
        finally:
            timer.stop()
            self._slow_queries.discard(timer)
        return reply

    async def _execute(self, text: str, space: str, parse: Callable[[NgqlTable], T]) -> T:
        await self.ready()
        try:
            reply = await self._commands.execute(text)
        except StorageError as error:
            if not error.outcome_unknown:
                self._reconnector.on_error(error)
            detail = (
                f"{error.detail}; it may have been done all the same" if error.outcome_unknown else error.detail
            )
            raise StorageError(
                error.code, error.host, space, detail, outcome_unknown=error.outcome_unknown
            ) from None
        if isinstance(reply, ErrorReply):
            raise ngql.graphd_error(reply, space, is_command=True)
        try:
            return parse(_require_space(reply, space))
        except StorageError as error:  # it was carried out, whatever jobtui makes of the answer
            raise StorageError(error.code, error.host, space, error.detail, outcome_unknown=True) from None


def _require_space(reply: NgqlTable, space: str) -> NgqlTable:
    """Return the answer if it is about this space. Raises StorageError (rejected).

    A session whose USE is refused stays in the space that it had chosen before, so that the next answer would
    be about that one. jobtui sends the USE in the same text, which graphd refuses as a whole.
    """
    if space and reply.space not in ("", space):
        text = f"the cluster answered about space '{reply.space}' instead"
        raise StorageError(ErrorCode.REJECTED, "", space, text)
    return reply


class _SlowQueryTimer:
    """A timer that reports once when a query under way has no answer.

    It begins with the query itself: the time that a query waits for those before it does not count.
    """

    def __init__(self, report: Callable[[float], None]) -> None:
        self._report = report
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Start the timer, unless the caller has given up meanwhile."""
        if not self._is_stopped:
            self._timer = asyncio.get_running_loop().call_later(
                SLOW_ANSWER_SECONDS, self._report, SLOW_ANSWER_SECONDS
            )

    def stop(self) -> None:
        """Stop the timer: there is an answer, or no caller waits for one."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
