"""jobtui does no harm if files of an adopted database were changed, or lead elsewhere.

Every case starts from a sound database, next to another one, the victim, which the changed file may name.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.adoption_checks import Snapshot, work_on
from tests.support.foreign_owners import OwnerProgram


def options(database: Path) -> Path:
    return max(database.glob("OPTIONS-*"), key=lambda path: int(path.name.split("-")[1]))


def edited(change: Callable[[str, str], str]) -> Callable[[Path, Path], None]:
    """Change the text of the newest OPTIONS file; `change` gets it and the path of the victim."""

    def edit(database: Path, victim: Path) -> None:
        path = options(database)
        before = path.read_bytes().decode()
        after = change(before, str(victim))
        assert after != before
        path.write_bytes(after.encode())

    return edit


def option(name: str, value: str) -> Callable[[Path, Path], None]:
    """Set an option, in its own section; {victim} and {name} stand for the victim's path and its name."""

    def change(text: str, victim: str) -> str:
        filled = f"  {name}=" + value.format(victim=victim, name=Path(victim).name, database="data")
        changed, count = re.subn(rf"(?m)^  {name}=.*$", lambda _: filled, text)
        # RocksDB leaves out what is empty, and all that these cases add is an option of the database itself
        return changed if count else added(filled)(text, victim)

    return edited(change)


def added(line: str) -> Callable[[str, str], str]:
    """Add a line to the options of the database; {victim} stands for the victim's path."""
    return lambda text, victim: text.replace(
        "[DBOptions]\n", f"[DBOptions]\n{line.replace('{victim}', victim)}\n"
    )


def newest_of_three(database: Path, victim: Path) -> None:
    """By number the one that names the victim is the newest, by text it is the oldest."""
    text = options(database).read_text()
    for path in database.glob("OPTIONS-*"):
        path.unlink()
    for number in ("000009", "999999"):
        (database / f"OPTIONS-{number}").write_text(text)
    (database / "OPTIONS-1000000").write_text(added("  wal_dir={victim}")(text, str(victim)))


def elsewhere(name: str) -> Callable[[Path, Path], None]:
    """Replace each file of that name by a link to it, outside the directory."""

    def link(database: Path, victim: Path) -> None:
        outside = database.parent / "elsewhere"
        outside.mkdir()
        found = sorted(database.glob(name))
        assert found
        for path in found:
            path.rename(outside / path.name)
            path.symlink_to(outside / path.name)

    return link


def linked(name: str, target: str) -> Callable[[Path, Path], None]:
    """Put a link to something of the victim's where the database has no such file, or another one."""

    def link(database: Path, victim: Path) -> None:
        (database / name).unlink(missing_ok=True)
        (database / name).symlink_to(victim / target)

    return link


def both(
    first: Callable[[Path, Path], None], second: Callable[[Path, Path], None]
) -> Callable[[Path, Path], None]:
    def change(database: Path, victim: Path) -> None:
        first(database, victim)
        second(database, victim)

    return change


def current(content: str) -> Callable[[Path, Path], None]:
    def write(database: Path, victim: Path) -> None:
        manifest = (victim / "CURRENT").read_text().strip()
        (database / "CURRENT").write_text(content.format(manifest=manifest))

    return write


def without(name: str) -> Callable[[Path, Path], None]:
    def remove(database: Path, victim: Path) -> None:
        for path in database.glob(name):
            path.unlink()

    return remove


def trash(database: Path, victim: Path) -> None:
    table = next(database.glob("*.sst"))
    (database / "000777.sst.trash").write_bytes(table.read_bytes())


CASES: dict[str, Callable[[Path, Path], None]] = {
    "wal_dir of another": option("wal_dir", "{victim}"),
    "wal_dir with a slash": option("wal_dir", "{victim}/"),
    "wal_dir with blanks": option("wal_dir", "  {victim}  "),
    "wal_dir with a comment": option("wal_dir", "{victim} # ours"),
    "wal_dir escaped": option("wal_dir", "\\{victim}"),
    "wal_dir in braces": option("wal_dir", "{{{victim}}}"),
    "wal_dir through dots": option("wal_dir", "{victim}/../{name}"),
    "wal_dir relative": option("wal_dir", "{name}"),
    "wal_dir relative to itself": option("wal_dir", "../{name}"),
    "wal_dir is the working directory": option("wal_dir", "."),
    "wal_dir named like itself": option("wal_dir", "{database}"),
    "db_log_dir of another": option("db_log_dir", "{victim}"),
    "db_log_dir that is new": option("db_log_dir", "{victim}-logs"),
    "db_log_dir relative": option("db_log_dir", "logs"),
    "wal_dir twice": edited(added("  wal_dir={victim}\n  wal_dir=")),
    "wal_dir twice, last": edited(added("  wal_dir=\n  wal_dir={victim}")),
    "wal_dir not indented": edited(added("wal_dir={victim}")),
    "wal_dir after a tab": edited(added("\twal_dir = {victim}")),
    "wal_dir in a later section": edited(lambda text, victim: text + f"[DBOptions]\n  wal_dir={victim}\n  \n"),
    "wal_dir of a family": edited(
        lambda text, victim: text.replace('[CFOptions "default"]', f'[CFOptions "default"]\n  wal_dir={victim}')
    ),
    "db_paths": edited(added("  db_paths={{path={victim};target_size=9}}")),
    "cf_paths": edited(
        lambda text, victim: text.replace(
            "  merge_operator=", f"  cf_paths={{{{path={victim};target_size=9}}}}\n  merge_operator="
        )
    ),
    "the newest by number": newest_of_three,
    "a merge operator": option("merge_operator", "my.Sum"),
    "a merge operator as an object": option("merge_operator", "{{id=StringAppendOperator;delimiter=|;}}"),
    "an alias of a merge operator": option("merge_operator", "max"),
    "a comparator": option("comparator", "my.Comparator"),
    "persist_stats_to_disk": option("persist_stats_to_disk", "true"),
    "persist_stats_to_disk as a number": option("persist_stats_to_disk", "1"),
    "no room for files": option("max_open_files", "0"),
    "a write buffer of nothing": option("write_buffer_size", "0"),
    "no levels": option("num_levels", "0"),
    "best efforts": option("best_efforts_recovery", "true"),
    "any WAL": option("wal_recovery_mode", "kSkipAnyCorruptedRecords"),
    "a WAL that was cut": option("wal_recovery_mode", "kAbsoluteConsistency"),
    "fifo": option("compaction_style", "kCompactionStyleFIFO"),
    "a compaction filter": option("compaction_filter", "my.Filter"),
    "an option that is not known": edited(added("  wal_dirs=9")),
    "a newer version": edited(lambda text, _: re.sub("rocksdb_version=.*", "rocksdb_version=99.1.0", text)),
    "no version": edited(lambda text, _: re.sub("  rocksdb_version=.*\n", "", text)),
    "CRLF": edited(lambda text, _: text.replace("\n", "\r\n")),
    "a NUL byte": edited(added("  wal_dir=\0{victim}")),
    "half of the options": edited(lambda text, _: text[: len(text) // 2]),
    "garbage": edited(lambda text, _: text + "\x01\x02[[["),
    "comments": edited(lambda text, _: text.replace("\n\n", "\n# wal_dir=/none\n\n", 3)),
    "64 MiB of comments": edited(lambda text, _: text + f"# {'x' * 1022}\n" * (64 << 10)),
    "no options": without("OPTIONS-*"),
    "no current": without("CURRENT"),
    "no manifest": without("MANIFEST-*"),
    "no identity": without("IDENTITY"),
    "no tables": without("*.sst"),
    "no log": without("*.log"),
    "an empty current": current(""),
    "a current that has no end": current("{manifest}"),
    "a current that leads out": current("../victim/{manifest}\n"),
    "tables elsewhere": elsewhere("*.sst"),
    "a WAL elsewhere": elsewhere("*.log"),
    "a manifest elsewhere": elsewhere("MANIFEST-*"),
    "a current elsewhere": elsewhere("CURRENT"),
    "options elsewhere": elsewhere("OPTIONS-*"),
    "a lock elsewhere": elsewhere("LOCK"),
    "a lock of another": linked("LOCK", "LOCK"),
    "a log of another": linked("LOG", "LOG"),
    "a trash file of another": linked("000888.sst.trash", "CURRENT"),
    "a temporary file of another": linked("000888.dbtmp", "CURRENT"),
    "a table of another": linked("000888.sst", "CURRENT"),
    "options of another": linked("OPTIONS-888888", "CURRENT"),
    "an archive of another": linked("archive", ""),
    "an archive of another, cleared at once": both(option("WAL_ttl_seconds", "1"), linked("archive", "")),
    "trash": trash,
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, owners: OwnerProgram) -> bytes:
    """What the owner finds in a database that was not changed."""
    untouched = tmp_path_factory.mktemp("untouched") / "data"
    owners.of("ordinary").make(untouched, "killed")
    return owners.of("ordinary").dump(untouched)


@pytest.mark.parametrize("case", CASES)
def test_changed_database_is_not_harmed(tmp_path, owners, expected, monkeypatch, case):
    owner = owners.of("ordinary")
    database, victim = tmp_path / "theirs" / "data", tmp_path / "theirs" / "victim"
    for each in (database, victim):
        owner.make(each, "killed")
    CASES[case](database, victim)
    snapshot = Snapshot(database)
    monkeypatch.chdir(database.parent)
    snapshot.check(asyncio.run(work_on(tmp_path / "root", database)))
    if not case.startswith(("no ", "an empty current", "a current that")):  # those the owner cannot open either
        assert owner.dump(database) == expected
    assert owner.dump(victim) == expected
