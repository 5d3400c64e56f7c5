"""The rules of SHOW ADVICE, and the estimates that they use."""

from __future__ import annotations

import pytest

from jobtui.engine.advice import (
    AdviceThresholds,
    CompactionEstimate,
    Verdict,
    estimate_compaction,
    fit_speed,
    job_seconds,
    recommend,
)
from jobtui.model import JobOptions
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
            (CompactionEstimate(0, gain=9, flushed=9, memtable=MIB), "flush: 1 MiB in memory and in no file"),
            (
                CompactionEstimate(MIB, gain=MIB, flushed=MIB),
                "compact: ≈ 1 MiB of 2 MiB (with ≈ 1 MiB in memory) would be given back",
            ),
            (CompactionEstimate(MIB, gain=MIB, flushed=9 * MIB), "fine: gives back ≈ 1 MiB"),
            (CompactionEstimate(MIB, gain=0, memtable=64 * MIB), "flush: 64 MiB in memory"),
            (CompactionEstimate(MIB, gain=0, memtable=MIB), "fine: gives back ≈ 0 B"),
            (CompactionEstimate(), "unknown: the storage reports no figures"),
        ],
    )
    def test_default_thresholds(self, estimate: CompactionEstimate, reason: str) -> None:
        assert ": ".join(recommend(estimate, AdviceThresholds())) == reason

    def test_thresholds_are_settings(self) -> None:
        estimate = CompactionEstimate(100, gain=10, deletions=0.0, l0_files=0)
        assert recommend(estimate, AdviceThresholds(gain=0.1))[0] is Verdict.COMPACT
        assert recommend(estimate, AdviceThresholds(gain=0.11))[0] is Verdict.FINE


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

    def test_fifo_reclaims_nothing(self) -> None:
        estimate = estimate_compaction(CompactionFigures((family(100, 0, 0.5, is_fifo=True),)))
        assert (estimate.gain, estimate.rewritten, estimate.size) == (0, 0, 100 * MIB)

    def test_fifo_files_are_no_reason_to_compact(self) -> None:
        # it keeps all of its files in level 0
        level = LevelFigures(400, 100 * MIB, 1000, 900)
        fifo = FamilyFigures("log", (level,), live_share=1.0, is_fifo=True)
        other = family(100, 0, 1.0)
        for families, files in (((fifo,), 0), ((fifo, other), 2)):
            estimate = estimate_compaction(CompactionFigures(families))
            assert (estimate.l0_files, estimate.deletions) == (files, 0.0)
            assert recommend(estimate, AdviceThresholds())[0] is Verdict.FINE

    @pytest.mark.parametrize(("files", "size", "gain"), [(400, 420_000, 399_000), (1, 900, 0), (9, MIB, 0)])
    def test_small_files_have_more_than_their_entries(self, files: int, size: int, gain: int) -> None:
        level = LevelFigures(files, size, 800, 0)
        small = FamilyFigures("default", (level,), live_share=1.0, key_bytes=6, value_bytes=20)
        assert estimate_compaction(CompactionFigures((small,))).gain == gain

    def test_only_live_values_of_blob_files_are_copied(self) -> None:
        figures = family(300, 0, 1 / 3, blob_bytes=300 * MIB, blob_copied=150 * MIB)
        assert estimate_compaction(CompactionFigures((figures,))).rewritten == 150 * MIB

    def test_blob_files_are_a_guess(self) -> None:
        estimate = estimate_compaction(CompactionFigures((family(300, 0, 1 / 3, blob_bytes=300 * MIB),)))
        assert estimate.is_guess
        assert estimate.gain == pytest.approx(400 * MIB * 2 / 3, rel=0.01)

    def test_dead_values_of_other_lengths(self) -> None:
        # 100 live values of 100 bytes, and 100 dead ones of 1,000
        estimate = estimate_compaction(CompactionFigures((family(200, 0, 0.5, all_value_bytes=110_000),)))
        assert estimate.gain == pytest.approx(100 * MIB * 1000 / 1100, rel=0.02)

    def test_no_dead_data(self) -> None:
        # the values that were read have 100 bytes each, all have 101 on average
        estimate = estimate_compaction(CompactionFigures((family(200, 0, 1.0, all_value_bytes=20_200),)))
        assert (estimate.gain, estimate.is_guess) == (0, False)

    def test_memtable_is_flushed_before(self) -> None:
        # 50 of the 100 entries in files are overwritten by those in memory
        estimate = estimate_compaction(CompactionFigures((family(100, 0, 100 / 150, memtable_entries=50),)))
        assert estimate.gain == estimate.flushed == pytest.approx(50 * MIB, rel=0.01)
        assert estimate.gain_share == pytest.approx(1 / 3, rel=0.01)

    def test_live_data_that_is_not_counted_is_unknown(self) -> None:
        assert estimate_compaction(CompactionFigures(size=100, live=0)).gain is None
        estimate = estimate_compaction(CompactionFigures((family(100, 0, None, live=0),)))
        assert (estimate.gain, estimate.is_guess) == (0, True)

    def test_size_and_live_data_only(self) -> None:
        estimate = estimate_compaction(CompactionFigures(size=100, live=60, l0_files=5))
        assert (estimate.gain, estimate.is_guess, estimate.deletions) == (40, True, None)


class TestSpeed:
    def test_opening_time_and_rate_are_distinguished(self) -> None:
        runs = [(1 << 10, 0.3), (1 << 12, 0.3), (50 * MIB, 1.3), (500 * MIB, 10.3)]
        speed = fit_speed(runs)
        assert speed.opening == pytest.approx(0.3, rel=0.02)
        assert speed.seconds(100 * MIB) == pytest.approx(2.3, rel=0.02)
        assert speed.describe_assumption(1 << 40) == ""

    def test_small_runs_show_the_opening_time(self) -> None:
        speed = fit_speed([(1000, 0.8), (1000, 0.7), (2000, 0.9)])
        assert (speed.opening, speed.rate) == (0.8, None)
        assert speed.describe_assumption(4000) == ""
        assert (
            speed.describe_assumption(100 * MIB)
            == "the time is a guess: only small earlier runs on this host, 50 MiB/s assumed"
        )

    def test_runs_of_an_empty_space_are_runs(self) -> None:
        assert fit_speed([(0, 0.3)]).describe_assumption(0) == ""

    def test_runs_of_one_size(self) -> None:
        speed = fit_speed([(100 * MIB, 4.2), (100 * MIB, 4.2)])
        assert speed.seconds(100 * MIB) == pytest.approx(4.2)
        assert speed.seconds(1000 * MIB) == pytest.approx(40.2)

    @pytest.mark.parametrize(
        "runs", [[(2 * MIB, 0.0)], [(4 * MIB, 5.0), (400 * MIB, 0.1)], [(0, 1.0), (MIB, 1.0)]]
    )
    def test_odd_runs_give_a_time(self, runs: list[tuple[int, float]]) -> None:
        assert 0 < fit_speed(runs).seconds(100 * MIB) < 3600

    def test_first_run_is_assumed(self) -> None:
        assert fit_speed([]).seconds(100 * MIB) == 2.2
        assert (
            fit_speed([]).describe_assumption(1)
            == "the time is a guess: no earlier run on this host, 50 MiB/s assumed"
        )

    @pytest.mark.parametrize(
        ("options", "seconds"),
        [
            (JobOptions(), 30),
            (JobOptions(rolling=1), 60),
            (JobOptions(rolling=2), 40),
            (JobOptions(wait=300.0), 660),
            (JobOptions(rolling=9), 30),
        ],
    )
    def test_total_of_the_hosts(self, options: JobOptions, seconds: float) -> None:
        assert job_seconds([10.0, 20.0, 30.0], options) == seconds
