"""Losses of power at any step: nothing acknowledged is lost, nothing is invented, nothing is there twice.

The short form looks at 2,000 states on a sound disk and 800 on a failing one; `--long` at twelve times as many.
"""

from __future__ import annotations

import pytest

from tests.support import power_loss
from tests.support.corners import CORNERS, Corner
from tests.support.lossy_disk import Fails, MemoryDisk

RUNS, POINTS = 5, 10


def _fails(rate: float) -> Fails | None:
    return (lambda concerned: rate) if rate else None


def _what_goes_wrong(seed: int, corner: Corner) -> str | None:
    """The first thing that is wrong after a loss of power in the story of that seed, None where nothing is."""
    disk = MemoryDisk(seed=seed, fails=corner.fails, omits=corner.omits)
    story = power_loss.live(disk, seed, cut_at=corner.cut_at)
    disk.healed()
    for name, log, left in power_loss.states(disk, seed, POINTS):
        wrong = power_loss.check(left, log, story, quiet=corner.fails is None)
        if wrong:
            return f"seed {seed}, {name}: {wrong[0]}"
    return None


@pytest.mark.parametrize(
    ("rate", "batch"),
    [*((0.0, batch) for batch in range(10)), *((rate, batch) for rate in (0.01, 0.03) for batch in range(2))],
)
def test_acknowledged_changes_survive_any_power_loss(rate: float, batch: int, long: bool) -> None:
    runs = RUNS * (12 if long else 1)
    careful = Corner("none is cut", fails=_fails(rate))
    for seed in range(batch * runs, (batch + 1) * runs):
        assert _what_goes_wrong(seed, careful) is None


@pytest.mark.parametrize("corner", CORNERS, ids=lambda corner: corner.name)
def test_a_cut_corner_is_noticed(corner: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    corner.change(monkeypatch)
    assert any(_notices(seed, corner) for seed in (corner.seed, *range(100)))


def _notices(seed: int, corner: Corner) -> bool:
    try:
        return _what_goes_wrong(seed, corner) is not None
    except Exception:
        # a history that breaks down over what is left is noticed, too
        return True
