"""The figures of a database before a compaction: sizes, deletions, and the share of live data.

Everything is read from an open handle, which may be read-only, and nothing is written. RocksDB does not know
how many entries are overwritten, and its estimate of the live data is far too low while files overlap in level
0 (it counts only one of several files with the same range). So stretches of the keys are read at positions that
are spread over the files, and the share of live entries follows from the number of entries that RocksDB skipped
there. A family of few entries is read completely.

The positions are spread by interpolation between the bounds of the files. If that misses the keys, because they
have few prefixes (`e:`, `v:`), the positions are found by halving the ranges that do have keys. What cannot be
measured well is marked as a guess: a large memtable, deleted ranges among keys with gaps, merges.
"""

from __future__ import annotations

import heapq
import math
import re
import threading
from collections.abc import Sequence
from itertools import pairwise

from rocksdict import Rdict, RdictIter, ReadOptions

from jobtui.storage.base import CompactionFigures, CompactionRequest, FamilyFigures, LevelFigures
from jobtui.storage.local.layout import disk_space
from jobtui.storage.local.worker.compaction import plan_all
from jobtui.storage.local.worker.database import ColumnFamily, CompactionStyle, Database, DatabaseHandle
from jobtui.storage.local.worker.entry_sample import (
    MAX_SKIPPED,
    EntrySample,
    EntryTotals,
    KeyMap,
    Stretch,
    calibrate,
    common_prefix,
    live_share_of_puts,
    middle_key,
    number_after,
)
from jobtui.storage.local.worker.options import read_ticker
from jobtui.storage.local.worker.stats import (
    LiveFile,
    count_in_memtables,
    memtable_bytes,
    sum_property,
    tables_by_family,
)

MIN_SAMPLES, MAX_SAMPLES = 8, 24
"""Samples per family. With 24 samples of 40 entries, a share of 30 % dead data is wrong by 2 points."""
ENTRIES_PER_SAMPLE = 4_000
"""A small family is read at fewer positions: each costs about 1.5 ms if 30 files overlap."""
MIN_SAMPLE_ENTRIES, MAX_SAMPLE_ENTRIES = 8, 40
SAMPLE_BYTES = 128 << 10
MORE_IF_DELETED = 3
"""Times as many samples if there are deletions: keys deleted in a row are found at few positions."""
PROBES_PER_SAMPLE = 4
MIN_GAP = 0.01
"""The smallest share of the entries of a deleted range that is always found; a smaller one may be missed."""
WHOLE_ENTRIES = 3_000
"""The number of entries up to which a family is read completely, which takes about 5 ms."""
WHOLE_IF_OVERLAPPING = 8_000
"""The limit if its files overlap: an entry hidden by another one is skipped in a quarter of the time."""
_FEW_SAMPLES = 4
"""Samples of a family in which each key should occur once; a snapshot may have kept old versions of it."""
_MAX_STRAYS = 0.25
"""The share of positions without keys up to which the files are taken as evenly filled."""
_MIN_PLACED = 0.2
"""The share of positions outside of deleted ranges that are enough."""
_EVEN = 1.25
"""How much denser the keys may be where there are some than in all of the files, if those are evenly filled."""
_MAX_HALVED = 4
"""Ranges that are halved for a position: a half with a single key yields none."""
_MIN_HALF = 0.1
"""The smallest share of a range that its half counts for, however few keys seem to be in it."""
_NEGLIGIBLE = 128 << 10
"""An uncertainty of fewer bytes makes no guess."""

_TOTALS = re.compile(r"(raw value size|# merge operands|# range deletions)=(\d+)")

# the counter of skipped entries is shared by all databases of the process
_sampling = threading.Lock()


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
        tuple(_family_figures(handle, family, tables[family.name]) for family in handle.families),
        memtable=memtable_bytes(handle),
        pending=sum_property(handle, "estimate-pending-compaction-bytes"),
        free=None if space is None else space[1],
        disk=None if space is None else space[0],
        steps=None if steps is None else len(steps),
        rewrites=None if steps is None else sum(step.size for step in steps),
        room_needed=room,
    )


def _family_figures(handle: DatabaseHandle, family: ColumnFamily, files: Sequence[LiveFile]) -> FamilyFigures:
    rdict = family.rdict
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
    is_fifo = family.style is CompactionStyle.FIFO
    totals = _read_totals(rdict, files)
    sample = EntrySample() if is_fifo else _sample(handle, rdict, files, totals)
    return FamilyFigures(
        family.name,
        tuple(levels),
        live=rdict.property_int_value("rocksdb.estimate-live-data-size"),
        live_share=sample.live_share,
        key_bytes=sample.key_bytes,
        value_bytes=sample.value_bytes,
        all_value_bytes=totals.value_bytes or None,
        compressibility=sample.compressibility,
        memtable_entries=sample.memtable_entries,
        memtable_deletions=min(totals.memtable_deletions, sample.memtable_entries),
        blob_bytes=rdict.property_int_value("rocksdb.live-blob-file-size") or 0,
        blob_garbage=rdict.property_int_value("rocksdb.live-blob-file-garbage-size") or 0,
        blob_copied=family.copied_blobs,
        is_fifo=is_fifo,
        # the positions are spread over keys in rising order
        is_guess=sample.is_guess or (family.backwards and not sample.is_whole),
    )


def _read_totals(rdict: Rdict, files: Sequence[LiveFile]) -> EntryTotals:
    found: dict[str, int] = {}
    if files:
        text = rdict.property_value("rocksdb.aggregated-table-properties") or ""
        found = {name: int(number) for name, number in _TOTALS.findall(text)}
    return EntryTotals(
        sum(file.entries for file in files),
        sum(file.deletions for file in files),
        found.get("raw value size", 0),
        found.get("# merge operands", 0),
        found.get("# range deletions", 0),
        count_in_memtables(rdict, "entries"),
        count_in_memtables(rdict, "deletes"),
    )


def _sample(
    handle: DatabaseHandle, rdict: Rdict, files: Sequence[LiveFile], totals: EntryTotals
) -> EntrySample:
    total = totals.entries + totals.memtable
    if not total:
        return EntrySample()
    with _sampling:
        is_small = total <= (WHOLE_IF_OVERLAPPING if _overlap(files) else WHOLE_ENTRIES)
        # many entries of a memtable may be versions of few keys
        if is_small or totals.memtable > totals.entries:
            sample = _read_all(rdict, totals, limit_skips=not is_small)
            if sample is not None:
                return sample
        return EntrySampler(handle, rdict, files, totals).read()


def _read_all(rdict: Rdict, totals: EntryTotals, *, limit_skips: bool) -> EntrySample | None:
    """Return a sample of all live entries, None if they or the dead ones in a row are too many."""
    sample, stretch = EntrySample(is_whole=True), Stretch()
    iterator = rdict.iter(_read_options(limit_skips=limit_skips))
    iterator.seek_to_first()
    while iterator.valid():
        if stretch.live == WHOLE_ENTRIES:
            return None
        sample.add(iterator, stretch)
        iterator.next()
    if not _is_at_end(iterator):
        return None
    sample.finish([stretch])
    live = stretch.live
    # at least the keys that no file holds are in a memtable, and no key is there twice after a flush
    least = max(0, live - totals.puts)
    most = min(totals.memtable, live + totals.memtable_deletions)
    sample.memtable_entries = (least + most) // 2
    sample.live_share = min(1.0, live / max(1, totals.entries + sample.memtable_entries))
    size = (stretch.key_bytes + stretch.value_bytes) / max(1, live)
    dead_at_least, dead_at_most = totals.entries + least - live, totals.entries + most - live
    sample.is_guess = dead_at_most > 3 * dead_at_least and (most - least) * size > _NEGLIGIBLE
    return sample


class EntrySampler:
    """The sampler of a family's entries, which reads stretches that are spread over its keys."""

    def __init__(
        self, handle: DatabaseHandle, rdict: Rdict, files: Sequence[LiveFile], totals: EntryTotals
    ) -> None:
        self._options = handle.options
        self._rdict = rdict
        self._files = files
        self._totals = totals
        # a memtable of another program may hold deletions of ranges, which RocksDB does not count
        self._has_ranges = totals.ranges > 0 or (totals.memtable > 0 and handle.read_only)
        self._sample = EntrySample()
        self._key_map = KeyMap(files)
        self._skipped = 0

    def read(self) -> EntrySample:
        """Return the sample."""
        totals, sample = self._totals, self._sample
        is_plain = not totals.memtable and not totals.deletions and not totals.merges
        if is_plain and not _overlap(self._files):
            # each key should occur once, so that most files need not be read
            few = self._read_evenly(_FEW_SAMPLES, [])
            if all(stretch.share == 1.0 for stretch in few):
                sample.finish(few)
                sample.live_share = 1.0
                return sample
        count = min(MAX_SAMPLES, max(MIN_SAMPLES, totals.entries // ENTRIES_PER_SAMPLE))
        if totals.deletions or totals.memtable_deletions:
            count *= MORE_IF_DELETED
        gaps = self._find_gaps(MAX_SAMPLES * PROBES_PER_SAMPLE) if self._has_ranges else []
        stretches: list[Stretch] = []
        if totals.memtable <= totals.entries / 4:
            stretches = self._read_evenly(count, gaps)
        strays = sum(stretch.is_stray for stretch in stretches)
        if strays > _MAX_STRAYS * len(stretches) or len(stretches) < _MIN_PLACED * count:
            # the gaps may be ranges in which no key was ever written
            sample.is_guess = bool(gaps)
            stretches = self._read_halves(count) or stretches or self._read_evenly(count, gaps)
        known = [stretch for stretch in stretches if not stretch.is_blocked]
        by_halves = any(stretch.weight != 1.0 for stretch in stretches)
        is_calibrated = calibrate(stretches, totals.value_bytes / max(1, totals.puts))
        sample.is_guess |= by_halves and not is_calibrated and _depends_on_weights(stretches)
        sample.finish(known)
        in_gaps = self._share_of_gaps(gaps, known)
        if not stretches and not in_gaps:
            return sample
        new_puts = totals.memtable - totals.memtable_deletions
        deletions = totals.deletions + totals.memtable_deletions
        share = (1.0 - in_gaps) * live_share_of_puts(stretches, totals.puts + new_puts, deletions)
        if totals.entries:
            # up to half of the dead versions of a memtable are not written by a flush
            new_puts = int(new_puts * (1 + share) / 2)
        else:
            new_puts, share = int(new_puts * share), 1.0
        sample.memtable_entries = new_puts + totals.memtable_deletions
        sample.live_share = share * (totals.puts + new_puts) / max(1, totals.entries + sample.memtable_entries)
        sample.is_guess |= totals.merges > 0 or (totals.memtable > totals.entries and share < 1.0)
        return sample

    def _read_evenly(self, count: int, gaps: Sequence[tuple[bytes, bytes, float]]) -> list[Stretch]:
        """Read at positions that are spread evenly over the bytes of the files, without these gaps."""
        found: list[Stretch] = []
        self._count_skipped()
        for number in range(count):
            key = self._key_map.key_at(self._key_map.total * (number + 0.5) / count)
            if not any(first <= key < last for first, last, _ in gaps):
                stretch = self._read_stretch(key, found)
                # half of the way to the next position, and no dead entries: there are no keys at this one
                ahead = self._key_map.entries_between(key, stretch.first or self._key_map.last)
                stretch.is_stray = ahead > max(2 * stretch.dead, self._totals.entries / count / 2)
                found.append(stretch)
        return found

    def _read_halves(self, count: int) -> list[Stretch]:
        """Read at positions that are found by halving the ranges that have live keys, the largest one first."""
        iterator = self._rdict.iter(_read_options())
        iterator.seek_to_first()
        if not iterator.valid():
            if _is_at_end(iterator):  # no entry is live
                self._sample.is_guess = False
                return [Stretch(dead=1)]
            return []  # a long run of dead entries is in the way
        first = iterator.key()
        if not isinstance(first, bytes):
            return []
        iterator.seek_to_last()
        last = iterator.key() if iterator.valid() else None
        if not isinstance(last, bytes):
            return []
        ranges = [(-1.0, first, last)]
        leaves: list[tuple[float, bytes, bytes]] = []
        for _ in range(_MAX_HALVED * count):
            if not ranges or len(ranges) + len(leaves) >= count:
                break
            negative, first, last = heapq.heappop(ranges)
            before, after = self._around(middle_key(first, last), first, last)
            if before <= first and after >= last:
                leaves.append((negative, first, last))
                continue
            share = 1.0 if after >= last else 0.0
            if first < before and after < last:
                skip = len(common_prefix(first, last))
                left, right = (
                    number_after(b, skip) - number_after(a, skip) for a, b in ((first, before), (after, last))
                )
                share = min(1.0 - _MIN_HALF, max(_MIN_HALF, left / (left + right or 1)))
            for part, begin, end in ((share, first, before), (1.0 - share, after, last)):
                if part:
                    heapq.heappush(ranges, (negative * part, begin, end))
        found: list[Stretch] = []
        self._count_skipped()
        for negative, first, last in sorted([*ranges, *leaves], key=lambda one: one[1]):
            found.append(self._read_stretch(middle_key(first, last), found))
            found[-1].weight = -negative
        return found

    def _around(self, key: bytes, first: bytes, last: bytes) -> tuple[bytes, bytes]:
        """Return the live keys before and after a key; the key itself if there are dead ones at it."""
        self._count_skipped()
        iterator = self._rdict.iter(_read_options())
        before = _position(iterator, key, first, forward=False)
        after = _position(iterator, key, last, forward=True)
        del iterator  # which adds to the counter
        if before is None or after is None or self._count_skipped() > MAX_SAMPLE_ENTRIES:
            return key, key
        return before, after

    def _read_stretch(self, key: bytes, before: Sequence[Stretch]) -> Stretch:
        """Read from a key on: fewer live entries if most were dead before, for the same accuracy."""
        shares = [stretch.share for stretch in before if not stretch.is_blocked]
        mean = sum(shares) / len(shares) if shares else 1.0
        wanted = min(MAX_SAMPLE_ENTRIES, max(MIN_SAMPLE_ENTRIES, int(2 * mean * MAX_SAMPLE_ENTRIES)))
        sample, stretch = self._sample, Stretch()
        iterator = self._rdict.iter(_read_options())
        iterator.seek(key)
        while (
            iterator.valid()
            and stretch.live < wanted
            and stretch.key_bytes + stretch.value_bytes < SAMPLE_BYTES
        ):
            sample.add(iterator, stretch)
            iterator.next()
        del iterator  # which adds to the counter
        stretch.dead = self._count_skipped()
        return stretch

    def _count_skipped(self) -> int:
        """Return the number of entries that the iterators freed since the last call have skipped.

        RocksDB's statistics are one text of all counters, which takes a third of a millisecond, as long as
        finding the first key of a stretch: one text for each stretch is enough.
        """
        before = self._skipped
        self._skipped = read_ticker(self._options.get_statistics() or "", "number.iter.skip")
        return self._skipped - before

    def _find_gaps(self, probes: int) -> list[tuple[bytes, bytes, float]]:
        """Return the long ranges of keys without a live entry, each with its approximate number of entries.

        RocksDB skips a deleted range as a whole and does not count the entries.
        """
        key_map = self._key_map
        gaps: list[tuple[bytes, bytes, float]] = []
        least = max(4.0 * MAX_SAMPLE_ENTRIES, MIN_GAP * key_map.entries)
        iterator = self._rdict.iter(_read_options())
        for number in range(probes if key_map.entries else 0):
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

    def _share_of_gaps(self, gaps: Sequence[tuple[bytes, bytes, float]], known: Sequence[Stretch]) -> float:
        """Return the share of the entries that were deleted in these gaps.

        A gap may be one where no key was ever written. The keys elsewhere are denser then than the bounds of
        the files say.
        """
        key_map = self._key_map
        if not gaps or not key_map.entries:
            return 0.0
        share = min(1.0, sum(entries for _, _, entries in gaps) / key_map.entries)
        expected, read = 0.0, 0
        for stretch in known:
            if stretch.first is not None and stretch.last is not None and stretch.live > 1:
                inside = (n for first, last, n in gaps if stretch.first <= first and last <= stretch.last)
                expected += key_map.entries_between(stretch.first, stretch.last) - sum(inside)
                read += stretch.live + stretch.dead
        density = read / expected if expected else 0.0 if not read else math.inf
        least = max(0.0, 1.0 - (1.0 - share) * max(1.0, density))
        self._sample.is_guess |= share > 3 * least
        return (least + share) / 2 if density <= _EVEN else least


def _overlap(files: Sequence[LiveFile]) -> bool:
    bounds = sorted((file.first or b"", file.last or b"") for file in files)
    return any(last >= first for (_, last), (first, _) in pairwise(bounds))


def _depends_on_weights(stretches: Sequence[Stretch]) -> bool:
    """Return whether weights that are wrong by a factor of four double or halve the share of dead entries."""
    known = [(stretch.weight, 1.0 - stretch.share) for stretch in stretches if not stretch.is_blocked]
    total = sum(weight for weight, _ in known)
    mean = sum(weight * dead for weight, dead in known) / (total or 1.0)

    def weighted(above: float, below: float) -> float:
        weights = [weight * (above if dead > mean else below) for weight, dead in known]
        return sum(w * dead for w, (_, dead) in zip(weights, known, strict=True)) / (sum(weights) or 1.0)

    return weighted(4, 1) > 2 * mean or 2 * weighted(1, 4) < mean


def _position(iterator: RdictIter, key: bytes, end: bytes, *, forward: bool) -> bytes | None:
    """Return the next live key in a direction, `end` if there is none, None after too many skipped entries."""
    (iterator.seek if forward else iterator.seek_for_prev)(key)
    if iterator.valid():
        found = iterator.key()
        return found if isinstance(found, bytes) else None
    return end if _is_at_end(iterator) else None


def _is_at_end(iterator: RdictIter) -> bool:
    """Return whether an iterator without an entry is at the end; otherwise it skipped as many as it may."""
    try:
        iterator.status()
    except Exception:  # rocksdict raises nothing narrower
        return False
    return True


def _read_options(*, limit_skips: bool = True) -> ReadOptions:
    options = ReadOptions()
    options.fill_cache(False)  # type: ignore[call-arg]  # its stub lacks the argument
    if limit_skips:
        options.set_max_skippable_internal_keys(MAX_SKIPPED)
    return options
