"""`jobtui history verify|repair|export`: the jobs that a profile stores on disk."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TextIO

from typing_extensions import override

from jobtui.cli.errors import CommandError, Exit
from jobtui.cli.options import HistoryCommand
from jobtui.cli.profiles import read_settings, resolve_profile
from jobtui.cli.streams import StdoutWriter, print_error
from jobtui.engine import health
from jobtui.engine.profile import Profile
from jobtui.formatting import format_count, printable_lines
from jobtui.history import StoreError, StoreLocked
from jobtui.os_errors import describe_os_error


def history_command(command: HistoryCommand) -> int:
    """Verify, repair or export the history, and return the exit status. Raises CommandError."""
    profile = resolve_profile(command, read_settings(command))
    try:
        match command.action:
            case "verify":
                return _verify(profile)
            case "repair":
                return _repair(profile)
            case _:
                return _export(profile, command)
    except StoreLocked as locked:
        raise CommandError(f"{locked}; a repair must be its only user: end that process first") from None
    except StoreError as error:
        raise CommandError(str(error)) from None


def _verify(profile: Profile) -> int:
    exists = _has_history(profile)
    found, before = health.verify_history(profile)
    well = (f"{profile.history}: {'no damage found' if exists else 'does not exist yet; nothing to verify'}",)
    _print((*(f"found before: {line}" for line in before), *(found or well)))
    if found:
        print_error("jobtui history repair repairs what can be repaired, and keeps the rest in quarantine/")
    return Exit.FAILED if found else Exit.DONE


def _repair(profile: Profile) -> int:
    if not _has_history(profile):
        raise CommandError(f"there is no history in {profile.history}")
    _print(health.repair_history(profile) or (f"{profile.history}: there was nothing to repair",))
    return Exit.DONE


def _has_history(profile: Profile) -> bool:
    """Return whether the profile has a history.

    Raises CommandError if its directory cannot be read.
    """
    try:
        if profile.history.is_symlink() and not profile.history.exists():
            raise CommandError(f"{profile.history} is a link to a directory that does not exist")
        return profile.history.is_dir()
    except OSError as error:
        raise CommandError(f"{profile.history} cannot be read: {error.strerror}") from None


def _print(lines: tuple[str, ...]) -> None:
    output = StdoutWriter()
    output.write("".join(f"{printable_lines(line)}\n" for line in lines))
    output.flush()


def _export(profile: Profile, command: HistoryCommand) -> int:
    if command.file == "-":
        stdout = _Stdout()
        try:
            _, missing = health.export_history(profile, stdout, command.format, raw=command.raw)
            stdout.output.flush()
        except _ReaderGone:
            return Exit.DONE
        return _report_missing(missing)
    count, missing = _export_to_file(Path(command.file), profile, command.format, raw=command.raw)
    if not command.quiet:
        print_error(f"{command.file}: {format_count(count, 'job')}")
    return _report_missing(missing)


def _report_missing(missing: tuple[str, ...]) -> int:
    for line in missing:
        print_error(line)
    if missing:
        print_error("jobtui: a part of the history could not be read; the export has the rest")
    return Exit.FAILED if missing else Exit.DONE


def _export_to_file(file: Path, profile: Profile, form: str, *, raw: bool) -> tuple[int, tuple[str, ...]]:
    """Export to a new file that only its owner can read; it is removed if it cannot be completed."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(f"{file} exists already; nothing was written") from None
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {describe_os_error(error, file)}") from None
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as out:
            return health.export_history(profile, out, form, raw=raw)
    except OSError as error:
        file.unlink()
        raise CommandError(f"{file} cannot be written: {describe_os_error(error, file)}") from None
    except BaseException:
        file.unlink()
        raise


class _ReaderGone(Exception):
    """The error of a stdout that its reader has closed, so that printing can end."""


class _Stdout(io.TextIOBase, TextIO):
    """stdout as a file. `write` raises _ReaderGone."""

    def __init__(self) -> None:
        self.output = StdoutWriter()

    @override
    def write(self, text: str) -> int:
        self.output.write(text)
        if self.output.closed:
            raise _ReaderGone
        return len(text)
