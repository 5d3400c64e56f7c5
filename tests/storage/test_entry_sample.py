"""The map from the keys of a family's files to positions, and the ranges of entries that are read there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from jobtui.storage.local.worker import compaction_figures as figures
from jobtui.storage.local.worker.database import Database, DatabaseHandle
from jobtui.storage.local.worker.entry_sample import KeyMap
from jobtui.storage.local.worker.openers import OwnOpener
from jobtui.storage.local.worker.options import SharedOptions
from jobtui.storage.local.worker.pairs import write_pairs
from jobtui.storage.local.worker.stats import LiveFile, tables_by_family

Fill = Callable[..., DatabaseHandle]


def test_key_beyond_the_common_prefix_has_all_entries_below_it() -> None:
    key_map = KeyMap([LiveFile(1, 6, 1 << 20, b"key0000", b"key9999", 1_000)])
    assert key_map.entries_between(b"key0000", b"kez") == 1_000
    assert key_map.entries_between(b"a", b"key0000") == 0


def test_key_below_all_others_has_no_entries_below_it() -> None:
    key_map = KeyMap([LiveFile(1, 6, 1 << 20, b"key5000", b"key9990", 1_000)])
    assert key_map.entries_between(b"key0", b"key5000") == 0
    assert key_map.entries_between(b"kea9999", b"kez") == 1_000


def keys(count: int) -> list[bytes]:
    return [b"%05d" % number for number in range(count)]


@pytest.fixture
def fill(tmp_path: Path) -> Iterator[Fill]:
    """Return a function that writes keys and then deletes some, and flushes both or none."""
    database = Database(OwnOpener(tmp_path / "db", SharedOptions()))
    OwnOpener(tmp_path / "db", SharedOptions()).create()

    def _fill(written: Sequence[bytes], deleted: Sequence[bytes] = (), *, flush: bool = True) -> DatabaseHandle:
        for pairs in (tuple((key, b"value") for key in written), tuple((key, None) for key in deleted)):
            write_pairs(database, pairs, sync=False)
            with database.use(write=True) as handle:
                if flush:
                    handle.main.flush(True)
        return handle

    yield _fill
    database.close()


class TestSample:
    def sampler(self, handle: DatabaseHandle) -> figures.EntrySampler:
        files = tables_by_family(handle)["default"]
        totals = figures._read_totals(handle.main, files)
        return figures.EntrySampler(handle, handle.main, files, totals)

    def test_of_nothing_has_no_share(self, fill: Fill) -> None:
        handle = fill(())
        sample = figures._sample(handle, handle.main, (), figures._read_totals(handle.main, ()))
        assert sample.live_share is None

    def test_run_of_deletions_at_the_beginning_is_not_the_end(self, fill: Fill) -> None:
        every = keys(6_000)
        sampler = self.sampler(fill(every, every[:3_000]))
        assert sampler._read_halves(8) == []
        assert sampler._around(every[1_000], every[0], every[-1]) == (every[1_000], every[1_000])
        assert sampler._find_gaps(96) == []  # not even where the end of the run is near

    def test_part_without_keys_takes_no_position(self, fill: Fill) -> None:
        sampler = self.sampler(fill([*keys(300), b"zz"]))
        assert all(stretch.weight > 0 for stretch in sampler._read_halves(8))

    def test_memtable_of_many_keys_is_not_read_whole(self, fill: Fill) -> None:
        handle = fill(keys(figures.WHOLE_ENTRIES + 1), flush=False)
        assert figures._read_all(handle.main, figures._read_totals(handle.main, ()), limit_skips=True) is None

    def test_memtable_with_a_long_run_of_deletions_is_not_read_whole(self, fill: Fill) -> None:
        handle = fill(keys(2_600), keys(2_500), flush=False)
        assert figures._read_all(handle.main, figures._read_totals(handle.main, ()), limit_skips=True) is None

    @pytest.mark.parametrize("overlap", [True, False])
    def test_small_family_of_overlapping_files_is_read_whole(self, fill: Fill, *, overlap: bool) -> None:
        every = keys(4_000)
        handle = fill(every, every[1_000:] if overlap else ())
        files = tables_by_family(handle)["default"]
        sample = figures._sample(handle, handle.main, files, figures._read_totals(handle.main, files))
        assert sample.is_whole is overlap
        assert sample.live_share == (1 / 7 if overlap else 1.0)
