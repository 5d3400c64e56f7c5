"""Patience with the doubles: a machine under load may answer a request of sizes seconds late."""

from __future__ import annotations

import pytest

from tests.support.nebula_product import HASTE
from tests.support.waiting import PATIENCE


@pytest.fixture(autouse=True)
def patient_with_storaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobtui.engine.cluster.inventory.SAMPLE_SECONDS", PATIENCE)
    monkeypatch.setattr("jobtui.engine.inventory.STATS_SECONDS", PATIENCE * HASTE)  # of the clock
    monkeypatch.setattr("jobtui.storage.nebula.properties.STATS_SECONDS", PATIENCE)
