import asyncio
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace
from textual import events
from textual.keys import _character_to_key

from jobtui.config.settings import TuiSettings
from jobtui.engine.lifecycle import TaskOutcome, pause, requeue_task, resume, start_tasks
from jobtui.model import Job, Status, StepPosition
from jobtui.tui.actions.quit import quit_question
from jobtui.tui.text.spans import line_width, plain, wrapped
from tests.support.cluster_bench import cluster_bench
from tests.support.dashboards import DashboardBench, dashboard_bench, showing
from tests.support.made_jobs import at, submitted
from tests.support.scripted_manager import ScriptedManager


async def begin_a_job_and_leave(shown: DashboardBench) -> None:
    await shown.execute("ADMIN COMPACT nba")
    await shown.press("q")
    await shown.shows("queued or running")


def test_q_quits_at_once_without_running_jobs(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.press("q")
            await shown.until(lambda: shown.app.return_value == 0)

    asyncio.run(run())


@pytest.mark.parametrize("typed", ["?", "4", "2>D", ":x", "s", "q", "c", "\x10"])
def test_keys_sent_with_q_are_not_executed(tmp_path: Path, typed: str) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, auto=True) as shown:
            shown.bench.execute("ADMIN FLUSH nba")
            await shown.shows("✔ 1")
            for key in f"q{typed}":
                name = {"\x10": "ctrl+p"}.get(key) or _character_to_key(key)
                shown.app.post_message(events.Key(name, key))
            await shown.until(lambda: shown.app.return_value == 0)
            assert shown.app.screen_stack == [shown.dashboard]
        assert shown.app._exception is None

    asyncio.run(run())


def test_q_asks_while_jobs_run_with_stay_focused(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.execute("ADMIN COMPACT nba")
            await shown.press("q")
            await shown.shows("1 job queued or running", "job 1", "Stay", "Wait", "Stop")
            await shown.press("enter")
            await shown.shows_no_more("queued or running")
            assert shown.app.return_value is None

    asyncio.run(run())


def test_wait_quits_when_the_last_job_has_ended(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await begin_a_job_and_leave(shown)
            await shown.press("w")
            await shown.shows("leaves when all jobs have ended")
            assert shown.app.return_value is None
            shown.bench.storage.operation("nba", "local0").finish()
            await shown.until(lambda: shown.app.return_value == 0)

    asyncio.run(run())


def test_waiting_to_quit_can_be_canceled(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await begin_a_job_and_leave(shown)
            await shown.press("w")
            await shown.shows("leaves when")
            await shown.press("escape")
            await shown.shows_no_more("leaves when")
            shown.bench.storage.operation("nba", "local0").finish()
            await shown.shows("✔ finished")
            assert shown.app.return_value is None

    asyncio.run(run())


def test_stop_quits_once_the_work_has_ended(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await begin_a_job_and_leave(shown)
            await shown.press("s")
            await shown.shows("◼ stopping 0/1")
            assert shown.app.return_value is None
            shown.bench.storage.operation("nba", "local0").stop()
            await shown.until(lambda: shown.app.return_value == 0)

    asyncio.run(run())


def test_quit_typed_in_the_bar_quits_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path) as shown:
            await shown.press("colon")
            await shown.until(lambda: shown.dashboard.console.bar.is_typing)
            await shown.paste("quit")
            await shown.press("enter")
            await shown.until(lambda: shown.app.return_value == 0)

    asyncio.run(run())


def test_jobs_of_a_cluster_continue_without_a_question(tmp_path: Path) -> None:
    async def run() -> None:
        with cluster_bench(tmp_path, ScriptedManager(("nba",))) as prod:
            prod.cluster(lambda manager: manager.put("nba", 40))
            async with showing(prod.engine) as shown:
                await shown.shows("▶ 1 running")
                await shown.press("q")
                await shown.until(lambda: shown.app.return_value == 0)

    asyncio.run(run())


def test_leaving_in_the_background_yields_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.execute("ADMIN COMPACT nba")
            operation = shown.bench.storage.operation("nba", "local0")
            operation.progress(0.3, steps=StepPosition(17, 64))
            await shown.press("q")
            await shown.shows("jobs continue in the background")
            await shown.press("b")
            await shown.until(operation.control.pause.is_set)
            assert shown.app.return_value is None
            operation.pause(StepPosition(18, 64))
            await shown.until(lambda: shown.app.return_value == 0)
            job = shown.bench.job(1)
            assert (job.status, job.tasks[0].status) == (Status.RUNNING, Status.QUEUE)

    asyncio.run(run())


def test_dialog_counts_the_hosts_that_start_over(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0", "local1"]}) as shown:
            await shown.execute("ADMIN FLUSH nba")
            for host in ("local0", "local1"):
                shown.bench.storage.operation("nba", host).progress(0.3)
            await shown.press("q")
            await shown.shows("in the background, job 1 starts over on 2 hosts, up to 30% is lost")

    asyncio.run(run())


def test_job_that_starts_over_is_named_after_many_that_do_not() -> None:
    jobs = [start_tasks(submitted(number, Random(1)), [0], at(0)) for number in range(1, 9)]
    for number, job in enumerate(jobs[:-1]):
        first = replace(job.tasks[0], steps=StepPosition(1, 9))
        jobs[number] = replace(job, tasks=(first, *job.tasks[1:]))
    question = quit_question(jobs, may_continue=True, now=lambda job: job)
    texts = ["".join(text for text, _ in line) for line in question._lines]
    assert [text for text in texts if "starts over" in text] == [
        f"in the background, job 8 starts over on {jobs[-1].tasks[0].host}"
    ]


def test_question_says_what_continues_the_paused_jobs() -> None:
    working, *others = [submitted(number, Random(1)) for number in range(1, 6)]
    by_hand = [pause(job, at(0), "", "anna@db1, dashboard") for job in others[:3]]
    by_schedule = pause(others[3], at(0), "its window ended at 05:00", "schedule nightly")

    def texts(*paused: Job) -> list[str]:
        question = quit_question([working], may_continue=True, now=lambda job: job, paused=paused)
        lines = ["".join(text for text, _ in line) for line in question._lines]
        return [line for line in lines if "stay" in line]

    assert texts() == []
    assert texts(by_hand[0]) == ["job 2 stays paused: RESUME JOB continues it"]
    assert texts(*by_hand, by_schedule) == [
        "jobs 2–4 stay paused: RESUME JOB continues them",
        "job 5 stays paused: the next run of the schedule continues it, if a jobtui runs then",
    ]
    # it was resumed while the question was open
    assert texts(resume(by_schedule, at(1))) == []


def test_question_names_the_jobs_that_wait_for_a_paused_one() -> None:
    waiting = replace(submitted(2, Random(1)), space="nba")
    held = pause(start_tasks(replace(submitted(1, Random(1)), space="nba"), [0], at(0)), at(0))
    held = requeue_task(held, 0, TaskOutcome(Status.QUEUE), at(0))
    question = quit_question([waiting], may_continue=True, now=lambda job: job, paused=[held])
    texts = ["".join(text for text, _ in line) for line in question._lines]
    assert "job 2 waits for job 1, which is paused" in texts


def test_dialog_names_paused_jobs_next_to_those_that_run(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.execute("ADMIN COMPACT nba; ADMIN FLUSH nba; PAUSE JOB 2")
            await shown.press("q")
            await shown.shows("1 job queued or running", "job 2 stays paused: RESUME JOB continues it")

    asyncio.run(run())


def test_status_in_the_list_of_jobs_is_not_split() -> None:
    job = replace(
        start_tasks(submitted(1, Random(1)), [0], at(0)), space="recommendation_features_v2", paused=True
    )
    question = quit_question([job], may_continue=True, now=lambda job: job)
    (line,) = [line for line in question._lines if line[0][0].startswith("job 1 ")]
    assert plain(wrapped(line, line_width(line) - 1, hang=2)[1]) == "  ‖ pausing"


@pytest.mark.parametrize(("command", "steps"), [("FLUSH", None), ("COMPACT", StepPosition(0, 1))])
def test_dialog_names_the_jobs_that_start_over(
    tmp_path: Path, command: str, steps: StepPosition | None
) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.execute(f"ADMIN {command} nba")
            shown.bench.storage.operation("nba", "local0").progress(0.3, steps=steps)
            await shown.press("q")
            await shown.shows("in the background, job 1 starts over on local0, 30% is lost")

    asyncio.run(run())


def test_ended_jobs_are_not_handed_over(tmp_path: Path) -> None:
    async def run() -> None:
        async with dashboard_bench(tmp_path, {"nba": ["local0"]}) as shown:
            await shown.execute("ADMIN COMPACT nba")
            await shown.press("q")
            await shown.shows("1 job queued or running", "▶ running")
            shown.bench.storage.operation("nba", "local0").finish()
            await shown.shows("All jobs have ended", "✔ finished")
            await shown.press("b")
            await shown.until(lambda: shown.app.return_value == 0)

    asyncio.run(run())


class TestSwitchProfile:
    SETTINGS = TuiSettings(profiles=("local", "prod", "stage"))

    def test_key_asks_for_a_profile_and_switches(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, settings=self.SETTINGS) as shown:
                await shown.press("at")
                await shown.shows("Switch to which profile?", "1     prod", "2     stage")
                await shown.press("2")
                await shown.until(lambda: shown.app.return_value == 0)
                assert shown.app.next_profile == "stage"

        asyncio.run(run())

    def test_waits_for_running_jobs_if_the_user_wants(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, {"nba": ["local0"]}, settings=self.SETTINGS) as shown:
                await shown.execute("ADMIN COMPACT nba")
                await shown.press("colon")
                await shown.paste("profile prod")
                await shown.press("enter")
                await shown.shows(
                    "1 job queued or running",
                    "then switch to prod",
                    "Switch to prod; jobs continue in the background",
                )
                await shown.press("w")
                await shown.shows("switches to prod when all jobs have ended, esc stays")
                shown.bench.storage.operation("nba", "local0").finish()
                await shown.until(lambda: shown.app.return_value == 0)
                assert shown.app.next_profile == "prod"

        asyncio.run(run())

    def test_q_afterwards_quits(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, {"nba": ["local0"]}, settings=self.SETTINGS) as shown:
                await shown.execute("ADMIN COMPACT nba")
                await shown.press("at", "1")
                await shown.shows("then switch to prod")
                await shown.press("enter", "q")
                await shown.shows("Stop them, then leave")
                await shown.press("s")
                await shown.shows("stopping all jobs, then leaves")
                shown.bench.storage.operation("nba", "local0").stop()
                await shown.until(lambda: shown.app.return_value == 0)
                assert shown.app.next_profile == ""

        asyncio.run(run())

    @pytest.mark.parametrize(
        ("text", "toast"),
        [
            ("profile prdo", "There is no profile 'prdo'; did you mean 'prod'?"),
            ("profile local", "This is profile 'local'"),
        ],
    )
    def test_name_that_cannot_be_switched_to(self, tmp_path: Path, text: str, toast: str) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path, settings=self.SETTINGS) as shown:
                await shown.press("colon")
                await shown.paste(text)
                await shown.press("enter")
                await shown.shows(toast)
                assert shown.app.return_value is None

        asyncio.run(run())

    def test_without_another_profile(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with dashboard_bench(tmp_path) as shown:
                await shown.press("at")
                await shown.shows("There is no other profile in the config file")

        asyncio.run(run())
