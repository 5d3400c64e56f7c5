"""The survey of an adopted database's own files, which decides whether it is safe to open.

RocksDB obeys the OPTIONS file that it finds in a directory, and so harms databases that were never named to
jobtui: it deletes the WAL files of the database that a copy was made from, drops the entries after a merge that
it cannot apply, or writes files where the owner does not read them. So everything is read as text first,
and the rules are an allow list: whatever is not known to be safe is refused. docs/adopting.md lists the rules.
"""

from __future__ import annotations

import enum
import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from jobtui.errors import ErrorCode
from jobtui.formatting import format_bytes, printable_line
from jobtui.storage.local import option_rules
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.option_rules import BYTEWISE, COMPACT_IT, OPEN_ONCE, Refusal
from jobtui.storage.local.rocksdb_files import Unreadable
from jobtui.storage.local.rocksdb_files.manifest import RocksdbManifest, parse_manifest
from jobtui.storage.local.rocksdb_files.options import (
    NEWEST,
    OptionsText,
    newest_first,
    number_of,
    parse_options,
)
from jobtui.storage.local.rocksdb_files.tables import TableFile, read_blob_compression, read_table
from jobtui.storage.local.rocksdb_files.wal import Tail, WalContent, read_wal

T = TypeVar("T")

_FILES = re.compile(
    r"(\d+)\.(sst|ldb|log|blob)|(?:MANIFEST|OPTIONS)-\d+(?:\.dbtmp)?|CURRENT|IDENTITY|LOCK|rocksdict-config\.json",
    re.ASCII,
)
_SUBDIRECTORIES = {"archive", "lost"}
_CURRENT = re.compile(rb"MANIFEST-\d{1,20}\n")
# from here on RocksDB leaves wal_dir empty if it is the database's own directory, unless db_paths are set
_WRITES_WAL_DIR_FOR_PATHS = (7, 0)
_COMPACT_OR_RESTORE = f"{COMPACT_IT}, or restore a backup"
_STATS_FAMILY = "___rocksdb_stats_history___"
# what is read as a whole: a file with a hole may claim any size, and a database in use has much smaller ones
_MAX_FILE_BYTES = 2 << 30
_MAX_OPTIONS_BYTES = 128 << 20  # ten thousand column families take half of it
_MAX_CURRENT_BYTES = 8192  # an encrypted one has a block of 4 KiB before its text
# only a few WAL files are newer than the last entry of the MANIFEST: 20261129.log belongs to another program
_NUMBERS_AHEAD = 100_000
_TRIES = 3  # an owner at work may delete a file after it was listed and before it is read


class ReplayStrictness(enum.Enum):
    """The strictness of a WAL's replay.

    Normally every record must be complete. A program that was killed in the middle of a write leaves a torn
    record at the very end, which was never acknowledged; only that record is skipped then.
    """

    ABSOLUTE = "absolute"
    TORN_TAIL = "torn tail"


class Survey(msgspec.Struct, frozen=True):
    """The description of a database that is safe to open.

    `options` is its OPTIONS file as it is to be loaded. `styles` are the families' compaction styles.
    `named` are the SST files that its MANIFEST names or once named. `unplaced` are families with entries in
    the WAL and without an SST file: where their owner keeps SST files is not known. `strictness` is how the
    WAL is replayed, `wal_directory` where the WAL is if not in the database's directory.
    `lost_end`: the MANIFEST ends in the middle, or WAL files that its state needs are gone, so that a later
    state of it must have been lost. `backwards` are the families whose keys are in falling order.
    """

    options: bytes
    styles: Mapping[str, str]
    named: frozenset[str]
    unplaced: tuple[str, ...]
    strictness: ReplayStrictness
    wal_directory: Path | None
    lost_end: bool
    backwards: frozenset[str]

    def refuse_writing(self, directory: Path) -> None:
        """Raise WorkerError if the database may be read but not written."""
        if self.unplaced:
            names = ", ".join(printable_line(name) for name in self.unplaced[:5])
            raise _refusal_error(
                directory,
                Refusal(
                    f"the column family {names} has entries in the WAL and no SST file yet, so it is not known "
                    "in which directory its program keeps SST files (cf_paths)",
                    "let its own program flush once, or list it in the setting without_cf_paths",
                ),
            )


class Surveyor:
    """The reader of the files of the database in `directory`.

    `wal_directory` is where the user says that its WAL is; `without_cf_paths`: the user says that its program
    keeps all SST files in that directory.
    """

    def __init__(
        self, directory: Path, wal_directory: Path | None = None, *, without_cf_paths: bool = False
    ) -> None:
        self._directory = directory
        self._stated = wal_directory
        self._without_cf_paths = without_cf_paths
        self._tables: dict[tuple[str, int, int, int], TableFile] = {}
        self._wals: dict[tuple[str, int, int, int], WalContent] = {}

    def survey(self) -> Survey:
        """Return the description of the database; writes nothing.

        Raises:
            WorkerError: The database is not known to be safe.
        """
        for left in reversed(range(_TRIES)):
            try:
                return self._survey()
            except Refusal as refusal:
                raise _refusal_error(self._directory, refusal) from None
            except FileNotFoundError as error:
                if not left:
                    name = Path(os.fsdecode(error.filename or "")).name
                    missing = Refusal(f"{name} is missing", "restore a backup", ErrorCode.MISSING)
                    raise _refusal_error(self._directory, missing) from None
            except OSError as error:
                raise WorkerError(
                    ErrorCode.ACCESS if isinstance(error, PermissionError) else ErrorCode.IO,
                    f"{error.filename or self._directory}: it cannot be read ({error.strerror})",
                ) from None
        raise AssertionError("unreachable")

    def _survey(self) -> Survey:
        names = self._list(self._directory)
        current = self._current(names)
        options = self._options(names)
        option_rules.check_database_options(options.database)
        wal_directory = self._wal_directory(options)
        manifest = self._manifest(current)
        self._check_families(options, manifest)
        self._check_tables(options, manifest, names)
        wals = self._read_wals(wal_directory, manifest)
        unplaced = self._check_wals(options, manifest, wals)
        # rocksdict has no cf_paths, and db_paths would be visible in wal_dir
        if self._without_cf_paths or ("rocksdict-config.json" in names and _has_no_db_paths(options)):
            unplaced = ()
        everything = manifest.tables | manifest.gone
        return Survey(
            self._rewritten(options, wal_directory),
            {name: family.options["compaction_style"] for name, family in options.families.items()},
            frozenset(f"{number:06d}.{end}" for number in everything for end in ("sst", "ldb")),
            unplaced,
            _replay_strictness(wals.values()),
            wal_directory,
            manifest.tail is not Tail.WHOLE
            or not manifest.has_first_wal(int(current.split("-")[1]), wals.keys()),
            frozenset(
                name for name, family in options.families.items() if family.options["comparator"] != BYTEWISE
            ),
        )

    def _list(self, directory: Path) -> set[str]:
        """Return the names in a directory; refuse a file of a database that is a link."""
        names = set()
        with os.scandir(directory) as entries:
            for entry in entries:
                names.add(entry.name)
                if entry.name in _SUBDIRECTORIES and entry.is_symlink():
                    raise Refusal(
                        f"{entry.name}, where RocksDB keeps and deletes old WAL files, is a link",
                        "replace it with a directory",
                    )
                if _FILES.fullmatch(entry.name) and not entry.is_file(follow_symlinks=False):
                    raise Refusal(
                        f"{entry.name} is a link or not a regular file, and may lead to another database",
                        "replace it with the file itself",
                    )
        return names

    def _current(self, names: set[str]) -> str:
        self._refuse_others(names)
        if "CURRENT" not in names:
            raise Refusal("there is no database here (no CURRENT)", code=ErrorCode.MISSING)
        with open(self._directory / "CURRENT", "rb") as file:
            content = file.read(_MAX_CURRENT_BYTES)
        if not _CURRENT.fullmatch(content):
            if not content.isascii():
                raise Refusal(
                    "its files are encrypted: CURRENT is not text", "only its own program can work on it"
                )
            raise Refusal("CURRENT does not name a MANIFEST", "restore a backup", code=ErrorCode.CORRUPT)
        return content.decode().strip()

    def _refuse_others(self, names: set[str]) -> None:
        if any(name.startswith("marker.") for name in names):
            raise Refusal("is a Pebble database, not one of RocksDB")
        if "blob_dir" in names:
            raise Refusal("was made with the old BlobDB, whose files RocksDB alone cannot read")
        options = newest_first(names)
        if options:
            with open(self._directory / options[0], "rb") as file:
                head = file.read(4096)
            if b"pebble_version=" in head:
                raise Refusal("is a Pebble database, not one of RocksDB")
            if head.startswith(b"# This is a Speedb option file"):
                raise Refusal("is a Speedb database, not one of RocksDB", "only its own program can work on it")
        elif "CURRENT" in names and ("IDENTITY" not in names or any(name.endswith(".ldb") for name in names)):
            raise Refusal("is a LevelDB database, not one of RocksDB")

    def _options(self, names: set[str]) -> OptionsText:
        newest = newest_first(names)
        if not newest:
            raise Refusal("it has no OPTIONS file, so it is not known how its program made it", OPEN_ONCE)
        if len(newest) > 1 and number_of(newest[0]) == number_of(newest[1]):
            raise Refusal(
                f"it has two OPTIONS files of the same number, {newest[0]} and {newest[1]}",
                "delete the one that is not its own, or " + OPEN_ONCE,
            )
        data = self._read(self._directory / newest[0], OPEN_ONCE, _MAX_OPTIONS_BYTES)
        if found := re.search(rb"^\s*rocksdb_version=(\d{1,4})\.(\d{1,4})", data[:4096], re.MULTILINE):
            if (int(found[1]), int(found[2])) > NEWEST:
                raise Refusal(
                    f"made by RocksDB {int(found[1])}.{int(found[2])}; this jobtui reads up to "
                    f"{NEWEST[0]}.{NEWEST[1]}",
                    "let its own program compact it, or use a newer jobtui",
                )
        elif not data[:512].isascii():
            raise Refusal(
                f"its files are encrypted: {newest[0]} is not text", "only its own program can work on it"
            )
        return self._parsed(newest[0], lambda: parse_options(data), OPEN_ONCE)

    def _wal_directory(self, options: OptionsText) -> Path | None:
        """Return the directory of the WAL, None for the database's own directory."""
        written = options.database.get("wal_dir", "")
        if not written:
            if self._stated is not None:
                raise Refusal(
                    f"its WAL is in its own directory and not in {self._stated}, as the setting wal_dirs says",
                    "take it out of that setting",
                )
            return None
        if Path(written).is_absolute() and _is_same(Path(written), self._directory):
            return None
        if self._stated is None:
            raise self._foreign_wal(written)
        if Path(written).is_absolute() and not _is_same(Path(written), self._stated):
            raise Refusal(
                f"its WAL directory is {written} and not {self._stated}, as the setting wal_dirs says",
                "correct that setting",
            )
        if _is_same(self._stated, self._directory):
            return None
        if not self._stated.is_dir():
            raise Refusal(
                f"the WAL directory {self._stated} is not there",
                "correct the setting wal_dirs",
                ErrorCode.MISSING,
            )
        if (self._stated / "CURRENT").exists():
            raise Refusal(
                f"the WAL directory {self._stated} is another database", "correct the setting wal_dirs"
            )
        self._list(self._stated)
        return Path(os.path.realpath(self._stated))

    def _foreign_wal(self, written: str) -> Refusal:
        state = "state it in the setting wal_dirs if it really belongs to this database"
        shown = printable_line(written)
        if not Path(written).is_absolute():
            return Refusal(
                f"its WAL directory is {shown}, which depends on where its program was started",
                f"{state}, or {OPEN_ONCE}, under its absolute path",
            )
        if (Path(written) / "CURRENT").exists():
            return Refusal(
                f"looks like a copy: its WAL directory is {shown}, another database",
                "copy it with a checkpoint and reset wal_dir, or open it once with its own program where it is",
            )
        return Refusal(f"its WAL is in another directory, {shown}", f"{state}, or {OPEN_ONCE}")

    def _manifest(self, name: str) -> RocksdbManifest:
        path = self._directory / name
        if path.stat().st_nlink > 1:
            raise Refusal(
                f"looks like a hard-linked copy: {name} has a second name, in another directory",
                "copy the files themselves, or make a checkpoint",
            )
        return self._parsed(name, lambda: parse_manifest(self._read(path, OPEN_ONCE)), OPEN_ONCE)

    def _check_families(self, options: OptionsText, manifest: RocksdbManifest) -> None:
        by_name = {family.name: family for family in manifest.families.values()}
        if by_name.keys() != options.families.keys():
            names = ", ".join(sorted(printable_line(name) for name in by_name.keys() ^ options.families.keys()))
            raise Refusal(
                f"its OPTIONS file and its MANIFEST do not have the same column families ({names})", OPEN_ONCE
            )
        if _STATS_FAMILY in by_name:
            raise Refusal(
                "it once kept statistics in itself (persist_stats_to_disk), in a form that its program could "
                "not read any more after a compaction by this jobtui",
                COMPACT_IT,
            )
        for name, family in options.families.items():
            # old versions write no comparator into the first MANIFEST of a new database
            comparator = by_name[name].comparator or family.options.get("comparator", "")
            option_rules.check_family(name, family, comparator)

    def _check_tables(self, options: OptionsText, manifest: RocksdbManifest, names: set[str]) -> None:
        for family in manifest.families.values():
            options_of = options.families[family.name].options
            for number, file in family.files.items():
                if file.path:
                    raise option_rules.paths_refusal("db_paths or cf_paths")
                name = next((n for n in (f"{number:06d}.sst", f"{number:06d}.ldb") if n in names), None)
                if name is None:
                    raise Refusal(
                        f"{number:06d}.sst, which its MANIFEST names, is not in the directory: it was "
                        "deleted, or its program keeps SST files in other directories (db_paths or cf_paths)",
                        _COMPACT_OR_RESTORE,
                        ErrorCode.MISSING,
                    )
                backwards = options_of["comparator"] != BYTEWISE
                if (file.smallest < file.largest) if backwards else (file.smallest > file.largest):
                    raise Refusal(
                        f"the keys of {name} are not in the order of the comparator "
                        f"{options_of['comparator']}, so it is one of its own program under that name",
                        COMPACT_IT,
                    )
                self._check_table(name, options_of)
        if manifest.blobs and any(map(option_rules.has_kept_apart, options.families.values())):
            raise option_rules.kept_apart_refusal("")
        for number in manifest.blobs:
            name = f"{number:06d}.blob"
            if name in names:  # a MANIFEST does not say which of them are no longer needed
                read = functools.partial(read_blob_compression, self._directory / name)
                compression = self._parsed(name, read, _COMPACT_OR_RESTORE)
                option_rules.check_compression(compression, f" in {name}")

    def _check_table(self, name: str, options: Mapping[str, str]) -> None:
        table = self._table(name)
        option_rules.check_compression(table.compression, f" in {name}")
        if table.comparator and table.comparator != options["comparator"]:
            raise Refusal(f"{name} uses the comparator {printable_line(table.comparator)}", OPEN_ONCE)
        operator = table.merge_operator
        if table.merges == 0 or operator in {"", "nullptr"}:
            return
        if operator != re.sub(r"^\{id=(\w+);.*", r"\1", options["merge_operator"]):
            raise Refusal(
                f"{name} holds merges of the operator {printable_line(operator)}, and its OPTIONS file says "
                f"{printable_line(options['merge_operator'])}",
                OPEN_ONCE,
            )

    def _table(self, name: str) -> TableFile:
        path = self._directory / name
        status = path.stat()
        key = (name, status.st_ino, status.st_size, status.st_mtime_ns)
        if key not in self._tables:
            self._tables[key] = self._parsed(name, lambda: read_table(path), _COMPACT_OR_RESTORE)
        return self._tables[key]

    def _read_wals(self, wal_directory: Path | None, manifest: RocksdbManifest) -> dict[int, WalContent]:
        directory = wal_directory or self._directory
        found: list[int] = []
        for name in os.listdir(directory):  # noqa: PTH208  names are all that is needed
            match = _FILES.fullmatch(name)
            if match and match[2] == "log" and int(match[1]) >= manifest.oldest_log:
                number = int(match[1])
                if name != f"{number:06d}.log" or number > manifest.next + _NUMBERS_AHEAD:
                    raise Refusal(
                        f"{name} is not a log of this database, and RocksDB would delete it as one",
                        "move it elsewhere",
                    )
                found.append(number)
        return {number: self._wal(directory, number) for number in sorted(found)}

    def _wal(self, directory: Path, number: int) -> WalContent:
        path = directory / f"{number:06d}.log"
        status = path.stat()
        key = (path.name, status.st_ino, status.st_size, status.st_mtime_ns)
        if key not in self._wals:
            flush = "let its own program flush it"
            self._wals[key] = self._parsed(path.name, lambda: read_wal(self._read(path, flush), number), flush)
        return self._wals[key]

    def _check_wals(
        self, options: OptionsText, manifest: RocksdbManifest, wals: Mapping[int, WalContent]
    ) -> tuple[str, ...]:
        """Return the families with entries in the WAL and no SST file."""
        unplaced: list[str] = []
        prepared: set[bytes] = set()
        torn = ""
        for number, content in wals.items():
            if torn and content.records:
                raise Refusal(f"{torn} ends in the middle of a record, and others follow", OPEN_ONCE)
            if content.recycled and content.tail is not Tail.WHOLE:
                # damage and the end of the new records look the same there: a replay could lose records
                raise Refusal(
                    f"{number:06d}.log lies in a file that held an older one (recycle_log_file_num), so its "
                    "end is not certain",
                    "let its own program flush it",
                )
            if content.other_policy:
                raise option_rules.write_policy_refusal()
            torn = torn or (f"{number:06d}.log" if content.tail is Tail.TORN else "")
            prepared = (prepared | content.prepared) - content.ended
            for id_, family in manifest.families.items():
                if number < family.log:
                    continue
                if (
                    id_ in content.merged
                    and options.families[family.name].options["merge_operator"] == "nullptr"
                ):
                    raise Refusal(
                        f"{number:06d}.log holds merges, and its OPTIONS file names no merge operator",
                        OPEN_ONCE,
                    )
                if id_ in content.written and not family.files and family.name not in unplaced:
                    unplaced.append(family.name)
        # with allow_2pc they survive our work: the owner commits or rolls them back afterwards (measured)
        if prepared and options.database.get("allow_2pc") != "true":
            raise Refusal(
                "holds transactions that were prepared and neither committed nor rolled back",
                "let its own program end them",
            )
        return tuple(unplaced)

    def _rewritten(self, options: OptionsText, wal_directory: Path | None) -> bytes:
        """Return the OPTIONS file without options that affect other directories or could lose data."""
        return options.rewritten(
            {
                "wal_dir": None if wal_directory is None else str(wal_directory),
                "db_log_dir": None,
                "create_if_missing": "false",
                "create_missing_column_families": "false",
                "error_if_exists": "false",
                "best_efforts_recovery": "false",
                "paranoid_checks": "true",
                "recycle_log_file_num": "0",  # not possible together with an absolute recovery
                "wal_compression": "kNoCompression",  # the next survey must be able to read what this writes
            },
            {"compaction_filter": "nullptr", "compaction_filter_factory": "nullptr"},
        )

    def _read(self, path: Path, remedy: str, most: int = _MAX_FILE_BYTES) -> bytes:
        """Return the bytes of a file that is small enough to be checked in memory."""
        size = path.stat().st_size
        if size > most:
            raise Refusal(
                f"{path.name} has {format_bytes(size)}, and jobtui checks up to {format_bytes(most)} before it "
                "opens a database",
                remedy,
            )
        try:
            return path.read_bytes()
        except MemoryError:
            raise Refusal(
                f"{path.name} has {format_bytes(size)}, for which there is not enough memory", remedy
            ) from None

    def _parsed(self, name: str, parse: Callable[[], T], remedy: str) -> T:
        try:
            return parse()
        except Unreadable as unreadable:
            raise Refusal(f"{name} {unreadable}", remedy) from None


def _refusal_error(directory: Path, refusal: Refusal) -> WorkerError:
    remedy = f"; {refusal.remedy}" if refusal.remedy else ""
    return WorkerError(refusal.code, f"{directory}: {refusal.finding}{remedy}")


def _replay_strictness(wals: Iterable[WalContent]) -> ReplayStrictness:
    torn = any(content.tail is Tail.TORN for content in wals)
    return ReplayStrictness.TORN_TAIL if torn else ReplayStrictness.ABSOLUTE


def _has_no_db_paths(options: OptionsText) -> bool:
    """Return whether it is certain that there are no db_paths: with them wal_dir is never empty."""
    return options.version >= _WRITES_WAL_DIR_FOR_PATHS and not options.database.get("wal_dir")


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)
