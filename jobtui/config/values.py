"""The kinds of values that a setting takes: each turns TOML's value into ours or says what it must be.

A kind is called with the value and the directory of the config file, from which a relative directory
starts. Its UnsuitableError completes the sentence "task_timeout must be …".
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jobtui.tui.settings import Confirm

Kind = Callable[[object, Path], object]


class UnsuitableError(Exception):
    """A value that a setting can't take; the text completes "… must be"."""


PROFILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
PROFILE_NAME_RULE = "a profile is named with at most 64 ASCII letters, digits, '_' and '-'"


def profile_name(value: object, base: Path) -> str:
    """A name that is safe as a directory's."""
    if isinstance(value, str) and PROFILE_NAME.fullmatch(value):
        return value
    raise UnsuitableError(f"the name of a profile in quotes ({PROFILE_NAME_RULE})")


def directory(value: object, base: Path) -> Path | None:
    """A directory, `~` allowed; None for the empty text."""
    if not isinstance(value, str) or "\0" in value:
        raise UnsuitableError('a directory in quotes, or "" for the usual one')
    try:
        return base / Path(value).expanduser() if value else None
    except RuntimeError:
        raise UnsuitableError(
            f"a directory that can be found: nobody's home is {value.split('/')[0]}"
        ) from None


def text(value: object, base: Path) -> str:
    """Any text."""
    if isinstance(value, str):
        return value
    raise UnsuitableError("a text in quotes")


def yes_or_no(value: object, base: Path) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    raise UnsuitableError("true or false")


def confirm(value: object, base: Path) -> Confirm:
    """When the dashboard asks before it acts."""
    if isinstance(value, str) and value in set(Confirm):
        return Confirm(value)
    raise UnsuitableError(" or ".join(f'"{word}"' for word in Confirm))


def keymap(value: object, base: Path) -> dict[str, str]:
    """A command's keys by its id."""
    rule = 'a table of commands and their keys, like { stop = "s,delete" }'
    if not isinstance(value, dict):
        raise UnsuitableError(rule)
    for command, keys in value.items():
        if not (isinstance(keys, str) and keys):
            raise UnsuitableError(f"{rule}: {command!r} is given no keys in quotes")
    return value


def whole(low: int, high: int) -> Callable[[object, Path], int]:
    """A whole number from `low` to `high`, both included."""

    def read(value: object, base: Path) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise UnsuitableError(f"a whole number from {low} to {high}")

    return read


def seconds(value: object, base: Path) -> float | None:
    """A length of time in seconds; None for 0."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value) or None
    if isinstance(value, str):
        from jobtui.language.quantities import QuantityError, parse_duration  # not for every start

        with suppress(QuantityError):
            return float(parse_duration(value)) or None
    raise UnsuitableError('a number of seconds, or a text like "90 s", "15 min" or "2 h"')


def rate(value: object, base: Path) -> int | None:
    """Bytes a second; None for 0."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value or None
    if isinstance(value, str):
        from jobtui.language.quantities import QuantityError, parse_size  # not for every start

        with suppress(QuantityError):
            return parse_size(value) or None
    raise UnsuitableError('a number of bytes a second, or a text like "50 MiB"')


def hosts(value: object, base: Path) -> dict[str, Path | None]:
    """Storage hosts and the directory of each, None for the one in the profile's own."""
    if not isinstance(value, dict):
        raise UnsuitableError('a table of hosts and their directories, like { local0 = "/disk0", local1 = "" }')
    read: dict[str, Path | None] = {}
    for name, place in value.items():
        if not _HOST_NAME.fullmatch(name):
            raise UnsuitableError(
                f"a table whose hosts are named with ASCII letters, digits, '.', '_', '-', not {name!r}"
            )
        try:
            read[name] = directory(place, base)
        except UnsuitableError as error:
            raise UnsuitableError(f"a table in which {name} has {error}") from None
    given = [place for place in read.values() if place is not None]
    if len(set(given)) < len(given):
        raise UnsuitableError("a table in which no two hosts share a directory")
    return read


def wal_directories(value: object, base: Path) -> dict[str, Path]:
    """The WAL directory of each adopted database, by the database's directory."""
    if not isinstance(value, dict):
        raise UnsuitableError(
            'a table of databases and their WAL directories, like { "/srv/db" = "/fast/wal" }'
        )
    read: dict[str, Path] = {}
    for database, place in value.items():
        found, wal = directory(database, base), directory(place, base)
        if found is None or wal is None:
            raise UnsuitableError("a table without an empty directory")
        read[os.path.normpath(found)] = wal
    return read


def directories(value: object, base: Path) -> tuple[str, ...]:
    """Directories, `~` allowed."""
    if not isinstance(value, list):
        raise UnsuitableError('a list of directories, like ["/srv/db"]')
    read = [directory(one, base) for one in value]
    if None in read:
        raise UnsuitableError("a list without an empty directory")
    return tuple(os.path.normpath(one) for one in read if one is not None)


_HOST_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
