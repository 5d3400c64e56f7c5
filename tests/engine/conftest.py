"""Engines on spaces of three hosts and on a cluster; a profile that clients share, with its own sockets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster_bench import ClusterBench, cluster_bench
from tests.support.engines import THREE, Bench, open_bench
from tests.support.scripted import ScriptedStorage
from tests.support.scripted_manager import ScriptedManager


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path, ScriptedStorage({"nba": THREE, "test2": THREE, "solo": ("far",)})) as bench:
        yield bench


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jobtui-") as directory:  # a socket's path must be short
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield Path(directory)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def owner(runtime: Path, root: Path) -> Iterator[Bench]:
    with open_bench(root, ScriptedStorage({"nba": ("a", "b"), "solo": ("far",)})) as bench:
        yield bench


@pytest.fixture
def prod(tmp_path: Path) -> Iterator[ClusterBench]:
    with cluster_bench(tmp_path, ScriptedManager(("nba", "test2"))) as bench:
        bench.caught_up()
        yield bench
