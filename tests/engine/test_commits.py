from __future__ import annotations

from pathlib import Path

import pytest

from jobtui.model import Job, Status
from tests.support.engines import bench
from tests.support.scripted import ScriptedStorage


def test_end_and_next_start_on_a_host_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[dict[int, Status]] = []
    with bench(tmp_path, ScriptedStorage({"nba": ("far",), "srq": ("far",)})) as it:
        it.execute("ADMIN FLUSH nba; ADMIN FLUSH srq")
        first = it.storage.operation("nba", "far")
        commit = it.engine.history.commit

        def noted(*jobs: Job) -> object:
            commits.append({job.id: job.status for job in jobs})
            return commit(*jobs)

        monkeypatch.setattr(it.engine.history, "commit", noted)
        first.finish()
        it.storage.operation("srq", "far")
        assert commits == [{1: Status.FINISHED, 2: Status.RUNNING}]
