"""The plan of a compaction in steps, and what each step does to a real database."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rocksdict import Rdict

from jobtui.storage.local.worker.options import TICKERS, SharedOptions, read_tickers
from jobtui.storage.local.worker.stats import LiveFile
from jobtui.storage.local.worker.steps import (
    FamilyPart,
    StepPart,
    overlapping_files,
    pending_files,
    plan_steps,
    position_after,
)

BOTTOM = 6


def table(number: int, level: int, first: str, last: str, size: int = 10) -> LiveFile:
    return LiveFile(number, level, size, first.encode(), last.encode())


def bottom(count: int = 10, size: int = 10) -> list[LiveFile]:
    """`count` files a0..a9, b0..b9, … at the bottom."""
    return [table(1 + i, BOTTOM, f"{chr(97 + i)}0", f"{chr(97 + i)}9", size) for i in range(count)]


def rest(files: Sequence[LiveFile], *, base_level: int = BOTTOM, name: str = "default", **more) -> FamilyPart:
    return FamilyPart(name, tuple(files), base_level, **{"is_divisible": True, **more})


def parts_of(*families: FamilyPart, step: int = 30, in_one: bool = False) -> list[StepPart]:
    return [part for one in plan_steps(families, step, in_one=in_one) for part in one.parts]


class TestPlan:
    def test_steps_end_where_files_end(self):
        parts = parts_of(rest(bottom()))
        assert [part.size for part in parts] == [30, 30, 40]
        assert [(part.begin, part.end) for part in parts] == [
            (None, b"c9"),
            (b"c9\0", b"f9"),
            (b"f9\0", b"j9"),
        ]
        assert [part.next_key for part in parts] == [b"c9\0", b"f9\0", None]

    def test_no_files_need_no_step(self):
        assert plan_steps([rest([])], 30, in_one=False) == ()

    def test_files_merged_with_level_0_are_not_divided(self):
        files = [*bottom(), table(20, 0, "c5", "e5")]
        parts = parts_of(rest(files), step=20)
        (whole,) = [part for part in parts if part.begin is not None and part.begin < b"c5" <= part.end]
        assert whole.end == b"e9"
        assert whole.merged == 40
        assert sum(part.size for part in parts) == 110
        assert [part.merged for part in parts if part is not whole] == [0] * (len(parts) - 1)

    def test_level_0_over_a_middle_level_is_merged_first(self):
        files = [*bottom(), table(20, 5, "a0", "b0", 7), table(21, 0, "a5", "j5", 25)]
        first, *others = parts_of(rest(files, base_level=5))
        assert first.merged == 25 + 7
        assert {part.merged for part in others} == {0}
        assert len(others) >= 2

    def test_level_0_in_order_of_keys_is_divided(self):
        files = [table(i, 0, f"{chr(97 + i)}0", f"{chr(97 + i)}9") for i in range(10)]
        parts = parts_of(rest(files))
        assert [part.end for part in parts] == [b"c9", b"f9", b"j9"]

    def test_small_families_share_a_step(self):
        families = [rest(bottom(1), name=name) for name in ("one", "two", "three", "four")]
        steps = plan_steps(families, 30, in_one=False)
        assert [[part.family for part in step.parts] for step in steps] == [["one", "two", "three"], ["four"]]

    def test_small_database_has_one_step(self):
        (step,) = plan_steps([rest(bottom(5)), rest(bottom(3), name="two")], 30, in_one=True)
        assert [(part.begin, part.end, part.next_key) for part in step.parts] == [(None, None, None)] * 2

    def test_indivisible_family_has_one_step(self):
        (part,) = parts_of(rest(bottom(), is_divisible=False))
        assert (part.begin, part.end, part.size, part.merged) == (None, None, 100, 100)

    def test_part_of_the_keys_ends_at_its_bounds(self):
        files = overlapping_files(bottom(), b"b5", b"f0", end_excluded=True)
        parts = parts_of(rest(files, begin=b"b5", end=b"f0"), step=20)
        assert [part.size for part in parts] == [20, 20]
        assert (parts[0].begin, parts[-1].end, parts[-1].next_key) == (b"b5", b"e9", None)

    @pytest.mark.parametrize(("free", "needed"), [(10, 35), (50, 55), (1000, 105)])
    def test_step_needs_level_0_bytes_and_space_for_one_merge(self, free, needed):
        files = [*bottom(8), table(20, 0, "a5", "b5", 5), table(21, 5, "h0", "h9", 20)]
        (step,) = plan_steps([rest(files, base_level=5)], 1000, in_one=True)
        assert step.room_needed(free) == needed

    def test_step_of_one_huge_file_needs_space_for_it(self):
        (step,) = plan_steps(
            [rest([table(1, BOTTOM, "a", "b", 70), table(2, BOTTOM, "c", "d")])], 10, in_one=True
        )
        assert step.room_needed(10) == 70

    def test_each_step_needs_space_for_copied_blobs(self):
        steps = plan_steps([rest(bottom(), blobs=1000)], 30, in_one=False)
        assert [step.room_needed(10) - 10 for step in steps] == [300, 300, 400]
        (step,) = plan_steps([rest(bottom(), blobs=1000)], 30, in_one=True)
        assert step.room_needed(10) == 1010

    def test_step_needs_space_for_the_largest_overlap(self):
        files = [*bottom(), table(20, 5, "a0", "i5", 3)]
        needed = [step.room_needed(20) for step in plan_steps([rest(files, base_level=5)], 20, in_one=False)]
        assert needed[0] == 93
        assert max(needed[1:]) <= 30

    def test_step_needs_space_for_all_that_its_last_file_overlaps(self):
        files = [*bottom(), table(20, 5, "a0", "a5", 3), table(21, 5, "b5", "g0", 3)]
        first = plan_steps([rest(files, base_level=5)], 20, in_one=False)[0]
        assert first.parts[0].end < b"g0"
        # both files of the level above, and the seven of the deepest level that they overlap
        assert first.room_needed(1000) >= 3 + 3 + 70


class TestPosition:
    def test_output_beyond_the_range_of_a_step_counts_as_done(self):
        part = StepPart("default", None, b"c9", b"c9\0", 30, 0, 10)
        assert position_after(part, [table(5, BOTTOM, "e0", "e9")]) == b"e0"
        assert position_after(part, [table(5, BOTTOM, "b0", "c9"), table(6, 5, "c5", "d0")]) == b"c9\0"

    def test_family_without_pending_files_is_done(self):
        part = StepPart("default", None, b"c9", b"c9\0", 30, 0, 10)
        assert position_after(part, []) is None

    def test_written_files_are_pending_only_above_the_deepest_level(self):
        old, between, written = table(5, 0, "a", "b"), table(12, 5, "a", "b"), table(11, BOTTOM, "a", "b")
        writers = table(13, 0, "a", "z")
        assert pending_files([old, between, written, writers], 10) == (old, between)


keys = st.binary(min_size=1, max_size=3)


@st.composite
def databases(draw) -> list[LiveFile]:
    """Files as RocksDB has them: those of a level do not overlap, except in level 0."""
    files = []
    for level in draw(st.sets(st.integers(0, 6), min_size=1, max_size=4)):
        bounds = sorted(draw(st.sets(keys, min_size=2, max_size=24)))
        pairs = list(zip(bounds[::2], bounds[1::2], strict=False))
        if level == 0:
            pairs += [tuple(sorted(pair)) for pair in draw(st.lists(st.tuples(keys, keys), max_size=4))]
        for first, last in pairs:
            files.append(LiveFile(len(files) + 1, level, draw(st.integers(1, 30)), first, last))
    return files


@given(databases(), st.integers(0, 6), st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_steps_cover_every_file_and_count_each_byte_once(files, base_level, step_bytes):
    parts = parts_of(rest(files, base_level=base_level), step=step_bytes)
    assert sum(part.size for part in parts) == sum(file.size for file in files)
    assert parts[0].begin is None
    assert parts[-1].next_key is None
    assert parts[-1].end is None or parts[-1].end >= max(file.last for file in files)
    for one, other in itertools.pairwise(parts):
        assert one.next_key == other.begin == one.end + b"\0"
    assert sum(part.merged for part in parts) >= sum(file.size for file in files if file.level == 0)


def test_plan_remade_before_each_step_ends():
    """A writer adds files to level 0 all the time, and each step rewrites more than its range."""
    rng = random.Random(1)
    files = bottom(20)
    first_new, end, key = 100, files[-1].last, None
    for number in range(first_new, 400, 4):
        left = overlapping_files(overlapping_files(pending_files(files, first_new), key, None), None, end)
        if not left:
            break
        part = parts_of(rest(left, begin=key), step=20)[0]
        reach = part.end if part.end is not None else end
        rewritten = [file for file in files if file.first <= reach and file.last >= (key or b"")]
        files = [file for file in files if file not in rewritten]
        first, last = min(file.first for file in rewritten), max(file.last for file in rewritten)
        files.append(LiveFile(number, BOTTOM, 20, first, last))
        files.append(LiveFile(number + 1, 0, 5, b"a0", b"%c9" % rng.randrange(97, 122)))
        after = overlapping_files(pending_files(files, first_new), None, end)
        key = position_after(part, after)
        if key is None:
            break
    else:
        raise AssertionError("the plan did not end")
    assert number - first_new < 4 * 20


def test_counters_are_those_of_the_whole_text(tmp_path: Path) -> None:
    options = SharedOptions().own
    options.create_if_missing(True)
    database = Rdict(str(tmp_path / "db"), options=options)
    for layer in range(2):
        database.put(b"key", b"%d" % layer)
        database.flush(True)
    database.compact_range(None, None)
    text = options.get_statistics() or ""
    found = dict(re.findall(r"^rocksdb\.([\w.]+) COUNT : (\d+)$", text, re.MULTILINE))
    counted = read_tickers(options)
    assert {name: int(found[name]) for name in TICKERS} == dict(counted)
    assert counted["flush.write.bytes"] > 0
    database.close()
