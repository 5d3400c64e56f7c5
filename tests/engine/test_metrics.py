"""The metrics of an engine, read with the parser of prometheus-client, and the page that lists them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from jobtui.engine.inventory import STATS_SECONDS
from jobtui.engine.metrics import METRICS, ProfileMetrics
from jobtui.engine.notify_settings import NotifyOn, NotifySettings
from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.history import StoreError
from jobtui.model import DiskReserve, Level, SpaceStats, Status, StepPosition
from jobtui.storage.base import CompactionFigures
from tests.support.engines import Bench, open_bench
from tests.support.scripted import ScriptedStorage
from tests.support.waiting import eventually

SPACES = {"nba": ("h1", "h2"), 'a "b"\\ü': ("h1",)}
PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str) -> Samples:
    """The samples of a text that the client's strict parser accepts; each must be there once."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, frozenset((sample.labels or {}).items())
            assert key not in found
            found[key] = sample.value
    return found


def metrics(bench: Bench, profile: Profile | None = None) -> ProfileMetrics:
    return ProfileMetrics(bench.engine, profile or Profile("local", Path()), has_owner=True)


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset({**labels, "profile": "local"}.items())))


def finish(bench: Bench, text: str, space: str, *hosts: str, after: int = 1500) -> None:
    done = {host: sum((o.space, o.host) == (space, host) for o in bench.storage.begun) for host in hosts}
    job = int(bench.rows(text)[0][0])
    for host in hosts:
        before = SpaceStats(levels=(Level(4, 4000),))
        operation = bench.storage.operation(space, host, nth=done[host])
        operation.finish(before, SpaceStats(levels=(Level(1, after),)))
    bench.events.until(job, Status.FINISHED)


def fail(bench: Bench, text: str, space: str, host: str) -> None:
    done = {
        each: sum((o.space, o.host) == (space, each) for o in bench.storage.begun) for each in SPACES[space]
    }
    job = int(bench.rows(text)[0][0])
    for each in SPACES[space]:
        operation = bench.storage.operation(space, each, nth=done[each])
        if each == host:
            operation.fail()
        else:
            operation.finish(SpaceStats(), SpaceStats())
    bench.events.until(job, Status.FAILED)


@pytest.fixture
def storage() -> ScriptedStorage:
    storage = ScriptedStorage(SPACES)
    storage.measured["h1"] = CompactionFigures(
        memtable=7, pending=5000, free=10**9, disk=10**10, size=4000, deletions=0.25, l0_files=9, live=1000
    )
    return storage


class TestValues:
    def test_jobs_queue_and_last_success(self, tmp_path: Path, storage: ScriptedStorage) -> None:
        with open_bench(tmp_path, storage) as bench:
            finish(bench, "ADMIN COMPACT nba", "nba", "h1", "h2")
            bench.advance(60)
            finish(bench, "ADMIN COMPACT nba", "nba", "h1", "h2", after=9000)
            stop = bench.clock.now().timestamp()
            bench.rows("ADMIN FLUSH nba")
            bench.storage.operation("nba", "h1", nth=2)
            bench.rows("ADMIN FLUSH nba; ADMIN FLUSH nba; PAUSE JOB 5")
            found = samples_of(metrics(bench).text().decode())
        jobs = {status: value(found, "jobtui_jobs", command="compact", status=status) for status in Status}
        assert jobs == {"finished": 2, "queue": 0, "running": 0, "failed": 0, "stopped": 0}
        assert value(found, "jobtui_jobs", command="flush", status="queue") == 2
        assert value(found, "jobtui_queue_jobs") == 1
        assert value(found, "jobtui_queue_oldest_timestamp_seconds") == stop
        assert value(found, "jobtui_paused_jobs") == 1
        assert value(found, "jobtui_running_tasks", space="nba") == 2
        assert value(found, "jobtui_waiting_tasks", space="nba") == 0
        assert value(found, "jobtui_last_success_timestamp_seconds", space="nba", command="compact") == stop
        assert value(found, "jobtui_last_success_timestamp_seconds", space="nba", command="flush") is None
        assert value(found, "jobtui_reclaimed_bytes_total", space="nba") == 5000
        assert value(found, "jobtui_owner_up") == 1

    def test_steps_of_a_running_compaction(self, tmp_path: Path, storage: ScriptedStorage) -> None:
        with open_bench(tmp_path, storage) as bench:
            bench.rows("ADMIN COMPACT nba")
            bench.storage.operation("nba", "h1").progress(0.5, steps=StepPosition(3, 64), waiting="no space")
            bench.events.wait_for(lambda: bench.job(1).tasks[0].waiting)
            found = samples_of(metrics(bench).text().decode())
        assert value(found, "jobtui_steps_done", space="nba", host="h1") == 3
        assert value(found, "jobtui_steps_planned", space="nba", host="h1") == 64
        assert value(found, "jobtui_waiting_tasks", space="nba") == 1

    def test_storage(self, tmp_path: Path, storage: ScriptedStorage) -> None:
        storage.down["h2"] = "the cable is out"
        profile = Profile("local", tmp_path, min_free=DiskReserve(bytes=5, share=0.1))
        with open_bench(tmp_path, storage) as bench:
            read = metrics(bench, profile)
            with ThreadPoolExecutor() as pool:
                text = pool.submit(read.text)
                # the host that is down does not answer; each space asks it
                eventually(lambda: bench.clock.advance(STATS_SECONDS) or text.done())
            found = samples_of(text.result().decode())
            storage.measured["h1"] = CompactionFigures()
            again = samples_of(read.text().decode())
        labels = {"space": "nba", "host": "h1"}
        assert value(found, "jobtui_deletions_ratio", **labels) == 0.25
        assert value(found, "jobtui_l0_files", **labels) == 9
        assert value(found, "jobtui_pending_compaction_bytes", **labels) == 5000
        assert value(found, "jobtui_reclaimable_bytes", **labels) == 3000
        assert value(found, "jobtui_size_bytes", **labels) == 4000
        assert value(found, "jobtui_memtable_bytes", **labels) == 7
        assert value(found, "jobtui_disk_free_bytes", host="h1") == 10**9
        assert value(found, "jobtui_disk_reserve_bytes", host="h1") == 10**9 + 5
        assert (value(found, "jobtui_host_up", host="h1"), value(found, "jobtui_host_up", host="h2")) == (1, 0)
        assert value(found, "jobtui_storage_scrape_success") == 1
        assert value(again, "jobtui_l0_files", **labels) == 9, "the storage is not measured at every scrape"

    @pytest.mark.parametrize(
        ("space", "label"),
        [
            ("a\nb", r"a\nb"),
            ("a\x1b[2Jb", r"a\x1b[2Jb"),
            ("a\rb\u202e", r"a\rb\u202e"),
            ("a\udcff", r"a\udcff"),
            ('a"\\b`', 'a"\\b`'),
        ],
    )
    def test_label_has_no_control_character(
        self, tmp_path: Path, storage: ScriptedStorage, space: str, label: str
    ) -> None:
        odd = ScriptedStorage({space: ("h1",)})
        odd.measured = storage.measured
        with open_bench(tmp_path, odd) as bench:
            found = samples_of(metrics(bench).text().decode())
        assert value(found, "jobtui_size_bytes", space=label, host="h1") is not None

    def test_schedules(self, tmp_path: Path, storage: ScriptedStorage) -> None:
        with open_bench(tmp_path, storage) as bench:
            bench.rows('CREATE SCHEDULE a AT "0 0 1 1 *" DO ADMIN FLUSH nba')
            bench.rows('CREATE SCHEDULE b AT "@daily" DO ADMIN FLUSH nba')
            bench.rows("PAUSE SCHEDULE b")
            found = samples_of(metrics(bench).text().decode())
        assert value(found, "jobtui_schedule_active", schedule="a") == 1
        assert value(found, "jobtui_schedule_active", schedule="b") == 0
        assert value(found, "jobtui_schedule_next_timestamp_seconds", schedule="b") is None
        # the test's clock is years behind, and so the schedule is long overdue
        assert (value(found, "jobtui_schedule_delay_seconds", schedule="a") or 0) > 3e7
        assert value(found, "jobtui_schedule_delay_seconds", schedule="b") == 0
        assert value(found, "jobtui_schedule_last_run_missed", schedule="a") == 0

    def test_archived_jobs_stay_in_the_counter(self, tmp_path: Path, storage: ScriptedStorage) -> None:
        with open_bench(tmp_path, storage) as bench:
            finish(bench, "ADMIN COMPACT nba", "nba", "h1", "h2")
            read = metrics(bench)
            before = samples_of(read.text().decode())
            bench.rows("BACKUP JOB 1 1")
            after = samples_of(read.text().decode())
        for samples, count in ((before, 1), (after, 0)):
            assert value(samples, "jobtui_jobs", command="compact", status="finished") == count
            assert value(samples, "jobtui_reclaimed_bytes_total", space="nba") == 5000

    def test_dropped_space_has_no_last_success(self, tmp_path: Path, storage: ScriptedStorage) -> None:
        with open_bench(tmp_path, storage) as bench:
            finish(bench, "ADMIN COMPACT nba", "nba", "h1", "h2")
            bench.rows("DROP SPACE nba")
            found = samples_of(metrics(bench).text().decode())
        assert value(found, "jobtui_last_success_timestamp_seconds", space="nba", command="compact") is None

    def test_last_failure(self, tmp_path: Path, storage: ScriptedStorage) -> None:
        with open_bench(tmp_path, storage) as bench:
            fail(bench, "ADMIN COMPACT nba", "nba", "h1")
            stop = bench.clock.now().timestamp()
            bench.advance(60)
            finish(bench, "ADMIN COMPACT nba", "nba", "h1", "h2")
            found = samples_of(metrics(bench).text().decode())
            bench.rows("BACKUP JOB 1 2")
            archived = samples_of(metrics(bench).text().decode())
        for samples in (found, archived):
            labels = {"space": "nba", "command": "compact"}
            assert value(samples, "jobtui_last_failure_timestamp_seconds", **labels) == stop
            assert value(samples, "jobtui_last_success_timestamp_seconds", **labels) == stop + 60

    def test_history_that_cannot_be_read(
        self, tmp_path: Path, storage: ScriptedStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse() -> None:
            raise StoreError("the disk says no")

        with open_bench(tmp_path, storage) as bench:
            monkeypatch.setattr(bench.engine.history, "totals", refuse)
            found = samples_of(metrics(bench).text().decode())
        assert value(found, "jobtui_history_readable") == 0
        assert value(found, "jobtui_queue_jobs") == 0


def test_engine_that_was_closed_during_a_scrape(tmp_path: Path, storage: ScriptedStorage) -> None:
    with open_bench(tmp_path, storage) as bench:
        read = metrics(bench)
    assert value(samples_of(read.text().decode()), "jobtui_storage_scrape_success") == 0


def test_without_an_owner_only_what_is_on_disk(tmp_path: Path, storage: ScriptedStorage) -> None:
    with open_bench(tmp_path, storage) as bench:
        finish(bench, "ADMIN COMPACT nba", "nba", "h1", "h2")
    profile = Profile("local", tmp_path)
    client = ReadOnlyClient.open(profile)
    found = samples_of(ProfileMetrics(client, profile, has_owner=False).text().decode())
    client.close()
    assert value(found, "jobtui_owner_up") == 0
    assert value(found, "jobtui_jobs", command="compact", status="finished") == 1
    names = {name for name, _ in found}
    assert not names & {"jobtui_host_up", "jobtui_l0_files", "jobtui_history_writable"}


class TestNames:
    @pytest.fixture
    def families(self, tmp_path: Path, storage: ScriptedStorage) -> list[Metric]:
        notify = NotifySettings(on=(NotifyOn.STOPPED,), command=("true",))
        with open_bench(tmp_path, storage, notify=notify) as bench:
            finish(bench, "ADMIN COMPACT nba", "nba", "h1", "h2")
            fail(bench, "ADMIN FLUSH nba", "nba", "h1")
            bench.rows(
                'CREATE SCHEDULE a AT "0 0 1 1 *" DO ADMIN FLUSH nba; ADMIN COMPACT nba; ADMIN COMPACT nba'
            )
            bench.storage.operation("nba", "h1", nth=2).progress(0.5, steps=StepPosition(3, 64))
            text = metrics(bench).text().decode()
        # node_exporter reads textfiles with the parser of the older format
        assert len(list(parse_prometheus(text))) >= len(METRICS)
        return list(text_string_to_metric_families(text))

    def test_all_are_there_as_declared(self, families: list[Metric]) -> None:
        assert [family.name for family in families] == [*METRICS]
        for family in families:
            info = METRICS[family.name]
            assert family.type == ("counter" if info.is_counter else "gauge")
            assert {*family.samples[0].labels} == {"profile", *info.labels}

    def test_conventions(self) -> None:
        """Those of https://prometheus.io/docs/practices/naming/: base units, `_total` for counters alone."""
        for name, info in METRICS.items():
            assert re.fullmatch(r"jobtui_[a-z0-9]+(_[a-z0-9]+)*", name)
            assert not name.endswith(("_total", "_count", "_sum", "_bucket"))
            assert not re.search(r"(milli|micro|kilo|mega|kib|mib|percent|minutes|hours)", name)
            assert not any(f"_{label}_" in name for label in ("profile", "space", "status"))
            assert info.meaning.endswith(".")


class TestPage:
    ROWS = re.findall(r"^\| `(jobtui_\w+)` \| (\w+) \| ([\w, ]*)\|", PAGE, re.MULTILINE)
    RULES = re.findall(r"- alert: (\w+)\n\s+expr: (.+)\n", PAGE)

    def test_every_metric_is_listed(self) -> None:
        listed = {name: (kind, tuple(re.findall(r"\w+", labels))) for name, kind, labels in self.ROWS}
        assert listed == {
            f"{name}_total" if info.is_counter else name: (
                "counter" if info.is_counter else "gauge",
                info.labels,
            )
            for name, info in METRICS.items()
        }

    def test_every_rule_uses_metrics_and_labels_that_exist(self) -> None:
        known = {name: {*re.findall(r"\w+", labels), "profile"} for name, _, labels in self.ROWS}
        assert len(self.RULES) > 10
        for alert, expression in self.RULES:
            used = re.findall(r"(jobtui_\w+)(?:\{([^}]*)\})?", expression)
            assert used, alert
            for name, matchers in used:
                assert name in known, alert
                assert {*re.findall(r"(\w+)=", matchers)} <= known[name], alert
            assert expression.count("(") == expression.count(")")

    def test_every_summary_uses_labels_of_its_metrics(self) -> None:
        known = {name: {*re.findall(r"\w+", labels), "profile"} for name, _, labels in self.ROWS}
        summaries = re.findall(r"expr: (.+)\n(?:\s+for: .+\n)?\s+annotations: (.+)\n", PAGE)
        assert len(summaries) == len(self.RULES)
        for expression, summary in summaries:
            for label in re.findall(r"\$labels\.(\w+)", summary):
                assert all(label in known[name] for name in re.findall(r"jobtui_\w+", expression)), summary

    @pytest.mark.parametrize(
        "name",
        [
            "jobtui_owner_up",
            "jobtui_last_failure_timestamp_seconds",
            "jobtui_notification_failures_total",
            "jobtui_last_success_timestamp_seconds",
            "jobtui_queue_jobs",
            "jobtui_queue_oldest_timestamp_seconds",
            "jobtui_paused_jobs",
            "jobtui_waiting_tasks",
            "jobtui_steps_done",
            "jobtui_deletions_ratio",
            "jobtui_l0_files",
            "jobtui_pending_compaction_bytes",
            "jobtui_storage_scrape_success",
            "jobtui_host_up",
            "jobtui_disk_free_bytes",
            "jobtui_schedule_delay_seconds",
            "jobtui_schedule_last_run_missed",
            "jobtui_history_readable",
            "jobtui_history_writable",
            "jobtui_history_damage",
        ],
    )
    def test_each_condition_that_wakes_an_operator_has_a_rule(self, name: str) -> None:
        assert any(re.search(rf"\b{name}\b", expression) for _, expression in self.RULES)
