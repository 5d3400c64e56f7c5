"""Power losses at any step: no acknowledged job is lost, invented or duplicated.

The short form looks at 2,000 states on a sound disk and 800 on a failing one; `--long` at twelve times as many.
"""

from __future__ import annotations

import pytest

from tests.support import power_loss
from tests.support.lossy_disk import Fails, MemoryDisk
from tests.support.omissions import OMISSIONS, Omission

RUNS, POINTS = 5, 10


def _fails(rate: float) -> Fails | None:
    return (lambda concerned: rate) if rate else None


def _find_fault(seed: int, omission: Omission) -> str | None:
    """The first fault that a loss of power reveals in the sessions of that seed, None if there is none."""
    disk = MemoryDisk(seed=seed, fails=omission.fails, omits=omission.omits)
    record = power_loss.run_sessions(disk, seed, cut_at=omission.cut_at)
    disk.healed()
    for name, log, left in power_loss.states(disk, seed, POINTS):
        faults = power_loss.check(left, log, record, quiet=omission.fails is None)
        if faults:
            return f"seed {seed}, {name}: {faults[0]}"
    return None


@pytest.mark.parametrize(
    ("rate", "batch"),
    [*((0.0, batch) for batch in range(10)), *((rate, batch) for rate in (0.01, 0.03) for batch in range(2))],
)
def test_acknowledged_changes_survive_any_power_loss(rate: float, batch: int, long: bool) -> None:
    runs = RUNS * (12 if long else 1)
    complete = Omission("none", fails=_fails(rate))
    for seed in range(batch * runs, (batch + 1) * runs):
        assert _find_fault(seed, complete) is None


@pytest.mark.parametrize("omission", OMISSIONS, ids=lambda omission: omission.name)
def test_each_omission_is_noticed(omission: Omission, monkeypatch: pytest.MonkeyPatch) -> None:
    omission.change(monkeypatch)
    assert any(_is_noticed(seed, omission) for seed in (omission.seed, *range(100)))


def _is_noticed(seed: int, omission: Omission) -> bool:
    try:
        return _find_fault(seed, omission) is not None
    except Exception:
        # a history that cannot be read afterwards is noticed, too
        return True
