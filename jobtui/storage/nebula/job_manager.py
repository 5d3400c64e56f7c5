"""The cluster's own job manager, seen and spoken to through graphd (3.0 to 3.8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from jobtui.clock import Clock, SystemClock
from jobtui.errors import ErrorCode, StorageError
from jobtui.model import ConnectionStatus
from jobtui.storage.base import Capabilities, ClusterJob, Host, Space
from jobtui.storage.nebula import ngql
from jobtui.storage.nebula import ngql as translate
from jobtui.storage.nebula.ngql import ErrorReply, NgqlTable
from jobtui.storage.nebula.reconnect import Reconnector
from jobtui.storage.nebula.session import GraphdSession
from jobtui.storage.nebula.settings import ClusterSettings

# a new metad leader is found by graphd within a second or two, and the next look will be told
LEADER_SECONDS = 1.0
# a look without an answer for so long is told: what is shown is no longer new
LATE_SECONDS = 5.0


class GraphdJobManager:
    """A `JobMirror` over graphd. One connection looks and one carries orders: neither waits for the other."""

    # what a stop comes to, and how far a task is, is the cluster's to know
    capabilities = Capabilities(exact_progress=False, real_stop=False, create=False, load=False)

    def __init__(self, settings: ClusterSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._looks = GraphdSession(settings, "nebula-looks")
        self._orders = GraphdSession(settings, "nebula-orders")
        self._keeper = Reconnector(self._looks.connect, self._clock)

    @property
    def cluster(self) -> str:
        """See `JobMirror.cluster`."""
        return self._settings.name

    @property
    def link(self) -> ConnectionStatus:
        """See `JobMirror.link`."""
        return self._keeper.link

    def watch(self, listener: Callable[[ConnectionStatus], None]) -> Callable[[], None]:
        """See `JobMirror.watch`."""
        return self._keeper.watch(listener)

    async def start(self) -> None:
        """See `JobMirror.start`."""
        self._keeper.start()

    async def ready(self) -> None:
        """See `JobMirror.ready`."""
        await self._keeper.first_attempt()
        self._keeper.check()

    def retry_now(self) -> None:
        """See `JobMirror.retry_now`."""
        self._keeper.retry_now()

    async def close(self) -> None:
        """See `JobMirror.close`."""
        await self._keeper.close()
        await self._orders.close()
        await self._looks.close()

    async def spaces(self) -> tuple[Space, ...]:
        """See `JobMirror.spaces`."""
        return translate.spaces(await self._look(ngql.SHOW_SPACES), await self._look(ngql.SHOW_HOSTS))

    async def hosts(self) -> tuple[Host, ...]:
        """See `JobMirror.hosts`."""
        return translate.hosts(await self._look(ngql.SHOW_HOSTS))

    async def jobs(self, space: str, since: int = 0) -> tuple[ClusterJob, ...]:
        """See `JobMirror.jobs`."""
        return translate.jobs(await self._look(ngql.show_jobs(space), space), since)

    async def show(self, space: str, job: int) -> ClusterJob:
        """See `JobMirror.show`."""
        return translate.job(await self._look(ngql.show_job(space, job), space))

    async def submit(self, command: str, space: str) -> int:
        """See `JobMirror.submit`."""
        if command not in ngql.COMMANDS:
            raise StorageError(
                ErrorCode.UNSUPPORTED, "", space, f"'{command}' can't be submitted to the cluster"
            )
        return translate.new_job_id(await self._order(ngql.submit(command, space), space))

    async def stop(self, space: str, job: int) -> None:
        """See `JobMirror.stop`."""
        await self._order(ngql.stop(space, job), space)

    async def recover(self, space: str, jobs: Sequence[int] = ()) -> int:
        """See `JobMirror.recover`."""
        return translate.recovered(await self._order(ngql.recover(space, jobs), space))

    async def _look(self, text: str, space: str = "") -> NgqlTable:
        await self.ready()
        reply = await self._asked(text, space)
        if isinstance(reply, ErrorReply) and translate.is_leader_change(reply):
            await self._clock.sleep(LEADER_SECONDS)
            reply = await self._asked(text, space)
        if isinstance(reply, ErrorReply):
            raise translate.refused(reply, space)
        return reply

    async def _asked(self, text: str, space: str) -> NgqlTable | ErrorReply:
        late = _SlowQueryTimer(self._keeper.unanswered)
        try:
            reply = await self._looks.ask(text, late.begin)
        except StorageError as error:
            self._keeper.lost(error)
            raise StorageError(error.code, error.host, space, error.detail) from None
        finally:
            late.end()
        self._keeper.answered(self._looks.address)
        return reply

    async def _order(self, text: str, space: str) -> NgqlTable:
        await self.ready()
        try:
            reply = await self._orders.order(text)
        except StorageError as error:
            if not error.outcome_unknown:
                self._keeper.lost(error)
            detail = (
                f"{error.detail}; it may have been done all the same" if error.outcome_unknown else error.detail
            )
            raise StorageError(
                error.code, error.host, space, detail, outcome_unknown=error.outcome_unknown
            ) from None
        if isinstance(reply, ErrorReply):
            raise translate.refused(reply, space, order=True)
        return reply


class _SlowQueryTimer:
    """Tells once when a look that has begun goes without an answer; what waits for its turn is not late."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    def begin(self) -> None:
        """The look's turn has come; it may have been given up meanwhile."""
        if not self._ended:
            self._timer = asyncio.get_running_loop().call_later(LATE_SECONDS, self._tell, LATE_SECONDS)

    def end(self) -> None:
        """There is an answer, or nobody waits for one."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
