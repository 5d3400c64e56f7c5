"""The figures of a database before a compaction: sizes, deletions, and the share of live data.

Everything is read from an open handle, which may be read-only, and nothing is written. RocksDB does not know
how many entries are overwritten, and its estimate of the live data is far too low while files overlap in level
0 (it counts only one of several files with the same range). So samples of the keys are read at places that are
spread evenly over the files, and the share of live entries follows from the number of entries that RocksDB
skipped there. A database of few entries is read completely.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import msgspec
from rocksdict import Options, Rdict, RdictIter, ReadOptions

from jobtui.storage.base import CompactionFigures, CompactionRequest, FamilyFigures, LevelFigures
from jobtui.storage.local.layout import disk_space
from jobtui.storage.local.worker.compaction import plan_all
from jobtui.storage.local.worker.database import ColumnFamily, CompactionStyle, Database, DatabaseHandle
from jobtui.storage.local.worker.stats import LiveFile, memtable_bytes, sum_property, tables_by_family

LEAST_SAMPLES, SAMPLES = 8, 24
"""Samples per family. With 24 samples of 40 entries, a share of 30 % dead data is wrong by 2 points."""
ENTRIES_PER_SAMPLE = 4_000
"""A small family is read at fewer places: each costs about 1.5 ms if 30 files overlap."""
LEAST_SAMPLE_ENTRIES, SAMPLE_ENTRIES = 8, 40
SAMPLE_BYTES = 128 << 10
PROBES_PER_SAMPLE = 4
LEAST_GAP = 0.01
"""The smallest share of the entries of a deleted range that is always found; a smaller one may be missed."""
WHOLE_ENTRIES = 3_000
"""The number of entries up to which a family is read completely, which takes about 5 ms."""
_MOST_SKIPPED = 2_000
"""Entries that a sample may skip: a long run of deletions must not be read to its end."""
_SKIPPED = re.compile(r"^rocksdb\.number\.iter\.skip COUNT : (\d+)", re.MULTILINE)

# the counter of skipped entries is shared by all databases of the process
_sampling = threading.Lock()


class Sample(msgspec.Struct):
    """A sample of a family: live entries, the bytes of their keys and values, the share of live entries."""

    entries: int = 0
    key_bytes: int = 0
    value_bytes: int = 0
    live_share: float | None = None


def read_figures(
    handle: DatabaseHandle, database: Database, request: CompactionRequest | None = None
) -> CompactionFigures:
    """Return the figures of the database before a compaction, with a request including its steps.

    Raises WorkerError if the request is not possible.
    """
    tables = tables_by_family(handle)
    space = disk_space(database.path)
    steps, room = (None, None) if request is None else plan_all(handle, database, request)
    return CompactionFigures(
        tuple(_family_figures(handle, column, tables[column.name]) for column in handle.columns),
        memtable=memtable_bytes(handle),
        pending=sum_property(handle, "estimate-pending-compaction-bytes"),
        free=None if space is None else space[1],
        disk=None if space is None else space[0],
        steps=None if steps is None else len(steps),
        rewrites=None if steps is None else sum(step.size for step in steps),
        room_needed=room,
    )


def _family_figures(handle: DatabaseHandle, column: ColumnFamily, files: Sequence[LiveFile]) -> FamilyFigures:
    family = column.rdict
    levels: list[LevelFigures] = []
    for file in files:
        while len(levels) <= file.level:
            levels.append(LevelFigures(0, 0, 0, 0))
        level = levels[file.level]
        levels[file.level] = LevelFigures(
            level.files + 1,
            level.bytes + file.size,
            level.entries + file.entries,
            level.deletions + file.deletions,
        )
    sample = _sample(handle, family, files)
    return FamilyFigures(
        column.name,
        tuple(levels),
        live=family.property_int_value("rocksdb.estimate-live-data-size"),
        live_share=sample.live_share,
        key_bytes=sample.key_bytes / sample.entries if sample.entries else None,
        value_bytes=sample.value_bytes / sample.entries if sample.entries else None,
        blob_bytes=family.property_int_value("rocksdb.live-blob-file-size") or 0,
        blob_garbage=family.property_int_value("rocksdb.live-blob-file-garbage-size") or 0,
        is_fifo=column.style is CompactionStyle.FIFO,
    )


def _sample(handle: DatabaseHandle, family: Rdict, files: Sequence[LiveFile]) -> Sample:
    total = sum(file.entries for file in files)
    memtables = family.property_int_value("rocksdb.num-entries-active-mem-table") or 0
    total += memtables
    if not total:
        return Sample()
    if not memtables and not any(file.deletions for file in files) and not _overlap(files):
        return Sample(live_share=1.0)  # each key occurs once: most files need not be read
    with _sampling:
        if total <= WHOLE_ENTRIES:
            return _read_all(family, total)
        return _read_samples(handle.options, family, files)


def _overlap(files: Sequence[LiveFile]) -> bool:
    bounds = sorted((file.first or b"", file.last or b"") for file in files)
    return any(last >= first for (_, last), (first, _) in pairwise(bounds))


def _read_all(family: Rdict, total: int) -> Sample:
    sample = Sample()
    iterator = family.iter(_read_options())
    iterator.seek_to_first()
    while iterator.valid():
        _count(iterator, sample)
        iterator.next()
    sample.live_share = min(1.0, sample.entries / total)
    return sample


def _read_samples(options: Options, family: Rdict, files: Sequence[LiveFile]) -> Sample:
    """Read around places that are spread evenly over the bytes of the files."""
    key_map = KeyMap(files)
    places = min(SAMPLES, max(LEAST_SAMPLES, key_map.entries // ENTRIES_PER_SAMPLE))
    has_deletions = any(file.deletions for file in files)
    gaps = _find_gaps(family, key_map, places * PROBES_PER_SAMPLE) if has_deletions else []
    sample = Sample()
    shares: list[float] = []
    blocked = 0
    skipped = _skipped(options)
    for number in range(places):
        key = key_map.key_at(key_map.total * (number + 0.5) / places)
        if any(first <= key < last for first, last, _ in gaps):
            continue
        wanted = _sample_entries(shares)
        iterator = family.iter(_read_options())
        iterator.seek(key)
        before, read = sample.entries, sample.key_bytes + sample.value_bytes
        while (
            iterator.valid()
            and sample.entries - before < wanted
            and sample.key_bytes + sample.value_bytes - read < SAMPLE_BYTES
        ):
            _count(iterator, sample)
            iterator.next()
        del iterator  # which adds to the counter
        live = sample.entries - before
        skipped_before, skipped = skipped, _skipped(options)
        dead = skipped - skipped_before
        if not live and dead > _MOST_SKIPPED:
            blocked += 1
        elif live + dead:
            shares.append(live / (live + dead))
    in_gaps = sum(entries for _, _, entries in gaps) / key_map.entries if gaps else 0.0
    in_gaps += _blocked_share(files, blocked / places)
    if shares or in_gaps:
        rest = sum(shares) / len(shares) if shares else 0.0
        sample.live_share = max(0.0, 1.0 - in_gaps) * rest
    return sample


def _blocked_share(files: Sequence[LiveFile], of_bytes: float) -> float:
    """Return the share of the entries that lie in long runs of dead ones, which take that share of the bytes.

    The places are spread over the bytes, and deletions have next to none: where keys were deleted in a row,
    each comes with its deletion.
    """
    entries, deletions = sum(file.entries for file in files), sum(file.deletions for file in files)
    written = of_bytes * (entries - deletions)
    return min(1.0, (written + min(deletions, written)) / entries)


def _sample_entries(shares: Sequence[float]) -> int:
    """Return how many live entries the next sample reads, after these shares of live entries.

    Dead entries are read, too. If most are dead, fewer live entries give the same accuracy.
    """
    mean = sum(shares) / len(shares) if shares else 1.0
    return min(SAMPLE_ENTRIES, max(LEAST_SAMPLE_ENTRIES, int(2 * mean * SAMPLE_ENTRIES)))


def _find_gaps(family: Rdict, key_map: KeyMap, probes: int) -> list[tuple[bytes, bytes, float]]:
    """Return the long ranges of keys without a live entry, each with its approximate number of entries.

    RocksDB skips a deleted range as a whole and does not count the entries.
    """
    gaps: list[tuple[bytes, bytes, float]] = []
    least = max(4.0 * SAMPLE_ENTRIES, LEAST_GAP * key_map.entries)
    iterator = family.iter(_read_options())
    for number in range(probes):
        key = key_map.key_at(key_map.total * (number + 0.5) / probes)
        if gaps and key < gaps[-1][1]:
            continue
        after = _position(iterator, key, key_map.last, forward=True)
        if after is None or key_map.entries_between(key, after) < least / 8:
            continue
        before = _position(iterator, key, key_map.first, forward=False)
        if before is None:
            continue
        entries = key_map.entries_between(before, after)
        if entries >= least:
            gaps.append((before, after, entries))
    return gaps


def _position(iterator: RdictIter, key: bytes, end: bytes, *, forward: bool) -> bytes | None:
    """Return the next live key in a direction, `end` if there is none, None after too many skipped entries."""
    (iterator.seek if forward else iterator.seek_for_prev)(key)
    if iterator.valid():
        found = iterator.key()
        return found if isinstance(found, bytes) else None
    try:
        iterator.status()
    except Exception:  # rocksdict raises nothing narrower: it has skipped as many entries as it may
        return None
    return end


def _count(iterator: RdictIter, sample: Sample) -> None:
    key, value = iterator.key(), iterator.value()
    sample.entries += 1
    sample.key_bytes += len(key) if isinstance(key, bytes) else 8
    sample.value_bytes += len(value) if isinstance(value, bytes) else 8


def _read_options() -> ReadOptions:
    options = ReadOptions()
    options.fill_cache(False)  # type: ignore[call-arg]  # its stub lacks the argument
    options.set_max_skippable_internal_keys(_MOST_SKIPPED)
    return options


def _skipped(options: Options) -> int:
    found = _SKIPPED.search(options.get_statistics() or "")
    return int(found[1]) if found else 0


class KeyMap:
    """The keys of a family as positions among the bytes of its files, by interpolation within each file.

    The bytes of the keys are taken as digits of the alphabet that the files' bounds use, so that keys of
    decimal digits are spread as evenly as binary ones.
    """

    _DIGITS = 6

    def __init__(self, files: Sequence[LiveFile]) -> None:
        self.total = float(sum(file.size for file in files))
        self.entries = sum(file.entries for file in files)
        bounds = [key or b"" for file in files for key in (file.first, file.last)]
        self.first, self.last = min(bounds, default=b""), max(bounds, default=b"")
        self._prefix = _common_prefix(self.first, self.last)
        used = [byte for key in bounds for byte in key[len(self._prefix) : len(self._prefix) + self._DIGITS]]
        self._low, high = min(used, default=0), max(used, default=255)
        self._base = high - self._low + 1
        # the bytes and entries per unit of the keys that begin or end at each bound
        steps: dict[float, list[float]] = {}
        for file in files:
            start, end = self._number(file.first or b""), self._number(file.last or b"")
            if end <= start:
                end = start + 1.0
            density = (file.size / (end - start), file.entries / (end - start))
            for at, sign in ((start, 1), (end, -1)):
                step = steps.setdefault(at, [0.0, 0.0])
                step[0] += sign * density[0]
                step[1] += sign * density[1]
        self._ends = sorted(steps)
        # the bytes and the entries below each bound, over all files
        self._bytes, self._counts = [0.0], [0.0]
        dense, dense_entries = 0.0, 0.0
        for at, end in pairwise(self._ends):
            dense, dense_entries = dense + steps[at][0], dense_entries + steps[at][1]
            self._bytes.append(self._bytes[-1] + max(0.0, dense * (end - at)))
            self._counts.append(self._counts[-1] + max(0.0, dense_entries * (end - at)))

    def key_at(self, place: float) -> bytes:
        """Return the key below which there are `place` bytes."""
        at = min(max(1, bisect_left(self._bytes, place)), len(self._ends) - 1)
        if at < 1:
            return self._key(self._ends[0]) if self._ends else b""
        low, high = self._bytes[at - 1], self._bytes[at]
        share = (place - low) / (high - low) if high > low else 0.0
        return self._key(self._ends[at - 1] + share * (self._ends[at] - self._ends[at - 1]))

    def entries_between(self, first: bytes, last: bytes) -> float:
        """Return the approximate number of entries between two keys."""
        return max(0.0, self._entries_below(last) - self._entries_below(first))

    def _entries_below(self, key: bytes) -> float:
        number = self._number(key)
        at = bisect_left(self._ends, number)
        if at == 0:
            return 0.0
        if at == len(self._ends):
            return float(self.entries)
        low, high = self._ends[at - 1], self._ends[at]
        share = (number - low) / (high - low)
        return self._counts[at - 1] + share * (self._counts[at] - self._counts[at - 1])

    def _number(self, key: bytes) -> float:
        if key[: len(self._prefix)] < self._prefix:
            return 0.0
        number = 0.0
        digits = key[len(self._prefix) : len(self._prefix) + self._DIGITS]
        for index in range(self._DIGITS):
            digit = digits[index] - self._low if index < len(digits) else 0
            number = number * self._base + min(max(0, digit), self._base - 1)
        return number

    def _key(self, number: float) -> bytes:
        digits = bytearray()
        rest = int(number)
        for _ in range(self._DIGITS):
            rest, digit = divmod(rest, self._base)
            digits.append(digit + self._low)
        return self._prefix + bytes(reversed(digits))


def _common_prefix(first: bytes, last: bytes) -> bytes:
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length]
