"""The metrics of a profile, as OpenMetrics.

`METRICS` declares each of them; docs/metrics.md lists them for users. They are read through a `Client`, so that
any process can read them: without an owner, what only the owner can measure is left out.

This module imports prometheus-client: import it only where metrics are asked for.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector
from typing_extensions import override

from jobtui import __version__
from jobtui.engine import notifications, schedules
from jobtui.engine.client import Client, Session
from jobtui.engine.profile import Profile
from jobtui.engine.schedules import MISSED, Schedule
from jobtui.errors import OwnerUnavailable, StorageError
from jobtui.formatting import printable
from jobtui.history import StoreError
from jobtui.model import Job, JobCommand, Status
from jobtui.storage.base import Host

T = TypeVar("T")
MEASURE_SECONDS = 60.0
"""How long what the storage reports is kept: SHOW ADVICE reads parts of the files of every database."""
ANSWER_SECONDS = 8.0
"""The time for the storage to answer, since Prometheus waits for 10 s; later answers are left out."""
OTHER_COMMAND = "other"
"""The label of the commands that are a cluster's own."""


class MetricInfo(msgspec.Struct, frozen=True):
    """A metric's meaning, its labels besides `profile`, and whether it only ever rises."""

    meaning: str
    labels: tuple[str, ...] = ()
    is_counter: bool = False


METRICS: Mapping[str, MetricInfo] = {
    "jobtui_build_info": MetricInfo("The version of jobtui; always 1.", ("version",)),
    "jobtui_owner_up": MetricInfo("Whether a process runs the profile's jobs, and answers."),
    "jobtui_jobs": MetricInfo("The jobs in the history that are not archived.", ("command", "status")),
    "jobtui_queue_jobs": MetricInfo("The jobs that wait in the queue, without paused ones."),
    "jobtui_queue_oldest_timestamp_seconds": MetricInfo("When the oldest of these jobs was submitted."),
    "jobtui_paused_jobs": MetricInfo("The jobs that are paused."),
    "jobtui_running_tasks": MetricInfo("The tasks that run: one per job and host.", ("space",)),
    "jobtui_waiting_tasks": MetricInfo("The running tasks that wait, for disk space for example.", ("space",)),
    "jobtui_steps_done": MetricInfo("The finished steps of a running compaction.", ("space", "host")),
    "jobtui_steps_planned": MetricInfo("All steps of a running compaction.", ("space", "host")),
    "jobtui_last_success_timestamp_seconds": MetricInfo(
        "When the last job that finished ended.", ("space", "command")
    ),
    "jobtui_last_failure_timestamp_seconds": MetricInfo(
        "When the last job that failed ended.", ("space", "command")
    ),
    "jobtui_reclaimed_bytes": MetricInfo(
        "The bytes that all jobs reclaimed, archived ones included.", ("space",), is_counter=True
    ),
    "jobtui_deletions_ratio": MetricInfo(
        "The share of deletions among the entries, 0 to 1.", ("space", "host")
    ),
    "jobtui_l0_files": MetricInfo("The most files in level 0 of a column family.", ("space", "host")),
    "jobtui_pending_compaction_bytes": MetricInfo(
        "RocksDB's estimate of the bytes to compact.", ("space", "host")
    ),
    "jobtui_reclaimable_bytes": MetricInfo(
        "The estimate of the bytes that a compaction would reclaim.", ("space", "host")
    ),
    "jobtui_size_bytes": MetricInfo("The bytes of all files.", ("space", "host")),
    "jobtui_memtable_bytes": MetricInfo("The bytes in memory.", ("space", "host")),
    "jobtui_storage_scrape_success": MetricInfo("Whether the storage reported its figures."),
    "jobtui_host_up": MetricInfo("Whether the storage host can be used.", ("host",)),
    "jobtui_disk_free_bytes": MetricInfo("The free bytes of the host's disk.", ("host",)),
    "jobtui_disk_reserve_bytes": MetricInfo("The bytes that compactions leave free (min_free).", ("host",)),
    "jobtui_schedule_active": MetricInfo("Whether the schedule is not paused.", ("schedule",)),
    "jobtui_schedule_next_timestamp_seconds": MetricInfo("When the schedule is due next.", ("schedule",)),
    "jobtui_schedule_delay_seconds": MetricInfo(
        "How late the last run began, or how long a run is overdue.", ("schedule",)
    ),
    "jobtui_schedule_last_run_missed": MetricInfo(
        "Whether the newest run was skipped, or could not start its job.", ("schedule",)
    ),
    "jobtui_notification_failures": MetricInfo(
        "The notifications that could not be delivered.", is_counter=True
    ),
    "jobtui_history_readable": MetricInfo("Whether the history can be read."),
    "jobtui_history_writable": MetricInfo("Whether the owner can write the history."),
    "jobtui_history_damage": MetricInfo(
        "The damaged places that were found in the history since it was opened."
    ),
}
"""Every metric by its name; a counter's sample has `_total` after it. Each also has the label `profile`."""

_ADVICE_VALUES = {
    "jobtui_deletions_ratio": "Deletions",
    "jobtui_l0_files": "L0 Files",
    "jobtui_pending_compaction_bytes": "Pending",
    "jobtui_reclaimable_bytes": "Gives Back",
    "jobtui_size_bytes": "size",
    "jobtui_memtable_bytes": "In Memory",
}
"""The metrics of a space on a host, and their names in the result of SHOW ADVICE."""


class StorageFigures(msgspec.Struct, frozen=True):
    """The figures of the storage: its hosts, and the rows of SHOW ADVICE."""

    hosts: tuple[Host, ...] = ()
    advice: tuple[Mapping[str, Any], ...] = ()
    is_whole: bool = False


class ProfileMetrics(Collector):
    """The metrics of one profile, read at each scrape. Any thread.

    `has_owner`: whether the client runs the jobs, or is connected to the process that does.
    """

    def __init__(self, client: Client, profile: Profile, *, has_owner: bool) -> None:
        self._client = client
        self._profile = profile
        self._has_owner = has_owner
        self._mutex = threading.Lock()
        self._figures = StorageFigures()
        self._measured = float("-inf")
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def text(self) -> bytes:
        """Return all metrics as text."""
        text: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return text

    @override
    def collect(self) -> Iterable[Metric]:
        # two scrapes at a time would measure twice
        with self._mutex:
            samples = _Samples(self._profile.name)
            for name, labels, value in self._read():
                samples.add(name, labels, value)
            return samples.families()

    def _read(self) -> Iterator[tuple[str, tuple[str, ...], float | None]]:
        yield "jobtui_build_info", (__version__,), 1
        yield "jobtui_owner_up", (), self._has_owner
        try:
            self._client.history.refresh()
            samples = list(self._read_history())
        except StoreError:
            samples = []
        yield "jobtui_history_readable", (), bool(samples)
        yield from samples
        yield from _read_active(self._client.active_jobs())
        if self._has_owner:
            yield from self._read_storage()
        yield from self._read_schedules()
        if (notified := notifications.load_progress(self._client.history.path)) is not None:
            yield "jobtui_notification_failures", (), notified.failures

    def _read_history(self) -> Iterator[tuple[str, tuple[str, ...], float | None]]:
        history = self._client.history
        totals = history.totals()
        known = {command.value for command in JobCommand}
        # a metric whose value may become 0 is never absent: an alert on an absent one is never raised
        jobs = Counter({(command, status): 0 for command in known for status in Status})
        for (command, status), count in totals.counts.items():
            jobs[command if command in known else OTHER_COMMAND, status] += count
        for (command, status), count in sorted(jobs.items()):
            yield "jobtui_jobs", (command, status.value), count
        ends: dict[tuple[str, str, Status], float] = {}
        for (space, command, status), stop in totals.last_ends.items():
            row = space, command if command in known else OTHER_COMMAND, status
            ends[row] = max(stop.timestamp(), ends.get(row, 0.0))
        spaces = set(self._client.space_names())
        for (space, command, status), last in sorted(ends.items()):
            # the age of the last job of a dropped space would rise for ever
            if space in spaces:
                name = "success" if status is Status.FINISHED else "failure"
                yield f"jobtui_last_{name}_timestamp_seconds", (space, command), last
        for space, reclaimed in sorted(totals.reclaimed.items()):
            yield "jobtui_reclaimed_bytes", (space,), reclaimed
        if self._has_owner:
            yield "jobtui_history_writable", (), not self._client.write_error
        yield "jobtui_history_damage", (), len(history.notes)

    def _read_storage(self) -> Iterator[tuple[str, tuple[str, ...], float | None]]:
        if time.monotonic() - self._measured > MEASURE_SECONDS:
            self._figures = self._measure()
            self._measured = time.monotonic()
        figures = self._figures
        yield "jobtui_storage_scrape_success", (), figures.is_whole
        disks: dict[str, int] = {}
        for row in figures.advice:
            place = str(row["Space"]), str(row["Host"])
            for name, key in _ADVICE_VALUES.items():
                yield name, place, row[key]
            if row.get("disk") is not None:
                disks[place[1]] = row["disk"]
        for host in figures.hosts:
            yield "jobtui_host_up", (host.name,), host.up and not host.unconfigured
            yield "jobtui_disk_free_bytes", (host.name,), host.free
            if host.name in disks:
                reserve = self._profile.min_free.of(disks[host.name])
                yield "jobtui_disk_reserve_bytes", (host.name,), reserve

    def _measure(self) -> StorageFigures:
        end = time.monotonic() + ANSWER_SECONDS
        try:
            asked_overview = self._client.fetch_overview()
            asked_advice = self._client.execute("SHOW ADVICE", Session())
        except RuntimeError:  # the engine was closed while a scrape was under way
            return StorageFigures()
        overview, advice = _result(asked_overview, end), _result(asked_advice, end)
        rows = () if advice is None else tuple(row.values for result in advice.results for row in result.rows)
        is_whole = overview is not None and advice is not None and advice.failure is None
        return StorageFigures(() if overview is None else overview.hosts, rows, is_whole)

    def _read_schedules(self) -> Iterator[tuple[str, tuple[str, ...], float | None]]:
        now = datetime.now(UTC)
        for name, schedule in sorted(schedules.load_schedules(self._client.history.path).schedules.items()):
            yield "jobtui_schedule_active", (name,), not schedule.paused
            if schedule.next is not None:
                yield "jobtui_schedule_next_timestamp_seconds", (name,), schedule.next.timestamp()
            yield "jobtui_schedule_delay_seconds", (name,), self._delay(schedule, now)
            is_missed = bool(schedule.runs) and schedule.runs[-1].outcome in MISSED
            yield "jobtui_schedule_last_run_missed", (name,), is_missed

    def _delay(self, schedule: Schedule, now: datetime) -> float:
        overdue = 0.0 if schedule.next is None else (now - schedule.next).total_seconds()
        run = next((run for run in reversed(schedule.runs) if run.job is not None), None)
        job = None if run is None or run.job is None else self._client.job(run.job)
        late = 0.0 if run is None or job is None else (job.submitted - run.at).total_seconds()
        return max(0.0, overdue, late)


def _result(future: Future[T], end: float) -> T | None:
    """Return the result of a request to the storage, None if it failed or is not there at that time."""
    try:
        return future.result(max(0.1, end - time.monotonic()))
    except (StorageError, StoreError, OwnerUnavailable, TimeoutError):
        return None


def _read_active(jobs: Iterable[Job]) -> Iterator[tuple[str, tuple[str, ...], float | None]]:
    jobs = list(jobs)
    queued = [job for job in jobs if job.status is Status.QUEUE and not job.paused]
    yield "jobtui_queue_jobs", (), len(queued)
    if queued:
        yield "jobtui_queue_oldest_timestamp_seconds", (), min(job.submitted for job in queued).timestamp()
    yield "jobtui_paused_jobs", (), sum(job.paused for job in jobs)
    for job in jobs:
        running = [task for task in job.tasks if task.status is Status.RUNNING]
        if not running:
            continue
        yield "jobtui_running_tasks", (job.space,), len(running)
        yield "jobtui_waiting_tasks", (job.space,), sum(bool(task.waiting) for task in running)
        for task in running:
            if task.steps is not None:
                yield "jobtui_steps_done", (job.space, task.host), task.steps.done
                yield "jobtui_steps_planned", (job.space, task.host), task.steps.total


class _Samples:
    """The samples of one scrape; those with the same labels are added up."""

    def __init__(self, profile: str) -> None:
        self._profile = profile
        self._values: dict[str, dict[tuple[str, ...], float]] = {}

    def add(self, name: str, labels: tuple[str, ...], value: float | None) -> None:
        """Add a sample; None is a value that is not known."""
        if value is not None:
            values = self._values.setdefault(name, {})
            # some parsers refuse control characters, all of them lone surrogates; before the sum, so that two
            # names that become equal have one sample
            shown = tuple(map(printable, labels))
            values[shown] = values.get(shown, 0.0) + value

    def families(self) -> list[Metric]:
        """Return the metrics that have a sample, in the order of their declaration."""
        found: list[Metric] = []
        for name, info in METRICS.items():
            if name in self._values:
                kind = CounterMetricFamily if info.is_counter else GaugeMetricFamily
                family = kind(name, info.meaning, labels=("profile", *info.labels))
                for labels, value in self._values[name].items():
                    family.add_metric((self._profile, *labels), value)
                found.append(family)
        return found
