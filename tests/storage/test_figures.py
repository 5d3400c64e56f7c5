"""The figures of a possible compaction, and that reading them writes nothing."""

from __future__ import annotations

import random

import pytest
from rocksdict import Options, Rdict

from jobtui.engine.advice import estimate_compaction
from jobtui.storage.base import CompactionRequest, Placement
from tests.support.adoptable import adoptable, content
from tests.support.storage import compact, flush, layer_pairs, layers, space_at, storage_at

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def estimate_and_outcome(storage) -> tuple[int, int]:
    """The bytes that were predicted, and those that a compaction reclaimed."""
    predicted = estimate_compaction(await storage.figures("nba", "h1")).gain
    done = await compact(storage)
    return predicted, done.before.bytes - done.after.bytes


class TestGain:
    async def test_overwritten_three_times(self, tmp_path):
        async with space_at(tmp_path) as storage:
            await layers(storage, 3, 4)
            predicted, actual = await estimate_and_outcome(storage)
        assert actual > 7_000_000
        assert predicted == pytest.approx(actual, rel=0.1)

    async def test_deleted_keys(self, tmp_path):
        async with space_at(tmp_path) as storage:
            held = list(await layers(storage, 1, 4))
            await storage.load("nba", [(key, None) for key in held[::3]])
            await flush(storage)
            predicted, actual = await estimate_and_outcome(storage)
        assert predicted == pytest.approx(actual, rel=0.15)

    async def test_deleted_in_a_row(self, tmp_path):
        # a run that is too long to be read, whose deletions are most of the entries of their file
        async with space_at(tmp_path) as storage:
            rng = random.Random(4)
            keys = [b"%06d" % key for key in range(30_000)]
            await storage.load("nba", [(key, rng.randbytes(100)) for key in keys])
            await compact(storage)
            changed = [(key, rng.randbytes(100)) for key in rng.sample(keys[:22_500], 600)]
            await storage.load("nba", [*changed, *((key, None) for key in keys[22_500:])])
            await flush(storage)
            predicted, actual = await estimate_and_outcome(storage)
        assert predicted == pytest.approx(actual, rel=0.15)

    async def test_nothing_if_files_hold_different_keys(self, tmp_path):
        async with space_at(tmp_path) as storage:
            pairs = layer_pairs(0, 4)
            for part in range(4):
                await storage.load("nba", pairs[part::4])
                await flush(storage)
            figures = await storage.figures("nba", "h1")
        assert figures.families[0].levels[0].files == 4
        # RocksDB's own estimate sees one of the four files
        assert figures.families[0].live < 2_000_000
        assert estimate_compaction(figures).gain < 40_000

    async def test_of_a_small_family_that_is_sampled_at_few_places(self, tmp_path):
        async with space_at(tmp_path) as storage:
            for layer in range(6):
                rng = random.Random(layer)
                await storage.load("nba", [(b"%06d" % key, rng.randbytes(40)) for key in range(1000)])
                await flush(storage)
            predicted, actual = await estimate_and_outcome(storage)
        assert predicted == pytest.approx(actual, rel=0.1)

    async def test_nothing_after_a_compaction(self, tmp_path):
        async with space_at(tmp_path) as storage:
            await layers(storage, 2, 1)
            await compact(storage)
            estimate = estimate_compaction(await storage.figures("nba", "h1"))
        assert (estimate.gain, estimate.deletions, estimate.l0_files) == (0, 0.0, 0)

    async def test_of_an_empty_space(self, tmp_path):
        async with space_at(tmp_path) as storage:
            estimate = estimate_compaction(await storage.figures("nba", "h1"))
        assert (estimate.size, estimate.gain, estimate.memtable) == (0, 0, 0)


class TestMeasured:
    async def test_deletions_of_level_0(self, tmp_path):
        async with space_at(tmp_path) as storage:
            keys = list(await layers(storage, 1, 0.2))
            await storage.load("nba", [(key, None) for key in keys[:150]])
            await flush(storage)
            (family,) = (await storage.figures("nba", "h1")).families
        assert (family.levels[0].files, family.levels[0].deletions) == (2, 150)
        assert family.levels[0].entries == len(keys) + 150

    async def test_memtable_and_pending(self, tmp_path):
        async with space_at(tmp_path) as storage:
            empty = await storage.figures("nba", "h1")
            await layers(storage, 6, 0.2)
            flushed = await storage.figures("nba", "h1")
            await storage.load("nba", layer_pairs(6, 0.2))
            written = await storage.figures("nba", "h1")
        assert (empty.pending, flushed.memtable) == (0, empty.memtable)
        assert flushed.pending > 0
        assert written.memtable > 200_000

    @pytest.mark.parametrize("copied", [0.0, 0.5])
    async def test_garbage_of_overwritten_blobs(self, tmp_path, copied):
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_disable_auto_compactions(True)
        options.set_enable_blob_files(True)
        options.set_min_blob_size(20)
        options.set_enable_blob_gc(copied > 0)
        options.set_blob_gc_age_cutoff(copied)
        database = Rdict(str(tmp_path / "theirs"), options=options)
        for step in (1, 2):  # every other value is written twice
            for key in range(0, 200, step):
                database[b"%04d" % key] = b"%d" % step * 1000
            database.flush(True)
        database.compact_range(None, None)
        database.close()
        (tmp_path / "theirs" / "rocksdict-config.json").unlink()
        async with storage_at(tmp_path / "root") as storage:
            host = str(tmp_path / "theirs")
            await storage.create_space("chain", Placement(directories=(host,)))
            figures = await storage.figures("chain", host, CompactionRequest())
        (family,) = figures.families
        assert family.blob_bytes > 200_000
        if not copied:  # or the first file is gone already
            assert 300_000 < family.blob_bytes < 330_000
            assert 100_000 < family.blob_garbage < 110_000
        assert family.blob_copied == int(copied * family.blob_bytes)
        assert figures.room_needed == figures.rewrites + family.blob_copied
        assert estimate_compaction(figures).rewritten == figures.rewrites + family.blob_copied


class TestReadingWritesNothing:
    async def test_in_a_space_of_jobtui(self, tmp_path):
        async with space_at(tmp_path) as storage:
            await layers(storage, 2, 1)
            database = tmp_path / "h1" / "nba"
            before = content(database)
            assert "CURRENT" in before
            await storage.figures("nba", "h1")
            assert content(database) == before

    async def test_in_an_adopted_database(self, tmp_path):
        database = adoptable(tmp_path / "theirs")
        before = content(database)
        async with storage_at(tmp_path / "root") as storage:
            await storage.create_space("chain", Placement(directories=(str(database),)))
            figures = await storage.figures("chain", str(database))
            assert content(database) == before
        assert content(database) == before
        assert {family.name for family in figures.families} == {"default", "edges"}
        assert [family.levels[0].files for family in figures.families] == [2, 3]
        # half of the entries, and three of five files: a compaction gives 0.69 back
        assert estimate_compaction(figures).gain_share == pytest.approx(0.69, abs=0.1)
