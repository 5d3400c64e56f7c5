"""The detail of one job, live: its tab as lines, and looks at the storage where a tab shows it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.message import Message

from jobtui.history import StoreError
from jobtui.model import Job, Status
from jobtui.tui.commands import BY_ID
from jobtui.tui.context import Context
from jobtui.tui.feed import Batch
from jobtui.tui.lines import Ink, Line
from jobtui.tui.looks import Looks
from jobtui.tui.panes.tasks import tasks
from jobtui.tui.widgets.detail import Detail, DetailBody, Tab, TabStrip, caption_of


class JobDetail(Detail):
    """Shows one job; the tab stays chosen from job to job."""

    class Zoomed(Message):
        """The detail is wanted over the whole screen, or no longer."""

    class TabChosen(Message):
        """Another tab was chosen."""

        def __init__(self, tab: Tab) -> None:
            super().__init__()
            self.tab = tab

    class Looked(Message):
        """A host told what it holds; posted from the engine's thread."""

        def can_replace(self, message: Message) -> bool:
            """Two of them say what one says."""
            return isinstance(message, JobDetail.Looked)

    def __init__(self, context: Context, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._shared = context
        self._job: Job | None = None
        self._rates: dict[tuple[int, int], float | None] = {}
        self._looks = Looks(context.desk, lambda: self.post_message(self.Looked()))
        self._full = False
        keys = context.keymap
        self._turning = f"{keys.shown(BY_ID['previous_tab'])} {keys.shown(BY_ID['next_tab'])}"
        kept = context.kept.tab
        self.tab = Tab(kept) if kept in set(Tab) else Tab.TASKS

    @property
    def job(self) -> Job | None:
        """The job shown."""
        return self._job

    def show_job(self, job: Job | None) -> None:
        """Show this job, or another snapshot of it."""
        if job is None or self._job is None or job.id != self._job.id:
            self.body.scroll_home(animate=False)
            self._looks.forget()
        self._job = job
        self.paint()
        self._look_now()

    def take(self, batch: Batch) -> None:
        """Note the rates; the job itself comes by `show_job`."""
        if batch.rates:
            self._rates.update(batch.rates)
        for job in batch.ended:
            for task in job.tasks:
                self._rates.pop((job.id, task.number), None)

    def tick(self) -> None:
        """A second passed."""
        job = self._job
        if job is not None and self.display and (not job.status.ended or self.tab is Tab.STORAGE):
            self.paint()
            self._look_now()

    def turn(self, by: int) -> None:
        """To another tab."""
        self.choose(self.tab.turned(by))

    def choose(self, tab: Tab) -> None:
        """To this tab."""
        if tab is not self.tab:
            self.tab = tab
            self.body.scroll_home(animate=False)
            self.post_message(self.TabChosen(tab))
        self.paint()
        self._look_now()

    def set_full(self, full: bool) -> None:
        """Say whether it fills the screen."""
        self._full = full
        self.paint()

    def paint(self) -> None:
        """Show what is known now; out of sight nothing: coming into sight is another width, and told."""
        if not self.body.size.width:
            return
        try:
            lines = self._lines(self.body.inner_width)
        except StoreError as error:
            lines = [((f" {error}", Ink.FAILED),)]
        self.show(caption_of(self._job, self._full, self._turning), self.tab, lines)

    def look(self) -> None:
        """Look into the storage, an adopted space's too: that was asked for."""
        self._look_now(asked=True)

    # -- what the tab says --------------------------------------------------------------------------

    def _lines(self, width: int) -> list[Line]:
        job = self._job
        if job is None:
            return [((" Nothing is chosen.", Ink.MUTED),)]
        now = self._shared.now()
        match self.tab:
            case Tab.TASKS:
                lines = tasks(job, self._rates, width, now)
                waits = self._waits_for(job)
                return [*lines, (), ((f" {waits}", Ink.MUTED),)] if waits else lines
            case Tab.TIMELINE:
                from jobtui.tui.panes.timeline import timeline

                return timeline(job, width, now)
            case Tab.STORAGE:
                from jobtui.tui.panes.storage import storage

                looks = {task.host: self._looks.at(job.space, task.host) for task in job.tasks}
                return storage(job, looks, width, self._must_ask(job))
            case Tab.EVENTS:
                from jobtui.tui.panes.events import events

                return events(job, self._shared.desk.history.recovered_as(job.id), width)

    def _waits_for(self, job: Job) -> str:
        if job.status is not Status.QUEUE:
            return ""
        active = self._shared.desk.active()
        ahead = [other.id for other in active if other.space == job.space and other.id < job.id]
        if ahead:
            return f"waits for {_first_of(ahead)}"
        hosts = {task.host for task in job.tasks}
        at_work = {
            task.host: other.id
            for other in active
            for task in other.tasks
            if task.status is Status.RUNNING and task.host in hosts
        }
        if not at_work or len(at_work) < len(hosts):
            return ""  # one of its hosts is free: it begins at once, or where fewer jobs are running
        return f"waits for its hosts, which work on {_first_of(sorted({*at_work.values()}))}"

    @property
    def must_ask(self) -> bool:
        """Whether storage is to be shown that is looked into only when that is asked for."""
        job = self._job
        local = job is not None and job.origin is None
        return job is not None and local and self.tab is Tab.STORAGE and self._must_ask(job)

    # -- looks --------------------------------------------------------------------------------------

    def _must_ask(self, job: Job) -> bool:
        adopted = self._shared.places.adopted(job.space)
        return adopted is None or adopted

    def _look_now(self, asked: bool = False) -> None:
        job = self._job
        if job is None or self.tab is not Tab.STORAGE or job.origin is not None:
            return
        if asked or not self._must_ask(job):
            for task in job.tasks:
                self._looks.ask(job.space, task.host)

    def on_job_detail_looked(self, message: Looked) -> None:
        """A host answered."""
        message.stop()
        if self.tab is Tab.STORAGE:
            self.paint()

    # -- messages -----------------------------------------------------------------------------------

    def on_tab_strip_chosen(self, message: TabStrip.Chosen) -> None:
        """A tab was clicked."""
        message.stop()
        self.choose(message.tab)

    def on_detail_body_turned(self, message: DetailBody.Turned) -> None:
        """Left or right in the body."""
        message.stop()
        self.turn(message.by)

    def on_detail_body_zoomed(self, message: DetailBody.Zoomed) -> None:
        """Enter in the body."""
        message.stop()
        self.post_message(self.Zoomed())

    def on_detail_body_resized(self, message: DetailBody.Resized) -> None:
        """Another width: the lines are made for it."""
        message.stop()
        self.paint()


def _first_of(ids: Sequence[int]) -> str:
    return f"job {ids[0]}" + (f" and {len(ids) - 1} more" if len(ids) > 1 else "")
