"""The facade of the history: open, commit, archive, restore, query."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from jobtui.errors import StoreError
from jobtui.history.format.archive import ArchiveResult, Archives
from jobtui.history.format.disk import Disk, resolve_directory
from jobtui.history.format.quarantine import DamageNote, Health, Quarantine, convert_read_errors
from jobtui.history.format.state import State, known_recoveries, recovered_as, unrecovered
from jobtui.history.read.query import Query
from jobtui.history.read.reader import HistoryReader, OrphanedJobView
from jobtui.history.read.results import QueryEngine, QueryResult
from jobtui.history.work_steps import Yielder
from jobtui.model import Job, Status
from jobtui.os_errors import describe_os_error

if TYPE_CHECKING:
    from collections.abc import Collection
    from concurrent.futures import Future

    from jobtui.history.read.totals import JobTotals, TotalsReader
    from jobtui.history.write.store import Limits
    from jobtui.history.write.writer import Writer


class History:
    """All jobs of a profile, on disk and readable at any time.

    One process opens it for writing; any number open it for reading. Every method may be called from any
    thread. A callback of one of its futures must not wait for another of them.

        history = History.open(path)
        job = Job(history.new_id(), "flush", "nba", submitted)
        history.commit(job).result()  # on disk from here on
    """

    def __init__(self, path: Path, disk: Disk, writer: Writer | None, reader: HistoryReader | None) -> None:
        self.path, self._writer, self._reader = path, writer, reader
        self._archives = (
            writer.store.archives
            if writer is not None
            else Archives(disk, path, Quarantine(disk, path, write=False))
        )
        self._totals: TotalsReader | None = None
        self._query_engine = QueryEngine(self._archives, self.get, self.get_archived)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        write: bool = True,
        disk: Disk | None = None,
        limits: Limits | None = None,
        view_orphaned: OrphanedJobView | None = None,
    ) -> History:
        """Open the history in the directory `path`, and create it if it is opened for writing.

        Opened for reading, a missing history is empty, and nothing is created. `view_orphaned` then returns a
        queued or running job as it is shown while no process writes the history; None: as it is on disk.

        Raises:
            StoreLocked: Another process has it open for writing.
            StoreTooNew: A newer jobtui wrote it.
            StoreError: The disk refused an operation.
        """
        disk, real = disk or Disk(), resolve_directory(path)
        try:
            if not write:
                return cls(real, disk, None, HistoryReader(disk, real, view_orphaned))
            # late: a command that only reads never loads the writing side, a third of this package (15 ms)
            from jobtui.history.write.store import Limits, Store
            from jobtui.history.write.writer import Writer

            return cls(real, disk, Writer(Store.open(disk, real, limits or Limits())), None)
        except OSError as error:
            where = f"{error.filename}: " if error.filename and Path(error.filename) != real else ""
            why = _obstacle(path) or f"{where}{describe_os_error(error, real)}{_repair_hint(disk, real)}"
            raise StoreError(f"The history in {path} cannot be opened: {why}") from error

    # ---- writing

    def new_id(self) -> int:
        """Return an id that no job has had."""
        return self._open_writer.new_id()

    def commit(self, *jobs: Job) -> Future[None]:
        """Write versions of jobs, all or none; the future is done when they are durable.

        Futures are done in the order of the commits, on the writer's thread or on a thread that waits for
        one of them. They cannot be canceled.

        Returns:
            A future that fails with StoreFull (the disk is full, and nothing was written), StoreFailed (the
            disk failed, and no later commit will be written either) or StoreError (a job is archived).
        """
        return self._open_writer.commit(jobs)

    def archive(self, first: int, last: int) -> Future[ArchiveResult]:
        """Archive the ended jobs with ids from `first` to `last`.

        The future fails with StoreError.
        """
        return self._open_writer.archive(first, last)

    def restore(self, first: int, last: int) -> Future[ArchiveResult]:
        """Move the archived jobs with ids from `first` to `last` back.

        The future fails with StoreError.
        """
        return self._open_writer.restore(first, last)

    def retry(self) -> bool:
        """Try to write again after the disk was full; return whether commits are accepted now."""
        return self._open_writer.retry()

    def set_address(self, address: str) -> None:
        """Record in LOCK the address where this process listens for others of the profile."""
        self._open_writer.set_address(address)

    def keep_damaged(self, file: str, what: str, data: bytes) -> str:
        """Note damage in a file of another part; return the path of a copy, "" without one."""
        quarantine = self._open_writer.store.quarantine
        quarantine.add_in_place(file, None, what, data)
        return next((note.kept for note in reversed(quarantine.notes) if note.file == file), "")

    def close(self) -> None:
        """Finish what was requested, then close the files."""
        if self._writer is not None:
            self._writer.close()
        if self._reader is not None:
            self._reader.close()

    # ---- reading

    def get(self, job_id: int) -> Job | None:
        """Return the job's newest durable version, None if there is none here. Raises StoreError."""
        with convert_read_errors():
            try:
                return self._state.get(job_id)
            except FileNotFoundError:
                # the job may just have been archived
                self.refresh()
                return self._get_or_salvage(job_id)

    def _get_or_salvage(self, job_id: int) -> Job | None:
        try:
            return self._state.get(job_id)
        except FileNotFoundError:
            return self._state.salvage(job_id)

    def get_archived(self, job_id: int) -> Job | None:
        """Return an archived job, None if there is none with that id. Raises StoreError."""
        with convert_read_errors():
            try:
                return self._read_archived(job_id)
            except FileNotFoundError:
                # the job, or others of its archive, may just have been restored
                self.refresh()
            try:
                return self._read_archived(job_id)
            except FileNotFoundError:
                found = self._archives.find(self._state.manifest, job_id)
                return found[0].salvage(found[1]) if found is not None else None

    def _read_archived(self, job_id: int) -> Job | None:
        found = self._archives.find(self._state.manifest, job_id)
        return found[0].job(found[1]) if found is not None else None

    def is_archived(self, job_id: int) -> bool:
        """Return whether the job is archived. Raises StoreError."""
        with convert_read_errors():
            return self._archives.find(self._state.manifest, job_id) is not None

    def live(self) -> tuple[Job, ...]:
        """Return the queued and running jobs in id order."""
        state = self._state
        with state.mutex:
            return tuple(sorted(state.live.values(), key=lambda job: job.id))

    @property
    def orphaned_views(self) -> tuple[Job, ...]:
        """The jobs that are not shown as they are on disk, because no process writes the history."""
        return self._reader.orphaned_views if self._reader is not None else ()

    def counts(self, space: str | None = None) -> dict[Status, int]:
        """Return the number of jobs by status, of one space or of all, without archived ones."""
        state = self._state
        counts = dict.fromkeys(Status, 0)
        with state.mutex:
            for (name, status), count in state.counts.items():
                if space is None or name == space:
                    counts[status] += count
        return counts

    def spaces(self) -> tuple[str, ...]:
        """Return the sorted names of all spaces that have jobs, archived or not."""
        state = self._state
        with state.mutex:
            names = {name for (name, _), count in state.counts.items() if count}
            return tuple(sorted(names.union(*(archive.spaces for archive in state.manifest.archives))))

    def last_id(self) -> int:
        """Return the highest id of a job, 0 if there is none."""
        return self._state.last_id

    def unrecovered(self, space: str | None = None) -> list[int]:
        """Return the failed and stopped jobs, of a space or of all, without a recovery.

        Raises StoreError.
        """
        with convert_read_errors():
            return unrecovered(self._state, self._archives, space)

    def recovered_as(self, job_id: int) -> list[int]:
        """Return the ids of the jobs that recovered this one, in order. Raises StoreError."""
        with convert_read_errors():
            return recovered_as(self._state, self._archives, job_id)

    def known_recoveries(self, ids: Collection[int]) -> dict[int, int]:
        """Return the newest job that recovered each of these, if it is in memory: reads no file."""
        return known_recoveries(self._state, self._archives, ids)

    def query(self, query: Query) -> QueryResult:
        """Return the jobs that match a query now. Raises StoreError."""
        with convert_read_errors():
            return self._query_engine.run(self._state, query)

    def totals(self) -> JobTotals:
        """Return the totals of all jobs, archived ones included; slow the first time.

        Raises StoreError.
        """
        # late: only metrics need it
        from jobtui.history.read.totals import TotalsReader

        self._totals = self._totals or TotalsReader()
        with convert_read_errors():
            return self._totals.read(self._state, self._archives)

    def load_indexes(self) -> None:
        """Load the indexes of all segments, the newest first, so that no query has to.

        For a background thread; without it, each query loads what it needs. Raises StoreError.
        """
        with convert_read_errors():
            yielder = Yielder()
            for segment in reversed(self._state.segments):
                segment.load()
                yielder.yield_gil()

    @property
    def notes(self) -> tuple[DamageNote, ...]:
        """The damage that was found since the history was opened."""
        if self._writer is not None:
            return self._writer.store.quarantine.notes
        return (*self._open_reader.quarantine.notes, *self._archives.notes)

    @property
    def health(self) -> Health:
        """Whether changes are accepted; OK if the history is open for reading."""
        return self._writer.store.health if self._writer is not None else Health.OK

    @property
    def write_error(self) -> str:
        """The reason why no changes are accepted, with what to do about it; "" if they are."""
        return self._writer.store.write_error if self._writer is not None else ""

    def refresh(self) -> bool:
        """Read the writer's changes if this is open for reading; return whether there were any.

        Cheap without a change: one read of LOCK and one `lstat`. Raises StoreError.
        """
        if self._reader is None:
            return False
        with convert_read_errors():
            return self._reader.refresh()

    @property
    def _state(self) -> State:
        return self._writer.store.state if self._writer is not None else self._open_reader.state

    @property
    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise StoreError("The history is open for reading only")
        return self._writer

    @property
    def _open_reader(self) -> HistoryReader:
        if self._reader is None:
            raise StoreError("The history is open for writing")
        return self._reader


def _repair_hint(disk: Disk, path: Path) -> str:
    # late: only a failed opening needs the verification
    from jobtui.history.verify import find_wrong_types

    with contextlib.suppress(OSError):  # the error that is being reported already names the unreadable file
        if find_wrong_types(disk, path):
            return "; jobtui history repair moves it to the quarantine without reading it"
    return ""


def _obstacle(path: Path) -> str:
    """Return which file or link has the place of the directory or a parent, "" if none."""
    with contextlib.suppress(OSError):  # the error of opening is reported in any case
        for part in (*reversed(path.parents), path):
            if part.is_symlink() and not part.exists():
                return f"{part} is a link whose target does not exist"
            if part.exists() and not part.is_dir():
                return f"{part} is a file, and must be a directory"
    return ""
