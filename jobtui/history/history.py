"""The history of jobs: what the engine writes it to, and what everyone reads it from."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from jobtui.errors import StoreError
from jobtui.history.format.archive import ArchiveResult, Archives
from jobtui.history.format.damage import DamageNote, Health, readable
from jobtui.history.format.disk import Disk, real_path
from jobtui.history.format.quarantine import Quarantine
from jobtui.history.format.state import State, recovered_as, unrecovered
from jobtui.history.query import Query
from jobtui.history.read.query_engine import QueryEngine
from jobtui.history.read.reader import HistoryReader
from jobtui.history.read.results import View
from jobtui.history.steps import Yielder
from jobtui.model import Job, Status
from jobtui.os_errors import explain

if TYPE_CHECKING:
    from concurrent.futures import Future

    from jobtui.history.write.store import Limits
    from jobtui.history.write.writer import Writer


class History:
    """All jobs of a profile, on disk and readable at any time.

    `open` it once for writing, in one process, and as often as needed for reading. Everything may be called
    from any thread. A callback of one of its futures must not wait for another one.
    """

    def __init__(self, path: Path, disk: Disk, writer: Writer | None, follower: HistoryReader | None) -> None:
        self.path, self._writer, self._follower = path, writer, follower
        self._archives = (
            writer.store.archives
            if writer is not None
            else Archives(disk, path, Quarantine(disk, path, write=False))
        )
        self._asking = QueryEngine(self._archives, self.get, self.archived_job)

    @classmethod
    def open(
        cls, path: Path, *, write: bool = True, disk: Disk | None = None, limits: Limits | None = None
    ) -> History:
        """Open the history in the directory `path`; for writing it is made where there is none.

        Raises StoreLocked where another process writes it, StoreTooNew, and StoreError for what the disk
        refuses. A history that is opened for reading is empty where there is none, and nothing is made.
        """
        disk, real = disk or Disk(), real_path(path)
        try:
            if not write:
                return cls(real, disk, None, HistoryReader(disk, real))
            from jobtui.history.write.store import Limits, Store
            from jobtui.history.write.writer import Writer

            return cls(real, disk, Writer(Store.open(disk, real, limits or Limits())), None)
        except OSError as error:
            where = f"{error.filename}: " if error.filename and Path(error.filename) != real else ""
            why = _blocked(path) or f"{where}{explain(error, real)}{_remedy(disk, real)}"
            raise StoreError(f"The history in {path} can't be opened: {why}") from error

    # ---- writing

    def new_id(self) -> int:
        """An id that no job has had."""
        return self._writing.new_id()

    def commit(self, *jobs: Job) -> Future[None]:
        """Put versions of jobs on disk, all or none of them; the future is done when they are durable.

        It fails with StoreFull (nothing was written), StoreFailed (nothing will be any more), or StoreError
        (a job is archived). Futures are done in the order of the commits, on the writer's thread or that of
        someone who waits for one; what was committed can't be cancelled.
        """
        return self._writing.commit(jobs)

    def archive(self, first: int, last: int) -> Future[ArchiveResult]:
        """Move the ended jobs from `first` to `last` into the archive. The future fails with StoreError."""
        return self._writing.archive(first, last)

    def try_again(self) -> bool:
        """Whether commits can be taken (again), after a disk that was full."""
        return self._writing.try_again()

    def listens_at(self, address: str) -> None:
        """Record in LOCK where this process listens for others of the profile: see `history.lock.Mark`."""
        self._writing.listens_at(address)

    def close(self) -> None:
        """Finish what was asked for and let go of the files."""
        if self._writer is not None:
            self._writer.close()
        if self._follower is not None:
            self._follower.close()

    # ---- reading

    def get(self, job_id: int) -> Job | None:
        """The job's newest durable version; None where there is none, or it is archived. Raises StoreError."""
        with readable():
            try:
                return self._state.newest(job_id)
            except FileNotFoundError:
                # it may have been archived this moment
                self.refresh()
                return self._found_or_remains(job_id)

    def _found_or_remains(self, job_id: int) -> Job | None:
        try:
            return self._state.newest(job_id)
        except FileNotFoundError:
            return self._state.remains(job_id)

    def archived_job(self, job_id: int) -> Job | None:
        """An archived job. Raises StoreError."""
        with readable():
            found = self._archives.find(self._state.manifest, job_id)
            if found is None:
                return None
            segment, place = found
            try:
                return segment.job(place)
            except FileNotFoundError:
                return segment.remains(place)

    def is_archived(self, job_id: int) -> bool:
        """Whether there was such a job and it is archived now. Raises StoreError."""
        with readable():
            return self._archives.find(self._state.manifest, job_id) is not None

    def live(self) -> tuple[Job, ...]:
        """The queued and running jobs in id order."""
        state = self._state
        with state.mutex:
            return tuple(sorted(state.live.values(), key=lambda job: job.id))

    def counts(self, space: str | None = None) -> dict[Status, int]:
        """How many jobs there are that are not archived, by status; of one space, or of all."""
        state = self._state
        counts = dict.fromkeys(Status, 0)
        with state.mutex:
            for (name, status), count in state.tally.items():
                if space is None or name == space:
                    counts[status] += count
        return counts

    def spaces(self) -> tuple[str, ...]:
        """The names of all spaces that have jobs here, archived or not, in order."""
        state = self._state
        with state.mutex:
            names = {name for (name, _), count in state.tally.items() if count}
            return tuple(sorted(names.union(*(archive.spaces for archive in state.manifest.archives))))

    def last_id(self) -> int:
        """The highest id that was given to a job; 0 where there is none."""
        return self._state.last_id

    def unrecovered(self, space: str | None = None) -> list[int]:
        """Failed and stopped jobs, of a space or of all, that no job recovered, by id. Raises StoreError."""
        with readable():
            return unrecovered(self._state, self._archives, space)

    def recovered_as(self, job_id: int) -> list[int]:
        """The jobs that recovered this one, in id order. Raises StoreError."""
        with readable():
            return recovered_as(self._state, self._archives, job_id)

    def query(self, query: Query) -> View:
        """The jobs that a query asks for, as they are now. Raises StoreError."""
        with readable():
            return self._asking.answer(self._state, query)

    def warm(self) -> None:
        """Read the indexes of all segments, the newest first, so that no query has to; for a thread with time.

        Without it, each query reads what it needs. Raises StoreError.
        """
        with readable():
            turns = Yielder()
            for segment in reversed(self._state.segments):
                segment.load()
                turns.give()

    @property
    def notes(self) -> tuple[DamageNote, ...]:
        """What was found damaged since it was opened."""
        if self._writer is not None:
            return self._writer.store.quarantine.notes
        return (*self._reading.quarantine.notes, *self._archives.notes)

    @property
    def health(self) -> Health:
        """Whether changes are taken. A history that is open for reading has nothing to complain of."""
        return self._writer.store.health if self._writer is not None else Health.OK

    @property
    def trouble(self) -> str:
        """Why no changes are taken and what to do about it; "" while all is well."""
        return self._writer.store.trouble if self._writer is not None else ""

    def refresh(self) -> bool:
        """Take up what the writer did since, where this is open for reading; True if anything changed.

        Costs next to nothing where nothing has changed. Raises StoreError.
        """
        if self._follower is None:
            return False
        with readable():
            return self._follower.refresh()

    @property
    def _state(self) -> State:
        return self._writer.store.state if self._writer is not None else self._reading.state

    @property
    def _writing(self) -> Writer:
        if self._writer is None:
            raise StoreError("The history is open for reading only")
        return self._writer

    @property
    def _reading(self) -> HistoryReader:
        if self._follower is None:
            raise StoreError("The history is open for writing")
        return self._follower


def _remedy(disk: Disk, path: Path) -> str:
    from jobtui.history.repair.verify import in_the_way

    with contextlib.suppress(OSError):  # the error that is being reported says what cannot be read
        if in_the_way(disk, path):
            return "; jobtui history repair moves what is in the way to quarantine, unread"
    return ""


def _blocked(path: Path) -> str:
    """What is in the way of the directory; "" where nothing is."""
    with contextlib.suppress(OSError):  # of what can't be looked at the opening tells
        for place in (*reversed(path.parents), path):
            if place.is_symlink() and not place.exists():
                return f"{place} is a link that leads nowhere"
            if place.exists() and not place.is_dir():
                return f"{place} is a file, where a directory belongs"
    return ""
