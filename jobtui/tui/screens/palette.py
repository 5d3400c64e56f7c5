"""The command palette: the registry's commands by name, and what can be chosen by name: themes, sorting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from inspect import unwrap
from typing import TYPE_CHECKING, cast

from textual import events, work
from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.message import Message
from textual.widgets import Input, OptionList

from jobtui.tui.data.job_rows import JOB_COLUMNS
from jobtui.tui.themes import THEMES

if TYPE_CHECKING:
    from jobtui.tui.screens.dashboard import Dashboard

Entry = tuple[str, str, Callable[[], None]]


class Palette(CommandPalette):
    """All that can be done, to choose from. It is left once: what else comes in that go would end more."""

    _left = False

    def __init__(self) -> None:
        super().__init__(providers=[RegistryCommands], placeholder="Find a command …")

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Textual's hook: only while it is in front, and only the first time."""
        if self._left or not self.is_active:
            return AwaitComplete()
        self._left = True
        return super().dismiss(result)

    async def _on_message(self, message: Message) -> None:
        if not (self._left and isinstance(message, Input.Submitted | OptionList.OptionSelected | events.Click)):
            await super()._on_message(message)

    @work(exclusive=True, group=CommandPalette._GATHER_COMMANDS_GROUP)
    async def _gather_commands(self, search_value: str) -> None:
        if self.query(CommandList):  # else it was left before there was anything in it
            await unwrap(CommandPalette._gather_commands)(self, search_value)

    def _action_command_list(self, action: str) -> None:
        # a list that has no room has no pages
        if self.query_one(CommandList).scrollable_content_region:
            super()._action_command_list(action)


class RegistryCommands(Provider):
    """Offers what works where the focus was when the palette was opened."""

    async def search(self, query: str) -> Hits:
        """Textual's hook."""
        matcher = self.matcher(query)
        for title, help_text, run in self._entries():
            score = matcher.match(title)
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=help_text)

    async def discover(self) -> Hits:
        """Textual's hook."""
        for title, help_text, run in self._entries():
            yield DiscoveryHit(title, run, text=title, help=help_text)

    def _entries(self) -> Iterator[Entry]:
        dashboard = cast("Dashboard", self.screen)
        keymap = dashboard.context.keymap
        for command in dashboard.working():
            if command.palette:
                keys = f"{command.help}  ({keymap.shown(command)})"
                yield command.title.capitalize(), keys, partial(dashboard.start, command)
        for theme in THEMES:
            yield f"Theme: {theme.name}", "Colours", partial(dashboard.desktop.choose_theme, theme.name)
        for column in JOB_COLUMNS:
            if column.sorts:
                run = partial(dashboard.jobs.list.sort_by, column.key)
                yield f"Sort by {column.label}", "Order the jobs by this column; again turns it round", run
