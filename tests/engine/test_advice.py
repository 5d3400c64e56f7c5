"""The rules of SHOW ADVICE, and the estimates that they judge."""

from __future__ import annotations

import pytest

from jobtui.engine.advice import AdviceThresholds, CompactionEstimate, Verdict, estimate_compaction, judge
from jobtui.storage.base import CompactionFigures, FamilyFigures, LevelFigures

MIB = 1 << 20


def family(entries: int, deletions: int, live_share: float | None, **fields: object) -> FamilyFigures:
    level = LevelFigures(2, 100 * MIB, entries, deletions)
    return FamilyFigures("default", (level,), live_share=live_share, key_bytes=16, value_bytes=100, **fields)


class TestJudge:
    @pytest.mark.parametrize(
        ("estimate", "reason"),
        [
            (CompactionEstimate(100 * MIB, gain=30 * MIB), "compact: ≈ 30 MiB of 100 MiB would be given back"),
            (CompactionEstimate(100 * MIB, gain=19 * MIB), "fine: gives back ≈ 19 MiB"),
            (CompactionEstimate(MIB, gain=0, deletions=0.2), "compact: 20% of the entries are deletions"),
            (CompactionEstimate(MIB, gain=0, deletions=0.1), "fine: gives back ≈ 0 B, deletions 10%"),
            (CompactionEstimate(MIB, gain=0, l0_files=8), "compact: 8 files in level 0 of a column family"),
            (CompactionEstimate(MIB, gain=0, l0_files=7), "fine: gives back ≈ 0 B, L0 files 7"),
            (CompactionEstimate(0, gain=0, memtable=MIB), "flush: 1 MiB in memory and in no file"),
            (CompactionEstimate(MIB, gain=0, memtable=64 * MIB), "flush: 64 MiB in memory"),
            (CompactionEstimate(MIB, gain=0, memtable=MIB), "fine: gives back ≈ 0 B"),
            (CompactionEstimate(), "unknown: the storage reports no figures"),
        ],
    )
    def test_default_thresholds(self, estimate: CompactionEstimate, reason: str) -> None:
        assert ": ".join(judge(estimate, AdviceThresholds())) == reason

    def test_thresholds_are_settings(self) -> None:
        estimate = CompactionEstimate(100, gain=10, deletions=0.0, l0_files=0)
        assert judge(estimate, AdviceThresholds(gain=0.1))[0] is Verdict.COMPACT
        assert judge(estimate, AdviceThresholds(gain=0.11))[0] is Verdict.FINE


class TestEstimate:
    def test_overwritten(self) -> None:
        estimate = estimate_compaction(CompactionFigures((family(300, 0, 1 / 3),)))
        assert estimate.gain == pytest.approx(100 * MIB * 2 / 3, rel=0.001)
        assert not estimate.is_guess

    def test_deletions_are_small(self) -> None:
        # 100 entries of which 30 are deleted: 130 in the files, 70 live
        estimate = estimate_compaction(CompactionFigures((family(130, 30, 70 / 130),)))
        assert estimate.gain_share == pytest.approx(0.33, abs=0.02)
        assert estimate.deletions == pytest.approx(30 / 130)

    def test_only_chosen_families(self) -> None:
        one, other = family(100, 0, 0.5), family(100, 0, 0.5)
        figures = CompactionFigures((one, FamilyFigures("edges", other.levels, live_share=1.0)))
        assert estimate_compaction(figures, ("edges",)).gain == 0
        assert estimate_compaction(figures).gain == 50 * MIB

    def test_fifo_gives_nothing_back(self) -> None:
        estimate = estimate_compaction(CompactionFigures((family(100, 0, 0.5, is_fifo=True),)))
        assert (estimate.gain, estimate.rewritten, estimate.size) == (0, 0, 100 * MIB)

    def test_blob_files_are_a_guess(self) -> None:
        estimate = estimate_compaction(CompactionFigures((family(300, 0, 1 / 3, blob_bytes=300 * MIB),)))
        assert estimate.is_guess
        assert estimate.gain == pytest.approx(400 * MIB * 2 / 3, rel=0.01)

    def test_size_and_live_data_alone(self) -> None:
        estimate = estimate_compaction(CompactionFigures(size=100, live=60, l0_files=5))
        assert (estimate.gain, estimate.is_guess, estimate.deletions) == (40, True, None)
