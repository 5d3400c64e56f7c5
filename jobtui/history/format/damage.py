"""The health of a history and the notes about its damage, as a user reads them."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from jobtui.errors import StoreError

_MAX_NAMED: Final = 20
"""Jobs whose ids are told one by one."""


class Health(enum.Enum):
    """Whether the history takes changes: yes, not while the disk is full, or not any more."""

    OK = "ok"
    FULL = "full"
    READ_ONLY = "read-only"


class DamageNote(msgspec.Struct, frozen=True):
    """Something on disk that was not as it had been written.

    `file` is relative to the history's directory; `byte` is where in it, None for the whole file. `jobs`
    are the ids of the jobs concerned as far as they can be told, and `kept` is the file that the damaged
    bytes were copied to, relative to the history's directory ("" where there were none to keep).
    """

    file: str
    byte: int | None
    jobs: tuple[int, ...]
    what: str
    kept: str = ""

    def __str__(self) -> str:
        place = self.file if self.byte is None else f"{self.file}, byte {self.byte}"
        some = ", ".join(map(str, self.jobs[:_MAX_NAMED]))
        more = f" and {len(self.jobs) - _MAX_NAMED} more" if len(self.jobs) > _MAX_NAMED else ""
        whose = f", of job {some}{more}" if self.jobs else ""
        kept = f" (kept in {self.kept})" if self.kept else ""
        return f"{place}: {self.what}{whose}{kept}"


@contextmanager
def convert_read_errors() -> Iterator[None]:
    """The system's errors while reading, as ours."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise StoreError(f"The history can't be read: {where}{error.strerror or error}") from error
    except RecursionError as error:
        raise StoreError("The history can't be read: what it holds is nested too deeply") from error
