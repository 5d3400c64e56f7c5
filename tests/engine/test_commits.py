from __future__ import annotations

from pathlib import Path

import pytest

from jobtui.model import Job, Status
from tests.support.engines import open_bench
from tests.support.scripted import ScriptedStorage


def test_end_and_next_start_on_a_host_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[dict[int, Status]] = []
    with open_bench(tmp_path, ScriptedStorage({"nba": ("far",), "srq": ("far",)})) as bench:
        bench.execute("ADMIN FLUSH nba; ADMIN FLUSH srq")
        first = bench.storage.operation("nba", "far")
        commit = bench.engine.history.commit

        def noted(*jobs: Job) -> object:
            commits.append({job.id: job.status for job in jobs})
            return commit(*jobs)

        monkeypatch.setattr(bench.engine.history, "commit", noted)
        first.finish()
        bench.storage.operation("srq", "far")
        assert commits == [{1: Status.FINISHED, 2: Status.RUNNING}]
