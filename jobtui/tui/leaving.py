"""The way out: at once where nothing is under way, else as the user chooses: wait, stop the work, or stay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobtui.model import Job
from jobtui.tui.context import Context
from jobtui.tui.screens.quit import Leave, quit_question

if TYPE_CHECKING:
    from jobtui.tui.screens.dashboard import Dashboard

_WAITING = "leaves when all jobs have ended, esc stays"
_STOPPING = "stopping all jobs, then leaves"


class Leaving:
    """Knows whether one is on the way out."""

    def __init__(self, context: Context, dashboard: Dashboard) -> None:
        self._shared = context
        self._dashboard = dashboard
        self._waiting: asyncio.Future[None] | None = None

    async def ask(self) -> None:
        """Leave, or ask first; in a worker of the dashboard's."""
        desk, app = self._shared.desk, self._dashboard.app
        active = self._active()
        if not active:
            app.exit(0)
            return
        question = quit_question(active, desk.may_hand_over, lambda job: desk.job(job.id) or job)
        match await app.push_screen_wait(question):
            case Leave.HAND_OVER if not self._active():
                app.exit(0)
            case Leave.HAND_OVER:
                self._hand_over()
            case Leave.NOW:
                app.exit(0)
            case Leave.WAIT:
                await self._leave_after(asyncio.wrap_future(desk.idle()), _WAITING)
            case Leave.STOP:
                await self._leave_after(asyncio.wrap_future(desk.stop_work()), _STOPPING)
            case _:
                pass

    def _active(self) -> list[Job]:
        desk = self._shared.desk
        # work that another process owns, or a cluster, goes on without this screen
        return [job for job in desk.active() if job.origin is None] if desk.writable and desk.owner else []

    def _hand_over(self) -> None:
        if self._shared.desk.hand_over():
            self._dashboard.app.exit(0)
        else:
            self._dashboard.tell("The work can't go on in the background", "error")

    async def _leave_after(self, done: asyncio.Future[None], flag: str) -> None:
        self.stay()
        self._waiting = done
        self._dashboard.flag(flag, True)
        try:
            await done
        except asyncio.CancelledError:
            return
        finally:
            self._dashboard.flag(flag, False)
        if self._waiting is done:
            self._dashboard.app.exit(0)

    def stay(self) -> bool:
        """Stay after all; False where one was not about to leave. What was told to stop stops all the same."""
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.done():
            return False
        waiting.cancel()
        return True
