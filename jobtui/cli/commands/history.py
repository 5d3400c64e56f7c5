"""`jobtui history verify|repair|export`: looking after the jobs that a profile keeps on disk."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TextIO

from jobtui.cli.args import HistoryCommand
from jobtui.cli.errors import CommandError, Exit
from jobtui.cli.profiles import profile_of, settings_of
from jobtui.cli.streams import Output, print_error
from jobtui.engine import health
from jobtui.engine.profile import Profile
from jobtui.formatting import format_count, printable_lines
from jobtui.history import StoreError, StoreLocked
from jobtui.os_errors import explain


def history_command(asked: HistoryCommand) -> int:
    """Do what was asked for; the answer is the exit status. Raises CommandError."""
    profile = profile_of(asked, settings_of(asked))
    try:
        match asked.what:
            case "verify":
                return _verify(profile)
            case "repair":
                return _repair(profile)
            case _:
                return _export(profile, asked)
    except StoreLocked as locked:
        raise CommandError(f"{locked}; a repair needs it alone: end that one first") from None
    except StoreError as error:
        raise CommandError(str(error)) from None


def _verify(profile: Profile) -> int:
    is_there = _is_there(profile)
    found, before = health.verify_history(profile)
    well = (f"{profile.history}: {'all is well' if is_there else 'not there yet, and nothing to verify'}",)
    _tell((*(f"found before: {line}" for line in before), *(found or well)))
    if found:
        print_error("jobtui history repair mends what can be mended, and keeps the rest in quarantine/")
    return Exit.FAILED if found else Exit.DONE


def _repair(profile: Profile) -> int:
    if not _is_there(profile):
        raise CommandError(f"there is no history in {profile.history}")
    _tell(health.repair_history(profile) or (f"{profile.history}: there was nothing to repair",))
    return Exit.DONE


def _is_there(profile: Profile) -> bool:
    """Whether the profile has a history. Raises CommandError where that can't be seen."""
    try:
        if profile.history.is_symlink() and not profile.history.exists():
            raise CommandError(f"{profile.history} is a link that leads nowhere")
        return profile.history.is_dir()
    except OSError as error:
        raise CommandError(f"{profile.history} can't be looked at: {error.strerror}") from None


def _tell(lines: tuple[str, ...]) -> None:
    output = Output()
    output.write("".join(f"{printable_lines(line)}\n" for line in lines))
    output.flush()


def _export(profile: Profile, asked: HistoryCommand) -> int:
    if asked.file == "-":
        stdout = _Stdout()
        try:
            _, missing = health.export_history(profile, stdout, asked.format, raw=asked.raw)
            stdout.output.flush()
        except _NobodyReads:
            return Exit.DONE
        return _told_as_missing(missing)
    count, missing = _export_into(Path(asked.file), profile, asked.format, raw=asked.raw)
    if not asked.quiet:
        print_error(f"{asked.file}: {format_count(count, 'job')}")
    return _told_as_missing(missing)


def _told_as_missing(missing: tuple[str, ...]) -> int:
    for line in missing:
        print_error(line)
    if missing:
        print_error("jobtui: not all of the history could be read; what could is in the export")
    return Exit.FAILED if missing else Exit.DONE


def _export_into(file: Path, profile: Profile, form: str, *, raw: bool) -> tuple[int, tuple[str, ...]]:
    """Write a new file, for its owner's eyes; one that could not be finished is removed."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(f"{file} is there already, and is left as it is") from None
    except OSError as error:
        raise CommandError(f"{file} can't be written: {explain(error, file)}") from None
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as out:
            return health.export_history(profile, out, form, raw=raw)
    except OSError as error:
        file.unlink()
        raise CommandError(f"{file} can't be written: {explain(error, file)}") from None
    except BaseException:
        file.unlink()
        raise


class _NobodyReads(Exception):
    """stdout's reader went away, and what is left to print need not be read."""


class _Stdout(io.TextIOBase, TextIO):
    """Our stdout as a file."""

    def __init__(self) -> None:
        self.output = Output()

    def write(self, text: str) -> int:
        """See `Output.write`."""
        self.output.write(text)
        if self.output.closed:
            raise _NobodyReads
        return len(text)
