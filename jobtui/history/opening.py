"""Finding out what a history holds, from its files: the same for the writer and for a reader."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from jobtui.history import manifest
from jobtui.history.archive import Archives
from jobtui.history.io import Disk
from jobtui.history.journal import END, journal_name, journals_among
from jobtui.history.lock import Mark
from jobtui.history.manifest import Manifest
from jobtui.history.quarantine import Quarantine
from jobtui.history.records import encode
from jobtui.history.replay import Reading, Replay
from jobtui.history.scattered import Scattered
from jobtui.history.segment import Segment
from jobtui.history.state import State
from jobtui.history.sweeping import is_of_other_files

IDS_OF_A_JOURNAL: Final = 100_000
"""No journal of 4 MiB holds so many jobs: the line of a new one has more than 42 bytes."""


class Found(msgspec.Struct, frozen=True):
    """What was read: the state, and the replay that a reader goes on with.

    `journals` are the numbers of the journals that were read. `sound`: the manifest is as it was written
    and what it names is there, so that what it does not name is not needed.
    """

    state: State
    replay: Replay
    journals: tuple[int, ...]
    sound: bool


def load(disk: Disk, directory: Path, quarantine: Quarantine, mark: Mark | None, *, alive: bool) -> Found:
    """Read the manifest and the journals. Raises StoreTooNew and OSError.

    `mark` is what the last writer said, and `alive` says that it is at work: then nothing is taken that
    goes beyond its mark, or no journal at all where that can't be read, and what is incomplete is no damage.
    """
    names = disk.names(directory)
    there = journals_among(directory, names)
    found = _manifest(disk, directory, quarantine)
    last_known = found.next_id if found is not None else 1
    sound = found is not None and (not there or any(number == found.journal for number, _ in there))
    if found is not None and sound and not alive and is_of_other_files(disk, directory, found, names):
        what = "it names what is gone, and not what is there: it was made again from the files"
        quarantine.add(manifest.NAME, None, what, disk.read_whole(directory / manifest.NAME))
        sound = False
    if found is None or not sound:
        found = _made_again(disk, directory, quarantine)
        found = msgspec.structs.replace(found, next_id=max(found.next_id, last_known))
    state = State()
    state.settle(found, tuple(Segment(disk, directory, entry, quarantine) for entry in found.segments))
    state.count_sealed()
    scattered = Scattered(disk, directory, state.segments)
    for segment in state.segments:
        segment.elsewhere = scattered.find
    acknowledged = mark.durable if mark is not None else 0
    reading = Reading(found.seq, durable=acknowledged if alive else None, acknowledged=acknowledged)
    replay = Replay(state, quarantine, reading, to_write=quarantine.writes)
    numbers = [number for number, _ in there if number >= found.journal]
    for number, path in there:
        if number >= found.journal:
            replay.begin(number, path.name)
            if mark is None and alive:
                break
            data = disk.read_whole(path)
            replay.take(data, final=not alive)
            if not alive:
                _note_lost_end(number, data, found, mark, replay)
    if not alive and not numbers and _has_been_sealed(found):
        what = "it is missing, and the manifest names it: what changed since the last seal is lost"
        _note_lost(journal_name(found.journal), what, mark, replay)
    if not sound and quarantine.writes:
        from jobtui.history.rebuilding import highest_id

        state.next_id = max(state.next_id, highest_id(disk, directory) + 1)
    if mark is not None and not alive:
        _note_broken_promise(mark, replay, quarantine)
    _drop_archived(Archives(disk, directory, quarantine), replay)
    return Found(state, replay, tuple(numbers), sound)


def _drop_archived(archives: Archives, replay: Replay) -> None:
    """Have each job once: what is archived is not looked for in a journal, too. Raises OSError."""
    state = replay.state
    for job in list(state.recent.values()):
        if any(entry.first <= job.id <= entry.last for entry in state.manifest.archives) and (
            archives.find(state.manifest, job.id) is not None
        ):
            state.drop_recent(job.id)
            what = f"job {job.id} is archived, and in the journal, too: the archived one counts"
            replay.quarantine.add_anyway(replay.file, None, what, encode(job), (job.id,))


def _manifest(disk: Disk, directory: Path, quarantine: Quarantine) -> Manifest | None:
    try:
        found = manifest.load(disk, directory)
    except manifest.ManifestDamagedError as error:
        what = "it is damaged: it was made again from the files"
        quarantine.add(manifest.NAME, None, what, error.data)
        return None
    return found


def _made_again(disk: Disk, directory: Path, quarantine: Quarantine) -> Manifest:
    from jobtui.history.rebuilding import rebuilt

    made = rebuilt(disk, directory, quarantine)
    if (made.segments or made.archives or made.journal > 1) and not quarantine.notes:
        what = "it is missing, or the journal that it names: it was made again from the files"
        quarantine.add(manifest.NAME, None, what)
    return made


def _note_lost_end(number: int, data: bytes, found: Manifest, mark: Mark | None, replay: Replay) -> None:
    """Note a journal that was emptied or cut off: the writer leaves a blank at its end at all times."""
    reading = replay.reading
    if reading.offset == 0 and number == found.journal and _has_been_sealed(found):
        what = "it is empty, or its beginning is gone: what changed since the last seal is lost"
        _note_lost(replay.file, what, mark, replay)
    elif reading.offset and mark is None and not data.endswith(END):  # a mark says what must be there
        _note_lost(replay.file, "its end was cut off: changes at its end may be missing", mark, replay)


def _has_been_sealed(found: Manifest) -> bool:
    return bool(found.generation or found.segments or found.archives)


def _note_lost(file: str, what: str, mark: Mark | None, replay: Replay) -> None:
    """Note lost changes; without a mark, skip all ids that they may have had: none may be given out twice."""
    replay.quarantine.add(file, None, what)
    if mark is None:
        replay.state.next_id += IDS_OF_A_JOURNAL


def _note_broken_promise(mark: Mark, replay: Replay, quarantine: Quarantine) -> None:
    """The last writer had more on disk than there is now."""
    state, seq = replay.state, replay.reading.seq
    state.next_id = max(state.next_id, mark.next_id)
    if mark.durable > seq:
        what = f"acknowledged changes are missing at the end: {seq + 1} to {mark.durable}"
        quarantine.add(replay.file, None, what)
        # numbers never go back, or what is written next might be taken for what is missing
        replay.reading.seq = mark.durable
