"""The rules for the options of a database that may be opened: an allow list.

Every function raises Refusal for the first option or value that is not known to be safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from jobtui.errors import ErrorCode
from jobtui.formatting import printable_line
from jobtui.storage.local.rocksdb_files import options as known_options
from jobtui.storage.local.rocksdb_files.options import Family

OPEN_ONCE = "open it once with its own program, and let that close it"
COMPACT_IT = "let its own program compact it"
BYTEWISE = "leveldb.BytewiseComparator"
# Zlib is linked but does not read files of other builds (measured with 7.8); Xpress is not linked
READABLE_COMPRESSIONS = ("NoCompression", "Snappy", "BZip2", "LZ4", "LZ4HC", "ZSTD", "ZSTDNotFinal")

_COMPARATORS = (BYTEWISE, "rocksdb.ReverseBytewiseComparator")
_STYLES = tuple(f"kCompactionStyle{style}" for style in ("Level", "Universal", "FIFO", "None"))
# measured: each is written back by this build as it was read. An owner's operator may have a short name like
# "max", which RocksDB takes for its own; only the full names of these are certain enough
_MERGE_OPERATORS = ("nullptr", "UInt64AddOperator", "PutOperator", "MaxOperator", "BytesXOR")
# as RocksDB escapes ":" and "#"; measured: a blank, a line feed, a tab, a backslash, ";", "{" and an empty
# delimiter come back as others
_APPEND = re.compile(r"\{id=StringAppendOperator;delimiter=(?:[A-Za-z0-9,|/_.+*&%$@!?~^<>-]|\\[:#]){1,8};\}")
_COMPRESSION_OPTIONS = (
    "compression",
    "bottommost_compression",
    "blob_compression_type",
    "compression_per_level",
)
_DISABLED = "DisableCompressionOption"
# RocksDB checks none of these. Measured: with -1 or a million levels, 30 bits of shards, 10^12 locks or 10^5
# threads it ends the process or works for minutes before it is open
_BOUNDS = {
    "num_levels": (1, 100),
    "inplace_update_num_locks": (0, 1 << 24),
    "table_cache_numshardbits": (-1, 19),
    "max_background_jobs": (-1, 512),
    "max_background_compactions": (-1, 512),
    "max_background_flushes": (-1, 512),
    "max_file_opening_threads": (-1, 512),
    "log_readahead_size": (0, 1 << 30),  # is allocated at once
    "sample_for_compression": (0, 1 << 31),  # RocksDB divides by its lower 32 bits
    # with more, RocksDB takes every entry for a damaged one
    "memtable_protection_bytes_per_key": (0, 8),
    "block_protection_bytes_per_key": (0, 8),
}
_NEWEST_TABLE_FORMAT = 6


class Refusal(Exception):
    """The refusal of a database: the finding in the user's terms, and the remedy, "" if there is none."""

    def __init__(self, finding: str, remedy: str = "", code: ErrorCode = ErrorCode.UNSUPPORTED) -> None:
        super().__init__(finding)
        self.finding, self.remedy, self.code = finding, remedy, code


def check_database_options(database: Mapping[str, str]) -> None:
    """Raise Refusal unless the database's own options are known to be safe."""
    if database.keys() & {"db_paths"}:
        raise paths_refusal("db_paths")
    _refuse_unknown(database, known_options.DATABASE)
    _check_bounds(database, "")
    if database.get("persist_stats_to_disk", "false") != "false":
        raise Refusal(
            "it keeps statistics in itself (persist_stats_to_disk), in a form that its program could not "
            "read any more after a compaction by this jobtui",
            COMPACT_IT,
        )
    if database.get("seq_per_batch", "false") != "false":
        raise write_policy_refusal()
    for name, known in (
        ("wal_filter", ("nullptr",)),
        ("file_checksum_gen_factory", ("nullptr", "FileChecksumGenCrc32cFactory")),
    ):
        value = database.get(name, "nullptr")
        if value not in known:
            raise Refusal(
                f"uses the {name} {printable_line(value)}, which only its own program has",
                COMPACT_IT,
            )


def _refuse_unknown(options: Iterable[str], known: frozenset[str]) -> None:
    for name in options:
        if name not in known:
            raise Refusal(f"has the option {name}, which this jobtui does not know", COMPACT_IT)


def _check_bounds(options: Mapping[str, str], of: str) -> None:
    for name, (least, most) in _BOUNDS.items():
        value = options.get(name, str(most))
        if not re.fullmatch(r"-?[0-9]{1,18}", value) or not least <= int(value) <= most:
            raise Refusal(
                f"has {printable_line(value)} as {name}{of}, and this jobtui works with {least} to {most}",
                COMPACT_IT,
            )


def check_family(name: str, family: Family, comparator_in_use: str) -> None:
    """Raise Refusal unless a column family's options are known to be safe.

    `comparator_in_use` is the one that its MANIFEST names.
    """
    of = "" if name == "default" else f" in the column family {printable_line(name)}"
    found = family.options
    if any("\udc80" <= letter <= "\udcff" for letter in name):  # how bytes that are not UTF-8 are decoded
        raise Refusal(
            f"has a column family whose name is not UTF-8 ({printable_line(name)})",
            "only its own program can work on it",
        )
    if found.keys() & {"cf_paths", "db_paths"}:
        raise paths_refusal("cf_paths")
    comparator = found.get("comparator", "")
    if comparator not in _COMPARATORS or comparator_in_use != comparator:
        shown = printable_line(comparator_in_use if comparator in _COMPARATORS else comparator)
        raise Refusal(
            f"uses the comparator {shown}{of}, which only its own program has",
            COMPACT_IT,
        )
    operator = found.get("merge_operator", "")
    if operator not in _MERGE_OPERATORS and not _APPEND.fullmatch(operator):
        raise Refusal(_operator_finding(operator, of), COMPACT_IT)
    if found.get("compaction_style") not in _STYLES:
        raise Refusal(f"has a compaction style that is not known{of}")
    if found.get("table_factory") != "BlockBasedTable" or family.table_kind != "BlockBasedTable":
        shown = printable_line(found.get("table_factory", ""))
        raise Refusal(
            f"uses the table format {shown}{of}, which this jobtui cannot write",
            COMPACT_IT,
        )
    _refuse_unknown(found, known_options.FAMILY)
    _check_bounds(found, of)
    _refuse_unknown(family.table, known_options.TABLE)
    prefixes = found.get("prefix_extractor", "nullptr")
    if family.table.get("index_type") == "kHashSearch" and not prefixes.startswith("rocksdb."):
        raise Refusal(
            f"looks keys up by prefixes{of} (kHashSearch) that only its own program can make "
            f"({printable_line(prefixes)})",
            COMPACT_IT,
        )
    if not 0 <= _number(family.table.get("format_version", "")) <= _NEWEST_TABLE_FORMAT:
        raise Refusal(f"writes a format of SST files that is not known{of}")
    if found.get("enable_blob_files", "false") != "false" and has_kept_apart(family):
        raise kept_apart_refusal(of)
    if found.get("persist_user_defined_timestamps", "true") != "true":
        raise Refusal(f"has keys with user-defined timestamps{of}")
    for option in _COMPRESSION_OPTIONS:
        for value in found.get(option, "kNoCompression").split(":"):
            compression = value.removeprefix("k")
            if compression not in {"", "NoCompression", _DISABLED}:
                check_compression(compression.removesuffix("Compression"), of)


def has_kept_apart(family: Family) -> bool:
    """Return whether a column family keeps its new entries out of the last level."""
    return family.options.get("preclude_last_level_data_seconds", "0") != "0"


def kept_apart_refusal(of: str) -> Refusal:
    """Return the refusal of a database whose long values a compaction would lose.

    Measured with RocksDB 9.8: a compaction that divides its output among two levels ends without an error, and
    its SST files refer to blob files that do not exist.
    """
    return Refusal(
        f"keeps new entries out of the last level (preclude_last_level_data_seconds){of} and long values in "
        "blob files, which a compaction by this jobtui would lose",
        COMPACT_IT,
    )


def check_compression(compression: str, where: str) -> None:
    """Refuse a compression that this build cannot read; `where` completes the sentence."""
    if compression not in READABLE_COMPRESSIONS:
        shown = printable_line(compression) or "an unknown compression"
        raise Refusal(
            f"is compressed with {shown}{where}, which this jobtui cannot read",
            f"{COMPACT_IT}, with another compression",
        )


def paths_refusal(option: str) -> Refusal:
    """Return the refusal of a database with files in other directories."""
    return Refusal(
        f"its program keeps SST files in other directories ({option}), where this jobtui would not write",
        COMPACT_IT,
    )


def write_policy_refusal() -> Refusal:
    """Return the refusal of transactions of another write policy."""
    return Refusal(
        "its WAL holds transactions of the kind WritePrepared or WriteUnprepared, which only its own program "
        "can read",
        "let its own program end them and flush",
    )


def _operator_finding(operator: str, of: str) -> str:
    if "StringAppend" in operator:
        return f"appends merged values{of} with a delimiter that its OPTIONS file does not hold for certain"
    shown = printable_line(operator) or "that is not named"
    return f"uses the merge operator {shown}{of}, which only its own program has"


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else -1
