"""Looking after a history: is it whole (`verify`), make it whole (`repair`), write it out (`export`).

`verify` only reads, also beside a writer; so does `export`. `repair` needs the history for itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from jobtui.history.archive import Archives
from jobtui.history.errors import DamageNote, readable
from jobtui.history.exporting import export
from jobtui.history.follower import Follower
from jobtui.history.inspecting import damage_of, in_the_way, miscounts, unnamed
from jobtui.history.io import Disk, real_path
from jobtui.history.lock import Watch
from jobtui.history.manifest import NAME as MANIFEST
from jobtui.history.quarantine import remembered
from jobtui.history.repairing import repair

__all__ = ["earlier", "export", "repair", "verify"]

_TRIES: Final = 5


def earlier(path: Path, disk: Disk | None = None) -> list[DamageNote]:
    """What was noted so far, and is mended or may be, the oldest first. Raises StoreError."""
    with readable():
        return list(remembered(disk or Disk(), real_path(path)))


def verify(path: Path, disk: Disk | None = None) -> list[DamageNote]:
    """All that is not as it was written: in which file, at which byte, which jobs. Nothing: all is well.

    Raises StoreTooNew, and StoreError where the history can't be read at all.
    """
    disk, path = disk or Disk(), real_path(path)
    with readable():
        for left in reversed(range(_TRIES)):
            named = disk.identity(path / MANIFEST)
            notes = _looked_at(disk, path)
            if not (notes and left) or disk.identity(path / MANIFEST) == named:
                break  # or else a writer moved files meanwhile, and what was not there is elsewhere
    return notes


def _looked_at(disk: Disk, path: Path) -> list[DamageNote]:
    blocked = in_the_way(disk, path)
    try:
        return [*blocked, *_damage_in(disk, path)]
    except OSError:
        if not blocked:
            raise
        return blocked  # and what is behind it can't be seen


def _damage_in(disk: Disk, path: Path) -> list[DamageNote]:
    follower = Follower(disk, path)
    follower.close()
    state, quarantine = follower.state, follower.quarantine
    archived = Archives(disk, path, quarantine).all_segments(state.manifest)
    notes = [note for segment in (*state.segments, *archived) for note in damage_of(disk, segment)]
    notes += miscounts(state, archived)
    strays = unnamed(disk, path, state.manifest, is_written=_is_written(disk, path))
    return [*quarantine.notes, *notes, *strays]


def _is_written(disk: Disk, path: Path) -> bool:
    watch = Watch(disk, path)
    try:
        return watch.has_writer()
    finally:
        watch.close()
