"""The samples of jobs: thinning, sums, and files."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from math import inf, isnan, nan
from pathlib import Path

import msgspec
import pytest

from jobtui.engine import sampler, samples
from jobtui.engine.client import Client
from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.remote import RemoteClient
from jobtui.engine.samples import Figures, Gauge, HostSamples, JobSamples, SampleBuffer, SampleFiles
from jobtui.model import Status
from jobtui.storage.base import HostGauges
from tests.support.clock import FakeClock
from tests.support.engines import Bench, open_bench
from tests.support.real_engines import real_bench
from tests.support.scripted import ScriptedStorage
from tests.support.waiting import eventually

WAIT = 20.0
HOUR = 3600


def filled(hosts: int, seconds: int) -> SampleBuffer:
    """A buffer after a job of this many seconds, in which host n reads n MiB a second."""
    buffer = SampleBuffer(1, [f"host{number:02}" for number in range(hosts)])
    for second in range(seconds):
        figures: dict[int, Figures] = {
            number: (number * 2.0**20, 2.0**19, float(second % 10), 1e12 - second) for number in range(hosts)
        }
        buffer.add(second + 1.0, figures, (hosts * 2.0**20, hosts * 2.0**19, 7.0, 1e12 - second))
    return buffer


def job_samples(job: int = 1, moments: int = 3) -> JobSamples:
    buffer = SampleBuffer(job, ["h1"])
    for moment in range(moments):
        buffer.add(float(moment), {0: (1.0, 2.0, 3.0, 4.0)}, (1.0, 2.0, 3.0, 4.0))
    return buffer.samples()


def memory_of(value: object, seen: set[int]) -> int:
    """The bytes of an object with all that only it refers to."""
    if id(value) in seen or isinstance(value, type | str):
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(memory_of(each, seen) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple):
        return size + sum(memory_of(each, seen) for each in value)
    if hasattr(value, "__dict__"):
        return size + memory_of(vars(value), seen)
    return size


class TestBuffer:
    @pytest.mark.parametrize("hosts", [1, 50, 5000])
    def test_running_job_takes_at_most_2_mb(self, hosts: int) -> None:
        buffer = filled(hosts, HOUR if hosts < 100 else 200)
        assert memory_of(buffer, set()) <= 2_000_000
        assert sum(len(host.figures) for host in buffer.samples().hosts) <= 2_000_000

    def test_hour_is_thinned_evenly(self) -> None:
        seconds = filled(2, HOUR).samples().seconds()
        gaps = {round(after - before) for before, after in pairwise(seconds)}
        assert gaps == {8}
        assert len(seconds) == HOUR // 8

    def test_thinned_rates_are_means(self) -> None:
        buffer = SampleBuffer(1, ["h1"])
        for second in range(HOUR):
            rate = float(second % 2)
            buffer.add(float(second), {0: (rate, 0, 0, 0)}, (rate, 0, 0, 0))
        assert set(buffer.samples().series(Gauge.READ, 0)) == {0.5}

    def test_thinned_files_are_the_most_and_free_the_least(self) -> None:
        thinned = filled(1, HOUR).samples()
        assert set(thinned.series(Gauge.L0_FILES, 0)) <= {7.0, 8.0, 9.0}
        free = thinned.series(Gauge.FREE, 0)
        assert free[-1] == pytest.approx(1e12 - HOUR + 1, rel=1e-6)

    def test_host_without_work_has_no_figures(self) -> None:
        buffer = SampleBuffer(1, ["h1", "h2"])
        buffer.add(1.0, {1: (5.0, 6.0, 7.0, 8.0)}, (5.0, 6.0, 7.0, 8.0))
        found = buffer.samples()
        assert isnan(found.series(Gauge.READ, 0)[0])
        assert list(found.series(Gauge.READ, 1)) == [5.0]

    def test_earlier_samples_come_first(self) -> None:
        buffer = SampleBuffer(1, ["h0", "h1"])
        buffer.add(10.0, {1: (9.0, 9.0, 9.0, 9.0)}, (9.0, 9.0, 9.0, 9.0))
        buffer.restore(job_samples())
        found = buffer.samples()
        assert list(found.seconds()) == [0.0, 1.0, 2.0, 10.0]
        assert list(found.series(Gauge.READ, 1)) == [1.0, 1.0, 1.0, 9.0]
        assert all(map(isnan, found.series(Gauge.READ, 0)))

    @pytest.mark.parametrize("before", [0, 1, 2])
    def test_clock_set_back_between_two_owners(self, before: int) -> None:
        buffer, figures = SampleBuffer(1, ["h1"]), (1.0, 1.0, 1.0, 1.0)
        for moment in range(4):
            if moment == before:
                buffer.restore(job_samples(moments=HOUR // 60))
            buffer.add(float(moment), {0: figures}, figures)
        found = buffer.samples()
        assert found.is_sound
        assert list(found.seconds())[-2:] == [found.seconds()[-3] + 1, found.seconds()[-3] + 2]


class TestFiles:
    def test_are_read_as_written(self, tmp_path: Path) -> None:
        files = SampleFiles(tmp_path)
        files.write(job_samples(5))
        assert files.read(5) == job_samples(5)
        assert files.read(6) is None
        assert (tmp_path / "samples" / "5.samples").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "samples").stat().st_mode & 0o777 == 0o700

    def test_damage_loses_only_the_chart(self, tmp_path: Path) -> None:
        files = SampleFiles(tmp_path)
        files.write(job_samples(5))
        path = tmp_path / "samples" / "5.samples"
        sound = path.read_bytes()
        for position in range(0, len(sound), 3):
            path.write_bytes(sound[:position] + bytes([sound[position] ^ 0x55]) + sound[position + 1 :])
            assert files.read(5) in (None, job_samples(5))
            path.write_bytes(sound[:position])
            assert files.read(5) is None

    @pytest.mark.parametrize(
        ("times", "figures"),
        [
            ((0.0, 1.0), (1.0,) * 4),
            ((0.0, inf), (1.0,) * 8),
            ((2.0, 1.0), (1.0,) * 8),
            ((-1.0, 1.0), (1.0,) * 8),
            ((0.0, nan), (1.0,) * 8),
            ((0.0, 1.0), (1.0,) * 7 + (inf,)),
        ],
    )
    def test_figures_that_no_job_has_are_refused(
        self, tmp_path: Path, times: tuple[float, ...], figures: tuple[float, ...]
    ) -> None:
        files = SampleFiles(tmp_path)
        host = HostSamples("h1", struct.pack(f"<{len(figures)}f", *figures))
        files.write(JobSamples(5, struct.pack("<2f", *times), bytes(32), (host,)))
        assert files.read(5) is None

    def test_bomb_is_refused(self, tmp_path: Path) -> None:
        files = SampleFiles(tmp_path)
        files.write(job_samples(5))
        bomb = msgspec.msgpack.encode(JobSamples(5, bytes(64 << 20), bytes(256 << 20)))
        (tmp_path / "samples" / "5.samples").write_bytes(samples._HEADER + zlib.compress(bomb))
        assert files.read(5) is None

    def test_links_are_neither_read_nor_written(self, tmp_path: Path) -> None:
        files = SampleFiles(tmp_path)
        files.write(job_samples(5))
        path, other = tmp_path / "samples" / "5.samples", tmp_path / "other"
        path.rename(other)
        path.symlink_to(other)
        assert files.read(5) is None
        kept = other.read_bytes()
        files.write(job_samples(5, moments=9))
        assert other.read_bytes() == kept
        assert files.read(5) == job_samples(5, moments=9)

    def test_pipe_does_not_block(self, tmp_path: Path) -> None:
        files = SampleFiles(tmp_path)
        (tmp_path / "samples").mkdir()
        os.mkfifo(tmp_path / "samples" / "5.samples")
        assert files.read(5) is None

    def test_linked_directory_is_not_changed(self, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (tmp_path / "samples").symlink_to(elsewhere)
        SampleFiles(tmp_path).write(job_samples(5))
        assert not list(elsewhere.iterdir())

    def test_oldest_are_deleted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(samples, "MAX_FILES", 10)
        monkeypatch.setattr(samples, "_SWEEP_EVERY", 1)
        files = SampleFiles(tmp_path)
        for job in range(1, 31):
            files.write(job_samples(job))
        kept = sorted(int(path.stem) for path in (tmp_path / "samples").iterdir())
        assert kept == list(range(21, 31))

    def test_drafts_of_a_killed_owner_are_deleted(self, tmp_path: Path) -> None:
        directory = tmp_path / "samples"
        directory.mkdir(mode=0o700)
        own, others = directory / f".7.samples.{os.getpid()}", directory / ".7.samples.4194305"
        for path in (own, others, directory / ".notes"):
            path.touch()
        SampleFiles(tmp_path).write(job_samples(5))
        assert {path.name for path in directory.iterdir()} == {own.name, ".notes", "5.samples"}

    def test_bytes_of_all_are_limited(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files = SampleFiles(tmp_path)
        files.write(job_samples(1))
        size = (tmp_path / "samples" / "1.samples").stat().st_size
        monkeypatch.setattr(samples, "MAX_TOTAL_BYTES", 4 * size)
        monkeypatch.setattr(samples, "_SWEEP_EVERY", 1)
        for job in range(2, 9):
            files.write(job_samples(job))
        assert len(list((tmp_path / "samples").iterdir())) <= 4

    def test_unwritable_directory_is_no_failure(self, tmp_path: Path) -> None:
        SampleFiles(tmp_path / "missing").write(job_samples(5))


def profile_at(root: Path) -> Profile:
    return Profile("local", root)


def in_loop(bench: Bench, act: Callable[[], object]) -> None:
    """Run `act` in the engine's loop, and wait."""

    async def run() -> None:
        act()

    bench.engine.call(run()).result(WAIT)


def with_moments(found: JobSamples | None, count: int) -> JobSamples | None:
    """The samples if they have this many moments."""
    return found if found is not None and len(found.seconds()) == count else None


def samples_of(client: Client, job: int) -> JobSamples | None:
    return client.fetch_samples(job).result(WAIT)


@contextmanager
def compacting(root: Path, hosts: tuple[str, ...] = ("h1", "h2")) -> Iterator[Bench]:
    """An engine in which job 1 compacts nba, and each of its hosts has reported gauges once."""
    with open_bench(root, ScriptedStorage({"nba": hosts})) as bench:
        bench.rows("ADMIN COMPACT nba")
        for host in hosts:
            bench.storage.operation("nba", host).progress(0.0, gauges=HostGauges(0, 0, 4, 10**9))
        yield bench


def pass_second(bench: Bench, *hosts: str, read: int, l0_files: int = 4) -> None:
    """Let a second pass, after which these hosts have read this many bytes in all."""
    bench.advance(1)
    for host in hosts:
        gauges = HostGauges(read, read // 2, l0_files, 10**9 - read)
        bench.storage.operation("nba", host).progress(0.5, gauges=gauges)
    in_loop(bench, bench.engine.engine.sampler.tick)


class TestSampler:
    def test_rates_by_host_and_in_total(self, tmp_path: Path) -> None:
        with compacting(tmp_path) as bench:
            pass_second(bench, "h1", read=1000)
            pass_second(bench, "h1", "h2", read=3000, l0_files=2)
            found = samples_of(bench.engine, 1)
            assert found is not None
            assert list(found.seconds()) == [1.0, 2.0]
            assert list(found.series(Gauge.READ, 0)) == [1000.0, 2000.0]
            assert list(found.series(Gauge.READ)) == [1000.0, 3500.0]  # h2 took two seconds for its 3000
            assert list(found.series(Gauge.WRITTEN, 0)) == [500.0, 1000.0]
            assert list(found.series(Gauge.L0_FILES)) == [8.0, 4.0]
            assert found.series(Gauge.FREE)[-1] == pytest.approx(10**9 - 3000, rel=1e-6)

    def test_moments_are_recorded_while_a_job_runs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sampler, "SAMPLE_SECONDS", 0.01)
        with compacting(tmp_path, ("h1",)) as bench:
            for moments in (1, 2):
                bench.advance(1)
                eventually(lambda count=moments: with_moments(samples_of(bench.engine, 1), count))

    @pytest.mark.parametrize("gap", [0, 0.001])
    def test_short_work_counts_over_its_whole_second(self, tmp_path: Path, gap: float) -> None:
        with compacting(tmp_path, ("h1",)) as it:
            it.advance(gap)
            it.storage.operation("nba", "h1").progress(1.0, gauges=HostGauges(5000, 0, 4, 10**9))
            it.advance(1 - gap)
            in_loop(it, it.engine.engine.sampler.tick)
            found = samples_of(it.engine, 1)
            assert found is not None
            assert list(found.series(Gauge.READ, 0)) == [pytest.approx(5000)]

    def test_host_that_reports_nothing_does_nothing(self, tmp_path: Path) -> None:
        with compacting(tmp_path, ("h1",)) as bench:
            pass_second(bench, "h1", read=1000)
            for _ in range(4):
                pass_second(bench, read=0)
            found = samples_of(bench.engine, 1)
            assert found is not None
            assert list(found.series(Gauge.READ)) == [1000.0, 1000.0, 1000.0, 0.0, 0.0]

    def test_written_when_the_job_ends_and_deleted_with_it(self, tmp_path: Path) -> None:
        path = profile_at(tmp_path).root / "samples" / "1.samples"
        with compacting(tmp_path, ("h1",)) as bench:
            pass_second(bench, "h1", read=1000)
            pass_second(bench, "h1", read=2000)
            assert not path.exists()
            bench.storage.operation("nba", "h1").finish()
            bench.events.until(1, Status.FINISHED)
            found = samples_of(bench.engine, 1)
            eventually(path.exists)
            assert found == samples_of(bench.engine, 1)
            reader = ReadOnlyClient.open(profile_at(tmp_path))
            assert samples_of(reader, 1) == found
            reader.close()
            bench.rows("BACKUP JOB 1 1")
            eventually(lambda: not path.exists())
            assert samples_of(bench.engine, 1) is None

    def test_another_process_sees_a_running_job(self, tmp_path: Path) -> None:
        with compacting(tmp_path) as bench:
            pass_second(bench, "h1", "h2", read=1000)
            client = RemoteClient.connect(profile_at(tmp_path))
            try:
                assert samples_of(client, 1) == samples_of(bench.engine, 1) is not None
                assert samples_of(client, 2) is None
            finally:
                client.close()

    def test_next_owner_continues(self, tmp_path: Path) -> None:
        with compacting(tmp_path, ("h1",)) as bench:
            pass_second(bench, "h1", read=1000)
            pass_second(bench, "h1", read=3000)
            bench.rows("PAUSE JOB 1")
            bench.storage.operation("nba", "h1").pause()
            bench.events.wait_for(lambda: bench.job(1).tasks[0].status is Status.QUEUE)
        later = FakeClock(FakeClock().now() + timedelta(seconds=60))
        with open_bench(tmp_path, ScriptedStorage({"nba": ["h1"]}), clock=later) as bench:
            bench.rows("RESUME JOB 1")
            operation = bench.storage.operation("nba", "h1")
            operation.progress(0.5, gauges=HostGauges(0, 0, 4, 10**9))
            pass_second(bench, "h1", read=500)
            found = eventually(lambda: with_moments(samples_of(bench.engine, 1), 3))
            assert list(found.seconds()) == [1.0, 2.0, 61.0]
            assert list(found.series(Gauge.READ)) == [1000.0, 2000.0, 500.0]

    def test_real_compaction_is_measured(self, tmp_path: Path) -> None:
        with real_bench(tmp_path, hosts={"h1": None}) as bench:
            bench.execute("CREATE SPACE nba")
            bench.fill("nba", 1, layers=3)
            gauges: list[HostGauges] = []
            bench.engine.engine.progress._on_gauges = lambda job, task, found: gauges.append(found)
            bench.done("ADMIN COMPACT nba")
        first, last = gauges[0], gauges[-1]
        assert (first.read, first.l0_files, last.l0_files) == (0, 3, 0)
        assert 900_000 < last.written <= last.read + 100_000 < 10_000_000
        assert last.free
