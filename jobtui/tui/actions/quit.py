"""The end of the dashboard, or a switch to another profile.

Either is immediate without active jobs; otherwise the user chooses whether they continue.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Sequence

from jobtui.engine.job_log import is_by_schedule, last_pause
from jobtui.engine.lifecycle import is_held
from jobtui.formatting import format_count, format_ids, format_percent
from jobtui.model import Job, Status
from jobtui.suggest import did_you_mean
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.screens.dialog import Choice, Question
from jobtui.tui.text.notices import job_lines
from jobtui.tui.text.spans import IS_PAUSED, Line, TextRole, waiting_reasons

_WAITING = "{} when all jobs have ended, esc stays"
_STOPPING = "stopping all jobs, then {}"
_YIELDING = "pausing at the next steps, then {}"


class QuitFlow:
    """The end of the dashboard: the question of how to leave, and a wait if chosen."""

    def __init__(self, context: Context, host: DashboardHost) -> None:
        self.context = context
        self._host = host
        self._waiting: asyncio.Future[None] | None = None
        self._profile = ""

    async def switch(self, name: str) -> None:
        """Switch to a profile, or ask to which first; runs in a worker."""
        others = self.context.other_profiles
        if not others:
            self._host.show_toast("There is no other profile in the config file", "warning")
        elif not name:
            choices = [Choice(str(n) if n < 10 else "", other, other) for n, other in enumerate(others, 1)]
            chosen = await self._host.ask(Question[str]("Switch to which profile?", (), choices))
            if chosen is not None:
                await self.ask(chosen)
        elif name in others:
            await self.ask(name)
        elif name == self.context.client.profile:
            self._host.show_toast(f"This is profile '{name}'")
        else:
            near = did_you_mean(name, others)
            hint = f"did you mean '{near}'?" if near else f"there are {', '.join(others)}"
            self._host.show_toast(f"There is no profile '{name}'; {hint}", "warning")

    async def ask(self, profile: str = "") -> None:
        """Leave, or switch to a profile, or ask first; runs in a worker."""
        client = self.context.client
        self._profile = profile
        active = self._active()
        if not active:
            self._host.exit(0, profile)
            return
        may_continue = not self.context.settings.demo
        paused = [job for job in client.active_jobs() if job.origin is None and is_held(job)]
        question = quit_question(active, may_continue, lambda job: client.job(job.id) or job, profile, paused)
        match await self._host.ask(question):
            case QuitChoice.CONTINUE if not self._active():
                self._host.exit(0, profile)
            case QuitChoice.CONTINUE:
                await self._leave_after(asyncio.wrap_future(client.yield_jobs()), _YIELDING)
            case QuitChoice.WAIT:
                await self._leave_after(asyncio.wrap_future(client.wait_idle()), _WAITING)
            case QuitChoice.STOP:
                await self._leave_after(asyncio.wrap_future(client.stop_jobs()), _STOPPING)
            case _:
                pass

    def _active(self) -> list[Job]:
        client = self.context.client
        if not (client.writable and client.is_owner):
            return []
        # jobs of another process or of a cluster continue without this screen
        return [job for job in client.active_jobs() if job.origin is None and not is_held(job)]

    async def _leave_after(self, done: asyncio.Future[None], flag: str) -> None:
        self.stay()
        self._waiting = done
        flag = flag.format(f"switches to {self._profile}" if self._profile else "leaves")
        self._host.set_flag(flag, True)
        try:
            await done
        except asyncio.CancelledError:
            return
        finally:
            self._host.set_flag(flag, False)
        if self._waiting is done:
            self._host.exit(0, self._profile)

    def stay(self) -> bool:
        """Stop waiting to leave; return whether it was waiting. A stop of jobs is not canceled."""
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.done():
            return False
        waiting.cancel()
        return True


_NAMED = 6


class QuitChoice(enum.Enum):
    """The choices for active jobs when the user leaves."""

    STAY = "stay"
    WAIT = "wait"
    STOP = "stop"
    CONTINUE = "continue"


def quit_question(
    active: Sequence[Job],
    may_continue: bool,
    now: Callable[[Job], Job],
    profile: str = "",
    paused: Sequence[Job] = (),
) -> Question[QuitChoice]:
    """Return the question of how to leave; the answer to stay has the focus.

    Args:
        active: The jobs that are queued or running, without paused ones.
        may_continue: Whether the jobs can continue without a screen.
        now: Returns the newest snapshot of a job.
        profile: The profile that is switched to, "" to leave.
        paused: The jobs that are paused, and stay so.
    """
    leave = f"switch to {profile}" if profile else "leave"

    def update() -> tuple[str, Sequence[Line]]:
        jobs = [now(job) for job in active]
        unfinished = sum(not job.status.ended for job in jobs)
        title = f"{format_count(unfinished, 'job')} queued or running" if unfinished else "All jobs have ended"
        losses = _loss_lines(jobs) if may_continue else ()
        held = [now(job) for job in paused]
        return title, [*_lines(jobs), *losses, *_paused_lines(held), *_blocked_lines(jobs, held)]

    title, lines = update()
    text = f"{leave[0].upper()}{leave[1:]}; jobs continue in the background"
    background = [Choice("b", text, QuitChoice.CONTINUE)]
    return Question(
        title,
        lines,
        [
            Choice("n", "Stay", QuitChoice.STAY),
            Choice("w", f"Wait until they have ended, then {leave}", QuitChoice.WAIT),
            Choice("s", f"Stop them, then {leave}", QuitChoice.STOP),
            *(background if may_continue else ()),
        ],
        update=update,
    )


def _loss_lines(jobs: Sequence[Job]) -> list[Line]:
    """Return the work that is repeated if the jobs continue in the background."""
    lines: list[Line] = []
    for job in jobs:
        if len(lines) == _NAMED:
            break
        whole = [
            task
            for task in job.tasks
            if task.status is Status.RUNNING and (task.steps is None or task.steps.total <= 1)
        ]
        if whole:
            where = whole[0].host if len(whole) == 1 else format_count(len(whole), "host")
            most = max(task.progress or 0.0 for task in whole)
            lost = f", {'up to ' * (len(whole) > 1)}{format_percent(most).strip()} is lost" if most else ""
            lines.append(((f"in the background, job {job.id} starts over on {where}{lost}", TextRole.MUTED),))
    return lines


def _paused_lines(jobs: Sequence[Job]) -> list[Line]:
    """Return what becomes of the paused jobs in any case, and what continues them."""
    held = [job for job in jobs if is_held(job)]
    by_hand = [job for job in held if not _waits_for_schedule(job)]
    by_schedule = [job for job in held if _waits_for_schedule(job)]
    texts = []
    if by_hand:
        texts.append(_stay_paused(by_hand, "RESUME JOB continues {}"))
    if by_schedule:
        texts.append(
            _stay_paused(by_schedule, "the next run of the schedule continues {}, if a jobtui runs then")
        )
    return [((text, TextRole.MUTED),) for text in texts]


def _blocked_lines(jobs: Sequence[Job], paused: Sequence[Job]) -> list[Line]:
    """Return a line for each job that waits for a paused one, and so might never end."""
    reasons = waiting_reasons([*jobs, *paused])
    blocked = {job_id: reason for job_id, reason in reasons.items() if reason.endswith(IS_PAUSED)}
    return [((f"job {job_id} {blocked[job_id]}", TextRole.WARNING),) for job_id in list(blocked)[:_NAMED]]


def _stay_paused(jobs: Sequence[Job], continuation: str) -> str:
    ids = format_ids([job.id for job in jobs])
    stay = f"job {ids} stays paused" if len(jobs) == 1 else f"jobs {ids} stay paused"
    return f"{stay}: {continuation.format('it' if len(jobs) == 1 else 'them')}"


def _waits_for_schedule(job: Job) -> bool:
    pause = last_pause(job)
    return pause is not None and is_by_schedule(pause)


def _lines(jobs: Sequence[Job]) -> list[Line]:
    lines = job_lines({job.id: job for job in jobs[:_NAMED]})
    if len(jobs) > _NAMED:
        lines.append(((f"and {format_count(len(jobs) - _NAMED, 'more job')}", TextRole.MUTED),))
    return lines
