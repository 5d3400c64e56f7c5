"""What the keys of the jobs view ask for, from the key to the deed: asks what must be asked, then does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobtui.model import Job
from jobtui.tui.context import Context
from jobtui.tui.copying import copyable
from jobtui.tui.deeds import Deeds
from jobtui.tui.job_rows import DEFAULT_COLUMNS, JOB_COLUMNS
from jobtui.tui.screens.dialog import Choice, Question

if TYPE_CHECKING:
    from jobtui.tui.screens.dashboard import Dashboard
    from jobtui.tui.views.jobs import JobsView


class Errands:
    """Each method runs in a worker of the dashboard's."""

    def __init__(self, context: Context, dashboard: Dashboard, deeds: Deeds) -> None:
        self._shared = context
        self._dashboard = dashboard
        self._deeds = deeds

    async def run(self, what: str, ids: Sequence[int], view: JobsView) -> None:
        """Do what a command's id names, to these jobs."""
        match what:
            case "stop":
                await self._deeds.stop(ids)
            case "recover":
                await self._deeds.recover(ids)
            case "archive":
                await self._deeds.archive(ids)
            case "flush" | "compact":
                await self._submit(what, view.space_in_view())
            case "copy":
                await self._copy(view.list.job)
            case "columns":
                await self._columns(view)
            case "export":
                await self._export(view)

    async def _submit(self, what: str, space: str | None) -> None:
        if space is None:
            self._dashboard.tell(
                "No space is in view: USE one in the command bar, or filter by space:", "warning"
            )
        elif what == "flush":
            await self._deeds.flush(space)
        else:
            await self._deeds.compact(space)

    async def _copy(self, job: Job | None) -> None:
        if job is None:
            return
        choices = [Choice(key, title, text) for key, title, text in copyable(job)]
        text = await self._dashboard.app.push_screen_wait(Question[str]("Copy", (), choices))
        if text is not None:
            self._dashboard.app.copy_to_clipboard(text)
            self._dashboard.tell(f"copied: {text}")

    async def _columns(self, view: JobsView) -> None:
        kept = self._shared.kept
        at = 0
        while True:
            shown = set(kept.columns or DEFAULT_COLUMNS)
            choices = [
                Choice("x" if column.key in shown else "·", column.label, index)
                for index, column in enumerate(JOB_COLUMNS)
            ]
            index = await self._dashboard.app.push_screen_wait(
                Question[int]("Columns: enter shows or hides, esc is done", (), choices, at)
            )
            if index is None:
                return
            at = index
            key = JOB_COLUMNS[index].key
            if key != "id":
                kept.columns = [
                    column.key for column in JOB_COLUMNS if (column.key in shown) != (column.key == key)
                ]
            view.list.set_columns(kept.columns)

    async def _export(self, view: JobsView) -> None:
        """Write what is in view to a file."""
