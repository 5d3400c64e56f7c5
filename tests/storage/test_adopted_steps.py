"""Compactions in steps on the databases of other programs: several families, styles and levels."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rocksdict import CompactOptions, DBCompressionType, Options, Rdict

from jobtui.errors import ErrorCode
from jobtui.storage.base import CompactionRequest, Placement
from jobtui.storage.local.backend import LocalStorage
from tests.support.storage import Watched, after_steps, compact, dumped, failure_of, storage_at

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


OF_MANY_LEVELS = """
import random, sys, time
from rocksdict import DBCompactionStyle, Options, Rdict

rng = random.Random(1)
styles = {"default": "level", "one": "level", "un": "universal", "fi": "fifo"}
families = {}
for name, style in styles.items():
    options = families[name] = Options(raw_mode=True)
    options.create_missing_column_families(True)
    options.set_disable_auto_compactions(True)
    options.set_compaction_style(getattr(DBCompactionStyle, style)())
    options.set_target_file_size_base(64 << 10)
    options.set_max_bytes_for_level_base(256 << 10)
    options.set_level_zero_file_num_compaction_trigger(1)
database = Rdict(sys.argv[1], options=families["default"], column_families=families)
handles = {name: database.get_column_family(name) for name in styles if name != "default"}
handles["default"] = database

def write(family, every, label):
    for number in range(0, 3000, every):
        family[b"key%05d" % number] = label + rng.randbytes(500)
    family.flush(True)

for family in handles.values():
    write(family, 1, b"old ")
    write(family, 1000, b"so that the first file is merged and not moved ")
for name in ("default", "one"):
    handles[name].compact_range(None, None)
write(database, 20, b"middle ")
database.set_options({"disable_auto_compactions": "false"})
while not any(file["level"] == 5 for file in database.live_files()):
    time.sleep(0.01)
database.set_options({"disable_auto_compactions": "true"})
for layer in range(2):
    write(database, 30, b"new ")
print(sorted({file["level"] for file in database.live_files()}))
for name, handle in handles.items():
    if name != "default":
        handle.close()
database.close()
"""


_MERGE = re.compile(r'\{.*"event": "compaction_started".*\}')


def place_over_one_file(path: Path) -> None:
    """Make a database with files in level 1 that one small file of level 2 overlaps."""
    options = Options(raw_mode=True)
    options.set_disable_auto_compactions(True)
    options.set_level_compaction_dynamic_level_bytes(False)
    options.set_compression_type(DBCompressionType.none())
    options.set_target_file_size_base(128 << 10)
    database = Rdict(str(path), options=options)
    # two files of level 0 that overlap are merged and divided, not moved
    for level, keys in ((2, (0, 999)), (0, range(0, 1000, 4)), (0, range(2, 1000, 4))):
        for number in keys:
            database[b"key%03d" % number] = bytes(1200)
        database.flush()
        if level == 2:
            placing = CompactOptions()
            placing.set_change_level(True)
            placing.set_target_level(level)
            database.compact_range(None, None, placing)
    database.set_options({"level0_file_num_compaction_trigger": "1", "disable_auto_compactions": "false"})
    while any(file["level"] == 0 for file in database.live_files()):
        time.sleep(0.01)
    database.set_options({"disable_auto_compactions": "true"})
    assert {file["level"] for file in database.live_files()} == {1, 2}
    database.close()


@pytest.fixture(scope="module")
def many_levels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = tmp_path_factory.mktemp("many") / "db"
    levels = subprocess.check_output([sys.executable, "-c", OF_MANY_LEVELS, database], text=True)
    assert levels == "[0, 5, 6]\n"
    return database


class TestAdopted:
    STEP = 256 << 10

    @asynccontextmanager
    async def adopted(
        self, tmp_path: Path, database: Path, *, rate: int | None = None, step: int = STEP
    ) -> AsyncIterator[tuple[LocalStorage, Path]]:
        host = tmp_path / "db"
        shutil.copytree(database, host)
        (host / "rocksdict-config.json").unlink()  # as if another program had made it
        async with storage_at(tmp_path / "root", step=step, rate=rate) as storage:
            await storage.create_space("nba", Placement(directories=(str(host),)))
            yield storage, host

    async def test_all_levels_and_families_are_compacted_in_steps(self, tmp_path, many_levels):
        async with self.adopted(tmp_path, many_levels) as (storage, host):
            options = sorted((one.name, one.read_bytes()) for one in host.glob("OPTIONS-*"))
            pairs = await dumped(storage)
            watched = Watched()
            outcome = await compact(storage, str(host), watched=watched)
            assert outcome.steps.done == outcome.steps.total > 8
            assert "not compacted: fi" in outcome.note
            assert [level.files for level in outcome.after.levels if level.files][:-1] == [
                2
            ]  # of the FIFO family
            assert max(watched.room_needed) <= outcome.before.bytes / 3
            assert await dumped(storage) == pairs
            assert sorted((one.name, one.read_bytes()) for one in host.glob("OPTIONS-*")) == options

    async def test_room_is_that_of_the_largest_merge(self, tmp_path):
        """Files above the deepest level, which RocksDB counts once, over one file of that level."""
        place_over_one_file(tmp_path / "made")
        async with self.adopted(tmp_path, tmp_path / "made") as (storage, host):
            watched = Watched()
            await compact(storage, str(host), watched=watched)
        texts = [log.read_text("utf-8", "replace") for log in (tmp_path / "root").rglob("*LOG*")]
        merges = [json.loads(found) for text in texts for found in re.findall(_MERGE, text)]
        assert max(watched.room_needed) >= max(merge["input_data_size"] for merge in merges) > 2 * self.STEP

    async def test_steps_read_little_more_than_one_call(self, tmp_path, many_levels):
        request = CompactionRequest(families=("default",))
        read = []
        for name, step in (("whole", 1 << 30), ("steps", self.STEP)):
            (tmp_path / name).mkdir()
            async with self.adopted(tmp_path / name, many_levels, step=step) as (storage, host):
                outcome = await compact(storage, str(host), request=request)
                read.append(outcome.steps.read)
        assert read[1] < 1.3 * read[0]

    async def test_paused_or_stopped_families_continue_after_last_step(self, tmp_path, many_levels):
        async with self.adopted(tmp_path, many_levels, rate=8 << 20) as (storage, host):
            pairs = await dumped(storage)
            position = None
            for count, act in ((3, "pause"), (5, "cancel"), (7, "cancel")):
                watched = after_steps(count, lambda watched, act=act: getattr(watched.control, act).set())
                request = CompactionRequest(resume=position)
                outcome = await compact(storage, str(host), watched=watched, request=request)
                assert outcome.stopped if act == "cancel" else outcome.paused
                assert outcome.steps.done >= count
                position = outcome.steps
            outcome = await compact(storage, str(host), request=CompactionRequest(resume=position))
            assert outcome.steps.done == outcome.steps.total
            assert outcome.steps.read < 1.5 * outcome.before.bytes
            assert await dumped(storage) == pairs

    async def test_only_the_named_family_is_compacted(self, tmp_path, many_levels):
        async with self.adopted(tmp_path, many_levels) as (storage, host):
            outcome = await compact(storage, str(host), request=CompactionRequest(families=("one",)))
            assert outcome.steps.family == "one"
            assert not outcome.note  # the FIFO family was not asked for
            assert outcome.steps.read < outcome.before.bytes / 2
            assert outcome.after.levels[0] == outcome.before.levels[0]

    async def test_universal_family_has_one_step(self, tmp_path, many_levels):
        async with self.adopted(tmp_path, many_levels) as (storage, host):
            outcome = await compact(storage, str(host), request=CompactionRequest(families=("un",)))
            assert (outcome.steps.family, outcome.steps.done, outcome.steps.total) == ("un", 1, 1)
            assert outcome.steps.read > 2 * self.STEP  # a leveled family of this size has several

    async def test_keys_of_a_universal_family_are_refused_with_the_reason(self, tmp_path, many_levels):
        async with self.adopted(tmp_path, many_levels) as (storage, host):
            for families in ((), ("un",)):
                request = CompactionRequest(families=families, from_key=b"key00100")
                error = await failure_of(compact(storage, str(host), request=request))
                assert error.code is ErrorCode.UNSUPPORTED
                assert "'un' is compacted in the style Universal, which ignores keys" in error.detail
            request = CompactionRequest(families=("default", "one"), from_key=b"key00100", to_key=b"key00200")
            outcome = await compact(storage, str(host), request=request)
            assert outcome.steps.done == outcome.steps.total

    async def test_unknown_family_is_refused_before_anything_is_changed(self, tmp_path, many_levels):
        async with self.adopted(tmp_path, many_levels) as (storage, host):
            tables = {one.name for one in host.glob("*.sst")}
            error = await failure_of(compact(storage, str(host), request=CompactionRequest(families=("on",))))
            assert error.code is ErrorCode.REJECTED
            assert "'on' does not exist; did you mean 'one'? There are: default, fi, one, un" in error.detail
            assert {one.name for one in host.glob("*.sst")} == tables
