"""The state that is saved across starts, and the texts sent from the command bar.

The filter and the sort order are not saved: at the next start they would hide the jobs that run then.

It lies in two files of the profile's state directory, both with mode 0600: `dashboard.json` and `typed.jsonl`.
They are a convenience: a file that is damaged or cannot be read counts as missing; a file that cannot be
written is reported.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec

from jobtui.errors import DECODE_ERRORS
from jobtui.files import foreign_owner, open_to_append, read_regular, replace_file
from jobtui.os_errors import describe_os_error

_MAX_TYPED = 2000


class SavedState(msgspec.Struct, omit_defaults=True):
    """The dashboard's state between two starts; fields of older versions are ignored."""

    theme: str = ""
    columns: list[str] = []
    follow: bool = False
    tab: str = "tasks"
    split_beside: int = 45
    split_below: int = 40
    space: str | None = None
    filters: list[str] = []


class StateStore:
    """The reader and writer of the two files.

    `problem` is the error of the last file that failed, "" if none did.
    """

    def __init__(self, directory: Path | None) -> None:
        """Create the store. With None as the directory, nothing is saved."""
        self._directory = directory
        self.problem = ""

    def read(self) -> SavedState:
        """Return the saved state, or the defaults."""
        raw = self._read("dashboard.json")
        try:
            return msgspec.json.decode(raw, type=SavedState) if raw else SavedState()
        except DECODE_ERRORS:
            return SavedState()

    def write(self, state: SavedState) -> None:
        """Save the state, as a whole or not at all."""
        self._write("dashboard.json", msgspec.json.format(msgspec.json.encode(state)) + b"\n")

    def read_typed(self) -> list[str]:
        """Return the texts sent from the command bar, oldest first."""
        typed: list[str] = []
        for line in self._read("typed.jsonl").splitlines():
            try:
                typed.append(msgspec.json.decode(line, type=str))
            except DECODE_ERRORS:
                continue
        return typed[-_MAX_TYPED:]

    def add_typed(self, text: str) -> None:
        """Append a text that was sent from the command bar."""
        if self._directory is None:
            return
        try:
            self._make_directory(self._directory)
            descriptor = open_to_append(self._directory / "typed.jsonl")
            with os.fdopen(descriptor, "ab") as file:
                file.write(msgspec.json.encode(text) + b"\n")
        except OSError as error:
            self._failed(error)

    def trim_typed(self, typed: list[str]) -> None:
        """Rewrite the file with the newest texts only, so that it does not grow without bound."""
        self._write("typed.jsonl", b"".join(msgspec.json.encode(text) + b"\n" for text in typed[-_MAX_TYPED:]))

    def _read(self, name: str) -> bytes:
        if self._directory is None:
            return b""
        try:
            return read_regular(self._directory / name)
        except FileNotFoundError:
            return b""
        except OSError as error:
            self._failed(error)
            return b""

    def _write(self, name: str, content: bytes) -> None:
        if self._directory is None:
            return
        try:
            self._make_directory(self._directory)
            replace_file(self._directory / name, content)
        except OSError as error:
            self._failed(error)

    @staticmethod
    def _make_directory(directory: Path) -> None:
        if reason := foreign_owner(directory):
            raise PermissionError(errno.EPERM, reason)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _failed(self, error: OSError) -> None:
        self.problem = (
            f"Your choices cannot be saved in {self._directory}: {describe_os_error(error, self._directory)}"
        )


class CommandHistory:
    """The texts sent from the command bar, across starts, and the one that is recalled.

    The text that was being typed is kept as a draft while older ones are recalled.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._texts = _once(store.read_typed())
        self._place = len(self._texts)
        self._draft = ""
        self._temporary = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts, oldest first, each once, in the order in which they were last sent."""
        return tuple(self._texts)

    def add(self, text: str) -> None:
        """Add a text that was sent."""
        self._append(text)
        self._store.add_typed(text)

    def add_until_next(self, text: str) -> None:
        """Add a text that did not run, to be recalled and corrected until the next one is added."""
        is_kept = text in self._texts and text != self._temporary
        self._append(text)
        self._temporary = "" if is_kept else text

    def _append(self, text: str) -> None:
        for old in (self._temporary, text):
            if old in self._texts:
                self._texts.remove(old)
        self._temporary = ""
        self._texts.append(text)
        self.rest()

    def rest(self) -> None:
        """Return to the position after the newest text."""
        self._place = len(self._texts)
        self._draft = ""

    def older(self, current: str) -> str | None:
        """Return the text sent before the one shown (`current`); None at the oldest."""
        if self._place == 0:
            return None
        if self._place == len(self._texts):
            self._draft = current
        self._place -= 1
        return self._texts[self._place]

    def newer(self) -> str | None:
        """Return the text sent after the one shown, finally the draft; None after the draft."""
        if self._place >= len(self._texts):
            return None
        self._place += 1
        return self._draft if self._place == len(self._texts) else self._texts[self._place]

    def search(self, words: str, skip: int = 0) -> str | None:
        """Return the newest text with `words` in any case, after `skip` newer ones; else None."""
        wanted = words.casefold()
        found = [text for text in reversed(self._texts) if wanted in text.casefold()]
        return found[skip] if skip < len(found) else None

    def close(self) -> None:
        """Shorten the file."""
        self._store.trim_typed(self._texts)


def _once(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(reversed(texts)))[::-1]
