"""Faulty versions of the history, each without one of its safety steps, which the tests must notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from jobtui.history.format import codec, manifest, state
from jobtui.history.format import journal as replay
from jobtui.history.format.disk import Disk
from jobtui.history.format.journal import Journal
from jobtui.history.format.manifest import Manifest, SegmentEntry
from jobtui.history.format.quarantine import Quarantine
from jobtui.history.format.segment import Segment
from jobtui.history.read import reader
from jobtui.history.write import archiver, segment_store, store
from jobtui.model import Job
from tests.support.lossy_disk import Concerned, CutAt, Fails, MemoryDisk, Omits, Step, Wrote
from tests.support.power_loss import a_rename


class Omission(msgspec.Struct, frozen=True):
    """A safety step that is left out: a sync that `omits` selects, or a `change` to the code.

    `fails` selects the syncs that fail meanwhile; `cut_at` is as in `run_sessions`. `seed` is the one that
    revealed the fault first when all were tried, so it is tried first.
    """

    name: str
    omits: Omits = lambda concerned: False
    change: Callable[[pytest.MonkeyPatch], None] = lambda patch: None
    fails: Fails | None = None
    cut_at: CutAt | None = None
    seed: int = 0


def _written_in_place(patch: pytest.MonkeyPatch) -> None:
    def put(disk: Disk, path: Path, data: bytes) -> None:
        disk.create_with(path, [data])
        disk.sync_directory(path.parent)

    patch.setattr(Disk, "write_atomically", put)


def _renamed_before_it_is_synced(patch: pytest.MonkeyPatch) -> None:
    def put(disk: Disk, path: Path, data: bytes) -> None:
        fresh = path.with_name(path.name + ".tmp")
        file = disk.create(fresh)
        disk.write(file, data, 0)
        disk.rename(fresh, path)
        disk.sync_directory(path.parent)
        disk.sync(file)
        disk.close(file)

    patch.setattr(Disk, "write_atomically", put)


def _journals_forgotten_too_soon(patch: pytest.MonkeyPatch) -> None:
    save = segment_store.SegmentStore.save_manifest

    def hasty(self: segment_store.SegmentStore, **changes: int) -> Manifest:
        if "journal" in changes:
            for number, path in segment_store.list_journals(self.disk, self.directory):
                if number < changes["journal"]:
                    self.disk.remove(path)
        return save(self, **changes)

    patch.setattr(segment_store.SegmentStore, "save_manifest", hasty)


def _segments_removed_too_soon(patch: pytest.MonkeyPatch) -> None:
    def hasty(disk: Disk, directory: Path, schema: int, segments: Sequence[SegmentEntry]) -> None:
        write(disk, directory, schema, segments)
        for name in disk.list_names(directory):
            above = directory.parent.parent / name
            if above.name in disk.list_names(above.parent):
                disk.remove(above)

    write = archiver.create_archive_manifest
    patch.setattr(archiver, "create_archive_manifest", hasty)


def _dead_journal_written_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(store.Store, "_can_reuse_journal", lambda self, found, mark: len(found.journals) == 1)


def _failed_sync_tried_again(patch: pytest.MonkeyPatch) -> None:
    append = Journal.append

    def stubborn(self: Journal, data: bytes) -> None:
        try:
            append(self, data)
        except OSError:
            self._disk.sync_data(self._file)
            self.end += len(data)

    patch.setattr(Journal, "append", stubborn)


def _failed_sync_passed_over(patch: pytest.MonkeyPatch) -> None:
    append = Journal.append

    def careless(self: Journal, data: bytes) -> None:
        try:
            append(self, data)
        except OSError:
            self.end += len(data)

    patch.setattr(Journal, "append", careless)


def _batches_taken_in_part(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replay._BatchReader, "_was_acknowledged", lambda self: True)


def _checksums_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    for module in (codec, manifest):
        patch.setattr(module, "is_intact", lambda line: line.startswith(codec.MAGIC) and line.endswith(b"}"))


def _stale_journal_applied(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replay, "_is_stale", lambda first, reading: False)


def _uncertain_manifest_taken_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(segment_store.SegmentStore, "_may_be_committed", lambda self, manifest: False)


def _sealed_while_restated(patch: pytest.MonkeyPatch) -> None:
    mark_sealed = state.State.mark_sealed

    def hasty(self: state.State, jobs: Sequence[Job], segment: Segment, journal: int) -> None:
        mark_sealed(self, jobs, segment, self.restated_in)

    patch.setattr(state.State, "mark_sealed", hasty)
    patch.setattr(reader, "_drop_archived_jobs", lambda archives, replay: None)


def _swept_too_soon(patch: pytest.MonkeyPatch) -> None:
    remove_leftovers = store.remove_leftovers

    def hasty(disk: MemoryDisk, directory: Path, found: state.State, kept: Quarantine) -> None:
        with pytest.MonkeyPatch.context() as within:
            within.setattr(disk, "sync_directory", lambda path: None)
            remove_leftovers(disk, directory, found, kept)

    patch.setattr(store, "remove_leftovers", hasty)


def _appends(concerned: Concerned) -> float:
    return 0.02 if concerned.how == "sync_data" else 0.0


def _often(concerned: Concerned) -> float:
    return 0.2 if concerned.how == "sync_data" else 0.0


def _new_journals(concerned: Concerned) -> float:
    return 0.3 if concerned.directory and concerned.any("journal-") else 0.0


def _manifests(concerned: Concerned) -> float:
    return 0.1 if concerned.directory and concerned.any("MANIFEST") else 0.0


def _a_commit(step: Step) -> bool:
    return isinstance(step, Wrote) and step.offset > 2000 and step.data.startswith(codec.MAGIC)


OMISSIONS = (
    Omission("commits are not synced", omits=lambda it: it.how == "sync_data"),
    Omission("a new journal is not synced", omits=lambda it: it.how == "sync" and it.any("journal-")),
    Omission("a new journal's name is not synced", omits=lambda it: bool(it.directory) and it.any("journal-")),
    Omission("the manifest is not synced", omits=lambda it: it.how == "sync" and it.any("MANIFEST")),
    Omission("the manifest's name is not synced", omits=lambda it: bool(it.directory) and it.any("MANIFEST")),
    Omission("a segment is not synced", omits=lambda it: it.how == "sync" and it.any("seg-")),
    Omission("a segment's name is not synced", omits=lambda it: it.directory == "history" and it.any("seg-")),
    Omission("an archive's names are not synced", omits=lambda it: it.directory.startswith("jobs-")),
    Omission("an archive's own name is not synced", omits=lambda it: it.directory == "archive"),
    Omission("an archive's manifest is not synced", omits=lambda it: it.any("ARCHIVE") and not it.directory),
    Omission("the manifest is written in place", change=_written_in_place),
    Omission("the manifest is renamed before it is synced", change=_renamed_before_it_is_synced, seed=5),
    Omission(
        "journals are forgotten before the manifest is saved", change=_journals_forgotten_too_soon, seed=1
    ),
    Omission("segments are removed before the manifest is saved", change=_segments_removed_too_soon, seed=14),
    Omission("a dead writer's journal is written on", change=_dead_journal_written_on, cut_at=_a_commit),
    Omission("a failed sync is tried again", change=_failed_sync_tried_again, fails=_appends),
    Omission("a failed sync is passed over", change=_failed_sync_passed_over, fails=_appends),
    Omission("a batch is taken in part", change=_batches_taken_in_part, seed=25),
    Omission("checksums are not looked at", change=_checksums_not_looked_at, seed=52),
    Omission(
        "a failed rotation's journal is applied", change=_stale_journal_applied, fails=_new_journals, seed=23
    ),
    Omission(
        "a manifest that may count is replaced by the old one",
        change=_uncertain_manifest_taken_back,
        fails=_manifests,
        seed=4,
    ),
    Omission("a seal overlooks a journal that restates", change=_sealed_while_restated, fails=_often, seed=17),
    Omission(
        "the manifest is not certain before leftovers are removed",
        change=_swept_too_soon,
        cut_at=a_rename,
        seed=3,
    ),
)
