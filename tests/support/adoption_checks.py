"""Checks of a database that belongs to another program and that jobtui adopts, works on and drops.

Either jobtui refuses, and then no byte has changed anywhere; or it accepts, and then the owner finds the same
pairs with its own version, and no file outside the adopted directory has changed.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jobtui.errors import ErrorCode, StorageError
from jobtui.model import StepPosition
from jobtui.storage.base import CompactionRequest, OperationProgress, Placement
from jobtui.storage.local.backend import LocalStorage
from tests.support.disks import fill_up
from tests.support.foreign_owners import Entry, Owner, entries
from tests.support.storage import Watched, compact, dumped, flush, storage_at

SPACE = "theirs"
STEP_BYTES = 3_000
SLOW_BYTES = 10_000  # a second: so slow that what ends a compaction comes before its end
ENDINGS = ("stopped", "killed", "full disk")
# files that any opening of a database writes or renames, also that of its owner
LOGS = re.compile(r"LOG(\.old\.\d+)?")


class Answer(NamedTuple):
    """The answer of jobtui: the `refusal` to adopt or write to the database, the `failure` of a later job."""

    refusal: StorageError | None = None
    failure: StorageError | None = None


async def work_on(root: Path, database: Path) -> Answer:
    """Adopt the database and do everything that jobtui can do with it, until it refuses."""
    host = str(database)
    async with storage_at(root) as storage:
        try:
            await storage.create_space(SPACE, Placement(directories=(host,)))
            assert [space.name for space in await storage.spaces()] == [SPACE]
            await storage.hosts()
            await storage.stats(SPACE, host)
            await dumped(storage, SPACE)
            await flush(storage, host, SPACE)
        except StorageError as refusal:
            return Answer(refusal=refusal)
        try:
            await compact(storage, host, SPACE)
            await storage.stats(SPACE, host)
            await dumped(storage, SPACE)
            await storage.drop_space(SPACE)
        except StorageError as failure:
            return Answer(failure=failure)
    return Answer()


async def compact_in_steps(root: Path, database: Path) -> int:
    """Compact the database, then pause a compaction after each of its steps; return the number of steps.

    The first compaction merges what is in level 0 at once, so that the others have steps.
    """
    host = str(database)
    async with storage_at(root, step=STEP_BYTES) as storage:
        await storage.create_space(SPACE, Placement(directories=(host,)))
        await compact(storage, host, SPACE)
        position, paused = None, 0
        while True:
            watched = Watched()
            watched.on_progress = pause_after(watched, 0 if position is None else position.done)
            request = CompactionRequest(resume=position)
            outcome = await compact(storage, host, SPACE, watched, request)
            assert "started over" not in outcome.note
            if not outcome.paused:
                return 0 if outcome.steps is None else outcome.steps.done
            assert position is None or outcome.steps.done > position.done
            position, paused = outcome.steps, paused + 1
            assert paused <= position.total


async def end_in_the_middle(root: Path, database: Path, ending: str) -> tuple[int, int]:
    """End a compaction after its first step in one of `ENDINGS`, and continue it.

    Returns the number of steps that were finished when it ended, and of all steps. Checks that finished steps
    stay finished, and that the continued compaction reads the others alone.

    What both read together is compared with what an uninterrupted one reads, which may be more than the files
    hold: of a database of tiny files with partitioned filters, or read in whole pages, half as much again.
    """
    host = str(database)
    async with storage_at(root, step=STEP_BYTES) as storage:
        await storage.create_space(SPACE, Placement(directories=(host,)))
        await compact(storage, host, SPACE)  # so that level 0 is empty, and the next ones have steps
        whole = await compact(storage, host, SPACE)
    async with storage_at(root, step=STEP_BYTES, rate=SLOW_BYTES) as storage:
        position = await _ended_after_a_step(storage, database, ending)
    async with storage_at(root, step=STEP_BYTES) as storage:
        watched = Watched()
        outcome = await compact(storage, host, SPACE, watched, CompactionRequest(resume=position))
        assert "started over" not in outcome.note
        if position is None or outcome.steps is None:
            return 0, 0  # nothing is compacted but FIFO families, or nothing was finished
        assert watched.steps[0].done == position.done
        assert outcome.steps.done == outcome.steps.total
        if position.read:
            assert outcome.steps.read < whole.steps.read + position.read / 2
        return position.done, outcome.steps.done


async def _ended_after_a_step(storage: LocalStorage, database: Path, ending: str) -> StepPosition | None:
    """Return the position of a compaction that was ended after its first step, or in its only one."""
    stuff, watched = database.parent / "stuff", Watched()
    await storage.stats(SPACE, str(database))  # so that its worker runs

    def end(progress: OperationProgress) -> None:
        steps = progress.steps
        if steps is None or not (steps.done or steps.total == 1):
            return
        watched.on_progress = lambda _: None
        pid = storage.worker(str(database), adopted=True).pid
        assert pid is not None
        if ending == "stopped":
            watched.cancel.set()
        elif ending == "killed":
            os.kill(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGSTOP)  # or it would end while the disk is being filled
            fill_up(stuff)
            os.kill(pid, signal.SIGCONT)

    watched.on_progress = end
    working = asyncio.ensure_future(compact(storage, str(database), SPACE, watched))
    while not working.done() and not any(watched.waits):
        watched.reported.clear()
        await asyncio.wait(
            [working, asyncio.ensure_future(watched.reported.wait())], return_when=asyncio.FIRST_COMPLETED
        )
    watched.cancel.set()  # what waits for space on a full disk
    (result,) = await asyncio.gather(working, return_exceptions=True)
    stuff.unlink(missing_ok=True)
    if isinstance(result, BaseException):
        assert isinstance(result, StorageError)
        assert result.code is {"killed": ErrorCode.HOST_DIED, "full disk": ErrorCode.DISK_FULL}[ending]
        return next((steps for steps in reversed(watched.steps) if steps.done), None)
    if ending == "killed":  # families that RocksDB does not merge by itself have no work to be killed in
        assert result.steps is None or result.steps.total <= 1, "it ended before it was killed"
    return result.steps


def pause_after(watched: Watched, done: int) -> Callable[[OperationProgress], None]:
    """Return a callback that requests a pause once more than `done` steps are done."""

    def look(progress: OperationProgress) -> None:
        if progress.steps is not None and progress.steps.done > done:
            watched.control.pause.set()

    return look


class Snapshot:
    """The owner's directory and its surroundings, before jobtui does anything.

    `except_for` are files around it that another program is writing to.
    """

    def __init__(self, database: Path, *, except_for: Sequence[Path] = ()) -> None:
        self._database = database
        self._left_out = (database, *except_for)
        self._around = entries(database.parent, leave_out=self._left_out)
        self._inside = entries(database)
        self._directory = database.lstat()

    def check(self, answer: Answer) -> None:
        """Check everything that must hold after this answer."""
        self.check_untouched() if answer.refusal else self.check_left_as_found()

    def check_untouched(self) -> None:
        """Check that no byte, mode, owner or time has changed, in the directory or around it."""
        self.check_around()
        assert changes(self._inside, entries(self._database)) == {}

    def check_around(self) -> None:
        """Check that nothing has changed outside the adopted directory."""
        assert changes(self._around, entries(self._database.parent, leave_out=self._left_out)) == {}

    def check_left_as_found(self) -> None:
        """Check that an accepted database keeps its options, owners and modes."""
        self.check_around()
        after = entries(self._database)
        directory = self._database.lstat()
        for field in ("st_mode", "st_uid", "st_gid"):
            assert getattr(directory, field) == getattr(self._directory, field)
        before_options, after_options = options_files(self._inside), options_files(after)
        assert set(after_options) <= set(before_options), "an OPTIONS file of jobtui's stayed"
        if before_options:
            newest = before_options[-1]
            assert after[newest] == self._inside[newest]
        assert ("rocksdict-config.json" in after) == ("rocksdict-config.json" in self._inside)
        current = self._inside["CURRENT"]
        for name, entry in after.items():
            expected = self._inside.get(name, current)
            kept = name in self._inside or entry.content == "directory"
            assert entry.owner == expected.owner, f"{name} belongs to another user"
            assert kept or LOGS.fullmatch(name) or entry.mode == expected.mode, f"{name} has another mode"


def options_files(found: dict[str, Entry]) -> list[str]:
    """Return the names of the OPTIONS files, the newest last."""
    names = [name for name in found if re.fullmatch(r"OPTIONS-\d+", name)]
    return sorted(names, key=lambda name: int(name.split("-")[1]))


def changes(before: dict[str, Entry], after: dict[str, Entry]) -> dict[str, tuple[Entry | None, Entry | None]]:
    """Return the differences by name."""
    names = sorted(before.keys() | after.keys())
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


async def check_no_harm(tmp_path: Path, owner: Owner, state: str) -> StorageError | None:
    """Let jobtui work on the owner's database, check that it did no harm, and return its refusal."""
    database = tmp_path / "theirs" / "data"
    owner.make(database, state)
    expected = twin_dump(tmp_path, owner, state)
    snapshot = Snapshot(database)
    os.chdir(database.parent)  # relative paths in the options would be found
    answer = await work_on(tmp_path / "root", database)
    assert answer.failure is None
    snapshot.check(answer)
    if answer.refusal is None:
        owner.load(database)
    assert owner.dump(database) == expected
    return answer.refusal


def twin_dump(tmp_path: Path, owner: Owner, state: str) -> bytes:
    """Return the pairs that the owner finds in a second database that it made in the same way."""
    twin = tmp_path / "twin" / "data"
    owner.make(twin, state)
    return owner.dump(twin)
