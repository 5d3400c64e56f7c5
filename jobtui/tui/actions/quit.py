"""The end of the dashboard: at once without active jobs; otherwise the user chooses what becomes of them."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Sequence

from jobtui.formatting import format_count
from jobtui.model import Job
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.screens.dialog import Choice, Question
from jobtui.tui.text.spans import Line, TextRole, status_span

_WAITING = "leaves when all jobs have ended, esc stays"
_STOPPING = "stopping all jobs, then leaves"


class QuitFlow:
    """Asks how to leave, and waits if the user wants to."""

    def __init__(self, context: Context, host: DashboardHost) -> None:
        self._shared = context
        self._host = host
        self._waiting: asyncio.Future[None] | None = None

    async def ask(self) -> None:
        """Leave, or ask first; runs in a worker."""
        client = self._shared.client
        active = self._active()
        if not active:
            self._host.exit(0)
            return
        question = quit_question(active, client.may_hand_over, lambda job: client.job(job.id) or job)
        match await self._host.ask(question):
            case QuitChoice.HAND_OVER if not self._active():
                self._host.exit(0)
            case QuitChoice.HAND_OVER:
                self._hand_over()
            case QuitChoice.NOW:
                self._host.exit(0)
            case QuitChoice.WAIT:
                await self._leave_after(asyncio.wrap_future(client.wait_idle()), _WAITING)
            case QuitChoice.STOP:
                await self._leave_after(asyncio.wrap_future(client.stop_jobs()), _STOPPING)
            case _:
                pass

    def _active(self) -> list[Job]:
        client = self._shared.client
        if not (client.writable and client.is_owner):
            return []
        # jobs of another process or of a cluster continue without this screen
        return [job for job in client.active_jobs() if job.origin is None]

    def _hand_over(self) -> None:
        if self._shared.client.hand_over():
            self._host.exit(0)
        else:
            self._host.show_toast("The jobs cannot continue in the background", "error")

    async def _leave_after(self, done: asyncio.Future[None], flag: str) -> None:
        self.stay()
        self._waiting = done
        self._host.set_flag(flag, True)
        try:
            await done
        except asyncio.CancelledError:
            return
        finally:
            self._host.set_flag(flag, False)
        if self._waiting is done:
            self._host.exit(0)

    def stay(self) -> bool:
        """Stop waiting to leave; return whether it was waiting. A stop of jobs is not canceled."""
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.done():
            return False
        waiting.cancel()
        return True


_NAMED = 6


class QuitChoice(enum.Enum):
    """What to do with active jobs."""

    STAY = "stay"
    WAIT = "wait"
    STOP = "stop"
    NOW = "now"
    HAND_OVER = "hand over"


def quit_question(
    active: Sequence[Job], may_hand_over: bool, now: Callable[[Job], Job]
) -> Question[QuitChoice]:
    """Return the question; to stay has the focus.

    Args:
        active: The jobs that are queued or running.
        may_hand_over: Whether the jobs can continue without a screen.
        now: Returns the newest snapshot of a job.
    """

    def update() -> tuple[str, Sequence[Line]]:
        jobs = [now(job) for job in active]
        unfinished = sum(not job.status.ended for job in jobs)
        title = f"{format_count(unfinished, 'job')} queued or running" if unfinished else "All jobs have ended"
        return title, _lines(jobs)

    title, lines = update()
    background = [Choice("b", "Leave; jobs continue in the background", QuitChoice.HAND_OVER)]
    return Question(
        title,
        lines,
        [
            Choice("n", "Stay", QuitChoice.STAY),
            Choice("w", "Wait until they have ended, then leave", QuitChoice.WAIT),
            Choice("s", "Stop them, then leave", QuitChoice.STOP),
            *(background if may_hand_over else ()),
            Choice("i", "Leave now; running jobs are interrupted", QuitChoice.NOW),
        ],
        update=update,
    )


def _lines(jobs: Sequence[Job]) -> list[Line]:
    lines: list[Line] = [
        ((f"job {job.id}  ", TextRole.STRONG), (f"{job.label[:50]}  ", TextRole.PLAIN), status_span(job))
        for job in jobs[:_NAMED]
    ]
    if len(jobs) > _NAMED:
        lines.append(((f"and {format_count(len(jobs) - _NAMED, 'more job')}", TextRole.MUTED),))
    return lines
