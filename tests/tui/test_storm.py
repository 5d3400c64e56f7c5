"""Very many changes at once: the screen stays live, and what it shows at the end is true."""

import asyncio
import threading
from pathlib import Path

from msgspec.structs import replace

from jobtui.model import Job, JobChanged, Status, TaskProgressed
from jobtui.tui.text.spans import GLYPH
from tests.support.dashboards import DashboardBench, dashboard_bench


def truth(shown: DashboardBench) -> list[str]:
    """What the rows on screen must say, from the engine."""
    table = shown.dashboard.jobs.list.table
    rows = []
    for index in range(table.top, min(len(table.rows), table.top + table.page)):
        job = shown.bench.engine.job(table.rows.key_at(index))
        assert job is not None
        rows.append(f"{job.id}  {job.label}  {GLYPH[job.status]} {job.status.value}")
    return rows


def rows_on_screen(shown: DashboardBench) -> list[str]:
    lines = shown.screen.split("\n")
    header = next(number for number, line in enumerate(lines) if "Command" in line)
    table = shown.dashboard.jobs.list.table
    count = min(len(table.rows) - table.top, table.page)
    return lines[header + 1 : header + 1 + count]


def says_the_truth(shown: DashboardBench) -> bool:
    rows = [" ".join(row.split()) for row in rows_on_screen(shown)]
    return all(" ".join(line.split()) in row for line, row in zip(truth(shown), rows, strict=True))


def test_screen_matches_the_engine_after_many_jobs(tmp_path: Path, long: bool) -> None:
    count = 600 if long else 60
    spaces = {f"space{number}": [f"host{number}"] for number in range(4)}

    async def run() -> None:
        async with dashboard_bench(tmp_path, spaces, auto=True) as shown:
            texts = "; ".join(f"ADMIN {'FLUSH' if n % 2 else 'COMPACT'} space{n % 4}" for n in range(count))
            future = shown.bench.engine.execute(texts, shown.bench.session)
            while not future.done():
                await shown.press("down")
                await shown.press("up")
            await shown.until(lambda: shown.bench.engine.history.counts()[Status.FINISHED] == count)
            await shown.shows(f"✔ {count}", "▶ 0 running", "◷ 0 queued")
            await shown.until(lambda: len(shown.dashboard.jobs.list.rows) == count)
            await shown.until(lambda: says_the_truth(shown))

    asyncio.run(run())


def test_storm_of_messages_leaves_the_last_state_on_screen(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            shown.bench.execute("ADMIN COMPACT nba")
            await shown.shows("▶ running")
            operation = shown.bench.storage.operation("nba", "local0")
            engine = shown.bench.engine
            job = engine.job(1)
            assert job is not None

            def storm() -> None:
                for step in range(20_000):
                    engine.engine.events.publish([TaskProgressed(at(job, step / 20_000), 0, float(step))])
                    if step % 10 == 0:
                        engine.engine.events.publish([JobChanged(at(job, step / 20_000), Status.RUNNING)])
                operation.progress(0.99)

            thread = threading.Thread(target=storm)
            thread.start()
            while thread.is_alive():
                await shown.press("question_mark")
                await shown.press("escape")
            thread.join()
            await shown.until(lambda: " 99%" in shown.row("compact nba"))
            operation.finish()
            await shown.shows("✔ finished")

    asyncio.run(run())


def at(job: Job, fraction: float) -> Job:
    return replace(job, tasks=(replace(job.tasks[0], progress=fraction),))
