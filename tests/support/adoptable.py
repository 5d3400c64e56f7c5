"""A small database that can be adopted, made with rocksdict, and functions that change its files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from jobtui.storage.local.adoption import Survey, Surveyor
from jobtui.storage.local.errors import WorkerError
from tests.support.templates import template_directory

_MAKE = """
import sys
from rocksdict import Options, Rdict

options = Options(raw_mode=True)
options.create_if_missing(True)
database = Rdict(sys.argv[1], options=options, column_families={"default": options})
edges = database.create_column_family("edges", options)
for family in (database, edges):
    for layer in range(2):
        for number in range(100):
            family[b"key%03d" % number] = b"value%d" % layer
        family.flush(True)
edges[b"last"] = b"in the WAL"
edges.close()
database.close()
"""


@cache
def _template() -> Path:
    database = template_directory("adoptable") / "db"
    subprocess.run([sys.executable, "-c", _MAKE, database], check=True)
    (database / "rocksdict-config.json").unlink()  # as if another program had made it
    return database


def adoptable(database: Path) -> Path:
    """Create such a database in the directory: the families default and edges, with two SST files each."""
    shutil.copytree(_template(), database)
    return database


def options_file(database: Path) -> Path:
    """Return the newest OPTIONS file."""
    return max(database.glob("OPTIONS-*"), key=lambda path: int(path.name.partition("-")[2]))


def set_option(database: Path, name: str, value: str, section: str = "DBOptions") -> None:
    """Set an option in every section of that kind in the newest OPTIONS file."""
    file = options_file(database)
    text = re.sub(rf"(?m)^  {re.escape(name)}=.*\n", "", file.read_text("utf-8", "surrogateescape"))
    text = re.sub(rf"(?m)^\[{section}.*\]$", lambda found: f"{found[0]}\n  {name}={value}", text)
    file.write_text(text, "utf-8", "surrogateescape")


def content(directory: Path) -> dict[str, tuple[bytes, int, int, int]]:
    """Return every file of a directory with its bytes, mode, owner and inode."""
    return {
        str(path.relative_to(directory)): (
            path.read_bytes(),
            path.stat().st_mode,
            path.stat().st_uid,
            path.stat().st_ino,
        )
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def survey(database: Path, wal_directory: Path | None = None) -> Survey:
    """The survey of a database's files."""
    return Surveyor(database, wal_directory).survey()


def refusal(database: Path, wal_directory: Path | None = None) -> WorkerError:
    """The refusal of a database; nothing of it has changed."""
    before = content(database.parent)
    with pytest.raises(WorkerError) as caught:
        survey(database, wal_directory)
    assert content(database.parent) == before
    assert caught.value.reason.startswith(f"{database}: ")
    return caught.value
