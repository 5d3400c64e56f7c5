"""A graphd with two spaces, the product on it, and long timeouts for a busy machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.graphd_double import GraphdDouble
from tests.support.nebula_cluster import TWO_SPACES, Cluster
from tests.support.nebula_product import HASTE, ClusterBench, working_on
from tests.support.waiting import PATIENCE


@pytest.fixture(autouse=True)
def patient_with_storaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobtui.engine.cluster.inventory.SAMPLE_SECONDS", PATIENCE)
    monkeypatch.setattr("jobtui.engine.inventory.STATS_SECONDS", PATIENCE * HASTE)  # of the clock
    monkeypatch.setattr("jobtui.storage.nebula.properties.STATS_SECONDS", PATIENCE)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(TWO_SPACES)


@pytest.fixture
def graphd(cluster: Cluster) -> Iterator[GraphdDouble]:
    with GraphdDouble(cluster) as graphd:
        yield graphd


@pytest.fixture
def prod(graphd: GraphdDouble, tmp_path: Path) -> Iterator[ClusterBench]:
    with working_on(graphd, root=tmp_path) as bench:
        bench.caught_up()
        yield bench
