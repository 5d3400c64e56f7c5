"""What commits come to before they are written: for each job, the change from the version that it has now."""

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
from jobtui.history.format.codec import SCHEMA, change, encode
from jobtui.history.format.damage import Health
from jobtui.history.format.disk import Disk, is_full
from jobtui.history.format.journal import END, Journal, ReplayPosition, journal_name, numbered
from jobtui.history.format.lock import Guard, Lock, WriterStatus, must_be_own
from jobtui.history.format.manifest import ARCHIVE_DIRECTORY as ARCHIVE
from jobtui.history.format.quarantine import Quarantine
from jobtui.history.format.state import State
from jobtui.history.steps import finished
from jobtui.history.write.recovery import LoadedHistory, load, sweep
from jobtui.history.write.segment_store import SealRequest, SegmentStore
from jobtui.model import Job
from jobtui.os_errors import explain, explain_shortage, has_inodes

_FRAME = 96
"""Bytes that a line may have more than the change in it: its checksum and its numbers."""


class ChangeSet(msgspec.Struct):
    """The changes to write, the versions that they make, and each commit's refusal (None: it is written)."""

    changes: list[bytes] = []
    jobs: list[Job] = []
    refusals: list[StoreError | None] = []

    @property
    def size(self) -> int:
        """How many bytes the changes' lines have, or somewhat more."""
        return _size(self.changes)


class ChangeBuilder:
    """Makes drafts, from what is on disk at the time: a commit that failed spoils no later one."""

    def __init__(self, state: State, archives: Archives) -> None:
        self._state, self._archives = state, archives
        self.moving = threading.Lock()
        """Held while jobs are being archived: no ended job may change then."""

    def drafts(self, commits: Sequence[Sequence[Job]]) -> ChangeSet:
        """All that the commits change; those that can't be are refused."""
        return self._drafts(commits, None, "")

    def on_a_full_disk(self, commits: Sequence[Sequence[Job]], room: int, trouble: str) -> ChangeSet:
        """What goes on when there are only `room` bytes: changes to known jobs, as long as they fit."""
        return self._drafts(commits, room, trouble)

    def _drafts(self, commits: Sequence[Sequence[Job]], room: int | None, trouble: str) -> ChangeSet:
        drafts, made = ChangeSet(), dict[int, Job]()
        for jobs in commits:
            try:
                batch, versions, known = self._changes(jobs, made)
            except StoreError as refusal:
                drafts.refusals.append(refusal)
                continue
            except OSError as error:
                drafts.refusals.append(StoreError(f"The history can't be read: {error.strerror or error}"))
                continue
            if room is not None and batch:
                if not known or _size(batch) > room:
                    drafts.refusals.append(StoreFull(trouble))
                    continue
                room -= _size(batch)
            made.update(versions)
            drafts.jobs += versions.values()
            drafts.refusals.append(None)
            drafts.changes += batch
        return drafts

    def _changes(self, jobs: Sequence[Job], made: dict[int, Job]) -> tuple[list[bytes], dict[int, Job], bool]:
        """A commit's changes, the versions that they make, and whether all its jobs are known."""
        batch: list[bytes] = []
        versions: dict[int, Job] = {}
        known = True
        for job in jobs:
            drafted = versions.get(job.id) or made.get(job.id)
            before = drafted or self._newest(job.id)
            known = known and before is not None
            sealed = drafted is None and job.id not in self._state.recent
            # it gets a record of its own then: what becomes of the sealed one must not matter to it
            written = change(None, job) if sealed and before != job else change(before, job)
            if written is not None:
                batch.append(written)
                versions[job.id] = job
        return batch, versions, known

    def _newest(self, job_id: int) -> Job | None:
        """The version that a change is made to. Raises OSError, StoreTooNew; StoreError if it is archived."""
        job = self._state.recent.get(job_id)
        if job is not None and not job.status.ended:
            return job
        if job_id > self._state.last_id:
            return None  # it is new: nothing of it is being moved
        with self.moving:
            job = self._state.recent.get(job_id) or self._state.sealed_job(job_id)
            if job is None and self._archives.find(self._state.manifest, job_id) is not None:
                raise StoreError(f"Job {job_id} is archived")
            return job


def _size(changes: Sequence[bytes]) -> int:
    return sum(map(len, changes)) + _FRAME * len(changes)


# ---- merged from jobtui.history.store: ----
# The writing side of the history, a step at a time: the journal, and when it is sealed.
#
# What holds here, whatever the disk does:
#
# - a change is shown only after it is on disk, and a commit is on disk whole or not at all;
# - a journal that another process left unfinished, or whose sync failed, is never written again: what is
#   shown is restated in a fresh one;
# - the manifest's rename is the moment at which a seal or an archive counts; nothing that either side of
#   it needs is removed before it is durable.
#
# `write`, `rotate` and `try_again` are for one thread at a time; the steps of `vault` for one at a time, too,
# which may be another.
#
_PUBLISH_EVERY: Final = 0.02
"""Seconds between two marks while commits come quickly: readers need no more, and each costs a write."""


class Limits(msgspec.Struct, frozen=True):
    """Sizes in bytes: a journal is sealed beyond `journal`, and when the history is closed beyond `leftover`.

    `blanks` are written ahead of the journal's end.
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
        mark = lock.mark()
        with self.quarantine.together():
            found = load(disk, directory, self.quarantine, mark, alive=False)
        self.state = found.state
        self.archives = Archives(disk, directory, self.quarantine)
        self.drafting = ChangeBuilder(found.state, self.archives)
        self.vault = SegmentStore(disk, directory, found.state, self.quarantine)
        self._seq = found.replay.reading.seq
        self._last_number = max(found.journals, default=found.state.manifest.journal - 1)
        self._dead = False
        self._touched = False
        self._published, self._publish_at = True, 0.0
        self._journal = self._begin(found, mark)
        self._floor = self._journal.end
        self._publish()

    @classmethod
    def open(cls, disk: Disk, directory: Path, limits: Limits) -> Store:
        """Open the history for writing; make it where there is none. Raises StoreError and OSError.

        One in another user's profile is refused, or the files made here would lock that user out.
        """
        must_be_own(disk, directory)
        make(disk, directory.parent)
        # before anything is made: an owner may still live whose history was deleted here
        guard = Guard.take(disk, directory)
        try:
            for each in (directory, directory / ARCHIVE):
                make(disk, each)
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
        """Put commits on disk, then show them. Returns for each why it was refused; None: it is durable."""
        if self.health is Health.READ_ONLY:
            return [StoreFailed(self.trouble) for _ in commits]
        drafts = self.drafting.drafts(commits)
        if self._dead:
            return self._write_anew(drafts)
        if not drafts.changes:
            return drafts.refusals
        try:
            if self._journal.make_room(drafts.size):
                self._full = False
        except OSError as error:
            if not is_full(error):
                return self._write_anew(drafts, error)
            self._full = True
            drafts = self.drafting.on_a_full_disk(commits, self._journal.room, self.trouble)
        if drafts.changes:
            data = b"".join(numbered(drafts.changes, self._seq))
            self._touched = True
            try:
                self._journal.append(data)
            except OSError as error:
                return self._write_anew(drafts, error)
            self._show(drafts)
        return drafts.refusals

    def try_again(self) -> bool:
        """Whether commits can be taken (again); what a full disk prevented is tried."""
        if self.health is Health.READ_ONLY:
            return False
        if self._dead:
            self._write_anew(ChangeSet())
        elif self.health is Health.FULL:
            try:
                if self._journal.make_room(self._limits.blanks):
                    self._full = False
            except OSError as error:
                if not is_full(error):
                    self._write_anew(ChangeSet(), error)
        return self.health is Health.OK

    def _show(self, drafts: ChangeSet) -> None:
        self._seq += len(drafts.changes)
        with self.state.mutex:
            for job in drafts.jobs:
                self.state.show(job)
        self._published = False
        if time.monotonic() > self._publish_at:
            self.publish()

    def listens_at(self, address: str) -> None:
        """Record where this process listens for others of the profile; "" where it does not any more."""
        self._lock.listens_at(address)
        self._publish()

    def publish(self) -> None:
        """Tell readers how far the journal is on disk, if they do not know yet."""
        if not self._published:
            self._publish()

    def _publish(self, *, closed: bool = False) -> None:
        """What the mark says is only told to others: where it can't be written, nothing is lost."""
        self._published, self._publish_at = True, time.monotonic() + _PUBLISH_EVERY
        with contextlib.suppress(OSError):
            self._lock.publish(
                self._journal.number,
                self._seq,
                self.state.next_id,
                self.state.manifest.generation,
                closed=closed,
            )

    # ---- health

    @property
    def health(self) -> Health:
        """Whether changes are taken."""
        if self._failed:
            return Health.READ_ONLY
        return Health.FULL if self._full else Health.OK

    @property
    def trouble(self) -> str:
        """Why not, and what to do about it; "" while they are."""
        if self._full and not self._failed:
            if not has_inodes(self._directory):
                return (
                    f"The file system that holds {self._directory} has no free inodes (df -i shows it): "
                    "delete some files on it. No new job is taken until then; jobtui goes on by itself"
                )
            return (
                f"The disk that holds {self._directory} is full: free some space on it. "
                "No new job is taken until then; jobtui goes on by itself"
            )
        return self._failed

    def refusal(self) -> StoreError | None:
        """Why nothing can be moved to another journal or file now; None where it can."""
        if self.health is Health.READ_ONLY:
            return StoreFailed(self.trouble)
        return StoreFull(self.trouble) if self._dead else None

    def fail(self, error: Exception) -> None:
        """Take no change any more."""
        why = explain(error, self._directory) if isinstance(error, OSError) else str(error)
        at_fault = "see to that disk" if explain_shortage(error) == "" else "raise the limit"
        self._failed = (
            f"The history in {self._directory} can't be written any more ({why or type(error).__name__}): "
            f"end jobtui, {at_fault}, and start it again. What is shown is as it is on disk"
        )

    def put_off(self, error: OSError) -> None:
        """A seal failed: everything is still in the journals, and it is tried again when they are longer."""
        self._floor = self._journal.end
        what = f"sealing was put off: {explain(error)}"
        self.quarantine.mention(self._journal.path.name, what)

    # ---- journals

    def _begin(self, found: LoadedHistory, mark: WriterStatus | None) -> Journal:
        reading = found.replay.reading
        if found.sound:
            sweep(self._disk, self._directory, found.state, self.quarantine)
            if self._may_go_on(found, mark):
                return self._reopened(reading)
        else:
            with contextlib.suppress(PermissionError):
                self._disk.sync_directory(self._directory.parent)
        try:
            return self._restated()
        except OSError as error:
            if not found.journals or not is_full(error):
                raise
            self._dead = True
            self._full = True
            return self._reopened(reading)

    def _restated(self) -> Journal:
        """A fresh journal with all that was in those before, which are not needed any more. Raises OSError."""
        start = self._seq
        journal = self._new_journal(self._all_recent(), base=True)
        manifest = self.vault.save(journal=journal.number, seq=start)
        self.state.settle(manifest, self.state.segments)
        self.vault.forget_journals()
        return journal

    def _reopened(self, reading: ReplayPosition) -> Journal:
        blanks = self._limits.blanks
        return Journal.reopen(self._disk, self._directory, reading.journal, reading.offset, blanks)

    def _may_go_on(self, found: LoadedHistory, mark: WriterStatus | None) -> bool:
        """Whether the last writer ended in peace, and left the journal just as it is."""
        reading = found.replay.reading
        file = journal_name(reading.journal)
        if any(note.file == file for note in self.quarantine.notes):
            return False  # what is damaged in it is left behind, or each opening would find it again
        if self._disk.is_shared(self._directory / file):
            return False  # a copy made of second names would change with it
        return (
            mark is not None
            and mark.closed
            and (mark.journal, mark.durable) == (reading.journal, reading.seq)
            and (reading.usable, reading.schema) == (True, SCHEMA)
            and self._disk.size_of(self._directory / file) - reading.offset in (0, len(END))
        )

    def _all_recent(self) -> list[Job]:
        """Return what the next journal restates; a seal that ends meanwhile must know that it does."""
        with self.state.mutex:
            self.state.restated = self._last_number + 1
            return list(self.state.recent.values())

    def _new_journal(self, jobs: Iterable[Job], changes: Sequence[bytes] = (), *, base: bool) -> Journal:
        """A fresh journal that restates `jobs`, then holds `changes`. Raises OSError."""
        self._last_number += 1
        header = {
            "journal": self._last_number,
            "schema": SCHEMA,
            "base": base,
            "next_id": self.state.next_id,
        }
        restated = [encode(header), *(b'{"put":%b}' % encode(job) for job in jobs)]
        lines = numbered([*restated, *changes], self._seq)
        journal = Journal.create(self._disk, self._directory, self._last_number, lines, self._limits.blanks)
        self._seq += len(restated)
        self._touched = True
        return journal

    def _write_anew(self, drafts: ChangeSet, error: OSError | None = None) -> list[StoreError | None]:
        """The journal failed, and is never tried again: everything goes on in a fresh one, if that works.

        Not where the whole directory is another now, or none: what is sealed would not be found beside it.
        """
        if not self._lock.holds():
            self._failed = (
                f"The history's directory {self._directory} was deleted, moved or unmounted while jobtui "
                "ran: put it back, and start jobtui again. Until then nothing can be kept, and nothing begins"
            )
            self._journal.take_back()
            return [each or StoreFailed(self.trouble) for each in drafts.refusals]
        try:
            journal = self._new_journal(self._all_recent(), drafts.changes, base=True)
        except OSError as second:
            self._journal.take_back()
            self._dead = True
            if is_full(second):
                self._full = True
            else:
                self.fail(error or second)
            refusal = StoreFull if is_full(second) else StoreFailed
            return [each or refusal(self.trouble) for each in drafts.refusals]
        self._replace_journal(journal)
        self._dead = False
        self._full = False
        self._show(drafts)
        return drafts.refusals

    def _replace_journal(self, journal: Journal) -> None:
        with contextlib.suppress(OSError):
            self._journal.close()
        self._journal, self._floor = journal, journal.end

    # ---- sealing

    @property
    def is_long(self) -> bool:
        """Whether the journal is long enough to be sealed, and can be."""
        return self._journal.end > self._limits.journal + 2 * self._floor and self.refusal() is None

    def has_unsealed(self, first: int, last: int) -> bool:
        """Whether there are ended jobs from `first` to `last` that are in a journal that counts."""
        with self.state.mutex:
            return any(first <= job.id <= last and job.status.ended for job in self.state.recent.values())

    def must_seal_again(self, sealing: SealRequest) -> bool:
        """Return whether jobs that were just sealed are in a journal again, which was written meanwhile.

        They must not be archived then: the next opening would find them live and archived at once.
        """
        with self.state.mutex:
            return self.state.restated > sealing.journal and any(
                job.id in self.state.recent for job in sealing.jobs
            )

    def rotate(self) -> SealRequest:
        """Go on in a fresh journal with the live jobs; the ended ones are to be sealed. Raises OSError."""
        start = self._seq
        jobs = sorted(self.state.recent.values(), key=lambda job: job.id)
        try:
            journal = self._new_journal((job for job in jobs if not job.status.ended), base=False)
        except OSError:
            self._floor = self._journal.end
            raise
        self._replace_journal(journal)
        self._publish()
        return SealRequest(tuple(job for job in jobs if job.status.ended), journal.number, start)

    def close(self) -> None:
        """End in peace, so that the journal can be gone on with. What can't be written is left as it is."""
        try:
            if self.health is not Health.READ_ONLY and not self._dead:
                self._end()
        finally:
            with contextlib.suppress(OSError):
                self._journal.close()
            self._lock.release()
            self._guard.release()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            if self._journal.end > self._limits.leftover and self.health is not Health.FULL:
                finished(self.vault.seal(self.rotate()))
        with contextlib.suppress(OSError):
            if self._touched:
                self._journal.cut()
            self._publish(closed=True)


def make(disk: Disk, directory: Path) -> None:
    """Make a directory, and those above it, where there are none. Raises OSError."""
    if not disk.is_directory(directory):
        if directory.parent != directory:
            make(disk, directory.parent)
        if what := disk.stands_in_for(directory, directory=True):
            raise NotADirectoryError(errno.ENOTDIR, what, str(directory))
        disk.make_directory(directory)
        disk.sync_directory(directory.parent)
