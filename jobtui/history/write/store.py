"""The writing side of the history: the changes of commits, the journal, and its seals.

Invariants, whatever the disk does:

- A change is shown only after it is on disk, and a commit is on disk as a whole or not at all.
- A journal that another process left unfinished, or whose sync failed, is never written again: its content
  is restated in a new one.
- The rename of the manifest commits a seal or an archive. Nothing that either manifest needs is removed
  before the rename is durable.

One thread at a time calls `write`, `rotate` and `retry`; one thread at a time, possibly another, runs the
steps of `segments`.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from jobtui.errors import StoreError, StoreFailed, StoreFull
from jobtui.history.format.archive import Archives
from jobtui.history.format.codec import SCHEMA, encode, encode_change
from jobtui.history.format.disk import Disk, is_full
from jobtui.history.format.journal import JOURNAL_END, Journal, ReplayPosition, encode_batch, journal_name
from jobtui.history.format.lock import Guard, Lock, WriterStatus, require_ownership
from jobtui.history.format.manifest import ARCHIVE_DIRECTORY
from jobtui.history.format.quarantine import Health, Quarantine
from jobtui.history.format.state import State
from jobtui.history.read.reader import LoadedHistory, load_history
from jobtui.history.work_steps import run_steps
from jobtui.history.write.segment_store import SealRequest, SegmentStore, remove_leftovers
from jobtui.model import Job
from jobtui.os_errors import describe_os_error, explain_shortage, has_inodes

_LINE_OVERHEAD: Final = 96
"""The most bytes of a line in addition to its change: the checksum and the numbers."""


class ChangeSet(msgspec.Struct):
    """The changes to write, the resulting versions, and each commit's refusal, if any."""

    changes: list[bytes] = []
    jobs: list[Job] = []
    refusals: list[StoreError | None] = []

    @property
    def size(self) -> int:
        """The size of the changes' lines in bytes, or somewhat more."""
        return _size(self.changes)


class ChangeBuilder:
    """A builder of changes against the versions on disk; a failed commit affects no later one."""

    def __init__(self, state: State, archives: Archives) -> None:
        self._state, self._archives = state, archives
        self.archive_lock = threading.Lock()
        """Held while jobs are archived: no ended job may change then."""

    def build(self, commits: Sequence[Sequence[Job]]) -> ChangeSet:
        """Return the changes of all commits, and the refusals of invalid ones."""
        return self._build(commits, None, "")

    def build_within(self, commits: Sequence[Sequence[Job]], room: int, problem: str) -> ChangeSet:
        """Return the changes to known jobs that fit into `room` bytes; refuse the others."""
        return self._build(commits, room, problem)

    def _build(self, commits: Sequence[Sequence[Job]], room: int | None, problem: str) -> ChangeSet:
        change_set, made = ChangeSet(), dict[int, Job]()
        for jobs in commits:
            try:
                batch, versions, known = self._changes(jobs, made)
            except StoreError as refusal:
                change_set.refusals.append(refusal)
                continue
            except OSError as error:
                change_set.refusals.append(StoreError(f"The history cannot be read: {error.strerror or error}"))
                continue
            if room is not None and batch:
                if not known or _size(batch) > room:
                    change_set.refusals.append(StoreFull(problem))
                    continue
                room -= _size(batch)
            made.update(versions)
            change_set.jobs += versions.values()
            change_set.refusals.append(None)
            change_set.changes += batch
        return change_set

    def _changes(self, jobs: Sequence[Job], made: dict[int, Job]) -> tuple[list[bytes], dict[int, Job], bool]:
        """Return a commit's changes, the resulting versions, and whether all its jobs are known."""
        batch: list[bytes] = []
        versions: dict[int, Job] = {}
        known = True
        for job in jobs:
            drafted = versions.get(job.id) or made.get(job.id)
            before = drafted or self._newest(job.id)
            known = known and before is not None
            sealed = drafted is None and job.id not in self._state.recent
            # a sealed job gets a whole record: the change must not depend on the sealed one, which may be
            # damaged
            written = encode_change(None, job) if sealed and before != job else encode_change(before, job)
            if written is not None:
                batch.append(written)
                versions[job.id] = job
        return batch, versions, known

    def _newest(self, job_id: int) -> Job | None:
        """Return the version to change.

        Raises OSError, StoreTooNew, and StoreError if the job is archived.
        """
        job = self._state.recent.get(job_id)
        if job is not None and not job.status.ended:
            return job
        if job_id > self._state.last_id:
            return None  # a new job cannot be in a move to the archive
        with self.archive_lock:
            job = self._state.recent.get(job_id) or self._state.get_for_update(job_id)
            if job is None and self._archives.find(self._state.manifest, job_id) is not None:
                raise StoreError(f"Job {job_id} is archived")
            return job


def _size(changes: Sequence[bytes]) -> int:
    return sum(map(len, changes)) + _LINE_OVERHEAD * len(changes)


_STATUS_INTERVAL: Final = 0.02
"""Seconds between two updates of LOCK during many commits: each is a write, and readers need no more."""


class Limits(msgspec.Struct, frozen=True):
    """Limits in bytes.

    Attributes:
        journal: The size from which a journal is sealed.
        leftover: The size from which a journal is sealed when the history is closed.
        blanks: The number of blanks written ahead at the journal's end.
    """

    journal: int = 4 << 20
    leftover: int = 256 << 10
    blanks: int = 256 << 10


class Store:
    """A history that is open for writing."""

    def __init__(self, disk: Disk, directory: Path, limits: Limits, lock: Lock, guard: Guard) -> None:
        self._disk, self._directory, self._limits = disk, directory, limits
        self._lock, self._guard = lock, guard
        self._full, self._failed = False, ""
        self.quarantine = Quarantine(disk, directory, write=True)
        status = lock.read_status()
        with self.quarantine.batch():
            found = load_history(disk, directory, self.quarantine, status, alive=False)
        self.state = found.state
        self.archives = Archives(disk, directory, self.quarantine)
        self.changes = ChangeBuilder(found.state, self.archives)
        self.segments = SegmentStore(disk, directory, found.state, self.quarantine)
        self._seq = found.replay.position.seq
        self._last_number = max(found.journals, default=found.state.manifest.journal - 1)
        self._journal_failed = False
        self._has_written = False
        self._status_written, self._next_status_at = True, 0.0
        self._journal = self._open_journal(found, status)
        self._base_size = self._journal.end
        self._write_status()

    @classmethod
    def open(cls, disk: Disk, directory: Path, limits: Limits) -> Store:
        """Open the history for writing; create it if there is none. Raises StoreError and OSError.

        A history in another user's profile is refused: the files created here would lock that user out.
        """
        require_ownership(disk, directory)
        make_directories(disk, directory.parent)
        # before anything is created: the owner of a deleted history may still run
        guard = Guard.take(disk, directory)
        try:
            for each in (directory, directory / ARCHIVE_DIRECTORY):
                make_directories(disk, each)
            lock = Lock.take(disk, directory)
            try:
                return cls(disk, directory, limits, lock, guard)
            except BaseException:
                lock.release()
                raise
        except BaseException:
            guard.release()
            raise

    # ---- committing

    def write(self, commits: Sequence[Sequence[Job]]) -> list[StoreError | None]:
        """Write commits durably and publish them; return each one's refusal, None if durable."""
        if self.health is Health.READ_ONLY:
            return [StoreFailed(self.write_error) for _ in commits]
        change_set = self.changes.build(commits)
        if self._journal_failed:
            return self._replace_failed_journal(change_set)
        if not change_set.changes:
            return change_set.refusals
        try:
            if self._journal.reserve(change_set.size):
                self._full = False
        except OSError as error:
            if not is_full(error):
                return self._replace_failed_journal(change_set, error)
            self._full = True
            change_set = self.changes.build_within(commits, self._journal.reserved_bytes, self.write_error)
        if change_set.changes:
            data = b"".join(encode_batch(change_set.changes, self._seq))
            self._has_written = True
            try:
                self._journal.append(data)
            except OSError as error:
                return self._replace_failed_journal(change_set, error)
            self._publish_changes(change_set)
        return change_set.refusals

    def retry(self) -> bool:
        """Retry writes that a full disk prevented; return whether commits are accepted."""
        if self.health is Health.READ_ONLY:
            return False
        if self._journal_failed:
            self._replace_failed_journal(ChangeSet())
        elif self.health is Health.FULL:
            try:
                # even if the blanks suffice for the next change: only a write shows that there is room again
                self._journal.extend(self._limits.blanks)
            except OSError as error:
                if not is_full(error):
                    self._replace_failed_journal(ChangeSet(), error)
            else:
                self._full = False
        return self.health is Health.OK

    def _publish_changes(self, change_set: ChangeSet) -> None:
        self._seq += len(change_set.changes)
        with self.state.mutex:
            for job in change_set.jobs:
                self.state.publish(job)
        self._status_written = False
        if time.monotonic() > self._next_status_at:
            self.write_status()

    def set_address(self, address: str) -> None:
        """Record where this process listens for others of the profile, "" if it no longer does."""
        self._lock.set_address(address)
        self._write_status()

    def write_status(self) -> None:
        """Write the number of the last durable change to LOCK, unless it is up to date."""
        if not self._status_written:
            self._write_status()

    def _write_status(self, *, closed: bool = False) -> None:
        """Write LOCK. It only informs other processes: if it cannot be written, nothing is lost."""
        self._status_written, self._next_status_at = True, time.monotonic() + _STATUS_INTERVAL
        with contextlib.suppress(OSError):
            self._lock.write_status(
                self._journal.number,
                self._seq,
                self.state.next_id,
                self.state.manifest.generation,
                closed=closed,
            )

    # ---- health

    @property
    def health(self) -> Health:
        """Whether changes are accepted."""
        if self._failed:
            return Health.READ_ONLY
        return Health.FULL if self._full else Health.OK

    @property
    def write_error(self) -> str:
        """The reason why changes are not accepted, with what to do about it; "" if they are."""
        if self._full and not self._failed:
            if not has_inodes(self._directory):
                return (
                    f"The file system that holds {self._directory} has no free inodes (df -i shows it): "
                    "delete some files on it. No new job is accepted until then; jobtui continues by itself"
                )
            return (
                f"The disk that holds {self._directory} is full: free some space on it. "
                "No new job is accepted until then; jobtui continues by itself"
            )
        return self._failed

    def refusal(self) -> StoreError | None:
        """Return why no journal or segment can be written now, None if it can."""
        if self.health is Health.READ_ONLY:
            return StoreFailed(self.write_error)
        return StoreFull(self.write_error) if self._journal_failed else None

    def fail(self, error: Exception) -> None:
        """Accept no changes from now on, because of this error."""
        why = describe_os_error(error, self._directory) if isinstance(error, OSError) else str(error)
        remedy = "check that disk" if explain_shortage(error) == "" else "raise the limit"
        self._failed = (
            f"The history in {self._directory} can no longer be written ({why or type(error).__name__}): "
            f"end jobtui, {remedy}, and start it again. The jobs are shown as they are on disk"
        )

    def postpone_seal(self, error: OSError) -> None:
        """Note a failed seal, which is retried when the journals are longer."""
        self._base_size = self._journal.end
        what = f"sealing was postponed: {describe_os_error(error)}"
        self.quarantine.note(self._journal.path.name, what)

    # ---- journals

    def _open_journal(self, found: LoadedHistory, status: WriterStatus | None) -> Journal:
        position = found.replay.position
        if found.manifest_is_valid:
            remove_leftovers(self._disk, self._directory, found.state, self.quarantine)
            if self._can_reuse_journal(found, status):
                return self._reopen_journal(position)
        else:
            with contextlib.suppress(PermissionError):
                self._disk.sync_directory(self._directory.parent)
        try:
            return self._restart_journal()
        except OSError as error:
            if not found.journals or not is_full(error):
                raise
            self._journal_failed = True
            self._full = True
            return self._reopen_journal(position)

    def _restart_journal(self) -> Journal:
        """Restate all recent jobs in a new journal, and remove the older ones. Raises OSError."""
        start = self._seq
        journal = self._new_journal(self._jobs_to_restate(), base=True)
        manifest = self.segments.save_manifest(journal=journal.number, seq=start)
        self.state.apply_manifest(manifest, self.state.segments)
        self.segments.remove_old_journals()
        return journal

    def _reopen_journal(self, position: ReplayPosition) -> Journal:
        blanks = self._limits.blanks
        return Journal.reopen(self._disk, self._directory, position.journal, position.offset, blanks)

    def _can_reuse_journal(self, found: LoadedHistory, status: WriterStatus | None) -> bool:
        """Return whether the last writer closed the history, and its journal is unchanged since."""
        position = found.replay.position
        file = journal_name(position.journal)
        if any(note.file == file for note in self.quarantine.notes):
            return False  # each opening would find the damage again
        if self._disk.has_second_name(self._directory / file):
            return False  # a copy of the history made with hard links would change, too
        return (
            status is not None
            and status.closed
            and (status.journal, status.durable) == (position.journal, position.seq)
            and (position.usable, position.schema) == (True, SCHEMA)
            and self._disk.size_of(self._directory / file) - position.offset in (0, len(JOURNAL_END))
        )

    def _jobs_to_restate(self) -> list[Job]:
        """Return the jobs for the next journal; record its number for a seal that ends meanwhile."""
        with self.state.mutex:
            self.state.restated_in = self._last_number + 1
            return list(self.state.recent.values())

    def _new_journal(self, jobs: Iterable[Job], changes: Sequence[bytes] = (), *, base: bool) -> Journal:
        """Create a journal that restates `jobs`, then has `changes`. Raises OSError."""
        self._last_number += 1
        header = {
            "journal": self._last_number,
            "schema": SCHEMA,
            "base": base,
            "next_id": self.state.next_id,
        }
        restated = [encode(header), *(b'{"put":%b}' % encode(job) for job in jobs)]
        lines = encode_batch([*restated, *changes], self._seq)
        journal = Journal.create(self._disk, self._directory, self._last_number, lines, self._limits.blanks)
        self._seq += len(restated)
        self._has_written = True
        return journal

    def _replace_failed_journal(
        self, change_set: ChangeSet, error: OSError | None = None
    ) -> list[StoreError | None]:
        """Continue in a new journal, if possible, after a write failed, which is never retried.

        It does nothing if the directory was replaced or deleted: the sealed jobs would be missing there.
        """
        if not self._lock.is_held():
            self._failed = (
                f"The history's directory {self._directory} was deleted, moved or unmounted while jobtui ran: "
                "put it back, and start jobtui again. Until then nothing can be stored, and no job starts"
            )
            self._journal.erase_failed_append()
            return [each or StoreFailed(self.write_error) for each in change_set.refusals]
        try:
            journal = self._new_journal(self._jobs_to_restate(), change_set.changes, base=True)
        except OSError as second:
            self._journal.erase_failed_append()
            self._journal_failed = True
            if is_full(second):
                self._full = True
            else:
                self.fail(error or second)
            refusal = StoreFull if is_full(second) else StoreFailed
            return [each or refusal(self.write_error) for each in change_set.refusals]
        self._replace_journal(journal)
        self._journal_failed = False
        self._full = False
        self._publish_changes(change_set)
        return change_set.refusals

    def _replace_journal(self, journal: Journal) -> None:
        with contextlib.suppress(OSError):
            self._journal.close()
        self._journal, self._base_size = journal, journal.end

    # ---- sealing

    @property
    def must_seal(self) -> bool:
        """Whether the journal is long enough to be sealed, and can be.

        A seal writes all live jobs again, with which the next journal begins: many of them delay the next seal.
        """
        return self._journal.end > self._limits.journal + 2 * self._base_size and self.refusal() is None

    def has_unsealed(self, first: int, last: int) -> bool:
        """Return whether a journal has ended jobs with ids from `first` to `last`."""
        with self.state.mutex:
            return any(first <= job.id <= last and job.status.ended for job in self.state.recent.values())

    def must_seal_again(self, seal_request: SealRequest) -> bool:
        """Return whether a journal that was written meanwhile restates jobs that were just sealed.

        They must not be archived then: the next opening would find them in the journal and in the archive.
        """
        with self.state.mutex:
            return self.state.restated_in > seal_request.journal and any(
                job.id in self.state.recent for job in seal_request.jobs
            )

    def rotate(self) -> SealRequest:
        """Continue in a new journal with the live jobs; return those to seal. Raises OSError."""
        start = self._seq
        jobs = sorted(self.state.recent.values(), key=lambda job: job.id)
        try:
            journal = self._new_journal((job for job in jobs if not job.status.ended), base=False)
        except OSError:
            self._base_size = self._journal.end
            raise
        self._replace_journal(journal)
        self._write_status()
        return SealRequest(tuple(job for job in jobs if job.status.ended), journal.number, start)

    def close(self) -> None:
        """Close the history, so that the next writer can continue its journal unless that has failed."""
        try:
            if self.health is not Health.READ_ONLY and not self._journal_failed:
                self._close_journal()
        finally:
            with contextlib.suppress(OSError):
                self._journal.close()
            self._lock.release()
            self._guard.release()

    def _close_journal(self) -> None:
        with contextlib.suppress(OSError):
            if self._journal.end > self._limits.leftover and self.health is not Health.FULL:
                run_steps(self.segments.seal(self.rotate()))
        with contextlib.suppress(OSError):
            if self._has_written:
                self._journal.trim()
            self._write_status(closed=True)


def make_directories(disk: Disk, directory: Path) -> None:
    """Create a directory and its parents if they do not exist. Raises OSError."""
    if not disk.is_directory(directory):
        if directory.parent != directory:
            make_directories(disk, directory.parent)
        if what := disk.wrong_type(directory, directory=True):
            raise NotADirectoryError(errno.ENOTDIR, what, str(directory))
        disk.make_directory(directory)
        disk.sync_directory(directory.parent)
