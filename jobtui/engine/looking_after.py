"""Looking after a profile's history: for the rooms above the engine, which know only the profile."""

from __future__ import annotations

from typing import TextIO

from jobtui.engine.profile import Profile
from jobtui.history import export
from jobtui.history.repair import repair, verify


def verify_history(profile: Profile) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All that is not as it was written, a line each, and what was found before.

    Raises StoreError.
    """
    found = verify.verify(profile.history)
    places = {(note.file, note.byte) for note in found}
    before = [note for note in verify.earlier(profile.history) if (note.file, note.byte) not in places]
    return tuple(map(str, found)), tuple(map(str, before))


def repair_history(profile: Profile) -> tuple[str, ...]:
    """Make it whole; what was done, a line each. Raises StoreLocked while a process has it, and StoreError."""
    return tuple(repair.repair(profile.history))


def export_history(
    profile: Profile, out: TextIO, form: str, *, raw: bool = False
) -> tuple[int, tuple[str, ...]]:
    """Write every job to `out` as json, jsonl or csv; how many there are, and what is missing, a line each.

    `raw` leaves texts in a CSV as they are that a spreadsheet would compute. Raises StoreError.
    """
    exported = export.export(profile.history, out, form, raw=raw)
    return exported.count, exported.missing
