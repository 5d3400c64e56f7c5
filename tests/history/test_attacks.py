"""Random attacks on a history's files, at rest and during use: nothing is silently lost or duplicated.

The short form tries some dozens, `--long` thousands.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from pathlib import Path

import pytest

from jobtui.history import History, StoreError
from tests.support import attacks, made_jobs
from tests.support.damaged import Made

SHORT, LONG = 12, 800
BATCHES = 4


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return attacks.make(tmp_path_factory.mktemp("grown") / "history", seed=2)


def outside_of(directory: Path) -> dict[str, tuple[object, ...]]:
    return {
        file.name: (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_mode, file.stat().st_ino)
        for file in sorted((directory / "outside").iterdir())
    }


@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.parametrize("count", [1, 2])
class TestAttack:
    def test_at_rest(self, count: int, batch: int, grown: Made, tmp_path: Path, long: bool) -> None:
        runs = LONG if long else SHORT
        for seed in range(batch * runs, (batch + 1) * runs):
            rng, directory = random.Random(seed), tmp_path / str(seed)
            (directory / "outside").mkdir(parents=True)
            path = directory / "history"
            shutil.copytree(grown.path, path)
            done = attacks.attack(path, directory / "outside", rng.choices(attacks.ATTACKS, k=count), rng)
            before = outside_of(directory)
            assert attacks.wrong_after(path, grown.jobs) == [], f"seed {seed}: {done}"
            assert outside_of(directory) == before, f"seed {seed}: {done}"
            shutil.rmtree(directory)

    def test_under_a_living_owner(
        self, count: int, batch: int, grown: Made, tmp_path: Path, long: bool
    ) -> None:
        runs = LONG if long else SHORT
        for seed in range(batch * runs, (batch + 1) * runs):
            rng, directory = random.Random(seed), tmp_path / str(seed)
            (directory / "outside").mkdir(parents=True)
            path, jobs = directory / "history", dict(grown.jobs)
            shutil.copytree(grown.path, path)
            owner = History.open(path, limits=attacks.LIMITS)
            done = attacks.attack(path, directory / "outside", rng.choices(attacks.ATTACKS, k=count), rng)
            before = outside_of(directory)
            notes: list[str] = []
            for turn in range(30):
                job = made_jobs.ended(owner.new_id(), rng)
                with contextlib.suppress(StoreError):
                    owner.commit(job).result()
                    jobs[job.id] = job
                if turn == 15:
                    with contextlib.suppress(StoreError):
                        owner.archive(1, 40).result()
            notes += map(str, owner.notes)
            owner.close()
            wrong = attacks.wrong_after(path, jobs, notes)
            assert wrong == [], f"seed {seed}: {done}"
            assert outside_of(directory) == before, f"seed {seed}: {done}"
            shutil.rmtree(directory)


def test_segment_that_a_journal_builds_on_was_renamed(grown: Made, tmp_path: Path) -> None:
    path = tmp_path / "history"
    shutil.copytree(grown.path, path)
    segment = path / "seg-00000014.jsonl"
    segment.rename(path / "seg-00000021.jsonl")
    assert attacks.wrong_after(path, grown.jobs) == []
