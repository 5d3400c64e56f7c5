"""The config file: taken whole or refused whole. Every problem is named with its line; nothing is guessed."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from jobtui.config import paths
from jobtui.config.settings import Config
from jobtui.suggest import did_you_mean

LARGEST = 1 << 20
"""Bytes of a config. Every setting with its comment takes 10 KB; a wrong file may be as large as the disk."""


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with the settings; `line` is 1-based, None where no line of the file is to blame."""

    path: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line is not None else str(self.path)
        return f"{place}: {self.message}"


class ConfigError(Exception):
    """The settings can't be used. `problems` says why, in the file's order; the text is a line each."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def read_config(path: Path | None = None) -> Config:
    """The settings of the file at `path`, which must then exist, or of the usual one, which need not.

    Raises ConfigError.
    """
    try:
        file = path if path is not None else paths.default_config()
    except paths.HomeError:
        return Config(paths.UNKNOWN_CONFIG)  # what needs a home says so: --data-dir does without
    try:
        raw = _read(file)
    except (FileNotFoundError, NotADirectoryError):
        if path is None:
            return Config(file)
        raise ConfigError(Problem(file, None, "there is no such file")) from None
    except OSError as error:
        raise ConfigError(Problem(file, None, f"can't be read: {error.strerror}")) from None
    text = _decoded(file, raw)
    tree = _parsed(file, text)
    from jobtui.config.checking import checked

    return checked(file, text, tree)


def chosen_profile(config: Config, name: str | None) -> str:
    """`name`, or the file's choice where it is None, once it is sure that there is such a profile.

    Raises ConfigError: a slip of the pen must not open an empty profile.
    """
    if name is None or name in config.profiles:
        return name or config.profile
    from jobtui.config import values

    if not values.PROFILE_NAME.fullmatch(name):
        raise ConfigError(
            Problem(config.path, None, f"there is no profile {name!r}: {values.PROFILE_NAME_RULE}")
        )
    hint = near_miss(name, config.profiles) or f"; to have it, add a line [profiles.{name}]"
    raise ConfigError(Problem(config.path, None, f"there is no profile '{name}'{hint}"))


def near_miss(word: str, known: Collection[str]) -> str:
    """'; did you mean 'local'?' for the known word nearest to `word`, "" where none is near."""
    near = did_you_mean(word, known)
    return f"; did you mean '{near}'?" if near else ""


def _read(path: Path) -> bytes:
    """Return the file's bytes. Raises OSError, also for what is not a file or too long to be a config.

    A pipe is refused: a config is read more than once, by `serve --background` in a second process. /dev/null
    is a config without settings.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
        is_null = stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not (stat.S_ISREG(found.st_mode) or is_null):
            kind = "a pipe" if stat.S_ISFIFO(found.st_mode) else "a device"
            raise OSError(errno.EINVAL, f"it is {kind}, where a file belongs", str(path))
        raw = b""
        while len(raw) <= LARGEST and (more := os.read(file, LARGEST + 1 - len(raw))):
            raw += more
    finally:
        os.close(file)
    if len(raw) > LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {LARGEST >> 20} MiB, which no config is", str(path))
    return raw


def _decoded(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(path, raw.count(b"\n", 0, error.start) + 1, "this is not UTF-8")) from None


def _parsed(path: Path, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error), re.DOTALL)
        message, line = (said[1], said[2]) if said else (str(error), None)
        place = int(line) if line else text.rstrip("\n").count("\n") + 1
        raise ConfigError(Problem(path, place, f"this is not TOML: {message}")) from None
    except RecursionError:
        raise ConfigError(Problem(path, 1, "its values are nested too deeply to be read")) from None
