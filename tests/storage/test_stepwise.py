"""Compactions in steps on real databases: what ends one in the middle, and what the next one does."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from jobtui.errors import ErrorCode
from jobtui.model import DiskReserve, StepPosition
from jobtui.storage.base import CompactionRequest, Placement, TaskResult
from jobtui.storage.local.backend import LocalStorage
from tests.support.disks import fill_up, free_bytes
from tests.support.storage import (
    ONE,
    Watched,
    after_steps,
    compact,
    dumped,
    failure_of,
    layer_pairs,
    storage_at,
)
from tests.support.templates import template_directory

pytestmark = pytest.mark.anyio
STEP = 1 << 20
MEGABYTES = 5
Held = dict[bytes, bytes]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


_made: list[Path] = []


async def _template() -> Path:
    """The directory of such a storage, made once."""
    if not _made:
        root = template_directory("leveled") / "root"
        async with storage_at(root, step=STEP) as storage:
            await storage.create_space("nba", Placement())
            await storage.load("nba", layer_pairs(0, MEGABYTES))
            await compact(storage)
        _made.append(root)
    return _made[0]


@asynccontextmanager
async def leveled(
    root: Path, *, rate: int | None = None, reserve: DiskReserve | None = None, disk: Path | None = None
) -> AsyncIterator[tuple[LocalStorage, Held]]:
    """A storage whose space `nba` has 5 MB in many files of the last level, for steps of 1 MiB."""
    hosts = ONE if disk is None else {"h1": disk / "h1"}
    filled = await _template()
    shutil.copytree(
        filled, root, dirs_exist_ok=True, ignore=None if disk is None else shutil.ignore_patterns("h1")
    )
    if disk is not None:
        shutil.copytree(filled / "h1", disk / "h1")
    async with storage_at(root, hosts, step=STEP, rate=rate, reserve=reserve or DiskReserve()) as storage:
        await storage.stats("nba", "h1")  # so that its worker runs
        yield storage, dict(layer_pairs(0, MEGABYTES))


async def check_rest(
    storage: LocalStorage, held: Held, position: StepPosition, *, host: str = "h1"
) -> TaskResult:
    """Continue after the position; check that no more than the rest is read and that every value is there."""
    size = (await storage.stats("nba", host)).bytes
    watched = Watched()
    outcome = await compact(storage, host, watched=watched, request=CompactionRequest(resume=position))
    assert outcome.note == ""
    assert watched.steps[0].done == position.done
    assert outcome.steps.done == outcome.steps.total >= position.done
    read = outcome.steps.read - position.read
    assert read <= size - position.read + STEP
    assert outcome.steps.read <= size + STEP
    assert await dumped(storage) == sorted(held.items())
    return outcome


def done_before(watched: Watched) -> StepPosition:
    return watched.steps[-1]


class TestSteps:
    async def test_each_step_is_reported_and_every_byte_is_read_once(self, tmp_path):
        async with leveled(tmp_path) as (storage, held):
            watched = Watched()
            outcome = await compact(storage, watched=watched)
            total = watched.steps[0].total
            assert 4 <= total <= 6
            assert [steps.done for steps in watched.steps] == list(range(total + 1))
            assert watched.steps[-1] == outcome.steps
            assert outcome.before.bytes <= outcome.steps.read <= 1.1 * outcome.before.bytes
            assert 0.9 * outcome.before.bytes <= outcome.steps.written <= 1.1 * outcome.before.bytes
            assert outcome.steps.database == (tmp_path / "h1" / "nba" / "IDENTITY").read_text().strip()
            assert max(watched.room_needed) <= 2 * STEP + STEP
            assert watched.fractions == sorted(watched.fractions)
            assert watched.fractions[-2] > 0.7
            assert await dumped(storage) == sorted(held.items())

    async def test_rate_stays_known_between_steps(self, tmp_path):
        async with leveled(tmp_path) as (storage, _):
            watched = Watched()
            rates = []
            watched.on_progress = lambda progress: rates.append(progress.rate) if progress.steps else None
            await compact(storage, watched=watched)
            assert len(rates) > 4
            assert None not in rates[1:]

    async def test_small_database_has_one_step(self, tmp_path):
        async with storage_at(tmp_path, step=STEP) as storage:
            await storage.create_space("nba", Placement())
            await storage.load("nba", layer_pairs(0, 1.5))
            outcome = await compact(storage)
            assert (outcome.steps.done, outcome.steps.total) == (1, 1)

    async def test_rocksdb_merges_a_step_at_once_and_no_more(self, tmp_path):
        async with leveled(tmp_path) as (storage, _):
            outcome = await compact(storage)
            log = (tmp_path / "h1" / "nba" / "LOG").read_text()
            merges = [
                msgspec.json.decode(event)["input_data_size"]
                for event in re.findall(r'EVENT_LOG_v1 (.*"compaction_started".*)', log)
            ]
            assert len(merges) == outcome.steps.total
            assert max(merges) <= 1.5 * STEP

    async def test_empty_database_has_no_steps(self, tmp_path):
        async with storage_at(tmp_path, step=STEP) as storage:
            await storage.create_space("nba", Placement())
            outcome = await compact(storage)
            assert (outcome.steps, outcome.note, outcome.stopped) == (None, "", False)

    async def test_concurrent_writer_loses_nothing_and_the_plan_ends(self, tmp_path):
        async with leveled(tmp_path) as (storage, held):
            ended = asyncio.Event()

            async def write() -> None:
                for number in range(1000):
                    if ended.is_set():
                        break
                    pairs = [(b"%d %d" % (number, one), b"new") for one in range(50)]
                    pairs += [(key, b"changed %d" % number) for key in list(held)[number :: len(held) // 20]]
                    held.update(pairs)
                    await storage.load("nba", pairs)

            writing = asyncio.ensure_future(write())
            outcome = await compact(storage)
            ended.set()
            await writing
            assert outcome.steps.done == outcome.steps.total
            assert await dumped(storage) == sorted(held.items())


class TestEndedInTheMiddle:
    async def test_pause_ends_after_the_step_and_rest_is_done_later(self, tmp_path):
        async with leveled(tmp_path) as (storage, held):
            watched = after_steps(1, lambda watched: watched.control.pause.set())
            outcome = await compact(storage, watched=watched)
            assert outcome.paused
            assert not outcome.stopped
            assert 1 <= outcome.steps.done < outcome.steps.total
            await check_rest(storage, held, outcome.steps)

    async def test_pause_before_the_first_step_does_nothing(self, tmp_path):
        async with leveled(tmp_path) as (storage, held):
            watched = Watched()
            watched.control.pause.set()
            outcome = await compact(storage, watched=watched)
            if not outcome.paused:  # the request came after the last step began
                assert outcome.steps.done == outcome.steps.total
            await check_rest(storage, held, outcome.steps)

    async def test_stop_loses_at_most_the_step_in_which_it_comes(self, tmp_path):
        async with leveled(tmp_path) as (storage, held):
            watched = after_steps(2, lambda watched: watched.cancel.set())
            outcome = await compact(storage, watched=watched)
            assert outcome.stopped
            assert outcome.steps == done_before(watched)
            assert outcome.steps.done >= 2
            await check_rest(storage, held, outcome.steps)

    async def test_killed_worker_loses_at_most_a_step(self, tmp_path):
        async with leveled(tmp_path) as (storage, held):

            def kill(_watched: Watched) -> None:
                os.kill(storage.worker("h1", adopted=False).pid, signal.SIGKILL)

            watched = after_steps(2, kill)
            error = await failure_of(compact(storage, watched=watched))
            assert error.code is ErrorCode.HOST_DIED
            assert done_before(watched).done >= 2
            await check_rest(storage, held, done_before(watched))

    async def test_disk_that_fills_up_loses_at_most_a_step(self, tmp_path, small_disk):
        disk = small_disk("32m")
        # so slow that the disk is full before the step ends
        async with leveled(tmp_path / "root", disk=disk, rate=1 << 20) as (storage, held):
            watched = after_steps(1, lambda _: fill_up(disk / "stuff"))
            compacting = asyncio.ensure_future(compact(storage, watched=watched))
            error = await failure_of(compacting)
            assert error.code is ErrorCode.DISK_FULL
            (disk / "stuff").unlink()
            await storage.close()
        async with storage_at(tmp_path / "root", {"h1": disk / "h1"}, step=STEP) as storage:
            await check_rest(storage, held, done_before(watched))

    async def test_compaction_starts_over_on_another_database(self, tmp_path):
        async with leveled(tmp_path) as (storage, held):
            watched = after_steps(2, lambda watched: watched.control.pause.set())
            paused = (await compact(storage, watched=watched)).steps
            for other in (
                StepPosition(paused.done, paused.total, "another", paused.family, paused.key, paused.read),
                StepPosition(paused.done, paused.total, paused.database, "gone", paused.key, paused.read),
            ):
                outcome = await compact(storage, request=CompactionRequest(resume=other))
                assert "started over at the first step" in outcome.note
                assert outcome.steps.done == outcome.steps.total
                assert outcome.steps.read >= outcome.before.bytes
            assert await dumped(storage) == sorted(held.items())

    async def test_nothing_is_left_to_do_after_the_last_step(self, tmp_path):
        async with leveled(tmp_path) as (storage, _):
            outcome = await compact(storage)
            again = await compact(storage, request=CompactionRequest(resume=outcome.steps))
            assert again.steps == outcome.steps


class TestRoom:
    RESERVE = DiskReserve(bytes=8 << 20)

    @asynccontextmanager
    async def waiting(
        self, tmp_path: Path, disk: Path
    ) -> AsyncIterator[tuple[LocalStorage, Held, Watched, asyncio.Task]]:
        """A compaction that waits for room after its first step."""

        def fill(_watched: Watched) -> None:
            with open(disk / "stuff", "wb") as out:
                out.write(bytes(free_bytes(disk) - self.RESERVE.bytes + STEP))  # whatever the step holds now

        async def look(watched: Watched) -> None:
            while not any(watched.waits):
                watched.reported.clear()
                await watched.reported.wait()

        async with leveled(tmp_path / "root", disk=disk, reserve=self.RESERVE, rate=2 << 20) as (storage, held):
            for _ in range(10):
                watched = after_steps(1, fill)
                working = asyncio.ensure_future(compact(storage, watched=watched))
                looking = asyncio.ensure_future(look(watched))
                await asyncio.wait({working, looking}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
                if looking.done():
                    break
                # on a busy machine the report of the first step came so late that the last one had room
                looking.cancel()
                await asyncio.wait_for(working, 60)
                (disk / "stuff").unlink()
            assert any(watched.waits)
            yield storage, held, watched, working

    async def test_it_waits_below_the_reserve_and_continues_by_itself(self, tmp_path, small_disk):
        disk = small_disk("48m")
        async with self.waiting(tmp_path, disk) as (storage, held, watched, working):
            assert "reserve 8 MiB" in next(filter(None, watched.waits))
            assert not working.done()
            # what fills it up takes a MiB of the reserve, and a step that had begun another one
            assert free_bytes(disk) >= self.RESERVE.bytes - 2 * STEP
            (disk / "stuff").unlink()
            outcome = await asyncio.wait_for(working, 60)
            assert outcome.steps.done == outcome.steps.total
            assert watched.waits[-1] == ""
            assert await dumped(storage) == sorted(held.items())

    @pytest.mark.parametrize("request_name", ["cancel", "pause"])
    async def test_stop_and_a_pause_end_the_waiting(self, tmp_path, small_disk, request_name):
        disk = small_disk("48m")
        async with self.waiting(tmp_path, disk) as (storage, held, watched, working):
            before = done_before(watched)
            getattr(watched.control, request_name).set()
            outcome = await asyncio.wait_for(working, 60)
            assert (outcome.stopped, outcome.paused) == (request_name == "cancel", request_name == "pause")
            assert outcome.steps == before, "it took a step for which there is no room"
            (disk / "stuff").unlink()
            await check_rest(storage, held, outcome.steps)

    async def test_less_free_disk_than_data_is_enough(self, tmp_path, small_disk):
        disk = small_disk("32m")
        reserve = DiskReserve(bytes=STEP)
        async with leveled(tmp_path / "root", disk=disk, reserve=reserve, rate=8 << 20) as (storage, held):
            (disk / "stuff").write_bytes(bytes(free_bytes(disk) - reserve.bytes - 3 * STEP - STEP // 2))
            least = [free_bytes(disk)]
            watched = Watched()
            watched.on_progress = lambda _: least.append(free_bytes(disk))
            outcome = await asyncio.wait_for(compact(storage, watched=watched), 60)
            assert least[0] < outcome.before.bytes
            assert outcome.steps.done == outcome.steps.total > 3
            assert min(least) >= reserve.bytes
            assert await dumped(storage) == sorted(held.items())

    async def test_step_that_can_never_fit_fails_at_once(self, tmp_path, small_disk):
        disk = small_disk("32m")
        async with leveled(tmp_path / "root", disk=disk, reserve=DiskReserve(share=0.99)) as (storage, _):
            error = await failure_of(compact(storage))
            assert error.code is ErrorCode.DISK_FULL
            assert "needed" in error.detail
            assert "free" in error.detail

    async def test_free_space_of_a_request_limits_the_steps(self, tmp_path):
        async with leveled(tmp_path) as (storage, held):
            usual, small = Watched(), Watched()
            await compact(storage, watched=usual)
            await compact(storage, watched=small, request=CompactionRequest(room=STEP))
            assert small.steps[-1].done > 1.5 * usual.steps[-1].done
            assert max(small.room_needed) < max(usual.room_needed)
            assert await dumped(storage) == sorted(held.items())


class TestRate:
    async def test_new_rate_applies_to_this_job_from_the_next_step(self, tmp_path):
        log = tmp_path / "h1" / "nba" / "LOG"

        def is_limited() -> bool:
            return "Options.rate_limiter: (nil)" not in log.read_text()

        async with leveled(tmp_path) as (storage, held):
            seen = []
            watched = Watched()
            watched.control.set_rate(4 << 20)

            def look(progress) -> None:
                if progress.steps is not None:
                    seen.append((progress.steps.done, is_limited()))
                    if progress.steps.done == 2:
                        watched.control.set_rate(0)

            watched.on_progress = look
            outcome = await compact(storage, watched=watched)
            assert seen[1] == (1, True)
            assert seen[-1] == (outcome.steps.total, False)
            watched = Watched()
            watched.control.set_rate(100 << 20)
            await compact(storage, watched=watched)
            await storage.load("nba", [(b"more", b"more")])
            assert not is_limited()
            assert await dumped(storage) == sorted([*held.items(), (b"more", b"more")])


class TestParts:
    async def test_range_of_keys_alone_is_compacted(self, tmp_path):
        async with leveled(tmp_path) as (storage, held):
            whole = await compact(storage)
            request = CompactionRequest(from_key=b"key00002000", to_key=b"key00003000")
            outcome = await compact(storage, request=request)
            assert 0 < outcome.steps.read < whole.steps.read / 2
            request = CompactionRequest(from_key=b"key00002000")
            half = await compact(storage, request=request)
            assert half.steps.total > outcome.steps.total
            assert half.steps.read < 0.8 * whole.steps.read
            assert await dumped(storage) == sorted(held.items())

    async def test_empty_part_ends_with_a_note(self, tmp_path):
        async with leveled(tmp_path) as (storage, _):
            outcome = await compact(storage, request=CompactionRequest(from_key=b"z"))
            assert outcome.steps is None
            assert outcome.note == "nothing to compact: no file has keys of the selected part"
            assert outcome.after == outcome.before

    async def test_unknown_family_is_refused_with_those_that_exist(self, tmp_path):
        async with leveled(tmp_path) as (storage, _):
            error = await failure_of(compact(storage, request=CompactionRequest(families=("defualt",))))
            assert error.code is ErrorCode.REJECTED
            assert "did you mean 'default'?" in error.detail
            assert "There are: default" in error.detail

    async def test_default_family_may_be_named(self, tmp_path):
        async with leveled(tmp_path) as (storage, _):
            outcome = await compact(storage, request=CompactionRequest(families=("default",)))
            assert outcome.steps.done > 3
