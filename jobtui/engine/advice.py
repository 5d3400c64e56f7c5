"""The rules of SHOW ADVICE and the estimates of EXPLAIN, as pure functions of measured figures.

figures = await storage.figures("nba", "h1")
estimate = estimate_compaction(figures)                # gain 36 MiB, deletions 0.02, …
verdict, reason = recommend(estimate, AdviceThresholds())  # compact, "≈ 36 MiB (66.7%) would be given back"
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec

from jobtui.formatting import format_bytes, format_count
from jobtui.language.ast import Submit, unparse
from jobtui.model import JobOptions
from jobtui.storage.base import CompactionFigures, FamilyFigures

# what an entry costs in a compressed SST file: half of a key equals the one before it, and a deletion has a
# sequence number and a length; fitted to the shapes of `python -m benchmarks.advice`
_KEY_PART = 0.5
_VALUE_COST = 4.0
_DELETION_COST = 8.0
_BLOB_REFERENCE = 16.0
_FILE_COST = 1_000
"""The bytes of a file besides its entries: properties, index and footer, of which a merge leaves one."""
_SMALL_FILE = 100 * _FILE_COST
"""Files of this mean size or more: their cost is less than a hundredth, and a merge may leave as many."""

# a sample is compressed with zlib, which is as good as the best that RocksDB uses, and twice as good as LZ4
_MIN_SHARE_OF_SAMPLE = 0.8
"""The part of the compressed sample that the live entries take at least."""
_LZ4_FACTOR = 1.5
"""How much larger than in the sample entries become that are in no file yet; LZ4 is the usual compression."""
_OTHER_KIND_FACTOR = 3.0
"""If all entries take more than this many times as much as the sample, the dead ones are of another kind."""
_UNCOMPRESSED_SHARE = 0.9
"""The share of their bytes that files take at least if they are not compressed."""
_ALL_LIVE = 0.98

DEFAULT_RATE = 50 << 20
"""Bytes per second of a compaction on a host without an earlier one; about what one core merges with lz4."""


OPENING_SECONDS = 0.2
"""What a compaction takes besides merging, on a host without an earlier one: starting its process, opening."""
_MIN_BYTES = 1 << 20
"""Runs of fewer bytes in all say nothing about a speed: opening takes all of their time."""
_MIN_SIZE_RATIO = 4
"""How much larger the largest run must be than the smallest for a line through them to mean anything."""


class CompactionSpeed(msgspec.Struct, frozen=True):
    """The speed of compactions on a host, from earlier ones.

    Attributes:
        opening: Seconds that each takes, however little there is to merge.
        rate: Bytes per second of the rest, None if the runs were too small to show it.
        largest: The bytes of the largest run, None if there was none.
    """

    opening: float = OPENING_SECONDS
    rate: float | None = None
    largest: int | None = None

    def seconds(self, read: int) -> float:
        """Return how long it takes to merge this many bytes."""
        return self.opening + read / (self.rate or DEFAULT_RATE)

    def describe_assumption(self, read: int, *, has_blobs: bool = False) -> str:
        """Return what an estimate for this many bytes assumes, "" if it was measured."""
        if has_blobs:
            # the SST files hold 16 bytes of each value, and a merge spends 0.4 µs on an entry of any length;
            # the collection of blob garbage copies values in addition
            return "the time is a guess: values are in blob files"
        if self.rate is not None or (self.largest is not None and read <= _MIN_SIZE_RATIO * self.largest):
            return ""
        runs = "no earlier run" if self.largest is None else "only small earlier runs"
        return f"the time is a guess: {runs} on this host, {format_bytes(DEFAULT_RATE)}/s assumed"


def fit_speed(runs: Sequence[tuple[int, float]]) -> CompactionSpeed:
    """Return the speed of a host from the bytes and the seconds of its runs.

    It is the line through them with the least relative error, so that small runs count as much as large ones.
    """
    if not runs:
        return CompactionSpeed()
    points = [(1 / seconds**2, size, seconds) for size, seconds in runs if seconds > 0]
    sizes = [size for _, size, _ in points] or [0]
    least = min((seconds for _, _, seconds in points), default=OPENING_SECONDS)
    if sum(sizes) < _MIN_BYTES:
        import statistics  # late: 2 ms of each command, and only advice needs it

        return CompactionSpeed(
            statistics.median([seconds for _, _, seconds in points] or [least]), None, max(sizes)
        )
    opening = min(OPENING_SECONDS, least / 2)
    if max(sizes) >= _MIN_SIZE_RATIO * min(sizes):
        total = sum(weight for weight, _, _ in points)
        size = sum(weight * size for weight, size, _ in points) / total
        time = sum(weight * seconds for weight, _, seconds in points) / total
        spread = sum(weight * (other - size) ** 2 for weight, other, _ in points)
        rise = sum(weight * (other - size) * (seconds - time) for weight, other, seconds in points)
        opening = min(max(0.0, time - rise / spread * size), least)
    rest = sum(weight * size * (seconds - opening) for weight, size, seconds in points)
    squares = sum(weight * size**2 for weight, size, _ in points)
    return CompactionSpeed(opening, squares / rest if rest > 0 else None, max(sizes))


def job_seconds(hosts: Sequence[float], options: JobOptions) -> float:
    """Return how long a job takes, given the seconds of its hosts in the order of their turns."""
    if options.wait:
        return sum(hosts) + options.wait * max(0, len(hosts) - 1)
    ends = [0.0] * (options.rolling or max(1, len(hosts)))
    for seconds in hosts:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


class Verdict(enum.StrEnum):
    """The recommendations of SHOW ADVICE, the most urgent first."""

    COMPACT = "compact"
    FLUSH = "flush"
    UNKNOWN = "unknown"  # the storage reports no figures
    FINE = "fine"


class AdviceThresholds(msgspec.Struct, frozen=True):
    """The thresholds of the rules; each is a setting of a profile.

    Attributes:
        gain: The share of the size that a compaction must free.
        deletions: The share of deletions among the entries.
        l0_files: The files in level 0 of one column family.
        memtable: The bytes in memory.
    """

    gain: float = 0.2
    deletions: float = 0.2
    l0_files: int = 8
    memtable: int = 64 << 20


class CompactionEstimate(msgspec.Struct, frozen=True):
    """An estimate of a compaction of a space on one host; fields that are unknown are None.

    Attributes:
        size: The bytes of its SST and blob files, those of FIFO families included.
        rewritten: The bytes that a compaction reads, those in memory included.
        gain: The bytes that it frees.
        flushed: The bytes that the flush before it writes, some of which it may free, too.
        is_guess: Whether the gain may be wrong by more than a factor of two.
        has_blobs: Whether values are in blob files: the bytes of the SST files do not determine the duration.
        deletions: The share of deletions among the entries, 0..1.
        l0_files: The largest number of files in level 0 of a column family.
        pending: RocksDB's estimate of the bytes to compact.
        memtable: The bytes in memory.
        free: The free bytes of the disk.
        disk: The size of the disk.
    """

    size: int | None = None
    rewritten: int | None = None
    gain: int | None = None
    flushed: int = 0
    is_guess: bool = False
    has_blobs: bool = False
    deletions: float | None = None
    l0_files: int | None = None
    pending: int | None = None
    memtable: int | None = None
    free: int | None = None
    disk: int | None = None

    @property
    def gain_share(self) -> float | None:
        """The share of the size that would be freed, None if it is not known."""
        if self.gain is None or self.size is None:
            return None
        return self.gain / max(1, self.size + self.flushed)


class HostAdvice(msgspec.Struct, frozen=True):
    """The advice for a space on one host.

    Attributes:
        last_compact: When jobtui last compacted it, None if never.
        families: The figures of its column families, none if they are not known.
    """

    space: str
    host: str
    verdict: Verdict
    reason: str
    estimate: CompactionEstimate
    last_compact: datetime | None = None
    statement: str = ""
    families: tuple[FamilyFigures, ...] = ()


def estimate_compaction(figures: CompactionFigures, families: Collection[str] = ()) -> CompactionEstimate:
    """Return the estimate of a compaction, of these column families or of all."""
    chosen = [one for one in figures.families if not families or one.name in families]
    if not chosen:
        return CompactionEstimate(
            size=figures.size,
            rewritten=figures.size,
            # a host that has not counted its live data yet reports 0
            gain=max(0, figures.size - figures.live) if figures.size and figures.live else None,
            is_guess=(figures.l0_files or 0) > 1,  # RocksDB's estimate counts one of the files that overlap
            deletions=figures.deletions,
            l0_files=figures.l0_files,
            pending=figures.pending,
            memtable=figures.memtable,
            free=figures.free,
            disk=figures.disk,
        )
    gains = [_gain(family) for family in chosen]
    # a FIFO family has all of its files in level 0, and a compaction leaves it out
    levels = [family.levels for family in chosen if not family.is_fifo]
    entries = sum(level.entries for each in levels for level in each)
    deletions = sum(level.deletions for each in levels for level in each)
    return CompactionEstimate(
        size=sum(map(family_size, chosen)),
        rewritten=sum(_sst_bytes(family) + _copied_blobs(family) for family in chosen if not family.is_fifo)
        + sum(one.flushed for one in gains),
        gain=sum(one.gain for one in gains),
        flushed=sum(one.flushed for one in gains),
        is_guess=any(one.is_guess for one in gains),
        has_blobs=any(family.blob_bytes for family in chosen),
        deletions=deletions / entries if entries else 0.0,
        l0_files=max((each[0].files for each in levels if each), default=0),
        pending=figures.pending,
        memtable=figures.memtable,
        free=figures.free,
        disk=figures.disk,
    )


def recommend(estimate: CompactionEstimate, limits: AdviceThresholds) -> tuple[Verdict, str]:
    """Return the verdict and its reason. The first rule that applies decides."""
    share = estimate.gain_share
    if share is not None and share >= limits.gain and estimate.gain and estimate.size:
        mark = " (a guess)" if estimate.is_guess else ""
        size = format_bytes(estimate.size + estimate.flushed)
        flushed = f" (with ≈ {format_bytes(estimate.flushed)} in memory)" if estimate.flushed else ""
        return Verdict.COMPACT, f"≈ {format_bytes(estimate.gain)} of {size}{flushed} would be given back{mark}"
    if estimate.deletions is not None and estimate.deletions >= limits.deletions:
        return Verdict.COMPACT, f"{estimate.deletions * 100:.3g}% of the entries are deletions"
    if estimate.l0_files is not None and estimate.l0_files >= limits.l0_files:
        return Verdict.COMPACT, f"{format_count(estimate.l0_files, 'file')} in level 0 of a column family"
    if estimate.memtable and (
        estimate.memtable >= limits.memtable or (estimate.size is not None and not estimate.size)
    ):
        only = " and in no file" if not estimate.size else ""
        return Verdict.FLUSH, f"{format_bytes(estimate.memtable)} in memory{only}"
    if share is None and estimate.deletions is None and estimate.l0_files is None:
        return Verdict.UNKNOWN, "the storage reports no figures"
    return Verdict.FINE, describe_estimate(estimate)


def describe_estimate(estimate: CompactionEstimate) -> str:
    """Return the known figures of the rules: `gives back ≈ 0 B, deletions 2%, L0 files 1`."""
    parts = []
    if estimate.gain is not None:
        parts.append(f"gives back ≈ {format_bytes(estimate.gain)}")
    if estimate.deletions is not None:
        parts.append(f"deletions {estimate.deletions * 100:.3g}%")
    if estimate.l0_files is not None:
        parts.append(f"L0 files {estimate.l0_files}")
    return ", ".join(parts)


def family_size(family: FamilyFigures) -> int:
    """Return the bytes of a column family's SST and blob files."""
    return _sst_bytes(family) + family.blob_bytes


def _sst_bytes(family: FamilyFigures) -> int:
    return sum(level.bytes for level in family.levels)


def _copied_blobs(family: FamilyFigures) -> int:
    return int(family.blob_copied * (1.0 if family.live_share is None else family.live_share))


class _FamilyGain(msgspec.Struct, frozen=True):
    """The bytes that a compaction of a family frees, and those that the flush before it writes."""

    gain: int = 0
    flushed: int = 0
    is_guess: bool = False


def _gain(family: FamilyFigures) -> _FamilyGain:
    """Return what a compaction of a column family frees.

    The bytes that a live value, a dead one and a deletion take are estimated, and scaled so that they add up to
    the size of the files. A compaction leaves the live entries; the bytes of the others are the gain.
    """
    if family.is_fifo:
        return _FamilyGain()
    size = _sst_bytes(family)
    entries = sum(level.entries for level in family.levels)
    deletions = sum(level.deletions for level in family.levels)
    if family.live_share is None:
        # RocksDB's own estimate is too optimistic while files overlap in level 0, and 0 if it is not known
        return _FamilyGain(max(0, size - (family.live or size)), is_guess=entries > 0)
    files = sum(level.files for level in family.levels)
    saved = min(size, (files - 1) * _FILE_COST) if files and size / files < _SMALL_FILE else 0
    size -= saved
    if family.live_share >= 1.0 and not deletions and not family.memtable_entries:
        return _FamilyGain(saved)  # the mean length of a sample of values is never exactly that of all
    key, read_value = family.key_bytes or 0.0, family.value_bytes or 0.0
    live_value = _BLOB_REFERENCE if family.blob_bytes else read_value
    deletion = key * _KEY_PART + _DELETION_COST
    live_put = key * _KEY_PART + _VALUE_COST + live_value
    puts = entries - deletions
    put = live_put
    if family.all_value_bytes is not None and not family.blob_bytes:
        # dead values can be larger or smaller than the live ones
        put += family.all_value_bytes / max(1, puts) - live_value
    total = puts * put + deletions * deletion
    scale = size / total if total else min(1.0, (family.compressibility or 1.0) * _LZ4_FACTOR)
    new_puts = family.memtable_entries - family.memtable_deletions
    flushed = scale * (new_puts * live_put + family.memtable_deletions * deletion)
    live = family.live_share * (entries + family.memtable_entries)
    left = live * live_put * scale
    raw = entries * key + (family.all_value_bytes or 0)
    is_guess = family.is_guess
    if family.compressibility is not None and not family.blob_bytes:
        # what is left can be harder to compress than the rest was, or much easier
        least_share = 1.0 if family.compressibility > _UNCOMPRESSED_SHARE else _MIN_SHARE_OF_SAMPLE
        left = max(left, live * (key * _KEY_PART + read_value) * family.compressibility * least_share)
        is_guess |= (
            family.live_share < _ALL_LIVE
            and family.compressibility * _OTHER_KIND_FACTOR < size / (raw or 1) < _UNCOMPRESSED_SHARE
        )
    gain = max(0.0, size + flushed - left) + saved
    if family.blob_bytes:
        # a blob file is deleted once nothing refers to it, so the positions of the dead values matter
        new_blobs = new_puts * read_value
        share = max(0.0, 1.0 - live / max(1, puts + new_puts))
        blobs = max(family.blob_garbage, (family.blob_bytes + new_blobs) * share)
        return _FamilyGain(int(gain + blobs), int(flushed + new_blobs), is_guess=True)
    return _FamilyGain(int(gain), int(flushed), is_guess)


def statement_for(verdict: Verdict, space: str, hosts: Sequence[str] = ()) -> str:
    """Return the statement for a verdict on these hosts of a space, on all of them if none is given.

    It is "" if there is nothing to do, or if no statement can hold the name of the space: a cluster can have
    one with a line feed. If ON cannot hold the name of a host, a condition chooses the same hosts.
    """
    if verdict not in (Verdict.COMPACT, Verdict.FLUSH):
        return ""
    options = [JobOptions(hosts=tuple(hosts))]
    if hosts and verdict is Verdict.COMPACT:
        options.append(JobOptions(condition="NEEDED"))
    for each in options:
        with suppress(ValueError):
            return unparse(Submit(verdict.value, space, each))
    return ""
