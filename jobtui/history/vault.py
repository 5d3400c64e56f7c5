"""What is sealed for good: writing segments, and the manifest that makes them count.

The long work is done in steps: each method that takes its time is an iterator, between whose steps others
may have their turn. One thread at a time may be at work here.
"""

from __future__ import annotations

import contextlib
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from jobtui.history import manifest as manifests
from jobtui.history.archive import DIRECTORY as ARCHIVE
from jobtui.history.archive import ArchiveResult, Taking, taking, write_contents
from jobtui.history.framing import framed
from jobtui.history.index import Index, columns_of, index_lines
from jobtui.history.io import Disk
from jobtui.history.journal import journals
from jobtui.history.manifest import ArchiveEntry, Manifest, SegmentEntry
from jobtui.history.quarantine import Quarantine
from jobtui.history.records import SCHEMA, encode
from jobtui.history.segment import Segment, index_name, records_name
from jobtui.history.state import Replaced, State, Tally, flat, nested
from jobtui.history.steps import Steps
from jobtui.history.sweeping import remove_archive
from jobtui.model import Job

_STEP: Final = 32
"""Records that are encoded in one step."""


class UnsureError(OSError):
    """The manifest was renamed, and that may not be on disk: nothing may be removed or written any more."""


@dataclass(frozen=True, slots=True)
class Sealing:
    """Ended jobs that leave the journal for a segment, and where the journal goes on without them."""

    jobs: tuple[Job, ...]
    journal: int
    seq: int


class Vault:
    """The sealed side of a history that is open for writing."""

    def __init__(self, disk: Disk, directory: Path, state: State, quarantine: Quarantine) -> None:
        self._disk, self._directory = disk, directory
        self._state, self._quarantine = state, quarantine
        self._next_segment = state.manifest.next_segment

    def save(self, **changes: Any) -> Manifest:
        """Write a manifest with these fields changed. Raises OSError, UnsureError if it may count already."""
        before = self._state.manifest
        after = msgspec.structs.replace(
            before,
            generation=before.generation + 1,
            next_id=max(before.next_id, self._state.next_id),
            next_segment=self._next_segment,
            schema=SCHEMA,
            **changes,
        )
        try:
            manifests.save(self._disk, self._directory, after)
        except OSError as error:
            if self._counts_already(after):
                raise UnsureError(*error.args) from None
            raise
        return after

    def _counts_already(self, manifest: Manifest) -> bool:
        try:
            return manifests.load(self._disk, self._directory) == manifest
        except (OSError, manifests.ManifestDamagedError):
            return True

    def seal(self, sealing: Sealing) -> Steps[None]:
        """Write the ended jobs as a segment, then forget older journals. After an OSError all is as it was."""
        if not sealing.jobs:
            self._commit(self.save(journal=sealing.journal, seq=sealing.seq), self._state.segments)
            return
        lines = (framed(encode(job)) for job in sealing.jobs)
        segment = yield from self.write_segment(self._directory, lines, sealing.jobs)
        self._disk.sync_directory(self._directory)
        with self._state.mutex:
            older = {
                job.id: self._state.replaced[job.id] for job in sealing.jobs if job.id in self._state.replaced
            }
        kept = _without(self._state.manifest.segments, older)
        counts = _counted(self._state.manifest.counts, sealing.jobs, older.values())
        manifest = self.save(
            journal=sealing.journal, seq=sealing.seq, segments=(*kept, segment.entry), counts=counts
        )
        with self._state.mutex:
            for each, entry in zip(self._state.segments, kept, strict=True):
                each.entry = entry
            self._state.settle(manifest, (*self._state.segments, segment))
            self._state.take_sealed(sealing.jobs, segment)
        self.forget_journals()

    def archive(self, first: int, last: int) -> Steps[ArchiveResult]:
        """Move the sealed jobs from `first` to `last` into an archive. Raises OSError; all stays as it was."""
        taken = []
        for segment in self._state.segments:
            if (some := taking(segment, first, last)) is not None:
                taken.append(some)
            yield
        if not taken:
            return ArchiveResult(array("Q"), 0)
        manifest = self._state.manifest
        name = f"jobs-{first}-{last}-{manifest.generation + 1}"
        place = self._directory / ARCHIVE / name
        remove_archive(self._disk, self._directory, name)
        self._disk.make_directory(place)
        try:
            moved, rest, tally, tasks = yield from self._divide(taken, place)
            write_contents(self._disk, place, SCHEMA, [segment.entry for segment in moved])
            for directory in (place, place.parent, self._directory):
                self._disk.sync_directory(directory)
            ids = array("Q", sorted(job_id for some in taken for job_id in some.ids()))
            spaces = tuple(sorted({space for space, _ in tally}))
            entry = ArchiveEntry(name, len(ids), ids[0], ids[-1], tasks, spaces)
            gone = {some.segment.name for some in taken}
            kept = [each for each in manifest.segments if each.name not in gone]
            counts = Counter(flat(manifest.counts))
            counts.subtract(tally)
            after = self.save(
                segments=(*kept, *(segment.entry for segment in rest)),
                counts=nested(counts),
                archives=(*manifest.archives, entry),
            )
        except UnsureError:
            raise
        except OSError:
            remove_archive(self._disk, self._directory, name)
            raise
        with self._state.mutex:
            segments = [each for each in self._state.segments if each.name not in gone]
            self._state.settle(after, (*segments, *rest))
            self._state.tally.subtract(tally)
        for segment in (some.segment for some in taken):
            self._remove_segment(segment.name)
        return ArchiveResult(ids, tasks)

    def _divide(
        self, taken: Sequence[Taking], place: Path
    ) -> Steps[tuple[list[Segment], list[Segment], Tally, int]]:
        """Have the archive hold what is taken, and new segments the rest; also how the taken jobs count."""
        moved: list[Segment] = []
        rest: list[Segment] = []
        tasks = 0
        tally: Tally = Counter()
        for some in taken:
            segment, places = some.segment, some.places
            tally.update(map(segment.summary, places))
            counts = segment.numbers("tasks")
            tasks += int(sum(counts[each] for each in places))
            yield
            if some.whole:
                for file in (records_name(segment.name), index_name(segment.name)):
                    with contextlib.suppress(FileNotFoundError):
                        self._disk.link(self._directory / file, place / file)
                moved.append(segment)
                continue
            lines, jobs = segment.records()
            yield
            others = sorted(set(segment.present()) - set(places))
            schema = segment.entry.schema
            for target, chosen, found in ((place, places, moved), (self._directory, others, rest)):
                part = yield from self.write_segment(
                    target, [lines[each] for each in chosen], [jobs[each] for each in chosen], schema
                )
                found.append(part)
        return moved, rest, tally, tasks

    def _remove_segment(self, name: str) -> None:
        for file in (records_name(name), index_name(name)):
            with contextlib.suppress(OSError):
                self._disk.remove(self._directory / file)

    def forget_journals(self) -> None:
        """Remove the journals that the manifest does not need any more; one that stays does no harm."""
        for number, path in journals(self._disk, self._directory):
            if number < self._state.manifest.journal:
                with contextlib.suppress(OSError):
                    self._disk.remove(path)

    def write_segment(
        self, directory: Path, lines: Iterable[bytes], jobs: Sequence[Job], schema: int = SCHEMA
    ) -> Steps[Segment]:
        """Write jobs' framed records, in id order, and their index; no directory is synced. Raises OSError."""
        name = f"seg-{self._next_segment:08d}"
        self._next_segment += 1
        pieces, starts = [], [0]
        for line in lines:
            pieces.append(line)
            starts.append(starts[-1] + len(line))
            if len(pieces) % _STEP == 0:
                yield
        columns = columns_of(jobs, starts)
        yield
        parts = []
        for part in index_lines(columns, jobs):
            parts.append(part)
            yield
        self._disk.write_new(directory / records_name(name), [b"".join(pieces)])
        yield
        Index(self._disk, directory / index_name(name), starts[-1]).write(len(jobs), parts)
        entry = SegmentEntry(name, len(jobs), jobs[0].id, jobs[-1].id, starts[-1], schema)
        segment = Segment(self._disk, directory, entry, self._quarantine)
        segment.adopt(columns)
        return segment

    def _commit(self, manifest: Manifest, segments: tuple[Segment, ...]) -> None:
        self._state.settle(manifest, segments)
        self.forget_journals()


def _without(entries: tuple[SegmentEntry, ...], older: Mapping[int, Replaced]) -> list[SegmentEntry]:
    stale: dict[str, list[int]] = {}
    for job_id, replaced in older.items():
        stale.setdefault(replaced.segment.name, []).append(job_id)
    return [
        msgspec.structs.replace(entry, stale=(*entry.stale, *stale[entry.name]))
        if entry.name in stale
        else entry
        for entry in entries
    ]


def _counted(
    counts: Mapping[str, Mapping[str, int]], jobs: Iterable[Job], older: Iterable[Replaced]
) -> dict[str, dict[str, int]]:
    tally = Counter(flat(counts))
    tally.update((job.space, job.status) for job in jobs)
    tally.subtract((replaced.space, replaced.status) for replaced in older)
    return nested(tally)
