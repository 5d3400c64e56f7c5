"""The dashboard: header, the place shown, results, command bar, key line; and what goes between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget

from jobtui.formatting import format_count
from jobtui.model import Job
from jobtui.tui.commands import KeyCommand, KeyScope, bindings, commands
from jobtui.tui.context import Context
from jobtui.tui.data.feed import Batch
from jobtui.tui.terminal import notice_sequence
from jobtui.tui.text.spans import Line, TextRole, wrap
from jobtui.tui.text.status import alarm, endings, link_piece
from jobtui.tui.views import make_view
from jobtui.tui.views.base import DashboardView, ViewContainer
from jobtui.tui.views.jobs import JobsView
from jobtui.tui.widgets.console import Console
from jobtui.tui.widgets.footer import TooSmall, toast
from jobtui.tui.widgets.header import Header, HeaderState
from jobtui.tui.widgets.lines import LinesView

if TYPE_CHECKING:
    from jobtui.tui.actions.menus import ActionMenu
    from jobtui.tui.actions.quit import QuitFlow
    from jobtui.tui.app import DashboardApp
    from jobtui.tui.views.inventory import InventoryView


class Dashboard(Console):
    """The one screen that is always there; dialogs come over it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.DASHBOARD)]
    AUTO_FOCUS = None

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.header = Header(id="header")
        self.alarm = LinesView(id="alarm")
        self.jobs = JobsView(context, id="jobs")
        self.stage = ViewContainer(self.jobs, id="stage")
        self.too_small = TooSmall(id="too-small")
        self.place: DashboardView = self.jobs
        self.ready = False
        self._views: dict[str, DashboardView] = {"jobs": self.jobs}
        self._flags: tuple[str, ...] = ()
        self._silenced = self._alarmed = ""
        self._link_told = context.now()

    def compose(self) -> ComposeResult:
        """Textual's hook."""
        yield self.header
        yield self.stage
        yield from super().compose()

    def on_mount(self) -> None:
        """Textual's hook."""
        self.set_focus(self.place.home)
        self.stand()
        self.ready = True
        self.app.call_later(self.desktop.take_typed)

    # -- what is told -------------------------------------------------------------------------------

    def take(self, batch: Batch) -> None:
        """Jobs changed."""
        if batch.statuses:
            self.stand()
        if batch.link:
            self._link_told = self.context.now()
            self.stand()
        for view in self._views.values():
            view.take(batch)
        for notice in batch.notices:
            self.tell(notice.text, notice.severity)
        minded = [job for job in batch.ended if job.id in self.context.watched | self.context.submitted]
        if minded:
            for job in minded:
                self.context.watched.discard(job.id)
                self.context.submitted.discard(job.id)
            self.tell_ends(minded)

    def tell_ends(self, jobs: Sequence[Job]) -> None:
        """Jobs that are minded have ended."""
        text, severity = endings(jobs)
        self.tell(text, severity)
        self.ring(text)

    def tick(self) -> None:
        """A second passed."""
        self.place.tick()
        self.stand()

    def places_seen(self) -> None:
        """There is a new overview."""
        self.stand()
        for view in self._views.values():
            view.places_seen()

    def stand(self) -> None:
        """Bring the header and the alarm up to date."""
        context = self.context
        link = context.desk.link
        overview = context.places.overview
        self.header.standing = HeaderState(
            context.desk.profile,
            len(overview.hosts) if overview is not None else len(context.desk.host_names()) or None,
            context.space,
            context.desk.history.counts(),
            self._all_flags(),
            place=self.place.title,
            link=link_piece(link) if link is not None else None,
        )
        self._show_alarm(*alarm(context, self._link_told))

    def _all_flags(self) -> tuple[str, ...]:
        read_only = () if self.context.desk.writable else ("read only",)
        following = ("following",) if self.jobs.list.follow and self.place is self.jobs else ()
        waiting = (f"waiting for {format_count(self.overdue, 'answer')}",) if self.overdue else ()
        return (*read_only, *following, *waiting, *self._flags)

    def flag(self, word: str, on: bool) -> None:
        """Say a word in the header, or no longer."""
        others = tuple(flag for flag in self._flags if flag != word)
        self._flags = (*others, word) if on else others
        self.stand()

    def _show_alarm(self, kind: str, text: str) -> None:
        if kind != self._silenced:
            self._silenced = ""  # once it is over, it is told again when it comes again
        self._alarmed = kind if kind != self._silenced else ""
        shown = text if self._alarmed else ""
        lines = (
            [((f" {text}", TextRole.FAILED),) for text in wrap(shown, self.size.width - 2, 3)] if shown else []
        )
        if lines and self.alarm.parent is None and self.header.parent is not None:
            self.mount(self.alarm, after=self.header)
        self.set_class(bool(lines), "-alarmed")
        self.alarm.styles.height = len(lines)
        self.alarm.show(lines)

    # -- the stage of the deeds ---------------------------------------------------------------------

    async def confirm(self, title: str, lines: Callable[[], Sequence[Line]], deed: str) -> bool:
        """Ask; cancel is the focused answer. In a worker only."""
        from jobtui.tui.screens.dialog import confirmation

        return await self.app.push_screen_wait(confirmation(title, lines, deed)) is True

    def tell(self, text: str, severity: str = "information") -> None:
        """Say it in passing; nothing in the text is markup."""
        width, height = self.app.size
        if self.bar.is_typing and severity == "information":
            self.desktop.unsay("")
            height = 0  # one line over the table's header, and none over its rows
        self.desktop.say(toast(text, severity, width, height))

    def ring(self, text: str) -> None:
        """Tell the terminal: the bell, and a notice of its own where that is wanted."""
        settings = self.context.settings
        if settings.bell:
            self.app.bell()
        if settings.terminal_notice:
            self.desktop.write_to_terminal(notice_sequence(text))

    def on_screen_suspend(self) -> None:
        """Textual's hook: what is said in passing is said on what came over it."""
        self.add_class("-covered")

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Textual's hook, beside the one of the class above."""
        self.remove_class("-covered")

    # -- focus and keys -----------------------------------------------------------------------------

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Textual's hook: other keys work here."""
        self.show_keys()

    def show_keys(self) -> None:
        """The key line for where the focus is; what is said in passing keeps off what is being typed."""
        self.set_class(self.bar.is_typing, "-typing")
        self.keys.show(self.hinted(self.working(), self.place.looks))

    def chain(self) -> tuple[KeyScope, ...]:
        """The places whose keys work now, the innermost first."""
        if self.bar.is_typing:
            return (KeyScope.BAR,)
        if self.place.typing:
            return (KeyScope.FILTER,)
        inner = KeyScope.DETAIL if isinstance(self.focused, LinesView) else KeyScope.TABLE
        return (inner, self.place.where, KeyScope.DASHBOARD)

    def working(self) -> list[KeyCommand]:
        """The commands whose keys work here and now."""
        return [
            command
            for where in self.chain()
            for command in commands(where)
            if self.owner(where).check_action(command.action.split("(")[0], ()) is not False
        ]

    def owner(self, where: KeyScope) -> Widget:
        """The widget that does what the keys of a place say."""
        match where:
            case KeyScope.DASHBOARD:
                return self
            case KeyScope.JOBS | KeyScope.SPACES | KeyScope.HOSTS:
                return self.place
            case _:
                return self.focused or self.place.home

    def on_resize(self, event: events.Resize) -> None:
        """Textual's hook: say so where nothing sensible fits."""
        self.too_small.fit(self, event.size)
        self.stand()

    @property
    def typing(self) -> bool:
        """Whether keys are text now."""
        return self.bar.is_typing or self.place.typing

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Textual's hook: where one types, a colon is a colon."""
        if action == "retry":
            return self.context.desk.link is not None
        return not (action == "bar" and self.typing)

    # -- keys ---------------------------------------------------------------------------------------

    async def action_back(self) -> None:
        """Esc: from the results, from what the place is in, from the alarm."""
        if self._leaving.stay() or self.place.back():
            return
        if self.has_class("-transcript"):
            self.remove_class("-transcript")
        elif self._alarmed:
            self._silenced = self._alarmed
            self.stand()
        else:
            await self.show_place("jobs")

    def on_dashboard_view_noted(self, message: DashboardView.Noted) -> None:
        """Something that the header or the key line shows changed."""
        message.stop()
        self.stand()
        self.show_keys()

    def on_dashboard_view_told(self, message: DashboardView.Told) -> None:
        """Something that a person should read."""
        message.stop()
        self.tell(message.text, message.severity)

    def on_jobs_view_asked(self, message: JobsView.Asked) -> None:
        """A key of the jobs view that does something to jobs."""
        message.stop()
        if isinstance(self.place, JobsView):
            self.work(self._errands.run(message.what, message.ids, self.place))

    def on_inventory_view_asked(self, message: InventoryView.Asked) -> None:
        """A key of the spaces or hosts."""
        message.stop()
        view = cast("InventoryView", self.place)
        self.work(self._errands.run_place(message.what, message.name, view))

    async def show_jobs_of(self, kind: str, name: str) -> None:
        """The jobs of a space or a host."""
        await self.show_place("jobs")
        quoted = f'"{name}"' if any(character in name for character in ' ,"') else name
        self.jobs.list.set_filter(f"{kind}:{quoted}")

    async def filter_jobs(self) -> None:
        """Go to the jobs and type a filter there."""
        await self.show_place("jobs")
        await self.jobs.action_filter()

    def space_chosen(self) -> None:
        """Another space may have been chosen."""
        super().space_chosen()
        self.places_seen()

    def submitted_here(self, job_id: int) -> None:
        """Who typed it wants to see it."""
        self.jobs.list.seek(job_id)

    def find_focus(self) -> None:
        """Give the focus to the widget that the next key is meant for."""
        self.too_small.give_focus_back(self)
        if self.focused is None:
            self.leave_bar()

    def leave_bar(self) -> None:
        """Back to the place that is shown, before the next key is looked at."""
        self.set_focus(self.place.home)

    def action_help(self) -> None:
        """The keys that work here and now."""
        from jobtui.tui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(self.working(), self.context.keymap))

    def action_palette(self) -> None:
        """Find a command by its name."""
        from jobtui.tui.screens.palette import Palette

        self.app.push_screen(Palette())

    def action_theme(self) -> None:
        """The next theme."""
        self.desktop.turn_theme()
        self.desktop.unsay("theme: ")
        self.tell(f"theme: {self.app.theme}")

    def action_pause(self) -> None:
        """Hold the screen still, or let it go on."""
        self.desktop.hold(not self.desktop.paused)
        self.flag("‖ paused", self.desktop.paused)

    def action_suspend(self) -> None:
        """Back to the shell."""
        self.app.action_suspend_process()

    def action_interrupt(self) -> None:
        """Copy what is selected; drop what is being typed; else leave."""
        selected = self.get_selected_text()
        if selected:
            self.app.copy_to_clipboard(selected)
            self.clear_selection()
            self.tell("copied")
        elif self.place.typing:
            self.place.drop()
        elif not self.bar.cancel_edit():
            self.action_quit()

    def action_quit(self) -> None:
        """Leave; ask where work is under way."""
        self.work(self._leaving.ask())

    def start(self, command: KeyCommand) -> None:
        """Do what a command's key would do here."""
        self.work(self.app.run_action(command.action, self.owner(command.where)))

    # -- places -------------------------------------------------------------------------------------

    async def action_show_jobs(self) -> None:
        """The jobs."""
        await self.show_place("jobs")

    async def action_show_spaces(self) -> None:
        """The spaces."""
        await self.show_place("spaces")

    async def action_show_hosts(self) -> None:
        """The hosts."""
        await self.show_place("hosts")

    async def action_show_archive(self) -> None:
        """The archive."""
        await self.show_place("archive")

    async def show_place(self, name: str) -> None:
        """Another place, made when it is first gone to."""
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = make_view(name, self.context)
            await self.stage.mount(view)
        self.place.display = False
        self.place = view
        view.display = True
        self.set_focus(view.home)
        self.stand()

    def keep(self) -> None:
        """Note what is to be kept until the next start; the filter and the sort order are not."""
        self.context.kept.follow = self.jobs.list.follow

    # what is imported and made when it is first needed

    @cached_property
    def _errands(self) -> ActionMenu:
        from jobtui.tui.actions.menus import ActionMenu

        return ActionMenu(self.context, self)

    @cached_property
    def _leaving(self) -> QuitFlow:
        from jobtui.tui.actions.quit import QuitFlow

        return QuitFlow(self.context, self)

    @property
    def desktop(self) -> DashboardApp:
        """The app."""
        return cast("DashboardApp", self.app)
