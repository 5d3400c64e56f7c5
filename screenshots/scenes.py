"""The views of the dashboard in every state, for `make.py --all`.

A scene is an engine whose storage is scripted (the one that the tests use), so that running jobs stand still
while a view is taken at each size and with each palette. A view is the keys that lead there in a scene.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec

from jobtui.config.settings import TuiSettings
from jobtui.engine.client import Client
from jobtui.engine.failover import FailoverClient
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.errors import ErrorCode
from jobtui.model import Level, SpaceStats, Status, StepPosition
from jobtui.storage.base import CompactionFigures, HostGauges
from jobtui.tui.text.spans import plain
from jobtui.tui.widgets.base import LinesView
from tests.support import dashboards as _cached_styles  # noqa: F401 - each of the dashboards here parses them otherwise
from tests.support.clock import FakeClock
from tests.support.cluster_bench import cluster_bench
from tests.support.engines import Bench, open_bench
from tests.support.scripted import Operation, ScriptedStorage
from tests.support.scripted_manager import ScriptedManager

if TYPE_CHECKING:
    from screenshots.make import Photographer

GIB, MIB = 1 << 30, 1 << 20
NBA = ("10.0.0.5", "10.0.0.6", "10.0.0.7")
COLD = ("cold0", "cold1")
MANY = tuple(f"h{number:02}" for number in range(1, 51))
LONG = "recommendation_features_v2"
FULL = "no space left on device (needs 1.1 GiB, 240 MiB free)"
BEFORE = SpaceStats(
    levels=(Level(6, 300 * MIB), Level(0, 0), Level(4, 800 * MIB)), memtable=3 * MIB, entries=1204112
)
AFTER = SpaceStats(levels=(Level(0, 0), Level(0, 0), Level(3, 612 * MIB)), entries=1010112)
FIGURES = CompactionFigures(
    memtable=3 * MIB,
    pending=900 * MIB,
    free=80 * GIB,
    disk=400 * GIB,
    size=1100 * MIB,
    deletions=0.34,
    l0_files=6,
    live=600 * MIB,
    steps=17,
    rewrites=1100 * MIB,
    room_needed=90 * MIB,
)


@dataclass(frozen=True)
class Scene:
    """An engine as the dashboard's client, with its clock and settings.

    `report` reports the progress of what runs, whose rates and log lines an open dashboard shows.
    """

    client: Client
    clock: FakeClock
    settings: TuiSettings
    root: Path
    space: str | None = "nba"
    report: Callable[[], None] = lambda: None


SceneMaker = Callable[[], AbstractAsyncContextManager[Scene]]
View = Callable[["Photographer"], Awaitable[None]]


class Script:
    """Runs statements on a bench and ends their tasks."""

    def __init__(self, bench: Bench, storage: ScriptedStorage) -> None:
        self.bench, self.storage = bench, storage
        self._seen: dict[tuple[str, str], int] = {}
        self._under_way: list[tuple[Operation, float, float, StepPosition]] = []

    def report(self) -> None:
        """Report again how far each operation is that is measured and has not ended."""
        measured = [work for work in self._under_way if not work[0].end.done()]
        for operation, fraction, rate, steps in measured:
            operation.progress(fraction, rate, BEFORE, steps)
        for operation, *_ in measured[-3:]:
            operation.progress(None, log=("[db/compaction] [default] [JOB 8] Compacting 4@0 + 2@1 files",))

    def begin(self, space: str, host: str) -> Operation:
        """Return the next operation on this space and host."""
        count = self._seen.get((space, host), 0)
        self._seen[space, host] = count + 1
        return self.storage.operation(space, host, count)

    def submit(self, text: str) -> int:
        """Submit a job and return its id."""
        failure = self.bench.execute(text).failure
        assert failure is None, failure
        return self.bench.engine.history.last_id()

    def run(self, text: str, space: str, hosts: tuple[str, ...], took: float = 42.0, failed: str = "") -> int:
        """Run a job that ends on each host; `failed` is the one on which it fails."""
        job_id = self.submit(text)
        begun = [self.begin(space, host) for host in hosts]
        self.bench.advance(took)
        for host, operation in zip(hosts, begun, strict=True):
            if host == failed:
                operation.fail(ErrorCode.DISK_FULL, FULL)
            else:
                operation.finish(BEFORE, AFTER)
        self.bench.events.until(job_id, Status.FAILED if failed else Status.FINISHED)
        self.bench.advance(8)
        return job_id

    def sample(self, text: str, space: str, hosts: tuple[str, ...], seconds: int) -> list[Operation]:
        """Begin a job and measure it each second; return its operations."""
        self.submit(text)
        begun = [self.begin(space, host) for host in hosts]

        async def tick() -> None:
            self.bench.engine.engine.sampler.tick()

        totals = [0] * len(begun)
        for second in range(1, seconds + 1):
            self.bench.clock.advance(1)
            for place, operation in enumerate(begun):
                rate = (40 + 9 * (place % 5) + 6 * (second % 7) + second // 3) * MIB
                totals[place] += rate
                read = totals[place]
                gauges = HostGauges(read, read // 2, max(0, 9 - second // 8), 80 * GIB - read)
                fraction = min(0.95, (0.5 + place % 5 / 10) * second / seconds)
                steps = StepPosition(second * 17 // seconds // 2, 17)
                operation.progress(fraction, rate, BEFORE, steps, gauges=gauges)
                if second == seconds:
                    self._under_way.append((operation, fraction, rate, steps))
            self.bench.engine.call(tick()).result(30)
        return begun


def busy(bench: Bench, storage: ScriptedStorage) -> Script:
    """Fill a bench with jobs in every status."""
    script = Script(bench, storage)
    script.run("ADMIN FLUSH nba", "nba", NBA, 3)
    script.run("ADMIN COMPACT nba", "nba", NBA, 2520)
    script.run("ADMIN FLUSH test2", "test2", COLD, 2)
    script.run('ADMIN COMPACT cities WITH because = "disk alarm"', "cities", MANY, 300, failed="h37")
    script.run("ADMIN COMPACT test2", "test2", COLD, 61, failed="cold0")
    script.run("RECOVER JOB 5", "test2", ("cold0", "cold1"), 55)
    script.submit("ADMIN COMPACT test2")
    stopped = [script.begin("test2", host) for host in COLD]
    stopped[0].progress(0.4, 30.0 * MIB)
    bench.advance(70)
    bench.execute("STOP JOB 7")
    for operation in stopped:
        operation.stop(BEFORE)
    bench.events.until(7, Status.STOPPED)
    script.run("ADMIN COMPACT nba", "nba", NBA, 2460)
    for _ in range(3):
        script.run("ADMIN FLUSH nba", "nba", NBA, 3)
    script.run(f"ADMIN COMPACT {LONG}", LONG, COLD, 400)
    begun = script.sample("ADMIN COMPACT cities", "cities", MANY, 90)
    for operation in begun[:31]:
        operation.finish(BEFORE, AFTER)
    bench.events.wait_for(lambda: sum(task.status.ended for task in bench.job(13).tasks) == 31)
    script.sample('ADMIN COMPACT nba WITH because = "monthly, ticket 4711"', "nba", NBA, 60)
    script.submit("ADMIN FLUSH nba")
    script.submit("ADMIN COMPACT nba")
    script.submit(f"ADMIN COMPACT {LONG}")
    held = [script.begin(LONG, host) for host in COLD]
    for operation in held:
        operation.progress(0.3, steps=StepPosition(5, 17))
    bench.execute("PAUSE JOB 17")
    for operation in held:
        operation.pause(StepPosition(6, 17))
    bench.events.wait_for(lambda: bench.job(17).tasks[0].status is not Status.RUNNING)
    for statement in (
        'CREATE SCHEDULE nightly AT "30 2 * * *" UNTIL "06:00" DO ADMIN COMPACT nba IF NEEDED',
        'CREATE SCHEDULE weekend AT "0 1 * * 6" DO ADMIN COMPACT test2',
        'CREATE SCHEDULE hourly AT "@hourly" DO ADMIN FLUSH cities',
        "PAUSE SCHEDULE hourly",
        "BACKUP JOB 3 3",
    ):
        failure = bench.execute(statement).failure
        assert failure is None, failure
    bench.settle()
    return script


@asynccontextmanager
async def running_scene(**settings: object) -> AsyncIterator[Scene]:
    """Yield jobs in every status."""
    storage = ScriptedStorage({"nba": NBA, "test2": COLD, "cities": MANY, LONG: COLD})
    for position, host in enumerate((*NBA, *COLD, *MANY)):
        storage.measured[host] = msgspec.structs.replace(
            FIGURES, deletions=0.05 * (position % 9), l0_files=position % 9
        )
        storage.sizes[host] = BEFORE
    clock = FakeClock()
    with (
        tempfile.TemporaryDirectory(prefix="jobtui-scenes-") as root,
        open_bench(Path(root), storage, clock=clock) as bench,
    ):
        script = await asyncio.to_thread(busy, bench, storage)
        views = TuiSettings(profiles=("local", "prod", "staging"), **settings)  # type: ignore[arg-type]
        yield Scene(bench.engine, clock, views, Path(root), report=script.report)


@asynccontextmanager
async def new_scene() -> AsyncIterator[Scene]:
    """Yield a profile without spaces and jobs."""
    with (
        tempfile.TemporaryDirectory(prefix="jobtui-scenes-") as root,
        open_bench(Path(root), ScriptedStorage({})) as bench,
    ):
        yield Scene(bench.engine, bench.clock, TuiSettings(), Path(root), None)


@asynccontextmanager
async def first_scene() -> AsyncIterator[Scene]:
    """Yield spaces without jobs."""
    storage = ScriptedStorage({"cities": NBA, "nba": NBA})
    with tempfile.TemporaryDirectory(prefix="jobtui-scenes-") as root, open_bench(Path(root), storage) as bench:
        yield Scene(bench.engine, bench.clock, TuiSettings(), Path(root), None)


@asynccontextmanager
async def storm_scene() -> AsyncIterator[Scene]:
    """Yield thousands of jobs."""
    storage = ScriptedStorage({f"space{number:02}": ("local0",) for number in range(40)}, auto=True)
    with tempfile.TemporaryDirectory(prefix="jobtui-scenes-") as root, open_bench(Path(root), storage) as bench:

        def run() -> None:
            for _ in range(50):
                bench.execute("; ".join(f"ADMIN FLUSH space{number:02}" for number in range(40)))
            bench.engine.wait_idle().result(60)
            storage.auto = False
            bench.execute("; ".join(f"ADMIN COMPACT space{number:02}" for number in range(40)))
            storage.operation("space00", "local0", 50).progress(0.4, 40.0 * MIB)

        await asyncio.to_thread(run)
        yield Scene(bench.engine, bench.clock, TuiSettings(), Path(root), None)


@asynccontextmanager
async def read_only_scene() -> AsyncIterator[Scene]:
    """Yield a profile that is open for reading only, with a color."""
    async with running_scene() as scene:
        client = FailoverClient(Profile("prod", scene.root, read_only=True))
        try:
            settings = TuiSettings(profile_color="red", profiles=("prod", "staging"))
            yield Scene(client, scene.clock, settings, scene.root)
        finally:
            client.close()


@asynccontextmanager
async def cluster_scene() -> AsyncIterator[Scene]:
    """Yield a cluster that manages its jobs itself."""
    manager = ScriptedManager(("nba", "test2"))
    with (
        tempfile.TemporaryDirectory(prefix="jobtui-scenes-") as root,
        cluster_bench(Path(root), manager) as prod,
    ):

        def run() -> None:
            prod.cluster(lambda manager: manager.put("test2", 39, Status.FINISHED, command="compact"))
            prod.cluster(lambda manager: manager.put("test2", 40, Status.FAILED, command="stats"))
            prod.cluster(lambda manager: manager.put("test2", 41, command="rebuild tag index"))
            prod.cluster(lambda manager: manager.put("nba", 7, command="compact"))
            prod.events.until(4, Status.RUNNING)

        await asyncio.to_thread(run)
        yield Scene(prod.engine, prod.clock, TuiSettings(profile_color="yellow"), Path(root))


@asynccontextmanager
async def full_scene() -> AsyncIterator[Scene]:
    """Yield a profile whose disk is full."""
    async with first_scene() as scene:
        problem = (
            "The disk that holds /var/lib/jobtui/local/history is full: free some space on it. "
            "No new job is accepted until then; jobtui continues by itself"
        )
        # stated, since a small disk to fill needs root
        with patch.object(LocalClient, "write_error", property(lambda _client: problem)):
            yield scene


def keys(*pressed: str) -> View:
    """Return a view that these keys lead to."""

    async def view(photographer: Photographer) -> None:
        for key in pressed:
            if key.startswith("="):
                await photographer.type(key[1:])
            else:
                await photographer.press(key)
        await photographer.settle()

    return view


def job(number: int, *then: str) -> View:
    """Return the view of a job on the whole screen, then of these keys."""

    async def view(photographer: Photographer) -> None:
        await keys("colon", f"={number}", "enter")(photographer)
        await photographer.until(lambda: photographer.app.dashboard.jobs.list.table.cursor_key == number)
        await keys("enter", *then)(photographer)

    return view


async def legend(photographer: Photographer) -> None:
    """Show the help from its explanation of the signs on."""
    await keys("question_mark")(photographer)
    await scroll_to_signs(photographer)


async def scroll_to_signs(photographer: Photographer) -> None:
    """Scroll the help to its explanation of the signs."""
    body = photographer.app.screen.query_one(LinesView)
    first = next(row for row, line in enumerate(body.lines) if plain(line) == "Signs")
    body.scroll_to(y=first, animate=False)
    await photographer.settle()


RESIZED: dict[str, View] = {"help-legend": scroll_to_signs, "help-end": keys("end")}
"""The keys that lead to a view again after a resize, which wraps its lines differently."""
TAB = "right_square_bracket"
RUNNING: dict[str, View] = {
    "jobs": keys(),
    "jobs-top": keys("home"),
    "jobs-filter": keys("slash", "=status:failed"),
    "jobs-filter-done": keys("slash", "=status:failed", "enter"),
    "jobs-filter-completion": keys("slash", "=sta"),
    "jobs-nothing": keys("slash", "=space:nowhere", "enter"),
    "jobs-marks": keys("home", "space", "space", "space", "space"),
    "running-tasks": job(14),
    "running-timeline": job(14, TAB),
    "running-chart": job(14, TAB, TAB),
    "running-storage": job(14, TAB, TAB, TAB),
    "running-log": job(14, TAB, TAB, TAB, TAB),
    "many-tasks": job(13),
    "many-timeline": job(13, TAB),
    "many-chart": job(13, TAB, TAB),
    "many-storage": job(13, TAB, TAB, TAB),
    "failed-tasks": job(4),
    "failed-timeline": job(4, TAB),
    "failed-chart": job(4, TAB, TAB),
    "failed-storage": job(4, TAB, TAB, TAB),
    "failed-events": job(4, TAB, TAB, TAB, TAB),
    "recovered-tasks": job(6),
    "stopped-tasks": job(7),
    "paused-tasks": job(17),
    "queued-tasks": job(16),
    "queued-storage": job(16, TAB, TAB, TAB),
    "finished-tasks": job(8),
    "finished-storage": job(8, TAB, TAB, TAB),
    "finished-events": job(8, TAB, TAB, TAB, TAB),
    "spaces": keys("2"),
    "hosts": keys("3"),
    "archive": keys("4"),
    "advice": keys("5"),
    "schedules": keys("6"),
    "schedule-form": keys("6", "n"),
    "overview": keys("7"),
    "log": keys("r", "l"),
    "help": keys("question_mark"),
    "help-legend": legend,
    "help-end": keys("question_mark", "end"),
    "bar-completion": keys("colon", "=ADMIN CO"),
    "bar-options": keys("colon", "=ADMIN COMPACT nba WITH "),
    "bar-result": keys("colon", "=SHOW JOB 4", "enter", "=SHOW SPACES", "enter"),
    "bar-error": keys("colon", "=ADMIN COMPACT nbaa", "enter", "=SHOW JBO 3"),
    "stop-question": keys("home", "s"),
    "bulk-question": keys("home", "space", "space", "space", "space", "space", "s"),
    "recover-question": keys("slash", "=id:4", "enter", "r"),
    "archive-question": keys("slash", "=id:8", "enter", "b"),
    "compact-question": keys("2", "C"),
    "columns": keys("c"),
    "copy": keys("y"),
    "export": keys("x"),
    "profiles": keys("at"),
    "palette": keys("ctrl+p"),
    "palette-views": keys("ctrl+p", "=view"),
    "quit-question": keys("q"),
}
SCENES: dict[str, tuple[SceneMaker, dict[str, View]]] = {
    "busy": (running_scene, RUNNING),
    "new": (
        new_scene,
        {
            "jobs": keys(),
            "spaces": keys("2"),
            "hosts": keys("3"),
            "advice": keys("5"),
            "schedules": keys("6"),
            "overview": keys("7"),
            "log": keys("l"),
            "archive": keys("4"),
        },
    ),
    "first": (first_scene, {"jobs": keys()}),
    "storm": (storm_scene, {"jobs": keys(), "spaces": keys("2"), "overview": keys("7")}),
    "readonly": (read_only_scene, {"jobs": keys(), "spaces": keys("2"), "schedules": keys("6")}),
    "cluster": (
        cluster_scene,
        {"jobs": keys(), "detail": keys("home", "enter"), "hosts": keys("3"), "help": keys("question_mark")},
    ),
    "full": (full_scene, {"jobs": keys(), "spaces": keys("2")}),
}
