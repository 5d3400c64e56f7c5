"""The client that only reads: for a profile that another process owns, or that no process runs.

It starts no thread, no worker and no asyncio loop. Statements that would write are refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from jobtui.engine import queries, schedules
from jobtui.engine.client import ExecuteResult, Listener, Overview, Session, SpaceOverview
from jobtui.engine.lifecycle import is_interrupted
from jobtui.engine.profile import Profile, describe_autostart
from jobtui.errors import StatementRefused, StorageError
from jobtui.history import History, StoreError
from jobtui.history.format.disk import Disk
from jobtui.history.format.lock import WriterWatcher
from jobtui.history.read.reader import OrphanedJobView
from jobtui.language.ast import (
    Explain,
    Parsed,
    ShowAdvice,
    ShowHosts,
    ShowJob,
    ShowJobs,
    ShowSchedules,
    ShowSpaces,
    Statement,
    Use,
)
from jobtui.language.results import Result
from jobtui.model import ConnectionStatus, Job, SpaceStats

if TYPE_CHECKING:
    from concurrent.futures import Future

    from jobtui.engine.samples import JobSamples
    from jobtui.storage.base import Host, Space
    from jobtui.storage.local.catalog import Catalog

T = TypeVar("T")
READ_ONLY = (Use, ShowJobs, ShowJob, ShowSpaces, ShowHosts, ShowSchedules)
MEASURING = (Explain, ShowAdvice)
"""Statements that change nothing, but need open databases, which only the owner has."""
_EXPECTED_ERRORS = (StatementRefused, StoreError, StorageError, OSError)
"""The errors that a statement may end in."""


class ReadOnlyClient:
    """A `Client` that reads the history and the storage's files.

    `why`: the reason to give for a refusal.
    """

    writable = False
    _answered_read_only: tuple[type[Statement], ...] = READ_ONLY

    def __init__(self, profile: Profile, history: History, why: str = "") -> None:
        self.profile = profile.name
        self.history = history
        self.write_error = why
        self._settings = profile

    @classmethod
    def open(cls, profile: Profile, why: str = "") -> ReadOnlyClient:
        """Open the profile for reading; `why` is the refusal of a statement that would write.

        Creates nothing. Raises StoreError if the history cannot be read.
        """
        history = History.open(profile.history, write=False, view_orphaned=orphaned_job_view(profile))
        return cls(profile, history, why)

    def execute(self, text: str, session: Session) -> Future[ExecuteResult]:
        """Execute a text; the future is done when this returns."""
        return _done(self.answer(text, session))

    def answer(self, text: str, session: Session) -> ExecuteResult:
        """Execute a text and return the result.

        If a statement would write, nothing of the text is executed.
        """
        parsed = queries.parse_or_answer(text)
        if isinstance(parsed, ExecuteResult):
            return parsed
        refused = self._refusal(text, parsed)
        if refused is not None:
            return refused
        self.history.refresh()
        done: list[Result] = []
        for one in parsed:
            typed = queries.typed_text(text, one)
            try:
                done.append(self._run(one.statement, typed, session))
            except _EXPECTED_ERRORS as error:
                return ExecuteResult(tuple(done), queries.statement_failure(text, one, str(error)))
        return ExecuteResult(tuple(done))

    def _refusal(self, text: str, parsed: Sequence[Parsed]) -> ExecuteResult | None:
        """Return the result that refuses a text if this client does not answer it, else None."""
        refused = next((one for one in parsed if not isinstance(one.statement, self._answered_read_only)), None)
        if refused is None:
            return None
        why = self.write_error or "This profile is open for reading only"
        if self._settings.read_only:
            why = f"{self._settings.read_only_reason}; nothing was done"
            if isinstance(refused.statement, MEASURING):
                why = (
                    "Only the jobtui that runs this profile can measure its databases, and none runs it: start "
                    "one, or leave --read-only out"
                )
        return ExecuteResult(failure=queries.statement_failure(text, refused, why))

    def _run(self, statement: Statement, typed: str, session: Session) -> Result:
        match statement:
            case Use():
                spaces = self.space_names()
                if statement.space not in spaces:
                    raise StatementRefused(queries.no_such_space(statement.space, spaces))
                session.space = statement.space
                return Result(typed)
            case ShowSpaces():
                shown = queries.spaces_result(typed, self._read_overview().spaces)
                return replace(shown, notice=self._catalog_damage())
            case ShowHosts():
                return queries.hosts_result(typed, self._read_overview().hosts)
            case ShowSchedules():
                return self._show_schedules(typed)
            case ShowJobs(space=str()):
                return queries.answer_show(statement, typed, self.history, self.job, self.space_names())
            case _:
                return queries.answer_show(statement, typed, self.history, self.job, ())

    def _show_schedules(self, typed: str) -> Result:
        loaded = schedules.load_schedules(self.history.path)
        if loaded.refusal:
            raise StatementRefused(loaded.refusal)
        found = [loaded.schedules[name] for name in sorted(loaded.schedules)]
        notices = [f"{schedules.FILE}: {loaded.damage}"] if loaded.damage else []
        if loaded.warning:
            notices.append(loaded.warning)
        if any(not schedule.paused for schedule in found) and not is_owned(self._settings):
            notices.append(f"{schedules.NO_OWNER}: {describe_autostart(self._settings)}")
        now = datetime.now(UTC)  # the clock's module imports asyncio
        return queries.schedules_result(typed, found, self.job, now, "; ".join(notices))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Do nothing: this client publishes no messages, and its caller calls `history.refresh()`."""
        return lambda: None

    def job(self, job_id: int) -> Job | None:
        """Return the job as it is on disk."""
        return self.history.get(job_id)

    def active_jobs(self) -> tuple[Job, ...]:
        """Return the queued and running jobs; their progress is not known."""
        return self.history.live()

    def space_names(self) -> tuple[str, ...]:
        """Return the spaces of the storage; if it cannot be read, those of the history."""
        try:
            return tuple(space.name for space in self._list()[0])
        except _EXPECTED_ERRORS:
            return self.history.spaces()

    def host_names(self) -> tuple[str, ...]:
        """Return the hosts; none if the storage cannot be read."""
        try:
            return tuple(host.name for host in self._list()[1])
        except _EXPECTED_ERRORS:
            return ()

    @property
    def connection(self) -> ConnectionStatus | None:
        """None: it connects to nothing."""
        return None

    @property
    def is_owner(self) -> bool:
        """False: another process runs the jobs, or none does."""
        return False

    def reconnect(self) -> None:
        """Do nothing: it connects to nothing."""

    def fetch_overview(self) -> Future[Overview]:
        """Return spaces and hosts as the files show them; sizes in memory are not known."""
        try:
            return _done(self._read_overview())
        except _EXPECTED_ERRORS as error:
            return _failed(error)

    def fetch_stats(self, space: str, host: str) -> Future[SpaceStats]:
        """Refuse: reading the statistics of a database opens it."""
        return _failed(StatementRefused("Only the jobtui that runs this profile can look into its databases"))

    def fetch_samples(self, job_id: int) -> Future[JobSamples | None]:
        """Return the samples of an ended job; those of a running one are known to its owner alone."""
        from jobtui.engine.samples import SampleFiles  # late: a command that shows no chart does without zlib

        return _done(SampleFiles(self._settings.root).read(job_id))

    def stop_jobs(self) -> Future[None]:
        """Return a future that is done: this process runs no jobs."""
        return _done(None)

    def yield_jobs(self) -> Future[None]:
        """Do nothing: this process runs no jobs."""
        return _done(None)

    def wait_idle(self) -> Future[None]:
        """Return a future that is done: this process runs no jobs."""
        return _done(None)

    def close(self) -> None:
        """Close the history."""
        self.history.close()

    def _list(self) -> tuple[tuple[Space, ...], tuple[Host, ...]]:
        overviews, hosts = self._spaces_and_hosts()
        return tuple(look.space for look in overviews), hosts

    def _read_overview(self) -> Overview:
        return Overview(*self._spaces_and_hosts())

    def _catalog_damage(self) -> str:
        """Return why the list of spaces was rebuilt from the hosts, "" if it was not."""
        if self._settings.cluster is not None:
            return ""
        damage = self._open_catalog().damage
        return damage and f"{damage}; these are the spaces on the hosts, and adopted ones are not listed"

    def _open_catalog(self) -> Catalog:
        from jobtui.storage.local.catalog import Catalog

        settings = self._settings
        return Catalog.open(settings.storage, settings.hosts, settings.wal_dirs)

    def _spaces_and_hosts(self) -> tuple[tuple[SpaceOverview, ...], tuple[Host, ...]]:
        """Return spaces and hosts as the files show them; of a cluster, those of the config and of jobs."""
        if self._settings.cluster is not None:
            from jobtui.storage.base import Space

            given = self._settings.cluster.spaces
            names = sorted({*given, *self.history.spaces()})
            spaces = (Space(name, tuple(given.get(name, ()))) for name in names)
            return tuple(SpaceOverview(space, None, None, None) for space in spaces), ()
        catalog = self._open_catalog()
        overviews = (SpaceOverview(space, catalog.size(space.name), None, None) for space in catalog.spaces())
        return tuple(overviews), catalog.hosts()


def is_owned(profile: Profile) -> bool:
    """Return whether a process owns the profile; True if that is not visible."""
    try:
        with closing(WriterWatcher(Disk(), profile.history)) as watcher:
            return watcher.has_writer()
    except OSError:
        return True


def orphaned_job_view(profile: Profile) -> OrphanedJobView:
    """Return how the jobs of a profile are shown while no process runs it.

    Those that were at work when its last owner died are shown as the next owner will record them: failed,
    because they were interrupted. On disk they are still running.
    """

    def view(job: Job) -> Job:
        if job.origin is not None or not is_interrupted(job):
            return job
        from jobtui.engine.heartbeat import view_interrupted  # late: it imports asyncio

        return view_interrupted(job, profile.root)

    return view


def _failed(error: Exception) -> Future[Any]:
    from concurrent.futures import Future

    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _done(value: T) -> Future[T]:
    from concurrent.futures import Future

    future: Future[T] = Future()
    future.set_result(value)
    return future
