"""The plan of a compaction in steps: which keys of which column families each step compacts.

A step is a range of keys of one family, or several small families as a whole. Ranges end where files end, so
that no file is rewritten for two steps. They are made of *blocks*, which RocksDB cannot divide: a file of the
deepest level, together with what is merged with it at once. The files of level 0 that overlap each other are
merged with the first range that touches one of them, whatever their size; if they are merged right into the
deepest level, they and what they overlap there are one block.

The plan is made again before each step, from the files of that moment. A plan remembers keys and not files,
because a step may rewrite files of the next one, and a writer may add files meanwhile.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

import msgspec
from msgspec.structs import replace

from jobtui.model import StepPosition
from jobtui.storage.base import CompactionRequest
from jobtui.storage.local.worker.database import ColumnFamily, CompactionStyle, DatabaseHandle
from jobtui.storage.local.worker.stats import LiveFile, tables_by_family

Tables = dict[str, tuple[LiveFile, ...]]

MIN_STEPS = 2  # a database of fewer steps is compacted in one: more steps would cost more than they save


class FamilyPart(msgspec.Struct, frozen=True):
    """The part of a column family that a compaction has not done yet.

    Attributes:
        name: The family.
        files: The files that have keys of it.
        base_level: The level into which level 0 is merged.
        is_divisible: Whether a part of its keys can be compacted alone.
        begin: The first key, None for the first of all.
        end: The key before which it ends, None for the last of all.
        blobs: The bytes of the values in blob files that its compaction copies.
    """

    name: str
    files: tuple[LiveFile, ...]
    base_level: int
    is_divisible: bool
    begin: bytes | None = None
    end: bytes | None = None
    blobs: int = 0


class StepPart(msgspec.Struct, frozen=True):
    """A call of `compact_range`.

    Attributes:
        family: The column family.
        begin: The first key, None for the first of all.
        end: The last key, included; None for the last of all.
        next_key: The key up to which the family is then done, excluded; None if all of it is.
        size: The bytes of the files that it compacts.
        merged: The bytes of those that are merged at once, because they are in level 0 or overlap it there.
        min_merge: The bytes of the largest merge that RocksDB cannot divide: a file and what it overlaps in the
            levels below, also beyond `end`.
        blobs: The bytes of the values in blob files that it copies, at most.
    """

    family: str
    begin: bytes | None
    end: bytes | None
    next_key: bytes | None
    size: int
    merged: int
    min_merge: int
    blobs: int = 0

    @property
    def max_merge(self) -> int:
        """The bytes of the largest merge if RocksDB did not limit merges.

        A file above the deepest level may reach beyond `end`, and so may the files that it is merged with.
        """
        return max(self.size, self.min_merge) if self.next_key is None else self.size + self.min_merge


class Step(msgspec.Struct, frozen=True):
    """A step: the work of a compaction until it can next be paused."""

    parts: tuple[StepPart, ...]

    @property
    def size(self) -> int:
        """The bytes of the files that it compacts."""
        return sum(part.size for part in self.parts)

    def room_needed(self, room: int) -> int:
        """Return the most disk space that it takes if each merge takes `room`, apart from level 0."""
        merge = max(min(part.max_merge, part.merged + max(room, part.min_merge)) for part in self.parts)
        # an old blob file is deleted when the values of all steps have been copied
        return merge + sum(part.blobs for part in self.parts)


class CompactionPlan:
    """The plan of a compaction: its steps, planned from the current files, and its progress.

    `families`: those to compact. `first_files`: their files at the beginning. `bytes_done`: the bytes of
    the finished steps, which measure the progress.
    """

    def __init__(
        self,
        handle: DatabaseHandle,
        families: tuple[ColumnFamily, ...],
        request: CompactionRequest,
        step_bytes: int,
    ) -> None:
        self.families = families
        self.position = StepPosition()
        self.bytes_done = 0
        self.notes: list[str] = []
        self._request = request
        self._step_bytes = step_bytes
        tables = tables_by_family(handle)
        self.first_files = {
            family.name: overlapping_files(
                tables[family.name], request.from_key, request.to_key, end_excluded=True
            )
            for family in families
        }
        # a writer's new files have higher numbers
        self._first_new = 1 + max((file.number for group in tables.values() for file in group), default=0)
        # a concurrent writer's new keys must not make the plan endless
        self._ends = {
            name: max((file.last for file in files if file.last is not None), default=b"")
            for name, files in self.first_files.items()
        }
        size = sum(file.size for files in self.first_files.values() for file in files)
        self._in_one = size < MIN_STEPS * step_bytes
        self._bytes_left = 0

    @property
    def fraction(self) -> float:
        """The share of the work that is done, 0..1."""
        total = self.bytes_done + self._bytes_left
        return self.bytes_done / total if total else 0.0

    def share(self, step: Step) -> float:
        """Return the share of the work that a step is, 0..1."""
        return step.size / max(1, self.bytes_done + self._bytes_left)

    def next_step(self, handle: DatabaseHandle) -> Step | None:
        """Plan the remaining work, and return its first step, None if there is none."""
        steps = self.all_steps(handle)
        self._bytes_left = sum(step.size for step in steps)
        self.position = replace(self.position, total=self.position.done + len(steps))
        return steps[0] if steps else None

    def all_steps(self, handle: DatabaseHandle) -> tuple[Step, ...]:
        """Return the remaining steps."""
        tables = tables_by_family(handle)
        parts = [self._family_part(family, tables) for family in self._remaining_families(handle)]
        return plan_steps(parts, self._step_bytes, in_one=self._in_one)

    def finish(self, step: Step, tables: Tables, read: int, written: int) -> None:
        """Record that a step is done."""
        part = step.parts[-1]
        rest = overlapping_files(
            pending_files(tables[part.family], self._first_new), None, self._ends[part.family]
        )
        self.bytes_done += step.size
        self.position = replace(
            self.position,
            done=self.position.done + 1,
            family=part.family,
            key=position_after(part, rest),
            read=self.position.read + read,
            written=self.position.written + written,
        )

    def _remaining_families(self, handle: DatabaseHandle) -> tuple[ColumnFamily, ...]:
        """Return the open handle's families that are not completely done."""
        names = [family.name for family in self.families]
        families = tuple(family for family in handle.families if family.name in names)
        if self.position.family not in names:
            return families
        index = names.index(self.position.family)
        return families[index + (self.position.key is None) :]

    def _family_part(self, family: ColumnFamily, tables: Tables) -> FamilyPart:
        begin, end = self._request.from_key, self._request.to_key
        if family.name == self.position.family and self.position.key is not None:
            begin = max(begin or b"", self.position.key)
        files = overlapping_files(
            pending_files(tables[family.name], self._first_new), begin, end, end_excluded=True
        )
        files = overlapping_files(files, None, self._ends[family.name])
        return FamilyPart(
            family.name,
            files,
            family.rdict.property_int_value("rocksdb.base-level") or 0,
            not family.backwards
            and family.style is CompactionStyle.LEVEL
            and all(file.first is not None and file.last is not None for file in files),
            begin,
            end,
            family.copied_blobs,
        )


def files_of(step: Step, tables: Tables) -> Tables:
    """Return the files that a step compacts, by family."""
    return {part.family: overlapping_files(tables[part.family], part.begin, part.end) for part in step.parts}


def plan_steps(families: Iterable[FamilyPart], step_bytes: int, *, in_one: bool) -> tuple[Step, ...]:
    """Return the steps that compact the families, of about `step_bytes` each, or one."""
    steps: list[list[StepPart]] = []
    size = 0
    for family in families:
        if not family.files:
            continue
        for part in _divide(family, 0 if in_one or not family.is_divisible else step_bytes):
            if steps and (in_one or size + part.size <= step_bytes):
                steps[-1].append(part)
                size += part.size
            else:
                steps.append([part])
                size = part.size
    return tuple(Step(tuple(parts)) for parts in steps)


def overlapping_files(
    files: Iterable[LiveFile], begin: bytes | None, end: bytes | None, *, end_excluded: bool = False
) -> tuple[LiveFile, ...]:
    """Return the files with keys from `begin` to `end`; None: no bound.

    `end_excluded`: whether `end` itself is outside the range.
    """
    return tuple(
        file
        for file in files
        if file.first is None
        or file.last is None
        or (
            (begin is None or file.last >= begin)
            and (end is None or file.first < end or (file.first == end and not end_excluded))
        )
    )


def pending_files(files: Sequence[LiveFile], first_new: int) -> tuple[LiveFile, ...]:
    """Return the files of a family that the compaction, from `first_new` on, did not write.

    Files that it wrote above the deepest level must still be merged into that. New files in level 0 belong to a
    concurrent writer.
    """
    deepest = max((file.level for file in files), default=0)
    return tuple(file for file in files if file.number < first_new or 0 < file.level < deepest)


def position_after(part: StepPart, rest: Iterable[LiveFile]) -> bytes | None:
    """Return the key up to which the part's family is done, None if it is complete.

    A step may have rewritten files of the next one, which overlapped it in a level above.
    """
    if part.next_key is None:
        return None
    first = min(
        (file.first for file in overlapping_files(rest, part.next_key, None) if file.first is not None),
        default=None,
    )
    return None if first is None else max(part.next_key, first)


class _Block(msgspec.Struct):
    first: bytes
    last: bytes
    size: int
    merged: int
    min_merge: int


def _divide(family: FamilyPart, step_bytes: int) -> list[StepPart]:
    """Return the parts of a family, only one if `step_bytes` is 0."""
    total = sum(file.size for file in family.files)
    if not family.is_divisible:
        return [StepPart(family.name, family.begin, family.end, None, total, total, 0, family.blobs)]
    blocks, clusters = _blocks(family)
    count = max(1, round(total / step_bytes)) if step_bytes else 1
    if count == 1:
        merged = sum(block.merged for block in blocks) + sum(cluster.merged for cluster in clusters)
        min_merge = max(block.min_merge for block in (*blocks, *clusters))
        return [StepPart(family.name, family.begin, family.end, None, total, merged, min_merge, family.blobs)]
    return _gather(family, blocks, clusters, total / count)


def _gather(family: FamilyPart, blocks: list[_Block], clusters: list[_Block], target: float) -> list[StepPart]:
    """Return parts of about `target` bytes each, of whole blocks."""
    parts: list[StepPart] = []
    begin = family.begin
    size = merged = min_merge = 0
    left = sum(block.size for block in blocks)
    total = sum(file.size for file in family.files)
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        size += block.size
        left -= block.size
        merged, min_merge = merged + block.merged, max(min_merge, block.min_merge)
        is_last = following is None
        # as close to the target as whole blocks allow, so that the number of steps stays constant
        if following is not None and (size + following.size / 2 < target or left < target / 2):
            continue
        for cluster in [one for one in clusters if one.first <= block.last or is_last]:
            clusters.remove(cluster)
            size, merged, min_merge = (
                size + cluster.size,
                merged + cluster.merged,
                max(min_merge, cluster.min_merge),
            )
        end, next_key = block.last, block.last + b"\0"
        if is_last:
            end = block.last if family.end is None else min(block.last, family.end)
        blobs = family.blobs * size // max(1, total)
        parts.append(
            StepPart(family.name, begin, end, None if is_last else next_key, size, merged, min_merge, blobs)
        )
        begin = next_key
        size = merged = min_merge = 0
    return parts


def _blocks(family: FamilyPart) -> tuple[list[_Block], list[_Block]]:
    """Return the blocks, and the clusters of level 0 that overlap each other."""
    by_level: dict[int, list[_Block]] = {}
    for file in family.files:
        assert file.first is not None  # or it would not be divisible
        assert file.last is not None
        by_level.setdefault(file.level, []).append(_Block(file.first, file.last, file.size, 0, file.size))
    clusters = _merge(by_level.pop(0, []))
    for cluster in clusters:
        cluster.merged = cluster.size
    deepest = max(by_level, default=0)
    blocks = by_level.pop(deepest, [])
    if family.base_level >= deepest:
        blocks = _merge([*blocks, *clusters])
        for block in blocks:
            block.merged = block.size if block.merged else 0
        clusters = []
    else:
        blocks = _merge(blocks)
        for cluster in clusters:
            cluster.merged += sum(
                one.size
                for one in by_level.get(family.base_level, ())
                if one.first <= cluster.last and one.last >= cluster.first
            )
    firsts, lasts = [block.first for block in blocks], [block.last for block in blocks]
    before = list(accumulate((block.size for block in blocks), initial=0))
    between = [one for files in by_level.values() for one in files]
    for one in between:
        start, end = bisect_left(lasts, one.first), bisect_right(firsts, one.last)
        block = blocks[min(start, len(blocks) - 1)]  # the first step that touches it merges all of it
        block.size += one.size
        block.min_merge = max(block.min_merge, one.size + max(0, before[end] - before[start]))
    blocks[-1].last = max(one.last for one in (*blocks, *clusters, *between))
    return blocks, clusters


def _merge(blocks: list[_Block]) -> list[_Block]:
    """Return the blocks in key order, those that overlap as one.

    Files may share the end of a deleted range.
    """
    merged: list[_Block] = []
    for block in sorted(blocks, key=lambda one: (one.first, one.last)):
        if merged and (block.first < merged[-1].last or block.first == merged[-1].first):
            last = merged[-1]
            last.last = max(last.last, block.last)
            last.size, last.merged = last.size + block.size, last.merged + block.merged
            last.min_merge = max(last.min_merge, block.min_merge)
        else:
            merged.append(block)
    return merged
