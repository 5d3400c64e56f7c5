"""The dashboard's screen, which connects the header, the view shown and the console."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from msgspec.structs import replace
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget

from jobtui.errors import StorageError
from jobtui.formatting import format_count
from jobtui.history import StoreError
from jobtui.model import Job
from jobtui.tui.base_app import StyledScreen
from jobtui.tui.commands import KeyCommand, KeyScope, bindings, commands
from jobtui.tui.context import AppControl, Context, LogEntry
from jobtui.tui.data.feed import Batch, LingeringTasks
from jobtui.tui.keymap import Keymap
from jobtui.tui.terminal import notice_sequence
from jobtui.tui.text.notices import current_alarm, describe_end, describe_ends, describe_no_effect
from jobtui.tui.text.spans import Line, connection_span, separate_paused
from jobtui.tui.views import make_view
from jobtui.tui.views.base import DashboardView, ViewContainer
from jobtui.tui.views.jobs import JobsView
from jobtui.tui.widgets.base import LinesView
from jobtui.tui.widgets.completions import CompletionList
from jobtui.tui.widgets.console import Console
from jobtui.tui.widgets.footer import TooSmall, fit_toast
from jobtui.tui.widgets.header import AlarmLines, Header, HeaderState

if TYPE_CHECKING:
    # imported when they are first needed: a start is mostly imports
    from jobtui.engine.client import ExecuteResult
    from jobtui.tui.actions.menus import ViewActions
    from jobtui.tui.actions.quit import QuitFlow
    from jobtui.tui.textual_ext.palette import PaletteEntry

AnswerT = TypeVar("AnswerT")


class Dashboard(StyledScreen):
    """The screen that is always there; dialogs are pushed over it. Implements `DashboardHost`."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.DASHBOARD)]
    AUTO_FOCUS = None

    def __init__(self, context: Context, control: AppControl) -> None:
        super().__init__()
        self.context = context
        self._control = control
        self.header = Header(id="header")
        self.alarm = AlarmLines(id="alarm")
        self.jobs = JobsView(context, self, id="jobs")
        self.view_container = ViewContainer(self.jobs, id="views")
        self.console = Console(context, self)
        self.too_small = TooSmall(id="too-small")
        self.view: DashboardView = self.jobs
        self.ready = False
        self._views: dict[str, DashboardView] = {"jobs": self.jobs}
        self._flags: tuple[str, ...] = ()
        self._lingering = LingeringTasks()
        self._trail: list[tuple[str, str, Hashable]] = []
        self._status_time = context.now()

    def compose(self) -> ComposeResult:
        """Create the header, the views and the console."""
        yield self.header
        yield self.view_container
        yield self.console

    def on_mount(self) -> None:
        """Show the header and the keys, and handle the keys that were typed meanwhile."""
        self.set_focus(self.view.focus_target)
        self.refresh_header()
        self.ready = True
        self.app.call_later(self._control.handle_typed_ahead)

    # -- changes ------------------------------------------------------------------------------------

    def on_batch(self, batch: Batch) -> None:
        """Show what changed in the engine."""
        if batch.statuses_changed:
            self.refresh_header()
        if batch.connection_changed:
            self._status_time = self.context.now()
            self.refresh_header()
        self._lingering.update(batch.jobs.values())
        self.context.on_batch(batch)
        for view in self._views.values():
            view.on_batch(batch)
        awaited: list[Job] = []
        for job in batch.ended:
            if job.id in self.context.watched or job.id in self.context.submitted:
                self.context.watched.discard(job.id)
                self.context.submitted.discard(job.id)
                awaited.append(job)
            else:
                text, severity = describe_end(job)
                self.context.log_end(job.id, severity, text)
        for notice in batch.notices:
            self.show_toast(notice.text, notice.severity)
        if awaited:
            self.announce_ended(awaited)

    def on_overview(self) -> None:
        """Show a new overview of spaces and hosts."""
        self.refresh_header()
        for view in self._views.values():
            view.on_overview()

    def tick(self) -> None:
        """Update what changes with time; called once a second."""
        self.view.tick()
        self.console.tick()
        self.refresh_header()

    def refresh_header(self) -> None:
        """Update the header and the alarm below it."""
        context = self.context
        status = context.client.connection
        overview = context.overview_cache.overview
        counts, paused = separate_paused(context.client.history.counts(), context.client.active_jobs())
        self.header.state = HeaderState(
            context.client.profile,
            len(overview.hosts) if overview is not None else len(context.client.host_names()) or None,
            context.space,
            counts,
            self._all_flags(),
            view_title=self.view.title,
            connection=connection_span(status) if status is not None else None,
            profile_role=context.profile_role,
            hosts_down=0 if overview is None else sum(not host.up for host in overview.hosts),
            paused=paused,
        )
        self.alarm.set_alarm(*current_alarm(context, self._status_time), self, self.header)

    def _all_flags(self) -> tuple[str, ...]:
        read_only = () if self.context.client.writable else ("read only",)
        following = ("following",) if self.jobs.list.is_following and self.view is self.jobs else ()
        overdue = self.console.overdue
        waiting = (f"waiting for {format_count(overdue, 'answer')}",) if overdue else ()
        lingering = (self._lingering.flag,) if self._lingering.flag else ()
        return (*read_only, *following, *waiting, *lingering, *self._flags)

    # -- the host of views, actions and console (documented in DashboardHost) -------------------------

    def start_action(self, action: Coroutine[Any, Any, object]) -> None:  # noqa: D102
        self.run_worker(self._report_errors(action), group="actions")

    async def _report_errors(self, action: Coroutine[Any, Any, object]) -> None:
        try:
            await action
        except (OSError, StoreError, StorageError) as error:
            self.show_toast(str(error), "error")

    async def ask(self, question: Screen[AnswerT]) -> AnswerT | None:  # noqa: D102
        return await self.app.push_screen_wait(question)

    async def confirm(self, title: str, lines: Callable[[], Sequence[Line]], verb: str) -> bool:  # noqa: D102
        from jobtui.tui.screens.dialog import confirmation  # not needed at start

        return await self.ask(confirmation(title, lines, verb)) is True

    def show_toast(self, text: str, severity: str = "information") -> None:  # noqa: D102
        self.context.log.append(LogEntry(self.context.now(), severity, text))
        self.view.on_log()
        width, height = self.app.size
        if self.console.bar.is_typing and severity == "information":
            self._control.dismiss_toasts("")
            height = 0  # one line, over the table's header and not over its rows
        self._control.show_toast(fit_toast(text, severity, width, height))

    def watch_jobs(self, job_ids: Sequence[int]) -> None:  # noqa: D102
        jobs = {job_id: self.context.client.job(job_id) for job_id in job_ids}
        # the end of a short job comes before the answer to its statement
        ended = [job for job in jobs.values() if job is not None and job.status.ended]
        self.context.submitted.update(jobs.keys() - {job.id for job in ended})
        if ended:
            self.context.replace_logged_ends(job.id for job in ended)
            self.announce_ended(ended)

    def announce_ended(self, jobs: Sequence[Job]) -> None:  # noqa: D102
        text, severity = describe_ends(jobs)
        self.show_toast(text, severity)
        if self.context.settings.bell:
            self.app.bell()
        if self.context.settings.terminal_notice:
            self._control.write_to_terminal(notice_sequence(text))

    def log_statement(self, text: str, result: ExecuteResult) -> None:  # noqa: D102
        self.console.log_statement(text, result)

    def run_job_action(self, action: str, job_ids: Sequence[int]) -> None:  # noqa: D102
        if isinstance(self.view, JobsView):
            self.start_action(self._actions.run(action, job_ids, self.view))

    def run_inventory_action(self, action: str, name: str) -> None:  # noqa: D102
        self.start_action(self._actions.run_inventory(action, name, self.view))

    async def show_jobs_of(self, kind: str, name: str) -> None:  # noqa: D102
        await self.show_view("jobs")
        quoted = f'"{name}"' if any(character in name for character in ' ,"') else name
        self.jobs.entry_filter = f"{kind}:{quoted}"
        self.jobs.list.set_filter(self.jobs.entry_filter)

    async def show_filtered(self, text: str) -> None:  # noqa: D102
        await self.show_view("jobs")
        self.jobs.list.set_filter(text)

    def select_job(self, job_id: int) -> None:  # noqa: D102
        self.jobs.list.seek(job_id)

    def refresh_space(self) -> None:  # noqa: D102
        self.console.bar.show_prompt()
        self.on_overview()

    async def focus_bar(self, text: str | None = None) -> None:  # noqa: D102
        await self.console.focus_bar(text)

    def leave_bar(self) -> None:  # noqa: D102
        self.set_focus(self.view.focus_target)  # at once: the next key is meant for the view

    def set_flag(self, text: str, on: bool) -> None:  # noqa: D102
        others = tuple(flag for flag in self._flags if flag != text)
        self._flags = (*others, text) if on else others
        self.refresh_header()

    def copy(self, text: str) -> None:  # noqa: D102
        self.app.copy_to_clipboard(text)

    def exit(self, status: int, profile: str = "") -> None:  # noqa: D102
        self._control.leave(status, profile)

    def switch_profile(self, name: str = "") -> None:  # noqa: D102
        self.start_action(self._quit_flow.switch(name))

    # -- views --------------------------------------------------------------------------------------

    async def show_view(self, name: str, remember: bool = True) -> None:
        """Show a view by its name, made when it is first shown. `remember`: esc leads back."""
        now = next(other for other, view in self._views.items() if view is self.view)
        kept = [step for step in self._trail if step[0] not in (now, name)]
        here = (now, self.jobs.list.filter_text, self.jobs.list.table.cursor_key)
        self._trail = [*kept, here] if remember and name != now else kept
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = make_view(name, self.context, self)
            await self.view_container.mount(view)
        self.view.display = False
        self.view = view
        view.display = True
        self.set_focus(view.focus_target)
        self.refresh_header()

    async def _return(self) -> None:
        """Show the view that the user came from, with its filter and cursor, else the jobs."""
        name, text, key = self._trail[-1] if self._trail else ("jobs", self.jobs.list.filter_text, None)
        self.jobs.entry_filter = ""
        await self.show_view(name, remember=False)
        if text != self.jobs.list.filter_text:
            self.jobs.list.set_filter(text)
            if isinstance(key, int):
                self.jobs.list.seek(key)

    async def jump_to_job(self, job_id: int) -> None:  # noqa: D102
        history = self.context.client.history
        if self.context.client.job(job_id) is not None:
            await self.show_view("jobs")
            jobs = self.jobs
        elif history.is_archived(job_id):
            await self.show_view("archive")
            jobs = cast("JobsView", self.view)
        else:
            self.show_toast(f"Job {job_id} does not exist", "warning")
            return
        if jobs.list.filter_text:
            jobs.list.set_filter("")
        jobs.list.seek(job_id)
        self.console.show_transcript(False)
        self.leave_bar()

    def on_dashboard_view_status_changed(self, message: DashboardView.StatusChanged) -> None:
        """Update the header and the footer."""
        message.stop()
        self.refresh_header()
        self.show_keys()

    def on_completion_list_picked(self, message: CompletionList.Picked) -> None:
        """Insert a completion that was clicked in the list, which is not in the console."""
        message.stop()
        self.console.bar.insert_candidate(message.candidate)

    def save_state(self) -> None:
        """Store the state for the next start; the filter and the sort order are not part of it."""
        self.context.saved.follow = self.jobs.list.is_following

    # -- focus and keys -----------------------------------------------------------------------------

    @property
    def is_typing(self) -> bool:
        """Whether keys are text now."""
        return self.console.bar.is_typing or self.view.is_typing

    @property
    def keymap(self) -> Keymap:
        """The keys of all commands."""
        return self.context.keymap

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Show the keys that work where the focus is now."""
        self.show_keys()

    def show_keys(self) -> None:  # noqa: D102
        self.set_class(self.console.bar.is_typing, "-typing")  # moves toasts away from the bar
        keys = self.console.footer_commands(self.available_commands(), self.view.can_look)
        if not self.is_typing:
            titles = [(command, self._footer_title(command)) for command in keys if command.footer]
            keys = [replace(command, title=title) for command, title in titles if title is not None]
        self.console.keys.show(keys, self.view.main_keys)

    def _footer_title(self, command: KeyCommand) -> str | None:
        if command.id != "back":
            return self.view.footer_title(command)
        has_step = self.console.has_transcript or self.alarm.kind or self._trail or self.view is not self.jobs
        return self.view.back_title or ("back" if has_step else None)

    def active_scopes(self) -> tuple[KeyScope, ...]:
        """Return the scopes whose keys work now, the innermost first."""
        if self.console.bar.is_typing:
            return (KeyScope.BAR,)
        if self.view.is_typing:
            return (KeyScope.FILTER,)
        if self.view.scope in (KeyScope.LOG, KeyScope.OVERVIEW):
            return (self.view.scope, KeyScope.DASHBOARD)
        inner = KeyScope.DETAIL if isinstance(self.focused, LinesView) else KeyScope.TABLE
        return (inner, self.view.scope, KeyScope.DASHBOARD)

    def available_commands(self) -> list[KeyCommand]:
        """Return the commands whose keys work here and now."""
        return [
            command
            for scope in self.active_scopes()
            for command in commands(scope)
            if self.widget_of(scope).check_action(command.action.split("(")[0], ()) is not False
        ]

    def widget_of(self, scope: KeyScope) -> Widget:
        """Return the widget that has the actions of a scope."""
        match scope:
            case KeyScope.DASHBOARD:
                return self
            case KeyScope.JOBS | KeyScope.SPACES | KeyScope.HOSTS | KeyScope.ADVICE | KeyScope.SCHEDULES:
                return self.view
            case _:
                return self.focused or self.view.focus_target

    def explain_key(self, key: str) -> None:
        """Show why a key has no effect here, if it is the key of some command."""
        text = describe_no_effect(key, self.active_scopes(), self.context, self.view.why_unavailable)
        if text and not self.is_typing:
            self.show_toast(text)

    def run_command(self, command: KeyCommand) -> None:
        """Run a command as if its key were pressed."""
        self.start_action(self.app.run_action(command.action, self.widget_of(command.where)))

    def palette_entries(self) -> Iterator[PaletteEntry]:
        """Yield the entries of the palette: a title, an explanation and the function to call."""
        from jobtui.tui.actions.menus import palette_choices  # not needed at start

        for command in self.available_commands():
            if command.palette:
                keys = f"{command.help}  ({self.keymap.shown(command)})"
                title = self.view.footer_title(command) or command.title
                yield title.capitalize(), keys, partial(self.run_command, command)
        yield from palette_choices(self.context, self._control, self, self.jobs.list)

    def restore_focus(self) -> None:
        """Give the focus to the widget that the next key is meant for."""
        self.too_small.give_focus_back(self)
        if self.focused is None:
            self.leave_bar()

    def on_resize(self, event: events.Resize) -> None:
        """Show that the terminal is too small, if it is."""
        self.too_small.fit(self, event.size)
        self.refresh_header()

    def on_screen_suspend(self) -> None:
        """Hide the toasts: the screen above shows them."""
        self.add_class("-covered")

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Show the toasts again; Textual calls the handler of the base class as well."""
        self.remove_class("-covered")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable the key that opens the command bar while the user types: it is a character then."""
        if action == "retry":
            return self.context.client.connection is not None
        return not (action == "bar" and self.is_typing)

    # -- actions ------------------------------------------------------------------------------------

    async def action_bar(self) -> None:
        """Go to the command bar."""
        await self.focus_bar()

    async def action_back(self) -> None:
        """Undo one step: a wait to leave, a step in the view, transcript, alarm, or the view."""
        if self._quit_flow.stay() or self.view.go_back():
            return
        if self.console.has_transcript:
            self.console.show_transcript(False)
        elif self.alarm.kind:
            self.alarm.dismiss()
            self.refresh_header()
        else:
            await self._return()

    async def action_show(self, name: str) -> None:
        """Show a view by its name."""
        await self.show_view(name)

    def action_transcript(self) -> None:
        """Show or hide the transcript."""
        self.console.toggle_transcript()

    def action_help(self) -> None:
        """Show the keys that work here and now."""
        from jobtui.tui.screens.help import HelpScreen  # not needed at start

        self.app.push_screen(HelpScreen(self.available_commands(), self.keymap))

    def action_palette(self) -> None:
        """Find a command by its name."""
        from jobtui.tui.textual_ext.palette import Palette  # not needed at start

        self.app.push_screen(Palette())

    def action_theme(self) -> None:
        """Switch to the next theme."""
        self._control.next_theme()
        self._control.dismiss_toasts("theme: ")
        self.show_toast(f"theme: {self.app.theme}")

    def action_pause(self) -> None:
        """Freeze the screen, or let it continue."""
        self._control.set_paused(not self._control.is_paused)
        self.set_flag("‖ paused", self._control.is_paused)

    def action_retry(self) -> None:
        """Connect to the cluster now."""
        self.context.client.reconnect()

    def action_redraw(self) -> None:
        """Paint the whole screen again."""
        self.app.refresh()

    def action_suspend(self) -> None:
        """Return to the shell."""
        self.app.action_suspend_process()

    def action_interrupt(self) -> None:
        """Copy the selection; else cancel an edit; else leave."""
        selected = self.get_selected_text()
        if selected:
            self.copy(selected)
            self.clear_selection()
            self.show_toast("copied")
        elif self.view.is_typing:
            self.view.cancel_edit()
        elif not self.console.bar.cancel_edit():
            self.action_quit()

    def action_quit(self) -> None:
        """Leave; ask first while jobs are active."""
        self.start_action(self._quit_flow.ask())

    def action_profile(self) -> None:
        """Switch to another profile."""
        self.switch_profile()

    @cached_property
    def _actions(self) -> ViewActions:
        from jobtui.tui.actions.menus import ViewActions  # not needed at start

        return ViewActions(self.context, self)

    @cached_property
    def _quit_flow(self) -> QuitFlow:
        from jobtui.tui.actions.quit import QuitFlow  # not needed at start

        return QuitFlow(self.context, self)
