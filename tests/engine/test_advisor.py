"""SHOW ADVICE, EXPLAIN and IF in an engine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobtui.language import parse
from jobtui.language.ast import Submit
from jobtui.language.results import format_json
from jobtui.model import Level, SpaceStats, Status
from jobtui.storage.base import CompactionFigures, FamilyFigures, LevelFigures
from tests.support.adoptable import adoptable
from tests.support.clock import FakeClock
from tests.support.engines import open_bench
from tests.support.real_engines import real_bench
from tests.support.scripted import ScriptedStorage

MIB = 1 << 20
_LOCK = "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, 2); print(flush=True); input()"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """The file is locked as RocksDB locks it, by another process."""
    with subprocess.Popen(
        [sys.executable, "-c", _LOCK, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


def measured(live_share: float, deletions: int = 0, l0_files: int = 1) -> CompactionFigures:
    level = LevelFigures(l0_files, 100 * MIB, 1000, deletions)
    figures = FamilyFigures("default", (level,), live_share=live_share, key_bytes=16, value_bytes=100)
    return CompactionFigures((figures,), memtable=0, pending=0, free=1000 * MIB, disk=4000 * MIB)


def two_hosts() -> ScriptedStorage:
    storage = ScriptedStorage({"nba": ("bad", "good")})
    storage.measured = {"bad": measured(0.5), "good": measured(1.0)}
    return storage


class TestShowAdvice:
    def test_worst_first_with_a_ready_statement(self, tmp_path: Path) -> None:
        storage = ScriptedStorage({"a": ("good",), "nba": ("bad", "good")})
        storage.measured = two_hosts().measured
        with open_bench(tmp_path, storage) as bench:
            rows = bench.rows("SHOW ADVICE")
            assert [row[:4] for row in rows] == [
                ("nba", "bad", "compact", "≈ 50 MiB"),
                ("a", "good", "fine", "≈ 0 B"),
                ("nba", "good", "fine", "≈ 0 B"),
            ]
            assert [row[-1] for row in rows] == ["ADMIN COMPACT nba ON bad", "", ""]
            assert len(bench.rows("SHOW ADVICE IN a")) == 1

    def test_column_families_and_levels_in_json(self, tmp_path: Path) -> None:
        storage = ScriptedStorage({"nba": ("bad",)})
        (default,) = measured(1.0).families
        levels = (LevelFigures(3, MIB, 100, 25), LevelFigures(1, 4 * MIB, 300, 75))
        edges = replace(default, name="edges", levels=levels, blob_bytes=7, blob_garbage=3)
        small = [replace(edges, name=f"f{number}", levels=levels[:1]) for number in range(200)]
        storage.measured["bad"] = CompactionFigures((*small, edges, default), memtable=0)
        with open_bench(tmp_path, storage) as bench:
            (answer,) = json.loads(format_json(bench.execute("SHOW ADVICE").results))
        first, second, *others = answer["rows"][0]["families"]
        assert (first["name"], first["size"], first["deletions"]) == ("default", 100 * MIB, 0)
        assert (second["name"], second["size"], second["deletions"]) == ("edges", 5 * MIB + 7, 0.25)
        assert (second["blob_size"], second["blob_garbage"]) == (7, 3)
        assert second["levels"][1] == {"files": 1, "size": 4 * MIB, "entries": 300, "deletions": 75}
        assert len(others) == 98

    @pytest.mark.parametrize("space", ["a\nb", "a\tb", "a.b", "a\x1b[31mb", "x" * 4097])
    def test_space_that_no_statement_can_name(self, tmp_path: Path, space: str) -> None:
        storage = ScriptedStorage({space: ("bad", "good"), "nba": ("bad",)})
        storage.measured = two_hosts().measured
        with open_bench(tmp_path, storage) as bench:
            found = {(row[0], row[1]): (row[2], row[-1]) for row in bench.rows("SHOW ADVICE")}
            assert found[space, "bad"] == ("compact", "")
            assert found["nba", "bad"] == ("compact", "ADMIN COMPACT nba")

    @pytest.mark.parametrize("space", ['a"b', "a`b", "a\\b", "\u202eb", "é" * 127])
    def test_statement_with_a_quoted_name_can_be_run(self, tmp_path: Path, space: str) -> None:
        storage = ScriptedStorage({space: ("bad", "good")})
        storage.measured = two_hosts().measured
        with open_bench(tmp_path, storage) as bench:
            (statement, *_) = [row[-1] for row in bench.rows("SHOW ADVICE")]
            (submitted,) = parse(statement)
            assert isinstance(submitted, Submit)
            assert (submitted.space, submitted.options.hosts) == (space, ("bad",))

    def test_addresses_are_named_in_quotes(self, tmp_path: Path) -> None:
        storage = ScriptedStorage({"nba": ("10.0.0.5", "10.0.0.6")})
        storage.measured = {"10.0.0.5": measured(0.5), "10.0.0.6": measured(1.0)}
        with open_bench(tmp_path, storage) as bench:
            assert [row[-1] for row in bench.rows("SHOW ADVICE")] == ['ADMIN COMPACT nba ON "10.0.0.5"', ""]
            (row,) = bench.rows('EXPLAIN ADMIN COMPACT nba ON "10.0.0.6" IF NEEDED')
            assert row[:2] == ("10.0.0.6", "skip")
            assert bench.refusal("SHOW ADVICE IN nbaa") == "Space 'nbaa' does not exist; did you mean 'nba'?"
            assert storage.begun == []

    def test_after_a_compaction(self, tmp_path: Path) -> None:
        with real_bench(tmp_path, hosts={"h1": None}) as bench:
            bench.execute("CREATE SPACE nba; USE nba")
            bench.fill("nba", 0.3, layers=3)
            (row,) = bench.execute("SHOW ADVICE").results[-1].rows
            assert (row.values["Verdict"], row.values["Last Compact"]) == ("compact", None)
            bench.done("ADMIN COMPACT")
            (row,) = bench.execute("SHOW ADVICE").results[-1].rows
            assert row.values["Verdict"] == "fine"
            assert row.values["reason"] == "gives back ≈ 0 B, deletions 0%, L0 files 0"
            assert row.values["Last Compact"] is not None


class TestExplain:
    def test_what_a_compaction_would_do(self, tmp_path: Path) -> None:
        with real_bench(tmp_path, hosts={"h1": None}) as bench:
            bench.execute("CREATE SPACE nba; USE nba")
            bench.fill("nba", 0.3, layers=3)
            (row,) = bench.execute("EXPLAIN ADMIN COMPACT nba").results[-1].rows
            assert (row.values["Action"], row.values["Steps"]) == ("compact", 1)
            assert row.values["Note"] == "the time is a guess: no earlier run on this host, 50 MiB/s assumed"
            assert bench.engine.history.counts()[Status.FINISHED] == 3  # it has queued nothing
            job = bench.done("ADMIN COMPACT nba")
            assert job.tasks[0].before is not None
            assert row.values["Rewrites"] == job.tasks[0].before.bytes
            assert abs(row.values["Gives Back"] - job.reclaimed) < 0.1 * job.reclaimed
            assert (row.values["last_took"], row.values["guess"]) == (None, False)
            (row,) = bench.execute("EXPLAIN ADMIN COMPACT nba").results[-1].rows
            assert row.values["Note"] == ""
            assert row.values["last_took"] == job.tasks[0].took

    def test_time_comes_from_earlier_runs_on_the_host(self, tmp_path: Path) -> None:
        clock = FakeClock()
        storage = two_hosts()
        storage.measured["good"] = measured(0.5)
        with open_bench(tmp_path, storage, clock=clock) as bench:
            assert [row[7:] for row in bench.rows("EXPLAIN ADMIN COMPACT nba")] == [
                ("≈ 2.2 s", "the time is a guess: no earlier run on this host, 50 MiB/s assumed")
            ] * 2
            bench.execute("ADMIN COMPACT nba ON bad")
            operation = storage.operation("nba", "bad")
            bench.events.until(1, Status.RUNNING)
            clock.advance(20.2)
            operation.finish(before=SpaceStats(levels=(Level(1, 100 * MIB),)))
            bench.events.until(1, Status.FINISHED)
            assert [row[7:] for row in bench.rows("EXPLAIN ADMIN COMPACT nba")] == [
                ("≈ 0:20", ""),
                ("≈ 2.2 s", "the time is a guess: no earlier run on this host, 50 MiB/s assumed"),
            ]

    def test_time_is_a_guess_with_blob_files(self, tmp_path: Path) -> None:
        storage = two_hosts()
        figures = storage.measured["good"]
        storage.measured["good"] = replace(
            figures, families=(replace(figures.families[0], blob_bytes=900 * MIB),)
        )
        clock = FakeClock()
        with open_bench(tmp_path, storage, clock=clock) as bench:
            bench.execute("ADMIN COMPACT nba")
            operations = [storage.operation("nba", host) for host in ("bad", "good")]
            bench.events.until(1, Status.RUNNING)
            clock.advance(2)
            for operation in operations:
                operation.finish(before=SpaceStats(levels=(Level(1, 100 * MIB),)))
            bench.events.until(1, Status.FINISHED)
            bad, good = bench.execute("EXPLAIN ADMIN COMPACT nba").results[-1].rows
            assert (bad.values["Note"], bad.values["time_guess"]) == ("", False)
            assert good.values["time_guess"]
            assert good.cells[-1] == "the time is a guess: values are in blob files"

    def test_time_of_a_flush_is_a_guess_without_earlier_runs(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, two_hosts()) as bench:
            row = bench.execute("EXPLAIN ADMIN FLUSH nba").results[-1].rows[0]
            assert row.values["time_guess"]
            assert row.cells[-1] == "the time is a guess: no earlier run on this host, 50 MiB/s assumed"

    def test_memtable_is_compacted_too(self, tmp_path: Path) -> None:
        with real_bench(tmp_path, hosts={"h1": None}) as bench:
            bench.execute("CREATE SPACE nba; USE nba")
            bench.engine.load("nba", [(b"%04d" % number, b"v" * 100) for number in range(2000)]).result(60)
            (row,) = bench.execute("EXPLAIN ADMIN COMPACT nba").results[-1].rows
            assert (row.values["Action"], row.values["Steps"]) == ("compact", 1)
            before = bench.done("ADMIN COMPACT nba").tasks[0].before
            assert before is not None
            assert before.bytes / 2 < row.values["Rewrites"] <= row.values["Room Needed"] < before.bytes * 2

    def test_refused_as_the_statement_would_be(self, tmp_path: Path) -> None:
        with real_bench(tmp_path, hosts={"h1": None}) as bench:
            bench.execute("CREATE SPACE nba; USE nba")
            assert bench.execute("EXPLAIN ADMIN COMPACT x").failure.message == "Space 'x' does not exist"
            (row,) = bench.execute('EXPLAIN ADMIN COMPACT nba WITH family = "defaul"').results[-1].rows
            assert row.values["Action"] == "refused"
            assert "did you mean 'default'?" in row.values["Note"]
            assert (row.values["last_took"], row.values["guess"]) == (None, False)

    def test_limit_of_writing(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, two_hosts(), compact_rate=MIB) as bench:
            # of 100 MiB, bad writes 50 and good 100
            for text, seconds in (("", [50, 100]), (" WITH rate = 2 MiB", [25, 50])):
                rows = bench.execute(f"EXPLAIN ADMIN COMPACT nba{text}").results[-1].rows
                assert [round(row.values["Takes About"]) for row in rows] == seconds

    def test_set_rate_and_turns(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, two_hosts()) as bench:
            bench.execute("SET RATE 1 MiB")
            text = "EXPLAIN ADMIN COMPACT nba WITH rate = 9 GiB"
            rows = bench.execute(text).results[-1].rows
            assert [round(row.values["Takes About"]) for row in rows] == [50, 100]
            notices = [
                bench.execute(f"{text}{more}").results[-1].notice
                for more in ("", ", rolling = 1, wait = 5 min")
            ]
            assert notices == [
                "≈ 1:40 in all: all at once",
                "≈ 7:30 in all: 1 host at a time, 5:00 between hosts",
            ]
            bench.execute("SET RATE OFF")
            rows = bench.execute(text).results[-1].rows
            assert [round(row.values["Takes About"]) for row in rows] == [2, 2]

    def test_runs_of_a_schedule_until_a_time(self, tmp_path: Path) -> None:
        with open_bench(tmp_path, two_hosts(), compact_rate=MIB) as bench:
            job = "ADMIN COMPACT nba WITH wait = 2 h"
            bench.execute(f'CREATE SCHEDULE nightly AT "30 2 * * *" UNTIL "03:30" DO {job}')
            bench.execute('CREATE SCHEDULE other AT "30 2 * * *" UNTIL "03:30" DO ADMIN FLUSH nba')
            total = "≈ 2:02:30 in all: 1 host at a time, 2:00:00 between hosts"
            assert bench.execute(f"EXPLAIN {job}").results[-1].notice == (
                f"{total}; schedule 'nightly' needs ≈ 3 runs of 1:00:00"
            )
            bench.execute("PAUSE SCHEDULE nightly")
            assert bench.execute(f"EXPLAIN {job}").results[-1].notice == total

    def test_too_little_free_space(self, tmp_path: Path) -> None:
        # 5 % of the 4,000 MiB stay free
        storage = ScriptedStorage({"nba": ("enough", "reserve", "only", "small")})
        storage.measured = {
            host: replace(measured(0.5), steps=steps, room_needed=free * MIB)
            for host, steps, free in (
                ("enough", 2, 800),
                ("reserve", 1, 801),
                ("only", 1, 1001),
                ("small", 2, 3801),
            )
        }
        with open_bench(tmp_path, storage) as bench:
            rows = bench.execute("EXPLAIN ADMIN COMPACT nba").results[-1].rows
            assert [row.values["Note"].partition("; ")[2] for row in rows] == [
                "",
                "it would wait for disk space: 801 MiB needed, reserve 200 MiB",
                "it would fail: the disk is too full",
                "it would fail: the disk is too full",
            ]

    def test_database_that_its_owner_has_open(self, tmp_path: Path) -> None:
        database = adoptable(tmp_path / "theirs")
        with real_bench(tmp_path / "root", hosts={"h1": None}) as bench:
            bench.execute(f'CREATE SPACE chain AT "{database}"')
            (row,) = bench.execute("EXPLAIN ADMIN COMPACT chain").results[-1].rows
            assert row.values["Action"] == "compact"
            with locked(database / "LOCK"):
                answers = [bench.execute(f"EXPLAIN ADMIN {command} chain") for command in ("COMPACT", "FLUSH")]
                (advice,) = bench.execute("SHOW ADVICE IN chain").results[-1].rows
            assert str(advice.values["reason"]).endswith("another program has the database open")
            for answer in answers:
                (row,) = answer.results[-1].rows
                assert row.values["Action"] == "refused"
                assert row.values["Note"].endswith("another program has the database open")


class TestIf:
    def test_only_hosts_that_need_it(self, tmp_path: Path) -> None:
        storage = two_hosts()
        with open_bench(tmp_path, storage) as bench:
            assert [row[1] for row in bench.rows("EXPLAIN ADMIN COMPACT nba IF NEEDED")] == ["compact", "skip"]
            bench.execute("ADMIN COMPACT nba IF NEEDED")
            storage.operation("nba", "bad").finish()
            job = bench.events.until(1, Status.FINISHED)
            assert [operation.host for operation in storage.begun] == ["bad"]
            assert job.tasks[1].reason == "not needed: gives back ≈ 0 B, deletions 0%, L0 files 1"
            assert (job.reason, job.not_needed) == ("not needed on 1 of 2 hosts", 1)

    def test_condition_is_evaluated_at_the_hosts_turn(self, tmp_path: Path) -> None:
        storage = two_hosts()
        with open_bench(tmp_path, storage) as bench:
            bench.execute("ADMIN COMPACT nba IF gain > 10% WITH rolling = 1")
            operation = storage.operation("nba", "bad")
            storage.measured["good"] = measured(0.2)
            operation.finish()
            storage.operation("nba", "good").finish()
            assert bench.events.until(1, Status.FINISHED).not_needed == 0

    def test_age_since_the_last_compaction(self, tmp_path: Path) -> None:
        storage = ScriptedStorage({"nba": ("good",)})
        storage.measured = two_hosts().measured
        with open_bench(tmp_path, storage) as bench:
            bench.execute("ADMIN COMPACT nba IF age > 1 h")
            storage.operation("nba", "good").finish()
            bench.events.until(1, Status.FINISHED)
            bench.execute("ADMIN COMPACT nba IF age > 1 h")
            job = bench.events.until(2, Status.FINISHED)
            assert job.not_needed == 1
            assert job.reason.startswith("not needed: age ")

    def test_unknown_figure_is_an_error(self, tmp_path: Path) -> None:
        storage = ScriptedStorage({"nba": ("good",)})
        storage.measured["good"] = CompactionFigures(size=100, live=50, l0_files=1)
        with open_bench(tmp_path, storage) as bench:
            bench.execute("ADMIN COMPACT nba IF deletions > 10%")
            job = bench.events.until(1, Status.FAILED)
            assert "does not report deletions" in job.reason
            assert storage.begun == []
