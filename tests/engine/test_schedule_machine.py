"""The schedules in any order of events: a state machine with a simulated clock, disk and owner."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from jobtui.engine import lifecycle, schedules
from jobtui.engine.lifecycle import TaskOutcome
from jobtui.engine.schedules import RunAction, Schedule, next_time
from jobtui.errors import StatementRefused
from jobtui.model import Job, Status, StepPosition
from tests.support.made_schedules import ZONES, at, job

STEP = timedelta(minutes=25)
"""The time of a step: the window ends within one, and several of them fill the window of a night."""
STEPS = 40


class World:
    """A schedule on a simulated disk, its jobs, a clock, and an owner that may end at any point.

    Every run that begins is noted with its time, every record with the times that it stands for. The host of
    the job works step by step: a pause lets the step under way finish, and the next run continues after it.
    """

    def __init__(self, cron: str, until: str | None, zone: str, seed: int = 0) -> None:
        self.now = at("2026-03-20T12:00Z") + timedelta(hours=seed % 5000)
        self.zone = ZoneInfo(zone)
        self.disk = schedules.activate(
            Schedule("s", cron, "compact", "nba", self.now, self.now, until=until, timezone=zone), self.now
        )
        self.jobs: dict[int, Job] = {}
        self.ended: set[int] = set()
        self.by_user: set[int] = set()
        self.recovered: set[int] = set()
        self.alive = True
        self.begun: list[datetime] = []
        self.recorded: set[datetime] = set()
        self.ranges: list[tuple[datetime, datetime]] = []
        self.expected_after = self.now
        self.expected: list[datetime] = []
        self.step_end: datetime | None = None
        self.overrun = timedelta(0)
        self.chains: dict[int, int] = {}
        self.finished: set[tuple[int, int]] = set()

    def job(self) -> Job | None:
        number = self.disk.job
        return None if number is None or number in self.ended else self.jobs[number]

    def interrupted(self) -> Job | None:
        found = None if self.disk.job is None else self.jobs[self.disk.job]
        is_left = found is not None and lifecycle.was_interrupted(found) and found.id not in self.recovered
        return found if is_left else None

    def begin_step(self) -> None:
        """Let the host begin the next step of a job that may work, unless a step is under way."""
        found = self.job()
        if self.step_end is not None or found is None or found.paused:
            return
        end = self.disk.window_end
        if found.id not in self.by_user and self.disk.until:
            assert end is not None, "a step began without an end of its window"
            assert self.now < end, "a step began outside its window"
        if found.tasks[0].status is not Status.RUNNING:
            self.jobs[found.id] = lifecycle.start_tasks(found, [0], self.now)
        self.step_end = self.now + STEP

    def end_step(self) -> None:
        """Record the finished step; a paused job yields, and with its last step a job ends."""
        assert self.disk.job is not None
        number = self.disk.job
        found, self.step_end = self.jobs[number], None
        before = found.tasks[0].steps or StepPosition(0, STEPS)
        done = before.done + 1
        assert (self.chains[number], done) not in self.finished, "a step was done twice"
        self.finished.add((self.chains[number], done))
        if self.disk.held and (end := self.disk.runs[-1].end):
            self.overrun = max(self.overrun, self.now - end)
        found = lifecycle.record_steps(found, {0: replace(before, done=done)})
        if done == STEPS:
            found = lifecycle.finish_task(found, 0, TaskOutcome(Status.FINISHED), self.now)
            self.ended.add(number)
        elif found.paused:
            found = lifecycle.requeue_task(found, 0, TaskOutcome(Status.QUEUE), self.now)
        self.jobs[number] = found

    def check(self, crash_at: int | None = None) -> None:
        """What the runner does; with `crash_at`, the owner ends before its nth write or action."""
        steps = 0

        def crashes() -> bool:
            nonlocal steps
            steps += 1
            return steps == crash_at

        while True:
            step = schedules.advance(self.disk, self.now, self.job(), len(self.jobs), self.interrupted())
            if step.schedule != self.disk:
                if crashes():
                    break
                self.write(step.schedule)
            if step.action is None:
                return
            if crashes() or not self.act(step.action, crashes):
                break
        self.alive = False

    def act(self, action: RunAction, crashes: object = None) -> bool:
        schedule = self.disk
        if action is RunAction.PAUSE:
            assert schedule.job is not None
            self.jobs[schedule.job] = lifecycle.pause(self.jobs[schedule.job], self.now)
            return True
        run = schedule.runs[-1]
        if not run.by_hand and run.recovers is None:
            self.begun.append(run.at)
        if action is RunAction.CONTINUE:
            assert schedule.job is not None
            number = schedule.job
            self.jobs[number] = lifecycle.resume(self.jobs[number], self.now)
        else:
            assert self.job() is None, "two jobs of a schedule at once"
            if run.recovers is not None:
                assert run.recovers not in self.recovered, "an interrupted job was continued twice"
                assert run.recovers == schedule.job
                self.recovered.add(run.recovers)
            else:
                assert self.interrupted() is None, "an interrupted job was not continued"
            number = len(self.jobs) + 1
            old = None if run.recovers is None else self.jobs[run.recovers].tasks[0].steps
            self.jobs[number] = with_steps(job(number), old)
            self.chains[number] = number if run.recovers is None else self.chains[run.recovers]
        self.by_user.discard(number)
        if callable(crashes) and crashes():
            return False
        self.write(schedules.record_start(schedule, number))
        return True

    def write(self, after: Schedule) -> None:
        for run in after.runs:
            if not run.by_hand:
                self.recorded.add(run.at)
                if run.last is not None and (run.at, run.last) not in self.ranges:
                    self.ranges.append((run.at, run.last))
        self.disk = after

    def end_job(self) -> None:
        if self.disk.job is not None:
            self.ended.add(self.disk.job)
        self.step_end = None

    def leave(self, *, killed: bool) -> None:
        """End the owner; if it is killed, in the middle of a step of every job that may work."""
        self.alive, self.step_end = False, None
        for number in self.jobs.keys() - self.ended:
            found = self.jobs[number]
            is_running = found.tasks[0].status is Status.RUNNING
            if killed and not is_running and not found.paused:
                self.jobs[number] = lifecycle.start_tasks(found, [0], found.submitted)
            elif not killed and is_running:
                self.jobs[number] = lifecycle.requeue_task(found, 0, TaskOutcome(Status.QUEUE), self.now)

    def start(self) -> None:
        self.alive = True
        for number in self.jobs.keys() - self.ended:
            if lifecycle.is_interrupted(self.jobs[number]):
                self.jobs[number] = lifecycle.interrupt(self.jobs[number], self.now)
                if self.jobs[number].status.ended:
                    self.ended.add(number)
        if schedules.is_starting(self.disk):
            after = self.disk.runs[-1].after
            newer = [self.jobs[number] for number in self.jobs if number > after]
            resumed = self.disk.runs[-1].job
            current = None if resumed is None or resumed in self.ended else self.jobs[resumed]
            self.write(schedules.resolve_start(self.disk, newer, current))
        self.write(schedules.end_window(self.disk, self.now, self.job(), self.interrupted()).schedule)
        self.check()

    def pass_time(self, span: timedelta) -> None:
        """Let the time go by; an owner wakes at each moment of the schedule."""
        target = self.now + span
        self.expect(target)
        while self.alive:
            self.begin_step()
            moments = (schedules.next_decision_time(self.disk), self.step_end)
            moment = min((each for each in moments if each is not None), default=None)
            if moment is None or moment > target:
                break
            self.now = max(self.now, moment)
            self.check()
            if self.alive and self.step_end is not None and self.now >= self.step_end:
                self.end_step()
        self.now = target
        if self.alive:
            self.check()

    def expect(self, until: datetime) -> None:
        """Note the times that must have a record by `until`."""
        if self.disk.paused:
            self.expected_after = max(self.expected_after, until)
            return
        while True:
            following = next_time(self.disk.at, self.expected_after, self.zone)
            if following is None or following > until:
                break
            self.expected.append(following)
            self.expected_after = following

    def jump(self, span: timedelta) -> None:
        self.expect(self.now + span)
        self.now += span
        if self.step_end is not None:
            self.step_end += span
        if self.alive:
            self.check()

    def verify(self) -> None:
        assert len(self.begun) == len(set(self.begun)), "a time was run twice"
        if not self.alive:
            return
        found = self.job()
        end = self.disk.window_end
        if found is not None and not found.paused and found.id not in self.by_user and self.disk.until:
            assert end is not None, "a job works without an end of its window"
            assert self.now < end, "a job works outside its window"
        missing = [
            each
            for each in self.expected
            if each <= self.now
            and each not in self.recorded
            and not any(first <= each <= last for first, last in self.ranges)
        ]
        assert not missing, f"no record of {missing[:3]}"
        self.expected = [each for each in self.expected if each > self.now]


def with_steps(found: Job, steps: StepPosition | None) -> Job:
    """Return a new job of the schedule whose host continues after these steps."""
    return replace(found, schedule="s", tasks=(replace(found.tasks[0], steps=steps),))


class Schedules(RuleBasedStateMachine):
    """Times, jobs, owners and clocks in any order: 100 examples of 100 steps, in the long form 1,000."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World("30 2 * * *", "06:00", "Europe/Berlin")
        self.is_chosen = False

    @precondition(lambda self: not self.is_chosen)
    @rule(
        cron=st.sampled_from(["30 2 * * *", "*/30 1-3 * * *", "0 22 * * 1-5", "15 0,12 * * *", "@hourly"]),
        until=st.sampled_from([None, "06:00", "02:45", "00:15"]),
        zone=st.sampled_from(ZONES),
        seed=st.integers(0, 8000),
    )
    def choose(self, cron: str, until: str | None, zone: str, seed: int) -> None:
        self.world, self.is_chosen = World(cron, until, zone, seed), True

    @rule(minutes=st.sampled_from([1, 7, 30, 60, 240, 700]))
    def pass_time(self, minutes: int) -> None:
        self.world.pass_time(timedelta(minutes=minutes))

    @rule(minutes=st.sampled_from([-600, -60, -1, 2, 90, 3000]))
    def set_clock(self, minutes: int) -> None:
        self.world.jump(timedelta(minutes=minutes))

    @precondition(lambda self: self.world.alive)
    @rule(step=st.integers(1, 4), minutes=st.sampled_from([10, 60, 600]), killed=st.booleans())
    def crash(self, step: int, minutes: int, killed: bool) -> None:
        """End the owner at some point of a check at a time at which something is due."""
        world = self.world
        world.begin_step()
        moment = schedules.next_decision_time(world.disk)
        if moment is not None and world.now < moment <= world.now + timedelta(minutes=minutes):
            world.expect(moment)
            world.now = moment
        world.check(step)
        world.leave(killed=killed)

    @precondition(lambda self: not self.world.alive)
    @rule()
    def start(self) -> None:
        self.world.start()

    @precondition(lambda self: self.world.job() is not None)
    @rule()
    def job_ends(self) -> None:
        self.world.end_job()

    @precondition(lambda self: self.world.alive and self.world.job() is not None)
    @rule()
    def user_pauses_or_resumes_job(self) -> None:
        found = self.world.job()
        assert found is not None
        self.world.jobs[found.id] = replace(found, paused=not found.paused)
        self.world.by_user.add(found.id)

    @precondition(lambda self: self.world.alive)
    @rule()
    def pause_or_resume_schedule(self) -> None:
        world = self.world
        if world.disk.paused:
            world.write(schedules.activate(world.disk, world.now))
            world.expected_after = world.disk.handled
        else:
            world.write(schedules.suspend(world.disk))
            # a crash kept them from being recorded, and the clock was set back: they come while it is paused
            world.expected = [each for each in world.expected if each <= world.now]

    @precondition(lambda self: self.world.alive)
    @rule()
    def run_by_hand(self) -> None:
        world = self.world
        try:
            jobs = len(world.jobs)
            step = schedules.run_now(world.disk, world.now, world.job(), jobs, world.interrupted())
        except StatementRefused:
            return
        world.write(step.schedule)
        assert step.action is not None
        world.act(step.action)

    @invariant()
    def holds(self) -> None:
        self.world.verify()


@pytest.mark.timeout(1800)  # the long form takes about five minutes
def test_schedules_in_any_order(long: bool) -> None:
    run_state_machine_as_test(
        Schedules,
        settings=settings(
            max_examples=1000 if long else 100,
            stateful_step_count=100,
            deadline=None,
            derandomize=True,
            database=None,
            # making a failure smaller takes minutes more
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("zone", ZONES)
def test_year_of_nights(zone: str, long: bool) -> None:
    """Each night begins once, and each morning ends it, through both changes of the clock."""
    rng = random.Random(zone)
    world = World("30 2 * * *", "06:00", zone)
    days = 365 if long else 60
    for _ in range(days * 4):
        world.pass_time(timedelta(hours=6))
        if world.job() is not None and rng.random() < 0.2:
            world.end_job()
        world.verify()
    # a night has eight whole steps, and the window ends within the next one: the next run continues after it
    assert timedelta(0) < world.overrun < STEP
    assert max(step for _, step in world.finished) > 10
    assert days - 1 <= len(world.begun) <= days
