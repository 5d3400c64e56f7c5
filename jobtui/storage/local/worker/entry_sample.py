"""A sample of a column family's entries: its counts, and the positions in the keys that are read.

From it follows which share of the entries is live (`compaction_figures.py` takes it).
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import msgspec
from rocksdict import RdictIter

from jobtui.storage.local.worker.stats import LiveFile

MAX_SKIPPED = 2_000
"""Entries that a sample may skip: a long run of deletions must not be read to its end."""
_BLOCK = 4 << 10
"""The bytes that RocksDB compresses at once."""
_MAX_BLOCKS = 8
_COMPRESSED = 4
"""One of this many entries is compressed: a block takes 60 µs, nearly as long as reading its entries."""
_NUMBER_BYTES = 12
_MAX_TILT = 4.0
"""The logarithm of how much the weight of the longest values may change against that of the shortest."""
_TILTS = 20
_ROUNDS = 30


class EntryTotals(msgspec.Struct, frozen=True):
    """The totals of a family's entries.

    Attributes:
        entries: The entries of the SST files.
        deletions: The deletions among them.
        value_bytes: The bytes of their values before compression, 0 if not counted.
        merges: The merges among them.
        ranges: The deletions of ranges among them.
        memtable: The entries of the memtables, each version of a key counted.
        memtable_deletions: The deletions among those.
    """

    entries: int = 0
    deletions: int = 0
    value_bytes: int = 0
    merges: int = 0
    ranges: int = 0
    memtable: int = 0
    memtable_deletions: int = 0

    @property
    def puts(self) -> int:
        """The entries of the SST files that are not deletions."""
        return self.entries - self.deletions


class Stretch(msgspec.Struct):
    """The entries that were read from one position on.

    Attributes:
        weight: The share of all entries that it stands for.
        first: The first live key, None if there was none.
        last: The last live key.
        live: The live entries.
        dead: The other entries.
        key_bytes: The bytes of the live entries' keys.
        value_bytes: The bytes of their values.
        is_stray: Whether there are no keys at the position itself.
    """

    weight: float = 1.0
    first: bytes | None = None
    last: bytes | None = None
    live: int = 0
    dead: int = 0
    key_bytes: int = 0
    value_bytes: int = 0
    is_stray: bool = False

    @property
    def is_blocked(self) -> bool:
        """Whether a long run of dead entries was in the way."""
        return not self.live and self.dead > MAX_SKIPPED

    @property
    def share(self) -> float:
        """The share of live entries; 1 if there are no entries."""
        return self.live / (self.live + self.dead) if self.live + self.dead else 1.0


class EntrySample(msgspec.Struct):
    """A sample of a family's live entries.

    Attributes:
        key_bytes: The mean length of their keys, None if there is none.
        value_bytes: The mean length of their values.
        live_share: The share of live ones among the entries after a flush, None if it is not known.
        memtable_entries: About the number of entries that a flush would write.
        is_guess: Whether the share may be wrong by more than a factor of two.
        is_whole: Whether all entries were read.
        packed: The bytes of some of them after compression.
        unpacked: The bytes of the same before.
    """

    key_bytes: float | None = None
    value_bytes: float | None = None
    live_share: float | None = None
    memtable_entries: int = 0
    is_guess: bool = False
    is_whole: bool = False
    packed: int = 0
    unpacked: int = 0
    _block: bytes = b""

    def add(self, iterator: RdictIter, stretch: Stretch) -> None:
        """Count the entry at the iterator for the stretch."""
        key, value = iterator.key(), iterator.value()
        stretch.live += 1
        stretch.key_bytes += len(key) if isinstance(key, bytes) else 8
        stretch.value_bytes += len(value) if isinstance(value, bytes) else 8
        if isinstance(key, bytes):
            stretch.first, stretch.last = key if stretch.first is None else stretch.first, key
            is_chosen = not stretch.live % _COMPRESSED and self.unpacked < _MAX_BLOCKS * _BLOCK
            if isinstance(value, bytes) and is_chosen:
                self._block += key + value[: 4 * _BLOCK]
                while len(self._block) >= _BLOCK:
                    self._compress(_BLOCK)

    def finish(self, stretches: Sequence[Stretch]) -> None:
        """Take the means of these stretches, by their weights and shares of live entries."""
        weights = [one.weight * one.share / one.live if one.live else 0.0 for one in stretches]
        entries = sum(weight * one.live for weight, one in zip(weights, stretches, strict=True))
        if entries:
            pairs = list(zip(weights, stretches, strict=True))
            self.key_bytes = sum(weight * one.key_bytes for weight, one in pairs) / entries
            self.value_bytes = sum(weight * one.value_bytes for weight, one in pairs) / entries
        if not self.unpacked:  # not one whole block
            self._compress(len(self._block))

    @property
    def compressibility(self) -> float | None:
        """The share of its bytes that the compressed sample takes, None if there is none."""
        return self.packed / self.unpacked if self.unpacked else None

    def _compress(self, length: int) -> None:
        self.packed += min(length, len(zlib.compress(self._block[:length], 1)))
        self.unpacked += length
        self._block = self._block[length:]


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
        self._prefix = common_prefix(self.first, self.last)
        used = [byte for key in bounds for byte in key[len(self._prefix) : len(self._prefix) + self._DIGITS]]
        self._low, high = min(used, default=0), max(used, default=255)
        self._base = high - self._low + 1
        self._digit_of = bytes(min(max(0, byte - self._low), self._base - 1) for byte in range(256))
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

    def key_at(self, position: float) -> bytes:
        """Return the key below which there are `position` bytes."""
        at = min(max(1, bisect_left(self._bytes, position)), len(self._ends) - 1)
        if at < 1:
            return self._key(self._ends[0]) if self._ends else b""
        low, high = self._bytes[at - 1], self._bytes[at]
        share = (position - low) / (high - low) if high > low else 0.0
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
        begin = key[: len(self._prefix)]
        if begin < self._prefix:
            return 0.0
        if begin > self._prefix:
            return float(self._base**self._DIGITS)
        number = 0.0
        digits = key[len(self._prefix) : len(self._prefix) + self._DIGITS]
        # translated at once: with 30 files a digit at a time took a tenth of the time of all figures
        for digit in digits.translate(self._digit_of):
            number = number * self._base + digit
        return number * float(self._base ** (self._DIGITS - len(digits)))

    def _key(self, number: float) -> bytes:
        digits = bytearray()
        rest = int(number)
        for _ in range(self._DIGITS):
            rest, digit = divmod(rest, self._base)
            digits.append(digit + self._low)
        return self._prefix + bytes(reversed(digits))


def common_prefix(first: bytes, last: bytes) -> bytes:
    """Return the bytes with which both begin."""
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length]


def middle_key(first: bytes, last: bytes) -> bytes:
    """Return a key in the middle between two."""
    prefix = common_prefix(first, last)
    middle = (number_after(first, len(prefix)) + number_after(last, len(prefix))) // 2
    return prefix + middle.to_bytes(_NUMBER_BYTES, "big")


def number_after(key: bytes, skip: int) -> int:
    """Return the bytes of a key as a number, without its first `skip` ones."""
    return int.from_bytes(key[skip : skip + _NUMBER_BYTES].ljust(_NUMBER_BYTES, b"\0"), "big")


def calibrate(stretches: Sequence[Stretch], value_bytes: float) -> bool:
    """Change the weights of the stretches so that the mean length of their values is that of all values.

    RocksDB counts the bytes of all values, which distinguishes the weights of long and short values.
    No weight changes if none lead to that mean: the dead values have other lengths than the live ones.

    Returns:
        Whether the lengths differ enough to determine the weights.
    """
    lengths = [one.value_bytes / one.live for one in stretches if one.live]
    if not lengths or not min(lengths) < value_bytes < max(lengths):
        return False
    low, high = -_MAX_TILT, _MAX_TILT
    spread = max(lengths) - min(lengths)

    def tilted(tilt: float) -> list[float]:
        return [
            one.weight
            * math.exp(
                tilt * ((one.value_bytes / one.live if one.live else value_bytes) - value_bytes) / spread
            )
            for one in stretches
        ]

    def mean(weights: Sequence[float]) -> float:
        read = [(weight, one) for weight, one in zip(weights, stretches, strict=True) if one.live]
        return sum(w * one.value_bytes / one.live for w, one in read) / sum(w for w, _ in read)

    for _ in range(_TILTS):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(tilted(middle)) < value_bytes else (low, middle)
    for one, weight in zip(stretches, tilted((low + high) / 2), strict=True):
        one.weight = weight
    return max(lengths) > 2 * min(lengths)


def live_share_of_puts(stretches: Sequence[Stretch], puts: int, deletions: int) -> float:
    """Return the share of live entries among the puts.

    The positions are spread over bytes, and deletions have next to none, so that a stretch stands for puts. How
    many of its dead entries are puts follows from the deletions of all entries: the share is the same
    everywhere.
    """
    weight = sum(one.weight for one in stretches) or 1.0
    share_of_deletions = 0.5 if deletions else 0.0
    live = 1.0
    for _ in range(_ROUNDS):
        live = 0.0
        for one in stretches:
            dead = one.dead * (1.0 - share_of_deletions)
            live += one.weight * (one.live / (one.live + dead) if one.live else float(not one.dead))
        live /= weight
        if not deletions:
            break
        share_of_deletions = deletions / (deletions + puts * (1.0 - live))
    return live if stretches else 1.0
