"""Commands run as another user, for tests that run as root."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="becoming another user needs root and setpriv"
)
STRANGER = 54_321
"""A user without an entry in the password file."""


def as_user(uid: int, words: Sequence[str]) -> list[str]:
    """Return the command as this user runs it.

    The user may read everything, because the interpreter of the tests can lie in a directory of root's, and
    write only what is theirs.
    """
    allowed = "-all,+dac_read_search"
    return [
        "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
        f"--inh-caps={allowed}", f"--ambient-caps={allowed}", *words,
    ]  # fmt: skip


def give(path: Path, uid: int) -> None:
    """Give a directory and everything in it to the user."""
    for directory, directories, files in os.walk(path):
        for name in (".", *directories, *files):
            os.chown(Path(directory, name), uid, uid, follow_symlinks=False)


def owners(path: Path) -> set[int]:
    """Return the users who own something in the directory."""
    return {found.lstat().st_uid for found in (path, *path.rglob("*"))}
