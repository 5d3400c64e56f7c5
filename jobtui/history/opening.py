"""Finding out what a history holds, from its files: the same for the writer and for a reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jobtui.history import manifest
from jobtui.history.io import Disk
from jobtui.history.journal import journals
from jobtui.history.manifest import Manifest
from jobtui.history.quarantine import Quarantine
from jobtui.history.replay import Reading, Replay
from jobtui.history.segment import Segment, records_name
from jobtui.history.state import State


@dataclass(frozen=True, slots=True)
class Found:
    """What was read: the state, and the replay that a reader goes on with. `journals` are their numbers."""

    state: State
    replay: Replay
    journals: tuple[int, ...]


def load(
    disk: Disk, directory: Path, quarantine: Quarantine, *, final: bool, durable: int | None = None
) -> Found:
    """Read the manifest and the journals. Raises StoreTooNew and OSError.

    `final`: no writer is at work. `durable` is the last change that a living writer has on disk.
    """
    found = _manifest(disk, directory, quarantine)
    state = State()
    segments = tuple(Segment(disk, directory, entry, quarantine) for entry in found.segments)
    _note_missing(disk, directory, quarantine, found)
    state.settle(found, segments)
    state.count_sealed()
    replay = Replay(state, quarantine, Reading(found.seq, durable=durable))
    numbers = []
    for number, path in journals(disk, directory):
        if number >= found.journal:
            replay.begin(number, path.name)
            replay.take(disk.read_whole(path), final=final)
            numbers.append(number)
    if not numbers and found.seq:
        quarantine.add("journal", None, "the journal is missing: changes since the last seal are lost")
    return Found(state, replay, tuple(numbers))


def _manifest(disk: Disk, directory: Path, quarantine: Quarantine) -> Manifest:
    try:
        found = manifest.load(disk, directory)
        if found is not None:
            return found
        data = b""
    except manifest.ManifestDamagedError as error:
        data = error.data
    rebuilt = _rebuilt(disk, directory, quarantine)
    if data or rebuilt.segments or rebuilt.archives or rebuilt.journal > 1:
        quarantine.add(
            manifest.NAME, None, "it was missing or damaged, and was made again from the files", data
        )
    return rebuilt


def _rebuilt(disk: Disk, directory: Path, quarantine: Quarantine) -> Manifest:
    """A manifest of everything that lies there: nothing is left out, and ids go on above all that are seen."""
    return Manifest()


def _note_missing(disk: Disk, directory: Path, quarantine: Quarantine, found: Manifest) -> None:
    names = set(disk.names(directory))
    for entry in found.segments:
        if records_name(entry.name) not in names:
            what = f"the segment is missing: jobs between {entry.first} and {entry.last} can't be read"
            quarantine.add(records_name(entry.name), None, what)
